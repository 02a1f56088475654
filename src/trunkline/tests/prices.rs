//! Wholesale routing from end to end: decks in the formats of three carriers, margins, new prices in
//! mid-load, exact shares, and limits that send calls to the next vendor.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use base::Money;
use harness::calls::ask_by_route;
use harness::{CALM, Gateway, PATIENCE, Router, Scene, tables, wait_for};
use perf::Figures;
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};
use serde_json::Value;

const ANSWERS: Habit = Habit::Answers {
    ring: Duration::ZERO,
    answer: Duration::from_millis(10),
};

/// Places calls to one kind of number, to their end.
fn place(
    scene: &Scene,
    (from, at): (SocketAddr, SocketAddr),
    number: &str,
    (calls, rate): (u64, u32),
    hold: Duration,
) -> Figures {
    let mut spec = CallerSpec::new(from, at, rate);
    spec.calls_max = calls;
    spec.hold = hold;
    spec.numbers = vec![number.to_owned()];
    spec.truth = Some(scene.path("caller.truth"));
    let caller = Caller::start(spec).unwrap();
    wait_for("all calls end", 4 * PATIENCE, || {
        caller.is_finished().then_some(())
    });
    caller.stop(PATIENCE).unwrap()
}

fn vendor(at: SocketAddr, habit: Habit) -> Vendor {
    Vendor::start(VendorSpec::new(at, habit)).unwrap()
}

/// `[[deck]]` tables with their files, which are written beside the configuration.
fn decks(scene: &Scene, files: &[(&str, &str)]) -> String {
    let table = |(name, text): &(&str, &str)| {
        fs::write(scene.path(&format!("{name}.csv")), text).unwrap();
        format!("[[deck]]\nname = \"{name}\"\nfile = \"{name}.csv\"\n\n")
    };
    files.iter().map(table).collect()
}

/// Microseconds of the day, of a moment in a record.
fn micros(text: &str) -> i64 {
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    ((part(11, 13) * 60 + part(14, 16)) * 60 + part(17, 19)) * 1_000_000 + part(20, 26)
}

fn with_deck<'g>(name: &'g str, address: SocketAddr, more: &'g str) -> Gateway<'g> {
    Gateway {
        more,
        ..Gateway::udp(name, address)
    }
}

/// The records of calls to numbers that begin so.
fn records_of(router: &Router, begin: &str, count: usize) -> Vec<Value> {
    wait_for("the records", PATIENCE, || {
        let all = router.cdrs();
        let is_of = |cdr: &Value| cdr["called"].as_str().unwrap().starts_with(begin);
        let found: Vec<Value> = all.into_iter().filter(is_of).collect();
        (found.len() >= count).then_some(found)
    })
}

