//! Header fields that have an identity, found by length and first letter, or in the usual spelling
//! by one compare.

use crate::lanes::{self, NAME};

macro_rules! headers {
    ($($(#[$doc:meta])* $id:ident $name:literal $list:literal;)*) => {
        /// A header field that something in trunkline asks for; every other name is `Other`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum HeaderId {
            $(#[doc = $name] $id,)*
            /// A header that is only carried.
            Other,
        }

        static NAMES: [&str; HeaderId::COUNT] = [$($name,)* ""];

        impl HeaderId {
            /// How many there are, `Other` included.
            pub const COUNT: usize = HeaderId::Other as usize + 1;
            const ALL: [HeaderId; HeaderId::COUNT] = [$(HeaderId::$id,)* HeaderId::Other];
            /// All but `Other`.
            pub const KNOWN: &'static [HeaderId] = &[$(HeaderId::$id,)*];

            /// The name in its long form; empty for `Other`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                NAMES[self as usize]
            }

            /// Whether a comma separates values, so that one line can hold several.
            #[must_use]
            pub const fn is_list(self) -> bool {
                match self { $(HeaderId::$id => $list,)* HeaderId::Other => false }
            }
        }
    };
}

headers! {
    Via "Via" true;
    From "From" false;
    To "To" false;
    CallId "Call-ID" false;
    CSeq "CSeq" false;
    MaxForwards "Max-Forwards" false;
    Route "Route" true;
    RecordRoute "Record-Route" true;
    Contact "Contact" true;
    ContentLength "Content-Length" false;
    ContentType "Content-Type" false;
    Require "Require" true;
    ProxyRequire "Proxy-Require" true;
    Supported "Supported" true;
    Unsupported "Unsupported" true;
    MaxBreadth "Max-Breadth" false;
    Timestamp "Timestamp" false;
    Expires "Expires" false;
    MinExpires "Min-Expires" false;
    Reason "Reason" true;
    RetryAfter "Retry-After" false;
    Allow "Allow" true;
    PAssertedIdentity "P-Asserted-Identity" true;
    PPreferredIdentity "P-Preferred-Identity" true;
    PChargingVector "P-Charging-Vector" false;
    Diversion "Diversion" true;
    HistoryInfo "History-Info" true;
    Privacy "Privacy" false;
    RAck "RAck" false;
    RSeq "RSeq" false;
    UserAgent "User-Agent" false;
    Server "Server" false;
    Warning "Warning" true;
    Identity "Identity" false;
    Date "Date" false;
    Subject "Subject" false;
    Event "Event" false;
    AllowEvents "Allow-Events" true;
    ReferTo "Refer-To" false;
    ReferredBy "Referred-By" false;
    Replaces "Replaces" false;
    Join "Join" false;
    SessionExpires "Session-Expires" false;
    MinSe "Min-SE" false;
    Accept "Accept" true;
    AcceptContact "Accept-Contact" true;
    RejectContact "Reject-Contact" true;
    RequestDisposition "Request-Disposition" true;
    ContentEncoding "Content-Encoding" true;
    ContentDisposition "Content-Disposition" false;
    Authorization "Authorization" false;
    WwwAuthenticate "WWW-Authenticate" false;
    ProxyAuthenticate "Proxy-Authenticate" false;
    ProxyAuthorization "Proxy-Authorization" false;
    Path "Path" true;
    ServiceRoute "Service-Route" true;
    ResourcePriority "Resource-Priority" true;
}

/// The most octets that a known name has.
const NAME_BYTES_MAX: usize = 20;

/// The first header for a length and a first letter, by its number. A perfect table but for the few that share both, which [`NEXT`] chains.
static FIRST: [[u8; 32]; NAME_BYTES_MAX + 1] = first_candidates();

/// For each header the next one with the same length and first letter, or `Other`.
static NEXT: [HeaderId; HeaderId::COUNT] = next_candidates();

const fn first_candidates() -> [[u8; 32]; NAME_BYTES_MAX + 1] {
    let mut table = [[HeaderId::Other as u8; 32]; NAME_BYTES_MAX + 1];
    let mut i = HeaderId::KNOWN.len();
    while i > 0 {
        i -= 1;
        let name = HeaderId::KNOWN[i].name().as_bytes();
        table[name.len()][(name[0] & 31) as usize] = i as u8;
    }
    table
}

const fn next_candidates() -> [HeaderId; HeaderId::COUNT] {
    let mut table = [HeaderId::Other; HeaderId::COUNT];
    let mut i = 0;
    while i < HeaderId::KNOWN.len() {
        let name = HeaderId::KNOWN[i].name().as_bytes();
        let mut k = HeaderId::KNOWN.len() - 1;
        while k > i {
            let other = HeaderId::KNOWN[k].name().as_bytes();
            if other.len() == name.len() && other[0] & 31 == name[0] & 31 {
                table[i] = HeaderId::KNOWN[k];
            }
            k -= 1;
        }
        i += 1;
    }
    table
}

/// A name as the RFCs write it, with a colon and a space behind, or as much of it as is compared
/// in one step.
#[derive(Clone, Copy)]
#[repr(align(32))] // in one cache line, and found by a shift
struct Usual {
    octets: [u8; NAME],
    /// A bit for each octet that is not of the name, the colon or the space; none in an empty slot,
    /// so that no line is like it.
    beyond: u16,
    /// Without colon and space; 0 in an empty slot.
    length: u8,
    id: HeaderId,
}

/// A hash table of all names, by their first four octets. Those that share them follow each other,
/// so that nothing else is ever in the way.
static USUAL: [Usual; USUAL_SLOTS + SAME_START_MAX] = usual_names(MULTIPLIER);

const USUAL_BITS: u32 = 9;
const USUAL_SLOTS: usize = 1 << USUAL_BITS;
const MULTIPLIER: u32 = multiplier();
/// The most names that begin with the same four octets.
const SAME_START_MAX: usize = 5;

#[inline(always)]
const fn usual_slot(octets: &[u8; NAME], multiplier: u32) -> usize {
    let (starts, _) = octets.as_chunks::<4>();
    let hash = u32::from_le_bytes(starts[0]).wrapping_mul(multiplier);
    (hash >> (u32::BITS - USUAL_BITS)) as usize
}

/// The table by this multiplier.
const fn usual_names(multiplier: u32) -> [Usual; USUAL_SLOTS + SAME_START_MAX] {
    let mut table = [Usual {
        octets: [0; NAME],
        beyond: 0,
        length: 0,
        id: HeaderId::Other,
    }; USUAL_SLOTS + SAME_START_MAX];
    let mut i = 0;
    while i < HeaderId::KNOWN.len() {
        let usual = Usual::of(HeaderId::KNOWN[i]);
        let mut slot = usual_slot(&usual.octets, multiplier);
        while table[slot].length != 0 {
            slot += 1;
        }
        table[slot] = usual;
        i += 1;
    }
    table
}

/// The first multiplier of a fixed series by which only names with the same start meet.
const fn multiplier() -> u32 {
    let mut candidate: u32 = 1;
    'candidates: loop {
        candidate = candidate
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let mut taken = [0_u32; USUAL_SLOTS + SAME_START_MAX];
        let mut i = 0;
        while i < HeaderId::KNOWN.len() {
            let usual = Usual::of(HeaderId::KNOWN[i]);
            let (starts, _) = usual.octets.as_chunks::<4>();
            let start = u32::from_le_bytes(starts[0]);
            let mut slot = usual_slot(&usual.octets, candidate);
            while taken[slot] == start {
                slot += 1;
            }
            if taken[slot] != 0 {
                continue 'candidates;
            }
            taken[slot] = start;
            i += 1;
        }
        return candidate;
    }
}

