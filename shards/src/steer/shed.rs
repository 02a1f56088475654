//! The second program: what the kernel drops before it is received, when even refusing it would cost
//! too much.
//!
//! ```text
//!   nothing is shed, nor are strangers ──▶ keep
//!   source ─▶ trie: its place; none and strangers are dropped ──▶ drop
//!   begins like a request that is shed, and not for a spared target? else ──▶ keep
//!   key line ──▶ Spread ──▶ shard and lot;  gate of (shard, place): open? ──▶ keep
//!   cell of (shard, lot): dropped lately? else, lot below the gate's bound? ──▶ keep
//!   all lines: no spared one, and one `mark` line that ends in `>`? else ──▶ keep
//!   drop, count, and note the time in the cell
//! ```
//!
//! It is a filter of the socket (`SO_ATTACH_BPF`) and not a part of the steering program, which could
//! return `SK_DROP`: the system takes that for a port that is closed, and answers every datagram with
//! an ICMP error. This costs more than receiving would, and tells the peer that nobody is here at
//! all, also for the calls that are up. What a filter drops is just gone. So it also works with one
//! shard, and where the shards steer themselves.
//!
//! All copies of a request have one key and so one lot and one cell: they share the fate of the first,
//! however the bound moves meanwhile. Without the cells, each time that a gate opens a little the
//! copies of half a minute would come through it, and the calls be taken that long after they began.
//! A cell is one octet for all lots that fall into it, so some new requests are taken for copies: of
//! a source that is shed and of no other: four of ten when a shard sheds 180,000 calls a second. So
//! each copy that is dropped writes the time again: who was dropped for another one's note is not
//! taken late when that is forgotten. The time is in units of 4 s, so a cell is also wrong for 20 s
//! some 17 minutes after it was written. Nobody clears it.
//!
//! What is dropped is proved to be new: a `mark` line (To) that ends in `>` has no parameter, and so
//! no tag, and the whole header was seen. What cannot be proved is kept, and refused by the shard.
//!
//! Cost, in instructions: 12 where nothing is shed; else 76 for what is never shed, 445 for what may
//! be, and 470 more for what is dropped. `tests::the_cost_of_what_is_kept_and_of_what_is_dropped`
//! holds them.

use std::net::IpAddr;

use base::{ShardId, Time};

use super::Recipe;
use super::asm::{
    Alu, Assembler, Helper, Label, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Size, Test,
};
use super::program::{
    ARGUMENT_AT, BLANKS, HEAD_BYTES, KEY_AT, LOOK_BYTES, Labels, Maps, TEXT, Writer,
};

/// What may be shed, in a datagram's octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sheddable {
    /// How it begins: up to 8 octets each. What follows is its target.
    pub begins: &'static [&'static str],
    /// A target that begins so, in any case of its letters, is spared: 8 to 16 octets.
    pub spared_target: &'static str,
    /// A line that begins so spares its datagram: 16 octets, in small letters.
    pub spared_line: &'static str,
    /// The names of the line that must be there once and end in `>`: as those of the key line, of 1
    /// and 2 octets, with the same first one.
    pub marks: [&'static str; 2],
}

/// How the kernel is to shed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShedConfig {
    /// What.
    pub sheddable: Sheddable,
    /// How many places there are for sources. The last one is of all that are not told apart.
    pub places: usize,
    /// Whether what comes from unknown addresses is dropped, whatever it is.
    pub drops_strangers: bool,
}

/// One gate: a bound for lots, 0 where all pass, and how many datagrams were dropped. The first one
/// of the map is of no place: its bound says how many shards shed, its count is of strangers.
pub(crate) const GATE_BYTES: usize = 16;
const BOUND_AT: i16 = 0;
const DROPPED_AT: i16 = 8;
/// A bound's word: above so many bits it says what time it is, for the cells.
const BOUND_BITS: u32 = 40;
/// The bound that no lot reaches: only what was dropped before is dropped.
pub(crate) const ALL: u64 = 1 << 32;

/// How many cells a shard has: 2 to this, which is as many octets.
const CELL_BITS: u32 = 24;
/// So many shards have cells of their own.
const CELLED_SHARDS_MAX: u16 = 16;
/// Cells of one element of their map.
pub(crate) const CELLS_OF_ELEMENT: usize = 8;
/// The time in a cell, in units of so many microseconds; and for how many of these, the one in which
/// it was written included, it counts: between two copies there are up to 16 s (RFC 3261 §17.1.1.2),
/// and the time is what a busy shard last said that it is.
const TICK_US: u64 = 4_000_000;
const TICKS: i32 = 6;
/// The key of the trie: how many bits count, and 128 bits of address.
pub(crate) const SOURCE_KEY_BYTES: usize = 20;

