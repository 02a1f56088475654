//! A response arrives: its branch names the client transaction that it answers. What that hands up
//! goes on upstream at once, if it is a 1xx or a 2xx; `branch.rs` has what is done about the rest.

use std::net::SocketAddr;

use base::{Flow, FlowId, GatewayId, PacketId, ShardId, SlotId};
use call::token::BranchMark;
use call::{BranchState, Event, Keys, Kind as ForkKind, Purpose, next_hop, proxy};
use route::HealthEvent;
use shards::{Brought, Inbound};
use sip::relay::Upstream;
use sip::{Message, Method};
use transaction::{ClientEvent, Kind, ServerEvent};

use crate::accepted::Interest;
use crate::between::Between;
use crate::counters::{Count, GatewayCell};
use crate::paths::token_of;
use crate::{Out, Router};

/// Whether two addresses are of one host, whichever way they are written.
#[inline]
pub(crate) fn is_same_host(one: &SocketAddr, other: &SocketAddr) -> bool {
    match (one, other) {
        (SocketAddr::V4(one), SocketAddr::V4(other)) => one.ip() == other.ip(),
        _ => one.ip().to_canonical() == other.ip().to_canonical(),
    }
}

/// What of a fork decides how a response goes upstream.
struct Upward {
    fork: SlotId,
    kind: ForkKind,
    purpose: Purpose,
    source: Flow,
    server: Option<SlotId>,
    /// The dialog that the response is of, if it is of a call's INVITE.
    dialog: Option<usize>,
    /// Between whom it goes, if not everything may.
    between: Option<Between>,
}

impl Router {
    /// A response that was parsed. One that answers nothing of ours goes nowhere (RFC 6026 §7.3).
    /// `Some`: the kernel brought it to the wrong shard, and it is this one's; nothing was done.
    pub(crate) fn response(
        &mut self,
        message: &Message<'_>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) -> Option<ShardId> {
        let named = Keys::read_branch(message.branch());
        match named.map(|named| (named, named.0.shard())) {
            Some((named, shard)) if shard == self.shard => {
                if self.waits_with_its_call(named, inbound, out) {
                    return None;
                }
                self.count(Count::Responses, out);
                self.response_to(named, message, inbound, out);
            }
            // Whether it is forged that shard can tell.
            Some((_, shard))
                if inbound.brought == Brought::Steered && shard.0 < self.settings.shards =>
            {
                return Some(shard);
            }
            _ => {
                self.count(Count::Responses, out);
                self.count(Count::StrayResponses, out);
            }
        }
        None
    }

    /// A response to a request that this transaction has sent, if there still is one.
    fn response_to(
        &mut self,
        (client, mark): (SlotId, BranchMark),
        message: &Message<'_>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        // Only who saw the branch knows its mark.
        let slot = self.table.client_ref(client);
        let Some(slot) = slot.filter(|slot| slot.mark() == mark) else {
            return self.count(Count::StrayResponses, out);
        };
        // Only who was asked may answer, from whatever port it likes.
        let asked = self.flows[slot.flow()].peer;
        if !is_same_host(&asked, &inbound.flow.peer) {
            return self.count(Count::ForeignResponses, out);
        }
        let (kind, user) = (slot.kind(), slot.user());
        let client = match (kind, message.method()) {
            // A CANCEL carries the branch of its INVITE (RFC 3261 §9.1).
            (Kind::Invite, Method::Cancel) => {
                let cancel = self.forks.get(user).and_then(|held| {
                    let at = held.fork.branch_of(client)?;
                    held.fork.branches[at].cancel
                });
                match cancel {
                    Some(cancel) => cancel,
                    None => return self.count(Count::StrayResponses, out),
                }
            }
            (Kind::Invite, Method::Invite) => client,
            (Kind::NonInvite, method) if method != Method::Invite => client,
            _ => return self.count(Count::StrayResponses, out),
        };
        self.count(Count::ResponsesMatched, out);
        self.hear_load(message, &asked, out);
        let status = message.status();
        self.step_client(client, ClientEvent::Response { status }, Some(message), out);
    }

