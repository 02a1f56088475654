//! Kamailio from Debian as the next hop, and as the hop before.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::net::SocketAddr;

use harness::kamailio::Kamailio;
use harness::sipp::{uac, uas};
use harness::{CALM, Gateway, Scene, tables};
use serde_json::Value;

const CALLS: u32 = 20;

struct Chain {
    scene: Scene,
    customer: SocketAddr,
    vendor: SocketAddr,
}

/// customer → `hops` → vendor, where one hop is trunkline and the other Kamailio.
fn carry(is_kamailio_first: bool, caller: &str, answerer: &str) -> Vec<Value> {
    let scene = Scene::new();
    let [customer, at, proxy, vendor] = [(); 4].map(|()| scene.address());
    let chain = Chain {
        scene,
        customer,
        vendor,
    };
    let scene = &chain.scene;
    let (trunk, gateway, entry, next_hop) = match is_kamailio_first {
        true => (proxy.ip(), vendor, proxy, at),
        false => (customer.ip(), proxy, at, vendor),
    };
    let router = scene.router(&format!(
        "{}{}",
        scene.head(&[at]),
        tables(trunk, &[Gateway::udp("first", gateway)], "")
    ));
    let _kamailio = Kamailio::start(scene, proxy, next_hop);
    let answers = uas(scene, answerer, chain.vendor).calls(CALLS).start();
    let truth = uac(scene, caller, chain.customer, entry).calls(CALLS).run();
    answers.finish();
    router.judge(&[&truth], CALM);
    router.wait_cdrs(CALLS as usize)
}

fn check_hung_up(cdrs: &[Value], who: &str) {
    for cdr in cdrs {
        assert_eq!(
            (cdr["status"].as_u64(), cdr["hung_up"].as_str()),
            (Some(200), Some(who)),
            "{cdr}"
        );
    }
}

#[test]
fn kamailio_behind_trunkline() {
    check_hung_up(&carry(false, "uac-call", "uas-call"), "caller");
}

#[test]
fn kamailio_before_trunkline() {
    check_hung_up(&carry(true, "uac-call", "uas-call"), "caller");
}

#[test]
fn the_vendor_hangs_up_through_kamailio_behind() {
    check_hung_up(&carry(false, "uac-callee-bye", "uas-callee-bye"), "callee");
}

#[test]
fn the_vendor_hangs_up_through_kamailio_before() {
    check_hung_up(&carry(true, "uac-callee-bye", "uas-callee-bye"), "callee");
}

#[test]
fn cancel_through_both() {
    for is_kamailio_first in [false, true] {
        for cdr in carry(is_kamailio_first, "uac-cancel", "uas-cancel") {
            assert_eq!(cdr["status"], 487, "{cdr}");
        }
    }
}

#[test]
fn re_invite_and_prack_through_both() {
    for is_kamailio_first in [false, true] {
        check_hung_up(
            &carry(is_kamailio_first, "uac-reinvite", "uas-reinvite"),
            "caller",
        );
        check_hung_up(
            &carry(is_kamailio_first, "uac-prack", "uas-prack"),
            "caller",
        );
    }
}
