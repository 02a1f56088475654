//! Where a call may go: trunks, numbers, prefixes, gateways, their health, and the order to try.
//!
//! A [`Spec`] is plain data; [`build`] turns it into a [`Snapshot`], which is read-only, shared by
//! all shards and swapped whole. What changes with each call is in [`Health`], of which each shard
//! has its own. Nothing here reads a clock or draws a random number: time and dice come in. Nothing
//! on the path of a call allocates.
//!
//! Words: a *trunk* is the side a call comes from, known by its source address; a *gateway* is an
//! address that takes calls; a *route* is what happens to the numbers under one prefix: which
//! gateways, in which order, what makes a call *advance* to the next; a *candidate* is one of them
//! with the reason why it may be tried or not.
//!
//! In the order of a call: `ingress.rs`, `rewrite.rs`, `number.rs`, `screen.rs` with `lists.rs`, `prefix.rs`, `pricing.rs` with `rates.rs`,
//! `order.rs` with `balance.rs`, `turns.rs`, `calendar.rs` and `quality.rs`, `cap.rs` with `windows.rs`, `candidate.rs`, `named.rs`, `health.rs`, `gateway.rs` (the Request-URI),
//! `profile.rs` (what may cross the border of a peer);
//! `explain.rs` with `reasons.rs` walks the same path and tells.
//! `judge.rs` says, off the shards, what quality comes to. Tests are beside each file; `tests.rs` holds the path as a whole.

#![forbid(unsafe_code)]

mod advance;
mod balance;
mod block;
mod build;
mod calendar;
mod candidate;
mod cap;
mod code;
mod compare;
mod explain;
mod gateway;
mod health;
mod ingress;
mod judge;
mod lists;
mod marks;
mod named;
mod number;
mod order;
mod peer;
mod prefix;
mod pricing;
mod profile;
mod quality;
mod rate;
mod rates;
mod reasons;
mod rewrite;
mod scope;
mod screen;
mod snapshot;
mod spec;
mod split;
mod table;
mod trie;
mod trunk;
mod turns;
mod windows;

#[cfg(test)]
mod tests;

pub use advance::AdvanceTable;
pub use balance::{Balance, Scene};
pub use block::{Block, BlockSpec};
pub use build::{BuildError, build};
pub use calendar::{CalendarSpec, WhenSpec};
pub use candidate::{Candidate, Candidates, NoRoute, SkipReason, Verdict};
pub use cap::{Apart, CapId, CapRule, CapSide, CapSpec};
pub use code::Code;
pub use compare::PriceChanges;
pub use explain::{Explanation, Occasion, Refusal, Step, explain, explain_dialled};
pub use gateway::{Coalesce, EgressFormat, EgressStyle, Gateway, HealthRules, Probe};
pub use health::{Change, GatewayState, Health, HealthEvent};
pub use ingress::Source;
pub use judge::{Change as QualityChange, Judge, Standing};
pub use lists::{Entry, Named, NotANumber, Numbers, NumbersBuilder};
pub use named::NotThere;
pub use number::{Number, NumberBuffer, NumberError, NumberFormat, PlainRule, Rule};
pub use order::Mode;
pub use prefix::Prefixes;
pub use pricing::{Margin, Worth};
pub use profile::{
    Assert, Border, HeaderNames, HeaderRules, PROTECTED, PROTECTED_NAME, Passes, Profile,
    is_protected,
};
pub use quality::{
    Bounds, ClassId, DESTINATION_DIGITS_MAX, Ending, Mark, Measure, Place, Quality, QualitySpec,
    RowName, is_effective, is_no_verdict,
};
pub use rate::{Currency, Price, Rate, Steps};
pub use rates::{DeckId, Moment, Offer, Offers, Overlap, RateId, Rates, RatesBuilder};
pub use rewrite::{Rewritten, rewrite_all};
pub use screen::{Blocked, ListSpec, ScreenSpec, Side};
pub use snapshot::{Ask, Route, RouteId, Snapshot, Target};
pub use spec::{
    CallLimits, CarrierSpec, DeckSpec, GatewaySpec, ListenerSpec, PlanSpec, Refuse, RouteSpec,
    Spec, TargetSpec, TrunkSpec,
};
pub use spec::{UnknownSource, limits};
pub use translation::{self, Chain, NumberRules, Role};
pub use trunk::Trunk;
pub use turns::Turns;
pub use windows::{Charge, Kept, STEPS, Used, Windows};
