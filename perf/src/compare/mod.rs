//! The comparison: trunkline and Kamailio by turns on the same core, under the same load.
//!
//! ```text
//!   core 0: generator (callers and callees)        core 1: the server under test, all its threads
//! ```
//! It starts the servers itself, from the configurations in `perf/kamailio` and `perf/trunkline`,
//! measures from outside (the kernel's accounting and the generator's clocks), and asks neither
//! server what it thinks of itself, but for Kamailio's count of its shared memory.
//!
//! Files in the order of a sitting: [`entrant`] who takes part and how it is set up, `server` a
//! running one, `process` and [`machine`] what the kernel knows of it, `measure` one stretch of
//! load, [`search`] the highest rate, [`sitting`] all of it by turns, [`overload`], [`ser`], `held`,
//! [`scale`], `counters` and `callgrind` what has procedures of its own, [`results`] what comes out, [`cli`] its commands.

mod callgrind;
pub mod cli;
mod counters;
pub mod entrant;
pub mod flood;
mod held;
mod left;
pub mod machine;
mod measure;
pub mod median;
pub mod overload;
pub(crate) mod process;
mod rest;
pub mod results;
pub mod scale;
pub mod search;
pub mod ser;
pub(crate) mod server;
pub mod sitting;

use std::io;

pub use measure::place;
use results::{Floor, Options};

use crate::floor::{self, CallSizes};

/// The kernel's own cost for the datagrams of one call of these lengths, on the servers' core.
fn floor_of_a_call(options: &Options, sizes: &CallSizes) -> io::Result<Floor> {
    let core = options.server_core;
    let peer_core = options.generator_cores.iter().find(|peer| **peer != core);
    let peer_core = peer_core
        .copied()
        .unwrap_or(if core == 0 { 1 } else { core - 1 });
    let found = floor::measure(core, peer_core, sizes, FLOOR_DATAGRAMS)?;
    let longest = found
        .segmented
        .iter()
        .max_by_key(|segmented| segmented.segments);
    let coalesced = longest.map(|segmented| {
        let (received, sent) = (sizes.received.len() as f64, sizes.sent.len() as f64);
        (found.receive.median_ns * received + segmented.cost.median_ns * sent) / 1e3
    });
    // The floor's peer waits as the generator did, or its wake-ups would count on one side only.
    let call = if options.generator_spins {
        found.call_spinning
    } else {
        found.call_live
    };
    Ok(Floor {
        cpu_us_per_call: call.median_ns / 1e3,
        still_us_per_call: Some(found.call.median_ns / 1e3),
        receive_us: found.receive.median_ns / 1e3,
        send_us: found.send.median_ns / 1e3,
        coalesced_us_per_call: coalesced,
    })
}

/// Datagrams of each kind that a floor is taken from: a second of work or two.
const FLOOR_DATAGRAMS: u64 = 100_000;
