//! A customer's switch: places calls at a fixed rate, holds them, hangs up.

mod agent;
mod compose;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Port;
use crate::Figures;
use crate::figures::CallerCounts;
use agent::Agent;

/// A caller to be started.
#[derive(Clone, Debug)]
pub struct CallerSpec {
    /// The one address and port it calls from (UDP).
    pub bind: SocketAddr,
    /// Where it sends its calls.
    pub router: SocketAddr,
    /// Calls a second, kept up whatever the answers.
    pub rate: u32,
    /// Calls in all; it then waits for the last to end.
    pub calls_max: u64,
    /// Calls being set up or up at the same time; more are held back and counted.
    pub active_max: usize,
    /// From the 200 to the BYE.
    pub hold: Duration,
    /// How long a call may ring before it is cancelled.
    pub patience: Duration,
    /// The numbers it calls, in turn; `*` stands for seven digits that differ from call to call.
    pub numbers: Vec<String>,
    /// Where it writes what became of its calls (see [`crate::truth`]).
    pub truth: Option<PathBuf>,
}

impl CallerSpec {
    /// A caller of `rate` calls a second to one number without an end, 1 s each.
    #[must_use]
    pub fn new(bind: SocketAddr, router: SocketAddr, rate: u32) -> CallerSpec {
        CallerSpec {
            bind,
            router,
            rate,
            calls_max: u64::MAX,
            active_max: 100_000,
            hold: Duration::from_secs(1),
            patience: Duration::from_secs(60),
            numbers: vec!["+1555*".to_owned()],
            truth: None,
        }
    }
}

/// A running caller. Dropping it stops it at once.
#[derive(Debug)]
pub struct Caller {
    local: SocketAddr,
    /// When to be gone, in microseconds of the caller's clock; `u64::MAX` = not stopping.
    leave_us: Arc<AtomicU64>,
    is_stopping: Arc<AtomicBool>,
    is_hanging_up: Arc<AtomicBool>,
    opened: Instant,
    counts: Arc<CallerCounts>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Caller {
    /// Opens the socket and starts to call.
    ///
    /// # Errors
    /// The socket or the truth log cannot be opened, or there is no thread to be had.
    pub fn start(spec: CallerSpec) -> io::Result<Caller> {
        let port = Port::open(spec.bind)?;
        let (local, opened) = (port.local, port.opened);
        let leave_us = Arc::new(AtomicU64::new(u64::MAX));
        let is_stopping = Arc::new(AtomicBool::new(false));
        let is_hanging_up = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(CallerCounts::default());
        let mut agent = Agent::new(port, spec, Arc::clone(&counts))?;
        let order = Order {
            is_stopping: Arc::clone(&is_stopping),
            is_hanging_up: Arc::clone(&is_hanging_up),
            leave_us: Arc::clone(&leave_us),
        };
        let thread = std::thread::Builder::new()
            .name("caller".to_owned())
            .spawn(move || agent.run(&order))?;
        Ok(Caller {
            local,
            leave_us,
            is_stopping,
            is_hanging_up,
            opened,
            counts,
            thread: Some(thread),
        })
    }

    /// Where it calls from.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What it has counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.counts.figures()
    }

    /// Whether all `calls_max` calls have come to an end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Places no more calls, hangs up those that are up, waits at most `grace` for their ends,
    /// and says what it counted.
    ///
    /// # Errors
    /// Its socket or its truth log failed while it ran.
    pub fn stop(mut self, grace: Duration) -> io::Result<Figures> {
        self.is_hanging_up.store(true, Ordering::Relaxed);
        self.end(grace)?;
        Ok(self.counts.figures())
    }

    /// Places no more calls, waits at most `patience` for those there are to end in their own
    /// time, and says what it counted.
    ///
    /// # Errors
    /// Its socket or its truth log failed while it ran.
    pub fn finish(mut self, patience: Duration) -> io::Result<Figures> {
        self.end(patience)?;
        Ok(self.counts.figures())
    }

    fn end(&mut self, grace: Duration) -> io::Result<()> {
        let leave = self.opened.elapsed().saturating_add(grace);
        self.leave_us
            .store(leave.as_micros() as u64, Ordering::Relaxed);
        // Pairs with the load in `Agent::run`: it then sees what was stored before.
        self.is_stopping.store(true, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the caller's thread panicked")),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ended = self.end(Duration::ZERO);
    }
}

/// What the thread is told from outside. The others are written before `is_stopping`,
/// with which they are published.
struct Order {
    is_stopping: Arc<AtomicBool>,
    is_hanging_up: Arc<AtomicBool>,
    leave_us: Arc<AtomicU64>,
}
