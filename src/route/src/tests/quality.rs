//! Vendors are measured, fall below their bounds, and come back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::{GatewayId, ShardId, Time, TrunkId};
use proptest::prelude::*;

use super::{built, gateway, spec};
use crate::order::mix;
use crate::{
    Ask, Bounds, BuildError, Candidates, ClassId, Ending, Health, Judge, Mark, Measure, Mode,
    Moment, Number, Occasion, PlanSpec, Quality, QualitySpec, RouteSpec, SkipReason, Snapshot,
    Spec, Standing, Turns, Verdict, explain_dialled, is_effective, is_no_verdict,
};

const SHARD: ShardId = ShardId(0);
const ANSWERED: Ending = Ending::Answered {
    rang_after_us: 1_000_000,
};
const FAILED: Ending = Ending::Failed {
    is_effective: false,
    rang_after_us: None,
};

fn class(bounds: Bounds) -> QualitySpec {
    QualitySpec {
        name: "gold".to_owned(),
        bounds,
        digits: 3,
        window_s: 160,
        sample: 20,
        trial_per_mille: 100,
        return_s: 100,
        skips: false,
    }
}

fn asr(least: u16) -> QualitySpec {
    class(Bounds {
        asr_min: Some(least),
        ..Bounds::default()
    })
}

/// The route 49 to three gateways, by this class.
fn world(class: QualitySpec, mode: Mode) -> Spec {
    let mut spec = spec();
    spec.routes = vec![RouteSpec {
        prefix: "49".to_owned(),
        plan: Arc::new(PlanSpec {
            mode,
            quality: Some(class.name.clone()),
            ..PlanSpec::ordered(&["g1", "g2", "g3"])
        }),
    }];
    spec.qualities = vec![class];
    spec
}

fn measure(world: &Snapshot) -> Measure {
    let class = world.quality_named("gold").expect("there");
    Measure::of_digits(class, b"4930123", 3)
}

fn count(world: &Snapshot, quality: &Quality, name: &str, endings: &[Ending]) {
    let place = quality
        .place(measure(world), gateway(world, name).id)
        .expect("room");
    endings
        .iter()
        .for_each(|&ending| quality.count(SHARD, place, ending));
}

/// The gateways of a call in the order to try, those left out in brackets.
fn order(world: &Snapshot, quality: &Quality, turns: &mut Turns, dice: u64) -> String {
    let number = Number::from_digits(b"4930123");
    let ask = Ask {
        trunk: TrunkId(0),
        number: &number,
        now: Time::ZERO,
        at: Moment(1_000),
        dice,
    };
    let occasion = Occasion {
        now: ask.now,
        at: ask.at,
        dice,
        caller: b"",
        call_id: b"",
        quality: Some(quality),
    };
    let mut out = Candidates::new();
    (world.candidates(&ask, &Health::new(8), turns, &occasion, &mut out)).expect("a route");
    assert_eq!(out.measure, Some(measure(world)));
    let told = out.iter().map(|it| match it.verdict {
        Verdict::Try => world.gateway_name(it.gateway).to_owned(),
        Verdict::Skip(SkipReason::Poor) => format!("({})", world.gateway_name(it.gateway)),
        Verdict::Skip(other) => panic!("{other:?}"),
    });
    told.collect::<Vec<_>>().join(" ")
}

/// How many of a thousand calls each order comes to.
fn orders(world: &Snapshot, quality: &Quality) -> BTreeMap<String, u32> {
    let (mut counts, mut turns) = (BTreeMap::new(), Turns::new());
    for k in 0..1_000 {
        *counts
            .entry(order(world, quality, &mut turns, mix(k)))
            .or_default() += 1;
    }
    counts
}

