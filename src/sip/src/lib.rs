//! The wire format of SIP: bytes to views, and edits back to bytes.
//!
//! | to | use |
//! |---|---|
//! | find the end of a message in a stream | [`frame::frame`] |
//! | choose a shard, refuse under load | [`sniff`], [`sniff_call_id`], [`sniff_branch`] |
//! | read a message | [`parse`] → [`Message`] |
//! | pass it on | [`relay`] writes the usual; [`forward`] plans [`Edits`], [`Edits::compose`] writes |
//! | answer it | [`respond`], [`response_route`] |
//! | make a CANCEL or an ACK of it | [`derive`] |
//! | refuse it before it is read | [`shed`] |
//!
//! Everything is a pure function over bytes, not text. A view borrows the message and an [`Index`]
//! that the caller keeps; nothing is copied before a message is written, nothing is allocated, and
//! what nobody asks for is not parsed. Each dimension of a message has a limit in [`limits`], and
//! each refusal an [`ErrorKind`] that says what its sender is told.
//!
//! Never here: transactions, dialogs, routing, sockets, time.
//!
//! Three rules keep us and the next element from reading one message in two ways:
//! - a CR or LF alone and a NUL are refused wherever they stand in a header, but for the NUL in a
//!   quoted pair;
//! - a header of which there must be one is refused if there are two;
//! - what is passed on is what was received, octet by octet, but for the edits.
//!
//! Tests: `tests.rs` and `tests/` beside this file run every message of RFC 4475, RFC 5118,
//! RFC 3665, RFC 3666, RFC 5359, the PROTOS suite and others; `fuzz/` has a target for each entry.

#![forbid(unsafe_code)]

mod composer;
pub mod derive;
mod edits;
mod error;
pub mod forward;
pub mod frame;
mod header;
mod index;
mod lanes;
pub mod limits;
mod message;
mod method;
mod name_addr;
mod octets;
pub mod padding;
mod parse;
mod reason;
pub mod relay;
pub mod respond;
pub mod response_route;
mod salvage;
pub mod shed;
mod sniff;
mod start_line;
mod uri;
mod usual;
mod via;

pub use edits::Edits;
pub use error::{Error, ErrorKind};
pub use header::HeaderId;
pub use index::Index;
pub use message::{Line, Message, Value, Values};
pub use method::Method;
pub use name_addr::{NameAddr, Param, params};
pub use parse::{parse, parse_ahead, parsed_ahead};
pub use reason::reason_phrase;
pub use sniff::{Sniffed, sniff, sniff_branch, sniff_call_id};
pub use uri::{Scheme, Uri};
pub use via::{COOKIE, Via};

#[cfg(test)]
mod tests;
