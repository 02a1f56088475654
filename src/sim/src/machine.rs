//! A router in virtual time: shards, listeners and the routing world that a plan asks for.
//!
//! The only file here that names the types of `route`, `call` and `transaction`: a world cannot be
//! built without them. What the router should have done is never asked of them.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{GatewayId, ListenerId, Money, ShardId, Time, Transport, TrunkId, Wall};
use call::Keys;
use route::translation::{Change, Lengths, Rule, RuleSet};
use route::{
    AdvanceTable, Apart, Balance, BlockSpec, Bounds, CalendarSpec, CallLimits, CapRule, CapSide,
    CapSpec, Chain, Code, Currency, DeckId, DeckSpec, GatewaySpec, HeaderRules, HealthRules, Judge,
    ListenerSpec, Margin, Mode, Moment, Passes, PlanSpec, Probe, Profile, QualitySpec, Rate,
    RatesBuilder, RouteSpec, Snapshot, Source, Spec, TargetSpec, TrunkSpec, UnknownSource,
    WhenSpec, Worth,
};
use router::{COUNTERS, Gauges, HISTOGRAMS, Limited, Listener, Router, Settings};
use shards::{Handler, Limits, World, WorldConfig};
use transaction::Timing;

use crate::gossip;
use crate::plan::{self, Borders, EPOCH, Plan};

const GATEWAYS_MAX: usize = 16;
const TRUNKS_MAX: usize = 4;
/// The reader of the records looks so often, well before their ring is full.
const STEPS_BETWEEN_READS: u64 = 500;
/// The channels are counted again so often.
const STEPS_BETWEEN_AUDITS: u64 = 256;

/// One router with its shards.
pub struct Machine {
    address: SocketAddr,
    world: World<Router>,
    settings: Arc<Settings>,
    snapshot: Arc<Snapshot>,
    spec: Spec,
    gauges: Arc<Gauges>,
    judge: Judge,
    judged_s: u64,
    records: Vec<Record>,
    number: usize,
    plan_seed: u64,
    restarts: u64,
    steps: u64,
}

/// A call record, as far as the simulator judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its own id.
    pub id: String,
    /// The call's Call-ID.
    pub call_id: String,
    /// When it came.
    pub started: Wall,
    /// Digits called.
    pub called: String,
    /// The trunk it came from.
    pub trunk: String,
    /// The gateway that answered, or the last tried.
    pub gateway: String,
    /// When it rang.
    pub ringing: Option<Wall>,
    /// When it was answered.
    pub answered: Option<Wall>,
    /// From answer to end.
    pub duration_us: u64,
    /// The caller's final status.
    pub status: u16,
    /// The cause in Q.850.
    pub q850: u8,
    /// Why it ended.
    pub cause: String,
    /// Who ended it.
    pub hung_up: String,
    /// The attempts.
    pub attempts: Vec<AttemptRecord>,
}

/// One attempt of a call record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The gateway.
    pub gateway: String,
    /// Its final status; 0 for none.
    pub status: u16,
    /// Why it ended.
    pub cause: String,
    /// What the vendor asks for a minute, in hundred-millionths.
    pub bought: Option<i64>,
}

impl Machine {
    /// The router with this number, from 0, of a plan.
    #[must_use]
    pub fn new(plan: &Plan, number: usize) -> Machine {
        let address = if number == 0 {
            plan::ROUTER
        } else {
            plan::SECOND
        };
        let spec = spec(plan, number);
        let snapshot = build(&spec, 1, None);
        let settings = Arc::new(settings(plan, number, address));
        let gauges = Arc::new(Gauges::new(plan.shards, TRUNKS_MAX, GATEWAYS_MAX));
        let config = WorldConfig {
            seed: plan.seed ^ (number as u64).rotate_left(40),
            wall_epoch: EPOCH,
            shards: plan.shards,
            is_steered: plan.is_steered,
            listeners: vec![shards::ListenerSpec {
                transport: Transport::Udp,
                address,
            }],
            limits: limits(plan),
            handler_counters: COUNTERS,
            handler_histograms: HISTOGRAMS,
            handler_dynamic: router::dynamic_cells(GATEWAYS_MAX, TRUNKS_MAX),
            ..WorldConfig::default()
        };
        let make = |shard| Router::new(settings.clone(), shard, snapshot.clone(), gauges.clone());
        let world = World::new(config, make);
        Machine {
            address,
            world,
            settings,
            snapshot,
            spec,
            gauges,
            judge: Judge::new(),
            judged_s: 0,
            records: Vec::new(),
            number,
            plan_seed: plan.seed,
            restarts: 0,
            steps: 0,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A datagram arrives.
    pub fn datagram(&mut self, at: Time, from: SocketAddr, bytes: &[u8]) {
        self.world.datagram(at, ListenerId(0), from, bytes);
    }

    /// Runs one event that is due at `until` or before. `None`: there was none. Otherwise what was
    /// sent: when, where, what.
    pub fn step(&mut self, until: Time) -> Option<Vec<(Time, SocketAddr, Vec<u8>)>> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_BETWEEN_READS) {
            self.collect();
        }
        let mut all = Vec::new();
        let ran = self.world.step(until, &mut |sent| {
            if sent.flow.transport == Transport::Udp {
                all.push((sent.at, sent.flow.peer, sent.bytes.to_vec()));
            }
        });
        if ran {
            self.judge();
        }
        ran.then_some(all)
    }

