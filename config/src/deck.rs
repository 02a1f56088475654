//! Routes in bulk: a CSV file with `prefix,gateways` in each line, read as a stream.
//!
//! ```text
//!   prefix,gateways          ← may be left out; lines that begin with # are comments
//!   49,berlin|vienna         ← berlin first, vienna if it fails
//!   4930,berlin:3|vienna:1   ← three of four calls to berlin first
//!   43,=retail               ← as the [[plan]] `retail` says
//! ```
//!
//! Rows that name the same gateways share one plan, so that a million rows cost a million prefixes
//! and little more.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use csv::{ByteRecord, ReaderBuilder, Terminator};

use crate::error::Errors;
use crate::routes::{Given, prefix};
use crate::section::{cut, meant};
use crate::text::Text;
use crate::{Balance, Error, Margin, Mode, Place, Plan, Route, TARGETS_MAX, Target, WEIGHT_MAX};

/// What rows are read against and where they go.
pub(crate) struct Deck<'d> {
    /// The names of all gateways.
    pub(crate) gateways: Vec<&'d str>,
    pub(crate) attempts_max: usize,
    /// The plans of the configuration, by name.
    pub(crate) plans: BTreeMap<String, Arc<Plan>>,
    pub(crate) given: HashMap<String, Given>,
    /// The configuration, to say in which of its lines a prefix was given first.
    pub(crate) text: Option<&'d Text<'d>>,
    pub(crate) routes: Vec<Route>,
    pub(crate) errors: Errors,
}

/// Reads the rows of a deck for these gateways; `name` is the file's, for the errors.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_deck(name: &str, rows: impl Read, gateways: &[&str]) -> Result<Vec<Route>, Vec<Error>> {
    let mut deck = Deck {
        gateways: gateways.to_vec(),
        attempts_max: 3,
        plans: BTreeMap::new(),
        given: HashMap::new(),
        text: None,
        routes: Vec::new(),
        errors: Errors::default(),
    };
    if let Err(error) = read_rows(name, rows, &mut deck) {
        let remedy = "see whether the file is whole";
        deck.errors.push(Error::of_file(
            name,
            error.to_string(),
            "rows of text",
            remedy,
        ));
    }
    let errors = deck.errors.into_list();
    if errors.is_empty() {
        Ok(deck.routes)
    } else {
        Err(errors)
    }
}

/// Reads a file of rows. Only a regular one: a device would have no end.
pub(crate) fn read_file(path: &Path, deck: &mut Deck<'_>) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read_rows(&path.display().to_string(), File::open(path)?, deck)
}

fn read_rows(name: &str, rows: impl Read, deck: &mut Deck<'_>) -> io::Result<()> {
    // Quotes are taken off below, so that columns are those of the file; and every row has an end,
    // so that its line is the one before the reader's.
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .quoting(false)
        .comment(Some(b'#'))
        .terminator(Terminator::Any(b'\n'))
        .from_reader(rows.chain(&b"\n"[..]));
    let mut record = ByteRecord::new();
    let mut plans: HashMap<Vec<u8>, Option<Arc<Plan>>> = HashMap::new();
    let mut is_first = true;
    while reader
        .read_byte_record(&mut record)
        .map_err(io::Error::from)?
    {
        let row = Row {
            name,
            line: reader.position().line().saturating_sub(1),
            record: &record,
        };
        let is_header = std::mem::take(&mut is_first)
            && row
                .field(0)
                .is_some_and(|field| field.text.eq_ignore_ascii_case("prefix"));
        if !is_header && !row.is_blank() {
            row.read(deck, &mut plans);
        }
    }
    Ok(())
}

/// A line of the file.
struct Row<'r> {
    name: &'r str,
    line: u64,
    record: &'r ByteRecord,
}

/// A field without blanks and quotes around it, and its column.
struct Field {
    text: String,
    column: usize,
}

