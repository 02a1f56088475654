//! What a shard puts off, in its own turns and over real sockets.

#![expect(clippy::disallowed_methods)] // a test of what waits has to wait

#[path = "bench/mirror.rs"]
mod mirror;

use std::net::UdpSocket;
use std::time::Duration;

use base::ShardId;
use mirror::{Mirror, mirrors, peer};
use shards::{Metric, Workbench};

const SHARD: ShardId = ShardId(0);

fn send(peer: &UdpSocket, texts: &[&str]) {
    for text in texts {
        assert_eq!(peer.send(text.as_bytes()).ok(), Some(text.len()));
    }
}

/// What came back, in its order.
fn received(peer: &UdpSocket) -> Vec<String> {
    peer.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 64];
    let mut all = Vec::new();
    while let Ok(len) = peer.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
    }
    all
}

fn count(bench: &Workbench<Mirror>, metric: Metric) -> u64 {
    bench.stats()[0].runtime.get(metric as usize)
}

#[test]
fn it_waits_until_nothing_else_is_there_and_goes_by_few() {
    let mut bench = mirrors(1, false);
    let peer = peer(&bench);
    send(&peer, &["p1", "a", "p2", "b", "p3", "p4", "p5", "p6"]);
    bench.turn(SHARD);
    assert_eq!(received(&peer), ["a", "b", "p1", "p2", "p3", "p4"]);
    // What came meanwhile goes first.
    send(&peer, &["c", "p7", "p8", "p9"]);
    bench.turn(SHARD);
    assert_eq!(received(&peer), ["c", "p5", "p6", "p7", "p8"]);
    bench.turn(SHARD);
    bench.turn(SHARD);
    assert_eq!(received(&peer), ["p9"]);
    assert_eq!(count(&bench, Metric::PutOff), 9);
}

#[test]
fn it_goes_on_where_there_always_is_something_else() {
    let mut bench = mirrors(1, false);
    let peer = peer(&bench);
    let mut texts = vec!["p."; 20];
    texts.resize(200, "a.");
    send(&peer, &texts);
    bench.turn(SHARD);
    let answers = received(&peer);
    let put_off = answers.iter().filter(|text| text.starts_with('p')).count();
    assert_eq!((answers.len(), put_off), (44 + 1, 1));
    assert_eq!(answers[43..], ["a.", "p."]);
}

#[test]
fn the_first_rank_goes_before_the_last() {
    let mut bench = mirrors(1, false);
    let peer = peer(&bench);
    send(&peer, &["p1", "q1", "a", "p2", "q2", "q3", "p3"]);
    for _ in 0..2 {
        bench.turn(SHARD);
    }
    assert_eq!(received(&peer), ["a", "q1", "q2", "q3", "p1", "p2", "p3"]);
}

#[test]
fn the_first_rank_does_not_wait_for_long() {
    let mut bench = mirrors(1, false);
    let peer = peer(&bench);
    let mut texts = vec!["p."; 5];
    texts.extend(vec!["q."; 35]);
    texts.resize(200, "a.");
    send(&peer, &texts);
    bench.turn(SHARD);
    let answers = received(&peer);
    let before = answers.iter().filter(|text| *text == "q.").count();
    std::thread::sleep(Duration::from_millis(25));
    bench.turn(SHARD);
    let answers = received(&peer);
    let count = |what: &str| answers.iter().filter(|text| *text == what).count();
    // A batch of the rest, and some of these; none of the other rank.
    assert_eq!((count("a."), count("q.")), (64, 16.min(35 - before)));
    assert_eq!(count("p."), 0);
}
