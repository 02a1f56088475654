//! A shard that is late: what it still takes, and what it refuses.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use base::{Flow, ShardId, Time, Transport};
use bench::{CALLER, Dialog, OTHER, ROUTER, STRANGER, Setup, UDP, VENDOR, at, crlf, respond};
use router::Router;
use shards::{Handler, Solo};

/// A message that waited so long is late, by the defaults.
const LATE_MS: u64 = 1_500;

struct Late {
    solo: Solo<Router>,
    now: Time,
}

impl Late {
    /// Takes a message that has waited for `waited_ms`; returns `address: first line` of what left.
    fn hear(&mut self, from: &str, text: &str, waited_ms: u64) -> Vec<String> {
        lines(&self.tell(from, text, waited_ms))
    }

    /// As [`Late::hear`], with all that left, whole.
    fn tell(&mut self, from: &str, text: &str, waited_ms: u64) -> Vec<(String, String)> {
        let flow = flow_of(from);
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
                lines.push((flow.peer.to_string(), text.replace("\r\n", "\n")));
            },
        );
        lines
    }

    /// What has waited `waited_ms` at this moment, without time going on.
    fn tell_now(&mut self, from: &str, text: &str, waited_ms: u64) -> Vec<(String, String)> {
        let now = self.now;
        self.now = Time(now.0.saturating_sub(waited_ms * 1_000));
        let sent = self.tell(from, text, waited_ms);
        self.now = now;
        sent
    }

    /// A queue stands for so long: strays, each of which waited `waited_ms`.
    fn stand(&mut self, ms: u64, waited_ms: u64) {
        let stray = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.100;branch=z9hG4bKstray\n\n";
        for _ in 0..ms {
            self.now = self.now.plus_millis(1);
            self.tell_now(VENDOR, stray, waited_ms);
        }
    }

    /// A queue stands until new calls are limited, and then stays at its target.
    fn stand_limited(&mut self) {
        self.stand(200, 50);
        self.stand(70, 8);
    }

    /// New calls that come at once; how many of them were refused with 503.
    fn flood(&mut self, from: &str, name: &str, count: usize) -> usize {
        self.flood_late(from, name, count, 0)
    }

    fn flood_late(&mut self, from: &str, name: &str, count: usize, waited_ms: u64) -> usize {
        let refused = |at: usize| {
            let invite = Dialog::new(&format!("{name}{at}")).invite();
            let sent = self.tell_now(from, &invite, waited_ms);
            sent.len() == 1 && sent[0].1.starts_with("SIP/2.0 503 ")
        };
        (0..count).map(refused).filter(|&refused| refused).count()
    }

    /// A cell of a trunk's counters.
    fn trunk(&self, trunk: usize, name: &str) -> u64 {
        let cell = router::TRUNK_CELLS.iter().position(|def| def.0 == name);
        let first = 32 * router::GATEWAY_CELLS.len() + trunk * router::TRUNK_CELLS.len();
        self.solo.out().stats().dynamic(first + cell.unwrap())
    }

    fn counter(&self, name: &str) -> u64 {
        let at = router::COUNTERS.iter().position(|def| def.name == name);
        self.solo.out().stats().get(at.unwrap())
    }
}

/// `address: first line` of each.
fn lines(sent: &[(String, String)]) -> Vec<String> {
    let line =
        |(peer, text): &(String, String)| format!("{peer}: {}", text.lines().next().unwrap());
    sent.iter().map(line).collect()
}

fn flow_of(peer: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: UDP,
        local: at(ROUTER),
        peer: at(peer),
        conn: None,
    }
}

fn late() -> Late {
    Late {
        solo: Setup::new().solo(),
        now: Time::from_millis(1_000),
    }
}

