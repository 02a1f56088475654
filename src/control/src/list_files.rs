//! The lists of numbers that a configuration names, read from their files.
//!
//! A line is a number: `+493012345` for itself, `+49301*` for all that begin so. What stands behind a
//! comma or a `#` is for people. A list whose file has not changed is taken as it is.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use config::Config;
use route::{ListSpec, Named, Numbers, NumbersBuilder};

use crate::stamp::FileStamp;

/// Faults that are told of one list.
const TOLD_MAX: usize = 50;
/// The longest line.
const LINE_BYTES_MAX: usize = 4_096;

/// The lists of a configuration, as they were read.
#[derive(Debug, Default)]
pub struct Lists(Vec<Read>);

#[derive(Debug)]
struct Read {
    name: String,
    stamp: FileStamp,
    numbers: Arc<Numbers>,
}

impl Lists {
    /// Reads the lists of a configuration that have changed.
    ///
    /// # Errors
    /// All that is wrong with them, a message each.
    pub fn load(config: &Config, previous: Option<&Lists>) -> Result<Lists, Vec<String>> {
        let mut errors = Vec::new();
        let mut lists = Vec::new();
        for list in &config.lists {
            let of_list = |why| vec![format!("list `{}`: {why}", list.name)];
            let read = FileStamp::of(&list.file)
                .map_err(of_list)
                .and_then(|stamp| {
                    let before = previous.and_then(|previous| {
                        let same = previous.0.iter().find(|read| read.stamp == stamp)?;
                        Some(Arc::clone(&same.numbers))
                    });
                    let numbers = match before {
                        Some(numbers) => numbers,
                        None => Arc::new(read(&list.name, &list.file)?),
                    };
                    Ok(Read {
                        name: list.name.clone(),
                        stamp,
                        numbers,
                    })
                });
            match read {
                Ok(read) => lists.push(read),
                Err(told) => errors.extend(told),
            }
        }
        match errors.is_empty() {
            true => Ok(Lists(lists)),
            false => Err(errors),
        }
    }

    /// The lists as the routing world wants them.
    #[must_use]
    pub fn specs(&self) -> Vec<ListSpec> {
        let spec = |read: &Read| ListSpec {
            name: read.name.clone(),
            numbers: Arc::clone(&read.numbers),
        };
        self.0.iter().map(spec).collect()
    }

    /// The name of each list, and how many entries it has.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|read| (&*read.name, read.numbers.len()))
    }

    /// In words, how the lists differ from what they were.
    pub(crate) fn changes_from(&self, old: &Lists) -> Vec<String> {
        let differs = |read: &&Read| {
            !old.0
                .iter()
                .any(|it| it.name == read.name && it.stamp == read.stamp)
        };
        let told = self.0.iter().filter(differs).map(|read| {
            let before = old.0.iter().find(|it| it.name == read.name);
            let was = before.map_or(String::from("new"), |it| {
                format!("{} before", it.numbers.len())
            });
            format!(
                "list `{}` read: {} entries, {was}",
                read.name,
                read.numbers.len()
            )
        });
        told.collect()
    }
}

fn read(name: &str, path: &Path) -> Result<Numbers, Vec<String>> {
    let of_file = |why: String| format!("list `{name}`: {}{why}", path.display());
    let file = File::open(path).map_err(|error| vec![of_file(format!(": {error}"))])?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut builder = NumbersBuilder::new();
    let (mut errors, mut faults, mut number) = (Vec::new(), 0_usize, 0_usize);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut reader, LINE_BYTES_MAX as u64);
        let length = limited
            .read_until(b'\n', &mut line)
            .map_err(|error| vec![of_file(format!(": {error}"))])?;
        if length == 0 {
            break;
        }
        number += 1;
        if length == LINE_BYTES_MAX {
            errors.push(of_file(format!(
                ":{number}: a line of {LINE_BYTES_MAX} octets or more; a number a line"
            )));
            break;
        }
        if let Err(found) = entry(&line, &mut builder) {
            faults += 1;
            if faults <= TOLD_MAX {
                errors.push(of_file(format!(
                    ":{number}: found `{}`; write digits from the country code on, and `*` behind them for all that begin so",
                    found.escape_ascii()
                )));
            }
        }
    }
    if faults > TOLD_MAX {
        errors.push(of_file(format!(": {} faults more", faults - TOLD_MAX)));
    }
    match errors.is_empty() {
        true => Ok(builder.build()),
        false => Err(errors),
    }
}

/// Takes one line; what it has that is no number comes back.
fn entry<'l>(line: &'l [u8], builder: &mut NumbersBuilder) -> Result<(), &'l [u8]> {
    let end = line.iter().position(|octet| b",#".contains(octet));
    let text = line[..end.unwrap_or(line.len())].trim_ascii();
    // A mark of the encoding that spreadsheets put before the first line.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.is_empty() {
        return Ok(());
    }
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let (digits, named) = match digits.strip_suffix(b"*") {
        Some(digits) => (digits, Named::Beginning),
        None => (digits, Named::Exactly),
    };
    builder.add(digits, named).map_err(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_people_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.csv");
        std::fs::write(
            &path,
            "\u{feff}# numbers\n\n+493012345,fraud 2026-11\r\n 49306* # all\n881*",
        )
        .unwrap();
        let numbers = read("fraud", &path).unwrap();
        assert_eq!(numbers.len(), 3);
        let has = |number: &str| numbers.find(number.as_bytes()).is_some();
        assert_eq!(
            ["493012345", "4930123456", "49306123", "8812"].map(has),
            [true, false, true, true]
        );
    }

    #[test]
    fn every_fault_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.csv");
        std::fs::write(&path, "+49\nabc\n+*\n12 34\n").unwrap();
        let told = read("fraud", &path).unwrap_err();
        let lines: Vec<&str> = told
            .iter()
            .map(|it| {
                it.rsplit_once(": found")
                    .unwrap()
                    .0
                    .rsplit_once(':')
                    .unwrap()
                    .1
            })
            .collect();
        assert_eq!(lines, ["2", "3", "4"], "{told:#?}");
        std::fs::write(&path, vec![b'1'; 10_000]).unwrap();
        assert!(read("fraud", &path).unwrap_err()[0].contains("4096 octets"));
        assert!(read("fraud", &dir.path().join("none")).unwrap_err()[0].contains("No such file"));
    }
}
