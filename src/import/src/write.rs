//! The world as files of a configuration.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::world::{Gateway, Route, Trunk, World};

/// The files, as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The configuration.
    pub toml: String,
    /// More routes than a configuration should hold: `routes.csv` beside it.
    pub routes: Option<String>,
}

/// Routes that are written into the configuration itself.
const ROUTES_MAX: usize = 200;

/// Writes it. With `listen` the configuration is whole; without, its listeners are to be put before it.
#[must_use]
pub fn files(world: &World, listen: Option<SocketAddr>) -> Files {
    let mut toml =
        String::from("# Made by `trunkline import`. What was left out was told then.\n\n");
    let is_large = world.routes.len() > ROUTES_MAX;
    if is_large {
        toml.push_str("routes_csv = \"routes.csv\"\n\n");
    }
    if let Some(listen) = listen {
        for transport in ["udp", "tcp"] {
            put(
                &mut toml,
                &format!(
                    "[[listener]]\nname = \"{transport}\"\ntransport = \"{transport}\"\naddress = \"{listen}\"\n"
                ),
            );
        }
    }
    for (name, trunk) in &world.trunks {
        self::trunk(&mut toml, name, trunk);
    }
    for (name, gateway) in &world.gateways {
        self::gateway(&mut toml, name, gateway);
    }
    if !is_large {
        for (prefix, route) in &world.routes {
            self::route(&mut toml, prefix, route);
        }
    }
    let rows = || {
        let mut rows = String::from("prefix,gateways\n");
        for (prefix, route) in &world.routes {
            let prefix = if prefix.is_empty() { "*" } else { prefix };
            put(&mut rows, &format!("{prefix},{}", row(route)));
        }
        rows
    };
    Files {
        routes: is_large.then(rows),
        toml,
    }
}

fn trunk(toml: &mut String, name: &str, trunk: &Trunk) {
    let mut sources = String::new();
    for source in &trunk.sources {
        let network = quoted(&source.network);
        if source.port.is_none() && source.transport.is_none() {
            put(&mut sources, &format!("    {network},"));
            continue;
        }
        let port = source
            .port
            .map_or_else(String::new, |port| format!(", port = {port}"));
        let transport = source.transport;
        let transport = transport.map_or_else(String::new, |it| format!(", transport = \"{it}\""));
        put(
            &mut sources,
            &format!("    {{ network = {network}{port}{transport} }},"),
        );
    }
    put(
        toml,
        &format!(
            "[[trunk]]\nname = {}\nsources = [\n{sources}]\n",
            quoted(name)
        ),
    );
}

fn gateway(toml: &mut String, name: &str, gateway: &Gateway) {
    if !gateway.description.is_empty() {
        let text: String = (gateway.description.chars())
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        put(toml, &format!("# {text}"));
    }
    put(
        toml,
        &format!(
            // There, digits are stripped from the number as it was dialled, and others put before it.
            "[[gateway]]\nname = {}\naddress = \"{}\"\nformat = \"dialled\"",
            quoted(name),
            gateway.address
        ),
    );
    if gateway.is_tcp {
        put(toml, "transport = \"tcp\"");
    }
    if gateway.strip > 0 {
        put(toml, &format!("strip = {}", gateway.strip));
    }
    if !gateway.prefix.is_empty() {
        put(toml, &format!("prefix = {}", quoted(&gateway.prefix)));
    }
    if gateway.maintenance {
        put(toml, "maintenance = true");
    }
    if let Some(max_calls) = gateway.max_calls {
        put(toml, &format!("max_calls = {max_calls}"));
    }
    if gateway.probed {
        put(toml, "probe = {}");
    }
    toml.push('\n');
}

fn route(toml: &mut String, prefix: &str, route: &Route) {
    let each = route.gateways.iter().map(|(name, weight)| match weight {
        None => quoted(name),
        Some(weight) => format!("{{ name = {}, weight = {weight} }}", quoted(name)),
    });
    let prefix = if prefix.is_empty() { "*" } else { prefix };
    put(
        toml,
        &format!(
            "[[route]]\nprefix = \"{prefix}\"\ngateways = [{}]\n",
            each.collect::<Vec<_>>().join(", ")
        ),
    );
}

fn row(route: &Route) -> String {
    let each = route.gateways.iter().map(|(name, weight)| match weight {
        None => name.clone(),
        Some(weight) => format!("{name}:{weight}"),
    });
    each.collect::<Vec<_>>().join("|")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn put(text: &mut String, line: &str) {
    let _infallible = writeln!(text, "{line}");
}
