//! A thread's sockets: datagrams in batches, streams in frames, and the wait for any of them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use socket2::{Domain, Protocol, Socket, Type};

use super::batch::{BATCH, DATAGRAM_BYTES_MAX, Receiver, Sender, take_trains};
use super::wire::{Kind, framed};

/// Sockets of one thread: its sources and sinks, and their connections.
pub(crate) const PORTS_MAX: usize = 256;
/// What a connection may have unsent before messages for it are dropped.
const UNSENT_BYTES_MAX: usize = 4 << 20;
/// What is read from a connection at once.
const READ_BYTES: usize = 1 << 16;

/// A way to a peer: one of the thread's sockets, and where to over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    pub(crate) port: u16,
    pub(crate) peer: SocketAddr,
}

/// Whose socket it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// One of the thread's sources, by its place in the thread.
    Source(u16),
    /// One of the thread's sinks, by its place in the thread.
    Sink(u16),
}

/// Counts of messages, of all sockets together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) unsent: u64,
    pub(crate) sizes_sent: [Size; Kind::COUNT],
    pub(crate) sizes_received: [Size; Kind::COUNT],
}

/// How many messages of a kind there were, and their octets together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Size {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

impl Size {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
    }
}

/// The sockets of one thread.
pub(crate) struct Ports {
    ports: Vec<Port>,
    ready: [bool; PORTS_MAX],
    buffer_bytes: usize,
    takes_trains: bool,
    pub(crate) traffic: Traffic,
}

struct Port {
    owner: Owner,
    link: Link,
}

enum Link {
    Udp(UdpSocket, Box<Sender>),
    Listener(TcpListener),
    Stream(Box<Stream>),
    Closed,
}

/// A connection. Both buffers keep their room.
struct Stream {
    socket: TcpStream,
    peer: SocketAddr,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

/// What takes the messages that come in.
pub(crate) trait Listen {
    /// A message came in over `flow`.
    fn message(&mut self, owner: Owner, flow: Flow, bytes: &[u8], ports: &mut Ports);
    /// A connection is gone; what was on its way is lost.
    fn broken(&mut self, owner: Owner, port: u16);
}

impl Ports {
    pub(crate) fn new(buffer_bytes: usize, takes_trains: bool) -> Ports {
        Ports {
            ports: Vec::with_capacity(PORTS_MAX),
            ready: [false; PORTS_MAX],
            buffer_bytes,
            takes_trains,
            traffic: Traffic::default(),
        }
    }

    /// Opens a datagram socket.
    pub(crate) fn open(
        &mut self,
        owner: Owner,
        local: SocketAddr,
    ) -> io::Result<(u16, SocketAddr)> {
        let socket = self.socket(local, Type::DGRAM, Protocol::UDP)?;
        if self.takes_trains {
            take_trains(&socket)?;
        }
        let bound: UdpSocket = socket.into();
        let address = bound.local_addr()?;
        let port = self.add(owner, Link::Udp(bound, Box::new(Sender::new())))?;
        Ok((port, address))
    }

    /// Opens a socket that takes connections.
    pub(crate) fn listen(&mut self, owner: Owner, local: SocketAddr) -> io::Result<SocketAddr> {
        let socket = self.socket(local, Type::STREAM, Protocol::TCP)?;
        socket.listen(1024)?;
        let listener: TcpListener = socket.into();
        let address = listener.local_addr()?;
        self.add(owner, Link::Listener(listener))?;
        Ok(address)
    }

    /// Opens a connection from an address of ours, waiting for it for a few seconds.
    pub(crate) fn connect(
        &mut self,
        owner: Owner,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> io::Result<(u16, SocketAddr)> {
        let socket = self.socket(local, Type::STREAM, Protocol::TCP)?;
        socket.set_nonblocking(false)?;
        let told = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot connect to tcp {peer}: {error}"),
            )
        };
        socket
            .connect_timeout(&peer.into(), Duration::from_secs(5))
            .map_err(told)?;
        socket.set_nonblocking(true)?;
        let stream: TcpStream = socket.into();
        let address = stream.local_addr()?;
        let port = self.add_stream(owner, stream, peer)?;
        Ok((port, address))
    }

