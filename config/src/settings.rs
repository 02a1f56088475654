//! The sections about the node itself, with their defaults and ranges.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::section::{At, Section, cut};
use crate::{
    Cdr, Control, Drain, FeedbackAlgorithm, Io, Limits, Log, LogFormat, LogLevel, Metrics, Node,
    Overload, Password, Proxy, Shards, Sources, Steering, Store, StoreKind, Timers, UnknownSource,
};

/// The most shards: what a slot id can name.
const SHARDS_MAX: i128 = 1_024;
/// The largest number of a processor.
const CPU_MAX: i128 = 4_095;
/// One hour.
const HOUR_MS: i128 = 3_600_000;
/// A slot id has 24 bits for the place.
const SLOTS: RangeInclusive<i128> = 1..=(1 << 24);
/// Entries of a queue.
const QUEUE: RangeInclusive<i128> = 1..=(1 << 22);
/// Who steers.
const STEERING: [(&str, Steering); 3] = [
    ("auto", Steering::Auto),
    ("kernel", Steering::Kernel),
    ("software", Steering::Software),
];
const BYTES: RangeInclusive<i128> = 4_096..=(1 << 30);

const FEEDBACK_ALGORITHMS: &[(&str, FeedbackAlgorithm)] = &[
    ("loss", FeedbackAlgorithm::Loss),
    ("rate", FeedbackAlgorithm::Rate),
];

pub(crate) fn node(section: &Section<'_>) -> Node {
    let name = section.text("name");
    if let Some(name) = name {
        check_name(section, name);
    }
    Node {
        name: name.map_or("trunkline", |name| name.value).to_owned(),
        state_dir: section.text_or("state_dir", "state").into(),
        shards: shards(section),
        steering: section.word("steering", &STEERING, Steering::Auto),
        names: section
            .texts("names")
            .unwrap_or_default()
            .into_iter()
            .map(|name| host(section, name))
            .collect(),
        huge_pages: section.flag("huge_pages", false),
    }
}

/// Names go into records and labels: letters, digits, `.`, `_`, `-`.
pub(crate) fn check_name(section: &Section<'_>, name: At<&str>) {
    const BYTES_MAX: usize = 64;
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    if name.value.is_empty() || name.value.len() > BYTES_MAX || !name.value.bytes().all(is_plain) {
        let expected = format!("a name of 1 to {BYTES_MAX} letters, digits, `.`, `_` or `-`");
        section.refuse(name, expected, "choose another name");
    }
}

/// A host name, in small letters.
fn host(section: &Section<'_>, name: At<&str>) -> String {
    if !is_host(name.value) {
        section.refuse(
            name,
            "a host name such as \"sip.example.com\"",
            "take out what is no part of it",
        );
    }
    name.value.to_ascii_lowercase()
}

/// RFC 1123: labels of letters, digits and hyphens.
pub(crate) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn shards(section: &Section<'_>) -> Shards {
    match section.kind_of("shards") {
        None => Shards::Auto,
        Some("string") => {
            section.word("shards", &[("auto", ())], ());
            Shards::Auto
        }
        Some("array") => cpus(section),
        Some(_) => section
            .number("shards", 1..=SHARDS_MAX)
            .map_or(Shards::Auto, Shards::Count),
    }
}

fn cpus(section: &Section<'_>) -> Shards {
    let cpus: Vec<At<usize>> = section.numbers("shards", 0..=CPU_MAX).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for cpu in &cpus {
        if !seen.insert(cpu.value) {
            let found = format!("the processor {} twice", cpu.value);
            let remedy = "name other processors, or give the number of shards alone";
            section
                .report
                .add(cpu.at, found, "one shard for each processor", remedy);
        }
    }
    let place = section.place_of("shards");
    if section.len_of("shards") == Some(0) {
        section.report.add(
            place,
            "no processor",
            "at least one",
            "name processors, or write \"auto\"",
        );
    }
    if cpus.len() > SHARDS_MAX as usize {
        let found = format!("{} processors", cpus.len());
        section
            .report
            .add(place, found, format!("at most {SHARDS_MAX}"), "name fewer");
    }
    Shards::Cpus(cpus.into_iter().map(|cpu| cpu.value).collect())
}

