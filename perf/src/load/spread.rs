//! How long something lasts: a time, or a distribution of times, as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A distribution of durations, in microseconds.
///
/// ```text
///   20ms            always that
///   1s..5s          anything between, evenly
///   exp:3m          exponential with that mean, at most ten times as long
///   exp:3m..15m     exponential with that mean, at most that long
/// ```
/// Units are us, ms, s, m and h.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Spread {
    /// Always the same.
    Fixed(u64),
    /// Anything from the first to the second, evenly.
    Even(u64, u64),
    /// Exponential: the mean, and what it is cut off at.
    Exponential(u64, u64),
}

impl Spread {
    /// A distribution that always gives so many milliseconds.
    #[must_use]
    pub const fn fixed_ms(ms: u64) -> Spread {
        Spread::Fixed(ms * 1000)
    }

    /// The duration that belongs to a random number: the same for the same number.
    #[must_use]
    pub fn draw_us(self, random: u64) -> u64 {
        match self {
            Spread::Fixed(us) => us,
            Spread::Even(from, to) => from + (unit(random) * (to - from + 1) as f64) as u64,
            Spread::Exponential(mean, max) => ((-unit(random).ln() * mean as f64) as u64).min(max),
        }
    }

    /// The longest that can be drawn.
    #[must_use]
    pub fn longest_us(self) -> u64 {
        match self {
            Spread::Fixed(us) => us,
            Spread::Even(_, to) => to,
            Spread::Exponential(_, max) => max,
        }
    }

    /// What is drawn on average, the cut-off left aside.
    #[must_use]
    pub fn mean_us(self) -> u64 {
        match self {
            Spread::Fixed(us) => us,
            Spread::Even(from, to) => from.midpoint(to),
            Spread::Exponential(mean, _) => mean,
        }
    }
}

/// More than 0 and less than 1.
pub(crate) fn unit(random: u64) -> f64 {
    ((random >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

impl FromStr for Spread {
    type Err = NoSpread;

    fn from_str(text: &str) -> Result<Spread, NoSpread> {
        let no = || NoSpread(text.to_owned());
        let (body, is_exponential) = match text.strip_prefix("exp:") {
            Some(body) => (body, true),
            None => (text, false),
        };
        let (first, second) = match body.split_once("..") {
            Some((first, second)) => (first, Some(duration_us(second).ok_or_else(no)?)),
            None => (body, None),
        };
        let first = duration_us(first).ok_or_else(no)?;
        match (is_exponential, second) {
            (true, second) => {
                let max = second.unwrap_or(first.saturating_mul(10));
                (max >= first).then_some(Spread::Exponential(first, max))
            }
            (false, Some(second)) => (second >= first).then_some(Spread::Even(first, second)),
            (false, None) => Some(Spread::Fixed(first)),
        }
        .ok_or_else(no)
    }
}

/// Reads `20ms`, `1.5s`, `3m`; a bare 0 needs no unit.
pub(crate) fn duration_us(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let unit_us = match &text[digits..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return None,
    };
    let us = number * unit_us;
    (us <= LONGEST_US).then_some(us.round() as u64)
}

/// Reads a duration as people write it, in whole milliseconds.
///
/// # Errors
/// It is no duration, or not one of whole milliseconds.
pub fn milliseconds(text: &str) -> Result<u64, NoSpread> {
    let us = duration_us(text).filter(|us| us.is_multiple_of(1000));
    us.map(|us| us / 1000)
        .ok_or_else(|| NoSpread(text.to_owned()))
}

/// A month: nothing here lasts longer, and sums of a few cannot overflow.
const LONGEST_US: f64 = 31.0 * 24.0 * 3600e6;

fn shown(us: u64) -> String {
    match us {
        0 => "0".to_owned(),
        _ if us.is_multiple_of(1_000_000) => format!("{}s", us / 1_000_000),
        _ if us.is_multiple_of(1000) => format!("{}ms", us / 1000),
        _ => format!("{us}us"),
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Spread::Fixed(us) => f.write_str(&shown(us)),
            Spread::Even(from, to) => write!(f, "{}..{}", shown(from), shown(to)),
            Spread::Exponential(mean, max) => write!(f, "exp:{}..{}", shown(mean), shown(max)),
        }
    }
}

impl From<Spread> for String {
    fn from(spread: Spread) -> String {
        spread.to_string()
    }
}

impl TryFrom<String> for Spread {
    type Error = NoSpread;

    fn try_from(text: String) -> Result<Spread, NoSpread> {
        text.parse()
    }
}

/// What was written is no duration and no distribution of durations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoSpread(String);

impl fmt::Display for NoSpread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no duration: write 20ms, 1s..5s, exp:3m or exp:3m..15m",
            self.0
        )
    }
}

impl std::error::Error for NoSpread {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations() {
        for (text, want, shown) in [
            ("20ms", Some(Spread::Fixed(20_000)), "20ms"),
            ("0", Some(Spread::Fixed(0)), "0"),
            ("1.5s", Some(Spread::Fixed(1_500_000)), "1500ms"),
            ("250us", Some(Spread::Fixed(250)), "250us"),
            (
                "1s..2m",
                Some(Spread::Even(1_000_000, 120_000_000)),
                "1s..120s",
            ),
            (
                "exp:2s",
                Some(Spread::Exponential(2_000_000, 20_000_000)),
                "exp:2s..20s",
            ),
            (
                "exp:2s..5s",
                Some(Spread::Exponential(2_000_000, 5_000_000)),
                "exp:2s..5s",
            ),
            ("", None, ""),
            ("20", None, ""),
            ("2s..1s", None, ""),
            ("exp:2s..1s", None, ""),
            ("1.2.3s", None, ""),
            ("-1s", None, ""),
            ("99999h", None, ""),
        ] {
            let got: Option<Spread> = text.parse().ok();
            assert_eq!(got, want, "{text:?}");
            if let Some(got) = got {
                assert_eq!(got.to_string(), shown);
                assert_eq!(shown.parse(), Ok(got), "{shown:?} reads back");
            }
        }
    }

    #[test]
    fn options_take_whole_milliseconds() {
        assert_eq!(milliseconds("1.5s"), Ok(1500));
        assert_eq!(milliseconds("0"), Ok(0));
        assert!(milliseconds("250us").is_err() && milliseconds("exp:1s").is_err());
    }

    #[test]
    fn draws_have_the_mean_and_the_bounds() {
        let mut random = crate::load::schedule::Random::new(7);
        for (spread, mean) in [
            (Spread::Fixed(5), 5.0),
            (Spread::Even(100, 300), 200.0),
            (Spread::Exponential(1000, 100_000), 1000.0),
        ] {
            let draws: Vec<u64> = (0..100_000)
                .map(|_| spread.draw_us(random.next()))
                .collect();
            let got = draws.iter().sum::<u64>() as f64 / draws.len() as f64;
            assert!((got - mean).abs() < mean / 50.0 + 0.5, "{spread}: {got}");
            assert!(draws.iter().all(|&draw| draw <= spread.longest_us()));
        }
        let cut = Spread::Exponential(1000, 1500);
        assert!((0..10_000).all(|_| cut.draw_us(random.next()) <= 1500));
    }
}
