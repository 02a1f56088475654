//! Caps: how much of something some calls may have together, over all shards.
//!
//! A cap says *whose* calls it counts (those of trunks, or those that go to gateways), *to which
//! numbers*, and *how much*: calls at a time, new calls in a second, and in a window of time calls,
//! minutes and money. It counts them all together, or apart for each trunk, carrier, gateway or
//! prefix: each such *cell* has a name, which keeps its number over reloads.
//!
//! ```text
//!   cap premium, each = ["trunk", "prefix"] ──▶ premium/customer-a/4490, premium/customer-b/4490, …
//!   trunk, number ──▶ at most one cell of each cap that holds for the trunk
//! ```
//!
//! What is counted is with whoever runs calls. Cost: without caps a look at an empty list; else for
//! each cap of the trunk that is about some numbers only, one longest match.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base::{GatewayId, Money, TrunkId};

use crate::build::Ids;
use crate::limits::{CAPS_MAX, CAPS_PER_PEER_MAX};
use crate::peer::{self, Peer};
use crate::scope::Scope;
use crate::{BuildError, CallLimits, Refuse, Snapshot, Spec};

/// A cell of a cap. Its id stays the same over reloads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CapId(pub u16);

/// On which side of a call a cap counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CapSide {
    /// Where it comes from: what is too much is refused.
    #[default]
    Trunks,
    /// Where it goes: what is too much goes to the next gateway.
    Gateways,
}

/// Whose calls are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Apart {
    /// Those of each trunk, or of each gateway.
    Peer,
    /// Those of each carrier. Whoever has none is counted by its own name.
    Carrier,
}

/// A cap.
#[derive(Clone, PartialEq, Debug)]
pub struct CapSpec {
    /// Its name, unique among caps.
    pub name: String,
    /// The side it counts on.
    pub side: CapSide,
    /// The trunks (gateways) and carriers whose calls it counts, by name; empty for all.
    pub peers: Vec<String>,
    /// The lists of numbers that it is about, by name.
    pub lists: Vec<String>,
    /// The beginnings of numbers that it is about. Without these and lists: all numbers.
    pub prefixes: Vec<String>,
    /// Whose calls have cells of their own.
    pub apart: Option<Apart>,
    /// Whether each of the prefixes has cells of its own.
    pub by_prefix: bool,
    /// How much.
    pub rule: CapRule,
}

/// How much of what, and what becomes of what is more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapRule {
    /// Calls at a time and new ones in a second.
    pub limits: CallLimits,
    /// The length of the window, in seconds.
    pub window_s: u32,
    /// The most calls that begin in a window.
    pub window_calls: Option<u32>,
    /// The most that calls may talk in a window, in minutes.
    pub window_minutes: Option<u32>,
    /// The most that calls may cost in a window, in the common currency.
    pub window_cost: Option<Money>,
    /// After how many seconds an answered call is ended; 0: what its trunk says.
    pub max_call_seconds: u32,
    /// Whether what is too much is told only, and goes on all the same.
    pub only_tells: bool,
    /// What a refused caller is told.
    pub refuse: Refuse,
    /// From which share on it is told, in thousandths.
    pub tell_per_mille: u16,
}

impl Default for CapRule {
    fn default() -> CapRule {
        CapRule {
            limits: CallLimits::default(),
            window_s: 3_600,
            window_calls: None,
            window_minutes: None,
            window_cost: None,
            max_call_seconds: 0,
            only_tells: false,
            refuse: Refuse::default(),
            tell_per_mille: 800,
        }
    }
}

impl CapRule {
    /// Whether it counts anything in a window.
    #[must_use]
    pub fn has_window(&self) -> bool {
        self.window_calls.is_some() || self.counts_talk()
    }

    /// Whether it counts what answered calls talk or cost.
    #[must_use]
    pub fn counts_talk(&self) -> bool {
        self.window_minutes.is_some() || self.window_cost.is_some()
    }
}

