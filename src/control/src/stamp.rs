//! By what it is seen that a file is another one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file as it was when it was looked at. Equal are two looks at one file that has not changed,
/// under whatever names: a deck that two generations of a store share is one file with two.
#[derive(Clone, Debug)]
pub(crate) struct FileStamp {
    pub(crate) path: PathBuf,
    /// Device and number: a file that was moved here is another one, whatever its times.
    file: (u64, u64),
    length: u64,
    modified: Option<SystemTime>,
}

impl PartialEq for FileStamp {
    fn eq(&self, other: &FileStamp) -> bool {
        let facts = |it: &FileStamp| (it.file, it.length, it.modified);
        facts(self) == facts(other)
    }
}

impl Eq for FileStamp {}

impl FileStamp {
    /// Looks at a file.
    pub(crate) fn of(path: &Path) -> Result<FileStamp, String> {
        let metadata = fs::metadata(path).map_err(|error| {
            let path = path.display();
            format!("{path}: {error}; name a file that this user may read")
        })?;
        Ok(FileStamp {
            path: path.to_owned(),
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}
