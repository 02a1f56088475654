//! Catalogue entry A12 with a real network: datagrams are dropped by nftables, in a network
//! namespace of the test's own.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::process::Command;
use std::time::Duration;

use harness::{Gateway, PATIENCE, Scene, tables, wait_for};
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};
use perf::truth::Strictness;

const CALLS: u64 = 300;
/// Of a hundred datagrams on any path.
const LOST: u32 = 5;

/// A BYE that is lost a few times reaches the router that much later.
const LATE: Strictness = Strictness {
    tolerance_us: 16_000_000,
    is_cut: false,
};

const INSIDE: &str = "TRUNKLINE_TEST_INSIDE";

#[test]
fn a12_loss_by_nftables() {
    if std::env::var_os(INSIDE).is_some() {
        return calls_with_loss();
    }
    // The same test again, as the only thing in a new network.
    let rules = format!(
        "add table inet loss; \
         add chain inet loss input {{ type filter hook input priority 0; }}; \
         add rule inet loss input meta l4proto udp numgen random mod 100 < {LOST} counter drop"
    );
    let exe = std::env::current_exe().unwrap();
    let script = "ip link set lo up && nft \"$1\" && \"$2\" --exact a12_loss_by_nftables --nocapture \
                  && nft list table inet loss";
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("unshare")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env(INSIDE, "1")
        .args(["--map-root-user", "--net", "sh", "-c", script, "sh", &rules])
        .arg(exe)
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(
        text.contains("1 passed"),
        "the test ran inside: {text}{errors}"
    );
    let dropped: u64 = text
        .split("packets ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .expect("the rule counts");
    assert!(dropped > CALLS / 4, "datagrams were lost: {dropped}");
}

fn calls_with_loss() {
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let router = scene.router(&format!(
        "{}{}",
        scene.head(&[at]),
        tables(
            customer.ip(),
            &[Gateway::udp("first", vendor)],
            "no_response_ms = 30000\n"
        )
    ));
    let answers = Habit::Answers {
        ring: Duration::from_millis(20),
        answer: Duration::from_millis(100),
    };
    let vendor = Vendor::start(VendorSpec::new(vendor, answers)).expect("a vendor starts");
    let truth = scene.path("caller.truth");
    let mut spec = CallerSpec::new(customer, at, 100);
    spec.calls_max = CALLS;
    spec.hold = Duration::from_secs(1);
    spec.truth = Some(truth.clone());
    let caller = Caller::start(spec).expect("a caller starts");
    wait_for("all calls end", 4 * PATIENCE, || {
        caller.is_finished().then_some(())
    });
    let figures = caller.stop(PATIENCE).expect("the caller ends");
    assert_eq!(
        (figures.answered, figures.failed, figures.bye_unanswered),
        (CALLS, 0, 0),
        "{figures:?}"
    );
    assert!(figures.retransmissions > 0, "{figures:?}");
    let verdict = router.judge(&[&truth], LATE);
    assert_eq!(verdict.calls, CALLS);
    assert_eq!(vendor.stop().invites, CALLS, "no call was offered twice");
}
