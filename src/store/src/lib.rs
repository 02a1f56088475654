//! The store: generations of the routing world in a database.
//!
//! A generation is a complete world: its objects (trunks, gateways, decks, routes, … as tables of
//! TOML), and the contents of the decks and lists that they name, each kept once for all generations
//! that have it. What is a node's own (`[node]`, `[[listener]]`, `[limits]`, …) stays in its file.
//!
//! The store knows who changed what and when, and which generation is the head. It does not know
//! what a world means: whoever commits has it checked before, by the code that checks files. It may
//! wait for a disk or a server, and is never used from a shard.
//!
//! Words: *stage* (put a world in, without effect), *commit* (make it the head), *fetch* (bring one
//! to this machine, as files). In the order of use: `world.rs` and `document.rs` (files to objects
//! and back), `store.rs` (what can be done), `content.rs` (decks and lists in chunks), `cache.rs`
//! (generations on this machine), `schema.rs` and `migrations/` (tables), `session.rs` (what a
//! database must do), `sqlite.rs`, `postgresql.rs`. Tests: `tests/conformance`, the same for both.

#![forbid(unsafe_code)]
// It lives in the control plane, in real time.
#![allow(clippy::disallowed_methods)]

mod cache;
mod content;
mod document;
mod error;
mod generation;
mod postgresql;
mod schema;
mod session;
mod sqlite;
mod store;
mod world;

pub use cache::{Cache, Fetched, export};
pub use document::{Document, Object};
pub use error::StoreError;
pub use generation::Generation;
pub use store::{Kept, STAGED_MAX, Store};
pub use world::{WORLD_FILE, World};
