//! Civil time as text: RFC 3339 in UTC with microseconds.

use base::Wall;

/// How many bytes [`write_civil`] writes: `2026-01-31T23:59:59.000001Z`.
pub const CIVIL_BYTES: usize = 27;

/// The first and the last moment that RFC 3339 §1 can write: the years 0000 to 9999.
const FIRST: Wall = Wall(-62_167_219_200_000_000);
const LAST: Wall = Wall(253_402_300_799_999_999);

/// A moment as text. One outside the years 0000 to 9999 becomes the nearest inside.
#[must_use]
pub fn write_civil(wall: Wall) -> [u8; CIVIL_BYTES] {
    let us = wall.clamp(FIRST, LAST).0;
    let day_us = us.rem_euclid(86_400_000_000);
    let (year, month, day) = date(us.div_euclid(86_400_000_000));
    let mut out = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut out[0..4], year);
    digits(&mut out[5..7], month);
    digits(&mut out[8..10], day);
    digits(&mut out[11..13], day_us / 3_600_000_000);
    digits(&mut out[14..16], day_us / 60_000_000 % 60);
    digits(&mut out[17..19], day_us / 1_000_000 % 60);
    digits(&mut out[20..26], day_us % 1_000_000);
    out
}

fn digits(out: &mut [u8], mut value: i64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The Gregorian date of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is a year's last day and the lengths of the
/// months before it follow one line: month `m` begins on day `(153 m + 2) / 5`.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097; // 400 years
    let days = days + 719_468; // from 0000-03-01
    let era = days.div_euclid(ERA_DAYS);
    let day_of_era = days.rem_euclid(ERA_DAYS);
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
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}
