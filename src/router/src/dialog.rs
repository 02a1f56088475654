//! A request inside a call: whose dialog, from whom, to where.

use std::fmt::Write;

use base::{Flow, SlotId, Transport};
use call::proxy::Routes;
use call::{Call, Effect, Keys, Purpose, Side, Target, next_hop, proxy};
use shards::Inbound;
use sip::{Message, Method, Uri, parse};

use crate::counters::Count;
use crate::local::copy;
use crate::paths::{Onward, Text};
use crate::request::{Asked, Source};
use crate::response::is_same_host;
use crate::{Out, Router};

/// A request's place in a call.
#[derive(Clone, Copy, Debug)]
struct Place {
    call: SlotId,
    dialog: usize,
    from: Side,
}

/// Why a request with a To tag is not passed on.
#[derive(Clone, Copy, Debug)]
struct NotOurs {
    status: u16,
    count: Count,
}

impl Router {
    /// A request with a To tag. It goes on only with a token of ours, in a dialog that we know, from
    /// one of its sides, to where the other side is.
    pub(crate) fn in_dialog(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        source: Source,
        key: Option<transaction::Key>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        match self.place(asked, source, inbound) {
            Ok(Some((place, onward))) if asked.routes.token.is_some() => {
                self.pass_on(message, asked, Some(place), onward, key, inbound, out);
            }
            Ok(Some((place, onward))) => {
                self.pass_on_unrouted(message, asked, place, onward, key, inbound, out);
            }
            Ok(None) => self.pass_on_lost(message, asked, key, inbound, out),
            Err(NotOurs { status, count }) => {
                self.count(count, out);
                self.refuse(message, status, &inbound.flow, out);
            }
        }
    }

    /// Passes on what came without our Record-Route: to where the dialog leads.
    #[cold]
    fn pass_on_unrouted(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        place: Place,
        onward: Flow,
        key: Option<transaction::Key>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        let mut text: Text<512> = Text::new();
        let uri = self.target_of_dialog(&asked.uri, place, onward, &mut text);
        let asked = &Asked {
            routes: Routes {
                uri: uri.unwrap_or(asked.routes.uri),
                ..asked.routes
            },
            ..*asked
        };
        self.pass_on(message, asked, Some(place), onward, key, inbound, out);
    }

    /// Where a request belongs and which path it takes; `None`: to a call of an earlier process.
    fn place(
        &self,
        asked: &Asked<'_>,
        source: Source,
        inbound: &Inbound<'_>,
    ) -> Result<Option<(Place, Flow)>, NotOurs> {
        let routes = &asked.routes;
        let no_dialog = NotOurs {
            status: 481,
            count: Count::NoDialog,
        };
        let Some(token) = routes.token else {
            return self.place_unrouted(asked, source, inbound);
        };
        let names = &asked.names;
        let Some((slot, call)) = self.call_of_token(token, names.call_id)? else {
            return Ok(None);
        };
        let (from, dialog) = call.find(names.from_tag, names.to_tag).ok_or(no_dialog)?;
        let place = Place {
            call: slot,
            dialog,
            from,
        };
        if !self.is_side(call, place, source, inbound) {
            return Err(NotOurs {
                status: 403,
                count: Count::ForeignSource,
            });
        }
        let foreign = NotOurs {
            status: 403,
            count: Count::ForeignTarget,
        };
        let next = match routes.next {
            Some(next) => &Uri::parse(next).map_err(|_| foreign)?,
            None => &asked.uri,
        };
        let (peer, target) = (
            &self.flows[call.peer(from.other(), dialog)],
            call.target(from.other(), dialog),
        );
        if !next_hop::is_allowed(next, target, peer) {
            return Err(foreign);
        }
        let onward = self.leg_flow(target, peer).ok_or(foreign)?;
        Ok(Some((place, onward)))
    }

    /// The call that a token of ours names; `None`: one of an earlier process.
    fn call_of_token(
        &self,
        token: &[u8],
        call_id: u64,
    ) -> Result<Option<(SlotId, &Call)>, NotOurs> {
        let is_its = |call: &&Call| call.call_id == call_id;
        let named = Keys::split_route(token).and_then(|(slot, mark)| {
            let call = self.calls.get(slot).filter(is_its)?;
            (call.route_mark == *mark).then_some((slot, call))
        });
        if named.is_some() {
            return Ok(named);
        }
        // In capitals, of a call that is gone, or forged.
        let slot = self.settings.keys.read_route(token, call_id);
        let slot = slot.ok_or(NotOurs {
            status: 403,
            count: Count::ForgedRoute,
        })?;
        Ok(self.calls.get(slot).filter(is_its).map(|call| (slot, call)))
    }

