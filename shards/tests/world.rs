//! The world: deterministic, in order, with all that a shard has.

mod bench;

use std::net::SocketAddr;
use std::sync::Arc;

use base::{ListenerId, ShardId, Time, Transport};
use bench::{Echo, HANDLED, message};
use shards::{Limits, ListenerSpec, Metric, Sent, Undelivered, World, WorldConfig};

const UDP: ListenerId = ListenerId(0);
const TCP: ListenerId = ListenerId(1);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], port))
}

fn config(seed: u64, shards: u16) -> WorldConfig {
    let listener = |transport| ListenerSpec {
        transport,
        address: address("192.0.2.1:5060"),
    };
    WorldConfig {
        seed,
        shards,
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        handler_counters: &HANDLED,
        ..WorldConfig::default()
    }
}

fn world(seed: u64, shards: u16) -> World<Echo> {
    World::new(config(seed, shards), |_| Echo::default())
}

fn line(sent: Sent<'_>) -> String {
    let text = String::from_utf8_lossy(sent.bytes);
    let close = if sent.close { " close" } else { "" };
    let connect = if sent.connect { " connect" } else { "" };
    let (at, shard, peer) = (sent.at.0, sent.shard.0, sent.flow.peer);
    format!("{at} {shard} > {peer}{connect}{close} {text:?}")
}

/// Runs to a moment and says what was sent, without times if they do not matter.
fn run(world: &mut World<Echo>, until_ms: u64) -> Vec<String> {
    let mut lines = Vec::new();
    world.run_until(Time::from_millis(until_ms), &mut |sent| {
        lines.push(line(sent))
    });
    lines
}

fn texts(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(|l| l.split_once(" > ").map_or("", |(_, rest)| rest))
        .collect()
}

fn mixed_run(seed: u64) -> Vec<String> {
    let mut world = world(seed, 3);
    for n in 0..200_u16 {
        let owner = char::from(b'0' + (n % 3) as u8);
        let (command, payload) = match n % 5 {
            0 => ('E', "hello".to_owned()),
            1 => ('D', format!("{}", n * 7)),
            2 => ('L', format!("{}", n % 2)),
            3 => ('W', String::new()),
            _ => ('R', format!("record {n}")),
        };
        let bytes = message(owner, command, payload.as_bytes());
        world.datagram(Time(u64::from(n) * 350), UDP, peer(1_000 + n % 17), &bytes);
        if n % 20 == 0 {
            let stream = world.stream_open(Time(u64::from(n) * 350), TCP, peer(2_000 + n));
            world.stream_bytes(Time(u64::from(n) * 400), stream, &bytes);
        }
    }
    let mut lines = run(&mut world, 10_000);
    lines.extend(world.records().iter().map(|r| format!("{r:?}")));
    lines.extend(world.notices().iter().map(|n| format!("{n:?}")));
    lines
}

#[test]
fn a_seed_repeats_a_run_and_another_one_does_not() {
    let first = mixed_run(1);
    assert!(first.len() > 200);
    assert_eq!(first, mixed_run(1));
    assert_ne!(first, mixed_run(2));
}

#[test]
fn a_message_for_another_shard_takes_the_hop_and_the_rest_stays() {
    let mut world = world(3, 2);
    for n in 0..40 {
        let owner = if n % 2 == 0 { '0' } else { '1' };
        world.datagram(
            Time(n * 1_000),
            UDP,
            peer(n as u16),
            &message(owner, 'W', b""),
        );
    }
    let lines = run(&mut world, 1_000);
    assert_eq!(lines.len(), 40);
    let count = |metric| -> u64 {
        (0..2)
            .map(|s| world.stats(ShardId(s)).runtime.get(metric as usize))
            .sum()
    };
    let hops = lines
        .iter()
        .filter(|l| l.contains(" 1 192.0.2.1:5060\""))
        .count() as u64;
    assert!(hops > 5 && hops < 35, "{hops}");
    assert_eq!(
        (count(Metric::HandedOver), count(Metric::TakenOver)),
        (hops, hops)
    );
    assert_eq!(world.stats(ShardId(0)).handler.get(0), 20);
}

