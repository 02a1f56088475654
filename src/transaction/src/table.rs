//! All transactions of a shard, and which one a request belongs to.
//!
//! Cost of [`Table::match_request`]: one keyed hash (see `key.rs`), one head of the index, and the
//! lines of the slots in its chain, mostly none for a new request. Bench: `transaction`.

use base::{Chains, FlowId, ShardId, Slab, SlotId, Transport};
use sip::{Message, Method, Via};

use crate::key::{Key, Keyring};
use crate::slot::{ClientSlot, Due, Kind, Retired, ServerSlot};
use crate::{Actions, ClientEvent, Place, ServerEvent, Timer, Timers, Timing};

/// How many transactions a shard may have at once. What is over is refused: the inserts say `None`,
/// the caller counts it and answers 503.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Server transactions.
    pub servers: usize,
    /// Client transactions.
    pub clients: usize,
}

/// What a request is to the transactions that exist: RFC 3261 §17.2.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// Nobody's: the key is for [`Table::insert_server`].
    New(Key),
    /// It came before: step [`ServerEvent::Request`].
    Retransmission(SlotId),
    /// The ACK for this INVITE's final response: step [`ServerEvent::Ack`].
    Ack(SlotId),
    /// An ACK for a 2xx, on its own way through the dialog, or for nothing.
    AckUnmatched,
    /// A CANCEL: a transaction of its own that names another.
    Cancel {
        /// For [`Table::insert_server`], if it is not a retransmission.
        key: Key,
        /// This CANCEL came before.
        retransmission: Option<SlotId>,
        /// The INVITE that it cancels.
        invite: Option<SlotId>,
    },
}

/// The transactions of one shard. Lives there; nothing in it is shared.
///
/// Nothing is allocated after [`Table::new`]. Server transactions are found by a keyed hash of what
/// identifies their request; client transactions by their slot id, which their branch carries.
#[derive(Debug)]
pub struct Table {
    pub(crate) servers: Slab<ServerSlot>,
    pub(crate) clients: Slab<ClientSlot>,
    /// Server slots by [`Key::place`].
    index: Chains,
    keyring: Keyring,
    timing: Timing,
}

impl Table {
    /// An empty table. `hash_key` must be secret and random, or peers can make keys collide.
    #[must_use]
    pub fn new(shard: ShardId, hash_key: [u8; 16], limits: Limits, timing: Timing) -> Table {
        Table {
            servers: Slab::new(shard, limits.servers),
            clients: Slab::new(shard, limits.clients),
            index: Chains::new(limits.servers),
            keyring: Keyring::new(hash_key),
            timing,
        }
    }

    /// Finds the transaction that a request belongs to. `message` is as it was received: before
    /// `received` and `rport` are put into its Via.
    #[must_use]
    pub fn match_request(&self, message: &Message<'_>) -> Match {
        self.match_known(message, None)
    }

    /// As [`Table::match_request`], where [`Table::key`] may have been asked before.
    #[must_use]
    pub fn match_known(&self, message: &Message<'_>, key: Option<Key>) -> Match {
        let key = || key.unwrap_or_else(|| self.keyring.key(message));
        match message.method() {
            Method::Ack => {
                let key = key();
                match self.find(&key, |slot| key.acknowledges(&slot.key, slot.response_tag)) {
                    Some(id) => Match::Ack(id),
                    None => Match::AckUnmatched,
                }
            }
            Method::Cancel => {
                let (key, invite) = self.keyring.cancel_keys(message);
                Match::Cancel {
                    key,
                    retransmission: self.find(&key, |slot| slot.key == key),
                    invite: self.find(&invite, |slot| slot.key == invite),
                }
            }
            _ => {
                let key = key();
                match self.find(&key, |slot| slot.key == key) {
                    Some(id) => Match::Retransmission(id),
                    None => Match::New(key),
                }
            }
        }
    }

    /// What identifies the transaction of a request; of a CANCEL, its own.
    #[must_use]
    pub fn key(&self, request: &Message<'_>) -> Key {
        self.keyring.key(request)
    }

    /// Where it is written which servers there are with such a key, and how many octets that takes:
    /// memory to be asked for before it is needed.
    #[must_use]
    pub fn whereabouts(&self, key: &Key) -> (*const u8, usize) {
        self.index.whereabouts(key.place())
    }

    /// Where all that it may hold lies, as [`Slab::room`].
    pub fn rooms(&self) -> impl Iterator<Item = (*const u8, usize)> {
        let slots = [self.servers.room(usize::MAX), self.clients.room(usize::MAX)];
        slots.into_iter().chain(self.index.rooms())
    }

