//! Gateways that are given by a host name: every address that the name has is a gateway of its own, and
//! all of them stand side by side.
//!
//! Names are looked up when a configuration is read, by the system's resolver, and not again until the
//! next reload. One that has no address then keeps those that it had; a node does not start without.
//!
//! A gateway `beta` with two addresses becomes `beta@192.0.2.1` and `beta@192.0.2.2`, each with health and
//! counters of its own. Whoever names `beta` means both: routes share its calls among them, lists of
//! excluded gateways exclude both, and limits are kept by a cap on both together.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use config::Config;
use route::{
    Balance, CallLimits, CapRule, CapSide, CapSpec, GatewaySpec, ListenerSpec, Mode, PlanSpec,
    Spec, TargetSpec,
};

/// Addresses that are taken of a name; of more, the first in their order.
const ADDRESSES_MAX: usize = 16;
/// Names that are looked up at the same time.
const AT_ONCE: usize = 16;

/// The gateways of a configuration that are given by a name, with the addresses of these.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosts(Vec<Host>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Host {
    gateway: String,
    name: String,
    addresses: Vec<SocketAddr>,
    /// Why these are addresses that the name had before.
    stale: Option<String>,
}

impl Hosts {
    /// Looks up the names that gateways have. What cannot be found stays as `previous` has it.
    ///
    /// # Errors
    /// Names without any address, a message each.
    pub fn resolve(config: &Config, previous: Option<&Hosts>) -> Result<Hosts, Vec<String>> {
        let wanted = config.gateways.iter();
        let wanted: Vec<(&str, &str, u16)> = wanted
            .filter_map(|it| {
                it.host
                    .as_ref()
                    .map(|(host, port)| (&*it.name, &**host, *port))
            })
            .collect();
        let (mut hosts, mut errors) = (Vec::new(), Vec::new());
        for some in wanted.chunks(AT_ONCE) {
            for (&(gateway, name, _), found) in some.iter().zip(look_up(some)) {
                match Host::new(gateway, name, found, previous) {
                    Ok(host) => hosts.push(host),
                    Err(why) => errors.push(why),
                }
            }
        }
        match errors.is_empty() {
            true => Ok(Hosts(hosts)),
            false => Err(errors),
        }
    }

    /// Puts the addresses in the place of the names.
    pub(crate) fn spread(&self, spec: &mut Spec) {
        if self.0.is_empty() {
            return;
        }
        let members = self.spread_gateways(spec);
        let all = |names: &mut Vec<String>| {
            let named = std::mem::take(names).into_iter();
            *names = named
                .flat_map(|name| members.get(&name).cloned().unwrap_or_else(|| vec![name]))
                .collect();
        };
        for trunk in &mut spec.trunks {
            all(&mut trunk.exclude);
            all(&mut trunk.only);
        }
        let of_gateways = spec.caps.iter_mut();
        for cap in of_gateways.filter(|cap| cap.side == CapSide::Gateways) {
            all(&mut cap.peers);
        }
        let mut plans: HashMap<*const PlanSpec, Arc<PlanSpec>> = HashMap::new();
        for route in &mut spec.routes {
            let plan = plans.entry(Arc::as_ptr(&route.plan));
            let plan = plan.or_insert_with(|| spread_plan(&route.plan, &members));
            route.plan = Arc::clone(plan);
        }
    }

    /// A gateway for each address. Returns by name which those are.
    fn spread_gateways(&self, spec: &mut Spec) -> HashMap<String, Vec<String>> {
        let mut members: HashMap<String, Vec<String>> = HashMap::new();
        let before = std::mem::take(&mut spec.gateways);
        for gateway in before {
            let host = self.0.iter().find(|host| host.gateway == gateway.name);
            let Some(host) = host else {
                spec.gateways.push(gateway);
                continue;
            };
            let reached = host.addresses.iter();
            let reached: Vec<GatewaySpec> = reached
                .filter(|address| is_reached(&gateway, **address, &spec.listeners))
                .map(|&address| member(&gateway, address))
                .collect();
            if reached.is_empty() {
                // Whoever builds the world says that no listener reaches it.
                let first = host.addresses.first().copied();
                spec.gateways.push(GatewaySpec {
                    address: first.unwrap_or(gateway.address),
                    ..gateway
                });
                continue;
            }
            let names: Vec<String> = reached.iter().map(|it| it.name.clone()).collect();
            if gateway.limits != CallLimits::default() {
                spec.caps.push(limit(&gateway, &names));
            }
            members.insert(gateway.name, names);
            spec.gateways.extend(reached);
        }
        members
    }

