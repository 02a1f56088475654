//! Whose turn it is: what a shard remembers of the plans that divide calls by exact shares, and of the
//! calendars.

use crate::calendar::{Span, When};
use crate::split::Split;
use crate::{Moment, Snapshot};

/// The shares of all weighted plans of a snapshot, as one shard has given them, and how its calendars
/// stand. Each shard has its own, so over all shards the error of shares is a few calls for each. A new
/// snapshot begins anew.
#[derive(Debug, Default)]
pub struct Turns {
    generation: Option<u64>,
    /// By the plan's number among the weighted ones.
    splits: Vec<Split>,
    /// By calendar: how it stood when it was asked last.
    spans: Vec<Span>,
}

impl Turns {
    /// For no snapshot yet.
    #[must_use]
    pub fn new() -> Turns {
        Turns::default()
    }

    /// The shares of one plan.
    pub(crate) fn of(&mut self, snapshot: &Snapshot, turn: u32) -> &mut Split {
        self.follow(snapshot);
        &mut self.splits[turn as usize]
    }

    /// Whether a gateway of a route may be tried at this moment, by its calendar.
    pub(crate) fn is_open(&mut self, snapshot: &Snapshot, when: When, at: Moment) -> bool {
        self.follow(snapshot);
        let calendar = usize::from(when.calendar);
        let span = &mut self.spans[calendar];
        if !span.holds(at) {
            *span = snapshot.calendars[calendar].span(at);
        }
        span.is_open == when.is_open
    }

    /// Begins anew with a new snapshot. Allocates once for each.
    fn follow(&mut self, snapshot: &Snapshot) {
        if self.generation == Some(snapshot.generation) {
            return;
        }
        self.generation = Some(snapshot.generation);
        let weighted = snapshot.plans.iter().filter(|plan| plan.turn.is_some());
        let splits = weighted.map(|plan| Split::new(plan.targets.len()));
        self.splits = splits.collect();
        self.spans = vec![Span::EMPTY; snapshot.calendars.len()];
    }
}
