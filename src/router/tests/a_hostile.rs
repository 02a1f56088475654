//! Hostile peers: entries of the catalogue of faults, by their ids. A trap is an address that
//! neither routing nor a dialog ever names: nothing may be sent there.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use base::Transport;
use bench::{
    Bench, CALLER, Dialog, OTHER, Packet, STRANGER, Setup, TCP, VENDOR, assert_clean, at, crlf,
    headers, respond,
};
use corpora::{hostile, list, read};

const TRAP: &str = "198.51.100.66";

/// What was sent; none of it to the trap.
fn taken(bench: &mut Bench) -> Vec<Packet> {
    let sent = bench.take();
    for packet in &sent {
        assert_ne!(packet.peer.ip().to_string(), TRAP, "{packet:?}");
    }
    sent
}

/// The statuses that went to `peer`, and how many packets went anywhere else.
fn told(bench: &mut Bench, peer: &str) -> (Vec<u16>, usize) {
    let sent = taken(bench);
    let statuses: Vec<u16> = sent
        .iter()
        .filter(|packet| packet.peer == at(peer))
        .filter_map(Packet::status)
        .collect();
    let elsewhere = sent.len() - statuses.len();
    (statuses, elsewhere)
}

#[test]
fn a3_hostile_messages_with_calls_in_between() {
    let mut setup = Setup::new().nobody_goes_down();
    setup.transactions_max = 4_000;
    setup.calls_max = 4_000;
    let mut bench = setup.build();
    for (number, (name, bytes)) in hostile().into_iter().enumerate() {
        bench.receive(CALLER, &bytes);
        bench.receive(VENDOR, &bytes);
        bench.receive(STRANGER, &bytes);
        let stream = bench.connect(TCP, CALLER);
        bench.stream(stream, &bytes[..bytes.len() / 2]);
        bench.stream(stream, &bytes[bytes.len() / 2..]);
        bench.world.stream_close(bench.world.now(), stream);
        for packet in bench.take() {
            if !packet.bytes.is_empty() && packet.bytes != b"\r\n" {
                assert_clean(&name, &packet.bytes);
            }
        }
        if number.is_multiple_of(10) {
            bench.call();
            bench.run_ms(1_000);
        }
        bench.records();
    }
    assert!(bench.counter("requests") > 300, "{}", bench.counters());
    bench.ends_empty();
}

#[test]
fn a3_bad_openings_of_a_connection() {
    for name in list("resiprocate-tcp-framing", ".msg") {
        let mut bench = Setup::new().build();
        let stream = bench.connect(TCP, CALLER);
        bench.stream(stream, &read(&name));
        let good = "OPTIONS sip:192.0.2.100 SIP/2.0
Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKgood
From: <sip:a@192.0.2.1>;tag=1
To: <sip:192.0.2.100>
Call-ID: good@192.0.2.1
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

";
        let is_closed = bench.take().iter().any(|packet| packet.close);
        if !is_closed {
            bench.stream(stream, &crlf(good));
            let sent = bench.take();
            let ok = sent.iter().any(|packet| packet.status() == Some(200));
            assert!(ok, "{name}: {sent:?}");
        }
        bench.call();
        bench.ends_empty();
    }
}

#[test]
fn a13_forged_dialogs_harm_nobody() {
    let mut bench = Setup::new().build();
    let dialog = bench.answered_call("real");
    let other = bench.answered_call("other");
    let bye = dialog.request("BYE", 2, "x");
    let made_up = format!("Route: <sip:192.0.2.100:5060;lr;tl={}>\n", "0".repeat(23));
    let trap = format!("Route: <sip:{TRAP};lr>\n");
    let flipped = flip_token(&dialog.route);
    #[rustfmt::skip] // a table: what is forged, from whom, what it gets
    let rows: &[(String, &str, u16)] = &[
        (bye.replace(&dialog.route, ""), CALLER, 481),
        (bye.replace(&dialog.route, &trap), CALLER, 481),
        (bye.replace(&dialog.route, &made_up), CALLER, 403),
        (bye.replace(&dialog.route, &flipped), CALLER, 403),
        (bye.replace(&dialog.route, &other.route), CALLER, 403), // another call's token
        (bye.replace(&dialog.route, &format!("{}{trap}", dialog.route)), CALLER, 403),
        (bye.replace("sip:b@192.0.2.2:5060", &format!("sip:b@{TRAP}")), CALLER, 403),
        (bye.replace("sip:b@192.0.2.2:5060", &format!("sip:b@192.0.2.2;maddr={TRAP}")), CALLER, 403),
        (bye.replace("sip:b@192.0.2.2:5060", "sip:b@192.0.2.2:99"), CALLER, 403),
        (bye.replace("tag=callee", "tag=wrong"), CALLER, 481),
        (bye.replace("tag=caller", "tag=wrong"), CALLER, 481),
        (bye.clone(), STRANGER, 403),
        (bye.clone(), OTHER, 403), // a gateway, but not this call's
        (swap_tags(&bye), CALLER, 403), // the caller says that it is the callee
        (swap_tags(&bye), STRANGER, 403),
    ];
    for (number, (text, from, status)) in rows.iter().enumerate() {
        for method in ["BYE", "INVITE", "UPDATE", "ACK"] {
            let text = text.replace("BYE", method);
            let text = text.replace("realx", &format!("real{number}{method}"));
            bench.hear(from, &text);
            let sent = told(&mut bench, from);
            let wanted = if method == "ACK" {
                vec![]
            } else {
                vec![*status]
            };
            assert_eq!(sent, (wanted, 0), "{text} from {from}");
        }
    }
    assert!(bench.records().is_empty(), "both calls are up");
    bench.hang_up(&dialog);
    bench.hang_up(&other);
    bench.ends_empty();
}