    /// Once a second of the world, as the control plane does.
    fn judge(&mut self) {
        let now_s = self.world.now().0 / 1_000_000;
        if now_s > self.judged_s && !self.spec.qualities.is_empty() {
            self.judged_s = now_s;
            self.judge
                .look(self.gauges.quality(), &self.snapshot, now_s);
        }
    }

    /// How many attempts were counted for their quality, how many of them as answered, and how many
    /// answered calls as over.
    #[must_use]
    pub fn measured(&self) -> [u64; 3] {
        self.gauges.quality().totals()
    }

    /// The shard that owns a Call-ID: it is keyed, so nobody outside can tell.
    #[must_use]
    pub fn owner(&self, call_id: &str) -> u16 {
        let text = format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n");
        let owner = self.world.handler(ShardId(0)).owner(text.as_bytes());
        owner.map_or(0, |shard| shard.0)
    }

    /// A shard fails and begins anew without its memory.
    pub fn restart(&mut self, shard: u16) {
        let shard = ShardId(shard % self.world.shards());
        self.restarts += 1;
        // A new life draws a new key: what the old one had on its way names nothing any more.
        let mut settings = Settings::clone(&self.settings);
        settings.keys = keys(self.plan_seed ^ self.restarts.rotate_left(32), self.number);
        let (settings, world) = (Arc::new(settings), self.snapshot.clone());
        let router = Router::new(settings, shard, world, self.gauges.clone());
        self.world.restart(shard, router);
    }

    /// The same routing world is published again, as another generation.
    pub fn reload(&mut self) {
        let generation = self.snapshot.generation() + 1;
        self.snapshot = build(&self.spec, generation, Some(&self.snapshot));
        self.world.publish(self.snapshot.clone());
    }

    /// All call records so far.
    pub fn records(&mut self) -> Vec<Record> {
        self.collect();
        self.records.clone()
    }

    fn collect(&mut self) {
        for (_, bytes) in self.world.records() {
            let decoded = cdr::decode(&bytes).expect("a router writes records that can be read");
            self.records.push(record(&decoded.call()));
        }
    }

    /// Calls held on all shards.
    #[must_use]
    pub fn calls_held(&self) -> usize {
        self.shards()
            .map(|shard| self.world.handler(shard).held()[0])
            .sum()
    }