impl fmt::Display for CapRule {
    /// `10 calls, 5 a second, 100 minutes in 3600 s`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut say = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            write!(f, "{comma}{text}")?;
            comma = ", ";
            Ok(())
        };
        if let Some(calls) = self.limits.calls {
            say(f, format_args!("{calls} calls at a time"))?;
        }
        if let Some(rate) = self.limits.per_second {
            say(f, format_args!("{rate} new calls a second"))?;
        }
        let window = self.window_s;
        if let Some(calls) = self.window_calls {
            say(f, format_args!("{calls} calls in {window} s"))?;
        }
        if let Some(minutes) = self.window_minutes {
            say(f, format_args!("{minutes} minutes in {window} s"))?;
        }
        if let Some(cost) = self.window_cost {
            say(f, format_args!("{cost} of money in {window} s"))?;
        }
        if self.max_call_seconds > 0 {
            say(f, format_args!("{} s a call", self.max_call_seconds))?;
        }
        match self.only_tells {
            true => say(f, format_args!("told only")),
            false => Ok(()),
        }
    }
}

/// A cap as a trunk or a gateway of a snapshot has it.
#[derive(Clone, Debug)]
pub(crate) struct Capped {
    /// The numbers that it is about; none: all.
    scope: Option<Arc<Scope>>,
    /// By place of the prefix that fits; one if it does not matter.
    cells: Box<[CapId]>,
}

impl Capped {
    /// The cell in which a call to this number is counted, if it is.
    pub(crate) fn cell(&self, digits: &[u8]) -> Option<CapId> {
        let Some(scope) = &self.scope else {
            return self.cells.first().copied();
        };
        let place = scope.find(digits)? as usize;
        self.cells.get(place).or(self.cells.first()).copied()
    }
}

impl Snapshot {
    /// Whether there ever was a cap: if not, nobody needs to look for one.
    #[must_use]
    #[inline]
    pub fn has_caps(&self) -> bool {
        !self.caps.is_empty()
    }

    /// The cells that a call of a trunk to these digits is counted in, in the order of the file.
    pub fn caps_of_trunk<'s>(
        &'s self,
        trunk: TrunkId,
        digits: &'s [u8],
    ) -> impl Iterator<Item = CapId> + 's {
        let caps = self.trunk(trunk).map_or(&[][..], |trunk| &trunk.caps);
        caps.iter().filter_map(|cap| cap.cell(digits))
    }

    /// The cells that a call to these digits is counted in at a gateway.
    pub fn caps_of_gateway<'s>(
        &'s self,
        gateway: GatewayId,
        digits: &'s [u8],
    ) -> impl Iterator<Item = CapId> + 's {
        let caps = self.gateway(gateway).map_or(&[][..], |it| &it.caps);
        caps.iter().filter_map(|cap| cap.cell(digits))
    }

    /// What a cell of this snapshot may have.
    #[must_use]
    #[inline]
    pub fn cap(&self, id: CapId) -> Option<&CapRule> {
        self.caps.get(usize::from(id.0))?.as_ref()
    }

    /// The name of a cell, of a removed one too; empty if there never was one.
    #[must_use]
    pub fn cap_name(&self, id: CapId) -> &str {
        let known = self.cap_names.get(usize::from(id.0));
        known.map_or("", |it| &it.name)
    }

    /// The cells of this snapshot with what they may have, in the order of their ids.
    pub fn caps(&self) -> impl Iterator<Item = (CapId, &CapRule)> {
        let all = self.caps.iter().zip(0..);
        all.filter_map(|(rule, at)| Some((CapId(at), rule.as_ref()?)))
    }

    /// How many cells of caps were ever known: ids are below it.
    #[must_use]
    pub fn caps_known(&self) -> usize {
        self.cap_names.len()
    }
}

