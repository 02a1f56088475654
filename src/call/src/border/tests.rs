//! What crosses a border, as messages before and after.

use std::sync::Arc;

use route::translation::{Change, Lengths, Rule, RuleSet};
use route::{Assert, Border, Chain, HeaderNames, HeaderRules, NumberRules, Passes, Profile};
use sip::{Edits, Index, parse};

use super::{Calling, Crossing, is_private_enough};

fn profile(is_trusted: bool) -> Profile {
    Profile {
        name: "p".to_owned(),
        is_trusted,
        assert: None,
        passes: Passes {
            remote_party_id: is_trusted,
            diversion: true,
            history_info: true,
            identity: true,
        },
        headers: HeaderRules::default(),
    }
}

fn names(names: &[&str]) -> HeaderNames {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    HeaderNames::new(&names)
}

/// Rules that put `after` in the place of the digits `before`.
fn chain(before: &str, after: &str) -> Chain {
    let change = Change {
        strip: before.len(),
        prepend: after.to_owned(),
        ..Change::default()
    };
    let rule = Rule::new(before, Lengths::ANY, &change).expect("a rule");
    let name = "r".to_owned();
    let rules = vec![rule];
    Chain::new(vec![Arc::new(RuleSet { name, rules })])
}

const REQUEST: &str = "INVITE sip:+4930@192.0.2.1 SIP/2.0\r\n";
const RESPONSE: &str = "SIP/2.0 183 Session Progress\r\n";
const HEAD: &str = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
                    From: <sip:+431@192.0.2.9>;tag=a\r\n\
                    To: <sip:+4930@192.0.2.1>\r\n\
                    Call-ID: c\r\nCSeq: 1 INVITE\r\n";

/// A message with these lines, as it is behind the crossing: its lines but those of the head.
fn crossed(first: &str, crossing: &Crossing<'_>, lines: &str) -> String {
    let lines = lines.replace('\n', "\r\n");
    let text = format!("{first}{HEAD}{lines}Content-Length: 0\r\n\r\n");
    let mut index = Index::new();
    let message = parse(text.as_bytes(), &mut index).expect(&text);
    let mut edits = Edits::new();
    crossing.plan(&message, &mut edits);
    let mut out = vec![0; edits.composed_len(text.as_bytes())];
    let len = edits.compose(text.as_bytes(), &mut out).expect("it fits");
    let out = String::from_utf8(out[..len].to_vec()).expect("ASCII");
    let mut index = Index::new();
    parse(out.as_bytes(), &mut index).expect(&out);
    let rest = out
        .strip_prefix(&format!("{first}{HEAD}"))
        .expect("the head stays");
    let rest = rest.strip_suffix("\r\n").expect("the empty line");
    let rest = rest.replacen("Content-Length: 0\r\n", "", 1);
    rest.replace("\r\n", "\n")
}

/// Both ends, for messages from one to the other.
struct Ends {
    from: Option<Profile>,
    to: Option<Profile>,
    rules: [NumberRules; 2],
}

fn ends(from: Option<Profile>, to: Option<Profile>) -> Ends {
    let rules = [NumberRules::default(), NumberRules::default()];
    Ends { from, to, rules }
}

impl Ends {
    fn crossing(&self) -> Crossing<'_> {
        let [from, to] = &self.rules;
        Crossing {
            from: Some(Border {
                profile: self.from.as_ref(),
                rules: from,
            }),
            to: Some(Border {
                profile: self.to.as_ref(),
                rules: to,
            }),
            calling: None,
        }
    }

    #[track_caller]
    fn check(&self, lines: &str, want: &str) {
        for first in [REQUEST, RESPONSE] {
            let got = crossed(first, &self.crossing(), lines);
            assert_eq!(got, want, "{first}{lines}");
        }
    }

    #[track_caller]
    fn check_request(&self, lines: &str, want: &str) {
        assert_eq!(crossed(REQUEST, &self.crossing(), lines), want, "{lines}");
    }
}

const PEOPLE: &str = "P-Asserted-Identity: \"A, B\" <sip:+431@x>, <tel:+431>\n\
                      p-asserted-identity :\n <sip:+432@x>\n\
                      P-Preferred-Identity: <sip:+433@x>\n\
                      Remote-Party-ID: <sip:+434@x>;party=calling\n\
                      Diversion: <sip:+435@x>;reason=busy\n\
                      y: abc;info=<https://x>\n\
                      Subject: hello\n";

#[test]
fn who_has_no_profile_gets_and_sends_everything() {
    ends(None, None).check(PEOPLE, PEOPLE);
    ends(Some(profile(true)), None).check(PEOPLE, PEOPLE);
    ends(None, Some(profile(true))).check(PEOPLE, PEOPLE);
}

