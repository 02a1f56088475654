//! What would happen to a call, and why, without a call: the same path, told step by step.

use std::fmt::{self, Write};

use base::{GatewayId, Money, Time, TrunkId};
use sip::Uri;
use translation::RuleSet;

use crate::rewrite::rewrite_told;
use crate::{
    Ask, Blocked, Candidates, CapId, Gateway, GatewayState, Health, Margin, Moment, NoRoute,
    NumberBuffer, NumberError, Price, Quality, Scene, Side, Snapshot, Turns, Verdict,
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
    /// What translation rules of the trunk made of it, if any was for it.
    pub rewritten: Option<String>,
    /// Which rules these were, in their order.
    pub rules: Vec<String>,
    /// The normalised number, if it could be normalised.
    pub number: Option<String>,
    /// By which rule it was normalised.
    pub rule: Option<&'static str>,
    /// The tech prefix that was taken off; empty if none.
    pub tech_prefix: String,
    /// The caps on its trunk that the call would be counted in, and what they allow.
    pub caps: Vec<String>,
    /// The prefix that matched; `*` for the catch-all route.
    pub prefix: Option<String>,
    /// `ordered`, `weighted`, `cost`, `balanced`, `quality` or `parallel`.
    pub mode: Option<&'static str>,
    /// How those that stand side by side take turns.
    pub balance: Option<&'static str>,
    /// What the customer pays, if its trunk has a deck.
    pub sold: Option<Price>,
    /// What it pays for a call of the length that prices are compared by, in the common currency.
    pub income: Option<Money>,
    /// That length, in seconds.
    pub call_seconds: u64,
    /// What must be left.
    pub margin: Option<Margin>,
    /// The most gateways that would be tried.
    pub attempts_max: usize,
    /// Each gateway in the order to try.
    pub steps: Vec<Step>,
    /// Why the call is refused, if it is.
    pub refused: Option<Refusal>,
}

/// Why a call would be refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The called number.
    Number(NumberError),
    /// A list.
    Blocked(Blocked),
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
    /// Its deck, if it has one.
    pub deck: Option<String>,
    /// What it asks, if it has a price.
    pub price: Option<Price>,
    /// What a call of the route's length costs, in the common currency.
    pub cost: Option<Money>,
    /// What is left of the income then.
    pub margin: Option<Money>,
    /// Its priority in the route.
    pub priority: u16,
    /// What put it where it stands, beside its price.
    pub why: Vec<String>,
    /// The caps that it would be counted in there.
    pub caps: Vec<String>,
    /// Which translation rules of the gateway made it so, in their order.
    pub rules: Vec<String>,
    /// The Request-URI that it would get.
    pub request_uri: String,
    /// How long it may stay silent.
    pub no_response_ms: u32,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Number(error) => error.fmt(f),
            Refusal::Blocked(blocked) => blocked.fmt(f),
            Refusal::Route(no_route) => no_route.fmt(f),
            Refusal::NothingToTry => f.write_str("no gateway of the route may be tried now"),
        }
    }
}

/// When a call would come, and with which luck.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// On the axis of the gateways' health.
    pub now: Time,
    /// As prices have it.
    pub at: Moment,
    /// The random number.
    pub dice: u64,
    /// Who calls.
    pub caller: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// How good vendors are; without, all are.
    pub quality: Option<&'a Quality>,
}

/// No call is up while one is explained.
impl Scene for Occasion<'_> {
    fn calls_up(&self, _: GatewayId) -> u32 {
        0
    }

    fn caller(&self) -> &[u8] {
        self.caller
    }

    fn call_id(&self) -> &[u8] {
        self.call_id
    }

    fn quality(&self) -> Option<&Quality> {
        self.quality
    }
}

/// Walks the path of a call from this trunk to this URI and tells what it met.
#[must_use]
pub fn explain(
    snapshot: &Snapshot,
    health: &Health,
    trunk: TrunkId,
    uri: &Uri<'_>,
    occasion: Occasion<'_>,
) -> Explanation {
    let mut told = Explanation {
        generation: snapshot.generation(),
        trunk: snapshot.trunk_name(trunk).to_owned(),
        dialled: text(uri.user),
        rewritten: None,
        rules: Vec::new(),
        number: None,
        rule: None,
        tech_prefix: String::new(),
        caps: Vec::new(),
        prefix: None,
        mode: None,
        balance: None,
        sold: None,
        income: None,
        call_seconds: 0,
        margin: None,
        attempts_max: 0,
        steps: Vec::new(),
        refused: None,
    };
    if let Some(trunk) = snapshot.trunk(trunk) {
        let rules = &mut told.rules;
        let rewritten = rewrite_told(&trunk.rules.called, uri.user, |set, at| {
            rules.push(rule_text(set, at));
        });
        told.rewritten = rewritten.map(|it| text(it.user()));
    }
    let mut buffer = NumberBuffer::new();
    let number = match snapshot.number(trunk, uri, &mut buffer) {
        Ok(number) => number,
        Err(error) => {
            told.refused = Some(Refusal::Number(error));
            return told;
        }
    };
    told.number = Some(text(number.text()));
    told.caps = caps_text(snapshot, snapshot.caps_of_trunk(trunk, number.digits()));
    told.rule = Some(number.rule().text());
    told.tech_prefix = text(number.tech_prefix());
    if let Some(blocked) = snapshot.blocks(trunk, Side::Called, &number, occasion.at) {
        told.refused = Some(Refusal::Blocked(blocked));
        return told;
    }
    let ask = Ask {
        trunk,
        number: &number,
        now: occasion.now,
        at: occasion.at,
        dice: occasion.dice,
    };
    told.candidates(snapshot, health, (&ask, &occasion), uri);
    told
}

