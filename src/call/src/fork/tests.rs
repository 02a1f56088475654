use super::*;
use base::{ListenerId, Transport};

fn fork(kind: Kind, branches: usize) -> Fork {
    let address = "192.0.2.1:5060".parse().expect("an address");
    let source = Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: address,
        peer: address,
        conn: None,
    };
    let mut fork = Fork::new(kind, Purpose::Other, source, Time::ZERO);
    fork.branches
        .extend((0..branches).map(|n| Branch::new(Some(GatewayId(n as u32)))));
    fork
}

/// Plays events on branches and writes down what follows, one word list a step.
fn play(fork: &mut Fork, events: &[(usize, Event, bool)]) -> Vec<String> {
    let mut said = Vec::new();
    for &(at, event, advances) in events {
        let step = fork.step(at, event, advances);
        if let Some(status) = step.keep {
            fork.best = Some(Best {
                status,
                packet: matches!(event, Event::Final(_)).then_some(PacketId(u32::from(status))),
            });
        }
        let mut words = Vec::new();
        if step.forward {
            words.push("forward".to_owned());
        }
        if let Some(status) = step.keep {
            words.push(format!("keep {status}"));
        }
        if step.cancel_this {
            words.push("cancel".to_owned());
        }
        if step.cancel_others {
            words.push("cancel others".to_owned());
        }
        match step.next {
            Next::Wait => {}
            Next::Advance => words.push("advance".to_owned()),
            Next::Finish => words.push(format!("finish {}", fork.verdict().status)),
        }
        said.push(words.join(", "));
    }
    said
}

#[test]
fn an_answered_call() {
    let mut fork = fork(Kind::Invite, 1);
    let said = play(
        &mut fork,
        &[
            (0, Event::Provisional(100), true),
            (0, Event::Provisional(180), true),
            (0, Event::Final(200), true),
            (0, Event::Final(200), true),
            (0, Event::Provisional(180), true),
        ],
    );
    // A 2xx is repeated end to end; a 180 that comes behind it says nothing any more.
    assert_eq!(
        said,
        ["", "forward", "forward, cancel others", "forward", ""]
    );
}

#[test]
fn a_refusal_advances_and_the_last_one_finishes() {
    let mut fork = fork(Kind::Invite, 1);
    assert_eq!(
        play(&mut fork, &[(0, Event::Final(503), true)]),
        ["keep 503, advance"]
    );
    fork.branches.push(Branch::new(None));
    assert_eq!(
        play(&mut fork, &[(1, Event::Final(486), false)]),
        ["keep 486, finish 486"]
    );
}

#[test]
fn a_lone_503_leaves_as_500() {
    let mut fork = fork(Kind::Invite, 1);
    assert_eq!(
        play(&mut fork, &[(0, Event::Final(503), false)]),
        ["keep 503, finish 500"]
    );
}

#[test]
fn silence_goes_on_and_its_late_answer_still_wins() {
    let mut fork = fork(Kind::Invite, 1);
    assert_eq!(
        play(&mut fork, &[(0, Event::NoResponse, true)]),
        ["keep 408, advance"]
    );
    fork.branches.push(Branch::new(None));
    let said = play(
        &mut fork,
        &[
            (0, Event::Provisional(180), true), // it wakes up: it is cancelled, the caller hears nothing
            (1, Event::Provisional(180), true),
            (0, Event::Final(200), true), // crossed the CANCEL
            (1, Event::Final(200), true),
        ],
    );
    assert_eq!(
        said,
        ["cancel", "forward", "forward, cancel others", "forward"]
    );
}

#[test]
fn ringing_without_answer_is_cancelled_and_the_plan_goes_on() {
    let mut fork = fork(Kind::Invite, 1);
    let said = play(
        &mut fork,
        &[
            (0, Event::Provisional(180), true),
            (0, Event::NoAnswer, true),
        ],
    );
    assert_eq!(said, ["forward", "keep 408, cancel, advance"]);
    fork.branches.push(Branch::new(None));
    let said = play(
        &mut fork,
        &[(0, Event::Final(487), true), (1, Event::Final(404), false)],
    );
    assert_eq!(said, ["", "keep 404, finish 404"]);
}

#[test]
fn a_cancelled_call_ends_with_487_and_tries_nobody_else() {
    let mut fork = fork(Kind::Invite, 1);
    fork.cancel();
    assert_eq!(
        play(&mut fork, &[(0, Event::Final(487), true)]),
        ["keep 487, finish 487"]
    );
    let mut fork = self::fork(Kind::Invite, 1);
    fork.cancel();
    assert_eq!(
        play(&mut fork, &[(0, Event::TimedOut, true)]),
        ["keep 408, finish 487"]
    );
    let mut fork = self::fork(Kind::Invite, 1);
    fork.cancel();
    assert_eq!(
        play(&mut fork, &[(0, Event::CancelLost, true)]),
        ["keep 487, finish 487"]
    );
}

#[test]
fn a_6xx_ends_all_branches_but_waits_for_them() {
    let mut fork = fork(Kind::Invite, 2);
    let said = play(
        &mut fork,
        &[(0, Event::Final(603), true), (1, Event::Final(487), true)],
    );
    assert_eq!(said, ["keep 603, cancel others", "finish 603"]);
}

#[test]
fn parallel_branches_wait_for_each_other() {
    let mut fork = fork(Kind::Invite, 3);
    let said = play(
        &mut fork,
        &[
            (1, Event::Final(404), false),
            (0, Event::Final(503), false),
            (2, Event::Final(407), false),
        ],
    );
    assert_eq!(said, ["keep 404", "", "keep 407, finish 407"]);
}

#[test]
fn other_requests_get_one_final_only() {
    let mut fork = fork(Kind::NonInvite, 2);
    let said = play(
        &mut fork,
        &[(0, Event::Final(200), false), (1, Event::Final(200), false)],
    );
    assert_eq!(said, ["forward, cancel others", ""]);
}
