//! Calendars worked out: from hours of weekdays and dates in a time zone to the moments at which they
//! open and close.
//!
//! A calendar is open at a moment if the clock on the wall of its zone shows one of its hours then.
//! Where clocks are put forward an hour that is left out never comes; where they are put back an hour
//! that comes twice is open twice. So the zone is taken apart into stretches of one offset, within
//! which a wall's clock runs as any other.

use std::ops::Range;

use config::{Calendar, DateHours, DateRule, Hours};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use route::{CalendarSpec, Moment};

const DAY_S: i64 = 86_400;
/// How far calendars are worked out: back for whoever asks what was, and on for a process that nobody
/// reloads.
const BACK_S: i64 = 366 * DAY_S;
const ON_S: i64 = 10 * 366 * DAY_S;

/// All calendars of a configuration, from a year before `now` until ten years after it. Before and
/// after that each is closed.
pub(crate) fn specs(calendars: &[Calendar], now: Moment) -> Vec<CalendarSpec> {
    let now = i64::from(now.0);
    let span = (now - BACK_S).max(0)..(now + ON_S).min(i64::from(u32::MAX) - 1);
    calendars
        .iter()
        .map(|calendar| spec(calendar, &span))
        .collect()
}

fn spec(calendar: &Calendar, span: &Range<i64>) -> CalendarSpec {
    let zone = TimeZone::get(&calendar.zone).expect("the configuration has looked it up");
    let mut open = Vec::new();
    for stretch in stretches(&zone, span) {
        stretch.open(calendar, &mut open);
    }
    CalendarSpec {
        name: calendar.name.clone(),
        is_open: false,
        changes: changes(open),
    }
}

/// A moment as an operator writes it: `2026-12-24T18:00:00Z`, with another offset, or without the time or
/// the zone, which then is UTC.
#[must_use]
pub fn moment(text: &str) -> Option<Moment> {
    let stamp = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    let second = u32::try_from(stamp.as_second()).ok();
    second.map(Moment).filter(|at| *at < Moment::LAST)
}

/// A time in which a zone keeps one offset.
struct Stretch {
    /// Seconds since 1970 in UTC.
    span: Range<i64>,
    /// What the wall's clock shows more than UTC.
    offset_s: i64,
}

fn stretches(zone: &TimeZone, span: &Range<i64>) -> Vec<Stretch> {
    let mut all = Vec::new();
    let mut at = span.start;
    while at < span.end {
        let Ok(stamp) = Timestamp::from_second(at) else {
            break;
        };
        let next = zone.following(stamp).next();
        let until = next.map_or(span.end, |next| next.timestamp().as_second().min(span.end));
        all.push(Stretch {
            span: at..until,
            offset_s: i64::from(zone.to_offset(stamp).seconds()),
        });
        at = until;
    }
    all
}

impl Stretch {
    /// Adds when a calendar is open within it.
    fn open(&self, calendar: &Calendar, open: &mut Vec<Range<i64>>) {
        let wall = self.span.start + self.offset_s..self.span.end + self.offset_s;
        // From the day before on, whose hours may reach over midnight.
        let first = wall.start.div_euclid(DAY_S) - 1;
        let last = (wall.end - 1).div_euclid(DAY_S);
        let Some(mut date) = date_of(first) else {
            return;
        };
        for day in first..=last {
            let begin = day * DAY_S;
            for hours in hours_of(calendar, date) {
                let within = seconds_of(*hours);
                let from = (begin + within.start).max(wall.start) - self.offset_s;
                let until = (begin + within.end).min(wall.end) - self.offset_s;
                if from < until {
                    open.push(from..until);
                }
            }
            let Ok(next) = date.tomorrow() else { return };
            date = next;
        }
    }
}

/// The day that begins so many days after 1970 did.
fn date_of(day: i64) -> Option<Date> {
    let days = SignedDuration::from_hours(day.checked_mul(24)?);
    Date::constant(1970, 1, 1).checked_add(days).ok()
}

/// The hours of a day: those of its date, or else those of its weekday.
fn hours_of(calendar: &Calendar, date: Date) -> impl Iterator<Item = &Hours> {
    let special = calendar.dates.iter().find(|it| is_on(it.date, date));
    let of_date: &[DateHours] = special.map_or(&[], std::slice::from_ref);
    let weekday = date.weekday().to_monday_zero_offset() as usize;
    let of_week = calendar
        .week
        .iter()
        .filter(move |it| special.is_none() && it.days[weekday]);
    let of_date = of_date.iter().flat_map(|it| &it.hours);
    of_date.chain(of_week.flat_map(|it| &it.hours))
}

