//! RFC 4475 and RFC 5118 through a router: one row a message, each with the outcome that a proxy
//! must give, and nothing done that a proxy must not do.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use base::Transport;
use bench::{
    Bench, CALLER, OTHER, Packet, Setup, TCP, UDP_LOCAL, VENDOR, assert_clean, at, crlf, respond,
};
use corpora::{read, table};
use sip::{HeaderId, Index, Message, NameAddr, Via, parse};

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// The gateway gets it.
    Forward,
    /// Its sender is told.
    Status(u16),
    /// Nothing comes out.
    Drop,
    /// It is read; a stray response goes nowhere.
    Parse,
}
use Outcome::{Drop, Forward, Parse, Status};

/// Message, what the router does.
type Row = (&'static str, Outcome);

#[rustfmt::skip] // a table
const RFC4475: &[Row] = &[
    ("wsinv.dat", Status(481)), // a To tag, and no Route of ours
    ("intmeth.dat", Forward),
    ("esc01.dat", Forward),
    ("escnull.dat", Forward),
    ("esc02.dat", Forward),
    ("lwsdisp.dat", Forward),
    ("longreq.dat", Forward),
    ("dblreq.dat", Forward),
    ("semiuri.dat", Forward),
    ("transports.dat", Forward),
    ("mpart01.dat", Forward),
    ("unreason.dat", Parse),
    ("noreason.dat", Parse),
    ("badinv01.dat", Status(400)),
    ("clerr.dat", Status(400)),
    ("ncl.dat", Status(400)),
    ("scalar02.dat", Status(400)),
    ("scalarlg.dat", Drop),
    ("quotbal.dat", Status(400)),
    ("ltgtruri.dat", Status(400)),
    ("lwsruri.dat", Status(400)),
    ("lwsstart.dat", Status(400)),
    ("trws.dat", Status(400)),
    ("escruri.dat", Status(400)),
    ("baddate.dat", Forward),
    ("regbadct.dat", Status(400)),
    ("badaspec.dat", Status(400)),
    ("baddn.dat", Status(400)),
    ("badvers.dat", Status(505)),
    ("mismatch01.dat", Status(400)),
    ("mismatch02.dat", Status(501)),
    ("bigcode.dat", Drop),
    ("badbranch.dat", Status(400)),
    ("insuf.dat", Status(400)),
    ("unkscm.dat", Status(416)),
    ("novelsc.dat", Status(416)),
    ("unksm2.dat", Forward),
    ("bext01.dat", Status(420)),
    ("invut.dat", Forward),
    ("regaut01.dat", Forward),
    ("multi01.dat", Status(400)),
    ("mcl01.dat", Status(400)),
    ("bcast.dat", Drop),
    ("zeromf.dat", Status(483)),
    ("cparam01.dat", Forward),
    ("cparam02.dat", Forward),
    ("regescrt.dat", Forward),
    ("sdp01.dat", Forward),
    ("inv2543.dat", Forward),
    ("test.dat", Status(400)),
    ("derived/baddn-terminated.dat", Status(400)),
    ("derived/ncl-five.dat", Status(400)),
    ("derived/mpart01-tcp.dat", Forward),
];

#[rustfmt::skip] // a table
const RFC5118: &[Row] = &[
    ("crlf/ipv6-good", Forward),
    ("crlf/ipv6-bad", Status(400)),
    ("crlf/port-ambiguous", Forward),
    ("crlf/port-unambiguous", Forward),
    ("crlf/via-received-param-with-delim", Status(481)), // a BYE in no dialog of ours
    ("crlf/via-received-param-no-delim", Forward),
    ("crlf/ipv6-in-sdp", Forward),
    ("crlf/mult-ip-in-header", Status(481)), // the same
    ("crlf/mult-ip-in-sdp", Forward),
    ("crlf/ipv4-mapped-ipv6", Forward),
    ("crlf/ipv6-bug-abnf-3-colons", Forward),
    ("crlf/ipv6-correct-abnf-2-colons", Forward),
];

/// How a message is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// In a datagram.
    Datagram,
    /// On a stream, so many octets at a time.
    Stream(usize),
    /// On a stream, twice back to back.
    Twice,
}

