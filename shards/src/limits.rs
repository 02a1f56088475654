//! How much of everything a shard may hold. All of it is reserved at boot; nothing grows.

use crate::packet::PACKET_SIZES;
use crate::wheel::Wheel;

/// The bounds of one shard. What happens at each is said with it; each has a counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Parcels that wait in the inbox for the shard's next turn. Full: the sender drops and counts.
    pub inbox: usize,
    /// Of those, messages over 2 KiB. Full: the sender drops and counts.
    pub inbox_large: usize,
    /// Packets of each of [`PACKET_SIZES`]. Used up: the next larger size, then `None`.
    pub packets: [u32; PACKET_SIZES.len()],
    /// Armed deadlines. Full: `arm` says `None`.
    pub timers: usize,
    /// How far away deadlines usually are, in milliseconds, so far as that is over four seconds; 0 =
    /// nothing. Those are not moved until they fire (see [`Wheel::with_lanes`]).
    pub usual_delays_ms: [u32; Wheel::LANES],
    /// Packets queued in one turn, and datagrams that wait for a listener's socket to take them.
    /// Full: dropped and counted; a token is told [`crate::Undelivered::Full`].
    pub sends: usize,
    /// Records that wait for their reader. Full: `record` says `false`.
    pub records: usize,
    /// The longest record in octets. Longer: `record` says `false`.
    pub record_bytes: usize,
    /// Notices that wait for the control plane. Full: `notice` says `false`.
    pub notices: usize,
    /// Open connections. Full: the longest idle one is closed for the new one, first among those
    /// over which no message ever came, if it has been idle for [`Limits::evict_idle_ms`]; else the
    /// new one is refused.
    pub connections: usize,
    /// Accepted connections of one peer (an IPv4 address or an IPv6 /64) on this shard. Full:
    /// refused.
    pub connections_per_peer: usize,
    /// Octets that wait for one connection's peer to read them. Full: the connection is closed.
    pub stream_buffer_bytes: usize,
    /// Packets that wait on all connections together. Full: told [`crate::Undelivered::Full`].
    pub stream_writes: usize,
    /// Buffers for incomplete messages on streams, of each of [`PACKET_SIZES`]. Used up: the
    /// connection is closed.
    pub stream_packets: [u32; PACKET_SIZES.len()],
    /// The longest message on a stream, at most 65,535 octets. Longer: [`crate::TOO_BIG`].
    pub message_bytes_max: usize,
    /// A message on a stream must be complete so long after its first octet. Else: closed.
    pub header_deadline_ms: u64,
    /// A connection on which no message came or left for so long is closed.
    pub idle_ms: u64,
    /// The least idle time after which a connection may be closed for a new one.
    pub evict_idle_ms: u64,
    /// A connection to a peer must be open within this time. Else: told
    /// [`crate::Undelivered::TimedOut`].
    pub connect_ms: u64,
    /// A connection that we close after an error response may take so long to be closed by its
    /// peer, so that the response is not lost by a reset.
    pub linger_ms: u64,
    /// Messages that were put off. Full: `put_off` says `false`.
    pub backlog: usize,
    /// Parcels handled in one turn; the rest waits for the next.
    pub turn_parcels: usize,
    /// Deadlines fired or moved in one turn; the rest waits for the next.
    pub turn_timers: u32,
    /// Reads from streams, and connections accepted, in one turn; the rest waits for the next.
    pub turn_streams: usize,
    /// Datagrams that one system call moves, and that a socket is read for in one turn; the rest
    /// waits for the next. From 1 to [`Limits::BATCH_MAX`].
    pub batch: usize,
    /// How long an idle shard looks for work before it sleeps; 0 = it sleeps at once.
    pub busy_poll_us: u32,
    /// How long a shard that is through with its work lets messages gather, if it expects several
    /// within that time; 0 = not at all.
    pub gather_us: u32,
    /// Whether the memory of packets, deadlines and the handler's tables is asked for at the start, in
    /// huge pages as far as there are any. Else a page comes when it is used first.
    pub huge_pages: bool,
    /// Whether to take datagrams of one peer and size off the socket in one piece (`UDP_GRO`).
    pub receive_trains: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            inbox: 4_096,
            inbox_large: 64,
            packets: [65_536, 131_072, 65_536, 8_192, 1_024, 256],
            timers: 1 << 20,
            usual_delays_ms: [0; Wheel::LANES],
            sends: 8_192,
            records: 4_096,
            record_bytes: 8_192,
            notices: 1_024,
            connections: 4_096,
            connections_per_peer: 512,
            stream_buffer_bytes: 256 * 1_024,
            stream_writes: 65_536,
            stream_packets: [8_192, 4_096, 2_048, 1_024, 256, 128],
            message_bytes_max: 65_535,
            header_deadline_ms: 5_000,
            idle_ms: 15 * 60_000,
            evict_idle_ms: 1_000,
            connect_ms: 3_000,
            linger_ms: 1_000,
            backlog: 1_024,
            turn_parcels: 256,
            turn_timers: 1_024,
            turn_streams: 64,
            batch: 64,
            busy_poll_us: 0,
            gather_us: 0,
            huge_pages: false,
            receive_trains: false,
        }
    }
}

impl Limits {
    /// The most that [`Limits::batch`] may be.
    pub const BATCH_MAX: usize = 256;

    /// Bounds for a small world: a few thousand calls, for simulations and tests.
    #[must_use]
    pub fn small() -> Limits {
        Limits {
            inbox: 256,
            inbox_large: 16,
            packets: [4_096, 8_192, 4_096, 512, 64, 16],
            timers: 65_536,
            sends: 2_048,
            records: 1_024,
            notices: 256,
            connections: 256,
            connections_per_peer: 64,
            stream_writes: 4_096,
            stream_packets: [256, 128, 64, 64, 32, 16],
            ..Limits::default()
        }
    }
}
