//! From number to candidates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{GatewayId, Money, Time, TrunkId};
use sip::Uri;

use super::{at, built, gateway, spec};
use crate::order::mix;
use crate::{
    Ask, Candidates, Code, Currency, DeckId, DeckSpec, Health, HealthEvent, ListSpec, Mode, Moment,
    Named, NoRoute, NotThere, NumberBuffer, NumbersBuilder, PlanSpec, Rate, RatesBuilder,
    RouteSpec, Scene, Side, Snapshot, Source, Spec, TargetSpec, TrunkSpec, Turns, UnknownSource,
    Verdict, Worth,
};

/// No gateway has a call, and nobody calls.
struct Nobody;

impl Scene for Nobody {
    fn calls_up(&self, _: GatewayId) -> u32 {
        0
    }

    fn caller(&self) -> &[u8] {
        b""
    }

    fn call_id(&self) -> &[u8] {
        b""
    }

    fn quality(&self) -> Option<&crate::Quality> {
        None
    }
}

/// A call from the first trunk.
fn ask<'n>(number: &'n crate::Number<'n>, dice: u64) -> Ask<'n> {
    Ask {
        trunk: TrunkId(0),
        number,
        now: Time::ZERO,
        at: Moment(1_000),
        dice,
    }
}

/// The route's prefix, then the gateways in the order to try, those left out in brackets.
fn tried(world: &Snapshot, health: &Health, dialled: &str, dice: u64) -> Result<String, NoRoute> {
    tried_in_turn(world, health, dialled, dice, &mut Turns::new())
}

fn tried_in_turn(
    world: &Snapshot,
    health: &Health,
    dialled: &str,
    dice: u64,
    turns: &mut Turns,
) -> Result<String, NoRoute> {
    let uri = format!("sip:{dialled}@x");
    let uri = Uri::parse(uri.as_bytes()).expect("a user");
    let mut buffer = NumberBuffer::new();
    let trunk = world.trunk_named("alpha").expect("there").id;
    assert_eq!(trunk, TrunkId(0));
    let number = world.number(trunk, &uri, &mut buffer).expect(dialled);
    let mut out = Candidates::new();
    let id = world.candidates(&ask(&number, dice), health, turns, &Nobody, &mut out)?;
    let mut text = world.route(id).prefix.to_owned();
    for candidate in &out {
        let name = world.gateway_name(candidate.gateway);
        text += &match candidate.may_try() {
            true => format!(" {name}"),
            false => format!(" ({name})"),
        };
    }
    Ok(text)
}

fn check(spec: &Spec, rows: &[(&str, Result<&str, NoRoute>)]) {
    let world = built(spec);
    let health = Health::new(8);
    for &(dialled, want) in rows {
        let found = tried(&world, &health, dialled, 0);
        assert_eq!(found.as_deref(), want.as_ref().copied(), "{dialled}");
    }
}

#[test]
fn longest_prefix_decides() {
    let mut spec = spec();
    spec.routes.push(RouteSpec::new("4930", &["g4"]));
    spec.routes.push(RouteSpec::new("1", &["g2", "g1"]));
    check(
        &spec,
        &[
            ("+493012", Ok("4930 g4")),
            ("+4940", Ok("49 g1 g2 g3")),
            ("12025550123", Ok("1 g2 g1")),
            ("+33", Err(NoRoute::NoPrefix)),
            ("alice", Err(NoRoute::NoPrefix)),
        ],
    );
}

#[test]
fn the_catch_all_route_takes_the_rest() {
    let mut spec = spec();
    spec.routes.push(RouteSpec::new("*", &["g4"]));
    check(
        &spec,
        &[
            ("+4940", Ok("49 g1 g2 g3")),
            ("+33", Ok("* g4")),
            ("alice", Ok("* g4")),
            ("*21", Ok("* g4")),
        ],
    );
}

#[test]
fn who_is_down_or_in_maintenance_is_left_out() {
    let mut spec = spec();
    spec.gateways[1].maintenance = true;
    let world = built(&spec);
    let mut health = Health::new(8);
    for _ in 0..5 {
        health.apply(
            gateway(&world, "g1"),
            HealthEvent::TransportError,
            Time::ZERO,
        );
    }
    assert_eq!(
        tried(&world, &health, "+49", 0).as_deref(),
        Ok("49 (g1) (g2) g3")
    );
    for _ in 0..5 {
        health.apply(
            gateway(&world, "g3"),
            HealthEvent::TransportError,
            Time::ZERO,
        );
    }
    assert_eq!(
        tried(&world, &health, "+49", 0).as_deref(),
        Ok("49 (g1) (g2) (g3)")
    );
}

