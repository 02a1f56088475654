//! Flow files to steps, with errors that name the line.

use base::Time;

use crate::plan::{Order, Plan};

/// A call flow.
#[derive(Debug)]
pub struct Flow {
    /// The file's name without its ending.
    pub name: String,
    /// The world it runs in.
    pub plan: Plan,
    /// What happens, in order.
    pub steps: Vec<Numbered>,
}

/// A step and the line it stands on.
#[derive(Debug)]
pub struct Numbered {
    /// Line, from 1.
    pub line: usize,
    /// The step.
    pub step: Step,
}

/// One event of a line.
#[derive(Debug)]
pub enum Step {
    /// An actor sends.
    Send {
        /// Its letter.
        actor: char,
        /// The message: method or status.
        message: Named,
        /// How it differs from what the actor would write by itself.
        options: Vec<Condition>,
    },
    /// An actor receives.
    Expect {
        /// Its letter.
        actor: char,
        /// The message: method or status.
        message: Named,
        /// What must hold of it.
        conditions: Vec<Condition>,
    },
    /// Nothing arrives until then. `None`: at no actor.
    Quiet {
        /// The actor.
        actor: Option<char>,
        /// Until when.
        until: Moment,
    },
    /// A shard of T loses its memory.
    Restart {
        /// Which.
        shard: u16,
    },
    /// What the records must say at the end.
    Cdr(Vec<Condition>),
}

/// A message by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The method of a request, or of the request that a response answers; empty: any.
    pub method: String,
    /// The status of a response; 0 for a request.
    pub status: u16,
}

/// `name op value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub name: String,
    /// How it compares.
    pub operator: Operator,
    /// With what.
    pub value: String,
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`; of a word without value too.
    Is,
    /// `~`: contains.
    Contains,
    /// `<`
    Below,
    /// `>`
    Above,
}

/// A moment of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the beginning.
    At(Time),
    /// After the moment of the line before, in microseconds.
    After(u64),
}

/// Reads a flow.
///
/// # Errors
/// `name:line: what is wrong`, for the first line that is not understood.
pub fn parse(name: &str, text: &str) -> Result<Flow, String> {
    let mut flow = Flow {
        name: name.to_owned(),
        plan: Plan::default(),
        steps: Vec::new(),
    };
    for (index, line) in text.lines().enumerate() {
        let place = |error: String| format!("{name}:{}: {error}", index + 1);
        let words = words(line).map_err(place)?;
        if words.is_empty() {
            continue;
        }
        if words[0] == "world:" {
            for word in &words[1..] {
                let option = condition(word);
                option_of_world(&mut flow.plan, &option).map_err(place)?;
            }
            continue;
        }
        for event in words.split(|word| word == ",") {
            let step = step(event).map_err(place)?;
            flow.steps.push(Numbered {
                line: index + 1,
                step,
            });
        }
    }
    Ok(flow)
}

/// The words of a line. Quotes keep blanks and commas, `#` begins a comment, a comma between words
/// is a word of its own.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => word.push(c),
            '#' if word.is_empty() => break,
            ' ' | '\t' => take(&mut words, &mut word),
            ',' if !word.contains('=') || word.ends_with(')') => {
                take(&mut words, &mut word);
                words.push(",".to_owned());
            }
            _ => word.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    take(&mut words, &mut word);
    // `t=1s, B < …`: a comma at the end of a word that has a value still parts two events.
    let parted = words
        .into_iter()
        .flat_map(|word| match word.strip_suffix(',') {
            Some(stem) if !stem.is_empty() => vec![stem.to_owned(), ",".to_owned()],
            _ => vec![word],
        });
    Ok(parted.collect())
}

fn take(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

fn step(words: &[String]) -> Result<Step, String> {
    let first = words.first().ok_or("an event is missing beside a comma")?;
    match first.as_str() {
        "cdr:" => return Ok(Step::Cdr(conditions(&words[1..]))),
        "restart" => {
            let shard = conditions(&words[1..]);
            let shard = shard
                .iter()
                .find(|c| c.name == "shard")
                .ok_or("restart which shard?")?;
            return Ok(Step::Restart {
                shard: number(&shard.value)?,
            });
        }
        _ => {}
    }
    let actor = actor(first)?;
    let verb = words.get(1).ok_or("after an actor stands >, < or quiet")?;
    if verb == "quiet" {
        let conditions = conditions(&words[2..]);
        let until = conditions
            .iter()
            .find(|c| c.name == "t")
            .ok_or("quiet until t=…?")?;
        return Ok(Step::Quiet {
            actor,
            until: moment(&until.value)?,
        });
    }
    let actor = actor.ok_or("all can only be quiet")?;
    let name = words.get(2).ok_or("which message?")?;
    let (method, rest) = match words.get(3).and_then(|word| word.strip_prefix('(')) {
        Some(method) => (method.trim_end_matches(')').to_owned(), &words[4..]),
        None => (String::new(), &words[3..]),
    };
    let message = match name.parse::<u16>() {
        Ok(status @ 100..=699) => Named { method, status },
        Ok(status) => return Err(format!("{status} is no status")),
        Err(_) => Named {
            method: name.clone(),
            status: 0,
        },
    };
    match verb.as_str() {
        ">" => Ok(Step::Send {
            actor,
            message,
            options: conditions(rest),
        }),
        "<" => Ok(Step::Expect {
            actor,
            message,
            conditions: conditions(rest),
        }),
        other => Err(format!("`{other}`: after an actor stands >, < or quiet")),
    }
}

fn actor(word: &str) -> Result<Option<char>, String> {
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(letter @ ('A'..='H' | 'X' | 'Z')), None) => Ok(Some(letter)),
        _ if word == "all" => Ok(None),
        _ => Err(format!("`{word}` is no actor: A to H, X, Z or all")),
    }
}

