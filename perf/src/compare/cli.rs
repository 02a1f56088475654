//! The commands `compare`, `overload`, `flood`, `memory`, `scale`, `establish` and `report` of `trunkline-perf`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::entrant::Entrant;
use super::results::{Options, Sitting};
use super::sitting::{self, Agenda};
use super::{flood as flooding, held, machine, measure, process, scale};
use crate::report;
use crate::ser::Procedure;

/// The commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// trunkline and Kamailio by turns on one core: CPU of a call, highest rate, latency, memory
    Compare(Compare),
    /// Goodput of each when 0.5 to 10 times its highest rate is offered
    Overload(Overload),
    /// What one trunk feels when another floods
    Flood(Flood),
    /// Bytes for a held call and for a transaction in Accepted
    Memory(Memory),
    /// User instructions of a call with one shard and with two, steered and handed over (callgrind)
    Scale(Scale),
    /// The session establishment rate of RFC 7502, of servers that it starts itself
    Establish(Establish),
    /// The page of results that are there already, several sittings in one
    Report(Page),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// It could not be run, or its results not be written.
    pub fn run(&self) -> io::Result<()> {
        let timed = match self {
            Command::Compare(arguments) => Some(&arguments.common),
            Command::Overload(arguments) => Some(&arguments.common),
            Command::Memory(arguments) => Some(&arguments.common),
            Command::Establish(arguments) => Some(&arguments.common),
            Command::Flood(_) | Command::Scale(_) | Command::Report(_) => None,
        };
        if timed.is_some_and(|common| common.list) {
            for entrant in Entrant::all() {
                println!("{:24} {}", entrant.key(), entrant.title());
            }
            return Ok(());
        }
        let _while_it_runs = timed.map(|_| process::prefer(std::process::id()));
        match self {
            Command::Compare(arguments) => compare(arguments),
            Command::Overload(arguments) => overload(arguments),
            Command::Flood(arguments) => flood(arguments),
            Command::Memory(arguments) => memory(arguments),
            Command::Scale(arguments) => scale(arguments),
            Command::Establish(arguments) => establish(arguments),
            Command::Report(arguments) => page(arguments),
        }
    }
}

/// What all commands that start servers take.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The trunkline program [default: the one beside this program].
    #[arg(long, alias = "router", value_name = "PATH")]
    trunkline: Option<PathBuf>,
    /// Who takes part, such as trunkline,kamailio-relay-4 (see --list).
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    entrants: Vec<String>,
    /// Show who can take part, and end.
    #[arg(long)]
    list: bool,
    /// The processor of the servers [default: the last].
    #[arg(long, value_name = "CORE")]
    server_core: Option<usize>,
    /// The processors of the generator.
    #[arg(long, value_name = "CORES", value_delimiter = ',', default_value = "0")]
    generator_cores: Vec<usize>,
    /// Seconds of load before a point is measured: longer than a server keeps transactions whose
    /// end it has seen, which is 32 s by RFC 6026; before that it carries more than it can keep up
    /// [default: 33; with --quick 1].
    #[arg(long, value_name = "SECONDS")]
    warm_up: Option<f64>,
    /// Seconds of each run of the search for the highest rate [default: 10; with --quick 2].
    #[arg(long, value_name = "SECONDS")]
    search_seconds: Option<f64>,
    /// How long callees ring.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    ring_ms: u64,
    /// How long calls are held.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    hold_ms: u64,
    /// Let the servers have so much of their core, 0.06 to 1, in slices of a tenth of a millisecond,
    /// so that the generator can offer many times what they carry (needs root or CAP_SYS_NICE, and
    /// chrt; meant for `overload`).
    #[arg(long, value_name = "SHARE")]
    server_share: Option<f64>,
    /// trunkline's [overload] delay_target_ms [default: its own]. On a machine that others use,
    /// calls are late through no fault of the server, and by its default trunkline refuses them.
    #[arg(long, value_name = "MS")]
    delay_target_ms: Option<u64>,
    /// Let the generator look for datagrams all the time and never sleep: then no server pays for
    /// waking it, as none does whose peers are beyond a network card. The floor's peer does so, too.
    #[arg(long)]
    spin: bool,
    /// Let the generator take datagrams that were sent as one (UDP_SEGMENT) as one (UDP_GRO): then
    /// no server pays for cutting them apart, as none does whose network card does it, or whose
    /// peers are of its kind.
    #[arg(long)]
    trains: bool,
    /// Less of everything that is not said, in minutes: shows that it works and roughly what comes
    /// out. Rates are those of the first seconds then, which no server keeps up.
    #[arg(long)]
    quick: bool,
    /// A line for the results about the circumstances; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Where results go: a JSON file with the date in its name, and a page beside it.
    #[arg(long, value_name = "FOLDER", default_value = "perf/results")]
    out: PathBuf,
    /// The results' name: DATE-NAME.json [default: the command's].
    #[arg(long)]
    name: Option<String>,
}