/// What the set allows: its first word, and the statuses and words of its second column.
fn allows(outcome: Outcome, stated: &[String]) -> bool {
    let (expected, allowed) = (stated[5].as_str(), stated[6].as_str());
    let allowed = allowed.split('(').next().unwrap();
    let is_allowed = |word: &str| allowed.split_whitespace().next() == Some(word);
    match outcome {
        Forward => expected == "forward" || is_allowed("forward"),
        // Several statuses stand in a row.
        Status(status) => {
            let status = status.to_string();
            let leading = allowed
                .split_whitespace()
                .take_while(|word| word.parse::<u16>().is_ok())
                .any(|word| word == status);
            expected.split_whitespace().next() == Some(&status) || leading
        }
        Drop => expected == "drop" || is_allowed("drop"),
        Parse => expected.starts_with("parse"),
    }
}

fn bench() -> Bench {
    Setup::new().everybody_is_known().build()
}

fn check(folder: &str, rows: &[Row]) {
    let expected = table(&format!("{folder}/expected.tsv"));
    let stated: Vec<&str> = expected.iter().map(|row| row[0].as_str()).collect();
    let tested: Vec<&str> = rows.iter().map(|row| row.0).collect();
    assert_eq!(tested, stated, "one row a message, none left out");
    for (&(name, outcome), stated) in rows.iter().zip(&expected) {
        assert!(allows(outcome, stated), "{name}: {outcome:?}: {stated:?}");
        let bytes = read(&format!("{folder}/{name}"));
        run(name, &bytes, outcome, Way::Datagram);
        for way in [Way::Stream(1), Way::Stream(bytes.len()), Way::Twice] {
            if let Some(outcome) = on_stream(name, &bytes, outcome) {
                run(name, &bytes, outcome, way);
            }
        }
    }
}

/// What a stream makes of it; `None`: something else than one message.
fn on_stream(name: &str, bytes: &[u8], outcome: Outcome) -> Option<Outcome> {
    match name {
        // The octets behind the message are the next message.
        "dblreq.dat" => None,
        // The octets that Content-Length promises may still come, and so may the header section's.
        "clerr.dat" | "baddn.dat" | "test.dat" | "derived/baddn-terminated.dat" => None,
        // Without Content-Length nobody can tell where it ends (RFC 3261 §20.14).
        _ => match sip::frame::frame(bytes, sip::frame::Limits::default()) {
            sip::frame::Framing::Message(len) if len == bytes.len() => Some(outcome),
            sip::frame::Framing::Bad(error) if !bytes.starts_with(b"SIP/") => {
                Some(Status(error.status()))
            }
            _ => None,
        },
    }
}

/// Sends a message to a fresh router and sees what becomes of it.
fn run(name: &str, bytes: &[u8], outcome: Outcome, way: Way) {
    let mut bench = bench();
    let times = send(&mut bench, name, bytes, way);
    let name = &format!("{name} by {way:?}");
    let sent = bench.take();
    for packet in sent.iter().filter(|packet| !packet.bytes.is_empty()) {
        assert_clean(name, &packet.bytes);
        let is_ours = [VENDOR, OTHER, CALLER].map(|peer| at(peer).ip());
        assert!(is_ours.contains(&packet.peer.ip()), "{name}: {packet:?}");
    }
    let (onward, back): (Vec<Packet>, Vec<Packet>) = sent
        .into_iter()
        .filter(|packet| !packet.close)
        .partition(|packet| packet.peer == at(VENDOR));
    let statuses: Vec<Option<u16>> = back.iter().map(Packet::status).collect();
    let is_bad = bench.counter("malformed") > 0;
    match outcome {
        Forward => {
            assert_eq!(onward.len(), 1, "{name}: {back:?}");
            assert!(
                statuses.iter().all(|&status| status == Some(100)),
                "{name}: {statuses:?}"
            );
            forwarded_as_it_should(name, bytes, &onward[0].bytes);
            assert_eq!(bench.counter("requests"), times, "{name}");
        }
        Status(status) => {
            assert!(onward.is_empty(), "{name}: {onward:?}");
            assert!(
                !back.is_empty() && statuses.iter().all(|&sent| sent == Some(status)),
                "{name}: {statuses:?}, not {status}"
            );
            refused_as_it_should(name, bytes, &back[0].bytes);
        }
        Drop => assert!(onward.is_empty() && back.is_empty(), "{name}: {back:?}"),
        Parse => {
            assert!(onward.is_empty() && back.is_empty(), "{name}: {back:?}");
            assert!(!is_bad, "{name} is well-formed");
            assert_eq!(bench.counter("stray_responses"), times, "{name}");
        }
    }
    bench.ends_empty();
}

