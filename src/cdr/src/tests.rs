use std::io::Write;
use std::net::{Ipv6Addr, SocketAddrV6};

use base::{Money, ShardId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The run of these names. It stays for ever, so that a call with it can be a constant of a test.
fn run(identity: Identity<'_>) -> &'static [u8] {
    let mut run = Vec::new();
    identity.write(&mut run);
    run.leak()
}

fn answered_call() -> Call<'static> {
    const ATTEMPTS: &[Attempt<'static>] = &[
        Attempt {
            number: 1,
            gateway: b"silent-1",
            carrier: b"vendor-a",
            started: Wall(1_793_246_400_000_100),
            ended: Wall(1_793_246_402_000_100),
            q850: 102,
            cause: Cause::NoResponse,
            ..Attempt::EMPTY
        },
        Attempt {
            number: 2,
            gateway: b"good-1",
            carrier: b"vendor-b",
            transport: Transport::Tcp,
            started: Wall(1_793_246_402_000_150),
            progress: Some(Wall(1_793_246_403_000_000)),
            answered: Some(Wall(1_793_246_405_000_000)),
            ended: Wall(1_793_246_465_000_001),
            status: 200,
            q850: 16,
            cause: Cause::Answered,
            ..Attempt::EMPTY
        },
    ];
    Call {
        id: b"n1-0000-0001",
        node: b"n1",
        generation: 7,
        identity: run(Identity {
            call_id: b"a84b4c76e66710@192.0.2.1",
            from_uri: b"sip:+12025550100@192.0.2.1",
            to_uri: b"sip:+442079460001@192.0.2.9",
            request_uri: b"sip:00442079460001@192.0.2.9",
            called: b"442079460001",
            calling: b"12025550100",
            prefix: b"44",
            cap: b"",
        }),
        ingress_trunk: b"customer-1",
        ingress_carrier: b"Example Telecom",
        started: Wall(1_793_246_400_000_000),
        ringing: Some(Wall(1_793_246_403_000_020)),
        answered: Some(Wall(1_793_246_405_000_030)),
        ended: Wall(1_793_246_465_000_031),
        duration_us: 60_000_001,
        pdd_us: Some(3_000_020),
        status: 200,
        q850: 16,
        hung_up: Party::Caller,
        cause: Cause::CallerHungUp,
        egress_gateway: b"good-1",
        egress_carrier: b"vendor-b",
        attempts: ATTEMPTS,
        ..Call::EMPTY
    }
}

fn frame(call: &Call<'_>) -> Vec<u8> {
    let mut out = vec![0; len_max(call)];
    let len = encode(call, &mut out).expect("len_max is enough");
    out.truncate(len);
    out
}

fn line(call: &Call<'_>) -> String {
    String::from_utf8(super::line(call)).expect("the line is UTF-8")
}

/// The line of a frame, as one writer makes it after others.
fn line_of_frame(frame: &[u8], lines: &mut Lines) -> Result<String, DecodeError> {
    let line = lines.of_frame(frame)?;
    Ok(String::from_utf8(line.to_vec()).expect("the line is UTF-8"))
}

#[test]
fn a_record_reads_as_an_operator_expects() {
    let want = concat!(
        r#"{"id":"n1-0000-0001","node":"n1","generation":7,"started":"2026-10-29T04:00:00.000000Z","#,
        r#""ringing":"2026-10-29T04:00:03.000020Z","answered":"2026-10-29T04:00:05.000030Z","#,
        r#""ended":"2026-10-29T04:01:05.000031Z","duration_us":60000001,"pdd_us":3000020,"#,
        r#""status":200,"q850":16,"cause":"caller_hung_up","hung_up":"caller","#,
        r#""call_id":"a84b4c76e66710@192.0.2.1","from_uri":"sip:+12025550100@192.0.2.1","#,
        r#""to_uri":"sip:+442079460001@192.0.2.9","request_uri":"sip:00442079460001@192.0.2.9","#,
        r#""calling":"12025550100","called":"442079460001","ingress_trunk":"customer-1","#,
        r#""ingress_carrier":"Example Telecom","source":"0.0.0.0:0","source_transport":"udp","#,
        r#""egress_gateway":"good-1","egress_carrier":"vendor-b","route_prefix":"44","attempts":["#,
        r#"{"number":1,"gateway":"silent-1","carrier":"vendor-a","address":"0.0.0.0:0","#,
        r#""transport":"udp","started":"2026-10-29T04:00:00.000100Z","progress":null,"#,
        r#""answered":null,"ended":"2026-10-29T04:00:02.000100Z","status":0,"q850":102,"#,
        r#""cause":"no_response"},{"number":2,"gateway":"good-1","carrier":"vendor-b","#,
        r#""address":"0.0.0.0:0","transport":"tcp","started":"2026-10-29T04:00:02.000150Z","#,
        r#""progress":"2026-10-29T04:00:03.000000Z","answered":"2026-10-29T04:00:05.000000Z","#,
        r#""ended":"2026-10-29T04:01:05.000001Z","status":200,"q850":16,"cause":"answered"}],"#,
        r#""clipped":false}"#,
        "\n"
    );
    assert_eq!(line(&answered_call()), want);
}

#[test]
fn a_frame_cut_at_any_byte_is_refused() {
    let whole = frame(&answered_call());
    for cut in 0..whole.len() {
        let mut part = whole[..cut].to_vec();
        assert_eq!(decode(&part), Err(DecodeError::Truncated), "cut at {cut}");
        // The same with a length that was made to fit.
        if cut >= FRAME_HEADER_BYTES {
            part[4..8].copy_from_slice(&(cut as u32).to_le_bytes());
            assert_eq!(decode(&part), Err(DecodeError::Length), "made to fit {cut}");
        }
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(decode(&longer), Err(DecodeError::Length));
    assert_eq!(frame_len(&longer), Ok(whole.len()));
}

#[test]
fn a_changed_header_is_refused_by_name() {
    let whole = frame(&answered_call());
    let check = |at: usize, value: u8, want: DecodeError| {
        let mut changed = whole.clone();
        changed[at] = value;
        assert_eq!(decode(&changed), Err(want), "byte {at} = {value}");
    };
    check(0, b'X', DecodeError::NotAFrame);
    check(2, 1, DecodeError::Version(1));
    check(3, 0x80, DecodeError::Value { offset: 3 });
    check(4, whole[4].wrapping_sub(1), DecodeError::Length);
    let value = |at: usize, value: u8| {
        let offset = at as u32;
        check(at, value, DecodeError::Value { offset });
    };
    value(64, 5); // the family of the source
    value(64 + 1, 2); // its transport
    value(91, 3); // who hung up
    value(92, Cause::ALL.len() as u8);
    value(94, 1); // a price that is not there
    let first = 140;
    value(first + 8, 1); // the first attempt made no progress, but at a time
    value(first + 59, 1); // its flags
    value(first + 98 + 61, 200); // the cause of the second
}

#[test]
fn a_short_buffer_loses_attempts_and_then_refuses() {
    let call = answered_call();
    let len = frame(&call).len();
    let mut kept = 2;
    for room in (0..=len).rev() {
        let mut out = vec![0; room];
        let Some(len) = encode(&call, &mut out) else {
            assert_eq!(kept, 0, "the attempts go first, at {room}");
            continue;
        };
        let decoded = decode(&out[..len]).expect("valid");
        assert!(decoded.call().attempts.len() <= kept);
        kept = decoded.call().attempts.len();
        assert_eq!(decoded.call().attempts, &call.attempts[..kept]);
        assert_eq!(decoded.call().clipped, kept < 2);
    }
}

/// A peer that fills every field, and a route with many gateways, still leave a record.
#[test]
fn the_largest_call_fits_the_largest_frame() {
    let long = vec![b'7'; 70_000];
    let attempts = [Attempt {
        gateway: &long,
        carrier: &long,
        ..Attempt::EMPTY
    }; 256];
    let call = Call {
        id: &long,
        node: &long,
        identity: run(Identity {
            call_id: &long,
            from_uri: &long,
            to_uri: &long,
            request_uri: &long,
            called: &long,
            calling: &long,
            prefix: &long,
            // A cap, its trunk and a prefix: no longer by far.
            cap: &long[..200],
        }),
        ingress_trunk: &long,
        ingress_carrier: &long,
        egress_gateway: &long,
        egress_carrier: &long,
        attempts: &attempts,
        ..answered_call()
    };
    assert_eq!(len_max(&call), FRAME_BYTES_MAX);
    let bytes = frame(&call);
    let decoded = decode(&bytes).expect("valid");
    assert!(decoded.call().clipped && !decoded.call().attempts.is_empty());
    let text = line_of_frame(&bytes, &mut Lines::new()).expect("valid");
    assert_eq!(text, line(&decoded.call()));
}

#[test]
fn what_is_too_long_is_cut_and_marked() {
    let long = vec![b'7'; FIELD_BYTES_MAX + 1];
    let call = Call {
        node: &long,
        ..answered_call()
    };
    let bytes = frame(&call);
    let decoded = decode(&bytes).expect("valid");
    assert_eq!(decoded.call().node, &long[..FIELD_BYTES_MAX]);
    assert!(decoded.call().clipped && decoded.call().is_clipped());
    assert!(line(&decoded.call()).contains(r#""clipped":true"#));

    let identity = run(Identity {
        from_uri: &long,
        ..answered_call().identity()
    });
    let call = Call {
        identity,
        ..answered_call()
    };
    let bytes = frame(&call);
    let decoded = decode(&bytes).expect("valid");
    assert!(decoded.call().is_clipped());
    let text = line(&decoded.call());
    assert!(text.contains(r#""clipped":true"#));
    let value: Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(octets(&value["from_uri"]), &long[..FIELD_BYTES_MAX]);
    assert_eq!(value["to_uri"], "sip:+442079460001@192.0.2.9");

    let attempts = vec![Attempt::EMPTY; 256];
    let call = Call {
        attempts: &attempts,
        ..answered_call()
    };
    let bytes = frame(&call);
    let decoded = decode(&bytes).expect("valid");
    let kept = decoded.call().attempts.len();
    assert!(
        decoded.call().clipped && (64..256).contains(&kept),
        "{kept}"
    );
}

#[test]
fn codes_in_a_frame_are_the_places_in_the_lists() {
    for (code, cause) in Cause::ALL.iter().enumerate() {
        assert_eq!(*cause as usize, code, "{}", cause.name());
    }
    for (code, party) in Party::ALL.iter().enumerate() {
        assert_eq!(*party as usize, code, "{}", party.name());
    }
}

/// RFC 3398 §8.2.6.1, its rows in its order, and what that section says of what has no row.
#[test]
fn rfc3398_maps_statuses_to_causes() {
    let table = "400=41 401=21 402=21 403=21 404=1 405=63 406=79 407=21 408=102 410=22 413=127 \
        414=127 415=79 416=127 420=127 421=127 423=127 480=18 481=41 482=25 483=25 484=28 485=1 \
        486=17 487=16 488=31 500=41 501=79 502=38 503=41 504=102 505=127 513=127 600=17 603=21 \
        604=1 606=31 200=16 300=31 302=31 409=31 422=31 433=31 580=31 699=31 0=31";
    for row in table.split_whitespace() {
        let (status, cause) = row.split_once('=').expect("status=cause");
        let status: u16 = status.parse().expect("a status");
        assert_eq!(q850_of(status).to_string(), cause, "status {status}");
    }
}

#[test]
fn a_reason_header_wins_over_the_table() {
    let check = |cause: Cause, status, reason, want| {
        assert_eq!(
            cause.q850(status, reason),
            want,
            "{cause:?} {status} {reason:?}"
        );
    };
    check(Cause::Refused, 503, Some(34), 34);
    check(Cause::Refused, 503, Some(0), 41);
    check(Cause::Refused, 503, Some(128), 41);
    check(Cause::Refused, 486, None, 17);
    check(Cause::NoResponse, 0, None, 102);
    check(Cause::NoAnswer, 408, None, 19);
    check(Cause::TransportError, 0, None, 41);
    check(Cause::Cancelled, 487, None, 16);
    check(Cause::CallerHungUp, 200, None, 16);
    check(Cause::CallerHungUp, 200, Some(31), 31);
    check(Cause::NoRoute, 404, None, 1);
}

#[test]
fn civil_times() {
    let check = |us: i64, want: &str| {
        let text = write_civil(Wall(us));
        assert_eq!(std::str::from_utf8(&text), Ok(want));
    };
    check(0, "1970-01-01T00:00:00.000000Z");
    check(-1, "1969-12-31T23:59:59.999999Z");
    check(951_782_399_999_999, "2000-02-28T23:59:59.999999Z");
    check(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
    check(951_868_800_000_000, "2000-03-01T00:00:00.000000Z");
    check(4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z");
    check(4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z");
    check(i64::MIN, "0000-01-01T00:00:00.000000Z");
    check(i64::MAX, "9999-12-31T23:59:59.999999Z");
}

fn unquoted(civil: &mut civil::Civil, wall: Wall) -> [u8; CIVIL_BYTES] {
    let quoted = civil.quoted(wall);
    assert_eq!((quoted[0], quoted[CIVIL_BYTES + 1]), (b'"', b'"'));
    quoted[1..=CIVIL_BYTES].try_into().expect("the length")
}

/// Every day of the years 0000 to 9999 against a calendar that counts days one by one, by one
/// writer that goes from day to day, and its last microsecond too.
#[test]
fn civil_dates_follow_the_calendar() {
    const DAY_US: i64 = 86_400_000_000;
    let mut civil = civil::Civil::new(Wall(i64::MAX));
    let (mut year, mut month, mut day) = (0, 1, 1);
    let mut us = -62_167_219_200_000_000;
    let mut want = Vec::new();
    while year <= 9_999 {
        want.clear();
        write!(want, "{year:04}-{month:02}-{day:02}").expect("memory takes it");
        let begin = unquoted(&mut civil, Wall(us));
        assert_eq!(
            (&begin[..10], &begin[10..]),
            (&want[..], &b"T00:00:00.000000Z"[..])
        );
        let end = unquoted(&mut civil, Wall(us + DAY_US - 1));
        assert_eq!(
            (&end[..10], &end[10..]),
            (&want[..], &b"T23:59:59.999999Z"[..])
        );
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + i32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        (us, day) = (us + DAY_US, day + 1);
        if day > last {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
    assert_eq!(us, 253_402_300_800_000_000);
}

#[test]
fn an_identity_names_node_slot_and_start() {
    let mut out = [0; 64];
    let slot = SlotId::new(ShardId(3), 5, 9);
    let len = write_id(b"lon-1", slot, Wall(0x0006_1d2c_3b4a_5968), &mut out).expect("fits");
    assert_eq!(
        std::str::from_utf8(&out[..len]),
        Ok(format!("lon-1-{:016x}-00061d2c3b4a5968", slot.bits()).as_str())
    );
    assert_eq!(write_id(b"lon-1", slot, Wall(0), &mut out[..len - 1]), None);
}

/// Fault A23: what peers send cannot break out of its field, and can be had back octet by octet.
#[test]
fn a23_hostile_octets_stay_in_their_field() {
    let hostile: &[&[u8]] = &[
        b"\"},{\"id\":\"forged\"}\n{\"id\":\"x",
        b"<script>alert(1)</script>&amp;",
        b"'; DROP TABLE cdr; --",
        b"=cmd|' /C calc'!A0",
        b"\x1b[2J\x1b]0;owned\x07\r\nlog line",
        b"\\x41 and \\\\ and \\",
        b"\xff\xfe\x80 caf\xe9 \xc3\xa9 \xed\xa0\x80 \xf4\x90\x80\x80",
        "\u{202e}gnp.exe \u{2028}\u{feff}\u{85}\u{7f}\0".as_bytes(),
    ];
    for octets in hostile {
        let attempts = [Attempt {
            gateway: octets,
            ..Attempt::EMPTY
        }];
        let call = Call {
            identity: run(Identity {
                call_id: octets,
                from_uri: octets,
                ..Identity::default()
            }),
            attempts: &attempts,
            ..answered_call()
        };
        let text = line(&call);
        assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
        assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
        assert!(
            !text.contains(['<', '>', '&', '\u{202e}', '\u{2028}', '\u{feff}']),
            "{text:?}"
        );
        let value: Value = serde_json::from_str(&text).expect("valid JSON");
        assert_eq!(value["id"], "n1-0000-0001");
        for field in [
            &value["call_id"],
            &value["from_uri"],
            &value["attempts"][0]["gateway"],
        ] {
            let field = field.as_str().expect("a string");
            assert_eq!(unescape(field).as_deref(), Some(*octets), "{field}");
        }
    }
    assert_eq!(unescape(r"\y"), None);
    assert_eq!(unescape(r"\x4"), None);
}

/// The parts of a random call, owned.
#[derive(Debug, Clone)]
struct Parts {
    fields: Vec<Vec<u8>>,
    run: Vec<u8>,
    times: [i64; 2],
    options: [Option<i64>; 2],
    duration_us: u64,
    pdd_us: Option<u64>,
    status: u16,
    codes: [u8; 3],
    source: SocketAddr,
    attempts: Vec<RawAttempt>,
}

type RawAttempt = (
    Vec<u8>,
    Vec<u8>,
    SocketAddr,
    [i64; 2],
    [Option<i64>; 2],
    u16,
    [u8; 3],
);

fn addresses() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::from((ip, port))),
        (any::<[u8; 16]>(), any::<u16>(), any::<u32>()).prop_map(|(ip, port, scope)| {
            SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope))
        }),
    ]
}

fn parts() -> impl Strategy<Value = Parts> {
    // Half of them as carriers write them, so that records come of which all is plain.
    let plain = "[ -!#-%'-;=?-\\[\\]-~]{0,70}".prop_map(String::into_bytes);
    let text = || prop_oneof![vec(any::<u8>(), 0..40), plain.clone()];
    let attempt = (
        text(),
        text(),
        addresses(),
        any::<[i64; 2]>(),
        [option::of(any::<i64>()), option::of(any::<i64>())],
        any::<u16>(),
        any::<[u8; 3]>(),
    );
    let fixed = (
        any::<u64>(),
        option::of(any::<u64>()),
        any::<u16>(),
        any::<[u8; 3]>(),
    );
    (
        vec(text(), 14),
        any::<[i64; 2]>(),
        [option::of(any::<i64>()), option::of(any::<i64>())],
        fixed,
        addresses(),
        vec(attempt, 0..5),
    )
        .prop_map(|(fields, times, options, fixed, source, attempts)| Parts {
            run: names(&fields),
            fields,
            times,
            options,
            duration_us: fixed.0,
            pdd_us: fixed.1,
            status: fixed.2,
            codes: fixed.3,
            source,
            attempts,
        })
}

/// The fields with a name of the caller, as the run of them.
fn names(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut run = Vec::new();
    let [call_id, from_uri, to_uri, request_uri, called, calling] =
        [2, 3, 4, 5, 6, 7].map(|at| &*fields[at]);
    let identity = Identity {
        call_id,
        from_uri,
        to_uri,
        request_uri,
        called,
        calling,
        prefix: &fields[12],
        cap: &fields[13],
    };
    identity.write(&mut run);
    run
}

fn cause_of(code: u8) -> Cause {
    Cause::ALL[usize::from(code) % Cause::ALL.len()]
}

fn transport_of(code: u8) -> Transport {
    if code.is_multiple_of(2) {
        Transport::Udp
    } else {
        Transport::Tcp
    }
}

impl Parts {
    fn attempts(&self) -> Vec<Attempt<'_>> {
        let one = |(i, a)| {
            let (gateway, carrier, address, times, options, status, codes): &RawAttempt = a;
            Attempt {
                number: i as u8,
                gateway,
                carrier,
                address: *address,
                transport: transport_of(codes[0]),
                started: Wall(times[0]),
                progress: options[0].map(Wall),
                answered: options[1].map(Wall),
                ended: Wall(times[1]),
                status: *status,
                q850: codes[1],
                cause: cause_of(codes[2]),
                bought: price_of(times[1], *codes),
            }
        };
        self.attempts.iter().enumerate().map(one).collect()
    }

    fn call<'a>(&'a self, attempts: &'a [Attempt<'a>]) -> Call<'a> {
        let f = &self.fields;
        Call {
            id: &f[0],
            node: &f[1],
            generation: self.duration_us.rotate_left(7),
            identity: &self.run,
            ingress_trunk: &f[8],
            ingress_carrier: &f[9],
            source: self.source,
            source_transport: transport_of(self.codes[0]),
            started: Wall(self.times[0]),
            ringing: self.options[0].map(Wall),
            answered: self.options[1].map(Wall),
            ended: Wall(self.times[1]),
            duration_us: self.duration_us,
            pdd_us: self.pdd_us,
            status: self.status,
            q850: self.codes[1],
            hung_up: Party::ALL[usize::from(self.codes[1]) % 3],
            cause: cause_of(self.codes[2]),
            egress_gateway: &f[10],
            egress_carrier: &f[11],
            sold: price_of(self.times[0], self.codes),
            attempts,
            clipped: false,
        }
    }
}

/// A price made of other random numbers, or none.
fn price_of(parts: i64, [first, next, digits_count]: [u8; 3]) -> Option<Price> {
    let steps = u16::from(next);
    (steps > 64).then(|| Price {
        per_minute: Money::from_parts(parts),
        connect_fee: Money::from_parts(parts.rotate_left(17)),
        first_seconds: u16::from(first),
        next_seconds: steps,
        currency: *b"EUR",
        digits_count,
        amount: Money::from_parts(parts.rotate_left(33)),
    })
}

#[test]
fn prices_are_told_in_exact_texts() {
    let price = Price {
        per_minute: Money::parse("0.0135").unwrap(),
        connect_fee: Money::parse("0.05").unwrap(),
        first_seconds: 60,
        next_seconds: 6,
        currency: *b"USD",
        digits_count: 4,
        amount: Money::parse("0.0635").unwrap(),
    };
    let attempts = answered_call().attempts.to_vec();
    let attempts: Vec<Attempt<'_>> = (attempts.into_iter())
        .map(|attempt| Attempt {
            bought: (attempt.number == 2).then_some(price),
            ..attempt
        })
        .collect();
    let call = Call {
        sold: Some(price),
        attempts: &attempts,
        ..answered_call()
    };
    let want = r#"{"code":"4420","currency":"USD","rate":"0.0135","fee":"0.05","steps":"60/6","amount":"0.0635"}"#;
    let value: Value = serde_json::from_str(&line(&call)).unwrap();
    let want: Value = serde_json::from_str(want).unwrap();
    assert_eq!(
        (&value["sold"], &value["attempts"][1]["bought"]),
        (&want, &want)
    );
    assert!(value["attempts"][0].get("bought").is_none());
    assert_eq!(decode(&frame(&call)).unwrap().call(), call);
}

/// The octets of a JSON string field.
fn octets(value: &Value) -> Vec<u8> {
    unescape(value.as_str().expect("a string")).expect("written by Lines")
}

proptest! {
    /// A writer that has written other moments writes as one that has not.
    #[test]
    fn civil_times_do_not_depend_on_the_one_before(
        moments in vec((any::<i64>(), 0..200_000_000_000_i64), 1..20),
    ) {
        let mut civil = civil::Civil::new(Wall(0));
        for (us, more) in moments {
            for us in [us, us.saturating_add(more), us.saturating_add(more + 1)] {
                prop_assert_eq!(unquoted(&mut civil, Wall(us)), write_civil(Wall(us)));
                let day_us = us.rem_euclid(86_400_000_000);
                let (second, us_of) = (day_us / 1_000_000, day_us % 1_000_000);
                let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
                let want = format!("T{hour:02}:{minute:02}:{second:02}.{us_of:06}Z");
                let is_within = (-62_167_219_200_000_000..253_402_300_800_000_000).contains(&us);
                if is_within {
                    prop_assert_eq!(&write_civil(Wall(us))[10..], want.as_bytes());
                }
            }
        }
    }

    #[test]
    fn a_frame_gives_back_what_was_put_in(parts in parts()) {
        let attempts = parts.attempts();
        let call = parts.call(&attempts);
        let bytes = frame(&call);
        prop_assert!(bytes.len() <= len_max(&call));
        prop_assert_eq!(frame_len(&bytes), Ok(bytes.len()));
        prop_assert_eq!(decode(&bytes).map(|d| d.call() == call), Ok(true));
        for cut in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..cut]).err(), Some(DecodeError::Truncated));
        }
    }

    #[test]
    fn a_line_says_what_the_record_says(parts in parts()) {
        let attempts = parts.attempts();
        let call = parts.call(&attempts);
        let text = line(&call);
        let value: Value = serde_json::from_str(&text).expect("valid JSON");
        let civil = |wall: Wall| Value::from(String::from_utf8_lossy(&write_civil(wall)).into_owned());
        let fields = ["id", "node", "call_id", "from_uri", "to_uri", "request_uri", "called",
            "calling", "ingress_trunk", "ingress_carrier", "egress_gateway", "egress_carrier",
            "route_prefix"];
        for (name, want) in fields.iter().zip(&parts.fields) {
            prop_assert_eq!(&octets(&value[*name]), want, "{}", name);
        }
        let cap = value.get("cap").map(octets).unwrap_or_default();
        prop_assert_eq!(&cap, &parts.fields[13]);
        prop_assert_eq!(&value["started"], &civil(call.started));
        prop_assert_eq!(&value["ended"], &civil(call.ended));
        prop_assert_eq!(&value["ringing"], &call.ringing.map_or(Value::Null, civil));
        prop_assert_eq!(&value["answered"], &call.answered.map_or(Value::Null, civil));
        prop_assert_eq!(&value["generation"], &Value::from(call.generation));
        prop_assert_eq!(&value["duration_us"], &Value::from(call.duration_us));
        prop_assert_eq!(&value["pdd_us"], &call.pdd_us.map_or(Value::Null, Value::from));
        prop_assert_eq!(&value["status"], &Value::from(call.status));
        prop_assert_eq!(&value["q850"], &Value::from(call.q850));
        prop_assert_eq!(&value["cause"], call.cause.name());
        prop_assert_eq!(&value["hung_up"], call.hung_up.name());
        prop_assert_eq!(&value["source"], &Value::from(call.source.to_string()));
        let list = value["attempts"].as_array().expect("a list");
        prop_assert_eq!(list.len(), attempts.len());
        for (value, attempt) in list.iter().zip(&attempts) {
            prop_assert_eq!(octets(&value["gateway"]), attempt.gateway);
            prop_assert_eq!(octets(&value["carrier"]), attempt.carrier);
            prop_assert_eq!(&value["progress"], &attempt.progress.map_or(Value::Null, civil));
            prop_assert_eq!(&value["status"], &Value::from(attempt.status));
            prop_assert_eq!(&value["cause"], attempt.cause.name());
        }
    }

    /// The line that is written straight from a frame is that of the record in it, also where all
    /// texts are plain and are not looked at one by one.
    #[test]
    fn a_frame_has_the_line_of_its_record(parts in parts(), plain in any::<bool>()) {
        let mut parts = parts;
        if plain {
            let lists = parts.attempts.iter_mut().flat_map(|a| [&mut a.0, &mut a.1]);
            for octet in parts.fields.iter_mut().chain(lists).flatten() {
                *octet = b'a' + *octet % 26;
            }
            parts.run = names(&parts.fields);
        }
        let attempts = parts.attempts();
        let call = parts.call(&attempts);
        let mut lines = Lines::new();
        for _ in 0..2 {
            prop_assert_eq!(line_of_frame(&frame(&call), &mut lines), Ok(line(&call)));
            // Of another day, and longer than the one before.
            let long = Call { started: Wall(1), node: &[b'"'; 512], ..call };
            prop_assert_eq!(line_of_frame(&frame(&long), &mut lines), Ok(line(&long)));
        }
    }

    /// Every octet, at every place of a text of every length, is seen by whoever looks for it.
    #[test]
    fn no_octet_hides_in_a_plain_text(len in 0..100_usize, at in 0..100_usize, octet in any::<u8>()) {
        let mut text = vec![b'+'; len];
        if at < len {
            text[at] = octet;
        }
        let attempts = [Attempt { carrier: &text, ..Attempt::EMPTY }];
        let call = Call { attempts: &attempts, ..answered_call() };
        prop_assert_eq!(line_of_frame(&frame(&call), &mut Lines::new()), Ok(line(&call)));
    }

    #[test]
    fn any_octets_come_back_from_a_field(octets in vec(any::<u8>(), 0..200)) {
        let identity = Identity { call_id: &octets, ..Identity::default() };
        let call = Call { identity: run(identity), ..Call::EMPTY };
        let value: Value = serde_json::from_str(&line(&call)).expect("valid JSON");
        prop_assert_eq!(unescape(value["call_id"].as_str().expect("a string")), Some(octets));
    }

    #[test]
    fn decoding_survives_any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = Lines::new().of_frame(&bytes);
        let mut framed = b"TC\x02\x00\0\0\0\0".to_vec();
        framed.extend_from_slice(&bytes);
        let len = framed.len() as u32;
        framed[4..8].copy_from_slice(&len.to_le_bytes());
        let _ = decode(&framed);
    }

    /// Whatever is accepted is a record that encodes to the same bytes.
    #[test]
    fn a_damaged_frame_is_refused_or_read_as_itself(
        parts in parts(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let attempts = parts.attempts();
        let mut bytes = frame(&parts.call(&attempts));
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let text = line_of_frame(&bytes, &mut Lines::new());
        match decode(&bytes) {
            Ok(decoded) => {
                prop_assert_eq!(text, Ok(line(&decoded.call())));
                prop_assert_eq!(frame(&decoded.call()), bytes);
            }
            Err(error) => prop_assert_eq!(text, Err(error)),
        }
    }
}
