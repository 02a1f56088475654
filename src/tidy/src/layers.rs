//! Who may use whom: the table of the architecture, and the manifests to hold against it.

use crate::tree;

/// One crate of the workspace and what it may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    /// The crate's name, which is its folder's.
    pub name: &'static str,
    /// The folder from the root.
    pub folder: &'static str,
    /// Whether it is core: no clock, no I/O, no thread, no lock, no log, no `unsafe`.
    pub core: bool,
    /// Crates of this workspace it may use, in production code.
    pub ours: &'static [&'static str],
    /// Crates of others it may use, in production code. `["*"]`: any.
    pub others: &'static [&'static str],
}

const ALL: &[&str] = &[
    "base",
    "sip",
    "translation",
    "transaction",
    "route",
    "cdr",
    "call",
    "overload",
    "shards",
    "router",
    "config",
    "decks",
    "import",
    "replay",
    "store",
    "control",
    "perf",
];
const CORE_OTHERS: &[&str] = &["hashbrown", "memchr", "siphasher", "smallvec", "wide"];

const fn core(name: &'static str, folder: &'static str, ours: &'static [&'static str]) -> Layer {
    Layer {
        name,
        folder,
        core: true,
        ours,
        others: CORE_OTHERS,
    }
}

const fn outer(
    name: &'static str,
    folder: &'static str,
    ours: &'static [&'static str],
    others: &'static [&'static str],
) -> Layer {
    Layer {
        name,
        folder,
        core: false,
        ours,
        others,
    }
}

/// The table of layers, from the bottom.
#[rustfmt::skip] // a table
pub const LAYERS: &[Layer] = &[
    core("base",        "src/base",        &[]),
    core("sip",         "src/sip",         &["base"]),
    core("translation", "src/translation", &[]),
    core("transaction", "src/transaction", &["base", "sip"]),
    core("route",       "src/route",       &["base", "sip", "translation"]),
    core("cdr",         "src/cdr",         &["base"]),
    core("call",        "src/call",        &["base", "sip", "transaction", "route", "cdr"]),
    core("overload",    "src/overload",    &["base", "sip"]),
    outer("shards",     "shards",          &["base"],
          &["core_affinity", "crossbeam-queue", "crossbeam-utils", "hashbrown", "libc", "mio", "socket2"]),
    outer("router",     "src/router",      &["base", "sip", "transaction", "route", "call", "cdr", "overload", "shards"],
          CORE_OTHERS),
    outer("config",     "config",          &["base", "translation"], &["serde", "toml", "csv", "jiff"]),
    outer("decks",      "src/decks",       &["base", "route"], &["calamine", "csv", "encoding_rs", "jiff", "serde", "toml"]),
    outer("import",     "src/import",      &[], &["csv", "toml"]),
    outer("replay",     "src/replay",      &["base", "sip", "route", "cdr"], &["jiff", "serde", "serde_json"]),
    outer("store",      "src/store",       &["config"], &["jiff", "rusqlite", "sha2", "tokio", "tokio-postgres", "toml"]),
    outer("control",    "src/control",     &["base", "config", "decks", "store", "route", "cdr", "shards"], &["*"]),
    outer("perf",       "perf",            &["base"],
          &["base64", "clap", "hdrhistogram", "libc", "memchr", "mio", "nix", "serde", "serde_json", "socket2"]),
    outer("trunkline",  "src/trunkline",   ALL, &["*"]),
    outer("sim",        "src/sim",         &["base", "router", "shards", "cdr", "route", "call", "transaction"], &[]),
    outer("corpora",    "src/corpora",     &[], &[]),
    outer("tidy",       "src/tidy",        &[], &[]),
    outer("benches",    "benches",         ALL, &["*"]),
];

/// The layer that a file belongs to, if it belongs to a crate of the table.
#[must_use]
pub fn of(file: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| {
        file.strip_prefix(layer.folder)
            .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// The `[dependencies]` of a manifest: (line, name), features and targets aside.
#[must_use]
pub fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            let section = line.trim_matches(|c| c == '[' || c == ']');
            inside = section == "dependencies"
                || section.starts_with("target.") && section.ends_with(".dependencies");
            if let Some(name) = section.strip_prefix("dependencies.") {
                found.push((number + 1, name.to_owned()));
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name: String = line
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '-' || *c == '_')
                .collect();
            found.push((number + 1, name));
        }
    }
    found
}

/// The members that the root manifest names.
#[must_use]
pub fn members() -> Vec<String> {
    let manifest = tree::text("Cargo.toml");
    let list = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    list.split(',')
        .map(|member| member.trim().trim_matches('"').to_owned())
        .filter(|member| !member.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dependencies_in_every_notation() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nbase.workspace = true\n\
                        mio = { version = \"1\" }\n# no\n[dev-dependencies]\nproptest = \"1\"\n\
                        [dependencies.libc]\nversion = \"1\"\n";
        let names: Vec<_> = dependencies(manifest).into_iter().collect();
        let want = [(4, "base"), (5, "mio"), (9, "libc")];
        assert_eq!(names, want.map(|(line, name)| (line, name.to_owned())));
    }

    #[test]
    fn a_file_belongs_to_the_crate_of_its_folder() {
        assert_eq!(of("src/route/src/lib.rs").map(|l| l.name), Some("route"));
        assert_eq!(of("src/router/src/lib.rs").map(|l| l.name), Some("router"));
        assert_eq!(of("README.md").map(|l| l.name), None);
    }
}
