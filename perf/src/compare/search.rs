//! The search for the highest rate that passes: first upwards in steps, then by halves.

/// Looks for the highest rate that passes. Pure: it says what to try next and is told the outcome.
///
/// ```text
///   start ─×growth─▶ … ─▶ first failure;  then between the best pass and the least failure,
///   until they are less than `close` apart
/// ```
/// A failure counts only if it happens twice at the same rate: on a machine with others on it a
/// single one is as likely theirs.
#[derive(Clone, Debug)]
pub struct Search {
    passed: Option<f64>,
    failed: Option<f64>,
    again: Option<f64>,
    start: f64,
    most: f64,
    growth: f64,
    /// What a rate is divided by as long as none has passed.
    retreat: f64,
    close: f64,
    runs_left: u32,
}

/// Runs that a search may take, repetitions included.
const RUNS_MAX: u32 = 40;
/// Below this no rate is tried.
const LEAST: f64 = 10.0;

impl Search {
    /// A search that begins at `start` and ends at `most`, if that passes.
    #[must_use]
    pub fn new(start: f64, most: f64, growth: f64, close: f64) -> Search {
        Search {
            passed: None,
            failed: None,
            again: None,
            start,
            most,
            growth,
            retreat: 2.0,
            close,
            runs_left: RUNS_MAX,
        }
    }

    /// A search for what may have moved a little from `last`: in steps of the factor `step` up or
    /// down from there, and no closer.
    #[must_use]
    pub fn around(last: f64, most: f64, step: f64) -> Search {
        Search {
            retreat: step,
            // Rounded rates may lie a little more than a step apart.
            ..Search::new(last.round(), most, step, step - 1.0 + 2.0 / last)
        }
    }

    /// The rate to try next; none when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        if self.runs_left == 0 {
            return None;
        }
        if self.again.is_some() {
            return self.again;
        }
        match (self.passed, self.failed) {
            (None, None) => Some(self.start),
            (Some(passed), None) if passed >= self.most => None,
            (Some(passed), None) => Some((passed * self.growth).round().min(self.most)),
            (None, Some(failed)) => {
                Some((failed / self.retreat).round()).filter(|rate| *rate >= LEAST)
            }
            (Some(passed), Some(failed)) if failed - passed <= passed * self.close => None,
            (Some(passed), Some(failed)) => Some(passed.midpoint(failed).round()),
        }
    }

    /// Tells the outcome at the rate that [`Search::next`] gave.
    pub fn tell(&mut self, rate: f64, passed: bool) {
        self.runs_left -= 1;
        if passed {
            self.again = None;
            self.passed = Some(rate);
        } else if self.again.is_some() {
            self.again = None;
            self.failed = Some(rate);
        } else {
            self.again = Some(rate);
        }
    }

    /// The highest rate that has passed.
    #[must_use]
    pub fn highest(&self) -> Option<f64> {
        self.passed
    }

    /// The least rate that has failed twice.
    #[must_use]
    pub fn failed(&self) -> Option<f64> {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The highest rate found, and in how many runs, for a server that carries up to `capacity`
    /// and fails once by chance in run number `stumbles`.
    fn check(capacity: f64, stumbles: Option<u32>) -> (Option<f64>, u32) {
        let mut search = Search::new(1000.0, 50_000.0, 1.5, 0.05);
        let mut runs = 0;
        while let Some(rate) = search.next() {
            runs += 1;
            search.tell(rate, rate <= capacity && stumbles != Some(runs));
        }
        (search.highest(), runs)
    }

    #[test]
    fn it_comes_close_to_what_a_server_carries() {
        for capacity in [800.0, 1000.0, 4_393.0, 8_227.0, 26_000.0, 49_999.0] {
            let (highest, runs) = check(capacity, None);
            let highest = highest.expect("something passes");
            assert!(
                highest <= capacity && highest >= capacity / 1.06,
                "{capacity}: {highest}"
            );
            assert!(runs < 25, "{capacity}: {runs} runs");
        }
    }

    #[test]
    fn a_single_stumble_changes_nothing() {
        let (undisturbed, runs) = check(4_393.0, None);
        for stumbles in 1..=4 {
            assert_eq!(check(4_393.0, Some(stumbles)), (undisturbed, runs + 1));
        }
    }

    #[test]
    fn what_has_moved_a_little_is_found_in_a_few_runs() {
        for (capacity, runs_most) in [(2_000.0, 3), (2_150.0, 4), (2_500.0, 7), (1_650.0, 9)] {
            let mut search = Search::around(2_000.0, 50_000.0, 1.06);
            let mut runs = 0;
            while let Some(rate) = search.next() {
                runs += 1;
                search.tell(rate, rate <= capacity);
            }
            let highest = search.highest().expect("something passes");
            assert!(
                highest <= capacity && highest >= capacity / 1.062,
                "{capacity}: {highest}"
            );
            assert!(runs <= runs_most, "{capacity}: {runs} runs");
        }
    }

    #[test]
    fn it_ends_at_the_bounds() {
        assert_eq!(check(1e9, None).0, Some(50_000.0));
        assert_eq!(check(5.0, None).0, None);
    }
}
