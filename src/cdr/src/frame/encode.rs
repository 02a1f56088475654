//! A record to bytes: on the shard, in one pass, without allocating.

use std::net::SocketAddr;

use base::{Transport, Wall};

use super::{
    ATTEMPT_BYTES, ATTEMPTS_MAX, CALL_BYTES, CALL_TEXTS, CLIPPED, FIELD_BYTES_MAX, FRAME_BYTES_MAX,
    HAS_ANSWERED, HAS_PDD, HAS_PRICE, HAS_RUNG, MAGIC, PRICE_BYTES, attempt_at, call_at,
    call_texts, clip,
};
use crate::{Attempt, Call, IDENTITY_BYTES_MAX, Price};

/// Writes the frame of a call and returns its length.
///
/// Attempts that `out` has no room for are left out and the record is marked; `None` if the fields
/// of the call itself do not fit. A buffer of [`len_max`] holds them whatever they are.
#[must_use]
pub fn encode(call: &Call<'_>, out: &mut [u8]) -> Option<usize> {
    encode_with(call, call.attempts.iter().copied(), out)
}

/// As [`encode`], of a call whose attempts are not in a list: `attempts` are its attempts.
#[must_use]
pub fn encode_with<'a>(
    call: &Call<'_>,
    attempts: impl ExactSizeIterator<Item = Attempt<'a>> + Clone,
    out: &mut [u8],
) -> Option<usize> {
    if call.identity.len() > IDENTITY_BYTES_MAX {
        return None;
    }
    let [run, names @ ..] = call_texts(call);
    let texts_len = run.len() + names.iter().map(|name| clip(name).len()).sum::<usize>();
    let room = out.len().min(FRAME_BYTES_MAX);
    let room = room.checked_sub(CALL_BYTES + texts_len)?;
    let asked = attempts.len();
    let count = match asked * (ATTEMPT_BYTES + 2 * FIELD_BYTES_MAX) <= room {
        true => asked,
        false => fitting(attempts.clone(), room),
    };

    let (numbers, texts) = out.split_at_mut(CALL_BYTES + count * ATTEMPT_BYTES);
    let (numbers, places) = numbers.split_first_chunk_mut::<CALL_BYTES>()?;
    let mut texts = Texts {
        out: texts,
        len: 0,
        clipped: call.clipped || count < asked,
    };
    let mut lens = [0; CALL_TEXTS];
    lens[0] = texts.put(run);
    for (len, name) in lens[1..].iter_mut().zip(names) {
        *len = texts.put_clipped(name);
    }
    let (places, _) = places.as_chunks_mut::<ATTEMPT_BYTES>();
    for (place, attempt) in places.iter_mut().zip(attempts) {
        write_attempt(&attempt, &mut texts, place);
    }
    let len = CALL_BYTES + count * ATTEMPT_BYTES + texts.len;
    write_call(call, &lens, numbers);
    numbers[call_at::FLAGS] |= if texts.clipped { CLIPPED } else { 0 };
    numbers[call_at::ATTEMPTS] = count as u8;
    put(numbers, call_at::LENGTH, (len as u32).to_le_bytes());
    Some(len)
}

/// How many of these attempts fit.
#[cold]
fn fitting<'a>(attempts: impl Iterator<Item = Attempt<'a>>, room: usize) -> usize {
    let bytes = |a: Attempt<'_>| ATTEMPT_BYTES + clip(a.gateway).len() + clip(a.carrier).len();
    let ends = attempts.take(ATTEMPTS_MAX).scan(0, |end, attempt| {
        *end += bytes(attempt);
        Some(*end)
    });
    ends.take_while(|&end| end <= room).count()
}

/// Moves forward over the room for the texts, which is enough.
struct Texts<'o> {
    out: &'o mut [u8],
    len: usize,
    clipped: bool,
}

impl Texts<'_> {
    #[inline]
    fn put(&mut self, text: &[u8]) -> u16 {
        let end = self.len + text.len();
        self.out[self.len..end].copy_from_slice(text);
        self.len = end;
        text.len() as u16
    }

    #[inline]
    fn put_clipped(&mut self, text: &[u8]) -> u16 {
        let kept = clip(text);
        self.clipped |= kept.len() < text.len();
        self.put(kept)
    }
}

#[inline(always)] // so that the place is known, and no place is checked
fn put<const N: usize>(numbers: &mut [u8], at: usize, value: [u8; N]) {
    numbers[at..at + N].copy_from_slice(&value);
}