/// RFC 3325 §5, §6.
#[test]
fn nobody_believes_who_is_not_trusted() {
    let want = "Diversion: <sip:+435@x>;reason=busy\ny: abc;info=<https://x>\nSubject: hello\n";
    ends(Some(profile(false)), None).check(PEOPLE, want);
    ends(Some(profile(false)), Some(profile(true))).check(PEOPLE, want);
    let mut strict = profile(false);
    strict.passes.diversion = false;
    strict.passes.identity = false;
    ends(Some(strict), None).check(PEOPLE, "Subject: hello\n");
}

/// RFC 3325 §7.
#[test]
fn who_is_not_trusted_is_not_told_who_wants_to_be_private() {
    let to_stranger = ends(None, Some(profile(false)));
    let asserted = "P-Asserted-Identity: <sip:+431@x>\n";
    for (privacy, is_told) in [
        ("", true),
        ("Privacy: none\n", true),
        ("Privacy: user;critical\n", true),
        ("Privacy: id\n", false),
        ("PRIVACY : critical ;\n  ID\n", false),
        ("Privacy: user, id\n", false),
        ("Privacy: user\nPrivacy: id\n", false),
    ] {
        let lines = format!("{privacy}{asserted}");
        let want = if is_told { &*lines } else { privacy };
        to_stranger.check(&lines, want);
        ends(None, Some(profile(true))).check(&lines, &lines);
    }
    let mut passes = profile(false);
    passes.passes.remote_party_id = true;
    let passes = ends(None, Some(passes));
    let line = "Remote-Party-ID: <sip:+434@x>;privacy=off\n";
    passes.check(line, line);
    passes.check(&format!("{line}Privacy: id\n"), "Privacy: id\n");
    passes.check(
        "Remote-Party-ID: <sip:+434@x>;party=calling;privacy=full\n",
        "",
    );
    passes.check(
        "Remote-Party-ID: <sip:+434@x>;privacy=\"off\"\n",
        "Remote-Party-ID: <sip:+434@x>;privacy=\"off\"\n",
    );
}

#[test]
fn what_reveals_a_caller_is_left_out() {
    let lines = "Subject: x\nUser-Agent: y\nCall-Info: <http://x>\nOrganization: z\n\
                 Reply-To: <sip:a@b>\nIn-Reply-To: q\nAllow: INVITE\nPrivacy: user\n";
    let to_stranger = ends(None, Some(profile(false)));
    to_stranger.check(lines, "Allow: INVITE\nPrivacy: user\n");
    let lines = lines.replace("Privacy: user", "Privacy: id");
    to_stranger.check(&lines, &lines);
}

/// RFC 7044 §10.1.2, RFC 5806 §4.
#[test]
fn entries_that_want_it_become_anonymous() {
    let to_stranger = ends(None, Some(profile(false)));
    let nobody = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    let history =
        "History-Info: <sip:a@x>;index=1, \"B\" <sip:b@x?Privacy=history&Reason=SIP>;index=1.1\n";
    let want = format!("History-Info: <sip:a@x>;index=1, {nobody};index=1.1\n");
    to_stranger.check(history, &want);
    let want = format!("History-Info: {nobody};index=1, {nobody};index=1.1\n");
    to_stranger.check(&format!("{history}Privacy: history\n"), &want);
    to_stranger.check(
        &format!("Privacy: id;history;critical\n{history}"),
        &format!("Privacy: id;critical\n{want}"),
    );
    to_stranger.check(
        &format!("{history}Privacy: header\n"),
        &format!("{want}Privacy: header\n"),
    );
    let diversion = "Diversion: <tel:+1>;privacy=full;reason=busy, <sip:+2@x>;privacy=off\n";
    let want = format!("Diversion: {nobody};privacy=full;reason=busy, <sip:+2@x>;privacy=off\n");
    to_stranger.check(diversion, &want);
    ends(None, Some(profile(true))).check(diversion, diversion);
    let mut strict = profile(true);
    strict.passes.history_info = false;
    ends(None, Some(strict)).check(history, "");
}

#[test]
fn numbers_are_written_by_the_rules_of_both() {
    let mut both = ends(None, None);
    both.rules[0].asserted = chain("0", "+49");
    both.rules[1].asserted = chain("+49", "0049");
    both.rules[1].diversion = chain("+", "00");
    let lines = "P-Asserted-Identity: \"A\" <sip:030;npdi@x;user=phone>, <tel:+4930>\n\
                 P-Asserted-Identity: sip:031@x\n\
                 Diversion: <sip:+431@x>;reason=busy ,\n <sip:+432@x>, <sip:bob@x>\n";
    let want = "P-Asserted-Identity: \"A\" <sip:004930;npdi@x;user=phone>, <tel:+4930>\n\
                P-Asserted-Identity: sip:004931@x\n\
                Diversion: <sip:00431@x>;reason=busy ,\n <sip:00432@x>, <sip:bob@x>\n";
    both.check(lines, want);
}

