//! Which gateways are alive, by probes and by the fate of calls.
//!
//! ```text
//!            N silent attempts or probes in a row
//!   Up ────────────────────────────────────────────────▶ Down (hold-down: at least until …)
//!   ▲                                                     │      ▲
//!   │ slow return over                  hold-down over    │      │ one silent attempt or probe:
//!   │                                   and M probes ok   ▼      │ hold-down doubles
//!   └─────────────────────────────────────────────────  Returning (a tenth of its calls … all)
//! ```
//!
//! Attempts wait side by side. So *in a row* means that the gateway answered none of those that were
//! under way while the silent one waited.
//!
//! A gateway that is not probed returns when its hold-down is over. Any response counts as life,
//! a refusal too: a 503 is an answer to one call, not the end of a gateway (RFC 7339 argues
//! against the on and off of the classic reading). Maintenance is the operator's word and stands
//! above all; it is read from the gateway and not kept here.

use std::fmt;

use base::{GatewayId, Time};

use crate::order::mix;
use crate::{Gateway, SkipReason, Snapshot, Verdict};

/// How often a hold-down doubles for a gateway that keeps falling while it returns.
const DOUBLINGS_MAX: u8 = 4;
/// The share of its calls that a gateway gets at the beginning of its return.
const ADMIT_FIRST_PER_MILLE: u64 = 100;

/// How long a round trip is believed, at least.
const TRIP_MS: u64 = 60_000;

/// What happened to a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthEvent {
    /// It answered a probe, with any status.
    ProbeOk,
    /// It did not answer a probe in time.
    ProbeFailed,
    /// It answered an attempt: the first response of any kind, a refusal too.
    AttemptOk,
    /// It stayed silent until the no-response timer or Timer B.
    AttemptTimedOut,
    /// It could not be reached: ICMP unreachable, connection refused. Counts as silence, because
    /// one forged ICMP must not take a gateway down.
    TransportError,
}

/// How a gateway is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatewayState {
    /// It takes calls.
    Up,
    /// It takes a share of its calls, which grows.
    Returning {
        /// The share now.
        admit_per_mille: u16,
    },
    /// It takes none.
    Down {
        /// The end of its hold-down; it may stay down longer for want of good probes.
        until: Time,
    },
    /// The operator took it out.
    Maintenance,
}

impl GatewayState {
    /// One word, for people, records and metrics.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            GatewayState::Up => "up",
            GatewayState::Returning { .. } => "returning",
            GatewayState::Down { .. } => "down",
            GatewayState::Maintenance => "maintenance",
        }
    }

    /// A number for metrics: 0 down, 1 returning, 2 up, 3 maintenance.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            GatewayState::Down { .. } => 0,
            GatewayState::Returning { .. } => 1,
            GatewayState::Up => 2,
            GatewayState::Maintenance => 3,
        }
    }
}

impl fmt::Display for GatewayState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A gateway went from one state to another: for the operator, and for the other shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which.
    pub gateway: GatewayId,
    /// As it was.
    pub from: GatewayState,
    /// As it is.
    pub to: GatewayState,
}

/// The health of all gateways, as one shard sees it. Each shard owns a copy; what one finds out
/// it tells the others, who [`Health::adopt`] it.
///
/// Allocates in [`Health::new`] only. A gateway beyond its capacity counts as up and stays so;
/// [`crate::build`] refuses a snapshot that has one.
#[derive(Clone, Debug)]
pub struct Health {
    slots: Box<[Slot]>,
    /// By slot, whether it is up: a call looks at all gateways of its route, and nearly always at no
    /// more than this.
    is_up: Box<[bool]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    phase: Phase,
    /// When it answered an attempt last.
    heard: Time,
    /// Silent attempts in a row.
    silent: u16,
    probes_failed: u16,
    probes_ok: u16,
    /// How often it fell since it was last wholly up.
    falls: u8,
    /// Nobody probes it: it returns by itself when its hold-down is over.
    returns_alone: bool,
    slow_return_ms: u32,
    /// What the last [`Change`] said, so that the passing of time is reported once.
    told: Told,
    trip: Trip,
}

/// How long a gateway takes to answer, smoothed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Trip {
    /// 0: nothing is known.
    smooth_us: u32,
    /// After this moment nothing is known any more.
    until: Time,
}

impl Trip {
    const UNKNOWN: Trip = Trip {
        smooth_us: 0,
        until: Time::ZERO,
    };

