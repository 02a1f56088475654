//! What the gateways of a plan ask for a call, and which of them would be a loss: the prices of least
//! cost routing.
//!
//! ```text
//!   number, moment ──▶ Rates: what each deck asks
//!      ──▶ each gateway: fit, dearer than the customer pays, blocked in its deck, not in it
//! ```
//!
//! Costs are those of a call of the plan's length, with fee and steps, in the currency that all are
//! compared in: a low price a minute with a whole minute at least is dear for short calls. A cost is
//! rounded up and an income down, so that no rounding hides a loss.
//!
//! Cost: the walk of `rates.rs`, and for each gateway a price compared; no further than to the code at
//! which the last deck of the plan has said something. Nothing is allocated.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::Money;
use smallvec::SmallVec;

use crate::limits::TARGETS_MAX;
use crate::rates::{Codes, DeckId, Moment, Offer, Rates};
use crate::{Currency, Price, Rate, SkipReason, Snapshot};

/// What a unit of a deck's currency is worth in the currency that all are compared in. Exact, but for
/// what is beyond the last decimal: that is rounded down for what comes in and up for what goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Worth(Money);

impl Worth {
    /// One for one.
    pub const SAME: Worth = Worth(Money::from_parts(Money::UNIT));

    /// So much of the common currency for one unit. `None` if it is nothing or less.
    #[must_use]
    pub fn new(of_one: Money) -> Option<Worth> {
        (of_one > Money::ZERO).then_some(Worth(of_one))
    }

    /// An expense in the common currency, rounded up. `None` if no amount is that large.
    #[must_use]
    #[inline]
    pub fn of_expense(self, amount: Money) -> Option<Money> {
        if self == Worth::SAME {
            return Some(amount);
        }
        let product = i128::from(amount.parts()) * i128::from(self.0.parts());
        divided(product + i128::from(Money::UNIT - 1))
    }

    /// An income in the common currency, rounded down. `None` if no amount is that large.
    #[must_use]
    pub fn of_income(self, amount: Money) -> Option<Money> {
        if self == Worth::SAME {
            return Some(amount);
        }
        divided(i128::from(amount.parts()) * i128::from(self.0.parts()))
    }
}

/// The product of two amounts as one, rounded down.
fn divided(product: i128) -> Option<Money> {
    let parts = match i64::try_from(product) {
        // Nearly always, and one instruction where the other takes many.
        Ok(product) => product.div_euclid(Money::UNIT),
        Err(_) => i64::try_from(product.div_euclid(i128::from(Money::UNIT))).ok()?,
    };
    Some(Money::from_parts(parts))
}

/// What must be left of what the customer pays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Margin {
    /// At least so many thousandths of it; less than none is a loss that is allowed.
    Permille(i32),
    /// At least so much of a call of the plan's length, in the common currency.
    Amount(Money),
    /// Whatever it costs.
    Any,
}

impl Margin {
    /// Nothing must be left, and nothing be added.
    pub const NO_LOSS: Margin = Margin::Permille(0);

    /// Whether a call with this cost and this income may be made.
    #[must_use]
    pub fn allows(self, cost: Money, income: Money) -> bool {
        if self == Margin::NO_LOSS {
            return cost <= income;
        }
        let (cost, income) = (i128::from(cost.parts()), i128::from(income.parts()));
        match self {
            Margin::Permille(floor) => (income - cost) * 1_000 >= income * i128::from(floor),
            Margin::Amount(floor) => income - cost >= i128::from(floor.parts()),
            Margin::Any => true,
        }
    }
}

impl Margin {
    /// The most that a call with this income may cost, in parts.
    fn most(self, income: Money) -> i64 {
        let income = i128::from(income.parts());
        let most = match self {
            Margin::NO_LOSS => income,
            Margin::Permille(floor) => (income * (1_000 - i128::from(floor))).div_euclid(1_000),
            Margin::Amount(floor) => income - i128::from(floor.parts()),
            Margin::Any => i128::from(i64::MAX),
        };
        most.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Margin::Permille(0) => f.write_str("nothing"),
            Margin::Permille(parts) => {
                let sign = if *parts < 0 { "-" } else { "" };
                write!(f, "{sign}{}.{} %", parts.abs() / 10, parts.abs() % 10)
            }
            Margin::Amount(amount) => amount.fmt(f),
            Margin::Any => f.write_str("whatever it costs, nothing"),
        }
    }
}

