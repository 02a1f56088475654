//! Datagrams in: `recvmmsg` over an arena that is made once.
//!
//! Cost: what a datagram is read from is its header, its name, one control message of 32 octets and
//! its own octets. The slots of the arena lie a few cache lines off the power of two: else the
//! first lines of all of them would fall into the same few sets of the cache.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

use base::Wall;

use super::address::{self, Storage};
use super::{CONTROL_BYTES, Control, UDP_GRO};

/// No datagram is longer.
const DATAGRAM_BYTES: usize = 65_536;
/// From one slot of the arena to the next: 13 lines further in every cache.
const SLOT_BYTES: usize = DATAGRAM_BYTES + 13 * 64;
/// What stands before the data of a control message.
const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();

/// Room for a batch of datagrams. Made in the thread that uses it.
///
/// ```text
///   headers[i] ──▶ names[i]      who sent it
///              ──▶ vectors[i] ──▶ arena[i * SLOT_BYTES ..]   what
///              ──▶ controls[i]   when, and to which of our addresses
/// ```
pub(crate) struct Receiver {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Storage>,
    controls: Vec<Control>,
    /// Only the headers point here.
    _vectors: Vec<libc::iovec>,
    /// Never resized, so that the vectors go on pointing into it.
    arena: Vec<u8>,
    /// How many entries the last call filled.
    filled: usize,
}

/// One received datagram, or several of one size and sender in a row.
pub(crate) struct Datagram<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) peer: SocketAddr,
    /// The address it was sent to, if the kernel told.
    pub(crate) local: Option<IpAddr>,
    /// When the kernel had it.
    pub(crate) stamp: Option<Wall>,
    /// How many the kernel has dropped at this socket so far, modulo 2^32, if any.
    pub(crate) dropped: Option<u32>,
    /// How long each of several is; the last may be shorter. At least 1.
    pub(crate) segment: usize,
}

impl Receiver {
    /// Room for so many datagrams; their octets are not touched before they come.
    pub(crate) fn new(batch: usize) -> Receiver {
        let mut arena = vec![0; batch * SLOT_BYTES];
        let mut names = vec![address::empty(); batch];
        let mut controls = vec![Control([0; CONTROL_BYTES]); batch];
        let base = arena.as_mut_ptr();
        let mut vectors: Vec<libc::iovec> = (0..batch)
            .map(|at| libc::iovec {
                iov_base: base.wrapping_add(at * SLOT_BYTES).cast(),
                iov_len: DATAGRAM_BYTES,
            })
            .collect();
        let headers = (0..batch)
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
            filled: batch,
        }
    }

    /// How many datagrams one call takes at most.
    pub(crate) fn batch(&self) -> usize {
        self.headers.len()
    }

    /// Takes as many datagrams off a socket as there are, up to the batch, without waiting. Returns
    /// how many.
    pub(crate) fn receive(&mut self, fd: RawFd) -> io::Result<usize> {
        // The kernel has shortened the lengths of what it filled; the rest is as it was.
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = size_of::<Storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        // SAFETY: the headers point into vectors of this value that are never resized and whose
        // heap memory does not move with it; their lengths were set above or never changed.
        let count = unsafe {
            call!(
                libc::SYS_recvmmsg,
                fd,
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut::<libc::timespec>(),
            )
        };
        if count < 0 {
            self.filled = self.headers.len();
            return Err(io::Error::last_os_error());
        }
        // A header that the kernel failed on may be changed too.
        self.filled = (count as usize + 1).min(self.headers.len());
        Ok(count as usize)
    }

    /// The octets of one of the datagrams, or of several of one length, of the last
    /// [`Receiver::receive`].
    #[inline]
    pub(crate) fn bytes(&self, at: usize) -> &[u8] {
        let len = (self.headers[at].msg_len as usize).min(DATAGRAM_BYTES);
        &self.arena[at * SLOT_BYTES..][..len]
    }

    /// One of the datagrams of the last [`Receiver::receive`]. `None`: its sender's address is of
    /// no family that we speak.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<Datagram<'_>> {
        let header = &self.headers[at];
        let bytes = self.bytes(at);
        let mut datagram = Datagram {
            bytes,
            peer: address::read(&self.names[at])?,
            local: None,
            stamp: None,
            dropped: None,
            segment: bytes.len().max(1),
        };
        let written = header.msg_hdr.msg_controllen.min(CONTROL_BYTES);
        datagram.read_control(&self.controls[at].0[..written]);
        Some(datagram)
    }
}

