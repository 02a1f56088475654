//! Overload control: who is served when not everybody can be.
//!
//! ```text
//!   delay of each message ─▶ Admission ── admit, refuse or drop ─▶ the parser, or not
//!                               │  one limit for the shard, divided fairly over the sources
//!                               ├─ bounds ─▶ what the kernel drops, if refusals would cost too much
//!                               └─ advice ─▶ `oc` in the Via of what we answer   (RFC 7339, server)
//!   `oc` in our own Via of an answer ─▶ Throttle ─▶ this gateway, or the next one  (client)
//! ```
//!
//! The signal is how long messages wait between the kernel and their turn, not how busy the
//! processor says it is: that also sees a processor that others use. The least delay of a period is
//! taken, because a queue that empties now and then is a burst and no overload.
//!
//! Words: a *class* is what is refused last or first; a *source* is a trunk, or all that is none; a
//! source's *level* is its fair share in calls a second; a *cut* is the share of its requests that a
//! neighbour is asked not to send; a *valve* is the share of them that the kernel lets through.
//!
//! Pure: time comes in with each message, chance as a number. Everything is allocated by
//! [`Admission::new`]. Tests: `tests/admission.rs` plays a server with a cost for each kind of message
//! under 2, 5 and 10 times its load; `tests/vectors.rs` has the examples of RFC 7339 and RFC 7415.

#![forbid(unsafe_code)]

mod admission;
mod bucket;
mod capacity;
mod fair;
mod loss;
mod params;
mod throttle;
mod valve;

pub use admission::{Admission, Decision, Rules};
pub use bucket::Bucket;
pub use fair::{Class, SourceId};
pub use loss::{Cuts, Mix};
pub use params::{Advice, Algorithm, Params, Seq};
pub use throttle::{Kind, Throttle};
