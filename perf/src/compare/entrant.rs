//! Who takes part: the servers, and how each is configured and started.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::machine;

/// A server that can take part in a sitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrant {
    /// trunkline with CDRs, one shard, every call to one gateway.
    Trunkline,
    /// The same with coalesced sends.
    TrunklineCoalesced,
    /// That, and messages gather for [`GATHER_US`] where several are sure to come.
    TrunklineGathering,
    /// That, and memory in huge pages that is there from the start.
    TrunklineTuned,
    /// The first with 100,000 prefixes and a second gateway for each.
    TrunklinePrefixes,
    /// The first with two shards, whose datagrams these bring to their owners.
    TrunklineTwo(Steering),
    /// `config/bench.toml` with 2 shards: only to see what it takes when idle.
    TrunklineBench,
    /// Kamailio with a profile and so many UDP children.
    Kamailio(Profile, u32),
}

/// Who brings a datagram to the shard that owns it: trunkline's `[node] steering`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// The kernel, or the server does not start.
    Kernel,
    /// The shard that happened to receive it.
    Software,
}

impl Steering {
    fn word(self) -> &'static str {
        match self {
            Steering::Kernel => "kernel",
            Steering::Software => "software",
        }
    }
}

/// What Kamailio is set up to do: the files in `perf/kamailio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// a: stateless forwarding with Record-Route.
    Stateless,
    /// b: stateful relay with Record-Route.
    Relay,
    /// c: b with dialogs and a CDR for each call.
    Dialog,
    /// d: b with 100,000 prefixes and failover.
    Prefixes,
}

/// Prefixes of the large deck, for both servers the same.
pub const PREFIXES: u32 = 100_000;
const PREFIX_FIRST: u32 = 100_000;

/// How long messages gather, in microseconds.
const GATHER_US: u32 = 300;

/// The memory of a machine on which half of it may be tables of the tuned one.
const TUNED_BYTES_MIN: u64 = 13 << 30;

/// Packets that no sitting uses up; and, where they are memory from the start, for what is kept for 32 s.
const PACKETS: &str = "[2097152, 2097152, 524288, 8192, 1024, 256]";
const PACKETS_KEPT: &str = "[2097152, 262144, 65536, 8192, 1024, 256]";

/// Where the servers and the generator's answerers listen.
#[derive(Clone, Debug)]
pub struct Place {
    /// The server under test.
    pub router: SocketAddr,
    /// Answerers: one port, as many hosts as gateways. All have the same port.
    pub gateways: Vec<SocketAddr>,
    /// The processor of the server.
    pub core: usize,
    /// The trunkline program.
    pub trunkline: PathBuf,
    /// The share of its core that a server gets; none = all of it.
    pub share: Option<f64>,
    /// trunkline's `[overload] delay_target_ms`; none = its default.
    pub delay_target_ms: Option<u64>,
}

impl Place {
    /// The same, where trunkline refuses nothing however late it is: for what is measured slowly,
    /// or not in time at all.
    pub(crate) fn patient(&self) -> Place {
        Place {
            delay_target_ms: Some(PATIENT_MS),
            ..self.clone()
        }
    }
}

/// The greatest that trunkline takes for `delay_target_ms`.
const PATIENT_MS: u64 = 60_000;
/// Its `delay_max_ms` if nothing is said. One shorter than the target would refuse what has waited
/// while a slow server starts, and then be on the watch for the ACKs.
const DELAY_MAX_MS: u64 = 200;

/// What has to be run, and what it leaves where.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Where call records appear, one a line; none if the server writes none.
    pub(crate) records: Option<PathBuf>,
    /// Kamailio's control socket.
    pub(crate) control: Option<PathBuf>,
}

impl Profile {
    const ALL: [Profile; 4] = [
        Profile::Stateless,
        Profile::Relay,
        Profile::Dialog,
        Profile::Prefixes,
    ];

    fn name(self) -> &'static str {
        match self {
            Profile::Stateless => "stateless",
            Profile::Relay => "relay",
            Profile::Dialog => "dialog",
            Profile::Prefixes => "prefixes",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Profile::Stateless => "stateless forward",
            Profile::Relay => "stateful relay",
            Profile::Dialog => "dialog + CDR",
            Profile::Prefixes => "100,000 prefixes",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Profile::Stateless => include_str!("../../kamailio/stateless.cfg"),
            Profile::Relay => include_str!("../../kamailio/relay.cfg"),
            Profile::Dialog => include_str!("../../kamailio/dialog.cfg"),
            Profile::Prefixes => include_str!("../../kamailio/prefixes.cfg"),
        }
    }
}

