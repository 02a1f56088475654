//! `trunkline store`: generations of the routing world, and the one way to change it.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use config::{File, Own};
use control::{LoadError, Loaded};
use serde_json::Value;
use store::{Cache, Generation, Store, World};

use crate::boot;
use crate::cmd_check::{changes, summary};
use crate::cmd_deck::{DeckFiles, odd};
use crate::cmd_stats::{ask_patiently, parse};
use crate::failure::{Failure, print};
use crate::progress::Progress;
use crate::table::thousands;

/// What `store --help` ends with.
pub(crate) const EXAMPLES: &str = "\
A store keeps generations of the routing world: trunks, gateways, decks with all prices, lists and
routes. One of them, the head, is in force. A change is staged, which checks it; looked at; and
committed with a name and a reason. The running node then takes it, and every shard confirms.
Nothing that fails on the way changes what is in force.

Examples. A first time, with a [store] in trunkline.toml:
  trunkline store init -c trunkline.toml
  trunkline store import -c trunkline.toml --author anna --comment \"as it was in the file\"
      and take the routing world out of trunkline.toml

A change:
  trunkline store export -c trunkline.toml work     the head as files: work/world.toml, decks, lists
  $EDITOR work/world.toml
  trunkline store stage -c trunkline.toml work      all faults, or what would change
  trunkline store commit -c trunkline.toml --author anna --comment \"Beta's new prices\"

And back:
  trunkline store log -c trunkline.toml
  trunkline store rollback -c trunkline.toml 12 --author anna --comment \"Beta's lines are bad\"";

/// How long the node may take to read a world and give it to its shards.
const RELOAD: Duration = Duration::from_secs(600);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a store, or bring one of an earlier version up to date.
    Init(Node),
    /// Stage the routing world of a configuration file and commit it at once.
    Import {
        #[command(flatten)]
        node: Node,
        /// A configuration file with its decks and lists, or an exported folder; without, the
        /// node's own file.
        #[arg(value_name = "FILE")]
        world: Option<PathBuf>,
        /// Take decks also with jumps, holes or contradictions that would stop them.
        #[arg(long)]
        accept_odd: bool,
        #[command(flatten)]
        reason: Reason,
    },
    /// Write a generation into an empty folder: world.toml, and the files that it names.
    Export {
        #[command(flatten)]
        node: Node,
        /// The folder.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Which generation; without, the head.
        #[arg(long, value_name = "N")]
        generation: Option<u64>,
    },
    /// Check a world, put it into the store without effect, and tell what it would change.
    Stage {
        #[command(flatten)]
        node: Node,
        /// A configuration file with its decks and lists, or an exported folder.
        #[arg(value_name = "FILE")]
        world: PathBuf,
        /// Take decks also with jumps, holes or contradictions that would stop them.
        #[arg(long)]
        accept_odd: bool,
    },
    /// Find everything that is wrong with a generation as it is in the store.
    Check {
        #[command(flatten)]
        node: Node,
        /// Which generation; without, the one that is staged.
        #[arg(value_name = "N")]
        generation: Option<u64>,
    },
    /// Tell in words what a generation would change.
    Diff {
        #[command(flatten)]
        node: Node,
        /// Which generation; without, the one that is staged.
        #[arg(value_name = "N")]
        generation: Option<u64>,
        /// From which; without, the head.
        #[arg(long, value_name = "N")]
        against: Option<u64>,
    },
    /// Put a staged generation into force, unless another was committed since it was staged.
    Commit {
        #[command(flatten)]
        node: Node,
        /// Which generation; without, the one that is staged.
        #[arg(value_name = "N")]
        generation: Option<u64>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Drop a staged generation.
    Discard {
        #[command(flatten)]
        node: Node,
        /// Which generation.
        #[arg(value_name = "N")]
        generation: u64,
    },
    /// Put the content of an earlier generation into force, as a new generation.
    Rollback {
        #[command(flatten)]
        node: Node,
        /// Back to which.
        #[arg(value_name = "N")]
        generation: u64,
        #[command(flatten)]
        reason: Reason,
    },
    /// List the generations, the latest first; `*` is the head.
    Log(Node),
    /// Show a generation: who made it and why, its files, its objects.
    Show {
        #[command(flatten)]
        node: Node,
        /// Which generation; without, the head.
        #[arg(value_name = "N")]
        generation: Option<u64>,
    },
    /// Have the running node take the head, as another node's commit may have moved it.
    Reload(Node),
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    /// The configuration of the node, with [store].
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Reason {
    /// Who commits.
    #[arg(long, value_name = "NAME")]
    author: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    comment: String,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Init(node) => init(node),
        Command::Import {
            node,
            world,
            accept_odd,
            reason,
        } => {
            let world = world.as_ref().unwrap_or(&node.config);
            import(node, (world, *accept_odd), reason)
        }
        Command::Export {
            node,
            folder,
            generation,
        } => export(node, folder, *generation),
        Command::Stage {
            node,
            world,
            accept_odd,
        } => stage(node, (world, *accept_odd)),
        Command::Check { node, generation } => check(node, *generation),
        Command::Diff {
            node,
            generation,
            against,
        } => diff(node, *generation, *against),
        Command::Commit {
            node,
            generation,
            reason,
        } => commit(node, *generation, reason),
        Command::Discard { node, generation } => discard(node, *generation),
        Command::Rollback {
            node,
            generation,
            reason,
        } => rollback(node, *generation, reason),
        Command::Log(node) => log(node),
        Command::Show { node, generation } => show(node, *generation),
        Command::Reload(node) => reload(node),
    }
}

