//! What callers make of responses.

use super::{ABSORB_US, Call, Caller, Cause, State, waited};
use crate::load::ports::Ports;
use crate::load::voice::Name;
use crate::load::wire::{Dialog, Kind, Method, Scan};

impl Caller {
    pub(super) fn response(
        &mut self,
        scan: &Scan<'_>,
        name: Name,
        status: u16,
        now_us: u64,
        ports: &mut Ports,
    ) {
        let Some(&mut call) = self.calls.get_mut(name.key) else {
            // Its call is over: a final response that came again, of a lost ACK or late.
            if name.is_counted && status >= 200 {
                match scan.cseq_method {
                    Method::Invite => self.counts.seen.invite_final += 1,
                    _ => self.counts.seen.response += 1,
                }
            }
            return;
        };
        match (scan.cseq_method, status) {
            (Method::Invite, ..200) => self.provisional(name, call, status, now_us),
            (Method::Invite, 200..300) => self.accepted(scan, name, call, now_us, ports),
            (Method::Invite, _) => self.refused(scan, name, call, status, now_us, ports),
            (Method::Bye, 200..) if call.state == State::Ending => {
                self.ended(name, call, status, now_us);
            }
            (Method::Cancel, 200..) => {
                if let Some(call) = self.calls.get_mut(name.key) {
                    call.is_cancel_heard = true;
                }
            }
            (Method::Ack, _) => self.counts.ack_answered += 1,
            (method, 200..) if call.state == State::Asking(method) => {
                self.told(name, call, status, now_us);
            }
            _ => {}
        }
    }

    pub(super) fn provisional(&mut self, name: Name, mut call: Call, status: u16, now_us: u64) {
        if !matches!(call.state, State::Calling | State::Proceeding) {
            return;
        }
        let is_counted = name.is_counted;
        let waited_us = waited(call.due_us, now_us);
        if is_counted && !call.has_response {
            self.counts.clocks.trying.saturating_record(waited_us);
        }
        if is_counted && status >= 180 && !call.has_rung {
            self.counts.clocks.pdd.saturating_record(waited_us);
        }
        let was_rung = call.has_rung;
        call.has_rung |= status >= 180;
        if call.state == State::Calling || call.has_rung != was_rung {
            // Timer B ends with the first response; from here on it is patience.
            let at_us = match call.has_rung {
                true => call.sent_us + self.rules.ring_us_max,
                false => call.give_up_us,
            };
            self.wheel.arm(name.key.index, at_us);
        }
        call.has_response = true;
        call.state = State::Proceeding;
        self.put(name.key, call);
    }

    pub(super) fn accepted(
        &mut self,
        scan: &Scan<'_>,
        name: Name,
        mut call: Call,
        now_us: u64,
        ports: &mut Ports,
    ) {
        match call.state {
            State::Calling | State::Proceeding | State::Cancelling => {}
            State::Up | State::Ending => {
                if name.is_counted {
                    self.counts.seen.invite_final += 1;
                    self.counts.sent.ack += 1;
                }
                self.tally.again.add(1);
                return self.say_in_dialog(Method::Ack, &call, ports);
            }
            State::Absorbing | State::Asking(_) => return,
        }
        self.time_answer(scan, name, &call, now_us);
        self.note("answered", name.key, now_us, 200);
        self.tally.established.add(1);
        let seat = usize::from(call.seat);
        if name.is_counted {
            self.seats[seat].calls.established += 1;
        }
        self.scratch.clear();
        let is_dialog = scan.put_dialog(&mut self.scratch);
        let dialog = is_dialog
            .then(|| self.dialogs.keep(&self.scratch))
            .flatten();
        let Some(block) = dialog else {
            return self.fail(name.key, Cause::BadAnswer, now_us);
        };
        call.dialog = Some(block);
        let hop = Dialog::of(&self.scratch).next_hop();
        let Some(hop) = self.seats[seat].hop_to(hop, call.flow, now_us, ports) else {
            self.put(name.key, call);
            return self.fail(name.key, Cause::Broken, now_us);
        };
        call.hop = hop;
        let hold_us = match call.state {
            State::Cancelling => 0,
            _ if self.is_hanging_up => 0,
            _ => self.rules.hold.draw_us(self.random.next()),
        };
        call.state = State::Up;
        call.bye_due_us = now_us + hold_us;
        self.put(name.key, call);
        self.wheel.arm(name.key.index, call.bye_due_us);
        self.say_in_dialog(Method::Ack, &call, ports);
    }

