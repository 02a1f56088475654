//! What was understood: gateways, trunks and routes as trunkline has them, and remarks on the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::peer::{Peer, peer};
use crate::table::{Asked, Table};

/// A world to be written.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// By their names.
    pub gateways: BTreeMap<String, Gateway>,
    /// By their names.
    pub trunks: BTreeMap<String, Trunk>,
    /// By prefix; the empty one takes all other numbers.
    pub routes: BTreeMap<String, Route>,
    /// What is left out or means something else, in the order of the files.
    pub remarks: Vec<Remark>,
    remarks_more: BTreeMap<&'static str, u64>,
}

/// Where calls go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Where.
    pub address: String,
    /// Over TCP instead of UDP.
    pub is_tcp: bool,
    /// Leading digits taken off.
    pub strip: u32,
    /// What is put in front.
    pub prefix: String,
    /// Out of service.
    pub maintenance: bool,
    /// Asked by OPTIONS.
    pub probed: bool,
    /// The most calls at a time.
    pub max_calls: Option<u32>,
    /// What people call it.
    pub description: String,
}

/// Where calls come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trunk {
    /// Its networks, each with a port and a transport if only these count.
    pub sources: Vec<Source>,
}

/// A network of a trunk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Source {
    /// `192.0.2.0/24`.
    pub network: String,
    /// Only this source port.
    pub port: Option<u16>,
    /// Only `udp` or `tcp`.
    pub transport: Option<&'static str>,
}

/// Where the numbers of a prefix go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Route {
    /// Names of gateways in the order to try; each with a weight if the route is weighted.
    pub gateways: Vec<(String, Option<u32>)>,
}

/// What somebody should know about a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    /// Its file.
    pub file: PathBuf,
    /// Its line; 0 for all of the file.
    pub line: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.what),
        }
    }
}

/// Remarks of one kind that are told one by one; the rest is counted.
const REMARKS_EACH: u64 = 20;
/// The most gateways of a route.
const TARGETS_MAX: usize = 32;
const WEIGHT_MAX: u32 = 10_000;

impl World {
    pub(crate) fn remark(&mut self, table: &Table, line: u64, what: String) {
        self.remarks.push(Remark {
            file: table.file.clone(),
            line,
            what,
        });
    }

    /// A remark on a row, one of many of its kind.
    pub(crate) fn remark_row(&mut self, row: &Asked<'_>, kind: &'static str, what: String) {
        let count = self.remarks_more.entry(kind).or_default();
        *count += 1;
        if *count <= REMARKS_EACH {
            self.remark(row.table, row.line(), what);
        }
    }

    /// Kinds of remarks of which more were made than are told, each with how many more.
    pub fn not_told(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let more = self.remarks_more.iter();
        more.filter(|(_, count)| **count > REMARKS_EACH)
            .map(|(kind, count)| (*kind, count - REMARKS_EACH))
    }

    /// Where a row's peer is; none, with a remark, if it cannot be sent to.
    pub(crate) fn peer(&mut self, row: &Asked<'_>, kind: &'static str, text: &str) -> Option<Peer> {
        peer(text)
            .map_err(|why| self.remark_row(row, kind, format!("{why}: left out")))
            .ok()
    }

    /// How a row's gateway wants numbers: how many digits are stripped, and what is put in front.
    pub(crate) fn number_form(&mut self, row: &Asked<'_>, prefix_column: &str) -> (u32, String) {
        let prefix = row.get(prefix_column).unwrap_or_default();
        let is_dialled = |octet: u8| octet.is_ascii_digit() || b"*#+".contains(&octet);
        let fits = prefix.len() <= 16 && prefix.bytes().all(is_dialled);
        if !fits {
            let what = format!(
                "{prefix_column} `{prefix}` is not taken over: up to 16 digits, `*`, `#` or `+`"
            );
            self.remark_row(row, "prefixes of gateways", what);
        }
        let strip = row.number("strip").and_then(|it| u32::try_from(it).ok());
        let prefix = if fits { prefix } else { "" };
        (strip.unwrap_or(0).min(32), prefix.to_owned())
    }

