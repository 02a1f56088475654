//! What the end-to-end tests stand on: a router of its own for each test, with its own addresses
//! and files, and real peers beside it.
//!
//! Nothing is fixed by hand: hosts come from 127.0.0.0/8 by process and count, ports from the
//! kernel. All processes are ended by their id when the test ends, however it ends; when it
//! fails, the router's log is printed.

// Each test file is a program of its own that uses a part of this.
#![allow(dead_code, unreachable_pub)]
// Tests run in real time, beside real peers.
#![allow(clippy::disallowed_methods)]

pub mod calls;
pub mod kamailio;
pub mod sipp;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use perf::truth::{Record, Strictness, Truth, Verdict, check, read_cdrs, read_truth};
use serde_json::Value;

/// How long a test waits for what must happen soon. Generous: it is only waited out in failure.
pub const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// Waits until `outcome` gives something, or fails the test.
pub fn wait_for<T>(what: &str, patience: Duration, mut outcome: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = outcome() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(POLL);
    }
}

/// The files and addresses of one test.
pub struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    /// A folder, to be gone with the test.
    pub fn new() -> Scene {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Scene { dir }
    }

    /// Where the test's files are.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A host that no other test uses, in 127.0.0.0/8.
    pub fn host(&self) -> IpAddr {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Relaxed);
        let [_, a, b, c] = number.to_be_bytes();
        Ipv4Addr::new(127, 16 | (a & 0x7f), b, 1 + c % 254).into()
    }

    /// A port of `host` that is free for UDP and TCP.
    pub fn port_of(&self, host: IpAddr) -> SocketAddr {
        wait_for("a free port", PATIENCE, || {
            let udp = UdpSocket::bind((host, 0)).expect("a port");
            let address = udp.local_addr().expect("its number");
            TcpListener::bind(address).ok().map(|_| address)
        })
    }

    /// A free port of a host of its own.
    pub fn address(&self) -> SocketAddr {
        self.port_of(self.host())
    }

    /// The part of a configuration that tests share: that of [`Scene::hasty`], with a router that is
    /// never overloaded. The machine stands still for a moment when it likes, and calls must not be
    /// refused for that.
    pub fn head(&self, listeners: &[SocketAddr]) -> String {
        let patience = "[overload]\ndelay_target_ms = 60000\ndelay_max_ms = 60000\n\n";
        self.hasty(listeners) + patience
    }

    /// The part of a configuration that all tests share: 2 shards, one UDP and one TCP listener
    /// at each of `listeners`, and everything written below the test's folder.
    pub fn hasty(&self, listeners: &[SocketAddr]) -> String {
        let dir = self.dir.path().display();
        let mut text = format!(
            "[node]\nname = \"test\"\nstate_dir = \"{dir}/state\"\nshards = 2\n\n\
             [cdr]\ndirectory = \"{dir}/cdr\"\n\n\
             [control]\nsocket = \"{dir}/control.sock\"\n\n\
             [log]\nformat = \"text\"\nlevel = \"info\"\n\n"
        );
        for (number, listener) in listeners.iter().enumerate() {
            for transport in ["udp", "tcp"] {
                text.push_str(&format!(
                    "[[listener]]\nname = \"{transport}{number}\"\ntransport = \"{transport}\"\n\
                     address = \"{listener}\"\n\n"
                ));
            }
        }
        text
    }

    /// Starts a router with this configuration and waits until it is ready.
    pub fn router(&self, config: &str) -> Router {
        let file = self.path("trunkline.toml");
        fs::write(&file, config).expect("the configuration is written");
        let log = self.path("router.log");
        let output = fs::File::create(&log).expect("the log is created");
        let child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one file, two names"))
            .stderr(output)
            .spawn()
            .expect("trunkline starts");
        let mut router = Router {
            child,
            log,
            config: file,
            socket: self.path("control.sock"),
            cdrs: self.path("cdr"),
        };
        wait_for("ready", PATIENCE, || {
            let ended = router.child.try_wait().expect("its state");
            assert!(ended.is_none(), "trunkline ended early: {ended:?}");
            router.log_text().contains("ready").then_some(())
        });
        router
    }
}

/// A running router.
pub struct Router {
    child: Child,
    log: PathBuf,
    config: PathBuf,
    socket: PathBuf,
    cdrs: PathBuf,
}

impl Router {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log, from the octet `from`, holds `words`; the log's length by then.
    pub fn wait_for_log(&self, from: usize, words: &str) -> usize {
        wait_for(words, PATIENCE, || {
            let text = self.log_text();
            let found = text.get(from..).is_some_and(|rest| rest.contains(words));
            found.then_some(text.len())
        })
    }

    /// Replaces the configuration file, as an operator does before a reload.
    pub fn write_config(&self, text: &str) {
        fs::write(&self.config, text).expect("the configuration is written");
    }

