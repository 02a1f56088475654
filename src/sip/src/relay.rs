//! The usual message on its way on, written in one pass.
//!
//! [`forward`](crate::forward) can plan any change. What nearly every message needs is known before:
//! our Via on top and the sender's stamped (RFC 3261 §16.6 step 8, §18.2.1), one hop less (step 3),
//! a Max-Breadth (RFC 5393 §5.3.3), perhaps another Request-URI (step 2), our Record-Route (step 4),
//! our own Route off (§16.4); or, in a response, our Via off (§16.7 step 3). Here these are places in
//! the message, and one walk over it copies what lies between and writes what is ours.
//!
//! ```text
//!   bytes   ░░░uri░░│░░░via│░░│░░░░70░░░│route│░░░░░░░
//!   out     ░░░████░█░░░░░░█░░██░░░██░░░░░░░░░░░░░░░░░    ░ copied  █ ours
//! ```
//!
//! Cost: about a dozen short copies. Most requests have these places in one order, which
//! [`Usual`] knows; in others they are sorted first. Whatever is laid out otherwise still is not
//! touched: the answer is `None`, and the caller plans. That all write the same octets is a property
//! in `tests/properties.rs`.

use std::net::SocketAddr;
use std::ops::Range;

use crate::composer::{Composer, Digits};
use crate::forward::{Stamp, ViaHead, is_alone};
use crate::index::Span;
use crate::{HeaderId, Message};

/// What changes in a request that is passed on.
#[derive(Clone, Copy, Debug)]
pub struct Relay<'a> {
    /// The new Request-URI, if it changes.
    pub uri: Option<&'a [u8]>,
    /// Our Via around its branch.
    pub via: &'a ViaHead,
    /// The branch.
    pub branch: &'a [u8],
    /// Where the request came from: its Via is stamped with it.
    pub source: SocketAddr,
    /// The Max-Forwards that it leaves with.
    pub hops: u8,
    /// The Max-Breadth that it leaves with.
    pub breadth: u32,
    /// Our Record-Route lines in their pieces, the last with its line end; empty for none.
    pub record_route: &'a [&'a [u8]],
    /// How many of the topmost Route values come off.
    pub own_routes: usize,
}