/// `compare`: trunkline and Kamailio by turns on one core.
#[derive(Args, Clone, Debug)]
pub struct Compare {
    #[command(flatten)]
    common: Common,
    /// How often each point is measured; the results are medians [default: 5; with --quick 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a point is measured [default: 5; with --quick 2].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// The rate at which all are compared.
    #[arg(long, value_name = "CALLS", default_value_t = 4_100.0)]
    rate: f64,
    /// Do not search for highest rates: measure at --rate only.
    #[arg(long)]
    no_search: bool,
    /// Calls to hold for the memory of each; 0 to leave that out [default: 100000; with --quick
    /// 20000].
    #[arg(long, value_name = "CALLS")]
    held: Option<u64>,
    /// Count user instructions by callgrind, too (needs valgrind).
    #[arg(long)]
    callgrind: bool,
}

/// `overload`: goodput when 0.5 to 10 times the highest rate is offered.
#[derive(Args, Clone, Debug)]
pub struct Overload {
    #[command(flatten)]
    common: Common,
    /// Seconds of each point [default: 60; with --quick 10].
    #[arg(long)]
    seconds: Option<f64>,
    /// How often each is offered, all servers by turns; the results are medians [default: 3; with
    /// --quick 1].
    #[arg(long)]
    rounds: Option<usize>,
    /// The highest rate, if it is known: without, it is searched for, and again before each stretch
    /// at or beyond it, because it changes with the machine.
    #[arg(long, value_name = "CALLS")]
    peak: Option<f64>,
    /// What is offered, in highest rates.
    #[arg(long, value_delimiter = ',', default_values_t = super::overload::FACTORS)]
    factors: Vec<f64>,
}

