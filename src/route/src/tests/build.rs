//! What is refused, each by its own words, and what stays over a reload.

use std::sync::Arc;

use base::{GatewayId, ListenerId, Transport, TrunkId};

use super::{at, built, gateway, spec};
use crate::{
    BuildError, GatewaySpec, PlainRule, PlanSpec, RouteSpec, Source, Spec, TargetSpec, TrunkSpec,
    build,
};

fn refuses(change: impl FnOnce(&mut Spec), want: &[&str]) {
    let mut spec = spec();
    change(&mut spec);
    let errors = build(&spec, 1, None).expect_err("it is wrong");
    let texts: Vec<String> = errors.iter().map(BuildError::to_string).collect();
    assert_eq!(texts, want);
}

fn source(text: &str) -> Source {
    Source::parse(text).expect(text)
}

#[test]
fn names_are_unique() {
    refuses(
        |spec| {
            spec.trunks
                .push(TrunkSpec::new("alpha", source("10.0.0.1")));
            spec.gateways
                .push(GatewaySpec::new("g1", at("192.0.2.9:5060")));
        },
        &[
            "two trunks are named `alpha`",
            "two gateways are named `g1`",
        ],
    );
}

#[test]
fn a_source_belongs_to_one_trunk_and_is_a_network() {
    refuses(
        |spec| {
            spec.trunks
                .push(TrunkSpec::new("beta", source("203.0.113.9/24")))
        },
        &["source 203.0.113.0/24 belongs to trunk `alpha` and to trunk `beta`"],
    );
    refuses(
        |spec| {
            spec.trunks[0].sources[0].bits = 33;
            spec.trunks[0].sources.push(Source {
                port: Some(0),
                ..source("10.0.0.1")
            });
        },
        &[
            "trunk `alpha`: source 203.0.113.0/33 is no network",
            "trunk `alpha`: source 10.0.0.1/32 port 0 is no network",
        ],
    );
}

#[test]
fn number_formats_make_sense() {
    for (change, what) in [
        (
            (|f| f.country_code = "4a".to_owned()) as fn(&mut crate::NumberFormat),
            "country_code is not up to 3 digits",
        ),
        (
            |f| f.country_code = "4949".to_owned(),
            "country_code is not up to 3 digits",
        ),
        (
            |f| {
                f.country_code = "49".to_owned();
                f.national_prefix = Some(String::new());
            },
            "national_prefix is not made of digits",
        ),
        (
            |f| f.international_prefixes = vec!["+".to_owned()],
            "an international prefix is not made of digits",
        ),
        (
            |f| f.tech_prefixes = vec![String::new()],
            "a tech prefix is empty or too long",
        ),
        (
            |f| f.tech_prefixes = vec!["1".repeat(17)],
            "a tech prefix is empty or too long",
        ),
        (
            |f| f.national_prefix = Some("0".to_owned()),
            "national numbers need a country_code",
        ),
        (
            |f| f.plain = PlainRule::National,
            "national numbers need a country_code",
        ),
    ] {
        refuses(
            |spec| change(&mut spec.trunks[0].number),
            &[&format!("trunk `alpha`: {what}")],
        );
    }
}

#[test]
fn prefixes_are_digits_once() {
    refuses(
        |spec| {
            for prefix in ["49", "", "4x", "+49", "**", &"1".repeat(33), "*", "*"] {
                spec.routes.push(RouteSpec::new(prefix, &["g1"]));
            }
        },
        &[
            "two routes have the prefix `*`",
            "two routes have the prefix `49`",
            "prefix `` is neither 1 to 32 digits nor `*`",
            "prefix `**` is neither 1 to 32 digits nor `*`",
            "prefix `+49` is neither 1 to 32 digits nor `*`",
            "prefix `111111111111111111111111111111111` is neither 1 to 32 digits nor `*`",
            "prefix `4x` is neither 1 to 32 digits nor `*`",
        ],
    );
}

#[test]
fn routes_name_gateways_that_exist_once_with_a_weight() {
    refuses(
        |spec| {
            spec.routes
                .push(RouteSpec::new("1", &["g1", "nobody", "g1"]));
            spec.routes.push(RouteSpec::new("2", &[]));
            let target = |weight| TargetSpec {
                gateway: "g2".to_owned(),
                weight,
                priority: 0,
                when: None,
            };
            for (prefix, weight) in [("3", 0), ("4", 10_001)] {
                let plan = PlanSpec {
                    targets: vec![target(weight)],
                    ..PlanSpec::ordered(&[])
                };
                spec.routes.push(RouteSpec {
                    prefix: prefix.to_owned(),
                    plan: Arc::new(plan),
                });
            }
        },
        &[
            "route `1` names the gateway `nobody`, which does not exist",
            "route `1` names the gateway `g1` twice",
            "route `2` has no gateway",
            "route `3`: the weight 0 of gateway `g2` is not between 1 and 10000",
            "route `4`: the weight 10001 of gateway `g2` is not between 1 and 10000",
        ],
    );
    let names: Vec<String> = (0..33).map(|n| format!("h{n}")).collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    refuses(
        |spec| {
            for name in &names {
                spec.gateways
                    .push(GatewaySpec::new(name, at("192.0.2.9:5060")));
            }
            spec.routes.push(RouteSpec::new("5", &wanted[..32]));
            spec.routes.push(RouteSpec::new("6", &wanted));
        },
        &["route `6` has 33 gateways; at most 32"],
    );
}

