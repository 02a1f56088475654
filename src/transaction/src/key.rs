//! What tells one server transaction from all others: RFC 3261 §17.2.3.
//!
//! Cost: one pass over branch and host of the topmost Via, some 40 octets, and nothing is copied;
//! twice the last step of it for a CANCEL. Nothing but the hash is kept. The hash is keyed with a
//! secret, because peers choose every byte of it; its 128 bits are taken for the thing itself.

use std::hash::Hasher;
use std::num::NonZeroU32;

use base::{Digest, Running};
use sip::{Message, Method, Via};
use siphasher::sip::SipHasher13;

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
    digest: Digest,
}

/// What is hashed of a request, but for its method.
#[derive(Clone, Copy)]
struct Fields<'k> {
    running: Running<'k, 2>,
    /// The port and the lengths of host and branch.
    numbers: u64,
}

impl<'k> Fields<'k> {
    /// Who sent it, and its branch. Equal hosts and ports, not equal bytes: case does not count, 5060
    /// may be left out.
    #[inline]
    fn of(digest: &'k Digest, host: &[u8], port: u16, branch: &[u8]) -> Fields<'k> {
        let mut running = digest.begin();
        running.text_in_any_case(host);
        running.text(branch);
        let lengths = (branch.len() as u64) << 16 | host.len() as u64;
        Fields {
            running,
            numbers: lengths << 16 | u64::from(port),
        }
    }

    /// With the method: one that is known by its number, any other by its name.
    #[inline]
    fn key(mut self, method: Method, name: &[u8], to_tag: Option<NonZeroU32>) -> Key {
        let mut number = method as u64;
        if method == Method::Other {
            number |= (name.len() as u64) << 8;
            self.running.text(name);
        }
        self.running.pair(self.numbers, number);
        let [first, second] = self.running.finish();
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        let ([a, b], [c, d]) = (halves(first), halves(second));
        Key {
            hash: [a, b, c, d],
            to_tag,
        }
    }
}

impl Keyring {
    pub(crate) fn new(secret: [u8; 16]) -> Keyring {
        let seed = SipHasher13::new_with_key(&secret);
        let word = |at: usize| {
            let mut hasher = seed;
            hasher.write_usize(at);
            hasher.finish()
        };
        Keyring {
            digest: Digest::new(word),
        }
    }

    /// The key of a request; of its INVITE if it is an ACK.
    #[inline]
    pub(crate) fn key(&self, request: &Message<'_>) -> Key {
        let (fields, to_tag) = self.identity(request);
        let method = match request.method() {
            Method::Ack => Method::Invite,
            method => method,
        };
        fields.key(method, request.method_bytes(), to_tag)
    }

    /// The key of a CANCEL, and that of the INVITE which it would cancel.
    pub(crate) fn cancel_keys(&self, cancel: &Message<'_>) -> (Key, Key) {
        let (fields, to_tag) = self.identity(cancel);
        let invite = fields.key(Method::Invite, b"INVITE", to_tag);
        (
            fields.key(cancel.method(), cancel.method_bytes(), to_tag),
            invite,
        )
    }

    /// The tag of a To, hashed: never 0, also for none.
    pub(crate) fn tag(&self, tag: &[u8]) -> NonZeroU32 {
        let low = self.digest.text(tag) as u32;
        NonZeroU32::new(low).unwrap_or(NonZeroU32::MIN)
    }

    /// The key of the request with this topmost Via and method, if they alone say it: by RFC 3261
    /// rules.
    pub(crate) fn sent_by(&self, via: &Via<'_>, method: &[u8]) -> Option<Key> {
        if !via.has_cookie() {
            return None;
        }
        let fields = Fields::of(&self.digest, via.host, via.port_or_default(), via.branch);
        Some(fields.key(Method::of(method), method, None))
    }

    /// All of a key but the method; and the To tag's hash, by RFC 2543 rules.
    #[inline]
    fn identity(&self, request: &Message<'_>) -> (Fields<'_>, Option<NonZeroU32>) {
        let (host, port) = request.sent_by();
        let mut fields = Fields::of(&self.digest, host, port, request.branch());
        if request.has_cookie() {
            return (fields, None);
        }
        let to_tag = self.put_rest(request, &mut fields.running);
        (fields, Some(to_tag))
    }

    /// What tells requests of clients older than RFC 3261 besides.
    #[cold]
    fn put_rest(&self, request: &Message<'_>, fields: &mut Running<'_, 2>) -> NonZeroU32 {
        let transport = request.via().transport;
        fields.pair(transport.len() as u64, u64::from(request.cseq()));
        fields.text_in_any_case(transport);
        for field in [request.uri(), request.from_tag(), request.call_id()] {
            fields.pair(field.len() as u64, 0);
            fields.text(field);
        }
        self.tag(request.to_tag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By every part that counts, and by none that does not.
    #[test]
    fn equal_senders_have_equal_keys() {
        let keyring = Keyring::new(*b"sixteen bytes ok");
        let key = |via: &str, method: &str| {
            let via = Via::parse(via.as_bytes()).expect("a Via");
            keyring.sent_by(&via, method.as_bytes())
        };
        let (small, capital) = ("h".repeat(90), "H".repeat(90));
        let long = format!("SIP/2.0/UDP {small}.example;branch=z9hG4bK1");
        let one = key("SIP/2.0/UDP a.example;branch=z9hG4bK1", "INVITE");
        assert!(one.is_some());
        assert_eq!(
            one,
            key("SIP/2.0/TCP A.Example:5060;branch=z9hG4bK1;rport", "INVITE")
        );
        let others = [
            ("SIP/2.0/UDP a.example;branch=z9hG4bK1", "BYE"),
            ("SIP/2.0/UDP a.example;branch=z9hG4bK1", "invite"),
            ("SIP/2.0/UDP a.example;branch=z9hG4bK1", "FROBNICATE"),
            ("SIP/2.0/UDP a.example;branch=z9hG4bK1", "FROBNICATED"),
            ("SIP/2.0/UDP a.example;branch=z9hg4bk1", "INVITE"),
            ("SIP/2.0/UDP a.example;branch=z9hG4bK2", "INVITE"),
            ("SIP/2.0/UDP a.example;branch=z9hG4bK11", "INVITE"),
            ("SIP/2.0/UDP a.example:5061;branch=z9hG4bK1", "INVITE"),
            ("SIP/2.0/UDP b.example;branch=z9hG4bK1", "INVITE"),
            (&long, "INVITE"),
        ];
        let keys: std::collections::HashSet<Key> = others
            .iter()
            .filter_map(|(via, method)| key(via, method))
            .chain(one)
            .collect();
        assert_eq!(keys.len(), others.len() + 1);
        assert_eq!(
            key(&long.replace(&small, &capital), "INVITE"),
            key(&long, "INVITE")
        );
        assert_eq!(key("SIP/2.0/UDP a.example;branch=1", "INVITE"), None);
    }
}
