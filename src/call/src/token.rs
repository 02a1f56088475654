//! Tokens that we hand out and take back: the cookie in our Via branch and the one in our
//! Record-Route URI.
//!
//! A token names a slot, so that a response or an in-dialog request finds its state without a
//! search, and carries a keyed hash of it, so that nobody can make one up. Both are written in base
//! 32 with small letters, because a peer may compare or repeat a parameter in any case.
//!
//! ```text
//!   branch        z9hG4bKtl <slot 13> <mac 8> <loop 8>          38 characters
//!   record-route  tl=       <slot 13> <mac 10>                  23 characters
//! ```
//!
//! What leaves the process is hidden by SipHash-1-3, which nobody can compute without its key, however
//! many tokens he has seen. It is taken once, over the characters of the slot as they are written: the
//! transaction and the call keep it, and what comes back is compared with that. A Record-Route token also
//! holds for one Call-ID only; its name, a [`Digest`], stands for it in the hash. Two Call-IDs with one
//! name cannot be found without the secret key of names, which no token tells anything of.
//!
//! The key of the branch lives as long as the process; the keys of Record-Route and of names are the
//! node's secret and outlive it, so that dialogs of an earlier life are still recognised as ours (RFC 3261
//! §16.12 leaves the content of these URIs to us).

use std::hash::Hasher;

use base::{Digest, ShardId, SlotId};
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
/// What tells a branch of ours from a forged one: 40 bits.
pub type BranchMark = u64;
/// What tells a Record-Route token of ours from a forged one.
pub type RouteMark = [u8; ROUTE_MAC_CHARS];
/// A Record-Route token as bytes.
pub type RouteText = [u8; ROUTE_TOKEN_BYTES];

