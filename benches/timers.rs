//! Deadlines of a busy shard: armed and cancelled, and armed and passed, among 100,000 others.
//!
//! The delays are those of SIP: T1 to 64*T1, Timer C, a call's length. Most are cancelled.

use std::collections::VecDeque;
use std::hint::black_box;

use base::{Time, TimerId};
use criterion::{Criterion, criterion_group, criterion_main};
use shards::{Random, Wheel};

const TIMERS: usize = 100_000;
const DELAYS_MS: [u64; 8] = [500, 1_000, 4_000, 5_000, 32_000, 32_000, 181_000, 7_200_000];

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel_of_100k");

    let mut random = Random::new(1, 0);
    let mut wheel = Wheel::new(TIMERS + 1);
    let now = Time::from_millis(123_456_789);
    advance(&mut wheel, now);
    let mut armed: VecDeque<TimerId> = (0..TIMERS)
        .map(|_| arm(&mut wheel, now, &mut random))
        .collect();
    group.bench_function("insert_and_cancel", |bencher| {
        bencher.iter(|| {
            // The one cancelled is far away in memory, as a call's is that began long ago.
            armed.push_back(arm(&mut wheel, now, &mut random));
            let oldest = armed.pop_front().expect("there are many");
            assert!(wheel.cancel(black_box(oldest)));
        });
    });

    // One passes every 320 µs and is armed again: all of its moves down the levels are in it.
    let mut wheel = Wheel::new(TIMERS);
    let mut now = Time::ZERO;
    for at in 0..TIMERS as u64 {
        wheel.insert(Time(at * 320), at).expect("room");
    }
    group.bench_function("insert_and_pass", |bencher| {
        bencher.iter(|| {
            loop {
                let mut work = u32::MAX;
                if let Some(token) = wheel.pop(now, &mut work) {
                    let again = Time(now.0 + TIMERS as u64 * 320);
                    return wheel.insert(again, token).expect("room");
                }
                now = wheel.next().expect("there are many").max(now);
            }
        });
    });
    group.finish();
}

fn arm(wheel: &mut Wheel, now: Time, random: &mut Random) -> TimerId {
    let delay_ms = DELAYS_MS[random.below(DELAYS_MS.len() as u64) as usize];
    let spread_us = random.below(1_000_000);
    let deadline = Time(now.plus_millis(delay_ms).0 + spread_us);
    wheel.insert(deadline, 1).expect("room")
}

fn advance(wheel: &mut Wheel, now: Time) {
    assert_eq!(wheel.pop(now, &mut 1_000), None);
}

criterion_group!(benches, bench);
criterion_main!(benches);
