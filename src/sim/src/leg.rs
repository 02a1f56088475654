//! A user agent's side of one call: which messages it would write next (RFC 3261 §12, §13, §15).

use std::net::SocketAddr;

use crate::text::{Text, address_of, reason, uri_of};

/// One side of a call, before and after there is a dialog. Writes messages; keeps no timers.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The address this side sends from.
    pub me: SocketAddr,
    /// Where requests without a route go.
    pub next_hop: SocketAddr,
    /// The Call-ID.
    pub call_id: String,
    /// From (as caller) or To (as callee) with our tag, ready to be written.
    pub local: String,
    /// The other party's address without a tag.
    pub remote: String,
    /// The last CSeq we used.
    pub cseq: u32,
    /// What we accept requests at.
    pub contact: String,
    /// The dialogs, by the tag of the other side (as caller) or by our own (as callee).
    pub dialogs: Vec<Dialog>,
    branches: u32,
}

/// What a dialog adds: where its requests go.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// Our tag, if it is not the leg's.
    pub local: String,
    /// From or To of the other side, with its tag.
    pub remote: String,
    /// The tag that tells this dialog from others of the call.
    pub tag: String,
    /// Where the other side accepts requests.
    pub target: String,
    /// The route set in the order of travel.
    pub routes: Vec<String>,
}

/// A message and where it goes.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The message.
    pub text: Text,
    /// The next hop.
    pub to: SocketAddr,
}

impl Leg {
    /// The caller's side of a call that is not placed yet.
    #[must_use]
    pub fn caller(
        me: SocketAddr,
        next_hop: SocketAddr,
        call_id: &str,
        calling: &str,
        called: &str,
    ) -> Leg {
        Leg {
            me,
            next_hop,
            call_id: call_id.to_owned(),
            local: format!(
                "<sip:{calling}@{}>;tag={calling}-{}",
                me.ip(),
                call_id.len()
            ),
            remote: format!("<sip:{called}@{next_hop}>"),
            cseq: 0,
            contact: format!("<sip:{calling}@{me}>"),
            dialogs: Vec::new(),
            branches: 0,
        }
    }

    /// The callee's side of the call that an INVITE asks for.
    #[must_use]
    pub fn callee(me: SocketAddr, source: SocketAddr, invite: &Text) -> Leg {
        Leg {
            me,
            next_hop: source,
            call_id: invite.call_id().to_owned(),
            local: invite.first("To").to_owned(),
            remote: invite.first("From").to_owned(),
            cseq: 100,
            contact: format!("<sip:callee@{me}>"),
            dialogs: Vec::new(),
            branches: 0,
        }
    }

    /// A branch never used before.
    pub fn branch(&mut self) -> String {
        self.branches += 1;
        let call: String = self
            .call_id
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect();
        format!("z9hG4bK{call}{}n{}", self.me.port(), self.branches)
    }

    /// A request outside of any dialog.
    pub fn request(&mut self, method: &str, uri: &str) -> Outgoing {
        self.cseq += 1;
        let remote = self.remote.clone();
        let local = self.local.clone();
        let mut text = self.skeleton(method, uri, &local, &remote, self.cseq);
        text.add("Contact", self.contact.clone());
        if method == "INVITE" {
            describe(&mut text, self.me);
        }
        Outgoing {
            text,
            to: self.next_hop,
        }
    }

    /// A request inside a dialog (RFC 3261 §12.2.1.1). `tag` chooses one; `None` takes the latest.
    pub fn request_in_dialog(&mut self, method: &str, tag: Option<&str>) -> Option<Outgoing> {
        let cseq = if method == "ACK" {
            self.cseq
        } else {
            self.cseq + 1
        };
        let out = self.in_dialog(method, tag, cseq)?;
        self.cseq = cseq;
        Some(out)
    }

    /// The ACK for a 2xx, in the dialog that its To tag names (RFC 3261 §13.2.2.4).
    pub fn ack(&mut self, response: &Text) -> Option<Outgoing> {
        let tag = response.tag("To").to_owned();
        self.in_dialog("ACK", Some(&tag), response.cseq().0)
    }

