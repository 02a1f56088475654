//! Which vendors a call may go to, in which order, and why the others not: least cost routing.
//!
//! ```text
//!   number, moment ──▶ Rates: what each vendor asks
//!      ──▶ left out: no price, blocked in the deck, dearer than the customer pays
//!      ──▶ order: by cost, by priority and then cost, or by exact shares
//! ```
//!
//! Costs are those of a call of the plan's length, with fee and steps, in the currency that all are
//! compared in: a low price a minute with a whole minute at least is dear for short calls. A cost is
//! rounded up and an income down, so that no rounding hides a loss.
//!
//! Cost of a ranking: that of [`Rates::offers`], and for each vendor a price worked out and a place
//! found in a short list. Nothing is allocated with at most sixty-four vendors.

use base::Money;
use smallvec::SmallVec;

use crate::rates::{DeckId, Moment, Offer, Offers, RateId, Rates};
use crate::split::Split;

/// What a unit of a deck's currency is worth in the currency that all are compared in: in parts of
/// 2^32, rounded down for what comes in and up for what goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Worth {
    down: u64,
    up: u64,
}

impl Worth {
    /// One for one.
    pub const SAME: Worth = Worth {
        down: 1 << Worth::BITS,
        up: 1 << Worth::BITS,
    };
    const BITS: u32 = 32;

    /// So much of the common currency for one unit. `None` if it is nothing, less, or too much.
    #[must_use]
    pub fn new(of_one: Money) -> Option<Worth> {
        let parts = u64::try_from(of_one.parts()).ok()?;
        let (scaled, unit) = (
            u128::from(parts) << Worth::BITS,
            u128::from(Money::UNIT.unsigned_abs()),
        );
        let down = u64::try_from(scaled / unit).ok().filter(|&it| it > 0)?;
        let up = u64::try_from(scaled.div_ceil(unit)).ok()?;
        Some(Worth { down, up })
    }

    /// An expense in the common currency, rounded up.
    #[must_use]
    pub fn of_expense(self, amount: Money) -> Option<Money> {
        let product = i128::from(amount.parts()) * i128::from(self.up);
        let up = (product + ((1 << Worth::BITS) - 1)) >> Worth::BITS;
        i64::try_from(up).ok().map(Money::from_parts)
    }

    /// An income in the common currency, rounded down.
    #[must_use]
    pub fn of_income(self, amount: Money) -> Option<Money> {
        let product = i128::from(amount.parts()) * i128::from(self.down);
        i64::try_from(product >> Worth::BITS)
            .ok()
            .map(Money::from_parts)
    }
}

/// How the vendors of a plan are ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Order {
    /// The cheapest first.
    #[default]
    Cost,
    /// By priority, the cheapest of each first.
    Priority,
    /// By exact shares; who is not the first follows by cost.
    Share,
}

/// A vendor of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vendor {
    /// Its prices.
    pub deck: DeckId,
    /// 0 comes first.
    pub priority: u16,
    /// Its share, where shares order.
    pub share: u32,
}

/// What must be left of what the customer pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Margin {
    /// At least so many thousandths of it; less than none is a loss that is allowed.
    Permille(i32),
    /// At least so much of a call of the plan's length, in the common currency.
    Amount(Money),
    /// Whatever it costs.
    Any,
}

impl Margin {
    /// Whether a call with this cost and this income may be made.
    #[must_use]
    pub fn allows(self, cost: Money, income: Money) -> bool {
        let (cost, income) = (i128::from(cost.parts()), i128::from(income.parts()));
        match self {
            Margin::Permille(floor) => (income - cost) * 1_000 >= income * i128::from(floor),
            Margin::Amount(floor) => income - cost >= i128::from(floor.parts()),
            Margin::Any => true,
        }
    }
}

/// Vendors and how to choose among them.
#[derive(Clone, Debug)]
pub struct CostPlan {
    vendors: Box<[Vendor]>,
    /// By deck: the vendor's place, or none.
    places: Box<[u16]>,
    order: Order,
    margin: Margin,
    length_ms: u64,
}

const NOBODY: u16 = u16::MAX;

/// Why a vendor stands where it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// It may be tried.
    Fit,
    /// It costs more than may be spent.
    BelowMargin,
    /// Its deck says that it does not serve the number.
    Blocked,
    /// Its deck has no price for the number.
    NoPrice,
}

/// One vendor of a ranking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranked {
    /// Its place in the plan.
    pub vendor: usize,
    /// Whether it may be tried.
    pub standing: Standing,
    /// The price, and the digits that it is for.
    pub price: Option<(RateId, u8)>,
    /// What a call of the plan's length costs, in the common currency.
    pub cost: Money,
}

/// All vendors of a plan: those that may be tried in their order, then the others.
pub type Ranking = SmallVec<[Ranked; 64]>;

