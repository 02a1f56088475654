//! Transactions are stepped and their actions carried out.

use base::SlotId;
use call::Event;
use sip::{Message, parse};
use transaction::{Actions, Change, ClientEvent, Last, Place, Retired, ServerEvent, Tell, Timers};

use crate::accepted::Interest;
use crate::counters::{Count, GatewayCell, TrunkCell};
use crate::wake::Wake;
use crate::{Out, Router};

impl Router {
    pub(crate) fn count(&self, count: Count, out: &Out) {
        out.stats().add(count as usize, 1);
    }

    pub(crate) fn count_gateway(&self, gateway: base::GatewayId, cell: GatewayCell, out: &Out) {
        let at = gateway.0 as usize * crate::GATEWAY_CELLS.len() + cell as usize;
        if (gateway.0 as usize) < self.settings.gateways_max {
            out.stats().dynamic_add(at, 1);
        }
    }

    pub(crate) fn set_gateway(
        &self,
        gateway: base::GatewayId,
        cell: GatewayCell,
        value: u64,
        out: &Out,
    ) {
        let at = gateway.0 as usize * crate::GATEWAY_CELLS.len() + cell as usize;
        if (gateway.0 as usize) < self.settings.gateways_max {
            out.stats().dynamic_set(at, value);
        }
    }

    pub(crate) fn count_trunk(&self, trunk: base::TrunkId, cell: TrunkCell, out: &Out) {
        let at = self.settings.gateways_max * crate::GATEWAY_CELLS.len()
            + trunk.0 as usize * crate::TRUNK_CELLS.len()
            + cell as usize;
        out.stats().dynamic_add(at, 1);
    }

    /// Steps a server transaction. Returns whether it hands an ACK up (RFC 6026 §7.1).
    pub(crate) fn step_server(&mut self, id: SlotId, event: ServerEvent, out: &mut Out) -> bool {
        let mut actions = Actions::new();
        let mut has_timers = true;
        if let Some(slot) = self.table.server(id, event, &mut actions) {
            if let Some(packet) = actions.send {
                let flow = &self.flows[slot.flow()];
                out.send(flow, packet, Wake::SentByServer(id).token());
            }
            has_timers = set_timers(id, slot.timers_mut(), &actions, out);
        }
        for packet in actions.releases.into_iter().flatten() {
            out.release(packet);
        }
        match actions.tell {
            Some(Tell::ComposeTrying) => self.trying(id, out),
            Some(Tell::TimedOut) => self.count(Count::AckMissing, out),
            Some(Tell::Failed) => self.count(Count::SendFailed, out),
            Some(Tell::Deliver | Tell::NoAnswer) | None => {}
        }
        if !has_timers {
            self.count(Count::TimersFull, out);
        }
        if actions.last == Some(Last::Terminated) || !has_timers {
            self.retire_server(id, out);
        }
        actions.tell == Some(Tell::Deliver)
    }

    /// Steps a client transaction; `response` is the message that the event speaks of.
    pub(crate) fn step_client(
        &mut self,
        id: SlotId,
        event: ClientEvent,
        response: Option<&Message<'_>>,
        out: &mut Out,
    ) {
        let mut actions = Actions::new();
        let mut has_timers = true;
        if let Some(slot) = self.table.client(id, event, &mut actions) {
            if let Some(packet) = actions.send {
                let flow = &self.flows[slot.flow()];
                out.send(flow, packet, Wake::SentByClient(id).token());
            }
            has_timers = set_timers(id, slot.timers_mut(), &actions, out);
        }
        for packet in actions.releases.into_iter().flatten() {
            out.release(packet);
        }
        match (actions.tell, response) {
            (Some(Tell::Deliver), Some(response)) => self.branch_answered(id, response, out),
            (Some(Tell::NoAnswer), _) => self.branch_event(id, Event::NoAnswer, out),
            (Some(Tell::TimedOut), _) => self.branch_event(id, Event::TimedOut, out),
            (Some(Tell::Failed), _) => self.branch_event(id, Event::Failed, out),
            (Some(Tell::Deliver | Tell::ComposeTrying) | None, _) => {}
        }
        if actions.last == Some(Last::ComposeAck)
            && let Some(response) = response
        {
            self.acknowledge(id, response, out);
        }
        if !has_timers {
            self.count(Count::TimersFull, out);
        }
        if actions.last == Some(Last::Terminated) || !has_timers {
            self.retire_client(id, out);
        }
    }

