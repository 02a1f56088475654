//! The prices of many decks in one table: what each of them asks for a number, at a moment.
//!
//! ```text
//!   number ──▶ trie ──▶ each code that the number begins with: "4", "49", "4930"
//!   code   ──▶ cells        which decks have a row for it, and what it says
//!   cell   ──▶ rate         if it says one thing for ever (nearly all do)
//!          ──▶ timeline     if it begins, ends or changes: steps with the moment of each
//! ```
//!
//! A deck's longest code that has a price at the moment counts; the longest codes are asked first,
//! so each deck is done when it is seen for the first time. A price that begins tomorrow is in the
//! table today: nothing is built again when it begins.
//!
//! Cost: the walk of `trie.rs`, then one line for each code on the way and a few for the prices;
//! 8 octets a row, 4 a code, and what `trie.rs` says. Prices that are the same are kept once. The
//! bench `rates` holds both. Built once, off the shards; never changed.

use std::collections::BTreeMap;
use std::fmt;

use smallvec::SmallVec;

use crate::trie::Trie;
use crate::{Code, Rate};

/// A deck of a table: the place that its carrier has among those that are compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeckId(pub u16);

impl DeckId {
    /// The most decks of one table.
    pub const COUNT_MAX: usize = 1_024;
}

/// A price of one table. Means nothing in another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RateId(u32);

impl RateId {
    /// Its place among the prices of its table.
    pub(crate) const fn place(self) -> usize {
        self.0 as usize
    }
}

/// A second of history, since 1970 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Moment(pub u32);

impl Moment {
    /// Before all that is.
    pub const FIRST: Moment = Moment(0);
    /// After all that will be.
    pub const LAST: Moment = Moment(u32::MAX);

    /// So many seconds after 1970 began; a moment of its own, whatever they are, and not the last.
    #[must_use]
    pub fn at(seconds: i64) -> Moment {
        Moment(seconds.clamp(0, i64::from(u32::MAX) - 1) as u32)
    }
}

/// What one deck asks for a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Offer {
    /// Whose.
    pub deck: DeckId,
    /// How much.
    pub rate: RateId,
    /// How many digits of the number the row is about.
    pub digits_count: u8,
}

/// What the decks ask for one number. Reusable; on the heap only with more than sixty-four decks.
pub type Offers = SmallVec<[Offer; 64]>;

/// The prices of many decks, looked up by number and moment.
#[derive(Default)]
pub struct Rates {
    trie: Trie,
    /// By code: where its cells begin; and at the end, where the last ones end.
    starts: Box<[u32]>,
    cells: Box<[Cell]>,
    /// By timeline: where its steps begin; and at the end, where the last ones end.
    timelines: Box<[u32]>,
    steps: Box<[Step]>,
    rates: Box<[Rate]>,
    decks_count: usize,
}

/// The codes that a number begins with, each with how many digits it has. A code has at most
/// [`Code::DIGITS_MAX`], so there are no more of them.
pub(crate) struct Codes {
    /// From the shortest on.
    places: [u32; Code::DIGITS_MAX],
    digits_counts: [u8; Code::DIGITS_MAX],
    count: usize,
}

impl Codes {
    pub(crate) fn longest_first(&self) -> impl Iterator<Item = (u32, u8)> {
        let found = (0..self.count.min(Code::DIGITS_MAX)).rev();
        found.map(|at| (self.places[at], self.digits_counts[at]))
    }
}

/// One deck at one code.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    /// A rate, or with the highest bit a timeline.
    what: u32,
    pub(crate) deck: DeckId,
}

const TIMELINE: u32 = 1 << 31;

/// From this moment on a price holds, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Step {
    from: Moment,
    rate: Option<RateId>,
}

impl Rates {
    /// What each deck asks for this number at this moment: `offers` is emptied, then filled with the
    /// decks that have a price, blocked or not, those with the longest codes first.
    ///
    /// Anything that is not a digit ends the number.
    pub fn offers(&self, digits: &[u8], at: Moment, offers: &mut Offers) {
        offers.clear();
        let mut seen = [0_u64; DeckId::COUNT_MAX / 64];
        for (code, digits_count) in self.codes(digits).longest_first() {
            for cell in self.cells(code) {
                let (word, bit) = (usize::from(cell.deck.0) / 64, cell.deck.0 % 64);
                if seen[word] >> bit & 1 == 1 {
                    continue;
                }
                if let Some(rate) = self.rate_at(*cell, at) {
                    seen[word] |= 1 << bit;
                    offers.push(Offer {
                        deck: cell.deck,
                        rate,
                        digits_count,
                    });
                }
            }
        }
    }

