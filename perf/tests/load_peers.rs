//! The generator's callers against peers that behave as routers may, and as they must not.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use perf::load::{Mix, Plan, Report, Source, Spread, Timers, Transport, run};

const CALLS: u64 = 20;

/// A peer with two sockets, the door that INVITEs come to and the way that it records.
struct Router {
    door: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Heard>>,
}

/// A request, and whether it came by the recorded way.
struct Heard {
    text: String,
    is_by_route: bool,
}

impl Heard {
    fn header(&self, name: &str) -> Vec<&str> {
        let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(": ").map(str::len);
        let lines = self.text.lines();
        lines
            .filter_map(|line| value(line).map(|len| &line[line.len() - len..]))
            .collect()
    }
}

/// What a router knows when it answers.
struct Place {
    route: SocketAddr,
    contact: SocketAddr,
}

/// Answers to a request, each to be sent from where it came to.
type Answers = fn(&Heard, &Place) -> Vec<String>;

impl Router {
    fn start(answers: Answers) -> Router {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
        }
        let door = sockets[0].local_addr().unwrap();
        let place = Place {
            route: sockets[1].local_addr().unwrap(),
            // Nobody listens there: who sends to it has passed by the route.
            contact: "127.0.0.1:9".parse().unwrap(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                // Looked at before the sockets: what came until then is read to the end.
                let is_stopped = stopped.load(Relaxed);
                let before = all.len();
                for (at, socket) in sockets.iter().enumerate() {
                    let Ok((len, peer)) = socket.recv_from(&mut buffer) else {
                        continue;
                    };
                    let text = String::from_utf8(buffer[..len].to_vec()).unwrap();
                    let is_by_route = at == 1;
                    let heard = Heard { text, is_by_route };
                    for answer in answers(&heard, &place) {
                        socket.send_to(answer.as_bytes(), peer).unwrap();
                    }
                    all.push(heard);
                }
                match all.len() == before {
                    true if is_stopped => return all,
                    true => std::thread::sleep(Duration::from_micros(200)),
                    false => {}
                }
            }
        });
        Router { door, stop, thread }
    }

    fn finish(self) -> Vec<Heard> {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

/// A response to a request, with lines of its own.
fn respond(request: &Heard, status: &str, lines: &str) -> String {
    let copied = ["Via", "From", "Call-ID", "CSeq"];
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in copied {
        for value in request.header(name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    let to = request.header("To")[0];
    let tag = if to.contains(";tag=") {
        ""
    } else {
        ";tag=peer"
    };
    text + &format!("To: {to}{tag}\r\n{lines}Content-Length: 0\r\n\r\n")
}

fn accept(request: &Heard, place: &Place) -> String {
    let lines = format!(
        "Record-Route: <sip:127.0.0.1:7;lr>\r\nRecord-Route: <sip:{};lr>\r\n\
         Contact: <sip:callee@{}>\r\n",
        place.route, place.contact
    );
    respond(request, "200 OK", &lines)
}

fn method(request: &Heard) -> &str {
    request.text.split(' ').next().unwrap()
}

fn plan(target: SocketAddr) -> Plan {
    Plan {
        targets: vec![target],
        sources: vec![Source::new("127.0.0.1:0".parse().unwrap())],
        rate: 200.0,
        warm_up_ms: 0,
        attempts_max: Some(CALLS),
        hold: Spread::fixed_ms(20),
        timers: Timers {
            t1_ms: 8_000,
            ..Timers::default()
        },
        ..Plan::default()
    }
}

fn play(answers: Answers) -> (Report, Vec<Heard>) {
    let router = Router::start(answers);
    let report = run(&plan(router.door), &mut |_| {}).unwrap();
    (report, router.finish())
}

#[test]
fn the_route_set_and_the_contact_are_honoured() {
    let (report, heard) = play(|request, place| match method(request) {
        "INVITE" => vec![
            respond(request, "100 Trying", ""),
            respond(request, "180 Ringing", ""),
            accept(request, place),
        ],
        "BYE" => vec![respond(request, "200 OK", "")],
        _ => vec![],
    });
    assert_eq!(report.calls.completed, CALLS, "{:?}", report.calls);
    for request in &heard {
        let is_invite = method(request) == "INVITE";
        assert_eq!(request.is_by_route, !is_invite, "{}", request.text);
        if is_invite {
            continue;
        }
        // Last recorded first; the Request-URI is the Contact (RFC 3261 §12.2.1.1).
        let routes = request.header("Route");
        assert!(
            routes[0].ends_with(";lr>") && routes[1] == "<sip:127.0.0.1:7;lr>",
            "{routes:?}"
        );
        let uri = request.text.split(' ').nth(1).unwrap();
        assert_eq!(uri, "sip:callee@127.0.0.1:9");
        assert!(request.header("To")[0].ends_with(";tag=peer"));
    }
    let of = |name| {
        heard
            .iter()
            .filter(|request| method(request) == name)
            .count() as u64
    };
    assert_eq!((of("INVITE"), of("ACK"), of("BYE")), (CALLS, CALLS, CALLS));
}

#[test]
fn a_bye_that_is_refused_is_told_apart() {
    let (report, _) = play(|request, place| match method(request) {
        "INVITE" => vec![accept(request, place)],
        "BYE" => vec![respond(request, "503 Service Unavailable", "")],
        _ => vec![],
    });
    let calls = &report.calls;
    assert_eq!((calls.established, calls.completed), (CALLS, 0));
    assert_eq!(calls.failed.bye_status, BTreeMap::from([(503, CALLS)]));
    assert_eq!(calls.failed.bye_503(), CALLS);
    assert_eq!(calls.refused_total(), 0);
}

#[test]
fn an_ack_that_is_answered_is_told() {
    let (report, _) = play(|request, place| match method(request) {
        "INVITE" => vec![accept(request, place)],
        "ACK" => vec![respond(request, "503 Service Unavailable", "")],
        _ => vec![respond(request, "200 OK", "")],
    });
    assert_eq!(report.calls.completed, CALLS);
    assert_eq!(report.generator.ack_answered, CALLS);
}

#[test]
fn every_2xx_and_every_refusal_is_acknowledged() {
    let (report, heard) = play(|request, place| match method(request) {
        "INVITE" => vec![accept(request, place); 3],
        "BYE" => vec![respond(request, "200 OK", ""); 2],
        _ => vec![],
    });
    assert_eq!(report.calls.completed, CALLS);
    let acks = heard
        .iter()
        .filter(|request| method(request) == "ACK")
        .count();
    assert_eq!(acks as u64, 3 * CALLS);
    assert_eq!(report.retransmissions_seen.invite_final, 2 * CALLS);
    assert_eq!(report.retransmissions_sent.ack, 2 * CALLS);

    let (report, heard) = play(|request, _| match method(request) {
        "INVITE" => vec![respond(request, "486 Busy Here", ""); 2],
        _ => vec![],
    });
    assert_eq!(report.calls.failed.status, BTreeMap::from([(486, CALLS)]));
    let acks: Vec<&Heard> = heard
        .iter()
        .filter(|request| method(request) == "ACK")
        .collect();
    assert_eq!(acks.len() as u64, 2 * CALLS);
    // The same transaction as its INVITE (RFC 3261 §17.1.1.3).
    let branches = |name| {
        let of = heard.iter().filter(|request| method(request) == name);
        of.map(|request| request.header("Via")[0].to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(branches("ACK"), branches("INVITE"));
}

#[test]
fn answers_that_make_no_dialog_and_none_at_all_are_failures() {
    let (report, _) = play(|request, _| match method(request) {
        "INVITE" => vec![respond(request, "200 OK", "")],
        _ => vec![],
    });
    assert_eq!(
        report.calls.failed.bad_answer, CALLS,
        "a 2xx without a Contact"
    );

    let router = Router::start(|request, _| match method(request) {
        "INVITE" => vec![respond(request, "100 Trying", "")],
        "CANCEL" => vec![respond(request, "200 OK", "")],
        _ => vec![],
    });
    let impatient = Plan {
        timers: Timers {
            t1_ms: 8_000,
            give_up_ms: 300,
            ..Timers::default()
        },
        ..plan(router.door)
    };
    let report = run(&impatient, &mut |_| {}).unwrap();
    let heard = router.finish();
    assert_eq!(report.calls.failed.no_final, CALLS, "{:?}", report.calls);
    let cancels = heard
        .iter()
        .filter(|request| method(request) == "CANCEL")
        .count();
    assert_eq!(cancels as u64, CALLS);
}

#[test]
fn what_is_not_answered_is_sent_again_by_timers_a_and_e() {
    let router = Router::start(|_, _| vec![]);
    let timers = Timers {
        t1_ms: 20,
        t2_ms: 80,
        give_up_ms: 64 * 20,
        retransmits: true,
    };
    let all = Plan {
        timers,
        mix: Mix {
            calls: 1,
            options: 1,
            registers: 1,
        },
        attempts_max: Some(60),
        ..plan(router.door)
    };
    let report = run(&all, &mut |_| {}).unwrap();
    let heard = router.finish();
    let mut times: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for request in &heard {
        let by_call = times.entry(method(request)).or_default();
        *by_call.entry(request.header("Call-ID")[0]).or_default() += 1;
    }
    // INVITE at 0, 1, 3, 7, 15, 31, 63 times T1; the others at 0, 1, 3, 7 and then every 4.
    // A thread that is late sends fewer, never more.
    for (name, most) in [("INVITE", 7), ("OPTIONS", 18), ("REGISTER", 18)] {
        let counts = times[name].values();
        assert!(
            counts.clone().all(|&count| count > 1 && count <= most),
            "{name}: {counts:?}"
        );
    }
    let sent = report.retransmissions_sent;
    assert_eq!(sent.total() + 60, heard.len() as u64);
    assert!(sent.invite > 0 && sent.options > 0 && sent.register > 0);
    assert_eq!(report.calls.failed.no_response, report.calls.attempts);
    assert_eq!(report.options.no_response, report.options.attempts);
    assert_eq!(report.registers.no_response, report.registers.attempts);

    let router = Router::start(|_, _| vec![]);
    let once = Plan {
        timers: Timers {
            retransmits: false,
            ..timers
        },
        ..plan(router.door)
    };
    let report = run(&once, &mut |_| {}).unwrap();
    assert_eq!(report.retransmissions_sent.total(), 0);
    assert_eq!(router.finish().len() as u64, CALLS, "each once");
}

#[test]
fn a_connection_that_breaks_fails_its_calls_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        // The first connection is closed on its first request, all others likewise.
        let mut connections = 0;
        let mut buffer = [0; 4096];
        listener.set_nonblocking(true).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(4) {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    connections += 1;
                    stream.set_nonblocking(false).unwrap();
                    let _first = stream.read(&mut buffer);
                }
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        connections
    });
    let report = run(
        &Plan {
            transport: Transport::Tcp,
            ..plan(target)
        },
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(report.calls.attempts, CALLS);
    assert_eq!(report.calls.failed.broken, CALLS, "{:?}", report.calls);
    assert_eq!(report.calls.unfinished, 0);
    assert!(server.join().unwrap() >= 1);
}
