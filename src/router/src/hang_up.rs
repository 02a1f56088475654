//! A call rings, is answered, ends: its record, its channel, its slot.

use base::{GatewayId, SlotId};
use call::{Attempt, Invite, Names, encode_record};
use cdr::{Cause, Party};
use route::Ending;

use crate::counters::{Count, DIAL_DELAY, SETUP_TIME, TrunkCell};
use crate::gauges::Limited;
use crate::wake::Wake;
use crate::{Out, Router};

/// Room for a record. The runtime's `Limits::record_bytes` must be no less.
const RECORD_BYTES: usize = cdr::FRAME_BYTES_MAX;

impl Router {
    /// A 1xx or 2xx of the first INVITE goes to the caller; `dialog` is the one that it is of.
    pub(crate) fn call_progress(
        &mut self,
        id: SlotId,
        status: u16,
        dialog: Option<usize>,
        out: &mut Out,
    ) {
        let now = out.now();
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        if (180..=189).contains(&status) && call.ringing.is_none() {
            call.ringing.set_once(now);
            out.histogram_record(DIAL_DELAY, now.micros_since(call.began));
        }
        let Some(dialog) = dialog.filter(|_| status >= 200) else {
            return;
        };
        let first = !call.is_answered();
        let attempt = usize::from(call.dialogs[dialog].attempt);
        let attempt = call
            .attempts
            .get(attempt)
            .filter(|it| it.answered.is_none());
        let answered = attempt.and_then(|attempt| {
            let rang = attempt.progress.get().unwrap_or(now);
            let rang_after_us = rang.micros_since(attempt.started);
            Some((attempt.measured?, Ending::Answered { rang_after_us }))
        });
        if !call.answered(dialog, status, now) {
            return;
        }
        if let Some((place, ending)) = answered {
            self.gauges.quality().count(self.shard, place, ending);
        }
        let is_capped = call.capped.is_some();
        let (began, trunk, timer) = (call.began, call.trunk, call.timer);
        if is_capped {
            self.charge(id, dialog, out);
        }
        if first {
            out.histogram_record(SETUP_TIME, now.micros_since(began));
            self.count(Count::CallsAnswered, out);
            self.count_trunk(trunk, TrunkCell::Answered, out);
        }
        // A second phone may answer after the first has hung up: then none is armed.
        if timer.is_none() {
            self.limit_duration(id, trunk, out);
        }
    }

    /// Arms the deadline that ends a call which nobody ends.
    fn limit_duration(&mut self, id: SlotId, trunk: base::TrunkId, out: &mut Out) {
        let own_s = self
            .world
            .trunk(trunk)
            .map_or(0, |trunk| trunk.max_call_seconds);
        let own_ms = match own_s {
            0 => self.settings.max_call_ms,
            own_s => u64::from(own_s) * 1_000,
        };
        let longest_ms = match self.capped_seconds(id) {
            0 => own_ms,
            capped_s if own_ms == 0 => u64::from(capped_s) * 1_000,
            capped_s => own_ms.min(u64::from(capped_s) * 1_000),
        };
        if longest_ms > 0 {
            let timer = out.arm(longest_ms * 1_000, Wake::CallEnds(id).token());
            if timer.is_none() {
                self.count(Count::TimersFull, out);
            }
            if let Some(call) = self.calls.get_mut(id) {
                call.timer = timer;
            }
        }
    }

    /// The first INVITE is answered with a failure.
    pub(crate) fn call_refused(
        &mut self,
        id: SlotId,
        status: u16,
        by: Party,
        cause: Cause,
        out: &mut Out,
    ) {
        let now = out.now();
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        if call.is_answered() {
            return;
        }
        if by == Party::Callee && call.q850.is_none() {
            call.q850 = call.attempts.last().and_then(|attempt| attempt.q850);
        }
        call.refused(status, by, cause, now);
        self.count(Count::CallsFailed, out);
        self.settle_call(id, out);
    }

