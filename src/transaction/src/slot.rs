//! A transaction's place: its machine, and what the table and the router keep beside it.
//!
//! Half a million of these exist at 15,000 calls/s, because RFC 6026 keeps both sides of an answered
//! INVITE for 32 s. So a slot owns no address and no message, only the ids of those, and its size is
//! asserted below.

use std::num::NonZeroU32;

use base::{FlowId, PacketId, SlotId, TimerId, Transport};

use crate::client::Client;
use crate::invite_client::InviteClient;
use crate::invite_server::InviteServer;
use crate::key::Key;
use crate::server::Server;
use crate::timers::{Place, Timers};
use crate::{Actions, ClientEvent, ClientState, InviteClientState, InviteServerState};
use crate::{ServerEvent, ServerState, Timer, Timing};

/// Which of the two machines of a side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// INVITE: a person answers, so it may take long, and there is an ACK.
    Invite,
    /// Any other method but ACK.
    NonInvite,
}

/// The machine of a server transaction.
#[derive(Clone, Copy, Debug)]
pub enum ServerMachine {
    /// For INVITE.
    Invite(InviteServer),
    /// For the rest.
    NonInvite(Server),
}

/// A server transaction. Lives in its shard's [`crate::Table`].
#[derive(Clone, Copy, Debug)]
pub struct ServerSlot {
    pub(crate) key: Key,
    pub(crate) user: SlotId,
    pub(crate) timers: Timers,
    flow: FlowId,
    /// By RFC 2543 rules: the To tag that the ACK must carry.
    pub(crate) response_tag: Option<NonZeroU32>,
    machine: ServerMachine,
}

const _: () = assert!(base::Slab::<ServerSlot>::SLOT_BYTES <= 80);

impl ServerSlot {
    pub(crate) fn new(
        key: Key,
        kind: Kind,
        flow: FlowId,
        transport: Transport,
        user: SlotId,
    ) -> ServerSlot {
        let machine = match kind {
            Kind::Invite => ServerMachine::Invite(InviteServer::new(transport)),
            Kind::NonInvite => ServerMachine::NonInvite(Server::new(transport)),
        };
        ServerSlot {
            machine,
            flow,
            user,
            key,
            response_tag: None,
            timers: Timers::default(),
        }
    }

    pub(crate) fn step(&mut self, event: ServerEvent, timing: &Timing, actions: &mut Actions) {
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.step(event, timing, actions),
            ServerMachine::NonInvite(machine) => machine.step(event, timing, actions),
        }
    }

    /// Its machine, with the state.
    #[must_use]
    pub const fn machine(&self) -> &ServerMachine {
        &self.machine
    }

    /// INVITE or not.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.machine {
            ServerMachine::Invite(_) => Kind::Invite,
            ServerMachine::NonInvite(_) => Kind::NonInvite,
        }
    }

    /// The path that the request came by and the responses leave by.
    #[must_use]
    pub const fn flow(&self) -> FlowId {
        self.flow
    }

    /// The proxy core's slot for it.
    #[must_use]
    pub const fn user(&self) -> SlotId {
        self.user
    }

    /// The key by which its request is found.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The status of the last response that was sent; 0 before the first.
    #[must_use]
    pub const fn last_status(&self) -> u16 {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.status(),
            ServerMachine::NonInvite(machine) => machine.status(),
        }
    }

    /// The response that it holds to repeat.
    #[must_use]
    pub const fn response(&self) -> Option<PacketId> {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.response(),
            ServerMachine::NonInvite(machine) => machine.response(),
        }
    }

    /// Whether the proxy core still owes the final response.
    #[must_use]
    pub const fn is_unanswered(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => {
                matches!(machine.state(), InviteServerState::Proceeding)
            }
            ServerMachine::NonInvite(machine) => {
                matches!(
                    machine.state(),
                    ServerState::Trying | ServerState::Proceeding
                )
            }
        }
    }

    /// Whether it is an INVITE that was answered with a 2xx (RFC 6026).
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(&self.machine, ServerMachine::Invite(machine)
            if matches!(machine.state(), InviteServerState::Accepted))
    }

    /// Whether the machine has ended and the slot waits to be retired.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => {
                matches!(machine.state(), InviteServerState::Terminated)
            }
            ServerMachine::NonInvite(machine) => {
                matches!(machine.state(), ServerState::Terminated)
            }
        }
    }

    /// The timer that ends its state whatever happens; `None` while the proxy core must decide.
    #[must_use]
    pub const fn bound(&self) -> Option<Timer> {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.bound(),
            ServerMachine::NonInvite(machine) => machine.bound(),
        }
    }

    /// Its entry in the wheel fired: the timer or the patience that is due by now, if any; it is no
    /// longer armed then.
    pub(crate) fn fired(&mut self, now_ms: u64) -> Option<Due> {
        let place = self.timers.fired(now_ms)?;
        self.at(place)
    }

    /// Whether a timer is armed in the place of this one.
    #[must_use]
    pub fn is_armed(&self, timer: Timer) -> bool {
        self.timers.is_armed(timer.place())
    }

    /// Its deadlines.
    pub fn timers_mut(&mut self) -> &mut Timers {
        &mut self.timers
    }

    /// What is armed in a place: a server owes a 100 before it is answered, and what ends its state
    /// after.
    fn at(&self, place: Place) -> Option<Due> {
        let timer = match place {
            Place::Repeat => Some(Timer::G),
            Place::Bound => self.bound().or(Some(Timer::Trying)),
            Place::Patience => None,
        };
        timer.map(Due::Timer)
    }

    pub(crate) fn retire(self) -> Retired {
        Retired {
            flow: self.flow,
            packet: self.response(),
            timer: self.timers.entry(),
            user: self.user,
            user_tag: 0,
        }
    }
}

