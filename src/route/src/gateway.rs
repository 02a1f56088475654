//! A gateway: where it is, how it wants to be asked, and when it counts as dead.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{GatewayId, ListenerId, Transport};
use sip::{Scheme, Uri};
use translation::{NumberRules, RuleSet};

use crate::cap::Capped;
use crate::limits::URI_BYTES_MAX;
use crate::rewrite::rewrite_told;
use crate::{Border, CallLimits, DeckId, Number, Profile};

/// An address that takes calls.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its number, which stays the same over reloads.
    pub id: GatewayId,
    /// Its name.
    pub name: Box<str>,
    /// The company it belongs to; may be empty.
    pub carrier: Box<str>,
    /// Where its requests are sent.
    pub address: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The listener that sends them: [`crate::build`] always finds one.
    pub listener: Option<ListenerId>,
    /// How it wants the called number.
    pub called: EgressFormat,
    /// What becomes of the numbers that it gets, when they are as `called` wants them.
    pub rules: NumberRules,
    /// What may cross its border.
    pub(crate) profile: Option<Arc<Profile>>,
    /// Which parameters of the called number it gets.
    pub(crate) kept: Kept,
    /// Taken out of service by the operator: takes no new calls.
    pub maintenance: bool,
    /// Active health checks.
    pub probe: Option<Probe>,
    /// When it is taken out of service, and how it comes back.
    pub health: HealthRules,
    /// How long it may stay silent after an INVITE before the next gateway is tried.
    pub no_response_ms: u32,
    /// How datagrams for it travel together; without, as its listener says.
    pub coalesce: Option<Coalesce>,
    /// Whether it is asked how much it can take (RFC 7339).
    pub overload_control: bool,
    /// How many calls it takes.
    pub limits: CallLimits,
    /// The caps on calls to it.
    pub(crate) caps: Box<[Capped]>,
    /// The deck that says what it asks.
    pub(crate) deck: Option<DeckId>,
    /// What stands around a number in the Request-URI.
    pub(crate) around: Around,
}

/// What stands around the number in the Request-URIs of a gateway, in the pieces that are written.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    /// `sip:`, the prefix, escaped as a user part must be, and `+` if the number gets one.
    before: Box<[u8]>,
    /// `@host[:port][;transport=tcp]`
    behind: Box<[u8]>,
    /// The same and `;user=phone`.
    behind_phone: Box<[u8]>,
}

impl Around {
    /// For a gateway with this `host[:port][;transport=tcp]`.
    pub(crate) fn new(host: &str, called: &EgressFormat) -> Around {
        let plus = match called.style {
            EgressStyle::E164Plus => "+",
            EgressStyle::E164 | EgressStyle::Dialled => "",
        };
        let prefix = escape_prefix(&called.prefix);
        let boxed = |text: String| text.into_bytes().into_boxed_slice();
        Around {
            before: boxed(format!("sip:{prefix}{plus}")),
            behind: boxed(format!("@{host}")),
            behind_phone: boxed(format!("@{host};user=phone")),
        }
    }
}

/// The parameters of a number that go on with it: those of a `tel:` URI, or behind the number in the
/// user part of a `sip:` one (RFC 3261 §19.1.6).
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    names: Box<[Box<str>]>,
    all: bool,
}