fn swap_tags(request: &str) -> String {
    let swapped = request.replace("tag=callee", "tag=X");
    let swapped = swapped.replace("tag=caller", "tag=callee");
    swapped.replace("tag=X", "tag=caller")
}

/// The same Route with the last character of its token changed.
fn flip_token(route: &str) -> String {
    let end = route.rfind('>').unwrap();
    let other = if &route[end - 1..end] == "0" {
        "1"
    } else {
        "0"
    };
    format!("{}{other}{}", &route[..end - 1], &route[end..])
}

/// Where strangers get no answer, a made-up token does not make us talk.
#[test]
fn a13_a_forged_dialog_of_a_stranger_is_no_oracle() {
    let mut setup = Setup::new();
    setup.spec.unknown_source = route::UnknownSource::Drop;
    let mut bench = setup.build();
    let dialog = bench.answered_call("quiet");
    let bye = dialog.request("BYE", 2, "x");
    let forged = bye.replace(&dialog.route, &flip_token(&dialog.route));
    let broken = bye.replace(&dialog.route, "Route: nonsense\n");
    for text in [
        &forged,
        &broken,
        &bye.replace(&dialog.route, ""),
        &dialog.cancel(),
    ] {
        bench.hear(STRANGER, text);
        assert!(taken(&mut bench).is_empty(), "{text}");
    }
    let malformed = bye.replace("CSeq: 2 BYE", "CSeq: x");
    bench.hear(STRANGER, &malformed);
    assert!(taken(&mut bench).is_empty());
    bench.hang_up(&dialog);
    bench.ends_empty();
}

#[test]
fn a13_a_lost_call_leads_nowhere_else() {
    let mut bench = Setup::new().build();
    let dialog = bench.answered_call("lost");
    // The process starts anew: the node's key is the same, the call is gone.
    let mut bench = Setup::new().build();
    let bye = dialog.request("BYE", 2, "bye");
    bench.hear(STRANGER, &bye);
    assert_eq!(told(&mut bench, STRANGER), (vec![481], 0));
    for target in [
        TRAP.to_owned(),
        format!("192.0.2.2;maddr={TRAP}"),
        "b.example".to_owned(),
    ] {
        let forged = bye.replace("192.0.2.2:5060 SIP", &format!("{target} SIP"));
        bench.hear(
            CALLER,
            &forged.replace("lostbye", &format!("lost{}", target.len())),
        );
        assert_eq!(told(&mut bench, CALLER), (vec![481], 0), "{forged}");
    }
    bench.hear(CALLER, &bye);
    let sent = taken(&mut bench);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].peer, at(VENDOR), "where routing itself could lead");
    bench.hear(VENDOR, &respond(&sent[0].text(), "200 OK", "callee"));
    assert_eq!(told(&mut bench, CALLER), (vec![200], 0));
    bench.ends_empty();
}

