//! The address of a peer as these tables write it: `sip:192.0.2.1:5070;transport=tcp`, or a part of that.

use std::net::{IpAddr, SocketAddr};

/// Where a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) is_tcp: bool,
}

/// The port of SIP if none is said (RFC 3261, 19.1.2).
const PORT: u16 = 5060;

/// Reads it.
///
/// # Errors
/// Why trunkline cannot send there.
pub(crate) fn peer(text: &str) -> Result<Peer, String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("sips:") {
        return Err(format!("`{text}` wants TLS, which is not there yet"));
    }
    let bare = match lower.starts_with("sip:") {
        true => &text[4..],
        false => text,
    };
    let (host, parameters) = bare.split_once(';').unwrap_or((bare, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let transport = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("transport")
            .then(|| value.to_ascii_lowercase())
    });
    let is_tcp = match transport.as_deref() {
        None | Some("udp") => false,
        Some("tcp") => true,
        Some(other) => return Err(format!("`{text}` wants {other}, which is not there yet")),
    };
    let address = address(host).ok_or_else(|| {
        format!("`{text}` has no IP address: names are not looked up; write its address")
    })?;
    Ok(Peer { address, is_tcp })
}

fn address(host: &str) -> Option<SocketAddr> {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let ip: IpAddr = bare.unwrap_or(host).parse().ok()?;
    Some(SocketAddr::new(ip, PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_ways_to_write_one() {
        let check = |text: &str, want: &str, is_tcp: bool| {
            let address = want.parse().unwrap();
            assert_eq!(peer(text), Ok(Peer { address, is_tcp }), "{text}");
        };
        check("192.0.2.1", "192.0.2.1:5060", false);
        check("192.0.2.1:5070", "192.0.2.1:5070", false);
        check("sip:192.0.2.1", "192.0.2.1:5060", false);
        check(
            "SIP:gw@192.0.2.1:5070;lr;Transport=TCP",
            "192.0.2.1:5070",
            true,
        );
        check("sip:[2001:db8::1]:5062", "[2001:db8::1]:5062", false);
        check("2001:db8::1", "[2001:db8::1]:5060", false);
        check(
            "sip:[2001:db8::1];transport=udp",
            "[2001:db8::1]:5060",
            false,
        );
    }

    #[test]
    fn what_cannot_be_sent_to() {
        for text in [
            "gw.example.com",
            "sips:192.0.2.1",
            "192.0.2.1;transport=tls",
            "",
            "192.0.2.1:99999",
        ] {
            assert!(peer(text).is_err(), "{text}");
        }
    }
}
