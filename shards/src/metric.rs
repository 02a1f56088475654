//! The numbers that the runtime counts: one table, from which everything else reads them.

use crate::stats::{CounterDef, CounterKind, HistogramDef};

/// A number of the runtime's page; its place in [`COUNTERS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metric {
    /// Turns of the shard's loop.
    Turns,
    /// Microseconds of the shard's turns, waiting not counted; its rate is the busy share.
    BusyUs,
    /// Datagrams received.
    DatagramsIn,
    /// Octets of the datagrams received.
    DatagramBytesIn,
    /// Datagrams sent.
    DatagramsOut,
    /// Octets of the datagrams sent.
    DatagramBytesOut,
    /// Datagrams that the kernel dropped because the socket's receive buffer was full.
    KernelDrops,
    /// Receive calls that failed for another reason than an empty socket.
    ReceiveErrors,
    /// Send calls that found the socket's buffer full (EAGAIN).
    SendAgain,
    /// Send calls that found no memory in the kernel (ENOBUFS, ENOMEM).
    SendNoBuffers,
    /// Send calls that took only a part of their batch.
    SendPartial,
    /// Datagrams refused because of their size (EMSGSIZE).
    SendTooBig,
    /// Datagrams refused because there is no way to the peer.
    SendUnreachable,
    /// Datagrams refused for another reason.
    SendErrors,
    /// Packets for a listener that does not exist.
    SendNoListener,
    /// Packets dropped because a queue of packets to send was full.
    SendQueueFull,
    /// Send calls' messages that carried several datagrams for one peer.
    Trains,
    /// Datagrams that left in such messages.
    TrainDatagrams,
    /// Octets that datagrams were lengthened by to travel together; part of the octets sent.
    PadBytes,
    /// Such messages that the kernel or the device refused; their datagrams left one by one.
    TrainsRefused,
    /// Pieces of several datagrams that were received at once.
    TrainsIn,
    /// Messages handed over to the shard that owns them.
    HandedOver,
    /// Messages taken over from the shard that received them.
    TakenOver,
    /// Letters posted to other shards.
    LettersOut,
    /// Letters received.
    LettersIn,
    /// Messages and letters dropped because the other shard's inbox was full.
    InboxDrops,
    /// Parcels that waited in the inbox at the last look.
    InboxDepth,
    /// The most parcels that ever waited in the inbox.
    InboxDepthMax,
    /// Times that this shard woke another one.
    Wakes,
    /// Times that this shard let messages gather.
    Naps,
    /// Deadlines armed.
    TimersArmed,
    /// Deadlines that passed.
    TimersFired,
    /// Deadlines cancelled.
    TimersCancelled,
    /// Deadlines refused because the wheel was full.
    TimersFull,
    /// Deadlines armed now.
    TimersLive,
    /// Packets refused because the pool was used up.
    PacketsFull,
    /// Packets of up to 512 octets in use.
    PacketsLive512,
    /// Packets of up to 1,024 octets in use.
    PacketsLive1024,
    /// Packets of up to 2,048 octets in use.
    PacketsLive2048,
    /// Packets of up to 4,096 octets in use.
    PacketsLive4096,
    /// Packets of up to 16,384 octets in use.
    PacketsLive16384,
    /// Packets of up to 65,536 octets in use.
    PacketsLive65536,
    /// Records put into the record ring.
    RecordsOut,
    /// Records refused because the ring was full or the record too long.
    RecordsFull,
    /// Notices refused because their queue was full.
    NoticesFull,
    /// Connections open now.
    ConnectionsOpen,
    /// Connections accepted.
    ConnectionsAccepted,
    /// Connections opened to peers.
    ConnectionsOpened,
    /// Connections that could not be opened to a peer.
    ConnectionsFailed,
    /// Connections refused because the table was full of busy ones.
    RefusedTotal,
    /// Connections refused because their peer had its share.
    RefusedPeer,
    /// Accept calls that failed.
    AcceptErrors,
    /// Times that accepting paused because descriptors or memory ran out.
    AcceptPauses,
    /// Connections closed by the peer.
    ClosedByPeer,
    /// Connections closed because reading or writing failed.
    ClosedError,
    /// Connections closed because nothing came for too long.
    ClosedIdle,
    /// Connections closed to make room for a new one: the longest idle first.
    ClosedOldest,
    /// Connections closed because a message did not become complete in time.
    ClosedSlow,
    /// Connections closed because their octets could not be framed.
    ClosedBad,
    /// Connections closed because the peer does not read what we write.
    ClosedBacklog,
    /// Connections closed because the pool of incomplete messages was used up.
    ClosedMemory,
    /// Connections closed because the handler said so or the process ends.
    ClosedAsked,
    /// Streams whose octets could not be framed.
    FramesBad,
    /// Messages received on streams.
    StreamMessagesIn,
    /// Octets received on streams.
    StreamBytesIn,
    /// Octets sent on streams.
    StreamBytesOut,
    /// Keep-alives answered on streams (RFC 5626 section 4.4.1).
    KeepAlives,
    /// Packets that did not leave and whose handler was told.
    Undelivered,
    /// Messages put off.
    PutOff,
    /// Messages that could not be put off because too many were.
    BacklogFull,
    /// Messages put off that wait now.
    BacklogDepth,
    /// 1 if the shard's thread is pinned to its core.
    Pinned,
    /// Memory of tables that the system gave at the start, in octets.
    Populated,
}