#[test]
fn a14_stray_and_forged_responses_go_nowhere() {
    let mut bench = Setup::new().build();
    let dialog = Dialog::new("forged");
    bench.hear(CALLER, &dialog.invite());
    let invite = bench.take().pop().unwrap().text();
    let answer = respond(&invite, "200 OK", "evil");
    let branch = invite.split("branch=").nth(1).unwrap();
    let branch = branch.split([';', '\r']).next().unwrap().to_owned();
    let trap_below = |text: &str| {
        let (first, rest) = text.split_once('\n').unwrap();
        let (own, rest) = rest.split_once('\n').unwrap();
        format!("{first}\n{own}\nVia: SIP/2.0/UDP {TRAP};branch=z9hG4bKtrap\n{rest}")
    };
    let mut flipped = branch.clone();
    let last = if flipped.pop() == Some('0') { '1' } else { '0' };
    flipped.push(last);
    let mac = format!(
        "{}{}{}",
        &branch[..25],
        flip(&branch[25..26]),
        &branch[26..]
    );
    let slot = format!(
        "{}{}{}",
        &branch[..21],
        flip(&branch[21..22]),
        &branch[22..]
    );
    #[rustfmt::skip] // a table: the response, from whom, which counter says why it went nowhere
    let rows: &[(String, &str, &str)] = &[
        (answer.clone(), STRANGER, "foreign_responses"),
        (answer.clone(), OTHER, "foreign_responses"),
        (answer.clone(), CALLER, "foreign_responses"),
        (answer.replace(&branch, &mac), VENDOR, "stray_responses"),
        (answer.replace(&branch, &slot), VENDOR, "stray_responses"),
        (answer.replace(&branch, "z9hG4bKnobody"), VENDOR, "stray_responses"),
        (trap_below(&answer.replace(&branch, "z9hG4bKnobody")), VENDOR, "stray_responses"),
        (trap_below(&answer), STRANGER, "foreign_responses"),
        (answer.replace("1 INVITE", "1 BYE"), VENDOR, "stray_responses"),
        (answer.replace("1 INVITE", "1 CANCEL"), VENDOR, "stray_responses"),
    ];
    for (text, from, counter) in rows {
        let before = bench.counter(counter);
        bench.hear(from, text);
        let sent = taken(&mut bench);
        assert!(sent.is_empty(), "{text} from {from}: {sent:?}");
        assert_eq!(bench.counter(counter), before + 1, "{text} from {from}");
    }
    // The real answer, with a trap below our Via: it goes to who asked, and to nobody else.
    bench.hear(
        VENDOR,
        &trap_below(&respond(&invite, "180 Ringing", "callee")),
    );
    assert_eq!(told(&mut bench, CALLER), (vec![180], 0));
    bench.hear(VENDOR, &respond(&invite, "486 Busy Here", "callee"));
    let (statuses, _) = told(&mut bench, CALLER);
    assert_eq!(statuses, [486]);
    bench.run_ms(60_000);
    taken(&mut bench);
    bench.hear(VENDOR, &answer);
    assert!(taken(&mut bench).is_empty(), "long after its transaction");
    bench.ends_empty();
}

/// Another character of the tokens' alphabet.
fn flip(character: &str) -> &str {
    if character == "1" { "2" } else { "1" }
}

#[test]
fn a15_spoofed_cancels_end_no_call() {
    let mut bench = Setup::new().build();
    let mut dialog = Dialog::new("spoofed");
    // Before the INVITE: it cancels nothing, then or later.
    bench.hear(CALLER, &dialog.cancel());
    assert_eq!(told(&mut bench, CALLER), (vec![481], 0));
    bench.hear(CALLER, &dialog.invite());
    let invite = bench.take().pop().unwrap().text();
    bench.hear(VENDOR, &respond(&invite, "180 Ringing", "callee"));
    bench.take();
    // With the right branch, from other addresses.
    for from in [STRANGER, OTHER, "192.0.2.77:5060"] {
        bench.hear(from, &dialog.cancel());
        let (statuses, elsewhere) = told(&mut bench, from);
        assert!(statuses.iter().all(|&status| status == 481), "{statuses:?}");
        assert_eq!(elsewhere, 0, "no CANCEL of ours");
    }
    // After the 200: answered, and the call stays.
    bench.hear(VENDOR, &respond(&invite, "200 OK", "callee"));
    dialog.learn(&taken(&mut bench)[0].text());
    bench.hear(CALLER, &dialog.cancel());
    assert_eq!(told(&mut bench, CALLER), (vec![200], 0));
    bench.hear(CALLER, &dialog.request("ACK", 1, "ack"));
    assert_eq!(taken(&mut bench).len(), 1);
    bench.hang_up(&dialog);
    bench.ends_empty();
}

#[test]
fn a15_a_cancel_that_crosses_the_answer_gives_one_record() {
    let mut bench = Setup::new().build();
    let mut dialog = Dialog::new("crossing");
    bench.hear(CALLER, &dialog.invite());
    let invite = bench.take().pop().unwrap().text();
    bench.hear(VENDOR, &respond(&invite, "180 Ringing", "callee"));
    bench.hear(CALLER, &dialog.cancel());
    let cancel = bench.take().pop().unwrap().text();
    assert!(cancel.starts_with("CANCEL "), "{cancel}");
    bench.hear(VENDOR, &respond(&invite, "200 OK", "callee"));
    let answered = taken(&mut bench);
    assert_eq!(answered.len(), 1, "{answered:?}");
    assert_eq!(answered[0].status(), Some(200), "the answer wins");
    dialog.learn(&answered[0].text());
    bench.hear(
        VENDOR,
        &respond(&cancel, "481 Call/Transaction Does Not Exist", "callee"),
    );
    bench.hear(CALLER, &dialog.request("ACK", 1, "ack"));
    bench.hang_up(&dialog);
    bench.ends_empty();
    assert!(bench.records().is_empty());
}

/// A request of nobody's dialog, with lines of the attacker's choice.
fn request(number: usize, method: &str, uri: &str, lines: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKrelay{number}
{lines}From: <sip:+331@192.0.2.1>;tag=caller
To: <sip:+4412345@192.0.2.100>
Call-ID: relay{number}@192.0.2.1
CSeq: 1 {method}
Contact: <sip:a@192.0.2.1:5060>
Max-Forwards: 70
Content-Length: 0

"
    )
}

