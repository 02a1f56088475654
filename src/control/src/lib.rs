//! The control plane: everything around the shards that may wait, allocate, and fail slowly.
//!
//! One thread runs the sockets, signals and reloads (a tokio runtime that no shard ever sees); one
//! more writes the call records. The control plane reaches the shards by publishing snapshots and by
//! asking for a drain or a stop; it reads their pages, notices and records. It must never name a
//! type of the transaction, call or router crates, and nothing a shard does waits for it.
//!
//! ```text
//!   config file ─▶ reload.rs ─▶ snapshot ─▶ shards ─▶ records ─▶ cdr_writer.rs ─▶ cdr_file.rs
//!   signals ─────▶ serve.rs                   ├─────▶ notices ─▶ log (logs.rs)
//!                                             └─────▶ pages ───▶ view.rs ─▶ socket.rs, metrics.rs
//! ```

#![forbid(unsafe_code)]
// The control plane lives in real time, off the shards' threads.
#![allow(clippy::disallowed_methods)]

mod cdr_file;
mod cdr_writer;
mod logs;
mod metrics;
mod report;
mod socket;
mod view;

pub use cdr_file::{CdrError, CdrOptions};
pub use cdr_writer::{CdrStatus, CdrWriter, RecordSource};
pub use logs::{LogFormat, LogLevel, Plain, Rate, RateLimit, start_logs};
pub use metrics::metrics_text;
pub use report::{generation_report, health_report, stats_report};
pub use view::{Cell, Layout, Phase, View};
