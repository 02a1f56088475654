//! Plain data from which a snapshot is built: what the configuration, a test or the simulator says.

use std::net::SocketAddr;
use std::sync::Arc;

use base::Transport;
use translation::NumberRules;

use crate::{
    AdvanceTable, Balance, BlockSpec, CalendarSpec, CapSpec, Coalesce, Currency, EgressFormat,
    HealthRules, ListSpec, Margin, Mode, NumberFormat, Probe, Profile, QualitySpec, Rates,
    ScreenSpec, Source, WhenSpec, Worth,
};

/// The bounds of a snapshot; `build` refuses what goes over one, by name.
pub mod limits {
    /// The most trunk names a process may ever have known.
    pub const TRUNKS_MAX: usize = 65_536;
    /// The most gateway names a process may ever have known.
    pub const GATEWAYS_MAX: usize = 65_536;
    /// The most gateways of one route.
    pub const TARGETS_MAX: usize = 32;
    /// The most routes.
    pub const ROUTES_MAX: usize = 16_000_000;
    /// The most names of classes of quality that a process may ever have known.
    pub const QUALITIES_MAX: usize = 1_024;
    /// The most calendars.
    pub const CALENDARS_MAX: usize = 1_024;
    /// The most cells of caps that a process may ever have known.
    pub const CAPS_MAX: usize = 32_768;
    /// The most blocks.
    pub const BLOCKS_MAX: usize = 1_024;
    /// The most caps that hold for one trunk or gateway.
    pub const CAPS_PER_PEER_MAX: usize = 8;
    /// The largest priority of a gateway in a route.
    pub const PRIORITY_MAX: u16 = 100;
    /// The largest weight of a gateway in a route.
    pub const WEIGHT_MAX: u32 = 10_000;
    /// The most digits of a normalised number, and so of a prefix.
    pub const DIGITS_MAX: usize = 32;
    /// The longest user part that is routed as it is, by the catch-all route.
    pub const RAW_BYTES_MAX: usize = 128;
    /// The longest Request-URI that is written.
    pub const URI_BYTES_MAX: usize = 1_024;
    /// The longest tech prefix.
    pub const TECH_PREFIX_BYTES_MAX: usize = 16;
}

/// What to do with a request from an address that belongs to no trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnknownSource {
    /// Answer 403.
    #[default]
    Refuse,
    /// Say nothing: scanners learn nothing.
    Drop,
}

/// Everything a snapshot is built from.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The listeners, in the order of their ids: a gateway is reached through one of them.
    pub listeners: Vec<ListenerSpec>,
    /// The trunks that calls come from.
    pub trunks: Vec<TrunkSpec>,
    /// The gateways that calls go to.
    pub gateways: Vec<GatewaySpec>,
    /// The routes, in any order.
    pub routes: Vec<RouteSpec>,
    /// The decks, in the order of their ids in `rates`.
    pub decks: Vec<DeckSpec>,
    /// What they ask.
    pub rates: Arc<Rates>,
    /// The classes of quality.
    pub qualities: Vec<QualitySpec>,
    /// The calendars.
    pub calendars: Vec<CalendarSpec>,
    /// The lists of numbers.
    pub lists: Vec<ListSpec>,
    /// What is said of carriers.
    pub carriers: Vec<CarrierSpec>,
    /// The blocks.
    pub blocks: Vec<BlockSpec>,
    /// The caps.
    pub caps: Vec<CapSpec>,
    /// The most cells of caps that the process may ever know.
    pub caps_max: usize,
    /// What calls of all trunks are held against.
    pub screen: ScreenSpec,
    /// How datagrams that leave through each of the listeners travel together; those that are not
    /// there send each alone.
    pub coalesce: Vec<Coalesce>,
    /// What may cross the borders of trunks and gateways.
    pub profiles: Vec<Arc<Profile>>,
    /// What an unknown source gets.
    pub unknown_source: UnknownSource,
    /// The most gateway names that the process may ever know: what [`crate::Health`] has room for.
    pub gateways_max: usize,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            listeners: Vec::new(),
            coalesce: Vec::new(),
            trunks: Vec::new(),
            gateways: Vec::new(),
            routes: Vec::new(),
            decks: Vec::new(),
            lists: Vec::new(),
            carriers: Vec::new(),
            blocks: Vec::new(),
            caps: Vec::new(),
            caps_max: 1_024,
            calendars: Vec::new(),
            qualities: Vec::new(),
            profiles: Vec::new(),
            screen: ScreenSpec::default(),
            rates: Arc::default(),
            unknown_source: UnknownSource::Refuse,
            gateways_max: 4_096,
        }
    }
}

