//! What changes in a message when it goes from one peer to another: who is told about whom
//! (RFC 3323, RFC 3325, RFC 5806, RFC 7044), whose numbers are written how, and which headers stay.
//!
//! What a proxy may not do is not done here: Contact and Via stay, and of From and To all but one number.
//! They belong to the dialog, and who changes them has to change them back in every message of it
//! (RFC 3323 §5.1, §5.3); for the number of who calls, where a gateway wants it written in its own way,
//! [`Calling`] does just that: dialogs are told apart by tags alone (RFC 3261 §12.2.1.1). A caller who
//! insists on more (`Privacy: user;critical`) is refused ([`is_private_enough`]).
//!
//! Cost: nothing if neither peer has a profile or rules; else a message is planned as edits. Its header
//! lines are walked over only if a profile names headers, or if it has some that the parser does not
//! know. `call/bordered` of the budgets has it all at once. Nothing is allocated.

use std::ops::Range;

use route::{Assert, Border, Chain, Profile, Rewritten, Role, is_protected, rewrite_all};
use sip::{Edits, HeaderId, Line, Message, Method, NameAddr, Scheme, Uri, forward};

use crate::privacy::{Privacy, words};

/// Where a message comes from and where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crossing<'w> {
    /// The border of who sent it, if it has one.
    pub from: Option<Border<'w>>,
    /// The border of who gets it, if it has one.
    pub to: Option<Border<'w>>,
    /// How the number of who calls is written, if not as it comes.
    pub calling: Option<Calling<'w>>,
}

/// The number of who calls, in the header that names the caller: From in requests of the caller and the
/// responses to them, To in those of the other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Calling<'w> {
    /// Towards the gateway: as the rules of both peers make it.
    Written,
    /// Towards the caller: that of this URI, which the call began with.
    Restored(&'w [u8]),
}

/// Who stands for a person that nobody is to know (RFC 3323 §4.1.1.3).
const ANONYMOUS: &[u8] = b"\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// Headers without an identity that reveal who calls (RFC 3323 §5.1, §5.3).
const REVEALING: [&[u8]; 4] = [b"Call-Info", b"Organization", b"Reply-To", b"In-Reply-To"];

const REMOTE_PARTY_ID: &[u8] = b"Remote-Party-ID";
const IDENTITY_INFO: &[u8] = b"Identity-Info";

/// The headers with an identity that may change where no list names any.
const WATCHED: [HeaderId; 8] = [
    HeaderId::PAssertedIdentity,
    HeaderId::PPreferredIdentity,
    HeaderId::Privacy,
    HeaderId::Diversion,
    HeaderId::HistoryInfo,
    HeaderId::Identity,
    HeaderId::Subject,
    HeaderId::UserAgent,
];

/// What becomes of a header line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Passes,
    Goes,
    /// Its numbers are written by the rules.
    IsWritten(Role),
    /// The people in it that nobody is to know are made unknown.
    IsVeiled,
    /// What was done is taken out of the list of what to do.
    IsDone,
}

/// Whether a request may be passed on to a peer without breaking what its caller insists on
/// (RFC 3323 §5: `critical`). If not, it is refused with 500.
#[must_use]
pub fn is_private_enough(message: &Message<'_>, to: Option<Border<'_>>) -> bool {
    if !to.is_some_and(|to| to.is_untrusted()) {
        return true;
    }
    let privacy = Privacy::of(message);
    !(privacy.critical && (privacy.user || privacy.header || privacy.session || privacy.other))
}

impl<'w> Crossing<'w> {
    /// Whether nothing changes.
    #[must_use]
    #[inline]
    pub fn is_open(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Plans what changes in a message.
    pub fn plan(&self, message: &Message<'_>, edits: &mut Edits) {
        let to_untrusted = self.to.is_some_and(|to| to.is_untrusted());
        let privacy = match to_untrusted {
            true => Privacy::of(message),
            false => Privacy::default(),
        };
        let mut look = |line: Line<'_>| match self.fate(message, &line, privacy) {
            Fate::Passes => {}
            Fate::Goes => edits.remove(line.range),
            Fate::IsWritten(role) => self.write_numbers(&line, role, privacy, edits),
            Fate::IsVeiled => veil_all(&line, privacy, edits),
            Fate::IsDone => put_remaining(&line, edits),
        };
        let mut profiles = self.profiles();
        if message.has(HeaderId::Other) || profiles.any(|it| !it.headers.is_empty()) {
            message.lines().for_each(look);
        } else {
            // None but these may change, and the parser knows where they are.
            let known = WATCHED.iter().filter(|&&id| message.has(id));
            known.for_each(|&id| message.lines_of(id).for_each(&mut look));
        }
        if let Some(calling) = self.calling {
            self.write_calling(message, calling, edits);
        }
        if message.is_request() {
            self.add(message, privacy, edits);
        }
    }

