//! All sections and keys that a configuration may have. What is not here does not exist.

/// A section's path and its keys. `""` is the file itself.
pub const SECTIONS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "node",
            "listener",
            "limits",
            "io",
            "timers",
            "proxy",
            "overload",
            "cdr",
            "metrics",
            "control",
            "log",
            "sources",
            "drain",
            "store",
            "money",
            "currency",
            "deck",
            "list",
            "calendar",
            "holidays",
            "quality",
            "carrier",
            "block",
            "cap",
            "screen",
            "translation",
            "profile",
            "trunk",
            "gateway",
            "plan",
            "route",
            "routes_csv",
        ],
    ),
    (
        "node",
        &[
            "name",
            "state_dir",
            "shards",
            "steering",
            "names",
            "huge_pages",
        ],
    ),
    (
        "listener",
        &["name", "transport", "address", "advertise", "coalesce"],
    ),
    (
        "limits",
        &[
            "transactions",
            "calls",
            "gateways_max",
            "trunks_max",
            "caps_max",
            "quality_rows",
            "timers",
            "inbox",
            "inbox_large",
            "packets",
            "sends",
            "records",
            "notices",
            "connections",
            "connections_per_peer",
            "stream_buffer_bytes",
            "stream_writes",
            "stream_packets",
            "message_bytes_max",
            "header_deadline_ms",
            "idle_ms",
            "evict_idle_ms",
            "connect_ms",
            "linger_ms",
            "receive_buffer_bytes",
            "send_buffer_bytes",
        ],
    ),
    (
        "io",
        &["batch", "busy_poll_us", "gather_us", "receive_coalesced"],
    ),
    ("timers", &["t1_ms", "t2_ms", "t4_ms", "c_ms"]),
    (
        "proxy",
        &["udp_bytes_max", "attempts_max", "max_call_seconds"],
    ),
    (
        "overload",
        &[
            "delay_target_ms",
            "delay_max_ms",
            "feedback",
            "feedback_algorithm",
            "feedback_validity_ms",
            "stranger_answers_max",
            "shed_in_kernel",
            "drop_unknown_sources",
        ],
    ),
    (
        "cdr",
        &["directory", "rotate_bytes", "rotate_seconds", "sync_ms"],
    ),
    ("metrics", &["listen"]),
    ("control", &["socket"]),
    ("log", &["format", "level"]),
    ("sources", &["unknown"]),
    ("drain", &["deadline_ms"]),
    (
        "store",
        &[
            "kind",
            "path",
            "url",
            "password_file",
            "password_env",
            "keep",
            "follow_seconds",
        ],
    ),
    ("money", &["currency"]),
    ("currency", &["name", "worth"]),
    ("deck", &["name", "file", "updates", "dialect"]),
    ("list", &["name", "file"]),
    ("calendar", &["name", "zone", "hours", "dates", "holidays"]),
    ("holidays", &["name", "dates"]),
    (
        "quality",
        &[
            "name",
            "min_asr",
            "min_ner",
            "min_acd_s",
            "max_pdd_ms",
            "max_short",
            "short_s",
            "digits",
            "window_s",
            "sample",
            "trial",
            "return_s",
            "below",
        ],
    ),
    (
        "carrier",
        &[
            "name",
            "block_called",
            "permit_called",
            "block_calling",
            "permit_calling",
        ],
    ),
    (
        "block",
        &[
            "name", "trunks", "gateways", "numbers", "prefixes", "from", "until", "reason", "owner",
        ],
    ),
    (
        "cap",
        &[
            "name",
            "trunks",
            "gateways",
            "numbers",
            "prefixes",
            "each",
            "max_calls",
            "calls_per_second",
            "window_s",
            "window_calls",
            "window_minutes",
            "window_cost",
            "max_call_seconds",
            "beyond",
            "refuse_status",
            "retry_after_s",
            "tell_at",
        ],
    ),
    (
        "screen",
        &[
            "block_called",
            "permit_called",
            "block_calling",
            "permit_calling",
        ],
    ),
    ("translation", &["name", "rules", "examples"]),
    (
        "translation.rules",
        &[
            "begins", "length", "strip", "drop", "prepend", "append", "set",
        ],
    ),
    (
        "profile",
        &[
            "name",
            "trusted",
            "assert",
            "remote_party_id",
            "diversion",
            "history_info",
            "identity",
            "deny",
            "allow",
            "set_from",
            "set_to",
        ],
    ),
    (
        "trunk",
        &[
            "name",
            "carrier",
            "sources",
            "max_calls",
            "calls_per_second",
            "refuse_status",
            "retry_after_s",
            "max_call_seconds",
            "follow_redirects",
            "redirect",
            "overload_weight",
            "deck",
            "block_called",
            "permit_called",
            "block_calling",
            "permit_calling",
            "exclude",
            "only",
            "allow",
            "country_code",
            "national_prefix",
            "international_prefixes",
            "tech_prefixes",
            "tech_prefix_required",
            "plain",
            "profile",
            "called_rules",
            "calling_rules",
            "asserted_rules",
            "diversion_rules",
        ],
    ),
    ("trunk.sources", &["network", "port", "transport"]),
    (
        "gateway",
        &[
            "name",
            "carrier",
            "address",
            "transport",
            "listener",
            "domain",
            "format",
            "strip",
            "prefix",
            "keep_parameters",
            "profile",
            "called_rules",
            "calling_rules",
            "asserted_rules",
            "diversion_rules",
            "maintenance",
            "no_response_ms",
            "overload_control",
            "max_calls",
            "calls_per_second",
            "deck",
            "probe",
            "health",
            "coalesce",
        ],
    ),
    (
        "gateway.probe",
        &[
            "interval_ms",
            "jitter_percent",
            "timeout_ms",
            "down_after",
            "up_after",
        ],
    ),
    (
        "gateway.health",
        &["down_after", "hold_down_ms", "slow_return_ms"],
    ),
    (
        "plan",
        &[
            "name",
            "gateways",
            "mode",
            "balance",
            "quality",
            "advance",
            "attempts_max",
            "ring_ms",
            "setup_ms",
            "no_response_ms",
            "margin",
            "call_seconds",
        ],
    ),
    ("plan.gateways", &["name", "weight", "priority", "when"]),
    (
        "route",
        &[
            "prefix",
            "plan",
            "gateways",
            "mode",
            "balance",
            "quality",
            "advance",
            "attempts_max",
            "ring_ms",
            "setup_ms",
            "no_response_ms",
            "margin",
            "call_seconds",
        ],
    ),
    ("route.gateways", &["name", "weight", "priority", "when"]),
];

