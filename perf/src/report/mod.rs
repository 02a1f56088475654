//! The report: one page with everything in it, and a table for the terminal.
//!
//! The page needs no network, no script and no other file: tables, and charts as SVG. It is made
//! of results alone, so that it can be made again from the JSON, of several sittings in one.

mod charts;
mod figures;
mod plot;

use std::fmt::Write as _;

use crate::compare::median::number;
use crate::compare::results::{Point, Sitting, Subject};
use figures::Row;
use plot::escape;

/// The page of these sittings. The first gives its name and date; subjects of the same key are
/// put together.
#[must_use]
pub fn html(sittings: &[Sitting]) -> String {
    let sitting = together(sittings);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>trunkline: {0}, {1}</title>\n\
         <style>\n{2}</style>\n</head>\n<body>\n<main>\n<h1>trunkline: {0}</h1>\n",
        escape(&sitting.name),
        escape(sitting.began.get(..10).unwrap_or_default()),
        include_str!("page.css"),
    );
    facts(&mut page, &sitting);
    ratio_table(&mut page, &sitting);
    figure_table(&mut page, &sitting);
    let drawn: Vec<(String, plot::Chart)> = charts::all(&sitting);
    if !drawn.is_empty() {
        page.push_str("<h2>Plots</h2>\n");
    }
    for (caption, chart) in drawn {
        let (title, caption, svg) = (escape(&chart.title), escape(&caption), chart.svg());
        put(
            &mut page,
            &format!("<figure><figcaption><b>{title}</b>{caption}</figcaption>\n{svg}</figure>"),
        );
    }
    method(&mut page, &sitting);
    points(&mut page, &sitting);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The sitting's table for the terminal.
#[must_use]
pub fn text(sitting: &Sitting) -> String {
    let mut lines = vec![vec![String::new()]];
    lines[0].extend(sitting.subjects.iter().map(|subject| subject.key.clone()));
    lines[0].push("floor".to_owned());
    for Row { label, cells } in figures::rows(sitting) {
        let mut line = vec![label];
        line.extend(cells);
        lines.push(line);
    }
    let mut text = lay_out(&lines);
    let (names, ratios) = figures::ratios(sitting);
    if !ratios.is_empty() {
        let mut lines = vec![vec!["ratio".to_owned(), "goal".to_owned()]];
        lines[0].extend(names);
        for ratio in ratios {
            let mut line = vec![ratio.label, ratio.goal.to_owned()];
            line.extend(ratio.cells);
            lines.push(line);
        }
        text.push('\n');
        text.push_str(&lay_out(&lines));
    }
    for subject in &sitting.subjects {
        for trouble in &subject.troubles {
            put(&mut text, &format!("{}: {trouble}", subject.key));
        }
    }
    text
}

/// The first column to the left, the others to the right.
fn lay_out(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let fill = " ".repeat(widths[column] - cell.chars().count());
            match column {
                0 => row.push_str(&format!("{cell}{fill}")),
                _ => row.push_str(&format!("  {fill}{cell}")),
            }
        }
        put(&mut text, row.trim_end());
    }
    text
}

