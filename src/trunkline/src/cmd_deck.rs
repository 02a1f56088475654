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

/// The files of a deck: the whole one first, then what came later; and its dialect's if it has one.
pub(crate) struct DeckFiles<'f> {
    pub(crate) files: Vec<&'f Path>,
    pub(crate) dialect: Option<&'f Path>,
}

impl<'f> DeckFiles<'f> {
    pub(crate) fn of(deck: &'f config::Deck) -> DeckFiles<'f> {
        let updates = deck.updates.iter().map(|file| &**file);
        DeckFiles {
            files: std::iter::once(&*deck.file).chain(updates).collect(),
            dialect: deck.dialect.as_deref(),
        }
    }

    /// Reads one of them.
    fn read(&self, file: &Path, now: Moment) -> Result<(Deck, Vec<decks::Clash>, Report), Failure> {
        collect(file, &dialect_of((file, self.dialect))?, now)
    }

    /// The deck that the first so many of them make.
    fn merged(&self, count: usize, now: Moment) -> Result<Deck, Failure> {
        let mut whole: Option<Deck> = None;
        for file in &self.files[..count] {
            let (deck, _, _) = self.read(file, now)?;
            whole = Some(match whole {
                Some(before) => before.followed_by(&deck, Extent::Partial, now),
                None => deck,
            });
        }
        Ok(whole.unwrap_or_else(|| Deck::empty(&Dialect::default().currency)))
    }
}

/// What is odd about a deck in words, and whether that is so much that it must not be used.
type Odd = (String, bool);

/// What is odd about each file of a deck that the one before it had not, or not at that place: about a
/// whole deck beside all that there was, about an update beside what it changes.
pub(crate) fn odd(
    name: &str,
    new: &DeckFiles<'_>,
    before: Option<&DeckFiles<'_>>,
    is_one: impl Fn(&Path, &Path) -> bool,
) -> Result<Vec<Odd>, Failure> {
    let now = control::now();
    let old_files = before.map_or(&[][..], |before| &before.files);
    let pairs = new.files.iter().zip(old_files);
    let kept = pairs.take_while(|(one, other)| is_one(one, other)).count();
    let expect = Expectations::default();
    let mut told = Vec::new();
    let mut so_far = match before {
        Some(before) => before.merged(before.files.len(), now)?,
        None => Deck::empty(&Dialect::default().currency),
    };
    if kept > 0 && kept < old_files.len() {
        // Updates went: what they had changed is as it was.
        let deck = new.merged(kept, now)?;
        let judgement = decks::judge(&so_far, &deck, &[], Extent::Full, now, &expect);
        if !judgement.oddities.is_empty() {
            let text = format!("{name}, without updates that are gone\n");
            let text = text + &tell_judged(&judgement, true);
            told.push((text, judgement.stops()));
        }
        so_far = deck;
    }
    for (at, file) in new.files.iter().enumerate().skip(kept) {
        let (deck, clashes, report) = new.read(file, now)?;
        let (extent, label) = match at {
            0 => (Extent::Full, name.to_owned()),
            _ => (
                Extent::Partial,
                format!("{name}, update {}", file.display()),
            ),
        };
        if so_far.is_empty() {
            so_far = Deck::empty(deck.currency());
        }
        let judgement = decks::judge(&so_far, &deck, &clashes, extent, now, &expect);
        if !judgement.oddities.is_empty() {
            let text = tell_check(&label, &deck, &report, &judgement, !so_far.is_empty());
            told.push((text, judgement.stops()));
        }
        so_far = match extent {
            Extent::Full => deck,
            Extent::Partial => so_far.followed_by(&deck, extent, now),
        };
    }
    Ok(told)
}

/// How a deck is meant: as its dialect says, or else as it seems.
fn dialect_of((deck, dialect): (&Path, Option<&Path>)) -> Result<Dialect, Failure> {
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
    tell_read(name, deck, report) + &tell_judged(judgement, has_before)
}

/// How the reading went.
fn tell_read(name: &str, deck: &Deck, report: &Report) -> String {
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
    text
}

/// What became of prices, and what is odd about that.
fn tell_judged(judgement: &Judgement, has_before: bool) -> String {
    let mut text = String::new();
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
