//! Calls through one router without a world, step by step, and without allocating: what the peers
//! say is composed in buffers that were made at the beginning.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;

use base::{Flow, Time, Transport};
use router::Router;
use shards::Solo;

use super::{CALLER, Setup, UDP, VENDOR, at};

/// One thing that a peer says, or time that passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The caller's INVITE.
    Invite,
    /// The vendor's 100.
    Trying,
    /// The vendor's 180.
    Ringing,
    /// The vendor's 200 for the INVITE.
    Answer,
    /// The caller's ACK for that.
    Ack,
    /// The caller's BYE.
    Bye,
    /// The vendor's 200 for that.
    ByeOk,
    /// The vendor's 503.
    Unavailable,
    /// The vendor's 302 to the other vendor.
    Moved,
    /// The vendor's 486.
    Busy,
    /// The vendor says nothing for as long as it may.
    Silence,
    /// The caller's ACK for a refusal.
    AckRefusal,
    /// The caller's CANCEL.
    Cancel,
    /// The vendor's 200 for that.
    CancelOk,
    /// The vendor's 487.
    Terminated,
}

impl Step {
    /// A whole call: seven messages in.
    pub(crate) const CALL: &[Step] = &[
        Step::Invite,
        Step::Trying,
        Step::Ringing,
        Step::Answer,
        Step::Ack,
        Step::Bye,
        Step::ByeOk,
    ];
    /// The first vendor refuses, the second answers.
    pub(crate) const FAILOVER: &[Step] = &[
        Step::Invite,
        Step::Trying,
        Step::Unavailable,
        Step::Ringing,
        Step::Answer,
        Step::Ack,
        Step::Bye,
        Step::ByeOk,
    ];
    /// The first vendor is silent, the second answers.
    pub(crate) const SILENCE: &[Step] = &[
        Step::Invite,
        Step::Silence,
        Step::Ringing,
        Step::Answer,
        Step::Ack,
        Step::Bye,
        Step::ByeOk,
    ];
    /// The first vendor names the second, which answers.
    pub(crate) const REDIRECTED: &[Step] = &[
        Step::Invite,
        Step::Moved,
        Step::Ringing,
        Step::Answer,
        Step::Ack,
        Step::Bye,
        Step::ByeOk,
    ];
    /// The caller gives up while it rings.
    pub(crate) const CANCELLED: &[Step] = &[
        Step::Invite,
        Step::Ringing,
        Step::Cancel,
        Step::CancelOk,
        Step::Terminated,
        Step::AckRefusal,
    ];
    /// The called party is busy.
    pub(crate) const REFUSED: &[Step] = &[Step::Invite, Step::Trying, Step::Busy, Step::AckRefusal];
}

/// What one call's peers know: each buffer has room for any message of it.
struct Talk {
    number: u64,
    /// The last INVITE that a vendor got, and who.
    invite: Vec<u8>,
    vendor: SocketAddr,
    /// The last other request that a vendor got.
    request: Vec<u8>,
    /// The last response that the caller got.
    response: Vec<u8>,
    /// What is to be said next, and by whom.
    message: Vec<u8>,
    from: SocketAddr,
}

/// So many calls side by side through one router.
pub(crate) struct Script {
    solo: Solo<Router>,
    talks: Vec<Talk>,
    now: Time,
    begun: u64,
    records: u64,
}

const ROOM: usize = 4_096;
/// As much of each buffer as any of these messages takes.
const TOUCHED: usize = 1_536;
const SDP: &str = "v=0\r\no=- 2890844526 2890844526 IN IP4 192.0.2.10\r\ns=-\r\n\
    c=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 49170 RTP/AVP 8 0 101\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

impl Script {
    pub(crate) fn new(calls: usize) -> Script {
        Script::of(Setup::new(), calls)
    }

    /// As [`Script::new`], in this world.
    pub(crate) fn of(setup: Setup, calls: usize) -> Script {
        let mut setup = setup.nobody_goes_down();
        setup.spec.trunks[0].follow_redirects = true;
        setup.transactions_max = 200 * calls.max(20);
        setup.calls_max = 100 * calls.max(20);
        setup.limits.timers = 1_000 * calls.max(20);
        setup.limits.packets = [300 * calls.max(20) as u32; 6];
        setup.limits.packets[4] = 16;
        setup.limits.packets[5] = 16;
        setup.limits.records = 2 * calls.max(20);
        Script::made_of(setup, calls)
    }

    /// One call after the other, and room for so many that stay up, of which so many have living
    /// transactions.
    pub(crate) fn with_room(calls: usize, at_a_time: usize) -> Script {
        let mut setup = Setup::new().nobody_goes_down();
        let (calls, living) = (calls + 10_000, at_a_time + 10_000);
        setup.max_call_ms = 365 * 24 * 3_600_000;
        setup.calls_max = calls;
        setup.transactions_max = 4 * living;
        setup.limits.timers = calls + 8 * living;
        // What stays longer than a moment is the answer to a BYE.
        let answers = 2 * living as u32;
        setup.limits.packets = [answers, answers, 16_384, 1_024, 16, 16];
        setup.limits.records = 1_024;
        Script::made_of(setup, 1)
    }

