//! The rate decks that a configuration names, read from their files into one table of prices.
//!
//! Decks are read side by side, on as many threads as there are processors. At a reload only those are
//! read whose files have changed; the rows of the others are taken from the table in force. If none
//! has changed, the table is taken as it is: a reload of the rest takes no longer for a million
//! prices than for none.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use config::Config;
use decks::{Deck, Dialect, Extent};
use parking_lot::Mutex;
use route::{Currency, DeckId, DeckSpec, Moment, PriceChanges, Rates, RatesBuilder, Worth};

use crate::stamp::FileStamp;

/// What is told of one deck at most.
const TOLD_MAX: usize = 50;

/// The decks of a configuration, as they were read.
#[derive(Debug, Default)]
pub struct Library {
    stamps: Vec<Stamp>,
    currencies: Vec<Currency>,
    /// By deck, how many rows it has.
    pub rows: Vec<usize>,
    /// All prices.
    pub rates: Arc<Rates>,
}

/// By what it is seen that a deck is another one.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stamp {
    name: String,
    /// The whole deck, and then what came later.
    files: Vec<FileStamp>,
    dialect: Option<FileStamp>,
}

/// Is told how many lines of a deck were read so far. Called from several threads.
pub type Progress<'p> = &'p (dyn Fn(&str, u64) + Sync);

impl Library {
    /// Reads the decks of a configuration, or takes those of before if their files are the same.
    ///
    /// # Errors
    /// All that is wrong with them, a message each.
    pub fn load(
        config: &Config,
        previous: Option<&Arc<Library>>,
        progress: Progress<'_>,
    ) -> Result<Arc<Library>, Vec<String>> {
        let (stamps, errors) = stamps(config);
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(previous) = previous.filter(|previous| previous.stamps == stamps) {
            return Ok(Arc::clone(previous));
        }
        let known = Known::new(&stamps, previous.map(|previous| &**previous));
        // Shards may be waiting for the processor that this runs on.
        let mut builder = RatesBuilder::new().breathing(thread::yield_now);
        let (currencies, rows) = fill(&stamps, &known, progress, &mut builder)?;
        let rates = builder.build(now()).map_err(|overlaps| {
            let told = overlaps.iter().map(|overlap| {
                let name = &stamps[usize::from(overlap.deck.0)].name;
                format!("deck `{name}` says two things about {}", overlap.code)
            });
            told.collect::<Vec<_>>()
        })?;
        Ok(Arc::new(Library {
            stamps,
            currencies,
            rows,
            rates: Arc::new(rates),
        }))
    }

    /// The decks as the routing world wants them.
    ///
    /// # Errors
    /// Currencies of which nobody says what they are worth.
    pub fn specs(&self, config: &Config) -> Result<Vec<DeckSpec>, Vec<String>> {
        let mut errors = Vec::new();
        let mut specs = Vec::new();
        for (deck, &currency) in config.decks.iter().zip(&self.currencies) {
            let text = currency.to_string();
            let known = config.currencies.iter().find(|it| it.name == text);
            let worth = match known {
                _ if text == config.currency => Some(Worth::SAME),
                Some(known) => Worth::new(known.worth),
                None => None,
            };
            match worth {
                Some(worth) => specs.push(DeckSpec {
                    name: deck.name.clone(),
                    currency,
                    worth,
                }),
                None => errors.push(format!(
                    "deck `{}` is in {text}, and prices are compared in {}; say what it is worth: \
                     [[currency]] with name = \"{text}\" and worth",
                    deck.name, config.currency
                )),
            }
        }
        match errors.is_empty() {
            true => Ok(specs),
            false => Err(errors),
        }
    }

