//! What was dialled, as one number: E.164 digits without `+`.
//!
//! The translation rules of the trunk come first (`rewrite.rs`). Then these are tried in this order,
//! the first that fits decides:
//!
//! 1. `%` escapes are undone, once; user parameters (`;npdi`) are cut off.
//! 2. A configured tech prefix (`1234#`, `99`) is taken off, the longest first.
//! 3. Visual separators `-` `.` `(` `)` go (RFC 3966 §5.1.1).
//! 4. `+` and digits: E.164 as it is.
//! 5. A configured international prefix (`00`): what follows is E.164.
//! 6. The configured national prefix (`0`): the country code and what follows.
//! 7. Other digits: by the trunk's rule E.164, national, or refused.
//!
//! A user part that is no number is [`Rule::Raw`]: only the catch-all route takes it. What claims to
//! be a number (`+…`, `tel:`, `user=phone`) and is none is refused.

use std::fmt;

use sip::{Scheme, Uri};
use translation::Chain;

use crate::gateway::is_phone;
use crate::limits::{DIGITS_MAX, RAW_BYTES_MAX};
use crate::rewrite::{Rewritten, rewrite};

/// How the numbers that a trunk dials are read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberFormat {
    /// The country that national numbers are of: digits, empty if there is none.
    pub country_code: String,
    /// What national numbers begin with (`0`, `1`), if they can be told by it.
    pub national_prefix: Option<String>,
    /// What international numbers begin with (`00`, `011`), besides `+`.
    pub international_prefixes: Vec<String>,
    /// What the customer puts before every number to be told apart (`1234#`, `99`).
    pub tech_prefixes: Vec<String>,
    /// Whether a number without one of the tech prefixes is refused.
    pub tech_prefix_required: bool,
    /// What digits are that begin with none of the prefixes.
    pub plain: PlainRule,
}

/// What digits are that begin with no known prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PlainRule {
    /// E.164 without its `+`.
    #[default]
    International,
    /// A national number without the national prefix: the country code is put before it.
    National,
    /// Nothing that is accepted.
    Refuse,
}

/// By which rule a number was normalised.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rule {
    /// It began with `+`.
    Plus,
    /// It began with an international prefix.
    InternationalPrefix,
    /// It began with the national prefix.
    NationalPrefix,
    /// Plain digits, taken as E.164.
    PlainInternational,
    /// Plain digits, taken as a national number.
    PlainNational,
    /// No number at all: kept as it is, for the catch-all route.
    Raw,
}

impl Rule {
    /// In words, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Rule::Plus => "+E.164",
            Rule::InternationalPrefix => "international prefix",
            Rule::NationalPrefix => "national prefix",
            Rule::PlainInternational => "plain digits are E.164",
            Rule::PlainNational => "plain digits are national",
            Rule::Raw => "no number, kept as it is",
        }
    }
}

/// A called number, normalised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number<'b> {
    text: &'b [u8],
    rule: Rule,
    tech_prefix: &'b [u8],
    dialled: Option<&'b [u8]>,
}

impl<'b> Number<'b> {
    /// The E.164 digits without `+`; of a raw number the user part as it was written.
    #[must_use]
    pub const fn text(&self) -> &'b [u8] {
        self.text
    }

    /// The digits that lists and decks are asked for: none of what is no number.
    #[must_use]
    #[inline]
    pub fn digits(&self) -> &[u8] {
        match self.is_raw() {
            true => b"",
            false => self.text(),
        }
    }

    /// Whether this is no number but a user part for the catch-all route.
    #[must_use]
    pub const fn is_raw(&self) -> bool {
        matches!(self.rule, Rule::Raw)
    }

    /// By which rule it became this.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// The tech prefix that was taken off; empty if there was none.
    #[must_use]
    pub const fn tech_prefix(&self) -> &'b [u8] {
        self.tech_prefix
    }

    /// What translation rules have made of the user part that was dialled, if they have.
    #[must_use]
    pub const fn dialled(&self) -> Option<&'b [u8]> {
        self.dialled
    }

    /// A number that was normalised before: digits kept by a call.
    #[must_use]
    pub const fn from_digits(digits: &'b [u8]) -> Number<'b> {
        Number {
            text: digits,
            rule: Rule::Plus,
            tech_prefix: &[],
            dialled: None,
        }
    }
}

/// Where a number is written while it is normalised. Reusable, caller-owned.
#[derive(Clone, Debug)]
pub struct NumberBuffer {
    unescaped: [u8; RAW_BYTES_MAX],
    digits: [u8; DIGITS_MAX],
    rewritten: Option<Rewritten>,
}

impl NumberBuffer {
    /// An empty one.
    #[must_use]
    pub const fn new() -> NumberBuffer {
        NumberBuffer {
            unescaped: [0; RAW_BYTES_MAX],
            digits: [0; DIGITS_MAX],
            rewritten: None,
        }
    }
}

