//! The files that call records end in: whole lines, one file open at a time.
//!
//! ```text
//!   DIR/cdr-20261121T040251Z-0.jsonl.part    being written, locked by its writer
//!   DIR/cdr-20261121T040251Z-0.jsonl         finished: every line whole, never changed again
//!   DIR/cdr-20261121T040251Z-0.jsonl.failed  the disk refused to confirm it; see `abandon`
//! ```
//!
//! A file is finished when it is large or old enough, when the operator asks, and at the end. What
//! an earlier process left as `.part` is finished at start: cut after its last whole line.
//!
//! Nothing here waits for the disk: to flush and to rename is for [`Disk`]. Lines are kept until it has
//! confirmed them; while a file is being finished they wait for the next one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base::Wall;

use crate::cdr_disk::{Disk, Flush, Outcome, Task};

/// How the files are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrOptions {
    /// Where they are.
    pub directory: PathBuf,
    /// A file of this size is finished.
    pub rotate_bytes: u64,
    /// A file of this age is finished.
    pub rotate_after: Duration,
    /// How long a written line may wait until it is safe against a power cut.
    pub sync_every: Duration,
}

/// Lines that are written and not yet confirmed, kept in case the disk takes them back. At this
/// many bytes the disk is asked to confirm, whatever the interval.
const UNCONFIRMED_BYTES_MAX: usize = 4 << 20;
/// The most bytes of lines that are kept while the disk takes its time. Beyond it the rest stays in
/// the shards' rings.
pub(crate) const KEPT_BYTES_MAX: usize = 64 << 20;
/// The most bytes that are written at once.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// What went wrong, and with which file.
#[derive(Debug)]
pub struct CdrError {
    attempt: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl CdrError {
    pub(crate) fn new(attempt: &'static str, path: &Path, source: io::Error) -> CdrError {
        CdrError {
            attempt,
            path: path.to_owned(),
            source,
        }
    }
}

impl std::fmt::Display for CdrError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (attempt, path) = (self.attempt, self.path.display());
        write!(f, "cannot {attempt} {path}: {}", self.source)
    }
}

impl std::error::Error for CdrError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

pub(crate) fn failed<'p>(
    attempt: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> CdrError + 'p {
    move |source| CdrError::new(attempt, path, source)
}

/// The directory and the file that is open in it. Lives on the writer's thread.
#[derive(Debug)]
pub(crate) struct CdrFiles {
    options: CdrOptions,
    open: Option<Open>,
    kept: Kept,
    disk: Disk,
    /// What the disk was asked to confirm.
    asked: Asked,
    /// The open file is to be finished: what comes now waits for the next one.
    is_closing: bool,
    next: u64,
    /// How often the disk confirmed something.
    pub(crate) confirmations: u64,
    /// Files finished by this process.
    pub(crate) finished: u64,
    /// Lines written by this process.
    pub(crate) lines: u64,
    /// Bytes of these lines.
    pub(crate) bytes: u64,
}

/// What was in the open file when the disk was asked.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    len: u64,
    /// Not confirmed before.
    lines: u64,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    part: PathBuf,
    finished: PathBuf,
    opened: Instant,
    /// How much of it is whole lines.
    len: u64,
    /// How much of it the disk has confirmed.
    confirmed_len: u64,
    /// When it was asked last.
    asked_at: Instant,
}

/// The lines that are not yet safe, oldest first, in one piece of memory that is used again.
///
/// ```text
///   ├ written to the open file, not confirmed ┼ waiting to be written ┤
/// ```
#[derive(Debug)]
struct Kept {
    text: Vec<u8>,
    written_bytes: usize,
    written_lines: u64,
    waiting_lines: u64,
}

impl Kept {
    fn new() -> Kept {
        Kept {
            // As much as there can be; what is not used is never touched.
            text: Vec::with_capacity(KEPT_BYTES_MAX + BATCH_BYTES_MAX),
            written_bytes: 0,
            written_lines: 0,
            waiting_lines: 0,
        }
    }

    fn waiting(&self) -> &[u8] {
        &self.text[self.written_bytes..]
    }

    /// So many bytes of what waited, whole lines, are in the file now. Returns how many lines.
    fn are_written(&mut self, bytes: usize) -> u64 {
        let lines = match bytes == self.waiting().len() {
            true => self.waiting_lines,
            false => count_lines(&self.waiting()[..bytes]),
        };
        self.written_bytes += bytes;
        self.written_lines += lines;
        self.waiting_lines -= lines;
        lines
    }

