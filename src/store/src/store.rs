//! The store: generations of the routing world, one of which is the head, the one in force.
//!
//! ```text
//!   stage ──▶ staged ──commit──▶ kept (and the head)
//!               │ discard          │ prune: the oldest, when there are too many
//!               ▼                  ▼
//!             gone               gone
//! ```
//!
//! Every change is one transaction, and writers go one after the other. So whatever ends a program
//! or a machine in the middle leaves all as it was before, or as it is after.

use std::path::Path;

use config::{Password, StoreKind};

use crate::content;
use crate::document::{Document, Object};
use crate::error::StoreError;
use crate::generation::{COLUMNS, Generation, now, number};
use crate::postgresql::{Postgresql, password_of};
use crate::schema;
use crate::session::{Session, Value};
use crate::sqlite::{Create, Sqlite};
use crate::world::{World, is_inside};

/// The most generations that are staged at a time.
pub const STAGED_MAX: usize = 64;

/// A store, opened. It may be used from any thread, by one at a time, and waits for the database:
/// never from a shard.
pub struct Store {
    session: Box<dyn Session>,
    keep: usize,
}

/// A file of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its name in the world.
    pub path: String,
    /// The SHA-256 of its content, in hex.
    pub hash: String,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Store {
    /// Makes a store in a database, or brings an older one up to date; the schema it had (0: none)
    /// and has.
    ///
    /// # Errors
    /// The database cannot be reached, or belongs to a later version of the program.
    pub fn init(at: &config::Store) -> Result<(i64, i64), StoreError> {
        schema::migrate(&mut *session(at, Create::IfMissing)?)
    }

    /// Opens a store.
    ///
    /// # Errors
    /// The database cannot be reached, or has no store of this version.
    pub fn open(at: &config::Store) -> Result<Store, StoreError> {
        let mut session = session(at, Create::Never)?;
        schema::check(&mut *session, &place(at))?;
        Ok(Store {
            session,
            keep: at.keep,
        })
    }

    /// Puts a world into the store, as a change of what is in force. It takes no effect.
    ///
    /// # Errors
    /// The database or a file fails.
    pub fn stage(&mut self, world: &World) -> Result<Generation, StoreError> {
        self.transact(|session| {
            let id = begin_generation(session, None)?;
            for (object, position) in world.document.objects.iter().zip(0_i64..) {
                session.run(
                    "INSERT INTO object (generation, position, kind, name, body) \
                     VALUES ($1, $2, $3, $4, $5)",
                    &[
                        id.into(),
                        position.into(),
                        (&*object.kind).into(),
                        (&*object.name).into(),
                        (&*object.body).into(),
                    ],
                )?;
            }
            for (path, file) in &world.files {
                let hash = content::put(session, file)?;
                session.run(
                    "INSERT INTO file (generation, path, content) VALUES ($1, $2, $3)",
                    &[id.into(), (&**path).into(), (&*hash).into()],
                )?;
            }
            generation(session, number(id)?)
        })
    }

    /// Stages the content of a generation that was in force once.
    ///
    /// # Errors
    /// There is no such generation, or the database fails.
    pub fn stage_again(&mut self, old: u64) -> Result<Generation, StoreError> {
        self.transact(|session| {
            let old = generation(session, old)?;
            if !old.is_kept {
                return Err(StoreError::NotKept(old.id));
            }
            let from: Value = int(old.id).into();
            let id = begin_generation(session, Some(int(old.id)))?;
            session.run(
                "INSERT INTO object (generation, position, kind, name, body) \
                 SELECT CAST($1 AS BIGINT), position, kind, name, body FROM object \
                 WHERE generation = $2",
                &[id.into(), from.clone()],
            )?;
            session.run(
                "INSERT INTO file (generation, path, content) \
                 SELECT CAST($1 AS BIGINT), path, content FROM file WHERE generation = $2",
                &[id.into(), from],
            )?;
            generation(session, number(id)?)
        })
    }

    /// Makes a staged generation the head, and drops the oldest ones if there are too many.
    ///
    /// # Errors
    /// Another one was committed since it was staged; or the database fails. The head stays.
    pub fn commit(
        &mut self,
        id: u64,
        author: &str,
        comment: &str,
    ) -> Result<Generation, StoreError> {
        if author.trim().is_empty() {
            return Err(StoreError::NotSaid("an author: --author NAME"));
        }
        if comment.trim().is_empty() {
            return Err(StoreError::NotSaid("a comment: --comment TEXT"));
        }
        let keep = self.keep;
        self.transact(|session| {
            let staged = generation(session, id)?;
            if staged.is_kept {
                return Err(StoreError::NotStaged(id));
            }
            let head = head(session)?;
            if let Some(head) = head
                && staged.parent != Some(head)
            {
                return Err(StoreError::Moved {
                    staged: id,
                    parent: staged.parent,
                    head,
                });
            }
            session.run(
                "UPDATE generation SET state = 'kept', author = $1, comment = $2, kept_at = $3 \
                 WHERE id = $4",
                &[
                    author.trim().into(),
                    comment.trim().into(),
                    now().into(),
                    int(id).into(),
                ],
            )?;
            session.run("UPDATE store SET head = $1", &[int(id).into()])?;
            prune(session, keep)?;
            generation(session, id)
        })
    }

    /// Drops a staged generation.
    ///
    /// # Errors
    /// It is not staged, or the database fails.
    pub fn discard(&mut self, id: u64) -> Result<(), StoreError> {
        self.transact(|session| {
            if generation(session, id)?.is_kept {
                return Err(StoreError::NotStaged(id));
            }
            drop_generation(session, int(id))?;
            sweep(session)
        })
    }

    /// The generation in force.
    ///
    /// # Errors
    /// Nothing was committed yet, or the database fails.
    pub fn head(&mut self) -> Result<Generation, StoreError> {
        let head = head(&mut *self.session)?.ok_or(StoreError::NoHead)?;
        generation(&mut *self.session, head)
    }

    /// The staged generation of this number, or the only one.
    ///
    /// # Errors
    /// There is none, or several and it was not said which; or the database fails.
    pub fn staged(&mut self, id: Option<u64>) -> Result<Generation, StoreError> {
        if let Some(id) = id {
            let found = generation(&mut *self.session, id)?;
            return match found.is_kept {
                true => Err(StoreError::NotStaged(id)),
                false => Ok(found),
            };
        }
        let mut all = self.log()?;
        all.retain(|generation| !generation.is_kept);
        match all.len() {
            0 => Err(StoreError::NothingStaged),
            1 => Ok(all.remove(0)),
            _ => {
                let ids = all.iter().map(|generation| generation.id);
                Err(StoreError::SeveralStaged(ids.collect()))
            }
        }
    }

    /// One generation.
    ///
    /// # Errors
    /// There is no such, or the database fails.
    pub fn generation(&mut self, id: u64) -> Result<Generation, StoreError> {
        generation(&mut *self.session, id)
    }

    /// All generations, the latest first.
    ///
    /// # Errors
    /// The database fails.
    pub fn log(&mut self) -> Result<Vec<Generation>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM generation ORDER BY id DESC");
        let rows = self.session.rows(&sql, &[])?;
        rows.iter().map(Generation::of_row).collect()
    }

    /// The objects of a generation.
    ///
    /// # Errors
    /// The database fails.
    pub fn document(&mut self, id: u64) -> Result<Document, StoreError> {
        let rows = self.session.rows(
            "SELECT kind, name, body FROM object WHERE generation = $1 ORDER BY position",
            &[int(id).into()],
        )?;
        let object = |row: &crate::session::Row| {
            Ok(Object {
                kind: row.text(0)?.to_owned(),
                name: row.text(1)?.to_owned(),
                body: row.text(2)?.to_owned(),
            })
        };
        let objects = rows.iter().map(object).collect::<Result<_, StoreError>>()?;
        Ok(Document { objects })
    }

    /// The files of a generation, without their content.
    ///
    /// # Errors
    /// The database fails, or a file has a name that leads elsewhere.
    pub fn files(&mut self, id: u64) -> Result<Vec<Kept>, StoreError> {
        let rows = self.session.rows(
            "SELECT file.path, file.content, content.bytes FROM file \
             JOIN content ON content.hash = file.content \
             WHERE file.generation = $1 ORDER BY file.path",
            &[int(id).into()],
        )?;
        let kept = |row: &crate::session::Row| {
            let path = row.text(0)?;
            if !is_inside(path) {
                return Err(StoreError::Damaged(format!("a file named `{path}`")));
            }
            Ok(Kept {
                path: path.to_owned(),
                hash: row.text(1)?.to_owned(),
                bytes: number(row.int(2)?)?,
            })
        };
        rows.iter().map(kept).collect()
    }

    /// Writes the content of a file.
    ///
    /// # Errors
    /// The database fails, the disk does, or the content is not what was put in.
    pub(crate) fn write(
        &mut self,
        hash: &str,
        out: &mut impl std::io::Write,
        path: &Path,
    ) -> Result<(), StoreError> {
        content::get(&mut *self.session, hash, out, path)
    }

    /// Looks whether all that is there is whole: each content is what its name says, the head is a
    /// kept generation, and nothing is there that no generation has.
    ///
    /// # Errors
    /// What is not.
    pub fn audit(&mut self) -> Result<(), StoreError> {
        let damaged = |what: String| Err(StoreError::Damaged(what));
        if let Some(head) = head(&mut *self.session)?
            && !generation(&mut *self.session, head)?.is_kept
        {
            return damaged(format!("the head {head} was never committed"));
        }
        for generation in self.log()? {
            let document = self.document(generation.id)?;
            let files = self.files(generation.id)?;
            let mut named = document.files();
            named.sort();
            let there: Vec<String> = files.into_iter().map(|file| file.path).collect();
            if named != there {
                return damaged(format!("generation {} lacks files", generation.id));
            }
        }
        let contents = self.session.rows("SELECT hash FROM content", &[])?;
        for row in &contents {
            self.write(row.text(0)?, &mut std::io::sink(), Path::new("-"))?;
        }
        for (orphans, what) in [
            (
                "SELECT 1 FROM content WHERE NOT EXISTS (SELECT 1 FROM file WHERE file.content = content.hash)",
                "contents",
            ),
            (
                "SELECT 1 FROM chunk WHERE NOT EXISTS (SELECT 1 FROM content_chunk WHERE content_chunk.chunk = chunk.hash)",
                "chunks",
            ),
        ] {
            if !self.session.rows(orphans, &[])?.is_empty() {
                return damaged(format!("{what} that no generation has"));
            }
        }
        Ok(())
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let session = &mut *self.session;
        session.begin()?;
        let done = work(session).and_then(|value| session.commit().map(|()| value));
        if done.is_err() {
            session.undo();
        }
        done
    }
}

