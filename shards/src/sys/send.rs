//! Datagrams out: `sendmmsg` over arrays that are made once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use super::address::{self, Storage};
use super::{BATCH, CONTROL_BYTES, Control};

/// One datagram to be sent.
pub(crate) struct Outbound<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) peer: SocketAddr,
    /// Our address that it must leave from, on a wildcard socket.
    pub(crate) source: Option<IpAddr>,
}

/// Room for a batch of datagrams to be sent. Made in the thread that uses it.
pub(crate) struct Sender {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Storage>,
    vectors: Vec<libc::iovec>,
    controls: Vec<Control>,
    count: usize,
}

impl Sender {
    pub(crate) fn new() -> Sender {
        // SAFETY: an `mmsghdr` is plain integers and pointers, for which zero is a value.
        let header = || unsafe { std::mem::zeroed::<libc::mmsghdr>() };
        let vector = || libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Sender {
            headers: (0..BATCH).map(|_| header()).collect(),
            names: vec![address::empty(); BATCH],
            vectors: (0..BATCH).map(|_| vector()).collect(),
            controls: vec![Control([0; CONTROL_BYTES]); BATCH],
            count: 0,
        }
    }

    /// Sends the first [`BATCH`] of these over one socket, without waiting, and says how many left.
    /// An error speaks of the first of them.
    pub(crate) fn send<'a>(
        &mut self,
        fd: RawFd,
        datagrams: impl Iterator<Item = Outbound<'a>>,
    ) -> io::Result<usize> {
        self.count = 0;
        for datagram in datagrams.take(BATCH) {
            self.put(&datagram);
        }
        if self.count == 0 {
            return Ok(0);
        }
        // SAFETY: the first `count` headers were filled by `put` with pointers into vectors of this
        // value, which are never resized, and to octets that `datagrams` borrows for 'a, which
        // outlives this call.
        let sent = unsafe {
            libc::sendmmsg(
                fd,
                self.headers.as_mut_ptr(),
                self.count as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(sent as usize)
        }
    }

    fn put(&mut self, datagram: &Outbound<'_>) {
        let at = self.count;
        self.count += 1;
        self.vectors[at] = libc::iovec {
            iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
            iov_len: datagram.bytes.len(),
        };
        let name_len = address::write(datagram.peer, &mut self.names[at]);
        let header = &mut self.headers[at].msg_hdr;
        header.msg_name = (&raw mut self.names[at]).cast();
        header.msg_namelen = name_len;
        header.msg_iov = &raw mut self.vectors[at];
        header.msg_iovlen = 1;
        header.msg_control = std::ptr::null_mut();
        header.msg_controllen = 0;
        header.msg_flags = 0;
        if let Some(source) = datagram.source {
            self.put_source(at, source);
        }
    }

    fn put_source(&mut self, at: usize, source: IpAddr) {
        let control = &mut self.controls[at];
        control.0 = [0; CONTROL_BYTES];
        let header = &mut self.headers[at].msg_hdr;
        header.msg_control = (&raw mut *control).cast();
        match source {
            IpAddr::V4(ip) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from(ip).to_be(),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                fill(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            IpAddr::V6(ip) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                fill(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
        }
    }
}

/// Writes one control message into the header's buffer, which has [`CONTROL_BYTES`].
fn fill<T>(header: &mut libc::msghdr, level: i32, kind: i32, data: T) {
    const { assert!(size_of::<T>() <= 64, "a packet-info of either family") };
    // SAFETY: arithmetic only; the sizes are those of `T`.
    let (space, len) = unsafe {
        let size = size_of::<T>() as libc::c_uint;
        (libc::CMSG_SPACE(size), libc::CMSG_LEN(size))
    };
    header.msg_controllen = space as usize;
    // SAFETY: `msg_control` points to CONTROL_BYTES aligned bytes, more than `space`: the first
    // header and its data lie within.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = level;
        (*first).cmsg_type = kind;
        (*first).cmsg_len = len as usize;
        libc::CMSG_DATA(first).cast::<T>().write_unaligned(data);
    }
}
