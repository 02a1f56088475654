//! The shard's deadlines: a hierarchical timer wheel (Varghese and Lauck, 1987, scheme 7).
//!
//! Seven levels of 64 slots; a slot of level `n` spans 64^n ticks of one millisecond. A deadline
//! lies at the level of the highest six-bit digit in which it differs from the wheel's own time, so
//! that each slot is visited once and its timers move down a level until they are due.
//!
//! What fires after a delay that is usual goes to a lane instead, if there is one for this delay: a
//! list that is in order by itself, since what is put off by as much as all others is due after them.
//! It moves nowhere until it fires. Without lanes the slot of four seconds that thirty-two seconds
//! fall into has a hundred thousand timers on a busy shard, to be moved at once.
//!
//! ```text
//!   delay 32 s    due at  ... 31.998 ─ 31.999 ─ 32.000 ◀─ the next is due after all of these
//! ```
//!
//! Cost: insert and cancel touch the timer's own 32 bytes and its two neighbours in the list; a
//! timer moves at most six times in its life. The first slot is found from seven bitmaps, and a slot
//! knows the first tick of what was put into it, so that a shard sleeps until there is something to
//! fire and not only to move. The lowest unused node is taken first, so that a list that grew in one
//! piece lies in one piece. Held by `benches/timers.rs`. Most timers of SIP are cancelled, so nothing
//! is kept sorted.

use std::num::NonZeroU64;

use base::{FreePlaces, Time, TimerId};

const TICK_US: u64 = 1_000;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 7;
/// What fires in more than so many is moved again before it does, mostly.
const FAR_TICKS: u64 = 4_000;
/// How much more than the delay of its lane a timer may be away from the wheel's own time, which is
/// that of the turn before.
const LANE_SLACK_TICKS: u64 = 64;
/// The farthest that a tick can lie ahead: 139 years.
const SPAN_TICKS: u64 = 1 << (DIGIT_BITS * LEVELS as u32);

// The heads of the lists are nodes like the timers, so that a timer leaves its list without knowing
// which one it is in. The tick of a slot's head is not after that of any timer in the slot. First
// those of the slots, level by level, then those of the lanes, then these two:
const LANE: u32 = (LEVELS * SLOTS) as u32;
/// Timers of a slot that was reached, to be moved down.
const PENDING: u32 = LANE + Wheel::LANES as u32;
/// Timers that are due.
const DUE: u32 = PENDING + 1;
const HEADS: u32 = DUE + 1;

/// Deadlines of one shard, each with a token for its owner.
///
/// Never fires early; fires up to one tick late, and later if the shard has no time for it. At the
/// limit `insert` says `None`; the caller counts and refuses.
#[derive(Debug)]
pub struct Wheel {
    nodes: Vec<Node>,
    capacity: usize,
    len: usize,
    /// Of the nodes used before, counted from the first that is no head.
    free: FreePlaces,
    /// All timers with a tick up to this one are due or pending.
    elapsed: u64,
    /// For each level, which slots hold timers; and which lanes do.
    occupied: [u64; LEVELS + 1],
    /// In how many ticks the timers of each lane fire when they are put there.
    delays: [u64; Wheel::LANES],
    /// The first tick of the first slot with timers, or an earlier one: until then nothing is due.
    first: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    prev: u32,
    next: u32,
    generation: u32,
    tick: u64,
    token: u64,
}

impl Wheel {
    /// How many lanes there can be.
    pub const LANES: usize = 4;

    /// A wheel with room for so many deadlines, without lanes.
    #[must_use]
    pub fn new(capacity: usize) -> Wheel {
        Wheel::with_lanes(capacity, [0; Wheel::LANES])
    }

    /// Where the deadlines lie, and how many octets they take.
    pub(crate) fn room(&self) -> (*const u8, usize) {
        let bytes = self.nodes.capacity() * size_of::<Node>();
        (self.nodes.as_ptr().cast(), bytes)
    }

    /// A wheel with room for so many deadlines, and lanes for those that are usually so many
    /// milliseconds away; for nothing under four seconds.
    #[must_use]
    pub fn with_lanes(capacity: usize, usual_ms: [u32; Wheel::LANES]) -> Wheel {
        assert!(capacity < (u32::MAX - HEADS) as usize, "timers fit 32 bits");
        let mut nodes = Vec::with_capacity(capacity + HEADS as usize);
        nodes.extend((0..HEADS).map(|head| Node {
            prev: head,
            next: head,
            generation: 0,
            tick: u64::MAX,
            token: 0,
        }));
        Wheel {
            nodes,
            capacity,
            len: 0,
            free: FreePlaces::new(capacity),
            elapsed: 0,
            occupied: [0; LEVELS + 1],
            delays: usual_ms.map(u64::from),
            first: u64::MAX,
        }
    }

