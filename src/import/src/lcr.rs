//! The lcr module: gateways, rules by prefix, and the gateways of each rule.
//!
//! A call tries the gateways of every prefix that its number begins with, those of the longest first,
//! within a rule by priority (0 first) and then by weight; a rule with `stopper` ends the search for
//! shorter ones. Here a number has one prefix, the longest: its route gets the gateways of the shorter
//! ones behind its own.

use std::collections::BTreeMap;

use crate::table::{Asked, Table};
use crate::world::{Gateway, World};
use crate::{Choice, Refused, pick};

/// Transports of `lcr_gw`.
const UDP: i64 = 1;
const TCP: i64 = 2;
const SIPS: i64 = 2;

struct Rule<'t> {
    row: Asked<'t>,
    is_stopper: bool,
    /// Priority, weight, gateway.
    targets: Vec<(i64, u32, String)>,
}

/// Takes the gateways and rules of one `lcr_id`.
pub(crate) fn take(tables: &[Table], choice: &Choice, world: &mut World) -> Result<(), Refused> {
    let of = |name: &'static str| tables.iter().filter(move |table| table.name == name);
    let needs = |needs| Refused::Missing {
        table: "lcr_rule",
        needs,
    };
    if of("lcr_rule").next().is_some() {
        for name in ["lcr_gw", "lcr_rule_target"] {
            of(name).next().ok_or_else(|| needs(name))?;
        }
    }
    let mut instances: BTreeMap<&str, usize> = BTreeMap::new();
    for row in of("lcr_rule").flat_map(Table::each) {
        *instances.entry(instance(&row)).or_default() += 1;
    }
    let there: Vec<(String, usize)> = (instances.iter())
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    let chosen = pick("lcr_rule", &there, choice)?;
    let is_chosen = |row: &Asked<'_>| {
        chosen
            .as_deref()
            .is_none_or(|chosen| instance(row) == chosen)
    };
    let mut gateways: BTreeMap<&str, String> = BTreeMap::new();
    for row in of("lcr_gw").flat_map(Table::each).filter(is_chosen) {
        if let (Some(id), Some(name)) = (row.get("id"), gateway(&row, world)) {
            gateways.insert(id, name);
        }
    }
    let mut rules: BTreeMap<&str, Rule<'_>> = BTreeMap::new();
    for row in of("lcr_rule").flat_map(Table::each).filter(is_chosen) {
        if let Some(id) = row.get("id")
            && is_taken(&row, world)
        {
            let is_stopper = row.number("stopper") == Some(1);
            let targets = Vec::new();
            rules.insert(
                id,
                Rule {
                    row,
                    is_stopper,
                    targets,
                },
            );
        }
    }
    for row in of("lcr_rule_target")
        .flat_map(Table::each)
        .filter(is_chosen)
    {
        let rule = row.get("rule_id").and_then(|id| rules.get_mut(id));
        let gateway = row.get("gw_id").and_then(|id| gateways.get(id));
        if let (Some(rule), Some(gateway)) = (rule, gateway) {
            let weight = row.number("weight").and_then(|it| u32::try_from(it).ok());
            let priority = row.number("priority").unwrap_or(0);
            rule.targets
                .push((priority, weight.unwrap_or(1).max(1), gateway.clone()));
        }
    }
    routes(rules.into_values().collect(), world);
    Ok(())
}

fn instance<'t>(row: &Asked<'t>) -> &'t str {
    row.get("lcr_id").unwrap_or("0")
}

/// Whether a rule can be a route.
fn is_taken(row: &Asked<'_>, world: &mut World) -> bool {
    if row.number("enabled") == Some(0) {
        world.remark_row(
            row,
            "rules that are off",
            "the rule is off: left out".to_owned(),
        );
        return false;
    }
    for column in ["from_uri", "request_uri", "mt_tvalue"] {
        if let Some(text) = row.get(column) {
            let what = format!("a rule for some calls only ({column} `{text}`): left out");
            world.remark_row(row, "rules for some calls", what);
            return false;
        }
    }
    true
}

fn gateway(row: &Asked<'_>, world: &mut World) -> Option<String> {
    let host = row.get("ip_addr").or_else(|| row.get("hostname"))?;
    let transport = row.number("transport").unwrap_or(UDP);
    if row.number("uri_scheme") == Some(SIPS) || transport > TCP {
        let what = format!("`{host}` wants TLS or SCTP, which is not there yet: left out");
        world.remark_row(row, "gateways left out", what);
        return None;
    }
    let text = match (
        row.number("port").filter(|port| *port > 0),
        host.contains(':'),
    ) {
        (Some(port), true) => format!("[{host}]:{port}"),
        (Some(port), false) => format!("{host}:{port}"),
        (None, _) => host.to_owned(),
    };
    let peer = world.peer(row, "gateways left out", &text)?;
    for column in ["params", "tag"] {
        if let Some(text) = row.get(column) {
            let what = format!("{column} `{text}` is not taken over");
            world.remark_row(row, "attributes", what);
        }
    }
    let (strip, prefix) = world.number_form(row, "prefix");
    let wanted = row.get("gw_name").unwrap_or(host);
    Some(world.add_gateway(
        wanted,
        Gateway {
            address: peer.address,
            is_tcp: transport == TCP,
            strip,
            prefix,
            // A time until which it is not to be used: 0 for none.
            maintenance: row.number("defunct").is_some_and(|until| until > 0),
            probed: false,
            max_calls: None,
            description: String::new(),
        },
    ))
}

fn routes(rules: Vec<Rule<'_>>, world: &mut World) {
    let mut by_prefix: BTreeMap<&str, Rule<'_>> = BTreeMap::new();
    for mut rule in rules {
        rule.targets.sort();
        // In Kamailio the weights are chances; in the order of one priority the heavier comes first.
        rule.targets
            .sort_by_key(|(priority, weight, _)| (*priority, std::cmp::Reverse(*weight)));
        let prefix = rule.row.get("prefix").unwrap_or_default();
        match by_prefix.get_mut(prefix) {
            Some(known) => {
                known.is_stopper |= rule.is_stopper;
                known.targets.extend(rule.targets);
            }
            None => {
                by_prefix.insert(prefix, rule);
            }
        }
    }
    for (prefix, rule) in &by_prefix {
        let own = &rule.targets;
        let mut targets: Vec<(String, Option<u32>)> = Vec::new();
        let is_level = own.windows(2).all(|pair| pair[0].0 == pair[1].0);
        let shorter = match rule.is_stopper {
            true => Vec::new(),
            false => shorter(&by_prefix, prefix),
        };
        let is_weighted = is_level && own.len() > 1 && shorter.is_empty();
        if !is_weighted && own.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            let what = format!(
                "prefix `{prefix}`: gateways of one priority are tried by falling weight, not by chance"
            );
            world.remark_row(&rule.row, "weights within priorities", what);
        }
        let weight = |weight: &u32| is_weighted.then_some(*weight);
        targets.extend(own.iter().map(|(_, it, name)| (name.clone(), weight(it))));
        targets.extend(shorter.into_iter().map(|name| (name, None)));
        world.add_route(&rule.row, prefix, targets);
    }
}

/// The gateways of the shorter prefixes, from the longest on, up to one that stops.
fn shorter(rules: &BTreeMap<&str, Rule<'_>>, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for length in (0..prefix.len()).rev() {
        let Some(rule) = prefix.get(..length).and_then(|it| rules.get(it)) else {
            continue;
        };
        names.extend(rule.targets.iter().map(|(_, _, name)| name.clone()));
        if rule.is_stopper {
            break;
        }
    }
    names
}
