//! A new request of a trunk: whose it is, where it may go, and a call is born.

use base::{Flow, GatewayId, SlotId, Time, TrunkId, Wall};
use call::proxy;
use call::token::RouteMark;
use call::{Call, DialogNames, Fork, Invite, Moment, Purpose, Target, next_hop};
use cdr::{Cause, Identity, Party};
use route::{
    Ask, CallLimits, Mode, NoRoute, NotThere, Number, NumberBuffer, NumberError, Quality, Refuse,
    Rewritten, Role, RouteId, Scene, Side, Snapshot,
};
use shards::Inbound;
use sip::{HeaderId, Message, Method, NameAddr, Uri};
use smallvec::SmallVec;
use transaction::{Kind, ServerEvent};

use crate::attempt::Dialled;
use crate::counters::{Count, TrunkCell};
use crate::gauges::{Full, Gauges, Limited};
use crate::held::{Held, Plan};
use crate::local::Header;
use crate::paths::{Text, listed};
use crate::request::{Asked, Source};
use crate::{Out, Router};

/// Why a new request is refused: what its sender is told and what the record says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Denied {
    pub(crate) status: u16,
    pub(crate) cause: Cause,
    pub(crate) count: Count,
    /// In how many seconds the caller may try again; 0: nothing is said of it.
    pub(crate) retry_after_s: u32,
}

/// What routing may ask of a call and of the moment.
struct Seen<'a, 'm> {
    gauges: &'a Gauges,
    message: &'a Message<'m>,
    world: &'a Snapshot,
    trunk: TrunkId,
}

impl Scene for Seen<'_, '_> {
    fn calls_up(&self, gateway: GatewayId) -> u32 {
        self.gauges.in_use(Limited::Gateway(gateway))
    }

    fn caller(&self) -> &[u8] {
        user_of(calling_uri(self.message, is_believed(self.world, self.trunk)).0)
    }

    fn call_id(&self) -> &[u8] {
        self.message.call_id()
    }

    fn quality(&self) -> Option<&Quality> {
        Some(self.gauges.quality())
    }
}

/// The values of a Contact header.
struct Contacts {
    text: Vec<u8>,
    count: usize,
}

impl Router {
    /// A request without a To tag that is to be routed.
    pub(crate) fn initial(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        source: Source,
        key: transaction::Key,
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) {
        let flow = &inbound.flow;
        let Some(trunk) = source.trunk else {
            // A gateway's address may only send what belongs to a call.
            self.count(Count::UnknownSource, out);
            return self.refuse(message, 403, flow, out);
        };
        let is_invite = message.method() == Method::Invite;
        let of_trunk = self.world.trunk(trunk);
        if !of_trunk.is_some_and(|it| it.allows(message.method_bytes())) {
            let extra: [(&[u8], &[u8]); 1] = [(b"Allow", crate::local::ALLOW)];
            return self.refuse_with(message, 405, &extra, flow, out);
        }
        if is_invite && let Some(count) = self.refuses_calls() {
            self.count(count, out);
            return self.refuse(message, 503, flow, out);
        }
        if is_invite {
            self.count(Count::Invites, out);
            self.count_trunk(trunk, TrunkCell::Calls, out);
        }
        let kind = match is_invite {
            true => call::Kind::Invite,
            false => call::Kind::NonInvite,
        };
        let Some((server, fork)) = self.admit(message, kind, asked.routed, key, flow, out) else {
            return;
        };
        let call = match is_invite {
            false => None,
            true => {
                match self.begin_call(message, &asked.names, trunk, (server, fork), inbound, out) {
                    Some(call) => Some(call),
                    None => {
                        self.count(Count::CallsFull, out);
                        return self.drop_fork((server, fork), message, 503, &[], flow, out);
                    }
                }
            }
        };
        let mut buffer = NumberBuffer::new();
        let number = self.world.number(trunk, &asked.uri, &mut buffer);
        match self.plan(message, asked, &number, trunk, (fork, call), out) {
            Ok(()) if call.is_some() && self.redirects(trunk) => {
                self.redirect(message, asked, number.ok(), (server, fork), call, flow, out);
            }
            Ok(()) => {
                if let Some(call) = call {
                    if let Some(held) = self.forks.get_mut(fork) {
                        held.fork.purpose = Purpose::Initial { call };
                    }
                    self.respond_local(server, message, 100, &[], flow, out);
                }
                let target = Dialled {
                    asked,
                    number: number.ok(),
                };
                self.launch(fork, message, &target, out);
            }
            Err(denied) => self.deny(message, (server, fork), call, denied, &[], flow, out),
        }
    }

