//! SIGHUP under load: a good file takes over at once, a bad one changes nothing and says why.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use harness::{CALM, Gateway, PATIENCE, Scene, tables, wait_for};
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};

const ANSWERS: Habit = Habit::Answers {
    ring: Duration::from_millis(5),
    answer: Duration::from_millis(20),
};

#[test]
fn a_reload_moves_new_calls_and_hurts_none() {
    let scene = Scene::new();
    let [customer, at, one, two] = [(); 4].map(|()| scene.address());
    let config = |name: &str, vendor| {
        let tables = tables(customer.ip(), &[Gateway::udp(name, vendor)], "");
        format!("{}{tables}", scene.head(&[at]))
    };
    let router = scene.router(&config("first", one));
    let vendors = [one, two].map(|at| Vendor::start(VendorSpec::new(at, ANSWERS)).unwrap());
    let truth = scene.path("caller.truth");
    let mut spec = CallerSpec::new(customer, at, 100);
    spec.hold = Duration::from_millis(500);
    spec.truth = Some(truth.clone());
    let caller = Caller::start(spec).unwrap();
    let answered = |vendor: &Vendor| vendor.figures().answered;
    wait_for("calls to the first", PATIENCE, || {
        (answered(&vendors[0]) >= 50).then_some(())
    });

    // A bad file, in the middle of the calls.
    let seen = router.log_text().len();
    let good = config("second", two);
    router.write_config(&good.replace("gateways = [\"second\"]", "gateways = [\"secnod\"]"));
    router.signal("HUP");
    router.wait_for_log(seen, "secnod");
    let line = good
        .lines()
        .position(|line| line.starts_with("gateways"))
        .unwrap()
        + 1;
    let log = router.log_text();
    assert!(
        log[seen..].contains(&format!("trunkline.toml:{line}:")),
        "{}",
        &log[seen..]
    );
    let before = answered(&vendors[0]);
    wait_for("calls to the first go on", PATIENCE, || {
        (answered(&vendors[0]) >= before + 50).then_some(())
    });
    assert_eq!(answered(&vendors[1]), 0);

    // A good one.
    router.write_config(&good);
    router.signal("HUP");
    wait_for("calls to the second", PATIENCE, || {
        (answered(&vendors[1]) >= 50).then_some(())
    });
    let before = vendors[0].figures().invites;
    wait_for("more calls to the second", PATIENCE, || {
        (answered(&vendors[1]) >= 100).then_some(())
    });
    assert_eq!(
        vendors[0].figures().invites,
        before,
        "the first gets no new call"
    );

    let figures = caller.finish(PATIENCE).unwrap();
    assert_eq!(
        (figures.failed, figures.bye_unanswered),
        (0, 0),
        "{figures:?}"
    );
    router.judge(&[&truth], CALM);
    let mut generations: Vec<u64> = router
        .cdrs()
        .iter()
        .map(|cdr| cdr["generation"].as_u64().unwrap())
        .collect();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), 2, "the bad file made no generation");
}

/// By the name of each of a process's threads, where it may run, as the system writes it.
fn places(process: u32) -> BTreeMap<String, String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let place = |task: PathBuf| {
        let name = fs::read_to_string(task.join("comm")).ok()?;
        let status = fs::read_to_string(task.join("status")).ok()?;
        let mut lines = status.lines();
        let place = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some((name.trim().to_owned(), place.trim().to_owned()))
    };
    tasks
        .filter_map(|task| place(task.unwrap().path()))
        .collect()
}

#[test]
fn the_control_plane_keeps_off_the_shards_processors() {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let all = 0..rustix::thread::CpuSet::MAX_CPU;
    let cpus: Vec<_> = all.filter(|&cpu| allowed.is_set(cpu)).collect();
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let tables = tables(customer.ip(), &[Gateway::udp("only", vendor)], "");
    let (first, rest) = cpus.split_first().unwrap();
    let head = scene.head(&[at]);
    let pinned = head.replace("shards = 2", &format!("shards = [{first}]"));
    assert_ne!(pinned, head);
    let router = scene.router(&format!("{pinned}{tables}"));
    wait_for("every thread in its place", PATIENCE, || {
        let places = places(router.id());
        let shard = places.get("shard-0")?;
        // A machine with one processor has no other place.
        let elsewhere = if rest.is_empty() { &cpus } else { rest };
        let control = cpus_of(places.get("trunkline")?);
        let records = cpus_of(places.get("cdr")?);
        (cpus_of(shard) == [*first] && control == elsewhere && records == cpus).then_some(())
    });
}

/// The processors of a list such as `0,2-3`.
fn cpus_of(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        from.parse::<usize>().unwrap()..=to.parse().unwrap()
    };
    list.split(',').flat_map(range).collect()
}
