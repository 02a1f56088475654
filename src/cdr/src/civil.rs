//! Civil time as text: RFC 3339 in UTC with microseconds.

use base::Wall;

use crate::digits::{eight, two};

/// How many bytes [`write_civil`] writes: `2026-01-31T23:59:59.000001Z`.
pub const CIVIL_BYTES: usize = 27;

/// The first and the last moment that RFC 3339 §1 can write: the years 0000 to 9999.
const FIRST: Wall = Wall(-62_167_219_200_000_000);
const LAST: Wall = Wall(253_402_300_799_999_999);

const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: u64 = 60_000_000;

/// A moment as text. One outside the years 0000 to 9999 becomes the nearest inside.
#[must_use]
pub fn write_civil(wall: Wall) -> [u8; CIVIL_BYTES] {
    *Civil::new(wall).write(wall)
}

/// Writes moments, and works a date out only when the day is another than that of the last one.
pub(crate) struct Civil {
    day_begins: Wall,
    text: [u8; CIVIL_BYTES],
}

impl Civil {
    /// Begins with the day of this moment.
    pub(crate) fn new(wall: Wall) -> Civil {
        let days = wall.clamp(FIRST, LAST).0.div_euclid(DAY_US);
        let (year, month, day) = date(days);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        text[0..2].copy_from_slice(&two(year / 100));
        text[2..4].copy_from_slice(&two(year % 100));
        text[5..7].copy_from_slice(&two(month));
        text[8..10].copy_from_slice(&two(day));
        Civil {
            day_begins: Wall(days * DAY_US),
            text,
        }
    }

    /// The text of a moment, until the next one is asked for.
    #[inline]
    pub(crate) fn write(&mut self, wall: Wall) -> &[u8; CIVIL_BYTES] {
        let mut us = wall.0.wrapping_sub(self.day_begins.0) as u64;
        if us >= DAY_US as u64 {
            us = self.turn_to(wall);
        }
        let minute = us / MINUTE_US;
        self.text[11..13].copy_from_slice(&two(minute / 60));
        self.text[14..16].copy_from_slice(&two(minute % 60));
        let second = eight(us % MINUTE_US);
        self.text[17..19].copy_from_slice(&second[0..2]);
        self.text[20..26].copy_from_slice(&second[2..8]);
        &self.text
    }

    /// Another day. Returns how far the moment is into it.
    #[cold]
    fn turn_to(&mut self, wall: Wall) -> u64 {
        let wall = wall.clamp(FIRST, LAST);
        *self = Civil::new(wall);
        (wall.0 - self.day_begins.0) as u64
    }
}

/// The Gregorian date of a day counted from 1970-01-01, which is in the years 0000 to 9999.
///
/// Years are counted from March, so that the leap day is a year's last day and the lengths of the
/// months before it follow one line: month `m` begins on day `(153 m + 2) / 5`.
fn date(days: i64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097; // 400 years
    // From the 1st of March of the year -400, so that January of the year 0 is not before it.
    let days = days.wrapping_add(719_468 + ERA_DAYS as i64) as u64;
    let era = days / ERA_DAYS;
    let day_of_era = days % ERA_DAYS;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2) - 400;
    (year, month, day)
}
