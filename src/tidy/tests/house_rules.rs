//! The house rules, one test each. A failing test lists every offender as `file:line`.

use tidy::layers::{self, LAYERS, Layer};
use tidy::source::Source;
use tidy::tree;

/// Fails with all offenders, so that one run shows the whole work.
fn none(rule: &str, offenders: Vec<String>) {
    assert!(
        offenders.is_empty(),
        "{rule}\n  {}\n{} in all",
        offenders.join("\n  "),
        offenders.len()
    );
}

fn core_sources() -> Vec<Source> {
    let mut sources = tree::sources();
    sources.retain(|s| layers::of(&s.file).is_some_and(|layer| layer.core));
    assert!(sources.len() > 5, "the core crates were not found");
    sources
}

#[test]
fn the_table_of_layers_names_every_crate() {
    let mut offenders: Vec<String> = layers::members()
        .into_iter()
        .filter(|member| !LAYERS.iter().any(|layer| layer.folder == member))
        .collect();
    for layer in LAYERS {
        if !layers::members()
            .iter()
            .any(|member| member == layer.folder)
        {
            offenders.push(layer.folder.to_owned());
        }
    }
    none(
        "crate in the workspace or in the table, not in both:",
        offenders,
    );
}

#[test]
fn manifests_keep_the_layers() {
    let mut offenders = Vec::new();
    for layer in LAYERS {
        let file = format!("{}/Cargo.toml", layer.folder);
        let manifest = tree::text(&file);
        assert!(manifest.contains("[package]"), "{file} is not a manifest");
        for (line, name) in layers::dependencies(&manifest) {
            let ours = LAYERS.iter().any(|l| l.name == name);
            let allowed = if ours { layer.ours } else { layer.others };
            if !allowed.iter().any(|a| *a == name || *a == "*") {
                offenders.push(format!("{file}:{line}: {} may not use {name}", layer.name));
            }
        }
    }
    none("a dependency against the layers:", offenders);
}

#[test]
fn use_lines_keep_the_layers() {
    let sources = tree::sources();
    let has_module = |layer: &Layer, name: &str| {
        let at = format!("{}/src/{name}", layer.folder);
        let is_it = |s: &Source| s.file == format!("{at}.rs") || s.file == format!("{at}/mod.rs");
        sources.iter().any(is_it)
    };
    let mut offenders = Vec::new();
    for source in &sources {
        let Some(layer) = layers::of(&source.file) else {
            continue;
        };
        for path in source.paths() {
            let first = path.path.split("::").next().unwrap_or_default();
            let alien = LAYERS.iter().any(|l| l.name == first)
                && first != layer.name
                && !layer.ours.contains(&first)
                && source.is_production(path.line)
                && !has_module(layer, first);
            if alien {
                offenders.push(format!("{}:{}: {}", source.file, path.line, path.path));
            }
        }
    }
    none("a path against the layers:", offenders);
}

#[test]
fn the_simulator_has_no_oracle_but_its_own() {
    // `machine.rs` names these crates to build a router; nobody asks them what it should do.
    let mut offenders = Vec::new();
    for source in tree::sources() {
        if !source.file.starts_with("src/sim/") || source.file == "src/sim/src/machine.rs" {
            continue;
        }
        for path in source.paths() {
            let first = path.path.split("::").next().unwrap_or_default();
            if ["call", "route", "transaction", "sip"].contains(&first) {
                offenders.push(format!("{}:{}: {}", source.file, path.line, path.path));
            }
        }
    }
    none("the simulator asks the code under test:", offenders);
}

#[test]
fn core_crates_forbid_unsafe_code() {
    let offenders = LAYERS
        .iter()
        .filter(|layer| layer.core)
        .map(|layer| format!("{}/src/lib.rs", layer.folder))
        .filter(|file| !tree::text(file).contains("#![forbid(unsafe_code)]"))
        .collect();
    none("no #![forbid(unsafe_code)] in:", offenders);
}

/// Paths that a core crate never names: the world outside its events.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::ToSocketAddrs",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::Once",
    "std::sync::OnceLock",
    "std::sync::LazyLock",
    "std::sync::mpsc",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::io::copy",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::hash_map::RandomState",
    "std::hash::RandomState",
    "std::rc",
    "log",
    "rand",
    "tracing",
    "tokio",
    "futures",
    "parking_lot",
    "getrandom",
];

