//! A router in a world, its peers, and the messages that they say.
#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used)] // a test's own helpers may

pub(crate) mod script;

use std::net::SocketAddr;
use std::sync::Arc;

use base::{GatewayId, ListenerId, ShardId, Time, Transport, TrunkId};
use call::Keys;
use router::{Gauges, Limited, Listener, Router, Settings};
use shards::{Limits, Solo, StreamId, World, WorldConfig};
use transaction::Timing;

/// Where the router listens, in the order of the listeners' ids.
pub(crate) const ROUTER: &str = "192.0.2.100:5060";
pub(crate) const ROUTER_LOCAL: &str = "127.0.0.1:5080";
pub(crate) const ROUTER_V6: &str = "[2001:db8:ffff::100]:5060";
pub(crate) const UDP: ListenerId = ListenerId(0);
pub(crate) const TCP: ListenerId = ListenerId(1);
pub(crate) const UDP_LOCAL: ListenerId = ListenerId(2);
pub(crate) const UDP_V6: ListenerId = ListenerId(3);
pub(crate) const TCP_V6: ListenerId = ListenerId(4);

/// A known customer, the vendors, and somebody nobody knows.
pub(crate) const CALLER: &str = "192.0.2.1:5060";
pub(crate) const VENDOR: &str = "192.0.2.2:5060";
pub(crate) const OTHER: &str = "192.0.2.3:5060";
pub(crate) const STRANGER: &str = "203.0.113.66:5060";

pub(crate) fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// A message written with `\n` for CRLF.
pub(crate) fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// What a bench is made of. Change it, then [`Setup::build`].
pub(crate) struct Setup {
    pub(crate) spec: route::Spec,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) limits: Limits,
    pub(crate) shards: u16,
    pub(crate) is_steered: bool,
    pub(crate) transactions_max: usize,
    pub(crate) calls_max: usize,
    pub(crate) udp_bytes_max: usize,
    pub(crate) max_call_ms: u64,
    pub(crate) overload: router::Overload,
    pub(crate) keys: Keys,
    pub(crate) seed: u64,
}

impl Setup {
    /// One customer, two vendors in turn for every number, listeners for both families.
    pub(crate) fn new() -> Setup {
        let listeners = [
            (Transport::Udp, ROUTER),
            (Transport::Tcp, ROUTER),
            (Transport::Udp, ROUTER_LOCAL),
            (Transport::Udp, ROUTER_V6),
            (Transport::Tcp, ROUTER_V6),
        ];
        let listeners: Vec<Listener> = listeners
            .iter()
            .map(|&(transport, address)| Listener {
                transport,
                address: at(address),
                advertise: at(address),
            })
            .collect();
        let mut spec = route::Spec::default();
        for (number, listener) in listeners.iter().enumerate() {
            spec.listeners.push(route::ListenerSpec {
                name: format!("listener{number}"),
                transport: listener.transport,
                address: listener.address,
            });
        }
        let source = route::Source::parse("192.0.2.1").expect("a source");
        spec.trunks.push(route::TrunkSpec::new("customer", source));
        let first = route::GatewaySpec::new("first", at(VENDOR));
        let second = route::GatewaySpec::new("second", at(OTHER));
        spec.gateways.extend([first, second]);
        spec.routes
            .push(route::RouteSpec::new("44", &["first", "second"]));
        spec.routes
            .push(route::RouteSpec::new("*", &["first", "second"]));
        Setup {
            spec,
            listeners,
            limits: Limits {
                packets: [2_048, 4_096, 1_024, 256, 64, 32],
                timers: 16_384,
                usual_delays_ms: transaction::Timing::default().usual_ms(),
                ..Limits::small()
            },
            shards: 1,
            is_steered: false,
            transactions_max: 1_000,
            calls_max: 1_000,
            udp_bytes_max: 65_535,
            max_call_ms: 600_000,
            keys: Keys::new([1; 32], [2; 32]),
            overload: router::Overload::default(),
            seed: 7,
        }
    }