    /// Sends a signal by its name, to this process only.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for the end of the process.
    pub fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        wait_for("the router's end", patience, || {
            self.child.try_wait().expect("its state")
        })
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let status = self.wait_exit(PATIENCE);
        assert!(status.success(), "trunkline ended with {status}");
    }

    /// All CDRs written so far, as JSON. The file being written may end in the middle of a line;
    /// that line is left for the next look.
    pub fn cdrs(&self) -> Vec<Value> {
        let mut files: Vec<PathBuf> = match fs::read_dir(&self.cdrs) {
            Ok(entries) => entries.map(|e| e.expect("an entry").path()).collect(),
            Err(_) => return Vec::new(),
        };
        files.sort();
        let mut cdrs = Vec::new();
        for file in files.iter().filter(|file| file.is_file()) {
            let text = fs::read_to_string(file).expect("CDRs are UTF-8");
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            for line in whole.lines() {
                cdrs.push(serde_json::from_str(line).expect("a CDR is a line of JSON"));
            }
        }
        cdrs
    }

    /// Waits for exactly `count` CDRs.
    pub fn wait_cdrs(&self, count: usize) -> Vec<Value> {
        let cdrs = wait_for(&format!("{count} CDRs"), PATIENCE, || {
            let cdrs = self.cdrs();
            (cdrs.len() >= count).then_some(cdrs)
        });
        assert_eq!(cdrs.len(), count, "CDRs: {cdrs:#?}");
        cdrs
    }

    /// Joins what the peers saw with the CDRs, once as many are there as the peers saw calls.
    pub fn judge(&self, truths: &[&Path], strictness: Strictness) -> Verdict {
        let mut truth = Truth::new();
        for path in truths {
            read_truth(path, &mut truth).expect("a whole truth log");
        }
        if !strictness.is_cut {
            self.wait_cdrs(truth.len());
        }
        let records: Vec<Record> =
            read_cdrs(std::slice::from_ref(&self.cdrs)).expect("CDRs are whole lines");
        let verdict = check(&truth, &records, strictness, &mut |fault| {
            eprintln!("{fault}");
        });
        assert!(verdict.is_right(), "{}", verdict.to_json());
        verdict
    }

    /// What `trunkline stats --json` prints.
    pub fn stats(&self) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["stats", "--json", "--socket"])
            .arg(&self.socket)
            .output()
            .expect("trunkline stats runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "stats: {output:?}");
        serde_json::from_str(&text).expect("stats are JSON")
    }

    /// The sum over all shards of the counter of this name.
    pub fn counter(&self, name: &str) -> u64 {
        let stats = self.stats();
        let mut found = false;
        let sum = sum_of(&stats["shards"], name, &mut found);
        assert!(found, "no counter {name} in {stats:#}");
        sum
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- router log ---\n{}", self.log_text());
        }
    }
}

/// Sends a signal by its name, to this process only.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id())])
        .status()
        .expect("sh runs");
    assert!(status.success(), "kill -{name}: {status}");
}

fn sum_of(value: &Value, name: &str, found: &mut bool) -> u64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value.as_u64() {
                Some(number) if key == name => {
                    *found = true;
                    number
                }
                _ => sum_of(value, name, found),
            })
            .sum(),
        Value::Array(values) => values.iter().map(|value| sum_of(value, name, found)).sum(),
        _ => 0,
    }
}

/// Exact outcomes, and durations that a busy machine may stretch.
pub const CALM: Strictness = Strictness {
    tolerance_us: 1_000_000,
    is_cut: false,
};

/// A vendor's gateway in a configuration.
pub struct Gateway<'g> {
    pub name: &'g str,
    pub address: SocketAddr,
    pub transport: &'g str,
    /// More lines of its table.
    pub more: &'g str,
}

impl<'g> Gateway<'g> {
    /// A gateway over UDP with nothing special.
    pub fn udp(name: &'g str, address: SocketAddr) -> Gateway<'g> {
        Gateway {
            name,
            address,
            transport: "udp",
            more: "",
        }
    }

    /// The same over TCP.
    pub fn tcp(name: &'g str, address: SocketAddr) -> Gateway<'g> {
        Gateway {
            transport: "tcp",
            ..Gateway::udp(name, address)
        }
    }
}

/// The part of a configuration that says who may call and where calls go: one trunk for
/// `customer`, and one route with all gateways in this order (`route_more`: more lines of it).
pub fn tables(customer: IpAddr, gateways: &[Gateway<'_>], route_more: &str) -> String {
    let bits = if customer.is_ipv6() { 128 } else { 32 };
    let mut text = format!(
        "[[trunk]]\nname = \"customer\"\ncarrier = \"buyer\"\nsources = [\"{customer}/{bits}\"]\n\n"
    );
    for gateway in gateways {
        let Gateway {
            name,
            address,
            transport,
            more,
        } = gateway;
        text.push_str(&format!(
            "[[gateway]]\nname = \"{name}\"\ncarrier = \"seller\"\naddress = \"{address}\"\n\
             transport = \"{transport}\"\n{more}\n\n"
        ));
    }
    let names: Vec<&str> = gateways.iter().map(|gateway| gateway.name).collect();
    text.push_str(&format!(
        "[[route]]\nprefix = \"\"\ngateways = {names:?}\n{route_more}\n"
    ));
    text
}
