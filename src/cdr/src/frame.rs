//! The frame: a record as bytes, as it crosses from a shard to the control plane.
//!
//! ```text
//!   0      2       3      4         8
//!  ┌──────┬───────┬──────┬─────────┬──────────────────────────┬───────────┬──────────────┐
//!  │ "TC" │ 1     │ flags│ length  │ the call's fields        │ count: u8 │ its attempts │
//!  └──────┴───────┴──────┴─────────┴──────────────────────────┴───────────┴──────────────┘
//!          version        of the whole frame
//! ```
//!
//! Numbers are little-endian. A byte field is a length in 16 bits and its bytes; an optional number
//! is 0, or 1 and the number; an address is 4 or 6, the octets, for IPv6 the scope, and the port.
//! The order of the fields is the order in [`encode`]; a change of it is a new version.
//!
//! Encoding allocates nothing and cannot fail for what a peer sent: fields have a cap, attempts for
//! which no room is left are dropped, and a record that lacks something says so. Decoding allocates
//! the list of attempts and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use base::{Transport, Wall};

use crate::{Attempt, Call, Cause, Party};

const MAGIC: [u8; 2] = *b"TC";
const VERSION: u8 = 1;
const FLAG_CLIPPED: u8 = 1;

/// How many bytes of a frame must be there to know its length.
pub const FRAME_HEADER_BYTES: usize = 8;
/// The most bytes of one field that a record keeps; what is longer is cut and the record marked.
pub const FIELD_BYTES_MAX: usize = 512;
/// The longest frame. A call with more attempts than fit loses the last ones and is marked.
pub const FRAME_BYTES_MAX: usize = 8_192;
/// The most attempts of one call that a record keeps.
const ATTEMPTS_MAX: usize = u8::MAX as usize;

/// The largest an address can be.
const ADDRESS_BYTES_MAX: usize = 1 + 16 + 4 + 2;
const OPTION_BYTES_MAX: usize = 1 + 8;
/// The most that the fields of a call take apart from the bytes in them.
const CALL_BYTES_FIXED: usize =
    13 * 2 + 8 + ADDRESS_BYTES_MAX + 1 + 2 * 8 + 8 + 3 * OPTION_BYTES_MAX + 2 + 3;
const ATTEMPT_BYTES_FIXED: usize =
    1 + 2 * 2 + ADDRESS_BYTES_MAX + 1 + 2 * 8 + 2 * OPTION_BYTES_MAX + 2 + 2;
const _: () = assert!(
    FRAME_HEADER_BYTES + CALL_BYTES_FIXED + 13 * FIELD_BYTES_MAX < FRAME_BYTES_MAX,
    "the fields of a call fit a frame"
);
/// The least that an attempt takes: what bounds the list before it is allocated.
const ATTEMPT_BYTES_MIN: usize = 1 + 2 * 2 + 7 + 1 + 2 * 8 + 2 + 2 + 2;

/// A record read back from its frame. Borrows the frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodedCall<'a> {
    call: Call<'a>,
    attempts: Vec<Attempt<'a>>,
}

impl DecodedCall<'_> {
    /// The call with its attempts.
    #[must_use]
    pub fn call(&self) -> Call<'_> {
        Call {
            attempts: &self.attempts,
            ..self.call
        }
    }
}

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
    let bytes: usize = byte_fields(call)
        .iter()
        .map(|field| clip(field).len())
        .sum();
    let attempts: usize = call
        .attempts
        .iter()
        .take(ATTEMPTS_MAX)
        .map(|a| ATTEMPT_BYTES_FIXED + clip(a.gateway).len() + clip(a.carrier).len())
        .sum();
    (FRAME_HEADER_BYTES + CALL_BYTES_FIXED + bytes + 1 + attempts).min(FRAME_BYTES_MAX)
}