    fn socket(&self, local: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let told = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot bind {local}: {error}"))
        };
        let socket = Socket::new(Domain::for_address(local), kind, Some(protocol))?;
        if kind == Type::STREAM {
            socket.set_reuse_address(true)?;
        }
        widen(&socket, self.buffer_bytes)?;
        socket.set_nonblocking(true)?;
        socket.bind(&local.into()).map_err(told)?;
        Ok(socket)
    }

    fn add(&mut self, owner: Owner, link: Link) -> io::Result<u16> {
        let closed = self
            .ports
            .iter()
            .position(|port| matches!(port.link, Link::Closed));
        if let Some(at) = closed {
            self.ports[at] = Port { owner, link };
            return Ok(at as u16);
        }
        if self.ports.len() == PORTS_MAX {
            let error = format!("a thread has at most {PORTS_MAX} sockets: use more cores");
            return Err(io::Error::other(error));
        }
        self.ports.push(Port { owner, link });
        Ok(self.ports.len() as u16 - 1)
    }

    fn add_stream(&mut self, owner: Owner, socket: TcpStream, peer: SocketAddr) -> io::Result<u16> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let stream = Stream {
            socket,
            peer,
            unread: Vec::with_capacity(2 * READ_BYTES),
            unsent: Vec::with_capacity(READ_BYTES),
        };
        self.add(owner, Link::Stream(Box::new(stream)))
    }

    /// Sends a message, as `compose` appends it, with the batch of this turn.
    pub(crate) fn send(&mut self, flow: Flow, kind: Kind, compose: impl FnOnce(&mut Vec<u8>)) {
        let size = &mut self.traffic.sizes_sent[kind as usize];
        let compose = |out: &mut Vec<u8>| {
            let before = out.len();
            compose(out);
            size.add(out.len() - before);
        };
        match &mut self.ports[usize::from(flow.port)].link {
            Link::Udp(socket, sender) => {
                sender.push(flow.peer, compose);
                if sender.is_full() {
                    let flushed = sender.flush(socket.as_raw_fd());
                    self.traffic.sent += flushed.sent;
                    self.traffic.unsent += flushed.unsent;
                }
            }
            // The place of a connection that is gone may be another's by now.
            Link::Stream(stream)
                if stream.peer == flow.peer && stream.unsent.len() <= UNSENT_BYTES_MAX =>
            {
                compose(&mut stream.unsent);
                self.traffic.sent += 1;
            }
            Link::Stream(_) | Link::Listener(_) | Link::Closed => self.traffic.unsent += 1,
        }
    }

    /// Notes the size of a message that came in.
    pub(crate) fn received(&mut self, kind: Kind, bytes: usize) {
        self.traffic.sizes_received[kind as usize].add(bytes);
    }

    /// A connection of a source to a peer.
    pub(crate) fn stream_to(&self, owner: Owner, peer: SocketAddr) -> Option<u16> {
        let is_it = |port: &Port| match &port.link {
            Link::Stream(stream) => port.owner == owner && stream.peer == peer,
            _ => false,
        };
        self.ports.iter().position(is_it).map(|at| at as u16)
    }

    /// Sends all that was written in this turn.
    pub(crate) fn flush(&mut self) {
        for port in &mut self.ports {
            match &mut port.link {
                Link::Udp(socket, sender) => {
                    let flushed = sender.flush(socket.as_raw_fd());
                    self.traffic.sent += flushed.sent;
                    self.traffic.unsent += flushed.unsent;
                }
                Link::Stream(stream) => stream.flush(),
                Link::Listener(_) | Link::Closed => {}
            }
        }
    }

    /// Waits until something can be read, or until `timeout` is over.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.ready = [false; PORTS_MAX];
        let Some(first) = self.ports.iter().find_map(Port::fd) else {
            std::thread::sleep(timeout);
            return Ok(());
        };
        let mut fds =
            std::array::from_fn::<_, PORTS_MAX, _>(|_| PollFd::new(first, PollFlags::POLLIN));
        let mut places = [0_u16; PORTS_MAX];
        let mut count = 0;
        for (at, port) in self.ports.iter().enumerate() {
            if let Some(fd) = port.fd() {
                fds[count] = PollFd::new(fd, port.interest());
                places[count] = at as u16;
                count += 1;
            }
        }
        match ppoll(&mut fds[..count], Some(timeout.into()), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        for at in 0..count {
            let is_ready = fds[at].any().unwrap_or(true);
            self.ready[usize::from(places[at])] = is_ready;
        }
        Ok(())
    }

    /// Says that all sockets may have something to read: instead of waiting.
    pub(crate) fn presume_ready(&mut self) {
        self.ready = [true; PORTS_MAX];
    }

    /// Takes what has come: at most a batch from each socket, so that deadlines are looked at in
    /// between.
    pub(crate) fn take(&mut self, receiver: &mut Receiver, listener: &mut impl Listen) {
        for at in 0..self.ports.len() {
            if !self.ready[at] {
                continue;
            }
            let owner = self.ports[at].owner;
            match &mut self.ports[at].link {
                Link::Udp(socket, _) => {
                    let fd = socket.as_raw_fd();
                    self.take_datagrams(at as u16, owner, fd, receiver, listener);
                }
                Link::Listener(socket) => {
                    if let Ok((stream, peer)) = socket.accept() {
                        // Beyond the limit of sockets the connection is closed at once.
                        let _refused = self.add_stream(owner, stream, peer);
                    }
                }
                Link::Stream(_) => self.take_frames(at, owner, listener),
                Link::Closed => {}
            }
        }
    }

    fn take_datagrams(
        &mut self,
        port: u16,
        owner: Owner,
        fd: i32,
        receiver: &mut Receiver,
        listener: &mut impl Listen,
    ) {
        // An error here is "empty", or speaks of a datagram sent earlier: timers deal with that.
        let Ok(count) = receiver.receive(fd, BATCH) else {
            return;
        };
        self.traffic.received += count as u64;
        for at in 0..count {
            let (bytes, Some(peer)) = receiver.get(at) else {
                continue;
            };
            listener.message(owner, Flow { port, peer }, bytes, self);
        }
    }

    fn take_frames(&mut self, at: usize, owner: Owner, listener: &mut impl Listen) {
        let Link::Stream(stream) = &mut self.ports[at].link else {
            return;
        };
        let peer = stream.peer;
        let is_open = stream.read();
        // Taken out while it is read from, so that answers can be written meanwhile.
        let mut unread = std::mem::take(&mut stream.unread);
        let mut first = 0;
        let mut is_sound = true;
        loop {
            // Between messages CRLFs are allowed (RFC 3261 §7.5, RFC 5626 §4.4.1).
            while unread[first..].starts_with(b"\r\n") {
                first += 2;
            }
            match framed(&unread[first..], DATAGRAM_BYTES_MAX) {
                Ok(Some(len)) => {
                    let flow = Flow {
                        port: at as u16,
                        peer,
                    };
                    self.traffic.received += 1;
                    listener.message(owner, flow, &unread[first..first + len], self);
                    first += len;
                }
                Ok(None) => break,
                Err(()) => {
                    is_sound = false;
                    break;
                }
            }
        }
        unread.drain(..first);
        if let Link::Stream(stream) = &mut self.ports[at].link {
            stream.unread = unread;
        }
        if !is_open || !is_sound {
            self.ports[at].link = Link::Closed;
            listener.broken(owner, at as u16);
        }
    }

    /// The addresses of the datagram sockets.
    pub(crate) fn datagram_addresses(&self) -> Vec<SocketAddr> {
        let address = |port: &Port| match &port.link {
            Link::Udp(socket, _) => socket.local_addr().ok(),
            _ => None,
        };
        self.ports.iter().filter_map(address).collect()
    }
}

impl Port {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.link {
            Link::Udp(socket, _) => Some(socket.as_fd()),
            Link::Listener(socket) => Some(socket.as_fd()),
            Link::Stream(stream) => Some(stream.socket.as_fd()),
            Link::Closed => None,
        }
    }

    fn interest(&self) -> PollFlags {
        match &self.link {
            Link::Stream(stream) if !stream.unsent.is_empty() => {
                PollFlags::POLLIN | PollFlags::POLLOUT
            }
            _ => PollFlags::POLLIN,
        }
    }
}

impl Stream {
    /// Reads what is here, at most a portion. False: the connection is over.
    fn read(&mut self) -> bool {
        let len = self.unread.len();
        self.unread.resize(len + READ_BYTES, 0);
        let result = self.socket.read(&mut self.unread[len..]);
        self.unread.truncate(len + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Writes what the kernel takes; the rest waits. Errors show when the connection is read.
    fn flush(&mut self) {
        let mut written = 0;
        while written < self.unsent.len() {
            match self.socket.write(&self.unsent[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.unsent.drain(..written);
    }
}

/// Asks for buffers of that size, beyond the system's limit where that is permitted.
pub(crate) fn widen(socket: &Socket, bytes: usize) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}
