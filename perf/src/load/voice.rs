//! What a source says: requests, written from fragments that are made once.

use std::net::SocketAddr;

use super::slab::Key;
use super::wire::{Dialog, Method, put, put_body, put_decimal, put_hex, read_hex};
use super::{Plan, Transport};

/// Tells calls of one thread and run from all others.
pub(crate) type Run = u32;

/// A call's name, as it stands in its Call-ID, tags and branches:
/// ```text
///   Call-ID: m 0000002a 00000001 - 5f3a9c01 @127.0.0.2
///            │ index    generation run
///            └ m = counted, w = warm-up
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub(crate) key: Key,
    pub(crate) is_counted: bool,
}

impl Name {
    /// The name in a Call-ID that a caller of this run wrote.
    pub(crate) fn read(call_id: &[u8], run: Run) -> Option<Name> {
        if call_id.get(17) != Some(&b'-') || read_hex(call_id.get(18..26)?) != Some(run) {
            return None;
        }
        Some(Name {
            key: Key {
                index: read_hex(&call_id[1..9])?,
                generation: read_hex(&call_id[9..17])?,
            },
            is_counted: call_id[0] == b'm',
        })
    }

    fn put(self, run: Run, out: &mut Vec<u8>) {
        out.push(if self.is_counted { b'm' } else { b'w' });
        self.put_key(run, out);
    }

    fn put_key(self, run: Run, out: &mut Vec<u8>) {
        put_hex(out, self.key.index);
        put_hex(out, self.key.generation);
        out.push(b'-');
        put_hex(out, run);
    }
}

/// Whether a Call-ID is one that a generator wrote for its warm-up.
pub(crate) fn is_warm_up(call_id: &[u8]) -> bool {
    call_id.first() == Some(&b'w')
        && call_id.get(17) == Some(&b'-')
        && call_id.get(26) == Some(&b'@')
}

/// What one call's messages say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: Name,
    /// Which of the targets it is sent to.
    pub(crate) target: u16,
    pub(crate) to: u64,
    pub(crate) from: u64,
}

/// A source's voice.
#[derive(Debug)]
pub(crate) struct Voice {
    run: Run,
    /// `SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK`
    via: Vec<u8>,
    /// `192.0.2.1`
    host: Vec<u8>,
    /// `192.0.2.1:5060>` or `192.0.2.1:5060;transport=tcp>`
    contact: Vec<u8>,
    /// The host of Request-URIs, for each target.
    hosts: Vec<Vec<u8>>,
    to_prefix: Vec<u8>,
    from_prefix: Vec<u8>,
    digits: usize,
    padding: Vec<u8>,
    body: Vec<u8>,
}

impl Voice {
    pub(crate) fn new(plan: &Plan, local: SocketAddr, targets: &[SocketAddr], run: Run) -> Voice {
        let (transport, parameter) = match plan.transport {
            Transport::Udp => ("UDP", ""),
            Transport::Tcp => ("TCP", ";transport=tcp"),
        };
        let host = |target: &SocketAddr| match &plan.domain {
            Some(domain) => domain.clone().into_bytes(),
            None => target.to_string().into_bytes(),
        };
        Voice {
            run,
            via: format!("SIP/2.0/{transport} {local};branch=z9hG4bK").into_bytes(),
            host: bare(local).into_bytes(),
            contact: format!("{local}{parameter}>").into_bytes(),
            hosts: targets.iter().map(host).collect(),
            to_prefix: plan.numbers.prefix.clone().into_bytes(),
            from_prefix: plan.numbers.from_prefix.clone().into_bytes(),
            digits: plan.numbers.digits as usize,
            padding: padding(plan.payload.padding_bytes),
            body: if plan.payload.sdp {
                sdp(local)
            } else {
                Vec::new()
            },
        }
    }

    /// The Call-ID of a call, as it stands in its messages.
    pub(crate) fn put_call_id(&self, name: Name, out: &mut Vec<u8>) {
        name.put(self.run, out);
        put(out, &[b"@", &self.host]);
    }

    pub(crate) fn invite(&self, line: &Line, out: &mut Vec<u8>) {
        self.begin(Method::Invite, line, 1, out);
        self.put_contact(line, out);
        put(
            out,
            &[
                b"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n",
                &self.padding,
            ],
        );
        put_body(out, &self.body);
    }

    /// CANCEL of the INVITE (RFC 3261 §9.1: its branch, its Request-URI).
    pub(crate) fn cancel(&self, line: &Line, out: &mut Vec<u8>) {
        self.begin(Method::Cancel, line, 1, out);
        put_body(out, b"");
    }