    /// In words, how a deck differs from what it was: nothing if its file is the same.
    pub(crate) fn changes_from(&self, old: &Library) -> Vec<String> {
        let mut told = Vec::new();
        for (at, stamp) in self.stamps.iter().enumerate() {
            let rows = self.rows[at];
            match old.stamps.iter().position(|it| it.name == stamp.name) {
                None => told.push(format!("deck `{}` added: {rows} rows", stamp.name)),
                Some(before) if old.stamps[before] != *stamp => {
                    let was = old.rows[before];
                    let deck = |at: usize| DeckId(u16::try_from(at).unwrap_or(u16::MAX));
                    let (from, to) = ((&*old.rates, deck(before)), (&*self.rates, deck(at)));
                    let changes = PriceChanges::between(from, to, now());
                    told.push(format!(
                        "deck `{}` read again: {rows} rows, {was} before; {changes}",
                        stamp.name
                    ));
                }
                Some(_) => {}
            }
        }
        let is_gone = |it: &&Stamp| !self.stamps.iter().any(|stamp| stamp.name == it.name);
        let gone = old.stamps.iter().filter(is_gone);
        told.extend(gone.map(|stamp| format!("deck `{}` removed", stamp.name)));
        told
    }
}

fn stamps(config: &Config) -> (Vec<Stamp>, Vec<String>) {
    let mut errors = Vec::new();
    let mut stamps = Vec::new();
    for deck in &config.decks {
        let files = std::iter::once(&deck.file).chain(&deck.updates);
        let files: Vec<Result<FileStamp, String>> = files.map(|it| FileStamp::of(it)).collect();
        let dialect = deck.dialect.as_deref().map(FileStamp::of).transpose();
        let told = files.iter().filter_map(|file| file.as_ref().err());
        let told = told.chain(dialect.as_ref().err());
        errors.extend(told.map(|why| format!("deck `{}`: {why}", deck.name)));
        stamps.push(Stamp {
            name: deck.name.clone(),
            files: files.into_iter().flatten().collect(),
            dialect: dialect.unwrap_or_default(),
        });
    }
    (stamps, errors)
}

/// Which decks of a library are in a configuration, too, with the same files.
struct Known<'l> {
    library: Option<&'l Library>,
    /// By deck of the configuration: its place in the library.
    before: Vec<Option<usize>>,
}

impl<'l> Known<'l> {
    fn new(stamps: &[Stamp], library: Option<&'l Library>) -> Known<'l> {
        let place = |stamp: &Stamp| library?.stamps.iter().position(|before| before == stamp);
        Known {
            before: stamps.iter().map(place).collect(),
            library,
        }
    }

    /// How many rows the decks had that are the same.
    fn rows_count(&self) -> usize {
        let rows = |library: &Library| {
            let places = self.before.iter().flatten();
            places.map(|&before| library.rows[before]).sum()
        };
        self.library.map_or(0, rows)
    }

    /// What is now the number of a deck of the library; none if it is not there or not the same.
    fn is_now(&self, deck: DeckId) -> Option<DeckId> {
        let before = Some(usize::from(deck.0));
        let now = self.before.iter().position(|it| *it == before)?;
        u16::try_from(now).ok().map(DeckId)
    }
}

/// Puts the rows of all decks into the table, of those that are not known after they were read. By
/// deck: its currency, and how many rows it has.
fn fill(
    stamps: &[Stamp],
    known: &Known<'_>,
    progress: Progress<'_>,
    builder: &mut RatesBuilder,
) -> Result<(Vec<Currency>, Vec<usize>), Vec<String>> {
    let changed: Vec<&Stamp> = (stamps.iter().zip(&known.before))
        .filter_map(|(stamp, before)| before.is_none().then_some(stamp))
        .collect();
    let outcomes = read_all(&changed, progress);
    let of_file = |outcome: &Outcome| outcome.as_ref().map_or(0, |(deck, _)| deck.len());
    // At once: rows that outgrow their room again and again are copied as often, and lie there twice.
    builder.reserve(known.rows_count() + outcomes.iter().map(of_file).sum::<usize>());
    if let Some(library) = known.library {
        builder.take(&library.rates, |deck| known.is_now(deck));
    }
    let mut outcomes = outcomes.into_iter();
    let mut errors = Vec::new();
    let (mut currencies, mut rows) = (Vec::new(), Vec::new());
    for (before, id) in known.before.iter().zip(0..) {
        if let (Some(before), Some(library)) = (before, known.library) {
            rows.push(library.rows[*before]);
            currencies.push(library.currencies[*before]);
            continue;
        }
        match outcomes.next().expect("each that is not known was read") {
            Ok((deck, currency)) => {
                rows.push(deck.len());
                currencies.push(currency);
                deck.add_to(builder, DeckId(id));
            }
            Err(told) => errors.extend(told),
        }
    }
    match errors.is_empty() {
        true => Ok((currencies, rows)),
        false => Err(errors),
    }
}

type Outcome = Result<(Deck, Currency), Vec<String>>;

/// Reads all decks, each on one thread, some at a time.
fn read_all(stamps: &[&Stamp], progress: Progress<'_>) -> Vec<Outcome> {
    let outcomes: Vec<Mutex<Option<Outcome>>> = stamps.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        // Relaxed: each number is taken once, and the outcomes have locks of their own.
        let at = || next.fetch_add(1, Ordering::Relaxed);
        for (at, stamp) in std::iter::repeat_with(at).map_while(|at| Some((at, stamps.get(at)?))) {
            *outcomes[at].lock() = Some(read_one(stamp, progress));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..threads.min(stamps.len()) {
            scope.spawn(work);
        }
        work();
    });
    let taken = outcomes.into_iter().map(Mutex::into_inner);
    taken
        .map(|outcome| outcome.expect("every deck was read"))
        .collect()
}

