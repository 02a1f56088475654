//! What the runtime and the world are built from.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use base::{Transport, Wall};

use crate::limits::Limits;
use crate::stats::{CounterDef, HistogramDef, Tables};
use crate::steer::SteerConfig;

/// An address to listen on. Its place in the list is its [`base::ListenerId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerSpec {
    /// Datagrams or streams.
    pub transport: Transport,
    /// The address; port 0 takes a free one, the same on all shards.
    pub address: SocketAddr,
}

/// What [`crate::start`] needs to know.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Where to listen; every shard has a socket of its own for each.
    pub listeners: Vec<ListenerSpec>,
    /// One entry a shard: the processor to pin its thread to, or `None`.
    pub cpus: Vec<Option<usize>>,
    /// The bounds of each shard.
    pub limits: Limits,
    /// The receive buffer to ask for, per UDP socket. The system may grant less: see
    /// [`crate::BufferReport`].
    pub receive_buffer_bytes: usize,
    /// The send buffer to ask for, per UDP socket.
    pub send_buffer_bytes: usize,
    /// Who brings datagrams to the shards that own them.
    pub steering: SteerConfig,
    /// For the shards' pseudo-random numbers.
    pub seed: u64,
    /// The handler's counters and gauges.
    pub handler_counters: &'static [CounterDef],
    /// The handler's histograms.
    pub handler_histograms: &'static [HistogramDef],
    /// The handler's cells for what the configuration names.
    pub handler_dynamic: usize,
}

impl Default for RuntimeConfig {
    fn default() -> RuntimeConfig {
        RuntimeConfig {
            listeners: Vec::new(),
            cpus: vec![None],
            limits: Limits::default(),
            receive_buffer_bytes: 8 << 20,
            send_buffer_bytes: 4 << 20,
            steering: SteerConfig::default(),
            seed: 0,
            handler_counters: &[],
            handler_histograms: &[],
            handler_dynamic: 0,
        }
    }
}

impl RuntimeConfig {
    pub(crate) fn tables(&self) -> Tables {
        Tables {
            counters: self.handler_counters,
            histograms: self.handler_histograms,
            dynamic: self.handler_dynamic,
        }
    }
}

/// What [`crate::World::new`] needs to know.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Everything random in the world comes from it.
    pub seed: u64,
    /// How many shards.
    pub shards: u16,
    /// Where they listen.
    pub listeners: Vec<ListenerSpec>,
    /// The bounds of each shard.
    pub limits: Limits,
    /// How long a hand-over or a letter takes, in microseconds.
    pub hand_over_us: RangeInclusive<u64>,
    /// Whether the shards take datagrams as brought by the kernel ([`crate::Handler::steered`]). They
    /// still land by their addresses, so that many are brought to a wrong one.
    pub is_steered: bool,
    /// The civil time at [`base::Time::ZERO`].
    pub wall_epoch: Wall,
    /// The handler's counters and gauges.
    pub handler_counters: &'static [CounterDef],
    /// The handler's histograms.
    pub handler_histograms: &'static [HistogramDef],
    /// The handler's cells for what the configuration names.
    pub handler_dynamic: usize,
}

impl Default for WorldConfig {
    fn default() -> WorldConfig {
        WorldConfig {
            seed: 0,
            shards: 1,
            listeners: Vec::new(),
            limits: Limits::small(),
            hand_over_us: 5..=200,
            is_steered: false,
            // 2026-01-01T00:00:00Z: any fixed moment will do.
            wall_epoch: Wall(1_767_225_600_000_000),
            handler_counters: &[],
            handler_histograms: &[],
            handler_dynamic: 0,
        }
    }
}

impl WorldConfig {
    pub(crate) fn tables(&self) -> Tables {
        Tables {
            counters: self.handler_counters,
            histograms: self.handler_histograms,
            dynamic: self.handler_dynamic,
        }
    }
}
