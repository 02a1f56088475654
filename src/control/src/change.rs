//! What a reload changes, in words for the log.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use route::{CallLimits, Spec};

/// Names listed of one kind of change; of more, the number is told.
const NAMES_MAX: usize = 8;

/// One sentence for each kind of change from one routing world to the next; none if they are equal.
#[must_use]
pub fn changes(old: &Spec, new: &Spec) -> Vec<String> {
    let mut told = Vec::new();
    let by_name = |spec: &Spec| -> BTreeMap<String, _> {
        let rows = spec.trunks.iter();
        rows.map(|trunk| (trunk.name.clone(), trunk.clone()))
            .collect()
    };
    tell("trunk", &by_name(old), &by_name(new), &mut told);
    let by_name = |spec: &Spec| -> BTreeMap<String, _> {
        let rows = spec.gateways.iter();
        rows.map(|gateway| (gateway.name.clone(), gateway.clone()))
            .collect()
    };
    tell("gateway", &by_name(old), &by_name(new), &mut told);
    let by_name = |spec: &Spec| -> BTreeMap<String, _> {
        let rows = spec.profiles.iter();
        rows.map(|profile| (profile.name.clone(), Arc::clone(profile)))
            .collect()
    };
    tell("profile", &by_name(old), &by_name(new), &mut told);
    tell_others(old, new, &mut told);
    tell_limits(old, new, &mut told);
    let by_prefix = |spec: &Spec| -> BTreeMap<String, _> {
        let rows = spec.routes.iter();
        rows.map(|route| (route.prefix.clone(), route.plan.clone()))
            .collect()
    };
    tell("route", &by_prefix(old), &by_prefix(new), &mut told);
    if old.unknown_source != new.unknown_source {
        let (was, is) = (old.unknown_source, new.unknown_source);
        told.push(format!("unknown sources: {was:?} -> {is:?}"));
    }
    told
}

/// What trunks and routes name.
fn tell_others(old: &Spec, new: &Spec, told: &mut Vec<String>) {
    fn by_name<T: Clone>(rows: &[T], name: fn(&T) -> &String) -> BTreeMap<String, T> {
        rows.iter()
            .map(|row| (name(row).clone(), row.clone()))
            .collect()
    }
    let carriers = |spec: &Spec| by_name(&spec.carriers, |it| &it.name);
    tell("carrier", &carriers(old), &carriers(new), told);
    let blocks = |spec: &Spec| by_name(&spec.blocks, |it| &it.name);
    tell("block", &blocks(old), &blocks(new), told);
    let caps = |spec: &Spec| by_name(&spec.caps, |it| &it.name);
    tell("cap", &caps(old), &caps(new), told);
    let classes = |spec: &Spec| by_name(&spec.qualities, |it| &it.name);
    tell("class of quality", &classes(old), &classes(new), told);
    let calendars = |spec: &Spec| -> BTreeMap<String, _> {
        let rows = spec.calendars.iter();
        // Where its changes begin and end moves on with each reading.
        let all = || old.calendars.iter().chain(&new.calendars);
        let from = all().filter_map(|it| it.changes.first()).max();
        let until = all().filter_map(|it| it.changes.last()).min();
        let within = |it: &route::CalendarSpec| -> Vec<_> {
            let changes = it.changes.iter();
            let within = changes.filter(|at| Some(*at) > from && Some(*at) < until);
            within.copied().collect()
        };
        rows.map(|it| (it.name.clone(), within(it))).collect()
    };
    tell("calendar", &calendars(old), &calendars(new), told);
}

/// What changes of the limits on calls, each with how much more or less that is.
fn tell_limits(old: &Spec, new: &Spec, told: &mut Vec<String>) {
    for trunk in &new.trunks {
        if let Some(before) = old.trunks.iter().find(|it| it.name == trunk.name) {
            tell_limit(
                &format!("trunk `{}`", trunk.name),
                before.limits,
                trunk.limits,
                told,
            );
        }
    }
    for gateway in &new.gateways {
        if let Some(before) = old.gateways.iter().find(|it| it.name == gateway.name) {
            let whose = format!("gateway `{}`", gateway.name);
            tell_limit(&whose, before.limits, gateway.limits, told);
        }
    }
}

fn tell_limit(whose: &str, old: CallLimits, new: CallLimits, told: &mut Vec<String>) {
    let pairs = [
        ("calls", old.calls, new.calls),
        ("calls a second", old.per_second, new.per_second),
    ];
    for (what, old, new) in pairs.into_iter().filter(|(_, old, new)| old != new) {
        told.push(match (old, new) {
            (Some(old), Some(new)) if new > old => {
                format!("{whose}: {new} {what}, {} more", new - old)
            }
            (Some(old), Some(new)) => format!("{whose}: {new} {what}, {} less", old - new),
            (None, Some(new)) => format!("{whose}: {new} {what}, no limit before"),
            (_, None) => format!("{whose}: no limit on {what} any more"),
        });
    }
}

