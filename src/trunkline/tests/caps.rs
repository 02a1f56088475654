//! What callers may have together: fault B24 (toll fraud), caps that send calls to the next vendor, and
//! lists of carriers.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use base::Money;
use harness::calls::{place, vendor};
use harness::{Gateway, PATIENCE, Router, Scene, tables, wait_for};
use serde_json::Value;

/// Asks for one call by hand, and returns the final answer as it came.
fn ask(from: SocketAddr, router: SocketAddr, number: &str) -> String {
    let socket = UdpSocket::bind(from).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "INVITE sip:{number}@{router} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKby-hand\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+49301@{from}>;tag=1\r\nTo: <sip:{number}@{router}>\r\n\
         Call-ID: by-hand@test\r\nCSeq: 1 INVITE\r\nContact: <sip:{from}>\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), router).unwrap();
    let mut octets = [0; 4_096];
    loop {
        let length = socket.recv(&mut octets).unwrap();
        let answer = String::from_utf8(octets[..length].to_vec()).unwrap();
        if !answer.starts_with("SIP/2.0 1") {
            return answer;
        }
    }
}

fn is_answered(cdr: &Value) -> bool {
    !cdr["answered"].is_null()
}

/// The most calls that were up at one time, by their records.
fn most_at_once(cdrs: &[Value]) -> usize {
    let mut changes: Vec<(&str, i32)> = Vec::new();
    for cdr in cdrs.iter().filter(|cdr| is_answered(cdr)) {
        changes.push((cdr["answered"].as_str().unwrap(), 1));
        changes.push((cdr["ended"].as_str().unwrap(), -1));
    }
    changes.sort_unstable();
    let (mut up, mut most) = (0, 0);
    for (_, change) in changes {
        up += change;
        most = most.max(up);
    }
    most as usize
}

/// The row of a cap in the stats.
fn cap(router: &Router, name: &str) -> Value {
    let stats = router.stats();
    let rows = stats["caps"].as_array().unwrap();
    let row = rows.iter().find(|row| row["cap"] == name);
    row.unwrap_or_else(|| panic!("no cap {name}: {rows:?}"))
        .clone()
}

const PREMIUM: &str = "\
[[deck]]
name = \"sold\"
file = \"sold.csv\"

