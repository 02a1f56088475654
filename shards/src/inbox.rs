//! What other shards send to a shard: bounded, lock-free, and without allocation once it is warm.
//!
//! Cost of a hand-over: one copy of the message into a buffer of its new owner, two pops and two
//! pushes of a bounded queue, and one wake per destination and turn if that shard sleeps. Held by
//! `benches/inbox.rs`.
//!
//! ```text
//!   any shard ──pop──▶ free buffers ──fill──▶ queue ──▶ the owner ──handled──▶ free buffers
//! ```

use std::sync::atomic::{AtomicBool, Ordering, fence};

use base::{ConnId, Flow, ShardId, Time};
use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use mio::Waker;

use crate::buffers::Buffers;
use crate::handler::Undelivered;

/// Most SIP messages fit; what does not takes one of the few large buffers.
const SMALL_BYTES: usize = 2_048;
const LARGE_BYTES: usize = 65_536;

/// One shard's inbox: any shard puts parcels in, the owner takes them out once a turn.
///
/// Full: the sender is told at once, counts, and drops, as a network would. Nobody waits.
pub struct Inbox<L> {
    queue: ArrayQueue<Parcel<L>>,
    small: Buffers,
    large: Buffers,
    /// Written by the owner before it sleeps and by the one who wakes it.
    asleep: CachePadded<AtomicBool>,
    waker: Option<Waker>,
}

/// One thing for a shard, in its inbox.
#[derive(Debug)]
pub enum Parcel<L> {
    /// A message that this shard owns and another received.
    Message {
        /// Who received it.
        from: ShardId,
        /// The path it came by.
        flow: Flow,
        /// When the kernel received it.
        received: Time,
        /// Its octets.
        bytes: Buffer,
    },
    /// A packet to be sent over a connection that lives on this shard.
    Send {
        /// Who sends it, and is told if it does not leave.
        from: ShardId,
        /// The path; its connection is this shard's.
        flow: Flow,
        /// The sender's name for it, or 0.
        token: u64,
        /// Its octets.
        bytes: Buffer,
    },
    /// A connection of this shard to be closed.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// A packet that this shard sent over another shard's connection did not leave.
    Undelivered {
        /// The sender's name for it.
        token: u64,
        /// Why.
        why: Undelivered,
    },
    /// From handler to handler.
    Letter {
        /// Who wrote it.
        from: ShardId,
        /// What it says.
        letter: L,
    },
}

/// Octets in a buffer that belongs to an inbox and is to be given back.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
}

impl Buffer {
    /// The octets.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<L> std::fmt::Debug for Inbox<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<L> Inbox<L> {
    /// An inbox for so many parcels, of which so many may carry more than 2 KiB. Without a waker
    /// its owner must not sleep.
    #[must_use]
    pub fn new(parcels: usize, large: usize, waker: Option<Waker>) -> Inbox<L> {
        Inbox {
            queue: ArrayQueue::new(parcels.max(1)),
            // One more than may wait: the owner has one in hand.
            small: Buffers::new(parcels + 1, SMALL_BYTES),
            large: Buffers::new(large, LARGE_BYTES),
            asleep: CachePadded::new(AtomicBool::new(false)),
            waker,
        }
    }

    /// Hands a message over to its owner. `false` = the inbox is full.
    #[must_use]
    pub fn hand_over(&self, from: ShardId, flow: &Flow, received: Time, bytes: &[u8]) -> bool {
        self.put(bytes, |bytes| Parcel::Message {
            from,
            flow: *flow,
            received,
            bytes,
        })
    }

    /// Passes a packet to the shard of its connection. `false` = the inbox is full.
    #[must_use]
    pub fn pass(&self, from: ShardId, flow: &Flow, token: u64, bytes: &[u8]) -> bool {
        self.put(bytes, |bytes| Parcel::Send {
            from,
            flow: *flow,
            token,
            bytes,
        })
    }

    /// Puts a parcel without octets in. `false` = the inbox is full.
    #[must_use]
    pub fn push(&self, parcel: Parcel<L>) -> bool {
        self.queue.push(parcel).is_ok()
    }

    /// Takes the next parcel out; for the owner. Its buffer, if any, goes to [`Inbox::give_back`].
    pub fn pop(&self) -> Option<Parcel<L>> {
        self.queue.pop()
    }

    /// Returns a handled parcel's buffer.
    pub fn give_back(&self, buffer: Buffer) {
        let unused = if buffer.bytes.len() == self.small.bytes() {
            &self.small
        } else {
            &self.large
        };
        unused.give_back(buffer.bytes);
    }

    /// How many parcels wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no parcel waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The owner is about to sleep. `false` = it must not: something has just come.
    pub(crate) fn lie_down(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence in `wake`: either the owner sees the parcel here, or the one who put
        // it there sees the flag.
        fence(Ordering::SeqCst);
        if self.is_empty() {
            return true;
        }
        self.get_up();
        false
    }

