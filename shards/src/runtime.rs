//! All shards of a process: started, told, asked, ended.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{ListenerId, ShardId, Transport};
use crossbeam_queue::ArrayQueue;
use mio::{Poll, Waker};

use crate::clock::Clock;
use crate::config::RuntimeConfig;
use crate::handler::{Brought, Handler};
use crate::in_hand::take_offending;
use crate::inbox::Inbox;
use crate::limits::Limits;
use crate::outbox::{Links, Mail, Outbox, Touched};
use crate::ring::{RecordReader, RecordRing};
use crate::shard::{INBOX_TOKEN, Sockets, Station, populate};
use crate::stats::ShardStats;
use crate::steer::{Gate, Steering, Unsteered};
use crate::tcp::{self, StreamListener};
use crate::udp::{self, BufferReport};

/// How many commands may wait for a shard.
const COMMANDS: usize = 64;

/// What control tells a shard.
pub(crate) enum Command<S> {
    Snapshot(Arc<S>),
    /// Take no new calls; end when all shards are idle or after this time.
    Drain(Duration),
    Stop,
}

/// What one shard and control share.
pub(crate) struct Shared<H: Handler> {
    pub(crate) commands: ArrayQueue<Command<H::Snapshot>>,
    pub(crate) notices: Arc<ArrayQueue<H::Notice>>,
    /// Worlds on their way back to be freed.
    pub(crate) retired: ArrayQueue<Arc<H::Snapshot>>,
    /// How many snapshots the shard has taken. Written by the shard, read by control.
    pub(crate) taken: AtomicU64,
    /// Whether the shard, draining, has nothing to finish. Written by the shard, read by all.
    pub(crate) is_idle: AtomicBool,
    /// Whether the thread has ended.
    pub(crate) is_finished: AtomicBool,
    /// What it ended of, if it failed. Written by the shard, read by control.
    pub(crate) failure: OnceLock<ShardFailure>,
}

/// A shard whose thread panicked: a belief of ours was wrong. The other shards end in order, with
/// their last records; the process is to be started anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardFailure {
    /// Which shard.
    pub shard: ShardId,
    /// What the assertion said.
    pub message: String,
    /// The message that was being handled, if one was.
    pub offending: Option<Vec<u8>>,
}

impl fmt::Display for ShardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} failed: {}", self.shard.0, self.message)?;
        match &self.offending {
            Some(bytes) => write!(f, "; it was handling {} octets", bytes.len()),
            None => Ok(()),
        }
    }
}

