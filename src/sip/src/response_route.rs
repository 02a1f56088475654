//! Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4).

use std::net::{IpAddr, SocketAddr};

use crate::Via;
use crate::octets;

/// Where the response to a request from `source` goes, whose top Via was `via` as it arrived.
///
/// For a stream this is where a new connection would go if the request's own is gone. A `maddr`
/// that names no single host is not obeyed: nobody makes us send to a broadcast address.
#[must_use]
pub fn target(via: &Via<'_>, source: SocketAddr) -> SocketAddr {
    if let Some(ip) = via.maddr.and_then(octets::address)
        && is_single_host(ip)
    {
        return SocketAddr::new(ip, via.port_or_default());
    }
    let port = match via.has_rport() {
        true => source.port(),
        false => via.port_or_default(),
    };
    SocketAddr::new(source.ip().to_canonical(), port)
}

/// Where a response goes by its Via alone: what an earlier hop wrote into it, or its sent-by.
/// `None`: the host is a name, or no single host.
#[must_use]
pub fn next_hop(via: &Via<'_>) -> Option<SocketAddr> {
    let maddr = via.maddr.and_then(octets::address);
    let port = match (maddr, via.rport()) {
        (None, Some(Some(port))) => port,
        _ => via.port_or_default(),
    };
    let ip = maddr.or_else(|| via.received()).or_else(|| via.ip())?;
    is_single_host(ip).then(|| SocketAddr::new(ip, port))
}

fn is_single_host(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_multicast() && !ip.is_unspecified() && !is_broadcast
}
