//! Gateways that stand side by side, and those that have hours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{GatewayId, Time};

use super::{built, gateway, spec};
use crate::order::mix;
use crate::{
    Ask, Balance, BuildError, CalendarSpec, Candidates, Health, HealthEvent, Mode, Moment, Number,
    PlanSpec, RouteSpec, Scene, SkipReason, Snapshot, Spec, TargetSpec, Turns, Verdict, WhenSpec,
};

/// What a test says of calls and callers.
#[derive(Default)]
struct Said {
    /// By gateway.
    up: BTreeMap<u32, u32>,
    caller: Vec<u8>,
    call_id: Vec<u8>,
}

impl Scene for Said {
    fn calls_up(&self, gateway: GatewayId) -> u32 {
        self.up.get(&gateway.0).copied().unwrap_or(0)
    }

    fn caller(&self) -> &[u8] {
        &self.caller
    }

    fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    fn quality(&self) -> Option<&crate::Quality> {
        None
    }
}

fn balanced(balance: Balance, targets: &[(&str, u32, u16)]) -> Spec {
    let mut spec = spec();
    let target = |&(gateway, weight, priority): &(&str, u32, u16)| TargetSpec {
        gateway: gateway.to_owned(),
        weight,
        priority,
        when: None,
    };
    let plan = PlanSpec {
        targets: targets.iter().map(target).collect(),
        mode: Mode::Balanced,
        balance,
        ..PlanSpec::ordered(&[])
    };
    spec.routes = vec![RouteSpec {
        prefix: "7".to_owned(),
        plan: Arc::new(plan),
    }];
    spec
}

struct Shard<'w> {
    world: &'w Snapshot,
    health: Health,
    turns: Turns,
    at: Moment,
    calls: u64,
}

impl Shard<'_> {
    fn of(world: &Snapshot) -> Shard<'_> {
        Shard {
            world,
            health: Health::new(8),
            turns: Turns::new(),
            at: Moment(1_000),
            calls: 0,
        }
    }

    fn candidates(&mut self, said: &Said) -> Candidates {
        self.calls += 1;
        let number = Number::from_digits(b"7123");
        let ask = Ask {
            trunk: base::TrunkId(0),
            number: &number,
            now: Time::from_millis(5),
            at: self.at,
            dice: mix(self.calls),
        };
        let mut out = Candidates::new();
        let found = (self.world).candidates(&ask, &self.health, &mut self.turns, said, &mut out);
        found.expect("a route");
        out
    }

    /// The gateways in the order to try, by name.
    fn order(&mut self, said: &Said) -> Vec<String> {
        let candidates = self.candidates(said);
        let fit = candidates.iter().filter(|it| it.may_try());
        fit.map(|it| self.world.gateway_name(it.gateway).to_owned())
            .collect()
    }

    fn first(&mut self, said: &Said) -> String {
        self.order(said).swap_remove(0)
    }

    fn fail(&mut self, name: &str) {
        for _ in 0..5 {
            let gateway = gateway(self.world, name);
            self.health
                .apply(gateway, HealthEvent::TransportError, Time::ZERO);
        }
    }
}

#[test]
fn shares_are_exact_within_a_priority() {
    let targets = [("g1", 2, 0), ("g2", 1, 0), ("g3", 3, 1), ("g4", 1, 1)];
    let world = built(&balanced(Balance::Weighted, &targets));
    let mut shard = Shard::of(&world);
    let count = |shard: &mut Shard<'_>, calls: usize| {
        let mut counts = BTreeMap::new();
        for _ in 0..calls {
            let order = shard.order(&Said::default());
            let second: BTreeSet<&str> = order.iter().rev().take(2).map(String::as_str).collect();
            assert_eq!(second, BTreeSet::from(["g3", "g4"]));
            *counts.entry(order[0].clone()).or_insert(0) += 1;
        }
        counts
    };
    let all = count(&mut shard, 3_000);
    assert_eq!(
        all,
        BTreeMap::from([("g1".to_owned(), 2_000), ("g2".to_owned(), 1_000)])
    );
    shard.fail("g1");
    shard.fail("g2");
    let rest = count(&mut shard, 4_000);
    assert_eq!(
        rest,
        BTreeMap::from([("g3".to_owned(), 3_000), ("g4".to_owned(), 1_000)])
    );
}

