//! The network between routers and carriers: virtual time, loss, duplication, delay, traps.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::net::SocketAddr;

use base::Time;

use crate::dice::Dice;
use crate::gossip;
use crate::machine::{Machine, Record};
use crate::plan::{self, Borders, Link, Plan};
use crate::watch::Watch;

/// Routers, and everything on its way between them and the carriers.
pub struct Network {
    machines: Vec<Machine>,
    events: BinaryHeap<Reverse<Event>>,
    sequence: u64,
    dice: Dice,
    link: Link,
    /// What carriers say about people, if they do.
    borders: Option<Borders>,
    /// Addresses from and to which nothing arrives for now.
    cut_off: BTreeSet<SocketAddr>,
    now: Time,
    /// The invariants of everything the routers send.
    pub watch: Watch,
    /// Datagrams sent, for reports.
    pub datagrams: u64,
    /// Where the story is written, if somebody wants to read it.
    pub tale: Option<Vec<String>>,
}

/// What concerns the carriers.
#[derive(Debug)]
pub enum Happening {
    /// A datagram reached a carrier.
    Arrived {
        /// When.
        at: Time,
        /// From where.
        from: SocketAddr,
        /// To which of the carriers' addresses.
        to: SocketAddr,
        /// Its octets.
        bytes: Vec<u8>,
    },
    /// A carrier had asked to be woken.
    Woken {
        /// When.
        at: Time,
        /// Who asked.
        actor: usize,
        /// What for.
        token: u64,
    },
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Time,
    sequence: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrive {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Wake {
        actor: usize,
        token: u64,
    },
}

impl Network {
    /// The routers of a plan, and nothing on its way.
    #[must_use]
    pub fn new(plan: &Plan, link: Link) -> Network {
        let machines: Vec<Machine> = (0..plan.routers).map(|n| Machine::new(plan, n)).collect();
        Network {
            machines,
            events: BinaryHeap::new(),
            sequence: 0,
            dice: Dice::new(plan.seed ^ 0x6e65_7477_6f72_6b00),
            link,
            borders: plan.borders.clone(),
            cut_off: BTreeSet::new(),
            now: Time::ZERO,
            watch: Watch::new(plan),
            datagrams: 0,
            tale: None,
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// From now on the network treats datagrams so.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// An address is cut off, or joined again.
    pub fn cut_off(&mut self, address: SocketAddr, is_cut_off: bool) {
        if is_cut_off {
            self.cut_off.insert(address);
        } else {
            self.cut_off.remove(&address);
        }
    }

    /// Sends a datagram through the network's faults.
    pub fn send(&mut self, at: Time, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.datagrams += 1;
        let said;
        let bytes = match &self.borders {
            Some(borders) if borders.is_trusted(from).is_some() => {
                said = gossip::add(from, bytes);
                &said
            }
            _ => bytes,
        };
        if self.tale.is_some() {
            self.tell(at, from, to, bytes);
        }
        if self.cut_off.contains(&from) || self.cut_off.contains(&to) {
            return;
        }
        let copies = 1 + usize::from(self.dice.chance(self.link.duplication));
        for _ in 0..copies {
            let delay = self
                .dice
                .between(self.link.delay_us_min, self.link.delay_us_max);
            if self.dice.chance(self.link.loss) {
                continue;
            }
            let what = What::Arrive {
                from,
                to,
                bytes: bytes.to_vec(),
            };
            self.schedule(Time(at.0 + delay), what);
        }
    }

    /// A carrier wants to hear of this moment.
    pub fn wake(&mut self, at: Time, actor: usize, token: u64) {
        self.schedule(at, What::Wake { actor, token });
    }

    fn schedule(&mut self, at: Time, what: What) {
        self.sequence += 1;
        self.events.push(Reverse(Event {
            at,
            sequence: self.sequence,
            what,
        }));
    }

    /// Runs until something concerns the carriers. `None`: nothing does until `until`.
    ///
    /// # Errors
    /// The first invariant that something sent by a router breaks.
    pub fn next(&mut self, until: Time) -> Result<Option<Happening>, String> {
        loop {
            let due = self
                .events
                .peek()
                .map_or(until, |Reverse(event)| event.at.min(until));
            if self.run_machines(due)? {
                continue;
            }
            self.now = self.now.max(due);
            let is_due = self
                .events
                .peek()
                .is_some_and(|Reverse(event)| event.at <= until);
            if !is_due {
                return Ok(None);
            }
            let Some(Reverse(event)) = self.events.pop() else {
                return Ok(None);
            };
            let at = event.at;
            match event.what {
                What::Wake { actor, token } => {
                    return Ok(Some(Happening::Woken { at, actor, token }));
                }
                What::Arrive { from, to, bytes } => {
                    let machine = self.machines.iter_mut().find(|m| m.address() == to);
                    let Some(machine) = machine else {
                        return Ok(Some(Happening::Arrived {
                            at,
                            from,
                            to,
                            bytes,
                        }));
                    };
                    machine.datagram(at, from, &bytes);
                }
            }
        }
    }

    /// Runs one event of a router that is due, and takes what it sent. `false`: none is.
    ///
    /// With one router, `until` is the next datagram or the caller's patience: nothing can arrive
    /// before it. With two, none may run ahead of what the other may still send it, so both go on
    /// in slices of the shortest delay.
    fn run_machines(&mut self, until: Time) -> Result<bool, String> {
        let mut horizon = self.horizon(until);
        loop {
            for n in 0..self.machines.len() {
                let address = self.machines[n].address();
                let Some(sent) = self.machines[n].step(horizon) else {
                    continue;
                };
                self.machines[n].audit_sometimes()?;
                for (at, to, bytes) in sent {
                    self.now = self.now.max(at);
                    self.watch.sent(at, address, to, &bytes)?;
                    self.send(at, address, to, &bytes);
                }
                return Ok(true);
            }
            self.now = self.now.max(horizon);
            if horizon >= until {
                return Ok(false);
            }
            horizon = self.horizon(until);
        }
    }

    fn horizon(&self, until: Time) -> Time {
        match self.machines.len() {
            0 | 1 => until,
            _ => until.min(Time(self.now.0 + self.link.delay_us_min.max(1))),
        }
    }

    /// A shard loses its memory.
    pub fn restart(&mut self, machine: usize, shard: u16) {
        if let Some(tale) = &mut self.tale {
            tale.push(format!(
                "{:>12.6} shard {shard} loses its memory",
                self.now.0 as f64 / 1e6
            ));
        }
        self.machines[machine].restart(shard);
        self.watch.forget();
    }

    /// The shard of the first router that owns a Call-ID.
    #[must_use]
    pub fn owner(&self, call_id: &str) -> u16 {
        self.machines[0].owner(call_id)
    }

    /// The routing world is published anew, unchanged in substance.
    pub fn reload(&mut self) {
        for machine in &mut self.machines {
            machine.reload();
        }
    }

    /// The call records of a router so far.
    pub fn records(&mut self, machine: usize) -> Vec<Record> {
        self.machines[machine].records()
    }

    /// As [`Machine::measured`].
    #[must_use]
    pub fn measured(&self, machine: usize) -> [u64; 3] {
        self.machines[machine].measured()
    }

    /// How many calls are held by all routers now.
    #[must_use]
    pub fn calls_held(&self) -> usize {
        self.machines.iter().map(Machine::calls_held).sum()
    }

    /// A counter of a router, summed over its shards.
    #[must_use]
    pub fn counter(&self, machine: usize, name: &str) -> u64 {
        self.machines[machine].counter(name)
    }

    /// After all traffic ended and all deadlines passed: nothing may be left.
    ///
    /// # Errors
    /// What is left, and where.
    pub fn audit_end(&mut self) -> Result<(), String> {
        for machine in &mut self.machines {
            machine.audit_end()?;
        }
        Ok(())
    }

    fn tell(&mut self, at: Time, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let start = text.lines().next().unwrap_or("").to_owned();
        let line = |name: &str| {
            text.lines()
                .find(|l| l.to_ascii_lowercase().starts_with(name))
                .unwrap_or("")
                .to_owned()
        };
        let entry = format!(
            "{:>12.6} {} → {}  {start}  {} {}",
            at.0 as f64 / 1e6,
            name_of(from),
            name_of(to),
            line("cseq"),
            line("call-id")
        );
        if let Some(tale) = &mut self.tale {
            tale.push(entry);
        }
    }
}

/// The letter of an address, or the address.
#[must_use]
pub fn name_of(address: SocketAddr) -> String {
    if address == plan::ROUTER {
        return "T".to_owned();
    }
    if address == plan::SECOND {
        return "U".to_owned();
    }
    if address == plan::CUSTOMER {
        return "A".to_owned();
    }
    (0..7)
        .find(|&n| plan::vendor(n) == address)
        .map_or(address.to_string(), |n| plan::vendor_name(n).to_uppercase())
}
