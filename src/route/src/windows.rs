//! What capped calls talk and cost, over all shards, in a window of time that slides.
//!
//! A call that is up talks on and costs more with each moment, and nobody wakes up to say so. So each
//! shard keeps two numbers for what talks, and two for what it costs, of which what is due at any
//! moment follows:
//!
//! ```text
//!   a call is answered at t0:   live += 1      talked −= t0        due(t) = talked + live × t
//!   it ends at t1:              live −= 1      talked += t1
//! ```
//!
//! Money is the same, with what a call costs in a millisecond for the 1, and what it came to in the
//! end. The sums are made in integers that wrap, so nothing is ever rounded away between them. A row
//! has one writer, its shard; a reader that meets it half written reads again.
//!
//! The window slides in [`STEPS`] steps: at the beginning of each the sum of all shards is noted, and
//! what was noted a window ago is the *floor* that is taken off.
//!
//! Cost: what is asked of a cap with a window goes over one line for each shard.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, fence};

use crate::{CapId, CapRule, Price, Snapshot};
use base::{Money, ShardId, Time};

/// The steps in which a window slides.
pub const STEPS: usize = 64;

/// Parts of money in a part of what is summed up: a millisecond of a price a minute is a whole number.
const MS_PER_MINUTE: i64 = 60_000;
/// Hundred-millionths in a millionth: what is summed up is in sixty-thousandths of a millionth.
const PARTS_PER_MICRO: i64 = 100;

/// What was used up: since the beginning, or in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    /// Calls that began.
    pub calls: u64,
    /// Milliseconds that answered calls talked.
    pub talked_ms: i64,
    /// What they cost, in sixty-thousandths of a millionth of the common currency.
    pub spent: i64,
}

impl Used {
    fn minus(self, floor: Used) -> Used {
        Used {
            calls: self.calls.wrapping_sub(floor.calls),
            talked_ms: self.talked_ms.wrapping_sub(floor.talked_ms),
            spent: self.spent.wrapping_sub(floor.spent),
        }
    }

    fn plus(self, more: Used) -> Used {
        Used {
            calls: self.calls.wrapping_add(more.calls),
            talked_ms: self.talked_ms.wrapping_add(more.talked_ms),
            spent: self.spent.wrapping_add(more.spent),
        }
    }

    /// What they cost, as money.
    #[must_use]
    pub fn cost(&self) -> Money {
        Money::from_parts((self.spent / MS_PER_MINUTE).saturating_mul(PARTS_PER_MICRO))
    }
}

/// What an answered call costs from its answer on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Charge {
    /// In a millisecond.
    per_ms: i64,
    /// At once.
    fee: i64,
    /// When it was answered, in milliseconds.
    since_ms: i64,
}

impl Charge {
    /// A call that is answered now. Without a price, or with one of a currency that no deck has, it
    /// costs nothing.
    #[must_use]
    pub fn new(price: Option<&Price>, world: &Snapshot, now: Time) -> Charge {
        let common = |price: &Price, amount| world.in_common(price.currency, amount);
        let per_minute = price.and_then(|it| common(it, it.per_minute));
        let fee = price.and_then(|it| common(it, it.connect_fee));
        Charge {
            per_ms: per_minute.map_or(0, micros),
            fee: fee.map_or(0, |fee| micros(fee).wrapping_mul(MS_PER_MINUTE)),
            since_ms: now.millis() as i64,
        }
    }

    fn begin(&self) -> i64 {
        (self.fee).wrapping_sub(self.per_ms.wrapping_mul(self.since_ms))
    }
}

/// Millionths, rounded up.
fn micros(amount: Money) -> i64 {
    let parts = amount.parts().max(0).unsigned_abs();
    parts.div_ceil(PARTS_PER_MICRO.unsigned_abs()) as i64
}

/// What a shard's calls of a cell talk and cost.
#[derive(Debug, Default)]
struct Row {
    /// Odd while it is being written.
    version: AtomicU32,
    live: AtomicI64,
    talked_ms: AtomicI64,
    per_ms: AtomicI64,
    spent: AtomicI64,
}

impl Row {
    /// Only its shard calls this.
    fn write(&self, change: impl FnOnce(&Row)) {
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        // No reader may see what follows and still the version from before.
        fence(Release);
        change(self);
        self.version.store(version.wrapping_add(2), Release);
    }

