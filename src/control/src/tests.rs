//! The node's numbers as they are read from outside: socket, metrics, health.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use base::{GatewayId, TrunkId};
use route::{GatewaySpec, RouteSpec, Source, Spec, TrunkSpec};
use serde_json::{Value, json};
use shards::{
    COUNTERS, CounterDef, CounterKind, HISTOGRAMS, HistogramDef, Metric, Page, ShardStats,
};

use crate::socket::StatsSocket;
use crate::{CdrStatus, Layout, Phase, View, metrics_text, stats_report};

static CALLS: [CounterDef; 2] = [
    CounterDef {
        name: "invites",
        help: "New INVITEs.",
        kind: CounterKind::Counter,
    },
    CounterDef {
        name: "calls_up",
        help: "Calls that are up.",
        kind: CounterKind::Gauge,
    },
];
static TIMES: [HistogramDef; 1] = [HistogramDef {
    name: "setup_time_us",
    help: "From INVITE to 2xx.",
}];
const LAYOUT: Layout = Layout {
    gateway_cells: &[
        ("attempts", "INVITEs sent.", false),
        ("state", "0 is down.", true),
    ],
    gateways_max: 4,
    trunk_cells: &[("calls", "INVITEs that came.", false)],
    trunks_max: 2,
};

fn no_caps() -> crate::Caps {
    crate::Caps {
        windows: Arc::new(route::Windows::new(2, 0)),
        up: Arc::new(|_| 0),
    }
}

/// Two shards that have counted a little.
fn view() -> Arc<View> {
    let spec = Spec {
        trunks: vec![TrunkSpec::new(
            "customer",
            Source::parse("192.0.2.0/24").expect("a network"),
        )],
        gateways: vec![
            GatewaySpec::new("gw-1", ([192, 0, 2, 1], 5060).into()),
            GatewaySpec::new("gw-2", ([192, 0, 2, 2], 5060).into()),
        ],
        routes: vec![RouteSpec::new("44", &["gw-1", "gw-2"])],
        listeners: vec![route::ListenerSpec {
            name: "udp".to_owned(),
            transport: base::Transport::Udp,
            address: ([192, 0, 2, 9], 5060).into(),
        }],
        ..Spec::default()
    };
    let snapshot = route::build(&spec, 7, None).expect("a good spec");
    let gateway = snapshot.gateway_named("gw-2").expect("there").id;
    let trunk = snapshot.trunk_named("customer").expect("there").id;
    assert_eq!((gateway, trunk), (GatewayId(1), TrunkId(0)));
    let dynamic = 4 * 2 + 2;
    let shards: Vec<Arc<ShardStats>> = (1..=2)
        .map(|shard| {
            let runtime = Page::new(&COUNTERS, &HISTOGRAMS, 0);
            let handler = Page::new(&CALLS, &TIMES, dynamic);
            runtime.add(Metric::DatagramsIn as usize, 100 * shard);
            handler.add(0, shard);
            handler.set(1, 10 * shard);
            handler.histogram_record(0, 900 * shard);
            handler.dynamic_add(2, 5 * shard); // gw-2: attempts
            handler.dynamic_set(3, shard); // gw-2: state
            handler.dynamic_add(8, 1_000 * shard); // customer: calls
            Arc::new(ShardStats { runtime, handler })
        })
        .collect();
    let cdr = Arc::new(CdrStatus::default());
    let view = View::new(
        "n1".to_owned(),
        "1.2.3",
        shards.into(),
        LAYOUT,
        cdr,
        Arc::default(),
        Arc::new(snapshot),
        (Arc::new(route::Quality::new(2, 16)), no_caps()),
    );
    view.set_phase(Phase::Serving);
    Arc::new(view)
}

#[test]
fn the_report_says_how_gateways_fared() {
    let view = view();
    assert_eq!(stats_report(&view)["health"], json!([]));
    view.look_at_gateways();
    let health = &stats_report(&view)["health"];
    // Of the shards' states the worst counts.
    assert_eq!(health[1]["gateway"], "gw-2");
    assert_eq!(health[1]["state"], "returning");
    assert_eq!(health[1]["before"], json!([]));
    let since = health[1]["since"].as_str().expect("a text");
    assert!(since.parse::<jiff::Timestamp>().is_ok(), "{since}");
}

#[test]
fn the_report_has_shards_and_sums_and_names() {
    let report = stats_report(&view());
    assert_eq!(report["node"], "n1");
    assert_eq!(report["shards"][1]["handler"]["invites"], 2);
    assert_eq!(report["shards"][0]["runtime"]["datagrams_in"], 100);
    assert_eq!(
        report["total"]["handler"],
        json!({ "invites": 3, "calls_up": 30 })
    );
    assert_eq!(report["total"]["runtime"]["datagrams_in"], 300);
    assert_eq!(report["total"]["histograms"]["setup_time_us"]["count"], 2);
    assert_eq!(report["control"]["generation"], 7);
    let gateways = json!([
        { "name": "gw-1", "attempts": 0, "state": 0 },
        { "name": "gw-2", "attempts": 15, "state": 1 },
    ]);
    assert_eq!(
        report["gateways"], gateways,
        "attempts add up, the worst state counts"
    );
    assert_eq!(
        report["trunks"],
        json!([{ "name": "customer", "calls": 3_000 }])
    );
}