    /// The owner is awake and will look into its inbox by itself.
    pub(crate) fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Wakes the owner if it sleeps; to be called once after a turn's parcels were put in.
    /// Says whether it was woken.
    pub fn wake(&self) -> bool {
        fence(Ordering::SeqCst); // pairs with the one in `lie_down`
        if !self.asleep.load(Ordering::Relaxed) || !self.asleep.swap(false, Ordering::Relaxed) {
            return false;
        }
        if let Some(waker) = &self.waker {
            // It fails only if the eventfd is gone, and with it the owner.
            let _ = waker.wake();
        }
        true
    }

    fn put(&self, bytes: &[u8], parcel: impl FnOnce(Buffer) -> Parcel<L>) -> bool {
        let unused = match bytes.len() {
            0..=SMALL_BYTES => self.small.take(),
            _ if bytes.len() <= LARGE_BYTES => self.large.take(),
            _ => None,
        };
        let Some(mut buffer) = unused else {
            return false;
        };
        buffer[..bytes.len()].copy_from_slice(bytes);
        let buffer = Buffer {
            bytes: buffer,
            len: bytes.len(),
        };
        match self.queue.push(parcel(buffer)) {
            Ok(()) => true,
            Err(Parcel::Message { bytes, .. } | Parcel::Send { bytes, .. }) => {
                self.give_back(bytes);
                false
            }
            Err(_) => unreachable!("only parcels with octets are put"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ListenerId, Transport};
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn flow() -> Flow {
        let address = "192.0.2.1:5060".parse().expect("an address");
        Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            local: address,
            peer: address,
            conn: None,
        }
    }

    proptest! {
        /// Against a deque: order kept, full exactly when a bound is reached, buffers never lost.
        #[test]
        fn agrees_with_a_deque(ops in prop::collection::vec((0_u8..5, 0_usize..70_000), 1..200)) {
            let inbox = Inbox::<u32>::new(8, 2, None);
            let mut model: VecDeque<(Option<u32>, usize)> = VecDeque::new();
            for (op, len) in ops {
                match op {
                    0 => {
                        let fits = model.len() < 8;
                        let from = ShardId(1);
                        let letter = len as u32;
                        prop_assert_eq!(inbox.push(Parcel::Letter { from, letter }), fits);
                        if fits {
                            model.push_back((Some(letter), 0));
                        }
                    }
                    1 | 2 => {
                        let len = if op == 1 { len % SMALL_BYTES } else { len };
                        let large = model.iter().filter(|m| m.1 > SMALL_BYTES).count();
                        let fits = model.len() < 8
                            && len <= LARGE_BYTES
                            && (len <= SMALL_BYTES || large < 2);
                        let bytes = vec![len as u8; len];
                        prop_assert_eq!(inbox.hand_over(ShardId(1), &flow(), Time(5), &bytes), fits);
                        if fits {
                            model.push_back((None, len));
                        }
                    }
                    _ => match (inbox.pop(), model.pop_front()) {
                        (Some(Parcel::Letter { letter, .. }), Some((Some(want), _))) => {
                            prop_assert_eq!(letter, want);
                        }
                        (Some(Parcel::Message { bytes, received, .. }), Some((None, len))) => {
                            prop_assert_eq!((received, bytes.bytes().len()), (Time(5), len));
                            prop_assert!(bytes.bytes().iter().all(|&b| b == len as u8));
                            inbox.give_back(bytes);
                        }
                        (None, None) => {}
                        (got, want) => prop_assert!(false, "{:?} for {:?}", got, want),
                    },
                }
                prop_assert_eq!(inbox.len(), model.len());
            }
        }
    }

    #[test]
    fn a_sleeper_is_woken_once_and_never_lies_down_on_a_parcel() {
        let inbox = Inbox::<u32>::new(4, 1, None);
        assert!(!inbox.wake(), "it is awake");
        assert!(inbox.lie_down());
        let from = ShardId(0);
        assert!(inbox.push(Parcel::Letter { from, letter: 1 }));
        assert_eq!((inbox.wake(), inbox.wake()), (true, false));
        assert!(!inbox.lie_down(), "something is there");
        assert!(!inbox.wake(), "it did not lie down");
    }

    #[test]
    #[expect(clippy::disallowed_methods)] // two threads are what is tested
    fn no_wake_is_lost_between_threads() {
        const LETTERS: u32 = 20_000;
        let poll = mio::Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        let inbox = std::sync::Arc::new(Inbox::<u32>::new(16, 1, Some(waker)));
        let sender = inbox.clone();
        let thread = std::thread::spawn(move || {
            for letter in 0..LETTERS {
                let from = ShardId(0);
                while !sender.push(Parcel::Letter { from, letter }) {
                    std::thread::yield_now();
                }
                sender.wake();
            }
        });
        let mut poll = poll;
        let mut events = mio::Events::with_capacity(4);
        let mut next = 0;
        while next < LETTERS {
            if inbox.lie_down() {
                // A lost wake would leave this waiting for its whole time.
                let limit = Some(std::time::Duration::from_secs(20));
                poll.poll(&mut events, limit).expect("polled");
                inbox.get_up();
                assert!(!events.is_empty(), "a wake was lost at {next}");
            }
            while let Some(Parcel::Letter { letter, .. }) = inbox.pop() {
                assert_eq!(letter, next);
                next += 1;
            }
        }
        thread.join().expect("the sender ends");
    }
}
