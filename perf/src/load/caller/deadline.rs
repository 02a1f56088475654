//! What callers do when time is over, or a connection.

use super::{Call, Caller, Cause, State};
use crate::load::ports::Ports;
use crate::load::slab::Key;
use crate::load::wire::{Kind, Method};

impl Caller {
    /// Fires what is due, at most `budget` deadlines.
    pub(crate) fn timers(&mut self, now_us: u64, budget: usize, ports: &mut Ports) {
        for _ in 0..budget {
            let Some(index) = self.wheel.due(now_us) else {
                return;
            };
            let Some(key) = self.calls.key_at(index) else {
                continue;
            };
            if let Some(&mut call) = self.calls.get_mut(key) {
                self.deadline(key, call, now_us, ports);
            }
        }
    }

    pub(super) fn deadline(&mut self, key: Key, mut call: Call, now_us: u64, ports: &mut Ports) {
        let is_over = now_us >= call.give_up_us;
        match call.state {
            State::Calling if is_over => self.fail(key, Cause::NoResponse, now_us),
            State::Asking(_) if is_over => self.unanswered(key, &call),
            State::Ending if is_over => self.fail(key, Cause::ByeNoResponse, now_us),
            State::Cancelling if is_over => {
                let cause = match call.has_rung {
                    true => Cause::NoAnswer,
                    false => Cause::NoFinal,
                };
                self.fail(key, cause, now_us);
            }
            State::Calling | State::Asking(_) | State::Ending | State::Cancelling => {
                self.say_again(&call, ports);
                // Timer A doubles without limit (RFC 3261 §17.1.1.2), timer E up to T2.
                let double_us = call.interval_us * 2;
                call.interval_us = match call.state {
                    State::Calling => double_us,
                    _ => double_us.min(self.rules.t2_us),
                };
                self.put(key, call);
                self.arm_request(key, &call, now_us);
            }
            State::Proceeding => {
                call.state = State::Cancelling;
                self.begin_request(key, call, now_us);
                let voice = &self.seats[usize::from(call.seat)].voice;
                ports.send(call.flow, Kind::Other, |out| voice.cancel(&call.line, out));
            }
            State::Up => {
                call.state = State::Ending;
                self.begin_request(key, call, now_us);
                self.note("ended", key, now_us, 200);
                self.say_in_dialog(Method::Bye, &call, ports);
            }
            State::Absorbing => self.release(key),
        }
    }

    /// A second request of a call goes out: its timers begin.
    pub(super) fn begin_request(&mut self, key: Key, mut call: Call, now_us: u64) {
        call.interval_us = self.rules.t1_us;
        call.give_up_us = now_us + self.rules.give_up_us;
        self.put(key, call);
        self.arm_request(key, &call, now_us);
    }

    pub(super) fn say_again(&mut self, call: &Call, ports: &mut Ports) {
        let count = &mut self.counts.sent;
        let kind = match call.state {
            State::Cancelling if call.is_cancel_heard => return,
            State::Cancelling => &mut count.cancel,
            State::Ending => &mut count.bye,
            State::Asking(Method::Options) => &mut count.options,
            State::Asking(_) => &mut count.register,
            _ => &mut count.invite,
        };
        if call.line.name.is_counted {
            *kind += 1;
        }
        self.tally.again.add(1);
        match call.state {
            State::Ending => self.say_in_dialog(Method::Bye, call, ports),
            State::Cancelling => {
                let voice = &self.seats[usize::from(call.seat)].voice;
                ports.send(call.flow, Kind::Other, |out| voice.cancel(&call.line, out));
            }
            _ => self.say_first(call, ports),
        }
    }

    /// Hangs up all calls that are up, one every `interval_us`, and the others as soon as they are.
    pub(crate) fn hang_up(&mut self, now_us: u64, interval_us: u64) {
        self.is_hanging_up = true;
        let mut at_us = now_us;
        for index in 0..self.calls.room_used() {
            let Some(key) = self.calls.key_at(index) else {
                continue;
            };
            let call = self.calls.get_mut(key).expect("the key was read just now");
            if call.state == State::Up && call.bye_due_us > at_us {
                call.bye_due_us = at_us;
                self.wheel.arm(index, at_us);
                at_us += interval_us;
            }
        }
    }

    /// A connection is gone: what waits for an answer over it has failed.
    pub(crate) fn broken(&mut self, port: u16, now_us: u64) {
        for index in 0..self.calls.room_used() {
            let Some(key) = self.calls.key_at(index) else {
                continue;
            };
            let call = *self.calls.get_mut(key).expect("the key was read just now");
            let over = match call.state {
                State::Up | State::Ending => call.hop.port,
                State::Absorbing => continue,
                _ => call.flow.port,
            };
            match call.state {
                _ if over != port => {}
                State::Asking(_) => self.unanswered(key, &call),
                _ => self.fail(key, Cause::Broken, now_us),
            }
        }
    }
}
