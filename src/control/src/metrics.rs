//! The metrics endpoint: `/metrics` in the OpenMetrics text format, and `/health`.
//!
//! Nothing is kept here: each scrape reads the shards' pages. Label sets are fixed: `shard`, and the
//! names of gateways, trunks and caps that the configuration has; nothing that a peer chose is a label.

use std::fmt;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use shards::{CounterKind, Histogram, PageSnapshot};

use crate::report::health_report;
use crate::view::{Cell, View, control_numbers};

/// Answers scrapes until the task is aborted.
pub(crate) async fn serve(listener: std::net::TcpListener, view: Arc<View>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, service(view)).await
}

fn service(view: Arc<View>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(view)
}

async fn metrics(State(view): State<Arc<View>>) -> Response {
    const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics_text(&view) {
        Ok(text) => ([(header::CONTENT_TYPE, FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn health(State(view): State<Arc<View>>) -> Response {
    let status = if view.trouble().is_none() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(health_report(&view))).into_response()
}

/// All metrics of the node as text.
///
/// # Errors
/// Never for these metrics; the encoder's interface has one.
pub fn metrics_text(view: &Arc<View>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("trunkline");
    registry.register_collector(Box::new(Numbers(view.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Numbers(Arc<View>);

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let view = &self.0;
        let pages = |page: fn(&shards::ShardStats) -> PageSnapshot| -> Vec<PageSnapshot> {
            view.stats().iter().map(|stats| page(stats)).collect()
        };
        encode_pages(&mut encoder, &pages(|stats| stats.runtime.snapshot()))?;
        encode_pages(&mut encoder, &pages(|stats| stats.handler.snapshot()))?;
        encode_rows(&mut encoder, "gateway", &view.gateways())?;
        encode_rows(&mut encoder, "trunk", &view.trunks())?;
        let caps = view.cap_rows();
        let caps: Vec<_> = caps
            .iter()
            .map(|it| (it.name.clone(), it.cells()))
            .collect();
        encode_rows(&mut encoder, "cap", &caps)?;
        for (def, value) in control_numbers(view) {
            let mut family = describe(&mut encoder, def.name, def.help, metric_type(def.kind))?;
            encode_number(&mut family, def.kind, value)?;
        }
        encode_build(&mut encoder, view)
    }
}

/// One family for each number of a table, one sample for each shard.
fn encode_pages(encoder: &mut DescriptorEncoder<'_>, pages: &[PageSnapshot]) -> fmt::Result {
    let Some(first) = pages.first() else {
        return Ok(());
    };
    for (place, (def, _)) in first.counters.iter().enumerate() {
        let mut family = describe(encoder, def.name, def.help, metric_type(def.kind))?;
        for (shard, page) in pages.iter().enumerate() {
            let labels = [("shard", shard.to_string())];
            let mut sample = family.encode_family(&labels)?;
            encode_number(&mut sample, def.kind, page.counters[place].1)?;
        }
    }
    for (place, (def, _)) in first.histograms.iter().enumerate() {
        let name = seconds_name(def.name);
        let mut family = describe(encoder, &name, def.help, MetricType::Histogram)?;
        for (shard, page) in pages.iter().enumerate() {
            let labels = [("shard", shard.to_string())];
            let mut sample = family.encode_family(&labels)?;
            encode_histogram(&mut sample, &page.histograms[place].1)?;
        }
    }
    Ok(())
}

/// One family for each cell, one sample for each gateway or trunk.
fn encode_rows(
    encoder: &mut DescriptorEncoder<'_>,
    label: &'static str,
    rows: &[(String, Vec<(Cell, u64)>)],
) -> fmt::Result {
    let Some((_, cells)) = rows.first() else {
        return Ok(());
    };
    for (place, &((name, help, is_gauge), _)) in cells.iter().enumerate() {
        let kind = if is_gauge {
            CounterKind::Gauge
        } else {
            CounterKind::Counter
        };
        let name = format!("{label}_{name}");
        let mut family = describe(encoder, &name, help, metric_type(kind))?;
        for (row, cells) in rows {
            let labels = [(label, row.clone())];
            let mut sample = family.encode_family(&labels)?;
            encode_number(&mut sample, kind, cells[place].1)?;
        }
    }
    Ok(())
}

fn encode_build(encoder: &mut DescriptorEncoder<'_>, view: &View) -> fmt::Result {
    let labels = [
        ("node", view.node().to_owned()),
        ("version", view.version().to_owned()),
    ];
    let mut family = describe(
        encoder,
        "build",
        "The node and the program.",
        MetricType::Info,
    )?;
    family.encode_info(&labels)
}

fn describe<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    // The encoder ends a counter's name in `_total` itself.
    let name = match kind {
        MetricType::Counter => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    };
    encoder.encode_descriptor(name, help, None, kind)
}

fn encode_number(sample: &mut MetricEncoder<'_>, kind: CounterKind, value: u64) -> fmt::Result {
    match kind {
        CounterKind::Counter => sample.encode_counter::<NoLabelSet, _, u64>(&value, None),
        CounterKind::Gauge => sample.encode_gauge(&value),
    }
}

/// The bounds of the buckets that are shown, in seconds. The pages have 16 for each doubling, which
/// is too many for a scrape; each of these counts the fine buckets that lie wholly below it.
const BOUNDS_S: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

fn encode_histogram(sample: &mut MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let mut buckets: Vec<(f64, u64)> = BOUNDS_S.iter().map(|&bound| (bound, 0)).collect();
    buckets.push((f64::INFINITY, 0));
    for (fine, &count) in histogram.buckets.iter().enumerate() {
        let max_s = Histogram::bucket_max_us(fine) as f64 / 1e6;
        let at = buckets.iter().position(|&(bound, _)| max_s <= bound);
        buckets[at.unwrap_or(BOUNDS_S.len())].1 += count;
    }
    // A page is read while it is written: the count is taken from the buckets, so that they agree.
    let count = buckets.iter().map(|&(_, count)| count).sum();
    let sum_s = histogram.sum_us as f64 / 1e6;
    sample.encode_histogram::<NoLabelSet>(sum_s, count, &buckets, None)
}

/// Prometheus measures in seconds: `setup_time_us` becomes `setup_time_seconds`.
fn seconds_name(name: &str) -> String {
    format!("{}_seconds", name.strip_suffix("_us").unwrap_or(name))
}

const fn metric_type(kind: CounterKind) -> MetricType {
    match kind {
        CounterKind::Counter => MetricType::Counter,
        CounterKind::Gauge => MetricType::Gauge,
    }
}
