//! What is left of a request that was answered: its transactions, without the fork.
//!
//! RFC 6026 keeps both transactions of an answered INVITE for 32 s. All that can still come are
//! repeats, which the machines absorb, and further 2xx, which go to the caller (RFC 3261 §16.7 step
//! 5). For those the client transaction needs to know the call and the server transaction; the
//! fork, its plan and the request as it came have served.
//!
//! ```text
//!   while answers are awaited            once everything was said
//!
//!   server ──┐                           server ◀─────────┐
//!            ├──▶ fork ──▶ call           call ──────────▶ │ Invite::Answered
//!   client ──┘                           client ──▶ call ──┘
//! ```

use base::{FlowId, SlotId};
use call::{Branch, Invite, Purpose, Side};
use sip::Message;
use transaction::ServerEvent;

use crate::counters::Count;
use crate::{Out, Router};

/// Who has an interest in a client transaction, by its user tag: what its user is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interest {
    /// A fork. Branches are counted from 0; CANCELs have a bit of their own.
    Fork,
    /// A call whose INVITE this is: the branch was its attempt of this number.
    Call(usize),
    /// The server transaction to which further 2xx go, of an INVITE inside a dialog.
    Server,
}

const CALL_TAG: u32 = 1 << 30;
const SERVER_TAG: u32 = 1 << 29;

impl Interest {
    /// Whether this is the tag of a fork's branch, and so its number.
    pub(crate) fn is_branch(tag: u32) -> bool {
        tag < SERVER_TAG
    }

    pub(crate) fn of(tag: u32) -> Interest {
        match tag {
            _ if tag & crate::branch::CANCEL_TAG != 0 => Interest::Fork,
            _ if tag & CALL_TAG != 0 => Interest::Call((tag & !CALL_TAG) as usize),
            _ if tag & SERVER_TAG != 0 => Interest::Server,
            _ => Interest::Fork,
        }
    }
}

impl Router {
    /// Frees a fork in which nothing is left to decide: a final response went upstream, no branch
    /// and no CANCEL is under way, and at most one branch may repeat a 2xx.
    pub(crate) fn dissolve(&mut self, fork: SlotId, out: &mut Out) {
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        if !held.fork.answered {
            return;
        }
        let mut accepted = None;
        for (at, branch) in held.fork.branches.iter().enumerate() {
            if self.is_under_way(branch) {
                return;
            }
            let client = branch.client.and_then(|id| self.table.client_ref(id));
            if client.is_some_and(|slot| slot.is_accepted())
                && accepted.replace((at, branch.client)).is_some()
            {
                return;
            }
        }
        let is_owed = |&id: &SlotId| {
            let slot = self.table.server_ref(id);
            slot.is_some_and(|slot| slot.is_unanswered())
        };
        let owed = held.fork.server.filter(is_owed);
        let left = match accepted {
            None => Invite::Over,
            Some((at, client)) => {
                let is_open = |&id: &SlotId| {
                    let slot = self.table.server_ref(id);
                    slot.is_some_and(|slot| slot.is_accepted())
                };
                let (Some(server), Some(client)) = (held.fork.server.filter(is_open), client)
                else {
                    return;
                };
                let (user, tag) = match held.fork.purpose {
                    Purpose::Initial { call } => (call, CALL_TAG | at as u32),
                    Purpose::InDialog { .. } | Purpose::Other => (server, SERVER_TAG),
                };
                self.table.set_client_user(client, user, tag);
                Invite::Answered(server)
            }
        };
        self.free_fork(fork, left, out);
        // The answer came, but there was no packet to pass it on with: nothing more will come.
        if let Some(server) = owed {
            self.step_server(server, ServerEvent::Abandon, out);
        }
    }

    fn is_under_way(&self, branch: &Branch) -> bool {
        let is_pending = |id: Option<SlotId>| {
            let slot = id.and_then(|id| self.table.client_ref(id));
            slot.is_some_and(|slot| slot.is_pending())
        };
        is_pending(branch.client) || is_pending(branch.cancel)
    }

    /// A further 2xx for the INVITE of a call: a repeat, or of another phone.
    pub(crate) fn call_answered_again(
        &mut self,
        call: SlotId,
        attempt: usize,
        vendor: FlowId,
        response: &Message<'_>,
        out: &mut Out,
    ) {
        let dialog = self.note_dialog(call, attempt, vendor, response, out);
        let Some(held) = self.calls.get(call) else {
            return;
        };
        let (caller, Invite::Answered(server)) = (held.caller, held.invite) else {
            return;
        };
        let between = self.between_call(call, Some(attempt), Side::Callee);
        let caller = self.flows[caller];
        let Some(packet) = self.compose_upstream(&caller, between, response, out) else {
            return;
        };
        self.call_progress(call, response.status(), dialog, out);
        if self.is_accepted(server) {
            self.pass_2xx(server, packet, response, out);
        } else {
            self.count(Count::LateResponses, out);
            out.send(&caller, packet, 0);
            out.release(packet);
        }
    }

    /// A further 2xx for an INVITE inside a dialog.
    pub(crate) fn server_answered_again(
        &mut self,
        server: SlotId,
        answerer: FlowId,
        response: &Message<'_>,
        out: &mut Out,
    ) {
        let caller = self.server_flow(server).copied();
        let Some(caller) = caller.filter(|_| self.is_accepted(server)) else {
            return self.count(Count::StrayResponses, out);
        };
        let between = self.between_addresses(&self.flows[answerer], &caller);
        if let Some(packet) = self.compose_upstream(&caller, between, response, out) {
            self.pass_2xx(server, packet, response, out);
        }
    }

    fn is_accepted(&self, server: SlotId) -> bool {
        let slot = self.table.server_ref(server);
        slot.is_some_and(|slot| slot.is_accepted())
    }

    fn pass_2xx(
        &mut self,
        server: SlotId,
        packet: base::PacketId,
        response: &Message<'_>,
        out: &mut Out,
    ) {
        let status = response.status();
        self.step_server(server, ServerEvent::Respond { packet, status }, out);
    }
}
