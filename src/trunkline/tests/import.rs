//! The way over: data of Kamailio and OpenSIPS in each of their forms becomes a configuration that
//! loads, and calls go where they went.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// What a command prints, whatever its end.
fn trunkline(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(arguments)
        .output()
        .unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

struct Import {
    folder: TempDir,
    told: String,
}

/// Imports these files, and checks that the configuration is good.
fn import(files: &[(&str, &str)], more: &[&str]) -> Import {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (files.iter())
        .map(|(name, text)| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        })
        .collect();
    let out = folder.path().join("out").display().to_string();
    let mut arguments = vec!["import"];
    arguments.extend(paths.iter().map(String::as_str));
    arguments.extend(["--listen", "127.0.0.1:5060", "--out", &out]);
    arguments.extend(more);
    let (is_good, told) = trunkline(&arguments);
    assert!(is_good, "{told}");
    let config = folder.path().join("out/trunkline.toml");
    let (is_good, checked) = trunkline(&["check", "--config", config.to_str().unwrap()]);
    let text = fs::read_to_string(config).unwrap();
    assert!(is_good, "{checked}\n{text}");
    Import { folder, told }
}

impl Import {
    /// The gateways that a number goes to, in their order.
    fn goes_to(&self, trunk: &str, number: &str) -> Vec<String> {
        self.explained(trunk, number).0
    }

    /// The same, and the Request-URI that each gets.
    fn explained(&self, trunk: &str, number: &str) -> (Vec<String>, Vec<String>) {
        let config = self.folder.path().join("out/trunkline.toml");
        let arguments = [
            "--config",
            config.to_str().unwrap(),
            "--from",
            trunk,
            "--json",
            number,
        ];
        let (is_good, text) = trunkline(&[&["route", "explain"][..], &arguments].concat());
        assert!(is_good, "{text}");
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        let steps = told["candidates"].as_array();
        let steps = steps.unwrap_or_else(|| panic!("no candidates in {told}"));
        let words = |key: &str| {
            let word = |step: &serde_json::Value| step[key].as_str().unwrap().to_owned();
            steps.iter().map(word).collect()
        };
        (words("gateway"), words("request_uri"))
    }

    fn says(&self, words: &str) {
        assert!(self.told.contains(words), "{words} in {}", self.told);
    }
}

const ADDRESS: &str = "id(int,auto) grp(int) ip_addr(string) mask(int) port(int) tag(string,null)\n\
    1:1:192.0.2.1:32:0:acme\n2:1:198.51.100.77:24:5060:acme\n3:2:2001\\:db8\\:\\:1:128:0:\n4:2:sip.example.com:32:0:\n";

