//! What the carriers saw of each call, against what the router put on record.

use std::collections::{BTreeMap, BTreeSet};

use base::Time;

use crate::machine::Record;
use crate::plan::{Below, EPOCH, Hours, Order, Plan, vendor_name};

/// The calls of a world as their carriers saw them.
#[derive(Debug, Default)]
pub struct Ledger {
    stories: BTreeMap<String, Story>,
}

/// A call as its carriers saw it.
#[derive(Debug, Default, Clone)]
pub struct Story {
    /// When the caller placed it.
    pub placed: Time,
    /// Final statuses that the caller got, 2xx aside.
    pub refusals: BTreeSet<u16>,
    /// When the caller first saw each answer, by the callee's tag.
    pub answers_seen: BTreeMap<String, Time>,
    /// When a vendor first sent each answer, by its tag.
    pub answers_sent: BTreeMap<String, Time>,
    /// INVITEs that reached vendors.
    pub invites: usize,
    /// By callee's tag: BYEs first sent, by the caller (true) or the callee.
    pub byes_sent: BTreeMap<(String, bool), Time>,
    /// BYEs that arrived at the other side, by who sent them.
    pub byes_arrived: BTreeMap<(String, bool), Time>,
    /// The caller never heard anything final.
    pub is_unheard: bool,
    /// The caller cancelled.
    pub is_cancelled: bool,
}

/// How much a judgement may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Shards that lost their memory.
    pub restarts: usize,
    /// Whether the network lost anything, or cut somebody off.
    pub is_lossy: bool,
    /// The longest time a message takes from a carrier to the router, retries aside.
    pub delay_us_max: u64,
}

impl Ledger {
    /// The story of a call.
    pub fn story(&mut self, call_id: &str) -> &mut Story {
        if !self.stories.contains_key(call_id) {
            self.stories.insert(call_id.to_owned(), Story::default());
        }
        self.stories
            .get_mut(call_id)
            .expect("it was just put there")
    }

    /// How many calls there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stories.len()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stories.is_empty()
    }

    /// All calls with their Call-IDs.
    pub fn stories(&self) -> impl Iterator<Item = (&str, &Story)> {
        self.stories
            .iter()
            .map(|(call_id, story)| (call_id.as_str(), story))
    }

    /// How many calls were answered as their callers saw it.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.stories
            .values()
            .filter(|story| !story.answers_seen.is_empty())
            .count()
    }

    /// The calls that have fewer records than answers, or none: where to look when something is left.
    #[must_use]
    pub fn unrecorded(&self, records: &[Record]) -> Vec<&str> {
        let count = |id: &str| records.iter().filter(|record| record.call_id == id).count();
        self.stories
            .iter()
            .filter(|(id, story)| count(id) < story.answers_sent.len().max(1))
            .map(|(id, _)| id.as_str())
            .collect()
    }

    /// Holds the records against the stories.
    ///
    /// # Errors
    /// The first call whose record is not what its carriers saw.
    pub fn judge(
        &self,
        records: &[Record],
        plan: &Plan,
        circumstances: Circumstances,
    ) -> Result<(), String> {
        let mut by_call: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for record in records {
            if !ids.insert(&record.id) {
                return Err(format!("two records have one id: {record:?}"));
            }
            if !self.stories.contains_key(&record.call_id) {
                return Err(format!("nobody placed the call of {record:?}"));
            }
            by_call.entry(&record.call_id).or_default().push(record);
        }
        for (call_id, story) in &self.stories {
            let found = by_call.get(call_id.as_str()).map_or(&[][..], Vec::as_slice);
            judge_call(story, found, plan, circumstances).map_err(|error| {
                format!("call {call_id}: {error}\n  carriers: {story:?}\n  records: {found:#?}")
            })?;
        }
        Ok(())
    }
}

fn judge_call(
    story: &Story,
    records: &[&Record],
    plan: &Plan,
    circumstances: Circumstances,
) -> Result<(), String> {
    let (answered, unanswered): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|record| record.answered.is_some());
    if answered.len() > story.answers_sent.len() {
        let sent = story.answers_sent.len();
        return Err(format!(
            "{} answered records for {sent} answers",
            answered.len()
        ));
    }
    if let Some(record) = records
        .iter()
        .find(|r| r.attempts.len() > usize::from(plan.attempts_max))
    {
        return Err(format!(
            "{} attempts of {}",
            record.attempts.len(),
            plan.attempts_max
        ));
    }
    records.iter().try_for_each(|record| {
        judge_prices(record, plan)?;
        judge_hours(record, plan)?;
        judge_blocks(record, plan)
    })?;
    if circumstances.restarts > 0 {
        // A lost memory loses records; what it must not do is invent any.
        let most = story.answers_sent.len() + 1 + circumstances.restarts;
        return match records.len() <= most {
            true => Ok(()),
            false => Err(format!("{} records, at most {most}", records.len())),
        };
    }
    if answered.len() < story.answers_seen.len() {
        let seen = story.answers_seen.len();
        return Err(format!(
            "{} answered records, but the caller saw {seen} answers",
            answered.len()
        ));
    }
    if !plan.is_loop {
        // In a loop each passage of the call through the router is a call of its own.
        judge_unanswered(story, &answered, &unanswered)?;
    }
    if !circumstances.is_lossy && story.is_unheard {
        return Err("the caller never heard anything final".to_owned());
    }
    match (answered.as_slice(), story.answers_sent.len()) {
        ([record], 1) => judge_duration(story, record, plan, circumstances),
        _ => Ok(()),
    }
}

