//! How much a shard takes: from the delay of its messages to a limit, and from the limit to a
//! decision for each new request.
//!
//! ```text
//!        delay over target, ≥ 16 messages               not at the limit, delay under target, 0.5 s
//!   Calm ─────────────────────────────────▶ Limiting ──────────────────────────────────▶ Calm
//!                                            │  ▲
//!                          each period:      ▼  │      limit = capacity · (1 + (target - delay) / settle)
//! ```
//!
//! The capacity is what was served lately while a queue stood ([`crate::capacity`]). How long the queue
//! is says how much must be taken off the limit, or may be added to it, for a while: so it stands at
//! its target, which is short, and there is always something to do.
//!
//! What is controlled is the *number of new calls a second* and not the share of them that is taken:
//! what a shard can serve changes slowly, while what it is offered may grow tenfold within one
//! period, and then the same limit is still right. The share follows from it, and from it the coin
//! under which a transaction is taken, so that all copies of a request meet the same decision.
//!
//! Where some sources stay within their share, admitted requests of the others are to wait for all
//! else ([`Decision::Later`]), and the queue is theirs.
//!
//! A request that has itself waited longer than [`Rules::late_us`] is refused whatever the limit
//! says: that ends a flood's first tenth of a second, before there is a measurement.
//!
//! Refusing costs too. If the queue stays although the limit is down to a fraction of what was once
//! served, a growing share of what is refused is dropped without an answer.
//!
//! Cost of [`Admission::observe`]: two comparisons; of [`Admission::decide`]: one entry of a table.

use base::Time;

use crate::capacity::{Capacity, Seen};
use crate::fair::{self, Shares};
use crate::{Advice, Algorithm, Class, Seq, SourceId};

/// What the operator decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The delay that a queue may stand at.
    pub target_us: u64,
    /// A new request that waited longer is refused, whatever else is so.
    pub late_us: u64,
    /// How long feedback to neighbours holds.
    pub validity_ms: u32,
    /// What neighbours are told by, if they know it.
    pub algorithm: Algorithm,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            target_us: 8_000,
            late_us: 200_000,
            validity_ms: 500,
            algorithm: Algorithm::Loss,
        }
    }
}

/// What becomes of a new request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It is served.
    Admit,
    /// It is served, and may wait for all else that is to be done: its source asks for clearly more
    /// than it may have.
    Later,
    /// It is answered 503.
    Refuse,
    /// It is not even answered.
    Drop,
}

/// From one measurement to the next, with a limit and without: a flood fills a socket's buffer in a
/// twentieth of a second.
const PERIOD_US: u64 = 50_000;
const PERIOD_CALM_US: u64 = 20_000;
/// Whoever sees no message for so long was not running, or had nothing to do. What came meanwhile has
/// waited, however little there is to do: such a period is long enough to see the end of it, also
/// with the quota of a container, which is counted by tenths of a second.
const GAP_US: u64 = 10_000;
const PERIOD_GAPPED_US: u64 = 150_000;
/// After a gap of more than this, which is no quota but a stall, the period begins anew, once: what
/// waited says how long the stall was, and only what comes after it says what can be served.
const STALL_US: u64 = 100_000;
/// A period with fewer messages goes on, up to the longest: a few late ones are no queue.
const SAMPLES_MIN: u32 = 16;
const PERIOD_US_MAX: u64 = 1_000_000;
/// After so many periods below the limit there is none.
const CALM_PERIODS: u32 = 10;
/// The limit never falls below so many calls a second: some in each period, or nothing could be learnt
/// from them. That is a hundredth of what the slowest processor serves.
const LIMIT_MIN: f64 = 100.0;
/// Nor below this share of what was served at best: from there on refusals are dropped.
const LIMIT_FLOOR: f64 = 0.125;
/// A queue off its target is made up for within this time: so long the limit is above or below what
/// can be served.
const SETTLE_US: f64 = 100_000.0;
/// The most that the limit is below the capacity for that, and above it.
const SWING_DOWN_MAX: f64 = 0.6;
const SWING_UP_MAX: f64 = 0.05;
/// A queue that is long for so many periods, and not below this share of what it was in the one
/// before, does not go away.
const STUCK_AFTER: u32 = 4;
const SHRINKS: f64 = 0.9;
/// The share of the limit that must have been used before it may grow.
const USED: f64 = 0.8;
/// After so many periods with a queue, though the limit is as low as it gets, refusals are dropped.
const DROP_AFTER: u32 = 10;
/// How much of the refusals more, or less, is dropped with each period.
const DROP_STEP: f64 = 0.1;

