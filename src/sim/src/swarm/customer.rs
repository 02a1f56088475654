//! The customer: places calls, and does with them what its habits say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::Time;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::leg::{self, Leg, Outgoing};
use crate::network::Network;
use crate::phone::{News, Phone};
use crate::plan;
use crate::swarm::CallerHabits;
use crate::text::Text;

/// Many callers behind one address.
pub(super) struct Customer {
    phone: Phone,
    me: SocketAddr,
    /// The digits it calls.
    called: &'static str,
    habits: CallerHabits,
    calls: BTreeMap<String, Call>,
    /// Call-IDs by number, for reminders.
    numbers: Vec<String>,
    count: usize,
    dice: Dice,
}

struct Call {
    leg: Leg,
    invite: Option<Text>,
    has_provisional: bool,
    /// An answer or a refusal came, or nobody waits for one any more.
    is_settled: bool,
    wants_cancel: bool,
    is_cancelled: bool,
    acks: bool,
    sends_early_bye: bool,
    /// Tags of answered dialogs, and whether their BYE was sent or received.
    dialogs: BTreeMap<String, bool>,
}

/// What the customer reminds itself of: a kind, and the number of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reminder {
    Place,
    Cancel,
    HangUp,
    MidCall,
    Other,
}

impl Reminder {
    const ALL: [Reminder; 5] = [
        Reminder::Place,
        Reminder::Cancel,
        Reminder::HangUp,
        Reminder::MidCall,
        Reminder::Other,
    ];

    fn token(self, number: usize) -> u64 {
        (number as u64) << 3 | self as u64
    }

    fn read(token: u64) -> (Reminder, usize) {
        (Reminder::ALL[(token & 7) as usize], (token >> 3) as usize)
    }
}

impl Customer {
    pub(super) fn new(
        me: SocketAddr,
        habits: CallerHabits,
        count: usize,
        actor: usize,
        dice: Dice,
    ) -> Customer {
        let mut phone = Phone::new(me, actor);
        phone.is_stormy = habits.is_stormy;
        let called = if me == plan::CANARY {
            "+19995550123"
        } else {
            "+12025550123"
        };
        Customer {
            phone,
            me,
            called,
            habits,
            calls: BTreeMap::new(),
            numbers: Vec::new(),
            count,
            dice,
        }
    }

    /// Decides when each call will be placed.
    pub(super) fn open(&mut self, span_us: u64, network: &mut Network) {
        for number in 0..self.count {
            let call_id = self.call_id(number, network);
            self.numbers.push(call_id);
            let at = Time(self.dice.below(span_us.max(1)));
            self.phone
                .remind(at, Reminder::Place.token(number), network);
            if self.dice.chance(self.habits.others) {
                self.phone
                    .remind(at, Reminder::Other.token(number), network);
            }
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.me
    }

    fn call_id(&mut self, number: usize, network: &Network) -> String {
        let host = self.me.ip();
        loop {
            let call_id = format!("c{number}.{:x}@{host}", self.dice.below(1 << 32));
            if self
                .habits
                .aims_at
                .is_none_or(|shard| network.owner(&call_id) == shard)
            {
                return call_id;
            }
        }
    }

    fn uri(&self) -> String {
        format!("sip:{}@{}", self.called, plan::ROUTER)
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
            News::Alarm(token) => self.reminded(now, token, network, ledger),
            News::Request { text, .. } => self.request(now, &text, network, ledger),
            News::Response { request, text } => {
                self.response(now, &request, &text, network, ledger);
            }
            News::TimedOut { request } => {
                let is_first = request.method() == "INVITE" && request.tag("To").is_empty();
                if let Some(call) = self.calls.get_mut(request.call_id()).filter(|_| is_first) {
                    call.is_settled = true;
                    ledger.story(request.call_id()).is_unheard = true;
                }
            }
            News::Unacknowledged { .. } => {}
        }
    }

