//! The kernel's BPF machine: maps, programs, and the group of sockets that a program serves.
//!
//! Each call is one command of `bpf(2)` with its own part of `union bpf_attr`; a shorter structure
//! than the kernel's is read as if it were followed by zeros.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// The commands that are used.
const MAP_CREATE: i32 = 0;
const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const MAP_DELETE: i32 = 3;
const PROGRAM_LOAD: i32 = 5;

/// Options of sockets, which the libc crate does not name everywhere: `SO_ATTACH_REUSEPORT_EBPF` and
/// `SO_ATTACH_BPF`.
const ATTACH_CHOOSER: i32 = 52;
const ATTACH_FILTER: i32 = 50;
/// `BPF_F_NO_PREALLOC` and `BPF_F_MMAPABLE`
const NO_PREALLOC: u32 = 1;
const MMAPABLE: u32 = 1 << 10;

/// What a map is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MapKind {
    /// Values that processes may map into their memory.
    Array = 2,
    /// A value of its own for each processor.
    PerCpuArray = 6,
    /// By the longest prefix of its keys: a `u32` that counts bits, and the bits.
    Prefixes = 11,
    /// The sockets of a group.
    Sockets = 20,
}

impl MapKind {
    fn flags(self) -> u32 {
        match self {
            MapKind::Array => MMAPABLE,
            MapKind::Prefixes => NO_PREALLOC,
            MapKind::PerCpuArray | MapKind::Sockets => 0,
        }
    }
}

/// What a program is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProgramKind {
    /// It says of each datagram for a socket whether it is kept.
    Filter = 1,
    /// It chooses among the sockets of a group.
    Chooser = 21,
}

/// A map that lives as long as this value or a program that uses it.
#[derive(Debug)]
pub(crate) struct Map {
    fd: OwnedFd,
    key_bytes: usize,
    value_bytes: usize,
    entries: usize,
}

#[repr(C)]
#[derive(Default)]
struct CreateMap {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
}

#[repr(C)]
struct Element {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct LoadProgram {
    kind: u32,
    words_count: u32,
    words: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
}

impl Map {
    /// A map whose keys are numbers from 0 up to `entries`.
    pub(crate) fn new(kind: MapKind, value_bytes: usize, entries: usize) -> io::Result<Map> {
        Map::with_keys(kind, size_of::<u32>(), value_bytes, entries)
    }

    /// A map with keys of any length.
    pub(crate) fn with_keys(
        kind: MapKind,
        key_bytes: usize,
        value_bytes: usize,
        entries: usize,
    ) -> io::Result<Map> {
        let mut create = CreateMap {
            kind: kind as u32,
            key_bytes: key_bytes as u32,
            value_bytes: value_bytes as u32,
            entries: entries as u32,
            flags: kind.flags(),
        };
        let fd = command(MAP_CREATE, &mut create)?;
        // SAFETY: a map's creation returned this descriptor just now, so nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Map {
            fd,
            key_bytes,
            value_bytes,
            entries,
        })
    }

    /// Puts a value of 32 bits under a key of octets, or takes the key out.
    pub(crate) fn set(&self, key: &[u8], value: Option<u32>) -> io::Result<()> {
        assert_eq!(
            (self.key_bytes, self.value_bytes),
            (key.len(), size_of::<u32>()),
            "this map has such keys and values"
        );
        let number = value.unwrap_or_default();
        let mut element = Element {
            map: self.descriptor() as u32,
            _pad: 0,
            key: address(key.as_ptr()),
            // What takes out wants nothing here.
            value: value.map_or(0, |_| address(&raw const number)),
            flags: 0,
        };
        // `key` and `number` live through the call and have the sizes that the map was made with.
        let what = if value.is_some() {
            MAP_UPDATE
        } else {
            MAP_DELETE
        };
        command(what, &mut element).map(drop)
    }

    /// The values of an array, as words that the kernel's programs see too.
    pub(crate) fn share(&self) -> io::Result<Words> {
        assert_eq!(self.value_bytes % 8, 0, "its values are words");
        let len = self.value_bytes * self.entries;
        // SAFETY: a new mapping at a place that the system chooses; of a descriptor that is a map.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                self.fd.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).expect("a mapping is somewhere");
        Ok(Words { at, len: len / 8 })
    }

    /// Puts a socket into a map of sockets.
    pub(crate) fn put_socket(&self, at: u32, socket: RawFd) -> io::Result<()> {
        assert_eq!(self.value_bytes, size_of::<u64>(), "this map holds sockets");
        let value = u64::from(socket as u32);
        let mut element = Element {
            map: self.descriptor() as u32,
            _pad: 0,
            key: address(&raw const at),
            value: address(&raw const value),
            flags: 0,
        };
        // `at` and `value` live through the call and have the sizes that the map was made with.
        command(MAP_UPDATE, &mut element).map(drop)
    }

    /// The value at 0 as words, that of each processor behind that of the one before.
    pub(crate) fn read_first(&self) -> io::Result<Vec<u64>> {
        let key: u32 = 0;
        // The kernel writes one value for each processor that the machine may ever have.
        let mut values = vec![0_u64; self.value_bytes.div_ceil(8) * possible_processors()?];
        let mut element = Element {
            map: self.descriptor() as u32,
            _pad: 0,
            key: address(&raw const key),
            value: address(values.as_mut_ptr().cast_const()),
            flags: 0,
        };
        command(MAP_LOOKUP, &mut element)?;
        Ok(values)
    }

    /// Its number in a program.
    pub(crate) fn descriptor(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// Words that programs of the kernel, and all threads of the process, may read and write.
#[derive(Debug)]
pub(crate) struct Words {
    at: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the memory is of this process as long as the value lives, wherever that is, and all that
// can be done with it is what atomics allow any thread to do.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl std::ops::Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `len` words are mapped at `at`, a page's beginning and so aligned, until the drop;
        // they are 0 or what was stored, and an atomic may have any bits.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no reference to it outlives the value.
        let _unmapped = unsafe { libc::munmap(self.at.as_ptr().cast(), self.len * 8) };
    }
}