/// What one trunk feels when another floods: success and set-up times of a trunk that sends a part of
/// what the router carries, alone and beside another that sends twenty times its fair share, by turns.
///
/// The router has three tenths of a core, in slices of a tenth of a millisecond, so that one generator
/// can flood it (needs root or CAP_SYS_NICE, and chrt).
///
///   trunkline-perf flood --out perf/results
///   trunkline-perf flood --peak 7500          where the highest rate is known
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct Flood {
    /// The trunkline program [default: the one beside this program].
    #[arg(long, alias = "router", value_name = "PATH")]
    trunkline: Option<PathBuf>,
    /// The highest rate of the router with its part of a core, if it is known: without, it is searched
    /// for.
    #[arg(long, value_name = "CALLS")]
    peak: Option<f64>,
    /// What the quiet trunk sends, of the peak.
    #[arg(long, value_name = "PART", default_value_t = 0.35)]
    quiet: f64,
    /// What the other one sends, in halves of the peak: the fair share of each of two trunks.
    #[arg(long, default_value_t = 20.0)]
    times: f64,
    /// How often each is measured; the results are medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each stretch.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Seconds of load before each.
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    warm_up: f64,
    /// The router's share of its core, 0.06 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    server_share: f64,
    /// The processor of the router, and of the flood [default: the last].
    #[arg(long, value_name = "CORE")]
    server_core: Option<usize>,
    /// The processor of the quiet trunk and the gateway.
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    generator_core: usize,
    /// A line for the results about the circumstances; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Where results go: DATE-flood.json. Without, they are only printed.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// `memory`: bytes for a held call and for a transaction in Accepted.
#[derive(Args, Clone, Debug)]
pub struct Memory {
    #[command(flatten)]
    common: Common,
    /// Calls to hold.
    #[arg(long, default_value_t = 100_000)]
    calls: u64,
    /// Hold a million.
    #[arg(long, conflicts_with = "calls")]
    million: bool,
}

/// User instructions of a call with one shard, with two that the kernel steers, and with two that
/// hand over.
///
/// Each runs under `valgrind --tool=callgrind` with every call from one address to one address, at
/// two rates; the difference of instructions over the difference of calls is what a call takes. Takes
/// three minutes a round and no quiet machine: instructions repeat to a per cent. Every datagram
/// comes alone at these rates, which is the dearest case, for handing over most of all.
/// `trunkline-2-kernel` needs the permission to load BPF programs (root, or CAP_BPF and CAP_PERFMON).
///
///   trunkline-perf scale --rounds 3 --out perf/results
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct Scale {
    /// The trunkline program [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    trunkline: Option<PathBuf>,
    /// How often each is counted, 1 to 3; the results are medians.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// The processor of the server, where all its threads run [default: the last].
    #[arg(long, value_name = "CORE")]
    server_core: Option<usize>,
    /// A line for the results about the circumstances; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Where results go: a JSON file with the date in its name, and a page beside it.
    #[arg(long, value_name = "FOLDER", default_value = "perf/results")]
    out: PathBuf,
    /// The results' name: DATE-NAME.json.
    #[arg(long, default_value = "scale")]
    name: String,
}

/// `establish`: the session establishment rate of RFC 7502, of servers that it starts itself.
#[derive(Args, Clone, Debug)]
pub struct Establish {
    #[command(flatten)]
    common: Common,
    /// Sessions attempted in each run [default: 50000; with --quick 5000].
    #[arg(long, value_name = "N")]
    attempts: Option<u64>,
    /// The rate of the first run.
    #[arg(long, value_name = "SPS", default_value_t = 1_000.0)]
    start: f64,
    /// By how much the rate grows after a run without failure (above 0, at most 1).
    #[arg(long, default_value_t = 1.0)]
    weight: f64,
}

/// `report`: the page of results that are there already, several sittings in one.
#[derive(Args, Clone, Debug)]
pub struct Page {
    /// Results.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the page goes [default: beside the first file].
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Who takes part if nobody is named. The others show little more, and each costs minutes.
const USUAL: [&str; 10] = [
    "trunkline",
    "trunkline-coalesced",
    "trunkline-tuned",
    "trunkline-prefixes",
    "kamailio-stateless-2",
    "kamailio-relay-2",
    "kamailio-relay-4",
    "kamailio-dialog-2",
    "kamailio-dialog-4",
    "kamailio-prefixes-2",
];
const USUAL_QUICK: [&str; 3] = ["trunkline", "kamailio-relay-4", "kamailio-dialog-4"];
const MEMORY: [&str; 2] = ["trunkline", "kamailio-dialog-4"];

impl Common {
    fn options(&self, rounds: usize, point_seconds: f64, common_rate: f64) -> Options {
        Options {
            server_core: core_or_last(self.server_core),
            generator_cores: self.generator_cores.clone(),
            rounds,
            point_seconds,
            warm_up_seconds: self.warm_up.unwrap_or(self.usual(33.0, 1.0)),
            search_seconds: self.search_seconds.unwrap_or(self.usual(10.0, 2.0)),
            ring_ms: self.ring_ms,
            hold_ms: self.hold_ms,
            common_rate,
            server_share: self.server_share,
            delay_target_ms: self.delay_target_ms,
            generator_spins: self.spin,
            generator_takes_trains: self.trains,
        }
    }

    /// What goes for something that was not said.
    fn usual<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }

    fn agenda(&self, options: &Options, usual: &[&str]) -> io::Result<Agenda> {
        let keys: Vec<&str> = match self.entrants.is_empty() {
            true => usual.to_vec(),
            false => self.entrants.iter().map(String::as_str).collect(),
        };
        let unknown = |key: &str| {
            let words = format!("nobody is called {key:?}: see --list");
            io::Error::new(io::ErrorKind::InvalidInput, words)
        };
        let mut entrants = Vec::new();
        for key in keys {
            entrants.push(Entrant::by_key(key).ok_or_else(|| unknown(key))?);
        }
        let trunkline = beside_this_program(self.trunkline.as_ref())?;
        let place = measure::place(options, trunkline)?;
        // What was only taken for granted may be left out; what was asked for may not.
        if self.entrants.is_empty() {
            entrants.retain(|entrant| entrant.is_possible(&place));
        }
        Ok(Agenda {
            entrants,
            place,
            with_search: true,
            held_calls: None,
            with_callgrind: false,
        })
    }

    /// Writes what there is of the results.
    fn write(&self, sitting: &Sitting) -> io::Result<PathBuf> {
        let mut sitting = sitting.clone();
        sitting.notes.splice(0..0, self.note.iter().cloned());
        if let Some(name) = &self.name {
            sitting.name.clone_from(name);
        }
        write(&sitting, &self.out)
    }

    /// The same while it goes on: what cannot be written now is tried again later.
    fn write_so_far(&self, sitting: &Sitting) {
        if let Err(error) = self.write(sitting) {
            tell(&format!("the results so far were not written: {error}"));
        }
    }

    /// Writes the results and shows their table.
    fn keep(&self, sitting: &Sitting) -> io::Result<()> {
        let file = self.write(sitting)?;
        show(&report::text(sitting), &file);
        Ok(())
    }
}

/// A line for people, on the side: results go to files.
fn tell(line: &str) {
    eprintln!("{} {line}", &machine::now()[11..16]);
}

/// Runs `compare`.
///
/// # Errors
/// It could not be run, or its results not be written.
fn compare(arguments: &Compare) -> io::Result<()> {
    let common = &arguments.common;
    let options = common.options(
        arguments.rounds.unwrap_or(common.usual(5, 3)),
        arguments.seconds.unwrap_or(common.usual(5.0, 2.0)),
        arguments.rate,
    );
    let usual: &[&str] = if common.quick { &USUAL_QUICK } else { &USUAL };
    let mut agenda = common.agenda(&options, usual)?;
    agenda.with_search = !arguments.no_search;
    agenda.with_callgrind = arguments.callgrind;
    let held = arguments.held.unwrap_or(common.usual(100_000, 20_000));
    agenda.held_calls = (held > 0).then_some(held);
    {
        let keep = &mut |sitting: &Sitting| common.write_so_far(sitting);
        common.keep(&sitting::hold(
            "compare", &options, &agenda, &mut tell, keep,
        )?)
    }
}

/// Runs `overload`.
///
/// # Errors
/// As [`compare`].
fn overload(arguments: &Overload) -> io::Result<()> {
    let common = &arguments.common;
    let rounds = arguments.rounds.unwrap_or(common.usual(3, 1));
    let seconds = arguments.seconds.unwrap_or(common.usual(60.0, 10.0));
    let options = common.options(rounds, seconds, f64::MAX);
    let agenda = common.agenda(&options, &USUAL_QUICK)?;
    let run = super::overload::Run {
        peak: arguments.peak,
        seconds,
        factors: &arguments.factors,
    };
    let keep = &mut |sitting: &Sitting| common.write_so_far(sitting);
    common.keep(&super::overload::hold(
        &options, &agenda, run, &mut tell, keep,
    )?)
}

/// Runs `flood`.
///
/// # Errors
/// It could not be run, or its results not be written.
fn flood(arguments: &Flood) -> io::Result<()> {
    let run = flooding::Run {
        trunkline: beside_this_program(arguments.trunkline.as_ref())?,
        options: Options {
            server_core: core_or_last(arguments.server_core),
            generator_cores: vec![arguments.generator_core],
            rounds: arguments.rounds,
            point_seconds: arguments.seconds,
            warm_up_seconds: arguments.warm_up,
            search_seconds: arguments.seconds,
            ring_ms: 20,
            hold_ms: 500,
            common_rate: f64::MAX,
            server_share: Some(arguments.server_share),
            ..Options::default()
        },
        peak: arguments.peak,
        quiet: arguments.quiet,
        times: arguments.times,
        notes: arguments.note.clone(),
    };
    let _while_it_runs = process::prefer(std::process::id());
    let results = flooding::hold(&run, &mut tell)?;
    print!("{}", results.table());
    if let Some(folder) = &arguments.out {
        let file = write_json(folder, &results.began, "flood", &results)?;
        println!("{}", file.display());
    }
    Ok(())
}

/// Runs `memory`.
///
/// # Errors
/// As [`compare`].
fn memory(arguments: &Memory) -> io::Result<()> {
    let common = &arguments.common;
    let options = common.options(1, 0.0, 0.0);
    let agenda = common.agenda(&options, &MEMORY)?;
    let calls = if arguments.million {
        1_000_000
    } else {
        arguments.calls
    };
    let name = if arguments.million {
        "memory-million"
    } else {
        "memory"
    };
    common.keep(&held::hold(name, &options, &agenda, calls, &mut tell))
}

/// Runs `scale`.
///
/// # Errors
/// valgrind is missing, an entrant could not be counted, or the results not be written.
fn scale(arguments: &Scale) -> io::Result<()> {
    let options = Options {
        server_core: core_or_last(arguments.server_core),
        generator_cores: vec![0],
        rounds: arguments.rounds,
        ring_ms: 20,
        hold_ms: 500,
        ..Options::default()
    };
    let trunkline = beside_this_program(arguments.trunkline.as_ref())?;
    let agenda = Agenda {
        entrants: scale::ENTRANTS.to_vec(),
        place: measure::place(&options, trunkline)?,
        with_search: false,
        held_calls: None,
        with_callgrind: true,
    };
    let mut sitting = scale::hold(&options, &agenda, &mut tell);
    sitting.notes.clone_from(&arguments.note);
    sitting.name.clone_from(&arguments.name);
    let file = write(&sitting, &arguments.out)?;
    show(&scale::table(&sitting), &file);
    match sitting
        .subjects
        .iter()
        .find_map(|it| Some((&it.key, it.troubles.first()?)))
    {
        Some((key, trouble)) => Err(io::Error::other(format!("{key}: {trouble}"))),
        None => Ok(()),
    }
}

/// The processor that was named, or the last.
#[must_use]
pub fn core_or_last(named: Option<usize>) -> usize {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    named.unwrap_or(count - 1)
}

/// The trunkline program that was named, or the one beside this.
///
/// # Errors
/// The system does not say where this program is.
pub fn beside_this_program(named: Option<&PathBuf>) -> io::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("trunkline")),
    }
}