#[test]
fn the_cheapest_that_leaves_a_margin_gets_the_call() {
    let scene = Scene::new();
    let [customer, at, a, b, c] = [(); 5].map(|()| scene.address());
    let files = [
        (
            "a",
            "Code,Destination,Rate USD,Steps\n1555,Nowhere,0.0100,1/1\n1777,Elsewhere,0.0400,1/1\n",
        ),
        // 0.009 euros are 0.00972 dollars: the cheapest, by a little.
        (
            "b",
            "Vorwahl;Ziel;Preis EUR;Taktung\n1555;Nirgends;0,0090;60/60\n1666;Fern;0,0500;1/1\n",
        ),
        (
            "c",
            "Prefix\tCountry\tUSD per minute\tIncrements\n1\tAll\t0.0500\t1/1\n",
        ),
        (
            "sold",
            "Code,Destination,Rate USD,Steps\n1555,Nowhere,0.0200,60/60\n1777,Elsewhere,0.0300,60/60\n",
        ),
    ];
    let gateways = [
        with_deck("a", a, "deck = \"a\""),
        with_deck("b", b, "deck = \"b\""),
        with_deck("c", c, "deck = \"c\""),
    ];
    let tables = tables(
        customer.ip(),
        &gateways,
        "mode = \"cost\"\nmargin = \"10 %\"\n",
    );
    let tables = tables.replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\ndeck = \"sold\"",
    );
    let money = "[[currency]]\nname = \"EUR\"\nworth = \"1.08\"\n\n";
    let decks = decks(&scene, &files);
    let router = scene.router(&format!("{}{money}{decks}{tables}", scene.head(&[at])));
    let (by_a, by_b, by_c) = (a, b, c);
    let a = vendor(a, ANSWERS);
    let b = vendor(b, Habit::Refuses { status: 503 });
    let c = vendor(c, ANSWERS);

    // The cheapest refuses, the next takes it, and the third would be a loss.
    let figures = place(
        &scene,
        (customer, at),
        "+1555*",
        (20, 50),
        Duration::from_millis(300),
    );
    assert_eq!((figures.answered, figures.failed), (20, 0), "{figures:?}");
    let asked = [&a, &b, &c].map(|vendor| vendor.figures().invites);
    assert_eq!(asked, [20, 20, 0]);
    router.judge(&[&scene.path("caller.truth")], CALM);
    for cdr in records_of(&router, "1555", 20) {
        let sold = &cdr["sold"];
        assert_eq!(
            (&sold["rate"], &sold["steps"]),
            (&"0.02".into(), &"60/60".into()),
            "{cdr}"
        );
        // A minute at least is paid for.
        assert_eq!(
            (&sold["amount"], &sold["code"]),
            (&"0.02".into(), &"1555".into()),
            "{cdr}"
        );
        let [first, second] = [0, 1].map(|at| &cdr["attempts"][at]["bought"]);
        assert_eq!(
            (&first["currency"], &first["amount"]),
            (&"EUR".into(), &"0.00".into())
        );
        assert_eq!(second["rate"], "0.01", "{cdr}");
        // By the second, and a second that has begun is one.
        let seconds = cdr["duration_us"].as_u64().unwrap().div_ceil(1_000_000);
        let parts = (1_000_000 * seconds + 30) / 60;
        let amount = Money::from_parts(i64::try_from(parts).unwrap());
        assert_eq!(second["amount"], amount.to_string(), "{cdr}");
    }

    // Nobody sells that number to the customer.
    let figures = place(&scene, (customer, at), "+1666*", (5, 50), Duration::ZERO);
    assert_eq!((figures.answered, figures.failed), (0, 5), "{figures:?}");
    for cdr in records_of(&router, "1666", 5) {
        assert_eq!(
            (&cdr["status"], &cdr["cause"]),
            (&404.into(), &"no_route".into()),
            "{cdr}"
        );
    }
    assert_eq!(router.counter("not_sold"), 5);

    // Somebody sells that one, and whoever has it is too dear.
    let figures = place(&scene, (customer, at), "+1777*", (5, 50), Duration::ZERO);
    assert_eq!((figures.answered, figures.failed), (0, 5), "{figures:?}");
    for cdr in records_of(&router, "1777", 5) {
        assert_eq!(
            (&cdr["status"], &cdr["cause"]),
            (&503.into(), &"no_gateway".into()),
            "{cdr}"
        );
        assert_eq!(cdr["attempts"], Value::Array(Vec::new()), "{cdr}");
    }

    // Whoever brings a Route of his own chooses the vendor and not the price.
    let by_hand = scene.port_of(customer.ip());
    for (number, route, status) in [
        ("+15550001", by_c, 403),
        ("+17770001", by_a, 403),
        ("+16660001", by_b, 404),
        // It was asked, and its 503 is no word for a caller (RFC 3261 §16.7).
        ("+15550002", by_b, 500),
    ] {
        let answer = ask_by_route(by_hand, at, number, route);
        let want = format!("SIP/2.0 {status} ");
        assert!(answer.starts_with(&want), "{number}: {answer}");
    }
    for cdr in records_of(&router, "15550002", 1) {
        assert_eq!(cdr["sold"]["rate"], "0.02", "{cdr}");
        assert_eq!(cdr["attempts"][0]["bought"]["currency"], "EUR", "{cdr}");
    }
    assert_eq!((b.figures().invites, c.figures().invites), (21, 0));
}

