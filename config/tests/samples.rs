//! The files that come with trunkline, and the document that explains them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use config::{Config, LISTENERS_MAX, Margin, Mode, SECTIONS, Shards};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn load(sample: &str) -> Config {
    Config::load(folder().join(sample)).unwrap_or_else(|errors| {
        panic!(
            "{}",
            errors
                .iter()
                .map(|error| format!("{error}\n"))
                .collect::<String>()
        )
    })
}

#[test]
fn the_benchmark_is_what_was_promised() {
    let config = load("bench.toml");
    let listeners: Vec<String> = config
        .listeners
        .iter()
        .map(|it| format!("{} {}", it.transport, it.address))
        .collect();
    assert_eq!(listeners, ["udp 127.0.0.1:5060", "tcp 127.0.0.1:5060"]);
    let trunk = &config.trunks[0];
    assert_eq!((config.trunks.len(), trunk.sources.len()), (1, 1));
    assert_eq!(trunk.sources[0].network.to_string(), "127.0.0.0/8");
    assert_eq!(
        (trunk.sources[0].port, trunk.sources[0].transport),
        (None, None)
    );
    let gateway = &config.gateways[0];
    assert_eq!(
        format!("{} {}", gateway.transport, gateway.address),
        "udp 127.0.0.3:5070"
    );
    assert_eq!((config.gateways.len(), gateway.probe), (1, None));
    assert_eq!(
        (config.routes.len(), config.routes[0].prefix.as_str()),
        (1, "*")
    );
    assert_eq!(config.cdr.directory, PathBuf::from("target/bench-cdr"));
}

#[test]
fn the_demonstration_shows_failover() {
    let config = load("demo.toml");
    assert_eq!(config.node.shards, Shards::Auto);
    let addresses: Vec<String> = config
        .gateways
        .iter()
        .map(|it| it.address.to_string())
        .collect();
    assert_eq!(
        addresses,
        ["127.0.0.2:5070", "127.0.0.3:5071", "127.0.0.4:5072"]
    );
    assert_eq!(config.gateways[2].no_response_ms, 500);
    assert_eq!(config.cdr.directory, PathBuf::from("target/demo-cdr"));
    assert_eq!(config.control.socket, PathBuf::from("target/demo.sock"));
    assert_eq!(config.metrics.listen, "127.0.0.1:9464".parse().ok());
    assert!(
        config
            .routes
            .iter()
            .any(|route| route.plan.mode == Mode::Weighted)
    );
    for route in &config.routes {
        let names: Vec<&str> = route
            .plan
            .targets
            .iter()
            .map(|it| it.gateway.as_str())
            .collect();
        assert!(names.contains(&"healthy"), "{}: {names:?}", route.prefix);
        assert!(route.plan.attempts_max >= names.len(), "{}", route.prefix);
    }
}

#[test]
fn the_example_says_every_key() {
    let config = load("example.toml");
    assert!(config.listeners.len() < LISTENERS_MAX);
    let text = std::fs::read_to_string(folder().join("example.toml")).expect("the example");
    let words: BTreeSet<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    for (section, keys) in SECTIONS {
        for key in *keys {
            assert!(
                words.contains(key),
                "`{key}` of [{section}] is not in the example"
            );
        }
    }
}

