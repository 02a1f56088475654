//! One case for each kind of fault: where it is told and in which words.

use std::fs;

use config::{Config, Error, Place, read_deck};

/// What every file needs to be right, five lines.
const HEAD: &str = "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.1:5060\"\n\
                    [[gateway]]\nname = \"vienna\"\naddress = \"192.0.2.9\"\n";
const HEAD_LINES: usize = 6;

fn errors(text: &str) -> Vec<Error> {
    Config::parse("test.toml", text).err().unwrap_or_default()
}

fn told(errors: &[Error]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// `tables` after a good head give exactly one error, at this line (of `tables`) and column, with
/// these words in it.
#[track_caller]
fn check(tables: &str, (line, column): (usize, usize), words: &[&str]) {
    let errors = errors(&format!("{HEAD}{tables}"));
    let text = told(&errors);
    assert_eq!(errors.len(), 1, "{tables}\n{text}");
    assert_eq!(
        errors[0].place,
        Some(Place {
            line: HEAD_LINES + line,
            column
        }),
        "{text}"
    );
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
    for part in [&errors[0].found, &errors[0].expected, &errors[0].remedy] {
        assert!(!part.is_empty(), "{:?}", errors[0]);
    }
    assert!(
        text.starts_with(&format!("test.toml:{}:{column}: found ", HEAD_LINES + line)),
        "{text}"
    );
}

#[test]
fn the_head_is_right() {
    assert_eq!(errors(HEAD), []);
}

#[test]
fn no_toml() {
    check("[node\n", (1, 6), &["no valid TOML"]);
    check(
        "[node]\nname = \"a\"\nname = \"b\"\n",
        (3, 1),
        &["duplicate key"],
    );
    check("[node]\nname = \n", (2, 8), &["no valid TOML"]);
}

#[test]
fn unknown_keys_and_sections() {
    check(
        "[node]\nnmae = \"x\"\n",
        (2, 1),
        &["`nmae`", "did you mean `name`?"],
    );
    check(
        "[timer]\nt1_ms = 500\n",
        (1, 2),
        &["`timer`", "did you mean `timers`?"],
    );
    check(
        "[timers]\n  t1 = 500\n",
        (2, 3),
        &["`t1`", "a key of [timers]"],
    );
    check("[node]\nfavourite_colour = 3\n", (2, 1), &["take it out"]);
    check("[gateway.prob]\n", (1, 10), &["did you mean `probe`?"]);
    check(
        "[gateway.probe]\ninterval = 3\n",
        (2, 1),
        &["gateway.probe"],
    );
}

#[test]
fn wrong_types() {
    check(
        "[node]\nname = 7\n",
        (2, 8),
        &["`7`", "type integer", "a text in quotes"],
    );
    check(
        "[timers]\nt1_ms = \"500\"\n",
        (2, 9),
        &["type string", "from 10 to 10000"],
    );
    check("[timers]\nt1_ms = 0.5\n", (2, 9), &["type float"]);
    check(
        "[[trunk]]\nname = \"t\"\nsources = [\"192.0.2.0/24\"]\nfollow_redirects = \"no\"\n",
        (4, 20),
        &["true or false"],
    );
    check(
        "[node]\nnames = \"a.example\"\n",
        (2, 9),
        &["a list of texts"],
    );
    check(
        "[node]\nnames = [\"a.example\", 3]\n",
        (2, 23),
        &["`3`", "a text in quotes"],
    );
    check("[[node]]\n", (1, 1), &["a table"]);
    check("[route]\nprefix = \"1\"\n", (1, 1), &["[[route]]"]);
    check(
        "[limits]\npackets = 5\n",
        (2, 11),
        &["a list of whole numbers"],
    );
    check(
        "[[route]]\nprefix = \"1\"\ngateways = [7]\n",
        (3, 13),
        &["a text in quotes or a table"],
    );
}

#[test]
fn numbers_out_of_range() {
    check(
        "[timers]\nt1_ms = 0\n",
        (2, 9),
        &["`0`", "from 10 to 10000"],
    );
    check(
        "[timers]\nt2_ms = 100\n",
        (2, 9),
        &["t2_ms = 100 with t1_ms = 500", "RFC 3261"],
    );
    check("[limits]\ncalls = 0\n", (2, 9), &["from 1 to 16777216"]);
    check("[limits]\ncalls = -1\n", (2, 9), &["`-1`"]);
    check(
        "[limits]\ncalls = 99_999_999_999_999_999_999\n",
        (2, 9),
        &["from 1 to 16777216"],
    );
    check(
        "[limits]\npackets = [1, 2, 3]\n",
        (2, 11),
        &["3 numbers", "six"],
    );
    check(
        "[overload]\ndelay_target_ms = 0\n",
        (2, 19),
        &["from 1 to 60000"],
    );
    check("[proxy]\nattempts_max = 33\n", (2, 16), &["from 1 to 32"]);
    check("[cdr]\nrotate_seconds = 0\n", (2, 18), &["from 1"]);
    check("[drain]\ndeadline_ms = -5\n", (2, 15), &["from 0"]);
}

#[test]
fn words_that_are_not_offered() {
    check(
        "[log]\nlevel = \"inof\"\n",
        (2, 9),
        &["`inof`", "did you mean `info`?"],
    );
    check(
        "[log]\nformat = \"xml\"\n",
        (2, 10),
        &["\"text\", \"json\""],
    );
    check(
        "[sources]\nunknown = \"ignore\"\n",
        (2, 11),
        &["\"refuse\", \"drop\""],
    );
    check(
        "[[gateway]]\nname = \"b\"\naddress = \"192.0.2.7\"\ntransport = \"tls\"\n",
        (4, 13),
        &["\"udp\", \"tcp\""],
    );
}

#[test]
fn shards() {
    check("[node]\nshards = \"all\"\n", (2, 10), &["\"auto\""]);
    check("[node]\nshards = 0\n", (2, 10), &["from 1 to 1024"]);
    check(
        "[node]\nshards = [1, 2, 1]\n",
        (2, 17),
        &["the processor 1 twice"],
    );
    check("[node]\nshards = []\n", (2, 10), &["no processor"]);
    check(
        "[node]\nsteering = \"nic\"\n",
        (2, 12),
        &["\"auto\", \"kernel\", \"software\""],
    );
}

#[test]
fn names() {
    check(
        "[[gateway]]\nname = \"vienna\"\naddress = \"192.0.2.7\"\n",
        (2, 8),
        &["the gateway `vienna` again", "line 5"],
    );
    check(
        "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.7\"\n",
        (2, 8),
        &["the listener `udp` again", "line 2"],
    );
    let trunk = "[[trunk]]\nname = \"t\"\nsources = ";
    check(
        &format!("{trunk}[\"192.0.2.1\"]\n{trunk}[\"192.0.2.2\"]\n"),
        (5, 8),
        &["the trunk `t` again"],
    );
    check(
        "[[gateway]]\nname = \"b|c\"\naddress = \"192.0.2.7\"\n",
        (2, 8),
        &["`b|c`", "a name of"],
    );
    check(
        "[[gateway]]\naddress = \"192.0.2.7\"\n",
        (1, 1),
        &["[gateway] without `name`"],
    );
    check("[node]\nname = \"\"\n", (2, 8), &["a name of"]);
    check("[node]\nnames = [\"a_b\"]\n", (2, 10), &["a host name"]);
}

#[test]
fn listeners() {
    let text = told(&errors("[node]\nname = \"n\"\n"));
    assert!(
        text.starts_with("test.toml:1:1: found no listener;"),
        "{text}"
    );
    check(
        "[[listener]]\nname = \"x\"\n",
        (1, 1),
        &["[listener] without `address`"],
    );
    check(
        "[[listener]]\nname = \"x\"\naddress = \"192.0.2.1:5060\"\n",
        (3, 11),
        &["udp 192.0.2.1:5060 again", "line 3"],
    );
    check(
        "[[listener]]\nname = \"x\"\naddress = \"192.0.2.1:0\"\n",
        (3, 11),
        &["a port from 1 to 65535"],
    );
    check(
        "[[listener]]\nname = \"x\"\naddress = \"localhost\"\n",
        (3, 11),
        &["names are not looked up"],
    );
    check(
        "[[listener]]\nname = \"x\"\naddress = \"0.0.0.0\"\n",
        (3, 11),
        &["wildcard", "`advertise`"],
    );
    check(
        "[[listener]]\nname = \"x\"\naddress = \"[::]:5060\"\nadvertise = \"192.0.2.1\"\n",
        (4, 13),
        &["the listener's family"],
    );
    check(
        "[metrics]\nlisten = \"192.0.2.1:99999\"\n",
        (2, 10),
        &["an IP address and a port"],
    );
}

#[test]
fn sources_of_trunks() {
    let trunk = |sources: &str| format!("[[trunk]]\nname = \"t\"\nsources = {sources}\n");
    check(
        "[[trunk]]\nname = \"t\"\n",
        (1, 1),
        &["[trunk] without `sources`"],
    );
    check(&trunk("[]"), (3, 11), &["no source"]);
    check(
        &trunk("[\"192.0.2.0/24\", \"192.0.2.0/24\"]"),
        (3, 28),
        &["192.0.2.0/24 again"],
    );
    let other = "[[trunk]]\nname = \"u\"\nsources = [\"::ffff:192.0.2.0/120\"]\n";
    check(
        &format!("{}{other}", trunk("[\"192.0.2.0/24\"]")),
        (6, 12),
        &["192.0.2.0/24 again", "line 9"],
    );
    check(
        &trunk("[{ network = \"192.0.2.0/24\", port = 0 }]"),
        (3, 47),
        &["from 1 to 65535"],
    );
    check(&trunk("[{ port = 5060 }]"), (3, 12), &["without `network`"]);
}

#[test]
fn networks() {
    for (network, remedy) in [
        ("192.0.2.1/24", "did you mean `192.0.2.0/24`?"),
        ("2001:db8::1/32", "did you mean `2001:db8::/32`?"),
        ("192.0.2.0/33", "0 to 32 bits"),
        ("192.0.2.0/+8", "0 to 32 bits"),
        ("::ffff:192.0.2.0/24", "0 to 32 bits"),
        ("192.0.2", "names are not looked up"),
        ("sip.example.com", "names are not looked up"),
    ] {
        let sources =
            format!("[[trunk]]\nname = \"t\"\nsources = [\"198.51.100.1\", \"{network}\"]\n");
        check(&sources, (3, 28), &[network, remedy]);
    }
}

#[test]
fn numbers_of_trunks() {
    let trunk =
        |line: &str| format!("[[trunk]]\nname = \"t\"\nsources = [\"192.0.2.1\"]\n{line}\n");
    check(
        &trunk("country_code = \"+49\""),
        (4, 16),
        &["1 to 3 digits"],
    );
    check(
        &trunk("national_prefix = \"0\""),
        (4, 19),
        &["without `country_code`"],
    );
    check(
        &trunk("plain = \"national\""),
        (4, 9),
        &["without `country_code`"],
    );
    check(
        &trunk("international_prefixes = [\"00\", \"+\"]"),
        (4, 33),
        &["digits"],
    );
    check(&trunk("tech_prefixes = [\"12 34\"]"), (4, 18), &["`12 34`"]);
    check(
        &trunk("tech_prefix_required = true"),
        (4, 24),
        &["there is none"],
    );
    check(
        &trunk("allow = [\"INVITE\", \"BY E\"]"),
        (4, 20),
        &["a method"],
    );
    check(&trunk("max_calls = 0"), (4, 13), &["from 1"]);
}

#[test]
fn gateways() {
    let gateway = |lines: &str| format!("[[gateway]]\nname = \"b\"\n{lines}\n");
    check(&gateway(""), (1, 1), &["[gateway] without `address`"]);
    check(
        &gateway("address = \"192.0.2.7:0\""),
        (3, 11),
        &["a port from 1"],
    );
    check(
        &gateway("address = \"0.0.0.0\""),
        (3, 11),
        &["can be sent to"],
    );
    check(
        &gateway("address = \"2001:db8::7\""),
        (3, 11),
        &["an IPv6 address"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\ntransport = \"tcp\""),
        (3, 11),
        &["transport tcp"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\nlistener = \"upd\""),
        (4, 12),
        &["did you mean `udp`?"],
    );
    check(
        &gateway("address = \"2001:db8::7\"\nlistener = \"udp\""),
        (4, 12),
        &["an IPv6 address"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\ndomain = \"a b\""),
        (4, 10),
        &["a host"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\ndomain = \"a.example:0\""),
        (4, 10),
        &["a host"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\nprefix = \"x\""),
        (4, 10),
        &["digits, `*`, `#` or `+`"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\nprobe = 3"),
        (4, 9),
        &["a table"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\nhealth = { hold_down = 3 }"),
        (4, 12),
        &["`hold_down_ms`"],
    );
    check(
        &gateway("address = \"192.0.2.7\"\nprobe = { down_after = 0 }"),
        (4, 24),
        &["from 1 to 1000"],
    );
}

#[test]
fn routes() {
    let route = |lines: &str| format!("[[route]]\n{lines}\n");
    let to = "gateways = [\"vienna\"]";
    check(&route(to), (1, 1), &["without `prefix`"]);
    check(&route("prefix = \"1\""), (1, 1), &["without `gateways`"]);
    check(
        &route(&format!("prefix = \"49a\"\n{to}")),
        (2, 10),
        &["`49a`", "1 to 32 digits"],
    );
    check(
        &route(&format!("prefix = [\"49\", \"+\"]\n{to}")),
        (2, 17),
        &["1 to 32 digits"],
    );
    check(
        &route(&format!("prefix = [\"49\", \"+49\"]\n{to}")),
        (2, 17),
        &["`49` again", "line 8"],
    );
    check(
        &route(&format!("prefix = [\"\", \"*\"]\n{to}")),
        (2, 15),
        &["`*` again"],
    );
    check(
        &route("prefix = \"1\"\ngateways = []"),
        (3, 12),
        &["no gateway"],
    );
    check(
        &route("prefix = \"1\"\ngateways = [\"veinna\"]"),
        (3, 13),
        &["did you mean `vienna`?"],
    );
    check(
        &route("prefix = \"1\"\ngateways = [\"vienna\", \"vienna\"]"),
        (3, 23),
        &["each gateway once"],
    );
    check(
        &route("prefix = \"1\"\ngateways = [{ name = \"vienna\", weight = 0 }]"),
        (3, 41),
        &["from 1 to 10000"],
    );
    check(
        &route("prefix = \"1\"\ngateways = [{ weight = 1 }]"),
        (3, 13),
        &["without `name`"],
    );
    check(
        &route(&format!(
            "prefix = \"1\"\n{to}\nadvance = [\"5xx\", \"2xx\"]"
        )),
        (4, 19),
        &["`2xx`"],
    );
    check(
        &route(&format!("prefix = \"1\"\n{to}\nadvance = [\"time-out\"]")),
        (4, 12),
        &["did you mean `timeout`?"],
    );
    check(
        &route(&format!("prefix = \"1\"\n{to}\nmode = \"random\"")),
        (4, 8),
        &["\"weighted\""],
    );
    check(
        &route(
            "prefix = \"1\"\ngateways = [{ name = \"vienna\", weight = 2 }]\nmode = \"ordered\"",
        ),
        (4, 8),
        &["mode = \"weighted\""],
    );
    check(
        &route(&format!("prefix = \"1\"\n{to}\nattempts_max = 0")),
        (4, 16),
        &["from 1 to 32"],
    );
    check(
        &route(&format!("prefix = \"1\"\n{to}\nring_ms = 3600001")),
        (4, 11),
        &["from 0"],
    );
    let many =
        (0..33).map(|at| format!("[[gateway]]\nname = \"g{at}\"\naddress = \"192.0.2.7\"\n"));
    let names: Vec<String> = (0..33).map(|at| format!("g{at}")).collect();
    let tables = format!(
        "{}[[route]]\nprefix = \"1\"\ngateways = {names:?}\n",
        many.collect::<String>()
    );
    check(&tables, (33 * 3 + 3, 12), &["33 gateways", "at most 32"]);
}

#[test]
fn two_routes_that_want_different_patience_of_one_gateway() {
    let route = |prefix: &str, ms: u32| {
        format!(
            "[[route]]\nprefix = \"{prefix}\"\ngateways = [\"vienna\"]\nno_response_ms = {ms}\n"
        )
    };
    let text = format!("{HEAD}{}{}", route("1", 300), route("2", 300));
    let config = Config::parse("test.toml", &text).expect("they agree");
    assert_eq!(config.gateways[0].no_response_ms, 300);
    check(
        &format!("{}{}", route("1", 300), route("2", 400)),
        (8, 18),
        &["`vienna`", "300 ms by line 10"],
    );
    let own = format!("{HEAD}no_response_ms = 700\n{}", route("1", 300));
    let config = Config::parse("test.toml", &own).expect("its own word counts");
    assert_eq!(config.gateways[0].no_response_ms, 700);
}

#[test]
fn everything_is_told_in_one_run() {
    let text = "[node]\nshards = [1, 1]\n[timers]\nt1_ms = 1\n[[gateway]]\nname = \"a\"\n\
                address = \"no where\"\n[[route]]\nprefix = \"x\"\ngateways = [\"b\"]\n";
    let lines: Vec<usize> = errors(text)
        .iter()
        .map(|error| error.place.unwrap().line)
        .collect();
    assert_eq!(lines, [1, 2, 4, 7, 9, 10], "{}", told(&errors(text)));
}

#[test]
fn a_flood_of_errors_is_cut_and_counted() {
    let routes =
        "[[route]]\nprefix = \"x\"\ngateways = [\"vienna\"]\n".repeat(config::ERRORS_MAX + 7);
    let errors = errors(&format!("{HEAD}{routes}"));
    assert_eq!(errors.len(), config::ERRORS_MAX + 1);
    assert_eq!(errors.last().unwrap().found, "7 more errors");
}

#[test]
fn columns_count_characters() {
    let text = format!("node = {{ state_dir = \"grün\", shards = 0 }}\n{HEAD}");
    let errors = errors(&text);
    assert_eq!(errors.len(), 1, "{}", told(&errors));
    assert_eq!(
        errors[0].place,
        Some(Place {
            line: 1,
            column: 39
        }),
        "{}",
        told(&errors)
    );
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Config::load(dir.path().join("none.toml")).unwrap_err();
    assert!(
        told(&missing).contains("none.toml: found no file"),
        "{}",
        told(&missing)
    );
    assert_eq!(missing[0].place, None);
    let path = dir.path().join("latin1.toml");
    fs::write(&path, b"# a\n# gr\xfcn\n").unwrap();
    let latin = Config::load(&path).unwrap_err();
    assert_eq!(
        latin[0].place,
        Some(Place { line: 2, column: 5 }),
        "{}",
        told(&latin)
    );
    assert!(latin[0].found.contains("0xfc"));
}

fn deck(rows: &str) -> Result<Vec<config::Route>, Vec<Error>> {
    read_deck("deck.csv", rows.as_bytes(), &["berlin", "vienna"])
}

/// Exactly one error in these rows.
#[track_caller]
fn check_deck(rows: &str, (line, column): (usize, usize), words: &[&str]) {
    let errors = deck(rows).expect_err("an error");
    let text = told(&errors);
    assert_eq!(errors.len(), 1, "{rows}\n{text}");
    assert_eq!(
        errors[0].place,
        Some(Place { line, column }),
        "{rows}\n{text}"
    );
    assert!(
        text.starts_with(&format!("deck.csv:{line}:{column}: found ")),
        "{text}"
    );
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

#[test]
fn rows_of_a_deck() {
    check_deck(
        "prefix,gateways\n49,veinna\n",
        (2, 4),
        &["did you mean `vienna`?"],
    );
    check_deck("49,berlin|veinna", (1, 11), &["`veinna`"]);
    check_deck(
        "# all\n\n49a,berlin\n",
        (3, 1),
        &["`49a`", "1 to 32 digits"],
    );
    check_deck(
        "49,berlin\r\n43,berlin\r\n49,vienna\r\n",
        (3, 1),
        &["`49` again", "line 1"],
    );
    check_deck("49,berlin:0\n", (1, 4), &["the weight `0`"]);
    check_deck("49, berlin:2|vienna:x\n", (1, 14), &["the weight `x`"]);
    check_deck("49,berlin:+1\n", (1, 4), &["the weight `+1`"]);
    check_deck("49,berlin|berlin\n", (1, 11), &["twice"]);
    check_deck("49\n", (1, 1), &["no gateways"]);
    check_deck("49,\n", (1, 1), &["no gateways"]);
    check_deck(
        "49,berlin,vienna\n",
        (1, 11),
        &["a third field `vienna`", "`|`"],
    );
    check_deck(",berlin\n", (1, 1), &["1 to 32 digits"]);
    check_deck("\"49\" , \"nowhere\"\n", (1, 9), &["`nowhere`"]);
    // A bad list of gateways is told once, where it stands first.
    check_deck("49,nowhere\n43,nowhere\n", (1, 4), &["`nowhere`"]);
}

#[test]
fn a_deck_that_is_right() {
    let rows = "\u{feff}Prefix,Gateways\n# a comment, with a comma\n49,berlin|vienna\n\
                \"4930\",\"berlin:3|vienna:1\"\r\n+43 , berlin | vienna\n\n*,vienna";
    let routes = deck(rows).unwrap_or_else(|errors| panic!("{}", told(&errors)));
    let told: Vec<String> = routes
        .iter()
        .map(|route| {
            let targets = route.plan.targets.iter();
            let targets: Vec<String> = targets
                .map(|it| format!("{}:{}", it.gateway, it.weight))
                .collect();
            format!(
                "{} {:?} {}",
                route.prefix,
                route.plan.mode,
                targets.join("|")
            )
        })
        .collect();
    let want = [
        "49 Ordered berlin:1|vienna:1",
        "4930 Weighted berlin:3|vienna:1",
        "43 Ordered berlin:1|vienna:1",
        "* Ordered vienna:1",
    ];
    assert_eq!(told, want);
}

#[test]
fn a_deck_beside_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trunkline.toml");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "trunkline.toml",
        &format!("routes_csv = \"deck.csv\"\n{HEAD}"),
    );

    let missing = Config::load(&path).unwrap_err();
    assert_eq!(
        missing[0].place,
        Some(Place {
            line: 1,
            column: 14
        }),
        "{}",
        told(&missing)
    );
    assert!(missing[0].found.contains("deck.csv"));

    write("deck.csv", "49,vienna\n43,vienna\n");
    let config = Config::load(&path).unwrap_or_else(|errors| panic!("{}", told(&errors)));
    let prefixes: Vec<&str> = config
        .routes
        .iter()
        .map(|route| route.prefix.as_str())
        .collect();
    assert_eq!(prefixes, ["49", "43"]);

    let route = "[[route]]\nprefix = \"43\"\ngateways = [\"vienna\"]\n";
    write(
        "trunkline.toml",
        &format!("routes_csv = \"deck.csv\"\n{HEAD}{route}"),
    );
    let twice = Config::load(&path).unwrap_err();
    assert_eq!(twice.len(), 1, "{}", told(&twice));
    assert!(twice[0].file.ends_with("deck.csv"));
    assert_eq!(twice[0].place, Some(Place { line: 2, column: 1 }));
    assert!(
        twice[0].found.contains("trunkline.toml:9"),
        "{}",
        told(&twice)
    );

    write("trunkline.toml", &format!("routes_csv = \".\"\n{HEAD}"));
    let folder = Config::load(&path).unwrap_err();
    assert!(
        folder[0].found.contains("not a regular file"),
        "{}",
        told(&folder)
    );
}

#[test]
fn plans_by_name() {
    let plan = "[[plan]]\nname = \"p\"\ngateways = [\"vienna\"]\n";
    check(
        "[[route]]\nprefix = \"4\"\nplan = \"retial\"\n",
        (3, 8),
        &["`retial`"],
    );
    check(
        &format!("{plan}[[route]]\nprefix = \"4\"\nplan = \"p\"\nring_ms = 1\n"),
        (7, 1),
        &["`ring_ms`", "nothing else"],
    );
    check(
        "[[plan]]\nname = \"p\"\n",
        (1, 1),
        &["[plan] without `gateways`"],
    );
    let text = format!(
        "{HEAD}{plan}mode = \"balanced\"\n[[route]]\nprefix = \"4\"\nplan = \"p\"\n[[route]]\nprefix = \"5\"\nplan = \"p\"\n"
    );
    let config = Config::parse("test.toml", &text).expect("it is right");
    let [four, five] = &config.routes[..] else {
        panic!("two routes: {:?}", config.routes);
    };
    assert!(std::sync::Arc::ptr_eq(&four.plan, &five.plan));
    assert_eq!(four.plan.mode, config::Mode::Balanced);

    let folder = tempfile::tempdir().unwrap();
    let (file, rows) = (folder.path().join("c.toml"), folder.path().join("r.csv"));
    std::fs::write(
        &file,
        format!("routes_csv = \"r.csv\"\n{HEAD}{plan}ring_ms = 7000\n"),
    )
    .unwrap();
    std::fs::write(&rows, "49,=p\n43,vienna\n").unwrap();
    let config = Config::load(&file).expect("it is right");
    let ring = config.routes.iter().map(|it| it.plan.ring_ms);
    assert_eq!(ring.collect::<Vec<_>>(), [7_000, 0]);
    std::fs::write(&rows, "49,=q\n").unwrap();
    let told = Config::load(&file).unwrap_err();
    assert!(told[0].to_string().contains("the plan `q`"), "{}", told[0]);
}

#[test]
fn blocks() {
    let block = "[[block]]\nname = \"b\"\nreason = \"r\"\nowner = \"o\"\n";
    check(
        "[[block]]\nname = \"b\"\nowner = \"o\"\n",
        (1, 1),
        &["`reason`", "why"],
    );
    check(
        "[[block]]\nname = \"b\"\nreason = \" \"\nowner = \"o\"\n",
        (3, 10),
        &["why", "letters"],
    );
    for text in ["soon", "2026-13-01", "2026-12-01T12:00:00", "1969-01-01"] {
        check(
            &format!("{block}until = \"{text}\"\n"),
            (5, 9),
            &[text, "a time needs its zone"],
        );
    }
    check(
        &format!("{block}from = \"2026-12-02\"\nuntil = \"2026-12-01T23:00:00-01:00\"\n"),
        (6, 9),
        &["not after `from`"],
    );
    check(
        &format!("{block}numbers = [\"none\"]\n"),
        (5, 12),
        &["`none`", "list"],
    );
    check(&format!("{block}{block}"), (6, 8), &["the block `b` again"]);
}

#[test]
fn caps() {
    let cap = "[[cap]]\nname = \"c\"\n";
    let bound = "max_calls = 5\n";
    check(cap, (1, 1), &["a cap without a bound", "window_cost"]);
    check(
        &format!("{cap}{bound}trunks = []\ngateways = [\"g\"]\n"),
        (5, 12),
        &["`trunks` and `gateways`", "two caps"],
    );
    check(
        &format!("{cap}{bound}each = [\"gateway\"]\n"),
        (4, 9),
        &["`gateway`", "\"trunk\" or \"carrier\""],
    );
    check(
        &format!("{cap}{bound}each = [\"prefix\"]\n"),
        (4, 8),
        &["a count for each prefix", "`prefixes`"],
    );
    check(
        &format!("{cap}{bound}prefixes = [\"49\", \"+49\"]\n"),
        (4, 19),
        &["the prefix `49` again"],
    );
    check(
        &format!("{cap}{bound}prefixes = [\"4x\"]\n"),
        (4, 13),
        &["`4x`", "country code"],
    );
    check(
        &format!("{cap}{bound}numbers = [\"none\"]\n"),
        (4, 12),
        &["`none`", "list"],
    );
    check(
        &format!("{cap}window_cost = \"-1\"\n"),
        (3, 15),
        &["`-1`", "[money]"],
    );
    check(
        &format!("{cap}{bound}window_s = 60\n"),
        (4, 12),
        &["counts nothing in a window"],
    );
    check(
        "[[carrier]]\nname = \"a\"\n[[carrier]]\nname = \"a\"\n",
        (4, 8),
        &["the carrier `a` again"],
    );
}

#[test]
fn calendars() {
    let calendar = "[[calendar]]\nname = \"c\"\n";
    check(
        &format!("{calendar}zone = \"Europe/Berlim\"\nhours = []\n"),
        (3, 8),
        &["`Europe/Berlim`", "IANA"],
    );
    check(calendar, (1, 1), &["[calendar] without `hours`"]);
    check(
        &format!("{calendar}hours = [\"mon-fri 8-18\"]\n"),
        (3, 10),
        &["`mon-fri 8-18`", "mon to sun"],
    );
    let good = format!("{calendar}hours = [\"daily 08:00-18:00\"]\n");
    check(
        &format!("{good}dates = [\"2026-02-29 closed\"]\n"),
        (4, 10),
        &["`2026-02-29 closed`", "12-31 closed"],
    );
    check(
        &format!("{good}holidays = [\"nobody\"]\n"),
        (4, 13),
        &["`nobody`", "[[holidays]]"],
    );
    check(
        "[[holidays]]\nname = \"h\"\ndates = [\"25.12.\"]\n",
        (3, 10),
        &["`25.12.`", "month-day"],
    );
    check(
        "[[holidays]]\nname = \"h\"\n",
        (1, 1),
        &["[holidays] without `dates`"],
    );
    check(
        &format!("{good}{good}"),
        (5, 8),
        &["the calendar `c` again"],
    );
    let route = "[[route]]\nprefix = \"1\"\ngateways = [{ name = \"vienna\", when = ";
    check(
        &format!("{good}{route}\"not d\" }}]\n"),
        (6, 39),
        &["`d`", "did you mean `c`?"],
    );
    check(
        &format!("{route}\"c\" }}]\n"),
        (3, 39),
        &["the name of a [[calendar]]"],
    );
}

#[test]
fn balances_where_nobody_stands_side_by_side() {
    let route = "[[route]]\nprefix = \"1\"\ngateways = [\"vienna\"]\n";
    for mode in ["ordered", "weighted", "parallel"] {
        check(
            &format!("{route}mode = \"{mode}\"\nbalance = \"caller\"\n"),
            (5, 11),
            &["`balance` in a route", mode, "set mode = \"balanced\""],
        );
    }
    check(
        &format!("{route}balance = \"callers\"\n"),
        (4, 11),
        &["`callers`", "did you mean `caller`?"],
    );
}

#[test]
fn qualities() {
    let class = "[[quality]]\nname = \"q\"\n";
    check(
        &format!("{class}min_asr = \"130 %\"\n"),
        (3, 11),
        &["`130 %`", "100 %"],
    );
    check(
        &format!("{class}max_short = \"0.1\"\n"),
        (3, 13),
        &["`0.1`", "a % behind it"],
    );
    check(&format!("{class}digits = 10\n"), (3, 10), &["from 0 to 9"]);
    check(
        &format!("{class}below = \"behynd\"\n"),
        (3, 9),
        &["did you mean `behind`?"],
    );
    check(
        &format!("{class}{class}"),
        (4, 8),
        &["the quality `q` again"],
    );
    let route = "[[route]]\nprefix = \"1\"\ngateways = [\"vienna\"]\n";
    check(
        &format!("{route}quality = \"q\"\n"),
        (4, 11),
        &["the name of a [[quality]]"],
    );
    check(
        &format!("{route}mode = \"quality\"\n"),
        (1, 1),
        &["[route] without `quality`"],
    );
    check("[limits]\nquality_rows = 3\n", (2, 16), &["from 16"]);
}

#[test]
fn translations_whose_examples_are_wrong_do_not_load() {
    let table = |rules: &str, examples: &str| {
        format!("[[translation]]\nname = \"t\"\nrules = {rules}\nexamples = {examples}\n")
    };
    let one = "[{ begins = \"00\", strip = 2, prepend = \"+\" }]";
    assert_eq!(
        errors(&format!("{HEAD}{}", table(one, "[[\"0049\", \"+49\"]]"))),
        []
    );
    check(
        &table(one, "[[\"0049\", \"+49\"], [\"0043\", \"43\"]]"),
        (4, 31),
        &[
            "`0043` that becomes `+43` by rule 1 (begins 00, strip 2, prepend +)",
            "expected `43`",
        ],
    );
    check(
        &table(one, "[[\"049\", \"+49\"]]"),
        (4, 14),
        &[
            "`049`, which no rule is for",
            "expected `+49` as the example of `t` says",
        ],
    );
    check(
        &table(one, "[[\"bob\", \"+49\"]]"),
        (4, 14),
        &["`bob`", "rules are for numbers"],
    );
    check(&table(one, "[]"), (4, 12), &["`t` without an example"]);
    check(&table(one, "[[\"0049\"]]"), (4, 13), &["a list of pairs"]);
    check(&table(one, "\"0049\""), (4, 12), &["a list of pairs"]);
    check(
        &format!("[[translation]]\nname = \"t\"\nrules = {one}\n"),
        (1, 1),
        &["`t` without an example"],
    );
}

#[test]
fn profiles_that_are_none() {
    let profile = |key: &str| format!("[[profile]]\nname = \"p\"\n{key}\n");
    let good =
        "assert = \"tel:+4930\"\ndeny = [\"X-*\", \"s\"]\nallow = []\nset_to = [\"X-A: b: c\"]";
    assert_eq!(errors(&format!("{HEAD}{}", profile(good))), []);
    for (key, column, words) in [
        ("assert = \"to\"", 10, &["`to`", "\"from\", or a URI"][..]),
        ("assert = \"sip:a b@c\"", 10, &["`sip:a b@c`"]),
        ("assert = \"sip:@c\"", 10, &["`sip:@c`"]),
        ("assert = \"tel:030\"", 10, &["`tel:030`"]),
        ("diversion = \"keep\"", 13, &["one of \"pass\", \"strip\""]),
        ("deny = [\"X-A:\"]", 9, &["`X-A:`", "the name of a header"]),
        ("deny = [\"\"]", 9, &["the name of a header"]),
        (
            "deny = [\"X-A\", \"contact\"]",
            16,
            &["no call works without Contact"],
        ),
        ("allow = [\"M\"]", 10, &["no call works without Contact"]),
        ("set_to = [\"X-A\"]", 11, &["\"Name: value\""]),
        ("set_to = [\"X-A: b\\r\\nVia: c\"]", 11, &["in one line"]),
        (
            "set_from = [\"v: SIP/2.0/UDP x\"]",
            13,
            &["no call works without Via"],
        ),
        (
            "set_from = [\"p-asserted-identity: <sip:a@b>\"]",
            13,
            &["use `assert`"],
        ),
    ] {
        check(&profile(key), (3, column), words);
    }
    let many = format!("deny = [{}]", "\"a\", ".repeat(65));
    check(
        &profile(&many),
        (3, 9 + 64 * 5),
        &["65 entries", "at most 64"],
    );
    let unknown = "[[trunk]]\nname = \"t\"\nsources = [\"192.0.2.7\"]\nprofile = \"x\"\n";
    check(unknown, (4, 11), &["`x`", "the name of a [[profile]]"]);
}

#[test]
fn translation_rules_that_are_none() {
    let rule = |rule: &str| {
        format!(
            "[[translation]]\nname = \"t\"\nrules = [{{ {rule} }}]\nexamples = [[\"1\", \"1\"]]\n"
        )
    };
    for (text, column, words) in [
        ("begins = \"0a\"", 21, &["`0a`", "signs and classes"][..]),
        ("length = \"9-8\"", 21, &["`9-8`", "how many signs"]),
        ("prepend = \"x\"", 22, &["`x`", "digits"]),
        ("set = \"\"", 18, &["``", "digits"]),
        ("strip = 65", 20, &["0 to 64"]),
        ("set = \"1\", strip = 1", 31, &["`set` with `strip`"]),
        (
            "begins = \"123\", length = \"2\"",
            10,
            &["no number can have"],
        ),
        ("begin = \"123\"", 12, &["did you mean `begins`?"]),
    ] {
        check(&rule(text), (3, column), words);
    }
    let unknown = "[[trunk]]\nname = \"t\"\nsources = [\"192.0.2.7\"]\ncalled_rules = [\"x\"]\n";
    check(unknown, (4, 17), &["`x`", "the name of a [[translation]]"]);
    let parameter =
        "[[gateway]]\nname = \"b\"\naddress = \"192.0.2.8\"\nkeep_parameters = [\"rn=1\"]\n";
    check(parameter, (4, 20), &["`rn=1`", "the name of a parameter"]);
}
