//! Slots with generations: the memory of transactions, calls, connections and timers.

use crate::{FreePlaces, ShardId, SlotId};

/// A fixed number of slots on one shard, each found by a [`SlotId`] in constant time.
///
/// Cost: insert, get and remove touch the slot's own cache lines and the slab's head; nothing is
/// allocated after [`Slab::new`], which reserves address space only: a page becomes resident when
/// its first slot is used. At the limit `insert` gives the value back; the caller counts and
/// refuses. The lowest free slot is taken first, so that values lie together however the ones before
/// them came and went.
#[derive(Debug)]
pub struct Slab<T> {
    shard: ShardId,
    slots: Vec<Slot<T>>,
    capacity: usize,
    /// Of the places used before.
    free: FreePlaces,
    count: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// The id that the place was last given out as: one comparison tells shard and generation.
    id: SlotId,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// What one place takes: a value, its generation, and what alignment wants.
    pub const SLOT_BYTES: usize = size_of::<Slot<T>>();

    /// An empty slab with room for `capacity` values.
    #[must_use]
    pub fn new(shard: ShardId, capacity: usize) -> Slab<T> {
        assert!(
            capacity <= SlotId::INDEX_COUNT_MAX,
            "a slab has at most 2^24 slots"
        );
        Slab {
            shard,
            slots: Vec::with_capacity(capacity),
            capacity,
            free: FreePlaces::new(capacity),
            count: 0,
        }
    }

