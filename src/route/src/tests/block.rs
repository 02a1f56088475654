//! Which calls a block keeps from whom, and when.

use std::sync::Arc;

use base::{Time, TrunkId};
use sip::Uri;

use super::{built, spec};
use crate::{
    Ask, BlockSpec, BuildError, Candidates, GatewaySpec, Health, ListSpec, Moment, Named, Number,
    NumberBuffer, NumbersBuilder, Occasion, Side, Snapshot, Source, Spec, TrunkSpec, Turns,
    Verdict, explain_dialled,
};

const BEGIN: Moment = Moment(1_000);
const END: Moment = Moment(2_000);

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|it| (*it).to_owned()).collect()
}

fn block(name: &str, trunks: &[&str], gateways: &[&str], prefixes: &[&str]) -> BlockSpec {
    BlockSpec {
        name: name.to_owned(),
        trunks: owned(trunks),
        gateways: owned(gateways),
        prefixes: owned(prefixes),
        lists: Vec::new(),
        from: BEGIN,
        until: END,
        words: format!("why {name} (anna)"),
    }
}

/// Two trunks, one of a carrier; g1 and g2 are of another one; and these blocks.
fn world(blocks: Vec<BlockSpec>) -> Spec {
    let trunk = |name: &str, carrier: &str, network: &str| TrunkSpec {
        carrier: carrier.to_owned(),
        ..TrunkSpec::new(name, Source::parse(network).expect("a network"))
    };
    let base = spec();
    let gateway = |mut gateway: GatewaySpec| {
        let is_near = ["g1", "g2"].contains(&&*gateway.name);
        gateway.carrier = if is_near { "near" } else { "" }.to_owned();
        gateway
    };
    Spec {
        trunks: vec![
            trunk("alpha", "acme", "203.0.113.0/25"),
            trunk("beta", "", "203.0.113.128/25"),
        ],
        gateways: base.gateways.into_iter().map(gateway).collect(),
        blocks,
        ..base
    }
}

fn with_number<R>(
    world: &Snapshot,
    trunk: TrunkId,
    dialled: &str,
    then: impl FnOnce(&Number<'_>) -> R,
) -> R {
    let uri = format!("sip:+{dialled}@198.51.100.1");
    let uri = Uri::parse(uri.as_bytes()).expect("a URI");
    let mut buffer = NumberBuffer::new();
    then(&world.number(trunk, &uri, &mut buffer).expect("a number"))
}

/// Who gets a call: `-` if it is refused.
fn who(world: &Snapshot, trunk: &str, dialled: &str, at: Moment) -> String {
    let trunk = world.trunk_named(trunk).expect("a trunk").id;
    with_number(world, trunk, dialled, |number| {
        if world.blocks(trunk, Side::Called, number, at).is_some() {
            return "-".to_owned();
        }
        let ask = Ask {
            trunk,
            number,
            now: Time::ZERO,
            at,
            dice: 1,
        };
        let (health, mut out) = (Health::new(8), Candidates::new());
        let found = world.candidates(&ask, &health, &mut Turns::new(), &occasion(at), &mut out);
        found.expect("a route");
        let fit = out.iter().filter(|it| it.verdict == Verdict::Try);
        let names: Vec<&str> = fit.map(|it| world.gateway_name(it.gateway)).collect();
        for candidate in out.iter() {
            let may_go = world.may_go(trunk, candidate.gateway, number.digits(), at);
            assert_eq!(may_go, candidate.verdict == Verdict::Try);
        }
        names.join(" ")
    })
}

fn occasion(at: Moment) -> Occasion<'static> {
    Occasion {
        now: Time::ZERO,
        at,
        dice: 1,
        caller: b"",
        call_id: b"",
        quality: None,
    }
}

const NOW: Moment = Moment(1_500);

