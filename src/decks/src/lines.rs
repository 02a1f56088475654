//! The lines of a deck: of a text file in whatever encoding, or of a sheet of a workbook, one at a time.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calamine::{DataRef, Reader, Xlsx, XlsxError};
use csv::{ByteRecord, ReaderBuilder, Terminator};
use encoding_rs::Encoding;

use crate::Dialect;

/// The most octets of one line: more is a quote that is never closed.
pub const LINE_BYTES_MAX: usize = 256 * 1_024;
/// The most columns of a sheet.
pub const COLUMNS_MAX: usize = 1_024;

/// What is in one place of a line.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// What is written there.
    Text(String),
    /// A number of a workbook, which has no notation.
    Number(f64),
}

/// A line, with its number from 1. The same one is filled again for each.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Line {
    number: u32,
    cells: Vec<Cell>,
    used: usize,
}

impl Line {
    /// Which it is, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its cells, up to the last that has something.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells[..self.used]
    }

    /// The text of a cell; empty if there is none, and a number as it is written without an exponent.
    #[must_use]
    pub fn text(&self, column: usize) -> std::borrow::Cow<'_, str> {
        match self.cells().get(column) {
            None => "".into(),
            Some(Cell::Text(text)) => text.as_str().into(),
            Some(Cell::Number(number)) => number.to_string().into(),
        }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.filled() == 0
    }

    /// How many cells have something in them.
    #[must_use]
    pub fn filled(&self) -> usize {
        let has = |cell: &&Cell| match cell {
            Cell::Text(text) => !text.trim().is_empty(),
            Cell::Number(_) => true,
        };
        self.cells().iter().filter(has).count()
    }

    fn begin(&mut self, number: u32) {
        self.number = number;
        self.used = 0;
    }

    /// Puts a text into a column; those before it that were not named are empty. Memory of the line
    /// before is used again.
    fn put_text(&mut self, column: usize, text: &str) {
        self.reach(column);
        match &mut self.cells[column] {
            Cell::Text(cell) => {
                cell.clear();
                cell.push_str(text);
            }
            cell => *cell = Cell::Text(text.to_owned()),
        }
    }

    fn put_number(&mut self, column: usize, number: f64) {
        self.reach(column);
        self.cells[column] = Cell::Number(number);
    }

    fn reach(&mut self, column: usize) {
        while self.used <= column {
            match self.cells.get_mut(self.used) {
                Some(Cell::Text(text)) => text.clear(),
                Some(cell) => *cell = Cell::Text(String::new()),
                None => self.cells.push(Cell::Text(String::new())),
            }
            self.used += 1;
        }
    }
}

/// Why a file could not be read to its end.
#[derive(Debug)]
pub enum Unreadable {
    /// The system says so.
    Io(io::Error),
    /// It is no regular file.
    NotAFile,
    /// It looks like a workbook and is none, or a damaged one.
    Workbook(String),
    /// It is a workbook of a kind that is not read.
    OldWorkbook,
    /// The sheet of the dialect is not in it.
    NoSheet {
        /// Which was asked for.
        asked: String,
        /// Which there are.
        there: Vec<String>,
    },
    /// A quote that opens in this line is never closed.
    OpenQuote {
        /// The line.
        line: u32,
    },
    /// Octets that mean nothing in the encoding.
    BadText {
        /// The line.
        line: u32,
        /// The encoding.
        encoding: &'static str,
    },
    /// More columns than a deck can have.
    TooWide {
        /// The line.
        line: u32,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Io(error) => write!(f, "cannot be read: {error}"),
            Unreadable::NotAFile => f.write_str("is no regular file"),
            Unreadable::Workbook(what) => write!(
                f,
                "is no whole workbook: {what}; save it again as XLSX or CSV"
            ),
            Unreadable::OldWorkbook => {
                f.write_str("is a workbook of the old kind (XLS); save it as XLSX or CSV")
            }
            Unreadable::NoSheet { asked, there } => {
                write!(f, "has no sheet `{asked}`; it has {}", there.join(", "))
            }
            Unreadable::OpenQuote { line } => write!(
                f,
                "line {line}: a quotation mark opens here and is not closed within {LINE_BYTES_MAX} octets; take it out or double it"
            ),
            Unreadable::BadText { line, encoding } => write!(
                f,
                "line {line}: octets that are no {encoding}; name the `encoding` in the dialect"
            ),
            Unreadable::TooWide { line } => {
                write!(
                    f,
                    "line {line}: more than {COLUMNS_MAX} columns; is the `delimiter` right?"
                )
            }
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable::Io(error)
    }
}

