//! What a cell says which numbers a row is about: `4930`, `+49 30`, `61 38,39`, `4930-4935`.

use std::fmt;

use route::Code;

/// The most codes that one cell may mean, ranges worked out.
pub const CODES_OF_CELL_MAX: usize = 10_000;

/// What stands between the ends of a range.
const DASHES: [char; 3] = ['-', '–', '—'];

/// Why a cell names no codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadCodes {
    /// Nothing is there.
    Empty,
    /// Something that is neither a code nor a range of them.
    NotACode(String),
    /// More digits than a code has.
    TooLong(String),
    /// What a spreadsheet makes of a long number, and its last digits are gone.
    Shortened(String),
    /// A range whose ends differ in length, or that runs backwards.
    BadRange(String),
    /// More than [`CODES_OF_CELL_MAX`].
    TooMany,
}

impl fmt::Display for BadCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadCodes::Empty => f.write_str("no code"),
            BadCodes::NotACode(text) => write!(f, "`{text}`, which is no code"),
            BadCodes::TooLong(text) => {
                write!(
                    f,
                    "`{text}`, which has more than {} digits",
                    Code::DIGITS_MAX
                )
            }
            BadCodes::Shortened(text) => {
                write!(f, "`{text}`, which a spreadsheet has shortened")
            }
            BadCodes::BadRange(text) => write!(f, "`{text}`, which is no range of codes"),
            BadCodes::TooMany => write!(f, "more than {CODES_OF_CELL_MAX} codes"),
        }
    }
}

/// Reads the codes of a cell; `country` is what stands before each, from a column of its own, or
/// nothing.
///
/// Commas, semicolons, strokes and line ends part codes. A blank parts a country from what is under
/// it in the first of them (`61 38,39` is 6138 and 6139) and is a blank in the others.
///
/// # Errors
/// What is wrong with the first that is none.
pub fn codes(country: &str, cell: &str) -> Result<Vec<Code>, BadCodes> {
    let country = digits_of(country.trim())?;
    let mut codes = Vec::new();
    let mut before = country;
    let items = cell.split([',', ';', '|', '/', '\n', '\r']);
    let items: Vec<&str> = items
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect();
    let mut rest = items.as_slice();
    // `61 38,39`, but not `61 38, 61 39`.
    if let [first, others @ ..] = rest
        && !others.is_empty()
        && !others.iter().any(|item| item.contains(char::is_whitespace))
        && let Some((head, item)) = first.split_once(char::is_whitespace)
        && !is_dash(item)
        && !head.ends_with(DASHES)
    {
        before.push_str(&digits_of(head)?);
        add(&before, item.trim(), &mut codes)?;
        rest = others;
    }
    for item in rest {
        add(&before, item, &mut codes)?;
        if codes.len() > CODES_OF_CELL_MAX {
            return Err(BadCodes::TooMany);
        }
    }
    match (codes.is_empty(), before.is_empty()) {
        // A row for the whole country: its column says all.
        (true, false) => Ok(vec![code(&before)?]),
        (true, true) => Err(BadCodes::Empty),
        (false, _) => Ok(codes),
    }
}

fn is_dash(text: &str) -> bool {
    text.trim_start().starts_with(DASHES)
}

