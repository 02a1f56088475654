//! Calls, transactions and connections at their limits: what is too much is refused with 503 or
//! a closed connection, what was accepted is carried on, and afterwards there is room again.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use harness::{Gateway, PATIENCE, Router, Scene, tables, wait_for};
use perf::Figures;
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};
use perf::truth::{Strictness, Truth, read_truth};

/// A call that is refused for want of room has no record.
const ROOM: Strictness = Strictness {
    tolerance_us: 1_000_000,
    is_cut: true,
};

struct Line {
    scene: Scene,
    customer: SocketAddr,
    at: SocketAddr,
    router: Router,
    vendor: Vendor,
}

/// One customer and one vendor, which answers after `answer`, with these lines of configuration.
fn line(more: &str, answer: Duration) -> Line {
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let tables = tables(customer.ip(), &[Gateway::udp("first", vendor)], "");
    let router = scene.router(&format!("{}{more}\n{tables}", scene.head(&[at])));
    let ring = Duration::ZERO;
    let vendor = Vendor::start(VendorSpec::new(vendor, Habit::Answers { ring, answer })).unwrap();
    Line {
        scene,
        customer,
        at,
        router,
        vendor,
    }
}

impl Line {
    /// Places calls to their end; what the caller counted and saw.
    fn place(&self, name: &str, calls: u64, rate: u32, hold: Duration) -> (Figures, Truth) {
        let file = self.scene.path(name);
        let mut spec = CallerSpec::new(self.customer, self.at, rate);
        spec.calls_max = calls;
        spec.hold = hold;
        spec.truth = Some(file.clone());
        let caller = Caller::start(spec).unwrap();
        wait_for("all calls end", 4 * PATIENCE, || {
            caller.is_finished().then_some(())
        });
        let figures = caller.stop(PATIENCE).unwrap();
        assert_eq!(figures.placed, calls, "{figures:?}");
        assert_eq!(figures.answered + figures.failed, calls, "{figures:?}");
        let mut truth = Truth::new();
        read_truth(&file, &mut truth).unwrap();
        (figures, truth)
    }

    /// Overloads the limit; those that found room were carried whole, the others got 503.
    fn check_refusals(&self, calls: u64, hold: Duration, room_min: u64, room_max: u64) {
        let (figures, truth) = self.place("over.truth", calls, 400, hold);
        assert!(figures.answered >= room_min, "{figures:?}");
        assert!(figures.answered <= room_max, "{figures:?}");
        assert_eq!(figures.completed, figures.answered, "{figures:?}");
        for seen in truth.values() {
            assert!(matches!(seen.failed, None | Some(503)), "{seen:?}");
        }
        assert_eq!(self.vendor.figures().answered, figures.answered);
        wait_for("the CDRs", PATIENCE, || {
            let is_answered = |cdr: &&serde_json::Value| !cdr["answered"].is_null();
            let answered = self.router.cdrs().iter().filter(is_answered).count();
            (answered as u64 >= figures.answered).then_some(())
        });
        self.router.judge(&[&self.scene.path("over.truth")], ROOM);
    }

    /// After a while as many calls as there is room for are all answered.
    fn check_recovery(&self, calls: u64) {
        let mut round = 0;
        wait_for("room again", 3 * PATIENCE, || {
            round += 1;
            let name = format!("after{round}.truth");
            let (figures, _) = self.place(&name, calls, 100, Duration::from_millis(10));
            (figures.answered == calls).then_some(())
        });
    }
}

#[test]
fn calls_at_their_limit() {
    let line = line("[limits]\ncalls = 16\n", Duration::from_millis(10));
    // 150 calls within the time that the first is held: 2 shards hold 16 each.
    line.check_refusals(150, Duration::from_secs(2), 32, 33);
    line.check_recovery(10);
}

#[test]
fn transactions_at_their_limit() {
    // A short T1, so that the transactions of calls that are over are gone soon.
    let line = line(
        "[limits]\ntransactions = 32\n\n[timers]\nt1_ms = 20\nt2_ms = 160\nt4_ms = 200\n",
        Duration::from_secs(2),
    );
    line.check_refusals(200, Duration::from_secs(4), 32, 64);
    line.check_recovery(10);
}

#[test]
fn connections_at_their_limit() {
    const CONNECTIONS: usize = 60;
    let line = line(
        "[limits]\nconnections = 8\nconnections_per_peer = 8\nevict_idle_ms = 3600000\n",
        Duration::ZERO,
    );
    let mut streams: Vec<TcpStream> = Vec::new();
    for number in 0..CONNECTIONS {
        // A connection that is refused may be closed before we have written.
        if let Some(stream) = ask(line.at, number) {
            streams.push(stream);
        }
    }
    assert!(
        (8..=16).contains(&streams.len()),
        "2 shards hold 8 each: {}",
        streams.len()
    );
    let refused: u64 = ["connections_refused_total", "connections_refused_peer"]
        .map(|name| line.router.counter(name))
        .iter()
        .sum();
    assert_eq!(refused, (CONNECTIONS - streams.len()) as u64);

    // Those that are open still work, and when they go there is room.
    for stream in &mut streams {
        assert!(
            answers(stream, line.at, CONNECTIONS),
            "an accepted connection goes on"
        );
    }
    drop(streams);
    let mut number = CONNECTIONS;
    let mut again = Vec::new();
    wait_for("room again", PATIENCE, || {
        number += 1;
        again.extend(ask(line.at, number));
        (again.len() >= 8).then_some(())
    });
}

/// Opens a connection and asks by OPTIONS; `None` if it was refused.
fn ask(at: SocketAddr, number: usize) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    answers(&mut stream, at, number).then_some(stream)
}

fn answers(stream: &mut TcpStream, at: SocketAddr, number: usize) -> bool {
    let Ok(from) = stream.local_addr() else {
        return false;
    };
    let options = format!(
        "OPTIONS sip:{at} SIP/2.0\r\nVia: SIP/2.0/TCP {from};branch=z9hG4bK{number}\r\n\
         From: <sip:test@{from}>;tag=1\r\nTo: <sip:{at}>\r\nCall-ID: {number}@{from}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    if stream.write_all(options.as_bytes()).is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let mut block = [0; 2048];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut block) {
            Ok(0) => return false,
            Ok(count) => answer.extend_from_slice(&block[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
    }
    // Any answer will do: OPTIONS from a stranger is refused, but it is heard.
    answer.starts_with(b"SIP/2.0 ")
}
