//! A branch fails, or is to be cancelled: keep its answer, cancel, go on, finish.

use base::{PacketId, SlotId, Time};
use call::{Best, Branch, BranchState, Effect, Event, Next, Purpose, Step, proxy};
use cdr::{Cause, Party};
use route::HealthEvent;
use sip::{Message, parse};
use transaction::{ClientEvent, Kind, ServerEvent};

use crate::accepted::Interest;
use crate::counters::{Count, GatewayCell};
use crate::held::Redirect;
use crate::local::copy;
use crate::{Out, Router};

/// Which user tag of a client transaction says that it is a CANCEL.
pub(crate) const CANCEL_TAG: u32 = 1 << 31;

impl Router {
    /// A branch was refused, or redirected: what the call learns of it, and what comes next.
    #[cold]
    pub(crate) fn branch_refused(
        &mut self,
        fork: SlotId,
        at: usize,
        response: &Message<'_>,
        out: &mut Out,
    ) {
        let status = response.status();
        self.end_attempt(fork, at, (status, call::verdict::cause_of(status)), out);
        if let Some(call) = self.call_of(fork).and_then(|call| self.calls.get_mut(call))
            && let Some(attempt) = call.attempts.get_mut(at)
        {
            attempt.q850 = proxy::reason_q850(response);
        }
        if status / 100 == 3 {
            self.note_redirect(fork, at, response, out);
        }
        let advances = self.advances(fork, status, out.now());
        let step = match self.forks.get_mut(fork) {
            Some(held) => held.fork.step(at, Event::Final(status), advances),
            None => return,
        };
        self.carry_out(fork, at, step, Some(response), out);
    }

    /// Something happened to a branch other than a response.
    pub(crate) fn branch_event(&mut self, client: SlotId, event: Event, out: &mut Out) {
        let Some(slot) = self.table.client_ref(client) else {
            return;
        };
        let (fork, tag) = (slot.user(), slot.user_tag());
        if self.is_probe(tag) {
            return self.probe_failed(client, out);
        }
        if Interest::of(tag) != Interest::Fork {
            return;
        }
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        let Some(at) = held.fork.branch_of(client) else {
            return;
        };
        let branch = held.fork.branches[at];
        let event = match event {
            Event::TimedOut if branch.wants_cancel => Event::CancelLost,
            event => event,
        };
        let cause = match event {
            Event::Failed => Cause::TransportError,
            Event::CancelLost => Cause::Cancelled,
            Event::NoAnswer => Cause::NoAnswer,
            _ if branch.state == BranchState::Proceeding => Cause::NoAnswer,
            _ => Cause::NoResponse,
        };
        if branch.is_pending() && !branch.abandoned {
            self.count(Count::TimedOut, out);
            self.branch_was_silent(fork, at, cause, out);
            self.end_attempt(fork, at, (0, cause), out);
        }
        let advances = self.forks.get(fork).is_some_and(|held| {
            let table = &held.plan.advance;
            let allowed = match cause {
                Cause::NoAnswer => table.advances_on_no_answer(),
                Cause::TransportError => table.advances_on_timeout() || table.advances(503),
                _ => table.advances_on_timeout(),
            };
            allowed && held.plan.has_next(out.now())
        });
        let step = match self.forks.get_mut(fork) {
            Some(held) => held.fork.step(at, event, advances),
            None => return,
        };
        self.carry_out(fork, at, step, None, out);
    }

    /// Whether the plan goes on after this status and has somebody left.
    fn advances(&self, fork: SlotId, status: u16, now: Time) -> bool {
        let Some(held) = self.forks.get(fork) else {
            return false;
        };
        let plan = &held.plan;
        let redirected = status / 100 == 3 && plan.redirect.is_some();
        plan.has_next(now) && (redirected || plan.advance.advances(status))
    }