/// Writes what was measured as `DATE-NAME.json`, by when it began.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write_json(
    folder: &Path,
    began: &str,
    name: &str,
    results: &impl serde::Serialize,
) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let date = began.get(..10).unwrap_or("undated");
    let file = folder.join(format!("{date}-{name}.json"));
    fs::write(&file, serde_json::to_string_pretty(results)? + "\n")?;
    Ok(file)
}

/// Writes a sitting's results: a JSON file with the date in its name, and a page beside it.
fn write(sitting: &Sitting, out: &Path) -> io::Result<PathBuf> {
    let file = write_json(out, &sitting.began, &sitting.name, sitting)?;
    fs::write(
        file.with_extension("html"),
        report::html(std::slice::from_ref(sitting)),
    )?;
    Ok(file)
}

/// Shows a table, and where the results and their page are.
fn show(table: &str, file: &Path) {
    let page = file.with_extension("html");
    println!("{table}\n{}\n{}", file.display(), page.display());
}

/// Runs `establish`.
///
/// # Errors
/// As [`compare`].
fn establish(arguments: &Establish) -> io::Result<()> {
    let common = &arguments.common;
    let mut options = common.options(1, 0.0, 0.0);
    // Callees answer as fast as they can.
    options.ring_ms = 0;
    let agenda = common.agenda(&options, &USUAL_QUICK[..1])?;
    let procedure = Procedure {
        attempts: arguments.attempts.unwrap_or(common.usual(50_000, 5_000)),
        rate: arguments.start,
        weight: arguments.weight,
        run_s_min: common.usual(10.0, 1.0),
        ..Procedure::default()
    };
    let sitting = super::ser::hold(&options, &agenda, &procedure, &mut tell);
    for subject in &sitting.subjects {
        if let Some(found) = &subject.establishment {
            println!("{}\n{found}", subject.title);
        }
    }
    common.keep(&sitting)
}

/// Runs `report`.
///
/// # Errors
/// A file cannot be read, is no result, or the page cannot be written.
fn page(arguments: &Page) -> io::Result<()> {
    let mut sittings = Vec::new();
    for file in &arguments.files {
        sittings.push(read(file)?);
    }
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => arguments.files[0].with_extension("html"),
    };
    fs::write(&out, report::html(&sittings))?;
    println!("{}", out.display());
    Ok(())
}

fn read(file: &Path) -> io::Result<Sitting> {
    let text = fs::read_to_string(file)?;
    serde_json::from_str(&text).map_err(|error| {
        let words = format!("{}: {error}", file.display());
        io::Error::new(io::ErrorKind::InvalidData, words)
    })
}
