//! Gateways that are given by a host name.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use harness::{Gateway, PATIENCE, Scene, tables, wait_for};
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};

#[test]
fn a_gateway_by_its_name() {
    let scene = Scene::new();
    let [customer, at] = [(); 2].map(|()| scene.address());
    let local = scene.port_of(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let config = |name: &str| {
        let tables = tables(customer.ip(), &[Gateway::udp("beta", local)], "");
        let host = format!("{name}:{}", local.port());
        format!(
            "{}{}",
            scene.head(&[at]),
            tables.replace(&local.to_string(), &host)
        )
    };
    let router = scene.router(&config("localhost"));
    let answers = Habit::Answers {
        ring: Duration::ZERO,
        answer: Duration::ZERO,
    };
    let vendor = Vendor::start(VendorSpec::new(local, answers)).unwrap();
    let mut spec = CallerSpec::new(customer, at, 100);
    spec.calls_max = 5;
    spec.hold = Duration::ZERO;
    let caller = Caller::start(spec).unwrap();
    wait_for("all calls end", PATIENCE, || {
        caller.is_finished().then_some(())
    });
    let figures = caller.stop(PATIENCE).unwrap();
    assert_eq!(
        (figures.answered, vendor.figures().answered),
        (5, 5),
        "{figures:?}"
    );
    for cdr in router.wait_cdrs(5) {
        assert_eq!(cdr["egress_gateway"], "beta@127.0.0.1", "{cdr}");
    }

    // A name that nobody knows is refused; the node goes on with what it has.
    let seen = router.log_text().len();
    router.write_config(&config("no-such-host.invalid"));
    router.signal("HUP");
    router.wait_for_log(seen, "the name `no-such-host.invalid` has no address");
    router.wait_for_log(seen, "the running one stays in force");
}