#[test]
fn a16_nobody_can_relay_through_us() {
    let mut bench = Setup::new().build();
    let good = "sip:+4412345@192.0.2.100".to_owned();
    let trap = |text: &str| text.replace("TRAP", TRAP);
    #[rustfmt::skip] // a table: Request-URI, lines, what the customer gets: 0 = its vendor gets it
    let rows: &[(String, String, u16)] = &[
        (trap("sip:+4412345@TRAP"), String::new(), 0),
        (trap("sip:+4412345@192.0.2.100;maddr=TRAP"), String::new(), 0),
        (trap("sip:+4412345@TRAP;transport=tcp"), String::new(), 0),
        (trap("sip:somebody@TRAP"), String::new(), 0),
        (trap("sip:somebody@192.0.2.100;maddr=TRAP"), String::new(), 0),
        (trap("sip:somebody@TRAP;lr"), String::new(), 0),
        (trap("sip:%2B4412345@TRAP"), String::new(), 0),
        (trap("sips:+4412345@TRAP"), String::new(), 0),
        (trap("tel:+4412345;phone-context=TRAP"), String::new(), 0),
        (good.clone(), trap("Route: <sip:TRAP;lr>\n"), 403),
        (good.clone(), trap("Route: <sip:TRAP>\n"), 403),
        (good.clone(), trap("Route: <sip:192.0.2.100;lr>, <sip:TRAP;lr>\n"), 403),
        (good.clone(), trap("Route: <sip:192.0.2.100;lr>\nRoute: <sip:192.0.2.100;lr>\nRoute: <sip:TRAP>\n"), 403),
        (good.clone(), trap("Route: <sip:192.0.2.100;maddr=TRAP;lr>\n"), 0),
        (good.clone(), trap("Route: <sip:192.0.2.2;lr;maddr=TRAP>\n"), 403),
        (good.clone(), trap("Route: <sip:192.0.2.2:5060;lr>, <sip:TRAP;lr>\n"), 0), // the vendor's affair
        (good.clone(), trap("Route: <sip:b.example;lr>\n"), 403),
        (trap("sip:192.0.2.100;lr;tl=00000000000000000000000"), trap("Route: <sip:x@TRAP>\n"), 403),
        (trap("sip:TRAP"), String::new(), 0),
        (good.clone(), trap("Via: SIP/2.0/UDP TRAP;branch=z9hG4bKbelow\n"), 0),
        (good.clone(), trap("Record-Route: <sip:TRAP;lr>\n"), 0),
    ];
    for (number, (uri, lines, status)) in rows.iter().enumerate() {
        for (turn, method) in ["INVITE", "MESSAGE", "REGISTER", "OPTIONS"]
            .into_iter()
            .enumerate()
        {
            let text = request(number * 10 + turn, method, uri, lines);
            bench.hear(STRANGER, &text);
            assert_eq!(told(&mut bench, STRANGER), (vec![403], 0), "{text}");
            bench.hear(CALLER, &text);
            let sent = taken(&mut bench);
            let onward = sent.iter().filter(|packet| packet.is_request());
            let onward: Vec<&Packet> = onward.collect();
            assert!(
                onward.iter().all(|packet| packet.peer == at(VENDOR)),
                "{text}: {sent:?}"
            );
            let finals: Vec<u16> = sent.iter().filter_map(Packet::status).collect();
            let finals: Vec<u16> = finals.into_iter().filter(|&status| status > 100).collect();
            match status {
                0 => assert_eq!((onward.len(), finals), (1, vec![]), "{text}: {sent:?}"),
                _ => assert_eq!((onward.len(), finals), (0, vec![*status]), "{text}"),
            }
            bench.run_ms(20);
            taken(&mut bench);
        }
    }
    // What nobody answers is repeated and given up, never sent elsewhere.
    bench.run_ms(300_000);
    taken(&mut bench);
    bench.ends_empty();
}

#[test]
fn a16_answers_go_to_who_asked() {
    let mut bench = Setup::new().build();
    let vias = [
        format!("SIP/2.0/UDP {TRAP}:5060"),
        format!("SIP/2.0/UDP {TRAP}:5060;rport"),
        format!("SIP/2.0/UDP 192.0.2.1:5060;maddr={TRAP}"),
        format!("SIP/2.0/UDP 192.0.2.1:5060;received={TRAP}"),
        format!("SIP/2.0/UDP 192.0.2.1:5060;received={TRAP};rport=9"),
        format!("SIP/2.0/TCP {TRAP}:5060"),
    ];
    for (number, via) in vias.iter().enumerate() {
        for (turn, from) in [CALLER, STRANGER].into_iter().enumerate() {
            for (kind, uri) in ["sip:192.0.2.100", "sip:+4412345@192.0.2.100", "bad uri"]
                .into_iter()
                .enumerate()
            {
                let branch = 100 * number + 10 * turn + kind;
                let text = request(branch, "OPTIONS", uri, "");
                let text = text.replace(
                    "SIP/2.0/UDP 192.0.2.1:5060;branch",
                    &format!("{via};branch"),
                );
                bench.hear(from, &text);
                for packet in taken(&mut bench).iter().filter(|sent| !sent.is_request()) {
                    assert_eq!(packet.peer.ip(), at(from).ip(), "{text}");
                }
            }
        }
    }
    bench.run_ms(300_000);
    taken(&mut bench);
    bench.ends_empty();
}