    /// Writes the number of who calls.
    fn write_calling(&self, message: &Message<'_>, calling: Calling<'_>, edits: &mut Edits) {
        let is_callers = message.is_request() == (calling == Calling::Written);
        let (text, at) = match is_callers {
            true => (message.from_uri(), message.from_uri_range().start),
            false => (message.to_uri(), message.to_uri_range().start),
        };
        let Ok(uri) = Uri::parse(text) else {
            return;
        };
        let place = number_place(text, &uri);
        let range = at + place.start..at + place.end;
        match calling {
            Calling::Written if is_nobody(&uri) => {}
            Calling::Written => {
                let rules = self.rules(Role::Calling);
                if let Some(rewritten) = written(rules, &uri, &text[place]) {
                    edits.replace(range, rewritten.user());
                }
            }
            Calling::Restored(original) => {
                let Ok(parsed) = Uri::parse(original) else {
                    return;
                };
                let number = &original[number_place(original, &parsed)];
                if *number != text[place] {
                    edits.replace(range, number);
                }
            }
        }
    }

    /// The most octets that a request grows by, if that is told without a plan.
    #[must_use]
    pub fn added_max(&self, message: &Message<'_>) -> Option<usize> {
        let longer = [
            HeaderId::PAssertedIdentity,
            HeaderId::Diversion,
            HeaderId::HistoryInfo,
        ];
        if longer.iter().any(|&id| message.has(id)) {
            return None;
        }
        let lines = self
            .set(message)
            .map(|(name, value)| name.len() + value.len() + 4);
        let asserted = self
            .profiles()
            .filter_map(|profile| match profile.assert.as_ref()? {
                Assert::From => Some(message.from_uri().len()),
                Assert::Uri(uri) => Some(uri.len()),
            });
        // The name, the brackets and a number by rules.
        const AROUND: usize = 256;
        let calling = self.calling.map_or(0, |_| AROUND);
        Some(lines.sum::<usize>() + asserted.map(|uri| uri + AROUND).sum::<usize>() + calling)
    }

