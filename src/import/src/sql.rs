//! Tables of an SQL dump: what `mysqldump` and `pg_dump --inserts` write, and people by hand.
//!
//! Read are `CREATE TABLE` for the order of the columns, and `INSERT INTO`. Everything else is passed
//! over. Texts are in single or double quotes, where a doubled quote or a backslash stands before what
//! is meant literally.

use std::path::Path;

use crate::table::{Row, Table};

/// Whether it has a statement that is read.
pub(crate) fn looks_like_it(text: &str) -> bool {
    const LOOK_BYTES: usize = 4_096;
    let head: String = text.chars().take(LOOK_BYTES).collect();
    let head = head.to_ascii_uppercase();
    head.contains("INSERT INTO ") || head.contains("CREATE TABLE ")
}

/// Reads it.
pub(crate) fn read(path: &Path, text: &str) -> Result<Vec<Table>, (u64, String)> {
    let mut tables: Vec<Table> = Vec::new();
    let mut words = Words::new(text);
    while let Some(word) = words.next()? {
        if word.is("CREATE") {
            if words.peek_is("TABLE")? {
                words.next()?;
                create(path, &mut words, &mut tables)?;
            }
        } else if word.is("INSERT") && words.peek_is("INTO")? {
            words.next()?;
            insert(path, &mut words, &mut tables)?;
        }
    }
    tables.retain(|table| !table.rows.is_empty());
    Ok(tables)
}

/// The columns of a table, from the names that begin each of its parts.
fn create(path: &Path, words: &mut Words<'_>, tables: &mut Vec<Table>) -> Result<(), Fault> {
    while words.peek_is("IF")? || words.peek_is("NOT")? || words.peek_is("EXISTS")? {
        words.next()?;
    }
    let name = name(words)?;
    const NO_COLUMNS: [&str; 9] = [
        "PRIMARY",
        "KEY",
        "UNIQUE",
        "INDEX",
        "CONSTRAINT",
        "FULLTEXT",
        "FOREIGN",
        "CHECK",
        "EXCLUDE",
    ];
    if !words.take("(")? {
        return Ok(());
    }
    let mut columns = Vec::new();
    let (mut depth, mut begins) = (1, true);
    while depth > 0 {
        let Some(word) = words.next()? else { break };
        match word.text.as_ref() {
            "(" if !word.quoted => depth += 1,
            ")" if !word.quoted => depth -= 1,
            "," if !word.quoted && depth == 1 => begins = true,
            _ if begins => {
                begins = false;
                let is_column = word.quoted || !NO_COLUMNS.iter().any(|it| word.is(it));
                if is_column {
                    columns.push(word.text.to_lowercase());
                }
            }
            _ => {}
        }
    }
    table(path, tables, &name).columns = columns;
    Ok(())
}

fn insert(path: &Path, words: &mut Words<'_>, tables: &mut Vec<Table>) -> Result<(), Fault> {
    let name = name(words)?;
    let mut named = Vec::new();
    if words.take("(")? {
        while let Some(word) = words.next()? {
            match word.text.as_ref() {
                ")" => break,
                "," => {}
                _ => named.push(word.text.to_lowercase()),
            }
        }
    }
    if !words.peek_is("VALUES")? {
        return Err((words.line, "an INSERT without VALUES".to_owned()));
    }
    words.next()?;
    let table = table(path, tables, &name);
    if named.is_empty() {
        named.clone_from(&table.columns);
    }
    if table.columns.is_empty() {
        table.columns.clone_from(&named);
    }
    let places: Vec<Option<usize>> = table
        .columns
        .iter()
        .map(|column| named.iter().position(|name| name == column))
        .collect();
    loop {
        if !words.take("(")? {
            break;
        }
        let line = words.line;
        let values = values(words)?;
        if named.is_empty() {
            let words = "an INSERT that names no columns, and no CREATE TABLE before it".to_owned();
            return Err((line, words));
        }
        if values.len() != named.len() {
            let words = format!("{} values for {} columns", values.len(), named.len());
            return Err((line, words));
        }
        let cell = |place: &Option<usize>| values[(*place)?].clone();
        let cells = places.iter().map(cell).collect();
        table.rows.push(Row { line, cells });
        if !words.take(",")? {
            break;
        }
    }
    Ok(())
}

/// The values of a row, to its closing parenthesis.
fn values(words: &mut Words<'_>) -> Result<Vec<Option<String>>, Fault> {
    let mut values: Vec<Option<String>> = Vec::new();
    let mut value: Option<String> = None;
    loop {
        let Some(word) = words.next()? else {
            return Err((words.line, "a row that does not end".to_owned()));
        };
        match (word.quoted, word.text.as_ref()) {
            (false, ")") => {
                values.push(value);
                return Ok(values);
            }
            (false, ",") => values.push(value.take()),
            (false, _) if word.is("NULL") => {}
            // `E'…'`, `_binary '…'`, `-1` and casts come in several words.
            (quoted, text) => {
                let before = value.take().filter(|_| !quoted).unwrap_or_default();
                value = Some(before + text);
            }
        }
    }
}

/// The name of a table, without its schema.
fn name(words: &mut Words<'_>) -> Result<String, Fault> {
    let mut name = words.next()?.map(|word| word.text.to_lowercase());
    while words.take(".")? {
        name = words.next()?.map(|word| word.text.to_lowercase());
    }
    let line = words.line;
    name.map(|name| name.rsplit('.').next().unwrap_or_default().to_owned())
        .ok_or((line, "a statement without the name of a table".to_owned()))
}

