//! Lists of numbers, and which calls are held against which.

use std::path::Path;

use crate::peers::{Names, name};
use crate::section::Section;
use crate::{NumberList, Screen};

/// `[[list]]`. Files are looked for in `folder`.
pub(crate) fn lists(root: &Section<'_>, folder: &Path) -> Vec<NumberList> {
    let mut names = Names::new();
    let sections = root.tables("list");
    let list = |section: &Section<'_>| {
        let file = section.required("file", "the file with the numbers");
        NumberList {
            name: name(section, "list", &mut names),
            file: folder.join(file.map_or("", |file| file.value)),
        }
    };
    sections.iter().map(list).collect()
}

/// The lists that a section names.
pub(crate) fn screen(section: &Section<'_>, lists: &[NumberList]) -> Screen {
    let named = |key| {
        let texts = section.texts(key).unwrap_or_default();
        for text in &texts {
            section.check_known(*text, "list", lists.iter().map(|list| list.name.as_str()));
        }
        texts.iter().map(|text| text.value.to_owned()).collect()
    };
    Screen {
        block_called: named("block_called"),
        permit_called: named("permit_called"),
        block_calling: named("block_calling"),
        permit_calling: named("permit_calling"),
    }
}