/// A rate deck: what a vendor asks, or what a customer pays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeckSpec {
    /// Its name, unique among decks.
    pub name: String,
    /// The currency of all its prices.
    pub currency: Currency,
    /// What a unit of that is worth in the currency that all are compared in.
    pub worth: Worth,
}

/// What is said of a carrier: it holds for all its trunks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CarrierSpec {
    /// Its name, which trunks give as theirs; unique among carriers.
    pub name: String,
    /// The lists that calls of its trunks are held against.
    pub screen: ScreenSpec,
}

/// What a caller is told whose call is one too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// The final status.
    pub status: u16,
    /// In how many seconds it may try again, for a Retry-After; 0: none.
    pub retry_after_s: u32,
}

impl Default for Refuse {
    fn default() -> Refuse {
        Refuse {
            status: 503,
            retry_after_s: 0,
        }
    }
}

/// How many calls somebody may have, over all shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CallLimits {
    /// At a time.
    pub calls: Option<u32>,
    /// New ones in a second.
    pub per_second: Option<u32>,
}

/// A listener, as far as routing needs to know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerSpec {
    /// Its name.
    pub name: String,
    /// The transport it speaks.
    pub transport: Transport,
    /// The address it is bound to.
    pub address: SocketAddr,
}

/// A trunk.
#[derive(Clone, PartialEq, Debug)]
pub struct TrunkSpec {
    /// Its name, unique among trunks.
    pub name: String,
    /// The company it belongs to; may be empty.
    pub carrier: String,
    /// The addresses its requests come from.
    pub sources: Vec<Source>,
    /// How the numbers that it dials are read.
    pub number: NumberFormat,
    /// What becomes of its numbers before that.
    pub rules: NumberRules,
    /// What may cross its border, by name; all without.
    pub profile: Option<String>,
    /// The methods that it may send; empty for all.
    pub allow: Vec<String>,
    /// After how many seconds its answered calls are ended; 0 for the node's default.
    pub max_call_seconds: u32,
    /// How many calls it may have; without, as many as the node takes.
    pub limits: CallLimits,
    /// What callers are told when it has them.
    pub refuse: Refuse,
    /// Whether a 3xx of a vendor is followed for its calls (RFC 3261 §16.5 recursion).
    pub follow_redirects: bool,
    /// Whether its calls are not led on, but told whom to ask: by 300 or 302 with Contacts.
    pub redirects: bool,
    /// How much its calls count against those of others when not all can be taken.
    pub overload_weight: u32,
    /// The deck that says what its calls are sold for, by name.
    pub deck: Option<String>,
    /// The lists that its calls are held against.
    pub screen: ScreenSpec,
    /// Gateways and carriers, by name, that its calls never go to.
    pub exclude: Vec<String>,
    /// Gateways and carriers, by name, that its calls go to and to no others; empty for all.
    pub only: Vec<String>,
}

impl TrunkSpec {
    /// A trunk with one name and one source, all else at its default.
    #[must_use]
    pub fn new(name: &str, source: Source) -> TrunkSpec {
        TrunkSpec {
            name: name.to_owned(),
            carrier: String::new(),
            sources: vec![source],
            number: NumberFormat::default(),
            rules: NumberRules::default(),
            profile: None,
            allow: Vec::new(),
            max_call_seconds: 0,
            limits: CallLimits::default(),
            refuse: Refuse::default(),
            follow_redirects: false,
            redirects: false,
            overload_weight: 1,
            deck: None,
            screen: ScreenSpec::default(),
            exclude: Vec::new(),
            only: Vec::new(),
        }
    }
}

