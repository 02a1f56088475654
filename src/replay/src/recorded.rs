//! What a record says of a call, as far as routing it again needs it.

use std::fmt;

use base::{GatewayId, Money};
use route::{Moment, Quality, Scene};
use serde::Deserialize;

/// A call as its record has it.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// The trunk that it came from.
    pub trunk: String,
    /// The Request-URI as it came, in octets.
    pub request_uri: Vec<u8>,
    /// Who called, in octets.
    pub from_uri: Vec<u8>,
    /// The number of who called, in octets.
    pub calling: Vec<u8>,
    /// Its Call-ID, in octets.
    pub call_id: Vec<u8>,
    /// When it began.
    pub at: Moment,
    /// How long it was answered, in microseconds; none if it was not.
    pub answered_us: Option<u64>,
    /// Why it ended, in the record's word.
    pub cause: String,
    /// Who carried it.
    pub carried_by: Option<String>,
    /// What the customer paid, and in which currency.
    pub sold: Option<Paid>,
    /// What was tried.
    pub tried: Vec<Tried>,
}

/// An amount and its currency.
pub type Paid = (Money, String);

/// A gateway that was tried.
#[derive(Clone, PartialEq, Debug)]
pub struct Tried {
    /// Its name.
    pub gateway: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What it asked, and in which currency.
    pub bought: Option<Paid>,
}

/// What came of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It took the call.
    Answered,
    /// It refused with this status.
    Refused(u16),
    /// It could not be reached, or kept silent, or let it ring for too long.
    Failed,
    /// The call was over before it had decided.
    Undecided,
}

/// Why a line is no record.
#[derive(Debug)]
pub struct NotARecord(String);

impl fmt::Display for NotARecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotARecord {}

#[derive(Deserialize)]
struct Line {
    started: String,
    answered: Option<String>,
    duration_us: u64,
    cause: String,
    ingress_trunk: String,
    egress_gateway: String,
    request_uri: String,
    from_uri: String,
    calling: String,
    call_id: String,
    sold: Option<Price>,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    gateway: String,
    status: u16,
    cause: String,
    bought: Option<Price>,
}

#[derive(Deserialize)]
struct Price {
    currency: String,
    amount: String,
}

impl Price {
    fn paid(self) -> Result<Paid, NotARecord> {
        let amount = Money::parse(&self.amount);
        let amount = amount.ok_or_else(|| no_record("amount", &self.amount))?;
        Ok((amount, self.currency))
    }
}

fn no_record(what: &str, found: &str) -> NotARecord {
    let shown: String = found.chars().take(40).collect();
    NotARecord(format!("`{shown}` is no {what}"))
}

impl Recorded {
    /// The call of one line of a file of records.
    ///
    /// # Errors
    /// What the line lacks.
    pub fn of_line(line: &str) -> Result<Recorded, NotARecord> {
        let line: Line =
            serde_json::from_str(line).map_err(|error| NotARecord(error.to_string()))?;
        let octets =
            |what: &str, text: &str| cdr::unescape(text).ok_or_else(|| no_record(what, text));
        let started: jiff::Timestamp =
            (line.started.parse()).map_err(|_| no_record("moment", &line.started))?;
        let tried = line.attempts.into_iter().map(Attempt::tried);
        Ok(Recorded {
            trunk: line.ingress_trunk,
            request_uri: octets("request_uri", &line.request_uri)?,
            from_uri: octets("from_uri", &line.from_uri)?,
            calling: octets("calling", &line.calling)?,
            call_id: octets("call_id", &line.call_id)?,
            at: Moment::at(started.as_second()),
            answered_us: line.answered.map(|_| line.duration_us),
            cause: line.cause,
            carried_by: (!line.egress_gateway.is_empty()).then_some(line.egress_gateway),
            sold: line.sold.map(Price::paid).transpose()?,
            tried: tried.collect::<Result<_, _>>()?,
        })
    }

    /// What a gateway did, if it was tried.
    pub(crate) fn outcome_of(&self, gateway: &str) -> Option<Outcome> {
        let tried = self.tried.iter().find(|tried| tried.gateway == gateway)?;
        Some(tried.outcome)
    }
}

