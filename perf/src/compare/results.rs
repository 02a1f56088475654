//! What a sitting leaves behind: plain values, written as JSON and read back by the report.
//!
//! Nothing here names the host, its addresses or its folders. A figure that could not be taken
//! is `None` (`null`), never 0.

use serde::{Deserialize, Serialize};

use crate::ser::Establishment;

/// One sitting: everything measured by turns on one machine, within one run of the program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sitting {
    /// What the sitting is called, such as `compare`.
    pub name: String,
    /// When it began: `YYYY-MM-DD HH:MM UTC`.
    pub began: String,
    /// How long it took.
    pub seconds: u64,
    /// What its reader has to know, such as how busy the machine was.
    pub notes: Vec<String>,
    /// Where it took place.
    pub machine: Machine,
    /// What was asked for.
    pub options: Options,
    /// The servers that took part, in the order of their turns.
    pub subjects: Vec<Subject>,
    /// The same datagrams with nothing in between; one value a round.
    pub floor: Vec<Floor>,
}

/// The machine, as far as it matters to the figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name for itself.
    pub processor: String,
    /// How many processors the kernel has.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Whether it is a guest of a hypervisor.
    pub is_virtual: bool,
    /// All memory.
    pub memory_bytes: u64,
    /// The largest receive buffer that the kernel grants.
    pub receive_buffer_bytes_max: Option<u64>,
    /// Whether `perf stat` counts instructions here.
    pub counts_instructions: bool,
    /// The version of the router under test and of what it is compared with.
    pub versions: Vec<String>,
}

/// What was asked for, so that the sitting can be repeated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// The processor of the servers.
    pub server_core: usize,
    /// The processors of the generator.
    pub generator_cores: Vec<usize>,
    /// How often each point is measured, by turns.
    pub rounds: usize,
    /// How long a point is measured.
    pub point_seconds: f64,
    /// How long load runs before that.
    pub warm_up_seconds: f64,
    /// How long a run of the search is.
    pub search_seconds: f64,
    /// How long the callee rings.
    pub ring_ms: u64,
    /// How long a call is held.
    pub hold_ms: u64,
    /// The rate at which all are compared, if they carry it.
    pub common_rate: f64,
    /// The share of its core that a server gets; none = all of it.
    #[serde(default)]
    pub server_share: Option<f64>,
    /// trunkline's `[overload] delay_target_ms`; none = its default.
    #[serde(default)]
    pub delay_target_ms: Option<u64>,
    /// Whether the generator looked for datagrams all the time, so that no server paid for waking it.
    #[serde(default)]
    pub generator_spins: bool,
    /// Whether the generator took datagrams that were sent as one as one, so that no server paid for
    /// cutting them apart.
    #[serde(default)]
    pub generator_takes_trains: bool,
}

/// A server that took part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// Its short name: `trunkline`, `kamailio-relay-2`.
    pub key: String,
    /// What it is, for people.
    pub title: String,
    /// Datagrams that it receives and sends for one call, as the generator counted.
    pub datagrams_per_call: Option<f64>,
    /// The highest rate it carried.
    pub highest: Option<Highest>,
    /// All measured points.
    pub points: Vec<Point>,
    /// Resident memory with nothing to do (PSS of all its processes), once for each start.
    pub idle_pss_bytes: Vec<u64>,
    /// The same with trunkline's bench configuration and 2 shards.
    pub idle_bench_pss_bytes: Option<u64>,
    /// Memory with calls held.
    pub held: Option<Held>,
    /// Instructions by the processor's counters, once a round; empty where it has none to show.
    pub counted: Vec<Counted>,
    /// Instructions by callgrind.
    pub instructions: Option<Instructions>,
    /// The session establishment rate of RFC 7502.
    pub establishment: Option<Establishment>,
    /// What went wrong, in words; the figures that it cost are missing.
    pub troubles: Vec<String>,
}

/// The highest rate without failure and with under 0.1 % retransmissions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Highest {
    /// Calls a second.
    pub rate: f64,
    /// Whether the generator's core was the limit and not the server.
    pub limited_by_generator: bool,
    /// The lowest rate that failed, and why.
    pub failed_at: Option<(f64, String)>,
}

/// Why a point was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// On the way to the highest rate.
    Search,
    /// At half of the highest rate.
    Half,
    /// At nine tenths of it.
    NineTenths,
    /// At the rate at which all are compared.
    Common,
    /// Beyond the highest rate.
    Overload,
}

