//! What became of a call, in one world or another.

use base::Money;

use crate::recorded::{Outcome, Recorded};
use crate::world::Currencies;

/// What became of a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Fate {
    /// A vendor took it.
    Answered {
        /// Which gateway.
        gateway: String,
        /// For how long, in microseconds.
        duration_us: u64,
        /// What the customer pays, in the common currency; none if that is not known.
        income: Option<Money>,
        /// What the vendor asks, likewise.
        cost: Option<Money>,
        /// Whether the record says nothing of this vendor: that it answers is taken for granted.
        is_assumed: bool,
    },
    /// It was offered to vendors, this one last, and nobody took it.
    Unanswered {
        /// The last that was tried.
        gateway: String,
    },
    /// It was offered to nobody.
    Lost(Lost),
}

/// Why a call is offered to nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lost {
    /// The world has no trunk of that name.
    NoTrunk,
    /// The called number cannot be read, or not be normalised.
    Number,
    /// A list blocks it.
    Blocked,
    /// No prefix has a route.
    NoRoute,
    /// The customer's deck has no price for it.
    NotSold,
    /// There are vendors, and none may be tried: for its price, or because the trunk says so.
    NoVendor,
    /// It was refused by a limit or for another reason that says nothing of routes.
    Other,
}

impl Lost {
    /// All of them.
    pub const ALL: [Lost; 7] = [
        Lost::NoTrunk,
        Lost::Number,
        Lost::Blocked,
        Lost::NoRoute,
        Lost::NotSold,
        Lost::NoVendor,
        Lost::Other,
    ];

    /// In words, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Lost::NoTrunk => "the trunk is not there",
            Lost::Number => "the number cannot be read",
            Lost::Blocked => "blocked by a list",
            Lost::NoRoute => "no route",
            Lost::NotSold => "not sold to the customer",
            Lost::NoVendor => "no vendor may be tried",
            Lost::Other => "refused for another reason",
        }
    }
}

impl Fate {
    /// What became of the call as it was recorded.
    #[must_use]
    pub fn of_record(call: &Recorded, currencies: &Currencies) -> Fate {
        if let Some(duration_us) = call.answered_us {
            let answered = (call.tried.iter()).find(|tried| tried.outcome == Outcome::Answered);
            let gateway = call.carried_by.clone();
            let gateway = gateway.or_else(|| Some(answered?.gateway.clone()));
            let sold = call.sold.as_ref();
            let bought = answered.and_then(|tried| tried.bought.as_ref());
            return Fate::Answered {
                gateway: gateway.unwrap_or_default(),
                duration_us,
                income: sold.and_then(|(amount, of)| currencies.worth(of)?.of_income(*amount)),
                cost: bought.and_then(|(amount, of)| currencies.worth(of)?.of_expense(*amount)),
                is_assumed: false,
            };
        }
        match call.tried.last() {
            Some(last) => Fate::Unanswered {
                gateway: last.gateway.clone(),
            },
            None => Fate::Lost(match call.cause.as_str() {
                "no_route" => Lost::NoRoute,
                "no_gateway" => Lost::NoVendor,
                "blocked" => Lost::Blocked,
                _ => Lost::Other,
            }),
        }
    }

    /// The gateway that took it, or was tried last.
    #[must_use]
    pub fn gateway(&self) -> Option<&str> {
        match self {
            Fate::Answered { gateway, .. } | Fate::Unanswered { gateway } => Some(gateway),
            Fate::Lost(_) => None,
        }
    }
}