fn weighted(weights: &[(&str, u32)]) -> RouteSpec {
    let targets = weights.iter().map(|&(gateway, weight)| TargetSpec {
        gateway: gateway.to_owned(),
        weight,
        priority: 0,
        when: None,
    });
    RouteSpec {
        prefix: "7".to_owned(),
        plan: Arc::new(PlanSpec {
            targets: targets.collect(),
            mode: Mode::Weighted,
            ..PlanSpec::ordered(&[])
        }),
    }
}

/// How often each gateway would be tried first, over some calls in a row.
fn first_tried(world: &Snapshot, health: &Health, throws: u64) -> BTreeMap<String, u64> {
    let (mut counts, mut turns) = (BTreeMap::new(), Turns::new());
    for k in 0..throws {
        let text = tried_in_turn(world, health, "+7", mix(k), &mut turns).expect("a route");
        let first = text.split(' ').skip(1).find(|name| !name.starts_with('('));
        *counts
            .entry(first.expect("one is fit").to_owned())
            .or_default() += 1;
    }
    counts
}

#[test]
fn weights_are_exact_shares_also_among_those_that_are_left() {
    let mut spec = spec();
    spec.routes
        .push(weighted(&[("g1", 5), ("g2", 3), ("g3", 2)]));
    let world = built(&spec);
    let mut health = Health::new(8);
    let want = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
        counts
            .iter()
            .map(|&(name, count)| (name.to_owned(), count))
            .collect()
    };
    let all = first_tried(&world, &health, 1_000);
    assert_eq!(all, want(&[("g1", 500), ("g2", 300), ("g3", 200)]));
    for _ in 0..5 {
        health.apply(
            gateway(&world, "g1"),
            HealthEvent::TransportError,
            Time::ZERO,
        );
    }
    // 3/10 + 5/10 · 3/5 = 3/5, and so on: the share of who is down falls to the others by weight.
    let rest = first_tried(&world, &health, 1_000);
    assert_eq!(rest, want(&[("g2", 600), ("g3", 400)]));
}

/// Decks `cheap`, `dear` and `sold` with these prices for 7 in hundred-millionths; 0: it is blocked.
fn priced(spec: &mut Spec, prices: [&[(&str, i64)]; 3]) {
    let mut builder = RatesBuilder::new();
    for (rows, deck) in prices.into_iter().zip(0..) {
        for (code, parts) in rows {
            let rate = Rate {
                is_blocked: *parts == 0,
                ..Rate::per_minute(Money::from_parts(*parts))
            };
            let code = Code::new(code.as_bytes()).expect("digits");
            builder.push(DeckId(deck), code, rate, Moment::FIRST, Moment::LAST);
        }
    }
    spec.rates = Arc::new(builder.build(Moment(1)).expect("each code once"));
    let deck = |name: &str| DeckSpec {
        name: name.to_owned(),
        currency: Currency::parse("USD").expect("letters"),
        worth: Worth::SAME,
    };
    spec.decks = ["cheap", "dear", "sold"].map(deck).to_vec();
    spec.gateways[0].deck = Some("dear".to_owned());
    spec.gateways[1].deck = Some("cheap".to_owned());
    spec.gateways[2].deck = Some("cheap".to_owned());
    spec.trunks[0].deck = Some("sold".to_owned());
}

fn by(mode: Mode, gateways: &[&str]) -> RouteSpec {
    RouteSpec {
        prefix: "7".to_owned(),
        plan: Arc::new(PlanSpec {
            mode,
            ..PlanSpec::ordered(gateways)
        }),
    }
}

