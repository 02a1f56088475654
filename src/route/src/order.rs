//! In which order the gateways of a route are tried: as written, by weight with one random number, by
//! cost, or side by side as `balance.rs` says.

use base::Money;
use smallvec::SmallVec;

use crate::limits::{PRIORITY_MAX, TARGETS_MAX};
use crate::snapshot::Target;

/// How the gateways of a route are ordered for a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Mode {
    /// As written: the first takes all calls that it can.
    #[default]
    Ordered,
    /// In exact proportion to the weights; the others follow by chance in the same proportion.
    Weighted,
    /// By priority, the cheapest of each first; those that cost the same as the plan balances.
    Cost,
    /// By priority, and those of one priority as the plan balances.
    Balanced,
    /// By priority, the best of each first, as far as that is known; those that are alike as the plan
    /// balances.
    Quality,
    /// As written, and all at once: the first that answers has the call.
    Parallel,
}

impl Mode {
    /// The word of the configuration.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Mode::Ordered => "ordered",
            Mode::Weighted => "weighted",
            Mode::Cost => "cost",
            Mode::Balanced => "balanced",
            Mode::Quality => "quality",
            Mode::Parallel => "parallel",
        }
    }
}

/// Places of a route's targets, in the order to try.
pub(crate) type Order = SmallVec<[u8; TARGETS_MAX]>;

/// Puts the places of `targets` in the order to try for this throw of the dice. `cost` says what the
/// target at a place costs, or how bad it is, and is asked for by cost and quality only; `turn` gives each of those that stand side
/// by side a number, the lowest first.
pub(crate) fn order(
    mode: Mode,
    targets: &[Target],
    dice: u64,
    cost: impl Fn(usize) -> Money,
    turn: impl Fn(usize) -> u64,
) -> Order {
    const AS_WRITTEN: [u8; TARGETS_MAX] = {
        let mut places = [0; TARGETS_MAX];
        let mut place = 0;
        while place < TARGETS_MAX {
            places[place] = place as u8;
            place += 1;
        }
        places
    };
    let mut places = Order::from_buf_and_len(AS_WRITTEN, targets.len());
    match mode {
        Mode::Ordered | Mode::Parallel => {}
        Mode::Weighted => weigh(targets, Dice::new(dice), &mut places),
        Mode::Cost | Mode::Quality => rank(targets, dice, cost, turn, &mut places),
        Mode::Balanced => rank(targets, dice, |_| Money::ZERO, turn, &mut places),
    }
    places
}

/// By priority and cost; those that are the same by their turn, and then by weight.
///
/// Each target is one number: priority, cost, place from the highest bit on. What costs more than
/// forty-five million units a call is all the same.
fn rank(
    targets: &[Target],
    dice: u64,
    cost: impl Fn(usize) -> Money,
    turn: impl Fn(usize) -> u64,
    places: &mut Order,
) {
    const PLACE_BITS: u32 = 5;
    const COST_BITS: u32 = 52;
    const _: () = assert!(TARGETS_MAX == 1 << PLACE_BITS && PRIORITY_MAX < 1 << 7);
    let mut keys = [0_u64; TARGETS_MAX];
    let keys = &mut keys[..targets.len()];
    for (place, (key, target)) in keys.iter_mut().zip(targets).enumerate() {
        let cost = cost(place).parts().clamp(0, (1 << COST_BITS) - 1) as u64;
        *key = (u64::from(target.priority) << COST_BITS | cost) << PLACE_BITS | place as u64;
    }
    keys.sort_unstable();
    for (place, key) in places.iter_mut().zip(&*keys) {
        *place = (key & ((1 << PLACE_BITS) - 1)) as u8;
    }
    // Mostly nobody is: all are asked for that at once, without a branch for each.
    let tied = |(one, other): (&u64, &u64)| (one ^ other) >> PLACE_BITS == 0;
    let pairs = keys.iter().zip(keys.iter().skip(1));
    if !pairs.fold(false, |any, pair| any | tied(pair)) {
        return;
    }
    let mut at = 0;
    for tied in keys.chunk_by(|one, other| one >> PLACE_BITS == other >> PLACE_BITS) {
        if tied.len() > 1 {
            settle(targets, dice, &turn, &mut places[at..at + tied.len()]);
        }
        at += tied.len();
    }
}