#[test]
fn what_is_put_off_comes_after_the_rest_and_in_its_order() {
    let mut world = World::new(
        WorldConfig {
            limits: Limits {
                backlog: 2,
                ..Limits::small()
            },
            ..config(3, 1)
        },
        |_| Echo::default(),
    );
    for (n, (command, payload)) in (0..).zip([('O', "1"), ('O', "2"), ('E', "3"), ('O', "4")]) {
        let bytes = message('0', command, payload.as_bytes());
        world.datagram(Time(n), UDP, peer(1_000), &bytes);
    }
    let lines = run(&mut world, 1_000);
    let order: String = lines.iter().filter_map(|l| l.chars().nth_back(1)).collect();
    // There is room for two.
    assert_eq!(order, "3412", "{lines:?}");
    let count = |metric| world.stats(ShardId(0)).runtime.get(metric as usize);
    let counts = [Metric::PutOff, Metric::BacklogFull, Metric::BacklogDepth].map(count);
    assert_eq!((counts, world.live_packets(ShardId(0))), ([2, 1, 0], 0));
}

#[test]
fn a_deadline_passes_at_its_time_and_not_before() {
    let mut world = world(4, 1);
    world.datagram(Time(500), UDP, peer(1), &message('0', 'D', b"100"));
    assert_eq!(run(&mut world, 100), [] as [&str; 0]);
    assert_eq!(world.armed_timers(ShardId(0)), 1);
    // Armed at 500 µs, rounded up to the next tick of the wheel.
    assert_eq!(
        run(&mut world, 200),
        ["101000 0 > 198.51.100.1:1 \"0D0003100\""]
    );
    assert_eq!(
        (
            world.armed_timers(ShardId(0)),
            world.live_packets(ShardId(0))
        ),
        (0, 0)
    );
}

#[test]
fn a_stream_is_framed_whatever_the_cuts() {
    let all = [
        message('0', 'E', b"one"),
        message('-', 'E', b"two"),
        b"\r\n\r\n".to_vec(),
    ]
    .concat();
    for cut in 1..all.len() {
        let mut world = world(5, 1);
        let stream = world.stream_open(Time(0), TCP, peer(9));
        world.stream_bytes(Time(10), stream, &all[..cut]);
        world.stream_bytes(Time(20), stream, &all[cut..]);
        let lines = run(&mut world, 10);
        let want = [
            "198.51.100.1:9 \"0E0003one\"",
            "198.51.100.1:9 \"-E0003two\"",
            "198.51.100.1:9 \"\\r\\n\"",
        ];
        assert_eq!(texts(&lines), want, "cut at {cut}");
        assert_eq!(world.open_connections(ShardId(0)), 1);
    }
}

#[test]
fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    let mut world = world(6, 1);
    let stream = world.stream_open(Time(0), TCP, peer(9));
    world.stream_bytes(Time(10), stream, b"what is this");
    let lines = run(&mut world, 10);
    assert_eq!(
        texts(&lines),
        ["198.51.100.1:9 \"bad 1\"", "198.51.100.1:9 close \"\""]
    );
    let long = world.stream_open(Time(0), TCP, peer(10));
    world.stream_bytes(Time(10), long, b"0K9999");
    assert_eq!(
        texts(&run(&mut world, 20))[0],
        "198.51.100.1:10 \"bad 255\""
    );
    assert_eq!(world.open_connections(ShardId(0)), 0);
}

#[test]
fn a_connection_is_opened_once_reused_and_its_refusal_told() {
    let mut world = world(7, 1);
    let forward = message('0', 'F', b"tcp 1 203.0.113.5:5060");
    world.datagram(Time(0), UDP, peer(1), &forward);
    world.datagram(Time(10), UDP, peer(1), &forward);
    let mut streams = Vec::new();
    world.run_until(Time(100), &mut |sent| {
        streams.push((sent.stream.expect("a stream"), sent.connect))
    });
    assert_eq!(streams.len(), 2);
    assert_eq!(streams[0].0, streams[1].0);
    assert_eq!((streams[0].1, streams[1].1), (true, false));
    world.stream_refuse(Time(200), streams[0].0);
    run(&mut world, 1);
    let told =
        (world.handler(ShardId(0)).log.iter()).filter(|l| l.ends_with("undelivered 77 Refused"));
    assert_eq!(told.count(), 2);
    world.datagram(Time(2_000), UDP, peer(1), &forward);
    assert!(run(&mut world, 3)[0].contains(" connect "), "a new one");
}