/// A call that is led through a world once more: there no other calls are up, and nobody has measured
/// how good its vendors are.
impl Scene for Recorded {
    fn calls_up(&self, _: GatewayId) -> u32 {
        0
    }

    fn caller(&self) -> &[u8] {
        &self.calling
    }

    fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    fn quality(&self) -> Option<&Quality> {
        None
    }
}

impl Attempt {
    fn tried(self) -> Result<Tried, NotARecord> {
        let outcome = match self.cause.as_str() {
            "answered" => Outcome::Answered,
            "refused" | "redirected" => Outcome::Refused(self.status),
            "no_response" | "no_answer" | "transport_error" => Outcome::Failed,
            _ => Outcome::Undecided,
        };
        Ok(Tried {
            gateway: self.gateway,
            outcome,
            bought: self.bought.map(Price::paid).transpose()?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const LINE: &str = r#"{"id":"n-1","node":"n","generation":1,"started":"2026-11-21T10:00:00.000001Z","ringing":null,"answered":"2026-11-21T10:00:02.000000Z","ended":"2026-11-21T10:01:02.500000Z","duration_us":60500000,"pdd_us":null,"status":200,"q850":16,"cause":"caller_hung_up","hung_up":"caller","call_id":"a","from_uri":"sip:1@x","to_uri":"sip:2@x","request_uri":"sip:+49\\\\301@x","calling":"1","called":"49301","ingress_trunk":"customer","ingress_carrier":"buyer","source":"127.0.0.1:5060","source_transport":"udp","egress_gateway":"b","egress_carrier":"B","route_prefix":"49","sold":{"code":"49","currency":"EUR","rate":"0.02","fee":"0","steps":"60/60","amount":"0.04"},"attempts":[{"number":1,"gateway":"a","carrier":"A","address":"127.0.0.2:5060","transport":"udp","started":"2026-11-21T10:00:00.1Z","progress":null,"answered":null,"ended":"2026-11-21T10:00:01Z","status":503,"q850":34,"cause":"refused"},{"number":2,"gateway":"b","carrier":"B","address":"127.0.0.3:5060","transport":"udp","started":"2026-11-21T10:00:01Z","progress":null,"answered":"2026-11-21T10:00:02Z","ended":"2026-11-21T10:01:02.5Z","status":200,"q850":16,"cause":"answered","bought":{"code":"4930","currency":"USD","rate":"0.01","fee":"0","steps":"1/1","amount":"0.0101"}}],"clipped":false}"#;

    #[test]
    fn a_line_is_read_for_what_routing_needs() {
        let call = Recorded::of_line(LINE).unwrap();
        assert_eq!(call.trunk, "customer");
        assert_eq!(call.request_uri, br"sip:+49\301@x", "escapes are undone");
        assert_eq!(call.at, Moment(1_795_255_200));
        assert_eq!(call.answered_us, Some(60_500_000));
        assert_eq!(call.outcome_of("a"), Some(Outcome::Refused(503)));
        assert_eq!(call.outcome_of("b"), Some(Outcome::Answered));
        assert_eq!(call.outcome_of("c"), None);
        let euros = Money::parse("0.04").unwrap();
        assert_eq!(call.sold, Some((euros, "EUR".to_owned())));
    }

    #[test]
    fn what_is_no_record_is_told() {
        let told = |line: &str| Recorded::of_line(line).unwrap_err().to_string();
        assert!(told("{}").contains("missing field `started`"));
        assert!(told(&LINE.replace("T10:00:00.000001Z", "x")).contains("is no moment"));
        assert_eq!(told(&LINE.replace("0.0101", "much")), "`much` is no amount");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,200}", at in 0..LINE.len(), octet in 32_u8..127) {
            let _ = Recorded::of_line(&line);
            let mut changed = LINE.as_bytes().to_vec();
            changed[at] = octet;
            let _ = Recorded::of_line(&String::from_utf8_lossy(&changed));
        }
    }
}
