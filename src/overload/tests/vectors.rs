//! The examples of RFC 7339 and RFC 7415.
#![allow(clippy::unwrap_used)]

use base::Time;
use overload::{
    Admission, Advice, Algorithm, Bucket, Cuts, Kind, Params, Rules, Seq, SourceId, Throttle,
};

const VIA: &str = "SIP/2.0/TLS p1.example.net;branch=z9hG4bK2d4790.1";

fn read(params: &str) -> Params {
    Params::read(format!("{VIA}{params}").as_bytes()).unwrap()
}

/// RFC 7339 §4, §6: the Via values of the example, and what each means.
#[test]
fn rfc7339_via_values() {
    let request = read(";oc;oc-algo=\"loss,A\"");
    assert!(request.is_there && request.oc.is_none());
    assert!(request.has_loss && !request.has_rate);
    assert_eq!(request.choose(Algorithm::Rate), Algorithm::Loss);

    let idle = read(";received=192.0.2.111;oc=0;oc-algo=\"loss\";oc-validity=0");
    assert_eq!((idle.oc, idle.validity_ms), (Some(0), Some(0)));

    let cut =
        read(";received=192.0.2.111;oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782");
    assert_eq!((cut.oc, cut.validity_ms), (Some(20), Some(500)));
    assert_eq!(cut.seq, Some(Seq(128_232_161_578_200)));

    let rate = read(";oc=150;oc-algo=\"rate\";oc-validity=1000;oc-seq=1282321615.782");
    assert!(rate.has_rate && !rate.has_loss);
    assert_eq!(Params::read(VIA.as_bytes()), None);
}

/// RFC 7339 §6: supported but idle, 20 per cent for half a second, stop.
#[test]
fn rfc7339_a_client_follows_its_server() {
    let mut server = Throttle::new();
    let at = Time::from_millis;
    server.hear(at(0), &read(";oc=0;oc-algo=\"loss\";oc-validity=0"));
    assert_eq!(server.in_force(at(1)), None);
    let cut = read(";oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782");
    assert!(server.hear(at(10), &cut));
    assert_eq!(server.in_force(at(509)), Some((Algorithm::Loss, 20)));
    assert_eq!(server.in_force(at(510)), None, "the validity is over");
    // The same number again begins no new validity; an older one is late.
    assert!(!server.hear(at(400), &cut));
    assert!(!server.hear(
        at(400),
        &read(";oc=90;oc-algo=\"loss\";oc-seq=1282321615.7")
    ));
    assert_eq!(server.in_force(at(400)), Some((Algorithm::Loss, 20)));
    let stop = read(";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=1282321892.439");
    assert!(server.hear(at(450), &stop));
    assert_eq!(server.in_force(at(451)), None);
}

#[test]
fn rfc7339_defaults_and_senseless_values() {
    let mut server = Throttle::new();
    // No validity: 500 ms (§4.3). A validity without oc says nothing.
    assert!(server.hear(Time::ZERO, &read(";oc=50;oc-algo=\"loss\";oc-seq=1.1")));
    assert!(server.in_force(Time::from_millis(499)).is_some());
    assert!(server.in_force(Time::from_millis(500)).is_none());
    assert!(!server.hear(Time::ZERO, &read(";oc-validity=500;oc-seq=2.1")));
    assert!(!server.hear(Time::ZERO, &read(";oc;oc-seq=2.1")));
    // A server that has begun again counts from below: after a few it is believed (§4.4).
    assert!(server.hear(Time::ZERO, &read(";oc=5;oc-seq=900.0")));
    let accepted = (0..8_u64)
        .filter(|at| server.hear(Time::ZERO, &read(&format!(";oc=7;oc-seq=1.{at}"))))
        .count();
    assert_eq!(accepted, 1);
    assert_eq!(server.in_force(Time::ZERO), Some((Algorithm::Loss, 7)));
}