/// Nobody is asked at a loss, or for what its deck does not have; the cheapest comes first; and the
/// record says what each asks.
fn judge_prices(record: &Record, plan: &Plan) -> Result<(), String> {
    if plan.prices.rows.is_empty() || plan.is_loop {
        return Ok(());
    }
    let mut before = None;
    for attempt in &record.attempts {
        let vendors = 0..plan.vendors;
        let Some(vendor) = vendors
            .into_iter()
            .find(|&n| vendor_name(n) == attempt.gateway)
        else {
            continue;
        };
        let Some(price) = plan.prices.of(vendor, &record.called) else {
            return Err(format!("`{}` was asked against its price", attempt.gateway));
        };
        if attempt.bought != Some(price) {
            return Err(format!("{:?} on record, and {price} asked", attempt.bought));
        }
        // The contacts of a redirection come in their own order, and the poor come last.
        let is_sorted = !plan.follows_redirects && plan.quality != Some(Below::Behind);
        if plan.order == Order::Cost && is_sorted && before > Some(price) {
            return Err(format!(
                "`{}` for {price} came after {before:?}",
                attempt.gateway
            ));
        }
        before = Some(price);
    }
    Ok(())
}

/// How long a call may wait until it is looked at: it is led by what holds at that moment.
const WAIT_US: i64 = 1_000_000;

/// Nobody gets a call against a block.
fn judge_blocks(record: &Record, plan: &Plan) -> Result<(), String> {
    if plan.is_loop {
        return Ok(());
    }
    let began = record.started.0 - EPOCH.0;
    for block in &plan.blocks {
        let is_about = |prefix: &String| record.called.starts_with(prefix);
        let within = i64::from(block.from_s) * 1_000_000..i64::from(block.until_s) * 1_000_000;
        let holds = within.contains(&began) && within.contains(&(began + WAIT_US));
        if !holds || !block.prefixes.is_empty() && !block.prefixes.iter().any(is_about) {
            continue;
        }
        let is_named = |name: &str| block.vendor.is_none_or(|n| vendor_name(n) == name);
        let asked = record.attempts.iter().find(|it| is_named(&it.gateway));
        if let Some(attempt) = asked {
            let name = &attempt.gateway;
            return Err(format!(
                "`{name}` was asked {began} us after the beginning, {block:?}"
            ));
        }
    }
    Ok(())
}

/// Nobody is asked out of hours. A call is led by those of the moment at which it came.
fn judge_hours(record: &Record, plan: &Plan) -> Result<(), String> {
    let began = record.started.0 - EPOCH.0;
    for attempt in &record.attempts {
        let of_vendor = |hours: &&Hours| vendor_name(hours.vendor) == attempt.gateway;
        let Some(hours) = plan.hours.iter().find(of_vendor) else {
            continue;
        };
        let within = i64::from(hours.opens_s) * 1_000_000..i64::from(hours.closes_s) * 1_000_000;
        let may = |at: &i64| within.contains(at) != hours.is_inverted;
        if !may(&began) && !may(&(began + WAIT_US)) {
            let name = &attempt.gateway;
            return Err(format!(
                "`{name}` was asked {began} us after the beginning, {hours:?}"
            ));
        }
    }
    Ok(())
}

fn judge_unanswered(
    story: &Story,
    answered: &[&Record],
    unanswered: &[&Record],
) -> Result<(), String> {
    let was_refused = !story.refusals.is_empty();
    match (answered.len(), unanswered.len()) {
        // 503 may be said before there is a call.
        (0, 0) if was_refused && !story.refusals.contains(&503) => {
            Err("the caller was refused, but there is no record".to_owned())
        }
        (0, 0) if story.invites > 0 => Err("a vendor was asked, but there is no record".to_owned()),
        (0, 2..) => Err("an unanswered call has several records".to_owned()),
        // A late answer after a refusal is on record beside it.
        (1.., 1) if was_refused || story.is_unheard => Ok(()),
        (1.., 1..) => Err("a record says answered, another says not".to_owned()),
        (0, 1) if was_refused && !story.refusals.contains(&unanswered[0].status) => {
            Err(format!("the record says {}", unanswered[0].status))
        }
        _ => Ok(()),
    }
}

