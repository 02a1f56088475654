//! The comparison runs through: every server of it starts, carries calls, is measured and ends,
//! and the report has a figure in every place. How fast anything was is not looked at.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::time::Duration;

use perf::compare::entrant::{Entrant, Profile, Steering};
use perf::compare::results::{Options, Role, Sitting};
use perf::compare::sitting::{self, Agenda};
use perf::compare::{machine, place};
use perf::{prices, report};

const RATE: f64 = 50.0;

fn options() -> Options {
    let cores = std::thread::available_parallelism().unwrap().get();
    Options {
        server_core: cores - 1,
        generator_cores: vec![],
        rounds: 1,
        point_seconds: 1.0,
        warm_up_seconds: 0.0,
        search_seconds: 1.0,
        ring_ms: 20,
        hold_ms: 100,
        common_rate: RATE,
        server_share: None,
        delay_target_ms: None,
        generator_spins: false,
        generator_takes_trains: false,
    }
}

fn hold(entrants: Vec<Entrant>) -> Sitting {
    let options = options();
    let agenda = Agenda {
        entrants,
        place: place(&options, env!("CARGO_BIN_EXE_trunkline").into()).unwrap(),
        with_search: false,
        held_calls: None,
        with_callgrind: false,
    };
    let mut kept = 0;
    let tell = &mut |line: &str| eprintln!("{line}");
    let sitting = sitting::hold("smoke", &options, &agenda, tell, &mut |_| kept += 1).unwrap();
    assert!(kept > 1, "results are kept on the way");
    sitting
}

#[test]
fn every_server_is_measured_and_every_figure_is_there() {
    let sitting = hold(vec![
        Entrant::Trunkline,
        Entrant::TrunklinePrefixes,
        Entrant::TrunklineTwo(Steering::Software),
        Entrant::Kamailio(Profile::Stateless, 2),
        Entrant::Kamailio(Profile::Relay, 2),
        Entrant::Kamailio(Profile::Dialog, 4),
        Entrant::Kamailio(Profile::Prefixes, 2),
    ]);
    assert_eq!(sitting.subjects.len(), 7);
    for subject in &sitting.subjects {
        let key = &subject.key;
        assert!(subject.troubles.is_empty(), "{key}: {:?}", subject.troubles);
        let [point] = &subject.points[..] else {
            panic!("{key}: one point, not {}", subject.points.len());
        };
        assert_eq!(point.role, Role::Common);
        assert!(point.offered > 0 && point.failed == 0, "{key}: {point:?}");
        assert_eq!(point.completed, point.offered, "{key}");
        let writes_records = key.starts_with("trunkline") || key.contains("dialog");
        let records = writes_records.then_some(point.completed);
        // With several gateways trunkline tells of each attempt, too.
        match key.as_str() {
            "trunkline-prefixes" => assert!(point.records >= records, "{key}: {point:?}"),
            _ => assert_eq!(point.records, records, "{key}"),
        }
        let time = &point.server;
        assert!(
            time.cpu_us_per_call > 0.0 && time.wake_ups_per_call > 0.0,
            "{key}: {time:?}"
        );
        assert!(
            point.setup.p50_us > 0 && point.setup.p999_us >= point.setup.p99_us,
            "{key}"
        );
        assert!(subject.idle_pss_bytes[0] > 1_000_000, "{key}");
        let datagrams = subject.datagrams_per_call.unwrap();
        assert!(datagrams > 10.0 && datagrams < 16.0, "{key}: {datagrams}");
    }
    assert!(sitting.subjects[0].idle_bench_pss_bytes.unwrap() > 1_000_000);
    let floor = &sitting.floor[0];
    assert!(floor.cpu_us_per_call > 0.0 && floor.send_us > floor.receive_us / 100.0);
    assert!(sitting.machine.versions.len() == 2 && sitting.began.len() > 10);

    let json = serde_json::to_string(&sitting).unwrap();
    let again: Sitting = serde_json::from_str(&json).unwrap();
    let table = report::text(&sitting);
    assert_eq!(
        report::text(&again),
        table,
        "results read back are the same"
    );
    let page = report::html(&[again]);
    for subject in &sitting.subjects {
        assert!(page.contains(&subject.title) && table.contains(&subject.key));
    }
    for word in ["<svg", "CPU a call at 50.0/s", "floor", "datagrams a call"] {
        assert!(page.contains(word), "{word}");
    }
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "nothing from elsewhere"
    );
}

#[test]
fn what_is_measured_does_not_name_the_host() {
    let facts = machine::facts(vec![]);
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    let text = serde_json::to_string(&facts).unwrap();
    assert!(name.is_empty() || !text.contains(name), "{text}");
}

#[test]
fn prices_are_exchanged_under_load_and_no_call_fails() {
    let options = prices::Options {
        deal: prices::Deal {
            vendors: 3,
            rows: 30_000,
            seed: 1,
        },
        trunkline: env!("CARGO_BIN_EXE_trunkline").into(),
        load: perf::prices::Load::Rate(RATE),
        rounds: 1,
        warm_up: Duration::from_secs(1),
        server_core: std::thread::available_parallelism().unwrap().get() - 1,
        generator_core: 0,
        notes: Vec::new(),
    };
    let results = prices::measure(&options, &mut |line| eprintln!("{line}")).unwrap();
    assert!(results.rows.abs_diff(30_000) < 1_000, "{results:?}");
    assert!(results.peak_bytes >= results.resident_without_bytes);
    let [swap] = &results.swaps[..] else {
        panic!("one round, not {}", results.swaps.len());
    };
    for stretch in [&swap.before, &swap.during] {
        assert!(stretch.calls > 0 && stretch.failed == 0, "{results:?}");
        assert!(stretch.setup_p99_us > 0, "{results:?}");
    }
}