/// Writes the frame of a call and returns its length.
///
/// Attempts that `out` has no room for are left out and the record is marked; `None` if the fields
/// of the call itself do not fit. A buffer of [`len_max`] holds them whatever they are.
#[must_use]
pub fn encode(call: &Call<'_>, out: &mut [u8]) -> Option<usize> {
    let mut w = Writer {
        out,
        len: 0,
        clipped: call.clipped || call.attempts.len() > ATTEMPTS_MAX,
    };
    w.put(&MAGIC)?;
    w.put(&[VERSION, 0])?;
    w.put(&[0; 4])?;
    for field in byte_fields(call) {
        w.bytes(field)?;
    }
    w.put(&call.generation.to_le_bytes())?;
    w.address(call.source)?;
    w.transport(call.source_transport)?;
    w.wall(call.started)?;
    w.wall_option(call.ringing)?;
    w.wall_option(call.answered)?;
    w.wall(call.ended)?;
    w.put(&call.duration_us.to_le_bytes())?;
    w.option(call.pdd_us.map(u64::to_le_bytes))?;
    w.put(&call.status.to_le_bytes())?;
    w.put(&[call.q850, call.hung_up as u8, call.cause as u8])?;
    let count_at = w.len;
    w.put(&[0])?;
    let mut count = 0_u8;
    for attempt in call.attempts.iter().take(ATTEMPTS_MAX) {
        let end = w.len;
        if w.attempt(attempt).is_none() {
            w.len = end;
            w.clipped = true;
            break;
        }
        count += 1;
    }
    let (len, clipped) = (w.len, w.clipped);
    out[count_at] = count;
    out[3] = if clipped { FLAG_CLIPPED } else { 0 };
    out[4..8].copy_from_slice(&u32::try_from(len).ok()?.to_le_bytes());
    Some(len)
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

/// Reads one whole frame. Never panics, whatever the bytes are.
///
/// # Errors
/// If the bytes are not exactly one frame that [`encode`] can have written.
pub fn decode(bytes: &[u8]) -> Result<DecodedCall<'_>, DecodeError> {
    let len = frame_len(bytes)?;
    if bytes.len() < len {
        return Err(DecodeError::Truncated);
    }
    if bytes.len() > len {
        return Err(DecodeError::Length);
    }
    if bytes[3] & !FLAG_CLIPPED != 0 {
        return Err(DecodeError::Value { offset: 3 });
    }
    let mut r = Reader {
        frame: bytes,
        at: FRAME_HEADER_BYTES,
    };
    let mut call = r.call()?;
    call.clipped = bytes[3] & FLAG_CLIPPED != 0;
    let count = usize::from(r.byte()?);
    if count * ATTEMPT_BYTES_MIN > bytes.len() - r.at {
        return Err(DecodeError::Length);
    }
    let mut attempts = Vec::with_capacity(count);
    for _ in 0..count {
        attempts.push(r.attempt()?);
    }
    if r.at != bytes.len() {
        return Err(DecodeError::Length);
    }
    Ok(DecodedCall { call, attempts })
}

/// The byte fields of a call in the order in which a frame has them.
fn byte_fields<'a>(call: &Call<'a>) -> [&'a [u8]; 13] {
    [
        call.id,
        call.node,
        call.call_id,
        call.from_uri,
        call.to_uri,
        call.request_uri,
        call.called,
        call.calling,
        call.ingress_trunk,
        call.ingress_carrier,
        call.egress_gateway,
        call.egress_carrier,
        call.route_prefix,
    ]
}

fn clip(field: &[u8]) -> &[u8] {
    &field[..field.len().min(FIELD_BYTES_MAX)]
}

struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
    clipped: bool,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    fn bytes(&mut self, field: &[u8]) -> Option<()> {
        let kept = clip(field);
        self.clipped |= kept.len() < field.len();
        self.put(&(kept.len() as u16).to_le_bytes())?;
        self.put(kept)
    }

    fn wall(&mut self, wall: Wall) -> Option<()> {
        self.put(&wall.0.to_le_bytes())
    }

    fn wall_option(&mut self, wall: Option<Wall>) -> Option<()> {
        self.option(wall.map(|wall| wall.0.to_le_bytes()))
    }

    fn option(&mut self, value: Option<[u8; 8]>) -> Option<()> {
        match value {
            None => self.put(&[0]),
            Some(bytes) => {
                self.put(&[1])?;
                self.put(&bytes)
            }
        }
    }

    fn transport(&mut self, transport: Transport) -> Option<()> {
        self.put(&[match transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
        }])
    }

    fn address(&mut self, address: SocketAddr) -> Option<()> {
        match address {
            SocketAddr::V4(v4) => {
                self.put(&[4])?;
                self.put(&v4.ip().octets())?;
            }
            SocketAddr::V6(v6) => {
                self.put(&[6])?;
                self.put(&v6.ip().octets())?;
                self.put(&v6.scope_id().to_le_bytes())?;
            }
        }
        self.put(&address.port().to_le_bytes())
    }

    fn attempt(&mut self, attempt: &Attempt<'_>) -> Option<()> {
        self.put(&[attempt.number])?;
        self.bytes(attempt.gateway)?;
        self.bytes(attempt.carrier)?;
        self.address(attempt.address)?;
        self.transport(attempt.transport)?;
        self.wall(attempt.started)?;
        self.wall_option(attempt.progress)?;
        self.wall_option(attempt.answered)?;
        self.wall(attempt.ended)?;
        self.put(&attempt.status.to_le_bytes())?;
        self.put(&[attempt.q850, attempt.cause as u8])
    }
}

