//! What the service manager is told: ready, reloading, stopping, and that the shards still turn.
//!
//! The protocol is sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names. Where nobody
//! set it, nothing is said. Telling never fails a node: the manager is told less, calls go on.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The watchdog is fed this many times within its time.
const FEEDS: u32 = 3;

/// The way to the service manager.
#[derive(Debug)]
pub(crate) struct Service {
    /// How often the watchdog wants to be fed; none: it does not watch.
    every: Option<Duration>,
    fed: Instant,
}

impl Service {
    pub(crate) fn new() -> Service {
        Service {
            every: sd_notify::watchdog_enabled().map(|within| within / FEEDS),
            fed: Instant::now(),
        }
    }

    /// The node serves: at the start, and again after a reload was carried out or refused.
    pub(crate) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A reload has begun. The manager waits for [`Service::ready`].
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
        }
    }

    /// The node drains or ends, for up to `within`.
    pub(crate) fn stopping(&self, within: Duration) {
        let usec = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
        tell(&[
            NotifyState::Stopping,
            NotifyState::Status("draining: no new calls"),
            NotifyState::ExtendTimeoutUsec(usec),
        ]);
    }

    /// Feeds the watchdog when its time has come and `turns` says that every shard has turned since
    /// the last feed: a shard that hangs lets the manager start the node anew.
    pub(crate) fn feed(&mut self, turns: impl FnOnce() -> bool) {
        let Some(every) = self.every else {
            return;
        };
        if self.fed.elapsed() >= every && turns() {
            self.fed = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
