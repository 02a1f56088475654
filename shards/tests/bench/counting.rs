//! The system's allocator, and a count of what is asked of it.
//!
//! Whoever takes this module in has it as its allocator: a test binary of its own, with one test,
//! because every allocation of the process counts but those of a watching thread.
#![allow(unsafe_code)] // a global allocator cannot be written without
#![allow(dead_code, unreachable_pub, reason = "each user takes a part of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_WATCHER: Cell<bool> = const { Cell::new(false) };
}

/// From here on allocations count.
pub fn begin() {
    ALLOCATIONS.store(0, Relaxed);
    IS_COUNTING.store(true, Relaxed);
}

/// Until here.
pub fn stop() {
    IS_COUNTING.store(false, Relaxed);
}

/// How many there were since [`begin`].
pub fn count() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// Runs `step` and returns how often it allocated.
pub fn counted(step: impl FnOnce()) -> u64 {
    begin();
    step();
    stop();
    count()
}

/// What this thread allocates does not count: it watches others and tells of them.
pub fn watch() {
    IS_WATCHER.set(true);
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
