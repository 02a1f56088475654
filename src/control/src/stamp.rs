//! By what it is seen that a file is another one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file as it was when it was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileStamp {
    pub(crate) path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    /// Another file that was moved here is another one, whatever its times.
    inode: u64,
}

impl FileStamp {
    /// Looks at a file.
    pub(crate) fn of(path: &Path) -> Result<FileStamp, String> {
        let metadata = fs::metadata(path).map_err(|error| {
            let path = path.display();
            format!("{path}: {error}; name a file that this user may read")
        })?;
        Ok(FileStamp {
            path: path.to_owned(),
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
        })
    }
}
