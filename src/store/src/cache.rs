//! Generations on this machine: written out as files, for whoever reads worlds from files.
//!
//! ```text
//!   <state_dir>/store/contents/<hash>            each content once
//!   <state_dir>/store/generations/<id>-<what>/   world.toml, and its files as links to contents
//!   <state_dir>/store/last                       the name of the folder that was in force last
//! ```
//!
//! A deck that two generations have is one file on this disk, with one date: so it is read once, and
//! taken as it is from then on. And a node whose database is down has a world to start with.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::Part;
use sha2::{Digest, Sha256};

use crate::document::Document;
use crate::error::StoreError;
use crate::generation::Generation;
use crate::store::{Kept, Store};
use crate::world::WORLD_FILE;

/// What is left of an earlier generation, or of another program that looked at one, goes after this.
const UNUSED: Duration = Duration::from_secs(3_600);

/// A generation on this machine.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its number.
    pub id: u64,
    /// Who made it and why; `None` where the database could not be asked.
    pub generation: Option<Generation>,
    /// Its objects as one text, in TOML.
    pub text: String,
    /// Where each object begins in that.
    pub parts: Vec<Part>,
    /// The folder with the files that the objects name.
    pub folder: PathBuf,
}

impl Fetched {
    /// What errors call it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("store, generation {}", self.id)
    }
}

/// The folder of a node's generations.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

impl Cache {
    /// That of a node which keeps its own things in `state_dir`.
    #[must_use]
    pub fn of(state_dir: &Path) -> Cache {
        Cache(state_dir.join("store"))
    }

    /// Brings a generation here.
    ///
    /// # Errors
    /// The database or the disk fails.
    pub fn fetch(&self, store: &mut Store, generation: Generation) -> Result<Fetched, StoreError> {
        let document = store.document(generation.id)?;
        let files = store.files(generation.id)?;
        let (text, parts) = document.text();
        let folder = self
            .0
            .join("generations")
            .join(folder_name(generation.id, &text, &files));
        if !folder.is_dir() {
            self.write(store, &folder, &text, &files)?;
        }
        Ok(Fetched {
            id: generation.id,
            generation: Some(generation),
            text,
            parts,
            folder,
        })
    }

    /// Writes a generation's folder, which is there whole or not at all.
    fn write(
        &self,
        store: &mut Store,
        folder: &Path,
        text: &str,
        files: &[Kept],
    ) -> Result<(), StoreError> {
        let unfinished = unfinished(folder);
        create_folder(&unfinished)?;
        for file in files {
            let content = self.content(store, file)?;
            let link = unfinished.join(&file.path);
            create_folder(link.parent().unwrap_or(&unfinished))?;
            at(&link, fs::hard_link(&content, &link))?;
        }
        write_whole(&unfinished.join(WORLD_FILE), text.as_bytes())?;
        match fs::rename(&unfinished, folder) {
            Ok(()) => Ok(()),
            // Another program was faster with the same.
            Err(_) if folder.is_dir() => at(&unfinished, fs::remove_dir_all(&unfinished)),
            Err(error) => Err(StoreError::File(folder.to_owned(), error)),
        }
    }

    /// The file of a content, brought here if it is missing.
    fn content(&self, store: &mut Store, file: &Kept) -> Result<PathBuf, StoreError> {
        let folder = self.0.join("contents");
        let path = folder.join(&file.hash);
        if fs::metadata(&path).is_ok_and(|there| there.len() == file.bytes) {
            return Ok(path);
        }
        create_folder(&folder)?;
        let unfinished = unfinished(&path);
        let mut out = BufWriter::new(at(&unfinished, File::create(&unfinished))?);
        store.write(&file.hash, &mut out, &unfinished)?;
        let out = at(
            &unfinished,
            out.into_inner().map_err(io::IntoInnerError::into_error),
        )?;
        // Every generation that has it shares it: nobody may change it by way of one of them.
        let read_only = fs::Permissions::from_mode(0o440);
        at(&unfinished, out.set_permissions(read_only))?;
        at(&unfinished, out.sync_all())?;
        at(&path, fs::rename(&unfinished, &path))?;
        Ok(path)
    }