    pub(super) fn time_answer(&mut self, scan: &Scan<'_>, name: Name, call: &Call, now_us: u64) {
        if !name.is_counted {
            return;
        }
        let waited_us = waited(call.due_us, now_us);
        let ring_us = scan.ring_us.unwrap_or(0);
        let setup_us = waited_us.saturating_sub(ring_us).max(1);
        let from_sent_us = waited(call.sent_us, now_us).saturating_sub(ring_us);
        let clocks = &mut self.counts.clocks;
        clocks.answer.saturating_record(waited_us);
        clocks.setup.saturating_record(setup_us);
        clocks
            .setup_from_sent
            .saturating_record(from_sent_us.max(1));
        if !call.has_response {
            clocks.trying.saturating_record(waited_us);
        }
        if !call.has_rung {
            clocks.pdd.saturating_record(waited_us);
        }
        let seat = &mut self.seats[usize::from(call.seat)];
        seat.setup.saturating_record(setup_us);
        self.tally.setup.record(setup_us);
    }

    pub(super) fn say_in_dialog(&mut self, method: Method, call: &Call, ports: &mut Ports) {
        let block = call.dialog.expect("a call that is up has its dialog");
        let dialog = Dialog::of(self.dialogs.get(block));
        let voice = &self.seats[usize::from(call.seat)].voice;
        let kind = match method {
            Method::Ack => Kind::Ack,
            _ => Kind::Bye,
        };
        ports.send(call.hop, kind, |out| {
            voice.in_dialog(method, &call.line, &dialog, out);
        });
    }

    pub(super) fn refused(
        &mut self,
        scan: &Scan<'_>,
        name: Name,
        mut call: Call,
        status: u16,
        now_us: u64,
        ports: &mut Ports,
    ) {
        let is_new = match call.state {
            State::Calling | State::Proceeding | State::Cancelling => true,
            State::Absorbing => false,
            State::Up | State::Ending | State::Asking(_) => return,
        };
        let voice = &self.seats[usize::from(call.seat)].voice;
        ports.send(call.flow, Kind::Ack, |out| {
            voice.ack_refusal(&call.line, scan.to, out);
        });
        if !is_new {
            if name.is_counted {
                self.counts.seen.invite_final += 1;
                self.counts.sent.ack += 1;
            }
            self.tally.again.add(1);
            return;
        }
        self.tally.refused.add(1);
        if name.is_counted && !call.has_response {
            let waited_us = waited(call.due_us, now_us);
            self.counts.clocks.trying.saturating_record(waited_us);
        }
        let was_cancelled = call.state == State::Cancelling;
        self.active -= 1;
        if !was_cancelled && self.rules.refusals.contains(&status) {
            self.note("failed", name.key, now_us, status);
            if name.is_counted {
                let waited_us = waited(call.due_us, now_us);
                self.counts.clocks.refusal.saturating_record(waited_us);
                let calls = &mut self.seats[usize::from(call.seat)].calls;
                *calls.refused.entry(status).or_default() += 1;
            }
        } else {
            let cause = match (was_cancelled, call.has_rung) {
                (true, true) => Cause::NoAnswer,
                (true, false) => Cause::NoFinal,
                (false, _) => Cause::Status(status),
            };
            self.count_failure(&call, cause);
            self.note("failed", name.key, now_us, status);
        }
        call.state = State::Absorbing;
        self.put(name.key, call);
        self.wheel.arm(name.key.index, now_us + ABSORB_US);
    }

    pub(super) fn ended(&mut self, name: Name, call: Call, status: u16, now_us: u64) {
        if status >= 300 {
            return self.fail(name.key, Cause::ByeStatus(status), now_us);
        }
        if name.is_counted {
            let waited_us = waited(call.bye_due_us, now_us);
            self.counts.clocks.bye.saturating_record(waited_us);
        }
        self.complete(name.key);
    }

    /// A final response to OPTIONS or REGISTER.
    pub(super) fn told(&mut self, name: Name, call: Call, status: u16, now_us: u64) {
        self.tally.asked.add(1);
        if name.is_counted {
            let waited_us = waited(call.due_us, now_us);
            let (asked, clock) = match call.state {
                State::Asking(Method::Options) => {
                    (&mut self.counts.options, &mut self.counts.clocks.options)
                }
                _ => (
                    &mut self.counts.registers,
                    &mut self.counts.clocks.registers,
                ),
            };
            clock.saturating_record(waited_us);
            match status {
                ..300 => asked.answered += 1,
                _ if self.rules.refusals.contains(&status) => {
                    *asked.refused.entry(status).or_default() += 1;
                }
                _ => *asked.failed.entry(status).or_default() += 1,
            }
        }
        self.retire(name.key);
    }
}
