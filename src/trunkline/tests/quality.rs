//! How gateways share calls, by what callers are told and by what vendors get.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use harness::{Gateway, PATIENCE, Router, Scene, tables, wait_for};
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};
use serde_json::Value;

/// A switch that asks where its calls go, and is told by 302.
struct Switch {
    socket: UdpSocket,
    router: SocketAddr,
    asked: u32,
}

impl Switch {
    fn new(at: SocketAddr, router: SocketAddr) -> Switch {
        let socket = UdpSocket::bind(at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Switch {
            socket,
            router,
            asked: 0,
        }
    }

    /// The port of the gateway that a call of this caller goes to.
    fn ask(&mut self, caller: &str) -> u16 {
        self.asked += 1;
        let (router, at, call) = (self.router, self.socket.local_addr().unwrap(), self.asked);
        let request = format!(
            "INVITE sip:+15551234567@{router} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{call}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{caller}@{at}>;tag={call}\r\nTo: <sip:+15551234567@{router}>\r\n\
             Call-ID: {call}@test\r\nCSeq: 1 INVITE\r\nContact: <sip:{at}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.socket.send_to(request.as_bytes(), router).unwrap();
        let mut octets = [0; 4_096];
        let answer = loop {
            let length = self.socket.recv(&mut octets).unwrap();
            let answer = String::from_utf8(octets[..length].to_vec()).unwrap();
            // An earlier one may be repeated.
            if answer.contains(&format!("Call-ID: {call}@test\r\n")) {
                break answer;
            }
        };
        assert!(answer.starts_with("SIP/2.0 302 "), "{answer}");
        let contact = answer
            .lines()
            .find(|line| line.starts_with("Contact: "))
            .unwrap();
        let address = contact.split(['@', '>']).nth(1).unwrap();
        address.parse::<SocketAddr>().unwrap().port()
    }
}

/// As [`tables`], for a trunk whose calls are told where they go: to one gateway.
fn told(customer: SocketAddr, gateways: &[Gateway<'_>], route: &str) -> String {
    let tables = tables(
        customer.ip(),
        gateways,
        &format!("attempts_max = 1\n{route}"),
    );
    tables.replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\nredirect = true",
    )
}

#[test]
fn callers_keep_their_gateway_when_another_goes() {
    let scene = Scene::new();
    let [customer, at, one, two, three] = [(); 5].map(|()| scene.address());
    let gateways = [
        Gateway::udp("one", one),
        Gateway::udp("two", two),
        Gateway::udp("three", three),
    ];
    let config = |gateways: &[Gateway<'_>]| {
        let tables = told(customer, gateways, "balance = \"caller\"\n");
        format!("{}{tables}", scene.head(&[at]))
    };
    let router = scene.router(&config(&gateways));
    let mut switch = Switch::new(customer, at);
    let callers: Vec<String> = (0..60).map(|n| format!("+49301234{n:03}")).collect();
    let mut ask_all = || -> BTreeMap<String, u16> {
        let answers = callers
            .iter()
            .map(|caller| (caller.clone(), switch.ask(caller)));
        answers.collect()
    };
    let first = ask_all();
    assert_eq!(
        ask_all(),
        first,
        "whichever shard is asked, and however often"
    );
    for gateway in [one, two, three] {
        let count = first
            .values()
            .filter(|port| **port == gateway.port())
            .count();
        assert!(count >= 5, "{first:?}");
    }

    let seen = router.log_text().len();
    router.write_config(&config(&gateways[..2]));
    router.signal("HUP");
    router.wait_for_log(seen, "all shards work by the new configuration");
    let after = ask_all();
    for (caller, port) in &first {
        match *port == three.port() {
            true => assert_ne!(after[caller], *port),
            false => assert_eq!(after[caller], *port, "{caller}"),
        }
    }

    // And all of it back.
    let seen = router.log_text().len();
    router.write_config(&config(&gateways));
    router.signal("HUP");
    router.wait_for_log(seen, "all shards work by the new configuration");
    assert_eq!(ask_all(), first);
}

#[test]
fn a_gateway_out_of_hours_is_not_tried() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let gateways = [Gateway::udp("one", one), Gateway::udp("two", two)];
    let config = |when: &str| {
        let tables = told(customer, &gateways, "").replace(
            "gateways = [\"one\", \"two\"]",
            &format!("gateways = [{{ name = \"one\", when = \"{when}\" }}, \"two\"]"),
        );
        let calendars = "[[calendar]]\nname = \"always\"\nhours = [\"daily 00:00-24:00\"]\n\
                         [[calendar]]\nname = \"day\"\nzone = \"Europe/Berlin\"\nhours = [\"daily 08:00-18:00\"]\n\n";
        format!("{}{calendars}{tables}", scene.head(&[at]))
    };
    let router = scene.router(&config("always"));
    let mut switch = Switch::new(customer, at);
    assert_eq!(switch.ask("+49301"), one.port());
    let seen = router.log_text().len();
    router.write_config(&config("not always"));
    router.signal("HUP");
    router.wait_for_log(seen, "all shards work by the new configuration");
    assert_eq!(switch.ask("+49301"), two.port());

    // The same code tells what would be.
    router.write_config(&config("day"));
    let explain = |time: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args([
                "route",
                "explain",
                "--from",
                "customer",
                "+15551234567",
                "--at",
                time,
            ])
            .arg("--config")
            .arg(scene.path("trunkline.toml"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let night = explain("2027-01-15T17:00:00Z");
    assert!(night.contains("one              out of hours"), "{night}");
    assert!(
        night.contains("day is closed, for 14 h 0 min more"),
        "{night}"
    );
    // In summer the same hour of UTC is an hour later by the clock on the wall.
    let winter = explain("2027-01-15T16:30:00Z");
    assert!(
        winter.contains("day is open, for 30 min 0 s more"),
        "{winter}"
    );
    let summer = explain("2027-07-15T16:30:00Z");
    assert!(
        summer.contains("day is closed, for 13 h 30 min more"),
        "{summer}"
    );
}

#[test]
fn the_stats_say_since_when() {
    let scene = Scene::new();
    let [customer, at, one] = [(); 3].map(|()| scene.address());
    let tables = tables(customer.ip(), &[Gateway::udp("one", one)], "");
    let router = scene.router(&format!("{}{tables}", scene.head(&[at])));
    let health = wait_for("a look at the gateways", PATIENCE, || {
        let health = router.stats()["health"][0].clone();
        (!health.is_null()).then_some(health)
    });
    assert_eq!(
        (&health["gateway"], &health["state"]),
        (&"one".into(), &"up".into())
    );
    assert!(health["since"].as_str().unwrap().ends_with('Z'), "{health}");
}

/// Places calls to their end; how many of them each vendor got.
fn place(from: SocketAddr, at: SocketAddr, calls: u64, vendors: &[&Vendor]) -> Vec<u64> {
    let invites = || vendors.iter().map(|vendor| vendor.figures().invites);
    let before: Vec<u64> = invites().collect();
    let mut spec = CallerSpec::new(from, at, 200);
    spec.calls_max = calls;
    spec.numbers = vec!["+1555*".to_owned()];
    let caller = Caller::start(spec).unwrap();
    wait_for("all calls end", 4 * PATIENCE, || {
        caller.is_finished().then_some(())
    });
    caller.stop(PATIENCE).unwrap();
    invites()
        .zip(before)
        .map(|(now, before)| now - before)
        .collect()
}

/// The row of a gateway in the stats, once it is as it should be.
fn row(router: &Router, gateway: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    wait_for("the quality", PATIENCE, || {
        let stats = router.stats();
        let rows = stats["quality"].as_array().unwrap();
        let found = rows.iter().find(|row| row["gateway"] == gateway)?;
        is_right(found).then(|| found.clone())
    })
}

#[test]
fn a_vendor_with_bad_answers_loses_its_calls_and_comes_back_slowly() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let gateways = [Gateway::udp("one", one), Gateway::udp("two", two)];
    let quality = "[[quality]]\nname = \"q\"\nmin_asr = \"50 %\"\nsample = 20\ntrial = \"20 %\"\nreturn_s = 2\n\n";
    let tables = tables(customer.ip(), &gateways, "quality = \"q\"\n");
    let router = scene.router(&format!("{}{quality}{tables}", scene.head(&[at])));
    let good = || Habit::Answers {
        ring: Duration::ZERO,
        answer: Duration::from_millis(10),
    };
    let start = |at, habit| Vendor::start(VendorSpec::new(at, habit)).unwrap();
    let (bad, other) = (
        start(one, Habit::Refuses { status: 503 }),
        start(two, good()),
    );
    let got = place(customer, at, 100, &[&bad, &other]);
    // Until it is judged it is asked first.
    assert!(got[0] >= 20 && got[1] == 100, "{got:?}");
    let fallen = row(&router, "one", |row| row["admitted"] == 200);
    assert_eq!(
        (&fallen["class"], &fallen["destination"]),
        (&"q".into(), &"155".into())
    );
    router.wait_for_log(0, "quality: good -> below its bounds");
    // A fifth of its calls, on trial; the others never see it.
    let got = place(customer, at, 200, &[&bad, &other]);
    assert!((10..90).contains(&got[0]) && got[1] == 200, "{got:?}");

    // The same code explains it, by what the node has measured.
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args([
            "route",
            "explain",
            "--from",
            "customer",
            "+15551234567",
            "--dice",
            "7",
        ])
        .arg("--config")
        .arg(scene.path("trunkline.toml"))
        .arg("--socket")
        .arg(scene.path("control.sock"))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("gets 200 of 1,000 calls in its place: ASR 0.0 %"),
        "{told}"
    );
    assert!(told.contains("good: ASR 100.0 %"), "{told}");

    // It is mended: its few calls show that, and it gets all of them again.
    drop(bad);
    let mended = start(one, good());
    wait_for("its return", 4 * PATIENCE, || {
        place(customer, at, 60, &[&mended, &other]);
        router
            .log_text()
            .contains("quality: returning -> good")
            .then_some(())
    });
    row(&router, "one", |row| row["admitted"] == 1_000);
    let got = place(customer, at, 50, &[&mended, &other]);
    assert_eq!(got, [50, 0]);
    let log = router.log_text();
    assert!(
        log.contains("quality: below its bounds -> returning"),
        "{log}"
    );
}