    /// Has every call priced: twenty vendors with decks, a customer's deck, a list, limits that are never
    /// reached, and the cheapest first. The first two vendors are the cheapest.
    pub(crate) fn wholesale(mut self) -> Setup {
        const VENDORS: usize = 20;
        let mut rates = route::RatesBuilder::new();
        let mut push = |deck: usize, code: &str, parts: i64| {
            let code = route::Code::new(code.as_bytes()).expect("digits");
            let rate = route::Rate::per_minute(base::Money::from_parts(parts));
            let (from, until) = (route::Moment::FIRST, route::Moment::LAST);
            rates.push(route::DeckId(deck as u16), code, rate, from, until);
        };
        for vendor in 0..=VENDORS {
            // Some know the city only, or its mobile networks; the customer's deck knows all.
            let from = if vendor == VENDORS { 0 } else { vendor / 2 % 3 };
            for code in ["1", "44", "441", "44123", "447", "49"].iter().skip(from) {
                push(vendor, code, 1_000_000 + 1_000 * vendor as i64);
            }
        }
        self.spec.rates = Arc::new(rates.build(route::Moment::FIRST).expect("each once"));
        let deck = |name: String| route::DeckSpec {
            name,
            currency: route::Currency::parse("USD").expect("letters"),
            worth: route::Worth::SAME,
        };
        let names = (0..=VENDORS).map(|vendor| format!("deck{vendor}"));
        self.spec.decks = names.map(deck).collect();
        for vendor in self.spec.gateways.len()..VENDORS {
            let address = at(&format!("198.51.100.{vendor}:5060"));
            let name = format!("vendor{vendor}");
            self.spec
                .gateways
                .push(route::GatewaySpec::new(&name, address));
        }
        let limits = route::CallLimits {
            calls: Some(1_000_000),
            per_second: Some(1_000_000),
        };
        for (vendor, gateway) in self.spec.gateways.iter_mut().enumerate() {
            gateway.deck = Some(format!("deck{vendor}"));
            gateway.limits = limits;
        }
        let mut blocked = route::NumbersBuilder::new();
        for digits in ["881", "4420999", "2"] {
            let begins = route::Named::Beginning;
            blocked.add(digits.as_bytes(), begins).expect("digits");
        }
        self.spec.lists.push(route::ListSpec {
            name: "blocked".to_owned(),
            numbers: Arc::new(blocked.build()),
        });
        self.spec.screen.block_called.push("blocked".to_owned());
        self.spec.screen.block_calling.push("blocked".to_owned());
        let trunk = &mut self.spec.trunks[0];
        (trunk.deck, trunk.limits) = (Some(format!("deck{VENDORS}")), limits);
        let names: Vec<String> = self
            .spec
            .gateways
            .iter()
            .map(|it| it.name.clone())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = route::PlanSpec {
            mode: route::Mode::Cost,
            ..route::PlanSpec::ordered(&names)
        };
        let plan = Arc::new(plan);
        for route in &mut self.spec.routes {
            route.plan = Arc::clone(&plan);
        }
        self
    }

    /// As [`Setup::wholesale`], with all else that a route may ask: quality, hours, and those behind the
    /// first two side by side.
    pub(crate) fn with_policy(self, balance: route::Balance) -> Setup {
        let mut setup = self.wholesale();
        setup.spec.qualities.push(route::QualitySpec {
            name: "all".to_owned(),
            bounds: route::Bounds {
                asr_min: Some(1),
                ..route::Bounds::default()
            },
            digits: 3,
            window_s: 900,
            sample: 50,
            trial_per_mille: 50,
            return_s: 300,
            skips: false,
        });
        setup.spec.calendars.push(route::CalendarSpec {
            name: "always".to_owned(),
            is_open: true,
            changes: Vec::new(),
        });
        let mut plan = (*setup.spec.routes[0].plan).clone();
        plan.mode = route::Mode::Balanced;
        plan.balance = balance;
        plan.quality = Some("all".to_owned());
        for (target, priority) in plan.targets.iter_mut().zip(0_u16..) {
            target.priority = priority.min(2);
            target.when = Some(route::WhenSpec {
                calendar: "always".to_owned(),
                is_open: true,
            });
        }
        let plan = Arc::new(plan);
        for route in &mut setup.spec.routes {
            route.plan = Arc::clone(&plan);
        }
        setup
    }

