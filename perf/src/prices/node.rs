//! A router with these decks: started, watched by its log, told to read its decks again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::compare::{process, server};

/// How long ten million rows may take to be read at the very most.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(10);
/// How much of the log an error repeats.
const LOG_BYTES_MAX: usize = 2_000;

/// A running router. Dropping it ends it.
pub(super) struct Router {
    child: Child,
    log: PathBuf,
    /// From its start until it was ready.
    pub(super) started_in: Duration,
}

impl Router {
    /// Starts it in `folder`, where `router.toml` and the decks are.
    pub(super) fn start(trunkline: &Path, folder: &Path) -> io::Result<Router> {
        let log = folder.join("log");
        let output = fs::File::create(&log)?;
        let begun = Instant::now();
        let child = Command::new(trunkline)
            .args(["run", "--config"])
            .arg(folder.join("router.toml"))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut router = Router {
            child,
            log,
            started_in: Duration::ZERO,
        };
        router.wait_for("ready: listening", 0)?;
        router.started_in = begun.elapsed();
        Ok(router)
    }

    /// Has it read its configuration again, and says how long it took until all shards worked by it.
    pub(super) fn reload(&mut self) -> io::Result<Duration> {
        let seen = fs::read(&self.log)?.len();
        let begun = Instant::now();
        server::signal("HUP", &[self.child.id()]);
        self.wait_for("all shards work by the new configuration", seen)?;
        Ok(begun.elapsed())
    }

    /// Its resident memory, in octets.
    pub(super) fn pss_bytes(&self) -> u64 {
        process::pss_bytes(&[self.child.id()])
    }

    /// The most that it ever had, in octets.
    pub(super) fn peak_bytes(&self) -> u64 {
        process::peak_bytes(self.child.id())
    }

    fn wait_for(&mut self, words: &str, from: usize) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read(&self.log)?;
            let text = String::from_utf8_lossy(&log[from.min(log.len())..]).into_owned();
            if text.contains(words) {
                return Ok(());
            }
            let over = self.child.try_wait()?.is_some();
            if over || text.contains("stays in force") || Instant::now() > deadline {
                let tail = text.len().saturating_sub(LOG_BYTES_MAX);
                let tail = text.get(tail..).unwrap_or_default();
                let words = format!("the router never said {words:?}; its last words:\n{tail}");
                return Err(io::Error::other(words));
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        server::signal("TERM", &[self.child.id()]);
        let _gone = self.child.wait();
    }
}
