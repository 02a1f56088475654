//! Tokens that we hand out and take back: the cookie in our Via branch and the one in our
//! Record-Route URI.
//!
//! A token names a slot, so that a response or an in-dialog request finds its state without a
//! search, and carries a keyed hash, so that nobody can make one up. Both are written in base 32
//! with small letters, because a peer may compare or repeat a parameter in any case.
//!
//! ```text
//!   branch        z9hG4bKtl <slot 13> <mac 8> <loop 8>          38 characters
//!   record-route  tl=       <slot 13> <mac 10>                  23 characters
//! ```
//!
//! The key of the branch lives as long as the process; the keys of Record-Route and of names are the
//! node's secret and outlive it, so that dialogs of an earlier life are still recognised as ours (RFC 3261
//! §16.12 leaves the content of these URIs to us).

use std::hash::Hasher;

use base::SlotId;
use sip::Message;
use siphasher::sip::SipHasher13;

const SLOT_CHARS: usize = 13;
const BRANCH_MAC_CHARS: usize = 8;
const LOOP_CHARS: usize = 8;
const ROUTE_MAC_CHARS: usize = 10;

/// What every branch of ours begins with: RFC 3261's cookie (§8.1.1.7) and our own mark.
pub const BRANCH_PREFIX: &[u8] = b"z9hG4bKtl";
/// The length of every branch of ours.
pub const BRANCH_BYTES: usize = BRANCH_PREFIX.len() + SLOT_CHARS + BRANCH_MAC_CHARS + LOOP_CHARS;
/// The length of a Record-Route token.
pub const ROUTE_TOKEN_BYTES: usize = SLOT_CHARS + ROUTE_MAC_CHARS;
/// The URI parameter that carries the Record-Route token.
pub const ROUTE_PARAM: &[u8] = b"tl";

/// A Via branch as bytes.
pub type BranchText = [u8; BRANCH_BYTES];
/// A Record-Route token as bytes.
pub type RouteText = [u8; ROUTE_TOKEN_BYTES];

/// The keys behind our tokens and our tables of names that peers choose.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    branch: (u64, u64),
    route: (u64, u64),
    name: (u64, u64),
    /// The name of nothing: most requests that begin a call have no To tag.
    no_name: u64,
}

/// What tells a dialog from others (RFC 3261 §12), hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialogNames {
    /// The name of the Call-ID.
    pub call_id: u64,
    /// The name of the From tag.
    pub from_tag: u64,
    /// The name of the To tag.
    pub to_tag: u64,
}

impl Keys {
    /// Derives the keys: `process` is random for each start, `node` is the node's kept secret.
    #[must_use]
    pub fn new(process: [u8; 32], node: [u8; 32]) -> Keys {
        let half = |bytes: &[u8; 32], at: usize| {
            let mut half = [0; 8];
            half.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(half)
        };
        let route = (
            half(&node, 0) ^ half(&node, 16).rotate_left(17),
            half(&node, 8) ^ half(&node, 24).rotate_left(29),
        );
        let derived = |label: &[u8]| SipHasher13::new_with_keys(route.0, route.1).hash(label);
        let name = (
            derived(b"names, first half"),
            derived(b"names, second half"),
        );
        Keys {
            branch: (half(&process, 0), half(&process, 8)),
            name,
            no_name: SipHasher13::new_with_keys(name.0, name.1).hash(b""),
            route,
        }
    }

    /// The names that a message goes by.
    #[must_use]
    pub fn names(&self, message: &Message<'_>) -> DialogNames {
        let to_tag = message.to_tag();
        DialogNames {
            call_id: self.name(message.call_id()),
            from_tag: self.name(message.from_tag()),
            to_tag: match to_tag {
                [] => self.no_name,
                to_tag => self.name(to_tag),
            },
        }
    }

