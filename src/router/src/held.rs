//! A response context with the plan that its attempts follow.

use base::{GatewayId, PacketId, Time};
use call::Fork;
use route::{AdvanceTable, Candidates};

/// What a fork slot holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) fork: Fork,
    pub(crate) plan: Plan,
}

/// Whom to try, in which order, and for how long.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) candidates: Candidates,
    /// The next candidate to look at.
    pub(crate) next: usize,
    /// Which statuses go on to the next candidate.
    pub(crate) advance: AdvanceTable,
    /// Attempts that may still be made.
    pub(crate) attempts_left: usize,
    /// How long it may ring at one gateway; 0: until Timer C.
    pub(crate) ring_ms: u32,
    /// When nobody further is tried.
    pub(crate) until: Time,
    /// Whether all candidates are tried at once.
    pub(crate) is_parallel: bool,
    /// Whether 3xx contacts are tried.
    pub(crate) follows_redirects: bool,
    /// Whether the request follows its own Route: the Request-URI stays as it is.
    pub(crate) by_route: bool,
    /// The kept 3xx and which of its contacts come next.
    pub(crate) redirect: Option<Redirect>,
    /// What the request is routed by, for the loop check of whoever sees it again.
    pub(crate) routed: u64,
    /// Whether a stream was refused, so that large requests go by UDP after all (RFC 3261 §18.1.1).
    pub(crate) udp_only: bool,
    /// What the request is refused with if nobody could be asked.
    pub(crate) refusal: u16,
    /// The Max-Breadth that each branch gets: all of it in turn, its share at once.
    pub(crate) breadth: u32,
}

/// A 3xx whose contacts are being tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redirect {
    pub(crate) packet: PacketId,
    pub(crate) next: usize,
}

/// Whom the next attempt goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Try {
    /// A candidate of the plan.
    Gateway(GatewayId),
    /// A contact of the kept 3xx, which leads to this gateway.
    Contact(GatewayId, usize),
}

impl Plan {
    /// A plan without candidates: for requests whose one target is known.
    #[inline]
    pub(crate) fn none(routed: u64) -> Plan {
        Plan {
            candidates: Candidates::default(),
            next: 0,
            advance: AdvanceTable::none(),
            attempts_left: 0,
            ring_ms: 0,
            until: Time(u64::MAX),
            is_parallel: false,
            follows_redirects: false,
            by_route: false,
            redirect: None,
            routed,
            udp_only: false,
            refusal: 503,
            breadth: call::proxy::BREADTH_DEFAULT,
        }
    }

    /// Forks at once if that is wanted and the request may fork so wide; else the branches come one
    /// after the other, each with all of it (RFC 5393 §5.3.3: together never more than came in).
    pub(crate) fn fork_at_once(&mut self, is_wanted: bool) {
        let may_try = self.candidates.iter().filter(|it| it.may_try()).count();
        let branches = u32::try_from(may_try.min(self.attempts_left)).unwrap_or(u32::MAX);
        self.is_parallel = is_wanted && branches <= self.breadth;
        if self.is_parallel {
            self.breadth /= branches.max(1);
        }
    }

    /// Whether somebody is left who may be tried now.
    pub(crate) fn has_next(&self, now: Time) -> bool {
        self.attempts_left > 0
            && now <= self.until
            && (self.redirect.is_some() || self.candidates.next_to_try(self.next).is_some())
    }
}