impl Entrant {
    /// All that can take part: trunkline first, then Kamailio's profiles with 2 and 4 children.
    #[must_use]
    pub fn all() -> Vec<Entrant> {
        let mut all = vec![Entrant::Trunkline, Entrant::TrunklineCoalesced];
        all.extend([Entrant::TrunklineGathering, Entrant::TrunklineTuned]);
        all.push(Entrant::TrunklinePrefixes);
        for profile in Profile::ALL {
            all.extend([2, 4].map(|children| Entrant::Kamailio(profile, children)));
        }
        all
    }

    /// The one whose key this is.
    #[must_use]
    pub fn by_key(key: &str) -> Option<Entrant> {
        Entrant::all()
            .into_iter()
            .find(|entrant| entrant.key() == key)
    }

    /// Its short name: `trunkline`, `kamailio-relay-2`.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Entrant::Trunkline => "trunkline".to_owned(),
            Entrant::TrunklineCoalesced => "trunkline-coalesced".to_owned(),
            Entrant::TrunklineGathering => "trunkline-gathering".to_owned(),
            Entrant::TrunklineTuned => "trunkline-tuned".to_owned(),
            Entrant::TrunklinePrefixes => "trunkline-prefixes".to_owned(),
            Entrant::TrunklineTwo(by) => format!("trunkline-2-{}", by.word()),
            Entrant::TrunklineBench => "trunkline-bench".to_owned(),
            Entrant::Kamailio(profile, children) => {
                format!("kamailio-{}-{children}", profile.name())
            }
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Entrant::Trunkline => "trunkline, CDRs on".to_owned(),
            Entrant::TrunklineCoalesced => "trunkline, coalesced sends".to_owned(),
            Entrant::TrunklineGathering => {
                format!("trunkline, coalesced sends, gather_us = {GATHER_US}")
            }
            Entrant::TrunklineTuned => {
                format!("trunkline, coalesced sends, gather_us = {GATHER_US}, huge pages")
            }
            Entrant::TrunklinePrefixes => "trunkline, 100,000 prefixes".to_owned(),
            Entrant::TrunklineTwo(Steering::Kernel) => {
                "trunkline, 2 shards, steered by the kernel".to_owned()
            }
            Entrant::TrunklineTwo(Steering::Software) => {
                "trunkline, 2 shards that hand over".to_owned()
            }
            Entrant::TrunklineBench => "trunkline, bench configuration".to_owned(),
            Entrant::Kamailio(profile, children) => {
                format!("Kamailio, {}, {children} children", profile.title())
            }
        }
    }

    /// How many shards it has: it is offered so many times as much where shards are compared.
    #[must_use]
    pub fn shards_count(self) -> u32 {
        match self {
            Entrant::TrunklineTwo(_) => 2,
            _ => 1,
        }
    }

    /// Whether it is a Kamailio, which stays slow after it was overloaded.
    #[must_use]
    pub fn is_kamailio(self) -> bool {
        matches!(self, Entrant::Kamailio(..))
    }

    /// Whether it routes by the large deck to several gateways.
    #[must_use]
    pub fn has_prefixes(self) -> bool {
        matches!(
            self,
            Entrant::TrunklinePrefixes | Entrant::Kamailio(Profile::Prefixes, _)
        )
    }

    /// Whether its memory shows what it keeps of a call that is up: a relay without dialogs keeps
    /// nothing, and the tuned one has all of its memory from the start.
    #[must_use]
    pub fn holds_calls(self) -> bool {
        !matches!(
            self,
            Entrant::TrunklineTuned
                | Entrant::Kamailio(Profile::Stateless | Profile::Relay | Profile::Prefixes, _)
        )
    }

    /// Whether it can be started here: the program is there and knows all of its configuration.
    #[must_use]
    pub fn is_possible(self, place: &Place) -> bool {
        if self.is_kamailio() {
            return super::server::output_of("kamailio", &["-v"]).is_some();
        }
        if self == Entrant::TrunklineTuned && machine::memory_bytes() < TUNED_BYTES_MIN {
            return false;
        }
        let Ok(folder) = super::server::Folder::new() else {
            return false;
        };
        let Ok(_launch) = self.prepare(place, &folder.0) else {
            return false;
        };
        let config = folder.0.join("router.toml").display().to_string();
        let trunkline = place.trunkline.display().to_string();
        super::server::output_of(&trunkline, &["check", "--config", &config]).is_some()
    }

    /// Writes what it needs into `folder`.
    pub(crate) fn prepare(self, place: &Place, folder: &Path) -> io::Result<Launch> {
        match self {
            Entrant::Kamailio(profile, children) => kamailio(profile, children, place, folder),
            Entrant::TrunklineBench => bench(place, folder),
            _ => self.trunkline(place, folder),
        }
    }

    /// Whether messages for one peer leave together.
    #[must_use]
    pub fn coalesces(self) -> bool {
        use Entrant::{TrunklineCoalesced, TrunklineGathering, TrunklineTuned};
        matches!(
            self,
            TrunklineCoalesced | TrunklineGathering | TrunklineTuned
        )
    }

    /// What stands behind `shards =`. Two are not pinned: they share the server's core.
    fn shards(self, place: &Place) -> String {
        match self {
            Entrant::TrunklineTwo(by) => format!("2\nsteering = \"{}\"", by.word()),
            _ => format!("[{}]", place.core),
        }
    }

    fn trunkline(self, place: &Place, folder: &Path) -> io::Result<Launch> {
        let coalesce = if self.coalesces() {
            "coalesce = \"trailing\""
        } else {
            ""
        };
        let gathers = matches!(self, Entrant::TrunklineGathering | Entrant::TrunklineTuned);
        let io = if gathers {
            format!("[io]\ngather_us = {GATHER_US}\n")
        } else {
            String::new()
        };
        let (node, packets) = match self {
            Entrant::TrunklineTuned => ("huge_pages = true", PACKETS_KEPT),
            _ => ("", PACKETS),
        };
        let overload = place.delay_target_ms.map_or_else(String::new, |target_ms| {
            let max_ms = target_ms.max(DELAY_MAX_MS);
            format!("[overload]\ndelay_target_ms = {target_ms}\ndelay_max_ms = {max_ms}\n")
        });
        let mut text = include_str!("../../trunkline/compare.toml")
            .replace("@FOLDER@", &folder.display().to_string())
            .replace("[@CORE@]", &self.shards(place))
            .replace("@ROUTER@", &place.router.to_string())
            .replace("@GATEWAY@", &place.gateways[0].to_string())
            .replace("@NODE_EXTRA@", node)
            .replace("@PACKETS@", packets)
            .replace("@IO@", &io)
            .replace("@OVERLOAD@", &overload)
            .replace("@LISTENER_EXTRA@", coalesce)
            .replace("@GATEWAY_EXTRA@", coalesce);
        if self.has_prefixes() {
            for (number, gateway) in place.gateways.iter().enumerate().skip(1) {
                let _infallible = write!(
                    text,
                    "\n[[gateway]]\nname = \"g{number}\"\naddress = \"{gateway}\"\n"
                );
            }
            text.insert_str(0, "routes_csv = \"routes.csv\"\n");
            let count = place.gateways.len();
            let rows = deck(count).map(|(prefix, a, b)| format!("{prefix},g{a}|g{b}\n"));
            fs::write(folder.join("routes.csv"), rows.collect::<String>())?;
        }
        trunkline(&text, place, folder)
    }
}