    /// A counter of the router or of the runtime, over all shards.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.shards()
            .map(|shard| {
                let stats = self.world.stats(shard);
                let pages = [stats.handler.snapshot(), stats.runtime.snapshot()];
                pages
                    .iter()
                    .find_map(|page| page.counter(name))
                    .unwrap_or(0)
            })
            .sum()
    }

    /// Nothing may be left but the probes that are under way.
    ///
    /// # Errors
    /// What is left on which shard.
    pub fn audit_end(&mut self) -> Result<(), String> {
        for shard in self.shards() {
            let router = self.world.handler(shard);
            let [calls, forks, servers, clients] = router.held();
            let [flows, names] = router.kept();
            let probing = router.probing();
            let timers = self.world.armed_timers(shard);
            let packets = self.world.live_packets(shard);
            // A probe has a client transaction, the packet it repeats, and at most the timers E,
            // F or K and its own deadline.
            let left = calls + forks + servers > 0
                || clients > probing
                || flows > probing
                || names > 0
                || timers > 3 * probing
                || packets > probing;
            if left {
                return Err(format!(
                    "left on shard {} of {}: {calls} calls, {forks} forks, {servers} server and \
                     {clients} client transactions, {timers} timers, {packets} packets, {flows} flows, {names} names; {probing} probes",
                    shard.0, self.address
                ));
            }
        }
        self.audit_windows()?;
        self.audit_channels()
    }

    /// As [`Machine::audit_channels`], every so many steps: each walks all calls.
    ///
    /// # Errors
    /// As there.
    pub fn audit_sometimes(&self) -> Result<(), String> {
        match self.steps.is_multiple_of(STEPS_BETWEEN_AUDITS) {
            true => self.audit_channels(),
            false => Ok(()),
        }
    }

    /// Every channel that is counted belongs to a call that is there, and no limit is broken.
    ///
    /// # Errors
    /// Whose channels are not right.
    pub fn audit_channels(&self) -> Result<(), String> {
        let trunks = self.spec.trunks.iter().zip(0..);
        let trunks = trunks.map(|(trunk, id)| (Limited::Trunk(TrunkId(id)), trunk.limits));
        let gateways = self.spec.gateways.iter().zip(0..);
        let gateways = gateways.map(|(one, id)| (Limited::Gateway(GatewayId(id)), one.limits));
        let caps = self.snapshot.caps().map(|(id, rule)| {
            let limits = match rule.only_tells {
                true => CallLimits::default(),
                false => rule.limits,
            };
            (Limited::Cap(id), limits)
        });
        for (whose, limits) in trunks.chain(gateways).chain(caps) {
            let held = self
                .shards()
                .flat_map(|shard| self.world.handler(shard).channels());
            let (held, counted) = (
                held.filter(|it| *it == whose).count(),
                self.gauges.in_use(whose),
            );
            if held != counted as usize {
                return Err(format!(
                    "{whose:?}: {counted} channels counted, {held} held"
                ));
            }
            if limits.calls.is_some_and(|most| counted > most) {
                return Err(format!("{whose:?}: {counted} channels of {limits:?}"));
            }
        }
        Ok(())
    }

    /// When no call is left no cap goes on counting; none let more calls begin than it may; and what
    /// the calls of all numbers talked is what their records say.
    fn audit_windows(&mut self) -> Result<(), String> {
        let records = self.records();
        let answered = records.iter().filter(|it| it.answered.is_some());
        let talked_ms: i64 = answered.map(|it| (it.duration_us / 1_000) as i64).sum();
        // Who was answered after it had been refused is counted no more.
        let mut names: Vec<&str> = records.iter().map(|it| &*it.call_id).collect();
        names.sort_unstable();
        let is_exact = self.restarts == 0 && names.windows(2).all(|pair| pair[0] != pair[1]);
        let (windows, now) = (self.gauges.windows(), self.world.now());
        for (id, rule) in self.snapshot.caps() {
            let name = self.snapshot.cap_name(id);
            let used = windows.used(id, now);
            let later = windows.used(id, now.plus_millis(3_600_000));
            if used != later {
                return Err(format!(
                    "{name}: {used:?} goes on without a call: {later:?}"
                ));
            }
            let most = rule.window_calls.filter(|_| !rule.only_tells);
            if most.is_some_and(|most| used.calls > u64::from(most)) {
                return Err(format!("{name}: {used:?} of {rule}"));
            }
            let spec = self.spec.caps.iter().find(|it| it.name == name);
            let counts_all = spec.is_some_and(|it| it.prefixes.is_empty());
            let differs = (used.talked_ms - talked_ms).abs() > records.len() as i64;
            if counts_all && is_exact && differs {
                return Err(format!(
                    "{name}: {used:?}, and the records say {talked_ms} ms"
                ));
            }
        }
        Ok(())
    }

    fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.world.shards()).map(ShardId)
    }
}

fn build(spec: &Spec, generation: u64, previous: Option<&Snapshot>) -> Arc<Snapshot> {
    let built = route::build(spec, generation, previous);
    Arc::new(built.expect("a plan makes a routing world that can be built"))
}

fn limits(plan: &Plan) -> Limits {
    let calls = plan.calls_max as u32;
    Limits {
        inbox: plan.inbox,
        packets: [calls * 4, calls * 8, calls * 4, calls, 64, 16],
        timers: plan.transactions_max * 4,
        usual_delays_ms: timing(plan).usual_ms(),
        ..Limits::small()
    }
}

fn timing(plan: &Plan) -> Timing {
    Timing {
        c_ms: plan.c_ms,
        ..Timing::default()
    }
}

