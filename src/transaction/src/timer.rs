//! The timers of RFC 3261 §17 by their letters, and how long each runs.

use base::Transport;

use crate::Place;

/// A timer of a transaction: the letters of RFC 3261 (table 4) and RFC 6026, and one that RFC 4320
/// asks for without giving it a letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Timer {
    /// INVITE client: when to repeat the request (unreliable transports).
    A,
    /// INVITE client: how long to wait for any response.
    B,
    /// INVITE client of a proxy: how long it may ring (RFC 3261 §16.6 step 11), and how long to
    /// wait for the final response after a CANCEL (§9.1).
    C,
    /// INVITE client: how long to answer repeated refusals with the ACK.
    D,
    /// Non-INVITE client: when to repeat the request (unreliable transports).
    E,
    /// Non-INVITE client: how long to wait for the final response.
    F,
    /// INVITE server: when to repeat a refusal (unreliable transports).
    G,
    /// INVITE server: how long to wait for the ACK of a refusal.
    H,
    /// INVITE server: how long to absorb repeated ACKs.
    I,
    /// Non-INVITE server: how long to answer repeated requests.
    J,
    /// Non-INVITE client: how long to absorb repeated responses.
    K,
    /// INVITE server: how long to absorb requests that a 2xx answered (RFC 6026 §7.1).
    L,
    /// INVITE client: how long to pass on further 2xx (RFC 6026 §7.2).
    M,
    /// Non-INVITE server: when a 100 is due (RFC 4320 §4.1).
    Trying,
}

/// Which kind of transaction a timer belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// One that answers a request.
    Server,
    /// One that sends a request.
    Client,
}

impl Timer {
    /// All of them, in the order of their numbers.
    pub const ALL: [Timer; 14] = [
        Timer::A,
        Timer::B,
        Timer::C,
        Timer::D,
        Timer::E,
        Timer::F,
        Timer::G,
        Timer::H,
        Timer::I,
        Timer::J,
        Timer::K,
        Timer::L,
        Timer::M,
        Timer::Trying,
    ];

    /// Its number, for a deadline's token: less than 16.
    #[must_use]
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// The timer of that number.
    #[must_use]
    pub fn from_index(index: u8) -> Option<Timer> {
        Timer::ALL.get(usize::from(index)).copied()
    }

    /// Whether it belongs to server or to client transactions.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Timer::G | Timer::H | Timer::I | Timer::J | Timer::L | Timer::Trying => Side::Server,
            Timer::A | Timer::B | Timer::C | Timer::D => Side::Client,
            Timer::E | Timer::F | Timer::K | Timer::M => Side::Client,
        }
    }

    /// Where a slot keeps it.
    #[must_use]
    pub const fn place(self) -> Place {
        match self.repeats() {
            true => Place::Repeat,
            false => Place::Bound,
        }
    }

    /// Whether it repeats a message, and so runs beside the one that ends the state.
    #[must_use]
    pub const fn repeats(self) -> bool {
        matches!(self, Timer::A | Timer::E | Timer::G)
    }
}

/// The base values from which all timers follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Estimate of the round trip: 500 ms.
    pub t1_ms: u32,
    /// The longest interval between repeats of a non-INVITE request or a refusal: 4 s.
    pub t2_ms: u32,
    /// How long the network may keep a message: 5 s.
    pub t4_ms: u32,
    /// Timer C: how long a proxied INVITE may ring without news. More than 3 minutes by RFC 3261
    /// §16.6 step 11; configurable, because wholesale routes want less.
    pub c_ms: u32,
}

impl Default for Timing {
    /// The values of RFC 3261.
    fn default() -> Timing {
        Timing {
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
            c_ms: 181_000,
        }
    }
}

impl Timing {
    /// How long to wait before giving up: Timers B, F, H, L and M, and J where it runs.
    #[must_use]
    pub const fn give_up_ms(&self) -> u32 {
        self.t1_ms.saturating_mul(64)
    }

    /// Timer D where it runs: the peer's T1 is not known, so never under 32 s.
    #[must_use]
    pub const fn d_ms(&self) -> u32 {
        let own = self.give_up_ms();
        if own > D_MIN_MS { own } else { D_MIN_MS }
    }

    /// How far away most deadlines over four seconds are: the end of what was answered, of what was
    /// not, and of what still rings; 0 = no more of them.
    #[must_use]
    pub const fn usual_ms(&self) -> [u32; 4] {
        [self.give_up_ms(), self.t4_ms, self.c_ms, 0]
    }

    /// Timer A after so many repeats: T1, doubled each time, without a cap (Timer B ends it).
    #[must_use]
    pub fn doubled_ms(&self, repeats: u8) -> u32 {
        let factor = 1_u32.checked_shl(u32::from(repeats)).unwrap_or(u32::MAX);
        self.t1_ms.saturating_mul(factor)
    }

    /// Timers E and G after so many repeats: doubled up to T2.
    #[must_use]
    pub fn capped_ms(&self, repeats: u8) -> u32 {
        self.doubled_ms(repeats).min(self.t2_ms)
    }

    /// When a non-INVITE server owes a 100: the time until the peer's Timer E is reset to T2
    /// (RFC 4320 §4.1), 3.5 s with the values of RFC 3261.
    #[must_use]
    pub fn trying_ms(&self) -> u32 {
        let mut interval = self.t1_ms.max(1);
        let mut elapsed = interval;
        // Doubles each round, so at most 31 rounds.
        loop {
            interval = interval.saturating_mul(2);
            if interval >= self.t2_ms {
                return elapsed;
            }
            elapsed = elapsed.saturating_add(interval);
        }
    }
}

/// RFC 3261 §17.1.1.2: Timer D is "at least 32 seconds" on unreliable transports.
const D_MIN_MS: u32 = 32_000;

/// What a machine must know of its transport: whether SIP has to repeat what gets lost, and so
/// whether the timers that absorb repeats run at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Delivery {
    /// Repeats happen: Timers A, E, G run, and D, I, J, K hold the slot for stragglers.
    Unreliable,
    /// None do: A, E, G never run, and D, I, J, K are zero.
    Reliable,
}

impl Delivery {
    pub(crate) const fn of(transport: Transport) -> Delivery {
        if transport.is_reliable() {
            Delivery::Reliable
        } else {
            Delivery::Unreliable
        }
    }
}
