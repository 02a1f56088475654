//! The router as the runtime sees it: four entries, one exit.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{ListenerId, ShardId};
use call::Event;
use shards::{Brought, Fellow, Frame, Handler, Inbound, Undelivered};
use sip::frame::{FrameError, Framing};
use sip::{
    ErrorKind, Message, Method, parse, parsed_ahead, response_route, sniff, sniff_branch,
    sniff_call_id,
};
use transaction::{ClientEvent, ServerEvent};

use crate::admission::LetIn;
use crate::counters::Count;
use crate::fellow::fellow;
use crate::mail::{Letter, Notice};
use crate::wake::Wake;
use crate::{Out, Router};

impl Router {
    /// The shard that owns a Call-ID.
    pub(crate) fn owner_of(&self, call_id: &[u8]) -> ShardId {
        self.spread.shard(call_id)
    }

    /// The owner of a request that was parsed, if it is not this shard and nobody has asked.
    #[inline]
    fn steered_wrongly(&self, message: &Message<'_>, inbound: &Inbound<'_>) -> Option<ShardId> {
        if inbound.brought != Brought::Steered {
            return None;
        }
        let owner = self.owner_of(message.call_id());
        (owner != self.shard).then_some(owner)
    }

    /// A message. One that the kernel steered is looked at as closely as any other whose it is, but
    /// after the parse, which has found what says so. `Some`: another shard's; nothing was done.
    // One copy for both entries: a second one would be laid out by whichever of them was trained less.
    #[inline(never)]
    fn read(&mut self, inbound: &Inbound<'_>, out: &mut Out) -> Option<ShardId> {
        let let_in = self.let_in(inbound, out);
        let source = match let_in {
            LetIn::Done => {
                self.idle_ahead();
                return None;
            }
            LetIn::From(source) => Some(source),
            LetIn::Unseen => None,
        };
        let (mut index, key, is_read) = self.index_of(inbound);
        let parsed = match is_read {
            true => Ok(parsed_ahead(inbound.bytes, &index)),
            false => parse(inbound.bytes, &mut index),
        };
        let elsewhere = match parsed {
            Ok(message) if message.is_request() => {
                let elsewhere = self.steered_wrongly(&message, inbound);
                if elsewhere.is_none() {
                    self.note_neighbour(&message, inbound, out);
                    let source = source.unwrap_or_else(|| self.source(inbound));
                    self.request(&message, source, key, inbound, out);
                }
                elsewhere
            }
            Ok(message) => self.response(&message, inbound, out),
            // It is answered here, and nothing is kept of it.
            Err(error) => {
                self.malformed(inbound, &mut index, error, out);
                None
            }
        };
        self.put_index(index);
        elsewhere
    }

    fn server_undelivered(&mut self, id: base::SlotId, why: Undelivered, out: &mut Out) {
        self.count(Count::SendFailed, out);
        let Some(slot) = self.table.server_ref(id) else {
            return;
        };
        let (flow, Some(packet)) = (self.flows[slot.flow()], slot.response()) else {
            return;
        };
        // The connection is gone: a new one to where the Via says, at the same host (§18.2.2).
        if why == Undelivered::Closed && flow.conn.is_some() {
            let mut index = self.take_index();
            let target = parse(out.bytes(packet), &mut index)
                .ok()
                .and_then(|response| response_route::next_hop(&response.via()))
                .filter(|target| target.ip().to_canonical() == flow.peer.ip().to_canonical());
            self.put_index(index);
            if let Some(again) = target.and_then(|target| {
                self.settings
                    .flow(flow.transport, target, Some(flow.listener))
            }) {
                out.send(&again, packet, Wake::SentByServer(id).token());
                return;
            }
        }
        self.step_server(id, ServerEvent::TransportError, out);
    }

