//! The kernel's own floor: what the same datagrams cost with nothing in between.
//!
//! ```text
//!   peer's core:      feed ───64───▶                             ◀───64─── drain
//!   measured core:                   recvmmsg ─(nothing)─ sendmmsg
//! ```
//! One thread on the core to be measured takes batches and sends batches, as a router does, and
//! does nothing else; a peer on another core provides and takes them in step. Only the CPU time of
//! the measured thread within its system calls counts (the scheduler's run time, exact), so that
//! neither its waiting nor what else runs on the machine is in it. On loopback a send carries the
//! receiver's softirq, so a send costs several times a receive.
//!
//! Sends are measured in three ways. *Still*: the peer takes the datagrams only when all are sent,
//! so that nothing is charged to the sender but the send. *Live*: the peer sleeps until the first of
//! them comes and takes them while they are sent: its wake-up and the contention for the socket are
//! charged to the sender. *Spinning*: the peer takes them while they are sent and never sleeps. The
//! floor that a router is to be held against is the one whose peer waits as the router's peers did.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::load::batch::{BATCH, Receiver, Sender};
use crate::load::ports::widen;
use crate::load::thread::{cpu, pin};
use crate::load::{MessageBytes, Sizes};

/// The lengths of the datagrams of a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallSizes {
    /// What a router receives for a call, in order.
    pub received: Vec<usize>,
    /// What it sends for it, in order.
    pub sent: Vec<usize>,
}

impl Default for CallSizes {
    /// A call with SDP through a router that answers 100 and stays in the route: 6 in, 7 out.
    fn default() -> CallSizes {
        CallSizes {
            received: vec![870, 430, 860, 480, 480, 330],
            sent: vec![330, 1010, 480, 900, 470, 470, 280],
        }
    }
}

impl CallSizes {
    /// The sizes that a run's calls had: what the generator sent, a router received.
    #[must_use]
    pub fn of(sizes: &Sizes) -> CallSizes {
        let in_order = |bytes: &MessageBytes| bytes.in_order().collect();
        CallSizes {
            received: in_order(&sizes.sent),
            sent: in_order(&sizes.received),
        }
    }
}

/// CPU time per datagram or call, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// The median of nine portions.
    pub median_ns: f64,
    /// The cheapest portion.
    pub min_ns: f64,
    /// The dearest portion.
    pub max_ns: f64,
}

/// What segmented sends cost.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Segmented {
    /// Datagrams that one send is cut into.
    pub segments: usize,
    /// For each of them.
    pub cost: Cost,
}

/// The floor of one core.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Floor {
    /// The core.
    pub core: usize,
    /// Where its peer ran.
    pub peer_core: usize,
    /// Datagrams of each measurement.
    pub datagrams: u64,
    /// The lengths.
    pub sizes: CallSizes,
    /// A datagram received, `recvmmsg` of 64.
    pub receive: Cost,
    /// A datagram sent, `sendmmsg` of 64.
    pub send: Cost,
    /// A datagram received and sent on.
    pub both: Cost,
    /// A datagram sent, several in one send (`UDP_SEGMENT`), to a receiver that knows nothing of it.
    pub segmented: Vec<Segmented>,
    /// A call: all its datagrams received and sent, in batches of several calls, to a still peer.
    pub call: Cost,
    /// A datagram sent, `sendmmsg` of 64, to a live peer.
    #[serde(default)]
    pub send_live: Cost,
    /// A call with a live peer: what a router is to be held against whose peers sleep.
    #[serde(default)]
    pub call_live: Cost,
    /// A call with a spinning peer: what a router is to be held against whose peers never sleep.
    #[serde(default)]
    pub call_spinning: Cost,
}

