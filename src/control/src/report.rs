//! The node's numbers as JSON: what the stats socket answers.

use serde_json::{Map, Value, json};
use shards::{Histogram, PageSnapshot};

use crate::view::{Cell, View, control_numbers};

/// All numbers of the node, for each shard and summed.
#[must_use]
pub fn stats_report(view: &View) -> Value {
    let mut shards = Vec::new();
    let mut totals: Option<(PageSnapshot, PageSnapshot)> = None;
    for (number, stats) in view.stats().iter().enumerate() {
        let pages = (stats.runtime.snapshot(), stats.handler.snapshot());
        shards.push(pages_report(&json!(number), &pages));
        match &mut totals {
            None => totals = Some(pages),
            Some(totals) => {
                totals.0.merge(&pages.0);
                totals.1.merge(&pages.1);
            }
        }
    }
    let total = totals.map(|totals| pages_report(&json!("total"), &totals));
    let control: Map<_, _> = control_numbers(view)
        .into_iter()
        .map(|(def, value)| (def.name.to_owned(), json!(value)))
        .collect();
    json!({
        "node": view.node(),
        "version": view.version(),
        "phase": view.phase().name(),
        "trouble": view.trouble(),
        "control": control,
        "gateways": rows_report(view.gateways()),
        "health": view.health(),
        "quality": view.quality(),
        "caps": view.caps(),
        "trunks": rows_report(view.trunks()),
        "shards": shards,
        "total": total,
    })
}

/// Whether the node does its work.
#[must_use]
pub fn health_report(view: &View) -> Value {
    let trouble = view.trouble();
    let status = if trouble.is_none() { "ok" } else { "trouble" };
    json!({ "status": status, "phase": view.phase().name(), "trouble": trouble })
}

/// Which routing world the node works by.
#[must_use]
pub fn generation_report(view: &View) -> Value {
    json!({
        "published": view.snapshot().generation(),
        "confirmed": view.confirmed_generation(),
    })
}

fn pages_report(shard: &Value, (runtime, handler): &(PageSnapshot, PageSnapshot)) -> Value {
    json!({
        "shard": shard,
        "runtime": counters_report(runtime),
        "handler": counters_report(handler),
        "histograms": histograms_report([runtime, handler]),
    })
}

fn counters_report(page: &PageSnapshot) -> Value {
    let values = page.counters.iter();
    Value::Object(
        values
            .map(|(def, value)| (def.name.to_owned(), json!(value)))
            .collect(),
    )
}

fn histograms_report(pages: [&PageSnapshot; 2]) -> Value {
    let all = pages.into_iter().flat_map(|page| &page.histograms);
    Value::Object(
        all.map(|(def, histogram)| (def.name.to_owned(), histogram_report(histogram)))
            .collect(),
    )
}

fn histogram_report(histogram: &Histogram) -> Value {
    json!({
        "count": histogram.count,
        "sum_us": histogram.sum_us,
        "p50_us": histogram.quantile_us(0.5),
        "p99_us": histogram.quantile_us(0.99),
        "max_us": histogram.quantile_us(1.0),
    })
}

fn rows_report(rows: Vec<(String, Vec<(Cell, u64)>)>) -> Value {
    let row = |(name, cells): (String, Vec<(Cell, u64)>)| {
        let mut row = Map::new();
        row.insert("name".to_owned(), json!(name));
        row.extend(
            cells
                .into_iter()
                .map(|((name, ..), value)| (name.to_owned(), json!(value))),
        );
        Value::Object(row)
    };
    rows.into_iter().map(row).collect()
}
