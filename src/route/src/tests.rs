//! The path of a call through a snapshot, as a whole; one file for each thing that is checked.

mod balance;
mod block;
mod build;
mod cap;
mod explain;
mod health;
mod number;
mod path;
mod quality;
mod uri;

use std::net::SocketAddr;
use std::sync::Arc;

use base::Transport;
use translation::{Chain, Change, Lengths, Rule, RuleSet};

use crate::{Gateway, GatewaySpec, ListenerSpec, RouteSpec, Snapshot, Source, Spec, TrunkSpec};

/// Listeners for both families and transports, one trunk `alpha`, gateways `g1` to `g4` at
/// 192.0.2.1 to 192.0.2.4, and a route `49` to the first three in this order.
fn spec() -> Spec {
    let listener = |name: &str, transport, address: &str| ListenerSpec {
        name: name.to_owned(),
        transport,
        address: at(address),
    };
    let source = Source::parse("203.0.113.0/24").expect("a network");
    let gateway = |n: usize| GatewaySpec::new(&format!("g{n}"), at(&format!("192.0.2.{n}:5060")));
    Spec {
        listeners: vec![
            listener("udp", Transport::Udp, "198.51.100.1:5060"),
            listener("tcp", Transport::Tcp, "198.51.100.1:5060"),
            listener("udp6", Transport::Udp, "[2001:db8::1]:5060"),
        ],
        trunks: vec![TrunkSpec::new("alpha", source)],
        gateways: (1..=4).map(gateway).collect(),
        routes: vec![RouteSpec::new("49", &["g1", "g2", "g3"])],
        ..Spec::default()
    }
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect(address)
}

fn built(spec: &Spec) -> Snapshot {
    crate::build(spec, 1, None).expect("a good spec")
}

fn gateway<'s>(snapshot: &'s Snapshot, name: &str) -> &'s Gateway {
    snapshot.gateway_named(name).expect(name)
}

/// Sets of one rule each: their name, how numbers begin, how many signs go, what is put in front.
fn chain(sets: &[(&str, &str, usize, &str)]) -> Chain {
    let set = |(name, begins, strip, prepend): &(&str, &str, usize, &str)| {
        let change = Change {
            strip: *strip,
            prepend: (*prepend).to_owned(),
            ..Change::default()
        };
        let rule = Rule::new(begins, Lengths::ANY, &change).expect("a rule");
        Arc::new(RuleSet {
            name: (*name).to_owned(),
            rules: vec![rule],
        })
    };
    Chain::new(sets.iter().map(set).collect())
}
