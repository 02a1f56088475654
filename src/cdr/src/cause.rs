//! Why a call or an attempt ended, and the Q.850 cause that says so to a telephone network.

/// Who ended a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Party {
    /// The side that sent the INVITE.
    Caller,
    /// The side that the INVITE was sent to.
    Callee,
    /// This router.
    Router,
}

impl Party {
    /// All of them, in the order of their codes in a frame.
    pub const ALL: [Party; 3] = [Party::Caller, Party::Callee, Party::Router];

    /// The word that a record carries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Party::Caller => "caller",
            Party::Callee => "callee",
            Party::Router => "router",
        }
    }
}

/// Why a call or an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// Attempt: this gateway took the call. Call: it was answered and nothing more is known.
    Answered,
    /// A gateway's final response was no 2xx; `status` has it.
    Refused,
    /// A 3xx, and its contacts were tried.
    Redirected,
    /// Not even a 100 came in the time that the gateway has.
    NoResponse,
    /// It rang and nobody took it in the time that the route gives.
    NoAnswer,
    /// The request could not be delivered: connection refused, closed, unreachable.
    TransportError,
    /// The caller gave up before the answer.
    Cancelled,
    /// Attempt: another branch of the call was answered.
    AnsweredElsewhere,
    /// No route leads to this number.
    NoRoute,
    /// There is a route, and none of its gateways may be tried.
    NoGateway,
    /// This router refused the call by policy or because the request was faulty; `status` says how.
    Rejected,
    /// This router refused the call because it was too busy or full.
    Overloaded,
    /// The call reached the longest duration that its trunk allows.
    MaxDuration,
    /// The caller sent BYE.
    CallerHungUp,
    /// The callee sent BYE.
    CalleeHungUp,
    /// The answer to a request in the dialog said that the dialog is gone (RFC 5057 §5.1).
    DialogLost,
    /// This router was stopped while the call was up.
    Shutdown,
    /// The trunk, or what a cap counts, has as many calls up as it may have.
    CallLimit,
    /// It began as many calls in a second as it may begin.
    RateLimit,
    /// A list has the called or the calling number.
    Blocked,
    /// A cap has used up what its window of time may have of calls, minutes or money.
    WindowLimit,
}

impl Cause {
    /// All of them, in the order of their codes in a frame: append, never reorder.
    pub const ALL: [Cause; 21] = [
        Cause::Answered,
        Cause::Refused,
        Cause::Redirected,
        Cause::NoResponse,
        Cause::NoAnswer,
        Cause::TransportError,
        Cause::Cancelled,
        Cause::AnsweredElsewhere,
        Cause::NoRoute,
        Cause::NoGateway,
        Cause::Rejected,
        Cause::Overloaded,
        Cause::MaxDuration,
        Cause::CallerHungUp,
        Cause::CalleeHungUp,
        Cause::DialogLost,
        Cause::Shutdown,
        Cause::CallLimit,
        Cause::RateLimit,
        Cause::Blocked,
        Cause::WindowLimit,
    ];

    /// The word that a record carries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Answered => "answered",
            Cause::Refused => "refused",
            Cause::Redirected => "redirected",
            Cause::NoResponse => "no_response",
            Cause::NoAnswer => "no_answer",
            Cause::TransportError => "transport_error",
            Cause::Cancelled => "cancelled",
            Cause::AnsweredElsewhere => "answered_elsewhere",
            Cause::NoRoute => "no_route",
            Cause::NoGateway => "no_gateway",
            Cause::Rejected => "rejected",
            Cause::Overloaded => "overloaded",
            Cause::MaxDuration => "max_duration",
            Cause::CallerHungUp => "caller_hung_up",
            Cause::CalleeHungUp => "callee_hung_up",
            Cause::DialogLost => "dialog_lost",
            Cause::Shutdown => "shutdown",
            Cause::CallLimit => "call_limit",
            Cause::RateLimit => "rate_limit",
            Cause::Blocked => "blocked",
            Cause::WindowLimit => "window_limit",
        }
    }

    /// The Q.850 cause of a call or attempt that ended for this reason with this final status.
    ///
    /// `reason` is the cause value that a peer gave in a Reason header (RFC 3326 §2): it was nearer
    /// to the telephone than we are, so it wins if it is a value that Q.850 can write.
    #[must_use]
    pub const fn q850(self, status: u16, reason: Option<u8>) -> u8 {
        if let Some(value @ 1..=127) = reason {
            return value;
        }
        match self {
            Cause::Answered
            | Cause::Cancelled
            | Cause::AnsweredElsewhere
            | Cause::CallerHungUp
            | Cause::CalleeHungUp => NORMAL_CLEARING,
            Cause::NoAnswer => NO_ANSWER_FROM_USER,
            // As a 408 would be: the protocol's timer ended it.
            Cause::NoResponse | Cause::MaxDuration => RECOVERY_ON_TIMER_EXPIRY,
            // RFC 3261 §16.9 and §8.1.3.1 treat a transport error as a 503.
            Cause::TransportError | Cause::Shutdown | Cause::DialogLost => TEMPORARY_FAILURE,
            Cause::Refused
            | Cause::Redirected
            | Cause::NoRoute
            | Cause::NoGateway
            | Cause::Rejected
            | Cause::Overloaded
            | Cause::CallLimit
            | Cause::RateLimit
            | Cause::Blocked
            | Cause::WindowLimit => q850_of(status),
        }
    }
}

const NORMAL_CLEARING: u8 = 16;
const NO_ANSWER_FROM_USER: u8 = 19;
const NORMAL_UNSPECIFIED: u8 = 31;
const TEMPORARY_FAILURE: u8 = 41;
const RECOVERY_ON_TIMER_EXPIRY: u8 = 102;

/// The Q.850 cause of a final status: the table of RFC 3398 §8.2.6.1.
///
/// 488 and 606 have no row of their own there; without a Warning about the bearer they are 31.
/// 487 answers a CANCEL, which that section maps to 16. The table calls "Version Not Supported"
/// 504; the status is 505. A 2xx is not in the table: a call that was answered ends normally.
#[must_use]
#[rustfmt::skip] // a table: one row for each cause
pub const fn q850_of(status: u16) -> u8 {
    match status {
        404 | 485 | 604                               => 1,   // unallocated number
        200..=299 | 487                               => NORMAL_CLEARING,
        486 | 600                                     => 17,  // user busy
        480                                           => 18,  // no user responding
        401 | 402 | 403 | 407 | 603                   => 21,  // call rejected
        410                                           => 22,  // number changed
        482 | 483                                     => 25,  // exchange routing error
        484                                           => 28,  // invalid number format
        502                                           => 38,  // network out of order
        400 | 481 | 500 | 503                         => TEMPORARY_FAILURE,
        405                                           => 63,  // service or option unavailable
        406 | 415 | 501                               => 79,  // service or option not implemented
        408 | 504                                     => RECOVERY_ON_TIMER_EXPIRY,
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => 127, // interworking
        _                                             => NORMAL_UNSPECIFIED,
    }
}
