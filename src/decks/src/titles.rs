//! What the titles of columns mean, in the words that carriers use.

use crate::Column;

/// By column, what its title is, in small letters without blanks and marks. Exact ones first; those
/// of six letters and more also count as a part of a longer title.
#[rustfmt::skip] // a table
const WORDS: &[(Column, &[&str])] = &[
    (Column::Country, &["countrycode", "countrycodes", "cc", "countryprefix", "countrydialcode", "ländercode", "landesvorwahl"]),
    (Column::RateIntra, &["intra", "intrastate", "intrarate", "rateintra", "intraprice"]),
    (Column::RateInter, &["inter", "interstate", "interrate", "rateinter", "interprice"]),
    (Column::RateIndeterminate, &["indeterminate", "indeterminaterate", "ij", "ijrate", "indet", "undetermined"]),
    (Column::ConnectFee, &["connectfee", "connectionfee", "connectioncharge", "connectcharge", "setupfee", "setupcharge", "callsetup", "setup",
        "flagfall", "verbindungsgebühr", "conexion", "callfee", "surcharge"]),
    (Column::First, &["first", "firstinterval", "firstincrement", "firstperiod", "initial", "initialincrement", "initialinterval", "initialperiod",
        "minduration", "minimumduration", "minimum", "mintime", "minimumtime", "minimaltime", "interval1", "min", "increment1", "mincharge"]),
    (Column::Next, &["next", "nextinterval", "nextincrement", "nextperiod", "subsequent", "subsequentincrement", "subsequentinterval", "additional",
        "additionalincrement", "interval2", "intervaln", "increment2", "step", "increment", "rounding"]),
    (Column::Steps, &["steps", "billingincrement", "billingincrements", "billingincr", "billinginterval", "billing", "billingterms", "increments",
        "intervals", "interval", "pulse", "taktung", "takt", "chargeinterval", "chargingincrement", "billingcycle", "billingunit"]),
    (Column::From, &["from", "effective", "effectivedate", "effdate", "effectivefrom", "effectivestartdate", "validfrom", "startdate", "start",
        "begin", "begindate", "activationdate", "dateeffective", "date", "gültigab", "ab", "fechaefectiva", "datedeffet", "wef"]),
    (Column::Until, &["until", "enddate", "end", "validto", "validuntil", "validtill", "expiry", "expirydate", "expirationdate", "effectiveto",
        "effectivetill", "effectiveenddate", "to", "gültigbis", "bis", "thru", "through"]),
    (Column::Blocked, &["blocked", "block", "blockedflag", "isblocked", "forbidden", "closed", "gesperrt", "bloqueado"]),
    (Column::Currency, &["currency", "curr", "ccy", "währung", "moneda", "devise", "currencycode"]),
    (Column::Code, &["code", "codes", "prefix", "prefixes", "dialcode", "dialcodes", "dialingcode", "diallingcode", "dialprefix", "areacode",
        "areacodes", "citycode", "citycodes", "destinationcode", "destinationcodes", "destcode", "numberprefix", "digits", "dialeddigits",
        "breakout", "breakouts", "npanxx", "npa", "lata", "vorwahl", "prefijo", "indicatif", "codigo", "countryareacode", "fullcode", "e164"]),
    (Column::Destination, &["destination", "destinationname", "destinations", "dest", "destname", "name", "description", "country", "countryname",
        "area", "areaname", "zone", "zonename", "location", "network", "operator", "region", "ziel", "zielname", "destino", "pays", "land"]),
    (Column::Rate, &["rate", "rates", "newrate", "currentrate", "rateperminute", "rateperminut", "ratepermin", "ratemin", "rateminute", "price",
        "newprice", "currentprice", "priceperminute", "pricepermin", "pricemin", "priceminute", "costperminute", "cost", "tariff", "tarif", "preis",
        "preismin", "preisminute", "preisprominute", "precio", "prix", "amount", "permin", "perminute", "peakrate", "ratepersecond",
        "ratecents", "ratecentsmin", "priceofminute", "charge", "buyrate", "sellrate", "flatrate", "ratesec", "pricesec"]),
];

