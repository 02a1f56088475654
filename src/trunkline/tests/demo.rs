//! The demonstration, as a first-time user runs it, on addresses of its own.

// Runs in real time: it is the program that is tested.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::Value;

/// A configuration with the built-in one's cast, below this folder.
fn config(folder: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(16) + NEXT.fetch_add(1, Relaxed);
    let [_, a, b, c] = number.to_be_bytes();
    // Hosts that no other test has, and ports that are free there.
    let host = |role: u8| Ipv4Addr::new(127, 160 + role * 16 + a % 16, b, 1 + c % 254);
    let free = |role: u8| {
        let socket = UdpSocket::bind((host(role), 0)).expect("a port");
        socket.local_addr().expect("its number")
    };
    let (dir, caller) = (folder.display(), host(0));
    let (router, metrics) = (free(0), free(0));
    let text = format!(
        "[node]\nname = \"demo-test\"\nstate_dir = \"{dir}/state\"\nshards = 2\n\
         [[listener]]\nname = \"udp\"\ntransport = \"udp\"\naddress = \"{router}\"\n\
         [cdr]\ndirectory = \"{dir}/cdr\"\n\
         [control]\nsocket = \"{dir}/demo.sock\"\n\
         [metrics]\nlisten = \"{metrics}\"\n\
         [[trunk]]\nname = \"caller\"\nsources = [\"{caller}\"]\n\
         [[gateway]]\nname = \"refusing\"\naddress = \"{}\"\n\
         [[gateway]]\nname = \"silent\"\naddress = \"{}\"\nno_response_ms = 200\n\
         [[gateway]]\nname = \"healthy\"\naddress = \"{}\"\n\
         [[route]]\nprefix = \"1555\"\ngateways = [\"refusing\", \"silent\", \"healthy\"]\n",
        free(1),
        free(2),
        free(3),
    );
    let path = folder.join("demo.toml");
    fs::write(&path, text).expect("writable");
    path
}

fn demo(folder: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["demo", "--rate", "20", "--config"])
        .arg(config(folder))
        .args(more)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("trunkline starts")
}

/// The number after a name in the summary.
fn figure(out: &str, name: &str) -> u64 {
    let line = out.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("{name} in {out}"));
    line.trim().replace(',', "").parse().expect("a number")
}

fn records(folder: &Path) -> Vec<Value> {
    let files = fs::read_dir(folder.join("cdr")).expect("there");
    let mut records = Vec::new();
    for file in files {
        let path = file.expect("readable").path();
        assert_eq!(
            path.extension().and_then(|end| end.to_str()),
            Some("jsonl"),
            "finished"
        );
        let text = fs::read_to_string(path).expect("UTF-8");
        records.extend(
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON")),
        );
    }
    records
}

#[test]
fn it_ends_by_itself_and_sums_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path(), &["--seconds", "3"])
        .wait_with_output()
        .expect("it ends");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(
        out.lines()
            .filter(|line| line.starts_with("second "))
            .count(),
        3,
        "{out}"
    );
    assert!(!out.contains('\x1b'), "plain lines where no terminal is");
    let (placed, answered) = (figure(&out, "calls placed"), figure(&out, "answered"));
    assert!(placed >= 50 && answered > 0, "{out}");
    assert_eq!(figure(&out, "failed "), 0, "{out}");
    assert!(
        figure(&out, "times failed over") >= answered,
        "each call is refused once: {out}"
    );
    for place in ["cdr", "http://127.", "demo.sock", "demo.log"] {
        assert!(out.contains(place), "{place} in {out}");
    }
    let records = records(folder.path());
    assert_eq!(records.len() as u64, placed, "one record a call");
    let up = records
        .iter()
        .filter(|record| !record["answered"].is_null());
    assert_eq!(up.clone().count() as u64, answered);
    for record in up {
        assert_eq!(record["egress_gateway"], "healthy", "{record}");
        assert_eq!(record["attempts"][0]["status"], 503, "{record}");
    }
}

#[test]
fn an_interrupt_ends_it_cleanly() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = demo(folder.path(), &[]);
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("second 2") {
        line.clear();
        assert!(
            out.read_line(&mut line).expect("UTF-8") > 0,
            "it ended early"
        );
    }
    let kill = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status();
    assert!(kill.expect("sh runs").success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("UTF-8");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{status}: {rest}");
    // Calls that came after the signal were refused without a record.
    let records = records(folder.path());
    let answered = records
        .iter()
        .filter(|record| !record["answered"].is_null());
    assert_eq!(answered.count() as u64, figure(&rest, "answered"), "{rest}");
    assert!(
        records.len() as u64 <= figure(&rest, "calls placed"),
        "{rest}"
    );
}