/// A program that the verifier has accepted.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

impl Program {
    /// Loads a program.
    ///
    /// # Errors
    /// The kernel's error; if its verifier refused the program, `log` is what it says about it.
    pub(crate) fn load(kind: ProgramKind, words: &[u64], log: &mut Vec<u8>) -> io::Result<Program> {
        /// Nothing in the program asks for the kernel's own licence.
        const LICENSE: &[u8] = b"Apache-2.0 OR MIT\0";
        let mut load = LoadProgram {
            kind: kind as u32,
            words_count: words.len() as u32,
            words: address(words.as_ptr()),
            license: address(LICENSE.as_ptr()),
            log_level: 0,
            log_bytes: 0,
            log: 0,
        };
        log.clear();
        let fd = match command(PROGRAM_LOAD, &mut load) {
            // Again, to hear why; a log costs time, so not at the first try.
            Err(error) if error.raw_os_error() != Some(libc::EPERM) => {
                log.resize(1 << 20, 0);
                load.log_level = 1;
                load.log_bytes = log.len() as u32;
                load.log = address(log.as_mut_ptr().cast_const());
                let again = command(PROGRAM_LOAD, &mut load);
                let end = log.iter().position(|&octet| octet == 0);
                log.truncate(end.unwrap_or(log.len()));
                again.map_err(|_| error)?
            }
            other => other?,
        };
        // SAFETY: the program's load returned this descriptor just now, so nobody else owns it.
        Ok(Program(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Lets the program choose for the group of sockets that `socket` belongs to.
    pub(crate) fn attach(&self, socket: RawFd) -> io::Result<()> {
        super::set_option(socket, libc::SOL_SOCKET, ATTACH_CHOOSER, self.0.as_raw_fd())
    }

    /// Lets the program say what `socket` keeps.
    pub(crate) fn filter(&self, socket: RawFd) -> io::Result<()> {
        super::set_option(socket, libc::SOL_SOCKET, ATTACH_FILTER, self.0.as_raw_fd())
    }

    /// How often the program ran, and for how many nanoseconds: 0 unless the kernel measures it.
    pub(crate) fn spent(&self) -> io::Result<(u64, u64)> {
        let about = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        let about = std::fs::read_to_string(about)?;
        let number = |name: &str| {
            let line = about.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        Ok((number("run_cnt:"), number("run_time_ns:")))
    }
}

/// How many processors the kernel has made room for: its list ends with the last one's number.
fn possible_processors() -> io::Result<usize> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = list.trim().rsplit([',', '-']).next();
    let last = last.and_then(|last| last.parse::<usize>().ok());
    last.map(|last| last + 1)
        .ok_or_else(|| io::Error::other("the list of possible processors cannot be read"))
}

fn address<T>(pointer: *const T) -> u64 {
    pointer as usize as u64
}

/// One command of `bpf(2)`. What the attributes point to must live through the call: all callers
/// are in this file.
fn command<T>(command: i32, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: the pointer and the size describe `attributes`, which lives through the call. The
    // addresses in it are of memory that its maker holds through the call, of at least the size
    // that the kernel reads or writes there: a key and a value of the map, the program's words, a
    // text with its final zero, a log of `log_bytes`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            (&raw mut *attributes).cast::<libc::c_void>(),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as RawFd)
}