/// A deck, as far as a snapshot needs to know it.
#[derive(Clone, Debug)]
pub(crate) struct DeckInfo {
    pub(crate) name: Box<str>,
    pub(crate) currency: Currency,
    pub(crate) worth: Worth,
}

/// All decks of a snapshot with their prices. The table is shared with the snapshots before and after
/// if no deck has changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prices {
    pub(crate) rates: Arc<Rates>,
    /// By deck.
    pub(crate) decks: Box<[DeckInfo]>,
    /// What calls of the usual lengths cost.
    costs: Box<[Costs]>,
}

/// Lengths of which it is kept what they cost. Plans with others reckon it for each call.
const LENGTHS_MAX: usize = 8;

/// What a call of one length costs, by rate: in parts of the deck's currency, [`BLOCKED`], or
/// [`BEYOND`].
#[derive(Clone, Debug)]
struct Costs {
    length_ms: u64,
    of: Box<[i64]>,
}

/// It is not to be had.
const BLOCKED: i64 = i64::MIN;
/// No amount is that large.
const BEYOND: i64 = i64::MAX;

#[inline(never)]
fn reckoned(rate: &Rate, length_ms: u64) -> i64 {
    match rate.is_blocked {
        true => BLOCKED,
        false => rate.amount(length_ms).map_or(BEYOND, Money::parts),
    }
}

impl Prices {
    /// These decks, for plans that compare them by calls of these lengths.
    pub(crate) fn new(
        rates: Arc<Rates>,
        decks: Box<[DeckInfo]>,
        lengths_ms: impl Iterator<Item = u64>,
    ) -> Prices {
        let mut uses: BTreeMap<u64, usize> = BTreeMap::new();
        for length_ms in lengths_ms {
            *uses.entry(length_ms).or_default() += 1;
        }
        let mut lengths: Vec<(u64, usize)> = uses.into_iter().collect();
        lengths.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let of = |(length_ms, _): &(u64, usize)| Costs {
            length_ms: *length_ms,
            of: rates.all().map(|rate| reckoned(rate, *length_ms)).collect(),
        };
        let costs = lengths.iter().take(LENGTHS_MAX).map(of).collect();
        Prices {
            rates,
            decks,
            costs,
        }
    }

    /// What one of these offers asks; `None` if the deck says that the number is not to be had.
    fn served(&self, offer: &Offer) -> Option<Price> {
        let is_served = !self.rates.rate(offer.rate).is_blocked;
        is_served.then(|| self.price(offer))
    }

    /// What a deck asks for a number; `None` if it does not have it, or says that it is not to be had.
    pub(crate) fn of(&self, deck: DeckId, number: &[u8], at: Moment) -> Option<Price> {
        self.served(&self.rates.offer_of(deck, number, at)?)
    }

    /// As [`Prices::of`], for a number with these codes.
    pub(crate) fn of_codes(&self, deck: DeckId, codes: &Codes, at: Moment) -> Option<Price> {
        self.served(&self.rates.offer_at(deck, codes, at)?)
    }

    /// What calls of a length cost, by rate; nothing if that is to be reckoned.
    fn costs_of(&self, length_ms: u64) -> &[i64] {
        let kept = self.costs.iter().find(|it| it.length_ms == length_ms);
        kept.map_or(&[], |costs| &costs.of)
    }

    fn price(&self, offer: &Offer) -> Price {
        let rate = self.rates.rate(offer.rate);
        Price {
            per_minute: rate.per_minute,
            connect_fee: rate.connect_fee,
            steps: rate.steps,
            currency: self.decks[usize::from(offer.deck.0)].currency,
            digits_count: offer.digits_count,
        }
    }

