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

/// Sleeps for so long, or until a signal comes.
pub(crate) fn nap(us: u64) {
    let time = libc::timespec {
        tv_sec: (us / 1_000_000) as libc::time_t,
        tv_nsec: (us % 1_000_000 * 1_000) as libc::c_long,
    };
    // SAFETY: the pointer is to a value of this function that the call only reads; it is not asked
    // what is left of the time.
    unsafe { call!(libc::SYS_nanosleep, &raw const time, std::ptr::null::<()>()) };
}

/// From now on the calling thread's naps end when they should: Linux else lets them take up to 50 µs
/// longer, so as to wake several threads at once.
pub(crate) fn nap_exactly() {
    let slack_ns: libc::c_ulong = 1;
    // SAFETY: the call takes a number and changes nothing but this thread's slack.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns) };
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
