//! What is asked of vendors and customers besides prices, as it was read: hours, quality, caps.

use base::Money;

use crate::Screen;

/// When something is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    /// Its name.
    pub name: String,
    /// Its time zone, by its name in the IANA data base.
    pub zone: String,
    /// The hours of weekdays; all that name a day count for it.
    pub week: Vec<WeekHours>,
    /// Days that are not as their weekday. The first that fits a day counts.
    pub dates: Vec<DateHours>,
}

/// Hours of some weekdays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WeekHours {
    /// Which, from Monday on.
    pub days: [bool; 7],
    /// When it is open then.
    pub hours: Vec<Hours>,
}

/// Hours of a date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DateHours {
    /// Which.
    pub date: DateRule,
    /// When it is open then; not at all without any.
    pub hours: Vec<Hours>,
}

/// A date, of one year or of every year.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DateRule {
    /// The year; without, every year.
    pub year: Option<i16>,
    /// 1 to 12.
    pub month: i8,
    /// 1 to 31.
    pub day: i8,
}

/// From one minute of a day until another, by the clock on the wall; if that is not later, of the next
/// day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hours {
    /// The first minute.
    pub from_min: u16,
    /// The first minute that is no more part of it, up to 24 hours.
    pub until_min: u16,
}

/// What vendors must keep to, and how they are measured. Shares are in thousandths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quality {
    /// Its name.
    pub name: String,
    /// The least share of attempts that are answered.
    pub min_asr: Option<u16>,
    /// The least share of attempts that are effective.
    pub min_ner: Option<u16>,
    /// The least that answered calls last on average.
    pub min_acd_s: Option<u32>,
    /// The longest that it takes until it rings, on average.
    pub max_pdd_ms: Option<u32>,
    /// The largest share of answered calls that are short.
    pub max_short: Option<u16>,
    /// Calls that last less are short.
    pub short_s: u32,
    /// How many digits of a number are its destination.
    pub digits: u8,
    /// What is over so long ago counts no more.
    pub window_s: u32,
    /// Less says nothing.
    pub sample: u32,
    /// The share of its calls that a vendor below the bounds still gets.
    pub trial: u16,
    /// How long it takes until it gets all of them again.
    pub return_s: u32,
    /// What becomes of a vendor below the bounds.
    pub below: Below,
}

/// What becomes of a vendor whose quality is below its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Below {
    /// It is tried last.
    Behind,
    /// It is left out.
    Skip,
}

/// A company, as far as anything holds for all its trunks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carrier {
    /// Its name.
    pub name: String,
    /// The lists that calls of its trunks are held against.
    pub screen: Screen,
}

/// What a caller is told whose call is one too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// The final status.
    pub status: u16,
    /// For a Retry-After; 0: none.
    pub retry_after_s: u32,
}

/// On which side of calls a cap counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapSide {
    /// Where they come from.
    Trunks,
    /// Where they go.
    Gateways,
}

/// Whose calls are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Apart {
    /// Those of each trunk or gateway.
    Peer,
    /// Those of each carrier.
    Carrier,
}

/// How much calls may have together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cap {
    /// Its name.
    pub name: String,
    /// The side it counts on.
    pub side: CapSide,
    /// The trunks or gateways, and carriers of these, that it counts; empty: all.
    pub peers: Vec<String>,
    /// The lists of the numbers that it is about.
    pub lists: Vec<String>,
    /// The beginnings of such numbers; all, if there are no lists either.
    pub prefixes: Vec<String>,
    /// Whose calls are counted apart.
    pub apart: Option<Apart>,
    /// Whether those to each prefix are.
    pub by_prefix: bool,
    /// The most calls at a time.
    pub max_calls: Option<u32>,
    /// The most new calls in a second.
    pub calls_per_second: Option<u32>,
    /// The length of its window.
    pub window_s: u32,
    /// The most calls that begin in it.
    pub window_calls: Option<u32>,
    /// The most minutes that calls talk in it.
    pub window_minutes: Option<u32>,
    /// The most that they cost in it.
    pub window_cost: Option<Money>,
    /// How long an answered call may last; 0: what its trunk says.
    pub max_call_seconds: u32,
    /// Whether what is more is told only.
    pub only_tells: bool,
    /// What callers are told whose call is more.
    pub refuse: Refuse,
    /// From which share of a bound on it is told, in thousandths.
    pub tell_at: u16,
}