    fn profiles(&self) -> impl Iterator<Item = &'w Profile> {
        let borders = [self.from, self.to].into_iter().flatten();
        borders.filter_map(|border| border.profile)
    }

    fn fate(&self, message: &Message<'_>, line: &Line<'_>, privacy: Privacy) -> Fate {
        let (id, name) = (line.id, line.name);
        let untrusted = |border: Option<Border<'_>>| border.is_some_and(|it| it.is_untrusted());
        let (from_untrusted, to_untrusted) = (untrusted(self.from), untrusted(self.to));
        if id == HeaderId::Privacy {
            let is_done = to_untrusted && privacy.history;
            return if is_done { Fate::IsDone } else { Fate::Passes };
        }
        if is_protected(id, name) {
            return Fate::Passes;
        }
        if self.profiles().any(|it| it.headers.denies(id, name)) || self.is_set(message, name) {
            return Fate::Goes;
        }
        let goes_if = |goes: bool, else_: Fate| if goes { Fate::Goes } else { else_ };
        match id {
            // RFC 3325 §5: not believed, or not to be told.
            HeaderId::PAssertedIdentity => {
                let is_hidden = from_untrusted || privacy.id;
                goes_if(is_hidden, Fate::IsWritten(Role::Asserted))
            }
            // RFC 3325 §6: it is for the first proxy of the trust domain alone.
            HeaderId::PPreferredIdentity => goes_if(from_untrusted || to_untrusted, Fate::Passes),
            HeaderId::Diversion => {
                let is_stripped = self.profiles().any(|it| !it.passes.diversion);
                goes_if(is_stripped, Fate::IsWritten(Role::Diversion))
            }
            HeaderId::HistoryInfo => {
                let is_stripped = self.profiles().any(|it| !it.passes.history_info);
                let kept = if to_untrusted {
                    Fate::IsVeiled
                } else {
                    Fate::Passes
                };
                goes_if(is_stripped, kept)
            }
            HeaderId::Identity => {
                goes_if(self.profiles().any(|it| !it.passes.identity), Fate::Passes)
            }
            HeaderId::Subject | HeaderId::UserAgent => {
                goes_if(privacy.user || privacy.header, Fate::Passes)
            }
            _ => self.fate_by_name(line, to_untrusted, privacy),
        }
    }

    /// Of headers that have no identity of their own.
    fn fate_by_name(&self, line: &Line<'_>, to_untrusted: bool, privacy: Privacy) -> Fate {
        let is = |name: &[u8]| line.name.eq_ignore_ascii_case(name);
        let goes = if is(REMOTE_PARTY_ID) {
            self.profiles().any(|it| !it.passes.remote_party_id)
                || to_untrusted && (privacy.id || asks_for_privacy(line.value))
        } else if is(IDENTITY_INFO) || is(b"n") {
            self.profiles().any(|it| !it.passes.identity)
        } else {
            (privacy.user || privacy.header) && REVEALING.iter().any(|name| is(name))
        };
        if goes { Fate::Goes } else { Fate::Passes }
    }

    /// What requests have whatever they had.
    fn set(&self, message: &Message<'_>) -> impl Iterator<Item = &'w (String, String)> + use<'w> {
        let is_request = message.is_request();
        let profile = |border: Option<Border<'w>>| border.and_then(|border| border.profile);
        let from = profile(self.from).map_or(&[][..], |it| &it.headers.set_from);
        let to = profile(self.to).map_or(&[][..], |it| &it.headers.set_to);
        from.iter().chain(to).filter(move |_| is_request)
    }

    fn is_set(&self, message: &Message<'_>, name: &[u8]) -> bool {
        let id = HeaderId::of(name);
        self.set(message).any(|(set, _)| match id {
            HeaderId::Other => set.as_bytes().eq_ignore_ascii_case(name),
            id => HeaderId::of(set.as_bytes()) == id,
        })
    }

    /// Adds what requests have to have.
    fn add(&self, message: &Message<'_>, privacy: Privacy, edits: &mut Edits) {
        let begins = message.method() == Method::Invite && message.to_tag().is_empty();
        let from = self.from.filter(|_| begins && !privacy.id);
        if let Some(from) = from
            && let Some(profile) = from.profile
            && let Some(assert) = &profile.assert
            && (!profile.is_trusted || !message.has(HeaderId::PAssertedIdentity))
        {
            self.assert(message, from, assert, edits);
        }
        for (name, value) in self.set(message) {
            forward::add_header(message, name.as_bytes(), value.as_bytes(), edits);
        }
    }

    /// Adds the identity of who calls.
    fn assert(&self, message: &Message<'_>, from: Border<'_>, assert: &Assert, edits: &mut Edits) {
        let (uri, first) = match assert {
            Assert::From => (message.from_uri(), Role::Calling),
            Assert::Uri(uri) => (uri.as_bytes(), Role::Asserted),
        };
        let Ok(parsed) = Uri::parse(uri) else {
            return;
        };
        if is_nobody(&parsed) {
            return;
        }
        let place = number_place(uri, &parsed);
        let mine = from.rules.of(first);
        let rules = match self.to {
            Some(to) => [Some(mine), Some(to.rules.of(Role::Asserted))],
            None => [Some(mine), None],
        };
        edits.begin(message.section_end()..message.section_end());
        edits.put(b"P-Asserted-Identity: <");
        edits.put(&uri[..place.start]);
        match written(rules, &parsed, &uri[place.clone()]) {
            Some(rewritten) => edits.put(rewritten.user()),
            None => edits.put(&uri[place.clone()]),
        }
        edits.put(&uri[place.end..]);
        edits.put(b">\r\n");
        edits.end();
    }

    /// Writes the numbers of a header as the rules of both peers say.
    fn write_numbers(&self, line: &Line<'_>, role: Role, privacy: Privacy, edits: &mut Edits) {
        let to_untrusted = self.to.is_some_and(|to| to.is_untrusted());
        let is_plain = self
            .rules(role)
            .iter()
            .flatten()
            .all(|rules| rules.is_empty());
        if is_plain && !(to_untrusted && role == Role::Diversion) {
            return;
        }
        for value in line.values() {
            let Ok(person) = NameAddr::parse(value.bytes) else {
                continue;
            };
            let hides = to_untrusted && role == Role::Diversion;
            if hides && (privacy.header || asks_for_privacy(person.params)) {
                veil(&person, value.range.start, edits);
                continue;
            }
            let Ok(uri) = Uri::parse(person.uri) else {
                continue;
            };
            let place = number_place(person.uri, &uri);
            if let Some(rewritten) = written(self.rules(role), &uri, &person.uri[place.clone()]) {
                let base = value.range.start + person.uri_range.start;
                edits.replace(base + place.start..base + place.end, rewritten.user());
            }
        }
    }

    fn rules(&self, role: Role) -> [Option<&'w Chain>; 2] {
        [self.from, self.to].map(|border| border.map(|it| it.rules.of(role)))
    }
}

