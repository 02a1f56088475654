//! A response arrives: its branch names the client transaction that it answers.

use shards::Inbound;
use sip::{Message, Method};
use transaction::{ClientEvent, Kind};

use crate::counters::Count;
use crate::{Out, Router};

impl Router {
    /// A response that was parsed. One that answers nothing of ours goes nowhere (RFC 6026 §7.3).
    pub(crate) fn response(&mut self, message: &Message<'_>, inbound: &Inbound<'_>, out: &mut Out) {
        self.count(Count::Responses, out);
        let named = self.settings.keys.read_branch(message.branch());
        let Some(client) = named.filter(|id| id.shard() == self.shard) else {
            return self.count(Count::StrayResponses, out);
        };
        let Some(slot) = self.table.client_ref(client) else {
            return self.count(Count::StrayResponses, out);
        };
        // Only who was asked may answer, from whatever port it likes.
        let asked = self.flows[slot.flow()].peer;
        if asked.ip().to_canonical() != inbound.flow.peer.ip().to_canonical() {
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
}
