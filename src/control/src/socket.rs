//! The stats socket: one line in, one line of JSON out, as often as asked.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::asker::Asker;
use crate::report::{generation_report, health_report, stats_report};
use crate::view::View;

/// Connections at the same time; more wait in the kernel's queue.
pub(crate) const CONNECTIONS_MAX: usize = 16;
/// The longest question.
const LINE_BYTES_MAX: usize = 256;
/// How long a conversation may take.
const CONVERSATION: Duration = Duration::from_secs(600);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(30);

/// The socket, bound. Removes its file when it is dropped.
#[derive(Debug)]
pub(crate) struct StatsSocket {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

impl StatsSocket {
    /// Binds the socket so that only this user can reach it. The file of a process that is gone is
    /// replaced; that of a living one is not.
    pub(crate) fn bind(path: &Path) -> io::Result<StatsSocket> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        check_free(path)?;
        // Bound under another name and renamed when its permissions are right: at no moment can
        // another user connect, and the old file is replaced in one step.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}", std::process::id()));
        let unfinished = PathBuf::from(unfinished);
        let _ = fs::remove_file(&unfinished);
        let listener = std::os::unix::net::UnixListener::bind(&unfinished)?;
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
        fs::rename(&unfinished, path)?;
        listener.set_nonblocking(true)?;
        Ok(StatsSocket {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers until the task is aborted.
    pub(crate) async fn serve(
        self,
        view: Arc<View>,
        askers: mpsc::Sender<Asker>,
    ) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return Ok(()); // never closed
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the stats socket cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (view, askers) = (view.clone(), askers.clone());
            tokio::spawn(async move {
                // Whoever hangs up or is silent has what it wanted.
                let _ = tokio::time::timeout(CONVERSATION, converse(stream, &view, &askers)).await;
                drop(place);
            });
        }
    }
}

impl Drop for StatsSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Refuses a path at which something lives: a file that is no socket, or a socket that answers.
fn check_free(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        let why = "there is a file of this name that is no socket; it was left alone";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            let why = "another trunkline answers there; stop it or give this one another path";
            Err(io::Error::new(io::ErrorKind::AddrInUse, why))
        }
        Err(_) => Ok(()),
    }
}

async fn converse(
    mut stream: UnixStream,
    view: &View,
    askers: &mpsc::Sender<Asker>,
) -> io::Result<()> {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    let mut block = [0; LINE_BYTES_MAX];
    loop {
        let Ok(read) = tokio::time::timeout(IDLE, stream.read(&mut block)).await else {
            return Ok(());
        };
        let count = read?;
        if count == 0 {
            return Ok(());
        }
        for &byte in &block[..count] {
            if byte != b'\n' {
                line.push(byte);
                if line.len() > LINE_BYTES_MAX {
                    let refusal = json!({ "error": "the question is too long" });
                    return write_line(&mut stream, &refusal).await;
                }
                continue;
            }
            let reply = match line.trim_ascii() {
                b"reload" => reload(askers).await,
                question => answer(&String::from_utf8_lossy(question), view),
            };
            line.clear();
            write_line(&mut stream, &reply).await?;
        }
    }
}

async fn write_line(stream: &mut UnixStream, value: &Value) -> io::Result<()> {
    let mut bytes = value.to_string().into_bytes();
    bytes.push(b'\n');
    stream.write_all(&bytes).await
}

/// Asks for a reload, and answers when all shards work by it or it was refused.
async fn reload(askers: &mpsc::Sender<Asker>) -> Value {
    let (asker, outcome) = oneshot::channel();
    if askers.send(asker).await.is_err() {
        return json!({ "error": "the node is ending" });
    }
    match outcome.await {
        Ok(outcome) => outcome.to_json(),
        Err(_) => json!({ "error": "the node is ending" }),
    }
}

fn answer(question: &str, view: &View) -> Value {
    match question {
        "stats" => stats_report(view),
        "health" => health_report(view),
        "generation" => generation_report(view),
        _ => {
            json!({ "error": "unknown question; ask `stats`, `health` or `generation`, or to `reload`" })
        }
    }
}
