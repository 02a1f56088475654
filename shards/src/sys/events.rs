//! What is ready on the descriptors of a `mio::Poll`.
//!
//! `mio` registers; waiting is done here: once a turn, without an `Instant` and without a point of
//! cancellation (see `call!`).

use std::os::fd::RawFd;

/// Room for what one call tells.
pub(crate) struct Events {
    list: Vec<libc::epoll_event>,
    count: usize,
}

/// What is ready on one descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready(u32);

impl Ready {
    pub(crate) fn is_readable(self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLPRI)
    }

    pub(crate) fn is_writable(self) -> bool {
        self.has(libc::EPOLLOUT)
    }

    pub(crate) fn is_error(self) -> bool {
        self.has(libc::EPOLLERR)
    }

    /// The peer sends no more.
    pub(crate) fn is_read_closed(self) -> bool {
        self.has(libc::EPOLLHUP | libc::EPOLLRDHUP)
    }

    fn has(self, bits: i32) -> bool {
        self.0 & bits as u32 != 0
    }
}

impl Events {
    /// Room for so many.
    pub(crate) fn new(events_max: usize) -> Events {
        Events {
            list: vec![libc::epoll_event { events: 0, u64: 0 }; events_max],
            count: 0,
        }
    }

    /// Waits for up to so many milliseconds. Interrupted, it says that nothing is ready.
    pub(crate) fn wait(&mut self, epoll: RawFd, ms: u64) {
        let ms = i32::try_from(ms).unwrap_or(i32::MAX);
        // SAFETY: the list has room for as many events as its length says, which the call fills
        // and does not keep; there is no signal mask.
        let count = unsafe {
            call!(
                libc::SYS_epoll_pwait,
                epoll,
                self.list.as_mut_ptr(),
                self.list.len() as libc::c_int,
                ms,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        self.count = usize::try_from(count).unwrap_or(0);
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each with the token that its descriptor was registered with.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Ready)> {
        let list = self.list[..self.count].iter();
        list.map(|event| (event.u64 as usize, Ready(event.events)))
    }
}
