//! Methods.

/// A request's method.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.2.2.4, §17.1.1.3.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3515.
    Refer,
    /// RFC 3903.
    Publish,
    /// Any other token.
    Other,
}

impl Method {
    /// The methods that have a name of their own.
    pub const KNOWN: [Method; 14] = [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Register,
        Method::Prack,
        Method::Update,
        Method::Info,
        Method::Message,
        Method::Subscribe,
        Method::Notify,
        Method::Refer,
        Method::Publish,
    ];

    /// The method of this name. Case counts (RFC 3261 §7.1).
    #[must_use]
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"PRACK" => Method::Prack,
            b"UPDATE" => Method::Update,
            b"INFO" => Method::Info,
            b"MESSAGE" => Method::Message,
            b"SUBSCRIBE" => Method::Subscribe,
            b"NOTIFY" => Method::Notify,
            b"REFER" => Method::Refer,
            b"PUBLISH" => Method::Publish,
            _ => Method::Other,
        }
    }

    /// The method whose name the bytes begin with, and the length of that, by one compare. Whoever
    /// asks looks whether the name ends there. `None` says nothing.
    #[inline(always)]
    pub(crate) fn leading(bytes: &[u8]) -> Option<(Method, usize)> {
        let word = u64::from_le_bytes(*bytes.first_chunk()?);
        let usual = &USUAL[usual_slot(word)];
        (word & usual.mask == usual.name).then_some((usual.method, usize::from(usual.length)))
    }

    /// The name; empty for [`Method::Other`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Message => "MESSAGE",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Refer => "REFER",
            Method::Publish => "PUBLISH",
            Method::Other => "",
        }
    }
}

/// A name of at most eight octets, in one word.
#[derive(Clone, Copy)]
struct Usual {
    name: u64,
    /// All bits of its octets; none in an empty slot, whose name no word is.
    mask: u64,
    length: u8,
    method: Method,
}

/// A table of all names that fit, by their first three octets, which no two share.
static USUAL: [Usual; USUAL_SLOTS] = {
    let mut table = [Usual {
        name: 1,
        mask: 0,
        length: 0,
        method: Method::Other,
    }; USUAL_SLOTS];
    let mut i = 0;
    while i < Method::KNOWN.len() {
        let method = Method::KNOWN[i];
        let name = method.name().as_bytes();
        let (mut word, mut mask, mut k) = (0, 0, 0);
        while k < name.len() && name.len() <= 8 {
            word |= (name[k] as u64) << (8 * k);
            mask |= 0xff << (8 * k);
            k += 1;
        }
        if mask != 0 {
            let slot = usual_slot(word);
            assert!(table[slot].mask == 0, "each name has a slot of its own");
            table[slot] = Usual {
                name: word,
                mask,
                length: name.len() as u8,
                method,
            };
        }
        i += 1;
    }
    table
};

const USUAL_BITS: u32 = 5;
const USUAL_SLOTS: usize = 1 << USUAL_BITS;

/// The first odd factor that parts all names.
const FACTOR: u32 = 167;

#[inline(always)]
const fn usual_slot(word: u64) -> usize {
    let start = (word as u32) << 8;
    (start.wrapping_mul(FACTOR) >> (u32::BITS - USUAL_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_name_is_found_as_the_whole_is() {
        for method in Method::KNOWN {
            let name = method.name();
            let want = (name.len() <= 8).then_some((method, name.len()));
            assert_eq!(Method::leading(format!("{name} sip:a").as_bytes()), want);
            assert_eq!(Method::of(name.as_bytes()), method);
            let lower = name.to_lowercase();
            assert_eq!(Method::leading(format!("{lower} sip:a").as_bytes()), None);
        }
        for other in [
            "INVITA sip:a",
            "AC sip:a@b",
            "\0\0\0\0\0\0\0\0",
            "ACK sip",
            "\x01\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Method::leading(other.as_bytes()), None, "{other:?}");
        }
    }
}
