//! What the shards and the program that sheds share: the bounds, the counts, the known networks.
//!
//! ```text
//!   gates    [0] how many shards shed │ strangers dropped
//!            [1 + shard · places + place] bound │ dropped          one row a shard
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

use super::shed::{self, GATE_BYTES, SOURCE_KEY_BYTES, ShedConfig, ShedMaps};
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
        let maps = ShedMaps {
            scratch: scratch.descriptor(),
            gates: gates.descriptor(),
            sources: sources.descriptor(),
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
            closed: 0,
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

/// One shard's row: by what it tells the kernel what to drop.
#[derive(Debug)]
pub struct Gate {
    words: Arc<Words>,
    row: usize,
    places: usize,
    /// How many places are not wide open.
    closed: usize,
}

impl Gate {
    /// Lets this share of a place's lots pass, of 2^32; all without one.
    pub fn set(&mut self, place: usize, bound: Option<u32>) {
        let word = self.word(place);
        let was = self.words[word].load(Relaxed);
        // A bound of 0 is none: the least is one lot.
        let is = bound.map_or(0, |bound| u64::from(bound.max(1)));
        if was == is {
            return;
        }
        // Relaxed, here and below: a bound that the kernel sees a little later is as good.
        self.words[word].store(is, Relaxed);
        let before = self.closed;
        self.closed = self.closed + usize::from(is != 0) - usize::from(was != 0);
        match (before, self.closed) {
            (0, 1..) => drop(self.words[0].fetch_add(1, Relaxed)),
            (1.., 0) => drop(self.words[0].fetch_sub(1, Relaxed)),
            _ => {}
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