    /// A response that a client transaction hands up.
    pub(crate) fn branch_answered(
        &mut self,
        client: SlotId,
        response: &Message<'_>,
        out: &mut Out,
    ) {
        let Some(slot) = self.table.client_ref(client) else {
            return;
        };
        let (fork, tag, vendor) = (slot.user(), slot.user_tag(), slot.flow());
        if !Interest::is_branch(tag) {
            return self.answered_apart(client, (fork, tag, vendor), response, out);
        }
        let at = tag as usize;
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        let branch = &held.fork.branches[at];
        let status = response.status();
        let (is_first, is_final) = (branch.state == BranchState::Calling, status >= 200);
        let (gateway, purpose, ring_ms) = (branch.gateway, held.fork.purpose, held.plan.ring_ms);
        if is_first && !is_final && ring_ms > 0 {
            self.arm_patience(client, ring_ms, out);
        }
        let mut dialog = None;
        if let Purpose::Initial { call } = purpose {
            if let Some(gateway) = gateway {
                self.gateway_spoke(gateway, status, is_first, out);
                if is_first && self.world.measures_trips() {
                    self.note_first_answer(call, at, gateway, out);
                }
            }
            if status < 300 {
                dialog = self.note_dialog(call, at, vendor, response, out);
            }
        }
        match status {
            300.. => self.branch_refused(fork, at, response, out),
            _ => self.branch_goes_well(fork, at, dialog, response, out),
        }
    }

    /// A response to what is no branch of a fork: a CANCEL, a probe, an INVITE whose fork is gone.
    #[cold]
    fn answered_apart(
        &mut self,
        client: SlotId,
        (user, tag, vendor): (SlotId, u32, FlowId),
        response: &Message<'_>,
        out: &mut Out,
    ) {
        if self.is_probe(tag) {
            return self.probe_answered(client, response.status(), out);
        }
        match Interest::of(tag) {
            // A CANCEL's answer says nothing that its INVITE's does not say better.
            Interest::Fork => self.dissolve(user, out),
            Interest::Call(at) => self.call_answered_again(user, at, vendor, response, out),
            Interest::Server => self.server_answered_again(user, vendor, response, out),
        }
    }

    /// Any response to a call's INVITE: the gateway lives.
    fn gateway_spoke(&mut self, gateway: GatewayId, status: u16, is_first: bool, out: &mut Out) {
        if is_first {
            self.health_event(gateway, HealthEvent::AttemptOk, out);
        }
        match status {
            200..300 => self.count_gateway(gateway, GatewayCell::Answered, out),
            300.. => self.count_gateway(gateway, GatewayCell::Refused, out),
            _ => {}
        }
    }

    /// The first response to an attempt: how long that took counts, if any route asks for it.
    fn note_first_answer(&mut self, call: SlotId, at: usize, gateway: GatewayId, out: &Out) {
        let attempt = self.calls.get(call).and_then(|call| call.attempts.get(at));
        if let Some(started) = attempt.map(|attempt| attempt.started) {
            self.note_trip(gateway, out.now().micros_since(started), out);
        }
    }

    /// A branch got a 1xx or a 2xx.
    fn branch_goes_well(
        &mut self,
        fork: SlotId,
        at: usize,
        dialog: Option<usize>,
        response: &Message<'_>,
        out: &mut Out,
    ) {
        let between = self.between_response(fork, at);
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        let event = match response.status() {
            status @ ..200 => Event::Provisional(status),
            status => Event::Final(status),
        };
        let step = held.fork.step(at, event, false);
        let (is_alone, answered) = (held.fork.branches.len() == 1, held.fork.answered);
        if step.forward {
            let upward = Upward {
                fork,
                kind: held.fork.kind,
                purpose: held.fork.purpose,
                source: held.fork.source,
                server: held.fork.server,
                dialog,
                between,
            };
            self.forward_response(&upward, response, out);
        }
        if step.cancel_this {
            self.cancel_branch(fork, at, out);
        }
        if step.cancel_others && !is_alone {
            self.cancel_pending(fork, Some(at), out);
        }
        if answered {
            self.dissolve(fork, out);
        }
    }

