//! Records of calls: one [`Call`] with an [`Attempt`] for every try at a gateway.
//!
//! A shard fills a [`Call`] from its call slot and [`encode`]s it into a frame, without allocating.
//! The frame crosses to the control plane, where [`Lines`] makes one line of JSON of it. This crate knows no SIP: a record is plain values, and everything that peers
//! chose is bytes, not text. It opens no file and reads no clock.
//!
//! Words: *duration* is from the answer to the end; *pdd* (post-dial delay) is from the INVITE to
//! the first sign that the callee's phone rings; *clipped* says that a field was longer than
//! [`FIELD_BYTES_MAX`] and was cut.

#![forbid(unsafe_code)]

mod cause;
mod civil;
mod digits;
mod frame;
mod identity;
mod json;
mod octets;
#[cfg(test)]
mod tests;

pub use cause::{Cause, Party, q850_of};
pub use civil::{CIVIL_BYTES, write_civil};
pub use frame::{
    DecodeError, DecodedCall, FIELD_BYTES_MAX, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, decode, encode,
    encode_with, frame_len, len_max,
};
pub use identity::{IDENTITY_BYTES_MAX, Identity};
pub use json::{Lines, line};
pub use octets::unescape;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base::{Money, SlotId, Transport, Wall};

/// One call, from the INVITE to the end of the dialog or to the final refusal.
///
/// Byte fields are what the peers sent, unchanged, or empty when there was none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call<'a> {
    /// Unique for ever: see [`write_id`]. The key by which a consumer drops doubles.
    pub id: &'a [u8],
    /// The node's name from the configuration.
    pub node: &'a [u8],
    /// The generation of the routing snapshot that decided.
    pub generation: u64,
    /// The names that the caller gave, as [`Identity::write`] made them one run.
    pub identity: &'a [u8],
    /// The trunk that the call came in by.
    pub ingress_trunk: &'a [u8],
    /// The carrier that this trunk belongs to.
    pub ingress_carrier: &'a [u8],
    /// Where the INVITE came from.
    pub source: SocketAddr,
    /// How the INVITE came.
    pub source_transport: Transport,
    /// When the INVITE arrived.
    pub started: Wall,
    /// When the first 18x went to the caller.
    pub ringing: Option<Wall>,
    /// When the 2xx went to the caller.
    pub answered: Option<Wall>,
    /// When the call was over.
    pub ended: Wall,
    /// From answer to end by the monotonic clock; 0 if the call was not answered.
    pub duration_us: u64,
    /// From the INVITE to the first 18x or, without one, to the 2xx; by the monotonic clock.
    pub pdd_us: Option<u64>,
    /// The final status sent to the caller; 0 if none was.
    pub status: u16,
    /// The Q.850 cause: from the peer's Reason header, else by [`Cause::q850`].
    pub q850: u8,
    /// Who ended it.
    pub hung_up: Party,
    /// Why it ended.
    pub cause: Cause,
    /// The gateway that carried the call, or that the last attempt went to.
    pub egress_gateway: &'a [u8],
    /// The carrier of this gateway.
    pub egress_carrier: &'a [u8],
    /// What the customer pays, if its trunk has a deck.
    pub sold: Option<Price>,
    /// Every try at a gateway, in the order in which they began.
    pub attempts: &'a [Attempt<'a>],
    /// A field, or the list of attempts, was longer than a record keeps and was cut. [`encode`]
    /// finds out; who fills a record says `false`. See [`Call::is_clipped`] for the names in
    /// `identity`.
    pub clipped: bool,
}

/// One try at one gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt<'a> {
    /// Which try of this call, from 1.
    pub number: u8,
    /// The gateway's name.
    pub gateway: &'a [u8],
    /// The name of the gateway's carrier.
    pub carrier: &'a [u8],
    /// Where the INVITE was sent.
    pub address: SocketAddr,
    /// How it was sent.
    pub transport: Transport,
    /// When it was sent.
    pub started: Wall,
    /// When the first 18x came.
    pub progress: Option<Wall>,
    /// When the 2xx came.
    pub answered: Option<Wall>,
    /// When the attempt was over; for the one that was answered, the end of the call.
    pub ended: Wall,
    /// The final status that came; 0 if none did.
    pub status: u16,
    /// The Q.850 cause: from the peer's Reason header, else by [`Cause::q850`].
    pub q850: u8,
    /// Why it ended.
    pub cause: Cause,
    /// What the vendor asks, if the gateway has a deck.
    pub bought: Option<Price>,
}

/// A price as it held when the call was routed, and what the call costs by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Price {
    /// For sixty seconds.
    pub per_minute: Money,
    /// For an answered call besides.
    pub connect_fee: Money,
    /// The least that is counted, in seconds.
    pub first_seconds: u16,
    /// The step after it, in seconds.
    pub next_seconds: u16,
    /// The three letters of its currency.
    pub currency: [u8; 3],
    /// How many digits of the called number the row of the deck is about.
    pub digits_count: u8,
    /// What the call costs, not rounded for the bill; nothing if it was not answered.
    pub amount: Money,
}

impl<'a> Call<'a> {
    /// The names that the caller gave. One of them may be an octet longer than a record keeps.
    #[must_use]
    pub fn identity(&self) -> Identity<'a> {
        Identity::read(self.identity)
    }

    /// Whether anything was cut.
    #[must_use]
    pub fn is_clipped(&self) -> bool {
        self.clipped || self.identity().is_long()
    }
}

impl Call<'_> {
    /// A record in which nothing is known yet: a base for struct update syntax.
    pub const EMPTY: Call<'static> = Call {
        id: b"",
        node: b"",
        generation: 0,
        identity: b"",
        ingress_trunk: b"",
        ingress_carrier: b"",
        source: NOWHERE,
        source_transport: Transport::Udp,
        started: Wall(0),
        ringing: None,
        answered: None,
        ended: Wall(0),
        duration_us: 0,
        pdd_us: None,
        status: 0,
        q850: 0,
        hung_up: Party::Router,
        cause: Cause::Refused,
        egress_gateway: b"",
        egress_carrier: b"",
        sold: None,
        attempts: &[],
        clipped: false,
    };
}

impl Attempt<'_> {
    /// An attempt in which nothing is known yet: a base for struct update syntax.
    pub const EMPTY: Attempt<'static> = Attempt {
        number: 0,
        gateway: b"",
        carrier: b"",
        address: NOWHERE,
        transport: Transport::Udp,
        started: Wall(0),
        progress: None,
        answered: None,
        ended: Wall(0),
        status: 0,
        q850: 0,
        cause: Cause::Refused,
        bought: None,
    };
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The most bytes that [`write_id`] writes after the node's name.
pub const ID_TAIL_BYTES: usize = 1 + 16 + 1 + 16;

/// Writes the identity of a call, `node-slot-started`, and returns its length.
///
/// The slot names shard, place and tenant; the start tells the call from one that had the same
/// slot before the process was restarted. `None` if `out` is too short.
#[must_use]
pub fn write_id(node: &[u8], slot: SlotId, started: Wall, out: &mut [u8]) -> Option<usize> {
    let len = node.len() + ID_TAIL_BYTES;
    let out = out.get_mut(..len)?;
    let (head, tail) = out.split_at_mut(node.len());
    head.copy_from_slice(node);
    tail[0] = b'-';
    tail[1..17].copy_from_slice(&digits::hex(slot.bits()));
    tail[17] = b'-';
    tail[18..34].copy_from_slice(&digits::hex(started.0 as u64));
    Some(len)
}
