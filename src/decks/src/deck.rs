//! A deck in memory: rows sorted by code and time, and how a new one takes the place of an old one.
//!
//! A *full* deck says all that its carrier has: what it does not name ends when it begins. A *partial*
//! one says what changes, and leaves the rest. Either way a price that begins ends the one before it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use route::{Code, DeckId, Moment, Rate, Rates, RatesBuilder};

use crate::Dialect;
use crate::read::{Entry, NotRead, Report, read};

/// The rows of one carrier's deck, in one currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deck {
    currency: String,
    rates: Vec<Rate>,
    destinations: Vec<String>,
    rows: Vec<Row>,
}

/// A price for one code. 32 octets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Row {
    code: Code,
    from: Moment,
    until: Moment,
    rate: u32,
    destination: u32,
    line: u32,
}

/// A row as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Priced<'d> {
    /// About which numbers.
    pub code: Code,
    /// In words.
    pub destination: &'d str,
    /// For how much.
    pub rate: &'d Rate,
    /// From when on.
    pub from: Moment,
    /// Before when.
    pub until: Moment,
    /// The line of the file that it came from.
    pub line: u32,
}

/// Whether a deck says all or what changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// What is not in it ends.
    Full,
    /// What is not in it stays.
    Partial,
}

/// Two lines that say something for one code at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clash {
    /// About what.
    pub code: Code,
    /// The two lines.
    pub lines: (u32, u32),
    /// Whether they say the same.
    pub is_same: bool,
}

/// Collects the entries of a reading.
#[derive(Debug, Default)]
pub struct Collector {
    rates: Vec<Rate>,
    rate_ids: HashMap<Rate, u32>,
    destinations: Vec<String>,
    destination_ids: HashMap<String, u32>,
    rows: Vec<Row>,
}

impl Collector {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Collector {
        Collector::default()
    }

    /// Adds what a line says. Prices without a beginning begin at `from`.
    pub fn add(&mut self, entry: &Entry<'_>, from: Moment) {
        let rate = match self.rate_ids.get(&entry.rate) {
            Some(id) => *id,
            None => {
                let id = self.rates.len() as u32;
                self.rates.push(entry.rate);
                self.rate_ids.insert(entry.rate, id);
                id
            }
        };
        let destination = match self.destination_ids.get(entry.destination) {
            Some(id) => *id,
            None => {
                let id = self.destinations.len() as u32;
                self.destinations.push(entry.destination.to_owned());
                self.destination_ids
                    .insert(entry.destination.to_owned(), id);
                id
            }
        };
        let from = entry.from.unwrap_or(from);
        let until = entry.until.unwrap_or(Moment::LAST);
        // A line that has ended before the deck begins says nothing any more.
        if until <= from {
            return;
        }
        self.rows.extend(entry.codes.iter().map(|&code| Row {
            code,
            from,
            until,
            rate,
            destination,
            line: entry.line,
        }));
    }

    /// The deck, and where its lines clash. Of two lines that say the same one is kept; of others a
    /// price without an end ends where the next one of its code begins, which is no clash.
    #[must_use]
    pub fn finish(self, currency: &str) -> (Deck, Vec<Clash>) {
        let Collector {
            rates,
            destinations,
            mut rows,
            ..
        } = self;
        // Of lines that clash the first one stays.
        rows.sort_unstable_by_key(|row| (row.code, row.from, row.line));
        let mut clashes = Vec::new();
        let mut kept: Vec<Row> = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(before) = kept.last_mut().filter(|before| before.code == row.code)
                && row.from < before.until
            {
                let clash = Clash {
                    code: row.code,
                    lines: (before.line, row.line),
                    is_same: before.rate == row.rate,
                };
                if before.from < row.from && before.until == Moment::LAST {
                    before.until = row.from;
                } else {
                    clashes.push(clash);
                    continue;
                }
            }
            kept.push(row);
        }
        let deck = Deck {
            currency: currency.to_owned(),
            rates,
            destinations,
            rows: kept,
        };
        (deck, clashes)
    }
}

/// Reads a deck whole. Prices without a beginning begin at `from`; `progress` is told every few lines,
/// and at the end, how many lines with prices there were so far. What comes back besides the deck are the lines that clash
/// and what is wrong with others.
///
/// # Errors
/// Why there is no deck.
pub fn collect(
    path: &Path,
    dialect: &Dialect,
    from: Moment,
    progress: &mut dyn FnMut(u64),
) -> Result<(Deck, Vec<Clash>, Report), NotRead> {
    // Some ten microseconds of work, after which whoever is told may let others have the processor.
    const TOLD_EACH: u64 = 32;
    let mut collector = Collector::new();
    let mut lines: u64 = 0;
    let report = read(path, dialect, &mut |entry| {
        collector.add(entry, from);
        lines += 1;
        if lines.is_multiple_of(TOLD_EACH) {
            progress(lines);
        }
        ControlFlow::Continue(())
    })?;
    progress(lines);
    let (deck, clashes) = collector.finish(&dialect.currency);
    Ok((deck, clashes, report))
}