#[test]
fn a16_a_redirect_leads_to_gateways_only() {
    let mut setup = Setup::new();
    setup.spec.trunks[0].follow_redirects = true;
    let mut bench = setup.build();
    bench.hear(CALLER, &Dialog::new("moved").invite());
    let invite = bench.take().pop().unwrap().text();
    let moved = respond(&invite, "302 Moved Temporarily", "b").replace(
        "Contact: <sip:b@192.0.2.2:5060>",
        &format!(
            "Contact: <sip:x@{TRAP}>;q=1.0, <sip:x@192.0.2.3;maddr={TRAP}>, <sip:x@trap.example>, \
             <sip:new@192.0.2.3?Route=%3Csip:{TRAP}%3E>"
        ),
    );
    bench.hear(VENDOR, &moved);
    let sent = taken(&mut bench);
    let onward: Vec<&Packet> = sent
        .iter()
        .filter(|packet| packet.text().starts_with("INVITE "))
        .collect();
    assert_eq!(onward.len(), 1, "{sent:?}");
    assert_eq!(onward[0].peer, at(OTHER));
    assert_eq!(onward[0].first_line(), "INVITE sip:new@192.0.2.3 SIP/2.0");
    assert_eq!(bench.counter("redirects_refused"), 3);
    bench.hear(OTHER, &respond(&onward[0].text(), "404 Not Found", "c"));
    bench.run_ms(60_000);
    taken(&mut bench);
    bench.ends_empty();
}

#[test]
fn a17_headers_cannot_be_smuggled() {
    let smuggled: &[&[u8]] = &[
        b"P-Asserted-Identity\r: <sip:boss@example.com>\r\n",
        b"X: y\rP-Asserted-Identity: <sip:boss@example.com>\r\n",
        b"X: y\nP-Asserted-Identity: <sip:boss@example.com>\r\n",
        b"X: y\r\rP-Asserted-Identity: <sip:boss@example.com>\r\n",
        b"X: y\0\r\n",
        b"P-Asserted\0-Identity: <sip:boss@example.com>\r\n",
        b"P-Asserted-Identity\x01: <sip:boss@example.com>\r\n",
        b"P-Asserted-Identity\x0b: <sip:boss@example.com>\r\n",
        b"\x7fP-Asserted-Identity: <sip:boss@example.com>\r\n",
        b"P-Asserted Identity: <sip:boss@example.com>\r\n",
        b"P-Asserted-Identity <sip:boss@example.com>\r\n",
        b": <sip:boss@example.com>\r\n",
        b"P-Asserted-Identity\r\n : <sip:boss@example.com>\r\n",
        b"X: \"open\r\nP-Asserted-Identity: <sip:boss@example.com>\r\nContact: \"open <sip:x@y>\r\n\r",
    ];
    let mut bench = Setup::new().build();
    for (number, line) in smuggled.iter().enumerate() {
        let text = request(number, "INVITE", "sip:+4412345@192.0.2.100", "LINE\n");
        let bytes = crlf(&text);
        let place = bytes.windows(6).position(|six| six == b"LINE\r\n").unwrap();
        let bytes = [&bytes[..place], line, &bytes[place + 6..]].concat();
        bench.receive(CALLER, &bytes);
        let name = String::from_utf8_lossy(line).into_owned();
        assert_eq!(told(&mut bench, CALLER), (vec![400], 0), "{name:?}");
        // The same in a response goes nowhere at all.
        let dialog = Dialog::new(&format!("smuggler{number}"));
        bench.hear(CALLER, &dialog.invite());
        let invite = bench.take().pop().unwrap().text();
        let answer = crlf(&respond(&invite, "180 Ringing", "b"));
        let place = answer.windows(5).position(|five| five == b"From:").unwrap();
        let answer = [&answer[..place], line, &answer[place..]].concat();
        bench.receive(VENDOR, &answer);
        let sent = taken(&mut bench);
        assert!(sent.is_empty(), "{name:?}: {sent:?}");
        bench.hear(VENDOR, &respond(&invite, "486 Busy Here", "b"));
        assert_eq!(told(&mut bench, CALLER).0, [486], "{name:?}");
    }
    bench.ends_empty();
}

/// What a header may look like, all parsers after us must see as we did: unchanged.
#[test]
fn a17_odd_but_right_lines_pass_unchanged() {
    let lines = "P-Asserted-Identity   : <sip:boss@example.com>
p-asserted-identity:
 <sip:boss@example.com>
X-Odd:
X-Escaped: %0d%0aVia: SIP/2.0/UDP 198.51.100.66
X-Quoted: \"a, b; c <d> \\\" e\"
Subject: \t  folded
\t \tagain
";
    let mut bench = Setup::new().build();
    bench.hear(
        CALLER,
        &request(1, "INVITE", "sip:+4412345@192.0.2.100", lines),
    );
    let sent = taken(&mut bench);
    let onward = sent.iter().find(|packet| packet.is_request()).unwrap();
    assert_clean("odd lines", &onward.bytes);
    let (wanted, whole) = (crlf(lines), &onward.bytes);
    assert!(
        whole.windows(wanted.len()).any(|part| part == wanted),
        "{onward:?}"
    );
    bench.ends_empty();
}

