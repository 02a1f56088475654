//! The kernel's part of steering without a kernel: an interpreter for the programs of this module.
//!
//! [`Machine`] runs the one that steers, [`Shedder`] the one that sheds.
//!
//! It knows the instructions and helpers that they use, and fails on any other, on a read of
//! nothing and on a jump to nowhere. So the program can be held against its model with millions of
//! messages, and its cost can be counted to the instruction.

use std::net::IpAddr;

use base::Time;

use super::asm::{
    Alu, CALL, EXIT, FROM_REGISTER, Helper, JUMP_ALWAYS, MAP_DESCRIPTOR, MODE_ATOMIC, MODE_MEMORY,
    Size, Test, WIDE, class,
};
use super::program::{HEAD_BYTES, Maps, SCRATCH_BYTES, program};
use super::shed::{self, CELLS_OF_ELEMENT, GATE_BYTES, ShedConfig, ShedMaps};
use super::{Cookie, Network, Recipe, SteerCounts};

/// Where the parts of memory are: far from each other, so that no wrong place is in another part.
const CONTEXT: u64 = 0x1000_0000;
const STACK: u64 = 0x2000_0000;
const SCRATCH: u64 = 0x3000_0000;
const GATES: u64 = 0x4000_0000;
const FOUND: u64 = 0x5000_0000;
const CELLS: u64 = 0x8000_0000;
const STACK_BYTES: usize = 512;
/// The kernel's `struct sk_reuseport_md` or `struct __sk_buff`, as far as they are read.
const CONTEXT_BYTES: usize = 192;
/// The descriptors that stand for the maps.
const MAPS: Maps = Maps {
    scratch: 3,
    sockets: 4,
};
const SHED_MAPS: ShedMaps = ShedMaps {
    scratch: 3,
    gates: 5,
    sources: 6,
    cells: 7,
};
/// More than any run takes.
const STEPS_MAX: u32 = 100_000;

/// A program with its memory.
#[derive(Debug)]
pub struct Machine {
    words: Vec<u64>,
    shards: u16,
    scratch: Vec<u8>,
    stack: Vec<u8>,
    context: Vec<u8>,
    registers: [u64; 11],
    packet: Vec<u8>,
    /// The header of the network's layer.
    network: Vec<u8>,
    gates: Vec<u8>,
    cells: Vec<u8>,
    sources: Vec<Network>,
    /// The place of the source that was looked for.
    found: [u8; 4],
    selected: Option<u16>,
    steps: u32,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ran {
    /// The shard whose socket gets the datagram; `None`: the kernel's own choice.
    pub shard: Option<base::ShardId>,
    /// Instructions that were executed.
    pub steps: u32,
}

impl Machine {
    /// The program for one listener.
    #[must_use]
    pub fn new(recipe: &Recipe, cookie: Option<Cookie>) -> Machine {
        Machine::with(program(recipe, cookie, MAPS), recipe)
    }

    fn with(words: Vec<u64>, recipe: &Recipe) -> Machine {
        Machine {
            words,
            shards: recipe.spread.shards(),
            // What an earlier datagram left there.
            scratch: [vec![0; HEAD_BYTES], vec![b'\n'; SCRATCH_BYTES - HEAD_BYTES]].concat(),
            stack: vec![0; STACK_BYTES],
            context: vec![0; CONTEXT_BYTES],
            registers: [0; 11],
            packet: Vec::new(),
            network: Vec::new(),
            gates: Vec::new(),
            cells: Vec::new(),
            sources: Vec::new(),
            found: [0; 4],
            selected: None,
            steps: 0,
        }
    }

    /// Words of the program.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// What the program counted.
    #[must_use]
    pub fn counts(&self) -> SteerCounts {
        let word = |at: usize| {
            let mut octets = [0; 8];
            octets.copy_from_slice(&self.scratch[at * 8..at * 8 + 8]);
            u64::from_le_bytes(octets)
        };
        SteerCounts {
            cookie: word(0),
            hash: word(1),
            unclear: word(2),
        }
    }

    /// Runs the program for one datagram.
    pub fn run(&mut self, datagram: &[u8]) -> Ran {
        self.receive(datagram, 16);
        self.execute();
        assert_eq!(self.registers[0], 1, "every datagram passes");
        Ran {
            shard: self.selected.map(base::ShardId),
            steps: self.steps,
        }
    }

