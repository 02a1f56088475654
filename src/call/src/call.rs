//! A call: from the INVITE of a trunk to the record that bills it.
//!
//! ```text
//!   Setup ──2xx──▶ Up ──BYE──▶ Ending ──final response──▶ over
//!     │             │             └─ challenged (401, 407) ──▶ Up
//!     │             └─ maximum duration ──▶ over
//!     └─ refused, cancelled, timed out ──▶ over
//! ```
//!
//! One [`Call`] holds all dialogs that its INVITE made: more than one only if a vendor forked and
//! two of its phones answered, or if a late 2xx crossed our CANCEL. Each confirmed dialog gives one
//! record; a call that nobody answered gives one. The states above are a [`Dialog`]'s.
//!
//! Lives on the shard that owns its Call-ID; found by the token in our Record-Route, never by
//! search. Its names lie beside it ([`cdr::Identity`]). A call is held for minutes or hours, and
//! there are hundreds of thousands, so its size is asserted below: flows and names by their ids,
//! targets and moments packed, one attempt and one dialog inline.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use base::{FlowId, GatewayId, SlotId, TextId, Time, TimerId, Transport, TrunkId, Wall};
use cdr::{Cause, Party};
use route::{Place, Price};
use smallvec::SmallVec;

use crate::compact::{Moment, Packed};
use crate::token::RouteMark;

/// A side of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Who sent the INVITE: leg A.
    Caller,
    /// Who answered it: leg B.
    Callee,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }

    /// The side as a record names it.
    #[must_use]
    pub const fn party(self) -> Party {
        match self {
            Side::Caller => Party::Caller,
            Side::Callee => Party::Callee,
        }
    }
}

/// Where requests inside the dialog go on one side: what its Contact or the route set beyond us
/// named. A request that names another place is not passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// This address.
    Address(Transport, SocketAddr),
    /// The peer of the leg itself: the URI has a host name or a transport that we do not speak.
    Peer,
}

/// One try at one gateway, for the record.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The gateway.
    pub gateway: Option<GatewayId>,
    /// Where it was sent, and how.
    sent_to: Packed,
    /// When.
    pub started: Time,
    /// When its first 18x came.
    pub progress: Moment,
    /// When its 2xx came.
    pub answered: Moment,
    ended_at: Moment,
    /// Means something only if it has ended.
    cause: Cause,
    /// The final status that came; 0: none.
    pub status: u16,
    /// The cause from its Reason header.
    pub q850: Option<u8>,
    /// What the vendor asks.
    pub bought: Option<Price>,
    /// Whether it holds a channel of its gateway.
    pub holds_channel: bool,
    /// Where its quality is counted, until that was done.
    pub measured: Option<Place>,
}

impl Attempt {
    /// Where it was sent, and how.
    #[must_use]
    pub fn sent_to(&self) -> (Transport, SocketAddr) {
        match self.sent_to.target() {
            Target::Address(transport, address) => (transport, address),
            Target::Peer => unreachable!("an attempt is sent to an address"),
        }
    }

    /// Takes away the channel that it holds, and says of which gateway.
    pub fn free(&mut self) -> Option<GatewayId> {
        let holds = std::mem::take(&mut self.holds_channel);
        self.gateway.filter(|_| holds)
    }

    /// When it was over, and why.
    #[must_use]
    pub fn ended(&self) -> Option<(Time, Cause)> {
        self.ended_at.get().map(|at| (at, self.cause))
    }
}

/// A dialog of the call: early from the first response with a To tag, confirmed by its 2xx.
#[derive(Clone, Copy, Debug)]
pub struct Dialog {
    /// The keyed hash of the callee's tag.
    pub tag: u64,
    /// The attempt that it came from.
    pub attempt: u8,
    /// The callee's peer: where its messages come from.
    pub peer: FlowId,
    /// Where requests to the callee go.
    target: Packed,
    /// Whether the target is a proxy beyond us, which a new Contact does not move.
    is_routed: bool,
    /// When the 2xx came; none: early.
    pub answered: Moment,
    /// When and how it ended.
    pub ending: Option<Ending>,
    /// Whether its record was handed over.
    pub is_recorded: bool,
}

