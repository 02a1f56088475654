//! The cases. Each has an empty database.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use store::{Cache, Generation, Store, StoreError, World, export};

type Case = fn(&config::Store);

pub(crate) const ALL: &[(&str, Case)] = &[
    ("a_store_has_to_be_made", a_store_has_to_be_made),
    ("a_world_comes_back_as_it_was", a_world_comes_back_as_it_was),
    ("staging_takes_no_effect", staging_takes_no_effect),
    ("the_first_to_commit_wins", the_first_to_commit_wins),
    (
        "rollback_brings_the_content_back",
        rollback_brings_the_content_back,
    ),
    ("the_oldest_go", the_oldest_go),
    (
        "a_failed_stage_leaves_nothing",
        a_failed_stage_leaves_nothing,
    ),
    ("refusals_change_nothing", refusals_change_nothing),
    ("writers_wait_for_each_other", writers_wait_for_each_other),
    (
        "generations_share_their_files_here",
        generations_share_their_files_here,
    ),
    (
        "the_last_one_is_here_without_a_database",
        the_last_one_is_here_without_a_database,
    ),
];

/// A world in a folder: so many trunks, a deck of so many rows whose first price is `price`, an empty
/// list.
pub(crate) fn world(folder: &Path, trunks: usize, rows: u32, price: u32) -> World {
    let mut text = "# The world.\nroutes_csv = \"routes.csv\"\n".to_owned();
    for trunk in 0..trunks {
        text.push_str(&format!(
            "\n# Customer {trunk}: \u{e9}\n[[trunk]]\nname = \"t{trunk}\"\nsources = [\"192.0.2.{trunk}\"]\n"
        ));
    }
    text.push_str("\n[[deck]]\nname = \"d\"\nfile = \"decks/d.csv\"\n");
    text.push_str("\n[[list]]\nname = \"l\"\nfile = \"l.csv\"\n");
    let row = |row: u32| {
        let price = if row == 0 { price } else { row % 997 };
        format!("{},Somewhere,0.{price:05},1/1\n", 44_000_000 + row)
    };
    fs::create_dir_all(folder.join("decks")).unwrap();
    fs::write(
        folder.join("decks/d.csv"),
        (0..rows).map(row).collect::<String>(),
    )
    .unwrap();
    fs::write(folder.join("l.csv"), "").unwrap();
    fs::write(folder.join("routes.csv"), b"49,a\n\xff").unwrap();
    fs::write(folder.join("world.toml"), text).unwrap();
    World::read(folder).unwrap()
}

fn made(at: &config::Store) -> Store {
    Store::init(at).unwrap();
    Store::open(at).unwrap()
}

fn committed(store: &mut Store, world: &World, comment: &str) -> Generation {
    let staged = store.stage(world).unwrap();
    store.commit(staged.id, "anna", comment).unwrap()
}

fn head(store: &mut Store) -> u64 {
    store.head().unwrap().id
}

fn a_store_has_to_be_made(at: &config::Store) {
    let error = Store::open(at).err().unwrap().to_string();
    assert!(error.contains("trunkline store init"), "{error}");
    assert_eq!(Store::init(at).unwrap(), (0, 1));
    assert_eq!(Store::init(at).unwrap(), (1, 1));
    let mut store = Store::open(at).unwrap();
    assert!(matches!(store.head(), Err(StoreError::NoHead)));
    assert_eq!(store.log().unwrap(), []);
    store.audit().unwrap();
}

fn a_world_comes_back_as_it_was(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder.path().join("in"), 3, 20_000, 1);
    let mut store = made(at);
    let staged = store.stage(&world).unwrap();
    assert_eq!(store.document(staged.id).unwrap(), world.document);
    let out = folder.path().join("out");
    let files = export(&mut store, staged.id, &out).unwrap();
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["decks/d.csv", "l.csv", "routes.csv"]);
    for (name, place) in &world.files {
        assert_eq!(
            fs::read(out.join(name)).unwrap(),
            fs::read(place).unwrap(),
            "{name}"
        );
    }
    let again = World::read(&out).unwrap();
    assert_eq!(again.document, world.document);
    assert!(
        export(&mut store, staged.id, &out).is_err(),
        "nothing is overwritten"
    );
    store.audit().unwrap();
}

