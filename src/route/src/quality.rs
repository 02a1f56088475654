//! How well vendors do: what became of each attempt, by gateway and destination, over all shards.
//!
//! ```text
//!   class, gateway, destination ──▶ a row, the same for all shards
//!   shard ──▶ its own counts of the row        one writer, relaxed
//!   judge ──▶ the row's mark                   one writer, read with each call (judge.rs)
//! ```
//!
//! A row is found in a set of [`WAYS`] by its key; whoever meets a key first takes a free place of the
//! set for it (one compare-and-swap). Nothing is locked, and nobody waits. If a set has no free place
//! the attempt is not counted, the vendor counts as good, and the router's counter says so; rows that
//! nobody used for a while are given back by the judge.
//!
//! Definitions, for each attempt, which is one INVITE to one gateway: [`Ending`].
//!
//! Cost: with each call a look at a mark for each gateway of its plan (one line for the keys of a set
//! and one for the mark); with each attempt one more look, and two or three stores at its ends.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::{GatewayId, ShardId};

use crate::Number;
use crate::order::mix;

/// Bounds of quality, and how it is measured: a class, which routes name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QualitySpec {
    /// Its name, unique among classes.
    pub name: String,
    /// The bounds.
    pub bounds: Bounds,
    /// How many digits of the number are its destination.
    pub digits: u8,
    /// What is over so long ago counts no more, in seconds.
    pub window_s: u32,
    /// Less attempts (answers, calls that rang) say nothing.
    pub sample: u32,
    /// Of 1,000 calls that a vendor below the bounds would get, how many it still gets.
    pub trial_per_mille: u16,
    /// How long it takes a vendor that is good again to get all of them, in seconds.
    pub return_s: u32,
    /// Whether a vendor below the bounds is left out of its other calls; else it is tried last.
    pub skips: bool,
}

/// What a vendor must keep to. A bound that is absent is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// The least share of attempts that are answered, in thousandths.
    pub asr_min: Option<u16>,
    /// The least share of attempts that are effective, in thousandths.
    pub ner_min: Option<u16>,
    /// The least that answered calls last on average, in seconds.
    pub acd_s_min: Option<u32>,
    /// The longest that it takes until it rings, on average, in milliseconds.
    pub pdd_ms_max: Option<u32>,
    /// The largest share of answered calls that are short, in thousandths.
    pub short_max: Option<u16>,
    /// Calls that last less are short, in seconds.
    pub short_s: u32,
}

/// A class of one snapshot. Its id stays the same over reloads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassId(pub u16);

/// What a call is measured as: its class and its destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measure {
    class: ClassId,
    /// Up to nine digits behind a 1.
    destination: u32,
}

/// The most digits of a destination.
pub const DESTINATION_DIGITS_MAX: u8 = 9;

impl Measure {
    /// A call to this number. A number that is none has the destination of no digits.
    #[must_use]
    pub fn new(class: ClassId, digits: u8, number: &Number<'_>) -> Measure {
        Measure::of_digits(class, number.digits(), digits)
    }

    /// The destination of these digits, at most so many of them.
    #[must_use]
    pub fn of_digits(class: ClassId, digits: &[u8], most: u8) -> Measure {
        let most = usize::from(most.min(DESTINATION_DIGITS_MAX));
        let digits = digits
            .iter()
            .take(most)
            .take_while(|it| it.is_ascii_digit());
        Measure {
            class,
            destination: digits.fold(1, |code, digit| code * 10 + u32::from(digit - b'0')),
        }
    }

    /// Class, gateway and destination as one number, never 0.
    fn key(self, gateway: GatewayId) -> u64 {
        u64::from(self.class.0) << 48 | u64::from(gateway.0) << 31 | u64::from(self.destination)
    }
}

/// A row's name, out of its key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RowName {
    /// The class.
    pub class: ClassId,
    /// The gateway.
    pub gateway: GatewayId,
    /// The digits of the destination; empty for all.
    pub destination: String,
}

pub(crate) fn class_of(key: u64) -> ClassId {
    ClassId((key >> 48) as u16)
}

impl RowName {
    pub(crate) fn of(key: u64) -> RowName {
        let digits = (key & ((1 << 31) - 1)).to_string();
        RowName {
            class: class_of(key),
            gateway: GatewayId((key >> 31) as u32 & 0x1_ffff),
            destination: digits[1..].to_owned(),
        }
    }
}

