//! The routes of a spec as a table: prefixes sorted, plans shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::GatewayId;

use crate::balance::digest;
use crate::build::Ids;
use crate::calendar::When;
use crate::limits::{DIGITS_MAX, TARGETS_MAX, WEIGHT_MAX};
use crate::pricing::Pricing;
use crate::snapshot::{Plan, Row};
use crate::{
    Balance, BuildError, CalendarSpec, ClassId, Gateway, Mode, PlanSpec, Prefixes, RouteId,
    RouteSpec, Target, WhenSpec,
};

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
        named: Named<'_>,
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
        let mut plans = Plans::of(named);
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
                plan: plans.intern(spec, errors),
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

pub(crate) fn is_digit_prefix(prefix: &str) -> bool {
    (1..=DIGITS_MAX).contains(&prefix.len()) && prefix.bytes().all(|octet| octet.is_ascii_digit())
}

/// What the plans of a spec name.
#[derive(Clone, Copy)]
pub(crate) struct Named<'s> {
    pub(crate) ids: &'s Ids,
    pub(crate) gateways: &'s [Option<Gateway>],
    pub(crate) calendars: &'s [CalendarSpec],
    pub(crate) qualities: &'s Ids,
}

impl Named<'_> {
    fn gateway(&self, target: &Target) -> Option<&Gateway> {
        self.gateways.get(target.gateway.0 as usize)?.as_ref()
    }

    fn quality(&self, spec: &RouteSpec, errors: &mut Vec<BuildError>) -> Option<ClassId> {
        let Some(class) = &spec.plan.quality else {
            if spec.plan.mode == Mode::Quality {
                let prefix = spec.prefix.clone();
                errors.push(BuildError::NoQuality { prefix });
            }
            return None;
        };
        let found = self.qualities.of(class);
        if found.is_none() {
            errors.push(BuildError::UnknownQuality {
                prefix: spec.prefix.clone(),
                quality: class.clone(),
            });
        }
        found.map(|id| ClassId(id as u16))
    }

    fn when(
        &self,
        spec: &WhenSpec,
        prefix: impl Fn() -> String,
        errors: &mut Vec<BuildError>,
    ) -> Option<When> {
        let found = self
            .calendars
            .iter()
            .position(|it| it.name == spec.calendar);
        let Some(found) = found else {
            errors.push(BuildError::UnknownCalendar {
                prefix: prefix(),
                calendar: spec.calendar.clone(),
            });
            return None;
        };
        Some(When {
            calendar: found as u16,
            is_open: spec.is_open,
        })
    }
}

/// Plans that were built already: by where they are, then by what they say, so that a
/// deck of a million rows is compared by address only.
struct Plans<'s> {
    named: Named<'s>,
    by_place: BTreeMap<*const PlanSpec, u32>,
    by_value: BTreeMap<&'s PlanSpec, u32>,
    built: Vec<Plan>,
    weighted_count: u32,
}

impl<'s> Plans<'s> {
    fn of(named: Named<'s>) -> Plans<'s> {
        Plans {
            named,
            by_place: BTreeMap::new(),
            by_value: BTreeMap::new(),
            built: Vec::new(),
            weighted_count: 0,
        }
    }

    fn intern(&mut self, spec: &'s RouteSpec, errors: &mut Vec<BuildError>) -> u32 {
        let place = Arc::as_ptr(&spec.plan);
        if let Some(&at) = self.by_place.get(&place) {
            return at;
        }
        let at = match self.by_value.get(&*spec.plan) {
            Some(&at) => at,
            None => {
                let at = self.built.len() as u32;
                let mut plan = build_plan(spec, self.named, errors);
                let has_shares = match plan.mode {
                    Mode::Weighted => true,
                    Mode::Balanced => plan.balance == Balance::Weighted,
                    Mode::Ordered | Mode::Cost | Mode::Quality | Mode::Parallel => false,
                };
                if has_shares {
                    plan.turn = Some(self.weighted_count);
                    self.weighted_count += 1;
                }
                self.built.push(plan);
                self.by_value.insert(&spec.plan, at);
                at
            }
        };
        self.by_place.insert(place, at);
        at
    }
}

fn build_plan(spec: &RouteSpec, named: Named<'_>, errors: &mut Vec<BuildError>) -> Plan {
    let plan = &*spec.plan;
    let targets = build_targets(spec, named, errors);
    let gateway = |target: &Target| named.gateway(target);
    let deck = |target: &Target| gateway(target)?.deck;
    let decks: Vec<_> = targets.iter().map(deck).collect();
    if plan.mode == Mode::Cost {
        let without = targets.iter().filter(|target| deck(target).is_none());
        errors.extend(
            without
                .filter_map(gateway)
                .map(|gateway| BuildError::NoDeck {
                    prefix: spec.prefix.clone(),
                    gateway: gateway.name.to_string(),
                }),
        );
    }
    let is_plain = decks.iter().all(Option::is_none)
        && matches!(plan.mode, Mode::Ordered | Mode::Parallel)
        && targets.iter().all(|target| target.when.is_none())
        && plan.quality.is_none();
    let seed = |target: &Target| {
        let name = gateway(target).map_or("", |gateway| &gateway.name);
        digest(name.as_bytes())
    };
    Plan {
        seeds: match plan.balance.is_by_key() {
            true => targets.iter().map(seed).collect(),
            false => Box::default(),
        },
        targets: targets.into(),
        mode: plan.mode,
        balance: plan.balance,
        quality: named.quality(spec, errors),
        advance: plan.advance,
        attempts_max: plan.attempts_max.max(1),
        ring_ms: plan.ring_ms,
        setup_ms: plan.setup_ms,
        pricing: Pricing::new(&decks, plan.margin, u64::from(plan.call_seconds) * 1_000),
        is_plain,
        turn: None,
    }
}

fn build_targets(spec: &RouteSpec, named: Named<'_>, errors: &mut Vec<BuildError>) -> Vec<Target> {
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
        let Some(id) = named.ids.of(&target.gateway).map(GatewayId) else {
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
        let of_snapshot = named.gateways.get(id.0 as usize).and_then(Option::as_ref);
        targets.push(Target {
            gateway: id,
            is_in_maintenance: of_snapshot.is_some_and(|gateway| gateway.maintenance),
            weight: target.weight,
            priority: target.priority,
            when: (target.when.as_ref()).and_then(|when| named.when(when, prefix, errors)),
        });
    }
    targets
}
