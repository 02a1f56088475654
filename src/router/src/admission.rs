//! Who is let in, before the parse.
//!
//! ```text
//!   delay ──▶ Admission                    calm: count the demand, go on to the parser
//!   request ─▶ known source? ──▶ its class ─▶ admitted: go on
//!                 │ no                        later:    put off, then go on; too late: refused
//!                 ▼ dropped unread            refused:  503 from a sketch, nothing kept
//!                                             dropped:  nothing
//! ```
//!
//! What belongs to a call, and every copy of a request that was taken, goes on whatever the load. The
//! 503 has no Retry-After (RFC 7339 §5.10): a caller that obeyed it would send nobody at all.
//!
//! Cost: in calm one table lookup for the source, which the path needs anyway, and a few comparisons;
//! a refusal is a pass over the header lines, three keyed hashes and a copy of six lines.

use base::{Flow, SlotId, Time, TrunkId};
use call::token::BranchMark;
use memchr::memmem::Finder;
use overload::{Admission, Class, Decision, SourceId};
use shards::{Brought, Inbound, Rank};
use sip::shed::{Refusal, Sketch, sketch};
use sip::{HeaderId, Message, Method, Via, parse, response_route};
use transaction::Match;

use crate::accepted::Interest;
use crate::counters::{Count, TrunkCell};
use crate::request::Source;
use crate::{Out, Router};

/// The ACK of a refusal comes within the time that its INVITE may live (64*T1).
const ACK_MS: u64 = 32_000;
/// What our Record-Route leaves in each request of a call, wherever that is.
const TOKEN_MARK: &[u8] = b";tl=";
/// Sets the hashes of refusals apart from all others.
const SHED: &[u8] = b"shed";

/// What a router keeps to let requests in.
pub(crate) struct Gate {
    pub(crate) admission: Admission,
    token_mark: Finder<'static>,
    /// Until when ACKs of refusals may come.
    acks_until: Time,
    /// What the kernel had dropped of each source when it was looked at last. Empty: it never was
    /// told to.
    shed: Vec<u64>,
    /// The second that is counted, and how many strangers were answered in it.
    strangers: (u64, u32),
}

/// How a datagram looks by its first octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// A response, or nothing that is known.
    Other,
    Ack,
    /// CANCEL, BYE, PRACK and all that only ever belongs to something.
    Attached,
    Invite,
    /// A request that may begin something.
    Request,
}

/// What becomes of a message before it is parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LetIn {
    /// It is done with.
    Done,
    /// A request from here; go on.
    From(Source),
    /// Go on; nobody has looked who sent it.
    Unseen,
}

/// By whole words, since every message is asked.
#[inline]
fn look(bytes: &[u8]) -> Look {
    const fn word(text: &[u8; 4]) -> u32 {
        u32::from_be_bytes(*text)
    }
    const RESPONSE: u32 = word(b"SIP/");
    const INVITE: u32 = word(b"INVI");
    const ACK: u32 = word(b"ACK ");
    const BYE: u32 = word(b"BYE ");
    const CANCEL: u32 = word(b"CANC");
    const PRACK: u32 = word(b"PRAC");
    const UPDATE: u32 = word(b"UPDA");
    match bytes.first_chunk().map_or(0, word) {
        RESPONSE => Look::Other,
        INVITE => Look::Invite,
        ACK => Look::Ack,
        BYE | CANCEL | PRACK | UPDATE => Look::Attached,
        _ => match bytes {
            [b'A'..=b'Z', b'A'..=b'Z', ..] => Look::Request,
            _ => Look::Other,
        },
    }
}

impl Gate {
    pub(crate) fn new(settings: &crate::Settings) -> Gate {
        let overload = &settings.overload;
        Gate {
            admission: Admission::new(overload.rules, overload.trunks_max),
            token_mark: Finder::new(TOKEN_MARK),
            acks_until: Time::ZERO,
            shed: Vec::with_capacity(overload.trunks_max + 1),
            strangers: (0, 0),
        }
    }