/// The gate of a shard and a place.
pub(crate) fn gate_at(config: &ShedConfig, shard: u16, place: usize) -> usize {
    1 + usize::from(shard) * config.places + place.min(config.places - 1)
}

/// A bound's word at this time.
pub(crate) fn gate_word(bound: u64, now: Time) -> u64 {
    // 0 is a cell that was never written.
    let tick = (now.0 / TICK_US) as u8;
    bound | u64::from(tick.max(1)) << BOUND_BITS
}

/// How long after a gate was opened copies may come of what it had dropped: a request is repeated for
/// 32 s.
pub(crate) const COPIES_US: u64 = 40_000_000;

/// How many elements the map of the cells has: a power of two.
pub(crate) fn cell_elements(shards: u16) -> usize {
    let shards = shards.min(CELLED_SHARDS_MAX).next_power_of_two();
    (usize::from(shards) << CELL_BITS) / CELLS_OF_ELEMENT
}

/// How many gates there are.
pub(crate) fn gates_len(config: &ShedConfig, shards: u16) -> usize {
    1 + usize::from(shards) * config.places
}

/// The bits of an address in the trie; a v4 address is one of those that v6 maps it to.
pub(crate) fn source_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The maps that the program uses, by their descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShedMaps {
    pub(crate) scratch: i32,
    pub(crate) gates: i32,
    pub(crate) sources: i32,
    pub(crate) cells: i32,
}

/// Places in `struct __sk_buff`.
const LENGTH_AT: i16 = 0;
const PROTOCOL_AT: i16 = 16;
const SEGMENT_AT: i16 = 176;
/// Places on the stack: the key of the trie, the source's place, the number of its gate.
const SOURCE_AT: i16 = -40;
const PLACE_AT: i16 = -48;
const GATE_AT: i16 = -56;
/// The element of its cell. The rest is in the scratch memory, where the verifier does not follow it:
/// the cell's place in the element, the time to be written there, the bound.
const ELEMENT_AT: i16 = -64;
const CELL_AT: i16 = 8;
const NOTE_AT: i16 = 16;
const LIMIT_AT: i16 = 24;
/// The scratch word that says how far the proof is: 0, or one of these.
const PROOF_AT: i16 = 40;
const MARK_BEGAN: i32 = 1;
const MARK_ENDED: i32 = 2;

/// Writes the program.
pub(crate) fn program(recipe: &Recipe, config: &ShedConfig, maps: ShedMaps) -> Vec<u64> {
    let mut asm = Assembler::new();
    let labels = Labels::new(&mut asm);
    let (stranger, drop) = (asm.label(), asm.label());
    let mut shed = Shed {
        writer: Writer {
            asm,
            recipe,
            maps: Maps {
                scratch: maps.scratch,
                sockets: 0,
            },
            labels,
        },
        config,
        maps,
        stranger,
        drop,
    };
    shed.is_needed();
    shed.source();
    shed.beginning();
    shed.writer.scan();
    shed.writer.names();
    shed.writer.value();
    shed.bound();
    shed.proof();
    shed.ends();
    shed.writer.asm.finish()
}

/// In the order of the program, with the registers of [`Writer`].
struct Shed<'r> {
    writer: Writer<'r>,
    config: &'r ShedConfig,
    maps: ShedMaps,
    stranger: Label,
    drop: Label,
}