impl Deck {
    /// One without rows.
    #[must_use]
    pub fn empty(currency: &str) -> Deck {
        Collector::new().finish(currency).0
    }

    /// Its currency.
    #[must_use]
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows, by code and time.
    pub fn rows(&self) -> impl Iterator<Item = Priced<'_>> {
        self.rows.iter().map(|row| Priced {
            code: row.code,
            destination: &self.destinations[row.destination as usize],
            rate: &self.rates[row.rate as usize],
            from: row.from,
            until: row.until,
            line: row.line,
        })
    }

    /// Its prices as the table that calls are rated by, alone in it.
    #[must_use]
    pub fn table(&self, now: Moment) -> Rates {
        let mut builder = RatesBuilder::new();
        builder.reserve(self.rows.len());
        self.add_to(&mut builder, DeckId(0));
        builder
            .build(now)
            .expect("rows of a deck follow each other")
    }

    /// Adds its prices to a table of many decks.
    pub fn add_to(&self, builder: &mut RatesBuilder, deck: DeckId) {
        for row in &self.rows {
            builder.push(
                deck,
                row.code,
                self.rates[row.rate as usize],
                row.from,
                row.until,
            );
        }
    }

    /// This deck as it is once `new` has come, which begins at `from`.
    ///
    /// A price of the new deck ends that of the old one for its code when it begins, and where it
    /// ends itself nothing comes back. What a full deck does not name ends at `from`.
    #[must_use]
    pub fn followed_by(&self, new: &Deck, extent: Extent, from: Moment) -> Deck {
        let mut merged = Collector::new();
        let mut coming = new
            .rows
            .chunk_by(|one, other| one.code == other.code)
            .peekable();
        for old in self.rows.chunk_by(|one, other| one.code == other.code) {
            let code = old[0].code;
            while let Some(rows) = coming.next_if(|rows| rows[0].code < code) {
                merged.extend(new, rows, Moment::LAST);
            }
            let replaced = coming.next_if(|rows| rows[0].code == code);
            let end = match (replaced, extent) {
                (Some(rows), _) => rows[0].from,
                (None, Extent::Full) => from,
                (None, Extent::Partial) => Moment::LAST,
            };
            merged.extend(self, old, end);
            if let Some(rows) = replaced {
                merged.extend(new, rows, Moment::LAST);
            }
        }
        for rows in coming {
            merged.extend(new, rows, Moment::LAST);
        }
        merged.finish(&new.currency).0
    }
}