    /// Has every call counted by three caps that are never reached, one of them at the vendors.
    #[allow(dead_code)] // not every test that uses this file has caps
    pub(crate) fn capped(mut self) -> Setup {
        let cap = |name: &str, side, prefixes: &[&str]| route::CapSpec {
            name: name.to_owned(),
            side,
            peers: Vec::new(),
            lists: Vec::new(),
            prefixes: prefixes.iter().map(|it| (*it).to_owned()).collect(),
            apart: Some(route::Apart::Peer),
            by_prefix: false,
            rule: route::CapRule {
                limits: route::CallLimits {
                    calls: Some(1_000_000),
                    per_second: Some(1_000_000),
                },
                window_calls: Some(u32::MAX),
                window_cost: base::Money::parse("1000000000"),
                ..route::CapRule::default()
            },
        };
        self.spec.caps = vec![
            cap("all", route::CapSide::Trunks, &[]),
            cap("some", route::CapSide::Trunks, &["44", "1900"]),
            cap("vendors", route::CapSide::Gateways, &[]),
        ];
        self
    }

    /// Has every message cross borders: the trunk and the gateways have profiles, headers are denied
    /// and set, identities asserted, and numbers rewritten on both sides.
    #[allow(dead_code)] // not every test that uses this file has borders
    pub(crate) fn bordered(mut self) -> Setup {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let profile = |name: &str, is_trusted| route::Profile {
            name: name.to_owned(),
            is_trusted,
            assert: Some(route::Assert::From),
            passes: route::Passes {
                remote_party_id: is_trusted,
                diversion: true,
                history_info: true,
                identity: true,
            },
            headers: route::HeaderRules {
                deny: route::HeaderNames::new(&["X-*".to_owned(), "Subject".to_owned()]),
                allow: None,
                set_from: vec![header("X-Customer", "17")],
                set_to: vec![header("User-Agent", "trunkline")],
            },
        };
        self.spec.profiles = vec![
            Arc::new(profile("stranger", false)),
            Arc::new(profile("friend", true)),
        ];
        let chain = |begins: &str, prepend: &str| {
            let change = route::translation::Change {
                strip: begins.len(),
                prepend: prepend.to_owned(),
                ..route::translation::Change::default()
            };
            let rule =
                route::translation::Rule::new(begins, route::translation::Lengths::ANY, &change);
            route::Chain::new(vec![Arc::new(route::translation::RuleSet {
                name: "rules".to_owned(),
                rules: vec![rule.expect("a rule")],
            })])
        };
        let rules = |begins: &str, prepend: &str| route::NumberRules {
            called: chain(begins, prepend),
            calling: chain(begins, prepend),
            asserted: chain(begins, prepend),
            diversion: chain(begins, prepend),
        };
        for trunk in &mut self.spec.trunks {
            trunk.profile = Some("stranger".to_owned());
            trunk.rules = rules("+", "+");
        }
        for gateway in &mut self.spec.gateways {
            gateway.profile = Some("friend".to_owned());
            gateway.keep_parameters = vec!["*".to_owned()];
            gateway.rules = rules("+", "00");
        }
        self
    }

    /// Takes every address of the world for the customer's.
    pub(crate) fn everybody_is_known(mut self) -> Setup {
        let sources = ["0.0.0.0/0", "::/0"];
        self.spec.trunks[0].sources = sources
            .iter()
            .map(|text| route::Source::parse(text).expect("a source"))
            .collect();
        self
    }

