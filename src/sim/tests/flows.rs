//! Runs every call flow of `flows/`.

use std::fs;
use std::path::{Path, PathBuf};

use sim::flow;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("flows");
    let entries = fs::read_dir(folder).expect("the flows are beside the sources");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    files.sort();
    files
}

/// All flows run even if one fails; `FLOW=name` runs those whose name contains it.
#[test]
fn every_flow_runs() {
    let only = std::env::var("FLOW").unwrap_or_default();
    let mut failures = Vec::new();
    let mut count = 0;
    for file in files() {
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if !name.contains(&only) {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&file).expect("a readable file");
        let ran = flow::parse(&name, &text).and_then(|flow| flow::run(&flow));
        if let Err(error) = ran {
            failures.push(error);
        }
    }
    assert!(count > 0, "no flow of that name");
    assert!(
        failures.is_empty(),
        "{} of {count} flows failed:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// A script that says something wrong of a world that does the right thing must fail.
#[test]
fn a_flow_that_is_not_so_fails() {
    let good = "A > INVITE t=0\nB < INVITE\nB > 486 t=1s\nB < ACK\nA < 486\nA > ACK\ncdr: calls=1 status=486\n";
    let run = |text: &str| flow::parse("x", text).and_then(|flow| flow::run(&flow));
    assert_eq!(run(good), Ok(()));
    for (from, to) in [
        ("A < 486", "A < 487"),
        ("A < 486", "A < 486 t<1s"),
        ("A < 486", "A < 486 h.Via.count=2"),
        ("B < ACK\n", ""),
        ("status=486", "status=200"),
        ("calls=1", "calls=2"),
        ("B < INVITE\n", "B < INVITE mf=68\n"),
        ("B > 486 t=1s\n", "all quiet t=1s\nC < INVITE\n"),
    ] {
        let text = good.replace(from, to);
        assert!(run(&text).is_err(), "{text}");
    }
}
