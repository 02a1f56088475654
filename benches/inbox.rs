//! A hand-over between shards: a message into another shard's inbox and out again.
//!
//! `same_core` is the work alone; `two_cores` adds the cache lines that travel, as messages a
//! second through one inbox with the owner on a thread of its own. `both_sides` is what a message
//! takes of the two processors together if a turn hands over a few and the owner then takes them:
//! nobody's waiting is in it, and neither is the system call that wakes an owner who sleeps.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench between threads has a clock and threads"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::{Flow, ListenerId, ShardId, Time, Transport};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shards::{Inbox, Parcel};

/// A usual INVITE.
const MESSAGE_BYTES: usize = 700;
/// Messages that one turn hands over.
const TURN: u64 = 16;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hand_over");
    group.throughput(Throughput::Elements(1));
    let message = [b'x'; MESSAGE_BYTES];
    let flow = flow();

    let inbox = Inbox::<u64>::new(4_096, 64, None);
    group.bench_function("same_core", |bencher| {
        bencher.iter(|| {
            assert!(inbox.hand_over(ShardId(0), &flow, Time(1), black_box(&message)));
            take(&inbox)
        });
    });
    group.bench_function("letter_same_core", |bencher| {
        bencher.iter_batched(
            || Parcel::Letter {
                from: ShardId(0),
                letter: 7,
            },
            |letter| {
                assert!(inbox.push(letter));
                inbox.pop()
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("two_cores", |bencher| {
        bencher.iter_custom(|count| between_threads(count, &flow, &message));
    });
    group.bench_function("both_sides", |bencher| {
        bencher.iter_custom(|count| by_turns(count, &flow, &message));
    });
    group.finish();
}

/// Takes one parcel out as its owner does; the octets are looked at.
fn take(inbox: &Inbox<u64>) -> u8 {
    match inbox.pop() {
        Some(Parcel::Message { bytes, .. }) => {
            let last = bytes.bytes()[MESSAGE_BYTES - 1];
            inbox.give_back(bytes);
            last
        }
        other => panic!("a message went in and {other:?} came out"),
    }
}

/// How long `count` messages take from this thread to one that does nothing else.
fn between_threads(count: u64, flow: &Flow, message: &[u8]) -> Duration {
    let inbox = Arc::new(Inbox::<u64>::new(1_024, 1, None));
    let owner = inbox.clone();
    let go = Arc::new(AtomicBool::new(false));
    let ready = go.clone();
    let thread = std::thread::spawn(move || {
        ready.store(true, Ordering::Release);
        let mut taken = 0;
        while taken < count {
            if owner.is_empty() {
                std::thread::yield_now();
                continue;
            }
            black_box(take(&owner));
            taken += 1;
        }
    });
    while !go.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    for _ in 0..count {
        while !inbox.hand_over(ShardId(0), flow, Time(1), message) {
            std::thread::yield_now();
        }
    }
    thread.join().expect("all taken");
    begun.elapsed()
}

/// The time that this thread takes to hand over `count` messages, and another one to take them,
/// without the time in which one waits for the other.
fn by_turns(count: u64, flow: &Flow, message: &[u8]) -> Duration {
    let inbox = Arc::new(Inbox::<u64>::new(1_024, 1, None));
    let owner = inbox.clone();
    let whose = Arc::new(AtomicBool::new(false));
    let mine = whose.clone();
    let turns = count.div_ceil(TURN);
    let thread = std::thread::spawn(move || {
        let mut spent = Duration::ZERO;
        for _ in 0..turns {
            wait_for(&mine, true);
            let begun = Instant::now();
            for _ in 0..TURN {
                black_box(take(&owner));
            }
            spent += begun.elapsed();
            mine.store(false, Ordering::Release); // pairs with `wait_for` on the other side
        }
        spent
    });
    let mut spent = Duration::ZERO;
    for _ in 0..turns {
        let begun = Instant::now();
        for _ in 0..TURN {
            assert!(inbox.hand_over(ShardId(0), flow, Time(1), black_box(message)));
        }
        spent += begun.elapsed();
        whose.store(true, Ordering::Release); // pairs with `wait_for` on the other side
        wait_for(&whose, false);
    }
    let both = spent + thread.join().expect("all taken");
    // The last turn is a whole one.
    both.mul_f64(count as f64 / (turns * TURN) as f64)
}

fn wait_for(whose: &AtomicBool, value: bool) {
    while whose.load(Ordering::Acquire) != value {
        std::thread::yield_now();
    }
}

fn flow() -> Flow {
    let address = "192.0.2.1:5060".parse().expect("an address");
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: address,
        peer: address,
        conn: None,
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
