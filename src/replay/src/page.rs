//! The comparison as one page: tables, and each vendor's share as bars. No script, nothing from
//! elsewhere.

use std::fmt::Write as _;

use crate::report::{Words, moves, share, summary, vendors};
use crate::tally::Tally;

/// Vendors that have bars of their own; the rest is in the table.
const BARS_MAX: usize = 32;
const LABEL_WIDTH: f64 = 220.0;
const BAR_WIDTH: f64 = 560.0;
const BAR_HEIGHT: f64 = 11.0;
const ROW_HEIGHT: f64 = 32.0;

const STYLE: &str = "\
:root { color-scheme: light dark; --text: #1b1f24; --soft: #656d76; --line: #d0d7de; --before: #9aa4b1; --after: #1a7f64; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #8d96a0; --line: #3d444d; --before: #6b7684; --after: #3fb68f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: Canvas; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--text); font-size: 13px; } svg .soft { fill: var(--soft); font-size: 11px; }
.before { fill: var(--before); } .after { fill: var(--after); } p { color: var(--soft); }
";

/// The page. `facts` are lines that say what was compared.
#[must_use]
pub fn page(tally: &Tally, words: &Words, facts: &[String]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Recorded calls, routed again</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Recorded calls, routed again</h1>\n"
    );
    for fact in facts.iter().chain(&moves(tally)) {
        put(&mut page, &format!("<p>{}</p>", escape(fact)));
    }
    table(&mut page, &summary(tally, words));
    put(&mut page, "<h2>Share of answered minutes</h2>");
    bars(&mut page, tally, words);
    put(&mut page, "<h2>Vendors</h2>");
    table(&mut page, &vendors(tally, words));
    page.push_str("</body>\n</html>\n");
    page
}

fn table(page: &mut String, rows: &[Vec<String>]) {
    page.push_str("<table>\n");
    for (at, row) in rows.iter().enumerate() {
        let tag = if at == 0 { "th" } else { "td" };
        page.push_str("<tr>");
        for cell in row {
            let _infallible = write!(page, "<{tag}>{}</{tag}>", escape(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

/// Two bars for each vendor: its share of the answered minutes in either world.
fn bars(page: &mut String, tally: &Tally, words: &Words) {
    let rows = tally.vendors();
    let rows = &rows[..rows.len().min(BARS_MAX)];
    let part = |duration_us: u64, all_us: u64| duration_us as f64 / all_us.max(1) as f64;
    let (all_before, all_after) = (tally.before.duration_us, tally.after.duration_us);
    let shares: Vec<(f64, f64)> = rows
        .iter()
        .map(|(_, one, other)| {
            (
                part(one.duration_us, all_before),
                part(other.duration_us, all_after),
            )
        })
        .collect();
    let most = shares
        .iter()
        .fold(0.01_f64, |most, (one, other)| most.max(*one).max(*other));
    let width = LABEL_WIDTH + BAR_WIDTH + 90.0;
    let height = rows.len() as f64 * ROW_HEIGHT + 30.0;
    put(
        page,
        &format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"Share of answered minutes by vendor\">"
        ),
    );
    legend(page, words);
    for (at, ((name, ..), (one, other))) in rows.iter().zip(&shares).enumerate() {
        let top = 30.0 + at as f64 * ROW_HEIGHT;
        put(
            page,
            &format!(
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LABEL_WIDTH - 10.0,
                top + BAR_HEIGHT + 4.0,
                escape(&shortened(name))
            ),
        );
        for (place, (class, share_of)) in
            [("before", one), ("after", other)].into_iter().enumerate()
        {
            let y = top + place as f64 * (BAR_HEIGHT + 1.0);
            let width = *share_of / most * BAR_WIDTH;
            put(
                page,
                &format!(
                    "<rect class=\"{class}\" x=\"{LABEL_WIDTH:.0}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT:.0}\"/>"
                ),
            );
            put(
                page,
                &format!(
                    "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    LABEL_WIDTH + width + 6.0,
                    y + BAR_HEIGHT - 1.0,
                    share((share_of * 1e6) as i128, 1_000_000)
                ),
            );
        }
    }
    put(page, "</svg>");
}

fn legend(page: &mut String, words: &Words) {
    for (place, (class, name)) in [("before", &words.before), ("after", &words.after)]
        .iter()
        .enumerate()
    {
        let x = LABEL_WIDTH + place as f64 * 220.0;
        put(
            page,
            &format!(
                "<rect class=\"{class}\" x=\"{x:.0}\" y=\"2\" width=\"12\" height=\"12\"/>\
                 <text x=\"{:.0}\" y=\"13\">{}</text>",
                x + 18.0,
                escape(name)
            ),
        );
    }
}

fn shortened(name: &str) -> String {
    const LETTERS_MAX: usize = 28;
    match name.chars().count() {
        0..=LETTERS_MAX => name.to_owned(),
        _ => name.chars().take(LETTERS_MAX - 1).chain(['…']).collect(),
    }
}

fn put(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

/// Names come from configurations and records: none of them is markup.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            _ => safe.push(letter),
        }
    }
    safe
}
