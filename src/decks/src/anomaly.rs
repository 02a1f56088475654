//! What is odd about a new deck, before it is used: told with examples, and able to stop it.

use std::fmt;

use base::Money;
use route::{Code, DeckId, Moment, Rates};

use crate::deck::{Clash, Deck, Extent, Priced};

/// What counts as odd. The limits of a carrier's contract.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectations {
    /// A price up by more than so many percent is a jump.
    pub up_percent_max: u32,
    /// A price down by more than so many percent is one too.
    pub down_percent_max: u32,
    /// A price a minute above this is out of scale.
    pub per_minute_max: Money,
    /// How many days ahead a higher price is to be announced.
    pub notice_days: u32,
    /// So many odd rows of one kind, in hundredths of a percent of the deck, stop it; `None` for never.
    pub stop_at: [Option<u32>; Kind::ALL.len()],
}

impl Default for Expectations {
    /// Half as much again, or half; ten units a minute; no notice. Contradictions stop a deck at
    /// once, prices out of scale and holes from one in a hundred on.
    fn default() -> Expectations {
        let mut stop_at = [None; Kind::ALL.len()];
        stop_at[Kind::Contradiction as usize] = Some(0);
        stop_at[Kind::OutOfScale as usize] = Some(100);
        stop_at[Kind::Hole as usize] = Some(100);
        stop_at[Kind::JumpUp as usize] = Some(2_500);
        Expectations {
            up_percent_max: 50,
            down_percent_max: 50,
            per_minute_max: Money::from_parts(10 * Money::UNIT),
            notice_days: 0,
            stop_at,
        }
    }
}

/// A kind of oddity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Two lines say different prices for one code at one moment.
    Contradiction,
    /// Two lines say the same.
    Duplicate,
    /// A price rises by more than is expected.
    JumpUp,
    /// A price falls by more than is expected.
    JumpDown,
    /// Numbers that had a price have none, or one of a shorter code.
    Hole,
    /// A price begins in the past.
    Past,
    /// A higher price begins before its notice is over.
    ShortNotice,
    /// A price is larger than any is.
    OutOfScale,
    /// A price is nothing, and the row is not blocked.
    Free,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::Contradiction,
        Kind::Duplicate,
        Kind::JumpUp,
        Kind::JumpDown,
        Kind::Hole,
        Kind::Past,
        Kind::ShortNotice,
        Kind::OutOfScale,
        Kind::Free,
    ];

    /// In words, of several rows.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Kind::Contradiction => "contradict another line",
            Kind::Duplicate => "repeat another line",
            Kind::JumpUp => "rise by more than expected",
            Kind::JumpDown => "fall by more than expected",
            Kind::Hole => "are in the old deck and in no row of the new one",
            Kind::Past => "begin in the past",
            Kind::ShortNotice => "rise before their notice is over",
            Kind::OutOfScale => "are dearer than any price should be",
            Kind::Free => "cost nothing",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// One odd row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Example {
    /// About which numbers.
    pub code: Code,
    /// In words.
    pub destination: String,
    /// The line of the new deck, or of the old one for a hole.
    pub line: u32,
    /// What is odd, in words.
    pub what: String,
}

/// The odd rows of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oddity {
    /// Which.
    pub kind: Kind,
    /// How many rows.
    pub count: u64,
    /// Whether so many stop the deck.
    pub stops: bool,
    /// The first [`EXAMPLES_MAX`].
    pub examples: Vec<Example>,
}

/// How many examples of each kind are told.
pub const EXAMPLES_MAX: usize = 10;

/// What is odd about a deck as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Judgement {
    /// By kind, those that there are.
    pub oddities: Vec<Oddity>,
    /// Rows that are dearer, cheaper, new, the same, and gone.
    pub changes: Changes,
}

/// How the prices of a deck move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Rows with a higher price than their numbers have in the old deck.
    pub up: u64,
    /// Rows with a lower one.
    pub down: u64,
    /// Rows with the same.
    pub same: u64,
    /// Rows for numbers that the old deck does not have.
    pub new: u64,
    /// Rows of the old deck whose numbers have nothing any more.
    pub gone: u64,
    /// Rows that are blocked, and were not.
    pub blocked: u64,
}