/// A file whose kind is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    path: PathBuf,
    kind: Kind,
    /// How long the file is, in octets.
    bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text {
        encoding: &'static Encoding,
        bom: u64,
    },
    Workbook,
}

/// How much of a text is looked at to tell what it is.
const SAMPLE_BYTES: u64 = 1 << 20;

impl Source {
    /// Looks what a file is: by its first octets, not by its name.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(path: &Path, dialect: &Dialect) -> Result<Source, Unreadable> {
        let meta = std::fs::metadata(path)?;
        if !meta.is_file() {
            return Err(Unreadable::NotAFile);
        }
        let mut sample = Vec::new();
        File::open(path)?
            .take(SAMPLE_BYTES)
            .read_to_end(&mut sample)?;
        let kind = match sample.as_slice() {
            [b'P', b'K', 3, 4, ..] => Kind::Workbook,
            [0xd0, 0xcf, 0x11, 0xe0, ..] => return Err(Unreadable::OldWorkbook),
            sample => text_kind(sample, dialect),
        };
        Ok(Source {
            path: path.to_owned(),
            kind,
            bytes: meta.len(),
        })
    }

    /// How long the file is, in octets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sheets of a workbook; one without a name for a text.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn sheets(&self) -> Result<Vec<String>, Unreadable> {
        match self.kind {
            Kind::Text { .. } => Ok(vec![String::new()]),
            Kind::Workbook => Ok(self.workbook()?.sheet_names()),
        }
    }

    /// Hands out each line of a text, or of one sheet of a workbook, that has something in it, until
    /// `each` has enough.
    ///
    /// # Errors
    /// Why it could not be read to its end.
    pub fn each_line(
        &self,
        sheet: &str,
        delimiter: u8,
        each: &mut dyn FnMut(&Line) -> ControlFlow<()>,
    ) -> Result<(), Unreadable> {
        match self.kind {
            Kind::Text { encoding, bom } => self.each_of_text(encoding, bom, delimiter, each),
            Kind::Workbook => self.each_of_sheet(sheet, each),
        }
    }

    /// What parts the fields of the first lines: what is in most of them, the same number of times.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn delimiter(&self) -> Result<u8, Unreadable> {
        let mut best = (0, b',');
        if matches!(self.kind, Kind::Workbook) {
            return Ok(b',');
        }
        for delimiter in [b',', b';', b'\t', b'|'] {
            let mut widths: Vec<usize> = Vec::new();
            self.each_line("", delimiter, &mut |line| {
                widths.push(line.cells().len());
                match widths.len() < 100 {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })
            .or_else(|error| match error {
                Unreadable::Io(_) => Err(error),
                // Another one may fit.
                _ => Ok(()),
            })?;
            widths.sort_unstable();
            let usual = widths.get(widths.len() / 2).copied().unwrap_or(0);
            let alike = widths.iter().filter(|&&width| width == usual).count();
            let score = if usual > 1 { alike * usual.min(20) } else { 0 };
            if score > best.0 {
                best = (score, delimiter);
            }
        }
        Ok(best.1)
    }

    fn workbook(&self) -> Result<Xlsx<BufReader<File>>, Unreadable> {
        Xlsx::new(BufReader::new(File::open(&self.path)?)).map_err(damaged)
    }

    fn each_of_sheet(
        &self,
        sheet: &str,
        each: &mut dyn FnMut(&Line) -> ControlFlow<()>,
    ) -> Result<(), Unreadable> {
        let mut workbook = self.workbook()?;
        let there = workbook.sheet_names();
        if !there.iter().any(|name| name == sheet) {
            let asked = sheet.to_owned();
            return Err(Unreadable::NoSheet { asked, there });
        }
        let mut cells = workbook.worksheet_cells_reader(sheet).map_err(damaged)?;
        let mut line = Line::default();
        while let Some(cell) = cells.next_cell().map_err(damaged)? {
            let (row, column) = cell.get_position();
            let number = row.saturating_add(1);
            if number != line.number {
                if !line.is_blank() && each(&line).is_break() {
                    return Ok(());
                }
                line.begin(number);
            }
            let column = column as usize;
            if column >= COLUMNS_MAX {
                return Err(Unreadable::TooWide { line: number });
            }
            put(&mut line, column, cell.get_value());
        }
        if !line.is_blank() {
            let _ = each(&line);
        }
        Ok(())
    }

    fn each_of_text(
        &self,
        encoding: &'static Encoding,
        bom: u64,
        delimiter: u8,
        each: &mut dyn FnMut(&Line) -> ControlFlow<()>,
    ) -> Result<(), Unreadable> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(bom))?;
        let text = Decoded::new(BufReader::new(file), encoding);
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            // So that the reader's line is always the next one; a carriage return is taken off below.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(text.chain(&b"\n"[..]));
        let mut record = ByteRecord::new();
        let mut line = Line::default();
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(Unreadable::Io(error.into())),
            }
            let within = record.as_slice().iter().filter(|&&octet| octet == b'\n');
            let number = reader
                .position()
                .line()
                .saturating_sub(1 + within.count() as u64);
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if record.as_slice().len() > LINE_BYTES_MAX {
                // It took the end of the last line with it.
                let begun = record.position().map_or(0, csv::Position::line);
                let line = number.max(u32::try_from(begun).unwrap_or(u32::MAX));
                return Err(Unreadable::OpenQuote { line });
            }
            if record.len() > COLUMNS_MAX {
                return Err(Unreadable::TooWide { line: number });
            }
            line.begin(number);
            for (column, field) in record.iter().enumerate() {
                let bad = |_| Unreadable::BadText {
                    line: number,
                    encoding: encoding.name(),
                };
                let field = field.strip_suffix(b"\r").unwrap_or(field);
                line.put_text(column, std::str::from_utf8(field).map_err(bad)?);
            }
            if !line.is_blank() && each(&line).is_break() {
                return Ok(());
            }
        }
    }
}