    /// A response to a request. A new tag makes a new dialog when the status forms one.
    pub fn respond(&mut self, request: &Text, status: u16, tag: &str) -> Text {
        let text = respond(request, status, tag, &self.contact, self.me);
        let forms = matches!(request.method(), "INVITE" | "SUBSCRIBE" | "REFER")
            && (101..300).contains(&status);
        if forms && request.tag("To").is_empty() && !self.dialogs.iter().any(|d| d.tag == tag) {
            let routes = request.values("Record-Route");
            self.dialogs.push(Dialog {
                local: text.first("To").to_owned(),
                remote: request.first("From").to_owned(),
                tag: tag.to_owned(),
                target: uri_of(request.first("Contact")).to_owned(),
                routes: routes.into_iter().map(str::to_owned).collect(),
            });
        }
        text
    }

    /// Learns from a response what later requests need: dialogs and their targets.
    pub fn learn(&mut self, response: &Text) {
        let tag = response.tag("To");
        let forms = response.method() == "INVITE" && (101..300).contains(&response.status());
        if tag.is_empty() || !forms {
            return;
        }
        let target = uri_of(response.first("Contact")).to_owned();
        if let Some(known) = self.dialogs.iter_mut().find(|d| d.tag == tag) {
            if !target.is_empty() {
                known.target = target;
            }
            return;
        }
        let mut routes: Vec<String> = Vec::new();
        for route in response.values("Record-Route") {
            routes.insert(0, route.to_owned());
        }
        self.dialogs.push(Dialog {
            local: response.first("From").to_owned(),
            remote: response.first("To").to_owned(),
            tag: tag.to_owned(),
            target,
            routes,
        });
    }

    fn in_dialog(&mut self, method: &str, tag: Option<&str>, cseq: u32) -> Option<Outgoing> {
        let dialog = match tag {
            Some(tag) => self.dialogs.iter().find(|d| d.tag == tag)?,
            None => self.dialogs.last()?,
        }
        .clone();
        let strict = dialog
            .routes
            .first()
            .filter(|route| !uri_of(route).split(';').any(|p| p.starts_with("lr")))
            .cloned();
        let (uri, routes) = match &strict {
            // The first hop is a strict router: it takes its address from the Request-URI and the
            // target travels last (RFC 3261 §12.2.1.1).
            Some(first) => {
                let mut rest: Vec<String> = dialog.routes[1..].to_vec();
                rest.push(format!("<{}>", dialog.target));
                (uri_of(first).to_owned(), rest)
            }
            None => (dialog.target.clone(), dialog.routes.clone()),
        };
        let hop = match (&strict, routes.first()) {
            (None, Some(first)) => uri_of(first).to_owned(),
            _ => uri.clone(),
        };
        let mut text = self.skeleton(method, &uri, &dialog.local, &dialog.remote, cseq);
        for route in &routes {
            text.add("Route", route.clone());
        }
        if matches!(method, "INVITE" | "UPDATE" | "REFER" | "SUBSCRIBE") {
            text.add("Contact", self.contact.clone());
        }
        if method == "INVITE" {
            describe(&mut text, self.me);
        }
        Some(Outgoing {
            to: address_of(&hop)?,
            text,
        })
    }

    fn skeleton(&mut self, method: &str, uri: &str, from: &str, to: &str, cseq: u32) -> Text {
        let branch = self.branch();
        let via = format!("SIP/2.0/UDP {};branch={branch};rport", self.me);
        let mut text = Text {
            start: format!("{method} {uri} SIP/2.0"),
            headers: Vec::with_capacity(10),
            body: String::new(),
        };
        text.add("Via", via);
        text.add("Max-Forwards", "70");
        text.add("From", from);
        text.add("To", to);
        text.add("Call-ID", self.call_id.clone());
        text.add("CSeq", format!("{cseq} {method}"));
        text
    }
}

