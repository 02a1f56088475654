//! Numbers that something is about: those that begin so, and those of lists.

use std::sync::Arc;

use crate::table::is_digit_prefix;
use crate::{BuildError, ListSpec, Numbers, Prefixes};

/// Some numbers.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// With the place of each.
    prefixes: Prefixes,
    lists: Box<[Arc<Numbers>]>,
}

impl Scope {
    /// Numbers that begin with one of `prefixes` or are in one of the lists; `None` if there are
    /// neither: then it is all of them. What is wrong goes to `errors`, unknown lists by `unknown`.
    pub(crate) fn build(
        prefixes: &[String],
        (names, lists): (&[String], &[ListSpec]),
        unknown: impl Fn(&str) -> BuildError,
        errors: &mut Vec<BuildError>,
    ) -> Option<Arc<Scope>> {
        if names.is_empty() && prefixes.is_empty() {
            return None;
        }
        let mut sorted: Vec<(&[u8], u32)> = Vec::new();
        for (prefix, place) in prefixes.iter().zip(0..) {
            match is_digit_prefix(prefix) {
                true => sorted.push((prefix.as_bytes(), place)),
                false => errors.push(BuildError::BadPrefix {
                    prefix: prefix.clone(),
                }),
            }
        }
        sorted.sort_unstable();
        sorted.dedup_by_key(|(prefix, _)| *prefix);
        let mut found = Vec::new();
        for name in names {
            match lists.iter().find(|list| list.name == *name) {
                Some(list) => found.push(Arc::clone(&list.numbers)),
                None => errors.push(unknown(name)),
            }
        }
        Some(Arc::new(Scope {
            prefixes: Prefixes::build(&sorted),
            lists: found.into(),
        }))
    }

    /// The place of the longest prefix that fits a number; 0 if a list has it.
    pub(crate) fn find(&self, digits: &[u8]) -> Option<u32> {
        if let Some((place, _)) = self.prefixes.longest(digits) {
            return Some(place);
        }
        let has = |list: &Arc<Numbers>| list.find(digits).is_some();
        self.lists.iter().any(has).then_some(0)
    }
}
