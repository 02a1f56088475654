//! What was dialled → the number, the rule and the tech prefix, or why not.

use proptest::prelude::*;
use sip::Uri;

use crate::number::normalise;
use crate::{NumberBuffer, NumberError, NumberFormat, PlainRule};

/// Germany: national numbers begin with 0, international ones with 00.
fn german() -> NumberFormat {
    NumberFormat {
        country_code: "49".to_owned(),
        national_prefix: Some("0".to_owned()),
        international_prefixes: vec!["00".to_owned()],
        ..NumberFormat::default()
    }
}

/// North America: 1 and 011.
fn american() -> NumberFormat {
    NumberFormat {
        country_code: "1".to_owned(),
        national_prefix: Some("1".to_owned()),
        international_prefixes: vec!["011".to_owned()],
        plain: PlainRule::National,
        ..NumberFormat::default()
    }
}

fn tech(prefixes: &[&str], required: bool) -> NumberFormat {
    NumberFormat {
        tech_prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        tech_prefix_required: required,
        ..german()
    }
}

/// `number by rule`, with the tech prefix in front if there was one; or the error.
fn read(format: &NumberFormat, uri: &str) -> Result<String, NumberError> {
    let uri = Uri::parse(uri.as_bytes()).expect(uri);
    let mut buffer = NumberBuffer::new();
    let number = normalise(format, &uri, &mut buffer)?;
    let text = |octets: &[u8]| octets.escape_ascii().to_string();
    let tech = match number.tech_prefix() {
        [] => String::new(),
        prefix => format!("[{}]", text(prefix)),
    };
    Ok(format!(
        "{tech}{} by {}",
        text(number.text()),
        number.rule().text()
    ))
}

fn check(format: &NumberFormat, rows: &[(&str, Result<&str, NumberError>)]) {
    for &(uri, want) in rows {
        assert_eq!(
            read(format, uri).as_deref(),
            want.as_ref().copied(),
            "{uri}"
        );
    }
}

#[test]
fn each_rule_in_its_turn() {
    check(
        &german(),
        &[
            ("sip:+493012345@x", Ok("493012345 by +E.164")),
            ("sip:00493012345@x", Ok("493012345 by international prefix")),
            (
                "sip:0012025550123@x",
                Ok("12025550123 by international prefix"),
            ),
            ("sip:03012345@x", Ok("493012345 by national prefix")),
            ("sip:493012345@x", Ok("493012345 by plain digits are E.164")),
            ("tel:+49-30-12345", Ok("493012345 by +E.164")),
            (
                "tel:03012345;phone-context=+49",
                Ok("493012345 by national prefix"),
            ),
            ("sips:+493012345@x", Ok("493012345 by +E.164")),
        ],
    );
}

#[test]
fn american_rules() {
    check(
        &american(),
        &[
            (
                "sip:2025550123@x",
                Ok("12025550123 by plain digits are national"),
            ),
            ("sip:12025550123@x", Ok("12025550123 by national prefix")),
            (
                "sip:011493012345@x",
                Ok("493012345 by international prefix"),
            ),
            ("sip:+12025550123@x", Ok("12025550123 by +E.164")),
        ],
    );
}

#[test]
fn separators_escapes_and_parameters() {
    check(
        &german(),
        &[
            ("sip:+49(30)12-3.45@x", Ok("493012345 by +E.164")),
            ("sip:%2B4930%31%32345@x", Ok("493012345 by +E.164")),
            // Once: what is escaped twice is no number.
            (
                "sip:%252B4930@x",
                Ok("%252B4930 by no number, kept as it is"),
            ),
            ("sip:+493012345;npdi;rn=+4930@x", Ok("493012345 by +E.164")),
            (
                "sip:+493012345;postd=22@x;user=phone",
                Ok("493012345 by +E.164"),
            ),
            ("sip:+493012345:secret@x", Ok("493012345 by +E.164")),
            ("sip:%2@x", Err(NumberError::Escape)),
            ("sip:+49%G0@x", Err(NumberError::Escape)),
            ("sip:+49%00@x", Err(NumberError::NotDigits)),
        ],
    );
}

#[test]
fn tech_prefixes() {
    check(
        &tech(&["1234#", "99", "9912"], false),
        &[
            (
                "sip:1234%2300493012345@x",
                Ok("[1234#]493012345 by international prefix"),
            ),
            ("sip:99+493012345@x", Ok("[99]493012345 by +E.164")),
            (
                "sip:991203012345@x",
                Ok("[9912]493012345 by national prefix"),
            ),
            ("sip:03012345@x", Ok("493012345 by national prefix")),
        ],
    );
    check(
        &tech(&["1234#"], true),
        &[
            ("sip:1234%23+4930@x", Ok("[1234#]4930 by +E.164")),
            ("sip:+4930@x", Err(NumberError::TechPrefix)),
            ("sip:alice@x", Ok("alice by no number, kept as it is")),
        ],
    );
}

