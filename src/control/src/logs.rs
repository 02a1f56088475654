//! The log: for an operator who can act on it, as text or as JSON, and never a flood.
//!
//! Each kind of message (one place in the source) has a bucket of tokens. A kind that comes faster
//! than its bucket fills is held back and counted, and the count is logged once a second, so that a
//! storm costs one line a second and hides no other message.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{LogFormat, LogLevel};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, callsite};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Where the log goes.
#[derive(Debug)]
pub enum LogTarget {
    /// The standard error, in colour if that is a terminal.
    StandardError,
    /// The end of a file.
    File(File),
}

/// Starts the log of this process. Once only.
///
/// # Errors
/// If there is a log already.
pub fn start_logs(log: config::Log, target: LogTarget) -> Result<RateLimit, TryInitError> {
    let limit = RateLimit::new(Rate::default());
    let color = matches!(target, LogTarget::StandardError) && std::io::stderr().is_terminal();
    let writer = match target {
        LogTarget::StandardError => BoxMakeWriter::new(std::io::stderr),
        LogTarget::File(file) => BoxMakeWriter::new(Arc::new(file)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(color);
    let lines = match log.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::registry()
        .with(level)
        .with(lines.with_filter(limit.clone()))
        .try_init()?;
    Ok(limit)
}

/// How fast one kind of message may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// One more after each of these.
    pub every: Duration,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate {
            burst: 20,
            every: Duration::from_millis(500),
        }
    }
}

/// The buckets of all kinds of messages. A clone is the same.
#[derive(Clone, Debug)]
pub struct RateLimit {
    rate: Rate,
    kinds: Arc<Mutex<HashMap<callsite::Identifier, Kind>>>,
}

#[derive(Debug)]
struct Kind {
    tokens: u32,
    filled: Instant,
    suppressed: u64,
    /// The text of the last one held back.
    sample: String,
}

impl RateLimit {
    /// Full buckets for every kind.
    #[must_use]
    pub fn new(rate: Rate) -> RateLimit {
        RateLimit {
            rate,
            kinds: Arc::default(),
        }
    }

    /// Logs, for each kind that was held back since the last time, how often. Call it each second.
    pub fn report(&self) {
        for (sample, count) in self.take_suppressed() {
            tracing::warn!(count, "held back, like: {sample}");
        }
    }

    /// For each kind that was held back since the last time: an example and how many.
    #[must_use]
    pub fn take_suppressed(&self) -> Vec<(String, u64)> {
        let mut taken: Vec<_> = (self.kinds.lock().values_mut())
            .filter(|kind| kind.suppressed > 0)
            .map(|kind| {
                let count = std::mem::take(&mut kind.suppressed);
                (std::mem::take(&mut kind.sample), count)
            })
            .collect();
        taken.sort_unstable();
        taken
    }

    /// Whether a message of this kind may be written now; one that may not is counted.
    fn admit(
        &self,
        kind: callsite::Identifier,
        now: Instant,
        text: impl FnOnce() -> String,
    ) -> bool {
        let mut kinds = self.kinds.lock();
        let kind = kinds.entry(kind).or_insert_with(|| Kind {
            tokens: self.rate.burst,
            filled: now,
            suppressed: 0,
            sample: String::new(),
        });
        let every = self.rate.every.max(Duration::from_nanos(1));
        let fresh = now.duration_since(kind.filled).as_nanos() / every.as_nanos();
        if fresh > 0 {
            let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
            kind.tokens = kind.tokens.saturating_add(fresh).min(self.rate.burst);
            kind.filled = if kind.tokens == self.rate.burst {
                now
            } else {
                kind.filled + every * fresh
            };
        }
        if kind.tokens > 0 {
            kind.tokens -= 1;
            return true;
        }
        kind.suppressed += 1;
        if kind.sample.is_empty() {
            kind.sample = text();
        }
        false
    }
}

impl<S> Filter<S> for RateLimit {
    fn enabled(&self, _meta: &Metadata<'_>, _cx: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _cx: &Context<'_, S>) -> bool {
        let kind = event.metadata().callsite();
        self.admit(kind, Instant::now(), || {
            let mut text = Text(String::new());
            event.record(&mut text);
            text.0
        })
    }
}

/// Collects the message of an event, without its fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Text from outside made fit for one line of a log: control characters and what could act on a
/// terminal are escaped.
#[derive(Clone, Copy, Debug)]
pub struct Plain<T>(pub T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Escape<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for c in text.chars() {
                    let acts = c.is_control()
                        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                    if acts {
                        write!(self.0, "{}", c.escape_unicode())?;
                    } else {
                        self.0.write_char(c)?;
                    }
                }
                Ok(())
            }
        }
        use fmt::Write;
        write!(Escape(f), "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::registry;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _cx: Context<'_, S>) {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().push(text.0);
        }
    }

    #[test]
    fn c4_a_flood_of_one_kind_is_held_back_and_counted_and_hides_no_other() {
        let rate = Rate {
            burst: 3,
            every: Duration::from_secs(3_600),
        };
        let (limit, lines) = (RateLimit::new(rate), Lines::default());
        let subscriber = registry().with(lines.clone().with_filter(limit.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for i in 0..10 {
                tracing::warn!(i, "storm {i}");
            }
            tracing::warn!("calm");
        });
        assert_eq!(*lines.0.lock(), ["storm 0", "storm 1", "storm 2", "calm"]);
        assert_eq!(limit.take_suppressed(), [("storm 3".to_owned(), 7)]);
        assert_eq!(limit.take_suppressed(), []);
    }

    #[test]
    fn a_bucket_fills_again_with_time_and_not_above_its_burst() {
        let rate = Rate {
            burst: 2,
            every: Duration::from_secs(1),
        };
        let limit = RateLimit::new(rate);
        let start = Instant::now();
        let kind = callsite_of_this_test();
        let admit = |ms| limit.admit(kind.clone(), start + Duration::from_millis(ms), String::new);
        assert_eq!([admit(0), admit(0), admit(0)], [true, true, false]);
        assert_eq!(
            [admit(999), admit(1_000), admit(1_001)],
            [false, true, false]
        );
        assert_eq!([admit(1_999), admit(2_000)], [false, true]);
        assert_eq!(
            [admit(99_000), admit(99_000), admit(99_000)],
            [true, true, false]
        );
    }

    fn callsite_of_this_test() -> callsite::Identifier {
        #[derive(Clone, Default)]
        struct Seen(Arc<Mutex<Option<callsite::Identifier>>>);
        impl<S: tracing::Subscriber> Layer<S> for Seen {
            fn on_event(&self, event: &Event<'_>, _cx: Context<'_, S>) {
                *self.0.lock() = Some(event.metadata().callsite());
            }
        }
        let seen = Seen::default();
        tracing::subscriber::with_default(registry().with(seen.clone()), || {
            tracing::info!("here");
        });
        let kind = seen.0.lock().take();
        kind.expect("the event was seen")
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        let text = Plain("a\r\nERROR forged \u{1b}[2J\u{202e}z").to_string();
        assert_eq!(text, r"a\u{d}\u{a}ERROR forged \u{1b}[2J\u{202e}z");
    }
}
