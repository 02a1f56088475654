//! The deadlines of a transaction, and the one entry in the shard's wheel that stands for them.
//!
//! A transaction has up to three deadlines at a time and moves or drops most of them before they are
//! due. So the slot keeps when they are due, and only the first has an entry in the wheel:
//!
//! ```text
//!   INVITE sent   repeat 0.5 s, bound 32 s, patience 2 s     entry at 0.5 s: one insertion
//!   100           bound 181 s                                entry moved
//!   180           bound 181 s from here                      entry stays: it is far enough away
//!   200           bound 32 s                                 entry moved
//! ```
//!
//! An entry never lies behind the first deadline. One that lies before it calls for nothing and is set
//! anew. All moments are milliseconds of the shard's clock.

use std::num::NonZeroU64;

use base::TimerId;

use crate::{Actions, Change};

/// Where a slot keeps an armed timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// One that repeats a message: A, E, G.
    Repeat,
    /// Any other.
    Bound,
    /// The proxy core's own, of a client: how long it waits for an answer.
    Patience,
}

/// The deadlines of a slot. Three places suffice: no state runs more than one timer that repeats a
/// message and one other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    /// The entry's id in halves, so that a slot needs no padding; all zero = none.
    entry: [u32; 2],
    /// The low bits of the milliseconds at which each is due; 0 = not armed.
    due: [u32; 3],
}

/// What must become of the entry in the wheel, if anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Put one there for this moment.
    Insert(u64),
    /// Let this one fire at this moment, or before.
    Move(TimerId, u64),
    /// Take it out.
    Remove(TimerId),
}

/// Half of what 32 bits count, 24 days: what is farther away is due then.
const DELAY_MS_MAX: u32 = NEVER as u32 - 1;
/// How long it is to the first deadline where none is armed.
const NEVER: i32 = i32::MAX;

impl Timers {
    /// Does what a step said, at `now_ms`. Says what must become of the entry.
    #[inline]
    pub fn change(&mut self, actions: &Actions, now_ms: u64) -> Option<Entry> {
        self.set(Place::Repeat, actions.repeat, now_ms);
        self.set(Place::Bound, actions.bound, now_ms);
        self.entry_for(now_ms)
    }

    /// Arms the patience, at `now_ms`. Says what must become of the entry.
    pub fn arm_patience(&mut self, delay_ms: u32, now_ms: u64) -> Option<Entry> {
        self.due[Place::Patience as usize] = due_at(now_ms as u32, delay_ms);
        self.entry_for(now_ms)
    }

    #[inline]
    fn set(&mut self, place: Place, change: Change, now_ms: u64) {
        self.due[place as usize] = match change {
            Change::Keep => return,
            Change::Disarm => 0,
            Change::Arm { delay_ms, .. } => due_at(now_ms as u32, delay_ms),
        };
    }

    /// Forgets a deadline. The entry stays; it may fire for nothing.
    #[inline]
    pub fn disarm(&mut self, place: Place) {
        self.due[place as usize] = 0;
    }

    /// The entry has fired, so there is none any more. Takes the deadline that has passed, the first
    /// of them.
    pub(crate) fn fired(&mut self, now_ms: u64) -> Option<Place> {
        self.entry = [0; 2];
        let now = now_ms as u32;
        let places = [Place::Repeat, Place::Bound, Place::Patience];
        let left = |place: Place| left(self.due[place as usize], now);
        let place = places.into_iter().min_by_key(|&place| left(place))?;
        (left(place) <= 0).then(|| {
            self.disarm(place);
            place
        })
    }

    /// What must become of the entry after one has fired and what was due is done: deadlines that
    /// have passed as well come each in its turn among those of others.
    pub fn rest(&self, now_ms: u64) -> Option<Entry> {
        match self.entry() {
            None => self.entry_for(now_ms),
            Some(_) => None,
        }
    }

    /// The entry in the wheel.
    #[must_use]
    #[inline]
    pub fn entry(&self) -> Option<TimerId> {
        let [low, high] = self.entry;
        NonZeroU64::new(u64::from(high) << 32 | u64::from(low)).map(TimerId)
    }

    /// Keeps the id of the entry in the wheel.
    #[inline]
    pub fn set_entry(&mut self, entry: Option<TimerId>) {
        let bits = entry.map_or(0, |entry| entry.0.get());
        self.entry = [bits as u32, (bits >> 32) as u32];
    }

    /// Whether a timer is armed in this place.
    #[must_use]
    pub fn is_armed(&self, place: Place) -> bool {
        self.due[place as usize] != 0
    }

    /// Whether any deadline is armed, and an entry stands for it.
    pub(crate) fn is_kept(&self) -> bool {
        self.due == [0; 3] || self.entry().is_some()
    }

    /// How long it is to the first deadline.
    #[inline]
    fn first_left(&self, now: u32) -> i32 {
        let [repeat, bound, patience] = self.due;
        left(repeat, now)
            .min(left(bound, now))
            .min(left(patience, now))
    }

    #[inline]
    fn entry_for(&self, now_ms: u64) -> Option<Entry> {
        let left = self.first_left(now_ms as u32);
        let at = now_ms.wrapping_add_signed(left.into());
        match self.entry() {
            None if left == NEVER => None,
            None => Some(Entry::Insert(at)),
            Some(entry) if left == NEVER => Some(Entry::Remove(entry)),
            Some(entry) => Some(Entry::Move(entry, at)),
        }
    }
}

/// How long it is to a deadline; less than nothing if it has passed.
#[inline]
fn left(due: u32, now: u32) -> i32 {
    match due {
        0 => NEVER,
        due => due.wrapping_sub(now) as i32,
    }
}

#[inline]
fn due_at(now: u32, delay_ms: u32) -> u32 {
    now.wrapping_add(delay_ms.min(DELAY_MS_MAX)).max(1)
}
