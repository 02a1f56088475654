//! Numbers, identities and headers from end to end: what leaves for a vendor and what comes back to
//! a customer, read octet by octet by peers that are written here.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;

use harness::{PATIENCE, Router, Scene, wait_for};
use sip::HeaderId;

/// A peer that sends and reads whole messages.
struct Peer {
    socket: UdpSocket,
    router: SocketAddr,
}

impl Peer {
    fn new(at: SocketAddr, router: SocketAddr) -> Peer {
        let socket = UdpSocket::bind(at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { socket, router }
    }

    fn send(&self, text: &str) {
        let text = text.replace('\n', "\r\n");
        self.socket.send_to(text.as_bytes(), self.router).unwrap();
    }

    /// The next message that begins so; others, and repeats, are passed over.
    fn wait(&self, begin: &str) -> String {
        let mut octets = [0; 65_536];
        wait_for(begin, PATIENCE, || {
            let (len, _) = self.socket.recv_from(&mut octets).unwrap();
            let text = String::from_utf8(octets[..len].to_vec()).unwrap();
            text.starts_with(begin).then(|| text.replace("\r\n", "\n"))
        })
    }

    fn host(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

/// The lines of a message with one of these names, unfolded, in their order.
fn lines(message: &str, names: &[&str]) -> Vec<String> {
    let unfolded = message.replace("\n ", " ");
    let is = |line: &&str| {
        let name = line.split(':').next().unwrap().trim();
        names.iter().any(|it| it.eq_ignore_ascii_case(name))
    };
    unfolded.lines().filter(is).map(str::to_owned).collect()
}

/// A request of this method, outside a dialog or inside.
struct Request<'r> {
    method: &'r str,
    uri: String,
    branch: &'r str,
    to: String,
    cseq: u32,
    /// More lines, each with its end.
    more: &'r str,
}

/// The caller, the vendor and their router, with the same Call-ID for all that they say.
struct Talk {
    customer: Peer,
    vendor: Peer,
    call_id: String,
    /// The INVITE as the vendor got it.
    invited: String,
    /// The lines that a peer repeats: Record-Route as Route.
    routes: Vec<String>,
}

impl Talk {
    fn new(customer: SocketAddr, vendor: SocketAddr, router: SocketAddr) -> Talk {
        Talk {
            customer: Peer::new(customer, router),
            vendor: Peer::new(vendor, router),
            call_id: String::new(),
            invited: String::new(),
            routes: Vec::new(),
        }
    }

    fn request(&self, from: &Peer, request: &Request<'_>) {
        let Request {
            method,
            uri,
            branch,
            to,
            cseq,
            more,
        } = request;
        let (call_id, host) = (&self.call_id, from.host());
        from.send(&format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{branch}{call_id}\n\
             Max-Forwards: 70\nFrom: {}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} {method}\n\
             Contact: <sip:{host}>\n{more}Content-Length: 0\n\n",
            self.caller(),
        ));
    }

    fn caller(&self) -> String {
        format!("<sip:+4930999@{}>;tag=caller", self.customer.host().ip())
    }

    fn callee(&self) -> String {
        format!("<sip:x@{}>", self.customer.router)
    }

    /// The customer dials; the INVITE that the vendor gets.
    fn invite(&mut self, call_id: &str, number: &str, more: &str) -> String {
        self.dial(call_id, number, more);
        let invite = self.vendor.wait("INVITE ");
        assert_eq!(
            lines(&invite, &["Call-ID"]),
            [format!("Call-ID: {call_id}")]
        );
        self.invited = invite.clone();
        let routes = lines(&invite, &["Record-Route"]);
        self.routes = routes
            .iter()
            .map(|it| it.replacen("Record-Route", "Route", 1))
            .collect();
        invite
    }

    fn dial(&mut self, call_id: &str, number: &str, more: &str) {
        self.call_id = call_id.to_owned();
        let request = Request {
            method: "INVITE",
            uri: format!("sip:{number}@{}", self.customer.router),
            branch: "i",
            to: self.callee(),
            cseq: 1,
            more,
        };
        self.request(&self.customer, &request);
    }

