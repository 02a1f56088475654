//! What each machine does with every event in every state, against the committed copy.
//!
//! `UPDATE_TABLES=1 cargo test -p transaction tables` writes the copies anew; read the difference.

use std::fmt::{Debug, Write};
use std::path::Path;

use base::{PacketId, Transport};

use crate::{
    Actions, Change, Client, ClientEvent, InviteClient, InviteServer, Last, Server, ServerEvent,
    Side, Tell, Timer, Timing,
};

/// The packet that an event under test brings; those before it are 1, 2, …
const NEW: PacketId = PacketId(9);

#[test]
fn invite_server() {
    let paths: &[(&str, &[ServerEvent])] = &[
        ("Proceeding, nothing sent", &[]),
        ("Proceeding, holds a 180", &[respond(1, 180)]),
        ("Accepted", &[respond(1, 180), respond(2, 200)]),
        ("Completed", &[respond(1, 180), respond(2, 486)]),
        ("Confirmed", &[respond(1, 486), ServerEvent::Ack]),
        ("Terminated", &[ServerEvent::Abandon]),
    ];
    let table = print(
        "INVITE server",
        paths,
        &server_events(),
        |transport, path| {
            let mut machine = InviteServer::new(transport);
            play(path, |event, actions| {
                machine.step(event, &Timing::default(), actions);
                machine.state()
            })
        },
    );
    compare("invite_server", &table);
}

#[test]
fn server() {
    let trying = ServerEvent::Timer(Timer::Trying);
    let paths: &[(&str, &[ServerEvent])] = &[
        ("Trying", &[ServerEvent::Start]),
        ("Proceeding, nothing sent", &[ServerEvent::Start, trying]),
        (
            "Proceeding, holds a 100",
            &[ServerEvent::Start, trying, respond(1, 100)],
        ),
        (
            "Completed",
            &[ServerEvent::Start, trying, respond(1, 100), respond(2, 200)],
        ),
        (
            "Completed, abandoned",
            &[
                ServerEvent::Start,
                trying,
                respond(1, 100),
                ServerEvent::Abandon,
            ],
        ),
        (
            "Terminated",
            &[respond(1, 200), ServerEvent::Timer(Timer::J)],
        ),
    ];
    let table = print(
        "Non-INVITE server",
        paths,
        &server_events(),
        |transport, path| {
            let mut machine = Server::new(transport);
            play(path, |event, actions| {
                machine.step(event, &Timing::default(), actions);
                machine.state()
            })
        },
    );
    compare("server", &table);
}

#[test]
fn invite_client() {
    let start = ClientEvent::Start {
        packet: PacketId(1),
    };
    let ack = ClientEvent::SendAck {
        packet: PacketId(2),
    };
    let paths: &[(&str, &[ClientEvent])] = &[
        ("Unsent", &[]),
        ("Calling", &[start]),
        ("Proceeding", &[start, response(180)]),
        ("Cancelling", &[start, response(180), ClientEvent::Cancel]),
        ("Accepted", &[start, response(200)]),
        ("Completed, no ACK yet", &[start, response(486)]),
        ("Completed", &[start, response(486), ack]),
        ("Terminated", &[start, ClientEvent::Timer(Timer::B)]),
    ];
    let table = print(
        "INVITE client",
        paths,
        &client_events(),
        |transport, path| {
            let mut machine = InviteClient::new(transport);
            play(path, |event, actions| {
                machine.step(event, &Timing::default(), actions);
                machine.state()
            })
        },
    );
    compare("invite_client", &table);
}

#[test]
fn client() {
    let start = ClientEvent::Start {
        packet: PacketId(1),
    };
    let paths: &[(&str, &[ClientEvent])] = &[
        ("Unsent", &[]),
        ("Trying", &[start]),
        ("Proceeding", &[start, response(100)]),
        ("Completed", &[start, response(200)]),
        ("Terminated", &[start, ClientEvent::Timer(Timer::F)]),
    ];
    let table = print(
        "Non-INVITE client",
        paths,
        &client_events(),
        |transport, path| {
            let mut machine = Client::new(transport);
            play(path, |event, actions| {
                machine.step(event, &Timing::default(), actions);
                machine.state()
            })
        },
    );
    compare("client", &table);
}

const fn respond(packet: u32, status: u16) -> ServerEvent {
    ServerEvent::Respond {
        packet: PacketId(packet),
        status,
    }
}

const fn response(status: u16) -> ClientEvent {
    ClientEvent::Response { status }
}

