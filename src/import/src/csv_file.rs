//! A table as CSV with a heading, as database clients export it.

use crate::table::{Content, Row};

/// Reads it. `NULL` and `\N` are nothing.
pub(crate) fn read(text: &str) -> Content {
    let separator = separator(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .from_reader(text.as_bytes());
    let bad = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        (line, error.to_string())
    };
    let headers = reader.headers().map_err(bad)?.clone();
    let columns: Vec<String> = headers.iter().map(|it| it.trim().to_lowercase()).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != columns.len() {
            let words = format!("{} cells under {} titles", record.len(), columns.len());
            return Err((line, words));
        }
        let cell = |cell: &str| match cell {
            "NULL" | "\\N" => None,
            _ => Some(cell.to_owned()),
        };
        rows.push(Row {
            line,
            cells: record.iter().map(cell).collect(),
        });
    }
    Ok((columns, rows))
}

/// The one of the usual separators that the heading has most of.
fn separator(text: &str) -> u8 {
    let heading = text.lines().next().unwrap_or_default();
    let count = |octet: &u8| heading.bytes().filter(|it| it == octet).count();
    *[b',', b';', b'\t', b'|']
        .iter()
        .rev()
        .max_by_key(|octet| count(octet))
        .unwrap_or(&b',')
}