impl Shed<'_> {
    /// Keeps everything while nothing is shed, and what came as one piece of several datagrams: the
    /// others may be of calls.
    fn is_needed(&mut self) {
        let leave = self.writer.labels.leave;
        self.writer.begin();
        self.first_gate();
        let asm = &mut self.writer.asm;
        asm.jump_if(R0, Test::Equal, 0, leave);
        asm.load(Size::Double, R9, R0, BOUND_AT);
        if !self.config.drops_strangers {
            asm.jump_if(R9, Test::Equal, 0, leave);
        }
        asm.load(Size::Word, R0, R6, SEGMENT_AT);
        asm.jump_if(R0, Test::Unequal, 0, leave);
    }

    /// `R0` = the first gate.
    fn first_gate(&mut self) {
        let asm = &mut self.writer.asm;
        asm.store(Size::Word, R10, KEY_AT, 0);
        asm.lookup(self.maps.gates, KEY_AT);
    }

    /// Finds the place of the datagram's source. `R9` says whether anything is shed.
    fn source(&mut self) {
        /// As the processor reads them.
        const IPV4: i32 = 0x0008;
        const IPV6: i32 = 0xdd86;
        let leave = self.writer.labels.leave;
        let asm = &mut self.writer.asm;
        let (is_v4, is_v6, found, known) = (asm.label(), asm.label(), asm.label(), asm.label());
        asm.store(Size::Word, R10, SOURCE_AT, 128);
        for at in [4, 8, 12, 16] {
            asm.store(Size::Word, R10, SOURCE_AT + at, 0);
        }
        asm.load(Size::Word, R0, R6, PROTOCOL_AT);
        asm.jump_if(R0, Test::Equal, IPV4, is_v4);
        asm.jump_if(R0, Test::Equal, IPV6, is_v6);
        asm.jump(leave);
        asm.bind(is_v4);
        // ::ffff:a.b.c.d
        asm.store(Size::Word, R10, SOURCE_AT + 12, 0xffff_0000_u32 as i32);
        self.load_source(12, SOURCE_AT + 16, 4);
        self.writer.asm.jump(found);
        self.writer.asm.bind(is_v6);
        self.load_source(8, SOURCE_AT + 4, 16);
        let asm = &mut self.writer.asm;
        asm.bind(found);
        asm.jump_if(R0, Test::Unequal, 0, leave);
        asm.lookup(self.maps.sources, SOURCE_AT);
        if self.config.drops_strangers {
            asm.jump_if(R0, Test::Equal, 0, self.stranger);
            asm.jump_if(R9, Test::Equal, 0, leave);
        }
        asm.mov(R1, self.config.places as i32 - 1);
        asm.jump_if(R0, Test::Equal, 0, known);
        asm.load(Size::Word, R1, R0, 0);
        asm.bind(known);
        asm.store(Size::Double, R10, PLACE_AT, R1);
        asm.load(Size::Double, R6, R10, ARGUMENT_AT);
    }

    /// Octets of the network's header onto the stack; `R0` is 0 if they are there.
    fn load_source(&mut self, from: i32, to: i16, len: i32) {
        const NETWORK: i32 = 1;
        let asm = &mut self.writer.asm;
        asm.mov(R1, R6);
        asm.mov(R2, from);
        asm.mov(R3, R10);
        asm.alu(Alu::Add, R3, i32::from(to));
        asm.mov(R4, len);
        asm.mov(R5, NETWORK);
        asm.call(Helper::LoadBytesRelative);
    }

    /// Keeps what does not begin like something that is shed, or has a spared target.
    fn beginning(&mut self) {
        let labels = self.writer.labels;
        self.writer.copy_datagram(LENGTH_AT);
        self.writer.asm.mov(R4, R7);
        for begin in self.config.sheddable.begins {
            let (other, go_on) = (self.writer.asm.label(), labels.scan);
            self.begins_with(begin, other);
            self.spare(TEXT + begin.len() as i16, go_on);
            self.writer.asm.bind(other);
        }
        self.writer.asm.jump(labels.leave);
    }

    /// Goes to `other` unless the datagram begins so.
    fn begins_with(&mut self, begin: &str, other: Label) {
        assert!((1..=8).contains(&begin.len()), "a beginning fits a word");
        let mut octets = [0; 8];
        octets[..begin.len()].copy_from_slice(begin.as_bytes());
        let mask = u64::MAX >> (8 * (8 - begin.len()));
        let asm = &mut self.writer.asm;
        asm.load(Size::Double, R5, R4, TEXT);
        asm.wide(R0, mask);
        asm.alu(Alu::And, R5, R0);
        asm.wide(R0, u64::from_le_bytes(octets));
        asm.jump_if(R5, Test::Unequal, R0, other);
    }

    /// Keeps the datagram if its target, at `R4 + at`, is spared; else goes to `not`.
    fn spare(&mut self, at: i16, not: Label) {
        let (first, rest) = self.config.sheddable.spared_target.split_at(8);
        self.writer.word_of_name(first.as_bytes(), at, not);
        self.writer.word_of_name(rest.as_bytes(), at + 8, not);
        self.writer.asm.jump(self.writer.labels.leave);
    }

    /// Goes on if the lot in `R1` of the shard in `R0` was dropped before, or is not below the bound of
    /// its gate.
    fn bound(&mut self) {
        let leave = self.writer.labels.leave;
        self.writer.asm.mov(R9, R1);
        self.find_cell();
        let asm = &mut self.writer.asm;
        asm.alu(Alu::Mul, R0, self.config.places as i32);
        asm.load(Size::Double, R5, R10, PLACE_AT);
        asm.alu(Alu::Add, R0, R5);
        asm.alu(Alu::Add, R0, 1);
        asm.store(Size::Word, R10, GATE_AT, R0);
        self.gate();
        let asm = &mut self.writer.asm;
        asm.load(Size::Double, R1, R0, BOUND_AT);
        asm.jump_if(R1, Test::Equal, 0, leave);
        // R8 = the time.
        asm.mov(R8, R1);
        asm.alu(Alu::ShiftRight, R8, BOUND_BITS as i32);
        let above = 64 - BOUND_BITS as i32;
        asm.alu(Alu::ShiftLeft, R1, above);
        asm.alu(Alu::ShiftRight, R1, above);
        asm.store(Size::Double, R7, LIMIT_AT, R1);
        asm.store(Size::Double, R7, NOTE_AT, R8);
        self.cell();
        let asm = &mut self.writer.asm;
        let (is_new, decided) = (asm.label(), asm.label());
        asm.load(Size::Byte, R2, R0, 0);
        asm.jump_if(R2, Test::Equal, 0, is_new);
        asm.mov(R5, R8);
        asm.alu(Alu::Sub, R5, R2);
        asm.alu(Alu::And, R5, 255);
        asm.jump_if(R5, Test::Less, TICKS, decided);
        asm.bind(is_new);
        asm.load(Size::Double, R1, R7, LIMIT_AT);
        asm.jump_if(R9, Test::Less, R1, leave);
        asm.bind(decided);
    }

    /// Says where the cell is of the lot in `R9` of the shard in `R0`, which stays there.
    fn find_cell(&mut self) {
        /// Odd, and of no pattern: lots that are shed are in one range, their cells everywhere.
        const SCATTER: i32 = 0x9e37_79b1_u32 as i32;
        let elements = cell_elements(self.writer.recipe.spread.shards());
        let asm = &mut self.writer.asm;
        asm.alu32(Alu::Move, R5, R9);
        asm.alu32(Alu::Mul, R5, SCATTER);
        asm.alu(Alu::ShiftRight, R5, 32 - CELL_BITS as i32);
        asm.mov(R2, R0);
        asm.alu(Alu::ShiftLeft, R2, CELL_BITS as i32);
        asm.alu(Alu::Or, R5, R2);
        asm.store(Size::Double, R7, CELL_AT, R5);
        asm.alu(Alu::ShiftRight, R5, CELLS_OF_ELEMENT.ilog2() as i32);
        asm.alu(Alu::And, R5, elements as i32 - 1);
        asm.store(Size::Word, R10, ELEMENT_AT, R5);
    }

    /// `R0` = the cell that was found.
    fn cell(&mut self) {
        let leave = self.writer.labels.leave;
        let asm = &mut self.writer.asm;
        asm.lookup(self.maps.cells, ELEMENT_AT);
        asm.jump_if(R0, Test::Equal, 0, leave);
        asm.load(Size::Double, R5, R7, CELL_AT);
        asm.alu(Alu::And, R5, CELLS_OF_ELEMENT as i32 - 1);
        asm.alu(Alu::Add, R0, R5);
    }

    /// `R0` = the gate that was found.
    fn gate(&mut self) {
        let leave = self.writer.labels.leave;
        let asm = &mut self.writer.asm;
        asm.lookup(self.maps.gates, GATE_AT);
        asm.jump_if(R0, Test::Equal, 0, leave);
    }

    /// Looks at every line of the header: keeps the datagram if it is not proved to be new.
    fn proof(&mut self) {
        let leave = self.writer.labels.leave;
        let asm = &mut self.writer.asm;
        let (next, is_text, no_mark) = (asm.label(), asm.label(), asm.label());
        asm.store(Size::Double, R7, PROOF_AT, 0);
        self.writer.search_for_feeds();
        self.writer.find_lines(next);
        let asm = &mut self.writer.asm;
        asm.load(Size::Byte, R0, R4, TEXT + 1);
        asm.load(Size::Double, R1, R7, PROOF_AT);
        asm.jump_if(R1, Test::Unequal, MARK_BEGAN, no_mark);
        self.mark_ends();
        let asm = &mut self.writer.asm;
        asm.bind(no_mark);
        asm.jump_if(R0, Test::Greater, i32::from(b'\r'), is_text);
        // An empty line: the header section is over.
        let over = asm.label();
        for end in [b'\r', b'\n'] {
            asm.jump_if(R0, Test::Equal, i32::from(end), over);
        }
        asm.jump(next);
        asm.bind(over);
        asm.load(Size::Double, R1, R7, PROOF_AT);
        asm.jump_if(R1, Test::Equal, MARK_ENDED, self.drop);
        asm.jump(leave);
        asm.bind(is_text);
        self.line(next);
    }

    /// The mark's line is over: it must end in `>`, and not be folded. `R0` is the octet behind it.
    fn mark_ends(&mut self) {
        let leave = self.writer.labels.leave;
        let asm = &mut self.writer.asm;
        let is_feed = asm.label();
        for blank in [b' ', b'\t'] {
            asm.jump_if(R0, Test::Equal, i32::from(blank), leave);
        }
        asm.load(Size::Byte, R5, R4, TEXT - 1);
        asm.jump_if(R5, Test::Unequal, i32::from(b'\r'), is_feed);
        asm.load(Size::Byte, R5, R4, TEXT - 2);
        asm.bind(is_feed);
        asm.jump_if(R5, Test::Unequal, i32::from(b'>'), leave);
        asm.store(Size::Double, R7, PROOF_AT, MARK_ENDED);
    }

    /// A line of text begins behind `R4`, its first octet is `R0`: is it the mark's, or a spared one?
    fn line(&mut self, next: Label) {
        let leave = self.writer.labels.leave;
        let Sheddable {
            spared_line, marks, ..
        } = self.config.sheddable;
        let [long, short] = marks.map(str::as_bytes);
        assert!(
            long.len() == 2 && short == &long[..1] && spared_line.len() == 16,
            "the names are of the lengths that are looked at"
        );
        let asm = &mut self.writer.asm;
        let (may_mark, may_spare, is_mark) = (asm.label(), asm.label(), asm.label());
        asm.alu(Alu::Or, R0, 0x20);
        asm.jump_if(R0, Test::Equal, i32::from(short[0]), may_mark);
        let first = i32::from(spared_line.as_bytes()[0]);
        asm.jump_if(R0, Test::Equal, first, may_spare);
        asm.jump(next);

        asm.bind(may_spare);
        let (words, rest) = spared_line.as_bytes().split_at(8);
        self.writer.word_of_name(words, TEXT + 1, next);
        self.writer.word_of_name(rest, TEXT + 9, next);
        let asm = &mut self.writer.asm;
        asm.jump(leave);

        asm.bind(may_mark);
        let ends = [b':', b' ', b'\t'];
        asm.load(Size::Byte, R5, R4, TEXT + 2);
        for end in ends {
            asm.jump_if(R5, Test::Equal, i32::from(end), is_mark);
        }
        asm.alu(Alu::Or, R5, 0x20);
        asm.jump_if(R5, Test::Unequal, i32::from(long[1]), next);
        asm.load(Size::Byte, R5, R4, TEXT + 3);
        for end in ends {
            asm.jump_if(R5, Test::Equal, i32::from(end), is_mark);
        }
        asm.jump(next);
        asm.bind(is_mark);
        // A second one says that it is no request that we know.
        asm.load(Size::Double, R1, R7, PROOF_AT);
        asm.jump_if(R1, Test::Unequal, 0, leave);
        asm.store(Size::Double, R7, PROOF_AT, MARK_BEGAN);
        asm.jump(next);
    }

    /// What is dropped is noted in its cell, and counted at its gate; all else passes whole.
    fn ends(&mut self) {
        const WHOLE: i32 = -1;
        let labels = self.writer.labels;
        self.writer.asm.bind(self.drop);
        self.cell();
        let asm = &mut self.writer.asm;
        asm.load(Size::Double, R5, R7, NOTE_AT);
        asm.store(Size::Byte, R0, 0, R5);
        self.gate();
        self.count_and_drop();
        if self.config.drops_strangers {
            self.writer.asm.bind(self.stranger);
            self.first_gate();
            self.writer.asm.jump_if(R0, Test::Equal, 0, labels.leave);
            self.count_and_drop();
        }
        let asm = &mut self.writer.asm;
        asm.bind(labels.unclear);
        asm.bind(labels.leave);
        asm.mov(R0, WHOLE);
        asm.exit();
    }

    fn count_and_drop(&mut self) {
        let asm = &mut self.writer.asm;
        asm.mov(R1, 1);
        asm.add_atomic(R0, DROPPED_AT, R1);
        asm.mov(R0, 0);
        asm.exit();
    }
}

