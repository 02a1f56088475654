//! The load test in its short and slow form; the long and fast one is `make load`.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use harness::sipp::{uac, uas};
use harness::{CALM, Gateway, Scene, tables};

const RATE: u32 = 50;
const SECONDS: u32 = 10;

/// All calls come from one address and port: each shard gets its half by the kernel's program or,
/// where that is not permitted, out of the other's hand.
#[test]
fn one_trunk_through_two_shards() {
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let router = scene.router(&format!(
        "{}{}",
        scene.head(&[at]),
        tables(customer.ip(), &[Gateway::udp("first", vendor)], "")
    ));
    let calls = RATE * SECONDS;
    let answers = uas(&scene, "uas-call", vendor)
        .calls(calls)
        .hold_ms(20)
        .start();
    let truth = uac(&scene, "uac-call", customer, at)
        .calls(calls)
        .rate(RATE)
        .hold_ms(500)
        .run();
    answers.finish();
    let verdict = router.judge(&[&truth], CALM);
    assert_eq!(
        (verdict.calls, verdict.answered),
        (u64::from(calls), u64::from(calls))
    );
    let is_steered = router.stats()["control"]["steering"] == 1;
    let over = router.counter("handed_over");
    assert_eq!(over == 0, is_steered, "{over} handed over");
}
