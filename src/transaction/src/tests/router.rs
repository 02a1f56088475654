//! The dullest router that keeps the table's rules, in virtual time, with packets that are counted.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU64;

use base::{PacketId, ShardId, SlotId, TimerId, Transport};

use super::{flow, parsed, user};
use crate::{
    Actions, Change, ClientEvent, Kind, Last, Limits, Match, Place, Retired, ServerEvent, Side,
    Table, Tell, Timer, Timing,
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

pub(super) struct Router {
    pub(super) table: Table,
    pub(super) now_ms: u64,
    pub(super) armed: BTreeMap<u64, (u64, SlotId, Timer)>,
    pub(super) alive: HashSet<u32>,
    pub(super) log: Vec<(u64, Seen)>,
    /// Whether ComposeAck and ComposeTrying find a free packet.
    pub(super) pool_has_room: bool,
    packets: u32,
    timers: u64,
    branches: u32,
}

impl Router {
    pub(super) fn new(limits: Limits) -> Router {
        Router {
            table: Table::new(ShardId(0), [7; 16], limits, Timing::default()),
            now_ms: 0,
            armed: BTreeMap::new(),
            alive: HashSet::new(),
            log: Vec::new(),
            pool_has_room: true,
            packets: 0,
            timers: 0,
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
        while let Some((&key, &(due, id, timer))) = self
            .armed
            .iter()
            .min_by_key(|(key, (due, _, _))| (*due, **key))
            && due <= ms
        {
            self.armed.remove(&key);
            self.now_ms = due;
            self.table.fired(id, timer);
            match timer.side() {
                Side::Server => self.server(id, ServerEvent::Timer(timer)),
                Side::Client => self.client(id, ClientEvent::Timer(timer)),
            }
        }
        self.now_ms = ms;
    }

    pub(super) fn retire(&mut self, id: SlotId, side: Side) {
        let retired = match side {
            Side::Server => self.table.retire_server(id),
            Side::Client => self.table.retire_client(id),
        };
        let Retired {
            packets, timers, ..
        } = retired.expect("a slot is retired once");
        for packet in packets.into_iter().flatten() {
            self.release(packet);
        }
        for timer in timers.into_iter().flatten() {
            let known = self.armed.remove(&timer.0.get());
            assert!(known.is_some(), "the slot holds only armed timers");
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
        self.change(id, side, Place::Repeat, actions.repeat);
        self.change(id, side, Place::Bound, actions.bound);
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

    fn change(&mut self, id: SlotId, side: Side, place: Place, change: Change) {
        let (timer, delay_ms) = match change {
            Change::Keep => return,
            Change::Disarm => (None, 0),
            Change::Arm { timer, delay_ms } => {
                assert_eq!((timer.side(), timer.place()), (side, place));
                (Some(timer), delay_ms)
            }
        };
        let armed = timer.map(|timer| {
            self.timers += 1;
            let due = self.now_ms + u64::from(delay_ms);
            self.armed.insert(self.timers, (due, id, timer));
            TimerId(NonZeroU64::new(self.timers).expect("counts from 1"))
        });
        let slots = match side {
            Side::Server => self.table.servers.get_mut(id).map(|slot| slot.timers_mut()),
            Side::Client => self.table.clients.get_mut(id).map(|slot| slot.timers_mut()),
        };
        let timers = slots.expect("what asks for a timer is there");
        let before = timers.armed(place);
        timers.set(place, armed);
        if let Some(before) = before {
            let known = self.armed.remove(&before.0.get());
            assert!(known.is_some(), "the slot holds only armed timers");
        }
    }

    fn release(&mut self, packet: PacketId) {
        assert!(self.alive.remove(&packet.0), "{packet:?} is released once");
    }

    fn see(&mut self, seen: Seen) {
        self.log.push((self.now_ms, seen));
    }
}
