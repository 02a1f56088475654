//! `trunkline demo`: a router with a caller and vendors, all on this machine, as a live table.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Transport;
use clap::Args;
use config::Config;
use control::{Asked, Ended, Loaded, LogTarget, Phase, View};
use perf::Figures;
use perf::demo::{Demo, Role};
use perf::peers::{CallerSpec, Habit};

use crate::boot;
use crate::failure::{Failure, print};
use crate::table::{lay_out, millis, thousands};

/// What `demo --help` ends with.
pub(crate) const EXAMPLES: &str = "\
The router runs with config/demo.toml, which is built in. A caller places calls at a fixed rate; of
the vendors one answers, one refuses, one is silent, and the router makes the best of them. It writes
below ./target: call records, state, and its log.

Examples:
  trunkline demo                            until Ctrl-C
  trunkline demo --seconds 20 --rate 500
  trunkline demo --config my-demo.toml      gateways named `refusing…` refuse, `silent…` are silent,
                                            all others answer";

const BUILT_IN: &str = include_str!("../../../config/demo.toml");

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End after so many seconds; without, at Ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Calls a second.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// A configuration instead of the built-in one.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How long the calls that are up may take to be hung up at the end.
const HANG_UP: Duration = Duration::from_secs(3);
/// How long a call lasts.
const HOLD: Duration = Duration::from_secs(2);

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = load(arguments.config.as_deref())?;
    let config = loaded.config.clone();
    let log_file = config.node.state_dir.join("demo.log");
    let log = boot::start_log(config.log, LogTarget::File(open_log(&log_file)?));
    let node = boot::start(loaded, arguments.config.clone(), log)?;
    let router = first_udp(&config, &node.local_addresses())?;
    let places = places(&config, node.metrics_address(), &log_file);
    print(&format!(
        "trunkline demo: {} calls/s to {router}\n{places}\n",
        arguments.rate
    ))?;
    let show = Show {
        view: node.view(),
        caller: caller(&config, router, arguments.rate)?,
        roles: roles(&config),
        seconds: arguments.seconds,
        places,
    };
    let asked = Asked::default();
    let (ended, shown) = std::thread::scope(|scope| {
        let show = scope.spawn(|| {
            let shown = show.run();
            // Unless a signal has asked already: the second time would cut calls off.
            if show.view.phase() == Phase::Serving {
                asked.end();
            }
            shown
        });
        let ended = node.serve(&asked);
        (ended, show.join())
    });
    let shown = shown.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if ended
        != (Ended {
            records_lost: 0,
            shards_failed: 0,
        })
    {
        return Err(Failure::Losses(ended));
    }
    shown
}

fn load(file: Option<&Path>) -> Result<Loaded, Failure> {
    let loaded = match file {
        Some(file) => Loaded::from_file(file, boot::FIRST_GENERATION, None),
        None => Config::parse("demo.toml", BUILT_IN)
            .map_err(control::LoadError::Config)
            .and_then(|config| Loaded::from_config(config, boot::FIRST_GENERATION, None)),
    };
    loaded.map_err(Failure::Load)
}

fn open_log(path: &Path) -> Result<std::fs::File, Failure> {
    let open = || {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        OpenOptions::new().create(true).append(true).open(path)
    };
    open().map_err(|error| Failure::File(path.to_owned(), error))
}

fn first_udp(config: &Config, local: &[SocketAddr]) -> Result<SocketAddr, Failure> {
    let listeners = config.listeners.iter().zip(local);
    let mut udp = listeners.filter(|(listener, _)| listener.transport == Transport::Udp);
    let first = udp.next().map(|(_, &address)| address);
    first.ok_or(Failure::DemoConfig("a listener for udp"))
}