/// What the kernel brought to a wrong shard may be known to its owner: that one is to say.
#[test]
fn a_late_invite_of_another_shard_is_not_refused_here() {
    let mut setup = Setup::new();
    setup.shards = 2;
    let mut solo = setup.solo();
    let flow = flow_of(CALLER);
    let (received, now) = (Time(0), Time::from_millis(LATE_MS));
    let mut of_shard = [0, 0];
    for number in 0..40 {
        let invite = crlf(&Dialog::new(&format!("late{number}")).invite());
        let owner = solo.handler().owner(&invite).unwrap();
        let mut sent = 0;
        let elsewhere = solo.steered(received, now, &flow, &invite, &mut |_, _| sent += 1);
        let want = (owner.0 == 1).then_some(owner);
        assert_eq!((elsewhere, sent), (want, 1 - owner.0), "{number}");
        of_shard[usize::from(owner.0)] += 1;
    }
    assert!(of_shard.iter().all(|&count| count > 5), "{of_shard:?}");
}

/// The same while new calls are limited: of its own many are refused, of another shard's none.
#[test]
fn another_shards_invites_are_not_refused_here_while_calls_are_limited() {
    let mut setup = Setup::new();
    setup.shards = 2;
    let mut late = Late {
        solo: setup.solo(),
        ..late()
    };
    late.stand_limited();
    let flow = flow_of(CALLER);
    let (mut seen, mut refused) = ([0, 0], [0, 0]);
    for number in 0..400 {
        let invite = crlf(&Dialog::new(&format!("limited{number}")).invite());
        let owner = late.solo.handler().owner(&invite).unwrap();
        let mut is_refused = false;
        let sent = &mut |_: &Flow, bytes: &[u8]| is_refused |= bytes.starts_with(b"SIP/2.0 503 ");
        let elsewhere = late.solo.steered(late.now, late.now, &flow, &invite, sent);
        assert_eq!(elsewhere, (owner.0 == 1).then_some(owner), "{number}");
        seen[usize::from(owner.0)] += 1;
        refused[usize::from(owner.0)] += u32::from(is_refused);
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
    assert!(refused[0] > 50, "it is limiting: {refused:?} of {seen:?}");
    assert_eq!(refused[1], 0);
}

/// A copy that came to a wrong shard is absorbed by the one that took the first.
#[test]
fn a_misplaced_copy_of_a_taken_invite_is_absorbed_by_its_owner() {
    let mut setup = Setup::new();
    (setup.shards, setup.is_steered) = (2, true);
    let mut bench = setup.build();
    let handed_over = |bench: &bench::Bench| -> u64 {
        let at = shards::COUNTERS
            .iter()
            .position(|it| it.name == "handed_over");
        let count = |shard| bench.world.stats(ShardId(shard)).runtime.get(at.unwrap());
        count(0) + count(1)
    };
    let mut misplaced = 0;
    for number in 0..20 {
        let invite = Dialog::new(&format!("copy{number}")).invite();
        let before = handed_over(&bench);
        bench.hear(CALLER, &invite);
        bench.run_ms(5);
        assert_eq!(bench.take().len(), 2, "100 and INVITE");
        bench.hear(CALLER, &invite);
        bench.run_ms(5);
        assert_eq!(bench.lines(), ["192.0.2.1:5060: SIP/2.0 100 Trying"]);
        bench.take();
        let crossed = handed_over(&bench) - before;
        assert!(crossed == 0 || crossed == 2, "both copies or none");
        misplaced += crossed / 2;
        assert_eq!(bench.counter("request_retransmissions"), number + 1);
    }
    assert!((3..=17).contains(&misplaced), "{misplaced} of 20");
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

/// A router whose queue has stood for a while.
fn loaded(setup: Setup) -> Late {
    let mut late = Late {
        solo: setup.solo(),
        now: Time::from_millis(10_000),
    };
    late.stand_limited();
    late
}

#[test]
fn under_load_new_calls_are_refused_and_those_that_are_up_go_on() {
    let mut late = Late {
        solo: Setup::new().solo(),
        now: Time::from_millis(10_000),
    };
    // One call is up, one rings.
    let mut up = Dialog::new("up");
    let sent = late.tell(CALLER, &up.invite(), 0);
    let answered = late.tell(VENDOR, &respond(&sent[1].1, "200 OK", "callee"), 0);
    up.learn(&answered[0].1);
    late.hear(CALLER, &up.request("ACK", 1, "ack"), 0);
    let rings = Dialog::new("rings");
    let sent = late.tell(CALLER, &rings.invite(), 0);
    late.tell(VENDOR, &respond(&sent[1].1, "180 Ringing", "callee"), 0);

    late.stand_limited();
    let refused = late.flood(CALLER, "new", 200);
    assert!(refused >= 185, "{refused}");
    // A copy of what was taken, a re-INVITE, a BYE, a CANCEL: all served, however late.
    let lines = late.hear(CALLER, &rings.invite(), 50);
    assert_eq!(lines, ["192.0.2.1:5060: SIP/2.0 180 Ringing"]);
    let lines = late.hear(CALLER, &up.request("INVITE", 2, "again"), 50);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("INVITE sip:b@192.0.2.2"), "{lines:?}");
    let lines = late.hear(CALLER, &up.request("BYE", 3, "bye"), LATE_MS);
    assert!(lines[0].contains("BYE sip:b@192.0.2.2"), "{lines:?}");
    let lines = late.hear(CALLER, &rings.cancel(), LATE_MS);
    assert_eq!(lines[0], "192.0.2.1:5060: SIP/2.0 200 OK");
    assert_eq!(late.counter("overload_refused"), refused as u64);
    assert!(late.counter("admitted_share_permille") <= 1_000);
}

#[test]
fn emergency_and_priority_are_the_last_to_be_refused() {
    let mut late = loaded(Setup::new());
    late.flood(CALLER, "first", 100);
    let refusals = late.counter("overload_refused");
    let sos = Dialog::new("sos").invite();
    let sos = sos.replace(
        "INVITE sip:+4412345@192.0.2.100",
        "INVITE urn:service:sos.fire",
    );
    let lines = late.hear(CALLER, &sos, 0);
    assert!(lines.iter().all(|line| !line.contains("503")), "{lines:?}");
    // Another period, for which the first has left nothing over.
    late.stand(60, 8);
    late.flood(CALLER, "second", 100);
    let ets = Dialog::new("ets").invite();
    let ets = ets.replace("Max-Forwards", "Resource-Priority: ets.0\nMax-Forwards");
    let lines = late.hear(CALLER, &ets, 0);
    assert_eq!(lines[0], "192.0.2.1:5060: SIP/2.0 100 Trying");
    assert!(late.counter("overload_refused") > refusals + 90);
    assert_eq!(late.counter("overload_refused_priority"), 0);
    // A word that only begins like it is none.
    late.flood(CALLER, "third", 100);
    let other = sos
        .replace("urn:service:sos.fire", "urn:service:sosumi")
        .replace("sos@", "no@");
    let lines = late.hear(CALLER, &other.replace("sosinvite", "noinvite"), 0);
    assert_eq!(lines, ["192.0.2.1:5060: SIP/2.0 503 Service Unavailable"]);
}

#[test]
fn other_requests_are_refused_before_calls() {
    let mut late = Late {
        solo: Setup::new().solo(),
        now: Time::from_millis(10_000),
    };
    let (mut options_refused, mut calls_refused) = (0, 0);
    for ms in 0..600_u64 {
        late.now = late.now.plus_millis(1);
        let waited = if ms < 200 { 16 } else { 8 };
        calls_refused += late.flood_late(CALLER, &format!("call{ms}x"), 2, waited);
        let options = Dialog::new(&format!("ping{ms}")).invite();
        let options = options.replace("INVITE", "OPTIONS");
        let sent = late.tell_now(CALLER, &options, waited);
        options_refused += usize::from(ms >= 320 && sent[0].1.starts_with("SIP/2.0 503 "));
    }
    assert_eq!(options_refused, 280, "all of them");
    assert!(
        (20..600).contains(&calls_refused),
        "{calls_refused} of 1,200"
    );
    assert!(late.counter("overload_refused_other") >= 280);
}

#[test]
fn rfc7339_5_10_a_refusal_has_no_retry_after_and_leaves_no_state() {
    let mut late = loaded(Setup::new());
    late.flood(CALLER, "fill", 20);
    let held = (late.solo.handler().held(), late.solo.out().packets_live());
    let dialog = Dialog::new("shed");
    let mut answers = Vec::new();
    for _ in 0..3 {
        let sent = late.tell_now(CALLER, &dialog.invite(), 0);
        assert_eq!(sent.len(), 1);
        answers.push(sent[0].1.clone());
    }
    let to = answers[0]
        .lines()
        .find(|line| line.starts_with("To:"))
        .unwrap();
    let tag = to.split("tag=").nth(1).unwrap().to_owned();
    assert_eq!(
        answers[0],
        format!(
            "SIP/2.0 503 Service Unavailable\n\
             Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKshedinvite\n\
             From: <sip:+331@192.0.2.1>;tag=caller\n\
             To: <sip:+4412345@192.0.2.100>;tag={tag}\n\
             Call-ID: shed@192.0.2.1\nCSeq: 1 INVITE\nContent-Length: 0\n\n"
        )
    );
    // Each copy gets the same answer, another call another tag.
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let other = late.tell_now(CALLER, &Dialog::new("shed2").invite(), 0);
    assert!(other[0].1.contains(" 503 ") && !other[0].1.contains(&tag));
    // Its ACK is for nothing that is kept, and is not taken for one of a call.
    let ack = dialog.invite().replace("INVITE", "ACK");
    let acked = ack.replace(
        "192.0.2.100>\nCall",
        &format!("192.0.2.100>;tag={tag}\nCall"),
    );
    assert!(late.tell_now(CALLER, &acked, 0).is_empty());
    assert_eq!(late.counter("overload_acks"), 1);
    let forged = acked.replace(&tag, "0000000000000");
    assert!(late.tell_now(CALLER, &forged, 0).is_empty());
    assert_eq!(late.counter("overload_acks"), 1);
    let now = (late.solo.handler().held(), late.solo.out().packets_live());
    assert_eq!(now, held);
}

#[test]
fn a_client_older_than_rfc3261_is_refused_too_but_not_its_copies() {
    let mut late = Late {
        solo: Setup::new().solo(),
        now: Time::from_millis(10_000),
    };
    let old = |name: &str| Dialog::new(name).invite().replace("z9hG4bK", "");
    late.hear(CALLER, &old("taken"), 0);
    late.stand_limited();
    late.flood(CALLER, "fill", 20);
    assert_eq!(
        late.tell_now(CALLER, &old("taken"), 0)[0].1.lines().next(),
        Some("SIP/2.0 100 Trying")
    );
    let refused = late.tell_now(CALLER, &old("new"), 0);
    assert!(refused[0].1.starts_with("SIP/2.0 503 "), "{refused:?}");
    assert!(!refused[0].1.contains("Retry-After"));
}

/// One trunk at twenty times its share and more; the other is served as if it were alone.
#[test]
fn a_flooding_trunk_takes_nothing_from_another() {
    const QUIET: &str = "192.0.2.7:5060";
    let mut setup = Setup::new();
    setup.transactions_max = 20_000;
    setup.calls_max = 20_000;
    let source = route::Source::parse("192.0.2.7").unwrap();
    setup
        .spec
        .trunks
        .push(route::TrunkSpec::new("quiet", source));
    let mut late = Late {
        solo: setup.solo(),
        now: Time::from_millis(10_000),
    };
    let (mut number, mut quiet) = (0, 0);
    for ms in 0..650_u64 {
        late.now = late.now.plus_millis(1);
        // At first the queue is at twice its target, then at it: the limit stands.
        let waited = if ms < 350 { 16 } else { 8 };
        let calls = if ms < 210 { 1 } else { 5 };
        for _ in 0..calls {
            number += 1;
            let flood = Dialog::new(&format!("flood{number}")).invite();
            late.tell_now(CALLER, &flood, waited);
        }
        if ms % 25 == 0 {
            quiet += 1;
            let call = Dialog::new(&format!("quiet{quiet}")).invite();
            let sent = late.tell_now(QUIET, &call, waited);
            assert!(
                sent[0].1.starts_with("SIP/2.0 100 "),
                "at {ms} ms: {sent:?}"
            );
        }
    }
    assert_eq!(late.trunk(1, "overload_refused"), 0);
    assert_eq!(late.trunk(1, "calls"), 26);
    let refused = late.trunk(0, "overload_refused");
    assert!(refused > 1_400 && refused < 2_200, "{refused} of {number}");
    assert_eq!(late.counter("overload_refused"), refused);
}

/// Two trunks of which the first floods, while calls are limited and the shard has always something
/// else to do.
fn flooded() -> Late {
    let mut setup = Setup::new();
    setup.transactions_max = 20_000;
    setup.calls_max = 20_000;
    let source = route::Source::parse(QUIET).unwrap();
    let quiet = route::TrunkSpec::new("quiet", source);
    setup.spec.trunks.push(quiet);
    let mut late = Late {
        solo: setup.solo(),
        now: Time::from_millis(10_000),
    };
    for ms in 0..650_u64 {
        late.now = late.now.plus_millis(1);
        for number in 0..5 {
            let flood = Dialog::new(&format!("flood{ms}-{number}")).invite();
            late.tell_now(CALLER, &flood, if ms < 350 { 16 } else { 8 });
        }
        if ms % 25 == 0 {
            let call = Dialog::new(&format!("quiet{ms}")).invite();
            late.tell_now(QUIET_PORT, &call, 8);
        }
    }
    late.solo.set_busy(true);
    late
}

const QUIET: &str = "192.0.2.7";
const QUIET_PORT: &str = "192.0.2.7:5060";

impl Late {
    /// A call of the flooding trunk that is admitted: nothing is said of it yet.
    fn put_off(&mut self) -> Dialog {
        for number in 0..1_000 {
            let call = Dialog::new(&format!("waits{number}"));
            if self.tell_now(CALLER, &call.invite(), 0).is_empty() {
                return call;
            }
        }
        panic!("all were refused, or served at once");
    }

    /// A call of the flooding trunk that was sent on, and its INVITE as the vendor got it. From here on
    /// the shard always has something else to do.
    fn flooders_call(&mut self) -> (Dialog, String) {
        self.solo.set_busy(false);
        for number in 0..1_000 {
            let call = Dialog::new(&format!("rings{number}"));
            let sent = self.tell_now(CALLER, &call.invite(), 0);
            if sent[0].1.starts_with("SIP/2.0 100 ") {
                self.solo.set_busy(true);
                return (call, sent[1].1.clone());
            }
        }
        panic!("all were refused");
    }

    /// There is nothing else to do, but for one message; what comes of all that waited.
    fn take_up(&mut self, after_ms: u64) -> Vec<String> {
        lines(&self.take_up_whole(after_ms))
    }

    fn take_up_whole(&mut self, after_ms: u64) -> Vec<(String, String)> {
        self.solo.set_busy(false);
        self.tell(VENDOR, "SIP/2.0 200 OK\nVia: SIP/2.0/UDP a\n\n", after_ms)
    }
}

#[test]
fn calls_of_a_flooding_trunk_wait_for_those_of_another() {
    let mut late = flooded();
    late.put_off();
    let quiet = late.hear(QUIET_PORT, &Dialog::new("last").invite(), 0);
    assert!(quiet[0].ends_with("SIP/2.0 100 Trying"), "{quiet:?}");
    let taken_up = late.take_up(20);
    assert!(
        taken_up.iter().any(|line| line.contains("INVITE ")),
        "{taken_up:?}"
    );
}

/// A CANCEL that overtook its INVITE would find nothing, and the call would be made all the same.
#[test]
fn a_cancel_stays_behind_an_invite_that_waits() {
    let mut late = flooded();
    let call = late.put_off();
    assert_eq!(late.hear(CALLER, &call.cancel(), 0), [""; 0]);
    let lines = late.take_up(20);
    let at = |what: &str| lines.iter().position(|line| line.contains(what));
    let (trying, cancelled) = (at("100 Trying"), at("SIP/2.0 200 "));
    assert!(trying.is_some() && trying < cancelled, "{lines:?}");
    // One of a call that was taken goes first.
    late.solo.set_busy(true);
    let rings = Dialog::new("rings");
    let sent = late.tell(QUIET_PORT, &rings.invite(), 0);
    late.tell(VENDOR, &respond(&sent[1].1, "180 Ringing", "callee"), 0);
    late.put_off();
    let lines = late.hear(QUIET_PORT, &rings.cancel(), 0);
    assert!(lines[0].ends_with("SIP/2.0 200 OK"), "{lines:?}");
}

/// What a flood's own calls still have to say comes after all that belongs to others, before new calls
/// of the flood, and in its order.
#[test]
fn what_belongs_to_calls_of_a_flooding_trunk_waits_too() {
    let mut late = flooded();
    let (mut dialog, invite) = late.flooders_call();
    let quiet = Dialog::new("quietly");
    let quiet_invite = late.tell(QUIET_PORT, &quiet.invite(), 0).pop().unwrap().1;

    // New calls wait, and then the vendor answers both.
    late.put_off();
    let waiting = late.counter("invites");
    let ringing = respond(&invite, "180 Ringing", "callee");
    let answer = respond(&invite, "200 OK", "callee");
    assert_eq!(late.hear(VENDOR, &ringing, 0), [""; 0]);
    assert_eq!(late.hear(VENDOR, &answer, 0), [""; 0]);
    let quiet_answer = respond(&quiet_invite, "200 OK", "callee");
    let quietly = late.hear(VENDOR, &quiet_answer, 0);
    assert_eq!(quietly, [format!("{QUIET_PORT}: SIP/2.0 200 OK")]);
    assert_eq!(late.counter("invites"), waiting);
    let taken_up = late.take_up_whole(1);
    let answered = taken_up
        .iter()
        .find(|(_, text)| text.starts_with("SIP/2.0 200 "));
    dialog.learn(&answered.unwrap().1);
    let first_lines = lines(&taken_up);
    let heads: Vec<&str> = first_lines.iter().map(String::as_str).collect();
    assert_eq!(heads[0], format!("{CALLER}: SIP/2.0 180 Ringing"));
    assert_eq!(heads[1], format!("{CALLER}: SIP/2.0 200 OK"));
    assert!(
        heads[2..].iter().any(|head| head.contains("INVITE ")),
        "{heads:?}"
    );

    // The same for what the caller sends, whatever it is.
    late.solo.set_busy(true);
    for (method, cseq) in [("ACK", 1), ("INFO", 2), ("BYE", 3)] {
        let request = dialog.request(method, cseq, method);
        assert_eq!(late.hear(CALLER, &request, 0), [""; 0], "{method}");
    }
    let heads = lines(&late.take_up_whole(1));
    let at = |what: &str| heads.iter().position(|head| head.contains(what));
    let (ack, info, bye) = (at(": ACK "), at(": INFO "), at(": BYE "));
    assert!(ack.is_some() && ack < info && info < bye, "{heads:?}");
}

/// However long: refusing it would leave a call in doubt that was let in.
#[test]
fn what_belongs_to_a_call_is_never_refused_for_having_waited() {
    let mut late = flooded();
    let (mut dialog, invite) = late.flooders_call();
    let answer = respond(&invite, "200 OK", "callee");
    late.hear(VENDOR, &answer, 0);
    let taken_up = late.take_up_whole(1);
    dialog.learn(&taken_up[0].1);
    late.solo.set_busy(true);
    late.hear(CALLER, &dialog.request("ACK", 1, "ack"), 0);
    late.hear(CALLER, &dialog.request("INVITE", 2, "again"), 0);
    let heads = lines(&late.take_up_whole(LATE_MS));
    let at = |what: &str| heads.iter().position(|head| head.contains(what));
    assert!(
        at(": ACK ").is_some() && at(": ACK ") < at(": INVITE "),
        "{heads:?}"
    );
    assert_eq!(at("SIP/2.0 503"), None, "{heads:?}");
}

/// Only who saw the branch knows its mark: else anybody could fill what waits.
#[test]
fn what_only_looks_like_a_response_does_not_wait() {
    let mut late = flooded();
    let (_, invite) = late.flooders_call();
    let answer = respond(&invite, "200 OK", "callee");
    let via = top_via(&answer);
    let branch = via.split("branch=").nth(1).unwrap();
    // Behind them is only what tells loops.
    const PLACE_AND_MARK: usize = "z9hG4bKtl00000000g022hdr3i6fm9".len();
    for at in 0..PLACE_AND_MARK {
        let mut forged = branch.as_bytes().to_vec();
        forged[at] = if forged[at] == b'a' { b'b' } else { b'a' };
        let forged = answer.replace(branch, std::str::from_utf8(&forged).unwrap());
        assert_eq!(late.hear(VENDOR, &forged, 0), [""; 0]);
        assert!(!late.solo.out().has_put_off(), "octet {at} of {branch}");
    }
    assert_eq!(late.hear(VENDOR, &answer, 0), [""; 0]);
    assert!(late.solo.out().has_put_off());
}

#[test]
fn a_call_that_waited_too_long_is_refused_after_all() {
    let mut late = flooded();
    late.put_off();
    let refused = late.counter("overload_refused");
    let lines = late.take_up(LATE_MS);
    let all = |line: &String| line.ends_with("SIP/2.0 503 Service Unavailable");
    assert!(!lines.is_empty() && lines.iter().all(all), "{lines:?}");
    assert_eq!(
        late.counter("overload_refused"),
        refused + lines.len() as u64
    );
}

#[test]
fn strangers_are_dropped_unread_under_load_and_beyond_their_allowance() {
    let mut late = loaded(Setup::new());
    assert!(
        late.hear(STRANGER, &Dialog::new("strange").invite(), 0)
            .is_empty()
    );
    assert_eq!(late.counter("strangers_unread"), 1);
    // In calm so many a second are told that they are not known, and no more.
    let mut setup = Setup::new();
    setup.overload.stranger_answers_max = 10;
    let mut late = Late {
        solo: setup.solo(),
        now: Time::from_millis(10_000),
    };
    let mut told = 0;
    for at in 0..50 {
        told += late
            .tell_now(STRANGER, &Dialog::new(&format!("x{at}")).invite(), 0)
            .len();
    }
    assert_eq!((told, late.counter("strangers_unread")), (10, 40));
    assert_eq!(late.counter("unknown_source"), 50);
}

/// What the topmost Via of a message says.
fn top_via(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("Via:"));
    line.unwrap().to_owned()
}