    /// A keyed hash of something a peer chose: a tag, a Call-ID. Never leaves the node.
    #[must_use]
    pub fn name(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.name.0, self.name.1).hash(bytes)
    }

    /// The branch for a client transaction in `slot`. `routed` is [`Keys::routed`] of the request,
    /// which a later visit of the same request is told by (RFC 5393 §4.2.1).
    #[must_use]
    pub fn branch(&self, slot: SlotId, routed: u64) -> BranchText {
        self.branch_of(slot.bits(), routed)
    }

    /// The branch of a request that is forwarded without a transaction: an ACK for a 2xx. The same
    /// for every retransmission of it, as RFC 3261 §16.11 asks. It names no slot.
    #[must_use]
    pub fn stateless_branch(&self, incoming: &[u8], routed: u64) -> BranchText {
        // 24 low bits are the index and 30 above the generation: generation 0 is nobody's slot.
        let hash = absorb(self.branch.0 ^ routed, self.branch.1, incoming);
        let bits = (hash & 0x00ff_ffff) | (hash & (0x3ff << 54));
        self.branch_of(bits, routed ^ hash)
    }

    fn branch_of(&self, bits: u64, routed: u64) -> BranchText {
        let mut text = [0; BRANCH_BYTES];
        let (prefix, rest) = text.split_at_mut(BRANCH_PREFIX.len());
        prefix.copy_from_slice(BRANCH_PREFIX);
        let (slot, rest) = rest.split_at_mut(SLOT_CHARS);
        let (mac, seen) = rest.split_at_mut(BRANCH_MAC_CHARS);
        slot.copy_from_slice(&slot_text(bits));
        mac.copy_from_slice(&eight(self.branch_mac(bits)));
        seen.copy_from_slice(&eight(routed));
        text
    }

    /// The client transaction that a branch names, if the branch is ours and unforged.
    #[must_use]
    pub fn read_branch(&self, branch: &[u8]) -> Option<SlotId> {
        let (bits, _) = self.read_ours(branch)?;
        SlotId::from_bits(bits)
    }

    /// The bits and the loop mark of an unforged branch of ours.
    fn read_ours<'b>(&self, branch: &'b [u8]) -> Option<(u64, &'b [u8; LOOP_CHARS])> {
        let rest = branch.strip_prefix(BRANCH_PREFIX)?;
        let (slot, rest) = rest.split_first_chunk::<SLOT_CHARS>()?;
        let (mac, rest) = rest.split_first_chunk::<BRANCH_MAC_CHARS>()?;
        let (seen, rest) = rest.split_first_chunk::<LOOP_CHARS>()?;
        let bits = read_slot(slot)?;
        let ours = eight(self.branch_mac(bits));
        let is_ours = rest.is_empty() && (*mac == ours || mac.eq_ignore_ascii_case(&ours));
        is_ours.then_some((bits, seen))
    }

    /// Whether `branch` was made by us for a request that was routed by the same values: a loop,
    /// not a spiral (RFC 5393 §4.2.2).
    #[must_use]
    pub fn is_loop(&self, branch: &[u8], routed: u64) -> bool {
        self.read_ours(branch)
            .is_some_and(|(_, seen)| read_eight(*seen) == Some(low(routed)))
    }

    /// Mixes the values by which a request is routed, in the order they are given, into what was
    /// mixed `before`. Quick and not strong: who finds two requests that mix to the same is told of
    /// a loop that is none.
    #[must_use]
    pub fn routed<'a>(&self, before: u64, values: impl Iterator<Item = &'a [u8]>) -> u64 {
        values.fold(before, |state, value| absorb(state, self.branch.0, value))
    }

    /// What [`Keys::routed`] begins with.
    #[must_use]
    pub const fn routed_none(&self) -> u64 {
        self.branch.1
    }

    fn branch_mac(&self, bits: u64) -> u64 {
        SipHasher13::new_with_keys(self.branch.0, self.branch.1).hash(&bits.to_le_bytes())
    }

    /// The Record-Route token of the call in `slot`, good only for the Call-ID of this name.
    #[must_use]
    pub fn route(&self, slot: SlotId, call_id: u64) -> RouteText {
        let mut text = [0; ROUTE_TOKEN_BYTES];
        let (head, mac) = text.split_at_mut(SLOT_CHARS);
        head.copy_from_slice(&slot_text(slot.bits()));
        mac.copy_from_slice(&ten(self.route_mac(slot.bits(), call_id)));
        text
    }

    /// The call's slot in a Record-Route token, if we gave the token out for the Call-ID of this
    /// name. The slot may be of an earlier life of this node: compare the call's own Call-ID too.
    #[must_use]
    pub fn read_route(&self, token: &[u8], call_id: u64) -> Option<SlotId> {
        let (slot, mac) = token.split_first_chunk::<SLOT_CHARS>()?;
        let bits = read_slot(slot)?;
        let ours = ten(self.route_mac(bits, call_id));
        let is_ours = mac == ours || mac.eq_ignore_ascii_case(&ours);
        is_ours.then(|| SlotId::from_bits(bits)).flatten()
    }

    fn route_mac(&self, bits: u64, call_id: u64) -> u64 {
        let mut named = [0; 16];
        named[..8].copy_from_slice(&bits.to_le_bytes());
        named[8..].copy_from_slice(&call_id.to_le_bytes());
        SipHasher13::new_with_keys(self.route.0, self.route.1).hash(&named)
    }

    /// A To tag for a response that we make ourselves: the same for every copy of a request, so
    /// that a stateless refusal is repeated to the letter (RFC 3261 §8.2.7).
    #[must_use]
    pub fn tag(&self, call_id: &[u8], from_tag: &[u8], branch: &[u8]) -> [u8; SLOT_CHARS] {
        let mut hasher = SipHasher13::new_with_keys(self.branch.1, self.branch.0);
        for value in [call_id, from_tag, branch] {
            hasher.write_usize(value.len());
            hasher.write(value);
        }
        slot_text(hasher.finish())
    }
}

