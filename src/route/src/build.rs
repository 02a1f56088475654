//! From plain data to a snapshot: names become ids, prefixes are sorted, every mistake is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{GatewayId, ListenerId, TrunkId};

use crate::block::Blocks;
use crate::calendar::Calendar;
use crate::cap::{CapSide, Caps};
use crate::gateway::{Around, Kept, host_text};
use crate::ingress::{Egress, Ingress};
use crate::limits::BLOCKS_MAX;
use crate::limits::{
    CALENDARS_MAX, CAPS_PER_PEER_MAX, DIGITS_MAX, GATEWAYS_MAX, QUALITIES_MAX, ROUTES_MAX,
    TARGETS_MAX, TECH_PREFIX_BYTES_MAX, TRUNKS_MAX, WEIGHT_MAX,
};
use crate::pricing::{DeckInfo, Prices};
use crate::screen::Screen;
use crate::snapshot::{Known, Names};
use crate::table::{Named, RouteTable};
use crate::{
    Balance, Coalesce, DeckId, DeckSpec, Gateway, GatewaySpec, NumberFormat, PlainRule, Profile,
    Snapshot, Source, Spec, Trunk, TrunkSpec,
};

/// Why no snapshot can be built. The configuration finds nearly all of these first, with line and
/// column; these are for specs that come from elsewhere, and for what only a reload can show.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the fields are what the message of each says
pub enum BuildError {
    TooManyBlocks {
        count: usize,
    },
    DuplicateBlock {
        name: String,
    },
    UnknownBlockPeer {
        block: String,
        kind: &'static str,
        name: String,
    },
    UnknownBlockList {
        block: String,
        list: String,
    },
    TooManyTrunks {
        count: usize,
    },
    TooManyGateways {
        count: usize,
        max: usize,
    },
    TooManyRoutes {
        count: usize,
    },
    DuplicateTrunk {
        name: String,
    },
    DuplicateGateway {
        name: String,
    },
    DuplicateSource {
        source: Source,
        first: String,
        second: String,
    },
    DuplicatePrefix {
        prefix: String,
    },
    BadSource {
        trunk: String,
        source: Source,
    },
    BadNumberFormat {
        trunk: String,
        what: &'static str,
    },
    BadPrefix {
        prefix: String,
    },
    BadAddress {
        gateway: String,
        address: SocketAddr,
    },
    UnknownListener {
        gateway: String,
        listener: String,
    },
    NoListener {
        gateway: String,
    },
    WrongListener {
        gateway: String,
        listener: String,
    },
    UnknownGateway {
        prefix: String,
        gateway: String,
    },
    RepeatedGateway {
        prefix: String,
        gateway: String,
    },
    NoTargets {
        prefix: String,
    },
    TooManyTargets {
        prefix: String,
        count: usize,
    },
    BadWeight {
        prefix: String,
        gateway: String,
        weight: u32,
    },
    TooManyDecks {
        count: usize,
    },
    DuplicateDeck {
        name: String,
    },
    UnknownDeck {
        /// `trunk` or `gateway`.
        kind: &'static str,
        name: String,
        deck: String,
    },
    UnknownProfile {
        /// `trunk` or `gateway`.
        kind: &'static str,
        name: String,
        profile: String,
    },
    NoDeck {
        prefix: String,
        gateway: String,
    },
    DuplicateList {
        name: String,
    },
    UnknownList {
        trunk: String,
        list: String,
    },
    DuplicateCarrier {
        name: String,
    },
    UnknownCarrier {
        name: String,
    },
    TooManyCaps {
        count: usize,
        max: usize,
    },
    DuplicateCap {
        name: String,
    },
    UnknownCapPeer {
        cap: String,
        peer: String,
    },
    UnknownCapList {
        cap: String,
        list: String,
    },
    TooManyCapsOfPeer {
        peer: String,
        count: usize,
    },
    UnknownVendor {
        trunk: String,
        vendor: String,
    },
    TooManyCalendars {
        count: usize,
    },
    DuplicateCalendar {
        name: String,
    },
    BadCalendar {
        name: String,
    },
    UnknownCalendar {
        prefix: String,
        calendar: String,
    },
    TooManyQualities {
        count: usize,
    },
    DuplicateQuality {
        name: String,
    },
    UnknownQuality {
        prefix: String,
        quality: String,
    },
    NoQuality {
        prefix: String,
    },
}

