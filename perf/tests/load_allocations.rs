//! What a call costs the allocator once the generator is warm: nothing.
//!
//! A test binary of its own, with one test, because it counts the allocations of all threads but
//! its own.
#![allow(unsafe_code)] // a global allocator cannot be written without
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use perf::load::{Moment, Plan, Progress, Sink, Source, Spread, Timers, run};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The thread that watches the run may allocate for what it tells.
    static IS_WATCHER: Cell<bool> = const { Cell::new(false) };
}

fn note() {
    if IS_COUNTING.load(Relaxed) && !IS_WATCHER.get() {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract; counting
// touches two atomics and a thread-local that needs no initialisation, and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `alloc`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the layout is the caller's.
        unsafe { System.alloc(layout) }
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

#[test]
fn calls_allocate_nothing() {
    IS_WATCHER.set(true);
    let address = "127.0.0.1:0".parse().unwrap();
    let mut plan = Plan {
        sources: vec![Source::new(address); 2],
        sinks: vec![Sink::new(address); 2],
        rate: 500.0,
        warm_up_ms: 500,
        duration_ms: 1_500,
        ring: Spread::fixed_ms(10),
        hold: Spread::fixed_ms(50),
        timers: Timers {
            t1_ms: 8_000,
            ..Timers::default()
        },
        ..Plan::default()
    };
    let watch = |progress: Progress| {
        match progress.moment {
            Moment::WindowOpens => IS_COUNTING.store(true, Relaxed),
            Moment::WindowCloses => IS_COUNTING.store(false, Relaxed),
            Moment::Ready | Moment::Second => {}
        };
    };
    let report = run(&plan, &mut { watch }).unwrap();
    assert_eq!(report.calls.completed, 750, "{:?}", report.calls);
    assert_eq!(ALLOCATIONS.swap(0, Relaxed), 0, "for 750 calls");

    // Refusals and silence likewise, but for one entry of a map for each status and source.
    plan.sinks[0].refuse_per_mille = 300;
    plan.sinks[1].silent_per_mille = 100;
    plan.drain_ms = 500;
    let report = run(&plan, &mut { watch }).unwrap();
    assert!(report.calls.refused_total() > 50, "{:?}", report.calls);
    let allocations = ALLOCATIONS.swap(0, Relaxed);
    assert!(
        allocations <= 2,
        "{allocations} for {} calls",
        report.calls.attempts
    );
}
