//! An actor of a flow: a user agent that does only what the script says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use base::Time;

use crate::flow::parse::{Condition, Named};
use crate::leg::{self, Leg, Outgoing};
use crate::plan;
use crate::text::{Text, address_of, uri_of};

/// What arrived at an actor.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) at: Time,
    pub(super) from: SocketAddr,
    pub(super) text: Text,
    pub(super) is_repeat: bool,
}

/// One scripted user agent.
#[derive(Debug)]
pub(super) struct Actor {
    letter: char,
    pub(super) address: SocketAddr,
    /// What arrived and no line has asked for yet.
    pub(super) inbox: VecDeque<Arrival>,
    /// Every message that arrived, for telling repeats.
    seen: Vec<Vec<u8>>,
    /// What the actor knows it received.
    received: Vec<Arrival>,
    sent: Vec<(Text, SocketAddr)>,
    legs: BTreeMap<String, Leg>,
    /// The Call-ID that was last spoken of.
    current: String,
}

/// The address of an actor or router by its letter.
pub(super) fn address(letter: char) -> Option<SocketAddr> {
    match letter {
        'A' => Some(plan::CUSTOMER),
        'B'..='H' => Some(plan::vendor((u32::from(letter) - u32::from('B')) as usize)),
        'T' => Some(plan::ROUTER),
        'U' => Some(plan::SECOND),
        'X' => Some(plan::STRANGER),
        'Z' => Some(plan::TRAP),
        _ => None,
    }
}

impl Actor {
    pub(super) fn new(letter: char) -> Option<Actor> {
        Some(Actor {
            letter,
            address: address(letter)?,
            inbox: VecDeque::new(),
            seen: Vec::new(),
            received: Vec::new(),
            sent: Vec::new(),
            legs: BTreeMap::new(),
            current: String::new(),
        })
    }

    /// A datagram reached the actor's address.
    pub(super) fn arrive(
        &mut self,
        at: Time,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), String> {
        let text = Text::read(bytes).ok_or_else(|| {
            format!(
                "{} got what is no message: {}",
                self.letter,
                String::from_utf8_lossy(bytes)
            )
        })?;
        let is_repeat = self.seen.iter().any(|seen| seen == bytes);
        if !is_repeat {
            self.seen.push(bytes.to_vec());
        }
        self.inbox.push_back(Arrival {
            at,
            from,
            text,
            is_repeat,
        });
        Ok(())
    }

    /// The actor takes notice of what arrived.
    pub(super) fn learn(&mut self, arrival: Arrival) {
        let text = &arrival.text;
        self.current = text.call_id().to_owned();
        if text.is_request() {
            if text.method() == "INVITE" && !self.legs.contains_key(&self.current) {
                let leg = Leg::callee(self.address, arrival.from, text);
                self.legs.insert(self.current.clone(), leg);
            }
        } else if let Some(leg) = self.legs.get_mut(text.call_id()) {
            leg.learn(text);
        }
        self.received.push(arrival);
    }

    /// Writes the message a line asks for.
    pub(super) fn write(
        &mut self,
        message: &Named,
        options: &[Condition],
    ) -> Result<Outgoing, String> {
        if let Some(call) = option(options, "call") {
            self.current = call_id(self.letter, call);
        }
        if option(options, "again").is_some() {
            return self.again(message);
        }
        let mut out = if message.status > 0 {
            self.response(message, option(options, "tag"))?
        } else {
            self.request(&message.method, options)?
        };
        change(&mut out, options)?;
        if let Some(hop) = option(options, "hop") {
            out.to = hop_address(hop)?;
        }
        self.sent.push((out.text.clone(), out.to));
        Ok(out)
    }

    fn again(&self, message: &Named) -> Result<Outgoing, String> {
        let same = |text: &Text| {
            text.status() == message.status
                && (message.method.is_empty() || text.method() == message.method)
        };
        let (text, to) = self
            .sent
            .iter()
            .rev()
            .find(|(text, _)| same(text))
            .ok_or_else(|| {
                format!(
                    "{} never sent {} {}",
                    self.letter, message.status, message.method
                )
            })?;
        Ok(Outgoing {
            text: text.clone(),
            to: *to,
        })
    }

