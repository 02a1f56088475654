//! Machines against the clock: the intervals of RFC 3261, and the cases of RFC 6026 and RFC 4320.

use base::{PacketId, Transport};

use super::router::{Router, Seen};
use crate::{ClientEvent, Kind, ServerEvent, Timer, Timing};

const UDP: Transport = Transport::Udp;
const TCP: Transport = Transport::Tcp;

fn response(status: u16) -> ClientEvent {
    ClientEvent::Response { status }
}

/// Nothing holds a packet, runs a timer or has a slot.
fn assert_empty(router: &Router) {
    assert!(router.table.is_empty(), "a slot is left");
    assert!(router.alive.is_empty(), "left: {:?}", router.alive);
    assert!(router.armed.is_empty(), "left: {:?}", router.armed);
}

/// RFC 3261 §17.1.1.2: seven requests in 64*T1, then the timeout.
#[test]
fn timer_a_doubles_until_timer_b() {
    let (mut router, _, invite) = Router::with_client(Kind::Invite, UDP);
    router.run_until(100_000);
    assert_eq!(
        router.times(Seen::Sent(invite)),
        [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]
    );
    assert_eq!(router.times(Seen::TimedOut), [32_000]);
    assert_empty(&router);
}

#[test]
fn a_reliable_transport_repeats_nothing() {
    for kind in [Kind::Invite, Kind::NonInvite] {
        let (mut router, _, request) = Router::with_client(kind, TCP);
        router.run_until(100_000);
        assert_eq!(router.times(Seen::Sent(request)), [0], "{kind:?}");
        assert_eq!(router.times(Seen::TimedOut), [32_000], "{kind:?}");
        assert_empty(&router);
    }
}

#[test]
fn a_provisional_response_stops_timers_a_and_b() {
    let (mut router, id, invite) = Router::with_client(Kind::Invite, UDP);
    router.run_until(600);
    assert!(
        !router
            .table
            .client_ref(id)
            .expect("alive")
            .got_provisional()
    );
    router.client(id, response(100));
    router.run_until(100_000);
    assert_eq!(router.times(Seen::Sent(invite)), [0, 500]);
    assert_eq!(router.times(Seen::TimedOut), [0; 0]);
    let slot = router.table.client_ref(id).expect("still rings");
    assert!(slot.got_provisional());
    assert_eq!(slot.request(), Some(invite), "for a CANCEL or an ACK");
}

/// RFC 3261 §16.6 step 11, §16.7 step 2, §16.8: 101-199 prolong it, 100 does not.
#[test]
fn timer_c_is_prolonged_by_ringing_and_then_tells_the_proxy() {
    let (mut router, id, _) = Router::with_client(Kind::Invite, UDP);
    router.client(id, response(100));
    router.run_until(100_000);
    router.client(id, response(180));
    router.run_until(200_000);
    router.client(id, response(100));
    router.run_until(600_000);
    assert_eq!(router.times(Seen::NoAnswer), [281_000]);
    assert_eq!(router.times(Seen::TimedOut), [281_000 + 32_000]);
    assert_empty(&router);
}

/// RFC 3261 §9.1: 64*T1 after the CANCEL the INVITE counts as cancelled, whatever still rings.
#[test]
fn a_cancelled_invite_waits_64_t1_for_its_final_response() {
    let (mut router, id, _) = Router::with_client(Kind::Invite, UDP);
    router.client(id, ClientEvent::Cancel);
    router.client(id, response(180));
    router.run_until(1_000);
    router.client(id, ClientEvent::Cancel);
    router.run_until(20_000);
    router.client(id, response(183));
    router.run_until(100_000);
    assert_eq!(router.times(Seen::NoAnswer), [0; 0]);
    assert_eq!(router.times(Seen::TimedOut), [33_000]);
    assert_empty(&router);
}

/// RFC 5407 §3.1.2: the 200 crosses our CANCEL; it is passed on like any other.
#[test]
fn a_late_2xx_after_cancel_is_delivered() {
    let (mut router, id, _) = Router::with_client(Kind::Invite, UDP);
    router.client(id, response(180));
    router.client(id, ClientEvent::Cancel);
    router.run_until(5);
    router.client(id, response(200));
    assert_eq!(router.times(Seen::Delivered), [0, 5]);
    assert!(router.table.client_ref(id).expect("Accepted").is_accepted());
}

