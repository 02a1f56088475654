//! The PROTOS suite (c07-sip): templates in an archive, one file a case, to be filled in.

use std::path::Path;
use std::process::Command;

use crate::data;

/// How many cases it has.
pub const CASES: usize = 4_527;

/// Hands every message of every case to `each`, with the number of its case. `folder` is made for the time
/// that takes, and is the caller's own.
///
/// # Panics
/// The archive is missing or is not what it should be, or cannot be unpacked into `folder`.
pub fn for_each_case(folder: &Path, mut each: impl FnMut(usize, &[Vec<u8>])) {
    unpack(folder);
    for case in 0..CASES {
        let file = folder.join(format!("testcases/{case:07}"));
        let bytes = std::fs::read(&file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
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
    std::fs::remove_dir_all(folder).expect("what was unpacked can be removed");
}

fn unpack(folder: &Path) {
    // Left by a run that was ended, or not there.
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let archive = data().join("protos-c07-sip/testcases.tar.xz");
    let unpacked = Command::new("tar")
        .arg("-xJf")
        .arg(&archive)
        .arg("-C")
        .arg(folder)
        .status()
        .expect("tar and xz are installed");
    assert!(
        unpacked.success(),
        "tar could not unpack {}",
        archive.display()
    );
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
        let digits = std::str::from_utf8(&bytes[..space]).ok();
        let length = digits.and_then(|digits| digits.parse::<usize>().ok());
        let end = space + 1 + length.expect("a message has its length before it");
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
