//! A deck of routes: the rows or what is wrong with them, and what is read reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;

const GATEWAYS: [&str; 2] = ["a", "b"];

fuzz_target!(|rows: &[u8]| {
    let routes = match config::read_deck("fuzz.csv", rows, &GATEWAYS) {
        Ok(routes) => routes,
        Err(errors) => {
            let lines = rows.split(|&octet| octet == b'\n').count();
            let places = errors.iter().filter_map(|error| error.place);
            places.for_each(|place| assert!((1..=lines).contains(&place.line), "{place:?}"));
            return;
        }
    };
    let mut text = String::new();
    for route in &routes {
        let is_weighted = route.plan.mode == config::Mode::Weighted;
        let target = |it: &config::Target| match is_weighted {
            true => format!("{}:{}", it.gateway, it.weight),
            false => it.gateway.clone(),
        };
        let targets: Vec<String> = route.plan.targets.iter().map(target).collect();
        text.push_str(&format!("{},{}\n", route.prefix, targets.join("|")));
    }
    let again = config::read_deck("again.csv", text.as_bytes(), &GATEWAYS);
    assert_eq!(again.as_ref(), Ok(&routes));
});