    /// What a call of this length brings by a customer's price, in the common currency.
    pub(crate) fn income(&self, deck: DeckId, price: &Price, length_ms: u64) -> Option<Money> {
        let amount = price.amount(length_ms)?;
        self.decks[usize::from(deck.0)].worth.of_income(amount)
    }
}

impl Snapshot {
    /// An amount of a price in the common currency, rounded up; `None` if no deck has its currency, or
    /// no amount is that large.
    #[must_use]
    pub fn in_common(&self, currency: Currency, amount: Money) -> Option<Money> {
        let deck = self
            .prices
            .decks
            .iter()
            .find(|it| it.currency == currency)?;
        deck.worth.of_expense(amount)
    }
}

/// What one gateway of a plan asks for a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    /// What a call of the plan's length costs, in the common currency.
    pub(crate) cost: Money,
    /// Why it may not be tried at that price.
    pub(crate) unfit: Option<SkipReason>,
}

const _: () = assert!(size_of::<Asked>() == 16);

/// By target of a plan.
pub(crate) type AskedOfAll = SmallVec<[Asked; TARGETS_MAX]>;

/// How the gateways of a plan are priced.
#[derive(Clone, Debug)]
pub(crate) struct Pricing {
    /// By deck: the bit of the first target that it is of; 0 if there is none.
    first_of: Box<[u32]>,
    /// All those.
    firsts: u32,
    /// By target: the next one of its deck, or [`NOBODY`]; without a deck, [`UNPRICED`].
    next_of: Box<[u8]>,
    /// By target: what it asks if its deck has no price for the number.
    without: AskedOfAll,
    pub(crate) margin: Margin,
    pub(crate) length_ms: u64,
}

const NOBODY: u8 = u8::MAX;
const UNPRICED: u8 = u8::MAX - 1;
const _: () = assert!(
    TARGETS_MAX < UNPRICED as usize && TARGETS_MAX <= u32::BITS as usize,
    "targets are numbered by octets, and each has a bit"
);

impl Pricing {
    /// For targets with these decks.
    pub(crate) fn new(decks: &[Option<DeckId>], margin: Margin, length_ms: u64) -> Pricing {
        let count = decks.iter().flatten().map(|deck| usize::from(deck.0) + 1);
        let mut first_of = vec![0; count.max().unwrap_or(0)];
        let mut next_of = vec![UNPRICED; decks.len()];
        // Whoever has more targets than may be is refused.
        for (target, deck) in decks.iter().enumerate().take(TARGETS_MAX).rev() {
            if let Some(deck) = deck {
                let first: &mut u32 = &mut first_of[usize::from(deck.0)];
                next_of[target] = match *first {
                    0 => NOBODY,
                    first => first.trailing_zeros() as u8,
                };
                *first = 1 << target;
            }
        }
        let without = |&next: &u8| Asked {
            cost: Money::ZERO,
            unfit: (next != UNPRICED).then_some(SkipReason::NoPrice),
        };
        Pricing {
            without: next_of.iter().map(without).collect(),
            firsts: first_of.iter().fold(0, |all, first| all | first),
            first_of: first_of.into(),
            next_of: next_of.into(),
            margin,
            length_ms,
        }
    }

    /// The length of a call that its targets' prices are compared by, if any has one.
    pub(crate) fn length(&self) -> Option<u64> {
        (!self.first_of.is_empty()).then_some(self.length_ms)
    }

    /// What each target asks at a moment for a number with these codes. `income` is what a call of the
    /// plan's length brings, in the common currency; without, nobody asks whether it is a loss.
    pub(crate) fn ask(
        &self,
        prices: &Prices,
        codes: &Codes,
        at: Moment,
        income: Option<Money>,
        all: &mut AskedOfAll,
    ) {
        *all = AskedOfAll::from_slice(&self.without);
        let all = &mut all[..];
        let next_of = &self.next_of[..all.len()];
        let most = income.map_or(i64::MAX, |income| self.margin.most(income));
        let costs = prices.costs_of(self.length_ms);
        // The first targets of decks that have not said anything yet.
        let mut open = self.firsts;
        for (code, _) in codes.longest_first() {
            if open == 0 {
                break;
            }
            for cell in prices.rates.cells(code) {
                let deck = usize::from(cell.deck.0);
                let first = self.first_of.get(deck).copied().unwrap_or(0);
                if open & first == 0 {
                    continue;
                }
                let Some(rate) = prices.rates.rate_at(*cell, at) else {
                    continue;
                };
                open ^= first;
                let cost = match costs.get(rate.place()) {
                    Some(cost) => *cost,
                    None => reckoned(prices.rates.rate(rate), self.length_ms),
                };
                let asked = judged(cost, prices.decks[deck].worth, most);
                let mut target = first.trailing_zeros() as usize;
                while target < all.len() {
                    all[target] = asked;
                    target = usize::from(next_of[target]);
                }
            }
        }
    }
}

