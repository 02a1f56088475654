//! A node whose routing world is in a store: what its file says, and how faults of the world are told.

use std::path::Path;

use config::{
    Config, Error, FILE_KEYS, File, NODE_KEYS, Part, Password, SECTIONS, StoreKind, World,
};

const NODE: &str = "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.1:5060\"\n";
const STORE: &str = "[store]\npath = \"a.db\"\nkeep = 7\n";
const GATEWAY: &str = "[[gateway]]\nname = \"vienna\"\naddress = \"192.0.2.9\"\n";

fn told(errors: &[Error]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// The faults of a `[store]` section.
fn faults(section: &str) -> String {
    let text = format!("{NODE}[store]\n{section}");
    told(&Config::parse("node.toml", &text).err().unwrap_or_default())
}

/// A world of these objects, each with what it is called.
fn with_world(node: &str, objects: &[(&str, &str)]) -> Result<Config, Vec<Error>> {
    let mut text = String::new();
    let mut parts = Vec::new();
    for (what, body) in objects {
        parts.push(Part {
            at: text.len(),
            what: (*what).to_owned(),
        });
        text.push_str(body);
    }
    let world = World {
        name: "store, generation 12",
        text: &text,
        parts: &parts,
        folder: Path::new("there"),
        is_whole: false,
    };
    File::of_text("node.toml", node).config(Some(&world))
}

/// What names a file comes along into a store: a key of that kind has to be in the table.
#[test]
fn every_key_that_names_a_file_is_known_as_one() {
    let names_a_file = |key: &str| {
        ["file", "updates", "dialect"].contains(&key)
            || ["_file", "_csv"].iter().any(|end| key.ends_with(end))
    };
    for (section, keys) in SECTIONS {
        let outer = section.split('.').next().unwrap_or(section);
        for key in keys.iter().filter(|key| names_a_file(key)) {
            let is_of_node = NODE_KEYS.contains(&outer);
            let is_known = FILE_KEYS.contains(&(section, key));
            assert!(is_of_node != is_known, "`{key}` of [{section}]");
        }
    }
    for key in NODE_KEYS {
        assert!(SECTIONS[0].1.contains(key), "{key}");
    }
}

#[test]
fn the_section_says_where_the_store_is() {
    let store = |section: &str| {
        let text = format!("{NODE}[store]\n{section}");
        let config =
            Config::parse("node.toml", &text).unwrap_or_else(|errors| panic!("{}", told(&errors)));
        let store = config.store.expect("a store");
        (store.kind, store.keep)
    };
    let sqlite = |path: &str| StoreKind::Sqlite(path.into());
    assert_eq!(store(""), (sqlite("state/trunkline.db"), 100));
    assert_eq!(store("path = \"a.db\"\nkeep = 7\n"), (sqlite("a.db"), 7));
    let url = "postgresql://trunkline@db.example.com:5433/trunkline";
    let server = format!("kind = \"postgresql\"\nurl = \"{url}\"\n");
    let of_server = |password| (StoreKind::Postgresql(url.to_owned(), password), 100);
    assert_eq!(store(&server), of_server(Password::None));
    let file = format!("{server}password_file = \"pw\"\n");
    assert_eq!(store(&file), of_server(Password::File("pw".into())));
    let variable = format!("{server}password_env = \"PW\"\n");
    assert_eq!(
        store(&variable),
        of_server(Password::Environment("PW".to_owned()))
    );
}

#[test]
fn faults_of_the_section() {
    for (section, words) in [
        ("kind = \"sqlit\"\n", "did you mean `sqlite`?"),
        ("kind = \"postgresql\"\n", "[store] without `url`"),
        (
            "url = \"postgresql://a@b/c\"\n",
            "set kind = \"postgresql\"",
        ),
        (
            "kind = \"postgresql\"\nurl = \"host=a\"\npath = \"x\"\n",
            "set kind = \"sqlite\"",
        ),
        (
            "kind = \"postgresql\"\nurl = \"db.example.com\"\n",
            "write a URL",
        ),
        (
            "kind = \"postgresql\"\nurl = \"host=a\"\npassword_file = \"a\"\npassword_env = \"B\"\n",
            "take one of them out",
        ),
        ("keep = 0\n", "a whole number from 1 to 1000000"),
        ("follow_seconds = 86401\n", "a whole number from 0 to 86400"),
    ] {
        let told = faults(section);
        assert!(
            told.contains(words) && told.lines().count() == 1,
            "{section}\n{told}"
        );
    }
}

#[test]
fn a_password_is_refused_and_not_repeated() {
    for url in [
        "postgresql://trunkline:hunter2@db.example.com/trunkline",
        "host=db.example.com password=hunter2",
        "postgresql://db.example.com/trunkline?password=hunter2",
    ] {
        let told = faults(&format!("kind = \"postgresql\"\nurl = \"{url}\"\n"));
        assert!(
            told.contains("password_file") && !told.contains("hunter2"),
            "{told}"
        );
    }
}

#[test]
fn a_world_beside_a_store_is_a_fault() {
    let text = format!("{NODE}{STORE}[sources]\nunknown = \"drop\"\n{GATEWAY}");
    let errors = Config::parse("node.toml", &text).expect_err("two worlds");
    let told = told(&errors);
    assert_eq!(errors.len(), 2, "{told}");
    assert!(told.contains("node.toml:7:2: found `sources`"), "{told}");
    assert!(
        told.contains("`gateway`") && told.contains("trunkline store import FILE"),
        "{told}"
    );
    // Whoever imports it knows.
    let file = File::of_text("node.toml", &text).node_only();
    assert!(file.config(None).is_ok());
}

#[test]
fn a_world_of_a_store_is_read_as_one_of_a_file() {
    let route = "[[route]]\nprefix = \"49\"\ngateways = [\"vienna\"]\n";
    let deck = "[[deck]]\nname = \"d\"\nfile = \"decks/d.csv\"\n";
    let objects = [
        ("gateway `vienna`", GATEWAY),
        ("deck `d`", deck),
        ("route `49`", route),
    ];
    let config = with_world(&format!("{NODE}{STORE}"), &objects);
    let config = config.unwrap_or_else(|errors| panic!("{}", told(&errors)));
    assert_eq!(config.decks[0].file, Path::new("there/decks/d.csv"));
    let text = format!("{NODE}{GATEWAY}{deck}{route}");
    let same = Config::parse("there/node.toml", &text).expect("right");
    assert_eq!(config.gateways, same.gateways);
    assert_eq!((config.decks, config.routes), (same.decks, same.routes));
}

#[test]
fn faults_of_a_stored_world_name_object_and_key() {
    let trunk = "# The best.\n[[trunk]]\nname = \"acme\"\nsources = [\n  \"192.0.2.77/24\",\n]\nmax_calls = \"ten\"\n";
    let route = "[[route]]\nprefix = \"49\"\ngateways = [\"viena\"]\n";
    let twice = "[[route]]\nprefix = [\"43\", \"49\"]\ngateways = [\"vienna\"]\n";
    let probe = "[[gateway]]\naddress = \"192.0.2.8\"\n[gateway.probe]\ninterval_sm = 5\n";
    let objects = [
        ("gateway `vienna`", GATEWAY),
        ("trunk `acme`", trunk),
        ("[gateway]", probe),
        ("route `49`", route),
        ("route `43, 49`", twice),
        ("[node]", "[node]\nname = \"x\"\n"),
    ];
    let errors = with_world(&format!("{NODE}{STORE}"), &objects).expect_err("faults");
    let told = told(&errors);
    for want in [
        "store, generation 12, trunk `acme`, key `sources`: found `192.0.2.77/24`",
        "store, generation 12, trunk `acme`, key `max_calls`: found `\"ten\"`",
        "store, generation 12, [gateway]: found [gateway] without `name`",
        "store, generation 12, [gateway], key `interval_sm`: found the unknown key",
        "store, generation 12, route `49`, key `gateways`: found `viena`",
        "store, generation 12, route `43, 49`, key `prefix`: found a route for `49` again: it is in route `49` already",
        "store, generation 12, [node]: found `node`; expected the routing world alone",
    ] {
        assert!(told.contains(want), "{want}\nis not in\n{told}");
    }
    assert_eq!(errors.len(), 7, "{told}");
}
