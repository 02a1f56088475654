//! Which transaction a request belongs to: RFC 3261 §17.2.3, both rules.

use base::{ShardId, SlotId, Transport};

use super::router::Router;
use super::{flow, parsed, user};
use crate::{Kind, Limits, Match, ServerSlot, Table, Timing};

/// What tests vary of a request.
#[derive(Clone, Copy)]
struct Request {
    method: &'static str,
    uri: &'static str,
    via: &'static str,
    from_tag: &'static str,
    to_tag: &'static str,
    call_id: &'static str,
    cseq: u32,
}

/// By RFC 3261.
const MODERN: Request = Request {
    method: "INVITE",
    uri: "sip:bob@example.com",
    via: "SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bK776asdhds",
    from_tag: ";tag=1928",
    to_tag: "",
    call_id: "a84b4c76e66710@pc33.example.com",
    cseq: 314_159,
};

/// By RFC 2543: a branch without the cookie.
const OLD: Request = Request {
    via: "SIP/2.0/UDP pc33.example.com:5066;branch=1",
    ..MODERN
};

impl Request {
    fn text(&self) -> String {
        let Request {
            method,
            uri,
            via,
            from_tag,
            to_tag,
            call_id,
            cseq,
        } = self;
        format!(
            "{method} {uri} SIP/2.0\nVia: {via}\nMax-Forwards: 70\n\
             From: Alice <sip:alice@example.com>{from_tag}\nTo: Bob <sip:bob@example.com>{to_tag}\n\
             Call-ID: {call_id}\nCSeq: {cseq} {method}\nContent-Length: 0\n\n"
        )
    }
}

fn table(servers: usize) -> Table {
    let limits = Limits {
        servers,
        clients: servers,
    };
    Table::new(ShardId(0), *b"sixteen bytes ok", limits, Timing::default())
}

fn find(table: &Table, request: Request) -> Match {
    parsed(&request.text(), |message| table.match_request(message))
}

fn insert(table: &mut Table, request: Request) -> SlotId {
    let key = match find(table, request) {
        Match::New(key) | Match::Cancel { key, .. } => key,
        other => panic!("a new request, not {other:?}"),
    };
    let kind = match request.method {
        "INVITE" => Kind::Invite,
        _ => Kind::NonInvite,
    };
    table
        .insert_server(key, kind, flow(Transport::Udp), user())
        .expect("room")
}