fn trunkline(config: &str, place: &Place, folder: &Path) -> io::Result<Launch> {
    let file = folder.join("router.toml");
    fs::write(&file, config)?;
    Ok(Launch {
        program: place.trunkline.clone(),
        arguments: vec!["run".into(), "--config".into(), file.display().to_string()],
        records: Some(folder.join("cdr")),
        control: None,
    })
}

/// The bench configuration as it is, but for its addresses and paths, and with 2 shards.
fn bench(place: &Place, folder: &Path) -> io::Result<Launch> {
    let folder_text = folder.display().to_string();
    let text = include_str!("../../../config/bench.toml")
        .replace("[node]\n", "[node]\nshards = 2\n")
        .replace("target/bench-state", &format!("{folder_text}/state"))
        .replace("target/bench-cdr", &format!("{folder_text}/cdr"))
        .replace("target/bench.sock", &format!("{folder_text}/control.sock"))
        .replace("127.0.0.1:5060", &place.router.to_string())
        .replace("127.0.0.3:5070", &place.gateways[0].to_string());
    trunkline(&text, place, folder)
}

/// The rows of the large deck: prefix, first and second gateway.
fn deck(gateways: usize) -> impl Iterator<Item = (u32, usize, usize)> {
    (PREFIX_FIRST..PREFIX_FIRST + PREFIXES).map(move |prefix| {
        let first = prefix as usize % gateways;
        (prefix, first, (first + 1) % gateways)
    })
}

/// Shared and private memory of Kamailio in MiB: address space, until it is used.
const KAMAILIO_SHARED_MIB: &str = "8192";
const KAMAILIO_PRIVATE_MIB: &str = "64";
/// The receive buffer, as trunkline gets it.
const KAMAILIO_BUFFER_BYTES: &str = "4194304";