fn init(node: &Node) -> Result<(), Failure> {
    let (_, own) = opened(node)?;
    let at = own
        .store
        .ok_or_else(|| Failure::NoStore(node.config.clone()))?;
    let (before, now) = Store::init(&at).map_err(Failure::Store)?;
    print(&match before {
        0 => format!(
            "The store is made. Bring a world into it: trunkline store import --config {} --author NAME --comment WHY\n",
            node.config.display()
        ),
        _ if before == now => "The store is up to date.\n".to_owned(),
        _ => format!("The store had schema {before} and has schema {now} now.\n"),
    })
}

fn import(node: &Node, world: (&Path, bool), reason: &Reason) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let staged = desk.stage(world)?;
    desk.commit(&staged, reason)
}

fn export(node: &Node, folder: &Path, generation: Option<u64>) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let generation = desk.named_or_head(generation)?;
    let files = store::export(&mut desk.store, generation.id, folder).map_err(Failure::Store)?;
    print(&format!(
        "{generation}\nis in {}: {} and {} files.\n",
        folder.display(),
        store::WORLD_FILE,
        files.len()
    ))
}

fn stage(node: &Node, world: (&Path, bool)) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let staged = desk.stage(world)?;
    print(&format!(
        "To put it into force: trunkline store commit --config {} {} --author NAME --comment WHY\n",
        node.config.display(),
        staged.id
    ))
}

fn check(node: &Node, generation: Option<u64>) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let generation = desk.named_or_staged(generation)?;
    let loaded = desk.load(generation, None)?;
    let name = loaded.stored.as_ref().map(|stored| stored.fetched.name());
    print(&summary(&name.unwrap_or_default(), &loaded))
}

fn diff(node: &Node, generation: Option<u64>, against: Option<u64>) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let generation = desk.named_or_staged(generation)?;
    let against = desk.named_or_head(against)?;
    let before = desk.load(against, None)?;
    let loaded = desk.load(generation, Some(&before))?;
    print(&changes(&loaded.changes_from(&before)))
}

fn commit(node: &Node, generation: Option<u64>, reason: &Reason) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let staged = desk.store.staged(generation).map_err(Failure::Store)?;
    desk.load(staged.clone(), None)?;
    desk.commit(&staged, reason)
}

fn discard(node: &Node, generation: u64) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    desk.store.discard(generation).map_err(Failure::Store)?;
    print(&format!("Generation {generation} is gone.\n"))
}