    /// Vendors that are silent stay in service: what is sent at the router is no word of theirs.
    pub(crate) fn nobody_goes_down(mut self) -> Setup {
        for gateway in &mut self.spec.gateways {
            gateway.health.down_after = 0;
        }
        self
    }

    pub(crate) fn build(self) -> Bench {
        let gauges = Arc::new(self.gauges());
        let mut make = self.maker(&gauges);
        Bench {
            world: World::new(self.config(), &mut make),
            sent: Vec::new(),
            calls: 0,
            gauges,
        }
    }

    /// One router without a world.
    pub(crate) fn solo(self) -> Solo<Router> {
        let router = self.maker(&Arc::new(self.gauges()))(ShardId(0));
        Solo::new(self.config(), router)
    }

    /// The router of the first shard, without anything around it.
    pub(crate) fn router(&self) -> Router {
        self.maker(&Arc::new(self.gauges()))(ShardId(0))
    }

    fn gauges(&self) -> Gauges {
        Gauges::new(self.shards, 16, 32)
    }

    fn config(&self) -> WorldConfig {
        let listeners = self.listeners.iter();
        WorldConfig {
            seed: self.seed,
            shards: self.shards,
            is_steered: self.is_steered,
            listeners: listeners
                .map(|listener| shards::ListenerSpec {
                    transport: listener.transport,
                    address: listener.address,
                })
                .collect(),
            limits: self.limits.clone(),
            handler_counters: router::COUNTERS,
            handler_histograms: router::HISTOGRAMS,
            handler_dynamic: router::dynamic_cells(32, 16),
            ..WorldConfig::default()
        }
    }

    /// What its routers are told.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            node: b"test".to_vec(),
            shards: self.shards,
            listeners: self.listeners.clone(),
            names: Vec::new(),
            keys: self.keys,
            owner_key: (3, 4),
            table_key: [5; 16],
            transactions_max: self.transactions_max,
            calls_max: self.calls_max,
            gateways_max: 32,
            timing: Timing::default(),
            overload: self.overload,
            udp_bytes_max: self.udp_bytes_max,
            max_call_ms: self.max_call_ms,
        }
    }

    fn maker(&self, gauges: &Arc<Gauges>) -> impl FnMut(ShardId) -> Router + use<> {
        let snapshot = Arc::new(route::build(&self.spec, 1, None).expect("a world"));
        let settings = Arc::new(self.settings());
        let gauges = Arc::clone(gauges);
        move |shard| {
            Router::new(
                Arc::clone(&settings),
                shard,
                Arc::clone(&snapshot),
                Arc::clone(&gauges),
            )
        }
    }
}

/// One thing that the router sent.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: ListenerId,
    pub(crate) transport: Transport,
    pub(crate) stream: Option<StreamId>,
    pub(crate) close: bool,
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "to {} by {}: {:?}",
            self.peer,
            self.transport,
            self.text()
        )
    }
}

impl Packet {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn first_line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// The status of a response; `None` for a request.
    pub(crate) fn status(&self) -> Option<u16> {
        let rest = self.bytes.strip_prefix(b"SIP/2.0 ")?;
        std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
    }

    pub(crate) fn is_request(&self) -> bool {
        !self.close && !self.bytes.is_empty() && self.status().is_none()
    }
}

/// A router in its world, and what it has sent since the last look.
pub(crate) struct Bench {
    pub(crate) world: World<Router>,
    pub(crate) sent: Vec<Packet>,
    calls: u64,
    gauges: Arc<Gauges>,
}

impl Bench {
    /// A datagram comes to the router's own address, of the peer's family.
    pub(crate) fn receive(&mut self, from: &str, bytes: &[u8]) {
        let listener = if at(from).is_ipv4() { UDP } else { UDP_V6 };
        self.receive_at(listener, from, bytes);
    }

    pub(crate) fn receive_at(&mut self, listener: ListenerId, from: &str, bytes: &[u8]) {
        let now = self.world.now();
        self.world.datagram(now, listener, at(from), bytes);
        self.run(now);
    }