    fn reminded(&mut self, now: Time, token: u64, network: &mut Network, ledger: &mut Ledger) {
        let (reminder, number) = Reminder::read(token);
        let call_id = self.numbers[number].clone();
        match reminder {
            Reminder::Place => self.place(now, number, &call_id, network, ledger),
            Reminder::Cancel => {
                if let Some(call) = self.calls.get_mut(&call_id) {
                    call.wants_cancel = true;
                }
                self.cancel(now, &call_id, network, ledger);
            }
            Reminder::HangUp => {
                let open: Vec<String> = self.calls.get(&call_id).map_or(Vec::new(), |call| {
                    let open = call.dialogs.iter().filter(|(_, is_over)| !**is_over);
                    open.map(|(tag, _)| tag.clone()).collect()
                });
                for tag in open {
                    self.hang_up(now, &call_id, &tag, network, ledger);
                }
            }
            Reminder::MidCall => self.mid_call(now, &call_id, network),
            Reminder::Other => self.other(now, number, network),
        }
    }

    fn place(
        &mut self,
        now: Time,
        number: usize,
        call_id: &str,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        let calling = format!("1202555{number:04}");
        let hop = plan::ROUTER;
        let mut leg = Leg::caller(self.me, hop, call_id, &calling, self.called);
        let mut out = leg.request("INVITE", &self.uri());
        if self.dice.chance(self.habits.wrong_vias) {
            // With rport the answer still finds us (RFC 3581 §4).
            let via = out
                .text
                .first("Via")
                .replace(&self.me.to_string(), "10.0.0.9:5099");
            out.text.set("Via", via);
        }
        ledger.story(call_id).placed = now;
        let call = Call {
            invite: Some(out.text.clone()),
            leg,
            has_provisional: false,
            is_settled: false,
            wants_cancel: false,
            is_cancelled: false,
            acks: !self.dice.chance(self.habits.no_acks),
            sends_early_bye: self.dice.chance(self.habits.early_byes),
            dialogs: BTreeMap::new(),
        };
        self.calls.insert(call_id.to_owned(), call);
        if self.dice.chance(self.habits.cancels) {
            let patience = self
                .dice
                .one_of(&[1_000, 50_000, 1_000_000, 5_000_000, 20_000_000]);
            let at = Time(now.0 + self.dice.between(patience / 2, patience));
            self.phone
                .remind(at, Reminder::Cancel.token(number), network);
        }
        self.phone.ask(now, out, network);
    }

    /// Cancels if that is wanted and allowed: not before a provisional response, but for the rude,
    /// and not after the end (RFC 3261 §9.1).
    fn cancel(&mut self, now: Time, call_id: &str, network: &mut Network, ledger: &mut Ledger) {
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        let may = call.wants_cancel
            && !call.is_cancelled
            && !call.is_settled
            && (call.has_provisional || self.habits.is_rude);
        let Some(invite) = call.invite.as_ref().filter(|_| may) else {
            return;
        };
        call.is_cancelled = true;
        ledger.story(call_id).is_cancelled = true;
        let out = Outgoing {
            text: leg::cancel_of(invite),
            to: plan::ROUTER,
        };
        self.phone.ask(now, out, network);
    }

    fn response(
        &mut self,
        now: Time,
        request: &Text,
        text: &Text,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        if request.method() != "INVITE" {
            return;
        }
        let call_id = request.call_id().to_owned();
        let Some(call) = self.calls.get_mut(&call_id) else {
            return;
        };
        call.leg.learn(text);
        let is_first = request.tag("To").is_empty();
        match text.status() {
            ..200 => {
                call.has_provisional = true;
                if is_first {
                    self.cancel(now, &call_id, network, ledger);
                    self.early_bye(now, &call_id, text, network, ledger);
                }
            }
            200..300 => self.answered(now, &call_id, is_first, text, network, ledger),
            status => {
                call.is_settled |= is_first;
                if is_first {
                    ledger.story(&call_id).refusals.insert(status);
                }
            }
        }
    }