fn kamailio(profile: Profile, children: u32, place: &Place, folder: &Path) -> io::Result<Launch> {
    let script = folder.join("kamailio.cfg");
    fs::write(&script, profile.script())?;
    fs::write(
        folder.join("common.cfg"),
        include_str!("../../kamailio/common.cfg"),
    )?;
    let records = folder.join("cdr");
    fs::create_dir_all(&records)?;
    if profile == Profile::Prefixes {
        kamailio_deck(&place.gateways, folder)?;
    }
    let control = folder.join("control.sock");
    let define = |name: &str, value: String| format!("{name}=\"{value}\"");
    let defines = [
        define("NEXT_HOP", format!("sip:{}", place.gateways[0])),
        define("GATEWAY_PORT", format!(":{}", place.gateways[0].port())),
        define("CONTROL", format!("unix:{}", control.display())),
        define("CDR_URL", format!("flatstore:{}", records.display())),
        define("DECK_URL", format!("text://{}", folder.display())),
    ];
    let mut arguments: Vec<String> = ["-DD", "-E", "-x", "tlsf", "-X", "tlsf"]
        .map(str::to_owned)
        .to_vec();
    for (option, value) in [
        ("-f", script.display().to_string()),
        ("-l", format!("udp:{}", place.router)),
        ("-n", children.to_string()),
        ("-m", KAMAILIO_SHARED_MIB.to_owned()),
        ("-M", KAMAILIO_PRIVATE_MIB.to_owned()),
        ("-b", KAMAILIO_BUFFER_BYTES.to_owned()),
        ("-Y", folder.display().to_string()),
        ("-P", folder.join("pid").display().to_string()),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    for define in defines {
        arguments.extend(["-A".to_owned(), define]);
    }
    Ok(Launch {
        program: "kamailio".into(),
        arguments,
        records: (profile == Profile::Dialog).then_some(records),
        control: Some(control),
    })
}

/// The deck as Kamailio's text database: a table, and the table of tables' versions.
fn kamailio_deck(gateways: &[SocketAddr], folder: &Path) -> io::Result<()> {
    let mut table = String::from("tprefix(string) tvalue(string)\n");
    for (prefix, a, b) in deck(gateways.len()) {
        let (first, second) = (gateways[a].ip(), gateways[b].ip());
        let _infallible = writeln!(table, "{prefix}:{first};{second}");
    }
    fs::write(folder.join("prefixes"), table)?;
    let versions = "table_name(string) table_version(int)\nprefixes:1\n";
    fs::write(folder.join("version"), versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_each_once_and_lead_back() {
        let all = Entrant::all();
        for entrant in &all {
            assert_eq!(Entrant::by_key(&entrant.key()), Some(*entrant));
        }
        assert_eq!(all.len(), 13);
        assert_eq!(Entrant::by_key("kamailio"), None);
    }

    #[test]
    fn two_shards_say_who_steers_and_one_is_pinned() {
        let place = super::super::place(&Default::default(), "trunkline".into()).unwrap();
        let config = |entrant: Entrant| {
            let folder = super::super::server::Folder::new().unwrap();
            entrant.prepare(&place, &folder.0).unwrap();
            fs::read_to_string(folder.0.join("router.toml")).unwrap()
        };
        assert!(config(Entrant::Trunkline).contains("\nshards = [0]\n"));
        let steered = config(Entrant::TrunklineTwo(Steering::Kernel));
        assert!(steered.contains("\nshards = 2\nsteering = \"kernel\"\n"));
        let handing = config(Entrant::TrunklineTwo(Steering::Software));
        assert!(handing.contains("\nshards = 2\nsteering = \"software\"\n"));
    }

    #[test]
    fn a_patient_server_calls_nothing_late() {
        let config = |delay_target_ms| {
            let place = super::super::place(&Default::default(), "trunkline".into()).unwrap();
            let folder = super::super::server::Folder::new().unwrap();
            let place = Place {
                delay_target_ms,
                ..place
            };
            let patient = place.patient();
            [place, patient].map(|place| {
                Entrant::Trunkline.prepare(&place, &folder.0).unwrap();
                fs::read_to_string(folder.0.join("router.toml")).unwrap()
            })
        };
        let [usual, patient] = config(None);
        assert!(!usual.contains("delay_"));
        assert!(patient.contains("\ndelay_target_ms = 60000\ndelay_max_ms = 60000\n"));
        assert!(config(Some(3))[0].contains("\ndelay_target_ms = 3\ndelay_max_ms = 200\n"));
    }

    #[test]
    fn the_deck_uses_all_gateways_alike_and_the_second_is_another() {
        let mut first = [0_u32; 4];
        for (prefix, a, b) in deck(4) {
            assert!((100_000..200_000).contains(&prefix) && a != b);
            first[a] += 1;
        }
        assert_eq!(first, [PREFIXES / 4; 4]);
    }
}
