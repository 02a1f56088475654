//! Profiles: whom a peer may tell us about, whom it is told about, and which headers cross its border.

use crate::peers::{Names, name};
use crate::section::{At, Section, cut};
use crate::{Assert, Profile};

/// The most names in a list of headers.
const NAMES_MAX: usize = 64;
/// The most headers that are set, in each direction.
const SET_MAX: usize = 8;
/// The longest value that is set.
const VALUE_BYTES_MAX: usize = 200;

/// Headers without which a dialog, a body or a challenge goes wrong; no list may name them. With
/// their compact forms.
pub const PROTECTED_HEADERS: &[(&str, Option<&str>)] = &[
    ("Via", Some("v")),
    ("From", Some("f")),
    ("To", Some("t")),
    ("Call-ID", Some("i")),
    ("CSeq", None),
    ("Max-Forwards", None),
    ("Max-Breadth", None),
    ("Route", None),
    ("Record-Route", None),
    ("Path", None),
    ("Service-Route", None),
    ("Contact", Some("m")),
    ("Content-Length", Some("l")),
    ("Content-Type", Some("c")),
    ("Content-Encoding", Some("e")),
    ("Content-Disposition", None),
    ("MIME-Version", None),
    ("Require", None),
    ("Proxy-Require", None),
    ("Supported", Some("k")),
    ("Unsupported", None),
    ("RAck", None),
    ("RSeq", None),
    ("Session-Expires", Some("x")),
    ("Min-SE", None),
    ("Expires", None),
    ("Min-Expires", None),
    ("Event", Some("o")),
    ("Refer-To", Some("r")),
    ("Replaces", None),
    ("Authorization", None),
    ("WWW-Authenticate", None),
    ("Proxy-Authenticate", None),
    ("Proxy-Authorization", None),
    ("Privacy", None),
];

const CROSSES: &[(&str, bool)] = &[("pass", true), ("strip", false)];

/// `[[profile]]`
pub(crate) fn profiles(root: &Section<'_>) -> Vec<Profile> {
    let mut names = Names::new();
    let sections = root.tables("profile");
    let read = |section: &Section<'_>| profile(section, &mut names);
    sections.iter().map(read).collect()
}

fn profile(section: &Section<'_>, names: &mut Names) -> Profile {
    let trusted = section.flag("trusted", false);
    let crosses = |key, default| section.word(key, CROSSES, default);
    Profile {
        name: name(section, "profile", names),
        trusted,
        assert: assert(section),
        remote_party_id: crosses("remote_party_id", trusted),
        diversion: crosses("diversion", true),
        history_info: crosses("history_info", true),
        identity: crosses("identity", true),
        deny: headers(section, "deny").unwrap_or_default(),
        allow: headers(section, "allow"),
        set_from: set(section, "set_from"),
        set_to: set(section, "set_to"),
    }
}

/// The profile that a trunk or a gateway names.
pub(crate) fn profile_of(section: &Section<'_>, profiles: &[Profile]) -> Option<String> {
    let text = section.text("profile")?;
    let known = profiles.iter().map(|profile| profile.name.as_str());
    section.check_known(text, "profile", known);
    Some(text.value.to_owned())
}

/// `"from"` or a URI.
fn assert(section: &Section<'_>) -> Option<Assert> {
    let text = section.text("assert")?;
    if text.value == "from" {
        return Some(Assert::From);
    }
    let is_uri = |octet: u8| octet.is_ascii_graphic() && !b"<>\"?,".contains(&octet);
    let rest = match text.value.split_once(':') {
        Some(("sip" | "sips", rest)) => rest
            .find('@')
            .is_some_and(|at| at > 0 && at + 1 < rest.len()),
        Some(("tel", rest)) => rest.starts_with('+') && rest.len() > 1,
        _ => false,
    };
    if !rest || !text.value.bytes().all(is_uri) || text.value.len() > VALUE_BYTES_MAX {
        let expected =
            "\"from\", or a URI such as \"sip:+4930100@example.com\" or \"tel:+4930100\"";
        section.refuse(
            text,
            expected,
            "write whom calls without an identity are of",
        );
    }
    Some(Assert::Uri(text.value.to_owned()))
}

/// A list of names of headers; `*` at the end for all that begin so.
fn headers(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let texts = section.texts(key)?;
    too_many(section, &texts, NAMES_MAX);
    for text in &texts {
        let whole = text.value.strip_suffix('*').unwrap_or(text.value);
        let is_name = whole.bytes().all(is_token) && !text.value.is_empty();
        if !is_name {
            let expected = "the name of a header, or its beginning and `*`";
            section.refuse(
                *text,
                expected,
                "write the name alone, as \"X-Trace\" or \"X-*\"",
            );
        } else if whole.len() == text.value.len() {
            refuse_protected(section, *text, text.value);
        }
    }
    Some(texts.iter().map(|text| text.value.to_owned()).collect())
}

/// `"Name: value"`
fn set(section: &Section<'_>, key: &str) -> Vec<(String, String)> {
    let texts = section.texts(key).unwrap_or_default();
    too_many(section, &texts, SET_MAX);
    let split = |text: &At<&str>| {
        let (name, value) = text.value.split_once(':').unwrap_or((text.value, ""));
        let (name, value) = (name.trim(), value.trim());
        let is_name = !name.is_empty() && name.bytes().all(is_token);
        let is_value = (1..=VALUE_BYTES_MAX).contains(&value.len());
        if !is_name || !is_value || value.chars().any(char::is_control) {
            let expected = format!("a header as \"Name: value\", up to {VALUE_BYTES_MAX} octets");
            section.refuse(
                *text,
                expected,
                "write its name, a colon and a text in one line",
            );
        } else if ["P-Asserted-Identity", "P-Preferred-Identity"]
            .iter()
            .any(|it| it.eq_ignore_ascii_case(name))
        {
            let found = format!("`{}`", cut(name));
            let remedy = "use `assert`: an identity must heed what is asked for in Privacy";
            section.report.add(text.at, found, "another header", remedy);
        } else {
            refuse_protected(section, *text, name);
        }
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(split).collect()
}

fn too_many(section: &Section<'_>, texts: &[At<&str>], max: usize) {
    if let Some(first) = texts.get(max) {
        let found = format!("{} entries", texts.len());
        section
            .report
            .add(first.at, found, format!("at most {max}"), "take some out");
    }
}

fn refuse_protected(section: &Section<'_>, text: At<&str>, name: &str) {
    let is = |it: &str| it.eq_ignore_ascii_case(name);
    let found = PROTECTED_HEADERS
        .iter()
        .find(|(long, compact)| is(long) || compact.is_some_and(is));
    if let Some((long, _)) = found {
        let expected = "a header that calls can do without";
        let remedy = format!("take it out: no call works without {long} as it is");
        section.refuse(text, expected, &remedy);
    }
}

/// RFC 3261 §25.1: token.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet)
}
