//! Decks that are broken or odd, as carriers mail them, each with what is said about it.
//!
//! `corpus/NAME.csv` is the deck, `NAME.toml` its dialect (else it is guessed), `NAME.old.csv` the deck
//! before it; `NAME.said` is what comes out. `DECKS_BLESS=1` writes the last: look at the difference.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use decks::{
    Collector, Deck, Dialect, Expectations, Extent, Fault, Guess, NotRead, Report, guess, judge,
    read,
};
use route::Moment;

/// The day on which all of them came: 2027-01-15.
const NOW: Moment = Moment(1_800_000_000);

fn decks() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_deck = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".csv") && !name.ends_with(".old.csv")
    };
    let mut decks: Vec<PathBuf> = entries.filter(is_deck).collect();
    decks.sort();
    decks
}

fn collect(path: &Path, dialect: &Dialect) -> Result<(Deck, Vec<decks::Clash>, Report), NotRead> {
    let mut collector = Collector::new();
    let report = read(path, dialect, &mut |entry| {
        collector.add(entry, NOW);
        ControlFlow::Continue(())
    })?;
    let (deck, clashes) = collector.finish(&dialect.currency);
    Ok((deck, clashes, report))
}

fn said(path: &Path) -> String {
    let mut said = String::new();
    let dialect = match fs::read_to_string(path.with_extension("toml")) {
        Ok(text) => Dialect::of_text(&text).unwrap(),
        Err(_) => match guess(path, &Dialect::default()) {
            Ok(guess) => {
                tell_guess(&guess, &mut said);
                guess.dialect
            }
            Err(error) => return format!("no guess: {error}\n"),
        },
    };
    let (deck, clashes, report) = match collect(path, &dialect) {
        Ok(read) => read,
        Err(error) => {
            writeln!(said, "not read: {error}").unwrap();
            return said;
        }
    };
    tell_report(&report, &mut said);
    for row in deck.rows().take(12) {
        let until = if row.until == Moment::LAST {
            String::new()
        } else {
            format!(" until {}", row.until.0)
        };
        let (rate, steps) = (row.rate, row.rate.steps);
        let blocked = if rate.is_blocked { " blocked" } else { "" };
        writeln!(
            said,
            "row: {} {:?} {} {}/{}{blocked} from {}{until}",
            row.code,
            row.destination,
            rate.per_minute,
            steps.first_seconds(),
            steps.next_seconds(),
            row.from.0,
        )
        .unwrap();
    }
    let before = path.with_extension("old.csv");
    let before = match before.exists() {
        true => {
            collect(
                &before,
                &guess(&before, &Dialect::default()).unwrap().dialect,
            )
            .unwrap()
            .0
        }
        false => Deck::empty(&dialect.currency),
    };
    let judgement = judge(
        &before,
        &deck,
        &clashes,
        Extent::Full,
        NOW,
        &Expectations::default(),
    );
    for oddity in &judgement.oddities {
        let stops = if oddity.stops { " (stops)" } else { "" };
        writeln!(said, "odd{stops}: {} {}", oddity.count, oddity.kind).unwrap();
        for example in &oddity.examples {
            writeln!(
                said,
                "  line {}: {} {}",
                example.line, example.code, example.what
            )
            .unwrap();
        }
    }
    said
}

fn tell_guess(guess: &Guess, said: &mut String) {
    for line in guess.dialect.to_text().lines() {
        // What the defaults say is not told again.
        if !Dialect::default().to_text().contains(line) {
            writeln!(said, "guess: {line}").unwrap();
        }
    }
    for doubt in &guess.doubts {
        writeln!(said, "doubt: {doubt}").unwrap();
    }
}

fn tell_report(report: &Report, said: &mut String) {
    let Report {
        entries_count,
        codes_count,
        remarks_count,
        rounded_count,
        faults,
        faults_count,
    } = report;
    writeln!(
        said,
        "read: {entries_count} lines, {codes_count} codes, {remarks_count} remarks, {rounded_count} rounded, {faults_count} faults"
    )
    .unwrap();
    for fault in faults.iter().map(Fault::to_string).take(20) {
        writeln!(said, "fault: {fault}").unwrap();
    }
}

#[test]
fn each_deck_gets_its_report() {
    let decks = decks();
    assert!(decks.len() >= 30, "the corpus is there");
    let mut wrong = Vec::new();
    for deck in decks {
        let (said, kept) = (said(&deck), deck.with_extension("said"));
        if std::env::var_os("DECKS_BLESS").is_some() {
            fs::write(&kept, &said).unwrap();
        } else if fs::read_to_string(&kept).ok().as_ref() != Some(&said) {
            wrong.push(format!("{}:\n{said}", deck.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "not what was said before:\n{}",
        wrong.join("\n")
    );
}
