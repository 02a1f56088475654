//! The peek finds what the parser finds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Index, parse, sniff, sniff_branch, sniff_call_id};

fuzz_target!(|bytes: &[u8]| {
    let sniffed = sniff(bytes);
    assert_eq!(sniff_call_id(bytes), sniffed.map(|sniffed| sniffed.call_id));
    let mut index = Index::new();
    if let Ok(message) = parse(bytes, &mut index) {
        let sniffed = sniffed.expect("what parses can be sniffed");
        assert_eq!(sniffed.call_id, message.call_id());
        assert_eq!(sniffed.branch, message.via().branch);
        assert_eq!(sniff_branch(bytes).unwrap_or(&[]), sniffed.branch);
        assert_eq!(sniffed.method, message.method());
        assert_eq!(sniffed.has_to_tag, !message.to_tag().is_empty());
    }
});
