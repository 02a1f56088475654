//! The control plane's loop: signals, reloads, notices, worlds that came back, the drain, the end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use route::{Judge, Snapshot};
use shards::steer::{Network, Steering, Unsteered};
use shards::{Handler, Running};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use crate::asker::{Asker, Askers};
use crate::caps::{self, Keeper, Watch};
use crate::cdr_writer::CdrWriter;
use crate::follow::Follower;
use crate::logs::{Plain, RateLimit};
use crate::node::Ended;
use crate::priority::let_all_go_first;
use crate::reload::{LoadError, Loaded};
use crate::service::Service;
use crate::view::{Phase, View};

/// How often the shards' notices and old worlds are fetched.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// What the end may take beyond the drain: last records and files.
const LAST_WORDS: Duration = Duration::from_secs(15);
/// How often held-back messages are reported, in ticks.
const REPORT_TICKS: u64 = 50;

/// Asks a node from inside the process to end, as a signal does from outside. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<(AtomicU32, Notify)>);

impl Asked {
    /// The first time: no new calls, and the end when the last one is over. Then: the end at once.
    pub fn end(&self) {
        self.0.0.fetch_add(1, Relaxed);
        self.0.1.notify_one();
    }

    async fn wait(&self) {
        while self.0.0.load(Relaxed) == 0 {
            self.0.1.notified().await;
        }
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The signals that a node obeys.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

/// What somebody wants of the node.
enum Wish {
    End,
    Reload,
    ReopenRecords,
}

impl Signals {
    /// From now on these signals do not end the process. Needs a tokio runtime around it.
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn wish(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hang_up.recv() => Wish::Reload,
            _ = self.user.recv() => Wish::ReopenRecords,
        }
    }
}

/// A world that was read and built, and how it differs from the running one in words.
type Built = Result<(Loaded, Vec<String>), LoadError>;

/// The configuration in force, and where the next one comes from.
#[derive(Debug)]
pub(crate) struct Tables {
    running: Loaded,
    file: Option<PathBuf>,
    /// A reload that is being read and built, off this thread.
    building: Option<Building>,
    /// Another was asked for meanwhile.
    is_asked_again: bool,
    /// The generation that the shards were given and have not all confirmed.
    unconfirmed: Option<u64>,
    /// Who waits for that.
    askers: Askers,
    /// Where what caps have used is kept.
    keeper: Keeper,
}

impl Tables {
    pub(crate) fn new(running: Loaded, file: Option<PathBuf>, keeper: Keeper) -> Tables {
        Tables {
            running,
            file,
            building: None,
            is_asked_again: false,
            unconfirmed: None,
            askers: Askers::default(),
            keeper,
        }
    }

    /// Whether one begins now or after the one that is being built.
    fn begin_reload(&mut self) -> bool {
        let Some(file) = self.file.clone() else {
            let why = "the running configuration came from no file";
            tracing::warn!("reload: {why}");
            self.askers.refuse(vec![why.to_owned()]);
            return false;
        };
        if self.building.is_some() {
            self.is_asked_again = true;
            return true;
        }
        self.askers.begin();
        tracing::info!(file = %file.display(), "reload: reading");
        let previous = self.running.clone();
        let building = Building::begin(move || {
            let generation = previous.snapshot.generation() + 1;
            let loaded = Loaded::from_file(&file, generation, Some(&previous))?;
            // Here, because it takes a look at every price of a deck that has changed.
            let changes = loaded.changes_from(&previous);
            Ok((loaded, changes))
        });
        match building {
            Ok(building) => self.building = Some(building),
            Err(error) => {
                let why = format!("no thread is to be had to read the configuration: {error}");
                tracing::error!("reload: {why}");
                self.askers.refuse(vec![why]);
            }
        }
        self.building.is_some()
    }