    /// Keeps a 3xx whose contacts may be tried.
    fn note_redirect(&mut self, fork: SlotId, at: usize, response: &Message<'_>, out: &mut Out) {
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        let plan = &mut held.plan;
        if !plan.follows_redirects || plan.redirect.is_some() || plan.attempts_left == 0 {
            return;
        }
        if let Some(packet) = keep(response.bytes(), out) {
            plan.redirect = Some(Redirect { packet, next: 0 });
        }
        self.end_attempt(fork, at, (response.status(), Cause::Redirected), out);
    }

    /// Does what a step of the fork says about a branch that failed, in its order.
    fn carry_out(
        &mut self,
        fork: SlotId,
        at: usize,
        step: Step,
        response: Option<&Message<'_>>,
        out: &mut Out,
    ) {
        if let Some(status) = step.keep {
            self.keep_best((fork, at), status, response, out);
        }
        if step.cancel_this {
            self.cancel_branch(fork, at, out);
        }
        if step.cancel_others {
            self.cancel_pending(fork, Some(at), out);
        }
        match step.next {
            Next::Wait => {}
            Next::Advance => self.advance(fork, out),
            Next::Finish => self.finish(fork, out),
        }
        self.dissolve(fork, out);
    }

    /// Remembers the best response: a peer's as it would go upstream, ours by its status.
    fn keep_best(
        &mut self,
        (fork, at): (SlotId, usize),
        status: u16,
        response: Option<&Message<'_>>,
        out: &mut Out,
    ) {
        let between = self.between_response(fork, at);
        let source = self.forks.get(fork).map(|held| held.fork.source);
        let packet = response
            .zip(source)
            .and_then(|(response, source)| self.compose_upstream(&source, between, response, out));
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        let old = held.fork.best.replace(Best { status, packet });
        let Some(old_packet) = old.and_then(|best| best.packet) else {
            return;
        };
        // §16.7 step 7: all challenges go upstream together, not only the last one's.
        let both = [status, old.map_or(0, |best| best.status)];
        if both.iter().all(|status| matches!(status, 401 | 407)) {
            self.add_challenges(fork, old_packet, out);
        }
        out.release(old_packet);
    }

    /// Adds the challenges of a replaced 401 or 407 to the best response.
    #[cold]
    fn add_challenges(&mut self, fork: SlotId, old: PacketId, out: &mut Out) {
        let Some(best) = self.forks.get(fork).and_then(|held| held.fork.best) else {
            return;
        };
        let Some(new) = best.packet else { return };
        let (mut first, mut second) = (self.take_index(), self.take_index());
        let (old_bytes, new_bytes) = (out.bytes(old).to_vec(), out.bytes(new).to_vec());
        if let (Ok(old), Ok(message)) = (
            parse(&old_bytes, &mut first),
            parse(&new_bytes, &mut second),
        ) {
            self.edits.clear();
            for name in [&b"WWW-Authenticate"[..], b"Proxy-Authenticate"] {
                for line in old.lines_named(name) {
                    sip::forward::add_header(&message, name, line.value, &mut self.edits);
                }
            }
            let len = self.edits.composed_len(message.bytes());
            let packet = out.packet(len);
            let len = packet.and_then(|it| self.edits.compose(message.bytes(), out.buffer(it)));
            match (packet, len, self.forks.get_mut(fork)) {
                (Some(packet), Some(len), Some(held)) => {
                    out.set_len(packet, len);
                    held.fork.best = Some(Best {
                        packet: Some(packet),
                        ..best
                    });
                    out.release(new);
                }
                // The last challenge alone goes upstream.
                (Some(packet), ..) => out.release(packet),
                (None, ..) => {}
            }
        }
        self.put_index(first);
        self.put_index(second);
    }

