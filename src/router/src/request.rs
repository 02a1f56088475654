//! A request arrives.

use base::{GatewayId, TrunkId};
use call::DialogNames;
use call::proxy::{self, Refusal, Routes};
use route::UnknownSource;
use shards::Inbound;
use sip::{Message, Method, Scheme, Uri};
use transaction::{Kind, Match, ServerEvent};

use crate::counters::Count;
use crate::local::ALLOW;
use crate::paths::token_of;
use crate::{Out, Router};

/// Who sent a request, by the address it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) trunk: Option<TrunkId>,
    /// Only looked for if it is no trunk's: ask [`Router::gateway_at`] for what else it may be.
    gateway: Option<GatewayId>,
}

/// What a new request asks for, as it was read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// What its Route says of us.
    pub(crate) routes: Routes<'a>,
    /// The Request-URI that counts, [`Routes::uri`], taken apart.
    pub(crate) uri: Uri<'a>,
    /// What its dialog is told by.
    pub(crate) names: DialogNames,
    /// What it is routed by.
    pub(crate) routed: u64,
}

impl Source {
    pub(crate) fn is_known(&self) -> bool {
        self.trunk.is_some() || self.gateway.is_some()
    }
}

/// The Request-URI that counts: the parser has taken apart the one in the request line.
pub(crate) fn read_uri<'a>(
    message: &Message<'a>,
    routes: &Routes<'a>,
) -> Result<Uri<'a>, sip::Error> {
    match routes.strict {
        true => Uri::parse(routes.uri),
        false => message.request_uri(),
    }
}

impl Router {
    /// A request that was parsed.
    pub(crate) fn request(
        &mut self,
        message: &Message<'_>,
        source: Source,
        key: Option<transaction::Key>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        self.count(Count::Requests, out);
        match self.table.match_known(message, key) {
            Match::Retransmission(server) => {
                self.count(Count::Retransmissions, out);
                if self.is_same_peer(server, inbound) {
                    self.step_server(server, ServerEvent::Request, out);
                }
            }
            Match::Ack(server) => {
                if !self.is_same_peer(server, inbound) {
                    self.count(Count::AcksDropped, out);
                } else if self.step_server(server, ServerEvent::Ack, out) {
                    self.new_request(message, source, inbound, None, out);
                } else {
                    self.count(Count::AcksAbsorbed, out);
                }
            }
            Match::AckUnmatched => self.new_request(message, source, inbound, None, out),
            Match::Cancel {
                key,
                retransmission,
                invite,
            } => match retransmission {
                Some(server) => {
                    self.count(Count::Retransmissions, out);
                    if self.is_same_peer(server, inbound) {
                        self.step_server(server, ServerEvent::Request, out);
                    }
                }
                None => self.cancel_request(message, source, key, invite, inbound, out),
            },
            Match::New(key) => self.new_request(message, source, inbound, Some(key), out),
        }
    }

    /// Whether a request for an existing transaction comes from where its first copy came from.
    fn is_same_peer(&self, server: base::SlotId, inbound: &Inbound<'_>) -> bool {
        self.server_flow(server)
            .is_some_and(|flow| flow.peer.ip() == inbound.flow.peer.ip())
    }

    pub(crate) fn source(&self, inbound: &Inbound<'_>) -> Source {
        let trunk = self
            .world
            .ingress(inbound.flow.peer, inbound.flow.transport);
        let gateway = match trunk {
            Some(_) => None,
            None => self.gateway_at(inbound),
        };
        Source { trunk, gateway }
    }

    /// The gateway that sends from a message's source.
    pub(crate) fn gateway_at(&self, inbound: &Inbound<'_>) -> Option<GatewayId> {
        self.world.egress(inbound.flow.peer, inbound.flow.transport)
    }

