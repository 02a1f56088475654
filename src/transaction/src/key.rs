//! What tells one server transaction from all others: RFC 3261 §17.2.3.
//!
//! Cost: one SipHash-1-3 over about 60 bytes a request (branch, sent-by, method), twice for a CANCEL.
//! Nothing but the hash is kept. The hash is keyed with a secret, because peers choose every byte of
//! it; its 128 bits are taken for the thing itself.

use std::hash::Hasher;
use std::num::NonZeroU32;

use sip::{Message, Method, Via};
use siphasher::sip128::{Hash128, SipHasher13};

/// The identity of a server transaction, as its hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// In words, so that a slot has no gap behind it.
    hash: [u32; 4],
    /// The To tag of a request by RFC 2543 rules, hashed; `None` for those by RFC 3261. It is kept
    /// apart, because there an ACK carries the tag of the response and not that of the INVITE.
    to_tag: Option<NonZeroU32>,
}

impl Key {
    /// The half that places it in the index.
    pub(crate) fn place(&self) -> u64 {
        u64::from(self.hash[1]) << 32 | u64::from(self.hash[0])
    }

    /// Whether the request came from a client older than RFC 3261.
    #[must_use]
    pub const fn is_rfc2543(&self) -> bool {
        self.to_tag.is_some()
    }

    /// Whether an ACK with this key answers the final response of the INVITE with key `invite`. By
    /// RFC 3261 the same key says so; by RFC 2543 the ACK's To tag must be the response's.
    pub(crate) fn acknowledges(&self, invite: &Key, response_tag: Option<NonZeroU32>) -> bool {
        self.hash == invite.hash && (self.to_tag.is_none() || self.to_tag == response_tag)
    }
}

/// The keyed hash that makes keys. One a table.
#[derive(Clone, Debug)]
pub(crate) struct Keyring {
    empty: SipHasher13,
}

impl Keyring {
    pub(crate) fn new(secret: [u8; 16]) -> Keyring {
        Keyring {
            empty: SipHasher13::new_with_key(&secret),
        }
    }

    /// The key of a request; of its INVITE if it is an ACK.
    pub(crate) fn key(&self, request: &Message<'_>) -> Key {
        let mut fields = Fields::new(self.empty);
        let to_tag = self.put_identity(request, &mut fields);
        fields.put(match request.method() {
            Method::Ack => INVITE,
            _ => request.method_bytes(),
        });
        fields.key(to_tag)
    }

    /// The key of a CANCEL, and that of the INVITE which it would cancel.
    pub(crate) fn cancel_keys(&self, cancel: &Message<'_>) -> (Key, Key) {
        let mut fields = Fields::new(self.empty);
        let to_tag = self.put_identity(cancel, &mut fields);
        let mut invite = fields.clone();
        fields.put(cancel.method_bytes());
        invite.put(INVITE);
        (fields.key(to_tag), invite.key(to_tag))
    }

    /// The tag of a To, hashed: never 0, also for none.
    pub(crate) fn tag(&self, tag: &[u8]) -> NonZeroU32 {
        let mut fields = Fields::new(self.empty);
        fields.put(tag);
        let low = fields.finish().h1 as u32;
        NonZeroU32::new(low).unwrap_or(NonZeroU32::MIN)
    }

    /// The key of the request with this topmost Via and method, if they alone say it: by RFC 3261
    /// rules.
    pub(crate) fn sent_by(&self, via: &Via<'_>, method: &[u8]) -> Option<Key> {
        if !via.has_cookie() {
            return None;
        }
        let mut fields = Fields::new(self.empty);
        put_sender(via, &mut fields);
        fields.put(method);
        Some(fields.key(None))
    }

