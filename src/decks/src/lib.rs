//! Rate decks as carriers mail them: read, made sense of, and compared with what was there before.
#![forbid(unsafe_code)]

mod amount;
mod anomaly;
mod codes;
mod deck;
mod dialect;
mod guess;
mod lines;
mod moment;
mod read;
mod titles;

pub use amount::{Amount, BadAmount, Decimal, amount};
pub use anomaly::{Changes, EXAMPLES_MAX, Example, Expectations, Judgement, Kind, Oddity, judge};
pub use codes::{BadCodes, CODES_OF_CELL_MAX, codes};
pub use deck::{Clash, Collector, Deck, Extent, Priced, collect};
pub use dialect::{BadDialect, Column, Dialect, Unit, steps};
pub use guess::{Guess, NoGuess, guess};
pub use lines::{COLUMNS_MAX, Cell, LINE_BYTES_MAX, Line, Source, Unreadable};
pub use moment::{BadMoment, DateOrder, moment, moment_of_serial};
pub use read::{ByRegion, DESTINATION_CHARS_MAX, Entry, FAULTS_MAX, Fault, NotRead, Report, read};
