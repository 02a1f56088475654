//! The frame: a record as bytes, as it crosses from a shard to the control plane.
//!
//! ```text
//!   0                     140             140 + 98 n
//!  ┌─────────────────────┬───────────────┬─────────────────────────────────────────────┐
//!  │ the call's numbers  │ n attempts'   │ the texts: of the call, of each attempt     │
//!  └─────────────────────┴───────────────┴─────────────────────────────────────────────┘
//! ```
//!
//! Numbers are little-endian and lie where the constants of `call_at` and `attempt_at` say; a time
//! that is not known is 0 and its flag is not set. Each text's length is among the numbers. The
//! texts lie together, so that one look tells whether any of them must be escaped. A change of any
//! of this is a new version.
//!
//! Encoding allocates nothing and cannot fail for what a peer sent: fields have a cap, attempts for
//! which no room is left are dropped, and a record that lacks something says so.

mod decode;
mod encode;

pub(crate) use decode::open;
pub use decode::{DecodedCall, decode};
pub use encode::{encode, encode_with};

use crate::{Call, IDENTITY_BYTES_MAX};

const MAGIC: [u8; 2] = *b"TC";
const VERSION: u8 = 4;

/// How many bytes of a frame must be there to know its length.
pub const FRAME_HEADER_BYTES: usize = 8;
/// The most bytes of one field that a record keeps; what is longer is cut and the record marked.
pub const FIELD_BYTES_MAX: usize = 512;
/// The longest frame. A call with more attempts than fit loses the last ones and is marked.
pub const FRAME_BYTES_MAX: usize = 8_192;
/// The most attempts of one call that a record keeps.
const ATTEMPTS_MAX: usize = u8::MAX as usize;

/// Where the numbers of a call are, from the beginning of the frame.
mod call_at {
    pub(super) const VERSION: usize = 2;
    pub(super) const FLAGS: usize = 3;
    pub(super) const LENGTH: usize = 4;
    pub(super) const GENERATION: usize = 8;
    pub(super) const STARTED: usize = 16;
    pub(super) const RINGING: usize = 24;
    pub(super) const ANSWERED: usize = 32;
    pub(super) const ENDED: usize = 40;
    pub(super) const DURATION: usize = 48;
    pub(super) const PDD: usize = 56;
    pub(super) const SOURCE: usize = 64;
    pub(super) const STATUS: usize = SOURCE + crate::frame::ADDRESS_BYTES;
    pub(super) const Q850: usize = STATUS + 2;
    pub(super) const HUNG_UP: usize = Q850 + 1;
    pub(super) const CAUSE: usize = HUNG_UP + 1;
    pub(super) const ATTEMPTS: usize = CAUSE + 1;
    pub(super) const SOLD: usize = ATTEMPTS + 1;
    /// A length of 16 bits for each text of `call_texts`.
    pub(super) const TEXTS: usize = SOLD + crate::frame::PRICE_BYTES;
    pub(super) const END: usize = TEXTS + 2 * crate::frame::CALL_TEXTS;
}

/// Where the numbers of an attempt are, from the beginning of them.
mod attempt_at {
    pub(super) const STARTED: usize = 0;
    pub(super) const PROGRESS: usize = 8;
    pub(super) const ANSWERED: usize = 16;
    pub(super) const ENDED: usize = 24;
    pub(super) const ADDRESS: usize = 32;
    pub(super) const STATUS: usize = ADDRESS + crate::frame::ADDRESS_BYTES;
    pub(super) const NUMBER: usize = STATUS + 2;
    pub(super) const FLAGS: usize = NUMBER + 1;
    pub(super) const Q850: usize = FLAGS + 1;
    pub(super) const CAUSE: usize = Q850 + 1;
    pub(super) const BOUGHT: usize = CAUSE + 1;
    /// A length of 16 bits for the gateway's name, and one for the carrier's.
    pub(super) const TEXTS: usize = BOUGHT + crate::frame::PRICE_BYTES;
    pub(super) const END: usize = TEXTS + 2 * 2;
}

/// What an address takes: family, transport, port, scope, and the octets of IPv6 or IPv4 and zeros.
const ADDRESS_BYTES: usize = 1 + 1 + 2 + 4 + 16;
/// What a price takes: three amounts, two steps, a currency, a number of digits.
const PRICE_BYTES: usize = 8 + 8 + 8 + 2 + 2 + 3 + 1;
const CALL_TEXTS: usize = 7;
const CALL_BYTES: usize = call_at::END;
const ATTEMPT_BYTES: usize = attempt_at::END;

const _: () = assert!(
    CALL_BYTES + IDENTITY_BYTES_MAX + (CALL_TEXTS - 1) * FIELD_BYTES_MAX < FRAME_BYTES_MAX,
    "the fields of a call fit a frame"
);

/// Flags of a call: it was cut, which of its times are known, and whether its price is. An attempt's
/// are the last three of these, for its progress, its answer and its price.
const CLIPPED: u8 = 1;
const HAS_PDD: u8 = 2;
const HAS_RUNG: u8 = 4;
const HAS_ANSWERED: u8 = 8;
const HAS_PRICE: u8 = 16;

/// Why bytes are not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The bytes end before the frame does.
    Truncated,
    /// They do not begin as a frame.
    NotAFrame,
    /// A version that this program does not know.
    Version(u8),
    /// The length is not that of its fields, or more bytes follow than it says.
    Length,
    /// A code that means nothing, at this offset.
    Value {
        /// Where in the frame.
        offset: u32,
    },
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::Truncated => write!(f, "the frame is cut off"),
            DecodeError::NotAFrame => write!(f, "these bytes are not a record's frame"),
            DecodeError::Version(v) => write!(f, "version {v} of the frame is unknown"),
            DecodeError::Length => write!(f, "the frame's length is not that of its fields"),
            DecodeError::Value { offset } => write!(f, "unknown code at byte {offset}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A length that the frame of this call does not exceed.
#[must_use]
pub fn len_max(call: &Call<'_>) -> usize {
    let texts: usize = call_texts(call).iter().map(|text| clip(text).len()).sum();
    let run = call.identity.len().saturating_sub(FIELD_BYTES_MAX);
    let attempts: usize = call
        .attempts
        .iter()
        .take(ATTEMPTS_MAX)
        .map(|a| ATTEMPT_BYTES + clip(a.gateway).len() + clip(a.carrier).len())
        .sum();
    (CALL_BYTES + texts + run + attempts).min(FRAME_BYTES_MAX)
}

/// How long the frame is that these bytes begin with. More bytes may follow it.
///
/// # Errors
/// If less than a header is there, or it is none of ours.
pub fn frame_len(bytes: &[u8]) -> Result<usize, DecodeError> {
    let header = bytes
        .get(..FRAME_HEADER_BYTES)
        .ok_or(DecodeError::Truncated)?;
    if header[..2] != MAGIC {
        return Err(DecodeError::NotAFrame);
    }
    if header[2] != VERSION {
        return Err(DecodeError::Version(header[2]));
    }
    let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if len < FRAME_HEADER_BYTES {
        return Err(DecodeError::Length);
    }
    Ok(len)
}

/// The texts of a call in the order in which a frame has them; the first is a run, which is not cut.
fn call_texts<'a>(call: &Call<'a>) -> [&'a [u8]; CALL_TEXTS] {
    [
        call.identity,
        call.id,
        call.node,
        call.ingress_trunk,
        call.ingress_carrier,
        call.egress_gateway,
        call.egress_carrier,
    ]
}

pub(crate) fn clip(field: &[u8]) -> &[u8] {
    &field[..field.len().min(FIELD_BYTES_MAX)]
}
