//! Programs and servers that are killed in the middle of their work.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use config::{Password, StoreKind};
use store::{Store, World};

use crate::cases::world;
use crate::server::Server;

const KIND: &str = "TRUNKLINE_TEST_STORE_KIND";
const PLACE: &str = "TRUNKLINE_TEST_STORE";
const FOLDER: &str = "TRUNKLINE_TEST_WORLDS";

/// Worlds to be staged in turn: with one big deck, in two versions.
fn worlds(folder: &Path) -> [World; 2] {
    [1, 2].map(|price| world(&folder.join(price.to_string()), 2, 30_000, price))
}

/// Stages and commits, and says what was done, until it is killed or its database is.
pub(crate) fn write_for_ever() {
    let place = std::env::var(PLACE).expect("the tests of crashes say where");
    let kind = match std::env::var(KIND).as_deref() {
        Ok("sqlite") => StoreKind::Sqlite(place.into()),
        _ => StoreKind::Postgresql(place, Password::None),
    };
    let folder = std::env::var(FOLDER).expect("the tests of crashes say from where");
    let worlds = ["1", "2"].map(|name| World::read(&Path::new(&folder).join(name)).unwrap());
    let mut store = Store::open(&config::Store {
        kind,
        keep: 3,
        follow_seconds: 0,
    })
    .unwrap();
    for world in worlds.iter().cycle() {
        let Ok(staged) = store.stage(world) else {
            return;
        };
        println!("\nstaged {}", staged.id);
        let Ok(kept) = store.commit(staged.id, "anna", "a crash") else {
            return;
        };
        println!("\ncommitted {}", kept.id);
    }
}

fn start(at: &config::Store, folder: &Path) -> Child {
    let (kind, place) = match &at.kind {
        StoreKind::Sqlite(path) => ("sqlite", path.display().to_string()),
        StoreKind::Postgresql(url, _) => ("postgresql", url.clone()),
    };
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .envs([(KIND, kind), (PLACE, &place)])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a writer said it has staged and committed last.
#[derive(Clone, Copy, Default, Debug)]
struct Said {
    staged: u64,
    committed: u64,
}

/// Lets a writer work for a while, ends it by `kill`, and reads what it said to its end.
fn interrupt(mut child: Child, round: u64, kill: impl FnOnce(&mut Child)) -> Said {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Said::default();
    let mut note = |line: String| {
        let number = |verb: &str| line.strip_prefix(verb)?.trim().parse::<u64>().ok();
        said.staged = number("staged ").unwrap_or(said.staged);
        said.committed = number("committed ").unwrap_or(said.committed);
        said.staged > 0
    };
    // Not before it works, and then at another moment each time.
    while !note(lines.next().expect("the writer works").unwrap()) {}
    std::thread::sleep(Duration::from_micros(round * 7_919 % 60_000));
    kill(&mut child);
    for line in lines.map_while(Result::ok) {
        note(line);
    }
    let _ended = child.wait();
    said
}

/// All is there that was said to be, nothing is half there, and work goes on. `before` was the head
/// when the writer began; the head now.
fn judge(at: &config::Store, before: u64, said: Said, world: &World) -> u64 {
    let mut store = Store::open(at).unwrap();
    store.audit().unwrap();
    let head = store.head().map_or(0, |head| head.id);
    // The last commit may have been done and not been said.
    let may_be = [before.max(said.committed), said.staged];
    assert!(
        may_be.contains(&head),
        "head {head}, said {said:?}, before {before}"
    );
    // At most one was staged and not committed by each that was killed.
    let staged: Vec<u64> = (store.log().unwrap().iter())
        .filter(|it| !it.is_kept)
        .map(|it| it.id)
        .collect();
    for id in staged {
        assert_eq!(store.files(id).unwrap().len(), 3, "staged whole");
        store.discard(id).unwrap();
    }
    let next = store.stage(world).unwrap();
    store.commit(next.id, "bert", "life goes on").unwrap();
    store.audit().unwrap();
    next.id
}

pub(crate) fn kill_writers(at: &config::Store, rounds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let [world, _] = worlds(folder.path());
    Store::init(at).unwrap();
    let mut head = 0;
    for round in 1..=rounds {
        let child = start(at, folder.path());
        let said = interrupt(child, round, |child| child.kill().unwrap());
        head = judge(at, head, said, &world);
    }
}

pub(crate) fn crash_server(at: &config::Store, server: &mut Server, rounds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let [world, _] = worlds(folder.path());
    Store::init(at).unwrap();
    let mut head = 0;
    for round in 1..=rounds {
        let child = start(at, folder.path());
        let said = interrupt(child, round, |_| server.crash());
        let error = Store::open(at).err().expect("it is down").to_string();
        assert!(error.contains("cannot be reached"), "{error}");
        server.restart();
        head = judge(at, head, said, &world);
    }
}