/// Whether a branch of ours may stand in a Via: a look at its text alone, before it is taken apart.
pub(crate) fn may_hold_branch(via: &[u8]) -> bool {
    via.windows(BRANCH_PREFIX.len())
        .any(|window| window == BRANCH_PREFIX)
}

/// What eight characters hold of `value`.
const fn low(value: u64) -> u64 {
    value & 0xff_ffff_ffff
}

/// The low 40 bits of `value` in eight characters, all at once.
///
/// ```text
///   40 bits ──▶ 2 × 20 in 32 ──▶ 4 × 10 in 16 ──▶ 8 × 5 in 8
/// ```
fn eight(value: u64) -> [u8; 8] {
    let value = (value & 0xff_fff0_0000) << 12 | value & 0x000f_ffff;
    let value = (value & 0x000f_fc00_000f_fc00) << 6 | value & 0x0000_03ff_0000_03ff;
    let value = (value & 0x03e0_03e0_03e0_03e0) << 3 | value & 0x001f_001f_001f_001f;
    // 118 more sets the high bit of every digit from 10 on: those are letters.
    let is_letter = ((value + 0x7676_7676_7676_7676) & 0x8080_8080_8080_8080) >> 7;
    let chars = value + 0x3030_3030_3030_3030 + is_letter * u64::from(b'a' - b'0' - 10);
    chars.to_be_bytes()
}

/// The low 50 bits of `value` in ten characters.
fn ten(value: u64) -> [u8; ROUTE_MAC_CHARS] {
    let mut text = [0; ROUTE_MAC_CHARS];
    text[..2].copy_from_slice(&eight(value >> 40)[6..]);
    text[2..].copy_from_slice(&eight(value));
    text
}

fn slot_text(bits: u64) -> [u8; SLOT_CHARS] {
    let mut text = [0; SLOT_CHARS];
    let (high, low) = text.split_at_mut(SLOT_CHARS - 8);
    high.copy_from_slice(&eight(bits >> 40)[8 - high.len()..]);
    low.copy_from_slice(&eight(bits));
    text
}

