//! A server under test: started on its core, asked until it answers, ended with all its processes.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::entrant::{Entrant, Place};
use super::process::{self, Preferred, Times};
use super::rest::Rest;

/// A running server. Dropping it ends it and removes its folder.
pub(crate) struct Server {
    child: Child,
    folder: Folder,
    control: Option<PathBuf>,
    records: Option<PathBuf>,
    is_over: bool,
    preferred: Option<Preferred>,
    /// What it may not have of its core.
    rest: Option<Rest>,
}

/// How long a server may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// The largest part of a server's own words that an error repeats.
const LOG_BYTES_MAX: usize = 2_000;

impl Server {
    /// Starts `entrant` and waits until it answers.
    ///
    /// # Errors
    /// It could not be started, ended by itself, or answered nothing in time.
    pub(crate) fn start(entrant: Entrant, place: &Place) -> io::Result<Server> {
        Server::start_under(entrant, place, &[])
    }

    /// The same with words in front of its command, such as those of a profiler.
    pub(crate) fn start_under(
        entrant: Entrant,
        place: &Place,
        wrapper: &[String],
    ) -> io::Result<Server> {
        let folder = Folder::new()?;
        let launch = entrant.prepare(place, &folder.0)?;
        let output = fs::File::create(folder.0.join("log"))?;
        // A session of its own makes its processes findable; the core is inherited by all.
        let child = Command::new("setsid")
            .args(["taskset", "--cpu-list", &place.core.to_string()])
            .args(wrapper)
            .arg(&launch.program)
            .args(&launch.arguments)
            .env("PATH", path_with_sbin())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut server = Server {
            child,
            folder,
            control: launch.control,
            records: launch.records,
            is_over: false,
            preferred: None,
            rest: None,
        };
        server.wait_until_it_answers(place.router)?;
        let rest = place.share.map(|share| Rest::new(share, place.core));
        server.rest = rest.transpose()?;
        // Who is counted and not timed takes its turn like everybody.
        if wrapper.is_empty() {
            server.preferred = Some(process::prefer(server.child.id()));
        }
        Ok(server)
    }

    fn wait_until_it_answers(&mut self, at: SocketAddr) -> io::Result<()> {
        let socket = UdpSocket::bind((at.ip(), 0))?;
        socket.set_read_timeout(Some(POLL))?;
        let from = socket.local_addr()?;
        let deadline = Instant::now() + PATIENCE;
        for number in 0_u64.. {
            if let Some(status) = self.child.try_wait()? {
                self.is_over = true;
                return Err(self.trouble(&format!("it ended early ({status})")));
            }
            if Instant::now() > deadline {
                return Err(self.trouble("it answers nothing"));
            }
            // A request of its own each time: an early one may have been lost before the
            // server listened, or be answered late.
            let _refused_until_it_listens = socket.send_to(&options(at, from, number), at);
            if socket.recv_from(&mut [0; 2048]).is_ok() {
                return Ok(());
            }
        }
        unreachable!("the loop ends by its deadline")
    }

    fn trouble(&self, what: &str) -> io::Error {
        let log = fs::read_to_string(self.folder.0.join("log")).unwrap_or_default();
        let from = log.len().saturating_sub(LOG_BYTES_MAX);
        let tail = log.get(from..).unwrap_or_default();
        io::Error::other(format!("{what}; its last words:\n{tail}"))
    }

    /// All its processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        process::of_session(self.child.id())
    }

    /// The times of all its threads.
    pub(crate) fn times(&self) -> Times {
        process::times(&self.processes())
    }

    /// Who holds the rest of its core, if it has only a part.
    pub(crate) fn rest(&self) -> Option<&Rest> {
        self.rest.as_ref()
    }

    /// Its resident memory.
    pub(crate) fn pss_bytes(&self) -> u64 {
        process::pss_bytes(&self.processes())
    }

    /// What Kamailio says its shared memory holds.
    pub(crate) fn shared_bytes(&self) -> Option<u64> {
        let socket = format!("unix:{}", self.control.as_ref()?.display());
        let text = output_of("kamcmd", &["-s", &socket, "core.shmmem"])?;
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("real_used:"))?;
        line.trim().parse().ok()
    }

    /// A counter of trunkline's, over all shards; none if it does not say.
    pub(crate) fn counter(&self, trunkline: &Path, name: &str) -> Option<u64> {
        let socket = self.folder.0.join("control.sock").display().to_string();
        let words = ["stats", "--socket", &socket];
        counter_in(&output_of(&trunkline.display().to_string(), &words)?, name)
    }

    /// Call records it has written so far; none if it writes none.
    pub(crate) fn records(&self) -> Option<u64> {
        lines_below(self.records.as_ref()?).ok()
    }

    /// Ends it as an operator would, and waits until all its processes have gone.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        if self.is_over {
            return Ok(());
        }
        self.is_over = true;
        self.preferred = None;
        // Who only has to end, and may have a backlog, gets all of the core.
        self.rest = None;
        let leader = self.child.id();
        signal("TERM", &[leader]);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() && self.processes().is_empty() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        signal("KILL", &self.processes());
        self.child.wait()?;
        Err(self.trouble("it did not end when it was told to"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _told_already = self.stop();
    }
}

pub(crate) fn signal(name: &str, processes: &[u32]) {
    let ids = processes.iter().map(u32::to_string);
    let _gone_already = Command::new("kill")
        .arg(format!("-{name}"))
        .args(ids)
        .status();
}

/// Debian keeps daemons where users do not look.
fn path_with_sbin() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/sbin")
}

/// A folder that goes with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Folder> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("perf-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// What a program says on its standard output; none if it is not there or fails.
pub(crate) fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path_with_sbin())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// The first number on the line that begins with `name`.
fn counter_in(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then_some(words)
    })?;
    words.next()?.replace(',', "").parse().ok()
}

fn lines_below(folder: &Path) -> io::Result<u64> {
    let mut lines = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            lines += BufReader::new(fs::File::open(path)?).lines().count() as u64;
        }
    }
    Ok(lines)
}

/// A port that is free for UDP on every one of `hosts`.
///
/// # Errors
/// None of a few hundred tries found one, or a host is not this machine's.
pub(crate) fn free_port(hosts: &[IpAddr]) -> io::Result<u16> {
    const TRIES_MAX: usize = 200;
    let mut last = io::Error::other("no host given");
    for _ in 0..TRIES_MAX {
        let port = UdpSocket::bind((hosts[0], 0))?.local_addr()?.port();
        let taken = hosts
            .iter()
            .find_map(|host| UdpSocket::bind((*host, port)).err());
        match taken {
            None => return Ok(port),
            Some(error) => last = error,
        }
    }
    Err(last)
}

fn options(at: SocketAddr, from: SocketAddr, number: u64) -> Vec<u8> {
    format!(
        "OPTIONS sip:{at} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKready{number}\r\n\
         From: <sip:perf@{from}>;tag=1\r\nTo: <sip:{at}>\r\nCall-ID: ready{number}@{from}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}
