//! Datagrams in: `recvmmsg` over arenas that are made once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

use super::address::{self, Storage};
use super::{BATCH, CONTROL_BYTES, Control};

/// No datagram is longer.
const DATAGRAM_BYTES: usize = 65_536;

/// Room for a batch of datagrams. Made in the thread that uses it.
///
/// ```text
///   headers[i] ──▶ names[i]      who sent it
///              ──▶ vectors[i] ──▶ arena[i * 64 KiB ..]   what
///              ──▶ controls[i]   when, and to which of our addresses
/// ```
pub(crate) struct Receiver {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Storage>,
    controls: Vec<Control>,
    /// Only the headers point here.
    _vectors: Vec<libc::iovec>,
    arena: Vec<u8>,
    /// How many entries the last call filled.
    filled: usize,
}

/// One received datagram.
pub(crate) struct Datagram<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) peer: SocketAddr,
    /// The address it was sent to, if the kernel told.
    pub(crate) local: Option<IpAddr>,
    /// When the kernel had it, since 1970.
    pub(crate) stamp: Option<Duration>,
    /// How many the kernel has dropped at this socket so far, modulo 2^32, if any.
    pub(crate) dropped: Option<u32>,
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        let mut arena = vec![0; BATCH * DATAGRAM_BYTES];
        let mut names = vec![address::empty(); BATCH];
        let mut controls = vec![Control([0; CONTROL_BYTES]); BATCH];
        let base = arena.as_mut_ptr();
        let mut vectors: Vec<libc::iovec> = (0..BATCH)
            .map(|at| libc::iovec {
                iov_base: base.wrapping_add(at * DATAGRAM_BYTES).cast(),
                iov_len: DATAGRAM_BYTES,
            })
            .collect();
        let headers = (0..BATCH)
            .map(|at| {
                // SAFETY: an `mmsghdr` is plain integers and pointers, for which zero is a value.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_name = (&raw mut names[at]).cast();
                header.msg_hdr.msg_iov = &raw mut vectors[at];
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = (&raw mut controls[at]).cast();
                header
            })
            .collect();
        Receiver {
            headers,
            names,
            controls,
            _vectors: vectors,
            arena,
            filled: 0,
        }
    }

    /// Takes up to `max` datagrams off a socket, without waiting. Returns how many.
    pub(crate) fn receive(&mut self, fd: RawFd, max: usize) -> io::Result<usize> {
        let max = max.min(BATCH);
        // The kernel has shortened the lengths of what it filled; the rest is as it was.
        let used = if self.filled == 0 { BATCH } else { self.filled };
        for header in &mut self.headers[..used] {
            header.msg_hdr.msg_namelen = size_of::<Storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
            header.msg_hdr.msg_flags = 0;
        }
        // SAFETY: the first `max` headers point into vectors of this value that are never resized
        // and whose heap memory does not move with it; their lengths were set above.
        let count = unsafe {
            libc::recvmmsg(
                fd,
                self.headers.as_mut_ptr(),
                max as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            self.filled = BATCH;
            return Err(io::Error::last_os_error());
        }
        self.filled = count as usize;
        Ok(count as usize)
    }

    /// One of the datagrams of the last [`Receiver::receive`]. `None`: its sender's address is of
    /// no family that we speak.
    pub(crate) fn get(&self, at: usize) -> Option<Datagram<'_>> {
        let header = self.headers[..self.filled].get(at)?;
        let start = at * DATAGRAM_BYTES;
        let len = (header.msg_len as usize).min(DATAGRAM_BYTES);
        let mut datagram = Datagram {
            bytes: &self.arena[start..start + len],
            peer: address::read(&self.names[at])?,
            local: None,
            stamp: None,
            dropped: None,
        };
        self.control(at, header, &mut datagram);
        Some(datagram)
    }

    /// Reads the control messages of a datagram.
    fn control(&self, at: usize, header: &libc::mmsghdr, datagram: &mut Datagram<'_>) {
        debug_assert_eq!(
            header.msg_hdr.msg_control.cast_const(),
            (&raw const self.controls[at]).cast()
        );
        // SAFETY: `msg_control` and `msg_controllen` describe what the kernel wrote into
        // `controls[at]`; CMSG_FIRSTHDR and CMSG_NXTHDR stay within them and give null at the end.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr) };
        while !next.is_null() {
            // SAFETY: not null, so a whole header within the buffer, which is aligned for it.
            let message = unsafe { &*next };
            let kind = (message.cmsg_level, message.cmsg_type);
            // SAFETY: the data of a control message that lies within the buffer.
            let data = unsafe { libc::CMSG_DATA(next) };
            match kind {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    // SAFETY: the kernel's message of this kind holds one `timespec`.
                    let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
                    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
                    datagram.stamp = Some(Duration::new(seconds, nanos.min(999_999_999)));
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    // SAFETY: the kernel's message of this kind holds one `u32`.
                    datagram.dropped = Some(unsafe { data.cast::<u32>().read_unaligned() });
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // SAFETY: the kernel's message of this kind holds one `in_pktinfo`.
                    let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                    datagram.local =
                        Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    // SAFETY: the kernel's message of this kind holds one `in6_pktinfo`.
                    let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                    datagram.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => {}
            }
            // SAFETY: as CMSG_FIRSTHDR above.
            next = unsafe { libc::CMSG_NXTHDR(&raw const header.msg_hdr, next) };
        }
    }
}
