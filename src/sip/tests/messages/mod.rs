//! The test data, and messages written by hand.
#![allow(dead_code)] // each test file uses its part

use std::path::{Path, PathBuf};

/// The folder of the test data.
pub(crate) fn data() -> PathBuf {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/testdata"
    ));
    assert!(
        path.is_dir(),
        "the test data is not at {}: it belongs beside the repository, in shared/testdata",
        path.display()
    );
    path.to_owned()
}

/// One file of the test data.
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = data().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The files of a folder with that ending, sorted, as paths below the test data.
pub(crate) fn list(folder: &str, ending: &str) -> Vec<String> {
    let path = data().join(folder);
    let entries = std::fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", path.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    names
}

/// The rows of a table of the test data, without its head, split into columns.
pub(crate) fn table(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(name)).unwrap();
    let rows = text.lines().skip(1).filter(|row| !row.is_empty());
    rows.map(|row| row.split('\t').map(str::to_owned).collect())
        .collect()
}

/// A message written with `\n` for CRLF.
pub(crate) fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Every message of the call flow RFCs and of the torture RFCs that is valid, with its name.
pub(crate) fn valid() -> Vec<(String, Vec<u8>)> {
    let mut messages: Vec<(String, Vec<u8>)> = list("rfc-call-flows", ".sip")
        .into_iter()
        .chain(list("ims-volte", ".sip"))
        .map(|name| (name.clone(), read(&name)))
        .collect();
    for (folder, table_name) in [
        ("rfc4475", "rfc4475/expected.tsv"),
        ("rfc5118", "rfc5118/expected.tsv"),
    ] {
        for row in table(table_name) {
            if row[4] == "valid" {
                let name = format!("{folder}/{}", row[0]);
                messages.push((name.clone(), read(&name)));
            }
        }
    }
    messages
}

/// An INVITE as gateways send it, of about 700 octets.
pub(crate) fn invite() -> Vec<u8> {
    let body = crlf(
        "v=0\no=- 2890844526 2890844526 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n\
         m=audio 49170 RTP/AVP 8 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n",
    );
    let head = format!(
        "INVITE sip:+12025550123@198.51.100.7:5060;user=phone SIP/2.0\n\
         Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK74bf9c2a1;rport\n\
         Max-Forwards: 70\n\
         From: \"Alice\" <sip:+12025550100@192.0.2.10;user=phone>;tag=9fxced76sl\n\
         To: <sip:+12025550123@198.51.100.7;user=phone>\n\
         Call-ID: 3848276298220188511@192.0.2.10\n\
         CSeq: 1 INVITE\n\
         Contact: <sip:+12025550100@192.0.2.10:5060>\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\n\
         Content-Type: application/sdp\n\
         Content-Length: {}\n\n",
        body.len()
    );
    [crlf(&head), body].concat()
}