    /// Takes in another one; it counts for an eighth, as in RFC 6298 §2.
    fn take(&mut self, us: u64, now: Time, holds_ms: u64) {
        let us = u32::try_from(us).unwrap_or(u32::MAX).max(1);
        self.smooth_us = match self.get(now) {
            Some(smooth) => ((u64::from(smooth) * 7 + u64::from(us)) / 8).max(1) as u32,
            None => us,
        };
        self.until = now.plus_millis(holds_ms);
    }

    fn get(&self, now: Time) -> Option<u32> {
        (self.smooth_us > 0 && now < self.until).then_some(self.smooth_us)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Up,
    Down { until: Time },
    Returning { since: Time },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Up,
    Down { until: Time },
    Returning,
}

impl Slot {
    const FRESH: Slot = Slot {
        phase: Phase::Up,
        heard: Time::ZERO,
        silent: 0,
        probes_failed: 0,
        probes_ok: 0,
        falls: 0,
        returns_alone: true,
        slow_return_ms: 0,
        told: Told::Up,
        trip: Trip::UNKNOWN,
    };

    /// The phase at this time, which time alone may have changed.
    fn phase(&self, now: Time) -> Phase {
        let phase = match self.phase {
            Phase::Down { until } if self.returns_alone && now >= until => {
                Phase::Returning { since: until }
            }
            phase => phase,
        };
        match phase {
            Phase::Returning { since }
                if now.micros_since(since) >= u64::from(self.slow_return_ms) * 1_000 =>
            {
                Phase::Up
            }
            phase => phase,
        }
    }

    fn state(&self, now: Time) -> GatewayState {
        match self.phase(now) {
            Phase::Up => GatewayState::Up,
            Phase::Down { until } => GatewayState::Down { until },
            Phase::Returning { since } => {
                let ramp = u64::from(self.slow_return_ms) * 1_000;
                let risen = (1_000 - ADMIT_FIRST_PER_MILLE) * now.micros_since(since) / ramp.max(1);
                GatewayState::Returning {
                    admit_per_mille: (ADMIT_FIRST_PER_MILLE + risen).min(1_000) as u16,
                }
            }
        }
    }

    /// Makes what time did to the phase a fact.
    fn settle(&mut self, now: Time) {
        let phase = self.phase(now);
        if phase == Phase::Up && self.phase != Phase::Up {
            (self.falls, self.silent, self.probes_failed) = (0, 0, 0);
        }
        self.phase = phase;
    }

    fn fall(&mut self, gateway: &Gateway, now: Time) {
        let doublings = match self.phase {
            Phase::Returning { .. } => (self.falls + 1).min(DOUBLINGS_MAX),
            Phase::Up | Phase::Down { .. } => 0,
        };
        let hold_ms = u64::from(gateway.health.hold_down_ms) << doublings;
        self.falls = doublings;
        self.phase = Phase::Down {
            until: now.plus_millis(hold_ms),
        };
        (self.silent, self.probes_failed, self.probes_ok) = (0, 0, 0);
        self.adjust(gateway);
    }

    /// Whether it answered anything while a silent attempt waited for it: then it lives, and what was
    /// lost was one message. Above all in our own buffer: a router that is overrun would else take
    /// all its gateways for dead.
    fn was_heard_meanwhile(&self, gateway: &Gateway, now: Time) -> bool {
        self.heard != Time::ZERO
            && now.micros_since(self.heard) < u64::from(gateway.no_response_ms) * 1_000
    }

    fn adjust(&mut self, gateway: &Gateway) {
        self.returns_alone = gateway.probe.is_none();
        self.slow_return_ms = gateway.health.slow_return_ms;
    }

    #[rustfmt::skip] // a table: one row for each arrow of the figure
    fn step(&mut self, gateway: &Gateway, event: HealthEvent, now: Time) {
        use HealthEvent::{
            AttemptOk, AttemptTimedOut, ProbeFailed, ProbeOk, TransportError,
        };
        let passive = gateway.health.down_after;
        let probe = gateway.probe.unwrap_or_default();
        if event == AttemptOk { self.heard = now; }
        match (self.phase, event) {
            (_, AttemptTimedOut) if self.was_heard_meanwhile(gateway, now) => {}
            (Phase::Up, AttemptTimedOut | TransportError) => {
                self.silent = self.silent.saturating_add(1);
                if passive > 0 && self.silent >= passive { self.fall(gateway, now); }
            }
            (Phase::Up, ProbeFailed) => {
                self.probes_ok = 0;
                self.probes_failed = self.probes_failed.saturating_add(1);
                if self.probes_failed >= probe.down_after { self.fall(gateway, now); }
            }
            (Phase::Up | Phase::Returning { .. }, AttemptOk) => self.silent = 0,
            (Phase::Up | Phase::Returning { .. }, ProbeOk) => self.probes_failed = 0,
            // Passive checks that are switched off stay off while it returns.
            (Phase::Returning { .. }, AttemptTimedOut | TransportError) if passive == 0 => {}
            (Phase::Returning { .. }, AttemptTimedOut | TransportError | ProbeFailed) => self.fall(gateway, now),
            (Phase::Down { until }, ProbeOk) => {
                self.probes_ok = self.probes_ok.saturating_add(1);
                if self.probes_ok >= probe.up_after && now >= until {
                    self.phase = Phase::Returning { since: now };
                    self.settle(now);
                }
            }
            (Phase::Down { .. }, ProbeFailed) => self.probes_ok = 0,
            // What was under way when it fell says nothing new.
            (Phase::Down { .. }, AttemptOk | AttemptTimedOut | TransportError) => {}
        }
    }