    /// As [`Router::place`] for a peer that does not repeat our Record-Route and sends what follows
    /// to us all the same. Its call is found by the Call-ID; it goes where that dialog leads.
    #[cold]
    fn place_unrouted(
        &self,
        asked: &Asked<'_>,
        source: Source,
        inbound: &Inbound<'_>,
    ) -> Result<Option<(Place, Flow)>, NotOurs> {
        let no_dialog = NotOurs {
            status: 481,
            count: Count::NoDialog,
        };
        let local = inbound.flow.local;
        if !self.settings.is_us(&asked.uri, local) || asked.routes.next.is_some() {
            return Err(no_dialog);
        }
        let (names, call_id) = (&asked.names, asked.names.call_id);
        let found = |at: u32| {
            let (id, call) = self.calls.at(at)?;
            let (from, dialog) = call.find(names.from_tag, names.to_tag)?;
            let place = Place {
                call: id,
                dialog,
                from,
            };
            (call.call_id == call_id && self.is_side(call, place, source, inbound))
                .then_some((place, call))
        };
        let mut known = self.by_call_id.find(call_id);
        let (place, call) = known.find_map(found).ok_or(no_dialog)?;
        let to = place.from.other();
        let peer = &self.flows[call.peer(to, place.dialog)];
        let target = call.target(to, place.dialog);
        let onward = self.leg_flow(target, peer).ok_or(no_dialog)?;
        Ok(Some((place, onward)))
    }

