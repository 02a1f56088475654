//! Recorded calls led through another routing world: what they would have cost, brought and met there.
//!
//! ```text
//!   line of a record ─▶ Recorded ─┬─▶ Fate as it was       ─┐
//!                                 └─▶ World::fate, staged  ─┴─▶ Tally ─▶ table, page
//! ```
//! The world decides with the code that routes calls; nothing is decided twice. What it cannot know
//! is how a vendor would have answered that was never asked. The record says what was seen:
//!
//! - a vendor that the record names does again what it did: it answers, or it fails and the plan's own
//!   causes decide whether the call goes on;
//! - any other vendor does what came out in the end: an answered call is answered and as long.
//!
//! All gateways count as up, no limit is full, and of weighted vendors each has its exact share. Times
//! are the records': a price holds if it held then.

mod fate;
mod page;
mod recorded;
mod report;
mod tally;
mod world;

pub use fate::{Fate, Lost};
pub use page::page;
pub use recorded::{NotARecord, Outcome, Paid, Recorded, Tried};
pub use report::{Words, moves, summary, vendors};
pub use tally::{Side, Tally, Vendor};
pub use world::{Currencies, World};