/// Reads what [`eight`] wrote, in either case: the digits are put together again, and what does not
/// give the same text when it is written was none of ours.
fn read_eight(text: [u8; 8]) -> Option<u64> {
    let text = u64::from_be_bytes(text);
    let letters = text & 0x4040_4040_4040_4040;
    let text = text | letters >> 1;
    let is_letter = letters >> 6;
    let digits = (text & 0x1f1f_1f1f_1f1f_1f1f) + is_letter * 9;
    let digits = digits ^ (is_letter ^ 0x0101_0101_0101_0101) << 4;
    let value = (digits & 0x1f00_1f00_1f00_1f00) >> 3 | digits & 0x001f_001f_001f_001f;
    let value = (value & 0x03ff_0000_03ff_0000) >> 6 | value & 0x0000_03ff_0000_03ff;
    let value = (value & 0x000f_ffff_0000_0000) >> 12 | value & 0x000f_ffff;
    (eight(value) == text.to_be_bytes()).then_some(value)
}

/// Reads what [`slot_text`] wrote; `None` too if it is more than 64 bits.
fn read_slot(text: &[u8; SLOT_CHARS]) -> Option<u64> {
    let (high, low) = text.split_at(SLOT_CHARS - 8);
    let mut first = [b'0'; 8];
    first[8 - high.len()..].copy_from_slice(high);
    let high = read_eight(first)?;
    let low = read_eight(low.try_into().ok()?)?;
    (high >> 24 == 0).then_some(high << 40 | low)
}

