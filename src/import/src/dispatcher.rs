//! The dispatcher module: sets of destinations, in its own list or in its table.
//!
//! A line of the list is `set destination [flags [priority [attributes [description]]]]`. Flags: 1
//! inactive, 4 disabled, 8 probing. A higher priority comes first. Attributes: `weight`, `rweight`,
//! `maxload`, `duid`, `socket` and others, with `;` between them.

use crate::table::{Asked, Content, Row, Table};
use crate::world::{Gateway, World};
use crate::{Choice, Refused, pick};

const COLUMNS: [&str; 6] = [
    "setid",
    "destination",
    "flags",
    "priority",
    "attrs",
    "description",
];
const INACTIVE: i64 = 1;
const DISABLED: i64 = 4;
const PROBING: i64 = 8;

/// Reads a list.
pub(crate) fn list(text: &str) -> Content {
    let mut rows = Vec::new();
    for (text, line) in text.lines().zip(1..) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if words.len() < 2 || words[0].parse::<i64>().is_err() {
            return Err((line, format!("`{text}` is no set and destination")));
        }
        let description = words
            .split_off(words.len().min(COLUMNS.len() - 1))
            .join(" ");
        let mut cells: Vec<Option<String>> =
            words.iter().map(|word| Some((*word).to_owned())).collect();
        cells.resize(COLUMNS.len() - 1, None);
        cells.push(Some(description));
        rows.push(Row { line, cells });
    }
    Ok((COLUMNS.map(str::to_owned).to_vec(), rows))
}

/// Takes the gateways of all sets, and the chosen set as the route of all numbers.
pub(crate) fn take(tables: &[Table], choice: &Choice, world: &mut World) -> Result<(), Refused> {
    for table in tables.iter().filter(|table| table.name == "dispatcher") {
        let mut sets: Vec<(String, usize)> = Vec::new();
        for row in table.each() {
            let set = row.get("setid").unwrap_or("0");
            match sets.iter_mut().find(|(name, _)| name == set) {
                Some((_, count)) => *count += 1,
                None => sets.push((set.to_owned(), 1)),
            }
        }
        let chosen = pick("dispatcher", &sets, choice)?;
        let mut members: Vec<Member<'_>> = Vec::new();
        for row in table.each() {
            if row.get("setid") == chosen.as_deref() {
                members.extend(member(row, world));
            }
        }
        // A higher priority comes first; within one the file's order.
        members.sort_by_key(|member| std::cmp::Reverse(member.priority));
        let Some(first) = members.first().map(|member| member.row) else {
            continue;
        };
        let weighted = members.iter().all(|member| member.weight.is_some());
        if !weighted && members.iter().any(|member| member.weight.is_some()) {
            let what = "only some of the set have a weight: it is tried in order".to_owned();
            world.remark_row(&first, "sets with some weights", what);
        }
        let targets = members
            .iter()
            .map(|member| (member.name.clone(), member.weight.filter(|_| weighted)));
        let targets = targets.collect();
        world.add_route(&first, "", targets);
        let what = "which calls go to the set is said by a script: here all numbers do; give its route the \
                    prefixes that it is meant for"
            .to_owned();
        world.remark_row(&first, "routes of a script", what);
    }
    Ok(())
}

struct Member<'t> {
    row: Asked<'t>,
    name: String,
    priority: i64,
    weight: Option<u32>,
}

fn member<'t>(row: Asked<'t>, world: &mut World) -> Option<Member<'t>> {
    let destination = row.get("destination").unwrap_or_default();
    let peer = world.peer(&row, "destinations left out", destination)?;
    let flags = row
        .number("flags")
        .or_else(|| row.number("state"))
        .unwrap_or(0);
    let mut attributes = Attributes::default();
    attributes.read(&row, world);
    let wanted = attributes.name.unwrap_or_else(|| {
        let set = row.get("setid").unwrap_or("0");
        format!("set{set}-{}", peer.address)
    });
    // OpenSIPS has the weight in a column of its own.
    let weight = attributes.weight.or_else(|| {
        let weight = row.number("weight")?;
        u32::try_from(weight).ok()
    });
    let name = world.add_gateway(
        &wanted,
        Gateway {
            address: peer.address,
            is_tcp: peer.is_tcp,
            strip: 0,
            prefix: String::new(),
            maintenance: flags & (INACTIVE | DISABLED) != 0,
            probed: flags & PROBING != 0 || row.number("probe_mode").is_some_and(|mode| mode > 0),
            max_calls: attributes.max_calls,
            description: row.get("description").unwrap_or_default().to_owned(),
        },
    );
    Some(Member {
        row,
        name,
        priority: row.number("priority").unwrap_or(0),
        weight,
    })
}

#[derive(Default)]
struct Attributes {
    name: Option<String>,
    weight: Option<u32>,
    max_calls: Option<u32>,
}

impl Attributes {
    fn read(&mut self, row: &Asked<'_>, world: &mut World) {
        let text = row.get("attrs").unwrap_or_default();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match (key.trim(), value.trim()) {
                ("duid", value) => self.name = Some(value.to_owned()),
                ("weight" | "rweight", value) => self.weight = value.parse().ok(),
                ("maxload", value) => self.max_calls = value.parse().ok().filter(|it| *it > 0),
                (key, _) => {
                    let what = format!("attribute `{key}` is not taken over");
                    world.remark_row(row, "attributes", what);
                }
            }
        }
    }
}