/// The cells of all caps by their ids, and what each peer has of them.
pub(crate) struct Caps<'s> {
    specs: Vec<(&'s CapSpec, Option<Arc<Scope>>)>,
    pub(crate) ids: Ids,
    pub(crate) rules: Box<[Option<CapRule>]>,
}

impl<'s> Caps<'s> {
    /// Gives every cell its number; what is wrong goes to `errors`.
    pub(crate) fn build(
        spec: &'s Spec,
        known: &[crate::snapshot::Known],
        errors: &mut Vec<BuildError>,
    ) -> Caps<'s> {
        let (trunks, gateways) = (peer::trunks(spec), peer::gateways(spec));
        let (mut specs, mut names, mut seen) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for cap in &spec.caps {
            if !seen.insert(&cap.name) {
                let name = cap.name.clone();
                errors.push(BuildError::DuplicateCap { name });
            }
            let peers = match cap.side {
                CapSide::Trunks => &trunks,
                CapSide::Gateways => &gateways,
            };
            let unknown = peer::unknown(&cap.peers, peers);
            errors.extend(unknown.map(|peer| BuildError::UnknownCapPeer {
                cap: cap.name.clone(),
                peer: peer.clone(),
            }));
            for peer in peers.iter().filter(|peer| counts(cap, **peer)) {
                for cell in cell_names(cap, *peer) {
                    names.insert(cell, cap.rule);
                }
            }
            let unknown = |list: &str| BuildError::UnknownCapList {
                cap: cap.name.clone(),
                list: list.to_owned(),
            };
            let lists = (&*cap.lists, &*spec.lists);
            specs.push((cap, Scope::build(&cap.prefixes, lists, unknown, errors)));
        }
        let ids = Ids::assign(known, names.keys().map(|name| (name.as_str(), "")));
        let count = ids.count();
        let max = spec.caps_max.min(CAPS_MAX);
        if count > max {
            errors.push(BuildError::TooManyCaps { count, max });
        }
        let rules: Vec<(String, CapRule)> = names.into_iter().collect();
        let rules = ids.arrange(&rules, |(name, _)| name);
        Caps {
            specs,
            ids,
            rules: rules
                .into_iter()
                .map(|it| it.map(|(_, rule)| rule))
                .collect(),
        }
    }

    /// The caps that hold for a peer.
    pub(crate) fn of(
        &self,
        side: CapSide,
        peer: Peer<'_>,
        errors: &mut Vec<BuildError>,
    ) -> Box<[Capped]> {
        let mine = self.specs.iter().filter(|(cap, _)| cap.side == side);
        let mine = mine.filter(|(cap, _)| counts(cap, peer));
        let all: Box<[Capped]> = mine
            .map(|(cap, scope)| Capped {
                scope: scope.clone(),
                cells: (cell_names(cap, peer).iter())
                    .filter_map(|name| self.ids.of(name).map(|id| CapId(id as u16)))
                    .collect(),
            })
            .collect();
        if all.len() > CAPS_PER_PEER_MAX {
            errors.push(BuildError::TooManyCapsOfPeer {
                peer: peer.0.to_owned(),
                count: all.len(),
            });
        }
        all
    }
}

/// Whether a cap counts the calls of a peer.
fn counts(cap: &CapSpec, peer: Peer<'_>) -> bool {
    cap.peers.is_empty() || peer::is_named(&cap.peers, peer)
}

/// The names of the cells that a peer's calls are counted in: one, or one for each prefix.
fn cell_names(cap: &CapSpec, (name, carrier): Peer<'_>) -> Vec<String> {
    let own = match cap.apart {
        None => cap.name.clone(),
        Some(Apart::Carrier) if !carrier.is_empty() => format!("{}/{carrier}", cap.name),
        Some(Apart::Peer | Apart::Carrier) => format!("{}/{name}", cap.name),
    };
    match cap.by_prefix {
        false => vec![own],
        true => (cap.prefixes.iter())
            .map(|prefix| format!("{own}/{prefix}"))
            .collect(),
    }
}