/// Returns how many messages were sent.
fn send(bench: &mut Bench, name: &str, bytes: &[u8], way: Way) -> u64 {
    // Its Route names 127.0.0.1:5080: it is sent there.
    let listener = match (way, name.contains("mpart01")) {
        (Way::Datagram, false) => bench::UDP,
        (Way::Datagram, true) => UDP_LOCAL,
        _ => TCP,
    };
    let (pieces, times) = match way {
        Way::Datagram => {
            bench.receive_at(listener, CALLER, bytes);
            return 1;
        }
        Way::Stream(octets) => (bytes.chunks(octets).map(<[u8]>::to_vec).collect(), 1),
        Way::Twice => (vec![[bytes, bytes].concat()], 2),
    };
    let pieces: Vec<Vec<u8>> = pieces;
    let stream = bench.connect(listener, CALLER);
    for piece in pieces {
        bench.stream(stream, &piece);
    }
    times
}

/// Holds a forwarded request against what it was: RFC 3261 §16.6 changes what it says and no more.
fn forwarded_as_it_should(name: &str, before: &[u8], after: &[u8]) {
    let (mut first, mut second) = (Index::new(), Index::new());
    let old = parse(before, &mut first).unwrap();
    let new = parse(after, &mut second)
        .unwrap_or_else(|error| panic!("{name}: what was forwarded cannot be read: {error}"));
    assert_eq!(new.bytes().len(), after.len(), "{name}: octets beyond it");
    assert_eq!(new.body(), old.body(), "{name}: the body");
    assert_eq!(new.method_bytes(), old.method_bytes(), "{name}");
    assert_eq!(new.uri(), old.uri(), "{name}: the Request-URI");
    let hops = old.max_forwards().map_or(70, |hops| hops - 1);
    assert_eq!(new.max_forwards(), Some(hops), "{name}: Max-Forwards");
    assert_eq!(new.header(HeaderId::MaxBreadth), Some(&b"60"[..]), "{name}");
    vias_are_kept(name, &old, &new);
    let lines = |message: &Message<'_>| -> Vec<Vec<u8>> {
        message
            .lines()
            .filter(|line| {
                !matches!(
                    line.id,
                    HeaderId::Via
                        | HeaderId::MaxForwards
                        | HeaderId::MaxBreadth
                        | HeaderId::Route
                        | HeaderId::RecordRoute
                )
            })
            .map(|line| message.bytes()[line.range].to_vec())
            .collect()
    };
    assert_eq!(lines(&new), lines(&old), "{name}: the other lines");
    let values = |message: &Message<'_>, id| -> Vec<Vec<u8>> {
        let bytes = message.values(id).map(|value| value.bytes.to_vec());
        bytes.collect()
    };
    let routes = values(&new, HeaderId::RecordRoute);
    let own = usize::from(new.method() == sip::Method::Invite);
    let ours = routes.len() - values(&old, HeaderId::RecordRoute).len();
    assert!(
        (own == 0 && ours == 0) || (own == 1 && (1..=2).contains(&ours)),
        "{name}"
    );
    assert_eq!(
        routes[ours..],
        values(&old, HeaderId::RecordRoute),
        "{name}"
    );
    for value in new.values(HeaderId::Route) {
        let uri = NameAddr::parse(value.bytes).unwrap().uri;
        assert!(!uri.starts_with(b"sip:127.0.0.1:5080"), "{name}: our Route");
    }
}