impl Judgement {
    /// Whether the deck must not be used as it is.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.oddities.iter().any(|oddity| oddity.stops)
    }

    /// The oddities of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Option<&Oddity> {
        self.oddities.iter().find(|oddity| oddity.kind == kind)
    }
}

/// Looks at a deck that shall follow another one.
#[must_use]
pub fn judge(
    old: &Deck,
    new: &Deck,
    clashes: &[Clash],
    extent: Extent,
    now: Moment,
    expect: &Expectations,
) -> Judgement {
    let mut judge = Judge {
        found: Kind::ALL.map(|_| (0, Vec::new())),
        changes: Changes::default(),
        old: old.table(now),
        now,
        expect,
    };
    for clash in clashes {
        judge.clash(clash);
    }
    for row in new.rows() {
        judge.row(&row);
    }
    if extent == Extent::Full {
        judge.holes(old, new);
    }
    judge.judgement(new.len())
}

struct Judge<'j> {
    found: [(u64, Vec<Example>); Kind::ALL.len()],
    changes: Changes,
    old: Rates,
    now: Moment,
    expect: &'j Expectations,
}

impl Judge<'_> {
    fn note(
        &mut self,
        kind: Kind,
        code: Code,
        destination: &str,
        line: u32,
        what: impl FnOnce() -> String,
    ) {
        let (count, examples) = &mut self.found[kind as usize];
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(Example {
                code,
                destination: destination.to_owned(),
                line,
                what: what(),
            });
        }
    }

    fn clash(&mut self, clash: &Clash) {
        let kind = match clash.is_same {
            true => Kind::Duplicate,
            false => Kind::Contradiction,
        };
        let (first, second) = clash.lines;
        self.note(kind, clash.code, "", second, || {
            format!("line {first} says something for it already")
        });
    }

    fn row(&mut self, row: &Priced<'_>) {
        let note = |judge: &mut Self, kind, what: &dyn Fn() -> String| {
            judge.note(kind, row.code, row.destination, row.line, what);
        };
        let price = row.rate.per_minute;
        if row.rate.is_blocked {
            let was = self
                .price_before(row)
                .is_some_and(|(_, was_blocked)| !was_blocked);
            self.changes.blocked += u64::from(was);
            return;
        }
        if price > self.expect.per_minute_max {
            note(self, Kind::OutOfScale, &|| format!("{price} a minute"));
        }
        if price == Money::ZERO && row.rate.connect_fee == Money::ZERO {
            note(self, Kind::Free, &|| "0.00 a minute and no fee".to_owned());
        }
        // What began long ago and says what holds anyway is no news.
        let before = self.price_before(row);
        let is_news = before.is_none_or(|(was, was_blocked)| was != price || was_blocked);
        let day = 86_400;
        if is_news && row.from > Moment::FIRST && row.from.0 + day < self.now.0 {
            let days = (self.now.0 - row.from.0) / day;
            note(self, Kind::Past, &|| format!("begins {days} days ago"));
        }
        let Some((was, _)) = before else {
            self.changes.new += 1;
            return;
        };
        match price.cmp(&was) {
            std::cmp::Ordering::Equal => self.changes.same += 1,
            std::cmp::Ordering::Greater => {
                self.changes.up += 1;
                let notice = u64::from(self.expect.notice_days) * u64::from(day);
                if notice > 0 && u64::from(row.from.0) < u64::from(self.now.0) + notice {
                    note(self, Kind::ShortNotice, &|| {
                        format!(
                            "{was} to {price} in less than {} days",
                            self.expect.notice_days
                        )
                    });
                }
                if is_beyond(was, price, self.expect.up_percent_max) {
                    note(self, Kind::JumpUp, &|| format!("{was} to {price}"));
                }
            }
            std::cmp::Ordering::Less => {
                self.changes.down += 1;
                if is_beyond(was, price, self.expect.down_percent_max) {
                    note(self, Kind::JumpDown, &|| format!("{was} to {price}"));
                }
            }
        }
    }

    /// What these numbers cost in the old deck when the row begins, and whether they were blocked.
    fn price_before(&self, row: &Priced<'_>) -> Option<(Money, bool)> {
        let digits = row.code.to_string();
        let at = row.from.max(self.now);
        let offer = self.old.offer_of(DeckId(0), digits.as_bytes(), at)?;
        let rate = self.old.rate(offer.rate);
        Some((rate.per_minute, rate.is_blocked))
    }

    /// Codes of the old deck that fall to a shorter code of the new one, or to none.
    fn holes(&mut self, old: &Deck, new: &Deck) {
        let begins = new
            .rows()
            .map(|row| row.from)
            .max()
            .unwrap_or(self.now)
            .max(self.now);
        let table = new.table(Moment::FIRST);
        for row in old.rows().filter(|row| row.until > begins) {
            let digits = row.code.to_string();
            match table.offer_of(DeckId(0), digits.as_bytes(), begins) {
                None => {
                    self.changes.gone += 1;
                    self.note(Kind::Hole, row.code, row.destination, row.line, || {
                        "has no price any more".to_owned()
                    });
                }
                Some(offer) if usize::from(offer.digits_count) < row.code.digits_count() => {
                    let rate = table.rate(offer.rate).per_minute;
                    let (shorter, was) = (
                        &digits[..usize::from(offer.digits_count)],
                        row.rate.per_minute,
                    );
                    // A code that is no longer needed, because the shorter one costs the same, is none.
                    if rate != was {
                        self.note(Kind::Hole, row.code, row.destination, row.line, || {
                            format!("falls to {shorter}: {was} to {rate}")
                        });
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn judgement(self, rows: usize) -> Judgement {
        let mut oddities = Vec::new();
        for (kind, (count, examples)) in Kind::ALL.into_iter().zip(self.found) {
            if count > 0 {
                let share = count * 10_000;
                let stops = self.expect.stop_at[kind as usize]
                    .is_some_and(|limit| share > u64::from(limit) * rows.max(1) as u64);
                oddities.push(Oddity {
                    kind,
                    count,
                    stops,
                    examples,
                });
            }
        }
        Judgement {
            oddities,
            changes: self.changes,
        }
    }
}

/// Whether two prices differ by more than so many percent of the first.
fn is_beyond(was: Money, is: Money, percent: u32) -> bool {
    let (was, is) = (i128::from(was.parts()), i128::from(is.parts()));
    (is - was).abs() * 100 > was * i128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deck::Collector;
    use crate::read::{ByRegion, Entry};
    use route::Rate;

    const NOW: u32 = 1_800_000_000;
    const DAY: u32 = 86_400;

    fn deck(rows: &[(&str, &str, u32)]) -> (Deck, Vec<Clash>) {
        let mut collector = Collector::new();
        for (line, (digits, price, from)) in rows.iter().enumerate() {
            let code = Code::new(digits.as_bytes()).unwrap();
            let is_blocked = *price == "blocked";
            let price = Money::parse(price).unwrap_or(Money::ZERO);
            let rate = Rate {
                is_blocked,
                ..Rate::per_minute(price)
            };
            let entry = Entry {
                line: line as u32 + 2,
                codes: &[code],
                destination: digits,
                rate,
                by_region: ByRegion::default(),
                from: Some(Moment(*from)),
                until: None,
            };
            collector.add(&entry, Moment(NOW));
        }
        collector.finish("EUR")
    }

    fn told(
        old: &[(&str, &str, u32)],
        new: &[(&str, &str, u32)],
        expect: &Expectations,
    ) -> (Vec<String>, Judgement) {
        let (old, _) = deck(old);
        let (new, clashes) = deck(new);
        let judgement = judge(&old, &new, &clashes, Extent::Full, Moment(NOW), expect);
        let told = judgement.oddities.iter().map(|oddity| {
            let first = &oddity.examples[0];
            let stops = if oddity.stops { "!" } else { "" };
            format!(
                "{:?}{stops} {} {}: {}",
                oddity.kind, oddity.count, first.code, first.what
            )
        });
        (told.collect(), judgement)
    }

    #[test]
    fn a_deck_like_the_last_one_is_not_odd() {
        let old = [("49", "0.01", 0), ("4915", "0.02", 0), ("43", "0.03", 0)];
        let new = [
            ("49", "0.01", NOW),
            ("4915", "0.022", NOW),
            ("43", "0.02", NOW),
        ];
        let (told, judgement) = told(&old, &new, &Expectations::default());
        assert_eq!(told, [""; 0]);
        let changes = judgement.changes;
        assert_eq!(
            (
                changes.same,
                changes.up,
                changes.down,
                changes.new,
                changes.gone
            ),
            (1, 1, 1, 0, 0)
        );
    }

    #[test]
    fn each_kind_of_oddity() {
        let expect = Expectations {
            notice_days: 7,
            ..Expectations::default()
        };
        let old = [
            ("1", "0.01", 0),
            ("2", "0.01", 0),
            ("3", "0.01", 0),
            ("4", "0.01", 0),
            ("44", "0.05", 0),
            ("5", "0.01", 0),
            ("6", "0.01", 0),
        ];
        let week = NOW + 7 * DAY;
        let new = [
            ("1", "0.02", week),
            ("2", "0.004", NOW),
            ("3", "0.011", NOW + DAY),
            ("4", "0.01", NOW),
            ("5", "0.009", NOW - 3 * DAY),
            ("7", "11", NOW),
            ("8", "0", NOW),
            ("9", "0.01", NOW),
            ("9", "0.02", NOW),
            ("90", "0.01", NOW),
            ("90", "0.01", NOW),
            ("91", "blocked", NOW),
        ];
        let (told, judgement) = told(&old, &new, &expect);
        assert_eq!(
            told,
            [
                "Contradiction! 1 9: line 9 says something for it already",
                "Duplicate 1 90: line 11 says something for it already",
                "JumpUp 1 1: 0.01 to 0.02",
                "JumpDown 1 2: 0.01 to 0.004",
                "Hole! 2 44: falls to 4: 0.05 to 0.01",
                "Past 1 5: begins 3 days ago",
                "ShortNotice 1 3: 0.01 to 0.011 in less than 7 days",
                "OutOfScale! 1 7: 11.00 a minute",
                "Free 1 8: 0.00 a minute and no fee",
            ]
        );
        assert!(judgement.stops());
        assert_eq!(judgement.changes.gone, 1);
        assert_eq!(
            judgement.of(Kind::Hole).unwrap().examples[1].what,
            "has no price any more"
        );
        for kind in Kind::ALL {
            assert!(judgement.of(kind).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn a_first_deck_has_nothing_to_be_held_against() {
        let (told, judgement) = told(
            &[],
            &[("49", "0.01", 0), ("43", "0.02", NOW)],
            &Expectations::default(),
        );
        assert_eq!(told, [""; 0]);
        assert_eq!(judgement.changes.new, 2);
    }

    #[test]
    fn examples_are_bounded_and_shares_decide() {
        let codes: Vec<String> = (100..400).map(|code| code.to_string()).collect();
        let old: Vec<_> = codes
            .iter()
            .map(|code| (code.as_str(), "0.01", 0))
            .collect();
        let with = |odd: usize| {
            let price = |at| if at < odd { "0.05" } else { "0.01" };
            let new: Vec<_> = codes
                .iter()
                .enumerate()
                .map(|(at, code)| (code.as_str(), price(at), NOW))
                .collect();
            told(&old, &new, &Expectations::default()).1
        };
        let few = with(75);
        assert_eq!(
            (few.of(Kind::JumpUp).unwrap().examples.len(), few.stops()),
            (EXAMPLES_MAX, false)
        );
        assert!(with(76).stops());
    }
}
