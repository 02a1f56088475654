//! One limit divided over the sources: max-min fairness with weights, and classes within a source.
//!
//! ```text
//!   demand   a ▇▇   b ▇▇▇▇▇▇▇▇▇▇▇▇   c ▇▇▇▇▇▇▇▇           limit = 12
//!   level    ----4----------5-----------5-----            a keeps its 2, b and c get 5 each
//! ```
//!
//! Who asks for less than an equal share gets all of it, and what it leaves is divided among the
//! others. So a source that asks for twenty times its share takes nothing from one that does not.
//!
//! Who asks for clearly more than its share is greedy, and the others go before it; what the limit is
//! below the capacity for a while, to work off a queue, is taken off the greedy alone.
//!
//! Cost: a message touches one entry. A period visits only the sources that spoke, at
//! most [`ROUNDS_MAX`] times each.

use base::Time;

use crate::valve::{Rhythm, TOO_MUCH, Valve};

/// A source: the number of its trunk, or the last one, which all others share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceId(pub u32);

/// What kind of new request this is. What belongs to a call or to a transaction has no class: it is
/// always served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// An emergency call, or one with a Resource-Priority: the last to be refused.
    Priority,
    /// Any other INVITE.
    Call,
    /// OPTIONS, REGISTER, SUBSCRIBE, MESSAGE and all else: the first to be refused.
    Other,
}

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = 3;

    /// What a request of this class costs to serve, in calls.
    pub(crate) const fn cost(self) -> f32 {
        match self {
            Class::Priority | Class::Call => 1.0,
            Class::Other => 0.25,
        }
    }
}

/// The most rounds of the division. Each settles at least one source; what is left after the last
/// is divided evenly, so that nobody gets more than with more rounds.
const ROUNDS_MAX: usize = 16;

/// How fast a source may use its share, in shares: the coin sees to the mean, and the limit's own feedback
/// to the sum.
const REFILL: f32 = 1.1;

/// Who asks for clearly more than it may have, this many times, can wait, if the others ask for at least
/// that share of the whole: where nobody else is there one queue serves more, since messages come in
/// batches. Not who asks for a little more: what a share is falls and rises with what can be served.
const GREEDY: f32 = 1.5;
const MODEST_MIN: f32 = 0.005;
/// What is left for them of the whole, however much the others ask for.
const GREEDY_MIN: f32 = 0.02;
/// Over how long what a source usually asks for is taken.
const USUAL_SECONDS: f32 = 1.0;

/// Below so many requests a second a source is forgotten.
const DEMAND_MIN: f32 = 0.2;

/// The most that a neighbour is asked to cut, in per cent: it must send something, or it never
/// hears that it may send again.
const CUT_MAX: f32 = 95.0;

/// A neighbour counts all its requests, and a call has an INVITE, an ACK and a BYE.
pub(crate) const REQUESTS_PER_CALL: f32 = 3.0;

#[derive(Clone, Copy, Debug)]
struct Source {
    weight: f32,
    /// Of this period, by class.
    offered: [u32; Class::COUNT],
    /// A second, by class: fast up, slow down.
    demand: [f32; Class::COUNT],
    /// Which share of a class is taken: a coin below it.
    pass: [u32; Class::COUNT],
    /// Calls that may be taken now, of priority and of all else; they come in at these rates, as of
    /// this time. Not a sum for each period: that one may last longer than it was meant to.
    left: [f32; 2],
    inflow: [f32; 2],
    filled: Time,
    level: f32,
    /// What came lately, in calls a second.
    seen: f32,
    /// The same, without its swings.
    usual: f32,
    cut: f32,
    valve: Valve,
    /// Whether a neighbour of this source obeys RFC 7339.
    is_advised: bool,
    is_listed: bool,
    /// Whether it asks for clearly more than it may have.
    is_greedy: bool,
}

/// The sources of one shard.
#[derive(Debug)]
pub(crate) struct Shares {
    sources: Vec<Source>,
    /// Those that spoke lately.
    listed: Vec<u32>,
    /// The level of a source of weight 1 that has not spoken before.
    fresh: f32,
    /// The last division, and whether anybody then spoke who was not greedy.
    divided: Time,
    has_modest: bool,
    /// Whether the kernel can drop, and when to look whether it should.
    has_valves: bool,
    rhythm: Rhythm,
    has_news: bool,
}

