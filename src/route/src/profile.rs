//! What may cross the border between trunkline and a peer: identities and headers.
//!
//! A profile belongs to a trunk or a gateway and looks at both directions: *from* the peer and *to*
//! it, requests and responses alike. A message goes from one peer to another, so at most two profiles
//! look at it, and what either removes is removed. `call::border` does it.

use sip::HeaderId;

use crate::{NumberRules, Role};

/// What may cross the border of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Its name, unique among profiles.
    pub name: String,
    /// Whether the peer is of our trust domain (RFC 3325 §2.3).
    pub is_trusted: bool,
    /// What its calls assert if they assert nothing, or nothing that is believed.
    pub assert: Option<Assert>,
    /// Which headers about people stay.
    pub passes: Passes,
    /// Headers by their names.
    pub headers: HeaderRules,
}

/// Which headers about people cross a border.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each is the header of its name
pub struct Passes {
    pub remote_party_id: bool,
    pub diversion: bool,
    pub history_info: bool,
    pub identity: bool,
}

/// The identity that is asserted for a call (RFC 3325 §5: of whom the network knows).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Assert {
    /// That of From: the peer is known to check it.
    From,
    /// This URI.
    Uri(String),
}

/// Which headers by name are taken out, and which are put in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderRules {
    /// These never cross, in either direction.
    pub deny: HeaderNames,
    /// If there are any, all others never cross, but those that calls need.
    pub allow: Option<HeaderNames>,
    /// What requests from the peer have, whatever they had: names and values.
    pub set_from: Vec<(String, String)>,
    /// What requests to the peer have.
    pub set_to: Vec<(String, String)>,
}

impl HeaderRules {
    /// Whether they are about any header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &HeaderRules::default()
    }

    /// Whether a header may not cross. Protected ones always may.
    #[must_use]
    pub fn denies(&self, id: HeaderId, name: &[u8]) -> bool {
        let is_let = |allow: &HeaderNames| is_identity(id, name) || allow.has(id, name);
        !is_protected(id, name)
            && (self.deny.has(id, name) || self.allow.as_ref().is_some_and(|allow| !is_let(allow)))
    }
}

/// Names of headers, compact forms and letter case aside; `X-*` is all that begin so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderNames {
    /// A bit for each header that has an identity.
    known: u64,
    others: Vec<String>,
    prefixes: Vec<String>,
}

impl HeaderNames {
    /// These names.
    #[must_use]
    pub fn new(names: &[String]) -> HeaderNames {
        let mut these = HeaderNames::default();
        for name in names {
            match (name.strip_suffix('*'), HeaderId::of(name.as_bytes())) {
                (Some(prefix), _) => these.prefixes.push(prefix.to_ascii_lowercase()),
                (None, HeaderId::Other) => these.others.push(name.to_ascii_lowercase()),
                (None, id) => these.known |= bit(id),
            }
        }
        these
    }

