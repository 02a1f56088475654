//! What a simulated world consists of: addresses, routing, faults. Plain data, so that a flow file
//! can say it in words and a seed can draw it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base::Wall;

/// The first router, T.
pub const ROUTER: SocketAddr = v4(192, 0, 2, 1);
/// The second router, U, where a world has one.
pub const SECOND: SocketAddr = v4(192, 0, 2, 2);
/// The customer, A, whose addresses are one trunk of T.
pub const CUSTOMER: SocketAddr = v4(192, 0, 2, 10);
/// A customer that is not under attack: its calls must go through whatever happens to the others.
pub const CANARY: SocketAddr = v4(192, 0, 2, 11);
/// The number of the gateway that takes the canary's calls.
pub const CANARY_VENDOR: usize = 6;
/// When worlds begin by the clock on the wall: 2026.
pub const EPOCH: Wall = Wall(1_767_225_600_000_000);
/// A stranger, X.
pub const STRANGER: SocketAddr = v4(203, 0, 113, 9);
/// A trap, Z: nothing may ever arrive there.
pub const TRAP: SocketAddr = v4(203, 0, 113, 66);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), 5060)
}

/// The address of the vendor's gateway with this number, from 0: B, C, D and so on.
#[must_use]
pub fn vendor(number: usize) -> SocketAddr {
    v4(198, 51, 100, number as u8 + 1)
}

/// The name of that gateway: `b`, `c`, `d` and so on.
#[must_use]
pub fn vendor_name(number: usize) -> String {
    char::from(b'b' + number as u8).to_string()
}

/// Everything that determines a world, but for what its carriers do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Seed of the routers and of the network.
    pub seed: u64,
    /// Shards of each router.
    pub shards: u16,
    /// Whether the shards take what comes to them as steered by a kernel, which often errs.
    pub is_steered: bool,
    /// Gateways of the last router, all in one route.
    pub vendors: usize,
    /// In which order they are tried.
    pub order: Order,
    /// How they take turns, if they are tried side by side or by cost.
    pub balance: Balance,
    /// Whether their quality is measured, and those below the bounds left out or tried last.
    pub quality: Option<Below>,
    /// When they may be tried; those that are not in it, always.
    pub hours: Vec<Hours>,
    /// What their decks and the customer's say; empty: there are none.
    pub prices: Prices,
    /// Causes that advance, in the configuration's words; empty for the default.
    pub advance: Vec<String>,
    /// Attempts of one call at most.
    pub attempts_max: u8,
    /// Silence after which the next gateway is tried.
    pub no_response_ms: u32,
    /// Ringing after which an attempt is cancelled.
    pub ring_ms: u32,
    /// Whether 3xx of vendors are followed.
    pub follows_redirects: bool,
    /// Whether strangers get a 403 or nothing.
    pub refuses_strangers: bool,
    /// After how long a call ends by itself.
    pub max_call_seconds: u32,
    /// Timeouts in a row after which a gateway is down.
    pub down_after: u16,
    /// How long it stays down.
    pub hold_down_ms: u32,
    /// Interval of OPTIONS probes; 0 for none.
    pub probe_ms: u32,
    /// Timer C.
    pub c_ms: u32,
    /// Routers in a row: A → T → U → vendors.
    pub routers: usize,
    /// Whether the second router's vendor is the first router: a loop.
    pub is_loop: bool,
    /// What may cross to whom; none: everything may.
    pub borders: Option<Borders>,
    /// Calls that the customer's trunk may have up.
    pub max_calls: Option<u32>,
    /// Calls that it may begin in a second.
    pub calls_per_second: Option<u32>,
    /// Calls that each vendor takes at a time.
    pub vendor_calls: Option<u32>,
    /// What calls may have together.
    pub caps: Vec<Cap>,
    /// Which calls are not to be carried.
    pub blocks: Vec<Block>,
    /// Whether there is a second trunk, with a route and a gateway of its own, that nobody attacks.
    pub has_canary: bool,
    /// Calls that a shard may hold.
    pub calls_max: usize,
    /// Transactions of each side that a shard may hold.
    pub transactions_max: usize,
    /// Parcels that wait for a shard at most.
    pub inbox: usize,
}

/// Calls that are not to be carried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Who does not get them; none: nobody does.
    pub vendor: Option<usize>,
    /// The beginnings of the numbers that they are for; all, if there are none.
    pub prefixes: Vec<String>,
    /// From this second of the world on.
    pub from_s: u32,
    /// The first second that is no more part of it.
    pub until_s: u32,
}

/// How much calls may have together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cap {
    /// Whether it counts where calls go; else where they come from.
    pub is_of_vendors: bool,
    /// The beginnings of the numbers that it is about; all, if there are none.
    pub prefixes: Vec<String>,
    /// Whether each trunk or vendor, and each prefix, has a count of its own.
    pub is_apart: bool,
    /// Calls at a time.
    pub calls: Option<u32>,
    /// Calls in all the time of the world.
    pub window_calls: Option<u32>,
    /// Minutes in all the time of the world.
    pub window_minutes: Option<u32>,
    /// How long a call may last.
    pub max_call_seconds: u32,
    /// Whether what is more goes on all the same.
    pub only_tells: bool,
}

