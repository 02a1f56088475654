//! The message that is being handled, for the report if the handler fails on it.

use std::cell::Cell;

thread_local! {
    /// What the shard of this thread had in hand when it panicked.
    static OFFENDING: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// Held while a message is handled. Costs nothing unless the handler panics: then it keeps a copy.
pub(crate) struct InHand<'a>(pub(crate) &'a [u8]);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            OFFENDING.set(Some(self.0.to_vec()));
        }
    }
}

/// The message that was in hand at the last panic of this thread.
pub(crate) fn take_offending() -> Option<Vec<u8>> {
    OFFENDING.take()
}
