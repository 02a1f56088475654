//! The way over from Kamailio and OpenSIPS: their routing data as a configuration of trunkline.
//!
//! ```text
//!   dispatcher.list ─┐
//!   db_text, CSV,    ├─▶ Table ─▶ dispatcher, drouting, lcr, permissions ─▶ World ─▶ TOML, CSV
//!   SQL dumps       ─┘            (what each row means there)      └─▶ remarks: what is left out
//! ```
//! Nothing is taken over silently in another meaning: what a row says that has no counterpart is a
//! remark with its file and line. The sources for what the tables mean are the modules' own
//! definitions of them (Kamailio 5.6 and OpenSIPS 3.4: dispatcher, drouting, lcr, permissions).

mod csv_file;
mod dbtext;
mod dispatcher;
mod drouting;
mod lcr;
mod peer;
mod permissions;
mod sql;
mod table;
mod world;
mod write;

use std::fmt;

pub use table::{NotRead, Table, read};
pub use world::{Remark, World};
pub use write::{Files, files};

/// Which of several sets of routes is to be taken: trunkline has one.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The group of `dr_rules`, the set of a dispatcher, or the `lcr_id`.
    pub group: Option<String>,
}

/// Why nothing can be made of the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// There are several sets of routes, and none was chosen.
    Groups {
        /// Of what.
        table: &'static str,
        /// Each with its number of rows.
        there: Vec<(String, usize)>,
    },
    /// The one that was chosen is not there.
    NoGroup {
        /// Of what.
        table: &'static str,
        /// What was asked for.
        asked: String,
        /// Those there are.
        there: Vec<String>,
    },
    /// Two tables say where numbers go.
    TwoPlans,
    /// A table needs another one.
    Missing {
        /// The one that is there.
        table: &'static str,
        /// The one that is not.
        needs: &'static str,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Groups { table, there } => {
                let each = |(name, count): &(String, usize)| format!("{name} ({count} rows)");
                let list: Vec<String> = there.iter().map(each).collect();
                write!(
                    f,
                    "{table} has several groups: {}; choose one by --group",
                    list.join(", ")
                )
            }
            Refused::NoGroup {
                table,
                asked,
                there,
            } => write!(
                f,
                "{table} has no group `{asked}`; there are: {}",
                there.join(", ")
            ),
            Refused::TwoPlans => f.write_str(
                "dr_rules, lcr_rule and a dispatcher's sets all say where calls go; \
                 give one of them at a time",
            ),
            Refused::Missing { table, needs } => {
                write!(f, "{table} names rows of {needs}: give that, too")
            }
        }
    }
}

impl std::error::Error for Refused {}

/// Makes a world of what was read.
///
/// # Errors
/// Why the tables do not make one.
pub fn world(tables: &[Table], choice: &Choice) -> Result<World, Refused> {
    let mut world = World::default();
    let has = |name: &str| tables.iter().any(|table| table.name == name);
    let plans = ["dr_rules", "lcr_rule", "dispatcher"];
    if plans.iter().filter(|name| has(name)).count() > 1 {
        return Err(Refused::TwoPlans);
    }
    for table in tables {
        if !KNOWN.contains(&table.name.as_str()) {
            let words = format!("table `{}` is left out: nothing here reads it", table.name);
            world.remark(table, 0, words);
        }
    }
    permissions::take(tables, &mut world);
    drouting::take(tables, choice, &mut world)?;
    lcr::take(tables, choice, &mut world)?;
    dispatcher::take(tables, choice, &mut world)?;
    world.drop_what_is_empty();
    Ok(world)
}

/// The tables that are read.
pub const KNOWN: [&str; 10] = [
    "address",
    "dispatcher",
    "dr_carriers",
    "dr_gateways",
    "dr_gw_lists",
    "dr_rules",
    "lcr_gw",
    "lcr_rule",
    "lcr_rule_target",
    "trusted",
];

/// Picks one of the groups of a table's rows.
pub(crate) fn pick(
    table: &'static str,
    there: &[(String, usize)],
    choice: &Choice,
) -> Result<Option<String>, Refused> {
    let names = || there.iter().map(|(name, _)| name.clone()).collect();
    match (&choice.group, there) {
        (_, []) => Ok(None),
        (Some(asked), _) => match there.iter().find(|(name, _)| name == asked) {
            Some((name, _)) => Ok(Some(name.clone())),
            None => Err(Refused::NoGroup {
                table,
                asked: asked.clone(),
                there: names(),
            }),
        },
        (None, [(only, _)]) => Ok(Some(only.clone())),
        (None, _) => Err(Refused::Groups {
            table,
            there: there.to_vec(),
        }),
    }
}
