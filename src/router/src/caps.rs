//! Caps hold calls: where they come from, and where they go.
//!
//! A call that no cap counts has nothing of this. One that is counted has a place beside its own, with
//! the cells that hold it, and what its answered dialogs cost from their answer on.

use std::num::NonZeroU32;

use base::{GatewayId, SlotId, TrunkId};
use call::Call;
use cdr::Cause;
use route::{CallLimits, CapId, CapRule, Charge, Price};
use smallvec::SmallVec;

use crate::counters::{Count, GatewayCell};
use crate::gauges::{Full, Limited};
use crate::initial::Denied;
use crate::{Out, Router};

/// What caps hold of a call.
#[derive(Debug, Default)]
pub(crate) struct Capped {
    holds: SmallVec<[Hold; HOLDS]>,
    charges: SmallVec<[Charged; 1]>,
    /// The cell that the record names: the one that refused the call, or that it went beyond.
    named: Option<CapId>,
}

/// What caps hold of all calls: as many places as there are calls at most. Whoever gives one back
/// leaves its lists there for the next.
#[derive(Debug)]
pub(crate) struct CappedCalls {
    places: Vec<Capped>,
    free: Vec<NonZeroU32>,
}

impl CappedCalls {
    /// Address space for so many; memory as they are used.
    pub(crate) fn new(calls_max: usize) -> CappedCalls {
        CappedCalls {
            places: Vec::with_capacity(calls_max),
            free: Vec::with_capacity(calls_max),
        }
    }

    fn take(&mut self) -> NonZeroU32 {
        if let Some(free) = self.free.pop() {
            return free;
        }
        self.places.push(Capped::default());
        // Fewer than calls, of which there are fewer than 2^24.
        NonZeroU32::new(self.places.len() as u32).unwrap_or(NonZeroU32::MIN)
    }

    fn get(&self, place: NonZeroU32) -> Option<&Capped> {
        self.places.get(place.get() as usize - 1)
    }

    fn get_mut(&mut self, place: NonZeroU32) -> Option<&mut Capped> {
        self.places.get_mut(place.get() as usize - 1)
    }

    fn give(&mut self, place: NonZeroU32) {
        if let Some(capped) = self.get_mut(place) {
            capped.holds.clear();
            capped.charges.clear();
            capped.named = None;
            self.free.push(place);
        }
    }
}

/// Room for what trunk and one gateway have at most; more gateways at once go to the heap.
const HOLDS: usize = 2 * route::limits::CAPS_PER_PEER_MAX;

/// A call is counted in a cell.
#[derive(Clone, Copy, Debug)]
struct Hold {
    cap: CapId,
    /// For which attempt; none: where the call came from.
    attempt: Option<u8>,
}

/// What an answered dialog costs.
#[derive(Clone, Copy, Debug)]
struct Charged {
    dialog: u8,
    attempt: u8,
    sold: Charge,
    bought: Charge,
}

impl Router {
    /// Counts a call that comes from a trunk, in the cells of all caps on it, or says why it may not
    /// go on.
    #[inline]
    pub(crate) fn take_caps(
        &mut self,
        call: SlotId,
        trunk: TrunkId,
        digits: &[u8],
        out: &Out,
    ) -> Result<(), Denied> {
        match self.world.has_caps() {
            true => self.take_trunk_caps(call, trunk, digits, out),
            false => Ok(()),
        }
    }

    #[inline(never)]
    fn take_trunk_caps(
        &mut self,
        call: SlotId,
        trunk: TrunkId,
        digits: &[u8],
        out: &Out,
    ) -> Result<(), Denied> {
        let caps: SmallVec<[CapId; HOLDS]> = self.world.caps_of_trunk(trunk, digits).collect();
        if caps.is_empty() {
            return Ok(());
        }
        let Err((cap, full)) = self.hold(call, &caps, None, out) else {
            return Ok(());
        };
        let refuse = self
            .world
            .cap(cap)
            .map_or_else(Default::default, |rule| rule.refuse);
        Err(Denied {
            status: refuse.status,
            cause: match full {
                Full::Calls => Cause::CallLimit,
                Full::Rate => Cause::RateLimit,
                Full::Window => Cause::WindowLimit,
            },
            count: match full {
                Full::Calls => Count::CapFull,
                Full::Rate => Count::CapFast,
                Full::Window => Count::CapUsedUp,
            },
            retry_after_s: refuse.retry_after_s,
        })
    }

