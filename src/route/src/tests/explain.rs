//! What people and programs are told about a call that is not made.

use base::Time;

use super::{built, chain, gateway, spec};
use crate::{
    Health, HealthEvent, Moment, NumberError, Occasion, Refusal, RouteSpec, Snapshot,
    explain_dialled,
};

const OCCASION: Occasion<'_> = Occasion {
    now: Time::ZERO,
    at: Moment(1),
    dice: 0,
    caller: b"",
    call_id: b"",
    quality: None,
};

fn told(world: &Snapshot, health: &Health, dialled: &str, now: Time) -> crate::Explanation {
    let trunk = world.trunk_named("alpha").expect("there").id;
    let occasion = Occasion { now, ..OCCASION };
    explain_dialled(world, health, trunk, dialled, occasion).expect(dialled)
}

fn world() -> Snapshot {
    let mut spec = spec();
    spec.trunks[0].number.tech_prefixes = vec!["77#".to_owned()];
    spec.trunks[0].number.international_prefixes = vec!["00".to_owned()];
    spec.gateways[0].carrier = "Example".to_owned();
    spec.gateways[1].maintenance = true;
    spec.gateways[2].called.strip = 2;
    spec.routes.push(RouteSpec::new("1", &["g2"]));
    built(&spec)
}

#[test]
fn the_whole_path_for_people() {
    let world = world();
    let mut health = Health::new(8);
    for _ in 0..5 {
        health.apply(
            gateway(&world, "g1"),
            HealthEvent::TransportError,
            Time::ZERO,
        );
    }
    // 30 s of hold-down and 3 s of a return that takes 30.
    let text = told(&world, &health, "77#00493012", Time::from_millis(33_000)).to_string();
    let want = "\
trunk      alpha
dialled    77%2300493012
number     493012   (international prefix; tech prefix 77# taken off)
route      49   (ordered, at most 3 attempts)
  1. g1               slow return    udp:192.0.2.1:5060 weight 1, returning (19% of its calls), 2000 ms to respond
     sip:+493012@192.0.2.1
  2. g2               in maintenance udp:192.0.2.2:5060 weight 1, maintenance, 2000 ms to respond
     sip:+493012@192.0.2.2
  3. g3               try            udp:192.0.2.3:5060 weight 1, up, 2000 ms to respond
     sip:+3012@192.0.2.3
";
    assert_eq!(text, want);
}

#[test]
fn what_rules_made_of_a_number_is_told() {
    let mut spec = spec();
    spec.trunks[0].rules.called = chain(&[("in", "9", 1, "+")]);
    spec.gateways[1].rules.called = chain(&[("out", "+49", 3, "0"), ("again", "0", 1, "#")]);
    let (world, health) = (built(&spec), Health::new(8));
    let explanation = told(&world, &health, "949301", Time::ZERO);
    let text = explanation.to_string();
    let want = "\
trunk      alpha
dialled    949301
rewritten  +49301   (in rule 1: begins 9, strip 1, prepend +)
number     49301   (+E.164)
route      49   (ordered, at most 3 attempts)
  1. g1               try            udp:192.0.2.1:5060 weight 1, up, 2000 ms to respond
     sip:+49301@192.0.2.1
  2. g2               try            udp:192.0.2.2:5060 weight 1, up, 2000 ms to respond
     sip:%23301@192.0.2.2   (out rule 1: begins +49, strip 3, prepend 0; again rule 1: begins 0, strip 1, prepend #)
";
    assert!(text.starts_with(want), "{text}");
    let json = explanation.to_json();
    let want =
        r#""rewritten":"+49301","rules":["in rule 1: begins 9, strip 1, prepend +"],"caps":[],"#;
    assert!(json.contains(want), "{json}");
    assert!(
        told(&world, &health, "+49301", Time::ZERO)
            .rewritten
            .is_none()
    );
}

#[test]
fn the_same_for_programs() {
    let world = world();
    let health = Health::new(8);
    let json = told(&world, &health, "sip:+1202@x", Time::ZERO).to_json();
    let want = concat!(
        r#"{"generation":1,"trunk":"alpha","dialled":"+1202","rewritten":null,"rules":[],"caps":[],"number":"1202","rule":"+E.164","#,
        r#""tech_prefix":"","prefix":"1","mode":"ordered","balance":null,"sold":null,"income":null,"call_seconds":180,"margin":null,"#,
        r#""attempts_max":3,"#,
        r#""refused":"no gateway of the route may be tried now","candidates":["#,
        r#"{"position":1,"gateway":"g2","carrier":"","address":"192.0.2.2:5060","#,
        r#""transport":"udp","weight":1,"state":"maintenance","skipped":"in maintenance","priority":0,"#,
        r#""why":null,"deck":null,"price":null,"cost":null,"margin":null,"caps":[],"rules":[],"#,
        r#""request_uri":"sip:+1202@192.0.2.2","no_response_ms":2000}]}"#,
    );
    assert_eq!(json, want);
}

#[test]
fn refusals_say_at_which_step() {
    let world = world();
    let health = Health::new(8);
    let refused = |dialled: &str| told(&world, &health, dialled, Time::ZERO).refused;
    assert_eq!(refused("+49"), None);
    assert_eq!(refused("+1"), Some(Refusal::NothingToTry));
    assert_eq!(
        refused("+33"),
        Some(Refusal::Route(crate::NoRoute::NoPrefix))
    );
    assert_eq!(
        refused("alice b"),
        Some(Refusal::Route(crate::NoRoute::NoPrefix))
    );
    assert_eq!(
        refused("+0"),
        Some(Refusal::Number(NumberError::CountryCode))
    );
    let text = told(&world, &health, "+0", Time::ZERO).to_string();
    assert_eq!(
        text,
        "trunk      alpha\ndialled    +0\nrefused    no country code begins with 0\n"
    );
    let json = told(&world, &health, "+0", Time::ZERO).to_json();
    assert!(
        json.contains(r#""number":null,"#) && json.ends_with(r#""candidates":[]}"#),
        "{json}"
    );
}

#[test]
fn json_strings_are_escaped() {
    let mut spec = spec();
    spec.trunks[0].name = "a\"b\\c\nd".to_owned();
    let world = built(&spec);
    let trunk = world.trunks().next().expect("one").id;
    let told = explain_dialled(&world, &Health::new(8), trunk, "+49", OCCASION);
    let json = told.expect("a user").to_json();
    assert!(json.contains(r#""trunk":"a\"b\\c\u000ad","#), "{json}");
}

#[test]
fn what_is_no_uri_is_an_error() {
    let world = world();
    let trunk = world.trunk_named("alpha").expect("there").id;
    for dialled in ["sip:", "sip:@", "http:", "sip:a@b@c:x"] {
        let told = explain_dialled(&world, &Health::new(8), trunk, dialled, OCCASION);
        assert!(told.is_err(), "{dialled}");
    }
}
