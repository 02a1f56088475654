//! `[[cap]]` and `[[carrier]]`: how much calls may have together, and what is said of companies.

use base::Money;

use crate::peers::{CALLS, Names, RATE, name, names_of, refuse};
use crate::quality::share;
use crate::routes::prefix;
use crate::screen::screen;
use crate::section::Section;
use crate::{Cap, CapSide, Carrier, DIGITS_MAX, NumberList};

/// The most caps.
pub const CAPS_MAX: usize = 1_024;
/// Beginnings of numbers of one cap.
const PREFIXES_MAX: usize = 1_024;

pub(crate) fn carriers(root: &Section<'_>, lists: &[NumberList]) -> Vec<Carrier> {
    let mut names = Names::new();
    let sections = root.tables("carrier");
    let carrier = |section: &Section<'_>| Carrier {
        name: carrier_name(section, &mut names),
        screen: screen(section, lists),
    };
    sections.iter().map(carrier).collect()
}

/// The name of a company, as trunks write it: any text, once.
fn carrier_name(section: &Section<'_>, names: &mut Names) -> String {
    let Some(text) = section.required("name", "the name that trunks give as their `carrier`")
    else {
        return String::new();
    };
    match names.get(text.value) {
        Some(first) => section.twice(
            text.at,
            format_args!("the carrier `{}`", text.value),
            *first,
        ),
        None => drop(names.insert(text.value.to_owned(), text.at)),
    }
    text.value.to_owned()
}

pub(crate) fn read(root: &Section<'_>, lists: &[NumberList]) -> Vec<Cap> {
    let mut names = Names::new();
    let sections = root.tables("cap");
    if let Some(first) = sections.get(CAPS_MAX) {
        let found = format!("{} caps", sections.len());
        let expected = format!("at most {CAPS_MAX}");
        root.report
            .add(first.at, found, expected, "let one count apart with `each`");
    }
    sections
        .iter()
        .map(|section| cap(section, lists, &mut names))
        .collect()
}

fn cap(section: &Section<'_>, lists: &[NumberList], names: &mut Names) -> Cap {
    let side = side(section);
    let (apart, by_prefix) = each(section, side);
    let cap = Cap {
        name: name(section, "cap", names),
        side,
        peers: match side {
            CapSide::Trunks => names_of(section, "trunks"),
            CapSide::Gateways => names_of(section, "gateways"),
        },
        lists: numbers(section, lists),
        prefixes: prefixes(section),
        apart,
        by_prefix,
        max_calls: section.number("max_calls", CALLS),
        calls_per_second: section.number("calls_per_second", RATE),
        window_s: section.number_or("window_s", 3_600, 60..=31 * 86_400),
        window_calls: section.number("window_calls", CALLS),
        window_minutes: section.number("window_minutes", CALLS),
        window_cost: window_cost(section),
        max_call_seconds: section.number_or("max_call_seconds", 0, 0..=31 * 86_400),
        only_tells: section.word("beyond", &[("refuse", false), ("tell", true)], false),
        refuse: refuse(section),
        tell_at: share(section, "tell_at").unwrap_or(800),
    };
    check(section, &cap);
    cap
}

fn side(section: &Section<'_>) -> CapSide {
    match (section.has("trunks"), section.has("gateways")) {
        (true, true) => {
            let remedy = "write two caps: one for where calls come from, one for where they go";
            let found = "`trunks` and `gateways`";
            section.report.add(
                section.place_of("gateways"),
                found,
                "one of the two",
                remedy,
            );
            CapSide::Trunks
        }
        (false, true) => CapSide::Gateways,
        (_, false) => CapSide::Trunks,
    }
}

/// What has counts of its own.
fn each(section: &Section<'_>, side: CapSide) -> (Option<crate::Apart>, bool) {
    let own = match side {
        CapSide::Trunks => "trunk",
        CapSide::Gateways => "gateway",
    };
    let (mut apart, mut by_prefix) = (None, false);
    for text in section.texts("each").unwrap_or_default() {
        match text.value {
            "carrier" if apart.is_none() => apart = Some(crate::Apart::Carrier),
            "prefix" if !by_prefix => by_prefix = true,
            word if word == own && apart.is_none() => apart = Some(crate::Apart::Peer),
            _ => {
                let expected = format!("\"{own}\" or \"carrier\", and \"prefix\", each once");
                section.refuse(text, expected, "write what is to be counted apart");
            }
        }
    }
    (apart, by_prefix)
}

pub(crate) fn numbers(section: &Section<'_>, lists: &[NumberList]) -> Vec<String> {
    let texts = section.texts("numbers").unwrap_or_default();
    for text in &texts {
        section.check_known(*text, "list", lists.iter().map(|list| list.name.as_str()));
    }
    texts.iter().map(|text| text.value.to_owned()).collect()
}

pub(crate) fn prefixes(section: &Section<'_>) -> Vec<String> {
    let texts = section.texts("prefixes").unwrap_or_default();
    if let Some(first) = texts.get(PREFIXES_MAX) {
        let found = format!("{} prefixes", texts.len());
        let expected = format!("at most {PREFIXES_MAX}");
        section
            .report
            .add(first.at, found, expected, "write them into a [[list]]");
    }
    let mut seen = Names::new();
    let mut prefixes = Vec::new();
    for text in texts {
        let digits = prefix(text.value).filter(|digits| digits != "*");
        let Some(digits) = digits else {
            let remedy = "write the digits from the country code on";
            section.refuse(text, format!("1 to {DIGITS_MAX} digits"), remedy);
            continue;
        };
        match seen.get(&digits) {
            Some(first) => section.twice(text.at, format_args!("the prefix `{digits}`"), *first),
            None => {
                seen.insert(digits.clone(), text.at);
                prefixes.push(digits);
            }
        }
    }
    prefixes
}

fn window_cost(section: &Section<'_>) -> Option<Money> {
    let text = section.text("window_cost")?;
    let amount = Money::parse(text.value).filter(|amount| *amount > Money::ZERO);
    if amount.is_none() {
        let expected = "an amount in the currency of [money], as a text: \"100.00\"";
        section.refuse(text, expected, "write digits with a point");
    }
    amount
}

fn check(section: &Section<'_>, cap: &Cap) {
    if cap.by_prefix && (cap.prefixes.is_empty() || !cap.lists.is_empty()) {
        let remedy = "give `prefixes` and no `numbers`, or take \"prefix\" out of `each`";
        let at = section.place_of("each");
        section.report.add(
            at,
            "a count for each prefix",
            "prefixes to count by",
            remedy,
        );
    }
    let window = ["window_calls", "window_minutes", "window_cost"];
    let limits = ["max_calls", "calls_per_second", "max_call_seconds"];
    if !window.iter().chain(&limits).any(|key| section.has(key)) {
        let expected = format!("one of {}, {}", limits.join(", "), window.join(", "));
        let remedy = "say how much of what its calls may have";
        section
            .report
            .add(section.at, "a cap without a bound", expected, remedy);
    }
    if section.has("window_s") && !window.iter().any(|key| section.has(key)) {
        let found = "`window_s` of a cap that counts nothing in a window";
        let expected = format!("one of {} besides", window.join(", "));
        section
            .report
            .add(section.place_of("window_s"), found, expected, "take it out");
    }
}
