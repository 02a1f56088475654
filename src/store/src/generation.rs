//! A generation: which one, who made it, when and why.

use std::fmt;

use jiff::Timestamp;

use crate::error::StoreError;
use crate::session::Row;

/// A generation of the routing world, without its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generation {
    /// Its number. Numbers rise, and none is used twice.
    pub id: u64,
    /// What was in force when it was staged.
    pub parent: Option<u64>,
    /// The generation whose content it brought back.
    pub restores: Option<u64>,
    /// Whether it was committed.
    pub is_kept: bool,
    /// Who committed it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When it was staged, in seconds since 1970.
    pub staged_at: i64,
    /// When it was committed.
    pub kept_at: Option<i64>,
}

/// The columns that [`Generation::of_row`] reads.
pub(crate) const COLUMNS: &str = "id, parent, restores, state, author, comment, staged_at, kept_at";

impl Generation {
    pub(crate) fn of_row(row: &Row) -> Result<Generation, StoreError> {
        Ok(Generation {
            id: number(row.int(0)?)?,
            parent: row.int_or_null(1)?.map(number).transpose()?,
            restores: row.int_or_null(2)?.map(number).transpose()?,
            is_kept: row.text(3)? == "kept",
            author: row.text(4)?.to_owned(),
            comment: row.text(5)?.to_owned(),
            staged_at: row.int(6)?,
            kept_at: row.int_or_null(7)?,
        })
    }
}

/// The number of a generation, from the database.
pub(crate) fn number(id: i64) -> Result<u64, StoreError> {
    u64::try_from(id).map_err(|_| StoreError::Damaged(format!("a generation {id}")))
}

/// This moment, in seconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}

impl fmt::Display for Generation {
    /// `generation 12, 2026-11-21 14:03:09 UTC, by anna: Beta's new prices`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = Timestamp::from_second(self.kept_at.unwrap_or(self.staged_at));
        let moment = moment.unwrap_or(Timestamp::UNIX_EPOCH);
        let moment = moment.strftime("%Y-%m-%d %H:%M:%S UTC");
        let id = self.id;
        match self.is_kept {
            true => write!(
                f,
                "generation {id}, {moment}, by {}: {}",
                self.author, self.comment
            ),
            false => write!(f, "generation {id}, staged {moment}"),
        }
    }
}
