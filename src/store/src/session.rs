//! The seam: what a database has to do for the store. `sqlite.rs` and `postgresql.rs` do it.
//!
//! Both understand the statements of this crate, with `$1`, `$2`, … for values in the order of their
//! first use, so that everything above this line is written, and tested, once.

use crate::error::StoreError;

/// A value of a row or of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A connection to a database.
pub(crate) trait Session: Send {
    /// Runs one statement; how many rows it touched.
    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError>;

    /// Asks for rows.
    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError>;

    /// Runs statements without values.
    fn script(&mut self, sql: &str) -> Result<(), StoreError>;

    /// Begins a transaction that writes. There is one at a time: another waits.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Ends it: all of it holds, after a loss of power too.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Ends it: nothing of it holds.
    fn undo(&mut self);

    /// Whether there is a table of this name.
    fn has_table(&mut self, name: &str) -> Result<bool, StoreError>;
}

/// A row of an answer.
#[derive(Debug)]
pub(crate) struct Row(pub(crate) Vec<Value>);

impl Row {
    /// A number that is never NULL.
    pub(crate) fn int(&self, at: usize) -> Result<i64, StoreError> {
        self.int_or_null(at)?.ok_or_else(|| unlike(at))
    }

    /// A number.
    pub(crate) fn int_or_null(&self, at: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(at) {
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(unlike(at)),
        }
    }

    /// A text.
    pub(crate) fn text(&self, at: usize) -> Result<&str, StoreError> {
        match self.0.get(at) {
            Some(Value::Text(value)) => Ok(value),
            _ => Err(unlike(at)),
        }
    }

    /// Octets.
    pub(crate) fn bytes(&self, at: usize) -> Result<&[u8], StoreError> {
        match self.0.get(at) {
            Some(Value::Bytes(value)) => Ok(value),
            _ => Err(unlike(at)),
        }
    }
}

/// A value of another type than the schema says: somebody has written who should not.
fn unlike(at: usize) -> StoreError {
    StoreError::Damaged(format!("a row whose column {at} is of another type"))
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Value {
        value.map_or(Value::Null, Value::Int)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Value {
        Value::Bytes(value.to_owned())
    }
}
