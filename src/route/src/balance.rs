//! How gateways that stand side by side take turns: by shares, by the calls that they have up, by who
//! calls or is called, or by how fast they answer.
//!
//! Each of them gets a number, and the lowest comes first; those with the same number follow by chance
//! in proportion to their weights.
//!
//! By a hash that is a *rendezvous*: every gateway draws a lot of its own from its name and the key of
//! the call, and the best lot has the call. Whoever leaves, or is down, passes on his own calls and no
//! others; whoever comes takes his share and moves no other call. Lots are weighted as in "Weighted
//! Distributed Hash Tables" (Schindelhauer, Schomaker 2005): `-ln(u) / weight` is the waiting time of a
//! process with that rate, and the first to arrive is each with a chance in proportion to its rate.

use base::{GatewayId, Time};

use crate::order::mix;
use crate::snapshot::Target;
use crate::{Ask, Health, Quality};

/// How gateways of a route that stand side by side take turns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Balance {
    /// In proportion to the weights.
    #[default]
    Weighted,
    /// Whoever has the fewest calls up for its weight, over all shards.
    LeastCalls,
    /// All calls of a caller to one gateway.
    Caller,
    /// All calls to a number to one gateway.
    Called,
    /// All that has one Call-ID to one gateway.
    CallId,
    /// Whoever answers soonest.
    Fastest,
}

impl Balance {
    /// The word of the configuration.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Balance::Weighted => "weighted",
            Balance::LeastCalls => "least-calls",
            Balance::Caller => "caller",
            Balance::Called => "called",
            Balance::CallId => "call-id",
            Balance::Fastest => "fastest",
        }
    }

    /// Whether a key of the call decides.
    #[must_use]
    pub const fn is_by_key(self) -> bool {
        matches!(self, Balance::Caller | Balance::Called | Balance::CallId)
    }
}

/// What a shard knows of a call and of the moment, and a snapshot does not. Each is asked for only by
/// plans that want it.
pub trait Scene {
    /// How many calls a gateway has up, over all shards.
    fn calls_up(&self, gateway: GatewayId) -> u32;
    /// Who calls, as the record names it.
    fn caller(&self) -> &[u8];
    /// The Call-ID.
    fn call_id(&self) -> &[u8];
    /// How good vendors are; without, all are.
    fn quality(&self) -> Option<&Quality>;
}

/// What decides between gateways that stand side by side, for one call.
pub(crate) struct Scales<'a, S> {
    pub(crate) balance: Balance,
    pub(crate) targets: &'a [Target],
    /// By target, if a key decides.
    pub(crate) seeds: &'a [u64],
    /// The digest of the call's key, if one decides.
    pub(crate) key: u64,
    pub(crate) health: &'a Health,
    pub(crate) now: Time,
    pub(crate) scene: &'a S,
}

impl<'a, S: Scene> Scales<'a, S> {
    pub(crate) fn new(
        balance: Balance,
        (targets, seeds): (&'a [Target], &'a [u64]),
        ask: &Ask<'_>,
        health: &'a Health,
        scene: &'a S,
    ) -> Scales<'a, S> {
        let key = match balance {
            Balance::Caller => digest(scene.caller()),
            Balance::Called => digest(ask.number.text()),
            Balance::CallId => digest(scene.call_id()),
            Balance::Weighted | Balance::LeastCalls | Balance::Fastest => 0,
        };
        Scales {
            balance,
            targets,
            seeds,
            key,
            health,
            now: ask.now,
            scene,
        }
    }

    /// The number of a target: the lowest comes first.
    pub(crate) fn weigh(&self, place: usize) -> u64 {
        let target = &self.targets[place];
        match self.balance {
            Balance::Weighted => 0,
            Balance::LeastCalls => load(self.scene.calls_up(target.gateway), target.weight),
            Balance::Caller | Balance::Called | Balance::CallId => {
                lot(self.seeds[place], self.key, target.weight)
            }
            Balance::Fastest => {
                let trip = self.health.round_trip(target.gateway, self.now);
                trip.map_or(0, distance)
            }
        }
    }
}