fn staging_takes_no_effect(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), 1, 10, 1);
    let mut store = made(at);
    assert!(matches!(store.staged(None), Err(StoreError::NothingStaged)));
    let first = committed(&mut store, &world, " the first ");
    assert_eq!((first.id, first.parent, first.is_kept), (1, None, true));
    assert_eq!((&*first.author, &*first.comment), ("anna", "the first"));
    let second = store.stage(&world).unwrap();
    assert_eq!(
        (second.id, second.parent, second.is_kept),
        (2, Some(1), false)
    );
    assert_eq!(head(&mut store), 1);
    assert_eq!(store.staged(None).unwrap(), second);
    let third = store.stage(&world).unwrap();
    assert!(matches!(store.staged(None), Err(StoreError::SeveralStaged(ids)) if ids == [3, 2]));
    assert_eq!(store.staged(Some(3)).unwrap(), third);
    store.discard(2).unwrap();
    store.discard(3).unwrap();
    store.audit().unwrap();
    assert_eq!(store.log().unwrap(), [first]);
    assert_eq!(
        store.stage(&world).unwrap().id,
        4,
        "no number is used twice"
    );
}

fn the_first_to_commit_wins(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), 1, 10, 1);
    let mut store = made(at);
    // On an empty store too.
    let (one, two) = (store.stage(&world).unwrap(), store.stage(&world).unwrap());
    store.commit(two.id, "bert", "faster").unwrap();
    let error = store.commit(one.id, "anna", "slower").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("staged on an empty store") && text.contains("generation 2 was committed"),
        "{text}"
    );
    assert_eq!(head(&mut store), 2);
    let mut other = Store::open(at).unwrap();
    let (one, two) = (store.stage(&world).unwrap(), other.stage(&world).unwrap());
    store.commit(one.id, "anna", "faster now").unwrap();
    assert!(matches!(
        other.commit(two.id, "bert", "slower"),
        Err(StoreError::Moved {
            staged: 4,
            parent: Some(2),
            head: 3
        })
    ));
    assert_eq!((head(&mut store), head(&mut other)), (3, 3));
    assert!(!other.generation(4).unwrap().is_kept);
    store.audit().unwrap();
}

fn rollback_brings_the_content_back(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = made(at);
    let old = world(&folder.path().join("old"), 2, 5_000, 1);
    committed(&mut store, &old, "old");
    committed(
        &mut store,
        &world(&folder.path().join("new"), 1, 5_000, 2),
        "new",
    );
    assert_ne!(store.files(1).unwrap(), store.files(2).unwrap());
    let staged = store.stage_again(1).unwrap();
    assert_eq!(
        (staged.id, staged.parent, staged.restores),
        (3, Some(2), Some(1))
    );
    assert!(matches!(store.stage_again(3), Err(StoreError::NotKept(3))));
    store.commit(3, "anna", "back").unwrap();
    assert_eq!(head(&mut store), 3);
    assert_eq!(store.document(3).unwrap(), old.document);
    assert_eq!(store.files(3).unwrap(), store.files(1).unwrap());
    store.audit().unwrap();
}

fn the_oldest_go(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = made(&config::Store {
        keep: 2,
        ..at.clone()
    });
    for number in 1..=4 {
        let world = world(folder.path(), 1, 3_000, number);
        let left = store.stage(&world).unwrap();
        committed(&mut store, &world, "next");
        store.audit().unwrap();
        assert!(store.generation(left.id).is_ok());
    }
    let ids: Vec<u64> = store.log().unwrap().iter().map(|it| it.id).collect();
    // What was staged on something that is gone is gone too.
    assert_eq!(ids, [8, 7, 6]);
    let error = store.stage_again(2).unwrap_err().to_string();
    assert!(error.contains("no generation 2; it has 8, 7, 6"), "{error}");
}

fn a_failed_stage_leaves_nothing(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = made(at);
    let world = world(folder.path(), 1, 3_000, 1);
    fs::remove_file(folder.path().join("routes.csv")).unwrap();
    let error = store.stage(&world).unwrap_err().to_string();
    assert!(error.contains("routes.csv"), "{error}");
    assert_eq!(store.log().unwrap(), []);
    store.audit().unwrap();
}

