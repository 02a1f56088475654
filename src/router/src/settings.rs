//! What a router is told at boot and keeps for life; what may change is in the snapshot.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use base::{Flow, ListenerId, Transport};
use call::{Keys, token};
use shards::steer::{Cookie, Recipe, ShedConfig, Sheddable, Spread};
use sip::Uri;
use siphasher::sip::SipHasher13;
use transaction::Timing;

/// A listener as SIP sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its transport.
    pub transport: Transport,
    /// The address it is bound to.
    pub address: SocketAddr,
    /// What goes into Via and Record-Route.
    pub advertise: SocketAddr,
}

/// When new requests are refused, and what neighbours are told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overload {
    /// The rules of admission.
    pub rules: overload::Rules,
    /// Whether neighbours that ask are told our load (RFC 7339).
    pub feedback: bool,
    /// How many requests of unknown sources each shard answers in a second; the rest is dropped.
    pub stranger_answers_max: u32,
    /// Whether the kernel, where it can, drops what is too much to be refused.
    pub sheds_in_kernel: bool,
    /// Trunks over the life of the process, removed ones included.
    pub trunks_max: usize,
}

impl Default for Overload {
    fn default() -> Overload {
        Overload {
            rules: overload::Rules::default(),
            feedback: true,
            stranger_answers_max: 200,
            sheds_in_kernel: true,
            trunks_max: 1_024,
        }
    }
}

/// The settings of all routers of a process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name, for records.
    pub node: Vec<u8>,
    /// The number of shards: the owner of a Call-ID is its hash modulo this.
    pub shards: u16,
    /// All listeners, in the order of their ids.
    pub listeners: Vec<Listener>,
    /// Host names that mean this node in a Route or a Request-URI, in small letters.
    pub names: Vec<Vec<u8>>,
    /// The keys of tokens and names.
    pub keys: Keys,
    /// The key of the hash that finds a Call-ID's owner.
    pub owner_key: (u64, u64),
    /// The key of the transaction tables.
    pub table_key: [u8; 16],
    /// Transactions of each side per shard.
    pub transactions_max: usize,
    /// Calls per shard.
    pub calls_max: usize,
    /// Gateways over the life of the process, removed ones included.
    pub gateways_max: usize,
    /// The timers of RFC 3261.
    pub timing: Timing,
    /// When new requests are refused, and what neighbours are told.
    pub overload: Overload,
    /// Requests larger than this leave by TCP if UDP was not asked for by name (RFC 3261 §18.1.1).
    pub udp_bytes_max: usize,
    /// The longest that an answered call lasts if its trunk says nothing; 0: for ever.
    pub max_call_ms: u64,
}

impl Settings {
    /// The hash that finds a Call-ID's owner. Its many words of key are drawn from
    /// [`Settings::owner_key`].
    #[must_use]
    pub fn spread(&self) -> Spread {
        let (k0, k1) = self.owner_key;
        let word = |at: usize| {
            let mut hasher = SipHasher13::new_with_keys(k0, k1);
            hasher.write_usize(at);
            hasher.finish()
        };
        Spread::new(word, self.shards)
    }

    /// How the kernel finds the owner of a datagram: a response to us has our Via on top, and in
    /// its branch the slot that waits for it; anything else has a Call-ID.
    #[must_use]
    pub fn recipe(&self) -> Recipe {
        let cookie = |listener: &Listener| {
            // As `sip::forward` writes it.
            let via = format!("Via: SIP/2.0/UDP {};branch=", listener.advertise);
            (listener.transport == Transport::Udp).then_some(Cookie {
                at: via.len(),
                mark: token::BRANCH_PREFIX,
            })
        };
        Recipe {
            spread: self.spread(),
            names: &["call-id", "i"],
            reply: *b"SIP/2.0 ",
            cookies: self.listeners.iter().map(cookie).collect(),
        }
    }

    /// What the kernel may drop when even refusing it would cost too much: requests that begin a
    /// call, or something less, and whose To has no tag; never an emergency call (RFC 5031), nor one
    /// with a Resource-Priority (RFC 4412). All else goes on to the shard.
    #[must_use]
    pub fn shed(&self, drops_strangers: bool) -> ShedConfig {
        ShedConfig {
            sheddable: Sheddable {
                begins: &["INVITE ", "OPTIONS ", "MESSAGE ", "PUBLISH "],
                spared_target: "urn:service:sos",
                spared_line: "resource-priorit",
                marks: ["to", "t"],
            },
            places: self.overload.trunks_max + 1,
            drops_strangers,
        }
    }

    /// A listener by its id.
    #[must_use]
    pub(crate) fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(usize::from(id.0))
    }

    /// Whether a URI names this node. `local` is the address that the request was sent to.
    #[must_use]
    pub(crate) fn is_us(&self, uri: &Uri<'_>, local: SocketAddr) -> bool {
        if !uri.is_sip() {
            return false;
        }
        let port = uri.port.unwrap_or(call::next_hop::PORT_DEFAULT);
        match uri.ip() {
            Some(ip) => {
                let address = SocketAddr::new(ip.to_canonical(), port);
                address == local
                    || self.listeners.iter().any(|listener| {
                        address == listener.advertise || address == listener.address
                    })
            }
            None => {
                let known = self
                    .names
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(uri.host));
                known
                    && self
                        .listeners
                        .iter()
                        .any(|listener| listener.advertise.port() == port)
            }
        }
    }

    /// The path to `address`: from `preferred` if it fits, else from the first listener of the
    /// transport and the address family. `None`: there is none.
    #[must_use]
    pub(crate) fn flow(
        &self,
        transport: Transport,
        address: SocketAddr,
        preferred: Option<ListenerId>,
    ) -> Option<Flow> {
        let fits = |listener: &Listener| {
            listener.transport == transport && same_family(listener.address.ip(), address.ip())
        };
        let id = preferred
            .filter(|&id| self.listener(id).is_some_and(fits))
            .or_else(|| {
                let at = self.listeners.iter().position(fits)?;
                u8::try_from(at).ok().map(ListenerId)
            })?;
        let local = self.listener(id)?.address;
        Some(Flow {
            transport,
            listener: id,
            local,
            peer: address,
            conn: None,
        })
    }
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}