/// The example writes most keys with their defaults: a file without them means the same.
#[test]
fn the_example_tells_the_defaults() {
    let example = load("example.toml");
    let bare = Config::parse(
        "bare.toml",
        "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.1\"\n\
         [[gateway]]\nname = \"berlin\"\naddress = \"203.0.113.10\"\n",
    )
    .expect("the least that can be written");
    assert_eq!(example.limits, bare.limits);
    assert_eq!(example.io, bare.io);
    assert_eq!(example.timers, bare.timers);
    assert_eq!(example.listeners[0].coalesce, bare.listeners[0].coalesce);
    assert_eq!(example.proxy, bare.proxy);
    assert_eq!(example.overload, bare.overload);
    assert_eq!(example.cdr, bare.cdr);
    assert_eq!(example.control, bare.control);
    assert_eq!(example.log, bare.log);
    assert_eq!(example.sources, bare.sources);
    assert_eq!(example.drain, bare.drain);
    assert_eq!(example.node.state_dir, bare.node.state_dir);
    let (said, default) = (&example.gateways[0], &bare.gateways[0]);
    assert_eq!(
        (said.health, said.no_response_ms),
        (default.health, default.no_response_ms)
    );
    assert_eq!((said.format, said.strip), (default.format, default.strip));
}

/// A table row for each key, under the heading of its section.
#[test]
fn the_document_names_every_key_under_its_section() {
    let text = std::fs::read_to_string(folder().join("../docs/configuration.md"))
        .expect("docs/configuration.md");
    for (section, keys) in SECTIONS.iter().filter(|(section, _)| !section.is_empty()) {
        let heading = format!("\n### `{section}`\n");
        let start = text
            .find(&heading)
            .unwrap_or_else(|| panic!("no heading {heading:?}"));
        let rest = &text[start + heading.len()..];
        let part = &rest[..rest.find("\n### ").unwrap_or(rest.len())];
        let rows: BTreeSet<&str> = part
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let keys: BTreeSet<&str> = keys.iter().copied().collect();
        assert_eq!(rows, keys, "[{section}]");
    }
    assert!(text.contains("`routes_csv`"));
}

#[test]
fn the_example_names_its_decks_and_lists() {
    let config = load("example.toml");
    let decks: Vec<&str> = config.decks.iter().map(|deck| deck.name.as_str()).collect();
    assert_eq!(decks, ["vendor-b", "vendor-v", "customer"]);
    let dialect = folder().join("decks/vendor-v.toml");
    assert_eq!(config.decks[1].dialect, Some(dialect));
    let update = folder().join("decks/vendor-v-2026-11-20.csv");
    assert_eq!(config.decks[1].updates, [update]);
    assert_eq!(config.trunks[0].deck.as_deref(), Some("customer"));
    assert_eq!(config.screen.block_called, ["blocked"]);
    assert_eq!(config.trunks[0].screen.permit_called, ["permitted"]);
    let route = &config.routes[0].plan;
    assert_eq!(
        (route.mode, route.margin),
        (Mode::Cost, Margin::Permille(100))
    );
}

/// What every piece of a document needs to be a configuration.
const AROUND: &str = "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.1\"\n";

/// Every piece of the document is a configuration, and its examples come out as they say.
#[test]
fn the_numbers_of_the_document_come_out_as_it_says() {
    let path = folder().join("../docs/numbers.md");
    let text = std::fs::read_to_string(path).expect("docs/numbers.md");
    let pieces: Vec<&str> = text
        .split("\n```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```\n").next())
        .collect();
    assert!(pieces.len() >= 2, "{pieces:?}");
    for piece in pieces {
        let read = Config::parse("numbers.md", &format!("{AROUND}{piece}\n"));
        assert!(read.is_ok(), "{piece}\n{:#?}", read.err());
    }
}

/// The document shows what is really said.
#[test]
fn the_document_shows_the_fault_of_an_example() {
    let text = std::fs::read_to_string(folder().join("../docs/numbers.md")).expect("numbers.md");
    let shown = text.lines().find(|line| line.starts_with("world.toml:"));
    let tables = "[[translation]]\nname = \"to-e164\"\nrules = [\n{ begins = \"00\", strip = 2 },\n]\n\
                  # \n# \n# \nexamples = [\n# \n     [\"00493012\", \"+493012\"],\n]\n";
    let told = Config::parse("world.toml", &format!("{AROUND}{tables}")).expect_err("a fault");
    assert_eq!(Some(told[0].to_string().as_str()), shown);
}
