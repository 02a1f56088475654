//! Runs a flow: one line after the other, under virtual time.

use std::collections::BTreeMap;

use base::Time;

use crate::flow::actor::Actor;
use crate::flow::check;
use crate::flow::parse::{Condition, Flow, Moment, Named, Step, micros};
use crate::network::{Happening, Network};
use crate::plan::Link;

/// How long an expected message may take when the line does not say.
const PATIENCE_US: u64 = 100_000;
/// After the last line, so long until every timer of a call without events has run out.
const AFTERMATH_US: u64 = 400_000_000;

/// Runs a flow to its end and beyond, until every deadline has passed.
///
/// # Errors
/// What differs from the script, with the line and the messages seen so far.
pub fn run(flow: &Flow) -> Result<(), String> {
    let mut stage = Stage {
        network: Network::new(&flow.plan, Link::CLEAN),
        actors: BTreeMap::new(),
        now: Time::ZERO,
        seen: Vec::new(),
    };
    for letter in "ABCDEFGHXZ".chars() {
        let actor = Actor::new(letter).ok_or("an actor without address")?;
        stage.actors.insert(letter, actor);
    }
    let mut records = Vec::new();
    for numbered in &flow.steps {
        let place = |error: String| format!("{}.flow:{}: {error}", flow.name, numbered.line);
        let result = match &numbered.step {
            Step::Send {
                actor,
                message,
                options,
            } => stage.send(*actor, message, options),
            Step::Expect {
                actor,
                message,
                conditions,
            } => stage.expect(*actor, message, conditions),
            Step::Quiet { actor, until } => stage.quiet(*actor, *until),
            Step::Restart { shard } => {
                stage.network.restart(0, *shard);
                Ok(())
            }
            Step::Cdr(conditions) => {
                records.push((numbered.line, conditions));
                Ok(())
            }
        };
        result.map_err(|error| stage.explain(place(error)))?;
    }
    stage
        .end(flow)
        .map_err(|error| stage.explain(format!("{}.flow: {error}", flow.name)))?;
    let found = stage.network.records(0);
    for (line, conditions) in records {
        let result = check::records(&found, conditions);
        result.map_err(|error| stage.explain(format!("{}.flow:{line}: {error}", flow.name)))?;
    }
    Ok(())
}

struct Stage {
    network: Network,
    actors: BTreeMap<char, Actor>,
    now: Time,
    /// The ladder as it really was, for reports.
    seen: Vec<String>,
}

impl Stage {
    fn send(&mut self, letter: char, message: &Named, options: &[Condition]) -> Result<(), String> {
        if let Some(when) = options.iter().find(|o| o.name == "t") {
            let at = self.moment(super::parse::moment(&when.value)?)?;
            self.run_until(at)?;
        }
        let author = options.iter().find(|o| o.name == "as");
        let author = author
            .and_then(|o| o.value.chars().next())
            .unwrap_or(letter);
        self.take_notice_of_trying(author);
        let writer = self.actors.get_mut(&author).ok_or("an unknown actor")?;
        let out = writer.write(message, options)?;
        let from = self.actors.get(&letter).ok_or("an unknown actor")?.address;
        self.note(&format!("{letter} > {}", out.text));
        if options.iter().any(|o| o.name == "lost") {
            return Ok(());
        }
        self.network.send(self.now, from, out.to, &out.text.write());
        Ok(())
    }

    /// An actor takes 100 (Trying) as it comes: no line needs to ask for it.
    fn take_notice_of_trying(&mut self, letter: char) {
        if let Some(actor) = self.actors.get_mut(&letter) {
            actor.inbox.retain(|arrival| arrival.text.status() != 100);
        }
    }