/// A gateway.
#[derive(Clone, PartialEq, Debug)]
pub struct GatewaySpec {
    /// Its name, unique among gateways.
    pub name: String,
    /// The company it belongs to; may be empty.
    pub carrier: String,
    /// Where its requests are sent.
    pub address: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The listener to send from, by name; without, the first of the transport and the family.
    pub listener: Option<String>,
    /// The host part of the Request-URI, `host` or `host:port`; without, the address.
    pub domain: Option<String>,
    /// How it wants the called number.
    pub called: EgressFormat,
    /// Which parameters of the called number it gets (RFC 3966, RFC 4694); `*` for all.
    pub keep_parameters: Vec<String>,
    /// What becomes of the numbers that it gets, when they are as `called` wants them.
    pub rules: NumberRules,
    /// What may cross its border, by name; all without.
    pub profile: Option<String>,
    /// Taken out of service by the operator.
    pub maintenance: bool,
    /// Active health checks; none if absent.
    pub probe: Option<Probe>,
    /// When it is taken out of service, and how it comes back.
    pub health: HealthRules,
    /// How long it may stay silent after an INVITE before the next gateway is tried.
    pub no_response_ms: u32,
    /// How datagrams for it travel together; without, as its listener says.
    pub coalesce: Option<Coalesce>,
    /// Whether it is asked how much it can take (RFC 7339).
    pub overload_control: bool,
    /// The deck that says what it asks, by name.
    pub deck: Option<String>,
    /// How many calls it takes.
    pub limits: CallLimits,
}

impl GatewaySpec {
    /// A gateway over UDP that is not probed, all else at its default.
    #[must_use]
    pub fn new(name: &str, address: SocketAddr) -> GatewaySpec {
        GatewaySpec {
            name: name.to_owned(),
            carrier: String::new(),
            address,
            transport: Transport::Udp,
            listener: None,
            domain: None,
            called: EgressFormat::default(),
            keep_parameters: Vec::new(),
            rules: NumberRules::default(),
            profile: None,
            maintenance: false,
            probe: None,
            health: HealthRules::default(),
            no_response_ms: 2_000,
            coalesce: None,
            overload_control: false,
            deck: None,
            limits: CallLimits::default(),
        }
    }
}

/// What happens to the calls of one route. Routes with the same plan share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlanSpec {
    /// The gateways, in the order of the file.
    pub targets: Vec<TargetSpec>,
    /// How they are ordered for a call.
    pub mode: Mode,
    /// How those that stand side by side take turns, if the plan is balanced or by cost.
    pub balance: Balance,
    /// The class of quality that its gateways must keep to, by name.
    pub quality: Option<String>,
    /// What makes a call go on to the next gateway.
    pub advance: AdvanceTable,
    /// The most gateways tried for one call.
    pub attempts_max: usize,
    /// How long a gateway may ring before the attempt is cancelled; 0 for until Timer C.
    pub ring_ms: u32,
    /// How long after its INVITE a call may go on to another gateway; 0 for always.
    pub setup_ms: u32,
    /// What must be left, where both prices of a call are known.
    pub margin: Margin,
    /// The length of a call that prices are compared by.
    pub call_seconds: u32,
}

impl PlanSpec {
    /// The gateways in this order, all else at its default.
    #[must_use]
    pub fn ordered(gateways: &[&str]) -> PlanSpec {
        PlanSpec {
            targets: gateways
                .iter()
                .map(|name| TargetSpec {
                    gateway: (*name).to_owned(),
                    weight: 1,
                    priority: 0,
                    when: None,
                })
                .collect(),
            mode: Mode::Ordered,
            balance: Balance::Weighted,
            quality: None,
            advance: AdvanceTable::default(),
            attempts_max: 3,
            ring_ms: 0,
            setup_ms: 0,
            margin: Margin::NO_LOSS,
            call_seconds: 180,
        }
    }
}

/// One gateway of a plan.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetSpec {
    /// The gateway's name.
    pub gateway: String,
    /// Its share of the calls, if the plan is weighted.
    pub weight: u32,
    /// 0 comes first, if the plan is balanced or by cost.
    pub priority: u16,
    /// When it may be tried; without, always.
    pub when: Option<WhenSpec>,
}

/// The numbers under one prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteSpec {
    /// Digits of the normalised number, without `+`; `*` for whatever no other route takes.
    pub prefix: String,
    /// What happens to them. Shared, because a deck of a million prefixes knows few plans.
    pub plan: Arc<PlanSpec>,
}

impl RouteSpec {
    /// A route to gateways in this order, all else at its default.
    #[must_use]
    pub fn new(prefix: &str, gateways: &[&str]) -> RouteSpec {
        RouteSpec {
            prefix: prefix.to_owned(),
            plan: Arc::new(PlanSpec::ordered(gateways)),
        }
    }
}
