//! Requests that follow from one that we sent: CANCEL, and the ACK for a final response that is no
//! 2xx.

use crate::composer::Composer;
use crate::respond::put_lines;
use crate::{HeaderId, Message};

/// Writes the CANCEL for an INVITE as we sent it (RFC 3261 §9.1) and returns its length. `None`: it
/// does not fit.
pub fn cancel(invite_sent: &Message<'_>, out: &mut [u8]) -> Option<usize> {
    cancel_with(invite_sent, &[], out)
}

/// As [`cancel`], with more headers as name and value, such as Reason (RFC 3326). They must be
/// clean: no line ends.
pub fn cancel_with(
    invite_sent: &Message<'_>,
    extra: &[(&[u8], &[u8])],
    out: &mut [u8],
) -> Option<usize> {
    follow(invite_sent, b"CANCEL", invite_sent, extra, out)
}

/// Writes the ACK for a final response that is no 2xx (RFC 3261 §17.1.1.3) and returns its length.
/// `None`: it does not fit.
pub fn ack(invite_sent: &Message<'_>, response: &Message<'_>, out: &mut [u8]) -> Option<usize> {
    follow(invite_sent, b"ACK", response, &[], out)
}

/// Request-URI, top Via, Route, From, Call-ID and CSeq number of the request; To of `to_of`.
fn follow(
    sent: &Message<'_>,
    method: &[u8],
    to_of: &Message<'_>,
    extra: &[(&[u8], &[u8])],
    out: &mut [u8],
) -> Option<usize> {
    let via = &sent.bytes()[sent.via().range.clone()];
    let mut to = Composer::new(out);
    to.put_all(&[method, b" ", sent.uri(), b" SIP/2.0\r\nVia: ", via, b"\r\n"]);
    put_lines(&mut to, sent, HeaderId::Route);
    to.put(b"Max-Forwards: 70\r\n");
    put_lines(&mut to, sent, HeaderId::From);
    put_lines(&mut to, to_of, HeaderId::To);
    put_lines(&mut to, sent, HeaderId::CallId);
    to.put(b"CSeq: ");
    to.put_number(u64::from(sent.cseq()));
    to.put_all(&[b" ", method, b"\r\n"]);
    for (name, value) in extra {
        to.put_all(&[name, b": ", value, b"\r\n"]);
    }
    to.put(b"Content-Length: 0\r\n\r\n");
    to.finish()
}