/// Measures the floor of `core`, with a peer on `peer_core`, by so many datagrams of each kind.
///
/// # Errors
/// The lengths are no datagrams', a core or a socket is not to be had, or datagrams were lost.
pub fn measure(
    core: usize,
    peer_core: usize,
    sizes: &CallSizes,
    datagrams: u64,
) -> io::Result<Floor> {
    check(sizes)?;
    let step = Arc::new(Step::default());
    let (peer, server_socket, sink) = Peer::open(sizes)?;
    let (peer_step, measured_step) = (step.clone(), step.clone());
    let peer = std::thread::Builder::new()
        .name("floor-peer".to_owned())
        .spawn(move || peer.serve(peer_core, &peer_step))?;
    let sizes = sizes.clone();
    let measured = std::thread::Builder::new()
        .name("floor".to_owned())
        .spawn(move || {
            let result = pin(core).and_then(|()| {
                let server = Server::new(server_socket, sink, &measured_step);
                server.measure(core, peer_core, sizes, datagrams)
            });
            measured_step.end();
            result
        })?;
    let failed = |_| io::Error::other("a thread of the measurement failed");
    let floor = measured.join().map_err(failed)?;
    peer.join().map_err(failed)??;
    floor
}

fn check(sizes: &CallSizes) -> io::Result<()> {
    const BYTES_MAX: usize = 1472;
    let all = || sizes.received.iter().chain(&sizes.sent);
    let is_sound = !sizes.received.is_empty()
        && !sizes.sent.is_empty()
        && sizes.received.len() <= BATCH
        && sizes.sent.len() <= BATCH
        && all().all(|bytes| (1..=BYTES_MAX).contains(bytes));
    if is_sound {
        return Ok(());
    }
    let what = "a call has 1 to 64 datagrams each way, each of 1 to 1472 octets";
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// The two threads go in step: one asks, the other answers by saying that it is done.
#[derive(Debug, Default)]
struct Step {
    /// What is to be done and the number of the request: written by the measured thread.
    asked: AtomicU64,
    /// The number of the last request that is done: written by the peer.
    done: AtomicU64,
}

/// A request: what (2 bits), how (2 bits), how many (12 bits), and its number above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    /// Send so many datagrams; of the calls' sizes, or of their mean.
    Feed { count: usize, is_mean: bool },
    /// Take so many datagrams.
    Drain { count: usize },
    /// Take so many datagrams as they come, sleeping in between or not.
    Watch { count: usize, spins: bool },
    /// Go.
    End,
}

impl Ask {
    fn code(self) -> u64 {
        match self {
            Ask::Feed { count, is_mean } => (count as u64) << 4 | u64::from(is_mean) << 2,
            Ask::Drain { count } => (count as u64) << 4 | 1,
            Ask::Watch { count, spins } => (count as u64) << 4 | u64::from(spins) << 2 | 3,
            Ask::End => 2,
        }
    }

    fn read(code: u64) -> Ask {
        let count = (code >> 4 & 0xfff) as usize;
        match code & 3 {
            0 => Ask::Feed {
                count,
                is_mean: code & 4 != 0,
            },
            1 => Ask::Drain { count },
            3 => Ask::Watch {
                count,
                spins: code & 4 != 0,
            },
            _ => Ask::End,
        }
    }
}

impl Step {
    /// Asks the peer for something and waits until it is done.
    fn ask(&self, ask: Ask) {
        let number = (self.asked.load(Ordering::Relaxed) >> 16) + 1;
        // Release: pairs with the peer's acquire of `asked`.
        self.asked
            .store(number << 16 | ask.code(), Ordering::Release);
        // Acquire: pairs with the peer's release of `done`.
        while ask != Ask::End && self.done.load(Ordering::Acquire) != number {
            std::thread::yield_now();
        }
    }

    fn end(&self) {
        self.ask(Ask::End);
    }

    /// Waits for the next request after `last`.
    fn next(&self, last: u64) -> (u64, Ask) {
        loop {
            let asked = self.asked.load(Ordering::Acquire);
            if asked >> 16 != last {
                return (asked >> 16, Ask::read(asked));
            }
            std::thread::yield_now();
        }
    }
}

/// Who sends to the measured thread and takes what it sends.
struct Peer {
    feed: UdpSocket,
    sink: UdpSocket,
    server: SocketAddr,
    received: Vec<usize>,
    mean: usize,
}