/// A caller that the first trunk knows, calling each route, most of the time the first.
fn caller(config: &Config, router: SocketAddr, rate: u32) -> Result<CallerSpec, Failure> {
    let source = config.trunks.iter().flat_map(|trunk| &trunk.sources).next();
    let source = source.ok_or(Failure::DemoConfig("a trunk"))?;
    let host: IpAddr = match source.network.address {
        host if host.is_unspecified() => router.ip(),
        host => host,
    };
    let mut caller = CallerSpec::new(
        SocketAddr::new(host, source.port.unwrap_or(0)),
        router,
        rate,
    );
    caller.hold = HOLD;
    let routes = config.routes.iter().map(|route| route.prefix.as_str());
    let prefixes: Vec<&str> = routes.filter(|prefix| *prefix != "*").collect();
    if let Some(first) = prefixes.first() {
        const FIRST_SHARE: usize = 6;
        let most = std::iter::repeat_n(first, FIRST_SHARE);
        let numbers = most
            .chain(&prefixes[1..])
            .map(|prefix| format!("+{prefix}*"));
        caller.numbers = numbers.collect();
    }
    Ok(caller)
}

fn roles(config: &Config) -> Vec<Role> {
    let gateways = config.gateways.iter();
    gateways
        .map(|gateway| Role {
            name: gateway.name.clone(),
            address: gateway.address,
            habit: if gateway.name.starts_with("refusing") {
                Habit::Refuses { status: 503 }
            } else if gateway.name.starts_with("silent") {
                Habit::Silent
            } else {
                Habit::Answers {
                    ring: Duration::from_millis(20),
                    answer: Duration::from_millis(60),
                }
            },
        })
        .collect()
}

/// Where to look while it runs and afterwards.
fn places(config: &Config, metrics: Option<SocketAddr>, log: &Path) -> String {
    let mut rows = vec![format!("call records  {}", config.cdr.directory.display())];
    if let Some(address) = metrics {
        rows.push(format!("metrics       http://{address}/metrics"));
    }
    let socket = config.control.socket.display();
    rows.push(format!("numbers       trunkline stats --socket {socket}"));
    rows.push(format!("log           {}\n", log.display()));
    rows.join("\n")
}

/// The part of the demonstration that is seen: peers and table.
struct Show {
    view: Arc<View>,
    caller: CallerSpec,
    roles: Vec<Role>,
    seconds: Option<u64>,
    places: String,
}