impl Kept {
    /// Those of these names; `*` for all.
    pub(crate) fn new(names: &[String]) -> Kept {
        Kept {
            names: names.iter().map(|name| name.as_str().into()).collect(),
            all: names.iter().any(|name| name == "*"),
        }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Appends those of a URI that are kept, each behind its `;`.
    fn put(&self, uri: &Uri<'_>, out: &mut Vec<u8>) {
        let params = match uri.scheme {
            Scheme::Tel => uri.params,
            Scheme::Sip | Scheme::Sips | Scheme::Other(_) => {
                let number = uri.user.iter().position(|&octet| octet == b';');
                number.map_or(&[][..], |end| &uri.user[end + 1..])
            }
        };
        let each = params.split(|&octet| octet == b';');
        for param in each.filter(|param| !param.is_empty()) {
            let end = param.iter().position(|&octet| octet == b'=');
            let name = &param[..end.unwrap_or(param.len())];
            let mut names = self.names.iter();
            if self.all || names.any(|it| it.as_bytes().eq_ignore_ascii_case(name)) {
                out.push(b';');
                put_escaped(param, out);
            }
        }
    }
}

/// How datagrams for one peer are brought to one length, to leave in one system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Coalesce {
    /// Each leaves alone.
    #[default]
    Off,
    /// A parameter of our own Via or Record-Route is lengthened.
    OwnParameters,
    /// Octets behind the body, which its reader discards (RFC 3261 §18.3).
    Trailing,
}

/// How a gateway wants the called number written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EgressFormat {
    /// The form of the number itself.
    pub style: EgressStyle,
    /// How many leading digits (of the dialled form: octets) are taken off first.
    pub strip: u8,
    /// What is put in front: digits, `*`, `#`, `+`.
    pub prefix: String,
}

/// The form of a called number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EgressStyle {
    /// `+` and the normalised digits.
    #[default]
    E164Plus,
    /// The normalised digits.
    E164,
    /// The user part as it was dialled.
    Dialled,
}

/// How a gateway is probed with OPTIONS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// From one probe to the next.
    pub interval_ms: u32,
    /// How much a distance may differ from the interval, either way, in per cent.
    pub jitter_percent: u8,
    /// How long an answer may take.
    pub timeout_ms: u32,
    /// Down after so many probes in a row without an answer.
    pub down_after: u16,
    /// Up again after so many answered in a row.
    pub up_after: u16,
}

impl Default for Probe {
    fn default() -> Probe {
        Probe {
            interval_ms: 10_000,
            jitter_percent: 10,
            timeout_ms: 2_000,
            down_after: 2,
            up_after: 2,
        }
    }
}

/// When a gateway goes down by the fate of its calls, and how it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthRules {
    /// Down after so many attempts in a row without any response; 0 for never.
    pub down_after: u16,
    /// How long it stays down at least. Doubled with each fall during a slow return, up to
    /// 16 times; back to this after a slow return that was completed.
    pub hold_down_ms: u32,
    /// How long it takes to get from a tenth of its calls to all; 0 for at once.
    pub slow_return_ms: u32,
}

impl Default for HealthRules {
    fn default() -> HealthRules {
        HealthRules {
            down_after: 5,
            hold_down_ms: 30_000,
            slow_return_ms: 30_000,
        }
    }
}

