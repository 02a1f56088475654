//! The next candidate is tried.

use base::{GatewayId, SlotId, Transport};
use call::border::is_private_enough;
use call::token::mark_of;
use call::{Branch, Purpose, next_hop};
use cdr::Identity;
use route::{CallLimits, Moment, Number, NumberBuffer};
use sip::{HeaderId, Message, Uri, parse};
use transaction::{ClientEvent, Kind};

use crate::between::{Between, crossing};
use crate::counters::{Count, GatewayCell};
use crate::gauges::{Full, Limited};
use crate::held::Try;
use crate::initial::moment;
use crate::local::copy;
use crate::paths::{Onward, Text, uri_of};
use crate::request::{Asked, read_uri};
use crate::{Out, Router};

/// The most contacts of one 3xx that are tried.
const CONTACTS_MAX: usize = 8;

/// What a request to be tried asks for, and the number that was dialled, if it is one.
pub(crate) struct Dialled<'a> {
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) number: Option<Number<'a>>,
}

impl Dialled<'_> {
    fn digits(&self) -> &[u8] {
        self.number.as_ref().map_or(&[], Number::digits)
    }
}

impl Router {
    /// Goes on to the next candidate, from the kept copy of the request.
    pub(crate) fn advance(&mut self, fork: SlotId, out: &mut Out) {
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        let Some(request) = held.fork.request else {
            return;
        };
        let (local, routed) = (held.fork.source.local, held.plan.routed);
        let mut index = self.take_index();
        // Not the shared scratch: what follows composes from other packets.
        let bytes = copy(std::mem::take(&mut self.kept_text), out.bytes(request));
        self.count(Count::Advances, out);
        if let Ok(message) = parse(&bytes, &mut index)
            && let Ok(routes) = self.routes(&message, local)
            && let Ok(uri) = read_uri(&message, &routes)
        {
            let mut buffer = NumberBuffer::new();
            let trunk = self.trunk_of(fork);
            let number = trunk.and_then(|it| self.world.number(it, &uri, &mut buffer).ok());
            let asked = &Asked {
                routes,
                uri,
                names: self.settings.keys.names(&message),
                routed,
            };
            self.launch(fork, &message, &Dialled { asked, number }, out);
        }
        self.kept_text = bytes;
        self.put_index(index);
    }

    /// Tries the next candidate (or all of them, in a parallel plan); finishes if there is none.
    pub(crate) fn launch(
        &mut self,
        fork: SlotId,
        message: &Message<'_>,
        dialled: &Dialled<'_>,
        out: &mut Out,
    ) {
        let mut sent = 0;
        while let Some(next) = self.next_try(fork, out) {
            if self.attempt(fork, message, dialled, next, out) {
                sent += 1;
                if self
                    .forks
                    .get(fork)
                    .is_none_or(|held| !held.plan.is_parallel)
                {
                    return;
                }
            }
        }
        if sent == 0 {
            self.finish(fork, out);
        }
    }

    /// Takes the next candidate off the plan.
    fn next_try(&mut self, fork: SlotId, out: &mut Out) -> Option<Try> {
        if let Some(next) = self.next_contact(fork, out) {
            return Some(next);
        }
        let plan = &mut self.forks.get_mut(fork)?.plan;
        if plan.attempts_left == 0 || out.now() > plan.until {
            return None;
        }
        let (at, gateway) = plan.candidates.next_to_try(plan.next)?;
        plan.next = at + 1;
        plan.attempts_left -= 1;
        Some(Try::Gateway(gateway))
    }

