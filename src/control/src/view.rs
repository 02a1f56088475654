//! What the control plane shows of the node: the one value that the stats socket, the metrics and
//! the demonstration read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use base::{GatewayId, TrunkId};
use parking_lot::RwLock;
use route::{Quality, Snapshot};
use shards::steer::Steering;
use shards::{CounterDef, CounterKind, Metric, ShardStats};

use crate::CdrStatus;
use crate::caps::{CapRow, Caps};
use crate::history::History;

/// One number that a handler counts for each gateway or trunk: name, help, whether it is a gauge.
pub type Cell = (&'static str, &'static str, bool);

/// Where on a handler's page the dynamic cells of gateways and trunks are.
///
/// ```text
///   gateway 0: cells …  gateway 1: cells …  … gateways_max │ trunk 0: cells …  …
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The cells of one gateway.
    pub gateway_cells: &'static [Cell],
    /// How many gateways have cells.
    pub gateways_max: usize,
    /// The cells of one trunk.
    pub trunk_cells: &'static [Cell],
    /// How many trunks have cells.
    pub trunks_max: usize,
}

impl Layout {
    fn gateway_at(&self, id: GatewayId) -> Option<usize> {
        let id = id.0 as usize;
        (id < self.gateways_max).then(|| id * self.gateway_cells.len())
    }

    fn trunk_at(&self, id: TrunkId) -> Option<usize> {
        let id = id.0 as usize;
        let start = self.gateways_max * self.gateway_cells.len();
        (id < self.trunks_max).then(|| start + id * self.trunk_cells.len())
    }
}

/// What the node is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The shards are reserving their memory; what arrives waits.
    Starting,
    /// New calls are taken.
    Serving,
    /// No new calls; those in progress finish.
    Draining,
    /// The shards have ended.
    Stopped,
}

impl Phase {
    /// As the stats write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}

/// The node as it may be read at any time, from any thread.
#[derive(Debug)]
pub struct View {
    node: String,
    version: &'static str,
    started: Instant,
    stats: Arc<[Arc<ShardStats>]>,
    layout: Layout,
    cdr: Arc<CdrStatus>,
    steering: Arc<Steering>,
    snapshot: RwLock<Arc<Snapshot>>,
    history: RwLock<History>,
    quality: Arc<Quality>,
    caps: Caps,
    confirmed: AtomicU64,
    phase: AtomicU8,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
}

impl View {
    pub(crate) fn new(
        node: String,
        version: &'static str,
        stats: Arc<[Arc<ShardStats>]>,
        layout: Layout,
        cdr: Arc<CdrStatus>,
        steering: Arc<Steering>,
        snapshot: Arc<Snapshot>,
        (quality, caps): (Arc<Quality>, Caps),
    ) -> View {
        View {
            node,
            version,
            started: Instant::now(),
            stats,
            layout,
            cdr,
            steering,
            confirmed: AtomicU64::new(snapshot.generation()),
            snapshot: RwLock::new(snapshot),
            history: RwLock::default(),
            quality,
            caps,
            phase: AtomicU8::new(Phase::Starting as u8),
            reloads: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
        }
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The program's version.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// Since when the node runs.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The shards' pages.
    #[must_use]
    pub fn stats(&self) -> &[Arc<ShardStats>] {
        &self.stats
    }

    /// Who brings datagrams to their shards.
    #[must_use]
    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    /// What the writer of call records counts.
    #[must_use]
    pub fn cdr(&self) -> &CdrStatus {
        &self.cdr
    }

    /// The snapshot that was published last.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().clone()
    }

    /// The generation that all shards work by.
    #[must_use]
    pub fn confirmed_generation(&self) -> u64 {
        self.confirmed.load(Relaxed)
    }

    /// Configurations that took effect since the start, and those that were refused.
    #[must_use]
    pub fn reloads(&self) -> (u64, u64) {
        (
            self.reloads.load(Relaxed),
            self.reloads_refused.load(Relaxed),
        )
    }