    /// Believes what another shard found out.
    fn adopt(&mut self, gateway: &Gateway, state: GatewayState, now: Time) {
        self.adjust(gateway);
        self.settle(now);
        match state {
            GatewayState::Up => {
                *self = Slot {
                    told: self.told,
                    trip: self.trip,
                    ..Slot::FRESH
                }
            }
            GatewayState::Down { until } => {
                if let Phase::Returning { .. } = self.phase {
                    self.falls = (self.falls + 1).min(DOUBLINGS_MAX);
                }
                (self.silent, self.probes_failed, self.probes_ok) = (0, 0, 0);
                self.phase = Phase::Down { until };
            }
            GatewayState::Returning { .. } => match self.phase {
                // A return that is under way here keeps its own beginning.
                Phase::Returning { .. } => {}
                Phase::Up | Phase::Down { .. } => self.phase = Phase::Returning { since: now },
            },
            // Maintenance comes with the snapshot, never by letter.
            GatewayState::Maintenance => {}
        }
        self.settle(now);
        // The shard that found out has told the operator.
        self.told = match self.phase {
            Phase::Up => Told::Up,
            Phase::Down { until } => Told::Down { until },
            Phase::Returning { .. } => Told::Returning,
        };
    }

    /// What the operator has not been told yet.
    fn tell(&mut self, gateway: GatewayId, now: Time) -> Option<Change> {
        let from = match self.told {
            Told::Up => GatewayState::Up,
            Told::Down { until } => GatewayState::Down { until },
            Told::Returning => GatewayState::Returning {
                admit_per_mille: ADMIT_FIRST_PER_MILLE as u16,
            },
        };
        let told = match self.phase {
            Phase::Up => Told::Up,
            Phase::Down { until } => Told::Down { until },
            Phase::Returning { .. } => Told::Returning,
        };
        if told == self.told {
            return None;
        }
        self.told = told;
        Some(Change {
            gateway,
            from,
            to: self.state(now),
        })
    }
}

impl Health {
    /// All gateways up, with room for ids below `capacity` ([`crate::Spec::gateways_max`]).
    #[must_use]
    pub fn new(capacity: usize) -> Health {
        Health {
            slots: vec![Slot::FRESH; capacity].into(),
            is_up: vec![true; capacity].into(),
        }
    }

    /// Takes in what happened; says if the gateway is in another state since the last change.
    ///
    /// The change is for the other shards too: they [`Health::adopt`] its `to`.
    pub fn apply(&mut self, gateway: &Gateway, event: HealthEvent, now: Time) -> Option<Change> {
        self.change(gateway.id, |slot| {
            slot.adjust(gateway);
            slot.settle(now);
            slot.step(gateway, event, now);
            slot.tell(gateway.id, now)
        })?
    }

    /// Changes a slot, if there is one.
    #[inline]
    fn change<T>(&mut self, gateway: GatewayId, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let at = gateway.0 as usize;
        let slot = self.slots.get_mut(at)?;
        let result = change(slot);
        self.is_up[at] = matches!(slot.phase, Phase::Up);
        Some(result)
    }

    /// Says if time alone brought the gateway into another state. Every shard sees this by itself:
    /// it need not be told to the others.
    pub fn tick(&mut self, gateway: &Gateway, now: Time) -> Option<Change> {
        self.change(gateway.id, |slot| {
            slot.settle(now);
            slot.tell(gateway.id, now)
        })?
    }

    /// Believes what another shard found out.
    pub fn adopt(&mut self, gateway: &Gateway, state: GatewayState, now: Time) {
        self.change(gateway.id, |slot| slot.adopt(gateway, state, now));
    }