impl Peer {
    /// The peer, the socket to be measured, and where that is to send to.
    fn open(sizes: &CallSizes) -> io::Result<(Peer, UdpSocket, SocketAddr)> {
        let server = socket()?;
        let peer = Peer {
            feed: socket()?,
            sink: socket()?,
            server: server.local_addr()?,
            received: sizes.received.clone(),
            mean: mean(&sizes.received),
        };
        let sink = peer.sink.local_addr()?;
        Ok((peer, server, sink))
    }

    fn serve(self, core: usize, step: &Step) -> io::Result<()> {
        // Without its core the peer still serves, or the measured thread would wait for ever.
        let pinned = pin(core);
        let (mut sender, mut receiver) = (Sender::new(), Receiver::new());
        let mut last = 0;
        loop {
            let (number, ask) = step.next(last);
            last = number;
            match ask {
                Ask::End => return pinned,
                Ask::Feed { count, is_mean } => {
                    for at in 0..count {
                        let bytes = match is_mean {
                            true => self.mean,
                            false => self.received[at % self.received.len()],
                        };
                        sender.push(self.server, |out| out.resize(out.len() + bytes, b'.'));
                    }
                    sender.flush(self.feed.as_raw_fd());
                }
                Ask::Drain { count } => {
                    let mut left = count;
                    while left > 0 {
                        match receiver.receive(self.sink.as_raw_fd(), left) {
                            Ok(taken) => left -= taken,
                            // Nothing more is here: what is missing was lost.
                            Err(_) => break,
                        }
                    }
                }
                // Said before it is done: who asked goes on, and finds the peer waiting.
                Ask::Watch { count, spins } => {
                    step.done.store(number, Ordering::Release);
                    self.watch(count, spins, &mut receiver);
                    continue;
                }
            }
            step.done.store(number, Ordering::Release);
        }
    }

    /// Takes datagrams as they come. Nothing for a while: what is missing was lost.
    fn watch(&self, count: usize, spins: bool, receiver: &mut Receiver) {
        const PATIENCE: Duration = Duration::from_millis(50);
        let mut left = count;
        let mut last = Instant::now();
        while left > 0 {
            if spins {
                if last.elapsed() > PATIENCE {
                    return;
                }
            } else {
                let mut fds = [PollFd::new(self.sink.as_fd(), PollFlags::POLLIN)];
                if ppoll(&mut fds, Some(PATIENCE.into()), None).unwrap_or(0) == 0 {
                    return;
                }
            }
            if let Ok(taken) = receiver.receive(self.sink.as_raw_fd(), left) {
                left -= taken;
                last = Instant::now();
            }
        }
    }
}

/// The measured thread.
struct Server<'s> {
    socket: UdpSocket,
    sink: SocketAddr,
    step: &'s Step,
    receiver: Receiver,
    sender: Sender,
    segmenting: Sender,
    /// What reading the clock twice costs.
    clock_ns: f64,
}

/// Portions of a measurement, for the spread.
const PORTIONS: usize = 9;