/// The node's key stays over restarts, the process' key does not.
fn keys(process: u64, number: usize) -> Keys {
    let node = [number as u8 + 1; 32];
    let mut fresh = node;
    fresh[..8].copy_from_slice(&process.to_le_bytes());
    Keys::new(fresh, node)
}

fn settings(plan: &Plan, number: usize, address: SocketAddr) -> Settings {
    let byte = number as u8 + 1;
    Settings {
        node: format!("sim{number}").into_bytes(),
        shards: plan.shards,
        listeners: vec![Listener {
            transport: Transport::Udp,
            address,
            advertise: address,
        }],
        names: vec![format!("router{number}.example.com").into_bytes()],
        keys: keys(plan.seed, number),
        owner_key: (plan.seed, 7),
        table_key: [byte; 16],
        transactions_max: plan.transactions_max,
        calls_max: plan.calls_max,
        gateways_max: GATEWAYS_MAX,
        timing: timing(plan),
        overload: router::Overload::default(),
        udp_bytes_max: 65_000,
        max_call_ms: u64::from(plan.max_call_seconds) * 1_000,
    }
}

/// T takes calls of the customer; in a row, T passes them to U and U to the vendors. In a loop, U's
/// only vendor is T.
fn spec(plan: &Plan, number: usize) -> Spec {
    let is_last = number + 1 == plan.routers;
    let mut sources = vec![Source::address(match number {
        0 => plan::CUSTOMER.ip(),
        _ => plan::ROUTER.ip(),
    })];
    if plan.is_loop && number == 0 {
        let back = if plan.routers == 1 {
            plan::ROUTER
        } else {
            plan::SECOND
        };
        sources.push(Source::address(back.ip()));
    }
    let gateways: Vec<(String, SocketAddr)> = match (is_last, plan.is_loop) {
        (true, true) => vec![("loop".to_owned(), plan::ROUTER)],
        (true, false) => (0..plan.vendors)
            .map(|n| (plan::vendor_name(n), plan::vendor(n)))
            .collect(),
        (false, _) => vec![("u".to_owned(), plan::SECOND)],
    };
    let trunk = TrunkSpec {
        sources,
        max_call_seconds: plan.max_call_seconds,
        limits: CallLimits {
            calls: plan.max_calls,
            per_second: plan.calls_per_second,
        },
        follow_redirects: plan.follows_redirects,
        ..TrunkSpec::new("customer", Source::address(plan::CUSTOMER.ip()))
    };
    let all = RouteSpec {
        prefix: "*".to_owned(),
        plan: Arc::new(plan_spec(plan, &gateways)),
    };
    let mut spec = Spec {
        listeners: vec![ListenerSpec {
            name: "udp".to_owned(),
            transport: Transport::Udp,
            address: if number == 0 {
                plan::ROUTER
            } else {
                plan::SECOND
            },
        }],
        trunks: vec![trunk],
        gateways: gateways
            .iter()
            .map(|(name, address)| gateway(plan, name, *address))
            .collect(),
        routes: vec![all],
        gateways_max: GATEWAYS_MAX,
        unknown_source: match plan.refuses_strangers {
            true => UnknownSource::Refuse,
            false => UnknownSource::Drop,
        },
        ..Spec::default()
    };
    spec.qualities = plan.quality.map(quality).into_iter().collect();
    spec.calendars = plan.hours.iter().map(calendar).collect();
    spec.caps = plan.caps.iter().zip(0..).map(cap).collect();
    if plan.has_canary {
        add_canary(&mut spec);
    }
    if is_last && !plan.is_loop {
        add_terms(plan, &mut spec);
    }
    spec
}

fn block((block, number): (&plan::Block, usize)) -> BlockSpec {
    let moment = |second: u32| Moment::at(EPOCH.0 / 1_000_000 + i64::from(second));
    BlockSpec {
        name: format!("block-{number}"),
        trunks: Vec::new(),
        gateways: block.vendor.map(plan::vendor_name).into_iter().collect(),
        prefixes: block.prefixes.clone(),
        lists: Vec::new(),
        from: moment(block.from_s),
        until: moment(block.until_s),
        words: "the plan says so".to_owned(),
    }
}