/// Ours is on top, the one below says where the request came from, the rest is as it was.
fn vias_are_kept(name: &str, old: &Message<'_>, new: &Message<'_>) {
    let values = |message: &Message<'_>| -> Vec<Vec<u8>> {
        let bytes = message.values(HeaderId::Via).map(|via| via.bytes.to_vec());
        bytes.collect()
    };
    let (olds, news) = (values(old), values(new));
    assert_eq!(news.len(), olds.len() + 1, "{name}: Via values");
    assert_eq!(news[2..], olds[1..], "{name}: the Via values below");
    assert!(new.via().has_cookie(), "{name}: our own branch");
    let (was, is) = (Via::parse(&olds[0]).unwrap(), Via::parse(&news[1]).unwrap());
    assert_eq!(
        (was.transport, was.host, was.port, was.branch),
        (is.transport, is.host, is.port, is.branch),
        "{name}: the sender's Via"
    );
    // Liberal in, strict out: an IPv6 address in received has no brackets (RFC 5118 §4.5).
    if let Some(at) = news[1].windows(9).position(|nine| nine == b"received=") {
        assert_ne!(news[1].get(at + 9), Some(&b'['), "{name}");
    }
    assert!(
        is.ip() == Some(at(CALLER).ip()) || is.received() == Some(at(CALLER).ip()),
        "{name}: received: {}",
        String::from_utf8_lossy(&news[1])
    );
}

