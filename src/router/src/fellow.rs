//! How messages that leave for one peer travel together: which may wait for which, and where they
//! may be lengthened. The runtime asks while it flushes, and knows octets only.

use base::PacketId;
use call::token::ROUTE_PARAM;
use route::Coalesce;
use shards::{Fellow, NOTE_MAX, PAD_BYTES_MAX, Place};
use sip::padding::{self, Padding};

use crate::{Out, Router};

/// `;pad=xxx…`, a parameter that nobody knows (RFC 3261 §25.1: `generic-param`).
const PARAMETER: [u8; PAD_BYTES_MAX] = {
    let mut text = [b'x'; PAD_BYTES_MAX];
    let name = b";pad=";
    let mut at = 0;
    while at < name.len() {
        text[at] = name[at];
        at += 1;
    }
    text
};

/// Blank lines. Taken from the end, so that even an odd number of octets is made of whole ones.
const BLANK: [u8; PAD_BYTES_MAX + 1] = {
    let mut text = [b'\r'; PAD_BYTES_MAX + 1];
    let mut at = 1;
    while at < text.len() {
        text[at] = b'\n';
        at += 2;
    }
    text
};

/// A parameter of just this length; for one octet a space, which may stand before a line's end.
fn parameter(len: usize) -> &'static [u8] {
    match len {
        1 => b" ",
        // A name alone: the `=` wants a value.
        2..=5 => &b";padd"[..len],
        _ => &PARAMETER[..len],
    }
}

fn blank(len: usize) -> &'static [u8] {
    &BLANK[BLANK.len() - len..]
}

/// What is noted with a packet when it is composed, so that it is not read again: [`NOTED`], the lane,
/// and perhaps [`WHOLE`].
const LANE_BITS: u32 = 16;
const NOTED: u32 = 1 << LANE_BITS;
/// Its body is as long as its Content-Length says, so that octets may follow.
const WHOLE: u32 = NOTED << 1;
const _: () = assert!(WHOLE <= NOTE_MAX / 2);

impl Router {
    /// Notes of what call a packet is, and whether it was composed with the length of its body.
    #[inline]
    pub(crate) fn note_fellow(
        &self,
        packet: PacketId,
        call_id: &[u8],
        is_whole: bool,
        out: &mut Out,
    ) {
        if self.world.coalesces() {
            note(packet, call_id, is_whole, out);
        }
    }
}

// Apart, so that it is in nobody's way where nothing coalesces.
#[inline(never)]
fn note(packet: PacketId, call_id: &[u8], is_whole: bool, out: &mut Out) {
    let whole = if is_whole { WHOLE } else { 0 };
    out.set_note(packet, NOTED | whole | lane(call_id));
}

/// How a datagram travels with others for the same peer. `None`: alone.
pub(crate) fn fellow(coalesce: Coalesce, bytes: &[u8], note: u32) -> Option<Fellow> {
    match coalesce {
        Coalesce::Off => None,
        Coalesce::Trailing if note & NOTED != 0 => {
            let told = noted(bytes, note);
            debug_assert!(is_so(&told, bytes), "what was noted is what is there");
            Some(told)
        }
        Coalesce::Trailing => Some(found(&padding::behind(bytes), blank)),
        Coalesce::OwnParameters => {
            let found_at = padding::own_parameter(bytes, ROUTE_PARAM);
            Some(found(&found_at, parameter))
        }
    }
}

fn found(found: &Padding<'_>, filling: fn(usize) -> &'static [u8]) -> Fellow {
    let place = found.place.and_then(|at| u16::try_from(at).ok());
    Fellow {
        lane: lane(found.call_id),
        place: place.map(|at| Place { at, filling }),
    }
}

fn noted(bytes: &[u8], note: u32) -> Fellow {
    let end = u16::try_from(bytes.len()).ok();
    Fellow {
        lane: note % NOTED,
        place: end
            .filter(|_| note & WHOLE != 0)
            .map(|at| Place { at, filling: blank }),
    }
}

