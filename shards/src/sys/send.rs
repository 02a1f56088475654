//! Datagrams out: `sendmmsg` over arrays that are made once.
//!
//! A message is one datagram, or several of one size for one peer that the kernel cuts apart
//! (`UDP_SEGMENT`). Either is made of pieces that stay where they are until the kernel reads them.

use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use super::address::{self, Storage};
use super::{CONTROL_BYTES, Control, UDP_SEGMENT};

/// The most datagrams that the kernel cuts one message into (`UDP_MAX_SEGMENTS`; newer kernels take
/// 128).
pub(crate) const SEGMENTS_MAX: usize = 64;
/// Room for pieces, for each message of a batch.
const PIECES_A_MESSAGE: usize = 4;
/// The most pieces of one message: three of each segment.
const PIECES_MAX: usize = 3 * SEGMENTS_MAX;

/// Room for a batch of messages. Made in the thread that uses it.
///
/// ```text
///   headers[i] ──▶ names[i]     to whom
///              ──▶ controls[i]  from where; how long each segment is
///              ──▶ vectors[..]  ──▶ pieces: packets, and what lengthens them
/// ```
pub(crate) struct Sender {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Storage>,
    vectors: Vec<libc::iovec>,
    controls: Vec<Control>,
}

/// A batch that is being filled; `'b` is how long the pieces stay where they are.
pub(crate) struct Batch<'s, 'b> {
    sender: &'s mut Sender,
    messages: usize,
    pieces: usize,
    /// How many octets all of them have.
    bytes: usize,
    octets: PhantomData<&'b [u8]>,
}

impl Sender {
    pub(crate) fn new(batch: usize) -> Sender {
        let mut names = vec![address::empty(); batch];
        let mut controls = vec![Control([0; CONTROL_BYTES]); batch];
        let headers = (0..batch)
            .map(|at| {
                // SAFETY: an `mmsghdr` is plain integers and pointers, for which zero is a value.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_name = (&raw mut names[at]).cast();
                header.msg_hdr.msg_control = (&raw mut controls[at]).cast();
                header
            })
            .collect();
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        let pieces = batch * PIECES_A_MESSAGE + PIECES_MAX;
        Sender {
            headers,
            names,
            vectors: (0..pieces).map(|_| vector).collect(),
            controls,
        }
    }

    /// Begins a batch.
    pub(crate) fn batch<'s, 'b>(&'s mut self) -> Batch<'s, 'b> {
        Batch {
            sender: self,
            messages: 0,
            pieces: 0,
            bytes: 0,
            octets: PhantomData,
        }
    }
}

impl<'b> Batch<'_, 'b> {
    /// Whether another message fits, of however many pieces.
    pub(crate) fn has_room(&self) -> bool {
        self.messages < self.sender.headers.len()
            && self.sender.vectors.len() - self.pieces >= PIECES_MAX
    }

    /// How many messages were begun.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    /// Adds a message of one piece that is one datagram.
    #[inline]
    pub(crate) fn datagram(&mut self, peer: SocketAddr, source: Option<IpAddr>, bytes: &'b [u8]) {
        let sender = &mut *self.sender;
        let vector = &mut sender.vectors[self.pieces];
        vector.iov_base = bytes.as_ptr().cast_mut().cast();
        vector.iov_len = bytes.len();
        let header = &mut sender.headers[self.messages].msg_hdr;
        header.msg_namelen = address::write(peer, &mut sender.names[self.messages]);
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_controllen = match source {
            None => 0,
            Some(_) => write_control(&mut sender.controls[self.messages], source, None),
        };
        self.messages += 1;
        self.pieces += 1;
        self.bytes += bytes.len();
    }

    /// Begins a message: its pieces follow. `source` is the address of ours that it must leave from;
    /// the kernel cuts it into datagrams of `segment` octets.
    pub(crate) fn message(
        &mut self,
        peer: SocketAddr,
        source: Option<IpAddr>,
        segment: Option<u16>,
    ) {
        let at = self.messages;
        self.messages += 1;
        let sender = &mut *self.sender;
        let header = &mut sender.headers[at].msg_hdr;
        header.msg_namelen = address::write(peer, &mut sender.names[at]);
        header.msg_iov = sender.vectors[self.pieces..].as_mut_ptr();
        header.msg_iovlen = 0;
        header.msg_controllen = 0;
        if source.is_some() || segment.is_some() {
            header.msg_controllen = write_control(&mut sender.controls[at], source, segment);
        }
    }

    /// Adds octets to the message that was begun last: at most three pieces a segment.
    pub(crate) fn piece(&mut self, bytes: &'b [u8]) {
        self.sender.vectors[self.pieces] = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        self.pieces += 1;
        self.bytes += bytes.len();
        self.sender.headers[self.messages - 1].msg_hdr.msg_iovlen += 1;
    }

    /// Sends them over one socket, without waiting, and says how many messages left and how many
    /// octets they had. An error speaks of the first of them.
    pub(crate) fn send(self, fd: RawFd) -> io::Result<(usize, u64)> {
        if self.messages == 0 {
            return Ok((0, 0));
        }
        // SAFETY: the first `messages` headers were filled by `message` and `piece` with pointers
        // into vectors of the sender, which are never resized, and to octets that are borrowed for
        // 'b, which outlives this value; `piece` checked that their counts lie within the vectors.
        let sent = unsafe {
            call!(
                libc::SYS_sendmmsg,
                fd,
                self.sender.headers.as_mut_ptr(),
                self.messages as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        let sent = sent as usize;
        if sent == self.messages {
            return Ok((sent, self.bytes as u64));
        }
        let left = self.sender.headers[..sent].iter();
        Ok((sent, left.map(|header| u64::from(header.msg_len)).sum()))
    }
}

/// Writes the control messages of one message and returns how long they are.
#[inline(never)] // most messages have none
fn write_control(control: &mut Control, source: Option<IpAddr>, segment: Option<u16>) -> usize {
    let mut len = 0;
    match source {
        // `in_pktinfo`: no interface; our address; the one of a header, which is not ours to say.
        Some(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            let info = [0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0];
            put(control, &mut len, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        // `in6_pktinfo`: our address; no interface.
        Some(IpAddr::V6(ip)) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&ip.octets());
            put(
                control,
                &mut len,
                libc::IPPROTO_IPV6,
                libc::IPV6_PKTINFO,
                &info,
            );
        }
        None => {}
    }
    if let Some(segment) = segment {
        put(
            control,
            &mut len,
            libc::SOL_UDP,
            UDP_SEGMENT,
            &segment.to_ne_bytes(),
        );
    }
    len
}

/// Appends one control message: its header, its data, and zeros up to a multiple of 8.
fn put(control: &mut Control, at: &mut usize, level: i32, kind: i32, data: &[u8]) {
    let header = size_of::<libc::cmsghdr>();
    let space = (header + data.len()).next_multiple_of(8);
    let place = &mut control.0[*at..*at + space];
    place.fill(0);
    place[..8].copy_from_slice(&(header + data.len()).to_ne_bytes());
    place[8..12].copy_from_slice(&level.to_ne_bytes());
    place[12..16].copy_from_slice(&kind.to_ne_bytes());
    place[header..header + data.len()].copy_from_slice(data);
    *at += space;
}

const _: () = assert!(
    size_of::<libc::cmsghdr>() == 16 && size_of::<usize>() == 8,
    "control messages are written and read for 64 bits"
);