fn put(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

/// Several sittings as one: subjects by key, points and floors one after the other.
fn together(sittings: &[Sitting]) -> Sitting {
    let Some((first, others)) = sittings.split_first() else {
        return Sitting::default();
    };
    let mut whole = first.clone();
    for sitting in others {
        whole.seconds += sitting.seconds;
        whole.notes.extend(sitting.notes.iter().cloned());
        whole.floor.extend(&sitting.floor);
        for subject in &sitting.subjects {
            match whole
                .subjects
                .iter_mut()
                .find(|known| known.key == subject.key)
            {
                Some(known) => join(known, subject),
                None => whole.subjects.push(subject.clone()),
            }
        }
    }
    whole.notes.dedup();
    whole
}

fn join(known: &mut Subject, other: &Subject) {
    known.highest = known.highest.take().or_else(|| other.highest.clone());
    known.idle_bench_pss_bytes = other.idle_bench_pss_bytes.or(known.idle_bench_pss_bytes);
    known.establishment = other
        .establishment
        .clone()
        .or_else(|| known.establishment.take());
    known.held = other.held.clone().or_else(|| known.held.take());
    known.instructions = other
        .instructions
        .clone()
        .or_else(|| known.instructions.take());
    known.counted.extend(&other.counted);
    known.points.extend(other.points.iter().cloned());
    known.idle_pss_bytes.extend(&other.idle_pss_bytes);
    known.troubles.extend(other.troubles.iter().cloned());
}

fn facts(page: &mut String, sitting: &Sitting) {
    let machine = &sitting.machine;
    let kind = if machine.is_virtual {
        "a virtual machine"
    } else {
        "bare metal"
    };
    put(
        page,
        &format!(
            "<p class=\"facts\">{}, {} minutes · {} · {} cores, {} · Linux {} · {:.0} GB · {}</p>",
            escape(&sitting.began),
            sitting.seconds.div_ceil(60),
            escape(&machine.processor),
            machine.cores,
            kind,
            escape(&machine.kernel),
            machine.memory_bytes as f64 / 1e9,
            escape(&machine.versions.join(" · ")),
        ),
    );
    let counters = match machine.counts_instructions {
        true => "The processor's counters are there.",
        false => {
            "The processor's instruction counters are not available on this machine (perf stat): \
             instructions are callgrind's where they were counted, and in user space only."
        }
    };
    page.push_str("<div class=\"notes\">\n");
    for note in sitting.notes.iter().map(String::as_str).chain([counters]) {
        put(page, &format!("<p>{}</p>", escape(note)));
    }
    page.push_str("</div>\n");
}

fn ratio_table(page: &mut String, sitting: &Sitting) {
    let (names, ratios) = figures::ratios(sitting);
    if ratios.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Ratios</h2>\n<p class=\"soft\">Of medians of the same sitting; of Kamailio \
                   the cheapest with 2 or 4 children.</p>\n<div class=\"scroll\"><table><thead><tr>\
                   <th>ratio</th><th>goal</th>",
    );
    for name in names {
        put(page, &format!("<th>{}</th>", escape(&name)));
    }
    page.push_str("</tr></thead><tbody>\n");
    for ratio in ratios {
        let mut row = format!(
            "<tr><th>{}</th><td>{}</td>",
            escape(&ratio.label),
            ratio.goal
        );
        for (cell, met) in ratio.cells.iter().zip(&ratio.met) {
            let class = match met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            let _infallible = write!(row, "<td class=\"{class}\">{}</td>", escape(cell));
        }
        put(page, &(row + "</tr>"));
    }
    page.push_str("</tbody></table></div>\n");
}

fn figure_table(page: &mut String, sitting: &Sitting) {
    page.push_str(
        "<h2>Figures</h2>\n<p class=\"soft\">Medians [least..greatest] of the rounds. \
                   The floor is what the same datagrams cost the kernel in batches, with nothing \
                   in between and a peer that waits for them as the generator does.</p>\n<div class=\"scroll\"><table><thead><tr><th></th>",
    );
    for subject in &sitting.subjects {
        put(page, &format!("<th>{}</th>", escape(&subject.title)));
    }
    page.push_str("<th>floor</th></tr></thead><tbody>\n");
    for Row { label, cells } in figures::rows(sitting) {
        let class = if label.starts_with('…') {
            " class=\"part\""
        } else {
            ""
        };
        let mut row = format!("<tr{class}><th>{}</th>", escape(&label));
        for (place, cell) in cells.iter().enumerate() {
            let is_ours = sitting
                .subjects
                .get(place)
                .is_some_and(|subject| subject.key.starts_with("trunkline"));
            let class = if is_ours { " class=\"ours\"" } else { "" };
            let cell = escape(cell).replacen(" [", "<br><small>[", 1);
            let end = if cell.contains("<small>") {
                "</small>"
            } else {
                ""
            };
            let _infallible = write!(row, "<td{class}>{cell}{end}</td>");
        }
        put(page, &(row + "</tr>"));
    }
    page.push_str("</tbody></table></div>\n");
    for subject in &sitting.subjects {
        if let Some((rate, why)) = subject.highest.as_ref().and_then(|h| h.failed_at.as_ref()) {
            let (title, rate, why) = (escape(&subject.title), number(*rate), escape(why));
            put(
                page,
                &format!("<p class=\"soft\">{title}: not passed at {rate}/s: {why}.</p>"),
            );
        }
        for trouble in &subject.troubles {
            let (title, trouble) = (escape(&subject.title), escape(trouble));
            put(page, &format!("<p class=\"soft\">{title}: {trouble}</p>"));
        }
    }
}