    /// The next contact of the kept 3xx that leads to a gateway of ours.
    fn next_contact(&mut self, fork: SlotId, out: &mut Out) -> Option<Try> {
        let redirect = self.forks.get(fork)?.plan.redirect?;
        let mut index = self.take_index();
        let mut found = None;
        let mut next = redirect.next;
        let now = moment(out.wall());
        if let Ok(message) = parse(out.bytes(redirect.packet), &mut index) {
            for value in message
                .values(HeaderId::Contact)
                .take(CONTACTS_MAX)
                .skip(redirect.next)
            {
                next += 1;
                let uri = uri_of(value.bytes).and_then(|uri| Uri::parse(uri).ok());
                let gateway = uri.and_then(|uri| match next_hop::hop(&uri) {
                    next_hop::Hop::Address(transport, address) => self
                        .world
                        .egress(address, transport.unwrap_or(Transport::Udp)),
                    next_hop::Hop::Name | next_hop::Hop::Nowhere => None,
                });
                match gateway.filter(|&gateway| self.may_follow(fork, gateway, now)) {
                    Some(gateway) => {
                        found = Some(Try::Contact(gateway, next - 1));
                        break;
                    }
                    None => self.count(Count::RedirectsRefused, out),
                }
            }
        }
        self.put_index(index);
        let plan = &mut self.forks.get_mut(fork)?.plan;
        let spent = plan.attempts_left == 0 || found.is_none();
        match spent {
            true => {
                plan.redirect = None;
                out.release(redirect.packet);
                None
            }
            false => {
                plan.attempts_left -= 1;
                plan.redirect = Some(crate::held::Redirect { next, ..redirect });
                self.count(Count::Redirects, out);
                found
            }
        }
    }

    /// Whether the prices of a call and what its trunk may allow a gateway that a 3xx names.
    fn may_follow(&mut self, fork: SlotId, gateway: GatewayId, at: Moment) -> bool {
        let Some(held) = self.forks.get(fork) else {
            return false;
        };
        if !self.world.may_follow(&held.plan.candidates, gateway) {
            return false;
        }
        let call = self.call_of(fork).and_then(|call| self.calls.get(call));
        let Some((trunk, names)) = call.and_then(|call| Some((call.trunk, call.identity?))) else {
            return true;
        };
        let mut text = std::mem::take(&mut self.record_text);
        text.clear();
        self.names.read(names, &mut text);
        let called = Identity::read(&text).called;
        let may_go = self.world.may_go(trunk, gateway, called, at);
        self.record_text = text;
        may_go
    }

    /// The Request-URI for a try, in `text`; `false` if it stays as it is.
    fn target_uri(
        &mut self,
        fork: SlotId,
        dialled: &Dialled<'_>,
        next: Try,
        text: &mut Vec<u8>,
        out: &mut Out,
    ) -> bool {
        let Some(held) = self.forks.get(fork) else {
            return false;
        };
        if held.plan.by_route {
            return false;
        }
        match next {
            Try::Contact(_, at) => {
                let Some(redirect) = held.plan.redirect else {
                    return false;
                };
                let mut index = self.take_index();
                let mut found = false;
                if let Ok(message) = parse(out.bytes(redirect.packet), &mut index)
                    && let Some(value) = message.values(HeaderId::Contact).nth(at)
                    && let Some(uri) = uri_of(value.bytes)
                {
                    // Headers in a Contact are not ours to obey: the request is the caller's.
                    let end = uri
                        .iter()
                        .position(|&byte| byte == b'?')
                        .unwrap_or(uri.len());
                    text.extend_from_slice(&uri[..end]);
                    found = true;
                }
                self.put_index(index);
                found
            }
            Try::Gateway(gateway) => {
                let Some(number) = dialled.number else {
                    return false;
                };
                let Some(gateway) = self.world.gateway(gateway) else {
                    return false;
                };
                let uri = &dialled.asked.uri;
                // A name that is not ours was never for us to change (RFC 3261 §16.6 step 2).
                if number.is_raw() && !self.settings.is_us(uri, held.fork.source.local) {
                    return false;
                }
                gateway.write_uri(&number, uri, text)
            }
        }
    }

    /// The trunk that a fork's request came in by.
    pub(crate) fn trunk_of(&self, fork: SlotId) -> Option<base::TrunkId> {
        let fork = &self.forks.get(fork)?.fork;
        match fork.purpose {
            Purpose::Initial { call } | Purpose::InDialog { call, .. } => {
                self.calls.get(call).map(|call| call.trunk)
            }
            Purpose::Other => self.world.ingress(fork.source.peer, fork.source.transport),
        }
    }

