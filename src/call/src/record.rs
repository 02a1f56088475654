//! From a call's slot to its record.

use base::{Flow, GatewayId, Money, SlotId, Time};
use cdr::Party;
use route::Price;

use crate::{Attempt, Call, Ending};

/// The names that a record carries besides the call's own.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The node's name.
    pub node: &'a [u8],
    /// The ingress trunk's.
    pub trunk: &'a [u8],
    /// The ingress carrier's.
    pub carrier: &'a [u8],
    /// Where the caller is.
    pub caller: &'a Flow,
}

/// Writes the record of a dialog (or, without one, of the call that nobody answered) as a frame of
/// [`cdr::encode`]. Returns its length, or `None` if `out` is too short.
///
/// `identity` is the run of the call's names ([`cdr::Identity::write`]); `gateway` names a gateway and its carrier.
pub fn encode_record<'a>(
    call: &Call,
    slot: SlotId,
    dialog: Option<usize>,
    identity: &[u8],
    names: &Names<'a>,
    gateway: impl Fn(GatewayId) -> (&'a [u8], &'a [u8]),
    out: &mut [u8],
) -> Option<usize> {
    let dialog_at = dialog;
    let dialog = dialog.map(|at| &call.dialogs[at]);
    let ending = ending(call, dialog_at)?;
    let answered = dialog.and_then(|dialog| dialog.answered.get());
    let duration_us = answered.map_or(0, |at| ending.at.micros_since(at));
    let paid_by = dialog.map(|dialog| usize::from(dialog.attempt));
    let attempts = (call.attempts.iter().enumerate()).map(|(number, attempt)| cdr::Attempt {
        bought: attempt.bought.as_ref().map(|price| {
            let is_paid = answered.is_some() && paid_by == Some(number);
            price_record(price, is_paid.then_some(duration_us))
        }),
        ..attempt_record(call, number, attempt, ending.at, &gateway)
    });
    let last = match dialog {
        Some(dialog) => call.attempts.get(usize::from(dialog.attempt)),
        None => call.attempts.last(),
    };
    let (egress_gateway, egress_carrier) = last
        .and_then(|attempt| attempt.gateway)
        .map_or((&b""[..], &b""[..]), &gateway);
    let first_ring = (last.and_then(|attempt| attempt.progress.get())).or(call.ringing.get());
    let mut id = [0; 320];
    // The refusal of a call, and each dialog that a late answer made all the same, are records of
    // their own: their ids differ as if they had begun apart.
    let place = dialog_at.map_or(0, |at| at as u64 + 1);
    let started = call.began_wall.plus_micros(place);
    let node = &names.node[..names.node.len().min(256)];
    let id_len = cdr::write_id(node, slot, started, &mut id)?;
    let record = cdr::Call {
        id: &id[..id_len],
        node: names.node,
        generation: call.generation,
        identity,
        ingress_trunk: names.trunk,
        ingress_carrier: names.carrier,
        source: names.caller.peer,
        source_transport: names.caller.transport,
        started: call.began_wall,
        ringing: call.ringing.get().map(|at| call.wall(at)),
        answered: answered.map(|at| call.wall(at)),
        ended: call.wall(ending.at),
        duration_us,
        pdd_us: first_ring
            .or(answered)
            .map(|at| at.micros_since(call.began)),
        status: if answered.is_some() { 200 } else { call.status },
        q850: ending.cause.q850(call.status, call.q850),
        hung_up: ending.by,
        cause: ending.cause,
        egress_gateway,
        egress_carrier,
        sold: (call.sold.as_ref()).map(|price| price_record(price, answered.map(|_| duration_us))),
        attempts: &[],
        clipped: false,
    };
    cdr::encode_with(&record, attempts, out)
}

fn ending(call: &Call, dialog: Option<usize>) -> Option<Ending> {
    match dialog {
        Some(at) => call.dialogs[at].ending,
        None => call.unanswered,
    }
}

fn attempt_record<'a>(
    call: &Call,
    number: usize,
    attempt: &Attempt,
    call_ended: Time,
    gateway: &impl Fn(GatewayId) -> (&'a [u8], &'a [u8]),
) -> cdr::Attempt<'a> {
    let (name, carrier) = attempt.gateway.map_or((&b""[..], &b""[..]), gateway);
    let (ended, cause) = attempt
        .ended()
        .unwrap_or((call_ended, open_cause(call, attempt)));
    let (transport, address) = attempt.sent_to();
    cdr::Attempt {
        number: u8::try_from(number + 1).unwrap_or(u8::MAX),
        gateway: name,
        carrier,
        address,
        transport,
        started: call.wall(attempt.started),
        progress: attempt.progress.get().map(|at| call.wall(at)),
        answered: attempt.answered.get().map(|at| call.wall(at)),
        ended: call.wall(ended),
        status: attempt.status,
        q850: cause.q850(attempt.status, attempt.q850),
        cause,
        bought: None,
    }
}

/// A price, and what it comes to for a call that was answered for so long.
fn price_record(price: &Price, answered_us: Option<u64>) -> cdr::Price {
    // A call of part of a millisecond is one that began.
    let amount = answered_us.map(|us| price.amount(us.div_ceil(1_000)));
    cdr::Price {
        per_minute: price.per_minute,
        connect_fee: price.connect_fee,
        first_seconds: price.steps.first_seconds(),
        next_seconds: price.steps.next_seconds(),
        currency: price.currency.letters(),
        digits_count: price.digits_count,
        // More than can be written: the rate and the duration are there for whoever bills it.
        amount: amount.flatten().unwrap_or(Money::ZERO),
    }
}

/// The cause of an attempt that has no end of its own: it is the call's, or it was answered.
fn open_cause(call: &Call, attempt: &Attempt) -> cdr::Cause {
    if attempt.answered.is_some() {
        return cdr::Cause::Answered;
    }
    match call.unanswered {
        Some(Ending {
            by: Party::Caller, ..
        }) => cdr::Cause::Cancelled,
        Some(ending) => ending.cause,
        None => cdr::Cause::AnsweredElsewhere,
    }
}
