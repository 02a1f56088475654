//! The generator against SIPp, both ways: each must see what the other did.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use perf::load::{Moment, Plan, Progress, Report, Sink, Source, Spread, Timers, Transport, run};

/// How long SIPp may take to begin or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Sipp {
    child: Child,
    folder: tempfile::TempDir,
}

/// What SIPp has counted, by the names of its statistics' columns.
type Counts = BTreeMap<String, u64>;

impl Sipp {
    fn start(scenario: &str, transport: Transport, calls: u64, arguments: &[&str]) -> Sipp {
        let folder = tempfile::tempdir().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sipp/{scenario}.xml"));
        let transport = match transport {
            Transport::Udp => "u1",
            Transport::Tcp => "t1",
        };
        let child = Command::new("sipp")
            .arg("-sf")
            .arg(file)
            .args(["-t", transport, "-nostdin", "-m", &calls.to_string()])
            .args(["-trace_stat", "-stf", "counts.csv", "-fd", "1"])
            .args([
                "-trace_err",
                "-error_file",
                "errors",
                "-timeout",
                "50",
                "-timeout_error",
            ])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp is installed (scripts/setup.sh)");
        Sipp { child, folder }
    }

    /// Waits for its end, which must be a good one.
    fn finish(mut self) -> Counts {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "SIPp does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let errors = fs::read_to_string(self.path("errors")).unwrap_or_default();
        assert_eq!(status.code(), Some(0), "SIPp: calls failed\n{errors}");
        let table = fs::read_to_string(self.path("counts.csv")).unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split(';').collect())
            .collect();
        let (names, last) = (&rows[0], rows.last().unwrap());
        let count = |(name, text): (&&str, &&str)| Some((name.to_string(), text.parse().ok()?));
        names.iter().zip(last).filter_map(count).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A free port, taken and given back: SIPp wants to be told one.
fn free(ip: &str, transport: Transport) -> SocketAddr {
    let any = SocketAddr::new(ip.parse().unwrap(), 0);
    match transport {
        Transport::Udp => std::net::UdpSocket::bind(any)
            .unwrap()
            .local_addr()
            .unwrap(),
        Transport::Tcp => std::net::TcpListener::bind(any)
            .unwrap()
            .local_addr()
            .unwrap(),
    }
}

/// Waits until somebody has this port, by the kernel's own table.
fn wait_for(address: SocketAddr) {
    let port = format!(":{:04X}", address.port());
    let begun = Instant::now();
    let is_there = || {
        ["udp", "udp6", "tcp", "tcp6"].iter().any(|table| {
            let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
            let mut locals = table
                .lines()
                .filter_map(|line| line.split_whitespace().nth(1));
            locals.any(|local| local.ends_with(&port))
        })
    };
    while !is_there() {
        assert!(begun.elapsed() < PATIENCE, "SIPp does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn plan(transport: Transport) -> Plan {
    Plan {
        transport,
        rate: 100.0,
        warm_up_ms: 0,
        duration_ms: 60_000,
        ring: Spread::fixed_ms(20),
        hold: Spread::fixed_ms(50),
        // Who is late because the machine is busy is not to be asked again.
        timers: Timers {
            t1_ms: 8_000,
            ..Timers::default()
        },
        ..Plan::default()
    }
}

/// Our callers, SIPp answers.
fn call_sipp(ip: &str, transport: Transport, calls: u64) -> (Report, Counts) {
    let address = free(ip, transport);
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let sipp = Sipp::start(
        "uas-call",
        transport,
        calls,
        &["-i", &ip, "-p", &port, "-d", "20"],
    );
    wait_for(address);
    let report = run(
        &Plan {
            targets: vec![address],
            sources: vec![Source::new(SocketAddr::new(address.ip(), 0)); 2],
            attempts_max: Some(calls),
            ..plan(transport)
        },
        &mut |_| {},
    );
    (report.unwrap(), sipp.finish())
}

/// SIPp calls, our callees answer.
fn be_called(sink: Sink, transport: Transport, scenario: &str, calls: u64) -> (Report, Counts) {
    let (tell, ready) = channel();
    let plan = Plan {
        sinks: vec![sink],
        attempts_max: Some(calls),
        ..plan(transport)
    };
    let callees = std::thread::spawn(move || {
        let told = &mut |progress: Progress| {
            if progress.moment == Moment::Ready {
                tell.send(progress.sinks[0]).unwrap();
            }
        };
        run(&plan, told).unwrap()
    });
    let address = ready.recv().unwrap();
    let (ip, remote) = (address.ip().to_string(), address.to_string());
    let local = free(&ip, transport).port().to_string();
    let arguments = [
        "-i", &ip, "-p", &local, "-r", "100", "-d", "50", "-s", "4940", &remote,
    ];
    let counts = Sipp::start(scenario, transport, calls, &arguments).finish();
    (callees.join().unwrap(), counts)
}

#[test]
fn sipp_answers_our_callers() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (report, counts) = call_sipp("127.0.0.1", transport, 150);
        let calls = &report.calls;
        assert_eq!(
            (calls.attempts, calls.established, calls.completed),
            (150, 150, 150)
        );
        assert_eq!(
            (calls.failed.total(), calls.unfinished),
            (0, 0),
            "{calls:?}"
        );
        assert_eq!(report.retransmissions_sent.total(), 0);
        assert_eq!((report.generator.strays, report.generator.unsent), (0, 0));
        // SIPp does not tell how long it rang: the set-up holds the ringing.
        assert_eq!(report.latency.setup.p50_us, report.latency.answer.p50_us);
        assert_eq!(counts["TotalCallCreated"], 150);
        assert_eq!(
            (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]),
            (150, 0)
        );
        assert_eq!(counts["Retransmissions(C)"], 0);
    }
}