impl Default for NumberBuffer {
    fn default() -> NumberBuffer {
        NumberBuffer::new()
    }
}

/// Why a called number is refused. Each is the caller's fault: RFC 3261 §21.4.19 (484), or 404.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// The trunk is not in this snapshot.
    UnknownTrunk,
    /// The scheme is none that calls are routed by.
    Scheme,
    /// A `%` is not followed by two hexadecimal digits.
    Escape,
    /// More than [`DIGITS_MAX`] digits, or a user part of more than [`RAW_BYTES_MAX`] octets.
    TooLong,
    /// It claims to be a number (`+`, `tel:`, `user=phone`) and has other signs in it.
    NotDigits,
    /// There is nothing after its prefix.
    Empty,
    /// It begins with 0 after the prefix: no country code does (E.164 §6.2.1).
    CountryCode,
    /// The trunk must put one of its tech prefixes before a number.
    TechPrefix,
    /// It begins with no known prefix, and the trunk's rule is to refuse such numbers.
    Plain,
    /// It is a national number, and the trunk has no country code.
    NoCountry,
}

impl NumberError {
    /// The status to refuse the call with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            NumberError::UnknownTrunk | NumberError::TechPrefix => 403,
            NumberError::Scheme => 416,
            NumberError::Empty => 484,
            NumberError::Escape
            | NumberError::TooLong
            | NumberError::NotDigits
            | NumberError::CountryCode
            | NumberError::Plain
            | NumberError::NoCountry => 404,
        }
    }
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NumberError::UnknownTrunk => "the trunk is not configured (any more)",
            NumberError::Scheme => "the URI is neither sip, sips nor tel",
            NumberError::Escape => "a `%` is not followed by two hexadecimal digits",
            NumberError::TooLong => "more than 32 digits, or more than 128 octets",
            NumberError::NotDigits => "it claims to be a number but is not made of digits",
            NumberError::Empty => "there is no digit after the prefix",
            NumberError::CountryCode => "no country code begins with 0",
            NumberError::TechPrefix => "it does not begin with a tech prefix of the trunk",
            NumberError::Plain => {
                "it begins with no known prefix, and the trunk's `plain` is \"refuse\""
            }
            NumberError::NoCountry => "it is a national number, and the trunk has no country_code",
        })
    }
}

/// Normalises the user part of a URI.
#[inline]
pub(crate) fn normalise<'b>(
    format: &NumberFormat,
    uri: &Uri<'_>,
    buffer: &'b mut NumberBuffer,
) -> Result<Number<'b>, NumberError> {
    normalise_user(format, uri, &mut buffer.unescaped, &mut buffer.digits)
}

/// As [`normalise`], of what translation rules make of the user part.
#[cold]
pub(crate) fn normalise_rewritten<'b>(
    rules: &Chain,
    format: &NumberFormat,
    uri: &Uri<'_>,
    buffer: &'b mut NumberBuffer,
) -> Result<Number<'b>, NumberError> {
    let NumberBuffer {
        unescaped,
        digits,
        rewritten,
    } = buffer;
    *rewritten = rewrite(rules, uri.user);
    let Some(rewritten) = rewritten else {
        return normalise_user(format, uri, unescaped, digits);
    };
    let number = normalise_user(format, &rewritten.uri(uri), unescaped, digits)?;
    Ok(Number {
        dialled: Some(rewritten.user()),
        ..number
    })
}

fn normalise_user<'b>(
    format: &NumberFormat,
    uri: &Uri<'_>,
    unescaped: &'b mut [u8; RAW_BYTES_MAX],
    digits: &'b mut [u8; DIGITS_MAX],
) -> Result<Number<'b>, NumberError> {
    let is_tel = match uri.scheme {
        Scheme::Sip | Scheme::Sips => false,
        Scheme::Tel => true,
        Scheme::Other(_) => return Err(NumberError::Scheme),
    };
    if !is_tel
        && !format.tech_prefix_required
        && format.tech_prefixes.is_empty()
        && let Some(e164) = plain_plus(uri.user)
        && e164.len() <= DIGITS_MAX
    {
        let room = &mut digits[..e164.len()];
        room.copy_from_slice(e164);
        return Ok(Number {
            text: room,
            rule: Rule::Plus,
            tech_prefix: &[],
            dialled: None,
        });
    }
    let subscriber = uri.user.split(|&octet| octet == b';').next().unwrap_or(&[]);
    let length = unescape(subscriber, unescaped)?;
    let tech = tech_prefix(format, &unescaped[..length]);
    let rest = &unescaped[tech..length];
    let claims = is_tel || is_phone(uri) || rest.first() == Some(&b'+');
    let Some((plus, length)) = digits_of(rest, digits)? else {
        if claims {
            return Err(NumberError::NotDigits);
        }
        // A raw user part is shown and forwarded as written: unescaping it would change it.
        let raw = unescaped
            .get_mut(..uri.user.len())
            .ok_or(NumberError::TooLong)?;
        raw.copy_from_slice(uri.user);
        return Ok(Number {
            text: raw,
            rule: Rule::Raw,
            tech_prefix: &[],
            dialled: None,
        });
    };
    if format.tech_prefix_required && tech == 0 {
        return Err(NumberError::TechPrefix);
    }
    let (rule, length) = apply(format, plus, digits, length)?;
    match digits[..length].first() {
        None => Err(NumberError::Empty),
        Some(b'0') => Err(NumberError::CountryCode),
        Some(_) => Ok(Number {
            text: &digits[..length],
            rule,
            tech_prefix: &unescaped[..tech],
            dialled: None,
        }),
    }
}