#[test]
fn a_vendor_falls_and_comes_back_slowly() {
    let world = built(&world(asr(300), Mode::Ordered));
    let (quality, mut judge) = (Quality::new(1, 64), Judge::new());
    let good = BTreeMap::from([("g1 g2 g3".to_owned(), 1_000)]);
    assert_eq!(orders(&world, &quality), good);
    // Nineteen are too few to say.
    count(&world, &quality, "g1", &[FAILED; 19]);
    assert_eq!(judge.look(&quality, &world, 1_000), []);
    assert_eq!(orders(&world, &quality), good);
    count(&world, &quality, "g1", &[FAILED]);
    let changes = judge.look(&quality, &world, 1_001);
    assert_eq!(
        (changes[0].from, changes[0].to),
        (Standing::Good, Standing::Poor)
    );
    assert_eq!(
        (changes[0].mark.asr, changes[0].row.destination.as_str()),
        (Some(0), "493")
    );
    let share = |quality: &Quality| {
        let told = orders(&world, quality);
        assert!(
            told.keys().all(|it| it == "g1 g2 g3" || it == "g2 g3 g1"),
            "{told:?}"
        );
        told.get("g1 g2 g3").copied().unwrap_or(0)
    };
    assert!((70..130).contains(&share(&quality)), "a tenth on trial");

    // Another bad sample, however long it takes: it stays where it is.
    count(&world, &quality, "g1", &[FAILED; 20]);
    assert_eq!(judge.look(&quality, &world, 3_000), []);
    // A good one, in two halves far apart.
    count(&world, &quality, "g1", &[ANSWERED; 10]);
    assert_eq!(judge.look(&quality, &world, 4_000), []);
    assert!((70..130).contains(&share(&quality)));
    count(&world, &quality, "g1", &[ANSWERED; 10]);
    let changes = judge.look(&quality, &world, 5_000);
    assert_eq!(changes[0].to, Standing::Returning { since_s: 5_000 });
    judge.look(&quality, &world, 5_050);
    assert!((500..600).contains(&share(&quality)), "half way");

    // It fails again: back to the trial, and then it keeps good.
    count(&world, &quality, "g1", &[FAILED; 20]);
    assert_eq!(judge.look(&quality, &world, 5_051)[0].to, Standing::Poor);
    count(&world, &quality, "g1", &[ANSWERED; 20]);
    judge.look(&quality, &world, 5_052);
    assert_eq!(judge.look(&quality, &world, 5_151), []);
    assert_eq!(judge.look(&quality, &world, 5_152)[0].to, Standing::Good);
    assert_eq!(orders(&world, &quality), good);
}

#[test]
fn what_is_over_long_ago_counts_no_more() {
    let world = built(&world(asr(500), Mode::Ordered));
    let (quality, mut judge) = (Quality::new(1, 64), Judge::new());
    count(&world, &quality, "g1", &[ANSWERED; 100]);
    judge.look(&quality, &world, 1_000);
    // Half of them with the good ones of before; all without.
    count(&world, &quality, "g1", &[FAILED; 30]);
    assert_eq!(judge.look(&quality, &world, 1_100), []);
    assert_eq!(judge.look(&quality, &world, 1_150), []);
    assert_eq!(judge.look(&quality, &world, 1_170)[0].to, Standing::Poor);
}