impl Sheddable {
    /// The program's judgement of a datagram, in Rust: the shard and the lot under which it may be
    /// dropped. `None`: it is kept whatever the bound.
    #[must_use]
    pub fn judge(&self, recipe: &Recipe, bytes: &[u8]) -> Option<(ShardId, u32)> {
        let bytes = &bytes[..bytes.len().min(LOOK_BYTES)];
        let begin = self
            .begins
            .iter()
            .find(|it| bytes.starts_with(it.as_bytes()))?;
        let target = &bytes[begin.len()..];
        let spared = self.spared_target.as_bytes();
        let head = target.get(..spared.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(spared)) {
            return None;
        }
        let mut place = None;
        let mut is_marked = false;
        let mut lines = bytes.split(|&octet| octet == b'\n').skip(1).peekable();
        while let Some(line) = lines.next() {
            let is_folded = lines
                .peek()
                .is_some_and(|next| matches!(next.first(), Some(b' ' | b'\t')));
            match line.first() {
                // Behind the last line feed there is nothing.
                None if lines.peek().is_none() => return None,
                None | Some(b'\r') => return place.filter(|_| is_marked),
                Some(..=b'\r') => continue,
                Some(_) => {}
            }
            if begins_in_small(line, self.spared_line) {
                return None;
            }
            if self.marks.iter().any(|name| is_named(line, name)) {
                let text = line.strip_suffix(b"\r").unwrap_or(line);
                if is_marked || is_folded || text.last() != Some(&b'>') {
                    return None;
                }
                is_marked = true;
            }
            if place.is_none()
                && let Some(value) = key_of(line, recipe.names)
            {
                let value = value.filter(|value| !is_folded && is_clear(value))?;
                place = Some(recipe.spread.place(value));
            }
        }
        // No end of the header.
        None
    }
}

