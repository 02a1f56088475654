//! The figures of a sitting as rows: one column for each server, the kernel's floor last.

use crate::compare::entrant::Entrant;
use crate::compare::median::{Median, number};
use crate::compare::results::{
    Counted, Floor, Instructions, Options, Point, Role, ServerTime, Sitting, Subject,
};

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) label: String,
    /// One cell for each subject, then the floor's; empty where there is nothing to say.
    pub(crate) cells: Vec<String>,
}

/// What several readings of one role show.
pub(crate) struct AtRole<'s> {
    points: Vec<&'s Point>,
}

impl<'s> AtRole<'s> {
    pub(crate) fn of(subject: &'s Subject, role: Role) -> AtRole<'s> {
        let points = subject.points.iter().filter(|point| point.role == role);
        AtRole {
            points: points.collect(),
        }
    }

    pub(crate) fn median(&self, value: impl Fn(&Point) -> f64) -> Option<Median> {
        Median::of(self.points.iter().map(|point| value(point)))
    }

    pub(crate) fn cpu_us(&self) -> Option<Median> {
        self.median(|point| point.server.cpu_us_per_call)
    }
}

/// The stretches in which so many highest rates were offered, each with its highest rate.
pub(crate) struct Stretches<'s> {
    pub(crate) factor: f64,
    points: Vec<(&'s Point, f64)>,
}

impl Stretches<'_> {
    pub(crate) fn median(&self, value: impl Fn((&Point, f64)) -> f64) -> Option<Median> {
        Median::of(self.points.iter().map(|pair| value(*pair)))
    }

    /// What was offered indeed, in highest rates.
    pub(crate) fn offered(&self) -> Option<Median> {
        self.median(|(point, peak)| point.offered as f64 / point.seconds / peak)
    }
}

/// What a server was offered beyond (and below) its highest rate, the least factor first.
pub(crate) fn by_factor(subject: &Subject) -> Vec<Stretches<'_>> {
    /// Rates are whole calls, so a factor is met but roughly where the highest rate is small.
    const PARTS: f64 = 20.0;
    let found_first = subject.highest.as_ref().map(|highest| highest.rate);
    let mut all: Vec<Stretches<'_>> = Vec::new();
    for point in &subject.points {
        let Some(peak) = point.peak.or(found_first) else {
            continue;
        };
        if point.role != Role::Overload {
            continue;
        }
        let factor = (point.rate / peak * PARTS).round() / PARTS;
        match all.iter_mut().find(|known| known.factor == factor) {
            Some(known) => known.points.push((point, peak)),
            None => all.push(Stretches {
                factor,
                points: vec![(point, peak)],
            }),
        }
    }
    all.sort_by(|a, b| a.factor.total_cmp(&b.factor));
    all
}

/// The floor's median.
pub(crate) fn floor_us(floor: &[Floor]) -> Option<Median> {
    Median::of(floor.iter().map(|floor| floor.cpu_us_per_call)).filter(|floor| floor.median > 0.0)
}

/// The roles that medians are taken of, in words.
pub(crate) fn roles(options: &Options) -> [(Role, String); 3] {
    [
        (Role::Half, "at 50 % of its highest rate".to_owned()),
        (Role::NineTenths, "at 90 %".to_owned()),
        (
            Role::Common,
            format!("at {}/s", number(options.common_rate)),
        ),
    ]
}

/// All rows that say anything.
pub(crate) fn rows(sitting: &Sitting) -> Vec<Row> {
    let mut rows = Rows {
        sitting,
        rows: Vec::new(),
    };
    rows.highest();
    for (role, words) in roles(&sitting.options) {
        rows.cpu(role, &words);
    }
    for (role, words) in roles(&sitting.options) {
        rows.setup(role, &words);
    }
    rows.memory();
    rows.overload();
    rows.trust();
    rows.rows
}

/// One figure of a point.
type Pick = fn(&Point) -> f64;

struct Rows<'s> {
    sitting: &'s Sitting,
    rows: Vec<Row>,
}

