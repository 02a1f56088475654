//! Each kind of call, placed and answered by SIPp, through a router with 2 shards.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::net::SocketAddr;

use harness::sipp::{uac, uas};
use harness::{CALM, Gateway, Router, Scene, tables};
use perf::peers::{Habit, Vendor, VendorSpec};
use serde_json::Value;

const CALLS: u32 = 20;

/// One customer, one router, one vendor, all over UDP.
struct Line {
    scene: Scene,
    customer: SocketAddr,
    at: SocketAddr,
    vendor: SocketAddr,
    router: Router,
}

impl Line {
    fn new() -> Line {
        Line::with("")
    }

    fn with(route_more: &str) -> Line {
        let scene = Scene::new();
        let (customer, at, vendor) = (scene.address(), scene.address(), scene.address());
        let gateways = [Gateway::udp("first", vendor)];
        let router = scene.router(&format!(
            "{}{}",
            scene.head(&[at]),
            tables(customer.ip(), &gateways, route_more)
        ));
        Line {
            scene,
            customer,
            at,
            vendor,
            router,
        }
    }

    /// Runs a pair of scenarios and checks each CDR against what the caller saw.
    fn carry(&self, caller: &str, answerer: &str) -> Vec<Value> {
        let vendor = uas(&self.scene, answerer, self.vendor)
            .calls(CALLS)
            .hold_ms(150)
            .start();
        let truth = uac(&self.scene, caller, self.customer, self.at)
            .calls(CALLS)
            .run();
        vendor.finish();
        let verdict = self.router.judge(&[&truth], CALM);
        assert_eq!(verdict.calls, u64::from(CALLS));
        self.router.wait_cdrs(CALLS as usize)
    }
}

fn text<'v>(cdr: &'v Value, field: &str) -> &'v str {
    cdr[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} in {cdr}"))
}

fn check_answered(cdrs: &[Value], hung_up: &str, gateway: &str) {
    for cdr in cdrs {
        assert_eq!(cdr["status"], 200, "{cdr}");
        assert_eq!(text(cdr, "hung_up"), hung_up, "{cdr}");
        assert_eq!(text(cdr, "cause"), format!("{hung_up}_hung_up"), "{cdr}");
        assert_eq!(text(cdr, "ingress_trunk"), "customer");
        assert_eq!(text(cdr, "ingress_carrier"), "buyer");
        assert_eq!(text(cdr, "egress_gateway"), gateway, "{cdr}");
        assert_eq!(text(cdr, "egress_carrier"), "seller");
        assert_eq!(text(cdr, "called"), "15551234", "{cdr}");
        let times = ["started", "answered", "ended"].map(|field| text(cdr, field));
        assert!(times.is_sorted(), "{cdr}");
        assert!(
            times
                .iter()
                .all(|t| t.len() == "2026-01-01T00:00:00.000000Z".len())
        );
    }
}

fn check_refused(cdrs: &[Value], status: u16, cause: &str, attempts: usize) {
    for cdr in cdrs {
        assert_eq!(cdr["status"], status, "{cdr}");
        assert_eq!(text(cdr, "cause"), cause, "{cdr}");
        assert!(cdr["answered"].is_null(), "{cdr}");
        assert_eq!(
            cdr["attempts"].as_array().map(Vec::len),
            Some(attempts),
            "{cdr}"
        );
    }
}

#[test]
fn a_call_from_invite_to_bye() {
    let line = Line::new();
    let cdrs = line.carry("uac-call", "uas-call");
    check_answered(&cdrs, "caller", "first");
    for cdr in &cdrs {
        assert!(!cdr["ringing"].is_null(), "{cdr}");
        let attempts = cdr["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{cdr}");
        assert_eq!(text(&attempts[0], "gateway"), "first");
        assert_eq!(text(&attempts[0], "cause"), "answered");
    }
}

