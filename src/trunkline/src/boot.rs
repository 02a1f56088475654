//! From a configuration to a running node: what each crate needs to know, in its own words.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use call::Keys;
use config::{Config, Shards};
use control::{Caps, CdrOptions, Layout, Loaded, LogTarget, Node, Rate, RateLimit, Setup};
use router::{Gauges, Limited, Listener, Room, Router, Settings};
use shards::steer::{SteerConfig, SteerMode};
use shards::{ListenerSpec, RuntimeConfig};
use transaction::Timing;

use crate::VERSION;
use crate::failure::Failure;
use crate::secret;

/// The generation of the routing world that a process begins with.
pub(crate) const FIRST_GENERATION: u64 = 1;

/// Starts the log. A second log of one process keeps the first one's format.
pub(crate) fn start_log(log: config::Log, target: LogTarget) -> RateLimit {
    control::start_logs(log, target).unwrap_or_else(|_| RateLimit::new(Rate::default()))
}

/// Starts a node of this configuration. `file` is what SIGHUP reads again.
pub(crate) fn start(
    loaded: Loaded,
    file: Option<PathBuf>,
    log: RateLimit,
) -> Result<Node<Router>, Failure> {
    let config = loaded.config.clone();
    raise_open_files();
    if config.node.huge_pages {
        use_pages(Pages::AsTheSystemHas);
    }
    let cpus = cpus(&config.node.shards)?;
    let settings = Arc::new(settings(&config, cpus.len())?);
    let limits = &config.limits;
    let room = Room {
        caps: limits.caps_max,
        quality_rows: limits.quality_rows,
    };
    let (trunks_max, gateways_max) = (limits.trunks_max, limits.gateways_max);
    let gauges = Gauges::with_room(settings.shards, trunks_max, gateways_max, room);
    let gauges = Arc::new(gauges);
    let of_caps = gauges.clone();
    let setup = Setup {
        node: config.node.name.clone(),
        version: VERSION,
        file,
        runtime: runtime(&config, &settings, cpus)?,
        layout: Layout {
            gateway_cells: router::GATEWAY_CELLS,
            gateways_max: config.limits.gateways_max,
            trunk_cells: router::TRUNK_CELLS,
            trunks_max: config.limits.trunks_max,
        },
        quality: gauges.quality().clone(),
        caps: Caps {
            windows: gauges.windows().clone(),
            up: Arc::new(move |cap| of_caps.in_use(Limited::Cap(cap))),
        },
        state: Some(config.node.state_dir.clone()),
        cdr: CdrOptions {
            directory: config.cdr.directory.clone(),
            rotate_bytes: config.cdr.rotate_bytes,
            rotate_after: Duration::from_secs(config.cdr.rotate_seconds),
            sync_every: Duration::from_millis(config.cdr.sync_ms.into()),
        },
        metrics: config.metrics.listen,
        socket: config.control.socket.clone(),
        drain: Duration::from_millis(config.drain.deadline_ms.into()),
        log,
        loaded,
    };
    let world = setup.loaded.snapshot.clone();
    let make = |shard| Router::new(settings.clone(), shard, world.clone(), gauges.clone());
    Node::start(setup, make).map_err(Failure::Boot)
}

fn settings(config: &Config, shards: usize) -> Result<Settings, Failure> {
    let node = secret::read_or_make(&config.node.state_dir)?;
    let (process, owner, table) = (secret::random()?, secret::random()?, secret::random()?);
    let listener = |listener: &config::Listener| Listener {
        transport: listener.transport,
        address: listener.address,
        advertise: listener.advertise,
    };
    Ok(Settings {
        node: config.node.name.clone().into_bytes(),
        shards: shards as u16,
        listeners: config.listeners.iter().map(listener).collect(),
        names: (config.node.names.iter())
            .map(|name| name.clone().into_bytes())
            .collect(),
        keys: Keys::new(process, node),
        owner_key: (word(&owner, 0), word(&owner, 8)),
        table_key: halve(table),
        transactions_max: config.limits.transactions,
        calls_max: config.limits.calls,
        gateways_max: config.limits.gateways_max,
        timing: Timing {
            t1_ms: config.timers.t1_ms,
            t2_ms: config.timers.t2_ms,
            t4_ms: config.timers.t4_ms,
            c_ms: config.timers.c_ms,
        },
        overload: overload(config),
        udp_bytes_max: config.proxy.udp_bytes_max,
        max_call_ms: u64::from(config.proxy.max_call_seconds) * 1_000,
    })
}

