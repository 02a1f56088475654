//! The address of a peer as these tables write it: `sip:192.0.2.1:5070;transport=tcp`, or a part of that.

use std::net::{IpAddr, SocketAddr};

/// Where a peer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    /// An IP address or a host name, and the port.
    pub(crate) address: String,
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
    let address = address(host)
        .ok_or_else(|| format!("`{text}` has neither an IP address nor a host name; write one"))?;
    Ok(Peer { address, is_tcp })
}

fn address(host: &str) -> Option<String> {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Some(address.to_string());
    }
    if let Some(name) = name(host) {
        return Some(name);
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let ip: IpAddr = bare.unwrap_or(host).parse().ok()?;
    Some(SocketAddr::new(ip, PORT).to_string())
}

/// A host name, with its port.
fn name(host: &str) -> Option<String> {
    let (name, port) = host.split_once(':').unwrap_or((host, "5060"));
    let port: u16 = port.parse().ok().filter(|&port| port > 0)?;
    let is_label = |label: &str| {
        let is_sign = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_sign)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next()?;
    let is_name = name.len() <= 253
        && name.split('.').all(is_label)
        && last.bytes().any(|octet| octet.is_ascii_alphabetic());
    is_name.then(|| format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_ways_to_write_one() {
        let check = |text: &str, want: &str, is_tcp: bool| {
            let address = want.to_owned();
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
        check(
            "sip:gw.example.com;transport=tcp",
            "gw.example.com:5060",
            true,
        );
        check("GW-1.example.com:5070", "GW-1.example.com:5070", false);
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
            "gw.example.com:0",
            "192.0.2",
            "a b.example",
            "sips:192.0.2.1",
            "192.0.2.1;transport=tls",
            "",
            "192.0.2.1:99999",
        ] {
            assert!(peer(text).is_err(), "{text}");
        }
    }
}
