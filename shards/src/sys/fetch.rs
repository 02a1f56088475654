//! Memory that is asked for before it is needed.

/// Asks for the memory at an address, of so many octets: it comes from the caches' other side, or from
/// the page tables', while the caller does something else. A wish, which may name any address: nothing
/// is read, nothing can fault. Does nothing on processors whose instruction for it is not known here.
#[inline]
pub fn fetch(address: *const u8, bytes: usize) {
    const LINE_BYTES: usize = 64;
    for offset in (0..bytes).step_by(LINE_BYTES) {
        line(address.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction is there on every such processor, and takes any address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(_address: *const u8) {}
