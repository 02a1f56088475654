//! What is in decks and lists: kept once, in chunks that contents which differ little share.
//!
//! A text is cut behind a line whose hash says so. So a price that changes in a deck of ten million
//! rows changes the chunk that it is in, and the ones after it stay as they are, wherever they have
//! moved to. A workbook has no lines and is cut by length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::session::{Session, Value};

/// A chunk is not cut before it has so many bytes.
const CHUNK_BYTES_MIN: usize = 16 << 10;
/// Nor is it longer.
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// One line in so many ends a chunk, once that is long enough: of 20 to 40 bytes, as decks have them,
/// that is every 32 KiB or so.
const LINES_A_CUT: u64 = 1 << 10;

/// Reads chunk after chunk. The octets of all of them in order are the octets that were read.
struct Chunks<R> {
    from: R,
    chunk: Vec<u8>,
}

impl<R: BufRead> Chunks<R> {
    fn new(from: R) -> Chunks<R> {
        let chunk = Vec::with_capacity(CHUNK_BYTES_MAX);
        Chunks { from, chunk }
    }

    /// The next one; empty at the end.
    fn next(&mut self) -> io::Result<&[u8]> {
        self.chunk.clear();
        loop {
            let begin = self.chunk.len();
            let room = (CHUNK_BYTES_MAX - begin) as u64;
            let mut limited = (&mut self.from).take(room);
            if limited.read_until(b'\n', &mut self.chunk)? == 0 {
                return Ok(&self.chunk);
            }
            let line = &self.chunk[begin..];
            let is_long_enough = self.chunk.len() >= CHUNK_BYTES_MIN;
            let is_cut = is_long_enough && line_hash(line).is_multiple_of(LINES_A_CUT);
            if is_cut || self.chunk.len() == CHUNK_BYTES_MAX {
                return Ok(&self.chunk);
            }
        }
    }
}

/// FNV-1a. It decides where to cut and nothing else; changed, it would only share less with what is
/// kept already.
fn line_hash(line: &[u8]) -> u64 {
    let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    let hash = line.iter().fold(0xcbf2_9ce4_8422_2325, step);
    // The low bits alone would follow the last octets, which are all the same.
    hash ^ hash >> 32
}

/// SHA-256 in hex.
fn hex(hash: impl AsRef<[u8]>) -> String {
    let digits = hash.as_ref().iter().map(|octet| format!("{octet:02x}"));
    digits.collect()
}

/// The hash and the length of a file.
fn hash_of(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok((hex(hash.finalize()), length));
        }
        hash.update(&block[..read]);
        length += read as u64;
    }
}

/// Puts a file's content into the store, unless it is there; its hash. In a transaction.
pub(crate) fn put(session: &mut dyn Session, path: &Path) -> Result<String, StoreError> {
    let of_file = |error| StoreError::File(path.to_owned(), error);
    let (hash, length) = hash_of(path).map_err(of_file)?;
    let known = session.rows("SELECT 1 FROM content WHERE hash = $1", &[(&*hash).into()])?;
    if !known.is_empty() {
        return Ok(hash);
    }
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    session.run(
        "INSERT INTO content (hash, bytes) VALUES ($1, $2)",
        &[(&*hash).into(), length.into()],
    )?;
    let mut chunks = Chunks::new(BufReader::new(File::open(path).map_err(of_file)?));
    let mut whole = Sha256::new();
    let mut position = 0_i64;
    loop {
        let chunk = chunks.next().map_err(of_file)?;
        if chunk.is_empty() {
            break;
        }
        whole.update(chunk);
        let name = hex(Sha256::digest(chunk));
        session.run(
            "INSERT INTO chunk (hash, body) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[(&*name).into(), chunk.into()],
        )?;
        session.run(
            "INSERT INTO content_chunk (content, position, chunk) VALUES ($1, $2, $3)",
            &[(&*hash).into(), position.into(), (&*name).into()],
        )?;
        position += 1;
    }
    match hex(whole.finalize()) == hash {
        true => Ok(hash),
        false => Err(StoreError::FileChanged(path.to_owned())),
    }
}

/// Writes a content into a file, and looks whether it is what it was.
pub(crate) fn get(
    session: &mut dyn Session,
    hash: &str,
    out: &mut impl Write,
    path: &Path,
) -> Result<(), StoreError> {
    /// Chunks that are asked for at once.
    const CHUNKS_A_TIME: i64 = 64;
    let mut whole = Sha256::new();
    let mut position = 0;
    loop {
        let values: [Value; 3] = [
            hash.into(),
            position.into(),
            (position + CHUNKS_A_TIME).into(),
        ];
        let rows = session.rows(
            "SELECT chunk.body FROM content_chunk JOIN chunk ON chunk.hash = content_chunk.chunk \
             WHERE content_chunk.content = $1 AND content_chunk.position >= $2 \
             AND content_chunk.position < $3 ORDER BY content_chunk.position",
            &values,
        )?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            whole.update(row.bytes(0)?);
            out.write_all(row.bytes(0)?)
                .map_err(|error| StoreError::File(path.to_owned(), error))?;
        }
        position += CHUNKS_A_TIME;
    }
    match hex(whole.finalize()) == hash {
        true => Ok(()),
        false => Err(StoreError::Damaged(format!(
            "the content {hash} is not what was put in"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn cut(octets: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Chunks::new(octets);
        let next = || Some(chunks.next().unwrap().to_vec()).filter(|chunk| !chunk.is_empty());
        std::iter::from_fn(next).collect()
    }

    fn deck(rows: u32, odd: Option<u32>) -> Vec<u8> {
        let row = |row: u32| match odd == Some(row) {
            true => format!("{},Somewhere else,9.9999,60/60\n", 490_000 + row),
            false => format!("{},Somewhere,0.{:04},1/1\n", 490_000 + row, row % 9_973),
        };
        (0..rows).map(row).collect::<String>().into_bytes()
    }

    #[test]
    fn a_changed_row_changes_its_chunk() {
        let (old, new) = (cut(&deck(100_000, None)), cut(&deck(100_000, Some(50_000))));
        assert!(old.len() > 30, "{} chunks", old.len());
        let before: HashSet<&Vec<u8>> = old.iter().collect();
        let others = new.iter().filter(|chunk| !before.contains(chunk)).count();
        assert!((1..=3).contains(&others), "{others} of {}", new.len());
    }

    #[test]
    fn a_content_without_lines_is_cut_by_length() {
        let chunks = cut(&vec![7; CHUNK_BYTES_MAX * 2 + 1]);
        let lengths: Vec<usize> = chunks.iter().map(Vec::len).collect();
        assert_eq!(lengths, [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 1]);
        assert!(cut(b"").is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunks_in_order_are_the_content(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2_000), 0..400),
        ) {
            let octets = lines.join(&b'\n');
            let chunks = cut(&octets);
            prop_assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES_MAX));
            prop_assert_eq!(chunks.concat(), octets);
        }
    }
}
