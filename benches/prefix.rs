//! What the longest prefix costs: decks of 100,000 and of a million prefixes, with numbers that
//! differ from call to call, so that most of each path is cold.

use std::collections::BTreeSet;
use std::hint::black_box;

use benches::Random;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use route::Prefixes;

/// Numbers dialled in turn: more than any cache keeps the paths of.
const NUMBERS: usize = 1 << 16;

fn prefixes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prefix");
    for count in [100_000, 1_000_000] {
        let deck = deck(count);
        let sorted: Vec<(&[u8], u32)> = deck.iter().map(String::as_bytes).zip(0..).collect();
        let table = Prefixes::build(&sorted);
        println!("{count} prefixes take {} KiB", table.bytes() / 1_024);
        let numbers = numbers(&deck);
        let mut next = 0;
        group.bench_function(BenchmarkId::new("longest", count), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % NUMBERS;
                table.longest(black_box(numbers[next].as_bytes()))
            });
        });
        if count == 100_000 {
            group.sample_size(20);
            group.bench_function(BenchmarkId::new("build", count), |bencher| {
                bencher.iter(|| Prefixes::build(black_box(&sorted)));
            });
            group.sample_size(100);
        }
    }
    group.finish();
}

/// Prefixes as a wholesale deck has them: most of five to eight digits, crowded in few countries.
fn deck(count: usize) -> BTreeSet<String> {
    let mut random = Random(0x5eed);
    let mut deck = BTreeSet::new();
    while deck.len() < count {
        let country = ["1", "44", "49", "86", "91", "7", "55", "234"][random.below(8) as usize];
        let digits = 3 + random.below(5) as u32;
        let rest = random.below(10_u64.pow(digits));
        let width = digits as usize;
        deck.insert(format!("{country}{rest:0width$}"));
    }
    deck
}

/// Numbers under prefixes of the deck, eleven digits and more.
fn numbers(deck: &BTreeSet<String>) -> Vec<String> {
    let prefixes: Vec<&String> = deck.iter().collect();
    let mut random = Random(0xca11);
    let mut number = || {
        let prefix = prefixes[random.below(prefixes.len() as u64) as usize];
        format!("{prefix}{:06}", random.below(1_000_000))
    };
    (0..NUMBERS).map(|_| number()).collect()
}

criterion_group!(benches, prefixes);
criterion_main!(benches);
