//! The thread that waits for the disk, so that the writer of call records does not.
//!
//! ```text
//!   writer ── confirm, finish ─▶ disk ── flush; rename, flush the directory ─▶ outcome ─▶ writer
//! ```
//!
//! A flush takes a fraction of a millisecond, or a second when the disk has other work; meanwhile the
//! writer goes on emptying the shards' rings. One task at a time: a second flush beside the first would
//! only wait for it, and what an error is about would not be known.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use crate::cdr_file::{CdrError, failed, sync_directory};
use crate::priority::give_way;

/// How a file is made safe: `fdatasync`, or what a test puts in its place.
pub(crate) type Flush = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// What the disk is asked for.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) file: Arc<File>,
    pub(crate) part: PathBuf,
    /// The name of the finished file, if it is finished.
    pub(crate) finish: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// What was in the file when the disk was asked is safe.
    Confirmed,
    /// And the file has its name; an error is one of the directory.
    Finished(Result<(), CdrError>),
    /// Nothing is known of what was not confirmed before.
    NotFlushed(CdrError),
    /// All is safe, but under the old name.
    NotRenamed(CdrError),
}

const GONE: &str = "the thread of the disk lives as long as this";

/// The thread, from outside.
#[derive(Debug)]
pub(crate) struct Disk {
    tasks: SyncSender<Task>,
    outcomes: Receiver<Outcome>,
    /// Since when it has something to do.
    busy_since: Option<Instant>,
    /// The file of the present task was given up meanwhile.
    is_forgotten: bool,
}

impl Disk {
    /// Starts the thread.
    pub(crate) fn start(mut flush: Flush) -> io::Result<Disk> {
        let (tasks, work) = sync_channel::<Task>(1);
        let (done, outcomes) = sync_channel(1);
        let body = move || {
            give_way();
            for task in work {
                if done.send(perform(&task, &mut flush)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("cdr-disk".to_owned())
            .spawn(body)?;
        Ok(Disk {
            tasks,
            outcomes,
            busy_since: None,
            is_forgotten: false,
        })
    }

    /// Whether it has something to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy_since.is_some()
    }

    /// For how long it has been at its task.
    pub(crate) fn busy_for(&self, now: Instant) -> Duration {
        self.busy_since
            .map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    /// Gives it something to do. It must not be busy.
    pub(crate) fn ask(&mut self, task: Task, now: Instant) {
        debug_assert!(!self.is_busy(), "one task at a time");
        let sent = self.tasks.try_send(task);
        assert!(sent.is_ok(), "{GONE}");
        self.busy_since = Some(now);
    }

    /// What comes of the present task is of no interest any more.
    pub(crate) fn forget(&mut self) {
        self.is_forgotten = self.is_busy();
    }

    /// What came of the task, if it is over.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        self.busy_since?;
        let outcome = match self.outcomes.try_recv() {
            Err(TryRecvError::Empty) => return None,
            outcome => outcome.expect(GONE),
        };
        self.busy_since = None;
        (!std::mem::take(&mut self.is_forgotten)).then_some(outcome)
    }
}

fn perform(task: &Task, flush: &mut Flush) -> Outcome {
    let Task { file, part, finish } = task;
    if let Err(error) = flush(file) {
        return Outcome::NotFlushed(failed("flush", part)(error));
    }
    let Some(finished) = finish else {
        return Outcome::Confirmed;
    };
    if let Err(error) = fs::rename(part, finished) {
        return Outcome::NotRenamed(failed("rename", part)(error));
    }
    Outcome::Finished(match finished.parent() {
        Some(directory) => sync_directory(directory),
        None => Ok(()),
    })
}
