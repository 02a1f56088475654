//! The 4,527 cases of the PROTOS suite against a running router, with calls in between.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use std::path::{Path, PathBuf};
use std::process::Command;

use bench::corpus::data;
use bench::{Bench, CALLER, Setup, TCP, assert_clean, crlf};

const CASES: usize = 4_527;
/// After how many cases a whole call is made.
const CALL_EVERY: usize = 50;
/// What fits into a UDP datagram over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Hands every message of every case to `each`, with the number of its case.
fn for_each_case(name: &str, mut each: impl FnMut(usize, &[Vec<u8>])) {
    let folder = unpack(name);
    for case in 0..CASES {
        let bytes = std::fs::read(folder.join(format!("testcases/{case:07}"))).unwrap();
        let mut messages = Vec::new();
        for (number, template) in split(&bytes).into_iter().enumerate() {
            let methods: &[&str] = match number {
                0 => &["INVITE"],
                _ => &["CANCEL", "ACK"],
            };
            messages.extend(methods.iter().map(|method| fill(template, method, case)));
        }
        each(case, &messages);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn unpack(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let archive = data().join("protos-c07-sip/testcases.tar.xz");
    let unpacked = Command::new("tar")
        .arg("-xJf")
        .arg(&archive)
        .arg("-C")
        .arg(&folder)
        .status()
        .expect("tar and xz are installed");
    assert!(
        unpacked.success(),
        "tar could not unpack {}",
        archive.display()
    );
    folder
}

/// Length, space, octets; twice, with line feeds between.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    loop {
        bytes = bytes.trim_ascii_start();
        let Some(space) = bytes.iter().position(|&octet| octet == b' ') else {
            assert_eq!(messages.len(), 2);
            return messages;
        };
        let length = std::str::from_utf8(&bytes[..space]).unwrap();
        let end = space + 1 + length.parse::<usize>().unwrap();
        messages.push(&bytes[space + 1..end]);
        bytes = &bytes[end..];
    }
}

fn fill(template: &[u8], method: &str, case: usize) -> Vec<u8> {
    let counter = case.to_string();
    let branch = format!("{case:06}");
    let places = [
        ("<To-Name>", "to"),
        ("<To-Address>", "to.example.com"),
        ("<To-IP>", "192.0.2.100"),
        ("<To>", "to@to.example.com"),
        ("<From-Name>", "from"),
        ("<From-Address>", "from.example.com"),
        ("<From-IP>", "192.0.2.1"),
        ("<From>", "from@from.example.com"),
        ("<Local-Port>", "5060"),
        ("<Branch-ID>", &branch),
        ("<Call-ID>", &counter),
        ("<CSeq>", &counter),
        ("<Teardown-Method>", method),
    ];
    let mut message = template.to_vec();
    for (place, text) in places {
        message = replaced(&message, place.as_bytes(), text.as_bytes());
    }
    let body = message.windows(4).position(|four| four == b"\r\n\r\n");
    let length = body.map_or(0, |at| message.len() - at - 4);
    replaced(&message, b"<Content-Length>", length.to_string().as_bytes())
}

fn replaced(bytes: &[u8], place: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let finder = |rest: &[u8]| rest.windows(place.len()).position(|part| part == place);
    while let Some(offset) = finder(&bytes[at..]) {
        out.extend_from_slice(&bytes[at..at + offset]);
        out.extend_from_slice(text);
        at += offset + place.len();
    }
    out.extend_from_slice(&bytes[at..]);
    out
}

/// The vendors take no notice of the cases, the customer still gets its OPTIONS answered.
fn options(bench: &mut Bench, case: usize) {
    let text = format!(
        "OPTIONS sip:192.0.2.100 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcheck{case}
From: <sip:check@192.0.2.1>;tag=1
To: <sip:192.0.2.100>
Call-ID: check{case}@192.0.2.1
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

"
    );
    bench.take();
    bench.receive(CALLER, &crlf(&text));
    let sent = bench.take();
    assert_eq!(sent.len(), 1, "case {case}: {sent:?}");
    assert_eq!(sent[0].status(), Some(200), "case {case}");
}

/// What has been sent is clean; a call goes through; and time passes, so that tables turn over.
fn between(bench: &mut Bench, case: usize) {
    for packet in bench.take() {
        if !packet.bytes.is_empty() && packet.bytes != b"\r\n" {
            assert_clean(&format!("case {case}"), &packet.bytes);
        }
    }
    options(bench, case);
    if case.is_multiple_of(CALL_EVERY) {
        bench.call();
        let records = bench.records();
        let answered = |record: &&String| record.contains("caller_hung_up");
        assert_eq!(records.iter().filter(answered).count(), 1, "case {case}");
    }
    bench.run_ms(100);
}

fn bench() -> Bench {
    let mut setup = Setup::new().nobody_goes_down();
    // Each case lives for as long as its timers: 32 s at 100 ms a case.
    setup.transactions_max = 4_000;
    setup.calls_max = 4_000;
    setup.limits.timers = 65_536;
    setup.build()
}

#[test]
fn a3_all_4527_protos_cases_over_udp() {
    let mut bench = bench();
    let mut too_long = 0;
    for_each_case("protos-udp", |case, messages| {
        for message in messages {
            if message.len() > DATAGRAM_BYTES_MAX {
                too_long += 1;
            } else {
                bench.receive(CALLER, message);
            }
        }
        between(&mut bench, case);
    });
    assert_eq!(too_long, 151, "as the set says of itself");
    let forwarded = bench.counter("attempts");
    assert!(
        forwarded > 1_000,
        "most only carry odd values: {}",
        bench.counters()
    );
    bench.ends_empty();
}

#[test]
fn a3_all_4527_protos_cases_over_tcp() {
    let mut bench = bench();
    let mut stream = None;
    for_each_case("protos-tcp", |case, messages| {
        for (number, message) in messages.iter().enumerate() {
            let stream = *stream.get_or_insert_with(|| bench.connect(TCP, CALLER));
            // Cut where the case and its message say: each cut is somewhere else.
            let cut = (case * 131 + number * 17) % message.len().max(1);
            bench.stream(stream, &message[..cut]);
            bench.stream(stream, &message[cut..]);
        }
        // A case that promises more octets than it has would eat the next one: each has its own.
        if let Some(stream) = stream.take() {
            bench.world.stream_close(bench.world.now(), stream);
        }
        between(&mut bench, case);
    });
    assert!(bench.counter("attempts") > 1_000, "{}", bench.counters());
    bench.ends_empty();
}