#[test]
fn an_identity_is_asserted_for_new_calls() {
    let mut from = profile(false);
    from.assert = Some(Assert::From);
    let mut asserts = ends(Some(from), None);
    let asserted = "P-Asserted-Identity: <sip:+431@192.0.2.9>\n";
    asserts.check_request("", asserted);
    asserts.check_request("P-Asserted-Identity: <sip:+999@x>\n", asserted);
    asserts.rules[0].calling = chain("+43", "+44");
    asserts.check_request("", "P-Asserted-Identity: <sip:+441@192.0.2.9>\n");
    asserts.rules[1].asserted = chain("+44", "0");
    asserts.check_request("", "P-Asserted-Identity: <sip:01@192.0.2.9>\n");
    assert_eq!(crossed(RESPONSE, &asserts.crossing(), ""), "");
    let options = REQUEST.replace("INVITE", "OPTIONS");
    let options = options.as_str();
    let head = HEAD.replace("INVITE", "OPTIONS");
    assert!(!crossed_of(options, &head, &asserts.crossing()).contains("Asserted"));
    let anonymous = HEAD.replace("+431@192.0.2.9", "anonymous@Anonymous.Invalid");
    assert!(!crossed_of(REQUEST, &anonymous, &asserts.crossing()).contains("Asserted"));
    let in_dialog = HEAD.replace("192.0.2.1>", "192.0.2.1>;tag=b");
    assert!(!crossed_of(REQUEST, &in_dialog, &asserts.crossing()).contains("Asserted"));

    let mut from = profile(true);
    from.assert = Some(Assert::Uri("tel:+4930100".to_owned()));
    let asserts = ends(Some(from), Some(profile(false)));
    asserts.check_request("", "P-Asserted-Identity: <tel:+4930100>\n");
    let own = "P-Asserted-Identity: <sip:+999@x>\n";
    asserts.check_request(own, own);
    asserts.check_request("Privacy: id\n", "Privacy: id\n");
}

/// A message with this head, behind the crossing.
fn crossed_of(first: &str, head: &str, crossing: &Crossing<'_>) -> String {
    let text = format!("{first}{head}Content-Length: 0\r\n\r\n");
    let mut index = Index::new();
    let message = parse(text.as_bytes(), &mut index).expect(&text);
    let mut edits = Edits::new();
    crossing.plan(&message, &mut edits);
    let mut out = vec![0; edits.composed_len(text.as_bytes())];
    let len = edits.compose(text.as_bytes(), &mut out).expect("it fits");
    String::from_utf8(out[..len].to_vec()).expect("ASCII")
}

/// What is told without a plan is never less than what the plan adds.
#[test]
fn how_much_a_request_grows_is_known_before() {
    let mut from = profile(false);
    from.assert = Some(Assert::From);
    from.headers.set_from = vec![("X-Customer".to_owned(), "17".repeat(40))];
    let mut both = ends(Some(from), None);
    both.rules[0].calling = chain("+", &"9".repeat(50));
    for (lines, is_told) in [
        ("", true),
        ("Subject: x\nX-Customer: 1\n", true),
        ("P-Asserted-Identity: <sip:+1@x>\n", false),
        ("Diversion: <sip:+1@x>\n", false),
    ] {
        let text = format!("{REQUEST}{HEAD}{}\r\n", lines.replace('\n', "\r\n"));
        let mut index = Index::new();
        let message = parse(text.as_bytes(), &mut index).expect(&text);
        let added = both.crossing().added_max(&message);
        assert_eq!(added.is_some(), is_told, "{lines}");
        let mut edits = Edits::new();
        both.crossing().plan(&message, &mut edits);
        let grown = edits
            .composed_len(text.as_bytes())
            .saturating_sub(text.len());
        assert!(
            grown > 0 && added.is_none_or(|added| grown <= added),
            "{lines}: {grown}"
        );
    }
}

