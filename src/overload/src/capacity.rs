//! How many calls a second a shard can serve: what it served lately while it had a queue.
//!
//! ```text
//!   queue stands:   capacity = served / time, over some seconds of such time
//!   none does:      it is more than that, so step by step more is tried
//! ```
//!
//! A call costs a part when it is taken and the rest when it is answered and hung up. Who follows the
//! queue alone takes more as long as there is none, which is too much when those calls end; and then
//! less, until there is nothing to do. What is taken swings between half and twice of what lasts, and
//! what is lost on the way down is never made up for. So a call is counted as served some time after
//! it was taken, and what is served in a second is not followed but remembered.
//!
//! What is served without a queue tells little of what could be: with a queue messages come and go in
//! batches, and each costs a fraction.

/// Over how much time with a queue it is taken what is served.
const WINDOW_SECONDS: f64 = 3.0;
/// What is known of earlier queues, or only supposed, counts as this much time.
const REMEMBERED_SECONDS: f64 = 0.1;
/// How long a call is on its way to have cost what it costs.
const PAID_SECONDS: f64 = 0.5;
/// Over how long it is taken what is taken usually, and refused.
const USUAL_SECONDS: f64 = 1.0;
const REFUSED_SECONDS: f64 = 0.1;
/// The first capacity, of what was taken while the first queue began to stand: most of its cost is
/// still to come.
const ONSET: f64 = 0.5;
/// What refusing a request costs, in calls: its 503 and the ACK. For less than that it is reckoned:
/// where the buffer is full of calls fewer requests are refused, and who would take all of that for
/// room would take still more calls.
const REFUSAL_COST: f64 = 1.0 / 7.0;
const REFUSAL_RECKONED: f64 = 0.5 * REFUSAL_COST;
/// How much more is tried at a time if what is known is of a whole window, and if it is of less, more;
/// the longer there is no queue the less counts what was known. What is tried in excess is seen half a
/// second later, so near what was served it is a few per cent a second.
const GROWTH: f64 = 0.002;
const GROWTH_MAX: f64 = 0.04;
const GROWTH_SECONDS: f64 = 0.05;
const FORGOTTEN_SECONDS: f64 = 10.0;
/// How much less is served than believed for each period in which a queue does not go away.
const DOUBT: f64 = 0.05;

/// What was seen within a period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) seconds: f64,
    /// In calls.
    pub(crate) taken: f64,
    pub(crate) refused: f64,
}

impl Seen {
    /// Calls a second that were taken.
    pub(crate) fn taking(&self) -> f64 {
        self.taken / self.seconds
    }

    /// Calls a second that were refused.
    pub(crate) fn refusing(&self) -> f64 {
        self.refused / self.seconds
    }
}

/// What one shard can serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Served while a queue stood, in calls, and in which time; both forgotten with that time.
    served: f64,
    seconds: f64,
    /// Calls that were taken and have not cost all that they will.
    begun: f64,
    /// The last period: what was served, refusals included.
    paid: f64,
    /// Taken and refused a second.
    usual: f64,
    refusing: f64,
}

impl Capacity {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Capacity = Capacity {
        served: 0.0,
        seconds: 0.0,
        begun: 0.0,
        paid: 0.0,
        usual: 0.0,
        refusing: 0.0,
    };

    /// A period is over.
    pub(crate) fn note(&mut self, period: &Seen) {
        let part = |of: f64| 1.0 - (-period.seconds / of).exp();
        self.begun += period.taken;
        let paid = self.begun * part(PAID_SECONDS);
        self.begun -= paid;
        self.paid = paid + period.refused * REFUSAL_RECKONED;
        self.usual += (period.taking() - self.usual) * part(USUAL_SECONDS);
        self.refusing += (period.refusing() - self.refusing) * part(REFUSED_SECONDS);
    }

    /// A queue began to stand within this period.
    pub(crate) fn begin(&mut self, period: &Seen) {
        let onset = ONSET * period.taking() + REFUSAL_COST * period.refusing();
        let known = self.usual.max(self.whole()).max(onset);
        self.served = known * REMEMBERED_SECONDS;
        self.seconds = REMEMBERED_SECONDS;
    }

    /// A queue stood throughout the period that was noted last.
    pub(crate) fn stood(&mut self, seconds: f64) {
        let keep = (-seconds / WINDOW_SECONDS).exp();
        self.served = self.served * keep + self.paid;
        self.seconds = self.seconds * keep + seconds;
    }

    /// A queue does not go away: less is served than it seems.
    pub(crate) fn is_too_high(&mut self) {
        self.served -= DOUBT * self.calls() * self.seconds;
    }

