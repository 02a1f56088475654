//! The thread that brings records from the shards to the disk.
//!
//! It takes a record out of the shards' rings only when it can keep it. While the disk refuses, the
//! rings fill, and the shards refuse the calls that they could not bill: nothing is lost, and the
//! log says so until it is over.
//!
//! It may share a processor with a shard, so it works in small pieces and gives way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::cdr_file::{CdrError, CdrFiles, CdrOptions, KEPT_BYTES_MAX};
use crate::priority::give_way;

/// Where records come from: the shards' rings, or a list in a test.
pub trait RecordSource: Send + 'static {
    /// Gives the next record's frame to `read`; `false` if there is none now.
    fn pop(&mut self, read: &mut dyn FnMut(&[u8])) -> bool;
}

impl RecordSource for shards::RecordReader {
    fn pop(&mut self, read: &mut dyn FnMut(&[u8])) -> bool {
        shards::RecordReader::pop_with(self, read).is_some()
    }
}

/// What the writer counts. Written by its thread, read by everybody.
#[derive(Debug, Default)]
pub struct CdrStatus {
    lines: AtomicU64,
    bytes: AtomicU64,
    files: AtomicU64,
    errors: AtomicU64,
    undecodable: AtomicU64,
    waiting: AtomicU64,
    is_failing: AtomicBool,
}

impl CdrStatus {
    /// Lines written.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// Bytes of these lines.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Files finished.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Relaxed)
    }

    /// Times that the disk refused.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Frames that were no record: a bug if not 0.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.undecodable.load(Relaxed)
    }

    /// Lines that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Whether the disk refuses at the moment.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Relaxed)
    }
}

#[derive(Debug, Default)]
struct Asked {
    stop: AtomicBool,
    reopen: AtomicBool,
}

/// The writer thread, from outside.
#[derive(Debug)]
pub struct CdrWriter {
    asked: Arc<Asked>,
    status: Arc<CdrStatus>,
    thread: JoinHandle<u64>,
}

impl CdrWriter {
    /// Opens the directory and starts the thread.
    ///
    /// # Errors
    /// If the directory cannot be made, read or written, or there is no thread to be had.
    pub fn start(options: CdrOptions, source: impl RecordSource) -> Result<CdrWriter, CdrError> {
        CdrWriter::start_with(CdrFiles::open(options)?, source)
    }

    /// As [`CdrWriter::start`], with a directory that was opened already.
    pub(crate) fn start_with(
        files: CdrFiles,
        source: impl RecordSource,
    ) -> Result<CdrWriter, CdrError> {
        let directory = files.directory().to_owned();
        let status = Arc::new(CdrStatus::default());
        let asked = Arc::new(Asked::default());
        let work = Work {
            files,
            lines: cdr::Lines::new(),
            source,
            status: status.clone(),
            asked: asked.clone(),
            retry_at: None,
            stop_by: None,
            was_slow: false,
            confirmations: 0,
        };
        let thread = std::thread::Builder::new()
            .name("cdr".to_owned())
            .spawn(|| work.run())
            .map_err(|error| CdrError::new("start the writer for", &directory, error))?;
        Ok(CdrWriter {
            asked,
            status,
            thread,
        })
    }

    /// What it counts.
    #[must_use]
    pub fn status(&self) -> Arc<CdrStatus> {
        self.status.clone()
    }

    /// Finishes the open file; the next record begins another.
    pub fn reopen(&self) {
        self.asked.reopen.store(true, Relaxed);
        self.thread.thread().unpark();
    }

    /// Writes all that is left, finishes the file and ends the thread.
    ///
    /// Call it when no shard can put a record any more. Returns how many records could not be
    /// written within the writer's patience because the disk went on refusing; 0 is the rule.
    pub fn stop(self) -> u64 {
        self.asked.stop.store(true, Relaxed);
        self.thread.thread().unpark();
        // A panic of the writer is a bug; its records are gone with it.
        self.thread.join().unwrap_or(u64::MAX)
    }
}

/// How often the rings are looked at while nothing comes.
const IDLE: Duration = Duration::from_millis(20);
/// How often while records come.
const BUSY: Duration = Duration::from_millis(4);
/// How long others may run between two pieces of work.
const BREATH: Duration = Duration::from_micros(200);
/// How long the disk is left alone after it refused.
const RETRY: Duration = Duration::from_millis(500);
/// A disk that does not answer for so long is slow.
const SLOW: Duration = Duration::from_secs(5);
/// How long a refusing disk is asked again at the end of the process.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Records taken out of the rings at once: some 50 us of work. A shard on the same processor waits
/// as long when a message comes, for the system lets a thread that has begun to run go on for a
/// while, whatever its priority.
const PIECE_MAX: usize = 32;

struct Work<S> {
    files: CdrFiles,
    lines: cdr::Lines,
    source: S,
    status: Arc<CdrStatus>,
    asked: Arc<Asked>,
    retry_at: Option<Instant>,
    stop_by: Option<Instant>,
    was_slow: bool,
    /// How often the disk had confirmed something when it refused last.
    confirmations: u64,
}

