//! Whose turn it is: what a shard remembers of the plans that divide calls by exact shares.

use crate::Snapshot;
use crate::split::Split;

/// The shares of all weighted plans of a snapshot, as one shard has given them. Each shard has its
/// own, so over all shards the error is a few calls for each. A new snapshot begins anew.
#[derive(Debug, Default)]
pub struct Turns {
    generation: Option<u64>,
    /// By the plan's number among the weighted ones.
    splits: Vec<Split>,
}

impl Turns {
    /// For no snapshot yet.
    #[must_use]
    pub fn new() -> Turns {
        Turns::default()
    }

    /// The shares of one plan. Allocates once for each snapshot.
    pub(crate) fn of(&mut self, snapshot: &Snapshot, turn: u32) -> &mut Split {
        if self.generation != Some(snapshot.generation) {
            self.generation = Some(snapshot.generation);
            let weighted = snapshot.plans.iter().filter(|plan| plan.turn.is_some());
            self.splits = weighted
                .map(|plan| Split::new(plan.targets.len()))
                .collect();
        }
        &mut self.splits[turn as usize]
    }
}
