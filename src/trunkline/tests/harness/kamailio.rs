//! Kamailio from Debian, as a hop beside the router.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{PATIENCE, Scene, signal, wait_for};

/// A Kamailio that sends every call to one next hop.
pub struct Kamailio {
    child: Child,
    log: std::path::PathBuf,
}

impl Kamailio {
    /// Starts one at `at`, and waits until it answers.
    pub fn start(scene: &Scene, at: SocketAddr, next_hop: SocketAddr) -> Kamailio {
        let log = scene.path(&format!("kamailio-{}.log", at.port()));
        let output = fs::File::create(&log).expect("the log is created");
        let run = scene.path(&format!("kamailio-{}", at.port()));
        fs::create_dir(&run).expect("a folder");
        let config = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../perf/kamailio/kamailio.cfg"
        );
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("kamailio")
            .env("PATH", format!("{path}:/usr/sbin"))
            .args(["-f", config, "-DD", "-E", "-m", "32", "-M", "4"])
            // Two children of one socket bring a 180 and the 200 behind it out of order; SIPp
            // takes that for a failed call.
            .args(["-n", "1"])
            .args(["-l", &format!("udp:{at}")])
            .args(["-A", &format!("NEXT_HOP=\"sip:{next_hop}\"")])
            .arg("-Y")
            .arg(&run)
            .arg("-P")
            .arg(run.join("pid"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one file, two names"))
            .stderr(output)
            .spawn()
            .expect("kamailio is installed (scripts/setup.sh)");
        let mut kamailio = Kamailio { child, log };
        kamailio.wait_until_it_answers(scene, at);
        kamailio
    }

    /// It prints its addresses before its children read; an answered OPTIONS is the proof.
    fn wait_until_it_answers(&mut self, scene: &Scene, at: SocketAddr) {
        let socket = std::net::UdpSocket::bind(scene.address()).expect("a socket");
        let patience = Duration::from_millis(50);
        socket.set_read_timeout(Some(patience)).expect("a time");
        let from = socket.local_addr().expect("its address");
        let options = format!(
            "OPTIONS sip:{at} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKready\r\n\
             From: <sip:test@{from}>;tag=1\r\nTo: <sip:{at}>\r\nCall-ID: ready@{from}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        wait_for("Kamailio answers", PATIENCE, || {
            let ended = self.child.try_wait().expect("its state");
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
