//! The tables that people argue about: which response is the best, and what a status means.
//!
//! A change of policy is a change of a row here, and nowhere else.

use cdr::Cause;

/// Whether a response with `status` is to be preferred over the best so far (RFC 3261 §16.7 step 6).
///
/// A 6xx wins over all; else the lowest class; within 4xx those that tell the caller how to succeed
/// (401, 407, 415, 420, 484) come first; within a class a peer's word wins over our guess, and the
/// later attempt over the earlier, because it speaks of the last vendor that was asked.
#[must_use]
pub fn is_better(status: u16, said: bool, best: u16, best_said: bool) -> bool {
    let (new, old) = (rank(status), rank(best));
    if new != old {
        return new < old;
    }
    said || !best_said
}

fn rank(status: u16) -> u8 {
    match status {
        600..=699 => 0,
        300..=399 => 1,
        401 | 407 | 415 | 420 | 484 => 2,
        // A time-out and a cancelled branch say less than any other refusal of their class.
        408 | 487 => 4,
        400..=499 => 3,
        503 => 6,
        _ => 5,
    }
}

/// What a final status, or the lack of one, means for the record of an attempt or a call.
#[must_use]
pub fn cause_of(status: u16) -> Cause {
    match status {
        200..=299 => Cause::Answered,
        487 => Cause::Cancelled,
        _ => Cause::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_response_is_chosen_as_the_rfc_asks() {
        // (new, best so far, is the new one better)
        let rows = [
            (603, 404, true),
            (404, 603, false),
            (302, 404, true),
            (404, 500, true),
            (500, 404, false),
            (407, 404, true),
            (404, 407, false),
            (404, 408, true),
            (408, 404, false),
            (408, 503, true),
            (503, 500, false),
            (500, 503, true),
            (486, 404, true), // the later of equals
        ];
        for (new, best, want) in rows {
            assert_eq!(is_better(new, true, best, true), want, "{new} after {best}");
        }
        assert!(
            !is_better(408, false, 408, true),
            "our guess does not replace a peer's word"
        );
        assert!(is_better(408, true, 408, false));
    }
}