impl Datagram<'_> {
    /// Reads the control messages of a datagram: each a header and its data, aligned to 8.
    #[inline]
    fn read_control(&mut self, mut rest: &[u8]) {
        while let Some((header, data)) = rest.split_at_checked(HEADER_BYTES) {
            let len = read::<usize>(header).unwrap_or(0);
            let level = read::<i32>(&header[8..]).unwrap_or(0);
            let kind = read::<i32>(&header[12..]).unwrap_or(0);
            if len < HEADER_BYTES {
                return;
            }
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = read::<[i64; 2]>(data);
                    // Wrapping: whatever stands there, the shard must not stop for it.
                    self.stamp = time.map(|[seconds, nanos]| {
                        let micros = i64::from(nanos as u32 / 1_000);
                        Wall(seconds.wrapping_mul(1_000_000).wrapping_add(micros))
                    });
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.dropped = read::<u32>(data),
                // `in_pktinfo`: the interface, our address for it, and the one in the header.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = read::<[[u8; 4]; 3]>(data);
                    self.local = info.map(|[_, _, address]| Ipv4Addr::from(address).into());
                }
                // `in6_pktinfo`: the address, the interface.
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    self.local = read::<[u8; 16]>(data).map(|ip| Ipv6Addr::from(ip).into());
                }
                (libc::SOL_UDP, UDP_GRO) => {
                    let size = read::<i32>(data).and_then(|size| usize::try_from(size).ok());
                    self.segment = size.unwrap_or(0).max(1);
                }
                _ => {}
            }
            let next = len.checked_next_multiple_of(8);
            rest = next.and_then(|next| rest.get(next..)).unwrap_or(&[]);
        }
    }
}

/// Plain values of any bytes, as control messages hold them.
trait Plain: Copy {}
impl Plain for usize {}
impl Plain for i32 {}
impl Plain for u32 {}
impl Plain for [i64; 2] {}
impl Plain for [[u8; 4]; 3] {}
impl Plain for [u8; 16] {}

fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: there are as many bytes as a `T` has, and every pattern of them is a `T`.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram() -> Datagram<'static> {
        Datagram {
            bytes: b"",
            peer: "192.0.2.1:5060".parse().unwrap(),
            local: None,
            stamp: None,
            dropped: None,
            segment: 1,
        }
    }

    fn control(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER_BYTES + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn control_messages_are_read_in_any_order_and_never_past_their_end() {
        let time = [7_i64.to_ne_bytes(), 9_500_i64.to_ne_bytes()].concat();
        let all = [
            control(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &5_u32.to_ne_bytes()),
            control(libc::SOL_UDP, UDP_GRO, &600_i32.to_ne_bytes()),
            control(99, 99, b"unknown"),
            control(
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                &[0, 0, 0, 1, 9, 9, 9, 9, 192, 0, 2, 7],
            ),
            control(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time),
        ]
        .concat();
        let mut whole = datagram();
        whole.read_control(&all);
        assert_eq!(whole.stamp, Some(Wall(7_000_009)));
        assert_eq!(whole.local, Some("192.0.2.7".parse().unwrap()));
        assert_eq!((whole.dropped, whole.segment), (Some(5), 600));
        let mut v6 = datagram();
        let data = [&[0x20, 1, 0xd, 0xb8][..], &[0; 12], &[0; 4]].concat();
        v6.read_control(&control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data));
        assert_eq!(v6.local, Some("2001:db8::".parse().unwrap()));
        for end in 0..all.len() {
            datagram().read_control(&all[..end]);
        }
        datagram().read_control(&[0; 64]);
        datagram().read_control(&[0xff; 64]);
    }
}