    /// A message written with `\n` comes.
    pub(crate) fn hear(&mut self, from: &str, text: &str) {
        self.receive(from, &crlf(text));
    }

    pub(crate) fn connect(&mut self, listener: ListenerId, from: &str) -> StreamId {
        let now = self.world.now();
        let stream = self.world.stream_open(now, listener, at(from));
        self.run(now);
        stream
    }

    pub(crate) fn stream(&mut self, stream: StreamId, bytes: &[u8]) {
        let now = self.world.now();
        self.world.stream_bytes(now, stream, bytes);
        self.run(now);
    }

    /// Runs until `until`; hand-overs between shards take their time within it.
    pub(crate) fn run(&mut self, until: Time) {
        let sent = &mut self.sent;
        self.world.run_until(until, &mut |out| {
            sent.push(Packet {
                peer: out.flow.peer,
                listener: out.flow.listener,
                transport: out.flow.transport,
                stream: out.stream,
                close: out.close,
                bytes: out.bytes.to_vec(),
            });
        });
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run(self.world.now().plus_millis(ms));
    }

    pub(crate) fn take(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.sent)
    }

    /// What was sent since the last look: `address: first line`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |packet: &Packet| format!("{}: {}", packet.peer, packet.first_line());
        self.sent.iter().map(line).collect()
    }

    pub(crate) fn records(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for (_, bytes) in self.world.records() {
            let decoded = cdr::decode(&bytes).expect("our own frame");
            let line = cdr::line(&decoded.call());
            all.push(String::from_utf8(line).expect("JSON is UTF-8"));
        }
        all
    }

    /// A counter of the router, over all shards.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let at = router::COUNTERS
            .iter()
            .position(|def| def.name == name)
            .unwrap_or_else(|| panic!("no counter is called {name}"));
        (0..self.world.shards())
            .map(|shard| self.world.stats(ShardId(shard)).handler.get(at))
            .sum()
    }

    /// The counters that are not zero, to be printed when a test fails.
    pub(crate) fn counters(&self) -> String {
        let mut text = String::new();
        for def in router::COUNTERS {
            let value = self.counter(def.name);
            if value > 0 {
                text.push_str(&format!("{}={value} ", def.name));
            }
        }
        text
    }

    /// Lets every timer and the longest call end, and finds nothing left.
    pub(crate) fn ends_empty(&mut self) {
        // Housekeeping alone runs for most of this time: it is cheap.
        self.run_ms(700_000);
        for shard in (0..self.world.shards()).map(ShardId) {
            let held = self.world.handler(shard).held();
            assert_eq!(held, [0; 4], "held on {shard:?}; {}", self.counters());
            let kept = self.world.handler(shard).kept();
            assert_eq!(kept, [0; 2], "flows and names of {shard:?}");
            assert_eq!(self.world.live_packets(shard), 0, "packets of {shard:?}");
            assert_eq!(self.world.armed_timers(shard), 0, "timers of {shard:?}");
        }
        assert_eq!(self.counter("timers_full"), 0);
        for id in 0..16 {
            let (trunk, gateway) = (Limited::Trunk(TrunkId(id)), Limited::Gateway(GatewayId(id)));
            let channels = [trunk, gateway].map(|whose| self.gauges.in_use(whose));
            assert_eq!(channels, [0; 2], "channels of trunk and gateway {id}");
        }
        self.counters_add_up();
    }

    /// Every message that came is explained: what it was, and what became of it.
    pub(crate) fn counters_add_up(&self) {
        let sum = |names: &[&str]| -> u64 { names.iter().map(|name| self.counter(name)).sum() };
        let runtime = |name: &str| -> u64 {
            let at = shards::COUNTERS.iter().position(|def| def.name == name);
            let at = at.unwrap_or_else(|| panic!("no runtime counter is called {name}"));
            (0..self.world.shards())
                .map(|shard| self.world.stats(ShardId(shard)).runtime.get(at))
                .sum()
        };
        assert_eq!(
            sum(&["requests", "responses", "malformed", "not_sip"]),
            runtime("datagrams_in") + runtime("stream_messages_in") + runtime("frames_bad")
                - runtime("inbox_drops"),
            "messages: {}",
            self.counters()
        );
        assert_eq!(
            sum(&[
                "requests_taken",
                "request_retransmissions",
                "requests_refused",
                "requests_unanswered",
                "requests_answered_here",
                "cancels",
                "acks_passed",
                "acks_absorbed",
                "acks_dropped",
            ]),
            self.counter("requests"),
            "requests: {}",
            self.counters()
        );
        assert_eq!(
            sum(&["responses_matched", "stray_responses", "foreign_responses"]),
            self.counter("responses"),
            "responses: {}",
            self.counters()
        );
        // A call that forked has a record for each dialog that was confirmed.
        let calls = sum(&["calls_answered", "calls_failed"]);
        assert!(self.counter("records") >= calls, "{}", self.counters());
    }

    /// A whole call of the customer, from INVITE to the 200 for BYE: every message of it arrives.
    /// Returns what was said, in order, as the router received it.
    pub(crate) fn call(&mut self) -> Vec<(&'static str, Vec<u8>)> {
        let name = format!("canary{}", self.calls);
        self.calls += 1;
        let mut dialog = Dialog::new(&name);
        let mut said = Vec::new();
        let mut say = |bench: &mut Bench, from: &'static str, text: String, wants: &[&str]| {
            let bytes = crlf(&text);
            let before = bench.sent.len();
            bench.receive(from, &bytes);
            bench.run_ms(u64::from(bench.world.shards()) - 1);
            said.push((from, bytes));
            let mine = format!("{name}@");
            let new: Vec<Packet> = bench.sent[before..]
                .iter()
                .filter(|packet| packet.text().contains(&mine))
                .cloned()
                .collect();
            let lines: Vec<String> = new.iter().map(Packet::first_line).collect();
            assert_eq!(lines.len(), wants.len(), "{name}: {lines:?} for {text}");
            for (line, want) in lines.iter().zip(wants) {
                assert!(line.starts_with(want), "{name}: {line}, not {want}");
            }
            new.last().expect("something was wanted").text()
        };
        let invite = dialog.invite();
        let forwarded = say(self, CALLER, invite, &["SIP/2.0 100 ", "INVITE "]);
        let ringing = respond(&forwarded, "180 Ringing", "callee");
        say(self, VENDOR, ringing, &["SIP/2.0 180 "]);
        let answer = respond(&forwarded, "200 OK", "callee");
        let answered = say(self, VENDOR, answer, &["SIP/2.0 200 "]);
        dialog.learn(&answered);
        let ack = dialog.request("ACK", 1, "ack");
        say(self, CALLER, ack, &["ACK "]);
        let bye = dialog.request("BYE", 2, "bye");
        let forwarded = say(self, CALLER, bye, &["BYE "]);
        let done = respond(&forwarded, "200 OK", "callee");
        say(self, VENDOR, done, &["SIP/2.0 200 "]);
        said
    }

    /// Sets a call up to its ACK and returns its dialog.
    pub(crate) fn answered_call(&mut self, name: &str) -> Dialog {
        let mut dialog = Dialog::new(name);
        self.take();
        self.hear(CALLER, &dialog.invite());
        let forwarded = self.take().last().expect("it is forwarded").text();
        self.hear(VENDOR, &respond(&forwarded, "200 OK", "callee"));
        let answered = self.take();
        assert_eq!(answered.len(), 1, "{answered:?}");
        dialog.learn(&answered[0].text());
        dialog.forwarded = forwarded;
        self.hear(CALLER, &dialog.request("ACK", 1, "ack"));
        let acked = self.take();
        assert_eq!(acked.len(), 1, "{acked:?}");
        assert!(acked[0].text().starts_with("ACK sip:b@192.0.2.2"));
        dialog
    }

    /// Hangs a call of [`Bench::answered_call`] up, and sees its one record.
    pub(crate) fn hang_up(&mut self, dialog: &Dialog) {
        self.take();
        self.hear(CALLER, &dialog.request("BYE", 100, "bye"));
        let bye = self.take();
        assert_eq!(bye.len(), 1, "{bye:?}");
        self.hear(VENDOR, &respond(&bye[0].text(), "200 OK", "callee"));
        let done = self.take();
        assert_eq!(done.len(), 1, "{done:?}");
        assert_eq!((done[0].status(), done[0].peer), (Some(200), at(CALLER)));
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        assert!(records[0].contains("caller_hung_up"), "{}", records[0]);
    }
}