pub(crate) fn limits(section: &Section<'_>) -> Limits {
    let number = |key, default, range| section.number_or(key, default, range);
    let millis = |key, default, range| section.number_or(key, default, range);
    Limits {
        transactions: number("transactions", 262_144, SLOTS),
        calls: number("calls", 131_072, SLOTS),
        gateways_max: number("gateways_max", 1_024, 1..=65_536),
        trunks_max: number("trunks_max", 1_024, 1..=65_536),
        caps_max: number("caps_max", 512, 1..=32_768),
        quality_rows: number("quality_rows", 4_096, 16..=1_048_576),
        timers: number("timers", 1 << 20, SLOTS),
        inbox: number("inbox", 4_096, QUEUE),
        inbox_large: number("inbox_large", 64, QUEUE),
        packets: classes(
            section,
            "packets",
            [65_536, 131_072, 65_536, 8_192, 1_024, 256],
        ),
        sends: number("sends", 8_192, QUEUE),
        records: number("records", 4_096, QUEUE),
        notices: number("notices", 1_024, QUEUE),
        connections: number("connections", 4_096, 1..=1_000_000),
        connections_per_peer: number("connections_per_peer", 512, 1..=1_000_000),
        stream_buffer_bytes: number("stream_buffer_bytes", 256 * 1_024, BYTES),
        stream_writes: number("stream_writes", 65_536, QUEUE),
        stream_packets: classes(
            section,
            "stream_packets",
            [8_192, 4_096, 2_048, 1_024, 256, 128],
        ),
        message_bytes_max: number("message_bytes_max", 65_535, 1_024..=65_535),
        header_deadline_ms: millis("header_deadline_ms", 5_000, 10..=HOUR_MS),
        idle_ms: millis("idle_ms", 15 * 60_000, 1_000..=24 * HOUR_MS),
        evict_idle_ms: millis("evict_idle_ms", 1_000, 0..=HOUR_MS),
        connect_ms: millis("connect_ms", 3_000, 10..=HOUR_MS),
        linger_ms: millis("linger_ms", 1_000, 0..=HOUR_MS),
        receive_buffer_bytes: number("receive_buffer_bytes", 8 << 20, BYTES),
        send_buffer_bytes: number("send_buffer_bytes", 4 << 20, BYTES),
    }
}

pub(crate) fn io(section: &Section<'_>) -> Io {
    Io {
        batch: section.number_or("batch", 64, 1..=256),
        busy_poll_us: section.number_or("busy_poll_us", 0, 0..=1_000),
        gather_us: section.number_or("gather_us", 0, 0..=1_000),
        receive_coalesced: section.flag("receive_coalesced", false),
    }
}

/// A number for each of the six packet sizes.
fn classes(section: &Section<'_>, key: &str, default: [u32; 6]) -> [u32; 6] {
    let Some(numbers) = section.numbers::<u32>(key, 1..=(1 << 24)) else {
        return default;
    };
    let count = section.len_of(key).unwrap_or(default.len());
    if count != default.len() {
        let found = format!("{count} numbers");
        let remedy = "write how many there are of each size, from the smallest to the largest";
        section
            .report
            .add(section.place_of(key), found, "six whole numbers", remedy);
    }
    // Of numbers that are at fault there are fewer here; they are told already.
    let numbers: Vec<u32> = numbers.into_iter().map(|number| number.value).collect();
    <[u32; 6]>::try_from(numbers).unwrap_or(default)
}

pub(crate) fn timers(section: &Section<'_>) -> Timers {
    let timers = Timers {
        t1_ms: section.number_or("t1_ms", 500, 10..=10_000),
        t2_ms: section.number_or("t2_ms", 4_000, 10..=60_000),
        t4_ms: section.number_or("t4_ms", 5_000, 10..=60_000),
        c_ms: section.number_or("c_ms", 181_000, 1_000..=HOUR_MS),
    };
    if timers.t2_ms < timers.t1_ms {
        let found = format!("t2_ms = {} with t1_ms = {}", timers.t2_ms, timers.t1_ms);
        let expected = "T2 not shorter than T1 (RFC 3261 §17.1.2.2)";
        section.report.add(
            section.place_of("t2_ms"),
            found,
            expected,
            "raise t2_ms or lower t1_ms",
        );
    }
    timers
}

pub(crate) fn proxy(section: &Section<'_>) -> Proxy {
    Proxy {
        udp_bytes_max: section.number_or("udp_bytes_max", 1_300, 200..=65_535),
        attempts_max: section.number_or("attempts_max", 3, 1..=crate::TARGETS_MAX as i128),
        max_call_seconds: section.number_or("max_call_seconds", 4 * 3_600, 0..=31 * 86_400),
    }
}

pub(crate) fn overload(section: &Section<'_>) -> Overload {
    Overload {
        delay_target_ms: section.number_or("delay_target_ms", 8, 1..=60_000),
        delay_max_ms: section.number_or("delay_max_ms", 200, 1..=60_000),
        feedback: section.flag("feedback", true),
        feedback_algorithm: section.word(
            "feedback_algorithm",
            FEEDBACK_ALGORITHMS,
            FeedbackAlgorithm::Loss,
        ),
        feedback_validity_ms: section.number_or("feedback_validity_ms", 500, 100..=60_000),
        stranger_answers_max: section.number_or("stranger_answers_max", 200, 0..=1_000_000),
        shed_in_kernel: section.flag("shed_in_kernel", true),
        drop_unknown_sources: section.flag("drop_unknown_sources", false),
    }
}