    fn client_undelivered(&mut self, id: base::SlotId, why: Undelivered, out: &mut Out) {
        self.count(Count::SendFailed, out);
        let Some(slot) = self.table.client_ref(id) else {
            return;
        };
        let (flow, user) = (self.flows[slot.flow()], slot.user());
        if why == Undelivered::Closed
            && flow.conn.is_some()
            && let Some(packet) = slot.request()
            && let Some(again) = self.leg_again(user, &flow)
        {
            out.send(&again, packet, Wake::SentByClient(id).token());
            return;
        }
        if self.is_switched(user, id) {
            return self.back_to_udp(user, id, out);
        }
        self.step_client(id, ClientEvent::TransportError, None, out);
    }

    /// Where a side of a call can be reached when its own connection is gone.
    fn leg_again(&self, fork: base::SlotId, flow: &base::Flow) -> Option<base::Flow> {
        let call::Purpose::InDialog {
            call, dialog, from, ..
        } = self.forks.get(fork)?.fork.purpose
        else {
            return None;
        };
        match self.calls.get(call)?.target(from.other(), dialog) {
            call::Target::Address(transport, address) => {
                self.settings.flow(transport, address, Some(flow.listener))
            }
            call::Target::Peer => None,
        }
    }

    /// Whether a branch went by TCP only because it was large.
    fn is_switched(&self, fork: base::SlotId, client: base::SlotId) -> bool {
        let branch = self.forks.get(fork).and_then(|held| {
            let at = held.fork.branch_of(client)?;
            Some(held.fork.branches[at])
        });
        let gateway = branch.and_then(|branch| self.world.gateway(branch.gateway?));
        let flow = self.client_flow(client);
        match (gateway, flow) {
            (Some(gateway), Some(flow)) => gateway.transport != flow.transport,
            _ => false,
        }
    }

    /// The peer takes no TCP: the same gateway again, by UDP (RFC 3261 §18.1.1).
    fn back_to_udp(&mut self, fork: base::SlotId, client: base::SlotId, out: &mut Out) {
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        let Some(at) = held.fork.branch_of(client) else {
            return;
        };
        held.plan.udp_only = true;
        held.plan.attempts_left += 1;
        held.plan.next = held.plan.next.saturating_sub(1);
        held.fork.branches[at].state = call::BranchState::Final(503);
        held.fork.branches[at].abandoned = true;
        if let Some(id) = self.call_of(fork) {
            // The same gateway is asked again: that is one attempt for its quality.
            let call = self.calls.get_mut(id);
            if let Some(attempt) = call.and_then(|call| call.attempts.get_mut(at)) {
                attempt.measured = None;
            }
            self.attempt_over(id, at, (0, cdr::Cause::TransportError), out);
        }
        self.advance(fork, out);
        self.retire_client(client, out);
    }

    pub(crate) fn patience_over(&mut self, client: base::SlotId, out: &mut Out) {
        let Some(slot) = self.table.client_ref(client) else {
            return;
        };
        let fork = slot.user();
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        let Some(at) = held.fork.branch_of(client) else {
            return;
        };
        let event = match held.fork.branches[at].state {
            call::BranchState::Calling => Event::NoResponse,
            call::BranchState::Proceeding => Event::NoAnswer,
            call::BranchState::Final(_) => return,
        };
        self.branch_event(client, event, out);
    }

    fn show(&self, out: &Out) {
        let [calls, forks, servers, clients] = self.held();
        let page = out.stats();
        page.set(Count::CallsHeld as usize, calls as u64);
        page.set(Count::ForksHeld as usize, forks as u64);
        page.set(Count::ServersHeld as usize, servers as u64);
        page.set(Count::ClientsHeld as usize, clients as u64);
    }

    /// Counts the calls that are up, a slice of the table at a time: all of it once a second, or
    /// less often if it is so large that this would hold up the shard.
    fn audit(&mut self, out: &Out) {
        const SLICES: usize = 1_000 / shards::HOUSEKEEPING_MS as usize;
        const SLICE_MAX: usize = 4_096;
        let slice = self.calls.places().div_ceil(SLICES).clamp(1, SLICE_MAX);
        let (slice, next) = self.calls.slice(self.audit_at, slice);
        let up = slice.filter(|call| call.is_up()).count() as u64;
        self.up_so_far += up;
        self.audit_at = next;
        if next == 0 {
            out.stats().set(Count::CallsUp as usize, self.up_so_far);
            self.up_so_far = 0;
        }
    }
}