/// Reads a deck, and over it what came later.
fn read_one(stamp: &Stamp, progress: Progress<'_>) -> Outcome {
    let known = known_dialect(stamp)?;
    let mut lines_before = 0;
    let (mut whole, mut told): (Option<(Deck, Currency)>, Vec<String>) = (None, Vec::new());
    for file in &stamp.files {
        let mut lines_here = 0;
        let mut tell = |lines| {
            lines_here = lines;
            progress(&stamp.name, lines_before + lines);
            // As of the table: so often that nobody waits for long.
            thread::yield_now();
        };
        let of_file = DeckFile {
            deck: &stamp.name,
            path: &file.path,
        };
        match of_file.read(known.as_ref(), &mut tell) {
            Ok((deck, currency)) => match &whole {
                Some((_, common)) if *common != currency => told.push(of_file.told(&format!(
                    "it is in {currency}, and what it changes in {common}; an update is in the same currency"
                ))),
                Some((before, _)) => {
                    let deck = before.followed_by(&deck, Extent::Partial, Moment::FIRST);
                    whole = Some((deck, currency));
                }
                None => whole = Some((deck, currency)),
            },
            Err(errors) => told.extend(errors),
        }
        lines_before += lines_here;
    }
    match whole {
        Some(whole) if told.is_empty() => Ok(whole),
        _ => Err(told),
    }
}

/// A file of a deck.
#[derive(Clone, Copy)]
struct DeckFile<'f> {
    deck: &'f str,
    path: &'f Path,
}

impl DeckFile<'_> {
    /// An error with its place.
    fn told(self, why: &dyn std::fmt::Display) -> String {
        format!("deck `{}`: {}: {why}", self.deck, self.path.display())
    }

    fn read(self, known: Option<&Dialect>, tell: &mut dyn FnMut(u64)) -> Outcome {
        let dialect = match known {
            Some(dialect) => dialect.clone(),
            None => self.guess()?,
        };
        let currency = Currency::parse(&dialect.currency).ok_or_else(|| {
            vec![self.told(&format!("no currency is called `{}`", dialect.currency))]
        })?;
        // A price without a beginning holds as soon as the deck is used.
        let read = decks::collect(self.path, &dialect, Moment::FIRST, tell);
        let (deck, clashes, report) = read.map_err(|error| vec![self.told(&error)])?;
        let faults = report.faults.iter().take(TOLD_MAX);
        let mut told: Vec<String> = faults.map(|fault| self.told(fault)).collect();
        if report.faults_count > told.len() as u64 {
            let more = report.faults_count - told.len() as u64;
            told.push(self.told(&format!("{more} faults more")));
        }
        let contradictions: Vec<_> = clashes.iter().filter(|clash| !clash.is_same).collect();
        told.extend(contradictions.iter().take(TOLD_MAX).map(|clash| {
            let (one, other) = clash.lines;
            self.told(&format!(
                "lines {one} and {other} say two things about {}; take one of them out",
                clash.code
            ))
        }));
        if contradictions.len() > TOLD_MAX {
            let more = contradictions.len() - TOLD_MAX;
            told.push(self.told(&format!("{more} contradictions more")));
        }
        if told.is_empty() && deck.is_empty() {
            told.push(self.told(&"no prices; a deck without any serves nobody"));
        }
        match told.is_empty() {
            true => Ok((deck, currency)),
            false => Err(told),
        }
    }

    /// The dialect that the titles leave no doubt about.
    fn guess(self) -> Result<Dialect, Vec<String>> {
        let remedy = format!(
            "save how it is meant with `trunkline deck guess {0} --save {0}.toml`, look at that, and name it as `dialect`",
            self.path.display()
        );
        let with_remedy = |why: &dyn std::fmt::Display| self.told(&format!("{why}; {remedy}"));
        let guess = decks::guess(self.path, &Dialect::default());
        let guess = guess.map_err(|error| vec![with_remedy(&error)])?;
        match guess.doubts.is_empty() {
            true => Ok(guess.dialect),
            false => Err(guess
                .doubts
                .iter()
                .map(|doubt| with_remedy(doubt))
                .collect()),
        }
    }
}

