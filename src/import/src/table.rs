//! A table of any of the forms in which it is at hand, with the line that each row came from.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Rows under the names of their columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// What the database calls it: `dr_rules`.
    pub name: String,
    /// Where it was read.
    pub file: PathBuf,
    /// Its columns, in lower case.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The line of the file.
    pub line: u64,
    /// By column; nothing for NULL.
    pub cells: Vec<Option<String>>,
}

/// Why a file was not read.
#[derive(Debug)]
pub enum NotRead {
    /// It cannot be.
    Io(PathBuf, io::Error),
    /// It is of no form that is known.
    Form(PathBuf),
    /// It is, but for this.
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRead::Io(file, error) => write!(f, "{}: {error}", file.display()),
            NotRead::Form(file) => write!(
                f,
                "{}: neither a dispatcher's list, nor a table of db_text, nor CSV with a heading, nor \
                 an SQL dump with INSERT; name the file after its table, such as dr_rules.csv",
                file.display()
            ),
            NotRead::Line { file, line, why } => {
                write!(f, "{}: line {line}: {why}", file.display())
            }
        }
    }
}

impl std::error::Error for NotRead {}

impl Table {
    /// The place of a column, if the table has it.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Each row as something to ask by the names of columns.
    pub fn each(&self) -> impl Iterator<Item = Asked<'_>> {
        self.rows.iter().map(|row| Asked { table: self, row })
    }
}

/// A row with its table.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'t> {
    pub(crate) table: &'t Table,
    row: &'t Row,
}

impl<'t> Asked<'t> {
    /// What a column says; nothing for NULL, for an empty cell and for a column that is not there.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&'t str> {
        let cell = self.row.cells.get(self.table.column(column)?)?;
        cell.as_deref()
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
    }

    /// A number; what is none is as if it were not there.
    #[must_use]
    pub fn number(&self, column: &str) -> Option<i64> {
        self.get(column)?.parse().ok()
    }

    /// The line of the file.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.row.line
    }
}

/// Reads the tables of a file, whatever its form.
///
/// # Errors
/// Why it cannot be read.
pub fn read(path: &Path) -> Result<Vec<Table>, NotRead> {
    let octets = fs::read(path).map_err(|error| NotRead::Io(path.to_owned(), error))?;
    // Names of people are in them in any encoding; what is routed by is ASCII.
    let text = String::from_utf8_lossy(&octets);
    of_text(path, &text)
}

/// As [`read`], of a file's content.
pub(crate) fn of_text(path: &Path, text: &str) -> Result<Vec<Table>, NotRead> {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    let stem = stem.to_string_lossy().to_lowercase();
    let extension = path
        .extension()
        .map(|it| it.to_string_lossy().to_lowercase());
    let failed = |(line, why): (u64, String)| NotRead::Line {
        file: path.to_owned(),
        line,
        why,
    };
    let table = |(columns, rows)| Table {
        name: stem.clone(),
        file: path.to_owned(),
        columns,
        rows,
    };
    if extension.as_deref() == Some("list") {
        return Ok(vec![table(crate::dispatcher::list(text).map_err(failed)?)]);
    }
    if extension.as_deref() == Some("sql") || crate::sql::looks_like_it(text) {
        return crate::sql::read(path, text).map_err(failed);
    }
    if crate::dbtext::looks_like_it(text) {
        return Ok(vec![table(crate::dbtext::read(text).map_err(failed)?)]);
    }
    if crate::KNOWN.contains(&stem.as_str()) {
        return Ok(vec![table(crate::csv_file::read(text).map_err(failed)?)]);
    }
    Err(NotRead::Form(path.to_owned()))
}

/// Columns and rows, or the line and what is wrong with it.
pub(crate) type Content = Result<(Vec<String>, Vec<Row>), (u64, String)>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_file_panics(
            name in "(dr_rules|dr_gateways|address|lcr_gw|lcr_rule|dispatcher)(|\\.csv|\\.list|\\.sql)",
            heading in "(|gwid\\(int\\) address\\(string\\)|ruleid,prefix,gwlist,groupid|grp,ip_addr,mask|setid destination)",
            rows in "([0-9.,:;|=#\n '\"()\\\\a-z/-]{0,30}){0,8}",
            group in proptest::option::of("[0-9]"),
        ) {
            let path = Path::new(&name);
            if let Ok(tables) = of_text(path, &format!("{heading}\n{rows}")) {
                let choice = crate::Choice { group };
                if let Ok(world) = crate::world(&tables, &choice) {
                    let _ = crate::files(&world, None);
                }
            }
        }
    }
}
