//! Blocks: calls that somebody forbade for a reason and for a time.
//!
//! A block says *whose* calls (those of trunks or carriers, or all), *to which numbers* (or all), and
//! *by whom they are not to be carried*: by some gateways, which are then left out, or by nobody, which
//! refuses the call. It begins and ends by itself: nothing is built again when it does.
//!
//! Cost: without blocks a look at an empty list; else, for each block of the trunk that is about some
//! numbers only, one longest match if it refuses, and one for each gateway of the route that it names.

use std::fmt;
use std::sync::Arc;

use base::GatewayId;

use crate::build::Ids;
use crate::limits::BLOCKS_MAX;
use crate::peer::{self, is_named};
use crate::scope::Scope;
use crate::{BuildError, Moment, Spec};

/// A block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockSpec {
    /// Its name, unique among blocks.
    pub name: String,
    /// The trunks and carriers whose calls it is about; empty for all.
    pub trunks: Vec<String>,
    /// The gateways and carriers that do not get them; empty: nobody gets them.
    pub gateways: Vec<String>,
    /// The beginnings of numbers that it is about. Without these and lists: all numbers.
    pub prefixes: Vec<String>,
    /// The lists of numbers that it is about, by name.
    pub lists: Vec<String>,
    /// From when on.
    pub from: Moment,
    /// Before when.
    pub until: Moment,
    /// Why, who says so and until when: for people.
    pub words: String,
}

/// A block of a snapshot.
#[derive(Debug)]
pub struct Block {
    name: String,
    /// Sorted; none: nobody carries the calls.
    gateways: Option<Box<[GatewayId]>>,
    /// The numbers that it is about; none: all.
    scope: Option<Arc<Scope>>,
    from: Moment,
    until: Moment,
    words: String,
}

impl Block {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it holds for a number at a moment.
    fn holds(&self, digits: &[u8], at: Moment) -> bool {
        let is_about = |scope: &Arc<Scope>| scope.find(digits).is_some();
        self.from <= at && at < self.until && self.scope.as_ref().is_none_or(is_about)
    }
}

/// Blocks of one name are one: their world says what else there is.
impl PartialEq for Block {
    fn eq(&self, other: &Block) -> bool {
        self.name == other.name
    }
}

impl Eq for Block {}

impl fmt::Display for Block {
    /// ``block `beta-49`: false answers (anna, until 2026-12-01T00:00:00Z)``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block `{}`: {}", self.name, self.words)
    }
}

/// Why nobody carries a call to a number.
pub(crate) fn refusing<'b>(
    blocks: &'b [Arc<Block>],
    digits: &[u8],
    at: Moment,
) -> Option<&'b Arc<Block>> {
    let refuses = |block: &&Arc<Block>| block.gateways.is_none() && block.holds(digits, at);
    blocks.iter().find(refuses)
}

/// Why a gateway does not get a call to a number.
pub(crate) fn barring<'b>(
    blocks: &'b [Arc<Block>],
    gateway: GatewayId,
    digits: &[u8],
    at: Moment,
) -> Option<&'b Arc<Block>> {
    let names = |block: &Block| {
        let named = block.gateways.as_ref();
        named.is_some_and(|named| named.binary_search(&gateway).is_ok())
    };
    let mut all = blocks.iter();
    all.find(|block| names(block) && block.holds(digits, at))
}

/// All blocks, with the trunks that each is about.
pub(crate) struct Blocks<'s>(Vec<(&'s BlockSpec, Arc<Block>)>);

impl<'s> Blocks<'s> {
    /// What is wrong goes to `errors`.
    pub(crate) fn build(
        spec: &'s Spec,
        gateways: &Ids,
        errors: &mut Vec<BuildError>,
    ) -> Blocks<'s> {
        if spec.blocks.len() > BLOCKS_MAX {
            let count = spec.blocks.len();
            errors.push(BuildError::TooManyBlocks { count });
        }
        let (trunks, peers) = (peer::trunks(spec), peer::gateways(spec));
        let mut all: Vec<(&BlockSpec, Arc<Block>)> = Vec::new();
        for block in &spec.blocks {
            if all.iter().any(|(other, _)| other.name == block.name) {
                let name = block.name.clone();
                errors.push(BuildError::DuplicateBlock { name });
            }
            for (kind, names, peers) in [
                ("trunk", &block.trunks, &trunks),
                ("gateway", &block.gateways, &peers),
            ] {
                let unknown = peer::unknown(names, peers);
                errors.extend(unknown.map(|name| BuildError::UnknownBlockPeer {
                    block: block.name.clone(),
                    kind,
                    name: name.clone(),
                }));
            }
            let unknown = |list: &str| BuildError::UnknownBlockList {
                block: block.name.clone(),
                list: list.to_owned(),
            };
            let lists = (&*block.lists, &*spec.lists);
            let named = peers
                .iter()
                .filter(|peer| is_named(&block.gateways, **peer));
            let mut ids: Vec<GatewayId> = (named.filter_map(|(name, _)| gateways.of(name)))
                .map(GatewayId)
                .collect();
            ids.sort_unstable();
            let built = Block {
                name: block.name.clone(),
                gateways: (!block.gateways.is_empty()).then(|| ids.into()),
                scope: Scope::build(&block.prefixes, lists, unknown, errors),
                from: block.from,
                until: block.until,
                words: block.words.clone(),
            };
            all.push((block, Arc::new(built)));
        }
        Blocks(all)
    }

    /// Those that are about the calls of a trunk.
    pub(crate) fn of(&self, trunk: &str, carrier: &str) -> Box<[Arc<Block>]> {
        let is_about =
            |spec: &BlockSpec| spec.trunks.is_empty() || is_named(&spec.trunks, (trunk, carrier));
        let mine = self.0.iter().filter(|(spec, _)| is_about(spec));
        mine.map(|(_, block)| Arc::clone(block)).collect()
    }
}
