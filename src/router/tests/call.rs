//! One call through a shard in virtual time, message by message.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{ListenerId, ShardId, Time, Transport};
use call::Keys;
use router::{Gauges, Listener, Router, Settings};
use shards::{World, WorldConfig};
use transaction::Timing;

const ROUTER: &str = "192.0.2.100:5060";
const CALLER: &str = "192.0.2.1:5060";
const VENDOR: &str = "192.0.2.2:5060";
const OTHER: &str = "192.0.2.3:5060";

struct Bench {
    world: World<Router>,
    sent: Vec<(SocketAddr, String)>,
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn bench() -> Bench {
    let mut spec = route::Spec::default();
    spec.listeners.push(route::ListenerSpec {
        name: "udp".to_owned(),
        transport: Transport::Udp,
        address: at(ROUTER),
    });
    let source = route::Source::parse("192.0.2.1").expect("a source");
    spec.trunks.push(route::TrunkSpec::new("customer", source));
    spec.gateways
        .push(route::GatewaySpec::new("first", at(VENDOR)));
    spec.gateways
        .push(route::GatewaySpec::new("second", at(OTHER)));
    spec.routes
        .push(route::RouteSpec::new("44", &["first", "second"]));
    let snapshot = Arc::new(route::build(&spec, 1, None).expect("a world"));
    let listener = Listener {
        transport: Transport::Udp,
        address: at(ROUTER),
        advertise: at(ROUTER),
    };
    let settings = Arc::new(Settings {
        node: b"test".to_vec(),
        shards: 1,
        listeners: vec![listener],
        names: Vec::new(),
        keys: Keys::new([1; 32], [2; 32]),
        owner_key: (3, 4),
        table_key: [5; 16],
        transactions_max: 1_000,
        calls_max: 1_000,
        gateways_max: 16,
        timing: Timing::default(),
        delay_target_us: 1_000_000,
        udp_bytes_max: 1_300,
        max_call_ms: 0,
    });
    let gauges = Arc::new(Gauges::new(16));
    let config = WorldConfig {
        shards: 1,
        listeners: vec![shards::ListenerSpec {
            transport: Transport::Udp,
            address: at(ROUTER),
        }],
        handler_counters: router::COUNTERS,
        handler_histograms: router::HISTOGRAMS,
        handler_dynamic: router::dynamic_cells(16, 16),
        ..WorldConfig::default()
    };
    let world = World::new(config, |shard| {
        Router::new(
            Arc::clone(&settings),
            shard,
            Arc::clone(&snapshot),
            Arc::clone(&gauges),
        )
    });
    Bench {
        world,
        sent: Vec::new(),
    }
}

impl Bench {
    fn receive(&mut self, from: &str, text: &str) {
        let bytes = text.replace('\n', "\r\n");
        let now = self.world.now();
        self.world
            .datagram(now, ListenerId(0), at(from), bytes.as_bytes());
        self.run(now);
    }

    fn run(&mut self, until: Time) {
        let sent = &mut self.sent;
        self.world.run_until(until, &mut |out| {
            sent.push((
                out.flow.peer,
                String::from_utf8_lossy(out.bytes).into_owned(),
            ));
        });
    }

    /// What was sent since the last look: `address: first line`.
    fn lines(&mut self) -> Vec<String> {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        self.sent
            .iter()
            .map(|(to, text)| format!("{to}: {}", first(text)))
            .collect()
    }

    fn take(&mut self) -> Vec<(SocketAddr, String)> {
        std::mem::take(&mut self.sent)
    }

