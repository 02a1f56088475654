//! Where a stream's messages end: what the handler says about the octets, within the limits.

use crate::handler::{Frame, Handler, TOO_BIG};

/// What to do with the start of a stream's octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// Wait for more.
    More,
    /// A message of so many octets, all there.
    Message(usize),
    /// Octets between messages; `pong` = a CRLF goes back.
    Skip { bytes: usize, pong: bool },
    /// Tell the handler why, and close.
    Bad(u8),
}

/// Asks the handler, and holds its answer against the limit: a message that says it will be too
/// long is refused before its octets are stored.
pub(crate) fn cut<H: Handler>(handler: &H, bytes: &[u8], message_bytes_max: usize) -> Cut {
    if bytes.is_empty() {
        return Cut::More;
    }
    match handler.frame(bytes) {
        Frame::More if bytes.len() >= message_bytes_max => Cut::Bad(TOO_BIG),
        Frame::More => Cut::More,
        Frame::Message(len) if len > message_bytes_max => Cut::Bad(TOO_BIG),
        Frame::Message(len) if len > bytes.len() => Cut::More,
        Frame::Message(len) => {
            assert!(len > 0, "a message has octets");
            Cut::Message(len)
        }
        Frame::KeepAlive { bytes: len, pong } => {
            assert!(
                (1..=bytes.len()).contains(&len),
                "a keep-alive is made of received octets"
            );
            Cut::Skip { bytes: len, pong }
        }
        Frame::Bad(reason) => Cut::Bad(reason),
    }
}
