//! The 4,527 cases of the PROTOS suite against a running router, with calls in between.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use std::path::{Path, PathBuf};

use bench::{Bench, CALLER, Setup, TCP, assert_clean, crlf};
use corpora::for_each_protos_case;

/// After how many cases a whole call is made.
const CALL_EVERY: usize = 50;
/// What fits into a UDP datagram over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The vendors take no notice of the cases, the customer still gets its OPTIONS answered.
fn options(bench: &mut Bench, case: usize) {
    let text = format!(
        "OPTIONS sip:192.0.2.100 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcheck{case}
From: <sip:check@192.0.2.1>;tag=1
To: <sip:192.0.2.100>
Call-ID: check{case}@192.0.2.1
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

"
    );
    bench.take();
    bench.receive(CALLER, &crlf(&text));
    let sent = bench.take();
    assert_eq!(sent.len(), 1, "case {case}: {sent:?}");
    assert_eq!(sent[0].status(), Some(200), "case {case}");
}

/// What has been sent is clean; a call goes through; and time passes, so that tables turn over.
fn between(bench: &mut Bench, case: usize) {
    for packet in bench.take() {
        if !packet.bytes.is_empty() && packet.bytes != b"\r\n" {
            assert_clean(&format!("case {case}"), &packet.bytes);
        }
    }
    options(bench, case);
    if case.is_multiple_of(CALL_EVERY) {
        bench.call();
        let records = bench.records();
        let answered = |record: &&String| record.contains("caller_hung_up");
        assert_eq!(records.iter().filter(answered).count(), 1, "case {case}");
    }
    bench.run_ms(100);
}

fn bench() -> Bench {
    let mut setup = Setup::new().nobody_goes_down();
    // Each case lives for as long as its timers: 32 s at 100 ms a case.
    setup.transactions_max = 4_000;
    setup.calls_max = 4_000;
    setup.limits.timers = 65_536;
    setup.build()
}

#[test]
fn a3_all_4527_protos_cases_over_udp() {
    let mut bench = bench();
    let mut too_long = 0;
    for_each_protos_case(&folder("protos-udp"), |case, messages| {
        for message in messages {
            if message.len() > DATAGRAM_BYTES_MAX {
                too_long += 1;
            } else {
                bench.receive(CALLER, message);
            }
        }
        between(&mut bench, case);
    });
    assert_eq!(too_long, 151, "as the set says of itself");
    let forwarded = bench.counter("attempts");
    assert!(
        forwarded > 1_000,
        "most only carry odd values: {}",
        bench.counters()
    );
    bench.ends_empty();
}

#[test]
fn a3_all_4527_protos_cases_over_tcp() {
    let mut bench = bench();
    let mut stream = None;
    for_each_protos_case(&folder("protos-tcp"), |case, messages| {
        for (number, message) in messages.iter().enumerate() {
            let stream = *stream.get_or_insert_with(|| bench.connect(TCP, CALLER));
            // Cut where the case and its message say: each cut is somewhere else.
            let cut = (case * 131 + number * 17) % message.len().max(1);
            bench.stream(stream, &message[..cut]);
            bench.stream(stream, &message[cut..]);
        }
        // A case that promises more octets than it has would eat the next one: each has its own.
        if let Some(stream) = stream.take() {
            bench.world.stream_close(bench.world.now(), stream);
        }
        between(&mut bench, case);
    });
    assert!(bench.counter("attempts") > 1_000, "{}", bench.counters());
    bench.ends_empty();
}