fn begins_in_small(line: &[u8], want: &str) -> bool {
    let head = line.get(..want.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(want.as_bytes()))
}

fn is_named(line: &[u8], name: &str) -> bool {
    begins_in_small(line, name) && matches!(line.get(name.len()), Some(b':' | b' ' | b'\t'))
}

/// The value of a line with one of these names; `Some(None)` if it has more blanks than are looked at.
fn key_of<'l>(line: &'l [u8], names: &[&str]) -> Option<Option<&'l [u8]>> {
    let name = names.iter().find(|name| begins_in_small(line, name))?;
    let (blanks, rest) = skip_blanks(&line[name.len()..]);
    if blanks > BLANKS_MAX {
        return Some(None);
    }
    let (blanks, value) = skip_blanks(rest.strip_prefix(b":")?);
    if blanks > BLANKS_MAX {
        return Some(None);
    }
    Some(Some(value.strip_suffix(b"\r").unwrap_or(value)))
}

fn skip_blanks(text: &[u8]) -> (usize, &[u8]) {
    let is_text = |octet: &u8| !matches!(octet, b' ' | b'\t');
    let blanks = text.iter().position(is_text).unwrap_or(text.len());
    (blanks, &text[blanks..])
}

/// Whether the program reads a value to its end: none of its octets looks like the end of a text.
fn is_clear(value: &[u8]) -> bool {
    const CLEAR: std::ops::RangeInclusive<u8> = b'!'..=b'!' + 0x7f;
    (1..super::spread::BLOCK_BYTES).contains(&value.len())
        && value.iter().all(|octet| CLEAR.contains(octet))
}

