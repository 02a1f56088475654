//! A routing world in files: read to be staged, written to be used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::document::Document;
use crate::error::StoreError;

/// The file of the objects in a folder that a world was written to.
pub const WORLD_FILE: &str = "world.toml";

/// A routing world as it stands in files.
#[derive(Clone, Debug)]
pub struct World {
    /// Its objects.
    pub document: Document,
    /// The files that they name: by the name that they have in the world, where each is.
    pub files: BTreeMap<String, PathBuf>,
    /// Tables of a node that stood in the same file, and were left out.
    pub left_out: Vec<String>,
}

impl World {
    /// Reads a world from a configuration file, or from a folder that one was exported to.
    ///
    /// # Errors
    /// It cannot be read, or is no TOML.
    pub fn read(path: &Path) -> Result<World, StoreError> {
        let path = World::file_of(path);
        let text =
            fs::read_to_string(&path).map_err(|error| StoreError::File(path.clone(), error))?;
        let (mut document, left_out) = Document::of_text(&text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut files = BTreeMap::new();
        let mut renamed = BTreeMap::new();
        let named = document.files();
        let mut taken: BTreeSet<String> = named
            .iter()
            .filter(|name| is_inside(name))
            .cloned()
            .collect();
        for name in named {
            let place = folder.join(&name);
            if is_inside(&name) {
                files.insert(name, place);
                continue;
            }
            // Where the file is on this machine is nothing that other machines could use.
            let inside = free_name(&place, &taken);
            taken.insert(inside.clone());
            files.insert(inside.clone(), place);
            renamed.insert(name, inside);
        }
        document.rename_files(&renamed);
        Ok(World {
            document,
            files,
            left_out,
        })
    }

    /// The file of the objects: a folder stands for the one in it.
    #[must_use]
    pub fn file_of(path: &Path) -> PathBuf {
        match path.is_dir() {
            true => path.join(WORLD_FILE),
            false => path.to_owned(),
        }
    }
}

/// Whether a name stays within the folder that it is looked for in, and is not that of the objects.
pub(crate) fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.is_empty() && name != WORLD_FILE && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The file's own name, with a number if that is taken.
fn free_name(place: &Path, taken: &BTreeSet<String>) -> String {
    let name = place
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "file".to_owned());
    let candidates = std::iter::once(name.clone()).chain((2..).map(|n| format!("{n}-{name}")));
    let mut free = candidates.filter(|name| is_inside(name) && !taken.contains(name));
    free.next().expect("there are more numbers than files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_elsewhere_come_along_under_their_own_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunkline.toml");
        let text = "[[deck]]\nname = \"a\"\nfile = \"decks/a.csv\"\n\
                    [[deck]]\nname = \"b\"\nfile = \"/mail/a.csv\"\n\
                    [[deck]]\nname = \"c\"\nfile = \"../other/a.csv\"\n\
                    [[list]]\nname = \"l\"\nfile = \"world.toml\"\n";
        fs::write(&path, text).unwrap();
        let world = World::read(&path).unwrap();
        let files: Vec<(&str, &Path)> = (world.files.iter())
            .map(|(name, place)| (name.as_str(), place.as_path()))
            .collect();
        let other = folder.path().join("../other/a.csv");
        let want = [
            ("2-a.csv", other.as_path()),
            ("2-world.toml", &folder.path().join("world.toml")),
            ("a.csv", Path::new("/mail/a.csv")),
            ("decks/a.csv", &folder.path().join("decks/a.csv")),
        ];
        assert_eq!(files, want);
        assert_eq!(
            world.document.files(),
            ["decks/a.csv", "a.csv", "2-a.csv", "2-world.toml"]
        );
    }
}
