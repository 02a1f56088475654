//! The schema: numbered migrations, each applied whole or not at all.

use crate::error::StoreError;
use crate::session::Session;

/// All there are, in their order: the first is number 1. One that was released never changes.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001.sql")];

/// The schema that this program works with.
pub(crate) const NEEDED: i64 = MIGRATIONS.len() as i64;

/// Which schema a database has; `None`: no store is in it.
pub(crate) fn version(session: &mut dyn Session) -> Result<Option<i64>, StoreError> {
    if !session.has_table("schema_version")? {
        return Ok(None);
    }
    let rows = session.rows("SELECT MAX(version) FROM schema_version", &[])?;
    match rows.first() {
        Some(row) => row.int_or_null(0),
        None => Ok(None),
    }
}

/// Refuses a database whose schema is not the needed one.
pub(crate) fn check(session: &mut dyn Session, place: &str) -> Result<(), StoreError> {
    match version(session)? {
        None => Err(StoreError::NotInitialised(place.to_owned())),
        Some(found) if found > NEEDED => Err(StoreError::Newer(found, NEEDED)),
        Some(found) if found < NEEDED => Err(StoreError::Older(found, NEEDED)),
        Some(_) => Ok(()),
    }
}

/// Applies what is missing, in one transaction; the schema before and now.
pub(crate) fn migrate(session: &mut dyn Session) -> Result<(i64, i64), StoreError> {
    session.begin()?;
    let migrated = apply(session, MIGRATIONS);
    match migrated {
        Ok(versions) => session.commit().map(|()| versions),
        Err(error) => {
            session.undo();
            Err(error)
        }
    }
}

fn apply(session: &mut dyn Session, migrations: &[&str]) -> Result<(i64, i64), StoreError> {
    let before = version(session)?.unwrap_or(0);
    let needed = migrations.len() as i64;
    if before > needed {
        return Err(StoreError::Newer(before, needed));
    }
    session.script("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)")?;
    for (migration, number) in migrations.iter().zip(1_i64..) {
        if number > before {
            session.script(migration)?;
            session.run(
                "INSERT INTO schema_version (version) VALUES ($1)",
                &[number.into()],
            )?;
        }
    }
    Ok((before, needed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Create, Sqlite};

    #[test]
    fn what_is_missing_is_applied_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut session = Sqlite::open(&path, Create::IfMissing).unwrap();
        assert!(matches!(
            check(&mut session, "it"),
            Err(StoreError::NotInitialised(_))
        ));
        let steps = ["CREATE TABLE a (x BIGINT)", "CREATE TABLE b (x BIGINT)"];
        let broken = [
            "CREATE TABLE a (x BIGINT)",
            "CREATE TABLE nonsense nonsense",
        ];
        session.begin().unwrap();
        assert_eq!(apply(&mut session, &steps[..1]).unwrap(), (0, 1));
        session.commit().unwrap();
        session.begin().unwrap();
        assert!(apply(&mut session, &broken).is_err());
        session.undo();
        assert_eq!(version(&mut session).unwrap(), Some(1));
        session.begin().unwrap();
        assert_eq!(apply(&mut session, &steps).unwrap(), (1, 2));
        session.commit().unwrap();
        assert!(session.has_table("b").unwrap());
        // The first program again: this is not its store any more.
        let error = apply(&mut session, &steps[..1]).unwrap_err().to_string();
        assert!(
            error.contains("schema 2") && error.contains("up to 1"),
            "{error}"
        );
        assert!(matches!(
            check(&mut session, "it"),
            Err(StoreError::Newer(2, NEEDED))
        ));
    }
}
