//! Latencies as the report shows them: percentiles, and the whole histogram to go on with.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Latencies of one kind, in microseconds, exact to three digits.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured. All else is 0 if none was.
    pub count: u64,
    /// The shortest.
    pub min_us: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half are not longer.
    pub p50_us: u64,
    /// 90 of 100 are not longer.
    pub p90_us: u64,
    /// 95 of 100 are not longer.
    pub p95_us: u64,
    /// 99 of 100 are not longer.
    pub p99_us: u64,
    /// 999 of 1,000 are not longer.
    pub p999_us: u64,
    /// 9,999 of 10,000 are not longer.
    pub p9999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// The histogram in HdrHistogram's own form (V2, deflated, base64), as its tools read it.
    pub hdr: String,
}

impl Latency {
    /// What a histogram of microseconds shows.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        if histogram.is_empty() {
            return Latency::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .expect("a vector takes all that is written to it");
        Latency {
            count: histogram.len(),
            min_us: histogram.min(),
            mean_us: histogram.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: histogram.max(),
            hdr: STANDARD.encode(bytes),
        }
    }

    /// The histogram that this was made of, to add it to others or to ask for other percentiles.
    ///
    /// # Errors
    /// `InvalidData` if `hdr` is not what [`Latency::of`] wrote.
    pub fn histogram(&self) -> io::Result<Histogram<u64>> {
        if self.hdr.is_empty() {
            return Ok(histogram());
        }
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let bytes = STANDARD
            .decode(&self.hdr)
            .map_err(|error| invalid(error.to_string()))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| invalid(format!("{error:?}")))
    }
}

/// The longest latency that is told apart.
pub const LONGEST_US: u64 = 600_000_000;

/// An empty histogram of microseconds: three digits, up to ten minutes, all room taken at once.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("these bounds are sound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_the_histogram_behind_them() {
        assert_eq!(Latency::of(&histogram()), Latency::default());
        assert!(Latency::default().histogram().unwrap().is_empty());
        let mut all = histogram();
        for us in 1..=10_000 {
            all.saturating_record(us);
        }
        let latency = Latency::of(&all);
        let near = |got: u64, want: u64| got >= want && got <= want + want / 500;
        assert_eq!((latency.count, latency.min_us), (10_000, 1));
        assert!(
            near(latency.p50_us, 5_000) && near(latency.p99_us, 9_900),
            "{latency:?}"
        );
        assert!(near(latency.p9999_us, 9_999) && near(latency.max_us, 10_000));
        assert_eq!(latency.histogram().unwrap(), all);
        let spoilt = Latency {
            hdr: "HISTFAAA".to_owned(),
            ..latency
        };
        assert!(spoilt.histogram().is_err());
    }
}