impl Relay<'_> {
    /// Writes the request and returns its length. `None`: it does not fit into `out`, or it is laid
    /// out in a way that only a plan copes with.
    pub fn compose(&self, message: &Message<'_>, out: &mut [u8]) -> Option<usize> {
        let stamp = Stamp::of_top(message, self.source);
        match Usual::of(self, message, &stamp) {
            Some(usual) => self.compose_usual(&usual, message, &stamp, out),
            None => self.compose_any(message, &stamp, out),
        }
    }

    /// Nothing is sorted and nothing asked twice: the places are in this order.
    fn compose_usual(
        &self,
        usual: &Usual,
        message: &Message<'_>,
        stamp: &Stamp,
        out: &mut [u8],
    ) -> Option<usize> {
        let bytes = message.bytes();
        let via_end = usize::from(message.index().via.range.end);
        let mut to = Composer::new(out);
        let mut at = 0;
        if let Some(uri) = self.uri {
            let old = message.uri_range();
            to.put_piece(bytes, 0, old.start);
            to.put(uri);
            at = old.end;
        }
        to.put_piece(bytes, at, usual.top);
        self.put_via(&mut to);
        to.put_piece(bytes, usual.top, usual.rport.start);
        to.put_piece(bytes, usual.rport.end, via_end);
        stamp.text.copy_to(&mut to);
        to.put_piece(bytes, via_end, usual.behind);
        put_line(&mut to, b"Max-Breadth: ", self.breadth);
        to.put_all(self.record_route);
        at = usual.behind;
        for cut in &usual.cuts {
            to.put_piece(bytes, at, cut.start());
            at = cut.end();
            if cut.what == What::Hops {
                to.put_small(self.hops.into());
            }
        }
        to.put_piece(bytes, at, bytes.len());
        to.finish()
    }

    #[inline]
    fn put_via(&self, to: &mut Composer<'_>) {
        to.put_short(&self.via.before);
        to.put_short(self.branch);
        to.put(self.via.after);
    }

    /// As above, wherever the places are.
    #[inline(never)]
    fn compose_any(&self, message: &Message<'_>, stamp: &Stamp, out: &mut [u8]) -> Option<usize> {
        let (index, bytes) = (message.index(), message.bytes());
        let top = index.first(HeaderId::Via)?.start;
        let behind = usize::from(index.last(HeaderId::Via)?.end);
        let mut places = Places::new();
        if self.uri.is_some() {
            places.replace(index.facts.uri, What::Uri);
        }
        places.insert(usize::from(top), What::Via);
        for span in stamp.removed.into_iter().flatten() {
            places.replace(span, What::Nothing);
        }
        places.insert(usize::from(index.via.range.end), What::Stamp);
        match index.first(HeaderId::MaxBreadth) {
            Some(line) => places.replace(line.value, What::Breadth),
            None => places.insert(behind, What::BreadthLine),
        }
        if !self.record_route.is_empty() {
            let first = index.first(HeaderId::RecordRoute);
            let at = first.map_or(behind, |line| usize::from(line.start));
            places.insert(at, What::RecordRoute);
        }
        match index.first(HeaderId::MaxForwards) {
            Some(line) => places.replace(line.value, What::Hops),
            None => places.insert(behind, What::HopsLine),
        }
        let mut routes = index.chain(HeaderId::Route);
        for _ in 0..self.own_routes {
            let line = routes
                .next()
                .filter(|line| is_alone(line.value.of(bytes)))?;
            places.add(
                usize::from(line.start),
                usize::from(line.end),
                What::Nothing,
            );
        }
        let mut to = Composer::new(out);
        let mut at = 0;
        for &place in places.sorted()? {
            to.put(bytes.get(at..place.start())?);
            at = place.end();
            self.put(place.what, stamp, &mut to);
        }
        to.put(bytes.get(at..)?);
        to.finish()
    }

    #[inline]
    fn put(&self, what: What, stamp: &Stamp, to: &mut Composer<'_>) {
        match what {
            What::Nothing => {}
            What::Uri => to.put(self.uri.unwrap_or(&[])),
            What::Via => self.put_via(to),
            What::Stamp => to.put(stamp.text.as_bytes()),
            What::Breadth => to.put_small(self.breadth),
            What::BreadthLine => put_line(to, b"Max-Breadth: ", self.breadth),
            What::RecordRoute => to.put_all(self.record_route),
            What::Hops => to.put_small(self.hops.into()),
            What::HopsLine => put_line(to, b"Max-Forwards: ", self.hops.into()),
        }
    }

    /// An upper bound on the octets that [`Relay::compose`] writes: at most a few more than it does.
    #[must_use]
    pub fn len_max(&self, message: &Message<'_>) -> usize {
        // `;received=255.255.255.255;rport=65535`, or with the longest v6 address.
        let stamp = if self.source.is_ipv4() { 37 } else { 61 };
        let breadth = match message.has(HeaderId::MaxBreadth) {
            true => 9,
            false => "Max-Breadth: \r\n".len() + Digits::of(self.breadth.into()).as_bytes().len(),
        };
        let hops = match message.has(HeaderId::MaxForwards) {
            true => 2,
            false => "Max-Forwards: 255\r\n".len(),
        };
        let via = self.via.before.len() + self.branch.len() + self.via.after.len();
        let record_route: usize = self.record_route.iter().map(|piece| piece.len()).sum();
        let uri = self.uri.map_or(0, <[u8]>::len);
        message.bytes().len() + uri + via + record_route + stamp + breadth + hops
    }
}

/// The places of a request that is laid out as most are: no Max-Breadth and no Record-Route yet, a
/// Max-Forwards and at most one Route of ours, both behind the Vias. In the Via nothing but its
/// `rport` makes room for what we write.
struct Usual {
    /// Where the first Via line begins.
    top: usize,
    /// The `rport` in it; empty, at its end, if there is none.
    rport: Range<usize>,
    /// Where the last one ends.
    behind: usize,
    /// The Max-Forwards and our Route, in their order.
    cuts: [Place; 2],
}

