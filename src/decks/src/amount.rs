//! Prices as decks write them: `0.0135`, `0,0135`, `$ 1,234.50`, `1.35E-02`.

use std::fmt;

use base::Money;
use serde::{Deserialize, Serialize};

/// What stands between the whole and its fraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decimal {
    /// `0.0135`; a comma parts thousands.
    #[default]
    Point,
    /// `0,0135`; a point parts thousands.
    Comma,
}

impl Decimal {
    const fn mark(self) -> char {
        match self {
            Decimal::Point => '.',
            Decimal::Comma => ',',
        }
    }

    const fn thousands(self) -> char {
        match self {
            Decimal::Point => ',',
            Decimal::Comma => '.',
        }
    }

    /// What these cells can only mean: a mark that parts something else than groups of three.
    /// `None` if they fit both, or contradict each other.
    #[must_use]
    pub fn of_cells<'c>(cells: impl IntoIterator<Item = &'c str>) -> Option<Decimal> {
        let (mut point, mut comma) = (false, false);
        for cell in cells {
            let as_point = amount(cell, Decimal::Point).is_ok();
            let as_comma = amount(cell, Decimal::Comma).is_ok();
            point |= as_point && !as_comma;
            comma |= as_comma && !as_point;
        }
        match (point, comma) {
            (true, false) => Some(Decimal::Point),
            (false, true) => Some(Decimal::Comma),
            _ => None,
        }
    }
}

/// A price that was read, and whether it had more decimals than are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount {
    /// The price, rounded to eight decimals.
    pub money: Money,
    /// Whether that changed it.
    pub was_rounded: bool,
}

/// Why a cell is no price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadAmount {
    /// Nothing is there.
    Empty,
    /// Something is there that is no number.
    NotANumber,
    /// It would be one with the other decimal mark.
    OtherDecimal,
    /// Less than nothing.
    Negative,
    /// More than an amount can be.
    TooLarge,
}

impl fmt::Display for BadAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadAmount::Empty => "no price",
            BadAmount::NotANumber => "no number",
            BadAmount::OtherDecimal => "a number with the other decimal mark",
            BadAmount::Negative => "a price below zero",
            BadAmount::TooLarge => "a price that is too large",
        })
    }
}

/// Reads a price. Signs and names of currencies around it are left to those who read the column.
///
/// # Errors
/// Why it is none.
pub fn amount(cell: &str, decimal: Decimal) -> Result<Amount, BadAmount> {
    let text = bare(cell);
    if text.is_empty() {
        return Err(BadAmount::Empty);
    }
    match read(text, decimal) {
        Err(BadAmount::NotANumber) => {
            let other = match decimal {
                Decimal::Point => Decimal::Comma,
                Decimal::Comma => Decimal::Point,
            };
            Err(match read(text, other) {
                Ok(_) => BadAmount::OtherDecimal,
                Err(_) => BadAmount::NotANumber,
            })
        }
        read => read,
    }
}

/// Without blanks, currency signs and a currency's three letters around it.
fn bare(cell: &str) -> &str {
    let around = |c: char| c.is_whitespace() || "$€£¥₹₽\u{a0}\u{202f}".contains(c);
    let text = cell.trim_matches(around);
    let is_letters =
        |word: &str| word.len() == 3 && word.bytes().all(|it| it.is_ascii_alphabetic());
    let text = match text.get(..3) {
        Some(word) if is_letters(word) => &text[3..],
        _ => text,
    };
    let end = text.len().saturating_sub(3);
    let text = match text.get(end..) {
        Some(word) if is_letters(word) => &text[..end],
        _ => text,
    };
    text.trim_matches(around)
}

fn read(text: &str, decimal: Decimal) -> Result<Amount, BadAmount> {
    let (text, is_negative) = match text.strip_prefix(['-', '−']) {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, power(exponent).ok_or(BadAmount::NotANumber)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa
        .split_once(decimal.mark())
        .unwrap_or((mantissa, ""));
    let whole = joined(whole, decimal.thousands()).ok_or(BadAmount::NotANumber)?;
    let is_digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if !is_digits(&whole) || !is_digits(fraction) || whole.is_empty() && fraction.is_empty() {
        return Err(BadAmount::NotANumber);
    }
    let amount = shifted(&whole, fraction, exponent)?;
    match is_negative && amount.money != Money::ZERO {
        true => Err(BadAmount::Negative),
        false => Ok(amount),
    }
}

fn power(text: &str) -> Option<i32> {
    let power: i32 = text.parse().ok()?;
    (-30..=30).contains(&power).then_some(power)
}

/// Without the marks between thousands, which part groups of three only.
fn joined(whole: &str, mark: char) -> Option<String> {
    if !whole.contains(mark) {
        return Some(whole.to_owned());
    }
    let mut groups = whole.split(mark);
    let first = groups.next()?;
    let is_grouped = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3);
    // `0.135` is no group of a thousand: nobody writes 0 thousand 135.
    (is_grouped && !first.starts_with('0')).then(|| whole.replace(mark, ""))
}

