//! Trunks and gateways as caps and blocks name them: by their own name, or by that of their carrier.

use crate::Spec;

/// A trunk or a gateway: its name, and its carrier, which may be empty.
pub(crate) type Peer<'s> = (&'s str, &'s str);

pub(crate) fn trunks(spec: &Spec) -> Vec<Peer<'_>> {
    let trunks = spec.trunks.iter();
    trunks.map(|it| (&*it.name, &*it.carrier)).collect()
}

pub(crate) fn gateways(spec: &Spec) -> Vec<Peer<'_>> {
    let gateways = spec.gateways.iter();
    gateways.map(|it| (&*it.name, &*it.carrier)).collect()
}

/// Whether one of these names is the peer's or its carrier's.
pub(crate) fn is_named(names: &[String], (name, carrier): Peer<'_>) -> bool {
    let is = |it: &String| it == name || !carrier.is_empty() && it == carrier;
    names.iter().any(is)
}

/// The names that no peer and no carrier has.
pub(crate) fn unknown<'n>(
    names: &'n [String],
    peers: &[Peer<'_>],
) -> impl Iterator<Item = &'n String> {
    let is_known = |name: &String| {
        let mut all = peers.iter();
        all.any(|(peer, carrier)| name == peer || name == carrier)
    };
    names.iter().filter(move |name| !is_known(name))
}