impl Shares {
    /// Room for so many sources, the last of which is shared by all that have no number.
    pub(crate) fn new(sources_max: usize) -> Shares {
        let idle = Source {
            weight: 1.0,
            offered: [0; Class::COUNT],
            demand: [0.0; Class::COUNT],
            pass: [u32::MAX; Class::COUNT],
            left: [0.0; 2],
            inflow: [0.0; 2],
            filled: Time::ZERO,
            level: 0.0,
            seen: 0.0,
            usual: 0.0,
            cut: 0.0,
            valve: Valve::OPEN,
            is_advised: false,
            is_listed: false,
            is_greedy: false,
        };
        Shares {
            sources: vec![idle; sources_max.max(1)],
            listed: Vec::with_capacity(sources_max.max(1)),
            fresh: 0.0,
            divided: Time::ZERO,
            has_modest: false,
            has_valves: false,
            rhythm: Rhythm::BEGIN,
            has_news: false,
        }
    }

    fn place(&self, source: SourceId) -> usize {
        (source.0 as usize).min(self.sources.len() - 1)
    }

    pub(crate) fn set_weight(&mut self, source: SourceId, weight: u32) {
        let at = self.place(source);
        self.sources[at].weight = weight.max(1) as f32;
    }

    /// The kernel drops what it is told to.
    pub(crate) fn use_valves(&mut self) {
        self.has_valves = true;
    }

    /// Whether any source's valve is not open.
    pub(crate) fn is_closed(&self) -> bool {
        let mut all = self.listed.iter().map(|&at| &self.sources[at as usize]);
        self.has_valves && all.any(|source| !source.valve.is_open())
    }