impl fmt::Display for BuildError {
    #[rustfmt::skip] // a table
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use BuildError as E;
        match self {
            E::TooManyTrunks { count } => write!(f, "{count} trunk names since the start; at most {TRUNKS_MAX}"),
            E::TooManyGateways { count, max } => write!(f, "{count} gateway names since the start; at most {max} (limits.gateways_max); a restart forgets removed ones"),
            E::TooManyRoutes { count } => write!(f, "{count} routes; at most {ROUTES_MAX}"),
            E::DuplicateTrunk { name } => write!(f, "two trunks are named `{name}`"),
            E::DuplicateGateway { name } => write!(f, "two gateways are named `{name}`"),
            E::DuplicateSource { source, first, second } => write!(f, "source {source} belongs to trunk `{first}` and to trunk `{second}`"),
            E::DuplicatePrefix { prefix } => write!(f, "two routes have the prefix `{prefix}`"),
            E::BadSource { trunk, source } => write!(f, "trunk `{trunk}`: source {source} is no network"),
            E::BadNumberFormat { trunk, what } => write!(f, "trunk `{trunk}`: {what}"),
            E::BadPrefix { prefix } => write!(f, "prefix `{prefix}` is neither 1 to {DIGITS_MAX} digits nor `*`"),
            E::BadAddress { gateway, address } => write!(f, "gateway `{gateway}`: nothing can be sent to {address}"),
            E::UnknownListener { gateway, listener } => write!(f, "gateway `{gateway}` names the listener `{listener}`, which does not exist"),
            E::NoListener { gateway } => write!(f, "gateway `{gateway}`: no listener has its transport and address family"),
            E::WrongListener { gateway, listener } => write!(f, "gateway `{gateway}`: listener `{listener}` has another transport or address family"),
            E::UnknownGateway { prefix, gateway } => write!(f, "route `{prefix}` names the gateway `{gateway}`, which does not exist"),
            E::RepeatedGateway { prefix, gateway } => write!(f, "route `{prefix}` names the gateway `{gateway}` twice"),
            E::NoTargets { prefix } => write!(f, "route `{prefix}` has no gateway"),
            E::TooManyTargets { prefix, count } => write!(f, "route `{prefix}` has {count} gateways; at most {TARGETS_MAX}"),
            E::BadWeight { prefix, gateway, weight } => write!(f, "route `{prefix}`: the weight {weight} of gateway `{gateway}` is not between 1 and {WEIGHT_MAX}"),
            E::TooManyDecks { count } => write!(f, "{count} decks; at most {}", DeckId::COUNT_MAX),
            E::DuplicateDeck { name } => write!(f, "two decks are named `{name}`"),
            E::UnknownDeck { kind, name, deck } => write!(f, "{kind} `{name}` names the deck `{deck}`, which does not exist"),
            E::UnknownProfile { kind, name, profile } => write!(f, "{kind} `{name}` names the profile `{profile}`, which does not exist"),
            E::DuplicateList { name } => write!(f, "two lists are named `{name}`"),
            E::UnknownList { trunk, list } => write!(f, "trunk `{trunk}` is held against the list `{list}`, which does not exist"),
            E::DuplicateCarrier { name } => write!(f, "two carriers are named `{name}`"),
            E::UnknownCarrier { name } => write!(f, "no trunk is of the carrier `{name}`"),
            E::TooManyCaps { count, max } => write!(f, "{count} cells of caps since the start; at most {max} (limits.caps_max); a restart forgets removed ones"),
            E::TooManyBlocks { count } => write!(f, "{count} blocks; at most {BLOCKS_MAX}: put their numbers into lists"),
            E::DuplicateBlock { name } => write!(f, "two blocks are named `{name}`"),
            E::UnknownBlockPeer { block, kind, name } => write!(f, "block `{block}` names `{name}`, which is neither a {kind} nor the carrier of one"),
            E::UnknownBlockList { block, list } => write!(f, "block `{block}` names the list `{list}`, which does not exist"),
            E::DuplicateCap { name } => write!(f, "two caps are named `{name}`"),
            E::UnknownCapPeer { cap, peer } => write!(f, "cap `{cap}` names `{peer}`, which is neither one of those that it counts nor the carrier of one"),
            E::UnknownCapList { cap, list } => write!(f, "cap `{cap}` names the list `{list}`, which does not exist"),
            E::TooManyCapsOfPeer { peer, count } => write!(f, "{count} caps hold for `{peer}`; at most {CAPS_PER_PEER_MAX}"),
            E::UnknownVendor { trunk, vendor } => write!(f, "trunk `{trunk}` names `{vendor}`, which is neither a gateway nor the carrier of one"),
            E::TooManyCalendars { count } => write!(f, "{count} calendars; at most {CALENDARS_MAX}"),
            E::DuplicateCalendar { name } => write!(f, "two calendars are named `{name}`"),
            E::BadCalendar { name } => write!(f, "calendar `{name}`: its changes are not in the order of time"),
            E::UnknownCalendar { prefix, calendar } => write!(f, "route `{prefix}` names the calendar `{calendar}`, which does not exist"),
            E::TooManyQualities { count } => write!(f, "{count} names of classes of quality since the start; at most {QUALITIES_MAX}"),
            E::DuplicateQuality { name } => write!(f, "two classes of quality are named `{name}`"),
            E::UnknownQuality { prefix, quality } => write!(f, "route `{prefix}` names the class of quality `{quality}`, which does not exist"),
            E::NoQuality { prefix } => write!(f, "route `{prefix}` is by quality, and names no class of it"),
            E::NoDeck { prefix, gateway } => write!(f, "route `{prefix}` is by cost, and its gateway `{gateway}` has no deck"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds the snapshot of a spec. Names keep the ids that `previous` gave them, and names that are
/// gone keep theirs unused, so that an old call's gateway is never taken for a new one.
///
/// # Errors
/// Everything that is wrong, not the first only.
pub fn build(
    spec: &Spec,
    generation: u64,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, Vec<BuildError>> {
    let mut errors = Vec::new();
    let known = previous.map_or(&[][..], |old| &old.trunk_names);
    let trunk_ids = Ids::assign(
        known,
        spec.trunks.iter().map(|it| (&*it.name, &*it.carrier)),
    );
    let known = previous.map_or(&[][..], |old| &old.gateway_names);
    let gateway_ids = Ids::assign(
        known,
        spec.gateways.iter().map(|it| (&*it.name, &*it.carrier)),
    );
    check_counts(spec, &trunk_ids, &gateway_ids, &mut errors);
    let repeated = trunk_ids.repeated.iter().cloned();
    errors.extend(repeated.map(|name| BuildError::DuplicateTrunk { name }));
    let repeated = gateway_ids.repeated.iter().cloned();
    errors.extend(repeated.map(|name| BuildError::DuplicateGateway { name }));

    let decks = Decks::new(&spec.decks, &mut errors);
    check_lists(spec, &mut errors);
    let known = previous.map_or(&[][..], |old| &old.cap_names);
    let caps = Caps::build(spec, known, &mut errors);
    let objects = (&decks, &caps);
    let mut trunks = build_trunks(spec, (&trunk_ids, &gateway_ids), objects, &mut errors);
    let blocks = Blocks::build(spec, &gateway_ids, &mut errors);
    for trunk in trunks.iter_mut().flatten() {
        trunk.blocks = blocks.of(&trunk.name, &trunk.carrier);
    }
    let ingress = build_ingress(&trunks, &mut errors);
    let gateways = build_gateways(spec, &gateway_ids, objects, &mut errors);
    let qualities = quality_ids(spec, previous, &mut errors);
    check_calendars(spec, &mut errors);
    let named = Named {
        ids: &gateway_ids,
        gateways: &gateways,
        calendars: &spec.calendars,
        qualities: &qualities,
    };
    let table = RouteTable::build(&spec.routes, named, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let addresses = gateways.iter().flatten();
    let mut borders = trunks.iter().flatten().filter_map(Trunk::border);
    let has_borders =
        borders.next().is_some() || gateways.iter().flatten().any(|it| it.border().is_some());
    let of_gateways = spec.gateways.iter().filter_map(|it| it.coalesce);
    let mut coalesce = of_gateways.chain(spec.coalesce.iter().copied());
    let decks = spec.decks.iter().map(|deck| DeckInfo {
        name: deck.name.as_str().into(),
        currency: deck.currency,
        worth: deck.worth,
    });
    let lengths_ms = table.plans.iter().filter_map(|plan| plan.pricing.length());
    let prices = Prices::new(Arc::clone(&spec.rates), decks.collect(), lengths_ms);
    Ok(Snapshot {
        coalesces: coalesce.any(|it| it != Coalesce::Off),
        coalesce: spec.coalesce.clone().into(),
        has_borders,
        generation,
        unknown_source: spec.unknown_source,
        gateways_max: spec.gateways_max,
        egress: Egress::build(addresses.map(|g| (g.address, g.transport, g.id))),
        ingress,
        trunks,
        trunk_names: trunk_ids.names,
        gateways,
        gateway_names: gateway_ids.names,
        prefixes: table.prefixes,
        rows: table.rows,
        digits: table.digits,
        catch_all: table.catch_all,
        measures_trips: (table.plans.iter()).any(|plan| plan.balance == Balance::Fastest),
        plans: table.plans,
        calendars: spec.calendars.iter().map(Calendar::new).collect(),
        qualities: qualities.arrange(&spec.qualities, |class| &class.name),
        quality_names: qualities.names,
        caps: caps.rules,
        cap_names: caps.ids.names,
        prices,
    })
}

/// The decks by their names.
struct Decks<'s>(BTreeMap<&'s str, DeckId>);

impl<'s> Decks<'s> {
    fn new(specs: &'s [DeckSpec], errors: &mut Vec<BuildError>) -> Decks<'s> {
        if specs.len() > DeckId::COUNT_MAX {
            errors.push(BuildError::TooManyDecks { count: specs.len() });
        }
        let mut ids = BTreeMap::new();
        for (deck, id) in specs.iter().zip(0..) {
            if ids.insert(deck.name.as_str(), DeckId(id)).is_some() {
                let name = deck.name.clone();
                errors.push(BuildError::DuplicateDeck { name });
            }
        }
        Decks(ids)
    }

    /// The deck that a trunk or a gateway names.
    fn of(
        &self,
        deck: Option<&String>,
        (kind, name): (&'static str, &str),
        errors: &mut Vec<BuildError>,
    ) -> Option<DeckId> {
        let deck = deck?;
        let found = self.0.get(deck.as_str()).copied();
        if found.is_none() {
            errors.push(BuildError::UnknownDeck {
                kind,
                name: name.to_owned(),
                deck: deck.clone(),
            });
        }
        found
    }
}

/// Names with their ids: the old ones first, as they were.
pub(crate) struct Ids {
    names: Names,
    /// Those of this spec only: a name that was removed must not be found.
    wanted: BTreeMap<Arc<str>, u32>,
    repeated: Vec<String>,
}

impl Ids {
    /// `wanted` are names with their carriers.
    pub(crate) fn assign<'n>(
        known: &[Known],
        wanted: impl Iterator<Item = (&'n str, &'n str)>,
    ) -> Ids {
        let mut names: Vec<Known> = known.to_vec();
        let old = names.iter().map(|it| Arc::clone(&it.name));
        let old: BTreeMap<Arc<str>, u32> = old.zip(0..).collect();
        let mut ids = BTreeMap::new();
        let mut repeated = Vec::new();
        for (name, carrier) in wanted {
            if ids.contains_key(name) {
                repeated.push(name.to_owned());
                continue;
            }
            let (name, carrier): (Arc<str>, Arc<str>) = (name.into(), carrier.into());
            let id = match old.get(&name) {
                Some(&id) => {
                    names[id as usize].carrier = carrier;
                    id
                }
                None => {
                    let name = Arc::clone(&name);
                    names.push(Known { name, carrier });
                    (names.len() - 1) as u32
                }
            };
            ids.insert(name, id);
        }
        Ids {
            names: names.into(),
            wanted: ids,
            repeated,
        }
    }

    /// Things by the ids of their names.
    pub(crate) fn arrange<T: Clone>(
        &self,
        all: &[T],
        name: impl Fn(&T) -> &str,
    ) -> Box<[Option<T>]> {
        let mut arranged = vec![None; self.names.len()];
        for thing in all {
            if let Some(id) = self.of(name(thing)) {
                arranged[id as usize] = Some(thing.clone());
            }
        }
        arranged.into()
    }

    pub(crate) fn of(&self, name: &str) -> Option<u32> {
        self.wanted.get(name).copied()
    }

    /// How many names there are, those that are gone included.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }
}

fn check_counts(spec: &Spec, trunks: &Ids, gateways: &Ids, errors: &mut Vec<BuildError>) {
    let count = trunks.names.len();
    if count > TRUNKS_MAX {
        errors.push(BuildError::TooManyTrunks { count });
    }
    let (count, max) = (gateways.names.len(), spec.gateways_max.min(GATEWAYS_MAX));
    if count > max {
        errors.push(BuildError::TooManyGateways { count, max });
    }
    let count = spec.routes.len();
    if count > ROUTES_MAX {
        errors.push(BuildError::TooManyRoutes { count });
    }
}

fn check_lists(spec: &Spec, errors: &mut Vec<BuildError>) {
    let mut names = BTreeSet::new();
    let repeated = spec.lists.iter().filter(|list| !names.insert(&list.name));
    errors.extend(repeated.map(|list| BuildError::DuplicateList {
        name: list.name.clone(),
    }));
    let mut names = BTreeSet::new();
    for carrier in &spec.carriers {
        let name = carrier.name.clone();
        if !names.insert(&carrier.name) {
            errors.push(BuildError::DuplicateCarrier { name });
        } else if !(spec.trunks.iter()).any(|trunk| trunk.carrier == carrier.name) {
            errors.push(BuildError::UnknownCarrier { name });
        }
    }
}

/// The classes of quality keep their ids, as gateways do: what was counted stays theirs.
fn quality_ids(spec: &Spec, previous: Option<&Snapshot>, errors: &mut Vec<BuildError>) -> Ids {
    let known = previous.map_or(&[][..], |old| &old.quality_names);
    let ids = Ids::assign(known, spec.qualities.iter().map(|it| (&*it.name, "")));
    let count = ids.names.len();
    if count > QUALITIES_MAX {
        errors.push(BuildError::TooManyQualities { count });
    }
    let repeated = ids.repeated.iter().cloned();
    errors.extend(repeated.map(|name| BuildError::DuplicateQuality { name }));
    ids
}

fn check_calendars(spec: &Spec, errors: &mut Vec<BuildError>) {
    let count = spec.calendars.len();
    if count > CALENDARS_MAX {
        errors.push(BuildError::TooManyCalendars { count });
    }
    let mut names = BTreeSet::new();
    for calendar in &spec.calendars {
        let name = || calendar.name.clone();
        if !names.insert(&calendar.name) {
            errors.push(BuildError::DuplicateCalendar { name: name() });
        }
        if !calendar.changes.is_sorted_by(|one, next| one < next) {
            errors.push(BuildError::BadCalendar { name: name() });
        }
    }
}

fn build_trunks(
    all: &Spec,
    (ids, gateways): (&Ids, &Ids),
    (decks, caps): (&Decks<'_>, &Caps<'_>),
    errors: &mut Vec<BuildError>,
) -> Box<[Option<Trunk>]> {
    let mut trunks: Vec<Option<Trunk>> = vec![None; ids.names.len()];
    for spec in &all.trunks {
        let id = ids.of(&spec.name).expect("every name got an id");
        if let Some(what) = number_format_fault(&spec.number) {
            let trunk = spec.name.clone();
            errors.push(BuildError::BadNumberFormat { trunk, what });
        }
        let mut unknown = Vec::new();
        let screen = Screen::build(all, spec, &mut unknown);
        errors.extend(unknown.into_iter().map(|list| BuildError::UnknownList {
            trunk: spec.name.clone(),
            list,
        }));
        let excluded = excluded(spec, all, gateways, errors);
        trunks[id as usize] = Some(Trunk {
            screen,
            excluded,
            blocks: Box::default(),
            id: TrunkId(id),
            name: spec.name.as_str().into(),
            carrier: spec.carrier.as_str().into(),
            sources: spec.sources.as_slice().into(),
            number: spec.number.clone(),
            rules: spec.rules.clone(),
            profile: profile_of(all, spec.profile.as_ref(), ("trunk", &spec.name), errors),
            max_call_seconds: spec.max_call_seconds,
            limits: spec.limits,
            refuse: spec.refuse,
            caps: caps.of(CapSide::Trunks, (&spec.name, &spec.carrier), errors),
            follow_redirects: spec.follow_redirects,
            redirects: spec.redirects,
            overload_weight: spec.overload_weight,
            deck: decks.of(spec.deck.as_ref(), ("trunk", &spec.name), errors),
            allow: spec.allow.iter().map(|word| word.as_str().into()).collect(),
        });
    }
    trunks.into()
}

/// The profile that a trunk or a gateway names.
fn profile_of(
    spec: &Spec,
    profile: Option<&String>,
    (kind, name): (&'static str, &str),
    errors: &mut Vec<BuildError>,
) -> Option<Arc<Profile>> {
    let profile = profile?;
    let found = spec.profiles.iter().find(|it| it.name == *profile);
    if found.is_none() {
        errors.push(BuildError::UnknownProfile {
            kind,
            name: name.to_owned(),
            profile: profile.clone(),
        });
    }
    found.cloned()
}

/// The gateways that a trunk's calls never go to: those that it excludes, and all but those that it
/// wants, if it says so.
fn excluded(
    trunk: &TrunkSpec,
    spec: &Spec,
    ids: &Ids,
    errors: &mut Vec<BuildError>,
) -> Box<[GatewayId]> {
    let is =
        |gateway: &GatewaySpec, name: &String| gateway.name == *name || gateway.carrier == *name;
    let named =
        |gateway: &GatewaySpec, names: &[String]| names.iter().any(|name| is(gateway, name));
    for name in trunk.exclude.iter().chain(&trunk.only) {
        if !spec.gateways.iter().any(|gateway| is(gateway, name)) {
            errors.push(BuildError::UnknownVendor {
                trunk: trunk.name.clone(),
                vendor: name.clone(),
            });
        }
    }
    let out = spec.gateways.iter().filter(|gateway| {
        named(gateway, &trunk.exclude) || !trunk.only.is_empty() && !named(gateway, &trunk.only)
    });
    let out = out.filter_map(|gateway| ids.of(&gateway.name).map(GatewayId));
    let mut excluded: Vec<GatewayId> = out.collect();
    excluded.sort_unstable();
    excluded.into()
}

fn number_format_fault(format: &NumberFormat) -> Option<&'static str> {
    let is_digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    let is_prefix = |text: &String| !text.is_empty() && text.len() <= DIGITS_MAX && is_digits(text);
    let is_tech = |text: &String| !text.is_empty() && text.len() <= TECH_PREFIX_BYTES_MAX;
    if !is_digits(&format.country_code) || format.country_code.len() > 3 {
        return Some("country_code is not up to 3 digits");
    }
    if !format.national_prefix.iter().all(is_prefix) {
        return Some("national_prefix is not made of digits");
    }
    if !format.international_prefixes.iter().all(is_prefix) {
        return Some("an international prefix is not made of digits");
    }
    if !format.tech_prefixes.iter().all(is_tech) {
        return Some("a tech prefix is empty or too long");
    }
    let needs_country = format.national_prefix.is_some() || format.plain == PlainRule::National;
    if needs_country && format.country_code.is_empty() {
        return Some("national numbers need a country_code");
    }
    None
}

fn build_ingress(trunks: &[Option<Trunk>], errors: &mut Vec<BuildError>) -> Ingress {
    let all = trunks.iter().flatten();
    let sources = all.flat_map(|trunk| trunk.sources.iter().map(move |&source| (trunk, source)));
    let (good, bad): (Vec<_>, Vec<_>) = sources.partition(|(_, source)| {
        Source::network(source.network, source.bits).is_some() && source.port != Some(0)
    });
    errors.extend(
        bad.into_iter()
            .map(|(trunk, source)| BuildError::BadSource {
                trunk: trunk.name.to_string(),
                source,
            }),
    );
    let name = |id: TrunkId| {
        let trunk = trunks.iter().flatten().find(|trunk| trunk.id == id);
        trunk.map_or_else(String::new, |trunk| trunk.name.to_string())
    };
    Ingress::build(good.into_iter().map(|(trunk, source)| (trunk.id, source))).unwrap_or_else(
        |(first, second, source)| {
            errors.push(BuildError::DuplicateSource {
                source,
                first: name(first),
                second: name(second),
            });
            Ingress::default()
        },
    )
}

fn build_gateways(
    spec: &Spec,
    ids: &Ids,
    (decks, caps): (&Decks<'_>, &Caps<'_>),
    errors: &mut Vec<BuildError>,
) -> Box<[Option<Gateway>]> {
    let mut gateways: Vec<Option<Gateway>> = vec![None; ids.names.len()];
    for gateway in &spec.gateways {
        let id = ids.of(&gateway.name).expect("every name got an id");
        if gateway.address.port() == 0 || gateway.address.ip().is_unspecified() {
            errors.push(BuildError::BadAddress {
                gateway: gateway.name.clone(),
                address: gateway.address,
            });
        }
        let listener = match find_listener(spec, gateway) {
            Ok(listener) => listener,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let host = host_text(
            gateway.domain.as_deref(),
            gateway.address,
            gateway.transport,
        );
        gateways[id as usize] = Some(Gateway {
            id: GatewayId(id),
            name: gateway.name.as_str().into(),
            carrier: gateway.carrier.as_str().into(),
            address: gateway.address,
            transport: gateway.transport,
            listener: Some(listener),
            around: Around::new(&host, &gateway.called),
            called: gateway.called.clone(),
            kept: Kept::new(&gateway.keep_parameters),
            rules: gateway.rules.clone(),
            profile: profile_of(
                spec,
                gateway.profile.as_ref(),
                ("gateway", &gateway.name),
                errors,
            ),
            maintenance: gateway.maintenance,
            probe: gateway.probe,
            health: gateway.health,
            no_response_ms: gateway.no_response_ms,
            coalesce: gateway.coalesce,
            overload_control: gateway.overload_control,
            limits: gateway.limits,
            caps: caps.of(CapSide::Gateways, (&gateway.name, &gateway.carrier), errors),
            deck: decks.of(gateway.deck.as_ref(), ("gateway", &gateway.name), errors),
        });
    }
    gateways.into()
}

/// The listener that a gateway names, or the first that can reach it.
fn find_listener(spec: &Spec, gateway: &GatewaySpec) -> Result<ListenerId, BuildError> {
    let reaches = |at: usize| {
        let listener = &spec.listeners[at];
        listener.transport == gateway.transport
            && listener.address.is_ipv4() == gateway.address.is_ipv4()
    };
    let id = |at: usize| ListenerId(at as u8);
    let mut places = 0..spec.listeners.len().min(usize::from(u8::MAX) + 1);
    let name = gateway.name.clone();
    let Some(wanted) = &gateway.listener else {
        let first = places.find(|&at| reaches(at)).map(id);
        return first.ok_or(BuildError::NoListener { gateway: name });
    };
    let listener = wanted.clone();
    match places.find(|&at| spec.listeners[at].name == *wanted) {
        Some(at) if reaches(at) => Ok(id(at)),
        Some(_) => Err(BuildError::WrongListener {
            gateway: name,
            listener,
        }),
        None => Err(BuildError::UnknownListener {
            gateway: name,
            listener,
        }),
    }
}
