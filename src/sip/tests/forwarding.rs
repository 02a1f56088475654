//! What is written: forwarded messages, answers, CANCEL and ACK, and where responses go.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod messages;

use std::net::SocketAddr;

use base::Transport;
use messages::{crlf, invite, valid};
use sip::respond::Response;
use sip::{
    Edits, HeaderId, Index, Message, Via, derive, forward, parse, reason_phrase, respond,
    response_route,
};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Plans edits on a message and writes it.
fn edited(bytes: &[u8], plan: impl FnOnce(&Message<'_>, &mut Edits)) -> String {
    let mut index = Index::new();
    let message = parse(bytes, &mut index).unwrap_or_else(|error| panic!("{error}"));
    let mut edits = Edits::new();
    plan(&message, &mut edits);
    let mut out = vec![0; edits.composed_len(message.bytes())];
    let length = edits.compose(message.bytes(), &mut out).expect("it fits");
    assert_eq!(length, out.len(), "composed_len is the length");
    String::from_utf8(out).expect("a message in words")
}

/// Checks edits on a request whose headers are given; `want` is the request then, start line and
/// all.
fn check(headers: &str, want: &str, plan: impl FnOnce(&Message<'_>, &mut Edits)) {
    let got = edited(&request(headers), plan);
    assert_eq!(got.replace("\r\n", "\n"), want);
}

fn request(headers: &str) -> Vec<u8> {
    crlf(&format!("OPTIONS sip:b@example.com SIP/2.0\n{headers}\n"))
}

const PARTIES: &str =
    "f: <sip:a@example.com>;tag=1\nt: <sip:b@example.com>\ni: 1\nCSeq: 1 OPTIONS\n";

fn with_parties(before: &str) -> String {
    format!("{before}{PARTIES}")
}

#[test]
fn b36_no_edits_give_the_same_octets_and_parse_print_parse_is_stable() {
    let mut index = Index::new();
    let mut again = Index::new();
    for (name, bytes) in valid() {
        let message = parse(&bytes, &mut index).unwrap();
        let mut out = vec![0; message.bytes().len()];
        let length = Edits::new().compose(message.bytes(), &mut out).unwrap();
        assert_eq!(&out[..length], message.bytes(), "{name}");
        let reparsed = parse(&out, &mut again).unwrap();
        assert_eq!(facts(&message), facts(&reparsed), "{name}");
    }
}

/// What two parses of one message must agree on.
fn facts(message: &Message<'_>) -> impl PartialEq + std::fmt::Debug {
    (
        message.lines().collect::<Vec<_>>(),
        (message.via().clone(), message.body().to_vec()),
        (message.from_tag().to_vec(), message.to_tag().to_vec()),
        (message.cseq(), message.method(), message.status()),
        (message.uri().to_vec(), message.max_forwards()),
    )
}

#[test]
fn b36_a_forwarded_request_differs_in_our_changes_only() {
    let source = addr("203.0.113.9:40000");
    let ours = addr("198.51.100.7:5060");
    let mut index = Index::new();
    let mut again = Index::new();
    let mut edits = Edits::new();
    for (name, bytes) in valid() {
        let message = parse(&bytes, &mut index).unwrap();
        if !message.is_request() {
            continue;
        }
        edits.clear();
        let hops = message
            .max_forwards()
            .map_or(70, |hops| hops.saturating_sub(1));
        forward::push_via(&message, Transport::Udp, ours, b"z9hG4bKours", &mut edits);
        forward::stamp_via(&message, source, &mut edits);
        forward::set_max_forwards(&message, hops, &mut edits);
        let mut out = vec![0; edits.composed_len(message.bytes())];
        edits.compose(message.bytes(), &mut out).unwrap();
        let sent = parse(&out, &mut again).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(sent.via().branch, b"z9hG4bKours", "{name}");
        assert_eq!(sent.via().rport(), Some(None));
        assert_eq!(sent.max_forwards(), Some(hops), "{name}");
        assert_eq!(sent.body(), message.body(), "{name}");
        assert_eq!(sent.uri(), message.uri(), "{name}");
        let stamped = sent.vias().nth(1).unwrap().unwrap();
        let is_told = stamped.received() == Some(source.ip());
        assert!(is_told, "{name}: a request from elsewhere says so");
        // Our line taken away, and the line of the former top Via aside, all is as it was.
        let kept = |message: &Message<'_>, skipped: usize| -> Vec<Vec<u8>> {
            let is_ours = |id| id == HeaderId::MaxForwards;
            let vias = message.lines_of(HeaderId::Via).take(skipped);
            let starts: Vec<usize> = vias.map(|line| line.range.start).collect();
            message
                .lines()
                .filter(|line| !is_ours(line.id) && !starts.contains(&line.range.start))
                .map(|line| message.bytes()[line.range].to_vec())
                .collect()
        };
        assert_eq!(kept(&sent, 2), kept(&message, 1), "{name}");
    }
}

#[test]
fn b36_push_and_pop_give_a_response_back() {
    let mut index = Index::new();
    let mut again = Index::new();
    let mut edits = Edits::new();
    for (name, bytes) in valid() {
        let message = parse(&bytes, &mut index).unwrap();
        if message.is_request() {
            continue;
        }
        edits.clear();
        let ours = addr("[2001:db8::7]:5060");
        forward::push_via(&message, Transport::Tcp, ours, b"z9hG4bKours", &mut edits);
        let mut out = vec![0; edits.composed_len(message.bytes())];
        edits.compose(message.bytes(), &mut out).unwrap();
        let arrived = parse(&out, &mut again).unwrap();
        assert_eq!(arrived.via().host, b"2001:db8::7", "{name}");
        edits.clear();
        forward::pop_via(&arrived, &mut edits);
        let mut back = vec![0; out.len()];
        let length = edits.compose(arrived.bytes(), &mut back).unwrap();
        assert_eq!(&back[..length], message.bytes(), "{name}");
    }
}

#[test]
fn pop_via_takes_one_value_of_a_line_with_several() {
    let two = with_parties("v: SIP/2.0/UDP a;branch=1 ,\n SIP/2.0/UDP b;branch=2\n");
    let want = with_parties("OPTIONS sip:b@example.com SIP/2.0\nv: SIP/2.0/UDP b;branch=2\n");
    check(&two, &format!("{want}\n"), forward::pop_via);
}

#[test]
fn stamp_via_says_what_the_sender_may_not() {
    let source = addr("192.0.2.9:1024");
    for (via, want) in [
        ("192.0.2.9;branch=1", "192.0.2.9;branch=1"),
        (
            "192.0.2.8;branch=1",
            "192.0.2.8;branch=1;received=192.0.2.9",
        ),
        (
            "a.example.com:5070;branch=1",
            "a.example.com:5070;branch=1;received=192.0.2.9",
        ),
        (
            "192.0.2.9;rport;branch=1",
            "192.0.2.9;branch=1;received=192.0.2.9;rport=1024",
        ),
        (
            "192.0.2.9;rport=7;branch=1",
            "192.0.2.9;branch=1;received=192.0.2.9;rport=1024",
        ),
        (
            "192.0.2.9;received=203.0.113.1;branch=1",
            "192.0.2.9;branch=1",
        ),
        ("[::ffff:192.0.2.9];branch=1", "[::ffff:192.0.2.9];branch=1"),
        (
            "192.0.2.8, SIP/2.0/UDP b",
            "192.0.2.8;received=192.0.2.9, SIP/2.0/UDP b",
        ),
    ] {
        let headers = with_parties(&format!("Via: SIP/2.0/UDP {via}\n"));
        let want = with_parties(&format!(
            "OPTIONS sip:b@example.com SIP/2.0\nVia: SIP/2.0/UDP {want}\n"
        ));
        check(&headers, &format!("{want}\n"), |message, edits| {
            forward::stamp_via(message, source, edits);
        });
        // A v6 socket shows a v4 peer as mapped; the Via gets the v4 address.
        check(&headers, &format!("{want}\n"), |message, edits| {
            let mapped = addr("[::ffff:192.0.2.9]:1024");
            forward::stamp_via(message, mapped, edits);
        });
    }
}

#[test]
fn routes_are_popped_appended_and_trimmed() {
    let start = "OPTIONS sip:b@example.com SIP/2.0\n";
    let via = "Via: SIP/2.0/UDP a\n";
    let routes = "Route: <sip:1>, <sip:2;lr>\nX: y\nRoute: <sip:3>\n";
    let headers = format!("{via}{routes}{PARTIES}");
    let trim = |first, last, want: &str| {
        check(
            &headers,
            &format!("{start}{via}{want}{PARTIES}\n"),
            |message, edits| forward::trim_routes(message, first, last, edits),
        );
    };
    trim(0, 0, routes);
    trim(1, 0, "Route: <sip:2;lr>\nX: y\nRoute: <sip:3>\n");
    trim(2, 0, "X: y\nRoute: <sip:3>\n");
    trim(3, 0, "X: y\n");
    trim(9, 0, "X: y\n");
    trim(0, 1, "Route: <sip:1>, <sip:2;lr>\nX: y\n");
    trim(0, 2, "Route: <sip:1>\nX: y\n");
    trim(1, 1, "Route: <sip:2;lr>\nX: y\n");
    trim(1, 2, "X: y\n");
    // A strict router before us: the last Route becomes the Request-URI (RFC 3261 §16.4).
    let want = format!("OPTIONS sip:3 SIP/2.0\n{via}Route: <sip:1>, <sip:2;lr>\nX: y\n{PARTIES}\n");
    check(&headers, &want, |message, edits| {
        forward::set_uri(message, b"sip:3", edits);
        forward::remove_last_route(message, edits);
    });
    // A strict router behind us (§16.6 step 6).
    let want = format!(
        "OPTIONS sip:1 SIP/2.0\n{via}Route: <sip:2;lr>\nX: y\nRoute: <sip:3>\n\
         Route: <sip:b@example.com>\n{PARTIES}\n"
    );
    check(&headers, &want, |message, edits| {
        forward::append_route(message, message.uri(), edits);
        forward::pop_routes(message, 1, edits);
        forward::set_uri(message, b"sip:1", edits);
    });
    let want = format!("{start}{via}Route: <sip:n>\n{PARTIES}\n");
    check(&with_parties(via), &want, |message, edits| {
        forward::append_route(message, b"sip:n", edits);
    });
    check(&with_parties(via), &want, |message, edits| {
        forward::push_route(message, b"<sip:n>", edits);
    });
}

#[test]
fn headers_are_added_set_and_removed_by_their_parsed_name() {
    let start = "OPTIONS sip:b@example.com SIP/2.0\n";
    let via = "Via: SIP/2.0/UDP a\n";
    let headers = format!(
        "{via}X-Secret : 1\nMax-Forwards:\n 0070\n{PARTIES}x-secret: 2,\n 3\nk: a\nSupported: b\n"
    );
    let want = format!("{start}{via}Max-Forwards:\n 69\n{PARTIES}A: b\n\n");
    check(&headers, &want, |message, edits| {
        forward::remove_named(message, b"X-SECRET", edits);
        forward::remove_header(message, HeaderId::Supported, edits);
        forward::set_max_forwards(message, 69, edits);
        forward::add_header(message, b"A", b"b", edits);
    });
    let want = format!(
        "{start}{via}Record-Route: <sip:x;lr>\nRecord-Route: <sip:y;lr>\nMax-Forwards: 70\n\
         Max-Breadth: 60\n{PARTIES}\n"
    );
    check(&with_parties(via), &want, |message, edits| {
        forward::push_record_route(message, &[&[b"<sip:x;", b"lr>"], &[b"<sip:y;lr>"]], edits);
        forward::set_max_forwards(message, 70, edits);
        forward::set_max_breadth(message, 60, edits);
    });
    let recorded = format!("{via}{PARTIES}record-route: <sip:z>\n");
    let want = format!("{start}{via}{PARTIES}Record-Route: <sip:x>\nrecord-route: <sip:z>\n\n");
    check(&recorded, &want, |message, edits| {
        forward::push_record_route(message, &[&[b"<sip:x>"]], edits);
    });
}

#[test]
fn edits_refuse_at_their_limits() {
    let bytes = vec![b'x'; 2_000];
    let mut out = vec![0; 40_000];
    let mut edits = Edits::new();
    for at in 0..=Edits::COUNT_MAX {
        edits.insert(at, b"y");
    }
    assert_eq!(edits.compose(&bytes, &mut out), None, "one change too many");
    edits.clear();
    edits.insert(0, &vec![b'y'; Edits::TEXT_BYTES_MAX]);
    assert_eq!(
        edits.compose(&bytes, &mut out),
        Some(2_000 + Edits::TEXT_BYTES_MAX)
    );
    assert_eq!(
        edits.compose(&bytes, &mut out[..18_383]),
        None,
        "one octet too few"
    );
    edits.insert(1, b"y");
    assert_eq!(
        edits.compose(&bytes, &mut out),
        None,
        "one octet of text too many"
    );
    edits.clear();
    edits.replace(1..3, b"a");
    edits.replace(2..4, b"b");
    assert_eq!(
        edits.compose(&bytes, &mut out),
        None,
        "two texts for one octet"
    );
    edits.clear();
    edits.remove(1_999..2_001);
    assert_eq!(edits.compose(&bytes, &mut out), None, "past the end");
}

#[test]
fn answers_copy_what_they_must() {
    let bytes = crlf(
        "INVITE sip:b@example.com SIP/2.0\n\
         v: SIP/2.0/UDP a.example.com;branch=z9hG4bK1;rport\n\
         Via: SIP/2.0/UDP c.example.com;branch=z9hG4bK2,\n SIP/2.0/TCP d.example.com\n\
         Record-Route: <sip:p1;lr>\n\
         From: A <sip:a@example.com>;tag=1\n\
         To: sip:b@example.com \n\
         Call-ID: 1\nCSeq: 1 INVITE\nTimestamp: 54\nl: 0\n\n",
    );
    let mut index = Index::new();
    let request = parse(&bytes, &mut index).unwrap();
    let answer = |status: u16, to_tag: &[u8], extra: &[(&[u8], &[u8])]| {
        let response = Response {
            status,
            reason: reason_phrase(status).as_bytes(),
            to_tag,
            extra,
            source: addr("192.0.2.1:4000"),
        };
        let mut out = vec![0; respond::len_max(&request, &response)];
        let length = respond::compose(&request, &response, &mut out).expect("len_max is enough");
        let short = respond::compose(&request, &response, &mut out[..length - 1]);
        assert_eq!(short, None, "one octet too few");
        let response = respond::compose(&request, &response, &mut out).unwrap();
        out.truncate(response);
        let mut index = Index::new();
        let parsed = parse(&out, &mut index).unwrap();
        assert_eq!((parsed.status(), parsed.to_tag()), (status, to_tag));
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    };
    let vias = "v: SIP/2.0/UDP a.example.com;branch=z9hG4bK1;received=192.0.2.1;rport=4000\n\
         Via: SIP/2.0/UDP c.example.com;branch=z9hG4bK2,\n SIP/2.0/TCP d.example.com\n\
         From: A <sip:a@example.com>;tag=1\n";
    assert_eq!(
        answer(100, b"", &[]),
        format!(
            "SIP/2.0 100 Trying\n{vias}To: sip:b@example.com \nCall-ID: 1\nCSeq: 1 INVITE\n\
             Timestamp: 54\nContent-Length: 0\n\n"
        )
    );
    assert_eq!(
        answer(420, b"ab", &[(b"Unsupported", b"x")]),
        format!(
            "SIP/2.0 420 Bad Extension\n{vias}To: sip:b@example.com;tag=ab \nCall-ID: 1\n\
             CSeq: 1 INVITE\nUnsupported: x\nContent-Length: 0\n\n"
        )
    );
    assert!(answer(180, b"ab", &[]).contains("Record-Route: <sip:p1;lr>\n"));
}

#[test]
fn a_refused_request_is_answered_with_what_can_be_copied() {
    let source = addr("192.0.2.1:4000");
    let refused = |bytes: &[u8]| {
        let mut index = Index::new();
        let error = parse(bytes, &mut index).unwrap_err();
        let mut out = vec![0; 4_000];
        let status = error.status().expect("a request is answered");
        let length = respond::refuse(bytes, &index, status, b"No", source, &mut out).unwrap();
        String::from_utf8_lossy(&out[..length]).replace("\r\n", "\n")
    };
    assert_eq!(
        refused(&corpora::read("rfc4475/insuf.dat")),
        "SIP/2.0 400 No\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf;received=192.0.2.1\n\
         CSeq: 193942 INVITE\nContent-Length: 0\n\n"
    );
    assert_eq!(
        refused(&corpora::read("rfc4475/test.dat")),
        "SIP/2.0 400 No\nFrom: ralph@example.com\nTo: alan@jasomi.com\n\
         Call-ID: test.0ha0isndaksdj@192.0.2.1\nContent-Length: 0\n\n"
    );
    let multiple = refused(&corpora::read("rfc4475/multi01.dat"));
    assert_eq!(multiple.matches("\nFrom: ").count(), 1);
    assert_eq!(multiple.matches("\nCSeq: ").count(), 1);
    let bare_lf = refused(b"OPTIONS sip:b SIP/2.0\nVia: SIP/2.0/UDP a\n ;rport\nTo: <sip:b@c>\n\n");
    assert!(
        bare_lf.starts_with(
            "SIP/2.0 400 No\nVia: SIP/2.0/UDP a  ;received=192.0.2.1;rport=4000\nTo: <sip:b@c>;tag="
        ),
        "{bare_lf}"
    );
}

#[test]
fn a17_bare_cr_lf_and_nul_are_never_accepted_in_a_header() {
    let good = invite();
    let section = good
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let mut index = Index::new();
    for octet in [b'\r', b'\n', 0] {
        for at in 0..section + 2 {
            let mut bytes = good.clone();
            bytes.insert(at, octet);
            let Ok(message) = parse(&bytes, &mut index) else {
                continue;
            };
            // A CR before a CRLF, or an LF after one, is refused; one that makes an end of the
            // section earlier is a shorter message.
            panic!(
                "octet {octet} at {at} passes: {:?}",
                String::from_utf8_lossy(message.bytes())
            );
        }
    }
    for header in [
        "Subject: \"a\\\0\"",
        "X: \"\\\0\"",
        "Via: SIP/2.0/UDP a;x=\"\\\0\"",
    ] {
        let bytes = request(&format!(
            "{header}\n{}",
            with_parties("Via: SIP/2.0/UDP a\n")
        ));
        assert!(parse(&bytes, &mut index).is_err(), "{header}");
    }
    let bytes = request(&with_parties("Via: SIP/2.0/UDP a\nm: \"\\\0\" <sip:a@b>\n"));
    assert!(
        parse(&bytes, &mut index).is_ok(),
        "the one place (RFC 4475 3.1.1.2)"
    );
}

#[test]
fn a17_a_space_before_the_colon_hides_no_header() {
    for name in [
        "P-Asserted-Identity",
        "p-asserted-identity ",
        "P-ASSERTED-IDENTITY\t ",
    ] {
        let headers = with_parties(&format!("Via: SIP/2.0/UDP a\n{name}: <sip:forged@b>\n"));
        let sent = edited(&request(&headers), |message, edits| {
            forward::remove_header(message, HeaderId::PAssertedIdentity, edits);
        });
        assert!(!sent.contains("forged"), "{sent}");
    }
    let mut index = Index::new();
    for name in [
        "P-Asserted-Identity\x01",
        " P-Asserted-Identity",
        "P-Asserted\u{b}-Identity",
    ] {
        let headers = with_parties(&format!(
            "Via: SIP/2.0/UDP a\nA: b\n{name}: <sip:forged@b>\n"
        ));
        let bytes = request(&headers);
        // A space at the start makes it a fold of the line before: no header by anybody's reading.
        let is_fold = name.starts_with(' ');
        assert_eq!(parse(&bytes, &mut index).is_ok(), is_fold, "{name:?}");
    }
}

#[test]
fn cancel_and_ack_follow_from_the_invite_that_was_sent() {
    let sent = crlf(
        "INVITE sip:b@192.0.2.3 SIP/2.0\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKours;rport\n\
         Via: SIP/2.0/UDP a.example.com;branch=z9hG4bK1\n\
         Route: <sip:192.0.2.4;lr>\n\
         From: A <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>\n\
         Call-ID: 1\nCSeq: 7 INVITE\nMax-Forwards: 69\nRequire: x\nl: 0\n\n",
    );
    let response = crlf(
        "SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKours\n\
         From: A <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>;tag=2\n\
         Call-ID: 1\nCSeq: 7 INVITE\nl: 0\n\n",
    );
    let (mut one, mut two) = (Index::new(), Index::new());
    let sent = parse(&sent, &mut one).unwrap();
    let response = parse(&response, &mut two).unwrap();
    let follow = |method: &str, to: &str, extra: &str| {
        format!(
            "{method} sip:b@192.0.2.3 SIP/2.0\n\
             Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKours;rport\n\
             Route: <sip:192.0.2.4;lr>\nMax-Forwards: 70\n\
             From: A <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>{to}\n\
             Call-ID: 1\nCSeq: 7 {method}\n{extra}Content-Length: 0\n\n"
        )
    };
    let mut out = [0; 1_000];
    let text = |out: &[u8]| {
        String::from_utf8(out.to_vec())
            .unwrap()
            .replace("\r\n", "\n")
    };
    let length = derive::cancel(&sent, &mut out).unwrap();
    assert_eq!(text(&out[..length]), follow("CANCEL", "", ""));
    let reason: (&[u8], &[u8]) = (b"Reason", b"SIP;cause=200");
    let length = derive::cancel_with(&sent, &[reason], &mut out).unwrap();
    assert_eq!(
        text(&out[..length]),
        follow("CANCEL", "", "Reason: SIP;cause=200\n")
    );
    let length = derive::ack(&sent, &response, &mut out).unwrap();
    assert_eq!(text(&out[..length]), follow("ACK", ";tag=2", ""));
    assert_eq!(derive::ack(&sent, &response, &mut out[..length - 1]), None);
}

#[test]
fn responses_go_where_the_via_and_the_source_say() {
    let source = addr("192.0.2.1:4000");
    for (via, want) in [
        ("a.example.com", "192.0.2.1:5060"),
        ("a.example.com:5070", "192.0.2.1:5070"),
        ("a.example.com:5070;rport", "192.0.2.1:4000"),
        ("a.example.com:5070;maddr=192.0.2.200", "192.0.2.200:5070"),
        ("a.example.com:5070;maddr=[2001:db8::1]", "192.0.2.1:5070"),
        ("a.example.com;maddr=2001:db8::1", "[2001:db8::1]:5060"),
        ("a.example.com;maddr=255.255.255.255", "192.0.2.1:5060"),
        ("a.example.com;maddr=239.255.255.1;ttl=4", "192.0.2.1:5060"),
    ] {
        let value = format!("SIP/2.0/UDP {via}");
        let via = Via::parse(value.as_bytes()).unwrap();
        assert_eq!(response_route::target(&via, source), addr(want), "{value}");
    }
    let tls = Via::parse(b"SIP/2.0/TLS a.example.com").unwrap();
    assert_eq!(response_route::target(&tls, source), addr("192.0.2.1:5061"));
    for (via, want) in [
        ("192.0.2.5", Some("192.0.2.5:5060")),
        ("[2001:db8::9]:5062", Some("[2001:db8::9]:5062")),
        (
            "a.example.com;received=192.0.2.6;rport=99",
            Some("192.0.2.6:99"),
        ),
        ("a.example.com", None),
        ("255.255.255.255", None),
    ] {
        let value = format!("SIP/2.0/UDP {via}");
        let via = Via::parse(value.as_bytes()).unwrap();
        assert_eq!(response_route::next_hop(&via), want.map(addr), "{value}");
    }
}