    /// Takes in how long a gateway took from a request to its first answer. That is forgotten after
    /// a minute, or three probes if they are further apart: who is not asked may have become better.
    pub fn note_round_trip(&mut self, gateway: &Gateway, us: u64, now: Time) {
        if let Some(slot) = self.slots.get_mut(gateway.id.0 as usize) {
            let probes_ms = gateway.probe.map_or(0, |it| u64::from(it.interval_ms) * 3);
            slot.trip.take(us, now, probes_ms.max(TRIP_MS));
        }
    }

    /// How long a gateway takes to answer, smoothed, in microseconds; `None`: nothing is known.
    #[must_use]
    pub fn round_trip(&self, gateway: GatewayId, now: Time) -> Option<u32> {
        self.slots.get(gateway.0 as usize)?.trip.get(now)
    }

    /// How a gateway fares now, by what it did. Maintenance is not asked: the gateway says it.
    #[must_use]
    pub fn state(&self, gateway: GatewayId, now: Time) -> GatewayState {
        self.slots
            .get(gateway.0 as usize)
            .map_or(GatewayState::Up, |slot| slot.state(now))
    }

    /// Whether a gateway is wholly up, as far as is known without asking what time changed: then it
    /// takes all calls, unless it is in maintenance.
    #[inline]
    pub(crate) fn is_up(&self, gateway: GatewayId) -> bool {
        let known = self.is_up.get(gateway.0 as usize);
        known.is_none_or(|is_up| *is_up)
    }

    /// How a gateway is now: in maintenance, or as it fares.
    #[must_use]
    pub fn state_of(&self, gateway: &Gateway, now: Time) -> GatewayState {
        if gateway.maintenance {
            return GatewayState::Maintenance;
        }
        self.state(gateway.id, now)
    }

    /// Whether a call with these dice may be sent to a gateway.
    #[must_use]
    pub fn verdict(&self, gateway: &Gateway, now: Time, dice: u64) -> Verdict {
        match self.state_of(gateway, now) {
            GatewayState::Up => Verdict::Try,
            GatewayState::Down { .. } => Verdict::Skip(SkipReason::Down),
            GatewayState::Maintenance => Verdict::Skip(SkipReason::Maintenance),
            GatewayState::Returning { admit_per_mille } => {
                // Mixed with the id: a call that one gateway does not get may suit another.
                let thrown = mix(dice ^ mix(u64::from(gateway.id.0)));
                if ((u128::from(thrown) * 1_000) >> 64) as u16 >= admit_per_mille {
                    return Verdict::Skip(SkipReason::SlowReturn);
                }
                Verdict::Try
            }
        }
    }

    /// Whether a call with these dice may be sent to a gateway.
    #[must_use]
    pub fn may_try(&self, gateway: &Gateway, now: Time, dice: u64) -> bool {
        self.verdict(gateway, now, dice) == Verdict::Try
    }

    /// When to probe a gateway next after a probe now: its interval, give or take the jitter.
    /// `None` if it is not probed.
    #[must_use]
    pub fn next_probe(&self, gateway: &Gateway, now: Time) -> Option<Time> {
        let probe = gateway.probe?;
        let interval_us = u64::from(probe.interval_ms) * 1_000;
        let spread_us = interval_us * u64::from(probe.jitter_percent) / 100;
        let offset_us = fraction(gateway.id, now, spread_us * 2 + 1);
        Some(Time(now.0 + interval_us - spread_us + offset_us))
    }

    /// When to probe a gateway for the first time: anywhere in its first interval, so that a
    /// thousand gateways are not asked at once.
    #[must_use]
    pub fn first_probe(&self, gateway: &Gateway, now: Time) -> Option<Time> {
        let interval_us = u64::from(gateway.probe?.interval_ms) * 1_000;
        Some(Time(now.0 + fraction(gateway.id, now, interval_us)))
    }

    /// Follows a swap of snapshots: what is at another address now, or gone, starts afresh.
    pub fn follow(&mut self, old: &Snapshot, new: &Snapshot) {
        for gateway in old.gateways() {
            let stays = new.gateway(gateway.id).is_some_and(|now| {
                (now.address, now.transport) == (gateway.address, gateway.transport)
            });
            if !stays {
                self.change(gateway.id, |slot| *slot = Slot::FRESH);
            }
        }
    }

    /// How many gateways there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }
}

/// A number below `count` that differs by gateway and time. Probes need to be spread, not secret.
fn fraction(gateway: GatewayId, now: Time, count: u64) -> u64 {
    let thrown = mix(now.0 ^ mix(u64::from(gateway.0)));
    ((u128::from(thrown) * u128::from(count)) >> 64) as u64
}
