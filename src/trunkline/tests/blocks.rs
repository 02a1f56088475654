//! Calls that somebody forbade: kept from a vendor, or refused, for a reason and for a time.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use harness::calls::{ask_by_route, vendor};
use harness::{Gateway, PATIENCE, Scene, tables, wait_for};
use perf::Figures;

/// Places so many calls that end as soon as they are answered.
fn place(path: (SocketAddr, SocketAddr), number: &str, calls: u64) -> Figures {
    harness::calls::place(path, number, (calls, 50), Duration::ZERO)
}

/// A moment some seconds from now, as the configuration has it.
fn moment_in(seconds: u64) -> String {
    let output = Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("{seconds} seconds"),
            "+%Y-%m-%dT%H:%M:%SZ",
        ])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn said(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn blocks_hold_for_their_time_and_say_why() {
    let scene = Scene::new();
    let [customer, at, a, b] = [(); 4].map(|()| scene.address());
    let gateways = [Gateway::udp("a", a), Gateway::udp("b", b)];
    let tables = tables(customer.ip(), &gateways, "");
    let blocks = |until: &str| {
        format!(
            "[[block]]\nname = \"false-answers\"\ngateways = [\"a\"]\nprefixes = [\"1555\"]\n\
             until = \"{until}\"\nreason = \"answers that are none\"\nowner = \"anna\"\n\n\
             [[block]]\nname = \"unpaid\"\ntrunks = [\"buyer\"]\nprefixes = [\"1666\"]\n\
             until = \"{until}\"\nreason = \"an invoice is due\"\nowner = \"accounts\"\n\n"
        )
    };
    let config = |until: &str| format!("{}{}{tables}", scene.head(&[at]), blocks(until));
    let router = scene.router(&config("2100-01-01"));
    let (a_is, b_is) = (vendor(a), vendor(b));
    let path = (customer, at);
    let by_vendor = || (a_is.figures().answered, b_is.figures().answered);
    assert_eq!(place(path, "+1555*", 3).answered, 3);
    assert_eq!(by_vendor(), (0, 3), "the one that is barred gets none");
    assert_eq!(place(path, "+1777*", 3).answered, 3);
    assert_eq!(by_vendor(), (3, 3));
    let figures = place(path, "+1666*", 2);
    assert_eq!((figures.answered, figures.failed), (0, 2));
    let cdrs = router.wait_cdrs(8);
    let refused = cdrs.iter().filter(|cdr| cdr["cause"] == "blocked");
    assert_eq!(refused.count(), 2);
    assert_eq!(router.counter("blocked_called"), 2);

    // Nobody goes round it by a Route of his own.
    let by_hand = scene.port_of(customer.ip());
    let answer = ask_by_route(by_hand, at, "+15551", a);
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    let answer = ask_by_route(by_hand, at, "+16661", b);
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");

    let file = scene.path("trunkline.toml");
    let file = file.to_str().unwrap();
    let explain = |number| {
        let words = [
            "route", "explain", "--from", "customer", "--config", file, number,
        ];
        said(&words)
    };
    let text = explain("+15551");
    let why = "block `false-answers`: answers that are none (anna, until 2100-01-01)";
    assert!(text.contains(why) && text.contains("barred"), "{text}");
    let text = explain("+16661");
    assert!(
        text.contains("block `unpaid`: an invoice is due (accounts"),
        "{text}"
    );
    let text = said(&["check", "--config", file]);
    assert!(text.contains("false-answers: until 2100-01-01"), "{text}");

    // Another end: it comes without anybody doing anything.
    let from = router.log_text().len();
    router.write_config(&config(&moment_in(8)));
    router.signal("HUP");
    router.wait_for_log(from, "all shards work by the new configuration");
    let told = &router.log_text()[from..];
    assert!(
        told.contains("2 blocks changed: `false-answers`, `unpaid`"),
        "{told}"
    );
    assert_eq!(place(path, "+1666*", 1).failed, 1);
    wait_for("the block is over", 2 * PATIENCE, || {
        (place(path, "+1666*", 1).answered == 1).then_some(())
    });
    let (before, _) = by_vendor();
    assert_eq!(place(path, "+1555*", 3).answered, 3);
    assert_eq!(by_vendor().0, before + 3);
    let text = said(&["check", "--config", file]);
    assert!(text.contains("take it out"), "{text}");
}
