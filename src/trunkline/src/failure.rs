//! Why a command failed, in words that say how to go on.

use std::fmt;
use std::io;
use std::path::PathBuf;

use control::{BootError, Ended, LoadError};
use store::StoreError;

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
    /// A rate deck cannot be read.
    Unreadable(PathBuf, String),
    /// A rate deck must not be used; why was said.
    Deck(PathBuf),
    /// A dialect is wrong: all that is wrong with it.
    Dialect(PathBuf, Vec<decks::BadDialect>),
    /// Tables of another router that nothing can be made of.
    Import(String),
    /// A file that is there already.
    Exists(PathBuf),
    /// The demonstration needs something that its configuration has not.
    DemoConfig(&'static str),
    /// A peer of the demonstration cannot be started.
    Peer(io::Error),
    /// The demonstration answered no call.
    NothingAnswered,
    /// The store did not do what was asked.
    Store(StoreError),
    /// The configuration names no store.
    NoStore(PathBuf),
    /// A generation was committed, and the running node does not take it: all that is wrong.
    NotTaken(u64, Vec<String>),
    OddDecks(Vec<String>),
    /// Who read our output has gone: nothing to complain about.
    OutputClosed,
}

impl fmt::Display for Failure {
    #[rustfmt::skip] // a table
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Failure as F;
        match self {
            F::Load(error) => told_faults(&error.messages(), "the configuration", f),
            F::Dialect(path, faults) => told_faults(
                &faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect::<Vec<_>>(),
                "the dialect",
                f,
            ),
            F::Boot(error) => write!(f, "trunkline: {error}"),
            F::Secret(path, error) => write!(f, "trunkline: the node's secret {}: {error}; see [node] state_dir", path.display()),
            F::Random(error) => write!(f, "trunkline: the system gives no random numbers: {error}"),
            F::NoProcessors(error) => write!(f, "trunkline: cannot learn which processors are allowed: {error}; write a number for [node] shards"),
            F::Losses(ended) => write!(f, "trunkline: ended with losses: {} call records, {} shards; the log says why", ended.records_lost, ended.shards_failed),
            F::NoTrunk(name, known) if known.is_empty() => write!(f, "trunkline: no trunk `{name}`: the configuration has none"),
            F::NoTrunk(name, known) => write!(f, "trunkline: no trunk `{name}`; there are: {}", known.join(", ")),
            F::Number(number, error) => write!(f, "trunkline: `{number}` cannot be dialled: {}; give digits, or a sip: or tel: URI", error.reason()),
            F::Socket(path, error) => write!(f, "trunkline: cannot ask {}: {error}; is trunkline running, by this user, with this [control] socket?", path.display()),
            F::Trouble(why) => write!(f, "trunkline: the node is in trouble: {why}"),
            F::Answer(why) => write!(f, "trunkline: the answer makes no sense: {why}; is the running trunkline of this version?"),
            F::File(path, error) => write!(f, "trunkline: {}: {error}", path.display()),
            F::Unreadable(path, why) => write!(f, "trunkline: {} {why}", path.display()),
            F::Deck(path) => write!(f, "trunkline: {} must not be used as it is", path.display()),
            F::Import(why) => write!(f, "trunkline: {why}"),
            F::Exists(path) => write!(f, "trunkline: {} is there already; name another folder, or write over it with --force", path.display()),
            F::DemoConfig(what) => write!(f, "trunkline: the demonstration's configuration needs {what}"),
            F::Peer(error) => write!(f, "trunkline: a peer of the demonstration: {error}"),
            F::NothingAnswered => write!(f, "trunkline: no call of the demonstration was answered"),
            F::Store(error) => write!(f, "trunkline: {error}"),
            F::NoStore(path) => write!(f, "trunkline: {} names no store; add a [store], such as kind = \"sqlite\" and path = \"state/trunkline.db\"", path.display()),
            F::OddDecks(names) => write!(f, "trunkline: what is odd about {} is so much that it was not staged; correct the file, or stage it as it is with --accept-odd", names.join(", ")),
            F::NotTaken(id, faults) => {
                told_faults(faults, "what the running node read", f)?;
                write!(f, "; generation {id} is the head of the store, and the node keeps what it had")
            }
            F::OutputClosed => write!(f, "trunkline: nobody reads the output"),
        }
    }
}

/// Each fault on a line of its own, and how many there are.
fn told_faults(messages: &[String], place: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for message in messages {
        writeln!(f, "{message}")?;
    }
    let (count, plural) = (messages.len(), if messages.len() == 1 { "" } else { "s" });
    write!(f, "trunkline: {count} error{plural} in {place}")
}

/// Prints to the standard output; a reader that has gone is no fault.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|_| Failure::OutputClosed)
}
