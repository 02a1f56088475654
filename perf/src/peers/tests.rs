//! Caller against vendor without a router between them: each is the other's test.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::*;
use crate::truth::{Truth, read_truth};
use crate::{Figures, VendorFigures};

const LOOPBACK: &str = "127.0.0.1:0";
const PATIENCE: Duration = Duration::from_secs(60);

fn any() -> SocketAddr {
    LOOPBACK.parse().unwrap()
}

fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn run(habit: Habit, change: impl FnOnce(&mut CallerSpec)) -> (Figures, VendorFigures) {
    let vendor = Vendor::start(VendorSpec::new(any(), habit)).unwrap();
    let mut spec = CallerSpec::new(any(), vendor.local(), 200);
    spec.calls_max = 40;
    spec.hold = Duration::from_millis(50);
    change(&mut spec);
    let caller = Caller::start(spec).unwrap();
    wait_for("the end of all calls", || caller.is_finished());
    (caller.stop(Duration::ZERO).unwrap(), vendor.stop())
}

fn answers(ring_ms: u64, answer_ms: u64) -> Habit {
    Habit::Answers {
        ring: Duration::from_millis(ring_ms),
        answer: Duration::from_millis(answer_ms),
    }
}

#[test]
fn calls_are_answered_and_hung_up() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_owned();
    let (caller, vendor) = run(answers(5, 20), |spec| spec.truth = Some(path));
    assert_eq!(
        (
            caller.placed,
            caller.answered,
            caller.completed,
            caller.failed,
            caller.active
        ),
        (40, 40, 40, 0, 0)
    );
    assert!(caller.setup_p50_us >= 20_000, "{caller:?}");
    assert_eq!((vendor.invites, vendor.answered, vendor.byes), (40, 40, 40));
    assert_eq!((vendor.active, vendor.retransmissions), (0, 0));
    let mut truth = Truth::new();
    read_truth(file.path(), &mut truth).unwrap();
    assert_eq!(truth.len(), 40);
    for seen in truth.values() {
        let held_us = seen.ended_us.unwrap() - seen.answered_us.unwrap();
        assert!(held_us >= 50_000, "{seen:?}");
    }
}

#[test]
fn refusals_are_acknowledged() {
    let (caller, vendor) = run(Habit::Refuses { status: 503 }, |_| {});
    assert_eq!((caller.placed, caller.failed, caller.answered), (40, 40, 0));
    assert_eq!(
        (vendor.invites, vendor.refused, vendor.unacknowledged),
        (40, 40, 0)
    );
}

#[test]
fn a_call_that_rings_too_long_is_cancelled() {
    let (caller, vendor) = run(answers(1, 3_600_000), |spec| {
        spec.patience = Duration::from_millis(100);
    });
    assert_eq!((caller.placed, caller.failed, caller.answered), (40, 40, 0));
    assert_eq!((vendor.invites, vendor.cancelled), (40, 40));
}

#[test]
fn stopping_hangs_up_what_is_up() {
    let vendor = Vendor::start(VendorSpec::new(any(), answers(0, 0))).unwrap();
    let mut spec = CallerSpec::new(any(), vendor.local(), 200);
    spec.hold = Duration::from_secs(3600);
    let caller = Caller::start(spec).unwrap();
    wait_for("a call", || caller.figures().answered >= 10);
    let figures = caller.stop(PATIENCE).unwrap();
    assert_eq!(figures.active, 0, "{figures:?}");
    assert_eq!(figures.completed, figures.answered);
    assert_eq!(vendor.stop().byes, figures.answered);
}

#[test]
fn finishing_lets_calls_end_in_their_own_time() {
    let vendor = Vendor::start(VendorSpec::new(any(), answers(0, 100))).unwrap();
    let mut spec = CallerSpec::new(any(), vendor.local(), 200);
    spec.hold = Duration::from_millis(200);
    let caller = Caller::start(spec).unwrap();
    wait_for("a call", || caller.figures().answered >= 10);
    let figures = caller.finish(PATIENCE).unwrap();
    assert_eq!((figures.active, figures.failed), (0, 0), "{figures:?}");
    assert_eq!(figures.completed, figures.placed);
    assert_eq!(vendor.stop().cancelled, 0);
}

#[test]
fn more_than_active_max_are_held_back() {
    let (caller, vendor) = run(answers(0, 300), |spec| spec.active_max = 3);
    assert_eq!(caller.placed + caller.held_back, 40);
    assert!(caller.held_back > 0, "{caller:?}");
    assert_eq!(caller.completed, caller.placed);
    assert_eq!(vendor.invites, caller.placed);
}

#[test]
fn a_silent_vendor_makes_the_caller_repeat_until_it_is_told_to_stop() {
    let vendor = Vendor::start(VendorSpec::new(any(), Habit::Silent)).unwrap();
    let mut spec = CallerSpec::new(any(), vendor.local(), 1000);
    spec.calls_max = 1;
    let caller = Caller::start(spec).unwrap();
    wait_for("a retransmission", || caller.figures().retransmissions >= 1);
    let figures = caller.stop(Duration::ZERO).unwrap();
    assert_eq!((figures.placed, figures.answered), (1, 0));
    assert!(
        vendor.stop().invites >= 2,
        "each copy is counted by the silent"
    );
}

/// A vendor repeats its 200 until the ACK; here the test is the caller that sends none at first.
#[test]
fn a_200_is_repeated_until_it_is_acknowledged() {
    let vendor = Vendor::start(VendorSpec::new(any(), answers(0, 0))).unwrap();
    let socket = UdpSocket::bind(any()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\n\
                To: <sip:b@127.0.0.1>\r\nCall-ID: repeated@test\r\n";
    let send = |line: &str, cseq: &str| {
        let text = format!("{line} SIP/2.0\r\n{head}CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n");
        socket.send_to(text.as_bytes(), vendor.local()).unwrap();
    };
    let receive = || {
        let mut buffer = [0; 2048];
        let (len, _) = socket.recv_from(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    send("INVITE sip:b@127.0.0.1", "1 INVITE");
    let first = receive();
    assert!(first.starts_with("SIP/2.0 200 "), "{first}");
    assert_eq!(receive(), first, "repeated after T1");
    send("ACK sip:b@127.0.0.1", "1 ACK");
    send("BYE sip:b@127.0.0.1", "2 BYE");
    let bye = receive();
    assert!(bye.contains("CSeq: 2 BYE"), "{bye}");
    let figures = vendor.stop();
    assert_eq!((figures.byes, figures.retransmissions), (1, 1));
}
