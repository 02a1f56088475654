//! Memory that is there before it is used.

use std::io;

/// What `MADV_HUGEPAGE` is about on all processors that matter here.
const HUGE: usize = 2 << 20;
const PAGE: usize = 4096;

/// Asks for the pages behind memory now, by the thread and so from the NUMA node that will use it; for
/// huge ones where whole ones fit, if the system has any. What lies there already stays as it is.
///
/// # Errors
/// There is not so much memory, or the kernel is older than 5.14.
pub(crate) fn populate(at: *const u8, bytes: usize) -> io::Result<()> {
    // A kernel without huge pages says no, and small ones serve as well.
    let _ = advise(at, bytes, HUGE, libc::MADV_HUGEPAGE);
    advise(at, bytes, PAGE, libc::MADV_POPULATE_WRITE)
}

/// Gives advice about what memory covers of whole pages.
fn advise(at: *const u8, bytes: usize, page: usize, advice: i32) -> io::Result<()> {
    let first = at.addr().next_multiple_of(page);
    let end = (at.addr() + bytes) / page * page;
    if first >= end {
        return Ok(());
    }
    let start = at.wrapping_add(first - at.addr()).cast_mut();
    // SAFETY: both advices change how memory is backed and not what it holds, whoever owns it; where
    // there is none the call fails.
    match unsafe { libc::madvise(start.cast(), end - first, advice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_there_stays() {
        let mut memory = vec![0_u8; 5 * HUGE];
        memory[0] = 1;
        memory[3 * HUGE + 17] = 2;
        populate(memory.as_ptr(), memory.len()).expect("there is memory");
        let marks = memory.iter().zip(0..).filter(|&(&octet, _)| octet != 0);
        let marks: Vec<(u8, usize)> = marks.map(|(&octet, at)| (octet, at)).collect();
        assert_eq!(marks, [(1, 0), (2, 3 * HUGE + 17)]);
    }

    #[test]
    fn it_is_there_then() {
        let memory = vec![0_u8; 16 * HUGE];
        let resident = || {
            let pages = memory.len() / PAGE - 1;
            let mut seen = vec![0_u8; pages];
            let first = memory.as_ptr().addr().next_multiple_of(PAGE);
            let start = memory.as_ptr().wrapping_add(first - memory.as_ptr().addr());
            // SAFETY: the pages are within `memory`, and there is an octet for each of them.
            let done =
                unsafe { libc::mincore(start.cast_mut().cast(), pages * PAGE, seen.as_mut_ptr()) };
            assert_eq!(done, 0, "{}", io::Error::last_os_error());
            seen.iter().filter(|&&it| it & 1 == 1).count()
        };
        assert!(resident() < 16, "zeros come from the system unread");
        populate(memory.as_ptr(), memory.len()).expect("there is memory");
        assert_eq!(resident(), memory.len() / PAGE - 1);
    }

    #[test]
    fn what_is_no_memory_is_told() {
        assert!(populate(std::ptr::without_provenance(PAGE), 64 * PAGE).is_err());
        populate(std::ptr::without_provenance(PAGE + 1), PAGE)
            .expect("no whole page, nothing to do");
    }
}
