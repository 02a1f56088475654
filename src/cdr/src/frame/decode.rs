//! Bytes to a record: on the thread that writes lines. Everything borrows the frame.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use base::{Money, Transport, Wall};

use super::{
    ATTEMPT_BYTES, CALL_BYTES, CLIPPED, DecodeError, FIELD_BYTES_MAX, HAS_ANSWERED, HAS_PDD,
    HAS_PRICE, HAS_RUNG, PRICE_BYTES, attempt_at, call_at, frame_len,
};
use crate::identity::WORDS_BYTES;
use crate::{Attempt, Call, Cause, IDENTITY_BYTES_MAX, Party, Price};

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

/// Reads one whole frame. Never panics, whatever the bytes are.
///
/// # Errors
/// If the bytes are not exactly one frame that [`encode`] can have written.
pub fn decode(bytes: &[u8]) -> Result<DecodedCall<'_>, DecodeError> {
    let (call, attempts, _) = open(bytes)?;
    let attempts = attempts.collect::<Result<_, _>>()?;
    Ok(DecodedCall { call, attempts })
}

/// Reads the call of one whole frame, and has its attempts read one by one. All texts of the frame
/// lie in what is returned last. What is wrong with an attempt, or with the lengths of their texts,
/// is an error of the attempts.
#[inline]
pub(crate) fn open(frame: &[u8]) -> Result<(Call<'_>, Attempts<'_>, &[u8]), DecodeError> {
    let len = frame_len(frame)?;
    if frame.len() < len {
        return Err(DecodeError::Truncated);
    }
    if frame.len() > len {
        return Err(DecodeError::Length);
    }
    let (numbers, rest) = frame
        .split_first_chunk::<CALL_BYTES>()
        .ok_or(DecodeError::Length)?;
    let count = usize::from(numbers[call_at::ATTEMPTS]);
    let (attempts, mut texts) = rest
        .split_at_checked(count * ATTEMPT_BYTES)
        .ok_or(DecodeError::Length)?;
    let (attempts, _) = attempts.as_chunks::<ATTEMPT_BYTES>();
    let all_texts = texts;
    let call = read_call(numbers, &mut texts)?;
    let words = call.identity.len().min(WORDS_BYTES);
    let attempts = Attempts {
        attempts: attempts.iter(),
        at: CALL_BYTES,
        texts,
    };
    Ok((call, attempts, &all_texts[words..]))
}

/// The attempts of a frame, read one by one.
#[derive(Clone)]
pub(crate) struct Attempts<'a> {
    attempts: std::slice::Iter<'a, [u8; ATTEMPT_BYTES]>,
    /// Where the numbers of the next one are.
    at: usize,
    texts: &'a [u8],
}

impl<'a> Iterator for Attempts<'a> {
    type Item = Result<Attempt<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some(numbers) = self.attempts.next() else {
            // What nobody has taken makes the lengths a lie.
            let is_all = std::mem::take(&mut self.texts).is_empty();
            return (!is_all).then_some(Err(DecodeError::Length));
        };
        let from = self.at;
        self.at += ATTEMPT_BYTES;
        Some(read_attempt(numbers, from, &mut self.texts))
    }
}

/// Numbers, and where they are in the frame.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    bytes: &'a [u8],
    from: usize,
}

impl Numbers<'_> {
    #[inline(always)] // as `put`
    fn array<const N: usize>(self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    #[inline(always)]
    fn long(self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    #[inline(always)]
    fn short(self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    #[inline(always)]
    fn wall(self, at: usize) -> Wall {
        Wall(self.long(at) as i64)
    }

    /// A number that is there if its flag is set, and else 0.
    #[inline(always)]
    fn option(self, at: usize, has: bool) -> Result<Option<u64>, DecodeError> {
        match (has, self.long(at)) {
            (true, value) => Ok(Some(value)),
            (false, 0) => Ok(None),
            (false, _) => Err(self.bad(at)),
        }
    }

    #[inline(always)]
    fn wall_option(self, at: usize, has: bool) -> Result<Option<Wall>, DecodeError> {
        Ok(self.option(at, has)?.map(|us| Wall(us as i64)))
    }

    #[inline(always)]
    fn money(self, at: usize) -> Money {
        Money::from_parts(self.long(at) as i64)
    }

    /// A price that is there if its flag is set; else all of it is 0.
    #[inline(always)]
    fn price(self, at: usize, has: bool) -> Result<Option<Price>, DecodeError> {
        if !has {
            let nothing = self.array::<PRICE_BYTES>(at) == [0; PRICE_BYTES];
            return if nothing { Ok(None) } else { Err(self.bad(at)) };
        }
        let currency: [u8; 3] = self.array(at + 28);
        if self.short(at + 26) == 0 || !currency.iter().all(u8::is_ascii_uppercase) {
            return Err(self.bad(at));
        }
        Ok(Some(Price {
            per_minute: self.money(at),
            connect_fee: self.money(at + 8),
            amount: self.money(at + 16),
            first_seconds: self.short(at + 24),
            next_seconds: self.short(at + 26),
            currency,
            digits_count: self.bytes[at + 31],
        }))
    }

    #[inline(always)]
    fn address(self, at: usize) -> Result<(Transport, SocketAddr), DecodeError> {
        let [family, transport] = self.array(at);
        let transport = match transport {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            _ => return Err(self.bad(at + 1)),
        };
        let port = self.short(at + 2);
        let scope = u32::from_le_bytes(self.array(at + 4));
        let ip: [u8; 16] = self.array(at + 8);
        let [a, b, c, d, filler @ ..] = ip;
        let address = match family {
            4 if scope == 0 && filler == [0; 12] => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
            }
            6 => SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope)),
            _ => return Err(self.bad(at)),
        };
        Ok((transport, address))
    }

    #[inline(always)]
    fn cause(self, at: usize) -> Result<Cause, DecodeError> {
        let cause = Cause::ALL.get(usize::from(self.bytes[at])).copied();
        cause.ok_or_else(|| self.bad(at))
    }

    #[inline(always)]
    fn party(self, at: usize) -> Result<Party, DecodeError> {
        let party = Party::ALL.get(usize::from(self.bytes[at])).copied();
        party.ok_or_else(|| self.bad(at))
    }

    #[inline(always)]
    fn flags(self, at: usize, known: u8) -> Result<u8, DecodeError> {
        let flags = self.bytes[at];
        match flags & !known {
            0 => Ok(flags),
            _ => Err(self.bad(at)),
        }
    }

    /// The text whose length is here.
    #[inline(always)]
    fn text<'t>(
        self,
        at: usize,
        max: usize,
        texts: &mut &'t [u8],
    ) -> Result<&'t [u8], DecodeError> {
        let len = usize::from(self.short(at));
        if len > max {
            return Err(self.bad(at));
        }
        let (text, rest) = texts.split_at_checked(len).ok_or(DecodeError::Length)?;
        *texts = rest;
        Ok(text)
    }

    #[cold]
    fn bad(self, at: usize) -> DecodeError {
        DecodeError::Value {
            offset: (self.from + at) as u32,
        }
    }
}