#[test]
fn our_callees_answer_sipp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let sink = Sink {
            sends_trying: true,
            ..Sink::new("127.0.0.1:0".parse().unwrap())
        };
        let (report, counts) = be_called(sink, transport, "uac-call", 150);
        let sink = &report.sinks[0];
        assert_eq!((sink.invites, sink.answered), (150, 150), "{sink:?}");
        assert_eq!((sink.acknowledged, sink.byes), (150, 150), "{sink:?}");
        assert_eq!(
            (sink.strays, sink.unacknowledged, sink.held_back),
            (0, 0, 0),
            "{sink:?}"
        );
        assert_eq!(report.retransmissions_sent.total(), 0);
        assert_eq!(report.retransmissions_seen.total(), 0);
        assert_eq!(
            (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]),
            (150, 0)
        );
        assert_eq!(counts["Retransmissions(C)"], 0);
    }
}

#[test]
fn our_callees_refuse_sipp() {
    let sink = Sink {
        refuse_per_mille: 1000,
        refuse_status: 486,
        ..Sink::new("[::1]:0".parse().unwrap())
    };
    let (report, counts) = be_called(sink, Transport::Udp, "uac-refused", 60);
    let sink = &report.sinks[0];
    assert_eq!(
        (sink.invites, sink.refused, sink.answered),
        (60, 60, 0),
        "{sink:?}"
    );
    // Each was acknowledged, or it would have been told again.
    assert_eq!(report.retransmissions_sent.total(), 0);
    assert_eq!(
        (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]),
        (60, 0)
    );
}

#[test]
fn sipp_cancels_what_rings_too_long() {
    let sink = Sink {
        ring: Some("1h".parse().unwrap()),
        ..Sink::new("127.0.0.1:0".parse().unwrap())
    };
    let (report, counts) = be_called(sink, Transport::Udp, "uac-cancel", 60);
    let sink = &report.sinks[0];
    assert_eq!(
        (sink.invites, sink.cancelled, sink.answered),
        (60, 60, 0),
        "{sink:?}"
    );
    assert_eq!(
        (counts["SuccessfulCall(C)"], counts["FailedCall(C)"]),
        (60, 0)
    );
}

#[test]
fn version_six_is_understood_both_ways() {
    let (report, counts) = call_sipp("::1", Transport::Udp, 50);
    assert_eq!(
        (report.calls.completed, counts["SuccessfulCall(C)"]),
        (50, 50)
    );
    let sink = Sink::new("[::1]:0".parse().unwrap());
    let (report, counts) = be_called(sink, Transport::Udp, "uac-call", 50);
    assert_eq!(
        (report.sinks[0].byes, counts["SuccessfulCall(C)"]),
        (50, 50)
    );
}