/// A call as its caller sees it.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) name: String,
    /// The Route lines that our Record-Route makes.
    pub(crate) route: String,
    /// The INVITE as the vendor got it.
    pub(crate) forwarded: String,
}

impl Dialog {
    pub(crate) fn new(name: &str) -> Dialog {
        Dialog {
            name: name.to_owned(),
            route: String::new(),
            forwarded: String::new(),
        }
    }

    pub(crate) fn invite(&self) -> String {
        let name = &self.name;
        format!(
            "INVITE sip:+4412345@192.0.2.100 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{name}invite
From: <sip:+331@192.0.2.1>;tag=caller
To: <sip:+4412345@192.0.2.100>
Call-ID: {name}@192.0.2.1
CSeq: 1 INVITE
Contact: <sip:a@192.0.2.1:5060>
Max-Forwards: 70
Content-Length: 0

"
        )
    }

    pub(crate) fn cancel(&self) -> String {
        self.invite()
            .replace("INVITE sip", "CANCEL sip")
            .replace("1 INVITE", "1 CANCEL")
    }

    /// Reads the route set from the answer.
    pub(crate) fn learn(&mut self, answer: &str) {
        self.route = headers(answer, &["Record-Route"]).replace("Record-Route", "Route");
    }

    /// A request of the caller inside the dialog.
    pub(crate) fn request(&self, method: &str, cseq: u32, branch: &str) -> String {
        let Dialog { name, route, .. } = self;
        format!(
            "{method} sip:b@192.0.2.2:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{name}{branch}
{route}From: <sip:+331@192.0.2.1>;tag=caller
To: <sip:+4412345@192.0.2.100>;tag=callee
Call-ID: {name}@192.0.2.1
CSeq: {cseq} {method}
Contact: <sip:a@192.0.2.1:5060>
Max-Forwards: 70
Content-Length: 0

"
        )
    }
}