const BLANKS_MAX: usize = BLANKS as usize;

/// Octets of a datagram within which its header must end to be shed.
pub const SHED_LOOK_BYTES: usize = LOOK_BYTES;

const _: () = assert!(
    HEAD_BYTES as i16 > PROOF_AT + 8,
    "the proof's word is in the head"
);

#[cfg(test)]
mod tests {
    use super::super::{Network, Shedder};
    use super::*;

    const SHARDS: u16 = 4;
    const PLACES: usize = 3;
    const SHEDDABLE: Sheddable = Sheddable {
        begins: &["INVITE ", "OPTIONS "],
        spared_target: "urn:service:sos",
        spared_line: "resource-priorit",
        marks: ["to", "t"],
    };

    fn recipe() -> Recipe {
        Recipe::of_sip(SHARDS, Vec::new())
    }

    fn config(drops_strangers: bool) -> ShedConfig {
        ShedConfig {
            sheddable: SHEDDABLE,
            places: PLACES,
            drops_strangers,
        }
    }

    fn network(text: &str, bits: u8, place: usize) -> Network {
        Network {
            address: text.parse().expect("an address"),
            bits,
            place,
        }
    }

    fn shedder(drops_strangers: bool) -> Shedder {
        let networks = vec![
            network("192.0.2.0", 24, 0),
            network("192.0.2.7", 32, 1),
            network("2001:db8::", 32, 1),
        ];
        Shedder::new(&recipe(), &config(drops_strangers), networks)
    }

