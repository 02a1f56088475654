//! `trunkline route replay`: recorded calls led through another configuration.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use base::Wall;
use clap::Args;
use config::Config;
use control::Loaded;
use replay::{Currencies, Fate, Recorded, Tally, Words, World};
use route::{Moment, Worth};

use crate::boot;
use crate::failure::{Failure, print};
use crate::progress::Progress;
use crate::table::{lay_out, thousands};

/// What `route replay --help` ends with.
pub(crate) const EXAMPLES: &str = "\
Every recorded call is led through the routing of the configuration, with the code that routes calls
and the prices that held when it began. A vendor that the record names does again what it did; any
other does what came out in the end. All gateways count as up and no limit as full. Amounts are in the
currency of [money]; nothing is carried, changed or sent.

Examples:
  trunkline route replay --config new.toml --cdrs cdr/
      what last month's calls would have cost by new prices, against what they did cost
  trunkline route replay --config new.toml --against trunkline.toml --cdrs cdr/*.jsonl --page moves.html
      both routed again by the same rules, and a page with each vendor's share
  trunkline route replay --config trunkline.toml --generation 13 --against trunkline.toml --cdrs cdr/
      what a staged generation of the store would have changed against the one in force";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration to route by, in TOML.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Route by this generation of the store that it names, and not by what is in force.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// Compare with this configuration instead of with what was recorded.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Files of records, or folders with them (*.jsonl).
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    cdrs: Vec<PathBuf>,
    /// Write the comparison as a page, too.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// The longest line that a record can be, many times over.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Lines that are no records, told one by one.
const TOLD_MAX: u64 = 5;
const TOLD_EACH: u64 = 100_000;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let load =
        |path: &Path| Loaded::from_file(path, boot::FIRST_GENERATION, None).map_err(Failure::Load);
    let staged = match arguments.generation {
        Some(id) => Loaded::from_store(&arguments.config, id).map_err(Failure::Load)?,
        None => load(&arguments.config)?,
    };
    let before = arguments.against.as_deref().map(load).transpose()?;
    let files = files(&arguments.cdrs)?;
    let currencies = currencies(&staged.config);
    let currencies_before = before.as_ref().map(|it| self::currencies(&it.config));
    let mut reading = Reading::new(
        World::new(&staged.snapshot, &currencies),
        (before.as_ref().zip(currencies_before.as_ref()))
            .map(|(loaded, currencies)| World::new(&loaded.snapshot, currencies)),
        &currencies,
    );
    for file in &files {
        reading.read(file)?;
    }
    reading.progress.end();
    let words = Words {
        before: (arguments.against.as_ref()).map_or_else(|| "recorded".to_owned(), |it| name(it)),
        after: match arguments.generation {
            Some(id) => format!("generation {id}"),
            None => name(&arguments.config),
        },
        currency: staged.config.currency.clone(),
    };
    tell(&reading, &words, files.len(), arguments.page.as_deref())
}

fn tell(
    reading: &Reading<'_>,
    words: &Words,
    files_count: usize,
    page: Option<&Path>,
) -> Result<(), Failure> {
    let tally = &reading.tally;
    let mut facts = vec![format!(
        "{} calls in {files_count} file{}",
        thousands(tally.after.calls),
        if files_count == 1 { "" } else { "s" },
    )];
    if reading.bad > 0 {
        facts.push(format!("{} lines are no records", thousands(reading.bad)));
    }
    if tally.after.calls > 0 {
        facts.push(format!(
            "begun between {} and {}",
            minute(reading.first),
            minute(reading.last)
        ));
    }
    if let Some(path) = page {
        fs::write(path, replay::page(tally, words, &facts))
            .map_err(|error| Failure::File(path.to_owned(), error))?;
    }
    let mut text = facts.join("\n") + "\n\n";
    text += &lay_out(&replay::summary(tally, words));
    text += "\n";
    text += &lay_out(&replay::vendors(tally, words));
    text += "\n";
    text += &(replay::moves(tally).join("\n") + "\n");
    print(&text)
}

/// The records on their way through both worlds.
struct Reading<'w> {
    staged: World<'w>,
    before: Option<World<'w>>,
    currencies: &'w Currencies,
    tally: Tally,
    bad: u64,
    lines: u64,
    first: Moment,
    last: Moment,
    progress: Progress,
}

impl<'w> Reading<'w> {
    fn new(
        staged: World<'w>,
        before: Option<World<'w>>,
        currencies: &'w Currencies,
    ) -> Reading<'w> {
        Reading {
            staged,
            before,
            currencies,
            tally: Tally::default(),
            bad: 0,
            lines: 0,
            first: Moment::LAST,
            last: Moment::FIRST,
            progress: Progress::new(),
        }
    }

    fn read(&mut self, path: &Path) -> Result<(), Failure> {
        let failed = |error| Failure::File(path.to_owned(), error);
        let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let mut bounded = file.by_ref().take(LINE_BYTES_MAX);
            if bounded.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            let call = std::str::from_utf8(&line)
                .map_err(|error| error.to_string())
                .and_then(|line| Recorded::of_line(line).map_err(|error| error.to_string()));
            match call {
                Ok(call) => self.add(&call),
                Err(why) => {
                    self.bad += 1;
                    if self.bad <= TOLD_MAX {
                        eprintln!("{}: line {number} is no record: {why}", path.display());
                    }
                }
            }
            self.lines += 1;
            if self.lines.is_multiple_of(TOLD_EACH) {
                self.progress.tell("records", self.lines);
            }
        }
        Ok(())
    }

    fn add(&mut self, call: &Recorded) {
        self.first = self.first.min(call.at);
        self.last = self.last.max(call.at);
        let before = match &mut self.before {
            Some(world) => world.fate(call),
            None => Fate::of_record(call, self.currencies),
        };
        let after = self.staged.fate(call);
        self.tally.add(&before, &after);
    }
}

/// The files of records: those named, and those in the folders named, oldest name first.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in named {
        let failed = |error| Failure::File(path.clone(), error);
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|it| it == "jsonl") {
                inside.push(file);
            }
        }
        inside.sort_unstable();
        files.extend(inside);
    }
    Ok(files)
}

fn currencies(config: &Config) -> Currencies {
    let others = config.currencies.iter();
    let others = others.filter_map(|it| Some((it.name.clone(), Worth::new(it.worth)?)));
    Currencies::new(&config.currency, &others.collect::<Vec<_>>())
}

/// A moment to the minute, for people.
fn minute(moment: Moment) -> String {
    let civil = cdr::write_civil(Wall(i64::from(moment.0) * 1_000_000));
    let text = String::from_utf8_lossy(&civil).replace('T', " ");
    format!("{} UTC", text.get(..16).unwrap_or(&text))
}

fn name(path: &Path) -> String {
    let name = path.file_stem().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