    fn made_of(setup: Setup, calls: usize) -> Script {
        let talk = || Talk {
            number: 0,
            invite: Vec::with_capacity(ROOM),
            vendor: at(VENDOR),
            request: Vec::with_capacity(ROOM),
            response: Vec::with_capacity(ROOM),
            message: Vec::with_capacity(ROOM),
            from: at(CALLER),
        };
        Script {
            solo: setup.solo(),
            talks: (0..calls).map(|_| talk()).collect(),
            now: Time::ZERO,
            begun: 0,
            records: 0,
        }
    }

    /// New calls, with names of their own.
    pub(crate) fn begin(&mut self) {
        for talk in &mut self.talks {
            self.begun += 1;
            talk.number = self.begun;
            talk.invite.clear();
            talk.request.clear();
            talk.response.clear();
        }
    }

    /// Writes what each call's peer says in this step.
    pub(crate) fn compose(&mut self, step: Step) {
        self.compose_some(step, 0..self.talks.len());
    }

    /// Writes what the peers of some calls say in this step.
    pub(crate) fn compose_some(&mut self, step: Step, calls: Range<usize>) {
        for talk in &mut self.talks[calls] {
            talk.compose(step);
        }
    }

    /// Looks at every cache line of these calls' buffers, which the router has no part in.
    #[allow(dead_code, reason = "for whoever counts the router's own cache lines")]
    pub(crate) fn touch(&mut self, calls: Range<usize>) -> usize {
        let mut sum = 0;
        for talk in &mut self.talks[calls] {
            let buffers = [
                &mut talk.invite,
                &mut talk.request,
                &mut talk.response,
                &mut talk.message,
            ];
            for buffer in buffers {
                let len = buffer.len();
                buffer.resize(TOUCHED.max(len), 0);
                sum += buffer
                    .iter()
                    .step_by(64)
                    .map(|&octet| usize::from(octet))
                    .sum::<usize>();
                buffer.truncate(len);
            }
        }
        sum
    }

    /// What the first call's peer says next.
    pub(crate) fn message(&self) -> &[u8] {
        &self.talks[0].message
    }

    /// Says it, in each call.
    pub(crate) fn deliver(&mut self, step: Step) {
        self.deliver_some(step, 0..self.talks.len());
    }

    /// Says it, in some calls.
    pub(crate) fn deliver_some(&mut self, step: Step, calls: Range<usize>) {
        if step == Step::Silence {
            self.now = self.now.plus_millis(2_001);
            let talks = &mut self.talks;
            // Only with one call it is known whose attempt a deadline ended.
            self.solo
                .deadlines(self.now, &mut |flow, bytes| talks[0].hear(flow, bytes));
            return;
        }
        for talk in &mut self.talks[calls] {
            let flow = Flow {
                transport: Transport::Udp,
                listener: UDP,
                local: ROUTER_ADDRESS,
                peer: talk.from,
                conn: None,
            };
            let message = std::mem::take(&mut talk.message);
            self.solo
                .message(self.now, &flow, &message, &mut |flow, bytes| {
                    talk.hear(flow, bytes)
                });
            talk.message = message;
        }
    }

    /// A second passes: old transactions end, records are taken out.
    pub(crate) fn pause(&mut self) {
        self.now = self.now.plus_millis(1_000);
        self.solo.deadlines(self.now, &mut |_, _| {});
        self.solo.housekeeping(self.now, &mut |_, _| {});
        self.records += self.solo.records() as u64;
    }

    /// So long passes that no transaction is left, only calls that are up.
    pub(crate) fn forget(&mut self) {
        for _ in 0..40 {
            self.pause();
        }
    }

    /// Takes the records out; no time passes.
    pub(crate) fn drain_records(&mut self) {
        self.records += self.solo.records() as u64;
    }

    /// Every call gave its record and was answered or not, and nothing is left of it.
    pub(crate) fn finish(mut self, calls: u64, answered: u64) {
        for _ in 0..300 {
            self.pause();
        }
        assert_eq!(
            (self.begun, self.records),
            (calls, calls),
            "one record a call"
        );
        let count = |name| {
            let at = router::COUNTERS.iter().position(|def| def.name == name);
            self.solo.out().stats().get(at.expect("a counter"))
        };
        assert_eq!(count("calls_answered"), answered);
        assert_eq!(count("calls_failed"), calls - answered);
        assert_eq!(self.solo.handler().held(), [0; 4], "nothing is held");
        assert_eq!(self.solo.handler().kept(), [0; 2], "nor flows and names");
        assert_eq!(self.solo.out().packets_live(), 0);
        assert_eq!(self.solo.out().timers_armed(), 0);
    }
}