/// Three requests on one stream, the first with a body that looks like a request.
fn three_on_a_stream() -> Vec<u8> {
    let hidden = crlf(&request(66, "MESSAGE", "sip:hidden@192.0.2.100", ""));
    let first = request(1, "INVITE", "sip:+4412345@192.0.2.100", "");
    let length = format!("Content-Length : \t{}\r\n", hidden.len());
    let first = String::from_utf8(crlf(&first)).unwrap();
    let first = first.replace("Content-Length: 0\r\n", &length);
    let second = crlf(&request(2, "OPTIONS", "sip:192.0.2.100", ""));
    let third = crlf(&request(3, "MESSAGE", "sip:+4412345@192.0.2.100", "l: 0\n"));
    let third = String::from_utf8(third).unwrap();
    let third = third.replace("Content-Length: 0\r\n", "");
    [
        first.as_bytes(),
        &hidden,
        b"\r\n\r\n",
        &second,
        third.as_bytes(),
    ]
    .concat()
}

#[test]
fn a18_a_stream_says_the_same_however_it_is_cut() {
    let whole = three_on_a_stream();
    let said = |pieces: &[&[u8]]| {
        let mut setup = Setup::new();
        setup.transactions_max = 50;
        setup.calls_max = 50;
        setup.limits.timers = 500;
        setup.limits.packets = [100, 100, 50, 10, 4, 2];
        let mut bench = setup.build();
        let stream = bench.connect(TCP, CALLER);
        for piece in pieces {
            bench.stream(stream, piece);
        }
        // Half a ping is not answered: only the messages are the same.
        let mut lines = bench.lines();
        lines.retain(|line| !line.ends_with(": "));
        lines
    };
    let wanted = said(&[&whole]);
    let mut sorted = wanted.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "192.0.2.1:5060: SIP/2.0 100 Trying",
            "192.0.2.1:5060: SIP/2.0 200 OK",
            "192.0.2.2:5060: INVITE sip:+4412345@192.0.2.2 SIP/2.0",
            "192.0.2.2:5060: MESSAGE sip:+4412345@192.0.2.2 SIP/2.0",
        ],
        "and nothing of what hides in the body"
    );
    for cut in 1..whole.len() {
        assert_eq!(
            said(&[&whole[..cut], &whole[cut..]]),
            wanted,
            "cut at {cut}"
        );
    }
    let octets: Vec<&[u8]> = whole.chunks(1).collect();
    assert_eq!(said(&octets), wanted, "octet by octet");
}

#[test]
fn a18_all_call_flow_messages_on_one_stream() {
    let all: Vec<u8> = corpora::call_flows()
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .collect();
    let said = |size: usize| {
        let mut bench = Setup::new().everybody_is_known().build();
        let stream = bench.connect(TCP, CALLER);
        for piece in all.chunks(size) {
            bench.stream(stream, piece);
        }
        assert_eq!(bench.counter("malformed"), 0, "in pieces of {size}");
        let count = bench.counter("requests") + bench.counter("responses");
        assert_eq!(count, 454, "in pieces of {size}");
        bench.lines()
    };
    let wanted = said(all.len());
    assert!(wanted.len() > 100);
    for size in [1, 2, 7, 64, 1_460, 65_536] {
        assert!(said(size) == wanted, "in pieces of {size}");
    }
}

#[test]
fn a18_a_stream_that_cannot_be_framed_ends() {
    let good = request(1, "OPTIONS", "sip:192.0.2.100", "");
    #[rustfmt::skip] // a table: what stands instead of Content-Length: 0
    let rows = [
        "Content-Length: 5\nContent-Length: 0",
        "Content-Length: 0\nl: 5",
        "Content-Length: 0, 5",
        "Content-Length: -1",
        "Content-Length: +0",
        "Content-Length: 0x0",
        "Content-Length: five",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 4294967296",
        "Content-Length:",
        "X-Length: 0",
        "Content-Length: 1000000",
    ];
    for row in rows {
        let mut bench = Setup::new().build();
        let stream = bench.connect(TCP, CALLER);
        let bad = good.replace("Content-Length: 0", row);
        bench.stream(stream, &crlf(&bad));
        bench.stream(stream, &crlf(&good));
        let sent = taken(&mut bench);
        assert!(sent.last().unwrap().close, "{row}: {sent:?}");
        let statuses: Vec<u16> = sent.iter().filter_map(Packet::status).collect();
        assert_eq!(statuses.len(), 1, "{row}: {sent:?}");
        assert!(
            [400, 413, 513].contains(&statuses[0]),
            "{row}: {statuses:?}"
        );
        assert_eq!(bench.world.open_connections(base::ShardId(0)), 0, "{row}");
        assert_eq!(
            bench.counter("requests"),
            0,
            "{row}: nothing behind it is read"
        );
        bench.call();
        bench.ends_empty();
    }
}

