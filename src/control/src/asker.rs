//! Who asked for a reload and waits to hear what became of it.

use serde_json::{Value, json};
use tokio::sync::oneshot;

/// What became of a reload.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// All shards work by it: which generation, and what changed.
    Confirmed(u64, Vec<String>),
    /// It was refused, and the running configuration stays: all that is wrong.
    Refused(Vec<String>),
}

impl Outcome {
    /// As the socket answers it.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Outcome::Confirmed(generation, changes) => {
                json!({ "confirmed": generation, "changes": changes })
            }
            Outcome::Refused(faults) => json!({ "refused": faults }),
        }
    }
}

/// Where to tell an outcome. Somebody who has gone is told nothing.
pub(crate) type Asker = oneshot::Sender<Outcome>;

/// All who wait, by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Askers {
    /// The reload after the one that is being built: that one may have been read too early.
    next: Vec<Asker>,
    /// The one that is being built.
    building: Vec<Asker>,
    /// The shards.
    published: Vec<Asker>,
    changes: Vec<String>,
}

impl Askers {
    /// Somebody asks, while one is being built or not.
    pub(crate) fn add(&mut self, asker: Asker, is_building: bool) {
        match is_building {
            true => self.next.push(asker),
            false => self.building.push(asker),
        }
    }

    /// A reload begins.
    pub(crate) fn begin(&mut self) {
        self.building.append(&mut self.next);
    }

    /// It was given to the shards. Whoever waits for the one before waits for this one now.
    pub(crate) fn publish(&mut self, changes: Vec<String>) {
        self.published.append(&mut self.building);
        self.changes = changes;
    }

    /// All shards have it.
    pub(crate) fn confirm(&mut self, generation: u64) {
        let changes = std::mem::take(&mut self.changes);
        tell(
            &mut self.published,
            &Outcome::Confirmed(generation, changes),
        );
    }

    /// It cannot be.
    pub(crate) fn refuse(&mut self, faults: Vec<String>) {
        tell(&mut self.building, &Outcome::Refused(faults));
    }
}

fn tell(askers: &mut Vec<Asker>, outcome: &Outcome) {
    for asker in askers.drain(..) {
        let _ = asker.send(outcome.clone());
    }
}
