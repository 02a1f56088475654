//! A routing world as text, taken apart into its objects and put together again.

use std::collections::BTreeMap;

use config::{FILE_KEYS, NODE_KEYS, Part};
use toml::{Table, Value};

use crate::error::StoreError;

/// The longest name of an object that is kept; a route's is all of its prefixes.
const NAME_CHARS_MAX: usize = 80;

/// One table of a routing world: a trunk, a gateway, a route, …
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Which kind of table: `trunk`. The keys before the first table have the kind ``.
    pub kind: String,
    /// Its name, if its kind has names.
    pub name: String,
    /// Its text, in TOML.
    pub body: String,
}

impl Object {
    /// What errors call it.
    #[must_use]
    pub fn label(&self) -> String {
        match (self.kind.as_str(), self.name.as_str()) {
            ("", _) => "the keys before the first table".to_owned(),
            (kind, "") => format!("[{kind}]"),
            (kind, name) => format!("{kind} `{name}`"),
        }
    }
}

/// The objects of a world in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Document {
    /// The objects. Keys before the first table come first.
    pub objects: Vec<Object>,
}

impl Document {
    /// Takes a text apart. What belongs to a node and not to the world is left out, and named.
    ///
    /// The text of each object stays as it was written, with its comments; only where that cannot be
    /// (tables that are written within others, keys of a table in two places) it is written anew.
    ///
    /// # Errors
    /// It is no TOML.
    pub fn of_text(text: &str) -> Result<(Document, Vec<String>), StoreError> {
        let whole: Table = toml::from_str(text)
            .map_err(|error| StoreError::NoToml(error.to_string().trim_end().to_owned()))?;
        let is_of_node = |key: &str| NODE_KEYS.contains(&key);
        let left_out = whole.keys().filter(|key| is_of_node(key)).cloned();
        let left_out = left_out.collect();
        let kept = whole.into_iter().filter(|(key, _)| !is_of_node(key));
        let world: Table = kept.collect();
        let objects = as_written(text, &world).unwrap_or_else(|| anew(&world));
        Ok((Document { objects }, left_out))
    }

    /// The text of all objects, and where each begins in it.
    #[must_use]
    pub fn text(&self) -> (String, Vec<Part>) {
        let mut text = String::new();
        let mut parts = Vec::new();
        for object in &self.objects {
            if !text.is_empty() {
                text.push('\n');
            }
            parts.push(Part {
                at: text.len(),
                what: object.label(),
            });
            text.push_str(&object.body);
            if !object.body.ends_with('\n') {
                text.push('\n');
            }
        }
        (text, parts)
    }

    /// The files that the objects name, each once.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = Vec::new();
        for object in &self.objects {
            let Ok(table) = toml::from_str::<Table>(&object.body) else {
                continue; // whoever checks the world says so
            };
            for (kind, key) in FILE_KEYS.iter().filter(|(kind, _)| *kind == object.kind) {
                let value = holder(&table, kind).and_then(|table| table.get(*key));
                for file in value.into_iter().flat_map(each).filter_map(Value::as_str) {
                    if !files.iter().any(|it| it == file) {
                        files.push(file.to_owned());
                    }
                }
            }
        }
        files
    }

    /// Has all objects that name one of these files name another one.
    pub(crate) fn rename_files(&mut self, names: &BTreeMap<String, String>) {
        for object in &mut self.objects {
            let Ok(mut table) = toml::from_str::<Table>(&object.body) else {
                continue;
            };
            let mut is_changed = false;
            for (kind, key) in FILE_KEYS.iter().filter(|(kind, _)| *kind == object.kind) {
                let value = holder_mut(&mut table, kind).and_then(|table| table.get_mut(*key));
                for value in value.into_iter().flat_map(each_mut) {
                    if let Some(other) = value.as_str().and_then(|file| names.get(file)) {
                        *value = Value::String(other.clone());
                        is_changed = true;
                    }
                }
            }
            if is_changed {
                object.body = written(&table);
            }
        }
    }
}

/// The values of a list, or the one that is no list.
fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

fn each_mut(value: &mut Value) -> &mut [Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_mut(value),
    }
}

/// The table of an object's text that has its keys.
fn holder<'t>(table: &'t Table, kind: &str) -> Option<&'t Table> {
    match table.get(kind) {
        _ if kind.is_empty() => Some(table),
        Some(Value::Array(array)) => array.first()?.as_table(),
        Some(Value::Table(inner)) => Some(inner),
        _ => None,
    }
}