fn is_on(rule: DateRule, date: Date) -> bool {
    let is_year = rule.year.is_none_or(|year| year == date.year());
    is_year && (rule.month, rule.day) == (date.month(), date.day())
}

/// Hours in seconds of their day, and of the next if they reach over midnight.
fn seconds_of(hours: Hours) -> Range<i64> {
    let (from, until) = (i64::from(hours.from_min), i64::from(hours.until_min));
    let until = if until > from { until } else { until + 24 * 60 };
    from * 60..until * 60
}

/// The moments at which something changes that is open in these times, which may overlap.
fn changes(mut open: Vec<Range<i64>>) -> Vec<Moment> {
    open.sort_unstable_by_key(|it| it.start);
    let mut changes: Vec<i64> = Vec::new();
    for span in open {
        match changes.last_mut() {
            Some(end) if span.start <= *end => *end = span.end.max(*end),
            _ => changes.extend([span.start, span.end]),
        }
    }
    changes.into_iter().map(Moment::at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Config, WeekHours};
    use proptest::prelude::*;

    fn calendar(text: &str) -> Calendar {
        let text = format!(
            "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.1\"\n[[calendar]]\nname = \"c\"\n{text}"
        );
        let config = Config::parse("c.toml", &text).unwrap_or_else(|errors| panic!("{errors:#?}"));
        config.calendars[0].clone()
    }

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    /// When a calendar opens and closes, in UTC.
    fn told(calendar: &Calendar, from: &str, until: &str) -> Vec<String> {
        let spec = spec(calendar, &(second(from)..second(until)));
        let text = |at: &Moment| Timestamp::from_second(at.0.into()).unwrap().to_string();
        spec.changes.iter().map(text).collect()
    }

    #[test]
    fn a_week_of_an_office() {
        let office = calendar(
            "zone = \"Europe/Berlin\"\nhours = [\"mon-fri 08:00-18:00\", \"sat 09:00-12:00, 13:00-15:00\"]\n",
        );
        // Friday to Monday, in winter.
        let want = [
            "2026-11-20T07:00:00Z",
            "2026-11-20T17:00:00Z",
            "2026-11-21T08:00:00Z",
            "2026-11-21T11:00:00Z",
            "2026-11-21T12:00:00Z",
            "2026-11-21T14:00:00Z",
            "2026-11-23T07:00:00Z",
            "2026-11-23T17:00:00Z",
        ];
        assert_eq!(
            told(&office, "2026-11-20T00:00:00Z", "2026-11-24T00:00:00Z"),
            want
        );
        // In summer an hour earlier.
        assert_eq!(
            told(&office, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
            ["2026-07-01T06:00:00Z", "2026-07-01T16:00:00Z"]
        );
    }

    #[test]
    fn nights_touch_and_are_one() {
        let nights = calendar("hours = [\"daily 18:00-24:00\", \"daily 00:00-08:00\"]\n");
        let over = calendar("hours = [\"daily 18:00-08:00\"]\n");
        let span = ("2026-11-20T12:00:00Z", "2026-11-21T12:00:00Z");
        let want = ["2026-11-20T18:00:00Z", "2026-11-21T08:00:00Z"];
        assert_eq!(told(&nights, span.0, span.1), want);
        assert_eq!(told(&over, span.0, span.1), want);
    }

    #[test]
    fn holidays_and_other_dates() {
        let text = "hours = [\"daily 08:00-18:00\"]\nholidays = [\"xmas\"]\n\
                    dates = [\"12-24 08:00-12:00\", \"2027-12-24 closed\"]\n\
                    [[holidays]]\nname = \"xmas\"\ndates = [\"12-25\", \"2026-12-26\", \"12-24\"]\n";
        let calendar = calendar(text);
        let days = |from, until| {
            let told = told(&calendar, from, until);
            told.iter()
                .map(|text| text[5..13].to_owned())
                .collect::<Vec<_>>()
        };
        // What is said of the year, then what the calendar says itself, then the holidays.
        assert_eq!(
            days("2026-12-23T00:00:00Z", "2026-12-28T00:00:00Z"),
            [
                "12-23T08", "12-23T18", "12-24T08", "12-24T12", "12-27T08", "12-27T18"
            ]
        );
        assert_eq!(
            days("2027-12-23T00:00:00Z", "2027-12-27T00:00:00Z"),
            ["12-23T08", "12-23T18", "12-26T08", "12-26T18"]
        );
    }

    #[test]
    fn the_hour_that_is_left_out_and_the_one_that_comes_twice() {
        let early = calendar("zone = \"Europe/Berlin\"\nhours = [\"daily 02:15-02:45\"]\n");
        assert_eq!(
            told(&early, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"),
            [""; 0]
        );
        assert_eq!(
            told(&early, "2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z"),
            [
                "2026-10-25T00:15:00Z",
                "2026-10-25T00:45:00Z",
                "2026-10-25T01:15:00Z",
                "2026-10-25T01:45:00Z"
            ]
        );
    }

    #[test]
    fn they_are_worked_out_for_years() {
        let office = calendar("zone = \"Europe/Berlin\"\nhours = [\"mon-fri 08:00-18:00\"]\n");
        let now = Moment::at(second("2026-11-21T12:00:00Z"));
        let specs = specs(&[office], now);
        assert!(
            (5_700..5_800).contains(&specs[0].changes.len()),
            "{}",
            specs[0].changes.len()
        );
        assert!(specs[0].changes.is_sorted_by(|one, next| one < next));
        assert!(specs[0].changes[0] < Moment(now.0 - 365 * 86_400));
    }

    /// The dullest model: what does the clock on the wall show at this moment?
    fn is_open(calendar: &Calendar, at: i64) -> bool {
        let zone = TimeZone::get(&calendar.zone).unwrap();
        let wall = zone.to_datetime(Timestamp::from_second(at).unwrap());
        let minute = i64::from(wall.hour()) * 60 + i64::from(wall.minute());
        let (today, before) = (wall.date(), wall.date().yesterday().unwrap());
        hours_of(calendar, today).any(|it| {
            let (from, until) = (i64::from(it.from_min), i64::from(it.until_min));
            from <= minute && (minute < until || until <= from)
        }) || hours_of(calendar, before)
            .any(|it| it.until_min <= it.from_min && minute < i64::from(it.until_min))
    }

    fn any_hours() -> impl Strategy<Value = Vec<Hours>> {
        let hours =
            (0_u16..1_440, 0_u16..=1_440).prop_filter("something", |(from, until)| from != until);
        let hours = hours.prop_map(|(from_min, until_min)| Hours {
            from_min,
            until_min,
        });
        proptest::collection::vec(hours, 0..3)
    }

    fn any_calendar() -> impl Strategy<Value = Calendar> {
        // One without summer time, two with it on either side of the equator, one that moves by half
        // an hour, one that moves at midnight, one that goes back for a month.
        let zones = [
            "Asia/Kolkata",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "America/Santiago",
            "Africa/Casablanca",
        ];
        let week =
            (any::<[bool; 7]>(), any_hours()).prop_map(|(days, hours)| WeekHours { days, hours });
        let date = (1_i8..=12, 1_i8..=28, any_hours()).prop_map(|(month, day, hours)| DateHours {
            date: DateRule {
                year: None,
                month,
                day,
            },
            hours,
        });
        let dates = proptest::collection::vec(date, 0..20);
        let week = proptest::collection::vec(week, 0..4);
        (proptest::sample::select(zones.to_vec()), week, dates).prop_map(|(zone, week, dates)| {
            Calendar {
                name: "c".to_owned(),
                zone: zone.to_owned(),
                week,
                dates,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// At any moment, and around those at which clocks are moved.
        #[test]
        fn agrees_with_the_clock_on_the_wall(
            calendar in any_calendar(),
            moments in proptest::collection::vec(0_i64..366 * DAY_S, 50),
            near in proptest::collection::vec(-2 * DAY_S..2 * DAY_S, 50),
        ) {
            let start = second("2026-01-01T00:00:00Z");
            let span = start..start + 366 * DAY_S;
            let spec = spec(&calendar, &span);
            let zone = TimeZone::get(&calendar.zone).unwrap();
            let moved = zone.following(Timestamp::from_second(start).unwrap());
            let moved: Vec<i64> = moved.take(4).map(|it| it.timestamp().as_second()).collect();
            let around = moved.iter().flat_map(|at| near.iter().map(move |off| at + off));
            for at in moments.iter().map(|off| start + off).chain(around) {
                if !span.contains(&at) {
                    continue;
                }
                let passed = spec.changes.partition_point(|change| i64::from(change.0) <= at);
                prop_assert_eq!(passed % 2 == 1, is_open(&calendar, at), "{}", at);
            }
        }
    }
}
