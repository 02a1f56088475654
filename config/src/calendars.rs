//! Calendars and lists of holidays: when gateways of routes may be tried.
//!
//! ```text
//!   hours = ["mon-fri 08:00-18:00", "sat 09:00-12:00, 13:00-15:00"]
//!   dates = ["2026-12-24 08:00-12:00", "12-31 closed"]
//! ```

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::peers::{Names, name};
use crate::section::{At, Section};
use crate::{Calendar, DateHours, DateRule, Hours, WeekHours, When};

/// Ranges of one day, dates of one calendar: more than anybody means.
const RANGES_MAX: usize = 16;
const DATES_MAX: usize = 4_096;
/// The most calendars.
pub const CALENDARS_MAX: usize = 1_024;

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const HOURS: &str =
    "days and hours, such as \"mon-fri 08:00-18:00\" or \"sat,sun 09:00-12:00, 13:00-15:00\"";
const DATES: &str = "a date and hours, such as \"2026-12-24 08:00-12:00\" or \"12-31 closed\"";
const DATE: &str = "a date, such as \"2026-12-25\", or \"12-25\" for every year";

/// `[[holidays]]`: a name, and dates.
struct Holidays {
    name: String,
    dates: Vec<DateRule>,
}

/// `[[calendar]]`, with the holidays that they name.
pub(crate) fn read(root: &Section<'_>) -> Vec<Calendar> {
    let mut names = Names::new();
    let sections = root.tables("holidays");
    let holidays: Vec<Holidays> = (sections.iter())
        .map(|section| Holidays {
            name: name(section, "holidays", &mut names),
            dates: dates(section),
        })
        .collect();
    let mut names = Names::new();
    let sections = root.tables("calendar");
    if let Some(first) = sections.get(CALENDARS_MAX) {
        let found = format!("{} calendars", sections.len());
        let expected = format!("at most {CALENDARS_MAX}");
        (root.report).add(first.at, found, expected, "take some out");
    }
    let calendar = |section: &Section<'_>| Calendar {
        name: name(section, "calendar", &mut names),
        zone: zone(section),
        week: week(section),
        dates: special_dates(section, &holidays),
    };
    sections.iter().map(calendar).collect()
}

/// `"business-hours"` or `"not business-hours"`: when a gateway of a route may be tried.
pub(crate) fn when(section: &Section<'_>, calendars: &[Calendar]) -> Option<When> {
    let text = section.text("when")?;
    let (calendar, is_open) = match text.value.strip_prefix("not ") {
        Some(rest) => (rest.trim_start(), false),
        None => (text.value, true),
    };
    let named = At {
        value: calendar,
        at: text.at,
    };
    section.check_known(
        named,
        "calendar",
        calendars.iter().map(|it| it.name.as_str()),
    );
    Some(When {
        calendar: calendar.to_owned(),
        is_open,
    })
}

fn zone(section: &Section<'_>) -> String {
    let Some(text) = section.text("zone") else {
        return "UTC".to_owned();
    };
    if TimeZone::get(text.value).is_err() {
        let remedy = "write its name in the IANA data base";
        section.refuse(text, "a time zone, such as \"Europe/Berlin\"", remedy);
    }
    text.value.to_owned()
}

fn week(section: &Section<'_>) -> Vec<WeekHours> {
    if !section.has("hours") {
        section.missing("hours", HOURS);
    }
    let texts = section.texts("hours").unwrap_or_default();
    let read = |text: &At<&str>| {
        let parts = text.value.trim().split_once(' ');
        let read = parts.and_then(|(days, hours)| {
            Some(WeekHours {
                days: weekdays(days)?,
                hours: ranges(hours)?,
            })
        });
        if read.is_none() {
            let remedy = "write days as mon to sun or daily, hours as 00:00 to 24:00";
            section.refuse(*text, HOURS, remedy);
        }
        read
    };
    texts.iter().filter_map(read).collect()
}

/// The days of a calendar that are not as their weekday: its own, then holidays, the first that fits
/// a day counts.
fn special_dates(section: &Section<'_>, holidays: &[Holidays]) -> Vec<DateHours> {
    let texts = section.texts("dates").unwrap_or_default();
    let read = |text: &At<&str>| {
        let parts = text.value.trim().split_once(' ');
        let read = parts.and_then(|(date, hours)| {
            let hours = match hours.trim() {
                "closed" => Vec::new(),
                hours => ranges(hours)?,
            };
            let date = date_rule(date)?;
            Some(DateHours { date, hours })
        });
        if read.is_none() {
            section.refuse(*text, DATES, "write dates as year-month-day or month-day");
        }
        read
    };
    let mut dates: Vec<DateHours> = texts.iter().filter_map(read).collect();
    // What is said of one year stands above what is said of every year.
    dates.sort_by_key(|it| it.date.year.is_none());
    for text in section.texts("holidays").unwrap_or_default() {
        section.check_known(text, "holidays", holidays.iter().map(|it| it.name.as_str()));
        let named = holidays.iter().filter(|it| it.name == text.value);
        dates.extend(named.flat_map(|it| &it.dates).map(|&date| DateHours {
            date,
            hours: Vec::new(),
        }));
    }
    check_count(section, "dates", dates.len());
    dates
}

