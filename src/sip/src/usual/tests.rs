//! The usual reader against the one that knows the whole grammar: whatever it takes comes out the
//! same there.

use super::*;
use crate::index::Entry;
use crate::name_addr::NameAddr;
use crate::sniff::{sniff, sniff_any, sniff_branch, sniff_call_id};
use crate::uri::Uri;
use crate::via::{Via, ViaSpans};

#[path = "../../tests/messages/mod.rs"]
mod messages;

/// An INVITE, a response, a BYE and an ACK as the router gets them in a call.
const CALL: [&str; 4] = [
    "INVITE sip:+4412345@192.0.2.100:5060;user=phone SIP/2.0\n\
     Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK000000001invite;rport\n\
     Max-Forwards: 70\n\
     From: \"Alice A.\" <sip:+12025550100@192.0.2.1;user=phone>;tag=caller000000001\n\
     To: <sip:+4412345@192.0.2.100;user=phone>\n\
     Call-ID: 000000001-3848276298220188511@192.0.2.1\n\
     CSeq: 1 INVITE\n\
     Contact: <sip:a@192.0.2.1:5060>\n\
     P-Asserted-Identity: <sip:+12025550100@192.0.2.1>\n\
     X-Carrier: 0815\n\
     Content-Type: application/sdp\n\
     Content-Length: 5\n\nv=0\n",
    "SIP/2.0 180 Ringing\n\
     Via: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK1f2e3d4c5b6a7988;received=192.0.2.7;rport=5060\n\
     Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK74bf9c2a1, SIP/2.0/TCP b;branch=z9hG4bK7\n\
     Record-Route: <sip:198.51.100.7;lr;t=0123456789abcdef>\n\
     From: Alice A. <sip:+12025550100@192.0.2.10;user=phone>;tag=9fxced76sl\n\
     To: <sip:+12025550123@198.51.100.7;user=phone>;tag=314159\n\
     Call-ID: 3848276298220188511@192.0.2.10\n\
     CSeq: 4711 INVITE\n\
     Content-Length: 0\n\n",
    "BYE sip:b@192.0.2.2:5060 SIP/2.0\n\
     Via: SIP/2.0/TLS proxy.example.com;branch=z9hG4bK000000001bye\n\
     Route: <sip:192.0.2.100;lr;t=abcdefgh>\n\
     Route: <sip:192.0.2.101;lr>\n\
     From: <sip:+12025550100@192.0.2.1;user=phone>;tag=caller000000001\n\
     To: <sips:b@example.com>;tag=callee\n\
     Call-ID: 000000001-3848276298220188511@192.0.2.1\n\
     CSeq: 2 BYE\n\
     Content-Length: 0\n\n",
    // In compact names and other cases; what a Via says of its sender need not make sense.
    "ACK sips:b@192.0.2.2 SIP/2.0\n\
     v: SIP/2.0/UDP 192.0.2.1;received=here;rport=70000;branch=z9hG4bK000000001ack\n\
     MAX-FORWARDS: 9\n\
     f: <sip:+12025550100@192.0.2.1;user=phone>;TAG=caller000000001\n\
     t: Bob <sip:b@example.com>;tag=callee\n\
     i: 000000001-3848276298220188511@192.0.2.1\n\
     cseq: 12345 ACK\n\
     m: <sip:a@192.0.2.1:5060;transport=udp>\n\
     Session-Expires: 1800;refresher=uac\n\
     WWW-Authenticate: Digest realm=\"a\",nonce=\"b\"\n\
     P-Charging-Vector: icid-value=1234bc9876e;icid-generated-at=192.0.2.7;orig-ioi=example.com\n\
     l: 0\n\n",
];

fn call() -> impl Iterator<Item = Vec<u8>> {
    CALL.iter().map(|text| messages::crlf(text))
}

/// All valid messages, without the folds that the RFCs need for their margins, and with them.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = call().collect();
    for (_, bytes) in messages::valid() {
        let text: String = bytes.iter().map(|&octet| char::from(octet)).collect();
        let unfolded = text.replace("\r\n ;", ";").replace("\r\n ", " ");
        seeds.push(unfolded.chars().map(|octet| octet as u8).collect());
        seeds.push(bytes);
    }
    seeds
}

/// All that an index says.
fn contents(index: &Index) -> impl PartialEq + std::fmt::Debug {
    let of_ids: Vec<(Vec<Entry>, Option<Entry>)> = HeaderId::KNOWN
        .iter()
        .map(|&id| (index.chain(id).copied().collect(), index.last(id).copied()))
        .collect();
    (
        index.facts,
        index.via,
        index.uri_parts,
        index.lines.start(),
        [index.lines.present(), index.lines.repeated()],
        of_ids,
    )
}

/// Compares the readers on a message; whether the usual one takes it.
fn check(bytes: &[u8]) -> bool {
    check_sniff(bytes);
    let (mut quick, mut whole) = (Index::new(), Index::new());
    if read(bytes, &mut quick).is_none() {
        return false;
    }
    let text = bytes.escape_ascii();
    if let Err(error) = parse::parse_any(bytes, &mut whole) {
        panic!("{text} is refused: {error}");
    }
    assert_eq!(contents(&quick), contents(&whole), "{text}");
    true
}

/// Compares the peeks at a message.
fn check_sniff(bytes: &[u8]) {
    let whole = sniff_any(bytes);
    let text = bytes.escape_ascii();
    assert_eq!(sniff(bytes), whole, "{text}");
    let call_id = whole.map(|whole| whole.call_id);
    assert_eq!(sniff_call_id(bytes), call_id, "{text}");
    // Without a Call-ID a branch may be found or not.
    if let Some(whole) = whole {
        let branch = Some(whole.branch).filter(|branch| !branch.is_empty());
        assert_eq!(sniff_branch(bytes), branch, "{text}");
    }
}