/// `whole.fraction × 10^exponent`, rounded half up to what money keeps.
fn shifted(whole: &str, fraction: &str, exponent: i32) -> Result<Amount, BadAmount> {
    let digits = format!("{whole}{fraction}");
    // How many of the digits stand before the last kept decimal.
    let kept = whole.len() as i32 + exponent + Money::DECIMALS as i32;
    let mut parts: i64 = 0;
    let digit = |place: i32| {
        let octet = usize::try_from(place)
            .ok()
            .and_then(|at| digits.as_bytes().get(at));
        octet.map_or(0, |octet| i64::from(octet - b'0'))
    };
    for place in 0..kept.max(0) {
        let next = parts
            .checked_mul(10)
            .and_then(|parts| parts.checked_add(digit(place)));
        parts = next.ok_or(BadAmount::TooLarge)?;
    }
    let rest_from = kept.max(0) as usize;
    let rest = digits.get(rest_from..).unwrap_or_default();
    let was_rounded = rest.bytes().any(|octet| octet != b'0');
    if kept >= 0 && digit(kept) >= 5 {
        parts = parts.checked_add(1).ok_or(BadAmount::TooLarge)?;
    }
    Ok(Amount {
        money: Money::from_parts(parts),
        was_rounded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_as_carriers_write_them() {
        use Decimal::{Comma, Point};
        for (cell, decimal, want) in [
            ("0.0135", Point, Ok("0.0135")),
            (" 0,0135 ", Comma, Ok("0.0135")),
            ("$0.0135", Point, Ok("0.0135")),
            ("€\u{a0}0,0135", Comma, Ok("0.0135")),
            ("0.0135 USD", Point, Ok("0.0135")),
            ("EUR 12", Comma, Ok("12.00")),
            ("1,234.5", Point, Ok("1234.50")),
            ("1.234,5", Comma, Ok("1234.50")),
            (".5", Point, Ok("0.50")),
            ("+5", Point, Ok("5.00")),
            ("1.35E-02", Point, Ok("0.0135")),
            ("1,35e-2", Comma, Ok("0.0135")),
            ("1.5e3", Point, Ok("1500.00")),
            ("0", Point, Ok("0.00")),
            ("-0.00", Point, Ok("0.00")),
            ("0.013500000000000002", Point, Ok("0.0135")),
            ("0.000000005", Point, Ok("0.00000001")),
            ("0,0135", Point, Err(BadAmount::OtherDecimal)),
            ("0.0135", Comma, Err(BadAmount::OtherDecimal)),
            ("", Point, Err(BadAmount::Empty)),
            (" $ ", Point, Err(BadAmount::Empty)),
            ("-0.01", Point, Err(BadAmount::Negative)),
            ("n/a", Point, Err(BadAmount::NotANumber)),
            ("1.2.3.4", Point, Err(BadAmount::NotANumber)),
            ("1e", Point, Err(BadAmount::NotANumber)),
            ("1e99", Point, Err(BadAmount::NotANumber)),
            (".", Point, Err(BadAmount::NotANumber)),
            ("٠٫٥", Point, Err(BadAmount::NotANumber)),
            ("999999999999", Point, Err(BadAmount::TooLarge)),
        ] {
            let read = amount(cell, decimal).map(|amount| amount.money.to_string());
            assert_eq!(read, want.map(str::to_owned), "{cell:?} {decimal:?}");
        }
        let rounded = |cell| amount(cell, Decimal::Point).unwrap().was_rounded;
        assert!(rounded("0.013500000000000002") && !rounded("0.0135000000000000"));
    }

    #[test]
    fn a_column_tells_its_decimal_mark() {
        assert_eq!(Decimal::of_cells(["1,234", "0,01"]), Some(Decimal::Comma));
        assert_eq!(Decimal::of_cells(["1,234", "0.01"]), Some(Decimal::Point));
        assert_eq!(Decimal::of_cells(["1", "1,234", "", "x"]), None);
        assert_eq!(Decimal::of_cells(["0,1", "0.1"]), None);
    }

    proptest! {
        #[test]
        fn what_money_writes_is_read_in_both_notations(parts in 0_i64..i64::MAX) {
            let money = Money::from_parts(parts);
            let text = money.to_string();
            prop_assert_eq!(amount(&text, Decimal::Point).unwrap().money, money);
            prop_assert_eq!(amount(&text.replace('.', ","), Decimal::Comma).unwrap().money, money);
        }

        #[test]
        fn whatever_is_in_a_cell_is_a_price_or_not(cell in "\\PC{0,20}", digits in "[0-9.,eE+ -]{0,20}") {
            for decimal in [Decimal::Point, Decimal::Comma] {
                let _ = amount(&cell, decimal);
                let _ = amount(&digits, decimal);
            }
        }
    }
}
