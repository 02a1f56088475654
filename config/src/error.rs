//! What is wrong with a file, said so that its author can put it right.

use std::cell::RefCell;
use std::fmt;

use crate::text::Text;

/// The most errors that are told at once; one more then says how many are left.
pub const ERRORS_MAX: usize = 1_000;

/// A place in a file: line and column from 1, the column in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One fault of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// The file, as it was named.
    pub file: String,
    /// Where in it; `None` if it is the file itself.
    pub place: Option<Place>,
    /// What is there.
    pub found: String,
    /// What would be right.
    pub expected: String,
    /// How to go on.
    pub remedy: String,
}

impl Error {
    pub(crate) fn of_file(file: &str, found: String, expected: &str, remedy: &str) -> Error {
        Error {
            file: file.to_owned(),
            place: None,
            found,
            expected: expected.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

impl fmt::Display for Error {
    /// `file:line:column: found …; expected …; remedy`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(
            f,
            " found {}; expected {}; {}",
            self.found, self.expected, self.remedy
        )
    }
}

impl std::error::Error for Error {}

/// The errors of a run, bounded.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    list: Vec<Error>,
    left_out: usize,
}

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match self.list.len() < ERRORS_MAX {
            true => self.list.push(error),
            false => self.left_out += 1,
        }
    }

    pub(crate) fn into_list(mut self) -> Vec<Error> {
        if self.left_out > 0 {
            let file = self.list.last().map_or("", |error| &error.file).to_owned();
            let found = format!("{} more errors", self.left_out);
            let last = Error::of_file(&file, found, "none", "correct those above first");
            self.list.push(last);
        }
        self.list
    }
}

/// The errors of the configuration file, collected by all who read it.
#[derive(Debug)]
pub(crate) struct Report<'t> {
    pub(crate) text: Text<'t>,
    pub(crate) errors: RefCell<Errors>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: Text<'t>) -> Report<'t> {
        Report {
            text,
            errors: RefCell::default(),
        }
    }

    /// Adds a fault at an offset of the text.
    pub(crate) fn add(
        &self,
        at: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (file, place) = self.text.site(at);
        self.errors.borrow_mut().push(Error {
            file,
            place,
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
        });
    }

    /// All faults in the order of the file; those of other files after them.
    pub(crate) fn into_errors(self) -> Vec<Error> {
        let mut errors = self.errors.into_inner();
        let name = self.text.name;
        errors
            .list
            .sort_by_key(|error| (error.file != name, error.place));
        errors.into_list()
    }
}
