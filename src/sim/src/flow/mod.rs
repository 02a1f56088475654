//! Call flows as text: ladders that a SIP engineer reads, run under virtual time.
//!
//! ```text
//! # What the flow shows, and where it comes from.
//! world: vendors=2 no_response=2s
//! A > INVITE            t=0
//! B < INVITE            t<5ms  via.branch=ours
//! B > 180               t=50ms
//! A < 180
//! A > CANCEL            t=2s
//! A < 200 (CANCEL), B < CANCEL
//! all quiet             t=60s
//! cdr: calls=1 attempts=1 answered=false status=487
//! ```
//!
//! **Actors.** A is the customer, B, C, D … the vendors' gateways, X a stranger, Z a trap. The
//! routers T and U are not scripted: they are what is tested. An actor writes messages as a user
//! agent in its place would, from what it received; it repeats nothing by itself.
//!
//! **Sending.** `A > METHOD` or `B > STATUS (METHOD)`. `t=2s` is the moment in virtual time,
//! `t=+1s` one second after the line before; without it, at once. Options: `uri= from= to= tag=
//! mf= cseq= branch= via= route= hop= body=` replace parts, `h="Name: value"` adds a line,
//! `contact= callid=` too, `also=` adds a Route, `drop=Name` takes lines away, `record=` and `under=` add the Record-Route and the
//! Via of a proxy beside the actor, `again` repeats the last message of that kind, `lost` lets the
//! network lose it, `as=A` writes it from A's knowledge, `dialog=TAG` chooses among forks,
//! `call=2` another call, `for=1` the INVITE that an ACK is for, `new` starts a request outside the dialog,
//! `strict` writes it as a strict router would pass it on, `onward` as the
//! record-routing proxy beside the actor would.
//!
//! **Expecting.** `A < STATUS (METHOD)` or `B < METHOD`: the next message that arrives at the actor
//! must be this one, within 100 ms or `within=`; 100 (Trying) and exact repeats are passed over
//! unless the line asks for them (`again`). `lost`: it arrives, but the actor never learns of it.
//! Conditions follow: `t< t>`, `via.branch=ours`, `via.count=`, `uri=`, `mf=`, `src=T`, `tag=`,
//! `cseq=`, `body~`, `h.Name=value`, `h.Name~part`, `h.Name=none`, `h.Name.count=`.
//!
//! **Else.** `A quiet t=10s`, `all quiet t=10s`: nothing arrives until then. `restart shard=0`: a
//! shard loses its memory. `cdr:` checks the records at the end. A flow also fails when a message
//! nobody expected arrived, and when transactions, packets or timers outlive all their deadlines.

mod actor;
mod check;
mod parse;
mod run;

pub use parse::{Condition, Flow, Operator, Step, parse};
pub use run::run;
