//! SIP transactions: RFC 3261 §17 with RFC 6026 (Accepted) and RFC 4320 (non-INVITE).
//!
//! Four machines, each a small `Copy` struct with one `step`, and the [`Table`] that owns them,
//! finds the one that a request belongs to, and remembers their armed timers. A shard has one
//! table. This crate reads no clock, sends nothing and allocates nothing after [`Table::new`]:
//! messages are [`base::PacketId`]s, timers come in as events, and what must be done goes out as
//! [`Actions`], which the router carries out at once and in order.
//!
//! # Words
//! A *server* transaction answers a request that came in; a *client* transaction sends one out. The
//! *user* of a transaction (TU) is the proxy core: its slot id is kept beside the machine and never
//! looked at. A *slot* is a transaction's place in the table.
//!
//! # References to packets
//! A packet that comes in with an event brings one reference with it, and the transaction owns it
//! from then on. Each is given back once: by [`Actions::releases`], or by [`Retired`] when the slot
//! goes. A client holds its request until the final response (a CANCEL or an ACK is derived from
//! it), then its ACK for a refusal. A server holds the last response that it may have to repeat. In
//! Accepted, where half a million transactions may stand for 32 s, none holds anything.
//!
//! # What the router owes the table
//! - After [`Table::insert_server`]: [`ServerEvent::Start`].
//! - [`Change::Arm`]: arm a deadline, or move the one that is armed in its place, and keep it in the
//!   slot's [`Timers`]; when it fires, [`Table::fired`] and the event.
//! - [`Change::Disarm`]: take it out of there and cancel it.
//! - [`Last::Terminated`]: [`Table::retire_server`] or
//!   [`Table::retire_client`], then release and cancel what comes back.
//! - A final response to a client older than RFC 3261: [`Table::note_response_tag`] before it.
//!
//! The tests are in `tests/`; the machines' full tables, every state times every event, in
//! `tables/`.

#![forbid(unsafe_code)]

mod action;
mod client;
mod event;
mod invite_client;
mod invite_server;
mod key;
mod server;
mod slot;
mod table;
mod timer;
mod timers;

#[cfg(test)]
mod tests;

pub use action::{Actions, Change, Last, Tell};
pub use client::{Client, State as ClientState};
pub use event::{ClientEvent, ServerEvent};
pub use invite_client::{InviteClient, State as InviteClientState};
pub use invite_server::{InviteServer, State as InviteServerState};
pub use key::Key;
pub use server::{Server, State as ServerState};
pub use slot::{ClientMachine, ClientSlot, Due, Kind, Retired, ServerMachine, ServerSlot};
pub use table::{Audit, Limits, Match, Table};
pub use timer::{Side, Timer, Timing};
pub use timers::{Entry, Place, Timers};