    /// The best response goes upstream: nobody is left to try or to wait for.
    pub(crate) fn finish(&mut self, fork: SlotId, out: &mut Out) {
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        if held.fork.answered {
            return;
        }
        held.fork.answered = true;
        let Best { status, packet } = match held.fork.branches.is_empty() {
            // Not even one attempt could be made.
            true => Best {
                status: held.plan.refusal,
                packet: None,
            },
            false => held.fork.verdict(),
        };
        let silent = held.fork.kind == call::Kind::NonInvite && status == 408;
        let (server, cancelled) = (held.fork.server, held.fork.cancelled);
        if packet.is_some() {
            held.fork.best = None;
        }
        self.finished(fork, status, cancelled, out);
        let Some(server) = server else {
            if let Some(packet) = packet {
                out.release(packet);
            }
            return;
        };
        match packet {
            // RFC 4320 §4.2: no 408 to a request other than INVITE; its sender has timed out too.
            _ if silent => {
                if let Some(packet) = packet {
                    out.release(packet);
                }
                self.step_server(server, ServerEvent::Abandon, out);
            }
            Some(packet) => {
                self.note_tag(server, packet, out);
                self.step_server(server, ServerEvent::Respond { packet, status }, out);
            }
            None => self.respond_kept(fork, status, out),
        }
        self.drop_request(fork, out);
        self.dissolve(fork, out);
    }

    /// The kept request has served: a fork that has answered needs it no more.
    fn drop_request(&mut self, fork: SlotId, out: &mut Out) {
        if let Some(request) = self
            .forks
            .get_mut(fork)
            .and_then(|held| held.fork.request.take())
        {
            out.release(request);
        }
    }

    /// Tells the server transaction by which tag an RFC 2543 ACK will come.
    fn note_tag(&mut self, server: SlotId, packet: PacketId, out: &mut Out) {
        let mut index = self.take_index();
        if let Ok(response) = parse(out.bytes(packet), &mut index) {
            self.table.note_response_tag(server, response.to_tag());
        }
        self.put_index(index);
    }

    /// The caller gave up (§16.10): every pending branch is cancelled, nobody else is tried.
    pub(crate) fn caller_gave_up(&mut self, fork: SlotId, cancel: &Message<'_>, out: &mut Out) {
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        if held.fork.answered || held.fork.kind != call::Kind::Invite {
            return;
        }
        held.fork.cancel();
        if let Some(call) = self.call_of(fork).and_then(|call| self.calls.get_mut(call)) {
            call.q850 = proxy::reason_q850(cancel);
        }
        self.cancel_pending(fork, None, out);
        let done = self.forks.get(fork).is_some_and(|held| {
            !held
                .fork
                .branches
                .iter()
                .any(|branch| branch.is_pending() && !branch.abandoned)
        });
        if done {
            self.finish(fork, out);
        }
    }

    /// Cancels all pending branches but one.
    pub(crate) fn cancel_pending(&mut self, fork: SlotId, but: Option<usize>, out: &mut Out) {
        let mut at = 0;
        while let Some(branch) = self
            .forks
            .get(fork)
            .and_then(|held| held.fork.branches.get(at))
        {
            if Some(at) != but && branch.is_pending() {
                self.cancel_branch(fork, at, out);
            }
            at += 1;
        }
    }

    /// Sends a CANCEL for a branch, or notes that it is wanted as soon as it may be (§9.1).
    pub(crate) fn cancel_branch(&mut self, fork: SlotId, at: usize, out: &mut Out) {
        let Some(held) = self.forks.get_mut(fork) else {
            return;
        };
        let kind = held.fork.kind;
        let branch = &mut held.fork.branches[at];
        branch.wants_cancel = true;
        if let Some(timers) = branch.client.and_then(|id| self.table.client_timers(id)) {
            timers.disarm(transaction::Place::Patience);
        }
        let Branch {
            client: Some(client),
            cancel: None,
            ..
        } = *branch
        else {
            return;
        };
        let Some(slot) = self.table.client_ref(client) else {
            return;
        };
        if kind != call::Kind::Invite || !slot.got_provisional() || !slot.is_pending() {
            return;
        }
        let (flow, Some(request)) = (slot.flow(), slot.request()) else {
            return;
        };
        let mut index = self.take_index();
        let bytes = std::mem::take(&mut self.scratch);
        let bytes = copy(bytes, out.bytes(request));
        let mut packet = None;
        if let Ok(invite) = parse(&bytes, &mut index) {
            packet = out.packet(invite.section_end() + 64);
            if let Some(made) = packet {
                match sip::derive::cancel(&invite, out.buffer(made)) {
                    Some(len) => out.set_len(made, len),
                    None => {
                        out.release(made);
                        packet = None;
                    }
                }
            }
        }
        self.scratch = bytes;
        self.put_index(index);
        if let Some(packet) = packet {
            self.send_cancel(fork, at, client, flow, packet, out);
        }
    }

