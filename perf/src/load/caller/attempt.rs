//! A call, or another request, begins.

use super::{Call, Caller, Seat, State};
use crate::load::ports::Ports;
use crate::load::slab::Key;
use crate::load::voice::{Line, Name};
use crate::load::wire::{Kind, Method};

impl Caller {
    /// Makes an attempt that was due at `due_us`.
    pub(crate) fn attempt(
        &mut self,
        due_us: u64,
        now_us: u64,
        is_counted: bool,
        ports: &mut Ports,
    ) {
        let method = self.draw_method();
        let Some(place) = Seat::next(&mut self.seats) else {
            return;
        };
        let target = self.next_target;
        self.next_target = (target + 1) % self.rules.targets;
        let Some(flow) = self.seats[place].flow_to(target, now_us, ports) else {
            return self.lose_attempt(method, place, is_counted);
        };
        let line = Line {
            name: Name {
                key: Key {
                    index: 0,
                    generation: 0,
                },
                is_counted,
            },
            target: target as u16,
            to: self.random.next() % self.rules.numbers,
            from: self.random.next() % self.rules.numbers,
        };
        let call = Call {
            state: match method {
                Method::Invite => State::Calling,
                _ => State::Asking(method),
            },
            seat: place as u16,
            line,
            flow,
            hop: flow,
            dialog: None,
            due_us,
            sent_us: now_us,
            bye_due_us: 0,
            interval_us: self.rules.t1_us,
            give_up_us: now_us + self.rules.give_up_us,
            has_response: false,
            has_rung: false,
            is_cancel_heard: false,
        };
        let Some(key) = self.calls.insert(call) else {
            if is_counted {
                self.seats[place].calls.held_back += 1;
            }
            return;
        };
        self.active += 1;
        self.tally.attempts.add(1);
        let call = self.calls.get_mut(key).expect("it was put there just now");
        call.line.name.key = key;
        let call = *call;
        if is_counted {
            let late_us = now_us.saturating_sub(due_us);
            self.counts.clocks.lag.saturating_record(late_us.max(1));
            match method {
                Method::Invite => self.seats[place].calls.attempts += 1,
                Method::Options => self.counts.options.attempts += 1,
                _ => self.counts.registers.attempts += 1,
            }
        }
        self.say_first(&call, ports);
        self.arm_request(key, &call, now_us);
    }

    /// An attempt over a connection that is not there.
    pub(super) fn lose_attempt(&mut self, method: Method, place: usize, is_counted: bool) {
        self.tally.attempts.add(1);
        self.tally.failed.add(1);
        if !is_counted {
            return;
        }
        let asked = match method {
            Method::Invite => {
                let calls = &mut self.seats[place].calls;
                calls.attempts += 1;
                calls.failed.broken += 1;
                return;
            }
            Method::Options => &mut self.counts.options,
            _ => &mut self.counts.registers,
        };
        asked.attempts += 1;
        asked.no_response += 1;
    }

    pub(super) fn draw_method(&mut self) -> Method {
        let mix = self.rules.mix;
        if mix.options + mix.registers == 0 {
            return Method::Invite;
        }
        let total = u64::from(mix.calls + mix.options + mix.registers);
        let draw = (self.random.next() % total) as u32;
        match draw {
            _ if draw < mix.calls => Method::Invite,
            _ if draw < mix.calls + mix.options => Method::Options,
            _ => Method::Register,
        }
    }

    /// Sends what begins the attempt, the first time or again.
    pub(super) fn say_first(&mut self, call: &Call, ports: &mut Ports) {
        let voice = &self.seats[usize::from(call.seat)].voice;
        let kind = match call.state {
            State::Asking(_) => Kind::Other,
            _ => Kind::Invite,
        };
        ports.send(call.flow, kind, |out| match call.state {
            State::Asking(Method::Options) => voice.options(&call.line, out),
            State::Asking(_) => voice.register(&call.line, out),
            _ => voice.invite(&call.line, out),
        });
    }

    /// Sets the deadline of a request that waits for a response: to send it again, or to give up.
    pub(super) fn arm_request(&mut self, key: Key, call: &Call, now_us: u64) {
        let at_us = match self.rules.is_retransmitting {
            true => call.give_up_us.min(now_us + call.interval_us),
            false => call.give_up_us,
        };
        self.wheel.arm(key.index, at_us);
    }
}
