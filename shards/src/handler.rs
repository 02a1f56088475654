//! The seam between the runtime and what it runs: [`Handler`] and the values that cross it.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Flow, ListenerId, ShardId, Time};

use crate::Outbox;

/// What a shard runs: one value per shard, called by the runtime or by a [`crate::World`], which
/// answers by writing into the [`Outbox`].
///
/// All calls come from one thread, one after another; nothing may block in them.
pub trait Handler: Sized {
    /// What handlers of different shards send each other.
    type Letter: Send + 'static;
    /// What a handler tells the control plane, rarely.
    type Notice: Send + 'static;
    /// The read-only world that the control plane swaps whole.
    type Snapshot: Send + Sync + 'static;

    /// Which shard owns these bytes. Asked for each message before anything else, on the shard that
    /// received it, unless the kernel steers; `None` = handle it where it landed.
    fn owner(&self, bytes: &[u8]) -> Option<ShardId>;

    /// What stands at the start of a stream's bytes: a pure function over all octets received since
    /// the last message ended. It may name a message before its last octet is there.
    fn frame(&self, bytes: &[u8]) -> Frame;

    /// The octets of the message after the one that is handled next. Both are then brought in this
    /// order, this one with [`Inbound::is_expected`], or not at all; [`Handler::expect_none`] says when
    /// no more of them come. A handler can read the message here and ask for the memory that it will
    /// need ([`crate::fetch`]), which then comes while the other is handled. It must not answer yet.
    fn expect(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// What was expected has come, or never will: the memory of its octets is used for others now.
    fn expect_none(&mut self) {}

    /// Tells where the memory of large tables lies, and how many octets each takes: with
    /// [`crate::Limits::huge_pages`] it is asked for at the start, on the shard's own thread.
    fn rooms(&self, tell: &mut dyn FnMut(*const u8, usize)) {
        let _ = tell;
    }

    /// A message that this shard owns.
    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Self>);

    /// As [`Handler::message`], for one that the kernel brought here: nobody has asked whose it is,
    /// and it is nearly always this shard's. Returns its owner if that is another one; nothing was
    /// done with the message then. It must name the same shard as [`Handler::owner`], which the
    /// default asks; a handler that reads the message anyway can find it there.
    #[must_use]
    fn steered(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Self>) -> Option<ShardId> {
        let owner = self.owner(inbound.bytes).filter(|&it| it != out.shard());
        if owner.is_none() {
            self.message(inbound, out);
        }
        owner
    }

