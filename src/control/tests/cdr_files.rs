//! Call records on their way to the disk: rotation, restart, and disks that refuse.

// Threads and disks are tested here, in real time.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use cdr::{Attempt, Call, Identity};
use control::{CdrOptions, CdrStatus, CdrWriter, RecordSource};
use tempfile::TempDir;

/// A ring with one end in the test.
struct Ring(Receiver<Vec<u8>>);

impl RecordSource for Ring {
    fn pop(&mut self, read: &mut dyn FnMut(&[u8])) -> bool {
        match self.0.try_recv() {
            Ok(frame) => {
                read(&frame);
                true
            }
            Err(_) => false,
        }
    }
}

fn options(directory: &Path) -> CdrOptions {
    CdrOptions {
        directory: directory.to_owned(),
        rotate_bytes: 1 << 30,
        rotate_after: Duration::from_secs(3_600),
        sync_every: Duration::from_millis(20),
    }
}

fn start(options: CdrOptions) -> (Sender<Vec<u8>>, CdrWriter) {
    let (sender, receiver) = channel();
    let writer = CdrWriter::start(options, Ring(receiver)).expect("the directory is good");
    (sender, writer)
}

fn frame(id: usize) -> Vec<u8> {
    let id = format!("call-{id}");
    let attempts = [Attempt {
        gateway: b"gw-1",
        ..Attempt::EMPTY
    }; 2];
    let mut identity = Vec::new();
    let names = Identity {
        call_id: b"a hostile\r\n\xff\"id",
        ..Identity::default()
    };
    names.write(&mut identity);
    let call = Call {
        id: id.as_bytes(),
        identity: &identity,
        attempts: &attempts,
        ..Call::EMPTY
    };
    let mut out = vec![0; cdr::len_max(&call)];
    let len = cdr::encode(&call, &mut out).expect("fits");
    out.truncate(len);
    out
}

/// Waits until the writer says so; a minute is for ever.
fn wait(what: &str, status: &CdrStatus, is_so: impl Fn(&CdrStatus) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so(status) {
        assert!(Instant::now() < deadline, "waited for {what}: {status:?}");
        std::thread::yield_now();
    }
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    names.sort();
    names
}

/// The ids of all records in finished files; fails on a line that is not a whole record, and on a
/// file that is not finished.
fn ids(directory: &Path) -> Vec<usize> {
    let mut ids = Vec::new();
    for path in names(directory) {
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        assert!(
            name.starts_with("cdr-20") && name.ends_with(".jsonl"),
            "finished: {name}"
        );
        let text = fs::read_to_string(&path).expect("UTF-8");
        assert!(text.ends_with('\n'), "whole lines in {name}");
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
            let id = value["id"].as_str().and_then(|id| id.strip_prefix("call-"));
            ids.push(id.and_then(|id| id.parse().ok()).expect("one of ours"));
        }
    }
    ids
}

#[test]
fn all_records_are_written_in_order_and_the_file_is_finished_at_the_end() {
    let directory = TempDir::new().expect("a directory");
    let (ring, writer) = start(options(directory.path()));
    for id in 0..2_000 {
        ring.send(frame(id)).expect("the writer lives");
    }
    let status = writer.status();
    assert_eq!(writer.stop(), 0);
    assert_eq!(ids(directory.path()), (0..2_000).collect::<Vec<_>>());
    assert_eq!(
        (status.lines(), status.files(), status.errors()),
        (2_000, 1, 0)
    );
    assert_eq!(status.waiting(), 0);
}

#[test]
fn nothing_to_write_leaves_no_file() {
    let directory = TempDir::new().expect("a directory");
    let (_ring, writer) = start(options(directory.path()));
    writer.reopen();
    assert_eq!(writer.stop(), 0);
    assert_eq!(names(directory.path()), [] as [PathBuf; 0]);
}

#[test]
fn files_are_rotated_by_size_between_lines() {
    let directory = TempDir::new().expect("a directory");
    let rotate_bytes = 10_000;
    let (ring, writer) = start(CdrOptions {
        rotate_bytes,
        ..options(directory.path())
    });
    for id in 0..200 {
        ring.send(frame(id)).expect("the writer lives");
    }
    let status = writer.status();
    assert_eq!(writer.stop(), 0);
    let mut seen = ids(directory.path());
    seen.sort_unstable();
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    let files = names(directory.path());
    assert!(files.len() > 10, "{} files", files.len());
    assert_eq!(status.files(), files.len() as u64);
    for file in files {
        let len = file.metadata().expect("there").len();
        assert!(len <= rotate_bytes, "{len} bytes");
    }
}

#[test]
fn files_are_rotated_by_age_and_when_asked() {
    let directory = TempDir::new().expect("a directory");
    let rotate_after = Duration::from_millis(50);
    let (ring, writer) = start(CdrOptions {
        rotate_after,
        ..options(directory.path())
    });
    let status = writer.status();
    ring.send(frame(0)).expect("the writer lives");
    wait("the file to be old", &status, |status| status.files() == 1);
    assert_eq!(ids(directory.path()), [0]);
    assert_eq!(writer.stop(), 0);

    let (ring, writer) = start(options(directory.path()));
    let status = writer.status();
    ring.send(frame(1)).expect("the writer lives");
    wait("the line", &status, |status| status.lines() == 1);
    writer.reopen();
    wait("the file", &status, |status| status.files() == 1);
    let mut seen = ids(directory.path());
    seen.sort_unstable();
    assert_eq!(seen, [0, 1]);
    assert_eq!(writer.stop(), 0);
}