/// One measured stretch of load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Why.
    pub role: Role,
    /// Calls offered a second.
    pub rate: f64,
    /// The highest rate as it was found right before this stretch of overload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<f64>,
    /// The measured stretch, without the warm-up.
    pub seconds: f64,
    /// Calls that began in it.
    pub offered: u64,
    /// Those of them that were answered.
    pub established: u64,
    /// Those whose BYE was answered, too.
    pub completed: u64,
    /// Calls a second that were completed within the stretch, whenever they began: what is worked
    /// off after it does not count.
    #[serde(default)]
    pub goodput: f64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls that failed otherwise.
    pub failed: u64,
    /// Requests in dialogs (ACK, BYE) that were refused or never answered.
    pub in_dialog_failed: u64,
    /// Requests and responses that the generator repeated.
    pub retransmitted: u64,
    /// Messages that the generator sent.
    pub sent: u64,
    /// Call records that the server wrote from its start to its end; the warm-up's are among them.
    pub records: Option<u64>,
    /// Set-up time without the callee's ringing.
    pub setup: Latency,
    /// The server's time on the processor, by the scheduler's count.
    pub server: ServerTime,
    /// Share of the server's core taken by others.
    pub foreign_share: f64,
    /// Share of the server's core that the hypervisor gave to somebody else.
    pub steal_share: f64,
    /// The longest time by which the generator was late.
    pub generator_lag_us: u64,
    /// Share of its cores that the generator used.
    pub generator_share: f64,
}

/// Quantiles of a latency.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half are below.
    pub p50_us: u64,
    /// 99 of 100 are below.
    pub p99_us: u64,
    /// 999 of 1,000 are below.
    pub p999_us: u64,
}

/// What a server took of its core for each call.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ServerTime {
    /// All of it.
    pub cpu_us_per_call: f64,
    /// The part in user space: the kernel's split of the above by clock ticks.
    pub user_us_per_call: f64,
    /// The part in the kernel.
    pub system_us_per_call: f64,
    /// How often one of its threads slept and was woken.
    pub wake_ups_per_call: f64,
    /// Share of the core.
    pub share: f64,
}

/// Memory with calls held.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Held {
    /// Calls held against resident bytes (PSS of all processes), with nothing else under way.
    pub points: Vec<HeldPoint>,
    /// The slope between the first and the last point.
    pub pss_bytes_per_call: Option<f64>,
    /// The same of what Kamailio says its shared memory holds.
    pub shared_bytes_per_call: Option<f64>,
    /// Resident bytes for each transaction in Accepted: what went away with them.
    pub bytes_per_accepted: Option<f64>,
}

/// Resident memory at one number of held calls.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct HeldPoint {
    /// Calls that are up.
    pub calls: u64,
    /// Transactions in Accepted at that time, of both sides; 0 when they have gone.
    pub accepted: u64,
    /// PSS of all processes of the server.
    pub pss_bytes: u64,
    /// Kamailio's own count of its shared memory.
    pub shared_bytes: Option<u64>,
}

/// Instructions for a call by the processor's counters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// In user space.
    pub user_per_call: f64,
    /// In the kernel.
    pub kernel_per_call: f64,
}

/// User instructions by callgrind: the slope between two numbers of calls in the same time, which
/// takes out the start, the end and the timers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Instructions {
    /// Instructions for each call, once for each pair of runs.
    pub user_per_call: Vec<f64>,
    /// The calls of each run and all its instructions.
    pub runs: Vec<(u64, u64)>,
    /// Turns of the shards for each call: fewer than its datagrams if some came together.
    #[serde(default)]
    pub turns_per_call: Vec<f64>,
    /// Messages for each call that one shard received and another owned.
    #[serde(default)]
    pub handed_over_per_call: Vec<f64>,
}

/// The kernel's own cost for the datagrams of a call, in batches, with nothing in between.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Floor {
    /// Time on the processor for the datagrams of one call, to a peer that waits as the generator
    /// does.
    pub cpu_us_per_call: f64,
    /// The same to a peer that takes them later: nothing but receives and sends. Absent from
    /// sittings that had only this floor, as `cpu_us_per_call`.
    #[serde(default)]
    pub still_us_per_call: Option<f64>,
    /// For one datagram received.
    pub receive_us: f64,
    /// For one datagram sent, to a peer that takes it later.
    pub send_us: f64,
    /// The same where a destination's datagrams leave in segmented sends; if it was measured.
    pub coalesced_us_per_call: Option<f64>,
}