    /// As [`Table::whereabouts`], of a client transaction.
    #[must_use]
    pub fn client_whereabouts(&self, id: SlotId) -> Option<(*const u8, usize)> {
        self.clients.whereabouts(id)
    }

    /// The same of a server transaction.
    #[must_use]
    pub fn server_whereabouts(&self, id: SlotId) -> Option<(*const u8, usize)> {
        self.servers.whereabouts(id)
    }

    /// Where the server and the client transaction will probably lie that come next.
    #[must_use]
    pub fn next_whereabouts(&self) -> [(*const u8, usize); 2] {
        [
            self.servers.next_whereabouts(),
            self.clients.next_whereabouts(),
        ]
    }

    /// Whether the request with this topmost Via and method has a transaction here, so that a copy of
    /// it must not be refused. `None`: they alone do not say it (a client older than RFC 3261).
    #[must_use]
    pub fn holds(&self, via: &Via<'_>, method: &[u8]) -> Option<bool> {
        let key = self.keyring.sent_by(via, method)?;
        Some(self.find(&key, |slot| slot.key == key).is_some())
    }

    /// Takes a slot for a request that [`Table::match_request`] said is new; `None` if all are
    /// taken. Step [`ServerEvent::Start`] next. `flow` is of this transport; its reference goes with
    /// the slot and comes back with it.
    pub fn insert_server(
        &mut self,
        key: Key,
        kind: Kind,
        (flow, transport): (FlowId, Transport),
        user: SlotId,
    ) -> Option<SlotId> {
        let slot = ServerSlot::new(key, kind, flow, transport, user);
        let id = self.servers.insert(slot).ok()?;
        self.index.insert(key.place(), id.index());
        Some(id)
    }

    /// Tells the To tag of the final response that is about to be sent for this INVITE. An ACK by
    /// RFC 2543 rules is known by it; for a client by RFC 3261 nothing is kept.
    pub fn note_response_tag(&mut self, id: SlotId, to_tag: &[u8]) {
        if let Some(slot) = self.servers.get_mut(id)
            && slot.key.is_rfc2543()
        {
            slot.response_tag = Some(self.keyring.tag(to_tag));
        }
    }

    /// Takes a slot for a request that will be sent, so that its branch can name the slot; `None`
    /// if all are taken. Step [`ClientEvent::Start`] next, or retire it. The reference to `flow` goes
    /// as with a server.
    pub fn insert_client(
        &mut self,
        kind: Kind,
        (flow, transport): (FlowId, Transport),
        user: SlotId,
        user_tag: u32,
    ) -> Option<SlotId> {
        let slot = ClientSlot::new(kind, flow, transport, user, user_tag);
        self.clients.insert(slot).ok()
    }

    /// Keeps what the branch of a client says besides the slot, in 40 bits: whoever answers must say it again.
    pub fn mark_client(&mut self, id: SlotId, mark: u64) {
        if let Some(slot) = self.clients.get_mut(id) {
            slot.set_mark(mark);
        }
    }

    /// Names another user: the one that began it is gone, and its answers are still of interest.
    pub fn set_client_user(&mut self, id: SlotId, user: SlotId, user_tag: u32) {
        if let Some(slot) = self.clients.get_mut(id) {
            (slot.user, slot.user_tag) = (user, user_tag);
        }
    }

    /// Takes one event into a server transaction. Its slot comes back for what `actions` says about
    /// its flow and its timers. If it is gone, the event's packet is released.
    pub fn server(
        &mut self,
        id: SlotId,
        event: ServerEvent,
        actions: &mut Actions,
    ) -> Option<&mut ServerSlot> {
        match self.servers.get_mut(id) {
            Some(slot) => {
                slot.step(event, &self.timing, actions);
                Some(slot)
            }
            None => {
                actions.ignore(event.packet());
                None
            }
        }
    }

    /// Takes one event into a client transaction, as [`Table::server`].
    pub fn client(
        &mut self,
        id: SlotId,
        event: ClientEvent,
        actions: &mut Actions,
    ) -> Option<&mut ClientSlot> {
        match self.clients.get_mut(id) {
            Some(slot) => {
                slot.step(event, &self.timing, actions);
                Some(slot)
            }
            None => {
                actions.ignore(event.packet());
                None
            }
        }
    }

    /// The entry in the wheel that stood for a server's deadlines has fired: what is due of it by now,
    /// one deadline at a time. That one is no longer armed, whatever its machine makes of it.
    pub fn server_fired(&mut self, id: SlotId, now_ms: u64) -> Option<Due> {
        self.servers.get_mut(id)?.fired(now_ms)
    }