fn dates(section: &Section<'_>) -> Vec<DateRule> {
    if !section.has("dates") {
        section.missing("dates", DATE);
    }
    let texts = section.texts("dates").unwrap_or_default();
    check_count(section, "dates", texts.len());
    let read = |text: &At<&str>| {
        let read = date_rule(text.value.trim());
        if read.is_none() {
            section.refuse(*text, DATE, "write dates as year-month-day or month-day");
        }
        read
    };
    texts.iter().filter_map(read).collect()
}

fn check_count(section: &Section<'_>, key: &str, count: usize) {
    if count > DATES_MAX {
        let (found, expected) = (format!("{count} dates"), format!("at most {DATES_MAX}"));
        let at = section.place_of(key);
        (section.report).add(at, found, expected, "take out those that are over");
    }
}

/// `mon-fri`, `sat,sun`, `daily`; `sat-mon` goes around.
fn weekdays(text: &str) -> Option<[bool; 7]> {
    let day = |word: &str| WEEKDAYS.iter().position(|day| *day == word);
    let mut days = [false; 7];
    for part in text.split(',') {
        if part == "daily" {
            days = [true; 7];
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for offset in 0..=count {
            days[(first + offset) % 7] = true;
        }
    }
    Some(days)
}

/// `08:00-12:00, 13:00-18:00`
fn ranges(text: &str) -> Option<Vec<Hours>> {
    let range = |part: &str| {
        let (from, until) = part.trim().split_once('-')?;
        let (from_min, until_min) = (minute(from)?, minute(until)?);
        // Up to 24:00, and over midnight; but from 24:00 on begins the next day.
        (from_min != until_min && from_min < 24 * 60).then_some(Hours {
            from_min,
            until_min,
        })
    };
    let ranges: Option<Vec<Hours>> = text.split(',').map(range).collect();
    ranges.filter(|it| it.len() <= RANGES_MAX)
}

/// `08:00`: minutes of the day.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |text: &str| {
        let is_two = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_two)
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 24 * 60).then_some(total)
}

/// `2026-12-25`, or `12-25`.
fn date_rule(text: &str) -> Option<DateRule> {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |text: &str, digits: usize| {
        let is_one = text.len() == digits && text.bytes().all(|octet| octet.is_ascii_digit());
        text.parse::<i16>().ok().filter(|_| is_one)
    };
    let (year, month, day) = match parts[..] {
        [year, month, day] => (Some(number(year, 4)?), number(month, 2)?, number(day, 2)?),
        [month, day] => (None, number(month, 2)?, number(day, 2)?),
        _ => return None,
    };
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    // A leap year, so that the 29th of February may be said of every year.
    Date::new(year.unwrap_or(2_000), month, day).ok()?;
    Some(DateRule { year, month, day })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_as_people_write_them() {
        let days = |text| {
            let days = weekdays(text)?;
            let named = WEEKDAYS.iter().zip(days).filter(|(_, is_in)| *is_in);
            Some(named.map(|(day, _)| *day).collect::<Vec<_>>().join(" "))
        };
        for (text, want) in [
            ("mon", Some("mon")),
            ("mon-fri", Some("mon tue wed thu fri")),
            ("sat-mon", Some("mon sat sun")),
            ("mon,wed,fri-sat", Some("mon wed fri sat")),
            ("daily", Some("mon tue wed thu fri sat sun")),
            ("Mon", None),
            ("mon-", None),
            ("", None),
            ("mon,", None),
        ] {
            assert_eq!(days(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn hours_as_people_write_them() {
        let told = |text| {
            let ranges = ranges(text)?.into_iter();
            Some(
                ranges
                    .map(|it| (it.from_min, it.until_min))
                    .collect::<Vec<_>>(),
            )
        };
        for (text, want) in [
            ("08:00-18:00", Some(vec![(480, 1_080)])),
            ("00:00-24:00", Some(vec![(0, 1_440)])),
            ("22:00-06:00", Some(vec![(1_320, 360)])),
            ("22:00-00:00", Some(vec![(1_320, 0)])),
            (
                "08:00-12:00, 13:30-15:00",
                Some(vec![(480, 720), (810, 900)]),
            ),
            ("8:00-18:00", None),
            ("08:00-24:01", None),
            ("24:00-06:00", None),
            ("08:00-08:00", None),
            ("08:60-09:00", None),
            ("08:00", None),
            ("+8:00-09:00", None),
            ("", None),
        ] {
            assert_eq!(told(text), want, "{text:?}");
        }
        let many = vec!["01:00-02:00"; RANGES_MAX + 1].join(",");
        assert_eq!(told(&many), None);
    }

    #[test]
    fn dates_as_people_write_them() {
        let told = |text| date_rule(text).map(|it| (it.year, it.month, it.day));
        for (text, want) in [
            ("2026-12-25", Some((Some(2_026), 12, 25))),
            ("12-25", Some((None, 12, 25))),
            ("02-29", Some((None, 2, 29))),
            ("2026-02-29", None),
            ("2028-02-29", Some((Some(2_028), 2, 29))),
            ("25.12.2026", None),
            ("13-01", None),
            ("1-1", None),
            ("2026", None),
            ("", None),
        ] {
            assert_eq!(told(text), want, "{text:?}");
        }
    }
}
