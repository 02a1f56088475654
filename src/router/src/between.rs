//! Between whom a message goes: which of them has a border that not everything may cross.
//!
//! In a call the peers are known by its trunk and its attempt; else by their addresses. A world in
//! which nobody has a border is asked once a message and no more.

use std::net::SocketAddr;

use base::{Flow, GatewayId, SlotId, Transport, TrunkId};
use call::border::{Calling, Crossing};
use call::{Purpose, Side};
use cdr::Identity;
use route::{Border, Role, Snapshot};
use sip::Message;

use crate::Router;

/// The peers that a message goes between, where one of them has a border.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Between {
    from: Option<Peer>,
    to: Option<Peer>,
    /// The call, if its gateway wants the number of who calls written in its own way.
    renumbered: Option<SlotId>,
}

/// A peer as a message's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    Trunk(TrunkId),
    Gateway(GatewayId),
}

/// What may go between two peers. The number of who calls is not brought back here.
pub(crate) fn crossing(world: &Snapshot, between: Between) -> Crossing<'_> {
    let is_written = between.renumbered.is_some() && is_gateway(between.to);
    Crossing {
        from: match between.from {
            Some(Peer::Trunk(id)) if is_written => {
                world.trunk(id).map(|trunk| trunk.border_of_caller())
            }
            from => border(world, from),
        },
        to: border(world, between.to),
        calling: is_written.then_some(Calling::Written),
    }
}

fn border(world: &Snapshot, peer: Option<Peer>) -> Option<Border<'_>> {
    match peer? {
        Peer::Trunk(id) => world.trunk(id)?.border(),
        Peer::Gateway(id) => world.gateway(id)?.border(),
    }
}

impl Router {
    /// Plans what changes in a message that goes between two peers.
    pub(crate) fn plan_crossing(&mut self, message: &Message<'_>, between: Between) {
        let mut crossing = crossing(&self.world, between);
        let Some(call) = between.renumbered.filter(|_| !is_gateway(between.to)) else {
            return crossing.plan(message, &mut self.edits);
        };
        // What the caller wrote is kept with the call.
        let mut text = std::mem::take(&mut self.record_text);
        text.clear();
        if let Some(names) = self.calls.get(call).and_then(|call| call.identity) {
            self.names.read(names, &mut text);
        }
        crossing.calling = Some(Calling::Restored(Identity::read(&text).from_uri));
        crossing.plan(message, &mut self.edits);
        self.record_text = text;
    }

    /// Of a fork's request to a gateway.
    #[inline]
    pub(crate) fn between_attempt(&self, fork: SlotId, gateway: GatewayId) -> Option<Between> {
        if !self.world.has_borders() {
            return None;
        }
        let trunk = self.trunk_of(fork).map(Peer::Trunk);
        self.between(trunk, Some(Peer::Gateway(gateway)), self.call_of(fork))
    }

    /// Of a response to a fork's request to one of its targets.
    #[inline]
    pub(crate) fn between_response(&self, fork: SlotId, branch: usize) -> Option<Between> {
        match self.world.has_borders() {
            true => self.between_branch(fork, branch),
            false => None,
        }
    }

    #[cold]
    fn between_branch(&self, fork: SlotId, branch: usize) -> Option<Between> {
        let held = self.forks.get(fork)?;
        let branch_of = held.fork.branches.get(branch)?;
        match held.fork.purpose {
            Purpose::Initial { call } if self.calls.get(call).is_some() => {
                self.between_call(call, Some(branch), Side::Callee)
            }
            Purpose::InDialog {
                call, dialog, from, ..
            } if self.calls.get(call).is_some() => self.between_dialog(call, dialog, from.other()),
            // The call is over, or of an earlier process: who answers is whom its path leads to.
            _ => {
                let client = self.table.client_ref(branch_of.client?)?;
                self.between_addresses(&self.flows[client.flow()], &held.fork.source)
            }
        }
    }

    /// Of a message of a dialog, from this side of it.
    pub(crate) fn between_dialog(
        &self,
        call: SlotId,
        dialog: usize,
        from: Side,
    ) -> Option<Between> {
        if !self.world.has_borders() {
            return None;
        }
        let dialog = self.calls.get(call)?.dialogs.get(dialog)?;
        self.between_call(call, Some(usize::from(dialog.attempt)), from)
    }

    /// Of a message of a call and one of its attempts, from this side.
    pub(crate) fn between_call(
        &self,
        call: SlotId,
        attempt: Option<usize>,
        from: Side,
    ) -> Option<Between> {
        if !self.world.has_borders() {
            return None;
        }
        let id = call;
        let call = self.calls.get(id)?;
        let attempt = attempt.and_then(|at| call.attempts.get(at));
        let gateway = attempt.and_then(|attempt| attempt.gateway);
        let (trunk, gateway) = (Some(Peer::Trunk(call.trunk)), gateway.map(Peer::Gateway));
        match from {
            Side::Caller => self.between(trunk, gateway, Some(id)),
            Side::Callee => self.between(gateway, trunk, Some(id)),
        }
    }

    /// Of a message of no call that is known, by the addresses of its ends. Whoever is both, a trunk
    /// and a gateway, gets it as the other than who sent it is.
    pub(crate) fn between_addresses(&self, from: &Flow, to: &Flow) -> Option<Between> {
        if !self.world.has_borders() {
            return None;
        }
        let trunk = |flow: &Flow| self.trunk_at(flow.peer, flow.transport);
        let gateway = |flow: &Flow| {
            let found = self.world.egress(flow.peer, flow.transport);
            found.map(Peer::Gateway)
        };
        match (trunk(from), gateway(to)) {
            (Some(trunk), Some(gateway)) => self.between(Some(trunk), Some(gateway), None),
            (from_trunk, to_gateway) => {
                self.between(gateway(from).or(from_trunk), trunk(to).or(to_gateway), None)
            }
        }
    }

    fn trunk_at(&self, peer: SocketAddr, transport: Transport) -> Option<Peer> {
        self.world.ingress(peer, transport).map(Peer::Trunk)
    }

    /// `None` if everything may go between them. `call` is the one that they have with each other.
    fn between(
        &self,
        from: Option<Peer>,
        to: Option<Peer>,
        call: Option<SlotId>,
    ) -> Option<Between> {
        let gateway = [from, to].into_iter().find(|peer| is_gateway(*peer));
        let border = gateway.and_then(|gateway| border(&self.world, gateway));
        let is_renumbered = border.is_some_and(|it| !it.rules.of(Role::Calling).is_empty());
        let between = Between {
            from,
            to,
            renumbered: call.filter(|_| is_renumbered),
        };
        (!crossing(&self.world, between).is_open()).then_some(between)
    }
}

fn is_gateway(peer: Option<Peer>) -> bool {
    matches!(peer, Some(Peer::Gateway(_)))
}
