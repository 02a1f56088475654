//! The gateways of a call in the order to try, each with its verdict.

use std::fmt;

use base::GatewayId;
use smallvec::SmallVec;

use crate::limits::TARGETS_MAX;
use crate::{Measure, Price};

/// One gateway of a call, and whether it may be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Which gateway.
    pub gateway: GatewayId,
    /// Whether, or why not.
    pub verdict: Verdict,
}

impl Candidate {
    /// One that may be tried.
    #[must_use]
    pub const fn try_it(gateway: GatewayId) -> Candidate {
        Candidate {
            gateway,
            verdict: Verdict::Try,
        }
    }

    /// Whether it may be tried.
    #[must_use]
    pub fn may_try(&self) -> bool {
        self.verdict == Verdict::Try
    }

    /// Whether it is left out for its price, for having none, for the hour, for its quality, or because the
    /// trunk says so: whatever a vendor names, a call does not go there.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Skip(
                SkipReason::NoPrice
                    | SkipReason::Blocked
                    | SkipReason::BelowMargin
                    | SkipReason::Excluded
                    | SkipReason::Barred
                    | SkipReason::OutOfHours
                    | SkipReason::Poor
            )
        )
    }
}

/// Whether a candidate may be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It takes the call if those before it do not.
    Try,
    /// It is left out of this call.
    Skip(SkipReason),
}

/// Why a candidate is left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SkipReason {
    /// The operator took it out of service.
    Maintenance,
    /// It failed, and its hold-down is not over or it has not answered enough probes since.
    Down,
    /// It is coming back, and this call is not in the share that it gets yet.
    SlowReturn,
    /// Its deck has no price for the number.
    NoPrice,
    /// Its deck says that the number is not to be had.
    Blocked,
    /// It costs more than the plan lets it cost.
    BelowMargin,
    /// The trunk's calls never go to it.
    Excluded,
    /// A block forbids it.
    Barred,
    /// Its calendar says that it is not to be tried now.
    OutOfHours,
    /// Its quality is below the bounds of the plan, which leaves such out.
    Poor,
}

impl SkipReason {
    /// In words, for people and records.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            SkipReason::Maintenance => "in maintenance",
            SkipReason::Down => "down",
            SkipReason::SlowReturn => "slow return",
            SkipReason::NoPrice => "no price",
            SkipReason::Blocked => "blocked",
            SkipReason::BelowMargin => "below margin",
            SkipReason::Excluded => "excluded",
            SkipReason::Barred => "barred",
            SkipReason::OutOfHours => "out of hours",
            SkipReason::Poor => "poor quality",
        }
    }
}

/// The candidates of one call, in the order to try. Reusable; never on the heap, because a route
/// has at most [`TARGETS_MAX`] gateways.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Candidates {
    list: SmallVec<[Candidate; TARGETS_MAX]>,
    /// What the customer pays for the call, if its trunk has a deck.
    pub sold: Option<Price>,
    /// What its attempts are measured as, if they are.
    pub measure: Option<Measure>,
}

impl Candidates {
    /// None yet.
    #[must_use]
    pub fn new() -> Candidates {
        Candidates::default()
    }

    /// One gateway, which may be tried: for requests that name their target themselves.
    #[must_use]
    pub fn only(gateway: GatewayId) -> Candidates {
        let mut candidates = Candidates::new();
        candidates.push(Candidate::try_it(gateway));
        candidates
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.list.clear();
        self.sold = None;
        self.measure = None;
    }

    /// Adds one at the end. The caller has at most [`TARGETS_MAX`]: more go to the heap.
    pub fn push(&mut self, candidate: Candidate) {
        self.list.push(candidate);
    }

    /// These and no others, at most [`TARGETS_MAX`] of them: as if each were pushed, but all at once.
    pub(crate) fn fill(&mut self, candidates: impl ExactSizeIterator<Item = Candidate>) {
        static NOBODY: [Candidate; TARGETS_MAX] = [Candidate::try_it(GatewayId(0)); TARGETS_MAX];
        self.list = SmallVec::from_buf_and_len(NOBODY, candidates.len());
        for (place, candidate) in self.list.iter_mut().zip(candidates) {
            *place = candidate;
        }
    }

    /// How many there are, those to be skipped included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.list.iter()
    }

    /// The one at this place.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Candidate> {
        self.list.get(at).copied()
    }

    /// The first at or after `from` that may be tried, and its place.
    #[must_use]
    pub fn next_to_try(&self, from: usize) -> Option<(usize, GatewayId)> {
        let rest = self.list.get(from..)?;
        let offset = rest.iter().position(Candidate::may_try)?;
        Some((from + offset, rest[offset].gateway))
    }
}

impl<'a> IntoIterator for &'a Candidates {
    type Item = &'a Candidate;
    type IntoIter = std::slice::Iter<'a, Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why nobody is asked to take a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoute {
    /// No prefix of its number has a route, and there is no catch-all route.
    NoPrefix,
    /// The deck of its trunk has no price for the number, or says that it is not to be had.
    NotSold,
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoRoute::NoPrefix => "no route has a prefix of this number, and there is no route `*`",
            NoRoute::NotSold => "the trunk's deck has no price for this number",
        })
    }
}