    /// Whether a valve was turned since [`Shares::tell`].
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }

    /// Tells the place and the bound of each valve that was turned.
    pub(crate) fn tell(&mut self, mut tell: impl FnMut(usize, Option<u32>)) {
        self.has_news = false;
        for &at in &self.listed {
            let valve = &mut self.sources[at as usize].valve;
            if std::mem::take(&mut valve.is_news) {
                tell(at as usize, valve.bound());
            }
        }
    }

    /// Notes that a neighbour of this source obeys feedback.
    pub(crate) fn advise(&mut self, source: SourceId) {
        let at = self.place(source);
        self.sources[at].is_advised = true;
    }

    /// The share that the source's neighbours are asked to cut, in per cent, and its level.
    pub(crate) fn advice(&self, source: SourceId) -> (u32, f32) {
        let source = &self.sources[self.place(source)];
        (source.cut.ceil() as u32, source.level)
    }

    /// A new request: counts the demand.
    #[inline]
    pub(crate) fn offer(&mut self, source: SourceId, class: Class) {
        let at = self.place(source);
        let entry = &mut self.sources[at];
        entry.offered[class as usize] += 1;
        if !entry.is_listed {
            entry.is_listed = true;
            entry.pass = [u32::MAX; Class::COUNT];
            entry.level = self.fresh * entry.weight;
            entry.inflow = [entry.level; 2];
            entry.left = entry.inflow.map(room);
            entry.filled = self.divided;
            self.listed.push(at as u32);
        }
    }

    /// Whether a source asks for clearly more than it may have, while others do not: they go before it.
    #[inline]
    pub(crate) fn can_wait(&self, source: SourceId) -> bool {
        self.has_modest && self.sources[self.place(source)].is_greedy
    }

    /// Whether a request is within its source's share. `coin` is drawn for each transaction, the
    /// same for all copies of a request.
    pub(crate) fn take(&mut self, now: Time, source: SourceId, class: Class, coin: u32) -> bool {
        let at = self.place(source);
        let entry = &mut self.sources[at];
        entry.fill(now);
        let left = &mut entry.left[usize::from(class != Class::Priority)];
        if *left <= 0.0 || coin > entry.pass[class as usize] {
            return false;
        }
        *left -= class.cost();
        true
    }

    /// A period of `seconds` is over: what was offered becomes demand. Returns whether any
    /// neighbour is still asked to cut.
    pub(crate) fn roll(&mut self, seconds: f32) -> bool {
        let mut is_cut = false;
        let (has_news, trust) = (self.has_news, Valve::trust(seconds));
        let usual = 1.0 - (-seconds / USUAL_SECONDS).exp();
        let sources = &mut self.sources;
        self.listed.retain(|&at| {
            let source = &mut sources[at as usize];
            let mut total = 0.0;
            let offered = source.offered_cost();
            source.valve.note(offered, source.level, trust);
            // What the kernel dropped was offered too.
            let came = offered / seconds / source.valve.share;
            source.seen = 0.5 * source.seen + 0.5 * came;
            source.usual = match source.usual > 0.0 {
                true => source.usual + (came - source.usual) * usual,
                // Who has only begun is taken at its word.
                false => came,
            };
            for (offered, demand) in source.offered.iter_mut().zip(&mut source.demand) {
                let now = *offered as f32 / seconds;
                *demand = if now > *demand {
                    now
                } else {
                    0.75 * *demand + 0.25 * now
                };
                *offered = 0;
                total += *demand;
            }
            is_cut |= source.cut > 0.0;
            let is_valve_at_rest = source.valve.is_open() && !has_news;
            source.is_listed = total > DEMAND_MIN || source.cut > 0.0 || !is_valve_at_rest;
            if !source.is_listed {
                source.demand = [0.0; Class::COUNT];
                source.usual = 0.0;
            }
            source.is_listed
        });
        is_cut
    }

    /// Takes the bounds off.
    pub(crate) fn release(&mut self) {
        for &at in &self.listed {
            let source = &mut self.sources[at as usize];
            source.cut = 0.0;
            source.level = 0.0;
            source.valve.open();
            self.has_news |= source.valve.is_news;
        }
    }

    /// A limit comes: arrivals count from now on.
    pub(crate) fn begin(&mut self, now: Time) {
        self.rhythm.restart(now);
        for &at in &self.listed {
            self.sources[at as usize].valve.open();
        }
    }

    /// Divides `limit`, in calls a second, until the next division. Of the `whole`, in the long run, each
    /// may have its share: what the limit is below it, those do without who ask for clearly more than theirs.
    pub(crate) fn divide(&mut self, limit: f32, whole: f32, now: Time) {
        let whole = whole.max(limit);
        let level = self.level(whole, |_| true);
        let (mut modest, mut greedy) = (0.0, 0);
        for &at in &self.listed {
            let source = &mut self.sources[at as usize];
            let share = level * source.weight;
            source.is_greedy = source.usual > GREEDY * share;
            source.valve.is_lasting = source.usual > TOO_MUCH * share;
            match source.is_greedy {
                true => greedy += 1,
                false => modest += source.usual.min(share),
            }
        }
        self.has_modest = modest > MODEST_MIN * whole;
        let (level, rest) = if self.has_modest && greedy > 0 {
            let left = (limit - modest).max(GREEDY_MIN * whole);
            (level, self.level(left, |source| source.is_greedy))
        } else {
            let level = self.level(limit, |_| true);
            (level, level)
        };
        for &at in &self.listed {
            let source = &mut self.sources[at as usize];
            source.bound(if source.is_greedy { rest } else { level }, now);
        }
        // Who has not spoken yet may begin with an equal share.
        self.fresh = level;
        self.divided = now;
        if self.has_valves {
            self.turn_valves(now);
        }
    }

    fn turn_valves(&mut self, now: Time) {
        let sources = &mut self.sources;
        let valves = sources.iter_mut().filter(|source| source.is_listed);
        self.has_news |= self
            .rhythm
            .turn(now, valves.map(|source| &mut source.valve));
    }

    /// The level for weight 1: the largest at which all that are over it and the whole demand of all
    /// that are not add up to the limit; of those that count.
    fn level(&self, limit: f32, counts: impl Fn(&Source) -> bool) -> f32 {
        let all = || {
            let listed = self.listed.iter().map(|&at| &self.sources[at as usize]);
            listed.filter(|source| counts(source))
        };
        let weights: f32 = all().map(|source| source.weight).sum();
        let mut level = limit / weights.max(1.0);
        for _ in 0..ROUNDS_MAX {
            let (mut left, mut over) = (limit, 0.0);
            for source in all() {
                let demand = source.cost();
                if demand <= level * source.weight {
                    left -= demand;
                } else {
                    over += source.weight;
                }
            }
            if over <= 0.0 {
                // Everybody gets what it asks for; a newcomer may have what is left.
                return level.max(left);
            }
            let next = left / over;
            if next <= level * 1.001 {
                return next.max(level);
            }
            level = next;
        }
        level
    }
}