    /// Takes the weights of a new world.
    pub(crate) fn follow(&mut self, world: &route::Snapshot) {
        for trunk in world.trunks() {
            let source = source_id(Some(trunk.id));
            self.admission.set_weight(source, trunk.overload_weight);
        }
    }

    /// Whether one more stranger may be answered in this second.
    fn answers_stranger(&mut self, now: Time, max: u32) -> bool {
        let second = now.0 / 1_000_000;
        if self.strangers.0 != second {
            self.strangers = (second, 0);
        }
        self.strangers.1 += 1;
        self.strangers.1 <= max
    }
}

/// All sources without a trunk share one number.
pub(crate) fn source_id(trunk: Option<TrunkId>) -> SourceId {
    SourceId(trunk.map_or(u32::MAX, |trunk| trunk.0))
}

/// An emergency call by its Request-URI (RFC 5031): `urn:service:sos` or a service under it.
fn is_emergency(uri: &[u8]) -> bool {
    const SOS: &[u8] = b"urn:service:sos";
    let head = uri.get(..SOS.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(SOS))
        && matches!(uri.get(SOS.len()), None | Some(b'.'))
}

/// Whether a request is one of those that are refused last.
pub(crate) fn is_urgent(message: &Message<'_>) -> bool {
    is_emergency(message.uri())
        || message
            .lines_of(HeaderId::ResourcePriority)
            .next()
            .is_some()
}

impl Router {
    /// Looks at a message before it is parsed: of a request it is then known who sent it.
    #[inline]
    pub(crate) fn let_in(&mut self, inbound: &Inbound<'_>, out: &mut Out) -> LetIn {
        let delay_us = out.now().micros_since(inbound.received);
        if inbound.brought == Brought::PutOff {
            return self.let_in_late(inbound, delay_us, out);
        }
        self.gate.admission.observe(out.now(), delay_us);
        if self.gate.admission.has_bounds() {
            self.tell_kernel(out);
        }
        let look = look(inbound.bytes);
        if look == Look::Other {
            return LetIn::Unseen;
        }
        let source = self.source(inbound);
        let is_done = match source.is_known() {
            true => self.is_shut_out(source, look, inbound, delay_us, out),
            false => self.is_unread(look, inbound, out),
        };
        match is_done {
            true => LetIn::Done,
            false => LetIn::From(source),
        }
    }

    /// Whether a request of a known source is done with.
    #[inline]
    fn is_shut_out(
        &mut self,
        source: Source,
        look: Look,
        inbound: &Inbound<'_>,
        delay_us: u64,
        out: &mut Out,
    ) -> bool {
        match look {
            Look::Invite | Look::Request => {
                let (id, is_late) = (
                    source_id(source.trunk),
                    self.gate.admission.is_late(delay_us),
                );
                if self.gate.admission.is_limiting() || is_late {
                    return self.is_refused(source, look, inbound, delay_us, out);
                }
                let class = match look {
                    Look::Invite => Class::Call,
                    _ => Class::Other,
                };
                // Nothing is refused in calm: this counts the demand.
                let _admitted = self.gate.admission.decide(id, class, delay_us, 0);
                false
            }
            Look::Ack | Look::Attached => {
                let is_of_refusal = look == Look::Ack && out.now() < self.gate.acks_until;
                let has_put_off = look == Look::Attached && out.has_put_off();
                (is_of_refusal && self.is_ack_of_refusal(inbound, out))
                    || (has_put_off && self.waits_for_its_invite(inbound, out))
                    || self.waits_with_its_source(source, inbound, out)
            }
            Look::Other => false,
        }
    }

