//! More calls than the router can carry: a real router, real sockets, callers that retransmit.
//!
//! The router runs on one core and is stopped for four fifths of the time, as a container is that has
//! spent its quota: so its peak is low, the generator is far from its own limit, and the delay that
//! the router sees is not of its own making. What is asserted are ratios of counts within one test,
//! wide enough for a machine that does other things meanwhile; the figures are taken by
//! `trunkline-perf overload`.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)] // tests run in real time, beside real peers
#![allow(clippy::disallowed_types)] // these take turns

mod harness;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harness::{Gateway, Router, Scene, tables, wait_for};
use perf::load::{Calls, Plan, Report, Sink, Source, Spread, run};
use serde_json::Value;

/// One at a time: they would take the core from each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What helps to see why a test failed.
const SHOWN: [&str; 6] = [
    "kernel_drops",
    "overload_kernel_dropped",
    "overload_dropped",
    "overload_refused",
    "queue_delay_us",
    "call_limit",
];

/// A router that runs for 10 of each 50 ms, with two customers and one vendor.
struct Starved {
    router: Router,
    customer: IpAddr,
    other: IpAddr,
    at: SocketAddr,
    sink: SocketAddr,
    starver: Child,
}

impl Starved {
    fn new(scene: &Scene) -> Starved {
        let (at, sink) = (scene.address(), scene.address());
        let (customer, other) = (scene.host(), scene.host());
        let head = scene.hasty(&[at]).replace("shards = 2", "shards = 1");
        // Who is stopped for a twentieth of a second at a time is late through no fault of its own.
        let overload = "[overload]\ndelay_max_ms = 5000\ndrop_unknown_sources = true\n\n[sources]\nunknown = \"drop\"\n\n";
        let quiet = format!("[[trunk]]\nname = \"quiet\"\nsources = [\"{other}\"]\n\n");
        let tables = tables(customer, &[Gateway::udp("vendor", sink)], "");
        let router = scene.router(&format!("{head}{overload}{quiet}{tables}"));
        let starver = starve(router.id());
        Starved {
            router,
            customer,
            other,
            at,
            sink,
            starver,
        }
    }

    /// Offers so many calls a second for so long.
    fn offer(&self, sources: Vec<Source>, rate: f64, duration_ms: u64) -> Report {
        let plan = Plan {
            targets: vec![self.at],
            sources,
            sinks: vec![Sink::new(self.sink)],
            rate,
            warm_up_ms: 500,
            duration_ms,
            drain_ms: 4_000,
            ring: Spread::fixed_ms(20),
            hold: Spread::fixed_ms(300),
            refusals: vec![503],
            ..Plan::default()
        };
        let report = run(&plan, &mut |_| {}).expect("the generator runs");
        println!(
            "offered {rate}/s: {} attempts, {} established, {} refused, failed {:?}",
            report.calls.attempts,
            report.calls.established,
            report.calls.refused_total(),
            report.calls.failed,
        );
        for name in SHOWN {
            print!("{name} {}  ", self.router.counter(name));
        }
        println!();
        report
    }

    fn customer(&self) -> Vec<Source> {
        vec![Source::new(SocketAddr::new(self.customer, 0))]
    }

    /// The highest of a few rates that is nearly carried, as calls a second that were set up.
    fn peak(&self) -> f64 {
        let mut peak = 0.0_f64;
        for rate in [300.0, 600.0, 1_200.0, 2_400.0, 4_800.0] {
            let report = self.offer(self.customer(), rate, 1_500);
            let good = report.calls.established as f64 / 1.5;
            peak = peak.max(good);
            if good < 0.9 * rate {
                break;
            }
        }
        peak
    }

    /// Whether the kernel helps; where the process may not ask it to, the test says so.
    fn has_kernel(&self) -> bool {
        let is_shedding = self.control("shedding") == 1;
        if !is_shedding {
            eprintln!("NOT TESTED: shedding by the kernel; this process may not load programs");
        }
        is_shedding
    }

    fn control(&self, name: &str) -> u64 {
        self.router.stats()["control"][name].as_u64().unwrap()
    }

    /// What had to be turned away, by whomever.
    fn turned_away(&self) -> u64 {
        self.router.counter("overload_refused") + self.router.counter("overload_kernel_dropped")
    }

    /// A number of a trunk or a gateway.
    fn of(&self, kind: &str, name: &str, what: &str) -> u64 {
        let stats: Value = self.router.stats();
        let all = stats[kind].as_array().unwrap();
        let found = all.iter().find(|entry| entry["name"] == name);
        found.unwrap()[what].as_u64().unwrap()
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ended = self.starver.kill();
        let _reaped = self.starver.wait();
        self.router.signal("CONT");
    }
}

/// Stops and continues a process for as long as it lives, in a process of its own.
fn starve(pid: u32) -> Child {
    let rhythm = format!(
        "while kill -STOP {pid} 2>/dev/null; do sleep 0.04; kill -CONT {pid}; sleep 0.01; done"
    );
    Command::new("sh")
        .args(["-c", &rhythm])
        .spawn()
        .expect("sh runs")
}

