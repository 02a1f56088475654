//! Coalesced sends through the whole router: real peers take what was lengthened to travel
//! together, in both forms.
//!
//! The router is stopped while a burst arrives, so that one turn of its loop finds it all.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)] // it looks at the system's tables until something is there

mod harness;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use harness::kamailio::Kamailio;
use harness::sipp::{uac, uas};
use harness::{CALM, Gateway, PATIENCE, Router, Scene, tables, wait_for};
use perf::load::{Plan, Sink, Source, Spread, run};

const CALLS: u32 = 60;
const FORMS: [&str; 2] = ["own-parameters", "trailing"];

/// The first part of the configuration of a router of one shard. What waits while it is stopped is
/// late by intent and no overload.
fn head(scene: &Scene, at: SocketAddr) -> String {
    scene.head(&[at]).replace("shards = 2", "shards = 1")
}

/// A router of one shard that coalesces in this form.
fn router(
    scene: &Scene,
    form: &str,
    at: SocketAddr,
    customer: SocketAddr,
    to: SocketAddr,
) -> Router {
    let udp = "transport = \"udp\"\n";
    let head = head(scene, at).replacen(udp, &format!("{udp}coalesce = \"{form}\"\n"), 1);
    let tables = tables(customer.ip(), &[Gateway::udp("first", to)], "");
    scene.router(&format!("{head}{tables}"))
}

/// Octets that wait in the receive buffer of a socket, by the kernel's own table.
fn waiting(address: SocketAddr) -> u64 {
    let port = format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/udp").unwrap();
    let of_port = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let queues = fields.get(1)?.ends_with(&port).then(|| fields.get(4))??;
        u64::from_str_radix(queues.split(':').nth(1)?, 16).ok()
    });
    of_port.sum()
}

/// Calls in one burst from SIPp to SIPp; `with_kamailio`: it is the next hop.
fn carry(form: &str, with_kamailio: bool) {
    let scene = Scene::new();
    let [customer, at, proxy, vendor] = [(); 4].map(|()| scene.address());
    let next = if with_kamailio { proxy } else { vendor };
    let router = router(&scene, form, at, customer, next);
    let _kamailio = with_kamailio.then(|| Kamailio::start(&scene, proxy, vendor));
    let answers = uas(&scene, "uas-call", vendor).calls(CALLS).start();
    router.signal("STOP");
    let calls = uac(&scene, "uac-call", customer, at)
        .calls(CALLS)
        .rate(2_000)
        .start();
    wait_for("a burst", PATIENCE, || (waiting(at) > 30_000).then_some(()));
    router.signal("CONT");
    let truth = calls.finish();
    answers.finish();
    let verdict = router.judge(&[&truth], CALM);
    assert_eq!(
        (verdict.calls, verdict.answered),
        (u64::from(CALLS), u64::from(CALLS))
    );
    let sends = router.counter("coalesced_sends");
    let datagrams = router.counter("coalesced_datagrams");
    assert!(
        sends > 0 && datagrams >= 2 * sends,
        "{datagrams} in {sends}"
    );
    assert_eq!(router.counter("coalesce_refused"), 0);
    let (pads, bytes) = (
        router.counter("coalesce_pad_bytes"),
        router.counter("datagram_bytes_out"),
    );
    println!(
        "{form}: {datagrams} datagrams in {sends} sends, {pads} of {bytes} octets are padding"
    );
    assert!(pads * 4 < bytes, "{pads} of {bytes}");
}

#[test]
fn sipp_takes_a_parameter_that_it_does_not_know() {
    carry("own-parameters", false);
}

#[test]
fn sipp_takes_what_is_behind_the_body() {
    carry("trailing", false);
}

#[test]
fn kamailio_takes_a_parameter_that_it_does_not_know() {
    carry("own-parameters", true);
}

#[test]
fn kamailio_takes_what_is_behind_the_body() {
    carry("trailing", true);
}

