//! What becomes of attempts is counted, for the routes that ask for quality.

use base::SlotId;
use call::Call;
use cdr::Cause;
use route::{Ending, Measure, Place, is_effective, is_no_verdict};

use crate::counters::Count;
use crate::{Out, Router};

impl Router {
    /// The row that an attempt at a gateway is counted in, if its route asks for quality.
    pub(crate) fn measured(
        &self,
        measure: Option<Measure>,
        gateway: base::GatewayId,
        out: &Out,
    ) -> Option<Place> {
        let place = self.gauges.quality().place(measure?, gateway);
        if place.is_none() {
            self.count(Count::QualityFull, out);
        }
        place
    }

    /// An attempt is over without an answer. The first word about it counts.
    pub(crate) fn end_attempt(
        &mut self,
        fork: SlotId,
        at: usize,
        (status, cause): (u16, Cause),
        out: &mut Out,
    ) {
        let Some(id) = self.call_of(fork) else {
            return;
        };
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let failed = failed(call, at, status);
        self.attempt_over(id, at, (status, cause), out);
        if let Some((place, ending)) = failed {
            self.gauges.quality().count(self.shard, place, ending);
        }
    }

    /// The answered call of a dialog is over.
    pub(crate) fn count_hang_up(&self, call: SlotId, dialog: usize) {
        let Some(call) = self.calls.get(call) else {
            return;
        };
        let dialog = &call.dialogs[dialog];
        let attempt = call.attempts.get(usize::from(dialog.attempt));
        let Some(place) = attempt.and_then(|attempt| attempt.measured) else {
            return;
        };
        if let (Some(answered), Some(ending)) = (dialog.answered.get(), dialog.ending) {
            let talked_us = ending.at.micros_since(answered);
            let quality = self.gauges.quality();
            let class = self.world.quality(quality.class_of(place));
            let short_us = class.map_or(0, |class| u64::from(class.bounds.short_s) * 1_000_000);
            let ending = Ending::HungUp {
                talked_us,
                is_short: talked_us < short_us,
            };
            quality.count(self.shard, place, ending);
        }
    }
}

/// What an attempt that ends now without an answer is counted as; once for each.
fn failed(call: &mut Call, at: usize, status: u16) -> Option<(Place, Ending)> {
    let is_answered = call.is_answered();
    let attempt = call.attempts.get_mut(at)?;
    if attempt.ended().is_some() || attempt.answered.is_some() {
        return None;
    }
    let place = attempt.measured.take()?;
    // Who lost against another that was asked at the same time did nothing wrong.
    if is_answered || is_no_verdict(status) {
        return None;
    }
    let rang_after_us = (attempt.progress.get()).map(|at| at.micros_since(attempt.started));
    let ending = Ending::Failed {
        is_effective: is_effective(status, rang_after_us.is_some()),
        rang_after_us,
    };
    Some((place, ending))
}
