//! Who keeps to his bounds, and who comes back.
//!
//! ```text
//!           below a bound, by enough calls
//!   Good ──────────────────────────────────▶ Poor ◀─────┐ below again
//!    ▲                                        │ ▲────────┘ (a new sample begins)
//!    │ return_s over       good, by enough    ▼ │ below, by enough calls
//!    └───────────────────────────────────── Returning
//! ```
//!
//! Off the shards: once a second the judge adds up what they counted, and gives each row its mark.
//! While a vendor is good what counts is a window that slides, in [`BUCKETS`] steps. From its fall on
//! only what came since counts: the few calls that it still gets, however long they take to be enough,
//! and not those for which it fell.

use crate::quality::{FIGURES, Figure, Mark, Quality, QualitySpec, RowName, class_of};
use crate::{Bounds, Snapshot};

/// The steps in which the window slides.
const BUCKETS: usize = 16;
/// A row that nobody used for so long, or for two windows, is given back.
const IDLE_S: u64 = 3_600;

/// What a vendor did in some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Figures([u64; FIGURES]);

impl Figures {
    fn of(&self, figure: Figure) -> u64 {
        self.0[figure as usize]
    }

    fn add(&mut self, other: &Figures) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// `part` of a thousand of `whole`, if that is enough to say.
    fn share(&self, part: Figure, whole: Figure, sample: u32) -> Option<u16> {
        let thousandth = |whole: u64| (self.of(part) * 1_000 / whole).min(1_000) as u16;
        self.enough(whole, sample).map(thousandth)
    }

    /// `sum` by `count`, if that is enough to say.
    fn average(&self, sum: Figure, count: Figure, sample: u32) -> Option<u64> {
        self.enough(count, sample).map(|count| self.of(sum) / count)
    }

    fn enough(&self, count: Figure, sample: u32) -> Option<u64> {
        Some(self.of(count)).filter(|count| *count >= u64::from(sample.max(1)))
    }

    /// What there is to say of it, and all calls for it.
    fn mark(&self, sample: u32) -> Mark {
        let seconds = self.average(Figure::Talked, Figure::HungUp, sample);
        let rang = self.average(Figure::RangMs, Figure::Rang, sample);
        let number = |it: u64| u32::try_from(it).unwrap_or(u32::MAX);
        Mark {
            admit_per_mille: 1_000,
            asr: self.share(Figure::Answered, Figure::Concluded, sample),
            ner: self.share(Figure::Effective, Figure::Concluded, sample),
            short: self.share(Figure::Short, Figure::HungUp, sample),
            pdd_ms: rang.map(number),
            acd_s: seconds.map(|tenths| number(tenths / 10)),
        }
    }
}

/// How a vendor is held against its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finding {
    /// It breaks one.
    Below,
    /// It keeps to all.
    Good,
    /// It keeps to those of which there is enough to say, and there is not of all.
    Open,
}

fn find(bounds: &Bounds, mark: &Mark) -> Finding {
    let least = |bound: Option<u32>, is: Option<u32>| bound.map(|bound| is.map(|is| is >= bound));
    let most = |bound: Option<u32>, is: Option<u32>| bound.map(|bound| is.map(|is| is <= bound));
    let wide = |it: Option<u16>| it.map(u32::from);
    let kept = [
        least(wide(bounds.asr_min), wide(mark.asr)),
        least(wide(bounds.ner_min), wide(mark.ner)),
        least(bounds.acd_s_min, mark.acd_s),
        most(bounds.pdd_ms_max, mark.pdd_ms),
        most(wide(bounds.short_max), wide(mark.short)),
    ];
    let mut looked_at = kept.into_iter().flatten();
    let is_broken = |kept: &Option<bool>| *kept == Some(false);
    if looked_at.clone().any(|kept| is_broken(&kept)) {
        return Finding::Below;
    }
    match looked_at.all(|kept| kept == Some(true)) {
        true => Finding::Good,
        false => Finding::Open,
    }
}

/// How a vendor stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It gets all its calls.
    Good,
    /// It gets a few, to show that it is better.
    Poor,
    /// It was better, and gets more and more.
    Returning {
        /// Since this second.
        since_s: u64,
    },
}

impl Standing {
    /// One word, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Standing::Good => "good",
            Standing::Poor => "below its bounds",
            Standing::Returning { .. } => "returning",
        }
    }
}

/// A vendor came to stand otherwise, for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Whose row.
    pub row: RowName,
    /// How it stood.
    pub from: Standing,
    /// How it stands.
    pub to: Standing,
    /// What it did.
    pub mark: Mark,
}

/// What the judge remembers of a row.
struct Watch {
    key: u64,
    standing: Standing,
    window: [Figures; BUCKETS],
    /// The number of the bucket that is filled, counted from the beginning of time.
    bucket: u64,
    /// Since it came to stand as it does.
    since: Figures,
    used_s: u64,
    /// What was said of it last.
    told: Mark,
}

/// Adds up what shards counted, and says who is good. One for a table; lives off the shards.
#[derive(Default)]
pub struct Judge {
    /// By row; none if nobody uses it.
    rows: Vec<Option<Box<Watch>>>,
    /// By row, also of those that were given back: their counts go on from where they were.
    seen: Vec<Seen>,
}

