//! What needs the inside: work counted in octets looked at, and each limit.

use crate::limits::*;
use crate::octets::work;
use crate::{Error, ErrorKind, HeaderId, Index, NameAddr, Uri, frame, parse, respond, sniff};

const PARTIES: &str = "f: <sip:a@b>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\nCSeq: 1 OPTIONS\r\n";

fn request(uri: &str, headers: &str) -> Vec<u8> {
    format!("OPTIONS {uri} SIP/2.0\r\nv: SIP/2.0/UDP a\r\n{PARTIES}{headers}\r\n").into_bytes()
}

/// The octets looked at by all that reads a message.
fn work_of(bytes: &[u8]) -> u64 {
    let mut index = Index::new();
    let source = "192.0.2.1:5060".parse().unwrap();
    work::take();
    let _ = sniff(bytes);
    let _ = frame::frame(bytes, frame::Limits::default());
    match parse(bytes, &mut index) {
        Ok(message) => {
            for &id in HeaderId::KNOWN {
                let _ = message.values(id).count();
            }
            let _ = message.vias().count();
            let _ = message.header_named(b"X-Nowhere");
        }
        Err(_) => {
            let mut out = vec![0; 80_000];
            let _ = respond::refuse(bytes, &index, 400, b"Bad", source, &mut out);
        }
    }
    work::take()
}

type Shape = fn(usize) -> String;

/// The shapes of fault B8, made of so many pieces.
#[rustfmt::skip] // a table
const SHAPES: &[(&str, Shape)] = &[
    ("quotes in From", |n| format!("Contact: {} <sip:a@b>\r\n", "\"".repeat(n))),
    ("escapes", |n| format!("Contact: \"{}\" <sip:a@b>\r\n", "\\\"".repeat(n))),
    ("open quotes", |n| format!("Contact: \"{}\r\n", "a\\".repeat(n))),
    ("params", |n| format!("Contact: <sip:a@b>{}\r\n", ";a=b".repeat(n))),
    ("uri params", |n| format!("Contact: <sip:a@b{}>\r\n", ";a=b".repeat(n))),
    ("folds", |n| format!("Subject: a{}\r\n", "\r\n b".repeat(n))),
    ("folds in From", |n| format!("Contact: \"a\"{}<sip:a@b>\r\n", "\r\n ".repeat(n))),
    ("headers", |n| "X: y\r\n".repeat(n)),
    ("known headers", |n| "Supported: y\r\n".repeat(n)),
    ("vias", |n| "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n".repeat(n)),
    ("vias in a line", |n| format!("Via: a{}\r\n", ", SIP/2.0/UDP a".repeat(n))),
    ("commas", |n| format!("Supported: {}\r\n", ",".repeat(n))),
    ("open brackets", |n| format!("Supported: {}\r\n", "<,".repeat(n))),
    ("contacts", |n| format!("Contact: <sip:a@b>{}\r\n", ", <sip:a@b>".repeat(n))),
    ("routes", |n| "Route: <sip:a;lr>\r\n".repeat(n)),
    ("nuls", |n| format!("Contact: \"{}\" <sip:a@b>\r\n", "\\\0".repeat(n))),
    ("spaces", |n| format!("X{}: y\r\n", " ".repeat(n))),
    ("digits", |n| format!("Max-Forwards: {}\r\n", "0".repeat(n))),
    ("long name", |n| format!("{}: y\r\n", "X".repeat(n))),
    ("bare lf", |n| "X: y\n".repeat(n)),
    ("no colon", |n| "X\r\n".repeat(n)),
    ("semicolons", |n| format!("Contact: <sip:a@b>{}\r\n", ";".repeat(n))),
];

#[test]
fn b8_work_grows_in_line_with_length() {
    for (name, shape) in SHAPES {
        let base = work_of(&request("sip:a@b", ""));
        for n in [50, 100, 500, 1_000, 2_000] {
            let (one, four) = (
                request("sip:a@b", &shape(n)),
                request("sip:a@b", &shape(4 * n)),
            );
            let (small, large) = (work_of(&one), work_of(&four));
            // Four times the pieces cost four times the work, or nine where a limit comes in sight:
            // values are counted, and all readers look. A scan in a scan would cost sixteen times.
            assert!(
                large <= 9 * small + base,
                "{name}: {n} pieces cost {small}, {} cost {large}",
                4 * n
            );
            // No octet is looked at more often than the readers and passes there are.
            let bound = 24 * four.len() as u64 + 400;
            assert!(
                large <= bound,
                "{name}: {large} looks at {} octets",
                four.len()
            );
        }
    }
}