    fn response(&mut self, message: &Named, tag: Option<&str>) -> Result<Outgoing, String> {
        let fits = |arrival: &&Arrival| {
            let method = arrival.text.method();
            arrival.text.is_request()
                && method != "ACK"
                && arrival.text.call_id() == self.current
                && (method == message.method || message.method.is_empty())
        };
        let request = self
            .received
            .iter()
            .rev()
            .find(fits)
            .cloned()
            .ok_or_else(|| {
                format!(
                    "{} has no request {} to answer",
                    self.letter, message.method
                )
            })?;
        let own = format!("{}1", self.letter.to_ascii_lowercase());
        let tag = tag.unwrap_or(&own);
        let text = match self.legs.get_mut(&self.current) {
            Some(leg) => leg.respond(&request.text, message.status, tag),
            None => {
                let contact = format!("<sip:{}>", self.address);
                leg::respond(&request.text, message.status, tag, &contact, self.address)
            }
        };
        Ok(Outgoing {
            text,
            to: request.from,
        })
    }

    fn request(&mut self, method: &str, options: &[Condition]) -> Result<Outgoing, String> {
        let is_known = self.legs.contains_key(&self.current);
        match method {
            "ACK" => self.acknowledge(options),
            "CANCEL" => {
                let (invite, to) = self.invite(None).ok_or("there is no INVITE to cancel")?;
                Ok(Outgoing {
                    text: leg::cancel_of(&invite),
                    to,
                })
            }
            _ if !is_known => Ok(self.initial(method, options)),
            _ => self.within(method, options),
        }
    }

    /// A request of a call that is known: inside its dialog, if there is one.
    fn within(&mut self, method: &str, options: &[Condition]) -> Result<Outgoing, String> {
        let leg = self
            .legs
            .get_mut(&self.current)
            .ok_or("there is no call yet")?;
        let uri = option(options, "uri").unwrap_or(CALLED);
        if option(options, "new").is_some() {
            return Ok(leg.request(method, uri));
        }
        let mut out = leg
            .request_in_dialog(method, option(options, "dialog"))
            .unwrap_or_else(|| leg.request(method, uri));
        if option(options, "onward").is_some() {
            be_onward(&mut out)?;
        }
        if option(options, "strict").is_some() {
            be_strict(&mut out.text)?;
        }
        if method == "PRACK" {
            let reliable = self
                .received
                .iter()
                .rev()
                .map(|a| &a.text)
                .find(|t| t.has("RSeq"));
            let reliable = reliable.ok_or("there is no reliable response to acknowledge")?;
            let rack = format!("{} {}", reliable.first("RSeq"), reliable.first("CSeq"));
            out.text.add("RAck", rack);
        }
        Ok(out)
    }

    fn acknowledge(&mut self, options: &[Condition]) -> Result<Outgoing, String> {
        let wanted = option(options, "dialog");
        let cseq = option(options, "for").and_then(|number| number.parse().ok());
        let (invite, to) = self
            .invite(cseq)
            .ok_or("there is no INVITE to acknowledge")?;
        let leg = self
            .legs
            .get_mut(&self.current)
            .ok_or("there is no call yet")?;
        let response = self.received.iter().rev().map(|a| &a.text).find(|t| {
            t.status() >= 200
                && t.cseq() == (invite.cseq().0, "INVITE")
                && t.call_id() == leg.call_id
                && wanted.is_none_or(|tag| t.tag("To") == tag)
        });
        let response = response.ok_or("there is no final response to acknowledge")?;
        if response.status() >= 300 {
            return Ok(Outgoing {
                text: leg::ack_of_refusal(&invite, response),
                to,
            });
        }
        let mut out = leg.ack(response).ok_or("there is no dialog")?;
        if option(options, "onward").is_some() {
            be_onward(&mut out)?;
        }
        Ok(out)
    }

    /// The last INVITE of this call that the actor sent, or the one with this CSeq.
    fn invite(&self, cseq: Option<u32>) -> Option<(Text, SocketAddr)> {
        let is_it = |text: &Text| {
            text.is_request()
                && text.method() == "INVITE"
                && text.call_id() == self.current
                && cseq.is_none_or(|cseq| text.cseq().0 == cseq)
        };
        self.sent
            .iter()
            .rev()
            .find(|(text, _)| is_it(text))
            .cloned()
    }

