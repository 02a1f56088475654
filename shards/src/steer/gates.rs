//! What the shards and the program that sheds share: the bounds, the counts, the known networks.
//!
//! ```text
//!   gates    [0] how many shards shed │ strangers dropped
//!            [1 + shard · places + place] bound │ dropped          one row a shard
//!   cells    (shard, lot) ─▶ when it was dropped                   the kernel's own
//!   sources  network ─▶ place                                      by the longest prefix
//! ```
//!
//! The gates are memory of the process and of the kernel at once: a bound is set by a store, a count
//! read by a load. A row's bounds have one writer, its shard; counts are the kernel's. Only the word
//! of how many shards shed is changed by all of them, and rarely.

#![expect(clippy::disallowed_types)] // one lock, which only the control thread takes, at a reload

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use base::Time;

use super::shed::{self, CELLS_OF_ELEMENT, GATE_BYTES, SOURCE_KEY_BYTES, ShedConfig, ShedMaps};
use super::{Recipe, Unsteered, program, refusal, verified};
use crate::sys::bpf::{Map, MapKind, Program, ProgramKind, Words};

/// The most networks that the kernel can know.
const NETWORKS_MAX: usize = 65_536;

/// A network that is known, and the place of what comes from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Its address.
    pub address: IpAddr,
    /// How many leading bits of it count.
    pub bits: u8,
    /// Its place: beyond the last one is the last one.
    pub place: usize,
}

impl Network {
    /// The key of the trie.
    pub(crate) fn key(&self) -> [u8; SOURCE_KEY_BYTES] {
        let mapped = if self.address.is_ipv4() { 96 } else { 0 };
        let mut key = [0; SOURCE_KEY_BYTES];
        key[..4].copy_from_slice(&(mapped + u32::from(self.bits)).to_le_bytes());
        key[4..].copy_from_slice(&shed::source_octets(self.address));
        key
    }
}

/// The whole of it, for as long as the program's sockets are open.
#[derive(Debug)]
pub(super) struct Gates {
    config: ShedConfig,
    words: Arc<Words>,
    sources: Map,
    /// What the trie holds; only the thread that reloads looks at it.
    known: Mutex<BTreeMap<[u8; SOURCE_KEY_BYTES], u32>>,
    _program: Program,
}

impl Gates {
    /// Loads the program and lets it filter all sockets.
    pub(super) fn open(
        recipe: &Recipe,
        config: &ShedConfig,
        groups: &[(usize, Vec<RawFd>)],
    ) -> Result<Gates, Unsteered> {
        if groups.is_empty() {
            return Err(Unsteered::Needless);
        }
        if cfg!(target_endian = "big") {
            let error = io::Error::other("the program is written for little-endian machines");
            return Err(Unsteered::Unsupported(error));
        }
        let len = shed::gates_len(config, recipe.spread.shards());
        let gates = Map::new(MapKind::Array, GATE_BYTES, len).map_err(refusal)?;
        let scratch = Map::new(MapKind::PerCpuArray, program::SCRATCH_BYTES, 1).map_err(refusal)?;
        let value = size_of::<u32>();
        let sources = Map::with_keys(MapKind::Prefixes, SOURCE_KEY_BYTES, value, NETWORKS_MAX)
            .map_err(refusal)?;
        let elements = shed::cell_elements(recipe.spread.shards());
        let cells = Map::new(MapKind::Array, CELLS_OF_ELEMENT, elements).map_err(refusal)?;
        let maps = ShedMaps {
            scratch: scratch.descriptor(),
            gates: gates.descriptor(),
            sources: sources.descriptor(),
            cells: cells.descriptor(),
        };
        let words = shed::program(recipe, config, maps);
        let program = verified(ProgramKind::Filter, &words)?;
        let words = Arc::new(gates.share().map_err(refusal)?);
        for socket in groups.iter().flat_map(|(_, sockets)| sockets) {
            program.filter(*socket).map_err(refusal)?;
        }
        Ok(Gates {
            config: *config,
            words,
            sources,
            known: Mutex::default(),
            _program: program,
        })
    }