#[test]
fn a_message_on_a_stream_is_answered_by_its_owner_over_the_same_stream() {
    for seed in 0..8 {
        let mut world = world(seed, 4);
        let stream = world.stream_open(Time(0), TCP, peer(9));
        for owner in ['0', '1', '2', '3'] {
            world.stream_bytes(Time(10), stream, &message(owner, 'E', b"x"));
        }
        let mut seen = Vec::new();
        world.run_until(Time::from_millis(10), &mut |sent| {
            assert_eq!(sent.stream, Some(stream));
            seen.push(sent.bytes[0]);
        });
        seen.sort_unstable();
        assert_eq!(seen, b"0123");
        world.stream_close(Time::from_millis(11), stream);
        run(&mut world, 12);
        let open: usize = (0..4).map(|s| world.open_connections(ShardId(s))).sum();
        assert_eq!(open, 0);
    }
}

#[test]
fn a_restart_loses_state_and_connections_but_not_what_is_on_its_way() {
    let mut world = world(8, 1);
    let stream = world.stream_open(Time(0), TCP, peer(9));
    world.datagram(Time(10), UDP, peer(1), &message('0', 'D', b"50"));
    world.datagram(
        Time::from_millis(20),
        UDP,
        peer(1),
        &message('0', 'E', b"late"),
    );
    run(&mut world, 10);
    assert_eq!(world.armed_timers(ShardId(0)), 1);
    world.restart(ShardId(0), Echo::default());
    assert_eq!(
        (
            world.armed_timers(ShardId(0)),
            world.open_connections(ShardId(0))
        ),
        (0, 0)
    );
    world.stream_bytes(Time::from_millis(30), stream, &message('0', 'E', b"lost"));
    let lines = run(&mut world, 200);
    assert_eq!(
        texts(&lines),
        ["198.51.100.1:9 close \"\"", "198.51.100.1:1 \"0E0004late\""]
    );
}

#[test]
fn snapshots_drain_and_stop_reach_every_shard() {
    let mut world = world(9, 3);
    world.publish(Arc::new("first".to_owned()));
    run(&mut world, 1);
    world.drain();
    assert!(!world.is_idle());
    run(&mut world, 2);
    assert!(world.is_idle());
    world.stop(&mut |_| {});
    for shard in 0..3 {
        let handler = world.handler(ShardId(shard));
        let what: Vec<_> = handler
            .log
            .iter()
            .filter_map(|l| l.split_once(' '))
            .map(|l| l.1)
            .collect();
        assert_eq!(what, ["snapshot first", "drain", "stop"]);
    }
    assert_eq!(world.notices().len(), 9);
}

#[test]
fn full_inboxes_and_unknown_listeners_are_told_and_counted() {
    let limits = Limits {
        inbox: 2,
        ..Limits::small()
    };
    let mut world = World::new(
        WorldConfig {
            limits,
            ..config(10, 2)
        },
        |_| Echo::default(),
    );
    for n in 0..20 {
        world.datagram(Time(0), UDP, peer(n), &message('0', 'E', b""));
        world.datagram(Time(0), UDP, peer(n), &message('1', 'E', b""));
    }
    let lines = run(&mut world, 10);
    let drops: u64 = (0..2)
        .map(|s| {
            world
                .stats(ShardId(s))
                .runtime
                .get(Metric::InboxDrops as usize)
        })
        .sum();
    let refused = lines.iter().filter(|l| l.contains("is full")).count() as u64;
    assert!(drops > 0);
    assert_eq!((drops, lines.len()), (refused, 40));

    world.datagram(
        world.now(),
        UDP,
        peer(1),
        &message('-', 'F', b"udp 1 203.0.113.5:5060"),
    );
    run(&mut world, 20);
    let told = |w: &World<Echo>, what: &str| {
        (0..2)
            .flat_map(|s| w.handler(ShardId(s)).log.clone())
            .filter(|l| l.ends_with(what))
            .count()
    };
    assert_eq!(told(&world, "undelivered 77 NoListener"), 1);
    world.undelivered(world.now(), ShardId(0), 9, Undelivered::Unreachable);
    run(&mut world, 21);
    assert_eq!(told(&world, "undelivered 9 Unreachable"), 1);
}
