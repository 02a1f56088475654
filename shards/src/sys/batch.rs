//! Batches of datagrams: one system call for up to 64 of them, with their control messages.
//!
//! Everything the kernel reads or writes lies in vectors that are filled once and never grow:
//!
//! ```text
//!   headers[i] ──▶ names[i]      peer's address
//!        │   └───▶ controls[i]   receive stamp, local address, dropped count
//!        └───────▶ iovecs[i] ──▶ arena[i * 64 KiB ..]   (receiving)
//!                            └─▶ the caller's octets     (sending)
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use base::Wall;

use super::address;

/// Datagrams per system call.
pub(crate) const BATCH: usize = 64;
/// No UDP datagram is longer, so nothing is ever cut.
const DATAGRAM_BYTES: usize = 65_535;
/// Room for a stamp (32), a local address (at most 40) and the dropped count (24).
const CONTROL_BYTES: usize = 128;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Control([u8; CONTROL_BYTES]);

/// Preallocated room for one batch of received datagrams. A page of the arena becomes resident when
/// a datagram first reaches it, so usually one per datagram.
pub(crate) struct ReceiveBatch {
    arena: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
    /// Pointed at by `headers`, never read here.
    _iovecs: Vec<libc::iovec>,
    /// How many headers the last call filled.
    filled: usize,
}

/// One received datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) bytes: &'a [u8],
    /// `None` for an address of no internet family, which no internet socket receives.
    pub(crate) peer: Option<SocketAddr>,
    /// The address of ours that it was sent to, if the socket asks for it.
    pub(crate) local: Option<IpAddr>,
    /// When the kernel received it, by the civil clock.
    pub(crate) stamp: Option<Wall>,
    /// How many datagrams the kernel has dropped at this socket so far, modulo 2^32.
    pub(crate) dropped: Option<u32>,
}

impl ReceiveBatch {
    pub(crate) fn new() -> ReceiveBatch {
        let mut arena = vec![0; BATCH * DATAGRAM_BYTES];
        let mut names = vec![address::empty(); BATCH];
        let mut controls = vec![Control([0; CONTROL_BYTES]); BATCH];
        let mut iovecs: Vec<libc::iovec> = arena
            .chunks_exact_mut(DATAGRAM_BYTES)
            .map(|chunk| libc::iovec {
                iov_base: chunk.as_mut_ptr().cast(),
                iov_len: DATAGRAM_BYTES,
            })
            .collect();
        let headers = (iovecs.iter_mut().zip(&mut names).zip(&mut controls))
            .map(|((iovec, name), control)| header(iovec, name, control))
            .collect();
        ReceiveBatch {
            arena,
            names,
            controls,
            headers,
            _iovecs: iovecs,
            filled: BATCH,
        }
    }

    /// Receives what is there, up to [`BATCH`] datagrams, without waiting.
    ///
    /// # Errors
    /// As recvmmsg(2): `WouldBlock` if nothing is there.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // What the last call wrote into the lengths is what this one may use.
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
            header.msg_hdr.msg_flags = 0;
        }
        self.filled = 0;
        // SAFETY: `headers` has BATCH entries. Each points to an iovec, a name and a control buffer
        // of the stated lengths in vectors that this value owns and that are never resized, so
        // their memory stays where it was when the pointers were taken; moving this value does not
        // move it. Nobody else refers to that memory: `&mut self` excludes the slices that
        // `datagram` gave out. A null timeout is allowed.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
        self.filled = count;
        Ok(count)
    }

    /// The datagram at a place of the last batch.
    pub(crate) fn datagram(&self, index: usize) -> Received<'_> {
        assert!(index < self.filled, "the datagram is of the last batch");
        let header = &self.headers[index];
        let len = (header.msg_len as usize).min(DATAGRAM_BYTES);
        let start = index * DATAGRAM_BYTES;
        let mut received = Received {
            bytes: &self.arena[start..start + len],
            peer: address::read(&self.names[index], header.msg_hdr.msg_namelen),
            local: None,
            stamp: None,
            dropped: None,
        };
        read_control(&header.msg_hdr, &mut received);
        received
    }
}