/// A row and the turn in which it is used: 24 bits and 8, and 1 more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(NonZeroU32);

impl Place {
    fn new(row: usize, turn: u32) -> Option<Place> {
        NonZeroU32::new(((row as u32) << 8 | turn & 0xff) + 1).map(Place)
    }

    fn row(self) -> usize {
        ((self.0.get() - 1) >> 8) as usize
    }

    fn turn(self) -> u32 {
        (self.0.get() - 1) & 0xff
    }
}

/// What became of an attempt, or of the call that it was answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It was answered with a 2xx.
    Answered {
        /// From INVITE to the first 18x, or to the 2xx if there was none.
        rang_after_us: u64,
    },
    /// It was not.
    Failed {
        /// Whether the network did its part all the same: [`is_effective`].
        is_effective: bool,
        /// From INVITE to the first 18x, if there was one.
        rang_after_us: Option<u64>,
    },
    /// The call that it was answered with is over.
    HungUp {
        /// How long it lasted.
        talked_us: u64,
        /// Whether that is short by its class.
        is_short: bool,
    },
}

/// Whether an attempt that was not answered is effective: the network did its part, and it was for the
/// user that there was no answer (ITU-T E.425 §3.5: busy, no answer, rejected by the terminal; the
/// statuses are those of RFC 6076 §4.5). `rang`: an 18x came before the end, whatever that was.
#[must_use]
pub fn is_effective(status: u16, rang: bool) -> bool {
    match status {
        480 | 486 | 600 | 603 => true,
        // Nobody took it up: by timer C, by our patience, or because the caller gave up.
        0 | 408 | 487 => rang,
        _ => false,
    }
}

/// Whether a final response says nothing of quality: the call goes elsewhere, or is asked again with
/// a password (RFC 6076 §4.5).
#[must_use]
pub const fn is_no_verdict(status: u16) -> bool {
    matches!(status, 300..=399 | 401 | 407)
}

/// What is counted of a row, by each shard; wraps around.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Figure {
    /// Attempts that are over or answered.
    Concluded,
    Answered,
    /// Answered, or for the user not to be.
    Effective,
    Rang,
    RangMs,
    HungUp,
    Short,
    /// In tenths of a second.
    Talked,
}

pub(crate) const FIGURES: usize = 8;

/// One shard's counts of one row. Written by that shard only.
#[derive(Debug, Default)]
struct Counts([AtomicU32; FIGURES]);

impl Counts {
    fn add(&self, figure: Figure, count: u32) {
        // One writer: no other store can come between.
        let cell = &self.0[figure as usize];
        let sum = cell.load(Ordering::Relaxed).wrapping_add(count);
        cell.store(sum, Ordering::Relaxed);
    }
}

/// What the judge says of a row, in one word: how many of its calls it gets, and what it is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Of 1,000 calls, how many it gets in its own place: 1,000 if it is good.
    pub admit_per_mille: u16,
    /// Of 1,000 attempts, how many are answered; none: too few to say.
    pub asr: Option<u16>,
    /// Of 1,000 attempts, how many are effective.
    pub ner: Option<u16>,
    /// Of 1,000 answered calls, how many are short.
    pub short: Option<u16>,
    /// How long it takes until it rings, in milliseconds, to the next lower 16.
    pub pdd_ms: Option<u32>,
    /// How long answered calls last, in seconds, up to an hour and eight minutes.
    pub acd_s: Option<u32>,
}

impl Mark {
    /// Of whom nothing is known yet.
    pub const FRESH: Mark = Mark {
        admit_per_mille: 1_000,
        asr: None,
        ner: None,
        short: None,
        pdd_ms: None,
        acd_s: None,
    };

    /// What it says, and where it says nothing, what another does.
    pub(crate) fn or(self, other: Mark) -> Mark {
        Mark {
            admit_per_mille: self.admit_per_mille,
            asr: self.asr.or(other.asr),
            ner: self.ner.or(other.ner),
            short: self.short.or(other.short),
            pdd_ms: self.pdd_ms.or(other.pdd_ms),
            acd_s: self.acd_s.or(other.acd_s),
        }
    }