    /// The vendor answers a request; what the customer gets.
    fn answer(&self, request: &str, status: &str, more: &str) -> String {
        let kept = ["Via", "From", "Call-ID", "CSeq", "Record-Route"];
        let kept = lines(request, &kept).join("\n");
        let to = lines(request, &["To"]).remove(0);
        let tag = if to.contains(";tag=") {
            ""
        } else {
            ";tag=callee"
        };
        self.vendor.send(&format!(
            "SIP/2.0 {status}\n{kept}\n{to}{tag}\nContact: <sip:{}>\n{more}Content-Length: 0\n\n",
            self.vendor.host()
        ));
        self.customer.wait(&format!("SIP/2.0 {status}"))
    }

    /// A request of the customer inside the dialog; what the vendor gets.
    fn within(&self, method: &str, cseq: u32, more: &str) -> String {
        let routes: String = self.routes.iter().map(|line| format!("{line}\n")).collect();
        let request = Request {
            method,
            uri: format!("sip:{}", self.vendor.host()),
            branch: method,
            to: format!("{};tag=callee", self.callee()),
            cseq,
            more: &format!("{routes}{more}"),
        };
        self.request(&self.customer, &request);
        self.vendor.wait(&format!("{method} "))
    }

    /// The same of the vendor.
    fn within_from_vendor(&self, method: &str, more: &str) -> String {
        let routes: String = self.routes.iter().map(|line| format!("{line}\n")).collect();
        let (host, call_id) = (self.vendor.host(), &self.call_id);
        self.vendor.send(&format!(
            "{method} sip:{} SIP/2.0\nVia: SIP/2.0/UDP {host};branch=z9hG4bKv{call_id}\n\
             Max-Forwards: 70\nFrom: {};tag=callee\nTo: {}\nCall-ID: {call_id}\nCSeq: 7 {method}\n\
             Contact: <sip:{host}>\n{routes}{more}Content-Length: 0\n\n",
            self.customer.host(),
            self.callee(),
            self.caller(),
        ));
        self.customer.wait(&format!("{method} "))
    }

    /// The customer hangs up, and the vendor agrees.
    fn hang_up(&self) {
        let bye = self.within("BYE", 9, "");
        self.answer(&bye, "200 OK", "");
    }
}

struct World {
    scene: Scene,
    router: Router,
    config: PathBuf,
    at: SocketAddr,
    customer: SocketAddr,
    vendor: SocketAddr,
}

/// One trunk and one gateway with these lines, beside these tables.
fn world(tables: &str, trunk: &str, gateway: &str) -> World {
    let scene = Scene::new();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let head = scene.head(&[at]);
    let config = format!(
        "{head}{tables}\n[[trunk]]\nname = \"customer\"\nsources = [\"{}/32\"]\n{trunk}\n\n\
         [[gateway]]\nname = \"vendor\"\naddress = \"{vendor}\"\n{gateway}\n\n\
         [[route]]\nprefix = \"*\"\ngateways = [\"vendor\"]\n",
        customer.ip()
    );
    let router = scene.router(&config);
    let config = scene.path("trunkline.toml");
    World {
        scene,
        router,
        config,
        at,
        customer,
        vendor,
    }
}

impl World {
    fn talk(&self) -> Talk {
        Talk::new(self.customer, self.vendor, self.at)
    }
}

const RULES: &str = r#"
[[translation]]
name = "in"
rules = [{ begins = "9", strip = 1, prepend = "+" }, { begins = "0Z", strip = 1, prepend = "+49" }]
examples = [["949301", "+49301"], ["030", "+4930"], ["+1", "+1"]]

[[translation]]
name = "out"
rules = [{ begins = "+49", strip = 3, prepend = "0" }, { begins = "+", strip = 1, prepend = "00" }]
examples = [["+4930", "030"], ["+431", "00431"]]
"#;

