//! What can be told while a run goes on.

use std::net::SocketAddr;

use super::Window;

/// Why [`Progress`] is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// All sockets are open; load begins when the callback returns.
    Ready,
    /// The warm-up is over and counting begins: the time to read the router's CPU time.
    WindowOpens,
    /// The counting time is over: the time to read the router's CPU time again. Calls go on.
    WindowCloses,
    /// A second has passed.
    Second,
}

/// How far a run is. Told on the thread that called [`super::run`].
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    /// Why this is told.
    pub moment: Moment,
    /// Time since load began.
    pub elapsed_ms: u64,
    /// Counts since load began; `seconds` likewise.
    pub total: Window,
    /// Failures since load began.
    pub failed: u64,
    /// Requests and final responses sent again since load began.
    pub retransmissions: u64,
    /// Median of the set-up time so far, from the time when it was due, without the ringing.
    pub setup_p50_us: u64,
    /// The same, 99 of 100 calls.
    pub setup_p99_us: u64,
    /// The largest CPU share of a thread of the generator in the last second.
    pub own_share_max: f64,
    /// Where the sources send from, once the ports are known.
    pub sources: Vec<SocketAddr>,
    /// Where the sinks listen, once the ports are known.
    pub sinks: Vec<SocketAddr>,
}
