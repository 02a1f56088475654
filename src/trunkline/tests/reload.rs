//! SIGHUP under load: a good file takes over at once, a bad one changes nothing and says why.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::time::Duration;

use harness::{CALM, Gateway, PATIENCE, Scene, tables, wait_for};
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};

const ANSWERS: Habit = Habit::Answers {
    ring: Duration::from_millis(5),
    answer: Duration::from_millis(20),
};

#[test]
fn a_reload_moves_new_calls_and_hurts_none() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let config = |name: &str, vendor| {
        let tables = tables(customer.ip(), &[Gateway::udp(name, vendor)], "");
        format!("{}{tables}", scene.head(&[at]))
    };
    let router = scene.router(&config("first", one));
    let vendors = [one, two].map(|at| Vendor::start(VendorSpec::new(at, ANSWERS)).unwrap());
    let truth = scene.path("caller.truth");
    let mut spec = CallerSpec::new(customer, at, 100);
    spec.hold = Duration::from_millis(500);
    spec.truth = Some(truth.clone());
    let caller = Caller::start(spec).unwrap();
    let answered = |vendor: &Vendor| vendor.figures().answered;
    wait_for("calls to the first", PATIENCE, || {
        (answered(&vendors[0]) >= 50).then_some(())
    });

    // A bad file, in the middle of the calls.
    let seen = router.log_text().len();
    let good = config("second", two);
    router.write_config(&good.replace("gateways = [\"second\"]", "gateways = [\"secnod\"]"));
    router.signal("HUP");
    router.wait_for_log(seen, "secnod");
    let line = good
        .lines()
        .position(|line| line.starts_with("gateways"))
        .unwrap()
        + 1;
    let log = router.log_text();
    assert!(
        log[seen..].contains(&format!("trunkline.toml:{line}:")),
        "{}",
        &log[seen..]
    );
    let before = answered(&vendors[0]);
    wait_for("calls to the first go on", PATIENCE, || {
        (answered(&vendors[0]) >= before + 50).then_some(())
    });
    assert_eq!(answered(&vendors[1]), 0);

    // A good one.
    router.write_config(&good);
    router.signal("HUP");
    wait_for("calls to the second", PATIENCE, || {
        (answered(&vendors[1]) >= 50).then_some(())
    });
    let before = vendors[0].figures().invites;
    wait_for("more calls to the second", PATIENCE, || {
        (answered(&vendors[1]) >= 100).then_some(())
    });
    assert_eq!(
        vendors[0].figures().invites,
        before,
        "the first gets no new call"
    );

    let figures = caller.finish(PATIENCE).unwrap();
    assert_eq!(
        (figures.failed, figures.bye_unanswered),
        (0, 0),
        "{figures:?}"
    );
    router.judge(&[&truth], CALM);
    let mut generations: Vec<u64> = router
        .cdrs()
        .iter()
        .map(|cdr| cdr["generation"].as_u64().unwrap())
        .collect();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), 2, "the bad file made no generation");
}
