//! What carriers say about people, and who may hear it (RFC 3325).
//!
//! In a world with borders every message of a carrier names its sender in P-Asserted-Identity, and
//! many ask for privacy. What the routers pass on is judged by that: the watch knows from the plan who
//! trusts whom, and from the identity who said it.

use std::net::SocketAddr;

use crate::plan::Borders;
use crate::text::{Text, address_of};

/// The header that says who has spoken; nobody has rules for it.
const SPOKEN: &str = "X-Spoken-By";
/// What the vendors' rules make of `+1`.
const REWRITTEN: &str = "001";
/// What the number of a caller begins with.
pub const CALLER: &str = "1202555";
/// What the vendors' rules put before it.
pub const CALLER_PREFIX: &str = "00";

/// A message of a carrier with what it says about people. The same message says the same each time.
#[must_use]
pub fn add(from: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let Some(end) = bytes.windows(4).position(|octets| octets == b"\r\n\r\n") else {
        return bytes.to_vec();
    };
    let mood = bytes[..end]
        .iter()
        .map(|&octet| u32::from(octet))
        .sum::<u32>();
    let privacy = match mood % 5 {
        0 => "Privacy: id\r\n",
        1 => "privacy : user;\r\n ID\r\n",
        2 => "Privacy: none\r\n",
        3 => "Privacy: user\r\n",
        _ => "",
    };
    // In all the ways to write it.
    let identity = match mood / 5 % 3 {
        0 => format!("P-Asserted-Identity: <sip:+1303@{from}>\r\n"),
        1 => format!(
            "p-asserted-identity:\r\n \"a, b\" <sip:+1303@{from}>,\r\n <sip:+1304@{from}>\r\n"
        ),
        _ => format!(
            "P-Asserted-Identity: <sip:+1303@{from}>\r\nP-ASSERTED-IDENTITY : sip:+1304@{from}\r\n"
        ),
    };
    let preferred = format!("P-Preferred-Identity: <sip:+1305@{from}>\r\n");
    let said = format!("\r\n{identity}{preferred}{privacy}{SPOKEN}: {from}");
    let (head, rest) = bytes.split_at(end);
    [head, said.as_bytes(), rest].concat()
}

/// Judges what a router tells a peer.
///
/// # Errors
/// The rule it breaks.
pub fn judge(borders: &Borders, to: SocketAddr, text: &Text) -> Result<(), String> {
    let Some(is_trusted) = borders.is_trusted(to) else {
        return Ok(());
    };
    let asserted = text.values("P-Asserted-Identity");
    if !is_trusted {
        let words: Vec<&str> = text
            .values("Privacy")
            .into_iter()
            .flat_map(|value| value.split(';'))
            .map(str::trim)
            .collect();
        if words.iter().any(|word| word.eq_ignore_ascii_case("id")) && !asserted.is_empty() {
            return Err("an untrusted peer is told who wants to be private".to_owned());
        }
        if text.has("P-Preferred-Identity") {
            return Err("an untrusted peer is told a preferred identity".to_owned());
        }
    }
    for identity in &asserted {
        let speaker = identity
            .split('@')
            .nth(1)
            .map(|rest| rest.trim_end_matches('>'));
        let speaker = speaker.and_then(|host| address_of(&format!("sip:{host}")));
        if speaker.and_then(|it| borders.is_trusted(it)) != Some(true) {
            return Err(format!("an identity that nobody may believe: {identity}"));
        }
    }
    let speaker = address_of(&format!("sip:{}", text.first(SPOKEN)));
    let was_trusted = speaker.and_then(|it| borders.is_trusted(it)) == Some(true);
    if is_trusted && was_trusted && asserted.is_empty() {
        return Err("an identity is lost between peers that trust each other".to_owned());
    }
    if borders.rewrites && text.is_request() && to != crate::plan::CUSTOMER {
        numbers(text, &asserted)?;
    }
    match borders.rewrites {
        true => caller(to, text),
        false => Ok(()),
    }
}

/// Whether a vendor gets the number of who calls as its rule wants it, and the caller his own number.
/// A router that has lost its memory, or whose call is over, leaves both as they come: so what begins a
/// call is looked at.
fn caller(to: SocketAddr, text: &Text) -> Result<(), String> {
    let from = text.first("From");
    let customer = crate::plan::CUSTOMER;
    let is_callers = from.contains(&format!("@{}>", customer.ip()));
    let (is_judged, prefix) = match to == customer {
        true => (!text.is_request() && text.cseq() == (1, "INVITE"), ""),
        false => {
            let begins = text.is_request() && text.tag("To").is_empty();
            (begins && text.method() == "INVITE", CALLER_PREFIX)
        }
    };
    let is_right = from.contains(&format!("sip:{prefix}{CALLER}"));
    match is_callers && is_judged && !is_right {
        true => Err(format!("who calls is not told as it has to be: {from}")),
        false => Ok(()),
    }
}

/// Whether a vendor gets numbers as its rules want them.
fn numbers(text: &Text, asserted: &[&str]) -> Result<(), String> {
    let is_written = |uri: &str| uri.contains(&format!("sip:{REWRITTEN}"));
    if let Some(wrong) = asserted.iter().find(|identity| !is_written(identity)) {
        return Err(format!("an identity that no rule has written: {wrong}"));
    }
    let is_first = text.method() == "INVITE" && text.tag("To").is_empty();
    match is_first && !is_written(text.uri()) {
        true => Err(format!("a number that no rule has written: {}", text.uri())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, vendor};

    const INVITE: &str = "INVITE sip:001202@x SIP/2.0\r\nCSeq: 1 INVITE\r\nTo: <sip:a>\r\n";

    fn check(borders: &Borders, to: SocketAddr, lines: &str) -> bool {
        let bytes = format!("{INVITE}{lines}\r\n");
        let text = Text::read(bytes.as_bytes()).expect("a message");
        judge(borders, to, &text).is_ok()
    }

    #[test]
    fn what_must_not_be_heard_is_seen() {
        let borders = Borders {
            customer: true,
            vendors: vec![true, false],
            rewrites: false,
        };
        let (friend, stranger) = (vendor(0), vendor(1));
        let said = format!("P-Asserted-Identity: <sip:+1@{}>\r\n", plan::CUSTOMER);
        let spoken = format!("{SPOKEN}: {}\r\n", plan::CUSTOMER);
        assert!(check(
            &borders,
            friend,
            &format!("{said}{spoken}Privacy: id\r\n")
        ));
        assert!(!check(&borders, friend, &spoken));
        assert!(check(&borders, stranger, &said));
        assert!(!check(
            &borders,
            stranger,
            &format!("{said}Privacy: user; id\r\n")
        ));
        assert!(!check(
            &borders,
            stranger,
            "P-Preferred-Identity: <sip:a@b>\r\n"
        ));
        assert!(!check(
            &borders,
            friend,
            &said.replace("192.0.2.10", "198.51.100.2")
        ));
        let rewrites = Borders {
            rewrites: true,
            ..borders
        };
        assert!(!check(&rewrites, friend, &said));
        assert!(check(&rewrites, friend, &said.replace("+1@", "0011@")));
    }

    #[test]
    fn what_is_said_can_be_read() {
        for mood in 0..15 {
            let message = format!("{INVITE}X: {}\r\n\r\n", "a".repeat(mood));
            let said = add(plan::CUSTOMER, message.as_bytes());
            let text = Text::read(&said).expect("a message");
            assert!(!text.values("P-Asserted-Identity").is_empty());
            assert_eq!(text.first(SPOKEN), plan::CUSTOMER.to_string());
        }
    }
}