#[test]
fn b8_uris_and_values_alone_grow_in_line_too() {
    let work = |bytes: &[u8]| {
        work::take();
        let _ = Uri::parse(bytes);
        let _ = NameAddr::parse(bytes);
        work::take()
    };
    for piece in [
        ";a", "@", "a", "%41", "[", "\"", "\\\"", "<", ":", "?a=b&", ",",
    ] {
        let text = |n: usize| format!("sip:a{}", piece.repeat(n)).into_bytes();
        let (small, large) = (work(&text(100)), work(&text(400)));
        // Both readers look at what is longer than a limit.
        assert!(large <= 8 * small + 40, "{piece}: {small} and {large}");
    }
}

/// What a request with such a URI and headers is refused for.
fn refusal(uri: &str, headers: &str) -> Option<ErrorKind> {
    refused(&request(uri, headers)).map(|error| error.kind)
}

fn refused(bytes: &[u8]) -> Option<Error> {
    parse(bytes, &mut Index::new()).err()
}

#[test]
fn each_limit_is_held_at_its_number() {
    let x = |n: usize| "x".repeat(n);
    let check = |kind, at: &dyn Fn(usize) -> (String, String), max: usize| {
        let (uri, headers) = at(max);
        assert_eq!(refusal(&uri, &headers), None, "{kind} at {max}");
        let (uri, headers) = at(max + 1);
        assert_eq!(refusal(&uri, &headers), Some(kind), "{kind} past {max}");
    };
    let uri = |text: String| (text, String::new());
    let header = |text: String| ("sip:a@b".to_owned(), text);
    check(
        ErrorKind::UriTooLong,
        &|n| uri(format!("sip:{}@b", x(n - 6))),
        URI_BYTES_MAX,
    );
    check(
        ErrorKind::HostTooLong,
        &|n| uri(format!("sip:{}", x(n))),
        HOST_BYTES_MAX,
    );
    check(
        ErrorKind::TooManyParams,
        &|n| uri(format!("sip:a{}", ";x".repeat(n))),
        PARAMS_MAX,
    );
    check(
        ErrorKind::TooManyParams,
        &|n| header(format!("m: <sip:a>{}\r\n", ";x".repeat(n))),
        PARAMS_MAX,
    );
    check(
        ErrorKind::UriTooLong,
        &|n| header(format!("m: <sip:{}>\r\n", x(n - 4))),
        URI_BYTES_MAX,
    );
    check(
        ErrorKind::HeaderTooLong,
        &|n| header(format!("X: {}\r\n", x(n - 5))),
        HEADER_BYTES_MAX,
    );
    check(
        ErrorKind::HeaderNameTooLong,
        &|n| header(format!("{}: \r\n", x(n))),
        HEADER_NAME_BYTES_MAX,
    );
    check(
        ErrorKind::TooManyHeaders,
        &|n| header("X: y\r\n".repeat(n)),
        HEADERS_MAX - 5,
    );
    check(
        ErrorKind::TooManyValues,
        &|n| header(format!("k: x{}\r\n", ",x".repeat(n - 1))),
        VALUES_MAX,
    );
    check(
        ErrorKind::TooManyVias,
        &|n| header("v: SIP/2.0/UDP a\r\n".repeat(n)),
        VIAS_MAX - 1,
    );
    check(
        ErrorKind::TooManyDigits,
        &|n| header(format!("Max-Forwards: {}\r\n", "0".repeat(n))),
        DIGITS_MAX,
    );
}

#[test]
fn limits_of_the_parts_that_every_message_has() {
    let x = |n: usize| "x".repeat(n);
    let message = |method: &str, via: &str, tag: &str, call_id: &str| {
        format!(
            "{method} sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP a;branch={via}\r\nf: <sip:a@b>;tag={tag}\r\n\
             t: <sip:a@b>\r\ni: {call_id}\r\nCSeq: 1 {method}\r\n\r\n"
        )
    };
    let kind = |text: String| refused(text.as_bytes()).map(|error| error.kind);
    for (extra, want) in [
        (0, [None; 4]),
        (
            1,
            [
                Some(ErrorKind::MethodTooLong),
                Some(ErrorKind::BranchTooLong),
                Some(ErrorKind::TagTooLong),
                Some(ErrorKind::CallIdTooLong),
            ],
        ),
    ] {
        let got = [
            kind(message(&x(METHOD_BYTES_MAX + extra), "1", "1", "1")),
            kind(message("M", &x(BRANCH_BYTES_MAX + extra), "1", "1")),
            kind(message("M", "1", &x(TAG_BYTES_MAX + extra), "1")),
            kind(message("M", "1", "1", &x(CALL_ID_BYTES_MAX + extra))),
        ];
        assert_eq!(got, want);
    }
    let long = format!("M sip:{}@b SIP/2.0\r\n", x(START_LINE_BYTES_MAX));
    assert_eq!(kind(long), Some(ErrorKind::StartLineTooLong));
    let line = format!("X: {}\r\n", x(8_000));
    let section = refused(&request("sip:a@b", &line.repeat(5)));
    assert_eq!(
        section.map(|error| error.kind),
        Some(ErrorKind::SectionTooLong)
    );
    let mut whole = request("sip:a@b", "");
    whole.resize(MESSAGE_BYTES_MAX, b'b');
    assert_eq!(refused(&whole), None);
    whole.push(b'b');
    let error = refused(&whole).unwrap();
    assert_eq!(
        (error.kind, error.status()),
        (ErrorKind::MessageTooLong, Some(513))
    );
}

