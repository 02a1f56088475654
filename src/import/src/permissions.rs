//! `address` and `trusted` of the permissions module: who may send calls.
//!
//! `address`: `grp`, `ip_addr`, `mask`, `port`, `tag`; a port of 0 is any. `trusted`: `src_ip`, `proto`,
//! `tag`, and patterns of the caller and the callee.

use std::net::IpAddr;

use crate::table::{Asked, Table};
use crate::world::{Source, World, free_name};

/// Takes the trunks of both tables.
pub(crate) fn take(tables: &[Table], world: &mut World) {
    for table in tables {
        match table.name.as_str() {
            "address" => table.each().for_each(|row| address(&row, world)),
            "trusted" => table.each().for_each(|row| trusted(&row, world)),
            _ => {}
        }
    }
}

fn address(row: &Asked<'_>, world: &mut World) {
    // OpenSIPS calls the address `ip`.
    let Some(ip) = row.get("ip_addr").or_else(|| row.get("ip")) else {
        return world.remark_row(
            row,
            "rows without an address",
            "no address: left out".into(),
        );
    };
    let mask = row.number("mask");
    let Some(network) = network(ip, mask) else {
        let what = format!("`{ip}` with mask {mask:?} is no network: left out");
        return world.remark_row(row, "rows without an address", what);
    };
    let group = row.get("grp").unwrap_or("0");
    let port = row.number("port").and_then(|port| u16::try_from(port).ok());
    for column in ["pattern", "context_info"] {
        if let Some(text) = row.get(column) {
            let what = format!("{column} `{text}` is not taken over: the source alone counts");
            world.remark_row(row, "conditions on sources", what);
        }
    }
    let transport = transport(row.get("proto"));
    add(
        world,
        row,
        group,
        Source {
            network,
            port: port.filter(|port| *port > 0),
            transport,
        },
    );
}

fn trusted(row: &Asked<'_>, world: &mut World) {
    let Some(network) = row.get("src_ip").and_then(|ip| network(ip, None)) else {
        return world.remark_row(
            row,
            "rows without an address",
            "no IP address: left out".into(),
        );
    };
    for column in ["from_pattern", "ruri_pattern"] {
        if let Some(text) = row.get(column) {
            let what = format!("{column} `{text}` is not taken over: the source alone counts");
            world.remark_row(row, "conditions on sources", what);
        }
    }
    let transport = transport(row.get("proto"));
    add(
        world,
        row,
        "trusted",
        Source {
            network,
            port: None,
            transport,
        },
    );
}

fn transport(word: Option<&str>) -> Option<&'static str> {
    match word?.to_ascii_lowercase().as_str() {
        "udp" => Some("udp"),
        "tcp" => Some("tcp"),
        _ => None,
    }
}

/// A trunk is what has one tag; without tags a group is one.
fn add(world: &mut World, row: &Asked<'_>, group: &str, source: Source) {
    let wanted = match row.get("tag") {
        Some(tag) => tag.to_owned(),
        None => format!("group-{group}"),
    };
    let name = free_name(&wanted, |_| false);
    let taken = world
        .trunks
        .iter()
        .find(|(_, trunk)| trunk.sources.contains(&source));
    if let Some((other, _)) = taken {
        let other = other.clone();
        if other != name {
            let what = format!(
                "`{}` belongs to trunk `{other}` already: left out here",
                source.network
            );
            world.remark_row(row, "sources of two trunks", what);
        }
        return;
    }
    world.trunks.entry(name).or_default().sources.push(source);
}

/// A network as configurations have it: without bits beyond its prefix.
fn network(ip: &str, mask: Option<i64>) -> Option<String> {
    let (ip, mask) = match ip.split_once('/') {
        Some((ip, mask)) => (ip, mask.parse().ok()),
        None => (ip, mask),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let mask = match mask {
        None => width,
        // OpenSIPS and old Kamailio rows: 0 is the whole address.
        Some(0) => width,
        Some(mask) => u32::try_from(mask).ok().filter(|mask| *mask <= width)?,
    };
    let cut = match ip {
        IpAddr::V4(ip) => {
            let bits = u32::from(ip) & u32::MAX.checked_shl(width - mask).unwrap_or(0);
            IpAddr::V4(bits.into())
        }
        IpAddr::V6(ip) => {
            let bits = u128::from(ip) & u128::MAX.checked_shl(width - mask).unwrap_or(0);
            IpAddr::V6(bits.into())
        }
    };
    Some(match mask == width {
        true => cut.to_string(),
        false => format!("{cut}/{mask}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let check = |ip: &str, mask: Option<i64>, want: Option<&str>| {
            assert_eq!(network(ip, mask).as_deref(), want, "{ip} {mask:?}");
        };
        check("192.0.2.7", Some(24), Some("192.0.2.0/24"));
        check("192.0.2.7", Some(32), Some("192.0.2.7"));
        check("192.0.2.7", Some(0), Some("192.0.2.7"));
        check("2001:db8::5", Some(32), Some("2001:db8::/32"));
        check("10.0.0.0/8", None, Some("10.0.0.0/8"));
        check("192.0.2.7", Some(33), None);
        check("example.com", None, None);
    }
}