#[test]
fn the_cheapest_first_and_nobody_at_a_loss() {
    let mut spec = spec();
    let rows: [&[(&str, i64)]; 3] = [
        &[("7", 100), ("71", 300), ("72", 0), ("75", 150)],
        &[("7", 200), ("73", 250), ("74", 100)],
        &[("7", 200), ("76", 0)],
    ];
    priced(&mut spec, rows);
    spec.routes.push(by(Mode::Cost, &["g1", "g2", "g3"]));
    let world = built(&spec);
    let health = Health::new(8);
    let order = |dialled: &str, dice| tried(&world, &health, dialled, dice);
    // Both of the cheap deck take turns at being first.
    let firsts: BTreeSet<String> = (0..64)
        .map(|k| order("+70", mix(k)).expect("a route"))
        .collect();
    let want = ["7 g2 g3 g1", "7 g3 g2 g1"].map(str::to_owned);
    assert_eq!(firsts, BTreeSet::from(want));
    for (dialled, want) in [
        ("+71", "7 g1 (g2) (g3)"),
        ("+72", "7 g1 (g2) (g3)"),
        ("+73", "7 g2 g3 (g1)"),
        ("+74", "7 g1 g2 g3"),
    ] {
        let told = order(dialled, 0).expect("a route");
        let sorted = |text: &str| {
            let mut names: Vec<String> = text.split(' ').map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(sorted(&told), sorted(want), "{dialled}: {told}");
        let first = |text: &str| {
            text.split(' ')
                .find(|it| it.starts_with('g'))
                .map(str::to_owned)
        };
        if want != "7 g2 g3 (g1)" {
            assert_eq!(first(&told), first(want), "{dialled}: {told}");
        }
    }
    assert_eq!(order("+76", 0), Err(NoRoute::NotSold));
}

#[test]
fn prices_hold_in_every_order() {
    for mode in [Mode::Ordered, Mode::Weighted, Mode::Parallel] {
        let mut spec = spec();
        priced(&mut spec, [&[("7", 300)], &[("7", 100)], &[("7", 200)]]);
        spec.routes.push(by(mode, &["g1", "g2", "g4"]));
        let world = built(&spec);
        for k in 0..20 {
            let told = tried(&world, &Health::new(8), "+7", mix(k)).expect("a route");
            assert!(
                told.contains("(g2)") && !told.contains("(g1)"),
                "{mode:?}: {told}"
            );
            // Nobody asks what costs whoever has no deck.
            assert!(!told.contains("(g4)"), "{mode:?}: {told}");
        }
    }
}

#[test]
fn who_names_a_gateway_does_not_choose_the_price() {
    let mut spec = spec();
    let rows: [&[(&str, i64)]; 3] = [
        &[("7", 100), ("71", 300), ("72", 0)],
        &[("7", 200), ("73", 250)],
        &[("7", 200), ("76", 0), ("8", 200)],
    ];
    priced(&mut spec, rows);
    spec.routes.push(by(Mode::Cost, &["g1", "g2"]));
    let told = |spec: &Spec, dialled: &str, name: &str| {
        let world = built(spec);
        let number = crate::Number::from_digits(dialled.as_bytes());
        let id = gateway(&world, name).id;
        let out = world.named(&ask(&number, 0), id)?;
        let verdicts: Vec<_> = out.iter().map(|it| (it.gateway, it.verdict)).collect();
        assert_eq!(verdicts, [(id, Verdict::Try)]);
        Ok(out.sold.map(|price| price.per_minute.parts()))
    };
    let kept = Err(NotThere::Kept);
    for (dialled, name, want) in [
        ("70", "g1", Ok(Some(200))),
        ("70", "g2", Ok(Some(200))),
        ("71", "g2", kept),
        ("72", "g2", kept),
        ("73", "g1", kept),
        // Beside the route: nobody knows whether it is a loss, unless it has no price at all.
        ("70", "g3", kept),
        ("70", "g4", Ok(Some(200))),
        ("76", "g1", Err(NotThere::NoRoute(NoRoute::NotSold))),
        ("80", "g1", Err(NotThere::NoRoute(NoRoute::NoPrefix))),
    ] {
        assert_eq!(told(&spec, dialled, name), want, "{dialled} by {name}");
    }
    spec.trunks[0].exclude = vec!["g1".to_owned()];
    assert_eq!(told(&spec, "70", "g1"), kept);
    assert_eq!(told(&spec, "70", "g2"), Ok(Some(200)));
    // Nothing is sold, so nothing is lost; but what a vendor does not have is not to be had.
    spec.trunks[0].exclude = Vec::new();
    spec.trunks[0].deck = None;
    for (dialled, name, want) in [
        ("71", "g2", Ok(None)),
        ("72", "g2", kept),
        ("70", "g3", Ok(None)),
        ("80", "g1", Ok(None)),
    ] {
        assert_eq!(told(&spec, dialled, name), want, "{dialled} by {name}");
    }
}

#[test]
fn prices_begin_by_themselves() {
    let mut spec = spec();
    priced(&mut spec, [&[], &[], &[("7", 500)]]);
    let mut builder = RatesBuilder::new();
    let mut push = |deck, parts, from, until| {
        let rate = Rate::per_minute(Money::from_parts(parts));
        let code = Code::new(b"7").expect("digits");
        builder.push(DeckId(deck), code, rate, Moment(from), Moment(until));
    };
    push(0, 100, 0, 2_000);
    push(0, 300, 2_000, u32::MAX);
    push(1, 200, 0, u32::MAX);
    push(2, 500, 0, u32::MAX);
    spec.rates = Arc::new(builder.build(Moment(1)).expect("in a row"));
    spec.routes.push(by(Mode::Cost, &["g1", "g2"]));
    let world = built(&spec);
    let first = |at| {
        let number = crate::Number::from_digits(b"7");
        let mut out = Candidates::new();
        let ask = Ask {
            at: Moment(at),
            ..ask(&number, 0)
        };
        let found = world.candidates(&ask, &Health::new(8), &mut Turns::new(), &Nobody, &mut out);
        found.expect("a route");
        let sold = out.sold.expect("a price").per_minute.parts();
        let (_, gateway) = out.next_to_try(0).expect("a gateway");
        let price = world.price(gateway, &number, Moment(at)).expect("a price");
        (
            world.gateway_name(gateway).to_owned(),
            price.per_minute.parts(),
            sold,
        )
    };
    assert_eq!(first(1_999), ("g2".to_owned(), 100, 500));
    assert_eq!(first(2_000), ("g1".to_owned(), 200, 500));
}

#[test]
fn a_parallel_route_keeps_its_order() {
    let mut spec = spec();
    let plan = PlanSpec {
        mode: Mode::Parallel,
        ..PlanSpec::ordered(&["g3", "g1"])
    };
    spec.routes.push(RouteSpec {
        prefix: "7".to_owned(),
        plan: Arc::new(plan),
    });
    let world = built(&spec);
    for k in 0..50 {
        assert_eq!(
            tried(&world, &Health::new(8), "+7", mix(k)).as_deref(),
            Ok("7 g3 g1")
        );
    }
    let mut buffer = NumberBuffer::new();
    let uri = Uri::parse(b"sip:+7@x").expect("good");
    let number = world.number(TrunkId(0), &uri, &mut buffer).expect("good");
    let route = world.route(world.find_route(&number).expect("there"));
    assert!(route.is_parallel());
    assert_eq!((route.prefix_text(), route.attempts_max), (&b"7"[..], 3));
}

#[test]
fn next_to_try_skips_those_left_out() {
    let mut spec = spec();
    spec.gateways[1].maintenance = true;
    let world = built(&spec);
    let mut out = Candidates::new();
    let number = crate::Number::from_digits(b"49");
    let health = Health::new(8);
    world
        .candidates(
            &ask(&number, 0),
            &health,
            &mut Turns::new(),
            &Nobody,
            &mut out,
        )
        .expect("a route");
    let id = |name: &str| gateway(&world, name).id;
    assert_eq!(out.next_to_try(0), Some((0, id("g1"))));
    assert_eq!(out.next_to_try(1), Some((2, id("g3"))));
    assert_eq!((out.next_to_try(3), out.next_to_try(99)), (None, None));
    assert_eq!((out.len(), out.get(3), out.is_empty()), (3, None, false));
    assert_eq!(
        Candidates::only(id("g2")).next_to_try(0),
        Some((0, id("g2")))
    );
}

#[test]
fn a_call_of_an_unknown_trunk_goes_nowhere() {
    let world = built(&spec());
    let mut out = Candidates::only(gateway(&world, "g1").id);
    let number = crate::Number::from_digits(b"49");
    let stranger = Ask {
        trunk: TrunkId(7),
        ..ask(&number, 0)
    };
    let found = world.candidates(
        &stranger,
        &Health::new(8),
        &mut Turns::new(),
        &Nobody,
        &mut out,
    );
    assert_eq!((found, out.len()), (Err(NoRoute::NoPrefix), 0));
}

#[test]
fn addresses_trunks_and_methods() {
    let mut spec = spec();
    let mut beta = TrunkSpec::new("beta", Source::parse("203.0.113.7").expect("good"));
    beta.allow = vec!["INVITE".to_owned(), "OPTIONS".to_owned()];
    spec.trunks.push(beta);
    spec.unknown_source = UnknownSource::Drop;
    let world = built(&spec);
    let udp = base::Transport::Udp;
    assert_eq!(world.ingress(at("203.0.113.8:9"), udp), Some(TrunkId(0)));
    assert_eq!(world.ingress(at("203.0.113.7:9"), udp), Some(TrunkId(1)));
    assert_eq!(world.ingress(at("192.0.2.1:5060"), udp), None);
    assert_eq!(
        world.egress(at("192.0.2.2:5060"), udp),
        Some(gateway(&world, "g2").id)
    );
    for (address, known) in [
        ("203.0.113.200:1", true),
        ("192.0.2.4:999", true),
        ("[::ffff:192.0.2.4]:5060", true),
        ("192.0.2.5:5060", false),
        ("198.51.100.1:5060", false),
    ] {
        assert_eq!(world.is_known_address(at(address)), known, "{address}");
    }
    let beta = world.trunk_named("beta").expect("there");
    assert!(beta.allows(b"INVITE") && !beta.allows(b"invite") && !beta.allows(b"REGISTER"));
    assert_eq!(beta.allowed().collect::<Vec<_>>(), ["INVITE", "OPTIONS"]);
    assert!(
        world
            .trunk_named("alpha")
            .expect("there")
            .allows(b"ANYTHING")
    );
    assert_eq!(world.unknown_source(), UnknownSource::Drop);
}

/// One normal form for blocking, whatever somebody dials to get around it.
#[test]
fn b25_a_blocked_number_is_blocked_however_it_is_written() {
    let mut numbers = NumbersBuilder::new();
    numbers.add(b"4930123", Named::Beginning).expect("digits");
    numbers.add(b"88160", Named::Exactly).expect("digits");
    let mut spec = spec();
    spec.lists = vec![ListSpec {
        name: "fraud".to_owned(),
        numbers: Arc::new(numbers.build()),
    }];
    spec.screen.block_called = vec!["fraud".to_owned()];
    spec.trunks[0].number.international_prefixes = vec!["00".to_owned()];
    spec.trunks[0].number.tech_prefixes = vec!["77#".to_owned()];
    spec.trunks[0].number.country_code = "49".to_owned();
    spec.trunks[0].number.national_prefix = Some("0".to_owned());
    let world = built(&spec);
    let told = |uri: &str| {
        let uri = Uri::parse(uri.as_bytes()).expect(uri);
        let mut buffer = NumberBuffer::new();
        let number = world.number(TrunkId(0), &uri, &mut buffer);
        number.map(|number| {
            world
                .blocks(TrunkId(0), Side::Called, &number, Moment(1))
                .is_some()
        })
    };
    for uri in [
        "sip:+493012345@x",
        "sip:00493012345@x",
        "sip:03012345@x",
        "sip:493012345@x",
        "sip:+49-30-123.45@x",
        "sip:+49(30)12345@x",
        "sip:%2B49%3301%32345@x",
        "sip:77%2303012345@x",
        "sip:+493012345;npdi@x;user=phone",
        "tel:+49-30-12345",
        "sip:+88160@x",
    ] {
        assert_eq!(told(uri), Ok(true), "{uri}");
    }
    for uri in ["sip:+4930124@x", "sip:+881601@x", "sip:4930@x"] {
        assert_eq!(told(uri), Ok(false), "{uri}");
    }
    // What cannot be brought into that form is refused, or is no number that a vendor gets.
    for uri in [
        "sip:+0493012345@x",
        "sip:+49301234567890123456789012345678901@x",
    ] {
        assert!(told(uri).is_err(), "{uri}");
    }
}

#[test]
fn whom_a_trunk_excludes_is_never_tried() {
    let mut spec = spec();
    spec.gateways[0].carrier = "Beta".to_owned();
    spec.gateways[3].carrier = "Beta".to_owned();
    let order = |spec: &Spec| {
        let world = built(spec);
        let told = tried(&world, &Health::new(8), "+49", 0).expect("a route");
        let id = |name: &str| gateway(&world, name).id;
        let mut out = Candidates::new();
        let number = crate::Number::from_digits(b"49");
        let found = world.candidates(
            &ask(&number, 0),
            &Health::new(8),
            &mut Turns::new(),
            &Nobody,
            &mut out,
        );
        found.expect("a route");
        (
            told,
            ["g1", "g2"].map(|name| world.may_follow(&out, id(name))),
        )
    };
    spec.trunks[0].exclude = vec!["Beta".to_owned()];
    assert_eq!(order(&spec), ("49 (g1) g2 g3".to_owned(), [false, true]));
    spec.trunks[0].exclude = Vec::new();
    spec.trunks[0].only = vec!["Beta".to_owned(), "g3".to_owned()];
    assert_eq!(order(&spec), ("49 g1 (g2) g3".to_owned(), [true, false]));
    spec.trunks[0].only = vec!["Gamma".to_owned()];
    let errors = crate::build(&spec, 1, None).expect_err("nobody is called that");
    let want = "trunk `alpha` names `Gamma`, which is neither a gateway nor the carrier of one";
    assert_eq!(errors[0].to_string(), want);
}