/// Whether reading says the same. It does not go through headers without end.
fn is_so(told: &Fellow, bytes: &[u8]) -> bool {
    let read = padding::behind(bytes);
    let place = read.place.and_then(|at| u16::try_from(at).ok());
    let is_lane = read.call_id.is_empty() || told.lane == lane(read.call_id);
    is_lane && (place.is_none() || told.place.is_none_or(|told| Some(told.at) == place))
}

/// A number of the call, of [`LANE_BITS`]: messages of one call keep their order. Two calls that share
/// one wait for each other and nothing else, so it need not be keyed.
fn lane(call_id: &[u8]) -> u32 {
    let (words, rest) = call_id.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain(std::iter::once(&last));
    let sum = words.fold(0, |sum: u32, word| {
        (sum ^ u32::from_le_bytes(*word)).wrapping_mul(0x9e37_79b1)
    });
    sum >> (u32::BITS - LANE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYE: &[u8] = b"BYE sip:b@192.0.2.2 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport\r\n\
        From: <sip:a@192.0.2.1>;tag=1\r\n\
        To: <sip:b@192.0.2.2>;tag=2\r\n\
        Call-ID: 1@example.com\r\n\
        CSeq: 2 BYE\r\n\
        Max-Forwards: 69\r\n\
        Content-Length: 0\r\n\r\n";

    fn padded(coalesce: Coalesce, len: usize) -> String {
        let place = fellow(coalesce, BYE, 0)
            .and_then(|it| it.place)
            .expect("a place");
        let (head, tail) = BYE.split_at(usize::from(place.at));
        let filling = (place.filling)(len);
        assert_eq!(filling.len(), len);
        String::from_utf8([head, filling, tail].concat()).unwrap()
    }

    #[test]
    fn a_message_of_every_length_still_means_the_same() {
        let mut index = sip::Index::new();
        for len in 1..=PAD_BYTES_MAX {
            for coalesce in [Coalesce::OwnParameters, Coalesce::Trailing] {
                let text = padded(coalesce, len);
                let message = sip::parse(text.as_bytes(), &mut index).expect(&text);
                assert_eq!(message.via().branch, b"z9hG4bKa", "{text}");
                assert!(message.via().has_rport(), "{text}");
                assert_eq!(
                    (message.body(), message.call_id()),
                    (&[][..], &b"1@example.com"[..])
                );
            }
        }
        assert!(padded(Coalesce::OwnParameters, 2).contains(";rport;p\r\n"));
        assert!(padded(Coalesce::OwnParameters, 8).contains(";rport;pad=xxx\r\n"));
        assert!(padded(Coalesce::Trailing, 3).ends_with("\r\n\r\n\n\r\n"));
    }

    #[test]
    fn what_was_noted_is_not_read_again() {
        let read = fellow(Coalesce::Trailing, BYE, 0).expect("a fellow");
        let note = NOTED | WHOLE | lane(b"1@example.com");
        let noted = fellow(Coalesce::Trailing, BYE, note).expect("a fellow");
        let of = |fellow: Fellow| (fellow.lane, fellow.place.map(|place| place.at));
        assert_eq!(of(noted), of(read));
        assert_eq!(of(noted).1, Some(BYE.len() as u16));
        let cut = fellow(Coalesce::Trailing, BYE, note & !WHOLE).expect("a fellow");
        assert!(cut.place.is_none(), "nothing says how long it is");
        // What was noted is of the end; a parameter has another place.
        let own = fellow(Coalesce::OwnParameters, BYE, note).expect("a fellow");
        assert!(of(own).1 < of(noted).1);
    }

    #[test]
    fn lanes_are_calls() {
        let of = |bytes: &[u8]| fellow(Coalesce::Trailing, bytes, 0).map(|it| it.lane);
        let other = String::from_utf8(BYE.to_vec()).unwrap().replace("1@", "2@");
        assert_eq!(of(BYE), of(BYE));
        assert_ne!(of(BYE), of(other.as_bytes()));
        assert!(fellow(Coalesce::Off, BYE, 0).is_none());
    }
}