fn session(at: &config::Store, create: Create) -> Result<Box<dyn Session>, StoreError> {
    match &at.kind {
        StoreKind::Sqlite(path) => Ok(Box::new(Sqlite::open(path, create)?)),
        StoreKind::Postgresql(url, password) => {
            let password = match password {
                Password::None => None,
                Password::File(file) => Some(password_of(file)?),
                Password::Environment(name) => Some(std::env::var(name).map_err(|_| {
                    let why = format!("the environment has no {name}; see [store] password_env");
                    StoreError::Unreachable(url.clone(), why)
                })?),
            };
            Ok(Box::new(Postgresql::connect(url, password.as_deref())?))
        }
    }
}

/// What a store is called.
fn place(at: &config::Store) -> String {
    match &at.kind {
        StoreKind::Sqlite(path) => path.display().to_string(),
        StoreKind::Postgresql(url, _) => url.clone(),
    }
}

fn int(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn head(session: &mut dyn Session) -> Result<Option<u64>, StoreError> {
    let rows = session.rows("SELECT head FROM store", &[])?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Damaged("no head".to_owned()))?;
    row.int_or_null(0)?.map(number).transpose()
}

fn generation(session: &mut dyn Session, id: u64) -> Result<Generation, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM generation WHERE id = $1");
    let rows = session.rows(&sql, &[int(id).into()])?;
    if let Some(row) = rows.first() {
        return Generation::of_row(row);
    }
    let rows = session.rows("SELECT id FROM generation ORDER BY id DESC", &[])?;
    let there = rows.iter().map(|row| number(row.int(0)?));
    Err(StoreError::NoGeneration(
        id,
        there.collect::<Result<_, _>>()?,
    ))
}