/// The end of a dialog or of an unanswered call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    /// When.
    pub at: Time,
    /// Who ended it.
    pub by: Party,
    /// Why.
    pub cause: Cause,
    /// Whether it only holds if the BYE is not challenged: it is still being answered.
    pub is_pending: bool,
}

/// What is left of a call's INVITE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invite {
    /// This response context: answers are awaited.
    Waits(SlotId),
    /// It was answered with 2xx. Until its transactions are over, further 2xx go to the caller by
    /// this server transaction (RFC 6026 §7.1).
    Answered(SlotId),
    /// Nothing.
    Over,
}

/// Lists that more attempts than one need, to be used again: each was some call's.
pub type Spares = Vec<Vec<Attempt>>;

/// A call.
#[derive(Debug)]
pub struct Call {
    /// The keyed hash of the Call-ID.
    pub call_id: u64,
    /// The keyed hash of the caller's tag.
    pub caller_tag: u64,
    /// The mark of its Record-Route token.
    pub route_mark: RouteMark,
    /// The caller's peer.
    pub caller: FlowId,
    /// Where requests to the caller go.
    pub caller_target: Packed,
    /// Whether that is a proxy before us, which a new Contact does not move.
    pub caller_is_routed: bool,
    /// The trunk it came in by.
    pub trunk: TrunkId,
    /// The generation of the world that routed it.
    pub generation: u64,
    /// What is left of its INVITE.
    pub invite: Invite,
    /// Its names.
    pub identity: Option<TextId>,
    /// The deadline of its longest duration.
    pub timer: Option<TimerId>,
    /// When the INVITE came.
    pub began: Time,
    /// The same by the clock on the wall.
    pub began_wall: Wall,
    /// When the first 18x went to the caller.
    pub ringing: Moment,
    /// The final status that the caller got; 0: none yet.
    pub status: u16,
    /// The cause from the Reason header of the response or BYE that ended it.
    pub q850: Option<u8>,
    /// The end of a call that nobody answered.
    pub unanswered: Option<Ending>,
    /// Whether the record of the unanswered call was handed over.
    pub is_recorded: bool,
    /// Whether it holds a channel of its trunk.
    pub holds_channel: bool,
    /// The place of what caps hold of it, if any does.
    pub capped: Option<NonZeroU32>,
    /// Whether it is on the router's list of calls whose record found the ring full.
    pub is_waiting: bool,
    /// What the customer pays, if its trunk has a deck.
    pub sold: Option<Price>,
    /// All tries.
    pub attempts: SmallVec<[Attempt; 1]>,
    /// All dialogs.
    pub dialogs: SmallVec<[Dialog; 1]>,
}

const _: () = assert!(base::Slab::<Call>::SLOT_BYTES <= 352);

/// Room of a list of attempts when it is made: most calls that fail over do so once.
const ATTEMPTS: usize = 2;

/// The most dialogs of one call that are followed; a response with one more tag is passed on, but
/// requests inside that dialog are refused with 481.
pub(crate) const DIALOGS_MAX: usize = 8;

impl Call {
    /// The moment `at` by the clock on the wall, counted from the call's beginning: the wall clock
    /// may be set in the middle of a call, the bill may not.
    #[must_use]
    pub fn wall(&self, at: Time) -> Wall {
        self.began_wall.plus_micros(at.micros_since(self.began))
    }

    /// Notes a new attempt and returns its number from 0. The second one takes a list from `spares`
    /// if one is left there; else it makes one.
    pub fn attempt(
        &mut self,
        gateway: Option<GatewayId>,
        sent_to: (Transport, SocketAddr),
        now: Time,
        spares: &mut Spares,
    ) -> usize {
        if self.attempts.len() == 1 && !self.attempts.spilled() {
            let mut list = spares.pop().unwrap_or_else(|| Vec::with_capacity(ATTEMPTS));
            list.extend_from_slice(&self.attempts);
            self.attempts = SmallVec::from_vec(list);
        }
        self.attempts.push(Attempt {
            gateway,
            sent_to: Target::Address(sent_to.0, sent_to.1).into(),
            started: now,
            progress: Moment::NONE,
            answered: Moment::NONE,
            ended_at: Moment::NONE,
            cause: Cause::Answered,
            status: 0,
            q850: None,
            bought: None,
            holds_channel: false,
            measured: None,
        });
        self.attempts.len() - 1
    }