impl CostPlan {
    /// A plan over these vendors, no two of which have one deck.
    ///
    /// # Panics
    /// If two have, or there are more than a table has decks: whoever reads plans reports that.
    #[must_use]
    pub fn new(vendors: Vec<Vendor>, order: Order, margin: Margin, length_ms: u64) -> CostPlan {
        let decks = vendors.iter().map(|vendor| usize::from(vendor.deck.0) + 1);
        let mut places = vec![NOBODY; decks.max().unwrap_or(0)];
        for (place, vendor) in vendors.iter().enumerate() {
            let entry = &mut places[usize::from(vendor.deck.0)];
            assert!(*entry == NOBODY, "each vendor has a deck of its own");
            *entry = u16::try_from(place).expect("a plan has fewer vendors than decks");
        }
        CostPlan {
            vendors: vendors.into(),
            places: places.into(),
            order,
            margin,
            length_ms,
        }
    }

    /// Its vendors.
    #[must_use]
    pub fn vendors(&self) -> &[Vendor] {
        &self.vendors
    }

    /// How long a call is that costs are compared by.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        self.length_ms
    }

    /// Fills `ranking` with all vendors for a call. `worth` is by deck; `income` what the customer pays
    /// for a call of the plan's length, in the common currency, and none where nobody asks.
    pub fn rank(
        &self,
        rates: &Rates,
        worth: &[Worth],
        (number, at): (&[u8], Moment),
        income: Option<Money>,
        split: &mut Split,
        ranking: &mut Ranking,
    ) {
        let mut offers = Offers::new();
        rates.offers(number, at, &mut offers);
        let unpriced = |vendor| Ranked {
            vendor,
            standing: Standing::NoPrice,
            price: None,
            cost: Money::ZERO,
        };
        ranking.clear();
        ranking.extend((0..self.vendors.len()).map(unpriced));
        for offer in &offers {
            let place = self.places.get(usize::from(offer.deck.0)).copied();
            if let Some(place) = place.filter(|&place| place != NOBODY) {
                ranking[usize::from(place)] =
                    self.priced(usize::from(place), offer, rates, worth, income);
            }
        }
        self.sort(split, ranking);
    }

    fn priced(
        &self,
        vendor: usize,
        offer: &Offer,
        rates: &Rates,
        worth: &[Worth],
        income: Option<Money>,
    ) -> Ranked {
        let rate = rates.rate(offer.rate);
        let cost = rate.amount(self.length_ms);
        let worth = worth
            .get(usize::from(offer.deck.0))
            .copied()
            .unwrap_or(Worth::SAME);
        let cost = cost.and_then(|cost| worth.of_expense(cost));
        let standing = match (rate.is_blocked, cost, income) {
            (true, ..) => Standing::Blocked,
            // More than can be written is more than anybody pays.
            (false, None, _) => Standing::BelowMargin,
            (false, Some(cost), Some(income)) if !self.margin.allows(cost, income) => {
                Standing::BelowMargin
            }
            (false, Some(_), _) => Standing::Fit,
        };
        Ranked {
            vendor,
            standing,
            price: Some((offer.rate, offer.digits_count)),
            cost: cost.unwrap_or(Money::from_parts(i64::MAX)),
        }
    }

    fn sort(&self, split: &mut Split, ranking: &mut Ranking) {
        let is_fit = |place: usize| ranking[place].standing == Standing::Fit;
        let mut first = None;
        if self.order == Order::Share && split.fits(self.vendors.len()) {
            let share = |place: usize| {
                if is_fit(place) {
                    self.vendors[place].share
                } else {
                    0
                }
            };
            split.begin(share);
            let all = (0..self.vendors.len()).filter(|&place| share(place) > 0);
            first = all.max_by_key(|&place| (split.owed(place), std::cmp::Reverse(place)));
        }
        ranking.sort_unstable_by_key(|it| {
            let priority = match self.order {
                Order::Priority => self.vendors[it.vendor].priority,
                Order::Cost | Order::Share => 0,
            };
            (
                it.standing,
                first != Some(it.vendor),
                priority,
                it.cost,
                it.vendor,
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Rate, RatesBuilder, Steps};
    use proptest::prelude::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    fn vendor(deck: u16, priority: u16, share: u32) -> Vendor {
        Vendor {
            deck: DeckId(deck),
            priority,
            share,
        }
    }

    /// `(deck, price)`, all for 49.
    fn table(prices: &[(u16, Rate)]) -> Rates {
        let mut builder = RatesBuilder::new();
        for (deck, rate) in prices {
            builder.push(
                DeckId(*deck),
                Code::new(b"49").unwrap(),
                *rate,
                Moment::FIRST,
                Moment::LAST,
            );
        }
        builder.build(Moment(1)).unwrap()
    }

    fn flat(price: &str) -> Rate {
        Rate::per_minute(money(price))
    }

    fn ranked(
        plan: &CostPlan,
        rates: &Rates,
        worth: &[Worth],
        income: Option<&str>,
        split: &mut Split,
    ) -> Vec<(usize, Standing)> {
        let mut ranking = Ranking::new();
        let call: (&[u8], Moment) = (b"4930", Moment(1));
        plan.rank(rates, worth, call, income.map(money), split, &mut ranking);
        ranking.iter().map(|it| (it.vendor, it.standing)).collect()
    }

    fn none() -> Split {
        Split::new(0)
    }

    #[test]
    fn the_cheapest_first_and_why_the_others_not() {
        use Standing::{BelowMargin, Blocked, Fit, NoPrice};
        let blocked = Rate {
            is_blocked: true,
            ..flat("0.001")
        };
        let rates = table(&[
            (0, flat("0.02")),
            (1, flat("0.01")),
            (2, blocked),
            (3, flat("0.03")),
            (9, flat("0.001")),
        ]);
        let vendors = (0..5).map(|deck| vendor(deck, 0, 0)).collect();
        let plan = CostPlan::new(vendors, Order::Cost, Margin::Permille(0), 60_000);
        let order = ranked(&plan, &rates, &[], Some("0.02"), &mut none());
        assert_eq!(
            order,
            [
                (1, Fit),
                (0, Fit),
                (3, BelowMargin),
                (2, Blocked),
                (4, NoPrice)
            ]
        );
        // Nobody asks what it earns.
        let order = ranked(&plan, &rates, &[], None, &mut none());
        assert_eq!(order[..3], [(1, Fit), (0, Fit), (3, Fit)]);
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
        let rates = table(&[(0, by_minutes), (1, flat("0.015")), (2, with_fee)]);
        let vendors = || (0..3).map(|deck| vendor(deck, 0, 0)).collect();
        let places = |length_ms, worth: &[Worth]| {
            let plan = CostPlan::new(vendors(), Order::Cost, Margin::Any, length_ms);
            let order = ranked(&plan, &rates, worth, None, &mut none());
            order
                .into_iter()
                .map(|(vendor, _)| vendor)
                .collect::<Vec<_>>()
        };
        assert_eq!(places(20_000, &[]), [1, 0, 2]);
        assert_eq!(places(60_000, &[]), [0, 2, 1]);
        assert_eq!(places(600_000, &[]), [2, 0, 1]);
        let euro = Worth::new(money("1.09")).unwrap();
        // 0.010 euro against 0.011 dollars.
        assert_eq!(places(60_000, &[euro, Worth::SAME, Worth::SAME]), [0, 2, 1]);
        assert_eq!(
            places(
                60_000,
                &[Worth::new(money("1.11")).unwrap(), Worth::SAME, Worth::SAME]
            ),
            [2, 0, 1]
        );
    }

    #[test]
    fn priorities_come_before_costs() {
        let rates = table(&[(0, flat("0.01")), (1, flat("0.02")), (2, flat("0.03"))]);
        let vendors = vec![vendor(0, 2, 0), vendor(1, 1, 0), vendor(2, 1, 0)];
        let plan = CostPlan::new(vendors, Order::Priority, Margin::Any, 60_000);
        let order: Vec<usize> = ranked(&plan, &rates, &[], None, &mut none())
            .iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn shares_are_kept_and_the_others_follow_by_cost() {
        let rates = table(&[(0, flat("0.03")), (1, flat("0.02")), (2, flat("0.01"))]);
        let vendors = vec![vendor(0, 0, 70), vendor(1, 0, 30), vendor(2, 0, 0)];
        let plan = CostPlan::new(vendors, Order::Share, Margin::Any, 60_000);
        let mut split = Split::new(3);
        let mut firsts = [0; 3];
        for _ in 0..100_000 {
            let order = ranked(&plan, &rates, &[], None, &mut split);
            firsts[order[0].0] += 1;
            split.took(order[0].0);
            let others: Vec<usize> = order[1..].iter().map(|it| it.0).collect();
            assert_eq!(others, if order[0].0 == 0 { [2, 1] } else { [2, 0] });
        }
        assert_eq!(firsts, [70_000, 30_000, 0]);
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
            let rates = table(&[(0, rate)]);
            let plan = CostPlan::new(vec![vendor(0, 0, 0)], Order::Cost, Margin::Permille(0), length_ms);
            let worth_of = Worth::new(Money::from_parts(worth)).unwrap();
            let mut ranking = Ranking::new();
            let income = Money::from_parts(sold);
            plan.rank(&rates, &[worth_of], (b"49", Moment(1)), Some(income), &mut none(), &mut ranking);
            if ranking[0].standing == Standing::Fit {
                let cost = i128::from(rate.amount(length_ms).unwrap().parts()) * i128::from(worth);
                prop_assert!(cost <= i128::from(sold) * i128::from(Money::UNIT));
            }
        }
    }
}
