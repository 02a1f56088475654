//! Framing of streams.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod messages;

use corpora::read;
use messages::{crlf, valid};
use sip::frame::{FrameError, Framing, Limits, frame};
use sip::{Index, parse};

/// Frames a stream that arrives cut into pieces of the given lengths, over and over.
fn framed(stream: &[u8], cuts: &[usize]) -> Result<Vec<Vec<u8>>, FrameError> {
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    let mut cuts = cuts.iter().cycle();
    loop {
        match frame(&stream[start..end], Limits::default()) {
            Framing::More if end == stream.len() => {
                assert_eq!(start, end, "nothing is left over");
                return Ok(found);
            }
            Framing::More => end = (end + cuts.next().unwrap()).min(stream.len()),
            Framing::Message(length) => {
                found.push(stream[start..start + length].to_vec());
                start += length;
            }
            Framing::KeepAlive { bytes, .. } => start += bytes,
            Framing::Bad(error) => return Err(error),
        }
    }
}

/// The valid messages that can go over a stream: with a Content-Length, and whole.
fn for_streams() -> Vec<Vec<u8>> {
    let mut index = Index::new();
    valid()
        .into_iter()
        .filter_map(|(_, bytes)| {
            let message = parse(&bytes, &mut index).unwrap();
            message.content_length()?;
            Some(message.bytes().to_vec())
        })
        .collect()
}

#[test]
fn a18_all_valid_messages_joined_and_cut_anyhow_come_out_the_same() {
    let all = for_streams();
    assert!(all.len() > 480, "{} messages", all.len());
    let mut stream = Vec::new();
    for (number, message) in all.iter().enumerate() {
        stream.extend_from_slice(message);
        stream.extend_from_slice(b"\r\n\r\n".get(..number % 3 * 2).unwrap());
    }
    for cuts in [
        &[1][..],
        &[2],
        &[3, 1, 7],
        &[64],
        &[1_460],
        &[4_096, 1],
        &[usize::MAX / 2],
    ] {
        assert_eq!(framed(&stream, cuts).unwrap(), all, "cut at {cuts:?}");
    }
}

#[test]
fn a18_each_message_cut_at_each_octet_waits_for_the_rest() {
    for message in for_streams() {
        for end in 0..message.len() {
            assert_eq!(
                frame(&message[..end], Limits::default()),
                Framing::More,
                "cut at {end}: {}",
                String::from_utf8_lossy(&message)
            );
        }
        let twice = [&message[..], &message[..]].concat();
        for end in message.len()..=twice.len() {
            assert_eq!(
                frame(&twice[..end], Limits::default()),
                Framing::Message(message.len())
            );
        }
    }
}

/// What a stream that begins with these lines is taken for.
fn check(text: &str, want: Framing) {
    assert_eq!(frame(&crlf(text), Limits::default()), want, "{text}");
}

#[test]
fn a18_lengths_that_could_be_read_in_two_ways_close_the_stream() {
    let bad = |text: &str, error| check(text, Framing::Bad(error));
    let start = "OPTIONS sip:a SIP/2.0\n";
    bad(
        &format!("{start}Content-Length: 5\nContent-Length: 13\n\n"),
        FrameError::TwoLengths,
    );
    bad(
        &format!("{start}l: 5\nContent-Length: 13\n\n"),
        FrameError::TwoLengths,
    );
    bad(
        &format!("{start}Via: SIP/2.0/TCP a\n\n"),
        FrameError::NoLength,
    );
    for value in [
        "",
        "-1",
        "five",
        "5,5",
        "5 5",
        "0x5",
        "+5",
        "99999999999999999999",
    ] {
        bad(
            &format!("{start}Content-Length: {value}\n\n"),
            FrameError::BadLength,
        );
    }
    bad(&format!("{start}l: 65535\n\n"), FrameError::BodyTooLong);
    bad(
        &format!("{start}l: 18446744073709551615\n\n"),
        FrameError::BodyTooLong,
    );
    let length = |text: &str| crlf(text).len();
    for text in [
        "l: 0\n\n",
        "L\t :\n 000\n\n",
        "Content-Length:0\n\n",
        "l: 0\nl: 00\n\n",
    ] {
        let text = format!("{start}{text}");
        check(&text, Framing::Message(length(&text)));
    }
    // The folded line belongs to the header before it, for the framing as for the parser.
    bad(
        &format!("{start}Subject: a\n Content-Length: 0\n\n"),
        FrameError::NoLength,
    );
    for line in [
        "X: a\rContent-Length: 0",
        "X: a\nContent-Length: 0",
        "X: a\r\r\nl: 0",
    ] {
        let bytes = format!("OPTIONS sip:a SIP/2.0\r\n{line}\r\n\r\n");
        let got = frame(bytes.as_bytes(), Limits::default());
        assert_eq!(got, Framing::Bad(FrameError::LineEnd), "{line:?}");
    }
}

