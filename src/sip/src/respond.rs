//! Responses that we give ourselves (RFC 3261 §8.2.6).

use std::net::SocketAddr;

use crate::composer::{Composer, Copied, Digits};
use crate::forward::Stamp;
use crate::index::{Index, Span};
use crate::message::value_end;
use crate::{HeaderId, Message, Method, NameAddr, Via};

/// What to answer.
#[derive(Clone, Copy, Debug)]
pub struct Response<'r> {
    /// The status, of three digits.
    pub status: u16,
    /// The reason phrase. It must be clean: no line ends.
    pub reason: &'r [u8],
    /// The tag to put to a To that has none; empty: put none.
    pub to_tag: &'r [u8],
    /// More headers, as name and value. They must be clean: no line ends.
    pub extra: &'r [(&'r [u8], &'r [u8])],
    /// Where the request came from: it is noted in the Via.
    pub source: SocketAddr,
}

/// An upper bound on the octets that [`compose`] writes.
#[must_use]
pub fn len_max(request: &Message<'_>, response: &Response<'_>) -> usize {
    let extra: usize = response
        .extra
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    request.section_end() + response.reason.len() + response.to_tag.len() + extra + 160
}

/// Writes the response to a request and returns its length. `None`: it does not fit.
///
/// Copied are all Via (the topmost stamped), From, To, Call-ID and CSeq, Timestamp into a 100, and
/// Record-Route into responses that make a dialog (§12.1.1).
pub fn compose(request: &Message<'_>, response: &Response<'_>, out: &mut [u8]) -> Option<usize> {
    let (bytes, index) = (request.bytes(), request.index());
    let mut to = Composer::new(out);
    let mut copied = Copied::of(bytes);
    status_line(&mut to, response.status, response.reason);
    let mut via_lines = index.chain(HeaderId::Via);
    if let Some(line) = via_lines.next() {
        let via = request.via();
        copied.take(usize::from(line.start)..via.range.start, &mut to);
        copied.flush(&mut to);
        put_stamped(&mut to, bytes, &via, response.source);
        copied.take(via.range.end..usize::from(line.end), &mut to);
    }
    for line in via_lines {
        copied.take(line.range(), &mut to);
    }
    take_line(index, HeaderId::From, &mut copied, &mut to);
    if let Some(line) = index.first(HeaderId::To) {
        if request.to_tag().is_empty() && !response.to_tag.is_empty() {
            let end = usize::from(line.value.end);
            copied.take(usize::from(line.start)..end, &mut to);
            copied.flush(&mut to);
            to.put(b";tag=");
            to.put(response.to_tag);
            copied.take(end..usize::from(line.end), &mut to);
        } else {
            copied.take(line.range(), &mut to);
        }
    }
    take_line(index, HeaderId::CallId, &mut copied, &mut to);
    take_line(index, HeaderId::CSeq, &mut copied, &mut to);
    copied.flush(&mut to);
    if response.status == 100 {
        put_lines(&mut to, request, HeaderId::Timestamp);
    }
    let makes_dialog = matches!(response.status, 101..300)
        && matches!(
            request.method(),
            Method::Invite | Method::Subscribe | Method::Refer | Method::Notify
        );
    if makes_dialog {
        put_lines(&mut to, request, HeaderId::RecordRoute);
    }
    for (name, value) in response.extra {
        to.put_all(&[name, b": ", value, b"\r\n"]);
    }
    to.put(b"Content-Length: 0\r\n\r\n");
    to.finish()
}

/// Writes the answer to a request that [`parse`](crate::parse) refused: what can be copied is, line
/// by line and made clean. `index` is the one that was given to `parse` with these bytes.
/// `None`: it does not fit.
pub fn refuse(
    bytes: &[u8],
    index: &Index,
    status: u16,
    reason: &[u8],
    source: SocketAddr,
    out: &mut [u8],
) -> Option<usize> {
    let mut to = Composer::new(out);
    status_line(&mut to, status, reason);
    for (number, entry) in index.chain(HeaderId::Via).enumerate() {
        let value = bytes.get(entry.value.range())?;
        to.put(b"Via: ");
        let end = value_end(value, 0, value.len());
        match Via::parse(&value[..end]) {
            Ok(via) if number == 0 => {
                put_stamped(&mut to, value, &via, source);
                to.put_clean(&value[via.range.end..]);
            }
            _ => to.put_clean(value),
        }
        to.put(b"\r\n");
    }
    for id in [
        HeaderId::From,
        HeaderId::To,
        HeaderId::CallId,
        HeaderId::CSeq,
    ] {
        let Some(entry) = index.first(id) else {
            continue;
        };
        let value = bytes.get(entry.value.range())?;
        to.put_all(&[id.name().as_bytes(), b": "]);
        to.put_clean(value);
        if id == HeaderId::To && NameAddr::parse(value).is_ok_and(|to| to.param(b"tag").is_none()) {
            to.put(b";tag=");
            to.put(Digits::of(fingerprint(bytes, index)).as_bytes());
        }
        to.put(b"\r\n");
    }
    to.put(b"Content-Length: 0\r\n\r\n");
    to.finish()
}

/// A tag that is the same for each repetition of a request (§8.2.7). Not secret, and not forgeable
/// to any use: no state hangs on it.
fn fingerprint(bytes: &[u8], index: &Index) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for id in [HeaderId::CallId, HeaderId::CSeq, HeaderId::From] {
        let value = index
            .first(id)
            .map_or(&[][..], |entry| entry.value.of(bytes));
        for &octet in value {
            hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

fn status_line(to: &mut Composer<'_>, status: u16, reason: &[u8]) {
    let digit = |place: u16| b'0' + (status / place % 10) as u8;
    let [a, b, c] = [digit(100), digit(10), digit(1)];
    to.put(&[
        b'S', b'I', b'P', b'/', b'2', b'.', b'0', b' ', a, b, c, b' ',
    ]);
    to.put_all(&[reason, b"\r\n"]);
}

pub(crate) fn put_lines(to: &mut Composer<'_>, message: &Message<'_>, id: HeaderId) {
    for line in message.index().chain(id) {
        to.put(&message.bytes()[line.range()]);
    }
}

/// The one line of a header that a request has once.
#[inline]
fn take_line(index: &Index, id: HeaderId, copied: &mut Copied<'_>, to: &mut Composer<'_>) {
    if let Some(line) = index.first(id) {
        copied.take(line.range(), to);
    }
}

/// The Via value with what we know of its sender, on one line; `via` is one of `bytes`.
pub(crate) fn put_stamped(to: &mut Composer<'_>, bytes: &[u8], via: &Via<'_>, source: SocketAddr) {
    let stamp = Stamp::of(via, source);
    let mut removed = stamp.removed;
    if let [Some(received), Some(rport)] = removed
        && received.start > rport.start
    {
        removed.swap(0, 1);
    }
    let mut at = via.range.start;
    if memchr::memchr3(b'\r', b'\n', 0, &bytes[via.range.clone()]).is_none() {
        for range in removed.into_iter().flatten().map(Span::range) {
            to.put_piece(bytes, at, range.start);
            at = range.end;
        }
        to.put_piece(bytes, at, via.range.end);
        return stamp.text.copy_to(to);
    }
    for range in removed.into_iter().flatten().map(Span::range) {
        to.put_clean(&bytes[at..range.start]);
        at = range.end;
    }
    to.put_clean(&bytes[at..via.range.end]);
    to.put(stamp.text.as_bytes());
}