    /// The dialog that a 1xx or 2xx to a call's INVITE makes or confirms. `vendor` is the path of the
    /// INVITE. Returns which dialog of the call it is.
    pub(crate) fn note_dialog(
        &mut self,
        call: SlotId,
        at: usize,
        vendor: FlowId,
        response: &Message<'_>,
        out: &mut Out,
    ) -> Option<usize> {
        let status = response.status();
        // A 2xx always makes a dialog, if need be with the empty tag of RFC 2543 (RFC 3261 §12.1.2).
        if status == 100 || (status < 200 && response.to_tag().is_empty()) {
            return None;
        }
        let flow = &self.flows[vendor];
        let beyond = {
            let settings = &self.settings;
            proxy::beyond_us(
                response,
                |value| token_of(&self.heads, value),
                |uri| settings.is_us(uri, flow.local),
            )
        };
        let host = self.flows.host(vendor);
        let target = beyond
            .and_then(|(uri, routed)| Some((next_hop::target_of(uri, flow, host)?, routed)))
            .unwrap_or((call::Target::Peer, false));
        let tag = self.settings.keys.name(response.to_tag());
        let call = self.calls.get_mut(call)?;
        call.provisional(at, status, out.now());
        if status >= 200 {
            call.make_room(tag);
        }
        let vendor = self.flows.retain(vendor);
        let (dialog, unheld) = call.dialog(tag, at, vendor, target);
        if let Some(unheld) = unheld {
            self.flows.release(unheld);
        }
        dialog
    }

    /// Sends a response upstream at once: a 1xx or a 2xx.
    fn forward_response(&mut self, upward: &Upward, response: &Message<'_>, out: &mut Out) {
        let Some(packet) = self.compose_upstream(&upward.source, upward.between, response, out)
        else {
            return;
        };
        let status = response.status();
        if let Some(server) = upward.server
            && let Some(slot) = self.table.server_ref(server)
            && (slot.is_unanswered() || slot.is_accepted())
        {
            let by_tag = slot.key().is_rfc2543();
            self.settle(upward, response, out);
            if by_tag && status >= 200 {
                self.table.note_response_tag(server, response.to_tag());
            }
            self.step_server(server, ServerEvent::Respond { packet, status }, out);
            return;
        }
        // The INVITE was answered with a failure, or its transaction is gone: a late 2xx goes up all
        // the same (§16.7 step 5), else two phones would wait for each other.
        if upward.kind == ForkKind::Invite && status / 100 == 2 {
            self.count(Count::LateResponses, out);
            self.settle(upward, response, out);
            out.send(&upward.source, packet, 0);
        }
        out.release(packet);
    }

    /// What a response means to the call or the dialog when it goes upstream. Before it leaves: the
    /// record of an answer is older than the answer.
    fn settle(&mut self, upward: &Upward, response: &Message<'_>, out: &mut Out) {
        let status = response.status();
        match upward.purpose {
            Purpose::Initial { call } => self.call_progress(call, status, upward.dialog, out),
            Purpose::InDialog { .. } if status >= 200 => {
                self.dialog_answered(upward.fork, response, out);
            }
            Purpose::InDialog { .. } | Purpose::Other => {}
        }
    }

    /// A response as it goes upstream by this path: without our Via.
    pub(crate) fn compose_upstream(
        &mut self,
        to: &Flow,
        between: Option<Between>,
        response: &Message<'_>,
        out: &mut Out,
    ) -> Option<PacketId> {
        let is_framed = !to.transport.is_reliable() || response.content_length().is_some();
        if let Some(upstream) = Upstream::of(response).filter(|_| is_framed && between.is_none()) {
            let Some(packet) = out.packet(upstream.composed_len()) else {
                self.count(Count::PacketsFull, out);
                return None;
            };
            let len = upstream.compose(out.buffer(packet));
            out.set_len(packet, len.unwrap_or(0));
            let is_whole = response.content_length().is_some();
            self.note_fellow(packet, response.call_id(), is_whole, out);
            return Some(self.with_advice(packet, to, out));
        }
        self.edits.clear();
        sip::forward::pop_via(response, &mut self.edits);
        crate::paths::frame_body(response, to.transport, &mut self.edits);
        if let Some(between) = between {
            self.plan_crossing(response, between);
        }
        let len = self.edits.composed_len(response.bytes());
        let Some(packet) = out.packet(len) else {
            self.count(Count::PacketsFull, out);
            return None;
        };
        match self.edits.compose(response.bytes(), out.buffer(packet)) {
            Some(len) => {
                out.set_len(packet, len);
                Some(self.with_advice(packet, to, out))
            }
            None => {
                out.release(packet);
                None
            }
        }
    }
}