    /// Gives the list of attempts back; the call is over.
    pub fn give_back(&mut self, spares: &mut Spares) {
        if self.attempts.spilled() {
            let mut list = std::mem::take(&mut self.attempts).into_vec();
            list.clear();
            spares.push(list);
        }
    }

    /// Notes a provisional response: an early dialog if it has a tag, and the first 18x.
    pub fn provisional(&mut self, attempt: usize, status: u16, now: Time) {
        if (180..=189).contains(&status)
            && let Some(attempt) = self.attempts.get_mut(attempt)
        {
            attempt.progress.set_once(now);
        }
    }

    /// Notes the end of an attempt. The first word holds. Returns the gateway of which it held a
    /// channel, which is free now.
    #[must_use = "the channel is to be given back"]
    pub fn attempt_ended(
        &mut self,
        attempt: usize,
        status: u16,
        cause: Cause,
        now: Time,
    ) -> Option<GatewayId> {
        let attempt = self.attempts.get_mut(attempt)?;
        if attempt.ended_at.is_none() && attempt.answered.is_none() {
            (attempt.ended_at, attempt.cause) = (Moment::at(now), cause);
            attempt.status = status;
            return attempt.free();
        }
        None
    }

    /// Finds or makes the dialog of a tag. `target`: where requests to the callee go, and whether
    /// that is a proxy beyond us. Returns which dialog it is, none if the call has [`DIALOGS_MAX`]
    /// others; and which flow is not held: that of the dialog before, or `peer` itself if nothing
    /// changed.
    #[must_use = "each dialog holds a reference to its flow"]
    pub fn dialog(
        &mut self,
        tag: u64,
        attempt: usize,
        peer: FlowId,
        target: (Target, bool),
    ) -> (Option<usize>, Option<FlowId>) {
        let attempt = u8::try_from(attempt).unwrap_or(u8::MAX);
        if let Some(at) = self.dialogs.iter().position(|dialog| dialog.tag == tag) {
            let dialog = &mut self.dialogs[at];
            // A 183 may name another place than the 200; behind that, only a refresh moves it.
            if dialog.answered.is_some() {
                return (Some(at), Some(peer));
            }
            dialog.attempt = attempt;
            (dialog.target, dialog.is_routed) = (target.0.into(), target.1);
            return (Some(at), Some(std::mem::replace(&mut dialog.peer, peer)));
        }
        if self.dialogs.len() >= DIALOGS_MAX {
            return (None, Some(peer));
        }
        self.dialogs.push(Dialog {
            tag,
            attempt,
            peer,
            target: target.0.into(),
            is_routed: target.1,
            answered: Moment::NONE,
            ending: None,
            is_recorded: false,
        });
        (Some(self.dialogs.len() - 1), None)
    }

    /// Makes sure that the dialog of a 2xx can be followed, since it will be billed: if the call has
    /// [`DIALOGS_MAX`] others, the oldest early one gives way.
    pub fn make_room(&mut self, tag: u64) {
        let is_known = self.dialogs.iter().any(|dialog| dialog.tag == tag);
        if is_known || self.dialogs.len() < DIALOGS_MAX {
            return;
        }
        let is_early = |dialog: &&mut Dialog| dialog.answered.is_none() && dialog.ending.is_none();
        if let Some(early) = self.dialogs.iter_mut().find(is_early) {
            // In its place, because requests under way name dialogs by their place.
            early.tag = tag;
        }
    }

    /// Confirms a dialog by its 2xx. `false`: it was confirmed before, this one is repeated.
    pub fn answered(&mut self, dialog: usize, status: u16, now: Time) -> bool {
        let dialog = &mut self.dialogs[dialog];
        if dialog.answered.is_some() {
            return false;
        }
        dialog.answered = Moment::at(now);
        if let Some(attempt) = self.attempts.get_mut(usize::from(dialog.attempt)) {
            attempt.answered.set_once(now);
            attempt.ended_at = Moment::NONE;
            attempt.status = status;
        }
        if self.status == 0 {
            self.status = status;
        }
        true
    }