#[test]
fn whoever_has_the_fewest_calls_is_next() {
    let world = built(&balanced(
        Balance::LeastCalls,
        &[("g1", 1, 0), ("g2", 1, 0), ("g3", 2, 0)],
    ));
    let id = |name: &str| gateway(&world, name).id.0;
    let mut shard = Shard::of(&world);
    let mut said = Said::default();
    said.up
        .extend([(id("g1"), 4), (id("g2"), 3), (id("g3"), 8)]);
    assert_eq!(shard.order(&said), ["g2", "g3", "g1"]);
    // Each call counts: after many they have what their weights say.
    said.up.clear();
    for _ in 0..4_000 {
        let first = shard.first(&said);
        *said.up.entry(id(&first)).or_default() += 1;
    }
    for (name, want) in [("g1", 1_000), ("g2", 1_000), ("g3", 2_000_u32)] {
        assert!(said.up[&id(name)].abs_diff(want) <= 2, "{:?}", said.up);
    }
}

#[test]
fn a_caller_keeps_his_gateway_when_others_come_and_go() {
    let four = [("g1", 1, 0), ("g2", 1, 0), ("g3", 1, 0), ("g4", 1, 0)];
    let world = built(&balanced(Balance::Caller, &four));
    // In another order, without one, and after a reload: it is the name that counts.
    let three = built(&balanced(
        Balance::Caller,
        &[("g4", 1, 0), ("g2", 1, 0), ("g1", 1, 0)],
    ));
    let (mut all, mut less, mut down) = (Shard::of(&world), Shard::of(&three), Shard::of(&world));
    down.fail("g3");
    let mut moved = 0;
    for caller in 0..1_000 {
        let said = Said {
            caller: format!("+4930{caller:06}").into(),
            ..Said::default()
        };
        let first = all.first(&said);
        assert_eq!(all.first(&said), first);
        let elsewhere = [less.first(&said), down.first(&said)];
        assert_eq!(elsewhere[0], elsewhere[1]);
        match first.as_str() {
            "g3" => moved += 1,
            _ => assert_eq!(elsewhere[0], first),
        }
    }
    assert!((180..320).contains(&moved), "{moved}");
}

#[test]
fn each_key_is_another() {
    let four = [("g1", 1, 0), ("g2", 1, 0), ("g3", 1, 0), ("g4", 1, 0)];
    let firsts = |balance: Balance| {
        let world = built(&balanced(balance, &four));
        let mut shard = Shard::of(&world);
        let by = |shard: &mut Shard<'_>, caller: &str, call_id: &str| {
            shard.first(&Said {
                caller: caller.into(),
                call_id: call_id.into(),
                ..Said::default()
            })
        };
        let callers: BTreeSet<String> = (0..50)
            .map(|n| by(&mut shard, &n.to_string(), "same"))
            .collect();
        let ids: BTreeSet<String> = (0..50)
            .map(|n| by(&mut shard, "same", &n.to_string()))
            .collect();
        (callers.len(), ids.len())
    };
    assert_eq!(firsts(Balance::Caller), (4, 1));
    assert_eq!(firsts(Balance::CallId), (1, 4));
    assert_eq!(firsts(Balance::Called), (1, 1));
}

#[test]
fn the_fastest_is_first_and_those_alike_take_turns() {
    let world = built(&balanced(
        Balance::Fastest,
        &[("g1", 1, 0), ("g2", 1, 0), ("g3", 1, 0)],
    ));
    let mut shard = Shard::of(&world);
    let trips = [("g1", 80_000), ("g2", 20_000), ("g3", 20_100)];
    for (name, us) in trips {
        shard
            .health
            .note_round_trip(gateway(&world, name), us, Time::ZERO);
    }
    let mut firsts = BTreeMap::new();
    for _ in 0..1_000 {
        let order = shard.order(&Said::default());
        assert_eq!(order[2], "g1");
        *firsts.entry(order[0].clone()).or_insert(0) += 1;
    }
    assert!(
        firsts.values().all(|count| (400..600).contains(count)),
        "{firsts:?}"
    );
    // Whoever was not heard of for a while is asked first: perhaps he is fast now.
    shard.health = Health::new(8);
    shard
        .health
        .note_round_trip(gateway(&world, "g2"), 20_000, Time::from_millis(5));
    shard
        .health
        .note_round_trip(gateway(&world, "g3"), 20_000, Time::from_millis(5));
    assert_eq!(shard.first(&Said::default()), "g1");
}

