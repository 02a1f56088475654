//! What reading costs: a usual INVITE and its response, the peek before, and framing in a stream.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip::{Index, frame};

/// About 700 octets, as a gateway sends it.
const INVITE: &str = "\
INVITE sip:+12025550123@198.51.100.7:5060;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK74bf9c2a1;rport
Max-Forwards: 70
From: \"Alice\" <sip:+12025550100@192.0.2.10;user=phone>;tag=9fxced76sl
To: <sip:+12025550123@198.51.100.7;user=phone>
Call-ID: 3848276298220188511@192.0.2.10
CSeq: 1 INVITE
Contact: <sip:+12025550100@192.0.2.10:5060>
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK
Content-Type: application/sdp
Content-Length: 188

v=0
o=- 2890844526 2890844526 IN IP4 192.0.2.10
s=-
c=IN IP4 192.0.2.10
t=0 0
m=audio 49170 RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
";

const RINGING: &str = "\
SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK1f2e3d4c5b6a7988;rport
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK74bf9c2a1;received=192.0.2.10;rport=5060
Record-Route: <sip:198.51.100.7;lr;t=0123456789abcdef>
From: \"Alice\" <sip:+12025550100@192.0.2.10;user=phone>;tag=9fxced76sl
To: <sip:+12025550123@198.51.100.7;user=phone>;tag=314159
Call-ID: 3848276298220188511@192.0.2.10
CSeq: 1 INVITE
Contact: <sip:+12025550123@203.0.113.5:5060>
Content-Length: 0

";

fn wire(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn parse(c: &mut Criterion) {
    let mut index = Index::new();
    let mut group = c.benchmark_group("parse");
    for (name, text) in [("invite", INVITE), ("ringing", RINGING)] {
        let bytes = wire(text);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let message = sip::parse(black_box(&bytes), &mut index).expect("a good message");
                black_box(message.cseq())
            });
        });
    }
    let many = INVITE.replace(
        "CSeq:",
        &format!("{}CSeq:", "X-Header: value\n".repeat(200)),
    );
    let bytes = wire(&many);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("invite_200_headers", |b| {
        b.iter(|| sip::parse(black_box(&bytes), &mut index).is_ok());
    });
    group.finish();
}

fn sniff(c: &mut Criterion) {
    let bytes = wire(INVITE);
    c.bench_function("sniff/invite", |b| {
        b.iter(|| sip::sniff(black_box(&bytes)).map(|sniffed| sniffed.call_id.len()));
    });
    c.bench_function("frame/invite", |b| {
        b.iter(|| frame::frame(black_box(&bytes), frame::Limits::default()));
    });
}

criterion_group!(benches, parse, sniff);
criterion_main!(benches);
