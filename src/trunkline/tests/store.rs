//! A router whose world is in a store: committed, refused and rolled back in mid-load, and carried on
//! with while the database is away.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)] // real routers and servers live in real time

mod harness;
#[path = "../../store/tests/conformance/server.rs"]
mod server;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use config::StoreKind;
use harness::{CALM, Gateway, PATIENCE, Router, Scene, tables, wait_for};
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};
use server::Server;

const ANSWERS: Habit = Habit::Answers {
    ring: Duration::ZERO,
    answer: Duration::from_millis(10),
};
const WHY: [&str; 4] = ["--author", "anna", "--comment", "a test"];

/// A router's files, addresses and vendors.
struct World {
    scene: Scene,
    customer: SocketAddr,
    at: SocketAddr,
    addresses: [SocketAddr; 2],
}

impl World {
    fn new() -> World {
        let scene = Scene::new();
        let [customer, at, one, two] = [(); 4].map(|()| scene.address());
        World {
            scene,
            customer,
            at,
            addresses: [one, two],
        }
    }

    /// The node's own file, which names this store.
    fn node(&self, store: &str) -> String {
        let text = format!("{}[store]\n{store}\n", self.scene.head(&[self.at]));
        fs::write(self.scene.path("trunkline.toml"), &text).unwrap();
        text
    }

    /// A folder with a world in which the first vendor has this price, and the second 0.02.
    fn world(&self, price: &str) -> PathBuf {
        let folder = self.scene.path("world");
        fs::create_dir_all(&folder).unwrap();
        let [one, two] = self.addresses;
        let gateway = |name, address, more| Gateway {
            more,
            ..Gateway::udp(name, address)
        };
        let gateways = [
            gateway("one", one, "deck = \"one\""),
            gateway("two", two, "deck = \"two\""),
        ];
        let tables = tables(self.customer.ip(), &gateways, "mode = \"cost\"\n");
        let deck = |name: &str, price: &str| {
            let text = format!("Code,Destination,Rate USD,Steps\n1555,Nowhere,{price},1/1\n");
            fs::write(folder.join(format!("{name}.csv")), text).unwrap();
            format!("[[deck]]\nname = \"{name}\"\nfile = \"{name}.csv\"\n\n")
        };
        let decks = deck("one", price) + &deck("two", "0.02");
        fs::write(folder.join("world.toml"), format!("{decks}{tables}")).unwrap();
        folder
    }

    /// Runs `trunkline store`; whether it did what was asked, and what it said. Prices jump here, and
    /// are meant to.
    fn store(&self, words: &[&str]) -> (bool, String) {
        let brings = ["stage", "import"].contains(&words[0]);
        let accept: &[&str] = if brings { &["--accept-odd"] } else { &[] };
        self.store_as_is(&[words, accept].concat())
    }