/// One code, or a range.
fn add(before: &str, item: &str, codes: &mut Vec<Code>) -> Result<(), BadCodes> {
    let Some((from, to)) = item.split_once(DASHES) else {
        codes.push(code(&format!("{before}{}", digits_of(item)?))?);
        return Ok(());
    };
    let bad = || BadCodes::BadRange(item.to_owned());
    let (from, to) = (digits_of(from.trim())?, digits_of(to.trim())?);
    if from.is_empty() || to.is_empty() || to.len() > from.len() {
        return Err(bad());
    }
    // `4930-35`: the end says only what differs.
    let to = format!("{}{to}", &from[..from.len() - to.len()]);
    if to < from {
        return Err(bad());
    }
    if before.len() + from.len() > Code::DIGITS_MAX {
        return Err(BadCodes::TooLong(item.to_owned()));
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
    cover(before, number(&from)?, number(&to)?, from.len(), codes)
}

/// The fewest codes that are all of a range: `4930-4949` is `493` and `494`.
fn cover(
    before: &str,
    from: u64,
    to: u64,
    width: usize,
    codes: &mut Vec<Code>,
) -> Result<(), BadCodes> {
    let mut next = from;
    while next <= to {
        // The largest block of ten, a hundred … that begins here and ends in the range.
        let mut size = 1_u64;
        let mut digits = width;
        while digits > 1 && next.is_multiple_of(size * 10) && next + (size * 10 - 1) <= to {
            size *= 10;
            digits -= 1;
        }
        let block = next / size;
        codes.push(code(&format!("{before}{block:0digits$}"))?);
        if codes.len() > CODES_OF_CELL_MAX {
            return Err(BadCodes::TooMany);
        }
        next += size;
    }
    Ok(())
}

fn code(digits: &str) -> Result<Code, BadCodes> {
    if digits.len() > Code::DIGITS_MAX {
        return Err(BadCodes::TooLong(digits.to_owned()));
    }
    Code::new(digits.as_bytes()).ok_or_else(|| BadCodes::NotACode(digits.to_owned()))
}

/// The digits of a code without what people put around and between them.
fn digits_of(text: &str) -> Result<String, BadCodes> {
    let bare = text.strip_prefix('\'').unwrap_or(text);
    let bare = bare.strip_prefix('+').unwrap_or(bare);
    // A spreadsheet's number: `4930.0`.
    let bare = bare.strip_suffix(".0").unwrap_or(bare);
    let digits: String = bare
        .chars()
        .filter(|c| !matches!(c, '(' | ')' | '.') && !c.is_whitespace())
        .collect();
    if digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Ok(digits);
    }
    let is_shortened = bare
        .split_once(['e', 'E'])
        .is_some_and(|(mantissa, power)| {
            let digits = |text: &str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|it| it.is_ascii_digit() || it == b'.' || it == b',')
            };
            digits(mantissa) && power.strip_prefix('+').is_some_and(digits)
        });
    Err(match is_shortened {
        true => BadCodes::Shortened(text.to_owned()),
        false => BadCodes::NotACode(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(country: &str, cell: &str) -> Result<String, String> {
        codes(country, cell)
            .map(|codes| {
                codes
                    .iter()
                    .map(Code::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn codes_as_carriers_write_them() {
        for (country, cell, want) in [
            ("", "4930", "4930"),
            ("", " +49 30 ", "4930"),
            ("", "'4930", "4930"),
            ("", "4930.0", "4930"),
            ("", "(49)30", "4930"),
            (
                "",
                "4930,4940; 4950/4960|4970\n4980",
                "4930 4940 4950 4960 4970 4980",
            ),
            ("", "61 38,39", "6138 6139"),
            ("", "61 38, 61", "6138 6161"),
            ("", "61 38, 61 39", "6138 6139"),
            ("", "61 - 62, 64", "61 62 64"),
            ("49", "30", "4930"),
            ("+49", "30,40", "4930 4940"),
            ("49", "", "49"),
            ("", "4930-4935", "4930 4931 4932 4933 4934 4935"),
            ("", "4930 - 4932", "4930 4931 4932"),
            ("", "4930–32", "4930 4931 4932"),
            ("", "4930-4949", "493 494"),
            ("", "4998-5001", "4998 4999 5000 5001"),
            ("", "100-999", "1 2 3 4 5 6 7 8 9"),
            ("7", "00-09", "70"),
            ("", "4930-4930", "4930"),
            ("", "4930,", "4930"),
        ] {
            assert_eq!(
                read(country, cell).as_deref(),
                Ok(want),
                "{country:?} {cell:?}"
            );
        }
        for (country, cell, part) in [
            ("", "", "no code"),
            ("", " , ", "no code"),
            ("", "Germany", "`Germany`, which is no code"),
            ("", "49x", "no code"),
            ("", "12345678901234567", "more than 16 digits"),
            ("123456789", "12345678", "more than 16 digits"),
            ("", "4.93E+11", "shortened"),
            ("", "4935-4930", "no range"),
            ("", "49-4930", "no range"),
            ("", "49-", "no range"),
            (
                "",
                "11111111111111111-22222222222222222",
                "more than 16 digits",
            ),
        ] {
            match read(country, cell) {
                Err(error) => assert!(error.contains(part), "{cell:?}: {error}"),
                Ok(codes) => panic!("{cell:?}: {codes}"),
            }
        }
    }

    proptest! {
        #[test]
        fn a_range_is_all_its_numbers_and_no_other(from in 0_u32..3_000, length in 0_u32..3_000, asked in 0_u32..10_000) {
            let to = (from + length).min(9_999);
            let cell = format!("{from:04}-{to:04}");
            let codes = codes("", &cell).unwrap();
            let asked_text = format!("{asked:04}");
            let hits = codes.iter().filter(|code| asked_text.starts_with(&code.to_string())).count();
            prop_assert_eq!(hits, usize::from((from..=to).contains(&asked)), "{}: {:?}", cell, codes);
        }

        #[test]
        fn whatever_is_in_a_cell_ends(country in "[0-9+ ]{0,5}", cell in "[0-9+ ,;/.()eE-]{0,30}", other in "\\PC{0,30}") {
            let _ = codes(&country, &cell);
            let _ = codes("", &other);
        }
    }
}