/// Compares the readers of values; how many of the usual ones take it.
fn check_value(bytes: &[u8]) -> usize {
    let text = bytes.escape_ascii();
    let mut taken = 0;
    if let Some((uri, end)) = UriSpans::read_usual(bytes, 0)
        && end == bytes.len()
    {
        assert_eq!(Ok(uri.view(bytes)), Uri::parse_any(bytes), "{text}");
        taken += 1;
    }
    if let Some(value) = NameAddr::parse_usual(bytes) {
        assert_eq!(Ok(value), NameAddr::parse_any(bytes), "{text}");
        taken += 1;
    }
    let mut spans = ViaSpans::NONE;
    if let Some(end) = spans.read_usual(bytes, 0)
        && matches!(bytes.get(end), None | Some(b','))
    {
        let mut cursor = crate::name_addr::Cursor { bytes, at: 0 };
        assert_eq!(ViaSpans::read_any(&mut cursor), Ok(spans), "{text}");
        assert_eq!(cursor.at, end, "{text}");
        assert_eq!(Via::parse(&bytes[..end]), Ok(spans.view(bytes)), "{text}");
        taken += 1;
    }
    taken
}

/// Each change of one place: another octet, none, or one of the pieces before it.
fn each_change(bytes: &[u8], mut look: impl FnMut(&[u8])) {
    let mut changed = bytes.to_vec();
    for at in 0..bytes.len() {
        for octet in 0..=255 {
            changed[at] = octet;
            look(&changed);
        }
        changed[at] = bytes[at];
        look(&bytes[..at]);
        for piece in PIECES {
            let mut changed = bytes[..at].to_vec();
            changed.extend_from_slice(piece);
            changed.extend_from_slice(&bytes[at..]);
            look(&changed);
            let rest = (at + piece.len()).min(bytes.len());
            changed.truncate(at);
            changed.extend_from_slice(&bytes[rest..]);
            look(&changed);
        }
    }
}

#[rustfmt::skip] // a table
const PIECES: &[&[u8]] = &[
    b" ", b"\t", b"\r\n", b"\r\n ", b"\0", b"\"", b"\\\"", b"<", b">", b"<sip:a@b>", b",", b", ",
    b";", b";;", b"=", b":", b"::", b"@", b"[", b"]", b"+", b"!", b"%41", b"?a=b", b"0", b"00",
    b"99999999999", b"\xff", b"\xc3\xa9", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b";tag=2", b";branch=z9hG4bK2", b";rport", b";received=1.2.3.4", b";x", b";x=y", b"z9hG4bK",
    b"sip:", b"tel:", b"Via: SIP/2.0/UDP a\r\n", b"To: <sip:a@b>\r\n", b"Contact: *\r\n",
    b"Contact: <sip:a@b>\r\n", b"X: y\r\n", b"X : y\r\n", b"i:1\r\n", b"CSeq: 2 BYE\r\n",
    b"Max-Forwards: 255\r\n", b"Content-Length: 3\r\n", b"l: 1\r\n", b"\r\n\r\n",
];

#[test]
fn messages_of_a_call_are_taken() {
    for bytes in call() {
        assert!(check(&bytes), "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_change_of_a_message_is_read_alike() {
    for bytes in call() {
        let (mut all, mut taken) = (0, 0);
        each_change(&bytes, |changed| {
            all += 1;
            taken += usize::from(check(changed));
        });
        assert!(
            taken * 10 > all && taken < all,
            "{taken} of {all} are taken: both readers are tried"
        );
    }
}

#[test]
fn each_change_of_a_value_is_read_alike() {
    for value in [
        "sip:+12025550123@198.51.100.7:5060;user=phone",
        "SIP:proxy-1.example.com;lr;t=0123456789abcdef",
        "sip:user@example.com:5060;x?subject=x",
        "\"Alice\" <sip:+12025550100@192.0.2.1;user=phone>;tag=caller000000001",
        "Alice A. <sips:alice@example.com>",
        "<sip:198.51.100.7;lr;t=0123456789abcdef>",
        "\"+12025550100\" <sip:+12025550100@a-long-name.of-a-border.example.com:5060;user=phone>;tag=1",
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK000000001;received=192.0.2.7;rport=5060",
        "SIP/2.0/TCP proxy.example.com;rport;branch=z9hG4bK+a=b, SIP/2.0/UDP a",
    ] {
        let mut taken = 0;
        each_change(value.as_bytes(), |changed| taken += check_value(changed));
        assert!(taken > 100, "{value}: {taken} are taken");
    }
}

#[test]
fn all_valid_messages_are_read_alike_and_most_are_taken() {
    let all = seeds();
    let taken = all.iter().filter(|bytes| check(bytes)).count();
    assert!(taken * 2 > all.len(), "{taken} of {} are taken", all.len());
}

/// Several changes at once, to what is sent in calls.
#[test]
fn mutated_messages_are_read_alike() {
    let seeds = seeds();
    let mut state = 0x5eed_u64;
    let mut below = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % bound
    };
    let mut taken = 0;
    for round in 0..60_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..1 + below(3) {
            let at = below(bytes.len());
            let piece = PIECES[below(PIECES.len())];
            let end = (at + below(piece.len() + 1)).min(bytes.len());
            match below(4) {
                0 => bytes[at] = below(256) as u8,
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, piece.iter().copied())),
                _ => drop(bytes.splice(at..end, piece.iter().copied())),
            }
        }
        taken += usize::from(check(&bytes));
    }
    assert!(taken > 5_000, "{taken} are taken");
}