impl<'s> Server<'s> {
    fn new(socket: UdpSocket, sink: SocketAddr, step: &'s Step) -> Server<'s> {
        let mut clocks: Vec<f64> = (0..1001).map(|_| timed(|| {}).1).collect();
        clocks.sort_by(f64::total_cmp);
        Server {
            socket,
            sink,
            step,
            receiver: Receiver::new(),
            sender: Sender::new(),
            segmenting: Sender::segmented(),
            clock_ns: clocks[clocks.len() / 2],
        }
    }

    fn measure(
        mut self,
        core: usize,
        peer_core: usize,
        sizes: CallSizes,
        datagrams: u64,
    ) -> io::Result<Floor> {
        let rounds = (datagrams as usize / BATCH / PORTIONS).max(1);
        let sent = mean(&sizes.sent);
        // Once for the caches and the allocator of the kernel.
        self.both(rounds.min(100), sent)?;
        let receive = self.receive(rounds)?;
        let send = self.send(rounds, sent, |count| Ask::Drain { count });
        let send_live = self.send(rounds, sent, live);
        let both = self.both(rounds, sent)?;
        let mut segmented = Vec::new();
        for segments in [1, 2, 4, 8] {
            let cost = self.segmented(rounds, sent, segments);
            segmented.push(Segmented { segments, cost });
        }
        let call = self.call(rounds, &sizes, |count| Ask::Drain { count })?;
        let call_live = self.call(rounds, &sizes, live)?;
        let call_spinning = self.call(rounds, &sizes, spinning)?;
        Ok(Floor {
            core,
            peer_core,
            datagrams,
            sizes,
            receive,
            send,
            both,
            segmented,
            call,
            send_live,
            call_live,
            call_spinning,
        })
    }

    fn receive(&mut self, rounds: usize) -> io::Result<Cost> {
        self.portions(rounds, BATCH, |server| {
            let (count, is_mean) = (BATCH, true);
            server.step.ask(Ask::Feed { count, is_mean });
            let (taken, ns) = timed(|| server.take(BATCH));
            taken.map(|()| ns)
        })
    }

    /// Sends to a peer that is asked before, or after, by what it does with them.
    fn send(&mut self, rounds: usize, bytes: usize, ask: fn(usize) -> Ask) -> Cost {
        let ask = ask(BATCH);
        let cost = self.portions(rounds, BATCH, |server| {
            let is_live = matches!(ask, Ask::Watch { .. });
            if is_live {
                server.step.ask(ask);
            }
            let ns = server.put_mean(bytes);
            if !is_live {
                server.step.ask(ask);
            }
            Ok(ns)
        });
        cost.unwrap_or_default()
    }

    /// Writes a batch, and then sends it: only that is measured.
    fn put_mean(&mut self, bytes: usize) -> f64 {
        for _ in 0..BATCH {
            let sink = self.sink;
            self.sender
                .push(sink, |out| out.resize(out.len() + bytes, b'.'));
        }
        let fd = self.socket.as_raw_fd();
        timed(|| self.sender.flush(fd)).1
    }

    fn both(&mut self, rounds: usize, bytes: usize) -> io::Result<Cost> {
        self.portions(rounds, BATCH, |server| {
            let (count, is_mean) = (BATCH, true);
            server.step.ask(Ask::Feed { count, is_mean });
            let (taken, in_ns) = timed(|| server.take(BATCH));
            taken?;
            let out_ns = server.put_mean(bytes);
            server.step.ask(Ask::Drain { count: BATCH });
            Ok(in_ns + out_ns - server.clock_ns)
        })
    }

    fn segmented(&mut self, rounds: usize, bytes: usize, segments: usize) -> Cost {
        let cost = self.portions(rounds, BATCH, |server| {
            for _ in 0..BATCH / segments {
                let all = bytes * segments;
                let sink = server.sink;
                server
                    .segmenting
                    .push(sink, |out| out.resize(out.len() + all, b'.'));
            }
            let fd = server.socket.as_raw_fd();
            let (_, ns) = timed(|| server.segmenting.flush_segmented(fd, bytes as u16));
            server.step.ask(Ask::Drain { count: BATCH });
            Ok(ns)
        });
        cost.unwrap_or_default()
    }

    fn call(
        &mut self,
        rounds: usize,
        sizes: &CallSizes,
        ask: fn(usize) -> Ask,
    ) -> io::Result<Cost> {
        let calls = BATCH / sizes.received.len().max(sizes.sent.len());
        let (taken, put) = (calls * sizes.received.len(), calls * sizes.sent.len());
        let ask = ask(put);
        let is_live = matches!(ask, Ask::Watch { .. });
        self.portions(rounds, calls, |server| {
            let (count, is_mean) = (taken, false);
            server.step.ask(Ask::Feed { count, is_mean });
            let (result, in_ns) = timed(|| server.take(taken));
            result?;
            if is_live {
                server.step.ask(ask);
            }
            for at in 0..put {
                let bytes = sizes.sent[at % sizes.sent.len()];
                let sink = server.sink;
                server
                    .sender
                    .push(sink, |out| out.resize(out.len() + bytes, b'.'));
            }
            let fd = server.socket.as_raw_fd();
            let (_, out_ns) = timed(|| server.sender.flush(fd));
            if !is_live {
                server.step.ask(ask);
            }
            Ok(in_ns + out_ns - server.clock_ns)
        })
    }

    fn take(&mut self, count: usize) -> io::Result<()> {
        let taken = self.receiver.receive(self.socket.as_raw_fd(), count)?;
        if taken == count {
            return Ok(());
        }
        let what = format!("only {taken} of {count} datagrams came: the receive buffer is small");
        Err(io::Error::other(what))
    }

    /// Runs all rounds of a measurement; each is of `units` datagrams or calls.
    fn portions(
        &mut self,
        rounds: usize,
        units: usize,
        mut round: impl FnMut(&mut Self) -> io::Result<f64>,
    ) -> io::Result<Cost> {
        let mut costs = [0.0; PORTIONS];
        for cost in &mut costs {
            for _ in 0..rounds {
                *cost += round(self)? - self.clock_ns;
            }
            *cost /= (rounds * units) as f64;
        }
        costs.sort_by(f64::total_cmp);
        Ok(Cost {
            median_ns: costs[PORTIONS / 2],
            min_ns: costs[0],
            max_ns: costs[PORTIONS - 1],
        })
    }
}

/// What a peer is asked that sleeps until datagrams come.
fn live(count: usize) -> Ask {
    Ask::Watch {
        count,
        spins: false,
    }
}

/// What a peer is asked that never sleeps.
fn spinning(count: usize) -> Ask {
    Ask::Watch { count, spins: true }
}

/// The CPU time of something, in nanoseconds, with that of reading the clock.
fn timed<T>(what: impl FnOnce() -> T) -> (T, f64) {
    let before = cpu();
    let result = what();
    (result, (cpu() - before).as_nanos() as f64)
}

fn mean(sizes: &[usize]) -> usize {
    sizes.iter().sum::<usize>() / sizes.len()
}

/// A datagram socket on loopback with room for a batch and more.
fn socket() -> io::Result<UdpSocket> {
    const BUFFER_BYTES: usize = 4 << 20;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    widen(&socket, BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_the_peer_are_read_as_they_were_written() {
        for ask in [
            Ask::Feed {
                count: 64,
                is_mean: true,
            },
            Ask::Feed {
                count: 54,
                is_mean: false,
            },
            Ask::Drain { count: 63 },
            live(64),
            spinning(64),
            Ask::End,
        ] {
            assert_eq!(Ask::read(7 << 16 | ask.code()), ask);
        }
    }

    #[test]
    fn all_costs_are_measured() {
        let sizes = CallSizes::default();
        let floor = measure(0, 0, &sizes, 64 * 9 * 4).unwrap();
        let costs = [
            floor.receive,
            floor.send,
            floor.both,
            floor.call,
            floor.send_live,
            floor.call_live,
            floor.call_spinning,
        ];
        for cost in costs
            .into_iter()
            .chain(floor.segmented.iter().map(|s| s.cost))
        {
            assert!(
                cost.min_ns > 0.0,
                "a system call costs something: {floor:?}"
            );
            assert!(cost.min_ns <= cost.median_ns && cost.median_ns <= cost.max_ns);
        }
        let segments: Vec<usize> = floor.segmented.iter().map(|s| s.segments).collect();
        assert_eq!(segments, [1, 2, 4, 8]);
        // 6 in and 7 out cost more than one in and one out, whatever else the machine does.
        assert!(floor.call.min_ns > floor.both.min_ns, "{floor:?}");
    }

    #[test]
    fn lengths_that_are_no_datagrams_are_refused() {
        for (received, sent) in [(vec![], vec![1]), (vec![1473], vec![1]), (vec![1], vec![0])] {
            assert!(measure(0, 0, &CallSizes { received, sent }, 1).is_err());
        }
    }
}