    fn pack(self) -> u64 {
        const fn field(value: Option<u32>, bits: u32) -> u64 {
            let none = (1 << bits) - 1;
            match value {
                Some(value) if value < none => value as u64,
                Some(_) => none as u64 - 1,
                None => none as u64,
            }
        }
        let share = |share: Option<u16>| field(share.map(u32::from), 10);
        let mut word = share(Some(self.admit_per_mille));
        for value in [self.asr, self.ner, self.short] {
            word = word << 10 | share(value);
        }
        word = word << 12 | field(self.pdd_ms.map(|ms| ms / 16), 12);
        word << 12 | field(self.acd_s, 12)
    }

    fn unpack(word: u64) -> Mark {
        let field = |shift: u32, bits: u32| {
            let none = (1_u64 << bits) - 1;
            Some((word >> shift & none) as u32).filter(|it| u64::from(*it) < none)
        };
        let share = |shift| field(shift, 10).map(|it| it as u16);
        Mark {
            admit_per_mille: share(54).unwrap_or(1_000),
            asr: share(44),
            ner: share(34),
            short: share(24),
            pdd_ms: field(12, 12).map(|it| it * 16),
            acd_s: field(0, 12),
        }
    }

    /// Whether a call with these dice is one of those that a gateway gets in its own place.
    pub(crate) fn admits(&self, gateway: GatewayId, dice: u64) -> bool {
        if self.admit_per_mille >= 1_000 {
            return true;
        }
        // Not the throw that health decides by: a vendor may return from both.
        let thrown = mix(dice ^ mix(u64::from(gateway.0) | 1 << 32));
        ((u128::from(thrown) * 1_000) >> 64) < u128::from(self.admit_per_mille)
    }

    /// How bad it is, for plans that try the best first: by steps of five in a hundred answered, then by
    /// how long it takes to ring. Of whom nothing is known comes first, until something is.
    pub(crate) fn badness(&self) -> u32 {
        let missed = (1_000 - u32::from(self.asr.unwrap_or(1_000).min(1_000))) / 50;
        (missed << 12) + self.pdd_ms.unwrap_or(0) / 256
    }
}

/// The quality of all vendors: shared by the shards, which count, and the judge.
pub struct Quality {
    /// 0: free.
    keys: Box<[AtomicU64]>,
    /// How often each row was given back. Written by the judge.
    turns: Box<[AtomicU32]>,
    /// Written by the judge.
    marks: Box<[AtomicU64]>,
    /// By shard.
    counts: Box<[Box<[Counts]>]>,
}

/// How many places a key may be at: two lines of memory.
const WAYS: usize = 16;

impl Quality {
    /// The most rows of a table.
    pub const ROWS_MAX: usize = 1 << 20;

    /// Room for at least so many rows, up to [`Quality::ROWS_MAX`].
    #[must_use]
    pub fn new(shards: u16, rows: usize) -> Quality {
        let rows = rows.clamp(WAYS, Quality::ROWS_MAX).next_power_of_two();
        let counts = |_| (0..rows).map(|_| Counts::default()).collect();
        Quality {
            keys: (0..rows).map(|_| AtomicU64::new(0)).collect(),
            turns: (0..rows).map(|_| AtomicU32::new(0)).collect(),
            marks: (0..rows)
                .map(|_| AtomicU64::new(Mark::FRESH.pack()))
                .collect(),
            counts: (0..shards).map(counts).collect(),
        }
    }

    /// What the judge says of a gateway for such a call.
    #[must_use]
    pub fn mark(&self, measure: Measure, gateway: GatewayId) -> Mark {
        let key = measure.key(gateway);
        let found = self
            .set(key)
            .find(|&row| self.keys[row].load(Ordering::Acquire) == key);
        found.map_or(Mark::FRESH, |row| self.mark_of(row))
    }

