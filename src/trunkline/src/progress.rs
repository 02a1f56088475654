//! A line that tells how far a long reading is, where somebody looks at it.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::table::thousands;

/// Tells of decks that are read, several at a time.
pub(crate) struct Progress {
    is_watched: bool,
    has_told: AtomicBool,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            is_watched: std::io::stderr().is_terminal(),
            has_told: AtomicBool::new(false),
        }
    }

    /// So many lines of this deck were read. Asked every few lines, it tells every hundred thousand.
    pub(crate) fn tell(&self, deck: &str, lines: u64) {
        const TOLD_EACH: u64 = 100_000;
        const ASKED_EACH: u64 = 32;
        if self.is_watched && lines % TOLD_EACH < ASKED_EACH {
            // Relaxed: it is only read when all is told.
            self.has_told.store(true, Ordering::Relaxed);
            // A terminal that has gone is no fault of the deck.
            let _ = write!(
                std::io::stderr(),
                "\r{deck}: {} lines\x1b[K",
                thousands(lines)
            );
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&self) {
        if self.has_told.load(Ordering::Relaxed) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
