//! Decks as a carrier gets them from many vendors: written as CSV, the same ones from each seed.
//!
//! All draw from one stock of codes, as real decks do: most of five to eight digits, crowded in few
//! countries, the countries themselves among them. Each vendor has two thirds of the stock, at prices
//! of its own; the customer's deck has the countries, dearer than any vendor.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;

use crate::load::schedule::Random;

const COUNTRIES: [(&str, &str); 8] = [
    ("1", "USA"),
    ("44", "United Kingdom"),
    ("49", "Germany"),
    ("86", "China"),
    ("91", "India"),
    ("7", "Russia"),
    ("55", "Brazil"),
    ("234", "Nigeria"),
];
const STEPS: [&str; 4] = ["1/1", "60/60", "30/6", "60/1"];
/// The dearest price of a vendor, in hundredths of a cent a minute.
const PRICE_MAX: u64 = 5_000;
/// Of three codes that anybody has, a vendor has two.
const SHARE: (u64, u64) = (2, 3);

/// How many decks, and how large.
#[derive(Clone, Copy, Debug)]
pub struct Deal {
    /// Decks, one a vendor.
    pub vendors: usize,
    /// Rows of all of them together, nearly.
    pub rows: usize,
    /// The same seed makes the same decks.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Copy, Default, Debug)]
pub struct Written {
    /// Rows of the vendors' decks.
    pub rows: u64,
    /// Their octets.
    pub bytes: u64,
    /// Different codes.
    pub codes: u64,
}

impl Deal {
    /// Writes the decks into `folder`, and tells each vendor that is done.
    ///
    /// # Errors
    /// The disk takes no more.
    pub fn write(&self, folder: &Path, tell: &mut dyn FnMut(usize)) -> io::Result<Written> {
        let codes = self.codes();
        let mut written = Written {
            codes: codes.len() as u64,
            ..Written::default()
        };
        for vendor in 0..self.vendors {
            let rows = self.write_vendor(folder, vendor, 0, &codes)?;
            written.rows += rows.0;
            written.bytes += rows.1;
            tell(vendor);
        }
        let mut sold = String::from("Code,Destination,Rate USD,Steps\n");
        for (code, name) in COUNTRIES {
            let _infallible = writeln!(sold, "{code},{name},0.6000,60/60");
        }
        fs::write(folder.join("sold.csv"), sold)?;
        Ok(written)
    }

    /// Writes one vendor's deck with other prices than those of another `edition`.
    ///
    /// # Errors
    /// The disk takes no more.
    pub fn rewrite(&self, folder: &Path, vendor: usize, edition: u64) -> io::Result<()> {
        self.write_vendor(folder, vendor, edition, &self.codes())?;
        Ok(())
    }

    fn write_vendor(
        &self,
        folder: &Path,
        vendor: usize,
        edition: u64,
        codes: &[Stocked],
    ) -> io::Result<(u64, u64)> {
        let path = folder.join(format!("vendor{vendor}.csv"));
        // A reader never meets half a deck.
        let fresh = path.with_extension("new");
        let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(&fresh)?);
        let mut line = String::from("Code,Destination,Rate USD,Steps\n");
        let (mut rows, mut bytes) = (0, 0);
        // What is in a deck is its own; its prices are the edition's.
        let mut which = Random::new(self.seed ^ (vendor as u64 + 1) << 32);
        let mut prices = Random::new(self.seed ^ (vendor as u64 + 1) << 32 ^ (edition + 1) << 48);
        for (code, country) in codes {
            if which.below(SHARE.1) >= SHARE.0 {
                continue;
            }
            let price = 1 + prices.below(PRICE_MAX);
            let steps = STEPS[prices.below(STEPS.len() as u64) as usize];
            let name = COUNTRIES[usize::from(*country)].1;
            let _infallible = writeln!(line, "{code},{name},0.{price:04},{steps}");
            rows += 1;
            bytes += line.len() as u64;
            file.write_all(line.as_bytes())?;
            line.clear();
        }
        file.into_inner()?.sync_all()?;
        fs::rename(fresh, path)?;
        Ok((rows, bytes))
    }

    /// The stock, sorted.
    fn codes(&self) -> Vec<Stocked> {
        let count = self.rows * SHARE.1 as usize / SHARE.0 as usize / self.vendors.max(1);
        let mut random = Random::new(self.seed);
        let mut codes: BTreeSet<Stocked> = (COUNTRIES.iter().zip(0..))
            .map(|((code, _), at)| ((*code).to_owned(), at))
            .collect();
        while codes.len() < count {
            let at = random.below(COUNTRIES.len() as u64) as u8;
            let digits = 3 + random.below(5) as u32;
            let (rest, width) = (random.below(10_u64.pow(digits)), digits as usize);
            let country = COUNTRIES[usize::from(at)].0;
            codes.insert((format!("{country}{rest:0width$}"), at));
        }
        codes.into_iter().collect()
    }

    /// The gateways, decks and the route of a configuration that uses the decks.
    #[must_use]
    pub fn tables(&self, gateways: &[SocketAddr]) -> String {
        let mut text = String::from("[[deck]]\nname = \"sold\"\nfile = \"sold.csv\"\n\n");
        let mut names = Vec::new();
        for (vendor, gateway) in gateways.iter().enumerate() {
            let _infallible = write!(
                text,
                "[[deck]]\nname = \"vendor{vendor}\"\nfile = \"vendor{vendor}.csv\"\n\n\
                 [[gateway]]\nname = \"vendor{vendor}\"\naddress = \"{gateway}\"\n\
                 deck = \"vendor{vendor}\"\nhealth = {{ down_after = 0 }}\n\n"
            );
            names.push(format!("\"vendor{vendor}\""));
        }
        let _infallible = write!(
            text,
            "[[route]]\nprefix = \"*\"\nmode = \"cost\"\ngateways = [{}]\n",
            names.join(", ")
        );
        text
    }
}

/// A code, and the place of its country.
type Stocked = (String, u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decks_have_the_rows_that_were_asked_for_and_are_the_same_each_time() {
        let deal = Deal {
            vendors: 4,
            rows: 8_000,
            seed: 7,
        };
        let [one, other] = [(); 2].map(|()| {
            let folder = tempfile::tempdir().unwrap();
            let mut told = Vec::new();
            let written = deal
                .write(folder.path(), &mut |vendor| told.push(vendor))
                .unwrap();
            assert_eq!(told, [0, 1, 2, 3]);
            assert!(written.rows.abs_diff(8_000) < 400, "{written:?}");
            let text = |vendor: usize| {
                fs::read_to_string(folder.path().join(format!("vendor{vendor}.csv"))).unwrap()
            };
            let before = text(2);
            deal.rewrite(folder.path(), 2, 1).unwrap();
            let after = text(2);
            assert_ne!(before, after);
            let codes = |text: &str| -> Vec<String> {
                let lines = text.lines().map(|line| line.split(',').next().unwrap());
                lines.map(str::to_owned).collect()
            };
            assert_eq!(codes(&before), codes(&after), "only prices differ");
            (0..4).map(text).collect::<Vec<_>>()
        });
        assert_eq!(one, other);
    }
}