/// A new staged generation on the head, without content yet.
fn begin_generation(session: &mut dyn Session, restores: Option<i64>) -> Result<i64, StoreError> {
    let staged = session.rows("SELECT id FROM generation WHERE state = 'staged'", &[])?;
    if staged.len() >= STAGED_MAX {
        return Err(StoreError::TooManyStaged(staged.len()));
    }
    let rows = session.rows("SELECT next, head FROM store", &[])?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Damaged("no head".to_owned()))?;
    let (id, parent) = (row.int(0)?, row.int_or_null(1)?);
    session.run("UPDATE store SET next = $1", &[(id + 1).into()])?;
    session.run(
        "INSERT INTO generation (id, parent, restores, state, author, comment, staged_at) \
         VALUES ($1, $2, $3, 'staged', '', '', $4)",
        &[id.into(), parent.into(), restores.into(), now().into()],
    )?;
    Ok(id)
}

/// Drops the oldest kept generations, and what was staged before the oldest that stays.
fn prune(session: &mut dyn Session, keep: usize) -> Result<(), StoreError> {
    let rows = session.rows(
        "SELECT id FROM generation WHERE state = 'kept' ORDER BY id DESC",
        &[],
    )?;
    let Some(oldest) = rows.get(keep.max(1) - 1) else {
        return Ok(());
    };
    let oldest = oldest.int(0)?;
    let gone = session.rows("SELECT id FROM generation WHERE id < $1", &[oldest.into()])?;
    for row in &gone {
        drop_generation(session, row.int(0)?)?;
    }
    match gone.is_empty() {
        true => Ok(()),
        false => sweep(session),
    }
}

fn drop_generation(session: &mut dyn Session, id: i64) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM file WHERE generation = $1",
        "DELETE FROM object WHERE generation = $1",
        "DELETE FROM generation WHERE id = $1",
    ] {
        session.run(sql, &[id.into()])?;
    }
    Ok(())
}

/// Drops what no generation has any more.
fn sweep(session: &mut dyn Session) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM content_chunk WHERE NOT EXISTS (SELECT 1 FROM file WHERE file.content = content_chunk.content)",
        "DELETE FROM content WHERE NOT EXISTS (SELECT 1 FROM file WHERE file.content = content.hash)",
        "DELETE FROM chunk WHERE NOT EXISTS (SELECT 1 FROM content_chunk WHERE content_chunk.chunk = chunk.hash)",
    ] {
        session.run(sql, &[])?;
    }
    Ok(())
}
