//! What a configuration is read from: the node's file, and a routing world that may be elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::error::Report;
use crate::section::Section;
use crate::text::Text;
use crate::{Config, Error, FILE_BYTES_MAX, NODE_KEYS, Store, read, settings};

/// An opened configuration file.
#[derive(Clone, Debug)]
pub struct File {
    name: String,
    text: String,
    /// A world in it is passed over.
    is_node_only: bool,
}

/// What of a node has to be known before its routing world is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    /// `[store]`
    pub store: Option<Store>,
    /// `[node] state_dir`
    pub state_dir: PathBuf,
    /// `[control] socket`
    pub socket: PathBuf,
}

/// A routing world that is not in the node's file.
#[derive(Clone, Copy, Debug)]
pub struct World<'w> {
    /// What it is called in errors: a file, or a generation of a store.
    pub name: &'w str,
    /// Its text, in TOML.
    pub text: &'w str,
    /// The objects that the text is made of, in its order; none if it is that of a file.
    pub parts: &'w [Part],
    /// Where the files are that it names.
    pub folder: &'w Path,
    /// It is a whole configuration, of which the node's part is passed over.
    pub is_whole: bool,
}

/// An object of a world, for errors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The offset at which it begins.
    pub at: usize,
    /// What it is: "trunk `acme`".
    pub what: String,
}

impl File {
    /// Opens a file.
    ///
    /// # Errors
    /// There is none, it is too large, or it is no text.
    pub fn open(path: impl AsRef<Path>) -> Result<File, Vec<Error>> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |found: String| {
            let remedy = "name a file that this user may read";
            vec![Error::of_file(&name, found, "a configuration file", remedy)]
        };
        let size = fs::metadata(path)
            .map_err(|error| unreadable(format!("no file: {error}")))?
            .len();
        if size > FILE_BYTES_MAX {
            let remedy = "move the routes into a CSV file and name it by `routes_csv`";
            let expected = format!("at most {FILE_BYTES_MAX} bytes");
            return Err(vec![Error::of_file(
                &name,
                format!("{size} bytes"),
                &expected,
                remedy,
            )]);
        }
        let bytes = fs::read(path).map_err(|error| unreadable(format!("no file: {error}")))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(File::of_text(&name, &text)),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let readable = String::from_utf8_lossy(valid);
                let report = Report::new(Text::new(&name, &readable));
                let byte = error.as_bytes()[valid.len()];
                let found = format!("the byte 0x{byte:02x}, which is not UTF-8");
                report.add(
                    valid.len(),
                    found,
                    "a text in UTF-8",
                    "save the file as UTF-8",
                );
                Err(report.into_errors())
            }
        }
    }

    /// A file of which the text is at hand.
    #[must_use]
    pub fn of_text(name: &str, text: &str) -> File {
        File {
            name: name.to_owned(),
            text: text.to_owned(),
            is_node_only: false,
        }
    }

    /// The same, of which only the node's own part counts: a world that stands in it too is no fault.
    #[must_use]
    pub fn node_only(self) -> File {
        File {
            is_node_only: true,
            ..self
        }
    }

    /// Its name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What has to be known before the routing world is.
    ///
    /// # Errors
    /// What is wrong with `[store]`; and a text that is no TOML.
    pub fn own(&self) -> Result<Own, Vec<Error>> {
        let report = Report::new(Text::new(&self.name, &self.text));
        let table = parse(&report, &self.text)?;
        // What is wrong with the rest is told when all of it is read.
        let elsewhere = Report::new(Text::new(&self.name, &self.text));
        let root = Section::root_quietly(&elsewhere, &table);
        let own = Own {
            store: settings::store(&Section::root_quietly(&report, &table)),
            state_dir: settings::node(&root.table("node")).state_dir,
            socket: settings::control(&root.table("control")).socket,
        };
        match report.into_errors() {
            errors if errors.is_empty() => Ok(own),
            errors => Err(errors),
        }
    }

    /// The configuration: the node's part from this file, the routing world from `world`, or without
    /// one from this file too.
    ///
    /// # Errors
    /// Everything that is wrong with both.
    pub fn config(&self, world: Option<&World<'_>>) -> Result<Config, Vec<Error>> {
        let report = Report::new(Text::new(&self.name, &self.text));
        let table = parse(&report, &self.text)?;
        let root = Section::root(&report, &table);
        let is_of_node = |key: &str| NODE_KEYS.contains(&key);
        let is_known = |key: &str| crate::keys::keys_of("").contains(&key);
        if root.has("store") && !self.is_node_only {
            root.refuse_keys(
                |key| is_known(key) && !is_of_node(key),
                "no routing world in this file, because [store] says that it is in the store",
                "put it there (`trunkline store import FILE`), and take it out here",
            );
        }
        let Some(world) = world else {
            let folder = Path::new(&self.name).parent().unwrap_or(Path::new(""));
            let config = read(&root, &root, folder);
            return whole(config, report.into_errors(), Vec::new());
        };
        let other = Report::new(Text::of_parts(world.name, world.text, world.parts));
        let table = parse(&other, world.text)?;
        let inside = Section::root(&other, &table);
        if !world.is_whole {
            inside.refuse_keys(
                is_of_node,
                "the routing world alone",
                "write it into the node's own file",
            );
        }
        let config = read(&root, &inside, world.folder);
        whole(config, report.into_errors(), other.into_errors())
    }
}

fn whole(config: Config, mut errors: Vec<Error>, more: Vec<Error>) -> Result<Config, Vec<Error>> {
    errors.extend(more);
    match errors.is_empty() {
        true => Ok(config),
        false => Err(errors),
    }
}

/// The text's tables, or all that is no TOML in it.
fn parse<'t>(report: &Report<'_>, text: &'t str) -> Result<DeTable<'t>, Vec<Error>> {
    let (root, faults) = DeTable::parse_recoverable(text);
    for fault in &faults {
        let at = fault.span().map_or(0, |span| span.start);
        let found = format!("no valid TOML: {}", fault.message());
        report.add(
            at,
            found,
            "TOML 1.0",
            "correct this first; what it says was not looked at",
        );
    }
    match faults.is_empty() {
        true => Ok(root.into_inner()),
        false => Err(report.errors.take().into_list()),
    }
}