    /// In words, which addresses names have that they had not, and which names could not be looked up.
    pub(crate) fn changes_from(&self, old: &Hosts) -> Vec<String> {
        let mut told = Vec::new();
        for host in &self.0 {
            let Host {
                gateway,
                name,
                addresses,
                stale,
            } = host;
            if let Some(why) = stale {
                told.push(format!(
                    "gateway `{gateway}`: `{name}` cannot be looked up ({why}); it keeps its addresses"
                ));
            }
            let before = old.0.iter().find(|it| it.gateway == *gateway);
            if before.is_none_or(|before| before.addresses != *addresses) {
                let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                told.push(format!(
                    "gateway `{gateway}`: `{name}` is {}",
                    list.join(", ")
                ));
            }
        }
        told
    }
}

impl Host {
    fn new(
        gateway: &str,
        name: &str,
        found: Result<Vec<SocketAddr>, String>,
        previous: Option<&Hosts>,
    ) -> Result<Host, String> {
        let host = |addresses, stale| Host {
            gateway: gateway.to_owned(),
            name: name.to_owned(),
            addresses,
            stale,
        };
        let why = match found {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(ADDRESSES_MAX);
                return Ok(host(addresses, None));
            }
            Err(why) => why,
        };
        let mut before = previous.into_iter().flat_map(|it| &it.0);
        match before.find(|it| it.gateway == gateway && it.name == name) {
            Some(before) => Ok(host(before.addresses.clone(), Some(why))),
            None => Err(format!(
                "gateway `{gateway}`: the name `{name}` has no address: {why}; see to the resolver, or write an address"
            )),
        }
    }
}

/// The addresses of each of these names. They are asked side by side: one may take the resolver long.
fn look_up(names: &[(&str, &str, u16)]) -> Vec<Result<Vec<SocketAddr>, String>> {
    let one = |host: &str, port: u16| -> Result<Vec<SocketAddr>, String> {
        let found = (host, port).to_socket_addrs();
        let found: Vec<SocketAddr> = found.map_err(|error| error.to_string())?.collect();
        match found.is_empty() {
            true => Err("it has none".to_owned()),
            false => Ok(found),
        }
    };
    thread::scope(|scope| {
        let asked = names.iter();
        let asked: Vec<_> = asked
            .map(|&(_, host, port)| scope.spawn(move || one(host, port)))
            .collect();
        let answers = asked.into_iter();
        answers
            .map(|asked| {
                asked
                    .join()
                    .unwrap_or_else(|_| Err("the lookup failed".to_owned()))
            })
            .collect()
    })
}

fn is_reached(gateway: &GatewaySpec, address: SocketAddr, listeners: &[ListenerSpec]) -> bool {
    let is_good = !address.ip().is_unspecified() && !address.ip().is_multicast();
    let fits = |listener: &ListenerSpec| {
        listener.transport == gateway.transport
            && listener.address.is_ipv4() == address.is_ipv4()
            && gateway
                .listener
                .as_ref()
                .is_none_or(|name| *name == listener.name)
    };
    is_good && listeners.iter().any(fits)
}

/// The gateway at one of its addresses. It keeps its name while that address is one of it.
fn member(gateway: &GatewaySpec, address: SocketAddr) -> GatewaySpec {
    let ip: IpAddr = address.ip().to_canonical();
    GatewaySpec {
        name: format!("{}@{ip}", gateway.name),
        address: SocketAddr::new(ip, address.port()),
        limits: CallLimits::default(),
        ..gateway.clone()
    }
}