#[test]
fn core_crates_are_pure() {
    let mut offenders = Vec::new();
    for source in core_sources() {
        for path in source.paths() {
            let impure = IMPURE
                .iter()
                .any(|i| path.path == *i || path.path.starts_with(&format!("{i}::")));
            let own_module = path.path.starts_with("log::") && source.code.contains("mod log");
            if impure && !own_module && source.is_production(path.line) {
                offenders.push(format!("{}:{}: {}", source.file, path.line, path.path));
            }
        }
        for word in [
            "async",
            "await",
            "println",
            "eprintln",
            "print",
            "dbg",
            "thread_local",
        ] {
            for line in source.word_lines(word) {
                if source.is_production(line) {
                    offenders.push(format!("{}:{line}: {word}", source.file));
                }
            }
        }
        if source.code.contains("allow(clippy::disallowed") {
            offenders.push(format!("{}: allows what core may not do", source.file));
        }
    }
    none(
        "clock, I/O, thread, lock, log or random state in a core crate:",
        offenders,
    );
}

#[test]
fn shards_knows_no_sip() {
    let mut offenders = Vec::new();
    for source in tree::sources() {
        if !source.file.starts_with("shards/src/") {
            continue;
        }
        for word in [
            "INVITE", "Invite", "invite", "CallId", "call_id", "CSeq", "cseq",
        ] {
            for line in source.word_lines(word) {
                if source.is_production(line) {
                    offenders.push(format!("{}:{line}: {word}", source.file));
                }
            }
        }
    }
    none("the runtime names a thing of SIP:", offenders);
}

const FILE_LINES_HABIT: usize = 400;
const FILE_LINES_WALL: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_stay_below_the_wall() {
    let mut offenders = Vec::new();
    for source in tree::sources() {
        let lines = source.production_lines();
        if lines > FILE_LINES_WALL {
            offenders.push(format!("{}: {lines} lines", source.file));
        } else if lines > FILE_LINES_HABIT {
            println!("beyond the habit: {}: {lines} lines", source.file);
        }
    }
    none("more than 800 production lines:", offenders);
}

#[test]
fn functions_stay_short() {
    let mut offenders = Vec::new();
    for source in tree::sources() {
        let source = &source;
        for function in source.functions() {
            let long = function.lines > FUNCTION_LINES_MAX && !is_table(source, function.line);
            if long && source.is_production(function.line) {
                offenders.push(format!(
                    "{}:{}: {} has {} lines",
                    source.file, function.line, function.name, function.lines
                ));
            }
        }
    }
    none(
        "more than 70 lines in a function that is not marked `// a table`:",
        offenders,
    );
}

/// Whether the lines above a `fn` mark it as a table: one row a line, which no split makes clearer.
fn is_table(source: &Source, line: usize) -> bool {
    let lines: Vec<&str> = source.text.lines().collect();
    lines[..line.min(lines.len())]
        .iter()
        .rev()
        .take(3)
        .any(|line| line.contains("// a table"))
}

#[test]
fn files_are_named_by_the_noun_they_own() {
    let vague = [
        "util", "utils", "helper", "helpers", "common", "types", "misc", "v2",
    ];
    let offenders = tree::files()
        .into_iter()
        .filter(|file| {
            file.split('/').any(|part| {
                let stem = part.strip_suffix(".rs").unwrap_or(part);
                vague.contains(&stem)
            })
        })
        .collect();
    none("a name that says nothing:", offenders);
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    let macros = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut offenders = Vec::new();
    for source in tree::sources() {
        for (number, line) in source.text.lines().enumerate() {
            if words.iter().chain(&macros).any(|word| line.contains(word)) {
                offenders.push(format!("{}:{}: {}", source.file, number + 1, line.trim()));
            }
        }
    }
    none("left for later:", offenders);
}

#[test]
fn unsafe_stands_only_where_the_design_names_it() {
    let mut offenders = Vec::new();
    for source in tree::sources() {
        if source.file.starts_with("shards/src/sys") {
            continue;
        }
        for line in source.word_lines("unsafe") {
            if source.is_production(line) {
                offenders.push(format!("{}:{line}", source.file));
            }
        }
    }
    none("unsafe outside shards/src/sys:", offenders);
}

#[test]
fn every_unsafe_discharges_its_obligation() {
    let mut offenders = Vec::new();
    for source in tree::sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for line in source.word_lines("unsafe") {
            if !has_safety_comment(&lines, line - 1) {
                offenders.push(format!("{}:{line}", source.file));
            }
        }
    }
    none("unsafe without a SAFETY comment above it:", offenders);
}

