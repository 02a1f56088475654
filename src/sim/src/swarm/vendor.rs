//! A vendor's gateway: takes calls, and does with them what its habits say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::Time;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::leg::{self, Leg};
use crate::network::Network;
use crate::phone::{News, Phone};
use crate::plan;
use crate::swarm::VendorHabits;
use crate::text::Text;

/// One gateway.
pub(super) struct Vendor {
    phone: Phone,
    me: SocketAddr,
    habits: VendorHabits,
    calls: Vec<Call>,
    /// Calls by Call-ID and by the branch of their INVITE.
    by_branch: BTreeMap<String, usize>,
    dice: Dice,
}

struct Call {
    leg: Leg,
    invite: Text,
    /// What follows, in the order of time.
    script: Vec<(u64, Act)>,
    is_cancelled: bool,
    /// Answered dialogs, and whether a BYE was sent or received.
    dialogs: BTreeMap<String, bool>,
    hangs_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Respond { status: u16, phone: u8 },
    Reliable,
    Redirect,
    HangUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Answers,
    AtOnce,
    Busy,
    Fails,
    Refuses,
    Silent,
    Rings,
    Tries,
    Forks,
    Redirects,
    Reliable,
}

impl Vendor {
    pub(super) fn new(me: SocketAddr, habits: VendorHabits, actor: usize, dice: Dice) -> Vendor {
        Vendor {
            phone: Phone::new(me, actor),
            me,
            habits,
            calls: Vec::new(),
            by_branch: BTreeMap::new(),
            dice,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.me
    }

    pub(super) fn arrive(
        &mut self,
        now: Time,
        from: SocketAddr,
        bytes: &[u8],
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        if let Some(news) = self.phone.arrive(now, from, bytes, network) {
            self.news(now, news, network, ledger);
        }
    }

    pub(super) fn woken(
        &mut self,
        now: Time,
        token: u64,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        if let Some(news) = self.phone.woken(now, token, network) {
            self.news(now, news, network, ledger);
        }
    }

    fn news(&mut self, now: Time, news: News, network: &mut Network, ledger: &mut Ledger) {
        match news {
            News::Request { text, from } => self.request(now, from, &text, network, ledger),
            News::Alarm(token) => {
                let (call, step) = ((token >> 8) as usize, (token & 0xff) as usize);
                self.act(now, call, step, network, ledger);
            }
            // RFC 3261 §13.3.1.4: an answer that nobody acknowledges ends its dialog.
            News::Unacknowledged { request } => {
                if let Some(&call) = self.by_branch.get(request.branch()) {
                    self.hang_up_all(now, call, network, ledger);
                }
            }
            News::Response { .. } | News::TimedOut { .. } => {}
        }
    }

    fn request(
        &mut self,
        now: Time,
        from: SocketAddr,
        text: &Text,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        match text.method() {
            "ACK" => self.phone.acknowledged(text),
            "CANCEL" => self.cancelled(now, text, network),
            "INVITE" if text.tag("To").is_empty() => self.invited(now, from, text, network, ledger),
            "OPTIONS" if text.tag("To").is_empty() => {
                if !self.dice.chance(self.habits.unprobed) {
                    self.say(now, text, 200, network);
                }
            }
            _ if text.tag("To").is_empty() => {
                let status = self.dice.one_of(&[200, 404, 503]);
                self.say(now, text, status, network);
            }
            _ => self.in_dialog(now, text, network, ledger),
        }
    }

    fn say(&mut self, now: Time, request: &Text, status: u16, network: &mut Network) {
        let contact = format!("<sip:{}>", self.me);
        let response = leg::respond(request, status, "v", &contact, self.me);
        self.phone.answer(now, request, &response, network);
    }

    fn invited(
        &mut self,
        now: Time,
        from: SocketAddr,
        text: &Text,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        ledger.story(text.call_id()).invites += 1;
        let script = self.script();
        let number = self.calls.len();
        for (step, (delay, _)) in script.iter().enumerate() {
            let token = (number as u64) << 8 | step as u64;
            self.phone.remind(Time(now.0 + delay), token, network);
        }
        self.by_branch.insert(text.branch().to_owned(), number);
        self.calls.push(Call {
            leg: Leg::callee(self.me, from, text),
            invite: text.clone(),
            script,
            is_cancelled: false,
            dialogs: BTreeMap::new(),
            hangs_up: self.dice.chance(self.habits.hangs_up),
        });
    }

    /// Draws what becomes of a call.
    fn script(&mut self) -> Vec<(u64, Act)> {
        let h = &self.habits;
        let habit = self.dice.weighted(&[
            (h.answers, Habit::Answers),
            (h.answers_at_once, Habit::AtOnce),
            (h.busy, Habit::Busy),
            (h.fails, Habit::Fails),
            (h.refuses, Habit::Refuses),
            (h.silent, Habit::Silent),
            (h.rings_for_ever, Habit::Rings),
            (h.tries_for_ever, Habit::Tries),
            (h.forks, Habit::Forks),
            (h.redirects, Habit::Redirects),
            (h.reliable, Habit::Reliable),
        ]);
        let dice = &mut self.dice;
        let soon = dice.between(500, 200_000);
        let later = soon + dice.one_of(&[10_000, 1_000_000, 8_000_000]) + dice.below(1_000_000);
        let respond = |status, phone| Act::Respond { status, phone };
        match habit {
            Habit::Answers => {
                let ringing = dice.one_of(&[180, 183, 100]);
                vec![(soon, respond(ringing, 0)), (later, respond(200, 0))]
            }
            Habit::AtOnce => vec![(soon, respond(200, 0))],
            Habit::Busy => vec![(soon, respond(180, 0)), (later, respond(486, 0))],
            Habit::Fails => vec![(soon, respond(dice.one_of(&[500, 503]), 0))],
            Habit::Refuses => vec![(soon, respond(dice.one_of(&[404, 480, 603]), 0))],
            Habit::Silent => Vec::new(),
            Habit::Rings => vec![(soon, respond(180, 0))],
            Habit::Tries => vec![(soon, respond(100, 0))],
            Habit::Forks => vec![
                (soon, respond(180, 0)),
                (soon + 1_000, respond(180, 1)),
                (soon + 3_000, respond(183, 2)),
                (later, respond(200, 1)),
                (later + dice.below(300_000), respond(200, 2)),
            ],
            Habit::Redirects => vec![(soon, Act::Redirect)],
            Habit::Reliable => vec![(soon, Act::Reliable), (later, respond(200, 0))],
        }
    }

    fn act(
        &mut self,
        now: Time,
        number: usize,
        step: usize,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        let Some(call) = self.calls.get(number) else {
            return;
        };
        // Steps beyond the script are the hanging up of an answered call.
        let act = call.script.get(step).map_or(Act::HangUp, |(_, act)| *act);
        match act {
            Act::HangUp => self.hang_up_all(now, number, network, ledger),
            Act::Respond { status, phone } => {
                self.respond(now, number, status, phone, network, ledger);
            }
            Act::Reliable => {
                self.refuse_or_ring(now, number, 183, network, |text| {
                    text.add("Require", "100rel");
                    text.add("RSeq", "1");
                });
            }
            Act::Redirect => {
                let contact = match self.dice.below(3) {
                    0 => format!("<sip:+12025550123@{}>", plan::vendor(0)),
                    1 => format!("<sip:+12025550123@{}>", plan::TRAP),
                    _ => "<sip:nowhere.example.com>".to_owned(),
                };
                self.refuse_or_ring(now, number, 302, network, |text| {
                    text.set("Contact", contact)
                });
            }
        }
    }

    fn refuse_or_ring(
        &mut self,
        now: Time,
        number: usize,
        status: u16,
        network: &mut Network,
        change: impl FnOnce(&mut Text),
    ) {
        let tag = self.tag(number, 0);
        let call = &mut self.calls[number];
        if call.is_cancelled || self.phone.answered(&call.invite).is_some() {
            return;
        }
        let mut response = call.leg.respond(&call.invite, status, &tag);
        change(&mut response);
        self.phone.answer(now, &call.invite, &response, network);
    }

    fn respond(
        &mut self,
        now: Time,
        number: usize,
        status: u16,
        phone: u8,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        if !(200..300).contains(&status) {
            return self.refuse_or_ring(now, number, status, network, |_| {});
        }
        let tag = self.tag(number, phone);
        let call = &mut self.calls[number];
        let before = self.phone.answered(&call.invite);
        if call.is_cancelled || before.is_some_and(|status| status >= 300) {
            return;
        }
        self.answer(now, number, tag, network, ledger);
    }

    fn answer(
        &mut self,
        now: Time,
        number: usize,
        tag: String,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        let call = &mut self.calls[number];
        let response = call.leg.respond(&call.invite, 200, &tag);
        call.dialogs.insert(tag.clone(), false);
        ledger
            .story(call.invite.call_id())
            .answers_sent
            .entry(tag)
            .or_insert(now);
        self.phone.answer(now, &call.invite, &response, network);
        if call.hangs_up {
            let at = Time(now.0 + self.dice.between(10_000, 20_000_000));
            self.phone.remind(at, (number as u64) << 8 | 0xff, network);
        }
    }

    fn tag(&self, number: usize, phone: u8) -> String {
        format!("{}-{number}-{phone}", self.me.ip())
    }

    fn cancelled(&mut self, now: Time, text: &Text, network: &mut Network) {
        let Some(&number) = self.by_branch.get(text.branch()) else {
            return self.say(now, text, 481, network);
        };
        self.say(now, text, 200, network);
        if self.calls[number].is_cancelled
            || self.phone.answered(&self.calls[number].invite).is_some()
        {
            return;
        }
        if self.dice.chance(self.habits.deaf_to_cancel) {
            self.calls[number].is_cancelled = true;
        } else if self.dice.chance(self.habits.late_answers) {
            // The phone was being lifted: the script goes on, and so does the answer.
            let step = self.calls[number].script.len();
            self.calls[number].script.push((
                0,
                Act::Respond {
                    status: 200,
                    phone: 0,
                },
            ));
            let at = Time(now.0 + self.dice.below(2_000_000));
            self.phone
                .remind(at, (number as u64) << 8 | step as u64, network);
        } else {
            self.refuse_or_ring(now, number, 487, network, |_| {});
            self.calls[number].is_cancelled = true;
        }
    }

    fn in_dialog(&mut self, now: Time, text: &Text, network: &mut Network, ledger: &mut Ledger) {
        let tag = text.tag("To").to_owned();
        let is_it = |call: &&mut Call| {
            call.invite.call_id() == text.call_id() && call.leg.dialogs.iter().any(|d| d.tag == tag)
        };
        let Some(call) = self.calls.iter_mut().find(is_it) else {
            return self.say(now, text, 481, network);
        };
        let status = match text.method() {
            "BYE" => {
                let was_answered = call.dialogs.insert(tag.clone(), true).is_some();
                let story = ledger.story(text.call_id());
                story.byes_arrived.entry((tag, true)).or_insert(now);
                // RFC 3261 §15.1.2: a BYE in an early dialog ends its INVITE with 487.
                if !was_answered && self.phone.answered(&call.invite).is_none() {
                    call.is_cancelled = true;
                    let response = call.leg.respond(&call.invite, 487, text.tag("To"));
                    self.phone.answer(now, &call.invite, &response, network);
                }
                200
            }
            _ => self.dice.one_of(&[200, 200, 488, 491]),
        };
        self.say(now, text, status, network);
    }

    fn hang_up_all(
        &mut self,
        now: Time,
        number: usize,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        let call = &mut self.calls[number];
        let open: Vec<String> = call
            .dialogs
            .iter()
            .filter(|(_, is_over)| !**is_over)
            .map(|(tag, _)| tag.clone())
            .collect();
        for tag in open {
            call.dialogs.insert(tag.clone(), true);
            let Some(bye) = call.leg.request_in_dialog("BYE", Some(&tag)) else {
                continue;
            };
            let story = ledger.story(call.invite.call_id());
            story.byes_sent.entry((tag, false)).or_insert(now);
            self.phone.ask(now, bye, network);
        }
    }
}