#[test]
fn b30_new_prices_in_mid_load_hurt_no_call_and_broken_ones_nothing() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let deck = |price: &str| format!("Code,Destination,Rate USD,Steps\n1555,Nowhere,{price},1/1\n");
    let dialect = "[columns]\ncode = \"Code\"\nrate = \"Rate USD\"\nsteps = \"Steps\"\n";
    fs::write(scene.path("one.toml"), dialect).unwrap();
    let decks = decks(&scene, &[("one", &deck("0.01")), ("two", &deck("0.02"))]);
    let decks = decks.replace("\"one.csv\"", "\"one.csv\"\ndialect = \"one.toml\"");
    let gateways = [
        with_deck("one", one, "deck = \"one\""),
        with_deck("two", two, "deck = \"two\""),
    ];
    let tables = tables(customer.ip(), &gateways, "mode = \"cost\"\n");
    let router = scene.router(&format!("{}{decks}{tables}", scene.head(&[at])));
    let vendors = [one, two].map(|at| vendor(at, ANSWERS));
    let truth = scene.path("caller.truth");
    let mut spec = CallerSpec::new(customer, at, 100);
    spec.hold = Duration::from_millis(300);
    spec.truth = Some(truth.clone());
    let caller = Caller::start(spec).unwrap();
    let gets = |which: usize| {
        let before = vendors[which].figures().answered;
        wait_for("more calls", PATIENCE, || {
            (vendors[which].figures().answered >= before + 30).then_some(())
        });
    };
    let write = |price: &str| fs::write(scene.path("one.csv"), deck(price)).unwrap();
    gets(0);
    assert_eq!(vendors[1].figures().answered, 0);

    // Broken decks of all kinds: told with file and line, and nothing changes.
    let good = deck("0.01");
    let mut seen = router.log_text().len();
    for (broken, told) in [
        (
            deck("o.03").into_bytes(),
            "line 2, column 3 (rate): found `o.03`",
        ),
        (
            b"Code,Destination,Rate USD,Steps\n1555,Nowh".to_vec(),
            "line 2",
        ),
        (
            format!("{good}1555,Nowhere,0.05,1/1\n").into_bytes(),
            "lines 2 and 3 say two things about 1555",
        ),
        (
            good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "one.csv",
        ),
        (Vec::new(), "one.csv"),
    ] {
        fs::write(scene.path("one.csv"), &broken).unwrap();
        router.signal("HUP");
        router.wait_for_log(seen, "the running one stays in force");
        seen = router.wait_for_log(seen, told);
        gets(0);
        assert_eq!(vendors[1].figures().answered, 0);
    }

    // A dearer one: the other vendor has the calls from now on.
    write("0.0300");
    router.signal("HUP");
    router.wait_for_log(
        seen,
        "deck `one` read again: 1 rows, 1 before; prices: 1 up",
    );
    gets(1);
    let before = vendors[0].figures().invites;
    gets(1);
    assert_eq!(
        vendors[0].figures().invites,
        before,
        "the dear one gets no new call"
    );

    // And back.
    write("0.01");
    router.signal("HUP");
    gets(0);

    let figures = caller.finish(PATIENCE).unwrap();
    assert_eq!(
        (figures.failed, figures.bye_unanswered),
        (0, 0),
        "{figures:?}"
    );
    router.judge(&[&truth], CALM);
}

#[test]
fn shares_are_exact() {
    const CALLS: u64 = 400;
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let gateways = [Gateway::udp("one", one), Gateway::udp("two", two)];
    let tables = tables(customer.ip(), &gateways, "").replace(
        "gateways = [\"one\", \"two\"]",
        "gateways = [{ name = \"one\", weight = 70 }, { name = \"two\", weight = 30 }]",
    );
    let _router = scene.router(&format!("{}{tables}", scene.head(&[at])));
    let vendors = [one, two].map(|at| vendor(at, ANSWERS));
    let figures = place(
        &scene,
        (customer, at),
        "+1555*",
        (CALLS, 200),
        Duration::ZERO,
    );
    assert_eq!(
        (figures.answered, figures.failed),
        (CALLS, 0),
        "{figures:?}"
    );
    let got = vendors.map(|vendor| vendor.figures().answered);
    // A call on each of the two shards.
    assert!(got[0].abs_diff(CALLS * 7 / 10) <= 2, "{got:?}");
}

#[test]
fn what_a_vendor_has_no_channel_for_goes_to_the_next() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let gateways = [
        with_deck("one", one, "max_calls = 5"),
        Gateway::udp("two", two),
    ];
    let tables = tables(customer.ip(), &gateways, "");
    let router = scene.router(&format!("{}{tables}", scene.head(&[at])));
    let vendors = [one, two].map(|at| vendor(at, ANSWERS));
    let held = Duration::from_secs(2);
    let figures = place(&scene, (customer, at), "+1555*", (20, 100), held);
    assert_eq!((figures.answered, figures.failed), (20, 0), "{figures:?}");
    let got = vendors.each_ref().map(|vendor| vendor.figures().answered);
    assert_eq!(got, [5, 15]);
    assert_eq!(router.counter("gateway_full"), 15);
    router.judge(&[&scene.path("caller.truth")], CALM);
    // Their channels are free again.
    let figures = place(
        &scene,
        (customer, at),
        "+1556*",
        (5, 100),
        Duration::from_millis(500),
    );
    assert_eq!((figures.answered, figures.failed), (5, 0), "{figures:?}");
    assert_eq!(vendors[0].figures().answered, 10);
}