    /// A datagram, whose length the context says at `length_at`.
    fn receive(&mut self, datagram: &[u8], length_at: usize) {
        self.packet.clear();
        // The UDP header comes first.
        self.packet.extend_from_slice(&[0; 8]);
        self.packet.extend_from_slice(datagram);
        let len = self.packet.len() as u32;
        self.context[length_at..length_at + 4].copy_from_slice(&len.to_le_bytes());
    }

    fn execute(&mut self) {
        self.registers = [0xdead_beef; 11];
        self.registers[1] = CONTEXT;
        self.registers[10] = STACK + STACK_BYTES as u64;
        (self.selected, self.steps) = (None, 0);
        let mut at = 0;
        while let Some(next) = self.step(at) {
            at = next;
        }
    }

    /// Executes one instruction and says where the next one is.
    fn step(&mut self, at: usize) -> Option<usize> {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the program ends");
        let word = self.words[at];
        let (opcode, dst) = (word as u8, (word >> 8 & 15) as usize);
        let source = (word >> 12 & 15) as usize;
        let (offset, constant) = ((word >> 16) as u16 as i16, (word >> 32) as u32 as i32);
        let operand = if opcode & FROM_REGISTER != 0 {
            self.registers[source]
        } else {
            i64::from(constant) as u64
        };
        let jumped = (at as i64 + 1 + i64::from(offset)) as usize;
        let place = |base: u64| base.wrapping_add(i64::from(offset) as u64);
        match (opcode, opcode & 7) {
            (EXIT, _) => return None,
            (CALL, _) => self.call(constant),
            (JUMP_ALWAYS, _) => return Some(jumped),
            (WIDE, _) if source == usize::from(MAP_DESCRIPTOR) => {
                self.registers[dst] = constant as u64;
                return Some(at + 2);
            }
            (WIDE, _) => {
                let high = self.words[at + 1] >> 32;
                self.registers[dst] = u64::from(constant as u32) | high << 32;
                return Some(at + 2);
            }
            (_, class::JUMP) => {
                return Some(if is_true(opcode, self.registers[dst], operand) {
                    jumped
                } else {
                    at + 1
                });
            }
            (_, class::ALU64) => {
                self.registers[dst] = operation(opcode, self.registers[dst], operand, 63);
            }
            (_, class::ALU32) => {
                let result = operation(opcode, self.registers[dst], operand, 31);
                self.registers[dst] = u64::from(result as u32);
            }
            (_, class::LOAD) => {
                let octets = self.memory(place(self.registers[source]), width(opcode));
                let mut word = [0; 8];
                word[..octets.len()].copy_from_slice(octets);
                self.registers[dst] = u64::from_le_bytes(word);
            }
            (_, class::STORE) if opcode & 0xe0 == MODE_ATOMIC => {
                let (sum, at) = (self.registers[source], place(self.registers[dst]));
                let octets = self.memory(at, 8);
                let mut word = [0; 8];
                word.copy_from_slice(octets);
                let sum = u64::from_le_bytes(word).wrapping_add(sum);
                octets.copy_from_slice(&sum.to_le_bytes());
            }
            (_, class::STORE | class::STORE_CONSTANT) => {
                let value = match opcode & 7 {
                    class::STORE => self.registers[source],
                    _ => i64::from(constant) as u64,
                };
                let octets = self.memory(place(self.registers[dst]), width(opcode));
                let len = octets.len();
                octets.copy_from_slice(&value.to_le_bytes()[..len]);
            }
            _ => panic!("an unknown instruction at {at}: {word:#018x}"),
        }
        Some(at + 1)
    }