/// Takes `value` into a running mix: one wide multiplication for each 16 octets.
#[inline]
fn absorb(state: u64, key: u64, value: &[u8]) -> u64 {
    let fold = |state: u64, pair: &[u8; 16]| {
        let half = |at: usize| {
            let mut half = [0; 8];
            half.copy_from_slice(&pair[at..at + 8]);
            u64::from_le_bytes(half)
        };
        let wide = u128::from(state ^ half(0)) * u128::from(key ^ half(8));
        wide as u64 ^ (wide >> 64) as u64
    };
    let mut state = state ^ (value.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let Some(last) = value.last_chunk::<16>() else {
        let mut short = [0; 16];
        short[..value.len()].copy_from_slice(value);
        return fold(state, &short) ^ key;
    };
    // The last pair may overlap the one before it: the length, which is in the mix, tells them.
    let (pairs, rest) = value.as_chunks::<16>();
    for pair in pairs {
        state = fold(state, pair);
    }
    if !rest.is_empty() {
        state = fold(state, last);
    }
    state ^ key
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::ShardId;

    fn keys() -> Keys {
        Keys::new([7; 32], [9; 32])
    }

    #[test]
    fn a_branch_finds_its_slot_in_either_case() {
        let slot = SlotId::new(ShardId(1023), 0x00ff_ffff, SlotId::GENERATION_MAX);
        let branch = keys().branch(slot, 77);
        assert_eq!(keys().read_branch(&branch), Some(slot));
        let mut upper = branch;
        upper[BRANCH_PREFIX.len()..].make_ascii_uppercase();
        assert_eq!(keys().read_branch(&upper), Some(slot));
        assert!(keys().is_loop(&branch, 77) && !keys().is_loop(&branch, 78));
    }

    #[test]
    fn eight_characters_at_once_are_those_one_by_one() {
        let digits = b"0123456789abcdefghijklmnopqrstuv";
        let one_by_one = |text: &mut [u8], value: u64| {
            for (at, place) in text.iter_mut().rev().enumerate() {
                let rest = value.checked_shr(5 * at as u32).unwrap_or(0);
                *place = digits[(rest & 31) as usize];
            }
        };
        let mut value = 0x0123_4567_89ab_cdef_u64;
        for _ in 0..1_000 {
            value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (mut short, mut middle, mut long) = ([0; 8], [0; 10], [0; SLOT_CHARS]);
            one_by_one(&mut short, value);
            one_by_one(&mut middle, value);
            one_by_one(&mut long, value);
            assert_eq!((eight(value), ten(value)), (short, middle));
            assert_eq!(slot_text(value), long);
            assert_eq!(read_eight(short), Some(low(value)));
            assert_eq!(
                read_eight(short.map(|char| char.to_ascii_uppercase())),
                Some(low(value))
            );
            assert_eq!(read_slot(&long), Some(value));
        }
        assert_eq!(read_slot(b"fvvvvvvvvvvvv"), Some(u64::MAX));
        assert_eq!(read_slot(b"g000000000000"), None, "65 bits");
    }

    #[test]
    fn other_characters_are_not_read() {
        let known = |char: u8| matches!(char, b'0'..=b'9' | b'a'..=b'v' | b'A'..=b'V');
        for char in 0..=255 {
            for at in 0..8 {
                let mut text = *b"0a9vVq7m";
                text[at] = char;
                assert_eq!(read_eight(text).is_some(), known(char), "{char} at {at}");
            }
        }
    }

    #[test]
    fn what_a_request_is_routed_by_tells_it_from_others() {
        let keys = keys();
        let mix = |values: &[&[u8]]| keys.routed(keys.routed_none(), values.iter().copied());
        let mut seen = std::collections::HashSet::new();
        let text = b"sip:+4412345@192.0.2.100;user=phone";
        for length in 0..=text.len() {
            let (head, tail) = text.split_at(length);
            assert!(seen.insert(mix(&[head])), "{length}");
            assert!(seen.insert(mix(&[head, tail])), "{length} and the rest");
        }
        for at in 0..text.len() {
            let mut other = *text;
            other[at] ^= 1;
            assert!(seen.insert(mix(&[&other])), "another octet {at}");
        }
        assert_eq!(mix(&[text]), mix(&[text]));
    }

    #[test]
    fn a_changed_branch_is_nobodys() {
        let branch = keys().branch(SlotId::new(ShardId(0), 5, 1), 1);
        for at in 0..SLOT_CHARS + BRANCH_MAC_CHARS {
            let mut forged = branch;
            let place = &mut forged[BRANCH_PREFIX.len() + at];
            *place = if *place == b'0' { b'1' } else { b'0' };
            assert_eq!(keys().read_branch(&forged), None, "character {at}");
        }
        let other = Keys::new([8; 32], [9; 32]);
        assert_eq!(other.read_branch(&branch), None, "another process's key");
    }

    #[test]
    fn a_route_token_holds_for_its_call_id_and_over_restarts() {
        let slot = SlotId::new(ShardId(3), 9, 2);
        let token = keys().route(slot, keys().name(b"a@b"));
        let read = |keys: Keys, token: &[u8], call_id| keys.read_route(token, keys.name(call_id));
        assert_eq!(read(keys(), &token, b"a@b"), Some(slot));
        assert_eq!(
            read(keys(), &token.to_ascii_uppercase(), b"a@b"),
            Some(slot)
        );
        assert_eq!(read(keys(), &token, b"a@c"), None);
        assert_eq!(
            read(Keys::new([1; 32], [9; 32]), &token, b"a@b"),
            Some(slot)
        );
        assert_eq!(read(Keys::new([7; 32], [1; 32]), &token, b"a@b"), None);
        for at in 0..token.len() {
            let mut forged = token;
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(read(keys(), &forged, b"a@b"), None, "character {at}");
        }
    }

    #[test]
    fn a_stateless_branch_is_steady_and_names_no_slot() {
        let first = keys().stateless_branch(b"z9hG4bK1", 5);
        assert_eq!(first, keys().stateless_branch(b"z9hG4bK1", 5));
        assert_ne!(first, keys().stateless_branch(b"z9hG4bK2", 5));
        assert_eq!(keys().read_branch(&first), None);
    }
}
