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

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use base::Wall;

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

fn failed<'p>(attempt: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> CdrError + 'p {
    move |source| CdrError::new(attempt, path, source)
}

/// The directory and the file that is open in it. Lives on the writer's thread.
#[derive(Debug)]
pub(crate) struct CdrFiles {
    options: CdrOptions,
    open: Option<Open>,
    kept: Kept,
    next: u64,
    /// Files finished by this process.
    pub(crate) finished: u64,
    /// Lines written by this process.
    pub(crate) lines: u64,
    /// Bytes of these lines.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    part: PathBuf,
    finished: PathBuf,
    opened: Instant,
    /// How much of it is whole lines.
    len: u64,
    /// How much of it the disk has confirmed.
    confirmed_len: u64,
    confirmed_at: Instant,
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
            // As much as there can be before the disk is asked; what is not used is never touched.
            text: Vec::with_capacity(UNCONFIRMED_BYTES_MAX + BATCH_BYTES_MAX),
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

    /// What was written is safe.
    fn are_confirmed(&mut self) {
        self.text.drain(..self.written_bytes);
        self.written_bytes = 0;
        self.written_lines = 0;
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
        Ok(CdrFiles {
            options,
            open: None,
            kept: Kept::new(),
            next: 0,
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

    /// Writes what waits, confirms and rotates what is due.
    ///
    /// After an error everything that is not surely written still waits; call again later.
    pub(crate) fn write(&mut self, now: Instant, wall: SystemTime) -> Result<(), CdrError> {
        while self.kept.waiting_lines > 0 {
            self.write_batch(now, wall)?;
        }
        let Some(open) = &self.open else {
            return Ok(());
        };
        let confirm_is_due = now.duration_since(open.confirmed_at) >= self.options.sync_every
            || self.kept.written_bytes >= UNCONFIRMED_BYTES_MAX;
        let is_old = now.duration_since(open.opened) >= self.options.rotate_after;
        if open.len >= self.options.rotate_bytes || is_old {
            self.finish()
        } else if confirm_is_due {
            self.confirm(now)
        } else {
            Ok(())
        }
    }

    /// Finishes the open file, if there is one. What still waits goes into another.
    pub(crate) fn finish(&mut self) -> Result<(), CdrError> {
        self.confirm(Instant::now())?;
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if open.len == 0 {
            return fs::remove_file(&open.part).map_err(failed("remove", &open.part));
        }
        if let Err(error) = fs::rename(&open.part, &open.finished) {
            let error = failed("rename", &open.part)(error);
            self.open = Some(open);
            return Err(error);
        }
        self.finished += 1;
        sync_directory(&self.options.directory)
    }

    fn write_batch(&mut self, now: Instant, wall: SystemTime) -> Result<(), CdrError> {
        if self.open.as_ref().is_some_and(|open| {
            let room = self.options.rotate_bytes.saturating_sub(open.len);
            open.len > 0 && lines_within(self.kept.waiting(), room) == 0
        }) {
            self.finish()?;
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
        let (written, result) = write_as_much_as_fits(&mut open.file, batch);
        let whole = match written == batch.len() {
            true => written,
            false => lines_within(batch, written as u64),
        };
        self.lines += self.kept.are_written(whole);
        self.bytes += whole as u64;
        open.len += whole as u64;
        if written > whole
            && let Err(error) = cut(&mut open.file, open.len)
        {
            let error = failed("cut the torn line off", &open.part)(error);
            self.abandon();
            return Err(error);
        }
        result.map_err(failed("write to", &open.part))?;
        if open.len >= self.options.rotate_bytes {
            self.finish()?;
        }
        Ok(())
    }

    /// Has the disk confirm what was written.
    fn confirm(&mut self, now: Instant) -> Result<(), CdrError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.confirmed_at = now;
        if open.confirmed_len == open.len {
            return Ok(());
        }
        if let Err(error) = open.file.sync_data() {
            let error = failed("flush", &open.part)(error);
            self.abandon();
            return Err(error);
        }
        open.confirmed_len = open.len;
        self.kept.are_confirmed();
        Ok(())
    }

    /// Gives a file up whose content is no longer certain: after a failed flush the system may have
    /// dropped the pages, and a second flush would say that all is well.
    ///
    /// The lines that were never confirmed go into a new file. The part that was confirmed stays:
    /// as a finished file if it can be cut there, else under a name that tells.
    fn abandon(&mut self) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let (lines, bytes) = self.kept.are_taken_back();
        self.lines -= lines;
        self.bytes -= bytes;
        let is_whole = cut(&mut open.file, open.confirmed_len).is_ok();
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
                file,
                part,
                finished,
                opened: now,
                len: 0,
                confirmed_len: 0,
                confirmed_at: now,
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
fn write_as_much_as_fits(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
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

fn cut(file: &mut File, len: u64) -> io::Result<()> {
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
    cut(&mut file, whole).map_err(failed("cut the torn line off", part))?;
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
fn sync_directory(directory: &Path) -> Result<(), CdrError> {
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
