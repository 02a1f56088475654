//! The parameters of overload control in a Via (RFC 7339 §4).
//!
//! ```text
//!   Via: SIP/2.0/UDP a.example;branch=z9hG4bK1;oc;oc-algo="loss,rate"                 we may be told
//!   Via: SIP/2.0/UDP a.example;branch=z9hG4bK1;oc=20;oc-algo="loss";oc-validity=500;oc-seq=17.5
//! ```

use std::ops::Range;

/// How requests are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// By a share of all requests, in per cent (RFC 7339 §7).
    Loss,
    /// Down to so many a second (RFC 7415).
    Rate,
}

impl Algorithm {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Loss => "loss",
            Algorithm::Rate => "rate",
        }
    }
}

/// A sequence number: seconds and a fraction of five digits, as one number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seq(pub u64);

/// Digits behind the dot.
const FRACTION: u64 = 100_000;

impl Seq {
    /// The number for a moment, in microseconds since 1970: it grows with time.
    #[must_use]
    pub const fn at_micros(micros: u64) -> Seq {
        Seq(micros / 10)
    }

    fn parse(text: &[u8]) -> Option<Seq> {
        let dot = text.iter().position(|&octet| octet == b'.')?;
        let (whole, fraction) = (&text[..dot], &text[dot + 1..]);
        if !(1..=12).contains(&whole.len()) || !(1..=5).contains(&fraction.len()) {
            return None;
        }
        let scale = 10_u64.pow(5 - fraction.len() as u32);
        Some(Seq(number(whole)? * FRACTION + number(fraction)? * scale))
    }
}

/// What a Via says of overload control.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params {
    /// `oc` is there, with or without a value.
    pub is_there: bool,
    /// The value of `oc`.
    pub oc: Option<u32>,
    /// `oc-validity`, in milliseconds.
    pub validity_ms: Option<u32>,
    /// `oc-seq`.
    pub seq: Option<Seq>,
    /// `oc-algo` lists `loss`.
    pub has_loss: bool,
    /// `oc-algo` lists `rate`.
    pub has_rate: bool,
}

/// The most parameters of a Via that are looked at.
const PARAMS_MAX: usize = 64;

impl Params {
    /// Reads a Via value. `None`: it says nothing of overload control.
    #[must_use]
    pub fn read(via: &[u8]) -> Option<Params> {
        let mut read = Params::default();
        for param in params(via) {
            let value = param.value.unwrap_or(&[]);
            if param.name.eq_ignore_ascii_case(b"oc") {
                read.is_there = true;
                read.oc = number32(value);
            } else if param.name.eq_ignore_ascii_case(b"oc-validity") {
                read.validity_ms = number32(value);
            } else if param.name.eq_ignore_ascii_case(b"oc-seq") {
                read.seq = Seq::parse(value);
            } else if param.name.eq_ignore_ascii_case(b"oc-algo") {
                let list = unquoted(value);
                read.has_loss = lists(list, b"loss");
                read.has_rate = lists(list, b"rate");
            } else {
                continue;
            }
        }
        (read != Params::default()).then_some(read)
    }

    /// Where overload control stands in a Via value, each parameter with its `;`.
    pub fn spans(via: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let start = first_param(via);
        params(via)
            .filter(|param| is_ours(param.name))
            .map(move |param| start + param.range.start..start + param.range.end)
    }

    /// The algorithm of a client that may be answered: the one that is preferred here, if the client
    /// has it, and loss else, which every client has (RFC 7339 §4.2).
    #[must_use]
    pub fn choose(&self, preferred: Algorithm) -> Algorithm {
        match preferred {
            Algorithm::Rate if self.has_rate => Algorithm::Rate,
            Algorithm::Rate | Algorithm::Loss => Algorithm::Loss,
        }
    }
}

/// What a client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advice {
    /// The algorithm that its `oc` belongs to.
    pub algorithm: Algorithm,
    /// Per cent to cut, or requests a second. `None`: no control is in force.
    pub oc: Option<u32>,
    /// How long that holds.
    pub validity_ms: u32,
    /// Grows with each new value.
    pub seq: Seq,
}

impl Advice {
    /// The longest text of an advice.
    pub const BYTES_MAX: usize = 96;

    /// Writes the parameters, each with its `;`, and returns the length.
    pub fn write(&self, out: &mut [u8; Advice::BYTES_MAX]) -> usize {
        let mut text = Text { out, len: 0 };
        text.put(b";oc=");
        text.number(u64::from(self.oc.unwrap_or(0)), 1);
        text.put(b";oc-algo=\"");
        text.put(self.algorithm.name().as_bytes());
        text.put(b"\";oc-validity=");
        text.number(u64::from(self.oc.map_or(0, |_| self.validity_ms)), 1);
        text.put(b";oc-seq=");
        text.number(self.seq.0 / FRACTION % 1_000_000_000_000, 1);
        text.put(b".");
        text.number(self.seq.0 % FRACTION, 5);
        text.len
    }
}