fn refusals_change_nothing(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = made(at);
    let world = world(folder.path(), 1, 10, 1);
    committed(&mut store, &world, "first");
    let staged = store.stage(&world).unwrap();
    let before = store.log().unwrap();
    assert!(matches!(
        store.commit(staged.id, " ", "why"),
        Err(StoreError::NotSaid(_))
    ));
    assert!(matches!(
        store.commit(staged.id, "anna", ""),
        Err(StoreError::NotSaid(_))
    ));
    assert!(matches!(
        store.commit(1, "anna", "again"),
        Err(StoreError::NotStaged(1))
    ));
    assert!(matches!(
        store.commit(9, "anna", "why"),
        Err(StoreError::NoGeneration(9, _))
    ));
    assert!(matches!(store.discard(1), Err(StoreError::NotStaged(1))));
    assert!(matches!(
        store.staged(Some(1)),
        Err(StoreError::NotStaged(1))
    ));
    assert_eq!(store.log().unwrap(), before);
    assert_eq!(head(&mut store), 1);
    for _ in 1..store::STAGED_MAX {
        store.stage(&world).unwrap();
    }
    assert!(matches!(
        store.stage(&world),
        Err(StoreError::TooManyStaged(_))
    ));
    // Who commits is not stopped by it.
    store.commit(staged.id, "anna", "why").unwrap();
}

fn writers_wait_for_each_other(at: &config::Store) {
    const ROUNDS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    committed(
        &mut made(at),
        &world(&folder.path().join("0"), 1, 10, 1),
        "first",
    );
    let work = |name: &str| {
        let world = world(&folder.path().join(name), 1, 3_000, 1);
        let mut store = Store::open(at).unwrap();
        let mut done = 0;
        for _ in 0..ROUNDS {
            let staged = store.stage(&world).unwrap();
            match store.commit(staged.id, name, "a race") {
                Ok(_) => done += 1,
                Err(StoreError::Moved { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        done
    };
    let [one, two] = std::thread::scope(|scope| {
        [scope.spawn(|| work("one")), scope.spawn(|| work("two"))].map(|it| it.join().unwrap())
    });
    let mut store = Store::open(at).unwrap();
    store.audit().unwrap();
    let mut kept: Vec<Generation> = store.log().unwrap();
    kept.retain(|generation| generation.is_kept);
    assert_eq!(kept.len(), 1 + one + two);
    assert!(one + two >= ROUNDS, "one of two always wins");
    // Each on the one before: nobody's change was lost unseen.
    for pair in kept.windows(2) {
        assert_eq!(pair[0].parent, Some(pair[1].id));
    }
}

fn generations_share_their_files_here(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = made(at);
    let first = committed(
        &mut store,
        &world(&folder.path().join("1"), 1, 100, 1),
        "first",
    );
    let second = committed(
        &mut store,
        &world(&folder.path().join("2"), 2, 100, 1),
        "a trunk",
    );
    let cache = Cache::of(&folder.path().join("state"));
    let [one, two] = [first, second].map(|it| cache.fetch(&mut store, it).unwrap());
    assert_eq!((one.name(), two.id), ("store, generation 1".to_owned(), 2));
    let inode = |fetched: &store::Fetched| {
        fs::metadata(fetched.folder.join("decks/d.csv"))
            .unwrap()
            .ino()
    };
    assert_eq!(inode(&one), inode(&two));
    assert_eq!(one.parts[1].what, "trunk `t0`");
    assert!(one.text[one.parts[1].at..].starts_with("# Customer 0"));
    // Once more: it is here already, and the same.
    let head = store.head().unwrap();
    assert_eq!(cache.fetch(&mut store, head).unwrap().folder, two.folder);
}

fn the_last_one_is_here_without_a_database(at: &config::Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = made(at);
    let first = committed(
        &mut store,
        &world(&folder.path().join("1"), 1, 100, 1),
        "first",
    );
    let cache = Cache::of(&folder.path().join("state"));
    assert!(cache.last().is_none());
    let fetched = cache.fetch(&mut store, first).unwrap();
    assert!(cache.last().is_none(), "nobody has said that it is good");
    cache.remember(&fetched).unwrap();
    drop(store);
    let last = cache.last().unwrap();
    assert_eq!(
        (last.id, &last.text, &last.parts),
        (1, &fetched.text, &fetched.parts)
    );
    let deck = fs::read(last.folder.join("decks/d.csv")).unwrap();
    assert_eq!(deck, fs::read(folder.path().join("1/decks/d.csv")).unwrap());
}
