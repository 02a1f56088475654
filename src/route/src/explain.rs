//! What would happen to a call, and why, without a call: the same path, told step by step.

use std::fmt::{self, Write};

use base::{Time, TrunkId};
use sip::Uri;

use crate::{
    Candidates, Gateway, GatewayState, Health, NoRoute, NumberBuffer, NumberError, Snapshot,
    Verdict,
};

/// What would be tried for one call.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The generation of the snapshot.
    pub generation: u64,
    /// The trunk's name.
    pub trunk: String,
    /// The user part as it was dialled.
    pub dialled: String,
    /// The normalised number, if it could be normalised.
    pub number: Option<String>,
    /// By which rule it was normalised.
    pub rule: Option<&'static str>,
    /// The tech prefix that was taken off; empty if none.
    pub tech_prefix: String,
    /// The prefix that matched; `*` for the catch-all route.
    pub prefix: Option<String>,
    /// `ordered`, `weighted` or `parallel`.
    pub mode: Option<&'static str>,
    /// The most gateways that would be tried.
    pub attempts_max: usize,
    /// Each gateway in the order to try.
    pub steps: Vec<Step>,
    /// Why the call is refused, if it is.
    pub refused: Option<Refusal>,
}

/// Why a call would be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The called number.
    Number(NumberError),
    /// The routes.
    Route(NoRoute),
    /// There are gateways, but none may be tried now.
    NothingToTry,
}

/// One gateway of an [`Explanation`].
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Its place, from 1.
    pub position: usize,
    /// Its name.
    pub gateway: String,
    /// Its carrier.
    pub carrier: String,
    /// Its address.
    pub address: String,
    /// Its transport.
    pub transport: &'static str,
    /// Its weight in the route.
    pub weight: u32,
    /// Its state.
    pub state: GatewayState,
    /// Why it is left out; `None` if it is tried.
    pub skipped: Option<&'static str>,
    /// The Request-URI that it would get.
    pub request_uri: String,
    /// How long it may stay silent.
    pub no_response_ms: u32,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Number(error) => error.fmt(f),
            Refusal::Route(no_route) => no_route.fmt(f),
            Refusal::NothingToTry => f.write_str("no gateway of the route may be tried now"),
        }
    }
}

/// Walks the path of a call from this trunk to this URI and tells what it met.
#[must_use]
pub fn explain(
    snapshot: &Snapshot,
    health: &Health,
    trunk: TrunkId,
    uri: &Uri<'_>,
    now: Time,
    dice: u64,
) -> Explanation {
    let mut told = Explanation {
        generation: snapshot.generation(),
        trunk: snapshot.trunk_name(trunk).to_owned(),
        dialled: text(uri.user),
        number: None,
        rule: None,
        tech_prefix: String::new(),
        prefix: None,
        mode: None,
        attempts_max: 0,
        steps: Vec::new(),
        refused: None,
    };
    let mut buffer = NumberBuffer::new();
    let number = match snapshot.number(trunk, uri, &mut buffer) {
        Ok(number) => number,
        Err(error) => {
            told.refused = Some(Refusal::Number(error));
            return told;
        }
    };
    told.number = Some(text(number.text()));
    told.rule = Some(number.rule().text());
    told.tech_prefix = text(number.tech_prefix());
    let mut candidates = Candidates::new();
    let id = match snapshot.candidates(trunk, &number, health, now, dice, &mut candidates) {
        Ok(id) => id,
        Err(no_route) => {
            told.refused = Some(Refusal::Route(no_route));
            return told;
        }
    };
    let route = snapshot.route(id);
    let first = candidates.next_to_try(0);
    told.refused = first.is_none().then_some(Refusal::NothingToTry);
    told.prefix = Some(route.prefix.to_owned());
    told.mode = Some(route.mode.text());
    told.attempts_max = route.attempts_max;
    for (at, candidate) in candidates.iter().enumerate() {
        let target = route
            .targets
            .iter()
            .find(|t| t.gateway == candidate.gateway);
        let Some(gateway) = snapshot.gateway(candidate.gateway) else {
            continue;
        };
        let mut request_uri = Vec::new();
        gateway.write_uri(&number, uri, &mut request_uri);
        told.steps.push(Step {
            position: at + 1,
            weight: target.map_or(0, |target| target.weight),
            state: health.state_of(gateway, now),
            skipped: match candidate.verdict {
                Verdict::Try => None,
                Verdict::Skip(reason) => Some(reason.text()),
            },
            request_uri: text(&request_uri),
            ..Step::of(gateway)
        });
    }
    told
}

