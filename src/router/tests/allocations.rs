//! What a routed call costs the allocator once the shard is warm: nothing.
//!
//! A test binary of its own, with one test, because it counts every allocation of the process.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;
#[path = "../../../shards/tests/bench/counting.rs"]
mod counting;

use bench::Setup;
use bench::script::{Script, Step};
use counting::counted;
use route::Balance;

/// Calls to warm up with: tables, pools and buffers reach the size that they keep.
const WARM: usize = 400;
const MEASURED: usize = 200;

#[test]
fn a_routed_call_allocates_nothing() {
    let one = counted(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(one, 1, "the counter counts");
    let repeated = "a call of which everything is said twice";
    for (name, steps) in [
        (repeated, Step::CALL),
        ("a call", Step::CALL),
        ("a call at the second gateway after a 503", Step::FAILOVER),
        ("a call at the second gateway after silence", Step::SILENCE),
        ("a call at the second gateway after a 302", Step::REDIRECTED),
        ("a call that is cancelled", Step::CANCELLED),
        ("a refusal", Step::REFUSED),
    ] {
        let policies = [
            Balance::Weighted,
            Balance::LeastCalls,
            Balance::Caller,
            Balance::Fastest,
        ];
        let policies = policies.map(|balance| Setup::new().with_policy(balance));
        for setup in [
            Setup::new(),
            Setup::new().wholesale(),
            Setup::new().wholesale().bordered().capped(),
        ]
        .into_iter()
        .chain(policies)
        {
            check(name, steps, name == repeated, setup);
        }
    }
}

fn check(name: &str, steps: &[Step], is_repeated: bool, setup: Setup) {
    let mut script = Script::of(setup, 1);
    for _ in 0..WARM {
        script.begin();
        for &step in steps {
            script.compose(step);
            script.deliver(step);
        }
        script.pause();
    }
    for _ in 0..MEASURED {
        script.begin();
        for &step in steps {
            script.compose(step);
            let count = counted(|| script.deliver(step));
            assert_eq!(count, 0, "{name}: {step:?} allocates");
            if is_repeated {
                let count = counted(|| script.deliver(step));
                assert_eq!(count, 0, "{name}: {step:?} once more allocates");
            }
        }
        let count = counted(|| script.pause());
        assert_eq!(count, 0, "{name}: deadlines and housekeeping allocate");
    }
    let calls = (WARM + MEASURED) as u64;
    let is_answered = steps.contains(&Step::Answer);
    script.finish(calls, if is_answered { calls } else { 0 });
}
