//! RFC 7339 between neighbours: what we tell those that send us calls, and what we are told by those
//! that we send calls to.
//!
//! ```text
//!   neighbour ──;oc──▶ request ─▶ noted here      its Via goes on without the parameters (§5.6)
//!   neighbour ◀─;oc=20;… response ◀─ with_advice
//!   request ─▶ our Via;oc ──▶ gateway             if the gateway is configured for it
//!   hear_load ◀─ our Via;oc=20;… ◀── response     the next calls for it: is_throttled
//! ```

use std::net::SocketAddr;

use base::{Flow, GatewayId, PacketId, Time};
use memchr::memmem::Finder;
use overload::{Advice, Algorithm, Kind, Params, Throttle};
use route::Snapshot;
use shards::Inbound;
use sip::{Edits, Message};

use crate::admission::source_id;
use crate::counters::{Count, GatewayCell};
use crate::paths::Text;
use crate::{Out, Router};

/// What our Via offers to a gateway.
const OFFER: &[u8] = b";oc;oc-algo=\"loss,rate\"";
/// The longest branch of ours with the offer behind it.
pub(crate) type Offered = Text<96>;

/// How many neighbours that obey are known at a time; a new one takes the place of the oldest of its
/// few, which is noted again with its next request.
const NEIGHBOURS_MAX: usize = 1_024;
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    peer: SocketAddr,
    /// The port of its Via: where answers go that no `rport` leads elsewhere.
    via_port: u16,
    algorithm: Algorithm,
    source: overload::SourceId,
    seen: Time,
}

/// What is known of both kinds of neighbours. One a shard.
pub(crate) struct Neighbours {
    mark: Finder<'static>,
    upstream: Vec<Option<Neighbour>>,
    upstream_count: usize,
    /// By address, sorted: the gateways that are asked for feedback.
    downstream: Vec<(SocketAddr, Throttle)>,
}

impl Neighbours {
    pub(crate) fn new(gateways_max: usize) -> Neighbours {
        Neighbours {
            mark: Finder::new(b";oc"),
            upstream: vec![None; NEIGHBOURS_MAX],
            upstream_count: 0,
            downstream: Vec::with_capacity(gateways_max),
        }
    }

    /// Takes the gateways of a new world; what is known of those that stay, stays.
    pub(crate) fn follow(&mut self, world: &Snapshot) {
        let asks = |peer: &SocketAddr| {
            let mut gateways = world.gateways();
            gateways.any(|it| it.overload_control && it.address == *peer)
        };
        self.downstream.retain(|(peer, _)| asks(peer));
        for gateway in world.gateways().filter(|it| it.overload_control) {
            if let Err(at) = self.place(&gateway.address) {
                self.downstream
                    .insert(at, (gateway.address, Throttle::new()));
            }
        }
    }

    fn place(&self, peer: &SocketAddr) -> Result<usize, usize> {
        self.downstream.binary_search_by(|entry| entry.0.cmp(peer))
    }

    fn throttle(&mut self, peer: &SocketAddr) -> Option<&mut Throttle> {
        if self.downstream.is_empty() {
            return None;
        }
        let at = self.place(peer).ok()?;
        Some(&mut self.downstream[at].1)
    }

    fn set_of(peer: &SocketAddr) -> usize {
        // Only configured sources get here, so nobody can choose what collides.
        let ip = match peer.ip() {
            std::net::IpAddr::V4(ip) => u64::from(ip.to_bits()),
            std::net::IpAddr::V6(ip) => (ip.to_bits() ^ (ip.to_bits() >> 64)) as u64,
        };
        let mixed = ip.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize * WAYS
    }

    fn find(&self, peer: &SocketAddr) -> Option<&Neighbour> {
        let start = Neighbours::set_of(peer);
        let set = &self.upstream[start..start + WAYS];
        let is_same = |known: &&Neighbour| {
            let ports = [known.peer.port(), known.via_port];
            known.peer.ip() == peer.ip() && ports.contains(&peer.port())
        };
        set.iter().flatten().find(is_same)
    }

    fn note(&mut self, neighbour: Neighbour) {
        let start = Neighbours::set_of(&neighbour.peer);
        let set = &mut self.upstream[start..start + WAYS];
        let same = |slot: &Option<Neighbour>| slot.is_some_and(|it| it.peer == neighbour.peer);
        let at = set.iter().position(same).unwrap_or_else(|| {
            let oldest = |at: &usize| set[*at].map_or(Time::ZERO, |it| it.seen);
            (0..WAYS).min_by_key(oldest).unwrap_or(0)
        });
        // Its algorithm is chosen once (RFC 7339 §5.1) and kept as long as it speaks to us.
        let algorithm = set[at]
            .filter(|known| known.peer == neighbour.peer)
            .map_or(neighbour.algorithm, |known| known.algorithm);
        self.upstream_count += usize::from(set[at].is_none());
        set[at] = Some(Neighbour {
            algorithm,
            ..neighbour
        });
    }
}

