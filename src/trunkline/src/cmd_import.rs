//! `trunkline import`: routing data of Kamailio and OpenSIPS as a configuration.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use import::{Choice, World};

use crate::failure::{Failure, print};

/// What `import --help` ends with.
pub(crate) const EXAMPLES: &str = "\
Read are dispatcher.list, and the tables address, trusted, dispatcher, dr_gateways, dr_rules,
dr_carriers, dr_gw_lists, lcr_gw, lcr_rule and lcr_rule_target: as files of db_text, as CSV with a
heading (the file named after its table), or as an SQL dump with any of them.

What has no counterpart is told with its file and line, and left out; nothing is taken over in
another meaning without a word.

Examples:
  mysqldump kamailio address dr_gateways dr_rules dr_gw_lists > dump.sql
  trunkline import dump.sql --group 1 --listen 192.0.2.10:5060 --out new
      customers as trunks, gateways, and the rules of group 1 as routes
  trunkline import dispatcher.list address.csv --out new
  trunkline check --config new/trunkline.toml";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files with tables.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The folder to write trunkline.toml into, and routes.csv if there are many.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Which group of dr_rules, set of the dispatcher, or lcr_id: trunkline has one table of routes.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Write listeners for UDP and TCP at this address, so that the configuration is whole.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Write over files that are there.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut tables = Vec::new();
    for file in &arguments.files {
        let read = import::read(file).map_err(|why| Failure::Import(why.to_string()))?;
        tables.extend(read);
    }
    let choice = Choice {
        group: arguments.group.clone(),
    };
    let world = import::world(&tables, &choice);
    let world = world.map_err(|why| Failure::Import(why.to_string()))?;
    let files = import::files(&world, arguments.listen);
    let at = |name: &str| arguments.out.join(name);
    let mut written = vec![(at("trunkline.toml"), files.toml)];
    written.extend(files.routes.map(|routes| (at("routes.csv"), routes)));
    if !arguments.force
        && let Some((path, _)) = written.iter().find(|(path, _)| path.exists())
    {
        return Err(Failure::Exists(path.clone()));
    }
    fs::create_dir_all(&arguments.out)
        .map_err(|error| Failure::File(arguments.out.clone(), error))?;
    for (path, text) in &written {
        fs::write(path, text).map_err(|error| Failure::File(path.clone(), error))?;
    }
    let paths: Vec<String> = (written.iter())
        .map(|(path, _)| path.display().to_string())
        .collect();
    print(&told(&world, &paths))
}

fn told(world: &World, paths: &[String]) -> String {
    let mut text = String::new();
    for remark in &world.remarks {
        text += &format!("{remark}\n");
    }
    for (kind, count) in world.not_told() {
        text += &format!("{count} remarks more on {kind}\n");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let (trunks, gateways, routes) = (world.trunks.len(), world.gateways.len(), world.routes.len());
    text + &format!(
        "{trunks} trunks, {gateways} gateways, {routes} prefixes: {}\n",
        paths.join(", ")
    )
}
