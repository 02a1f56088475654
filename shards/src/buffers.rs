//! Buffers of one size that travel between threads and come back.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crossbeam_queue::ArrayQueue;

/// At most so many buffers of one size. One is made when it is first needed and kept for ever, so
/// an idle queue costs nothing, a warm one allocates nothing, and the few that are in use stay in
/// the cache. Any thread may take, any thread may give back.
#[derive(Debug)]
pub(crate) struct Buffers {
    unused: ArrayQueue<Box<[u8]>>,
    /// How many there are. Written by whoever makes one, which is rare.
    made: AtomicUsize,
    count_max: usize,
    bytes: usize,
}

impl Buffers {
    pub(crate) fn new(count_max: usize, bytes: usize) -> Buffers {
        Buffers {
            unused: ArrayQueue::new(count_max.max(1)),
            made: AtomicUsize::new(0),
            count_max,
            bytes,
        }
    }

    /// The size of each.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A buffer with whatever its last user left in it; `None` if all are in use.
    pub(crate) fn take(&self) -> Option<Box<[u8]>> {
        self.unused.pop().or_else(|| self.make())
    }

    /// Returns a buffer that came from here.
    pub(crate) fn give_back(&self, buffer: Box<[u8]>) {
        debug_assert_eq!(buffer.len(), self.bytes, "a buffer is of this size");
        let returned = self.unused.push(buffer).is_ok();
        assert!(returned, "there are as many places as buffers");
    }

    /// How many can be taken before one must come back.
    pub(crate) fn free(&self) -> usize {
        self.unused.len() + (self.count_max - self.made.load(Relaxed))
    }

    #[cold]
    fn make(&self) -> Option<Box<[u8]>> {
        // Relaxed: the number is all that is shared; nothing is published through it.
        let next = |made| (made < self.count_max).then_some(made + 1);
        self.made.fetch_update(Relaxed, Relaxed, next).ok()?;
        Some(vec![0; self.bytes].into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_made_when_needed_and_used_again() {
        let buffers = Buffers::new(2, 8);
        assert_eq!((buffers.free(), buffers.unused.len()), (2, 0));
        let first = buffers.take().expect("one");
        let place = first.as_ptr();
        buffers.give_back(first);
        let again = buffers.take().expect("the same");
        assert_eq!((again.as_ptr(), buffers.free()), (place, 1));
        let second = buffers.take().expect("another");
        assert_eq!((buffers.take(), buffers.free()), (None, 0));
        buffers.give_back(again);
        buffers.give_back(second);
        assert_eq!((buffers.free(), buffers.made.load(Relaxed)), (2, 2));
    }
}
