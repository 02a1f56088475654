//! The dullest router that keeps the table's rules, in virtual time, with packets that are counted.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU64;

use base::{PacketId, ShardId, SlotId, TimerId, Transport};

use super::{flow, parsed, user};
use crate::{
    Actions, Change, ClientEvent, Due, Entry, Kind, Last, Limits, Match, Place, Retired,
    ServerEvent, Side, Table, Tell, Timer, Timers, Timing,
};

/// What a transaction had done, as the tests see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Sent(PacketId),
    Delivered,
    NoAnswer,
    TimedOut,
    Failed,
    Gone,
}

/// When the clock starts: a slot keeps 32 bits of milliseconds, which overflow in the middle of a test.
const START_MS: u64 = (1 << 32) - 40_000;

pub(super) struct Router {
    pub(super) table: Table,
    pub(super) now_ms: u64,
    /// When each timer is due, by its slot, side and place.
    pub(super) armed: BTreeMap<(u64, bool, u8), (u64, Timer)>,
    /// The entries of the wheel: when each fires, and for whom.
    entries: BTreeMap<u64, (u64, SlotId, Side)>,
    pub(super) alive: HashSet<u32>,
    pub(super) log: Vec<(u64, Seen)>,
    /// Whether ComposeAck and ComposeTrying find a free packet.
    pub(super) pool_has_room: bool,
    packets: u32,
    serial: u64,
    branches: u32,
}

impl Router {
    pub(super) fn new(limits: Limits) -> Router {
        Router {
            table: Table::new(ShardId(0), [7; 16], limits, Timing::default()),
            now_ms: 0,
            armed: BTreeMap::new(),
            entries: BTreeMap::new(),
            alive: HashSet::new(),
            log: Vec::new(),
            pool_has_room: true,
            packets: 0,
            serial: 0,
            branches: 0,
        }
    }

    /// A router with one server transaction.
    pub(super) fn with_server(kind: Kind, transport: Transport) -> (Router, SlotId) {
        let mut router = Router::new(Limits {
            servers: 1,
            clients: 1,
        });
        let id = router.open_server(kind, transport).expect("room for one");
        (router, id)
    }

    /// A router with one client transaction that has sent its request.
    pub(super) fn with_client(kind: Kind, transport: Transport) -> (Router, SlotId, PacketId) {
        let mut router = Router::new(Limits {
            servers: 1,
            clients: 1,
        });
        let id = router.open_client(kind, transport).expect("room for one");
        let packet = router.packet();
        router.client(id, ClientEvent::Start { packet });
        (router, id, packet)
    }

    pub(super) fn open_server(&mut self, kind: Kind, transport: Transport) -> Option<SlotId> {
        self.branches += 1;
        let method = match kind {
            Kind::Invite => "INVITE",
            Kind::NonInvite => "OPTIONS",
        };
        let text = format!(
            "{method} sip:b@example.com SIP/2.0\n\
             Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{}\n\
             From: <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>\nCall-ID: x\n\
             CSeq: 1 {method}\nMax-Forwards: 70\nContent-Length: 0\n\n",
            self.branches
        );
        let found = parsed(&text, |message| self.table.match_request(message));
        let Match::New(key) = found else {
            panic!("the branch is new: {found:?}")
        };
        let id = self
            .table
            .insert_server(key, kind, flow(transport), user())?;
        self.server(id, ServerEvent::Start);
        Some(id)
    }

    pub(super) fn open_client(&mut self, kind: Kind, transport: Transport) -> Option<SlotId> {
        self.table.insert_client(kind, flow(transport), user(), 3)
    }

    pub(super) fn packet(&mut self) -> PacketId {
        self.packets += 1;
        self.alive.insert(self.packets);
        PacketId(self.packets)
    }

    pub(super) fn respond(&mut self, id: SlotId, status: u16) -> PacketId {
        let packet = self.packet();
        self.server(id, ServerEvent::Respond { packet, status });
        packet
    }

    pub(super) fn server(&mut self, id: SlotId, event: ServerEvent) {
        let mut actions = Actions::new();
        self.table.server(id, event, &mut actions);
        self.carry_out(id, Side::Server, 0, actions);
    }

    pub(super) fn client(&mut self, id: SlotId, event: ClientEvent) {
        let status = match event {
            ClientEvent::Response { status } => status,
            _ => 0,
        };
        let mut actions = Actions::new();
        self.table.client(id, event, &mut actions);
        self.carry_out(id, Side::Client, status, actions);
    }

    /// Fires what is due up to then, in order.
    pub(super) fn run_until(&mut self, ms: u64) {
        while let Some((&entry, &(at, id, side))) = self
            .entries
            .iter()
            .min_by_key(|(key, (at, ..))| (*at, **key))
            && at <= ms
        {
            self.entries.remove(&entry);
            self.now_ms = at;
            if let Some(timer) = self.fired(id, side) {
                let known = self.armed.remove(&key(id, side, timer.place()));
                let (due, known) = known.expect("what is due was armed");
                // The one moment that the slot has no word for is the next one.
                let due = due + u64::from((START_MS + due) as u32 == 0);
                assert_eq!((due, known), (at, timer), "it fires when it is due");
                match side {
                    Side::Server => self.server(id, ServerEvent::Timer(timer)),
                    Side::Client => self.client(id, ClientEvent::Timer(timer)),
                }
            }
            let now = self.now();
            let rest = self.timers(id, side).and_then(|timers| timers.rest(now));
            self.change_entry(id, side, rest);
        }
        self.now_ms = ms;
    }

    fn now(&self) -> u64 {
        START_MS + self.now_ms
    }