#[test]
fn numbers_are_written_as_each_side_wants_them() {
    let trunk = "called_rules = [\"in\"]\ncalling_rules = [\"in\"]\nasserted_rules = [\"in\"]\ndiversion_rules = [\"in\"]";
    let gateway = "called_rules = [\"out\"]\nasserted_rules = [\"out\"]\ndiversion_rules = [\"out\"]\nkeep_parameters = [\"rn\"]";
    let world = world(RULES, trunk, gateway);
    let mut talk = world.talk();
    let more = "P-Asserted-Identity: <sip:030@a.example>\nDiversion: <sip:031@a.example>;reason=busy,\n <sip:+431@a.example>\n";
    let invite = talk.invite("numbers", "949305;rn=+491;npdi", more);
    assert!(
        invite.starts_with(&format!(
            "INVITE sip:0305;rn=+491@{} SIP/2.0\n",
            world.vendor
        )),
        "{invite}"
    );
    assert_eq!(
        lines(&invite, &["P-Asserted-Identity", "Diversion"]),
        [
            "P-Asserted-Identity: <sip:030@a.example>",
            "Diversion: <sip:031@a.example>;reason=busy, <sip:00431@a.example>"
        ]
    );
    talk.answer(&invite, "200 OK", "");
    talk.within("ACK", 1, "");
    // In the dialog too.
    let update = talk.within("UPDATE", 2, "P-Asserted-Identity: <sip:+432@a.example>\n");
    let want = "P-Asserted-Identity: <sip:00432@a.example>";
    assert_eq!(lines(&update, &["P-Asserted-Identity"]), [want]);
    talk.answer(&update, "200 OK", "");
    talk.hang_up();
    let cdr = world.router.wait_cdrs(1).remove(0);
    assert_eq!(
        (&cdr["called"], &cdr["calling"]),
        (&"49305".into(), &"+4930".into()),
        "{cdr}"
    );
    assert!(
        cdr["request_uri"].as_str().unwrap().contains("949305;rn"),
        "{cdr}"
    );
    drop(world.scene);
}

/// The caller sees the number that he wrote, the vendor the one that he wants, in each message of the
/// dialog.
#[test]
fn who_calls_is_written_as_the_vendor_wants_it() {
    let world = world(RULES, "", "calling_rules = [\"out\"]");
    let mut talk = world.talk();
    let host = talk.customer.host().ip();
    let caller = talk.caller();
    let at_vendor = format!("<sip:030999@{host}>;tag=caller");
    let callee = format!("{};tag=callee", talk.callee());
    let names = |message: &str| {
        let lines = lines(message, &["From", "To"]);
        let value = |line: &String| line.split_once(": ").unwrap().1.to_owned();
        lines.iter().map(value).collect::<Vec<_>>()
    };
    let invite = talk.invite("calling", "+4930", "");
    assert_eq!(names(&invite), [&*at_vendor, &*talk.callee()]);
    let ringing = talk.answer(&invite, "180 Ringing", "");
    assert_eq!(names(&ringing), [&*caller, &*callee]);
    let answer = talk.answer(&invite, "200 OK", "");
    assert_eq!(names(&answer), [&*caller, &*callee]);
    assert_eq!(names(&talk.within("ACK", 1, "")), [&*at_vendor, &*callee]);
    let update = talk.within("UPDATE", 2, "");
    assert_eq!(names(&update), [&*at_vendor, &*callee]);
    let refused = talk.answer(&update, "491 Request Pending", "");
    assert_eq!(names(&refused), [&*caller, &*callee]);

    // The other way: the vendor names the caller as he knows him, and gets his answers so.
    let routes: String = talk.routes.iter().map(|line| format!("{line}\n")).collect();
    let vendor = talk.vendor.host();
    talk.vendor.send(&format!(
        "BYE sip:{} SIP/2.0\nVia: SIP/2.0/UDP {vendor};branch=z9hG4bKbye\nMax-Forwards: 70\n\
         From: {callee}\nTo: {at_vendor}\nCall-ID: calling\nCSeq: 7 BYE\n{routes}\
         Content-Length: 0\n\n",
        talk.customer.host(),
    ));
    let bye = talk.customer.wait("BYE ");
    assert_eq!(names(&bye), [&*callee, &*caller]);
    let kept = lines(&bye, &["Via", "From", "To", "Call-ID", "CSeq"]).join("\n");
    let ended = format!("SIP/2.0 200 OK\n{kept}\nContent-Length: 0\n\n");
    talk.customer.send(&ended);
    assert_eq!(
        names(&talk.vendor.wait("SIP/2.0 200")),
        [&*callee, &*at_vendor]
    );
    let cdr = world.router.wait_cdrs(1).remove(0);
    assert_eq!(cdr["hung_up"], "callee", "{cdr}");
    assert_eq!(cdr["calling"], "+4930999", "{cdr}");

    // What we write ourselves: the ACK of a refusal, and a CANCEL.
    let invite = talk.invite("refused", "+4930", "");
    let refusal = talk.answer(&invite, "486 Busy Here", "");
    assert_eq!(names(&refusal), [&*caller, &*callee]);
    assert_eq!(names(&talk.vendor.wait("ACK ")), [&*at_vendor, &*callee]);
    let invite = talk.invite("given-up", "+4930", "");
    talk.answer(&invite, "180 Ringing", "");
    let cancel = Request {
        method: "CANCEL",
        uri: format!("sip:+4930@{}", talk.customer.router),
        branch: "i",
        to: talk.callee(),
        cseq: 1,
        more: "",
    };
    talk.request(&talk.customer, &cancel);
    assert_eq!(names(&talk.vendor.wait("CANCEL "))[0], at_vendor);
    let ended = talk.answer(&invite, "487 Request Terminated", "");
    assert_eq!(names(&ended), [&*caller, &*callee]);
    drop(world.scene);
}

