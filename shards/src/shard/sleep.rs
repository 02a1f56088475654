//! What a shard does between its turns: it asks what is ready, and sleeps if nothing is.

use std::os::fd::AsRawFd;

use base::Time;
use mio::Token;

use super::{INBOX_TOKEN, Station, UDP_TOKEN};
use crate::handler::Handler;
use crate::metric::Metric;
use crate::sys::{self, Events};
use crate::udp::UdpSocket;

/// How long a blocked socket is left alone when nothing else is due.
const BLOCKED_US: u64 = 1_000;
/// How many turns in a row go without asking for events while there is work anyway.
const UNASKED_MAX: u32 = 3;

impl<H: Handler> Station<H> {
    /// Waits until there is something to do, and notes where.
    pub(crate) fn wait(&mut self, events: &mut Events) {
        self.sleep(events);
        for (token, ready) in events.iter() {
            match Token(token) {
                INBOX_TOKEN => {}
                Token(token) if token >= UDP_TOKEN => {
                    self.udp[token - UDP_TOKEN].is_ready |= ready.is_readable();
                }
                Token(token) => self.streams.event(token, ready),
            }
        }
    }

    /// Waits for an event or the next deadline.
    fn sleep(&mut self, events: &mut Events) {
        let inbox = &self.inboxes[usize::from(self.id.0)];
        let now = self.ended;
        let mut until = self.housekeeping;
        if let Some(next) = self.out.wheel.next() {
            until = until.min(next);
        }
        if self.udp.iter().any(UdpSocket::waits) {
            until = until.min(Time(now.0 + BLOCKED_US));
        }
        let mut wait_us = until.micros_since(now);
        let is_idle =
            self.out.failures.is_empty() && self.out.outgoing.is_empty() && inbox.is_empty();
        // What was put off is for when nothing else is there: whether it is must be asked each time.
        let must_ask = !self.has_more && self.out.has_put_off();
        if self.has_more || !is_idle || must_ask {
            wait_us = 0;
        }
        if wait_us == 0 && !must_ask && self.unasked < UNASKED_MAX {
            // There is work; the events will still be there, and the call costs as much as a few
            // messages.
            self.unasked += 1;
            events.clear();
            return;
        }
        self.unasked = 0;
        if let Some(us) = self.gather.nap(now, wait_us) {
            self.out.count(Metric::Naps, 1);
            sys::nap(us);
            // What came meanwhile is there to be found: nobody had to wake this shard.
            wait_us = 0;
        }
        let commands = &self.all[usize::from(self.id.0)].commands;
        if self.limits.busy_poll_us > 0 && wait_us > 0 {
            let within = Time(now.0 + wait_us.min(self.limits.busy_poll_us.into()));
            while self.ended < within {
                events.wait(self.poll.as_raw_fd(), 0);
                self.ended = self.clock.now();
                if !events.is_empty() || !inbox.is_empty() || !commands.is_empty() {
                    return;
                }
            }
            wait_us = until.micros_since(within);
        }
        if wait_us > 0 && (!inbox.lie_down() || !commands.is_empty()) {
            wait_us = 0;
        }
        // Whole milliseconds are what epoll sleeps: rounded up, so that a deadline is not met early
        // and asked for again and again.
        events.wait(self.poll.as_raw_fd(), wait_us.div_ceil(1_000));
        inbox.get_up();
        self.ended = self.clock.now();
    }
}
