//! Numbers by the translation rules of trunks and gateways, as the parts of a URI.
//!
//! Only asked where there are rules. Nothing here allocates.

use sip::Uri;
use translation::{Chain, RuleSet, SIGNS_MAX, Signs};

/// The user part of a URI as rules have made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewritten {
    /// Each sign may be three octets long.
    user: [u8; 3 * SIGNS_MAX],
    len: u8,
}

impl Rewritten {
    /// The user part, escaped where it must be.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        &self.user[..usize::from(self.len)]
    }

    /// The URI with this user part.
    pub(crate) fn uri<'a>(&'a self, uri: &Uri<'a>) -> Uri<'a> {
        Uri {
            user: self.user(),
            ..*uri
        }
    }

    fn of(signs: &Signs) -> Rewritten {
        let mut written = Rewritten {
            user: [0; 3 * SIGNS_MAX],
            len: 0,
        };
        let mut put = |octets: &[u8]| {
            let at = usize::from(written.len);
            written.user[at..at + octets.len()].copy_from_slice(octets);
            written.len += octets.len() as u8;
        };
        for &sign in signs.as_bytes() {
            match sign {
                b'#' => put(b"%23"),
                sign => put(&[sign]),
            }
        }
        written
    }
}

/// What the rules make of a user part; `None` if none is for it, or it is no number.
pub(crate) fn rewrite(rules: &Chain, user: &[u8]) -> Option<Rewritten> {
    rewrite_told(rules, user, |_, _| {})
}

/// What several chains, one after the other, make of a user part; `None` if no rule is for it.
#[must_use]
pub fn rewrite_all<'c>(chains: impl Iterator<Item = &'c Chain>, user: &[u8]) -> Option<Rewritten> {
    let mut signs = Signs::read(user)?;
    let mut is_changed = false;
    for chain in chains {
        is_changed |= chain.apply(&mut signs, |_, _| {});
    }
    is_changed.then(|| Rewritten::of(&signs))
}

/// As [`rewrite`]; `told` hears of every rule that was used.
pub(crate) fn rewrite_told(
    rules: &Chain,
    user: &[u8],
    told: impl FnMut(&RuleSet, usize),
) -> Option<Rewritten> {
    let mut signs = Signs::read(user)?;
    rules.apply(&mut signs, told).then(|| Rewritten::of(&signs))
}
