//! One rule: which numbers it is for, and what becomes of them.

use std::fmt;

use crate::pattern::Pattern;
use crate::signs::is_sign;
use crate::{SIGNS_MAX, Signs};

/// How many signs a number has, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lengths {
    /// At least.
    pub min: usize,
    /// At most.
    pub max: usize,
}

impl Lengths {
    /// Any.
    pub const ANY: Lengths = Lengths {
        min: 1,
        max: SIGNS_MAX,
    };

    /// Reads `"11"`, `"8-12"`, `"8-"` or `"-12"`. `None`: it is none of these, or no number can be
    /// so long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Lengths> {
        let read = |text: &str| {
            let number = text.parse::<usize>().ok()?;
            (1..=SIGNS_MAX).contains(&number).then_some(number)
        };
        let lengths = match text.split_once('-') {
            None => Lengths {
                min: read(text)?,
                max: read(text)?,
            },
            Some(("", "")) => return None,
            Some(("", max)) => Lengths {
                max: read(max)?,
                ..Lengths::ANY
            },
            Some((min, "")) => Lengths {
                min: read(min)?,
                ..Lengths::ANY
            },
            Some((min, max)) => Lengths {
                min: read(min)?,
                max: read(max)?,
            },
        };
        (lengths.min <= lengths.max).then_some(lengths)
    }
}

/// What becomes of a number: signs off at both ends first, then others put there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// How many signs go at the beginning.
    pub strip: usize,
    /// How many signs go at the end.
    pub drop: usize,
    /// What is put in front.
    pub prepend: String,
    /// What is put behind.
    pub append: String,
    /// What takes the place of the whole number; the others are nothing then.
    pub set: Option<String>,
}

/// A rule. It is for numbers that begin and are as long as it says, and only if something is left
/// of them, and no more than [`SIGNS_MAX`] signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    begins: Pattern,
    min: usize,
    max: usize,
    strip: usize,
    drop: usize,
    /// Whether the whole number goes.
    is_set: bool,
    before: Box<[u8]>,
    behind: Box<[u8]>,
    /// As it was written, for people.
    text: Box<str>,
}

impl Rule {
    /// A rule; `begins` is how it was written. `None`: something that is put there is no number, or
    /// there is no number that the rule could be for.
    #[must_use]
    pub fn new(begins: &str, lengths: Lengths, change: &Change) -> Option<Rule> {
        let pattern = Pattern::parse(begins)?;
        let text = describe(begins, lengths, change);
        let (strip, drop, before, behind) = match &change.set {
            Some(set) => (0, 0, set.as_str(), ""),
            None => (change.strip, change.drop, &*change.prepend, &*change.append),
        };
        let added = before.len() + behind.len();
        let signs = before.bytes().chain(behind.bytes());
        let is_set = change.set.is_some();
        if !signs.clone().all(is_sign) || added > SIGNS_MAX || is_set && before.is_empty() {
            return None;
        }
        let (min, max) = match is_set {
            true => (lengths.min, lengths.max),
            false => {
                let least = (strip + drop + usize::from(added == 0)).max(lengths.min);
                let most = SIGNS_MAX + strip + drop - added;
                (least, most.min(lengths.max))
            }
        };
        let min = min.max(pattern.len());
        (min <= max).then(|| Rule {
            begins: pattern,
            min,
            max,
            strip,
            drop,
            is_set,
            before: before.as_bytes().into(),
            behind: behind.as_bytes().into(),
            text: text.into(),
        })
    }

    /// Whether the rule is for this number.
    #[must_use]
    #[inline]
    pub fn fits(&self, number: &Signs) -> bool {
        let number = number.as_bytes();
        (self.min..=self.max).contains(&number.len()) && self.begins.begins(number)
    }

