//! A configuration: read it or tell what is wrong, with places that are in the file.
#![no_main]

use config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A deck is a file of this machine: what it says is the other target's business.
    if text.contains("routes_csv") || text.contains('\\') {
        return;
    }
    let Err(errors) = Config::parse("fuzz.toml", text) else {
        return;
    };
    assert!(!errors.is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for place in errors.iter().filter_map(|error| error.place) {
        let chars = lines[place.line - 1].chars().count();
        assert!((1..=chars + 1).contains(&place.column), "{place:?}");
    }
});