    /// Whether a header is among them. `name` is as it was written, long or compact.
    #[must_use]
    pub fn has(&self, id: HeaderId, name: &[u8]) -> bool {
        let is_other = || {
            self.others
                .iter()
                .any(|it| it.as_bytes().eq_ignore_ascii_case(name))
        };
        let begins = |prefix: &String| {
            let whole = match id {
                HeaderId::Other => name,
                id => id.name().as_bytes(),
            };
            let beginning = whole.get(..prefix.len());
            beginning.is_some_and(|it| it.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let is_named = match id {
            HeaderId::Other => is_other(),
            id => self.known & bit(id) != 0,
        };
        is_named || self.prefixes.iter().any(begins)
    }
}

const fn bit(id: HeaderId) -> u64 {
    1 << id as u8
}

/// Headers without which a dialog, a body or a challenge goes wrong: no list touches them.
pub const PROTECTED: &[HeaderId] = &[
    HeaderId::Via,
    HeaderId::From,
    HeaderId::To,
    HeaderId::CallId,
    HeaderId::CSeq,
    HeaderId::MaxForwards,
    HeaderId::MaxBreadth,
    HeaderId::Route,
    HeaderId::RecordRoute,
    HeaderId::Path,
    HeaderId::ServiceRoute,
    HeaderId::Contact,
    HeaderId::ContentLength,
    HeaderId::ContentType,
    HeaderId::ContentEncoding,
    HeaderId::ContentDisposition,
    HeaderId::Require,
    HeaderId::ProxyRequire,
    HeaderId::Supported,
    HeaderId::Unsupported,
    HeaderId::RAck,
    HeaderId::RSeq,
    HeaderId::SessionExpires,
    HeaderId::MinSe,
    HeaderId::Expires,
    HeaderId::MinExpires,
    HeaderId::Event,
    HeaderId::ReferTo,
    HeaderId::Replaces,
    HeaderId::Authorization,
    HeaderId::WwwAuthenticate,
    HeaderId::ProxyAuthenticate,
    HeaderId::ProxyAuthorization,
    HeaderId::Privacy,
];

const PROTECTED_BITS: u64 = {
    let (mut bits, mut at) = (0, 0);
    while at < PROTECTED.len() {
        bits |= bit(PROTECTED[at]);
        at += 1;
    }
    bits
};

/// A header without an identity of its own that is protected too.
pub const PROTECTED_NAME: &str = "MIME-Version";

/// Whether no list may touch a header.
#[must_use]
pub fn is_protected(id: HeaderId, name: &[u8]) -> bool {
    match id {
        HeaderId::Other => name.eq_ignore_ascii_case(PROTECTED_NAME.as_bytes()),
        id => PROTECTED_BITS & bit(id) != 0,
    }
}

/// Whether a header is of an identity: the other keys of a profile let it pass or not.
fn is_identity(id: HeaderId, name: &[u8]) -> bool {
    match id {
        HeaderId::PAssertedIdentity
        | HeaderId::PPreferredIdentity
        | HeaderId::Diversion
        | HeaderId::HistoryInfo
        | HeaderId::Identity => true,
        HeaderId::Other => name.eq_ignore_ascii_case(b"Remote-Party-ID"),
        _ => false,
    }
}

/// The border of one peer: its profile and its rules for numbers in headers.
#[derive(Clone, Copy, Debug)]
pub struct Border<'w> {
    /// Its profile, if it has one.
    pub profile: Option<&'w Profile>,
    /// Its rules.
    pub rules: &'w NumberRules,
}

impl<'w> Border<'w> {
    /// `None` if whatever comes may cross as it is.
    pub(crate) fn of(profile: Option<&'w Profile>, rules: &'w NumberRules) -> Option<Border<'w>> {
        let in_headers = [Role::Asserted, Role::Diversion];
        let is_open = profile.is_none() && in_headers.iter().all(|&it| rules.of(it).is_empty());
        (!is_open).then_some(Border { profile, rules })
    }

    /// Of a gateway: it may also have rules for the number of who calls.
    pub(crate) fn of_gateway(
        profile: Option<&'w Profile>,
        rules: &'w NumberRules,
    ) -> Option<Border<'w>> {
        match rules.of(Role::Calling).is_empty() {
            true => Border::of(profile, rules),
            false => Some(Border { profile, rules }),
        }
    }

    /// Whether the peer is known not to be of our trust domain.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        self.profile.is_some_and(|profile| !profile.is_trusted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> HeaderNames {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        HeaderNames::new(&names)
    }

    #[track_caller]
    fn check(rules: &HeaderRules, name: &str, want: bool) {
        let id = HeaderId::of(name.as_bytes());
        assert_eq!(rules.denies(id, name.as_bytes()), want, "{name}");
    }

    #[test]
    fn a_header_is_denied_by_any_of_its_names() {
        let rules = HeaderRules {
            deny: names(&["X-*", "subject", "Identity-Info", "Call-*"]),
            ..HeaderRules::default()
        };
        for name in [
            "X-Foo",
            "x-foo",
            "X-",
            "Subject",
            "s",
            "S",
            "identity-info",
            "Call-Info",
        ] {
            check(&rules, name, true);
        }
        // Protected, or another.
        for name in [
            "Call-ID",
            "i",
            "Xenon",
            "Identity",
            "User-Agent",
            "Subjects",
        ] {
            check(&rules, name, false);
        }
    }

    #[test]
    fn where_some_are_allowed_others_are_not() {
        let rules = HeaderRules {
            deny: names(&["X-Secret"]),
            allow: Some(names(&["X-*", "User-Agent"])),
            ..HeaderRules::default()
        };
        for name in ["X-Secret", "Organization", "Server", "Subject", "s"] {
            check(&rules, name, true);
        }
        let kept = [
            "X-Foo",
            "user-agent",
            "Via",
            "v",
            "m",
            "l",
            "mime-version",
            "Privacy",
            "Diversion",
            "Remote-Party-ID",
            "P-Asserted-Identity",
        ];
        for name in kept {
            check(&rules, name, false);
        }
        assert!(!rules.is_empty() && HeaderRules::default().is_empty());
    }
}
