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

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(askers: &mut Askers, is_building: bool) -> oneshot::Receiver<Outcome> {
        let (asker, outcome) = oneshot::channel();
        askers.add(asker, is_building);
        outcome
    }

    fn told(outcome: &mut oneshot::Receiver<Outcome>) -> Option<String> {
        Some(outcome.try_recv().ok()?.to_json().to_string())
    }

    #[test]
    fn each_hears_of_a_reload_that_began_after_it_asked() {
        let mut askers = Askers::default();
        let mut early = ask(&mut askers, false);
        askers.begin();
        let mut late = ask(&mut askers, true);
        askers.publish(vec!["a change".to_owned()]);
        assert_eq!(told(&mut early), None, "the shards have not confirmed");
        // The next begins, and is wrong, before they have.
        askers.begin();
        askers.refuse(vec!["a fault".to_owned()]);
        assert_eq!(
            told(&mut late).as_deref(),
            Some("{\"refused\":[\"a fault\"]}")
        );
        assert_eq!(told(&mut early), None);
        askers.confirm(7);
        let want = "{\"changes\":[\"a change\"],\"confirmed\":7}";
        assert_eq!(told(&mut early).as_deref(), Some(want));
        // Nobody is left, and nobody who has gone is missed.
        drop(ask(&mut askers, false));
        askers.refuse(Vec::new());
    }

    #[test]
    fn a_newer_world_confirms_for_who_waits_for_the_one_before() {
        let mut askers = Askers::default();
        let mut one = ask(&mut askers, false);
        askers.begin();
        askers.publish(Vec::new());
        let mut two = ask(&mut askers, false);
        askers.begin();
        askers.publish(Vec::new());
        askers.confirm(9);
        let want = "{\"changes\":[],\"confirmed\":9}";
        assert_eq!(
            [told(&mut one), told(&mut two)].map(Option::unwrap),
            [want, want]
        );
    }
}
