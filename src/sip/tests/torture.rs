//! RFC 4475 and RFC 5118, one row a message, against the outcome that a proxy must give.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod messages;

use corpora::{read, table};
use sip::ErrorKind::{self, *};
use sip::{HeaderId, Index, Method, Scheme, Uri, parse};

/// What the parser says: `None` accepts.
type Row = (&'static str, Option<ErrorKind>);

#[rustfmt::skip] // a table
const RFC4475: &[Row] = &[
    ("wsinv.dat", None),
    ("intmeth.dat", None),
    ("esc01.dat", None),
    ("escnull.dat", None),
    ("esc02.dat", None),
    ("lwsdisp.dat", None),
    ("longreq.dat", None),
    ("dblreq.dat", None),
    ("semiuri.dat", None),
    ("transports.dat", None),
    ("mpart01.dat", None),
    ("unreason.dat", None),
    ("noreason.dat", None),
    ("badinv01.dat", Some(Param)),
    ("clerr.dat", Some(BodyCut)),
    ("ncl.dat", Some(ContentLength)),
    ("scalar02.dat", Some(CSeq)),
    ("scalarlg.dat", Some(CSeq)),
    ("quotbal.dat", Some(Quote)),
    ("ltgtruri.dat", Some(RequestUriBrackets)),
    ("lwsruri.dat", Some(RequestUriSpace)),
    ("lwsstart.dat", Some(RequestUriSpace)),
    ("trws.dat", Some(RequestLine)),
    ("escruri.dat", Some(RequestUriHeaders)),
    ("baddate.dat", None),
    ("regbadct.dat", Some(BareUri)),
    ("badaspec.dat", Some(ErrorKind::Uri)),
    ("baddn.dat", Some(Unterminated)), // as shipped: the archive lost its last CRLF
    ("badvers.dat", Some(Version)),
    ("mismatch01.dat", Some(CSeqMethod)),
    ("mismatch02.dat", Some(CSeqMethodUnknown)),
    ("bigcode.dat", Some(StatusCode)),
    ("badbranch.dat", Some(BareCookie)),
    ("insuf.dat", Some(MissingCallId)),
    ("unkscm.dat", None),
    ("novelsc.dat", None),
    ("unksm2.dat", None),
    ("bext01.dat", None),
    ("invut.dat", None),
    ("regaut01.dat", None),
    ("multi01.dat", Some(DuplicateCSeq)),
    ("mcl01.dat", Some(DuplicateContentLength)),
    ("bcast.dat", None),
    ("zeromf.dat", None),
    ("cparam01.dat", None),
    ("cparam02.dat", None),
    ("regescrt.dat", None),
    ("sdp01.dat", None),
    ("inv2543.dat", None),
    ("test.dat", Some(RequestLine)),
    ("derived/baddn-terminated.dat", Some(DisplayName)),
    ("derived/ncl-five.dat", Some(ContentLength)),
    ("derived/mpart01-tcp.dat", None),
];

#[rustfmt::skip] // a table
const RFC5118: &[Row] = &[
    ("crlf/ipv6-good", None),
    ("crlf/ipv6-bad", Some(Port)),
    ("crlf/port-ambiguous", None),
    ("crlf/port-unambiguous", None),
    ("crlf/via-received-param-with-delim", None),
    ("crlf/via-received-param-no-delim", None),
    ("crlf/ipv6-in-sdp", None),
    ("crlf/mult-ip-in-header", None),
    ("crlf/mult-ip-in-sdp", None),
    ("crlf/ipv4-mapped-ipv6", None),
    ("crlf/ipv6-bug-abnf-3-colons", None),
    ("crlf/ipv6-correct-abnf-2-colons", None),
];

/// Runs every row, and holds the rows against the outcomes that the data set states.
fn check(folder: &str, rows: &[Row]) {
    let mut index = Index::new();
    let expected = table(&format!("{folder}/expected.tsv"));
    let stated: Vec<&str> = expected.iter().map(|row| row[0].as_str()).collect();
    let tested: Vec<&str> = rows.iter().map(|row| row.0).collect();
    assert_eq!(tested, stated, "one row a message, none left out");
    for ((name, want), stated) in rows.iter().zip(&expected) {
        let bytes = read(&format!("{folder}/{name}"));
        let result = parse(&bytes, &mut index);
        let kind = result.as_ref().err().map(|error| error.kind);
        assert_eq!(kind, *want, "{name}: {result:?}");
        let status = result.err().and_then(|error| error.status());
        let (outcome, is_response) = (stated[5].as_str(), stated[3] == "response");
        // 416, 420 and 483 are the proxy's to say, and so is whether a response is a stray one.
        let is_proxys = outcome.starts_with("forward")
            || outcome.starts_with("parse")
            || matches!(outcome, "416" | "420" | "483")
            || *name == "bcast.dat";
        match kind {
            None => assert!(is_proxys, "{name}: accepted, but should be {outcome}"),
            Some(_) if is_response => {
                assert_eq!((status, outcome), (None, "drop"), "{name}");
            }
            Some(_) => {
                let status = status.expect("a request is answered").to_string();
                assert!(
                    outcome.starts_with(&status),
                    "{name}: {status}, not {outcome}"
                );
            }
        }
    }
}

#[test]
fn rfc4475_every_message_has_its_outcome() {
    check("rfc4475", RFC4475);
}

#[test]
fn rfc5118_every_message_has_its_outcome() {
    check("rfc5118", RFC5118);
}

#[test]
fn rfc5118_as_shipped_has_bare_lf_and_is_refused() {
    let mut index = Index::new();
    let names = corpora::list("rfc5118/as-shipped", "");
    assert_eq!(names.len(), 12);
    for name in names {
        let error = parse(&read(&name), &mut index).unwrap_err();
        assert_eq!((error.kind, error.status()), (BareLf, Some(400)), "{name}");
    }
}

#[test]
fn rfc4475_wsinv_is_read_through_its_folds() {
    let bytes = read("rfc4475/wsinv.dat");
    let mut index = Index::new();
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.cseq(), 9);
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!(message.content_length(), Some(150));
    assert_eq!(message.to_tag(), b"1918181833n");
    assert_eq!(message.from_tag(), b"98asjd8");
    assert_eq!(message.call_id(), b"wsinv.ndaksdj@192.0.2.1");
    assert_eq!(message.via().branch, b"390skdjuw");
    assert!(!message.via().has_cookie());
    assert_eq!(message.header(HeaderId::Subject), Some(&b""[..]));
    assert_eq!(
        message.header_named(b"unknownheaderwithunusualvalue"),
        Some(&b";;,,;;,;"[..])
    );
    let vias: Vec<_> = message.vias().map(|via| via.unwrap()).collect();
    let hosts: Vec<_> = vias.iter().map(|via| via.host).collect();
    assert_eq!(
        hosts,
        [
            &b"192.0.2.2"[..],
            b"spindle.example.com",
            b"192.168.255.111"
        ]
    );
    assert_eq!(vias[2].branch, b"z9hG4bK30239");
    let route = message.values(HeaderId::Route).next().unwrap();
    assert_eq!(
        route.bytes,
        b"<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"
    );
    let contact = sip::NameAddr::parse(message.header(HeaderId::Contact).unwrap()).unwrap();
    assert_eq!(contact.display, br#""Quoted string \"\"""#);
    assert_eq!(contact.param(b"Q"), Some(Some(&b"0.33"[..])));
    assert_eq!(contact.param(b"secondparam"), Some(None));
}

#[test]
fn rfc4475_valid_details() {
    let mut index = Index::new();
    let bytes = read("rfc4475/intmeth.dat");
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.method(), Method::Other);
    assert_eq!(message.max_forwards(), Some(255));
    assert_eq!(message.from_tag(), b"_token~1'+`*%!-.");
    let display = message.to_addr().unwrap().display;
    assert_eq!(
        display, b"\"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f\"",
        "past the NUL"
    );
    let uri = message.request_uri().unwrap();
    assert_eq!(uri.host, b"example.com");
    assert_eq!(
        uri.password,
        Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..])
    );

    let bytes = read("rfc4475/longreq.dat");
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.vias().filter(|via| via.is_ok()).count(), 34);

    let bytes = read("rfc4475/dblreq.dat");
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.method(), Method::Register);
    assert_eq!(
        message.bytes().len() + 450,
        bytes.len(),
        "the surplus is cut"
    );

    let bytes = read("rfc4475/semiuri.dat");
    let uri = parse(&bytes, &mut index).unwrap().request_uri().unwrap();
    assert_eq!(uri.user, b"user;par=u%40example.net");
    assert_eq!(uri.host, b"example.com");

    let bytes = read("rfc4475/inv2543.dat");
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.body().len(), 105, "up to the end of the datagram");
    assert_eq!(message.via().branch, b"");
    assert_eq!(message.max_forwards(), None);

    let bytes = read("rfc4475/escnull.dat");
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.values(HeaderId::Contact).count(), 2);
    let mut user = [0; 32];
    let to = message.to_addr().unwrap();
    let length = Uri::parse(to.uri).unwrap().unescape_user(&mut user);
    assert_eq!(&user[..length], b"null-\0-null");

    for (name, scheme) in [
        ("unkscm", &b"nobodyKnowsThisScheme"[..]),
        ("novelsc", b"soap.beep"),
    ] {
        let bytes = read(&format!("rfc4475/{name}.dat"));
        let message = parse(&bytes, &mut index).unwrap();
        assert_eq!(message.request_uri().unwrap().scheme, Scheme::Other(scheme));
    }
    let bytes = read("rfc4475/noreason.dat");
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!((message.status(), message.reason()), (100, &b""[..]));
}

