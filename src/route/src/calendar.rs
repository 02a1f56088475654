//! When a gateway of a route may be tried: calendars, as moments at which they open and close.
//!
//! Zones, weekdays and holidays are worked out by whoever builds the spec; here a calendar is a list
//! of moments, and a shard compares. What it found it keeps until the next of them ([`Span`]), so a
//! call costs two comparisons.

use crate::Moment;

/// A calendar, worked out: open or closed, and when that changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalendarSpec {
    /// Its name, unique among calendars.
    pub name: String,
    /// Whether it is open before the first change.
    pub is_open: bool,
    /// When it changes from the one to the other, each later than the one before.
    pub changes: Vec<Moment>,
}

/// When a gateway may be tried: while a calendar is open, or while it is not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WhenSpec {
    /// The calendar's name.
    pub calendar: String,
    /// Whether it has to be open, or closed.
    pub is_open: bool,
}

/// A calendar of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    pub(crate) name: Box<str>,
    is_open: bool,
    changes: Box<[Moment]>,
}

/// As [`WhenSpec`], of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct When {
    pub(crate) calendar: u16,
    pub(crate) is_open: bool,
}

/// How a calendar stands from one moment until another, which is no longer part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) is_open: bool,
    pub(crate) from: Moment,
    pub(crate) until: Moment,
}

impl Span {
    /// One that holds nothing.
    pub(crate) const EMPTY: Span = Span {
        is_open: false,
        from: Moment::LAST,
        until: Moment::FIRST,
    };

    pub(crate) fn holds(&self, at: Moment) -> bool {
        self.from <= at && at < self.until
    }
}

impl Calendar {
    pub(crate) fn new(spec: &CalendarSpec) -> Calendar {
        Calendar {
            name: spec.name.as_str().into(),
            is_open: spec.is_open,
            changes: spec.changes.as_slice().into(),
        }
    }

    /// How it stands at a moment, and how long it has and will.
    pub(crate) fn span(&self, at: Moment) -> Span {
        let passed = self.changes.partition_point(|change| *change <= at);
        let before = passed.checked_sub(1).map(|last| self.changes[last]);
        Span {
            is_open: self.is_open ^ (passed % 2 == 1),
            from: before.unwrap_or(Moment::FIRST),
            until: self.changes.get(passed).copied().unwrap_or(Moment::LAST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calendar(is_open: bool, changes: &[u32]) -> Calendar {
        Calendar::new(&CalendarSpec {
            name: "hours".to_owned(),
            is_open,
            changes: changes.iter().map(|&at| Moment(at)).collect(),
        })
    }

    #[test]
    fn without_changes_it_stays_as_it_is() {
        for is_open in [false, true] {
            let span = calendar(is_open, &[]).span(Moment(77));
            assert_eq!(span.is_open, is_open);
            assert!(span.holds(Moment::FIRST) && span.holds(Moment(u32::MAX - 1)));
        }
        assert!(!Span::EMPTY.holds(Moment(5)));
    }

    proptest! {
        /// The dullest model: flip at each change, second by second.
        #[test]
        fn agrees_with_flipping(
            is_open: bool,
            changes in proptest::collection::btree_set(0_u32..200, 0..40),
        ) {
            let changes: Vec<u32> = changes.into_iter().collect();
            let calendar = calendar(is_open, &changes);
            let mut now = is_open;
            for second in 0..220 {
                now ^= changes.contains(&second);
                let span = calendar.span(Moment(second));
                prop_assert_eq!(span.is_open, now);
                prop_assert!(span.holds(Moment(second)));
                let inside = |at: &&u32| span.from.0 < **at && **at < span.until.0;
                prop_assert_eq!(changes.iter().filter(inside).count(), 0);
            }
        }
    }
}
