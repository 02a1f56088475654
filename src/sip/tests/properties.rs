//! Properties over generated and mutated input.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod messages;

use corpora::{list, read};
use messages::{invite, valid};
use proptest::prelude::*;
use sip::frame::{Framing, Limits, frame};
use sip::{Edits, HeaderId, Index, Message, NameAddr, Uri, forward, parse, relay, respond, sniff};

/// A change in the dullest model: on a string, from back to front.
#[derive(Clone, Debug)]
struct Change {
    start: usize,
    length: usize,
    text: String,
}

fn changes() -> impl Strategy<Value = (String, Vec<Change>)> {
    let change = (0..12_usize, 0..6_usize, "[A-Z]{0,5}");
    ("[a-z]{0,40}", prop::collection::vec(change, 0..12)).prop_map(|(text, gaps)| {
        let mut at = 0;
        let mut changes = Vec::new();
        for (gap, length, new) in gaps {
            let start = at + gap;
            if start > text.len() {
                break;
            }
            let length = length.min(text.len() - start);
            at = start + length;
            changes.push(Change {
                start,
                length,
                text: new,
            });
        }
        (text, changes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn edits_agree_with_a_string((text, changes) in changes(), from_back in any::<bool>()) {
        // Insertions at one place keep their order, so only what is apart may be planned backwards.
        let is_apart = changes.windows(2).all(|two| two[0].start + two[0].length < two[1].start);
        let mut edits = Edits::new();
        let mut planned: Vec<&Change> = changes.iter().collect();
        if from_back && is_apart {
            planned.reverse();
        }
        for change in planned {
            let range = change.start..change.start + change.length;
            match (change.length, change.text.is_empty()) {
                (0, _) => edits.insert(change.start, change.text.as_bytes()),
                (_, true) => edits.remove(range),
                _ => edits.replace(range, change.text.as_bytes()),
            }
        }
        let mut model = text.clone();
        for change in changes.iter().rev() {
            model.replace_range(change.start..change.start + change.length, &change.text);
        }
        let mut out = vec![0; model.len()];
        prop_assert_eq!(edits.composed_len(text.as_bytes()), model.len());
        prop_assert_eq!(edits.compose(text.as_bytes(), &mut out), Some(model.len()));
        prop_assert_eq!(String::from_utf8(out).unwrap(), model);
    }

    #[test]
    fn every_number_has_one_reading(digits in "[0-9]{1,30}") {
        let text = format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nf: <sip:a@b>\r\nt: <sip:a@b>\r\n\
             i: 1\r\nCSeq: {digits} OPTIONS\r\n\r\n"
        );
        let mut index = Index::new();
        let model = digits.parse::<u128>().ok().filter(|value| *value < 1 << 31);
        let want = model.filter(|_| digits.len() <= sip::limits::DIGITS_MAX);
        let got = parse(text.as_bytes(), &mut index).ok().map(|message| u128::from(message.cseq()));
        prop_assert_eq!(got, want);
    }

    #[test]
    fn uris_come_apart_as_they_were_put_together(
        user in prop::option::of("[a-zA-Z0-9+;?/#%._~-]{1,12}"),
        host in "([a-z0-9][a-z0-9.-]{0,10}|\\[[0-9a-f]{1,4}::[0-9a-f]{1,4}\\])",
        port in prop::option::of(1..=65_535_u16),
        params in prop::collection::vec("[a-z]{1,6}(=[a-z0-9:+-]{1,6})?", 0..5),
    ) {
        let mut text = String::from("sip:");
        if let Some(user) = &user {
            text.push_str(&format!("{user}@"));
        }
        text.push_str(&host);
        if let Some(port) = port {
            text.push_str(&format!(":{port}"));
        }
        for param in &params {
            text.push_str(&format!(";{param}"));
        }
        let uri = Uri::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(uri.user, user.as_deref().unwrap_or_default().as_bytes());
        prop_assert_eq!(uri.host, host.trim_matches(['[', ']']).as_bytes());
        prop_assert_eq!(uri.port, port);
        let joined = params.join(";");
        prop_assert_eq!(uri.params, joined.as_bytes());
        for param in &params {
            let name = param.split('=').next().unwrap();
            prop_assert!(uri.param(name.to_uppercase().as_bytes()).is_some());
        }
    }

    #[test]
    fn any_octets_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survive(&bytes, &mut Index::new());
    }
}

/// Every entry of the crate, on bytes of which nothing is known; what must hold of any result.
/// Whether it parses.
fn survive(bytes: &[u8], index: &mut Index) -> bool {
    let sniffed = sniff(bytes);
    let _ = Uri::parse(bytes).map(|uri| (uri.ip(), uri.unescape_user(&mut [0; 16])));
    let _ = NameAddr::parse(bytes).map(|value| value.param(b"tag").is_some());
    if let Framing::Message(length) = frame(bytes, Limits::default()) {
        assert!(length <= bytes.len());
    }
    let mut out = [0; 8_192];
    let source = "192.0.2.1:5060".parse().unwrap();
    match parse(bytes, index) {
        Err(error) => {
            assert!(error.offset as usize <= bytes.len());
            if error.status().is_some() {
                let _ = respond::refuse(bytes, index, 400, b"Bad", source, &mut out);
            }
            false
        }
        Ok(message) => {
            let sniffed = sniffed.expect("what parses can be sniffed");
            assert_eq!(sniffed.call_id, message.call_id());
            assert_eq!(sniffed.branch, message.via().branch);
            assert_eq!(sniffed.has_to_tag, !message.to_tag().is_empty());
            for id in HeaderId::KNOWN {
                for value in message.values(*id) {
                    assert_eq!(&message.bytes()[value.range], value.bytes);
                }
            }
            relay_writes_what_is_planned(&message);
            let mut edits = Edits::new();
            forward::pop_via(&message, &mut edits);
            forward::trim_routes(&message, 1, 1, &mut edits);
            let _ = edits.compose(message.bytes(), &mut out);
            true
        }
    }
}

/// Where the one-pass writers write at all, they write what the plan of the same changes does.
/// Whether they wrote.
fn relay_writes_what_is_planned(message: &Message<'_>) -> bool {
    let planned = |plan: &dyn Fn(&mut Edits)| {
        let mut edits = Edits::new();
        plan(&mut edits);
        let mut out = vec![0; edits.composed_len(message.bytes())];
        let length = edits.compose(message.bytes(), &mut out)?;
        out.truncate(length);
        Some(out)
    };
    let mut out = vec![0; message.bytes().len() + 1_024];
    if !message.is_request() {
        let upstream = relay::Upstream::of(message);
        let wanted = planned(&|edits| forward::pop_via(message, edits));
        return upstream.is_some_and(|upstream| {
            let length = upstream.compose(&mut out);
            assert_eq!(length, Some(upstream.composed_len()));
            assert_eq!(Some(&out[..upstream.composed_len()]), wanted.as_deref());
            true
        });
    }
    let mut wrote = false;
    let head = forward::ViaHead::new(base::Transport::Udp, "192.0.2.100:5060".parse().unwrap());
    let record_route: [&[u8]; 2] = [b"Record-Route: <sip:192.0.2.100;lr", b">\r\n"];
    let sources = ["192.0.2.1:5060", "[2001:db8::9]:65535"];
    for case in 0..12_usize {
        let relay = relay::Relay {
            uri: (case % 2 == 1).then_some(b"sip:+4412345@192.0.2.2"),
            via: &head,
            branch: b"z9hG4bKours",
            source: sources[case / 2 % 2].parse().unwrap(),
            hops: 9 + 91 * (case % 2) as u8,
            breadth: 60,
            record_route: &record_route[..case % 2 * 2],
            own_routes: case / 4,
        };
        let bound = relay.len_max(message);
        let Some(length) = relay.compose(message, &mut out) else {
            continue;
        };
        wrote = true;
        assert!(
            length <= bound,
            "{length} octets, said to be at most {bound}"
        );
        let wanted = planned(&|edits| {
            if let Some(uri) = relay.uri {
                forward::set_uri(message, uri, edits);
            }
            forward::push_via_of(message, relay.via, relay.branch, edits);
            forward::stamp_via(message, relay.source, edits);
            forward::set_max_breadth(message, relay.breadth, edits);
            if !relay.record_route.is_empty() {
                let value: [&[u8]; 1] = [b"<sip:192.0.2.100;lr>"];
                forward::push_record_route(message, &[&value], edits);
            }
            forward::set_max_forwards(message, relay.hops, edits);
            forward::trim_routes(message, relay.own_routes, 0, edits);
        });
        assert_eq!(Some(&out[..length]), wanted.as_deref(), "case {case}");
        assert_eq!(relay.compose(message, &mut out[..length - 1]), None);
    }
    wrote
}

#[test]
fn every_usual_message_is_relayed_in_one_pass() {
    let (mut index, mut all, mut relayed) = (Index::new(), 0, 0);
    for (_, bytes) in valid() {
        let message = parse(&bytes, &mut index).expect("a valid message");
        all += 1;
        relayed += usize::from(relay_writes_what_is_planned(&message));
    }
    assert!(relayed * 100 > all * 95, "{relayed} of {all} messages");
}

/// A generator of its own, so that each run does the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

/// Octets that mean something to the parser.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b",",
    b";",
    b":",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"@",
    b"=",
    b"[",
    b"]",
    b"%00",
    b"?",
    b"\r\n ",
    b"\r\n\r\n",
    b"z9hG4bK",
    b"tag=",
    b"branch=",
    b"Content-Length: 4294967296\r\n",
    b"l:1\r\n",
    b"v:SIP/2.0/UDP a\r\n",
    b"4294967296",
    b"18446744073709551616",
    b"-1",
    b"SIP/2.0",
    b"\xff",
    b"\xc3\xa9",
    b"sip:",
    b"tel:+1",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 => {
                let end = (at + 1 + random.below(20)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.below(80)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            _ => bytes.truncate(at.max(20)),
        }
        if bytes.is_empty() {
            bytes.push(b'I');
        }
    }
}

/// The seeds of the fuzz targets, mutated here too, so that CI needs no fuzzer.
#[test]
fn mutated_messages_are_survived() {
    let mut seeds: Vec<Vec<u8>> = valid().into_iter().map(|(_, bytes)| bytes).collect();
    for folder in [
        "pjproject-fuzz-seeds/fuzz-sip",
        "kamailio-misc-sip",
        "rfc4475",
    ] {
        seeds.extend(list(folder, "").iter().map(|name| read(name)));
    }
    seeds.push(invite());
    let mut random = Random(0x5eed_0001);
    let mut index = Index::new();
    let rounds = 200_000;
    let mut accepted = 0;
    for round in 0..rounds {
        let mut bytes = seeds[round % seeds.len()].clone();
        mutate(&mut bytes, &mut random);
        accepted += usize::from(survive(&bytes, &mut index));
    }
    let share = accepted * 100 / rounds;
    assert!(
        (10..90).contains(&share),
        "{share} % accepted: both sides are tried"
    );
}