impl Router {
    /// A request: notes whether its sender obeys feedback.
    pub(crate) fn note_neighbour(
        &mut self,
        message: &Message<'_>,
        inbound: &Inbound<'_>,
        out: &Out,
    ) {
        if !self.settings.overload.feedback || !message.via_has_more() {
            return;
        }
        let via = message.via_text();
        if self.neighbours.mark.find(via).is_none() {
            return;
        }
        let Some(offer) = Params::read(via).filter(|read| read.is_there) else {
            return;
        };
        // Strangers learn nothing of our load.
        let Some(trunk) = self.source(inbound).trunk else {
            return;
        };
        let source = source_id(Some(trunk));
        self.gate.admission.advise(source);
        self.neighbours.note(Neighbour {
            peer: inbound.flow.peer,
            via_port: message.via().port_or_default(),
            algorithm: offer.choose(self.gate.admission.algorithm()),
            source,
            seen: out.now(),
        });
    }

    /// A response that goes to a neighbour: with what it is told, if it asked, in its own Via. Takes
    /// the packet and gives the one that is to be sent.
    pub(crate) fn with_advice(&mut self, packet: PacketId, to: &Flow, out: &mut Out) -> PacketId {
        if self.neighbours.upstream_count == 0 {
            return packet;
        }
        let Some(neighbour) = self.neighbours.find(&to.peer) else {
            return packet;
        };
        // Both clocks run on: their difference is when the one began.
        let epoch_us = (out.wall().0 as u64).saturating_sub(out.now().0);
        let advice = self.gate.admission.advice(
            neighbour.source,
            neighbour.algorithm,
            self.settings.shards,
            epoch_us,
        );
        let mut text = [0; Advice::BYTES_MAX];
        let len = advice.write(&mut text);
        let Some(told) = out.packet(out.bytes(packet).len() + len) else {
            self.count(Count::PacketsFull, out);
            return packet;
        };
        let mut bytes = std::mem::take(&mut self.advice_text);
        bytes.clear();
        bytes.extend_from_slice(out.bytes(packet));
        let written = rewrite_top_via(&bytes, &text[..len], out.buffer(told));
        self.advice_text = bytes;
        let Some(written) = written else {
            out.release(told);
            return packet;
        };
        out.set_len(told, written);
        out.release(packet);
        self.count(Count::FeedbackSent, out);
        told
    }

    /// Whether the sender of a request says something of overload control.
    pub(crate) fn has_feedback(&self, message: &Message<'_>) -> bool {
        message.via_has_more() && self.neighbours.mark.find(message.via_text()).is_some()
    }

    /// Takes off what the sender of a request says of overload control: it is for us (§5.6).
    pub(crate) fn strip_feedback(mark: &Neighbours, message: &Message<'_>, edits: &mut Edits) {
        let via = message.via_text();
        if mark.mark.find(via).is_none() {
            return;
        }
        let start = message.via().range.start;
        for span in Params::spans(via) {
            edits.remove(start + span.start..start + span.end);
        }
    }

    /// Our branch with the offer behind it, if this peer is to tell us how it is.
    pub(crate) fn offer_feedback(&mut self, branch: &[u8], peer: &SocketAddr) -> Option<Offered> {
        self.neighbours.throttle(peer)?;
        let mut text = Offered::new();
        text.put(branch);
        text.put(OFFER);
        Some(text)
    }

    /// A request inside a call goes to this peer: it counts, and is never held back.
    pub(crate) fn count_in_dialog(&mut self, peer: &SocketAddr, out: &Out) {
        if let Some(throttle) = self.neighbours.throttle(peer) {
            let _always = throttle.admit(out.now(), Kind::InDialog, 0);
        }
    }

    /// What a gateway says of its load, in our own Via of its response.
    pub(crate) fn hear_load(&mut self, message: &Message<'_>, peer: &SocketAddr, out: &Out) {
        if self.neighbours.downstream.is_empty() {
            return;
        }
        let via = message.via_text();
        if self.neighbours.mark.find(via).is_none() {
            return;
        }
        let (Some(params), Some(throttle)) = (Params::read(via), self.neighbours.throttle(peer))
        else {
            return;
        };
        if throttle.hear(out.now(), &params) {
            self.count(Count::FeedbackHeard, out);
        }
    }

    /// Whether a gateway has asked not to be sent this new request.
    pub(crate) fn is_throttled(
        &mut self,
        id: GatewayId,
        address: &SocketAddr,
        message: &Message<'_>,
        out: &mut Out,
    ) -> bool {
        if self.neighbours.downstream.is_empty() {
            return false;
        }
        let (now, dice) = (out.now(), out.random() as u32);
        let Some(throttle) = self.neighbours.throttle(address) else {
            return false;
        };
        let kind = match crate::admission::is_urgent(message) {
            true => Kind::Urgent,
            false => Kind::New,
        };
        if throttle.admit(now, kind, dice) {
            return false;
        }
        self.count(Count::Throttled, out);
        self.count_gateway(id, GatewayCell::Throttled, out);
        true
    }

