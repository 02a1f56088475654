//! `trunkline-perf floor`: the kernel's own cost.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use perf::floor::{CallSizes, Cost, measure};
use perf::load::Report;

use crate::run::write_json;

/// Measure what the kernel alone costs: the same datagrams received and sent, nothing in between.
///
/// CPU time of one pinned thread within its system calls, `recvmmsg` and `sendmmsg` of 64, over
/// loopback; the median of nine portions, with the cheapest and the dearest. A still peer takes the
/// datagrams after all are sent; a live one sleeps, is woken and takes them meanwhile; a spinning one
/// takes them meanwhile and never sleeps. Hold a router against the one whose peer waits as the
/// router's did. The sizes are those of a typical call, of the calls of a run (--run), or given one
/// by one.
#[derive(Args)]
pub(crate) struct Measure {
    /// The core to measure
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    core: usize,
    /// Where the peer runs that feeds it: another core
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    peer: usize,
    /// Take the sizes from the JSON of a run through a router
    #[arg(long, value_name = "FILE", conflicts_with_all = ["received", "sent"])]
    run: Option<PathBuf>,
    /// Octets of each datagram that a router receives for a call
    #[arg(long, value_name = "BYTES", value_delimiter = ',', requires = "sent")]
    received: Vec<usize>,
    /// Octets of each datagram that it sends for a call
    #[arg(
        long,
        value_name = "BYTES",
        value_delimiter = ',',
        requires = "received"
    )]
    sent: Vec<usize>,
    /// Datagrams of each measurement
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    datagrams: u64,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Measure {
    pub(crate) fn measure(&self) -> io::Result<ExitCode> {
        let sizes = self.sizes()?;
        let floor = measure(self.core, self.peer, &sizes, self.datagrams)?;
        let line = |name: &str, cost: &Cost| {
            let Cost {
                median_ns,
                min_ns,
                max_ns,
            } = cost;
            println!("{name:<44}{median_ns:>10.0} ns  [{min_ns:.0}..{max_ns:.0}]");
        };
        line("a datagram received", &floor.receive);
        line("a datagram sent, peer still", &floor.send);
        line("a datagram sent, peer live", &floor.send_live);
        line("a datagram received and sent on", &floor.both);
        for segmented in &floor.segmented {
            let segments = segmented.segments;
            line(
                &format!("a datagram sent, {segments} in one send"),
                &segmented.cost,
            );
        }
        let (received, sent) = (floor.sizes.received.len(), floor.sizes.sent.len());
        let call = format!("a call: {received} received, {sent} sent");
        line(&format!("{call}, peer still"), &floor.call);
        line(&format!("{call}, peer live"), &floor.call_live);
        line(&format!("{call}, peer spinning"), &floor.call_spinning);
        if let Some(path) = &self.json {
            write_json(path, &floor)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn sizes(&self) -> io::Result<CallSizes> {
        if let Some(path) = &self.run {
            let report: Report = serde_json::from_str(&std::fs::read_to_string(path)?)?;
            return Ok(CallSizes::of(&report.sizes));
        }
        Ok(match self.received.is_empty() {
            true => CallSizes::default(),
            false => CallSizes {
                received: self.received.clone(),
                sent: self.sent.clone(),
            },
        })
    }
}
