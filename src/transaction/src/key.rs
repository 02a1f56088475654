//! What tells one server transaction from all others: RFC 3261 §17.2.3.
//!
//! Cost: one SipHash-1-3 over about 60 bytes a request (branch, sent-by, method), twice its last
//! block for a CANCEL. Nothing but the hash is kept. The hash is keyed with a secret, because peers
//! choose every byte of it; its 128 bits are taken for the thing itself.

use std::hash::Hasher;
use std::num::NonZeroU32;

use sip::{Message, Method, Via};
use siphasher::sip128::{Hasher128, SipHasher13};

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
        let method = match request.method() {
            Method::Ack => INVITE,
            _ => request.method_bytes(),
        };
        self.identity(request).with_method(method)
    }

    /// The key of a CANCEL, and that of the INVITE which it would cancel.
    pub(crate) fn cancel_keys(&self, cancel: &Message<'_>) -> (Key, Key) {
        let identity = self.identity(cancel);
        let invite = identity.clone().with_method(INVITE);
        (identity.with_method(cancel.method_bytes()), invite)
    }

    /// The tag of a To, hashed: never 0, also for none.
    pub(crate) fn tag(&self, tag: &[u8]) -> NonZeroU32 {
        let mut hasher = self.empty;
        put(&mut hasher, tag);
        let low = hasher.finish128().h1 as u32;
        NonZeroU32::new(low).unwrap_or(NonZeroU32::MIN)
    }

    /// The key of the request with this topmost Via and method, if they alone say it: by RFC 3261
    /// rules.
    pub(crate) fn sent_by(&self, via: &Via<'_>, method: &[u8]) -> Option<Key> {
        let identity = || Identity {
            hasher: self.sender(via),
            to_tag: None,
        };
        via.has_cookie().then(|| identity().with_method(method))
    }

    fn sender(&self, via: &Via<'_>) -> SipHasher13 {
        let mut hasher = self.empty;
        // Equal hosts and ports, not equal bytes: case does not count, 5060 may be left out.
        put_lowercase(&mut hasher, via.host);
        hasher.write_u16(via.port_or_default());
        put(&mut hasher, via.branch);
        hasher
    }

    fn identity(&self, request: &Message<'_>) -> Identity {
        let via = request.via();
        let mut hasher = self.sender(&via);
        if via.has_cookie() {
            return Identity {
                hasher,
                to_tag: None,
            };
        }
        put_lowercase(&mut hasher, via.transport);
        put(&mut hasher, request.uri());
        put(&mut hasher, request.from_tag());
        put(&mut hasher, request.call_id());
        hasher.write_u32(request.cseq());
        Identity {
            hasher,
            to_tag: Some(self.tag(request.to_tag())),
        }
    }
}

/// All of a key but the method.
#[derive(Clone)]
struct Identity {
    hasher: SipHasher13,
    to_tag: Option<NonZeroU32>,
}

impl Identity {
    fn with_method(mut self, method: &[u8]) -> Key {
        put(&mut self.hasher, method);
        let hash = self.hasher.finish128();
        Key {
            hash: [
                hash.h1 as u32,
                (hash.h1 >> 32) as u32,
                hash.h2 as u32,
                (hash.h2 >> 32) as u32,
            ],
            to_tag: self.to_tag,
        }
    }
}

const INVITE: &[u8] = b"INVITE";

/// A field and its length, so that no two lists of fields read the same.
fn put(hasher: &mut SipHasher13, field: &[u8]) {
    hasher.write_u32(field.len() as u32);
    hasher.write(field);
}

fn put_lowercase(hasher: &mut SipHasher13, field: &[u8]) {
    hasher.write_u32(field.len() as u32);
    let mut folded = [0; 64];
    for chunk in field.chunks(folded.len()) {
        let folded = &mut folded[..chunk.len()];
        folded.copy_from_slice(chunk);
        folded.make_ascii_lowercase();
        hasher.write(folded);
    }
}
