//! Transactions are stepped and their actions carried out.

use base::SlotId;
use call::Event;
use sip::{Message, parse};
use transaction::{
    Actions, Change, ClientEvent, Due, Entry, Last, Retired, ServerEvent, Tell, Timers,
};

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
        self.count_trunk_by(trunk, cell, 1, out);
    }

    pub(crate) fn count_trunk_by(
        &self,
        trunk: base::TrunkId,
        cell: TrunkCell,
        count: u64,
        out: &Out,
    ) {
        let at = self.settings.gateways_max * crate::GATEWAY_CELLS.len()
            + trunk.0 as usize * crate::TRUNK_CELLS.len()
            + cell as usize;
        out.stats().dynamic_add(at, count);
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
            has_timers = set_timers(slot.timers_mut(), &actions, Wake::Server(id), out);
        }
        release(&actions, out);
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
            has_timers = set_timers(slot.timers_mut(), &actions, Wake::Client(id), out);
        }
        release(&actions, out);
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

    /// A server's entry in the wheel fired: steps what is due of it.
    pub(crate) fn server_fired(&mut self, id: SlotId, out: &mut Out) {
        if let Some(Due::Timer(timer)) = self.table.server_fired(id, passed_ms(out)) {
            self.step_server(id, ServerEvent::Timer(timer), out);
        }
        if !arm_rest(self.table.server_timers(id), Wake::Server(id), out) {
            self.count(Count::TimersFull, out);
            self.retire_server(id, out);
        }
    }

    /// As [`Router::server_fired`], of a client.
    pub(crate) fn client_fired(&mut self, id: SlotId, out: &mut Out) {
        match self.table.client_fired(id, passed_ms(out)) {
            Some(Due::Timer(timer)) => self.step_client(id, ClientEvent::Timer(timer), None, out),
            Some(Due::Patience) => self.patience_over(id, out),
            None => {}
        }
        if !arm_rest(self.table.client_timers(id), Wake::Client(id), out) {
            self.count(Count::TimersFull, out);
            self.retire_client(id, out);
        }
    }

    /// Has a client's branch fail if no answer comes for so long.
    pub(crate) fn arm_patience(&mut self, client: SlotId, delay_ms: u32, out: &mut Out) {
        let Some(timers) = self.table.client_timers(client) else {
            return;
        };
        if let Some(change) = timers.arm_patience(delay_ms, out.now_ms())
            && !change_entry(timers, change, Wake::Client(client), out)
        {
            self.count(Count::TimersFull, out);
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
        let purpose = held.fork.purpose;
        self.forks.discard(id);
        if let call::Purpose::Initial { call } = purpose {
            self.fork_left_call(call, left, out);
        }
    }

    pub(crate) fn give_back(&mut self, retired: &Retired, out: &mut Out) {
        self.flows.release(retired.flow);
        if let Some(packet) = retired.packet {
            out.release(packet);
        }
        if let Some(timer) = retired.timer {
            out.cancel(timer);
        }
    }
}

/// The last millisecond that has passed.
fn passed_ms(out: &Out) -> u64 {
    out.now().0 / 1_000
}

/// Gives back what a step gave up.
#[inline]
fn release(actions: &Actions, out: &mut Out) {
    let [first, second] = actions.releases;
    if let Some(packet) = first {
        out.release(packet);
        if let Some(packet) = second {
            out.release(packet);
        }
    }
}

/// Does what a step said about the timers of a slot. `false`: the wheel is full, as of
/// [`change_entry`].
#[inline]
fn set_timers(timers: &mut Timers, actions: &Actions, wake: Wake, out: &mut Out) -> bool {
    if let (Change::Keep, Change::Keep) = (actions.repeat, actions.bound) {
        return true;
    }
    match timers.change(actions, out.now_ms()) {
        Some(change) => change_entry(timers, change, wake, out),
        None => true,
    }
}

/// After an entry fired: one for what is left of a slot's deadlines, if anything is. False: there is no
/// room for it.
fn arm_rest(timers: Option<&mut Timers>, wake: Wake, out: &mut Out) -> bool {
    let Some(timers) = timers else { return true };
    match timers.rest(out.now_ms()) {
        Some(change) => change_entry(timers, change, wake, out),
        None => true,
    }
}

/// Changes the one entry of a slot in the wheel. `false`: the wheel is full. It has room for an entry
/// of each slot of full tables, so that is a bug of its size; a transaction without its last timer
/// would stay for ever, and the caller ends it instead.
#[inline]
fn change_entry(timers: &mut Timers, change: Entry, wake: Wake, out: &mut Out) -> bool {
    let entry = match change {
        Entry::Insert(at_ms) => out.arm_at(at_ms, wake.token()),
        Entry::Move(entry, at_ms) => {
            if out.fires_by(entry, at_ms) {
                return true;
            }
            out.rearm(entry, at_ms, wake.token())
        }
        Entry::Remove(entry) => {
            out.cancel(entry);
            timers.set_entry(None);
            return true;
        }
    };
    timers.set_entry(entry);
    entry.is_some()
}