    fn records(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for (_, bytes) in self.world.records() {
            let decoded = cdr::decode(&bytes).expect("our own frame");
            let mut line = Vec::new();
            cdr::write_json(&decoded.call(), &mut line);
            all.push(String::from_utf8(line).expect("JSON is UTF-8"));
        }
        all
    }
}

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

/// The headers of `text` with these names, in order.
fn headers(text: &str, names: &[&str]) -> String {
    let wanted = |line: &&str| {
        names
            .iter()
            .any(|name| line.starts_with(&format!("{name}:")))
    };
    text.lines()
        .filter(wanted)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn respond(request: &str, status: &str, to_tag: &str) -> String {
    let copied = headers(request, &["Via", "From", "Call-ID", "CSeq", "Record-Route"]);
    let to = headers(request, &["To"]);
    let to = if to.contains("tag=") {
        to
    } else {
        format!("{};tag={to_tag}\n", to.trim_end())
    };
    format!("SIP/2.0 {status}\n{copied}{to}Contact: <sip:b@192.0.2.2:5060>\nContent-Length: 0\n\n")
}

#[test]
fn a_call_is_routed_answered_and_billed() {
    let mut bench = bench();
    bench.receive(CALLER, &invite());
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.1:5060: SIP/2.0 100 Trying",
            "192.0.2.2:5060: INVITE sip:+4412345@192.0.2.2 SIP/2.0",
        ]
    );
    let forwarded = bench.take()[1].1.clone();
    assert!(forwarded.contains("Max-Forwards: 69"), "{forwarded}");
    assert!(
        forwarded.contains("Record-Route: <sip:192.0.2.100:5060;lr;tl="),
        "{forwarded}"
    );
    bench.run(Time::from_millis(100));
    bench.receive(VENDOR, &respond(&forwarded, "180 Ringing", "b"));
    bench.run(Time::from_millis(1_000));
    bench.receive(VENDOR, &respond(&forwarded, "200 OK", "b"));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.1:5060: SIP/2.0 180 Ringing",
            "192.0.2.1:5060: SIP/2.0 200 OK"
        ]
    );
    let answer = bench.take()[1].1.clone();
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
    bench.receive(CALLER, &in_dialog("ACK", "z9hG4bKa2", 1));
    bench.run(Time::from_millis(5_000));
    bench.receive(CALLER, &in_dialog("BYE", "z9hG4bKa3", 2));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.2:5060: ACK sip:b@192.0.2.2:5060 SIP/2.0",
            "192.0.2.2:5060: BYE sip:b@192.0.2.2:5060 SIP/2.0",
        ]
    );
    let bye = bench.take()[1].1.clone();
    assert!(!bye.contains("Route:"), "{bye}");
    assert!(
        bench.records().is_empty(),
        "the call is not over before its BYE is answered"
    );
    bench.receive(VENDOR, &respond(&bye, "200 OK", "b"));
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
    let mut bench = bench();
    bench.receive(CALLER, &invite());
    let forwarded = bench.take()[1].1.clone();
    bench.receive(VENDOR, &respond(&forwarded, "503 Service Unavailable", "b"));
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.3:5060: INVITE sip:+4412345@192.0.2.3 SIP/2.0",
            "192.0.2.2:5060: ACK sip:+4412345@192.0.2.2 SIP/2.0",
        ]
    );
    let forwarded = bench.take()[0].1.clone();
    bench.receive(OTHER, &respond(&forwarded, "486 Busy Here", "c"));
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
    let mut bench = bench();
    bench.receive(CALLER, &invite());
    bench.take();
    bench.run(Time::from_millis(2_600));
    let second = bench
        .take()
        .into_iter()
        .find(|(to, _)| *to == at(OTHER))
        .expect("an attempt")
        .1;
    bench.receive(OTHER, &respond(&second, "180 Ringing", "c"));
    let cancel = invite()
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    bench.take();
    bench.receive(CALLER, &cancel);
    assert_eq!(
        bench.lines(),
        [
            "192.0.2.1:5060: SIP/2.0 200 OK",
            "192.0.2.3:5060: CANCEL sip:+4412345@192.0.2.3 SIP/2.0",
        ]
    );
    let cancel = bench.take()[1].1.clone();
    bench.receive(OTHER, &respond(&cancel, "200 OK", "c"));
    bench.receive(OTHER, &respond(&second, "487 Request Terminated", "c"));
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
