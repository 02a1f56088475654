//! Routes: `[[route]]` here, the rows of `routes_csv` in `deck.rs`; each prefix once in both.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::calendars::when;
use crate::deck::{Deck, read_file};
use crate::peers::{Draft, Names, name};
use crate::prices::margin;
use crate::quality::of_route;
use crate::section::{At, Mixed, Section, meant};
use crate::{
    Balance, Calendar, DIGITS_MAX, Mode, PRIORITY_MAX, Plan, Quality, Route, TARGETS_MAX, Target,
    WEIGHT_MAX,
};

/// Where a prefix was first given a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Given {
    /// At an offset of the configuration.
    Config(usize),
    /// In a line of the deck.
    Deck(u64),
}

/// What routes name beside gateways.
#[derive(Clone, Copy)]
pub(crate) struct Objects<'o> {
    pub(crate) calendars: &'o [Calendar],
    pub(crate) qualities: &'o [Quality],
}

pub(crate) fn read(
    root: &Section<'_>,
    folder: &Path,
    attempts_max: usize,
    gateways: &mut [Draft],
    objects: Objects<'_>,
) -> Vec<Route> {
    let mut given: HashMap<String, Given> = HashMap::new();
    let mut routes = Vec::new();
    let plans = plans(root, attempts_max, gateways, objects);
    for section in root.tables("route") {
        let plan = match section.has("plan") {
            true => named(&section, &plans),
            false => {
                let plan = Arc::new(plan(&section, attempts_max, gateways, objects));
                set_patience(&section, &plan, gateways);
                Some(plan)
            }
        };
        for (place, prefix) in prefixes(&section) {
            match given.get(&prefix) {
                Some(Given::Config(first)) => {
                    section.twice(place, format_args!("a route for `{prefix}`"), *first);
                }
                Some(Given::Deck(_)) | None => {
                    given.insert(prefix.clone(), Given::Config(place));
                    // A name that no plan has is told already.
                    routes.extend(plan.clone().map(|plan| Route { prefix, plan }));
                }
            }
        }
    }
    if let Some(file) = root.text("routes_csv") {
        let mut deck = Deck {
            gateways: gateways
                .iter()
                .map(|draft| draft.value.name.as_str())
                .collect(),
            attempts_max,
            plans,
            given,
            text: Some(&root.report.text),
            routes,
            errors: std::mem::take(&mut *root.report.errors.borrow_mut()),
        };
        let opened = read_file(&folder.join(file.value), &mut deck);
        routes = deck.routes;
        root.report.errors.replace(deck.errors);
        if let Err(error) = opened {
            let expected =
                "a CSV file beside the configuration, with `prefix,gateways` in each line";
            let remedy = "correct the name, or take `routes_csv` out";
            let found = format!("`{}`: {error}", crate::section::cut(file.value));
            root.report.add(file.at, found, expected, remedy);
        }
    }
    routes
}

/// `[[plan]]`, by name.
fn plans(
    root: &Section<'_>,
    attempts_max: usize,
    gateways: &mut [Draft],
    objects: Objects<'_>,
) -> BTreeMap<String, Arc<Plan>> {
    let mut names = Names::new();
    let mut plans = BTreeMap::new();
    for section in root.tables("plan") {
        let name = name(&section, "plan", &mut names);
        let plan = Arc::new(plan(&section, attempts_max, gateways, objects));
        set_patience(&section, &plan, gateways);
        plans.insert(name, plan);
    }
    plans
}

/// The plan that a route names, which then says all but its prefix.
fn named(section: &Section<'_>, plans: &BTreeMap<String, Arc<Plan>>) -> Option<Arc<Plan>> {
    let is_of_plan = |key: &str| !["prefix", "plan"].contains(&key);
    let remedy = "change the [[plan]], or take `plan` out and say all of it here";
    section.refuse_keys(is_of_plan, "`prefix` and `plan` and nothing else", remedy);
    let text = section.text("plan")?;
    section.check_known(text, "plan", plans.keys().map(String::as_str));
    plans.get(text.value).cloned()
}

