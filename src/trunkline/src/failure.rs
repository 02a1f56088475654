//! Why a command failed, in words that say how to go on.

use std::fmt;
use std::io;
use std::path::PathBuf;

use control::{BootError, Ended, LoadError};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is wrong: all that is wrong with it.
    Load(LoadError),
    /// The node cannot be started.
    Boot(BootError),
    /// The node's secret cannot be used.
    Secret(PathBuf, io::Error),
    /// The system's source of random numbers failed.
    Random(getrandom::Error),
    /// There are more shards than processors to pin them to, or none is allowed.
    NoProcessors(io::Error),
    /// The node ran and lost something.
    Losses(Ended),
    /// No trunk of this name; these there are.
    NoTrunk(String, Vec<String>),
    /// This cannot be dialled.
    Number(String, sip::Error),
    /// The stats socket cannot be asked.
    Socket(PathBuf, io::Error),
    /// The node says that it cannot do its work.
    Trouble(String),
    /// The answer of the stats socket makes no sense.
    Answer(String),
    /// A file or folder of the demonstration.
    File(PathBuf, io::Error),
    /// The demonstration needs something that its configuration has not.
    DemoConfig(&'static str),
    /// A peer of the demonstration cannot be started.
    Peer(io::Error),
    /// The demonstration answered no call.
    NothingAnswered,
    /// Who read our output has gone: nothing to complain about.
    OutputClosed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Load(error) => told_faults(error, f),
            Failure::Boot(error) => write!(f, "trunkline: {error}"),
            Failure::Secret(path, error) => write!(
                f,
                "trunkline: the node's secret {}: {error}; see [node] state_dir",
                path.display()
            ),
            Failure::Random(error) => {
                write!(f, "trunkline: the system gives no random numbers: {error}")
            }
            Failure::NoProcessors(error) => write!(
                f,
                "trunkline: cannot learn which processors are allowed: {error}; \
                 write a number for [node] shards"
            ),
            Failure::Losses(ended) => write!(
                f,
                "trunkline: ended with losses: {} call records, {} shards; the log says why",
                ended.records_lost, ended.shards_failed
            ),
            Failure::NoTrunk(name, known) if known.is_empty() => {
                write!(
                    f,
                    "trunkline: no trunk `{name}`: the configuration has none"
                )
            }
            Failure::NoTrunk(name, known) => {
                write!(
                    f,
                    "trunkline: no trunk `{name}`; there are: {}",
                    known.join(", ")
                )
            }
            Failure::Number(number, error) => write!(
                f,
                "trunkline: `{number}` cannot be dialled: {}; give digits, or a sip: or tel: URI",
                error.reason()
            ),
            Failure::Socket(path, error) => write!(
                f,
                "trunkline: cannot ask {}: {error}; is trunkline running, by this user, with \
                 this [control] socket?",
                path.display()
            ),
            Failure::Trouble(why) => write!(f, "trunkline: the node is in trouble: {why}"),
            Failure::Answer(why) => write!(
                f,
                "trunkline: the answer makes no sense: {why}; is the running trunkline of this version?"
            ),
            Failure::File(path, error) => write!(f, "trunkline: {}: {error}", path.display()),
            Failure::DemoConfig(what) => {
                write!(
                    f,
                    "trunkline: the demonstration's configuration needs {what}"
                )
            }
            Failure::Peer(error) => {
                write!(f, "trunkline: a peer of the demonstration: {error}")
            }
            Failure::NothingAnswered => {
                write!(f, "trunkline: no call of the demonstration was answered")
            }
            Failure::OutputClosed => write!(f, "trunkline: nobody reads the output"),
        }
    }
}

/// Each fault on a line of its own, and how many there are.
fn told_faults(error: &LoadError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let messages = error.messages();
    for message in &messages {
        writeln!(f, "{message}")?;
    }
    let (count, plural) = (messages.len(), if messages.len() == 1 { "" } else { "s" });
    write!(f, "trunkline: {count} error{plural} in the configuration")
}

/// Prints to the standard output; a reader that has gone is no fault.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|_| Failure::OutputClosed)
}
