//! The routes of a spec as a table: prefixes sorted, plans shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::GatewayId;

use crate::build::Ids;
use crate::limits::{DIGITS_MAX, TARGETS_MAX, WEIGHT_MAX};
use crate::snapshot::{Plan, Row};
use crate::{BuildError, PlanSpec, Prefixes, RouteId, RouteSpec, Target};

/// What a snapshot keeps of its routes.
#[derive(Default)]
pub(crate) struct RouteTable {
    pub(crate) prefixes: Prefixes,
    pub(crate) rows: Box<[Row]>,
    pub(crate) digits: Box<str>,
    pub(crate) catch_all: Option<RouteId>,
    pub(crate) plans: Box<[Plan]>,
}

impl RouteTable {
    /// Sorts the routes; what is wrong goes to `errors`, and then the table is empty.
    pub(crate) fn build(
        specs: &[RouteSpec],
        ids: &Ids,
        errors: &mut Vec<BuildError>,
    ) -> RouteTable {
        let mut sorted: Vec<&RouteSpec> = specs.iter().collect();
        sorted.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        for pair in sorted
            .windows(2)
            .filter(|pair| pair[0].prefix == pair[1].prefix)
        {
            let prefix = pair[0].prefix.clone();
            errors.push(BuildError::DuplicatePrefix { prefix });
        }
        let mut plans = Plans::default();
        let (mut rows, mut digits) = (Vec::with_capacity(sorted.len()), String::new());
        let mut catch_all = None;
        for spec in &sorted {
            let start = digits.len() as u32;
            match spec.prefix.as_str() {
                "*" => catch_all = Some(RouteId(rows.len() as u32)),
                prefix if is_digit_prefix(prefix) => digits.push_str(prefix),
                prefix => errors.push(BuildError::BadPrefix {
                    prefix: prefix.to_owned(),
                }),
            }
            rows.push(Row {
                start,
                length: (digits.len() as u32 - start) as u8,
                plan: plans.intern(spec, ids, errors),
            });
        }
        if !errors.is_empty() {
            return RouteTable::default();
        }
        let numbered = sorted
            .iter()
            .zip(0..)
            .filter(|(spec, _)| spec.prefix != "*");
        let entries: Vec<(&[u8], u32)> = numbered
            .map(|(spec, row)| (spec.prefix.as_bytes(), row))
            .collect();
        RouteTable {
            prefixes: Prefixes::build(&entries),
            rows: rows.into(),
            digits: digits.into(),
            catch_all,
            plans: plans.built.into(),
        }
    }
}

fn is_digit_prefix(prefix: &str) -> bool {
    (1..=DIGITS_MAX).contains(&prefix.len()) && prefix.bytes().all(|octet| octet.is_ascii_digit())
}

/// Plans that were built already: by where they are, then by what they say, so that a
/// deck of a million rows is compared by address only.
#[derive(Default)]
struct Plans<'s> {
    by_place: BTreeMap<*const PlanSpec, u32>,
    by_value: BTreeMap<&'s PlanSpec, u32>,
    built: Vec<Plan>,
}

impl<'s> Plans<'s> {
    fn intern(&mut self, spec: &'s RouteSpec, ids: &Ids, errors: &mut Vec<BuildError>) -> u32 {
        let place = Arc::as_ptr(&spec.plan);
        if let Some(&at) = self.by_place.get(&place) {
            return at;
        }
        let at = match self.by_value.get(&*spec.plan) {
            Some(&at) => at,
            None => {
                let at = self.built.len() as u32;
                self.built.push(build_plan(spec, ids, errors));
                self.by_value.insert(&spec.plan, at);
                at
            }
        };
        self.by_place.insert(place, at);
        at
    }
}

fn build_plan(spec: &RouteSpec, ids: &Ids, errors: &mut Vec<BuildError>) -> Plan {
    let (plan, prefix) = (&*spec.plan, || spec.prefix.clone());
    match plan.targets.len() {
        0 => errors.push(BuildError::NoTargets { prefix: prefix() }),
        1..=TARGETS_MAX => {}
        count => errors.push(BuildError::TooManyTargets {
            prefix: prefix(),
            count,
        }),
    }
    let mut targets: Vec<Target> = Vec::new();
    for target in &plan.targets {
        let gateway = || target.gateway.clone();
        let Some(id) = ids.of(&target.gateway).map(GatewayId) else {
            errors.push(BuildError::UnknownGateway {
                prefix: prefix(),
                gateway: gateway(),
            });
            continue;
        };
        if targets.iter().any(|other| other.gateway == id) {
            errors.push(BuildError::RepeatedGateway {
                prefix: prefix(),
                gateway: gateway(),
            });
        }
        if !(1..=WEIGHT_MAX).contains(&target.weight) {
            let weight = target.weight;
            errors.push(BuildError::BadWeight {
                prefix: prefix(),
                gateway: gateway(),
                weight,
            });
        }
        targets.push(Target {
            gateway: id,
            weight: target.weight,
        });
    }
    Plan {
        targets: targets.into(),
        mode: plan.mode,
        advance: plan.advance,
        attempts_max: plan.attempts_max.max(1),
        ring_ms: plan.ring_ms,
    }
}