#[test]
fn explain_tells_which_rule_a_number_met() {
    let world = world(RULES, "called_rules = [\"in\"]", "called_rules = [\"out\"]");
    let explain = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["route", "explain", "--from", "customer", "--config"])
            .arg(&world.config)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = explain(&["0305"]);
    for want in [
        "dialled    0305\nrewritten  +49305   (in rule 2: begins 0Z, strip 1, prepend +49)\n",
        "number     49305   (+E.164)\n",
        "(out rule 1: begins +49, strip 3, prepend 0)\n",
    ] {
        assert!(text.contains(want), "{want}\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&explain(&["0305", "--json"])).unwrap();
    assert_eq!(json["rewritten"], "+49305");
    assert_eq!(
        json["candidates"][0]["rules"][0],
        "out rule 1: begins +49, strip 3, prepend 0"
    );
}

#[test]
fn a_reload_with_a_wrong_example_changes_nothing() {
    let world = world(RULES, "called_rules = [\"in\"]", "");
    let good = std::fs::read_to_string(&world.config).unwrap();
    let from = world.router.log_text().len();
    world
        .router
        .write_config(&good.replace("[\"030\", \"+4930\"]", "[\"030\", \"+4330\"]"));
    world.router.signal("HUP");
    world.router.wait_for_log(
        from,
        "`030` that becomes `+4930` by rule 2 (begins 0Z, strip 1, prepend +49)",
    );
    let invite = world.talk().invite("kept", "0305", "");
    assert!(invite.starts_with("INVITE sip:+49305@"), "{invite}");
}

/// Everything that a peer may say about people, in all the ways to write it.
const PEOPLE: &str = "P-Asserted-Identity: \"Bo, Jr.\" <sip:+4930111@a.example>, <tel:+4930111>\n\
                      p-asserted-identity :\n <sip:+4930112@a.example>\n\
                      P-Preferred-Identity: <sip:+4930113@a.example>\n\
                      Remote-Party-ID: <sip:+4930114@a.example>;party=calling;privacy=off\n\
                      Diversion: <sip:+4930115@a.example>;reason=unconditional;privacy=off\n\
                      History-Info: <sip:+4930116@a.example>;index=1\n\
                      y: signed;info=<https://a.example/c>\n";
const NAMES: &[&str] = &[
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "Diversion",
    "History-Info",
    "Identity",
    "y",
    "Privacy",
];

const PROFILES: &str = "[[profile]]\nname = \"stranger\"\n\n[[profile]]\nname = \"friend\"\ntrusted = true\n\n\
                        [[profile]]\nname = \"strict\"\ndiversion = \"strip\"\nhistory_info = \"strip\"\nidentity = \"strip\"\n";

/// The lines of [`PEOPLE`] of which one of these words is a part.
fn people(words: &[&str]) -> Vec<String> {
    let all = lines(PEOPLE, NAMES);
    let is = |line: &String| words.iter().any(|word| line.contains(word));
    all.into_iter().filter(is).collect()
}

/// What crosses each way in a call between a trunk and a gateway with these profiles: in the INVITE,
/// in its responses, and in requests and responses of the dialog from both sides.
fn cross(trunk: &str, gateway: &str, more: &str, to_vendor: &[String], to_customer: &[String]) {
    let named = |profile: &str| match profile {
        "" => String::new(),
        name => format!("profile = \"{name}\""),
    };
    let world = world(PROFILES, &named(trunk), &named(gateway));
    let mut talk = world.talk();
    let said = format!("{PEOPLE}{more}");
    let about = |message: &str| lines(message, NAMES);
    let invite = talk.invite("b26", "+4930", &said);
    assert_eq!(about(&invite), to_vendor, "{trunk} to {gateway}: {invite}");
    let ringing = talk.answer(&invite, "180 Ringing", &said);
    assert_eq!(
        about(&ringing),
        to_customer,
        "{gateway} to {trunk}: {ringing}"
    );
    let answered = talk.answer(&invite, "200 OK", &said);
    assert_eq!(
        about(&answered),
        to_customer,
        "{gateway} to {trunk}: {answered}"
    );
    let ack = talk.within("ACK", 1, &said);
    assert_eq!(about(&ack), to_vendor, "{trunk} to {gateway}: {ack}");
    let update = talk.within("UPDATE", 2, &said);
    assert_eq!(about(&update), to_vendor, "{trunk} to {gateway}: {update}");
    let refused = talk.answer(&update, "491 Request Pending", &said);
    assert_eq!(
        about(&refused),
        to_customer,
        "{gateway} to {trunk}: {refused}"
    );
    let info = talk.within_from_vendor("INFO", &said);
    assert_eq!(about(&info), to_customer, "{gateway} to {trunk}: {info}");
    talk.hang_up();
    // A refusal of the call itself.
    let invite = talk.invite("b26-refused", "+4930", &said);
    let refused = talk.answer(&invite, "486 Busy Here", &said);
    assert_eq!(
        about(&refused),
        to_customer,
        "{gateway} to {trunk}: {refused}"
    );
}

#[test]
fn b26_without_profiles_everything_is_kept() {
    let all = people(&[":"]);
    cross("", "", "", &all, &all);
}

#[test]
fn b26_identities_of_untrusted_trunks_are_removed() {
    let believed = people(&["Diversion", "History-Info", "signed"]);
    cross(
        "stranger",
        "friend",
        "",
        &believed,
        &people(&["P-Asserted", "p-asserted", "Diversion", "History", "signed"]),
    );
}

#[test]
fn b26_identities_of_trusted_trunks_are_kept() {
    let all = people(&[":"]);
    cross("friend", "friend", "", &all, &all);
}

#[test]
fn b26_what_a_policy_strips_crosses_neither_way() {
    cross(
        "strict",
        "friend",
        "",
        &[],
        &people(&["P-Asserted", "p-asserted"]),
    );
}

#[test]
fn b26_nobody_untrusted_is_told_who_wants_to_be_private() {
    let mut kept = people(&["Diversion", "History-Info", "signed"]);
    kept.push("Privacy: id".to_owned());
    // From the stranger nothing is believed either, so both ways it is the same.
    cross("friend", "stranger", "Privacy: id\n", &kept, &kept);
}

#[test]
fn b26_records_and_lists_believe_only_who_is_trusted() {
    for (profile, calling) in [("stranger", "+4930999"), ("friend", "+4930111")] {
        let world = world(PROFILES, &format!("profile = \"{profile}\""), "");
        let mut talk = world.talk();
        let invite = talk.invite("b26", "+4930", PEOPLE);
        talk.answer(&invite, "486 Busy Here", "");
        let cdr = world.router.wait_cdrs(1).remove(0);
        assert_eq!(cdr["calling"], calling, "{cdr}");
    }
}

/// RFC 3323 §5.
#[test]
fn b26_a_caller_who_insists_on_privacy_is_refused_where_it_cannot_be_had() {
    let world = world(PROFILES, "profile = \"friend\"", "profile = \"stranger\"");
    let mut talk = world.talk();
    talk.dial("b26", "+4930", "Privacy: user;critical\n");
    talk.customer.wait("SIP/2.0 500");
    let cdr = world.router.wait_cdrs(1).remove(0);
    assert_eq!(
        (&cdr["status"], &cdr["attempts"]),
        (&500.into(), &serde_json::json!([])),
        "{cdr}"
    );
    assert_eq!(world.router.counter("privacy_refused"), 1);
    let invite = talk.invite("b26-kept", "+4930", "Privacy: user\nSubject: me\n");
    assert_eq!(lines(&invite, &["Privacy", "Subject"]), ["Privacy: user"]);
}

#[test]
fn headers_are_denied_allowed_and_set_by_name() {
    let tables = "[[profile]]\nname = \"customer\"\ntrusted = true\ndeny = [\"X-*\", \"subject\"]\n\
                  set_from = [\"X-Customer: 17\"]\nassert = \"tel:+4930100\"\n\n\
                  [[profile]]\nname = \"vendor\"\ntrusted = true\nallow = [\"Allow\", \"X-Customer\", \"Server\"]\n\
                  set_to = [\"User-Agent: ours\"]\n";
    let world = world(tables, "profile = \"customer\"", "profile = \"vendor\"");
    let mut talk = world.talk();
    let more = "s: hello\nX-Customer: 18\nx-trace: a,\n b\nAllow: INVITE\nOrganization: z\nUser-Agent: theirs\nk: timer\n";
    let names = [
        "s",
        "Subject",
        "X-Customer",
        "X-Trace",
        "Allow",
        "Organization",
        "User-Agent",
        "k",
        "Server",
        "P-Asserted-Identity",
    ];
    let invite = talk.invite("headers", "+4930", more);
    let want = [
        "Allow: INVITE",
        "k: timer",
        "P-Asserted-Identity: <tel:+4930100>",
        "X-Customer: 17",
        "User-Agent: ours",
    ];
    assert_eq!(lines(&invite, &names), want, "{invite}");
    let busy = talk.answer(
        &invite,
        "486 Busy Here",
        "Server: v\nX-Trace: c\nWarning: 399 x \"y\"\n",
    );
    assert_eq!(lines(&busy, &names), ["Server: v"], "{busy}");
    assert!(lines(&busy, &["Warning"]).is_empty(), "{busy}");
}

/// The configuration refuses by name what routing protects by identity.
#[test]
fn both_sides_protect_the_same_headers() {
    let of = |name: &str| HeaderId::of(name.as_bytes());
    for (long, compact) in config::PROTECTED_HEADERS {
        assert!(route::is_protected(of(long), long.as_bytes()), "{long}");
        if let Some(letter) = compact {
            assert_eq!(of(letter), of(long), "{letter}");
        }
    }
    assert_eq!(config::PROTECTED_HEADERS.len(), route::PROTECTED.len() + 1);
    for letter in 'a'..='z' {
        let id = HeaderId::of(letter.to_string().as_bytes());
        let is_told = config::PROTECTED_HEADERS
            .iter()
            .any(|(_, compact)| *compact == Some(letter.to_string().as_str()));
        assert_eq!(
            is_told,
            id != HeaderId::Other && route::PROTECTED.contains(&id),
            "{letter}"
        );
    }
}