#[inline]
fn read_call<'a>(
    numbers: &[u8; CALL_BYTES],
    texts: &mut &'a [u8],
) -> Result<Call<'a>, DecodeError> {
    use call_at::*;
    let n = Numbers {
        bytes: numbers,
        from: 0,
    };
    let known = CLIPPED | HAS_PDD | HAS_RUNG | HAS_ANSWERED | HAS_PRICE;
    let flags = n.flags(FLAGS, known)?;
    let (source_transport, source) = n.address(SOURCE)?;
    let mut lens_at = TEXTS;
    let mut text = |max| {
        let text = n.text(lens_at, max, texts);
        lens_at += 2;
        text
    };
    // In the order of `call_texts`.
    let identity = text(IDENTITY_BYTES_MAX)?;
    let id = text(FIELD_BYTES_MAX)?;
    let node = text(FIELD_BYTES_MAX)?;
    let ingress_trunk = text(FIELD_BYTES_MAX)?;
    let ingress_carrier = text(FIELD_BYTES_MAX)?;
    let egress_gateway = text(FIELD_BYTES_MAX)?;
    let egress_carrier = text(FIELD_BYTES_MAX)?;
    Ok(Call {
        id,
        node,
        generation: n.long(GENERATION),
        identity,
        ingress_trunk,
        ingress_carrier,
        source,
        source_transport,
        started: n.wall(STARTED),
        ringing: n.wall_option(RINGING, flags & HAS_RUNG != 0)?,
        answered: n.wall_option(ANSWERED, flags & HAS_ANSWERED != 0)?,
        ended: n.wall(ENDED),
        duration_us: n.long(DURATION),
        pdd_us: n.option(PDD, flags & HAS_PDD != 0)?,
        status: n.short(STATUS),
        q850: numbers[Q850],
        hung_up: n.party(HUNG_UP)?,
        cause: n.cause(CAUSE)?,
        egress_gateway,
        egress_carrier,
        sold: n.price(SOLD, flags & HAS_PRICE != 0)?,
        attempts: &[],
        clipped: flags & CLIPPED != 0,
    })
}

#[inline]
fn read_attempt<'a>(
    numbers: &[u8; ATTEMPT_BYTES],
    from: usize,
    texts: &mut &'a [u8],
) -> Result<Attempt<'a>, DecodeError> {
    use attempt_at::*;
    let n = Numbers {
        bytes: numbers,
        from,
    };
    let flags = n.flags(FLAGS, HAS_RUNG | HAS_ANSWERED | HAS_PRICE)?;
    let (transport, address) = n.address(ADDRESS)?;
    Ok(Attempt {
        number: numbers[NUMBER],
        gateway: n.text(TEXTS, FIELD_BYTES_MAX, texts)?,
        carrier: n.text(TEXTS + 2, FIELD_BYTES_MAX, texts)?,
        address,
        transport,
        started: n.wall(STARTED),
        progress: n.wall_option(PROGRESS, flags & HAS_RUNG != 0)?,
        answered: n.wall_option(ANSWERED, flags & HAS_ANSWERED != 0)?,
        ended: n.wall(ENDED),
        status: n.short(STATUS),
        q850: numbers[Q850],
        cause: n.cause(CAUSE)?,
        bought: n.price(BOUGHT, flags & HAS_PRICE != 0)?,
    })
}