/// Attempts come far faster than the limit lets through, on two shards at once.
#[test]
fn b41_a_limit_holds_over_all_shards_and_returns_to_nothing() {
    const LIMIT: usize = 40;
    const CALLS: u64 = 3_000;
    let scene = Scene::new();
    let [customer, at, one] = [(); 3].map(|()| scene.address());
    let tables = tables(customer.ip(), &[Gateway::udp("one", one)], "");
    let limit = format!("carrier = \"buyer\"\nmax_calls = {LIMIT}");
    let tables = tables.replace("carrier = \"buyer\"", &limit);
    let router = scene.router(&format!("{}{tables}", scene.head(&[at])));
    let _vendor = vendor(one, ANSWERS);
    let held = Duration::from_millis(400);
    let figures = place(&scene, (customer, at), "+1555*", (CALLS, 500), held);
    assert_eq!(figures.answered + figures.failed, CALLS, "{figures:?}");
    assert!(
        figures.failed > 0 && figures.answered >= LIMIT as u64,
        "{figures:?}"
    );
    let records = records_of(&router, "1555", CALLS as usize);
    let is_limited = |cdr: &&Value| cdr["cause"] == "call_limit";
    assert_eq!(
        records.iter().filter(is_limited).count() as u64,
        figures.failed
    );
    // What was up at a time, by the records: +1 where a call's attempt begins (the call itself began
    // when the kernel had it, before it was let in), -1 where it ends, ends first.
    let mut moments: Vec<(i64, i64)> = Vec::new();
    for cdr in records.iter().filter(|cdr| !is_limited(cdr)) {
        moments.push((micros(cdr["attempts"][0]["started"].as_str().unwrap()), 1));
        moments.push((micros(cdr["ended"].as_str().unwrap()), -1));
    }
    moments.sort_unstable();
    let mut up = 0;
    let most = moments.iter().map(|(_, step)| {
        up += step;
        up
    });
    // The two shards read the clock on the wall each for itself.
    let most = most.max().unwrap();
    assert!((most - LIMIT as i64).abs() <= 2, "{most} calls at a time");
    // All of them are free again.
    let figures = place(
        &scene,
        (customer, at),
        "+1666*",
        (LIMIT as u64, 400),
        Duration::from_secs(1),
    );
    assert_eq!(
        (figures.answered, figures.failed),
        (LIMIT as u64, 0),
        "{figures:?}"
    );
}

#[test]
fn a_trunk_begins_no_more_calls_in_a_second_than_it_may() {
    let scene = Scene::new();
    let [customer, at, one] = [(); 3].map(|()| scene.address());
    let tables = tables(customer.ip(), &[Gateway::udp("one", one)], "");
    let tables = tables.replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\ncalls_per_second = 10",
    );
    let router = scene.router(&format!("{}{tables}", scene.head(&[at])));
    let _vendor = vendor(one, ANSWERS);
    let figures = place(
        &scene,
        (customer, at),
        "+1555*",
        (150, 50),
        Duration::from_millis(50),
    );
    assert_eq!(figures.answered + figures.failed, 150, "{figures:?}");
    let limited: Vec<Value> = records_of(&router, "1555", 150)
        .into_iter()
        .filter(|cdr| cdr["cause"] == "rate_limit")
        .collect();
    assert!(limited.iter().all(|cdr| cdr["status"] == 503));
    assert_eq!(limited.len() as u64, figures.failed);
    assert_eq!(router.counter("trunk_fast"), figures.failed);
    // By the moments on record, which a busy machine cannot stretch: no second has more than it may.
    let mut begun: Vec<String> = router
        .cdrs()
        .iter()
        .filter(|cdr| cdr["cause"] != "rate_limit")
        .map(|cdr| cdr["started"].as_str().unwrap().to_owned())
        .collect();
    begun.sort();
    let begun: Vec<i64> = begun.iter().map(|text| micros(text)).collect();
    for (place, from) in begun.iter().enumerate() {
        let within = begun[place..]
            .iter()
            .filter(|it| **it < from + 950_000)
            .count();
        assert!(within <= 12, "{within} calls in a second");
    }
    assert!(figures.answered >= 15, "{figures:?}");
}

