//! `trunkline deck`: what a carrier's rate deck says, how it is meant, and what is odd about it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use decks::{Deck, Dialect, Expectations, Extent, Guess, Judgement, Report};
use route::Moment;

use crate::failure::{Failure, print};
use crate::progress::Progress;
use crate::table::{lay_out, thousands};

/// What `deck guess --help` ends with.
const GUESS_EXAMPLES: &str = "\
Columns are known by their titles, in the words that carriers use, or else by what stands in them;
the decimal mark, the order of dates and the currency by their cells. What cannot be told is said as
a doubt. Look at it, correct the dialect, and keep it: the carrier's next deck needs nobody.

Examples:
  trunkline deck guess beta-2026-12.xlsx
  trunkline deck guess beta-2026-12.xlsx --save beta.toml";

/// What `deck check --help` ends with.
const CHECK_EXAMPLES: &str = "\
Every fault is told with its line and column. With the deck before, also what is odd: prices that
jump, numbers that are no longer served, beginnings in the past, contradictions.

Examples:
  trunkline deck check beta-2026-12.xlsx --dialect beta.toml
  trunkline deck check beta-2026-12.xlsx --dialect beta.toml --before beta-2026-11.xlsx

Exit status: 0 = it may be used, 1 = it may not.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what the columns of a deck seem to mean.
    #[command(after_help = GUESS_EXAMPLES)]
    Guess(GuessArguments),
    /// Read a deck, and tell what is wrong with it and what is odd about it.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct GuessArguments {
    /// The deck: CSV in any encoding, or XLSX.
    #[arg(value_name = "FILE")]
    deck: PathBuf,
    /// What is known already: an encoding, a sheet.
    #[arg(long, value_name = "FILE")]
    dialect: Option<PathBuf>,
    /// Write the dialect there.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The deck: CSV in any encoding, or XLSX.
    #[arg(value_name = "FILE")]
    deck: PathBuf,
    /// How it is meant; guessed without.
    #[arg(long, value_name = "FILE")]
    dialect: Option<PathBuf>,
    /// The deck that it follows.
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// It says what changes, and not all there is.
    #[arg(long)]
    partial: bool,
    /// A price that rises by more than so many per cent is odd.
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    up: u32,
    /// A price that falls by more than so many per cent is odd.
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    down: u32,
    /// How many days ahead a higher price is to be announced.
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    notice: u32,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Guess(arguments) => guess(arguments),
        Command::Check(arguments) => check(arguments),
    }
}

fn guess(arguments: &GuessArguments) -> Result<(), Failure> {
    let known = known_dialect(arguments.dialect.as_deref())?.unwrap_or_default();
    let guess = guessed(&arguments.deck, &known)?;
    let mut text = tell_guess(&guess);
    if let Some(path) = &arguments.save {
        std::fs::write(path, guess.dialect.to_text())
            .map_err(|error| Failure::File(path.clone(), error))?;
        let _ = writeln!(text, "\nThe dialect is in {}.", path.display());
    } else {
        let _ = write!(
            text,
            "\nThe dialect:\n\n{}",
            indented(&guess.dialect.to_text())
        );
    }
    print(&text)
}

fn check(arguments: &CheckArguments) -> Result<(), Failure> {
    let now = control::now();
    let dialect = dialect_of((&arguments.deck, arguments.dialect.as_deref()))?;
    let (new, clashes, report) = collect(&arguments.deck, &dialect, now)?;
    let old = match &arguments.before {
        Some(path) => collect(path, &dialect, now)?.0,
        None => Deck::empty(&dialect.currency),
    };
    let extent = match arguments.partial {
        true => Extent::Partial,
        false => Extent::Full,
    };
    let expect = Expectations {
        up_percent_max: arguments.up,
        down_percent_max: arguments.down,
        notice_days: arguments.notice,
        ..Expectations::default()
    };
    let judgement = decks::judge(&old, &new, &clashes, extent, now, &expect);
    let name = arguments.deck.display().to_string();
    print(&tell_check(
        &name,
        &new,
        &report,
        &judgement,
        arguments.before.is_some(),
    ))?;
    match report.faults_count > 0 || judgement.stops() {
        true => Err(Failure::Deck(arguments.deck.clone())),
        false => Ok(()),
    }
}

/// A deck's file, and its dialect's if it has one.
pub(crate) type DeckFiles<'f> = (&'f Path, Option<&'f Path>);