impl Rows<'_> {
    /// Adds a row unless it is empty.
    fn add(&mut self, label: &str, floor: String, cell: impl Fn(&Subject) -> Option<String>) {
        let subjects = self.sitting.subjects.iter();
        let mut cells: Vec<String> = subjects
            .map(|subject| cell(subject).unwrap_or_default())
            .collect();
        if cells.iter().all(String::is_empty) {
            return;
        }
        cells.push(floor);
        self.rows.push(Row {
            label: label.to_owned(),
            cells,
        });
    }

    fn highest(&mut self) {
        self.add("highest rate, calls/s", String::new(), |subject| {
            let highest = subject.highest.as_ref()?;
            let rate = number(highest.rate);
            Some(match highest.limited_by_generator {
                true => format!("≥ {rate} [generator's limit]"),
                false => rate,
            })
        });
        self.add(
            "session establishment rate (RFC 7502), sps",
            String::new(),
            |subject| Some(number(subject.establishment.as_ref()?.best)),
        );
        for (label, pick) in [
            (
                "user instructions a call (callgrind)",
                (|it| &it.user_per_call) as fn(&Instructions) -> &Vec<f64>,
            ),
            ("turns a call (under callgrind)", |it| &it.turns_per_call),
            ("messages handed over a call", |it| &it.handed_over_per_call),
        ] {
            self.add(label, String::new(), |subject| {
                let per_call = pick(subject.instructions.as_ref()?);
                Some(Median::of(per_call.iter().copied())?.to_string())
            });
        }
        for (label, pick) in [
            (
                "user instructions a call (counted)",
                (|c| c.user_per_call) as fn(&Counted) -> f64,
            ),
            ("kernel instructions a call (counted)", |c| {
                c.kernel_per_call
            }),
        ] {
            self.add(label, String::new(), |subject| {
                Some(Median::of(subject.counted.iter().map(pick))?.to_string())
            });
        }
    }

    fn cpu(&mut self, role: Role, words: &str) {
        let floor = floor_us(&self.sitting.floor);
        let floor_cell = floor.map_or_else(String::new, |floor| floor.to_string());
        self.add(&format!("CPU a call {words}, µs"), floor_cell, |subject| {
            Some(AtRole::of(subject, role).cpu_us()?.to_string())
        });
        self.add("… against the floor", "1".to_owned(), |subject| {
            let cpu = AtRole::of(subject, role).cpu_us()?;
            Some(number(cpu.median / floor?.median))
        });
        let part = |pick: fn(&ServerTime) -> f64| {
            move |subject: &Subject| {
                let median = AtRole::of(subject, role).median(|point| pick(&point.server))?;
                Some(number(median.median))
            }
        };
        self.add(
            "… in user space",
            String::new(),
            part(|time| time.user_us_per_call),
        );
        self.add(
            "… in the kernel",
            String::new(),
            part(|time| time.system_us_per_call),
        );
        self.add(
            "… wake-ups",
            String::new(),
            part(|time| time.wake_ups_per_call),
        );
    }

    fn setup(&mut self, role: Role, words: &str) {
        let quantiles: [(&str, Pick); 3] = [
            ("p50", |point| point.setup.p50_us as f64),
            ("p99", |point| point.setup.p99_us as f64),
            ("p99.9", |point| point.setup.p999_us as f64),
        ];
        for (name, pick) in quantiles {
            let label = match name {
                "p50" => format!("set-up {words}, {name}, µs"),
                _ => format!("… {name}"),
            };
            self.add(&label, String::new(), |subject| {
                Some(AtRole::of(subject, role).median(pick)?.to_string())
            });
        }
    }

    fn memory(&mut self) {
        self.add("datagrams a call", "13".to_owned(), |subject| {
            Some(number(subject.datagrams_per_call?))
        });
        self.add("idle, MB (PSS)", String::new(), |subject| {
            let readings = subject
                .idle_pss_bytes
                .iter()
                .map(|bytes| *bytes as f64 / 1e6);
            Some(Median::of(readings)?.to_string())
        });
        self.add(
            "… bench configuration, 2 shards",
            String::new(),
            |subject| Some(number(subject.idle_bench_pss_bytes? as f64 / 1e6)),
        );
        self.add("bytes a held call (PSS)", String::new(), |subject| {
            Some(number(subject.held.as_ref()?.pss_bytes_per_call?))
        });
        self.add(
            "… (shared memory, its own count)",
            String::new(),
            |subject| Some(number(subject.held.as_ref()?.shared_bytes_per_call?)),
        );
        self.add(
            "bytes a transaction in Accepted",
            String::new(),
            |subject| Some(number(subject.held.as_ref()?.bytes_per_accepted?)),
        );
    }

    /// One row for each factor that was offered.
    fn overload(&mut self) {
        self.add(
            "highest rate, as found before each stretch of overload",
            String::new(),
            |subject| {
                // Below it nobody looks for it again: these have that of the stretch before.
                let peaks = subject.points.iter().filter_map(|point| {
                    let peak = point.peak?;
                    (point.rate >= peak.round()).then_some(peak)
                });
                Some(Median::of(peaks)?.to_string())
            },
        );
        let subjects = self.sitting.subjects.iter();
        let mut factors: Vec<f64> = subjects
            .flat_map(by_factor)
            .map(|stretches| stretches.factor)
            .collect();
        factors.sort_by(f64::total_cmp);
        factors.dedup();
        for factor in factors {
            let pick = move |subject: &Subject| {
                let all = by_factor(subject);
                let stretches = all.iter().find(|stretches| stretches.factor == factor)?;
                let goodput = stretches.median(|(point, peak)| point.goodput / peak * 100.0)?;
                let offered = stretches.offered()?.median;
                let note = match offered < factor * 0.97 {
                    true => format!(" (the generator made {offered:.1})"),
                    false => String::new(),
                };
                let p99_ms = stretches.median(|(point, _)| point.setup.p99_us as f64 / 1e3)?;
                Some(format!("{goodput} %, p99 {p99_ms} ms{note}"))
            };
            let label = format!("goodput at {factor} times the highest rate");
            self.add(&label, String::new(), pick);
        }
        self.add(
            "requests in dialogs that failed in overload",
            String::new(),
            |subject| {
                let points = subject
                    .points
                    .iter()
                    .filter(|point| point.role == Role::Overload);
                let counts: Vec<u64> = points.map(|point| point.in_dialog_failed).collect();
                (!counts.is_empty()).then(|| counts.iter().sum::<u64>().to_string())
            },
        );
    }

    /// What says how far the figures can be trusted.
    fn trust(&mut self) {
        let percent = |pick: fn(&Point) -> f64| {
            move |subject: &Subject| {
                let measured = subject
                    .points
                    .iter()
                    .filter(|point| point.role != Role::Search);
                Some(Median::of(measured.map(|point| pick(point) * 100.0))?.to_string())
            }
        };
        self.add(
            "others on the server's core, %",
            String::new(),
            percent(|p| p.foreign_share),
        );
        self.add(
            "taken by the hypervisor, %",
            String::new(),
            percent(|p| p.steal_share),
        );
        self.add(
            "generator's share of its core, %",
            String::new(),
            percent(|p| p.generator_share),
        );
        self.add("generator's greatest lag, µs", String::new(), |subject| {
            let measured = subject
                .points
                .iter()
                .filter(|point| point.role != Role::Search);
            Some(Median::of(measured.map(|point| point.generator_lag_us as f64))?.to_string())
        });
    }
}