    /// Counts the next attempt of a call, in the cells of all caps on its gateway. `false`: one has no
    /// room, and the gateway is not to be asked; that is no attempt.
    #[inline(never)]
    pub(crate) fn take_gateway_caps(
        &mut self,
        fork: SlotId,
        gateway: GatewayId,
        digits: &[u8],
        out: &Out,
    ) -> bool {
        let caps: SmallVec<[CapId; HOLDS]> = self.world.caps_of_gateway(gateway, digits).collect();
        if caps.is_empty() {
            return true;
        }
        let Some(call) = self.call_of(fork) else {
            return true;
        };
        let next = self.calls.get(call).map_or(0, |call| call.attempts.len());
        let attempt = Some(u8::try_from(next).unwrap_or(u8::MAX));
        if self.hold(call, &caps, attempt, out).is_ok() {
            return true;
        }
        self.count(Count::GatewayCapped, out);
        self.count_gateway(gateway, GatewayCell::Full, out);
        if let Some(held) = self.forks.get_mut(fork) {
            held.plan.attempts_left += 1;
        }
        false
    }

    /// Holds a call in all these cells, or in none.
    fn hold(
        &mut self,
        call: SlotId,
        caps: &[CapId],
        attempt: Option<u8>,
        out: &Out,
    ) -> Result<(), (CapId, Full)> {
        for (place, &cap) in caps.iter().enumerate() {
            match self.take_cap(cap, out) {
                Ok(is_beyond) if is_beyond => self.name_cap(call, cap),
                Ok(_) => {}
                Err(full) => {
                    self.gauges.windows().count(cap, true);
                    for &taken in &caps[..place] {
                        self.gauges.give(self.shard, Limited::Cap(taken));
                        self.gauges.windows().call_did_not_begin(taken);
                    }
                    // Of an attempt that was not made the record tells nothing.
                    if attempt.is_none()
                        && let Some(capped) = self.capped_mut(call)
                    {
                        // Whatever it went beyond before: this one refused it.
                        capped.named = Some(cap);
                    }
                    return Err((cap, full));
                }
            }
        }
        let holds = caps.iter().map(|&cap| Hold { cap, attempt });
        if let Some(capped) = self.capped_mut(call) {
            capped.holds.extend(holds);
        }
        Ok(())
    }

    /// Takes a place in one cell. Says whether that is beyond what a cap that only tells allows.
    fn take_cap(&self, cap: CapId, out: &Out) -> Result<bool, Full> {
        let Some(rule) = self.world.cap(cap) else {
            return Ok(false);
        };
        let (whose, windows) = (Limited::Cap(cap), self.gauges.windows());
        let is_used_up = windows.is_used_up(cap, rule, out.now());
        if rule.only_tells {
            let is_beyond = is_used_up || self.is_beyond(cap, rule, out);
            let free = CallLimits::default();
            self.gauges.take(self.shard, whose, free, out.now())?;
            let _always = windows.call_begins(cap, None);
            if is_beyond {
                windows.count(cap, false);
                self.count(Count::CapTold, out);
            }
            return Ok(is_beyond);
        }
        if is_used_up {
            return Err(Full::Window);
        }
        self.gauges
            .take(self.shard, whose, rule.limits, out.now())?;
        if !windows.call_begins(cap, rule.window_calls) {
            self.gauges.give(self.shard, whose);
            return Err(Full::Window);
        }
        Ok(false)
    }

    /// Whether one more call is more than a cap that only tells allows.
    fn is_beyond(&self, cap: CapId, rule: &CapRule, out: &Out) -> bool {
        let up = self.gauges.in_use(Limited::Cap(cap));
        let used = self.gauges.windows().used(cap, out.now());
        let is_fast = rule
            .limits
            .per_second
            .is_some_and(|rate| !self.gauges.is_in_step(Limited::Cap(cap), rate, out.now()));
        is_fast
            || rule.limits.calls.is_some_and(|most| up >= most)
            || (rule.window_calls).is_some_and(|most| used.calls >= u64::from(most))
    }

    /// The place of a call for what caps hold of it: made when it is needed first.
    fn capped_mut(&mut self, call: SlotId) -> Option<&mut Capped> {
        let call = self.calls.get_mut(call)?;
        let place = *call.capped.get_or_insert_with(|| self.capped.take());
        self.capped.get_mut(place)
    }

    /// The first cell that a call goes beyond is the one that its record names.
    fn name_cap(&mut self, call: SlotId, cap: CapId) {
        if let Some(capped) = self.capped_mut(call) {
            capped.named.get_or_insert(cap);
        }
    }

    /// The cell that the record of a call names; empty: none.
    pub(crate) fn cap_named(&self, call: SlotId) -> &str {
        let place = self.calls.get(call).and_then(|call| call.capped);
        let named = place.and_then(|place| self.capped.get(place)?.named);
        named.map_or("", |cap| self.world.cap_name(cap))
    }

