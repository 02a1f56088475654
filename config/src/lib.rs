//! The configuration file: TOML text becomes a typed [`Config`], or a list of all that is wrong.
//!
//! Nothing is half accepted. Every fault is found in one run and told with file, line, column, what
//! was found, what would be right and how to go on; a key that does not exist is never ignored. What
//! is checked here needs no machine: whether a port can be bound or a processor exists is found by
//! whoever does it. The crate opens the file and the route deck that it names, and nothing else.
//!
//! In the order of reading: `text.rs` (places), `section.rs` (one table of the file), `keys.rs` (all
//! keys there are), `settings.rs` (the node's own sections), `peers.rs` (listeners, trunks, gateways),
//! `prices.rs` (decks and currencies), `screen.rs` (lists of numbers), `routes.rs` and `deck.rs` (routes in TOML and in CSV). docs/configuration.md says the same for
//! operators; a test holds that it names every key. Tests: `tests/`, one case for each kind of fault.

#![forbid(unsafe_code)]

mod deck;
mod error;
mod keys;
mod model;
mod network;
mod peers;
mod prices;
mod routes;
mod screen;
mod section;
mod settings;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

pub use deck::read_deck;
pub use error::{ERRORS_MAX, Error, Place};
pub use keys::SECTIONS;
pub use model::{
    CalledStyle, Cdr, Coalesce, Config, Control, CurrencyWorth, DIGITS_MAX, Deck, Drain,
    FeedbackAlgorithm, Gateway, Health, Io, LISTENERS_MAX, Limits, Listener, Log, LogFormat,
    LogLevel, Margin, Metrics, Mode, Node, NumberList, Numbers, Overload, PRIORITY_MAX, PlainRule,
    Plan, Probe, Proxy, Route, Screen, Shards, Source, Sources, Steering, TARGETS_MAX,
    TECH_PREFIX_BYTES_MAX, Target, Timers, Trunk, UnknownSource, WEIGHT_MAX,
};
pub use network::Network;

use error::Report;
use section::Section;
use text::Text;
use toml::de::DeTable;

/// The largest configuration file. A deck of routes belongs into a CSV file, which has no limit.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

impl Config {
    /// Reads a configuration file and the deck that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Config, Vec<Error>> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |found: String| {
            let remedy = "name a file that this user may read";
            vec![Error::of_file(&name, found, "a configuration file", remedy)]
        };
        let size = fs::metadata(path)
            .map_err(|error| unreadable(format!("no file: {error}")))?
            .len();
        if size > FILE_BYTES_MAX {
            let remedy = "move the routes into a CSV file and name it by `routes_csv`";
            let expected = format!("at most {FILE_BYTES_MAX} bytes");
            return Err(vec![Error::of_file(
                &name,
                format!("{size} bytes"),
                &expected,
                remedy,
            )]);
        }
        let bytes = fs::read(path).map_err(|error| unreadable(format!("no file: {error}")))?;
        match String::from_utf8(bytes) {
            Ok(text) => Config::parse(&name, &text),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let readable = String::from_utf8_lossy(valid);
                let report = Report::new(Text::new(&name, &readable));
                let byte = error.as_bytes()[valid.len()];
                let found = format!("the byte 0x{byte:02x}, which is not UTF-8");
                report.add(
                    valid.len(),
                    found,
                    "a text in UTF-8",
                    "save the file as UTF-8",
                );
                Err(report.into_errors())
            }
        }
    }

    /// Reads a configuration from its text. `name` is the file's, for the errors and because a deck
    /// is looked for beside it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Config, Vec<Error>> {
        let report = Report::new(Text::new(name, text));
        let (root, faults) = DeTable::parse_recoverable(text);
        for fault in &faults {
            let at = fault.span().map_or(0, |span| span.start);
            let found = format!("no valid TOML: {}", fault.message());
            report.add(
                at,
                found,
                "TOML 1.0",
                "correct this first; what it says was not looked at",
            );
        }
        if !faults.is_empty() {
            return Err(report.into_errors());
        }
        let root = Section::root(&report, root.get_ref());
        let config = read(&root, name);
        let errors = report.into_errors();
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    }
}

/// Reads all sections; what is at fault is in the report, and its place is taken by the default.
fn read(root: &Section<'_>, name: &str) -> Config {
    let proxy = settings::proxy(&root.table("proxy"));
    let listeners = peers::listeners(root);
    let folder = Path::new(name)
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let decks = prices::decks(root, &folder);
    let lists = screen::lists(root, &folder);
    let (currency, currencies) = prices::money(root);
    let mut gateways = peers::gateways(root, &listeners, &decks);
    let routes = routes::read(root, &folder, proxy.attempts_max, &mut gateways);
    Config {
        node: settings::node(&root.table("node")),
        limits: settings::limits(&root.table("limits")),
        io: settings::io(&root.table("io")),
        timers: settings::timers(&root.table("timers")),
        overload: settings::overload(&root.table("overload")),
        cdr: settings::cdr(&root.table("cdr")),
        metrics: settings::metrics(&root.table("metrics")),
        control: settings::control(&root.table("control")),
        log: settings::log(&root.table("log")),
        sources: settings::sources(&root.table("sources")),
        drain: settings::drain(&root.table("drain")),
        currency,
        currencies,
        trunks: peers::trunks(root, &decks, &lists),
        screen: screen::screen(&root.table("screen"), &lists),
        decks,
        lists,
        listeners: listeners
            .into_iter()
            .map(|listener| listener.value)
            .collect(),
        gateways: gateways.into_iter().map(|gateway| gateway.value).collect(),
        proxy,
        routes,
    }
}
