//! A source in its thread: where it sends from, how it speaks, what it has counted.

use std::net::SocketAddr;

use hdrhistogram::Histogram;

use crate::load::ports::{Flow, Owner, Ports};
use crate::load::voice::Voice;
use crate::load::{Calls, Transport};

/// After a connection could not be made, it is not tried again for so long.
const CONNECT_AGAIN_US: u64 = 1_000_000;

/// A source.
pub(crate) struct Seat {
    /// Its place in the plan.
    pub(crate) place: usize,
    pub(crate) address: SocketAddr,
    pub(crate) voice: Voice,
    pub(crate) calls: Calls,
    pub(crate) setup: Histogram<u64>,
    pub(crate) owner: Owner,
    pub(crate) transport: Transport,
    /// Its datagram socket, or its first connection.
    pub(crate) port: u16,
    pub(crate) targets: Vec<SocketAddr>,
    pub(crate) weight: i64,
    pub(crate) credit: i64,
    pub(crate) connect_again_us: u64,
}

impl Seat {
    /// The seat whose turn it is: each as often as its weight says, evenly mixed.
    pub(crate) fn next(seats: &mut [Seat]) -> Option<usize> {
        if seats.len() <= 1 {
            return (!seats.is_empty()).then_some(0);
        }
        let mut total = 0;
        let mut best = 0;
        for at in 0..seats.len() {
            seats[at].credit += seats[at].weight;
            total += seats[at].weight;
            if seats[at].credit > seats[best].credit {
                best = at;
            }
        }
        seats[best].credit -= total;
        Some(best)
    }

    /// The way to one of the targets; none = there is no connection.
    pub(crate) fn flow_to(
        &mut self,
        target: usize,
        now_us: u64,
        ports: &mut Ports,
    ) -> Option<Flow> {
        let peer = self.targets[target];
        self.way(peer, now_us, ports)
    }

    /// The way to where a dialog's requests go; if that is no literal address, the way its INVITE
    /// went.
    pub(crate) fn hop_to(
        &mut self,
        hop: Option<SocketAddr>,
        invite: Flow,
        now_us: u64,
        ports: &mut Ports,
    ) -> Option<Flow> {
        match hop {
            Some(peer) if peer != invite.peer => self.way(peer, now_us, ports),
            _ => Some(invite),
        }
    }

    fn way(&mut self, peer: SocketAddr, now_us: u64, ports: &mut Ports) -> Option<Flow> {
        let port = match self.transport {
            Transport::Udp => self.port,
            Transport::Tcp => match ports.stream_to(self.owner, peer) {
                Some(port) => port,
                None => self.connect(peer, now_us, ports)?,
            },
        };
        Some(Flow { port, peer })
    }

    fn connect(&mut self, peer: SocketAddr, now_us: u64, ports: &mut Ports) -> Option<u16> {
        if now_us < self.connect_again_us {
            return None;
        }
        let local = SocketAddr::new(self.address.ip(), 0);
        match ports.connect(self.owner, local, peer) {
            Ok((port, _)) => Some(port),
            Err(_) => {
                self.connect_again_us = now_us + CONNECT_AGAIN_US;
                None
            }
        }
    }
}