#[test]
fn rfc5118_addresses_are_what_they_say() {
    let mut index = Index::new();
    let mut uri_of = |name: &str| {
        let bytes = read(&format!("rfc5118/crlf/{name}"));
        let uri = parse(&bytes, &mut index).unwrap().request_uri().unwrap();
        (uri.ip().map(|ip| ip.to_string()), uri.port)
    };
    let literal = |text: &str| Some(text.to_owned());
    assert_eq!(
        uri_of("port-ambiguous"),
        (literal("2001:db8::10:5070"), None)
    );
    assert_eq!(
        uri_of("port-unambiguous"),
        (literal("2001:db8::10"), Some(5070))
    );
    assert_eq!(
        uri_of("ipv6-bug-abnf-3-colons"),
        (literal("2001:db8::c000:201"), None)
    );
    assert_eq!(
        uri_of("ipv6-correct-abnf-2-colons"),
        (literal("2001:db8::c000:201"), None)
    );
    for name in [
        "via-received-param-with-delim",
        "via-received-param-no-delim",
    ] {
        let bytes = read(&format!("rfc5118/crlf/{name}"));
        let message = parse(&bytes, &mut index).unwrap();
        assert_eq!(
            message.via().received().unwrap().to_string(),
            "2001:db8::9:255"
        );
    }
    let bytes = read("rfc5118/crlf/ipv4-mapped-ipv6");
    let message = parse(&bytes, &mut index).unwrap();
    assert_eq!(message.via().ip().unwrap().to_string(), "192.0.2.10");
    assert_eq!(message.via().port, Some(19823));
}