struct Text<'a> {
    out: &'a mut [u8; Advice::BYTES_MAX],
    len: usize,
}

impl Text<'_> {
    /// 96 octets hold the fixed text (44), two numbers of 10 digits, one of 12 and one of 5.
    fn put(&mut self, text: &[u8]) {
        self.out[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn number(&mut self, number: u64, digits_min: usize) {
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        let mut rest = number;
        while rest > 0 || digits.len() - start < digits_min {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.put(&digits[start..]);
    }
}

/// Whether a parameter belongs to overload control.
fn is_ours(name: &[u8]) -> bool {
    let head = name
        .get(..2)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"oc"));
    head && [&b""[..], b"-algo", b"-validity", b"-seq"]
        .iter()
        .any(|rest| name[2..].eq_ignore_ascii_case(rest))
}

fn params(via: &[u8]) -> impl Iterator<Item = sip::Param<'_>> {
    sip::params(&via[first_param(via)..]).take(PARAMS_MAX)
}

fn first_param(via: &[u8]) -> usize {
    let semicolon = via.iter().position(|&octet| octet == b';');
    semicolon.unwrap_or(via.len())
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"");
    let inner = inner.and_then(|inner| inner.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

fn lists(list: &[u8], name: &[u8]) -> bool {
    list.split(|&octet| octet == b',')
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(name))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let fold = |number: u64, digit: &u8| number * 10 + u64::from(digit - b'0');
    Some(digits.iter().fold(0, fold))
}

/// A number that is too large for any use is the largest.
fn number32(digits: &[u8]) -> Option<u32> {
    number(digits).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_cover_what_is_ours_and_nothing_else() {
        let via = b"SIP/2.0/UDP [::1]:5060 ;ocx=1;OC=20;branch=z9;oc-algo=\"loss;x\" ; oc-seq=1.2";
        let spans: Vec<_> = Params::spans(via)
            .map(|span| String::from_utf8_lossy(&via[span]).into_owned())
            .collect();
        assert_eq!(spans, [";OC=20", ";oc-algo=\"loss;x\"", "; oc-seq=1.2"]);
        assert_eq!(Params::read(b"SIP/2.0/UDP a;branch=b;ocx"), None);
    }

    #[test]
    fn numbers_out_of_form_are_not_read() {
        let read = |seq: &str| {
            let via = format!("SIP/2.0/UDP a;oc-seq={seq};oc=1");
            Params::read(via.as_bytes()).unwrap().seq
        };
        assert_eq!(read("1282321615.782"), Some(Seq(128_232_161_578_200)));
        assert!(read("1282321615.782") < read("1282321615.79"));
        for bad in [
            "1",
            "1.",
            ".5",
            "1.123456",
            "1234567890123.1",
            "1.2.3",
            "a.1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_client_gets_what_it_has() {
        let read = |algo: &str| {
            let via = format!("SIP/2.0/UDP a;oc;oc-algo=\"{algo}\"");
            Params::read(via.as_bytes()).unwrap()
        };
        assert_eq!(read("loss, Rate").choose(Algorithm::Rate), Algorithm::Rate);
        assert_eq!(read("loss,rates").choose(Algorithm::Rate), Algorithm::Loss);
        assert_eq!(read("loss,rate").choose(Algorithm::Loss), Algorithm::Loss);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            oc in proptest::option::of(0_u32..),
            validity_ms in 1_u32..,
            micros in 0_u64..9_000_000_000_000_000_000,
            rate: bool,
        ) {
            let algorithm = if rate { Algorithm::Rate } else { Algorithm::Loss };
            let advice = Advice { algorithm, oc, validity_ms, seq: Seq::at_micros(micros) };
            let mut out = [0; Advice::BYTES_MAX];
            let len = advice.write(&mut out);
            let via = [b"SIP/2.0/UDP a", &out[..len]].concat();
            let read = Params::read(&via).unwrap();
            prop_assert_eq!(read.oc, Some(oc.unwrap_or(0)));
            prop_assert_eq!(read.validity_ms, Some(oc.map_or(0, |_| validity_ms)));
            prop_assert_eq!((read.has_loss, read.has_rate), (!rate, rate));
            let whole = micros / 10 % (FRACTION * 1_000_000_000_000);
            prop_assert_eq!(read.seq, Some(Seq(whole)));
            let ours: usize = Params::spans(&via).map(|span| span.len()).sum();
            prop_assert_eq!(ours, len);
        }

        #[test]
        fn no_octets_make_it_fail(via in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Params::read(&via);
            for span in Params::spans(&via) {
                prop_assert!(span.end <= via.len());
            }
        }
    }
}