impl Source {
    /// What it asks for, in calls a second.
    fn cost(&self) -> f32 {
        let passed = self.demand[0] * Class::Priority.cost()
            + self.demand[1] * Class::Call.cost()
            + self.demand[2] * Class::Other.cost();
        passed / self.valve.share
    }

    /// Sets what may pass from now on: priority first, then calls, then the rest.
    fn bound(&mut self, level: f32, now: Time) {
        self.fill(now);
        self.level = level * self.weight;
        let mut left = self.level;
        for class in [Class::Priority, Class::Call, Class::Other] {
            let wanted = self.demand[class as usize] * class.cost();
            let share = if left <= 0.0 {
                // Whoever comes first in this class would come before those above it.
                0.0
            } else {
                (left / wanted.max(f32::MIN_POSITIVE)).min(1.0)
            };
            // Priority has its room and no coin: one call in a period is not to lose a toss.
            let share = if class == Class::Priority { 1.0 } else { share };
            self.pass[class as usize] = coin_below(share);
            left = (left - wanted).max(0.0);
        }
        let first = (self.demand[0] * Class::Priority.cost()).min(self.level);
        self.inflow = [self.level, self.level - first];
        self.advance_cut();
    }

    /// Lets in what came since the last time, up to the room that there is.
    #[inline]
    fn fill(&mut self, now: Time) {
        let seconds = now.micros_since(self.filled) as f32 / 1e6;
        self.filled = now;
        for (left, inflow) in self.left.iter_mut().zip(self.inflow) {
            *left = (*left + inflow * REFILL * seconds).min(room(inflow));
        }
    }

    /// Calls of this period so far.
    fn offered_cost(&self) -> f32 {
        self.offered[0] as f32 * Class::Priority.cost()
            + self.offered[1] as f32 * Class::Call.cost()
            + self.offered[2] as f32 * Class::Other.cost()
    }

    /// What a neighbour is asked to cut. It drops `cut` of all its requests, and only new ones: with
    /// `a` calls wanted, `d` sent on and `n` requests more in each call, `d = a - cut (a + n d)`. From
    /// what came under the last cut follows what was wanted, and from that the cut which leaves the
    /// level.
    fn advance_cut(&mut self) {
        if !self.is_advised || self.level <= 0.0 {
            return;
        }
        let (more, cut) = (REQUESTS_PER_CALL - 1.0, self.cut / 100.0);
        let wanted = self.seen * (1.0 + more * cut) / (1.0 - cut);
        let next = (wanted - self.level) / (wanted + more * self.level);
        let next = 0.5 * self.cut + 0.5 * (100.0 * next).clamp(0.0, CUT_MAX);
        self.cut = if next < 1.0 { 0.0 } else { next };
    }
}

/// How many calls may come at once, at a rate: those of a tenth of a second.
fn room(rate: f32) -> f32 {
    rate * 0.1 + 1.0
}

