//! A message: read it, look at all of it, answer it or the refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{HeaderId, Index, parse, respond};

fuzz_target!(|bytes: &[u8]| {
    let mut index = Index::new();
    let mut out = vec![0; 140_000];
    let source = "192.0.2.1:5060".parse().expect("an address");
    match parse(bytes, &mut index) {
        Err(error) => {
            assert!(error.offset as usize <= bytes.len());
            if let Some(status) = error.status() {
                let reason = error.reason().as_bytes();
                let length = respond::refuse(bytes, &index, status, reason, source, &mut out)
                    .expect("an answer fits");
                assert_clean(&out[..length]);
            }
        }
        Ok(message) => {
            for &id in HeaderId::KNOWN {
                for value in message.values(id) {
                    assert_eq!(&message.bytes()[value.range], value.bytes);
                }
            }
            let _ = message.vias().count();
            let answer = respond::Response {
                status: 404,
                reason: b"Not Found",
                to_tag: b"tag",
                extra: &[],
                source,
            };
            let bound = respond::len_max(&message, &answer);
            let length = respond::compose(&message, &answer, &mut out[..bound])
                .expect("len_max is enough");
            assert_clean(&out[..length]);
        }
    }
});

/// No bare CR, LF or NUL in what we send, but for the NUL in a quoted pair.
fn assert_clean(message: &[u8]) {
    for (at, &octet) in message.iter().enumerate() {
        match octet {
            b'\r' => assert_eq!(message[at + 1], b'\n'),
            b'\n' => assert_eq!(message[at - 1], b'\r'),
            0 => assert_eq!(message[at - 1], b'\\'),
            _ => {}
        }
    }
}
