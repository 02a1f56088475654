//! Rules under one name, and the sets that a number goes through.

use std::sync::Arc;

use crate::{Rule, Signs};

/// Rules under a name. The first that fits decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSet {
    /// Its name.
    pub name: String,
    /// Its rules, in the order to look.
    pub rules: Vec<Rule>,
}

impl RuleSet {
    /// The most rules of a set: so many are looked at for a number.
    pub const RULES_MAX: usize = 256;

    /// Changes a number, and says by which of its rules; `None`: none fits, and it stays as it is.
    pub fn apply(&self, number: &mut Signs) -> Option<usize> {
        let at = self.rules.iter().position(|rule| rule.fits(number))?;
        self.rules[at].apply(number);
        Some(at)
    }
}

/// The sets that a number goes through, one after the other. Shared with all who name them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    sets: Box<[Arc<RuleSet>]>,
}

impl Chain {
    /// The most sets of a chain.
    pub const SETS_MAX: usize = 8;

    /// These sets in this order.
    #[must_use]
    pub fn new(sets: Vec<Arc<RuleSet>>) -> Chain {
        Chain { sets: sets.into() }
    }

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Changes a number; `told` hears of every rule that does. Whether any did.
    pub fn apply(&self, number: &mut Signs, mut told: impl FnMut(&RuleSet, usize)) -> bool {
        let mut is_changed = false;
        for set in &self.sets {
            if let Some(at) = set.apply(number) {
                told(set, at);
                is_changed = true;
            }
        }
        is_changed
    }
}

/// What a number is to the call that carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Whom the call is for: the Request-URI.
    Called,
    /// Who calls: From.
    Calling,
    /// Whom the network vouches for: P-Asserted-Identity (RFC 3325).
    Asserted,
    /// Who has sent the call on: Diversion (RFC 5806).
    Diversion,
}

/// The rules of a trunk or a gateway, for each of the numbers that a call carries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)] // each is of the role of its name
pub struct NumberRules {
    pub called: Chain,
    pub calling: Chain,
    pub asserted: Chain,
    pub diversion: Chain,
}

impl NumberRules {
    /// The rules for numbers of this role.
    #[must_use]
    #[inline]
    pub fn of(&self, role: Role) -> &Chain {
        match role {
            Role::Called => &self.called,
            Role::Calling => &self.calling,
            Role::Asserted => &self.asserted,
            Role::Diversion => &self.diversion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Lengths};
    use proptest::prelude::*;

    fn rule(begins: &str, strip: usize, prepend: &str) -> Rule {
        let change = Change {
            strip,
            prepend: prepend.to_owned(),
            ..Change::default()
        };
        Rule::new(begins, Lengths::ANY, &change).expect("a rule")
    }

    fn set(name: &str, rules: Vec<Rule>) -> Arc<RuleSet> {
        let name = name.to_owned();
        Arc::new(RuleSet { name, rules })
    }

    #[test]
    fn the_first_rule_decides_and_the_sets_follow_each_other() {
        let chain = Chain::new(vec![
            set("to-plus", vec![rule("00", 2, "+"), rule("0", 1, "+49")]),
            set("vendor", vec![rule("+49", 3, "0")]),
        ]);
        for (number, want, rules) in [
            ("0049301", "0301", "to-plus 0, vendor 0, "),
            ("030", "030", "to-plus 1, vendor 0, "),
            ("+1202", "+1202", ""),
            ("001202", "+1202", "to-plus 0, "),
        ] {
            let mut signs = Signs::read(number.as_bytes()).expect(number);
            let mut told = String::new();
            let is_changed = chain.apply(&mut signs, |set, at| {
                told.push_str(&format!("{} {at}, ", set.name));
            });
            assert_eq!((signs.as_str(), told.as_str()), (want, rules), "{number}");
            assert_eq!(is_changed, !rules.is_empty(), "{number}");
        }
        assert!(Chain::default().is_empty() && !chain.is_empty());
    }

    proptest! {
        /// As texts are cut and joined.
        #[test]
        fn a_rule_does_what_the_dull_model_does(
            number in "[0-9+*#]{1,64}",
            begins in "[0-9]{0,3}",
            (strip, drop) in (0_usize..5, 0_usize..5),
            (prepend, append) in ("[0-9+]{0,6}", "[0-9#]{0,6}"),
        ) {
            let change = Change { strip, drop, prepend, append, set: None };
            let rule = Rule::new(&begins, Lengths::ANY, &change).expect("a rule");
            let mut signs = Signs::read(number.as_bytes()).expect("a number");
            let set = RuleSet { name: String::new(), rules: vec![rule] };
            let applied = set.apply(&mut signs);
            let kept = number.get(strip..number.len().saturating_sub(drop));
            let model = kept
                .map(|kept| format!("{}{kept}{}", change.prepend, change.append))
                .filter(|model| (1..=crate::SIGNS_MAX).contains(&model.len()))
                .filter(|_| number.starts_with(&begins) && strip + drop <= number.len());
            prop_assert_eq!(applied.is_some(), model.is_some());
            prop_assert_eq!(signs.as_str(), model.as_deref().unwrap_or(&number));
        }
    }
}
