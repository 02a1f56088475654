//! The prices of twenty vendors with ten million rows: what the table takes to build and to keep, and
//! what it costs to ask it: for all vendors at once, and for one.
//!
//! `RATES_ROWS` and `RATES_VENDORS` make it smaller or larger. Each question is about another number,
//! so most of each path is cold; "warm" asks about a few thousand numbers over and over.

#![allow(clippy::disallowed_methods)] // it measures time

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use base::Money;
use benches::Random;
use criterion::{Criterion, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use route::{Code, DeckId, Moment, Offers, Rate, Rates, RatesBuilder, Steps};

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
}

/// Asks once about each number and prints how long that took, less what the clock takes.
fn distribution<R>(what: &str, numbers: &[Vec<u8>], mut ask: impl FnMut(&[u8]) -> R) {
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

fn asked(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

criterion_group!(benches, rates);
criterion_main!(benches);