    /// So many bytes of what was written first, so many lines, are safe.
    fn are_confirmed(&mut self, bytes: usize, lines: u64) {
        self.text.drain(..bytes);
        self.written_bytes -= bytes;
        self.written_lines -= lines;
    }

    /// What was written is not in a file any more: it waits again. Returns its lines and bytes.
    fn are_taken_back(&mut self) -> (u64, u64) {
        let lines = std::mem::take(&mut self.written_lines);
        self.waiting_lines += lines;
        (lines, std::mem::take(&mut self.written_bytes) as u64)
    }
}

impl CdrFiles {
    /// Makes the directory if need be and finishes what an earlier process left there.
    pub(crate) fn open(options: CdrOptions) -> Result<CdrFiles, CdrError> {
        CdrFiles::open_with(options, Box::new(|file: &File| file.sync_data()))
    }

    /// As [`CdrFiles::open`], with another way to make a file safe.
    pub(crate) fn open_with(options: CdrOptions, flush: Flush) -> Result<CdrFiles, CdrError> {
        let directory = &options.directory;
        fs::create_dir_all(directory).map_err(failed("make the directory", directory))?;
        for entry in fs::read_dir(directory).map_err(failed("read the directory", directory))? {
            let path = entry
                .map_err(failed("read the directory", directory))?
                .path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("");
            if name.starts_with("cdr-") && name.ends_with(PART_SUFFIX) {
                finish_leftover(&path)?;
            }
        }
        // A full or read-only disk is better known before the first call than after it.
        let probe = directory.join(".cdr-probe");
        fs::write(&probe, b"probe\n").map_err(failed("write to", directory))?;
        fs::remove_file(&probe).map_err(failed("remove", &probe))?;
        let disk = Disk::start(flush).map_err(failed("start the thread for", directory))?;
        Ok(CdrFiles {
            options,
            open: None,
            kept: Kept::new(),
            disk,
            asked: Asked::default(),
            is_closing: false,
            next: 0,
            confirmations: 0,
            finished: 0,
            lines: 0,
            bytes: 0,
        })
    }

    /// Where the files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// Takes a copy of a line. It is written by the next [`CdrFiles::write`].
    pub(crate) fn push(&mut self, line: &[u8]) {
        debug_assert_eq!(line.last(), Some(&b'\n'));
        self.kept.text.extend_from_slice(line);
        self.kept.waiting_lines += 1;
    }

    /// How many lines wait to be written.
    pub(crate) fn waiting(&self) -> u64 {
        self.kept.waiting_lines
    }

