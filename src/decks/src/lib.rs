//! Rate decks as carriers mail them: read, made sense of, and compared with what was there before.
#![forbid(unsafe_code)]

mod amount;
mod codes;

pub use amount::{Amount, BadAmount, Decimal, amount};
pub use codes::{BadCodes, CODES_OF_CELL_MAX, codes};