/// Moves forward over a frame; every read is checked.
struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at + count;
        // The frame is whole, so a field that ends outside makes the length a lie.
        let taken = self.frame.get(self.at..end).ok_or(DecodeError::Length)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn short(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.short()?;
        if usize::from(len) > FIELD_BYTES_MAX {
            return Err(self.bad(2));
        }
        self.take(usize::from(len))
    }

    fn wall(&mut self) -> Result<Wall, DecodeError> {
        Ok(Wall(i64::from_le_bytes(self.array()?)))
    }

    fn option(&mut self) -> Result<Option<u64>, DecodeError> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(self.number()?)),
            _ => Err(self.bad(1)),
        }
    }

    fn wall_option(&mut self) -> Result<Option<Wall>, DecodeError> {
        Ok(self.option()?.map(|us| Wall(us as i64)))
    }

    fn transport(&mut self) -> Result<Transport, DecodeError> {
        match self.byte()? {
            0 => Ok(Transport::Udp),
            1 => Ok(Transport::Tcp),
            _ => Err(self.bad(1)),
        }
    }

    fn address(&mut self) -> Result<SocketAddr, DecodeError> {
        match self.byte()? {
            4 => {
                let ip = Ipv4Addr::from(self.array::<4>()?);
                Ok(SocketAddr::new(IpAddr::V4(ip), self.short()?))
            }
            6 => {
                let ip = Ipv6Addr::from(self.array::<16>()?);
                let scope = u32::from_le_bytes(self.array()?);
                Ok(SocketAddr::V6(SocketAddrV6::new(
                    ip,
                    self.short()?,
                    0,
                    scope,
                )))
            }
            _ => Err(self.bad(1)),
        }
    }

    fn cause(&mut self) -> Result<Cause, DecodeError> {
        let code = self.byte()?;
        let cause = Cause::ALL.get(usize::from(code)).copied();
        cause.ok_or_else(|| self.bad(1))
    }

    fn party(&mut self) -> Result<Party, DecodeError> {
        let code = self.byte()?;
        let party = Party::ALL.get(usize::from(code)).copied();
        party.ok_or_else(|| self.bad(1))
    }

    fn bad(&self, bytes_back: usize) -> DecodeError {
        DecodeError::Value {
            offset: (self.at - bytes_back) as u32,
        }
    }

    // The fields of a struct expression are evaluated in the order in which they are written, and
    // that must be the order of `encode`.
    fn call(&mut self) -> Result<Call<'a>, DecodeError> {
        Ok(Call {
            id: self.bytes()?,
            node: self.bytes()?,
            call_id: self.bytes()?,
            from_uri: self.bytes()?,
            to_uri: self.bytes()?,
            request_uri: self.bytes()?,
            called: self.bytes()?,
            calling: self.bytes()?,
            ingress_trunk: self.bytes()?,
            ingress_carrier: self.bytes()?,
            egress_gateway: self.bytes()?,
            egress_carrier: self.bytes()?,
            route_prefix: self.bytes()?,
            generation: self.number()?,
            source: self.address()?,
            source_transport: self.transport()?,
            started: self.wall()?,
            ringing: self.wall_option()?,
            answered: self.wall_option()?,
            ended: self.wall()?,
            duration_us: self.number()?,
            pdd_us: self.option()?,
            status: self.short()?,
            q850: self.byte()?,
            hung_up: self.party()?,
            cause: self.cause()?,
            attempts: &[],
            clipped: false,
        })
    }

    fn attempt(&mut self) -> Result<Attempt<'a>, DecodeError> {
        Ok(Attempt {
            number: self.byte()?,
            gateway: self.bytes()?,
            carrier: self.bytes()?,
            address: self.address()?,
            transport: self.transport()?,
            started: self.wall()?,
            progress: self.wall_option()?,
            answered: self.wall_option()?,
            ended: self.wall()?,
            status: self.short()?,
            q850: self.byte()?,
            cause: self.cause()?,
        })
    }
}
