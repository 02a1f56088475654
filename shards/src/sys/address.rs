//! Socket addresses as the kernel writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Reads an address that the kernel wrote; `None` if it is of no internet family or too short.
pub(super) fn read(storage: &libc::sockaddr_storage, len: libc::socklen_t) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET if len as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: a sockaddr_storage is larger than a sockaddr_in and aligned for it, all its
            // bytes are initialised, and every bit pattern is a sockaddr_in.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            let port = u16::from_be(v4.sin_port);
            Some(SocketAddr::V4(SocketAddrV4::new(ip, port)))
        }
        libc::AF_INET6 if len as usize >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above, for a sockaddr_in6.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddr::V6(SocketAddrV6::new(
                ip,
                port,
                u32::from_be(v6.sin6_flowinfo),
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

/// Writes an address for the kernel and says how long it is.
pub(super) fn write(address: &SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            let to = std::ptr::from_mut(storage).cast::<libc::sockaddr_in>();
            // SAFETY: the storage is larger than a sockaddr_in, aligned for it, and exclusively
            // borrowed.
            let to = unsafe { &mut *to };
            to.sin_family = libc::AF_INET as libc::sa_family_t;
            to.sin_port = v4.port().to_be();
            to.sin_addr = v4_addr(*v4.ip());
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            let to = std::ptr::from_mut(storage).cast::<libc::sockaddr_in6>();
            // SAFETY: as above, for a sockaddr_in6.
            let to = unsafe { &mut *to };
            to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            to.sin6_port = v6.port().to_be();
            to.sin6_flowinfo = v6.flowinfo().to_be();
            to.sin6_addr = v6_addr(*v6.ip());
            to.sin6_scope_id = v6.scope_id();
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

pub(super) fn v4_addr(ip: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from(ip).to_be(),
    }
}

pub(super) fn v6_addr(ip: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr {
        s6_addr: ip.octets(),
    }
}

pub(super) fn v4_ip(addr: libc::in_addr) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from_be(addr.s_addr)))
}

pub(super) fn v6_ip(addr: libc::in6_addr) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(addr.s6_addr))
}

pub(super) fn empty() -> libc::sockaddr_storage {
    // SAFETY: a sockaddr_storage is plain bytes; all zeros is a value of it.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["192.0.2.7:5060", "[2001:db8::1]:5061", "[fe80::1%3]:9", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut storage = empty();
            let len = write(&address, &mut storage);
            assert_eq!(read(&storage, len), Some(address));
            assert_eq!(read(&storage, len - 1), None, "cut short");
        }
        assert_eq!(read(&empty(), 128), None, "no family");
    }
}
