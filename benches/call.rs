//! The whole path of a call through the handler of one shard: seven messages in (INVITE, 100, 180,
//! 200, ACK, BYE, 200), what leaves for them, timers and record.
//!
//! 256 calls are under way at a time. Their messages are written beforehand, step by step, and only
//! what the router does with them is measured: parse, route, compose, and the copy out of the
//! outbox that stands for the system call. Not in it: sockets and the end of transactions, which
//! the housekeeping bench has for itself.

// The router's own tests play the same calls.
#[path = "../src/router/tests/bench/mod.rs"]
mod bench;

use std::time::{Duration, Instant};

use bench::script::{Script, Step};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const CALLS: usize = 256;

fn call_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    group.throughput(Throughput::Elements(1));
    for (name, steps) in [
        ("seven_messages", Step::CALL),
        ("failover_after_503", Step::FAILOVER),
        ("cancelled", Step::CANCELLED),
    ] {
        let mut script = Script::new(CALLS);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|calls| {
                let mut spent = Duration::ZERO;
                let rounds = calls.div_ceil(CALLS as u64);
                for _ in 0..rounds {
                    script.begin();
                    for &step in steps {
                        script.compose(step);
                        spent += timed(|| script.deliver(step));
                    }
                    script.pause();
                }
                // The rounds are whole: what is over is taken off in proportion.
                spent.mul_f64(calls as f64 / (rounds * CALLS as u64) as f64)
            });
        });
    }
    let mut script = Script::new(CALLS);
    group.bench_function("timers_of_a_call", |bencher| {
        bencher.iter_custom(|calls| {
            let mut spent = Duration::ZERO;
            let rounds = calls.div_ceil(CALLS as u64);
            for _ in 0..rounds {
                script.begin();
                for &step in Step::CALL {
                    script.compose(step);
                    script.deliver(step);
                }
                spent += timed(|| script.pause());
            }
            spent.mul_f64(calls as f64 / (rounds * CALLS as u64) as f64)
        });
    });
    group.finish();
}

#[expect(clippy::disallowed_methods)] // a bench measures by the clock
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

criterion_group!(call, call_path);
criterion_main!(call);
