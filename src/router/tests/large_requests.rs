//! Requests that are too large for UDP go by TCP, and come back to UDP if the peer takes no TCP
//! (RFC 3261 §18.1.1).

#![allow(dead_code)] // the bench is shared; this file needs little of it

mod bench;

use base::Transport;
use bench::{Bench, CALLER, Setup, VENDOR, at, respond};

/// An INVITE with a body of so many octets.
fn invite(body: usize) -> String {
    format!(
        "INVITE sip:+4412345@192.0.2.100 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1
From: <sip:+331@192.0.2.1>;tag=a
To: <sip:+4412345@192.0.2.100>
Call-ID: one@192.0.2.1
CSeq: 1 INVITE
Contact: <sip:a@192.0.2.1:5060>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: {body}

{}",
        "v".repeat(body)
    )
}

/// A router with the limit of RFC 3261 for a path whose MTU is not known.
fn bench() -> Bench {
    let mut setup = Setup::new();
    setup.udp_bytes_max = 1_300;
    setup.build()
}

#[test]
fn a_small_request_stays_with_udp() {
    let mut bench = bench();
    bench.hear(CALLER, &invite(300));
    let sent = bench.take();
    assert_eq!(
        (sent[1].peer, sent[1].transport),
        (at(VENDOR), Transport::Udp)
    );
}

#[test]
fn a_large_request_goes_by_tcp_and_its_answer_comes_back() {
    let mut bench = bench();
    bench.hear(CALLER, &invite(1_500));
    let sent = bench.take();
    let forwarded = &sent[1];
    assert_eq!(
        (forwarded.peer, forwarded.transport),
        (at(VENDOR), Transport::Tcp)
    );
    let text = forwarded.text();
    assert!(text.contains("Via: SIP/2.0/TCP 192.0.2.100:5060"), "{text}");
    assert!(
        text.contains(";transport=tcp;lr;tl="),
        "the vendor's side of Record-Route: {text}"
    );
    let stream = forwarded.stream.expect("a stream");
    let answer = respond(&text, "486 Busy Here", "b");
    bench.stream(stream, answer.replace('\n', "\r\n").as_bytes());
    assert!(
        bench
            .lines()
            .contains(&format!("{CALLER}: SIP/2.0 486 Busy Here"))
    );
}

#[test]
fn a_refused_stream_brings_it_back_to_udp() {
    let mut bench = bench();
    bench.hear(CALLER, &invite(1_500));
    let stream = bench.take()[1].stream.expect("a stream");
    let now = bench.world.now();
    bench.world.stream_refuse(now, stream);
    bench.run(now);
    let sent = bench.take();
    let again = sent
        .iter()
        .find(|packet| packet.is_request())
        .expect("another try");
    assert_eq!((again.peer, again.transport), (at(VENDOR), Transport::Udp));
    let text = again.text();
    assert!(text.contains("Via: SIP/2.0/UDP 192.0.2.100:5060"), "{text}");
    bench.hear(VENDOR, &respond(&text, "486 Busy Here", "b"));
    assert!(
        bench
            .lines()
            .contains(&format!("{CALLER}: SIP/2.0 486 Busy Here"))
    );
    assert_eq!(bench.records().len(), 1);
}