/// What is the node's own and stays in its file; everything else is the routing world, which may live
/// in a store.
pub const NODE_KEYS: &[&str] = &[
    "node", "listener", "limits", "io", "timers", "proxy", "overload", "cdr", "metrics", "control",
    "log", "drain", "store",
];

/// The keys of the routing world that name a file, or several in a list: in which section, and which
/// key.
pub const FILE_KEYS: &[(&str, &str)] = &[
    ("", "routes_csv"),
    ("deck", "file"),
    ("deck", "updates"),
    ("deck", "dialect"),
    ("list", "file"),
];

/// The keys of a section.
pub(crate) fn keys_of(section: &str) -> &'static [&'static str] {
    let found = SECTIONS.iter().find(|(path, _)| *path == section);
    found.expect("every section that is read is in the table").1
}

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Names are short; a long word is no slip of the finger, and the table below is quadratic.
    const CHARS_MAX: usize = 64;
    if word.len() > CHARS_MAX {
        return None;
    }
    let near = known
        .into_iter()
        .filter(|it| it.len() <= CHARS_MAX)
        .map(|it| (distance(word, it), it));
    let (slips, found) = near.min_by_key(|(slips, _)| *slips)?;
    (slips <= 1.max(word.chars().count() / 3)).then_some(found)
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}
