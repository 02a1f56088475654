//! Listeners, trunks and gateways: who is there, each name once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use base::Transport;
use translation::RuleSet;

use crate::network::{BadNetwork, socket_address};
use crate::prices::deck_of;
use crate::profiles::profile_of;
use crate::screen::screen;
use crate::section::{At, Mixed, Section, meant};
use crate::settings::{check_name, digits, is_host};
use crate::translations::{gateway_rules, keep_parameters, trunk_rules};
use crate::{
    CalledStyle, Coalesce, DIGITS_MAX, Deck, Gateway, Health, LISTENERS_MAX, Listener, Network,
    NumberList, Numbers, PlainRule, Probe, Profile, Refuse, Source, TECH_PREFIX_BYTES_MAX, Trunk,
};

const TRANSPORTS: &[(&str, Transport)] = &[("udp", Transport::Udp), ("tcp", Transport::Tcp)];
const DAY_MS: i128 = 86_400_000;
/// Calls at a time.
pub(crate) const CALLS: RangeInclusive<i128> = 1..=u32::MAX as i128;
/// New calls in a second.
pub(crate) const RATE: RangeInclusive<i128> = 1..=1_000_000;
const COALESCE: &[(&str, Coalesce)] = &[
    ("off", Coalesce::Off),
    ("own-parameters", Coalesce::OwnParameters),
    ("trailing", Coalesce::Trailing),
];

/// Names of one kind and where they were first given.
pub(crate) type Names = HashMap<String, usize>;

/// The name of a section of which there are many.
pub(crate) fn name(section: &Section<'_>, what: &str, names: &mut Names) -> String {
    let Some(name) = section.text("name") else {
        if !section.has("name") {
            section.missing("name", "a name of its own");
        }
        return String::new();
    };
    check_name(section, name);
    match names.get(name.value) {
        Some(first) => section.twice(name.at, format_args!("the {what} `{}`", name.value), *first),
        None => drop(names.insert(name.value.to_owned(), name.at)),
    }
    name.value.to_owned()
}

/// An address that has to be there. What is at fault is reported and stands for nothing.
fn required_address(section: &Section<'_>) -> Option<At<SocketAddr>> {
    if !section.has("address") {
        section.missing("address", "an IP address and a port");
    }
    section.address("address")
}

pub(crate) fn listeners(root: &Section<'_>) -> Vec<At<Listener>> {
    let sections = root.tables("listener");
    if sections.is_empty() {
        let remedy = "add one, such as [[listener]] with transport = \"udp\" and an address";
        root.report
            .add(0, "no listener", "at least one [[listener]]", remedy);
    }
    if let Some(first) = sections.get(LISTENERS_MAX) {
        let found = format!("{} listeners", sections.len());
        root.report.add(
            first.at,
            found,
            format!("at most {LISTENERS_MAX}"),
            "take some out",
        );
    }
    let mut names = Names::new();
    let mut bound: HashMap<(Transport, SocketAddr), usize> = HashMap::new();
    let mut listeners = Vec::new();
    for section in &sections {
        let name = name(section, "listener", &mut names);
        let transport = section.word("transport", TRANSPORTS, Transport::Udp);
        let advertise = section.text("advertise");
        let Some(address) = required_address(section) else {
            continue;
        };
        match bound.get(&(transport, address.value)) {
            Some(first) => {
                section.twice(
                    address.at,
                    format_args!("{transport} {}", address.value),
                    *first,
                );
            }
            None => drop(bound.insert((transport, address.value), address.at)),
        }
        let advertise = advertised(section, address, advertise);
        let value = Listener {
            name,
            transport,
            address: address.value,
            advertise,
            coalesce: section.word("coalesce", COALESCE, Coalesce::Off),
        };
        listeners.push(At {
            value,
            at: section.at,
        });
    }
    listeners
}