/// The headers of `text` with these names, in order, with `\n` at their ends.
pub(crate) fn headers(text: &str, names: &[&str]) -> String {
    let is_wanted = |line: &&str| {
        names
            .iter()
            .any(|name| line.starts_with(&format!("{name}:")))
    };
    text.lines()
        .filter(is_wanted)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// What a vendor answers.
pub(crate) fn respond(request: &str, status: &str, to_tag: &str) -> String {
    let copied = headers(request, &["Via", "From", "Call-ID", "CSeq", "Record-Route"]);
    let to = headers(request, &["To"]);
    let to = if to.contains("tag=") {
        to
    } else {
        format!("{};tag={to_tag}\n", to.trim_end())
    };
    format!("SIP/2.0 {status}\n{copied}{to}Contact: <sip:b@192.0.2.2:5060>\nContent-Length: 0\n\n")
}

/// No bare CR, LF or NUL in the header section, but for a NUL in a quoted pair (RFC 4475 §3.1.1.2).
pub(crate) fn assert_clean(name: &str, message: &[u8]) {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("{name}: sent without an empty line"));
    let section = &message[..end + 4];
    for (at, &octet) in section.iter().enumerate() {
        let is_clean = match octet {
            b'\r' => section[at + 1] == b'\n',
            b'\n' => section[at - 1] == b'\r',
            0 => section[at - 1] == b'\\',
            _ => true,
        };
        assert!(is_clean, "{name}: octet {octet} at {at} was sent");
    }
}