impl Usual {
    const fn of(id: HeaderId) -> Usual {
        let name = id.name().as_bytes();
        let mut octets = [0; NAME];
        let mut i = 0;
        while i < NAME && i < name.len() + 2 {
            octets[i] = match i.wrapping_sub(name.len()) {
                0 => b':',
                1 => b' ',
                _ => name[i],
            };
            i += 1;
        }
        Usual {
            octets,
            beyond: if i < NAME { u16::MAX << i } else { 0 },
            length: name.len() as u8,
            id,
        }
    }
}

impl HeaderId {
    /// The header that a line begins with and the length of its name, if it begins as most senders
    /// write it, a colon and a space behind. `None` says nothing.
    #[inline(always)]
    pub(crate) fn usual(line: &[u8]) -> Option<(HeaderId, usize)> {
        let start = line.first_chunk()?;
        let slot = usual_slot(start, MULTIPLIER);
        for usual in &USUAL[slot..slot + SAME_START_MAX] {
            if lanes::same(start, &usual.octets) | usual.beyond == u16::MAX {
                let length = usize::from(usual.length);
                let is_whole = length + 2 <= NAME || usual.id.is_rest(&line[NAME..]);
                return is_whole.then_some((usual.id, length));
            }
        }
        None
    }

    /// Whether what follows the first octets of a long name is the rest of it, with the colon and
    /// the space.
    #[inline(never)]
    fn is_rest(self, rest: &[u8]) -> bool {
        let (tail, colon): (&[u8], &[u8]) = match self.name().as_bytes().get(NAME..) {
            Some(tail) => (tail, b": "),
            None => (b"", b" "), // the colon was compared
        };
        rest.strip_prefix(tail)
            .is_some_and(|behind| behind.starts_with(colon))
    }