    fn invite(call_id: &str) -> String {
        format!(
            "INVITE sip:+12125551234@192.0.2.1:5060 SIP/2.0\n\
             Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-524287-1-0;rport\n\
             From: <sip:+12025550100@198.51.100.7>;tag=9fxced76sl\n\
             To: <sip:+12125551234@192.0.2.1>\nCall-ID: {call_id}\n\
             CSeq: 1 INVITE\nMax-Forwards: 70\nContent-Length: 0\n\n"
        )
    }

    fn lines(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    fn from(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Whether it is dropped when nothing that may be dropped is kept, by the program and its twin.
    fn check(text: &str, is_dropped: bool) {
        for octets in [lines(text), text.as_bytes().to_vec()] {
            let mut shedder = shedder(false);
            shedder.set(0, Some(0), Time::ZERO);
            let kept = shedder.run(from("192.0.2.1"), 0, &octets);
            assert_eq!(!kept.is_kept, is_dropped, "{text}");
            assert_eq!(shedder.dropped(0), u64::from(is_dropped));
            let judged = SHEDDABLE.judge(&recipe(), &octets);
            // Lot 0 passes whatever the bound.
            assert_eq!(judged.is_some(), is_dropped, "{text}");
        }
    }

    #[test]
    fn only_what_begins_a_call_is_dropped() {
        let new = invite("abc@192.0.2.1");
        check(&new, true);
        check(&new.replace("INVITE sip", "OPTIONS sip"), true);
        check(&new.replace("To: ", "t:"), true);
        check(&new.replace("To: ", "TO\t: \"Someone; tag=1\" "), true);
        check(&new.replace("Call-ID", "i"), true);
        // The mark behind the key, at the end.
        let moved = new.replace("To: <sip:+12125551234@192.0.2.1>\n", "");
        check(&moved, false);
        check(
            &moved.replace("Content-Length: 0\n", "To: <sip:1@a>\n"),
            true,
        );
        for kept in [
            new.replace("@192.0.2.1>\nCall", "@192.0.2.1>;tag=x\nCall"),
            new.replace("@192.0.2.1>\nCall", "@192.0.2.1>\n ;tag=x\nCall"),
            new.replace("@192.0.2.1>\nCall", "@192.0.2.1> \nCall"),
            new.replace("<sip:+12125551234@192.0.2.1>\nCall", "sip:a@b\nCall"),
            new.replace("Max-Forwards: 70", "To: <sip:a@b>;tag=x"),
            new.replace("Max-Forwards: 70", "t: <sip:a@b>"),
            new.replace("Max-Forwards", "Resource-Priority"),
            new.replace("Max-Forwards", "RESOURCE-PRIORITY "),
            new.replace("sip:+12125551234@192.0.2.1:5060", "urn:service:sos"),
            new.replace("sip:+12125551234@192.0.2.1:5060", "URN:Service:SOS.police"),
            new.replace("INVITE sip", "ACK sip"),
            new.replace("INVITE sip", "BYE sip"),
            new.replace("INVITE sip", "CANCEL sip"),
            new.replace("INVITE sip", "invite sip"),
            new.replace("INVITE sip", "INVITES sip"),
            new.replace(
                "INVITE sip:+12125551234@192.0.2.1:5060 SIP/2.0",
                "SIP/2.0 200 OK",
            ),
            new.replace("\n\n", "\n"),
            new.replace("Call-ID", "Call"),
            new.replace("abc@192.0.2.1", "abc def"),
            new.replace(
                "Max-Forwards",
                &format!("X: {}\nMax", "x".repeat(LOOK_BYTES)),
            ),
        ] {
            check(&kept, false);
        }
        check(&new.replace("Max-Forwards", "To-Do"), true);
        check(&new.replace("Max-Forwards", "Timestamp"), true);
        check(&new.replace("Max-Forwards", "Resource-Share"), true);
    }

    #[test]
    fn lots_above_the_bound_are_dropped_and_always_the_same() {
        let mut shedder = shedder(false);
        let bound = u32::MAX / 10;
        shedder.set(0, Some(bound), Time::ZERO);
        let mut kept = 0;
        for at in 0..2_000 {
            let octets = lines(&invite(&format!("{at}-4711@198.51.100.7")));
            let (_, lot) = SHEDDABLE
                .judge(&recipe(), &octets)
                .expect("it may be dropped");
            for _copy in 0..2 {
                let ran = shedder.run(from("192.0.2.200"), 0, &octets);
                assert_eq!(ran.is_kept, lot < bound);
            }
            kept += usize::from(lot < bound);
        }
        assert!((150..250).contains(&kept), "{kept} of 2,000 are kept");
        assert_eq!(shedder.dropped(0), 2 * (2_000 - kept) as u64);
    }

    #[test]
    fn what_was_dropped_stays_dropped_while_it_may_be_repeated() {
        let mut shedder = shedder(false);
        let source = from("192.0.2.200");
        let calls = |from: usize| (from..from + 400).map(|at| lines(&invite(&format!("{at}-x"))));
        let kept = |shedder: &mut Shedder, calls: &mut dyn Iterator<Item = Vec<u8>>| {
            calls
                .filter(|octets| shedder.run(source, 0, octets).is_kept)
                .count()
        };
        for begin in [7, 1_020, 4_000] {
            let at = |seconds: u64| Time::from_millis(seconds * 1_000);
            let first = begin as usize * 1_000;
            shedder.set(0, Some(u32::MAX / 4), at(begin));
            let passed = kept(&mut shedder, &mut calls(first));
            assert!((60..140).contains(&passed), "{passed}");
            for later in [0, 1, 3, 7, 15, 31] {
                shedder.set(0, None, at(begin + later));
                assert_eq!(kept(&mut shedder, &mut calls(first)), passed, "{later}");
                // Of all others none.
                assert_eq!(kept(&mut shedder, &mut calls(first + 400)), 400);
            }
            shedder.set(0, None, at(begin + 31 + 24));
            assert_eq!(kept(&mut shedder, &mut calls(first)), 400);
        }
    }

    /// Dropped for another one's note, which is older: the cell counts from the last copy.
    #[test]
    fn who_shares_a_cell_is_not_taken_late() {
        let mut shedder = shedder(false);
        let source = from("192.0.2.200");
        let octets = lines(&invite("abc"));
        shedder.set(0, Some(0), Time::ZERO);
        assert!(!shedder.run(source, 0, &octets).is_kept);
        // From here on this stands for a call that began 15 s after the one of the note.
        for copy in [0, 1, 3, 7, 15, 31] {
            shedder.set(0, None, Time::from_millis((15 + copy) * 1_000));
            assert!(!shedder.run(source, 0, &octets).is_kept, "after {copy} s");
        }
    }

    #[test]
    fn sources_have_gates_of_their_own() {
        let mut shedder = shedder(false);
        let octets = lines(&invite("abc"));
        shedder.set(1, Some(0), Time::ZERO);
        for (address, is_kept) in [
            ("192.0.2.6", true),
            ("192.0.2.7", false),
            ("2001:db8::1", false),
            ("2001:db9::1", true),
            ("198.51.100.1", true),
        ] {
            assert_eq!(
                shedder.run(from(address), 0, &octets).is_kept,
                is_kept,
                "{address}"
            );
        }
        // All that are unknown share the last place.
        shedder.set(PLACES - 1, Some(0), Time::ZERO);
        assert!(!shedder.run(from("198.51.100.1"), 0, &octets).is_kept);
        assert_eq!((shedder.dropped(1), shedder.dropped(2)), (2, 1));
        // Several in one piece are kept: the others may be of calls.
        assert!(shedder.run(from("198.51.100.1"), 700, &octets).is_kept);
    }

    #[test]
    fn strangers_are_dropped_only_where_that_is_wanted() {
        for drops_strangers in [false, true] {
            let mut shedder = shedder(drops_strangers);
            for text in ["SIP/2.0 200 OK\n", "x", "BYE sip:a SIP/2.0\n\n"] {
                let stranger = shedder.run(from("198.51.100.1"), 0, &lines(text));
                assert_eq!(stranger.is_kept, !drops_strangers, "{text}");
                assert!(shedder.run(from("192.0.2.1"), 0, &lines(text)).is_kept);
            }
            let strangers = if drops_strangers { 3 } else { 0 };
            assert_eq!(shedder.strangers(), strangers);
        }
    }

    #[test]
    fn the_cost_of_what_is_kept_and_of_what_is_dropped() {
        let mut shedder = shedder(false);
        let octets = lines(&invite("3848276298220188511@198.51.100.7"));
        let bye = lines(&invite("a").replace("INVITE sip", "BYE sip"));
        let calm = shedder.run(from("192.0.2.1"), 0, &octets).steps;
        shedder.set(0, Some(0), Time::ZERO);
        let steps = [
            calm,
            shedder.run(from("192.0.2.1"), 0, &bye).steps,
            shedder.run(from("198.51.100.1"), 0, &octets).steps,
            shedder.run(from("192.0.2.1"), 0, &octets).steps,
        ];
        println!("instructions: {steps:?}");
        let most = [12, 80, 450, 920];
        assert!(
            steps.iter().zip(most).all(|(&got, most)| got <= most),
            "{steps:?}"
        );
    }
}
