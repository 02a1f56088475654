//! Decks and currencies: which files say what calls cost, and what money is worth.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base::Money;

use crate::peers::{Names, name};
use crate::section::{At, Section, cut};
use crate::{CurrencyWorth, Deck, Margin};

/// How many later files a deck may have: one a day for half a year.
const UPDATES_MAX: usize = 200;

const CURRENCY: &str = "the three capital letters of a currency, such as \"USD\"";

/// `[money]` and `[[currency]]`: the currency that all prices are compared in, and what others are
/// worth in it.
pub(crate) fn money(root: &Section<'_>) -> (String, Vec<CurrencyWorth>) {
    let section = root.table("money");
    let common = section.text("currency");
    if let Some(text) = common {
        check_currency(&section, text);
    }
    let common = common.map_or("USD", |text| text.value).to_owned();
    let mut given: HashMap<&str, usize> = HashMap::new();
    let mut worths = Vec::new();
    for section in root.tables("currency") {
        let Some(text) = section.required("name", CURRENCY) else {
            continue;
        };
        check_currency(&section, text);
        if text.value == common {
            let remedy = "take it out: all prices are compared in it";
            section.refuse(text, "another currency than that of [money]", remedy);
        }
        if let Some(first) = given.insert(text.value, text.at) {
            section.twice(
                text.at,
                format_args!("the currency `{}`", text.value),
                first,
            );
        }
        let expected = format!("what one unit is worth in {common}, as a text: \"1.08\"");
        let Some(worth) = section.required("worth", &expected) else {
            continue;
        };
        match Money::parse(worth.value).filter(|worth| *worth > Money::ZERO) {
            Some(amount) => worths.push(CurrencyWorth {
                name: text.value.to_owned(),
                worth: amount,
            }),
            None => section.refuse(
                worth,
                expected,
                "write digits with a point, up to 8 behind it",
            ),
        }
    }
    (common, worths)
}

fn check_currency(section: &Section<'_>, text: At<&str>) {
    if text.value.len() != 3 || !text.value.bytes().all(|octet| octet.is_ascii_uppercase()) {
        section.refuse(text, CURRENCY, "write its code of ISO 4217");
    }
}

/// `[[deck]]`. Files are looked for in `folder`.
pub(crate) fn decks(root: &Section<'_>, folder: &Path) -> Vec<Deck> {
    let mut names = Names::new();
    let sections = root.tables("deck");
    sections
        .iter()
        .map(|section| {
            let file = section.required("file", "the file with the prices");
            Deck {
                name: name(section, "deck", &mut names),
                file: folder.join(file.map_or("", |file| file.value)),
                updates: updates(section, folder),
                dialect: section.text("dialect").map(|text| folder.join(text.value)),
            }
        })
        .collect()
}

/// The files of later prices, in their order.
fn updates(section: &Section<'_>, folder: &Path) -> Vec<PathBuf> {
    let given = section.texts("updates").unwrap_or_default();
    if let Some(first) = given.get(UPDATES_MAX) {
        let expected = format!("at most {UPDATES_MAX} updates of a deck");
        let remedy = "ask the carrier for a whole deck, and begin again with that";
        section.refuse(*first, expected, remedy);
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for file in &given {
        if let Some(first) = seen.insert(file.value, file.at) {
            section.twice(
                file.at,
                format_args!("the file `{}`", cut(file.value)),
                first,
            );
        }
    }
    let taken = given.iter().take(UPDATES_MAX);
    taken.map(|file| folder.join(file.value)).collect()
}

/// The deck that a trunk or a gateway names.
pub(crate) fn deck_of(section: &Section<'_>, decks: &[Deck]) -> Option<String> {
    let text = section.text("deck")?;
    section.check_known(text, "deck", decks.iter().map(|deck| deck.name.as_str()));
    Some(text.value.to_owned())
}

/// `"10 %"`, `"0.002"` or `"any"`.
pub(crate) fn margin(section: &Section<'_>) -> Margin {
    let Some(text) = section.text("margin") else {
        return Margin::Permille(0);
    };
    margin_of(text.value).unwrap_or_else(|| {
        let expected = "a share of what the customer pays (\"10 %\", \"-2.5 %\"), an amount a call (\"0.002\"), or \"any\"";
        let remedy = "write \"0 %\" never to sell at a loss";
        section.report.add(text.at, format!("`{}`", cut(text.value)), expected, remedy);
        Margin::Permille(0)
    })
}

fn margin_of(text: &str) -> Option<Margin> {
    if text == "any" {
        return Some(Margin::Any);
    }
    let Some(share) = text.strip_suffix('%') else {
        return Money::parse(text).map(Margin::Amount);
    };
    let parts = Money::parse(share.trim_end())?.parts();
    let permille = Money::UNIT / 10;
    // Up to a thousand per cent either way, in tenths of one.
    let is_fit = parts % permille == 0 && (parts / permille).abs() <= 10_000;
    is_fit.then_some(Margin::Permille((parts / permille) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_as_people_write_them() {
        let amount = |text| Some(Margin::Amount(Money::parse(text).unwrap()));
        for (text, want) in [
            ("10 %", Some(Margin::Permille(100))),
            ("10%", Some(Margin::Permille(100))),
            ("-2.5 %", Some(Margin::Permille(-25))),
            ("0 %", Some(Margin::Permille(0))),
            ("0.002", amount("0.002")),
            ("-0.01", amount("-0.01")),
            ("any", Some(Margin::Any)),
            ("0.25 %", None),
            ("1001 %", None),
            ("ten", None),
            ("%", None),
            ("", None),
        ] {
            assert_eq!(margin_of(text), want, "{text:?}");
        }
    }
}
