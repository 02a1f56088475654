//! The program that the kernel runs for each datagram: which shard's socket it goes to.
//!
//! ```text
//!   begins like a reply ──yes─▶ second line, our mark at its place? ──yes─▶ the shard it names
//!           │ no                          │ no
//!           ▼                             ▼
//!   next line ◀───────────────────────────┘
//!     │  begins with a name of the key line, blanks, colon, blanks
//!     │─────────────────────────────────────▶ value up to the line's end ──▶ Spread ──▶ its shard
//!     └── the header ends, the bound is met, anything is odd ──▶ any socket (the shard that gets
//!         the datagram hands it over)
//! ```
//!
//! Eight octets are looked at in one step: `(word - n·0x01…01) & 0x80…80` is not 0 if one of them
//! is below `n`, and its lowest bit belongs to the first such octet. An octet from `0x80 + n` on
//! looks the same; so what is found is looked at once more, and what is none is passed over.
//!
//! Cost, in instructions of the machine: 35 to begin, then 3 for each eight octets and about 30 for
//! each line up to the key line, 10 for each eight octets of its value, and 60 to end; a reply with
//! our mark takes 100 in all. `tests::the_cost_of_each_kind_of_message` holds them.
//!
//! The octets are copied into a buffer first: behind many network cards only the first few can be
//! reached in place. What lies behind the datagram in that buffer is of an earlier one, so one word
//! of zeros is written there, at which every search ends.
//!
//! The verifier follows every path with every value that it knows. So the place of the search is
//! kept from it: it begins as a word read from memory, which happens to be 0, and each round cuts
//! it to its range. All rounds then look alike, and the verifier soon has done with them.

use super::asm::{
    Alu, Assembler, Helper, Label, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Reg, Size, Test,
};
use super::{Cookie, Recipe};

/// Octets of a datagram that are looked at, at most.
pub(crate) const LOOK_BYTES: usize = 2_048;
/// What stands before them in the scratch memory: the program's counts and notes, a word each.
pub(crate) const HEAD_BYTES: usize = 64;
/// Octets of the scratch memory. Reads may pass the end of what is looked at by a word of zeros, a
/// cookie's place or a block of text, never by more.
pub(crate) const SCRATCH_BYTES: usize = HEAD_BYTES + LOOK_BYTES + 512;

/// Datagrams shorter than this are nobody's.
const SHORTEST: i32 = 24;
/// Lines and steps of [`STRIDE`] octets within lines, at most.
const ROUNDS: i32 = 120;
/// Octets looked at in one round.
const STRIDE: i16 = 64;
/// Blanks before and after a colon, at most.
pub(super) const BLANKS: i16 = 4;
/// The UDP header, which comes first.
const UDP_BYTES: i32 = 8;

const TOPS: u64 = 0x8080_8080_8080_8080;
/// What is below may be a line feed.
const PAST_FEEDS: u64 = 0x0b0b_0b0b_0b0b_0b0b;
/// What is below ends a text: blanks and controls.
const PAST_BLANKS: u64 = 0x2121_2121_2121_2121;
/// Multiplied by `1 << 8k`, its highest octet is `k`.
const PLACES: u64 = 0x0001_0203_0405_0607;

/// The words at the beginning of the scratch memory that the program counts in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tally {
    /// Steered by a cookie.
    Cookie = 0,
    /// Steered by the hash of the key line.
    Hash = 1,
    /// Left to chance.
    Unclear = 2,
}

/// The maps that the program uses, by their descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps {
    /// [`SCRATCH_BYTES`] for each processor.
    pub(crate) scratch: i32,
    /// The sockets, by their shard.
    pub(crate) sockets: i32,
}

/// Writes the program for one listener. `cookie`: where its replies carry one.
pub(crate) fn program(recipe: &Recipe, cookie: Option<Cookie>, maps: Maps) -> Vec<u64> {
    let mut asm = Assembler::new();
    let labels = Labels::new(&mut asm);
    let mut writer = Writer {
        asm,
        recipe,
        maps,
        labels,
    };
    writer.begin();
    writer.copy_datagram(REUSEPORT_BYTES_AT);
    if let Some(cookie) = cookie {
        writer.reply(cookie);
    }
    writer.scan();
    writer.names();
    writer.value();
    writer.count(Tally::Hash);
    writer.ends();
    writer.asm.finish()
}