impl Plan {
    /// After how long a call ends by itself, in microseconds: the least that any cap says, and what holds
    /// for every call.
    #[must_use]
    pub fn calls_end_after_us(&self) -> (u64, u64) {
        let seconds = |all: bool| {
            let counts_all = |cap: &&Cap| !cap.is_of_vendors && cap.prefixes.is_empty();
            let caps = self.caps.iter().filter(|cap| !all || counts_all(cap));
            let said = caps.map(|cap| cap.max_call_seconds);
            let said = said.filter(|&it| it > 0).chain([self.max_call_seconds]);
            u64::from(said.min().unwrap_or(0)) * 1_000_000
        };
        (seconds(false), seconds(true))
    }
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            seed: 1,
            shards: 2,
            is_steered: false,
            vendors: 3,
            order: Order::List,
            balance: Balance::Weighted,
            quality: None,
            hours: Vec::new(),
            prices: Prices::default(),
            advance: Vec::new(),
            attempts_max: 3,
            no_response_ms: 2_000,
            ring_ms: 60_000,
            follows_redirects: false,
            refuses_strangers: true,
            max_call_seconds: 600,
            down_after: 1_000,
            hold_down_ms: 30_000,
            probe_ms: 0,
            c_ms: 181_000,
            routers: 1,
            is_loop: false,
            borders: None,
            max_calls: None,
            caps: Vec::new(),
            blocks: Vec::new(),
            calls_per_second: None,
            vendor_calls: None,
            has_canary: false,
            calls_max: 1_024,
            transactions_max: 4_096,
            inbox: 256,
        }
    }
}

/// In which order a call's gateways are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As listed.
    List,
    /// By chance, all with the same weight.
    Weight,
    /// All at once.
    Parallel,
    /// The cheapest first.
    Cost,
    /// Side by side.
    Balanced,
    /// The best first.
    Quality,
}

/// What becomes of vendors below the bounds of quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// They are tried last.
    Behind,
    /// They are left out.
    Skip,
}

/// How vendors that are tried side by side take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// By weight.
    Weighted,
    /// By the calls that they have up.
    LeastCalls,
    /// By who calls.
    Caller,
    /// By who is called.
    Called,
    /// By the Call-ID.
    CallId,
    /// By how fast they answer.
    Fastest,
}

/// When a vendor may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Which.
    pub vendor: usize,
    /// From this second of the world on.
    pub opens_s: u32,
    /// The first second that is no more part of it.
    pub closes_s: u32,
    /// Whether it is the other way around: not within, but before and after.
    pub is_inverted: bool,
}

/// Who is trusted, of a world in which carriers talk about people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Borders {
    /// Whether the customer is.
    pub customer: bool,
    /// Whether each vendor is.
    pub vendors: Vec<bool>,
    /// Whether vendors get numbers in a form of their own.
    pub rewrites: bool,
}

impl Borders {
    /// Whether the peer at an address is trusted; `None`: it is neither customer nor vendor.
    #[must_use]
    pub fn is_trusted(&self, peer: SocketAddr) -> Option<bool> {
        if peer == CUSTOMER {
            return Some(self.customer);
        }
        let number = (0..self.vendors.len()).find(|&number| vendor(number) == peer)?;
        Some(self.vendors[number])
    }
}

/// The rate decks of a world.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    /// What the customer pays for a minute, in hundred-millionths; none: nobody asks.
    pub sold: Option<i64>,
    /// The rows of the vendors' decks.
    pub rows: Vec<PriceRow>,
}

/// A row of a vendor's deck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    /// Whose deck.
    pub vendor: usize,
    /// For the numbers that begin so.
    pub code: String,
    /// For a minute, in hundred-millionths; none: they are not to be had.
    pub price: Option<i64>,
}

impl Prices {
    /// What a vendor asks for a number: the row with the longest code says. `None`: it must not get
    /// the call.
    #[must_use]
    pub fn of(&self, vendor: usize, called: &str) -> Option<i64> {
        let rows = self.rows.iter();
        let fit = rows.filter(|row| row.vendor == vendor && called.starts_with(&row.code));
        let price = fit.max_by_key(|row| row.code.len())?.price?;
        (self.sold.is_none_or(|sold| price <= sold)).then_some(price)
    }
}

/// What the network does to datagrams, in both directions of every path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Lost, in a thousand.
    pub loss: u32,
    /// Delivered twice, in a thousand.
    pub duplication: u32,
    /// The shortest delay.
    pub delay_us_min: u64,
    /// The longest delay; the spread is what reorders.
    pub delay_us_max: u64,
}

impl Link {
    /// A network that loses nothing and takes a millisecond.
    pub const CLEAN: Link = Link {
        loss: 0,
        duplication: 0,
        delay_us_min: 1_000,
        delay_us_max: 1_000,
    };
}