    /// Composes the ACK for a refusal from the INVITE that was sent (RFC 3261 §17.1.1.3).
    fn acknowledge(&mut self, id: SlotId, response: &Message<'_>, out: &mut Out) {
        let Some(invite) = self.table.client_ref(id).and_then(|slot| slot.request()) else {
            return;
        };
        let mut index = self.take_index();
        self.scratch.clear();
        self.scratch.extend_from_slice(out.bytes(invite));
        if let Ok(invite) = parse(&self.scratch, &mut index)
            && let Some(packet) = out.packet(invite.section_end() + response.to().len() + 64)
        {
            match sip::derive::ack(&invite, response, out.buffer(packet)) {
                Some(len) => {
                    out.set_len(packet, len);
                    self.put_index(index);
                    self.step_client(id, ClientEvent::SendAck { packet }, None, out);
                    return;
                }
                None => out.release(packet),
            }
        }
        self.put_index(index);
        // Without an ACK the peer repeats its refusal, and the next copy brings us here again.
        self.count(Count::PacketsFull, out);
    }

    /// Frees a server's slot; its fork may go with it.
    pub(crate) fn retire_server(&mut self, id: SlotId, out: &mut Out) {
        let Some(retired) = self.table.retire_server(id) else {
            return;
        };
        self.give_back(&retired, out);
        if let Some(held) = self.forks.get_mut(retired.user)
            && held.fork.server == Some(id)
        {
            held.fork.server = None;
            self.leave_fork(retired.user, out);
        }
    }

    /// Frees a client's slot; its fork may go with it.
    pub(crate) fn retire_client(&mut self, id: SlotId, out: &mut Out) {
        let Some(retired) = self.table.retire_client(id) else {
            return;
        };
        self.give_back(&retired, out);
        if self.is_probe(retired.user_tag) {
            self.probe_retired(id);
            return;
        }
        match Interest::of(retired.user_tag) {
            Interest::Fork => {}
            Interest::Call(_) => return self.invite_left_call(retired.user, out),
            Interest::Server => return,
        }
        let Some(held) = self.forks.get_mut(retired.user) else {
            return;
        };
        let fork = &mut held.fork;
        if let Some(at) = fork.branch_of(id) {
            fork.branches[at].client = None;
            if let Some(timer) = fork.branches[at].timer.take() {
                out.cancel(timer);
            }
        } else if let Some(at) = fork.branch_of_cancel(id) {
            fork.branches[at].cancel = None;
        } else {
            return;
        }
        self.leave_fork(retired.user, out);
    }

    /// One transaction less points at a fork; the last one takes it along.
    fn leave_fork(&mut self, id: SlotId, out: &mut Out) {
        let Some(held) = self.forks.get_mut(id) else {
            return;
        };
        held.fork.users -= 1;
        match held.fork.users {
            0 => self.free_fork(id, call::Invite::Over, out),
            _ => self.dissolve(id, out),
        }
    }

    /// Frees a fork; its call keeps what is left of the INVITE.
    pub(crate) fn free_fork(&mut self, id: SlotId, left: call::Invite, out: &mut Out) {
        let Some(held) = self.forks.get_mut(id) else {
            return;
        };
        if let Some(packet) = held.fork.request {
            out.release(packet);
        }
        if let Some(packet) = held.fork.best.and_then(|best| best.packet) {
            out.release(packet);
        }
        if let Some(redirect) = held.plan.redirect {
            out.release(redirect.packet);
        }
        for branch in &mut held.fork.branches {
            if let Some(timer) = branch.timer.take() {
                out.cancel(timer);
            }
        }
        let purpose = held.fork.purpose;
        self.forks.discard(id);
        if let call::Purpose::Initial { call } = purpose {
            self.fork_left_call(call, left, out);
        }
    }

    pub(crate) fn give_back(&mut self, retired: &Retired, out: &mut Out) {
        self.flows.release(retired.flow);
        for packet in retired.packets.iter().flatten() {
            out.release(*packet);
        }
        for timer in retired.timers.iter().flatten() {
            out.cancel(*timer);
        }
    }
}

/// Does what a step said about the timers of a slot. `false`: the wheel is full. It has room for all
/// timers of full tables, so that is a bug of its size; a transaction without its last timer would
/// stay for ever, and the caller ends it instead.
#[inline]
fn set_timers(id: SlotId, timers: &mut Timers, actions: &Actions, out: &mut Out) -> bool {
    let mut has_room = true;
    for (place, change) in [
        (Place::Repeat, actions.repeat),
        (Place::Bound, actions.bound),
    ] {
        match change {
            Change::Keep => {}
            Change::Disarm => {
                if let Some(old) = timers.armed(place) {
                    out.cancel(old);
                    timers.set(place, None);
                }
            }
            Change::Arm { timer, delay_ms } => {
                let token = Wake::Timer(timer, id).token();
                let delay_us = u64::from(delay_ms) * 1_000;
                let armed = match timers.armed(place) {
                    Some(old) => out.rearm(old, delay_us, token),
                    None => out.arm(delay_us, token),
                };
                timers.set(place, armed);
                has_room &= armed.is_some();
            }
        }
    }
    has_room
}