/// Two routers, each the other's gateway and trunk.
struct Pair {
    benches: [Bench; 2],
    invites: usize,
    packets: usize,
}

const LEFT: &str = "192.0.2.100:5060";
const RIGHT: &str = "192.0.2.200:5060";

impl Pair {
    fn new(mode: route::Mode, paths: usize) -> Pair {
        let side = |own: &str, other: &str, key: u8| {
            let mut setup = Setup::new();
            setup.keys = call::Keys::new([key; 32], [key; 32]);
            for listener in &mut setup.listeners[..2] {
                (listener.address, listener.advertise) = (at(own), at(own));
            }
            for listener in &mut setup.spec.listeners[..2] {
                listener.address = at(own);
            }
            let source = route::Source::address(at(other).ip());
            setup
                .spec
                .trunks
                .push(route::TrunkSpec::new("other", source));
            setup.spec.gateways.clear();
            let names: Vec<String> = (0..paths).map(|path| format!("path{path}")).collect();
            for name in &names {
                let mut gateway = route::GatewaySpec::new(name, at(other));
                // Paths differ in what they ask for, so that a loop looks like a spiral.
                gateway.domain = Some(format!("{name}.example"));
                setup.spec.gateways.push(gateway);
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut plan = route::PlanSpec::ordered(&names);
            plan.mode = mode;
            plan.attempts_max = paths;
            setup.spec.routes = ["44", "*"]
                .map(|prefix| route::RouteSpec {
                    prefix: prefix.to_owned(),
                    plan: std::sync::Arc::new(plan.clone()),
                })
                .to_vec();
            setup.build()
        };
        Pair {
            benches: [side(LEFT, RIGHT, 1), side(RIGHT, LEFT, 2)],
            invites: 0,
            packets: 0,
        }
    }

    /// Carries what they send to each other until they are silent; returns what the caller got.
    fn settle(&mut self, ms: u64) -> Vec<u16> {
        let mut told = Vec::new();
        for _ in 0..ms {
            loop {
                let mut moved = false;
                for side in [0, 1] {
                    for packet in self.benches[side].take() {
                        self.packets += 1;
                        assert!(self.packets < 20_000, "they do not stop");
                        self.invites += usize::from(packet.text().starts_with("INVITE "));
                        let (to, from) = if side == 0 { (1, LEFT) } else { (0, RIGHT) };
                        let other = [LEFT, RIGHT][to];
                        if packet.peer == at(other) && packet.transport == Transport::Udp {
                            self.benches[to].receive(from, &packet.bytes);
                            moved = true;
                        } else if packet.peer == at(CALLER) {
                            told.extend(packet.status());
                        }
                    }
                }
                if !moved {
                    break;
                }
            }
            self.benches.iter_mut().for_each(|bench| bench.run_ms(1));
        }
        told
    }
}

#[test]
fn a19_two_routers_that_point_at_each_other_stop_at_once() {
    for hops in ["70", "255"] {
        let mut pair = Pair::new(route::Mode::Ordered, 1);
        let invite = Dialog::new("loop").invite();
        let invite = invite.replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}"));
        pair.benches[0].hear(CALLER, &invite);
        let told = pair.settle(40_000);
        assert_eq!(told[..2], [100, 482], "with {hops} hops");
        assert!(
            told[2..].iter().all(|&status| status == 482),
            "repeated until its ACK"
        );
        assert!(
            pair.invites <= 4,
            "{} INVITEs with {hops} hops",
            pair.invites
        );
        pair.benches.iter_mut().for_each(Bench::ends_empty);
    }
}

/// RFC 5393 §3: each router forks to two paths; without its rules this is 2^70 messages.
#[test]
fn a19_two_forking_routers_cannot_be_made_to_amplify() {
    for (mode, breadth) in [
        (route::Mode::Parallel, 60),
        (route::Mode::Parallel, 4),
        (route::Mode::Ordered, 60),
    ] {
        let mut pair = Pair::new(mode, 2);
        let invite = Dialog::new("bomb").invite();
        let lines = format!("Max-Forwards: 255\nMax-Breadth: {breadth}");
        pair.benches[0].hear(CALLER, &invite.replace("Max-Forwards: 70", &lines));
        let told = pair.settle(40_000);
        assert!(told[1..].iter().all(|&status| status >= 400), "{told:?}");
        assert!(pair.invites <= 64, "{mode:?}: {} INVITEs", pair.invites);
        pair.benches.iter_mut().for_each(Bench::ends_empty);
    }
}

