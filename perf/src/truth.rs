//! What the peers saw, joined with what the router wrote down.
//!
//! The truth is text, one event a line, as [`crate::peers::Caller`] and the SIPp scenarios under
//! `perf/sipp` write it (there by `<log>` actions, so that it holds at any rate):
//! ```text
//! answered CALL-ID SECONDS MICROSECONDS 200     the 2xx was received
//! ended    CALL-ID SECONDS MICROSECONDS 200     BYE was sent or received
//! failed   CALL-ID SECONDS MICROSECONDS STATUS  another final response, or 408 for none
//! ```
//! SECONDS and MICROSECONDS may have decimals (SIPp writes `1700000000.000000`). Lines that begin
//! otherwise are not ours and are skipped.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Writes the truth as it happens.
#[derive(Debug)]
pub(crate) struct TruthLog(BufWriter<File>);

impl TruthLog {
    pub(crate) fn create(path: &Path) -> io::Result<TruthLog> {
        Ok(TruthLog(BufWriter::new(File::create(path)?)))
    }

    pub(crate) fn note(
        &mut self,
        what: &str,
        call_id: fmt::Arguments<'_>,
        wall_us: u64,
        status: u16,
    ) -> io::Result<()> {
        let (seconds, micros) = (wall_us / 1_000_000, wall_us % 1_000_000);
        writeln!(self.0, "{what} {call_id} {seconds} {micros} {status}")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What a peer knows of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// When the 2xx came, in microseconds of the Unix epoch.
    pub answered_us: Option<u64>,
    /// When BYE was sent or came.
    pub ended_us: Option<u64>,
    /// The final status, if it was not a 2xx.
    pub failed: Option<u16>,
}

/// The calls of one or more truth logs, by Call-ID.
pub type Truth = HashMap<String, Seen>;

/// Adds the events of a truth log to what is known.
///
/// # Errors
/// The file cannot be read, or a line of ours is cut short (then the log is not to be trusted).
pub fn read_truth(path: &Path, truth: &mut Truth) -> io::Result<()> {
    for (number, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let line = line?;
        let mut words = line.trim_ascii_end().split(' ');
        let Some(what @ ("answered" | "ended" | "failed")) = words.next() else {
            continue;
        };
        let Some((call_id, at_us, status)) = event(words) else {
            let place = format!("{}:{}: {line:?}", path.display(), number + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, place));
        };
        let seen = truth.entry(call_id.to_owned()).or_default();
        match what {
            "answered" => seen.answered_us = Some(seen.answered_us.unwrap_or(at_us)),
            "ended" => seen.ended_us = Some(seen.ended_us.unwrap_or(at_us)),
            _ => seen.failed = Some(seen.failed.unwrap_or(status)),
        }
    }
    Ok(())
}

fn event<'l>(mut words: impl Iterator<Item = &'l str>) -> Option<(&'l str, u64, u16)> {
    let call_id = words.next()?;
    let seconds: f64 = words.next()?.parse().ok()?;
    // SIPp writes nothing for a variable that is exactly 0, which once in a million calls this is.
    let micros: f64 = match words.next()? {
        "" => 0.0,
        micros => micros.parse().ok()?,
    };
    let status = words.next()?.parse().ok()?;
    Some((call_id, seconds as u64 * 1_000_000 + micros as u64, status))
}

/// What the check needs of one CDR.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The call's Call-ID.
    pub call_id: String,
    /// Whether the CDR says that the call was answered.
    pub is_answered: bool,
    /// From the answer to the end.
    pub duration_us: u64,
    /// The final status.
    pub status: u16,
    /// Who or what ended the call, in the CDR's word.
    pub hung_up: String,
}

/// Reads CDR files, or all files of directories.
///
/// # Errors
/// A file cannot be read, or a line of it is no CDR.
pub fn read_cdrs(paths: &[PathBuf]) -> io::Result<Vec<Record>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                files.push(entry?.path());
            }
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files.retain(|file| file.is_file());
    let mut records = Vec::new();
    for file in files {
        for (number, line) in BufReader::new(File::open(&file)?).lines().enumerate() {
            let line = line?;
            let record = record(&line).ok_or_else(|| {
                let place = format!("{}:{}: no CDR: {line}", file.display(), number + 1);
                io::Error::new(io::ErrorKind::InvalidData, place)
            })?;
            records.push(record);
        }
    }
    Ok(records)
}

