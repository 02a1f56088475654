//! Whatever stands in a file: an answer, no panic, and places that are in the file.

use config::{Config, Error, SECTIONS, read_deck};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../example.toml");

/// Every place is one of the text, and every error says something.
fn check(text: &str, errors: &[Error]) -> Result<(), TestCaseError> {
    let lines: Vec<&str> = text.split('\n').collect();
    for error in errors {
        prop_assert!(!error.found.is_empty() && !error.expected.is_empty());
        let Some(place) = error.place else { continue };
        let line = lines.get(place.line - 1);
        prop_assert!(line.is_some(), "{error} in {} lines", lines.len());
        let chars = line.map_or(0, |line| line.chars().count());
        prop_assert!(
            (1..=chars + 1).contains(&place.column),
            "{error} in {line:?}"
        );
    }
    Ok(())
}

/// Keys and values as they might be written, in any section.
fn lines() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = SECTIONS
        .iter()
        .flat_map(|(_, keys)| keys.iter().copied())
        .collect();
    let paths: Vec<&str> = SECTIONS
        .iter()
        .map(|(path, _)| *path)
        .filter(|it| !it.is_empty())
        .collect();
    let value = prop_oneof![
        "-?[0-9]{1,25}",
        "\"[ -!#-\\[\\]-~]{0,12}\"",
        "\"[0-9.:/]{1,18}\"",
        Just("true".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        "\\[\"[a-z0-9.]{1,5}\", [0-9]{1,3}\\]",
        "\\{ (name|network|weight) = \"[a-z0-9./]{1,12}\" \\}",
    ];
    let line = prop_oneof![
        3 => (prop::sample::select(keys), value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => prop::sample::select(paths.clone()).prop_map(|path| format!("[[{path}]]")),
        1 => prop::sample::select(paths).prop_map(|path| format!("[{path}]")),
    ];
    prop::collection::vec(line, 0..24).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        if let Err(errors) = Config::parse("any.toml", &text) {
            check(&text, &errors)?;
        }
    }

    #[test]
    fn any_keys_and_values_are_answered(text in lines().prop_filter("a deck is a file", |text| !text.contains("routes_csv"))) {
        if let Err(errors) = Config::parse("any.toml", &text) {
            check(&text, &errors)?;
        }
    }

    /// One octet of a good file is changed: it is still good, or all errors have places in it.
    #[test]
    fn a_slip_of_the_finger_is_answered(at in 0..EXAMPLE.len(), octet in 0x20_u8..0x7f) {
        let mut text = EXAMPLE.as_bytes().to_vec();
        text[at] = octet;
        if let Ok(text) = String::from_utf8(text)
            && let Err(errors) = Config::parse("slip.toml", &text)
        {
            prop_assert!(!errors.is_empty());
            check(&text, &errors)?;
        }
    }

    #[test]
    fn any_rows_are_answered(rows in prop_oneof![any::<String>(), "([0-9*+ab\"]{0,5}[,|:\r\n ]|berlin|vienna){0,30}"]) {
        let errors = read_deck("any.csv", rows.as_bytes(), &["berlin", "vienna"]).err();
        check(&rows, &errors.unwrap_or_default())?;
    }

    #[test]
    fn any_bytes_of_a_deck_are_answered(rows in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_deck("any.csv", &rows[..], &["berlin"]);
    }

    /// What a good deck says is what comes out.
    #[test]
    fn a_good_deck_comes_through(rows in prop::collection::btree_map("[0-9]{1,9}", 1_u32..=10_000, 0..50)) {
        let text: String = rows.iter().map(|(prefix, weight)| format!("{prefix},berlin:{weight}|vienna\n")).collect();
        let routes = read_deck("good.csv", text.as_bytes(), &["berlin", "vienna"]).expect("a good deck");
        let told: Vec<(String, u32)> =
            routes.iter().map(|route| (route.prefix.clone(), route.plan.targets[0].weight)).collect();
        prop_assert_eq!(told, rows.into_iter().collect::<Vec<_>>());
    }
}