    fn answered(
        &mut self,
        now: Time,
        call_id: &str,
        is_first: bool,
        text: &Text,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        if call.acks
            && let Some(ack) = call.leg.ack(text)
        {
            self.phone.tell(now, &ack, network);
        }
        let tag = text.tag("To").to_owned();
        if !is_first || call.dialogs.contains_key(&tag) {
            return;
        }
        // A second answer, one that came too late, one that crossed the CANCEL.
        let unwanted = !call.dialogs.is_empty() || call.is_settled || call.is_cancelled;
        call.is_settled = true;
        call.dialogs.insert(tag.clone(), false);
        ledger
            .story(call_id)
            .answers_seen
            .entry(tag.clone())
            .or_insert(now);
        let number = self
            .numbers
            .iter()
            .position(|id| id == call_id)
            .unwrap_or(0);
        if unwanted {
            self.hang_up(now, call_id, &tag, network, ledger);
        } else if !self.dice.chance(self.habits.never_hangs_up) {
            let talk = self.dice.between(1_000, self.habits.talk_us_max.max(1_001));
            self.phone
                .remind(Time(now.0 + talk), Reminder::HangUp.token(number), network);
            if self.dice.chance(self.habits.mid_call) {
                let at = Time(now.0 + self.dice.below(talk));
                self.phone
                    .remind(at, Reminder::MidCall.token(number), network);
            }
        }
    }

    fn early_bye(
        &mut self,
        now: Time,
        call_id: &str,
        text: &Text,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        let tag = text.tag("To").to_owned();
        if !std::mem::take(&mut call.sends_early_bye) || tag.is_empty() {
            return;
        }
        if let Some(bye) = call.leg.request_in_dialog("BYE", Some(&tag)) {
            ledger
                .story(call_id)
                .byes_sent
                .entry((tag, true))
                .or_insert(now);
            self.phone.ask(now, bye, network);
        }
    }

    fn hang_up(
        &mut self,
        now: Time,
        call_id: &str,
        tag: &str,
        network: &mut Network,
        ledger: &mut Ledger,
    ) {
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        call.dialogs.insert(tag.to_owned(), true);
        if let Some(bye) = call.leg.request_in_dialog("BYE", Some(tag)) {
            ledger
                .story(call_id)
                .byes_sent
                .entry((tag.to_owned(), true))
                .or_insert(now);
            self.phone.ask(now, bye, network);
        }
    }

    fn mid_call(&mut self, now: Time, call_id: &str, network: &mut Network) {
        let method = self.dice.one_of(&["INVITE", "UPDATE", "INFO"]);
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        let open = call.dialogs.iter().find(|(_, is_over)| !**is_over);
        let Some(tag) = open.map(|(tag, _)| tag.clone()) else {
            return;
        };
        if let Some(out) = call.leg.request_in_dialog(method, Some(&tag)) {
            self.phone.ask(now, out, network);
        }
    }

    /// A request that belongs to no call.
    fn other(&mut self, now: Time, number: usize, network: &mut Network) {
        let call_id = format!("o{number}@{}", self.me.ip());
        let hop = plan::ROUTER;
        let mut leg = Leg::caller(self.me, hop, &call_id, "12025550111", self.called);
        let method = self.dice.one_of(&["MESSAGE", "OPTIONS", "INFO"]);
        let uri = match method {
            "OPTIONS" => format!("sip:{hop}"),
            _ => self.uri(),
        };
        let out = leg.request(method, &uri);
        self.phone.ask(now, out, network);
    }

    /// A request of the callee's.
    fn request(&mut self, now: Time, text: &Text, network: &mut Network, ledger: &mut Ledger) {
        if text.method() == "ACK" {
            return self.phone.acknowledged(text);
        }
        let tag = text.tag("From").to_owned();
        let known = self.calls.get_mut(text.call_id());
        let known = known.filter(|call| call.dialogs.contains_key(&tag));
        let (status, contact) = match known {
            Some(call) => {
                if text.method() == "BYE" {
                    call.dialogs.insert(tag.clone(), true);
                    let story = ledger.story(text.call_id());
                    story.byes_arrived.entry((tag, false)).or_insert(now);
                }
                (200, call.leg.contact.clone())
            }
            None => (481, format!("<sip:{}>", self.me)),
        };
        let response = leg::respond(text, status, "none", &contact, self.me);
        self.phone.answer(now, text, &response, network);
    }
}