/// The largest coin that passes if `share` of all are to pass.
fn coin_below(share: f32) -> u32 {
    if share >= 1.0 {
        return u32::MAX;
    }
    (f64::from(share.max(0.0)) * f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(demands: &[u32], limit: f32) -> Vec<f32> {
        let mut shares = Shares::new(demands.len());
        for (at, &demand) in demands.iter().enumerate() {
            for _ in 0..demand {
                shares.offer(SourceId(at as u32), Class::Call);
            }
        }
        shares.roll(1.0);
        shares.divide(limit, limit, Time::ZERO);
        let taken = |source: &Source| source.demand[1].min(source.level);
        shares.sources.iter().map(taken).collect()
    }

    #[test]
    fn who_asks_for_less_keeps_it() {
        assert_eq!(shares(&[2, 12, 8], 12.0), [2.0, 5.0, 5.0]);
        assert_eq!(shares(&[2, 3, 4], 12.0), [2.0, 3.0, 4.0]);
        assert_eq!(shares(&[100, 100], 50.0), [25.0, 25.0]);
        assert_eq!(shares(&[5, 2_000], 100.0), [5.0, 95.0]);
    }

    #[test]
    fn weights_divide_what_is_contended() {
        let mut shares = Shares::new(3);
        shares.set_weight(SourceId(1), 3);
        for _ in 0..100 {
            shares.offer(SourceId(0), Class::Call);
            shares.offer(SourceId(1), Class::Call);
        }
        shares.roll(1.0);
        shares.divide(80.0, 80.0, Time::ZERO);
        assert_eq!(shares.sources[0].level, 20.0);
        assert_eq!(shares.sources[1].level, 60.0);
    }

    #[test]
    fn classes_pass_in_their_order() {
        let mut shares = Shares::new(1);
        let only = SourceId(0);
        for class in [Class::Priority, Class::Call, Class::Other] {
            for _ in 0..100 {
                shares.offer(only, class);
            }
        }
        shares.roll(1.0);
        shares.divide(150.0, 150.0, Time::ZERO);
        let half = u32::MAX / 2;
        assert_eq!(shares.sources[0].pass[0], u32::MAX);
        assert!(shares.sources[0].pass[1].abs_diff(half) < 100);
        assert_eq!(shares.sources[0].pass[2], 0);
        // Calls that eat up their room leave that of priority alone.
        while shares.take(Time::ZERO, only, Class::Call, 0) {}
        assert!(shares.take(Time::ZERO, only, Class::Priority, u32::MAX));
    }

    #[test]
    fn a_source_that_falls_silent_is_forgotten() {
        let mut shares = Shares::new(4);
        shares.offer(SourceId(2), Class::Call);
        for _ in 0..40 {
            shares.roll(1.0);
        }
        assert!(shares.listed.is_empty());
        assert_eq!(shares.sources[2].demand, [0.0; 3]);
    }

    /// Two sources at 100 calls/s, of which one sends four times as much for a quarter of a second or, if
    /// `lasts`, from then on. Whether its valve was ever closed.
    fn is_closed_by_more(lasts: bool) -> bool {
        let mut shares = Shares::new(2);
        shares.use_valves();
        shares.begin(Time::ZERO);
        let mut was_closed = false;
        for period in 0..100 {
            let is_more = period >= 60 && (lasts || period < 65);
            for (source, count) in [(0, 5), (1, if is_more { 20 } else { 5 })] {
                for _ in 0..count {
                    shares.offer(SourceId(source), Class::Call);
                }
            }
            shares.roll(0.05);
            let now = Time::from_millis(50 * (period + 1));
            shares.divide(240.0, 240.0, now);
            was_closed |= shares.is_closed();
            assert!(shares.sources[0].valve.is_open());
        }
        was_closed
    }

    #[test]
    fn a_valve_is_closed_for_who_asks_for_too_much_and_not_for_what_a_stall_held_up() {
        assert!(is_closed_by_more(true));
        assert!(!is_closed_by_more(false));
    }

    proptest! {
        /// Against the dullest division: hand out a thousandth of the limit at a time, always to the
        /// one that has least and wants more.
        #[test]
        fn the_level_is_max_min_fair(
            demands in proptest::collection::vec(0_u32..400, 1..12),
            limit in 1_u32..1_500,
        ) {
            let got = shares(&demands, limit as f32);
            let mut want = vec![0.0_f64; demands.len()];
            let step = f64::from(limit) / 4_000.0;
            for _ in 0..4_000 {
                let poorest = (0..demands.len())
                    .filter(|&at| want[at] + step <= f64::from(demands[at]))
                    .min_by(|&a, &b| want[a].total_cmp(&want[b]));
                let Some(poorest) = poorest else { break };
                want[poorest] += step;
            }
            for (at, (&got, &want)) in got.iter().zip(&want).enumerate() {
                let slack = step * (demands.len() as f64 + 2.0) + want * 0.01;
                prop_assert!(
                    (f64::from(got) - want).abs() <= slack,
                    "source {at} of {demands:?} under {limit}: {got} and not {want}"
                );
            }
        }
    }
}