impl Collector {
    /// Rows of one code, those parts of them that lie before `end`.
    fn extend(&mut self, of: &Deck, rows: &[Row], end: Moment) {
        for row in rows {
            let until = row.until.min(end);
            let entry = Entry {
                line: row.line,
                codes: &[row.code],
                destination: &of.destinations[row.destination as usize],
                rate: of.rates[row.rate as usize],
                by_region: crate::ByRegion::default(),
                from: Some(row.from),
                until: Some(until),
            };
            self.add(&entry, row.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Money;
    use proptest::prelude::*;

    /// `(code, price, from, until)`, each line with its number.
    fn deck(rows: &[(&str, i64, u32, u32)]) -> (Deck, Vec<Clash>) {
        let mut collector = Collector::new();
        for (line, (digits, parts, from, until)) in rows.iter().enumerate() {
            let code = Code::new(digits.as_bytes()).unwrap();
            collector.add(
                &Entry {
                    line: line as u32 + 1,
                    codes: &[code],
                    destination: "somewhere",
                    rate: Rate::per_minute(Money::from_parts(*parts)),
                    by_region: crate::ByRegion::default(),
                    from: Some(Moment(*from)),
                    until: Some(Moment(*until)),
                },
                Moment::FIRST,
            );
        }
        collector.finish("EUR")
    }

    fn told(deck: &Deck) -> Vec<(String, i64, u32, u32)> {
        let row = |row: Priced<'_>| {
            (
                row.code.to_string(),
                row.rate.per_minute.parts(),
                row.from.0,
                row.until.0,
            )
        };
        deck.rows().map(row).collect()
    }

    const EVER: u32 = u32::MAX;

    #[test]
    fn a_price_ends_where_the_next_begins() {
        let (one, clashes) = deck(&[("49", 2, 500, EVER), ("49", 1, 0, EVER), ("4", 3, 0, EVER)]);
        assert_eq!(
            told(&one),
            [
                ("4".into(), 3, 0, EVER),
                ("49".into(), 1, 0, 500),
                ("49".into(), 2, 500, EVER)
            ]
        );
        assert_eq!(clashes, []);
        let (one, clashes) = deck(&[
            ("49", 1, 0, EVER),
            ("49", 2, 0, EVER),
            ("49", 1, 0, EVER),
            ("43", 1, 0, 900),
            ("43", 2, 500, 800),
        ]);
        assert_eq!(one.len(), 2);
        let lines: Vec<_> = clashes
            .iter()
            .map(|clash| (clash.lines, clash.is_same))
            .collect();
        assert_eq!(lines, [((4, 5), false), ((1, 2), false), ((1, 3), true)]);
    }

    #[test]
    fn full_and_partial_decks() {
        let (old, _) = deck(&[
            ("43", 1, 0, EVER),
            ("49", 1, 0, EVER),
            ("4930", 5, 0, 300),
            ("7", 9, 0, EVER),
        ]);
        let (new, _) = deck(&[
            ("41", 4, 200, EVER),
            ("49", 2, 500, EVER),
            ("7", 8, 200, 600),
        ]);
        let kept = [
            ("41".into(), 4, 200, EVER),
            ("49".into(), 1, 0, 500),
            ("49".into(), 2, 500, EVER),
        ];
        let seven = [("7".into(), 9, 0, 200), ("7".into(), 8, 200, 600)];
        let full = told(&old.followed_by(&new, Extent::Full, Moment(200)));
        let mut want = [
            &kept[..],
            &[("43".into(), 1, 0, 200), ("4930".into(), 5, 0, 200)],
            &seven,
        ]
        .concat();
        want.sort();
        let mut sorted = full.clone();
        sorted.sort();
        want.sort();
        assert_eq!(sorted, want);
        let partial = told(&old.followed_by(&new, Extent::Partial, Moment(200)));
        assert!(
            partial.contains(&("43".into(), 1, 0, EVER))
                && partial.contains(&("4930".into(), 5, 0, 300))
        );
        assert_eq!(partial.len(), full.len());
    }

    #[test]
    fn its_table_rates_calls() {
        let (one, _) = deck(&[("49", 1, 0, 500), ("49", 2, 500, EVER)]);
        let table = one.table(Moment(100));
        let at = |at| {
            let offer = table.offer_of(DeckId(0), b"4930", Moment(at)).unwrap();
            table.rate(offer.rate).per_minute.parts()
        };
        assert_eq!((at(100), at(499), at(500)), (1, 1, 2));
    }

    proptest! {
        /// At each moment: the new deck's price where it has one or had one, else the old one's
        /// unless the new one is full and has begun.
        #[test]
        fn a_merged_deck_says_what_both_say(
            old in proptest::collection::vec(("[0-2]{1,2}", 1_i64..9, 0_u32..50), 0..12),
            new in proptest::collection::vec(("[0-2]{1,2}", 10_i64..19, 20_u32..50), 0..12),
            is_full in any::<bool>(),
            at in 0_u32..60,
        ) {
            let plain = |rows: &[(String, i64, u32)]| {
                let rows: Vec<_> = rows.iter().map(|(code, parts, from)| (code.as_str(), *parts, *from, EVER)).collect();
                deck(&rows).0
            };
            let (old, new) = (plain(&old), plain(&new));
            let extent = if is_full { Extent::Full } else { Extent::Partial };
            let merged = old.followed_by(&new, extent, Moment(20));
            let price = |deck: &Deck, code: &str| {
                let mut rows = deck.rows().filter(|row| row.code.to_string() == code && (row.from.0..row.until.0).contains(&at));
                let found = rows.next().map(|row| row.rate.per_minute.parts());
                assert!(rows.next().is_none(), "one price at a time");
                found
            };
            for code in ["0", "1", "2", "00", "01", "02", "10", "11", "12", "20", "21", "22"] {
                let is_named = new.rows().any(|row| row.code.to_string() == code);
                let from_old = price(&old, code).filter(|_| !(is_full && !is_named && at >= 20));
                prop_assert_eq!(price(&merged, code), price(&new, code).or(from_old), "{} at {}", code, at);
            }
        }
    }
}
