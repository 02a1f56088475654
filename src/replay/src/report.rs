//! The comparison as rows of words: for a terminal and for the page.

use base::Money;

use crate::fate::Lost;
use crate::tally::{Side, Tally, Vendor};

/// What the two worlds are called, and the currency of the figures.
#[derive(Clone, Debug)]
pub struct Words {
    /// The world that is compared with.
    pub before: String,
    /// The staged one.
    pub after: String,
    /// The common currency.
    pub currency: String,
}

/// A figure's name, and the figure of a world.
type Figure<T> = (&'static str, fn(&Side) -> T);

/// The comparison as a whole: a title line, then a line for each figure.
#[must_use]
pub fn summary(tally: &Tally, words: &Words) -> Vec<Vec<String>> {
    let (before, after) = (&tally.before, &tally.after);
    let mut rows = vec![line(["", &words.before, &words.after, "change"])];
    let counts: [Figure<u64>; 5] = [
        ("calls", |side| side.calls),
        ("offered to a vendor", |side| side.offered),
        ("answered", |side| side.answered),
        ("minutes", |side| side.duration_us / 60_000_000),
        ("answered at a loss", |side| side.at_a_loss),
    ];
    for (name, of) in counts {
        rows.push(counted(name, of(before), of(after)));
    }
    let amounts: [Figure<i128>; 3] = [
        ("income", |side| side.income),
        ("cost", |side| side.cost),
        ("margin", |side| side.margin),
    ];
    for (name, of) in amounts {
        let (one, other) = (of(before), of(after));
        let name = format!("{name}, {}", words.currency);
        rows.push(line([
            &name,
            &money(one),
            &money(other),
            &signed(other - one, money),
        ]));
    }
    rows.push(line([
        "margin of income",
        &share(before.margin, before.margin_of),
        &share(after.margin, after.margin_of),
        "",
    ]));
    rows.push(counted(
        "answered without both prices",
        before.unpriced,
        after.unpriced,
    ));
    for why in Lost::ALL {
        let of = |side: &Side| side.lost.get(&why).copied().unwrap_or(0);
        if of(before) + of(after) > 0 {
            let name = format!("offered to nobody: {}", why.text());
            rows.push(counted(&name, of(before), of(after)));
        }
    }
    rows
}

/// What changes sides: a line of words for each.
#[must_use]
pub fn moves(tally: &Tally) -> Vec<String> {
    let of_calls = |count: u64| share(i128::from(count), i128::from(tally.after.calls));
    let mut told = vec![format!(
        "{} calls ({}) end with another vendor",
        tally.moved,
        of_calls(tally.moved)
    )];
    if tally.after.assumed > 0 {
        told.push(format!(
            "{} calls ({}) would be answered by a vendor that did not answer them: taken for granted",
            tally.after.assumed,
            of_calls(tally.after.assumed)
        ));
    }
    for (why, count) in &tally.newly_lost {
        told.push(format!(
            "{count} calls ({}) would be offered to nobody any more: {}",
            of_calls(*count),
            why.text()
        ));
    }
    if tally.found > 0 {
        told.push(format!(
            "{} calls ({}) that were offered to nobody would be offered",
            tally.found,
            of_calls(tally.found)
        ));
    }
    told
}

/// The vendors: a title line, then a line for each gateway.
#[must_use]
pub fn vendors(tally: &Tally, words: &Words) -> Vec<Vec<String>> {
    let (before, after) = (&words.before, &words.after);
    let titles = [
        "gateway".to_owned(),
        format!("calls, {before}"),
        after.clone(),
        format!("minutes, {before}"),
        after.clone(),
        format!("share of minutes, {before}"),
        after.clone(),
        format!("cost, {before}"),
        after.clone(),
    ];
    let mut rows = vec![titles.to_vec()];
    let total = |side: &Side| i128::from(side.duration_us);
    let (all_before, all_after) = (total(&tally.before), total(&tally.after));
    for (name, one, other) in tally.vendors() {
        let minutes = |vendor: &Vendor| (vendor.duration_us / 60_000_000).to_string();
        rows.push(vec![
            name.to_owned(),
            one.calls.to_string(),
            other.calls.to_string(),
            minutes(&one),
            minutes(&other),
            share(i128::from(one.duration_us), all_before),
            share(i128::from(other.duration_us), all_after),
            money(one.cost),
            money(other.cost),
        ]);
    }
    rows
}

fn line<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn counted(name: &str, before: u64, after: u64) -> Vec<String> {
    let change = i128::from(after) - i128::from(before);
    line([
        name,
        &before.to_string(),
        &after.to_string(),
        &signed(change, |it| it.to_string()),
    ])
}

fn signed(change: i128, text: impl Fn(i128) -> String) -> String {
    match change {
        0 => String::new(),
        1.. => format!("+{}", text(change)),
        _ => text(change),
    }
}

/// An amount with two decimals; sums beyond any amount are the largest.
fn money(parts: i128) -> String {
    let bound = |parts: i128| parts.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    let text = Money::from_parts(bound(parts)).rounded(2).to_string();
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() == 1 => format!("{text}0"),
        Some(_) => text,
        None => format!("{text}.00"),
    }
}

/// A part of a whole in per cent, with one decimal.
pub(crate) fn share(part: i128, whole: i128) -> String {
    match whole {
        0 => String::new(),
        _ => format!("{:.1} %", part as f64 / whole as f64 * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_shares_as_people_read_them() {
        let parts = |text: &str| i128::from(Money::parse(text).unwrap().parts());
        assert_eq!(money(parts("1234.5")), "1234.50");
        assert_eq!(money(parts("-0.129")), "-0.13");
        assert_eq!(money(parts("7")), "7.00");
        assert_eq!(money(i128::MAX), money(i128::from(i64::MAX)));
        assert_eq!(signed(parts("0.5"), money), "+0.50");
        assert_eq!(
            (share(1, 3), share(1, 0)),
            ("33.3 %".to_owned(), String::new())
        );
    }
}