/// What others are told to send to: an address alone has the listener's port.
fn advertised(
    section: &Section<'_>,
    address: At<SocketAddr>,
    advertise: Option<At<&str>>,
) -> SocketAddr {
    let ip = address.value.ip();
    let Some(text) = advertise else {
        if ip.is_unspecified() {
            let found = format!("the wildcard address {} without `advertise`", address.value);
            let remedy = "add `advertise` with the address that others reach this node by";
            section.report.add(
                address.at,
                found,
                "an address for Via and Record-Route",
                remedy,
            );
        }
        return address.value;
    };
    let has_port = text.value.parse::<SocketAddr>().is_ok();
    let written = socket_address(text.value).map(|it| match has_port {
        true => it,
        false => SocketAddr::new(it.ip(), address.value.port()),
    });
    let fits = |it: &SocketAddr| {
        it.port() != 0 && !it.ip().is_unspecified() && it.is_ipv4() == address.value.is_ipv4()
    };
    written.filter(fits).unwrap_or_else(|| {
        let expected = "an IP address of the listener's family, with or without a port";
        section.refuse(
            text,
            expected,
            "write the address that others reach this node by",
        );
        address.value
    })
}

/// What trunks and gateways name that has sections of its own.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) decks: &'a [Deck],
    pub(crate) lists: &'a [NumberList],
    pub(crate) translations: &'a [Arc<RuleSet>],
    pub(crate) profiles: &'a [Profile],
}

pub(crate) fn trunks(root: &Section<'_>, known: Known<'_>) -> Vec<Trunk> {
    let mut names = Names::new();
    let mut taken: HashMap<Source, usize> = HashMap::new();
    let sections = root.tables("trunk");
    sections
        .iter()
        .map(|section| trunk(section, known, &mut names, &mut taken))
        .collect()
}

fn trunk(
    section: &Section<'_>,
    known: Known<'_>,
    names: &mut Names,
    taken: &mut HashMap<Source, usize>,
) -> Trunk {
    let name = name(section, "trunk", names);
    let sources: Vec<At<Source>> = section
        .mixed("sources")
        .into_iter()
        .filter_map(|item| source(section, item))
        .collect();
    if !section.has("sources") {
        section.missing("sources", "the networks that its requests come from");
    } else if section.len_of("sources") == Some(0) {
        let remedy = "write at least one address or network";
        section.report.add(
            section.place_of("sources"),
            "no source",
            "at least one",
            remedy,
        );
    }
    for source in &sources {
        match taken.get(&source.value) {
            Some(first) => {
                section.twice(
                    source.at,
                    format_args!("the source {}", source.value.network),
                    *first,
                );
            }
            None => drop(taken.insert(source.value, source.at)),
        }
    }
    Trunk {
        name,
        carrier: section.text_or("carrier", ""),
        sources: sources.into_iter().map(|source| source.value).collect(),
        max_calls: section.number("max_calls", CALLS),
        calls_per_second: section.number("calls_per_second", RATE),
        refuse: refuse(section),
        screen: screen(section, known.lists),
        exclude: names_of(section, "exclude"),
        only: names_of(section, "only"),
        max_call_seconds: section.number_or("max_call_seconds", 0, 0..=31 * 86_400),
        follow_redirects: section.flag("follow_redirects", false),
        redirect: section.flag("redirect", false),
        overload_weight: section.number_or("overload_weight", 1, 1..=1_000),
        deck: deck_of(section, known.decks),
        allow: allow(section),
        numbers: numbers(section),
        rules: trunk_rules(section, known.translations),
        profile: profile_of(section, known.profiles),
    }
}

/// What callers are told whose call is one too many.
pub(crate) fn refuse(section: &Section<'_>) -> Refuse {
    Refuse {
        status: section.number_or("refuse_status", 503, 400..=699),
        retry_after_s: section.number_or("retry_after_s", 0, 0..=86_400),
    }
}

/// Names that are looked up when all of the world is known.
pub(crate) fn names_of(section: &Section<'_>, key: &str) -> Vec<String> {
    let texts = section.texts(key).unwrap_or_default();
    texts.iter().map(|text| text.value.to_owned()).collect()
}