pub(crate) fn cdr(section: &Section<'_>) -> Cdr {
    Cdr {
        directory: section.text_or("directory", "cdr").into(),
        rotate_bytes: section.number_or("rotate_bytes", 256 << 20, 4_096..=1 << 40),
        rotate_seconds: section.number_or("rotate_seconds", 3_600, 1..=31 * 86_400),
        sync_ms: section.number_or("sync_ms", 1_000, 10..=60_000),
    }
}

pub(crate) fn metrics(section: &Section<'_>) -> Metrics {
    Metrics {
        listen: section.address("listen").map(|address| address.value),
    }
}

pub(crate) fn control(section: &Section<'_>) -> Control {
    // What a Unix socket address has room for, with its final zero.
    const PATH_BYTES_MAX: usize = 107;
    if let Some(path) = section.text("socket")
        && !(1..=PATH_BYTES_MAX).contains(&path.value.len())
    {
        let expected = format!("a path of 1 to {PATH_BYTES_MAX} bytes");
        section.refuse(
            path,
            expected,
            "put the socket into a folder with a shorter name",
        );
    }
    Control {
        socket: section.text_or("socket", "trunkline.sock").into(),
    }
}

pub(crate) fn log(section: &Section<'_>) -> Log {
    use LogLevel::{Debug, Error, Info, Trace, Warn};
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [Error, Warn, Info, Debug, Trace].map(|level| (level.text(), level));
    Log {
        format: section.word("format", &formats, LogFormat::Text),
        level: section.word("level", &levels, Info),
    }
}

pub(crate) fn sources(section: &Section<'_>) -> Sources {
    let words = [
        ("refuse", UnknownSource::Refuse),
        ("drop", UnknownSource::Drop),
    ];
    Sources {
        unknown: section.word("unknown", &words, UnknownSource::Refuse),
    }
}

pub(crate) fn drain(section: &Section<'_>) -> Drain {
    Drain {
        deadline_ms: section.number_or("deadline_ms", 30_000, 0..=24 * HOUR_MS),
    }
}

/// `[store]`; `None` if it is not written.
pub(crate) fn store(root: &Section<'_>) -> Option<Store> {
    if !root.has("store") {
        return None;
    }
    let section = root.table("store");
    let keep = section.number_or("keep", 100, 1..=1_000_000);
    let kind = section.word("kind", &[("sqlite", false), ("postgresql", true)], false);
    let of_other = |keys: &[&str], kind: &str| {
        for key in keys.iter().filter(|key| section.has(key)) {
            let found = format!("`{key}` of a store of another kind");
            let remedy = format!("take it out, or set kind = \"{kind}\"");
            let at = section.place_of(key);
            section.report.add(at, found, "keys of its kind", remedy);
        }
    };
    let kind = if kind {
        of_other(&["path"], "sqlite");
        StoreKind::Postgresql(url(&section), password(&section))
    } else {
        of_other(&["url", "password_file", "password_env"], "postgresql");
        let path = section.text_or("path", "state/trunkline.db");
        StoreKind::Sqlite(path.into())
    };
    let follow_seconds = section.number_or("follow_seconds", 10, 0..=86_400);
    Some(Store {
        kind,
        keep,
        follow_seconds,
    })
}

/// Where the server is. A password would show wherever the configuration does.
fn url(section: &Section<'_>) -> String {
    let expected =
        "where the server is, such as \"postgresql://trunkline@db.example.com/trunkline\"";
    let Some(text) = section.required("url", expected) else {
        return String::new();
    };
    let authority = text.value.split_once("://").map(|(_, rest)| rest);
    let user = authority.and_then(|rest| rest.split('/').next()?.rsplit_once('@'));
    let has_password = user.is_some_and(|(user, _)| user.contains(':'))
        || text.value.to_ascii_lowercase().contains("password");
    if has_password {
        let remedy = "write it into a file and name that as `password_file`";
        section
            .report
            .add(text.at, "a password in `url`", "none", remedy);
    } else if authority.is_none() && !text.value.contains('=') {
        section.refuse(text, expected, "write a URL, or key=value pairs");
    }
    text.value.to_owned()
}

fn password(section: &Section<'_>) -> Password {
    match (section.text("password_file"), section.text("password_env")) {
        (None, None) => Password::None,
        (Some(file), None) => Password::File(file.value.into()),
        (None, Some(name)) => Password::Environment(name.value.to_owned()),
        (Some(_), Some(name)) => {
            let remedy = "take one of them out";
            section.refuse(name, "`password_file` or `password_env`", remedy);
            Password::None
        }
    }
}

/// A text of digits, up to so many.
pub(crate) fn digits(
    section: &Section<'_>,
    text: At<&str>,
    range: RangeInclusive<usize>,
) -> String {
    let is_digits = text.value.bytes().all(|octet| octet.is_ascii_digit());
    if !is_digits || !range.contains(&text.value.len()) {
        let expected = format!("{} to {} digits", range.start(), range.end());
        let remedy = format!("write digits only, not `{}`", cut(text.value));
        section.refuse(text, expected, &remedy);
    }
    text.value.to_owned()
}