fn read_control(header: &libc::msghdr, received: &mut Received<'_>) {
    // SAFETY: `header` is one that the kernel has just filled: msg_control points to our control
    // buffer and msg_controllen says how much of it is valid, which is what the CMSG functions walk.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: it was given by CMSG_FIRSTHDR or CMSG_NXTHDR and is not null: a whole header lies
        // there. The buffer is aligned to 16, and control messages are aligned within it.
        let message = unsafe { &*next };
        // SAFETY: as above; the data follows the header.
        let data = unsafe { libc::CMSG_DATA(next) };
        let data_len = (message.cmsg_len as usize).saturating_sub(data.addr() - next.addr());
        match (message.cmsg_level, message.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                // SAFETY: see `copy`: the kernel wrote `data_len` octets at `data`.
                if let Some(at) = unsafe { copy::<libc::timespec>(data, data_len) } {
                    received.stamp = Some(Wall(at.tv_sec * 1_000_000 + at.tv_nsec / 1_000));
                }
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                // SAFETY: as above.
                received.dropped = unsafe { copy::<u32>(data, data_len) };
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: as above.
                let info = unsafe { copy::<libc::in_pktinfo>(data, data_len) };
                received.local = info.map(|info| address::v4_ip(info.ipi_spec_dst));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: as above.
                let info = unsafe { copy::<libc::in6_pktinfo>(data, data_len) };
                received.local = info.map(|info| address::v6_ip(info.ipi6_addr));
            }
            _ => {}
        }
        // SAFETY: `header` and `next` are as CMSG_NXTHDR wants them, see above.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
}

/// Reads a plain C value of a control message, if all of it is there.
///
/// # Safety
/// `data` points to `len` initialised octets, and `T` is a C structure of integers, for which every
/// bit pattern is a value.
unsafe fn copy<T: Copy>(data: *const u8, len: usize) -> Option<T> {
    if len < size_of::<T>() {
        return None;
    }
    // SAFETY: the caller's promise, and the length was checked; the read needs no alignment.
    Some(unsafe { data.cast::<T>().read_unaligned() })
}

/// Preallocated room for one batch of datagrams to send.
pub(crate) struct SendBatch {
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// One datagram to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) peer: SocketAddr,
    /// The address of ours to send it from, on a wildcard socket.
    pub(crate) source: Option<IpAddr>,
}

impl SendBatch {
    pub(crate) fn new() -> SendBatch {
        let mut names = vec![address::empty(); BATCH];
        let mut controls = vec![Control([0; CONTROL_BYTES]); BATCH];
        let nothing = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        let mut iovecs = vec![nothing; BATCH];
        let headers = (iovecs.iter_mut().zip(&mut names).zip(&mut controls))
            .map(|((iovec, name), control)| header(iovec, name, control))
            .collect();
        SendBatch {
            names,
            controls,
            iovecs,
            headers,
        }
    }

    /// Sends `count` datagrams (at most [`BATCH`]), of which `item` tells each, without waiting.
    /// Says how many the kernel took, from the first on.
    ///
    /// # Errors
    /// As sendmmsg(2), and then about the first datagram: none was taken.
    pub(crate) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        count: usize,
        mut item: impl FnMut(usize) -> Outgoing<'a>,
    ) -> io::Result<usize> {
        assert!(count <= BATCH, "a batch has at most {BATCH} datagrams");
        for index in 0..count {
            let outgoing = item(index);
            self.iovecs[index] = libc::iovec {
                // The kernel does not write there, although the type would let it.
                iov_base: outgoing.bytes.as_ptr().cast_mut().cast(),
                iov_len: outgoing.bytes.len(),
            };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_namelen = address::write(&outgoing.peer, &mut self.names[index]);
            header.msg_controllen = match outgoing.source {
                Some(source) => write_source(source, &mut self.controls[index]) as _,
                None => 0,
            };
        }
        // SAFETY: the first `count` headers are filled; they point to names, controls and iovecs in
        // vectors that this value owns and never resizes. The iovecs point to octets borrowed for
        // `'a`, which outlives this call because `item` gave them out with it; the kernel only reads
        // them.
        let result = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}

/// Writes the control message that names the source address, and says how long it is.
fn write_source(source: IpAddr, control: &mut Control) -> usize {
    match source {
        IpAddr::V4(ip) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address::v4_addr(ip),
                ipi_addr: address::v4_addr(ip),
            };
            write_control(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        IpAddr::V6(ip) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: address::v6_addr(ip),
                ipi6_ifindex: 0,
            };
            write_control(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
    }
}