#[test]
fn rfc7339_server_tells_those_that_ask_and_forwards_nothing_of_it() {
    let mut late = Late {
        solo: Setup::new().solo(),
        now: Time::from_millis(10_000),
    };
    let asks = |name: &str| {
        let invite = Dialog::new(name).invite();
        invite.replace("invite\n", "invite;oc;oc-algo=\"loss,A\"\n")
    };
    let sent = late.tell(CALLER, &asks("asks"), 0);
    let idle = ";branch=z9hG4bKasksinvite;oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=";
    assert!(top_via(&sent[0].1).contains(idle), "{}", sent[0].1);
    assert!(!sent[1].1.contains(";oc"), "{}", sent[1].1);
    // It asks again through what a vendor put there: that goes, ours comes.
    let ringing = respond(&sent[1].1, "180 Ringing", "callee");
    let ringing = ringing.replace("asksinvite", "asksinvite;oc=99;oc-validity=9999");
    let up = late.tell(VENDOR, &ringing, 0);
    assert!(top_via(&up[0].1).contains(idle), "{}", up[0].1);
    assert!(!up[0].1.contains("9999"), "{}", up[0].1);
    // Under load it is told to send less.
    late.stand_limited();
    for at in 0..6 {
        late.flood(CALLER, &format!("more{at}"), 60);
        late.stand(60, 8);
    }
    let sent = late.tell(CALLER, &asks("loaded"), 0);
    let via = top_via(&sent[0].1);
    assert!(sent[0].1.starts_with("SIP/2.0 503 "), "{}", sent[0].1);
    assert!(
        via.contains(";oc-algo=\"loss\";oc-validity=500;oc-seq="),
        "{via}"
    );
    let cut = via.split(";oc=").nth(1).unwrap().split(';').next().unwrap();
    assert!(cut.parse::<u32>().unwrap() > 20, "{via}");
    assert!(late.counter("overload_feedback_sent") >= 3);
}