#[test]
fn what_is_no_number_is_raw() {
    check(
        &german(),
        &[
            ("sip:x", Ok(" by no number, kept as it is")),
            ("sip:alice@x", Ok("alice by no number, kept as it is")),
            (
                "sip:alice%20b@x",
                Ok("alice%20b by no number, kept as it is"),
            ),
            ("sip:*21@x", Ok("*21 by no number, kept as it is")),
            (
                "sip:1-800-FLOWERS@x",
                Ok("1-800-FLOWERS by no number, kept as it is"),
            ),
            ("sip:-@x", Ok("- by no number, kept as it is")),
        ],
    );
}

#[test]
fn what_claims_to_be_a_number_and_is_none() {
    check(
        &german(),
        &[
            ("sip:alice@x;user=phone", Err(NumberError::NotDigits)),
            ("sip:x;user=PHONE", Err(NumberError::NotDigits)),
            ("sip:+alice@x", Err(NumberError::NotDigits)),
            ("tel:*21", Err(NumberError::NotDigits)),
            ("sip:+@x", Err(NumberError::Empty)),
            ("sip:00@x", Err(NumberError::Empty)),
            ("sip:0@x", Err(NumberError::Empty)),
            ("sip:+0301@x", Err(NumberError::CountryCode)),
            ("sip:0001@x", Err(NumberError::CountryCode)),
            ("mailto:a@x", Err(NumberError::Scheme)),
        ],
    );
    let strict = NumberFormat {
        plain: PlainRule::Refuse,
        ..german()
    };
    check(
        &strict,
        &[
            ("sip:493012345@x", Err(NumberError::Plain)),
            ("sip:03012345@x", Ok("493012345 by national prefix")),
        ],
    );
    let homeless = NumberFormat {
        plain: PlainRule::National,
        ..NumberFormat::default()
    };
    check(&homeless, &[("sip:30@x", Err(NumberError::NoCountry))]);
}

#[test]
fn the_longest_number_and_the_next() {
    let digits = "1".repeat(32);
    let fits = format!("sip:+{digits}@x");
    assert_eq!(read(&german(), &fits), Ok(format!("{digits} by +E.164")));
    let longer = format!("sip:+{digits}1@x");
    assert_eq!(read(&german(), &longer), Err(NumberError::TooLong));
    // 0 and 31 digits: with the country code in place of the 0 that is one too many.
    let national = format!("sip:0{}@x", "1".repeat(31));
    assert_eq!(read(&german(), &national), Err(NumberError::TooLong));
    let raw = "a".repeat(128);
    assert!(read(&german(), &format!("sip:{raw}@x")).is_ok());
    assert_eq!(
        read(&german(), &format!("sip:{raw}a@x")),
        Err(NumberError::TooLong)
    );
    let escaped = format!("sip:{}@x", "%61".repeat(60));
    assert_eq!(
        read(&german(), &escaped),
        Err(NumberError::TooLong),
        "raw is kept as written"
    );
}

#[test]
fn every_error_says_something_and_has_a_status() {
    use NumberError as E;
    for (error, status) in [
        (E::UnknownTrunk, 403),
        (E::Scheme, 416),
        (E::Escape, 404),
        (E::TooLong, 404),
        (E::NotDigits, 404),
        (E::Empty, 484),
        (E::CountryCode, 404),
        (E::TechPrefix, 403),
        (E::Plain, 404),
        (E::NoCountry, 404),
    ] {
        assert_eq!(error.status(), status);
        assert!(error.to_string().len() > 10, "{error:?}");
    }
}

proptest! {
    #[test]
    fn a_number_is_digits_and_stays_itself(user in "[-+%0-9a-z.()#*;]{0,140}") {
        let typed = format!("sip:{user}@x");
        for format in [german(), american(), tech(&["99", "1234#"], false)] {
            let Ok(uri) = Uri::parse(typed.as_bytes()) else { continue };
            let mut buffer = NumberBuffer::new();
            let Ok(number) = normalise(&format, &uri, &mut buffer) else { continue };
            if number.is_raw() {
                prop_assert_eq!(number.text(), uri.user);
                continue;
            }
            prop_assert!((1..=32).contains(&number.text().len()));
            prop_assert!(number.text().iter().all(u8::is_ascii_digit));
            let again = format!("sip:+{}@x", String::from_utf8_lossy(number.text()));
            let again = Uri::parse(again.as_bytes()).expect("digits");
            let mut second = NumberBuffer::new();
            let read = normalise(&german(), &again, &mut second).expect("E.164");
            prop_assert_eq!(read.text(), number.text());
        }
    }
}
