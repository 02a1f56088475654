//! A report for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use perf::latency::Latency;
use perf::load::{Again, Asked, Report};

/// The table of a report.
pub(crate) fn of(report: &Report) -> String {
    let mut text = String::new();
    put(report, &mut text).expect("a string takes all that is written to it");
    text
}

fn put(report: &Report, out: &mut String) -> fmt::Result {
    if report.plan.sources.is_empty() {
        return put_sinks(report, out);
    }
    put_calls(report, out)?;
    put_asked("OPTIONS", &report.options, out)?;
    put_asked("REGISTER", &report.registers, out)?;
    put_latencies(report, out)?;
    if report.sources.len() > 1 {
        put_sources(report, out)?;
    }
    put_sinks(report, out)?;
    put_generator(report, out)
}

fn put_calls(report: &Report, out: &mut String) -> fmt::Result {
    let (calls, failed) = (&report.calls, &report.calls.failed);
    let share = |count: u64| count as f64 * 100.0 / calls.attempts.max(1) as f64;
    let mut line =
        |name: &str, count: u64| writeln!(out, "  {name:<34}{count:>10}  {:>8.3} %", share(count));
    line("calls attempted", calls.attempts)?;
    line("established", calls.established)?;
    line("completed (BYE answered)", calls.completed)?;
    for (status, count) in &calls.refused {
        line(&format!("refused with {status}"), *count)?;
    }
    line("failed", failed.total())?;
    let causes = [
        ("no response", failed.no_response),
        ("no final response", failed.no_final),
        ("rang until CANCEL", failed.no_answer),
        ("BYE without response", failed.bye_no_response),
        ("200 that makes no dialog", failed.bad_answer),
        ("connection broken", failed.broken),
        ("not over at the end", calls.unfinished),
        ("held back by the generator", calls.held_back),
    ];
    for (name, count) in causes {
        if count > 0 {
            line(&format!("  {name}"), count)?;
        }
    }
    for (status, count) in &failed.status {
        line(&format!("  INVITE answered {status}"), *count)?;
    }
    for (status, count) in &failed.bye_status {
        line(&format!("  BYE answered {status}"), *count)?;
    }
    let again = report.retransmissions_sent.total();
    line("retransmissions sent", again)?;
    for (what, again) in [
        ("sent", &report.retransmissions_sent),
        ("seen", &report.retransmissions_seen),
    ] {
        if again.total() > 0 {
            writeln!(out, "    {what}: {}", kinds(again))?;
        }
    }
    if report.generator.ack_answered > 0 {
        let count = report.generator.ack_answered;
        writeln!(out, "  ACKs answered, which none may be    {count:>10}")?;
    }
    let window = &report.window;
    let per_second = |count: u64| count as f64 / window.seconds.max(1e-9);
    writeln!(
        out,
        "  in {:.1} s: {:.1} established/s, {:.0} messages/s in, {:.0} out; {} calls up at its end",
        window.seconds,
        per_second(window.established),
        per_second(window.received),
        per_second(window.sent),
        window.active,
    )
}

fn kinds(again: &Again) -> String {
    let all = [
        ("INVITE", again.invite),
        ("ACK", again.ack),
        ("BYE", again.bye),
        ("CANCEL", again.cancel),
        ("OPTIONS", again.options),
        ("REGISTER", again.register),
        ("final for INVITE", again.invite_final),
        ("other response", again.response),
    ];
    let some = all.iter().filter(|(_, count)| *count > 0);
    let words: Vec<String> = some
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.join(", ")
}

fn put_asked(name: &str, asked: &Asked, out: &mut String) -> fmt::Result {
    if asked.attempts == 0 {
        return Ok(());
    }
    let others: BTreeMap<u16, u64> = asked
        .refused
        .clone()
        .into_iter()
        .chain(asked.failed.clone())
        .collect();
    write!(
        out,
        "  {name:<34}{:>10}  answered {}",
        asked.attempts, asked.answered
    )?;
    for (status, count) in others {
        write!(out, ", {status}: {count}")?;
    }
    writeln!(out, ", no response {}", asked.no_response)
}

