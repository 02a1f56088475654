//! `trunkline run`: carry calls until told to stop.

use std::path::Path;

use control::{Asked, Ended, Loaded, LogTarget};

use crate::boot;
use crate::failure::Failure;

/// What `run --help` ends with.
pub(crate) const EXAMPLES: &str = "\
Signals:
  HUP   read the configuration again: trunks, gateways and routes take effect at once and together;
        (from the file, or from the head of the store that it names);
        a file with errors changes nothing and is told in the log
  TERM  no new calls; end when the last call is over or at [drain] deadline_ms; again: end at once
  INT   as TERM
  USR1  finish the open file of call records and begin another

Example:
  trunkline run --config /etc/trunkline/trunkline.toml";

pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let loaded = Loaded::at_boot(file, boot::FIRST_GENERATION).map_err(Failure::Load)?;
    let log = boot::start_log(loaded.config.log, LogTarget::StandardError);
    if let Some(stored) = &loaded.stored
        && let Some(why) = &stored.instead
    {
        tracing::error!(
            generation = stored.fetched.id,
            "{why}. Starting with the generation that was in force last on this machine; \
             when the store is back, kill -HUP takes its head"
        );
    }
    let node = boot::start(loaded, Some(file.to_owned()), log)?;
    match node.serve(&Asked::default()) {
        Ended {
            records_lost: 0,
            shards_failed: 0,
        } => Ok(()),
        ended => Err(Failure::Losses(ended)),
    }
}