#[test]
fn a_refusal_is_acknowledged_each_time_and_delivered_once() {
    for status in [302, 408, 486, 503, 603] {
        let (mut router, id, invite) = Router::with_client(Kind::Invite, UDP);
        router.run_until(100);
        router.client(id, response(status));
        let ack = PacketId(invite.0 + 1);
        router.run_until(1_000);
        router.client(id, response(status));
        router.client(id, response(180));
        router.client(id, response(200));
        assert_eq!(router.times(Seen::Sent(ack)), [100, 1_000], "{status}");
        assert_eq!(router.times(Seen::Delivered), [100], "{status}");
        assert_eq!(router.alive.len(), 1, "the ACK and not the INVITE");
        router.run_until(100_000);
        assert_eq!(router.times(Seen::Gone), [32_100], "Timer D");
        assert_empty(&router);
    }
}

#[test]
fn over_a_reliable_transport_a_refusal_ends_with_its_ack() {
    let (mut router, id, invite) = Router::with_client(Kind::Invite, TCP);
    router.client(id, response(180));
    router.client(id, response(486));
    assert_eq!(router.times(Seen::Sent(PacketId(invite.0 + 1))), [0]);
    assert_eq!(router.times(Seen::Delivered), [0, 0]);
    assert_empty(&router);
}

/// The pool is empty when the refusal comes: the slot must end all the same.
#[test]
fn a_refusal_whose_ack_cannot_be_composed_ends_too() {
    for (transport, gone) in [(UDP, 32_000), (TCP, 0)] {
        let (mut router, id, _) = Router::with_client(Kind::Invite, transport);
        router.pool_has_room = false;
        router.client(id, response(486));
        router.run_until(100_000);
        assert_eq!(router.times(Seen::Gone), [gone], "{transport}");
        assert_empty(&router);
    }
    let (mut router, id, invite) = Router::with_client(Kind::Invite, UDP);
    router.pool_has_room = false;
    router.client(id, response(486));
    router.pool_has_room = true;
    router.client(id, response(486));
    assert_eq!(router.times(Seen::Sent(PacketId(invite.0 + 1))), [0]);
}

/// RFC 6026 §7.2: every 2xx is passed on for 64*T1, and nothing is held for it.
#[test]
fn rfc6026_an_accepted_client_passes_further_2xx_and_holds_nothing() {
    for transport in [UDP, TCP] {
        let (mut router, id, _) = Router::with_client(Kind::Invite, transport);
        router.client(id, response(200));
        assert!(router.alive.is_empty());
        for at in [500, 1_500, 31_999] {
            router.run_until(at);
            router.client(id, response(200));
            router.client(id, response(486));
            router.client(id, response(180));
        }
        assert_eq!(router.times(Seen::Delivered), [0, 500, 1_500, 31_999]);
        router.run_until(32_000);
        assert_eq!(router.times(Seen::Gone), [32_000]);
        router.client(id, response(200));
        assert_eq!(router.times(Seen::Delivered).len(), 4, "a stray is dropped");
        assert_empty(&router);
    }
}

#[test]
fn a_client_that_cannot_send_fails_at_once() {
    for (kind, transport) in [(Kind::Invite, TCP), (Kind::NonInvite, UDP)] {
        let (mut router, id, _) = Router::with_client(kind, transport);
        router.client(id, ClientEvent::TransportError);
        assert_eq!(router.times(Seen::Failed), [0]);
        assert_empty(&router);
    }
}

/// RFC 3261 §17.1.2.2: 500 ms, 1 s, 2 s, then T2.
#[test]
fn timer_e_doubles_up_to_t2_until_timer_f() {
    let (mut router, _, request) = Router::with_client(Kind::NonInvite, UDP);
    router.run_until(100_000);
    let mut want = vec![0, 500, 1_500, 3_500];
    want.extend((7_500..32_000).step_by(4_000));
    assert_eq!(router.times(Seen::Sent(request)), want);
    assert_eq!(want.len(), 11, "RFC 3261: eleven requests");
    assert_eq!(router.times(Seen::TimedOut), [32_000]);
    assert_empty(&router);
}

#[test]
fn a_provisional_response_slows_timer_e_to_t2() {
    let (mut router, id, request) = Router::with_client(Kind::NonInvite, UDP);
    router.run_until(600);
    router.client(id, response(100));
    router.run_until(12_000);
    assert_eq!(
        router.times(Seen::Sent(request)),
        [0, 500, 1_500, 5_500, 9_500]
    );
    router.client(id, response(200));
    router.client(id, response(200));
    assert_eq!(router.times(Seen::Delivered), [600, 12_000]);
    assert!(
        router.alive.is_empty(),
        "the request is not needed any more"
    );
    router.run_until(100_000);
    assert_eq!(router.times(Seen::Gone), [17_000], "Timer K");
    assert_empty(&router);
}

#[test]
fn over_a_reliable_transport_a_final_response_ends_a_client_at_once() {
    let (mut router, id, _) = Router::with_client(Kind::NonInvite, TCP);
    router.run_until(10);
    router.client(id, response(200));
    assert_eq!(router.times(Seen::Gone), [10]);
    assert_empty(&router);
}

