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
//! The key of the branch lives as long as the process; the key of Record-Route is the node's secret
//! and outlives it, so that dialogs of an earlier life are still recognised as ours (RFC 3261
//! §16.12 leaves the content of these URIs to us).

use base::SlotId;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
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
        Keys {
            branch: (half(&process, 0), half(&process, 8)),
            name: (half(&process, 16), half(&process, 24)),
            route: (
                half(&node, 0) ^ half(&node, 16).rotate_left(17),
                half(&node, 8) ^ half(&node, 24).rotate_left(29),
            ),
        }
    }

    /// A keyed hash of something a peer chose: a tag, a Call-ID. Never leaves the process.
    #[must_use]
    pub fn name(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.name.0, self.name.1);
        hasher.write(bytes);
        hasher.finish()
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
        let mut hasher = SipHasher13::new_with_keys(self.branch.0, self.branch.1);
        hasher.write(incoming);
        hasher.write_u64(routed);
        // 24 low bits are the index and 30 above the generation: generation 0 is nobody's slot.
        let hash = hasher.finish();
        let bits = (hash & 0x00ff_ffff) | (hash & (0x3ff << 54));
        self.branch_of(bits, routed ^ hash)
    }

    fn branch_of(&self, bits: u64, routed: u64) -> BranchText {
        let mut text = [0; BRANCH_BYTES];
        let (prefix, rest) = text.split_at_mut(BRANCH_PREFIX.len());
        prefix.copy_from_slice(BRANCH_PREFIX);
        let (slot, rest) = rest.split_at_mut(SLOT_CHARS);
        let (mac, seen) = rest.split_at_mut(BRANCH_MAC_CHARS);
        write(slot, bits);
        write(mac, self.branch_mac(bits));
        write(seen, routed);
        text
    }

    /// The client transaction that a branch names, if the branch is ours and unforged.
    #[must_use]
    pub fn read_branch(&self, branch: &[u8]) -> Option<SlotId> {
        let rest = branch.strip_prefix(BRANCH_PREFIX)?;
        if rest.len() != SLOT_CHARS + BRANCH_MAC_CHARS + LOOP_CHARS {
            return None;
        }
        let bits = read(&rest[..SLOT_CHARS])?;
        let mac = read(&rest[SLOT_CHARS..SLOT_CHARS + BRANCH_MAC_CHARS])?;
        if mac != low(self.branch_mac(bits), BRANCH_MAC_CHARS) {
            return None;
        }
        SlotId::from_bits(bits)
    }

    /// Whether `branch` was made by us for a request that was routed by the same values: a loop,
    /// not a spiral (RFC 5393 §4.2.2).
    #[must_use]
    pub fn is_loop(&self, branch: &[u8], routed: u64) -> bool {
        let Some(rest) = branch.strip_prefix(BRANCH_PREFIX) else {
            return false;
        };
        if rest.len() != SLOT_CHARS + BRANCH_MAC_CHARS + LOOP_CHARS {
            return false;
        }
        let Some(bits) = read(&rest[..SLOT_CHARS]) else {
            return false;
        };
        let mac = read(&rest[SLOT_CHARS..SLOT_CHARS + BRANCH_MAC_CHARS]);
        let seen = read(&rest[SLOT_CHARS + BRANCH_MAC_CHARS..]);
        mac == Some(low(self.branch_mac(bits), BRANCH_MAC_CHARS))
            && seen == Some(low(routed, LOOP_CHARS))
    }

    /// Hashes the values by which a request is routed, in the order they are given.
    #[must_use]
    pub fn routed<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.branch.1, self.branch.0);
        for value in values {
            hasher.write_usize(value.len());
            hasher.write(value);
        }
        hasher.finish()
    }

    fn branch_mac(&self, bits: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.branch.0, self.branch.1);
        hasher.write_u64(bits);
        hasher.finish()
    }

    /// The Record-Route token of the call in `slot`, good for this Call-ID only.
    #[must_use]
    pub fn route(&self, slot: SlotId, call_id: &[u8]) -> RouteText {
        let mut text = [0; ROUTE_TOKEN_BYTES];
        let (head, mac) = text.split_at_mut(SLOT_CHARS);
        write(head, slot.bits());
        write(mac, self.route_mac(slot.bits(), call_id));
        text
    }

    /// The call's slot in a Record-Route token, if we gave the token out for this Call-ID. The slot
    /// may be of an earlier life of this node: compare the call's own Call-ID too.
    #[must_use]
    pub fn read_route(&self, token: &[u8], call_id: &[u8]) -> Option<SlotId> {
        if token.len() != ROUTE_TOKEN_BYTES {
            return None;
        }
        let bits = read(&token[..SLOT_CHARS])?;
        let mac = read(&token[SLOT_CHARS..])?;
        if mac != low(self.route_mac(bits, call_id), ROUTE_MAC_CHARS) {
            return None;
        }
        SlotId::from_bits(bits)
    }

    fn route_mac(&self, bits: u64, call_id: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.route.0, self.route.1);
        hasher.write_u64(bits);
        hasher.write(call_id);
        hasher.finish()
    }

    /// A To tag for a response that we make ourselves: the same for every copy of a request, so
    /// that a stateless refusal is repeated to the letter (RFC 3261 §8.2.7).
    #[must_use]
    pub fn tag(&self, call_id: &[u8], from_tag: &[u8], branch: &[u8]) -> [u8; SLOT_CHARS] {
        let mut text = [0; SLOT_CHARS];
        write(
            &mut text,
            self.routed([call_id, from_tag, branch].into_iter()),
        );
        text
    }
}

/// The low bits of `value` that fit into so many characters.
fn low(value: u64, chars: usize) -> u64 {
    if chars * 5 >= 64 {
        value
    } else {
        value & ((1 << (chars * 5)) - 1)
    }
}

fn write(text: &mut [u8], mut value: u64) {
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
}

/// Reads what [`write`] wrote, in either case; `None` for any other character.
fn read(text: &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for &char in text {
        let digit = match char {
            b'0'..=b'9' => char - b'0',
            b'a'..=b'v' => char - b'a' + 10,
            b'A'..=b'V' => char - b'A' + 10,
            _ => return None,
        };
        value = value.checked_mul(32)?.checked_add(u64::from(digit))?;
    }
    Some(value)
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
        let token = keys().route(slot, b"a@b");
        assert_eq!(keys().read_route(&token, b"a@b"), Some(slot));
        assert_eq!(keys().read_route(&token, b"a@c"), None);
        assert_eq!(
            Keys::new([1; 32], [9; 32]).read_route(&token, b"a@b"),
            Some(slot)
        );
        assert_eq!(Keys::new([7; 32], [1; 32]).read_route(&token, b"a@b"), None);
    }

    #[test]
    fn a_stateless_branch_is_steady_and_names_no_slot() {
        let first = keys().stateless_branch(b"z9hG4bK1", 5);
        assert_eq!(first, keys().stateless_branch(b"z9hG4bK1", 5));
        assert_ne!(first, keys().stateless_branch(b"z9hG4bK2", 5));
        assert_eq!(keys().read_branch(&first), None);
    }
}
