//! The caller's messages. A Call-ID is `SERIAL.SLOT.SALT@HOST`, so that a response finds its call.

use std::io::Write;

use super::agent::Agent;
use crate::text::{put_body, put_line};

impl Agent {
    /// INVITE, its CANCEL, or the ACK for a refusal (`to` is the response's): all have the
    /// INVITE's URI and branch (RFC 3261 §9.1, §17.1.1.3).
    pub(super) fn compose(
        &self,
        number: &str,
        index: u32,
        serial: u64,
        method: &str,
        to: &[u8],
        out: &mut Vec<u8>,
    ) {
        let router = self.spec.router;
        self.put(
            out,
            format_args!("{method} sip:{number}@{router} SIP/2.0\r\n"),
        );
        self.put_common(index, serial, method, "i", 1, out);
        if to.is_empty() {
            self.put(out, format_args!("To: <sip:{number}@{router}>\r\n"));
        } else {
            put_line(b"To", &[to], out);
        }
        if method == "INVITE" {
            let local = self.port.local;
            self.put(out, format_args!("Contact: <sip:caller@{local}>\r\n"));
            put_body(&self.sdp, out);
        } else {
            put_body(b"", out);
        }
    }

    pub(super) fn compose_in_dialog(
        &self,
        index: u32,
        serial: u64,
        method: &str,
        target: &[u8],
        to: &[u8],
        routes: &[&[u8]],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(target);
        out.extend_from_slice(b" SIP/2.0\r\n");
        let (mark, cseq) = if method == "ACK" { ("a", 1) } else { ("b", 2) };
        self.put_common(index, serial, method, mark, cseq, out);
        put_line(b"To", &[to], out);
        for route in routes {
            put_line(b"Route", &[route], out);
        }
        put_body(b"", out);
    }

    fn put_common(
        &self,
        index: u32,
        serial: u64,
        method: &str,
        mark: &str,
        cseq: u32,
        out: &mut Vec<u8>,
    ) {
        let (local, salt) = (self.port.local, self.salt);
        let host = local.ip();
        self.put(
            out,
            format_args!(
                "Via: SIP/2.0/UDP {local};branch=z9hG4bK{mark}{serial:x}.{index:x}.{salt:x};rport\r\n\
                 Max-Forwards: 70\r\n\
                 From: <sip:+15550100@{local}>;tag=c{serial:x}\r\n\
                 Call-ID: {serial:x}.{index:x}.{salt:x}@{host}\r\n\
                 CSeq: {cseq} {method}\r\n"
            ),
        );
    }

    fn put(&self, out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
        out.write_fmt(text)
            .expect("a Vec takes all that is written");
    }
}