    fn call(&mut self, helper: i32) {
        let [_, first, second, third, fourth, fifth, ..] = self.registers;
        let result = if helper == Helper::MapLookup as i32 {
            self.look_up(first, second)
        } else if helper == Helper::LoadBytesRelative as i32 {
            assert_eq!(fifth, 1, "the network's header");
            let (from, len) = (second as usize, fourth as usize);
            let octets = self.network[from..from + len].to_vec();
            self.memory(third, len).copy_from_slice(&octets);
            0
        } else if helper == Helper::LoadBytes as i32 {
            let (from, len) = (second as usize, fourth as usize);
            match self.packet.get(from..from + len).map(<[u8]>::to_vec) {
                Some(octets) => {
                    self.memory(third, len).copy_from_slice(&octets);
                    0
                }
                None => u64::MAX,
            }
        } else if helper == Helper::SelectSocket as i32 {
            assert_eq!((first, second), (CONTEXT, MAPS.sockets as u64));
            let mut key = [0; 4];
            key.copy_from_slice(self.memory(third, 4));
            let key = u32::from_le_bytes(key);
            assert!(key < u32::from(self.shards), "a shard that there is");
            self.selected = Some(key as u16);
            0
        } else {
            panic!("an unknown helper: {helper}")
        };
        // A call leaves nothing in the registers of its arguments.
        self.registers[..6].fill(0xdead_beef);
        self.registers[0] = result;
    }

    /// The value of a key in a map: where it is, or 0.
    fn look_up(&mut self, map: u64, key: u64) -> u64 {
        if map == SHED_MAPS.sources as u64 {
            let key = self.memory(key, shed::SOURCE_KEY_BYTES).to_vec();
            return self.look_up_source(&key[4..]);
        }
        let mut octets = [0; 4];
        octets.copy_from_slice(self.memory(key, 4));
        let key = u64::from(u32::from_le_bytes(octets));
        for (descriptor, begin, bytes, octets) in [
            (SHED_MAPS.gates, GATES, GATE_BYTES, &self.gates),
            (SHED_MAPS.cells, CELLS, CELLS_OF_ELEMENT, &self.cells),
        ] {
            let at = key * bytes as u64;
            if map == descriptor as u64 {
                return if at < octets.len() as u64 {
                    begin + at
                } else {
                    0
                };
            }
        }
        assert_eq!(map, MAPS.scratch as u64, "the map that has values");
        assert_eq!(key, 0, "its only key");
        SCRATCH
    }

    fn look_up_source(&mut self, address: &[u8]) -> u64 {
        let mut octets = [0; 16];
        octets.copy_from_slice(address);
        let address = u128::from_be_bytes(octets);
        let fits = |network: &&Network| {
            let key = network.key();
            let mut octets = [0; 16];
            octets.copy_from_slice(&key[4..]);
            let differ = u128::from_be_bytes(octets) ^ address;
            differ.leading_zeros() >= u32::from(key[0])
        };
        let longest = self
            .sources
            .iter()
            .filter(fits)
            .max_by_key(|it| it.key()[0]);
        let Some(network) = longest else {
            return 0;
        };
        self.found = (network.place as u32).to_le_bytes();
        FOUND
    }

    fn memory(&mut self, address: u64, len: usize) -> &mut [u8] {
        for (begin, part) in [
            (CONTEXT, &mut self.context[..]),
            (STACK, &mut self.stack[..]),
            (SCRATCH, &mut self.scratch[..]),
            (GATES, &mut self.gates[..]),
            (FOUND, &mut self.found[..]),
            (CELLS, &mut self.cells[..]),
        ] {
            let at = address.wrapping_sub(begin) as usize;
            if let Some(octets) = part.get_mut(at..at.saturating_add(len)) {
                return octets;
            }
        }
        panic!("{len} octets at {address:#x} are nobody's")
    }
}

/// The program that sheds, with its memory.
#[derive(Debug)]
pub struct Shedder {
    machine: Machine,
    config: ShedConfig,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Whether its socket gets it.
    pub is_kept: bool,
    /// Instructions that were executed.
    pub steps: u32,
}

impl Shedder {
    /// The program, with all gates open and these networks known.
    #[must_use]
    pub fn new(recipe: &Recipe, config: &ShedConfig, sources: Vec<Network>) -> Shedder {
        let words = shed::program(recipe, config, SHED_MAPS);
        let mut machine = Machine::with(words, recipe);
        machine.gates = vec![0; GATE_BYTES * shed::gates_len(config, machine.shards)];
        machine.cells = vec![0; CELLS_OF_ELEMENT * shed::cell_elements(machine.shards)];
        machine.sources = sources;
        Shedder {
            machine,
            config: *config,
        }
    }

