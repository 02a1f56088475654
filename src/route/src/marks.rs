//! How good the targets of one plan are for one call.

use smallvec::SmallVec;

use crate::Verdict;
use crate::limits::TARGETS_MAX;
use crate::order::Order;

/// By target of a plan.
pub(crate) type Verdicts = SmallVec<[Verdict; TARGETS_MAX]>;

/// So many targets of which nobody has said anything yet.
pub(crate) fn all_fit(count: usize) -> Verdicts {
    Verdicts::from_buf_and_len([Verdict::Try; TARGETS_MAX], count)
}

/// How good the targets of a plan are.
#[derive(Default)]
pub(crate) struct Marks {
    /// By target; empty if nobody asks.
    pub(crate) badness: SmallVec<[u32; TARGETS_MAX]>,
    /// Those that come last: a bit for each.
    pub(crate) behind: u32,
}

const _: () = assert!(TARGETS_MAX <= u32::BITS as usize, "a bit for each target");

impl Marks {
    pub(crate) fn badness(&self, at: usize) -> i64 {
        self.badness.get(at).copied().unwrap_or(0).into()
    }

    pub(crate) fn is_behind(&self, at: usize) -> bool {
        self.behind >> at & 1 == 1
    }

    /// Moves those that come last behind the others; either keep their order.
    pub(crate) fn move_back(&self, places: &mut Order) {
        if self.behind != 0 {
            let (good, poor): (Order, Order) = places
                .iter()
                .copied()
                .partition(|&at| !self.is_behind(usize::from(at)));
            places.clear();
            places.extend(good);
            places.extend(poor);
        }
    }
}