/// As [`explain`], for a number as people type it: a `sip:` or `tel:` URI, or the user part alone.
///
/// # Errors
/// The text is no URI and cannot be the user part of one.
pub fn explain_dialled(
    snapshot: &Snapshot,
    health: &Health,
    trunk: TrunkId,
    dialled: &str,
    now: Time,
    dice: u64,
) -> Result<Explanation, sip::Error> {
    let mut typed = String::new();
    if !dialled.contains(':') {
        typed.push_str("sip:");
        for octet in dialled.bytes() {
            // What may stand in a user part stays, `%` too: it is an escape already.
            if octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(&octet) {
                typed.push(char::from(octet));
            } else {
                write!(typed, "%{octet:02X}").expect("a String takes all");
            }
        }
        typed.push_str("@explain.invalid");
    } else {
        typed.push_str(dialled);
    }
    let uri = Uri::parse(typed.as_bytes())?;
    Ok(explain(snapshot, health, trunk, &uri, now, dice))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trunk      {}", self.trunk)?;
        writeln!(f, "dialled    {}", self.dialled)?;
        if let (Some(number), Some(rule)) = (&self.number, self.rule) {
            write!(f, "number     {number}   ({rule}")?;
            if !self.tech_prefix.is_empty() {
                write!(f, "; tech prefix {} taken off", self.tech_prefix)?;
            }
            writeln!(f, ")")?;
        }
        if let (Some(prefix), Some(mode)) = (&self.prefix, self.mode) {
            let most = self.attempts_max;
            writeln!(f, "route      {prefix}   ({mode}, at most {most} attempts)")?;
        }
        for step in &self.steps {
            step.fmt(f)?;
        }
        if let Some(refusal) = self.refused {
            writeln!(f, "refused    {refusal}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.skipped {
            None => "try",
            Some(reason) => reason,
        };
        let Step {
            position,
            gateway,
            address,
            transport,
            weight,
            ..
        } = self;
        write!(f, "  {position}. {gateway:<16} {verdict:<14} ")?;
        write!(f, "{transport}:{address} weight {weight}, ")?;
        match self.state {
            GatewayState::Returning { admit_per_mille } => {
                write!(f, "returning ({}% of its calls)", admit_per_mille / 10)?;
            }
            state => f.write_str(state.text())?,
        }
        writeln!(f, ", {} ms to respond", self.no_response_ms)?;
        writeln!(f, "     {}", self.request_uri)
    }
}

impl Explanation {
    /// The same as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        json_number(&mut json, "generation", self.generation);
        json_text(&mut json, "trunk", Some(&self.trunk));
        json_text(&mut json, "dialled", Some(&self.dialled));
        json_text(&mut json, "number", self.number.as_deref());
        json_text(&mut json, "rule", self.rule);
        json_text(&mut json, "tech_prefix", Some(&self.tech_prefix));
        json_text(&mut json, "prefix", self.prefix.as_deref());
        json_text(&mut json, "mode", self.mode);
        json_number(&mut json, "attempts_max", self.attempts_max as u64);
        let refused = self.refused.map(|refusal| refusal.to_string());
        json_text(&mut json, "refused", refused.as_deref());
        json.push_str("\"candidates\":[");
        for (at, step) in self.steps.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            step.write_json(&mut json);
        }
        json.push_str("]}");
        json
    }
}

impl Step {
    /// What is true of the gateway in every call.
    fn of(gateway: &Gateway) -> Step {
        Step {
            position: 0,
            gateway: gateway.name.to_string(),
            carrier: gateway.carrier.to_string(),
            address: gateway.address.to_string(),
            transport: gateway.transport.uri_name(),
            weight: 0,
            state: GatewayState::Up,
            skipped: None,
            request_uri: String::new(),
            no_response_ms: gateway.no_response_ms,
        }
    }

    fn write_json(&self, json: &mut String) {
        json.push('{');
        json_number(json, "position", self.position as u64);
        json_text(json, "gateway", Some(&self.gateway));
        json_text(json, "carrier", Some(&self.carrier));
        json_text(json, "address", Some(&self.address));
        json_text(json, "transport", Some(self.transport));
        json_number(json, "weight", u64::from(self.weight));
        json_text(json, "state", Some(self.state.text()));
        json_text(json, "skipped", self.skipped);
        json_text(json, "request_uri", Some(&self.request_uri));
        json_number(json, "no_response_ms", u64::from(self.no_response_ms));
        json.pop();
        json.push('}');
    }
}

/// `"key":"value",` or `"key":null,`
fn json_text(json: &mut String, key: &str, value: Option<&str>) {
    let Some(value) = value else {
        write!(json, "\"{key}\":null,").expect("a String takes all");
        return;
    };
    write!(json, "\"{key}\":\"").expect("a String takes all");
    for sign in value.chars() {
        match sign {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            sign if sign < ' ' => {
                write!(json, "\\u{:04x}", u32::from(sign)).expect("a String takes all");
            }
            sign => json.push(sign),
        }
    }
    json.push_str("\",");
}

/// `"key":value,`
fn json_number(json: &mut String, key: &str, value: u64) {
    write!(json, "\"{key}\":{value},").expect("a String takes all");
}

/// Octets that a peer chose, for people.
fn text(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}