    /// The Request-URI that a peer would have written if it had kept the dialog's: its own user
    /// part, at the address that the dialog leads to.
    fn target_of_dialog<'t>(
        &self,
        uri: &Uri<'_>,
        place: Place,
        onward: Flow,
        text: &'t mut Text<512>,
    ) -> Option<&'t [u8]> {
        let to = place.from.other();
        let address = match self.calls.get(place.call)?.target(to, place.dialog) {
            Target::Address(_, address) => address,
            Target::Peer => onward.peer,
        };
        let user = uri.user;
        text.put(b"sip:");
        if !user.is_empty() {
            text.put(&user[..user.len().min(256)]);
            text.put(b"@");
        }
        let _ = write!(text, "{address}");
        if onward.transport != Transport::Udp {
            let _ = write!(text, ";transport={}", onward.transport.uri_name());
        }
        Some(text.as_bytes())
    }

    /// Whether a request comes from the side that its tags say: from its peer, from where its
    /// Contact is, or from another address of the same trunk or carrier.
    fn is_side(&self, call: &Call, place: Place, source: Source, inbound: &Inbound<'_>) -> bool {
        let peer = &self.flows[call.peer(place.from, place.dialog)];
        if is_same_host(&peer.peer, &inbound.flow.peer) {
            return true;
        }
        let ip = inbound.flow.peer.ip().to_canonical();
        if let Target::Address(_, address) = call.target(place.from, place.dialog)
            && address.ip() == ip
        {
            return true;
        }
        match place.from {
            Side::Caller => source.trunk == Some(call.trunk),
            Side::Callee => {
                let sender = self.gateway_at(inbound);
                let attempt = call
                    .attempts
                    .get(usize::from(call.dialogs[place.dialog].attempt));
                let carrier = |id| self.names_of_gateway(id).1;
                match (attempt.and_then(|attempt| attempt.gateway), sender) {
                    (Some(asked), Some(sender)) => {
                        asked == sender
                            || (!carrier(asked).is_empty() && carrier(asked) == carrier(sender))
                    }
                    _ => false,
                }
            }
        }
    }

    /// The path to a side: over its own connection if it has one and is still at that host, else to
    /// its target.
    fn leg_flow(&self, target: Target, peer: &Flow) -> Option<Flow> {
        match target {
            Target::Peer => Some(*peer),
            Target::Address(transport, address)
                if peer.conn.is_some()
                    && transport == peer.transport
                    && address.ip() == peer.peer.ip().to_canonical() =>
            {
                Some(*peer)
            }
            Target::Address(transport, address) => {
                self.settings.flow(transport, address, Some(peer.listener))
            }
        }
    }

    fn pass_on(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        place: Option<Place>,
        onward: Flow,
        key: Option<transaction::Key>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        let breadth = match proxy::breadth(message) {
            Ok(breadth) => breadth,
            Err(refusal) => return self.refuse(message, refusal.status(), &inbound.flow, out),
        };
        let mut onward = Onward {
            flow: onward,
            source: inbound.flow.peer,
            inner: inbound.flow.listener,
            uri: None,
            routes: &asked.routes,
            record_route: None,
            breadth,
            price: None,
            holds_channel: false,
            measured: None,
            between: match place {
                Some(place) => self.between_dialog(place.call, place.dialog, place.from),
                None => self.between_addresses(&inbound.flow, &onward),
            },
        };
        if message.method() == Method::Ack {
            // No transaction for the ACK of a 2xx: every copy goes its way (§16.11).
            let branch = self
                .settings
                .keys
                .stateless_branch(message.branch(), asked.routed);
            match self.compose_onward(message, &onward, &branch, out) {
                Some(packet) => {
                    self.count(Count::AcksPassed, out);
                    out.send(&onward.flow, packet, 0);
                    out.release(packet);
                }
                None => self.count(Count::AcksDropped, out),
            }
            return;
        }
        let Some(key) = key else { return };
        let is_invite = message.method() == Method::Invite;
        let kind = match is_invite {
            true => call::Kind::Invite,
            false => call::Kind::NonInvite,
        };
        let taken = self.admit(message, kind, asked.routed, key, &inbound.flow, out);
        let Some((server, fork)) = taken else {
            return;
        };
        if let Some(place) = place {
            let purpose = self.note_request(message, place, out);
            if let Some(held) = self.forks.get_mut(fork) {
                held.fork.purpose = purpose;
            }
        }
        if is_invite {
            self.respond_local(server, message, 100, &[], &inbound.flow, out);
        }
        if !self.send_branch(fork, message, &mut onward, None, 0, out) {
            self.finish(fork, out);
        }
    }

    /// Notes what a request inside a dialog will change.
    fn note_request(&mut self, message: &Message<'_>, place: Place, out: &mut Out) -> Purpose {
        let effect = match message.method() {
            Method::Bye => Effect::End,
            Method::Invite | Method::Update => Effect::Refresh,
            _ => Effect::None,
        };
        let Place { call, dialog, from } = place;
        if effect == Effect::End
            && let Some(call) = self.calls.get_mut(call)
        {
            call.bye(dialog, from, out.now());
            if let Some(cause) = proxy::reason_q850(message) {
                call.q850 = Some(cause);
            }
        }
        Purpose::InDialog {
            call,
            dialog,
            from,
            effect,
        }
    }

    /// A request of a call that an earlier process had: its token is ours, its call is gone. It goes
    /// where its Route leads, if that is a place that routing knows.
    #[cold]
    fn pass_on_lost(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        key: Option<transaction::Key>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        let uri = match asked.routes.next {
            Some(next) => Uri::parse(next),
            None => Ok(asked.uri),
        };
        let hop = uri.map_or(next_hop::Hop::Nowhere, |uri| next_hop::hop(&uri));
        let flow = match hop {
            next_hop::Hop::Address(transport, address)
                if self.world.is_known_address(address) && self.source(inbound).is_known() =>
            {
                let transport = transport.unwrap_or(Transport::Udp);
                self.settings
                    .flow(transport, address, Some(inbound.flow.listener))
            }
            _ => None,
        };
        match flow {
            Some(flow) => {
                self.count(Count::DialogLost, out);
                self.pass_on(message, asked, None, flow, key, inbound, out);
            }
            None => {
                self.count(Count::NoDialog, out);
                self.refuse(message, 481, &inbound.flow, out);
            }
        }
    }

    /// A request inside a dialog got its 2xx.
    pub(crate) fn dialog_answered(&mut self, fork: SlotId, response: &Message<'_>, out: &mut Out) {
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        let Purpose::InDialog {
            call,
            dialog,
            from,
            effect,
        } = held.fork.purpose
        else {
            return;
        };
        match effect {
            Effect::None => {}
            Effect::End => self.bye_answered(call, dialog, response.status(), out),
            Effect::Refresh => {
                self.refresh(call, dialog, from.other(), proxy::contact(response));
                let Some(request) = held_request(self, fork) else {
                    return;
                };
                let mut index = self.take_index();
                let bytes = copy(std::mem::take(&mut self.scratch), out.bytes(request));
                if let Ok(request) = parse(&bytes, &mut index) {
                    self.refresh(call, dialog, from, proxy::contact(&request));
                }
                self.scratch = bytes;
                self.put_index(index);
            }
        }
    }

    /// Moves the target of a side to its new Contact (RFC 3261 §12.2.1.2, §12.2.2).
    fn refresh(&mut self, call: SlotId, dialog: usize, side: Side, contact: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(call) else {
            return;
        };
        let id = call.peer(side, dialog);
        let (peer, host) = (&self.flows[id], self.flows.host(id));
        if let Some(target) = contact.and_then(|uri| next_hop::target_of(uri, peer, host)) {
            call.refresh(side, dialog, target);
        }
    }
}

fn held_request(router: &Router, fork: SlotId) -> Option<base::PacketId> {
    router.forks.get(fork)?.fork.request
}
