//! The store in a file: SQLite, with its log ahead of it, and synced at each commit.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, params_from_iter};

use crate::error::StoreError;
use crate::session::{Row, Session, Value};

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Sqlite(Connection);

impl Sqlite {
    /// Opens a file; makes it only if `create` is said.
    pub(crate) fn open(path: &Path, create: Create) -> Result<Sqlite, StoreError> {
        let place = || path.display().to_string();
        let unreachable = |error: rusqlite::Error| {
            StoreError::Unreachable(place(), format!("{error}; see [store] path"))
        };
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match create {
            Create::IfMissing => flags |= OpenFlags::SQLITE_OPEN_CREATE,
            Create::Never if !path.exists() => return Err(StoreError::NotInitialised(place())),
            Create::Never => {}
        }
        if let (Create::IfMissing, Some(folder)) = (create, path.parent()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::File(folder.to_owned(), error))?;
        }
        let connection = Connection::open_with_flags(path, flags).map_err(unreachable)?;
        connection.busy_timeout(PATIENCE).map_err(unreachable)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            )
            .map_err(unreachable)?;
        Ok(Sqlite(connection))
    }
}

/// Whether what is not there is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Create {
    IfMissing,
    Never,
}

fn refused(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            StoreError::Damaged(error.to_string())
        }
        _ => StoreError::Refused(error.to_string()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Bytes(value.to_owned()),
        ValueRef::Null | ValueRef::Real(_) => Value::Null,
    }
}

impl Session for Sqlite {
    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(refused)?;
        let touched = statement.execute(params_from_iter(values));
        touched.map(|rows| rows as u64).map_err(refused)
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(refused)?;
        let columns = statement.column_count();
        let rows = statement.query_map(params_from_iter(values), |row| {
            let cells = (0..columns).map(|at| row.get_ref(at).map(owned));
            cells.collect::<rusqlite::Result<Vec<Value>>>().map(Row)
        });
        let rows = rows.map_err(refused)?;
        rows.collect::<rusqlite::Result<Vec<Row>>>()
            .map_err(refused)
    }

    fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.0.execute_batch(sql).map_err(refused)
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.script("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.script("COMMIT")
    }

    fn undo(&mut self) {
        // It fails only if the transaction has ended by an error of its own: then it is undone.
        let _ = self.script("ROLLBACK");
    }

    fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1";
        Ok(!self.rows(sql, &[name.into()])?.is_empty())
    }
}
