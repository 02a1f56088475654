//! A table of db_text: a heading `name(type,options) …`, then a row a line with `:` between cells.
//!
//! A backslash takes the meaning from what follows: `\:`, `\\`, `\n`, `\r`, `\t`, `\0`.

use crate::table::{Content, Row};

const TYPES: [&str; 5] = ["int", "double", "string", "str", "blob"];

/// Whether the first line is such a heading.
pub(crate) fn looks_like_it(text: &str) -> bool {
    columns(text.lines().next().unwrap_or_default()).is_some()
}

/// Reads it.
pub(crate) fn read(text: &str) -> Content {
    let mut lines = text.lines().zip(1..);
    let heading = lines.next().map(|(line, _)| line).unwrap_or_default();
    let columns = columns(heading).ok_or((1, "no heading of db_text".to_owned()))?;
    let mut rows = Vec::new();
    for (text, line) in lines {
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let cells = cells(text);
        if cells.len() != columns.len() {
            let words = format!("{} cells under {} columns", cells.len(), columns.len());
            return Err((line, words));
        }
        rows.push(Row { line, cells });
    }
    Ok((columns, rows))
}

fn columns(heading: &str) -> Option<Vec<String>> {
    let names = heading.split_whitespace().map(|word| {
        let (name, kind) = word.strip_suffix(')')?.split_once('(')?;
        let kind = kind.split(',').next()?;
        TYPES.contains(&kind).then(|| name.to_lowercase())
    });
    let names: Option<Vec<String>> = names.collect();
    names.filter(|names| !names.is_empty())
}

fn cells(line: &str) -> Vec<Option<String>> {
    let mut cells = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut().expect("there is always one");
        match letter {
            ':' => cells.push(String::new()),
            '\\' => match letters.next() {
                Some('n') => cell.push('\n'),
                Some('r') => cell.push('\r'),
                Some('t') => cell.push('\t'),
                Some('0') => cell.push('\0'),
                Some(other) => cell.push(other),
                None => cell.push('\\'),
            },
            _ => cell.push(letter),
        }
    }
    cells.into_iter().map(Some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_and_escaped_cells() {
        let text = "gwid(int,auto) type(int) address(string) attrs(string,null)\n1:0:sip\\:192.0.2.1\\:5060:\n";
        assert!(looks_like_it(text));
        let (columns, rows) = read(text).unwrap();
        assert_eq!(columns, ["gwid", "type", "address", "attrs"]);
        let cells: Vec<_> = rows[0].cells.iter().flatten().collect();
        assert_eq!(cells, ["1", "0", "sip:192.0.2.1:5060", ""]);
        assert_eq!(rows[0].line, 2);
    }

    #[test]
    fn what_is_none() {
        assert!(!looks_like_it("prefix,gwlist\n"));
        assert!(!looks_like_it(""));
        assert_eq!(
            read("a(int) b(int)\n1\n").unwrap_err(),
            (2, "1 cells under 2 columns".to_owned())
        );
    }
}