fn method(page: &mut String, sitting: &Sitting) {
    let options = &sitting.options;
    let share = options.server_share.map_or_else(String::new, |share| {
        format!(
            " The servers had only {} % of their core, so that the generator could offer many \
             times what they carry.",
            number(share * 100.0)
        )
    });
    let waits = match options.generator_spins {
        true => " The generator never slept, so that no server paid for waking it.",
        false => {
            " The generator slept when it had nothing to do; waking it counts as the server's."
        }
    };
    let trains = match options.generator_takes_trains {
        true => {
            " It took datagrams that were sent as one as one, so that no server paid for cutting \
             them apart."
        }
        false => "",
    };
    let cores: Vec<String> = options
        .generator_cores
        .iter()
        .map(usize::to_string)
        .collect();
    put(
        page,
        &format!(
            "<h2>How it was taken</h2>\n<p>One server at a time on core {}, all its threads and \
         processes; callers and callees on core {}. Loopback, one source, one sink (four with \
         prefixes, 2.5 % of the calls refused by the first gateway). Calls come at an even rate \
         whatever the answers (open loop), ring {} ms and are held for {} ms; a call is an INVITE \
         with SDP, 180, 200, ACK, BYE, 200. Warm-up {} s, then {} s measured, {} rounds, the \
         servers by turns, each point with a fresh server.{}{waits}{trains}</p>\n\
         <p>CPU is the scheduler's run time of all threads of the server; the division into user \
         space and kernel is the kernel's own, by clock ticks. Set-up is INVITE due to 2xx \
         received, without the callee's ringing, so it holds two passes through the server. The \
         highest rate is the highest with no failed call and with less than 0.1 % \
         retransmissions; a failure counts if it happens twice.</p>",
            options.server_core,
            cores.join(", "),
            options.ring_ms,
            options.hold_ms,
            options.warm_up_seconds,
            options.point_seconds,
            options.rounds,
            share,
        ),
    );
}

fn points(page: &mut String, sitting: &Sitting) {
    page.push_str(
        "<details><summary>All points</summary>\n<div class=\"scroll\"><table><thead><tr>\
                   <th>server</th><th>why</th><th>calls/s</th><th>s</th><th>offered</th>\
                   <th>completed</th><th>refused</th><th>failed</th><th>repeated</th>\
                   <th>CPU µs</th><th>p50 µs</th><th>p99 µs</th><th>p99.9 µs</th><th>server %</th>\
                   <th>others %</th><th>steal %</th><th>generator %</th><th>lag µs</th>\
                   </tr></thead><tbody>\n",
    );
    for subject in &sitting.subjects {
        for point in &subject.points {
            put(page, &point_row(&subject.key, point));
        }
    }
    page.push_str("</tbody></table></div></details>\n");
}

fn point_row(key: &str, point: &Point) -> String {
    let cells = [
        format!("{:?}", point.role).to_lowercase(),
        number(point.rate),
        format!("{:.1}", point.seconds),
        point.offered.to_string(),
        point.completed.to_string(),
        point.refused.to_string(),
        point.failed.to_string(),
        point.retransmitted.to_string(),
        number(point.server.cpu_us_per_call),
        point.setup.p50_us.to_string(),
        point.setup.p99_us.to_string(),
        point.setup.p999_us.to_string(),
        format!("{:.0}", point.server.share * 100.0),
        format!("{:.0}", point.foreign_share * 100.0),
        format!("{:.1}", point.steal_share * 100.0),
        format!("{:.0}", point.generator_share * 100.0),
        point.generator_lag_us.to_string(),
    ];
    format!(
        "<tr><th>{}</th><td>{}</td></tr>",
        escape(key),
        cells.join("</td><td>")
    )
}
