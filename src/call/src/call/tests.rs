use super::*;
use base::{Flow, Flows, ListenerId};

fn flow(address: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: "192.0.2.100:5060".parse().expect("an address"),
        peer: address.parse().expect("an address"),
        conn: None,
    }
}

/// The kept flow of a vendor by its number.
fn kept(number: u8) -> FlowId {
    let mut flows = Flows::new(8, 0);
    let mut keep = |number| flows.keep(&flow(&format!("192.0.2.{number}:5060")));
    (1..=number).filter_map(&mut keep).last().expect("room")
}

fn vendor() -> (Transport, SocketAddr) {
    (
        Transport::Udp,
        "192.0.2.2:5060".parse().expect("an address"),
    )
}

fn call() -> Call {
    Call {
        call_id: 1,
        caller_tag: 10,
        route_mark: [0; 10],
        caller: kept(1),
        caller_target: Target::Peer.into(),
        caller_is_routed: false,
        trunk: TrunkId(0),
        generation: 1,
        invite: Invite::Over,
        identity: None,
        timer: None,
        began: Time::from_millis(1_000),
        began_wall: Wall(5_000_000),
        ringing: Moment::NONE,
        status: 0,
        q850: None,
        unanswered: None,
        is_recorded: false,
        holds_channel: false,
        capped: None,
        is_waiting: false,
        sold: None,
        attempts: SmallVec::new(),
        dialogs: SmallVec::new(),
    }
}

/// A call with one attempt and one confirmed dialog of tag 20, answered at 3 s.
fn answered() -> Call {
    let mut call = call();
    let now = Time::from_millis(1_001);
    let attempt = call.attempt(Some(GatewayId(0)), vendor(), now, &mut Spares::new());
    call.provisional(attempt, 180, Time::from_millis(2_000));
    assert_eq!(
        call.dialog(20, attempt, kept(2), (Target::Peer, false)),
        (Some(0), None)
    );
    assert!(call.answered(0, 200, Time::from_millis(3_000)));
    assert!(
        !call.answered(0, 200, Time::from_millis(3_500)),
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
    let second = call.dialog(21, 0, kept(3), (Target::Peer, false));
    assert_eq!(second, (Some(1), None));
    assert!(call.answered(1, 200, Time::from_millis(3_001)));
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
        let made = call.dialog(tag, 0, kept(3), (Target::Peer, false));
        assert_eq!(made, (Some(tag as usize), None));
    }
    assert_eq!(
        call.dialog(99, 0, kept(4), (Target::Peer, false)),
        (None, Some(kept(4))),
        "no room: the flow is not held"
    );
    assert_eq!(
        call.dialog(3, 0, kept(4), (Target::Peer, false)),
        (Some(3), Some(kept(3))),
        "the former flow is no longer held"
    );
    assert_eq!(
        (call.dialogs.len(), call.dialogs[3].peer),
        (DIALOGS_MAX, kept(4))
    );
}

#[test]
fn an_answer_takes_the_place_of_an_early_dialog() {
    let mut call = call();
    let (early, vendor) = (kept(3), kept(4));
    for tag in 0..DIALOGS_MAX as u64 {
        let made = call.dialog(tag, 0, early, (Target::Peer, false));
        assert_eq!(made, (Some(tag as usize), None));
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
    assert_eq!(
        place,
        (Some(1), Some(early)),
        "the oldest early one gave way"
    );
    assert_eq!((call.dialogs[1].attempt, call.dialogs[1].peer), (1, vendor));
    assert_eq!(call.find(10, 1), None);
    assert!(call.answered(1, 200, Time::from_millis(2)));
}

#[test]
fn the_record_says_what_happened() {
    let mut call = answered();
    call.bye(0, Side::Caller, Time::from_millis(7_250));
    assert!(call.bye_answered(0, 200));
    let identity = cdr::Identity {
        call_id: b"c@example",
        called: b"441",
        ..Default::default()
    };
    let mut run = Vec::new();
    identity.write(&mut run);
    let names = crate::Names {
        node: b"tl1",
        trunk: b"alpha",
        carrier: b"Alpha",
        caller: &flow("192.0.2.1:5060"),
    };
    let slot = SlotId::new(base::ShardId(0), 0, 1);
    let mut out = vec![0; 4_096];
    let len = crate::encode_record(
        &call,
        slot,
        Some(0),
        &run,
        &names,
        |_| (b"v1", b"Beta"),
        &mut out,
    )
    .expect("it fits");
    let decoded = cdr::decode(&out[..len]).expect("our own frame");
    let record = decoded.call();
    assert_eq!(record.identity(), identity);
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

#[test]
fn a_second_attempt_uses_a_list_of_a_call_that_is_over() {
    let mut spares = Spares::new();
    let now = Time::from_millis(1_001);
    for _ in 0..2 {
        let mut call = call();
        for number in 0..4_u8 {
            let gateway = Some(GatewayId(number.into()));
            let at = call.attempt(gateway, vendor(), now, &mut spares);
            assert_eq!(at, usize::from(number));
        }
        let gateways = call.attempts.iter().map(|attempt| attempt.gateway);
        assert!(gateways.eq((0..4).map(|number| Some(GatewayId(number)))));
        assert_eq!(call.attempts[3].sent_to(), vendor());
        assert!(spares.is_empty());
        call.give_back(&mut spares);
        assert_eq!(spares.len(), 1);
    }
    let mut single = answered();
    single.give_back(&mut spares);
    assert_eq!(spares.len(), 1, "one attempt has its place in the call");
}