#[derive(Clone, Copy)]
pub(super) struct Labels {
    /// Looks at all lines from the first.
    pub(super) scan: Label,
    pub(super) next_line: Label,
    /// `R8` is at the value of the key line.
    pub(super) value: Label,
    /// `R0` is the shard.
    pub(super) select: Label,
    pub(super) unclear: Label,
    pub(super) leave: Label,
}

impl Labels {
    pub(super) fn new(asm: &mut Assembler) -> Labels {
        Labels {
            scan: asm.label(),
            next_line: asm.label(),
            value: asm.label(),
            select: asm.label(),
            unclear: asm.label(),
            leave: asm.label(),
        }
    }
}

/// In the order of the program. `R7` is the scratch memory, `R8` the place that is looked at;
/// the program's argument is on the stack. [`super::shed`] writes another program with the same
/// words.
pub(super) struct Writer<'r> {
    pub(super) asm: Assembler,
    pub(super) recipe: &'r Recipe,
    pub(super) maps: Maps,
    pub(super) labels: Labels,
}

/// Where the program's argument is kept.
pub(super) const ARGUMENT_AT: i16 = -8;
/// Where the keys of maps are built.
pub(super) const KEY_AT: i16 = -16;
/// Places in the scratch memory: behind the counts the length of what is looked at, and a 0.
const LENGTH_AT: i16 = 48;
const ZERO_AT: i16 = 56;
pub(super) const TEXT: i16 = HEAD_BYTES as i16;
/// Where `struct sk_reuseport_md` says how long the datagram is.
const REUSEPORT_BYTES_AT: i16 = 16;