    fn initial(&mut self, method: &str, options: &[Condition]) -> Outgoing {
        self.current = call_id(self.letter, option(options, "call").unwrap_or("1"));
        let calling = "+12025550100";
        let hop = plan::ROUTER;
        let mut leg = Leg::caller(self.address, hop, &self.current, calling, "+12025550123");
        let out = leg.request(method, option(options, "uri").unwrap_or(CALLED));
        self.legs.insert(self.current.clone(), leg);
        out
    }
}

fn option<'o>(options: &'o [Condition], name: &str) -> Option<&'o str> {
    options
        .iter()
        .find(|o| o.name == name)
        .map(|o| o.value.as_str())
}

/// Options that say how, when or to whom, not what.
const NOT_OF_THE_TEXT: &[&str] = &[
    "t", "tag", "again", "lost", "as", "dialog", "call", "new", "hop", "for", "strict", "onward",
];

/// What callers dial.
const CALLED: &str = "sip:+12025550123@192.0.2.1:5060";

/// Writes a request as the proxy beside this actor would pass it on: without the route to itself.
fn be_onward(out: &mut Outgoing) -> Result<(), String> {
    let routes: Vec<String> = out
        .text
        .values("Route")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let next = routes.get(1).ok_or("onward needs a route set of two")?;
    out.to = address_of(uri_of(next)).ok_or("the next route is no address")?;
    out.text.remove("Route");
    let rest = routes[1..].join(", ");
    out.text.headers.insert(1, ("Route".to_owned(), rest));
    Ok(())
}

/// Writes a request as a strict router before us would pass it on: the next hop in the Request-URI,
/// the target last in the Route (RFC 3261 §16.12.1.2).
fn be_strict(text: &mut Text) -> Result<(), String> {
    let mut routes: Vec<String> = text
        .values("Route")
        .into_iter()
        .map(str::to_owned)
        .collect();
    if routes.is_empty() {
        return Err("strict needs a route set".to_owned());
    }
    let next = uri_of(&routes.remove(0)).to_owned();
    routes.push(format!("<{}>", text.uri()));
    text.start = format!("{} {next} SIP/2.0", text.method());
    text.remove("Route");
    text.headers
        .insert(1, ("Route".to_owned(), routes.join(", ")));
    Ok(())
}

fn call_id(letter: char, call: &str) -> String {
    format!("flow-{call}-{letter}@example.com")
}

fn hop_address(hop: &str) -> Result<SocketAddr, String> {
    let mut letters = hop.chars();
    let by_letter = match (letters.next(), letters.next()) {
        (Some(letter), None) => address(letter),
        _ => None,
    };
    by_letter
        .or_else(|| hop.parse().ok())
        .or_else(|| address_of(hop))
        .ok_or_else(|| format!("`{hop}` is no address"))
}

/// What a line says about the message beyond its name.
fn change(out: &mut Outgoing, options: &[Condition]) -> Result<(), String> {
    let text = &mut out.text;
    for option in options {
        let value = option.value.clone();
        match option.name.as_str() {
            "uri" => text.start = format!("{} {value} SIP/2.0", text.method()),
            "from" => text.set("From", value),
            "to" => text.set("To", value),
            "mf" => text.set("Max-Forwards", value),
            "cseq" => {
                let cseq = format!("{value} {}", text.cseq().1);
                text.set("CSeq", cseq);
            }
            "via" => text.set("Via", value),
            "branch" => {
                let via = text.first("Via").replace(&text.branch().to_owned(), &value);
                text.set("Via", via);
            }
            "route" => {
                text.remove("Route");
                if value != "none" {
                    text.headers.insert(1, ("Route".to_owned(), value));
                }
            }
            "body" => {
                text.remove("Content-Type");
                text.body = String::new();
                if value != "none" {
                    text.add("Content-Type", "application/sdp");
                    text.body = value;
                }
            }
            "h" => {
                let (name, value) = value.split_once(':').ok_or("h wants \"Name: value\"")?;
                text.add(name.trim(), value.trim());
            }
            "contact" => text.set("Contact", value),
            "callid" => text.set("Call-ID", value),
            "also" => text.add("Route", value),
            // Proxies beside this actor: one that record-routes, one whose Via is below.
            "record" => text.headers.insert(1, ("Record-Route".to_owned(), value)),
            "under" => text.headers.insert(1, ("Via".to_owned(), value)),
            "drop" => text.remove(&value),
            name if NOT_OF_THE_TEXT.contains(&name) => {}
            other => return Err(format!("`{other}` is no option of a message to send")),
        }
    }
    Ok(())
}