/// Answer and BYE pass the router between the moments at which its two sides saw them.
fn judge_duration(
    story: &Story,
    record: &Record,
    plan: &Plan,
    circumstances: Circumstances,
) -> Result<(), String> {
    let Some((tag, sent)) = story.answers_sent.iter().next() else {
        return Ok(());
    };
    let (least, most) = plan.calls_end_after_us();
    let of = |byes: &BTreeMap<(String, bool), Time>| {
        let both = [true, false].map(|caller| byes.get(&(tag.clone(), caller)).copied());
        both.into_iter().flatten().min()
    };
    let (bye_sent, bye_arrived) = (of(&story.byes_sent), of(&story.byes_arrived));
    if let Some(arrived) = bye_arrived {
        let longest = arrived.micros_since(*sent);
        if record.duration_us > longest {
            return Err(format!(
                "{} us on record, at most {longest} passed",
                record.duration_us
            ));
        }
    }
    let earliest_end = bye_sent.map_or(least, |sent| sent.0);
    if let Some(seen) = story.answers_seen.get(tag) {
        let shortest = match bye_sent {
            Some(_) => earliest_end.saturating_sub(seen.0),
            None => least.saturating_sub(circumstances.delay_us_max),
        };
        if record.duration_us < shortest.min(least) {
            return Err(format!(
                "{} us on record, at least {shortest} passed",
                record.duration_us
            ));
        }
    }
    if record.duration_us > most + 1_000_000 {
        return Err(format!(
            "{} us on record, calls end after {most}",
            record.duration_us
        ));
    }
    let who: Vec<bool> = [true, false]
        .into_iter()
        .filter(|caller| story.byes_sent.contains_key(&(tag.clone(), *caller)))
        .collect();
    let blamed = match record.hung_up.as_str() {
        "caller" => who.contains(&true),
        "callee" => who.contains(&false),
        _ => bye_arrived.is_none() || record.duration_us >= least,
    };
    if blamed {
        Ok(())
    } else {
        Err(format!("{} hung up, says the record", record.hung_up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::AttemptRecord;
    use base::Wall;

    const CLEAN: Circumstances = Circumstances {
        restarts: 0,
        is_lossy: false,
        delay_us_max: 1_000,
    };

    fn record(duration_us: u64) -> Record {
        Record {
            id: format!("id{duration_us}"),
            call_id: "c".to_owned(),
            started: EPOCH,
            called: String::new(),
            trunk: String::new(),
            gateway: "b".to_owned(),
            ringing: None,
            answered: Some(Wall(1)),
            duration_us,
            status: 200,
            q850: 16,
            cause: "caller_hung_up".to_owned(),
            hung_up: "caller".to_owned(),
            attempts: vec![AttemptRecord {
                gateway: "b".to_owned(),
                status: 200,
                cause: String::new(),
                bought: None,
            }],
        }
    }

    fn check(change: impl Fn(&mut Story), records: &[Record]) -> bool {
        let mut ledger = Ledger::default();
        let story = ledger.story("c");
        story.invites = 1;
        story.answers_sent.insert("t".to_owned(), Time(1_000));
        story.answers_seen.insert("t".to_owned(), Time(2_000));
        story.byes_sent.insert(("t".to_owned(), true), Time(12_000));
        story
            .byes_arrived
            .insert(("t".to_owned(), true), Time(14_000));
        change(story);
        ledger.judge(records, &Plan::default(), CLEAN).is_ok()
    }

    #[test]
    fn records_must_say_what_the_carriers_saw() {
        let same = |_: &mut Story| {};
        assert!(check(same, &[record(11_000)]));
        assert!(!check(same, &[]), "no record");
        assert!(
            !check(same, &[record(11_000), record(11_001)]),
            "two records"
        );
        assert!(
            !check(same, &[record(11_000), record(11_000)]),
            "one id twice"
        );
        assert!(!check(same, &[record(9_999)]), "too short");
        assert!(!check(same, &[record(13_001)]), "too long");
        let by_callee = Record {
            hung_up: "callee".to_owned(),
            ..record(11_000)
        };
        assert!(!check(same, &[by_callee]), "the wrong side");
        let alien = Record {
            call_id: "d".to_owned(),
            ..record(11_000)
        };
        assert!(!check(same, &[alien]), "nobody's call");
        let unanswered = Record {
            answered: None,
            status: 486,
            ..record(0)
        };
        assert!(
            !check(same, std::slice::from_ref(&unanswered)),
            "answered, but not on record"
        );
        let refuse = |story: &mut Story| {
            *story = Story {
                invites: 1,
                ..Story::default()
            };
            story.refusals.insert(486);
        };
        assert!(check(refuse, std::slice::from_ref(&unanswered)));
        assert!(!check(refuse, &[]), "a refused call without record");
        assert!(
            !check(
                refuse,
                &[Record {
                    status: 480,
                    ..unanswered
                }]
            ),
            "another status"
        );
        assert!(
            !check(|story| story.is_unheard = true, &[record(11_000)]),
            "never heard"
        );
    }
}