/// The digits of a user part that is `+` and digits and nothing else, as most are: rules 1 to 3 find
/// nothing in it.
fn plain_plus(user: &[u8]) -> Option<&[u8]> {
    let e164 = user.strip_prefix(b"+")?;
    let begins = matches!(e164.first(), Some(b'1'..=b'9'));
    (begins && e164.iter().all(u8::is_ascii_digit)).then_some(e164)
}

/// Undoes `%` escapes once. Here a broken escape is refused: it cannot be part of a number, and two
/// readings of it are one too many.
fn unescape(text: &[u8], out: &mut [u8; RAW_BYTES_MAX]) -> Result<usize, NumberError> {
    let hex = |octet: Option<&u8>| {
        octet
            .and_then(|&octet| char::from(octet).to_digit(16))
            .map(|digit| digit as u8)
            .ok_or(NumberError::Escape)
    };
    let mut length = 0;
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        let plain = match octet {
            b'%' => hex(octets.next())? << 4 | hex(octets.next())?,
            octet => octet,
        };
        *out.get_mut(length).ok_or(NumberError::TooLong)? = plain;
        length += 1;
    }
    Ok(length)
}

/// How long the longest tech prefix is that the dialled string begins with.
fn tech_prefix(format: &NumberFormat, dialled: &[u8]) -> usize {
    let fits = |prefix: &&String| dialled.starts_with(prefix.as_bytes());
    let prefixes = format.tech_prefixes.iter().filter(fits);
    prefixes.map(String::len).max().unwrap_or(0)
}

/// Copies the digits without separators; says whether `+` came first and how many there are.
/// `None` if it is no number.
fn digits_of(
    rest: &[u8],
    digits: &mut [u8; DIGITS_MAX],
) -> Result<Option<(bool, usize)>, NumberError> {
    let (plus, rest) = match rest.strip_prefix(b"+") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let is_number = rest
        .iter()
        .all(|&octet| octet.is_ascii_digit() || is_separator(octet));
    let significant = rest.iter().filter(|octet| octet.is_ascii_digit());
    if !is_number || (!plus && significant.clone().next().is_none()) {
        return Ok(None);
    }
    let mut length = 0;
    for &digit in significant {
        *digits.get_mut(length).ok_or(NumberError::TooLong)? = digit;
        length += 1;
    }
    Ok(Some((plus, length)))
}

const fn is_separator(octet: u8) -> bool {
    matches!(octet, b'-' | b'.' | b'(' | b')')
}

/// Rules 4 to 7: turns the digits in place into E.164 and says by which rule.
fn apply(
    format: &NumberFormat,
    plus: bool,
    digits: &mut [u8; DIGITS_MAX],
    length: usize,
) -> Result<(Rule, usize), NumberError> {
    if plus {
        return Ok((Rule::Plus, length));
    }
    let begins = |prefix: &str| digits[..length].starts_with(prefix.as_bytes());
    let international = format.international_prefixes.iter();
    let longest = international.filter(|p| begins(p)).map(String::len).max();
    if let Some(prefix) = longest {
        digits.copy_within(prefix..length, 0);
        return Ok((Rule::InternationalPrefix, length - prefix));
    }
    if let Some(prefix) = format.national_prefix.as_deref().filter(|p| begins(p)) {
        let length = nationalise(format, digits, prefix.len(), length)?;
        return Ok((Rule::NationalPrefix, length));
    }
    match format.plain {
        PlainRule::International => Ok((Rule::PlainInternational, length)),
        PlainRule::National => Ok((Rule::PlainNational, nationalise(format, digits, 0, length)?)),
        PlainRule::Refuse => Err(NumberError::Plain),
    }
}

/// Puts the country code in the place of the first `strip` digits.
fn nationalise(
    format: &NumberFormat,
    digits: &mut [u8; DIGITS_MAX],
    strip: usize,
    length: usize,
) -> Result<usize, NumberError> {
    let country = format.country_code.as_bytes();
    if country.is_empty() {
        return Err(NumberError::NoCountry);
    }
    if strip == length {
        return Err(NumberError::Empty);
    }
    let end = length - strip + country.len();
    if end > DIGITS_MAX {
        return Err(NumberError::TooLong);
    }
    digits.copy_within(strip..length, country.len());
    digits[..country.len()].copy_from_slice(country);
    Ok(end)
}