    /// Sends the request to one target. `false`: it could not even be written or sent.
    fn attempt(
        &mut self,
        fork: SlotId,
        message: &Message<'_>,
        dialled: &Dialled<'_>,
        next: Try,
        out: &mut Out,
    ) -> bool {
        let (Try::Gateway(id) | Try::Contact(id, _)) = next;
        let Some(gateway) = self.world.gateway(id) else {
            return false;
        };
        let (transport, address, listener) = (gateway.transport, gateway.address, gateway.listener);
        let Some(flow) = self.settings.flow(transport, address, listener) else {
            return false;
        };
        let (patience_ms, limits) = (gateway.no_response_ms, gateway.limits);
        let between = self.between_attempt(fork, id);
        if between.is_some_and(|between| self.is_too_open(fork, between, message, out)) {
            return false;
        }
        if self.is_throttled(id, &address, message, out) {
            if let Some(held) = self.forks.get_mut(fork) {
                // It was not asked: that is no attempt.
                held.plan.attempts_left += 1;
            }
            return false;
        }
        let Ok(holds_channel) = self.take_gateway(fork, id, limits, dialled, out) else {
            return false;
        };
        // Only a call is paid for, and only a call holds a channel.
        let number = dialled.number.filter(|_| holds_channel);
        let price = number.and_then(|number| self.world.price(id, &number, moment(out.wall())));
        let Some(held) = self.forks.get(fork) else {
            return false;
        };
        let (source, inner) = (held.fork.source.peer, held.fork.source.listener);
        let breadth = held.plan.breadth;
        let measure = held.plan.candidates.measure.filter(|_| holds_channel);
        let measured = self.measured(measure, id, out);
        let mut text = std::mem::take(&mut self.uri_text);
        text.clear();
        let changes = self.target_uri(fork, dialled, next, &mut text, out);
        let sent = self.send_branch(
            fork,
            message,
            &mut Onward {
                flow,
                source,
                inner,
                uri: changes.then_some(&text[..]),
                routes: &dialled.asked.routes,
                record_route: self.call_of(fork),
                breadth,
                price,
                holds_channel,
                between,
                measured,
            },
            Some(id),
            patience_ms,
            out,
        );
        self.uri_text = text;
        if !sent && holds_channel {
            self.give_gateway(fork, id);
        }
        sent
    }

    /// Whether a gateway may not be asked because the caller insists on more privacy than it would have
    /// there (RFC 3323 §5). That is no attempt.
    #[cold]
    fn is_too_open(
        &mut self,
        fork: SlotId,
        between: Between,
        message: &Message<'_>,
        out: &mut Out,
    ) -> bool {
        if is_private_enough(message, crossing(&self.world, between).to) {
            return false;
        }
        self.count(Count::PrivacyRefused, out);
        if let Some(held) = self.forks.get_mut(fork) {
            held.plan.attempts_left += 1;
            held.plan.refusal = 500;
        }
        true
    }

    /// Takes a channel of a gateway for an attempt of a call, and says whether there is one to give
    /// back. Without one the gateway is not asked: that is no attempt.
    fn take_gateway(
        &mut self,
        fork: SlotId,
        gateway: GatewayId,
        limits: CallLimits,
        dialled: &Dialled<'_>,
        out: &Out,
    ) -> Result<bool, Full> {
        if self.call_of(fork).is_none() {
            return Ok(false);
        }
        let whose = Limited::Gateway(gateway);
        let taken = self.gauges.take(self.shard, whose, limits, out.now());
        if let Err(full) = taken {
            let count = match full {
                Full::Calls | Full::Window => Count::GatewayFull,
                Full::Rate => Count::GatewayFast,
            };
            self.count(count, out);
            self.count_gateway(gateway, GatewayCell::Full, out);
            if let Some(held) = self.forks.get_mut(fork) {
                held.plan.attempts_left += 1;
            }
        }
        taken?;
        if self.world.has_caps() && !self.take_gateway_caps(fork, gateway, dialled.digits(), out) {
            self.give_channel(Some(gateway));
            return Err(Full::Window);
        }
        Ok(true)
    }