    /// Whether another line may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.kept.text.len() < KEPT_BYTES_MAX
    }

    /// For how long the disk has not answered.
    pub(crate) fn waits_for(&self, now: Instant) -> Duration {
        self.disk.busy_for(now)
    }

    /// Whether every line is safe.
    pub(crate) fn is_safe(&self) -> bool {
        self.kept.text.is_empty()
    }

    /// Whether nothing is left to do: every line is in a finished file.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.is_none() && self.is_safe() && !self.disk.is_busy()
    }

    /// Writes what waits, has the disk confirm what is due, and rotates.
    ///
    /// After an error everything that is not surely written still waits; call again later.
    pub(crate) fn write(&mut self, now: Instant, wall: SystemTime) -> Result<(), CdrError> {
        if let Some(outcome) = self.disk.outcome() {
            self.settle(outcome)?;
        }
        while self.kept.waiting_lines > 0 && !self.is_closing {
            self.write_batch(now, wall)?;
        }
        let Some(open) = &self.open else {
            return Ok(());
        };
        self.is_closing |= now.duration_since(open.opened) >= self.options.rotate_after;
        let confirm_is_due = now.duration_since(open.asked_at) >= self.options.sync_every
            || self.kept.written_bytes >= UNCONFIRMED_BYTES_MAX;
        if self.is_closing || confirm_is_due {
            self.ask(now)?;
        }
        Ok(())
    }

    /// The open file, if there is one, is to be finished: [`CdrFiles::write`] does it. What still
    /// waits goes into another.
    pub(crate) fn close(&mut self) {
        self.is_closing = self.open.is_some();
    }

    /// Has the disk confirm, or finish, the open file, unless it has something to do.
    fn ask(&mut self, now: Instant) -> Result<(), CdrError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if self.disk.is_busy() {
            return Ok(());
        }
        open.asked_at = now;
        if !self.is_closing && open.confirmed_len == open.len {
            return Ok(());
        }
        if self.is_closing && open.len == 0 {
            let removed = fs::remove_file(&open.part).map_err(failed("remove", &open.part));
            self.open = None;
            self.is_closing = false;
            return removed;
        }
        self.asked = Asked {
            len: open.len,
            lines: self.kept.written_lines,
        };
        let task = Task {
            file: open.file.clone(),
            part: open.part.clone(),
            finish: self.is_closing.then(|| open.finished.clone()),
        };
        self.disk.ask(task, now);
        Ok(())
    }

    /// The disk has done what it was asked for, or could not.
    fn settle(&mut self, outcome: Outcome) -> Result<(), CdrError> {
        match outcome {
            Outcome::NotFlushed(error) => {
                self.abandon();
                Err(error)
            }
            Outcome::Confirmed => {
                self.confirmed();
                Ok(())
            }
            Outcome::NotRenamed(error) => {
                self.confirmed();
                Err(error)
            }
            Outcome::Finished(result) => {
                self.confirmed();
                self.open = None;
                self.is_closing = false;
                self.finished += 1;
                result
            }
        }
    }

    /// What was in the file when the disk was asked is safe.
    fn confirmed(&mut self) {
        let Some(open) = &mut self.open else {
            unreachable!("a file that is given up is forgotten")
        };
        let bytes = (self.asked.len - open.confirmed_len) as usize;
        self.kept.are_confirmed(bytes, self.asked.lines);
        open.confirmed_len = self.asked.len;
        self.confirmations += 1;
    }

    fn write_batch(&mut self, now: Instant, wall: SystemTime) -> Result<(), CdrError> {
        if self.open.as_ref().is_some_and(|open| {
            let room = self.options.rotate_bytes.saturating_sub(open.len);
            open.len > 0 && lines_within(self.kept.waiting(), room) == 0
        }) {
            self.is_closing = true;
            return Ok(());
        }
        if self.open.is_none() {
            self.open = Some(self.create(now, wall)?);
        }
        let Some(open) = &mut self.open else {
            unreachable!("the file was opened above")
        };
        let waiting = self.kept.waiting();
        let room = self.options.rotate_bytes.saturating_sub(open.len);
        let batch = match lines_within(waiting, room.min(BATCH_BYTES_MAX as u64)) {
            // A line that is longer than a file may be is a file.
            0 => &waiting[..first_line(waiting)],
            fits => &waiting[..fits],
        };
        let (written, result) = write_as_much_as_fits(&open.file, batch);
        let whole = match written == batch.len() {
            true => written,
            false => lines_within(batch, written as u64),
        };
        self.lines += self.kept.are_written(whole);
        self.bytes += whole as u64;
        open.len += whole as u64;
        if written > whole
            && let Err(error) = cut(&open.file, open.len)
        {
            let error = failed("cut the torn line off", &open.part)(error);
            self.abandon();
            return Err(error);
        }
        result.map_err(failed("write to", &open.part))?;
        self.is_closing |= open.len >= self.options.rotate_bytes;
        Ok(())
    }

    /// Gives a file up whose content is no longer certain: after a failed flush the system may have
    /// dropped the pages, and a second flush would say that all is well.
    ///
    /// The lines that were never confirmed go into a new file. The part that was confirmed stays:
    /// as a finished file if it can be cut there, else under a name that tells.
    fn abandon(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        self.disk.forget();
        self.is_closing = false;
        let (lines, bytes) = self.kept.are_taken_back();
        self.lines -= lines;
        self.bytes -= bytes;
        let is_whole = cut(&open.file, open.confirmed_len).is_ok();
        let kept = if !is_whole {
            open.finished.with_extension("jsonl.failed")
        } else if open.confirmed_len == 0 {
            let _ = fs::remove_file(&open.part);
            return;
        } else {
            self.finished += 1;
            open.finished.clone()
        };
        // A failed rename leaves the `.part`, which the next start looks after.
        let _ = fs::rename(&open.part, kept);
    }

    fn create(&mut self, now: Instant, wall: SystemTime) -> Result<Open, CdrError> {
        loop {
            let name = format!("cdr-{}-{}.jsonl", compact_civil(wall), self.next);
            self.next += 1;
            let finished = self.options.directory.join(&name);
            let part = self.options.directory.join(format!("{name}.part"));
            if finished.exists() {
                continue;
            }
            let file = match OpenOptions::new().write(true).create_new(true).open(&part) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed("make", &part)(error)),
            };
            // The lock tells another process that starts here that this file is not left over.
            let _ = file.try_lock();
            return Ok(Open {
                file: Arc::new(file),
                part,
                finished,
                opened: now,
                len: 0,
                confirmed_len: 0,
                asked_at: now,
            });
        }
    }
}