#[test]
fn sipps_stock_scenarios() {
    let line = Line::new();
    let vendor = uas(&line.scene, "stock-uas", line.vendor)
        .calls(CALLS)
        .start();
    uac(&line.scene, "stock-uac", line.customer, line.at)
        .calls(CALLS)
        .run();
    vendor.finish();
    check_answered(&line.router.wait_cdrs(CALLS as usize), "caller", "first");
}

#[test]
fn the_vendor_hangs_up() {
    check_answered(
        &Line::new().carry("uac-callee-bye", "uas-callee-bye"),
        "callee",
        "first",
    );
}

#[test]
fn cancel_while_it_rings() {
    check_refused(
        &Line::new().carry("uac-cancel", "uas-cancel"),
        487,
        "cancelled",
        1,
    );
}

#[test]
fn cancel_before_any_1xx_of_the_vendor() {
    let cdrs = Line::new().carry("uac-cancel-early", "uas-cancel-early");
    check_refused(&cdrs, 487, "cancelled", 1);
}

#[test]
fn prack() {
    check_answered(
        &Line::new().carry("uac-prack", "uas-prack"),
        "caller",
        "first",
    );
}

#[test]
fn update() {
    check_answered(
        &Line::new().carry("uac-update", "uas-update"),
        "caller",
        "first",
    );
}

#[test]
fn re_invite() {
    check_answered(
        &Line::new().carry("uac-reinvite", "uas-reinvite"),
        "caller",
        "first",
    );
}

#[test]
fn late_offer() {
    check_answered(
        &Line::new().carry("uac-late-offer", "uas-late-offer"),
        "caller",
        "first",
    );
}

#[test]
fn nobody_answers() {
    check_refused(
        &Line::new().carry("uac-refused", "uas-no-answer"),
        480,
        "refused",
        1,
    );
}

#[test]
fn a_vendor_that_never_answers_ends_in_408() {
    let line = Line::with("no_response_ms = 300\n");
    let silent = Vendor::start(VendorSpec::new(line.vendor, Habit::Silent)).unwrap();
    let truth = uac(&line.scene, "uac-refused", line.customer, line.at)
        .calls(2)
        .run();
    line.router.judge(&[&truth], CALM);
    check_refused(&line.router.wait_cdrs(2), 408, "no_response", 1);
    assert!(silent.stop().invites >= 2);
}

/// Two vendors: `first` as told, `second` a SIPp that answers.
fn fail_over(
    first: impl FnOnce(&Scene, SocketAddr) -> Box<dyn std::any::Any>,
    calls: u32,
) -> Vec<Value> {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let gateways = [Gateway::udp("first", one), Gateway::udp("second", two)];
    let router = scene.router(&format!(
        "{}{}",
        scene.head(&[at]),
        tables(customer.ip(), &gateways, "no_response_ms = 300\n")
    ));
    let _first = first(&scene, one);
    let vendor = uas(&scene, "uas-call", two).calls(calls).start();
    let truth = uac(&scene, "uac-call", customer, at)
        .calls(calls)
        .rate(5)
        .run();
    vendor.finish();
    router.judge(&[&truth], CALM);
    let cdrs = router.wait_cdrs(calls as usize);
    check_answered(&cdrs, "caller", "second");
    cdrs
}

#[test]
fn a_503_sends_the_call_to_the_next_vendor() {
    let cdrs = fail_over(
        |scene, one| Box::new(uas(scene, "uas-unavailable", one).calls(CALLS).start()),
        CALLS,
    );
    for cdr in &cdrs {
        let attempts = cdr["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2, "{cdr}");
        assert_eq!(attempts[0]["status"], 503);
        assert_eq!(text(&attempts[0], "cause"), "refused");
        assert_eq!(text(&attempts[1], "cause"), "answered");
    }
}

#[test]
fn silence_sends_the_call_to_the_next_vendor() {
    let cdrs = fail_over(
        |_, one| Box::new(Vendor::start(VendorSpec::new(one, Habit::Silent)).unwrap()),
        10,
    );
    let first = cdrs[0]["attempts"].as_array().unwrap();
    assert_eq!(text(&first[0], "gateway"), "first", "{first:?}");
    assert_eq!(text(&first[0], "cause"), "no_response", "{first:?}");
    assert_eq!(text(&first[1], "cause"), "answered", "{first:?}");
}

#[test]
fn busy_is_not_tried_elsewhere() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let gateways = [Gateway::udp("first", one), Gateway::udp("second", two)];
    let router = scene.router(&format!(
        "{}{}",
        scene.head(&[at]),
        tables(customer.ip(), &gateways, "")
    ));
    let busy = uas(&scene, "uas-busy", one).calls(CALLS).start();
    let truth = uac(&scene, "uac-refused", customer, at).calls(CALLS).run();
    busy.finish();
    router.judge(&[&truth], CALM);
    check_refused(&router.wait_cdrs(CALLS as usize), 486, "refused", 1);
}