/// Writes a time that may not be known; returns its flag if it is.
#[inline(always)]
fn put_option(numbers: &mut [u8], at: usize, value: Option<[u8; 8]>, flag: u8) -> u8 {
    put(numbers, at, value.unwrap_or_default());
    if value.is_some() { flag } else { 0 }
}

#[inline(always)]
fn put_wall(numbers: &mut [u8], at: usize, wall: Wall) {
    put(numbers, at, wall.0.to_le_bytes());
}

#[inline(always)]
fn put_wall_option(numbers: &mut [u8], at: usize, wall: Option<Wall>, flag: u8) -> u8 {
    put_option(numbers, at, wall.map(|wall| wall.0.to_le_bytes()), flag)
}

#[inline(always)]
fn put_address(numbers: &mut [u8], at: usize, transport: Transport, address: SocketAddr) {
    let mut ip = [0; 16];
    let (family, scope) = match address {
        SocketAddr::V4(v4) => {
            ip[..4].copy_from_slice(&v4.ip().octets());
            (4, 0)
        }
        SocketAddr::V6(v6) => {
            ip = v6.ip().octets();
            (6, v6.scope_id())
        }
    };
    let transport = match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
    };
    put(numbers, at, [family, transport]);
    put(numbers, at + 2, address.port().to_le_bytes());
    put(numbers, at + 4, scope.to_le_bytes());
    put(numbers, at + 8, ip);
}

/// Writes a price that may not be known; returns its flag if it is.
#[inline(always)]
fn put_price(numbers: &mut [u8], at: usize, price: Option<&Price>) -> u8 {
    let Some(price) = price else {
        put(numbers, at, [0; PRICE_BYTES]);
        return 0;
    };
    put(numbers, at, price.per_minute.parts().to_le_bytes());
    put(numbers, at + 8, price.connect_fee.parts().to_le_bytes());
    put(numbers, at + 16, price.amount.parts().to_le_bytes());
    put(numbers, at + 24, price.first_seconds.to_le_bytes());
    put(numbers, at + 26, price.next_seconds.to_le_bytes());
    put(numbers, at + 28, price.currency);
    put(numbers, at + 31, [price.digits_count]);
    HAS_PRICE
}

#[inline]
fn write_call(call: &Call<'_>, lens: &[u16; CALL_TEXTS], n: &mut [u8; CALL_BYTES]) {
    use call_at::*;
    put(n, 0, MAGIC);
    n[VERSION] = super::VERSION;
    put(n, GENERATION, call.generation.to_le_bytes());
    put_wall(n, STARTED, call.started);
    let rung = put_wall_option(n, RINGING, call.ringing, HAS_RUNG);
    let answered = put_wall_option(n, ANSWERED, call.answered, HAS_ANSWERED);
    put_wall(n, ENDED, call.ended);
    put(n, DURATION, call.duration_us.to_le_bytes());
    let pdd = put_option(n, PDD, call.pdd_us.map(u64::to_le_bytes), HAS_PDD);
    let priced = put_price(n, SOLD, call.sold.as_ref());
    n[FLAGS] = rung | answered | pdd | priced;
    put_address(n, SOURCE, call.source_transport, call.source);
    put(n, STATUS, call.status.to_le_bytes());
    n[Q850] = call.q850;
    n[HUNG_UP] = call.hung_up as u8;
    n[CAUSE] = call.cause as u8;
    for (place, len) in n[TEXTS..].chunks_exact_mut(2).zip(lens) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

#[inline]
fn write_attempt(attempt: &Attempt<'_>, texts: &mut Texts<'_>, n: &mut [u8; ATTEMPT_BYTES]) {
    use attempt_at::*;
    put_wall(n, STARTED, attempt.started);
    let rung = put_wall_option(n, PROGRESS, attempt.progress, HAS_RUNG);
    let answered = put_wall_option(n, ANSWERED, attempt.answered, HAS_ANSWERED);
    put_wall(n, ENDED, attempt.ended);
    put_address(n, ADDRESS, attempt.transport, attempt.address);
    put(n, STATUS, attempt.status.to_le_bytes());
    n[NUMBER] = attempt.number;
    n[FLAGS] = rung | answered | put_price(n, BOUGHT, attempt.bought.as_ref());
    n[Q850] = attempt.q850;
    n[CAUSE] = attempt.cause as u8;
    put(n, TEXTS, texts.put_clipped(attempt.gateway).to_le_bytes());
    let carrier = texts.put_clipped(attempt.carrier);
    put(n, TEXTS + 2, carrier.to_le_bytes());
}
