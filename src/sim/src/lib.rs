//! The simulator: whole routers in virtual time, among carriers that misbehave, from a seed.
//!
//! | to | use |
//! |---|---|
//! | read or write a call flow as a ladder | [`flow`], the files in `flows/` |
//! | let seeds choose carriers and faults | [`swarm`] |
//! | see what must always hold | [`watch`], [`ledger`] |
//!
//! ```text
//!   flow file ─▶ actors ─┐                       ┌─▶ watch: every datagram of a router
//!                        ├─▶ network ─▶ machine ─┤
//!   seed ─▶ swarm ───────┘   (faults)   (World)  └─▶ ledger: calls against records
//! ```
//!
//! The carriers read and write SIP with code of their own ([`text`], [`leg`]); `route`, `call` and
//! `transaction` are named in `machine.rs` only, to build a router, and never asked what it should
//! do. Everything is determined by the plan and its seed: no clock, no thread, no chance but
//! [`dice`].
//!
//! `cargo test -p sim` runs all flows, the kept seeds and some hundred fresh ones;
//! `cargo run --release -p sim -- --seeds 2000` runs more, `--seconds N` runs as long as one likes.

#![forbid(unsafe_code)]

pub mod dice;
pub mod flow;
pub mod gossip;
pub mod ledger;
pub mod leg;
pub mod machine;
pub mod network;
pub mod phone;
pub mod plan;
pub mod swarm;
pub mod text;
pub mod watch;
