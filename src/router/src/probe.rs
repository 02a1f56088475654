//! Gateways are asked whether they live: OPTIONS, each from the one shard that its number falls to.

use std::fmt::Write;

use base::{GatewayId, SlotId, Time, TimerId};
use call::token::mark_of;
use route::{GatewayState, HealthEvent};
use transaction::{ClientEvent, Kind};

use crate::counters::{Count, GatewayCell};
use crate::mail::{Letter, Notice};
use crate::paths::Text;
use crate::wake::Wake;
use crate::{Out, Router};

/// The user tag of a probe's client transaction.
const PROBE_TAG: u32 = u32::MAX;
/// How often a Call-ID is drawn until it falls to this shard. With 1,023 shards the chance to find
/// none is one in 10^7; the probe is then sent a second later.
const DRAWS_MAX: u32 = 16_384;

/// A gateway that this shard asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probing {
    pub(crate) gateway: GatewayId,
    /// The OPTIONS that is under way.
    pub(crate) client: Option<SlotId>,
    /// When it counts as unanswered; taken by the first verdict.
    timer: Option<TimerId>,
    /// When it was sent.
    sent: Time,
    /// When the next one is due.
    next: Time,
}

impl Router {
    pub(crate) fn is_probe(&self, tag: u32) -> bool {
        tag == PROBE_TAG
    }

    /// Makes the list of gateways that this shard asks, after a change of the world.
    pub(crate) fn list_probes(&mut self, out: &mut Out) {
        let old = std::mem::take(&mut self.probes);
        for gateway in self.world.gateways() {
            let mine = gateway.id.0 % u32::from(self.settings.shards) == u32::from(self.shard.0);
            if !mine || gateway.maintenance || gateway.probe.is_none() {
                continue;
            }
            let known = old.iter().find(|old| old.gateway == gateway.id);
            self.probes.push(
                known.copied().unwrap_or(Probing {
                    gateway: gateway.id,
                    client: None,
                    timer: None,
                    sent: Time::ZERO,
                    next: self
                        .health
                        .first_probe(gateway, out.now())
                        .unwrap_or(out.now()),
                }),
            );
        }
    }

    /// Sends what is due.
    pub(crate) fn send_probes(&mut self, out: &mut Out) {
        let now = out.now();
        for at in 0..self.probes.len() {
            let Probing {
                gateway,
                client: None,
                next,
                ..
            } = self.probes[at]
            else {
                continue;
            };
            if next > now {
                continue;
            }
            let Some(gateway) = self.world.gateway(gateway) else {
                continue;
            };
            let Some(probe) = gateway.probe else { continue };
            self.probes[at].next = self.health.next_probe(gateway, now).unwrap_or(now);
            self.send_probe(at, u64::from(probe.timeout_ms), out);
        }
    }

    fn send_probe(&mut self, at: usize, timeout_ms: u64, out: &mut Out) {
        let id = self.probes[at].gateway;
        let Some(gateway) = self.world.gateway(id) else {
            return;
        };
        let flow = self
            .settings
            .flow(gateway.transport, gateway.address, gateway.listener);
        let Some(flow) = flow else { return };
        // The user is nobody's slot: the tag says that this is a probe.
        let user = SlotId::new(self.shard, 0, 1);
        let Some(client) = self.insert_client(Kind::NonInvite, &flow, user, PROBE_TAG) else {
            return self.count(Count::TransactionsFull, out);
        };
        let text = self.write_probe(client, &flow, out);
        let packet = text.and_then(|text| {
            let packet = out.packet(text.as_bytes().len())?;
            out.buffer(packet)[..text.as_bytes().len()].copy_from_slice(text.as_bytes());
            out.set_len(packet, text.as_bytes().len());
            Some(packet)
        });
        let Some(packet) = packet else {
            if let Some(retired) = self.table.retire_client(client) {
                self.give_back(&retired, out);
            }
            return;
        };
        self.count(Count::ProbesSent, out);
        self.probes[at].client = Some(client);
        self.probes[at].sent = out.now();
        self.probes[at].timer = out.arm(timeout_ms * 1_000, Wake::Probe(client).token());
        self.step_client(client, ClientEvent::Start { packet }, None, out);
    }