    /// A BYE got its final response, or none in time.
    pub(crate) fn bye_answered(&mut self, id: SlotId, dialog: usize, status: u16, out: &mut Out) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        if call.dialogs.get(dialog).is_some() && call.bye_answered(dialog, status) {
            self.settle_call(id, out);
        }
    }

    /// The longest duration of a call is over: nobody said BYE, or the BYE passed us by.
    pub(crate) fn call_too_long(&mut self, id: SlotId, out: &mut Out) {
        let now = out.now();
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.timer = None;
        call.end_all(Party::Router, Cause::MaxDuration, now);
        self.count(Count::CallsTooLong, out);
        self.settle_call(id, out);
    }

    /// The fork of a call is gone; what is left of its INVITE is `left`.
    pub(crate) fn fork_left_call(&mut self, id: SlotId, left: Invite, out: &mut Out) {
        let now = out.now();
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.invite = left;
        if !call.is_answered() && call.unanswered.is_none() {
            // Its transactions ended without a verdict: no packet was left to answer with.
            call.refused(503, Party::Router, Cause::Overloaded, now);
            self.count(Count::CallsFailed, out);
        }
        self.settle_call(id, out);
    }

    /// The transactions of a call's answered INVITE are over.
    pub(crate) fn invite_left_call(&mut self, id: SlotId, out: &mut Out) {
        if let Some(call) = self.calls.get_mut(id) {
            call.invite = Invite::Over;
            self.settle_call(id, out);
        }
    }

    /// Hands over every record that is due, gives back the channel, frees the slot when all is done.
    pub(crate) fn settle_call(&mut self, id: SlotId, out: &mut Out) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        if call.has_no_end() {
            return;
        }
        let dialogs = call.dialogs.len();
        let mut waits = false;
        for at in 0..dialogs {
            let due = self.calls.get(id).is_some_and(|call| {
                let dialog = &call.dialogs[at];
                !dialog.is_recorded
                    && dialog.answered.is_some()
                    && dialog.ending.is_some_and(|ending| !ending.is_pending)
            });
            if due {
                let done = self.record(id, Some(at), out);
                waits |= !done;
                if done {
                    self.count_hang_up(id, at);
                }
                if let Some(call) = self.calls.get_mut(id) {
                    call.dialogs[at].is_recorded = done;
                }
            }
        }
        let due = self
            .calls
            .get(id)
            .is_some_and(|call| call.unanswered.is_some() && !call.is_recorded);
        if due {
            let done = self.record(id, None, out);
            waits |= !done;
            if let Some(call) = self.calls.get_mut(id) {
                call.is_recorded = done;
            }
        }
        if waits {
            self.count(Count::RecordsWaiting, out);
            if let Some(call) = self.calls.get_mut(id)
                && !std::mem::replace(&mut call.is_waiting, true)
            {
                self.unrecorded.push(id);
            }
        }
        self.retire_call(id, out);
    }

    fn retire_call(&mut self, id: SlotId, out: &mut Out) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        // A late 2xx may follow the refusal (§16.7 step 5): then the call is up all the same.
        let has_ended = match call.is_answered() {
            true => !call.is_up(),
            false => call.unanswered.is_some(),
        };
        if !has_ended {
            return;
        }
        if std::mem::take(&mut call.holds_channel) {
            self.gauges.give(self.shard, Limited::Trunk(call.trunk));
        }
        for gateway in call.attempts.iter_mut().filter_map(Attempt::free) {
            self.gauges.give(self.shard, Limited::Gateway(gateway));
        }
        if let Some(timer) = call.timer.take() {
            out.cancel(timer);
        }
        if call.capped.is_some() {
            self.settle_caps(id);
        }
        let Some(call) = self.calls.get_mut(id).filter(|call| call.is_over()) else {
            return;
        };
        call.give_back(&mut self.spares);
        let found = self.by_call_id.remove(call.call_id, id.index());
        debug_assert!(found, "every call is in the index");
        self.flows.release(call.caller);
        for dialog in &call.dialogs {
            self.flows.release(dialog.peer);
        }
        if let Some(names) = call.identity {
            self.names.remove(names);
        }
        self.calls.discard(id);
    }

    /// An attempt of a call is over: what it held is free. The first word about its end holds.
    pub(crate) fn attempt_over(
        &mut self,
        id: SlotId,
        at: usize,
        (status, cause): (u16, Cause),
        out: &Out,
    ) {
        let call = self.calls.get_mut(id);
        let freed = call.and_then(|call| call.attempt_ended(at, status, cause, out.now()));
        if freed.is_some() {
            self.give_caps_of_attempt(id, at);
        }
        self.give_channel(freed);
    }

    /// Gives back the channel that an attempt held.
    pub(crate) fn give_channel(&self, gateway: Option<GatewayId>) {
        if let Some(gateway) = gateway {
            self.gauges.give(self.shard, Limited::Gateway(gateway));
        }
    }

    /// A trunk's name and carrier. A trunk that was removed keeps its name only.
    fn names_of_trunk(&self, id: base::TrunkId) -> (&[u8], &[u8]) {
        let carrier = self.world.trunk(id).map_or("", |trunk| &trunk.carrier);
        (self.world.trunk_name(id).as_bytes(), carrier.as_bytes())
    }

    /// A gateway's name and carrier, as of a trunk.
    pub(crate) fn names_of_gateway(&self, id: base::GatewayId) -> (&[u8], &[u8]) {
        let carrier = self
            .world
            .gateway(id)
            .map_or("", |gateway| &gateway.carrier);
        (self.world.gateway_name(id).as_bytes(), carrier.as_bytes())
    }

    /// Hands a record over. `false`: the ring is full.
    fn record(&mut self, id: SlotId, dialog: Option<usize>, out: &mut Out) -> bool {
        let mut identity = std::mem::take(&mut self.record_text);
        identity.clear();
        if let Some(names) = self.calls.get(id).and_then(|call| call.identity) {
            self.names.read(names, &mut identity);
        }
        let Some(call) = self.calls.get(id) else {
            return true;
        };
        let (trunk, carrier) = self.names_of_trunk(call.trunk);
        let names = Names {
            node: &self.settings.node,
            trunk,
            carrier,
            caller: &self.flows[call.caller],
        };
        let mut written = false;
        let put = out.record(RECORD_BYTES, &mut |buffer| {
            let gateway = |id| self.names_of_gateway(id);
            let len = encode_record(call, id, dialog, &identity, &names, gateway, buffer);
            written = len.is_some();
            len.unwrap_or(0)
        });
        debug_assert!(written || !put, "a record fits RECORD_BYTES");
        if put {
            self.count(Count::Records, out);
        }
        self.record_text = identity;
        put
    }

    /// Tries again to hand over what found the ring full.
    pub(crate) fn retry_records(&mut self, out: &mut Out) {
        let mut rounds = self.unrecorded.len();
        while rounds > 0 && out.records_free() > 0 {
            rounds -= 1;
            let id = self.unrecorded.swap_remove(0);
            if let Some(call) = self.calls.get_mut(id) {
                call.is_waiting = false;
            }
            self.settle_call(id, out);
        }
    }

    /// The process ends: callers that wait are told, calls that are up get their record now, with a
    /// cause that says so. What finds the ring full goes on at each housekeeping.
    pub(crate) fn end_all_calls(&mut self, out: &mut Out) {
        self.is_stopped = true;
        let waiting =
            |(id, held): (SlotId, &crate::held::Held)| (!held.fork.answered).then_some(id);
        let waiting: Vec<SlotId> = self.forks.iter().filter_map(waiting).collect();
        for id in waiting {
            if let Some(held) = self.forks.get_mut(id) {
                held.fork.answered = true;
            }
            self.cancel_pending(id, None, out);
            self.respond_kept(id, 503, out);
        }
        let all: Vec<SlotId> = self.calls.iter().map(|(id, _)| id).collect();
        for id in all {
            let now = out.now();
            let Some(call) = self.calls.get_mut(id) else {
                continue;
            };
            if call.is_answered() {
                call.end_all(Party::Router, Cause::Shutdown, now);
            } else {
                call.refused(503, Party::Router, Cause::Shutdown, now);
            }
            self.settle_call(id, out);
        }
    }
}