    /// All of a key but the method; returns the To tag's hash, by RFC 2543 rules.
    fn put_identity(&self, request: &Message<'_>, fields: &mut Fields) -> Option<NonZeroU32> {
        let via = request.via();
        put_sender(&via, fields);
        if via.has_cookie() {
            return None;
        }
        fields.put_lowercase(via.transport);
        fields.put(request.uri());
        fields.put(request.from_tag());
        fields.put(request.call_id());
        fields.write(&request.cseq().to_le_bytes());
        Some(self.tag(request.to_tag()))
    }
}

/// Who sent it, and its branch. Equal hosts and ports, not equal bytes: case does not count, 5060 may
/// be left out.
fn put_sender(via: &Via<'_>, fields: &mut Fields) {
    fields.put_lowercase(via.host);
    fields.write(&via.port_or_default().to_le_bytes());
    fields.put(via.branch);
}

const INVITE: &[u8] = b"INVITE";

/// What is hashed, gathered: SipHash takes one long run of octets in a third of the instructions
/// that it takes for many short ones.
#[derive(Clone)]
struct Fields {
    /// Has taken what did not fit any more.
    hasher: SipHasher13,
    bytes: [u8; FIELDS_BYTES],
    len: usize,
}

/// A request of RFC 3261 has some 60; others go on in more than one run.
const FIELDS_BYTES: usize = 128;

impl Fields {
    fn new(hasher: SipHasher13) -> Fields {
        Fields {
            hasher,
            bytes: [0; FIELDS_BYTES],
            len: 0,
        }
    }

    /// A field and its length, so that no two lists of fields read the same.
    fn put(&mut self, field: &[u8]) {
        self.write(&(field.len() as u32).to_le_bytes());
        self.write(field);
    }

    fn put_lowercase(&mut self, field: &[u8]) {
        self.write(&(field.len() as u32).to_le_bytes());
        let mut rest = field;
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(rest.len().min(FIELDS_BYTES / 2));
            let start = self.write(chunk);
            self.bytes[start..start + chunk.len()].make_ascii_lowercase();
            rest = tail;
        }
    }

    /// Appends octets; returns where they stand, if they fit at all.
    fn write(&mut self, bytes: &[u8]) -> usize {
        if bytes.len() > FIELDS_BYTES - self.len {
            return self.write_long(bytes);
        }
        let start = self.len;
        self.len += bytes.len();
        self.bytes[start..self.len].copy_from_slice(bytes);
        start
    }

    #[cold]
    fn write_long(&mut self, bytes: &[u8]) -> usize {
        self.hasher.write(&self.bytes[..self.len]);
        self.len = 0;
        if bytes.len() > FIELDS_BYTES {
            self.hasher.write(bytes);
            return 0;
        }
        self.write(bytes)
    }

    fn key(&self, to_tag: Option<NonZeroU32>) -> Key {
        let hash = self.finish();
        Key {
            hash: [
                hash.h1 as u32,
                (hash.h1 >> 32) as u32,
                hash.h2 as u32,
                (hash.h2 >> 32) as u32,
            ],
            to_tag,
        }
    }

    fn finish(&self) -> Hash128 {
        self.hasher.hash(&self.bytes[..self.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the octets are cut into runs, the hash is that of the whole.
    #[test]
    fn long_fields_hash_as_one_run() {
        let keyring = Keyring::new(*b"sixteen bytes ok");
        for len in [0, 3, 60, 64, 65, 120, 128, 129, 200, 1_000] {
            let field: Vec<u8> = (0..len).map(|at| b'A' + (at % 26) as u8).collect();
            let mut fields = Fields::new(keyring.empty);
            fields.put(&field);
            fields.put_lowercase(&field);
            fields.put(b"x");
            let mut whole = (len as u32).to_le_bytes().to_vec();
            whole.extend_from_slice(&field);
            whole.extend_from_slice(&(len as u32).to_le_bytes());
            whole.extend(field.to_ascii_lowercase());
            whole.extend_from_slice(&[1, 0, 0, 0, b'x']);
            let (got, want) = (fields.finish(), keyring.empty.hash(&whole));
            assert_eq!((got.h1, got.h2), (want.h1, want.h2), "{len}");
        }
    }
}