/// A goal: which ratio, and how small it must be.
pub(crate) struct Ratio {
    pub(crate) label: String,
    pub(crate) goal: &'static str,
    /// One for each trunkline subject.
    pub(crate) cells: Vec<String>,
    pub(crate) met: Vec<Option<bool>>,
}

/// How trunkline's subjects stand against the cheapest Kamailio of a profile.
pub(crate) fn ratios(sitting: &Sitting) -> (Vec<String>, Vec<Ratio>) {
    let ours: Vec<&Subject> = sitting
        .subjects
        .iter()
        .filter(|subject| subject.key.starts_with("trunkline"))
        .collect();
    let mut ratios = Vec::new();
    let common = format!("both at {}/s", number(sitting.options.common_rate));
    for (profile, words, half_goal) in [
        ("kamailio-relay", "Kamailio's relay", 2.2),
        ("kamailio-dialog", "Kamailio's dialog + CDR", 4.5),
    ] {
        for (role, when) in [
            (Role::Half, "each at half of its highest rate"),
            (Role::Common, common.as_str()),
        ] {
            let cpu = |subject: &Subject| Some(AtRole::of(subject, role).cpu_us()?.median);
            let rival = cheapest(sitting, profile, cpu);
            let goal = 1.0 / half_goal;
            let label = format!("CPU a call against {words}, {when}");
            let text = if half_goal == 2.2 {
                "≤ 1/2.2 (coalesced 1/4)"
            } else {
                "≤ 1/4.5 (coalesced 1/8)"
            };
            push(&mut ratios, &ours, (label, text), |subject| {
                let goal = match Entrant::by_key(&subject.key).is_some_and(Entrant::coalesces) {
                    true if half_goal == 2.2 => 0.25,
                    true => 0.125,
                    false => goal,
                };
                let ratio = cpu(subject)? / rival?;
                Some((ratio, ratio <= goal))
            });
        }
        let instructions = |subject: &Subject| {
            let per_call = &subject.instructions.as_ref()?.user_per_call;
            Some(Median::of(per_call.iter().copied())?.median)
        };
        let rival = cheapest(sitting, profile, instructions);
        let label = format!("user instructions a call against {words}");
        let text = if half_goal == 2.2 {
            "≤ 1/12.6"
        } else {
            "≤ 1/17.9"
        };
        let goal = if half_goal == 2.2 {
            20.0 / 252.0
        } else {
            20.0 / 358.0
        };
        push(&mut ratios, &ours, (label, text), |subject| {
            let ratio = instructions(subject)? / rival?;
            Some((ratio, ratio <= goal))
        });
    }
    let floor = floor_us(&sitting.floor).map(|floor| floor.median);
    for (role, when) in [
        (Role::NineTenths, "at 90 % of its highest rate"),
        (Role::Half, "at half of it"),
    ] {
        let label = format!("CPU a call against the floor, {when}");
        push(&mut ratios, &ours, (label, "≤ 1.3"), |subject| {
            let ratio = AtRole::of(subject, role).cpu_us()?.median / floor?;
            Some((ratio, ratio <= 1.3))
        });
    }
    let names = ours.iter().map(|subject| subject.title.clone()).collect();
    (names, ratios)
}

