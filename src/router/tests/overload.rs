//! A shard that is late: what it still takes, and what it refuses.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use base::{Flow, Time, Transport};
use bench::{CALLER, Dialog, ROUTER, STRANGER, Setup, UDP, at, crlf};
use router::Router;
use shards::Solo;

/// A message that waited so long is late, by the defaults.
const LATE_MS: u64 = 1_500;

struct Late {
    solo: Solo<Router>,
    now: Time,
}

impl Late {
    /// Takes a message that has waited for `waited_ms`; returns `address: first line` of what left.
    fn hear(&mut self, from: &str, text: &str, waited_ms: u64) -> Vec<String> {
        let flow = Flow {
            transport: Transport::Udp,
            listener: UDP,
            local: at(ROUTER),
            peer: at(from),
            conn: None,
        };
        let received = self.now;
        self.now = self.now.plus_millis(waited_ms);
        let mut lines = Vec::new();
        self.solo.late_message(
            received,
            self.now,
            &flow,
            &crlf(text),
            &mut |flow, bytes| {
                let text = String::from_utf8_lossy(bytes);
                lines.push(format!("{}: {}", flow.peer, text.lines().next().unwrap()));
            },
        );
        lines
    }

    fn counter(&self, name: &str) -> u64 {
        let at = router::COUNTERS.iter().position(|def| def.name == name);
        self.solo.out().stats().get(at.unwrap())
    }
}

fn late() -> Late {
    Late {
        solo: Setup::new().solo(),
        now: Time::from_millis(1_000),
    }
}

#[test]
fn a_late_invite_is_refused_without_a_trace() {
    let mut late = late();
    let invite = Dialog::new("late").invite();
    for _ in 0..2 {
        let lines = late.hear(CALLER, &invite, LATE_MS);
        assert_eq!(lines, ["192.0.2.1:5060: SIP/2.0 503 Service Unavailable"]);
    }
    assert_eq!(late.counter("overload_refused"), 2);
    assert_eq!(
        (late.counter("requests"), late.counter("requests_refused")),
        (2, 2)
    );
    assert_eq!(late.solo.handler().held(), [0; 4]);
    assert_eq!(late.solo.out().packets_live(), 0);
}

/// Its first copy was in time: a 503 now would end a call that rings.
#[test]
fn a_late_copy_of_a_taken_invite_is_absorbed() {
    let mut late = late();
    let invite = Dialog::new("taken").invite();
    assert_eq!(late.hear(CALLER, &invite, 0).len(), 2, "100 and INVITE");
    let lines = late.hear(CALLER, &invite, LATE_MS);
    assert_eq!(lines, ["192.0.2.1:5060: SIP/2.0 100 Trying"]);
    assert_eq!(late.counter("overload_refused"), 0);
    assert_eq!(late.counter("request_retransmissions"), 1);
}

#[test]
fn what_belongs_to_a_call_is_served_late_and_what_is_new_is_not() {
    let mut late = late();
    let dialog = Dialog::new("served");
    late.hear(CALLER, &dialog.invite(), 0);
    let lines = late.hear(CALLER, &dialog.cancel(), LATE_MS);
    assert_eq!(lines[0], "192.0.2.1:5060: SIP/2.0 200 OK");
    let options = dialog.invite().replace("INVITE", "OPTIONS");
    let options = options.replace("+4412345@192.0.2.100 SIP", "192.0.2.100 SIP");
    let options = options.replace("servedinvite", "servedoptions");
    let lines = late.hear(CALLER, &options, LATE_MS);
    assert_eq!(lines, ["192.0.2.1:5060: SIP/2.0 503 Service Unavailable"]);
    assert_eq!(late.counter("overload_refused"), 0);
    assert_eq!(late.counter("overload_refused_other"), 1);
}

#[test]
fn a_late_stranger_is_told_what_strangers_are_told() {
    let mut late = late();
    let lines = late.hear(STRANGER, &Dialog::new("strange").invite(), LATE_MS);
    assert_eq!(lines, ["203.0.113.66:5060: SIP/2.0 403 Forbidden"]);
    assert_eq!(late.counter("unknown_source"), 1);
}
