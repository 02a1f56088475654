//! Records on their way from a shard to the thread that writes them.

use std::sync::Arc;

use base::ShardId;
use crossbeam_queue::ArrayQueue;

use crate::buffers::Buffers;

/// A bounded ring of buffers in both directions: filled ones to the reader, read ones back to the
/// shard. No locks, and no allocation once as many buffers were made as are in use at a time.
///
/// Written by one shard, read by one control thread. Full: the shard is told at once, nothing waits.
#[derive(Debug)]
pub(crate) struct RecordRing {
    filled: ArrayQueue<Record>,
    unused: Buffers,
}

#[derive(Debug)]
struct Record {
    bytes: Box<[u8]>,
    len: usize,
}

impl RecordRing {
    pub(crate) fn new(records: usize, record_bytes: usize) -> RecordRing {
        let records = records.max(1);
        RecordRing {
            filled: ArrayQueue::new(records),
            unused: Buffers::new(records, record_bytes),
        }
    }

    /// Lets `fill` write a record of up to `len_max` octets; it returns the length. `false` = the
    /// ring is full or records are never so long; `fill` was not called.
    pub(crate) fn put(&self, len_max: usize, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        if len_max > self.unused.bytes() {
            return false;
        }
        let Some(mut bytes) = self.unused.take() else {
            return false;
        };
        let len = fill(&mut bytes[..len_max]);
        assert!(len <= len_max, "a record is within its buffer");
        let pushed = self.filled.push(Record { bytes, len }).is_ok();
        assert!(pushed, "there are as many places as buffers");
        true
    }

    /// How many records can be put before one is read.
    pub(crate) fn free(&self) -> usize {
        self.unused.free()
    }

    pub(crate) fn pop(&self, read: &mut dyn FnMut(&[u8])) -> bool {
        let Some(record) = self.filled.pop() else {
            return false;
        };
        read(&record.bytes[..record.len]);
        self.unused.give_back(record.bytes);
        true
    }
}

/// The reading end of all shards' record rings. One thread reads; shards never wait for it.
#[derive(Debug)]
pub struct RecordReader {
    rings: Vec<Arc<RecordRing>>,
    next: usize,
}

impl RecordReader {
    pub(crate) fn new(rings: Vec<Arc<RecordRing>>) -> RecordReader {
        RecordReader { rings, next: 0 }
    }

    /// The next record, copied into `into` (which is cleared first); `None` if there is none now.
    /// Shards take turns; the records of one shard come in its order.
    pub fn pop(&mut self, into: &mut Vec<u8>) -> Option<ShardId> {
        self.pop_with(&mut |bytes| {
            into.clear();
            into.extend_from_slice(bytes);
        })
    }

    /// As [`RecordReader::pop`], without the copy.
    pub fn pop_with(&mut self, read: &mut dyn FnMut(&[u8])) -> Option<ShardId> {
        for _ in 0..self.rings.len() {
            let shard = self.next;
            self.next = (self.next + 1) % self.rings.len();
            if self.rings[shard].pop(read) {
                return Some(ShardId(shard as u16));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_refuses_and_recovers_in_order() {
        let ring = Arc::new(RecordRing::new(3, 8));
        let put = |byte: u8, len: usize| {
            ring.put(len, &mut |buffer| {
                buffer.fill(byte);
                buffer.len()
            })
        };
        assert!(!put(0, 9), "longer than any record");
        assert!((1..=3).all(|byte| put(byte, usize::from(byte))));
        assert!(!put(4, 4), "full");
        assert_eq!(ring.free(), 0);
        let mut reader = RecordReader::new(vec![Arc::new(RecordRing::new(1, 8)), ring.clone()]);
        let mut bytes = Vec::new();
        let mut seen = Vec::new();
        while let Some(shard) = reader.pop(&mut bytes) {
            seen.push((shard.0, bytes.clone()));
        }
        assert_eq!(seen, [(1, vec![1]), (1, vec![2; 2]), (1, vec![3; 3])]);
        assert_eq!(ring.free(), 3);
        assert!(put(5, 5));
    }
}