fn record(line: &str) -> Option<Record> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some(Record {
        call_id: value.get("call_id")?.as_str()?.to_owned(),
        is_answered: value.get("answered").is_some_and(|at| !at.is_null()),
        duration_us: value.get("duration_us")?.as_u64()?,
        status: u16::try_from(value.get("status")?.as_u64()?).ok()?,
        hung_up: value
            .get("hung_up")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    })
}

/// How strict the check is.
#[derive(Clone, Copy, Debug)]
pub struct Strictness {
    /// How far a CDR's duration may be from the peer's.
    pub tolerance_us: u64,
    /// Whether the router was stopped while calls were up: their CDRs may be shorter than the
    /// calls, and calls that had no final response by then may have no CDR.
    pub is_cut: bool,
}

/// The outcome of the check. Nothing but `calls` and `cdrs` may be other than 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Calls in the truth.
    pub calls: u64,
    /// Of these, answered.
    pub answered: u64,
    /// CDRs read.
    pub cdrs: u64,
    /// Calls without a CDR.
    pub missing: u64,
    /// CDRs beyond the first of a call.
    pub doubled: u64,
    /// CDRs of calls that no peer knows.
    pub unknown: u64,
    /// Answered on one side and not on the other, or refused with another status.
    pub wrong_outcome: u64,
    /// Durations farther apart than the tolerance.
    pub wrong_duration: u64,
    /// The largest difference of durations seen.
    pub difference_us_max: u64,
}

impl Verdict {
    /// Whether each call has its one right CDR, and there was a call at all.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let faults = [
            self.missing,
            self.doubled,
            self.unknown,
            self.wrong_outcome,
            self.wrong_duration,
        ];
        self.calls > 0 && faults.iter().all(|&count| count == 0)
    }

    /// The verdict for a script.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "right": self.is_right(),
            "calls": self.calls,
            "answered": self.answered,
            "cdrs": self.cdrs,
            "missing": self.missing,
            "doubled": self.doubled,
            "unknown": self.unknown,
            "wrong_outcome": self.wrong_outcome,
            "wrong_duration": self.wrong_duration,
            "difference_us_max": self.difference_us_max,
        })
    }
}

/// Joins the truth with the CDRs. The first faults are told to `explain`, one line each.
pub fn check(
    truth: &Truth,
    cdrs: &[Record],
    strictness: Strictness,
    explain: &mut dyn FnMut(&str),
) -> Verdict {
    let mut verdict = Verdict {
        calls: truth.len() as u64,
        answered: truth
            .values()
            .filter(|seen| seen.answered_us.is_some())
            .count() as u64,
        cdrs: cdrs.len() as u64,
        ..Verdict::default()
    };
    let mut first: HashMap<&str, &Record> = HashMap::with_capacity(cdrs.len());
    for record in cdrs {
        if first.insert(&record.call_id, record).is_some() {
            verdict.doubled += 1;
            explain(&format!("doubled: {}", record.call_id));
        }
        if !truth.contains_key(&record.call_id) {
            verdict.unknown += 1;
            explain(&format!("unknown: {}", record.call_id));
        }
    }
    for (call_id, seen) in truth {
        let Some(record) = first.get(call_id.as_str()) else {
            if seen.answered_us.is_some() || !strictness.is_cut {
                verdict.missing += 1;
                explain(&format!("missing: {call_id} {seen:?}"));
            }
            continue;
        };
        compare(seen, record, strictness, &mut verdict, explain);
    }
    verdict
}