    fn give_caps(&self, holds: impl Iterator<Item = Hold>) {
        for hold in holds {
            self.gauges.give(self.shard, Limited::Cap(hold.cap));
        }
    }

    /// An attempt is over, and no cap holds it longer.
    #[inline(never)]
    pub(crate) fn give_caps_of_attempt(&mut self, call: SlotId, attempt: usize) {
        let place = self.calls.get(call).and_then(|call| call.capped);
        let Some(capped) = place.and_then(|place| self.capped.get_mut(place)) else {
            return;
        };
        let (gauges, shard) = (&self.gauges, self.shard);
        capped.holds.retain(|hold| {
            let is_of_it = hold.attempt.is_some_and(|at| usize::from(at) == attempt);
            if is_of_it {
                gauges.give(shard, Limited::Cap(hold.cap));
            }
            !is_of_it
        });
    }

    /// A dialog of a call is answered: from now on it costs.
    #[inline(never)]
    pub(crate) fn charge(&mut self, call: SlotId, dialog: usize, out: &Out) {
        let Some((place, held)) = self.place_of(call) else {
            return;
        };
        let attempt = held.dialogs[dialog].attempt;
        let bought = held
            .attempts
            .get(usize::from(attempt))
            .and_then(|it| it.bought);
        let price = |price: Option<Price>| Charge::new(price.as_ref(), &self.world, out.now());
        let charged = Charged {
            dialog: u8::try_from(dialog).unwrap_or(u8::MAX),
            attempt,
            sold: price(held.sold.or(bought)),
            bought: price(bought),
        };
        let Some(capped) = self.capped.get_mut(place) else {
            return;
        };
        capped.charges.push(charged);
        for hold in &capped.holds {
            if let Some(charge) = charged.for_hold(hold) {
                self.gauges.windows().answered(self.shard, hold.cap, charge);
            }
        }
    }

    fn place_of(&self, call: SlotId) -> Option<(NonZeroU32, &Call)> {
        let call = self.calls.get(call)?;
        Some((call.capped?, call))
    }

    /// After how many seconds the caps on a call end it; 0: never.
    pub(crate) fn capped_seconds(&self, call: SlotId) -> u32 {
        let capped = (self.place_of(call)).and_then(|(place, _)| self.capped.get(place));
        let holds = capped.map_or(&[][..], |capped| &capped.holds);
        let rules = holds.iter().filter_map(|hold| self.world.cap(hold.cap));
        let seconds = rules.map(|rule| rule.max_call_seconds);
        seconds.filter(|&it| it > 0).min().unwrap_or(0)
    }

    /// A call is over: its dialogs cost what they came to, and no cap holds it longer.
    #[inline(never)]
    pub(crate) fn settle_caps(&mut self, call: SlotId) {
        let Some(place) = self.calls.get_mut(call).and_then(|it| it.capped.take()) else {
            return;
        };
        let (Some(held), Some(capped)) = (self.calls.get(call), self.capped.get(place)) else {
            return;
        };
        for charged in &capped.charges {
            let dialog = &held.dialogs[usize::from(charged.dialog)];
            let (Some(answered), Some(ending)) = (dialog.answered.get(), dialog.ending) else {
                continue;
            };
            let talked_ms = ending.at.micros_since(answered).div_ceil(1_000);
            let bought = held.attempts.get(usize::from(charged.attempt));
            let bought = bought.and_then(|it| it.bought);
            let came_to = |price: Option<Price>| {
                let price = price?;
                let amount = price.amount(talked_ms)?;
                self.world.in_common(price.currency, amount)
            };
            let [sold, bought] = [held.sold.or(bought), bought].map(came_to);
            for hold in &capped.holds {
                let amount = match hold.attempt {
                    None => sold,
                    Some(_) => bought,
                };
                if let Some(charge) = charged.for_hold(hold) {
                    let end = (ending.at, amount.unwrap_or_default());
                    self.gauges
                        .windows()
                        .ended(self.shard, hold.cap, charge, end);
                }
            }
        }
        self.give_caps(capped.holds.iter().copied());
        self.capped.give(place);
    }

    /// The cells that calls are held in, each as often as one is: for tests and the simulator.
    pub(crate) fn caps_held(&self) -> impl Iterator<Item = Limited> + '_ {
        let holds = self.capped.places.iter().flat_map(|capped| &capped.holds);
        holds.map(|hold| Limited::Cap(hold.cap))
    }
}

impl Charged {
    /// What a cell is told of it: where the call came from what the customer pays, at the gateway
    /// that answered what the vendor asks.
    fn for_hold(&self, hold: &Hold) -> Option<&Charge> {
        match hold.attempt {
            None => Some(&self.sold),
            Some(attempt) => (attempt == self.attempt).then_some(&self.bought),
        }
    }
}