/// The ACK for a final response that is no 2xx: on the INVITE's own branch (RFC 3261 §17.1.1.3).
#[must_use]
pub fn ack_of_refusal(invite: &Text, response: &Text) -> Text {
    let mut text = Text {
        start: format!("ACK {} SIP/2.0", invite.uri()),
        headers: Vec::new(),
        body: String::new(),
    };
    text.add("Via", invite.values("Via").first().copied().unwrap_or(""));
    for route in invite.values("Route") {
        text.add("Route", route);
    }
    text.add("Max-Forwards", "70");
    text.add("From", invite.first("From"));
    text.add("To", response.first("To"));
    text.add("Call-ID", invite.call_id());
    text.add("CSeq", format!("{} ACK", invite.cseq().0));
    text
}

/// The CANCEL of an INVITE (RFC 3261 §9.1).
#[must_use]
pub fn cancel_of(invite: &Text) -> Text {
    let mut text = ack_of_refusal(invite, invite);
    text.start = format!("CANCEL {} SIP/2.0", invite.uri());
    text.set("CSeq", format!("{} CANCEL", invite.cseq().0));
    text
}

/// A response without a leg, for requests that belong to no call.
#[must_use]
pub fn respond(request: &Text, status: u16, tag: &str, contact: &str, me: SocketAddr) -> Text {
    let mut text = Text {
        start: format!("SIP/2.0 {status} {}", reason(status)),
        headers: Vec::with_capacity(10),
        body: String::new(),
    };
    for via in request.values("Via") {
        text.add("Via", via);
    }
    text.add("From", request.first("From"));
    let to = request.first("To");
    if request.tag("To").is_empty() && status > 100 {
        text.add("To", format!("{to};tag={tag}"));
    } else {
        text.add("To", to);
    }
    text.add("Call-ID", request.call_id());
    text.add("CSeq", request.first("CSeq"));
    let invite = request.method() == "INVITE";
    if invite && (101..300).contains(&status) {
        for route in request.values("Record-Route") {
            text.add("Record-Route", route);
        }
        text.add("Contact", contact);
    }
    if invite && (status == 183 || (200..300).contains(&status)) {
        describe(&mut text, me);
    }
    text
}

fn describe(text: &mut Text, me: SocketAddr) {
    text.add("Content-Type", "application/sdp");
    let family = if me.is_ipv4() { "IP4" } else { "IP6" };
    let ip = me.ip();
    text.body = format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_follows_its_route_set_in_both_directions() {
        let a: SocketAddr = "192.0.2.10:5060".parse().expect("an address");
        let b: SocketAddr = "198.51.100.1:5060".parse().expect("an address");
        let mut caller = Leg::caller(a, b, "c1", "100", "200");
        let invite = caller.request("INVITE", "sip:200@198.51.100.1:5060").text;
        let mut seen = invite.clone();
        seen.add(
            "Record-Route",
            "<sip:192.0.2.1:5060;lr>, <sip:192.0.2.2;lr>",
        );
        let mut callee = Leg::callee(b, a, &seen);
        let ok = callee.respond(&seen, 200, "b1");
        caller.learn(&ok);
        let ack = caller.ack(&ok).expect("a dialog");
        assert_eq!(ack.to, "192.0.2.2:5060".parse().expect("an address"));
        assert_eq!(ack.text.uri(), "sip:callee@198.51.100.1:5060");
        assert_eq!(ack.text.cseq(), (1, "ACK"));
        let bye = callee.request_in_dialog("BYE", None).expect("a dialog");
        assert_eq!(bye.to, "192.0.2.1:5060".parse().expect("an address"));
        assert_eq!(bye.text.tag("From"), "b1");
        assert_eq!(bye.text.tag("To"), invite.tag("From"));
    }

    #[test]
    fn cancel_and_ack_keep_the_branch() {
        let a: SocketAddr = "192.0.2.10:5060".parse().expect("an address");
        let mut caller = Leg::caller(a, a, "c1", "100", "200");
        let invite = caller.request("INVITE", "sip:200@192.0.2.1").text;
        assert_eq!(cancel_of(&invite).branch(), invite.branch());
        assert_eq!(cancel_of(&invite).cseq(), (1, "CANCEL"));
        assert_eq!(cancel_of(&invite).tag("To"), "");
        let busy = respond(&invite, 486, "b", "<sip:b@c>", a);
        assert_eq!(ack_of_refusal(&invite, &busy).tag("To"), "b");
    }
}
