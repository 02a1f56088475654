//! A node: everything it needs, opened in an order in which a failure leaves nothing behind.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::ShardId;
use route::{Quality, Snapshot};
use shards::{Handler, RuntimeConfig, StartError};
use tokio::sync::mpsc;

use crate::asker::Asker;
use crate::caps::{self, Caps, Keeper};
use crate::cdr_file::{CdrError, CdrFiles, CdrOptions};
use crate::cdr_writer::CdrWriter;
use crate::logs::RateLimit;
use crate::metrics;
use crate::plane::{Asked, Plane, Signals, Tables, tell_sources};
use crate::priority::Beside;
use crate::reload::Loaded;
use crate::socket::{CONNECTIONS_MAX, StatsSocket};
use crate::view::{Layout, View};

/// What a node is started with.
#[derive(Debug)]
pub struct Setup {
    /// The node's name.
    pub node: String,
    /// The program's version.
    pub version: &'static str,
    /// The configuration and its routing world.
    pub loaded: Loaded,
    /// The file it came from and is read from again at SIGHUP; `None` if it came from no file.
    pub file: Option<PathBuf>,
    /// The shards.
    pub runtime: RuntimeConfig,
    /// Where the handlers keep their numbers of gateways and trunks.
    pub layout: Layout,
    /// What the handlers count of vendors' quality.
    pub quality: Arc<Quality>,
    /// What they count of caps.
    pub caps: Caps,
    /// Where what caps have used is kept over a restart; `None` for nowhere.
    pub state: Option<PathBuf>,
    /// Where call records go.
    pub cdr: CdrOptions,
    /// Where metrics are served; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// The stats socket.
    pub socket: PathBuf,
    /// How long a drain may take.
    pub drain: Duration,
    /// The log's buckets.
    pub log: RateLimit,
}

/// Why a node cannot be started.
#[derive(Debug)]
pub enum BootError {
    /// The directory of call records.
    Cdr(CdrError),
    /// The stats socket.
    Socket(PathBuf, io::Error),
    /// The metrics endpoint.
    Metrics(SocketAddr, io::Error),
    /// The shards.
    Shards(StartError),
    /// The control plane's own runtime.
    Control(io::Error),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Cdr(error) => {
                write!(f, "{error}; see [cdr] directory in the configuration")
            }
            BootError::Socket(path, error) => {
                let path = path.display();
                write!(
                    f,
                    "cannot open the stats socket {path}: {error}; see [control] socket"
                )
            }
            BootError::Metrics(address, error) => {
                write!(
                    f,
                    "cannot serve metrics at {address}: {error}; see [metrics] listen"
                )
            }
            BootError::Shards(error @ StartError::Steering(_)) => {
                write!(f, "{error}; see [node] steering in the configuration")
            }
            BootError::Shards(error) => write!(f, "{error}"),
            BootError::Control(error) => write!(f, "cannot start the control plane: {error}"),
        }
    }
}

impl std::error::Error for BootError {}

/// How a node ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Call records that could not be written; 0 is the rule.
    pub records_lost: u64,
    /// Shards that ended by a bug; 0 is the rule.
    pub shards_failed: usize,
}

/// A started node.
pub struct Node<H: Handler> {
    plane: Plane<H>,
    runtime: tokio::runtime::Runtime,
    signals: Signals,
    socket: StatsSocket,
    /// Where the socket hands on who asks for a reload.
    askers: mpsc::Sender<Asker>,
    metrics: Option<TcpListener>,
    /// Where the control plane runs.
    beside: Beside,
}

impl<H> Node<H>
where
    H: Handler<Snapshot = Snapshot> + Send + 'static,
    H::Notice: fmt::Display,
{
    /// Opens everything a node needs and starts its shards; `make` makes a shard's handler.
    ///
    /// # Errors
    /// What cannot be opened. Nothing is left running.
    pub fn start(setup: Setup, make: impl FnMut(ShardId) -> H) -> Result<Node<H>, BootError> {
        // The socket first: it refuses a second node before that touches anything of the first.
        let socket = StatsSocket::bind(&setup.socket)
            .map_err(|error| BootError::Socket(setup.socket.clone(), error))?;
        let metrics = setup
            .metrics
            .map(|address| listen(address).map_err(|error| BootError::Metrics(address, error)));
        let metrics = metrics.transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BootError::Control)?;
        let signals = {
            let _inside = runtime.enter();
            Signals::new().map_err(BootError::Control)?
        };
        let files = CdrFiles::open(setup.cdr).map_err(BootError::Cdr)?;
        let state = setup.state.as_deref();
        caps::resume(state, &setup.caps.windows, &setup.loaded.snapshot);
        let keeper = Keeper::new(state);
        let beside = Beside::shards(&setup.runtime.cpus);
        let running = shards::start(setup.runtime, make).map_err(BootError::Shards)?;
        tell_sources(&running.steering(), &setup.loaded.snapshot);
        let writer = match CdrWriter::start_with(files, running.records()) {
            Ok(writer) => writer,
            Err(error) => {
                running.stop();
                let _ = running.join();
                return Err(BootError::Cdr(error));
            }
        };
        let view = View::new(
            setup.node,
            setup.version,
            running.stats(),
            setup.layout,
            writer.status(),
            running.steering(),
            setup.loaded.snapshot.clone(),
            (setup.quality, setup.caps),
        );
        let (askers, asked) = mpsc::channel(CONNECTIONS_MAX);
        let plane = Plane::new(
            running,
            Arc::new(view),
            writer,
            Tables::new(setup.loaded, setup.file, keeper),
            setup.drain,
            setup.log,
            asked,
        );
        Ok(Node {
            plane,
            runtime,
            signals,
            socket,
            askers,
            metrics,
            beside,
        })
    }

    /// What may be read of the node while it runs, from any thread.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.plane.view()
    }

    /// The addresses that the node listens on, in the order of the configuration.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.plane.local_addresses()
    }

    /// Where metrics are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        let listener = self.metrics.as_ref()?;
        listener.local_addr().ok()
    }

    /// Serves until a signal or `asked` ends the node and its last shard is done; then writes the
    /// last call records. Takes the calling thread.
    pub fn serve(self, asked: &Asked) -> Ended {
        // The shards have their threads; what this one starts builds tables at a reload.
        self.beside.settle();
        let view = self.plane.view();
        let ended = self.runtime.block_on(async {
            tokio::spawn(answer(
                "stats socket",
                self.socket.serve(view.clone(), self.askers),
            ));
            if let Some(listener) = self.metrics {
                tokio::spawn(answer("metrics", metrics::serve(listener, view)));
            }
            self.plane.run(self.signals, asked).await
        });
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    }
}

/// Runs a service of the control plane; calls go on without it.
async fn answer(service: &'static str, task: impl Future<Output = io::Result<()>>) {
    if let Err(error) = task.await {
        tracing::error!(%error, service, "a service of the control plane ended; restart to have it back");
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
