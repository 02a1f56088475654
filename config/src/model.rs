//! The configuration as it is used: typed, checked, with all defaults filled in.
//!
//! The keys have the names of the fields; docs/configuration.md says what each means at its limit.

use crate::{Calendar, Cap, Carrier, Quality, Refuse};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base::{Money, Transport};
use translation::{NumberRules, RuleSet};

use crate::Network;

/// The most listeners.
pub const LISTENERS_MAX: usize = 64;
/// The most gateways of one route.
pub const TARGETS_MAX: usize = 32;
/// The largest priority of a gateway in a route.
pub const PRIORITY_MAX: u16 = 100;
/// The largest weight of a gateway in a route.
pub const WEIGHT_MAX: u32 = 10_000;
/// The most digits of a prefix.
pub const DIGITS_MAX: usize = 32;
/// The most digits of a destination.
pub const DESTINATION_DIGITS_MAX: u8 = 9;
/// The longest tech prefix.
pub const TECH_PREFIX_BYTES_MAX: usize = 16;

/// A whole configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[[listener]]`, in the order of their ids.
    pub listeners: Vec<Listener>,
    /// `[limits]`
    pub limits: Limits,
    /// `[io]`
    pub io: Io,
    /// `[timers]`
    pub timers: Timers,
    /// `[proxy]`
    pub proxy: Proxy,
    /// `[overload]`
    pub overload: Overload,
    /// `[cdr]`
    pub cdr: Cdr,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[control]`
    pub control: Control,
    /// `[log]`
    pub log: Log,
    /// `[sources]`
    pub sources: Sources,
    /// `[drain]`
    pub drain: Drain,
    /// `[store]`, if the world is not in the file.
    pub store: Option<Store>,
    /// `[money]`: the currency that all prices are compared in.
    pub currency: String,
    /// `[[currency]]`: what others are worth in it.
    pub currencies: Vec<CurrencyWorth>,
    /// `[[deck]]`
    pub decks: Vec<Deck>,
    /// `[[calendar]]`, with what they take from `[[holidays]]`.
    pub calendars: Vec<Calendar>,
    /// `[[quality]]`
    pub qualities: Vec<Quality>,
    /// `[[list]]`
    pub lists: Vec<NumberList>,
    /// `[[carrier]]`
    pub carriers: Vec<Carrier>,
    /// `[[block]]`
    pub blocks: Vec<Block>,
    /// `[[cap]]`
    pub caps: Vec<Cap>,
    /// `[screen]`: what calls of all trunks are held against.
    pub screen: Screen,
    /// `[[translation]]`
    pub translations: Vec<Arc<RuleSet>>,
    /// `[[profile]]`
    pub profiles: Vec<Profile>,
    /// `[[trunk]]`
    pub trunks: Vec<Trunk>,
    /// `[[gateway]]`
    pub gateways: Vec<Gateway>,
    /// `[[route]]` and the rows of `routes_csv`, each prefix once.
    pub routes: Vec<Route>,
}

/// Where the routing world lives that is not in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// In which database.
    pub kind: StoreKind,
    /// How many generations are kept to go back to.
    pub keep: usize,
    /// How often the node looks whether the head is another one; 0: never.
    pub follow_seconds: u32,
}

/// A database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A server.
    Postgresql(String, Password),
}

/// Where a password is; it is never in the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Password {
    /// None is needed.
    None,
    /// In this file.
    File(PathBuf),
    /// In this variable of the environment.
    Environment(String),
}

/// The node itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name, in CDRs and stats.
    pub name: String,
    /// Where it keeps its secrets between runs.
    pub state_dir: PathBuf,
    /// How many shards there are, and where they run.
    pub shards: Shards,
    /// Who brings datagrams to the shards that own them.
    pub steering: Steering,
    /// Host names that mean this node in a Request-URI or a Route, in small letters.
    pub names: Vec<String>,
    /// Whether memory may come in huge pages.
    pub huge_pages: bool,
}

/// Who brings datagrams to the shards that own them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steering {
    /// The kernel where it pays and is permitted.
    Auto,
    /// The kernel, or the node does not start.
    Kernel,
    /// The shards among themselves.
    Software,
}

/// How many shards there are, and where they run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shards {
    /// One on each processor that the process may use, pinned.
    Auto,
    /// So many, not pinned.
    Count(u16),
    /// One on each of these processors, pinned.
    Cpus(Vec<usize>),
}

/// A socket address that calls come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its transport.
    pub transport: Transport,
    /// What it is bound to.
    pub address: SocketAddr,
    /// What goes into Via and Record-Route.
    pub advertise: SocketAddr,
    /// How datagrams that leave here for one peer travel together.
    pub coalesce: Coalesce,
}

/// How datagrams for one peer are brought to one length, to leave in one system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Coalesce {
    /// Each leaves alone.
    #[default]
    Off,
    /// A parameter of our own Via or Record-Route is lengthened.
    OwnParameters,
    /// Octets behind the body.
    Trailing,
}

/// What is bounded. All but the last four of the first group are for each shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Server transactions, and as many client transactions.
    pub transactions: usize,
    /// Calls.
    pub calls: usize,
    /// Gateway names over the life of the process, of all shards.
    pub gateways_max: usize,
    /// Trunk names over the life of the process, of all shards.
    pub trunks_max: usize,
    /// Cells of caps that the process may know.
    pub caps_max: usize,
    /// Gateways by destinations whose quality is measured at a time, of the process.
    pub quality_rows: usize,
    /// Armed timers.
    pub timers: usize,
    /// Messages from other shards that wait.
    pub inbox: usize,
    /// Of those, large ones.
    pub inbox_large: usize,
    /// Packets of each size class, from the smallest.
    pub packets: [u32; 6],
    /// Packets queued to be sent in a turn.
    pub sends: usize,
    /// CDRs that wait for the writer.
    pub records: usize,
    /// Notices that wait for the control plane.
    pub notices: usize,
    /// Open connections.
    pub connections: usize,
    /// Accepted connections of one peer.
    pub connections_per_peer: usize,
    /// Bytes that wait for one connection's peer.
    pub stream_buffer_bytes: usize,
    /// Packets that wait on all connections together.
    pub stream_writes: usize,
    /// Buffers for incomplete messages of streams, of each size class.
    pub stream_packets: [u32; 6],
    /// The longest message on a stream.
    pub message_bytes_max: usize,
    /// How long a message on a stream may take to arrive.
    pub header_deadline_ms: u64,
    /// After how long without traffic a connection is closed.
    pub idle_ms: u64,
    /// After how long without traffic it may be closed for a new one.
    pub evict_idle_ms: u64,
    /// How long a connection may take to open.
    pub connect_ms: u64,
    /// How long a connection lingers that is closed after an error response.
    pub linger_ms: u64,
    /// The receive buffer to ask for, for each UDP socket.
    pub receive_buffer_bytes: usize,
    /// The send buffer to ask for, for each UDP socket.
    pub send_buffer_bytes: usize,
}

/// The timers of RFC 3261, table 4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// T1.
    pub t1_ms: u32,
    /// T2.
    pub t2_ms: u32,
    /// T4.
    pub t4_ms: u32,
    /// Timer C.
    pub c_ms: u32,
}

/// How requests are forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// Larger requests leave by TCP (RFC 3261 §18.1.1).
    pub udp_bytes_max: usize,
    /// Attempts of a call if its route does not say.
    pub attempts_max: usize,
    /// How long an answered call may last if its trunk does not say; 0: for ever.
    pub max_call_seconds: u32,
}

/// How datagrams move between the system and a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Io {
    /// How many one system call moves at most.
    pub batch: usize,
    /// How long an idle shard looks for work before it sleeps; 0 for not at all.
    pub busy_poll_us: u32,
    /// How long a shard lets messages gather before it looks for them, if several are on their way;
    /// 0 for not at all.
    pub gather_us: u32,
    /// Whether to take datagrams of one peer and size off a socket in one piece.
    pub receive_coalesced: bool,
}

/// When new calls are refused because the node has too much to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overload {
    /// How long messages may wait between receiving and processing before new ones are refused in
    /// proportion.
    pub delay_target_ms: u32,
    /// A new request that waited longer is refused, whatever the limit says.
    pub delay_max_ms: u32,
    /// Whether neighbours that ask are told how loaded the node is (RFC 7339).
    pub feedback: bool,
    /// By which algorithm, if they know it.
    pub feedback_algorithm: FeedbackAlgorithm,
    /// How long that holds.
    pub feedback_validity_ms: u32,
    /// How many requests of unknown sources each shard answers in a second.
    pub stranger_answers_max: u32,
    /// Whether the kernel, where it can, drops what is too much to be refused.
    pub shed_in_kernel: bool,
    /// Whether the kernel, where it can, drops all that comes from unknown addresses.
    pub drop_unknown_sources: bool,
}

/// How neighbours are asked to send less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FeedbackAlgorithm {
    /// By a share of what they would send (RFC 7339).
    Loss,
    /// To a rate (RFC 7415).
    Rate,
}

/// Where CDRs go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cdr {
    /// The folder of the files.
    pub directory: PathBuf,
    /// A file of this size is finished.
    pub rotate_bytes: u64,
    /// A file of this age is finished.
    pub rotate_seconds: u64,
    /// How long a line may wait to be safe against a power cut.
    pub sync_ms: u32,
}

/// The Prometheus endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// Where it listens; `None`: there is none.
    pub listen: Option<SocketAddr>,
}

/// The control socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// The Unix socket that `trunkline stats` asks.
    pub socket: PathBuf,
}

/// The node's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// From which level on.
    pub level: LogLevel,
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what will fail soon.
    Warn,
    /// And what an operator did or should know.
    Info,
    /// And what a developer looks for.
    Debug,
    /// And every step.
    Trace,
}

impl LogLevel {
    /// The word of the configuration.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// What becomes of requests from nobody's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sources {
    /// Answered or not.
    pub unknown: UnknownSource,
}

/// What becomes of a request from nobody's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnknownSource {
    /// 403.
    Refuse,
    /// Nothing.
    Drop,
}

/// The end of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drain {
    /// How long calls may go on after SIGTERM.
    pub deadline_ms: u32,
}

/// Where calls come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// The company it belongs to; may be empty.
    pub carrier: String,
    /// The addresses it is known by.
    pub sources: Vec<Source>,
    /// The most calls at a time.
    pub max_calls: Option<u32>,
    /// The most new calls in a second.
    pub calls_per_second: Option<u32>,
    /// What callers are told whose call is more than these.
    pub refuse: Refuse,
    /// How long an answered call may last; 0: what `[proxy]` says.
    pub max_call_seconds: u32,
    /// Whether 3xx responses of vendors are followed.
    pub follow_redirects: bool,
    /// Whether its calls are told whom to ask, and not led on.
    pub redirect: bool,
    /// How much its calls count against those of others when not all can be taken.
    pub overload_weight: u32,
    /// The deck that says what its calls are sold for.
    pub deck: Option<String>,
    /// The lists that its calls are held against.
    pub screen: Screen,
    /// Gateways and carriers that its calls never go to.
    pub exclude: Vec<String>,
    /// Gateways and carriers that its calls go to, and to no others; empty: all.
    pub only: Vec<String>,
    /// The methods it may begin with; empty: all.
    pub allow: Vec<String>,
    /// How it writes numbers.
    pub numbers: Numbers,
    /// What becomes of the numbers that it sends before anything else.
    pub rules: NumberRules,
    /// What may cross its border.
    pub profile: Option<String>,
}

/// What may cross the border of a trunk or a gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the headers and lists of these names: docs/configuration.md
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Whether the peer is of our trust domain (RFC 3325).
    pub trusted: bool,
    /// Whom its calls are of that tell nobody who is believed.
    pub assert: Option<Assert>,
    pub remote_party_id: bool,
    pub diversion: bool,
    pub history_info: bool,
    pub identity: bool,
    pub deny: Vec<String>,
    pub allow: Option<Vec<String>>,
    pub set_from: Vec<(String, String)>,
    pub set_to: Vec<(String, String)>,
}

/// Whom calls are of that tell nobody who is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Assert {
    /// Who stands in From.
    From,
    /// This URI.
    Uri(String),
}

/// Addresses of a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Source {
    /// The network.
    pub network: Network,
    /// The one port, if only one is the trunk's.
    pub port: Option<u16>,
    /// The one transport, if only one is the trunk's.
    pub transport: Option<Transport>,
}

/// How a trunk writes numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// The country code of national numbers; may be empty.
    pub country_code: String,
    /// What national numbers begin with.
    pub national_prefix: Option<String>,
    /// What international numbers begin with.
    pub international_prefixes: Vec<String>,
    /// What the customer puts before numbers.
    pub tech_prefixes: Vec<String>,
    /// Whether it has to.
    pub tech_prefix_required: bool,
    /// What other digits are.
    pub plain: PlainRule,
}

/// What digits are that begin with no known prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlainRule {
    /// E.164 without its `+`.
    International,
    /// National, without their prefix.
    National,
    /// Refused.
    Refuse,
}

/// Where calls go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// The company it belongs to; may be empty.
    pub carrier: String,
    /// Where requests are sent; nowhere, if `host` says it.
    pub address: SocketAddr,
    /// The host name that is to be looked up instead, and the port.
    pub host: Option<(String, u16)>,
    /// Over what.
    pub transport: Transport,
    /// From which listener.
    pub listener: Option<String>,
    /// The host of the Request-URI.
    pub domain: Option<String>,
    /// How it wants numbers.
    pub format: CalledStyle,
    /// How many leading digits are taken off.
    pub strip: u8,
    /// What is put in front of the number.
    pub prefix: String,
    /// Which parameters of the number go on to it (RFC 4694); `*` for all.
    pub keep_parameters: Vec<String>,
    /// What becomes of the numbers that it gets after all else.
    pub rules: NumberRules,
    /// What may cross its border.
    pub profile: Option<String>,
    /// Whether it is out of service.
    pub maintenance: bool,
    /// How long an attempt may be without any response.
    pub no_response_ms: u32,
    /// Whether it is asked how much it can take (RFC 7339).
    pub overload_control: bool,
    /// The most calls at a time.
    pub max_calls: Option<u32>,
    /// The most new calls in a second.
    pub calls_per_second: Option<u32>,
    /// The deck that says what it asks.
    pub deck: Option<String>,
    /// How it is probed, if it is.
    pub probe: Option<Probe>,
    /// When it goes down and how it comes back.
    pub health: Health,
    /// How datagrams for it travel together; without, as its listener says.
    pub coalesce: Option<Coalesce>,
}

/// How a gateway wants called numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CalledStyle {
    /// `+` and digits.
    E164Plus,
    /// Digits.
    E164,
    /// As dialled.
    Dialled,
}

/// How a gateway is probed with OPTIONS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// From one probe to the next.
    pub interval_ms: u32,
    /// How much that may differ, either way.
    pub jitter_percent: u8,
    /// How long an answer may take.
    pub timeout_ms: u32,
    /// Down after so many in a row without an answer.
    pub down_after: u16,
    /// Up after so many in a row with one.
    pub up_after: u16,
}

/// When a gateway goes down by the fate of its calls, and how it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    /// Down after so many attempts in a row without any response; 0: never.
    pub down_after: u16,
    /// How long it stays down at least.
    pub hold_down_ms: u32,
    /// How long it takes until it gets all its calls again.
    pub slow_return_ms: u32,
}

/// The numbers under one prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Digits, or `*` for all that no other route takes.
    pub prefix: String,
    /// What happens to them. Rows of a deck that say the same share it.
    pub plan: Arc<Plan>,
}

/// What happens to the calls of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The gateways.
    pub targets: Vec<Target>,
    /// How they take turns.
    pub mode: Mode,
    /// How those that stand side by side do.
    pub balance: Balance,
    /// The class of quality that its gateways must keep to.
    pub quality: Option<String>,
    /// What makes a call go on to the next; `None`: the router's default.
    pub advance: Option<Vec<String>>,
    /// The most attempts of a call.
    pub attempts_max: usize,
    /// How long a gateway may ring; 0: until Timer C.
    pub ring_ms: u32,
    /// How long after its INVITE a call may go on to another gateway; 0: always.
    pub setup_ms: u32,
    /// What must be left of what the customer pays.
    pub margin: Margin,
    /// The length of a call that prices are compared by.
    pub call_seconds: u32,
}

/// What must be left of what the customer pays, where both prices of a call are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Margin {
    /// So many thousandths of it.
    Permille(i32),
    /// So much of a call of the route's length.
    Amount(Money),
    /// Nothing.
    Any,
}

/// A rate deck in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deck {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub file: PathBuf,
    /// Files with some of its prices that came later, the oldest first.
    pub updates: Vec<PathBuf>,
    /// Where its dialect is; without, it is guessed.
    pub dialect: Option<PathBuf>,
}

/// A list of numbers in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberList {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub file: PathBuf,
}

/// Calls that are not to be carried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// The trunks and carriers whose calls; none: all.
    pub trunks: Vec<String>,
    /// The gateways and carriers that do not get them; none: nobody gets them.
    pub gateways: Vec<String>,
    /// Lists of the numbers that they are for.
    pub lists: Vec<String>,
    /// How these numbers begin; with no lists either: all numbers.
    pub prefixes: Vec<String>,
    /// From when on, in seconds since 1970.
    pub from: Option<i64>,
    /// Before when, the same, and as it was written.
    pub until: Option<(i64, String)>,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub owner: String,
}

/// Lists that calls are held against, by name. What is permitted is not blocked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Screen {
    /// Numbers that may not be called.
    pub block_called: Vec<String>,
    /// Numbers that may be called.
    pub permit_called: Vec<String>,
    /// Numbers that may not call.
    pub block_calling: Vec<String>,
    /// Numbers that may call.
    pub permit_calling: Vec<String>,
}

/// What a unit of a currency is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CurrencyWorth {
    /// Its three letters.
    pub name: String,
    /// What it is worth in the currency of `[money]`.
    pub worth: Money,
}

/// One gateway of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its name.
    pub gateway: String,
    /// Its share, in a weighted route.
    pub weight: u32,
    /// 0 comes first, in a balanced route or one by cost.
    pub priority: u16,
    /// When it may be tried; without, always.
    pub when: Option<When>,
}

/// A calendar, and whether it has to be open or closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct When {
    /// The calendar's name.
    pub calendar: String,
    /// Whether it has to be open.
    pub is_open: bool,
}

/// How the gateways of a route take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// As written.
    Ordered,
    /// By weight.
    Weighted,
    /// The cheapest first.
    Cost,
    /// By priority, side by side.
    Balanced,
    /// The best first.
    Quality,
    /// All at once.
    Parallel,
}

/// How gateways that stand side by side take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// By weight.
    Weighted,
    /// Whoever has the fewest calls up for its weight.
    LeastCalls,
    /// By who calls.
    Caller,
    /// By who is called.
    Called,
    /// By the Call-ID.
    CallId,
    /// Whoever answers soonest.
    Fastest,
}