    /// What one deck asks for this number at this moment.
    #[must_use]
    pub fn offer_of(&self, deck: DeckId, digits: &[u8], at: Moment) -> Option<Offer> {
        self.offer_at(deck, &self.codes(digits), at)
    }

    /// As [`Rates::offer_of`], for a number whose codes are known.
    pub(crate) fn offer_at(&self, deck: DeckId, codes: &Codes, at: Moment) -> Option<Offer> {
        codes.longest_first().find_map(|(code, digits_count)| {
            let cells = self.cells(code);
            let place = cells.binary_search_by_key(&deck, |cell| cell.deck).ok()?;
            Some(Offer {
                deck,
                rate: self.rate_at(cells[place], at)?,
                digits_count,
            })
        })
    }

    /// How many digits the longest code has that this number begins with, whosever it is.
    #[must_use]
    pub fn longest(&self, digits: &[u8]) -> Option<usize> {
        self.trie.longest(digits).map(|(_, length)| length)
    }

    /// Tells every row: its code and whose it is. For whoever plans, not for calls.
    pub fn each_row(&self, mut tell: impl FnMut(&[u8], DeckId)) {
        self.trie.walk(|digits, code| {
            self.cells(code)
                .iter()
                .for_each(|cell| tell(digits, cell.deck));
        });
    }

    /// Whether a deck has a row for just this code.
    #[must_use]
    pub fn has_row(&self, deck: DeckId, digits: &[u8]) -> bool {
        let codes = self.codes(digits);
        codes.longest_first().next().is_some_and(|(code, count)| {
            let cells = self.cells(code);
            usize::from(count) == digits.len()
                && cells.binary_search_by_key(&deck, |cell| cell.deck).is_ok()
        })
    }

    /// A price of this table.
    ///
    /// # Panics
    /// If the id is of another table and not in this one.
    #[must_use]
    pub fn rate(&self, id: RateId) -> &Rate {
        &self.rates[id.0 as usize]
    }

    /// All prices, by their places.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rate> {
        self.rates.iter()
    }

    /// How many rows there are: a row that changes on a day counts once.
    #[must_use]
    pub fn rows_count(&self) -> usize {
        self.cells.len()
    }

    /// How many different codes there are.
    #[must_use]
    pub fn codes_count(&self) -> usize {
        self.trie.len()
    }

    /// How many different prices there are.
    #[must_use]
    pub fn rates_count(&self) -> usize {
        self.rates.len()
    }

    /// How many decks there may be in it: ids are below it.
    #[must_use]
    pub fn decks_count(&self) -> usize {
        self.decks_count
    }

    /// The memory of the table, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.trie.bytes()
            + size_of_val(&*self.starts)
            + size_of_val(&*self.cells)
            + size_of_val(&*self.timelines)
            + size_of_val(&*self.steps)
            + size_of_val(&*self.rates)
    }

    /// The codes that a number begins with: one walk, whoever asks what they say.
    pub(crate) fn codes(&self, digits: &[u8]) -> Codes {
        let mut codes = Codes {
            places: [0; Code::DIGITS_MAX],
            digits_counts: [0; Code::DIGITS_MAX],
            count: 0,
        };
        self.trie.each(digits, |code, length| {
            let at = codes.count;
            if at < Code::DIGITS_MAX {
                (codes.places[at], codes.digits_counts[at]) = (code, length as u8);
                codes.count += 1;
            }
        });
        codes
    }

    pub(crate) fn cells(&self, code: u32) -> &[Cell] {
        let code = code as usize;
        &self.cells[self.starts[code] as usize..self.starts[code + 1] as usize]
    }

    /// Tells what a cell says, and from when until when.
    fn each_term(&self, cell: Cell, mut tell: impl FnMut(RateId, Moment, Moment)) {
        if cell.what & TIMELINE == 0 {
            return tell(RateId(cell.what), Moment::FIRST, Moment::LAST);
        }
        let timeline = (cell.what & !TIMELINE) as usize;
        let steps = self.timelines[timeline] as usize..self.timelines[timeline + 1] as usize;
        let steps = &self.steps[steps];
        for (place, step) in steps.iter().enumerate() {
            let until = steps.get(place + 1).map_or(Moment::LAST, |next| next.from);
            if let Some(rate) = step.rate {
                tell(rate, step.from, until);
            }
        }
    }

    /// The price of a cell at a moment, if it has one then.
    #[inline]
    pub(crate) fn rate_at(&self, cell: Cell, at: Moment) -> Option<RateId> {
        match cell.what & TIMELINE {
            0 => Some(RateId(cell.what)),
            _ => self.step_at(cell, at),
        }
    }

    #[inline(never)]
    fn step_at(&self, cell: Cell, at: Moment) -> Option<RateId> {
        let timeline = (cell.what & !TIMELINE) as usize;
        let steps = self.timelines[timeline] as usize..self.timelines[timeline + 1] as usize;
        let steps = &self.steps[steps];
        let next = steps.partition_point(|step| step.from <= at);
        steps[..next].last()?.rate
    }
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates")
            .field("codes", &self.codes_count())
            .field("rows", &self.rows_count())
            .field("rates", &self.rates_count())
            .finish_non_exhaustive()
    }
}

