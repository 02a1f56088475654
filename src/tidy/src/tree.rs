//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source::Source;

/// The root of the repository, from where this crate stands in it.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("tidy stands two folders below the root")
        .to_path_buf()
}

/// All files, by their path from the root, in order; what is built or kept by git is left out.
#[must_use]
pub fn files() -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort();
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            let built = matches!(name.as_str(), "target" | ".git" | ".state" | "corpus");
            if !built && !name.starts_with("target-") {
                walk(root, &path, found);
            }
        } else if name == ".git" {
            // In a second work tree it is a file, and no part of the project.
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.push(relative.to_string_lossy().into_owned());
        }
    }
}

/// The text of a file, bytes that are no UTF-8 replaced. Empty if it went away meanwhile.
#[must_use]
pub fn text(file: &str) -> String {
    let bytes = fs::read(root().join(file)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All Rust sources.
#[must_use]
pub fn sources() -> Vec<Source> {
    files()
        .into_iter()
        .filter(|file| file.ends_with(".rs"))
        .map(|file| {
            let text = text(&file);
            Source::new(file, text)
        })
        .collect()
}