    /// Whether the calls of a trunk are not led on, but told whom to ask.
    fn redirects(&self, trunk: TrunkId) -> bool {
        self.world.trunk(trunk).is_some_and(|trunk| trunk.redirects)
    }

    /// Tells a switch whom to ask for a call instead of asking.
    fn redirect(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        number: Option<Number<'_>>,
        taken: (SlotId, SlotId),
        call: Option<SlotId>,
        flow: &Flow,
        out: &mut Out,
    ) {
        let contacts = self.contacts(taken.1, asked, number);
        let extra: [(&[u8], &[u8]); 1] = [(b"Contact", &contacts.text)];
        let denied = Denied {
            status: if contacts.count > 1 { 300 } else { 302 },
            cause: Cause::Redirected,
            count: Count::Redirected,
            retry_after_s: 0,
        };
        self.deny(message, taken, call, denied, &extra, flow, out);
        self.uri_text = contacts.text;
    }

    /// Whom a call would be led to, in the order to try: the values of a Contact header
    /// (RFC 3261 §20.10), with a `q` that falls by a tenth.
    fn contacts(
        &mut self,
        fork: SlotId,
        asked: &Asked<'_>,
        number: Option<Number<'_>>,
    ) -> Contacts {
        const CONTACTS_MAX: usize = 10;
        let mut text = std::mem::take(&mut self.uri_text);
        text.clear();
        let mut count = 0;
        if let (Some(held), Some(number)) = (self.forks.get(fork), number) {
            let plan = &held.plan;
            let may_try = plan
                .candidates
                .iter()
                .filter(|candidate| candidate.may_try());
            let gateways = may_try.filter_map(|it| self.world.gateway(it.gateway));
            for gateway in gateways.take(plan.attempts_left.min(CONTACTS_MAX)) {
                let before = text.len();
                text.extend_from_slice(if count > 0 { b", <" } else { b"<" });
                if !gateway.write_uri(&number, &asked.uri, &mut text) {
                    text.truncate(before);
                    continue;
                }
                let q: &[u8] = match count {
                    0 => b"1.0",
                    1..=9 => &[b'0', b'.', b'0' + 10 - count as u8],
                    _ => b"0.0",
                };
                text.extend_from_slice(b">;q=");
                text.extend_from_slice(q);
                count += 1;
            }
        }
        Contacts { text, count }
    }