    /// ACK for a final response that is no 2xx (RFC 3261 §17.1.1.3).
    pub(crate) fn ack_refusal(&self, line: &Line, to: &[u8], out: &mut Vec<u8>) {
        self.put_request_line(Method::Ack, line, out);
        self.put_via(b'i', line.name, out);
        self.put_identity(Method::Ack, line, Some(to), 1, out);
        put_body(out, b"");
    }

    /// ACK or BYE in the dialog.
    pub(crate) fn in_dialog(
        &self,
        method: Method,
        line: &Line,
        dialog: &Dialog<'_>,
        out: &mut Vec<u8>,
    ) {
        let (kind, cseq) = match method {
            Method::Ack => (b'a', 1),
            _ => (b'b', 2),
        };
        put(out, &[method.name(), b" ", dialog.remote, b" SIP/2.0\r\n"]);
        self.put_via(kind, line.name, out);
        out.extend_from_slice(dialog.routes);
        self.put_identity(method, line, Some(dialog.to), cseq, out);
        put_body(out, b"");
    }

    pub(crate) fn options(&self, line: &Line, out: &mut Vec<u8>) {
        self.begin(Method::Options, line, 1, out);
        self.put_contact(line, out);
        put(out, &[b"Accept: application/sdp\r\n", &self.padding]);
        put_body(out, b"");
    }

    /// Registers the called number at this source.
    pub(crate) fn register(&self, line: &Line, out: &mut Vec<u8>) {
        let host = &self.hosts[usize::from(line.target)];
        put(out, &[b"REGISTER sip:", host, b" SIP/2.0\r\n"]);
        self.put_via(b'r', line.name, out);
        out.extend_from_slice(b"Max-Forwards: 70\r\nFrom: <");
        self.put_uri(&self.to_prefix, line.to, host, out);
        out.extend_from_slice(b">;tag=");
        line.name.put_key(self.run, out);
        out.extend_from_slice(b"\r\nTo: <");
        self.put_uri(&self.to_prefix, line.to, host, out);
        out.extend_from_slice(b">\r\nCall-ID: ");
        self.put_call_id(line.name, out);
        out.extend_from_slice(b"\r\nCSeq: 1 REGISTER\r\n");
        self.put_contact(line, out);
        put(out, &[b"Expires: 3600\r\n", &self.padding]);
        put_body(out, b"");
    }

    fn begin(&self, method: Method, line: &Line, cseq: u64, out: &mut Vec<u8>) {
        self.put_request_line(method, line, out);
        let kind = if method == Method::Options {
            b'o'
        } else {
            b'i'
        };
        self.put_via(kind, line.name, out);
        self.put_identity(method, line, None, cseq, out);
    }

    fn put_request_line(&self, method: Method, line: &Line, out: &mut Vec<u8>) {
        put(out, &[method.name(), b" "]);
        let host = &self.hosts[usize::from(line.target)];
        self.put_uri(&self.to_prefix, line.to, host, out);
        out.extend_from_slice(b" SIP/2.0\r\n");
    }

    fn put_via(&self, kind: u8, name: Name, out: &mut Vec<u8>) {
        put(out, &[b"Via: ", &self.via, &[kind]]);
        name.put_key(self.run, out);
        out.extend_from_slice(b"\r\n");
    }

    fn put_identity(
        &self,
        method: Method,
        line: &Line,
        to: Option<&[u8]>,
        cseq: u64,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"Max-Forwards: 70\r\nFrom: <");
        self.put_uri(&self.from_prefix, line.from, &self.host, out);
        out.extend_from_slice(b">;tag=");
        line.name.put_key(self.run, out);
        out.extend_from_slice(b"\r\nTo: ");
        match to {
            Some(to) => out.extend_from_slice(to),
            None => {
                out.push(b'<');
                let host = &self.hosts[usize::from(line.target)];
                self.put_uri(&self.to_prefix, line.to, host, out);
                out.push(b'>');
            }
        }
        out.extend_from_slice(b"\r\nCall-ID: ");
        self.put_call_id(line.name, out);
        out.extend_from_slice(b"\r\nCSeq: ");
        put_decimal(out, cseq, 1);
        put(out, &[b" ", method.name(), b"\r\n"]);
    }

    fn put_contact(&self, line: &Line, out: &mut Vec<u8>) {
        put(out, &[b"Contact: <sip:", &self.from_prefix]);
        put_decimal(out, line.from, self.digits);
        put(out, &[b"@", &self.contact, b"\r\n"]);
    }

    fn put_uri(&self, prefix: &[u8], number: u64, host: &[u8], out: &mut Vec<u8>) {
        put(out, &[b"sip:", prefix]);
        if self.digits > 0 {
            put_decimal(out, number, self.digits);
        }
        put(out, &[b"@", host]);
    }
}