fn server_events() -> Vec<ServerEvent> {
    let mut events = vec![ServerEvent::Start, ServerEvent::Request, ServerEvent::Ack];
    events.extend([100, 180, 200, 302, 408, 486].map(|status| respond(NEW.0, status)));
    events.extend([ServerEvent::Abandon, ServerEvent::TransportError]);
    let timers = Timer::ALL
        .into_iter()
        .filter(|timer| timer.side() == Side::Server);
    events.extend(timers.map(ServerEvent::Timer));
    events
}

fn client_events() -> Vec<ClientEvent> {
    let mut events = vec![ClientEvent::Start { packet: NEW }];
    events.extend([100, 180, 200, 302, 408, 603].map(response));
    events.extend([
        ClientEvent::SendAck { packet: NEW },
        ClientEvent::Cancel,
        ClientEvent::TransportError,
    ]);
    let timers = Timer::ALL
        .into_iter()
        .filter(|timer| timer.side() == Side::Client);
    events.extend(timers.map(ClientEvent::Timer));
    events
}

/// Feeds a machine a path; the actions and the state after its last event.
fn play<E: Copy, S: Debug>(
    path: &[E],
    mut step: impl FnMut(E, &mut Actions) -> S,
) -> (String, String) {
    let mut last = (String::from("-"), String::from("-"));
    for &event in path {
        let mut actions = Actions::new();
        let state = step(event, &mut actions);
        last = (format!("{state:?}"), words(&actions));
    }
    last
}

/// One block a state and transport, one line an event.
fn print<E: Copy + Debug>(
    name: &str,
    paths: &[(&str, &[E])],
    events: &[E],
    play: impl Fn(Transport, &[E]) -> (String, String),
) -> String {
    let mut out = format!("{name} transaction: each state, each event → next state, actions.\n");
    out.push_str("Packet 9 comes with the event, lower ones came before it. Times in ms.\n");
    for (state, path) in paths {
        for transport in [Transport::Udp, Transport::Tcp] {
            // Over TCP some paths end early: such a state does not exist there.
            let (reached, _) = play(transport, path);
            let wanted = state.split(',').next().unwrap_or(state);
            if reached != "-" && reached != wanted {
                write!(out, "\n{state} ({transport}): not over this transport\n")
                    .expect("a string");
                continue;
            }
            write!(out, "\n{state} ({transport})\n").expect("a string");
            for &event in events {
                let mut whole = path.to_vec();
                whole.push(event);
                let (next, actions) = play(transport, &whole);
                let event = event_words(event);
                writeln!(out, "  {event:<15}→ {next:<11}{actions}").expect("a string");
            }
        }
    }
    out
}

/// An event without its packet, shorter than `Debug` has it.
fn event_words(event: impl Debug) -> String {
    let long = format!("{event:?}");
    let status = long
        .split("status: ")
        .nth(1)
        .map(|rest| rest.trim_end_matches(" }"));
    let name = long.split([' ', '{']).next().unwrap_or_default();
    match status {
        Some(status) => format!("{name} {status}"),
        None => name.to_owned(),
    }
}

fn words(actions: &Actions) -> String {
    let Actions {
        send,
        releases,
        repeat,
        bound,
        tell,
        last,
    } = actions;
    let change = |change: &Change, name: &str| match change {
        Change::Keep => None,
        Change::Disarm => Some(format!("disarm {name}")),
        Change::Arm { timer, delay_ms } => Some(format!("arm {timer:?} {delay_ms}")),
    };
    let mut words: Vec<String> = Vec::new();
    words.extend(send.map(|packet| format!("send {}", packet.0)));
    let released = releases.iter().flatten();
    words.extend(released.map(|packet| format!("release {}", packet.0)));
    words.extend(change(repeat, "the repeats"));
    words.extend(change(bound, "the bound"));
    words.extend(tell.map(|tell| match tell {
        Tell::Deliver => "deliver".to_owned(),
        Tell::ComposeTrying => "compose 100".to_owned(),
        Tell::NoAnswer => "no answer".to_owned(),
        Tell::TimedOut => "timed out".to_owned(),
        Tell::Failed => "failed".to_owned(),
    }));
    words.extend(last.map(|last| match last {
        Last::ComposeAck => "compose ACK".to_owned(),
        Last::Terminated => "end".to_owned(),
        Last::Ignored => "ignored".to_owned(),
    }));
    match words.as_slice() {
        [] => "absorbed".to_owned(),
        some => some.join(", "),
    }
}

fn compare(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/tables/{name}.txt"));
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(&path, table).expect("the folder of the tables can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the table is committed");
    for (number, (is, was)) in table.lines().zip(committed.lines()).enumerate() {
        assert_eq!(is, was, "src/tables/{name}.txt, line {}", number + 1);
    }
    assert_eq!(table.lines().count(), committed.lines().count(), "{name}");
}