    /// A stranger: what does not belong to a call of ours is dropped unread, unless it is to be told.
    fn is_unread(&mut self, look: Look, inbound: &Inbound<'_>, out: &mut Out) -> bool {
        // A side of a call may send from where it likes, but then our Route is in it. ACK and CANCEL
        // are matched to their INVITE: its trunk may have gone from the configuration meanwhile.
        if self.gate.token_mark.find(inbound.bytes).is_some() {
            return false;
        }
        if matches!(look, Look::Ack | Look::Attached) && !self.gate.admission.is_limiting() {
            return false;
        }
        let is_told = self.world.unknown_source() == route::UnknownSource::Refuse
            && !self.gate.admission.is_limiting();
        let max = self.settings.overload.stranger_answers_max;
        if is_told && self.gate.answers_stranger(out.now(), max) {
            return false;
        }
        self.count(Count::Requests, out);
        self.count(Count::UnknownSource, out);
        self.count(Count::StrangersUnread, out);
        match look {
            Look::Ack => self.count(Count::AcksDropped, out),
            _ => self.count(Count::Unanswered, out),
        }
        true
    }

    /// A request of a known source while not all can be taken.
    #[cold]
    fn is_refused(
        &mut self,
        source: Source,
        look: Look,
        inbound: &Inbound<'_>,
        delay_us: u64,
        out: &mut Out,
    ) -> bool {
        let Some(seen) = sketch(inbound.bytes) else {
            // The parser knows what is wrong with it.
            return false;
        };
        if self.is_elsewhere(&seen, inbound) {
            // Its owner is asked, who may know it already.
            return false;
        }
        if !seen.to_tag().is_empty() {
            return self.waits_with_its_source(source, inbound, out);
        }
        let class = if is_emergency(seen.uri) || seen.has_priority {
            Class::Priority
        } else if look == Look::Invite {
            Class::Call
        } else {
            Class::Other
        };
        let keys = &self.settings.keys;
        let coin = keys.routed(
            keys.routed_none(),
            [SHED, seen.call_id, seen.via.branch].into_iter(),
        );
        let id = source_id(source.trunk);
        let decision = self.gate.admission.decide(id, class, delay_us, coin);
        match decision {
            Decision::Admit => return false,
            Decision::Later => return out.put_off(inbound, Rank::Last),
            Decision::Refuse | Decision::Drop => {}
        }
        match self.table.holds(&seen.via, seen.method_name) {
            Some(true) => return false,
            Some(false) => {}
            None => return self.is_refused_parsed(source, inbound, out),
        }
        self.count(Count::Requests, out);
        match decision {
            Decision::Drop => {
                self.count(Count::OverloadDropped, out);
                self.count(Count::Unanswered, out);
            }
            _ => {
                self.count_refused(source.trunk, class, out);
                self.refuse_sketched(&seen, inbound, out);
            }
        }
        true
    }

    /// Whether another shard owns what the kernel brought here, and nothing is known of it yet.
    fn is_another_shards(&self, inbound: &Inbound<'_>) -> bool {
        inbound.brought == Brought::Steered
            && sketch(inbound.bytes).is_none_or(|seen| self.is_elsewhere(&seen, inbound))
    }

    /// Whether another shard owns what the kernel brought here.
    fn is_elsewhere(&self, seen: &Sketch<'_>, inbound: &Inbound<'_>) -> bool {
        inbound.brought == Brought::Steered && self.owner_of(seen.call_id) != self.shard
    }

    /// A message that was put off and is taken up now. It was admitted; if it has waited too long it is
    /// refused after all.
    #[cold]
    fn let_in_late(&mut self, inbound: &Inbound<'_>, delay_us: u64, out: &mut Out) -> LetIn {
        let look = look(inbound.bytes);
        if look == Look::Other {
            return LetIn::Unseen;
        }
        let source = self.source(inbound);
        let class = match look {
            Look::Invite => Class::Call,
            Look::Request => Class::Other,
            // It never was asked for admission.
            _ => return LetIn::From(source),
        };
        // What belongs to a call was not admitted either.
        let seen = sketch(inbound.bytes).filter(|seen| seen.to_tag().is_empty());
        let Some(seen) = seen else {
            return LetIn::From(source);
        };
        let admission = &mut self.gate.admission;
        admission.observe_later(out.now(), class, delay_us);
        if admission.is_late(delay_us)
            && self.table.holds(&seen.via, seen.method_name) == Some(false)
        {
            self.count(Count::Requests, out);
            self.count_refused(source.trunk, class, out);
            self.refuse_sketched(&seen, inbound, out);
            return LetIn::Done;
        }
        LetIn::From(source)
    }