#[test]
fn metrics_are_openmetrics_text() {
    let text = metrics_text(&view()).expect("never fails");
    for line in [
        "# HELP trunkline_datagrams_in Datagrams received.",
        "# TYPE trunkline_datagrams_in counter",
        "trunkline_datagrams_in_total{shard=\"0\"} 100",
        "trunkline_datagrams_in_total{shard=\"1\"} 200",
        "trunkline_invites_total{shard=\"1\"} 2",
        "# TYPE trunkline_calls_up gauge",
        "trunkline_calls_up{shard=\"1\"} 20",
        "# TYPE trunkline_setup_time_seconds histogram",
        "trunkline_setup_time_seconds_count{shard=\"0\"} 1",
        "trunkline_setup_time_seconds_bucket{le=\"0.0005\",shard=\"0\"} 0",
        "trunkline_setup_time_seconds_bucket{le=\"0.001\",shard=\"0\"} 1",
        "trunkline_setup_time_seconds_bucket{le=\"+Inf\",shard=\"0\"} 1",
        "trunkline_gateway_attempts_total{gateway=\"gw-2\"} 15",
        "trunkline_gateway_state{gateway=\"gw-2\"} 1",
        "trunkline_trunk_calls_total{trunk=\"customer\"} 3000",
        "trunkline_generation 7",
        "trunkline_cdr_failing 0",
        "trunkline_build_info{node=\"n1\",version=\"1.2.3\"} 1",
        "trunkline_connections_refused_total{shard=\"0\"} 0",
    ] {
        assert!(
            text.lines().any(|seen| seen == line),
            "{line}\nis not in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("_total_total"));
    let mut families: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let count = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), count, "each family once");
}

/// Where nobody takes requests for reloads.
fn nobody() -> tokio::sync::mpsc::Sender<crate::asker::Asker> {
    tokio::sync::mpsc::channel(1).0
}

/// Runs a service of the control plane on a thread of its own while `ask` runs.
fn while_served(service: impl Future<Output = std::io::Result<()>> + Send, ask: impl FnOnce()) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    ended = service => panic!("the service ended: {ended:?}"),
                    _ = stopped => {}
                }
            });
        });
        // Dropped also when `ask` fails, so that the test ends.
        let _stop = stop;
        ask();
    });
}

/// Sends text to the socket and reads so many lines.
fn ask(path: &Path, text: &str, lines: usize) -> Vec<Value> {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.write_all(text.as_bytes()).expect("it reads");
    let answers = BufReader::new(stream).lines().take(lines);
    answers
        .map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON"))
        .collect()
}

#[test]
fn the_socket_answers_each_line_and_only_its_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run/trunkline.sock");
    let view = view();
    let socket = StatsSocket::bind(&path).expect("bound");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    while_served(socket.serve(view.clone(), nobody()), || {
        let answers = ask(&path, "stats\nhealth\r\ngeneration\nwhat?\n", 4);
        assert_eq!(answers[0]["total"]["handler"]["invites"], 3);
        assert_eq!(
            answers[1],
            json!({ "status": "ok", "phase": "serving", "trouble": null })
        );
        assert_eq!(answers[2], json!({ "published": 7, "confirmed": 7 }));
        assert!(
            answers[3]["error"]
                .as_str()
                .is_some_and(|error| error.contains("stats"))
        );
        assert_eq!(ask(&path, "reload\n", 1)[0]["error"], "the node is ending");
        view.set_phase(Phase::Draining);
        assert_eq!(ask(&path, "health\n", 1)[0]["status"], "trouble");
        let refused = ask(&path, &"x".repeat(300), 1);
        assert_eq!(refused[0]["error"], "the question is too long");
    });
    assert!(!path.exists(), "its file goes with it");
}

#[test]
fn a_dead_sockets_file_is_replaced_and_a_living_ones_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trunkline.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(path.exists(), "what a kill leaves");
    let socket = StatsSocket::bind(&path).expect("replaced");
    while_served(socket.serve(view(), nobody()), || {
        let error = StatsSocket::bind(&path).expect_err("taken").to_string();
        assert!(error.contains("another trunkline"), "{error}");
        assert_eq!(ask(&path, "health\n", 1)[0]["status"], "ok", "unharmed");
    });
    fs::write(&path, "precious").expect("writable");
    let error = StatsSocket::bind(&path).expect_err("no socket").to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
}

#[test]
fn metrics_and_health_are_served_by_http() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("UTF-8");
        answer
    };
    let view = view();
    while_served(crate::metrics::serve(listener, view.clone()), || {
        let answer = get("/metrics");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains("application/openmetrics-text; version=1.0.0"),
            "{answer}"
        );
        assert!(
            answer.contains("trunkline_invites_total{shard=\"0\"} 1"),
            "{answer}"
        );
        assert!(get("/health").starts_with("HTTP/1.1 200"));
        assert!(get("/nothing").starts_with("HTTP/1.1 404"));
        view.set_phase(Phase::Draining);
        let answer = get("/health");
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("draining"),
            "{answer}"
        );
    });
}