/// The machine of a client transaction.
#[derive(Clone, Copy, Debug)]
pub enum ClientMachine {
    /// For INVITE.
    Invite(InviteClient),
    /// For the rest.
    NonInvite(Client),
}

/// A client transaction. Lives in its shard's [`crate::Table`].
#[derive(Clone, Copy, Debug)]
pub struct ClientSlot {
    pub(crate) user: SlotId,
    pub(crate) timers: Timers,
    flow: FlowId,
    pub(crate) user_tag: u32,
    /// What its branch says besides the slot, which nobody else can know: 40 bits.
    mark_low: u32,
    mark_high: u8,
    machine: ClientMachine,
    /// Whether a provisional response ever came; outlives the state that it led to.
    got_provisional: bool,
}

const _: () = assert!(base::Slab::<ClientSlot>::SLOT_BYTES <= 72);

impl ClientSlot {
    pub(crate) fn new(
        kind: Kind,
        flow: FlowId,
        transport: Transport,
        user: SlotId,
        user_tag: u32,
    ) -> ClientSlot {
        let machine = match kind {
            Kind::Invite => ClientMachine::Invite(InviteClient::new(transport)),
            Kind::NonInvite => ClientMachine::NonInvite(Client::new(transport)),
        };
        ClientSlot {
            machine,
            flow,
            user,
            user_tag,
            mark_low: 0,
            mark_high: 0,
            got_provisional: false,
            timers: Timers::default(),
        }
    }

    pub(crate) fn step(&mut self, event: ClientEvent, timing: &Timing, actions: &mut Actions) {
        if let ClientEvent::Response { status } = event
            && (!self.got_provisional || status >= 200)
        {
            // The patience for a first answer, or for the last one, has served.
            self.timers.disarm(Place::Patience);
        }
        match &mut self.machine {
            ClientMachine::Invite(machine) => machine.step(event, timing, actions),
            ClientMachine::NonInvite(machine) => machine.step(event, timing, actions),
        }
        self.got_provisional |= (100..200).contains(&self.last_status());
    }

    /// Its machine, with the state.
    #[must_use]
    pub const fn machine(&self) -> &ClientMachine {
        &self.machine
    }

