//! Steering: the kernel brings each datagram to the socket of the shard that owns it.
//!
//! SO_REUSEPORT alone gives a datagram to a socket by the addresses of its packet, and all calls of
//! a trunk come from one address: one shard would receive them all and hand most of them over. A
//! program of type `SK_REUSEPORT` ([`program`]), made at the start for this process's key, its
//! number of shards and each listener, finds the owner as [`crate::Handler::owner`] does.
//!
//! The truth stays with the handler: it is asked for every message, and what came to a wrong shard
//! is handed over. So the program may give up on whatever is odd, and everything works without it.
//!
//! A second program ([`shed`]) drops what is too much before it is received.
//!
//! Both know no SIP: what a message looks like they are told by a [`Recipe`] and by [`Sheddable`].
//! [`Machine`] runs the same programs without a kernel, for tests.

mod asm;
mod gates;
mod machine;
mod program;
mod shed;
mod spread;

use std::fmt;
use std::io;
use std::os::fd::RawFd;

pub use gates::{Gate, Network};
pub use machine::{Kept, Machine, Ran, Shedder};
pub use shed::{SHED_LOOK_BYTES, ShedConfig, Sheddable};
pub use spread::Spread;

use crate::sys::bpf::{Map, MapKind, Program, ProgramKind};
use gates::Gates;
use program::{Maps, SCRATCH_BYTES, Tally};

/// How the owner of a datagram is found in its octets.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Finds the owner by the value of the key line.
    pub spread: Spread,
    /// The names of the key line: in small letters, 1 to 8 octets each, no two with the same first
    /// one. A line is `name [blanks] : [blanks] value`; the first line of all is none.
    pub names: &'static [&'static str],
    /// How a datagram begins that may carry a cookie.
    pub reply: [u8; 8],
    /// Where the cookie is, for each listener; `None` if it has none. Those that miss have none.
    pub cookies: Vec<Option<Cookie>>,
}

#[cfg(test)]
impl Recipe {
    /// One for SIP, always with the same keys.
    fn of_sip(shards: u16, cookies: Vec<Option<Cookie>>) -> Recipe {
        let mut random = crate::Random::new(1, 0);
        let words: Vec<u64> = (0..Spread::KEY_WORDS).map(|_| random.draw()).collect();
        Recipe {
            spread: Spread::new(|at| words[at], shards),
            names: &["call-id", "i"],
            reply: *b"SIP/2.0 ",
            cookies,
        }
    }
}

/// A mark of ours, followed by the 13 digits (of `0` to `9` and `a` to `v`, the highest first) of a
/// [`base::SlotId`] of the shard that owns the datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie {
    /// Octets from the beginning of the second line to the mark, up to [`Cookie::AT_MAX`].
    pub at: usize,
    /// The mark, up to [`Cookie::MARK_BYTES_MAX`] octets.
    pub mark: &'static [u8],
}

impl Cookie {
    /// The farthest place of a mark in its line.
    pub const AT_MAX: usize = 256;
    /// The longest mark.
    pub const MARK_BYTES_MAX: usize = 32;
}

/// Who brings a datagram to its shard.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SteerMode {
    /// The kernel where it pays and is permitted.
    Auto,
    /// The kernel, or the process does not start.
    Kernel,
    /// The shard that happened to receive it.
    #[default]
    Software,
}

/// What is asked of the kernel.
#[derive(Clone, Default, Debug)]
pub struct SteerConfig {
    /// Who steers.
    pub mode: SteerMode,
    /// How; without it, the shards do.
    pub recipe: Option<Recipe>,
    /// What the kernel may drop; by the recipe too, whoever steers.
    pub shed: Option<ShedConfig>,
}

/// Why the kernel does not steer.
#[derive(Debug)]
pub enum Unsteered {
    /// The configuration says so.
    Configured,
    /// There is one shard, or no listener for datagrams.
    Needless,
    /// The process may not load programs.
    NotPermitted,
    /// The kernel or the machine cannot.
    Unsupported(io::Error),
    /// The verifier refused the program: a fault of ours or of the kernel. With the end of its log.
    Refused(String),
}

