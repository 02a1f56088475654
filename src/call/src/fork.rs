//! The response context of RFC 3261 §16.7: the branches of one request and what becomes of their
//! answers. Serial and parallel forking are this one mechanism: a branch is a branch, however many
//! of them are alive at once.
//!
//! ```text
//!                     ┌────────── launch ──────────┐
//!                     ▼                            │
//!   request ──▶  Fork { branches … } ──Next::Advance (a candidate is left, the cause allows it)
//!                     │
//!                     ├─ 1xx, 2xx ──▶ forwarded at once; the first 2xx cancels the rest
//!                     └─ all final ─▶ Next::Finish: the best of what came goes upstream
//! ```
//!
//! Lives on the shard of its server transaction. Holds no message but the ids of two packets: the
//! request as it came (to make the next attempt and local answers from) and the best response so
//! far. It decides; the router does.

use base::{Flow, GatewayId, PacketId, SlotId, Time};
use smallvec::SmallVec;

use crate::verdict;

/// One try at one target: a client transaction and what we know of it.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    /// The INVITE or non-INVITE client transaction, until it is retired.
    pub client: Option<SlotId>,
    /// Our CANCEL for it, until that is retired.
    pub cancel: Option<SlotId>,
    /// The gateway it goes to, if routing chose it.
    pub gateway: Option<GatewayId>,
    /// How far the answer is.
    pub state: BranchState,
    /// Whether it shall be cancelled as soon as a provisional response allows it.
    pub wants_cancel: bool,
    /// Whether the plan has gone on without it: its answer no longer decides anything, but a 2xx.
    pub abandoned: bool,
}

/// How far a branch's answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BranchState {
    /// Nothing has come.
    Calling,
    /// A provisional response has come.
    Proceeding,
    /// It ended with this status: the peer's, or the 408, 487 or 503 that stands for its silence.
    Final(u16),
}

impl Branch {
    /// A branch that was just sent.
    #[must_use]
    pub fn new(gateway: Option<GatewayId>) -> Branch {
        Branch {
            client: None,
            cancel: None,
            gateway,
            state: BranchState::Calling,
            wants_cancel: false,
            abandoned: false,
        }
    }

    /// Whether an answer may still come.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self.state, BranchState::Final(_))
    }
}

/// The best final response so far.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// Its status.
    pub status: u16,
    /// It as it would go upstream. `None`: it is our own and is made when it is sent.
    pub packet: Option<PacketId>,
}

/// What happened to a branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A 1xx came.
    Provisional(u16),
    /// A final response came.
    Final(u16),
    /// No final response came in time: Timer B or F (RFC 3261 §16.8 says: as if 408).
    TimedOut,
    /// The request could not be sent (§16.9: as if 503).
    Failed,
    /// Not even a provisional response came within the gateway's patience.
    NoResponse,
    /// It rang for as long as the plan allows, or Timer C fired (§16.8).
    NoAnswer,
    /// CANCEL was sent and no final response followed within 64*T1 (§9.1).
    CancelLost,
}

/// What must follow an [`Event`], in the order of the fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The response goes upstream now.
    pub forward: bool,
    /// The response (or our own with this status) becomes the best so far.
    pub keep: Option<u16>,
    /// This branch shall be cancelled: CANCEL now, or once a provisional response is there.
    pub cancel_this: bool,
    /// All other pending branches shall be cancelled.
    pub cancel_others: bool,
    /// What comes then.
    pub next: Next,
}

/// Where the response context goes after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Answers are still awaited, or everything was said.
    Wait,
    /// The next candidate is tried.
    Advance,
    /// All branches ended: the best response goes upstream.
    Finish,
}

/// Which kind of request the context serves; it decides what silence means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An INVITE: provisional responses, CANCEL, failover.
    Invite,
    /// Any other: a time-out is never answered (RFC 4320 §4.2).
    NonInvite,
}

/// What the context is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The INVITE that began this call.
    Initial {
        /// The call.
        call: SlotId,
    },
    /// A request inside a call's dialog.
    InDialog {
        /// The call.
        call: SlotId,
        /// Which of its dialogs.
        dialog: usize,
        /// Who sent the request.
        from: crate::Side,
        /// What it may change when it succeeds.
        effect: Effect,
    },
    /// A request outside of calls.
    Other,
}

/// What a request inside a dialog changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing of ours.
    None,
    /// The targets: re-INVITE, UPDATE (RFC 3261 §12.2, RFC 3311 §5).
    Refresh,
    /// The call ends: BYE.
    End,
}

/// A response context.
#[derive(Debug)]
pub struct Fork {
    /// The server transaction, until it is retired.
    pub server: Option<SlotId>,
    /// INVITE or not.
    pub kind: Kind,
    /// What it is for.
    pub purpose: Purpose,
    /// The request as it came, while attempts or local answers may need it.
    pub request: Option<PacketId>,
    /// Where it came from, by the socket.
    pub source: Flow,
    /// When it came.
    pub began: Time,
    /// All tries, in the order in which they were made.
    pub branches: SmallVec<[Branch; 4]>,
    /// The best final response that has not been forwarded.
    pub best: Option<Best>,
    /// Whether a final response went upstream.
    pub answered: bool,
    /// Whether the caller gave up.
    pub cancelled: bool,
    /// Whether a 6xx came: nothing new is tried (§16.7 step 5).
    pub declined: bool,
    /// How many slots of transactions still point here.
    pub users: u32,
}

impl Fork {
    /// A context without branches.
    #[must_use]
    #[inline]
    pub fn new(kind: Kind, purpose: Purpose, source: Flow, began: Time) -> Fork {
        Fork {
            server: None,
            kind,
            purpose,
            request: None,
            source,
            began,
            branches: SmallVec::new(),
            best: None,
            answered: false,
            cancelled: false,
            declined: false,
            users: 0,
        }
    }