/// Whether the nearest comment above a line (from 0), at most three lines of code away, says why
/// it is sound. An `unsafe fn` says what it asks of its caller under `# Safety`.
fn has_safety_comment(lines: &[&str], at: usize) -> bool {
    let mut code_lines = 0;
    let mut in_comment = false;
    for line in lines[..=at].iter().rev() {
        let line = line.trim();
        if line.contains("SAFETY:") || line.contains("# Safety") {
            return true;
        }
        if line.starts_with("//") {
            in_comment = true;
        } else if in_comment || line.is_empty() {
            return false;
        } else if !line.starts_with("#[") {
            code_lines += 1;
            if code_lines > 4 {
                return false;
            }
        }
    }
    false
}

#[test]
fn the_safety_rule_sees_what_it_should() {
    for (text, want) in [
        ("// SAFETY: fine\nunsafe { f() }", true),
        ("// SAFETY: fine\nlet x =\n    unsafe { f() };", true),
        ("/// # Safety\n/// p is live\npub unsafe fn f() {}", true),
        ("unsafe { f() }", false),
        ("// because\nunsafe { f() }", false),
        ("// SAFETY: fine\n\nunsafe { f() }", false),
    ] {
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|l| l.contains("unsafe")).unwrap_or(0);
        assert_eq!(has_safety_comment(&lines, at), want, "{text}");
    }
}

#[test]
fn every_counter_has_a_help_text() {
    let mut offenders = Vec::new();
    for source in tree::sources() {
        if !source.code.contains("CounterDef") && !source.code.contains("HistogramDef") {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            let empty =
                line.contains("help: \"\"") || line.contains(", \"\")") || line.contains("(\"\"");
            if empty && source.is_production(number + 1) {
                offenders.push(format!("{}:{}: {}", source.file, number + 1, line.trim()));
            }
        }
    }
    none("a counter without help:", offenders);
}

#[test]
fn every_sample_configuration_is_loaded_by_a_test() {
    let tests: String = tree::sources()
        .into_iter()
        .filter(|s| s.file.starts_with("config/"))
        .map(|s| s.text)
        .collect();
    let samples = tree::files().into_iter().filter(|file| {
        file.starts_with("config/")
            && file.ends_with(".toml")
            && !file.ends_with("Cargo.toml")
            && !file.contains("/src/")
            && !file.contains("/tests/")
    });
    let offenders = samples
        .filter(|file| {
            let name = file.rsplit('/').next().unwrap_or(file);
            !tests.contains(name)
        })
        .collect();
    none("no test of the config crate names:", offenders);
}

#[test]
fn files_name_no_machine_and_no_registry() {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/tm", "p/"),
        concat!("/ro", "ot/"),
    ];
    let hosts = [
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("pypi", ".org"),
        concat!("registry.npmjs", ".org"),
        concat!("proxy.golang", ".org"),
        concat!("deb.debian", ".org"),
        concat!("docker", ".io/"),
    ];
    let mut offenders = Vec::new();
    for file in tree::files() {
        let binary = ["pcap", "png", "bin", "raw"]
            .iter()
            .any(|end| file.ends_with(end));
        if binary {
            continue;
        }
        for (number, line) in tree::text(&file).lines().enumerate() {
            let path = paths.iter().any(|p| names_path(line, p));
            if path || hosts.iter().any(|host| line.contains(host)) {
                offenders.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("a path of one machine, or a registry's host:", offenders);
}

/// Whether a line names an absolute path, not one that merely contains the same letters.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        !before.is_alphanumeric() && !matches!(before, '.' | '-' | '_' | '}' | ')' | '/')
    })
}

#[test]
fn every_machine_reader_has_one_place() {
    // The clock of the data plane is read in one file, so that virtual time is possible at all.
    let mut offenders = Vec::new();
    for source in tree::sources() {
        let data_plane =
            source.file.starts_with("shards/src/") || source.file.starts_with("src/router/src/");
        let the_place = matches!(source.file.as_str(), "shards/src/clock.rs")
            || source.file.starts_with("shards/src/sys");
        if !data_plane || the_place {
            continue;
        }
        for path in source.paths() {
            let reads =
                path.path.ends_with("Instant::now") || path.path.ends_with("SystemTime::now");
            if reads && source.is_production(path.line) {
                offenders.push(format!("{}:{}: {}", source.file, path.line, path.path));
            }
        }
    }
    none("the clock is read outside shards/src/clock.rs:", offenders);
}
