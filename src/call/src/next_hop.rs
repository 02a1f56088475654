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

/// As [`target`], of the text of a URI; `host` is the peer's IPv4 address in words, if it has one.
/// `None`: it is no URI.
#[must_use]
#[inline]
pub fn target_of(uri: &[u8], peer: &Flow, host: &[u8]) -> Option<Target> {
    match port_at(uri, host) {
        Some(port) => Some(Target::Address(
            peer.transport,
            SocketAddr::new(peer.peer.ip(), port),
        )),
        None => Some(target(&Uri::parse(uri).ok()?, peer)),
    }
}

/// The port of `sip:number@host[:port]` at this very host: what most Contacts are. `None`: it is
/// something else, which may lead there too.
#[inline]
fn port_at(uri: &[u8], host: &[u8]) -> Option<u16> {
    let rest = uri.strip_prefix(b"sip:")?;
    let at = rest
        .iter()
        .position(|octet| !(octet.is_ascii_alphanumeric() || *octet == b'+'))?;
    let behind = rest[at..].strip_prefix(b"@")?.strip_prefix(host)?;
    if at == 0 || host.is_empty() {
        return None;
    }
    match *behind {
        [] => Some(PORT_DEFAULT),
        [b':', first @ b'1'..=b'9', ref more @ ..] if more.len() < 5 => {
            more.iter()
                .try_fold(u16::from(first - b'0'), |port, digit| {
                    let digit = digit.wrapping_sub(b'0');
                    let is_digit = digit <= 9;
                    let port = port.checked_mul(10)?.checked_add(digit.into())?;
                    is_digit.then_some(port)
                })
        }
        _ => None,
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

    /// What is read by its text alone is what it is taken apart.
    #[test]
    fn a_contact_at_its_sender_is_read_as_any_other() {
        let flow = |peer: &str| Flow {
            transport: Transport::Tcp,
            listener: ListenerId(0),
            local: at("192.0.2.100:5060"),
            peer: at(peer),
            conn: None,
        };
        let peer = flow("192.0.2.1:4000");
        let mut read = 0;
        for user in ["1", "+4420", "a.b", "", "a:b", "a;b", "+", "a%20", "a b"] {
            for host in ["192.0.2.1", "192.0.2.10", "192.0.2.01", "192.0.2.", "x"] {
                for tail in [
                    "",
                    ":5060",
                    ":1",
                    ":0",
                    ":05060",
                    ":65535",
                    ":65536",
                    ":99999",
                    ":100000",
                    ":",
                    ":50a",
                    ":5060;transport=udp",
                    ";lr",
                    "?a=b",
                    ">",
                ] {
                    for uri in [
                        format!("sip:{user}@{host}{tail}"),
                        format!("sips:{user}@{host}{tail}"),
                        format!("sip:{host}{tail}"),
                    ] {
                        let uri = uri.as_bytes();
                        let apart = Uri::parse(uri).ok().map(|uri| target(&uri, &peer));
                        assert_eq!(target_of(uri, &peer, b"192.0.2.1"), apart);
                        assert_eq!(target_of(uri, &peer, b""), apart);
                        read += usize::from(port_at(uri, b"192.0.2.1").is_some());
                    }
                }
            }
        }
        assert_eq!(read, 3 * 4, "three users and four tails");
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