/// By their turn; those with the same by weight.
fn settle(targets: &[Target], dice: u64, turn: impl Fn(usize) -> u64, places: &mut [u8]) {
    let turns = places
        .iter()
        .map(|&place| (turn(usize::from(place)), place));
    let mut turns: SmallVec<[(u64, u8); TARGETS_MAX]> = turns.collect();
    turns.sort_unstable();
    for (place, (_, sorted)) in places.iter_mut().zip(&turns) {
        *place = *sorted;
    }
    let mut at = 0;
    for tied in turns.chunk_by(|one, other| one.0 == other.0) {
        if tied.len() > 1 {
            weigh(targets, Dice::new(dice), &mut places[at..at + tied.len()]);
        }
        at += tied.len();
    }
}

/// Draws without putting back: each next place with a chance in proportion to its weight among
/// those that are left. So the first that is fit to be tried has its exact share among the fit.
fn weigh(targets: &[Target], mut dice: Dice, places: &mut [u8]) {
    let weight = |place: u8| u64::from(targets[usize::from(place)].weight);
    let mut left: u64 = places.iter().map(|&place| weight(place)).sum();
    for next in 0..places.len() {
        let mut point = dice.below(left);
        let drawn = (next..places.len())
            .find(|&at| {
                let here = weight(places[at]);
                let hit = point < here;
                point = point.wrapping_sub(here);
                hit
            })
            .unwrap_or(next);
        left -= weight(places[drawn]);
        places.swap(next, drawn);
    }
}

/// One random number as a fraction that is used up from the front.
///
/// Multiplying the fraction by the number of choices gives the choice before the point; what stands
/// behind the point is as random as before and serves the next choice. The caller's 64 bits come
/// first, so the first choice is exact to one part in 2^64 / sum of weights; 64 more bits, mixed
/// from them, keep the last choice of a long list as fine as the first.
struct Dice {
    fraction: u128,
}

impl Dice {
    fn new(dice: u64) -> Dice {
        Dice {
            fraction: u128::from(dice) << 64 | u128::from(mix(dice)),
        }
    }

    /// A number below `count`, which may be 0 only if the result does not matter.
    fn below(&mut self, count: u64) -> u64 {
        let low = (self.fraction & u128::from(u64::MAX)) * u128::from(count);
        let high = (self.fraction >> 64) * u128::from(count) + (low >> 64);
        self.fraction = high << 64 | low & u128::from(u64::MAX);
        (high >> 64) as u64
    }
}