    /// Takes what happened to branch `at` and says what follows.
    ///
    /// `advances` says whether the plan would go on after this status and has somebody left to try.
    #[must_use]
    pub fn step(&mut self, at: usize, event: Event, advances: bool) -> Step {
        match event {
            Event::Provisional(status) => self.provisional(at, status),
            Event::Final(status @ 200..=299) => self.success(at, status),
            Event::Final(status) => self.failure(at, status, true, advances),
            Event::TimedOut => self.failure(at, 408, false, advances),
            Event::Failed => self.failure(at, 503, false, advances),
            Event::CancelLost => self.failure(at, 487, false, false),
            Event::NoResponse | Event::NoAnswer => self.silence(at, advances),
        }
    }

    fn provisional(&mut self, at: usize, status: u16) -> Step {
        let branch = &mut self.branches[at];
        if !branch.is_pending() && !branch.abandoned {
            return Step::WAIT;
        }
        if branch.state == BranchState::Calling {
            branch.state = BranchState::Proceeding;
        }
        // §16.7 step 3: a 100 is hop by hop. A branch that is given up tells the caller nothing.
        let forward = status != 100 && !self.answered && !branch.abandoned && !self.cancelled;
        Step {
            forward,
            cancel_this: branch.wants_cancel,
            ..Step::WAIT
        }
    }

    fn success(&mut self, at: usize, status: u16) -> Step {
        self.branches[at].state = BranchState::Final(status);
        let first = !self.answered;
        self.answered = true;
        // Every 2xx to an INVITE goes upstream, also a late one that crossed a CANCEL or comes from
        // a gateway that was given up (§16.7 step 5): its dialog exists, and only the caller can
        // end it. To other requests only one final response is possible.
        let forward = first || self.kind == Kind::Invite;
        Step {
            forward,
            cancel_others: first,
            ..Step::WAIT
        }
    }

    /// A branch ended without success: by the peer's word (`said`) or by its silence.
    fn failure(&mut self, at: usize, status: u16, said: bool, advances: bool) -> Step {
        if !self.branches[at].is_pending() {
            return Step::WAIT;
        }
        self.branches[at].state = BranchState::Final(status);
        let abandoned = self.branches[at].abandoned;
        if self.answered {
            return Step::WAIT;
        }
        let keep = self.better(status, said, abandoned).then_some(status);
        if status >= 600 && said && !abandoned {
            self.declined = true;
        }
        let next = self.after(advances && !abandoned);
        Step {
            keep,
            cancel_others: status >= 600 && said && !abandoned,
            next,
            ..Step::WAIT
        }
    }

    /// The plan's patience with a branch ended. It is cancelled, and the plan goes on without it if
    /// it can; else the caller waits for what the CANCEL brings.
    fn silence(&mut self, at: usize, advances: bool) -> Step {
        let branch = &mut self.branches[at];
        if !branch.is_pending() || branch.abandoned || self.answered {
            return Step::WAIT;
        }
        branch.wants_cancel = true;
        if branch.state == BranchState::Calling {
            // There is nothing to cancel yet (§9.1), and perhaps nobody there: it counts as ended.
            branch.abandoned = true;
            branch.state = BranchState::Final(408);
            let keep = self.better(408, false, false).then_some(408);
            return Step {
                keep,
                next: self.after(advances),
                ..Step::WAIT
            };
        }
        branch.abandoned = true;
        let keep = self.better(408, false, false).then_some(408);
        let next = self.after(advances);
        Step {
            keep,
            cancel_this: true,
            next,
            ..Step::WAIT
        }
    }

    fn after(&self, advances: bool) -> Next {
        if advances && !self.cancelled && !self.declined {
            return Next::Advance;
        }
        if self
            .branches
            .iter()
            .any(|branch| branch.is_pending() && !branch.abandoned)
        {
            return Next::Wait;
        }
        Next::Finish
    }

    fn better(&self, status: u16, said: bool, abandoned: bool) -> bool {
        if abandoned {
            return false;
        }
        match self.best {
            None => true,
            Some(best) => verdict::is_better(status, said, best.status, best.packet.is_some()),
        }
    }

    /// The caller gave up: nothing new is tried. The router cancels every pending branch.
    pub fn cancel(&mut self) {
        self.cancelled = true;
    }

    /// What goes upstream when all branches have ended without success: the status, and the kept
    /// packet if the response is a peer's and goes as it is.
    #[must_use]
    pub fn verdict(&self) -> Best {
        if self.cancelled && self.best.is_none_or(|best| best.packet.is_none()) {
            return Best {
                status: 487,
                packet: None,
            };
        }
        match self.best {
            // §16.7 step 6: a 503 speaks of its sender only; ours would stop all calls to us.
            Some(Best { status: 503, .. }) => Best {
                status: 500,
                packet: None,
            },
            Some(best) => best,
            None => Best {
                status: 408,
                packet: None,
            },
        }
    }

    /// The branch of a client transaction.
    #[must_use]
    pub fn branch_of(&self, client: SlotId) -> Option<usize> {
        self.branches
            .iter()
            .position(|branch| branch.client == Some(client))
    }

    /// The branch of a CANCEL's client transaction.
    #[must_use]
    pub fn branch_of_cancel(&self, cancel: SlotId) -> Option<usize> {
        self.branches
            .iter()
            .position(|branch| branch.cancel == Some(cancel))
    }
}

impl Step {
    /// Nothing to do.
    pub const WAIT: Step = Step {
        forward: false,
        keep: None,
        cancel_this: false,
        cancel_others: false,
        next: Next::Wait,
    };
}

#[cfg(test)]
mod tests;