/// With `first` in the table: whether `second` is its retransmission.
fn is_repeat(first: Request, second: Request) -> bool {
    let mut table = table(4);
    let id = insert(&mut table, first);
    match find(&table, second) {
        Match::Retransmission(found) => found == id,
        Match::New(_) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn by_rfc3261_branch_sent_by_and_method_decide() {
    let with_via = |via| Request { via, ..MODERN };
    assert!(is_repeat(MODERN, MODERN));
    let others = Request {
        uri: "sip:carol@example.com",
        from_tag: ";tag=other",
        to_tag: ";tag=other",
        call_id: "other",
        cseq: 1,
        ..MODERN
    };
    assert!(is_repeat(MODERN, others), "nothing else is looked at");
    assert!(is_repeat(
        MODERN,
        with_via("SIP/2.0/UDP PC33.Example.COM:5066;branch=z9hG4bK776asdhds;rport")
    ));
    for via in [
        "SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bK776asdhdt",
        "SIP/2.0/UDP pc33.example.com:5067;branch=z9hG4bK776asdhds",
        "SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds",
        "SIP/2.0/UDP pc34.example.com:5066;branch=z9hG4bK776asdhds",
    ] {
        assert!(!is_repeat(MODERN, with_via(via)), "{via}");
    }
    let options = Request {
        method: "OPTIONS",
        ..MODERN
    };
    assert!(!is_repeat(MODERN, options));
    assert!(is_repeat(options, options));
}

#[test]
fn a_sent_by_is_compared_as_a_host_and_a_port() {
    let with_via = |via| Request { via, ..MODERN };
    assert!(is_repeat(
        with_via("SIP/2.0/UDP [2001:db8::9:ABCD];branch=z9hG4bK1"),
        with_via("SIP/2.0/UDP [2001:DB8::9:abcd]:5060;branch=z9hG4bK1")
    ));
    assert!(!is_repeat(
        with_via("SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bK1"),
        with_via("SIP/2.0/UDP [2001:db8::9:2];branch=z9hG4bK1")
    ));
    let long = "h".repeat(60);
    let twice = [format!("{long}.example.com"), format!("{long}.example.net")].map(|host| {
        let text = MODERN.text();
        text.replace("pc33.example.com:5066", &host)
    });
    let table = table(1);
    let keys = twice.map(|text| parsed(&text, |message| table.match_request(message)));
    assert_ne!(keys[0], keys[1], "past the first 64 bytes too");
}

#[test]
fn an_ack_finds_its_invite_by_the_same_branch_only() {
    let mut table = table(4);
    let ack = Request {
        method: "ACK",
        to_tag: ";tag=whatever",
        ..MODERN
    };
    assert_eq!(find(&table, ack), Match::AckUnmatched);
    let id = insert(&mut table, MODERN);
    assert_eq!(find(&table, ack), Match::Ack(id));
    let own_branch = Request {
        via: "SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bKack",
        ..ack
    };
    assert_eq!(find(&table, own_branch), Match::AckUnmatched, "of a 2xx");
    let options = Request {
        method: "OPTIONS",
        via: "SIP/2.0/UDP pc33.example.com:5066;branch=z9hG4bKack",
        ..MODERN
    };
    insert(&mut table, options);
    assert_eq!(find(&table, own_branch), Match::AckUnmatched, "no INVITE");
}

#[test]
fn a_cancel_is_a_transaction_of_its_own_and_finds_its_invite() {
    for invite in [
        MODERN,
        OLD,
        Request {
            to_tag: ";tag=re",
            ..OLD
        },
    ] {
        let mut table = table(4);
        let cancel = Request {
            method: "CANCEL",
            ..invite
        };
        let found = find(&table, cancel);
        assert!(matches!(
            found,
            Match::Cancel {
                retransmission: None,
                invite: None,
                ..
            }
        ));
        let invite_id = insert(&mut table, invite);
        let found = find(&table, cancel);
        assert!(matches!(
            found,
            Match::Cancel { retransmission: None, invite: Some(id), .. } if id == invite_id
        ));
        let cancel_id = insert(&mut table, cancel);
        assert!(matches!(
            find(&table, cancel),
            Match::Cancel { retransmission: Some(again), invite: Some(id), .. }
                if again == cancel_id && id == invite_id
        ));
        assert_eq!(find(&table, invite), Match::Retransmission(invite_id));
        let other_sent_by = Request {
            via: "SIP/2.0/UDP elsewhere.example.com;branch=z9hG4bK776asdhds",
            ..cancel
        };
        assert!(matches!(
            find(&table, other_sent_by),
            Match::Cancel {
                retransmission: None,
                invite: None,
                ..
            }
        ));
    }
}

#[test]
fn by_rfc2543_every_part_of_the_request_decides() {
    assert!(is_repeat(OLD, OLD));
    let no_branch = Request {
        via: "SIP/2.0/UDP pc33.example.com:5066",
        ..OLD
    };
    assert!(is_repeat(no_branch, no_branch));
    assert!(!is_repeat(OLD, no_branch));
    let in_dialog = Request {
        to_tag: ";tag=callee",
        ..OLD
    };
    assert!(is_repeat(in_dialog, in_dialog), "a re-INVITE");
    let bye = Request {
        method: "BYE",
        ..OLD
    };
    assert!(is_repeat(bye, bye));
    for other in [
        in_dialog,
        Request {
            uri: "sip:bob@example.net",
            ..OLD
        },
        Request {
            from_tag: ";tag=1929",
            ..OLD
        },
        Request {
            from_tag: "",
            ..OLD
        },
        Request {
            call_id: "other",
            ..OLD
        },
        Request {
            cseq: 314_160,
            ..OLD
        },
        Request {
            via: "SIP/2.0/TCP pc33.example.com:5066;branch=1",
            ..OLD
        },
        Request {
            via: "SIP/2.0/UDP pc33.example.com:5066;branch=2",
            ..OLD
        },
        Request {
            via: "SIP/2.0/UDP pc34.example.com:5066;branch=1",
            ..OLD
        },
        bye,
    ] {
        assert!(!is_repeat(OLD, other), "{}", other.text());
    }
}

#[test]
fn by_rfc2543_an_ack_must_carry_the_tag_of_our_response() {
    for invite in [
        OLD,
        Request {
            to_tag: ";tag=again",
            ..OLD
        },
    ] {
        let mut table = table(4);
        let id = insert(&mut table, invite);
        let ack = |to_tag| Request {
            method: "ACK",
            to_tag,
            ..invite
        };
        assert_eq!(find(&table, ack(";tag=ours")), Match::AckUnmatched);
        assert_eq!(
            find(&table, ack("")),
            Match::AckUnmatched,
            "no response yet"
        );
        table.note_response_tag(id, b"ours");
        assert_eq!(find(&table, ack(";tag=ours")), Match::Ack(id));
        assert_eq!(find(&table, ack(";tag=theirs")), Match::AckUnmatched);
        assert_eq!(find(&table, ack("")), Match::AckUnmatched);
        let other_cseq = Request {
            cseq: 1,
            ..ack(";tag=ours")
        };
        assert_eq!(find(&table, other_cseq), Match::AckUnmatched);
        assert_eq!(find(&table, invite), Match::Retransmission(id));
        table.note_response_tag(id, b"");
        assert_eq!(find(&table, ack("")), Match::Ack(id), "a response without");
    }
}

#[test]
fn a_retired_transaction_is_not_found_any_more() {
    let mut table = table(4);
    let id = insert(&mut table, MODERN);
    assert!(table.retire_server(id).is_some());
    assert!(table.retire_server(id).is_none(), "once");
    assert!(matches!(find(&table, MODERN), Match::New(_)));
    let next = insert(&mut table, MODERN);
    assert_ne!(id, next);
    assert_eq!(find(&table, MODERN), Match::Retransmission(next));
    assert_eq!(table.audit().unfindable, 0);
}

#[test]
fn another_secret_makes_other_keys() {
    let limits = Limits {
        servers: 1,
        clients: 1,
    };
    let one = Table::new(ShardId(0), [1; 16], limits, Timing::default());
    let two = Table::new(ShardId(0), [2; 16], limits, Timing::default());
    assert_ne!(find(&one, MODERN), find(&two, MODERN));
}

#[test]
fn a_full_table_refuses_and_recovers() {
    let mut router = Router::new(Limits {
        servers: 3,
        clients: 2,
    });
    for round in 0..3 {
        let open = |router: &mut Router| router.open_server(Kind::Invite, Transport::Udp);
        let servers: Vec<_> = (0..5).filter_map(|_| open(&mut router)).collect();
        let clients: Vec<_> = (0..5)
            .filter_map(|_| router.open_client(Kind::NonInvite, Transport::Udp))
            .collect();
        assert_eq!((servers.len(), clients.len()), (3, 2), "round {round}");
        assert_eq!(
            (router.table.len_servers(), router.table.len_clients()),
            (3, 2)
        );
        for id in servers {
            router.respond(id, 200);
        }
        for id in clients {
            router.retire(id, crate::Side::Client);
        }
        router.run_until(router.now_ms + 32_000);
        assert!(router.table.is_empty(), "round {round}");
    }
}

#[test]
fn a_slot_stays_small() {
    assert!(
        size_of::<ServerSlot>() <= 176,
        "{}",
        size_of::<ServerSlot>()
    );
    assert!(
        size_of::<crate::ClientSlot>() <= 160,
        "{}",
        size_of::<crate::ClientSlot>()
    );
}
