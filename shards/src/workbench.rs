//! Shards with sockets, turned by hand on the caller's own thread: for benches and tests that count
//! what a turn costs.
//!
//! A [`crate::Solo`] is a handler without the loop around it. This is the loop itself, with real
//! sockets and real hand-overs, but nothing runs unless it is told to.

use std::net::SocketAddr;
use std::sync::Arc;

use base::ShardId;

use crate::clock::Clock;
use crate::config::RuntimeConfig;
use crate::handler::Handler;
use crate::outbox::Outbox;
use crate::runtime::{Opened, Running, StartError, prepare};
use crate::shard::{EVENTS_MAX, Station};
use crate::stats::ShardStats;
use crate::sys::Events;

/// All shards of a process, each as it runs on its thread, but on this one.
pub struct Workbench<H: Handler> {
    running: Running<H>,
    stations: Vec<Station<H>>,
    events: Events,
}

impl<H: Handler> std::fmt::Debug for Workbench<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workbench")
            .field("shards", &self.stations.len())
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Workbench<H> {
    /// Opens the listeners; the processors that the configuration names are not asked for.
    ///
    /// # Errors
    /// What cannot be opened.
    pub fn new(
        config: &RuntimeConfig,
        mut make: impl FnMut(ShardId) -> H,
    ) -> Result<Workbench<H>, StartError> {
        let (mut running, polls) = prepare::<H>(config)?;
        let opened = running.open(config)?;
        let (clock, all) = (Clock::new(), Arc::from(running.shards.clone()));
        let parts = polls.into_iter().zip(opened).enumerate();
        let stations = parts.map(|(at, (poll, Opened { sockets, gate }))| {
            let handler = make(ShardId(at as u16));
            let links = running.links(at, config.seed);
            let (id, limits) = (links.shard, config.limits.clone());
            let mut out = Outbox::new(&limits, links);
            out.set_gate(gate);
            let inboxes = running.inboxes.clone();
            let all = Arc::clone(&all);
            Station::new(
                id, handler, out, sockets, poll, clock, limits, inboxes, all, false,
            )
        });
        Ok(Workbench {
            stations: stations.collect(),
            running,
            events: Events::new(EVENTS_MAX),
        })
    }

    /// Lets one shard wait for something to do, and do it: one round of its loop. With nothing to
    /// do that takes until its next deadline or its housekeeping.
    pub fn turn(&mut self, shard: ShardId) {
        let station = &mut self.stations[usize::from(shard.0)];
        station.wait(&mut self.events);
        let ended = station.turn();
        assert!(!ended, "nobody told the shard to stop");
    }

    /// The listeners' addresses, in their order; a port 0 is what the system chose.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.running.local_addresses()
    }

    /// The pages of numbers, one entry a shard.
    #[must_use]
    pub fn stats(&self) -> Arc<[Arc<ShardStats>]> {
        self.running.stats()
    }
}
