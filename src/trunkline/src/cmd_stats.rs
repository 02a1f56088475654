//! `trunkline stats`: what a running node counts.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use crate::failure::{Failure, print};
use crate::table::{lay_out, thousands};

/// What `stats --help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  trunkline stats                              numbers that are not 0, for each shard and summed
  trunkline stats --all                        those that are 0 too
  trunkline stats --socket /run/trunkline.sock --json | jq .total.handler.invites
  trunkline stats --health                     {\"status\":\"ok\"} and exit status 0, or why not and 1";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The node's stats socket: what its configuration says at [control] socket.
    #[arg(long, value_name = "PATH", default_value = "trunkline.sock")]
    socket: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show numbers that are 0 too.
    #[arg(long)]
    all: bool,
    /// Ask only whether the node does its work.
    #[arg(long, conflicts_with_all = ["all"])]
    health: bool,
}

/// Shards that get a column each; of more, only the sum is shown.
const COLUMNS_MAX: usize = 8;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.health {
        let answer = ask(&arguments.socket, "health")?;
        print(&answer)?;
        let health = parse(&answer)?;
        return match health["status"].as_str() {
            Some("ok") => Ok(()),
            _ => Err(Failure::Trouble(
                health["trouble"].as_str().unwrap_or("?").to_owned(),
            )),
        };
    }
    let answer = ask(&arguments.socket, "stats")?;
    if arguments.json {
        return print(&answer);
    }
    print(&tables(&parse(&answer)?, arguments.all))
}

/// What a running node counts.
pub(crate) fn stats(socket: &Path) -> Result<Value, Failure> {
    parse(&ask(socket, "stats")?)
}

pub(crate) fn parse(answer: &str) -> Result<Value, Failure> {
    serde_json::from_str(answer).map_err(|error| Failure::Answer(error.to_string()))
}

/// Asks the socket one question; the answer is one line.
fn ask(path: &Path, question: &str) -> Result<String, Failure> {
    ask_patiently(path, question, Duration::from_secs(10))
}

/// As [`ask`], of a node that may take its time.
pub(crate) fn ask_patiently(
    path: &Path,
    question: &str,
    patience: Duration,
) -> Result<String, Failure> {
    let exchange = || -> io::Result<String> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(patience))?;
        writeln!(stream, "{question}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        if answer.ends_with('\n') {
            Ok(answer)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    };
    exchange().map_err(|error| Failure::Socket(path.to_owned(), error))
}

fn tables(stats: &Value, all: bool) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut text = format!(
        "node {}, trunkline {}, {}\n",
        word(&stats["node"]),
        word(&stats["version"]),
        stats["trouble"].as_str().unwrap_or("no trouble"),
    );
    let empty = Vec::new();
    let shards = stats["shards"].as_array().unwrap_or(&empty);
    push(&mut text, "control", pairs(&stats["control"], all));
    push(&mut text, "gateway", named_rows(&stats["gateways"]));
    push(&mut text, "health", health(&stats["health"]));
    push(&mut text, "quality", quality(&stats["quality"]));
    push(&mut text, "trunk", named_rows(&stats["trunks"]));
    push(&mut text, "cap", caps(&stats["caps"]));
    push(&mut text, "time", times(&stats["total"]["histograms"]));
    push(&mut text, "calls", columns(stats, shards, "handler", all));
    push(&mut text, "runtime", columns(stats, shards, "runtime", all));
    text
}

fn push(text: &mut String, title: &str, mut rows: Vec<Vec<String>>) {
    if rows.len() > 1 {
        rows[0][0] = title.to_owned();
        text.push('\n');
        text.push_str(&lay_out(&rows));
    }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "?".to_owned(), thousands)
}

/// One row for each number of an object.
fn pairs(object: &Value, all: bool) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new(), "value".to_owned()]];
    for (name, value) in object.as_object().unwrap_or(&Map::new()) {
        if all || value.as_u64() != Some(0) {
            rows.push(vec![name.clone(), number(value)]);
        }
    }
    rows
}

/// One row for each named object of a list, one column for each of its numbers.
fn named_rows(list: &Value) -> Vec<Vec<String>> {
    let empty = Vec::new();
    let list = list.as_array().unwrap_or(&empty);
    let keys: Vec<&String> = (list.first().and_then(Value::as_object).into_iter())
        .flat_map(Map::keys)
        .filter(|key| *key != "name")
        .collect();
    let mut head = vec![String::new()];
    head.extend(keys.iter().map(|key| (*key).clone()));
    let mut rows = vec![head];
    for object in list {
        let mut row = vec![object["name"].as_str().unwrap_or("?").to_owned()];
        row.extend(keys.iter().map(|key| number(&object[key.as_str()])));
        rows.push(row);
    }
    rows
}