impl fmt::Display for Unsteered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsteered::Configured => f.write_str("the configuration says so"),
            Unsteered::Needless => {
                f.write_str("there is one shard only, or no listener for datagrams")
            }
            Unsteered::NotPermitted => f.write_str(
                "the process may not load BPF programs: it needs CAP_BPF and CAP_PERFMON",
            ),
            Unsteered::Unsupported(error) => write!(f, "the kernel cannot: {error}"),
            Unsteered::Refused(log) => {
                write!(f, "the kernel's verifier refused the program: {log}")
            }
        }
    }
}

/// Who brings datagrams to their shards, and how often the kernel could.
#[derive(Debug)]
pub struct Steering {
    state: Result<Loaded, Unsteered>,
    gates: Result<Gates, Unsteered>,
}

/// What is asked for numbers. The programs serve as long as their sockets are open.
#[derive(Debug)]
struct Loaded {
    scratch: Map,
    programs: Vec<Program>,
}

/// How the kernel's programs found the owners, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SteerCounts {
    /// Datagrams steered by a cookie.
    pub cookie: u64,
    /// Datagrams steered by the hash of the key line.
    pub hash: u64,
    /// Datagrams in which nothing clear was found, left to the kernel's own choice.
    pub unclear: u64,
}

/// The shards steer, as they do where nothing else was asked for.
impl Default for Steering {
    fn default() -> Steering {
        Steering {
            state: Err(Unsteered::Configured),
            gates: Err(Unsteered::Configured),
        }
    }
}

impl Steering {
    /// Whether the kernel steers; if not, why.
    ///
    /// # Errors
    /// Why the shards do it themselves.
    pub fn by_kernel(&self) -> Result<(), &Unsteered> {
        self.state.as_ref().map(drop)
    }

    /// Whether the kernel can drop what is too much; if not, why.
    ///
    /// # Errors
    /// Why the shards must receive it all.
    pub fn sheds(&self) -> Result<(), &Unsteered> {
        self.gates.as_ref().map(drop)
    }

    /// By what a shard tells the kernel what to drop.
    #[must_use]
    pub fn gate(&self, shard: u16) -> Option<Gate> {
        self.gates.as_ref().ok().map(|gates| gates.of(shard))
    }

    /// Tells the kernel which networks are known, and by which place; those of before are forgotten.
    /// Returns how many of them it did not take.
    pub fn know(&self, networks: impl Iterator<Item = Network>) -> usize {
        self.gates.as_ref().map_or(0, |gates| gates.know(networks))
    }

    /// How many datagrams of known sources the kernel dropped, and how many of strangers.
    #[must_use]
    pub fn shed(&self) -> (u64, u64) {
        self.gates.as_ref().map_or((0, 0), Gates::dropped)
    }

    /// What the kernel's programs counted. All 0 if there are none.
    #[must_use]
    pub fn counts(&self) -> SteerCounts {
        let Ok(loaded) = &self.state else {
            return SteerCounts::default();
        };
        // A map of ours can be read as long as it is open; a count of 0 would say the rest.
        let values = loaded.scratch.read_first().unwrap_or_default();
        let of = |tally: Tally| -> u64 {
            let words = values.chunks_exact(SCRATCH_BYTES / 8);
            words.map(|words| words[tally as usize]).sum()
        };
        SteerCounts {
            cookie: of(Tally::Cookie),
            hash: of(Tally::Hash),
            unclear: of(Tally::Unclear),
        }
    }