#[test]
fn rfc7339_server_says_nothing_to_those_that_do_not_ask() {
    let mut late = Late {
        solo: Setup::new().solo(),
        now: Time::from_millis(10_000),
    };
    let sent = late.tell(CALLER, &Dialog::new("plain").invite(), 0);
    assert!(!sent[0].1.contains(";oc"));
    let strange = Dialog::new("strange").invite();
    let strange = strange.replace("invite\n", "invite;oc;oc-algo=\"loss\"\n");
    let sent = late.tell(STRANGER, &strange, 0);
    assert!(sent[0].1.starts_with("SIP/2.0 403 ") && !sent[0].1.contains(";oc="));
    assert_eq!(late.counter("overload_feedback_sent"), 0);
}

/// A vendor's response that says how much it can take.
fn saying(request: &str, status: &str, feedback: &str) -> String {
    let response = respond(request, status, "callee");
    let offer = ";oc;oc-algo=\"loss,rate\"";
    assert!(top_via(&response).contains(offer), "{response}");
    response.replacen(offer, feedback, 1)
}

#[test]
fn rfc7339_client_asks_obeys_and_goes_on_to_the_next() {
    let mut setup = Setup::new();
    setup.spec.gateways[0].overload_control = true;
    let mut late = Late {
        solo: setup.solo(),
        now: Time::from_millis(10_000),
    };
    let mut up = Dialog::new("up");
    let sent = late.tell(CALLER, &up.invite(), 0);
    assert_eq!(sent[1].0, VENDOR);
    let all = ";oc=100;oc-algo=\"loss\";oc-validity=2000;oc-seq=1282321615.782";
    let answered = late.tell(VENDOR, &saying(&sent[1].1, "200 OK", all), 0);
    assert!(
        !answered[0].1.contains(";oc"),
        "it was for us: {}",
        answered[0].1
    );
    up.learn(&answered[0].1);
    // The next call goes to the other gateway, whose Via offers nothing.
    let sent = late.tell(CALLER, &Dialog::new("next").invite(), 0);
    assert_eq!(sent[1].0, OTHER);
    assert!(!sent[1].1.contains(";oc"));
    assert_eq!(late.counter("overload_throttled"), 1);
    // What belongs to the call that is up goes where it belongs, and asks too.
    let sent = late.tell(CALLER, &up.request("BYE", 2, "bye"), 0);
    assert_eq!(sent[0].0, VENDOR);
    assert!(
        top_via(&sent[0].1).contains(";oc;oc-algo=\"loss,rate\""),
        "{}",
        sent[0].1
    );
    // It is over when it says so, or when the time is up.
    late.now = late.now.plus_millis(2_001);
    let sent = late.tell(CALLER, &Dialog::new("later").invite(), 0);
    assert_eq!(sent[1].0, VENDOR);
}

