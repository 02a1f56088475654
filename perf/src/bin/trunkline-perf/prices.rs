//! `prices`: prices by the million, read, kept and exchanged under load.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use perf::compare::cli;
use perf::load::milliseconds;
use perf::prices::{self, Deal, Load, Options};

/// Prices by the million: how long a router takes to read them, what they keep, and what calls feel
/// when they are exchanged.
///
/// Writes decks as vendors mail them, starts a router with them, and has it read one vendor's new
/// prices under load. Without other programs on the machine; cores 0 and 1 unless said otherwise.
///
///   trunkline-perf prices --rate 8000 --out perf/results
///   trunkline-perf prices --share 0.8         at four fifths of what it carries at most
///   trunkline-perf prices --write decks       only writes decks, gateways and a route
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Prices {
    /// The trunkline program [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    trunkline: Option<PathBuf>,
    /// Vendors, each with a deck and a gateway: 1 to 32.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=32))]
    vendors: u8,
    /// Rows of all decks together.
    #[arg(long, default_value_t = 10_000_000)]
    rows: usize,
    /// Calls a second while prices are exchanged; without this and --share none are.
    #[arg(long, value_name = "CALLS")]
    rate: Option<f64>,
    /// Instead: this part of the highest rate at which no call fails, which is searched for.
    #[arg(long, value_name = "0.05..1", value_parser = share, conflicts_with = "rate")]
    share: Option<f64>,
    /// How often prices are exchanged under load.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Load before anything is counted. A transaction stays for 32 s after its answer, and a router
    /// that holds few of them yet carries more than it can keep up.
    #[arg(long, value_name = "TIME", default_value = "33s", value_parser = milliseconds)]
    warm_up: u64,
    /// The core of the router's shard [default: the last].
    #[arg(long, value_name = "CORE")]
    server_core: Option<usize>,
    /// The core of the generator.
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    generator_core: usize,
    /// Only write decks, gateways and a route into this folder.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
    /// A line for the results about the circumstances; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Where results go: DATE-prices.json. Without, they are only printed.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Prices {
    /// Measures, or writes the decks.
    ///
    /// # Errors
    /// A file cannot be written, or the router not be started.
    pub(crate) fn measure(&self) -> io::Result<ExitCode> {
        let deal = Deal {
            vendors: usize::from(self.vendors),
            rows: self.rows,
            seed: 0x5eed,
        };
        if let Some(folder) = &self.write {
            fs::create_dir_all(folder)?;
            let written = deal.write(folder, &mut |vendor| eprintln!("vendor{vendor}.csv"))?;
            let hosts: Vec<_> = (1..=self.vendors)
                .map(|host| ([127, 11, 3, host], 5060).into())
                .collect();
            fs::write(folder.join("tables.toml"), deal.tables(&hosts))?;
            eprintln!(
                "{} rows; tables.toml belongs behind a configuration's listeners and trunks",
                written.rows
            );
            return Ok(ExitCode::SUCCESS);
        }
        let options = Options {
            deal,
            trunkline: cli::beside_this_program(self.trunkline.as_ref())?,
            load: match (self.rate, self.share) {
                (_, Some(share)) => Load::Share(share),
                (Some(rate), None) if rate > 0.0 => Load::Rate(rate),
                _ => Load::None,
            },
            rounds: self.rounds,
            warm_up: Duration::from_millis(self.warm_up),
            server_core: cli::core_or_last(self.server_core),
            generator_core: self.generator_core,
            notes: self.note.clone(),
        };
        let results = prices::measure(&options, &mut |line| eprintln!("{line}"))?;
        print!("{}", results.table());
        if let Some(folder) = &self.out {
            let file = cli::write_json(folder, &results.began, "prices", &results)?;
            eprintln!("{}", file.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|it| (0.05..=1.0).contains(it));
    share.ok_or_else(|| "a part of the highest rate, from 0.05 to 1".to_owned())
}
