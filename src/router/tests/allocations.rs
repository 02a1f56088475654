//! What a routed call costs the allocator once the shard is warm: nothing.
//!
//! A test binary of its own, with one test, because it counts every allocation of the process.
#![allow(unsafe_code)] // a global allocator cannot be written without
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bench::script::{Script, Step};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

fn note() {
    if IS_COUNTING.load(Relaxed) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract; counting
// touches two atomics and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `alloc`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the layout is the caller's.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of `alloc_zeroed`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the layout is the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: the caller keeps the contract of `realloc`.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the block came from `System`, as all of this allocator's do.
        unsafe { System.realloc(block, layout, size) }
    }

    // SAFETY: the caller keeps the contract of `dealloc`.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System`, as all of this allocator's do.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `step` and returns how often it allocated.
fn counted(step: impl FnOnce()) -> u64 {
    ALLOCATIONS.store(0, Relaxed);
    IS_COUNTING.store(true, Relaxed);
    step();
    IS_COUNTING.store(false, Relaxed);
    ALLOCATIONS.load(Relaxed)
}

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
        let is_repeated = name == repeated;
        let mut script = Script::new(1);
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
}