    /// Notes that this is the one to start with when the database is down, and drops what nobody
    /// needs any more.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remember(&self, fetched: &Fetched) -> Result<(), StoreError> {
        let before = self.last_folder();
        let name = fetched.folder.file_name().unwrap_or_default();
        let last = self.0.join("last");
        let unfinished = unfinished(&last);
        write_whole(&unfinished, name.as_encoded_bytes())?;
        at(&last, fs::rename(&unfinished, &last))?;
        let is_used = |path: &Path| path == fetched.folder || Some(path) == before.as_deref();
        for path in entries(&self.0.join("generations"))? {
            if !is_used(&path) && is_old(&path) {
                at(&path, fs::remove_dir_all(&path))?;
            }
        }
        for path in entries(&self.0.join("contents"))? {
            let is_linked = fs::metadata(&path).is_ok_and(|there| there.nlink() > 1);
            if !is_linked && is_old(&path) {
                at(&path, fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    fn last_folder(&self) -> Option<PathBuf> {
        let name = fs::read_to_string(self.0.join("last")).ok()?;
        let folder = self.0.join("generations").join(name);
        folder.is_dir().then_some(folder)
    }

    /// The generation that was in force last; `None` if there was none, or it is not whole.
    #[must_use]
    pub fn last(&self) -> Option<Fetched> {
        let folder = self.last_folder()?;
        let name = folder.file_name()?.to_str()?;
        let id = name.split_once('-')?.0.parse().ok()?;
        let text = fs::read_to_string(folder.join(WORLD_FILE)).ok()?;
        let (text, parts) = Document::of_text(&text).ok()?.0.text();
        Some(Fetched {
            id,
            generation: None,
            text,
            parts,
            folder,
        })
    }
}

/// Copies a generation into a folder of somebody's own, to look at, to change, or to keep.
///
/// # Errors
/// The folder has something in it, or the database or the disk fails.
pub fn export(store: &mut Store, id: u64, folder: &Path) -> Result<Vec<Kept>, StoreError> {
    create_folder(folder)?;
    if !entries(folder)?.is_empty() {
        let why = io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something in it; name a folder that is empty or not there",
        );
        return Err(StoreError::File(folder.to_owned(), why));
    }
    let (text, _) = store.document(id)?.text();
    let files = store.files(id)?;
    for file in &files {
        let path = folder.join(&file.path);
        create_folder(path.parent().unwrap_or(folder))?;
        let mut out = BufWriter::new(at(&path, File::create(&path))?);
        store.write(&file.hash, &mut out, &path)?;
        at(&path, out.flush())?;
    }
    write_whole(&folder.join(WORLD_FILE), text.as_bytes())?;
    Ok(files)
}

/// The same number may be another world in another database, so what it is belongs to the name.
fn folder_name(id: u64, text: &str, files: &[Kept]) -> String {
    let mut hash = Sha256::new();
    hash.update(text.as_bytes());
    for file in files {
        hash.update(format!("\n{}\0{}", file.path, file.hash));
    }
    let hash = hash.finalize();
    let digits: String = hash
        .iter()
        .take(8)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("{id}-{digits}")
}

/// What a file or folder is called while it is written, by this process and thread.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(
        ".{}-{:?}.part",
        std::process::id(),
        std::thread::current().id()
    ));
    name.into()
}

fn create_folder(path: &Path) -> Result<(), StoreError> {
    at(path, fs::create_dir_all(path))
}

fn write_whole(path: &Path, octets: &[u8]) -> Result<(), StoreError> {
    let mut file = at(path, File::create(path))?;
    at(path, file.write_all(octets))?;
    at(path, file.sync_all())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            at(folder, paths.collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::File(folder.to_owned(), error)),
    }
}

fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|there| there.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age > UNUSED)
}

fn at<T>(path: &Path, outcome: io::Result<T>) -> Result<T, StoreError> {
    outcome.map_err(|error| StoreError::File(path.to_owned(), error))
}