fn tell<T: PartialEq + Debug>(
    kind: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    told: &mut Vec<String>,
) {
    let added = new.keys().filter(|name| !old.contains_key(*name));
    push(kind, "added", added, told);
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    push(kind, "removed", removed, told);
    let changed = new.iter().filter(|(name, value)| {
        let before = old.get(*name);
        before.is_some_and(|before| before != *value)
    });
    push(kind, "changed", changed.map(|(name, _)| name), told);
}

fn push<'n>(
    kind: &str,
    verb: &str,
    names: impl Iterator<Item = &'n String>,
    told: &mut Vec<String>,
) {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let kind = match names.len() {
        1 => kind.to_owned(),
        _ => plural(kind),
    };
    match names.len() {
        0 => {}
        count @ 1..=NAMES_MAX => {
            told.push(format!("{count} {kind} {verb}: {}", names.join(", ")));
        }
        count => {
            let first = names[..NAMES_MAX].join(", ");
            told.push(format!(
                "{count} {kind} {verb}: {first} and {} more",
                count - NAMES_MAX
            ));
        }
    }
}

/// `routes`, `classes of quality`.
fn plural(kind: &str) -> String {
    let (noun, rest) = kind.split_once(' ').unwrap_or((kind, ""));
    let ending = if noun.ends_with('s') { "es" } else { "s" };
    format!("{noun}{ending} {rest}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use route::{GatewaySpec, RouteSpec};

    fn world(gateways: &[(&str, u16)], routes: &[&str]) -> Spec {
        Spec {
            gateways: (gateways.iter())
                .map(|&(name, port)| GatewaySpec::new(name, ([192, 0, 2, 1], port).into()))
                .collect(),
            routes: (routes.iter())
                .map(|prefix| RouteSpec::new(prefix, &["a"]))
                .collect(),
            ..Spec::default()
        }
    }

    #[test]
    fn each_kind_of_change_is_one_sentence() {
        let old = world(&[("a", 5060), ("b", 5060)], &["44", "49"]);
        assert_eq!(changes(&old, &old), [] as [String; 0]);
        let mut new = world(&[("a", 5070), ("c", 5060)], &["44"]);
        new.unknown_source = route::UnknownSource::Drop;
        assert_eq!(
            changes(&old, &new),
            [
                "1 gateway added: `c`",
                "1 gateway removed: `b`",
                "1 gateway changed: `a`",
                "1 route removed: `49`",
                "unknown sources: Refuse -> Drop",
            ]
        );
    }

    #[test]
    fn what_may_cross_a_border_is_told_of() {
        let profile = |is_trusted| route::Profile {
            name: "partners".to_owned(),
            is_trusted,
            assert: None,
            passes: route::Passes {
                remote_party_id: true,
                diversion: true,
                history_info: true,
                identity: true,
            },
            headers: route::HeaderRules::default(),
        };
        let world = |is_trusted| Spec {
            profiles: vec![Arc::new(profile(is_trusted))],
            ..Spec::default()
        };
        assert_eq!(
            changes(&world(false), &world(true)),
            ["1 profile changed: `partners`"]
        );
        assert_eq!(changes(&world(true), &world(true)), [] as [String; 0]);
    }

    #[test]
    fn limits_are_told_with_what_they_change() {
        let with = |calls, per_second| {
            let mut spec = world(&[("a", 5060)], &[]);
            spec.gateways[0].limits = CallLimits { calls, per_second };
            spec
        };
        let told = |old: &Spec, new: &Spec| changes(old, new)[1..].join("; ");
        let (none, some) = (with(None, None), with(Some(100), Some(30)));
        assert_eq!(
            told(&some, &with(Some(120), Some(18))),
            "gateway `a`: 120 calls, 20 more; gateway `a`: 18 calls a second, 12 less"
        );
        assert_eq!(
            told(&none, &with(Some(5), None)),
            "gateway `a`: 5 calls, no limit before"
        );
        assert_eq!(
            told(&some, &with(Some(100), None)),
            "gateway `a`: no limit on calls a second any more"
        );
    }

    #[test]
    fn many_names_are_counted() {
        let prefixes: Vec<String> = (10..30).map(|prefix| prefix.to_string()).collect();
        let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let told = changes(&world(&[], &[]), &world(&[], &prefixes));
        assert_eq!(
            told,
            ["20 routes added: `10`, `11`, `12`, `13`, `14`, `15`, `16`, `17` and 12 more"]
        );
    }
}
