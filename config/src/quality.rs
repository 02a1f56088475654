//! `[[quality]]`: what vendors must keep to, and how they are measured.

use crate::peers::{Names, name};
use crate::section::Section;
use crate::{Below, DESTINATION_DIGITS_MAX, Quality};

pub(crate) fn read(root: &Section<'_>) -> Vec<Quality> {
    let mut names = Names::new();
    let sections = root.tables("quality");
    let class = |section: &Section<'_>| Quality {
        name: name(section, "quality", &mut names),
        min_asr: share(section, "min_asr"),
        min_ner: share(section, "min_ner"),
        min_acd_s: section.number("min_acd_s", 1..=3_600),
        max_pdd_ms: section.number("max_pdd_ms", 1..=60_000),
        max_short: share(section, "max_short"),
        short_s: section.number_or("short_s", 6, 1..=3_600),
        digits: section.number_or("digits", 3, 0..=i128::from(DESTINATION_DIGITS_MAX)),
        window_s: section.number_or("window_s", 900, 16..=86_400),
        sample: section.number_or("sample", 50, 1..=100_000),
        trial: share(section, "trial").unwrap_or(50),
        return_s: section.number_or("return_s", 300, 0..=86_400),
        below: section.word(
            "below",
            &[("behind", Below::Behind), ("skip", Below::Skip)],
            Below::Behind,
        ),
    };
    sections.iter().map(class).collect()
}

/// The class that a route names.
pub(crate) fn of_route(section: &Section<'_>, classes: &[Quality]) -> Option<String> {
    let text = section.text("quality")?;
    section.check_known(text, "quality", classes.iter().map(|it| it.name.as_str()));
    Some(text.value.to_owned())
}

/// `"30 %"` in thousandths.
pub(crate) fn share(section: &Section<'_>, key: &str) -> Option<u16> {
    let text = section.text(key)?;
    let read = share_of(text.value);
    if read.is_none() {
        let remedy = "write a number with one decimal at most, and a % behind it";
        section.refuse(text, "a share from \"0 %\" to \"100 %\"", remedy);
    }
    read
}

fn share_of(text: &str) -> Option<u16> {
    let number = text.strip_suffix('%')?.trim_end();
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if !is_number(whole) || whole.len() > 3 || !is_number(tenth) || tenth.len() != 1 {
        return None;
    }
    let thousandths = whole.parse::<u16>().ok()? * 10 + tenth.parse::<u16>().ok()?;
    (thousandths <= 1_000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::share_of;

    #[test]
    fn shares_as_people_write_them() {
        for (text, want) in [
            ("30 %", Some(300)),
            ("30%", Some(300)),
            ("0.5 %", Some(5)),
            ("100.0 %", Some(1_000)),
            ("0 %", Some(0)),
            ("100.1 %", None),
            ("30", None),
            ("-1 %", None),
            ("0.25 %", None),
            (". %", None),
            ("5. %", None),
            ("1000 %", None),
            ("%", None),
        ] {
            assert_eq!(share_of(text), want, "{text:?}");
        }
    }
}
