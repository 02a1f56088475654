//! A call is over: counted, written down, its slot given back.

use std::io;

use super::{Call, Caller, Cause, State};
use crate::load::slab::Key;
use crate::load::wire::Method;

impl Caller {
    /// The call is over, and well.
    pub(super) fn complete(&mut self, key: Key) {
        self.tally.completed.add(1);
        if let Some(&mut call) = self.calls.get_mut(key)
            && call.line.name.is_counted
        {
            self.seats[usize::from(call.seat)].calls.completed += 1;
        }
        self.retire(key);
    }

    /// OPTIONS or REGISTER that nobody answered.
    pub(super) fn unanswered(&mut self, key: Key, call: &Call) {
        self.tally.failed.add(1);
        if call.line.name.is_counted {
            match call.state {
                State::Asking(Method::Options) => self.counts.options.no_response += 1,
                _ => self.counts.registers.no_response += 1,
            }
        }
        self.retire(key);
    }

    pub(super) fn fail(&mut self, key: Key, cause: Cause, now_us: u64) {
        let Some(&mut call) = self.calls.get_mut(key) else {
            return;
        };
        self.count_failure(&call, cause);
        // An answered call has its "ended" already, or nobody hung up.
        if matches!(cause, Cause::NoResponse | Cause::NoFinal | Cause::NoAnswer) {
            self.note("failed", key, now_us, 408);
        }
        self.retire(key);
    }

    pub(super) fn count_failure(&mut self, call: &Call, cause: Cause) {
        self.tally.failed.add(1);
        if !call.line.name.is_counted {
            return;
        }
        let failed = &mut self.seats[usize::from(call.seat)].calls.failed;
        let count = match cause {
            Cause::NoResponse => &mut failed.no_response,
            Cause::NoFinal => &mut failed.no_final,
            Cause::NoAnswer => &mut failed.no_answer,
            Cause::Status(status) => failed.status.entry(status).or_default(),
            Cause::ByeNoResponse => &mut failed.bye_no_response,
            Cause::ByeStatus(status) => failed.bye_status.entry(status).or_default(),
            Cause::BadAnswer => &mut failed.bad_answer,
            Cause::Broken => &mut failed.broken,
        };
        *count += 1;
    }

    pub(super) fn put(&mut self, key: Key, call: Call) {
        if let Some(slot) = self.calls.get_mut(key) {
            *slot = call;
        }
    }

    /// Frees the slot of something that was active.
    pub(super) fn retire(&mut self, key: Key) {
        self.active -= 1;
        self.release(key);
    }

    pub(super) fn release(&mut self, key: Key) {
        self.wheel.cancel(key.index);
        if let Some(call) = self.calls.remove(key)
            && let Some(block) = call.dialog
        {
            self.dialogs.give_back(block);
        }
    }

    /// Writes down what became of a call, if a truth log is kept.
    pub(super) fn note(&mut self, what: &str, key: Key, now_us: u64, status: u16) {
        let Some(truth) = &mut self.truth else {
            return;
        };
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        self.scratch.clear();
        let voice = &self.seats[usize::from(call.seat)].voice;
        voice.put_call_id(call.line.name, &mut self.scratch);
        let call_id = std::str::from_utf8(&self.scratch).expect("Call-IDs of ours are ASCII");
        let wall_us = self.wall_us + now_us;
        if let Err(error) = truth.note(what, format_args!("{call_id}"), wall_us, status) {
            // Told once, at the end; the calls go on.
            self.truth_error = Some(error);
            self.truth = None;
        }
    }

    /// Ends the book-keeping: what is up now stays unfinished.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        for call in self.calls.values() {
            let is_call = !matches!(call.state, State::Absorbing | State::Asking(_));
            if is_call && call.line.name.is_counted {
                self.seats[usize::from(call.seat)].calls.unfinished += 1;
            }
        }
        match (self.truth_error.take(), &mut self.truth) {
            (Some(error), _) => Err(error),
            (None, Some(truth)) => truth.flush(),
            (None, None) => Ok(()),
        }
    }
}