/// One row for each gateway: how it is, since when, and what it was before.
fn health(list: &Value) -> Vec<Vec<String>> {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut rows = vec![["", "state", "since", "before"].map(str::to_owned).to_vec()];
    for gateway in list.as_array().unwrap_or(&Vec::new()) {
        let empty = Vec::new();
        let before = gateway["before"].as_array().unwrap_or(&empty).iter();
        let before = before.map(|it| format!("{} {}", word(&it["state"]), word(&it["since"])));
        rows.push(vec![
            word(&gateway["gateway"]),
            word(&gateway["state"]),
            word(&gateway["since"]),
            before.collect::<Vec<_>>().join(", "),
        ]);
    }
    rows
}

/// One row for each gateway, destination and class: shares in per cent.
fn quality(list: &Value) -> Vec<Vec<String>> {
    let head = [
        "",
        "destination",
        "class",
        "admitted",
        "ASR",
        "NER",
        "ACD s",
        "PDD ms",
        "short",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let share = |value: &Value| match value.as_u64() {
        Some(share) => format!("{}.{}", share / 10, share % 10),
        None => "-".to_owned(),
    };
    let count = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), thousands);
    for row in list.as_array().unwrap_or(&Vec::new()) {
        let word = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
        let mut told = vec![word("gateway"), word("destination"), word("class")];
        told.extend(["admitted", "asr", "ner"].map(|key| share(&row[key])));
        told.extend(["acd_s", "pdd_ms"].map(|key| count(&row[key])));
        told.push(share(&row["short"]));
        rows.push(told);
    }
    rows
}

/// One row for each cell of a cap: what it has, and what it allows.
fn caps(list: &Value) -> Vec<Vec<String>> {
    let head = [
        "",
        "calls",
        "in window",
        "seconds",
        "cost",
        "used",
        "refused",
        "told",
        "allows",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in list.as_array().unwrap_or(&Vec::new()) {
        let word = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
        let permille = row["used_permille"].as_u64().unwrap_or(0);
        let mut told = vec![word("cap")];
        told.extend(["calls", "window_calls", "window_seconds"].map(|key| number(&row[key])));
        told.push(word("window_cost"));
        told.push(format!("{}.{} %", permille / 10, permille % 10));
        told.extend(["refused", "told"].map(|key| number(&row[key])));
        told.push(word("allows"));
        rows.push(told);
    }
    rows
}

/// One row for each histogram that has values.
fn times(histograms: &Value) -> Vec<Vec<String>> {
    let columns = ["count", "p50_us", "p99_us", "max_us"];
    let mut head = vec![String::new()];
    head.extend(columns.map(str::to_owned));
    let mut rows = vec![head];
    for (name, histogram) in histograms.as_object().unwrap_or(&Map::new()) {
        if histogram["count"].as_u64() != Some(0) {
            let mut row = vec![name.clone()];
            row.extend(columns.iter().map(|column| number(&histogram[column])));
            rows.push(row);
        }
    }
    rows
}

/// One row for each counter of a page; the sum, and a column for each shard.
fn columns(stats: &Value, shards: &[Value], page: &str, all: bool) -> Vec<Vec<String>> {
    let shown = if shards.len() > COLUMNS_MAX {
        &[]
    } else {
        shards
    };
    let mut head = vec![String::new(), "total".to_owned()];
    head.extend((0..shown.len()).map(|shard| format!("shard {shard}")));
    let mut rows = vec![head];
    for (name, total) in stats["total"][page].as_object().unwrap_or(&Map::new()) {
        if all || total.as_u64() != Some(0) {
            let mut row = vec![name.clone(), number(total)];
            row.extend(shown.iter().map(|shard| number(&shard[page][name])));
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_becomes_tables() {
        let shard = |invites: u64| json!({ "handler": { "invites": invites, "looped": 0 }, "runtime": { "turns": 5 } });
        let stats = json!({
            "node": "n1", "version": "1.2.3", "trouble": null,
            "control": { "uptime_seconds": 3, "reloads": 0 },
            "gateways": [{ "name": "gw-1", "attempts": 7, "state": 0 }],
            "health": [{ "gateway": "gw-1", "state": "up", "since": "2026-11-21T10:00:09Z",
                "before": [{ "state": "down", "since": "2026-11-21T10:00:02Z" }] }],
            "trunks": [],
            "shards": [shard(1_200), shard(34)],
            "total": {
                "handler": { "invites": 1_234, "looped": 0 },
                "runtime": { "turns": 10 },
                "histograms": { "setup_time_us": { "count": 2, "p50_us": 10, "p99_us": 20, "max_us": 30 } },
            },
        });
        let want = "\
node n1, trunkline 1.2.3, no trouble

control         value
uptime_seconds      3

gateway  attempts  state
gw-1            7      0

health  state                 since                     before
gw-1       up  2026-11-21T10:00:09Z  down 2026-11-21T10:00:02Z

time           count  p50_us  p99_us  max_us
setup_time_us      2      10      20      30

calls    total  shard 0  shard 1
invites  1,234    1,200       34

runtime  total  shard 0  shard 1
turns       10        5        5
";
        assert_eq!(tables(&stats, false), want);
        assert!(tables(&stats, true).contains("looped       0        0        0\n"));
    }
}