fn damaged(error: XlsxError) -> Unreadable {
    Unreadable::Workbook(error.to_string())
}

fn text_kind(sample: &[u8], dialect: &Dialect) -> Kind {
    if let Some((encoding, bom)) = Encoding::for_bom(sample) {
        let bom = bom as u64;
        return Kind::Text { encoding, bom };
    }
    let named = dialect.encoding.as_ref();
    let named = named.and_then(|label| Encoding::for_label(label.as_bytes()));
    let guessed = || match std::str::from_utf8(sample) {
        Ok(_) => encoding_rs::UTF_8,
        // The sample may end within a character.
        Err(error) if error.error_len().is_none() => encoding_rs::UTF_8,
        Err(_) => encoding_rs::WINDOWS_1252,
    };
    Kind::Text {
        encoding: named.unwrap_or_else(guessed),
        bom: 0,
    }
}

fn put(line: &mut Line, column: usize, value: &DataRef<'_>) {
    match value {
        DataRef::Empty => {}
        DataRef::Int(number) => line.put_number(column, *number as f64),
        DataRef::Float(number) => line.put_number(column, *number),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            line.put_text(column, text);
        }
        DataRef::SharedString(text) => line.put_text(column, text),
        DataRef::Bool(is_true) => line.put_text(column, if *is_true { "true" } else { "false" }),
        DataRef::DateTime(stamp) => {
            let (year, month, day, hour, minute, second, _) = stamp.to_ymd_hms_milli();
            let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            line.put_text(column, &text);
        }
        DataRef::Error(error) => line.put_text(column, &error.to_string()),
    }
}

/// A text in UTF-8, whatever it is in the file. What is UTF-8 already goes through as it is, so that
/// what is wrong in it is seen with its line.
struct Decoded<R> {
    from: R,
    decoder: Option<encoding_rs::Decoder>,
    ready: Vec<u8>,
    taken: usize,
    is_done: bool,
}

impl<R: BufRead> Decoded<R> {
    fn new(from: R, encoding: &'static Encoding) -> Decoded<R> {
        let is_plain = encoding == encoding_rs::UTF_8;
        Decoded {
            from,
            decoder: (!is_plain).then(|| encoding.new_decoder_without_bom_handling()),
            ready: Vec::new(),
            taken: 0,
            is_done: false,
        }
    }
}