    /// What the node is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Why the node cannot do all of its work at the moment; `None` if it can.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        if self.cdr.is_failing() {
            return Some("call records cannot be written");
        }
        match self.phase() {
            Phase::Starting => Some("starting"),
            Phase::Serving => None,
            Phase::Draining => Some("draining: no new calls"),
            Phase::Stopped => Some("stopped"),
        }
    }

    /// What is counted for each gateway of the running configuration: its name, and each cell with
    /// its value over all shards.
    #[must_use]
    pub fn gateways(&self) -> Vec<(String, Vec<(Cell, u64)>)> {
        let snapshot = self.snapshot();
        let rows = snapshot.gateways().filter_map(|gateway| {
            let at = self.layout.gateway_at(gateway.id)?;
            Some((
                gateway.name.to_string(),
                self.cells(at, self.layout.gateway_cells),
            ))
        });
        rows.collect()
    }

    /// As [`View::gateways`], for trunks.
    #[must_use]
    pub fn trunks(&self) -> Vec<(String, Vec<(Cell, u64)>)> {
        let snapshot = self.snapshot();
        let rows = snapshot.trunks().filter_map(|trunk| {
            let at = self.layout.trunk_at(trunk.id)?;
            Some((
                trunk.name.to_string(),
                self.cells(at, self.layout.trunk_cells),
            ))
        });
        rows.collect()
    }

    /// Counters add up; of a gauge, which each shard keeps for itself, the lowest counts: of states,
    /// that is the worst.
    fn cells(&self, at: usize, cells: &'static [Cell]) -> Vec<(Cell, u64)> {
        let value = |place: usize, is_gauge: bool| {
            let values = self
                .stats
                .iter()
                .map(|shard| shard.handler.dynamic(at + place));
            if is_gauge {
                values.min().unwrap_or(0)
            } else {
                values.sum()
            }
        };
        let rows = cells.iter().enumerate();
        rows.map(|(place, &cell)| (cell, value(place, cell.2)))
            .collect()
    }

    /// Notes how the gateways are.
    pub(crate) fn look_at_gateways(&self) {
        let state = |cells: &[(Cell, u64)]| {
            let of_state = cells.iter().find(|((name, ..), _)| *name == "state");
            of_state.map(|(_, value)| *value)
        };
        let rows = self.gateways().into_iter();
        let states = rows.filter_map(|(name, cells)| Some((name, state(&cells)?)));
        let states = states.collect();
        self.history.write().look(states, jiff::Timestamp::now());
    }

    /// How the gateways fared, as the stats write it: the state, since when, and what was before, the
    /// last first.
    #[must_use]
    pub fn health(&self) -> serde_json::Value {
        let time = |at: &jiff::Timestamp| format!("{at:.0}");
        let history = self.history.read();
        let row = |(name, past): (&String, &crate::history::Past)| {
            let (since, state) = past.changes.back()?;
            let before = past.changes.iter().rev().skip(1);
            let before = before
                .map(|(since, state)| serde_json::json!({ "state": state, "since": time(since) }));
            Some(serde_json::json!({
                "gateway": name,
                "state": state,
                "since": time(since),
                "before": before.collect::<Vec<_>>(),
            }))
        };
        history.gateways().filter_map(row).collect()
    }

    /// What the shards count of vendors' quality.
    pub(crate) fn quality_table(&self) -> &Quality {
        &self.quality
    }

    /// How good vendors are, as the stats write it: by class, gateway and destination. Shares are in
    /// thousandths; null: too few calls to say.
    #[must_use]
    pub fn quality(&self) -> serde_json::Value {
        let world = self.snapshot();
        let mut rows = self.quality.rows();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        let row = |(row, mark): (route::RowName, route::Mark)| {
            serde_json::json!({
                "class": world.quality_name(row.class),
                "gateway": world.gateway_name(row.gateway),
                "destination": row.destination,
                "admitted": mark.admit_per_mille,
                "asr": mark.asr,
                "ner": mark.ner,
                "acd_s": mark.acd_s,
                "pdd_ms": mark.pdd_ms,
                "short": mark.short,
            })
        };
        rows.into_iter().map(row).collect()
    }

    /// What the shards count of caps.
    pub(crate) fn caps_table(&self) -> &Caps {
        &self.caps
    }

    /// The caps of the running configuration as they stand.
    pub(crate) fn cap_rows(&self) -> Vec<CapRow> {
        self.caps.rows(&self.snapshot())
    }

    /// The caps as the stats write them: how much of what each has used.
    #[must_use]
    pub fn caps(&self) -> serde_json::Value {
        self.cap_rows().iter().map(CapRow::report).collect()
    }

    /// Whether every shard has made its first turn.
    pub(crate) fn all_turn(&self) -> bool {
        let turns = |stats: &Arc<ShardStats>| stats.runtime.get(Metric::Turns as usize);
        self.stats.iter().all(|stats| turns(stats) > 0)
    }

    /// Whether every shard has turned since the turns in `seen` were noted, which are noted anew if so.
    /// A shard without traffic turns for its housekeeping.
    pub(crate) fn all_turned_since(&self, seen: &mut Vec<u64>) -> bool {
        let turns = |stats: &Arc<ShardStats>| stats.runtime.get(Metric::Turns as usize);
        let now: Vec<u64> = self.stats.iter().map(turns).collect();
        let all = seen.len() != now.len() || now.iter().zip(&*seen).all(|(now, seen)| now > seen);
        if all {
            *seen = now;
        }
        all
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    pub(crate) fn set_snapshot(&self, snapshot: Arc<Snapshot>) {
        *self.snapshot.write() = snapshot;
        self.reloads.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_confirmed(&self, generation: u64) {
        self.confirmed.store(generation, Relaxed);
    }

    pub(crate) fn count_refused_reload(&self) {
        self.reloads_refused.fetch_add(1, Relaxed);
    }
}

/// The numbers of the control plane itself, read like those of the shards.
pub(crate) fn control_numbers(view: &View) -> Vec<(CounterDef, u64)> {
    let (cdr, (reloads, refused)) = (view.cdr(), view.reloads());
    let mut numbers = vec![
        gauge(
            "uptime_seconds",
            "How long the node runs.",
            view.started().elapsed().as_secs(),
        ),
        gauge(
            "generation",
            "The generation of the routing world that was published last.",
            view.snapshot().generation(),
        ),
        gauge(
            "generation_confirmed",
            "The generation that all shards work by.",
            view.confirmed_generation(),
        ),
        counter(
            "reloads",
            "Configurations that took effect after the start.",
            reloads,
        ),
        counter(
            "reloads_refused",
            "Configurations that were refused.",
            refused,
        ),
        gauge(
            "is_draining",
            "1 if no new calls are taken.",
            u64::from(matches!(view.phase(), Phase::Draining | Phase::Stopped)),
        ),
        counter("cdr_lines", "Call records written.", cdr.lines()),
        counter(
            "cdr_bytes",
            "Bytes of the call records written.",
            cdr.bytes(),
        ),
        counter("cdr_files", "Files of call records finished.", cdr.files()),
        counter(
            "cdr_errors",
            "Times that the disk refused call records.",
            cdr.errors(),
        ),
        counter(
            "cdr_undecodable",
            "Call records that could not be read back: a bug if not 0.",
            cdr.undecodable(),
        ),
        gauge(
            "cdr_waiting",
            "Call records that wait to be written.",
            cdr.waiting(),
        ),
        gauge(
            "cdr_failing",
            "1 if call records cannot be written at the moment.",
            u64::from(cdr.is_failing()),
        ),
    ];
    numbers.extend(steering_numbers(view.steering()));
    numbers
}

/// Who steers, and how the kernel found the owners.
fn steering_numbers(steering: &Steering) -> [(CounterDef, u64); 7] {
    let steered = steering.counts();
    let (dropped, strangers) = steering.shed();
    [
        gauge(
            "steering",
            "1 if the kernel brings datagrams to their shards.",
            u64::from(steering.by_kernel().is_ok()),
        ),
        counter(
            "steered_by_cookie",
            "Datagrams that the kernel brought to the shard that our cookie in them names.",
            steered.cookie,
        ),
        counter(
            "steered_by_call_id",
            "Datagrams that the kernel brought to the shard of their Call-ID.",
            steered.hash,
        ),
        counter(
            "steered_by_chance",
            "Datagrams in which the kernel saw neither clearly; the shards hand them over.",
            steered.unclear,
        ),
        gauge(
            "shedding",
            "1 if the kernel can drop what is too much to be refused.",
            u64::from(steering.sheds().is_ok()),
        ),
        counter(
            "shed_by_kernel",
            "New requests of known sources that the kernel dropped under overload, copies included.",
            dropped,
        ),
        counter(
            "strangers_dropped_by_kernel",
            "Datagrams of unknown sources that the kernel dropped.",
            strangers,
        ),
    ]
}

fn counter(name: &'static str, help: &'static str, value: u64) -> (CounterDef, u64) {
    let kind = CounterKind::Counter;
    (CounterDef { name, help, kind }, value)
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> (CounterDef, u64) {
    let kind = CounterKind::Gauge;
    (CounterDef { name, help, kind }, value)
}