impl Writer<'_> {
    /// Keeps the program's argument, also in `R6`.
    pub(super) fn begin(&mut self) {
        self.asm.mov(R6, R1);
        self.asm.store(Size::Double, R10, ARGUMENT_AT, R6);
    }

    /// The octets into the scratch memory, a word of zeros behind them. `R6` is the program's
    /// argument, in which the datagram's length is at `length_at`.
    pub(super) fn copy_datagram(&mut self, length_at: i16) {
        let (asm, labels) = (&mut self.asm, self.labels);
        asm.store(Size::Word, R10, KEY_AT, 0);
        asm.lookup(self.maps.scratch, KEY_AT);
        asm.jump_if(R0, Test::Equal, 0, labels.leave);
        asm.mov(R7, R0);

        asm.load(Size::Word, R9, R6, length_at);
        asm.jump_if(R9, Test::Less, UDP_BYTES + SHORTEST, labels.unclear);
        asm.alu(Alu::Add, R9, -UDP_BYTES);
        let fits = asm.label();
        asm.jump_if(R9, Test::Less, LOOK_BYTES as i32 + 1, fits);
        asm.mov(R9, LOOK_BYTES as i32);
        asm.bind(fits);
        asm.mov(R1, R6);
        asm.mov(R2, UDP_BYTES);
        asm.mov(R3, R7);
        asm.alu(Alu::Add, R3, i32::from(TEXT));
        asm.mov(R4, R9);
        asm.call(Helper::LoadBytes);
        asm.jump_if(R0, Test::Unequal, 0, labels.unclear);
        asm.mov(R4, R7);
        asm.alu(Alu::Add, R4, R9);
        asm.store(Size::Double, R4, TEXT, 0);
        asm.store(Size::Double, R7, LENGTH_AT, R9);
        self.search_for_feeds();
    }

    /// What [`Writer::find_line_feed`] compares with, into `R2` and `R3`.
    pub(super) fn search_for_feeds(&mut self) {
        self.asm.wide(R2, PAST_FEEDS);
        self.asm.wide(R3, TOPS);
    }

    /// A reply: the cookie that we gave is at a fixed place of its second line.
    fn reply(&mut self, cookie: Cookie) {
        /// Words of the first line behind those that say that it is one.
        const WORDS: i16 = 4;
        let labels = self.labels;
        let found = self.asm.label();
        self.asm.load(Size::Double, R0, R7, TEXT);
        self.asm.wide(R5, u64::from_le_bytes(self.recipe.reply));
        self.asm.jump_if(R0, Test::Unequal, R5, labels.scan);
        let mut hits = Vec::new();
        for word in 1..=WORDS {
            let hit = self.asm.label();
            self.find_line_feed(R7, TEXT + 8 * word, hit);
            hits.push((hit, 8 * word));
        }
        self.asm.jump(labels.scan);
        for (hit, offset) in hits {
            self.asm.bind(hit);
            self.asm.mov(R8, i32::from(offset));
            self.asm.jump(found);
        }
        self.asm.bind(found);
        self.skip_to_found();
        self.look();
        self.asm.load(Size::Byte, R0, R4, TEXT);
        self.asm
            .jump_if(R0, Test::Unequal, i32::from(b'\n'), labels.scan);
        // From the line feed.
        let first = cookie.at + 1;
        let digits = first + cookie.mark.len();
        self.asm.mov(R0, R8);
        self.asm.alu(Alu::Add, R0, (digits + DIGITS) as i32);
        self.asm.load(Size::Double, R5, R7, LENGTH_AT);
        self.asm.jump_if(R0, Test::Greater, R5, labels.scan);
        self.compare(cookie.mark, TEXT + first as i16);
        self.shard_of_digits(TEXT + digits as i16);
        let shards = i32::from(self.recipe.spread.shards());
        self.asm.jump_if(R0, Test::AtLeast, shards, labels.scan);
        self.count(Tally::Cookie);
        self.asm.jump(labels.select);
    }

    /// Goes on with a scan unless `text` stands at `R4 + at`.
    fn compare(&mut self, text: &[u8], at: i16) {
        let mut place = at;
        for word in text.chunks(8) {
            if let Ok(octets) = <[u8; 8]>::try_from(word) {
                self.asm.load(Size::Double, R0, R4, place);
                self.asm.wide(R5, u64::from_le_bytes(octets));
                self.asm.jump_if(R0, Test::Unequal, R5, self.labels.scan);
                place += 8;
                continue;
            }
            for &octet in word {
                self.asm.load(Size::Byte, R0, R4, place);
                self.asm
                    .jump_if(R0, Test::Unequal, i32::from(octet), self.labels.scan);
                place += 1;
            }
        }
    }

    /// `R0` = the ten highest bits of 64 that were written with 13 digits of base 32: four in the
    /// first digit, five in the second, one in the third.
    fn shard_of_digits(&mut self, at: i16) {
        self.digit(at, R0);
        self.asm.alu(Alu::And, R0, 15);
        self.asm.alu(Alu::ShiftLeft, R0, 6);
        self.digit(at + 1, R5);
        self.asm.alu(Alu::ShiftLeft, R5, 1);
        self.asm.alu(Alu::Or, R0, R5);
        self.digit(at + 2, R5);
        self.asm.alu(Alu::ShiftRight, R5, 4);
        self.asm.alu(Alu::Or, R0, R5);
    }

    /// `into` = the value of the digit at `R4 + at`, below 32. What is no digit gets any value.
    fn digit(&mut self, at: i16, into: Reg) {
        let (is_figure, done) = (self.asm.label(), self.asm.label());
        self.asm.load(Size::Byte, into, R4, at);
        self.asm
            .jump_if(into, Test::Less, i32::from(b'9') + 1, is_figure);
        self.asm.alu(Alu::Add, into, 10 - i32::from(b'a'));
        self.asm.jump(done);
        self.asm.bind(is_figure);
        self.asm.alu(Alu::Sub, into, i32::from(b'0'));
        self.asm.bind(done);
        self.asm.alu(Alu::And, into, 31);
    }

    /// Looks at all lines from the first.
    pub(super) fn scan(&mut self) {
        self.asm.bind(self.labels.scan);
        self.find_lines(self.labels.next_line);
    }

    /// Finds the first line behind a line feed, and with each jump to `next_line` the next one. Falls
    /// through with `R4` at the line feed before it and `R8` behind that.
    pub(super) fn find_lines(&mut self, next_line: Label) {
        let labels = self.labels;
        // 0, but the verifier does not know it.
        self.asm.store(Size::Double, R7, ZERO_AT, 0);
        self.asm.load(Size::Double, R8, R7, ZERO_AT);
        self.asm.mov(R6, 0);

        self.asm.bind(next_line);
        self.asm.alu(Alu::Add, R6, 1);
        self.asm.jump_if(R6, Test::Greater, ROUNDS, labels.unclear);
        self.look();
        let hits: [Label; STRIDE as usize / 8] = std::array::from_fn(|_| self.asm.label());
        for (word, &hit) in hits.iter().enumerate() {
            self.find_line_feed(R4, TEXT + 8 * word as i16, hit);
        }
        self.asm.alu(Alu::Add, R8, i32::from(STRIDE));
        self.asm.jump(next_line);
        let found = hits[0];
        for (word, &hit) in hits.iter().enumerate().skip(1) {
            self.asm.bind(hit);
            self.asm.alu(Alu::Add, R8, 8 * word as i32);
            self.asm.jump(found);
        }
        self.asm.bind(found);
        self.skip_to_found();
        self.look();
        self.asm.alu(Alu::Add, R8, 1);
        self.asm.load(Size::Byte, R0, R4, TEXT);
        self.asm
            .jump_if(R0, Test::Unequal, i32::from(b'\n'), next_line);
    }

    /// `R4` = the scratch memory at `R8`; gives up at the end of what there is. The length is in
    /// memory, where the verifier does not follow it: what it learnt of it would be different each
    /// time.
    fn look(&mut self) {
        self.asm.load(Size::Double, R0, R7, LENGTH_AT);
        self.asm.jump_if(R8, Test::AtLeast, R0, self.labels.unclear);
        // Changes nothing, but it is all that the verifier now knows of R8.
        self.asm.alu(Alu::And, R8, LOOK_BYTES as i32 - 1);
        self.asm.mov(R4, R7);
        self.asm.alu(Alu::Add, R4, R8);
    }

    /// Looks at the word at `base + at` and jumps if a line may end in it. `R5` then marks where.
    fn find_line_feed(&mut self, base: Reg, at: i16, hit: Label) {
        self.asm.load(Size::Double, R5, base, at);
        self.asm.alu(Alu::Sub, R5, R2);
        self.asm.jump_if(R5, Test::Common, R3, hit);
    }

    /// `R8` moves from the word to the octet that `R5` marks in it.
    fn skip_to_found(&mut self) {
        self.lowest();
        self.place();
        self.asm.alu(Alu::Add, R8, R5);
    }

    /// `R5` = `1 << 8k` where `k` is the first octet that it marks.
    fn lowest(&mut self) {
        self.asm.alu(Alu::And, R5, R3);
        self.asm.mov(R0, R5);
        self.asm.alu(Alu::Negate, R0, 0);
        self.asm.alu(Alu::And, R5, R0);
        self.asm.alu(Alu::ShiftRight, R5, 7);
    }

    /// `R5` = `k` where it was `1 << 8k`.
    fn place(&mut self) {
        self.asm.wide(R0, PLACES);
        self.asm.alu(Alu::Mul, R5, R0);
        self.asm.alu(Alu::ShiftRight, R5, 56);
        self.asm.alu(Alu::And, R5, 7);
    }

    /// Whether the line behind `R4`, at `R8`, is the key line. Goes on to the value if it is, to
    /// the next line if not.
    pub(super) fn names(&mut self) {
        let labels = self.labels;
        let is_text = self.asm.label();
        self.asm.load(Size::Byte, R0, R4, TEXT + 1);
        self.asm
            .jump_if(R0, Test::Greater, i32::from(b'\r'), is_text);
        // An empty line: the header section is over.
        for end in [b'\r', b'\n'] {
            self.asm
                .jump_if(R0, Test::Equal, i32::from(end), labels.unclear);
        }
        self.asm.jump(labels.next_line);
        self.asm.bind(is_text);
        let names = self.recipe.names;
        let mine: Vec<Label> = names.iter().map(|_| self.asm.label()).collect();
        self.asm.alu(Alu::Or, R0, 0x20);
        for (name, &label) in names.iter().zip(&mine) {
            let first = i32::from(name.as_bytes()[0]);
            self.asm.jump_if(R0, Test::Equal, first, label);
        }
        self.asm.jump(labels.next_line);
        for (name, label) in names.iter().zip(mine) {
            self.asm.bind(label);
            self.word_of_name(name.as_bytes(), TEXT + 1, labels.next_line);
            self.asm.alu(Alu::Add, R8, name.len() as i32);
            self.colon();
        }
    }

    /// Goes to `other` unless `name` stands at `R4 + at`, in any case of its letters. Of a name of one
    /// letter the caller has seen that.
    pub(super) fn word_of_name(&mut self, name: &[u8], at: i16, other: Label) {
        assert!(
            (1..=8).contains(&name.len()),
            "a name of the key line fits a word"
        );
        if name.len() == 1 {
            return;
        }
        let word = |octet: &dyn Fn(u8) -> u8| {
            let mut octets = [0; 8];
            for (place, &letter) in octets.iter_mut().zip(name) {
                *place = octet(letter);
            }
            u64::from_le_bytes(octets)
        };
        let case = |letter: u8| u8::from(letter.is_ascii_lowercase()) << 5;
        self.asm.load(Size::Double, R5, R4, at);
        for (op, constant) in [(Alu::And, word(&|_| 0xff)), (Alu::Or, word(&case))] {
            self.asm.wide(R0, constant);
            self.asm.alu(op, R5, R0);
        }
        self.asm.wide(R0, word(&|letter| letter));
        self.asm.jump_if(R5, Test::Unequal, R0, other);
    }

    /// Blanks, a colon, blanks at `R8`; then the value, if this is the key line.
    fn colon(&mut self) {
        let labels = self.labels;
        let colon = self.asm.label();
        for _ in 0..=BLANKS {
            let blank = self.asm.label();
            self.octet_at_place();
            self.asm.jump_if(R0, Test::Equal, i32::from(b':'), colon);
            for octet in [b' ', b'\t'] {
                self.asm.jump_if(R0, Test::Equal, i32::from(octet), blank);
            }
            self.asm.jump(labels.next_line);
            self.asm.bind(blank);
            self.asm.alu(Alu::Add, R8, 1);
        }
        self.asm.jump(labels.unclear);
        self.asm.bind(colon);
        for _ in 0..=BLANKS {
            let blank = self.asm.label();
            self.asm.alu(Alu::Add, R8, 1);
            self.octet_at_place();
            for octet in [b' ', b'\t'] {
                self.asm.jump_if(R0, Test::Equal, i32::from(octet), blank);
            }
            self.asm.jump(labels.value);
            self.asm.bind(blank);
        }
        self.asm.jump(labels.unclear);
    }

    /// `R0` = the octet at `R8`.
    fn octet_at_place(&mut self) {
        self.asm.mov(R4, R7);
        self.asm.alu(Alu::Add, R4, R8);
        self.asm.load(Size::Byte, R0, R4, TEXT);
    }

    /// Hashes the value at `R8`: see [`super::Spread`]. `R0` is then the shard, and `R1` the
    /// value's lot among those of its shard.
    pub(super) fn value(&mut self) {
        let labels = self.labels;
        let ended = self.asm.label();
        self.asm.bind(labels.value);
        self.look();
        self.asm.alu(Alu::Add, R4, i32::from(TEXT));
        self.asm.mov(R1, 0);
        self.asm.wide(R2, PAST_BLANKS);
        // R3 is still TOPS.
        let keys = *self.recipe.spread.keys();
        let ends: Vec<Label> = keys.iter().map(|_| self.asm.label()).collect();
        for (word, (&key, &end)) in keys.iter().zip(&ends).enumerate() {
            self.asm.load(Size::Double, R0, R4, 8 * word as i16);
            self.asm.mov(R5, R0);
            self.asm.alu(Alu::Sub, R5, R2);
            self.asm.jump_if(R5, Test::Common, R3, end);
            self.add_word(key);
        }
        self.asm.jump(labels.unclear);
        for (word, (&key, &end)) in keys.iter().zip(&ends).enumerate() {
            self.asm.bind(end);
            self.asm.mov(R6, R0);
            self.lowest();
            if word == 0 {
                // No value.
                self.asm.jump_if(R5, Test::Equal, 1, labels.unclear);
            }
            self.asm.mov(R0, R5);
            self.asm.alu(Alu::Add, R0, -1);
            self.asm.alu(Alu::And, R0, R6);
            self.asm.mov(R6, R5);
            self.add_word(key);
            self.asm.alu(Alu::Add, R4, 8 * word as i32);
            self.asm.jump(ended);
        }
        self.asm.bind(ended);
        self.asm.mov(R5, R6);
        self.place();
        self.asm.alu(Alu::Add, R4, R5);
        self.line_end();
        self.shard_of_sum();
    }

    /// `R1` += the word in `R0` under a key. `R0` and `R5` are used up.
    fn add_word(&mut self, key: u64) {
        self.asm.alu32(Alu::Move, R5, R0);
        self.asm.alu32(Alu::Add, R5, key as u32 as i32);
        self.asm.alu(Alu::ShiftRight, R0, 32);
        self.asm.alu32(Alu::Add, R0, (key >> 32) as u32 as i32);
        self.asm.alu(Alu::Mul, R0, R5);
        self.asm.alu(Alu::Add, R1, R0);
    }

    /// The value at whose end `R4` is ends its line, and the next line is no fold of it.
    fn line_end(&mut self) {
        let labels = self.labels;
        let feed = self.asm.label();
        self.asm.load(Size::Byte, R0, R4, 0);
        self.asm.jump_if(R0, Test::Equal, i32::from(b'\n'), feed);
        self.asm
            .jump_if(R0, Test::Unequal, i32::from(b'\r'), labels.unclear);
        self.asm.alu(Alu::Add, R4, 1);
        self.asm.load(Size::Byte, R0, R4, 0);
        self.asm
            .jump_if(R0, Test::Unequal, i32::from(b'\n'), labels.unclear);
        self.asm.bind(feed);
        self.asm.load(Size::Byte, R0, R4, 1);
        for octet in [b' ', b'\t'] {
            self.asm
                .jump_if(R0, Test::Equal, i32::from(octet), labels.unclear);
        }
    }

    /// `R0` = the shard for the sum in `R1`, and `R1` = what the division by shards leaves.
    fn shard_of_sum(&mut self) {
        let [first, second] = self.recipe.spread.mix_keys();
        for (shift, key) in [(32, first), (29, second)] {
            self.asm.mov(R5, R1);
            self.asm.alu(Alu::ShiftRight, R5, shift);
            self.asm.alu(Alu::Xor, R1, R5);
            self.asm.wide(R5, key);
            self.asm.alu(Alu::Mul, R1, R5);
        }
        self.asm.alu(Alu::ShiftRight, R1, 32);
        self.asm
            .alu(Alu::Mul, R1, i32::from(self.recipe.spread.shards()));
        self.asm.mov(R0, R1);
        self.asm.alu(Alu::ShiftRight, R0, 32);
        self.asm.alu32(Alu::Move, R1, R1);
    }

    /// One more of these. `R5` is used up.
    fn count(&mut self, tally: Tally) {
        let at = 8 * tally as i16;
        self.asm.load(Size::Double, R5, R7, at);
        self.asm.alu(Alu::Add, R5, 1);
        self.asm.store(Size::Double, R7, at, R5);
    }

    /// The socket of the shard in `R0`; any socket.
    fn ends(&mut self) {
        const PASS: i32 = 1;
        let labels = self.labels;
        self.asm.bind(labels.select);
        self.asm.store(Size::Word, R10, KEY_AT, R0);
        self.asm.load(Size::Double, R1, R10, ARGUMENT_AT);
        self.asm.map(R2, self.maps.sockets);
        self.asm.mov(R3, R10);
        self.asm.alu(Alu::Add, R3, i32::from(KEY_AT));
        self.asm.mov(R4, 0);
        self.asm.call(Helper::SelectSocket);
        // A socket that is gone: the kernel takes one of the others.
        self.asm.jump(labels.leave);
        self.asm.bind(labels.unclear);
        self.count(Tally::Unclear);
        self.asm.bind(labels.leave);
        self.asm.mov(R0, PASS);
        self.asm.exit();
    }
}