#[test]
fn small_refusals() {
    for (uri, want) in [
        ("sip:a@b:0", ErrorKind::Port),
        ("sip:a@b:65536", ErrorKind::Port),
        ("sip:a@b:", ErrorKind::Port),
        ("sip:a@", ErrorKind::Host),
        ("sip:@b", ErrorKind::Uri),
        ("sip:a@b@c", ErrorKind::Uri),
        ("sip:a@[2001:db8::1", ErrorKind::Host),
        ("sip:a@[b]", ErrorKind::Host),
        ("sip:a@[]", ErrorKind::Host),
        ("sip:", ErrorKind::Uri),
        ("tel:+1a;x?y=z", ErrorKind::RequestUriHeaders),
        ("tel:", ErrorKind::Uri),
        ("tel:+1 2", ErrorKind::RequestUriSpace),
        ("<sip:a@b>", ErrorKind::RequestUriBrackets),
        ("sip:a@b?x=y", ErrorKind::RequestUriHeaders),
    ] {
        assert_eq!(refusal(uri, ""), Some(want), "{uri}");
    }
    for (headers, want) in [
        ("m: sip:a@b?x=y\r\n", ErrorKind::BareUri),
        ("m: \"a <sip:a@b>\r\n", ErrorKind::Quote),
        ("m: <sip:a@b>;;\r\n", ErrorKind::Param),
        ("m: <sip:a@b>;a=\r\n", ErrorKind::Param),
        ("m: a, b <sip:a@b>\r\n", ErrorKind::DisplayName),
        ("m: \r\n", ErrorKind::Uri),
        ("m: <sip:a@b> c\r\n", ErrorKind::Surplus),
        ("Route: sip:a\r\n", ErrorKind::BareUri),
        ("Max-Forwards: 256\r\n", ErrorKind::MaxForwards),
        ("Max-Forwards: 70, 5\r\n", ErrorKind::MaxForwards),
        ("l: 1\r\n", ErrorKind::BodyCut),
        ("i: 2\r\n", ErrorKind::DuplicateCallId),
        ("From: <sip:a@b>\r\n", ErrorKind::DuplicateFrom),
        ("To: <sip:a@b>\r\n", ErrorKind::DuplicateTo),
        (
            "Max-Forwards: 1\r\nmax-forwards: 1\r\n",
            ErrorKind::DuplicateMaxForwards,
        ),
        ("X y\r\n", ErrorKind::HeaderName),
        (": y\r\n", ErrorKind::HeaderName),
    ] {
        assert_eq!(refusal("sip:a@b", headers), Some(want), "{headers:?}");
    }
}

#[test]
fn the_smallest_things_are_dropped() {
    for (bytes, want) in [
        (&b""[..], ErrorKind::Empty),
        (b"\r\n\r\n", ErrorKind::Empty),
        (b"\0\0\0\0", ErrorKind::Empty),
        (b"\x16\x03\x01", ErrorKind::StartLine),
        (b"SIP/2.0 099 x\r\n\r\n", ErrorKind::StatusCode),
        (b"SIP/2.0 700 x\r\n\r\n", ErrorKind::StatusCode),
        (b"SIP/3.0 200 x\r\n\r\n", ErrorKind::Version),
        (b"SIP/2.0 200 OK\r\n\r\n", ErrorKind::MissingCSeq),
    ] {
        let error = refused(bytes).unwrap();
        assert_eq!((error.kind, error.status()), (want, None), "{bytes:?}");
    }
}

#[test]
fn every_kind_has_a_name_of_its_own_and_a_status_of_refusal() {
    let mut names: Vec<String> = ErrorKind::ALL.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), ErrorKind::ALL.len());
    for &kind in ErrorKind::ALL {
        let error = Error::new(kind, 0);
        assert!(matches!(error.status(), Some(400 | 414 | 501 | 505 | 513)));
        assert!(!error.reason().is_empty());
    }
}
