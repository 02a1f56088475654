//! One call through a shard in virtual time, message by message.

#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use base::{ShardId, Time};
use bench::{CALLER, OTHER, Setup, VENDOR, at, headers, respond};

fn invite() -> String {
    "INVITE sip:+4412345@192.0.2.100 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1
From: <sip:+331@192.0.2.1>;tag=a
To: <sip:+4412345@192.0.2.100>
Call-ID: one@192.0.2.1
CSeq: 1 INVITE
Contact: <sip:a@192.0.2.1:5060>
Max-Forwards: 70
Content-Length: 0

"
    .to_owned()
}

#[test]
fn a_call_is_routed_answered_and_billed() {
    let mut bench = Setup::new().build();
    bench.hear(CALLER, &invite());
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.1:5060: SIP/2.0 100 Trying",
            "192.0.2.2:5060: INVITE sip:+4412345@192.0.2.2 SIP/2.0",
        ]
    );
    let forwarded = bench.take()[1].text();
    assert!(forwarded.contains("Max-Forwards: 69"), "{forwarded}");
    assert!(
        forwarded.contains("Record-Route: <sip:192.0.2.100:5060;lr;tl="),
        "{forwarded}"
    );
    bench.run(Time::from_millis(100));
    bench.hear(VENDOR, &respond(&forwarded, "180 Ringing", "b"));
    bench.run(Time::from_millis(1_000));
    bench.hear(VENDOR, &respond(&forwarded, "200 OK", "b"));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.1:5060: SIP/2.0 180 Ringing",
            "192.0.2.1:5060: SIP/2.0 200 OK"
        ]
    );
    let answer = bench.take()[1].text();
    let route = headers(&answer, &["Record-Route"]).replace("Record-Route", "Route");
    let in_dialog = |method: &str, branch: &str, cseq: u32| {
        format!(
            "{method} sip:b@192.0.2.2:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}
{route}From: <sip:+331@192.0.2.1>;tag=a
To: <sip:+4412345@192.0.2.100>;tag=b
Call-ID: one@192.0.2.1
CSeq: {cseq} {method}
Max-Forwards: 70
Content-Length: 0

"
        )
    };
    bench.hear(CALLER, &in_dialog("ACK", "z9hG4bKa2", 1));
    bench.run(Time::from_millis(5_000));
    bench.hear(CALLER, &in_dialog("BYE", "z9hG4bKa3", 2));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.2:5060: ACK sip:b@192.0.2.2:5060 SIP/2.0",
            "192.0.2.2:5060: BYE sip:b@192.0.2.2:5060 SIP/2.0",
        ]
    );
    let bye = bench.take()[1].text();
    assert!(!bye.contains("Route:"), "{bye}");
    assert!(
        bench.records().is_empty(),
        "the call is not over before its BYE is answered"
    );
    bench.hear(VENDOR, &respond(&bye, "200 OK", "b"));
    assert_eq!(bench.lines(), ["192.0.2.1:5060: SIP/2.0 200 OK"]);
    let records = bench.records();
    assert_eq!(records.len(), 1);
    for part in [
        "\"duration_us\":4000000",
        "customer",
        "\"first\"",
        "caller_hung_up",
    ] {
        assert!(records[0].contains(part), "{part} in {}", records[0]);
    }
    bench.run(Time::from_millis(120_000));
    assert_eq!(
        bench.world.handler(ShardId(0)).held(),
        [0; 4],
        "nothing is left"
    );
    assert_eq!(bench.world.live_packets(ShardId(0)), 0);
    assert_eq!(bench.world.armed_timers(ShardId(0)), 0);
}

