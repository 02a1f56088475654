//! The router: where SIP meets the shard. It implements the runtime's [`shards::Handler`] and
//! decides nothing itself: it orders the work of the core crates.
//!
//! ```text
//!   message ──▶ request.rs ──▶ initial.rs ──▶ attempt.rs ──┐
//!      │            └────────▶ dialog.rs ──────────────────┤
//!      └──────▶ response.rs ──▶ branch.rs ─────────────────┤
//!   deadline ─▶ wake.rs ───────────┘                       ▼
//!   letter, snapshot ─▶ mail.rs                     act.rs ──▶ Outbox
//! ```
//!
//! | file | one path |
//! |---|---|
//! | `request.rs` | a request arrives: retransmission, ACK, CANCEL, ours, in a dialog, or new |
//! | `initial.rs` | a new request of a trunk: whose, where to, a call is born |
//! | `attempt.rs` | the next candidate is tried |
//! | `dialog.rs` | a request inside a call |
//! | `response.rs`, `branch.rs` | a response arrives; what its branch's fork wants done |
//! | `act.rs` | the actions of transactions are carried out |
//! | `hang_up.rs` | a call ends: its record, its channel, its slot |
//! | `probe.rs` | gateways are asked whether they live |
//! | `fellow.rs` | which messages may leave together |
//! | `local.rs` | responses that we make ourselves |
//! | `wake.rs`, `mail.rs` | deadlines; letters and snapshots |
//!
//! One value lives on one shard. Steady state allocates nothing: slots, packets, indexes and edits
//! are made at boot. At each limit there is a counter in [`COUNTERS`] and a refusal.

#![forbid(unsafe_code)]

mod act;
mod attempt;
mod branch;
mod counters;
mod dialog;
mod fellow;
mod gauges;
mod handler;
mod hang_up;
mod held;
mod initial;
mod local;
mod mail;
mod paths;
mod probe;
mod request;
mod response;
mod settings;
mod wake;

pub use counters::{COUNTERS, GATEWAY_CELLS, HISTOGRAMS, TRUNK_CELLS, dynamic_cells};
pub use gauges::Gauges;
pub use mail::{Letter, Notice};
pub use settings::{Listener, Settings};

use std::sync::Arc;

use base::{ShardId, Slab, SlotId};
use call::Call;
use hashbrown::HashTable;
use held::Held;
use route::{Health, Snapshot};
use shards::Outbox;
use sip::{Edits, Index};
use transaction::Table;

/// The outbox of a shard that runs routers.
pub(crate) type Out = Outbox<Router>;

/// What one shard knows of SIP.
pub struct Router {
    settings: Arc<Settings>,
    shard: ShardId,
    world: Arc<Snapshot>,
    health: Health,
    gauges: Arc<Gauges>,
    table: Table,
    forks: Slab<Held>,
    calls: Slab<Call>,
    /// The calls by their Call-ID's hash: only for peers that do not repeat our Record-Route.
    by_call_id: HashTable<SlotId>,
    /// Indexes that are not in use: a path takes one, parses into it and puts it back.
    #[expect(clippy::vec_box)] // taken and put back for every message: 8 bytes, not 3 kB
    indexes: Vec<Box<Index>>,
    edits: Edits,
    /// Where bytes of one packet lie while another is composed from them.
    scratch: Vec<u8>,
    /// Where a kept request lies while the next attempt is made from it.
    kept_text: Vec<u8>,
    /// Where the names of a call lie while its record is written.
    record_text: Vec<u8>,
    /// Where the Request-URI of an attempt is written.
    uri_text: Vec<u8>,
    /// Calls whose record found the ring full. While there is one, no new call is taken.
    unrecorded: Vec<SlotId>,
    probes: Vec<probe::Probing>,
    is_draining: bool,
    is_stopped: bool,
    /// Where the audit of the calls goes on.
    audit_at: usize,
    /// How many calls were up in the part of the table that the audit has seen.
    up_so_far: u64,
    /// Whether the first list of probes was made.
    has_listed: bool,
}

impl Router {
    /// A router for one shard, in the world `world`.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        shard: ShardId,
        world: Arc<Snapshot>,
        gauges: Arc<Gauges>,
    ) -> Router {
        let limits = transaction::Limits {
            servers: settings.transactions_max,
            clients: settings.transactions_max,
        };
        let table = Table::new(shard, settings.table_key, limits, settings.timing);
        Router {
            shard,
            world,
            health: Health::new(settings.gateways_max),
            gauges,
            table,
            forks: Slab::new(shard, settings.transactions_max),
            calls: Slab::new(shard, settings.calls_max),
            by_call_id: HashTable::with_capacity(settings.calls_max),
            indexes: (0..4).map(|_| Box::new(Index::new())).collect(),
            edits: Edits::new(),
            scratch: Vec::with_capacity(sip::limits::MESSAGE_BYTES_MAX),
            kept_text: Vec::with_capacity(sip::limits::MESSAGE_BYTES_MAX),
            record_text: Vec::with_capacity(sip::limits::MESSAGE_BYTES_MAX),
            uri_text: Vec::with_capacity(sip::limits::URI_BYTES_MAX),
            unrecorded: Vec::with_capacity(settings.calls_max),
            probes: Vec::with_capacity(settings.gateways_max),
            is_draining: false,
            is_stopped: false,
            audit_at: 0,
            up_so_far: 0,
            has_listed: false,
            settings,
        }
    }

    /// How many calls, forks, server and client transactions are held: for tests and the simulator.
    #[must_use]
    pub fn held(&self) -> [usize; 4] {
        [
            self.calls.len(),
            self.forks.len(),
            self.table.len_servers(),
            self.table.len_clients(),
        ]
    }

    /// How many of the held client transactions are probes of gateways.
    #[must_use]
    pub fn probing(&self) -> usize {
        self.probes
            .iter()
            .filter(|probe| probe.client.is_some())
            .count()
    }

    fn take_index(&mut self) -> Box<Index> {
        // Never empty in practice: the deepest path nests three parses.
        self.indexes.pop().unwrap_or_default()
    }

    fn put_index(&mut self, index: Box<Index>) {
        self.indexes.push(index);
    }
}
