//! The configuration file: TOML text becomes a typed [`Config`], or a list of all that is wrong.
//!
//! Nothing is half accepted. Every fault is found in one run and told with file, line, column, what
//! was found, what would be right and how to go on; a key that does not exist is never ignored. What
//! is checked here needs no machine: whether a port can be bound or a processor exists is found by
//! whoever does it. The crate opens the file and the route deck that it names, and nothing else.
//!
//! In the order of reading: `file.rs` (what is read, and a world that is elsewhere), `text.rs` (places), `section.rs` (one table of the file), `keys.rs` (all
//! keys there are), `settings.rs` (the node's own sections), `peers.rs` (listeners, trunks, gateways),
//! `prices.rs` (decks and currencies), `screen.rs` (lists of numbers), `translations.rs` (translation
//! rules, with their examples), `profiles.rs` (identities and headers), `calendars.rs`, `quality.rs`, `caps.rs`,
//! `routes.rs` and `deck.rs` (routes in TOML and in CSV). docs/configuration.md says the same for
//! operators; a test holds that it names every key. Tests: `tests/`, one case for each kind of fault.

#![forbid(unsafe_code)]

mod blocks;
mod calendars;
mod caps;
mod deck;
mod error;
mod file;
mod keys;
mod model;
mod network;
mod peers;
mod prices;
mod profiles;
mod quality;
mod routes;
mod screen;
mod section;
mod settings;
mod terms;
mod text;
mod translations;

use std::path::Path;

pub use blocks::BLOCKS_MAX;
pub use calendars::CALENDARS_MAX;
pub use caps::CAPS_MAX;
pub use deck::read_deck;
pub use error::{ERRORS_MAX, Error, Place};
pub use file::{File, Own, Part, World};
pub use keys::{FILE_KEYS, NODE_KEYS, SECTIONS};
pub use model::{
    Assert, Balance, Block, CalledStyle, Cdr, Coalesce, Config, Control, CurrencyWorth,
    DESTINATION_DIGITS_MAX, DIGITS_MAX, Deck, Drain, FeedbackAlgorithm, Gateway, Health, Io,
    LISTENERS_MAX, Limits, Listener, Log, LogFormat, LogLevel, Margin, Metrics, Mode, Node,
    NumberList, Numbers, Overload, PRIORITY_MAX, Password, PlainRule, Plan, Probe, Profile, Proxy,
    Route, Screen, Shards, Source, Sources, Steering, Store, StoreKind, TARGETS_MAX,
    TECH_PREFIX_BYTES_MAX, Target, Timers, Trunk, UnknownSource, WEIGHT_MAX, When,
};
pub use network::Network;
pub use profiles::PROTECTED_HEADERS;
pub use terms::{
    Apart, Below, Calendar, Cap, CapSide, Carrier, DateHours, DateRule, Hours, Quality, Refuse,
    WeekHours,
};

use section::Section;

/// The largest configuration file. A deck of routes belongs into a CSV file, which has no limit.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

impl Config {
    /// Reads a configuration file and the deck that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Config, Vec<Error>> {
        File::open(path)?.config(None)
    }

    /// Reads a configuration from its text. `name` is the file's, for the errors and because a deck
    /// is looked for beside it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Config, Vec<Error>> {
        File::of_text(name, text).config(None)
    }
}

/// Reads all sections; what is at fault is in the report, and its place is taken by the default.
/// `world` is where the routing world stands, with its files in `folder`: another text than the
/// node's own `root`, or the same.
fn read(root: &Section<'_>, world: &Section<'_>, folder: &Path) -> Config {
    let proxy = settings::proxy(&root.table("proxy"));
    let listeners = peers::listeners(root);
    let decks = prices::decks(world, folder);
    let lists = screen::lists(world, folder);
    let calendars = calendars::read(world);
    let qualities = quality::read(world);
    let carriers = caps::carriers(world, &lists);
    let caps = caps::read(world, &lists);
    let blocks = blocks::read(world, &lists);
    let (currency, currencies) = prices::money(world);
    let translations = translations::translations(world);
    let profiles = profiles::profiles(world);
    let known = peers::Known {
        decks: &decks,
        lists: &lists,
        translations: &translations,
        profiles: &profiles,
    };
    let mut gateways = peers::gateways(world, &listeners, known);
    let trunks = peers::trunks(world, known);
    let routes = routes::read(
        world,
        folder,
        proxy.attempts_max,
        &mut gateways,
        routes::Objects {
            calendars: &calendars,
            qualities: &qualities,
        },
    );
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
        sources: settings::sources(&world.table("sources")),
        drain: settings::drain(&root.table("drain")),
        store: settings::store(root),
        currency,
        currencies,
        trunks,
        screen: screen::screen(&world.table("screen"), &lists),
        decks,
        calendars,
        qualities,
        carriers,
        blocks,
        caps,
        lists,
        translations,
        profiles,
        listeners: listeners
            .into_iter()
            .map(|listener| listener.value)
            .collect(),
        gateways: gateways.into_iter().map(|gateway| gateway.value).collect(),
        proxy,
        routes,
    }
}