    fn send_cancel(
        &mut self,
        fork: SlotId,
        at: usize,
        client: SlotId,
        flow: base::FlowId,
        packet: PacketId,
        out: &mut Out,
    ) {
        let tag = CANCEL_TAG | u32::try_from(at).unwrap_or(0);
        let path = (self.flows.retain(flow), self.flows[flow].transport);
        let Some(cancel) = self.table.insert_client(Kind::NonInvite, path, fork, tag) else {
            self.flows.release(flow);
            self.count(Count::TransactionsFull, out);
            return out.release(packet);
        };
        if let Some(held) = self.forks.get_mut(fork) {
            held.fork.branches[at].cancel = Some(cancel);
            held.fork.users += 1;
        }
        self.step_client(cancel, ClientEvent::Start { packet }, None, out);
        // From now on the INVITE must end within 64*T1.
        self.step_client(client, ClientEvent::Cancel, None, out);
    }

    fn branch_was_silent(&mut self, fork: SlotId, at: usize, cause: Cause, out: &mut Out) {
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        let Some(gateway) = held.fork.branches[at].gateway else {
            return;
        };
        let event = match cause {
            Cause::NoResponse => HealthEvent::AttemptTimedOut,
            Cause::TransportError => HealthEvent::TransportError,
            _ => return,
        };
        self.count_gateway(gateway, GatewayCell::TimedOut, out);
        self.health_event(gateway, event, out);
    }

    /// A fork ends without a 2xx.
    fn finished(&mut self, fork: SlotId, status: u16, cancelled: bool, out: &mut Out) {
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        let tried = !held.fork.branches.is_empty();
        match held.fork.purpose {
            Purpose::Initial { call } => {
                let (by, cause) = match (cancelled, tried) {
                    (true, _) => (Party::Caller, Cause::Cancelled),
                    (false, false) => (Party::Router, Cause::NoGateway),
                    (false, true) => self.failure_of(call, status),
                };
                self.call_refused(call, status, by, cause, out);
            }
            Purpose::InDialog {
                call,
                dialog,
                effect: Effect::End,
                ..
            } => {
                self.bye_answered(call, dialog, status, out);
            }
            Purpose::InDialog { .. } => {}
            Purpose::Other => {}
        }
    }

    /// Who ended a call that was refused: the gateway that said so, or our own patience.
    fn failure_of(&self, call: SlotId, status: u16) -> (Party, Cause) {
        let last = self
            .calls
            .get(call)
            .and_then(|call| call.attempts.last().copied());
        match last.and_then(|attempt| attempt.ended()) {
            Some((_, cause @ (Cause::NoResponse | Cause::NoAnswer | Cause::TransportError))) => {
                (Party::Router, cause)
            }
            _ => (Party::Callee, call::verdict::cause_of(status)),
        }
    }
}

/// A copy of a message in a packet of its own.
fn keep(bytes: &[u8], out: &mut Out) -> Option<PacketId> {
    let packet = out.packet(bytes.len())?;
    out.buffer(packet)[..bytes.len()].copy_from_slice(bytes);
    out.set_len(packet, bytes.len());
    Some(packet)
}