fn source(section: &Section<'_>, item: Mixed<'_>) -> Option<At<Source>> {
    let any = |network: At<Network>| Source {
        network: network.value,
        port: None,
        transport: None,
    };
    match item {
        Mixed::Text(text) => {
            let network = network(section, text)?;
            Some(At {
                value: any(network),
                at: network.at,
            })
        }
        Mixed::Table(table) => {
            if !table.has("network") {
                table.missing("network", "an address or a network");
            }
            let port = table.number("port", 1..=65_535);
            let transport = table.word_of("transport", TRANSPORTS);
            let network = network(&table, table.text("network")?)?;
            Some(At {
                value: Source {
                    port,
                    transport,
                    ..any(network)
                },
                at: network.at,
            })
        }
    }
}

fn network(section: &Section<'_>, text: At<&str>) -> Option<At<Network>> {
    let expected = "an address or a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"";
    let remedy = match Network::parse(text.value) {
        Ok(value) => return Some(At { value, at: text.at }),
        Err(BadNetwork::Address) => "names are not looked up: write the address".to_owned(),
        Err(BadNetwork::Bits) => "write 0 to 32 bits after the `/`, for IPv6 0 to 128".to_owned(),
        Err(BadNetwork::HostBits(meant)) => format!("did you mean `{meant}`?"),
    };
    section.refuse(text, expected, &remedy);
    None
}

fn allow(section: &Section<'_>) -> Vec<String> {
    // RFC 3261 §25.1: token.
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet);
    let methods = section.texts("allow").unwrap_or_default();
    for method in &methods {
        if method.value.is_empty() || !method.value.bytes().all(is_token) {
            section.refuse(
                *method,
                "a method such as \"INVITE\"",
                "write the method's name alone",
            );
        }
    }
    methods
        .into_iter()
        .map(|method| method.value.to_owned())
        .collect()
}

fn numbers(section: &Section<'_>) -> Numbers {
    let rules = [
        ("international", PlainRule::International),
        ("national", PlainRule::National),
        ("refuse", PlainRule::Refuse),
    ];
    let plain = section.word("plain", &rules, PlainRule::International);
    let country_code = section
        .text("country_code")
        .map(|text| digits(section, text, 1..=3));
    let national_prefix = section
        .text("national_prefix")
        .map(|text| digits(section, text, 1..=DIGITS_MAX));
    if country_code.is_none() && (national_prefix.is_some() || plain == PlainRule::National) {
        let key = if national_prefix.is_some() {
            "national_prefix"
        } else {
            "plain"
        };
        let found = format!("`{key}` without `country_code`");
        let expected = "the country that national numbers are of";
        section.report.add(
            section.place_of(key),
            found,
            expected,
            "add `country_code`, such as \"49\"",
        );
    }
    let international = section.texts("international_prefixes");
    let international = international.map(|texts| {
        texts
            .into_iter()
            .map(|text| digits(section, text, 1..=DIGITS_MAX))
            .collect()
    });
    let tech_prefixes = tech_prefixes(section);
    let tech_prefix_required = section.flag("tech_prefix_required", false);
    if tech_prefix_required && tech_prefixes.is_empty() {
        let remedy = "add `tech_prefixes`, or take `tech_prefix_required` out";
        let place = section.place_of("tech_prefix_required");
        section.report.add(
            place,
            "a tech prefix is required and there is none",
            "at least one",
            remedy,
        );
    }
    Numbers {
        country_code: country_code.unwrap_or_default(),
        national_prefix,
        international_prefixes: international.unwrap_or_else(|| vec!["00".to_owned()]),
        tech_prefixes,
        tech_prefix_required,
        plain,
    }
}

