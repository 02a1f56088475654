//! The system calls that no library wraps: datagrams in batches, with their control messages.
//!
//! The only `unsafe` of the runtime. Everything here is a thin type over one call; what the calls
//! mean is decided in `udp.rs`.

#![allow(unsafe_code)]

/// A system call without the C library's function for it, which makes each call that may wait a
/// point where the thread can be cancelled: 60 instructions around each. Nobody cancels a shard.
macro_rules! call {
    ($number:expr, $($argument:expr),+ $(,)?) => {
        libc::syscall($number, $($argument),+)
    };
}

mod address;
pub(crate) mod bpf;
mod clock;
mod events;
mod fetch;
mod pages;
mod receive;
mod send;

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

pub(crate) use clock::{civil_us, monotonic_us, nap, nap_exactly};
pub(crate) use events::{Events, Ready};
pub use fetch::fetch;
pub(crate) use pages::populate;
pub(crate) use receive::Receiver;
pub(crate) use send::{SEGMENTS_MAX, Sender};

/// Room for the control messages of one datagram: a time stamp, a packet-info of either family, the
/// count of those dropped and the size of segments take 120.
const CONTROL_BYTES: usize = 128;
/// `UDP_SEGMENT` and `UDP_GRO` of linux/udp.h.
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;

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

/// An integer option of a socket.
fn option(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value: i32 = 0;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: both pointers are to values that live through the call; `len` says how large the first
    // is, and the kernel writes no more.
    let result =
        unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) };
    match result {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the kernel looks for the MTU of an IPv4 socket's paths, which it does unless the system is
/// told not to (`net.ipv4.ip_no_pmtu_disc`).
pub(crate) fn finds_mtu(fd: RawFd) -> bool {
    let is = option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
    matches!(is, Ok(libc::IP_PMTUDISC_WANT))
}

/// Whether the kernel cuts what is wider than a path of an IPv4 socket, or refuses it with EMSGSIZE. A
/// datagram that will not be cut needs no identification, which else is drawn from a counter that all
/// processors share.
pub(crate) fn let_cut(fd: RawFd, cuts: bool) -> io::Result<()> {
    let how = match cuts {
        true => libc::IP_PMTUDISC_WANT,
        false => libc::IP_PMTUDISC_DO,
    };
    set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, how)
}

/// Asks the kernel to stamp each datagram with the time it came and to tell how many it dropped
/// before; on a wildcard also the address that it was sent to.
pub(crate) fn want_control(fd: RawFd, address: SocketAddr) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    match (address.ip().is_unspecified(), address.is_ipv4()) {
        (false, _) => Ok(()),
        (true, true) => set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        (true, false) => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Asks for datagrams of one peer and size to be received as one piece of memory.
pub(crate) fn want_trains(fd: RawFd) -> io::Result<()> {
    set_option(fd, libc::SOL_UDP, UDP_GRO, 1)
}

/// Asks the kernel to look at the device's queue itself for so long before it waits for an
/// interrupt; more than `net.core.busy_read` needs CAP_NET_ADMIN.
pub(crate) fn busy_poll(fd: RawFd, us: u32) -> io::Result<()> {
    let us = i32::try_from(us).unwrap_or(i32::MAX);
    set_option(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, us)
}

/// Asks for a receive buffer beyond the system's limit; needs CAP_NET_ADMIN.
pub(crate) fn force_receive_buffer(fd: RawFd, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}
