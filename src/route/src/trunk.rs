//! A trunk: who calls come from, and what holds for all of its calls.

use std::sync::Arc;

use base::{GatewayId, TrunkId};
use translation::NumberRules;

use crate::block;
use crate::cap::Capped;
use crate::marks::Verdicts;
use crate::screen::Screen;
use crate::{
    Ask, Block, Border, CallLimits, DeckId, NumberFormat, Profile, Refuse, SkipReason, Source,
    Target, Verdict,
};

/// A trunk: the side that calls come from.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its number, which stays the same over reloads.
    pub id: TrunkId,
    /// Its name.
    pub name: Box<str>,
    /// The company it belongs to; may be empty.
    pub carrier: Box<str>,
    /// The addresses its requests come from.
    pub sources: Box<[Source]>,
    /// How the numbers that it dials are read.
    pub number: NumberFormat,
    /// What becomes of its numbers before that.
    pub rules: NumberRules,
    /// What may cross its border.
    pub(crate) profile: Option<Arc<Profile>>,
    /// After how many seconds its answered calls are ended; 0 for the node's default.
    pub max_call_seconds: u32,
    /// How many calls it may have.
    pub limits: CallLimits,
    /// What callers are told when it has them.
    pub refuse: Refuse,
    /// The caps on its calls.
    pub(crate) caps: Box<[Capped]>,
    /// Whether a 3xx of a vendor is followed for its calls.
    pub follow_redirects: bool,
    /// Whether its calls are not led on, but told whom to ask.
    pub redirects: bool,
    /// How much its calls count against those of others when not all can be taken.
    pub overload_weight: u32,
    /// The deck that says what its calls are sold for.
    pub(crate) deck: Option<DeckId>,
    /// The lists that its calls are held against.
    pub(crate) screen: Screen,
    /// The gateways that its calls never go to, sorted.
    pub(crate) excluded: Box<[GatewayId]>,
    /// The blocks that are about its calls.
    pub(crate) blocks: Box<[Arc<Block>]>,
    pub(crate) allow: Box<[Box<str>]>,
}

impl Trunk {
    /// Its border; `None` if whatever comes may cross as it is.
    #[must_use]
    pub fn border(&self) -> Option<Border<'_>> {
        Border::of(self.profile.as_deref(), &self.rules)
    }

    /// Its border towards a gateway that wants to know who calls in its own way: there is one then,
    /// since the trunk's rules for that number come first.
    #[must_use]
    pub fn border_of_caller(&self) -> Border<'_> {
        Border {
            profile: self.profile.as_deref(),
            rules: &self.rules,
        }
    }

    /// Whether the trunk may send this method. Methods are case-sensitive (RFC 3261 §7.1).
    #[must_use]
    pub fn allows(&self, method: &[u8]) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|word| word.as_bytes() == method)
    }

    /// Whether its calls ask more of gateways than that they are there.
    #[inline]
    pub(crate) fn is_choosy(&self) -> bool {
        self.deck.is_some() || !self.excluded.is_empty() || !self.blocks.is_empty()
    }

    /// Leaves out those that a block forbids.
    pub(crate) fn bar(&self, targets: &[Target], ask: &Ask<'_>, verdicts: &mut Verdicts) {
        let digits = ask.number.digits();
        for (verdict, target) in verdicts.iter_mut().zip(targets) {
            if block::barring(&self.blocks, target.gateway, digits, ask.at).is_some() {
                *verdict = Verdict::Skip(SkipReason::Barred);
            }
        }
    }

    /// Leaves out those that its calls never go to, whatever else is said of them.
    pub(crate) fn exclude(&self, targets: &[Target], verdicts: &mut Verdicts) {
        for (verdict, target) in verdicts.iter_mut().zip(targets) {
            if self.excluded.binary_search(&target.gateway).is_ok() {
                *verdict = Verdict::Skip(SkipReason::Excluded);
            }
        }
    }

    /// The methods that it may send; empty for all.
    pub fn allowed(&self) -> impl Iterator<Item = &str> {
        self.allow.iter().map(|word| &**word)
    }
}
