//! Translation rules: what they are, and whether they do what their examples say.

use std::sync::Arc;

use translation::{Chain, Change, Lengths, NumberRules, Pattern, Rule, RuleSet, SIGNS_MAX, Signs};

use crate::peers::{Names, name};
use crate::section::{At, Section, cut};

const NUMBER: &str = "1 to 64 digits, `+`, `*`, `#`";

/// `[[translation]]`. A set whose example does not come out as it says does not load.
pub(crate) fn translations(root: &Section<'_>) -> Vec<Arc<RuleSet>> {
    let mut names = Names::new();
    let sections = root.tables("translation");
    let read = |section: &Section<'_>| Arc::new(translation(section, &mut names));
    sections.iter().map(read).collect()
}

fn translation(section: &Section<'_>, names: &mut Names) -> RuleSet {
    let name = name(section, "translation", names);
    let sections = section.tables("rules");
    if !section.has("rules") {
        section.missing(
            "rules",
            "at least one rule, such as { begins = \"00\", strip = 2 }",
        );
    }
    let rules: Vec<Option<Rule>> = sections.iter().map(rule).collect();
    if let Some(first) = sections.get(RuleSet::RULES_MAX) {
        let found = format!("{} rules", sections.len());
        let expected = format!("at most {}", RuleSet::RULES_MAX);
        let remedy = "a set is looked through for every call: make two of it";
        section.report.add(first.at, found, expected, remedy);
    }
    let is_whole = rules.iter().all(Option::is_some);
    let set = RuleSet {
        name,
        rules: rules.into_iter().flatten().collect(),
    };
    let examples = section.pairs("examples");
    if !section.has("examples") || section.len_of("examples") == Some(0) {
        let found = format!("the translation `{}` without an example", cut(&set.name));
        let expected = "at least one number and what becomes of it";
        let remedy = "add `examples`, such as [[\"0049301\", \"+49301\"]]";
        let place = section.place_of("examples");
        section.report.add(place, found, expected, remedy);
    }
    // Of a set with a faulty rule nobody knows what it would do.
    if is_whole {
        for (before, after) in examples {
            try_example(section, &set, before, after);
        }
    }
    set
}

/// Puts an example through the rules.
fn try_example(section: &Section<'_>, set: &RuleSet, before: At<&str>, after: At<&str>) {
    let Some(mut number) = Signs::read(before.value.as_bytes()) else {
        return section.refuse(before, NUMBER, "rules are for numbers alone: write one");
    };
    let by = set.apply(&mut number);
    if number.as_str() == after.value {
        return;
    }
    let found = match by {
        None => format!("`{}`, which no rule is for", before.value),
        Some(at) => format!(
            "`{}` that becomes `{}` by rule {} ({})",
            before.value,
            number.as_str(),
            at + 1,
            set.rules[at]
        ),
    };
    let expected = format!(
        "`{}` as the example of `{}` says",
        cut(after.value),
        set.name
    );
    let remedy = "correct the rules, or the example if it is wrong";
    section.report.add(before.at, found, expected, remedy);
}