/// The keys behind our tokens and our tables of names that peers choose.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    branch: (u64, u64),
    route: (u64, u64),
    names: Digest,
    /// What requests are routed by is mixed with these.
    routed: (u64, u64),
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
        let branch = (half(&process, 0), half(&process, 8));
        let derived = |(k0, k1), label: &[u8], number| {
            let mut hasher = SipHasher13::new_with_keys(k0, k1);
            hasher.write(label);
            hasher.write_usize(number);
            hasher.finish()
        };
        Keys {
            branch,
            route,
            names: Digest::new(|at| derived(route, b"names", at)),
            routed: (derived(branch, b"routed", 0), derived(branch, b"routed", 1)),
        }
    }

    /// The names that a message goes by.
    #[must_use]
    #[inline]
    pub fn names(&self, message: &Message<'_>) -> DialogNames {
        DialogNames {
            call_id: self.name(message.call_id()),
            from_tag: self.name(message.from_tag()),
            to_tag: self.name(message.to_tag()),
        }
    }

    /// A keyed hash of something a peer chose: a tag, a Call-ID. Never leaves the node.
    #[must_use]
    #[inline]
    pub fn name(&self, text: &[u8]) -> u64 {
        self.names.text(text)
    }

    /// The branch for a client transaction in `slot`. `routed` is [`Keys::routed`] of the request,
    /// which a later visit of the same request is told by (RFC 5393 §4.2.1).
    #[must_use]
    pub fn branch(&self, slot: SlotId, routed: u64) -> BranchText {
        let slot = slot_text(slot.bits());
        branch_of(&slot, self.branch_mac(&slot), routed)
    }

    /// The branch of a request that is forwarded without a transaction: an ACK for a 2xx. The same
    /// for every retransmission of it, as RFC 3261 §16.11 asks. It names no slot.
    #[must_use]
    pub fn stateless_branch(&self, incoming: &[u8], routed: u64) -> BranchText {
        // 24 low bits are the index and 30 above the generation: generation 0 is nobody's slot.
        let hash = absorb(self.routed.0 ^ routed, self.routed.1, incoming);
        let bits = (hash & 0x00ff_ffff) | (hash & (0x3ff << 54));
        branch_of(&slot_text(bits), hash >> 24, routed ^ hash)
    }

    /// The client transaction that a branch of ours names, and its mark. It is unforged if that is the
    /// [`mark_of`] of the branch that this transaction has.
    #[must_use]
    #[inline]
    pub fn read_branch(branch: &[u8]) -> Option<(SlotId, BranchMark)> {
        let rest = branch.strip_prefix(BRANCH_PREFIX)?;
        let (slot, rest) = rest.split_first_chunk::<SLOT_CHARS>()?;
        let (mark, rest) = rest.split_first_chunk::<BRANCH_MAC_CHARS>()?;
        let slot = SlotId::from_bits(read_slot(slot))?;
        (rest.len() == LOOP_CHARS).then(|| (slot, read_eight(*mark)))
    }

    /// The shard that a branch of ours names. Whether it is forged is not asked: this is for handing
    /// the message on, and the shard itself asks.
    #[must_use]
    #[inline]
    pub fn shard_of_branch(branch: &[u8]) -> Option<ShardId> {
        let slot = branch.strip_prefix(BRANCH_PREFIX)?.first_chunk()?;
        Some(SlotId::from_bits(read_slot(slot))?.shard())
    }

    /// Whether `branch` was made by us for a request that was routed by the same values: a loop,
    /// not a spiral (RFC 5393 §4.2.2). That alone says that it is ours: nobody else can mix them.
    #[must_use]
    #[inline]
    pub fn is_loop(branch: &[u8], routed: u64) -> bool {
        let seen = branch
            .strip_prefix(BRANCH_PREFIX)
            .and_then(|rest| rest.split_last_chunk());
        seen.is_some_and(|(_, seen)| in_small(*seen) == eight(routed))
    }

    /// Mixes the values by which a request is routed, in the order they are given, into what was
    /// mixed `before`. Quick and not strong: who finds two requests that mix to the same is told of
    /// a loop that is none.
    #[must_use]
    pub fn routed<'a>(&self, before: u64, values: impl Iterator<Item = &'a [u8]>) -> u64 {
        values.fold(before, |state, value| absorb(state, self.routed.0, value))
    }

    /// Mixes the names of its dialog in, and one number more.
    #[must_use]
    #[inline]
    pub fn routed_names(&self, before: u64, names: &DialogNames, number: u64) -> u64 {
        let key = self.routed.0;
        let state = fold(before ^ names.call_id, key ^ names.from_tag) ^ key;
        fold(state ^ names.to_tag, key ^ number) ^ key
    }

    /// What [`Keys::routed`] begins with.
    #[must_use]
    pub const fn routed_none(&self) -> u64 {
        self.routed.1
    }

    #[inline]
    fn branch_mac(&self, slot: &[u8; SLOT_CHARS]) -> u64 {
        let (first, second) = slot_words(slot);
        sip_hash(self.branch, [first, second])
    }

    /// What makes the Record-Route token of the call in `slot` unforgeable, for the Call-ID of this
    /// name.
    #[must_use]
    pub fn route_mark(&self, slot: SlotId, call_id: u64) -> RouteMark {
        ten(self.route_mac(&slot_text(slot.bits()), call_id))
    }

    /// The Record-Route token of the call in `slot`, with its [`Keys::route_mark`].
    #[must_use]
    pub fn route(slot: SlotId, mark: &RouteMark) -> RouteText {
        let mut text = [0; ROUTE_TOKEN_BYTES];
        let (head, tail) = text.split_at_mut(SLOT_CHARS);
        head.copy_from_slice(&slot_text(slot.bits()));
        tail.copy_from_slice(mark);
        text
    }

    /// The call's slot in a Record-Route token and the mark behind it. Whether we gave the token out is
    /// for the call to say, which knows its mark; or, if it is gone, for [`Keys::read_route`].
    #[must_use]
    #[inline]
    pub fn split_route(token: &[u8]) -> Option<(SlotId, &RouteMark)> {
        let (slot, mark) = token.split_first_chunk::<SLOT_CHARS>()?;
        Some((SlotId::from_bits(read_slot(slot))?, mark.try_into().ok()?))
    }

    /// The call's slot in a Record-Route token, if we gave the token out for the Call-ID of this
    /// name. The slot may be of an earlier life of this node: compare the call's own Call-ID too.
    #[must_use]
    #[inline]
    pub fn read_route(&self, token: &[u8], call_id: u64) -> Option<SlotId> {
        let (slot, mac) = token.split_first_chunk::<SLOT_CHARS>()?;
        let ours = ten(self.route_mac(slot, call_id));
        let is_ours = mac == ours || mac.eq_ignore_ascii_case(&ours);
        is_ours
            .then(|| SlotId::from_bits(read_slot(slot)))
            .flatten()
    }

    #[inline]
    fn route_mac(&self, slot: &[u8; SLOT_CHARS], call_id: u64) -> u64 {
        let (first, second) = slot_words(slot);
        sip_hash(self.route, [first, second, call_id])
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

fn branch_of(slot: &[u8; SLOT_CHARS], mark: u64, routed: u64) -> BranchText {
    let mut text = [0; BRANCH_BYTES];
    let (prefix, rest) = text.split_at_mut(BRANCH_PREFIX.len());
    prefix.copy_from_slice(BRANCH_PREFIX);
    let (head, rest) = rest.split_at_mut(SLOT_CHARS);
    let (mac, seen) = rest.split_at_mut(BRANCH_MAC_CHARS);
    head.copy_from_slice(slot);
    mac.copy_from_slice(&eight(mark));
    seen.copy_from_slice(&eight(routed));
    text
}

/// The mark in a branch that we made.
#[must_use]
pub fn mark_of(branch: &BranchText) -> BranchMark {
    let mut mark = [0; BRANCH_MAC_CHARS];
    mark.copy_from_slice(&branch[BRANCH_PREFIX.len() + SLOT_CHARS..][..BRANCH_MAC_CHARS]);
    read_eight(mark)
}

/// Whether a branch of ours may stand in a Via: a look at its text alone, before it is taken apart.
pub(crate) fn may_hold_branch(via: &[u8]) -> bool {
    via.windows(BRANCH_PREFIX.len())
        .any(|window| window == BRANCH_PREFIX)
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

/// Eight characters in small letters; digits stay as they are. Control characters become digits, but
/// no message with one in a token gets this far.
const fn in_small(text: [u8; 8]) -> [u8; 8] {
    (u64::from_le_bytes(text) | 0x2020_2020_2020_2020).to_le_bytes()
}

/// The characters of a slot as two words, the same in either case.
#[inline]
fn slot_words(slot: &[u8; SLOT_CHARS]) -> (u64, u64) {
    let (mut first, mut second) = ([0; 8], [0; 8]);
    first.copy_from_slice(&slot[..8]);
    second.copy_from_slice(&slot[SLOT_CHARS - 8..]);
    let word = |text| u64::from_le_bytes(in_small(text));
    (word(first), word(second))
}

/// SipHash-1-3 over whole words. The length is left out: under one key all are equally many.
#[inline]
fn sip_hash<const WORDS: usize>((k0, k1): (u64, u64), words: [u64; WORDS]) -> u64 {
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    for word in words {
        state[3] ^= word;
        sip_round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    for _ in 0..3 {
        sip_round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline]
fn sip_round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

/// Reads what [`eight`] wrote, in either case. Of other characters it makes something.
#[inline]
fn read_eight(text: [u8; 8]) -> u64 {
    let text = u64::from_be_bytes(text);
    let is_letter = (text & 0x4040_4040_4040_4040) >> 6;
    // '0' is 0x30 and 'a' is 0x61: what is above the low four bits of a digit goes.
    let digits = (text & 0x1f1f_1f1f_1f1f_1f1f) + is_letter * 9;
    let digits = digits ^ (is_letter ^ 0x0101_0101_0101_0101) << 4;
    let value = (digits & 0x1f00_1f00_1f00_1f00) >> 3 | digits & 0x001f_001f_001f_001f;
    let value = (value & 0x03ff_0000_03ff_0000) >> 6 | value & 0x0000_03ff_0000_03ff;
    (value & 0x000f_ffff_0000_0000) >> 12 | value & 0x000f_ffff
}

/// Reads what [`slot_text`] wrote, in either case.
#[inline]
fn read_slot(text: &[u8; SLOT_CHARS]) -> u64 {
    let (mut first, mut last) = ([0; 8], [0; 8]);
    first.copy_from_slice(&text[..8]);
    last.copy_from_slice(&text[SLOT_CHARS - 8..]);
    // The first five characters are the first word's; its other three are said again by the last.
    (read_eight(first) >> 15) << 40 | read_eight(last)
}

/// Takes `value` into a running mix: one wide multiplication for each 16 octets.
#[inline]
fn absorb(state: u64, key: u64, value: &[u8]) -> u64 {
    let fold = |state: u64, pair: &[u8; 16]| {
        let whole = u128::from_le_bytes(*pair);
        fold(state ^ whole as u64, key ^ (whole >> 64) as u64)
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

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let wide = u128::from(one) * u128::from(other);
    wide as u64 ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new([7; 32], [9; 32])
    }

    /// As the owner of the transaction reads a branch, which knows the mark of its own.
    fn read_branch(keys: &Keys, branch: &[u8]) -> Option<SlotId> {
        let (slot, mark) = Keys::read_branch(branch)?;
        (mark == mark_of(&keys.branch(slot, 0))).then_some(slot)
    }

    #[test]
    fn a_branch_finds_its_slot_in_either_case() {
        let slot = SlotId::new(ShardId(1023), 0x00ff_ffff, SlotId::GENERATION_MAX);
        let branch = keys().branch(slot, 77);
        assert_eq!(read_branch(&keys(), &branch), Some(slot));
        assert_eq!(Keys::shard_of_branch(&branch), Some(slot.shard()));
        assert_eq!(Keys::shard_of_branch(&branch[1..]), None);
        let mut upper = branch;
        upper[BRANCH_PREFIX.len()..].make_ascii_uppercase();
        assert_eq!(read_branch(&keys(), &upper), Some(slot));
        assert!(Keys::is_loop(&branch, 77) && !Keys::is_loop(&branch, 78));
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
            let in_capitals = |char: u8| char.to_ascii_uppercase();
            assert_eq!(read_eight(short), value & 0xff_ffff_ffff);
            assert_eq!(read_eight(short.map(in_capitals)), value & 0xff_ffff_ffff);
            assert_eq!(read_slot(&long), value);
            assert_eq!(read_slot(&long.map(in_capitals)), value);
        }
        assert_eq!(read_slot(b"fvvvvvvvvvvvv"), u64::MAX);
    }

    /// The hasher of the crate, which puts the length behind the words, agrees.
    #[test]
    fn our_siphash_is_siphash() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let hasher = SipHasher13::new_with_keys(key.0, key.1);
        let words = [1, u64::MAX, 0x0123_4567_89ab_cdef];
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|word: &u64| word.to_le_bytes())
            .collect();
        let [a, b, c] = words;
        assert_eq!(sip_hash(key, [a, b, c, 24 << 56]), hasher.hash(&bytes));
        assert_eq!(sip_hash(key, [a, 8 << 56]), hasher.hash(&bytes[..8]));
    }

    /// A character that is no digit may be read as one; it never leads anywhere else.
    #[test]
    fn a_branch_with_another_character_names_no_other_slot() {
        let slot = SlotId::new(ShardId(3), 0x00aa_bbcc, 0x1234_5678);
        let branch = keys().branch(slot, 1);
        for at in 0..SLOT_CHARS + BRANCH_MAC_CHARS {
            let place = BRANCH_PREFIX.len() + at;
            for char in b'!'..=255 {
                let mut other = branch;
                other[place] = char;
                let read = read_branch(&keys(), &other);
                assert!(read.is_none_or(|read| read == slot), "{char} at {at}");
                // The first digit of 13 has four bits only.
                let is_digit = char.is_ascii_alphanumeric() && char.to_ascii_lowercase() < b'w';
                if at > 0 && is_digit {
                    let is_same = char.eq_ignore_ascii_case(&branch[place]);
                    assert_eq!(read.is_some(), is_same, "{char} at {at}");
                }
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
            assert_eq!(read_branch(&keys(), &forged), None, "character {at}");
        }
        let other = Keys::new([8; 32], [9; 32]);
        assert_eq!(read_branch(&other, &branch), None, "another process's key");
    }

    #[test]
    fn a_route_token_holds_for_its_call_id_and_over_restarts() {
        let slot = SlotId::new(ShardId(3), 9, 2);
        let mark = keys().route_mark(slot, keys().name(b"a@b"));
        let token = Keys::route(slot, &mark);
        assert_eq!(Keys::split_route(&token), Some((slot, &mark)));
        assert_eq!(Keys::split_route(&token[1..]), None);
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
        assert_eq!(read_branch(&keys(), &first), None);
    }
}
