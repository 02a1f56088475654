//! `trunkline check`: what is wrong with a configuration, or what it holds.

use std::fmt::Write;
use std::path::Path;

use config::{Config, Shards};
use control::Loaded;
use route::Moment;

use crate::boot;
use crate::failure::{Failure, print};
use crate::progress::Progress;
use crate::table::thousands;

/// What `check --help` ends with.
pub(crate) const EXAMPLES: &str = "\
Every fault is told, with file, line and column, what was found, what would be right, and how to go
on. Nothing is bound, opened for writing or sent.

Examples:
  trunkline check --config trunkline.toml && kill -HUP $(pidof trunkline)
  trunkline check --config new.toml --against trunkline.toml

Where the configuration names a store, the head of that is checked with it; `trunkline store check`
checks what is staged.";

pub(crate) fn run(file: &Path, against: Option<&Path>) -> Result<(), Failure> {
    let before = against.map(|file| Loaded::from_file(file, boot::FIRST_GENERATION, None));
    let before = before.transpose().map_err(Failure::Load)?;
    let progress = Progress::new();
    let loaded = Loaded::watched(file, boot::FIRST_GENERATION, None, &|deck, lines| {
        progress.tell(deck, lines);
    });
    progress.end();
    let loaded = loaded.map_err(Failure::Load)?;
    let mut text = summary(&file.display().to_string(), &loaded);
    if let Some(before) = before {
        text.push_str(&changes(&loaded.changes_from(&before)));
    }
    print(&text)
}

pub(crate) fn changes(told: &[String]) -> String {
    if told.is_empty() {
        return "Nothing would change.\n".to_owned();
    }
    let lines = told.iter().map(|change| format!("  {change}\n"));
    format!("What would change:\n{}", lines.collect::<String>())
}

pub(crate) fn summary(file: &str, loaded: &Loaded) -> String {
    let Config {
        node,
        listeners,
        cdr,
        metrics,
        control,
        trunks,
        gateways,
        ..
    } = &*loaded.config;
    let shards = match &node.shards {
        Shards::Auto => "one on each processor".to_owned(),
        Shards::Count(count) => format!("{count}, not pinned"),
        Shards::Cpus(cpus) => format!("one on each of the processors {cpus:?}"),
    };
    let listeners: Vec<String> = (listeners.iter())
        .map(|l| format!("{} {} {}", l.name, l.transport, l.address))
        .collect();
    let trunks: Vec<&str> = trunks.iter().map(|trunk| trunk.name.as_str()).collect();
    let probed = gateways
        .iter()
        .filter(|gateway| gateway.probe.is_some())
        .count();
    let idle = gateways
        .iter()
        .filter(|gateway| gateway.maintenance)
        .count();
    let gateway_names: Vec<&str> = gateways
        .iter()
        .map(|gateway| gateway.name.as_str())
        .collect();
    let mut text = format!("{file} is good.\n");
    let stored = loaded.stored.as_ref();
    let generation = stored.and_then(|stored| stored.fetched.generation.as_ref());
    let mut line = |key: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {key:<10} {value}");
    };
    if let Some(generation) = generation {
        line("store", &generation.to_string());
    }
    line("node", &node.name);
    line("shards", &shards);
    line("listeners", &listeners.join(", "));
    line("trunks", &counted(&trunks));
    line("gateways", &counted(&gateway_names));
    line("", &format!("{probed} probed, {idle} in maintenance"));
    line("routes", &loaded.snapshot.routes_len().to_string());
    for (kind, contents) in contents(loaded) {
        line(kind, &contents);
    }
    line("cdr", &cdr.directory.display().to_string());
    line(
        "metrics",
        &metrics
            .listen
            .map_or("none".to_owned(), |at| format!("http://{at}/metrics")),
    );
    line("control", &control.socket.display().to_string());
    text
}

/// What is in each deck and each list.
fn contents(loaded: &Loaded) -> Vec<(&'static str, String)> {
    let decks = loaded.config.decks.iter().zip(&loaded.library.rows);
    let deck = decks.map(|(deck, rows)| {
        let rows = thousands(*rows as u64);
        ("deck", format!("{}: {rows} rows", deck.name))
    });
    let list = loaded.lists.sizes().map(|(list, entries)| {
        let entries = thousands(entries as u64);
        ("list", format!("{list}: {entries} entries"))
    });
    let now = control::now();
    let block = loaded.config.blocks.iter().map(|block| {
        let state = match (block.from, &block.until) {
            (_, Some((until, text))) if Moment::at(*until) <= now => {
                format!("over since {text}; take it out")
            }
            (Some(from), _) if Moment::at(from) > now => "not begun".to_owned(),
            (_, Some((_, text))) => format!("until {text}"),
            _ => "in force".to_owned(),
        };
        ("block", format!("{}: {state}", block.name))
    });
    deck.chain(list).chain(block).collect()
}

/// How many, and the names of the first.
fn counted(names: &[&str]) -> String {
    const SHOWN_MAX: usize = 6;
    let shown = names.len().min(SHOWN_MAX);
    let more = if names.len() > shown { ", …" } else { "" };
    match names.len() {
        0 => "none".to_owned(),
        count => format!("{count}: {}{more}", names[..shown].join(", ")),
    }
}
