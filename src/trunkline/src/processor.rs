//! Whether this processor can run the code that was built.
//!
//! The build is for x86-64-v3 (`.cargo/config.toml`). On an older processor the first such
//! instruction would end the program with a signal and no word; this says what to do instead. It
//! asks the processor itself: the standard library's question is answered when the code is built.

/// Says what is missing, if anything is.
///
/// # Errors
/// The words to print.
pub(crate) fn check() -> Result<(), &'static str> {
    match has_what_was_built_for() {
        true => Ok(()),
        false => Err(
            "trunkline: this processor lacks AVX2 or BMI2, for which this program was built; \
                      build it with RUSTFLAGS=\"-C target-cpu=x86-64\"",
        ),
    }
}

#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
fn has_what_was_built_for() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    __cpuid(0).eax >= 7 && is_enough(__cpuid(1).ecx, __cpuid_count(7, 0).ebx)
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "avx2")))]
fn has_what_was_built_for() -> bool {
    true
}

/// Leaf 1, ECX: the system keeps the wide registers (OSXSAVE), and FMA and MOVBE are there.
#[cfg(any(test, all(target_arch = "x86_64", target_feature = "avx2")))]
const FIRST: u32 = 1 << 27 | 1 << 12 | 1 << 22;
/// Leaf 7, EBX: AVX2, BMI1, BMI2.
#[cfg(any(test, all(target_arch = "x86_64", target_feature = "avx2")))]
const SEVENTH: u32 = 1 << 5 | 1 << 3 | 1 << 8;

#[cfg(any(test, all(target_arch = "x86_64", target_feature = "avx2")))]
fn is_enough(first: u32, seventh: u32) -> bool {
    first & FIRST == FIRST && seventh & SEVENTH == SEVENTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_part_is_seen() {
        assert!(check().is_ok(), "this test is such a program itself");
        assert!(is_enough(u32::MAX, u32::MAX));
        let lacks = |wanted: u32| {
            (0..32)
                .map(|bit| 1 << bit)
                .filter(move |bit| wanted & bit != 0)
        };
        for bit in lacks(FIRST) {
            assert!(!is_enough(!bit, u32::MAX), "{bit:x}");
        }
        for bit in lacks(SEVENTH) {
            assert!(!is_enough(u32::MAX, !bit), "{bit:x}");
        }
    }
}
