//! The test data.

use std::path::{Path, PathBuf};

/// The folder of the test data.
pub(crate) fn data() -> PathBuf {
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
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = data().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The files of a folder with that ending, sorted, as paths below the test data.
pub(crate) fn list(folder: &str, ending: &str) -> Vec<String> {
    let path = data().join(folder);
    let entries = std::fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", path.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    names
}

/// The rows of a table of the test data, without its head, split into columns.
pub(crate) fn table(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(name)).unwrap();
    let rows = text.lines().skip(1).filter(|row| !row.is_empty());
    rows.map(|row| row.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Every message of the torture RFCs, the jsip set, the Kamailio set and the typed examples.
pub(crate) fn hostile() -> Vec<(String, Vec<u8>)> {
    let mut names = list("rfc4475", ".dat");
    names.extend(list("rfc4475/derived", ".dat"));
    names.extend(list("rfc5118/crlf", ""));
    names.extend(list("rfc5118/as-shipped", ""));
    names.extend(list("jsip-torture", ".sip"));
    names.extend(list("kamailio-misc-sip", ".sip"));
    names
        .into_iter()
        .map(|name| (name.clone(), read(&name)))
        .collect()
}

/// The 454 messages of the call flow RFCs.
pub(crate) fn call_flows() -> Vec<(String, Vec<u8>)> {
    list("rfc-call-flows", ".sip")
        .into_iter()
        .map(|name| (name.clone(), read(&name)))
        .collect()
}
