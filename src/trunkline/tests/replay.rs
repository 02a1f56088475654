//! `route replay` from end to end: calls that a router has carried are led through other
//! configurations, and through its own, which must find what was.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::{Gateway, PATIENCE, Scene, tables, wait_for};
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};

const CALLS: u64 = 40;
/// What the dear and the cheap vendor ask, and what the customer pays; a second of a minute each.
const DECKS: [(&str, &str); 3] = [("dear", "0.06"), ("cheap", "0.03"), ("sold", "0.12")];

/// What `route replay` prints.
fn replay(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["route", "replay"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The cells of the line that begins with these words.
fn cells<'t>(text: &'t str, begin: &str) -> Vec<&'t str> {
    let line = text.lines().find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("{begin} in {text}"));
    line[begin.len()..].split_whitespace().collect()
}

/// A router with a vendor that refuses all, a dear and a cheap one in this order, which carries
/// calls to its end. Its configuration and its records.
fn carried(scene: &Scene) -> (PathBuf, PathBuf) {
    let [customer, at, refusing, dear, cheap] = [(); 5].map(|()| scene.address());
    let mut head = scene.head(&[at]);
    for (name, price) in DECKS {
        let text = format!("Code,Destination,Rate USD,Steps\n1555,Nowhere,{price},1/1\n");
        fs::write(scene.path(&format!("{name}.csv")), text).unwrap();
        head += &format!("[[deck]]\nname = \"{name}\"\nfile = \"{name}.csv\"\n\n");
    }
    let with_deck = |name, address, more| Gateway {
        more,
        ..Gateway::udp(name, address)
    };
    let gateways = [
        with_deck("refusing", refusing, "deck = \"cheap\""),
        with_deck("dear", dear, "deck = \"dear\""),
        with_deck("cheap", cheap, "deck = \"cheap\""),
    ];
    let tables = tables(customer.ip(), &gateways, "").replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\ndeck = \"sold\"",
    );
    let mut router = scene.router(&format!("{head}{tables}"));
    let answers = Habit::Answers {
        ring: Duration::ZERO,
        answer: Duration::from_millis(10),
    };
    let _vendors = [
        (refusing, Habit::Refuses { status: 503 }),
        (dear, answers),
        (cheap, answers),
    ]
    .map(|(at, habit)| Vendor::start(VendorSpec::new(at, habit)).unwrap());
    let mut spec = CallerSpec::new(customer, at, 100);
    spec.calls_max = CALLS;
    spec.hold = Duration::from_millis(300);
    spec.numbers = vec!["+1555*".to_owned()];
    let caller = Caller::start(spec).unwrap();
    wait_for("all calls end", PATIENCE, || {
        caller.is_finished().then_some(())
    });
    let figures = caller.stop(PATIENCE).unwrap();
    assert_eq!((figures.answered, figures.failed), (CALLS, 0));
    router.wait_cdrs(CALLS as usize);
    router.stop();
    (scene.path("trunkline.toml"), scene.path("cdr"))
}

fn variant(config: &Path, name: &str, from: &str, to: &str) -> String {
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    let path = config.with_file_name(format!("{name}.toml"));
    fs::write(&path, text.replace(from, to)).unwrap();
    path.display().to_string()
}

#[test]
fn recorded_calls_are_routed_again() {
    let scene = Scene::new();
    let (config, cdrs) = carried(&scene);
    let (own, cdrs) = (config.display().to_string(), cdrs.display().to_string());

    // Its own configuration finds what was: the same vendor, income and cost, to the last digit shown.
    let text = replay(&["--config", &own, "--cdrs", &cdrs]);
    assert_eq!(cells(&text, "calls"), ["40", "40"]);
    assert_eq!(cells(&text, "answered "), ["40", "40"]);
    for figure in ["income, USD", "cost, USD", "margin, USD"] {
        let [recorded, staged] = cells(&text, figure)[..] else {
            panic!("{figure} changes in {text}");
        };
        assert_eq!(recorded, staged, "{figure}");
        assert_ne!(recorded, "0.00", "{figure} in {text}");
    }
    assert!(
        text.contains("\n0 calls (0.0 %) end with another vendor"),
        "{text}"
    );
    assert_eq!(cells(&text, "dear ")[..2], ["40", "40"]);

    // By cost, the one that refused refuses again, and the cheap one has them for half.
    let by_cost = variant(
        &config,
        "by_cost",
        "prefix = \"\"",
        "prefix = \"\"\nmode = \"cost\"",
    );
    let page = scene.path("page.html");
    let shown = page.display().to_string();
    let text = replay(&["--config", &by_cost, "--cdrs", &cdrs, "--page", &shown]);
    let amount = |cell: &str| cell.parse::<f64>().unwrap();
    let cost = cells(&text, "cost, USD");
    assert!(
        (amount(cost[0]) / amount(cost[1]) - 2.0).abs() < 0.1,
        "{text}"
    );
    assert!(
        text.contains("40 calls (100.0 %) end with another vendor"),
        "{text}"
    );
    assert!(
        text.contains("40 calls (100.0 %) would be answered by a vendor that did not"),
        "{text}"
    );
    assert_eq!(cells(&text, "cheap ")[..2], ["0", "40"]);
    let page = fs::read_to_string(page).unwrap();
    for word in ["<svg", "cheap", "by_cost", "100.0 %"] {
        assert!(page.contains(word), "{word} in the page");
    }

    // Against another configuration both are routed again.
    let text = replay(&["--config", &own, "--against", &by_cost, "--cdrs", &cdrs]);
    assert_eq!(cells(&text, "cheap ")[..2], ["40", "0"]);

    // A margin that nobody leaves: nothing is offered any more, and it is said why.
    let narrow = variant(
        &config,
        "narrow",
        "prefix = \"\"",
        "prefix = \"\"\nmargin = \"90 %\"",
    );
    let text = replay(&["--config", &narrow, "--cdrs", &cdrs]);
    assert_eq!(cells(&text, "offered to a vendor"), ["40", "0", "-40"]);
    let why = "40 calls (100.0 %) would be offered to nobody any more: no vendor may be tried";
    assert!(text.contains(why), "{text}");
}