fn compare(
    seen: &Seen,
    record: &Record,
    strictness: Strictness,
    verdict: &mut Verdict,
    explain: &mut dyn FnMut(&str),
) {
    let Some(answered_us) = seen.answered_us else {
        let is_same = seen.failed.is_none_or(|status| status == record.status);
        if (record.is_answered || !is_same) && !strictness.is_cut {
            verdict.wrong_outcome += 1;
            explain(&format!("wrong outcome: {seen:?}, CDR {record:?}"));
        }
        return;
    };
    if !record.is_answered {
        verdict.wrong_outcome += 1;
        explain(&format!("wrong outcome: {seen:?}, CDR {record:?}"));
        return;
    }
    let Some(ended_us) = seen.ended_us else {
        return;
    };
    let wanted_us = ended_us.saturating_sub(answered_us);
    let difference_us = wanted_us.abs_diff(record.duration_us);
    if strictness.is_cut && record.duration_us < wanted_us {
        return;
    }
    verdict.difference_us_max = verdict.difference_us_max.max(difference_us);
    if difference_us > strictness.tolerance_us {
        verdict.wrong_duration += 1;
        explain(&format!(
            "wrong duration: {seen:?} = {wanted_us} us, CDR {record:?}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Strictness = Strictness {
        tolerance_us: 1000,
        is_cut: false,
    };

    fn cdr(call_id: &str, duration_us: Option<u64>, status: u16) -> Record {
        let answered = duration_us.map(|_| "2026-01-01T00:00:00.000000Z");
        let line = json!({"call_id": call_id, "answered": answered,
            "duration_us": duration_us.unwrap_or(0), "status": status, "hung_up": "caller"});
        record(&line.to_string()).unwrap()
    }

    fn truth(lines: &str) -> Truth {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        let mut truth = Truth::new();
        read_truth(file.path(), &mut truth).unwrap();
        truth
    }

    const TWO: &str = "answered a 1700000000.000000 900000.000000 200\n\
        ended a 1700000001 0 200\nfailed b 1700000000 5 486\nother words\n";

    #[test]
    fn sipp_writes_nothing_for_no_microseconds() {
        let truth = truth("ended a 1795406335.000000  200\n");
        assert_eq!(truth["a"].ended_us, Some(1_795_406_335_000_000));
    }

    #[test]
    fn each_fault_is_found() {
        let (a, b) = (cdr("a", Some(100_500), 200), cdr("b", None, 486));
        let right = Verdict {
            calls: 2,
            answered: 1,
            cdrs: 2,
            difference_us_max: 500,
            ..Verdict::default()
        };
        let missing = Verdict {
            cdrs: 1,
            missing: 1,
            ..right
        };
        let doubled = Verdict {
            cdrs: 3,
            doubled: 1,
            ..right
        };
        let unknown = Verdict {
            cdrs: 3,
            unknown: 1,
            ..right
        };
        let outcome = Verdict {
            wrong_outcome: 1,
            ..right
        };
        let longer = Verdict {
            wrong_duration: 1,
            difference_us_max: 2000,
            ..right
        };
        for (cdrs, want) in [
            (vec![a.clone(), b.clone()], right),
            (vec![a.clone()], missing),
            (vec![a.clone(), b.clone(), b.clone()], doubled),
            (vec![a.clone(), b.clone(), cdr("c", None, 404)], unknown),
            (vec![a.clone(), cdr("b", None, 503)], outcome),
            (vec![a.clone(), cdr("b", Some(1), 486)], outcome),
            (vec![cdr("a", Some(102_000), 200), b.clone()], longer),
            (
                vec![cdr("a", None, 487), b.clone()],
                Verdict {
                    difference_us_max: 0,
                    ..outcome
                },
            ),
        ] {
            let got = check(&truth(TWO), &cdrs, EXACT, &mut |_| {});
            assert_eq!(got, want, "{cdrs:?}");
            assert_eq!(got.is_right(), want == right);
        }
    }

    #[test]
    fn a_cut_forgives_what_was_not_answered_or_not_over() {
        let cut = Strictness {
            is_cut: true,
            ..EXACT
        };
        let shorter = [cdr("a", Some(50_000), 200)];
        assert!(check(&truth(TWO), &shorter, cut, &mut |_| {}).is_right());
        assert!(!check(&truth(TWO), &[], cut, &mut |_| {}).is_right());
        assert!(
            !check(&Truth::new(), &[], cut, &mut |_| {}).is_right(),
            "no call, no proof"
        );
    }

    #[test]
    fn a_line_cut_short_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "answered a 17").unwrap();
        assert!(read_truth(file.path(), &mut Truth::new()).is_err());
    }
}