    /// Changes a number that it fits.
    pub(crate) fn apply(&self, number: &mut Signs) {
        let strip = match self.is_set {
            true => number.as_bytes().len(),
            false => self.strip,
        };
        number.change(strip, self.drop, &self.before, &self.behind);
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The rule as the file has it: `begins 00, strip 2, prepend +`.
fn describe(begins: &str, lengths: Lengths, change: &Change) -> String {
    let mut parts = Vec::new();
    if !begins.is_empty() {
        parts.push(format!("begins {begins}"));
    }
    if lengths != Lengths::ANY {
        parts.push(match (lengths.min, lengths.max) {
            (min, max) if min == max => format!("length {min}"),
            (min, SIGNS_MAX) => format!("length {min}-"),
            (min, max) => format!("length {min}-{max}"),
        });
    }
    for (word, count) in [("strip", change.strip), ("drop", change.drop)] {
        if count > 0 {
            parts.push(format!("{word} {count}"));
        }
    }
    for (word, text) in [("prepend", &change.prepend), ("append", &change.append)] {
        if !text.is_empty() {
            parts.push(format!("{word} {text}"));
        }
    }
    if let Some(set) = &change.set {
        parts.push(format!("set {set}"));
    }
    match parts.is_empty() {
        true => "any number stays".to_owned(),
        false => parts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(begins: &str, length: &str, change: &Change) -> Option<Rule> {
        let lengths = match length {
            "" => Lengths::ANY,
            text => Lengths::parse(text).expect(text),
        };
        Rule::new(begins, lengths, change)
    }

    fn check(rule: &Rule, number: &str, want: Option<&str>) {
        let mut signs = Signs::read(number.as_bytes()).expect(number);
        let fits = rule.fits(&signs);
        if fits {
            rule.apply(&mut signs);
        }
        let got = fits.then(|| signs.as_str());
        assert_eq!(got, want, "{rule}: {number}");
    }

    fn change(strip: usize, drop: usize, prepend: &str, append: &str) -> Change {
        Change {
            strip,
            drop,
            prepend: prepend.to_owned(),
            append: append.to_owned(),
            set: None,
        }
    }

    #[test]
    fn a_rule_changes_both_ends() {
        let international = rule("00", "", &change(2, 0, "+", "")).expect("a rule");
        check(&international, "0049301234", Some("+49301234"));
        check(&international, "049301234", None);
        check(&international, "00", Some("+"));
        let short = rule("1X", "2-3", &change(0, 1, "", "99")).expect("a rule");
        check(&short, "112", Some("1199"));
        check(&short, "1122", None);
        let stays = rule("+", "", &Change::default()).expect("a rule");
        check(&stays, "+49", Some("+49"));
        let set = Change {
            set: Some("+4930999".to_owned()),
            ..Change::default()
        };
        let pilot = rule("", "-4", &set).expect("a rule");
        check(&pilot, "100", Some("+4930999"));
        check(&pilot, "10000", None);
    }

    #[test]
    fn a_rule_is_not_for_what_it_would_leave_nothing_of() {
        let strip = rule("", "", &change(2, 1, "", "")).expect("a rule");
        check(&strip, "123", None);
        check(&strip, "1234", Some("3"));
        let longest = "1".repeat(SIGNS_MAX);
        let one_more = rule("", "", &change(0, 0, "9", "")).expect("a rule");
        check(&one_more, &longest, None);
        let exchanged = rule("", "", &change(1, 0, "9", "")).expect("a rule");
        let want = format!("9{}", &longest[1..]);
        check(&exchanged, &longest, Some(&want));
    }

    #[test]
    fn what_could_never_be_is_no_rule() {
        assert_eq!(rule("123", "2", &Change::default()), None);
        assert_eq!(rule("", "2", &change(2, 0, "", "")), None);
        assert_eq!(rule("", "", &change(0, 0, "a", "")), None);
        assert_eq!(rule("q", "", &Change::default()), None);
        let nothing = Change {
            set: Some(String::new()),
            ..Change::default()
        };
        assert_eq!(rule("", "", &nothing), None);
    }

    #[test]
    fn lengths_as_people_write_them() {
        let lengths = |min, max| Some(Lengths { min, max });
        for (text, want) in [
            ("11", lengths(11, 11)),
            ("8-12", lengths(8, 12)),
            ("8-", lengths(8, SIGNS_MAX)),
            ("-12", lengths(1, 12)),
            ("12-8", None),
            ("0", None),
            ("65", None),
            ("-", None),
            ("", None),
            ("1-2-3", None),
            ("ten", None),
        ] {
            assert_eq!(Lengths::parse(text), want, "{text}");
        }
    }

    #[test]
    fn a_rule_says_what_it_is() {
        let told =
            |begins, length, change: &Change| rule(begins, length, change).unwrap().to_string();
        assert_eq!(
            told("00", "8-", &change(2, 0, "+", "")),
            "begins 00, length 8-, strip 2, prepend +"
        );
        assert_eq!(
            told("", "4", &change(0, 1, "", "7")),
            "length 4, drop 1, append 7"
        );
        assert_eq!(told("", "", &Change::default()), "any number stays");
    }
}