/// INVITEs of different lengths, as one burst of a customer, and what the vendor got of them.
fn burst(form: &str) -> Vec<Vec<u8>> {
    const BURST: usize = 8;
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let router = router(&scene, form, at, customer, vendor);
    let (caller, callee) = (
        UdpSocket::bind(customer).unwrap(),
        UdpSocket::bind(vendor).unwrap(),
    );
    callee.set_read_timeout(Some(PATIENCE)).unwrap();
    router.signal("STOP");
    for number in 0..BURST {
        let name = "x".repeat(1 + 7 * number);
        let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                    m=audio 4000 RTP/AVP 8\r\n";
        let invite = format!(
            "INVITE sip:+15551234@{at} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {customer};branch=z9hG4bK{number}\r\n\
             From: \"{name}\" <sip:a@{customer}>;tag={number}\r\nTo: <sip:+15551234@{at}>\r\n\
             Call-ID: {number}@burst.example\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
             Contact: <sip:a@{customer}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        caller.send_to(invite.as_bytes(), at).unwrap();
    }
    router.signal("CONT");
    let mut buffer = [0; 2_048];
    let got = (0..BURST).map(|_| {
        let len = callee.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    });
    let got = got.collect();
    assert!(router.counter("coalesced_sends") > 0);
    got
}

/// A capture file of datagrams (LINKTYPE_IPV4), for who reads such files.
fn capture(datagrams: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 228_u32] {
        file.extend(word.to_le_bytes());
    }
    for datagram in datagrams {
        let len = datagram.len() as u16;
        let mut packet = vec![0x45, 0];
        packet.extend((len + 28).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        for field in [5_060, 5_060, len + 8, 0] {
            packet.extend(field.to_be_bytes());
        }
        packet.extend(datagram);
        for word in [0, 0, packet.len() as u32, packet.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

#[test]
fn tshark_reads_both_forms_without_complaint() {
    for form in FORMS {
        let datagrams = burst(form);
        let same = |a: &Vec<u8>| datagrams.iter().filter(|b| a.len() == b.len()).count();
        assert!(
            datagrams.iter().any(|one| same(one) > 1),
            "brought to one length"
        );
        let mark: &[u8] = if form == "trailing" {
            b"\r\n\r\n\r\n"
        } else {
            b";pad=x"
        };
        let marked = |one: &&Vec<u8>| one.windows(mark.len()).any(|window| window == mark);
        assert!(datagrams.iter().filter(marked).count() > 0, "{form}");
        let scene = Scene::new();
        let file = scene.path("burst.pcap");
        fs::write(&file, capture(&datagrams)).unwrap();
        let output = Command::new("tshark")
            .args(["-n", "-r"])
            .arg(&file)
            .args(["-T", "fields", "-E", "separator=|"])
            .args([
                "-e",
                "sip.Method",
                "-e",
                "sip.Via.branch",
                "-e",
                "sdp.media.port",
            ])
            .args(["-e", "_ws.malformed", "-e", "_ws.expert.severity"])
            .output()
            .expect("tshark is installed (scripts/setup.sh)");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.lines().count(), datagrams.len(), "{output:?}");
        for line in text.lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let branches = fields[1].split(',').count();
            assert_eq!(
                (fields[0], branches, fields[2]),
                ("INVITE", 2, "4000"),
                "{line}"
            );
            assert_eq!(fields[3], "", "malformed: {line}");
            // `Chat` is what a request is to begin with (0x200000); anything above is a complaint.
            let worst = fields[4]
                .split(',')
                .filter_map(|word| word.parse::<u32>().ok())
                .max();
            assert!(worst.unwrap_or(0) <= 0x20_0000, "{form}: {line}");
        }
    }
}

/// One router's trains are taken apart by the next one, which passes their calls on.
#[test]
fn two_routers_speak_in_trains() {
    let (first_scene, scene) = (Scene::new(), Scene::new());
    let [customer, at, next, vendor] = [(); 4].map(|()| scene.address());
    let first = router(&first_scene, "trailing", at, customer, next);
    let head = head(&scene, next);
    let second = scene.router(&format!(
        "{head}[io]\nreceive_coalesced = true\n\n{}",
        tables(at.ip(), &[Gateway::udp("second", vendor)], "")
    ));
    let answers = uas(&scene, "uas-call", vendor).calls(CALLS).start();
    first.signal("STOP");
    let calls = uac(&scene, "uac-call", customer, at)
        .calls(CALLS)
        .rate(2_000)
        .start();
    wait_for("a burst", PATIENCE, || (waiting(at) > 30_000).then_some(()));
    first.signal("CONT");
    let truth = calls.finish();
    answers.finish();
    let verdict = first.judge(&[&truth], CALM);
    assert_eq!(verdict.answered, u64::from(CALLS));
    second.judge(&[&truth], CALM);
    assert!(second.counter("coalesced_receives") > 0);
}

/// The load generator takes trains whole, and finds each message in them.
#[test]
fn callers_and_callees_may_take_trains() {
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let udp = "transport = \"udp\"\n";
    let head = head(&scene, at).replacen(udp, &format!("{udp}coalesce = \"trailing\"\n"), 1);
    let router = scene.router(&format!(
        "{head}[io]\ngather_us = 1000\n\n{}",
        tables(customer.ip(), &[Gateway::udp("first", vendor)], "")
    ));
    let plan = Plan {
        targets: vec![at],
        sources: vec![Source::new(customer)],
        sinks: vec![Sink::new(vendor)],
        rate: 2_000.0,
        warm_up_ms: 0,
        duration_ms: 1_000,
        ring: Spread::fixed_ms(20),
        hold: Spread::fixed_ms(100),
        takes_trains: true,
        ..Plan::default()
    };
    let report = run(&plan, &mut |_| {}).expect("the generator runs");
    let calls = &report.calls;
    assert_eq!(calls.completed, calls.attempts, "{report:#?}");
    assert_eq!(report.generator.strays, 0, "{report:#?}");
    let (sends, datagrams) = (
        router.counter("coalesced_sends"),
        router.counter("coalesced_datagrams"),
    );
    assert!(
        sends > 0 && datagrams >= 2 * sends,
        "{datagrams} in {sends}"
    );
}

/// A lone message leaves as it is.
#[test]
fn a_lone_datagram_is_not_touched() {
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let router = router(&scene, "trailing", at, customer, vendor);
    let answers = uas(&scene, "uas-call", vendor).calls(1).start();
    let truth = uac(&scene, "uac-call", customer, at)
        .calls(1)
        .hold_ms(50)
        .run();
    answers.finish();
    router.judge(&[&truth], CALM);
    assert_eq!(router.counter("coalesce_pad_bytes"), 0);
}
