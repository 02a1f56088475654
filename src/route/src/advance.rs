//! Which ends of an attempt make the call go on to the next gateway: the whole policy, as a table.

use std::fmt;

/// The final statuses from which a call advances, and whether it does so from silence.
///
/// By default 408, all 5xx and silence. A range never takes in 486, 600 and 603, which say that
/// the callee was reached and is busy or declines: these advance only if named one by one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvanceTable {
    /// One bit for each status from 300 to 699.
    statuses: [u64; Self::WORDS],
    timeout: bool,
    no_answer: bool,
}

impl AdvanceTable {
    const FIRST: u16 = 300;
    const LAST: u16 = 699;
    const WORDS: usize = 7;
    /// The statuses that no range takes in.
    pub const NEVER_BY_RANGE: [u16; 3] = [486, 600, 603];

    /// A table from which nothing advances.
    #[must_use]
    pub const fn none() -> AdvanceTable {
        AdvanceTable {
            statuses: [0; Self::WORDS],
            timeout: false,
            no_answer: false,
        }
    }

    /// Reads words as the configuration writes them: `404`, `5xx`, `timeout`, `no-answer`.
    ///
    /// # Errors
    /// The place of the first word that is none of these.
    pub fn from_words<S: AsRef<str>>(words: &[S]) -> Result<AdvanceTable, usize> {
        let mut table = AdvanceTable::none();
        for (at, word) in words.iter().enumerate() {
            table.add_word(word.as_ref()).ok_or(at)?;
        }
        Ok(table)
    }

    fn add_word(&mut self, word: &str) -> Option<()> {
        match word.as_bytes() {
            b"timeout" => self.timeout = true,
            b"no-answer" => self.no_answer = true,
            [class @ b'3'..=b'6', b'x', b'x'] => {
                let first = u16::from(class - b'0') * 100;
                for status in first..first + 100 {
                    if !Self::NEVER_BY_RANGE.contains(&status) {
                        self.set(status);
                    }
                }
            }
            [b'3'..=b'6', b'0'..=b'9', b'0'..=b'9'] => self.set(word.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    /// Adds one status from 300 to 699; others are no ends of an attempt that could advance.
    pub fn set(&mut self, status: u16) {
        if let Some((word, bit)) = Self::place(status) {
            self.statuses[word] |= 1 << bit;
        }
    }

    /// Whether a call goes on to the next gateway after this final status.
    #[must_use]
    pub fn advances(&self, status: u16) -> bool {
        Self::place(status).is_some_and(|(word, bit)| self.statuses[word] >> bit & 1 == 1)
    }

    /// Whether it goes on when the gateway stayed silent, or could not be reached at all.
    #[must_use]
    pub const fn advances_on_timeout(&self) -> bool {
        self.timeout
    }

    /// Whether it goes on when the gateway rang until the ring timer and nobody answered.
    #[must_use]
    pub const fn advances_on_no_answer(&self) -> bool {
        self.no_answer
    }

    const fn place(status: u16) -> Option<(usize, u32)> {
        if status < Self::FIRST || status > Self::LAST {
            return None;
        }
        let bit = status - Self::FIRST;
        Some(((bit / 64) as usize, (bit % 64) as u32))
    }
}

impl Default for AdvanceTable {
    fn default() -> AdvanceTable {
        AdvanceTable::from_words(&["408", "5xx", "timeout"]).expect("the words are known")
    }
}

impl fmt::Debug for AdvanceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses = (Self::FIRST..=Self::LAST).filter(|&status| self.advances(status));
        let mut list = f.debug_list();
        list.entries(statuses);
        if self.timeout {
            list.entry(&"timeout");
        }
        if self.no_answer {
            list.entry(&"no-answer");
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], advance: &[u16], stay: &[u16]) {
        let table = AdvanceTable::from_words(words).expect("known words");
        for &status in advance {
            assert!(table.advances(status), "{words:?} advances from {status}");
        }
        for &status in stay {
            assert!(!table.advances(status), "{words:?} stays at {status}");
        }
    }

    #[test]
    fn words_become_statuses() {
        check(&["404"], &[404], &[403, 405, 408, 503]);
        check(&["4xx"], &[400, 404, 480, 487, 499], &[399, 486, 500]);
        check(&["4xx", "486"], &[486], &[600]);
        check(&["6xx"], &[604, 606, 699], &[600, 603]);
        check(&["6xx", "603"], &[603], &[600]);
        check(&["3xx"], &[300, 302, 399], &[400]);
        check(&[], &[], &[100, 200, 408, 500, 699, 700]);
    }

    #[test]
    fn default_is_408_5xx_and_silence() {
        let table = AdvanceTable::default();
        let advancing: Vec<u16> = (0..=1_000).filter(|&s| table.advances(s)).collect();
        let want: Vec<u16> = std::iter::once(408).chain(500..600).collect();
        assert_eq!(advancing, want);
        assert!(table.advances_on_timeout());
        assert!(!table.advances_on_no_answer());
    }

    #[test]
    fn other_words_are_refused_at_their_place() {
        for word in [
            "", "2xx", "200", "7xx", "5XX", "50x", "4040", "silence", "x", "+404",
        ] {
            assert_eq!(AdvanceTable::from_words(&["404", word]), Err(1), "{word}");
        }
    }
}
