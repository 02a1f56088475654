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
//! | `admission.rs` | who is let in at all, before the parse |
//! | `overload.rs` | what neighbours are told of our load, and what gateways tell us of theirs |
//! | `initial.rs` | a new request of a trunk: whose, where to, a call is born |
//! | `attempt.rs` | the next candidate is tried |
//! | `dialog.rs` | a request inside a call |
//! | `response.rs`, `branch.rs` | a response arrives; what its branch's fork wants done |
//! | `between.rs` | between whom a message goes, where not everything may cross |
//! | `accepted.rs` | what is left of a request that was answered |
//! | `act.rs` | the actions of transactions are carried out |
//! | `quality.rs` | what becomes of attempts is counted |
//! | `hang_up.rs` | a call ends: its record, its channel, its slot |
//! | `probe.rs` | gateways are asked whether they live |
//! | `fellow.rs` | which messages may leave together |
//! | `local.rs` | responses that we make ourselves |
//! | `wake.rs`, `mail.rs` | deadlines; letters and snapshots |
//!
//! One value lives on one shard. Steady state allocates nothing: slots, packets, indexes and edits
//! are made at boot. At each limit there is a counter in [`COUNTERS`] and a refusal.

#![forbid(unsafe_code)]

mod accepted;
mod act;
mod admission;
mod ahead;
mod attempt;
mod between;
mod branch;
mod caps;
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
mod overload;
mod paths;
mod probe;
mod quality;
mod request;
mod response;
mod settings;
mod wake;

pub use counters::{COUNTERS, GATEWAY_CELLS, HISTOGRAMS, TRUNK_CELLS, dynamic_cells};
pub use gauges::{Gauges, Limited, Room};
pub use mail::{Letter, Notice};
pub use settings::{Listener, Overload, Settings};

use std::sync::Arc;

use base::{Chains, Flow, Flows, ShardId, Slab, SlotId, Texts};
use call::{Call, Spares};
use held::Held;
use route::{Health, Snapshot, Turns};
use shards::Outbox;
use shards::steer::Spread;
use sip::{Edits, Index};
use transaction::Table;

/// The outbox of a shard that runs routers.
pub(crate) type Out = Outbox<Router>;

/// What one shard knows of SIP.
pub struct Router {
    settings: Arc<Settings>,
    /// Who owns a Call-ID.
    spread: Spread,
    shard: ShardId,
    world: Arc<Snapshot>,
    health: Health,
    /// Whose turn it is in the plans with shares.
    turns: Turns,
    gauges: Arc<Gauges>,
    table: Table,
    forks: Slab<Held>,
    calls: Slab<Call>,
    /// What caps hold of calls.
    capped: caps::CappedCalls,
    /// The calls by their Call-ID's hash: only for peers that do not repeat our Record-Route.
    by_call_id: Chains,
    /// The paths of transactions, calls and dialogs.
    flows: Flows,
    /// The names of calls, for their records.
    names: Texts,
    spares: Spares,
    /// Indexes that are not in use: a path takes one, parses into it and puts it back.
    #[expect(clippy::vec_box)] // taken and put back for every message: 8 bytes, not 3 kB
    indexes: Vec<Box<Index>>,
    /// Messages that were read before their turn.
    ahead: ahead::Ahead,
    edits: Edits,
    /// What our Via and Record-Route say for each listener, in the order of their ids.
    heads: Box<[paths::Head]>,
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
    gate: admission::Gate,
    neighbours: overload::Neighbours,
    /// Where a response lies while it is told our load.
    advice_text: Vec<u8>,
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
        gauges.begin(shard);
        let limits = transaction::Limits {
            servers: settings.transactions_max,
            clients: settings.transactions_max,
        };
        let table = Table::new(shard, settings.table_key, limits, settings.timing);
        let mut gate = admission::Gate::new(&settings);
        let mut neighbours = overload::Neighbours::new(settings.gateways_max);
        gate.follow(&world);
        neighbours.follow(&world);
        Router {
            spread: settings.spread(),
            shard,
            world,
            health: Health::new(settings.gateways_max),
            turns: Turns::new(),
            gauges,
            table,
            forks: Slab::new(shard, settings.transactions_max),
            calls: Slab::new(shard, settings.calls_max),
            capped: caps::CappedCalls::new(settings.calls_max),
            by_call_id: Chains::new(settings.calls_max),
            // One for each transaction, and two for each call and half a dialog more.
            flows: Flows::new(
                2 * settings.transactions_max + 3 * settings.calls_max,
                flows_seed(settings.table_key),
            ),
            names: Texts::new(settings.calls_max.saturating_mul(CELLS_PER_CALL)),
            spares: Spares::new(),
            indexes: (0..6).map(|_| Box::new(Index::new())).collect(),
            ahead: ahead::Ahead::default(),
            edits: Edits::new(),
            heads: settings.listeners.iter().map(paths::Head::new).collect(),
            scratch: Vec::with_capacity(sip::limits::MESSAGE_BYTES_MAX),
            kept_text: Vec::with_capacity(sip::limits::MESSAGE_BYTES_MAX),
            record_text: Vec::with_capacity(sip::limits::MESSAGE_BYTES_MAX),
            uri_text: Vec::with_capacity(sip::limits::URI_BYTES_MAX),
            unrecorded: Vec::with_capacity(settings.calls_max),
            probes: Vec::with_capacity(settings.gateways_max),
            gate,
            neighbours,
            advice_text: Vec::with_capacity(sip::limits::MESSAGE_BYTES_MAX),
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

    /// Whose channels the calls hold, each as often as it is held: for tests and the simulator.
    pub fn channels(&self) -> impl Iterator<Item = Limited> + '_ {
        let channels = self.calls.iter().flat_map(|(_, call)| {
            let trunk = call.holds_channel.then_some(Limited::Trunk(call.trunk));
            let holding = call.attempts.iter().filter(|attempt| attempt.holds_channel);
            let gateways = holding.filter_map(|attempt| attempt.gateway);
            trunk.into_iter().chain(gateways.map(Limited::Gateway))
        });
        channels.chain(self.caps_held())
    }

