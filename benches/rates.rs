//! The prices of twenty vendors with ten million rows: what the table takes to build and to keep, and
//! what it costs to ask it: for all vendors at once, for one, and for a call, whose vendors are put in
//! order by what they ask.
//!
//! `RATES_ROWS` and `RATES_VENDORS` make it smaller or larger. Each question is about another number,
//! so most of each path is cold; "warm" asks about a few thousand numbers over and over.

#![allow(clippy::disallowed_methods)] // it measures time

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use base::{Money, Time, Transport};
use benches::Random;
use criterion::{Criterion, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use route::{
    Ask, Candidates, Code, Currency, DeckId, DeckSpec, GatewaySpec, Health, ListenerSpec, Mode,
    Moment, Number, NumberBuffer, Occasion, Offers, PlanSpec, Rate, Rates, RatesBuilder, RouteSpec,
    Snapshot, Source, Spec, Steps, TrunkSpec, Turns, Worth,
};
use sip::Uri;

const NOW: Moment = Moment(1_800_000_000);
/// Numbers dialled in turn: more than any cache keeps the paths of.
const NUMBERS: usize = 1 << 20;
/// Numbers of a quiet hour.
const NUMBERS_WARM: usize = 1 << 12;

fn rates(criterion: &mut Criterion) {
    let (rows, vendors) = (asked("RATES_ROWS", 10_000_000), asked("RATES_VENDORS", 20));
    let mut random = Random(0x5eed);
    let codes = codes(rows * 3 / vendors / 2, &mut random);
    let begun = Instant::now();
    let mut builder = RatesBuilder::new();
    builder.reserve(rows);
    for vendor in 0..vendors {
        // Each has two thirds of the codes that anybody has.
        for code in &codes {
            if random.below(3) < 2 {
                let (rate, deck) = (price(&mut random), DeckId(vendor as u16));
                // One price in fifty changes next week.
                let change = Moment(NOW.0 + 604_800);
                if random.below(50) == 0 {
                    builder.push(deck, *code, rate, Moment::FIRST, change);
                    builder.push(deck, *code, price(&mut random), change, Moment::LAST);
                } else {
                    builder.push(deck, *code, rate, Moment::FIRST, Moment::LAST);
                }
            }
        }
    }
    let drawn = begun.elapsed();
    let table = builder.build(NOW).expect("no row contradicts another");
    println!(
        "{} rows of {vendors} vendors, {} codes, {} prices: drawn in {:.1} s, built in {:.1} s, {:.1} octets a row",
        table.rows_count(),
        table.codes_count(),
        table.rates_count(),
        drawn.as_secs_f64(),
        (begun.elapsed() - drawn).as_secs_f64(),
        table.bytes() as f64 / table.rows_count() as f64,
    );
    let numbers = numbers(&codes, &mut random);
    let mut offers = Offers::new();
    distribution("all vendors, cold", &numbers, |number| {
        table.offers(number, NOW, &mut offers);
        offers.len()
    });
    distribution("all vendors, warm", &numbers[..NUMBERS_WARM], |number| {
        table.offers(number, NOW, &mut offers);
        offers.len()
    });
    let one = |table: &Rates, number: &[u8]| table.offer_of(DeckId(7), number, NOW);
    distribution("one vendor, cold", &numbers, |number| one(&table, number));
    distribution("one vendor, warm", &numbers[..NUMBERS_WARM], |number| {
        one(&table, number)
    });

    let traffic = traffic(&codes, &mut random);
    distribution("all vendors, as traffic falls", &traffic, |number| {
        table.offers(number, NOW, &mut offers);
        offers.len()
    });
    distribution("one vendor, as traffic falls", &traffic, |number| {
        one(&table, number)
    });
    distribution("longest code, as traffic falls", &traffic, |number| {
        table.longest(number)
    });
    distribution("longest code, cold", &numbers, |number| {
        table.longest(number)
    });
    distribution("longest code, warm", &numbers[..NUMBERS_WARM], |number| {
        table.longest(number)
    });

    let mut group = criterion.benchmark_group("rates");
    let mut next = 0;
    let mut number = |numbers: usize| {
        next = (next + 1) % numbers;
        next
    };
    group.bench_function("all_vendors_cold", |bencher| {
        bencher.iter(|| {
            table.offers(black_box(&numbers[number(NUMBERS)]), NOW, &mut offers);
            offers.len()
        });
    });
    group.bench_function("all_vendors_warm", |bencher| {
        bencher.iter(|| {
            table.offers(black_box(&numbers[number(NUMBERS_WARM)]), NOW, &mut offers);
            offers.len()
        });
    });
    group.bench_function("one_vendor_cold", |bencher| {
        bencher.iter(|| one(&table, black_box(&numbers[number(NUMBERS)])));
    });
    group.finish();
    let world = world(table, vendors);
    order(&world, "all vendors in order, cold", &numbers);
    order(
        &world,
        "all vendors in order, warm",
        &numbers[..NUMBERS_WARM],
    );
}

/// A world in which every number goes to all vendors, the cheapest first.
fn world(table: Rates, vendors: usize) -> Snapshot {
    let name = |vendor: usize| format!("vendor{vendor}");
    let names: Vec<String> = (0..vendors).map(name).collect();
    let deck = |name: &String| DeckSpec {
        name: name.clone(),
        currency: Currency::parse("USD").expect("letters"),
        worth: Worth::SAME,
    };
    let gateway = |(name, last): (&String, u8)| GatewaySpec {
        deck: Some(name.clone()),
        ..GatewaySpec::new(name, ([198, 51, 100, last], 5060).into())
    };
    let names_of: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = PlanSpec {
        mode: Mode::Cost,
        ..PlanSpec::ordered(&names_of)
    };
    let spec = Spec {
        listeners: vec![ListenerSpec {
            name: "udp".to_owned(),
            transport: Transport::Udp,
            address: ([192, 0, 2, 1], 5060).into(),
        }],
        trunks: vec![TrunkSpec::new(
            "customer",
            Source::parse("203.0.113.0/24").expect("a network"),
        )],
        gateways: names.iter().zip(1..).map(gateway).collect(),
        routes: vec![RouteSpec {
            prefix: "*".to_owned(),
            plan: Arc::new(plan),
        }],
        decks: names.iter().map(deck).collect(),
        rates: Arc::new(table),
        ..Spec::default()
    };
    route::build(&spec, 1, None).expect("a world")
}

/// Prints how long it takes to put the vendors of calls to these numbers in order, with prices, health
/// and verdicts.
fn order(world: &Snapshot, what: &str, numbers: &[Vec<u8>]) {
    let trunk = world.trunk_named("customer").expect("the customer").id;
    let (mut turns, mut candidates) = (Turns::new(), Candidates::new());
    let health = Health::new(world.gateways_max());
    let occasion = Occasion {
        now: Time::ZERO,
        at: NOW,
        dice: 1,
        caller: b"",
        call_id: b"",
        quality: None,
    };
    let dialled: Vec<Vec<u8>> = (numbers.iter())
        .map(|digits| [b"sip:+", digits.as_slice(), b"@x"].concat())
        .collect();
    let uris: Vec<Uri<'_>> = (dialled.iter())
        .map(|text| Uri::parse(text).expect("a URI"))
        .collect();
    let mut buffers: Vec<NumberBuffer> = uris.iter().map(|_| NumberBuffer::new()).collect();
    let normalised: Vec<Number<'_>> = (uris.iter().zip(&mut buffers))
        .map(|(uri, buffer)| world.number(trunk, uri, buffer).expect("a number"))
        .collect();
    distribution(what, &normalised, |number| {
        let ask = Ask {
            trunk,
            number,
            now: occasion.now,
            at: occasion.at,
            dice: occasion.dice,
        };
        let found = world.candidates(&ask, &health, &mut turns, &occasion, &mut candidates);
        (found.is_ok(), candidates.len())
    });
}

/// Asks once about each number and prints how long that took, less what the clock takes.
fn distribution<N, R>(what: &str, numbers: &[N], mut ask: impl FnMut(&N) -> R) {
    let mut nanos: Histogram<u64> =
        Histogram::new_with_bounds(1, 1_000_000_000, 3).expect("a range with three digits");
    let clock = (0..1_000).map(|_| Instant::now().elapsed().as_nanos());
    let clock = clock.min().unwrap_or_default() as u64;
    for round in 0..3 {
        for number in numbers {
            let begun = Instant::now();
            black_box(ask(black_box(number)));
            let took = begun.elapsed().as_nanos() as u64;
            // The first round brings in what is warm.
            if round > 0 || numbers.len() > NUMBERS_WARM {
                nanos.saturating_record(took.saturating_sub(clock));
            }
        }
    }
    println!(
        "{what}: p50 {} ns, p99 {} ns, p99.9 {} ns",
        nanos.value_at_quantile(0.5),
        nanos.value_at_quantile(0.99),
        nanos.value_at_quantile(0.999),
    );
}

fn price(random: &mut Random) -> Rate {
    Rate {
        connect_fee: Money::ZERO,
        steps: Steps::new(
            [1, 60, 30][random.below(3) as usize],
            [1, 60, 6][random.below(3) as usize],
        )
        .expect("a step is there"),
        // A few thousand prices, as real decks have them.
        ..Rate::per_minute(Money::from_parts(random.below(5_000) as i64 * 10_000))
    }
}

/// Codes as wholesale decks have them: most of five to eight digits, crowded in few countries, the
/// countries themselves among them.
fn codes(count: usize, random: &mut Random) -> Vec<Code> {
    const COUNTRIES: [&str; 8] = ["1", "44", "49", "86", "91", "7", "55", "234"];
    let mut codes: BTreeSet<Code> = COUNTRIES
        .iter()
        .filter_map(|it| Code::new(it.as_bytes()))
        .collect();
    while codes.len() < count {
        let country = COUNTRIES[random.below(8) as usize];
        let digits = 3 + random.below(5) as u32;
        let (rest, width) = (random.below(10_u64.pow(digits)), digits as usize);
        codes.extend(Code::new(format!("{country}{rest:0width$}").as_bytes()));
    }
    codes.into_iter().collect()
}

/// Numbers under these codes, eleven digits and more.
fn numbers(codes: &[Code], random: &mut Random) -> Vec<Vec<u8>> {
    let mut number = || {
        let code = codes[random.below(codes.len() as u64) as usize];
        format!("{code}{:06}", random.below(1_000_000)).into_bytes()
    };
    (0..NUMBERS).map(|_| number()).collect()
}

/// Numbers as traffic falls: the code at place n of a list in any order gets a share of 1/n, so that a
/// few destinations have most of the calls and most destinations have few.
fn traffic(codes: &[Code], random: &mut Random) -> Vec<Vec<u8>> {
    let mut codes = codes.to_vec();
    for last in (1..codes.len()).rev() {
        codes.swap(last, random.below(last as u64 + 1) as usize);
    }
    let mut sum = 0.0;
    let shares: Vec<f64> = (1..=codes.len())
        .map(|place| {
            sum += 1.0 / place as f64;
            sum
        })
        .collect();
    let mut number = || {
        let point = random.below(1 << 53) as f64 / (1_u64 << 53) as f64 * sum;
        let code = codes[shares.partition_point(|it| *it <= point)];
        format!("{code}{:06}", random.below(1_000_000)).into_bytes()
    };
    (0..NUMBERS).map(|_| number()).collect()
}

fn asked(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

criterion_group!(benches, rates);
criterion_main!(benches);
