//! Medians with their spread: how every figure of a sitting is told.

use std::fmt;

/// The median of a few readings, with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The one in the middle; of an even number the mean of the two.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// How many there are.
    pub count: usize,
}

impl Median {
    /// The spread of `readings`; none if there are none.
    #[must_use]
    pub fn of(readings: impl IntoIterator<Item = f64>) -> Option<Median> {
        let mut sorted: Vec<f64> = readings.into_iter().filter(|x| x.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        Some(Median {
            median,
            least,
            greatest,
            count: sorted.len(),
        })
    }

    /// Each of the three times `factor`.
    #[must_use]
    pub fn times(self, factor: f64) -> Median {
        Median {
            median: self.median * factor,
            least: self.least * factor,
            greatest: self.greatest * factor,
            count: self.count,
        }
    }
}

/// `143 [127..156]`; a single reading is told alone. Digits after the point by the size.
impl fmt::Display for Median {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 1 {
            return f.write_str(&number(self.median));
        }
        let [median, least, greatest] = [self.median, self.least, self.greatest].map(number);
        write!(f, "{median} [{least}..{greatest}]")
    }
}

/// A number as people read it: three digits that matter, thousands apart.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => thousands(value),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size > 0.0 => format!("{value:.2}"),
        _ => "0".to_owned(),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_both_ends() {
        let of = |readings: &[f64]| Median::of(readings.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[f64::NAN]), None);
        let check = |readings: &[f64], want: &str| {
            assert_eq!(of(readings).expect("readings").to_string(), want);
        };
        check(&[5.0], "5.00");
        check(&[3.0, 1.0, 2.0], "2.00 [1.00..3.00]");
        check(&[4000.0, 1000.0], "2,500 [1,000..4,000]");
    }

    #[test]
    fn numbers_show_the_digits_that_matter() {
        let check = |value, want: &str| assert_eq!(number(value), want);
        check(0.0, "0");
        check(0.034, "0.03");
        check(12.34, "12.3");
        check(1234.5, "1,234");
        check(-1_234_567.0, "-1,234,567");
    }
}