    /// How many references to flows and cells of names are held: none without calls and
    /// transactions. For tests and the simulator.
    #[must_use]
    pub fn kept(&self) -> [usize; 2] {
        [self.flows.references(), self.names.cells_live()]
    }

    /// How many of the held client transactions are probes of gateways.
    #[must_use]
    pub fn probing(&self) -> usize {
        self.probes
            .iter()
            .filter(|probe| probe.client.is_some())
            .count()
    }

    /// Takes a slot for a server transaction; `None`: no room.
    fn insert_server(
        &mut self,
        key: transaction::Key,
        kind: transaction::Kind,
        flow: &Flow,
        user: SlotId,
    ) -> Option<SlotId> {
        let kept = self.flows.keep(flow)?;
        let path = (kept, flow.transport);
        let server = self.table.insert_server(key, kind, path, user);
        if server.is_none() {
            self.flows.release(kept);
        }
        server
    }

    /// Takes a slot for a client transaction; `None`: no room.
    fn insert_client(
        &mut self,
        kind: transaction::Kind,
        flow: &Flow,
        user: SlotId,
        tag: u32,
    ) -> Option<SlotId> {
        let kept = self.flows.keep(flow)?;
        let path = (kept, flow.transport);
        let client = self.table.insert_client(kind, path, user, tag);
        if client.is_none() {
            self.flows.release(kept);
        }
        client
    }

    /// The path of a server transaction.
    fn server_flow(&self, server: SlotId) -> Option<&Flow> {
        let slot = self.table.server_ref(server)?;
        Some(&self.flows[slot.flow()])
    }

    /// The path of a client transaction.
    fn client_flow(&self, client: SlotId) -> Option<&Flow> {
        let slot = self.table.client_ref(client)?;
        Some(&self.flows[slot.flow()])
    }

    fn take_index(&mut self) -> Box<Index> {
        // Never empty in practice: the deepest path nests three parses, and two are read ahead.
        self.indexes.pop().unwrap_or_default()
    }

    fn put_index(&mut self, index: Box<Index>) {
        self.indexes.push(index);
    }
}

/// Room for the names of a call where every call has long ones: no call goes without.
const CELLS_PER_CALL: usize = Texts::cells_of(cdr::IDENTITY_BYTES_MAX);

/// What the names of most calls take: two URIs, a Call-ID and tags.
const CELLS_PER_USUAL_CALL: usize = Texts::cells_of(320);

fn flows_seed(key: [u8; 16]) -> u64 {
    let (low, high) = key.split_at(8);
    let word = |half: &[u8]| {
        half.iter()
            .fold(0_u64, |word, &octet| word << 8 | u64::from(octet))
    };
    word(low) ^ word(high).rotate_left(32)
}
