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
    let mut text = [0; CIVIL_BYTES];
    text.copy_from_slice(&Civil::new(wall).quoted(wall)[1..=CIVIL_BYTES]);
    text
}

/// Writes moments, and works out only what is not as in the last one: the moments of a record lie
/// near each other, and so do the records.
#[derive(Debug)]
pub(crate) struct Civil {
    day_begins: Wall,
    minute_begins: Wall,
    text: [u8; QUOTED_BYTES],
}

const QUOTED_BYTES: usize = CIVIL_BYTES + 2;

impl Civil {
    /// Begins with the day of this moment.
    pub(crate) fn new(wall: Wall) -> Civil {
        let days = wall.clamp(FIRST, LAST).0.div_euclid(DAY_US);
        let (year, month, day) = date(days);
        let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
        text[1..3].copy_from_slice(&two(year / 100));
        text[3..5].copy_from_slice(&two(year % 100));
        text[6..8].copy_from_slice(&two(month));
        text[9..11].copy_from_slice(&two(day));
        let day_begins = Wall(days * DAY_US);
        Civil {
            day_begins,
            minute_begins: day_begins,
            text,
        }
    }

    /// The text of a moment in quotation marks, until the next one is asked for.
    #[inline]
    pub(crate) fn quoted(&mut self, wall: Wall) -> &[u8; QUOTED_BYTES] {
        let mut us = wall.0.wrapping_sub(self.minute_begins.0) as u64;
        if us >= MINUTE_US {
            us = self.turn_to(wall);
        }
        let second = eight(us);
        self.text[18..20].copy_from_slice(&second[0..2]);
        self.text[21..27].copy_from_slice(&second[2..8]);
        &self.text
    }

    /// Another minute. Returns how far the moment is into it.
    #[inline(never)]
    fn turn_to(&mut self, wall: Wall) -> u64 {
        let wall = wall.clamp(FIRST, LAST);
        if wall.0.wrapping_sub(self.day_begins.0) as u64 >= DAY_US as u64 {
            *self = Civil::new(wall);
        }
        let us = (wall.0 - self.day_begins.0) as u64;
        let minute = us / MINUTE_US;
        self.text[12..14].copy_from_slice(&two(minute / 60));
        self.text[15..17].copy_from_slice(&two(minute % 60));
        self.minute_begins = Wall(self.day_begins.0 + (minute * MINUTE_US) as i64);
        us % MINUTE_US
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