impl<S: RecordSource> Work<S> {
    fn run(mut self) -> u64 {
        give_way();
        loop {
            let now = Instant::now();
            let is_stopping = self.asked.stop.load(Relaxed);
            let taken = self.turn(now);
            if is_stopping {
                if taken == 0 && self.files.is_settled() && self.retry_at.is_none() {
                    return 0;
                }
                let stop_by = *self.stop_by.get_or_insert(now + STOP_PATIENCE);
                if now >= stop_by && (self.retry_at.is_some() || self.is_slow(now)) {
                    return self.give_up();
                }
                if taken == 0 && self.files.waiting() == 0 {
                    self.files.close();
                }
            }
            if let Some(pause) = self.pause(taken, is_stopping) {
                std::thread::park_timeout(pause);
            }
        }
    }

    /// How long to wait after a turn that took so many records.
    fn pause(&self, taken: usize, is_stopping: bool) -> Option<Duration> {
        if self.retry_at.is_some() {
            return Some(IDLE);
        }
        match taken {
            0 if is_stopping => Some(BREATH),
            0 => Some(IDLE),
            _ if is_stopping => None,
            PIECE_MAX => Some(BREATH),
            _ => Some(BUSY),
        }
    }

    /// Takes records, unless the disk refuses; writes. Returns how many it took.
    fn turn(&mut self, now: Instant) -> usize {
        if self.retry_at.is_some_and(|at| now < at) {
            return 0;
        }
        let mut taken = 0;
        // While lines wait that the disk refused, the rings keep the rest.
        let may_take = self.retry_at.is_none();
        while may_take && taken < PIECE_MAX && self.files.has_room() && self.take() {
            taken += 1;
        }
        let result = self.files.write(now, SystemTime::now());
        if result.is_ok() && self.asked.reopen.swap(false, Relaxed) {
            self.files.close();
        }
        self.watch(now);
        match result {
            Ok(()) => self.all_clear(),
            Err(error) => self.alarm(&error, now),
        }
        self.publish();
        taken
    }

    /// Whether the disk does not answer.
    fn is_slow(&self, now: Instant) -> bool {
        self.files.waits_for(now) >= SLOW
    }

    /// Says once if the disk does not answer, and once if it does again.
    fn watch(&mut self, now: Instant) {
        let is_slow = self.is_slow(now);
        if is_slow == self.was_slow {
            return;
        }
        self.was_slow = is_slow;
        if is_slow {
            tracing::warn!(
                "the disk has not confirmed call records for {} s; they are kept meanwhile, up to {} MiB, \
                 then they stay in the shards' rings, and when those are full new calls are refused",
                SLOW.as_secs(),
                KEPT_BYTES_MAX >> 20
            );
        } else {
            tracing::info!("the disk confirms call records again");
        }
    }

    /// Takes one record and makes it a line; `false` if there is none.
    fn take(&mut self) -> bool {
        let (files, lines, status) = (&mut self.files, &mut self.lines, &self.status);
        self.source.pop(&mut |frame| match lines.of_frame(frame) {
            Ok(line) => files.push(line),
            Err(error) => {
                status.undecodable.fetch_add(1, Relaxed);
                tracing::error!(%error, bytes = frame.len(), "a shard sent a call record that cannot be read");
            }
        })
    }

    #[cold]
    fn alarm(&mut self, error: &CdrError, now: Instant) {
        self.status.errors.fetch_add(1, Relaxed);
        let was_failing = self.status.is_failing.swap(true, Relaxed);
        self.retry_at = Some(now + RETRY);
        self.confirmations = self.files.confirmations;
        if was_failing {
            tracing::error!(waiting = self.files.waiting(), %error, "ALARM: call records still cannot be written");
        } else {
            tracing::error!(
                waiting = self.files.waiting(), %error,
                "ALARM: call records cannot be written; they are kept and tried again; \
                 when the shards' rings are full, new calls are refused: make room on the disk"
            );
        }
    }

    fn all_clear(&mut self) {
        self.retry_at = None;
        // To write is not yet to be sure: a disk that refuses to confirm takes all of it first.
        let is_sure = self.files.confirmations > self.confirmations || self.files.is_safe();
        if is_sure && self.status.is_failing.swap(false, Relaxed) {
            tracing::warn!("call records can be written again; none was lost");
        }
    }

    #[cold]
    fn give_up(mut self) -> u64 {
        let mut lost = self.files.waiting();
        while self.source.pop(&mut |_| ()) {
            lost += 1;
        }
        tracing::error!(
            lost,
            "ALARM: the disk went on refusing, or did not answer; these call records are lost"
        );
        lost
    }

    fn publish(&self) {
        self.status.lines.store(self.files.lines, Relaxed);
        self.status.bytes.store(self.files.bytes, Relaxed);
        self.status.files.store(self.files.finished, Relaxed);
        self.status.waiting.store(self.files.waiting(), Relaxed);
    }
}