#[test]
fn each_bound_is_looked_at() {
    let bounds = Bounds {
        asr_min: Some(100),
        ner_min: Some(500),
        acd_s_min: Some(60),
        pdd_ms_max: Some(5_000),
        short_max: Some(300),
        short_s: 6,
    };
    let good = || {
        let mut endings = vec![ANSWERED; 20];
        let talked = Ending::HungUp {
            talked_us: 90_000_000,
            is_short: false,
        };
        endings.extend([talked; 20]);
        endings
    };
    let effective = |rang_after_us| Ending::Failed {
        is_effective: true,
        rang_after_us,
    };
    let hung_up = |seconds: u64, is_short| Ending::HungUp {
        talked_us: seconds * 1_000_000,
        is_short,
    };
    let falls = |bounds: Bounds, more: &[Ending]| {
        let world = built(&world(class(bounds), Mode::Ordered));
        let (quality, mut judge) = (Quality::new(1, 64), Judge::new());
        count(&world, &quality, "g1", &good());
        count(&world, &quality, "g1", more);
        let changes = judge.look(&quality, &world, 1_000);
        changes.iter().any(|it| it.to == Standing::Poor)
    };
    for (more, breaks) in [
        (vec![], ""),
        (vec![effective(None); 181], "asr"),
        (vec![effective(None); 180], ""),
        (vec![FAILED; 21], "ner"),
        (vec![FAILED; 20], ""),
        (vec![hung_up(29, false); 20], "acd"),
        (vec![hung_up(30, false); 20], ""),
        (vec![effective(Some(9_100_000)); 20], "pdd"),
        (vec![effective(Some(9_000_000)); 20], ""),
        (vec![hung_up(90, true); 9], "short"),
        (vec![hung_up(90, true); 8], ""),
    ] {
        assert_eq!(
            falls(bounds, &more),
            !breaks.is_empty(),
            "{breaks} {}",
            more.len()
        );
        let without = Bounds {
            asr_min: bounds.asr_min.filter(|_| breaks != "asr"),
            ner_min: bounds.ner_min.filter(|_| breaks != "ner"),
            acd_s_min: bounds.acd_s_min.filter(|_| breaks != "acd"),
            pdd_ms_max: bounds.pdd_ms_max.filter(|_| breaks != "pdd"),
            short_max: bounds.short_max.filter(|_| breaks != "short"),
            ..bounds
        };
        assert!(!falls(without, &more), "without {breaks}");
    }
}

#[test]
fn poor_ones_come_last_or_not_at_all() {
    let poor = |quality: &Quality, world: &Snapshot, names: &[&str]| {
        let mark = Mark {
            admit_per_mille: 0,
            ..Mark::FRESH
        };
        for name in names {
            quality.say(measure(world), gateway(world, name).id, mark);
        }
    };
    for (skips, mode, names, want) in [
        (false, Mode::Ordered, &["g1"][..], "g2 g3 g1"),
        (false, Mode::Ordered, &["g1", "g2"], "g3 g1 g2"),
        (false, Mode::Ordered, &["g1", "g2", "g3"], "g1 g2 g3"),
        (false, Mode::Quality, &["g2"], "g1 g3 g2"),
        (true, Mode::Ordered, &["g1"], "(g1) g2 g3"),
        (true, Mode::Ordered, &["g1", "g2", "g3"], "(g1) (g2) (g3)"),
    ] {
        let class = QualitySpec { skips, ..asr(300) };
        let world = built(&world(class, mode));
        let quality = Quality::new(1, 64);
        poor(&quality, &world, names);
        let told = orders(&world, &quality);
        let one = match mode {
            Mode::Quality => told.keys().all(|it| it.ends_with("g2")),
            _ => told.keys().eq([want]),
        };
        assert!(one, "{names:?}: {told:?}");
    }
    // The shares of a weighted plan go to the good ones, exactly.
    let world = built(&world(asr(300), Mode::Weighted));
    let quality = Quality::new(1, 64);
    poor(&quality, &world, &["g2"]);
    let mut firsts = BTreeMap::new();
    for (told, count) in orders(&world, &quality) {
        assert!(told.ends_with("g2"), "{told}");
        *firsts.entry(told[..2].to_owned()).or_insert(0) += count;
    }
    assert_eq!(
        firsts,
        BTreeMap::from([("g1".to_owned(), 500), ("g3".to_owned(), 500)])
    );
}

#[test]
fn the_best_first_and_those_alike_by_chance() {
    let world = built(&world(asr(0), Mode::Quality));
    let quality = Quality::new(1, 64);
    for (name, asr, pdd_ms) in [("g1", 400, 2_000), ("g2", 610, 4_000), ("g3", 640, 4_050)] {
        let mark = Mark {
            asr: Some(asr),
            pdd_ms: Some(pdd_ms),
            ..Mark::FRESH
        };
        quality.say(measure(&world), gateway(&world, name).id, mark);
    }
    let told = orders(&world, &quality);
    assert!(told.keys().eq(["g2 g3 g1", "g3 g2 g1"]), "{told:?}");
}

