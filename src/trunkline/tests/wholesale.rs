//! Wholesale routing from end to end, with SIPp on both sides: failover, shares, margins, limits, blocks,
//! redirect mode, and a world that changes and comes back in mid-load.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use harness::sipp::{Plan, Sipp, uac, uas};
use harness::{CALM, Gateway, Scene, tables};
use serde_json::Value;

/// A customer, its router and three vendors.
struct World {
    scene: Scene,
    customer: SocketAddr,
    at: SocketAddr,
    vendors: [SocketAddr; 3],
}

impl World {
    fn new() -> World {
        let scene = Scene::new();
        let [customer, at, a, b, c] = [(); 5].map(|()| scene.address());
        World {
            scene,
            customer,
            at,
            vendors: [a, b, c],
        }
    }

    /// The configuration with gateways `a`, `b` and `c`, these lines for each, and these of the route.
    fn config(&self, more: [&str; 3], route: &str) -> String {
        let names = ["a", "b", "c"];
        let gateways: Vec<Gateway<'_>> = (names.iter().zip(self.vendors).zip(more))
            .map(|((name, address), more)| Gateway {
                more,
                ..Gateway::udp(name, address)
            })
            .collect();
        let tables = tables(self.customer.ip(), &gateways, route);
        format!("{}{tables}", self.scene.head(&[self.at]))
    }

    /// SIPp as the vendor of this place, for so many calls.
    fn vendor(&self, place: usize, scenario: &str, calls: u32) -> Sipp {
        let plan = uas(&self.scene, scenario, self.vendors[place]);
        plan.calls(calls).start()
    }

    /// Has SIPp place calls that are answered; what it saw.
    fn answered(&self, number: &str, calls: u32, hold_ms: u32) -> PathBuf {
        let caller = self.caller("uac-call", number, calls);
        caller.hold_ms(hold_ms).rate(40).run()
    }

    /// The same of calls that are refused.
    fn refused(&self, number: &str, calls: u32) -> PathBuf {
        self.caller("uac-refused", number, calls).run()
    }

    /// From a port of its own, which its log is named by.
    fn caller(&self, scenario: &str, number: &str, calls: u32) -> Plan<'_> {
        let from = self.scene.port_of(self.customer.ip());
        let caller = uac(&self.scene, scenario, from, self.at);
        caller.number(number).calls(calls)
    }
}

/// How many answered calls each gateway has on record.
fn shares(cdrs: &[Value]) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for cdr in cdrs.iter().filter(|cdr| cdr["status"] == 200) {
        let last = cdr["attempts"].as_array().unwrap().last().unwrap();
        let gateway = last["gateway"].as_str().unwrap().to_owned();
        *shares.entry(gateway).or_default() += 1;
    }
    shares
}