#[test]
fn rfc7339_client_answers_503_without_retry_after_if_nobody_takes_more() {
    let mut setup = Setup::new();
    for gateway in &mut setup.spec.gateways {
        gateway.overload_control = true;
    }
    let mut late = Late {
        solo: setup.solo(),
        now: Time::from_millis(10_000),
    };
    let stop = ";oc=0;oc-algo=\"rate\";oc-validity=60000;oc-seq=5.5";
    let sent = late.tell(CALLER, &Dialog::new("one").invite(), 0);
    let on = late.tell(
        VENDOR,
        &saying(&sent[1].1, "503 Service Unavailable", stop),
        0,
    );
    let next = on
        .iter()
        .find(|(_, text)| text.starts_with("INVITE"))
        .unwrap();
    assert_eq!(next.0, OTHER);
    late.tell(OTHER, &saying(&next.1, "486 Busy Here", stop), 0);
    let sent = late.tell(CALLER, &Dialog::new("two").invite(), 0);
    let last = &sent.last().unwrap().1;
    assert!(last.starts_with("SIP/2.0 503 "), "{last}");
    assert!(!last.contains("Retry-After"));
    assert_eq!(late.counter("overload_throttled"), 2);
    // An older number than what is in force changes nothing.
    assert_eq!(late.counter("overload_feedback_heard"), 2);
}