    /// Gives back what an attempt took that was not made after all.
    fn give_gateway(&mut self, fork: SlotId, gateway: GatewayId) {
        self.give_channel(Some(gateway));
        if let Some(call) = self.call_of(fork) {
            let next = self.calls.get(call).map_or(0, |call| call.attempts.len());
            self.give_caps_of_attempt(call, next);
        }
    }

    /// The call that a fork sets up.
    pub(crate) fn call_of(&self, fork: SlotId) -> Option<SlotId> {
        match self.forks.get(fork)?.fork.purpose {
            Purpose::Initial { call } => Some(call),
            Purpose::InDialog { .. } | Purpose::Other => None,
        }
    }

    /// Makes a branch of a fork: a client transaction, its packet, its patience. `onward.flow`
    /// changes if the request is too large for UDP.
    pub(crate) fn send_branch(
        &mut self,
        fork: SlotId,
        message: &Message<'_>,
        onward: &mut Onward<'_>,
        gateway: Option<GatewayId>,
        patience_ms: u32,
        out: &mut Out,
    ) -> bool {
        let Some(held) = self.forks.get(fork) else {
            return false;
        };
        let (at, routed, may_switch) = (
            held.fork.branches.len(),
            held.plan.routed,
            !held.plan.udp_only,
        );
        let kind = match held.fork.kind {
            call::Kind::Invite => Kind::Invite,
            call::Kind::NonInvite => Kind::NonInvite,
        };
        if may_switch && let Some(stream) = self.stream_instead(message, onward) {
            onward.flow = stream;
        }
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let Some(client) = self.insert_client(kind, &onward.flow, fork, number) else {
            self.count(Count::TransactionsFull, out);
            return false;
        };
        let branch = self.settings.keys.branch(client, routed);
        self.table.mark_client(client, mark_of(&branch));
        let offered = self.offer_feedback(&branch, &onward.flow.peer);
        let text = offered.as_ref().map_or(&branch[..], Text::as_bytes);
        let Some(packet) = self.compose_onward(message, onward, text, out) else {
            // Never started: the slot holds nothing but its path.
            if let Some(retired) = self.table.retire_client(client) {
                self.give_back(&retired, out);
            }
            return false;
        };
        let mut entry = Branch::new(gateway);
        entry.client = Some(client);
        let Some(held) = self.forks.get_mut(fork) else {
            return false;
        };
        held.fork.branches.push(entry);
        held.fork.users += 1;
        self.note_attempt(fork, gateway, onward, out);
        if gateway.is_none() {
            self.count_in_dialog(&onward.flow.peer, out);
        }
        self.step_client(client, ClientEvent::Start { packet }, None, out);
        if patience_ms > 0 && kind == Kind::Invite {
            self.arm_patience(client, patience_ms, out);
        }
        true
    }

    fn note_attempt(
        &mut self,
        fork: SlotId,
        gateway: Option<GatewayId>,
        onward: &Onward<'_>,
        out: &mut Out,
    ) {
        let Some(call) = self.call_of(fork) else {
            return;
        };
        self.count(Count::Attempts, out);
        if let Some(gateway) = gateway {
            self.count_gateway(gateway, GatewayCell::Attempts, out);
        }
        if let Some(call) = self.calls.get_mut(call) {
            let sent_to = (onward.flow.transport, onward.flow.peer);
            let at = call.attempt(gateway, sent_to, out.now(), &mut self.spares);
            call.attempts[at].bought = onward.price;
            call.attempts[at].holds_channel = onward.holds_channel;
            call.attempts[at].measured = onward.measured;
        }
    }
}