    fn write_probe(
        &mut self,
        client: SlotId,
        flow: &base::Flow,
        out: &mut Out,
    ) -> Option<Text<1024>> {
        let listener = self.settings.listener(flow.listener)?;
        let (us, peer, transport) = (listener.advertise, flow.peer, flow.transport);
        let branch = self.settings.keys.branch(client, out.random());
        self.table.mark_client(client, mark_of(&branch));
        let mut call_id: Text<64> = Text::new();
        for _ in 0..DRAWS_MAX {
            call_id = Text::new();
            let _ = write!(call_id, "{:016x}@{}", out.random(), us.ip());
            if self.owner_of(call_id.as_bytes()) == self.shard {
                break;
            }
        }
        let tag = out.random();
        let mut text = Text::new();
        let uri_transport = match transport {
            base::Transport::Udp => "",
            base::Transport::Tcp => ";transport=tcp",
        };
        let _ = write!(text, "OPTIONS sip:{peer}{uri_transport} SIP/2.0\r\n");
        let _ = write!(text, "Via: SIP/2.0/{} {us};branch=", transport.via_name());
        text.put(&branch);
        let _ = write!(
            text,
            ";rport\r\nMax-Forwards: 1\r\nFrom: <sip:{us}>;tag={tag:016x}\r\n"
        );
        let _ = write!(text, "To: <sip:{peer}>\r\nCall-ID: ");
        text.put(call_id.as_bytes());
        let _ = write!(text, "\r\nCSeq: 1 OPTIONS\r\nContact: <sip:{us}>\r\n");
        text.put(b"Accept: application/sdp\r\nContent-Length: 0\r\n\r\n");
        Some(text)
    }

    fn probe_of(&mut self, client: SlotId) -> Option<&mut Probing> {
        self.probes
            .iter_mut()
            .find(|probe| probe.client == Some(client))
    }

    /// A gateway answered: it lives, unless it says that it cannot serve.
    pub(crate) fn probe_answered(&mut self, client: SlotId, status: u16, out: &mut Out) {
        if status < 200 {
            return;
        }
        if status == 503 {
            return self.probe_failed(client, out);
        }
        let Some(probe) = self.probe_of(client) else {
            return;
        };
        let (gateway, sent) = (probe.gateway, probe.sent);
        if let Some(timer) = probe.timer.take() {
            out.cancel(timer);
            self.health_event(gateway, HealthEvent::ProbeOk, out);
            if self.world.measures_trips() {
                self.tell_trip(gateway, out.now().micros_since(sent), out);
            }
        }
    }

    /// How long a gateway took to answer a probe, for all shards: only one of them asks it.
    fn tell_trip(&mut self, gateway: GatewayId, us: u64, out: &mut Out) {
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        self.note_trip(gateway, us.into(), out);
        for shard in (0..self.settings.shards).map(base::ShardId) {
            if shard != self.shard {
                out.post(shard, Letter::RoundTrip { gateway, us });
            }
        }
    }

    /// How long a gateway took from a request to its first answer.
    pub(crate) fn note_trip(&mut self, id: GatewayId, us: u64, out: &Out) {
        if let Some(gateway) = self.world.gateway(id) {
            self.health.note_round_trip(gateway, us, out.now());
        }
    }

    /// A gateway did not answer in time, or badly.
    pub(crate) fn probe_failed(&mut self, client: SlotId, out: &mut Out) {
        let Some(probe) = self.probe_of(client) else {
            return;
        };
        let gateway = probe.gateway;
        let Some(timer) = probe.timer.take() else {
            return;
        };
        out.cancel(timer);
        self.count(Count::ProbesFailed, out);
        self.health_event(gateway, HealthEvent::ProbeFailed, out);
    }

    /// The patience with a probe is over; its transaction need not go on.
    pub(crate) fn probe_overdue(&mut self, client: SlotId, out: &mut Out) {
        self.probe_failed(client, out);
        self.retire_client(client, out);
    }

    pub(crate) fn probe_retired(&mut self, client: SlotId) {
        if let Some(probe) = self.probe_of(client) {
            probe.client = None;
        }
    }

    /// Takes what was learnt of a gateway, and tells the other shards if it changes its state.
    pub(crate) fn health_event(&mut self, id: GatewayId, event: HealthEvent, out: &mut Out) {
        let Some(gateway) = self.world.gateway(id) else {
            return;
        };
        let Some(change) = self.health.apply(gateway, event, out.now()) else {
            return;
        };
        let name = self.world.gateway_name(id).as_bytes();
        out.notice(Notice::gateway(name, change.from, change.to, Some(event)));
        for shard in (0..self.settings.shards).map(base::ShardId) {
            if shard != self.shard {
                out.post(
                    shard,
                    Letter::Health {
                        gateway: id,
                        state: change.to,
                    },
                );
            }
        }
    }

    /// Another shard learnt it.
    pub(crate) fn adopt_health(&mut self, id: GatewayId, state: GatewayState, out: &mut Out) {
        if let Some(gateway) = self.world.gateway(id) {
            self.health.adopt(gateway, state, out.now());
        }
    }

    /// Lets time act on the gateways' states, and shows them in the statistics.
    pub(crate) fn tick_health(&mut self, out: &mut Out) {
        for gateway in self.world.gateways() {
            let now = out.now();
            if let Some(change) = self.health.tick(gateway, now)
                && self.shard == base::ShardId(0)
            {
                // Every shard sees it by itself; one tells the operator.
                let name = gateway.name.as_bytes();
                out.notice(Notice::gateway(name, change.from, change.to, None));
            }
            let code = self.health.state_of(gateway, now).code();
            let at = gateway.id.0 as usize * crate::GATEWAY_CELLS.len();
            out.stats()
                .dynamic_set(at + GatewayCell::State as usize, code);
        }
    }
}