impl Handler for Router {
    type Letter = Letter;
    type Notice = Notice;
    type Snapshot = route::Snapshot;

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        if self.settings.shards == 1 {
            return None;
        }
        // A response belongs to whoever sent the request: its branch says so, and is found sooner.
        if bytes.starts_with(b"SIP/2.0 ")
            && let Some(shard) = sniff_branch(bytes).and_then(call::Keys::shard_of_branch)
            && shard.0 < self.settings.shards
        {
            return Some(shard);
        }
        sniff_call_id(bytes).map(|call_id| self.owner_of(call_id))
    }

    fn frame(&self, bytes: &[u8]) -> Frame {
        match sip::frame::frame(bytes, sip::frame::Limits::default()) {
            Framing::More => Frame::More,
            Framing::Message(len) => Frame::Message(len),
            Framing::KeepAlive { bytes, pong } => Frame::KeepAlive { bytes, pong },
            Framing::Bad(error) => Frame::Bad(error.code()),
        }
    }

    fn coalesces(&self) -> bool {
        self.world.coalesces()
    }

    fn fellow(
        &self,
        listener: ListenerId,
        peer: SocketAddr,
        bytes: &[u8],
        note: u32,
    ) -> Option<Fellow> {
        fellow(self.world.coalesce(listener, peer), bytes, note)
    }

    fn expect(&mut self, bytes: &[u8]) {
        self.read_ahead(bytes);
    }

    fn expect_none(&mut self) {
        self.forget_ahead();
    }

    fn rooms(&self, tell: &mut dyn FnMut(*const u8, usize)) {
        let calls = self.settings.calls_max;
        // A call has one request on its way at a time, and names of usual length; what there is beyond
        // comes when it is needed.
        let slots = [
            self.calls.room(calls),
            self.forks.room(calls),
            self.names
                .room(calls.saturating_mul(crate::CELLS_PER_USUAL_CALL)),
        ];
        let links = self.by_call_id.rooms();
        let all = self.table.rooms().chain(slots).chain(links);
        all.for_each(|(at, bytes)| tell(at, bytes));
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Out) {
        let elsewhere = self.read(inbound, out);
        debug_assert!(elsewhere.is_none(), "it was asked whose it is");
    }

    fn steered(&mut self, inbound: &Inbound<'_>, out: &mut Out) -> Option<ShardId> {
        self.read(inbound, out)
    }

    #[cold]
    fn unframed(&mut self, inbound: &Inbound<'_>, reason: u8, out: &mut Out) {
        self.count(Count::Malformed, out);
        let known = FrameError::from_code(reason);
        let status = known.map_or(413, FrameError::status);
        let mut index = self.take_index();
        // Best effort: what was received of the header section, if it can be answered at all.
        let _ = parse(inbound.bytes, &mut index);
        if self.source(inbound).is_known()
            && let Some(packet) = out.packet(inbound.bytes.len().min(32_768) + 512)
        {
            let reason = known
                .map_or("Message Too Large", FrameError::reason)
                .as_bytes();
            let peer = inbound.flow.peer;
            let len = sip::respond::refuse(
                inbound.bytes,
                &index,
                status,
                reason,
                peer,
                out.buffer(packet),
            );
            if let Some(len) = len {
                out.set_len(packet, len);
                out.send(&inbound.flow, packet, 0);
                self.count(Count::MalformedAnswered, out);
            }
            out.release(packet);
        }
        self.put_index(index);
    }

    #[cold]
    fn overflow(&mut self, inbound: &Inbound<'_>, _owner: ShardId, out: &mut Out) {
        // The owner cannot take it: a new INVITE is told so, the rest is dropped as a network would.
        let is_new = sniff(inbound.bytes).is_some_and(|sniffed| {
            sniffed.is_request && sniffed.method == Method::Invite && !sniffed.has_to_tag
        });
        if !is_new || !self.source(inbound).is_known() {
            return;
        }
        let mut index = self.take_index();
        if let Ok(message) = parse(inbound.bytes, &mut index) {
            self.count(Count::Requests, out);
            self.count(Count::Overload, out);
            self.refuse(&message, 503, &inbound.flow, out);
        }
        self.put_index(index);
    }

    fn letter(&mut self, _from: ShardId, letter: Letter, out: &mut Out) {
        match letter {
            Letter::Health { gateway, state } => self.adopt_health(gateway, state, out),
            Letter::RoundTrip { gateway, us } => self.note_trip(gateway, us.into(), out),
        }
    }

    fn deadline(&mut self, token: u64, out: &mut Out) {
        match Wake::read(token, self.shard) {
            Some(Wake::Server(server)) => self.server_fired(server, out),
            Some(Wake::Client(client)) => self.client_fired(client, out),
            Some(Wake::CallEnds(call)) => self.call_too_long(call, out),
            Some(Wake::Probe(client)) => self.probe_overdue(client, out),
            Some(Wake::SentByServer(_) | Wake::SentByClient(_)) | None => {}
        }
    }

    fn undelivered(&mut self, token: u64, why: Undelivered, out: &mut Out) {
        match Wake::read(token, self.shard) {
            Some(Wake::SentByServer(server)) => self.server_undelivered(server, why, out),
            Some(Wake::SentByClient(client)) => self.client_undelivered(client, why, out),
            _ => {}
        }
    }

    fn snapshot(
        &mut self,
        snapshot: Arc<route::Snapshot>,
        out: &mut Out,
    ) -> Option<Arc<route::Snapshot>> {
        self.health.follow(&self.world, &snapshot);
        self.gate.follow(&snapshot);
        self.neighbours.follow(&snapshot);
        let old = std::mem::replace(&mut self.world, snapshot);
        self.list_probes(out);
        Some(old)
    }

    fn housekeeping(&mut self, out: &mut Out) {
        if self.probes.is_empty() && !self.has_listed {
            self.has_listed = true;
            self.list_probes(out);
        }
        self.send_probes(out);
        if !self.unrecorded.is_empty() {
            self.retry_records(out);
        }
        self.tick_health(out);
        // For all shards: the sums are theirs together.
        if self.shard == ShardId(0) {
            self.gauges.windows().slide(&self.world, out.now());
        }
        self.audit(out);
        self.show(out);
        self.watch_kernel(out);
        self.show_overload(out);
        self.show_throttles(out);
    }

    fn drain(&mut self, _out: &mut Out) {
        self.is_draining = true;
    }

    fn is_idle(&self) -> bool {
        // Calls that are up do not hold the process: their records say that it stopped. What must
        // finish is every request that has been taken and not yet been answered.
        self.unrecorded.is_empty()
            && (self.is_stopped || self.forks.iter().all(|(_, held)| held.fork.answered))
    }

    fn stop(&mut self, out: &mut Out) {
        self.end_all_calls(out);
    }
}

impl Router {
    #[cold]
    fn malformed(
        &mut self,
        inbound: &Inbound<'_>,
        index: &mut sip::Index,
        error: sip::Error,
        out: &mut Out,
    ) {
        let is_noise = matches!(error.kind, ErrorKind::Empty | ErrorKind::StartLine);
        self.count(
            if is_noise {
                Count::NotSip
            } else {
                Count::Malformed
            },
            out,
        );
        if !self.source(inbound).is_known() {
            // A stranger's garbage is not answered: no amplifier, no oracle.
            self.count(Count::UnknownSource, out);
            return;
        }
        self.refuse_malformed(inbound.bytes, index, error, &inbound.flow, out);
    }
}
