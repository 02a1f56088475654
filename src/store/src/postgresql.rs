//! The store in a server: PostgreSQL.
//!
//! The session has a small runtime of its own, which drives the connection while somebody waits for
//! an answer. Whoever uses it may block; nobody else calls it.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::error::StoreError;
use crate::session::{Row, Session, Value};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take: the deck of a large carrier, from a busy server.
const ANSWER: Duration = Duration::from_secs(300);
/// How long a writer waits for another one.
const LOCK_MS: u32 = 60_000;
/// One writer at a time, while others read; the number is this program's own.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(5060)";

pub(crate) struct Postgresql {
    // Before the runtime: it is dropped first.
    client: Client,
    statements: HashMap<String, Statement>,
    runtime: Runtime,
}

impl Postgresql {
    /// Connects. `url` has no password in it.
    pub(crate) fn connect(url: &str, password: Option<&str>) -> Result<Postgresql, StoreError> {
        let unreachable = |why: String| {
            let why = format!("{why}; see [store] url, and whether the server runs");
            StoreError::Unreachable(url.to_owned(), why)
        };
        let mut config: Config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| unreachable(told(&error)))?;
        if let Some(password) = password {
            config.password(password);
        }
        config
            .application_name("trunkline")
            .connect_timeout(CONNECT);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        let client = runtime.block_on(async {
            let made = timeout(CONNECT, config.connect(NoTls)).await;
            let (client, connection) = made
                .map_err(|_| unreachable(format!("no answer within {CONNECT:?}")))?
                .map_err(|error| unreachable(told(&error)))?;
            // When it ends, what is asked next is refused with the reason.
            tokio::spawn(connection);
            Ok(client)
        })?;
        let mut session = Postgresql {
            client,
            statements: HashMap::new(),
            runtime,
        };
        session.script(&format!("SET lock_timeout = {LOCK_MS}"))?;
        Ok(session)
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = answered(&self.runtime, self.client.prepare(sql))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// The password that a file holds, without the end of its line.
pub(crate) fn password_of(file: &Path) -> Result<String, StoreError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| StoreError::File(file.to_owned(), error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Drives the connection until the answer is there.
fn answered<T>(
    runtime: &Runtime,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    match runtime.block_on(async { timeout(ANSWER, asked).await }) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StoreError::Refused(told(&error))),
        Err(_) => {
            let why = format!("no answer within {ANSWER:?}");
            Err(StoreError::Refused(why))
        }
    }
}

/// An error with what the server says about it, which the driver keeps to itself otherwise.
fn told(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A value as the driver wants it. Only numbers may be NULL in this schema.
fn borrowed(value: &Value) -> &(dyn ToSql + Sync) {
    match value {
        Value::Null => &None::<i64>,
        Value::Int(value) => value,
        Value::Text(value) => value,
        Value::Bytes(value) => value,
    }
}

fn owned(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let cell = |(at, column): (usize, &tokio_postgres::Column)| {
        let value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(at).map(Value::from),
            Type::INT4 => row
                .try_get::<_, Option<i32>>(at)
                .map(|value| Value::from(value.map(i64::from))),
            Type::BYTEA => row
                .try_get::<_, Option<Vec<u8>>>(at)
                .map(|value| value.map_or(Value::Null, Value::Bytes)),
            _ => row
                .try_get::<_, Option<String>>(at)
                .map(|value| value.map_or(Value::Null, Value::Text)),
        };
        value.map_err(|error| StoreError::Damaged(told(&error)))
    };
    let cells = row.columns().iter().enumerate().map(cell);
    cells.collect::<Result<Vec<Value>, StoreError>>().map(Row)
}

impl Session for Postgresql {
    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        let values: Vec<_> = values.iter().map(borrowed).collect();
        answered(&self.runtime, self.client.execute(&statement, &values))
    }

    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql)?;
        let values: Vec<_> = values.iter().map(borrowed).collect();
        let rows = answered(&self.runtime, self.client.query(&statement, &values))?;
        rows.iter().map(owned).collect()
    }

    fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        answered(&self.runtime, self.client.batch_execute(sql))
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.script(BEGIN)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.script("COMMIT")
    }

    fn undo(&mut self) {
        // Where the connection is gone, the server undoes it.
        let _ = self.script("ROLLBACK");
    }

    fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM information_schema.tables \
                   WHERE table_schema = current_schema() AND table_name = $1";
        Ok(!self.rows(sql, &[name.into()])?.is_empty())
    }
}