    /// Adds a gateway under a name of its own, and returns that.
    pub(crate) fn add_gateway(&mut self, wanted: &str, gateway: Gateway) -> String {
        let name = free_name(wanted, |name| self.gateways.contains_key(name));
        self.gateways.insert(name.clone(), gateway);
        name
    }

    /// Adds a route. Gateways that are named twice count once, weights are brought into bounds.
    pub(crate) fn add_route(
        &mut self,
        row: &Asked<'_>,
        prefix: &str,
        targets: Vec<(String, Option<u32>)>,
    ) {
        if prefix.len() > 32 || !prefix.bytes().all(|octet| octet.is_ascii_digit()) {
            let what = format!("prefix `{prefix}` is left out: it is not 1 to 32 digits");
            return self.remark_row(row, "prefixes that are no digits", what);
        }
        let mut gateways: Vec<(String, Option<u32>)> = Vec::new();
        for (name, weight) in targets {
            if !gateways.iter().any(|(known, _)| *known == name) {
                gateways.push((name, weight));
            }
        }
        if gateways.len() > TARGETS_MAX {
            let what = format!(
                "prefix `{prefix}` has {} gateways: the first {TARGETS_MAX} are taken",
                gateways.len()
            );
            self.remark_row(row, "prefixes with too many gateways", what);
            gateways.truncate(TARGETS_MAX);
        }
        if gateways.iter().any(|(_, weight)| *weight == Some(0)) {
            let what =
                format!("prefix `{prefix}`: gateways of weight 0 get no calls and are left out");
            self.remark_row(row, "weights of 0", what);
            gateways.retain(|(_, weight)| *weight != Some(0));
        }
        if gateways.is_empty() {
            let what = format!("prefix `{prefix}` is left out: it has no gateway that is left");
            return self.remark_row(row, "prefixes without a gateway", what);
        }
        let is_weighted = gateways.iter().all(|(_, weight)| weight.is_some());
        let most = gateways.iter().filter_map(|(_, weight)| *weight).max();
        for (_, weight) in &mut gateways {
            *weight = weight
                .filter(|_| is_weighted)
                .map(|weight| scaled(weight, most.unwrap_or(1)));
        }
        self.routes.insert(prefix.to_owned(), Route { gateways });
    }

    /// Gateways and trunks without anything to say.
    pub(crate) fn drop_what_is_empty(&mut self) {
        self.trunks.retain(|_, trunk| !trunk.sources.is_empty());
    }
}

/// A weight in the bounds that routes have, in proportion to the largest of its route.
fn scaled(weight: u32, most: u32) -> u32 {
    if most <= WEIGHT_MAX {
        return weight;
    }
    let scaled = u64::from(weight) * u64::from(WEIGHT_MAX) / u64::from(most);
    (scaled as u32).max(1)
}

/// A name that may be used: of letters, digits, `.`, `_` and `-`, and not taken yet.
pub(crate) fn free_name(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    const LETTERS_MAX: usize = 56;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let mut name: String = (wanted.chars())
        .map(|letter| if fits(letter) { letter } else { '-' })
        .take(LETTERS_MAX)
        .collect();
    let trimmed = name.trim_matches('-');
    name = if trimmed.is_empty() {
        "unnamed".to_owned()
    } else {
        trimmed.to_owned()
    };
    if !is_taken(&name) {
        return name;
    }
    (2_u64..)
        .map(|number| format!("{name}-{number}"))
        .find(|name| !is_taken(name))
        .expect("some number is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_to_fit_and_free() {
        let check = |wanted: &str, want: &str| {
            assert_eq!(free_name(wanted, |name| name == "taken"), want);
        };
        check("Berlin GW (1)", "Berlin-GW--1");
        check("taken", "taken-2");
        check("", "unnamed");
        check("§§", "unnamed");
        check(&"x".repeat(100), &"x".repeat(56));
    }

    #[test]
    fn weights_keep_their_proportion_within_bounds() {
        assert_eq!(scaled(50, 100), 50);
        assert_eq!(scaled(1, 1_000_000), 1);
        assert_eq!(scaled(500_000, 1_000_000), 5_000);
    }
}