#[test]
fn gateways_can_be_reached() {
    refuses(
        |spec| {
            spec.gateways[0].address = at("192.0.2.1:0");
            spec.gateways[1].address = at("0.0.0.0:5060");
            spec.gateways[2].listener = Some("nowhere".to_owned());
            spec.gateways[3].listener = Some("tcp".to_owned());
            let mut six = GatewaySpec::new("six", at("[2001:db8::6]:5060"));
            six.transport = Transport::Tcp;
            spec.gateways.push(six);
        },
        &[
            "gateway `g1`: nothing can be sent to 192.0.2.1:0",
            "gateway `g2`: nothing can be sent to 0.0.0.0:5060",
            "gateway `g3` names the listener `nowhere`, which does not exist",
            "gateway `g4`: listener `tcp` has another transport or address family",
            "gateway `six`: no listener has its transport and address family",
        ],
    );
}

#[test]
fn the_first_listener_that_fits_is_taken() {
    let mut spec = spec();
    spec.gateways[1].transport = Transport::Tcp;
    spec.gateways[2].address = at("[2001:db8::6]:5060");
    spec.listeners.push(spec.listeners[0].clone());
    spec.listeners[3].name = "second".to_owned();
    spec.gateways[3].listener = Some("second".to_owned());
    let world = built(&spec);
    let listeners: Vec<_> = world.gateways().map(|gateway| gateway.listener).collect();
    assert_eq!(listeners, [0, 1, 2, 3].map(|id| Some(ListenerId(id))));
}

#[test]
fn ids_stay_with_their_names_over_reloads() {
    let first = built(&spec());
    let id = |name: &str| gateway(&first, name).id;
    assert_eq!([id("g1"), id("g4")], [GatewayId(0), GatewayId(3)]);

    let mut spec = spec();
    spec.gateways.reverse();
    spec.gateways.retain(|gateway| gateway.name != "g2");
    spec.gateways
        .push(GatewaySpec::new("g9", at("192.0.2.9:5060")));
    spec.gateways[0].carrier = "Example Carrier".to_owned();
    spec.trunks
        .insert(0, TrunkSpec::new("beta", source("10.0.0.1")));
    spec.routes = vec![RouteSpec::new("49", &["g9"])];
    let second = build(&spec, 2, Some(&first)).expect("good");
    for name in ["g1", "g3", "g4"] {
        assert_eq!(gateway(&second, name).id, id(name), "{name}");
    }
    assert_eq!(gateway(&second, "g9").id, GatewayId(4));
    assert_eq!(second.trunk_named("alpha").expect("there").id, TrunkId(0));
    assert_eq!(second.trunk_named("beta").expect("there").id, TrunkId(1));
    assert!(second.gateway(id("g2")).is_none(), "removed");
    assert_eq!(second.gateway_name(id("g2")), "g2", "but known");
    assert_eq!(
        second.gateway_names(id("g4")),
        (&b"g4"[..], &b"Example Carrier"[..])
    );
    assert_eq!(second.gateway_names(GatewayId(99)), (&b""[..], &b""[..]));
    assert_eq!(
        (second.trunk_name(TrunkId(0)), second.trunk_name(TrunkId(9))),
        ("alpha", "")
    );
    assert_eq!((second.gateways_known(), second.trunks_known()), (5, 2));
    assert_eq!(second.generation(), 2);

    // The one that was gone comes back as itself.
    let third = build(&super::spec(), 3, Some(&second)).expect("good");
    assert_eq!(gateway(&third, "g2").id, id("g2"));
    assert_eq!(third.gateway_name(GatewayId(4)), "g9");
    assert_eq!(third.trunk_names(TrunkId(1)), (&b"beta"[..], &b""[..]));
}

#[test]
fn a_route_to_a_removed_gateway_is_refused() {
    let first = built(&spec());
    let mut spec = spec();
    spec.gateways.remove(1);
    let errors = build(&spec, 2, Some(&first)).expect_err("g2 is gone");
    let texts: Vec<String> = errors.iter().map(BuildError::to_string).collect();
    assert_eq!(
        texts,
        ["route `49` names the gateway `g2`, which does not exist"]
    );
}

#[test]
fn names_of_the_removed_count_towards_the_limit() {
    let mut small = spec();
    small.gateways_max = 4;
    let first = built(&small);
    small.gateways[0].name = "g5".to_owned();
    small.routes.clear();
    let errors = build(&small, 2, Some(&first)).expect_err("one too many");
    assert_eq!(errors, [BuildError::TooManyGateways { count: 5, max: 4 }]);
    small.gateways_max = 5;
    assert_eq!(
        build(&small, 2, Some(&first)).expect("room").gateways_max(),
        5
    );
}

#[test]
fn a_million_routes_share_their_plans() {
    let mut spec = spec();
    let shared = Arc::new(PlanSpec::ordered(&["g1", "g2"]));
    spec.routes = (100_000..200_000)
        .map(|prefix: u32| RouteSpec {
            prefix: prefix.to_string(),
            // Every other one says the same in a plan of its own.
            plan: match prefix % 2 {
                0 => Arc::clone(&shared),
                _ => Arc::new(PlanSpec::clone(&shared)),
            },
        })
        .collect();
    spec.routes.push(RouteSpec::new("*", &["g4"]));
    let world = built(&spec);
    assert_eq!((world.routes_len(), world.plans.len()), (100_001, 2));
    let found = world
        .find_route(&crate::Number::from_digits(b"123456789"))
        .expect("a route");
    assert_eq!(world.route(found).prefix, "123456");
    assert_eq!(world.route(found).targets.len(), 2);
}