/// RFC 3261 §17.2.1: T1, doubled up to T2, until Timer H.
#[test]
fn timer_g_doubles_up_to_t2_until_timer_h() {
    let (mut router, id) = Router::with_server(Kind::Invite, UDP);
    router.respond(id, 180);
    let refusal = router.respond(id, 486);
    router.run_until(100_000);
    let mut want = vec![0, 500, 1_500, 3_500];
    want.extend((7_500..32_000).step_by(4_000));
    assert_eq!(router.times(Seen::Sent(refusal)), want);
    assert_eq!(router.times(Seen::TimedOut), [32_000]);
    assert_empty(&router);
}

#[test]
fn an_ack_stops_timer_g_and_timer_i_absorbs_its_repeats() {
    let (mut router, id) = Router::with_server(Kind::Invite, UDP);
    let refusal = router.respond(id, 486);
    router.run_until(700);
    router.server(id, ServerEvent::Request);
    router.server(id, ServerEvent::Ack);
    assert!(router.alive.is_empty(), "nothing to repeat after the ACK");
    router.run_until(1_000);
    router.server(id, ServerEvent::Ack);
    router.server(id, ServerEvent::Request);
    router.run_until(100_000);
    assert_eq!(router.times(Seen::Sent(refusal)), [0, 500, 700]);
    assert_eq!(router.times(Seen::Delivered), [0; 0]);
    assert_eq!(router.times(Seen::Gone), [5_700]);
    assert_empty(&router);
}

#[test]
fn over_a_reliable_transport_an_ack_ends_an_invite_server() {
    let (mut router, id) = Router::with_server(Kind::Invite, TCP);
    let refusal = router.respond(id, 486);
    router.run_until(20_000);
    assert_eq!(router.times(Seen::Sent(refusal)), [0], "no Timer G");
    router.server(id, ServerEvent::Ack);
    assert_eq!(router.times(Seen::Gone), [20_000]);
    assert_empty(&router);
}

#[test]
fn a_repeated_invite_gets_the_latest_provisional_response() {
    let (mut router, id) = Router::with_server(Kind::Invite, UDP);
    router.server(id, ServerEvent::Request);
    assert!(router.log.is_empty(), "nothing to repeat yet");
    let trying = router.respond(id, 100);
    router.server(id, ServerEvent::Request);
    let ringing = router.respond(id, 180);
    router.server(id, ServerEvent::Request);
    assert_eq!(router.times(Seen::Sent(trying)).len(), 2);
    assert_eq!(router.times(Seen::Sent(ringing)).len(), 2);
    assert_eq!(router.alive.len(), 1, "the 100 was given back");
}

/// RFC 6026 §7.1: repeats of the INVITE are absorbed, ACKs and further 2xx pass, nothing is held.
#[test]
fn rfc6026_an_accepted_server_absorbs_invites_and_passes_acks_and_2xx() {
    for transport in [UDP, TCP] {
        let (mut router, id) = Router::with_server(Kind::Invite, transport);
        router.respond(id, 180);
        let ok = router.respond(id, 200);
        assert!(router.alive.is_empty());
        router.run_until(400);
        router.server(id, ServerEvent::Request);
        router.run_until(500);
        let again = router.respond(id, 200);
        router.respond(id, 486);
        router.respond(id, 180);
        router.server(id, ServerEvent::Ack);
        router.server(id, ServerEvent::Ack);
        assert!(router.alive.is_empty());
        assert_eq!(router.times(Seen::Sent(ok)), [0]);
        assert_eq!(router.times(Seen::Sent(again)), [500]);
        assert_eq!(router.times(Seen::Delivered), [500, 500]);
        assert_eq!(router.log.len(), 5, "180, 200, 200, ACK, ACK");
        router.run_until(100_000);
        assert_eq!(router.times(Seen::Gone), [32_000], "Timer L");
        router.respond(id, 200);
        assert_empty(&router);
    }
}

/// RFC 6026 §7.1, §8.8: repeats must still find the transaction.
#[test]
fn rfc6026_a_transport_error_does_not_end_a_server() {
    for (kind, status) in [
        (Kind::Invite, 180),
        (Kind::Invite, 200),
        (Kind::Invite, 486),
        (Kind::NonInvite, 200),
    ] {
        let (mut router, id) = Router::with_server(kind, UDP);
        router.respond(id, status);
        router.server(id, ServerEvent::TransportError);
        assert_eq!(router.times(Seen::Failed), [0], "{kind:?} {status}");
        assert!(router.table.server_ref(id).is_some(), "{kind:?} {status}");
    }
}