/// The shards' sums of a row when they were looked at last.
#[derive(Clone, Copy, Default)]
struct Seen([u32; FIGURES]);

impl Seen {
    /// What is new in these sums, which wrap around.
    fn take(&mut self, sums: [u32; FIGURES]) -> Figures {
        let before = std::mem::replace(&mut self.0, sums);
        let mut new = Figures::default();
        for (new, (sum, before)) in new.0.iter_mut().zip(sums.into_iter().zip(before)) {
            *new = u64::from(sum.wrapping_sub(before));
        }
        new
    }
}

impl Judge {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Judge {
        Judge::default()
    }

    /// Looks at all rows, about once a second. `now_s` counts seconds from any moment on.
    pub fn look(&mut self, quality: &Quality, world: &Snapshot, now_s: u64) -> Vec<Change> {
        self.rows.resize_with(quality.len(), || None);
        self.seen.resize(quality.len(), Seen::default());
        let mut changes = Vec::new();
        for (row, watch) in self.rows.iter_mut().enumerate() {
            let key = quality.key_of(row);
            if key == 0 {
                *watch = None;
                continue;
            }
            let watch = match watch {
                Some(known) if known.key == key => known,
                _ => watch.insert(Box::new(Watch::new(key, now_s))),
            };
            let new = self.seen[row].take(quality.sums(row));
            let Some(class) = world.quality(class_of(key)) else {
                // No route has such calls any more.
                if now_s - watch.used_s >= IDLE_S {
                    quality.free(row);
                }
                continue;
            };
            let from = watch.standing;
            let mark = watch.look(new, class, now_s);
            quality.set_mark(row, mark);
            let to = watch.standing;
            if std::mem::discriminant(&from) != std::mem::discriminant(&to) {
                changes.push(Change {
                    row: RowName::of(key),
                    from,
                    to,
                    mark,
                });
            }
            if now_s - watch.used_s >= IDLE_S.max(2 * u64::from(class.window_s)) {
                quality.free(row);
            }
        }
        changes
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}

impl Watch {
    fn new(key: u64, now_s: u64) -> Watch {
        Watch {
            key,
            standing: Standing::Good,
            window: [Figures::default(); BUCKETS],
            bucket: 0,
            since: Figures::default(),
            used_s: now_s,
            told: Mark::FRESH,
        }
    }

    /// Takes in what the shards counted since, and says what that comes to.
    fn look(&mut self, new: Figures, class: &QualitySpec, now_s: u64) -> Mark {
        if new != Figures::default() {
            self.used_s = now_s;
        }
        self.slide(class, now_s);
        self.window[(self.bucket % BUCKETS as u64) as usize].add(&new);
        self.since.add(&new);
        let mut counts = self.since;
        if self.standing == Standing::Good {
            counts = Figures::default();
            self.window.iter().for_each(|bucket| counts.add(bucket));
        }
        let mark = counts.mark(class.sample);
        let next = self.next(find(&class.bounds, &mark), class, now_s);
        self.told = match self.standing {
            Standing::Good => mark,
            // Until there is enough of the new, what was known before is the best that there is.
            Standing::Poor | Standing::Returning { .. } => mark.or(self.told),
        };
        if let Some(next) = next {
            self.standing = next;
            self.since = Figures::default();
            self.window = [Figures::default(); BUCKETS];
        }
        self.told.admit_per_mille = self.admits(class, now_s);
        self.told
    }

    /// Empties the buckets whose time is over.
    fn slide(&mut self, class: &QualitySpec, now_s: u64) {
        let length_s = u64::from(class.window_s).div_ceil(BUCKETS as u64).max(1);
        let bucket = now_s / length_s;
        let passed = bucket.saturating_sub(self.bucket).min(BUCKETS as u64);
        for step in 0..passed {
            let at = (bucket - step) % BUCKETS as u64;
            self.window[at as usize] = Figures::default();
        }
        self.bucket = bucket;
    }

    /// What a finding leads to; `None`: all stays as it is.
    #[rustfmt::skip] // a table: one row for each arrow of the figure
    fn next(&self, finding: Finding, class: &QualitySpec, now_s: u64) -> Option<Standing> {
        match (self.standing, finding) {
            (_, Finding::Below) => Some(Standing::Poor),
            (Standing::Poor, Finding::Good) => Some(Standing::Returning { since_s: now_s }),
            (Standing::Returning { since_s }, _) if now_s - since_s >= u64::from(class.return_s) => {
                Some(Standing::Good)
            }
            (Standing::Good | Standing::Poor | Standing::Returning { .. }, _) => None,
        }
    }

    fn admits(&self, class: &QualitySpec, now_s: u64) -> u16 {
        let trial = class.trial_per_mille.min(1_000);
        match self.standing {
            Standing::Good => 1_000,
            Standing::Poor => trial,
            Standing::Returning { since_s } => {
                let risen = u64::from(1_000 - trial) * (now_s - since_s);
                let risen = risen / u64::from(class.return_s.max(1));
                (u64::from(trial) + risen).min(1_000) as u16
            }
        }
    }
}