#[test]
fn keep_alives_and_noise_are_told_from_messages() {
    let keep_alive = |bytes, pong| Framing::KeepAlive { bytes, pong };
    check("\n\n", keep_alive(4, true));
    check("\n", keep_alive(2, false));
    check("\nOPTIONS", keep_alive(2, false));
    check("\n\n\n", keep_alive(4, true));
    check("", Framing::More);
    check("OPT", Framing::More);
    for noise in [&b"\x16\x03\x01"[..], b"\n", b" ", b"\0", b"<?xml"] {
        let got = frame(noise, Limits::default());
        assert_eq!(got, Framing::Bad(FrameError::Start), "{noise:?}");
    }
}

#[test]
fn limits_of_a_stream_are_held() {
    let limits = Limits {
        header_bytes_max: 100,
        body_bytes_max: 10,
    };
    let with = |padding: usize, body: usize| {
        let head = format!(
            "M sip:a SIP/2.0\r\nX: {}\r\nl: {body}\r\n\r\n",
            "x".repeat(padding)
        );
        (head.len(), [head.as_bytes(), &vec![b'b'; body]].concat())
    };
    let (head, bytes) = with(70, 9);
    assert_eq!(head, 100);
    assert_eq!(frame(&bytes, limits), Framing::Message(109));
    let (head, bytes) = with(71, 9);
    assert_eq!(head, 101);
    assert_eq!(
        frame(&bytes, limits),
        Framing::Bad(FrameError::SectionTooLong)
    );
    assert_eq!(frame(&bytes[..99], limits), Framing::More);
    assert_eq!(
        frame(&bytes[..100], limits),
        Framing::Bad(FrameError::SectionTooLong)
    );
    let (_, bytes) = with(1, 10);
    assert_eq!(frame(&bytes, limits), Framing::Message(bytes.len()));
    let (_, bytes) = with(1, 11);
    assert_eq!(frame(&bytes, limits), Framing::Bad(FrameError::BodyTooLong));
}

#[test]
fn bad_openings_are_survived_and_the_next_message_is_found_or_the_stream_ends() {
    let mut index = Index::new();
    let options = crlf(
        "OPTIONS sip:b@example.com SIP/2.0\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\n\
         f: <sip:a@b>;tag=1\nt: <sip:b@c>\ni: 1\nCSeq: 1 OPTIONS\nl: 0\n\n",
    );
    let names = corpora::list("resiprocate-tcp-framing", "");
    let mut count = 0;
    for name in names.iter().filter(|name| name.contains("RSP")) {
        let stream = [read(name), options.clone()].concat();
        for cuts in [&[1][..], &[usize::MAX / 2]] {
            if let Ok(found) = framed(&stream, cuts) {
                let last = found.last().expect("the good one at least");
                assert!(parse(last, &mut index).is_ok(), "{name}");
            }
        }
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn every_error_has_its_code() {
    for error in FrameError::ALL {
        assert_eq!(FrameError::from_code(error.code()), Some(error));
        assert!(error.status() == 400 || error.status() == 513);
    }
    assert_eq!(FrameError::from_code(0), None);
}