/// What a refusal copies, it copies right.
fn refused_as_it_should(name: &str, request: &[u8], answer: &[u8]) {
    let (mut first, mut second) = (Index::new(), Index::new());
    let Ok(answer) = parse(answer, &mut second) else {
        return; // what the request lacked, its answer lacks
    };
    assert!(answer.body().is_empty(), "{name}");
    let Ok(request) = parse(request, &mut first) else {
        return;
    };
    assert_eq!(answer.call_id(), request.call_id(), "{name}");
    assert_eq!(answer.cseq(), request.cseq(), "{name}");
    assert_eq!(answer.from(), request.from(), "{name}");
    assert!(!answer.to_tag().is_empty(), "{name}: a To tag");
    if name.starts_with("bext01") {
        let unsupported = answer.header_named(b"Unsupported").unwrap();
        assert_eq!(
            unsupported, b"noProxiesSupportThis, norDoAnyProxiesSupportThis",
            "what Proxy-Require asked, and nothing of Require"
        );
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
fn rfc5118_comes_from_ipv6_too() {
    for &(name, outcome) in RFC5118 {
        let bytes = read(&format!("rfc5118/{name}"));
        let mut bench = bench();
        bench.receive("[2001:db8::9:1]:5060", &bytes);
        let sent = bench.take();
        let forwarded = sent
            .iter()
            .filter(|packet| packet.peer == at(VENDOR))
            .count();
        assert_eq!(
            forwarded,
            usize::from(outcome == Forward),
            "{name}: {sent:?}"
        );
        if let Status(status) = outcome {
            assert_eq!(sent[0].status(), Some(status), "{name}");
            assert_eq!(sent[0].peer.ip(), at("[2001:db8::9:1]:5060").ip(), "{name}");
        }
        bench.ends_empty();
    }
}

#[test]
fn rfc4475_dblreq_is_two_messages_on_a_stream() {
    let bytes = read("rfc4475/dblreq.dat");
    for octets in [1, bytes.len()] {
        let mut bench = bench();
        let stream = bench.connect(TCP, CALLER);
        for piece in bytes.chunks(octets) {
            bench.stream(stream, piece);
        }
        let methods: Vec<String> = bench
            .take()
            .iter()
            .filter(|packet| packet.peer == at(VENDOR))
            .map(|packet| packet.text().split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(methods, ["REGISTER", "INVITE"]);
        bench.ends_empty();
    }
}

#[test]
fn rfc4475_unfinished_messages_wait_on_a_stream_for_what_they_promise() {
    for name in ["clerr.dat", "baddn.dat"] {
        let mut bench = bench();
        let stream = bench.connect(TCP, CALLER);
        bench.stream(stream, &read(&format!("rfc4475/{name}")));
        assert!(bench.take().is_empty(), "{name}: it may go on");
        bench.world.stream_close(bench.world.now(), stream);
        bench.ends_empty();
        assert_eq!(bench.counter("requests"), 0, "{name}");
    }
}

/// What becomes of a response that answers a transaction of ours: the file with our Via on top.
#[test]
fn rfc4475_responses_with_our_via_on_top() {
    #[rustfmt::skip] // a table: the file, the method it answers, whether its caller gets it
    let rows = [
        ("bcast.dat", "INVITE", true),
        ("unreason.dat", "INVITE", true),
        ("noreason.dat", "INVITE", false), // a 100 goes one hop
        ("scalarlg.dat", "OPTIONS", false),
        ("bigcode.dat", "INVITE", false),
    ];
    for (name, method, is_forwarded) in rows {
        let mut bench = bench();
        let request = format!(
            "{method} sip:user@example.edu SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKlive
From: <sip:user@example.com>;tag=1
To: <sip:user@example.edu>
Call-ID: live@192.0.2.1
CSeq: 35 {method}
Max-Forwards: 70
Content-Length: 0

"
        );
        bench.hear(CALLER, &request);
        let onward = bench.take().pop().unwrap();
        assert_eq!(onward.peer, at(VENDOR));
        let via = bench::headers(&onward.text(), &["Via"]);
        let via = crlf(&format!("{}\n", via.lines().next().unwrap()));
        let bytes = read(&format!("rfc4475/{name}"));
        let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        bench.receive(VENDOR, &[&bytes[..line], &via, &bytes[line..]].concat());
        let sent = bench.take();
        if !is_forwarded {
            assert!(sent.is_empty(), "{name}: {sent:?}");
            if name != "noreason.dat" {
                assert_eq!(bench.counter("malformed"), 1, "{name}");
            }
            // The transaction is as it was: a good answer still gets through.
            bench.hear(VENDOR, &respond(&onward.text(), "200 OK", "b"));
            assert_eq!(bench.take()[0].status(), Some(200), "{name}");
        } else {
            assert_eq!(sent.len(), 1, "{name}: {sent:?}");
            assert_eq!(sent[0].peer, at(CALLER), "{name}: by no Via but ours");
            assert_eq!(sent[0].transport, Transport::Udp);
            assert_eq!(sent[0].bytes, bytes, "{name}: as it came, without our Via");
        }
        bench.ends_empty();
    }
}

/// 3,515 octets are too many for a datagram that may have to cross the open Internet.
#[test]
fn rfc4475_longreq_leaves_by_tcp_if_udp_is_bounded() {
    let bytes = read("rfc4475/longreq.dat");
    let mut setup = Setup::new().everybody_is_known();
    setup.udp_bytes_max = 1_300;
    let mut bench = setup.build();
    bench.receive(CALLER, &bytes);
    let sent = bench.take();
    let onward: Vec<&Packet> = sent.iter().filter(|sent| sent.is_request()).collect();
    assert_eq!(onward.len(), 1);
    assert_eq!(
        (onward[0].transport, onward[0].peer),
        (Transport::Tcp, at(VENDOR))
    );
    forwarded_as_it_should("longreq.dat", &bytes, &onward[0].bytes);
    bench.ends_empty();
}