    fn due(&self, now_ms: i64) -> Used {
        loop {
            let before = self.version.load(Acquire);
            let used = Used {
                calls: 0,
                talked_ms: (self.talked_ms.load(Relaxed))
                    .wrapping_add(self.live.load(Relaxed).wrapping_mul(now_ms)),
                spent: (self.spent.load(Relaxed))
                    .wrapping_add(self.per_ms.load(Relaxed).wrapping_mul(now_ms)),
            };
            // The loads above are done before the version is read again.
            fence(Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Relaxed) {
                return used;
            }
            spin_loop();
        }
    }
}

fn add(cell: &AtomicI64, more: i64) {
    cell.store(cell.load(Relaxed).wrapping_add(more), Relaxed);
}

/// What all shards count of a cell together.
#[derive(Debug, Default)]
struct Cell {
    calls: AtomicU64,
    refused: AtomicU64,
    told: AtomicU64,
    floor: Sum,
    /// What was used before the process began.
    before: Sum,
    ring: Ring,
}

#[derive(Debug, Default)]
struct Sum {
    calls: AtomicU64,
    talked_ms: AtomicI64,
    spent: AtomicI64,
}

impl Sum {
    fn get(&self) -> Used {
        Used {
            calls: self.calls.load(Relaxed),
            talked_ms: self.talked_ms.load(Relaxed),
            spent: self.spent.load(Relaxed),
        }
    }

    fn set(&self, used: Used) {
        self.calls.store(used.calls, Relaxed);
        self.talked_ms.store(used.talked_ms, Relaxed);
        self.spent.store(used.spent, Relaxed);
    }
}

/// The sums at the beginnings of the last steps.
#[derive(Debug)]
struct Ring {
    /// How long a step is; 0: nothing was ever counted.
    step_ms: AtomicU64,
    /// The step that goes on, by its number from time 0 on.
    step: AtomicU64,
    at: [Sum; STEPS],
}

impl Default for Ring {
    fn default() -> Ring {
        Ring {
            step_ms: AtomicU64::new(0),
            step: AtomicU64::new(0),
            at: std::array::from_fn(|_| Sum::default()),
        }
    }
}

/// What is kept of a cell over a restart: what was used in the window, by its steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The length of the window, in seconds.
    pub window_s: u32,
    /// What was used since each step began, the latest first.
    pub since: Vec<Used>,
}

/// The windows of all cells, shared by all shards of a process.
#[derive(Debug)]
pub struct Windows {
    cells: Box<[Cell]>,
    /// By shard. Written by that shard only.
    rows: Box<[Box<[Row]>]>,
    /// The latest moment that a shard has told, in milliseconds.
    now_ms: AtomicU64,
}

/// How long a step of a rule's window is.
fn step_ms(rule: &CapRule) -> u64 {
    (u64::from(rule.window_s) * 1_000 / STEPS as u64).max(1)
}

impl Windows {
    /// Windows of so many cells, of none of which anything was used.
    #[must_use]
    pub fn new(shards: u16, cells: usize) -> Windows {
        let row = |_| (0..cells).map(|_| Row::default()).collect();
        Windows {
            cells: (0..cells).map(|_| Cell::default()).collect(),
            rows: (0..shards).map(row).collect(),
            now_ms: AtomicU64::new(0),
        }
    }

    /// A shard begins: the calls of one before it are over, and nobody knows since when.
    pub fn begin(&self, shard: ShardId) {
        let now = self.now_ms.load(Relaxed) as i64;
        for row in self.rows.get(usize::from(shard.0)).into_iter().flatten() {
            let used = row.due(now);
            row.write(|row| {
                row.live.store(0, Relaxed);
                row.per_ms.store(0, Relaxed);
                row.talked_ms.store(used.talked_ms, Relaxed);
                row.spent.store(used.spent, Relaxed);
            });
        }
    }

    /// A call begins. `false`: the window has as many as it may have; then it is not counted.
    #[must_use]
    pub fn call_begins(&self, id: CapId, most: Option<u32>) -> bool {
        let Some(cell) = self.cells.get(usize::from(id.0)) else {
            return true;
        };
        let before = cell.calls.fetch_add(1, Relaxed);
        let in_window = before.wrapping_sub(cell.floor.calls.load(Relaxed));
        let fits = most.is_none_or(|most| in_window < u64::from(most));
        if !fits {
            cell.calls.fetch_sub(1, Relaxed);
        }
        fits
    }