/// A cap, whose window is longer than any world.
fn cap((cap, number): (&plan::Cap, usize)) -> CapSpec {
    CapSpec {
        name: format!("cap-{number}"),
        side: match cap.is_of_vendors {
            true => CapSide::Gateways,
            false => CapSide::Trunks,
        },
        peers: Vec::new(),
        lists: Vec::new(),
        prefixes: cap.prefixes.clone(),
        apart: cap.is_apart.then_some(Apart::Peer),
        by_prefix: cap.is_apart && !cap.prefixes.is_empty(),
        rule: CapRule {
            limits: CallLimits {
                calls: cap.calls,
                per_second: None,
            },
            window_s: 31 * 86_400,
            window_calls: cap.window_calls,
            window_minutes: cap.window_minutes.or(Some(u32::MAX)),
            max_call_seconds: cap.max_call_seconds,
            only_tells: cap.only_tells,
            ..CapRule::default()
        },
    }
}

/// Bounds that vendors fall below within seconds, and come back from.
fn quality(below: plan::Below) -> QualitySpec {
    QualitySpec {
        name: "all".to_owned(),
        bounds: Bounds {
            asr_min: Some(500),
            pdd_ms_max: Some(3_000),
            short_s: 5,
            ..Bounds::default()
        },
        digits: 2,
        window_s: 32,
        sample: 3,
        trial_per_mille: 200,
        return_s: 5,
        skips: below == plan::Below::Skip,
    }
}

/// When a vendor may be tried, by its name.
fn calendar(hours: &plan::Hours) -> CalendarSpec {
    let moment = |second: u32| Moment::at(EPOCH.0 / 1_000_000 + i64::from(second));
    CalendarSpec {
        name: plan::vendor_name(hours.vendor),
        is_open: false,
        changes: vec![moment(hours.opens_s), moment(hours.closes_s)],
    }
}

/// What the customer and the vendors have agreed on: who is told what, at what price, and what is not
/// carried.
fn add_terms(plan: &Plan, spec: &mut Spec) {
    spec.blocks = plan.blocks.iter().zip(0..).map(block).collect();
    if let Some(borders) = &plan.borders {
        add_borders(borders, spec);
    }
    if !plan.prices.rows.is_empty() {
        add_decks(plan, spec);
    }
}

/// A deck for each vendor, and one of the customer's if somebody asks what it pays.
fn add_decks(plan: &Plan, spec: &mut Spec) {
    let mut rates = RatesBuilder::new();
    let mut push = |deck: usize, code: &str, price: Option<i64>| {
        let code = Code::new(code.as_bytes()).expect("a plan's codes are digits");
        let rate = Rate {
            is_blocked: price.is_none(),
            ..Rate::per_minute(Money::from_parts(price.unwrap_or(0)))
        };
        rates.push(DeckId(deck as u16), code, rate, Moment::FIRST, Moment::LAST);
    };
    for row in &plan.prices.rows {
        push(row.vendor, &row.code, row.price);
    }
    if let Some(sold) = plan.prices.sold {
        for digit in 0..=9 {
            push(plan.vendors, &digit.to_string(), Some(sold));
        }
        spec.trunks[0].deck = Some("customer".to_owned());
    }
    spec.rates = Arc::new(rates.build(Moment::FIRST).expect("each code once"));
    let names = (0..plan.vendors).map(plan::vendor_name);
    let deck = |name| DeckSpec {
        name,
        currency: Currency::parse("USD").expect("a currency"),
        worth: Worth::SAME,
    };
    spec.decks = names.chain(["customer".to_owned()]).map(deck).collect();
    for gateway in spec.gateways.iter_mut().take(plan.vendors) {
        gateway.deck = Some(gateway.name.clone());
    }
}

/// Profiles for those who are trusted and those who are not, and rules for the vendors' numbers.
fn add_borders(borders: &Borders, spec: &mut Spec) {
    let profile = |name: &str, is_trusted| {
        Arc::new(Profile {
            name: name.to_owned(),
            is_trusted,
            assert: None,
            passes: Passes {
                remote_party_id: is_trusted,
                diversion: true,
                history_info: true,
                identity: true,
            },
            headers: HeaderRules::default(),
        })
    };
    spec.profiles = vec![profile("friend", true), profile("stranger", false)];
    let name = |is_trusted: bool| if is_trusted { "friend" } else { "stranger" };
    spec.trunks[0].profile = Some(name(borders.customer).to_owned());
    let change = Change {
        strip: 2,
        prepend: "001".to_owned(),
        ..Change::default()
    };
    let rule = Rule::new("+1", Lengths::ANY, &change).expect("a rule");
    let rules = RuleSet {
        name: "abroad".to_owned(),
        rules: vec![rule],
    };
    let rules = Arc::new(rules);
    let change = Change {
        prepend: gossip::CALLER_PREFIX.to_owned(),
        ..Change::default()
    };
    let rule = Rule::new(gossip::CALLER, Lengths::ANY, &change).expect("a rule");
    let callers = Arc::new(RuleSet {
        name: "callers".to_owned(),
        rules: vec![rule],
    });
    let vendors = spec.gateways.iter_mut().zip(&borders.vendors);
    for (gateway, is_trusted) in vendors {
        gateway.profile = Some(name(*is_trusted).to_owned());
        if borders.rewrites {
            let chain = Chain::new(vec![Arc::clone(&rules)]);
            gateway.rules.called = chain.clone();
            gateway.rules.calling = Chain::new(vec![Arc::clone(&callers)]);
            gateway.rules.asserted = chain;
        }
    }
}