/// What all addresses of a gateway may have together.
fn limit(gateway: &GatewaySpec, members: &[String]) -> CapSpec {
    CapSpec {
        // No cap of a configuration has a colon in its name.
        name: format!("gateway:{}", gateway.name),
        side: CapSide::Gateways,
        peers: members.to_vec(),
        lists: Vec::new(),
        prefixes: Vec::new(),
        apart: None,
        by_prefix: false,
        rule: CapRule {
            limits: gateway.limits,
            tell_per_mille: 1_000,
            ..CapRule::default()
        },
    }
}

/// The plan with all addresses of the gateways that it names. They share what the gateway would get;
/// in an ordered plan they take turns in its place.
fn spread_plan(plan: &Arc<PlanSpec>, members: &HashMap<String, Vec<String>>) -> Arc<PlanSpec> {
    let of = |target: &TargetSpec| members.get(&target.gateway);
    if !plan.targets.iter().any(|target| of(target).is_some()) {
        return Arc::clone(plan);
    }
    let counts = plan
        .targets
        .iter()
        .filter_map(|target| of(target).map(Vec::len));
    let whole = counts.fold(1, least_common_multiple);
    // One address each: nobody takes turns.
    let is_ordered = plan.mode == Mode::Ordered && whole > 1;
    let mut targets = Vec::new();
    for (target, place) in plan.targets.iter().zip(0..) {
        let priority = if is_ordered { place } else { target.priority };
        let all = of(target).cloned();
        let all = all.unwrap_or_else(|| vec![target.gateway.clone()]);
        let weight = target.weight.saturating_mul((whole / all.len()) as u32);
        // All at once is meant for different gateways, not for the addresses of one.
        let most = if plan.mode == Mode::Parallel {
            1
        } else {
            all.len()
        };
        targets.extend(all.into_iter().take(most).map(|gateway| TargetSpec {
            gateway,
            weight,
            priority,
            when: target.when.clone(),
        }));
    }
    let (mode, balance) = match is_ordered {
        true => (Mode::Balanced, Balance::Weighted),
        false => (plan.mode, plan.balance),
    };
    Arc::new(PlanSpec {
        targets,
        mode,
        balance,
        ..PlanSpec::clone(plan)
    })
}