#[test]
fn it_is_told_why() {
    let world = built(&world(asr(300), Mode::Ordered));
    let quality = Quality::new(1, 64);
    let mark = Mark {
        admit_per_mille: 50,
        asr: Some(123),
        ner: Some(456),
        short: Some(10),
        pdd_ms: Some(3_200),
        acd_s: Some(75),
    };
    quality.say(measure(&world), gateway(&world, "g1").id, mark);
    let occasion = Occasion {
        now: Time::ZERO,
        at: Moment(1),
        dice: 0,
        caller: b"",
        call_id: b"",
        quality: Some(&quality),
    };
    let told = explain_dialled(&world, &Health::new(8), TrunkId(0), "+4930123", occasion);
    let steps = told.expect("a number").steps;
    let told = |at: usize| (steps[at].gateway.as_str(), steps[at].why.join("; "));
    let want = "gets 50 of 1,000 calls in its place: ASR 12.3 %, NER 45.6 %, ACD 75 s, PDD 3200 ms, short 1.0 %";
    assert_eq!(told(2), ("g1", want.to_owned()));
    assert_eq!(
        told(0),
        ("g2", "good: too few calls to say more".to_owned())
    );
}

#[test]
fn classes_keep_their_ids_over_reloads() {
    let mut spec = world(asr(300), Mode::Ordered);
    let first = built(&spec);
    let silver = QualitySpec {
        name: "silver".to_owned(),
        ..asr(100)
    };
    spec.qualities.insert(0, silver);
    let second = crate::build(&spec, 2, Some(&first)).expect("a good spec");
    assert_eq!(first.quality_named("gold"), second.quality_named("gold"));
    assert_eq!(second.quality_named("silver"), Some(ClassId(1)));
    spec.qualities.remove(1);
    let unknown = BuildError::UnknownQuality {
        prefix: "49".to_owned(),
        quality: "gold".to_owned(),
    };
    assert_eq!(
        crate::build(&spec, 3, Some(&second)).expect_err("no gold"),
        [unknown]
    );
    let mut spec = world(asr(300), Mode::Quality);
    let mut plan = (*spec.routes[0].plan).clone();
    plan.quality = None;
    spec.routes[0].plan = Arc::new(plan);
    let prefix = "49".to_owned();
    assert_eq!(
        crate::build(&spec, 1, None).expect_err("none"),
        [BuildError::NoQuality { prefix }]
    );
    let mut spec = world(asr(300), Mode::Ordered);
    spec.qualities.push(asr(100));
    let name = "gold".to_owned();
    assert_eq!(
        crate::build(&spec, 1, None).expect_err("two"),
        [BuildError::DuplicateQuality { name }]
    );
}

#[test]
fn a_full_table_counts_nothing_and_unused_rows_come_back() {
    let world = built(&world(asr(300), Mode::Ordered));
    let (quality, mut judge) = (Quality::new(1, 1), Judge::new());
    let class = world.quality_named("gold").expect("there");
    let of = |n: u32| Measure::of_digits(class, n.to_string().as_bytes(), 9);
    let places: Vec<_> = (100..116)
        .map(|n| quality.place(of(n), GatewayId(0)))
        .collect();
    assert!(places.iter().all(Option::is_some));
    assert_eq!(quality.place(of(116), GatewayId(0)), None);
    assert_eq!(quality.mark(of(116), GatewayId(0)), Mark::FRESH);
    assert_eq!(quality.place(of(107), GatewayId(0)), places[7]);
    judge.look(&quality, &world, 10);
    // An hour later: all but one were not used.
    quality.count(SHARD, places[7].expect("a row"), FAILED);
    judge.look(&quality, &world, 3_609);
    judge.look(&quality, &world, 3_610);
    let left: Vec<String> = quality
        .rows()
        .into_iter()
        .map(|(row, _)| row.destination)
        .collect();
    assert_eq!(left, ["107"]);
    // What was under way in a row that has another owner by now is nobody's.
    let new = quality
        .place(of(116), GatewayId(0))
        .expect("there is room now");
    assert!(!places.contains(&Some(new)));
    for place in places.into_iter().flatten() {
        quality.count(SHARD, place, FAILED);
    }
    judge.look(&quality, &world, 3_611);
    let marks: BTreeMap<String, Mark> = quality
        .rows()
        .into_iter()
        .map(|(row, mark)| (row.destination, mark))
        .collect();
    assert_eq!(marks["116"], Mark::FRESH);
}