/// A trunk, a route and a gateway beside those under attack.
fn add_canary(spec: &mut Spec) {
    let source = Source::address(plan::CANARY.ip());
    let address = plan::vendor(plan::CANARY_VENDOR);
    spec.trunks.push(TrunkSpec::new("canary", source));
    spec.gateways.push(GatewaySpec::new("canary", address));
    spec.routes.push(RouteSpec::new("1999", &["canary"]));
}

fn plan_spec(plan: &Plan, gateways: &[(String, SocketAddr)]) -> PlanSpec {
    let advance = if plan.advance.is_empty() {
        AdvanceTable::default()
    } else {
        AdvanceTable::from_words(&plan.advance).expect("a plan advances on words that exist")
    };
    PlanSpec {
        targets: gateways
            .iter()
            .map(|(name, _)| TargetSpec {
                gateway: name.clone(),
                weight: 1,
                priority: 0,
                when: (plan.hours.iter())
                    .find(|hours| plan::vendor_name(hours.vendor) == *name)
                    .map(|hours| WhenSpec {
                        calendar: name.clone(),
                        is_open: !hours.is_inverted,
                    }),
            })
            .collect(),
        mode: match plan.order {
            plan::Order::List => Mode::Ordered,
            plan::Order::Weight => Mode::Weighted,
            plan::Order::Parallel => Mode::Parallel,
            plan::Order::Cost => Mode::Cost,
            plan::Order::Balanced => Mode::Balanced,
            plan::Order::Quality => Mode::Quality,
        },
        balance: match plan.balance {
            plan::Balance::Weighted => Balance::Weighted,
            plan::Balance::LeastCalls => Balance::LeastCalls,
            plan::Balance::Caller => Balance::Caller,
            plan::Balance::Called => Balance::Called,
            plan::Balance::CallId => Balance::CallId,
            plan::Balance::Fastest => Balance::Fastest,
        },
        quality: plan.quality.map(|_| "all".to_owned()),
        advance,
        attempts_max: usize::from(plan.attempts_max),
        ring_ms: plan.ring_ms,
        setup_ms: 0,
        margin: Margin::NO_LOSS,
        call_seconds: 60,
    }
}

fn gateway(plan: &Plan, name: &str, address: SocketAddr) -> GatewaySpec {
    GatewaySpec {
        probe: (plan.probe_ms > 0).then(|| Probe {
            interval_ms: plan.probe_ms,
            ..Probe::default()
        }),
        health: HealthRules {
            down_after: plan.down_after,
            hold_down_ms: plan.hold_down_ms,
            slow_return_ms: 0,
        },
        no_response_ms: plan.no_response_ms,
        limits: CallLimits {
            calls: plan.vendor_calls,
            per_second: None,
        },
        ..GatewaySpec::new(name, address)
    }
}

fn record(call: &cdr::Call<'_>) -> Record {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let identity = call.identity();
    Record {
        id: text(call.id),
        call_id: text(identity.call_id),
        started: call.started,
        called: text(identity.called),
        trunk: text(call.ingress_trunk),
        gateway: text(call.egress_gateway),
        ringing: call.ringing,
        answered: call.answered,
        duration_us: call.duration_us,
        status: call.status,
        q850: call.q850,
        cause: call.cause.name().to_owned(),
        hung_up: call.hung_up.name().to_owned(),
        attempts: call
            .attempts
            .iter()
            .map(|attempt| AttemptRecord {
                gateway: text(attempt.gateway),
                status: attempt.status,
                cause: attempt.cause.name().to_owned(),
                bought: attempt.bought.map(|price| price.per_minute.parts()),
            })
            .collect(),
    }
}