const ROUTER_ADDRESS: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100)),
    5060,
);

impl Talk {
    /// Takes what the router sent: requests go to vendors, responses to the caller.
    fn hear(&mut self, flow: &Flow, bytes: &[u8]) {
        let heard = if bytes.starts_with(b"SIP/2.0 ") {
            &mut self.response
        } else if bytes.starts_with(b"INVITE ") {
            self.vendor = flow.peer;
            &mut self.invite
        } else {
            &mut self.request
        };
        heard.clear();
        heard.extend_from_slice(bytes);
    }

    fn compose(&mut self, step: Step) {
        self.message.clear();
        match step {
            Step::Silence => {}
            Step::Invite | Step::Cancel | Step::AckRefusal | Step::Ack | Step::Bye => {
                self.from = CALLER_ADDRESS;
                self.request(step);
            }
            _ => {
                self.from = self.vendor;
                self.response(step);
            }
        }
    }

    fn request(&mut self, step: Step) {
        let (number, out) = (self.number, &mut self.message);
        let (method, uri, branch, cseq) = match step {
            Step::Invite => ("INVITE", "+4412345@192.0.2.100", "invite", 1),
            Step::Cancel => ("CANCEL", "+4412345@192.0.2.100", "invite", 1),
            Step::AckRefusal => ("ACK", "+4412345@192.0.2.100", "invite", 1),
            Step::Ack => ("ACK", "b@192.0.2.2:5060", "ack", 1),
            _ => ("BYE", "b@192.0.2.2:5060", "bye", 2),
        };
        let _ = write!(
            out,
            "{method} sip:{uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{number:09}{branch};rport\r\n\
             Max-Forwards: 70\r\n"
        );
        let in_dialog = matches!(step, Step::Ack | Step::Bye);
        for line in lines(&self.response).filter(|_| in_dialog) {
            if let Some(value) = line.strip_prefix(b"Record-Route: ") {
                put(out, &[b"Route: ", value]);
            }
        }
        let _ = write!(
            out,
            "From: \"Alice\" <sip:+12025550100@192.0.2.1;user=phone>;tag=caller{number:09}\r\n"
        );
        let to = lines(&self.response).find(|line| line.starts_with(b"To: "));
        match to.filter(|_| in_dialog || step == Step::AckRefusal) {
            Some(to) => put(out, &[to]),
            None => put(out, &[b"To: <sip:+4412345@192.0.2.100;user=phone>\r\n"]),
        }
        let _ = write!(
            out,
            "Call-ID: {number:09}-3848276298220188511@192.0.2.1\r\nCSeq: {cseq} {method}\r\n"
        );
        if step == Step::Invite {
            let length = SDP.len();
            let _ = write!(
                out,
                "Contact: <sip:a@192.0.2.1:5060>\r\n\
                 Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{SDP}"
            );
        } else {
            put(out, &[b"Content-Length: 0\r\n\r\n"]);
        }
    }

    fn response(&mut self, step: Step) {
        let (status, request, has_body) = match step {
            Step::Trying => ("100 Trying", &self.invite, false),
            Step::Ringing => ("180 Ringing", &self.invite, false),
            Step::Answer => ("200 OK", &self.invite, true),
            Step::Unavailable => ("503 Service Unavailable", &self.invite, false),
            Step::Moved => ("302 Moved Temporarily", &self.invite, false),
            Step::Busy => ("486 Busy Here", &self.invite, false),
            Step::Terminated => ("487 Request Terminated", &self.invite, false),
            _ => ("200 OK", &self.request, false),
        };
        let out = &mut self.message;
        let _ = write!(out, "SIP/2.0 {status}\r\n");
        for line in lines(request) {
            let copied = [
                &b"Via:"[..],
                b"From:",
                b"Call-ID:",
                b"CSeq:",
                b"Record-Route:",
            ];
            if copied.iter().any(|name| line.starts_with(name)) {
                put(out, &[line]);
            }
            if line.starts_with(b"To:") {
                let has_tag = line.windows(5).any(|five| five == b";tag=");
                put(out, &[line.trim_ascii_end()]);
                put(out, &[if has_tag { b"" } else { b";tag=callee" }, b"\r\n"]);
            }
        }
        if step == Step::Moved {
            let contact = b"Contact: <sip:+4412346@192.0.2.3>\r\nContent-Length: 0\r\n\r\n";
            put(out, &[contact]);
        } else if has_body {
            let length = SDP.len();
            let _ = write!(
                out,
                "Contact: <sip:b@192.0.2.2:5060>\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {length}\r\n\r\n{SDP}"
            );
        } else {
            put(
                out,
                &[b"Contact: <sip:b@192.0.2.2:5060>\r\nContent-Length: 0\r\n\r\n"],
            );
        }
    }
}

const CALLER_ADDRESS: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    5060,
);

fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split_inclusive(|&octet| octet == b'\n')
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
