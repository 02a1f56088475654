//! The test data that lies beside the repository, for the tests of several crates: the torture
//! messages of RFC 4475 and RFC 5118, call flows, fuzz seeds, the PROTOS suite. For tests only: what is
//! missing or unreadable ends the test and says so.

mod protos;

use std::path::{Path, PathBuf};

pub use protos::{CASES as PROTOS_CASES, for_each_case as for_each_protos_case};

/// The folder of the test data.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn data() -> PathBuf {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/testdata"
    ));
    assert!(
        path.is_dir(),
        "the test data is not at {}: it belongs beside the repository, in shared/testdata",
        path.display()
    );
    path.to_owned()
}

/// One file of the test data.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn read(name: &str) -> Vec<u8> {
    let path = data().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The files of a folder with that ending, sorted, as paths below the test data.
///
/// # Panics
/// The folder cannot be read.
#[must_use]
pub fn list(folder: &str, ending: &str) -> Vec<String> {
    let path = data().join(folder);
    let entries = std::fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", path.display()));
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(ending))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    names
}

/// Each of these files with its name.
#[must_use]
pub fn with_names(names: Vec<String>) -> Vec<(String, Vec<u8>)> {
    let with_name = |name: String| {
        let bytes = read(&name);
        (name, bytes)
    };
    names.into_iter().map(with_name).collect()
}

/// The rows of a table of the test data, without its head, split into columns.
///
/// # Panics
/// It cannot be read, or is no text.
#[must_use]
pub fn table(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let rows = text.lines().skip(1).filter(|row| !row.is_empty());
    rows.map(|row| row.split('\t').map(str::to_owned).collect())
        .collect()
}

/// The 454 messages of the call flow RFCs.
#[must_use]
pub fn call_flows() -> Vec<(String, Vec<u8>)> {
    with_names(list("rfc-call-flows", ".sip"))
}

/// Every message of the torture RFCs, the jsip set, the Kamailio set and the typed examples.
#[must_use]
pub fn hostile() -> Vec<(String, Vec<u8>)> {
    let mut names = list("rfc4475", ".dat");
    names.extend(list("rfc4475/derived", ".dat"));
    names.extend(list("rfc5118/crlf", ""));
    names.extend(list("rfc5118/as-shipped", ""));
    names.extend(list("jsip-torture", ".sip"));
    names.extend(list("kamailio-misc-sip", ".sip"));
    with_names(names)
}