#[test]
fn drouting_of_kamailio_in_db_text() {
    let gateways = "gwid(int,auto) type(int) address(string) strip(int) pri_prefix(string,null) attrs(string,null) description(string) \n\
        1:0:203.0.113.1\\:5070:2:00:x=1:first carrier\n2:0:sip\\:203.0.113.2;transport=tcp:0:::\n3:0:localhost:0:::\n";
    let lists = "id(int,auto) gwlist(string) description(string) \n7:2,1:both\n";
    let rules = "ruleid(int,auto) groupid(string) prefix(string) timerec(string) priority(int) routeid(string) gwlist(string) description(string) \n\
        1:1:49::0:0:1,2:\n2:1:4930::0:0:#7:\n3:1:4930::5:0:2:\n4:1:44:20200101T000000|20201231T000000:0:0:1:\n5:1:::0:0:3,1:\n6:2:1::0:0:1:\n";
    let done = import(
        &[
            ("address", ADDRESS),
            ("dr_gateways", gateways),
            ("dr_gw_lists", lists),
            ("dr_rules", rules),
        ],
        &["--group", "1"],
    );
    assert_eq!(done.goes_to("acme", "+4940123"), ["gw1", "gw2"]);
    assert_eq!(
        done.goes_to("acme", "+4930123"),
        ["gw2"],
        "the rule of higher priority"
    );
    assert_eq!(
        done.goes_to("group-2", "+1555"),
        ["gw3@127.0.0.1", "gw1"],
        "the rule for all, with the gateway that has a name"
    );
    done.says("dr_rules:3: a rule for `4930` of lower priority: left out");
    done.says("dr_rules:5: a rule for some times only");
    done.says("dr_gateways:2: attrs `x=1` are read by a script");
    done.says("address:5: `sip.example.com`");
    done.says("2 trunks, 3 gateways, 3 prefixes");
    let text = fs::read_to_string(done.folder.path().join("out/trunkline.toml")).unwrap();
    for words in [
        "# first carrier",
        "strip = 2",
        "prefix = \"00\"",
        "transport = \"tcp\"",
        "198.51.100.0/24",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn drouting_of_opensips_in_a_dump() {
    let dump = "CREATE TABLE `dr_gateways` (`id` int, `gwid` char(64), `type` int, `address` char(128), `strip` int, `pri_prefix` char(16), `attrs` char(255), `probe_mode` int, `state` int, `socket` char(128), `description` char(128), PRIMARY KEY (`id`));\n\
        INSERT INTO `dr_gateways` VALUES (1,'berlin',0,'203.0.113.1',0,NULL,NULL,2,0,NULL,'B'),(2,'wien',0,'203.0.113.2:5062',0,'',NULL,0,1,NULL,'');\n\
        INSERT INTO dr_carriers (carrierid, gwlist, sort_alg, state) VALUES ('both', 'berlin=70,wien=30', 'W', 0);\n\
        INSERT INTO dr_rules (ruleid, groupid, prefix, timerec, priority, routeid, gwlist, sort_alg) VALUES (1,'0','49',NULL,0,NULL,'#both','N'),(2,'0,1','43',NULL,0,NULL,'wien=1,berlin=3','W');\n\
        INSERT INTO address (grp, ip, mask, port, proto, pattern, tag) VALUES (1,'192.0.2.9',32,0,'udp',NULL,'c');\n";
    let done = import(&[("dump.sql", dump)], &["--group", "0"]);
    let text = fs::read_to_string(done.folder.path().join("out/trunkline.toml")).unwrap();
    for words in [
        "{ name = \"berlin\", weight = 70 }, { name = \"wien\", weight = 30 }",
        "{ name = \"wien\", weight = 1 }, { name = \"berlin\", weight = 3 }",
        "probe = {}",
        "maintenance = true",
        "transport = \"udp\"",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    // Several groups and none chosen: they are named.
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("dump.sql"), folder.path().join("out"));
    fs::write(&path, dump).unwrap();
    let (path, out) = (path.to_str().unwrap(), out.to_str().unwrap());
    let (is_good, told) = trunkline(&["import", path, "--out", out]);
    assert!(
        !is_good && told.contains("0 (2 rows), 1 (1 rows); choose one by --group"),
        "{told}"
    );
    assert!(!Path::new(out).exists(), "nothing is written");
}

#[test]
fn lcr_tries_the_shorter_prefixes_behind_the_longest() {
    let gateways = "id,lcr_id,gw_name,ip_addr,hostname,port,params,uri_scheme,transport,strip,prefix,tag,flags,defunct\n\
        1,1,a,203.0.113.1,,5060,,1,1,0,,,0,\n2,1,b,203.0.113.2,,,,1,2,1,9,,0,\n3,1,c,203.0.113.3,NULL,0,,1,1,0,,,0,\n4,2,z,203.0.113.9,,,,1,1,0,,,0,\n";
    let rules = "id,lcr_id,prefix,from_uri,request_uri,mt_tvalue,stopper,enabled\n\
        1,1,49,,,,0,1\n2,1,4930,,,,0,1\n3,1,4940,,,,1,1\n4,1,43,,,,0,0\n5,1,44,^sip:vip,,,0,1\n6,2,1,,,,0,1\n";
    let targets = "id,lcr_id,rule_id,gw_id,priority,weight\n\
        1,1,1,1,0,1\n2,1,2,2,1,1\n3,1,2,3,0,1\n4,1,3,2,0,30\n5,1,3,3,0,70\n6,2,6,4,0,1\n";
    let done = import(
        &[
            ("address", ADDRESS),
            ("lcr_gw.csv", gateways),
            ("lcr_rule.csv", rules),
            ("lcr_rule_target.csv", targets),
        ],
        &["--group", "1"],
    );
    assert_eq!(done.goes_to("acme", "+4930123"), ["c", "b", "a"]);
    assert_eq!(done.goes_to("acme", "+49111"), ["a"]);
    assert_eq!(done.goes_to("acme", "+4940123").len(), 2, "it stops there");
    done.says("lcr_rule.csv:6: a rule for some calls only (from_uri `^sip:vip`): left out");
    done.says("3 gateways, 3 prefixes");
    let text = fs::read_to_string(done.folder.path().join("out/trunkline.toml")).unwrap();
    assert!(
        text.contains("{ name = \"b\", weight = 30 }, { name = \"c\", weight = 70 }")
            || text.contains("{ name = \"c\", weight = 70 }, { name = \"b\", weight = 30 }"),
        "{text}"
    );
}

#[test]
fn a_dispatchers_list() {
    let list = "# proxies\n1 sip:203.0.113.1:5080 0 5 duid=one;weight=50\n\n1 sip:203.0.113.2 9 9 maxload=30;socket=udp:1.2.3.4:5060;duid=two\n\
        1 sip:203.0.113.3;transport=tcp\n2 sip:203.0.113.4 0 0\n";
    let done = import(
        &[("dispatcher.list", list), ("address", ADDRESS)],
        &["--group", "1"],
    );
    assert_eq!(
        done.goes_to("acme", "+1555"),
        ["two", "one", "set1-203.0.113.3-5060"]
    );
    done.says("dispatcher.list:4: attribute `socket` is not taken over");
    done.says("only some of the set have a weight");
    let text = fs::read_to_string(done.folder.path().join("out/trunkline.toml")).unwrap();
    for words in ["max_calls = 30", "maintenance = true", "probe = {}"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn many_routes_go_beside_the_configuration() {
    let mut rules =
        String::from("ruleid,groupid,prefix,timerec,priority,routeid,gwlist,description\n");
    for prefix in 100_000..102_000 {
        rules += &format!("{prefix},1,{prefix},,0,0,1,\n");
    }
    let gateways = "gwid,type,address,strip,pri_prefix,attrs,description\n1,0,203.0.113.1,0,,,\n";
    let done = import(
        &[
            ("address", ADDRESS),
            ("dr_gateways.csv", gateways),
            ("dr_rules.csv", &rules),
        ],
        &[],
    );
    done.says("2000 prefixes");
    done.says("routes.csv");
    assert_eq!(done.goes_to("acme", "+1015550000"), ["gw1"]);
    // A second import writes over nothing unless told to.
    let out = done.folder.path().join("out").display().to_string();
    let file = done
        .folder
        .path()
        .join("dr_gateways.csv")
        .display()
        .to_string();
    let (is_good, told) = trunkline(&["import", &file, "--out", &out]);
    assert!(!is_good && told.contains("is there already"), "{told}");
    assert!(trunkline(&["import", &file, "--out", &out, "--force"]).0);
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    for (name, text, told) in [
        ("notes.txt", "hello\n", "neither a dispatcher's list"),
        (
            "dr_rules",
            "ruleid(int) prefix(string)\n1:2:3\n",
            "line 2: 3 cells under 2 columns",
        ),
        (
            "dr_rules.csv",
            "ruleid,prefix\n1\n",
            "line 2: 1 cells under 2 titles",
        ),
        (
            "dispatcher.list",
            "sip:203.0.113.1\n",
            "line 1: `sip:203.0.113.1` is no set and destination",
        ),
        (
            "x.sql",
            "INSERT INTO dr_rules VALUES (1",
            "a row that does not end",
        ),
        (
            "dr_rules.csv",
            "ruleid,groupid,prefix,gwlist\n1,1,49,1\n",
            "dr_rules names rows of dr_gateways",
        ),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let (is_good, said) = trunkline(&["import", path.to_str().unwrap(), "--out", &out]);
        assert!(!is_good && said.contains(told), "{told} in {said}");
    }
}

/// The headings of an installed Kamailio, with a row of these values under them.
fn installed(table: &str, values: &[(&str, &str)]) -> String {
    let path = Path::new("/usr/share/kamailio/dbtext/kamailio").join(table);
    let heading = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `make setup` installs kamailio",
            path.display()
        )
    });
    let columns = heading
        .split_whitespace()
        .map(|word| word.split('(').next().unwrap());
    let columns: Vec<&str> = columns.collect();
    for (name, _) in values {
        assert!(
            columns.contains(name),
            "{table} has no column {name}: {columns:?}"
        );
    }
    let value = |column: &&str| {
        let found = values.iter().find(|(name, _)| name == column);
        found.map_or(String::new(), |(_, value)| value.replace(':', "\\:"))
    };
    let row = columns.iter().map(value).collect::<Vec<_>>().join(":");
    format!("{}\n{row}\n", heading.lines().next().unwrap())
}

#[test]
fn the_tables_of_an_installed_kamailio() {
    let done = import(
        &[
            (
                "address",
                &installed(
                    "address",
                    &[
                        ("grp", "1"),
                        ("ip_addr", "192.0.2.1"),
                        ("mask", "32"),
                        ("port", "0"),
                        ("tag", "acme"),
                    ],
                ),
            ),
            (
                "trusted",
                &installed(
                    "trusted",
                    &[
                        ("src_ip", "192.0.2.5"),
                        ("proto", "tcp"),
                        ("tag", "other"),
                        ("from_pattern", "^sip:x"),
                    ],
                ),
            ),
            (
                "dr_gateways",
                &installed(
                    "dr_gateways",
                    &[
                        ("gwid", "4"),
                        ("address", "203.0.113.1:5070"),
                        ("strip", "0"),
                        ("pri_prefix", "9"),
                        ("description", "d"),
                    ],
                ),
            ),
            (
                "dr_gw_lists",
                &installed("dr_gw_lists", &[("id", "2"), ("gwlist", "4")]),
            ),
            (
                "dr_rules",
                &installed(
                    "dr_rules",
                    &[
                        ("ruleid", "1"),
                        ("groupid", "8"),
                        ("prefix", "49"),
                        ("timerec", ""),
                        ("priority", "0"),
                        ("routeid", "0"),
                        ("gwlist", "#2"),
                    ],
                ),
            ),
        ],
        &[],
    );
    let (names, uris) = done.explained("acme", "4940");
    assert_eq!(
        (&names[0][..], &uris[0][..]),
        ("gw4", "sip:94940@203.0.113.1:5070")
    );
    assert_eq!(done.goes_to("other", "4940"), ["gw4"]);
    done.says("from_pattern `^sip:x` is not taken over");

    let set = installed(
        "dispatcher",
        &[
            ("setid", "3"),
            ("destination", "sip:203.0.113.7"),
            ("flags", "8"),
            ("priority", "1"),
            ("attrs", "weight=5"),
        ],
    );
    let done = import(&[("address", ADDRESS), ("dispatcher", &set)], &[]);
    assert_eq!(done.goes_to("acme", "4940"), ["set3-203.0.113.7-5060"]);

    let instance = [("id", "1"), ("lcr_id", "1")];
    let gateway = [
        &instance[..],
        &[
            ("gw_name", "g"),
            ("ip_addr", "203.0.113.8"),
            ("port", "5080"),
            ("transport", "1"),
        ],
    ]
    .concat();
    let rule = [
        &instance[..],
        &[("prefix", "49"), ("stopper", "0"), ("enabled", "1")],
    ]
    .concat();
    let target = [
        &instance[..],
        &[
            ("rule_id", "1"),
            ("gw_id", "1"),
            ("priority", "0"),
            ("weight", "1"),
        ],
    ]
    .concat();
    let done = import(
        &[
            ("address", ADDRESS),
            ("lcr_gw", &installed("lcr_gw", &gateway)),
            ("lcr_rule", &installed("lcr_rule", &rule)),
            ("lcr_rule_target", &installed("lcr_rule_target", &target)),
        ],
        &[],
    );
    assert_eq!(done.goes_to("acme", "4940"), ["g"]);
}