impl Explanation {
    /// Tells the candidates, or why there are none.
    fn candidates(
        &mut self,
        snapshot: &Snapshot,
        health: &Health,
        (ask, scene): (&Ask<'_>, &Occasion<'_>),
        uri: &Uri<'_>,
    ) {
        let (mut candidates, mut turns) = (Candidates::new(), Turns::new());
        let found = snapshot.candidates(ask, health, &mut turns, scene, &mut candidates);
        let found = found.and_then(|id| Ok((id, snapshot.asked(id, ask)?)));
        let (id, asked) = match found {
            Ok(found) => found,
            Err(no_route) => {
                self.refused = Some(Refusal::Route(no_route));
                return;
            }
        };
        let route = snapshot.route(id);
        let first = candidates.next_to_try(0);
        self.refused = first.is_none().then_some(Refusal::NothingToTry);
        self.prefix = Some(route.prefix.to_owned());
        self.mode = Some(route.mode.text());
        self.balance = route.takes_turns().then(|| route.balance.text());
        self.attempts_max = route.attempts_max;
        let income = asked.income;
        (self.sold, self.income) = (asked.sold, income);
        self.call_seconds = route.length_ms / 1_000;
        self.margin = income.map(|_| route.margin);
        for (at, candidate) in candidates.iter().enumerate() {
            let of_gateway = |target: &crate::Target| target.gateway == candidate.gateway;
            let place = route.targets.iter().position(of_gateway);
            let (Some(gateway), Some(place)) = (snapshot.gateway(candidate.gateway), place) else {
                continue;
            };
            let (target, asked) = (&route.targets[place], &asked.targets[place]);
            let (mut request_uri, mut rules) = (Vec::new(), Vec::new());
            gateway.write_uri_told(ask.number, uri, &mut request_uri, |set, at| {
                rules.push(rule_text(set, at));
            });
            let price = snapshot.price(candidate.gateway, ask.number, ask.at);
            let cost = price.map(|_| asked.cost);
            self.steps.push(Step {
                position: at + 1,
                weight: target.weight,
                priority: target.priority,
                state: health.state_of(gateway, ask.now),
                skipped: match candidate.verdict {
                    Verdict::Try => None,
                    Verdict::Skip(reason) => Some(reason.text()),
                },
                deck: gateway.deck.map(|deck| snapshot.deck_name(deck).to_owned()),
                price,
                cost,
                margin: income
                    .zip(cost)
                    .and_then(|(income, cost)| income.checked_sub(cost)),
                why: snapshot.reasons(id, place, (ask, health), scene),
                caps: caps_text(
                    snapshot,
                    snapshot.caps_of_gateway(gateway.id, ask.number.digits()),
                ),
                rules,
                request_uri: text(&request_uri),
                ..Step::of(gateway)
            });
        }
    }
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
    occasion: Occasion<'_>,
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
    Ok(explain(snapshot, health, trunk, &uri, occasion))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trunk      {}", self.trunk)?;
        writeln!(f, "dialled    {}", self.dialled)?;
        if let Some(rewritten) = &self.rewritten {
            writeln!(f, "rewritten  {rewritten}   ({})", self.rules.join("; "))?;
        }
        if let (Some(number), Some(rule)) = (&self.number, self.rule) {
            write!(f, "number     {number}   ({rule}")?;
            if !self.tech_prefix.is_empty() {
                write!(f, "; tech prefix {} taken off", self.tech_prefix)?;
            }
            writeln!(f, ")")?;
        }
        if let (Some(prefix), Some(mode)) = (&self.prefix, self.mode) {
            let most = self.attempts_max;
            write!(f, "route      {prefix}   ({mode}")?;
            if let Some(balance) = self.balance {
                write!(f, ", then {balance}")?;
            }
            writeln!(f, ", at most {most} attempts)")?;
        }
        for cap in &self.caps {
            writeln!(f, "cap        {cap}")?;
        }
        if let (Some(sold), Some(income), Some(margin)) = (&self.sold, self.income, self.margin) {
            writeln!(f, "sold       {sold}")?;
            let seconds = self.call_seconds;
            writeln!(
                f,
                "income     {income} for {seconds} s; {margin} must be left"
            )?;
        }
        for step in &self.steps {
            step.fmt(f)?;
        }
        if let Some(refusal) = &self.refused {
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
        if let (Some(deck), Some(price), Some(cost)) = (&self.deck, &self.price, self.cost) {
            write!(f, "     {deck}: {price}; costs {cost}")?;
            match self.margin {
                Some(margin) => writeln!(f, ", leaves {margin}")?,
                None => writeln!(f)?,
            }
        }
        if !self.why.is_empty() {
            writeln!(f, "     {}", self.why.join("; "))?;
        }
        for cap in &self.caps {
            writeln!(f, "     cap {cap}")?;
        }
        write!(f, "     {}", self.request_uri)?;
        match self.rules.is_empty() {
            true => writeln!(f),
            false => writeln!(f, "   ({})", self.rules.join("; ")),
        }
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
        json_text(&mut json, "rewritten", self.rewritten.as_deref());
        json_texts(&mut json, "rules", &self.rules);
        json_texts(&mut json, "caps", &self.caps);
        json_text(&mut json, "number", self.number.as_deref());
        json_text(&mut json, "rule", self.rule);
        json_text(&mut json, "tech_prefix", Some(&self.tech_prefix));
        json_text(&mut json, "prefix", self.prefix.as_deref());
        json_text(&mut json, "mode", self.mode);
        json_text(&mut json, "balance", self.balance);
        json_price(&mut json, "sold", self.sold.as_ref());
        json_amount(&mut json, "income", self.income);
        json_number(&mut json, "call_seconds", self.call_seconds);
        let margin = self.margin.map(|margin| margin.to_string());
        json_text(&mut json, "margin", margin.as_deref());
        json_number(&mut json, "attempts_max", self.attempts_max as u64);
        let refused = self.refused.as_ref().map(ToString::to_string);
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
            deck: None,
            price: None,
            cost: None,
            margin: None,
            priority: 0,
            why: Vec::new(),
            caps: Vec::new(),
            rules: Vec::new(),
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
        json_number(json, "priority", u64::from(self.priority));
        let why = (!self.why.is_empty()).then(|| self.why.join("; "));
        json_text(json, "why", why.as_deref());
        json_text(json, "deck", self.deck.as_deref());
        json_price(json, "price", self.price.as_ref());
        json_amount(json, "cost", self.cost);
        json_amount(json, "margin", self.margin);
        json_texts(json, "caps", &self.caps);
        json_texts(json, "rules", &self.rules);
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
    write!(json, "\"{key}\":").expect("a String takes all");
    json_string(json, value);
    json.push(',');
}

/// `"key":["text",…],`
fn json_texts(json: &mut String, key: &str, values: &[String]) {
    write!(json, "\"{key}\":[").expect("a String takes all");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        json_string(json, value);
    }
    json.push_str("],");
}

