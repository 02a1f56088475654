//! What is valid of the test data, and messages written by hand.
#![allow(dead_code)] // each test file uses its part

use corpora::{call_flows, list, read, table, with_names};

/// A message written with `\n` for CRLF.
pub(crate) fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Every message of the call flow RFCs and of the torture RFCs that is valid, with its name.
pub(crate) fn valid() -> Vec<(String, Vec<u8>)> {
    let mut messages = call_flows();
    messages.extend(with_names(list("ims-volte", ".sip")));
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
