//! The command line: what people type, what they read, and the exit status that scripts see.

// A program is tested here, in real time.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn trunkline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(arguments)
        .output()
        .expect("trunkline runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Runs and expects this exit status; gives standard output and standard error.
fn check(arguments: &[&str], status: i32) -> (String, String) {
    let output = trunkline(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}\n{out}\n{err}"
    );
    (out, err)
}

fn sample(name: &str) -> String {
    format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A configuration of these lines in a folder of its own.
fn file(folder: &tempfile::TempDir, content: &str) -> PathBuf {
    let path = folder.path().join("trunkline.toml");
    fs::write(&path, content).expect("writable");
    path
}

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn help_teaches_and_version_tells() {
    let (out, _) = check(&["--help"], 0);
    for word in [
        "run",
        "check",
        "route",
        "stats",
        "demo",
        "Examples:",
        "Exit status:",
    ] {
        assert!(out.contains(word), "{word} in {out}");
    }
    for command in [
        &["run"][..],
        &["check"],
        &["route", "explain"],
        &["route", "replay"],
        &["import"],
        &["store"],
        &["stats"],
        &["demo"],
    ] {
        let (out, _) = check(&[command, &["--help"]].concat(), 0);
        assert!(out.contains("Example"), "{command:?}: {out}");
    }
    let version = format!("trunkline {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(check(&["version"], 0).0, version);
    assert_eq!(check(&["--version"], 0).0, version);
}

#[test]
fn a_wrong_command_line_is_status_2() {
    for (arguments, word) in [
        (&[][..], "Usage"),
        (&["carry"], "unrecognized subcommand"),
        (&["check"], "--config"),
        (&["run", "--confg", "x"], "--config"),
        (&["route", "explain", "--config", "x", "1"], "--from"),
        (
            &["store", "commit", "--config", "x", "--author", "a"],
            "--comment",
        ),
        (&["demo", "--rate", "0"], "--rate"),
        (&["demo", "--seconds", "soon"], "--seconds"),
    ] {
        let (_, err) = check(arguments, 2);
        assert!(err.contains(word), "{arguments:?}: {err}");
    }
}

#[test]
fn check_says_what_a_good_file_holds() {
    let (out, err) = check(&["check", "--config", &sample("demo.toml")], 0);
    assert!(out.contains("is good"), "{out}");
    for words in [
        "demo",
        "127.0.0.1:5060",
        "1: caller",
        "3: healthy, refusing, silent",
    ] {
        assert!(out.contains(words), "{words} in {out}");
    }
    assert_eq!(err, "");
    for sample_file in ["bench.toml", "example.toml"] {
        check(&["check", "--config", &sample(sample_file)], 0);
    }
}

#[test]
fn check_tells_all_faults_with_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        &folder,
        "[node]\nname = 5\n\n[[listener]]\nname = \"udp\"\ntransport = \"udp\"\n\
         address = \"127.0.0.1:99999\"\n\n[[route]]\nprefix = \"44\"\ngateways = [\"nobody\"]\n",
    );
    let (out, err) = check(&["check", "--config", name(&path)], 1);
    assert_eq!(out, "");
    for place in ["2:8:", "7:11:", "11:13:"] {
        let want = format!("{}:{place} found", name(&path));
        assert!(err.contains(&want), "{want} in {err}");
    }
    assert!(err.contains("nobody"), "{err}");
    assert!(err.ends_with("errors in the configuration\n"), "{err}");
    // `run` refuses it in the same words, before it has opened anything.
    assert_eq!(check(&["run", "--config", name(&path)], 1).1, err);
}

#[test]
fn a_file_that_is_not_there_is_told() {
    for command in ["check", "run"] {
        let (_, err) = check(&[command, "--config", "/nowhere/trunkline.toml"], 1);
        assert!(err.contains("/nowhere/trunkline.toml:"), "{err}");
        assert!(err.contains("1 error in the configuration"), "{err}");
    }
}

#[test]
fn explain_shows_the_order_and_the_reasons() {
    let demo = sample("demo.toml");
    let explain = ["route", "explain", "--config", &demo, "--from", "caller"];
    let (out, _) = check(&[&explain[..], &["+15581234567"]].concat(), 0);
    let places: Vec<usize> = ["1. refusing", "2. silent", "3. healthy"]
        .iter()
        .map(|step| out.find(step).unwrap_or_else(|| panic!("{step} in {out}")))
        .collect();
    assert!(places.is_sorted(), "{out}");

    let (out, _) = check(
        &[&explain[..], &["--json", "sip:0015581234567@192.0.2.1"]].concat(),
        0,
    );
    let value: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&value["number"], &value["prefix"]),
        (&"15581234567".into(), &"1558".into())
    );

    let (_, err) = check(
        &[
            "route", "explain", "--config", &demo, "--from", "nobody", "1",
        ],
        1,
    );
    assert!(
        err.contains("no trunk `nobody`; there are: caller"),
        "{err}"
    );
    let (_, err) = check(&[&explain[..], &["sip:[::1"]].concat(), 1);
    assert!(err.contains("cannot be dialled"), "{err}");
}

#[test]
fn stats_without_a_node_says_how_to_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("none.sock");
    let (out, err) = check(&["stats", "--socket", name(&socket)], 1);
    assert_eq!(out, "");
    assert!(
        err.contains("none.sock") && err.contains("is trunkline running"),
        "{err}"
    );
}

/// Answers one question on a socket with one line.
fn answer_once(socket: &Path, line: &'static str) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(socket).expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("asked");
        stream.write_all(line.as_bytes()).expect("read");
        // Until the other side has read it.
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    })
}

#[test]
fn stats_and_health_pass_on_what_the_node_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let ask = |number: u32, line, arguments: &[&str], status| {
        let socket = folder.path().join(format!("{number}.sock"));
        let answering = answer_once(&socket, line);
        let seen = check(
            &[&["stats", "--socket", name(&socket)], arguments].concat(),
            status,
        );
        answering.join().expect("answered");
        seen
    };
    let report = "{\"node\":\"n1\",\"version\":\"9\",\"total\":{\"handler\":{\"invites\":1234}}}\n";
    assert_eq!(ask(1, report, &["--json"], 0).0, report);
    let (out, _) = ask(2, report, &[], 0);
    assert!(out.contains("node n1") && out.contains("1,234"), "{out}");
    let (_, err) = ask(3, "nonsense\n", &[], 1);
    assert!(err.contains("makes no sense"), "{err}");
    ask(4, "{\"status\":\"ok\"}\n", &["--health"], 0);
    let (_, err) = ask(
        5,
        "{\"status\":\"trouble\",\"trouble\":\"draining\"}\n",
        &["--health"],
        1,
    );
    assert!(err.contains("in trouble: draining"), "{err}");
    let (_, err) = ask(6, "{\"cut\":", &[], 1);
    assert!(err.contains("cannot ask"), "{err}");
}