    /// Lets this share of a place's lots pass, of 2^32, on every shard; all without one, but for what
    /// was dropped before.
    pub fn set(&mut self, place: usize, bound: Option<u32>, now: Time) {
        for shard in 0..self.machine.shards {
            let at = shed::gate_at(&self.config, shard, place) * GATE_BYTES;
            let bound = bound.map_or(shed::ALL, |bound| u64::from(bound.max(1)));
            let word = shed::gate_word(bound, now);
            self.machine.gates[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        self.machine.gates[..8].copy_from_slice(&1_u64.to_le_bytes());
    }

    /// How many datagrams of a place were dropped.
    #[must_use]
    pub fn dropped(&self, place: usize) -> u64 {
        let shards = 0..self.machine.shards;
        let gates = shards.map(|shard| shed::gate_at(&self.config, shard, place));
        gates.map(|gate| self.count(gate)).sum()
    }

    /// How many datagrams of strangers were dropped.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.count(0)
    }

    fn count(&self, gate: usize) -> u64 {
        let at = gate * GATE_BYTES + 8;
        let mut octets = [0; 8];
        octets.copy_from_slice(&self.machine.gates[at..at + 8]);
        u64::from_le_bytes(octets)
    }

    /// Runs the program for one datagram. `segment_bytes`: not 0 if it is several in one piece.
    pub fn run(&mut self, source: IpAddr, segment_bytes: u32, datagram: &[u8]) -> Kept {
        let machine = &mut self.machine;
        machine.receive(datagram, 0);
        let (protocol, at, octets) = match source {
            IpAddr::V4(v4) => (0x0800_u16, 12, v4.octets().to_vec()),
            IpAddr::V6(v6) => (0x86dd, 8, v6.octets().to_vec()),
        };
        machine.network = vec![0; 40];
        machine.network[at..at + octets.len()].copy_from_slice(&octets);
        machine.context[16..18].copy_from_slice(&protocol.to_be_bytes());
        machine.context[176..180].copy_from_slice(&segment_bytes.to_le_bytes());
        machine.execute();
        let verdict = machine.registers[0] as u32;
        assert!(verdict == 0 || verdict == u32::MAX, "whole or not at all");
        Kept {
            is_kept: verdict != 0,
            steps: machine.steps,
        }
    }
}

fn width(opcode: u8) -> usize {
    assert_eq!(opcode & 0xe0, MODE_MEMORY, "plain loads and stores only");
    let is = |size: Size| opcode & 0x18 == size as u8;
    match () {
        () if is(Size::Byte) => 1,
        () if is(Size::Word) => 4,
        () if is(Size::Double) => 8,
        () => panic!("an unknown size in {opcode:#x}"),
    }
}

fn is_true(opcode: u8, left: u64, right: u64) -> bool {
    let is = |test: Test| opcode & 0xf0 == test as u8;
    match () {
        () if is(Test::Equal) => left == right,
        () if is(Test::Unequal) => left != right,
        () if is(Test::Greater) => left > right,
        () if is(Test::AtLeast) => left >= right,
        () if is(Test::Less) => left < right,
        () if is(Test::Common) => left & right != 0,
        () => panic!("an unknown test in {opcode:#x}"),
    }
}

/// `left <op> right`; the caller cuts the result to its width, `shift_max` is the width less 1.
fn operation(opcode: u8, left: u64, right: u64, shift_max: u64) -> u64 {
    let is = |op: Alu| opcode & 0xf0 == op as u8;
    let left_cut = if shift_max == 31 {
        u64::from(left as u32)
    } else {
        left
    };
    match () {
        () if is(Alu::Add) => left.wrapping_add(right),
        () if is(Alu::Sub) => left.wrapping_sub(right),
        () if is(Alu::Mul) => left.wrapping_mul(right),
        () if is(Alu::Or) => left | right,
        () if is(Alu::And) => left & right,
        () if is(Alu::ShiftLeft) => left << (right & shift_max),
        () if is(Alu::ShiftRight) => left_cut >> (right & shift_max),
        () if is(Alu::Negate) => left.wrapping_neg(),
        () if is(Alu::Xor) => left ^ right,
        () if is(Alu::Move) => right,
        () => panic!("an unknown operation in {opcode:#x}"),
    }
}