/// What cannot be started.
#[derive(Debug)]
pub enum StartError {
    /// No shard or no listener was asked for.
    Nothing(&'static str),
    /// A listener cannot be opened.
    Listener {
        /// Which address.
        address: SocketAddr,
        /// Over which transport.
        transport: Transport,
        /// Why.
        error: io::Error,
    },
    /// The kernel is to steer and does not.
    Steering(Unsteered),
    /// The event queue of a shard, or its thread, cannot be made.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Nothing(what) => write!(f, "nothing to start: no {what}"),
            StartError::Listener {
                address,
                transport,
                error,
            } => {
                write!(f, "cannot listen on {transport} {address}: {error}")
            }
            StartError::Steering(why) => write!(f, "the kernel does not steer: {why}"),
            StartError::Thread(error) => write!(f, "cannot start a shard: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// The shards, running.
pub struct Running<H: Handler> {
    pub(crate) shards: Vec<Arc<Shared<H>>>,
    pub(crate) inboxes: Arc<[Inbox<H::Letter>]>,
    threads: Vec<JoinHandle<()>>,
    rings: Vec<Arc<RecordRing>>,
    stats: Arc<[Arc<ShardStats>]>,
    buffers: Vec<BufferReport>,
    addresses: Vec<SocketAddr>,
    steering: Arc<Steering>,
    published: AtomicU64,
}

/// Starts one thread a shard, and opens the listeners as soon as the shards have their memory: with
/// [`Limits::huge_pages`] that takes seconds, in which what came would grow old in the sockets. When
/// this returns, what comes is served. `make` makes each shard's handler, here and in the order of
/// the shards.
///
/// # Errors
/// What cannot be opened; nothing is left running.
pub fn start<H>(
    config: RuntimeConfig,
    mut make: impl FnMut(ShardId) -> H,
) -> Result<Running<H>, StartError>
where
    H: Handler + Send + 'static,
{
    let (mut running, polls) = prepare(&config)?;
    let all: Arc<[Arc<Shared<H>>]> = running.shards.clone().into();
    let clock = Clock::new();
    let (is_making, made) = mpsc::channel::<Infallible>();
    let mut doors = Vec::with_capacity(polls.len());
    for (at, poll) in polls.into_iter().enumerate() {
        let cast = Cast {
            handler: make(ShardId(at as u16)),
            links: running.links(at, config.seed),
            poll,
            clock,
            limits: config.limits.clone(),
            cpu: config.cpus[at],
            inboxes: running.inboxes.clone(),
            all: all.clone(),
        };
        let (door, opened) = mpsc::sync_channel(1);
        doors.push(door);
        let is_making = is_making.clone();
        let name = format!("shard-{at}");
        let thread = std::thread::Builder::new().name(name);
        match thread.spawn(move || cast.live(is_making, &opened)) {
            Ok(thread) => running.threads.push(thread),
            Err(error) => return Err(running.give_up(doors, StartError::Thread(error))),
        }
    }
    drop(is_making);
    // Nothing is ever sent: this ends when the last shard has its memory.
    let _ = made.recv();
    match running.open(&config) {
        Ok(opened) => {
            for (door, opened) in doors.iter().zip(opened) {
                // A shard that failed meanwhile has said so.
                let _ = door.send(opened);
            }
            Ok(running)
        }
        Err(error) => Err(running.give_up(doors, error)),
    }
}

/// What a shard's thread begins with.
struct Cast<H: Handler> {
    handler: H,
    links: Links<H>,
    poll: Poll,
    clock: Clock,
    limits: Limits,
    cpu: Option<usize>,
    inboxes: Arc<[Inbox<H::Letter>]>,
    all: Arc<[Arc<Shared<H>>]>,
}

impl<H: Handler> Cast<H> {
    /// All that a shard's thread does. It lets go of `is_making` as soon as it has its memory.
    fn live(self, is_making: Sender<Infallible>, opened: &Receiver<Opened>) {
        let id = self.links.shard;
        let finished = Finished(self.all[usize::from(id.0)].clone());
        let pinned = self.cpu.is_some_and(pin);
        // Made here, after the pin: the memory is first touched on the shard's own node.
        let mut out = Outbox::new(&self.limits, self.links);
        if self.limits.huge_pages {
            populate(&self.handler, &out);
        }
        drop(is_making);
        // Without listeners there is nothing to run for.
        let Ok(Opened { sockets, gate }) = opened.recv() else {
            return;
        };
        out.set_gate(gate);
        let station = Station::new(
            id,
            self.handler,
            out,
            sockets,
            self.poll,
            self.clock,
            self.limits,
            self.inboxes,
            self.all,
            pinned,
        );
        // Nothing of the station is looked at after a panic.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| station.run())) {
            let _ = finished.0.failure.set(failure(id, &*panic));
            drop(finished);
            resume_unwind(panic);
        }
    }
}

/// What a shard gets when its listeners are open.
pub(crate) struct Opened {
    pub(crate) sockets: Sockets,
    pub(crate) gate: Option<Gate>,
}

/// Makes what the shards and control share, and the event queue of each. No shard runs yet, and no
/// listener is open, but the addresses were free a moment ago.
pub(crate) fn prepare<H: Handler>(
    config: &RuntimeConfig,
) -> Result<(Running<H>, Vec<Poll>), StartError> {
    let count = config.cpus.len();
    if count == 0 || count > ShardId::COUNT_MAX {
        return Err(StartError::Nothing("shard"));
    }
    if config.listeners.is_empty() {
        return Err(StartError::Nothing("listener"));
    }
    probe(config)?;
    let (polls, inboxes) = doors(config, count)?;
    let limits = &config.limits;
    let ring = || Arc::new(RecordRing::new(limits.records, limits.record_bytes));
    let running = Running {
        shards: (0..count).map(|_| Arc::new(shared(limits))).collect(),
        inboxes: inboxes.into(),
        threads: Vec::with_capacity(count),
        rings: (0..count).map(|_| ring()).collect(),
        stats: (0..count)
            .map(|_| ShardStats::new(&config.tables()))
            .collect(),
        buffers: Vec::new(),
        addresses: Vec::new(),
        steering: Arc::default(),
        published: AtomicU64::new(0),
    };
    Ok((running, polls))
}

/// The event queues of all shards, and the inboxes that wake them.
fn doors<L>(
    config: &RuntimeConfig,
    count: usize,
) -> Result<(Vec<Poll>, Vec<Inbox<L>>), StartError> {
    let mut polls = Vec::with_capacity(count);
    let mut inboxes = Vec::with_capacity(count);
    for _ in 0..count {
        let poll = Poll::new().map_err(StartError::Thread)?;
        let waker = Waker::new(poll.registry(), INBOX_TOKEN).map_err(StartError::Thread)?;
        let limits = &config.limits;
        inboxes.push(Inbox::new(limits.inbox, limits.inbox_large, Some(waker)));
        polls.push(poll);
    }
    Ok((polls, inboxes))
}

/// Says that a thread has ended, also if it panicked.
struct Finished<H: Handler>(Arc<Shared<H>>);

impl<H: Handler> Drop for Finished<H> {
    fn drop(&mut self) {
        self.0.is_idle.store(true, Ordering::Release);
        self.0.is_finished.store(true, Ordering::Release);
    }
}

#[cold]
fn failure(shard: ShardId, panic: &(dyn Any + Send)) -> ShardFailure {
    let said = panic.downcast_ref::<&str>().map(|&said| said.to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
    ShardFailure {
        shard,
        message: said.unwrap_or_else(|| "it did not say why".to_owned()),
        offending: take_offending(),
    }
}

fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}

fn shared<H: Handler>(limits: &Limits) -> Shared<H> {
    Shared {
        commands: ArrayQueue::new(COMMANDS),
        notices: Arc::new(ArrayQueue::new(limits.notices.max(1))),
        retired: ArrayQueue::new(COMMANDS),
        taken: AtomicU64::new(0),
        is_idle: AtomicBool::new(false),
        is_finished: AtomicBool::new(false),
        failure: OnceLock::new(),
    }
}

/// Fails if another process has one of the addresses: the system would let it share them with us.
fn probe(config: &RuntimeConfig) -> Result<(), StartError> {
    for spec in &config.listeners {
        let free = match spec.transport {
            Transport::Udp => udp::probe(spec.address),
            Transport::Tcp => tcp::probe(spec.address),
        };
        free.map_err(|error| StartError::Listener {
            address: spec.address,
            transport: spec.transport,
            error,
        })?;
    }
    Ok(())
}

type Listening = (Vec<Sockets>, Vec<BufferReport>, Vec<SocketAddr>);

/// Opens a socket of every listener for every shard. A port 0 is chosen by the first and shared.
fn open(config: &RuntimeConfig, count: usize) -> Result<Listening, StartError> {
    let mut shards: Vec<Sockets> = (0..count).map(|_| Sockets::default()).collect();
    let mut reports = Vec::new();
    let mut addresses = Vec::new();
    for (at, spec) in config.listeners.iter().enumerate() {
        let listener = ListenerId(
            u8::try_from(at).map_err(|_| StartError::Nothing("room for so many listeners"))?,
        );
        let mut address = spec.address;
        for (shard, sockets) in shards.iter_mut().enumerate() {
            let failed = |error| StartError::Listener {
                address,
                transport: spec.transport,
                error,
            };
            match spec.transport {
                Transport::Udp => {
                    let asked = config.receive_buffer_bytes;
                    let (socket, got) = udp::bind(
                        address,
                        listener,
                        asked,
                        config.send_buffer_bytes,
                        &config.limits,
                    )
                    .map_err(failed)?;
                    address = socket.address;
                    reports.push(BufferReport {
                        shard: shard as u16,
                        listener,
                        asked,
                        got,
                    });
                    sockets.udp.push(socket);
                }
                Transport::Tcp => {
                    let socket: StreamListener = tcp::listen(address, listener).map_err(failed)?;
                    address = socket.address;
                    sockets.tcp.push(socket);
                }
            }
        }
        for sockets in &mut shards {
            sockets.addresses.push((spec.transport, address));
        }
        addresses.push(address);
    }
    Ok((shards, reports, addresses))
}

/// Has the kernel steer each listener's group of sockets, where that is wanted.
fn steer(config: &RuntimeConfig, shards: &[Sockets]) -> Result<Steering, StartError> {
    let groups: Vec<_> = (0..shards[0].udp.len())
        .map(|at| {
            let listener = usize::from(shards[0].udp[at].listener.0);
            let sockets = shards.iter().map(|sockets| sockets.udp[at].fd()).collect();
            (listener, sockets)
        })
        .collect();
    Steering::start(&config.steering, &groups).map_err(StartError::Steering)
}

impl<H: Handler> Running<H> {
    /// What the outbox of a shard is made of besides memory.
    pub(crate) fn links(&self, at: usize, seed: u64) -> Links<H> {
        let count = self.shards.len();
        Links {
            shard: ShardId(at as u16),
            shards: count as u16,
            seed,
            mail: Mail::Inboxes {
                all: self.inboxes.clone(),
                touched: Touched::new(count),
            },
            notices: self.shards[at].notices.clone(),
            records: self.rings[at].clone(),
            stats: self.stats[at].clone(),
        }
    }

    /// Opens the listeners for all shards, and has the kernel steer where that is wanted.
    pub(crate) fn open(&mut self, config: &RuntimeConfig) -> Result<Vec<Opened>, StartError> {
        let (mut sockets, buffers, addresses) = open(config, self.shards.len())?;
        let steering = steer(config, &sockets)?;
        if steering.by_kernel().is_ok() {
            for socket in sockets.iter_mut().flat_map(|sockets| &mut sockets.udp) {
                socket.brought = Brought::Steered;
            }
        }
        (self.buffers, self.addresses) = (buffers, addresses);
        let opened = sockets.into_iter().enumerate().map(|(at, sockets)| Opened {
            sockets,
            gate: steering.gate(at as u16),
        });
        let opened = opened.collect();
        self.steering = Arc::new(steering);
        Ok(opened)
    }

    /// Ends the shards that wait for their listeners: there will be none.
    fn give_up(self, doors: Vec<SyncSender<Opened>>, error: StartError) -> StartError {
        drop(doors);
        let _ = self.join();
        error
    }

    /// Hands a new snapshot to every shard. It takes effect on each between two messages.
    pub fn publish(&self, snapshot: Arc<H::Snapshot>) {
        self.published.fetch_add(1, Ordering::AcqRel);
        for at in 0..self.shards.len() {
            self.tell(at, || Command::Snapshot(snapshot.clone()));
        }
    }

    /// Whether every shard works by the last published snapshot.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        let published = self.published.load(Ordering::Acquire);
        self.shards
            .iter()
            .all(|shard| shard.taken.load(Ordering::Acquire) >= published)
    }

    /// The worlds that came back to be freed.
    #[must_use]
    pub fn retired_snapshots(&self) -> Vec<Arc<H::Snapshot>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            while let Some(snapshot) = shard.retired.pop() {
                all.push(snapshot);
            }
        }
        all
    }

    /// No new calls; the end when all shards are idle, or after `deadline`.
    pub fn drain(&self, deadline: Duration) {
        for at in 0..self.shards.len() {
            self.tell(at, || Command::Drain(deadline));
        }
    }

    /// The end, now: last records out.
    pub fn stop(&self) {
        for at in 0..self.shards.len() {
            self.tell(at, || Command::Stop);
        }
    }

    #[expect(clippy::disallowed_methods)] // a control thread may wait
    fn tell(&self, at: usize, command: impl Fn() -> Command<H::Snapshot>) {
        let shard = &self.shards[at];
        let mut command = command();
        // The queue is as long as nobody is impatient; a shard empties it once a turn. This is a
        // control thread, so it may wait.
        while let Err(back) = shard.commands.push(command) {
            if shard.is_finished.load(Ordering::Acquire) {
                return;
            }
            command = back;
            self.inboxes[at].wake();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inboxes[at].wake();
    }

    /// Whether all threads have ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for all threads, and says how many of them failed: a failed assertion ends its shard,
    /// and with it the process in order.
    #[must_use]
    pub fn join(self) -> usize {
        self.threads
            .into_iter()
            .map(JoinHandle::join)
            .filter(Result::is_err)
            .count()
    }

    /// The shards that failed so far, and of what. When there is one, the others end by themselves.
    #[must_use]
    pub fn failures(&self) -> Vec<ShardFailure> {
        let failed = |shard: &Arc<Shared<H>>| shard.failure.get().cloned();
        self.shards.iter().filter_map(failed).collect()
    }

    /// The pages of numbers, one entry a shard.
    #[must_use]
    pub fn stats(&self) -> Arc<[Arc<ShardStats>]> {
        self.stats.clone()
    }

    /// The next thing that a handler has to say.
    #[must_use]
    pub fn next_notice(&self) -> Option<(ShardId, H::Notice)> {
        self.shards.iter().enumerate().find_map(|(at, shard)| {
            shard
                .notices
                .pop()
                .map(|notice| (ShardId(at as u16), notice))
        })
    }

    /// The reading end of the record rings.
    #[must_use]
    pub fn records(&self) -> RecordReader {
        RecordReader::new(self.rings.clone())
    }

    /// The receive buffers that were asked for and granted.
    #[must_use]
    pub fn buffers(&self) -> &[BufferReport] {
        &self.buffers
    }

    /// Who brings datagrams to their shards.
    #[must_use]
    pub fn steering(&self) -> Arc<Steering> {
        self.steering.clone()
    }

    /// The listeners' addresses, in their order; a port 0 is what the system chose.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }
}

impl<H: Handler> fmt::Debug for Running<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
