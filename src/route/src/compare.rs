//! What becomes dearer, cheaper, or is no longer to be had when one table of prices follows another.

use std::cmp::Ordering;
use std::fmt;

use crate::Rate;
use crate::rates::{DeckId, Moment, Rates};

/// How the prices of a deck change, counted by codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PriceChanges {
    /// A minute costs more.
    pub up: usize,
    /// A minute costs less.
    pub down: usize,
    /// A minute costs the same, and fee or steps are others.
    pub terms: usize,
    /// Nothing changes.
    pub same: usize,
    /// Served now, and not before.
    pub begun: usize,
    /// Served before, and now the deck says that it is not to be had.
    pub blocked: usize,
    /// Served before, and now not in the deck.
    pub gone: usize,
}

impl PriceChanges {
    /// Compares what two decks ask at a moment for the numbers of each code that one of them has.
    ///
    /// Costs two looks at a price for each code: for whoever plans, not for calls.
    #[must_use]
    pub fn between(old: (&Rates, DeckId), new: (&Rates, DeckId), at: Moment) -> PriceChanges {
        let mut changes = PriceChanges::default();
        let price = |(rates, deck): (&Rates, DeckId), code: &[u8]| {
            let offer = rates.offer_of(deck, code, at);
            offer.map(|offer| *rates.rate(offer.rate))
        };
        let mut note = |code: &[u8]| changes.note(price(old, code), price(new, code));
        new.0.each_row(|code, deck| {
            if deck == new.1 {
                note(code);
            }
        });
        old.0.each_row(|code, deck| {
            if deck == old.1 && !new.0.has_row(new.1, code) {
                note(code);
            }
        });
        changes
    }

    fn note(&mut self, old: Option<Rate>, new: Option<Rate>) {
        let is_served = |rate: Option<Rate>| rate.filter(|rate| !rate.is_blocked);
        let count = match (is_served(old), is_served(new)) {
            (Some(old), Some(new)) => match new.per_minute.cmp(&old.per_minute) {
                Ordering::Greater => &mut self.up,
                Ordering::Less => &mut self.down,
                Ordering::Equal if old == new => &mut self.same,
                Ordering::Equal => &mut self.terms,
            },
            (None, Some(_)) => &mut self.begun,
            (Some(_), None) if new.is_some() => &mut self.blocked,
            (Some(_), None) => &mut self.gone,
            (None, None) => &mut self.same,
        };
        *count += 1;
    }

    /// Whether anything changes.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let same = self.same;
        *self
            == PriceChanges {
                same,
                ..PriceChanges::default()
            }
    }
}

impl fmt::Display for PriceChanges {
    /// `41 prices up, 3 down, 2 codes blocked`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.up, "up"),
            (self.down, "down"),
            (self.terms, "with other steps or fees"),
            (self.begun, "new"),
            (self.blocked, "blocked"),
            (self.gone, "no longer there"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = parts
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        match told.is_empty() {
            true => f.write_str("no price changes"),
            false => write!(f, "prices: {}", told.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, RatesBuilder, Steps};
    use base::Money;

    /// `(code, price)`; 0 is blocked. Before the deck stands another one, which is not asked.
    fn table(rows: &[(&str, i64)]) -> Rates {
        let mut builder = RatesBuilder::new();
        let mut push = |deck, code: &str, rate| {
            let code = Code::new(code.as_bytes()).unwrap();
            builder.push(DeckId(deck), code, rate, Moment::FIRST, Moment::LAST);
        };
        for (code, price) in rows {
            let rate = Rate {
                is_blocked: *price == 0,
                ..Rate::per_minute(Money::from_parts(price.abs()))
            };
            let minutes = Rate {
                steps: Steps::new(60, 60).unwrap(),
                ..rate
            };
            push(0, code, Rate::per_minute(Money::from_parts(1)));
            push(1, code, if *price < 0 { minutes } else { rate });
        }
        builder.build(Moment(1)).unwrap()
    }

    fn compare(old: &[(&str, i64)], new: &[(&str, i64)]) -> PriceChanges {
        let (old, new) = (table(old), table(new));
        PriceChanges::between((&old, DeckId(1)), (&new, DeckId(1)), Moment(5))
    }

    #[test]
    fn each_kind_of_change() {
        let old = [
            ("1", 10),
            ("2", 10),
            ("3", 10),
            ("4", 10),
            ("5", 10),
            ("6", 0),
            ("7", 10),
            ("8", 0),
        ];
        let new = [
            ("1", 20),
            ("2", 5),
            ("3", -10),
            ("4", 10),
            ("5", 0),
            ("6", 10),
            ("8", 0),
            ("9", 1),
        ];
        let changes = compare(&old, &new);
        let want = PriceChanges {
            up: 1,
            down: 1,
            terms: 1,
            same: 2,
            begun: 2,
            blocked: 1,
            gone: 1,
        };
        assert_eq!(changes, want);
        assert_eq!(
            changes.to_string(),
            "prices: 1 up, 1 down, 1 with other steps or fees, 2 new, 1 blocked, 1 no longer there"
        );
    }

    #[test]
    fn a_code_that_goes_leaves_the_shorter_one() {
        let changes = compare(&[("49", 10), ("4930", 20)], &[("49", 10)]);
        assert_eq!((changes.down, changes.same, changes.gone), (1, 1, 0));
        let changes = compare(&[("49", 10)], &[("49", 10), ("493012", 10)]);
        assert!(changes.is_none(), "{changes}");
        assert_eq!(changes.to_string(), "no price changes");
    }
}
