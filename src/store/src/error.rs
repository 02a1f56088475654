//! Why the store did not do what was asked, and how to go on.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the store did not do it. Nothing has changed.
#[derive(Debug)]
pub enum StoreError {
    /// The database cannot be reached or opened.
    Unreachable(String, String),
    /// There is no store in it yet.
    NotInitialised(String),
    /// It was made by a later version of the program: its schema, and the latest that is known.
    Newer(i64, i64),
    /// It was made by an earlier version: its schema, and the one that is needed.
    Older(i64, i64),
    /// The database refused a statement.
    Refused(String),
    /// What is in it cannot be.
    Damaged(String),
    /// No generation was committed yet.
    NoHead,
    /// There is no such generation; these there are.
    NoGeneration(u64, Vec<u64>),
    /// Nothing is staged.
    NothingStaged,
    /// Several are staged, and it was not said which.
    SeveralStaged(Vec<u64>),
    /// This one is not staged: it was committed.
    NotStaged(u64),
    /// This one was never committed.
    NotKept(u64),
    /// Another generation was committed since this one was staged.
    Moved {
        /// Which was to be committed.
        staged: u64,
        /// On what it was staged; `None`: on an empty store.
        parent: Option<u64>,
        /// What is in force now.
        head: u64,
    },
    /// So many are staged already.
    TooManyStaged(usize),
    /// A commit says who and why.
    NotSaid(&'static str),
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A file that was another one when it was read again.
    FileChanged(PathBuf),
    /// A world whose text is no TOML.
    NoToml(String),
}

impl StoreError {
    /// Whether the database is away, for now: what was in force last may serve.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, StoreError::Unreachable(..) | StoreError::Refused(_))
    }
}

impl fmt::Display for StoreError {
    #[rustfmt::skip] // a table
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use StoreError as E;
        match self {
            E::Unreachable(place, why) => write!(f, "the store {place} cannot be reached: {why}"),
            E::NotInitialised(place) => write!(f, "there is no store in {place} yet; make one: `trunkline store init`"),
            E::Newer(found, known) => write!(f, "the store has schema {found}, and this program knows schemas up to {known}; use the trunkline that made it, or a later one"),
            E::Older(found, needed) => write!(f, "the store has schema {found}, and this program needs {needed}; bring it up to date: `trunkline store init`"),
            E::Refused(why) => write!(f, "the store refused: {why}"),
            E::Damaged(what) => write!(f, "the store is damaged: {what}; restore it from a backup, or import the last export into a new one"),
            E::NoHead => write!(f, "nothing was committed to the store yet; bring a world into it: `trunkline store import FILE`"),
            E::NoGeneration(id, there) => write!(f, "the store has no generation {id}; it has {}", numbers(there)),
            E::NothingStaged => write!(f, "nothing is staged; `trunkline store stage FILE` stages a world"),
            E::SeveralStaged(which) => write!(f, "generations {} are staged; say which", numbers(which)),
            E::NotStaged(id) => write!(f, "generation {id} was committed already; `trunkline store rollback {id}` brings its content back"),
            E::NotKept(id) => write!(f, "generation {id} was only staged, never committed; commit it instead"),
            E::Moved { staged, parent, head } => {
                let on = parent.map_or("an empty store".to_owned(), |parent| format!("generation {parent}"));
                write!(f, "generation {staged} was staged on {on}, and generation {head} was committed since; see what that changed (`trunkline store show {head}`), and stage again")
            }
            E::TooManyStaged(count) => write!(f, "{count} generations are staged already; commit or discard some: `trunkline store discard N`"),
            E::NotSaid(what) => write!(f, "a commit needs {what}"),
            E::File(path, error) => write!(f, "{}: {error}", path.display()),
            E::FileChanged(path) => write!(f, "{}: changed while it was read; try again", path.display()),
            E::NoToml(why) => write!(f, "no valid TOML: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

fn numbers(ids: &[u64]) -> String {
    const SHOWN_MAX: usize = 12;
    let shown: Vec<String> = ids.iter().take(SHOWN_MAX).map(u64::to_string).collect();
    match ids.len() {
        0 => "none".to_owned(),
        count if count > SHOWN_MAX => {
            format!("{} and {} more", shown.join(", "), count - SHOWN_MAX)
        }
        _ => shown.join(", "),
    }
}