    fn store_as_is(&self, words: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .arg("store")
            .args(words)
            .arg("--config")
            .arg(self.scene.path("trunkline.toml"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    #[track_caller]
    fn does(&self, words: &[&str], want: &[&str]) -> String {
        let (is_done, said) = self.store(words);
        assert!(is_done, "{words:?}\n{said}");
        for want in want {
            assert!(said.contains(want), "`{want}` is not in\n{said}");
        }
        said
    }

    #[track_caller]
    fn refuses(&self, words: &[&str], want: &[&str]) {
        let (is_done, said) = self.store(words);
        assert!(!is_done, "{words:?}\n{said}");
        for want in want {
            assert!(said.contains(want), "`{want}` is not in\n{said}");
        }
    }

    fn begin(&self, node: &str) -> (Router, [Vendor; 2], Caller, PathBuf) {
        let folder = self.world("0.01");
        self.does(&["init"], &["The store is made"]);
        let import = ["import", folder.to_str().unwrap()];
        let said = [&import[..], &WHY].concat();
        self.does(
            &said,
            &[
                "Staged as generation 1",
                "by anna: a test",
                "No node answers at",
            ],
        );
        let router = self.scene.router(node);
        let vendors = self
            .addresses
            .map(|at| Vendor::start(VendorSpec::new(at, ANSWERS)).unwrap());
        let truth = self.scene.path("caller.truth");
        let mut spec = CallerSpec::new(self.customer, self.at, 50);
        spec.numbers = vec!["+1555*".to_owned()];
        spec.hold = Duration::from_millis(300);
        spec.truth = Some(truth.clone());
        let caller = Caller::start(spec).unwrap();
        (router, vendors, caller, truth)
    }
}

/// Waits for more answered calls at a vendor.
fn gets(vendor: &Vendor) {
    let before = vendor.figures().answered;
    wait_for("more calls", PATIENCE, || {
        (vendor.figures().answered >= before + 15).then_some(())
    });
}

fn judge(router: &Router, caller: Caller, truth: &Path, want: &[u64]) {
    let figures = caller.finish(PATIENCE).unwrap();
    assert_eq!(
        (figures.failed, figures.bye_unanswered),
        (0, 0),
        "{figures:?}"
    );
    router.judge(&[truth], CALM);
    let cdrs = router.cdrs();
    let mut generations: Vec<u64> = (cdrs.iter())
        .map(|cdr| cdr["generation"].as_u64().unwrap())
        .collect();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations, want, "records name the store's generations");
}

fn a_commit_and_a_rollback_in_mid_load(store: &str) {
    let world = World::new();
    let node = world.node(store);
    let (router, vendors, caller, truth) = world.begin(&node);
    gets(&vendors[0]);
    assert_eq!(vendors[1].figures().answered, 0);

    // A bad one: all its faults at once, and nothing is staged.
    let folder = world.world("0.01");
    let (folder, file) = (folder.to_str().unwrap(), folder.join("world.toml"));
    let good = fs::read_to_string(&file).unwrap();
    let bad = good.replace("gateways = [\"one\",", "gateways = [\"oen\",");
    fs::write(&file, bad.replace("carrier = \"buyer\"", "carrier = 7")).unwrap();
    world.refuses(
        &["stage", folder],
        &[
            "world.toml:",
            "found `oen`",
            "did you mean `one`?",
            "carrier",
            "2 errors",
        ],
    );
    fs::write(&file, good).unwrap();
    world.refuses(&["check"], &["nothing is staged"]);

    // A good one, staged: no effect yet. Another is staged beside it.
    let dear = world.world("0.03");
    let words = ["deck `one` read again: 1 rows, 1 before; prices: 1 up"];
    world.does(&["stage", dear.to_str().unwrap()], &words);
    world.does(&["stage", folder], &["Staged as generation 3"]);
    world.does(&["check", "2"], &["store, generation 2 is good"]);
    world.does(&["diff", "2"], &words);
    for (which, first) in [(&["--generation", "2"][..], "two"), (&[], "one")] {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args([
                "route",
                "explain",
                "--from",
                "customer",
                "+15551234",
                "--json",
                "--config",
            ])
            .arg(world.scene.path("trunkline.toml"))
            .args(which)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let [one, two] = ["one", "two"].map(|name| said.find(&format!("\"{name}\"")).unwrap());
        assert_eq!(
            if one < two { "one" } else { "two" },
            first,
            "{which:?}\n{said}"
        );
    }
    gets(&vendors[0]);
    assert_eq!(vendors[1].figures().answered, 0);

    // Committed: every shard has it when the command ends.
    world.does(
        &[&["commit", "2"], &WHY[..]].concat(),
        &["Committed: generation 2", "All shards work by generation 2"],
    );
    gets(&vendors[1]);
    let before = vendors[0].figures().invites;
    gets(&vendors[1]);
    assert_eq!(
        vendors[0].figures().invites,
        before,
        "the dear one gets no new call"
    );
    let late = [&["commit", "3"], &WHY[..]].concat();
    world.refuses(
        &late,
        &["staged on generation 1, and generation 2 was committed since"],
    );

    // And back.
    world.does(
        &[&["rollback", "1"], &WHY[..]].concat(),
        &["prices: 1 down", "All shards work by generation 4"],
    );
    gets(&vendors[0]);
    world.does(
        &["log"],
        &[
            "* generation 4",
            "(brings back 1)",
            "  generation 3, staged",
        ],
    );
    assert_eq!(router.stats()["control"]["generation_confirmed"], 4);
    judge(&router, caller, &truth, &[1, 2, 4]);
}

#[test]
fn a_commit_and_a_rollback_in_mid_load_with_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    a_commit_and_a_rollback_in_mid_load(&format!("path = \"{}\"", path.display()));
}

/// What a node's file says of a server's database.
fn section(store: &config::Store) -> String {
    let StoreKind::Postgresql(url, _) = &store.kind else {
        unreachable!("it is a server");
    };
    format!("kind = \"postgresql\"\nurl = \"{url}\"\n")
}

#[test]
fn a_commit_and_a_rollback_in_mid_load_with_postgresql() {
    let server = Server::start();
    a_commit_and_a_rollback_in_mid_load(&section(&server.database("world")));
}

#[test]
fn calls_go_on_and_a_node_starts_while_the_database_is_away() {
    let mut server = Server::start();
    let world = World::new();
    let node = world.node(&section(&server.database("world")));
    let (mut router, vendors, caller, truth) = world.begin(&node);
    gets(&vendors[0]);
    let last = world.scene.path("state/store/last");
    wait_for("a local copy", PATIENCE, || last.exists().then_some(()));

    // A reload without the database changes nothing and says why.
    server.crash();
    let seen = router.log_text().len();
    router.signal("HUP");
    router.wait_for_log(seen, "cannot be reached");
    router.wait_for_log(seen, "the running one stays in force");
    gets(&vendors[0]);
    world.refuses(&["log"], &["cannot be reached"]);
    judge(&router, caller, &truth, &[1]);

    // A start without it: with the world that was in force last.
    router.stop();
    let router = world.scene.router(&node);
    let log = router.log_text();
    assert!(
        log.contains("Starting with the generation that was in force last"),
        "{log}"
    );
    let mut spec = CallerSpec::new(world.customer, world.at, 50);
    spec.numbers = vec!["+1555*".to_owned()];
    let caller = Caller::start(spec).unwrap();
    gets(&vendors[0]);

    // It is back, and so is all that it had.
    server.restart();
    let dear = world.world("0.03");
    world.does(
        &[&["import", dear.to_str().unwrap()], &WHY[..]].concat(),
        &["All shards work by generation 2"],
    );
    gets(&vendors[1]);
    let figures = caller.finish(PATIENCE).unwrap();
    assert_eq!(figures.failed, 0, "{figures:?}");
}

#[test]
fn prices_that_jump_are_not_staged_unless_they_are_meant() {
    let world = World::new();
    world.node(&format!(
        "path = \"{}\"",
        world.scene.path("store.db").display()
    ));
    world.does(&["init"], &["The store is made"]);
    let folder = world.world("0.01");
    let folder = folder.to_str().unwrap();
    let (is_done, said) = world.store_as_is(&[&["import", folder], &WHY[..]].concat());
    assert!(is_done && !said.contains("deck `one`: "), "{said}");
    world.world("0.014");
    let (is_done, said) = world.store_as_is(&["stage", folder]);
    assert!(is_done && said.contains("1 up"), "{said}");
    world.does(&["discard", "2"], &["is gone"]);

    world.world("0.03");
    let (is_done, said) = world.store_as_is(&["stage", folder]);
    assert!(!is_done, "{said}");
    for want in [
        "1 rows rise by more than expected, so many that the deck must not be used",
        "line 2: 1555 Nowhere: ",
        "about deck `one` is so much",
        "--accept-odd",
    ] {
        assert!(said.contains(want), "`{want}` is not in\n{said}");
    }
    world.refuses(&["check"], &["nothing is staged"]);
    let (is_done, said) = world.store_as_is(&["stage", folder, "--accept-odd"]);
    assert!(is_done && said.contains("so many"), "{said}");
    world.does(&["discard", "4"], &["is gone"]);

    // An update is held against what it changes, and what goes with one is seen, too.
    world.world("0.01");
    let update = |price: &str| {
        let text = format!("Code,Destination,Rate USD,Steps\n1555,Nowhere,{price},1/1\n");
        fs::write(format!("{folder}/later.csv"), text).unwrap();
        let file = format!("{folder}/world.toml");
        let world = fs::read_to_string(&file).unwrap();
        let named = "file = \"one.csv\"\n";
        let more = format!("{named}updates = [\"later.csv\"]\n");
        fs::write(file, world.replacen(named, &more, 1)).unwrap();
    };
    update("0.03");
    let (is_done, said) = world.store_as_is(&["stage", folder]);
    assert!(!is_done && said.contains("later.csv"), "{said}");
    let (is_done, said) = world.store_as_is(&["stage", folder, "--accept-odd"]);
    assert!(is_done && said.contains("1 up"), "{said}");
    let (is_done, said) = world.store_as_is(&[&["commit"], &WHY[..]].concat());
    assert!(is_done, "{said}");
    world.world("0.01");
    let (is_done, said) = world.store_as_is(&["stage", folder]);
    assert!(is_done && said.contains("updates that are gone"), "{said}");
}

/// Somebody commits beside another node, or by hand: this one follows.
#[test]
fn a_node_takes_a_head_that_nobody_told_it_of() {
    let world = World::new();
    let path = world.scene.path("store.db");
    let store = format!("path = \"{}\"\nfollow_seconds = 1", path.display());
    let node = world.node(&store);
    let (router, vendors, caller, truth) = world.begin(&node);
    gets(&vendors[0]);
    let at = config::Store {
        kind: StoreKind::Sqlite(path),
        keep: 100,
        follow_seconds: 0,
    };
    let commit = |price: &str| {
        let files = store::World::read(&world.world(price)).unwrap();
        let mut store = store::Store::open(&at).unwrap();
        let staged = store.stage(&files).unwrap();
        store.commit(staged.id, "bert", "elsewhere").unwrap();
    };
    // Nobody has checked this one.
    let seen = router.log_text().len();
    commit("o.03");
    router.wait_for_log(seen, "the running one stays in force");
    gets(&vendors[0]);
    commit("0.03");
    gets(&vendors[1]);
    judge(&router, caller, &truth, &[1, 3]);
    assert_eq!(router.stats()["control"]["reloads_refused"], 1);
}

/// The command is killed at twenty moments from its start on: the head is one of those that were
/// committed, whole and good, and the router works by one of them and goes on.
#[test]
fn a_killed_command_leaves_world_and_head_whole() {
    let world = World::new();
    let store = format!("path = \"{}\"", world.scene.path("store.db").display());
    let node = world.node(&store);
    let (router, vendors, caller, truth) = world.begin(&node);
    gets(&vendors[0]);
    for round in 1..=20 {
        let folder = world.world(&format!("0.01{round:02}"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["store", "import"])
            .arg(folder)
            .args(WHY)
            .arg("--config")
            .arg(world.scene.path("trunkline.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(round * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        let head = world.does(&["log"], &["* generation "]);
        let confirmed = router.stats()["control"]["generation_confirmed"]
            .as_u64()
            .unwrap();
        assert!(
            head.contains(&format!("generation {confirmed}, ")),
            "{confirmed}\n{head}"
        );
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["check", "--config"])
            .arg(world.scene.path("trunkline.toml"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    gets(&vendors[0]);
    // What was staged by the killed ones is stale or not; work goes on with a new one.
    let folder = world.world("0.03");
    world.does(
        &[&["import", folder.to_str().unwrap()], &WHY[..]].concat(),
        &["All shards work by generation "],
    );
    gets(&vendors[1]);
    let figures = caller.finish(PATIENCE).unwrap();
    assert_eq!(
        (figures.failed, figures.bye_unanswered),
        (0, 0),
        "{figures:?}"
    );
    router.judge(&[&truth], CALM);
}

#[test]
fn a_whole_configuration_moves_into_a_store_and_out_again() {
    let world = World::new();
    let folder = world.world("0.01");
    let store = format!("path = \"{}\"", world.scene.path("store.db").display());
    let node = world.node(&store);
    let file = world.scene.path("trunkline.toml");
    let check = || {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (is_good, said) = check();
    assert!(!is_good && said.contains("trunkline store init"), "{said}");
    world.does(&["init"], &["The store is made"]);
    let (is_good, said) = check();
    assert!(
        !is_good && said.contains("trunkline store import"),
        "{said}"
    );

    // The world still stands in the node's file, as it did before there was a store.
    let tables = fs::read_to_string(folder.join("world.toml")).unwrap();
    fs::write(
        &file,
        format!("{node}{}", tables.replace("file = \"", "file = \"world/")),
    )
    .unwrap();
    let words = [&["import"], &WHY[..]].concat();
    world.does(
        &words,
        &[
            "Left out, because it is the node's own: cdr, control, listener",
            "the first generation",
        ],
    );
    let (is_good, said) = check();
    assert!(
        !is_good && said.contains("found `trunk`") && said.contains("[store]"),
        "{said}"
    );
    fs::write(&file, &node).unwrap();
    let (is_good, said) = check();
    assert!(
        is_good && said.contains("generation 1, ") && said.contains("by anna: a test"),
        "{said}"
    );

    let out = world.scene.path("out");
    world.does(
        &["export", out.to_str().unwrap()],
        &["world.toml and 2 files"],
    );
    for name in ["one", "two"] {
        let deck = |at: PathBuf| fs::read(at.join(format!("{name}.csv"))).unwrap();
        assert_eq!(deck(out.join("world")), deck(folder.clone()));
    }
    world.does(&["stage", out.to_str().unwrap()], &["Nothing would change"]);
    world.does(
        &["show"],
        &["# world/one.csv: ", "[[gateway]]\nname = \"two\""],
    );
    world.does(&["discard", "2"], &[]);
    world.does(&["log"], &["* generation 1"]);
}