/// RFC 4320 §4.1: over UDP no 100 before 3.5 s, then one, and repeats get it again.
#[test]
fn rfc4320_a_100_is_sent_when_it_is_due_and_not_before() {
    let (mut router, id) = Router::with_server(Kind::NonInvite, UDP);
    router.run_until(1_000);
    router.respond(id, 100);
    router.server(id, ServerEvent::Request);
    assert!(router.log.is_empty(), "no early 100, and nothing to repeat");
    router.run_until(3_499);
    assert!(router.log.is_empty());
    router.run_until(3_500);
    let trying = PacketId(2);
    router.server(id, ServerEvent::Request);
    assert_eq!(router.times(Seen::Sent(trying)), [3_500, 3_500]);
    let ok = router.respond(id, 200);
    router.run_until(4_000);
    router.server(id, ServerEvent::Request);
    assert_eq!(router.times(Seen::Sent(ok)), [3_500, 4_000]);
    router.run_until(100_000);
    assert_eq!(router.times(Seen::Gone), [35_500], "Timer J");
    assert_empty(&router);
}

#[test]
fn rfc4320_over_a_reliable_transport_100_may_go_at_any_time_and_goes_when_due() {
    let (mut router, id) = Router::with_server(Kind::NonInvite, TCP);
    let trying = router.respond(id, 100);
    router.run_until(10_000);
    assert_eq!(router.times(Seen::Sent(trying)), [0]);
    assert_eq!(router.log.len(), 1, "one is enough");

    let (mut router, id) = Router::with_server(Kind::NonInvite, TCP);
    router.run_until(10_000);
    assert_eq!(router.times(Seen::Sent(PacketId(1))), [3_500]);
    router.respond(id, 200);
    assert_eq!(router.times(Seen::Gone), [10_000], "Timer J is zero");
    assert_empty(&router);
}

#[test]
fn rfc4320_no_provisional_response_but_100_is_sent() {
    for transport in [UDP, TCP] {
        let (mut router, id) = Router::with_server(Kind::NonInvite, transport);
        router.respond(id, 180);
        router.respond(id, 199);
        assert!(router.log.is_empty() && router.alive.is_empty());
    }
}

/// RFC 4320 §4.2: no 408, and no final response at all; repeats are still not new requests.
#[test]
fn rfc4320_a_408_is_never_sent_and_repeats_are_absorbed() {
    for abandon in [true, false] {
        let (mut router, id) = Router::with_server(Kind::NonInvite, UDP);
        router.run_until(31_000);
        let sent = router.log.len();
        if abandon {
            router.server(id, ServerEvent::Abandon);
        } else {
            router.respond(id, 408);
        }
        router.server(id, ServerEvent::Request);
        router.respond(id, 200);
        assert_eq!(router.log.len(), sent, "nothing but the 100 ever went out");
        assert!(router.alive.is_empty());
        router.run_until(100_000);
        assert_eq!(router.times(Seen::Gone), [63_000]);
        assert_empty(&router);
    }
    let (mut router, id) = Router::with_server(Kind::NonInvite, TCP);
    router.respond(id, 408);
    assert_eq!(router.log, [(0, Seen::Gone)]);
    let (mut router, id) = Router::with_server(Kind::Invite, UDP);
    let timeout = router.respond(id, 408);
    assert_eq!(router.times(Seen::Sent(timeout)), [0], "an INVITE is told");
}

#[test]
fn a_timer_that_fires_late_is_ignored() {
    let (mut router, id, _) = Router::with_client(Kind::Invite, UDP);
    router.client(id, response(180));
    for timer in [Timer::A, Timer::B, Timer::D, Timer::M] {
        router.client(id, ClientEvent::Timer(timer));
    }
    assert_eq!(router.log.len(), 2, "the INVITE and the 180");
}

#[test]
fn other_base_values_move_all_timers() {
    let timing = Timing {
        t1_ms: 100,
        t2_ms: 1_000,
        ..Timing::default()
    };
    let capped: Vec<u32> = (0..6).map(|repeats| timing.capped_ms(repeats)).collect();
    assert_eq!(capped, [100, 200, 400, 800, 1_000, 1_000]);
    assert_eq!(timing.trying_ms(), 1_500, "100 + 200 + 400 + 800");
    assert_eq!((timing.give_up_ms(), timing.d_ms()), (6_400, 32_000));
    let slow = Timing {
        t1_ms: 1_000,
        ..timing
    };
    assert_eq!((slow.trying_ms(), slow.d_ms()), (1_000, 64_000));
    let none = Timing { t1_ms: 0, ..timing };
    assert!(none.trying_ms() < 1_024, "ends for any value");
    assert_eq!(Timing::default().doubled_ms(200), u32::MAX, "saturates");
}