fn rollback(node: &Node, generation: u64, reason: &Reason) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let staged = desk.store.stage_again(generation).map_err(Failure::Store)?;
    let told = desk.tell_changes(&staged);
    if told.is_err() {
        // What was right once may be wrong beside other listeners. Nobody asked to keep this copy.
        desk.store.discard(staged.id).map_err(Failure::Store)?;
    }
    told?;
    desk.commit(&staged, reason)
}

fn log(node: &Node) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let head = desk.store.head().ok().map(|head| head.id);
    let mut text = String::new();
    for generation in desk.store.log().map_err(Failure::Store)? {
        let mark = if Some(generation.id) == head {
            '*'
        } else {
            ' '
        };
        let _ = writeln!(text, "{mark} {}", lines_of(&generation));
    }
    if text.is_empty() {
        text.push_str("No generation yet.\n");
    }
    print(&text)
}

fn show(node: &Node, generation: Option<u64>) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let generation = desk.named_or_head(generation)?;
    let document = desk.store.document(generation.id).map_err(Failure::Store)?;
    let files = desk.store.files(generation.id).map_err(Failure::Store)?;
    let mut text = format!("# {}\n", lines_of(&generation));
    for file in files {
        let _ = writeln!(
            text,
            "# {}: {} bytes, {}",
            file.path,
            thousands(file.bytes),
            file.hash
        );
    }
    text.push('\n');
    text.push_str(&document.text().0);
    print(&text)
}

fn reload(node: &Node) -> Result<(), Failure> {
    let mut desk = Desk::open(node)?;
    let head = desk.store.head().map_err(Failure::Store)?;
    desk.tell_node(head.id)
}

/// A generation, with what it brought back.
fn lines_of(generation: &Generation) -> String {
    match generation.restores {
        Some(old) => format!("{generation} (brings back {old})"),
        None => generation.to_string(),
    }
}

/// Tells what is odd about the decks of a generation that the one before has not, or not so. Returns
/// those of which that is too much.
fn tell_odd(loaded: &Loaded, before: Option<&Loaded>) -> Result<Vec<String>, Failure> {
    let mut stopped = Vec::new();
    for deck in &loaded.config.decks {
        let mut old = before.into_iter().flat_map(|it| &it.config.decks);
        let old = old.find(|it| it.name == deck.name);
        let (new, old) = (DeckFiles::of(deck), old.map(DeckFiles::of));
        let label = format!("deck `{}`", deck.name);
        // Equal contents of two generations are one file.
        let mut stops = false;
        for (text, is_stopped) in odd(&label, &new, old.as_ref(), is_one_file)? {
            print(&text)?;
            stops |= is_stopped;
        }
        if stops {
            stopped.push(label);
        }
    }
    Ok(stopped)
}

fn is_one_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    place(one).is_some_and(|one| place(other) == Some(one))
}

fn opened(node: &Node) -> Result<(File, Own), Failure> {
    let of_config = |errors| Failure::Load(LoadError::Config(errors));
    let file = File::open(&node.config).map_err(of_config)?.node_only();
    let own = file.own().map_err(of_config)?;
    Ok((file, own))
}

/// An opened store, and the node that it is looked at for.
struct Desk {
    file: File,
    store: Store,
    cache: Cache,
    socket: PathBuf,
}

impl Desk {
    fn open(node: &Node) -> Result<Desk, Failure> {
        let (file, own) = opened(node)?;
        let at = own
            .store
            .ok_or_else(|| Failure::NoStore(node.config.clone()))?;
        Ok(Desk {
            file,
            store: Store::open(&at).map_err(Failure::Store)?,
            cache: Cache::of(&own.state_dir),
            socket: own.socket,
        })
    }

    fn named_or_head(&mut self, id: Option<u64>) -> Result<Generation, Failure> {
        let found = match id {
            Some(id) => self.store.generation(id),
            None => self.store.head(),
        };
        found.map_err(Failure::Store)
    }

    fn named_or_staged(&mut self, id: Option<u64>) -> Result<Generation, Failure> {
        let found = match id {
            Some(id) => self.store.generation(id),
            None => self.store.staged(None),
        };
        found.map_err(Failure::Store)
    }

