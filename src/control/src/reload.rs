//! From a configuration file to a routing world, at boot and again at each reload: out of the file, or
//! out of the store that it names.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use config::{Config, File, World};
use route::{BuildError, Snapshot, Spec};
use store::{Cache, Fetched, Store, StoreError};

use crate::change::changes;
use crate::deck_files::{Library, Progress};
use crate::hosts::Hosts;
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
    /// The gateways that are given by names, as these were looked up.
    pub hosts: Hosts,
    /// The generation of a store that it is, if it is one.
    pub stored: Option<Arc<Stored>>,
}

/// Where a world came from that is a generation of a store.
#[derive(Debug)]
pub struct Stored {
    /// The generation, as it is on this machine.
    pub fetched: Fetched,
    /// Why this one was taken and not the store's head: the store could not be asked.
    pub instead: Option<StoreError>,
    cache: Cache,
}

impl Stored {
    /// Notes that this world is in force, so that the node may begin with it when the store is down.
    pub(crate) fn remember(&self) {
        if let Err(error) = self.cache.remember(&self.fetched) {
            tracing::warn!(%error, "the local copy of the generation in force is not kept; without the store the node could not start");
        }
    }
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
    /// The store that the file names.
    Store(StoreError),
}

impl LoadError {
    /// One message for each fault.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        match self {
            LoadError::Config(errors) => errors.iter().map(ToString::to_string).collect(),
            LoadError::Files(errors) => errors.clone(),
            LoadError::World(errors) => errors.iter().map(ToString::to_string).collect(),
            LoadError::Store(error) => vec![error.to_string()],
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
        let file = File::open(path).map_err(LoadError::Config)?;
        let own = file.own().map_err(LoadError::Config)?;
        let Some(at) = own.store else {
            let config = file.config(None).map_err(LoadError::Config)?;
            return Loaded::build(config, generation, previous, progress);
        };
        let cache = Cache::of(&own.state_dir);
        let fetched = fetch_head(&at, &cache).map_err(LoadError::Store)?;
        Loaded::of_generation(&file, fetched, previous, progress)
    }

    /// As [`Loaded::from_file`], to start a node: if the store cannot be asked, the generation that
    /// was in force last on this machine does instead.
    ///
    /// # Errors
    /// Everything that is wrong with the file or the world.
    pub fn at_boot(path: &Path, generation: u64) -> Result<Loaded, LoadError> {
        let why = match Loaded::from_file(path, generation, None) {
            Err(LoadError::Store(why)) if why.is_outage() => why,
            loaded => return loaded,
        };
        let file = File::open(path).map_err(LoadError::Config)?;
        let own = file.own().map_err(LoadError::Config)?;
        let Some(last) = Cache::of(&own.state_dir).last() else {
            return Err(LoadError::Store(why));
        };
        let mut loaded = Loaded::of_generation(&file, last, None, &|_, _| {})?;
        let stored = loaded.stored.as_mut().and_then(Arc::get_mut);
        stored.expect("nobody else has it yet").instead = Some(why);
        Ok(loaded)
    }

    /// The world of one generation of the store that the file names, be it in force or staged.
    ///
    /// # Errors
    /// The file names no store, there is no such generation, and everything that is wrong with it.
    pub fn from_store(path: &Path, id: u64) -> Result<Loaded, LoadError> {
        let file = File::open(path).map_err(LoadError::Config)?;
        let own = file.own().map_err(LoadError::Config)?;
        let Some(at) = own.store else {
            let why = format!("{}: names no store; add [store]", path.display());
            return Err(LoadError::Files(vec![why]));
        };
        let fetched = Store::open(&at).and_then(|mut store| {
            let generation = store.generation(id)?;
            Cache::of(&own.state_dir).fetch(&mut store, generation)
        });
        let fetched = fetched.map_err(LoadError::Store)?;
        Loaded::of_generation(&file, fetched, None, &|_, _| {})
    }

    /// The world of a generation that was brought to this machine, with the node's part of `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of_generation(
        file: &File,
        fetched: Fetched,
        previous: Option<&Loaded>,
        progress: Progress<'_>,
    ) -> Result<Loaded, LoadError> {
        let world = World {
            name: &fetched.name(),
            text: &fetched.text,
            parts: &fetched.parts,
            folder: &fetched.folder,
            is_whole: false,
        };
        let config = file.config(Some(&world)).map_err(LoadError::Config)?;
        let cache = Cache::of(&config.node.state_dir);
        let loaded = Loaded::build(config, fetched.id, previous, progress)?;
        let stored = Stored {
            fetched,
            instead: None,
            cache,
        };
        Ok(Loaded {
            stored: Some(Arc::new(stored)),
            ..loaded
        })
    }

    /// The world that stands in a file of its own, with the node's part of `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of_world_file(
        file: &File,
        path: &Path,
        generation: u64,
        progress: Progress<'_>,
    ) -> Result<Loaded, LoadError> {
        let world = File::open(path).map_err(LoadError::Config)?;
        let world = World {
            name: world.name(),
            text: world.text(),
            parts: &[],
            folder: path.parent().unwrap_or(Path::new("")),
            is_whole: true,
        };
        let config = file.config(Some(&world)).map_err(LoadError::Config)?;
        Loaded::build(config, generation, None, progress)
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
        let hosts = Hosts::resolve(&config, previous.map(|previous| &previous.hosts));
        let (lists, library, hosts) = match (lists, library, hosts) {
            (Ok(lists), Ok(library), Ok(hosts)) => (lists, library, hosts),
            (lists, library, hosts) => {
                let told = [lists.err(), library.err(), hosts.err()];
                let told = told.into_iter().flatten().flatten();
                return Err(LoadError::Files(told.collect()));
            }
        };
        let mut spec = crate::world::spec(&config, &library, &lists).map_err(LoadError::Files)?;
        hosts.spread(&mut spec);
        let before = previous.map(|previous| &*previous.snapshot);
        let snapshot = route::build(&spec, generation, before).map_err(LoadError::World)?;
        Ok(Loaded {
            config: Arc::new(config),
            spec: Arc::new(spec),
            library,
            lists: Arc::new(lists),
            hosts,
            snapshot: Arc::new(snapshot),
            stored: None,
        })
    }

    /// What differs from the running one, in words for the log: what takes effect, and what would
    /// need a restart.
    #[must_use]
    pub fn changes_from(&self, running: &Loaded) -> Vec<String> {
        let mut told: Vec<String> = self.origin(running).into_iter().collect();
        told.extend(changes(&running.spec, &self.spec));
        told.extend(self.library.changes_from(&running.library));
        told.extend(self.lists.changes_from(&running.lists));
        told.extend(self.hosts.changes_from(&running.hosts));
        let fixed = fixed_parts(&running.config, &self.config);
        told.extend(fixed.into_iter().map(|part| {
            format!("{part} changed: needs a restart, the running value stays in force")
        }));
        told
    }

    /// Who made the generation, if it is one of a store, and another than the running one.
    fn origin(&self, running: &Loaded) -> Option<String> {
        let generation = |loaded: &Loaded| Some(loaded.stored.as_ref()?.fetched.id);
        let made = self.stored.as_ref()?.fetched.generation.as_ref()?;
        (generation(running) != Some(made.id) && made.is_kept).then(|| made.to_string())
    }
}

/// Brings the head of a store to this machine.
fn fetch_head(at: &config::Store, cache: &Cache) -> Result<Fetched, StoreError> {
    let mut store = Store::open(at)?;
    let head = store.head()?;
    cache.fetch(&mut store, head)
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
