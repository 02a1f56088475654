//! A PostgreSQL of a test's own: in a folder, with a socket, for nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use config::{Password, Store, StoreKind};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. It ends with the value.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    child: Child,
}

impl Server {
    /// Makes and starts one.
    pub(crate) fn start() -> Server {
        let programs = programs();
        let folder = tempfile::tempdir().expect("a folder");
        // The server refuses to be root's: then it is of the user that Debian's package made.
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.path(), open).expect("our folder");
        let data = folder.path().join("data");
        let made = unprivileged(&programs.join("initdb"))
            .args([
                "-A",
                "trust",
                "-U",
                "trunkline",
                "-E",
                "UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb runs").success());
        let child = run(&programs, folder.path());
        let server = Server {
            folder,
            programs,
            child,
        };
        server.wait();
        server
    }

    /// An empty database.
    pub(crate) fn database(&self, name: &str) -> Store {
        let made = Command::new(self.programs.join("createdb"))
            .args(["-U", "trunkline", "-h"])
            .arg(self.folder.path())
            .arg(name)
            .status();
        assert!(made.expect("createdb runs").success());
        let folder = self.folder.path().display();
        Store {
            kind: StoreKind::Postgresql(
                format!("host={folder} user=trunkline dbname={name}"),
                Password::None,
            ),
            keep: 100,
            follow_seconds: 0,
        }
    }

    /// Ends the server as a crash does, without a word to anybody.
    pub(crate) fn crash(&mut self) {
        let kill = format!("kill -QUIT {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("sh runs").success());
        let _ended = self.child.wait();
    }

    /// Starts it again.
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.programs, self.folder.path());
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-U", "trunkline", "-h"])
                .arg(self.folder.path())
                .status();
            if asked.expect("pg_isready runs").success() {
                return;
            }
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn run(programs: &Path, folder: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("a log");
    unprivileged(&programs.join("postgres"))
        .args(["-c", "listen_addresses=", "-c", "max_connections=20", "-k"])
        .arg(folder)
        .arg("-D")
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("one file, two names"))
        .stderr(log)
        .spawn()
        .expect("postgres starts")
}

/// The newest server that is installed where Debian puts them.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.flatten().map(|entry| entry.path().join("bin"));
    let newest = folders
        .filter(|folder| folder.join("initdb").exists())
        .max();
    newest
        .expect("no PostgreSQL here to test with: install Debian's `postgresql` (scripts/setup.sh)")
}

fn unprivileged(program: &Path) -> Command {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if id.stdout != b"0\n" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "--",
    ]);
    command.arg(program);
    command
}