/// What the customer dials before numbers.
fn tech_prefixes(section: &Section<'_>) -> Vec<String> {
    let texts = section.texts("tech_prefixes").unwrap_or_default();
    for text in &texts {
        let is_dialled = |octet: u8| octet.is_ascii_digit() || b"*#".contains(&octet);
        let fits = (1..=TECH_PREFIX_BYTES_MAX).contains(&text.value.len());
        if !fits || !text.value.bytes().all(is_dialled) {
            let expected = format!("1 to {TECH_PREFIX_BYTES_MAX} digits, `*` or `#`");
            section.refuse(
                *text,
                expected,
                "write what the customer dials before the number",
            );
        }
    }
    texts
        .into_iter()
        .map(|text| text.value.to_owned())
        .collect()
}

/// A gateway whose patience a route may still set.
pub(crate) struct Draft {
    pub(crate) value: Gateway,
    /// Whether it says itself how long it may be silent.
    pub(crate) has_patience: bool,
    /// Where a route said so for it.
    pub(crate) patience_at: Option<usize>,
}

pub(crate) fn gateways(
    root: &Section<'_>,
    listeners: &[At<Listener>],
    known: Known<'_>,
) -> Vec<Draft> {
    let mut names = Names::new();
    let sections = root.tables("gateway");
    sections
        .iter()
        .filter_map(|section| gateway(section, listeners, known, &mut names))
        .collect()
}

fn gateway(
    section: &Section<'_>,
    listeners: &[At<Listener>],
    known: Known<'_>,
    names: &mut Names,
) -> Option<Draft> {
    let name = name(section, "gateway", names);
    let transport = section.word("transport", TRANSPORTS, Transport::Udp);
    let formats = [
        ("+e164", CalledStyle::E164Plus),
        ("e164", CalledStyle::E164),
        ("dialled", CalledStyle::Dialled),
    ];
    let listener = section.text("listener");
    let host = host(section);
    let address = match &host {
        Some(_) => None,
        None => required_address(section),
    };
    if let Some(address) = address {
        match address.value.ip().is_unspecified() {
            true => {
                let found = format!("the wildcard address {}", address.value);
                section.report.add(
                    address.at,
                    found,
                    "an address that can be sent to",
                    "write the gateway's own",
                );
            }
            false => check_listener(section, address, transport, listener, listeners),
        }
    }
    let value = Gateway {
        name,
        carrier: section.text_or("carrier", ""),
        // A gateway without a usable address stays, so that routes to it are no second fault.
        address: address.map_or(SocketAddr::new(IpAddr::from([0; 4]), 0), |address| {
            address.value
        }),
        domain: domain(section).or_else(|| host.as_ref().map(host_text)),
        host,
        transport,
        listener: listener.map(|text| text.value.to_owned()),
        format: section.word("format", &formats, CalledStyle::E164Plus),
        strip: section.number_or("strip", 0, 0..=DIGITS_MAX as i128),
        prefix: prefix(section),
        keep_parameters: keep_parameters(section),
        rules: gateway_rules(section, known.translations),
        profile: profile_of(section, known.profiles),
        maintenance: section.flag("maintenance", false),
        no_response_ms: section.number_or("no_response_ms", 2_000, 0..=600_000),
        overload_control: section.flag("overload_control", false),
        max_calls: section.number("max_calls", CALLS),
        calls_per_second: section.number("calls_per_second", RATE),
        deck: deck_of(section, known.decks),
        probe: probe(section),
        health: health(&section.table("health")),
        coalesce: section.word_of("coalesce", COALESCE),
    };
    Some(Draft {
        value,
        has_patience: section.has("no_response_ms"),
        patience_at: None,
    })
}

/// The host name at `address`, if it is one, and the port.
fn host(section: &Section<'_>) -> Option<(String, u16)> {
    const PORT: u16 = 5060;
    if section.kind_of("address") != Some("string") {
        return None;
    }
    let text = section.text("address")?.value;
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = match port {
        "" if !text.ends_with(':') => PORT,
        port => port.parse().ok().filter(|&port| port > 0)?,
    };
    // A number at the end is an address that somebody mistyped.
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_name = is_host(host) && last.bytes().any(|octet| octet.is_ascii_alphabetic());
    is_name.then(|| (host.to_owned(), port))
}

