//! Where a URI leads: an address, a name, or nowhere that we can go (RFC 3263 §4 for literals).

use std::net::{IpAddr, SocketAddr};

use base::{Flow, Transport};
use sip::{Scheme, Uri};

use crate::Target;

/// The default port of SIP over UDP and TCP (RFC 3261 §19.1.2).
pub const PORT_DEFAULT: u16 = 5060;

/// Where a URI leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hop {
    /// To an address, by a transport if the URI names one.
    Address(Option<Transport>, SocketAddr),
    /// To a host name.
    Name,
    /// Nowhere that we can go: a scheme without a host, or a transport that we do not speak.
    Nowhere,
}

/// Reads where a URI leads. `maddr` wins over the host (RFC 3261 §19.1.1).
#[must_use]
pub fn hop(uri: &Uri<'_>) -> Hop {
    let port = uri.port.unwrap_or(PORT_DEFAULT);
    let address =
        |transport, ip: IpAddr| Hop::Address(transport, SocketAddr::new(ip.to_canonical(), port));
    if is_plain(uri) {
        return uri.ip().map_or(Hop::Name, |ip| address(None, ip));
    }
    let transport = match (uri.scheme, uri.transport()) {
        (Scheme::Sip, None) => None,
        (Scheme::Sip, Some(name)) if name.eq_ignore_ascii_case(b"udp") => Some(Transport::Udp),
        (Scheme::Sip, Some(name)) if name.eq_ignore_ascii_case(b"tcp") => Some(Transport::Tcp),
        _ => return Hop::Nowhere,
    };
    let ip = match uri.param(b"maddr") {
        Some(Some(maddr)) => literal(maddr),
        Some(None) => return Hop::Nowhere,
        None => uri.ip(),
    };
    ip.map_or(Hop::Name, |ip| address(transport, ip))
}

/// Whether host and port alone say where a URI leads.
#[inline]
fn is_plain(uri: &Uri<'_>) -> bool {
    uri.scheme == Scheme::Sip && uri.params.is_empty()
}

fn literal(host: &[u8]) -> Option<IpAddr> {
    let host = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"))
        .unwrap_or(host);
    std::str::from_utf8(host).ok()?.parse().ok()
}

/// What a Contact or a route entry makes the target of a side whose messages come by `peer`.
///
/// A URI without a transport that names the peer's own machine means the transport the peer is
/// using; on another machine it means UDP (RFC 3263 §4.1).
#[must_use]
pub fn target(uri: &Uri<'_>, peer: &Flow) -> Target {
    // Nearly every Contact is of the machine that sends it.
    let (ip, port) = (peer.peer.ip(), uri.port.unwrap_or(PORT_DEFAULT));
    if is_plain(uri) && ip.is_ipv4() && uri.is_at(ip) {
        return Target::Address(peer.transport, SocketAddr::new(ip, port));
    }
    match hop(uri) {
        Hop::Address(Some(transport), address) => Target::Address(transport, address),
        Hop::Address(None, address) if address.ip() == peer.peer.ip().to_canonical() => {
            Target::Address(peer.transport, address)
        }
        Hop::Address(None, address) => Target::Address(Transport::Udp, address),
        Hop::Name | Hop::Nowhere => Target::Peer,
    }
}

/// Whether a request may go where `uri` leads, given the target that the dialog has on that side.
#[must_use]
pub fn is_allowed(uri: &Uri<'_>, known: Target, peer: &Flow) -> bool {
    if let Target::Address(_, known) = known
        && is_plain(uri)
        && known.ip().is_ipv4()
    {
        let port = uri.port.unwrap_or(PORT_DEFAULT);
        return known.port() == port && uri.is_at(known.ip());
    }
    match (target(uri, peer), known) {
        (Target::Address(_, asked), Target::Address(_, known)) => asked == known,
        (Target::Peer, Target::Peer) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::ListenerId;

    fn check(uri: &str, want: Hop) {
        assert_eq!(
            hop(&Uri::parse(uri.as_bytes()).expect("a URI")),
            want,
            "{uri}"
        );
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn uris_lead_somewhere() {
        check("sip:1@192.0.2.1", Hop::Address(None, at("192.0.2.1:5060")));
        check(
            "sip:192.0.2.1:70;lr",
            Hop::Address(None, at("192.0.2.1:70")),
        );
        check(
            "sip:[2001:db8::1]:70",
            Hop::Address(None, at("[2001:db8::1]:70")),
        );
        check(
            "sip:[::ffff:192.0.2.1]",
            Hop::Address(None, at("192.0.2.1:5060")),
        );
        check(
            "sip:a@192.0.2.1;transport=TCP",
            Hop::Address(Some(Transport::Tcp), at("192.0.2.1:5060")),
        );
        check("sip:a@192.0.2.1;transport=tls", Hop::Nowhere);
        check("sips:a@192.0.2.1", Hop::Nowhere);
        check(
            "sip:a@b.example;maddr=192.0.2.9",
            Hop::Address(None, at("192.0.2.9:5060")),
        );
        check("sip:a@192.0.2.1;maddr=b.example", Hop::Name);
        check("sip:a@b.example", Hop::Name);
        check("tel:+441", Hop::Nowhere);
    }

    #[test]
    fn a_request_may_only_go_where_the_dialog_leads() {
        let peer = Flow {
            transport: Transport::Tcp,
            listener: ListenerId(0),
            local: at("192.0.2.100:5060"),
            peer: at("192.0.2.1:34567"),
            conn: None,
        };
        let uri = |text: &'static str| Uri::parse(text.as_bytes()).expect("a URI");
        let known = target(&uri("sip:192.0.2.1:5070"), &peer);
        assert_eq!(known, Target::Address(Transport::Tcp, at("192.0.2.1:5070")));
        assert!(is_allowed(&uri("sip:x@192.0.2.1:5070"), known, &peer));
        assert!(!is_allowed(&uri("sip:x@192.0.2.66:5070"), known, &peer));
        assert!(!is_allowed(
            &uri("sip:x@192.0.2.1:5070;maddr=192.0.2.66"),
            known,
            &peer
        ));
        assert!(!is_allowed(&uri("sip:x@evil.example"), known, &peer));
        assert!(is_allowed(&uri("sip:x@b.example"), Target::Peer, &peer));
    }
}
