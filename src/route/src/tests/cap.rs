//! Which caps a call is counted by, and under which name.

use std::sync::Arc;

use super::{built, spec};
use crate::{
    Apart, BuildError, CapRule, CapSide, CapSpec, GatewaySpec, ListSpec, Named, NumbersBuilder,
    Snapshot, Source, Spec, TrunkSpec,
};

fn cap(name: &str, side: CapSide, peers: &[&str], prefixes: &[&str]) -> CapSpec {
    let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
    CapSpec {
        name: name.to_owned(),
        side,
        peers: owned(peers),
        lists: Vec::new(),
        prefixes: owned(prefixes),
        apart: None,
        by_prefix: false,
        rule: CapRule::default(),
    }
}

/// Three trunks, two of them of one carrier, and these caps.
fn world(caps: Vec<CapSpec>) -> Spec {
    let trunk = |name: &str, carrier: &str, network: &str| TrunkSpec {
        carrier: carrier.to_owned(),
        ..TrunkSpec::new(name, Source::parse(network).expect("a network"))
    };
    let base = spec();
    let gateway = |mut gateway: GatewaySpec| {
        gateway.carrier = if gateway.name == "g4" { "far" } else { "near" }.to_owned();
        gateway
    };
    Spec {
        trunks: vec![
            trunk("alpha", "acme", "203.0.113.0/25"),
            trunk("beta", "acme", "203.0.113.128/25"),
            trunk("gamma", "", "192.0.2.128/25"),
        ],
        gateways: base.gateways.into_iter().map(gateway).collect(),
        caps,
        caps_max: 16,
        ..base
    }
}

/// The names of the cells that a call of each trunk is counted in.
fn of_trunks(world: &Snapshot, number: &str) -> [String; 3] {
    ["alpha", "beta", "gamma"].map(|name| {
        let trunk = world.trunk_named(name).expect(name).id;
        let cells = world.caps_of_trunk(trunk, number.as_bytes());
        let names: Vec<&str> = cells.map(|id| world.cap_name(id)).collect();
        names.join(" ")
    })
}

#[test]
fn who_is_counted_with_whom() {
    let caps = vec![
        CapSpec {
            apart: Some(Apart::Peer),
            by_prefix: true,
            ..cap("premium", CapSide::Trunks, &[], &["49", "4930", "1"])
        },
        CapSpec {
            apart: Some(Apart::Carrier),
            ..cap("all", CapSide::Trunks, &[], &[])
        },
        cap("two", CapSide::Trunks, &["acme", "gamma"], &["4930"]),
    ];
    let world = built(&world(caps));
    assert_eq!(
        of_trunks(&world, "4930123"),
        [
            "premium/alpha/4930 all/acme two",
            "premium/beta/4930 all/acme two",
            "premium/gamma/4930 all/gamma two"
        ]
    );
    assert_eq!(
        of_trunks(&world, "4940"),
        [
            "premium/alpha/49 all/acme",
            "premium/beta/49 all/acme",
            "premium/gamma/49 all/gamma"
        ]
    );
    // What is no number is of none of them.
    assert_eq!(of_trunks(&world, ""), ["all/acme", "all/acme", "all/gamma"]);
    assert_eq!(world.caps_known(), 9 + 2 + 1);
}

#[test]
fn vendors_and_lists() {
    let mut numbers = NumbersBuilder::new();
    numbers.add(b"4977", Named::Beginning).unwrap();
    let far = CapSpec {
        lists: vec!["costly".to_owned()],
        ..cap("far", CapSide::Gateways, &["far"], &["1"])
    };
    let spec = Spec {
        lists: vec![ListSpec {
            name: "costly".to_owned(),
            numbers: Arc::new(numbers.build()),
        }],
        ..world(vec![far])
    };
    let world = built(&spec);
    let of = |gateway: &str, number: &str| {
        let id = super::gateway(&world, gateway).id;
        world.caps_of_gateway(id, number.as_bytes()).count()
    };
    let found = ["49771", "12", "4978"].map(|number| [of("g4", number), of("g1", number)]);
    assert_eq!(found, [[1, 0], [1, 0], [0, 0]]);
    assert_eq!(of_trunks(&world, "49771"), ["", "", ""]);
}

#[test]
fn cells_keep_their_numbers_over_reloads() {
    let names = |world: &Snapshot| of_trunks(world, "49").map(|it| it.replace("all ", ""));
    let apart = |name: &str| CapSpec {
        apart: Some(Apart::Peer),
        ..cap(name, CapSide::Trunks, &[], &[])
    };
    let first = built(&world(vec![apart("a"), apart("b")]));
    let second = crate::build(&world(vec![apart("b"), apart("c")]), 2, Some(&first));
    let second = second.expect("a good spec");
    assert_eq!(
        names(&second),
        ["b/alpha c/alpha", "b/beta c/beta", "b/gamma c/gamma"]
    );
    let id = |world: &Snapshot, name: &str| {
        let all = (0..world.caps_known()).map(|at| crate::CapId(at as u16));
        all.filter(|id| world.cap_name(*id) == name)
            .collect::<Vec<_>>()
    };
    assert_eq!(id(&first, "b/beta"), id(&second, "b/beta"));
    // Those that are gone keep theirs unused.
    let gone = id(&second, "a/beta")[0];
    assert_eq!((second.cap(gone), second.caps_known()), (None, 9));
}

#[test]
fn what_is_wrong_is_told() {
    let mut wrong = world(vec![
        cap("one", CapSide::Trunks, &["nobody"], &["49x"]),
        cap("one", CapSide::Gateways, &["alpha"], &[]),
        CapSpec {
            lists: vec!["none".to_owned()],
            ..cap("two", CapSide::Trunks, &["alpha"], &[])
        },
    ]);
    wrong.caps_max = 1;
    let errors = crate::build(&wrong, 1, None).expect_err("it is wrong");
    let told: Vec<String> = errors.iter().map(BuildError::to_string).collect();
    for want in [
        "cap `one` names `nobody`",
        "prefix `49x`",
        "two caps are named `one`",
        "cap `one` names `alpha`",
        "cap `two` names the list `none`",
    ] {
        assert!(told.iter().any(|it| it.contains(want)), "{want}: {told:?}");
    }
    let many = (0..9).map(|at| cap(&format!("c{at}"), CapSide::Trunks, &["gamma"], &[]));
    let mut many = world(many.collect());
    many.caps_max = 8;
    let errors = crate::build(&many, 1, None).expect_err("there are too many");
    let count = 9;
    let of_peer = BuildError::TooManyCapsOfPeer {
        peer: "gamma".to_owned(),
        count,
    };
    assert_eq!(errors, [BuildError::TooManyCaps { count, max: 8 }, of_peer]);
}