    /// Whether a CANCEL is put off, since the INVITE that it means may be: it comes after it.
    #[cold]
    fn waits_for_its_invite(&mut self, inbound: &Inbound<'_>, out: &mut Out) -> bool {
        let Some(seen) = sketch(inbound.bytes) else {
            return false;
        };
        seen.method == Method::Cancel
            && !self.is_elsewhere(&seen, inbound)
            && self.table.holds(&seen.via, b"INVITE") != Some(true)
            && out.put_off(inbound, Rank::Last)
    }

    /// Whether what belongs to a call is put off, since its trunk asks for clearly more than its share:
    /// all that belongs to others goes first. Never refused, and before any new request of that trunk.
    #[inline]
    fn waits_with_its_source(&self, source: Source, inbound: &Inbound<'_>, out: &mut Out) -> bool {
        self.gate.admission.can_wait(source_id(source.trunk))
            && !self.is_another_shards(inbound)
            && out.put_off(inbound, Rank::First)
    }

    /// The same for a response, which comes from whom the call was sent to.
    #[inline]
    pub(crate) fn waits_with_its_call(
        &self,
        (client, mark): (SlotId, BranchMark),
        inbound: &Inbound<'_>,
        out: &mut Out,
    ) -> bool {
        self.gate.admission.is_limiting()
            && inbound.brought != Brought::PutOff
            && self.is_of_the_greedy(client, mark)
            && out.put_off(inbound, Rank::First)
    }

    /// Whether what a client transaction has sent came from a trunk that asks for clearly more than its
    /// share.
    #[cold]
    fn is_of_the_greedy(&self, client: SlotId, mark: BranchMark) -> bool {
        let slot = self.table.client_ref(client);
        let slot = slot.filter(|slot| slot.mark() == mark && Interest::is_branch(slot.user_tag()));
        let trunk = slot.and_then(|slot| self.trunk_of(slot.user()));
        trunk.is_some_and(|trunk| self.gate.admission.can_wait(source_id(Some(trunk))))
    }

    fn count_refused(&self, trunk: Option<TrunkId>, class: Class, out: &Out) {
        self.count(Count::Refused, out);
        let reason = match class {
            Class::Priority => Count::OverloadPriority,
            Class::Call => Count::Overload,
            Class::Other => Count::OverloadOther,
        };
        self.count(reason, out);
        if let Some(trunk) = trunk {
            self.count_trunk(trunk, TrunkCell::Refused, out);
        }
    }

    /// A client older than RFC 3261: only its whole request says which transaction it is of.
    #[cold]
    fn is_refused_parsed(&mut self, source: Source, inbound: &Inbound<'_>, out: &mut Out) -> bool {
        let mut index = self.take_index();
        let mut is_done = false;
        if let Ok(message) = parse(inbound.bytes, &mut index)
            && matches!(self.table.match_request(&message), Match::New(_))
        {
            self.count(Count::Requests, out);
            self.count_refused(source.trunk, Class::Call, out);
            self.answer_once(&message, 503, &[], &inbound.flow, out);
            is_done = true;
        }
        self.put_index(index);
        is_done
    }