    /// What the gateways asked for, for the operator: per cent to cut, or calls a second.
    pub(crate) fn show_throttles(&self, out: &Out) {
        if self.neighbours.downstream.is_empty() {
            return;
        }
        for gateway in self.world.gateways().filter(|it| it.overload_control) {
            let Ok(at) = self.neighbours.place(&gateway.address) else {
                continue;
            };
            let in_force = self.neighbours.downstream[at].1.in_force(out.now());
            let (cut, rate) = match in_force {
                None => (0, 0),
                Some((Algorithm::Loss, cut)) => (cut, 0),
                Some((Algorithm::Rate, rate)) => (0, rate),
            };
            self.set_gateway(gateway.id, GatewayCell::Cut, u64::from(cut), out);
            self.set_gateway(gateway.id, GatewayCell::Rate, u64::from(rate), out);
        }
    }
}

/// Writes a response with `text` at the end of its topmost Via value, in the place of what that says
/// of overload control. `None`: it does not fit.
fn rewrite_top_via(bytes: &[u8], text: &[u8], out: &mut [u8]) -> Option<usize> {
    let value = top_via(bytes)?;
    let via = &bytes[value.clone()];
    let mut len = 0;
    let mut put = |piece: &[u8]| {
        let slot = out.get_mut(len..len + piece.len())?;
        slot.copy_from_slice(piece);
        len += piece.len();
        Some(())
    };
    put(&bytes[..value.start])?;
    let mut at = 0;
    for span in Params::spans(via) {
        put(&via[at..span.start])?;
        at = span.end;
    }
    put(&via[at..])?;
    put(text)?;
    put(&bytes[value.end..])?;
    Some(len)
}

/// Where the first Via value of a message stands.
fn top_via(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut at = memchr::memchr(b'\n', bytes)? + 1;
    // What we write has its Via first; what we pass on may have it anywhere.
    for _ in 0..sip::limits::HEADERS_MAX {
        let line = &bytes[at..];
        let end = memchr::memchr(b'\n', line)?;
        let name = memchr::memchr(b':', &line[..end]).unwrap_or(0);
        let word = line[..name].trim_ascii_end();
        if word.eq_ignore_ascii_case(b"via") || word.eq_ignore_ascii_case(b"v") {
            let start = at + name + 1;
            return Some(start..start + value_len(&bytes[start..]));
        }
        if line.starts_with(b"\r") || end == 0 {
            return None;
        }
        at += end + 1;
    }
    None
}

/// Up to the comma or the line end, whichever comes first and is not quoted.
fn value_len(line: &[u8]) -> usize {
    let mut is_quoted = false;
    let mut at = 0;
    while let Some(&octet) = line.get(at) {
        match octet {
            b'\\' if is_quoted => at += 1,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => break,
            b'\r' | b'\n' => break,
            _ => {}
        }
        at += 1;
    }
    at.min(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(message: &str) -> String {
        let bytes = message.replace('\n', "\r\n").into_bytes();
        let mut out = vec![0; bytes.len() + 64];
        let len = rewrite_top_via(&bytes, b";oc=20", &mut out).expect("it fits");
        String::from_utf8(out[..len].to_vec())
            .unwrap()
            .replace("\r\n", "\n")
    }

    #[test]
    fn only_the_first_value_is_told() {
        for (message, want) in [
            (
                "SIP/2.0 180 Ringing\nVia: SIP/2.0/UDP a;branch=b;oc;oc-algo=\"loss,A\"\nTo: x\n\n",
                "SIP/2.0 180 Ringing\nVia: SIP/2.0/UDP a;branch=b;oc=20\nTo: x\n\n",
            ),
            (
                "SIP/2.0 200 OK\nTo: x\nv : SIP/2.0/UDP a;oc=9;x=\"a,b\", SIP/2.0/UDP c;oc=1\n\n",
                "SIP/2.0 200 OK\nTo: x\nv : SIP/2.0/UDP a;x=\"a,b\";oc=20, SIP/2.0/UDP c;oc=1\n\n",
            ),
        ] {
            assert_eq!(rewritten(message), want);
        }
        let mut out = [0; 8];
        assert_eq!(
            rewrite_top_via(b"SIP/2.0 200 OK\r\nVia: a\r\n\r\n", b"", &mut out),
            None
        );
        assert_eq!(
            rewrite_top_via(b"SIP/2.0 200 OK\r\n\r\nVia: a\r\n", b"", &mut [0; 99]),
            None
        );
    }

    #[test]
    fn neighbours_are_bounded_and_keep_their_algorithm() {
        let mut known = Neighbours::new(1);
        let peer = |at: u32| SocketAddr::from((std::net::Ipv4Addr::from_bits(at), 5060));
        let neighbour = |at: u32, algorithm| Neighbour {
            peer: peer(at),
            via_port: 5060,
            algorithm,
            source: overload::SourceId(0),
            seen: Time(u64::from(at)),
        };
        for at in 0..100_000 {
            known.note(neighbour(at, Algorithm::Rate));
        }
        assert!(known.upstream_count <= NEIGHBOURS_MAX);
        known.note(neighbour(99_999, Algorithm::Loss));
        assert_eq!(
            known.find(&peer(99_999)).unwrap().algorithm,
            Algorithm::Rate
        );
    }
}