fn conditions(words: &[String]) -> Vec<Condition> {
    words.iter().map(|word| condition(word)).collect()
}

fn condition(word: &str) -> Condition {
    let at = word.find(['=', '~', '<', '>']).unwrap_or(word.len());
    let operator = match word.as_bytes().get(at) {
        Some(b'~') => Operator::Contains,
        Some(b'<') => Operator::Below,
        Some(b'>') => Operator::Above,
        _ => Operator::Is,
    };
    Condition {
        name: word[..at].to_owned(),
        operator,
        value: word.get(at + 1..).unwrap_or("").to_owned(),
    }
}

/// `2s`, `50ms`, `1.5s`, `+3s`, `0`.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    match text.strip_prefix('+') {
        Some(rest) => Ok(Moment::After(micros(rest)?)),
        None => Ok(Moment::At(Time(micros(text)?))),
    }
}

/// A duration in microseconds.
pub(super) fn micros(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let scale = match &text[digits.len()..] {
        "s" => 1_000_000.0,
        "ms" => 1_000.0,
        "us" => 1.0,
        "" if digits == "0" => 1.0,
        _ => return Err(format!("`{text}` is no time: say 2s, 50ms or 0")),
    };
    let value: f64 = digits.parse().map_err(|_| format!("`{text}` is no time"))?;
    Ok((value * scale).round() as u64)
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no number that fits here"))
}

fn millis(text: &str) -> Result<u32, String> {
    u32::try_from(micros(text)? / 1_000).map_err(|_| format!("`{text}` is too long"))
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{text}`: yes or no?")),
    }
}

fn option_of_world(plan: &mut Plan, option: &Condition) -> Result<(), String> {
    let value = option.value.as_str();
    match option.name.as_str() {
        "seed" => plan.seed = number(value)?,
        "shards" => plan.shards = number(value)?,
        "vendors" => plan.vendors = number(value)?,
        "order" => {
            plan.order = match value {
                "list" => Order::List,
                "weight" => Order::Weight,
                "parallel" => Order::Parallel,
                "cost" => Order::Cost,
                "balanced" => Order::Balanced,
                "quality" => Order::Quality,
                _ => return Err(format!("`{value}`: list, weight or parallel?")),
            }
        }
        "advance" => plan.advance = value.split(',').map(str::to_owned).collect(),
        "attempts" => plan.attempts_max = number(value)?,
        "no_response" => plan.no_response_ms = millis(value)?,
        "ring" => plan.ring_ms = millis(value)?,
        "redirects" => plan.follows_redirects = yes(value)?,
        "strangers" => {
            plan.refuses_strangers = match value {
                "refuse" => true,
                "drop" => false,
                _ => return Err(format!("`{value}`: refuse or drop?")),
            }
        }
        "max_call" => plan.max_call_seconds = millis(value)? / 1_000,
        "down_after" => plan.down_after = number(value)?,
        "hold_down" => plan.hold_down_ms = millis(value)?,
        "probe" => plan.probe_ms = millis(value)?,
        "timer_c" => plan.c_ms = millis(value)?,
        "routers" => plan.routers = number(value)?,
        "loop" => plan.is_loop = yes(value)?,
        other => return Err(format!("a world knows no `{other}`")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events_conditions_and_comments() {
        let text = "# a comment\nworld: vendors=2 advance=503,408\n\
                    A > INVITE t=0 h=\"X-A: b, c\"  # why\nA < 200 (CANCEL), B < CANCEL t<2.1s\nall quiet t=+1s\n";
        let flow = parse("x", text).expect("a flow");
        assert_eq!((flow.plan.vendors, flow.plan.advance.len()), (2, 2));
        assert_eq!(flow.steps.len(), 4);
        let Step::Send {
            actor: 'A',
            message,
            options,
        } = &flow.steps[0].step
        else {
            panic!("{:?}", flow.steps[0]);
        };
        assert_eq!((message.method.as_str(), message.status), ("INVITE", 0));
        assert_eq!(options[1].value, "X-A: b, c");
        let Step::Expect {
            actor: 'A',
            message,
            ..
        } = &flow.steps[1].step
        else {
            panic!("{:?}", flow.steps[1]);
        };
        assert_eq!((message.method.as_str(), message.status), ("CANCEL", 200));
        let Step::Expect {
            actor: 'B',
            conditions,
            ..
        } = &flow.steps[2].step
        else {
            panic!("{:?}", flow.steps[2]);
        };
        assert_eq!(conditions[0].operator, Operator::Below);
        assert!(matches!(
            flow.steps[3].step,
            Step::Quiet {
                actor: None,
                until: Moment::After(1_000_000)
            }
        ));
    }

    #[test]
    fn errors_name_the_line_and_the_word() {
        for (text, want) in [
            ("\nQ > INVITE", "x:2: `Q` is no actor: A to H, X, Z or all"),
            (
                "A ? INVITE",
                "x:1: `?`: after an actor stands >, < or quiet",
            ),
            ("A > 99", "x:1: 99 is no status"),
            ("A quiet", "x:1: quiet until t=…?"),
            ("A quiet t=3", "x:1: `3` is no time: say 2s, 50ms or 0"),
            ("world: colour=red", "x:1: a world knows no `colour`"),
            ("A > INVITE h=\"x", "x:1: a quote is not closed"),
            ("all > INVITE", "x:1: all can only be quiet"),
            ("A > BYE,", "x:1: an event is missing beside a comma"),
        ] {
            assert_eq!(parse("x", text).map(|_| ()).unwrap_err(), want);
        }
    }
}