fn host_text((host, port): &(String, u16)) -> String {
    match port {
        5060 => host.clone(),
        port => format!("{host}:{port}"),
    }
}

/// A gateway is sent to from a listener of its transport and address family.
fn check_listener(
    section: &Section<'_>,
    address: At<SocketAddr>,
    transport: Transport,
    wanted: Option<At<&str>>,
    listeners: &[At<Listener>],
) {
    let reaches = |listener: &Listener| {
        listener.transport == transport && listener.address.is_ipv4() == address.value.is_ipv4()
    };
    let family = if address.value.is_ipv4() {
        "IPv4"
    } else {
        "IPv6"
    };
    let expected = format!("a listener with transport {transport} and an {family} address");
    let Some(wanted) = wanted else {
        // Without any listener at all that one fault is told already.
        if !listeners.is_empty() && !listeners.iter().any(|listener| reaches(&listener.value)) {
            let found = format!("no listener to reach {} over {transport}", address.value);
            section
                .report
                .add(address.at, found, expected, "add such a [[listener]]");
        }
        return;
    };
    match listeners
        .iter()
        .find(|listener| listener.value.name == wanted.value)
    {
        Some(listener) if reaches(&listener.value) => {}
        Some(listener) => {
            let remedy = format!(
                "`{}` is {} {}; name another or leave `listener` out",
                wanted.value, listener.value.transport, listener.value.address
            );
            section.refuse(wanted, expected, &remedy);
        }
        None => {
            let known = listeners
                .iter()
                .map(|listener| listener.value.name.as_str());
            section.refuse(
                wanted,
                "the name of a [[listener]]",
                &meant(wanted.value, known),
            );
        }
    }
}

/// `host` or `host:port` of the Request-URI.
fn domain(section: &Section<'_>) -> Option<String> {
    let text = section.text("domain")?;
    let (host, port) = match text.value.rsplit_once(':') {
        Some((host, port))
            if !host.ends_with(':') && port.bytes().all(|octet| octet.is_ascii_digit()) =>
        {
            (host, port.parse::<u16>().ok().filter(|port| *port != 0))
        }
        _ => (text.value, Some(1)),
    };
    let literal = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_v6 = literal.is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok());
    if port.is_none() || !(is_v6 || is_host(host)) {
        let expected = "a host such as \"sip.example.com\", with or without a port";
        section.refuse(
            text,
            expected,
            "write what stands behind the `@` of the Request-URI",
        );
    }
    Some(text.value.to_owned())
}

fn prefix(section: &Section<'_>) -> String {
    let Some(text) = section.text("prefix") else {
        return String::new();
    };
    let is_dialled = |octet: u8| octet.is_ascii_digit() || b"*#+".contains(&octet);
    if text.value.len() > TECH_PREFIX_BYTES_MAX || !text.value.bytes().all(is_dialled) {
        let expected = format!("up to {TECH_PREFIX_BYTES_MAX} digits, `*`, `#` or `+`");
        section.refuse(
            text,
            expected,
            "write what the vendor wants before the number",
        );
    }
    text.value.to_owned()
}

fn probe(section: &Section<'_>) -> Option<Probe> {
    let is_wanted = section.has("probe");
    let section = section.table("probe");
    let probe = Probe {
        interval_ms: section.number_or("interval_ms", 10_000, 100..=DAY_MS),
        jitter_percent: section.number_or("jitter_percent", 10, 0..=50),
        timeout_ms: section.number_or("timeout_ms", 2_000, 10..=60_000),
        down_after: section.number_or("down_after", 2, 1..=1_000),
        up_after: section.number_or("up_after", 2, 1..=1_000),
    };
    is_wanted.then_some(probe)
}

fn health(section: &Section<'_>) -> Health {
    Health {
        down_after: section.number_or("down_after", 5, 0..=10_000),
        hold_down_ms: section.number_or("hold_down_ms", 30_000, 0..=DAY_MS),
        slow_return_ms: section.number_or("slow_return_ms", 30_000, 0..=DAY_MS),
    }
}