#[test]
fn a_restart_overwrites_nothing_and_finishes_what_a_kill_left() {
    let directory = TempDir::new().expect("a directory");
    let left = directory.path().join("cdr-20260101T000000Z-0.jsonl.part");
    fs::write(
        &left,
        "{\"id\":\"call-7\"}\n{\"id\":\"call-8\"}\n{\"id\":\"cal",
    )
    .expect("writable");
    let torn = directory.path().join("cdr-20260101T000000Z-1.jsonl.part");
    fs::write(&torn, "{\"id\":\"call-9").expect("writable");
    for run in 0..20 {
        let (ring, writer) = start(options(directory.path()));
        ring.send(frame(100 + run)).expect("the writer lives");
        assert_eq!(writer.stop(), 0);
    }
    let mut seen = ids(directory.path());
    seen.sort_unstable();
    let mut want = vec![7, 8];
    want.extend(100..120);
    assert_eq!(seen, want);
}

#[test]
fn a_living_writers_file_is_left_alone() {
    let directory = TempDir::new().expect("a directory");
    let (ring, writer) = start(options(directory.path()));
    let status = writer.status();
    ring.send(frame(1)).expect("the writer lives");
    wait("the line", &status, |status| status.lines() == 1);
    let (_ring, second) = start(options(directory.path()));
    assert_eq!(second.stop(), 0);
    ring.send(frame(2)).expect("the writer lives");
    assert_eq!(writer.stop(), 0);
    assert_eq!(ids(directory.path()), [1, 2]);
}

#[test]
fn a_directory_that_cannot_be_written_is_known_at_once() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("writable");
    let (_ring, receiver) = channel();
    let error =
        CdrWriter::start(options(&file.join("cdr")), Ring(receiver)).expect_err("no directory");
    assert!(
        error.to_string().contains("cannot make the directory"),
        "{error}"
    );
}

#[test]
fn what_is_no_record_is_counted_and_skipped() {
    let directory = TempDir::new().expect("a directory");
    let (ring, writer) = start(options(directory.path()));
    ring.send(b"nonsense".to_vec()).expect("the writer lives");
    ring.send(frame(1)).expect("the writer lives");
    let status = writer.status();
    assert_eq!(writer.stop(), 0);
    assert_eq!((status.undecodable(), ids(directory.path())), (1, vec![1]));
}

/// Fault A20: the disk is full. The writer says so, takes no more records than it holds, tears no
/// line, and goes on when there is room again.
#[test]
fn a20_a_full_disk_loses_nothing() {
    match Tmpfs::mount() {
        Some(disk) => outlive_a_full_disk(disk.path(), || {
            let filler = disk.path().join("filler");
            fs::remove_file(filler).expect("the filler was there");
        }),
        // Without the right to mount: a child process whose files may not grow.
        None => {
            let child = std::env::current_exe().expect("this test");
            let script =
                "trap '' XFSZ; ulimit -S -f 40; exec \"$0\" --exact child_with_a_file_limit";
            let status = Command::new("sh")
                .args(["-c", script])
                .arg(child)
                .env("CDR_CHILD", "1")
                .status();
            assert!(status.expect("sh runs").success());
        }
    }
}

/// The body of the test above where no disk can be mounted; nothing by itself.
#[test]
fn child_with_a_file_limit() {
    if std::env::var_os("CDR_CHILD").is_none() {
        return;
    }
    let directory = TempDir::new().expect("a directory");
    outlive_a_full_disk(directory.path(), || {
        let pid = std::process::id().to_string();
        let lifted = Command::new("prlimit")
            .args(["--fsize=unlimited:", "--pid", &pid])
            .status();
        assert!(lifted.expect("prlimit runs").success());
    });
}

fn outlive_a_full_disk(disk: &Path, make_room: impl FnOnce()) {
    let directory = disk.join("cdr");
    let (ring, writer) = start(options(&directory));
    let status = writer.status();
    for id in 0..1_000 {
        ring.send(frame(id)).expect("the writer lives");
    }
    wait("the disk to be full", &status, |status| {
        status.errors() >= 3
    });
    assert!(status.is_failing());
    let (lines, waiting) = (status.lines(), status.waiting());
    assert!(lines > 0, "what fits is written");
    assert!(
        lines + waiting < 1_000,
        "the rings keep the rest: {lines} + {waiting}"
    );
    for path in names(&directory) {
        let text = fs::read_to_string(&path).expect("UTF-8");
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "no torn line while it waits"
        );
    }
    make_room();
    wait("all lines", &status, |status| status.lines() == 1_000);
    wait("the all-clear", &status, |status| !status.is_failing());
    assert_eq!(writer.stop(), 0);
    let mut seen = ids(&directory);
    seen.sort_unstable();
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
}

/// A small disk with a file on it that takes most of the room.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount() -> Option<Tmpfs> {
        let point = TempDir::new().ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1200k", "tmpfs"])
            .arg(point.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            return None;
        }
        let disk = Tmpfs(point);
        fs::write(disk.path().join("filler"), vec![0; 1_100 * 1_024]).expect("there is room");
        Some(disk)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