#[test]
fn gateways_are_left_out_of_what_a_block_is_about() {
    let world = built(&world(vec![
        block("one", &[], &["g2"], &["4930", "4940"]),
        block("carrier", &["acme"], &["near"], &["4989"]),
        block("always", &["beta"], &["g3"], &[]),
    ]));
    for (trunk, dialled, want) in [
        ("alpha", "4930123", "g1 g3"),
        ("alpha", "4940", "g1 g3"),
        ("alpha", "4931", "g1 g2 g3"),
        ("alpha", "49891", "g3"),
        ("beta", "49891", "g1 g2"),
        ("beta", "4930", "g1"),
    ] {
        assert_eq!(who(&world, trunk, dialled, NOW), want, "{trunk} {dialled}");
    }
}

#[test]
fn calls_that_nobody_is_to_carry_are_refused() {
    let mut numbers = NumbersBuilder::new();
    numbers.add(b"49301", Named::Exactly).expect("a number");
    let unpaid = block("unpaid", &["acme"], &[], &[]);
    let some = BlockSpec {
        lists: owned(&["some"]),
        ..block("some", &["beta"], &[], &["4940"])
    };
    let world = built(&Spec {
        lists: vec![ListSpec {
            name: "some".to_owned(),
            numbers: Arc::new(numbers.build()),
        }],
        ..world(vec![unpaid, some])
    });
    for (trunk, dialled, want) in [
        ("alpha", "4930", "-"),
        ("beta", "49301", "-"),
        ("beta", "493012", "g1 g2 g3"),
        ("beta", "49401", "-"),
        ("beta", "4950", "g1 g2 g3"),
    ] {
        assert_eq!(who(&world, trunk, dialled, NOW), want, "{trunk} {dialled}");
    }
}

#[test]
fn a_block_begins_and_ends_by_itself() {
    let world = built(&world(vec![
        block("refuse", &["alpha"], &[], &[]),
        block("bar", &["beta"], &["g1"], &[]),
    ]));
    for (at, is_blocked) in [
        (0, false),
        (999, false),
        (1_000, true),
        (1_999, true),
        (2_000, false),
    ] {
        let at = Moment(at);
        let want = if is_blocked {
            ["-", "g2 g3"]
        } else {
            ["g1 g2 g3"; 2]
        };
        let got = ["alpha", "beta"].map(|trunk| who(&world, trunk, "4930", at));
        assert_eq!(got, want, "{at:?}");
    }
}

#[test]
fn explain_says_which_block_and_why() {
    let world = built(&world(vec![
        block("refuse", &["alpha"], &[], &["4930"]),
        block("bar", &[], &["g1"], &[]),
    ]));
    let explain = |dialled: &str| {
        let trunk = world.trunk_named("alpha").expect("a trunk").id;
        let told = explain_dialled(&world, &Health::new(8), trunk, dialled, occasion(NOW));
        told.expect("a number").to_string()
    };
    let refused = explain("+4930");
    assert!(
        refused.contains("block `refuse`: why refuse (anna)"),
        "{refused}"
    );
    let barred = explain("+4940");
    assert!(barred.contains("barred"), "{barred}");
    assert!(barred.contains("block `bar`: why bar (anna)"), "{barred}");
}

#[test]
fn names_that_nobody_has_are_told() {
    let mut wrong = block("wrong", &["nobody"], &["nowhere"], &["49"]);
    wrong.lists = owned(&["none"]);
    let spec = world(vec![
        wrong,
        block("twice", &[], &[], &[]),
        block("twice", &[], &[], &[]),
    ]);
    let errors = crate::build(&spec, 1, None).expect_err("nothing of it is there");
    let told: Vec<String> = errors.iter().map(BuildError::to_string).collect();
    for want in [
        "block `wrong` names `nobody`, which is neither a trunk nor the carrier of one",
        "block `wrong` names `nowhere`, which is neither a gateway nor the carrier of one",
        "block `wrong` names the list `none`, which does not exist",
        "two blocks are named `twice`",
    ] {
        assert!(told.iter().any(|it| it == want), "{want}: {told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
}