    /// The row of a shard.
    pub(super) fn of(&self, shard: u16) -> Gate {
        Gate {
            words: self.words.clone(),
            row: shed::gate_at(&self.config, shard, 0),
            places: self.config.places,
            shut: Vec::with_capacity(self.config.places),
        }
    }

    /// Those of `networks` are known from now on, and no others. First what is new, so that who is in
    /// both is never a stranger.
    pub(super) fn know(&self, networks: impl Iterator<Item = Network>) -> usize {
        let last = self.config.places - 1;
        let mut wanted = BTreeMap::new();
        for network in networks {
            // Two of one network cannot be told apart.
            let place = network.place.min(last) as u32;
            let entry = wanted.entry(network.key()).or_insert(place);
            if *entry != place {
                *entry = last as u32;
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = 0;
        for (key, place) in &wanted {
            if known.get(key) != Some(place) && self.sources.set(key, Some(*place)).is_err() {
                refused += 1;
            }
        }
        for key in known.keys().filter(|key| !wanted.contains_key(*key)) {
            let _was_refused_when_it_came = self.sources.set(key, None);
        }
        *known = wanted;
        refused
    }

    /// What was dropped of known sources, and of strangers.
    pub(super) fn dropped(&self) -> (u64, u64) {
        let counts = self.words.chunks_exact(GATE_BYTES / 8);
        let mut counts = counts.map(|gate| gate[1].load(Relaxed));
        let strangers = counts.next().unwrap_or_default();
        (counts.sum(), strangers)
    }
}

/// One shard's row: by what it tells the kernel what to drop. It lives there.
#[derive(Debug)]
pub struct Gate {
    words: Arc<Words>,
    row: usize,
    places: usize,
    /// The places that are not wide open; there is room for all.
    shut: Vec<Shut>,
}

/// A place of which something is dropped.
#[derive(Clone, Copy, Debug)]
struct Shut {
    place: usize,
    bound: u64,
    /// When all was let through again, but for what had been dropped before.
    opened: Option<Time>,
}

impl Gate {
    /// Lets this share of a place's lots pass, of 2^32; all without one. What was dropped before stays
    /// dropped for as long as its sender may repeat it.
    pub fn set(&mut self, place: usize, bound: Option<u32>, now: Time) {
        let place = place.min(self.places - 1);
        let shut = self.shut.iter_mut().find(|shut| shut.place == place);
        // A bound of 0 is none: the least is one lot.
        let is = bound.map_or(shed::ALL, |bound| u64::from(bound.max(1)));
        match (shut, bound) {
            (None, None) => return,
            (None, Some(_)) => {
                if self.shut.is_empty() {
                    // Relaxed, here and below: a bound that the kernel sees a little later is as good.
                    self.words[0].fetch_add(1, Relaxed);
                }
                self.shut.push(Shut {
                    place,
                    bound: is,
                    opened: None,
                });
            }
            (Some(shut), bound) => {
                shut.bound = is;
                shut.opened = match bound {
                    Some(_) => None,
                    None => shut.opened.or(Some(now)),
                };
            }
        }
        self.words[self.word(place)].store(shed::gate_word(is, now), Relaxed);
    }

    /// Tells the kernel what time it is, and opens wholly what was opened long ago.
    pub fn tick(&mut self, now: Time) {
        let mut at = 0;
        while let Some(&shut) = self.shut.get(at) {
            let word = self.word(shut.place);
            let is_over = |opened| now.micros_since(opened) > shed::COPIES_US;
            if shut.opened.is_some_and(is_over) {
                self.words[word].store(0, Relaxed);
                self.shut.swap_remove(at);
                if self.shut.is_empty() {
                    self.words[0].fetch_sub(1, Relaxed);
                }
            } else {
                self.words[word].store(shed::gate_word(shut.bound, now), Relaxed);
                at += 1;
            }
        }
    }

    /// How many datagrams of a place were dropped so far.
    #[must_use]
    pub fn dropped(&self, place: usize) -> u64 {
        self.words[self.word(place) + 1].load(Relaxed)
    }

    fn word(&self, place: usize) -> usize {
        (self.row + place.min(self.places - 1)) * (GATE_BYTES / 8)
    }
}
