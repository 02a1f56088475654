//! Answers that a call must survive, be billed for and end: late ones, second ones, and those
//! without a tag. Found by mutated datagrams, kept as what they are.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use bench::{CALLER, Dialog, OTHER, Setup, VENDOR, at, headers, respond};

/// How long a call may last here.
const LONGEST_MS: u64 = 60_000;

fn bench() -> bench::Bench {
    let mut setup = Setup::new().nobody_goes_down();
    setup.max_call_ms = LONGEST_MS;
    setup.build()
}

/// The vendor answers after the caller was told that nobody does (RFC 3261 §16.7 step 5).
#[test]
fn a_late_answer_is_recorded_and_ends() {
    let mut bench = bench();
    let mut dialog = Dialog::new("late");
    bench.hear(CALLER, &dialog.invite());
    let first = bench.take().pop().unwrap().text();
    bench.run_ms(2_100);
    let sent = bench.take();
    let second = sent.iter().find(|packet| packet.peer == at(OTHER));
    let second = second.unwrap().text();
    bench.hear(
        OTHER,
        &respond(&second, "480 Temporarily Unavailable", "other"),
    );
    let refused = bench.records();
    assert_eq!(refused.len(), 1, "{refused:?}");
    bench.take();
    bench.hear(VENDOR, &respond(&first, "200 OK", "callee"));
    let answered = bench.take().pop().unwrap();
    assert_eq!(answered.status(), Some(200), "the caller alone can end it");
    dialog.learn(&answered.text());
    bench.run_ms(1_000);
    bench.hear(CALLER, &dialog.request("ACK", 1, "ack"));
    bench.run_ms(LONGEST_MS);
    let records = bench.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].contains("max_duration"), "{}", records[0]);
    bench.ends_empty();
}

/// A vendor that forks: one phone hangs up, then a second one answers.
#[test]
fn a_second_phone_that_answers_after_the_first_hung_up_ends() {
    let mut bench = bench();
    let dialog = bench.answered_call("two");
    bench.hang_up(&dialog);
    bench.hear(VENDOR, &respond(&dialog.forwarded, "200 OK", "phone2"));
    let answered = bench.take().pop().unwrap();
    assert_eq!(answered.status(), Some(200));
    bench.run_ms(LONGEST_MS + 1_000);
    let records = bench.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].contains("max_duration"), "{}", records[0]);
    bench.ends_empty();
}

/// RFC 2543 knew answers without a To tag: they are calls like any other (RFC 3261 §12.1.2).
#[test]
fn an_answer_without_a_tag_is_a_call() {
    for hangs_up in [true, false] {
        let mut bench = bench();
        let mut dialog = Dialog::new("tagless");
        bench.hear(CALLER, &dialog.invite());
        let invite = bench.take().pop().unwrap().text();
        let answer = respond(&invite, "200 OK", "x").replace(";tag=x", "");
        bench.hear(VENDOR, &answer);
        let answered = bench.take().pop().unwrap().text();
        assert!(!headers(&answered, &["To"]).contains("tag="));
        dialog.learn(&answered);
        let tagless = |method, cseq, branch| {
            let request = dialog.request(method, cseq, branch);
            request.replace(";tag=callee", "")
        };
        bench.hear(CALLER, &tagless("ACK", 1, "ack"));
        assert_eq!(
            bench.lines(),
            ["192.0.2.2:5060: ACK sip:b@192.0.2.2:5060 SIP/2.0"]
        );
        bench.take();
        if hangs_up {
            bench.hear(CALLER, &tagless("BYE", 2, "bye"));
            let bye = bench.take().pop().unwrap().text();
            bench.hear(VENDOR, &respond(&bye, "200 OK", "x").replace(";tag=x", ""));
        } else {
            bench.run_ms(LONGEST_MS + 1_000);
        }
        let records = bench.records();
        assert_eq!(records.len(), 1, "{records:?}");
        let cause = if hangs_up {
            "caller_hung_up"
        } else {
            "max_duration"
        };
        assert!(records[0].contains(cause), "{}", records[0]);
        bench.ends_empty();
    }
}

/// More phones ring than are followed; the one that answers is.
#[test]
fn the_phone_that_answers_is_followed_among_many_that_ring() {
    let mut bench = bench();
    let mut dialog = Dialog::new("many");
    bench.hear(CALLER, &dialog.invite());
    let invite = bench.take().pop().unwrap().text();
    for phone in 0..20 {
        let ringing = respond(&invite, "180 Ringing", &format!("phone{phone}"));
        bench.hear(VENDOR, &ringing);
        assert_eq!(bench.take().len(), 1);
    }
    bench.hear(VENDOR, &respond(&invite, "200 OK", "callee"));
    dialog.learn(&bench.take().pop().unwrap().text());
    bench.hear(CALLER, &dialog.request("ACK", 1, "ack"));
    bench.run_ms(1_000);
    bench.hang_up(&dialog);
    bench.ends_empty();
}

/// One 503 is one call's: whatever it asks for, the gateway gets the next call all the same.
#[test]
fn b18_a_503_with_a_retry_after_of_years_takes_no_gateway_out() {
    let mut bench = Setup::new().build();
    for call in 0..20 {
        let dialog = Dialog::new(&format!("call{call}"));
        bench.hear(CALLER, &dialog.invite());
        let sent = bench.take();
        let first = sent.iter().find(|packet| packet.is_request()).unwrap();
        assert_eq!(first.peer, at(VENDOR), "call {call}");
        let refusal = respond(&first.text(), "503 Service Unavailable", "busy");
        let refusal = refusal.replace("\nContact", "\nRetry-After: 1000000000\nContact");
        bench.hear(VENDOR, &refusal);
        let sent = bench.take();
        let second = sent.iter().find(|packet| packet.peer == at(OTHER)).unwrap();
        bench.hear(OTHER, &respond(&second.text(), "486 Busy Here", "busy"));
        let sent = bench.take();
        let told = sent
            .iter()
            .find(|packet| packet.peer == at(CALLER))
            .unwrap();
        assert_eq!(told.status(), Some(486), "call {call}");
        bench.hear(CALLER, &dialog.request("ACK", 1, &format!("z9hG4bK{call}")));
    }
}

/// A call that has taken too long ends with what the last gateway said.
#[test]
fn nobody_further_is_tried_after_the_time_of_the_route() {
    for (waits_ms, is_tried) in [(900, true), (1_100, false)] {
        let mut setup = Setup::new().nobody_goes_down();
        for route in &mut setup.spec.routes {
            let plan = route::PlanSpec {
                setup_ms: 1_000,
                ..route::PlanSpec::clone(&route.plan)
            };
            route.plan = std::sync::Arc::new(plan);
        }
        let mut bench = setup.build();
        bench.hear(CALLER, &Dialog::new("slow").invite());
        let sent = bench.take();
        let first = sent.iter().find(|packet| packet.is_request()).unwrap();
        let first = first.text();
        bench.hear(VENDOR, &respond(&first, "183 Session Progress", "slow"));
        bench.run_ms(waits_ms);
        bench.take();
        bench.hear(VENDOR, &respond(&first, "503 Service Unavailable", "slow"));
        let sent = bench.take();
        let asked = sent.iter().any(|packet| packet.peer == at(OTHER));
        assert_eq!(asked, is_tried, "after {waits_ms} ms");
        let told = sent.iter().find(|packet| packet.peer == at(CALLER));
        // A lone 503 leaves as 500.
        assert_eq!(
            told.and_then(bench::Packet::status),
            (!is_tried).then_some(500)
        );
    }
}