    /// Waits for the reload that is being built; for ever if there is none.
    async fn built(&mut self) -> Built {
        let Some(building) = &mut self.building else {
            return std::future::pending().await;
        };
        let built = (&mut building.outcome).await;
        let thread = self.building.take().map(|building| building.thread);
        match built {
            Ok(result) => result,
            // The thread fell, so its panic is this one's.
            Err(_) => match thread.map(JoinHandle::join) {
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                _ => unreachable!("a thread that ends well has told its outcome"),
            },
        }
    }
}

/// A world that is being read and built, on a thread of its own: it takes every other's turn last,
/// which those of a common pool could not take back afterwards.
#[derive(Debug)]
struct Building {
    thread: JoinHandle<()>,
    outcome: oneshot::Receiver<Built>,
}

impl Building {
    fn begin(work: impl FnOnce() -> Built + Send + 'static) -> io::Result<Building> {
        let (done, outcome) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("tables".to_owned())
            .spawn(move || {
                let_all_go_first();
                // Nobody hears it if the node has ended.
                let _ = done.send(work());
            })?;
        Ok(Building { thread, outcome })
    }
}

/// The control plane of a running node.
pub(crate) struct Plane<H: Handler> {
    running: Running<H>,
    view: Arc<View>,
    writer: CdrWriter,
    tables: Tables,
    drain: Duration,
    log: RateLimit,
    service: Service,
    /// Reloads that are asked for through the socket.
    asked: mpsc::Receiver<Asker>,
    follower: Follower,
    /// The shards' turns when the service manager's watchdog was fed last.
    turns_seen: Vec<u64>,
    judge: Judge,
    watch: Watch,
    ticks: u64,
}

impl<H> Plane<H>
where
    H: Handler<Snapshot = Snapshot> + Send + 'static,
    H::Notice: fmt::Display,
{
    pub(crate) fn new(
        running: Running<H>,
        view: Arc<View>,
        writer: CdrWriter,
        tables: Tables,
        drain: Duration,
        log: RateLimit,
        asked: mpsc::Receiver<Asker>,
    ) -> Plane<H> {
        Plane {
            running,
            view,
            writer,
            tables,
            drain,
            log,
            service: Service::new(),
            asked,
            follower: Follower::new(),
            turns_seen: Vec::new(),
            judge: Judge::new(),
            watch: Watch::default(),
            ticks: 0,
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    pub(crate) fn local_addresses(&self) -> Vec<SocketAddr> {
        self.running.local_addresses()
    }

    /// Runs until the shards have ended and the last record is written.
    pub(crate) async fn run(mut self, mut signals: Signals, asked: &Asked) -> Ended {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.running.is_finished() {
            tokio::select! {
                _ = tick.tick() => self.tick(),
                built = self.tables.built() => self.take(built),
                () = asked.wait() => self.end(),
                Some(asker) = self.asked.recv() => {
                    self.tables.askers.add(asker, self.tables.building.is_some());
                    self.reload();
                }
                wish = signals.wish() => match wish {
                    Wish::End => self.end(),
                    Wish::Reload => self.reload(),
                    Wish::ReopenRecords => {
                        tracing::info!("call records: the open file is finished, the next record begins another");
                        self.writer.reopen();
                    }
                },
            }
        }
        self.tick();
        self.finish()
    }

    fn reload(&mut self) {
        if self.tables.begin_reload() {
            self.service.reloading();
        }
    }

    fn say_ready(&self) {
        self.report_buffers();
        self.report_steering();
        self.report_shedding();
        let listeners: Vec<String> = (self.tables.running.config.listeners.iter())
            .zip(self.running.local_addresses())
            .map(|(listener, address)| format!("{} {address}", listener.transport))
            .collect();
        let (snapshot, shards) = (&self.tables.running.snapshot, self.view.stats().len());
        tracing::info!(
            node = self.view.node(),
            version = self.view.version(),
            shards,
            trunks = snapshot.trunks().count(),
            gateways = snapshot.gateways().count(),
            routes = snapshot.routes_len(),
            "ready: listening on {}",
            listeners.join(", ")
        );
        self.service
            .ready(&format!("serving on {}", listeners.join(", ")));
    }

    /// Says, once, which receive buffer the system did not grant, and what would lift it.
    fn report_buffers(&self) {
        let reports = self.running.buffers();
        let clamped = reports.iter().filter(|report| report.got < report.asked);
        if let Some(report) = clamped.min_by_key(|report| report.got) {
            tracing::warn!(
                asked_bytes = report.asked,
                got_bytes = report.got,
                "the system granted a smaller receive buffer than asked for; bursts may be dropped. \
                 To lift it: sysctl -w net.core.rmem_max={}",
                report.asked
            );
        }
    }

    /// Says, once, who steers, and what to do if it is not the kernel.
    fn report_steering(&self) {
        match self.view.steering().by_kernel() {
            Ok(()) => tracing::info!("steering: the kernel brings datagrams to their shards"),
            Err(why @ (Unsteered::Configured | Unsteered::Needless)) => {
                tracing::info!("steering: by the shards; {why}");
            }
            Err(why) => tracing::warn!(
                "steering: by the shards, which costs more; {why}. \
                 To have no such line: [node] steering = \"software\""
            ),
        }
    }

    /// Says, once, whether the kernel helps under overload, and if not, why.
    fn report_shedding(&self) {
        match self.view.steering().sheds() {
            Ok(()) => tracing::info!("overload: the kernel drops what is too much to be refused"),
            Err(Unsteered::Configured) => {
                tracing::info!("overload: all is received; the configuration says so");
            }
            Err(why) => tracing::warn!(
                "overload: all is received, and refused as far as that goes; the kernel does not \
                 help: {why}"
            ),
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        if self.view.phase() == Phase::Starting && self.view.all_turn() {
            self.view.set_phase(Phase::Serving);
            self.say_ready();
            self.remember();
        }
        while let Some((shard, notice)) = self.running.next_notice() {
            tracing::warn!(shard = shard.0, "{}", Plain(&notice));
        }
        let retired = self.running.retired_snapshots();
        if !retired.is_empty() {
            // A world of a million routes takes a while to be taken apart.
            spawn_blocking(move || drop(retired));
        }
        if let Some(generation) = self.tables.unconfirmed
            && self.running.is_confirmed()
        {
            self.tables.unconfirmed = None;
            self.view.set_confirmed(generation);
            tracing::info!(
                generation,
                "reload: all shards work by the new configuration"
            );
            self.service
                .ready(&format!("serving, generation {generation}"));
            self.tables.askers.confirm(generation);
            self.remember();
        }
        self.follow();
        let (view, seen) = (&self.view, &mut self.turns_seen);
        self.service.feed(|| view.all_turned_since(seen));
        if self.ticks.is_multiple_of(REPORT_TICKS) && self.view.phase() != Phase::Starting {
            self.view.look_at_gateways();
            self.judge();
            let look = self.ticks / REPORT_TICKS;
            caps::tell(self.watch.look(&self.view.cap_rows(), look));
            self.tables.keeper.keep(&self.view);
        }
        if self.ticks.is_multiple_of(REPORT_TICKS) {
            self.log.report();
        }
    }

    /// Takes the head of the store if somebody else has moved it.
    fn follow(&mut self) {
        let running = &self.tables.running;
        let generation = running.stored.as_ref().map(|stored| stored.fetched.id);
        if self.follower.tick(self.ticks, &running.config, generation) {
            self.reload();
        }
    }

    /// Keeps a local copy of the generation in force, if it is one of a store.
    fn remember(&self) {
        let stored = self.tables.running.stored.clone();
        if let Some(stored) = stored.filter(|stored| stored.instead.is_none()) {
            spawn_blocking(move || stored.remember());
        }
    }

    /// Adds up what the shards counted of vendors' quality, and tells who fell and who came back.
    fn judge(&mut self) {
        let world = self.view.snapshot();
        let now_s = self.view.started().elapsed().as_secs();
        for change in self.judge.look(self.view.quality_table(), &world, now_s) {
            let per_cent = |share: Option<u16>| share.map(|it| f64::from(it) / 10.0);
            tracing::warn!(
                gateway = world.gateway_name(change.row.gateway),
                destination = change.row.destination,
                class = world.quality_name(change.row.class),
                asr = per_cent(change.mark.asr),
                ner = per_cent(change.mark.ner),
                acd_s = change.mark.acd_s,
                pdd_ms = change.mark.pdd_ms,
                short = per_cent(change.mark.short),
                "quality: {} -> {}",
                change.from.text(),
                change.to.text()
            );
        }
    }

    /// A reload was built, or was found to be wrong.
    fn take(&mut self, built: Built) {
        match built {
            Ok((loaded, changes)) => self.publish(loaded, changes),
            Err(error) => {
                self.view.count_refused_reload();
                if matches!(&error, LoadError::Store(why) if why.is_outage()) {
                    self.follower.forget();
                }
                let messages = error.messages();
                tracing::error!(
                    faults = messages.len(),
                    "reload: the configuration is wrong; the running one stays in force"
                );
                for message in &messages {
                    tracing::error!("reload: {message}");
                }
                self.tables.askers.refuse(messages);
                self.service
                    .ready("serving; the last reload was refused, see the log");
            }
        }
        if std::mem::take(&mut self.tables.is_asked_again) {
            self.tables.begin_reload();
        }
    }

    fn publish(&mut self, loaded: Loaded, changes: Vec<String>) {
        let generation = loaded.snapshot.generation();
        if changes.is_empty() {
            tracing::info!(generation, "reload: nothing changed");
        }
        for change in &changes {
            tracing::info!(generation, "reload: {change}");
        }
        self.tables.askers.publish(changes);
        tell_sources(self.view.steering(), &loaded.snapshot);
        self.running.publish(loaded.snapshot.clone());
        self.view.set_snapshot(loaded.snapshot.clone());
        self.tables.unconfirmed = Some(generation);
        self.tables.running = loaded;
    }

    /// Somebody asked for the end: drain first, and stop if asked again.
    fn end(&mut self) {
        if matches!(self.view.phase(), Phase::Starting | Phase::Serving) {
            self.view.set_phase(Phase::Draining);
            self.service.stopping(self.drain + LAST_WORDS);
            tracing::info!(
                deadline_ms = self.drain.as_millis() as u64,
                "draining: no new calls; the end comes with the last call, at the deadline, or when asked again"
            );
            self.running.drain(self.drain);
        } else {
            tracing::info!("stopping at once: asked again");
            self.running.stop();
        }
    }

    /// All shards have ended: the last records are written, the last words said.
    fn finish(mut self) -> Ended {
        self.view.set_phase(Phase::Stopped);
        self.tables.keeper.keep_last(&self.view);
        let records_lost = self.writer.stop();
        for failure in self.running.failures() {
            tracing::error!("{failure}");
        }
        let shards_failed = self.running.join();
        self.log.report();
        let cdr = self.view.cdr();
        if records_lost == 0 && shards_failed == 0 {
            tracing::info!(records = cdr.lines(), "stopped");
        } else {
            tracing::error!(
                records = cdr.lines(),
                records_lost,
                shards_failed,
                "stopped with losses"
            );
        }
        Ended {
            records_lost,
            shards_failed,
        }
    }
}

/// Tells the kernel which addresses are of whom: the sources of all trunks, and the gateways. It looks
/// at addresses only; what is told apart by port or transport shares a place with others.
pub(crate) fn tell_sources(steering: &Steering, world: &Snapshot) {
    const SHARED: usize = usize::MAX;
    let trunks = world.trunks().flat_map(|trunk| {
        let sources = trunk.sources.iter();
        sources.map(move |source| {
            let is_whole = source.port.is_none() && source.transport.is_none();
            let place = if is_whole {
                trunk.id.0 as usize
            } else {
                SHARED
            };
            (source.network, source.bits, place)
        })
    });
    let gateways = world.gateways().map(|gateway| {
        let address = gateway.address.ip().to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (address, bits, SHARED)
    });
    // A gateway whose address is a trunk's sends that trunk's calls.
    let gateways = gateways.filter(|(address, ..)| !world.is_trunk_address(*address));
    let networks = trunks
        .chain(gateways)
        .map(|(address, bits, place)| Network {
            address,
            bits,
            place,
        });
    let refused = steering.know(networks);
    if refused > 0 {
        tracing::warn!(
            refused,
            "the kernel takes no more networks; what comes from these is treated as of strangers"
        );
    }
}
