//! The system calls that the standard library and socket2 do not offer: batches of datagrams with
//! control messages, and a few socket options. The only `unsafe` code of the runtime.

#![allow(unsafe_code)]

mod address;
mod batch;
mod options;

pub(crate) use batch::{BATCH, Outgoing, ReceiveBatch, SendBatch};
pub(crate) use options::{
    force_receive_buffer, force_send_buffer, receive_control, receive_local_address,
};
