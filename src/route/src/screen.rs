//! Who may call whom: lists of numbers that trunks are held against before a route is looked for.

use std::fmt;
use std::sync::Arc;

use crate::{Block, Numbers, Spec, TrunkSpec};

/// A list of numbers by its name.
#[derive(Clone, Debug)]
pub struct ListSpec {
    /// Its name, unique among lists.
    pub name: String,
    /// Its numbers. Shared with the snapshots before and after if its file has not changed.
    pub numbers: Arc<Numbers>,
}

/// The lists that calls of a trunk, or of all trunks, are held against, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScreenSpec {
    /// Numbers that may not be called.
    pub block_called: Vec<String>,
    /// Numbers that may be called, whatever blocks them.
    pub permit_called: Vec<String>,
    /// Numbers that may not call.
    pub block_calling: Vec<String>,
    /// Numbers that may call, whatever blocks them.
    pub permit_calling: Vec<String>,
}

/// A number of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Whom it is for.
    Called,
    /// Whom it is from.
    Calling,
}

/// Why a call may not be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Blocked {
    /// A list has one of its numbers.
    List {
        /// Which of them.
        side: Side,
        /// The name of the list.
        list: Arc<str>,
    },
    /// A block forbids it.
    Block(Arc<Block>),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, list) = match self {
            Blocked::Block(block) => return block.fmt(f),
            Blocked::List { side, list } => (side, list),
        };
        let side = match side {
            Side::Called => "called",
            Side::Calling => "calling",
        };
        write!(f, "the {side} number is in the list `{list}`")
    }
}

/// A list of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct List {
    name: Arc<str>,
    numbers: Arc<Numbers>,
}

/// The lists of one side of a trunk's calls.
#[derive(Clone, Debug, Default)]
struct Pair {
    block: Box<[List]>,
    permit: Box<[List]>,
}

/// What a trunk's calls are held against.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    called: Pair,
    calling: Pair,
}

impl Screen {
    /// Whether anybody asks who calls.
    pub(crate) fn asks_who_calls(&self) -> bool {
        !self.calling.block.is_empty()
    }

    /// Why a call between these numbers may not be made. Digits only; empty if there is no number.
    pub(crate) fn blocks(&self, side: Side, number: &[u8]) -> Option<Blocked> {
        let pair = match side {
            Side::Called => &self.called,
            Side::Calling => &self.calling,
        };
        let has = |list: &&List| list.numbers.find(number).is_some();
        let list = pair.block.iter().find(has)?;
        if pair.permit.iter().any(|list| has(&list)) {
            return None;
        }
        Some(Blocked::List {
            side,
            list: Arc::clone(&list.name),
        })
    }

    /// The screen of a trunk: its own lists after those of its carrier and of all. Names that no list
    /// has go to `unknown`.
    pub(crate) fn build(spec: &Spec, trunk: &TrunkSpec, unknown: &mut Vec<String>) -> Screen {
        let named = (spec.carriers.iter()).find(|carrier| carrier.name == trunk.carrier);
        let of_carrier = named.map(|carrier| &carrier.screen);
        let sources = [Some(&spec.screen), of_carrier, Some(&trunk.screen)];
        let mut lists = |names: fn(&ScreenSpec) -> &[String]| -> Box<[List]> {
            let names = sources.iter().flatten().flat_map(|it| names(it));
            names
                .filter_map(|name| {
                    let list = spec.lists.iter().find(|list| list.name == *name);
                    if list.is_none() {
                        unknown.push(name.clone());
                    }
                    list.map(|list| List {
                        name: list.name.as_str().into(),
                        numbers: Arc::clone(&list.numbers),
                    })
                })
                .collect()
        };
        Screen {
            called: Pair {
                block: lists(|it| &it.block_called),
                permit: lists(|it| &it.permit_called),
            },
            calling: Pair {
                block: lists(|it| &it.block_calling),
                permit: lists(|it| &it.permit_calling),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CarrierSpec, Named, NumbersBuilder, Source};

    fn list(name: &str, entries: &[(&str, Named)]) -> ListSpec {
        let mut builder = NumbersBuilder::new();
        for (digits, named) in entries {
            builder.add(digits.as_bytes(), *named).unwrap();
        }
        ListSpec {
            name: name.to_owned(),
            numbers: Arc::new(builder.build()),
        }
    }

    #[test]
    fn what_is_permitted_is_not_blocked() {
        let lists = vec![
            list(
                "satellite",
                &[("881", Named::Beginning), ("882", Named::Beginning)],
            ),
            list("friends", &[("88123", Named::Exactly)]),
            list("crooks", &[("4930", Named::Beginning)]),
        ];
        let blocks = |name: &str| ScreenSpec {
            block_called: vec![name.to_owned()],
            ..ScreenSpec::default()
        };
        let carrier = |name: &str, list: &str| CarrierSpec {
            name: name.to_owned(),
            screen: blocks(list),
        };
        let all = Spec {
            screen: blocks("satellite"),
            carriers: vec![carrier("other", "nobody's"), carrier("acme", "crooks")],
            lists,
            ..Spec::default()
        };
        let source = Source::parse("192.0.2.0/24").unwrap();
        let trunk = TrunkSpec {
            carrier: "acme".to_owned(),
            screen: ScreenSpec {
                permit_called: vec!["friends".to_owned()],
                block_calling: vec!["crooks".to_owned(), "nobody".to_owned()],
                ..ScreenSpec::default()
            },
            ..TrunkSpec::new("t", source)
        };
        let mut unknown = Vec::new();
        let screen = Screen::build(&all, &trunk, &mut unknown);
        assert_eq!(unknown, ["nobody"]);
        let told = |side, number: &str| {
            screen
                .blocks(side, number.as_bytes())
                .map(|it| it.to_string())
        };
        let blocked = |words: &str| Some(words.to_owned());
        let by_satellite = "the called number is in the list `satellite`";
        let by_crooks = "the calling number is in the list `crooks`";
        assert_eq!(told(Side::Called, "8811"), blocked(by_satellite));
        assert_eq!(told(Side::Called, "88123"), None);
        assert_eq!(told(Side::Called, "881234"), blocked(by_satellite));
        let called_a_crook = "the called number is in the list `crooks`";
        assert_eq!(told(Side::Called, "4930"), blocked(called_a_crook));
        assert_eq!(told(Side::Called, "4931"), None);
        assert_eq!(told(Side::Calling, "49301"), blocked(by_crooks));
        assert_eq!(told(Side::Calling, ""), None);
        assert!(screen.asks_who_calls() && !Screen::default().asks_who_calls());
    }
}
