//! Whether what arrived, or what was recorded, is what a line asks for.

use base::Time;

use crate::flow::actor::{Arrival, address};
use crate::flow::parse::{Condition, Named, Operator, micros};
use crate::machine::Record;
use crate::text::{address_of, param, uri_of};

/// Compares an arrival with its line. `Err` says what differs.
pub(super) fn arrival(
    arrival: &Arrival,
    message: &Named,
    conditions: &[Condition],
) -> Result<(), String> {
    let text = &arrival.text;
    let right_kind = if message.status > 0 {
        text.status() == message.status
            && (message.method.is_empty() || text.method() == message.method)
    } else {
        text.is_request() && text.method() == message.method
    };
    if !right_kind {
        return Err(format!("`{text}` arrived instead:\n{}", show(arrival)));
    }
    for condition in conditions {
        let found = match condition.name.as_str() {
            "t" => {
                time(arrival.at, condition)?;
                continue;
            }
            "again" if !arrival.is_repeat => {
                return Err("it is no repeat of what came before".to_owned());
            }
            "within" | "lost" | "again" => continue,
            name => field(arrival, name)?,
        };
        if !holds(condition, &found) {
            return Err(format!(
                "{} is `{found}`, not {}{}:\n{}",
                condition.name,
                sign(condition.operator),
                condition.value,
                show(arrival)
            ));
        }
    }
    Ok(())
}

fn time(at: Time, condition: &Condition) -> Result<(), String> {
    let limit = micros(&condition.value)?;
    let holds = match condition.operator {
        Operator::Below => at.0 < limit,
        Operator::Above => at.0 > limit,
        Operator::Is | Operator::Contains => at.0 == limit,
    };
    if holds {
        return Ok(());
    }
    let seconds = at.0 as f64 / 1e6;
    Err(format!(
        "it came at {seconds} s, not t{}{}",
        sign(condition.operator),
        condition.value
    ))
}

fn field(arrival: &Arrival, name: &str) -> Result<String, String> {
    let text = &arrival.text;
    let vias = text.values("Via");
    let top = vias.first().copied().unwrap_or("");
    Ok(match name {
        "via.branch" => {
            let sent_by = top.split_whitespace().nth(1).unwrap_or("");
            let sent_by = sent_by.split(';').next().unwrap_or("");
            let is_ours = ['T', 'U']
                .iter()
                .any(|&r| address(r) == address_of(&format!("sip:{sent_by}")));
            let cookie = param(top, "branch").len() > "z9hG4bK".len();
            if is_ours && cookie { "ours" } else { "theirs" }.to_owned()
        }
        "via.count" => vias.len().to_string(),
        "via.received" => param(top, "received").to_owned(),
        "via.rport" => param(top, "rport").to_owned(),
        "branch" => text.branch().to_owned(),
        "uri" => text.uri().to_owned(),
        "contact" => uri_of(text.first("Contact")).to_owned(),
        "mf" => text.first("Max-Forwards").to_owned(),
        "cseq" => text.cseq().0.to_string(),
        "tag" => text.tag("To").to_owned(),
        "from.tag" => text.tag("From").to_owned(),
        "body" => if text.body.is_empty() {
            "none"
        } else {
            &text.body
        }
        .to_owned(),
        "src" => source(arrival),
        _ => match name.strip_prefix("h.") {
            Some(header) => match header.strip_suffix(".count") {
                Some(header) => text
                    .values(header)
                    .iter()
                    .filter(|v| !v.is_empty())
                    .count()
                    .to_string(),
                None if text.has(header) => text.first(header).to_owned(),
                None => "none".to_owned(),
            },
            None => {
                return Err(format!(
                    "`{name}` is no condition of a message that arrives"
                ));
            }
        },
    })
}

fn source(arrival: &Arrival) -> String {
    let letters = "TUABCDEFGHXZ".chars();
    let mut letters = letters.filter(|&l| address(l) == Some(arrival.from));
    letters
        .next()
        .map_or(arrival.from.to_string(), String::from)
}

fn holds(condition: &Condition, found: &str) -> bool {
    match condition.operator {
        Operator::Is => found == condition.value,
        Operator::Contains => found.contains(&condition.value),
        Operator::Below | Operator::Above => {
            let (Ok(found), Ok(limit)) = (found.parse::<u64>(), condition.value.parse::<u64>())
            else {
                return false;
            };
            if condition.operator == Operator::Below {
                found < limit
            } else {
                found > limit
            }
        }
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Is => "=",
        Operator::Contains => "~",
        Operator::Below => "<",
        Operator::Above => ">",
    }
}

/// A message for people.
pub(super) fn show(arrival: &Arrival) -> String {
    let bytes = arrival.text.write();
    let text = String::from_utf8_lossy(&bytes).replace('\r', "");
    text.lines().map(|line| format!("    | {line}\n")).collect()
}

/// Compares the records with a `cdr:` line.
pub(super) fn records(records: &[Record], conditions: &[Condition]) -> Result<(), String> {
    let mut number = 1_usize;
    for condition in conditions {
        match condition.name.as_str() {
            "calls" => {
                if records.len().to_string() != condition.value {
                    return Err(format!(
                        "{} records, not {}",
                        records.len(),
                        condition.value
                    ));
                }
                continue;
            }
            "call" => {
                number = condition
                    .value
                    .parse()
                    .map_err(|_| "call=which?".to_owned())?;
                continue;
            }
            _ => {}
        }
        let record = records
            .get(number - 1)
            .ok_or(format!("there is no record {number}"))?;
        let (holds, found) = record_field(record, condition)?;
        if !holds {
            return Err(format!(
                "record {number}: {} is {found}, not {}{}\n    {record:?}",
                condition.name,
                sign(condition.operator),
                condition.value
            ));
        }
    }
    Ok(())
}

fn record_field(record: &Record, condition: &Condition) -> Result<(bool, String), String> {
    let joined = |of: &dyn Fn(&crate::machine::AttemptRecord) -> String| {
        record.attempts.iter().map(of).collect::<Vec<_>>().join(",")
    };
    let found = match condition.name.as_str() {
        "duration" => {
            let (value, slack) = condition
                .value
                .split_once('~')
                .unwrap_or((&condition.value, "0"));
            let (want, slack) = (micros(value)?, micros(slack)?);
            let holds = record.duration_us.abs_diff(want) <= slack;
            return Ok((holds, format!("{} us", record.duration_us)));
        }
        "answered" => record.answered.is_some().to_string(),
        "ringing" => record.ringing.is_some().to_string(),
        "status" => record.status.to_string(),
        "q850" => record.q850.to_string(),
        "cause" => record.cause.clone(),
        "hung_up" => record.hung_up.clone(),
        "gateway" => record.gateway.clone(),
        "called" => record.called.clone(),
        "trunk" => record.trunk.clone(),
        "attempts" => record.attempts.len().to_string(),
        "gateways" => joined(&|a| a.gateway.clone()),
        "statuses" => joined(&|a| a.status.to_string()),
        "causes" => joined(&|a| a.cause.clone()),
        other => return Err(format!("a record has no `{other}`")),
    };
    Ok((holds(condition, &found), format!("`{found}`")))
}