/// Whether a URI stands for nobody: such a one is not somebody (RFC 3323 §4.1.1.3).
fn is_nobody(uri: &Uri<'_>) -> bool {
    ends_with(uri.host, b"anonymous.invalid") || uri.user.is_empty()
}

/// What rules make of the number of a URI. A `tel:` URI must begin with `+` (RFC 3966 §5.1.4: others
/// need a context), so what would take that away is not done to it.
fn written(rules: [Option<&Chain>; 2], uri: &Uri<'_>, number: &[u8]) -> Option<Rewritten> {
    let rewritten = rewrite_all(rules.into_iter().flatten(), number)?;
    let is_fit = uri.scheme != Scheme::Tel || rewritten.user().starts_with(b"+");
    is_fit.then_some(rewritten)
}

/// Where the number is in a URI: the user part up to its parameters.
fn number_place(uri: &[u8], parsed: &Uri<'_>) -> Range<usize> {
    let start = uri
        .iter()
        .position(|&octet| octet == b':')
        .map_or(0, |at| at + 1);
    let user = parsed.user;
    let end = user.iter().position(|&octet| octet == b';');
    start..start + end.unwrap_or(user.len())
}

/// Makes the entries of a History-Info line unknown that are to be (RFC 7044 §10.1.2).
fn veil_all(line: &Line<'_>, privacy: Privacy, edits: &mut Edits) {
    for value in line.values() {
        let Ok(person) = NameAddr::parse(value.bytes) else {
            continue;
        };
        let asks = contains(person.uri, b"privacy=history");
        if (privacy.history || privacy.header || asks)
            && !contains(person.uri, b"anonymous.invalid")
        {
            veil(&person, value.range.start, edits);
        }
    }
}

/// Puts nobody in the place of a person; the parameters of the entry stay.
fn veil(person: &NameAddr<'_>, start: usize, edits: &mut Edits) {
    let end = person.uri_range.end + usize::from(person.is_bracketed);
    edits.replace(start..start + end, ANONYMOUS);
}

/// Takes `history` out of a Privacy line, and the line if nothing is left to be done
/// (RFC 7044 §10.1.2, RFC 3323 §5).
fn put_remaining(line: &Line<'_>, edits: &mut Edits) {
    let is_left = |word: &&[u8]| !word.eq_ignore_ascii_case(b"history");
    let mut left = words(line.value).filter(is_left);
    if left.all(|word| word.eq_ignore_ascii_case(b"critical")) {
        return edits.remove(line.range.clone());
    }
    edits.begin(line.value_range.clone());
    for (at, word) in words(line.value).filter(is_left).enumerate() {
        if at > 0 {
            edits.put(b";");
        }
        edits.put(word);
    }
    edits.end();
}

/// Whether the parameters of a Diversion or Remote-Party-ID want something hidden: `privacy` is not
/// `off` (RFC 5806 §4).
fn asks_for_privacy(params: &[u8]) -> bool {
    let mut each = params.split(|octet| matches!(octet, b';' | b','));
    each.any(|param| {
        let mut parts = param.splitn(2, |&octet| octet == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let is_off = value.is_some_and(|value| {
            let value = value.trim_ascii();
            let value = value
                .strip_prefix(b"\"")
                .and_then(|it| it.strip_suffix(b"\""))
                .unwrap_or(value);
            value.eq_ignore_ascii_case(b"off")
        });
        name.trim_ascii().eq_ignore_ascii_case(b"privacy") && !is_off
    })
}

/// Whether a text ends with this, whatever its case.
fn ends_with(text: &[u8], end: &[u8]) -> bool {
    let start = text.len().checked_sub(end.len());
    start.is_some_and(|start| text[start..].eq_ignore_ascii_case(end))
}

/// Whether a text has this in it, whatever its case.
fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len())
        .any(|it| it.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests;