/// Spreads 64 bits over 64 bits (the finalizer of SplitMix64): one to one, and every bit counts.
pub(crate) const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::GatewayId;
    use std::collections::BTreeMap;

    fn targets(weights: &[u32]) -> Vec<Target> {
        let numbered = weights.iter().enumerate();
        numbered
            .map(|(at, &weight)| Target {
                gateway: GatewayId(at as u32),
                weight,
                priority: 0,
                when: None,
                is_in_maintenance: false,
            })
            .collect()
    }

    fn side_by_side(_: usize) -> u64 {
        0
    }

    fn free(_: usize) -> Money {
        Money::ZERO
    }

    #[test]
    fn by_priority_and_then_by_cost() {
        let mut targets = targets(&[1, 1, 1, 1, 9]);
        targets[4].priority = 1;
        targets[1].priority = 1;
        let costs = [30, 10, 20, 20, 10];
        let mut firsts = BTreeMap::new();
        for k in 0..1_000 {
            let cost = |at: usize| Money::from_parts(costs[at]);
            let order = order(Mode::Cost, &targets, mix(k), cost, side_by_side);
            assert_eq!(order[2], 0, "{order:?}");
            *firsts.entry((order[0], order[3])).or_insert(0_u32) += 1;
        }
        let of = |first, fourth| firsts.get(&(first, fourth)).copied().unwrap_or(0);
        // Equal costs are shared: one to one of the first priority, nine to one of the second.
        assert!((400..600).contains(&(of(2, 1) + of(2, 4))), "{firsts:?}");
        assert!((850..950).contains(&(of(2, 4) + of(3, 4))), "{firsts:?}");
    }

    #[test]
    fn by_priority_and_then_in_turn() {
        let mut targets = targets(&[1, 1, 1, 3, 1]);
        targets[1].priority = 2;
        let turns = [7, 0, 3, 3, 9];
        let mut heavy = 0;
        for k in 0..1_000 {
            let order = order(Mode::Balanced, &targets, mix(k), free, |at| turns[at]);
            assert!(
                matches!(&order[..], [2, 3, 0, 4, 1] | [3, 2, 0, 4, 1]),
                "{order:?}"
            );
            heavy += usize::from(order[0] == 3);
        }
        assert!((690..810).contains(&heavy), "{heavy}");
    }

    /// All throws that matter for the first choices: the fractions k / steps, at their middle.
    fn count(weights: &[u32], steps: u64, chosen: usize) -> BTreeMap<Vec<u8>, u64> {
        let targets = targets(weights);
        let mut counts = BTreeMap::new();
        for k in 0..steps {
            let dice = ((u128::from(k) * 2 + 1) << 63) / u128::from(steps);
            let order = order(Mode::Weighted, &targets, dice as u64, free, side_by_side);
            *counts.entry(order[..chosen].to_vec()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn as_written() {
        for dice in [0, 1, u64::MAX / 2, u64::MAX] {
            let order = order(
                Mode::Ordered,
                &targets(&[1, 100, 7]),
                dice,
                free,
                side_by_side,
            );
            assert_eq!(&order[..], [0, 1, 2]);
        }
    }

    #[test]
    fn first_choice_is_exact_over_all_throws() {
        for weights in [&[1, 2, 3, 4][..], &[70, 30], &[1], &[9_999, 1], &[5, 5, 5]] {
            let total: u32 = weights.iter().sum();
            let counts = count(weights, u64::from(total) * 3, 1);
            for (place, &weight) in weights.iter().enumerate() {
                assert_eq!(
                    counts[&vec![place as u8]],
                    u64::from(weight) * 3,
                    "{weights:?}"
                );
            }
        }
    }

    #[test]
    fn first_two_choices_are_exact_over_all_throws() {
        // P(a, b) = a/10 · b/(10 - a), on a grid of 10·9·8·7·6 throws where all of it is whole.
        let (weights, steps) = ([1, 2, 3, 4], 30_240_u64);
        let counts = count(&weights, steps, 2);
        for a in 0..4_usize {
            for b in (0..4_usize).filter(|&b| b != a) {
                let (wa, wb) = (u64::from(weights[a]), u64::from(weights[b]));
                let want = steps * wa * wb / (10 * (10 - wa));
                assert_eq!(counts[&vec![a as u8, b as u8]], want, "{a} then {b}");
            }
        }
    }

    #[test]
    fn every_order_has_every_target_once() {
        let weights: Vec<u32> = (1..=TARGETS_MAX as u32).map(|w| w * 600).collect();
        let targets = targets(&weights);
        let mut last = BTreeMap::new();
        for k in 0..20_000_u64 {
            let mut order = order(Mode::Weighted, &targets, mix(k), free, side_by_side);
            *last.entry(order[TARGETS_MAX - 1]).or_insert(0_u32) += 1;
            order.sort_unstable();
            assert!(
                order
                    .iter()
                    .enumerate()
                    .all(|(at, &place)| at == usize::from(place))
            );
        }
        assert!(
            last[&0] > last[&15] * 4,
            "the light ones are mostly last: {last:?}"
        );
    }
}
