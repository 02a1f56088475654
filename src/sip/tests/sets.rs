//! Whole sets of messages: those that must be read, and those that must be survived.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod messages;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use corpora::{for_each_protos_case, list, read, table};
use messages::valid;
use sip::{Edits, HeaderId, Index, Method, NameAddr, Uri, forward, parse, respond, sniff};

#[test]
fn all_454_call_flow_messages_parse_and_sniff_alike() {
    let names = list("rfc-call-flows", ".sip");
    assert_eq!(names.len(), 454);
    let mut index = Index::new();
    for row in table("rfc-call-flows/index.tsv") {
        let name = format!("rfc-call-flows/{}", row[0]);
        let bytes = read(&name);
        let message = parse(&bytes, &mut index).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(message.bytes().len(), bytes.len(), "{name}");
        assert_eq!(message.content_length(), row[4].parse().ok(), "{name}");
        assert!(message.vias().all(|via| via.is_ok()), "{name}");
        for id in [HeaderId::RecordRoute, HeaderId::Route, HeaderId::Contact] {
            for value in message.values(id).filter(|value| value.bytes != b"*") {
                let name_addr = NameAddr::parse(value.bytes).unwrap();
                assert!(Uri::parse(name_addr.uri).is_ok(), "{name}");
            }
        }
        if message.is_request() {
            assert_ne!(message.method(), Method::Other, "{name}");
            assert!(message.request_uri().is_ok(), "{name}");
        }
    }
}

#[test]
fn sniff_agrees_with_parse_on_every_valid_message() {
    let mut index = Index::new();
    for (name, bytes) in valid() {
        let message = parse(&bytes, &mut index).unwrap_or_else(|error| panic!("{name}: {error}"));
        let sniffed = sniff(&bytes).unwrap_or_else(|| panic!("{name}: no Call-ID sniffed"));
        assert_eq!(sniffed.call_id, message.call_id(), "{name}");
        assert_eq!(sniffed.branch, message.via().branch, "{name}");
        assert_eq!(sniffed.method, message.method(), "{name}");
        assert_eq!(sniffed.status, message.status(), "{name}");
        assert_eq!(sniffed.is_request, message.is_request(), "{name}");
        assert_eq!(sniffed.has_to_tag, !message.to_tag().is_empty(), "{name}");
    }
}

#[test]
fn every_prefix_of_every_valid_message_is_survived() {
    let mut index = Index::new();
    for (name, bytes) in valid() {
        let section = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        for end in 0..bytes.len() {
            let prefix = &bytes[..end];
            let is_accepted = parse(prefix, &mut index).is_ok();
            assert!(!is_accepted || end >= section, "{name}: accepted at {end}");
            let _ = sniff(prefix);
        }
    }
}

/// Where we differ from jsip, with the reason.
#[rustfmt::skip] // a table
const JSIP_DIFFERENCES: &[(&str, &str)] = &[
    ("msg-007", "unknown scheme in the Request-URI: well-formed, the proxy says 416 (RFC 4475 3.3.2)"),
    ("msg-014", "white space in angle brackets: 400 (RFC 4475 3.1.2.14)"),
    ("msg-015", "white space in angle brackets: 400 (RFC 4475 3.1.2.14)"),
    ("msg-018", "a fold before the colon: HCOLON has none (RFC 3261 25.1)"),
    ("msg-024", "a method that is not known: a proxy forwards it (RFC 3261 16.3)"),
    ("msg-025", "a response without Call-ID, From and To: dropped (RFC 3261 8.1.1)"),
    ("msg-156", "a fold inside a URI: addr-spec has none (RFC 4475 3.1.2.14)"),
    ("msg-230", "a fold inside a URI: addr-spec has none (RFC 4475 3.1.2.14)"),
    ("msg-359", "no empty line after Content-Length: 0, as split from the XML"),
    ("msg-364", "status 100<hex>20</hex>: markup of the draft, not undone in the XML"),
    ("msg-376", "a Date with a time zone: we do not use it (RFC 4475 3.1.2.12)"),
    ("msg-384", "a branch that is the bare cookie: 400 (RFC 4475 3.2.1)"),
    ("msg-392", "two each of Call-ID, To, From, Max-Forwards, CSeq: 400 (RFC 4475 3.3.8)"),
];

#[test]
fn jsip_set_is_read_as_jsip_reads_it_but_for_the_listed() {
    let mut index = Index::new();
    let mut differences = BTreeMap::new();
    let mut count = 0;
    for row in table("jsip-torture/index.tsv") {
        let bytes = read(&format!("jsip-torture/{}", row[0]));
        let result = match row[1].as_str() {
            // The line ends in front come from the XML; on a stream the framing skips them.
            "message" => parse(bytes.trim_ascii_start(), &mut index).map(|_| ()),
            "sip-url" => Uri::parse(bytes.trim_ascii()).map(|_| ()),
            _ => header_alone(&bytes, &mut index),
        };
        count += 1;
        if result.is_ok() != (row[2] == "yes") {
            let name = row[0].split('.').next().unwrap().to_owned();
            differences.insert(name, result);
        }
    }
    assert_eq!(count, 400);
    for (name, result) in &differences {
        println!("{name}: {result:?}");
    }
    let found: Vec<&str> = differences.keys().map(String::as_str).collect();
    let listed: Vec<&str> = JSIP_DIFFERENCES.iter().map(|row| row.0).collect();
    assert_eq!(found, listed);
}