    /// What the Route of a message that came to `local` says of us.
    pub(crate) fn routes<'a>(
        &self,
        message: &Message<'a>,
        local: std::net::SocketAddr,
    ) -> Result<Routes<'a>, Refusal> {
        proxy::routes(
            message,
            |value| token_of(&self.heads, value),
            |uri| self.settings.is_us(uri, local),
        )
    }

    /// A request that belongs to no transaction yet.
    fn new_request(
        &mut self,
        message: &Message<'_>,
        source: Source,
        inbound: &Inbound<'_>,
        key: Option<transaction::Key>,
        out: &mut Out,
    ) {
        let flow = &inbound.flow;
        let routes = match self.routes(message, flow.local) {
            Ok(routes) => routes,
            Err(_) if !source.is_known() => return self.stranger(message, inbound, out),
            Err(refusal) => return self.refuse(message, refusal.status(), flow, out),
        };
        // A callee by RFC 2543 may have no tag: then our token alone says that this is its dialog.
        let in_dialog = routes.token.is_some() || !message.to_tag().is_empty();
        // Who is in a call of ours may come from anywhere, but must show it.
        let has_our_token = || {
            let keys = &self.settings.keys;
            let read = |token| keys.read_route(token, keys.name(message.call_id()));
            routes.token.and_then(read).is_some()
        };
        if !(source.is_known() || has_our_token()) {
            return self.stranger(message, inbound, out);
        }
        if message.branch().len() == sip::COOKIE.len() && message.via().is_bare_cookie() {
            // Every request with this branch would be one transaction (RFC 4475 §3.2.1).
            return self.refuse(message, 400, flow, out);
        }
        let Ok(uri) = read_uri(message, &routes) else {
            return self.refuse(message, 400, flow, out);
        };
        if self.is_for_us(message, &uri, &routes, inbound) {
            return self.for_us(message, key, inbound, out);
        }
        if let Err(refusal) = proxy::check(message, &uri) {
            if refusal == Refusal::TooManyHops {
                self.count(Count::HopsSpent, out);
            }
            return self.refuse(message, refusal.status(), flow, out);
        }
        let trunk = source.trunk.map_or(u32::MAX, |trunk| trunk.0);
        let names = self.settings.keys.names(message);
        self.fetch_index(&names, in_dialog);
        let routed = proxy::routed_by(message, &names, trunk, &self.settings.keys);
        if let Err(refusal) = proxy::check_loop(message, routed) {
            self.count(Count::Looped, out);
            return self.refuse(message, refusal.status(), flow, out);
        }
        if let Err(refusal) = proxy::check_extensions(message) {
            let mut tags = [0; 512];
            let tags = Router::unsupported(message, &mut tags);
            let status = refusal.status();
            return self.refuse_with(message, status, &[(b"Unsupported", tags)], flow, out);
        }
        let asked = Asked {
            routes,
            uri,
            names,
            routed,
        };
        if in_dialog {
            self.in_dialog(message, &asked, source, key, inbound, out);
        } else if let Some(key) = key {
            self.initial(message, &asked, source, key, inbound, out);
        } else {
            self.count(Count::AcksDropped, out);
        }
    }

    /// A request from an address that belongs to nobody.
    #[cold]
    pub(crate) fn stranger(&mut self, message: &Message<'_>, inbound: &Inbound<'_>, out: &mut Out) {
        self.count(Count::UnknownSource, out);
        match self.world.unknown_source() {
            UnknownSource::Refuse => self.refuse(message, 403, &inbound.flow, out),
            UnknownSource::Drop => self.unanswered(message, out),
        }
    }

    fn unanswered(&mut self, message: &Message<'_>, out: &mut Out) {
        let count = match message.method() {
            Method::Ack => Count::AcksDropped,
            _ => Count::Unanswered,
        };
        self.count(count, out);
    }

    /// Whether a request ends here: it names this node and no user, or it is an OPTIONS that may go
    /// no further (RFC 3261 §16.3 step 3).
    fn is_for_us(
        &self,
        message: &Message<'_>,
        uri: &Uri<'_>,
        routes: &Routes<'_>,
        inbound: &Inbound<'_>,
    ) -> bool {
        if routes.next.is_some() || !message.to_tag().is_empty() {
            return false;
        }
        let names_us = matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
            && uri.user.is_empty()
            && self.settings.is_us(uri, inbound.flow.local);
        match message.method() {
            Method::Options => names_us,
            // An INVITE to no number is a call without a called number: 404, below.
            Method::Register => names_us,
            _ => false,
        }
    }

    /// Answers a request that ends here: OPTIONS with what we can do, REGISTER with 405, since
    /// nobody registers with a tandem.
    fn for_us(
        &mut self,
        message: &Message<'_>,
        key: Option<transaction::Key>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        let Some(key) = key else { return };
        let extra: [(&[u8], &[u8]); 3] = [
            (b"Allow", ALLOW),
            (b"Accept", b"application/sdp"),
            (b"Supported", b""),
        ];
        let (status, extra) = match message.method() {
            Method::Options if self.is_draining => (503, &extra[..0]),
            Method::Options => (200, &extra[..]),
            _ => (405, &extra[..1]),
        };
        let flow = self.reply_flow(message, &inbound.flow);
        // No fork: nobody but the transaction itself has an interest in it.
        let user = base::SlotId::new(self.shard, 0, 1);
        match self.insert_server(key, Kind::NonInvite, &flow, user) {
            Some(server) => {
                self.count(Count::AnsweredHere, out);
                self.step_server(server, ServerEvent::Start, out);
                self.respond_local(server, message, status, extra, &inbound.flow, out);
            }
            None => {
                self.count(Count::TransactionsFull, out);
                self.refuse(message, 503, &inbound.flow, out);
            }
        }
    }

    /// A CANCEL (RFC 3261 §16.10): answered here, and passed on as CANCELs of our own.
    fn cancel_request(
        &mut self,
        message: &Message<'_>,
        source: Source,
        key: transaction::Key,
        invite: Option<base::SlotId>,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        // A CANCEL from another address than the INVITE's ends nobody's call. Without an INVITE
        // it is answered 481 and goes nowhere: RFC 6026 §8.5 wants no stateless passing on.
        let invite = invite.filter(|&invite| self.is_same_peer(invite, inbound));
        let Some(invite) = invite else {
            self.count(Count::CancelsStray, out);
            if source.is_known() {
                self.refuse(message, 481, &inbound.flow, out);
            } else {
                self.unanswered(message, out);
            }
            return;
        };
        self.count(Count::Cancels, out);
        let flow = self.reply_flow(message, &inbound.flow);
        let Some(user) = self.table.server_ref(invite).map(|slot| slot.user()) else {
            return;
        };
        // The CANCEL's own transaction: it has no fork, its user is only a number.
        let nobody = base::SlotId::new(self.shard, 0, 1);
        match self.insert_server(key, Kind::NonInvite, &flow, nobody) {
            Some(server) => {
                self.step_server(server, ServerEvent::Start, out);
                self.respond_local(server, message, 200, &[], &inbound.flow, out);
            }
            None => self.answer_once(message, 200, &[], &inbound.flow, out),
        }
        self.caller_gave_up(user, message, out);
    }
}
