//! The Request-URI that a gateway gets.

use base::Transport;
use sip::Uri;

use super::{at, built, chain, gateway, spec};
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
fn rules_see_the_number_as_the_gateway_wants_it() {
    let rules = |sets: &'static [(&str, &str, usize, &str)]| {
        move |g: &mut GatewaySpec| g.rules.called = chain(sets)
    };
    let to_national = rules(&[("national", "+49", 3, "0")]);
    check(
        to_national,
        "sip:+4930@x;user=phone",
        "sip:030@192.0.2.1;user=phone",
    );
    check(
        rules(&[("national", "+43", 3, "0")]),
        "sip:+4930@x",
        "sip:+4930@192.0.2.1",
    );
    let behind_a_prefix = |g: &mut GatewaySpec| {
        g.called = format(E164, 0, "77#");
        g.rules.called = chain(&[("hash", "77#49", 5, "8#0")]);
    };
    check(behind_a_prefix, "sip:+4930@x", "sip:8%23030@192.0.2.1");
    check(
        rules(&[("any", "", 0, "9")]),
        "sip:alice@x",
        "sip:alice@192.0.2.1",
    );
    check(rules(&[("any", "", 0, "9")]), "sip:x", "sip:192.0.2.1");
    // What fits without a rule may not with it.
    let longer = |g: &mut GatewaySpec| {
        g.domain = Some("h".repeat(URI_BYTES_MAX - 9));
        g.rules.called = chain(&[("any", "", 0, "9")]);
    };
    assert_eq!(request_uri(longer, "sip:+491@x"), None);
}

#[test]
fn what_the_trunks_rules_made_counts_as_dialled() {
    let mut spec = spec();
    spec.trunks[0].rules.called = chain(&[("in", "9", 1, "+"), ("star", "*", 0, "#")]);
    spec.gateways[0].called = format(Dialled, 0, "");
    spec.gateways[0].keep_parameters = vec!["*".to_owned()];
    let snapshot = built(&spec);
    let trunk = snapshot.trunk_named("alpha").expect("there").id;
    for (dialled, number, want) in [
        ("sip:949301@x", "49301", "sip:+49301@192.0.2.1"),
        ("sip:%2B49301@x", "49301", "sip:%2B49301@192.0.2.1"),
        ("sip:*21@x", "%23*21", "sip:%23*21@192.0.2.1"),
    ] {
        let uri = Uri::parse(dialled.as_bytes()).expect(dialled);
        let mut buffer = NumberBuffer::new();
        let read = snapshot.number(trunk, &uri, &mut buffer).expect(dialled);
        assert_eq!(read.text(), number.as_bytes(), "{dialled}");
        let mut out = Vec::new();
        assert!(gateway(&snapshot, "g1").write_uri(&read, &uri, &mut out));
        assert_eq!(String::from_utf8(out).expect("ASCII"), want, "{dialled}");
    }
}

/// RFC 4694 §3, RFC 3261 §19.1.6.
#[test]
fn parameters_of_the_number_go_on_where_they_are_wanted() {
    let keep = |names: &'static [&str]| {
        move |g: &mut GatewaySpec| {
            g.keep_parameters = names.iter().map(|name| (*name).to_owned()).collect();
        }
    };
    let ported = "sip:+12025550100;npdi;rn=+12025559999;cic=+10288@x;user=phone";
    check(keep(&[]), ported, "sip:+12025550100@192.0.2.1;user=phone");
    let want = "sip:+12025550100;npdi;rn=+12025559999@192.0.2.1;user=phone";
    check(keep(&["npdi", "RN"]), ported, want);
    let want = "sip:+12025550100;npdi;rn=+12025559999;cic=+10288@192.0.2.1;user=phone";
    check(keep(&["*"]), ported, want);
    let tel = "tel:+12025550100;npdi;phone-context=[x]";
    check(keep(&["npdi"]), tel, "sip:+12025550100;npdi@192.0.2.1");
    let want = "sip:+12025550100;npdi;phone-context=%5Bx%5D@192.0.2.1";
    check(keep(&["*"]), tel, want);
    let dialled = |g: &mut GatewaySpec| {
        g.called = format(Dialled, 0, "");
        g.keep_parameters = vec!["*".to_owned()];
    };
    check(dialled, "sip:+1;npdi@x", "sip:+1;npdi@192.0.2.1");
    check(
        keep(&["*"]),
        "sip:alice;day=1@x",
        "sip:alice;day=1@192.0.2.1",
    );
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