#[test]
fn who_is_blocked_and_who_is_permitted_all_the_same() {
    let scene = Scene::new();
    let [customer, at, one] = [(); 3].map(|()| scene.address());
    let write = |name: &str, text: &str| fs::write(scene.path(name), text).unwrap();
    write("blocked.csv", "+1555*\n1666* # all\n");
    write("permitted.csv", "15550000*\n");
    let lists = "[[list]]\nname = \"blocked\"\nfile = \"blocked.csv\"\n\n\
                 [[list]]\nname = \"permitted\"\nfile = \"permitted.csv\"\n\n\
                 [screen]\nblock_called = [\"blocked\"]\n\n";
    let tables = tables(customer.ip(), &[Gateway::udp("one", one)], "");
    let own = "carrier = \"buyer\"\npermit_called = [\"permitted\"]";
    let tables = tables.replace("carrier = \"buyer\"", own);
    let router = scene.router(&format!("{}{lists}{tables}", scene.head(&[at])));
    let one = vendor(one, ANSWERS);
    let call = |number: &str| {
        let figures = place(&scene, (customer, at), number, (5, 50), Duration::ZERO);
        (figures.answered, figures.failed)
    };
    assert_eq!(call("+1666*"), (0, 5));
    assert_eq!(call("+15551234"), (0, 5));
    assert_eq!(call("+15550000"), (5, 0));
    assert_eq!(call("+1777*"), (5, 0));
    assert_eq!(router.counter("blocked_called"), 10);
    for cdr in records_of(&router, "1666", 5) {
        assert_eq!(
            (&cdr["status"], &cdr["cause"]),
            (&403.into(), &"blocked".into()),
            "{cdr}"
        );
    }
    assert_eq!(one.figures().invites, 10);

    // A list with a slip changes nothing; a good one holds at once.
    let seen = router.log_text().len();
    write("blocked.csv", "1777*\nl666*\n");
    router.signal("HUP");
    let seen = router.wait_for_log(seen, "blocked.csv:2: found `l666*`");
    assert_eq!(call("+1777*"), (5, 0));
    write("blocked.csv", "1777*\n");
    router.signal("HUP");
    router.wait_for_log(seen, "list `blocked` read: 1 entries");
    wait_for("the list", PATIENCE, || {
        (call("+1777*") == (0, 5)).then_some(())
    });
    assert_eq!(call("+1666*"), (5, 0));
}

#[test]
fn a_route_server_names_the_candidates_in_their_order() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let row = |price: &str| {
        format!("Code,Destination,Rate USD,Steps\n1555,Nowhere,{price},1/1\n1777,There,0.01,1/1\n")
    };
    let dear = row("0.03").replace("1777,There,0.01,1/1\n", "");
    let decks = decks(&scene, &[("one", &dear), ("two", &row("0.02"))]);
    let gateways = [
        with_deck("one", one, "deck = \"one\"\nprefix = \"99\""),
        with_deck("two", two, "deck = \"two\"\nformat = \"e164\""),
    ];
    let tables = tables(customer.ip(), &gateways, "mode = \"cost\"\n");
    let tables = tables.replace(
        "carrier = \"buyer\"",
        "carrier = \"buyer\"\nredirect = true",
    );
    let router = scene.router(&format!("{}{decks}{tables}", scene.head(&[at])));
    let socket = UdpSocket::bind(customer).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = |number: &str| {
        let request = format!(
            "INVITE sip:{number}@{at} SIP/2.0\r\nVia: SIP/2.0/UDP {customer};branch=z9hG4bK{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@{customer}>;tag=1\r\nTo: <sip:{number}@{at}>\r\n\
             Call-ID: {number}@test\r\nCSeq: 1 INVITE\r\nContact: <sip:{customer}>\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(request.as_bytes(), at).unwrap();
        let mut answer = [0; 4_096];
        let length = socket.recv(&mut answer).unwrap();
        String::from_utf8(answer[..length].to_vec()).unwrap()
    };
    let contacts = |answer: &str| {
        let line = answer.lines().find(|line| line.starts_with("Contact: "));
        line.unwrap_or_else(|| panic!("no Contact in {answer}"))
            .to_owned()
    };
    let answer = ask("+15551234567");
    assert!(answer.starts_with("SIP/2.0 300 "), "{answer}");
    let want = format!("Contact: <sip:15551234567@{two}>;q=1.0, <sip:99+15551234567@{one}>;q=0.9");
    assert_eq!(contacts(&answer), want);
    let answer = ask("+17771234567");
    assert!(answer.starts_with("SIP/2.0 302 "), "{answer}");
    assert_eq!(
        contacts(&answer),
        format!("Contact: <sip:17771234567@{two}>;q=1.0")
    );
    // Each is written by its own shard.
    let mut cdrs = router.wait_cdrs(2);
    cdrs.sort_by_key(|cdr| cdr["called"].to_string());
    for (cdr, status) in cdrs.iter().zip([300, 302]) {
        assert_eq!(
            (&cdr["status"], &cdr["cause"]),
            (&status.into(), &"redirected".into()),
            "{cdr}"
        );
    }
    assert_eq!(router.counter("redirected"), 2);
}