    /// INVITE or not.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.machine {
            ClientMachine::Invite(_) => Kind::Invite,
            ClientMachine::NonInvite(_) => Kind::NonInvite,
        }
    }

    /// The path that the request leaves by.
    #[must_use]
    pub const fn flow(&self) -> FlowId {
        self.flow
    }

    /// The proxy core's slot for it.
    #[must_use]
    pub const fn user(&self) -> SlotId {
        self.user
    }

    /// What its branch says besides the slot, in 40 bits.
    #[must_use]
    pub const fn mark(&self) -> u64 {
        (self.mark_high as u64) << 32 | self.mark_low as u64
    }

    pub(crate) fn set_mark(&mut self, mark: u64) {
        (self.mark_low, self.mark_high) = (mark as u32, (mark >> 32) as u8);
    }

    /// Which of the user's branches it is.
    #[must_use]
    pub const fn user_tag(&self) -> u32 {
        self.user_tag
    }

    /// The status of the last response that moved it; 0 before the first.
    #[must_use]
    pub const fn last_status(&self) -> u16 {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.status(),
            ClientMachine::NonInvite(machine) => machine.status(),
        }
    }

    /// The request as it was sent, while it is needed: to repeat it, to derive a CANCEL or an ACK.
    #[must_use]
    pub const fn request(&self) -> Option<PacketId> {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.request(),
            ClientMachine::NonInvite(machine) => machine.request(),
        }
    }

    /// Whether a provisional response has come: only then may a CANCEL be sent (RFC 3261 §9.1).
    #[must_use]
    pub const fn got_provisional(&self) -> bool {
        self.got_provisional
    }

    /// Whether the request was sent and its final response is awaited.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => matches!(
                machine.state(),
                InviteClientState::Calling
                    | InviteClientState::Proceeding
                    | InviteClientState::Cancelling
            ),
            ClientMachine::NonInvite(machine) => {
                matches!(
                    machine.state(),
                    ClientState::Trying | ClientState::Proceeding
                )
            }
        }
    }

    /// Whether it is an INVITE that was answered with a 2xx (RFC 6026).
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(&self.machine, ClientMachine::Invite(machine)
            if matches!(machine.state(), InviteClientState::Accepted))
    }

    /// Whether the machine has ended and the slot waits to be retired.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => {
                matches!(machine.state(), InviteClientState::Terminated)
            }
            ClientMachine::NonInvite(machine) => {
                matches!(machine.state(), ClientState::Terminated)
            }
        }
    }

    /// The timer that ends its state whatever happens; `None` while the proxy core must decide.
    #[must_use]
    pub const fn bound(&self) -> Option<Timer> {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.bound(),
            ClientMachine::NonInvite(machine) => machine.bound(),
        }
    }

    /// Its entry in the wheel fired: the timer or the patience that is due by now, if any; it is no
    /// longer armed then.
    pub(crate) fn fired(&mut self, now_ms: u64) -> Option<Due> {
        let place = self.timers.fired(now_ms)?;
        self.at(place)
    }

    /// Whether a timer is armed in the place of this one.
    #[must_use]
    pub fn is_armed(&self, timer: Timer) -> bool {
        self.timers.is_armed(timer.place())
    }

    /// Its deadlines.
    pub fn timers_mut(&mut self) -> &mut Timers {
        &mut self.timers
    }

    /// What is armed in a place.
    fn at(&self, place: Place) -> Option<Due> {
        match (place, self.kind()) {
            (Place::Repeat, Kind::Invite) => Some(Due::Timer(Timer::A)),
            (Place::Repeat, Kind::NonInvite) => Some(Due::Timer(Timer::E)),
            (Place::Bound, _) => self.bound().map(Due::Timer),
            (Place::Patience, _) => Some(Due::Patience),
        }
    }

    pub(crate) fn retire(self) -> Retired {
        let held = match &self.machine {
            ClientMachine::Invite(machine) => machine.held(),
            ClientMachine::NonInvite(machine) => machine.request(),
        };
        Retired {
            flow: self.flow,
            packet: held,
            timer: self.timers.entry(),
            user: self.user,
            user_tag: self.user_tag,
        }
    }
}

/// What is due of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// A timer of its machine: step it.
    Timer(Timer),
    /// The proxy core's patience with a client.
    Patience,
}

/// What a retired slot still held. The flow and the packet are to be released, the timer cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Retired {
    /// Its path.
    pub flow: FlowId,
    /// A reference that goes back to the pool.
    pub packet: Option<PacketId>,
    /// The entry in the wheel that stood for its deadlines.
    pub timer: Option<TimerId>,
    /// The proxy core's slot for it.
    pub user: SlotId,
    /// Which of the user's branches it was; 0 for a server.
    pub user_tag: u32,
}