[[cap]]
name = \"premium\"
prefixes = [\"1900\", \"+1976\"]
each = [\"trunk\", \"prefix\"]
max_calls = 5
window_cost = \"1.00\"
max_call_seconds = 2
refuse_status = 486
retry_after_s = 90

";

#[test]
fn b24_a_trunk_that_was_broken_into_costs_no_more_than_its_cap() {
    let scene = Scene::new();
    let [customer, at, other] = [(); 3].map(|()| scene.address());
    // A tenth of a unit for each second that is begun.
    fs::write(
        scene.path("sold.csv"),
        "Code,Destination,Rate USD,Steps\n1,All,0.06,1/1\n1900,Premium,6.00,1/1\n1976,Premium,6.00,1/1\n",
    )
    .unwrap();
    let tables = tables(
        customer.ip(),
        &[Gateway::udp("first", other)],
        "margin = \"any\"",
    );
    let tables = tables.replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\ndeck = \"sold\"",
    );
    let config = format!("{}{PREMIUM}{tables}", scene.head(&[at]));
    let mut router = scene.router(&config);
    let vendor = vendor(other);
    let path = (customer, at);

    // Ten calls of half a second are begun each second, and five are up at a time.
    let figures = place(path, "+1900*", (200, 20), Duration::from_millis(500));
    assert_eq!(figures.answered + figures.failed, 200, "{figures:?}");
    let cdrs = router.wait_cdrs(200);
    let refused = |cause: &str| cdrs.iter().filter(|cdr| cdr["cause"] == cause).count();
    assert!(most_at_once(&cdrs) <= 5);
    assert!(refused("call_limit") > 0, "{figures:?}");
    assert!(refused("window_limit") > 100, "{figures:?}");
    for cdr in &cdrs {
        let is_marked = cdr["cap"] == "premium/customer/1900";
        assert_eq!(is_marked, !is_answered(cdr), "{cdr}");
        assert_eq!(cdr["status"] == 486, is_marked, "{cdr}");
    }
    let money = |cdr: &Value| Money::parse(cdr["sold"]["amount"].as_str().unwrap()).unwrap();
    let spent: Money = cdrs.iter().filter(|cdr| is_answered(cdr)).map(money).sum();
    // What was up when the last unit was spent may go on: five calls of two seconds, and the steps.
    let at_most = Money::parse("2.50").unwrap();
    assert!(
        spent >= Money::parse("1").unwrap() && spent <= at_most,
        "{spent}"
    );
    assert_eq!(
        cap(&router, "premium/customer/1900")["window_cost"],
        spent.to_string()
    );
    assert!(
        router
            .log_text()
            .contains("nearly used up: money in the window")
    );
    assert!(router.log_text().contains("calls went beyond it"));
    assert_eq!(vendor.figures().answered, figures.answered);
    assert_eq!(
        router.counter("cap_used_up") + router.counter("cap_full"),
        figures.failed
    );

    // The caller is told when to come again; other numbers go on.
    let answer = ask(scene.port_of(customer.ip()), at, "+19001234567");
    assert!(answer.starts_with("SIP/2.0 486 "), "{answer}");
    assert!(answer.contains("\r\nRetry-After: 90\r\n"), "{answer}");
    assert_eq!(place(path, "+1555*", (5, 50), Duration::ZERO).answered, 5);
    // A prefix of its own has money of its own; and no call is longer than two seconds.
    let figures = place(path, "+1976*", (1, 50), Duration::from_secs(5));
    assert_eq!(figures.answered, 1);
    let cdr = wait_for("its record", PATIENCE, || {
        let is_of = |cdr: &Value| cdr["called"].as_str().unwrap().starts_with("1976");
        router.cdrs().into_iter().find(is_of)
    });
    assert_eq!(cdr["cause"], "max_duration");

    // Neither the end of the process in an instant nor an orderly one lets the cap forget.
    let spent_kept = spent.parts() / 100 * 60_000;
    wait_for("what was used is kept", PATIENCE, || {
        let text = fs::read_to_string(scene.path("state/caps.json")).ok()?;
        let kept: Value = serde_json::from_str(&text).unwrap();
        let since = kept["caps"]["premium/customer/1900"]["since"].as_array()?;
        (since.last()?[2] == spent_kept).then_some(())
    });
    for is_killed in [true, false] {
        if !is_killed {
            router.stop();
        }
        drop(router);
        router = scene.router(&config);
        let row = cap(&router, "premium/customer/1900");
        assert_eq!(
            (&row["window_cost"], &row["calls"]),
            (&spent.to_string().into(), &0.into())
        );
        let figures = place(path, "+1900*", (5, 50), Duration::ZERO);
        assert_eq!((figures.answered, figures.failed), (0, 5), "{figures:?}");
    }
}

#[test]
fn what_is_too_much_for_a_vendor_goes_to_the_next() {
    let scene = Scene::new();
    let [customer, at, a, b] = [(); 4].map(|()| scene.address());
    let gateways = [Gateway::udp("a", a), Gateway::udp("b", b)];
    let caps = "[[cap]]\nname = \"vendors\"\ngateways = [\"a\"]\nprefixes = [\"1555\"]\nmax_calls = 4\n\n\
                [[cap]]\nname = \"buyers\"\ntrunks = [\"buyer\"]\neach = [\"carrier\"]\nmax_calls = 30\nbeyond = \"tell\"\n\n";
    let tables = tables(customer.ip(), &gateways, "");
    let router = scene.router(&format!("{}{caps}{tables}", scene.head(&[at])));
    let (a, b) = (vendor(a), vendor(b));
    let figures = place((customer, at), "+1555*", (40, 200), Duration::from_secs(4));
    assert_eq!((figures.answered, figures.failed), (40, 0), "{figures:?}");
    assert_eq!((a.figures().answered, b.figures().answered), (4, 36));
    assert_eq!(router.counter("gateway_capped"), 36);
    let cdrs = router.wait_cdrs(40);
    let beyond = cdrs.iter().filter(|cdr| cdr["cap"] == "buyers/buyer");
    assert_eq!(beyond.count(), 10, "those beyond thirty are marked");
    let row = cap(&router, "buyers/buyer");
    assert_eq!((&row["calls"], &row["told"]), (&0.into(), &10.into()));
    // Other numbers are not what the vendor's cap is about.
    place((customer, at), "+1777*", (10, 200), Duration::from_secs(1));
    assert_eq!(a.figures().answered, 14);
    assert_eq!(cap(&router, "vendors")["calls"], 0);
}

#[test]
fn a_list_of_a_carrier_is_one_of_its_trunks() {
    let scene = Scene::new();
    let [customer, at, other] = [(); 3].map(|()| scene.address());
    fs::write(scene.path("far.csv"), "881* # satellites\n").unwrap();
    let carrier = "[[list]]\nname = \"far\"\nfile = \"far.csv\"\n\n\
                   [[carrier]]\nname = \"buyer\"\nblock_called = [\"far\"]\n\n";
    let tables = tables(customer.ip(), &[Gateway::udp("first", other)], "");
    let router = scene.router(&format!("{}{carrier}{tables}", scene.head(&[at])));
    let _vendor = vendor(other);
    let figures = place((customer, at), "+881*", (3, 50), Duration::ZERO);
    assert_eq!((figures.answered, figures.failed), (0, 3));
    let figures = place((customer, at), "+1555*", (3, 50), Duration::ZERO);
    assert_eq!(figures.answered, 3);
    let cdrs = router.wait_cdrs(6);
    assert_eq!(
        cdrs.iter().filter(|cdr| cdr["cause"] == "blocked").count(),
        3
    );
}

#[test]
fn a_record_names_the_cap_that_refused_and_not_one_that_only_told() {
    let scene = Scene::new();
    let [customer, at, other] = [(); 3].map(|()| scene.address());
    let caps = "[[cap]]\nname = \"tells\"\nmax_calls = 1\nbeyond = \"tell\"\n\n\
                [[cap]]\nname = \"refuses\"\nmax_calls = 2\n\n";
    let tables = tables(customer.ip(), &[Gateway::udp("first", other)], "");
    let router = scene.router(&format!("{}{caps}{tables}", scene.head(&[at])));
    let _vendor = vendor(other);
    let figures = place((customer, at), "+1555*", (3, 100), Duration::from_secs(3));
    assert_eq!((figures.answered, figures.failed), (2, 1), "{figures:?}");
    let cdrs = router.wait_cdrs(3);
    let of = |cap: &'static str| cdrs.iter().filter(move |cdr| cdr["cap"] == cap);
    assert_eq!(of("tells").filter(|cdr| is_answered(cdr)).count(), 1);
    assert_eq!(of("refuses").filter(|cdr| !is_answered(cdr)).count(), 1);
}
