//! From a call's slot to its record.

use base::{Flow, GatewayId, SlotId, Time};
use cdr::Party;

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
    let attempts = (call.attempts.iter().enumerate())
        .map(|(number, attempt)| attempt_record(call, number, attempt, ending.at, &gateway));
    let last = match dialog {
        Some(dialog) => call.attempts.get(usize::from(dialog.attempt)),
        None => call.attempts.last(),
    };
    let (egress_gateway, egress_carrier) = last
        .and_then(|attempt| attempt.gateway)
        .map_or((&b""[..], &b""[..]), &gateway);
    let answered = dialog.and_then(|dialog| dialog.answered.get());
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
        duration_us: answered.map_or(0, |at| ending.at.micros_since(at)),
        pdd_us: first_ring
            .or(answered)
            .map(|at| at.micros_since(call.began)),
        status: if answered.is_some() { 200 } else { call.status },
        q850: ending.cause.q850(call.status, call.q850),
        hung_up: ending.by,
        cause: ending.cause,
        egress_gateway,
        egress_carrier,
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