/// The admission of one shard. Lives there; nothing of it is shared.
///
/// Sources are numbered; the table has its size for life. One number beyond it is the last one.
#[derive(Debug)]
pub struct Admission {
    rules: Rules,
    shares: Shares,
    is_limiting: bool,
    /// Calls a second, while limiting.
    limit: f64,
    capacity: Capacity,
    /// The highest capacity that there was without a queue, slowly forgotten.
    peak: f64,
    /// Which share of what is refused is dropped.
    drop: f64,
    calm_periods: u32,
    /// How many periods in a row the queue was well above its target, and did not shrink.
    long_periods: u32,
    stuck_periods: u32,
    /// This period: since when, the least delay, how many messages, calls offered and taken.
    since: Time,
    due: Time,
    /// The last message, and whether this period began with the end of a stall.
    seen: Time,
    is_after_stall: bool,
    least_us: u64,
    /// The least of those that were to wait; `None`: there were none.
    least_later_us: Option<u64>,
    samples: u32,
    offered: f64,
    taken: f64,
    /// Calls that were begun to be served: taken ones that need not wait, and those that have waited.
    begun: f64,
    /// The last one: its delay, and the share that was taken.
    delay_us: u64,
    share: f64,
    /// When the last period ended: what feedback is numbered by.
    closed: Time,
}

impl Admission {
    /// Admits everything until a queue stands. `sources_max`: how many trunks there may be; all
    /// other sources share one more place.
    #[must_use]
    pub fn new(rules: Rules, sources_max: usize) -> Admission {
        Admission {
            rules,
            shares: Shares::new(sources_max + 1),
            is_limiting: false,
            limit: 0.0,
            capacity: Capacity::UNKNOWN,
            peak: 0.0,
            drop: 0.0,
            calm_periods: 0,
            long_periods: 0,
            stuck_periods: 0,
            since: Time::ZERO,
            due: Time::ZERO,
            seen: Time::ZERO,
            is_after_stall: false,
            least_us: u64::MAX,
            least_later_us: None,
            samples: 0,
            offered: 0.0,
            taken: 0.0,
            begun: 0.0,
            delay_us: 0,
            share: 1.0,
            closed: Time::ZERO,
        }
    }

    /// How much a source counts against others: one that counts twice has twice the share.
    pub fn set_weight(&mut self, source: SourceId, weight: u32) {
        self.shares.set_weight(source, weight);
    }

    /// Each message, before anything else: how long it has waited.
    #[inline]
    pub fn observe(&mut self, now: Time, delay_us: u64) {
        self.note_message(now);
        if self.is_after_stall && now.0.saturating_sub(delay_us) < self.since.0 {
            // It waited because nothing was served; what can be served is not known by it.
            self.samples -= 1;
            return;
        }
        self.least_us = self.least_us.min(delay_us);
    }

    #[inline]
    fn note_message(&mut self, now: Time) {
        let gap_us = now.micros_since(self.seen);
        if gap_us > GAP_US {
            self.wake(now, gap_us);
        }
        self.seen = now;
        if now >= self.due {
            self.close(now);
        }
        self.samples += 1;
    }

    /// The same for a request that was to wait ([`Decision::Later`]) and is taken up now. Where some
    /// wait, it is they who say how long the queue is: all else goes before them.
    pub fn observe_later(&mut self, now: Time, class: Class, delay_us: u64) {
        self.note_message(now);
        self.begun += f64::from(class.cost());
        let least = self.least_later_us.unwrap_or(u64::MAX);
        self.least_later_us = Some(least.min(delay_us));
    }

    /// The first message after a gap.
    #[cold]
    fn wake(&mut self, now: Time, gap_us: u64) {
        if gap_us > STALL_US && !self.is_after_stall {
            self.begin_period(now, PERIOD_US);
            self.is_after_stall = true;
        }
        self.due = self.due.max(Time(self.since.0 + PERIOD_GAPPED_US));
    }