    /// Remembers a deadline; `None` if the wheel is full.
    pub fn insert(&mut self, deadline: Time, token: u64) -> Option<TimerId> {
        // Rounded up: early is wrong, late is usual.
        self.insert_at(deadline.0.div_ceil(TICK_US), token)
    }

    /// As [`Wheel::insert`], at a tick: a millisecond.
    pub(crate) fn insert_at(&mut self, tick: u64, token: u64) -> Option<TimerId> {
        let index = self.allocate()?;
        let next = self.head_for(tick);
        let prev = self.append(next, index, tick);
        let node = &mut self.nodes[index as usize];
        let generation = node.generation;
        *node = Node {
            prev,
            next,
            generation,
            tick,
            token,
        };
        self.len += 1;
        let bits = u64::from(generation) << 32 | u64::from(index);
        Some(TimerId(
            NonZeroU64::new(bits).expect("an index in use is never 0"),
        ))
    }

    /// Forgets a deadline. `false` if it has fired or was cancelled before.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        let (index, generation) = (timer.0.get() as u32, (timer.0.get() >> 32) as u32);
        match self.nodes.get(index as usize) {
            Some(node) if index >= HEADS && node.generation == generation => {
                self.unlink(index);
                self.retire(index);
                true
            }
            _ => false,
        }
    }

    /// Moves a deadline and gives it another token; its id stays. `false` if it has fired or was
    /// cancelled before.
    pub fn rearm(&mut self, timer: TimerId, deadline: Time, token: u64) -> bool {
        self.rearm_at(timer, deadline.0.div_ceil(TICK_US), token)
    }

    /// Whether a deadline fires by that tick, and not soon: it may as well stay where it is until it
    /// is moved again.
    #[inline]
    pub(crate) fn fires_by(&self, timer: TimerId, tick: u64) -> bool {
        let (index, generation) = (timer.0.get() as u32, (timer.0.get() >> 32) as u32);
        self.nodes.get(index as usize).is_some_and(|node| {
            node.generation == generation
                && (node.tick == tick || node.tick < tick && node.tick > self.elapsed + FAR_TICKS)
        })
    }

    /// As [`Wheel::rearm`], to a tick.
    pub(crate) fn rearm_at(&mut self, timer: TimerId, tick: u64, token: u64) -> bool {
        let (index, generation) = (timer.0.get() as u32, (timer.0.get() >> 32) as u32);
        match self.nodes.get_mut(index as usize) {
            Some(node) if index >= HEADS && node.generation == generation => {
                node.tick = tick;
                node.token = token;
                self.unlink(index);
                self.link(index);
                true
            }
            _ => false,
        }
    }

    /// Takes the next deadline that has passed at `now`, in the order of the deadlines.
    ///
    /// Each timer taken or moved costs 1 of `work`; at 0 it stops, to be called again next turn.
    pub fn pop(&mut self, now: Time, work: &mut u32) -> Option<u64> {
        let now_tick = now.0 / TICK_US;
        if now_tick < self.first && !self.has_pending() {
            self.elapsed = self.elapsed.max(now_tick);
            return None;
        }
        while *work > 0 {
            let due = self.nodes[DUE as usize].next;
            if due != DUE {
                *work -= 1;
                let token = self.nodes[due as usize].token;
                self.unlink(due);
                self.retire(due);
                return Some(token);
            }
            let pending = self.nodes[PENDING as usize].next;
            if pending != PENDING {
                *work -= 1;
                self.unlink(pending);
                self.link(pending);
                continue;
            }
            match self.next_list() {
                Some((told, LEVELS, lane)) if told <= now_tick => {
                    let head = LANE + lane as u32;
                    let first = self.nodes[head as usize].next;
                    let Node { tick, token, .. } = self.nodes[first as usize];
                    if tick > told {
                        // The one that it was told by has left.
                        self.nodes[head as usize].tick = tick;
                        continue;
                    }
                    self.elapsed = self.elapsed.max(tick);
                    *work -= 1;
                    self.unlink(first);
                    self.retire(first);
                    return Some(token);
                }
                Some((tick, level, slot)) if tick <= now_tick => {
                    self.elapsed = tick;
                    self.occupied[level] &= !(1 << slot);
                    let to = if level == 0 { DUE } else { PENDING };
                    self.splice((level * SLOTS + slot) as u32, to);
                }
                next => {
                    self.first = next.map_or(u64::MAX, |(tick, ..)| tick);
                    self.elapsed = self.elapsed.max(now_tick);
                    return None;
                }
            }
        }
        None
    }

    /// When [`Wheel::pop`] should be called next: not after the next deadline. `None` = no deadline.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        if self.has_pending() {
            return Some(Time(self.elapsed * TICK_US));
        }
        // All timers of a slot come before those of the next one.
        let slot = self.next_slot().map(|(_, level, slot)| {
            let head = &self.nodes[level * SLOTS + slot];
            head.tick
        });
        let lane = self.next_lane().map(|(tick, ..)| tick);
        let tick = slot.into_iter().chain(lane).min()?;
        // At the rim a tick may lie beyond what a clock can say.
        Some(Time(tick.saturating_mul(TICK_US)))
    }

    /// Whether a slot was reached and not all of it has been dealt with.
    fn has_pending(&self) -> bool {
        let is_full = |head: u32| self.nodes[head as usize].next != head;
        is_full(DUE) || is_full(PENDING)
    }

    /// How many deadlines are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no deadline is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first slot with timers: its first tick, its level, its place there.
    ///
    /// A timer of a level shares all higher digits with `elapsed` and has a greater digit there, so
    /// the lowest level comes first and within it the lowest slot.
    #[inline]
    fn next_slot(&self) -> Option<(u64, usize, usize)> {
        let levels = &self.occupied[..LEVELS];
        let level = levels.iter().position(|&bits| bits != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = DIGIT_BITS * level as u32;
        let above = self.elapsed >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        Some((above | (slot as u64) << shift, level, slot))
    }

    /// The lane whose first timer is due first: a tick that is not after that of the timer, and which
    /// one it is.
    #[inline]
    fn next_lane(&self) -> Option<(u64, usize, usize)> {
        let mut first: Option<(u64, usize, usize)> = None;
        let mut left = self.occupied[LEVELS];
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            let tick = self.nodes[LANE as usize + lane].tick;
            if first.is_none_or(|(before, ..)| tick < before) {
                first = Some((tick, LEVELS, lane));
            }
        }
        first
    }

    /// What comes first, a slot or a lane. Of the same tick, the slot: what it holds may be as early.
    #[inline]
    fn next_list(&self) -> Option<(u64, usize, usize)> {
        match (self.next_slot(), self.next_lane()) {
            (Some(slot), Some(lane)) if lane.0 < slot.0 => Some(lane),
            (Some(slot), _) => Some(slot),
            (None, lane) => lane,
        }
    }

    /// The lane that a tick belongs to, if any does.
    #[inline]
    fn lane_for(&self, tick: u64) -> Option<usize> {
        let ahead = tick - self.elapsed;
        if ahead <= FAR_TICKS {
            return None;
        }
        let is_usual = |&delay: &u64| ahead >= delay && ahead - delay <= LANE_SLACK_TICKS;
        let lane = self.delays.iter().position(is_usual)?;
        let head = LANE + lane as u32;
        let last = self.nodes[head as usize].prev;
        let is_in_order = last == head || self.nodes[last as usize].tick <= tick;
        is_in_order.then_some(lane)
    }

    /// Puts a timer that is in no list into the one that its tick belongs to.
    fn link(&mut self, index: u32) {
        let tick = self.nodes[index as usize].tick;
        let next = self.head_for(tick);
        let prev = self.append(next, index, tick);
        let node = &mut self.nodes[index as usize];
        (node.prev, node.next) = (prev, next);
    }

    /// Which list a tick belongs to. Something is about to be put there.
    #[inline]
    fn head_for(&mut self, tick: u64) -> u32 {
        if tick <= self.elapsed {
            return DUE;
        }
        if let Some(lane) = self.lane_for(tick) {
            self.occupied[LEVELS] |= 1 << lane;
            self.first = self.first.min(tick);
            return LANE + lane as u32;
        }
        // What lies beyond the wheel waits at its rim.
        let tick = tick.min(self.elapsed | (SPAN_TICKS - 1));
        let level = (tick ^ self.elapsed).ilog2() / DIGIT_BITS;
        let shift = DIGIT_BITS * level;
        let slot = (tick >> shift) as usize % SLOTS;
        self.occupied[level as usize] |= 1 << slot;
        self.first = self.first.min(tick >> shift << shift);
        (level as usize * SLOTS + slot) as u32
    }

    /// Makes a timer the last of a list and returns the one before it, with which it is still to be
    /// linked.
    #[inline]
    fn append(&mut self, head: u32, index: u32, tick: u64) -> u32 {
        let list = &mut self.nodes[head as usize];
        list.tick = list.tick.min(tick);
        let last = std::mem::replace(&mut list.prev, index);
        self.nodes[last as usize].next = index;
        last
    }

    fn unlink(&mut self, index: u32) {
        let Node { prev, next, .. } = self.nodes[index as usize];
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        if prev == next && prev < PENDING {
            // Only its head is left in that slot.
            self.occupied[prev as usize / SLOTS] &= !(1 << (prev as usize % SLOTS));
            self.nodes[prev as usize].tick = u64::MAX;
        }
    }

    /// Moves a whole list behind another one, in constant time.
    fn splice(&mut self, from: u32, to: u32) {
        let Node {
            prev: last,
            next: first,
            ..
        } = self.nodes[from as usize];
        if first == from {
            return;
        }
        let before = self.nodes[to as usize].prev;
        self.nodes[before as usize].next = first;
        self.nodes[first as usize].prev = before;
        self.nodes[last as usize].next = to;
        self.nodes[to as usize].prev = last;
        let list = &mut self.nodes[from as usize];
        (list.prev, list.next, list.tick) = (from, from, u64::MAX);
    }

    fn allocate(&mut self) -> Option<u32> {
        if let Some(place) = self.free.take() {
            return Some(HEADS + place);
        }
        if self.nodes.len() - HEADS as usize == self.capacity {
            return None;
        }
        self.nodes.push(Node {
            prev: 0,
            next: 0,
            generation: 1,
            tick: 0,
            token: 0,
        });
        Some((self.nodes.len() - 1) as u32)
    }

    fn retire(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        // From here on an id of the old generation finds nothing.
        node.generation = node.generation.wrapping_add(1).max(1);
        self.free.put(index - HEADS);
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Insert { delay_us: u64 },
        Cancel { pick: usize },
        Rearm { pick: usize, delay_us: u64 },
        Pass { us: u64, work: u32 },
    }

    const USUAL_MS: [u32; Wheel::LANES] = [32_000, 5_000, 5_040, 0];

    fn op() -> impl Strategy<Value = Op> {
        let usual = prop::sample::select(&USUAL_MS[..3]);
        let near = usual.clone();
        let delay = prop_oneof![
            0..3_000_u64,
            0..200_000_u64,
            0..40_000_000_u64,
            0..10_u64.pow(13),
            usual.prop_map(|delay_ms| u64::from(delay_ms) * 1_000),
            (near, 0..70_000_u64).prop_map(|(delay_ms, more)| u64::from(delay_ms) * 1_000 + more),
        ];
        let again = delay.clone();
        let pass = prop_oneof![
            0..3_000_u64,
            0..200_000_u64,
            0..40_000_000_u64,
            0..10_u64.pow(12)
        ];
        prop_oneof![
            4 => delay.prop_map(|delay_us| Op::Insert { delay_us }),
            2 => any::<usize>().prop_map(|pick| Op::Cancel { pick }),
            2 => (any::<usize>(), again).prop_map(|(pick, delay_us)| Op::Rearm { pick, delay_us }),
            3 => (pass, prop_oneof![Just(u32::MAX), 1..5_u32])
                .prop_map(|(us, work)| Op::Pass { us, work }),
        ]
    }

    #[test]
    fn what_is_far_away_need_not_be_put_off() {
        let mut wheel = Wheel::new(2);
        assert_eq!(wheel.pop(Time::from_millis(1_000), &mut 9), None);
        let soon = wheel.insert_at(5_000, 1).expect("room");
        let far = wheel.insert_at(5_001, 2).expect("room");
        let rows = [
            (soon, 5_000, true),
            (soon, 5_001, false),
            (far, 5_000, false),
            (far, 5_001, true),
            (far, 9_000, true),
        ];
        for (timer, tick, want) in rows {
            assert_eq!(wheel.fires_by(timer, tick), want, "{timer:?} and {tick}");
        }
        assert!(wheel.cancel(far) && !wheel.fires_by(far, 9_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Against a sorted list: what fires is what is due, never early, never twice, in order of
        /// ticks; what was cancelled never fires; `next` is never after the first deadline.
        #[test]
        fn agrees_with_a_sorted_list(ops in prop::collection::vec(op(), 1..300)) {
            let mut wheel = Wheel::with_lanes(60, USUAL_MS);
            let mut model: Vec<(u64, u64, TimerId)> = Vec::new();
            let mut gone: Vec<TimerId> = Vec::new();
            let mut now = Time(0);
            for (serial, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Insert { delay_us } => {
                        let deadline = Time(now.0 + delay_us);
                        match wheel.insert(deadline, serial as u64) {
                            Some(id) => model.push((deadline.0, serial as u64, id)),
                            None => prop_assert_eq!(model.len(), 60),
                        }
                    }
                    Op::Cancel { pick } if !model.is_empty() => {
                        let (_, _, id) = model.swap_remove(pick % model.len());
                        prop_assert!(wheel.cancel(id));
                        gone.push(id);
                    }
                    Op::Rearm { pick, delay_us } if !model.is_empty() => {
                        let at = pick % model.len();
                        let (_, _, id) = model[at];
                        let deadline = Time(now.0 + delay_us);
                        prop_assert!(wheel.rearm(id, deadline, serial as u64));
                        model[at] = (deadline.0, serial as u64, id);
                    }
                    Op::Cancel { .. } | Op::Rearm { .. } => {}
                    Op::Pass { us, work } => {
                        now = Time(now.0 + us);
                        let mut left = work;
                        let mut last_tick = 0;
                        while let Some(token) = wheel.pop(now, &mut left) {
                            let at = model.iter().position(|m| m.1 == token).expect("armed");
                            let (deadline, _, id) = model.swap_remove(at);
                            gone.push(id);
                            prop_assert!(deadline <= now.0, "early");
                            if work == u32::MAX {
                                let tick = deadline.div_ceil(TICK_US);
                                prop_assert!(tick >= last_tick, "out of order");
                                last_tick = tick;
                            }
                        }
                        if left > 0 {
                            let late = model.iter().filter(|m| m.0.div_ceil(TICK_US) * TICK_US <= now.0);
                            prop_assert_eq!(late.count(), 0, "due, but not fired");
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                let first = model.iter().map(|m| m.0.div_ceil(TICK_US) * TICK_US).min();
                match (wheel.next(), first) {
                    (Some(next), Some(first)) => prop_assert!(next.0 <= first),
                    (next, first) => prop_assert_eq!(next.is_none(), first.is_none()),
                }
            }
            for id in gone {
                prop_assert!(!wheel.rearm(id, now, 0), "a stale id finds nothing");
                prop_assert!(!wheel.cancel(id), "a stale id finds nothing");
            }
        }
    }

    #[test]
    fn a_deadline_within_a_millisecond_is_not_early() {
        let mut wheel = Wheel::new(4);
        let _ = wheel.insert(Time(1), 7);
        assert_eq!(wheel.pop(Time(999), &mut 10), None);
        assert_eq!(wheel.next(), Some(Time(1_000)));
        assert_eq!(wheel.pop(Time(1_000), &mut 10), Some(7));
        assert_eq!((wheel.next(), wheel.is_empty()), (None, true));
    }

    #[test]
    fn a_turn_moves_no_more_timers_than_its_budget() {
        let mut wheel = Wheel::new(1_000);
        for token in 0..1_000 {
            let _ = wheel.insert(Time::from_millis(100), token);
        }
        let mut fired = 0;
        let mut turns = 0;
        while !wheel.is_empty() {
            let mut work = 64;
            while wheel.pop(Time::from_millis(100), &mut work).is_some() {
                fired += 1;
            }
            turns += 1;
            assert!(wheel.is_empty() || wheel.next() <= Some(Time::from_millis(100)));
        }
        // Each timer was moved down once and taken once.
        assert_eq!((fired, turns), (1_000, 2_000_u32.div_ceil(64)));
    }

    /// What 1,000 timers cost that all are 32 s away, one more each millisecond.
    fn work_of_usual(mut wheel: Wheel) -> u32 {
        let mut work = u32::MAX;
        for tick in 0..33_000 {
            let now = Time::from_millis(tick);
            while wheel.pop(now, &mut work).is_some() {}
            if tick < 1_000 {
                let _ = wheel.insert(now.plus_millis(32_000), tick);
            }
        }
        assert!(wheel.is_empty());
        u32::MAX - work
    }

    #[test]
    fn what_is_usual_moves_nowhere_until_it_fires() {
        assert_eq!(work_of_usual(Wheel::with_lanes(1_000, USUAL_MS)), 1_000);
        let without = work_of_usual(Wheel::new(1_000));
        assert!(
            without > 2_500,
            "mostly two moves before it fires: {without}"
        );
    }

    #[test]
    fn a_deadline_farther_than_the_wheel_waits_at_its_rim() {
        let mut wheel = Wheel::new(1);
        let timer = wheel.insert(Time(u64::MAX), 1).expect("room");
        assert_eq!(wheel.pop(Time::from_millis(1 << 40), &mut 1_000), None);
        assert!(wheel.cancel(timer));
    }
}