/// The prefixes of a route, without the `+` that may stand before digits.
fn prefixes(section: &Section<'_>) -> Vec<(usize, String)> {
    if !section.has("prefix") {
        section.missing("prefix", "digits, or \"*\" for all other numbers");
    }
    let texts = match section.kind_of("prefix") {
        Some("array") => section.texts("prefix").unwrap_or_default(),
        _ => section.text("prefix").into_iter().collect(),
    };
    let good = |text: &At<&str>| match prefix(text.value) {
        Some(prefix) => Some((text.at, prefix)),
        None => {
            let expected = format!("1 to {DIGITS_MAX} digits, or \"*\" for all other numbers");
            section.refuse(
                *text,
                expected,
                "write the digits of E.164 from the country code on",
            );
            None
        }
    };
    texts.iter().filter_map(good).collect()
}

/// A prefix as it is kept: digits, or `*`, for which an empty text is another way to write it.
pub(crate) fn prefix(text: &str) -> Option<String> {
    if text.is_empty() || text == "*" {
        return Some("*".to_owned());
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    let fits = (1..=DIGITS_MAX).contains(&digits.len());
    (fits && digits.bytes().all(|octet| octet.is_ascii_digit())).then(|| digits.to_owned())
}

fn plan(
    section: &Section<'_>,
    attempts_max: usize,
    gateways: &[Draft],
    objects: Objects<'_>,
) -> Plan {
    let modes = [
        ("ordered", Mode::Ordered),
        ("weighted", Mode::Weighted),
        ("cost", Mode::Cost),
        ("balanced", Mode::Balanced),
        ("quality", Mode::Quality),
        ("parallel", Mode::Parallel),
    ];
    let (targets, has_weights) = targets(section, gateways, objects.calendars);
    let mode = section.word_of("mode", &modes);
    if let (Some(mode @ (Mode::Ordered | Mode::Parallel)), true) = (mode, has_weights) {
        let word = if mode == Mode::Ordered {
            "ordered"
        } else {
            "parallel"
        };
        let found = format!("weights in a route with mode = \"{word}\"");
        let remedy = "set mode = \"weighted\", or take the weights out";
        section.report.add(
            section.place_of("mode"),
            found,
            "weights in weighted routes only",
            remedy,
        );
    }
    if mode == Some(Mode::Cost) {
        check_decks(section, &targets, gateways);
    }
    let balance = balance(section, mode);
    let quality = of_route(section, objects.qualities);
    if mode == Some(Mode::Quality) && !section.has("quality") {
        section.missing("quality", "the name of a [[quality]] in a route by quality");
    }
    let unsaid = match (balance, has_weights) {
        (Some(_), _) => Mode::Balanced,
        (None, true) => Mode::Weighted,
        (None, false) => Mode::Ordered,
    };
    Plan {
        targets,
        mode: mode.unwrap_or(unsaid),
        balance: balance.unwrap_or(Balance::Weighted),
        quality,
        advance: advance(section),
        attempts_max: section.number_or("attempts_max", attempts_max, 1..=TARGETS_MAX as i128),
        ring_ms: section.number_or("ring_ms", 0, 0..=3_600_000),
        setup_ms: section.number_or("setup_ms", 0, 0..=3_600_000),
        margin: margin(section),
        call_seconds: section.number_or("call_seconds", 180, 1..=86_400),
    }
}

/// How gateways that stand side by side take turns: where there are such.
fn balance(section: &Section<'_>, mode: Option<Mode>) -> Option<Balance> {
    let words = [
        ("weighted", Balance::Weighted),
        ("least-calls", Balance::LeastCalls),
        ("caller", Balance::Caller),
        ("called", Balance::Called),
        ("call-id", Balance::CallId),
        ("fastest", Balance::Fastest),
    ];
    let balance = section.word_of("balance", &words);
    let word = match mode {
        Some(Mode::Ordered) => "ordered",
        Some(Mode::Weighted) => "weighted",
        Some(Mode::Parallel) => "parallel",
        Some(Mode::Cost | Mode::Quality | Mode::Balanced) | None => return balance,
    };
    if section.has("balance") {
        let found = format!("`balance` in a route with mode = \"{word}\"");
        let expected = "it in a balanced route, or one by cost or quality";
        let remedy = "set mode = \"balanced\", or take `balance` out";
        let at = section.place_of("balance");
        section.report.add(at, found, expected, remedy);
    }
    balance
}

/// Whoever is chosen by cost has to say what that is.
fn check_decks(section: &Section<'_>, targets: &[Target], gateways: &[Draft]) {
    let without = gateways.iter().filter(|draft| draft.value.deck.is_none());
    for draft in without {
        if targets
            .iter()
            .any(|target| target.gateway == draft.value.name)
        {
            let found = format!("the gateway `{}`, which has no deck", draft.value.name);
            let remedy = "give the gateway a `deck`, or choose another mode";
            let at = section.place_of("gateways");
            section
                .report
                .add(at, found, "gateways with prices in a route by cost", remedy);
        }
    }
}

/// The gateways of a route, and whether any has a weight.
fn targets(
    section: &Section<'_>,
    gateways: &[Draft],
    calendars: &[Calendar],
) -> (Vec<Target>, bool) {
    if !section.has("gateways") {
        section.missing("gateways", "the names of gateways, in the order of trying");
        return (Vec::new(), false);
    }
    let items = section.mixed("gateways");
    check_count(section, items.len());
    let mut has_weights = false;
    let mut targets: Vec<Target> = Vec::new();
    for item in items {
        let (mut priority, mut hours) = (None, None);
        let (name, weight) = match item {
            Mixed::Text(text) => (Some(text), None),
            Mixed::Table(table) => {
                if !table.has("name") {
                    table.missing("name", "the name of a gateway");
                }
                has_weights |= table.has("weight");
                hours = when(&table, calendars);
                priority = table.number("priority", 0..=i128::from(PRIORITY_MAX));
                (
                    table.text("name"),
                    table.number("weight", 1..=i128::from(WEIGHT_MAX)),
                )
            }
        };
        let Some(name) = name else { continue };
        let known = || gateways.iter().map(|draft| draft.value.name.as_str());
        if !known().any(|it| it == name.value) {
            section.refuse(
                name,
                "the name of a [[gateway]]",
                &meant(name.value, known()),
            );
        } else if targets.iter().any(|target| target.gateway == name.value) {
            let expected = "each gateway once";
            section.refuse(
                name,
                expected,
                "take it out; for a larger share give it a weight",
            );
        } else {
            targets.push(Target {
                gateway: name.value.to_owned(),
                weight: weight.unwrap_or(1),
                priority: priority.unwrap_or(0),
                when: hours,
            });
        }
    }
    (targets, has_weights)
}

fn check_count(section: &Section<'_>, count: usize) {
    let place = section.place_of("gateways");
    if section.len_of("gateways") == Some(0) {
        let remedy = "name at least one gateway";
        section
            .report
            .add(place, "no gateway", "at least one", remedy);
    }
    if count > TARGETS_MAX {
        let found = format!("{count} gateways");
        section.report.add(
            place,
            found,
            format!("at most {TARGETS_MAX}"),
            "take some out",
        );
    }
}

/// Words that name final responses, silence and a phone that nobody answers.
fn advance(section: &Section<'_>) -> Option<Vec<String>> {
    let words = section.texts("advance")?;
    for word in &words {
        let is_known = matches!(
            word.value.as_bytes(),
            b"timeout"
                | b"no-answer"
                | [b'3'..=b'6', b'x', b'x']
                | [b'3'..=b'6', b'0'..=b'9', b'0'..=b'9']
        );
        if !is_known {
            let expected = "a status from 300 to 699, a class from \"3xx\" to \"6xx\", \"timeout\" or \"no-answer\"";
            let remedy = meant(
                word.value,
                ["timeout", "no-answer", "3xx", "4xx", "5xx", "6xx"],
            );
            section.refuse(*word, expected, &remedy);
        }
    }
    Some(
        words
            .into_iter()
            .map(|word| word.value.to_owned())
            .collect(),
    )
}

/// A route's patience goes to those of its gateways that have none of their own. Two routes cannot
/// want different things of one gateway.
fn set_patience(section: &Section<'_>, plan: &Plan, gateways: &mut [Draft]) {
    let Some(patience) = section.number::<u32>("no_response_ms", 0..=600_000) else {
        return;
    };
    let place = section.place_of("no_response_ms");
    for draft in gateways.iter_mut() {
        if draft.has_patience || !plan.targets.iter().any(|it| it.gateway == draft.value.name) {
            continue;
        }
        match draft.patience_at {
            Some(first) if draft.value.no_response_ms != patience => {
                let first = section.report.text.where_is(first);
                let (name, other) = (&draft.value.name, draft.value.no_response_ms);
                let found = format!("{patience} ms for `{name}`, which has {other} ms by {first}");
                let remedy = "set `no_response_ms` at the gateway itself";
                section
                    .report
                    .add(place, found, "one patience for each gateway", remedy);
            }
            _ => {
                draft.value.no_response_ms = patience;
                draft.patience_at = Some(place);
            }
        }
    }
}
