//! A forwarded request says what was planned, and the rest of it is what was received.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use sip::{Edits, Index, forward, parse};

fuzz_target!(|bytes: &[u8]| {
    let mut index = Index::new();
    let Ok(message) = parse(bytes, &mut index) else {
        return;
    };
    let source: SocketAddr = "192.0.2.1:5060".parse().expect("an address");
    let mut out = vec![0; 90_000];
    let mut edits = Edits::new();
    assert_eq!(
        edits.compose(message.bytes(), &mut out),
        Some(message.bytes().len())
    );
    assert_eq!(&out[..message.bytes().len()], message.bytes());
    forward::add_header(&message, b"X-Ours", b"1", &mut edits);
    forward::stamp_via(&message, source, &mut edits);
    forward::set_max_forwards(&message, 69, &mut edits);
    forward::trim_routes(&message, 1, 1, &mut edits);
    let length = edits
        .compose(message.bytes(), &mut out)
        .expect("changes of different headers do not cross");
    let mut again = Index::new();
    match parse(&out[..length], &mut again) {
        Ok(sent) => {
            assert_eq!(sent.body(), message.body());
            assert_eq!(sent.max_forwards(), Some(69));
            let ours = sent.lines_named(b"x-ours").last().map(|line| line.value);
            assert_eq!(ours, Some(&b"1"[..]));
        }
        // Our lines can carry a message over a limit; nothing else may make it bad.
        Err(error) => assert!(error.status() == Some(513) || !message.is_request()),
    }
});