/// Two rows of one deck that say something for the same code at the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overlap {
    /// Whose rows.
    pub deck: DeckId,
    /// About what.
    pub code: Code,
    /// Since when both hold.
    pub from: Moment,
}

/// Lets others have the processor between pieces of work of some ten microseconds.
#[derive(Clone, Copy, Default)]
struct Pace {
    breath: Option<fn()>,
    steps: u32,
}

impl Pace {
    /// So many steps of a few nanoseconds.
    #[inline]
    fn step(&mut self, steps: u32) {
        const PIECE: u32 = 2_048;
        self.steps += steps;
        if self.steps >= PIECE {
            self.steps = 0;
            if let Some(breath) = self.breath {
                breath();
            }
        }
    }
}

/// Takes rows in any order; [`RatesBuilder::build`] sorts them. 24 octets a row.
#[derive(Default)]
pub struct RatesBuilder {
    pace: Pace,
    rows: Vec<Row>,
    ids: BTreeMap<Rate, RateId>,
    rates: Vec<Rate>,
    last: Option<(Rate, RateId)>,
    decks_count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    code: Code,
    deck: DeckId,
    from: Moment,
    until: Moment,
    rate: RateId,
}

impl RatesBuilder {
    /// No rows yet.
    #[must_use]
    pub fn new() -> RatesBuilder {
        RatesBuilder::default()
    }

    /// Has `breath` called between pieces of work of some ten microseconds: a table of millions is
    /// built beside shards, which may be waiting for this processor.
    #[must_use]
    pub fn breathing(self, breath: fn()) -> RatesBuilder {
        let pace = Pace {
            breath: Some(breath),
            steps: 0,
        };
        RatesBuilder { pace, ..self }
    }

    /// Makes room for so many rows at once.
    pub fn reserve(&mut self, rows_count: usize) {
        self.rows.reserve_exact(rows_count);
    }

    /// Adds a row: what a deck asks for a code, from a moment on and before another.
    ///
    /// # Panics
    /// If it ends before it begins, if there are more decks than a table can have, or more than
    /// 2^31 different prices: the reader of decks reports those with their lines.
    pub fn push(&mut self, deck: DeckId, code: Code, rate: Rate, from: Moment, until: Moment) {
        assert!(from < until, "a price holds for some time");
        assert!(
            usize::from(deck.0) < DeckId::COUNT_MAX,
            "a deck of the table"
        );
        self.decks_count = self.decks_count.max(usize::from(deck.0) + 1);
        self.pace.step(8);
        let rate = self.intern(rate);
        self.rows.push(Row {
            code,
            deck,
            from,
            until,
            rate,
        });
    }

