//! A routing world that recorded calls are led through.

use base::{Time, TrunkId};
use route::{
    Ask, Candidates, Currency, Health, NoRoute, Number, NumberBuffer, Price, Role, Side, Snapshot,
    Turns, Worth,
};
use sip::Uri;

use crate::fate::{Fate, Lost};
use crate::recorded::{Outcome, Recorded};

/// What each currency is worth in the one that all are compared in.
#[derive(Clone, Debug, Default)]
pub struct Currencies(Vec<(String, Worth)>);

impl Currencies {
    /// The common currency, and what others are worth in it.
    #[must_use]
    pub fn new(common: &str, others: &[(String, Worth)]) -> Currencies {
        let mut all = vec![(common.to_owned(), Worth::SAME)];
        all.extend_from_slice(others);
        Currencies(all)
    }

    /// What a currency is worth; none if nobody says so.
    #[must_use]
    pub fn worth(&self, name: &str) -> Option<Worth> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, worth)| *worth)
    }

    fn of(&self, currency: Currency) -> Option<Worth> {
        self.worth(std::str::from_utf8(&currency.letters()).ok()?)
    }
}

/// A world, and whose turn it is among weighted vendors.
pub struct World<'w> {
    snapshot: &'w Snapshot,
    currencies: &'w Currencies,
    health: Health,
    turns: Turns,
    candidates: Candidates,
    calls: u64,
}

impl<'w> World<'w> {
    /// One that no call has gone through.
    #[must_use]
    pub fn new(snapshot: &'w Snapshot, currencies: &'w Currencies) -> World<'w> {
        World {
            snapshot,
            currencies,
            health: Health::new(snapshot.gateways_max()),
            turns: Turns::new(),
            candidates: Candidates::new(),
            calls: 0,
        }
    }

    /// What would become of a call here.
    pub fn fate(&mut self, call: &Recorded) -> Fate {
        self.calls += 1;
        let Some(trunk) = self.snapshot.trunk_named(&call.trunk) else {
            return Fate::Lost(Lost::NoTrunk);
        };
        let trunk = trunk.id;
        let mut buffer = NumberBuffer::new();
        let number = Uri::parse(&call.request_uri)
            .ok()
            .and_then(|uri| self.snapshot.number(trunk, &uri, &mut buffer).ok());
        let Some(number) = number else {
            return Fate::Lost(Lost::Number);
        };
        if self.is_blocked(trunk, &number, call) {
            return Fate::Lost(Lost::Blocked);
        }
        let ask = Ask {
            trunk,
            number: &number,
            now: Time::ZERO,
            at: call.at,
            dice: mixed(self.calls),
        };
        self.candidates.clear();
        let found = (self.snapshot).candidates(
            &ask,
            &self.health,
            &mut self.turns,
            call,
            &mut self.candidates,
        );
        match found {
            Ok(route) => self.walk(call, &ask, route),
            Err(NoRoute::NoPrefix) => Fate::Lost(Lost::NoRoute),
            Err(NoRoute::NotSold) => Fate::Lost(Lost::NotSold),
        }
    }

    fn is_blocked(&self, trunk: TrunkId, called: &Number<'_>, call: &Recorded) -> bool {
        let world = self.snapshot;
        if world.blocks(trunk, Side::Called, called, call.at).is_some() {
            return true;
        }
        if !world.asks_who_calls(trunk) {
            return false;
        }
        let mut buffer = NumberBuffer::new();
        let calling = Uri::parse(&call.from_uri).ok().and_then(|uri| {
            world
                .number_of(trunk, Role::Calling, &uri, &mut buffer)
                .ok()
        });
        calling.is_some_and(|calling| {
            let found = world.blocks(trunk, Side::Calling, &calling, call.at);
            found.is_some()
        })
    }

    /// Tries the candidates in their order, as far as the plan goes.
    fn walk(&self, call: &Recorded, ask: &Ask<'_>, route: route::RouteId) -> Fate {
        let plan = self.snapshot.route(route);
        let mut last = None;
        let fit = self.candidates.iter().filter(|it| it.may_try());
        for candidate in fit.take(plan.attempts_max) {
            let gateway = self.snapshot.gateway_name(candidate.gateway);
            last = Some(gateway);
            let seen = call.outcome_of(gateway);
            let takes_it = match (seen, call.answered_us) {
                (Some(Outcome::Failed), _) => continue,
                (Some(Outcome::Refused(status)), _) if plan.advance.advances(status) => continue,
                (Some(Outcome::Refused(_)), _) => None,
                // It did not get as far, or was not asked: what came out in the end comes out here.
                (_, answered_us) => answered_us,
            };
            let Some(duration_us) = takes_it else {
                break;
            };
            // As the record counts: a call of part of a millisecond is one that began.
            let length_ms = duration_us.div_ceil(1_000);
            let price = self.snapshot.price(candidate.gateway, ask.number, ask.at);
            return Fate::Answered {
                gateway: gateway.to_owned(),
                duration_us,
                income: self.candidates.sold.and_then(|sold| {
                    self.paid(&sold, length_ms, |worth, amount| worth.of_income(amount))
                }),
                cost: price.and_then(|price| {
                    self.paid(&price, length_ms, |worth, amount| worth.of_expense(amount))
                }),
                is_assumed: seen != Some(Outcome::Answered),
            };
        }
        match last {
            Some(gateway) => Fate::Unanswered {
                gateway: gateway.to_owned(),
            },
            None => Fate::Lost(Lost::NoVendor),
        }
    }

    fn paid(
        &self,
        price: &Price,
        length_ms: u64,
        convert: impl Fn(Worth, base::Money) -> Option<base::Money>,
    ) -> Option<base::Money> {
        convert(
            self.currencies.of(price.currency)?,
            price.amount(length_ms)?,
        )
    }
}

/// A number that looks like chance, the same for the same call of a run (SplitMix64).
fn mixed(number: u64) -> u64 {
    let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