    fn fired(&mut self, id: SlotId, side: Side) -> Option<Timer> {
        let now = self.now();
        let due = match side {
            Side::Server => self.table.server_fired(id, now),
            Side::Client => self.table.client_fired(id, now),
        };
        match due? {
            Due::Timer(timer) => Some(timer),
            Due::Patience => panic!("nobody has any"),
        }
    }

    fn timers(&mut self, id: SlotId, side: Side) -> Option<&mut Timers> {
        match side {
            Side::Server => self.table.server_timers(id),
            Side::Client => self.table.client_timers(id),
        }
    }

    pub(super) fn retire(&mut self, id: SlotId, side: Side) {
        let retired = match side {
            Side::Server => self.table.retire_server(id),
            Side::Client => self.table.retire_client(id),
        };
        let Retired { packet, timer, .. } = retired.expect("a slot is retired once");
        if let Some(packet) = packet {
            self.release(packet);
        }
        if let Some(timer) = timer {
            let known = self.entries.remove(&timer.0.get());
            assert!(known.is_some(), "the slot holds only what is in the wheel");
        }
        for place in [Place::Repeat, Place::Bound] {
            self.armed.remove(&key(id, side, place));
        }
    }

    /// When each packet was sent, or anything else was seen.
    pub(super) fn times(&self, what: Seen) -> Vec<u64> {
        let hits = self.log.iter().filter(|(_, seen)| *seen == what);
        hits.map(|(at, _)| *at).collect()
    }

    fn carry_out(&mut self, id: SlotId, side: Side, status: u16, actions: Actions) {
        if let Some(packet) = actions.send {
            assert!(self.alive.contains(&packet.0), "{packet:?} is sent alive");
            self.see(Seen::Sent(packet));
        }
        for packet in actions.releases.into_iter().flatten() {
            self.release(packet);
        }
        self.note(id, side, Place::Repeat, actions.repeat);
        self.note(id, side, Place::Bound, actions.bound);
        let now = self.now();
        let changed = self.timers(id, side).map(|it| it.change(&actions, now));
        self.change_entry(id, side, changed.flatten());
        match actions.tell {
            Some(Tell::Deliver) => {
                let slot = match side {
                    Side::Server => self.table.server_ref(id).map(|slot| slot.user()),
                    Side::Client => self.table.client_ref(id).map(|slot| slot.user()),
                };
                assert_eq!(slot, Some(user()), "the slot says to whom");
                self.see(Seen::Delivered);
            }
            Some(Tell::ComposeTrying) if self.pool_has_room => {
                self.respond(id, 100);
            }
            Some(Tell::ComposeTrying) | None => {}
            Some(Tell::NoAnswer) => self.see(Seen::NoAnswer),
            Some(Tell::TimedOut) => self.see(Seen::TimedOut),
            Some(Tell::Failed) => self.see(Seen::Failed),
        }
        match actions.last {
            Some(Last::ComposeAck) => {
                assert!((300..=699).contains(&status), "an ACK for a refusal");
                let slot = self.table.client_ref(id).expect("the slot asked");
                assert!(slot.request().is_some(), "the ACK derives from the INVITE");
                if self.pool_has_room {
                    let packet = self.packet();
                    self.client(id, ClientEvent::SendAck { packet });
                }
            }
            Some(Last::Terminated) => {
                self.see(Seen::Gone);
                self.retire(id, side);
            }
            Some(Last::Ignored) | None => {}
        }
    }

    /// Keeps by itself when each timer is due.
    fn note(&mut self, id: SlotId, side: Side, place: Place, change: Change) {
        match change {
            Change::Keep => {}
            Change::Disarm => {
                self.armed.remove(&key(id, side, place));
            }
            Change::Arm { timer, delay_ms } => {
                assert_eq!((timer.side(), timer.place()), (side, place));
                let due = self.now_ms + u64::from(delay_ms);
                self.armed.insert(key(id, side, place), (due, timer));
            }
        }
    }

    fn change_entry(&mut self, id: SlotId, side: Side, change: Option<Entry>) {
        let Some(change) = change else { return };
        let old = self.timers(id, side).and_then(|timers| timers.entry());
        let (taken, at) = match change {
            Entry::Insert(at) => (None, Some(at)),
            Entry::Move(entry, at) => (Some(entry), Some(at)),
            Entry::Remove(entry) => (Some(entry), None),
        };
        assert_eq!(old, taken, "one entry a slot");
        if let Entry::Move(entry, at) = change
            && let Some((fires, ..)) = self.entries.get(&entry.0.get())
            && START_MS + fires <= at
        {
            // It fires in time, and then for nothing.
            return;
        }
        if let Some(entry) = taken {
            let known = self.entries.remove(&entry.0.get());
            assert!(known.is_some(), "the slot holds only what is in the wheel");
        }
        let entry = at.map(|at| {
            self.serial += 1;
            let at = at - START_MS;
            self.entries.insert(self.serial, (at, id, side));
            TimerId(NonZeroU64::new(self.serial).expect("counts from 1"))
        });
        let timers = self.timers(id, side);
        timers
            .expect("what asks for an entry is there")
            .set_entry(entry);
    }

    fn release(&mut self, packet: PacketId) {
        assert!(self.alive.remove(&packet.0), "{packet:?} is released once");
    }

    fn see(&mut self, seen: Seen) {
        self.log.push((self.now_ms, seen));
    }
}

fn key(id: SlotId, side: Side, place: Place) -> (u64, bool, u8) {
    (id.bits(), side == Side::Client, place as u8)
}