impl Row<'_> {
    fn field(&self, at: usize) -> Option<Field> {
        let raw = String::from_utf8_lossy(self.record.get(at)?);
        let before = self.record.iter().take(at);
        // One comma after each.
        let start: usize = before
            .map(|it| String::from_utf8_lossy(it).chars().count() + 1)
            .sum();
        let text = raw.trim_start_matches([' ', '\t', '"']);
        let column = start + raw.chars().count() - text.chars().count() + 1;
        let text = text.trim_end_matches([' ', '\t', '"', '\r']).to_owned();
        Some(Field { text, column })
    }

    fn is_blank(&self) -> bool {
        self.record.len() == 1 && self.field(0).is_some_and(|field| field.text.is_empty())
    }

    fn refuse(
        &self,
        deck: &mut Deck<'_>,
        column: usize,
        found: String,
        expected: &str,
        remedy: &str,
    ) {
        let place = Place {
            line: usize::try_from(self.line).unwrap_or(usize::MAX),
            column,
        };
        let error = Error::of_file(self.name, found, expected, remedy);
        deck.errors.push(Error {
            place: Some(place),
            ..error
        });
    }

    fn read(&self, deck: &mut Deck<'_>, plans: &mut HashMap<Vec<u8>, Option<Arc<Plan>>>) {
        let prefix_field = self.field(0).unwrap_or(Field {
            text: String::new(),
            column: 1,
        });
        let Some(gateways) = self.field(1).filter(|field| !field.text.is_empty()) else {
            let found = format!("`{}` and no gateways", cut(&prefix_field.text));
            let remedy = "add a comma and the names of gateways";
            return self.refuse(deck, prefix_field.column, found, "prefix,gateways", remedy);
        };
        if let Some(more) = self.field(2) {
            let found = format!("a third field `{}`", cut(&more.text));
            return self.refuse(
                deck,
                more.column,
                found,
                "prefix,gateways",
                "separate gateways by `|`",
            );
        }
        // An empty prefix is more likely a slip of the exporting program than the wish for all.
        let Some(prefix) = prefix(&prefix_field.text).filter(|_| !prefix_field.text.is_empty())
        else {
            let found = format!("`{}`", cut(&prefix_field.text));
            let expected = format!("1 to {} digits, or `*`", crate::DIGITS_MAX);
            let remedy = "write the digits of E.164 from the country code on";
            return self.refuse(deck, prefix_field.column, found, &expected, remedy);
        };
        let raw = self.record.get(1).unwrap_or_default();
        let plan = match plans.get(raw) {
            Some(plan) => plan.clone(),
            None => {
                let plan = match gateways.text.strip_prefix('=') {
                    Some(name) => self.named(deck, name.trim(), gateways.column),
                    None => self.plan(deck, &gateways).map(Arc::new),
                };
                plans.insert(raw.to_vec(), plan.clone());
                plan
            }
        };
        if let Some(given) = deck.given.get(&prefix).copied() {
            let line = match given {
                Given::Config(at) => {
                    let text = deck.text.expect("only a configuration gives such a place");
                    match text.site(at) {
                        (file, Some(place)) => format!("{file}:{}", place.line),
                        (object, None) => object,
                    }
                }
                Given::Deck(line) => format!("line {line}"),
            };
            let found = format!("a route for `{prefix}` again: it is in {line} already");
            let remedy = "take one of them out";
            return self.refuse(deck, prefix_field.column, found, "each prefix once", remedy);
        }
        deck.given.insert(prefix.clone(), Given::Deck(self.line));
        if let Some(plan) = plan {
            deck.routes.push(Route { prefix, plan });
        }
    }

    /// `=name`: a plan of the configuration.
    fn named(&self, deck: &mut Deck<'_>, name: &str, column: usize) -> Option<Arc<Plan>> {
        let plan = deck.plans.get(name).cloned();
        if plan.is_none() {
            let remedy = meant(name, deck.plans.keys().map(String::as_str));
            let found = format!("the plan `{}`", cut(name));
            self.refuse(deck, column, found, "the name of a [[plan]]", &remedy);
        }
        plan
    }

    /// `name|name` or `name:weight|name:weight`; `None` if something is wrong, which is told once
    /// for all rows that say the same.
    fn plan(&self, deck: &mut Deck<'_>, field: &Field) -> Option<Plan> {
        let mut targets: Vec<Target> = Vec::new();
        let (mut is_good, mut has_weights) = (true, false);
        let mut column = field.column;
        for item in field.text.split('|') {
            let (name, weight) = match item.split_once(':') {
                Some((name, weight)) => (name.trim(), Some(weight.trim())),
                None => (item.trim(), None),
            };
            has_weights |= weight.is_some();
            let is_digits = |text: &&str| text.bytes().all(|octet| octet.is_ascii_digit());
            let number = weight.map_or(Some(1), |text| Some(text).filter(is_digits)?.parse().ok());
            let number = number.filter(|weight| (1..=WEIGHT_MAX).contains(weight));
            if !deck.gateways.contains(&name) {
                let remedy = meant(name, deck.gateways.iter().copied());
                let found = format!("`{}`", cut(name));
                self.refuse(deck, column, found, "the name of a [[gateway]]", &remedy);
                is_good = false;
            } else if targets.iter().any(|target| target.gateway == name) {
                let found = format!("the gateway `{name}` twice");
                self.refuse(
                    deck,
                    column,
                    found,
                    "each gateway once",
                    "take it out, or give it a weight",
                );
                is_good = false;
            } else if let Some(weight) = number {
                targets.push(Target {
                    gateway: name.to_owned(),
                    weight,
                    priority: 0,
                    when: None,
                });
            } else {
                let found = format!("the weight `{}`", cut(weight.unwrap_or_default()));
                let expected = format!("a whole number from 1 to {WEIGHT_MAX}");
                self.refuse(
                    deck,
                    column,
                    found,
                    &expected,
                    "leave out a gateway that gets no calls",
                );
                is_good = false;
            }
            column += item.chars().count() + 1;
        }
        if targets.len() > TARGETS_MAX {
            let found = format!("{} gateways", targets.len());
            self.refuse(
                deck,
                field.column,
                found,
                &format!("at most {TARGETS_MAX}"),
                "take some out",
            );
            is_good = false;
        }
        is_good.then(|| plain_plan(targets, has_weights, deck.attempts_max))
    }
}

/// A plan of which nothing else was said.
fn plain_plan(targets: Vec<Target>, has_weights: bool, attempts_max: usize) -> Plan {
    Plan {
        targets,
        mode: if has_weights {
            Mode::Weighted
        } else {
            Mode::Ordered
        },
        balance: Balance::Weighted,
        quality: None,
        advance: None,
        attempts_max,
        ring_ms: 0,
        setup_ms: 0,
        margin: Margin::Permille(0),
        call_seconds: 180,
    }
}
