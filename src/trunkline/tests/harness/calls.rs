//! Calls by our own peers, so many as are asked for.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use perf::Figures;
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};

use super::{PATIENCE, wait_for};

const ANSWERS: Habit = Habit::Answers {
    ring: Duration::ZERO,
    answer: Duration::from_millis(10),
};

/// A vendor that answers.
pub fn vendor(at: SocketAddr) -> Vendor {
    Vendor::start(VendorSpec::new(at, ANSWERS)).expect("the vendor starts")
}

/// Places so many calls, so many a second, and waits for the last to end.
pub fn place(
    (from, to): (SocketAddr, SocketAddr),
    number: &str,
    (calls, rate): (u64, u32),
    hold: Duration,
) -> Figures {
    let mut spec = CallerSpec::new(from, to, rate);
    spec.calls_max = calls;
    spec.hold = hold;
    spec.numbers = vec![number.to_owned()];
    let caller = Caller::start(spec).expect("the caller starts");
    wait_for("all calls end", 4 * PATIENCE, || {
        caller.is_finished().then_some(())
    });
    let figures = caller.stop(PATIENCE).expect("the caller stops");
    assert_eq!(figures.placed, calls, "{figures:?}");
    figures
}

/// Asks for a call that is to go by this Route, and returns the final answer.
pub fn ask_by_route(
    from: SocketAddr,
    router: SocketAddr,
    number: &str,
    route: SocketAddr,
) -> String {
    let socket = UdpSocket::bind(from).expect("the address is free");
    let patience = socket.set_read_timeout(Some(PATIENCE));
    patience.expect("a socket has patience");
    let request = format!(
        "INVITE sip:{number}@{router} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nRoute: <sip:{router};lr>, <sip:{route};lr>\r\nFrom: <sip:+49301@{from}>;tag=1\r\n\
         To: <sip:{number}@{router}>\r\nCall-ID: {number}@test\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:{from}>\r\nContent-Length: 0\r\n\r\n"
    );
    let sent = socket.send_to(request.as_bytes(), router);
    sent.expect("the router is there");
    let mut octets = [0; 4_096];
    loop {
        let length = socket.recv(&mut octets).expect("an answer");
        let answer = String::from_utf8_lossy(&octets[..length]).into_owned();
        if !answer.starts_with("SIP/2.0 1") {
            return answer;
        }
    }
}
