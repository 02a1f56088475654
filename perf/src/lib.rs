//! Load, and the judge of it: SIP peers that place and answer calls, and the check that joins
//! what they saw with the router's CDRs.
//!
//! The peers are independent of the router on purpose: they share no parser, no transaction code
//! and no types with it, so that a mistake of ours is not made twice and cancelled out. They are
//! plain threads, one a peer, bounded in calls and in time, and each ends when it is told to.
//!
//! Words: a *caller* places calls at a fixed rate, whatever the answers (open loop); a *vendor*
//! answers, refuses or says nothing; the *truth* is the callers' own log, one line an event, in
//! the form that our SIPp scenarios write too (see [`truth`]). Tests are beside each module;
//! `cdr-check` is [`truth::check`] as a program.

#![forbid(unsafe_code)]
// Peers live in real time, beside the router and not in its call path.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod compare;
pub mod demo;
mod figures;
pub mod floor;
mod histogram;
pub mod latency;
pub mod load;
pub mod peers;
pub mod prices;
pub mod report;
pub mod ser;
mod text;
pub mod truth;

pub use figures::{Figures, VendorFigures};
pub use histogram::Histogram;
