//! Translation rules: how one writing of a number becomes another.
//!
//! A [`Rule`] says which numbers it is for (how they begin, how long they are) and what becomes of
//! them (signs off at either end, others put there). In a [`RuleSet`] the first rule that fits
//! decides, and a number that none fits stays as it is. A [`Chain`] is the sets of one place, one
//! after the other. There are no expressions to be run: a rule is a few masks and two pieces of text,
//! so that it costs what its beginning is long, and nothing is allocated to apply it.
//!
//! ```text
//!   user part ──Signs::read──▶ signs ──Chain::apply──▶ signs
//! ```
//!
//! A number here is what people dial: digits, `+`, `*` and `#`, up to [`SIGNS_MAX`] of them. What is
//! no number is no business of these rules. The crate knows no SIP beyond the escapes of a user part
//! (RFC 3261 §19.1.2), and no trunk: the configuration makes rules and tries their examples, routing
//! applies them. Tests are beside each file.

#![forbid(unsafe_code)]

mod pattern;
mod rule;
mod set;
mod signs;

pub use pattern::Pattern;
pub use rule::{Change, Lengths, Rule};
pub use set::{Chain, NumberRules, Role, RuleSet};
pub use signs::{SIGNS_MAX, Signs};
