//! The kernel's clocks, in whole microseconds.
//!
//! Cost: one call into the vdso and a multiplication for each reading. `Instant` and `SystemTime`
//! keep seconds and nanoseconds apart, and each difference of two of them costs more than this.

/// Time since some moment before the process began; never goes back.
pub(crate) fn monotonic_us() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Time since 1970 as people set it.
pub(crate) fn civil_us() -> i64 {
    read(libc::CLOCK_REALTIME)
}

#[inline]
fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a value of this function that the call writes and does not keep.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert!(result == 0, "every kernel has these two clocks");
    // Nanoseconds are below 10^9, so they fit 32 bits, which divide faster.
    time.tv_sec * 1_000_000 + i64::from(time.tv_nsec as u32 / 1_000)
}
