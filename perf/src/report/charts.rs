//! Which charts a sitting gives: rate against latency and CPU, offered load against goodput,
//! held calls against memory.

use super::figures::{by_factor, floor_us};
use super::plot::{Axis, Chart, Dot, Scale, Series, Style};
use crate::compare::median::Median;
use crate::compare::results::{Point, Role, Sitting, Subject};

/// All charts that have something to show, each with its caption.
pub(crate) fn all(sitting: &Sitting) -> Vec<(String, Chart)> {
    let charts = [
        latency(sitting, "p50", |point| point.setup.p50_us as f64),
        latency(sitting, "p99", |point| point.setup.p99_us as f64),
        cpu(sitting),
        goodput(sitting),
        goodput_in_peaks(sitting),
        memory(sitting),
    ];
    let with_dots = |(_, chart): &(String, Chart)| !chart.series.is_empty();
    charts.into_iter().filter(with_dots).collect()
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
    }
}

/// A family of servers has one colour; more children make its line dashed.
fn style(subject: &Subject, place: usize) -> Style {
    const FAMILIES: [&str; 8] = [
        "trunkline",
        "trunkline-coalesced",
        "trunkline-prefixes",
        "kamailio-stateless",
        "kamailio-relay",
        "kamailio-dialog",
        "kamailio-prefixes",
        "trunkline-tuned",
    ];
    let (family, children) = match subject.key.rsplit_once('-') {
        Some((family, children)) if children.bytes().all(|b| b.is_ascii_digit()) => {
            (family, children)
        }
        _ => (subject.key.as_str(), ""),
    };
    let known = FAMILIES.iter().position(|name| *name == family);
    Style {
        colour: known.unwrap_or(place % 8),
        is_dashed: children == "4",
    }
}

/// One line for each subject that has dots, in the order of x.
fn lines(sitting: &Sitting, dots: impl Fn(&Subject) -> Vec<Dot>) -> Vec<Series> {
    let subjects = sitting.subjects.iter().enumerate();
    let series = subjects.map(|(place, subject)| {
        let mut dots = dots(subject);
        dots.sort_by(|a, b| a.x.total_cmp(&b.x));
        Series {
            label: subject.title.clone(),
            style: style(subject, place),
            dots,
        }
    });
    series.filter(|series| !series.dots.is_empty()).collect()
}

/// Medians over points of (nearly) the same rate that carried all their calls.
fn by_rate(subject: &Subject, value: impl Fn(&Point) -> f64) -> Vec<Dot> {
    const SAME: f64 = 0.005;
    let carried = |point: &&Point| point.role != Role::Overload && point.failed == 0;
    let mut points: Vec<&Point> = subject.points.iter().filter(carried).collect();
    points.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let same = |a: &&Point, b: &&Point| b.rate - a.rate <= a.rate * SAME;
    let groups = points.chunk_by(same);
    let dots = groups.filter_map(|group| {
        let median = Median::of(group.iter().map(|point| value(point)))?;
        Some(spread(group[0].rate, median))
    });
    dots.collect()
}

fn latency(sitting: &Sitting, name: &str, value: fn(&Point) -> f64) -> (String, Chart) {
    let caption = "INVITE due to 2xx received, without the callee's ringing; medians, with least \
                   and greatest. Runs with failed calls are left out.";
    let chart = Chart {
        title: format!("Rate against set-up latency, {name}"),
        x: axis("calls a second", Scale::Linear),
        y: axis("µs", Scale::Log),
        series: lines(sitting, |subject| by_rate(subject, value)),
        lines: vec![],
    };
    (caption.to_owned(), chart)
}

fn cpu(sitting: &Sitting) -> (String, Chart) {
    let caption = "The scheduler's run time of all threads of the server, for each completed call. \
                   It falls with the rate, because a wake-up then serves more datagrams.";
    let floor = floor_us(&sitting.floor).map(|floor| (floor.median, "floor".to_owned()));
    let chart = Chart {
        title: "Rate against CPU time of a call".to_owned(),
        x: axis("calls a second", Scale::Linear),
        y: axis("µs of CPU a call", Scale::Linear),
        series: lines(sitting, |subject| {
            by_rate(subject, |point| point.server.cpu_us_per_call)
        }),
        lines: floor.into_iter().collect(),
    };
    (caption.to_owned(), chart)
}

/// A median with its spread at `x`.
fn spread(x: f64, median: Median) -> Dot {
    Dot {
        x,
        y: median.median,
        least: median.least,
        greatest: median.greatest,
    }
}

fn dot(x: f64, y: f64) -> Dot {
    Dot {
        x,
        y,
        least: y,
        greatest: y,
    }
}

fn goodput(sitting: &Sitting) -> (String, Chart) {
    let caption = "Calls set up and hung up properly, a second, with callers that repeat what gets \
                   no answer.";
    let chart = Chart {
        title: "Offered load against goodput".to_owned(),
        x: axis("calls a second offered", Scale::Log),
        y: axis("calls a second completed", Scale::Linear),
        series: lines(sitting, |subject| {
            let dots = by_factor(subject).into_iter().filter_map(|stretches| {
                let offered =
                    stretches.median(|(point, _)| point.offered as f64 / point.seconds)?;
                let goodput = stretches.median(|(point, _)| point.goodput)?;
                Some(spread(offered.median, goodput))
            });
            dots.collect()
        }),
        lines: vec![],
    };
    (caption.to_owned(), chart)
}

fn goodput_in_peaks(sitting: &Sitting) -> (String, Chart) {
    let caption = "The same, each server against its own highest rate as it was right before.";
    let chart = Chart {
        title: "Offered load against goodput, in highest rates".to_owned(),
        x: axis("offered, in highest rates", Scale::Log),
        y: axis("completed, % of the highest rate", Scale::Linear),
        series: lines(sitting, |subject| {
            let dots = by_factor(subject).into_iter().filter_map(|stretches| {
                let goodput = stretches.median(|(point, peak)| point.goodput / peak * 100.0)?;
                Some(spread(stretches.offered()?.median, goodput))
            });
            dots.collect()
        }),
        lines: vec![(100.0, "highest rate".to_owned())],
    };
    (caption.to_owned(), chart)
}

fn memory(sitting: &Sitting) -> (String, Chart) {
    let caption = "Resident memory (PSS of all processes) while calls pile up at an even rate. In \
                   the first 32 s every call also has two transactions in Accepted.";
    let chart = Chart {
        title: "Memory against held calls".to_owned(),
        x: axis("calls held", Scale::Linear),
        y: axis("MB", Scale::Linear),
        series: lines(sitting, |subject| {
            let points = subject.held.iter().flat_map(|held| &held.points);
            points
                .map(|point| dot(point.calls as f64, point.pss_bytes as f64 / 1e6))
                .collect()
        }),
        lines: vec![],
    };
    (caption.to_owned(), chart)
}
