//! Sockets of streams: listened on, begun, looked at.

use std::io;
use std::net::{IpAddr, SocketAddr};

use base::ListenerId;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use crate::handler::Undelivered;

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1_024;

/// A listening socket of one shard.
pub(crate) struct StreamListener {
    pub(super) socket: Option<Socket>,
    pub(crate) listener: ListenerId,
    pub(crate) address: SocketAddr,
}

/// Fails if something listens there. The shards' sockets share their address, and would share it
/// with those of another process too: it would get a part of the connections.
pub(crate) fn probe(address: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process that are still ending are no reason to refuse.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// Opens a listening socket that shares its address with those of the other shards.
pub(crate) fn listen(address: SocketAddr, listener: ListenerId) -> io::Result<StreamListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(StreamListener {
        socket: Some(socket),
        listener,
        address,
    })
}

/// An IPv6 customer has a /64, not one address.
pub(super) fn peer_key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
        ip => ip,
    }
}

/// Begins to open a connection from our own address, so that the peer knows whose it is.
pub(super) fn connect(local: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(peer);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if !local.ip().is_unspecified() && local.is_ipv4() == peer.is_ipv4() {
        socket.bind(&SocketAddr::new(local.ip(), 0).into())?;
    }
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Whether a connection that was begun is there.
pub(super) fn opened(stream: &TcpStream) -> Result<bool, Undelivered> {
    match stream.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => {
            return Err(match error.raw_os_error() {
                Some(libc::ECONNREFUSED) => Undelivered::Refused,
                Some(libc::ETIMEDOUT) => Undelivered::TimedOut,
                _ => Undelivered::Unreachable,
            });
        }
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(_) => Err(Undelivered::Unreachable),
    }
}
