//! A thread's deadlines: one for each slot, in a hashed wheel (Varghese and Lauck, 1987, scheme 6).
//!
//! A slot of the wheel spans 256 microseconds and holds a list of all deadlines that fall on it in
//! this or a later turn of the wheel (16.8 s). Within a slot deadlines fire at their own
//! microsecond, so that what is due is sent when it is due. Arming and cancelling touch a node and
//! its two neighbours; the next slot in use is found from a bitmap.

const SPAN_BITS: u32 = 8;
const SLOTS: usize = 1 << 16;
const NONE: u32 = u32::MAX;

/// Deadlines by slot number: arming one again moves it.
#[derive(Debug)]
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    heads: Vec<u32>,
    occupied: Vec<u64>,
    /// All slots before this one have fired what was due.
    tick: u64,
    armed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    prev: u32,
    next: u32,
    at_us: u64,
}

const IDLE: Node = Node {
    prev: NONE,
    next: NONE,
    at_us: u64::MAX,
};

impl Wheel {
    pub(crate) fn new(capacity: usize) -> Wheel {
        Wheel {
            nodes: Vec::with_capacity(capacity),
            heads: vec![NONE; SLOTS],
            occupied: vec![0; SLOTS / 64],
            tick: 0,
            armed: 0,
        }
    }

    /// Sets the deadline of a slot, instead of the one it had.
    pub(crate) fn arm(&mut self, index: u32, at_us: u64) {
        self.cancel(index);
        if self.nodes.len() <= index as usize {
            self.nodes.resize(index as usize + 1, IDLE);
        }
        // What is overdue goes where the wheel stands, or it would wait for a whole turn.
        let slot = slot_of((at_us >> SPAN_BITS).max(self.tick));
        let head = self.heads[slot];
        self.nodes[index as usize] = Node {
            prev: NONE,
            next: head,
            at_us,
        };
        if head != NONE {
            self.nodes[head as usize].prev = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.armed += 1;
    }

    /// Forgets the deadline of a slot, if it has one.
    pub(crate) fn cancel(&mut self, index: u32) {
        let Some(&node) = self.nodes.get(index as usize) else {
            return;
        };
        if node.at_us == u64::MAX {
            return;
        }
        if node.next != NONE {
            self.nodes[node.next as usize].prev = node.prev;
        }
        if node.prev != NONE {
            self.nodes[node.prev as usize].next = node.next;
        } else {
            self.unhead(index, node);
        }
        self.nodes[index as usize] = IDLE;
        self.armed -= 1;
    }

    /// Takes the head of a list out. Its slot is the one of its time or, if it was overdue when it
    /// was armed, where the wheel stood.
    fn unhead(&mut self, index: u32, node: Node) {
        let mut slot = slot_of(node.at_us >> SPAN_BITS);
        if self.heads[slot] != index {
            slot = slot_of(self.tick);
        }
        assert_eq!(self.heads[slot], index, "the head of a list is in its slot");
        self.heads[slot] = node.next;
        if node.next == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// Takes a slot whose deadline has passed.
    pub(crate) fn due(&mut self, now_us: u64) -> Option<u32> {
        let now_tick = now_us >> SPAN_BITS;
        loop {
            let mut index = self.heads[slot_of(self.tick)];
            while index != NONE {
                let node = self.nodes[index as usize];
                if node.at_us <= now_us {
                    self.cancel(index);
                    return Some(index);
                }
                index = node.next;
            }
            if self.tick >= now_tick {
                return None;
            }
            let ahead = self.ahead().unwrap_or(u64::MAX);
            self.tick = self.tick.saturating_add(ahead).min(now_tick);
        }
    }

    /// When to look again: not after the next deadline.
    pub(crate) fn next_us(&self) -> Option<u64> {
        if self.armed == 0 {
            return None;
        }
        if let Some(at_us) = self.earliest_in(self.tick) {
            return Some(at_us);
        }
        let tick = self.tick + self.ahead()?;
        Some(self.earliest_in(tick).unwrap_or((tick + 1) << SPAN_BITS))
    }

    /// The earliest deadline that falls on this turn's slot.
    fn earliest_in(&self, tick: u64) -> Option<u64> {
        let mut earliest = None;
        let mut index = self.heads[slot_of(tick)];
        while index != NONE {
            let node = self.nodes[index as usize];
            if node.at_us >> SPAN_BITS <= tick && earliest.is_none_or(|at_us| node.at_us < at_us) {
                earliest = Some(node.at_us);
            }
            index = node.next;
        }
        earliest
    }

    /// How many slots ahead of the wheel's own the next one in use is, from 1 to a whole turn.
    fn ahead(&self) -> Option<u64> {
        let from = slot_of(self.tick + 1);
        let words = SLOTS / 64;
        for step in 0..=words {
            let word = (from / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (from % 64);
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                return Some(((slot + SLOTS - from) % SLOTS) as u64 + 1);
            }
        }
        None
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::load::schedule::Random;

    /// Against the dullest model: a sorted list.
    #[test]
    fn deadlines_fire_at_their_time_and_once() {
        let mut random = Random::new(11);
        let mut wheel = Wheel::new(64);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut now = 0;
        for _ in 0..200_000 {
            let index = (random.next() % 64) as u32;
            match random.next() % 4 {
                0 => {
                    let far =
                        [1, 300, 70_000, 20_000_000, 90_000_000][(random.next() % 5) as usize];
                    let at = (now + random.next() % far).saturating_sub(random.next() % 50);
                    wheel.arm(index, at);
                    model.insert(index, at);
                }
                1 => {
                    wheel.cancel(index);
                    model.remove(&index);
                }
                _ => {
                    let next = model.values().min().copied();
                    if let (Some(told), Some(next)) = (wheel.next_us(), next) {
                        assert!(told <= next.max(now), "it never oversleeps: {told} {next}");
                    }
                    assert_eq!(wheel.next_us().is_none(), next.is_none());
                    now += random.next() % [10, 5_000, 30_000_000][(random.next() % 3) as usize];
                    while let Some(index) = wheel.due(now) {
                        let at = model.remove(&index).expect("what fires was armed");
                        assert!(at <= now, "never early");
                    }
                    assert!(
                        model.values().all(|&at| at > now),
                        "all that is due has fired"
                    );
                }
            }
        }
    }

    #[test]
    fn the_next_deadline_is_told_exactly_when_it_is_near() {
        let mut wheel = Wheel::new(4);
        assert_eq!(wheel.next_us(), None);
        wheel.arm(0, 5_000);
        wheel.arm(1, 5_001);
        assert_eq!(wheel.next_us(), Some(5_000));
        assert_eq!(wheel.due(4_999), None);
        assert_eq!((wheel.due(5_000), wheel.due(5_000)), (Some(0), None));
        assert_eq!(wheel.next_us(), Some(5_001));
    }
}