fn write_control<T: Copy>(
    control: &mut Control,
    level: libc::c_int,
    kind: libc::c_int,
    value: T,
) -> usize {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: these two only compute.
    let (space, len) = unsafe { (libc::CMSG_SPACE(size), libc::CMSG_LEN(size)) };
    assert!(space as usize <= CONTROL_BYTES, "the control buffer holds a source address");
    let header = control.0.as_mut_ptr().cast::<libc::cmsghdr>();
    // SAFETY: the buffer is aligned for a cmsghdr and, as asserted, holds it with the value behind
    // it; it is exclusively borrowed, and all its octets are initialised.
    unsafe {
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = len as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
    }
    space as usize
}

fn header(
    iovec: &mut libc::iovec,
    name: &mut libc::sockaddr_storage,
    control: &mut Control,
) -> libc::mmsghdr {
    // SAFETY: an mmsghdr is integers and pointers; all zeros (null) is a value of it.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_hdr.msg_iov = iovec;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_control = std::ptr::from_mut(control).cast();
    header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{receive_control, receive_local_address};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        let to = UdpSocket::bind(address).unwrap();
        let from = UdpSocket::bind(address).unwrap();
        receive_control(to.as_fd()).unwrap();
        receive_local_address(to.as_fd(), address.starts_with('[')).unwrap();
        (from, to)
    }

    #[test]
    fn batches_carry_octets_addresses_and_stamps() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let (from, to) = pair(ip);
            let (peer, us) = (to.local_addr().unwrap(), from.local_addr().unwrap());
            let messages: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; usize::from(n) * 200]).collect();
            let sent = SendBatch::new().send(from.as_fd(), 50, |index| Outgoing {
                bytes: &messages[index],
                peer,
                source: (index % 2 == 0).then_some(us.ip()),
            });
            assert_eq!(sent.unwrap(), 50);
            let mut batch = ReceiveBatch::new();
            let mut seen = 0;
            // Twice, so that lengths of the first call do not limit the second.
            while seen < 50 {
                let count = batch.receive(to.as_fd()).unwrap();
                for index in 0..count {
                    let got = batch.datagram(index);
                    assert_eq!((got.bytes, got.peer), (&messages[seen][..], Some(us)));
                    assert_eq!(got.local, Some(peer.ip()));
                    assert!(got.stamp > Some(Wall(1_700_000_000_000_000)));
                    seen += 1;
                }
            }
            let empty = batch.receive(to.as_fd()).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_wildcard_socket_sends_from_the_address_that_was_asked_for() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("0.0.0.0:0").unwrap();
        let peer = to.local_addr().unwrap();
        let sent = SendBatch::new().send(from.as_fd(), 1, |_| Outgoing {
            bytes: b"x",
            peer,
            source: Some("127.0.0.9".parse().unwrap()),
        });
        assert_eq!(sent.unwrap(), 1);
        let (_, source) = to.recv_from(&mut [0; 9]).unwrap();
        assert_eq!(source.ip().to_string(), "127.0.0.9");
    }

    #[test]
    fn the_largest_datagram_is_not_cut_and_a_larger_one_is_refused() {
        let (from, to) = pair("127.0.0.1:0");
        let peer = to.local_addr().unwrap();
        let bytes = vec![7; 65_536];
        let mut send = SendBatch::new();
        let mut try_len = |len: usize| {
            let outgoing = Outgoing { bytes: &bytes[..len], peer, source: None };
            send.send(from.as_fd(), 1, |_| outgoing)
        };
        assert_eq!(try_len(65_507).unwrap(), 1);
        assert_eq!(try_len(65_508).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        let mut batch = ReceiveBatch::new();
        assert_eq!(batch.receive(to.as_fd()).unwrap(), 1);
        assert_eq!(batch.datagram(0).bytes.len(), 65_507);
    }

    #[test]
    fn the_kernel_tells_what_it_dropped() {
        let (from, to) = pair("127.0.0.1:0");
        socket2::SockRef::from(&to).set_recv_buffer_size(4_096).unwrap();
        let peer = to.local_addr().unwrap();
        for _ in 0..200 {
            from.send_to(&[0; 500], peer).unwrap();
        }
        let mut batch = ReceiveBatch::new();
        let first = batch.receive(to.as_fd()).unwrap();
        assert!(first < 200);
        from.send_to(&[0; 500], peer).unwrap();
        assert_eq!(batch.receive(to.as_fd()).unwrap(), 1);
        assert_eq!(batch.datagram(0).dropped, Some(200 - first as u32));
    }
}
