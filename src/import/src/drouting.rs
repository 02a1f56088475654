//! The drouting module: gateways, lists of them, and rules by prefix.
//!
//! `gwlist` names gateways in the order to try, with `,` or `;` between them; `gw=weight` gives a share
//! (OpenSIPS); `#name` stands for a carrier of `dr_carriers` (OpenSIPS) or a list of `dr_gw_lists`
//! (Kamailio). Of several rules for one prefix and group the one with the highest priority counts.

use std::collections::BTreeMap;

use crate::table::{Asked, Table};
use crate::world::{Gateway, World};
use crate::{Choice, Refused, pick};

/// What `gwlist` can name.
#[derive(Default)]
struct Names {
    /// By `gwid`, the names that gateways have here.
    gateways: BTreeMap<String, String>,
    /// By their ids, the lists of carriers.
    lists: BTreeMap<String, (String, bool)>,
}

/// Takes the gateways, and the rules of one group as routes.
pub(crate) fn take(tables: &[Table], choice: &Choice, world: &mut World) -> Result<(), Refused> {
    let of = |name: &'static str| tables.iter().filter(move |table| table.name == name);
    let has_rules = of("dr_rules").next().is_some();
    if has_rules && of("dr_gateways").next().is_none() {
        return Err(Refused::Missing {
            table: "dr_rules",
            needs: "dr_gateways",
        });
    }
    let mut names = Names::default();
    for row in of("dr_gateways").flat_map(Table::each) {
        gateway(&row, world, &mut names);
    }
    for row in of("dr_carriers").flat_map(Table::each) {
        if let (Some(id), Some(list)) = (row.get("carrierid"), row.get("gwlist")) {
            let is_off = row.number("state") == Some(1);
            let is_weighted = row.get("sort_alg") == Some("W") || row.number("flags") == Some(1);
            remark_order(&row, world);
            let list = if is_off { "" } else { list };
            names
                .lists
                .insert(id.to_owned(), (list.to_owned(), is_weighted));
        }
    }
    for row in of("dr_gw_lists").flat_map(Table::each) {
        if let (Some(id), Some(list)) = (row.get("id"), row.get("gwlist")) {
            names.lists.insert(id.to_owned(), (list.to_owned(), false));
        }
    }
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for row in of("dr_rules").flat_map(Table::each) {
        for group in groups_of(&row) {
            *groups.entry(group).or_default() += 1;
        }
    }
    let there: Vec<(String, usize)> = (groups.iter())
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    let Some(chosen) = pick("dr_rules", &there, choice)? else {
        return Ok(());
    };
    rules(of("dr_rules"), &chosen, &names, world);
    Ok(())
}

fn groups_of<'t>(row: &Asked<'t>) -> impl Iterator<Item = &'t str> {
    let text = row.get("groupid").unwrap_or("0");
    text.split([',', ';'])
        .map(str::trim)
        .filter(|it| !it.is_empty())
}

fn gateway(row: &Asked<'_>, world: &mut World, names: &mut Names) {
    let (Some(id), Some(address)) = (row.get("gwid"), row.get("address")) else {
        return world.remark_row(
            row,
            "gateways left out",
            "no gwid or no address: left out".into(),
        );
    };
    let Some(peer) = world.peer(row, "gateways left out", address) else {
        return;
    };
    let (strip, prefix) = world.number_form(row, "pri_prefix");
    if let Some(attributes) = row.get("attrs") {
        let what = format!("attrs `{attributes}` are read by a script: not taken over");
        world.remark_row(row, "attributes", what);
    }
    // Kamailio numbers its gateways.
    let wanted = match id.parse::<u64>() {
        Ok(number) => format!("gw{number}"),
        Err(_) => id.to_owned(),
    };
    let name = world.add_gateway(
        &wanted,
        Gateway {
            address: peer.address,
            is_tcp: peer.is_tcp,
            strip,
            prefix,
            maintenance: row.number("state").is_some_and(|state| state > 0),
            probed: row.number("probe_mode").is_some_and(|mode| mode > 0),
            max_calls: None,
            description: row.get("description").unwrap_or_default().to_owned(),
        },
    );
    names.gateways.insert(id.to_owned(), name);
}

fn remark_order(row: &Asked<'_>, world: &mut World) {
    if row.get("sort_alg") == Some("Q") {
        let what = "ordered by quality there: tried in the order of the list here".to_owned();
        world.remark_row(row, "orders by quality", what);
    }
}

fn rules<'t>(
    tables: impl Iterator<Item = &'t Table>,
    group: &str,
    names: &Names,
    world: &mut World,
) {
    let mut best: BTreeMap<&str, (i64, Asked<'_>)> = BTreeMap::new();
    for row in tables.flat_map(Table::each) {
        if !groups_of(&row).any(|it| it == group) {
            continue;
        }
        if let Some(times) = row.get("timerec") {
            let what = format!("a rule for some times only (`{times}`): left out");
            world.remark_row(&row, "rules for some times", what);
            continue;
        }
        let prefix = row.get("prefix").unwrap_or_default();
        let priority = row.number("priority").unwrap_or(0);
        match best.get(prefix) {
            Some((known, _)) if *known >= priority => {
                let what = format!("a second rule for `{prefix}`, of no higher priority: left out");
                world.remark_row(&row, "second rules of a prefix", what);
            }
            Some((_, other)) => {
                let what = format!("a rule for `{prefix}` of lower priority: left out");
                let other = *other;
                world.remark_row(&other, "second rules of a prefix", what);
                best.insert(prefix, (priority, row));
            }
            None => {
                best.insert(prefix, (priority, row));
            }
        }
    }
    for (prefix, (_, row)) in best {
        if let Some(route) = row.get("routeid").filter(|it| *it != "0") {
            let what = format!("routeid `{route}` runs a part of a script: not taken over");
            world.remark_row(&row, "routes of a script", what);
        }
        remark_order(&row, world);
        let is_weighted = row.get("sort_alg") == Some("W");
        let targets = targets(
            &row,
            row.get("gwlist").unwrap_or_default(),
            is_weighted,
            names,
            world,
        );
        world.add_route(&row, prefix, targets);
    }
}

/// The gateways of a list, carriers taken apart.
fn targets(
    row: &Asked<'_>,
    list: &str,
    is_weighted: bool,
    names: &Names,
    world: &mut World,
) -> Vec<(String, Option<u32>)> {
    let mut targets = Vec::new();
    let parts = list
        .split([',', ';'])
        .map(str::trim)
        .filter(|it| !it.is_empty());
    for part in parts {
        let (name, weight) = part.split_once('=').unwrap_or((part, ""));
        let weight = weight.trim().parse().ok().or(is_weighted.then_some(1));
        let weight = weight.filter(|_| is_weighted);
        if let Some(carrier) = name.strip_prefix('#') {
            match names.lists.get(carrier) {
                // A carrier within a list is tried where it stands, its gateways in their own order.
                Some((list, own_weights)) if !list.contains('#') => {
                    targets.extend(self::targets(row, list, *own_weights, names, world));
                }
                Some(_) => {
                    let what = format!("list `{carrier}` names lists itself: left out");
                    world.remark_row(row, "names that are not there", what);
                }
                None => {
                    let what = format!("there is no carrier or list `{carrier}`: left out");
                    world.remark_row(row, "names that are not there", what);
                }
            }
        } else if let Some(known) = names.gateways.get(name.trim()) {
            targets.push((known.clone(), weight));
        } else {
            let what = format!("there is no gateway `{name}`, or it was left out");
            world.remark_row(row, "names that are not there", what);
        }
    }
    targets
}