    /// No queue stood within a period, though all was taken that might be.
    pub(crate) fn was_enough(&mut self, seconds: f64) {
        // It is no less than what was served. Else who supposed less than the refusals cost, because
        // nothing was known when they began, would never find out.
        self.served = self.served.max(self.paid / seconds * self.seconds);
        let growth = (GROWTH * WINDOW_SECONDS / self.seconds).min(GROWTH_MAX);
        // Of a long period, such as one with a gap in it, as much as of the short ones in its place.
        let steps = (seconds / GROWTH_SECONDS).max(1.0);
        let more = (1.0 + growth).powf(steps) - 1.0;
        self.served += more * self.calls() * self.seconds;
        let left = (self.seconds * (-seconds / FORGOTTEN_SECONDS).exp()).max(REMEMBERED_SECONDS);
        self.served *= left / self.seconds;
        self.seconds = left;
    }

    /// Calls a second that can be served, refusals aside.
    pub(crate) fn calls(&self) -> f64 {
        self.whole() - self.refusing * REFUSAL_RECKONED
    }

    fn whole(&self) -> f64 {
        self.served / self.seconds.max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: f64 = 0.05;

    fn seen(taken: f64, refused: f64) -> Seen {
        Seen {
            seconds: PERIOD,
            taken: taken * PERIOD,
            refused: refused * PERIOD,
        }
    }

    /// What is known after so many seconds in which so many were taken, and a queue stood.
    fn known(taken: f64, refused: f64, seconds: f64) -> Capacity {
        let mut capacity = Capacity::UNKNOWN;
        capacity.begin(&seen(taken, refused));
        for _ in 0..(seconds / PERIOD) as usize {
            capacity.note(&seen(taken, refused));
            capacity.stood(PERIOD);
        }
        capacity
    }

    fn assert_near(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 0.01, "{a} and not {b}");
    }

    #[test]
    fn it_is_what_was_served_while_a_queue_stood() {
        assert_near(known(1_000.0, 0.0, 20.0).calls(), 1_000.0);
        // What is refused is not there for calls, and what is not refused any more is.
        let mut capacity = known(1_000.0, 1_400.0, 20.0);
        assert_near(capacity.calls(), 1_000.0);
        for _ in 0..20 {
            capacity.note(&seen(1_000.0, 0.0));
        }
        assert_near(capacity.calls(), 1_000.0 + 1_400.0 * REFUSAL_RECKONED);
    }

    /// More than lasts was taken for half a second, and then little: neither is believed.
    #[test]
    fn a_moment_is_not_believed() {
        let mut capacity = known(1_000.0, 0.0, 20.0);
        let (mut least, mut most) = (f64::MAX, 0.0_f64);
        for at in 0..60 {
            let taken = match at {
                0..10 => 1_500.0,
                10..30 => 600.0,
                _ => 1_000.0,
            };
            capacity.note(&seen(taken, 0.0));
            capacity.stood(PERIOD);
            least = least.min(capacity.calls());
            most = most.max(capacity.calls());
        }
        assert!(least > 850.0 && most < 1_100.0, "{least} to {most}");
    }

    #[test]
    fn without_a_queue_more_is_tried_and_the_more_the_less_is_known() {
        let after = |mut capacity: Capacity, seconds: f64| {
            let before = capacity.calls();
            for _ in 0..(seconds / PERIOD) as usize {
                capacity.was_enough(PERIOD);
            }
            capacity.calls() / before
        };
        let (long, short) = (known(1_000.0, 0.0, 20.0), known(1_000.0, 0.0, 0.0));
        let slow = after(long, 1.0);
        assert!((1.03..1.06).contains(&slow), "{slow}");
        assert!(after(short, 1.0) > 2.0);
        assert!(after(long, 20.0) > 4.0, "it was long ago");
        // A period of twice the length counts twice.
        let (mut one, mut two) = (long, long);
        one.was_enough(2.0 * PERIOD);
        two.was_enough(PERIOD);
        two.was_enough(PERIOD);
        assert_near(one.calls(), two.calls());
    }

    /// As of a stall while there were no calls, only requests that were refused because they came too
    /// late; and then calls, nearly all of which are refused.
    #[test]
    fn who_supposed_less_than_refusals_cost_finds_out() {
        let mut capacity = Capacity::UNKNOWN;
        capacity.begin(&seen(0.0, 300.0));
        for _ in 0..100 {
            capacity.note(&seen(100.0, 3_000.0));
            capacity.was_enough(PERIOD);
        }
        assert!(capacity.calls() > 100.0, "{}", capacity.calls());
    }

    #[test]
    fn a_queue_that_stays_says_that_it_is_less() {
        let mut capacity = known(1_000.0, 7_000.0, 20.0);
        capacity.is_too_high();
        assert_near(capacity.calls(), 950.0);
    }
}