    /// Adds the rows of a table's decks, as far as they have not ended: `place` says which deck each
    /// of them is here; none is left out. So a deck that is as before need not be read again.
    ///
    /// # Panics
    /// As [`RatesBuilder::push`].
    pub fn take(&mut self, table: &Rates, place: impl Fn(DeckId) -> Option<DeckId>) {
        // Prices of the table that were met already have their numbers here.
        let mut known: Vec<Option<RateId>> = vec![None; table.rates.len()];
        let places: Vec<_> = (0..table.decks_count)
            .map(|at| place(DeckId(at as u16)))
            .collect();
        table.trie.walk(|digits, code| {
            let Some(code_packed) = Code::new(digits) else {
                return;
            };
            self.pace.step(16 * table.cells(code).len() as u32);
            for cell in table.cells(code) {
                let Some(deck) = places[usize::from(cell.deck.0)] else {
                    continue;
                };
                table.each_term(*cell, |id, from, until| {
                    let known = &mut known[id.0 as usize];
                    let rate = *known.get_or_insert_with(|| self.intern(*table.rate(id)));
                    self.rows.push(Row {
                        code: code_packed,
                        deck,
                        from,
                        until,
                        rate,
                    });
                });
            }
        });
        let last = places.iter().flatten().map(|deck| usize::from(deck.0) + 1);
        self.decks_count = self.decks_count.max(last.max().unwrap_or(0));
    }

    /// The same price again is the same id. Decks are sorted by country, so it often is the last one.
    fn intern(&mut self, rate: Rate) -> RateId {
        if let Some((last, id)) = self.last
            && last == rate
        {
            return id;
        }
        let next = RateId(self.rates.len() as u32);
        let id = *self.ids.entry(rate).or_insert(next);
        if id == next {
            assert!(next.0 < TIMELINE, "a price has 31 bits for its number");
            self.rates.push(rate);
        }
        self.last = Some((rate, id));
        id
    }

    /// The table, as it is from `now` on: what has ended is left out.
    ///
    /// # Errors
    /// Rows that contradict each other, the first hundred of them.
    pub fn build(mut self, now: Moment) -> Result<Rates, Vec<Overlap>> {
        let mut pace = self.pace;
        self.rows.retain(|row| {
            pace.step(1);
            row.until > now
        });
        // Not unstable: each deck comes sorted, and so does a table before; a stable sort finds such
        // runs and has only to merge them.
        self.rows.sort_by(|one, other| {
            pace.step(4);
            one.cmp(other)
        });
        let overlaps = overlaps(&self.rows, &mut pace);
        if !overlaps.is_empty() {
            return Err(overlaps);
        }
        let codes: Vec<&[Row]> = (self.rows)
            .chunk_by(|one, other| one.code == other.code)
            .collect();
        let (trie, order) = Trie::build(codes.len(), |at| codes[at][0].code);
        let mut starts = Vec::with_capacity(codes.len() + 1);
        let mut cells: Vec<Cell> = Vec::with_capacity(self.rows.len());
        let mut timelines = Timelines::default();
        for at in order {
            pace.step(16 * codes[at as usize].len() as u32);
            starts.push(cells.len() as u32);
            for rows in codes[at as usize].chunk_by(|one, other| one.deck == other.deck) {
                let deck = rows[0].deck;
                let what = timelines.of(rows, now);
                cells.push(Cell { what, deck });
            }
        }
        starts.push(cells.len() as u32);
        Ok(Rates {
            trie,
            starts: starts.into(),
            cells: cells.into(),
            timelines: timelines.starts.into(),
            steps: timelines.steps.into(),
            rates: self.rates.into(),
            decks_count: self.decks_count,
        })
    }
}

fn overlaps(rows: &[Row], pace: &mut Pace) -> Vec<Overlap> {
    let beside = rows.windows(2).filter(|pair| {
        pace.step(2);
        let same = pair[0].code == pair[1].code && pair[0].deck == pair[1].deck;
        same && pair[1].from < pair[0].until
    });
    let found = beside.map(|pair| Overlap {
        deck: pair[1].deck,
        code: pair[1].code,
        from: pair[1].from,
    });
    found.take(100).collect()
}

/// Timelines that are there already, so that a deck whose prices all change on one day costs one
/// for each pair of prices.
struct Timelines {
    known: BTreeMap<SmallVec<[Step; 4]>, u32>,
    starts: Vec<u32>,
    steps: Vec<Step>,
}