    /// 503, without Retry-After, and nothing is kept of it.
    fn refuse_sketched(&mut self, seen: &Sketch<'_>, inbound: &Inbound<'_>, out: &mut Out) {
        let tag = self.shed_tag(seen);
        let refusal = Refusal {
            status: b"503 Service Unavailable",
            to_tag: &tag,
            source: inbound.flow.peer,
        };
        let Some(packet) = out.packet(seen.len_max(&refusal)) else {
            return self.count(Count::PacketsFull, out);
        };
        if let Some(len) = seen.refuse(&refusal, out.buffer(packet)) {
            out.set_len(packet, len);
            let flow = reply_to(&seen.via, &inbound.flow);
            let packet = self.with_advice(packet, &inbound.flow, out);
            out.send(&flow, packet, 0);
            self.gate.acks_until = out.now().plus_millis(ACK_MS);
            out.release(packet);
        } else {
            out.release(packet);
        }
    }

    fn shed_tag(&self, seen: &Sketch<'_>) -> [u8; 13] {
        let branch = seen.via.branch;
        self.settings.keys.tag(SHED, seen.call_id, branch)
    }

    /// Whether an ACK is for a refusal of which nothing was kept: its tag says so.
    #[cold]
    fn is_ack_of_refusal(&mut self, inbound: &Inbound<'_>, out: &mut Out) -> bool {
        let Some(seen) = sketch(inbound.bytes) else {
            return false;
        };
        if seen.method != Method::Ack || seen.to_tag() != self.shed_tag(&seen) {
            return false;
        }
        self.count(Count::Requests, out);
        self.count(Count::AcksDropped, out);
        self.count(Count::OverloadAcks, out);
        true
    }

    /// Tells the kernel how much of whose requests it is to let through.
    #[cold]
    fn tell_kernel(&mut self, out: &mut Out) {
        let now = out.now();
        let Gate {
            admission, shed, ..
        } = &mut self.gate;
        let Some(kernel) = out.gate() else {
            return admission.tell_bounds(|_, _| {});
        };
        admission.tell_bounds(|place, bound| kernel.set(place, bound, now));
        // Within its capacity.
        shed.resize(self.settings.overload.trunks_max + 1, 0);
    }

    /// Lets the admission see that time passes, and counts what the kernel dropped.
    pub(crate) fn watch_kernel(&mut self, out: &mut Out) {
        let now = out.now();
        let Some(kernel) = out.gate() else { return };
        kernel.tick(now);
        if !self.settings.overload.sheds_in_kernel {
            return;
        }
        self.gate.admission.use_kernel();
        self.gate.admission.tick(now);
        if self.gate.admission.has_bounds() {
            self.tell_kernel(out);
        }
        let others = self.gate.shed.len().saturating_sub(1);
        for place in 0..self.gate.shed.len() {
            let dropped = out.gate().map_or(0, |kernel| kernel.dropped(place));
            let before = std::mem::replace(&mut self.gate.shed[place], dropped);
            let more = dropped.saturating_sub(before);
            if more == 0 {
                continue;
            }
            out.stats().add(Count::KernelDropped as usize, more);
            if place < others {
                let trunk = TrunkId(place as u32);
                self.count_trunk_by(trunk, TrunkCell::KernelDropped, more, out);
            }
        }
    }

    /// What the operator sees of all this.
    pub(crate) fn show_overload(&self, out: &Out) {
        let admission = &self.gate.admission;
        let page = out.stats();
        let per_mille = (admission.share() * 1_000.0).round().clamp(0.0, 1_000.0);
        page.set(Count::AdmittedShare as usize, per_mille as u64);
        page.set(Count::QueueDelay as usize, admission.delay_us());
        let limit = admission.limit().map_or(0, |limit| limit.ceil() as u64);
        page.set(Count::CallLimit as usize, limit);
    }
}

/// Where responses to a request go: over its own connection, or by its Via. A Via may name another
/// port than the datagram's, but never another host: an answer goes to who asked.
pub(crate) fn reply_to(via: &Via<'_>, source: &Flow) -> Flow {
    let mut flow = *source;
    if !flow.transport.is_reliable() {
        let target = response_route::target(via, source.peer);
        let port = if target.port() == 0 {
            source.peer.port()
        } else {
            target.port()
        };
        flow.peer.set_port(port);
    }
    flow
}