    /// A stream whose bytes cannot be framed: `reason` is what [`Frame::Bad`] said, or
    /// [`TOO_BIG`]. The handler may send an error response; the connection is closed afterwards.
    fn unframed(&mut self, inbound: &Inbound<'_>, reason: u8, out: &mut Outbox<Self>);

    /// A message whose owner's inbox is full. It is dropped and counted; a handler may answer it
    /// statelessly first. The default leaves it at the drop, as a network would.
    #[cold]
    fn overflow(&mut self, inbound: &Inbound<'_>, owner: ShardId, out: &mut Outbox<Self>) {
        let _ = (inbound, owner, out);
    }

    /// Whether any datagram may leave together with others for its peer. Asked once a flush; while
    /// it says no, [`Handler::fellow`] is not asked.
    fn coalesces(&self) -> bool {
        false
    }

    /// Whether a datagram may leave together with others for the same peer, and how it may be
    /// brought to their length: a pure function over its octets, its path and what was noted with the
    /// packet ([`Outbox::set_note`]; 0 = nothing). `None` = it leaves alone, and in its place.
    fn fellow(
        &self,
        listener: ListenerId,
        peer: SocketAddr,
        bytes: &[u8],
        note: u32,
    ) -> Option<Fellow> {
        let _ = (listener, peer, bytes, note);
        None
    }

    /// A letter from the handler of another shard, or of this one.
    fn letter(&mut self, from: ShardId, letter: Self::Letter, out: &mut Outbox<Self>);

    /// A deadline armed with this token has passed. It never comes early.
    fn deadline(&mut self, token: u64, out: &mut Outbox<Self>);

    /// A packet sent with this token (never 0) did not leave: the connection could not be opened or
    /// closed first, or the system refused the datagram.
    fn undelivered(&mut self, token: u64, why: Undelivered, out: &mut Outbox<Self>);

    /// A new world. Returns the old one, which the runtime sends away to be freed elsewhere.
    fn snapshot(
        &mut self,
        snapshot: Arc<Self::Snapshot>,
        out: &mut Outbox<Self>,
    ) -> Option<Arc<Self::Snapshot>>;

    /// Called every 100 ms.
    fn housekeeping(&mut self, out: &mut Outbox<Self>);

    /// No new calls from now on. The runtime then asks [`Handler::is_idle`] at each housekeeping and
    /// stops when all shards are idle, or at the drain's deadline.
    fn drain(&mut self, out: &mut Outbox<Self>);

    /// Whether nothing is in progress that a stop would cut off.
    fn is_idle(&self) -> bool;

    /// The process ends now: last records out. The runtime goes on calling
    /// [`Handler::housekeeping`] until [`Handler::is_idle`] says that all are out, for ten seconds
    /// at most.
    fn stop(&mut self, out: &mut Outbox<Self>);
}

/// What the start of a stream's bytes is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Not to be said yet.
    More,
    /// A message of so many octets. If fewer are there, the runtime waits for the rest.
    Message(usize),
    /// Blank lines between messages (RFC 3261 §7.5), of so many octets.
    KeepAlive {
        /// Octets to skip.
        bytes: usize,
        /// Whether it is a double CRLF that wants a CRLF in return (RFC 5626 §4.4.1).
        pong: bool,
    },
    /// Nothing that can be framed; the number is the handler's own word for why.
    Bad(u8),
}

/// The reason given to [`Handler::unframed`] when a message passes [`crate::Limits::message_bytes_max`].
pub const TOO_BIG: u8 = u8::MAX;

/// A message and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// The path it came by; an answer over the same flow reaches its sender.
    pub flow: Flow,
    /// Its octets.
    pub bytes: &'a [u8],
    /// When the kernel received it, on the shards' time axis.
    pub received: Time,
    /// Who brought it to this shard.
    pub brought: Brought,
    /// Whether [`Handler::expect`] was told of these octets.
    pub is_expected: bool,
}

/// Who brought a message to the shard that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Brought {
    /// It came here, and [`Handler::owner`] says that it stays.
    Straight,
    /// The kernel, which knows whose it is or leaves it to chance; see [`Handler::steered`].
    Steered,
    /// Another shard received it and handed it over.
    HandedOver,
    /// This shard, which put it off ([`Outbox::put_off`]).
    PutOff,
}

/// Which of the messages that were put off go first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// Before all of the other rank, and after some 20 ms also where there is something else to do.
    First,
    /// When there are none of the other rank.
    Last,
}

/// How a datagram travels together with others for the same peer.
#[derive(Clone, Copy, Debug)]
pub struct Fellow {
    /// Datagrams of one lane never overtake each other; those of others may.
    pub lane: u32,
    /// Where it may be lengthened, if it may.
    pub place: Option<Place>,
}

/// Where octets can be put into a message that mean nothing to its reader.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Before which octet.
    pub at: u16,
    /// So many octets, 1 to [`PAD_BYTES_MAX`], to be put there.
    pub filling: fn(usize) -> &'static [u8],
}

/// The most octets that a datagram is lengthened by.
pub const PAD_BYTES_MAX: usize = 325;

/// Why a packet did not leave.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Undelivered {
    /// The peer refused the connection.
    Refused,
    /// The connection was closed before the packet had left.
    Closed,
    /// The network says there is no way to the peer.
    Unreachable,
    /// A queue, a write buffer or the table of connections is full.
    Full,
    /// The connection was not open in time.
    TimedOut,
    /// The flow names no listener of its transport.
    NoListener,
    /// The datagram does not fit the path or the protocol.
    TooBig,
}