/// The dialect that the deck names.
fn known_dialect(stamp: &Stamp) -> Result<Option<Dialect>, Vec<String>> {
    let Some(file) = &stamp.dialect else {
        return Ok(None);
    };
    let of_file = DeckFile {
        deck: &stamp.name,
        path: &file.path,
    };
    let text = fs::read_to_string(&file.path).map_err(|error| vec![of_file.told(&error)])?;
    let faults = |faults: Vec<decks::BadDialect>| -> Vec<String> {
        faults.iter().map(|fault| of_file.told(fault)).collect()
    };
    Dialect::of_text(&text).map(Some).map_err(faults)
}

/// This moment, as prices have it.
#[must_use]
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    Moment::at(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use route::Offers;

    /// What each deck asks for these numbers, by the decks' names.
    fn asked(config: &Config, library: &Library) -> Vec<String> {
        let mut told = Vec::new();
        for number in ["15551", "1666", "49301", "49"] {
            let mut offers = Offers::new();
            library.rates.offers(number.as_bytes(), now(), &mut offers);
            let words = offers.iter().map(|offer| {
                let rate = library.rates.rate(offer.rate);
                let name = &config.decks[usize::from(offer.deck.0)].name;
                format!("{number} {name} {rate:?} {}", offer.digits_count)
            });
            told.extend(words);
        }
        told.sort_unstable();
        told
    }

    #[test]
    fn only_decks_with_other_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let deck = |name: &str, rows: &str| {
            let text = format!("Code,Destination,Rate USD,Steps\n{rows}");
            fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
        };
        let config = |decks: &[&str]| {
            let table =
                |name: &&str| format!("[[deck]]\nname = \"{name}\"\nfile = \"{name}.csv\"\n");
            let path = folder.path().join("trunkline.toml");
            let head =
                "[[listener]]\nname = \"udp\"\ntransport = \"udp\"\naddress = \"127.0.0.1:5060\"\n";
            let text = decks.iter().map(table).collect::<String>();
            fs::write(&path, format!("{head}{text}")).unwrap();
            Config::load(&path).unwrap()
        };
        let load = |config: &Config, previous: Option<&Arc<Library>>| {
            let read = Mutex::new(Vec::new());
            let note = |name: &str, _| {
                let mut read = read.lock();
                if !read.iter().any(|it| it == name) {
                    read.push(name.to_owned());
                }
            };
            let library = Library::load(config, previous, &note).unwrap();
            let mut read = read.into_inner();
            read.sort_unstable();
            (library, read)
        };
        deck("a", "1555,X,0.01,1/1\n49,Y,0.02,1/1\n");
        deck("b", "1,X,0.03,60/60\n4930,Y,0.04,60/1\n");
        deck("c", "1666,Z,0.05,1/1\n");
        let before = config(&["a", "b", "c"]);
        let (library, read) = load(&before, None);
        assert_eq!(read, ["a", "b", "c"]);
        // One changes, one goes, one comes, and the places of all are others.
        deck("b", "1,X,0.07,60/60\n493,Y,0.04,60/1\n");
        deck("d", "1555,X,0.09,1/1\n");
        let after = config(&["d", "b", "a"]);
        let (changed, read) = load(&after, Some(&library));
        assert_eq!(read, ["b", "d"]);
        let (fresh, read) = load(&after, None);
        assert_eq!(read, ["a", "b", "d"]);
        assert_eq!(asked(&after, &changed), asked(&after, &fresh));
        assert_eq!(changed.rows, fresh.rows);
        assert_eq!(changed.rates.rows_count(), fresh.rates.rows_count());
        // Nothing changes: nothing is read, and the table is the same one.
        let (same, read) = load(&after, Some(&changed));
        assert_eq!(read, [""; 0]);
        assert!(Arc::ptr_eq(&same, &changed));
    }

    /// A later file changes what it names and nothing else, and the order of files counts.
    #[test]
    fn updates_change_what_they_name() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, currency: &str, rows: &str| {
            let text = format!("Code,Destination,Rate {currency},From,Steps\n{rows}");
            fs::write(folder.path().join(name), text).unwrap();
        };
        let load_by = |dialect: &str, updates: &str, previous: Option<&Arc<Library>>| {
            let path = folder.path().join("trunkline.toml");
            let text = format!(
                "[[listener]]\nname = \"udp\"\ntransport = \"udp\"\naddress = \"127.0.0.1:5060\"\n\
                 [[deck]]\nname = \"a\"\nfile = \"a.csv\"\nupdates = [{updates}]\n{dialect}"
            );
            fs::write(&path, text).unwrap();
            Library::load(&Config::load(&path).unwrap(), previous, &|_, _| {})
        };
        let dialect = "[columns]\ncode = \"Code\"\nrate = \"Rate USD\"\nfrom = \"From\"\n";
        fs::write(folder.path().join("d.toml"), dialect).unwrap();
        let load = |updates: &str, previous: Option<&Arc<Library>>| {
            load_by("dialect = \"d.toml\"\n", updates, previous)
        };
        // What a minute costs in thousandths, with the digits of the code: in 2030 and in 2040.
        let asked = |library: &Library| {
            let at = |number: &str, seconds: i64| {
                let mut offers = Offers::new();
                library
                    .rates
                    .offers(number.as_bytes(), Moment::at(seconds), &mut offers);
                let offer = offers.iter().next().expect("a price");
                let parts = library.rates.rate(offer.rate).per_minute.parts();
                (parts / (base::Money::UNIT / 1_000), offer.digits_count)
            };
            [1_893_456_000, 2_208_988_800]
                .map(|then| ["15551", "49301", "33"].map(|it| at(it, then)))
        };
        put(
            "a.csv",
            "USD",
            "1555,X,0.01,,1/1\n49,Y,0.02,,1/1\n33,Z,0.05,,1/1\n",
        );
        put(
            "b.csv",
            "USD",
            "4930,Y,0.04,,1/1\n33,Z,0.06,2035-01-01,1/1\n",
        );
        put("c.csv", "USD", "4930,Y,0.03,,1/1\n");
        let alone = load("", None).unwrap();
        let now = [(10, 4), (20, 2), (50, 2)];
        assert_eq!(asked(&alone), [now, now]);
        let one = load("\"b.csv\"", Some(&alone)).unwrap();
        let forty = [(10, 4), (40, 4)];
        assert_eq!(
            asked(&one),
            [50, 60].map(|last| [forty[0], forty[1], (last, 2)])
        );
        let both = load("\"b.csv\", \"c.csv\"", Some(&one)).unwrap();
        assert_eq!(asked(&both)[0][1], (30, 4));
        let turned = load("\"c.csv\", \"b.csv\"", Some(&both)).unwrap();
        assert_eq!(asked(&turned), asked(&one));
        assert_eq!(asked(&load("", Some(&turned)).unwrap()), asked(&alone));

        put("d.csv", "EUR", "4930,Y,0.03,,1/1\n");
        put("e.csv", "USD", "4930,Y,free,,1/1\n");
        let told = load_by("", "\"d.csv\", \"e.csv\", \"f.csv\"", None).unwrap_err();
        assert!(told.iter().any(|it| it.contains("f.csv")), "{told:?}");
        let told = load_by("", "\"d.csv\", \"e.csv\"", None).unwrap_err();
        assert!(
            told.len() == 2 && told[0].contains("d.csv") && told[0].contains("EUR"),
            "{told:?}"
        );
        assert!(told[1].contains("e.csv"), "{told:?}");
    }
}
