//! Slots for calls, and blocks of bytes for what a call must keep: all room is taken at the start,
//! and touched only when it is used.

/// A slot's number and how often it was used before: what a message says to find its call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A bounded number of values, each found by its [`Key`].
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    capacity: usize,
}

impl<T> Slab<T> {
    pub(crate) fn new(capacity: usize) -> Slab<T> {
        Slab {
            entries: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Takes a slot; none if all are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<Key> {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.1 = Some(value);
            return Some(Key {
                index,
                generation: entry.0,
            });
        }
        if self.entries.len() == self.capacity {
            return None;
        }
        let index = self.entries.len() as u32;
        self.entries.push((1, Some(value)));
        Some(Key {
            index,
            generation: 1,
        })
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        value.as_mut().filter(|_| *generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = value.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// The key of whatever is in a slot now.
    pub(crate) fn key_at(&self, index: u32) -> Option<Key> {
        let (generation, value) = self.entries.get(index as usize)?;
        value.as_ref().map(|_| Key {
            index,
            generation: *generation,
        })
    }

    /// All slots ever used lie below this number.
    pub(crate) fn room_used(&self) -> u32 {
        self.entries.len() as u32
    }

    /// All values that are there.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|(_, value)| value.as_ref())
    }
}

/// Blocks of bytes of one size.
#[derive(Debug)]
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    lens: Vec<u16>,
    free: Vec<u32>,
    unused: u32,
    block_bytes: usize,
}

impl Blocks {
    pub(crate) fn new(count: usize, block_bytes: usize) -> Blocks {
        assert!(block_bytes <= usize::from(u16::MAX), "lengths are 16 bits");
        Blocks {
            bytes: vec![0; count * block_bytes],
            lens: vec![0; count],
            free: Vec::with_capacity(count),
            unused: 0,
            block_bytes,
        }
    }

    /// Keeps bytes; none if there is no block left or they do not fit one.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.block_bytes {
            return None;
        }
        let block = match self.free.pop() {
            Some(block) => block,
            None if (self.unused as usize) < self.lens.len() => {
                self.unused += 1;
                self.unused - 1
            }
            None => return None,
        };
        let start = block as usize * self.block_bytes;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.lens[block as usize] = bytes.len() as u16;
        Some(block)
    }

    pub(crate) fn get(&self, block: u32) -> &[u8] {
        let start = block as usize * self.block_bytes;
        &self.bytes[start..start + usize::from(self.lens[block as usize])]
    }

    pub(crate) fn give_back(&mut self, block: u32) {
        self.free.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_value_and_no_later_one() {
        let mut slab = Slab::new(2);
        let a = slab.insert('a').unwrap();
        assert!(slab.insert('b').is_some());
        assert_eq!(slab.insert('c'), None, "it is full");
        assert_eq!(slab.get_mut(a), Some(&mut 'a'));
        assert_eq!((slab.remove(a), slab.remove(a)), (Some('a'), None));
        let c = slab.insert('c').unwrap();
        assert_eq!(c.index, a.index);
        assert_eq!(slab.get_mut(a), None, "a slot's former owner is gone");
        assert_eq!(slab.key_at(c.index), Some(c));
        let all: Vec<_> = slab.values().copied().collect();
        assert_eq!((all, slab.room_used()), (vec!['c', 'b'], 2));
    }

    #[test]
    fn blocks_come_back() {
        let mut blocks = Blocks::new(2, 4);
        let a = blocks.keep(b"abcd").unwrap();
        let b = blocks.keep(b"e").unwrap();
        assert_eq!((blocks.get(a), blocks.get(b)), (&b"abcd"[..], &b"e"[..]));
        assert_eq!(blocks.keep(b"f"), None);
        blocks.give_back(a);
        assert_eq!(blocks.keep(b"too long"), None);
        let c = blocks.keep(b"gh").unwrap();
        assert_eq!(blocks.get(c), b"gh");
    }
}