impl Default for Timelines {
    fn default() -> Timelines {
        Timelines {
            known: BTreeMap::new(),
            starts: vec![0],
            steps: Vec::new(),
        }
    }
}

impl Timelines {
    /// What a cell keeps of the rows of one deck for one code, sorted by time.
    fn of(&mut self, rows: &[Row], now: Moment) -> u32 {
        if let [row] = rows
            && row.from <= now
            && row.until == Moment::LAST
        {
            return row.rate.0;
        }
        let mut steps: SmallVec<[Step; 4]> = SmallVec::new();
        for (place, row) in rows.iter().enumerate() {
            let from = if row.from <= now {
                Moment::FIRST
            } else {
                row.from
            };
            let rate = Some(row.rate);
            steps.push(Step { from, rate });
            let next = rows.get(place + 1).map_or(Moment::LAST, |next| next.from);
            if row.until < next {
                steps.push(Step {
                    from: row.until,
                    rate: None,
                });
            }
        }
        let next = self.starts.len() as u32 - 1;
        let id = *self.known.entry(steps.clone()).or_insert(next);
        if id == next {
            assert!(next < TIMELINE, "a timeline has 31 bits for its number");
            self.steps.extend_from_slice(&steps);
            self.starts.push(self.steps.len() as u32);
        }
        TIMELINE | id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Money;
    use proptest::prelude::*;

    const VENDOR_A: DeckId = DeckId(0);
    const VENDOR_B: DeckId = DeckId(1);

    fn rate(parts: i64) -> Rate {
        Rate::per_minute(Money::from_parts(parts))
    }

    fn code(digits: &str) -> Code {
        Code::new(digits.as_bytes()).unwrap()
    }

    fn offers(table: &Rates, digits: &str, at: u32) -> Vec<(u16, i64, u8)> {
        let mut offers = Offers::new();
        table.offers(digits.as_bytes(), Moment(at), &mut offers);
        let plain = offers.iter().map(|offer| {
            let parts = table.rate(offer.rate).per_minute.parts();
            (offer.deck.0, parts, offer.digits_count)
        });
        let mut plain: Vec<_> = plain.collect();
        plain.sort_unstable();
        plain
    }

    #[test]
    fn the_longest_code_of_each_deck_counts() {
        let mut builder = RatesBuilder::new();
        for (deck, digits, parts) in [
            (VENDOR_A, "49", 10),
            (VENDOR_A, "4930", 20),
            (VENDOR_B, "4", 30),
            (VENDOR_B, "493012", 40),
        ] {
            builder.push(deck, code(digits), rate(parts), Moment::FIRST, Moment::LAST);
        }
        let table = builder.build(Moment(1_000)).unwrap();
        assert_eq!(offers(&table, "49301299", 1_000), [(0, 20, 4), (1, 40, 6)]);
        assert_eq!(offers(&table, "49301", 1_000), [(0, 20, 4), (1, 30, 1)]);
        assert_eq!(offers(&table, "4915", 1_000), [(0, 10, 2), (1, 30, 1)]);
        assert_eq!(offers(&table, "41", 1_000), [(1, 30, 1)]);
        assert_eq!(offers(&table, "1", 1_000), []);
        assert_eq!(offers(&table, "", 1_000), []);
        let one = table.offer_of(VENDOR_B, b"4930", Moment(1_000)).unwrap();
        assert_eq!((one.deck, one.digits_count), (VENDOR_B, 1));
        assert_eq!(table.offer_of(VENDOR_A, b"41", Moment(1_000)), None);
        assert_eq!(
            (table.rows_count(), table.codes_count(), table.rates_count()),
            (4, 4, 4)
        );
    }

    #[test]
    fn a_price_begins_and_ends_at_its_second() {
        let mut builder = RatesBuilder::new();
        let mut push = |digits, parts, from, until| {
            builder.push(
                VENDOR_A,
                code(digits),
                rate(parts),
                Moment(from),
                Moment(until),
            );
        };
        push("49", 1, 0, 2_000);
        push("49", 2, 2_000, u32::MAX);
        push("4930", 3, 2_500, 3_000);
        push("4930", 4, 100, 900);
        let table = builder.build(Moment(1_000)).unwrap();
        for (at, want) in [
            (1_000, (0, 1, 2)),
            (1_999, (0, 1, 2)),
            (2_000, (0, 2, 2)),
            (2_499, (0, 2, 2)),
            (2_500, (0, 3, 4)),
            (2_999, (0, 3, 4)),
            (3_000, (0, 2, 2)),
        ] {
            assert_eq!(offers(&table, "493012", at), [want], "{at}");
        }
    }

    #[test]
    fn contradictions_are_told() {
        let mut builder = RatesBuilder::new();
        builder.push(VENDOR_A, code("49"), rate(1), Moment(0), Moment::LAST);
        builder.push(VENDOR_A, code("49"), rate(2), Moment(5_000), Moment::LAST);
        builder.push(VENDOR_B, code("49"), rate(2), Moment(5_000), Moment::LAST);
        let overlap = Overlap {
            deck: VENDOR_A,
            code: code("49"),
            from: Moment(5_000),
        };
        assert_eq!(builder.build(Moment(1_000)).unwrap_err(), [overlap]);
    }

    #[test]
    fn nothing_is_asked_of_nothing() {
        let table = RatesBuilder::new().build(Moment(1_000)).unwrap();
        assert_eq!(offers(&table, "49", 1_000), []);
        assert_eq!(offers(&Rates::default(), "49", 1_000), []);
    }

    /// Rows of few digits and moments, so that they nest, follow and leave holes.
    fn rows() -> impl Strategy<Value = Vec<(u16, String, u32, u32, i64)>> {
        let row = (0_u16..4, "[0-2]{1,5}", 0_u32..40, 1_u32..30, 0_i64..6);
        let ending = |(deck, digits, from, length, parts)| {
            let until: u32 = from + length;
            (
                deck,
                digits,
                from,
                if until > 50 { u32::MAX } else { until },
                parts,
            )
        };
        proptest::collection::vec(row.prop_map(ending), 0..60)
    }

    proptest! {
        #[test]
        fn agrees_with_a_walk_over_all_rows(
            rows in rows(),
            now in 0_u32..30,
            is_taken: bool,
            asked in proptest::collection::vec(("[0-2]{0,7}", 0_u32..60), 1..40),
        ) {
            let mut kept: Vec<(u16, String, u32, u32, i64)> = Vec::new();
            for row in rows {
                let clashes = |other: &&(u16, String, u32, u32, i64)| {
                    (other.0, &other.1) == (row.0, &row.1) && row.2 < other.3 && other.2 < row.3
                };
                if !kept.iter().any(|other| clashes(&other)) {
                    kept.push(row);
                }
            }
            let mut builder = RatesBuilder::new();
            for (deck, digits, from, until, parts) in &kept {
                builder.push(DeckId(*deck), code(digits), rate(*parts), Moment(*from), Moment(*until));
            }
            let mut table = builder.build(Moment(now)).unwrap();
            if is_taken {
                // Two decks of a table, two read again: the same as all read.
                let mut again = RatesBuilder::new();
                for (deck, digits, from, until, parts) in kept.iter().filter(|row| row.0 < 2) {
                    again.push(DeckId(*deck), code(digits), rate(*parts), Moment(*from), Moment(*until));
                }
                again.take(&table, |deck| (deck.0 >= 2).then_some(deck));
                prop_assert_eq!(again.decks_count, table.decks_count());
                table = again.build(Moment(now)).unwrap();
            }
            for (digits, at) in asked {
                let at = at.max(now);
                let mut want = Vec::new();
                for deck in 0..4 {
                    let fits = kept.iter().filter(|row| {
                        row.0 == deck && digits.starts_with(&row.1) && (row.2..row.3).contains(&at)
                    });
                    want.extend(fits.max_by_key(|row| row.1.len()).map(|row| (deck, row.4, row.1.len() as u8)));
                }
                prop_assert_eq!(offers(&table, &digits, at), want.clone());
                for deck in 0..4 {
                    let one = table.offer_of(DeckId(deck), digits.as_bytes(), Moment(at));
                    let one = one.map(|it| (deck, table.rate(it.rate).per_minute.parts(), it.digits_count));
                    prop_assert_eq!(one, want.iter().copied().find(|it| it.0 == deck));
                }
            }
        }
    }
}