    /// A call that was counted did not begin after all: another limit forbade it.
    pub fn call_did_not_begin(&self, id: CapId) {
        if let Some(cell) = self.cells.get(usize::from(id.0)) {
            cell.calls.fetch_sub(1, Relaxed);
        }
    }

    /// Counts a call or an attempt that was refused, or that was told only.
    pub fn count(&self, id: CapId, is_refused: bool) {
        if let Some(cell) = self.cells.get(usize::from(id.0)) {
            let counter = if is_refused {
                &cell.refused
            } else {
                &cell.told
            };
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Whether the window has no minute or no money left.
    #[must_use]
    pub fn is_used_up(&self, id: CapId, rule: &CapRule, now: Time) -> bool {
        if !rule.counts_talk() {
            return false;
        }
        let used = self.used(id, now);
        let minutes = rule
            .window_minutes
            .map(|most| i64::from(most) * MS_PER_MINUTE);
        let has_talked = minutes.is_some_and(|most| used.talked_ms >= most);
        let cost = rule
            .window_cost
            .map(|most| micros(most).saturating_mul(MS_PER_MINUTE));
        has_talked || cost.is_some_and(|most| used.spent >= most)
    }

    /// A call is answered.
    pub fn answered(&self, shard: ShardId, id: CapId, charge: &Charge) {
        if let Some(row) = self.row(shard, id) {
            row.write(|row| {
                add(&row.live, 1);
                add(&row.talked_ms, charge.since_ms.wrapping_neg());
                add(&row.per_ms, charge.per_ms);
                add(&row.spent, charge.begin());
            });
        }
    }

    /// An answered call ended, and came to so much in the common currency.
    pub fn ended(&self, shard: ShardId, id: CapId, charge: &Charge, (now, amount): (Time, Money)) {
        let amount = micros(amount).wrapping_mul(MS_PER_MINUTE);
        if let Some(row) = self.row(shard, id) {
            row.write(|row| {
                add(&row.live, -1);
                add(&row.talked_ms, now.millis() as i64);
                add(&row.per_ms, charge.per_ms.wrapping_neg());
                add(&row.spent, amount.wrapping_sub(charge.begin()));
            });
        }
    }

    fn row(&self, shard: ShardId, id: CapId) -> Option<&Row> {
        self.rows.get(usize::from(shard.0))?.get(usize::from(id.0))
    }

    /// What was used since the beginning.
    fn total(&self, id: CapId, now_ms: u64) -> Used {
        let at = usize::from(id.0);
        let Some(cell) = self.cells.get(at) else {
            return Used::default();
        };
        let begun = Used {
            calls: cell.calls.load(Relaxed),
            ..Used::default()
        };
        let rows = self.rows.iter().filter_map(|rows| rows.get(at));
        let due = rows.map(|row| row.due(now_ms as i64));
        due.fold(begun.plus(cell.before.get()), Used::plus)
    }

    /// What was used in the window.
    #[must_use]
    pub fn used(&self, id: CapId, now: Time) -> Used {
        let floor = self.cells.get(usize::from(id.0)).map(|it| it.floor.get());
        self.total(id, now.millis())
            .minus(floor.unwrap_or_default())
    }

    /// How many calls and attempts were refused since the start, and how many were told only.
    #[must_use]
    pub fn exceeded(&self, id: CapId) -> (u64, u64) {
        let cell = self.cells.get(usize::from(id.0));
        cell.map_or((0, 0), |it| {
            (it.refused.load(Relaxed), it.told.load(Relaxed))
        })
    }

    /// The latest moment that a shard has told.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_millis(self.now_ms.load(Relaxed))
    }

    /// Lets the windows of a world slide. One shard does it, at its housekeeping.
    pub fn slide(&self, world: &Snapshot, now: Time) {
        self.now_ms.fetch_max(now.millis(), Relaxed);
        for (id, rule) in world.caps().filter(|(_, rule)| rule.has_window()) {
            self.slide_one(id, rule, now.millis());
        }
    }

    fn slide_one(&self, id: CapId, rule: &CapRule, now_ms: u64) {
        let Some(cell) = self.cells.get(usize::from(id.0)) else {
            return;
        };
        let step_ms = step_ms(rule);
        // Steps are counted from one window before time 0 on, so that each has one a window ago.
        let step = now_ms / step_ms + STEPS as u64;
        let ring = &cell.ring;
        if ring.step_ms.swap(step_ms, Relaxed) != step_ms {
            // The first, or another: when what is in the old one was used is not known so exactly.
            let floor = cell.floor.get();
            ring.at.iter().for_each(|at| at.set(floor));
            ring.step.store(step, Relaxed);
        }
        let before = ring.step.load(Relaxed);
        if step <= before {
            return;
        }
        let total = self.total(id, now_ms);
        for missed in before.max(step - STEPS as u64) + 1..=step {
            ring.at[missed as usize % STEPS].set(total);
        }
        ring.step.store(step, Relaxed);
        cell.floor.set(ring.at[(step + 1) as usize % STEPS].get());
    }

    /// What is to be kept of a cell; none if there is nothing.
    #[must_use]
    pub fn keep(&self, id: CapId, rule: &CapRule) -> Option<Kept> {
        let ring = &self.cells.get(usize::from(id.0))?.ring;
        if ring.step_ms.load(Relaxed) == 0 {
            return None;
        }
        let total = self.total(id, self.now_ms.load(Relaxed));
        let step = ring.step.load(Relaxed);
        let since = |age: usize| {
            let at = &ring.at[(step as usize - age) % STEPS];
            total.minus(at.get())
        };
        let since: Vec<Used> = (0..STEPS).map(since).collect();
        let has_any = since.iter().any(|used| *used != Used::default());
        has_any.then_some(Kept {
            window_s: rule.window_s,
            since,
        })
    }

    /// Takes up what was kept so many milliseconds ago. Before the shards begin.
    pub fn resume(&self, id: CapId, rule: &CapRule, kept: &Kept, ago_ms: u64) {
        let (Some(cell), Some(&whole)) = (self.cells.get(usize::from(id.0)), kept.since.last())
        else {
            return;
        };
        let step_ms = step_ms(rule);
        let ring = &cell.ring;
        ring.step_ms.store(step_ms, Relaxed);
        ring.step.store(STEPS as u64, Relaxed);
        let is_same = kept.window_s == rule.window_s && kept.since.len() == STEPS;
        let aged = usize::try_from(ago_ms / step_ms).unwrap_or(usize::MAX);
        for age in 0..STEPS {
            // What was used since that step began, of what is known.
            let since = match age.checked_sub(aged) {
                None => Used::default(),
                Some(_) if !is_same => whole,
                Some(age) => kept.since[age],
            };
            ring.at[(STEPS - age) % STEPS].set(whole.minus(since));
        }
        let floor = ring.at[1].get();
        cell.before.set(Used { calls: 0, ..whole });
        cell.calls.store(whole.calls, Relaxed);
        cell.floor.set(floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: CapId = CapId(3);

    fn rule(window_s: u32) -> CapRule {
        CapRule {
            window_s,
            window_calls: Some(5),
            window_minutes: Some(10),
            window_cost: Money::parse("2.5"),
            ..CapRule::default()
        }
    }

    fn charge(per_minute: &str, fee: &str, since: Time) -> Charge {
        let money = |text| micros(Money::parse(text).unwrap());
        Charge {
            per_ms: money(per_minute),
            fee: money(fee) * MS_PER_MINUTE,
            since_ms: since.millis() as i64,
        }
    }

    fn seconds(s: u64) -> Time {
        Time::from_millis(s * 1_000)
    }

    fn told(windows: &Windows, at: Time) -> (u64, i64, String) {
        let used = windows.used(CAP, at);
        (used.calls, used.talked_ms, used.cost().to_string())
    }

    #[test]
    fn what_is_up_is_due_with_each_moment() {
        let windows = Windows::new(2, 4);
        let [a, b] = [ShardId(0), ShardId(1)];
        let one = charge("1.2", "0.05", seconds(100));
        windows.answered(a, CAP, &one);
        assert_eq!(told(&windows, seconds(100)), (0, 0, "0.05".to_owned()));
        assert_eq!(told(&windows, seconds(130)), (0, 30_000, "0.65".to_owned()));
        let two = charge("0.6", "0", seconds(130));
        windows.answered(b, CAP, &two);
        assert_eq!(told(&windows, seconds(160)), (0, 90_000, "1.55".to_owned()));
        // It was longer than it talked, by its steps.
        let amount = Money::parse("2.45").unwrap();
        windows.ended(a, CAP, &one, (seconds(160), amount));
        assert_eq!(told(&windows, seconds(160)), (0, 90_000, "2.75".to_owned()));
        assert_eq!(
            told(&windows, seconds(190)),
            (0, 120_000, "3.05".to_owned())
        );
        // The shard dies, and another begins in its place.
        windows.now_ms.store(190_000, Relaxed);
        windows.begin(b);
        assert_eq!(
            told(&windows, seconds(900)),
            (0, 120_000, "3.05".to_owned())
        );
        assert!(windows.is_used_up(CAP, &rule(60), seconds(900)));
        assert!(!windows.is_used_up(CapId(2), &rule(60), seconds(900)));
    }

    #[test]
    fn calls_of_a_window_are_counted_exactly() {
        let windows = Windows::new(1, 4);
        let begin = || windows.call_begins(CAP, Some(2));
        assert_eq!([begin(), begin(), begin()], [true, true, false]);
        windows.call_did_not_begin(CAP);
        assert_eq!([begin(), begin()], [true, false]);
        assert!(windows.call_begins(CAP, None));
        assert_eq!(told(&windows, Time::ZERO).0, 3);
        // Whoever has no cell has no cap.
        assert!(windows.call_begins(CapId(9), Some(0)));
    }

    #[test]
    fn a_window_slides() {
        let windows = Windows::new(1, 4);
        let rule = rule(64);
        let slide = |s| windows.slide_one(CAP, &rule, s * 1_000);
        // One call in each second of the first ten, and of the last hundred.
        let is_busy = |s: &u64| !(10..100).contains(s);
        slide(0);
        for s in 0..200_u64 {
            slide(s);
            if is_busy(&s) {
                assert!(windows.call_begins(CAP, None));
            }
            let window = s.saturating_sub(63)..=s;
            let want = window.filter(is_busy).count() as u64;
            assert_eq!(told(&windows, seconds(s)).0, want, "at {s}");
        }
        // Nobody looked for a while.
        slide(1_000);
        assert_eq!(told(&windows, seconds(1_000)).0, 0);
    }

    #[test]
    fn a_restart_forgets_nothing_that_is_not_over() {
        let longer = rule(640);
        let (rule, shard) = (rule(64), ShardId(0));
        let windows = Windows::new(1, 4);
        windows.slide_one(CAP, &rule, 0);
        for s in 0..100 {
            windows.slide_one(CAP, &rule, s * 1_000);
            assert!(windows.call_begins(CAP, None));
            let one = charge("6", "0", seconds(s));
            windows.answered(shard, CAP, &one);
            let amount = Money::parse("0.1").unwrap();
            windows.ended(shard, CAP, &one, (seconds(s + 1), amount));
        }
        windows.now_ms.store(99_000, Relaxed);
        assert_eq!(told(&windows, seconds(99)), (64, 64_000, "6.40".to_owned()));
        let kept = windows.keep(CAP, &rule).expect("something was used");
        for (ago_s, want) in [(0, 64), (1, 63), (10, 54), (62, 2), (63, 1), (1_000, 0)] {
            let next = Windows::new(1, 4);
            next.resume(CAP, &rule, &kept, ago_s * 1_000);
            let (calls, talked_ms, _) = told(&next, Time::ZERO);
            assert_eq!((calls, talked_ms), (want, want as i64 * 1_000), "{ago_s}");
            // It goes on sliding where it was.
            next.slide_one(CAP, &rule, 5_000);
            assert_eq!(told(&next, seconds(5)).0, want.saturating_sub(5), "{ago_s}");
        }
        // Another window: all of it counts until it is over.
        let next = Windows::new(1, 4);
        next.resume(CAP, &longer, &kept, 5_000);
        assert_eq!(told(&next, Time::ZERO).0, 64);
    }
}