fn cheapest(
    sitting: &Sitting,
    profile: &str,
    value: impl Fn(&Subject) -> Option<f64>,
) -> Option<f64> {
    let rivals = sitting
        .subjects
        .iter()
        .filter(|subject| subject.key.starts_with(profile));
    rivals.filter_map(value).min_by(f64::total_cmp)
}

fn push(
    ratios: &mut Vec<Ratio>,
    ours: &[&Subject],
    (label, goal): (String, &'static str),
    ratio: impl Fn(&Subject) -> Option<(f64, bool)>,
) {
    let found: Vec<Option<(f64, bool)>> = ours.iter().map(|subject| ratio(subject)).collect();
    if found.iter().all(Option::is_none) {
        return;
    }
    ratios.push(Ratio {
        label,
        goal,
        cells: found
            .iter()
            .map(|found| found.map_or_else(String::new, |(ratio, _)| as_ratio(ratio)))
            .collect(),
        met: found
            .iter()
            .map(|found| found.map(|(_, met)| met))
            .collect(),
    });
}

/// `1/2.9`, or `1.3` where it is no part of one.
fn as_ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio > 0.0 && ratio < 0.95 => format!("1/{}", number(1.0 / ratio)),
        ratio => number(ratio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::{Highest, Latency};

    #[test]
    fn ratios_as_people_say_them() {
        let check = |ratio, want: &str| assert_eq!(as_ratio(ratio), want);
        check(0.25, "1/4.00");
        check(0.05, "1/20.0");
        check(1.3, "1.30");
    }

    fn overloaded(rate: f64, peak: Option<f64>, goodput: f64) -> Point {
        let (seconds, offered) = (10.0, rate as u64 * 10);
        Point {
            role: Role::Overload,
            rate,
            peak,
            seconds,
            offered,
            established: 0,
            completed: 0,
            goodput,
            refused: 0,
            failed: 0,
            in_dialog_failed: 0,
            retransmitted: 0,
            sent: 0,
            records: None,
            setup: Latency::default(),
            server: ServerTime::default(),
            foreign_share: 0.0,
            steal_share: 0.0,
            generator_lag_us: 0,
            generator_share: 0.0,
        }
    }

    #[test]
    fn goodput_is_told_in_the_highest_rate_that_was_found_before_it() {
        let mut subject = Subject {
            highest: Some(Highest {
                rate: 1000.0,
                ..Highest::default()
            }),
            points: vec![
                overloaded(8000.0, Some(1600.0), 1552.0),
                overloaded(1950.0, Some(975.0), 975.0),
                overloaded(1601.0, Some(801.0), 800.0),
                overloaded(2200.0, Some(1100.0), 990.0),
            ],
            ..Subject::default()
        };
        let told = |subject: &Subject| {
            let sitting = Sitting {
                subjects: vec![subject.clone()],
                ..Sitting::default()
            };
            let rows = rows(&sitting).into_iter();
            let rows = rows.filter(|row| row.label.starts_with("goodput"));
            rows.map(|row| (row.label, row.cells[0].clone()))
                .collect::<Vec<_>>()
        };
        let row = |factor: &str, cell: &str| {
            let label = format!("goodput at {factor} times the highest rate");
            (label, cell.to_owned())
        };
        assert_eq!(
            told(&subject),
            [
                row("2", "99.9 [90.0..100] %, p99 0 [0..0] ms"),
                row("5", "97.0 %, p99 0 ms")
            ]
        );
        // Where it was looked for only once, that one is it; and what was offered is told where
        // it is less than it should be.
        subject.points = vec![overloaded(2000.0, None, 950.0)];
        subject.points[0].offered = 15_000;
        let cell = "95.0 %, p99 0 ms (the generator made 1.5)";
        assert_eq!(told(&subject), [row("2", cell)]);
    }
}