    /// As [`Table::server_fired`], of a client.
    pub fn client_fired(&mut self, id: SlotId, now_ms: u64) -> Option<Due> {
        self.clients.get_mut(id)?.fired(now_ms)
    }

    /// The deadlines of a server.
    pub fn server_timers(&mut self, id: SlotId) -> Option<&mut Timers> {
        Some(&mut self.servers.get_mut(id)?.timers)
    }

    /// The deadlines of a client.
    pub fn client_timers(&mut self, id: SlotId) -> Option<&mut Timers> {
        Some(&mut self.clients.get_mut(id)?.timers)
    }

    /// A server transaction, to look at.
    #[must_use]
    pub fn server_ref(&self, id: SlotId) -> Option<&ServerSlot> {
        self.servers.get(id)
    }

    /// A client transaction, to look at.
    #[must_use]
    pub fn client_ref(&self, id: SlotId) -> Option<&ClientSlot> {
        self.clients.get(id)
    }

    /// Frees a server's slot and its key; what it still held comes back.
    pub fn retire_server(&mut self, id: SlotId) -> Option<Retired> {
        let slot = self.servers.remove(id)?;
        let found = self.index.remove(slot.key.place(), id.index());
        assert!(found, "each server transaction is in the index");
        Some(slot.retire())
    }

    /// Frees a client's slot; what it still held comes back.
    pub fn retire_client(&mut self, id: SlotId) -> Option<Retired> {
        Some(self.clients.remove(id)?.retire())
    }

    /// How many server transactions there are.
    #[must_use]
    pub fn len_servers(&self) -> usize {
        self.servers.len()
    }

    /// How many client transactions there are.
    #[must_use]
    pub fn len_clients(&self) -> usize {
        self.clients.len()
    }

    /// Whether there are none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.clients.is_empty()
    }

    /// The values that the timers follow from.
    #[must_use]
    pub const fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Counts everything. Walks all slots: for tests, the simulator and dumps.
    #[must_use]
    pub fn audit(&self) -> Audit {
        let mut audit = Audit {
            servers: self.servers.len(),
            clients: self.clients.len(),
            ..Audit::default()
        };
        for (id, slot) in self.servers.iter() {
            audit.note(
                &slot.retire(),
                &slot.timers,
                slot.bound(),
                slot.is_terminated(),
            );
            audit.unanswered += usize::from(slot.is_unanswered());
            audit.accepted += usize::from(slot.is_accepted());
            let found = self.find(&slot.key, |other| other.key == slot.key);
            audit.unfindable += usize::from(found != Some(id));
        }
        for (_, slot) in self.clients.iter() {
            audit.note(
                &slot.retire(),
                &slot.timers,
                slot.bound(),
                slot.is_terminated(),
            );
            audit.pending += usize::from(slot.is_pending());
            audit.accepted += usize::from(slot.is_accepted());
        }
        audit.unfindable += self.index.len().abs_diff(self.servers.len());
        audit
    }

    fn find(&self, key: &Key, mut is_it: impl FnMut(&ServerSlot) -> bool) -> Option<SlotId> {
        let mut found = self.index.find(key.place());
        found.find_map(|place| {
            let (id, slot) = self.servers.at(place)?;
            is_it(slot).then_some(id)
        })
    }
}

/// What [`Table::audit`] counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Server transactions.
    pub servers: usize,
    /// Client transactions.
    pub clients: usize,
    /// Server transactions whose final response the proxy core owes.
    pub unanswered: usize,
    /// Client transactions whose final response is awaited.
    pub pending: usize,
    /// INVITE transactions of both sides in Accepted.
    pub accepted: usize,
    /// References to packets that the slots hold.
    pub packets: usize,
    /// Timers that the slots know to be armed.
    pub timers: usize,
    /// Slots that no timer ends although the proxy core owes nothing: a bug, or a full wheel.
    pub unbounded: usize,
    /// Slots that ended and were not retired: a bug.
    pub unretired: usize,
    /// Server transactions that a repeat of their request would not find: a bug.
    pub unfindable: usize,
}

impl Audit {
    fn note(&mut self, held: &Retired, timers: &Timers, bound: Option<Timer>, is_terminated: bool) {
        let places = [Place::Repeat, Place::Bound, Place::Patience];
        let armed = places.into_iter().filter(|&place| timers.is_armed(place));
        self.packets += usize::from(held.packet.is_some());
        self.timers += armed.count();
        self.unretired += usize::from(is_terminated);
        let is_bound = |timer: Timer| timers.is_armed(timer.place()) && timers.is_kept();
        self.unbounded += usize::from(bound.is_some_and(|timer| !is_bound(timer)));
    }
}