fn put_latencies(report: &Report, out: &mut String) -> fmt::Result {
    let latency = &report.latency;
    let rows = [
        ("set-up (less ringing)", &latency.setup),
        ("set-up from the real sending", &latency.setup_from_sent),
        ("first response", &latency.trying),
        ("post-dial delay", &latency.pdd),
        ("answer (with ringing)", &latency.answer),
        ("BYE", &latency.bye),
        ("refusal", &latency.refusal),
        ("OPTIONS", &report.options.latency),
        ("REGISTER", &report.registers.latency),
        ("generator's own lag", &report.generator.lag),
    ];
    let head = ["p50", "p90", "p99", "p99.9", "max us"];
    write!(out, "\n  {:<34}", "from the time when it was due")?;
    put_row(head, out)?;
    for (name, latency) in rows {
        if latency.count > 0 {
            write!(out, "  {name:<34}")?;
            put_row(percentiles(latency), out)?;
        }
    }
    Ok(())
}

fn percentiles(latency: &Latency) -> [u64; 5] {
    [
        latency.p50_us,
        latency.p90_us,
        latency.p99_us,
        latency.p999_us,
        latency.max_us,
    ]
}

fn put_row<T: Display>(cells: [T; 5], out: &mut String) -> fmt::Result {
    for cell in cells {
        write!(out, "{cell:>10}")?;
    }
    writeln!(out)
}

fn put_sources(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\n  {:<24}{:>10}{:>13}{:>10}{:>10}{:>14}{:>10}",
        "source", "attempts", "established", "refused", "failed", "set-up p50", "p99 us"
    )?;
    for source in &report.sources {
        let calls = &source.calls;
        writeln!(
            out,
            "  {:<24}{:>10}{:>13}{:>10}{:>10}{:>14}{:>10}",
            source
                .address
                .map_or("?".to_owned(), |address| address.to_string()),
            calls.attempts,
            calls.established,
            calls.refused_total(),
            calls.failed.total(),
            source.setup.p50_us,
            source.setup.p99_us,
        )?;
    }
    Ok(())
}

fn put_sinks(report: &Report, out: &mut String) -> fmt::Result {
    if report.sinks.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n  {:<24}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "sink (warm-up too)", "offered", "answered", "ACK", "BYE", "refused", "silent", "others"
    )?;
    for sink in &report.sinks {
        writeln!(
            out,
            "  {:<24}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            sink.address
                .map_or("?".to_owned(), |address| address.to_string()),
            sink.invites,
            sink.answered,
            sink.acknowledged,
            sink.byes,
            sink.refused,
            sink.silent,
            sink.cancelled + sink.options + sink.registers + sink.strays,
        )?;
    }
    Ok(())
}

fn put_generator(report: &Report, out: &mut String) -> fmt::Result {
    let generator = &report.generator;
    writeln!(out)?;
    for core in &generator.cores {
        let name = core.core.map_or("a thread, unpinned".to_owned(), |core| {
            format!("core {core}")
        });
        write!(
            out,
            "  generator, {name:<23}{:>10.1} % own CPU",
            core.own_share * 100.0
        )?;
        if let (Some(busy), Some(steal)) = (core.busy_share, core.steal_share) {
            let (busy, steal) = (busy * 100.0, steal * 100.0);
            write!(out, ", core {busy:.1} % busy, {steal:.1} % stolen")?;
        }
        writeln!(out)?;
    }
    if generator.strays > 0 {
        writeln!(out, "  {} messages belonged to no call", generator.strays)?;
    }
    for limit in &generator.limits {
        writeln!(out, "  LIMITED BY THE GENERATOR: {limit}")?;
    }
    for path in &report.truth {
        writeln!(out, "  truth: {}", path.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_table_tells_what_people_ask_first() {
        let report = crate::run::direct();
        let table = super::of(&report);
        let row = |name: &str| {
            let line = table.lines().find(|line| line.trim().starts_with(name));
            line.unwrap_or_else(|| panic!("{name} in {table}"))
                .to_owned()
        };
        assert!(row("calls attempted").contains(" 20 "), "{table}");
        assert!(row("established").contains("100.000 %"), "{table}");
        assert!(row("failed").contains(" 0 "), "{table}");
        for name in ["set-up (less", "BYE", "sink", "generator,"] {
            row(name);
        }
    }
}
