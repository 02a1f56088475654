//! Random work: whatever happens in whatever order, references, timers and slots add up.

use base::{SlotId, Transport};
use proptest::prelude::*;

use super::router::Router;
use crate::{ClientEvent, Kind, Limits, ServerEvent, Side, Timer};

/// One thing that happens. Numbers choose a slot among all there ever were, also dead ones.
#[derive(Clone, Copy, Debug)]
enum Step {
    OpenServer(Kind, Transport),
    OpenClient(Kind, Transport),
    Server(usize, ServerStep),
    Client(usize, ClientStep),
    Pass { ms: u64 },
    Pool { has_room: bool },
}

#[derive(Clone, Copy, Debug)]
enum ServerStep {
    Event(ServerEvent),
    Respond(u16),
}

#[derive(Clone, Copy, Debug)]
enum ClientStep {
    Event(ClientEvent),
    Start,
    SendAck,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || prop_oneof![Just(Kind::Invite), Just(Kind::NonInvite)];
    let transport = || prop_oneof![Just(Transport::Udp), Just(Transport::Tcp)];
    let slot = 0_usize..40;
    let status = || prop_oneof![Just(100), Just(180), Just(200), Just(408), 100_u16..700];
    let server = prop_oneof![
        3 => Just(ServerStep::Event(ServerEvent::Request)),
        2 => Just(ServerStep::Event(ServerEvent::Ack)),
        1 => Just(ServerStep::Event(ServerEvent::Abandon)),
        1 => Just(ServerStep::Event(ServerEvent::TransportError)),
        5 => status().prop_map(ServerStep::Respond),
    ];
    let client = prop_oneof![
        4 => Just(ClientStep::Start),
        6 => status().prop_map(|status| ClientStep::Event(ClientEvent::Response { status })),
        1 => Just(ClientStep::SendAck),
        1 => Just(ClientStep::Event(ClientEvent::Cancel)),
        1 => Just(ClientStep::Event(ClientEvent::TransportError)),
    ];
    let step = prop_oneof![
        2 => (kind(), transport()).prop_map(|(kind, transport)| Step::OpenServer(kind, transport)),
        2 => (kind(), transport()).prop_map(|(kind, transport)| Step::OpenClient(kind, transport)),
        6 => (slot.clone(), server).prop_map(|(slot, step)| Step::Server(slot, step)),
        8 => (slot, client).prop_map(|(slot, step)| Step::Client(slot, step)),
        4 => prop_oneof![0_u64..600, 0_u64..40_000, Just(200_000)].prop_map(|ms| Step::Pass { ms }),
        1 => any::<bool>().prop_map(|has_room| Step::Pool { has_room }),
    ];
    prop::collection::vec(step, 1..120)
}

struct World {
    router: Router,
    servers: Vec<SlotId>,
    clients: Vec<SlotId>,
}

impl World {
    fn new() -> World {
        World {
            router: Router::new(Limits {
                servers: 8,
                clients: 8,
            }),
            servers: Vec::new(),
            clients: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let router = &mut self.router;
        match step {
            Step::OpenServer(kind, transport) => {
                self.servers.extend(router.open_server(kind, transport));
            }
            Step::OpenClient(kind, transport) => {
                self.clients.extend(router.open_client(kind, transport));
            }
            Step::Server(slot, step) => {
                let Some(&id) = choose(&self.servers, slot) else {
                    return;
                };
                match step {
                    ServerStep::Event(event) => router.server(id, event),
                    ServerStep::Respond(status) => {
                        router.respond(id, status);
                    }
                }
            }
            Step::Client(slot, step) => {
                let Some(&id) = choose(&self.clients, slot) else {
                    return;
                };
                match step {
                    ClientStep::Event(event) => router.client(id, event),
                    ClientStep::Start => {
                        let packet = router.packet();
                        router.client(id, ClientEvent::Start { packet });
                    }
                    ClientStep::SendAck => {
                        let packet = router.packet();
                        router.client(id, ClientEvent::SendAck { packet });
                    }
                }
            }
            Step::Pass { ms } => router.run_until(router.now_ms + ms),
            Step::Pool { has_room } => router.pool_has_room = has_room,
        }
    }

    /// What must hold after every step.
    fn check(&self) {
        let router = &self.router;
        let audit = router.table.audit();
        assert_eq!(
            audit.packets,
            router.alive.len(),
            "each packet has an owner"
        );
        assert_eq!(audit.timers, router.armed.len(), "each timer has an owner");
        assert_eq!(audit.unbounded, 0, "a timer ends it or the user decides");
        assert_eq!((audit.unretired, audit.unfindable), (0, 0));
        let held = audit.accepted;
        assert!(held <= audit.servers + audit.clients);
        for &(due, timer) in router.armed.values() {
            let left = due.checked_sub(router.now_ms).expect("no timer is overdue");
            let longest = match timer {
                Timer::C => 181_000,
                _ => 32_000,
            };
            assert!(left <= longest, "{timer:?} runs {left} ms");
        }
        for &id in self.servers.iter().chain(&self.clients) {
            let server = router
                .table
                .server_ref(id)
                .filter(|slot| slot.is_accepted());
            assert!(server.is_none_or(|slot| slot.response().is_none()));
        }
    }

    /// The user decides everything that it owes, and time passes: nothing may be left.
    fn wind_up(&mut self) {
        for &id in &self.servers {
            self.router.server(id, ServerEvent::Abandon);
        }
        for &id in &self.clients {
            let slot = self.router.table.client_ref(id);
            if slot.is_some_and(|slot| slot.bound().is_none()) {
                self.router.retire(id, Side::Client);
            }
        }
        // Timer C and what follows its CANCEL, or B, F and D: no slot lives longer.
        self.router.run_until(self.router.now_ms + 181_000 + 32_000);
        assert!(
            self.router.table.is_empty(),
            "{:?}",
            self.router.table.audit()
        );
        assert!(self.router.alive.is_empty() && self.router.armed.is_empty());
    }
}

fn choose(all: &[SlotId], number: usize) -> Option<&SlotId> {
    // Late ones are more often alive.
    let back = number.checked_rem(all.len())?;
    all.iter().rev().nth(back)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_work_loses_and_leaks_nothing(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
        world.wind_up();
    }
}