fn overload(config: &Config) -> router::Overload {
    let said = &config.overload;
    router::Overload {
        rules: overload::Rules {
            target_us: u64::from(said.delay_target_ms) * 1_000,
            late_us: u64::from(said.delay_max_ms) * 1_000,
            validity_ms: said.feedback_validity_ms,
            algorithm: match said.feedback_algorithm {
                config::FeedbackAlgorithm::Loss => overload::Algorithm::Loss,
                config::FeedbackAlgorithm::Rate => overload::Algorithm::Rate,
            },
        },
        feedback: said.feedback,
        stranger_answers_max: said.stranger_answers_max,
        sheds_in_kernel: said.shed_in_kernel,
        trunks_max: config.limits.trunks_max,
    }
}

fn runtime(
    config: &Config,
    settings: &Settings,
    cpus: Vec<Option<usize>>,
) -> Result<RuntimeConfig, Failure> {
    let listener = |listener: &config::Listener| ListenerSpec {
        transport: listener.transport,
        address: listener.address,
    };
    let mut limits = control::world::shard_limits(config);
    limits.usual_delays_ms = settings.timing.usual_ms();
    limits.record_bytes = limits.record_bytes.max(cdr::FRAME_BYTES_MAX);
    let (gateways_max, trunks_max) = (config.limits.gateways_max, config.limits.trunks_max);
    Ok(RuntimeConfig {
        listeners: config.listeners.iter().map(listener).collect(),
        cpus,
        limits,
        receive_buffer_bytes: config.limits.receive_buffer_bytes,
        send_buffer_bytes: config.limits.send_buffer_bytes,
        steering: SteerConfig {
            mode: match config.node.steering {
                config::Steering::Auto => SteerMode::Auto,
                config::Steering::Kernel => SteerMode::Kernel,
                config::Steering::Software => SteerMode::Software,
            },
            recipe: Some(settings.recipe()),
            shed: (config.overload.shed_in_kernel || config.overload.drop_unknown_sources)
                .then(|| settings.shed(config.overload.drop_unknown_sources)),
        },
        seed: word(&secret::random()?, 0),
        handler_counters: router::COUNTERS,
        handler_histograms: router::HISTOGRAMS,
        handler_dynamic: router::dynamic_cells(gateways_max, trunks_max),
    })
}

/// One entry for each shard: the processor it is pinned to.
fn cpus(shards: &Shards) -> Result<Vec<Option<usize>>, Failure> {
    match shards {
        Shards::Count(count) => Ok(vec![None; usize::from(*count)]),
        Shards::Cpus(cpus) => Ok(cpus.iter().copied().map(Some).collect()),
        Shards::Auto => {
            let allowed = rustix::thread::sched_getaffinity(None)
                .map_err(|error| Failure::NoProcessors(error.into()))?;
            let all = 0..rustix::thread::CpuSet::MAX_CPU;
            let cpus = all.filter(|&cpu| allowed.is_set(cpu)).map(Some);
            Ok(cpus.take(base::ShardId::COUNT_MAX).collect())
        }
    }
}

/// Connections are open files: as many as this user may have.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the number of open files stays where it is; connections may be refused");
    }
}

/// Which pages memory is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pages {
    Small,
    AsTheSystemHas,
}

/// A table reserves room for its limit and uses what its calls need. With huge pages each table's
/// first entry would take 2 MiB. Where the system refuses, pages stay as it has them.
pub(crate) fn use_pages(pages: Pages) {
    let is_small = pages == Pages::Small;
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(is_small) {
        tracing::warn!(%error, "huge pages stay as the system has them");
    }
}

fn word(bytes: &[u8; secret::SECRET_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn halve(bytes: [u8; secret::SECRET_BYTES]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&bytes[..16]);
    half
}