impl Gateway {
    /// Its border; `None` if whatever comes may cross as it is.
    #[must_use]
    pub fn border(&self) -> Option<Border<'_>> {
        Border::of_gateway(self.profile.as_deref(), &self.rules)
    }

    /// Appends the Request-URI for a call to this gateway. `false` if it would be longer than
    /// [`crate::limits::URI_BYTES_MAX`]: then nothing was appended.
    ///
    /// The host is the gateway's; `user=phone` stays if the caller had it, and so do the parameters of
    /// the number that the gateway is to get. Other parameters, the password and the headers were for
    /// us and go.
    pub fn write_uri(&self, number: &Number<'_>, original: &Uri<'_>, out: &mut Vec<u8>) -> bool {
        if !self.rules.called.is_empty() || !self.kept.is_empty() {
            return self.write_uri_told(number, original, out, |_, _| {});
        }
        let (before, user) = self.user(number, original);
        let behind = match (before, user) {
            // Without a user part there is no `@` either.
            (b"sip:", []) => &self.around.behind[1..],
            _ if is_phone(original) => &self.around.behind_phone,
            _ => &self.around.behind,
        };
        if before.len() + user.len() + behind.len() > URI_BYTES_MAX {
            return false;
        }
        for part in [before, user, behind] {
            out.extend_from_slice(part);
        }
        true
    }

    /// As [`Gateway::write_uri`], with rules and parameters; `told` hears of every rule that was used.
    pub(crate) fn write_uri_told(
        &self,
        number: &Number<'_>,
        original: &Uri<'_>,
        out: &mut Vec<u8>,
        told: impl FnMut(&RuleSet, usize),
    ) -> bool {
        let start = out.len();
        let (before, user) = self.user(number, original);
        out.extend_from_slice(before);
        out.extend_from_slice(user);
        let written = &out[start + b"sip:".len()..];
        if let Some(rewritten) = rewrite_told(&self.rules.called, written, told) {
            out.truncate(start + b"sip:".len());
            out.extend_from_slice(rewritten.user());
        }
        // As it was dialled it has them all.
        if !number.is_raw() && self.called.style != EgressStyle::Dialled {
            self.kept.put(original, out);
        }
        let behind = match out.len() - start == b"sip:".len() {
            true => &self.around.behind[1..],
            false if is_phone(original) => &self.around.behind_phone,
            false => &self.around.behind,
        };
        out.extend_from_slice(behind);
        let fits = out.len() - start <= URI_BYTES_MAX;
        if !fits {
            out.truncate(start);
        }
        fits
    }

    /// What is put before the number, and the number as it is written.
    fn user<'n>(&'n self, number: &Number<'n>, original: &Uri<'n>) -> (&'n [u8], &'n [u8]) {
        let dialled = number.dialled().unwrap_or(original.user);
        if number.is_raw() {
            return (b"sip:", dialled);
        }
        let digits = match self.called.style {
            EgressStyle::E164Plus | EgressStyle::E164 => number.text(),
            EgressStyle::Dialled => dialled,
        };
        let stripped = digits.get(usize::from(self.called.strip)..);
        (&self.around.before, stripped.unwrap_or(&[]))
    }
}

/// Whether the caller said that the user part is a telephone number.
pub(crate) fn is_phone(uri: &Uri<'_>) -> bool {
    // None, or this one alone, is what most have.
    match uri.params {
        b"" => false,
        b"user=phone" => true,
        _ => {
            let user = uri.param(b"user").flatten();
            user.is_some_and(|value| value.eq_ignore_ascii_case(b"phone"))
        }
    }
}

/// The end of a Request-URI: the domain or the address, and the transport unless it is UDP.
pub(crate) fn host_text(
    domain: Option<&str>,
    address: SocketAddr,
    transport: Transport,
) -> Box<str> {
    const DEFAULT_PORT: u16 = 5060;
    let mut host = match (domain, address.port()) {
        (Some(domain), _) => domain.to_owned(),
        (None, DEFAULT_PORT) => match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        },
        (None, _) => address.to_string(),
    };
    match transport {
        Transport::Udp => {}
        Transport::Tcp => host.push_str(";transport=tcp"),
    }
    host.into()
}

/// Appends what stood in a `tel:` URI as it may stand in a user part (RFC 3261 §25.1); what was in one
/// already stays as it is.
fn put_escaped(param: &[u8], out: &mut Vec<u8>) {
    for &octet in param {
        match octet {
            b'[' | b']' | b':' => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                let (high, low) = (octet >> 4, octet & 15);
                out.extend_from_slice(&[b'%', DIGITS[usize::from(high)], DIGITS[usize::from(low)]]);
            }
            octet => out.push(octet),
        }
    }
}

/// `prefix` as it may stand in a user part: all but digits, `*` and `+` escaped.
fn escape_prefix(prefix: &str) -> String {
    let mut escaped = String::new();
    for octet in prefix.bytes() {
        match octet {
            b'0'..=b'9' | b'*' | b'+' => escaped.push(char::from(octet)),
            _ => write!(escaped, "%{octet:02X}").expect("a String takes all"),
        }
    }
    escaped
}