/// Reads a header line in an otherwise good request that lacks it.
fn header_alone(line: &[u8], index: &mut Index) -> Result<(), sip::Error> {
    let name_end = line.iter().position(|&octet| octet == b':').unwrap();
    let id = HeaderId::of(line[..name_end].trim_ascii());
    let mut text = String::from("OPTIONS sip:b@example.com SIP/2.0\r\nCSeq: 1 OPTIONS\r\n");
    for (other, rest) in [
        (
            HeaderId::Via,
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n",
        ),
        (HeaderId::From, "From: <sip:a@example.com>;tag=1\r\n"),
        (HeaderId::To, "To: <sip:b@example.com>\r\n"),
        (HeaderId::CallId, "Call-ID: 1\r\n"),
    ] {
        if id != other {
            text.push_str(rest);
        }
    }
    let mut bytes = text.into_bytes();
    let lines = line.split(|&octet| octet == b'\n');
    for part in lines.filter(|part| !part.trim_ascii().is_empty()) {
        bytes.extend_from_slice(part.strip_suffix(b"\r").unwrap_or(part));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    parse(&bytes, index).map(|_| ())
}

#[test]
fn fuzz_seeds_and_typed_messages_are_survived() {
    let mut index = Index::new();
    let mut out = vec![0; 70_000];
    let mut count = 0;
    for folder in [
        "pjproject-fuzz-seeds/fuzz-sip",
        "pjproject-fuzz-seeds/fuzz-sip-dialog",
        "pjproject-fuzz-seeds/fuzz-uri",
        "pjproject-fuzz-seeds/fuzz-url",
        "pjproject-fuzz-seeds/fuzz-stun",
        "pjproject-fuzz-seeds/fuzz-sdp",
        "kamailio-misc-sip",
        "sip-message-examples",
        "resiprocate-tcp-framing",
    ] {
        for name in list(folder, "") {
            survive(&read(&name), &mut index, &mut out);
            count += 1;
        }
    }
    assert!(count > 100, "{count} files");
}

#[test]
fn all_4527_protos_cases_are_survived() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("protos");
    let mut index = Index::new();
    let mut out = vec![0; 140_000];
    let mut accepted = 0;
    for_each_protos_case(&folder, |case, messages| {
        for message in messages {
            let is_accepted = survive(message, &mut index, &mut out);
            assert!(is_accepted || case != 0, "case 0 is valid");
            accepted += usize::from(is_accepted);
        }
    });
    assert!(
        accepted > 1_000,
        "most cases only carry odd values: {accepted}"
    );
}

/// Does to a message what a proxy does. Nothing it writes has a bare CR, LF or NUL in its headers.
/// Returns whether the message was accepted.
fn survive(bytes: &[u8], index: &mut Index, out: &mut [u8]) -> bool {
    let source: SocketAddr = "203.0.113.9:40000".parse().unwrap();
    let _ = sniff(bytes);
    let _ = Uri::parse(bytes);
    let _ = NameAddr::parse(bytes);
    let _ = sip::frame::frame(bytes, sip::frame::Limits::default());
    let message = match parse(bytes, index) {
        Ok(message) => message,
        Err(error) => {
            if let Some(status) = error.status() {
                let reason = error.reason().as_bytes();
                let length = respond::refuse(bytes, index, status, reason, source, out)
                    .expect("there is room for an answer");
                assert_clean(&out[..length]);
            }
            return false;
        }
    };
    let _ = message.vias().count();
    let mut edits = Edits::new();
    forward::stamp_via(&message, source, &mut edits);
    forward::push_via(
        &message,
        base::Transport::Udp,
        source,
        b"z9hG4bKx",
        &mut edits,
    );
    forward::set_max_forwards(&message, 69, &mut edits);
    let length = edits.compose(message.bytes(), out).expect("it fits");
    assert_eq!(length, edits.composed_len(message.bytes()));
    assert_clean(&out[..length]);
    let answer = respond::Response {
        status: 404,
        reason: b"Not Found",
        to_tag: b"t",
        extra: &[],
        source,
    };
    let bound = respond::len_max(&message, &answer);
    let length = respond::compose(&message, &answer, &mut out[..bound]).expect("it fits");
    assert_clean(&out[..length]);
    true
}

/// No bare CR, LF or NUL in the header section, but for the NUL in a quoted pair.
fn assert_clean(message: &[u8]) {
    let end = message
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let section = &message[..end + 4];
    for (at, &octet) in section.iter().enumerate() {
        match octet {
            b'\r' => assert_eq!(section[at + 1], b'\n'),
            b'\n' => assert_eq!(section[at - 1], b'\r'),
            0 => assert_eq!(section[at - 1], b'\\'),
            _ => {}
        }
    }
}
