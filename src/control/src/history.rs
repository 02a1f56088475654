//! How the gateways fared: since when each is as it is, and what it was before.
//!
//! The states are read off the shards' pages once a second; what comes and goes between two looks is
//! in the log only.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

/// How many changes are kept of each gateway; the oldest is forgotten for a new one.
const CHANGES_MAX: usize = 8;

/// One gateway's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Past {
    /// The last state comes last; the first one is that of the first look.
    pub(crate) changes: VecDeque<(Timestamp, &'static str)>,
}

/// All gateways', by name: as many as the configuration has.
#[derive(Debug, Default)]
pub(crate) struct History {
    gateways: BTreeMap<String, Past>,
}

impl History {
    /// Notes how the gateways are now, by name and by the number that the pages show.
    pub(crate) fn look(&mut self, states: Vec<(String, u64)>, now: Timestamp) {
        let mut before = std::mem::take(&mut self.gateways);
        for (name, code) in states {
            let state = word(code);
            let mut past = before.remove(&name).unwrap_or_else(|| Past {
                changes: VecDeque::with_capacity(CHANGES_MAX),
            });
            if past.changes.back().is_none_or(|(_, last)| *last != state) {
                if past.changes.len() == CHANGES_MAX {
                    past.changes.pop_front();
                }
                past.changes.push_back((now, state));
            }
            self.gateways.insert(name, past);
        }
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = (&String, &Past)> {
        self.gateways.iter()
    }
}

/// The state in words, of its number in the metrics.
const fn word(code: u64) -> &'static str {
    match code {
        0 => "down",
        1 => "returning",
        2 => "up",
        _ => "maintenance",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(history: &History) -> Vec<String> {
        let of_gateway = |(name, past): (&String, &Past)| {
            let changes = past.changes.iter();
            let changes: Vec<String> = changes
                .map(|(at, state)| format!("{}:{state}", at.as_second()))
                .collect();
            format!("{name} {}", changes.join(" "))
        };
        history.gateways().map(of_gateway).collect()
    }

    fn look(history: &mut History, second: i64, states: &[(&str, u64)]) {
        let states = states.iter().map(|&(name, code)| (name.to_owned(), code));
        history.look(states.collect(), Timestamp::from_second(second).unwrap());
    }

    #[test]
    fn changes_are_kept_and_the_oldest_forgotten() {
        let mut history = History::default();
        look(&mut history, 1, &[("a", 2), ("b", 3)]);
        look(&mut history, 2, &[("a", 2), ("b", 3)]);
        look(&mut history, 3, &[("a", 0), ("b", 3)]);
        look(&mut history, 4, &[("a", 1), ("c", 2)]);
        assert_eq!(told(&history), ["a 1:up 3:down 4:returning", "c 4:up"]);
        for second in 5..50 {
            look(&mut history, second, &[("a", second as u64 % 2)]);
        }
        let told = told(&history);
        assert_eq!(told[0].split(' ').count(), 1 + CHANGES_MAX, "{told:?}");
        assert!(told[0].ends_with("48:down 49:returning"), "{told:?}");
    }

    /// The metrics' help says which number is which state; so does the type.
    #[test]
    fn words_are_those_of_the_states() {
        use base::Time;
        use route::GatewayState;
        for state in [
            GatewayState::Up,
            GatewayState::Returning { admit_per_mille: 1 },
            GatewayState::Down { until: Time::ZERO },
            GatewayState::Maintenance,
        ] {
            assert_eq!(word(state.code()), state.text());
        }
    }
}