fn holder_mut<'t>(table: &'t mut Table, kind: &str) -> Option<&'t mut Table> {
    if kind.is_empty() {
        return Some(table);
    }
    match table.get_mut(kind) {
        Some(Value::Array(array)) => array.first_mut()?.as_table_mut(),
        Some(Value::Table(inner)) => Some(inner),
        _ => None,
    }
}

fn object(kind: &str, table: &Table, body: String) -> Object {
    let name = holder(table, kind).and_then(|inner| match kind {
        "" => None,
        "route" => Some(prefixes(inner.get("prefix")?)),
        _ => Some(inner.get("name")?.as_str()?.to_owned()),
    });
    let name = name.unwrap_or_default();
    Object {
        kind: kind.to_owned(),
        name: match name.chars().count() > NAME_CHARS_MAX {
            true => name.chars().take(NAME_CHARS_MAX).chain(['…']).collect(),
            false => name,
        },
        body,
    }
}

fn prefixes(value: &Value) -> String {
    match value {
        Value::Array(array) => {
            let texts: Vec<&str> = array.iter().filter_map(Value::as_str).collect();
            texts.join(", ")
        }
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn written(table: &Table) -> String {
    toml::to_string(table).expect("what was read as TOML can be written as TOML")
}

/// The objects with their text as it stands; `None` if the text cannot be cut so that they mean the
/// same.
fn as_written(text: &str, world: &Table) -> Option<Vec<Object>> {
    let mut objects = Vec::new();
    let mut again = Table::new();
    for (kind, piece) in pieces(text)? {
        if NODE_KEYS.contains(&kind) || piece.trim().is_empty() {
            continue;
        }
        let table: Table = toml::from_str(piece).ok()?;
        match kind {
            // Comments alone, such as those at the head of a file: they stay.
            "" => again.extend(table.clone()),
            kind => {
                let value = table.get(kind).filter(|_| table.len() == 1)?;
                match (again.get_mut(kind), value) {
                    (Some(Value::Array(all)), Value::Array(one)) => all.extend_from_slice(one),
                    (Some(_), _) => return None,
                    (None, value) => drop(again.insert(kind.to_owned(), value.clone())),
                }
            }
        }
        let body = format!("{}\n", piece.trim_matches('\n'));
        objects.push(object(kind, &table, body));
    }
    (again == *world).then_some(objects)
}

/// The pieces of a text, each with the kind of table it is; `None` where tables are mixed.
fn pieces(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut pieces = Vec::new();
    let (mut kind, mut begin) = ("", 0);
    // Where comments begin that stand right above what comes next.
    let (mut remarks, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if let Some(title) = title(trimmed) {
            let outer = title.split('.').next().unwrap_or(title).trim();
            let outer = outer.trim_matches(['"', '\'']);
            if title.contains('.') {
                // A table within the one above belongs to it.
                if outer != kind {
                    return None;
                }
            } else {
                pieces.push((kind, &text[begin..remarks]));
                (kind, begin) = (outer, remarks);
            }
        }
        at += line.len();
        if !trimmed.starts_with('#') {
            remarks = at;
        }
    }
    pieces.push((kind, &text[begin..]));
    Some(pieces)
}

/// What stands in a line that begins a table.
fn title(line: &str) -> Option<&str> {
    let inner = line.strip_prefix('[')?;
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    let (title, rest) = inner.split_once(']')?;
    let rest = rest.trim_start_matches(']').trim_start();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-. \"'".contains(c);
    let is_title = !title.trim().is_empty() && title.chars().all(is_plain);
    (is_title && (rest.is_empty() || rest.starts_with('#'))).then_some(title.trim())
}

/// The objects, written by what they mean.
fn anew(world: &Table) -> Vec<Object> {
    let mut keys = Table::new();
    let mut objects = Vec::new();
    for (kind, value) in world {
        let mut push = |value: Value| {
            let table = Table::from_iter([(kind.clone(), value)]);
            let body = written(&table);
            objects.push(object(kind, &table, body));
        };
        match value {
            Value::Array(items) if items.iter().all(Value::is_table) => {
                for item in items {
                    push(Value::Array(vec![item.clone()]));
                }
            }
            Value::Table(_) => push(value.clone()),
            _ => drop(keys.insert(kind.clone(), value.clone())),
        }
    }
    if !keys.is_empty() {
        let body = written(&keys);
        objects.insert(0, object("", &keys, body));
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        let (document, _) = Document::of_text(text).unwrap();
        document.objects.iter().map(Object::label).collect()
    }

    /// A text and its objects mean the same world.
    fn check(text: &str) -> Document {
        let (document, left_out) = Document::of_text(text).unwrap();
        let mut want: Table = toml::from_str(text).unwrap();
        for key in &left_out {
            want.remove(key);
        }
        let (again, parts) = document.text();
        assert_eq!(toml::from_str::<Table>(&again).unwrap(), want, "{again}");
        assert_eq!(parts.len(), document.objects.len());
        for (part, object) in parts.iter().zip(&document.objects) {
            assert!(again[part.at..].starts_with(&object.body));
        }
        assert_eq!(Document::of_text(&again).unwrap().0, document, "stable");
        document
    }

    #[test]
    fn objects_keep_their_text_and_comments() {
        let text = "# A world.\nroutes_csv = \"r.csv\"\n\n[node]\nname = \"n\"\n\n\
                    # The best customer.\n[[trunk]]\nname = \"acme\"\nsources = [\n  \"192.0.2.1\", # a\n]\n\n\
                    [[gateway]] # one\nname = \"g\"\n[gateway.probe]\ninterval_ms = 5\n\n\
                    [[trunk]]\nname = \"other\"\n\n[screen]\nblock_called = []\n\
                    [[route]]\nprefix = [\"49\", \"43\"]\n";
        let document = check(text);
        assert_eq!(
            labels(text),
            [
                "the keys before the first table",
                "trunk `acme`",
                "gateway `g`",
                "trunk `other`",
                "[screen]",
                "route `49, 43`",
            ]
        );
        assert!(
            document.objects[1]
                .body
                .starts_with("# The best customer.\n[[trunk]]")
        );
        assert!(document.objects[1].body.contains("# a\n"));
        assert!(document.objects[2].body.contains("[gateway.probe]"));
        assert_eq!(document.files(), ["r.csv"]);
    }

    #[test]
    fn odd_ways_to_write_a_world_mean_the_same() {
        for text in [
            "",
            "trunk = [{ name = \"a\" }, { name = \"b\" }]\nscreen = { block_called = [] }\n",
            "node.name = \"n\"\nroutes_csv = \"r\"\n",
            "[[trunk]]\nname = \"a\"\ntext = \"\"\"\n[[gateway]]\nname = 'no'\n\"\"\"\n",
            "[[trunk]]\nname = \"a\"\nsources = [\n[\"x\"]\n]\n",
            "[[gateway]]\nname = \"a\"\n[[trunk]]\nname = \"b\"\n[gateway.probe]\nx = 1\n",
            "[screen]\na = 1\n[money]\ncurrency = \"EUR\"\n[ screen . x ]\ny = 2\n",
            "[\"trunk\"]\nname = \"a\"\n",
            "[[trunk]]\r\nname = \"a\"\r\n\r\n[[trunk]]\r\nname = \"b\"\r\n",
        ] {
            if toml::from_str::<Table>(text).is_ok() {
                check(text);
            } else {
                assert!(Document::of_text(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn every_sample_is_taken_apart() {
        for sample in ["demo", "bench", "example"] {
            let path = format!("{}/../../config/{sample}.toml", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            let document = check(&text);
            assert!(document.objects.len() > 2, "{sample}");
        }
    }

    #[test]
    fn files_get_other_names() {
        let text = "[[deck]]\nname = \"d\"\nfile = \"/mail/a.csv\"\ndialect = \"d.toml\"\n\
                    updates = [\"/mail/b.csv\", \"c.csv\"]\n\
                    [[list]]\nname = \"l\"\nfile = \"/mail/a.csv\"\n";
        let (mut document, _) = Document::of_text(text).unwrap();
        assert_eq!(
            document.files(),
            ["/mail/a.csv", "/mail/b.csv", "c.csv", "d.toml"]
        );
        let names = ["a.csv", "b.csv"].map(|name| (format!("/mail/{name}"), name.to_owned()));
        document.rename_files(&BTreeMap::from(names));
        assert_eq!(document.files(), ["a.csv", "b.csv", "c.csv", "d.toml"]);
    }
}