    /// The header of this name, long or compact, in any case.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> HeaderId {
        let (Some(&first), Some(row)) = (name.first(), FIRST.get(name.len())) else {
            return HeaderId::Other;
        };
        if name.len() == 1 {
            return HeaderId::of_compact(first | 0x20);
        }
        let mut id = HeaderId::ALL[usize::from(row[usize::from(first & 31)])];
        while id != HeaderId::Other {
            // Most senders write names as the RFCs do, and a compare of equal octets is quick.
            let known = id.name().as_bytes();
            if name == known || name.eq_ignore_ascii_case(known) {
                return id;
            }
            id = NEXT[id as usize];
        }
        HeaderId::Other
    }

    /// The header of this compact form (the registry of SIP header fields), in lower case.
    #[rustfmt::skip] // a table
    fn of_compact(letter: u8) -> HeaderId {
        use HeaderId::*;
        match letter {
            b'a' => AcceptContact,      b'b' => ReferredBy,     b'c' => ContentType,
            b'd' => RequestDisposition, b'e' => ContentEncoding, b'f' => From,
            b'i' => CallId,             b'j' => RejectContact,  b'k' => Supported,
            b'l' => ContentLength,      b'm' => Contact,        b'o' => Event,
            b'r' => ReferTo,            b's' => Subject,        b't' => To,
            b'u' => AllowEvents,        b'v' => Via,            b'x' => SessionExpires,
            b'y' => Identity,
            _ => Other,
        }
    }

    /// Its bit in a set of them.
    #[inline(always)]
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// Whether its values are name-addr or addr-spec, so that a quoted string can stand in them.
    #[must_use]
    pub(crate) const fn has_name_addr(self) -> bool {
        matches!(
            self,
            HeaderId::From
                | HeaderId::To
                | HeaderId::Contact
                | HeaderId::Route
                | HeaderId::RecordRoute
                | HeaderId::PAssertedIdentity
                | HeaderId::PPreferredIdentity
                | HeaderId::Diversion
                | HeaderId::HistoryInfo
                | HeaderId::ReferTo
                | HeaderId::ReferredBy
                | HeaderId::Path
                | HeaderId::ServiceRoute
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_near_it() {
        for &id in HeaderId::KNOWN {
            let name = id.name();
            assert_eq!(HeaderId::of(name.as_bytes()), id);
            assert_eq!(HeaderId::of(name.to_ascii_lowercase().as_bytes()), id);
            assert_eq!(HeaderId::of(name.to_ascii_uppercase().as_bytes()), id);
            let mut near = name.as_bytes().to_vec();
            *near.last_mut().unwrap() = b'!';
            assert_eq!(HeaderId::of(&near), HeaderId::Other);
            assert_eq!(HeaderId::of(format!("{name}s").as_bytes()), HeaderId::Other);
            let usual = |line: String| HeaderId::usual(format!("{line:<16}").as_bytes());
            assert_eq!(usual(format!("{name}: ")), Some((id, name.len())));
            assert_eq!(usual(format!("{name}:\t")), None);
            assert_eq!(usual(format!("{name}s: ")), None);
            assert_eq!(usual(format!("{}: ", name.to_ascii_lowercase())), None);
        }
        for (compact, id) in [
            ("v", HeaderId::Via),
            ("F", HeaderId::From),
            ("t", HeaderId::To),
            ("I", HeaderId::CallId),
            ("m", HeaderId::Contact),
            ("L", HeaderId::ContentLength),
            ("c", HeaderId::ContentType),
            ("k", HeaderId::Supported),
            ("z", HeaderId::Other),
            ("", HeaderId::Other),
        ] {
            assert_eq!(HeaderId::of(compact.as_bytes()), id, "{compact}");
        }
    }
}
