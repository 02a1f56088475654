//! Steering: all calls come from one address and port, and both shards carry their half, whether
//! the kernel brings them there or the shards hand them over.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use harness::sipp::{uac, uas};
use harness::{CALM, Gateway, Router, Scene, tables};

const RATE: u32 = 100;
const CALLS: u32 = 300;

/// Carries the calls through 2 shards. The scene is to be kept as long as the router is asked.
fn carry(steering: &str) -> (Router, Scene) {
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let head = scene.head(&[at]);
    let head = head.replace(
        "shards = 2\n",
        &format!("shards = 2\nsteering = \"{steering}\"\n"),
    );
    let gateways = [Gateway::udp("first", vendor)];
    let router = scene.router(&format!("{head}{}", tables(customer.ip(), &gateways, "")));
    let answers = uas(&scene, "uas-call", vendor)
        .calls(CALLS)
        .hold_ms(20)
        .start();
    let truth = uac(&scene, "uac-call", customer, at)
        .calls(CALLS)
        .rate(RATE)
        .hold_ms(100)
        .run();
    answers.finish();
    let verdict = router.judge(&[&truth], CALM);
    assert_eq!(verdict.answered, u64::from(CALLS));
    for calls in per_shard(&router, "calls_answered") {
        assert!(
            calls > u64::from(CALLS) / 4,
            "each shard has its share: {calls} of {CALLS}"
        );
    }
    (router, scene)
}

/// A counter of each shard.
fn per_shard(router: &Router, name: &str) -> Vec<u64> {
    let stats = router.stats();
    let shards = stats["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    let of = |shard: &serde_json::Value| {
        let pages = ["runtime", "handler"].map(|page| shard[page][name].as_u64());
        pages.into_iter().flatten().next().unwrap()
    };
    shards.iter().map(of).collect()
}

#[test]
fn the_kernel_brings_calls_to_their_shards() {
    let (router, _scene) = carry("auto");
    if router.log_text().contains("may not load BPF programs") {
        eprintln!("NOT TESTED: steering by the kernel; this process may not load programs");
        assert!(router.counter("handed_over") > 0);
        return;
    }
    assert!(router.log_text().contains("steering: the kernel"));
    assert_eq!(router.counter("handed_over"), 0);
    let control = &router.stats()["control"];
    let number = |name: &str| control[name].as_u64().unwrap();
    assert_eq!(number("steering"), 1);
    // The vendor's answers are known by our cookie; the caller's requests by their Call-ID.
    assert!(number("steered_by_cookie") >= u64::from(3 * CALLS));
    assert!(number("steered_by_call_id") >= u64::from(3 * CALLS));
    assert_eq!(number("steered_by_chance"), 0);
    let received = per_shard(&router, "datagrams_in");
    let all: u64 = received.iter().sum();
    assert!(
        received.iter().all(|&count| count > all / 4),
        "both sockets receive: {received:?}"
    );
}

#[test]
fn the_shards_hand_calls_over() {
    let (router, _scene) = carry("software");
    assert!(router.log_text().contains("steering: by the shards"));
    let over = router.counter("handed_over");
    assert!(over > 0, "{over} handed over");
    assert_eq!(router.stats()["control"]["steering"], 0);
}