#[rustfmt::skip] // a table
const ROWS: [(Metric, CounterDef); 73] = [
    counter(Metric::Turns, "turns", "Turns of the shard's loop."),
    counter(Metric::BusyUs, "busy_us", "Microseconds of the shard's turns, waiting not counted; its rate is the busy share."),
    counter(Metric::DatagramsIn, "datagrams_in", "Datagrams received."),
    counter(Metric::DatagramBytesIn, "datagram_bytes_in", "Octets of the datagrams received."),
    counter(Metric::DatagramsOut, "datagrams_out", "Datagrams sent."),
    counter(Metric::DatagramBytesOut, "datagram_bytes_out", "Octets of the datagrams sent."),
    counter(Metric::KernelDrops, "kernel_drops", "Datagrams that the kernel dropped because the socket's receive buffer was full, or because it sheds."),
    counter(Metric::ReceiveErrors, "receive_errors", "Receive calls that failed for another reason than an empty socket."),
    counter(Metric::SendAgain, "send_again", "Send calls that found the socket's buffer full (EAGAIN)."),
    counter(Metric::SendNoBuffers, "send_no_buffers", "Send calls that found no memory in the kernel (ENOBUFS, ENOMEM)."),
    counter(Metric::SendPartial, "send_partial", "Send calls that took only a part of their batch."),
    counter(Metric::SendTooBig, "send_too_big", "Datagrams refused because of their size (EMSGSIZE)."),
    counter(Metric::SendUnreachable, "send_unreachable", "Datagrams refused because there is no way to the peer."),
    counter(Metric::SendErrors, "send_errors", "Datagrams refused for another reason."),
    counter(Metric::SendNoListener, "send_no_listener", "Packets for a listener that does not exist."),
    counter(Metric::SendQueueFull, "send_queue_full", "Packets dropped because a queue of packets to send was full."),
    counter(Metric::Trains, "coalesced_sends", "Messages to the kernel that carried several datagrams for one peer."),
    counter(Metric::TrainDatagrams, "coalesced_datagrams", "Datagrams that left together with others for the same peer."),
    counter(Metric::PadBytes, "coalesce_pad_bytes", "Octets that datagrams were lengthened by to leave together; part of the octets sent."),
    counter(Metric::TrainsRefused, "coalesce_refused", "Coalesced sends that the kernel or the device refused; their datagrams left one by one."),
    counter(Metric::TrainsIn, "coalesced_receives", "Pieces of several datagrams of one peer that were received at once."),
    counter(Metric::HandedOver, "handed_over", "Messages handed over to the shard that owns them."),
    counter(Metric::TakenOver, "taken_over", "Messages taken over from the shard that received them."),
    counter(Metric::LettersOut, "letters_out", "Letters posted to other shards."),
    counter(Metric::LettersIn, "letters_in", "Letters received."),
    counter(Metric::InboxDrops, "inbox_drops", "Messages and letters dropped because the other shard's inbox was full."),
    gauge(Metric::InboxDepth, "inbox_depth", "Parcels that waited in the inbox at the last look."),
    gauge(Metric::InboxDepthMax, "inbox_depth_max", "The most parcels that ever waited in the inbox."),
    counter(Metric::Wakes, "wakes", "Times that this shard woke another one."),
    counter(Metric::Naps, "naps", "Times that this shard let messages gather for `gather_us`, because several were sure to come, instead of being woken by the next."),
    counter(Metric::TimersArmed, "timers_armed", "Deadlines armed."),
    counter(Metric::TimersFired, "timers_fired", "Deadlines that passed."),
    counter(Metric::TimersCancelled, "timers_cancelled", "Deadlines cancelled."),
    counter(Metric::TimersFull, "timers_full", "Deadlines refused because the wheel was full."),
    gauge(Metric::TimersLive, "timers_live", "Deadlines armed now."),
    counter(Metric::PacketsFull, "packets_full", "Packets refused because the pool was used up."),
    gauge(Metric::PacketsLive512, "packets_live_512", "Packets of up to 512 octets in use."),
    gauge(Metric::PacketsLive1024, "packets_live_1024", "Packets of up to 1,024 octets in use."),
    gauge(Metric::PacketsLive2048, "packets_live_2048", "Packets of up to 2,048 octets in use."),
    gauge(Metric::PacketsLive4096, "packets_live_4096", "Packets of up to 4,096 octets in use."),
    gauge(Metric::PacketsLive16384, "packets_live_16384", "Packets of up to 16,384 octets in use."),
    gauge(Metric::PacketsLive65536, "packets_live_65536", "Packets of up to 65,536 octets in use."),
    counter(Metric::RecordsOut, "records_out", "Records put into the record ring."),
    counter(Metric::RecordsFull, "records_full", "Records refused because the ring was full or the record too long."),
    counter(Metric::NoticesFull, "notices_full", "Notices refused because their queue was full."),
    gauge(Metric::ConnectionsOpen, "connections_open", "Connections open now."),
    counter(Metric::ConnectionsAccepted, "connections_accepted", "Connections accepted."),
    counter(Metric::ConnectionsOpened, "connections_opened", "Connections opened to peers."),
    counter(Metric::ConnectionsFailed, "connections_failed", "Connections that could not be opened to a peer."),
    counter(Metric::RefusedTotal, "connections_refused_total", "Connections refused because the table was full of busy ones."),
    counter(Metric::RefusedPeer, "connections_refused_peer", "Connections refused because their peer had its share."),
    counter(Metric::AcceptErrors, "accept_errors", "Accept calls that failed."),
    counter(Metric::AcceptPauses, "accept_pauses", "Times that accepting paused because descriptors or memory ran out."),
    counter(Metric::ClosedByPeer, "connections_closed_peer", "Connections closed by the peer."),
    counter(Metric::ClosedError, "connections_closed_error", "Connections closed because reading or writing failed."),
    counter(Metric::ClosedIdle, "connections_closed_idle", "Connections closed because nothing came for too long."),
    counter(Metric::ClosedOldest, "connections_closed_oldest", "Connections closed to make room for a new one: the longest idle first."),
    counter(Metric::ClosedSlow, "connections_closed_slow", "Connections closed because a message did not become complete in time."),
    counter(Metric::ClosedBad, "connections_closed_bad", "Connections closed because their octets could not be framed."),
    counter(Metric::ClosedBacklog, "connections_closed_backlog", "Connections closed because the peer does not read what we write."),
    counter(Metric::ClosedMemory, "connections_closed_memory", "Connections closed because the pool of incomplete messages was used up."),
    counter(Metric::ClosedAsked, "connections_closed_asked", "Connections closed because the handler said so or the process ends."),
    counter(Metric::FramesBad, "frames_bad", "Streams whose octets could not be framed."),
    counter(Metric::StreamMessagesIn, "stream_messages_in", "Messages received on streams."),
    counter(Metric::StreamBytesIn, "stream_bytes_in", "Octets received on streams."),
    counter(Metric::StreamBytesOut, "stream_bytes_out", "Octets sent on streams."),
    counter(Metric::KeepAlives, "keep_alives", "Keep-alives answered on streams (RFC 5626 section 4.4.1)."),
    counter(Metric::Undelivered, "undelivered", "Packets that did not leave and whose handler was told."),
    counter(Metric::PutOff, "put_off", "Messages put off until the shard had nothing else to do: of sources over their share in overload."),
    counter(Metric::BacklogFull, "backlog_full", "Messages that could not be put off because too many were; they were handled in their place."),
    gauge(Metric::BacklogDepth, "backlog_depth", "Messages put off that wait now."),
    gauge(Metric::Pinned, "pinned", "1 if the shard's thread is pinned to its core."),
    gauge(Metric::Populated, "populated_bytes", "Memory of tables that was asked for at the start and is there, because of huge_pages, in octets."),
];

/// The runtime's counters and gauges, in the order of [`Metric`].
pub static COUNTERS: [CounterDef; ROWS.len()] = {
    let mut table = [ROWS[0].1; ROWS.len()];
    let mut row = 0;
    while row < ROWS.len() {
        assert!(
            ROWS[row].0 as usize == row,
            "the table is in the order of the enum"
        );
        table[row] = ROWS[row].1;
        row += 1;
    }
    table
};

/// The place of [`HISTOGRAMS`] that holds the time from the kernel's receive to the handler.
pub const DELAY: usize = 0;

/// The runtime's histograms.
pub static HISTOGRAMS: [HistogramDef; 1] = [HistogramDef {
    name: "receive_delay_us",
    help: "Time from the kernel's receive of a message to its handling, hand-over included.",
}];

const fn counter(metric: Metric, name: &'static str, help: &'static str) -> (Metric, CounterDef) {
    let kind = CounterKind::Counter;
    (metric, CounterDef { name, help, kind })
}

const fn gauge(metric: Metric, name: &'static str, help: &'static str) -> (Metric, CounterDef) {
    let kind = CounterKind::Gauge;
    (metric, CounterDef { name, help, kind })
}
