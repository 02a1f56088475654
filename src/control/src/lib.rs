//! The control plane: everything around the shards that may wait, allocate, and fail slowly.
//!
//! One thread runs the sockets and signals (a tokio runtime that no shard ever sees); one more writes
//! the call records, and a reload has one of its own. They give way to the shards (`priority.rs`). The
//! control plane reaches the shards by publishing snapshots and by asking for a drain or a stop; it
//! reads their pages, notices and records. It must never name a type of the transaction, call or router
//! crates, and nothing a shard does waits for it.
//!
//! ```text
//!   config file, store ─▶ reload.rs ─▶ snapshot ─▶ shards ─▶ records ─▶ cdr_writer.rs ─▶ cdr_file.rs
//!   signals ─────▶ plane.rs                   ├─────▶ notices ─▶ log (logs.rs)
//!                                             └─────▶ pages ───▶ view.rs ─▶ socket.rs, metrics.rs
//! ```
//!
//! Words: a *node* is a running process with its shards ([`Node`]); the *view* is what may be read of
//! it at any time ([`View`]); *loaded* is a configuration with the world made of it ([`Loaded`]).
//! Tests: beside the modules, and `tests/` for what needs disks and sockets.

#![forbid(unsafe_code)]
// The control plane lives in real time, off the shards' threads.
#![allow(clippy::disallowed_methods)]

mod asker;
mod caps;
mod cdr_disk;
mod cdr_file;
mod cdr_writer;
mod change;
mod deck_files;
mod follow;
mod history;
mod hosts;
mod hours;
mod list_files;
mod logs;
mod metrics;
mod node;
mod plane;
mod priority;
mod reload;
mod report;
mod service;
mod socket;
mod stamp;
#[cfg(test)]
mod tests;
mod view;
pub mod world;

pub use caps::{Caps, CapsUp};
pub use cdr_file::{CdrError, CdrOptions};
pub use cdr_writer::{CdrStatus, CdrWriter, RecordSource};
pub use change::changes;
pub use deck_files::{Library, Progress, now};
pub use hosts::Hosts;
pub use hours::moment;
pub use list_files::Lists;
pub use logs::{LogTarget, Plain, Rate, RateLimit, start_logs};
pub use metrics::metrics_text;
pub use node::{BootError, Ended, Node, Setup};
pub use plane::Asked;
pub use priority::let_all_go_first;
pub use reload::{LoadError, Loaded, Stored};
pub use report::{generation_report, health_report, stats_report};
pub use view::{Cell, Layout, Phase, View};