/// No request of a call that is up was refused, and no call failed by another fault than overload:
/// while the router is stopped its buffer fills, and an answer of the vendor may be lost in it.
fn assert_calls_were_kept(calls: &Calls) {
    const REQUEST_TIMEOUT: u16 = 408;
    assert_eq!(calls.failed.bye_status.len(), 0, "{:?}", calls.failed);
    let mut statuses = calls.failed.status.keys();
    let is_lost = statuses.all(|&status| status == REQUEST_TIMEOUT);
    assert!(is_lost, "{:?}", calls.failed);
    let lost: u64 = calls.failed.status.values().sum();
    assert!(lost * 20 <= calls.established, "{:?}", calls.failed);
}

#[test]
fn a10_goodput_stands_under_many_times_the_peak() {
    let _alone = alone();
    let scene = Scene::new();
    let starved = Starved::new(&scene);
    let peak = starved.peak();
    let report = starved.offer(starved.customer(), 5.0 * peak, 4_000);
    let good = report.calls.established as f64 / 4.0;
    println!("peak {peak:.0}/s, at five times {good:.0}/s");
    assert!(good >= 0.3 * peak, "{good:.0}/s of {peak:.0}/s");
    assert_calls_were_kept(&report.calls);
    assert!(starved.turned_away() > report.calls.attempts / 4);
    // Callers are still told to go elsewhere.
    assert!(report.calls.refused_total() > 0);
    // Our own full buffer is no fault of the gateway's.
    assert_eq!(starved.of("gateways", "vendor", "state"), 2);
    assert!(starved.router.counter("calls_answered") >= report.calls.established);
    if starved.has_kernel() {
        let dropped = starved.router.counter("overload_kernel_dropped");
        assert!(dropped > 0);
        assert!(starved.control("shed_by_kernel") >= dropped);
        assert!(starved.of("trunks", "customer", "kernel_dropped") > 0);
    }
}

#[test]
fn b1_a_flood_of_one_peer_and_of_strangers_leaves_the_canary_whole() {
    let _alone = alone();
    let scene = Scene::new();
    let starved = Starved::new(&scene);
    let peak = starved.peak();
    let is_over = Arc::new(AtomicBool::new(false));
    let stranger = UdpSocket::bind((scene.host(), 0)).unwrap();
    stranger.set_nonblocking(true).unwrap();
    let flood = {
        let (at, is_over) = (starved.at, Arc::clone(&is_over));
        let socket = stranger.try_clone().unwrap();
        std::thread::spawn(move || flood_of_strangers(&socket, at, &is_over))
    };
    let quiet = Source {
        weight: 1,
        ..Source::new(SocketAddr::new(starved.other, 0))
    };
    let loud = Source {
        weight: 40,
        ..Source::new(SocketAddr::new(starved.customer, 0))
    };
    let report = starved.offer(vec![quiet, loud], 4.0 * peak, 4_000);
    is_over.store(true, Relaxed);
    let sent = flood.join().unwrap();
    let canary = &report.sources[0].calls;
    println!("canary {canary:?}; {sent} of strangers");
    assert!(canary.attempts > 20, "{canary:?}");
    let share = |calls: &Calls| calls.established as f64 / calls.attempts as f64;
    let loud = &report.sources[1].calls;
    assert!(share(canary) >= 0.5, "{canary:?}");
    assert!(share(canary) >= 2.0 * share(loud), "{canary:?}, {loud:?}");
    assert_eq!(starved.of("trunks", "quiet", "kernel_dropped"), 0);
    assert!(starved.of("trunks", "customer", "overload_refused") > 0);
    assert_calls_were_kept(&report.calls);
    // Strangers are not answered at all, and where the kernel helps they are not even received.
    let mut answer = [0; 2_048];
    assert!(
        stranger.recv(&mut answer).is_err(),
        "a stranger was answered"
    );
    assert!(sent > 500, "{sent}");
    let unread = starved.router.counter("strangers_unread");
    if starved.has_kernel() {
        assert_eq!(unread, 0);
        assert_eq!(starved.control("strangers_dropped_by_kernel"), sent);
    } else {
        assert!(unread > 0);
    }
}

/// OPTIONS and INVITEs of nobody, in a rhythm that leaves the machine to others too.
fn flood_of_strangers(socket: &UdpSocket, at: SocketAddr, is_over: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !is_over.load(Relaxed) {
        for method in ["OPTIONS", "INVITE"] {
            for _ in 0..20 {
                let message = format!(
                    "{method} sip:1@{at} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bK{sent}\r\n\
                     From: <sip:a@b>;tag=x\r\nTo: <sip:1@{at}>\r\nCall-ID: stranger{sent}\r\n\
                     CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
                );
                sent += u64::from(socket.send_to(message.as_bytes(), at).is_ok());
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    sent
}

#[test]
fn b34_a_starved_core_sheds_by_delay_and_recovers() {
    let _alone = alone();
    let scene = Scene::new();
    let starved = Starved::new(&scene);
    let peak = starved.peak();
    let report = starved.offer(starved.customer(), 4.0 * peak, 2_500);
    assert!(starved.turned_away() > 0);
    assert!(report.calls.established > 0);
    assert_calls_were_kept(&report.calls);
    // When the load is gone, so is the limit, and the kernel lets everything through again.
    wait_for("the limit goes", Duration::from_secs(30), || {
        (starved.router.counter("call_limit") == 0).then_some(())
    });
    let after = starved.offer(starved.customer(), 50.0, 2_000);
    assert!(
        after.calls.established * 10 >= after.calls.attempts * 9,
        "{:?}",
        after.calls
    );
}
