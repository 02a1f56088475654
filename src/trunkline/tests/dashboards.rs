//! The dashboards under `perf/dashboards/` ask for metrics and labels that a running node serves.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use harness::{Gateway, Scene, tables};
use serde_json::Value;

/// The names of the samples that a node serves, each with its labels.
fn scrape(at: SocketAddr) -> BTreeMap<String, BTreeSet<String>> {
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let mut samples: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("trunkline_")) {
        let sample = line.split(' ').next().unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let names = samples.entry(name.to_owned()).or_default();
        for label in labels.split("\",") {
            if let Some((label, _)) = label.split_once('=') {
                names.insert(label.to_owned());
            }
        }
    }
    samples
}

/// The words of an expression that are names of something.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

/// The labels that an expression or a legend speaks of.
fn labels(expression: &str, legend: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in expression.split("by (").skip(1) {
        found.extend(names(part.split(')').next().unwrap()).map(str::to_owned));
    }
    for part in expression.split('{').skip(1) {
        for matcher in part.split('}').next().unwrap().split(',') {
            found.insert(matcher.split(['=', '!']).next().unwrap().to_owned());
        }
    }
    for part in legend.split("{{").skip(1) {
        found.insert(part.split("}}").next().unwrap().to_owned());
    }
    // Whoever scrapes adds this one.
    found.remove("instance");
    found
}

fn check(file: &Path, samples: &BTreeMap<String, BTreeSet<String>>) {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    let mut expressions = 0;
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title}: its id is taken"
        );
        let grid = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for (x, y) in (0..grid("w")).flat_map(|x| (0..grid("h")).map(move |y| (x, y))) {
            let cell = (grid("x") + x, grid("y") + y);
            assert!(
                cell.0 < 24 && cells.insert(cell),
                "{title} lies on another panel"
            );
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            !panel["description"].as_str().unwrap().is_empty(),
            "{title}"
        );
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let legend = target["legendFormat"].as_str().unwrap();
            let metrics: Vec<&str> = names(expression)
                .filter(|name| name.starts_with("trunkline_"))
                .collect();
            assert!(!metrics.is_empty(), "{title}: {expression}");
            for metric in metrics {
                let served = samples.get(metric);
                let served = served.unwrap_or_else(|| panic!("{title}: nobody serves {metric}"));
                for label in labels(expression, legend) {
                    assert!(served.contains(&label), "{title}: {metric} has no {label}");
                }
            }
            expressions += 1;
        }
    }
    assert!(
        expressions >= 15,
        "{} has {expressions} expressions",
        file.display()
    );
}

#[test]
fn the_dashboards_ask_for_what_is_served() {
    let scene = Scene::new();
    let [customer, at, vendor, metrics] = [(); 4].map(|()| scene.address());
    let config = format!(
        "{}[metrics]\nlisten = \"{metrics}\"\n\n{}",
        scene.head(&[at]),
        tables(customer.ip(), &[Gateway::udp("first", vendor)], "")
    );
    let _router = scene.router(&config);
    let samples = scrape(metrics);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../perf/dashboards");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|end| end == "json") {
            check(&file, &samples);
            files += 1;
        }
    }
    assert!(files >= 2, "{files} dashboards");
}
