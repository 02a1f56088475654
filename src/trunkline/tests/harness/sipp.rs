//! SIPp, one process a peer, bounded in calls and in time.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{PATIENCE, Scene, wait_for};

/// How a peer's calls go, before it starts.
pub struct Plan<'s> {
    scene: &'s Scene,
    scenario: String,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    calls: u32,
    rate: u32,
    hold_ms: u32,
    transport: &'static str,
    number: String,
    seconds_max: u32,
}

/// A running SIPp.
pub struct Sipp {
    name: String,
    child: Child,
    truth: PathBuf,
    errors: PathBuf,
    patience: Duration,
}

/// A vendor that waits for calls at `local`.
pub fn uas<'s>(scene: &'s Scene, scenario: &str, local: SocketAddr) -> Plan<'s> {
    Plan {
        scene,
        scenario: scenario.to_owned(),
        local,
        remote: None,
        calls: 1,
        rate: 20,
        hold_ms: 50,
        transport: "u1",
        number: "+15551234".to_owned(),
        seconds_max: 60,
    }
}

/// A customer that calls `remote` from `local`.
pub fn uac<'s>(
    scene: &'s Scene,
    scenario: &str,
    local: SocketAddr,
    remote: SocketAddr,
) -> Plan<'s> {
    Plan {
        remote: Some(remote),
        ..uas(scene, scenario, local)
    }
}

impl Plan<'_> {
    /// How many calls, then SIPp ends by itself.
    pub fn calls(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }

    /// Calls a second.
    pub fn rate(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// The scenario's pause.
    pub fn hold_ms(mut self, hold_ms: u32) -> Self {
        self.hold_ms = hold_ms;
        self
    }

    /// Over one TCP connection.
    pub fn tcp(mut self) -> Self {
        self.transport = "t1";
        self
    }

    /// The called number.
    pub fn number(mut self, number: &str) -> Self {
        number.clone_into(&mut self.number);
        self
    }

    /// The time after which SIPp gives up and fails.
    pub fn seconds_max(mut self, seconds: u32) -> Self {
        self.seconds_max = seconds;
        self
    }

    /// Starts SIPp; a vendor is listening when this returns.
    pub fn start(self) -> Sipp {
        let name = format!("{}-{}", self.scenario, self.local.port());
        let truth = self.scene.path(&format!("{name}.truth"));
        let errors = self.scene.path(&format!("{name}.errors"));
        let screen = fs::File::create(self.scene.path(&format!("{name}.screen"))).expect("a file");
        let mut command = Command::new("sipp");
        // `stock-uac` is the scenario built into SIPp, the others are ours.
        match self.scenario.strip_prefix("stock-") {
            Some(stock) => command.args(["-sn", stock]),
            None => command.arg("-sf").arg(scenario_file(&self.scenario)),
        };
        let (ip, port) = (self.local.ip().to_string(), self.local.port().to_string());
        command
            .args(["-i", &ip, "-p", &port, "-t", self.transport, "-nostdin"])
            .args([
                "-m",
                &self.calls.to_string(),
                "-d",
                &self.hold_ms.to_string(),
            ])
            .args(["-timeout", &self.seconds_max.to_string(), "-timeout_error"])
            .args(["-trace_err", "-error_file"])
            .arg(&errors)
            .args(["-trace_logs", "-log_file"])
            .arg(&truth);
        if let Some(remote) = self.remote {
            command
                .args(["-r", &self.rate.to_string(), "-s", &self.number])
                .arg(remote.to_string());
        }
        let child = command
            .current_dir(self.scene.path(""))
            .stdin(Stdio::null())
            .stdout(screen.try_clone().expect("one file, two names"))
            .stderr(screen)
            .spawn()
            .expect("sipp is installed (scripts/setup.sh)");
        let mut sipp = Sipp {
            name,
            child,
            truth,
            errors,
            patience: Duration::from_secs(u64::from(self.seconds_max)) + PATIENCE,
        };
        if self.remote.is_none() {
            wait_for("SIPp listens", PATIENCE, || {
                let ended = sipp.child.try_wait().expect("its state");
                assert!(
                    ended.is_none(),
                    "{} ended early: {}",
                    sipp.name,
                    sipp.complaints()
                );
                is_bound(self.local).then_some(())
            });
        }
        sipp
    }

    /// Runs it to its end.
    pub fn run(self) -> PathBuf {
        self.start().finish()
    }
}

impl Sipp {
    /// Waits for the end; all calls must have gone as the scenario says. Where the truth is.
    pub fn finish(mut self) -> PathBuf {
        let child = &mut self.child;
        let status = wait_for(&self.name, self.patience, || {
            child.try_wait().expect("its state")
        });
        // What SIPp complains of is printed as it is dropped.
        assert_eq!(status.code(), Some(0), "{}: calls failed", self.name);
        self.truth.clone()
    }

    /// Ends it now, whatever its calls; where the truth is.
    pub fn abandon(mut self) -> PathBuf {
        // SIPp flushes its logs on TERM, and not on KILL.
        super::signal(&self.child, "TERM");
        let child = &mut self.child;
        wait_for(&self.name, PATIENCE, || {
            child.try_wait().expect("its state")
        });
        self.truth.clone()
    }

    /// Where the truth is written as the calls go.
    pub fn truth(&self) -> &Path {
        &self.truth
    }

    fn complaints(&self) -> String {
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        errors.chars().take(3000).collect()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.name, self.complaints());
        }
    }
}

fn scenario_file(name: &str) -> PathBuf {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../perf/sipp"))
        .join(format!("{name}.xml"));
    assert!(file.exists(), "{} is missing", file.display());
    file
}

/// Whether some process has this address, by the kernel's own table: a bind of ours to find out
/// would be in SIPp's way.
fn is_bound(address: SocketAddr) -> bool {
    let port = format!(":{:04X}", address.port());
    ["udp", "udp6", "tcp", "tcp6"].iter().any(|table| {
        let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        table
            .lines()
            .filter_map(|line| line.split_ascii_whitespace().nth(1))
            .any(|local| local.ends_with(&port))
    })
}
