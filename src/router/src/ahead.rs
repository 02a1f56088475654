//! The message after the next: read while the memory that it will need is on its way.
//!
//! With a million transactions the look-up of a request's transaction waits for main memory for
//! longer than the message was read in. Datagrams come in batches; so each is read before the one
//! ahead of it is handled, and what it will look up is asked for then. What that leads to is asked for
//! while the message behind it is read:
//!
//! ```text
//!   read N+1              handle N    read N+2                        handle N+1
//!     transaction of N+1                its context, new slots
//!     or call of N+1                                   its call
//! ```

use base::SlotId;
use call::{DialogNames, Keys, Purpose};
use shards::{Inbound, fetch};
use sip::{HeaderId, Index, Message, Method, parse_ahead, parsed_ahead};
use transaction::Key;

use crate::Router;
use crate::paths::{listed, token_of};

/// Two messages that were read before their turn.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// The one whose turn comes first.
    first: Option<Read>,
    second: Option<Read>,
    /// Whether messages are refused or dropped unread, so that reading them early costs for nothing.
    is_idle: bool,
}

/// A message that was read before its turn.
#[derive(Debug)]
struct Read {
    /// Where its octets lie, and how many they are.
    at: (usize, usize),
    /// In tests the octets themselves, as a sum.
    sum: u64,
    index: Box<Index>,
    /// Of a request.
    key: Option<Key>,
    lead: Lead,
}

/// Where the memory that a message needs begins.
#[derive(Clone, Copy, Debug)]
enum Lead {
    /// At the client transaction of a response.
    Client(SlotId),
    /// At what a request begins.
    Begins {
        /// Whether that may be a call.
        call: bool,
    },
    /// Nowhere beyond what was looked up: an ACK begins nothing, and a response may be nobody's.
    Nothing,
}

impl Read {
    fn is_of(&self, bytes: &[u8]) -> bool {
        self.at == place(bytes)
    }
}

#[inline]
fn fetch_all(rooms: impl IntoIterator<Item = (*const u8, usize)>) {
    for (at, bytes) in rooms {
        fetch(at, bytes);
    }
}

fn place(bytes: &[u8]) -> (usize, usize) {
    (bytes.as_ptr() as usize, bytes.len())
}

fn sum(bytes: &[u8]) -> u64 {
    match cfg!(debug_assertions) {
        true => bytes.iter().fold(0, |sum: u64, &octet| {
            sum.rotate_left(5).wrapping_add(octet.into())
        }),
        false => 0,
    }
}

impl Router {
    /// Reads a message that comes after the next, and asks for the memory that it will need.
    pub(crate) fn read_ahead(&mut self, bytes: &[u8]) {
        let missed = self.ahead.first.take();
        self.put_read(missed);
        self.ahead.first = self.ahead.second.take();
        if self.ahead.is_idle {
            return;
        }
        let next = self.ahead.first.as_ref().map(|read| read.lead);
        if let Some(lead) = next {
            self.fetch_second(lead);
        }
        let mut index = self.take_index();
        if parse_ahead(bytes, &mut index) {
            let message = parsed_ahead(bytes, &index);
            let (key, lead) = self.fetch_first(&message);
            self.ahead.second = Some(Read {
                at: place(bytes),
                sum: sum(bytes),
                index,
                key,
                lead,
            });
        } else {
            self.put_index(index);
        }
        if let Some(Lead::Client(client)) = next {
            self.fetch_third(client);
        }
    }

    /// Asks for what a message is looked up in.
    #[inline]
    fn fetch_first(&self, message: &Message<'_>) -> (Option<Key>, Lead) {
        if !message.is_request() {
            let named = Keys::read_branch(message.branch());
            let ours = named.map(|(client, _)| client);
            let ours = ours.filter(|client| client.shard() == self.shard);
            fetch_all(ours.and_then(|client| self.table.client_whereabouts(client)));
            return (None, ours.map_or(Lead::Nothing, Lead::Client));
        }
        let key = self.table.key(message);
        fetch_all([self.table.whereabouts(&key)]);
        let call = listed(message, HeaderId::Route)
            .and_then(|route| token_of(&self.heads, route))
            .and_then(Keys::split_route)
            .map(|(call, _)| call)
            .filter(|call| call.shard() == self.shard);
        fetch_all(call.and_then(|call| self.calls.whereabouts(call)));
        let lead = match message.method() {
            Method::Ack => Lead::Nothing,
            method => Lead::Begins {
                call: method == Method::Invite && call.is_none(),
            },
        };
        (Some(key), lead)
    }

    /// Asks for what the transaction of the next message leads to, or for what it will fill.
    #[inline]
    fn fetch_second(&self, lead: Lead) {
        match lead {
            Lead::Client(client) => {
                let slot = self.table.client_ref(client);
                fetch_all(slot.and_then(|slot| self.forks.whereabouts(slot.user())));
            }
            Lead::Begins { call } => {
                fetch_all(self.table.next_whereabouts());
                if call {
                    fetch_all([self.calls.next_whereabouts()]);
                }
            }
            Lead::Nothing => {}
        }
    }

    /// Asks for what the context of the next message, a response, leads to.
    #[inline]
    fn fetch_third(&self, client: SlotId) {
        let slot = self.table.client_ref(client);
        let Some(held) = slot.and_then(|slot| self.forks.get(slot.user())) else {
            return;
        };
        let server = held.fork.server;
        fetch_all(server.and_then(|server| self.table.server_whereabouts(server)));
        if let Purpose::Initial { call } | Purpose::InDialog { call, .. } = held.fork.purpose {
            fetch_all(self.calls.whereabouts(call));
        }
    }

    /// What was read before its turn does not come.
    pub(crate) fn forget_ahead(&mut self) {
        let Ahead { first, second, .. } = &mut self.ahead;
        let (first, second) = (first.take(), second.take());
        self.put_read(first);
        self.put_read(second);
    }

    #[inline]
    fn put_read(&mut self, read: Option<Read>) {
        if let Some(read) = read {
            self.put_index(read.index);
        }
    }

    /// Asks for where a new call will be put into the index.
    #[inline]
    pub(crate) fn fetch_index(&self, names: &DialogNames, in_dialog: bool) {
        if !in_dialog {
            fetch_all([self.by_call_id.whereabouts(names.call_id)]);
        }
    }

    /// An index for a message whose turn has come; whether the message was read into it before, and then
    /// its key, if it is a request.
    #[inline]
    pub(crate) fn index_of(&mut self, inbound: &Inbound<'_>) -> (Box<Index>, Option<Key>, bool) {
        match inbound.is_expected {
            false => (self.take_index(), None, false),
            true => self.index_read(inbound.bytes),
        }
    }

    fn index_read(&mut self, bytes: &[u8]) -> (Box<Index>, Option<Key>, bool) {
        let ahead = &mut self.ahead;
        ahead.is_idle = false;
        // If another was read since, this one is the first; if it is the batch's last, the second.
        let read = match ahead.first.take_if(|read| read.is_of(bytes)) {
            None => ahead.second.take_if(|read| read.is_of(bytes)),
            read => read,
        };
        match read {
            None => (self.take_index(), None, false),
            Some(read) => {
                debug_assert_eq!(read.sum, sum(bytes), "these octets were read");
                (read.index, read.key, true)
            }
        }
    }

    /// A message was refused or dropped unread: it is not worth reading the next before its turn.
    pub(crate) fn idle_ahead(&mut self) {
        self.ahead.is_idle = true;
    }
}