    fn expect(
        &mut self,
        letter: char,
        message: &Named,
        conditions: &[Condition],
    ) -> Result<(), String> {
        let option = |name: &str| conditions.iter().find(|c| c.name == name);
        let moments = conditions
            .iter()
            .filter(|c| c.name == "t")
            .map(|c| micros(&c.value));
        let latest = moments
            .collect::<Result<Vec<u64>, String>>()?
            .into_iter()
            .max();
        let patience = match (option("within"), latest) {
            (Some(within), _) => micros(&within.value)?,
            (None, Some(latest)) => latest.saturating_sub(self.now.0) + PATIENCE_US,
            (None, None) => PATIENCE_US,
        };
        let deadline = Time(self.now.0 + patience);
        let wants_repeat = option("again").is_some();
        loop {
            let actor = self.actors.get_mut(&letter).ok_or("an unknown actor")?;
            while let Some(arrival) = actor.inbox.pop_front() {
                let passed_over = arrival.is_repeat && !wants_repeat
                    || arrival.text.status() == 100 && message.status != 100;
                if passed_over {
                    continue;
                }
                check::arrival(&arrival, message, conditions)?;
                if option("lost").is_none() {
                    actor.learn(arrival);
                }
                return Ok(());
            }
            if !self.step(deadline)? {
                let name = if message.status > 0 {
                    message.status.to_string()
                } else {
                    String::new()
                };
                return Err(format!(
                    "{letter} did not get {name} {} in time",
                    message.method
                ));
            }
        }
    }

    fn quiet(&mut self, letter: Option<char>, until: Moment) -> Result<(), String> {
        let until = self.moment(until)?;
        self.run_until(until)?;
        for (name, actor) in &mut self.actors {
            if letter.is_some_and(|letter| letter != *name) {
                continue;
            }
            while let Some(arrival) = actor.inbox.pop_front() {
                if !arrival.is_repeat && arrival.text.status() != 100 {
                    let seconds = arrival.at.0 as f64 / 1e6;
                    let shown = check::show(&arrival);
                    return Err(format!(
                        "{name} got `{}` at {seconds} s:\n{shown}",
                        arrival.text
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everybody falls silent; in the end nothing may be left over.
    fn end(&mut self, flow: &Flow) -> Result<(), String> {
        let until = Moment::After(AFTERMATH_US + u64::from(flow.plan.max_call_seconds) * 1_000_000);
        self.quiet(None, until)?;
        self.network.audit_end()
    }

    fn moment(&self, moment: Moment) -> Result<Time, String> {
        match moment {
            Moment::After(us) => Ok(Time(self.now.0 + us)),
            Moment::At(at) if at >= self.now => Ok(at),
            Moment::At(at) => Err(format!(
                "t={} s is before {} s, where the flow already is",
                at.0 as f64 / 1e6,
                self.now.0 as f64 / 1e6
            )),
        }
    }

    fn run_until(&mut self, until: Time) -> Result<(), String> {
        while self.step(until)? {}
        self.now = self.now.max(until);
        Ok(())
    }

    /// Runs to the next arrival. `false`: none before `until`.
    fn step(&mut self, until: Time) -> Result<bool, String> {
        let happening = self.network.next(until)?;
        let Some(Happening::Arrived {
            at,
            from,
            to,
            bytes,
        }) = happening
        else {
            self.now = self.now.max(until);
            return Ok(false);
        };
        self.now = self.now.max(at);
        let letter = self
            .actors
            .iter()
            .find(|(_, actor)| actor.address == to)
            .map(|(l, _)| *l);
        let letter = letter.ok_or_else(|| format!("a message went to {to}, where nobody is"))?;
        let actor = self.actors.get_mut(&letter).ok_or("an unknown actor")?;
        actor.arrive(at, from, &bytes)?;
        let text = actor
            .inbox
            .back()
            .map(|arrival| arrival.text.to_string())
            .unwrap_or_default();
        self.note(&format!("      {letter} < {text}"));
        Ok(true)
    }

    fn note(&mut self, event: &str) {
        self.seen
            .push(format!("{:>12.6} {event}", self.now.0 as f64 / 1e6));
    }

    fn explain(&self, error: String) -> String {
        let from = self.seen.len().saturating_sub(60);
        format!(
            "{error}\n  the ladder so far:\n  {}",
            self.seen[from..].join("\n  ")
        )
    }
}