/// An address's host as it stands in a URI.
fn bare(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// A header field that nobody reads, of so many octets.
fn padding(bytes: usize) -> Vec<u8> {
    const AROUND: usize = "X-Padding: \r\n".len();
    match bytes {
        0 => Vec::new(),
        _ => format!(
            "X-Padding: {}\r\n",
            "p".repeat(bytes.saturating_sub(AROUND).max(1))
        )
        .into_bytes(),
    }
}

/// The SDP both sides send: no media ever flows.
pub(crate) fn sdp(local: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv6() { 6 } else { 4 };
    let ip = local.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP{family} {ip}\r\ns=-\r\nc=IN IP{family} {ip}\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 8 0 18 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::wire::{Scan, Start};

    fn voice(plan: &Plan) -> Voice {
        let local = "192.0.2.1:5070".parse().unwrap();
        Voice::new(plan, local, &["192.0.2.9:5060".parse().unwrap()], 0xab)
    }

    fn line() -> Line {
        let key = Key {
            index: 0x2a,
            generation: 1,
        };
        Line {
            name: Name {
                key,
                is_counted: true,
            },
            target: 0,
            to: 7,
            from: 42,
        }
    }

    #[test]
    fn an_invite_reads_as_people_expect() {
        let plan = Plan {
            payload: crate::load::Payload {
                sdp: false,
                padding_bytes: 20,
            },
            ..Plan::default()
        };
        let mut out = Vec::new();
        voice(&plan).invite(&line(), &mut out);
        let want = "INVITE sip:+49400000007@192.0.2.9:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKi0000002a00000001-000000ab
Max-Forwards: 70
From: <sip:+49300000042@192.0.2.1>;tag=0000002a00000001-000000ab
To: <sip:+49400000007@192.0.2.9:5060>
Call-ID: m0000002a00000001-000000ab@192.0.2.1
CSeq: 1 INVITE
Contact: <sip:+49300000042@192.0.2.1:5070>
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS
X-Padding: ppppppp
Content-Length: 0

";
        assert_eq!(String::from_utf8(out).unwrap(), want.replace('\n', "\r\n"));
    }

    #[test]
    fn what_is_said_is_understood() {
        let voice = voice(&Plan::default());
        let dialog = Dialog {
            to: b"<sip:x>;tag=t",
            remote: b"sip:x@192.0.2.5",
            routes: b"Route: <sip:192.0.2.9;lr>\r\n",
        };
        let mut said: Vec<(Method, Vec<u8>)> = Vec::new();
        let mut say = |method, compose: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            compose(&mut out);
            said.push((method, out));
        };
        say(Method::Invite, &|out| voice.invite(&line(), out));
        say(Method::Cancel, &|out| voice.cancel(&line(), out));
        say(Method::Ack, &|out| {
            voice.ack_refusal(&line(), dialog.to, out)
        });
        say(Method::Ack, &|out| {
            voice.in_dialog(Method::Ack, &line(), &dialog, out)
        });
        say(Method::Bye, &|out| {
            voice.in_dialog(Method::Bye, &line(), &dialog, out)
        });
        say(Method::Options, &|out| voice.options(&line(), out));
        say(Method::Register, &|out| voice.register(&line(), out));
        for (method, bytes) in &said {
            let scan = Scan::of(bytes).unwrap();
            assert_eq!(
                (scan.start, scan.cseq_method),
                (Start::Request(*method), *method)
            );
            assert_eq!(Name::read(scan.call_id, 0xab), Some(line().name));
            assert_eq!(Name::read(scan.call_id, 0xac), None, "of another run");
            assert!(!is_warm_up(scan.call_id));
        }
        let branch = |at: usize| Scan::of(&said[at].1).unwrap().branch.to_owned();
        assert_eq!(
            (branch(0), branch(0)),
            (branch(1), branch(2)),
            "one transaction"
        );
        let others: std::collections::BTreeSet<_> = [0, 3, 4, 5, 6].map(branch).into();
        assert_eq!(others.len(), 5, "each a transaction of its own");
    }
}
