//! The load generator: callers and callees on their own cores, and what they saw.
//!
//! ```text
//!            Plan ──▶ one thread a core:  sources (callers) ──▶ router ──▶ sinks (callees)
//!                          Schedule ─▶ attempts              ◀──────┘          │
//!                                              Report ◀── counts, histograms ◀─┘
//! ```
//! **Open loop**: when each attempt is due is drawn ahead and never waits for an answer; latencies
//! count from the time when the request was due, so that a stall of the router is seen by every
//! call that would have met it, not by the one that did. What the generator itself was late is
//! told separately, with its CPU share: see [`Generator`].
//!
//! A thread owns its sources and sinks, their sockets, calls and deadlines; threads share nothing
//! but counters that one of them writes. In steady state nothing is allocated for a call.
//!
//! In the order of a call: `schedule.rs` (when), `thread.rs` (a turn), `caller/`, `voice.rs`
//! (what is said), `ports.rs` and `batch.rs` (how it leaves), `callee.rs`, `sum.rs` (the report).

pub(crate) mod batch;
mod callee;
mod caller;
mod cores;
mod part;
mod plan;
pub(crate) mod ports;
mod progress;
mod report;
mod run;
pub(crate) mod schedule;
mod slab;
mod spread;
mod sum;
mod tally;
pub(crate) mod thread;
mod voice;
mod wheel;
mod wire;

pub(crate) use part::Holder;
pub use plan::{Arrivals, Mix, Numbers, Payload, Plan, Sink, Source, Timers, Transport, Wait};
pub use progress::{Moment, Progress};
pub use report::{
    Again, Asked, Calls, CoreReport, Failures, Generator, Latencies, MessageBytes, Report,
    SinkReport, Sizes, SourceReport, Window,
};
pub use run::{run, run_beside};
pub use spread::{NoSpread, Spread, milliseconds};
pub(crate) use thread::pin;