    /// Nothing of this period is known yet.
    fn begin_period(&mut self, now: Time, length_us: u64) {
        self.since = now;
        self.due = Time(now.0 + length_us);
        self.is_after_stall = false;
        self.least_us = u64::MAX;
        self.least_later_us = None;
        self.samples = 0;
        self.offered = 0.0;
        self.taken = 0.0;
        self.begun = 0.0;
    }

    /// Whether anything may be refused now, but for what is late.
    #[must_use]
    pub fn is_limiting(&self) -> bool {
        self.is_limiting
    }

    /// Whether all that belongs to this source may wait for what does not: it asks for clearly more
    /// than it may have, and others do not.
    #[inline]
    #[must_use]
    pub fn can_wait(&self, source: SourceId) -> bool {
        self.is_limiting && self.shares.can_wait(source)
    }

    /// Whether a message that waited so long is late.
    #[must_use]
    pub fn is_late(&self, delay_us: u64) -> bool {
        delay_us > self.rules.late_us
    }

    /// A new request of a source. `coin` is any number, the same for each copy of the request and
    /// else independent; its high half decides about answers, its low half about admission.
    pub fn decide(&mut self, source: SourceId, class: Class, delay_us: u64, coin: u64) -> Decision {
        self.shares.offer(source, class);
        let cost = f64::from(class.cost());
        self.offered += cost;
        let is_late = self.is_late(delay_us) && class != Class::Priority;
        let fits = !self.is_limiting || self.shares.take(self.seen, source, class, coin as u32);
        if fits && !is_late {
            self.taken += cost;
            if class != Class::Priority && self.can_wait(source) {
                return Decision::Later;
            }
            self.begun += cost;
            return Decision::Admit;
        }
        let is_dropped = f64::from((coin >> 32) as u32) < self.drop * f64::from(u32::MAX);
        if is_dropped {
            Decision::Drop
        } else {
            Decision::Refuse
        }
    }

    /// The kernel drops what [`Admission::tell_bounds`] says: what is too much even to be refused.
    pub fn use_kernel(&mut self) {
        self.shares.use_valves();
    }

    /// Whether there is anything to tell the kernel.
    #[inline]
    #[must_use]
    pub fn has_bounds(&self) -> bool {
        self.shares.has_news()
    }

    /// Tells each source whose bound is a new one, by its place in the table, and the share of its new
    /// requests, of 2^32, that the kernel is to let through. `None`: all.
    pub fn tell_bounds(&mut self, tell: impl FnMut(usize, Option<u32>)) {
        self.shares.tell(tell);
    }

    /// Time passes, also where no message comes: without this, what the kernel drops would never be
    /// let through again.
    pub fn tick(&mut self, now: Time) {
        if self.is_limiting && now.micros_since(self.seen) > PERIOD_GAPPED_US {
            self.least_us = 0;
            self.seen = now;
            self.close(now);
        }
    }

    /// Notes that a neighbour of this source obeys RFC 7339.
    pub fn advise(&mut self, source: SourceId) {
        self.shares.advise(source);
    }

    /// What a neighbour of this source is told. `shards`: how many shards it is served by, each of
    /// which divides its own limit. `epoch_us`: the time of day at [`Time::ZERO`].
    #[must_use]
    pub fn advice(
        &self,
        source: SourceId,
        algorithm: Algorithm,
        shards: u16,
        epoch_us: u64,
    ) -> Advice {
        let (cut, level) = self.shares.advice(source);
        let is_cut = self.is_limiting && cut > 0;
        let rate = level * fair::REQUESTS_PER_CALL * f32::from(shards);
        let value = match algorithm {
            Algorithm::Loss => cut,
            Algorithm::Rate => rate.ceil() as u32,
        };
        Advice {
            algorithm: if is_cut { algorithm } else { Algorithm::Loss },
            oc: is_cut.then_some(value),
            validity_ms: self.rules.validity_ms,
            seq: Seq::at_micros(epoch_us + self.closed.0),
        }
    }