fn share(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

fn causes(cdrs: &[Value], cause: &str) -> usize {
    cdrs.iter().filter(|cdr| cdr["cause"] == cause).count()
}

/// What a vendor was asked for, each URI once.
fn asked(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    let uris = text.lines().filter_map(|line| line.split("asked ").nth(1));
    let mut uris: Vec<String> = uris.map(|uri| uri.trim().to_owned()).collect();
    uris.sort_unstable();
    uris.dedup();
    uris
}

#[test]
fn failover_across_three_vendors_with_a_format_each() {
    let world = World::new();
    let national = "[[translation]]\nname = \"national\"\n\
                    rules = [{ begins = \"+1\", strip = 2, prepend = \"0\" }]\nexamples = [[\"+1555\", \"0555\"]]\n\n";
    let more = [
        "format = \"e164\"\nprefix = \"99#\"",
        "called_rules = [\"national\"]",
        "domain = \"c.example\"",
    ];
    let config = world.config(more, "");
    let place = config.find("[[trunk]]").unwrap();
    let router = world.scene.router(&format!(
        "{}{national}{}",
        &config[..place],
        &config[place..]
    ));
    let scenarios = [
        "uas-asked-unavailable",
        "uas-asked-unavailable",
        "uas-asked-call",
    ];
    let vendors = [0, 1, 2].map(|at| world.vendor(at, scenarios[at], 10));
    let truth = world.answered("+15551234", 10, 50);
    router.judge(&[&truth], CALM);
    let [a, b, _] = world.vendors;
    let want = [
        format!("sip:99%2315551234@{a}"),
        format!("sip:05551234@{b}"),
        "sip:+15551234@c.example".to_owned(),
    ];
    for (vendor, want) in vendors.into_iter().zip(want) {
        assert_eq!(asked(&vendor.finish()), [want]);
    }
    for cdr in router.wait_cdrs(10) {
        let attempts = cdr["attempts"].as_array().unwrap();
        let gateways: Vec<&str> = attempts
            .iter()
            .map(|it| it["gateway"].as_str().unwrap())
            .collect();
        assert_eq!(gateways, ["a", "b", "c"], "{cdr}");
        let statuses: Vec<u64> = attempts
            .iter()
            .map(|it| it["status"].as_u64().unwrap())
            .collect();
        assert_eq!(statuses, [503, 503, 200], "{cdr}");
    }
}

/// Each shard keeps the shares for itself, so all of them together may be off by one for each.
#[test]
fn shares_are_kept() {
    let world = World::new();
    let weights = "mode = \"weighted\"\n";
    let config = world.config(["", "", ""], weights);
    let weighted = "gateways = [{ name = \"a\", weight = 5 }, { name = \"b\", weight = 3 }, { name = \"c\", weight = 2 }]";
    let config = config.replace("gateways = [\"a\", \"b\", \"c\"]", weighted);
    let router = world.scene.router(&config);
    let vendors = [0, 1, 2].map(|at| world.vendor(at, "uas-call", 100));
    let truth = world.answered("+15551234", 100, 50);
    router.judge(&[&truth], CALM);
    let shares = shares(&router.wait_cdrs(100));
    for (name, want) in [("a", 50), ("b", 30), ("c", 20)] {
        assert!(shares[name].abs_diff(want) <= 2, "{shares:?}");
    }
    for vendor in vendors {
        vendor.abandon();
    }
}

#[test]
fn nobody_is_asked_at_a_loss_against_a_block_or_beyond_a_limit() {
    let world = World::new();
    let deck = |name: &str, rows: &str| {
        let text = format!("Code,Destination,Rate USD,Steps\n{rows}");
        fs::write(world.scene.path(&format!("{name}.csv")), text).unwrap();
        format!("[[deck]]\nname = \"{name}\"\nfile = \"{name}.csv\"\n\n")
    };
    let tables = [
        deck("sold", "1,All,0.010,1/1\n"),
        // Who is cheap, who costs more than is paid, who has no price at all.
        deck("a", "1555,A,0.011,1/1\n1666,B,0.005,1/1\n1777,C,0.012,1/1\n"),
        deck("b", "1555,A,0.008,1/1\n1666,B,0.006,1/1\n"),
        deck("c", "1555,A,0.009,1/1\n1666,B,0.009,1/1\n1888,D,0.001,1/1\n"),
        "[[block]]\nname = \"no-b\"\ngateways = [\"a\"]\nprefixes = [\"1666\"]\nreason = \"silence\"\nowner = \"anna\"\n\n".to_owned(),
        "[[block]]\nname = \"no-d\"\nprefixes = [\"1888\"]\nreason = \"fraud\"\nowner = \"anna\"\n\n".to_owned(),
    ];
    let more = [
        "deck = \"a\"",
        "deck = \"b\"\nmax_calls = 3",
        "deck = \"c\"",
    ];
    let config = world.config(more, "mode = \"cost\"\n");
    let config = config.replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\ndeck = \"sold\"",
    );
    let place = config.find("[[trunk]]").unwrap();
    let router = world.scene.router(&format!(
        "{}{}{}",
        &config[..place],
        tables.concat(),
        &config[place..]
    ));
    let vendors = [
        world.vendor(1, "uas-call", 6),
        world.vendor(2, "uas-call", 14),
    ];
    // The cheapest takes as many as it may at a time, the next the others; the dear one none.
    let cheapest = world.answered("+15551234", 10, 2_000);
    assert_eq!(shares(&router.wait_cdrs(10)), share(&[("b", 3), ("c", 7)]));
    // The block keeps the cheapest out of these.
    let kept_out = world.answered("+16661234", 10, 2_000);
    assert_eq!(shares(&router.wait_cdrs(20)), share(&[("b", 6), ("c", 14)]));
    // A loss, and what nobody may call.
    let at_a_loss = world.refused("+17771234", 3);
    let forbidden = world.refused("+18881234", 3);
    router.judge(&[&cheapest, &kept_out, &at_a_loss, &forbidden], CALM);
    let cdrs = router.wait_cdrs(26);
    assert_eq!(
        (causes(&cdrs, "no_gateway"), causes(&cdrs, "blocked")),
        (3, 3)
    );
    let unanswered = cdrs.iter().filter(|cdr| cdr["status"] != 200);
    for cdr in unanswered {
        assert_eq!(cdr["attempts"].as_array().unwrap().len(), 0, "{cdr}");
    }
    vendors.into_iter().for_each(|vendor| drop(vendor.finish()));
}

#[test]
fn a_customer_that_asks_for_routes_is_told_them() {
    let world = World::new();
    let config = world.config(["", "", ""], "");
    let config = config.replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\nredirect = true",
    );
    let router = world.scene.router(&config);
    let truth = world.refused("+15551234", 5);
    router.judge(&[&truth], CALM);
    let cdrs = router.wait_cdrs(5);
    assert_eq!(causes(&cdrs, "redirected"), 5);
    assert!(cdrs.iter().all(|cdr| cdr["status"] == 300), "{cdrs:?}");
}

#[test]
fn a_change_and_the_way_back_in_mid_load_hurt_no_call() {
    const CALLS: u32 = 300;
    let world = World::new();
    let before = world.config(["", "", ""], "");
    let router = world.scene.router(&before);
    let vendors = [0, 1].map(|at| world.vendor(at, "uas-call", CALLS));
    let caller = world.caller("uac-call", "+15551234", CALLS);
    let caller = caller.rate(50).hold_ms(300).start();
    let mut seen = 0;
    for (config, vendor) in [
        (
            before.replace("[\"a\", \"b\", \"c\"]", "[\"b\", \"a\"]"),
            "b",
        ),
        (before.clone(), "a"),
    ] {
        let log = router.log_text().len();
        router.write_config(&config);
        router.signal("HUP");
        router.wait_for_log(log, "all shards work by the new configuration");
        seen = harness::wait_for("calls by the new world", harness::PATIENCE, || {
            let cdrs = router.cdrs();
            let moved = cdrs
                .iter()
                .skip(seen)
                .filter(|cdr| cdr["attempts"][0]["gateway"] == vendor);
            (moved.count() >= 10).then_some(cdrs.len())
        });
    }
    let truth = caller.finish();
    router.judge(&[&truth], CALM);
    let cdrs = router.wait_cdrs(CALLS as usize);
    let shares = shares(&cdrs);
    assert_eq!(shares.values().sum::<usize>(), CALLS as usize);
    assert!(shares["a"] >= 20 && shares["b"] >= 10, "{shares:?}");
    for vendor in vendors {
        vendor.abandon();
    }
}
