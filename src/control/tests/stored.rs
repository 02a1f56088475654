//! A world that goes through a store is the world that the file described.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)] // a real database lives in real time

use std::fs;
use std::path::{Path, PathBuf};

use config::{Config, File, StoreKind};
use control::{LoadError, Loaded};
use store::{Cache, Generation, Store, World, export};

struct Desk {
    folder: tempfile::TempDir,
    store: Store,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let at = config::Store {
            kind: StoreKind::Sqlite(folder.path().join("store.db")),
            keep: 10,
            follow_seconds: 0,
        };
        Store::init(&at).unwrap();
        let store = Store::open(&at).unwrap();
        Desk { folder, store }
    }

    fn commit(&mut self, world: &Path) -> Generation {
        let staged = self.store.stage(&World::read(world).unwrap()).unwrap();
        self.store.commit(staged.id, "anna", "a test").unwrap()
    }

    fn load(
        &mut self,
        node: &Path,
        generation: Generation,
        before: Option<&Loaded>,
    ) -> Result<Loaded, LoadError> {
        let cache = Cache::of(&self.folder.path().join("state"));
        let fetched = cache.fetch(&mut self.store, generation).unwrap();
        let file = File::open(node).unwrap().node_only();
        Loaded::of_generation(&file, fetched, before, &|_, _| {})
    }
}

fn sample(name: &str) -> PathBuf {
    PathBuf::from(format!(
        "{}/../../config/{name}.toml",
        env!("CARGO_MANIFEST_DIR")
    ))
}

/// A configuration, but for the folders that its files are in.
fn without_folders(config: &Config) -> Config {
    let mut config = config.clone();
    let name = |path: &PathBuf| PathBuf::from(path.file_name().unwrap());
    for deck in &mut config.decks {
        deck.file = name(&deck.file);
        deck.updates = deck.updates.iter().map(name).collect();
        deck.dialect = deck.dialect.as_ref().map(name);
    }
    for list in &mut config.lists {
        list.file = name(&list.file);
    }
    config
}

#[test]
fn every_sample_is_the_same_world_out_of_a_store() {
    for name in ["example", "demo", "bench"] {
        let mut desk = Desk::new();
        let node = sample(name);
        let file = Loaded::from_file(&node, 1, None).unwrap();
        let generation = desk.commit(&node);
        let stored = desk.load(&node, generation, None).unwrap();
        assert_eq!(
            without_folders(&stored.config),
            without_folders(&file.config),
            "{name}"
        );
        assert_eq!(
            control::changes(&file.spec, &stored.spec),
            [] as [String; 0],
            "{name}"
        );
        assert_eq!(stored.library.rows, file.library.rows, "{name}");
        let sizes = |loaded: &Loaded| {
            let sizes = loaded.lists.sizes();
            sizes
                .map(|(name, size)| (name.to_owned(), size))
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(&stored), sizes(&file), "{name}");
        // And once more, by way of an export.
        let out = desk.folder.path().join("out");
        export(&mut desk.store, 1, &out).unwrap();
        let again = desk.commit(&out);
        assert_eq!(
            desk.store.document(1).unwrap(),
            desk.store.document(again.id).unwrap()
        );
        assert_eq!(
            desk.store.files(1).unwrap(),
            desk.store.files(again.id).unwrap()
        );
        let again = desk.load(&node, again, Some(&stored)).unwrap();
        let told = again.changes_from(&stored);
        assert_eq!(told.len(), 1, "but for who made it: {told:?}");
        assert!(
            told[0].starts_with("generation 2, ") && told[0].ends_with("by anna: a test"),
            "{told:?}"
        );
        assert_eq!(
            (stored.snapshot.generation(), again.snapshot.generation()),
            (1, 2)
        );
    }
}

#[test]
fn a_deck_that_two_generations_share_is_read_once() {
    let mut desk = Desk::new();
    let node = sample("example");
    let first = desk.commit(&node);
    let out = desk.folder.path().join("out");
    export(&mut desk.store, first.id, &out).unwrap();
    let text = fs::read_to_string(out.join("world.toml")).unwrap();
    let lines: String = (text.lines())
        .map(|line| match line.starts_with("calls_per_second") {
            true => "calls_per_second = 77\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    fs::write(out.join("world.toml"), lines).unwrap();
    let second = desk.commit(&out);
    let one = desk.load(&node, first, None).unwrap();
    let two = desk.load(&node, second, Some(&one));
    let two = two.unwrap_or_else(|error| panic!("{error}"));
    assert!(std::sync::Arc::ptr_eq(&one.library, &two.library));
    let told = two.changes_from(&one).join("\n");
    assert!(
        told.contains("77 calls a second") && !told.contains("deck"),
        "{told}"
    );
}

#[test]
fn faults_name_generation_and_object() {
    let mut desk = Desk::new();
    let node = desk.folder.path().join("node.toml");
    let head = "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.1:5060\"\n";
    fs::write(&node, head).unwrap();
    let world = desk.folder.path().join("world");
    fs::create_dir(&world).unwrap();
    let text = "[[deck]]\nname = \"beta\"\nfile = \"beta.csv\"\ndialect = \"beta.toml\"\n\
                [[gateway]]\nname = \"b\"\naddress = \"192.0.2.2\"\ndeck = \"bete\"\nmax_calls = 0\n";
    fs::write(world.join("world.toml"), text).unwrap();
    fs::write(
        world.join("beta.csv"),
        "Code,Destination,Rate USD,Steps\n1555,X,o.03,1/1\n",
    )
    .unwrap();
    let dialect = "[columns]\ncode = \"Code\"\nrate = \"Rate USD\"\nsteps = \"Steps\"\n";
    fs::write(world.join("beta.toml"), dialect).unwrap();
    let faulty = desk.commit(&world);
    let messages = desk.load(&node, faulty, None).unwrap_err().messages();
    let begin = "store, generation 1, gateway `b`, key";
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages[0].starts_with(&format!("{begin} `max_calls`: found `0`"))
            || messages[0].starts_with(&format!("{begin} `deck`: found `bete`")),
        "{messages:?}"
    );
    fs::write(
        world.join("world.toml"),
        text.replace("bete", "beta").replace("max_calls = 0", ""),
    )
    .unwrap();
    let faulty = desk.commit(&world);
    let messages = desk.load(&node, faulty, None).unwrap_err().messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].starts_with("deck `beta`: ")
            && messages[0].contains("beta.csv: line 2, column 3 (rate): found `o.03`"),
        "{messages:?}"
    );
}
