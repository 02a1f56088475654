//! The Request-URI that a gateway gets.

use base::Transport;
use sip::Uri;

use super::{at, built, gateway, spec};
use crate::limits::URI_BYTES_MAX;
use crate::{EgressFormat, EgressStyle, GatewaySpec, NumberBuffer};

/// What gateway `g1`, changed so, gets for a call to `dialled`.
fn request_uri(change: impl FnOnce(&mut GatewaySpec), dialled: &str) -> Option<String> {
    let mut spec = spec();
    change(&mut spec.gateways[0]);
    let snapshot = built(&spec);
    let trunk = snapshot.trunk_named("alpha").expect("there").id;
    let uri = Uri::parse(dialled.as_bytes()).expect(dialled);
    let mut buffer = NumberBuffer::new();
    let number = snapshot.number(trunk, &uri, &mut buffer).expect(dialled);
    let mut out = b"kept ".to_vec();
    let written = gateway(&snapshot, "g1").write_uri(&number, &uri, &mut out);
    let text = String::from_utf8(out).expect("ASCII");
    let text = text
        .strip_prefix("kept ")
        .expect("it is appended")
        .to_owned();
    assert!(written || text.is_empty());
    written.then_some(text)
}

fn check(change: impl FnOnce(&mut GatewaySpec), dialled: &str, want: &str) {
    assert_eq!(
        request_uri(change, dialled).as_deref(),
        Some(want),
        "{dialled}"
    );
}

fn format(style: EgressStyle, strip: u8, prefix: &str) -> EgressFormat {
    EgressFormat {
        style,
        strip,
        prefix: prefix.to_owned(),
    }
}

use EgressStyle::{Dialled, E164, E164Plus};

#[test]
fn the_number_in_each_form() {
    let dialled = "sip:+49-30-1@x.invalid:5090;transport=udp?a=b";
    check(|_| {}, dialled, "sip:+49301@192.0.2.1");
    check(
        |g| g.called = format(E164, 0, ""),
        dialled,
        "sip:49301@192.0.2.1",
    );
    check(
        |g| g.called = format(E164, 2, "0"),
        dialled,
        "sip:0301@192.0.2.1",
    );
    check(
        |g| g.called = format(E164Plus, 0, "77#"),
        dialled,
        "sip:77%23+49301@192.0.2.1",
    );
    check(
        |g| g.called = format(E164, 0, "*9"),
        dialled,
        "sip:*949301@192.0.2.1",
    );
    check(
        |g| g.called = format(Dialled, 0, ""),
        dialled,
        "sip:+49-30-1@192.0.2.1",
    );
    check(
        |g| g.called = format(Dialled, 1, "00"),
        dialled,
        "sip:0049-30-1@192.0.2.1",
    );
}

#[test]
fn user_phone_stays_and_nothing_else() {
    check(
        |_| {},
        "sip:+491@x;user=phone;foo=bar",
        "sip:+491@192.0.2.1;user=phone",
    );
    check(|_| {}, "tel:+491", "sip:+491@192.0.2.1");
    check(|_| {}, "sip:+491:secret@x", "sip:+491@192.0.2.1");
}

#[test]
fn the_host_is_the_gateways() {
    check(
        |g| g.address = at("192.0.2.9:5070"),
        "sip:+491@x",
        "sip:+491@192.0.2.9:5070",
    );
    check(
        |g| g.address = at("[2001:db8::9]:5060"),
        "sip:+491@x",
        "sip:+491@[2001:db8::9]",
    );
    check(
        |g| g.address = at("[2001:db8::9]:5070"),
        "sip:+491@x",
        "sip:+491@[2001:db8::9]:5070",
    );
    check(
        |g| g.domain = Some("sip.example.com".to_owned()),
        "sip:+491@x",
        "sip:+491@sip.example.com",
    );
    check(
        |g| g.transport = Transport::Tcp,
        "sip:+491@x",
        "sip:+491@192.0.2.1;transport=tcp",
    );
}

#[test]
fn what_is_no_number_keeps_its_user() {
    check(
        |g| g.called = format(E164, 3, "00"),
        "sip:alice%20b@x",
        "sip:alice%20b@192.0.2.1",
    );
    check(|_| {}, "sip:x", "sip:192.0.2.1");
}

#[test]
fn too_long_a_uri_is_not_written() {
    let host = |length: usize| move |g: &mut GatewaySpec| g.domain = Some("h".repeat(length));
    // sip:+491@ takes nine octets.
    let longest = request_uri(host(URI_BYTES_MAX - 9), "sip:+491@x").expect("it fits");
    assert_eq!(longest.len(), URI_BYTES_MAX);
    assert_eq!(request_uri(host(URI_BYTES_MAX - 8), "sip:+491@x"), None);
}

#[test]
fn stripping_more_than_there_is_leaves_the_prefix() {
    check(
        |g| g.called = format(E164, 9, "5"),
        "sip:+491@x",
        "sip:5@192.0.2.1",
    );
    check(
        |g| g.called = format(E164, 9, ""),
        "sip:+491@x;user=phone",
        "sip:192.0.2.1",
    );
}