/// What is odd about a deck, beside the one that it follows, in words; `None` if nothing is. With it
/// whether that is so much that it must not be used.
pub(crate) fn odd(
    name: &str,
    new: DeckFiles<'_>,
    before: Option<DeckFiles<'_>>,
) -> Result<Option<(String, bool)>, Failure> {
    let now = control::now();
    let read = |files: DeckFiles<'_>| collect(files.0, &dialect_of(files)?, now);
    let (new, clashes, report) = read(new)?;
    let old = match before {
        Some(before) => read(before)?.0,
        None => Deck::empty(new.currency()),
    };
    let expect = Expectations::default();
    let judgement = decks::judge(&old, &new, &clashes, Extent::Full, now, &expect);
    if judgement.oddities.is_empty() {
        return Ok(None);
    }
    let text = tell_check(name, &new, &report, &judgement, before.is_some());
    Ok(Some((text, judgement.stops())))
}

/// How a deck is meant: as its dialect says, or else as it seems.
fn dialect_of((deck, dialect): DeckFiles<'_>) -> Result<Dialect, Failure> {
    match known_dialect(dialect)? {
        Some(dialect) => Ok(dialect),
        None => Ok(guessed(deck, &Dialect::default())?.dialect),
    }
}

fn known_dialect(path: Option<&Path>) -> Result<Option<Dialect>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| Failure::File(path.into(), error))?;
    let dialect =
        Dialect::of_text(&text).map_err(|faults| Failure::Dialect(path.into(), faults))?;
    Ok(Some(dialect))
}

fn guessed(path: &Path, known: &Dialect) -> Result<Guess, Failure> {
    decks::guess(path, known).map_err(|error| Failure::Unreadable(path.into(), error.to_string()))
}

/// Reads a deck, with a line that tells how far it is where somebody looks at it.
fn collect(
    path: &Path,
    dialect: &Dialect,
    now: Moment,
) -> Result<(Deck, Vec<decks::Clash>, Report), Failure> {
    let progress = Progress::new();
    let name = path.display().to_string();
    let read = decks::collect(path, dialect, now, &mut |lines| progress.tell(&name, lines));
    progress.end();
    read.map_err(|error| Failure::Unreadable(path.into(), error.to_string()))
}

fn tell_guess(guess: &Guess) -> String {
    let titles = guess.dialect.columns.iter();
    let mut rows: Vec<Vec<String>> = vec![vec!["column".into(), "title".into()]];
    rows.extend(titles.map(|(column, title)| vec![column.to_string(), title.clone()]));
    let mut text = lay_out(&rows);
    text.push_str("\nThe first lines, by these columns in the order of the file:\n\n");
    text.push_str(&indented(&lay_out(&guess.sample)));
    for doubt in &guess.doubts {
        let _ = write!(text, "\nDoubt: {doubt}.");
    }
    if !guess.doubts.is_empty() {
        text.push('\n');
    }
    text
}

fn tell_check(
    name: &str,
    deck: &Deck,
    report: &Report,
    judgement: &Judgement,
    has_before: bool,
) -> String {
    const FAULTS_TOLD: usize = 50;
    let mut text = format!(
        "{name}: {} lines with {} codes, {} rows in {}; {} lines of remarks, {} prices rounded, {} faults\n",
        thousands(report.entries_count),
        thousands(report.codes_count),
        thousands(deck.len() as u64),
        deck.currency(),
        thousands(report.remarks_count),
        thousands(report.rounded_count),
        thousands(report.faults_count),
    );
    for fault in report.faults.iter().take(FAULTS_TOLD) {
        let _ = writeln!(text, "  {fault}");
    }
    if report.faults_count > FAULTS_TOLD as u64 {
        let more = report.faults_count - FAULTS_TOLD as u64;
        let _ = writeln!(text, "  and {} more", thousands(more));
    }
    if has_before {
        let it = judgement.changes;
        let _ = writeln!(
            text,
            "prices: {} up, {} down, {} the same, {} new, {} gone, {} blocked",
            thousands(it.up),
            thousands(it.down),
            thousands(it.same),
            thousands(it.new),
            thousands(it.gone),
            thousands(it.blocked),
        );
    }
    for oddity in &judgement.oddities {
        let stops = if oddity.stops {
            ", so many that the deck must not be used"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{} rows {}{stops}:",
            thousands(oddity.count),
            oddity.kind
        );
        for example in &oddity.examples {
            let (code, line) = (example.code, example.line);
            let _ = writeln!(
                text,
                "  line {line}: {code} {}: {}",
                example.destination, example.what
            );
        }
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
