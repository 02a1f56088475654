//! What a store does, whatever database it is in: the same cases for SQLite and for PostgreSQL.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)] // real databases live in real time

mod cases;
mod crash;
mod server;

use std::path::Path;

use config::{Store, StoreKind};

fn sqlite(path: &Path) -> Store {
    Store {
        kind: StoreKind::Sqlite(path.to_owned()),
        keep: 100,
        follow_seconds: 0,
    }
}

#[test]
fn sqlite_does_what_a_store_does() {
    let folder = tempfile::tempdir().unwrap();
    for (name, case) in cases::ALL {
        eprintln!("{name}");
        case(&sqlite(&folder.path().join(format!("{name}.db"))));
    }
}

#[test]
fn postgresql_does_what_a_store_does() {
    let server = server::Server::start();
    for (name, case) in cases::ALL {
        eprintln!("{name}");
        case(&server.database(name));
    }
}

#[test]
fn a_kill_at_any_moment_leaves_sqlite_whole() {
    let folder = tempfile::tempdir().unwrap();
    crash::kill_writers(&sqlite(&folder.path().join("store.db")), 40);
}

#[test]
fn a_kill_at_any_moment_leaves_postgresql_whole() {
    let server = server::Server::start();
    crash::kill_writers(&server.database("killed"), 20);
}

#[test]
fn a_crash_of_the_server_leaves_its_store_whole() {
    let mut server = server::Server::start();
    let store = server.database("crashed");
    crash::crash_server(&store, &mut server, 5);
}

/// What the crash tests start, and kill.
#[test]
#[ignore = "is started by the tests of crashes"]
fn writer() {
    crash::write_for_ever();
}