/// `"text"`
fn json_string(json: &mut String, value: &str) {
    json.push('"');
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
    json.push('"');
}

/// `"key":"0.0135",`: exact, so a text and not a number.
fn json_amount(json: &mut String, key: &str, amount: Option<Money>) {
    json_text(
        json,
        key,
        amount.map(|amount| amount.to_string()).as_deref(),
    );
}

/// `"key":{"rate":"0.0135",…},`
fn json_price(json: &mut String, key: &str, price: Option<&Price>) {
    let Some(price) = price else {
        return json_text(json, key, None);
    };
    write!(json, "\"{key}\":{{").expect("a String takes all");
    json_amount(json, "rate", Some(price.per_minute));
    json_amount(json, "fee", Some(price.connect_fee));
    json_text(json, "steps", Some(&price.steps.to_string()));
    json_text(json, "currency", Some(&price.currency.to_string()));
    json_number(json, "digits", u64::from(price.digits_count));
    json.pop();
    json.push_str("},");
}

/// `"key":value,`
fn json_number(json: &mut String, key: &str, value: u64) {
    write!(json, "\"{key}\":{value},").expect("a String takes all");
}

/// A translation rule for people: its set, its place, what it is.
fn caps_text(snapshot: &Snapshot, caps: impl Iterator<Item = CapId>) -> Vec<String> {
    let told = |id| Some(format!("{}: {}", snapshot.cap_name(id), snapshot.cap(id)?));
    caps.filter_map(told).collect()
}

fn rule_text(set: &RuleSet, at: usize) -> String {
    format!("{} rule {}: {}", set.name, at + 1, set.rules[at])
}

/// Octets that a peer chose, for people.
fn text(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}