    /// Checks a generation and builds its world. What `before` has too is not read again.
    fn load(&mut self, generation: Generation, before: Option<&Loaded>) -> Result<Loaded, Failure> {
        let fetched = self
            .cache
            .fetch(&mut self.store, generation)
            .map_err(Failure::Store)?;
        let progress = Progress::new();
        let tell = |deck: &str, lines| progress.tell(deck, lines);
        let loaded = Loaded::of_generation(&self.file, fetched, before, &tell);
        progress.end();
        loaded.map_err(Failure::Load)
    }

    /// Checks a world in files, stages it, and tells what it would change, and what is odd about decks
    /// that are new or have changed: so much of it that they must not be used stops it, unless it is
    /// accepted.
    fn stage(&mut self, (path, accepts_odd): (&Path, bool)) -> Result<Generation, Failure> {
        let progress = Progress::new();
        let tell = |deck: &str, lines| progress.tell(deck, lines);
        let file = World::file_of(path);
        let checked = Loaded::of_world_file(&self.file, &file, boot::FIRST_GENERATION, &tell);
        progress.end();
        drop(checked.map_err(Failure::Load)?);
        let world = World::read(path).map_err(Failure::Store)?;
        let staged = self.store.stage(&world).map_err(Failure::Store)?;
        let mut text = format!("Staged as generation {}.\n", staged.id);
        if !world.left_out.is_empty() {
            let tables = world.left_out.join(", ");
            let _ = writeln!(text, "Left out, because it is the node's own: {tables}.");
        }
        print(&text)?;
        let (loaded, before) = self.tell_changes(&staged)?;
        let stopped = tell_odd(&loaded, before.as_ref())?;
        if !stopped.is_empty() && !accepts_odd {
            self.store.discard(staged.id).map_err(Failure::Store)?;
            return Err(Failure::OddDecks(stopped));
        }
        Ok(staged)
    }

    /// Tells what a generation would change, and returns it with the head. A head that cannot be read
    /// is no reason not to go on.
    fn tell_changes(&mut self, staged: &Generation) -> Result<(Loaded, Option<Loaded>), Failure> {
        let Ok(head) = self.store.head() else {
            let loaded = self.load(staged.clone(), None)?;
            print("It is the first generation.\n")?;
            return Ok((loaded, None));
        };
        let before = self.load(head, None);
        let loaded = self.load(staged.clone(), before.as_ref().ok())?;
        print(&match &before {
            Ok(before) => changes(&loaded.changes_from(before)),
            Err(failure) => format!("The head cannot be compared: {failure}\n"),
        })?;
        Ok((loaded, before.ok()))
    }

    /// Makes a checked generation the head, and has the node take it.
    fn commit(&mut self, staged: &Generation, reason: &Reason) -> Result<(), Failure> {
        let kept = self
            .store
            .commit(staged.id, &reason.author, &reason.comment);
        let kept = kept.map_err(Failure::Store)?;
        print(&format!("Committed: {kept}\n"))?;
        self.tell_node(kept.id)
    }

    /// Has the running node take the head, and waits until every shard works by it.
    fn tell_node(&self, id: u64) -> Result<(), Failure> {
        let answer = match ask_patiently(&self.socket, "reload", RELOAD) {
            Ok(answer) => parse(&answer)?,
            Err(Failure::Socket(path, error)) => {
                return print(&format!(
                    "No node answers at {} ({error}): it takes generation {id} when it starts, or at kill -HUP.\n",
                    path.display()
                ));
            }
            Err(failure) => return Err(failure),
        };
        if let Some(confirmed) = answer["confirmed"].as_u64() {
            return print(&format!("All shards work by generation {confirmed}.\n"));
        }
        let texts = |value: &Value| {
            let list = value.as_array().cloned().unwrap_or_default();
            let texts = list
                .iter()
                .filter_map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Vec<_>>()
        };
        match &answer["refused"] {
            Value::Null => Err(Failure::Answer(answer.to_string())),
            faults => Err(Failure::NotTaken(id, texts(faults))),
        }
    }
}