#[test]
fn a19_hops_are_counted() {
    for (hops, wanted) in [("255", Some("254")), ("1", Some("0")), ("0", None)] {
        let mut bench = Setup::new().build();
        let invite = Dialog::new("hops").invite();
        let line = format!("Max-Forwards: {hops}");
        bench.hear(CALLER, &invite.replace("Max-Forwards: 70", &line));
        let sent = taken(&mut bench);
        let onward = sent.iter().find(|packet| packet.is_request());
        let left = onward.map(|packet| headers(&packet.text(), &["Max-Forwards"]));
        assert_eq!(left, wanted.map(|left| format!("Max-Forwards: {left}\n")));
        if wanted.is_none() {
            assert_eq!(sent[0].status(), Some(483));
            assert_eq!(bench.counter("hops_spent"), 1);
        }
        bench.ends_empty();
    }
}

/// RFC 5393 §5.3.3: what the branches of one request may fork together is what it may itself.
#[test]
fn a19_max_breadth_is_obeyed() {
    let breadths = [0, 1, 2, 3, 59, 60, 61, 4_000_000_000_u64];
    let modes = [route::Mode::Parallel, route::Mode::Ordered];
    for (mode, breadth) in modes
        .into_iter()
        .flat_map(|mode| breadths.map(|breadth| (mode, breadth)))
    {
        let mut setup = Setup::new();
        let mut plan = route::PlanSpec::ordered(&["first", "second"]);
        plan.mode = mode;
        setup.spec.routes[0].plan = std::sync::Arc::new(plan);
        let mut bench = setup.build();
        let invite = Dialog::new("wide").invite();
        let lines = format!("Max-Forwards: 70\nMax-Breadth: {breadth}");
        bench.hear(CALLER, &invite.replace("Max-Forwards: 70", &lines));
        let sent = taken(&mut bench);
        let given: Vec<u64> = sent
            .iter()
            .filter(|packet| packet.is_request())
            .map(|packet| {
                let line = headers(&packet.text(), &["Max-Breadth"]);
                let value = line.trim().strip_prefix("Max-Breadth: ");
                value.expect("every request has one").parse().unwrap()
            })
            .collect();
        assert!(
            given.iter().sum::<u64>() <= breadth.min(60),
            "{breadth}: {given:?}"
        );
        assert!(given.iter().all(|&share| share > 0), "{breadth}: {given:?}");
        match (breadth, mode) {
            (0, _) => assert_eq!(sent[0].status(), Some(440)),
            (1, _) | (_, route::Mode::Ordered) => {
                assert_eq!(given, [breadth.min(60)], "one after the other");
            }
            _ => assert_eq!(given.len(), 2, "at once"),
        }
        bench.ends_empty();
    }
}

#[test]
fn b9_huge_datagrams_and_many_headers_are_bounded() {
    let mut bench = Setup::new().build();
    let fill = |unit: &str, octets: usize| unit.repeat(octets / unit.len());
    #[rustfmt::skip] // a table: lines, whether it is more than we take
    let rows: Vec<(String, String, bool)> = vec![
        (String::new(), fill("x", 60_000), false),
        (format!("X: {}\n", fill("y", 60_000)), String::new(), true),
        (format!("X: {}\n", fill("y", 8_000)), String::new(), false),
        (fill("X: y\n", 60_000), String::new(), true),
        (fill("X: y\n", 1_000), String::new(), false),
        (format!("X: {}y\n", fill("y\n ", 30_000)), String::new(), true),
        (fill("Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKv\n", 60_000), String::new(), true),
        (format!("Via: {}SIP/2.0/UDP h\n", fill("SIP/2.0/UDP h,", 60_000)), String::new(), true),
        (format!("Route: {}\n", fill("<sip:192.0.2.100;lr>,", 60_000)), String::new(), true),
        (format!("Record-Route: {}<sip:a;lr>\n", fill("<sip:a;lr>,", 60_000)), String::new(), true),
        (format!("X: {}\n", fill(";a=b", 60_000)), String::new(), true),
        (format!("{}: x\n", fill("N", 60_000)), String::new(), true),
        (format!("Proxy-Require: {}a\n", fill("a,", 7_000)), String::new(), true),
    ];
    for (number, (lines, body, is_too_much)) in rows.iter().enumerate() {
        let text = request(number, "INVITE", "sip:+4412345@192.0.2.100", lines);
        let length = format!("Content-Length: {}", body.len());
        let text = text.replace("Content-Length: 0", &length) + body;
        bench.hear(CALLER, &text);
        let sent = taken(&mut bench);
        let onward = sent.iter().filter(|packet| packet.is_request()).count();
        let octets: usize = sent.iter().map(|packet| packet.bytes.len()).sum();
        let head: String = text.chars().take(400).collect();
        if *is_too_much {
            assert_eq!(onward, 0, "{head}");
            assert_eq!(sent.len(), 1, "{head}");
            let status = sent[0].status().unwrap();
            assert!(
                [400, 513].contains(&status) || number == 12,
                "{head}: {status}"
            );
            assert!(octets <= crlf(&text).len() + 512, "{head}: {octets} octets");
        } else {
            assert_eq!(onward, 1, "{head}: {sent:?}");
        }
        bench.call();
        bench.run_ms(1_000);
        taken(&mut bench);
    }
    bench.ends_empty();
}