impl<R: BufRead> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else {
            return self.from.read(buffer);
        };
        while self.taken == self.ready.len() && !self.is_done {
            let raw = self.from.fill_buf()?;
            self.is_done = raw.is_empty();
            let room = decoder
                .max_utf8_buffer_length(raw.len())
                .ok_or_else(|| io::Error::other("a line too long to decode"))?;
            self.ready.resize(room, 0);
            let (_, read, written, _) = decoder.decode_to_utf8(raw, &mut self.ready, self.is_done);
            self.ready.truncate(written);
            self.taken = 0;
            self.from.consume(read);
        }
        let count = buffer.len().min(self.ready.len() - self.taken);
        buffer[..count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(octets: &[u8], dialect: &Dialect) -> Result<Vec<(u32, Vec<String>)>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(octets).unwrap();
        let source = Source::open(file.path(), dialect).map_err(|it| it.to_string())?;
        let delimiter = source.delimiter().map_err(|it| it.to_string())?;
        let mut lines = Vec::new();
        let all = source.each_line("", delimiter, &mut |line| {
            let cells = (0..line.cells().len()).map(|column| line.text(column).into_owned());
            lines.push((line.number(), cells.collect()));
            ControlFlow::Continue(())
        });
        all.map_err(|it| it.to_string()).map(|()| lines)
    }

    fn plain(octets: &[u8]) -> Vec<Vec<String>> {
        let lines = lines(octets, &Dialect::default()).unwrap();
        lines.into_iter().map(|(_, cells)| cells).collect()
    }

    #[test]
    fn one_table_in_many_encodings() {
        let text = "Ziel;Preis\nMünchen;0,01\nKöln;0,02\n";
        let want = [["Ziel", "Preis"], ["München", "0,01"], ["Köln", "0,02"]];
        let utf_16 = |big: bool| {
            let mut octets = if big {
                vec![0xfe, 0xff]
            } else {
                vec![0xff, 0xfe]
            };
            for unit in text.encode_utf16() {
                octets.extend(if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                });
            }
            octets
        };
        let western = text
            .replace('ü', "\u{1}")
            .replace('ö', "\u{2}")
            .into_bytes();
        let western: Vec<u8> = (western.into_iter())
            .map(|octet| match octet {
                1 => 0xfc,
                2 => 0xf6,
                other => other,
            })
            .collect();
        let with_bom = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
        for octets in [
            text.as_bytes().to_vec(),
            with_bom,
            utf_16(true),
            utf_16(false),
            western,
        ] {
            assert_eq!(plain(&octets), want, "{octets:?}");
        }
        let cyrillic = Dialect {
            encoding: Some("koi8-r".to_owned()),
            ..Dialect::default()
        };
        assert_eq!(
            lines(&[b'a', b',', 0xcd], &cyrillic).unwrap()[0].1,
            ["a", "м"]
        );
    }

    #[test]
    fn delimiters_tell_themselves() {
        for octets in [
            "a,b\n1,\"2,5\"\n",
            "a;b\n1;2,5\n",
            "a\tb\n1\t2,5\n",
            "a|b\n1|2,5\n",
        ] {
            assert_eq!(
                plain(octets.as_bytes()),
                [["a", "b"], ["1", "2,5"]],
                "{octets:?}"
            );
        }
        assert_eq!(plain(b"alone\n"), [["alone"]]);
        assert!(plain(b"").is_empty());
    }

    #[test]
    fn lines_keep_their_numbers() {
        let read = lines(
            b"a,b\r\n\r\n\"two\nlines\",c\r\nd,e\r\n",
            &Dialect::default(),
        )
        .unwrap();
        let numbers: Vec<u32> = read.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 3, 5]);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let told = |octets: &[u8]| lines(octets, &Dialect::default()).unwrap_err();
        let mut late = vec![b'x'; 2 << 20];
        for at in (0..late.len()).step_by(64) {
            late[at] = b'\n';
        }
        late.extend([b'\n', 0xff, b'\n']);
        assert!(told(&late).contains("no UTF-8"), "{}", told(&late));
        let mut open = b"a,b\n1,\"2\n".to_vec();
        open.resize(LINE_BYTES_MAX * 2, b'3');
        assert!(
            told(&open).starts_with("line 2: a quotation mark"),
            "{}",
            told(&open)
        );
        assert!(told(b"PK\x03\x04rubbish").contains("no whole workbook"));
        assert!(told(&[0xd0, 0xcf, 0x11, 0xe0, 0]).contains("XLS"));
        let wide = vec![b','; COLUMNS_MAX + 1];
        assert!(told(&wide).contains("columns"));
        let folder = Source::open(Path::new("/"), &Dialect::default()).unwrap_err();
        assert!(matches!(folder, Unreadable::NotAFile));
    }
}