impl Usual {
    #[inline]
    fn of(relay: &Relay<'_>, message: &Message<'_>, stamp: &Stamp) -> Option<Usual> {
        let index = message.index();
        let [None, rport] = stamp.removed else {
            return None;
        };
        let via_end = usize::from(index.via.range.end);
        if index.has(HeaderId::MaxBreadth)
            || index.has(HeaderId::RecordRoute) && !relay.record_route.is_empty()
        {
            return None;
        }
        let top = usize::from(index.first(HeaderId::Via)?.start);
        let behind = usize::from(index.last(HeaderId::Via)?.end);
        let hops = index.first(HeaderId::MaxForwards)?.value;
        let hops = Place::of(usize::from(hops.start), usize::from(hops.end), What::Hops);
        let route = match relay.own_routes {
            0 => Place::of(hops.end(), hops.end(), What::Nothing),
            1 => {
                let line = index.first(HeaderId::Route)?;
                if !is_alone(line.value.of(message.bytes())) {
                    return None;
                }
                let (start, end) = (usize::from(line.start), usize::from(line.end));
                Place::of(start, end, What::Nothing)
            }
            _ => return None,
        };
        let cuts = match hops.start() < route.start() {
            true => [hops, route],
            false => [route, hops],
        };
        (behind <= cuts[0].start()).then(|| Usual {
            top,
            rport: rport.map_or(via_end..via_end, Span::range),
            behind,
            cuts,
        })
    }
}

/// A response without its topmost Via: what stands before that and what behind.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a> {
    before: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Upstream<'a> {
    /// `None`: the topmost Via shares its line with others.
    #[must_use]
    pub fn of(response: &Message<'a>) -> Option<Upstream<'a>> {
        let bytes = response.bytes();
        let line = response.index().first(HeaderId::Via)?;
        let is_alone = response.index().via.range.end == line.value.end;
        is_alone.then(|| Upstream {
            before: &bytes[..usize::from(line.start)],
            behind: &bytes[usize::from(line.end)..],
        })
    }

    /// How many octets it has.
    #[must_use]
    pub fn composed_len(&self) -> usize {
        self.before.len() + self.behind.len()
    }

    /// Writes it and returns its length. `None`: it does not fit.
    pub fn compose(&self, out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..self.composed_len())?;
        let (first, second) = out.split_at_mut(self.before.len());
        first.copy_from_slice(self.before);
        second.copy_from_slice(self.behind);
        Some(self.composed_len())
    }
}

#[inline]
fn put_line<const N: usize>(to: &mut Composer<'_>, name: &[u8; N], number: u32) {
    to.put_first(name, N);
    to.put_small(number);
    to.put_first(b"\r\n", 2);
}

/// What stands in a place of the message that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum What {
    Nothing,
    Uri,
    Via,
    Stamp,
    Breadth,
    BreadthLine,
    RecordRoute,
    Hops,
    HopsLine,
}

/// One place: what is there goes, what is said comes.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Where it starts, and whether anything goes: insertions come before what is replaced there.
    order: u32,
    end: u16,
    what: What,
}

impl Place {
    const NOWHERE: Place = Place {
        order: 0,
        end: 0,
        what: What::Nothing,
    };

    /// Offsets in a message fit 16 bits.
    #[inline]
    fn of(start: usize, end: usize, what: What) -> Place {
        Place {
            order: (start as u32) << 1 | u32::from(end > start),
            end: end as u16,
            what,
        }
    }

    #[inline]
    fn start(self) -> usize {
        (self.order >> 1) as usize
    }

    #[inline]
    fn end(self) -> usize {
        usize::from(self.end)
    }
}

/// The places of one message, in their order.
struct Places {
    list: [Place; Places::MAX],
    count: usize,
}

impl Places {
    /// The seven changes, two parameters of a Via, and a few Route lines.
    const MAX: usize = 12;

    #[inline]
    fn new() -> Places {
        Places {
            list: [Place::NOWHERE; Places::MAX],
            count: 0,
        }
    }

    /// Something is put before the octet at `at`. Of several at one spot the first comes first.
    #[inline]
    fn insert(&mut self, at: usize, what: What) {
        self.add(at, at, what);
    }

    /// Something is put in the place of octets.
    #[inline]
    fn replace(&mut self, span: Span, what: What) {
        self.add(usize::from(span.start), usize::from(span.end), what);
    }

    /// Places are added nearly in order, so few are moved.
    #[inline]
    fn add(&mut self, start: usize, end: usize, what: What) {
        let place = Place::of(start, end, what);
        let mut at = self.count;
        self.count += 1;
        if at >= Places::MAX {
            return; // too many: `sorted` will say so
        }
        while at > 0 && self.list[at - 1].order > place.order {
            self.list[at] = self.list[at - 1];
            at -= 1;
        }
        self.list[at] = place;
    }

    fn sorted(&self) -> Option<&[Place]> {
        self.list.get(..self.count)
    }
}
