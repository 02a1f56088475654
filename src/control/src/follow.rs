//! The head of a store that others move too: looked at now and then, and followed.

use std::sync::mpsc::{Receiver, Sender, channel};

use config::Config;
use store::{Store, StoreError};
use tokio::task::spawn_blocking;

use crate::plane::TICK;

type Answer = Result<u64, StoreError>;

/// Looks at the head, off the control plane's thread, one look at a time.
#[derive(Debug)]
pub(crate) struct Follower {
    answers: (Sender<Answer>, Receiver<Answer>),
    is_looking: bool,
    /// When the next look is due, in ticks.
    due: u64,
    /// The head that a reload was asked for: if that was refused, it is not asked for again.
    asked: Option<u64>,
    /// The last look failed, which was said.
    is_away: bool,
}

impl Follower {
    pub(crate) fn new() -> Follower {
        Follower {
            answers: channel(),
            is_looking: false,
            due: 0,
            asked: None,
            is_away: false,
        }
    }

    /// At each tick: whether the store has another head than the generation that is `running`.
    pub(crate) fn tick(&mut self, ticks: u64, config: &Config, running: Option<u64>) -> bool {
        if let Ok(answer) = self.answers.1.try_recv() {
            self.is_looking = false;
            return self.hear(answer, running);
        }
        let Some(at) = config.store.as_ref().filter(|at| at.follow_seconds > 0) else {
            return false;
        };
        let every = u64::from(at.follow_seconds) * 1_000 / TICK.as_millis() as u64;
        // A first look after one interval: the head was taken just now.
        self.due = match self.due {
            0 => ticks + every,
            due => due.min(ticks + every),
        };
        if ticks >= self.due && !self.is_looking {
            self.due = ticks + every;
            self.is_looking = true;
            let (at, answers) = (at.clone(), self.answers.0.clone());
            spawn_blocking(move || {
                let head = Store::open(&at).and_then(|mut store| store.head());
                // Nobody hears it if the node has ended.
                let _ = answers.send(head.map(|head| head.id));
            });
        }
        false
    }

    /// A reload failed because the store was away: its head is asked for again.
    pub(crate) fn forget(&mut self) {
        self.asked = None;
    }

    fn hear(&mut self, answer: Answer, running: Option<u64>) -> bool {
        match answer {
            Ok(head) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(head, "the store is back");
                }
                let is_new = running != Some(head) && self.asked != Some(head);
                if is_new {
                    self.asked = Some(head);
                    tracing::info!(generation = head, "the store has a new head");
                }
                is_new
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "the head of the store cannot be looked at; the running world stays");
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_head_is_asked_for_once() {
        let mut follower = Follower::new();
        assert!(!follower.hear(Ok(1), Some(1)));
        assert!(follower.hear(Ok(2), Some(1)));
        assert!(!follower.hear(Ok(2), Some(1)), "it was refused");
        follower.forget();
        assert!(follower.hear(Ok(2), Some(1)), "or only not reached");
        assert!(follower.hear(Ok(3), Some(1)), "this one may be right");
        assert!(!follower.hear(Ok(3), Some(3)));
        assert!(!follower.hear(Err(StoreError::NoHead), Some(3)));
        assert!(follower.is_away);
        assert!(follower.hear(Ok(4), Some(3)), "after an outage too");
        assert!(!follower.is_away);
    }
}
