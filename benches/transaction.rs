//! Which transaction a request belongs to, among 100,000.
//!
//! The requests are parsed beforehand and taken in turn from all over the table. They fit the second
//! level cache with their slots, so this is the cost of the work; a busy shard adds its misses, one
//! for the index and up to two for the slot.

use std::hint::black_box;
use std::net::SocketAddr;

use base::{Flow, Flows, ListenerId, ShardId, SlotId, Transport};
use criterion::{Criterion, criterion_group, criterion_main};
use sip::{Index, Message};
use transaction::{Kind, Limits, Match, Table, Timing};

const TRANSACTIONS: usize = 100_000;
/// How many parsed requests a case goes round.
const REQUESTS: usize = 512;

fn bench(criterion: &mut Criterion) {
    let table = filled();
    let mut group = criterion.benchmark_group("match_request_of_100k");
    for (name, method, first) in [
        ("new", "INVITE", TRANSACTIONS),
        ("retransmission", "INVITE", 0),
        ("ack", "ACK", 0),
        ("cancel", "CANCEL", 0),
    ] {
        let step = TRANSACTIONS / REQUESTS;
        let texts: Vec<Vec<u8>> = (0..REQUESTS)
            .map(|turn| request(method, first + turn * step))
            .collect();
        let mut indexes: Vec<Index> = (0..REQUESTS).map(|_| Index::new()).collect();
        let messages: Vec<Message<'_>> = texts
            .iter()
            .zip(&mut indexes)
            .map(|(text, index)| sip::parse(text, index).expect("a valid request"))
            .collect();
        check(name, table.match_request(&messages[0]));
        let mut turn = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % REQUESTS;
                table.match_request(black_box(&messages[turn]))
            });
        });
    }
    group.finish();
}

/// A wrong case would measure the wrong thing.
fn check(name: &str, found: Match) {
    let is_right = match found {
        Match::New(_) => name == "new",
        Match::Retransmission(_) => name == "retransmission",
        Match::Ack(_) => name == "ack",
        Match::AckUnmatched => false,
        Match::Cancel { invite, .. } => name == "cancel" && invite.is_some(),
    };
    assert!(is_right, "{name} gives {found:?}");
}

fn filled() -> Table {
    let limits = Limits {
        servers: TRANSACTIONS,
        clients: 0,
    };
    let mut table = Table::new(ShardId(0), [0x5a; 16], limits, Timing::default());
    let flow = Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        peer: SocketAddr::from(([198, 51, 100, 7], 5060)),
        conn: None,
    };
    let flow = Flows::new(1, 0).keep(&flow).expect("room for one");
    let mut index = Index::new();
    for number in 0..TRANSACTIONS {
        let text = request("INVITE", number);
        let message = sip::parse(&text, &mut index).expect("a valid request");
        let Match::New(key) = table.match_request(&message) else {
            panic!("each branch is new");
        };
        let user = SlotId::new(ShardId(0), number as u32, 1);
        let id = table.insert_server(key, Kind::Invite, (flow, Transport::Udp), user);
        assert!(id.is_some(), "room for all");
    }
    table
}

fn request(method: &str, number: usize) -> Vec<u8> {
    format!(
        "{method} sip:+12025550143@gw1.example.net SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-1529-{number}-4;rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:+12025550101@198.51.100.7>;tag=1529SIPpTag00{number}\r\n\
         To: <sip:+12025550143@gw1.example.net>\r\n\
         Call-ID: {number}-1529@198.51.100.7\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:sipp@198.51.100.7:5060>\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

criterion_group!(transaction, bench);
criterion_main!(transaction);
