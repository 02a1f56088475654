//! URIs, name-addr and Via values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{NameAddr, Uri, Via};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(uri) = Uri::parse(bytes) {
        let mut user = vec![0; uri.user.len()];
        assert!(uri.unescape_user(&mut user) <= uri.user.len());
        let _ = (uri.ip(), uri.transport(), uri.param(b"lr"));
    }
    if let Ok(value) = NameAddr::parse(bytes) {
        assert_eq!(&bytes[value.uri_range.clone()], value.uri);
        let _ = value.param(b"tag");
    }
    if let Ok(via) = Via::parse(bytes) {
        assert!(via.range.end <= bytes.len());
        let _ = (via.ip(), via.has_cookie(), via.sent_by());
    }
});
