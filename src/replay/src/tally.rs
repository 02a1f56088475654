//! Fates added up: both worlds side by side.

use std::collections::BTreeMap;

use base::Money;

use crate::fate::{Fate, Lost};

/// All calls in both worlds.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How they were, or would be in the world that is compared with.
    pub before: Side,
    /// How they would be in the staged one.
    pub after: Side,
    /// Calls that another vendor takes, or is offered last.
    pub moved: u64,
    /// Calls that a vendor was offered before, and none now; by why.
    pub newly_lost: BTreeMap<Lost, u64>,
    /// Calls that nobody was offered before, and somebody now.
    pub found: u64,
}

/// All calls in one world.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// All of them.
    pub calls: u64,
    /// What was offered to somebody.
    pub offered: u64,
    /// What was answered.
    pub answered: u64,
    /// Answered time, in microseconds.
    pub duration_us: u64,
    /// What customers pay, in parts of the common currency; as far as it is known.
    pub income: i128,
    /// What vendors ask, likewise.
    pub cost: i128,
    /// Income less cost of the calls that have both.
    pub margin: i128,
    /// The income of those.
    pub margin_of: i128,
    /// Answered calls of which a price is not known.
    pub unpriced: u64,
    /// Answered calls that cost more than they bring.
    pub at_a_loss: u64,
    /// Answered calls of which the record does not say that this vendor takes them.
    pub assumed: u64,
    /// Calls that nobody was offered, by why.
    pub lost: BTreeMap<Lost, u64>,
    /// By the name of a gateway.
    pub vendors: BTreeMap<String, Vendor>,
}

/// What one gateway has of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vendor {
    /// Calls that ended with it.
    pub calls: u64,
    /// Those that it answered.
    pub answered: u64,
    /// Their time, in microseconds.
    pub duration_us: u64,
    /// What it asks for them, in parts of the common currency.
    pub cost: i128,
}

impl Tally {
    /// Adds a call.
    pub fn add(&mut self, before: &Fate, after: &Fate) {
        self.before.add(before);
        self.after.add(after);
        match (before.gateway(), after) {
            (Some(one), other) if other.gateway().is_some_and(|other| one != other) => {
                self.moved += 1;
            }
            (Some(_), Fate::Lost(why)) => *self.newly_lost.entry(*why).or_default() += 1,
            (None, other) if other.gateway().is_some() => self.found += 1,
            _ => {}
        }
    }

    /// All gateways that either world has calls for, those with most of the staged one's time first.
    #[must_use]
    pub fn vendors(&self) -> Vec<(&str, Vendor, Vendor)> {
        let names: std::collections::BTreeSet<&String> =
            (self.before.vendors.keys().chain(self.after.vendors.keys())).collect();
        let of = |side: &Side, name: &String| side.vendors.get(name).copied().unwrap_or_default();
        let rows = names
            .iter()
            .map(|name| (name.as_str(), of(&self.before, name), of(&self.after, name)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| {
            std::cmp::Reverse((row.2.duration_us, row.2.calls, row.1.duration_us))
        });
        rows
    }
}

impl Side {
    fn add(&mut self, fate: &Fate) {
        self.calls += 1;
        match fate {
            Fate::Lost(why) => *self.lost.entry(*why).or_default() += 1,
            Fate::Unanswered { gateway } => {
                self.offered += 1;
                self.vendor(gateway).calls += 1;
            }
            Fate::Answered {
                gateway,
                duration_us,
                income,
                cost,
                is_assumed,
            } => {
                self.assumed += u64::from(*is_assumed);
                self.offered += 1;
                self.answered += 1;
                self.duration_us += duration_us;
                let parts = |money: &Option<Money>| money.map(|it| i128::from(it.parts()));
                let (income, cost) = (parts(income), parts(cost));
                self.income += income.unwrap_or(0);
                self.cost += cost.unwrap_or(0);
                match (income, cost) {
                    (Some(income), Some(cost)) => {
                        self.margin += income - cost;
                        self.margin_of += income;
                        self.at_a_loss += u64::from(cost > income);
                    }
                    _ => self.unpriced += 1,
                }
                let vendor = self.vendor(gateway);
                vendor.calls += 1;
                vendor.answered += 1;
                vendor.duration_us += duration_us;
                vendor.cost += cost.unwrap_or(0);
            }
        }
    }

    fn vendor(&mut self, gateway: &str) -> &mut Vendor {
        if !self.vendors.contains_key(gateway) {
            self.vendors.insert(gateway.to_owned(), Vendor::default());
        }
        self.vendors.get_mut(gateway).expect("it was put there")
    }
}
