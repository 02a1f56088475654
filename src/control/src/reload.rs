//! From a configuration file to a routing world, at boot and again at each reload.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use config::Config;
use route::{BuildError, Snapshot, Spec};

use crate::change::changes;
use crate::deck_files::{Library, Progress};
use crate::list_files::Lists;

/// A configuration that was read and checked, and the routing world made of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file's content.
    pub config: Arc<Config>,
    /// The part that becomes the routing world.
    pub spec: Arc<Spec>,
    /// The rate decks that it names.
    pub library: Arc<Library>,
    /// The lists of numbers that it names.
    pub lists: Arc<Lists>,
    /// The routing world.
    pub snapshot: Arc<Snapshot>,
}

/// Why a configuration cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub enum LoadError {
    /// The file.
    Config(Vec<config::Error>),
    /// The decks and lists that the file names.
    Files(Vec<String>),
    /// What the file describes.
    World(Vec<BuildError>),
}

impl LoadError {
    /// One message for each fault.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        match self {
            LoadError::Config(errors) => errors.iter().map(ToString::to_string).collect(),
            LoadError::Files(errors) => errors.clone(),
            LoadError::World(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages().join("\n"))
    }
}

impl std::error::Error for LoadError {}

impl Loaded {
    /// Reads the file and builds its world. Names keep the ids that `previous` gave them.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn from_file(
        path: &Path,
        generation: u64,
        previous: Option<&Loaded>,
    ) -> Result<Loaded, LoadError> {
        Loaded::watched(path, generation, previous, &|_, _| {})
    }

    /// As [`Loaded::from_file`], and tells how far the reading of decks is.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn watched(
        path: &Path,
        generation: u64,
        previous: Option<&Loaded>,
        progress: Progress<'_>,
    ) -> Result<Loaded, LoadError> {
        let config = Config::load(path).map_err(LoadError::Config)?;
        Loaded::build(config, generation, previous, progress)
    }

    /// As [`Loaded::from_file`], of a configuration that was read already.
    ///
    /// # Errors
    /// Everything that is wrong with the world it describes.
    pub fn from_config(
        config: Config,
        generation: u64,
        previous: Option<&Loaded>,
    ) -> Result<Loaded, LoadError> {
        Loaded::build(config, generation, previous, &|_, _| {})
    }

    fn build(
        config: Config,
        generation: u64,
        previous: Option<&Loaded>,
        progress: Progress<'_>,
    ) -> Result<Loaded, LoadError> {
        let before = previous.map(|previous| &previous.library);
        let lists = Lists::load(&config, previous.map(|previous| &*previous.lists));
        let library = Library::load(&config, before, progress);
        let (lists, library) = match (lists, library) {
            (Ok(lists), Ok(library)) => (lists, library),
            (lists, library) => {
                let told = [lists.err(), library.err()].into_iter().flatten().flatten();
                return Err(LoadError::Files(told.collect()));
            }
        };
        let spec = crate::world::spec(&config, &library, &lists).map_err(LoadError::Files)?;
        let before = previous.map(|previous| &*previous.snapshot);
        let snapshot = route::build(&spec, generation, before).map_err(LoadError::World)?;
        Ok(Loaded {
            config: Arc::new(config),
            spec: Arc::new(spec),
            library,
            lists: Arc::new(lists),
            snapshot: Arc::new(snapshot),
        })
    }

    /// What differs from the running one, in words for the log: what takes effect, and what would
    /// need a restart.
    #[must_use]
    pub fn changes_from(&self, running: &Loaded) -> Vec<String> {
        let mut told = changes(&running.spec, &self.spec);
        told.extend(self.library.changes_from(&running.library));
        told.extend(self.lists.changes_from(&running.lists));
        let fixed = fixed_parts(&running.config, &self.config);
        told.extend(fixed.into_iter().map(|part| {
            format!("{part} changed: needs a restart, the running value stays in force")
        }));
        told
    }
}

/// The parts of a configuration that are fixed at boot and differ between these two.
fn fixed_parts(old: &Config, new: &Config) -> Vec<&'static str> {
    let parts = [
        ("[node]", old.node == new.node),
        ("[[listener]]", old.listeners == new.listeners),
        ("[limits]", old.limits == new.limits),
        ("[timers]", old.timers == new.timers),
        ("[overload]", old.overload == new.overload),
        ("[cdr]", old.cdr == new.cdr),
        ("[metrics]", old.metrics == new.metrics),
        ("[control]", old.control == new.control),
        ("[log]", old.log == new.log),
        ("[drain]", old.drain == new.drain),
    ];
    let changed = parts.into_iter().filter(|&(_, is_same)| !is_same);
    changed.map(|(part, _)| part).collect()
}