#[test]
fn a_refusal_goes_on_to_the_next_gateway() {
    let mut bench = Setup::new().build();
    bench.hear(CALLER, &invite());
    let forwarded = bench.take()[1].text();
    bench.hear(VENDOR, &respond(&forwarded, "503 Service Unavailable", "b"));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.3:5060: INVITE sip:+4412345@192.0.2.3 SIP/2.0",
            "192.0.2.2:5060: ACK sip:+4412345@192.0.2.2 SIP/2.0",
        ]
    );
    let forwarded = bench.take()[0].text();
    bench.hear(OTHER, &respond(&forwarded, "486 Busy Here", "c"));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.1:5060: SIP/2.0 486 Busy Here",
            "192.0.2.3:5060: ACK sip:+4412345@192.0.2.3 SIP/2.0",
        ]
    );
    let records = bench.records();
    assert_eq!(records.len(), 1);
    assert!(records[0].contains("\"second\""), "{}", records[0]);
    bench.run(Time::from_millis(120_000));
    assert_eq!(
        bench.world.handler(ShardId(0)).held(),
        [0; 4],
        "nothing is left"
    );
    assert_eq!(bench.world.live_packets(ShardId(0)), 0);
}

#[test]
fn silence_goes_on_to_the_next_gateway_and_cancel_ends_it() {
    let mut bench = Setup::new().build();
    bench.hear(CALLER, &invite());
    bench.take();
    bench.run(Time::from_millis(2_600));
    let second = bench
        .take()
        .into_iter()
        .find(|packet| packet.peer == at(OTHER))
        .expect("an attempt")
        .text();
    bench.hear(OTHER, &respond(&second, "180 Ringing", "c"));
    let cancel = invite()
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    bench.take();
    bench.hear(CALLER, &cancel);
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.1:5060: SIP/2.0 200 OK",
            "192.0.2.3:5060: CANCEL sip:+4412345@192.0.2.3 SIP/2.0",
        ]
    );
    let cancel = bench.take()[1].text();
    bench.hear(OTHER, &respond(&cancel, "200 OK", "c"));
    bench.hear(OTHER, &respond(&second, "487 Request Terminated", "c"));
    let said: Vec<String> = bench.lines();
    assert!(
        said.contains(&"192.0.2.1:5060: SIP/2.0 487 Request Terminated".to_owned()),
        "{said:?}"
    );
    let records = bench.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].contains("cancelled"), "{}", records[0]);
    bench.run(Time::from_millis(240_000));
    assert_eq!(
        bench.world.handler(ShardId(0)).held(),
        [0; 4],
        "nothing is left"
    );
    assert_eq!(bench.world.live_packets(ShardId(0)), 0);
}

/// A peer that ignores Record-Route, as SIPp's stock scenarios do: what follows comes to us without
/// a Route and names us.
#[test]
fn a_peer_that_keeps_no_route_set_is_served() {
    let mut bench = Setup::new().build();
    bench.hear(CALLER, &invite());
    let forwarded = bench.take()[1].text();
    bench.hear(VENDOR, &respond(&forwarded, "200 OK", "b"));
    bench.take();
    let in_dialog = |method: &str, branch: &str, cseq: u32, call_id: &str| {
        format!(
            "{method} sip:+4412345@192.0.2.100:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}
From: <sip:+331@192.0.2.1>;tag=a
To: <sip:+4412345@192.0.2.100>;tag=b
Call-ID: {call_id}
CSeq: {cseq} {method}
Max-Forwards: 70
Content-Length: 0

"
        )
    };
    bench.hear(
        CALLER,
        &in_dialog("BYE", "z9hG4bKa9", 2, "another@192.0.2.1"),
    );
    assert_eq!(
        bench.lines(),
        ["192.0.2.1:5060: SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    bench.take();
    bench.hear(CALLER, &in_dialog("ACK", "z9hG4bKa2", 1, "one@192.0.2.1"));
    bench.hear(CALLER, &in_dialog("BYE", "z9hG4bKa3", 2, "one@192.0.2.1"));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.2:5060: ACK sip:+4412345@192.0.2.2:5060 SIP/2.0",
            "192.0.2.2:5060: BYE sip:+4412345@192.0.2.2:5060 SIP/2.0",
        ]
    );
    let bye = bench.take()[1].text();
    bench.hear(VENDOR, &respond(&bye, "200 OK", "b"));
    assert_eq!(bench.lines(), ["192.0.2.1:5060: SIP/2.0 200 OK"]);
    assert_eq!(bench.records().len(), 1);
}
