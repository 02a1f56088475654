//! When memory for packets runs out in the middle of a call: what cannot be passed on is lost as on a
//! bad network, and nothing stays behind for it.

#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use bench::{Bench, CALLER, Dialog, Setup, VENDOR, respond};

/// A world in which few packets exist.
fn poor() -> Bench {
    let mut setup = Setup::new().nobody_goes_down();
    setup.limits.packets = [0, 24, 0, 0, 0, 0];
    setup.build()
}

/// OPTIONS for the router itself until no packet is left: each keeps its answer for 32 s.
fn use_up(bench: &mut Bench) {
    for number in 0..24 {
        bench.hear(
            CALLER,
            &format!(
                "OPTIONS sip:192.0.2.100 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKgreedy{number}
From: <sip:+331@192.0.2.1>;tag=greedy
To: <sip:192.0.2.100>
Call-ID: greedy{number}@192.0.2.1
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

"
            ),
        );
    }
    bench.take();
    assert!(bench.counter("packets_full") > 0, "{}", bench.counters());
}

#[test]
fn the_answer_to_a_bye_that_finds_no_packet_ends_the_call_all_the_same() {
    let mut bench = poor();
    let dialog = bench.answered_call("patient");
    bench.run_ms(40_000);
    bench.hear(CALLER, &dialog.request("BYE", 100, "bye"));
    let bye = bench.take().pop().expect("it is forwarded").text();
    use_up(&mut bench);
    // Too long for the packet that the BYE gives back.
    let long = format!("Server: {}\nContact:", "x".repeat(2_000));
    let answer = respond(&bye, "200 OK", "callee").replace("Contact:", &long);
    bench.hear(VENDOR, &answer);
    let sent = bench.take();
    assert!(sent.is_empty(), "nothing to send it with: {sent:?}");
    bench.ends_empty();
    let records = bench.records();
    let own: Vec<_> = (records.iter())
        .filter(|record| record.contains("patient@"))
        .collect();
    assert_eq!(own.len(), 1, "{records:?}");
}

#[test]
fn an_answer_leaves_in_the_packet_that_its_bye_gives_back() {
    let mut bench = poor();
    let dialog = bench.answered_call("patient");
    bench.run_ms(40_000);
    bench.hear(CALLER, &dialog.request("BYE", 100, "bye"));
    let bye = bench.take().pop().expect("it is forwarded").text();
    use_up(&mut bench);
    bench.hear(VENDOR, &respond(&bye, "200 OK", "callee"));
    let sent = bench.take();
    assert_eq!(sent.len(), 1, "{sent:?}; {}", bench.counters());
    assert_eq!(sent[0].status(), Some(200));
    bench.ends_empty();
}

#[test]
fn an_answer_leaves_in_the_packet_that_its_invite_gives_back() {
    let mut bench = poor();
    bench.hear(CALLER, &Dialog::new("patient").invite());
    let invite = bench.take().pop().expect("it is forwarded").text();
    use_up(&mut bench);
    bench.hear(VENDOR, &respond(&invite, "200 OK", "callee"));
    let sent = bench.take();
    assert_eq!(sent.len(), 1, "{sent:?}; {}", bench.counters());
    assert_eq!(sent[0].status(), Some(200));
    bench.ends_empty();
}
