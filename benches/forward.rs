//! What passing on costs: an INVITE with all the changes of a proxy, a response, and an answer.

use std::hint::black_box;
use std::net::SocketAddr;

use base::Transport;
use criterion::{Criterion, criterion_group, criterion_main};
use sip::{Edits, Index, forward, respond};

const HEAD: &str = "\
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK74bf9c2a1;rport
Max-Forwards: 70
From: \"Alice\" <sip:+12025550100@192.0.2.10;user=phone>;tag=9fxced76sl
To: <sip:+12025550123@198.51.100.7;user=phone>
Call-ID: 3848276298220188511@192.0.2.10
CSeq: 1 INVITE
Contact: <sip:+12025550100@192.0.2.10:5060>
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK
Content-Length: 0

";
const OURS: &str = "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK1f2e3d4c5b6a7988;rport\n";

fn wire(start: &str) -> Vec<u8> {
    format!("{start}{HEAD}").replace('\n', "\r\n").into_bytes()
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn forward_request(c: &mut Criterion) {
    let bytes = wire("INVITE sip:+12025550123@198.51.100.7:5060;user=phone SIP/2.0\n");
    let mut index = Index::new();
    let mut edits = Edits::new();
    let mut out = [0; 4_096];
    let (source, ours) = (address("192.0.2.10:5060"), address("198.51.100.7:5060"));
    let message = sip::parse(&bytes, &mut index).expect("a good message");
    c.bench_function("forward/invite", |b| {
        b.iter(|| {
            edits.clear();
            let branch = b"z9hG4bK1f2e3d4c5b6a7988";
            forward::set_uri(&message, b"sip:12025550123@203.0.113.5:5060", &mut edits);
            forward::push_via(&message, Transport::Udp, ours, branch, &mut edits);
            forward::stamp_via(&message, source, &mut edits);
            let record: &[u8] = b"<sip:198.51.100.7:5060;lr;t=0123456789abcdef0123456789abcdef>";
            forward::push_record_route(&message, &[&[record]], &mut edits);
            forward::set_max_forwards(&message, 69, &mut edits);
            edits.compose(black_box(message.bytes()), &mut out)
        });
    });
}

fn forward_response(c: &mut Criterion) {
    let bytes = wire(&format!("SIP/2.0 180 Ringing\n{OURS}"));
    let mut index = Index::new();
    let mut edits = Edits::new();
    let mut out = [0; 4_096];
    let message = sip::parse(&bytes, &mut index).expect("a good message");
    c.bench_function("forward/ringing", |b| {
        b.iter(|| {
            edits.clear();
            forward::pop_via(black_box(&message), &mut edits);
            edits.compose(message.bytes(), &mut out)
        });
    });
}

fn answer(c: &mut Criterion) {
    let bytes = wire("INVITE sip:+12025550123@198.51.100.7:5060;user=phone SIP/2.0\n");
    let mut index = Index::new();
    let mut out = [0; 4_096];
    let message = sip::parse(&bytes, &mut index).expect("a good message");
    let response = respond::Response {
        status: 100,
        reason: b"Trying",
        to_tag: b"",
        extra: &[],
        source: address("192.0.2.10:5060"),
    };
    c.bench_function("respond/trying", |b| {
        b.iter(|| respond::compose(black_box(&message), &response, &mut out));
    });
}

criterion_group!(benches, forward_request, forward_response, answer);
criterion_main!(benches);