    /// Whether any dialog was confirmed.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.dialogs.iter().any(|dialog| dialog.answered.is_some())
    }

    /// Whether a confirmed dialog is still up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.dialogs.iter().any(|dialog| {
            dialog.answered.is_some() && dialog.ending.is_none_or(|ending| ending.is_pending)
        })
    }

    /// Whether nothing of it has ended yet: there is nothing to record, and nothing to give back.
    #[must_use]
    pub fn has_no_end(&self) -> bool {
        self.unanswered.is_none() && self.dialogs.iter().all(|dialog| dialog.ending.is_none())
    }

    /// Which dialog a request with these tags is in, and who sent it. `None`: in none of ours
    /// (RFC 3261 §12.2.2: 481).
    ///
    /// While the call is being set up, a caller may not know the tag by which we know the callee
    /// (a 1xx was lost): a request from the side whose tag fits is then taken for the newest dialog.
    #[must_use]
    pub fn find(&self, from_tag: u64, to_tag: u64) -> Option<(Side, usize)> {
        let (side, callee_tag) = if from_tag == self.caller_tag {
            (Side::Caller, to_tag)
        } else if to_tag == self.caller_tag {
            (Side::Callee, from_tag)
        } else {
            return None;
        };
        let at = self
            .dialogs
            .iter()
            .position(|dialog| dialog.tag == callee_tag)?;
        Some((side, at))
    }

    /// The peer of a side.
    #[must_use]
    pub fn peer(&self, side: Side, dialog: usize) -> FlowId {
        match side {
            Side::Caller => self.caller,
            Side::Callee => self.dialogs[dialog].peer,
        }
    }

    /// The target of a side.
    #[must_use]
    pub fn target(&self, side: Side, dialog: usize) -> Target {
        match side {
            Side::Caller => self.caller_target.target(),
            Side::Callee => self.dialogs[dialog].target.target(),
        }
    }

    /// Moves the target of a side: a target refresh succeeded.
    pub fn refresh(&mut self, side: Side, dialog: usize, target: Target) {
        match side {
            Side::Caller if !self.caller_is_routed => self.caller_target = target.into(),
            Side::Callee if !self.dialogs[dialog].is_routed => {
                self.dialogs[dialog].target = target.into();
            }
            Side::Caller | Side::Callee => {}
        }
    }

    /// A BYE came: the dialog ends now, unless the BYE is challenged.
    pub fn bye(&mut self, dialog: usize, side: Side, now: Time) {
        let cause = match side {
            Side::Caller => Cause::CallerHungUp,
            Side::Callee => Cause::CalleeHungUp,
        };
        let by = side.party();
        self.dialogs[dialog].ending.get_or_insert(Ending {
            at: now,
            by,
            cause,
            is_pending: true,
        });
    }

    /// The BYE got its final response. Returns whether the dialog is over.
    pub fn bye_answered(&mut self, dialog: usize, status: u16) -> bool {
        let Some(ending) = &mut self.dialogs[dialog].ending else {
            return false;
        };
        if !ending.is_pending {
            return true;
        }
        if matches!(status, 401 | 407) {
            self.dialogs[dialog].ending = None;
            return false;
        }
        ending.is_pending = false;
        true
    }

    /// Ends every dialog that is up: the call lasted too long, was lost, or we stop.
    pub fn end_all(&mut self, by: Party, cause: Cause, now: Time) {
        for dialog in &mut self.dialogs {
            if dialog.answered.is_none() {
                continue;
            }
            match &mut dialog.ending {
                Some(ending) => ending.is_pending = false,
                None => {
                    dialog.ending = Some(Ending {
                        at: now,
                        by,
                        cause,
                        is_pending: false,
                    })
                }
            }
        }
    }

    /// The INVITE was answered with a final failure.
    pub fn refused(&mut self, status: u16, by: Party, cause: Cause, now: Time) {
        if self.status == 0 {
            self.status = status;
        }
        if !self.is_answered() {
            self.unanswered.get_or_insert(Ending {
                at: now,
                by,
                cause,
                is_pending: false,
            });
        }
    }

    /// Whether everything was said and recorded, so that the slot can be retired.
    #[must_use]
    pub fn is_over(&self) -> bool {
        if self.invite != Invite::Over {
            return false;
        }
        if self.is_answered() {
            return self
                .dialogs
                .iter()
                .all(|dialog| dialog.answered.is_none() || dialog.is_recorded);
        }
        self.is_recorded
    }
}

#[cfg(test)]
mod tests;