/// Letters of currencies that stand in titles.
const CURRENCIES: [&str; 12] = [
    "usd", "eur", "gbp", "chf", "cad", "aud", "jpy", "inr", "brl", "zar", "aed", "euro",
];

/// What a column with this title says, if its words tell.
#[must_use]
pub(crate) fn column_of(title: &str) -> Option<Column> {
    let bare = bare(title);
    if bare.is_empty() {
        return None;
    }
    let exact = |text: &str| {
        let has = |(_, words): &&(Column, &[&str])| words.contains(&text);
        WORDS.iter().find(has).map(|(column, _)| *column)
    };
    let without_currency = CURRENCIES
        .iter()
        .fold(bare.clone(), |text, it| text.replace(it, ""));
    let found = exact(&bare).or_else(|| exact(&without_currency));
    found.or_else(|| {
        let has = |(_, words): &&(Column, &[&str])| {
            words
                .iter()
                .any(|word| word.len() >= 6 && bare.contains(word))
        };
        WORDS.iter().find(has).map(|(column, _)| *column)
    })
}

/// The currency that a title or a cell names.
#[must_use]
pub(crate) fn currency_of(text: &str) -> Option<String> {
    let sign = text.chars().find_map(|c| match c {
        '$' => Some("USD"),
        '€' => Some("EUR"),
        '£' => Some("GBP"),
        '₹' => Some("INR"),
        _ => None,
    });
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphabetic());
    let mut word = words
        .filter(|word| CURRENCIES.contains(word))
        .map(|word| match word {
            "euro" => "EUR".to_owned(),
            word => word.to_uppercase(),
        });
    word.next_back().or_else(|| sign.map(str::to_owned))
}

/// Small letters and digits only.
fn bare(title: &str) -> String {
    let letters = title.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_as_carriers_write_them() {
        for (title, want) in [
            ("Code", Column::Code),
            ("Dial Code(s)", Column::Code),
            ("Destination Codes", Column::Code),
            ("Country Code", Column::Country),
            ("Area Code", Column::Code),
            ("NPA-NXX", Column::Code),
            ("Vorwahl", Column::Code),
            ("Destination", Column::Destination),
            ("Country", Column::Destination),
            ("Rate", Column::Rate),
            ("Rate (USD/min)", Column::Rate),
            ("USD per minute", Column::Rate),
            ("Price, EUR", Column::Rate),
            ("New Rate $", Column::Rate),
            ("Preis/Min", Column::Rate),
            ("Interstate Rate", Column::RateInter),
            ("Intra", Column::RateIntra),
            ("Indeterminate", Column::RateIndeterminate),
            ("Effective Date", Column::From),
            ("Valid from", Column::From),
            ("gültig ab", Column::From),
            ("End Date", Column::Until),
            ("Billing Increment", Column::Steps),
            ("Interval 1", Column::First),
            ("Interval N", Column::Next),
            ("Min. Duration", Column::First),
            ("Connection Fee", Column::ConnectFee),
            ("Blocked?", Column::Blocked),
            ("Currency", Column::Currency),
        ] {
            assert_eq!(column_of(title), Some(want), "{title}");
        }
        for title in ["", "#", "Comment", "4930", "Change", "Old"] {
            assert_eq!(column_of(title), None, "{title}");
        }
    }

    #[test]
    fn no_word_means_two_things() {
        for (column, words) in WORDS {
            for word in *words {
                assert_eq!(column_of(word), Some(*column), "{word}");
                assert_eq!(*word, bare(word), "{word}");
            }
        }
    }

    #[test]
    fn currencies_in_titles_and_cells() {
        assert_eq!(currency_of("Rate (EUR/min)").as_deref(), Some("EUR"));
        assert_eq!(currency_of("$0.01").as_deref(), Some("USD"));
        assert_eq!(currency_of("Preis in Euro").as_deref(), Some("EUR"));
        assert_eq!(currency_of("Rate per minute"), None);
        assert_eq!(currency_of("neuro"), None);
    }
}