#[test]
fn register_is_refused_and_options_are_answered() {
    let line = Line::new();
    uac(&line.scene, "uac-register", line.customer, line.at)
        .calls(CALLS)
        .run();
    uac(&line.scene, "uac-options", line.customer, line.at)
        .calls(CALLS)
        .run();
    assert!(line.router.cdrs().is_empty(), "neither is a call");
}

#[test]
fn an_unknown_source_gets_403() {
    let line = Line::new();
    let stranger = line.scene.address();
    let truth = uac(&line.scene, "uac-refused", stranger, line.at)
        .calls(3)
        .run();
    let log = std::fs::read_to_string(truth).unwrap();
    assert_eq!(
        log.lines().filter(|line| line.ends_with(" 403")).count(),
        3,
        "{log}"
    );
}

/// TCP on the sides named, UDP on the others; IPv6 where the hosts are.
fn across(hosts: [Option<SocketAddr>; 3], is_tcp: [bool; 2]) {
    let scene = Scene::new();
    let [customer, at, vendor] = hosts.map(|host| match host {
        Some(host) => scene.port_of(host.ip()),
        None => scene.address(),
    });
    // A router between two families listens on both.
    let mut listeners = vec![at];
    if at.is_ipv6() != vendor.is_ipv6() {
        listeners.push(scene.port_of(match vendor.is_ipv6() {
            true => vendor.ip(),
            false => scene.host(),
        }));
    }
    let gateway = match is_tcp[1] {
        true => Gateway::tcp("first", vendor),
        false => Gateway::udp("first", vendor),
    };
    let router = scene.router(&format!(
        "{}{}",
        scene.head(&listeners),
        tables(customer.ip(), &[gateway], "")
    ));
    let answerer = uas(&scene, "uas-call", vendor).calls(CALLS);
    let answerer = if is_tcp[1] { answerer.tcp() } else { answerer }.start();
    let caller = uac(&scene, "uac-call", customer, at).calls(CALLS);
    let truth = if is_tcp[0] { caller.tcp() } else { caller }.run();
    answerer.finish();
    router.judge(&[&truth], CALM);
    let cdrs = router.wait_cdrs(CALLS as usize);
    check_answered(&cdrs, "caller", "first");
    for cdr in &cdrs {
        let transport = if is_tcp[0] { "tcp" } else { "udp" };
        assert_eq!(text(cdr, "source_transport"), transport, "{cdr}");
    }
}

fn v6() -> Option<SocketAddr> {
    Some("[::1]:0".parse().unwrap())
}

#[test]
fn tcp_on_both_sides() {
    across([None; 3], [true, true]);
}

#[test]
fn tcp_from_the_customer() {
    across([None; 3], [true, false]);
}

#[test]
fn tcp_to_the_vendor() {
    across([None; 3], [false, true]);
}

#[test]
fn ipv6_on_both_sides() {
    across([v6(), v6(), v6()], [false, false]);
}

#[test]
fn ipv6_on_both_sides_over_tcp() {
    across([v6(), v6(), v6()], [true, true]);
}

#[test]
fn ipv6_from_the_customer_ipv4_to_the_vendor() {
    across([v6(), v6(), None], [false, false]);
}

#[test]
fn ipv4_from_the_customer_ipv6_to_the_vendor() {
    across([None, None, v6()], [false, true]);
}