#[test]
fn shards_agree_on_rows_at_once() {
    let quality = Quality::new(4, 4_096);
    let class = ClassId(0);
    std::thread::scope(|scope| {
        for shard in 0..4 {
            let quality = &quality;
            scope.spawn(move || {
                for n in 0..1_000_u32 {
                    let measure = Measure::of_digits(class, n.to_string().as_bytes(), 9);
                    let place = quality.place(measure, GatewayId(5)).expect("room");
                    quality.count(ShardId(shard), place, ANSWERED);
                }
            });
        }
    });
    assert_eq!(quality.rows().len(), 1_000);
    let mut rows: Vec<String> = quality
        .rows()
        .into_iter()
        .map(|(row, _)| row.destination)
        .collect();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), 1_000);
}

#[test]
fn which_ends_are_effective() {
    let effective = |rang: bool| {
        let all = (100..700).filter(|&status| is_effective(status, rang));
        all.collect::<Vec<u16>>()
    };
    assert_eq!(effective(false), [480, 486, 600, 603]);
    assert_eq!(effective(true), [408, 480, 486, 487, 600, 603]);
    assert!(is_effective(0, true) && !is_effective(0, false));
    let none: Vec<u16> = (100..700).filter(|&status| is_no_verdict(status)).collect();
    assert_eq!(none.len(), 102);
}

fn any_mark() -> impl Strategy<Value = Mark> {
    let share = || proptest::option::of(0_u16..=1_000);
    (
        0_u16..=1_000,
        share(),
        share(),
        share(),
        proptest::option::of(0_u32..4_000),
        proptest::option::of(0_u32..4_000),
    )
        .prop_map(|(admit_per_mille, asr, ner, short, pdd, acd_s)| Mark {
            admit_per_mille,
            asr,
            ner,
            short,
            pdd_ms: pdd.map(|it| it * 16),
            acd_s,
        })
}

proptest! {
    #[test]
    fn a_mark_is_read_as_it_was_written(mark in any_mark()) {
        let (quality, measure) = (Quality::new(1, 16), Measure::of_digits(ClassId(7), b"49", 3));
        quality.say(measure, GatewayId(3), mark);
        prop_assert_eq!(quality.mark(measure, GatewayId(3)), mark);
        prop_assert_eq!(quality.mark(measure, GatewayId(4)), Mark::FRESH);
    }

    /// The dullest model: a list of all that came, with its second.
    #[test]
    fn the_window_is_that_of_a_list(
        steps in proptest::collection::vec((0_u64..40, 0_usize..8, 0_usize..8), 1..60),
    ) {
        let world = built(&world(asr(0), Mode::Ordered));
        let (quality, mut judge) = (Quality::new(1, 64), Judge::new());
        let mut list: VecDeque<(u64, usize, usize)> = VecDeque::new();
        let mut now = 1_000;
        for (pause, answered, failed) in steps {
            now += pause;
            count(&world, &quality, "g1", &vec![ANSWERED; answered]);
            count(&world, &quality, "g1", &vec![FAILED; failed]);
            judge.look(&quality, &world, now);
            list.push_back((now / 10, answered, failed));
            // Sixteen buckets of ten seconds, the one that is filled among them.
            list.retain(|(bucket, ..)| bucket + 16 > now / 10);
            let (answered, failed) =
                list.iter().fold((0, 0), |sum, it| (sum.0 + it.1, sum.1 + it.2));
            let total = answered + failed;
            let want = (total >= 20).then(|| (answered * 1_000 / total) as u16);
            let mark = quality.mark(measure(&world), gateway(&world, "g1").id);
            prop_assert_eq!((mark.asr, mark.admit_per_mille), (want, 1_000));
        }
    }
}