    /// The algorithm that neighbours are told by, if they have it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.rules.algorithm
    }

    /// The share of what was offered that was taken in the last period: 1 if nothing was refused.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
    }

    /// The least delay of the last period, in microseconds.
    #[must_use]
    pub fn delay_us(&self) -> u64 {
        self.delay_us
    }

    /// Calls a second that are taken at most. `None`: there is no limit.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        self.is_limiting.then_some(self.limit)
    }

    #[cold]
    fn close(&mut self, now: Time) {
        let period_us = now.micros_since(self.since);
        let straight_us = self.least_us;
        let mut delay_us = self.least_later_us.unwrap_or(straight_us);
        if self.samples < SAMPLES_MIN {
            if delay_us > self.rules.target_us && period_us < PERIOD_US_MAX {
                return;
            }
            // So few messages are no queue, whatever made them late.
            delay_us = delay_us.min(self.rules.target_us / 2);
        }
        let seconds = period_us as f64 / 1e6;
        self.share = match self.offered > 0.0 {
            true => self.taken / self.offered,
            false => 1.0,
        };
        let is_cut = self.shares.roll(seconds as f32);
        let seen = Seen {
            seconds,
            taken: self.begun,
            refused: (self.offered - self.taken).max(0.0),
        };
        self.capacity.note(&seen);
        if self.is_limiting {
            self.adjust(&Period {
                seen,
                taking: self.taken / seconds,
                delay_us: delay_us as f64,
                is_cut,
            });
        } else if delay_us > self.rules.target_us {
            self.is_limiting = true;
            self.shares.begin(now);
            self.calm_periods = 0;
            self.capacity.begin(&seen);
            self.limit = self.capacity.calls().max(LIMIT_MIN);
            (self.long_periods, self.stuck_periods) = (0, 0);
        }
        if self.is_limiting {
            // A queue of those that need not wait is everybody's, unless it soon goes away.
            let is_everybodys =
                straight_us > self.rules.target_us && self.stuck_periods >= STUCK_AFTER;
            let whole = match is_everybodys {
                true => self.limit,
                false => self.capacity.calls(),
            };
            self.shares.divide(self.limit as f32, whole as f32, now);
        }
        self.delay_us = delay_us;
        self.closed = now;
        let length_us = if self.is_limiting {
            PERIOD_US
        } else {
            PERIOD_CALM_US
        };
        self.begin_period(now, length_us);
    }

    /// The capacity by what was served, and the limit by how long the queue is.
    fn adjust(&mut self, period: &Period) {
        let (seen, target) = (&period.seen, self.rules.target_us as f64);
        let stands = |delay_us: f64| delay_us > target / 2.0;
        let is_bound = period.taking + seen.refusing() > 0.9 * self.limit;
        let is_clear = !stands(period.delay_us);
        let is_long = period.delay_us > 2.0 * target;
        let is_stuck = is_long && period.delay_us > SHRINKS * self.delay_us as f64;
        let count = |periods: u32, is: bool| if is { periods + 1 } else { 0 };
        self.long_periods = count(self.long_periods, is_long);
        self.stuck_periods = count(self.stuck_periods, is_stuck);
        if stands(self.delay_us as f64) && !is_clear {
            self.capacity.stood(seen.seconds);
            if self.stuck_periods >= STUCK_AFTER {
                self.capacity.is_too_high();
            }
        } else if is_clear && self.drop > 0.0 {
            self.drop = (self.drop - DROP_STEP).max(0.0);
        } else if is_clear && period.taking > USED * self.limit {
            self.capacity.was_enough(seen.seconds);
            self.peak = (self.peak * 0.999).max(self.capacity.calls());
        }
        let floor = (self.peak * LIMIT_FLOOR).max(LIMIT_MIN);
        let capacity = self.capacity.calls();
        if capacity <= floor && self.long_periods >= DROP_AFTER {
            self.drop = (self.drop + DROP_STEP).min(1.0);
        }
        let swing = (target - period.delay_us) / SETTLE_US;
        self.limit = (capacity * (1.0 + swing.clamp(-SWING_DOWN_MAX, SWING_UP_MAX))).max(floor);
        let is_calm =
            !is_bound && !period.is_cut && !self.shares.is_closed() && period.delay_us <= target;
        self.calm_periods = count(self.calm_periods, is_calm);
        if self.calm_periods >= CALM_PERIODS {
            self.is_limiting = false;
            self.drop = 0.0;
            self.shares.release();
        }
    }
}

/// What was seen between two measurements.
struct Period {
    seen: Seen,
    /// Calls a second that were taken, to be served now or later.
    taking: f64,
    delay_us: f64,
    is_cut: bool,
}