    /// Puts a value into a free slot and says which; the value comes back if all are taken.
    ///
    /// # Errors
    /// The value itself, when `capacity` values are held.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<SlotId, T> {
        let id = match self.free.take() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.id = slot.id.successor();
                slot.value = Some(value);
                slot.id
            }
            None if self.slots.len() < self.capacity => {
                let id = SlotId::new(self.shard, self.slots.len() as u32, 1);
                self.slots.push(Slot {
                    id,
                    value: Some(value),
                });
                id
            }
            None => return Err(value),
        };
        self.count += 1;
        Ok(id)
    }

    /// As [`Slab::insert`] for a large value, which is made where it will lie. `None` if all slots are
    /// taken.
    #[inline]
    pub fn insert_with(&mut self, make: impl FnOnce() -> T) -> Option<SlotId> {
        let id = match self.free.take() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.id = slot.id.successor();
                debug_assert!(slot.value.is_none(), "a free slot is empty");
                slot.value.get_or_insert_with(make);
                slot.id
            }
            None if self.slots.len() < self.capacity => {
                let id = SlotId::new(self.shard, self.slots.len() as u32, 1);
                self.slots.push(Slot {
                    id,
                    value: Some(make()),
                });
                id
            }
            None => return None,
        };
        self.count += 1;
        Some(id)
    }

    /// The value of a slot, if it still is the one that `id` was given out for.
    #[must_use]
    #[inline]
    pub fn get(&self, id: SlotId) -> Option<&T> {
        match self.slots.get(id.index() as usize) {
            Some(slot) if slot.id == id => slot.value.as_ref(),
            _ => None,
        }
    }

    /// Where a slot lies, whoever has it, and how many octets it takes: memory to be asked for before it
    /// is needed. `None`: no slot was ever there.
    #[must_use]
    #[inline]
    pub fn whereabouts(&self, id: SlotId) -> Option<(*const u8, usize)> {
        let slot = &raw const *self.slots.get(id.index() as usize)?;
        Some((slot.cast(), Slab::<T>::SLOT_BYTES))
    }

    /// Where the slot lies that is probably used next, as [`Slab::whereabouts`].
    #[must_use]
    #[inline]
    pub fn next_whereabouts(&self) -> (*const u8, usize) {
        let next = self.free.peek().map_or(self.slots.len(), |at| at as usize);
        let slot = self.slots.as_ptr().wrapping_add(next);
        (slot.cast(), Slab::<T>::SLOT_BYTES)
    }

    /// Where the slots lie that are used first, so many of them, and how many octets they take: memory
    /// that somebody may want to have before the first call comes.
    #[must_use]
    pub fn room(&self, slots: usize) -> (*const u8, usize) {
        let bytes = slots.min(self.capacity) * Slab::<T>::SLOT_BYTES;
        (self.slots.as_ptr().cast(), bytes)
    }

    /// As [`Slab::get`], to change it.
    #[inline]
    pub fn get_mut(&mut self, id: SlotId) -> Option<&mut T> {
        match self.slots.get_mut(id.index() as usize) {
            Some(slot) if slot.id == id => slot.value.as_mut(),
            _ => None,
        }
    }

    /// What is held at a place, with its id; for an index that keeps places.
    #[must_use]
    #[inline]
    pub fn at(&self, place: u32) -> Option<(SlotId, &T)> {
        let slot = self.slots.get(place as usize)?;
        let value = slot.value.as_ref()?;
        Some((slot.id, value))
    }

    /// Takes the value out and frees its slot. `None` if `id` is of an earlier tenant.
    #[inline]
    pub fn remove(&mut self, id: SlotId) -> Option<T> {
        let slot = self.slots.get_mut(id.index() as usize)?;
        if slot.id != id {
            return None;
        }
        let value = slot.value.take()?;
        self.free.put(id.index());
        self.count -= 1;
        Some(value)
    }

    /// Drops the value where it is and frees its slot; of a large value [`Slab::remove`] would make a
    /// copy. `false` if `id` is of an earlier tenant.
    #[inline]
    pub fn discard(&mut self, id: SlotId) -> bool {
        match self.slots.get_mut(id.index() as usize) {
            Some(slot) if slot.id == id && slot.value.is_some() => {
                slot.value = None;
                self.free.put(id.index());
                self.count -= 1;
                true
            }
            _ => false,
        }
    }

    /// How many values are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many values can be held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// All values with their ids, in the order of their places. For audits and dumps: it walks
    /// every slot ever used, so nothing on the path of a message may call it.
    pub fn iter(&self) -> impl Iterator<Item = (SlotId, &T)> {
        let slots = self.slots.iter();
        slots.filter_map(|slot| slot.value.as_ref().map(|value| (slot.id, value)))
    }

    /// How many places were ever used: what an audit has to look at.
    #[must_use]
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The values at `start..` in the order of their places, of at most `count` places, for an audit
    /// in slices; and where to go on (0 after the last).
    pub fn slice(&self, start: usize, count: usize) -> (impl Iterator<Item = &T>, usize) {
        let end = (start + count).min(self.slots.len());
        let next = if end == self.slots.len() { 0 } else { end };
        let slots = self.slots.get(start..end).unwrap_or(&[]);
        (slots.iter().filter_map(|slot| slot.value.as_ref()), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn agrees_with_a_map_over_a_long_run_of_random_work() {
        let mut slab = Slab::new(ShardId(3), 50);
        let mut model: HashMap<SlotId, u64> = HashMap::new();
        let mut gone: Vec<SlotId> = Vec::new();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..100_000_u64 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if seed >> 33 & 1 == 0 {
                match slab.insert(round) {
                    Ok(id) => {
                        assert_eq!(model.insert(id, round), None, "an id is never given twice")
                    }
                    Err(value) => {
                        assert_eq!((value, model.len()), (round, 50), "full only when full")
                    }
                }
            } else if let Some(id) = model.keys().copied().min_by_key(|id| id.bits() ^ seed) {
                match round & 1 {
                    0 => assert_eq!(slab.remove(id), model.remove(&id)),
                    _ => assert_eq!(slab.discard(id), model.remove(&id).is_some()),
                }
                gone.push(id);
            }
            assert_eq!(slab.len(), model.len());
        }
        assert!(
            gone.iter().all(|&id| slab.get(id).is_none()),
            "the dead stay dead"
        );
        let mut all: Vec<_> = slab.iter().map(|(id, &value)| (id, value)).collect();
        let mut want: Vec<_> = model.into_iter().collect();
        all.sort_unstable();
        want.sort_unstable();
        assert_eq!(all, want);
    }

    #[test]
    fn another_shards_id_finds_nothing() {
        let mut slab = Slab::new(ShardId(0), 1);
        let id = slab.insert('a').expect("room");
        let alien = SlotId::new(ShardId(1), id.index(), id.generation());
        assert_eq!((slab.get(id), slab.get(alien)), (Some(&'a'), None));
        assert_eq!((slab.remove(alien), slab.discard(alien)), (None, false));
        assert_eq!((slab.discard(id), slab.discard(id)), (true, false));
    }
}
