//! The node's secret: what makes the tokens in its Record-Routes its own.
//!
//! It is kept between runs, so that calls which outlive a restart still find their way, and it is
//! readable by nobody else: who has it can make trunkline relay a request to where it likes.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::failure::Failure;

/// How many bytes a secret has.
pub(crate) const SECRET_BYTES: usize = 32;

/// Reads the secret of the node that keeps its state in this folder; makes both if need be.
pub(crate) fn read_or_make(state_dir: &Path) -> Result<[u8; SECRET_BYTES], Failure> {
    let path = state_dir.join("node.secret");
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random()?;
            make(state_dir, &path, &secret).map_err(|error| Failure::Secret(path, error))?;
            Ok(secret)
        }
        other => other.map_err(|error| Failure::Secret(path, error)),
    }
}

/// Fresh random bytes from the system.
pub(crate) fn random() -> Result<[u8; SECRET_BYTES], Failure> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(Failure::Random)?;
    Ok(bytes)
}

fn read(path: &Path) -> io::Result<[u8; SECRET_BYTES]> {
    let mut file = fs::File::open(path)?;
    let wrong = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    if file.metadata()?.mode() & 0o077 != 0 {
        return wrong("others may read or change it; chmod 600 it, or remove it to have a new one");
    }
    let mut bytes = Vec::new();
    (&mut file)
        .take(SECRET_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    match bytes.try_into() {
        Ok(secret) => Ok(secret),
        Err(_) => wrong("it has not 32 bytes; remove it to have a new one"),
    }
}

/// Written under another name first, so that a crash leaves the whole secret or none.
fn make(state_dir: &Path, path: &Path, secret: &[u8; SECRET_BYTES]) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let unfinished = state_dir.join(format!("node.secret.{}", std::process::id()));
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(secret)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    fs::File::open(state_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let secret = read_or_make(&state).expect("made");
        assert_ne!(secret, [0; SECRET_BYTES]);
        assert_eq!(read_or_make(&state).expect("read"), secret);
        let path = state.join("node.secret");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        let refused = read_or_make(&state)
            .expect_err("others may read it")
            .to_string();
        assert!(refused.contains("chmod 600"), "{refused}");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&path, [1; 31]).expect("ours");
        let refused = read_or_make(&state).expect_err("too short").to_string();
        assert!(refused.contains("32 bytes"), "{refused}");
    }
}