fn table<'t>(path: &Path, tables: &'t mut Vec<Table>, name: &str) -> &'t mut Table {
    let at = tables.iter().position(|table| table.name == name);
    let at = at.unwrap_or_else(|| {
        tables.push(Table {
            name: name.to_owned(),
            file: path.to_owned(),
            columns: Vec::new(),
            rows: Vec::new(),
        });
        tables.len() - 1
    });
    &mut tables[at]
}

type Fault = (u64, String);

struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    fn is(&self, word: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(word)
    }
}

/// The words of SQL: names, numbers, texts and single marks; comments are passed over.
struct Words<'t> {
    rest: &'t str,
    line: u64,
    peeked: Option<Word>,
}

impl<'t> Words<'t> {
    fn new(text: &'t str) -> Words<'t> {
        Words {
            rest: text,
            line: 1,
            peeked: None,
        }
    }

    fn next(&mut self) -> Result<Option<Word>, Fault> {
        match self.peeked.take() {
            Some(word) => Ok(Some(word)),
            None => self.read(),
        }
    }

    fn peek_is(&mut self, word: &str) -> Result<bool, Fault> {
        if self.peeked.is_none() {
            self.peeked = self.read()?;
        }
        Ok(self.peeked.as_ref().is_some_and(|it| it.is(word)))
    }

    /// Takes the next word if it is this mark.
    fn take(&mut self, mark: &str) -> Result<bool, Fault> {
        let is_it = self.peek_is(mark)?;
        if is_it {
            self.peeked = None;
        }
        Ok(is_it)
    }

    fn skip(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.line += gone.bytes().filter(|octet| *octet == b'\n').count() as u64;
        self.rest = rest;
    }

    fn read(&mut self) -> Result<Option<Word>, Fault> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.skip(blank);
            let comment_ends = if self.rest.starts_with("--") || self.rest.starts_with('#') {
                "\n"
            } else if self.rest.starts_with("/*") {
                "*/"
            } else {
                break;
            };
            let end = self.rest.find(comment_ends);
            self.skip(end.map_or(self.rest.len(), |end| end + comment_ends.len()));
        }
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        if matches!(first, '\'' | '"' | '`') {
            return self.quoted(first).map(Some);
        }
        let is_part = |letter: char| letter.is_alphanumeric() || "_.$+-".contains(letter);
        let length = match self.rest.find(|letter| !is_part(letter)) {
            _ if !is_part(first) => first.len_utf8(),
            Some(length) => length,
            None => self.rest.len(),
        };
        let text = self.rest[..length].to_owned();
        self.skip(length);
        Ok(Some(Word {
            text,
            quoted: false,
        }))
    }

    fn quoted(&mut self, quote: char) -> Result<Word, Fault> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1).peekable();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' if quote != '`' => match letters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, other)) => text.push(other),
                    None => break,
                },
                _ if letter == quote && letters.peek().is_some_and(|(_, it)| *it == quote) => {
                    letters.next();
                    text.push(quote);
                }
                _ if letter == quote => {
                    self.skip(at + 1);
                    return Ok(Word { text, quoted: true });
                }
                _ => text.push(letter),
            }
        }
        Err((self.line, format!("a text in {quote} that does not end")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_dump_of_mysql() {
        let text = "-- MySQL dump\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `dr_gateways`;\n\
            CREATE TABLE `dr_gateways` (\n  `id` int(10) unsigned NOT NULL AUTO_INCREMENT,\n  `gwid` char(64) NOT NULL,\n  \
            `address` char(128) NOT NULL,\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `dr_gw_idx` (`gwid`)\n) ENGINE=InnoDB;\n\
            INSERT INTO `dr_gateways` VALUES (1,'a','sip:192.0.2.1'),\n(2,'it''s \\'b\\'',NULL);\n";
        assert!(looks_like_it(text));
        let tables = read(Path::new("x.sql"), text).unwrap();
        let [table] = &tables[..] else {
            panic!("{tables:?}")
        };
        assert_eq!(table.name, "dr_gateways");
        assert_eq!(table.columns, ["id", "gwid", "address"]);
        let cell = |row: usize, at: usize| table.rows[row].cells[at].as_deref();
        assert_eq!(cell(0, 2), Some("sip:192.0.2.1"));
        assert_eq!((cell(1, 1), cell(1, 2)), (Some("it's 'b'"), None));
        assert_eq!(table.rows[1].line, 12);
    }

    #[test]
    fn a_dump_of_postgresql_names_its_columns() {
        let text = "INSERT INTO public.address (id, grp, ip_addr) VALUES (1, 2, '192.0.2.1');\n\
            INSERT INTO public.address (ip_addr, grp) VALUES ('192.0.2.2', -3);\n";
        let tables = read(Path::new("x.sql"), text).unwrap();
        assert_eq!(tables[0].columns, ["id", "grp", "ip_addr"]);
        let cells = &tables[0].rows[1].cells;
        assert_eq!(
            cells[..],
            [None, Some("-3".to_owned()), Some("192.0.2.2".to_owned())]
        );
    }

    #[test]
    fn faults_have_their_lines() {
        let why = |text: &str| read(Path::new("x"), text).unwrap_err();
        assert_eq!(why("\nINSERT INTO a VALUES (1);").0, 2);
        assert_eq!(
            why("INSERT INTO a (b) VALUES (1, 2);").1,
            "2 values for 1 columns"
        );
        assert_eq!(
            why("INSERT INTO a (b) VALUES ('x").1,
            "a text in ' that does not end"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(INSERT|INTO|CREATE|TABLE|VALUES|[a-z(),'`\"\\\\;. \n0-9-]{0,4}){0,40}") {
            let _ = read(Path::new("x"), &text);
        }
    }
}