const PART_SUFFIX: &str = ".jsonl.part";

/// How many bytes at the beginning of these lines are whole lines and no more than `room`.
fn lines_within(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return lines.len();
    }
    memchr::memrchr(b'\n', &lines[..room]).map_or(0, |end| end + 1)
}

/// How long the first of these lines is.
fn first_line(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1)
}

fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Writes until the end or an error; says how many bytes are in the file in both cases.
fn write_as_much_as_fits(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn cut(mut file: &File, len: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    file.set_len(len)?;
    file.seek(SeekFrom::Start(len))?;
    Ok(())
}

/// Finishes the file of a process that is gone: a kill can leave half a line at its end.
fn finish_leftover(part: &Path) -> Result<(), CdrError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(part)
        .map_err(failed("open", part))?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Ok(()); // its writer lives
    }
    let whole = whole_lines_len(&mut file).map_err(failed("read", part))?;
    if whole == 0 {
        return fs::remove_file(part).map_err(failed("remove", part));
    }
    cut(&file, whole).map_err(failed("cut the torn line off", part))?;
    file.sync_data().map_err(failed("flush", part))?;
    let finished = part.with_extension("");
    if finished.exists() {
        // A crash cannot leave both; somebody copied files about. Both are kept.
        return Ok(());
    }
    fs::rename(part, &finished).map_err(failed("rename", part))?;
    sync_directory(part.parent().unwrap_or(Path::new(".")))
}

/// Where the last whole line ends. Reads back from the end, a block at a time.
fn whole_lines_len(file: &mut File) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;
    const BLOCK: u64 = 8_192;
    let mut end = file.metadata()?.len();
    let mut block = [0; BLOCK as usize];
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Makes a rename safe against a power cut.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), CdrError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("flush the directory", directory))
}

