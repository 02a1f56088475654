//! What a message costs the allocator once its shards are warm: nothing, whether it is answered
//! where it came in, handed over, or sent together with others.
//!
//! A test binary of its own, with one test, because it counts every allocation of the process.

#[path = "bench/counting.rs"]
mod counting;
#[path = "bench/mirror.rs"]
mod mirror;

use base::ShardId;
use counting::counted;
use mirror::{Mirror, mirrors, peer, receive, receiver};
use shards::{Metric, Workbench};

/// Rounds until tables, pools and buffers have the size that they keep, and rounds that count.
const WARM: usize = 20;
const MEASURED: usize = 100;
/// Datagrams of one round: more than a system call moves.
const BURST: usize = 80;

#[test]
fn a_message_allocates_nothing_wherever_it_goes() {
    let one = counted(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(one, 1, "the counter counts");
    for (name, coalesces, owner) in [
        ("answered where it came in", false, b'x'),
        ("answered by the first shard", false, b'0'),
        ("answered by the second shard", false, b'1'),
        ("put off", false, b'p'),
        ("sent together with others", true, b'x'),
        ("handed over and sent together", true, b'0'),
        ("handed over and sent together", true, b'1'),
    ] {
        check(name, coalesces, owner);
    }
}

fn check(name: &str, coalesces: bool, owner: u8) {
    let mut bench = mirrors(2, coalesces);
    let peer = peer(&bench);
    let first = receiver(&mut bench, &peer);
    let owner_id = char::from(owner)
        .to_digit(10)
        .map_or(first, |id| ShardId(id as u16));
    for round in 0..WARM + MEASURED {
        for at in 0..BURST {
            // Of several lanes and lengths.
            let mut message = [owner; 240];
            message[1] = at as u8 % 7;
            let len = message.len() - at * 11 % 40;
            assert_eq!(peer.send(&message[..len]).ok(), Some(len));
        }
        let answered = total(&bench, Metric::DatagramsOut) + BURST as u64;
        let count = counted(|| {
            bench.turn(first);
            bench.turn(first);
            while owner == b'p' && total(&bench, Metric::DatagramsOut) < answered {
                bench.turn(first);
            }
            if owner_id != first {
                bench.turn(owner_id);
            }
        });
        assert!(round < WARM || count == 0, "{name}: {count} allocations");
        receive(&peer, BURST, |_| ());
    }
    let messages = ((WARM + MEASURED) * BURST) as u64;
    assert_eq!(total(&bench, Metric::DatagramsOut), messages + 1, "{name}");
    assert_eq!(total(&bench, Metric::Trains) > 0, coalesces, "{name}");
    let handed_over = if owner_id == first { 0 } else { messages };
    assert_eq!(total(&bench, Metric::HandedOver), handed_over, "{name}");
}

fn total(bench: &Workbench<Mirror>, metric: Metric) -> u64 {
    let pages = bench.stats();
    let values = pages.iter().map(|page| page.runtime.get(metric as usize));
    values.sum()
}