/// RFC 7339 §7.2: the shares of its examples.
#[test]
fn rfc7339_loss_by_category() {
    let million = 1_000_000;
    let cuts = |oc, plain| (Cuts::of(oc, plain).plain, Cuts::of(oc, plain).protected);
    assert_eq!(cuts(10, 40), (million / 4, 0));
    assert_eq!(cuts(90, 80), (million, million / 2));
    assert_eq!(cuts(0, 80), (0, 0));
    assert_eq!(cuts(100, 80), (million, million));
    assert_eq!(cuts(50, 0), (million, million / 2));
}

/// A call's ACK and BYE are never dropped; of new requests the share that makes up for it.
#[test]
fn rfc7339_in_dialog_requests_are_always_sent() {
    let mut server = Throttle::new();
    server.hear(
        Time::ZERO,
        &read(";oc=20;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.1"),
    );
    let mut dice = 7_u32;
    let (mut sent, mut in_dialog, now) = (0_u32, 0, Time::from_millis(1));
    for at in 0..30_000 {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let kind = if at % 2 == 0 {
            Kind::New
        } else {
            Kind::InDialog
        };
        let admitted = server.admit(now, kind, dice);
        match kind {
            Kind::InDialog => in_dialog += u32::from(admitted),
            _ => sent += u32::from(admitted),
        }
    }
    assert_eq!(in_dialog, 15_000);
    // Half of all are new, so 20 per cent of all are 40 per cent of these.
    assert!((8_700..=9_300).contains(&sent), "{sent}");
}

/// RFC 7415 §3.5.1 with 150 a second: six bursts through, then one each 6.7 ms.
#[test]
fn rfc7415_leaky_bucket() {
    let mut bucket = Bucket::new(150, Time::ZERO);
    let said: String = (1..=12)
        .map(|ms| bucket.admit(Time::from_millis(ms), false, None))
        .map(|admitted| if admitted { '+' } else { '-' })
        .collect();
    assert_eq!(said, "+++++--+----");
    let mut bucket = Bucket::new(150, Time::ZERO);
    let admitted = (0..10_000).filter(|&ms| bucket.admit(Time::from_millis(ms), false, None));
    assert_eq!(admitted.count(), 1_504);
}

/// RFC 7415 §4: 150 a second for one second.
#[test]
fn rfc7415_a_client_follows_its_server() {
    let mut server = Throttle::new();
    let told = read(";oc=150;oc-algo=\"rate\";oc-validity=1000;oc-seq=1282321615.782");
    assert!(server.hear(Time::ZERO, &told));
    assert_eq!(server.in_force(Time::ZERO), Some((Algorithm::Rate, 150)));
    let mut dice = 1_u32;
    let sent = (0..990_u64).filter(|&ms| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        server.admit(Time::from_millis(ms), Kind::New, dice)
    });
    assert!((145..=160).contains(&sent.count()));
    assert!(server.admit(Time::from_millis(999), Kind::InDialog, 0));
    // Rate 0 with a validity: nothing new at all.
    server.hear(
        Time::from_millis(1_000),
        &read(";oc=0;oc-algo=\"rate\";oc-seq=1282321616.0"),
    );
    assert!(!server.admit(Time::from_millis(1_001), Kind::Urgent, 0));
    assert!(
        server.admit(Time::from_millis(1_501), Kind::New, 0),
        "the validity is over"
    );
}

/// RFC 7339 §5.1: a server that is not overloaded says so to who asks.
#[test]
fn rfc7339_a_calm_server_says_that_it_can() {
    let admission = Admission::new(Rules::default(), 1);
    let advice = admission.advice(SourceId(0), Algorithm::Rate, 1, 1_282_321_615_782_000);
    let mut out = [0; Advice::BYTES_MAX];
    let len = advice.write(&mut out);
    assert_eq!(
        std::str::from_utf8(&out[..len]).unwrap(),
        ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=1282321615.78200"
    );
}