    /// How often the kernel ran the programs, and how many nanoseconds it took for that, if it
    /// measures them (`sysctl kernel.bpf_stats_enabled=1`).
    #[must_use]
    pub fn spent(&self) -> (u64, u64) {
        let programs = self.state.iter().flat_map(|loaded| &loaded.programs);
        programs
            .filter_map(|program| program.spent().ok())
            .fold((0, 0), |sum, (runs, nanos)| (sum.0 + runs, sum.1 + nanos))
    }

    /// Steers the groups of sockets as `config` wants it: for each listener its place and its
    /// sockets in the order of their shards.
    ///
    /// # Errors
    /// Why not, if the kernel has to and does not.
    pub fn start(
        config: &SteerConfig,
        groups: &[(usize, Vec<RawFd>)],
    ) -> Result<Steering, Unsteered> {
        let state = match (config.mode, &config.recipe) {
            (SteerMode::Software, _) | (_, None) => Err(Unsteered::Configured),
            (mode, Some(recipe)) => match load(recipe, groups) {
                Err(why) if mode == SteerMode::Kernel && !matches!(why, Unsteered::Needless) => {
                    return Err(why);
                }
                state => state,
            },
        };
        let gates = match (&config.shed, &config.recipe) {
            (Some(shed), Some(recipe)) => Gates::open(recipe, shed, groups),
            _ => Err(Unsteered::Configured),
        };
        Ok(Steering { state, gates })
    }
}

fn load(recipe: &Recipe, groups: &[(usize, Vec<RawFd>)]) -> Result<Loaded, Unsteered> {
    // The rule for `auto`: docs/architecture.md, "Steering".
    if recipe.spread.shards() < 2 || groups.is_empty() {
        return Err(Unsteered::Needless);
    }
    if cfg!(target_endian = "big") {
        let error = io::Error::other("the program is written for little-endian machines");
        return Err(Unsteered::Unsupported(error));
    }
    let scratch = Map::new(MapKind::PerCpuArray, SCRATCH_BYTES, 1).map_err(refusal)?;
    let mut programs = Vec::with_capacity(groups.len());
    for (listener, sockets) in groups {
        let map = Map::new(MapKind::Sockets, size_of::<u64>(), sockets.len()).map_err(refusal)?;
        for (shard, &socket) in (0..).zip(sockets) {
            map.put_socket(shard, socket).map_err(refusal)?;
        }
        let maps = Maps {
            scratch: scratch.descriptor(),
            sockets: map.descriptor(),
        };
        let cookie = recipe.cookies.get(*listener).copied().flatten();
        let words = program::program(recipe, cookie, maps);
        programs.push((verified(ProgramKind::Chooser, &words)?, sockets));
    }
    // Nothing is attached before everything is loaded: the kernel steers all listeners or none.
    for (program, sockets) in &programs {
        program.attach(sockets[0]).map_err(refusal)?;
    }
    let programs = programs.into_iter().map(|(program, _)| program).collect();
    Ok(Loaded { scratch, programs })
}

/// Loads a program, or says why the kernel does not take it.
fn verified(kind: ProgramKind, words: &[u64]) -> Result<Program, Unsteered> {
    let mut log = Vec::new();
    Program::load(kind, words, &mut log).map_err(|error| match refusal(error) {
        Unsteered::Unsupported(_) if !may_point() => Unsteered::NotPermitted,
        Unsteered::Unsupported(_) if !log.is_empty() => Unsteered::Refused(last_lines(&log)),
        why => why,
    })
}

fn refusal(error: io::Error) -> Unsteered {
    match error.raw_os_error() {
        Some(libc::EPERM) => Unsteered::NotPermitted,
        _ => Unsteered::Unsupported(error),
    }
}

/// Whether the verifier lets us compute pointers freely, as the program does. Without it, it refuses
/// the program as if that were wrong. If the system does not say, the verifier's own word counts.
fn may_point() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask & (SYS_ADMIN | PERFMON) != 0)
}

/// The end of the verifier's log, where it says what it does not like.
fn last_lines(log: &[u8]) -> String {
    const LINES: usize = 6;
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join(" / ")
}