#[test]
fn round_trips_are_smoothed_and_forgotten() {
    let world = built(&spec());
    let g1 = gateway(&world, "g1");
    let mut health = Health::new(8);
    let trip = |health: &Health, ms| health.round_trip(g1.id, Time::from_millis(ms));
    assert_eq!(trip(&health, 0), None);
    health.note_round_trip(g1, 8_000, Time::ZERO);
    health.note_round_trip(g1, 16_000, Time::from_millis(10));
    assert_eq!(trip(&health, 10), Some(9_000));
    assert_eq!(trip(&health, 60_009), Some(9_000));
    assert_eq!(trip(&health, 60_010), None);
    // It begins anew, with the first that is heard.
    health.note_round_trip(g1, 1_000, Time::from_millis(70_000));
    assert_eq!(trip(&health, 70_000), Some(1_000));
}

/// Open from 100 to 200, and from 300 on.
fn with_hours(mode: Mode) -> Spec {
    let mut spec = balanced(
        Balance::Weighted,
        &[("g1", 1, 0), ("g2", 1, 0), ("g3", 1, 0)],
    );
    let mut plan = (*spec.routes[0].plan).clone();
    plan.mode = mode;
    let when = |is_open| {
        Some(WhenSpec {
            calendar: "hours".to_owned(),
            is_open,
        })
    };
    plan.targets[0].when = when(true);
    plan.targets[1].when = when(false);
    spec.routes[0].plan = Arc::new(plan);
    spec.calendars = vec![CalendarSpec {
        name: "hours".to_owned(),
        is_open: false,
        changes: [100, 200, 300].map(Moment).to_vec(),
    }];
    spec
}

#[test]
fn nobody_is_tried_out_of_hours() {
    for mode in [
        Mode::Ordered,
        Mode::Weighted,
        Mode::Balanced,
        Mode::Parallel,
    ] {
        let world = built(&with_hours(mode));
        let mut shard = Shard::of(&world);
        // Back and forth: what a shard remembers must not stand in the way.
        for at in [
            0,
            99,
            100,
            199,
            200,
            150,
            250,
            300,
            4_000_000_000,
            50,
            299,
            301,
        ] {
            shard.at = Moment(at);
            let is_open = (100..200).contains(&at) || at >= 300;
            for _ in 0..5 {
                let candidates = shard.candidates(&Said::default());
                let told: BTreeMap<u32, Verdict> = candidates
                    .iter()
                    .map(|it| (it.gateway.0, it.verdict))
                    .collect();
                let out = Verdict::Skip(SkipReason::OutOfHours);
                let want = if is_open {
                    [Verdict::Try, out]
                } else {
                    [out, Verdict::Try]
                };
                let id = |name: &str| gateway(&world, name).id;
                assert_eq!(
                    [told[&id("g1").0], told[&id("g2").0]],
                    want,
                    "{mode:?} at {at}"
                );
                assert_eq!(told[&id("g3").0], Verdict::Try);
                // A vendor that names the closed one does not open it.
                let closed = if is_open { "g2" } else { "g1" };
                assert!(!world.may_follow(&candidates, id(closed)));
            }
        }
    }
}

#[test]
fn calendars_that_cannot_be() {
    let mut spec = with_hours(Mode::Ordered);
    let fault = |spec: &Spec| crate::build(spec, 1, None).expect_err("a fault");
    spec.calendars[0].name = "other".to_owned();
    let unknown = BuildError::UnknownCalendar {
        prefix: "7".to_owned(),
        calendar: "hours".to_owned(),
    };
    assert_eq!(fault(&spec), [unknown.clone(), unknown]);
    let mut spec = with_hours(Mode::Ordered);
    spec.calendars.push(spec.calendars[0].clone());
    let name = || "hours".to_owned();
    assert_eq!(
        fault(&spec),
        [BuildError::DuplicateCalendar { name: name() }]
    );
    let mut spec = with_hours(Mode::Ordered);
    spec.calendars[0].changes.swap(0, 1);
    assert_eq!(fault(&spec), [BuildError::BadCalendar { name: name() }]);
}