/// The numbers at one moment, to take differences of.
#[derive(Clone, Copy, Default)]
struct Moment {
    figures: Figures,
    failed_over: u64,
    busy_us: u64,
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        while self.view.phase() == Phase::Starting {
            std::thread::sleep(Duration::from_millis(5));
        }
        let demo = Demo::start(self.caller.clone(), &self.roles).map_err(Failure::Peer)?;
        let is_live = std::io::stdout().is_terminal();
        let begun = Instant::now();
        let mut before = self.moment(&demo);
        let mut screen = Screen::new(is_live);
        let mut second = 0;
        while self.goes_on(second) {
            second += 1;
            self.wait_until(begun + Duration::from_secs(second));
            let now = self.moment(&demo);
            let line = row(second, &before, &now);
            // The table is not worth the demonstration: who closed its output still gets the end.
            let _ = screen.show(line, &vendor_rows(&demo));
            before = now;
        }
        // What is being set up now is cancelled by the caller: no failure of the router.
        let failed = demo.figures().failed;
        let (mut figures, _) = demo.stop(HANG_UP).map_err(Failure::Peer)?;
        let cut = figures.failed - failed;
        figures.failed = failed;
        let last = Moment {
            figures,
            ..self.moment_of_router()
        };
        print(&self.summary(&last, cut, begun.elapsed()))?;
        if figures.answered == 0 {
            return Err(Failure::NothingAnswered);
        }
        Ok(())
    }

    fn goes_on(&self, second: u64) -> bool {
        self.view.phase() == Phase::Serving && self.seconds.is_none_or(|end| second < end)
    }

    /// Waits, but not when the node is asked to end.
    fn wait_until(&self, moment: Instant) {
        while self.view.phase() == Phase::Serving {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    fn moment(&self, demo: &Demo) -> Moment {
        Moment {
            figures: demo.figures(),
            ..self.moment_of_router()
        }
    }

    fn moment_of_router(&self) -> Moment {
        let mut moment = Moment::default();
        for shard in self.view.stats() {
            let handler = shard.handler.snapshot();
            moment.failed_over += handler.counter("advances").unwrap_or(0);
            moment.busy_us += shard.runtime.get(shards::Metric::BusyUs as usize);
        }
        moment
    }

    fn summary(&self, last: &Moment, cut: u64, time: Duration) -> String {
        let Figures {
            placed,
            answered,
            failed,
            retransmissions,
            setup_p50_us,
            setup_p99_us,
            ..
        } = last.figures;
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let rows = [
            row("seconds", time.as_secs().to_string()),
            row("calls placed", thousands(placed)),
            row("answered", thousands(answered)),
            row("failed", thousands(failed)),
            row("cut off by the end", thousands(cut)),
            row("times failed over", thousands(last.failed_over)),
            row("retransmissions seen", thousands(retransmissions)),
            row("set-up p50 ms", millis(setup_p50_us)),
            row("set-up p99 ms", millis(setup_p99_us)),
            row(
                "router time per call us",
                thousands(last.busy_us / placed.max(1)),
            ),
        ];
        format!("\n{}\n{}", lay_out(&rows), self.places)
    }
}

const HEAD: [&str; 9] = [
    "second",
    "calls/s",
    "answered",
    "failed",
    "failed over",
    "p50 ms",
    "p99 ms",
    "us/call",
    "active",
];

fn row(second: u64, before: &Moment, now: &Moment) -> Vec<String> {
    let placed = now.figures.placed - before.figures.placed;
    let busy_us = now.busy_us.saturating_sub(before.busy_us);
    [
        second,
        placed,
        now.figures.answered - before.figures.answered,
        now.figures.failed - before.figures.failed,
        now.failed_over - before.failed_over,
    ]
    .map(thousands)
    .into_iter()
    .chain([now.figures.setup_p50_us, now.figures.setup_p99_us].map(millis))
    .chain([busy_us / placed.max(1), now.figures.active].map(thousands))
    .collect()
}

fn vendor_rows(demo: &Demo) -> Vec<Vec<String>> {
    let head = [
        "vendor",
        "offered",
        "answered",
        "refused",
        "cancelled",
        "active",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, figures) in demo.vendors() {
        let mut row = vec![name.to_owned()];
        let numbers = [
            figures.invites,
            figures.answered,
            figures.refused,
            figures.cancelled,
            figures.active,
        ];
        row.extend(numbers.map(thousands));
        rows.push(row);
    }
    rows
}

/// The table: redrawn in place on a terminal, one line a second elsewhere.
struct Screen {
    is_live: bool,
    rows: Vec<Vec<String>>,
    drawn_lines: usize,
}

/// Seconds that a live table shows.
const ROWS_MAX: usize = 15;

impl Screen {
    fn new(is_live: bool) -> Screen {
        Screen {
            is_live,
            rows: Vec::new(),
            drawn_lines: 0,
        }
    }

    fn show(&mut self, row: Vec<String>, vendors: &[Vec<String>]) -> Result<(), Failure> {
        if !self.is_live {
            let pairs = HEAD.iter().zip(&row);
            let words: Vec<String> = pairs
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            return print(&format!("{}\n", words.join("  ")));
        }
        self.rows.push(row);
        if self.rows.len() > ROWS_MAX {
            self.rows.remove(0);
        }
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(self.rows.iter().cloned());
        let text = format!("{}\n{}", lay_out(&rows), lay_out(vendors));
        // Up to where the last table began, and clear from there (ECMA-48 CUU and ED).
        let back = match self.drawn_lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        };
        self.drawn_lines = text.lines().count();
        print(&format!("{back}{text}"))
    }
}