fn least_common_multiple(one: usize, other: usize) -> usize {
    let (mut a, mut b) = (one, other);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    one / a.max(1) * other
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Transport;
    use route::{RouteSpec, Source, TrunkSpec};

    fn hosts(addresses: &[&str]) -> Hosts {
        let found = addresses.iter().map(|it| it.parse().unwrap()).collect();
        Hosts(vec![
            Host::new("beta", "sip.beta.example", Ok(found), None).unwrap(),
        ])
    }

    fn spec(plan: PlanSpec) -> Spec {
        let at = |address: &str| address.parse().unwrap();
        let source = Source::parse("203.0.113.0/24").unwrap();
        Spec {
            listeners: vec![ListenerSpec {
                name: "udp".to_owned(),
                transport: Transport::Udp,
                address: at("198.51.100.1:5060"),
            }],
            trunks: vec![TrunkSpec {
                exclude: vec!["beta".to_owned()],
                ..TrunkSpec::new("customer", source)
            }],
            gateways: vec![
                GatewaySpec::new("alpha", at("192.0.2.9:5060")),
                GatewaySpec {
                    limits: CallLimits {
                        calls: Some(7),
                        per_second: None,
                    },
                    domain: Some("sip.beta.example".to_owned()),
                    ..GatewaySpec::new("beta", at("0.0.0.0:5060"))
                },
            ],
            routes: vec![RouteSpec {
                prefix: "49".to_owned(),
                plan: Arc::new(plan),
            }],
            ..Spec::default()
        }
    }

    const TWO: [&str; 4] = [
        "192.0.2.2:5061",
        "192.0.2.1:5061",
        "[2001:db8::1]:5061",
        "192.0.2.1:5061",
    ];

    #[test]
    fn a_name_is_all_its_addresses() {
        let mut spec = spec(PlanSpec::ordered(&["beta", "alpha"]));
        hosts(&TWO).spread(&mut spec);
        let gateways = spec.gateways.iter();
        let gateways: Vec<String> = gateways
            .map(|it| format!("{} {}", it.name, it.address))
            .collect();
        let want = [
            "alpha 192.0.2.9:5060",
            "beta@192.0.2.1 192.0.2.1:5061",
            "beta@192.0.2.2 192.0.2.2:5061",
        ];
        assert_eq!(
            gateways, want,
            "those that no listener reaches are left out"
        );
        assert_eq!(spec.gateways[1].domain.as_deref(), Some("sip.beta.example"));
        assert_eq!(spec.trunks[0].exclude, ["beta@192.0.2.1", "beta@192.0.2.2"]);
        let plan = &spec.routes[0].plan;
        let targets = plan.targets.iter();
        let targets: Vec<_> = targets
            .map(|it| (&*it.gateway, it.weight, it.priority))
            .collect();
        assert_eq!(plan.mode, Mode::Balanced);
        assert_eq!(
            targets,
            [
                ("beta@192.0.2.1", 1, 0),
                ("beta@192.0.2.2", 1, 0),
                ("alpha", 2, 1)
            ]
        );
        // Its limit is one for both.
        let world = route::build(&spec, 1, None).expect("a world");
        let caps = |name: &str| {
            let id = world.gateway_named(name).expect(name).id;
            let caps = world.caps_of_gateway(id, b"49");
            caps.map(|id| (world.cap_name(id), world.cap(id).unwrap().limits.calls))
                .collect::<Vec<_>>()
        };
        assert_eq!(caps("beta@192.0.2.1"), [("gateway:beta", Some(7))]);
        assert_eq!(caps("beta@192.0.2.2"), caps("beta@192.0.2.1"));
        assert_eq!(caps("alpha"), []);
    }

    #[test]
    fn shares_are_those_of_the_gateway() {
        let mut plan = PlanSpec::ordered(&["beta", "alpha"]);
        plan.mode = Mode::Weighted;
        (plan.targets[0].weight, plan.targets[1].weight) = (3, 5);
        let mut weighted = spec(plan.clone());
        hosts(&TWO).spread(&mut weighted);
        let weights = |spec: &Spec| -> Vec<u32> {
            spec.routes[0]
                .plan
                .targets
                .iter()
                .map(|it| it.weight)
                .collect()
        };
        assert_eq!(weights(&weighted), [3, 3, 10]);
        plan.mode = Mode::Parallel;
        let mut parallel = spec(plan);
        hosts(&TWO).spread(&mut parallel);
        assert_eq!(weights(&parallel).len(), 2);
    }

    #[test]
    fn what_cannot_be_looked_up_keeps_what_it_had() {
        let old = hosts(&TWO);
        let fails = |previous| {
            let found = Err("no answer".to_owned());
            Host::new("beta", "sip.beta.example", found, previous)
        };
        let kept = Hosts(vec![fails(Some(&old)).unwrap()]);
        assert_eq!(kept.0[0].addresses, old.0[0].addresses);
        let told = kept.changes_from(&old).join("\n");
        assert!(
            told.contains("(no answer); it keeps its addresses"),
            "{told}"
        );
        let error = fails(None).unwrap_err();
        assert!(
            error.contains("`sip.beta.example` has no address: no answer"),
            "{error}"
        );
        let told = hosts(&TWO[1..2]).changes_from(&old).join("\n");
        assert_eq!(told, "gateway `beta`: `sip.beta.example` is 192.0.2.1:5061");
        assert_eq!(old.changes_from(&old), [] as [String; 0]);
    }

    #[test]
    fn the_resolver_is_asked() {
        let found = look_up(&[
            ("one", "localhost", 5062),
            ("two", "no-such-name.invalid", 5060),
        ]);
        let local = found[0].as_ref().unwrap();
        assert!(
            local
                .iter()
                .all(|it| it.ip().is_loopback() && it.port() == 5062),
            "{local:?}"
        );
        assert!(found[1].is_err());
    }
}
