//! The system calls that no library wraps: datagrams in batches, with their control messages.
//!
//! The only `unsafe` of the runtime. Everything here is a thin type over one call; what the calls
//! mean is decided in `udp.rs`.

#![allow(unsafe_code)]

mod address;
mod receive;
mod send;

use std::io;
use std::os::fd::RawFd;

pub(crate) use receive::Receiver;
pub(crate) use send::{Outbound, Sender};

/// How many datagrams one system call moves at most.
pub(crate) const BATCH: usize = 64;
/// Room for the control messages of one datagram: a time stamp, a packet-info of either family and
/// the count of those dropped take 96.
const CONTROL_BYTES: usize = 128;

/// Room for control messages, aligned as they must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// Sets an integer option of a socket.
pub(crate) fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which lives through the call; the
    // kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks the kernel to stamp each datagram with the time it came, and to tell the address it was
/// sent to and how many it dropped before.
pub(crate) fn want_control(fd: RawFd, is_ipv4: bool) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    match is_ipv4 {
        true => set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        false => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Asks for a receive buffer beyond the system's limit; needs CAP_NET_ADMIN.
pub(crate) fn force_receive_buffer(fd: RawFd, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}
