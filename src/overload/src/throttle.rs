//! The client's side of RFC 7339: what one server has asked for, and what may be sent to it.
//!
//! One value for each gateway address (§5.4: an IP address and a port), on each shard: a server sees
//! all our shards as one client, and asks each of them for the same.

use base::Time;

use crate::{Bucket, Cuts, Mix, Params, Seq};

/// What a request is to the server's load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A new request: the first to be cut.
    New,
    /// A new request with priority (§5.10.1).
    Urgent,
    /// It belongs to a dialog: it counts, and is always sent.
    InDialog,
}

/// What is in force.
#[derive(Clone, Copy, Debug)]
enum Control {
    None,
    /// Per cent.
    Loss(u32),
    Rate(u32, Bucket),
}

/// The state of one server.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    control: Control,
    expires: Time,
    seq: Option<Seq>,
    /// How often in a row the number was lower than the one that is kept.
    lower: u8,
    mix: Mix,
}

/// Without `oc-validity` feedback holds so long (§4.3).
const VALIDITY_MS: u32 = 500;
/// No feedback holds longer, whatever the server says.
const VALIDITY_MS_MAX: u32 = 600_000;
/// After so many lower numbers in a row the server has begun again (§4.4).
const LOWER_MAX: u8 = 8;

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle::new()
    }
}

impl Throttle {
    /// A server that has said nothing yet.
    #[must_use]
    pub fn new() -> Throttle {
        Throttle {
            control: Control::None,
            expires: Time::ZERO,
            seq: None,
            lower: 0,
            mix: Mix::default(),
        }
    }

    /// Takes in what the server says in our own Via (§5.4). Returns whether anything changed.
    pub fn hear(&mut self, now: Time, params: &Params) -> bool {
        let validity_ms = params.validity_ms.unwrap_or(VALIDITY_MS);
        if params.oc.is_none() && validity_ms != 0 {
            return false;
        }
        if !self.is_newer(params.seq) {
            return false;
        }
        if validity_ms == 0 {
            self.control = Control::None;
            return true;
        }
        let oc = params.oc.unwrap_or(0);
        self.expires = now.plus_millis(u64::from(validity_ms.min(VALIDITY_MS_MAX)));
        self.control = match self.control {
            Control::Rate(_, mut bucket) if params.has_rate => {
                bucket.set_rate(oc);
                Control::Rate(oc, bucket)
            }
            _ if params.has_rate => Control::Rate(oc, Bucket::with_priority(oc, now)),
            _ => Control::Loss(oc.min(100)),
        };
        true
    }

    /// §5.4: the same number again changes nothing and lower ones are late, but for a server that
    /// has begun again.
    fn is_newer(&mut self, seq: Option<Seq>) -> bool {
        let (Some(new), Some(old)) = (seq, self.seq) else {
            self.seq = seq.or(self.seq);
            return true;
        };
        if new == old {
            return false;
        }
        if new < old {
            self.lower += 1;
            if self.lower < LOWER_MAX {
                return false;
            }
        }
        self.lower = 0;
        self.seq = Some(new);
        true
    }

    /// Whether a request may be sent to the server now; it is counted either way. `dice`: any
    /// number, all equally likely.
    pub fn admit(&mut self, now: Time, kind: Kind, dice: u32) -> bool {
        let is_protected = kind != Kind::New;
        self.mix.count(now, is_protected);
        if now >= self.expires {
            self.control = Control::None;
        }
        match &mut self.control {
            Control::None => true,
            Control::Loss(oc) => {
                let cuts = Cuts::of(*oc, self.mix.plain_percent());
                kind == Kind::InDialog || !cuts.drops(is_protected, dice)
            }
            Control::Rate(_, bucket) => {
                bucket.admit(now, is_protected, Some(dice)) || kind == Kind::InDialog
            }
        }
    }

    /// What is in force: the share that is cut, in per cent, or the rate, a second.
    #[must_use]
    pub fn in_force(&self, now: Time) -> Option<(crate::Algorithm, u32)> {
        match self.control {
            _ if now >= self.expires => None,
            Control::None => None,
            Control::Loss(oc) => Some((crate::Algorithm::Loss, oc)),
            Control::Rate(rate, _) => Some((crate::Algorithm::Rate, rate)),
        }
    }
}