    /// Refuses a request that was taken: its call, if it is one, ends before it began.
    fn deny(
        &mut self,
        message: &Message<'_>,
        (server, fork): (SlotId, SlotId),
        call: Option<SlotId>,
        denied: Denied,
        extra: &[Header<'_>],
        flow: &Flow,
        out: &mut Out,
    ) {
        self.count(denied.count, out);
        if let Some(call) = call {
            self.call_refused(call, denied.status, Party::Router, denied.cause, out);
        }
        let mut seconds = Text::<10>::new();
        seconds.put_number(denied.retry_after_s);
        let retry: [Header<'_>; 1] = [(b"Retry-After", seconds.as_bytes())];
        let extra = if denied.retry_after_s > 0 {
            &retry
        } else {
            extra
        };
        self.drop_fork((server, fork), message, denied.status, extra, flow, out);
        if let Some(call) = call {
            self.fork_left_call(call, Invite::Over, out);
        }
    }

    /// Whether new calls are refused at all, and which counter says why.
    fn refuses_calls(&self) -> Option<Count> {
        if self.is_draining {
            return Some(Count::Draining);
        }
        // A call that cannot be billed is not taken (the records of ended calls go first).
        (!self.unrecorded.is_empty()).then_some(Count::BillingFull)
    }

    /// Takes a server transaction and a fork, keeps the request, or refuses with 503.
    pub(crate) fn admit(
        &mut self,
        message: &Message<'_>,
        fork_kind: call::Kind,
        routed: u64,
        key: transaction::Key,
        flow: &Flow,
        out: &mut Out,
    ) -> Option<(SlotId, SlotId)> {
        let kind = match fork_kind {
            call::Kind::Invite => Kind::Invite,
            call::Kind::NonInvite => Kind::NonInvite,
        };
        let Some(request) = out.packet(message.bytes().len()) else {
            self.count(Count::PacketsFull, out);
            self.refuse(message, 503, flow, out);
            return None;
        };
        out.buffer(request)[..message.bytes().len()].copy_from_slice(message.bytes());
        out.set_len(request, message.bytes().len());
        let now = out.now();
        let fork = self.forks.insert_with(|| {
            let mut fork = Fork::new(fork_kind, Purpose::Other, *flow, now);
            fork.request = Some(request);
            let plan = Plan::none(routed);
            Held { fork, plan }
        });
        let server = fork.and_then(|fork| {
            let reply = self.reply_flow(message, flow);
            self.insert_server(key, kind, &reply, fork)
        });
        let (Some(server), Some(fork)) = (server, fork) else {
            if let Some(fork) = fork {
                self.forks.discard(fork);
            }
            out.release(request);
            self.count(Count::TransactionsFull, out);
            self.refuse(message, 503, flow, out);
            return None;
        };
        let held = self.forks.get_mut(fork).expect("it was just taken");
        held.fork.server = Some(server);
        held.fork.users = 1;
        self.count(Count::RequestsTaken, out);
        self.step_server(server, ServerEvent::Start, out);
        Some((server, fork))
    }

    /// Answers a request that goes nowhere. Its transaction stays as long as it must.
    fn drop_fork(
        &mut self,
        (server, fork): (SlotId, SlotId),
        message: &Message<'_>,
        status: u16,
        extra: &[Header<'_>],
        flow: &Flow,
        out: &mut Out,
    ) {
        if let Some(held) = self.forks.get_mut(fork) {
            held.fork.answered = true;
        }
        self.respond_local(server, message, status, extra, flow, out);
        if let Some(request) = self
            .forks
            .get_mut(fork)
            .and_then(|held| held.fork.request.take())
        {
            out.release(request);
        }
        self.dissolve(fork, out);
    }

    fn begin_call(
        &mut self,
        message: &Message<'_>,
        names: &DialogNames,
        trunk: TrunkId,
        (server, fork): (SlotId, SlotId),
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) -> Option<SlotId> {
        // What is for the caller goes where its answers go.
        let kept = self.table.server_ref(server)?.flow();
        let caller = &self.flows[kept];
        let host = self.flows.host(kept);
        let (caller_target, caller_is_routed) = proxy::before_us(message)
            .and_then(|(uri, routed)| Some((next_hop::target_of(uri, caller, host)?, routed)))
            .unwrap_or((Target::Peer, false));
        let (generation, now) = (self.world.generation(), out.now());
        let began_wall = out.wall().minus_micros(now.micros_since(inbound.received));
        let caller_target = caller_target.into();
        let id = self.calls.insert_with(|| Call {
            call_id: names.call_id,
            caller_tag: names.from_tag,
            route_mark: RouteMark::default(),
            caller: kept,
            caller_target,
            caller_is_routed,
            trunk,
            generation,
            invite: Invite::Waits(fork),
            identity: None,
            timer: None,
            // The moment at which the kernel had it: what we are late by is on the bill of nobody.
            began: inbound.received.min(now),
            began_wall,
            ringing: Moment::NONE,
            status: 0,
            q850: None,
            unanswered: None,
            is_recorded: false,
            holds_channel: false,
            capped: None,
            is_waiting: false,
            sold: None,
            attempts: SmallVec::new(),
            dialogs: SmallVec::new(),
        })?;
        if let Some(call) = self.calls.get_mut(id) {
            call.route_mark = self.settings.keys.route_mark(id, names.call_id);
        }
        self.flows.retain(kept);
        self.by_call_id.insert(names.call_id, id.index());
        Some(id)
    }

    /// Works out whom to ask, or why nobody is; keeps the call's names either way.
    fn plan(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        number: &Result<Number<'_>, NumberError>,
        trunk: TrunkId,
        (fork, call): (SlotId, Option<SlotId>),
        out: &mut Out,
    ) -> Result<(), Denied> {
        let channel = call.map_or(Ok(()), |call| self.take_channel(call, trunk, out.now()));
        let mut route = None;
        let planned = channel.and_then(|()| {
            self.choose(message, asked, number, trunk, (fork, call), &mut route, out)
        });
        if let Some(call) = call {
            let called = number.as_ref().map_or(&b""[..], Number::text);
            self.keep_identity((call, trunk), message, called, route);
        }
        planned
    }

    /// Fills the plan of a fork, and says by which route.
    fn choose(
        &mut self,
        message: &Message<'_>,
        asked: &Asked<'_>,
        number: &Result<Number<'_>, NumberError>,
        trunk: TrunkId,
        (fork, call): (SlotId, Option<SlotId>),
        route: &mut Option<RouteId>,
        out: &mut Out,
    ) -> Result<(), Denied> {
        let breadth = breadth(message)?;
        let number = number.as_ref().map_err(|error| rejected(error.status()))?;
        let at = moment(out.wall());
        screen(&self.world, (trunk, number), message, at)?;
        if let Some(call) = call {
            self.take_caps(call, trunk, number.digits(), out)?;
        }
        let held = self.forks.get_mut(fork);
        let plan = &mut held.expect("its request was just taken").plan;
        plan.breadth = breadth;
        let of_trunk = self.world.trunk(trunk);
        plan.follows_redirects = of_trunk.is_some_and(|trunk| trunk.follow_redirects);
        let ask = Ask {
            trunk,
            number,
            now: out.now(),
            at,
            dice: out.random(),
        };
        let planned = match asked.routes.next {
            Some(next) => plan_by_route(&self.world, &ask, next, plan),
            None => {
                let (turns, candidates) = (&mut self.turns, &mut plan.candidates);
                let scene = Seen {
                    gauges: &self.gauges,
                    message,
                    world: &self.world,
                    trunk: ask.trunk,
                };
                let found = (self.world).candidates(&ask, &self.health, turns, &scene, candidates);
                *route = found.ok();
                plan_by_number(&self.world, found, ask.now, plan)
            }
        };
        if let (Some(sold), Some(call)) = (plan.candidates.sold, call)
            && let Some(call) = self.calls.get_mut(call)
        {
            call.sold = Some(sold);
        }
        planned
    }

    /// Keeps the names of a call for its record.
    fn keep_identity(
        &mut self,
        (call, trunk): (SlotId, TrunkId),
        message: &Message<'_>,
        called: &[u8],
        route: Option<RouteId>,
    ) {
        let (from, to) = (message.from_uri(), message.to_uri());
        let (calling, role) = calling_uri(message, is_believed(&self.world, trunk));
        let calling = user_of(calling);
        let rewritten = self.world.rewrite(trunk, role, calling);
        let calling = rewritten.as_ref().map_or(calling, Rewritten::user);
        let prefix = route.map_or("", |route| self.world.prefix(route));
        let mut text = std::mem::take(&mut self.record_text);
        text.clear();
        let cap = self.cap_named(call);
        let identity = Identity {
            call_id: message.call_id(),
            from_uri: from,
            to_uri: to,
            request_uri: message.uri(),
            called,
            calling,
            prefix: prefix.as_bytes(),
            cap: cap.as_bytes(),
        };
        identity.write(&mut text);
        if let Some(call) = self.calls.get_mut(call) {
            if let Some(old) = call.identity.take() {
                self.names.remove(old);
            }
            call.identity = self.names.insert(&text);
        }
        self.record_text = text;
    }

    fn take_channel(&mut self, call: SlotId, trunk: TrunkId, now: Time) -> Result<(), Denied> {
        let said = self.world.trunk(trunk).map(|it| (it.limits, it.refuse));
        let (limits, refuse): (CallLimits, Refuse) = said.unwrap_or_default();
        let whose = Limited::Trunk(trunk);
        let taken = self.gauges.take(self.shard, whose, limits, now);
        taken.map_err(|full| {
            let (cause, count) = match full {
                Full::Calls | Full::Window => (Cause::CallLimit, Count::TrunkFull),
                Full::Rate => (Cause::RateLimit, Count::TrunkFast),
            };
            Denied {
                status: refuse.status,
                cause,
                count,
                retry_after_s: refuse.retry_after_s,
            }
        })?;
        if let Some(call) = self.calls.get_mut(call) {
            call.holds_channel = true;
        }
        Ok(())
    }
}

/// Refuses a call that a list forbids.
fn screen(
    world: &Snapshot,
    (trunk, called): (TrunkId, &Number<'_>),
    message: &Message<'_>,
    at: route::Moment,
) -> Result<(), Denied> {
    let denied = |count| Denied {
        status: 403,
        cause: Cause::Blocked,
        count,
        retry_after_s: 0,
    };
    if world.blocks(trunk, Side::Called, called, at).is_some() {
        return Err(denied(Count::BlockedCalled));
    }
    if world.asks_who_calls(trunk)
        && let (uri, role) = calling_uri(message, is_believed(world, trunk))
        && let Ok(uri) = Uri::parse(uri)
        && let Ok(calling) = world.number_of(trunk, role, &uri, &mut NumberBuffer::new())
        && world.blocks(trunk, Side::Calling, &calling, at).is_some()
    {
        return Err(denied(Count::BlockedCalling));
    }
    Ok(())
}

/// Who calls: whom the network vouches for (RFC 3325), or else whom the caller names.
fn calling_uri<'m>(message: &Message<'m>, is_believed: bool) -> (&'m [u8], Role) {
    let named = (message.from_uri(), Role::Calling);
    if !message.has(HeaderId::PAssertedIdentity) || !is_believed {
        return named;
    }
    let asserted = listed(message, HeaderId::PAssertedIdentity);
    let asserted = asserted.and_then(|value| NameAddr::parse(value).ok());
    asserted.map_or(named, |asserted| (asserted.uri, Role::Asserted))
}

/// Whether what a trunk asserts is worth more than what its callers say (RFC 3325 §5).
#[inline]
fn is_believed(world: &Snapshot, trunk: TrunkId) -> bool {
    !world.has_borders() || !has_untrusted_border(world, trunk)
}

#[cold]
fn has_untrusted_border(world: &Snapshot, trunk: TrunkId) -> bool {
    let border = world.trunk(trunk).and_then(|trunk| trunk.border());
    border.is_some_and(|border| border.is_untrusted())
}

/// A preloaded Route beyond us is followed only where routing itself could lead, and at no price that
/// it would not have paid.
fn plan_by_route(
    world: &Snapshot,
    ask: &Ask<'_>,
    next: &[u8],
    plan: &mut Plan,
) -> Result<(), Denied> {
    let foreign = Denied {
        status: 403,
        cause: Cause::Rejected,
        count: Count::ForeignTarget,
        retry_after_s: 0,
    };
    let hop = Uri::parse(next).map(|uri| next_hop::hop(&uri));
    let Ok(next_hop::Hop::Address(transport, address)) = hop else {
        return Err(foreign);
    };
    let transport = transport.unwrap_or(base::Transport::Udp);
    let gateway = world.egress(address, transport).ok_or(foreign)?;
    let named = world.named(ask, gateway);
    plan.candidates = named.map_err(|why| match why {
        NotThere::NoRoute(why) => no_route(why),
        NotThere::Kept => foreign,
    })?;
    plan.attempts_left = 1;
    plan.by_route = true;
    Ok(())
}

fn no_route(why: NoRoute) -> Denied {
    Denied {
        status: 404,
        cause: Cause::NoRoute,
        count: match why {
            NoRoute::NoPrefix => Count::NoRoute,
            NoRoute::NotSold => Count::NotSold,
        },
        retry_after_s: 0,
    }
}

/// The route's rules for its candidates, which are in the plan already.
fn plan_by_number(
    world: &Snapshot,
    route: Result<RouteId, NoRoute>,
    now: Time,
    plan: &mut Plan,
) -> Result<(), Denied> {
    let route = world.route(route.map_err(no_route)?);
    plan.advance = route.advance;
    plan.attempts_left = route.attempts_max;
    plan.ring_ms = route.ring_ms;
    if route.setup_ms > 0 {
        plan.until = now.plus_millis(u64::from(route.setup_ms));
    }
    plan.fork_at_once(route.mode == Mode::Parallel);
    match plan.has_next(now) {
        true => Ok(()),
        false => Err(Denied {
            status: 503,
            cause: Cause::NoGateway,
            count: Count::NoGateway,
            retry_after_s: 0,
        }),
    }
}

/// A moment as prices have it.
pub(crate) fn moment(wall: Wall) -> route::Moment {
    route::Moment::at(wall.0.div_euclid(1_000_000))
}

/// The user part of a URI that only a record will show: not worth taking all of it apart.
fn user_of(uri: &[u8]) -> &[u8] {
    if let [b's', b'i', b'p', b':', rest @ ..] = uri
        && let Some(at) = memchr::memchr2(b'@', b':', rest)
        && rest[at] == b'@'
    {
        return &rest[..at];
    }
    any_user_of(uri)
}

#[cold]
fn any_user_of(uri: &[u8]) -> &[u8] {
    let is_tel = uri
        .get(..4)
        .is_some_and(|it| it.eq_ignore_ascii_case(b"tel:"));
    let Some(colon) = uri.iter().position(|&octet| octet == b':') else {
        return b"";
    };
    let rest = &uri[colon + 1..];
    let mut user = None;
    for (at, &octet) in rest.iter().enumerate() {
        match octet {
            b'@' => return &rest[..user.unwrap_or(at)],
            b';' if is_tel => return &rest[..at],
            b':' => user = user.or(Some(at)),
            _ => {}
        }
    }
    if is_tel { rest } else { b"" }
}

fn rejected(status: u16) -> Denied {
    Denied {
        status,
        cause: Cause::Rejected,
        count: Count::BadNumber,
        retry_after_s: 0,
    }
}

fn breadth(message: &Message<'_>) -> Result<u32, Denied> {
    proxy::breadth(message).map_err(|refusal| rejected(refusal.status()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_part_for_a_record_is_that_of_the_uri() {
        for uri in [
            &b"sip:+12025550100@192.0.2.1;user=phone"[..],
            b"sip:alice:secret@a.example",
            b"sips:a;b=c@a.example",
            b"sip:a.example:5060;transport=tcp",
            b"SIP:1@a.example",
            b"tel:+12025550100;phone-context=a",
            b"TEL:+12025550100",
        ] {
            let parsed = Uri::parse(uri).expect("a URI");
            assert_eq!(user_of(uri), parsed.user, "{}", uri.escape_ascii());
        }
        assert_eq!(user_of(b"nothing"), b"");
    }
}
