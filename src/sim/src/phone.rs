//! The transactions of a simulated user agent: it repeats over UDP as RFC 3261 §17 and §13.3.1.4
//! ask, and tells its owner what is new.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::Time;

use crate::leg::{self, Outgoing};
use crate::network::Network;
use crate::text::Text;

const T1_US: u64 = 500_000;
const T2_US: u64 = 4_000_000;
/// 64*T1: when a user agent gives up.
pub const GIVE_UP_US: u64 = 64 * T1_US;
/// How many copies a stormy user agent sends of each request.
const STORM_COPIES: u64 = 11;

/// A user agent's transaction layer.
#[derive(Debug)]
pub struct Phone {
    me: SocketAddr,
    actor: usize,
    clients: BTreeMap<Key, Client>,
    servers: BTreeMap<Key, Server>,
    alarms: BTreeMap<u64, Alarm>,
    tokens: u64,
    /// Every request is sent eleven times at once, whatever the answer.
    pub is_stormy: bool,
}

/// Branch and method.
type Key = (String, String);

#[derive(Debug)]
struct Client {
    request: Text,
    to: SocketAddr,
    interval_us: u64,
    has_provisional: bool,
    is_done: bool,
    /// The ACK of a refusal, for its repeats.
    ack: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Server {
    to: SocketAddr,
    request: Text,
    last: Option<Vec<u8>>,
    last_status: u16,
    interval_us: u64,
    until: Time,
    is_acked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Alarm {
    Resend(Key),
    GiveUp(Key),
    ResendFinal(Key),
    Owner(u64),
}

/// What is new for the owner of a phone.
#[derive(Debug)]
pub enum News {
    /// A request that was not here before, or an ACK.
    Request {
        /// The request.
        text: Text,
        /// Where it came from.
        from: SocketAddr,
    },
    /// A response to a request of ours. Repeats of a 2xx to an INVITE are told too.
    Response {
        /// The request.
        request: Text,
        /// The response.
        text: Text,
    },
    /// A request of ours has no final response, and will have none.
    TimedOut {
        /// The request.
        request: Text,
    },
    /// Nobody acknowledged our 2xx.
    Unacknowledged {
        /// The INVITE.
        request: Text,
    },
    /// What the owner wanted to be reminded of.
    Alarm(u64),
}

impl Phone {
    /// A phone at an address; `actor` is its owner's name in the network.
    #[must_use]
    pub fn new(me: SocketAddr, actor: usize) -> Phone {
        Phone {
            me,
            actor,
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            alarms: BTreeMap::new(),
            tokens: 0,
            is_stormy: false,
        }
    }

    /// Wakes the owner later.
    pub fn remind(&mut self, at: Time, what: u64, network: &mut Network) {
        self.set(at, Alarm::Owner(what), network);
    }

    /// Sends a request and takes care of it.
    pub fn ask(&mut self, now: Time, out: Outgoing, network: &mut Network) {
        let key = key_of(&out.text);
        let bytes = out.text.write();
        network.send(now, self.me, out.to, &bytes);
        if self.is_stormy {
            for copy in 1..STORM_COPIES {
                network.send(Time(now.0 + copy * 700), self.me, out.to, &bytes);
            }
        }
        let client = Client {
            request: out.text,
            to: out.to,
            interval_us: T1_US,
            has_provisional: false,
            is_done: false,
            ack: None,
        };
        self.clients.insert(key.clone(), client);
        self.set(Time(now.0 + T1_US), Alarm::Resend(key.clone()), network);
        self.set(Time(now.0 + GIVE_UP_US), Alarm::GiveUp(key), network);
    }

    /// Sends an ACK for a 2xx: no transaction, no repeats by itself.
    pub fn tell(&mut self, now: Time, out: &Outgoing, network: &mut Network) {
        network.send(now, self.me, out.to, &out.text.write());
    }

    /// Answers a request, and repeats the answer to an INVITE until it is acknowledged.
    pub fn answer(&mut self, now: Time, request: &Text, response: &Text, network: &mut Network) {
        let key = key_of(request);
        let Some(server) = self.servers.get_mut(&key) else {
            return;
        };
        let bytes = response.write();
        let status = response.status();
        network.send(now, self.me, server.to, &bytes);
        server.last = Some(bytes);
        server.last_status = status;
        if status >= 200 && request.method() == "INVITE" {
            server.interval_us = T1_US;
            server.until = Time(now.0 + GIVE_UP_US);
            self.set(Time(now.0 + T1_US), Alarm::ResendFinal(key), network);
        }
    }

    /// The ACK of a 2xx has come: no more repeats.
    pub fn acknowledged(&mut self, ack: &Text) {
        for server in self.servers.values_mut() {
            let same = server.request.method() == "INVITE"
                && server.request.call_id() == ack.call_id()
                && server.request.cseq().0 == ack.cseq().0;
            server.is_acked |= same;
        }
    }

    /// A request's final status, if it was answered.
    #[must_use]
    pub fn answered(&self, request: &Text) -> Option<u16> {
        let server = self.servers.get(&key_of(request))?;
        Some(server.last_status).filter(|status| *status >= 200)
    }

    /// Takes a datagram.
    pub fn arrive(
        &mut self,
        now: Time,
        from: SocketAddr,
        bytes: &[u8],
        network: &mut Network,
    ) -> Option<News> {
        let text = Text::read(bytes)?;
        if text.is_request() {
            self.request(now, from, text, network)
        } else {
            self.response(now, text, network)
        }
    }

    fn request(
        &mut self,
        now: Time,
        from: SocketAddr,
        text: Text,
        network: &mut Network,
    ) -> Option<News> {
        if text.method() == "ACK" {
            let invite = (text.branch().to_owned(), "INVITE".to_owned());
            if let Some(server) = self.servers.get_mut(&invite)
                && server.last_status >= 300
            {
                server.is_acked = true;
                return None;
            }
            return Some(News::Request { text, from });
        }
        let key = key_of(&text);
        if let Some(server) = self.servers.get(&key) {
            if let Some(last) = &server.last {
                network.send(now, self.me, server.to, last);
            }
            return None;
        }
        let server = Server {
            to: from,
            request: text.clone(),
            last: None,
            last_status: 0,
            interval_us: T1_US,
            until: now,
            is_acked: false,
        };
        self.servers.insert(key, server);
        Some(News::Request { text, from })
    }

    fn response(&mut self, now: Time, text: Text, network: &mut Network) -> Option<News> {
        let key = key_of(&text);
        let client = self.clients.get_mut(&key)?;
        let status = text.status();
        let is_invite = text.method() == "INVITE";
        if status < 200 {
            let is_new = !client.is_done;
            client.has_provisional = true;
            let request = client.request.clone();
            return is_new.then_some(News::Response { request, text });
        }
        if is_invite && status >= 300 {
            if let Some(ack) = &client.ack {
                network.send(now, self.me, client.to, ack);
                return None;
            }
            let ack = leg::ack_of_refusal(&client.request, &text).write();
            network.send(now, self.me, client.to, &ack);
            client.ack = Some(ack);
        } else if !is_invite && client.is_done {
            return None;
        }
        client.is_done = true;
        let request = client.request.clone();
        Some(News::Response { request, text })
    }

    /// An alarm of this phone's went off.
    pub fn woken(&mut self, now: Time, token: u64, network: &mut Network) -> Option<News> {
        match self.alarms.remove(&token)? {
            Alarm::Owner(what) => Some(News::Alarm(what)),
            Alarm::Resend(key) => {
                let client = self.clients.get_mut(&key)?;
                let is_invite = client.request.method() == "INVITE";
                let is_over = client.is_done || is_invite && client.has_provisional;
                if is_over {
                    return None;
                }
                network.send(now, self.me, client.to, &client.request.write());
                let slow = !is_invite && client.has_provisional;
                client.interval_us = match (is_invite, slow) {
                    (true, _) => client.interval_us * 2,
                    (false, true) => T2_US,
                    (false, false) => (client.interval_us * 2).min(T2_US),
                };
                let at = Time(now.0 + client.interval_us);
                self.set(at, Alarm::Resend(key), network);
                None
            }
            Alarm::GiveUp(key) => {
                let client = self.clients.get_mut(&key)?;
                let is_over =
                    client.is_done || client.request.method() == "INVITE" && client.has_provisional;
                if is_over {
                    return None;
                }
                client.is_done = true;
                let request = client.request.clone();
                Some(News::TimedOut { request })
            }
            Alarm::ResendFinal(key) => self.resend_final(now, key, network),
        }
    }

    fn resend_final(&mut self, now: Time, key: Key, network: &mut Network) -> Option<News> {
        let server = self.servers.get_mut(&key)?;
        if server.is_acked {
            return None;
        }
        if now >= server.until {
            server.is_acked = true;
            let request = server.request.clone();
            return (server.last_status < 300).then_some(News::Unacknowledged { request });
        }
        if let Some(last) = &server.last {
            network.send(now, self.me, server.to, last);
        }
        server.interval_us = (server.interval_us * 2).min(T2_US);
        let at = Time(now.0 + server.interval_us);
        self.set(at, Alarm::ResendFinal(key), network);
        None
    }

    fn set(&mut self, at: Time, alarm: Alarm, network: &mut Network) {
        self.tokens += 1;
        self.alarms.insert(self.tokens, alarm);
        network.wake(at, self.actor, self.tokens);
    }
}

fn key_of(text: &Text) -> Key {
    (text.branch().to_owned(), text.method().to_owned())
}
