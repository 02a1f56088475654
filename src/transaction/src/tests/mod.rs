//! The tests of this crate: `tables` prints what the machines do with every event in every state,
//! `sequences` runs them against the clock, `matching` feeds the table messages, `model` random work.

mod matching;
mod model;
mod router;
mod sequences;
mod tables;

use std::net::SocketAddr;

use base::{Flow, FlowId, Flows, ListenerId, ShardId, SlotId, Transport};

/// A path over which tests send.
pub(crate) fn flow(transport: Transport) -> (FlowId, Transport) {
    let flow = Flow {
        transport,
        listener: ListenerId(0),
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        peer: SocketAddr::from(([198, 51, 100, 7], 5060)),
        conn: None,
    };
    let id = Flows::new(1, 0).keep(&flow).expect("room for one");
    (id, transport)
}

/// Someone's slot of the proxy core.
pub(crate) fn user() -> SlotId {
    SlotId::new(ShardId(0), 7, 1)
}

/// Calls `use_it` with the message that `text` writes out, `\n` standing for CRLF.
pub(crate) fn parsed<R>(text: &str, use_it: impl FnOnce(&sip::Message<'_>) -> R) -> R {
    let bytes = text.replace('\n', "\r\n").into_bytes();
    let mut index = sip::Index::new();
    let message = sip::parse(&bytes, &mut index).expect("the test writes a valid message");
    use_it(&message)
}