/// What a target asks whose deck says this cost, where no call may cost more than `most`.
#[inline]
fn judged(cost: i64, worth: Worth, most: i64) -> Asked {
    if worth == Worth::SAME && BLOCKED < cost && cost < BEYOND {
        return Asked {
            cost: Money::from_parts(cost),
            unfit: (cost > most).then_some(SkipReason::BelowMargin),
        };
    }
    judged_abroad(cost, worth, most)
}

/// As [`judged`], in another currency, or where there is no amount. Apart, so that the loop of those
/// that need none of it stays small.
#[inline(never)]
fn judged_abroad(cost: i64, worth: Worth, most: i64) -> Asked {
    let unfit = |unfit| Asked {
        cost: Money::from_parts(i64::MAX),
        unfit: Some(unfit),
    };
    match cost {
        BLOCKED => unfit(SkipReason::Blocked),
        // More than can be written is more than anybody pays.
        BEYOND => unfit(SkipReason::BelowMargin),
        _ => match worth.of_expense(Money::from_parts(cost)) {
            None => unfit(SkipReason::BelowMargin),
            Some(cost) => Asked {
                cost,
                unfit: (cost.parts() > most).then_some(SkipReason::BelowMargin),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, RatesBuilder, Steps};
    use proptest::prelude::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    fn flat(price: &str) -> Rate {
        Rate::per_minute(money(price))
    }

    /// `(deck, price)`, all for 49; each deck in a currency with this worth.
    fn table(rates: &[(u16, Rate)], worth: &[Worth]) -> Prices {
        let mut builder = RatesBuilder::new();
        for (deck, rate) in rates {
            let code = Code::new(b"49").unwrap();
            builder.push(DeckId(*deck), code, *rate, Moment::FIRST, Moment::LAST);
        }
        let info = |at: usize| DeckInfo {
            name: format!("deck {at}").into(),
            currency: Currency::parse("USD").unwrap(),
            worth: worth.get(at).copied().unwrap_or(Worth::SAME),
        };
        let rates = Arc::new(builder.build(Moment(1)).unwrap());
        // Some lengths are kept, others reckoned.
        Prices::new(
            rates,
            (0..10).map(info).collect(),
            [60_000, 20_000].into_iter(),
        )
    }

    fn all_asked(pricing: &Pricing, prices: &Prices, income: Option<Money>) -> AskedOfAll {
        let (codes, mut all) = (prices.rates.codes(b"4930"), AskedOfAll::new());
        pricing.ask(prices, &codes, Moment(1), income, &mut all);
        all
    }

    /// By target, why it may not be tried, or what it costs.
    fn asked(
        pricing: &Pricing,
        prices: &Prices,
        income: Option<&str>,
    ) -> Vec<Result<String, SkipReason>> {
        let all = all_asked(pricing, prices, income.map(money));
        let told = all
            .iter()
            .map(|it| it.unfit.map_or(Ok(it.cost.to_string()), Err));
        told.collect()
    }

    fn decks(ids: &[u16]) -> Vec<Option<DeckId>> {
        ids.iter().map(|&id| Some(DeckId(id))).collect()
    }

    #[test]
    fn what_each_costs_and_why_some_may_not_be_tried() {
        use SkipReason::{BelowMargin, Blocked, NoPrice};
        let blocked = Rate {
            is_blocked: true,
            ..flat("0.001")
        };
        let rates = [
            (0, flat("0.02")),
            (1, flat("0.01")),
            (2, blocked),
            (3, flat("0.03")),
            (9, flat("0.001")),
        ];
        let prices = table(&rates, &[]);
        let pricing = Pricing::new(&decks(&[0, 1, 2, 3, 4]), Margin::Permille(0), 60_000);
        let ok = |cost: &str| Ok(cost.to_owned());
        let want = [
            ok("0.02"),
            ok("0.01"),
            Err(Blocked),
            Err(BelowMargin),
            Err(NoPrice),
        ];
        assert_eq!(asked(&pricing, &prices, Some("0.02")), want);
        // Nobody asks what it earns.
        assert_eq!(asked(&pricing, &prices, None)[3], ok("0.03"));
    }

    #[test]
    fn several_gateways_of_a_deck_and_one_of_none() {
        let prices = table(&[(1, flat("0.02")), (0, flat("0.01"))], &[]);
        let mixed = [Some(DeckId(1)), None, Some(DeckId(0)), Some(DeckId(1))];
        let pricing = Pricing::new(&mixed, Margin::Permille(0), 60_000);
        let costs = asked(&pricing, &prices, None).into_iter().flatten();
        assert_eq!(costs.collect::<Vec<_>>(), ["0.02", "0.00", "0.01", "0.02"]);
        let none = Pricing::new(&[None], Margin::Any, 60_000);
        assert_eq!(asked(&none, &prices, None), [Ok("0.00".to_owned())]);
    }

    #[test]
    fn steps_fees_and_currencies_count() {
        let by_minutes = Rate {
            steps: Steps::new(60, 60).unwrap(),
            ..flat("0.010")
        };
        let with_fee = Rate {
            connect_fee: money("0.01"),
            ..flat("0.001")
        };
        let rates = [(0, by_minutes), (1, flat("0.015")), (2, with_fee)];
        let cheapest = |length_ms, worth: &[Worth]| {
            let pricing = Pricing::new(&decks(&[0, 1, 2]), Margin::Any, length_ms);
            let all = all_asked(&pricing, &table(&rates, worth), None);
            let mut order: Vec<usize> = (0..3).collect();
            order.sort_by_key(|&at| all[at].cost);
            order
        };
        assert_eq!(cheapest(20_000, &[]), [1, 0, 2]);
        assert_eq!(cheapest(60_000, &[]), [0, 2, 1]);
        assert_eq!(cheapest(600_000, &[]), [2, 0, 1]);
        // 0.010 of a currency against 0.011.
        let worth = |text: &str| [Worth::new(money(text)).unwrap()];
        assert_eq!(cheapest(60_000, &worth("1.09")), [0, 2, 1]);
        assert_eq!(cheapest(60_000, &worth("1.11")), [2, 0, 1]);
    }

    #[test]
    fn margins_in_thousandths_and_amounts() {
        let allows =
            |margin: Margin, cost: &str, income: &str| margin.allows(money(cost), money(income));
        assert!(allows(Margin::Permille(100), "0.009", "0.01"));
        assert!(!allows(Margin::Permille(100), "0.00900001", "0.01"));
        assert!(allows(Margin::Permille(0), "0.01", "0.01"));
        assert!(!allows(Margin::Permille(0), "0.01000001", "0.01"));
        assert!(allows(Margin::Permille(-100), "0.011", "0.01"));
        assert!(allows(Margin::Amount(money("0.001")), "0.009", "0.01"));
        assert!(!allows(Margin::Amount(money("0.001")), "0.0091", "0.01"));
        assert!(allows(Margin::Any, "5", "0.01"));
    }

    proptest! {
        #[test]
        fn the_most_is_the_most(
            income in -1_000_000_000_i64..1_000_000_000,
            permille in -2_000_i32..2_000,
            amount in -1_000_000_i64..1_000_000,
        ) {
            let income = Money::from_parts(income);
            for margin in [Margin::Permille(permille), Margin::Amount(Money::from_parts(amount)), Margin::NO_LOSS] {
                let most = margin.most(income);
                prop_assert!(margin.allows(Money::from_parts(most), income));
                prop_assert!(!margin.allows(Money::from_parts(most + 1), income));
            }
            prop_assert_eq!(Margin::Any.most(income), i64::MAX);
        }

        /// Each target asks what its deck offers, whatever the other decks say at longer and at shorter
        /// codes, and whenever.
        #[test]
        fn each_asks_what_its_deck_offers(
            rows in proptest::collection::btree_map((0_usize..5, 0_u16..6), (1_i64..9, 0_usize..4), 0..25),
            targets in proptest::collection::vec(proptest::option::of(0_u16..6), 1..10),
            sold in proptest::option::of(1_i64..9),
            length_ms in proptest::sample::select(&[60_000_u64, 30_000][..]),
            at in proptest::sample::select(&[10_u32, 60, 200][..]),
        ) {
            let mut builder = RatesBuilder::new();
            for (&(code, deck), &(price, term)) in &rows {
                let code = Code::new([&b"4"[..], b"49", b"4930", b"49301", b"1"][code]).unwrap();
                let rate = Rate {
                    is_blocked: price == 1,
                    ..Rate::per_minute(Money::from_parts(price * 1_000))
                };
                let (from, until) = [(0, u32::MAX), (0, 50), (50, u32::MAX), (50, 100)][term];
                builder.push(DeckId(deck), code, rate, Moment(from), Moment(until));
            }
            let (rates, decks) = (Arc::new(builder.build(Moment(1)).unwrap()), table(&[], &[]).decks);
            let prices = Prices::new(rates, decks, [60_000].into_iter());
            let of_targets: Vec<_> = targets.iter().map(|deck| deck.map(DeckId)).collect();
            let pricing = Pricing::new(&of_targets, Margin::NO_LOSS, length_ms);
            let income = sold.map(|sold| Money::from_parts(sold * 1_000));
            let (codes, mut all) = (prices.rates.codes(b"493012"), AskedOfAll::new());
            pricing.ask(&prices, &codes, Moment(at), income, &mut all);
            let mut offers = crate::Offers::new();
            prices.rates.offers(b"493012", Moment(at), &mut offers);
            for (deck, asked) in of_targets.iter().zip(&all) {
                let offer = offers.iter().find(|offer| Some(offer.deck) == *deck);
                let rate = offer.map(|offer| prices.rates.rate(offer.rate));
                let want = match rate {
                    None => (Money::ZERO, deck.map(|_| SkipReason::NoPrice)),
                    Some(rate) if rate.is_blocked => {
                        (Money::from_parts(i64::MAX), Some(SkipReason::Blocked))
                    }
                    Some(rate) => {
                        let cost = rate.amount(length_ms).unwrap();
                        let is_loss = income.is_some_and(|income| cost > income);
                        (cost, is_loss.then_some(SkipReason::BelowMargin))
                    }
                };
                prop_assert_eq!((asked.cost, asked.unfit), want);
            }
            prop_assert_eq!(all.len(), targets.len());
        }

        /// Whatever is rounded, an exact reckoning finds no loss in what is fit.
        #[test]
        fn never_at_a_loss(
            price in 0_i64..1_000_000_000,
            sold in 0_i64..1_000_000_000,
            worth in 100_i64..10_000_000_000,
            first in 0_u16..120,
            next in 1_u16..120,
            length_ms in 1_u64..7_200_000,
        ) {
            let rate = Rate {
                steps: Steps::new(first, next).unwrap(),
                ..Rate::per_minute(Money::from_parts(price))
            };
            let worth_of = Worth::new(Money::from_parts(worth)).unwrap();
            let prices = table(&[(0, rate)], &[worth_of]);
            let pricing = Pricing::new(&decks(&[0]), Margin::Permille(0), length_ms);
            let income = Money::from_parts(sold);
            let all = all_asked(&pricing, &prices, Some(income));
            if all[0].unfit.is_none() {
                let cost = i128::from(rate.amount(length_ms).unwrap().parts()) * i128::from(worth);
                prop_assert!(cost <= i128::from(sold) * i128::from(Money::UNIT));
            }
        }
    }
}