fn rule(section: &Section<'_>) -> Option<Rule> {
    let begins = section.text("begins");
    let begins = begins.map(|text| match Pattern::parse(text.value) {
        Some(_) => Some(text.value),
        None => {
            let expected =
                "signs and classes: digits, `+`, `*`, `#`, X (0-9), Z (1-9), N (2-9), [13-5]";
            section.refuse(text, expected, "write how the numbers begin");
            None
        }
    });
    let lengths = section.text("length").map(|text| {
        let lengths = Lengths::parse(text.value);
        if lengths.is_none() {
            let expected = "how many signs, as \"11\", \"8-12\", \"8-\" or \"-12\"";
            section.refuse(text, expected, "write 1 to 64, the smaller first");
        }
        lengths
    });
    let count = |key| section.number_or(key, 0, 0..=SIGNS_MAX as i128);
    let mut is_fit = true;
    let mut number = |key| number(section, key, &mut is_fit);
    let change = Change {
        strip: count("strip"),
        drop: count("drop"),
        prepend: number("prepend").unwrap_or_default(),
        append: number("append").unwrap_or_default(),
        set: number("set"),
    };
    if !is_fit {
        return None;
    }
    let others = ["strip", "drop", "prepend", "append"];
    if change.set.is_some()
        && let Some(other) = others.iter().find(|key| section.has(key))
    {
        let found = format!("`set` with `{other}`");
        let remedy = format!("take `{other}` out: `set` takes the place of the whole number");
        let place = section.place_of(other);
        section.report.add(place, found, "one of them", remedy);
    }
    let (begins, lengths) = (
        begins.unwrap_or(Some("")),
        lengths.unwrap_or(Some(Lengths::ANY)),
    );
    let rule = Rule::new(begins?, lengths?, &change);
    if rule.is_none() {
        let found = "a rule that no number can have";
        let expected = "numbers of this length, of which something is left";
        let remedy = "compare `length` with `begins`, `strip` and `drop`";
        section.report.add(section.at, found, expected, remedy);
    }
    rule
}

/// What is put into a number: nothing, or what a number is made of.
fn number(section: &Section<'_>, key: &str, is_fit: &mut bool) -> Option<String> {
    let text = section.text(key)?;
    let is_number = Signs::read(text.value.as_bytes()).is_some_and(|it| it.as_str() == text.value);
    if !is_number && (key == "set" || !text.value.is_empty()) {
        section.refuse(text, NUMBER, "write what the number is to have there");
        *is_fit = false;
    }
    Some(text.value.to_owned())
}

/// The sets that a key names, in their order.
fn chain(section: &Section<'_>, key: &str, sets: &[Arc<RuleSet>]) -> Chain {
    let texts = section.texts(key).unwrap_or_default();
    if let Some(first) = texts.get(Chain::SETS_MAX) {
        let found = format!("{} translations", texts.len());
        let expected = format!("at most {}", Chain::SETS_MAX);
        section
            .report
            .add(first.at, found, expected, "put some of them together");
    }
    let named = texts.iter().filter_map(|text| {
        let names = sets.iter().map(|set| set.name.as_str());
        section.check_known(*text, "translation", names);
        sets.iter().find(|set| set.name == text.value).cloned()
    });
    Chain::new(named.collect())
}

/// What becomes of the numbers that come from a trunk.
pub(crate) fn trunk_rules(section: &Section<'_>, sets: &[Arc<RuleSet>]) -> NumberRules {
    NumberRules {
        called: chain(section, "called_rules", sets),
        calling: chain(section, "calling_rules", sets),
        asserted: chain(section, "asserted_rules", sets),
        diversion: chain(section, "diversion_rules", sets),
    }
}

/// What becomes of the numbers that go to a gateway.
pub(crate) fn gateway_rules(section: &Section<'_>, sets: &[Arc<RuleSet>]) -> NumberRules {
    NumberRules {
        called: chain(section, "called_rules", sets),
        calling: chain(section, "calling_rules", sets),
        asserted: chain(section, "asserted_rules", sets),
        diversion: chain(section, "diversion_rules", sets),
    }
}

/// The parameters of a number that a gateway gets (RFC 3966, RFC 4694).
pub(crate) fn keep_parameters(section: &Section<'_>) -> Vec<String> {
    const NAMES_MAX: usize = 16;
    let texts = section.texts("keep_parameters").unwrap_or_default();
    if let Some(first) = texts.get(NAMES_MAX) {
        let found = format!("{} names", texts.len());
        let expected = format!("at most {NAMES_MAX}");
        section
            .report
            .add(first.at, found, expected, "write \"*\" for all");
    }
    for text in &texts {
        let is_name = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        let is_fit = text.value == "*" || text.value.bytes().all(is_name);
        if text.value.is_empty() || !is_fit {
            let expected = "the name of a parameter such as \"npdi\" or \"rn\", or \"*\"";
            section.refuse(*text, expected, "write the name alone");
        }
    }
    texts.iter().map(|text| text.value.to_owned()).collect()
}