/// How many digits of a cookie name its shard.
pub(crate) const DIGITS: usize = 3;

#[cfg(test)]
mod tests {
    use base::{ShardId, SlotId};

    use super::super::{Cookie, Machine, Recipe, SteerCounts};

    const SHARDS: u16 = 16;
    const COOKIE: Cookie = Cookie {
        at: 42,
        mark: b"z9hG4bKtl",
    };

    fn recipe() -> Recipe {
        Recipe::of_sip(SHARDS, vec![Some(COOKIE)])
    }

    fn machine() -> Machine {
        Machine::new(&recipe(), Some(COOKIE))
    }

    fn lines(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    /// The shard that the program finds is the one of `key`; `None`: it finds none.
    fn check(text: &str, key: Option<&str>) {
        check_octets(&lines(text), key);
    }

    fn check_octets(octets: &[u8], key: Option<&str>) {
        let want = key.map(|key| recipe().spread.shard(key.as_bytes()));
        let mut machine = machine();
        assert_eq!(
            machine.run(octets).shard,
            want,
            "{}",
            String::from_utf8_lossy(octets)
        );
        let counts = machine.counts();
        let hash = u64::from(key.is_some());
        assert_eq!((counts.hash, counts.unclear), (hash, 1 - hash));
    }

    #[test]
    fn the_key_line_is_found_in_all_its_forms() {
        let texts = [
            "INVITE sip:a@example.com SIP/2.0\nCall-ID: abc@192.0.2.1\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nVia: x\ncall-id:abc@192.0.2.1\n\n",
            "INVITE sip:a@example.com SIP/2.0\nVia: x\nCALL-ID \t:\t abc@192.0.2.1\nX: y\n\n",
            "INVITE sip:a@example.com SIP/2.0\nv: x\ni: abc@192.0.2.1\nX: y\n\n",
            "INVITE sip:a@example.com SIP/2.0\nv: x\nI    :    abc@192.0.2.1\nX: y\n\n",
            "INVITE sip:a@example.com SIP/2.0\nX: y,\n z\nInfo: 1\nCall-Info: 2\nCall-IDs: 3\nCall-ID: abc@192.0.2.1\n\n",
            "INVITE sip:a@example.com SIP/2.0\nX: Юрій Łoś, 日本語\nCall-ID: abc@192.0.2.1\nX: 日本語\n\n",
            "\nINVITE sip:a@example.com SIP/2.0\nCall-ID: abc@192.0.2.1\n\n",
            "SIP/2.0 200 OK\nVia: x\nCall-ID: abc@192.0.2.1\nCall-ID: second\n\n",
        ];
        for text in texts {
            check(text, Some("abc@192.0.2.1"));
            check_octets(text.as_bytes(), Some("abc@192.0.2.1"));
        }
    }

    #[test]
    fn values_of_every_length_at_every_place() {
        for len in 1..200 {
            let key: String = (0..len)
                .map(|at| char::from(b'!' + (at % 90) as u8))
                .collect();
            let padding = "p".repeat(len % 13);
            let text = format!("INVITE sip:a SIP/2.0\nX: {padding}\nCall-ID: {key}\nVia: x\n\n");
            check(&text, (len < 128).then_some(&key));
        }
        for padding in 0..2_200 {
            let text = format!(
                "INVITE sip:a SIP/2.0\nX: {}\nCall-ID: abc\n\n",
                "p".repeat(padding)
            );
            // The line must end within what is looked at.
            let end = text.find("abc").expect("it is there") + 2 + "abc\r\n".len();
            check(&text, (end <= super::LOOK_BYTES).then_some("abc"));
        }
    }

    #[test]
    fn what_is_odd_is_left_alone() {
        for text in [
            "INVITE sip:a@example.com SIP/2.0\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nVia: x\n\nCall-ID: abc\nVia: x\n",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID:\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID:\n abc\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID: abc\n def\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID: abc def\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID: abc \nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID: abc",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID: 日本語\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\nCall-ID:       abc\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0 Call-ID: abc\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0\n Call-ID: abc\nVia: x\n\n",
            "INVITE sip:a@example.com SIP/2.0",
            "no lines at all, but long enough to look at it",
            "short",
            "",
        ] {
            check(text, None);
        }
        check_octets(&[0; 1_000], None);
        check_octets(&[0xff; 65_000], None);
        check_octets(
            b"INVITE sip:a SIP/2.0\r\nCall-ID: ab\rc\r\nVia: x\r\n\r\n",
            None,
        );
        check_octets(
            b"INVITE sip:a SIP/2.0\r\nCall\rID: abc\r\nVia: x\r\n\r\n",
            None,
        );
        check_octets("i:x\n".repeat(20).as_bytes(), Some("x"));
        // More lines than the program looks at.
        check_octets(format!("{}i: x\n", "a\n".repeat(300)).as_bytes(), None);
    }

    fn reply(first: &str, via: &str, shard: u16) -> String {
        let bits = SlotId::new(ShardId(shard), 4_711, 3).bits();
        let digit = |at: u32| char::from_digit((bits >> (5 * at) & 31) as u32, 32);
        let digits: String = (0..13).rev().filter_map(digit).collect();
        format!("{first}\n{via}z9hG4bKtl{digits}0123456701234567\nFrom: x\nCall-ID: abc\n\n")
    }

    #[test]
    fn a_reply_is_found_by_its_cookie() {
        let via = "Via: SIP/2.0/UDP 192.000.002.1:5060;bran=h";
        assert_eq!(via.len(), COOKIE.at);
        for first in [
            "SIP/2.0 200 OK",
            "SIP/2.0 180 Ringing",
            "SIP/2.0 100 ",
            "SIP/2.0 183 Session Progress",
            "SIP/2.0 480 Temporarily Unavail",
        ] {
            for shard in 0..SHARDS {
                let mut machine = machine();
                let ran = machine.run(&lines(&reply(first, via, shard)));
                assert_eq!(ran.shard, Some(ShardId(shard)), "{first}");
                let cookie = SteerCounts {
                    cookie: 1,
                    ..SteerCounts::default()
                };
                assert_eq!(machine.counts(), cookie);
            }
            // Of another process, with more shards.
            check(&reply(first, via, SHARDS), Some("abc"));
            check(&reply(first, via, 1_023), Some("abc"));
            check(&reply(first, &format!("{via} "), 1), Some("abc"));
        }
        let mut cut = lines(&reply("SIP/2.0 200 OK", via, 3));
        cut.truncate("SIP/2.0 200 OK\r\n".len() + COOKIE.at + COOKIE.mark.len() + 2);
        check_octets(&cut, None);
        check(
            &reply("SIP/2.0 403 Nothing that one would want to say", via, 1),
            Some("abc"),
        );
        check(&reply("ACK sip:a SIP/2.0", via, 1), Some("abc"));
        check(
            &reply("SIP/2.0 200 OK", via, 1).replace("tl", "TL"),
            Some("abc"),
        );
        let mut without = Machine::new(&recipe(), None);
        let ran = without.run(&lines(&reply("SIP/2.0 200 OK", via, 3)));
        assert_eq!(ran.shard, Some(recipe().spread.shard(b"abc")));
    }

    #[test]
    fn the_cost_of_each_kind_of_message() {
        let via = "Via: SIP/2.0/UDP 192.000.002.1:5060;bran=h";
        let invite = "INVITE sip:+12125551234@192.0.2.1:5060 SIP/2.0\n\
            Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-524287-1-0;rport\nMax-Forwards: 70\n\
            From: <sip:+12025550100@198.51.100.7>;tag=9fxced76sl\nTo: <sip:+12125551234@192.0.2.1>\n\
            Call-ID: 3848276298220188511@198.51.100.7\nCSeq: 1 INVITE\n\n";
        let far = invite.replace("Max-", &format!("X: {}\nMax-", "x".repeat(1_000)));
        let steps = |text: &str| machine().run(&lines(text)).steps;
        let got = [
            steps(&reply("SIP/2.0 180 Ringing", via, 1)),
            steps(&reply("SIP/2.0 183 Session Progress", via, 1)),
            steps(invite),
            steps(&far),
            steps("nothing of the kind, but it is long enough"),
        ];
        println!("instructions: {got:?}");
        let most = [100, 105, 440, 1_000, 80];
        assert!(
            got.iter().zip(most).all(|(&got, most)| got <= most),
            "{got:?}"
        );
    }
}