/// A moment as `20261121T040251Z`, for names of files.
fn compact_civil(wall: SystemTime) -> String {
    let us = match wall.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    let text = cdr::write_civil(Wall(us));
    let kept = text[..19].iter().filter(|byte| !b"-:".contains(byte));
    let mut name: String = kept.map(|&byte| char::from(byte)).collect();
    name.push('Z');
    name
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A disk that answers when the test says so, and what.
    struct Gate(Sender<Option<io::ErrorKind>>);

    impl Gate {
        /// So many flushes go well.
        fn open(&self, times: usize) {
            self.answer(&vec![None; times]);
        }

        fn answer(&self, more: &[Option<io::ErrorKind>]) {
            for &answer in more {
                self.0.send(answer).expect("the thread of the disk lives");
            }
        }
    }

    fn files(directory: &Path, rotate_bytes: u64) -> (CdrFiles, Gate) {
        let options = CdrOptions {
            directory: directory.to_owned(),
            rotate_bytes,
            rotate_after: Duration::from_secs(3_600),
            sync_every: Duration::ZERO,
        };
        let (answers, next) = channel();
        let flush = move |file: &File| match next.recv() {
            Ok(Some(kind)) => Err(io::Error::from(kind)),
            Ok(None) | Err(_) => file.sync_data(),
        };
        let files = CdrFiles::open_with(options, Box::new(flush)).unwrap();
        (files, Gate(answers))
    }

    fn push(files: &mut CdrFiles, numbers: std::ops::Range<usize>) {
        for number in numbers {
            files.push(format!("{{\"line\":{number}}}\n").as_bytes());
        }
    }

    fn write(files: &mut CdrFiles) -> Result<(), CdrError> {
        files.write(Instant::now(), SystemTime::now())
    }

    /// Writes until it is so; a minute is for ever. Returns how often the disk refused.
    fn drive(files: &mut CdrFiles, is_so: impl Fn(&CdrFiles) -> bool) -> usize {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut refused = 0;
        while !is_so(files) {
            assert!(Instant::now() < deadline, "{files:?}");
            refused += usize::from(write(files).is_err());
            std::thread::yield_now();
        }
        refused
    }

    /// The lines of all files whose names end so, in the order of the files.
    fn lines(directory: &Path, suffix: &str) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.to_str().unwrap().ends_with(suffix));
        // cdr-<moment>-<number>.…: by number, which has one digit or two here.
        paths.sort_by_key(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let number = name.split(['-', '.']).nth(2).unwrap();
            number.parse::<u32>().unwrap()
        });
        let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|it| format!("{{\"line\":{it}}}")).collect()
    }

    #[test]
    fn lines_go_to_the_file_while_the_disk_confirms_others() {
        let dir = tempfile::tempdir().unwrap();
        let (mut files, gate) = files(dir.path(), 1 << 30);
        push(&mut files, 0..3);
        write(&mut files).unwrap();
        assert!(files.disk.is_busy());
        push(&mut files, 3..2_000);
        write(&mut files).unwrap();
        assert_eq!((files.waiting(), files.lines), (0, 2_000));
        assert_eq!(lines(dir.path(), ".part"), numbered(0..2_000));
        assert_eq!(files.kept.written_lines, 2_000, "nothing is confirmed yet");
        gate.open(1);
        drive(&mut files, |files| files.kept.written_lines == 1_997);
        gate.open(2);
        files.close();
        drive(&mut files, CdrFiles::is_settled);
        assert_eq!(lines(dir.path(), ".jsonl"), numbered(0..2_000));
        assert_eq!(files.finished, 1);
    }

    #[test]
    fn what_comes_while_a_file_is_finished_waits_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (mut files, gate) = files(dir.path(), 100);
        push(&mut files, 0..30);
        write(&mut files).unwrap();
        assert!(files.waiting() > 0 && files.is_closing);
        assert!(lines(dir.path(), ".jsonl").is_empty());
        gate.open(1_000);
        drive(&mut files, |files| files.waiting() == 0);
        files.close();
        drive(&mut files, CdrFiles::is_settled);
        assert_eq!(lines(dir.path(), ".jsonl"), numbered(0..30));
        assert_eq!(files.finished, 4);
    }

    /// A20: after a refused flush nothing is believed of that file but what was confirmed before.
    #[test]
    fn a20_what_the_disk_refused_to_confirm_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (mut files, gate) = files(dir.path(), 1 << 30);
        gate.open(1);
        push(&mut files, 0..10);
        drive(&mut files, |files| {
            files.kept.text.is_empty() && files.lines == 10
        });
        push(&mut files, 10..20);
        write(&mut files).unwrap();
        // These are written while the flush that fails is under way.
        push(&mut files, 20..30);
        write(&mut files).unwrap();
        gate.answer(&[Some(io::ErrorKind::Other)]);
        assert_eq!(drive(&mut files, |files| files.open.is_none()), 1);
        assert_eq!(lines(dir.path(), ".jsonl"), numbered(0..10));
        assert_eq!((files.waiting(), files.lines), (20, 10));
        gate.open(2);
        drive(&mut files, |files| files.kept.text.is_empty());
        files.close();
        drive(&mut files, CdrFiles::is_settled);
        assert_eq!(lines(dir.path(), ".jsonl"), numbered(0..30));
        assert_eq!((files.lines, files.finished), (30, 2));
    }

    /// The same where the file was to be finished, and where nothing of it had ever been confirmed.
    #[test]
    fn a20_a_file_that_cannot_be_finished_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (mut files, gate) = files(dir.path(), 1 << 30);
        push(&mut files, 0..10);
        files.close();
        write(&mut files).unwrap();
        files.close();
        push(&mut files, 10..20);
        write(&mut files).unwrap();
        gate.answer(&[Some(io::ErrorKind::Other), None, Some(io::ErrorKind::Other)]);
        gate.open(3);
        // All goes into another file; that is confirmed, but not when it is to be finished.
        assert_eq!(drive(&mut files, |files| files.kept.text.is_empty()), 1);
        files.close();
        assert_eq!(drive(&mut files, CdrFiles::is_settled), 1);
        assert_eq!(lines(dir.path(), ".jsonl"), numbered(0..20));
        assert!(lines(dir.path(), ".part").is_empty());
    }

    #[test]
    fn a_disk_that_does_not_answer_makes_it_take_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let (mut files, gate) = files(dir.path(), 1 << 30);
        let line = [b"x".repeat(1_000), b"\n".to_vec()].concat();
        let mut pushed = 0;
        while files.has_room() {
            files.push(&line);
            pushed += 1;
            if pushed % 100 == 0 {
                write(&mut files).unwrap();
            }
        }
        assert!((KEPT_BYTES_MAX / line.len()..=KEPT_BYTES_MAX / line.len() + 1).contains(&pushed));
        assert!(files.waits_for(Instant::now() + Duration::from_secs(9)) > Duration::from_secs(8));
        gate.open(2);
        drive(&mut files, |files| files.has_room() && files.waiting() == 0);
        gate.open(2);
        files.close();
        drive(&mut files, CdrFiles::is_settled);
        assert_eq!(lines(dir.path(), ".jsonl").len(), pushed);
    }
}
