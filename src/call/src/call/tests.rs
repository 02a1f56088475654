use super::*;
use base::ListenerId;

fn flow(address: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: "192.0.2.100:5060".parse().expect("an address"),
        peer: address.parse().expect("an address"),
        conn: None,
    }
}

fn call() -> Call {
    Call {
        call_id: 1,
        caller_tag: 10,
        caller: flow("192.0.2.1:5060"),
        caller_target: Target::Peer,
        caller_is_routed: false,
        trunk: TrunkId(0),
        generation: 1,
        fork: None,
        identity: None,
        timer: None,
        began: Time::from_millis(1_000),
        began_wall: Wall(5_000_000),
        ringing: None,
        status: 0,
        q850: None,
        unanswered: None,
        is_recorded: false,
        holds_channel: false,
        is_waiting: false,
        attempts: SmallVec::new(),
        dialogs: SmallVec::new(),
    }
}

/// A call with one attempt and one confirmed dialog of tag 20, answered at 3 s.
fn answered() -> Call {
    let mut call = call();
    let vendor = flow("192.0.2.2:5060");
    let attempt = call.attempt(Some(GatewayId(0)), &vendor, Time::from_millis(1_001));
    call.provisional(attempt, 180, Time::from_millis(2_000));
    let dialog = call
        .dialog(20, attempt, vendor, (Target::Peer, false))
        .expect("room");
    assert!(call.answered(dialog, 200, Time::from_millis(3_000)));
    assert!(
        !call.answered(dialog, 200, Time::from_millis(3_500)),
        "a repeated 200 changes nothing"
    );
    call
}

#[test]
fn a_bye_ends_it_once_it_is_answered() {
    let mut call = answered();
    call.bye(0, Side::Callee, Time::from_millis(9_000));
    assert!(call.is_up(), "the BYE may still be challenged");
    assert!(call.bye_answered(0, 200));
    assert!(!call.is_up());
    let ending = call.dialogs[0].ending.expect("ended");
    assert_eq!(
        (ending.by, ending.cause),
        (Party::Callee, Cause::CalleeHungUp)
    );
}

#[test]
fn a_challenged_bye_ends_nothing() {
    let mut call = answered();
    call.bye(0, Side::Caller, Time::from_millis(9_000));
    assert!(!call.bye_answered(0, 407));
    assert!(call.is_up());
    call.bye(0, Side::Caller, Time::from_millis(9_100));
    assert!(
        call.bye_answered(0, 481),
        "who answers 481 has no dialog any more"
    );
    let ending = call.dialogs[0].ending.expect("ended");
    assert_eq!(ending.at, Time::from_millis(9_100));
}

#[test]
fn tags_find_the_dialog_and_the_side() {
    let call = answered();
    assert_eq!(call.find(10, 20), Some((Side::Caller, 0)));
    assert_eq!(call.find(20, 10), Some((Side::Callee, 0)));
    assert_eq!(call.find(10, 21), None);
    assert_eq!(call.find(21, 10), None);
    assert_eq!(call.find(20, 20), None);
}

#[test]
fn two_answers_make_two_dialogs_and_both_must_be_recorded() {
    let mut call = answered();
    let second = call
        .dialog(21, 0, flow("192.0.2.3:5060"), (Target::Peer, false))
        .expect("room");
    assert!(call.answered(second, 200, Time::from_millis(3_001)));
    call.end_all(Party::Router, Cause::MaxDuration, Time::from_millis(10_000));
    call.dialogs[0].is_recorded = true;
    assert!(!call.is_over());
    call.dialogs[1].is_recorded = true;
    assert!(call.is_over());
}

#[test]
fn dialogs_have_a_limit() {
    let mut call = call();
    for tag in 0..DIALOGS_MAX as u64 {
        assert!(
            call.dialog(tag, 0, flow("192.0.2.3:5060"), (Target::Peer, false))
                .is_some()
        );
    }
    assert!(
        call.dialog(99, 0, flow("192.0.2.3:5060"), (Target::Peer, false))
            .is_none()
    );
    assert_eq!(
        call.dialog(3, 0, flow("192.0.2.3:5060"), (Target::Peer, false)),
        Some(3)
    );
}

#[test]
fn an_answer_takes_the_place_of_an_early_dialog() {
    let mut call = call();
    let (early, vendor) = (flow("192.0.2.3:5060"), flow("192.0.2.4:5060"));
    for tag in 0..DIALOGS_MAX as u64 {
        call.dialog(tag, 0, early, (Target::Peer, false));
    }
    call.answered(0, 200, Time::from_millis(1));
    call.make_room(5);
    assert_eq!(
        call.find(10, 1),
        Some((Side::Caller, 1)),
        "5 needed no room"
    );
    call.make_room(99);
    let place = call.dialog(99, 1, vendor, (Target::Peer, false));
    assert_eq!(place, Some(1), "the oldest early one gave way");
    assert_eq!((call.dialogs[1].attempt, call.dialogs[1].peer), (1, vendor));
    assert_eq!(call.find(10, 1), None);
    assert!(call.answered(1, 200, Time::from_millis(2)));
}

#[test]
fn the_record_says_what_happened() {
    let mut call = answered();
    call.bye(0, Side::Caller, Time::from_millis(7_250));
    assert!(call.bye_answered(0, 200));
    let identity = crate::Identity {
        call_id: b"c@example",
        called: b"441",
        ..Default::default()
    };
    let names = crate::Names {
        node: b"tl1",
        trunk: b"alpha",
        carrier: b"Alpha",
    };
    let slot = SlotId::new(base::ShardId(0), 0, 1);
    let mut out = vec![0; 4_096];
    let len = crate::encode_record(
        &call,
        slot,
        Some(0),
        &identity,
        &names,
        |_| (b"v1", b"Beta"),
        &mut out,
    )
    .expect("it fits");
    let decoded = cdr::decode(&out[..len]).expect("our own frame");
    let record = decoded.call();
    assert_eq!(record.duration_us, 4_250_000);
    assert_eq!(record.pdd_us, Some(1_000_000));
    assert_eq!(record.started, Wall(5_000_000));
    assert_eq!(record.answered, Some(Wall(7_000_000)));
    assert_eq!(
        (record.hung_up, record.cause),
        (Party::Caller, Cause::CallerHungUp)
    );
    assert_eq!(
        (record.egress_gateway, record.attempts.len()),
        (&b"v1"[..], 1)
    );
    assert_eq!(record.attempts[0].cause, Cause::Answered);
}
