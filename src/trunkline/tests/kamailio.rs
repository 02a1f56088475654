//! Kamailio from Debian as the next hop, and as the hop before.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::sipp::{uac, uas};
use harness::{CALM, Gateway, PATIENCE, Scene, signal, tables, wait_for};
use serde_json::Value;

const CALLS: u32 = 20;

/// A Kamailio that sends every call to one next hop.
struct Kamailio {
    child: Child,
    log: std::path::PathBuf,
}

impl Kamailio {
    fn start(scene: &Scene, at: SocketAddr, next_hop: SocketAddr) -> Kamailio {
        let log = scene.path(&format!("kamailio-{}.log", at.port()));
        let output = fs::File::create(&log).unwrap();
        let run = scene.path(&format!("kamailio-{}", at.port()));
        fs::create_dir(&run).unwrap();
        let config = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../perf/kamailio/kamailio.cfg"
        );
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("kamailio")
            .env("PATH", format!("{path}:/usr/sbin"))
            .args(["-f", config, "-DD", "-E", "-m", "32", "-M", "4"])
            .args(["-l", &format!("udp:{at}")])
            .args(["-A", &format!("NEXT_HOP=\"sip:{next_hop}\"")])
            .arg("-Y")
            .arg(&run)
            .arg("-P")
            .arg(run.join("pid"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("kamailio is installed (scripts/setup.sh)");
        let mut kamailio = Kamailio { child, log };
        kamailio.wait_until_it_answers(scene, at);
        kamailio
    }

    /// It prints its addresses before its children read; an answered OPTIONS is the proof.
    fn wait_until_it_answers(&mut self, scene: &Scene, at: SocketAddr) {
        let socket = std::net::UdpSocket::bind(scene.address()).unwrap();
        let patience = Duration::from_millis(50);
        socket.set_read_timeout(Some(patience)).unwrap();
        let from = socket.local_addr().unwrap();
        let options = format!(
            "OPTIONS sip:{at} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKready\r\n\
             From: <sip:test@{from}>;tag=1\r\nTo: <sip:{at}>\r\nCall-ID: ready@{from}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        wait_for("Kamailio answers", PATIENCE, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "kamailio ended early: {}", self.log_text());
            let _refused_until_it_listens = socket.send_to(options.as_bytes(), at);
            socket.recv_from(&mut [0; 2048]).ok().map(|_| ())
        });
    }

    fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // TERM, not KILL: the first process ends its children.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(&self.child, "TERM");
        }
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- kamailio log ---\n{}", self.log_text());
        }
    }
}

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