/// The load of a gateway once it has this call too, in 2^-31 calls for each unit of its weight.
fn load(calls_up: u32, weight: u32) -> u64 {
    ((u64::from(calls_up) + 1) << 31) / u64::from(weight.max(1))
}

/// The lot that a gateway draws for a key. Positive numbers in floating point are in the order of
/// their bits.
fn lot(seed: u64, key: u64, weight: u32) -> u64 {
    const FRACTION_BITS: u32 = 53;
    let drawn = mix(seed ^ key) >> (u64::BITS - FRACTION_BITS);
    let uniform = (drawn as f64 + 0.5) / (1_u64 << FRACTION_BITS) as f64;
    (-uniform.ln() / f64::from(weight.max(1))).to_bits()
}

/// A round trip as a class of those that count as the same: four to a doubling, and all below a
/// millisecond one. Else the gateway that is faster by a hair would have all calls.
fn distance(trip_us: u32) -> u64 {
    const NEAR_US: u32 = 1_024;
    let trip = u64::from(trip_us.max(NEAR_US));
    let doublings = u64::from(trip.ilog2());
    (doublings << 2 | trip >> (doublings - 2) & 3) - (u64::from(NEAR_US.ilog2()) << 2)
}

/// A key as a number. Without a secret: the same caller is to find the same gateway behind another
/// node, and after a restart.
pub(crate) fn digest(octets: &[u8]) -> u64 {
    // FNV-1a, and then every bit counts.
    let hash = octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
            (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3)
        });
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Who has a key among gateways with these names and weights.
    fn winner(gateways: &[(u32, u32)], key: u64) -> u32 {
        let lots = gateways.iter().map(|&(name, weight)| {
            let seed = digest(format!("gateway-{name}").as_bytes());
            (lot(seed, key, weight), name)
        });
        lots.min().expect("one at least").1
    }

    #[test]
    fn lots_fall_in_proportion_to_the_weights() {
        let gateways = [(1, 5), (2, 3), (3, 2)];
        let mut counts = [0; 4];
        for caller in 0..100_000_u32 {
            counts[winner(&gateways, digest(&caller.to_be_bytes())) as usize] += 1;
        }
        for (name, weight) in gateways {
            let want = weight as usize * 10_000;
            let got: usize = counts[name as usize];
            assert!(got.abs_diff(want) < 600, "{counts:?}");
        }
    }

    #[test]
    fn the_heavier_takes_more_calls() {
        let mut up = [0; 2];
        for _ in 0..4_000 {
            let first = load(up[0], 3) <= load(up[1], 1);
            up[usize::from(!first)] += 1;
        }
        assert!(up[0].abs_diff(3_000) <= 2, "{up:?}");
        assert!(load(u32::MAX, 1) > load(u32::MAX, 10_000));
    }

    #[test]
    fn distances_are_classes() {
        assert_eq!([0, 1, 1_000, 1_024, 1_200].map(distance), [0; 5]);
        assert_eq!(distance(10_000), distance(10_100));
        assert!(distance(10_000) < distance(13_000));
        let all = (0..32).map(|bit| distance(1 << bit));
        assert!(all.is_sorted());
        assert!(distance(u32::MAX) < 256);
    }

    proptest! {
        /// Whoever goes passes on his own keys only; whoever comes takes what he wins and moves no other.
        #[test]
        fn nobody_else_moves(
            weights in proptest::collection::vec(1_u32..100, 2..12),
            gone in any::<prop::sample::Index>(),
            keys in proptest::collection::vec(any::<u64>(), 1..200),
        ) {
            let all: Vec<(u32, u32)> = (0..).zip(weights).collect();
            let gone = gone.index(all.len());
            let mut rest = all.clone();
            rest.remove(gone);
            for key in keys {
                let (with, without) = (winner(&all, key), winner(&rest, key));
                if with != gone as u32 {
                    prop_assert_eq!(with, without);
                }
            }
        }

        #[test]
        fn distance_grows_with_the_trip(one: u32, other: u32) {
            prop_assert!((one <= other) <= (distance(one) <= distance(other)));
        }
    }
}
