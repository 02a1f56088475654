//! `trunkline route explain`: what would become of a call, and why.

use std::path::PathBuf;

use base::Time;
use clap::Args;
use control::Loaded;
use route::{DESTINATION_DIGITS_MAX, Health, Mark, Measure, Moment, Occasion, Quality, Snapshot};
use serde_json::Value;

use crate::failure::{Failure, print};
use crate::{boot, cmd_stats};

/// What `route explain --help` ends with.
pub(crate) const EXAMPLES: &str = "\
The configuration is read as `run` would read it, and the call is led through the same code as a
real one. All gateways count as up, but those in maintenance.

Examples:
  trunkline route explain --config trunkline.toml --from customer-1 +442079460001
  trunkline route explain --config trunkline.toml --from customer-1 sip:0044207946@192.0.2.1 --json
  trunkline route explain --config trunkline.toml --from customer-1 +442079460001 --at 2026-12-24T18:00:00Z";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration, in TOML.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Ask this generation of the store that it names, and not what is in force.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// The trunk that the call would come from.
    #[arg(long, value_name = "TRUNK")]
    from: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The random number of a weighted choice: the same gives the same order.
    #[arg(long, value_name = "N", default_value_t = 0)]
    dice: u64,
    /// Who calls, for routes that balance by it.
    #[arg(long, value_name = "NUMBER", default_value = "")]
    caller: String,
    /// The Call-ID, for routes that balance by it.
    #[arg(long, value_name = "ID", default_value = "")]
    call_id: String,
    /// When the call would come: prices and calendars are those of then. Without a zone it is UTC.
    #[arg(long, value_name = "TIME", value_parser = at)]
    at: Option<Moment>,
    /// The stats socket of a running node, to explain by the quality that it measures now.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// What was dialled: the user part of a Request-URI, or a whole sip: or tel: URI.
    #[arg(value_name = "NUMBER")]
    number: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = match arguments.generation {
        Some(id) => Loaded::from_store(&arguments.config, id),
        None => Loaded::from_file(&arguments.config, boot::FIRST_GENERATION, None),
    };
    let loaded = loaded.map_err(Failure::Load)?;
    let snapshot = &loaded.snapshot;
    let Some(trunk) = snapshot.trunk_named(&arguments.from) else {
        let known = snapshot.trunks().map(|trunk| trunk.name.to_string());
        return Err(Failure::NoTrunk(arguments.from.clone(), known.collect()));
    };
    let health = Health::new(snapshot.gateways_max());
    let quality = quality(arguments, snapshot)?;
    let (number, dice) = (&arguments.number, arguments.dice);
    let occasion = Occasion {
        now: Time::ZERO,
        at: arguments.at.unwrap_or_else(control::now),
        dice,
        caller: arguments.caller.as_bytes(),
        call_id: arguments.call_id.as_bytes(),
        quality: Some(&quality),
    };
    let explanation = route::explain_dialled(snapshot, &health, trunk.id, number, occasion)
        .map_err(|error| Failure::Number(number.clone(), error))?;
    let mut text = if arguments.json {
        explanation.to_json()
    } else {
        explanation.to_string()
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print(&text)
}

/// The quality that a running node measures, or that of nobody.
fn quality(arguments: &Arguments, world: &Snapshot) -> Result<Quality, Failure> {
    let stats = match &arguments.socket {
        Some(socket) => cmd_stats::stats(socket)?,
        None => Value::Null,
    };
    let rows = stats["quality"].as_array();
    let rows = rows.map_or(&[][..], Vec::as_slice);
    let quality = Quality::new(0, rows.len() * 4);
    for row in rows {
        let name = |key: &str| row[key].as_str().unwrap_or_default();
        let number = |key: &str| row[key].as_u64().and_then(|it| u32::try_from(it).ok());
        let share = |key: &str| number(key).and_then(|it| u16::try_from(it).ok());
        let class = world.quality_named(name("class"));
        let (Some(class), Some(gateway)) = (class, world.gateway_named(name("gateway"))) else {
            continue;
        };
        let digits = name("destination").as_bytes();
        let mark = Mark {
            admit_per_mille: share("admitted").unwrap_or(1_000),
            asr: share("asr"),
            ner: share("ner"),
            short: share("short"),
            pdd_ms: number("pdd_ms"),
            acd_s: number("acd_s"),
        };
        let measure = Measure::of_digits(class, digits, DESTINATION_DIGITS_MAX);
        quality.say(measure, gateway.id, mark);
    }
    Ok(quality)
}

fn at(text: &str) -> Result<Moment, String> {
    let found = control::moment(text);
    found.ok_or_else(|| "write it as 2026-12-24T18:00:00Z, or as 2026-12-24".to_owned())
}
