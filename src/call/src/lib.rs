//! Calls: what a request's branches, attempts and dialogs are, and what becomes of them.
//!
//! | to | use |
//! |---|---|
//! | decide what a branch's answer means | [`Fork`] |
//! | follow a call from INVITE to its record | [`Call`], [`Dialog`], [`Attempt`] |
//! | judge a request before it is passed on | [`proxy`] |
//! | know what may cross from one peer to another | [`border`] |
//! | know where a URI leads | [`next_hop`] |
//! | mint and read our Via and Record-Route tokens | [`Keys`] |
//! | change policy | [`verdict`] |
//!
//! Everything is values: events in, decisions out; the router carries them out. Nothing here sends,
//! waits, reads a clock or knows the runtime. A call and its forks live on one shard.

#![forbid(unsafe_code)]

pub mod border;
mod call;
mod compact;
mod fork;
pub mod next_hop;
mod privacy;
pub mod proxy;
mod record;
pub mod token;
pub mod verdict;

pub use call::{Attempt, Call, Dialog, Ending, Invite, Side, Spares, Target};
pub use compact::{Moment, Packed};
pub use fork::{Best, Branch, BranchState, Effect, Event, Fork, Kind, Next, Purpose, Step};
pub use record::{Names, encode_record};
pub use token::{DialogNames, Keys};