    /// The row that an attempt at a gateway is counted in; `None`: there is no room for it.
    #[must_use]
    pub fn place(&self, measure: Measure, gateway: GatewayId) -> Option<Place> {
        let key = measure.key(gateway);
        // Acquire: whoever sees the key, or the place free, sees the turn that the judge gave it.
        let known = self
            .set(key)
            .find(|&row| self.keys[row].load(Ordering::Acquire) == key);
        let row = known.or_else(|| {
            self.set(key).find(|&row| {
                let cell = &self.keys[row];
                let taken = cell.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire);
                taken.is_ok() || taken == Err(key)
            })
        })?;
        Place::new(row, self.turns[row].load(Ordering::Relaxed))
    }

    /// The class of a row.
    #[must_use]
    pub fn class_of(&self, place: Place) -> ClassId {
        class_of(self.keys[place.row()].load(Ordering::Relaxed))
    }

    /// Counts what became of an attempt, on the shard that owns its call. A row that was given back in
    /// the meantime counts nothing.
    pub fn count(&self, shard: ShardId, place: Place, ending: Ending) {
        let row = place.row();
        if self.turns[row].load(Ordering::Relaxed) & 0xff != place.turn() {
            return;
        }
        let Some(counts) = self.counts.get(usize::from(shard.0)).map(|it| &it[row]) else {
            return;
        };
        let rang_after = match ending {
            Ending::Answered { rang_after_us } => {
                counts.add(Figure::Answered, 1);
                counts.add(Figure::Effective, 1);
                counts.add(Figure::Concluded, 1);
                Some(rang_after_us)
            }
            Ending::Failed {
                is_effective,
                rang_after_us,
            } => {
                counts.add(Figure::Effective, u32::from(is_effective));
                counts.add(Figure::Concluded, 1);
                rang_after_us
            }
            Ending::HungUp {
                talked_us,
                is_short,
            } => {
                counts.add(Figure::HungUp, 1);
                counts.add(Figure::Short, u32::from(is_short));
                counts.add(Figure::Talked, (talked_us / 100_000) as u32);
                None
            }
        };
        if let Some(us) = rang_after {
            counts.add(Figure::Rang, 1);
            counts.add(Figure::RangMs, (us / 1_000) as u32);
        }
    }

    /// All rows that are used, and what the judge says of them. Walks the table: for people.
    #[must_use]
    pub fn rows(&self) -> Vec<(RowName, Mark)> {
        let used = (0..self.len()).filter_map(|row| {
            let key = self.key_of(row);
            (key != 0).then(|| (RowName::of(key), self.mark_of(row)))
        });
        used.collect()
    }

    /// How many attempts were counted, how many of them were answered, and how many answered calls have
    /// ended, in all rows: for tests and the simulator.
    #[must_use]
    pub fn totals(&self) -> [u64; 3] {
        let mut totals = [0; 3];
        for sums in (0..self.len()).map(|row| self.sums(row)) {
            let figures = [Figure::Concluded, Figure::Answered, Figure::HungUp];
            for (total, figure) in totals.iter_mut().zip(figures) {
                *total += u64::from(sums[figure as usize]);
            }
        }
        totals
    }

    /// Says how a vendor is, in place of the judge: for whoever explains.
    pub fn say(&self, measure: Measure, gateway: GatewayId, mark: Mark) {
        if let Some(place) = self.place(measure, gateway) {
            self.set_mark(place.row(), mark);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key_of(&self, row: usize) -> u64 {
        self.keys[row].load(Ordering::Acquire)
    }

    /// What all shards counted of a row.
    pub(crate) fn sums(&self, row: usize) -> [u32; FIGURES] {
        let mut sums = [0_u32; FIGURES];
        for shard in &self.counts {
            for (sum, count) in sums.iter_mut().zip(&shard[row].0) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        sums
    }

    pub(crate) fn set_mark(&self, row: usize, mark: Mark) {
        self.marks[row].store(mark.pack(), Ordering::Relaxed);
    }

    /// Gives a row back. Attempts that are still under way in it count nothing any more.
    pub(crate) fn free(&self, row: usize) {
        self.set_mark(row, Mark::FRESH);
        self.turns[row].fetch_add(1, Ordering::Relaxed);
        // Release: whoever takes the place next sees the turn and the mark.
        self.keys[row].store(0, Ordering::Release);
    }

    fn mark_of(&self, row: usize) -> Mark {
        Mark::unpack(self.marks[row].load(Ordering::Relaxed))
    }

    /// The places of a key.
    fn set(&self, key: u64) -> std::ops::Range<usize> {
        let sets = self.len() / WAYS;
        let set = mix(key) as usize % sets;
        set * WAYS..(set + 1) * WAYS
    }
}

impl std::fmt::Debug for Quality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quality")
            .field("rows", &self.len())
            .finish_non_exhaustive()
    }
}