#[test]
fn headers_go_and_come_by_name() {
    let mut from = profile(true);
    from.headers.deny = names(&["X-*"]);
    from.headers.set_from = vec![("X-Customer".to_owned(), "17".to_owned())];
    let mut to = profile(true);
    to.headers.allow = Some(names(&["X-Customer", "Allow"]));
    to.headers.set_to = vec![("s".to_owned(), "ours".to_owned())];
    let both = ends(Some(from), Some(to));
    let lines = "X-Customer: 18\nx-trace: 1,\n 2\nSubject: theirs\nAllow: INVITE\nServer: z\n\
                 k: 100rel\nContact: <sip:a@b>\n";
    let kept = "Allow: INVITE\nk: 100rel\nContact: <sip:a@b>\n";
    both.check_request(lines, &format!("{kept}X-Customer: 17\ns: ours\n"));
    assert_eq!(crossed(RESPONSE, &both.crossing(), lines), kept);
}

/// RFC 3323 §5.
#[test]
fn who_insists_on_what_a_proxy_cannot_do_is_not_passed_on() {
    let told = |privacy: &str, to: Option<Profile>| {
        let text = format!("{REQUEST}{HEAD}Privacy: {privacy}\r\nContent-Length: 0\r\n\r\n");
        let mut index = Index::new();
        let message = parse(text.as_bytes(), &mut index).expect(&text);
        let ends = ends(None, to);
        is_private_enough(&message, ends.crossing().to)
    };
    for (privacy, want) in [
        ("user;critical", false),
        ("header;critical", false),
        ("session;critical", false),
        ("x-new;critical", false),
        ("id;critical", true),
        ("id;history;critical", true),
        ("user", true),
        ("none", true),
    ] {
        assert_eq!(told(privacy, Some(profile(false))), want, "{privacy}");
        assert!(
            told(privacy, Some(profile(true))) && told(privacy, None),
            "{privacy}"
        );
    }
}

/// A message with these From and To, as it is behind the crossing.
fn renumbered(first: &str, (from, to): (&str, &str), crossing: &Crossing<'_>) -> (String, String) {
    let text = format!(
        "{first}Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nf: {from}\r\nTo: {to}\r\n\
         Call-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    let mut index = Index::new();
    let message = parse(text.as_bytes(), &mut index).expect(&text);
    let mut edits = Edits::new();
    crossing.plan(&message, &mut edits);
    let mut out = vec![0; edits.composed_len(text.as_bytes())];
    let len = edits.compose(text.as_bytes(), &mut out).expect("it fits");
    let out = String::from_utf8(out[..len].to_vec()).expect("ASCII");
    let value = |name: &str| {
        let mut lines = out.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().expect("the header is there").to_owned()
    };
    (value("f: "), value("To: "))
}

/// The number of who calls changes towards the gateway and is brought back towards the caller, in the
/// header that names the caller: RFC 3261 §12.1.
#[test]
fn the_number_of_who_calls_changes_and_is_brought_back() {
    let mut ends = ends(None, None);
    ends.rules[0].calling = chain("0", "+49");
    ends.rules[1].calling = chain("+49", "0049");
    let written = Crossing {
        calling: Some(Calling::Written),
        ..ends.crossing()
    };
    let (inner, outer) = (
        "\"A, B\" <sip:030;x=1@a.example>;tag=a",
        "<sip:123@x>;tag=b",
    );
    let vendors = "\"A, B\" <sip:004930;x=1@a.example>;tag=a";
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    // To the gateway: the caller's request, and a response to one of the other side.
    assert_eq!(
        renumbered(REQUEST, (inner, outer), &written),
        pair(vendors, outer)
    );
    assert_eq!(
        renumbered(RESPONSE, (outer, inner), &written),
        pair(outer, vendors)
    );
    // To the caller: a response to his request, and a request of the other side.
    let restored = Crossing {
        calling: Some(Calling::Restored(b"sip:030;x=1@a.example")),
        ..ends.crossing()
    };
    assert_eq!(
        renumbered(RESPONSE, (vendors, outer), &restored),
        pair(inner, outer)
    );
    assert_eq!(
        renumbered(REQUEST, (outer, vendors), &restored),
        pair(outer, inner)
    );
    // Nothing is known of the caller, and nothing is brought back.
    let lost = Crossing {
        calling: Some(Calling::Restored(b"")),
        ..ends.crossing()
    };
    assert_eq!(
        renumbered(RESPONSE, (vendors, outer), &lost),
        pair(vendors, outer)
    );
    // Nobody has no number, and a tel: URI keeps its plus.
    for from in [
        "<sip:0anonymous@anonymous.invalid>;tag=a",
        "<sip:a.example>;tag=a",
        "<tel:+4930>;tag=a",
        "sip:+4330@a.example;tag=a",
    ] {
        assert_eq!(
            renumbered(REQUEST, (from, outer), &written),
            pair(from, outer)
        );
    }
}
