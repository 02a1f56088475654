//! The runtime that shards run on: sockets, connections, deadlines, and the way between shards.
//!
//! It knows datagrams, streams and deadlines; it must never know what a SIP message is. What it
//! runs is a [`Handler`]; what the handler may do is its [`Outbox`]. The same handlers run on
//! threads and sockets ([`start`]) and, for tests, on one thread in virtual time ([`World`]).
//!
//! ```text
//!              ┌────────────────────── one shard, one pinned thread ─────────────────────┐
//!  sockets ───▶│ receive a batch ─▶ owner? ─▶ Handler ─▶ Outbox ─▶ send a batch          │──▶ sockets
//!              │                     │ other        ▲                                    │
//!              │                     ▼              │ due timers                        │
//!              └───────────── inbox of the owner ───┴────────────────────────────────────┘
//! ```
//!
//! Words: a *shard* is one thread with the calls it owns; a *turn* is one round of its loop; a
//! *hand-over* brings a message from the shard that received it to the one that owns it; a *parcel*
//! is one thing in an [`Inbox`]; a *page* is a table of numbers that one shard writes.
//!
//! # Shared between threads, all of it
//! - the inboxes: bounded lock-free queues, many writers, one reader ([`Inbox`]);
//! - commands from and notices, records and old snapshots to the control plane: bounded lock-free
//!   queues, one writer and one reader each;
//! - the snapshot: an `Arc` that travels by command and back;
//! - the pages of numbers: one writer, relaxed ([`Page`]);
//! - the gates of what the kernel drops, which it shares too ([`steer::Gate`]);
//! - per shard, of one writer each: asleep, idle, finished, what it failed of, how many snapshots it
//!   took.
//!
//! Tests stand beside the algorithms, and in `tests/` for what needs sockets.

#![deny(unsafe_op_in_unsafe_fn)]

mod backlog;
mod buffers;
mod clock;
mod config;
mod cut;
mod gather;
mod handler;
mod in_hand;
mod inbox;
mod limits;
mod metric;
mod outbox;
mod packet;
mod random;
mod ring;
mod runtime;
mod shard;
mod solo;
mod stats;
pub mod steer;
mod sys;
mod tcp;
mod train;
mod udp;
mod wheel;
mod workbench;
pub mod world;

pub use config::{ListenerSpec, RuntimeConfig, WorldConfig};
pub use handler::{
    Brought, Fellow, Frame, Handler, Inbound, PAD_BYTES_MAX, Place, Rank, TOO_BIG, Undelivered,
};
pub use inbox::{Buffer, Inbox, Parcel};
pub use limits::Limits;
pub use metric::{COUNTERS, DELAY, HISTOGRAMS, Metric};
pub use outbox::Outbox;
pub use packet::{NOTE_MAX, PACKET_SIZES, Packets};
pub use random::Random;
pub use ring::RecordReader;
pub use runtime::{Running, ShardFailure, StartError, start};
pub use solo::{Solo, SoloSent};
pub use stats::{
    CounterDef, CounterKind, Histogram, HistogramDef, Page, PageSnapshot, ShardStats, Tables,
};
pub use sys::fetch;
pub use udp::BufferReport;
pub use wheel::Wheel;
pub use workbench::Workbench;
pub use world::{Sent, StreamId, World};

/// How often [`Handler::housekeeping`] is called.
pub const HOUSEKEEPING_MS: u64 = 100;

type Letter<H> = <H as Handler>::Letter;
