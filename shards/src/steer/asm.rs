//! An assembler for the kernel's BPF machine: instructions, labels, and nothing more.
//!
//! ```text
//!   63               32 31        16 15    12 11     8 7         0
//!  ┌───────────────────┬────────────┬────────┬────────┬───────────┐
//!  │ immediate (32)    │ offset (16)│ source │  dest  │  opcode   │
//!  └───────────────────┴────────────┴────────┴────────┴───────────┘
//! ```
//!
//! A 64-bit constant takes two of these words. Jumps count words from the one behind the jump.
//! The machine is described in the kernel's `Documentation/bpf/standardization/instruction-set.rst`
//! (RFC 9669).

/// A register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reg(pub(crate) u8);

/// The result of a call, and of the program.
pub(crate) const R0: Reg = Reg(0);
/// The first argument; as all up to `R5` lost by a call.
pub(crate) const R1: Reg = Reg(1);
pub(crate) const R2: Reg = Reg(2);
pub(crate) const R3: Reg = Reg(3);
pub(crate) const R4: Reg = Reg(4);
pub(crate) const R5: Reg = Reg(5);
/// Kept over calls, as all up to `R9`.
pub(crate) const R6: Reg = Reg(6);
pub(crate) const R7: Reg = Reg(7);
pub(crate) const R8: Reg = Reg(8);
pub(crate) const R9: Reg = Reg(9);
/// The end of the stack, which grows down; read only.
pub(crate) const R10: Reg = Reg(10);

/// The right side of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operand {
    Register(Reg),
    /// Taken to 64 bits with its sign.
    Constant(i32),
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Operand {
        Operand::Register(reg)
    }
}

impl From<i32> for Operand {
    fn from(constant: i32) -> Operand {
        Operand::Constant(constant)
    }
}

/// How much a load or a store moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    Word = 0x00,
    Byte = 0x10,
    Double = 0x18,
}

/// What an operation does to its destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Negate = 0x80,
    Xor = 0xa0,
    Move = 0xb0,
}

/// When a jump is taken; the order is that of unsigned numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Test {
    Equal = 0x10,
    Greater = 0x20,
    AtLeast = 0x30,
    /// They have a bit in common.
    Common = 0x40,
    Unequal = 0x50,
    Less = 0xa0,
}

/// A helper of the kernel, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Helper {
    MapLookup = 1,
    LoadBytes = 26,
    /// As the one before, from the beginning of a layer.
    LoadBytesRelative = 68,
    SelectSocket = 82,
}

/// The classes of instructions, in the low three bits of the opcode.
pub(crate) mod class {
    pub(crate) const LOAD_WIDE: u8 = 0x00;
    pub(crate) const LOAD: u8 = 0x01;
    pub(crate) const STORE_CONSTANT: u8 = 0x02;
    pub(crate) const STORE: u8 = 0x03;
    pub(crate) const ALU32: u8 = 0x04;
    pub(crate) const JUMP: u8 = 0x05;
    pub(crate) const ALU64: u8 = 0x07;
}

/// Loads and stores take their address from a register.
pub(crate) const MODE_MEMORY: u8 = 0x60;
/// A store that adds, whoever else does.
pub(crate) const MODE_ATOMIC: u8 = 0xc0;
/// The operand is a register.
pub(crate) const FROM_REGISTER: u8 = 0x08;
pub(crate) const JUMP_ALWAYS: u8 = class::JUMP;
pub(crate) const CALL: u8 = class::JUMP | 0x80;
pub(crate) const EXIT: u8 = class::JUMP | 0x90;
/// A constant of 64 bits: the whole opcode.
pub(crate) const WIDE: u8 = class::LOAD_WIDE | Size::Double as u8;
/// The source of a wide constant that is a map's descriptor.
pub(crate) const MAP_DESCRIPTOR: u8 = 1;

/// A place in the program that jumps lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label(usize);

/// A program in the making.
#[derive(Default, Debug)]
pub(crate) struct Assembler {
    words: Vec<u64>,
    /// Where each label is, once it is bound.
    labels: Vec<Option<usize>>,
    /// The jumps that wait for their label.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub(crate) fn new() -> Assembler {
        Assembler::default()
    }

    /// A new label, to be bound later or now.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Binds a label to the next instruction.
    pub(crate) fn bind(&mut self, label: Label) {
        let place = &mut self.labels[label.0];
        assert!(place.is_none(), "a label is bound once");
        *place = Some(self.words.len());
    }

    /// `dst = dst <op> operand` in 64 bits.
    pub(crate) fn alu(&mut self, op: Alu, dst: Reg, operand: impl Into<Operand>) {
        self.operation(class::ALU64 | op as u8, dst, 0, operand.into());
    }

    /// The same in 32 bits; the upper half becomes 0.
    pub(crate) fn alu32(&mut self, op: Alu, dst: Reg, operand: impl Into<Operand>) {
        self.operation(class::ALU32 | op as u8, dst, 0, operand.into());
    }

    pub(crate) fn mov(&mut self, dst: Reg, operand: impl Into<Operand>) {
        self.alu(Alu::Move, dst, operand);
    }

    /// A constant of 64 bits.
    pub(crate) fn wide(&mut self, dst: Reg, constant: u64) {
        self.wide_of(dst, 0, constant);
    }

    /// The address of a map.
    pub(crate) fn map(&mut self, dst: Reg, descriptor: i32) {
        self.wide_of(dst, MAP_DESCRIPTOR, u64::from(descriptor as u32));
    }

    /// `dst = *(base + offset)`
    pub(crate) fn load(&mut self, size: Size, dst: Reg, base: Reg, offset: i16) {
        self.push(
            class::LOAD | MODE_MEMORY | size as u8,
            dst,
            base.0,
            offset,
            0,
        );
    }

    /// `*(base + offset) = operand`
    pub(crate) fn store(
        &mut self,
        size: Size,
        base: Reg,
        offset: i16,
        operand: impl Into<Operand>,
    ) {
        let mode = MODE_MEMORY | size as u8;
        match operand.into() {
            Operand::Register(reg) => self.push(class::STORE | mode, base, reg.0, offset, 0),
            Operand::Constant(constant) => {
                self.push(class::STORE_CONSTANT | mode, base, 0, offset, constant);
            }
        }
    }

    /// `*(base + offset) += source`, in 64 bits, whoever else does the same at that time.
    pub(crate) fn add_atomic(&mut self, base: Reg, offset: i16, source: Reg) {
        let opcode = class::STORE | MODE_ATOMIC | Size::Double as u8;
        self.push(opcode, base, source.0, offset, 0);
    }

    pub(crate) fn jump(&mut self, to: Label) {
        self.jumps.push((self.words.len(), to));
        self.push(JUMP_ALWAYS, R0, 0, 0, 0);
    }

    /// Jumps if `left <test> right`, in 64 bits.
    pub(crate) fn jump_if(&mut self, left: Reg, test: Test, right: impl Into<Operand>, to: Label) {
        self.jumps.push((self.words.len(), to));
        self.operation(class::JUMP | test as u8, left, 0, right.into());
    }

    /// `R0` = the element of a map whose key is on the stack at `key_at`.
    pub(crate) fn lookup(&mut self, descriptor: i32, key_at: i16) {
        self.mov(R2, R10);
        self.alu(Alu::Add, R2, i32::from(key_at));
        self.map(R1, descriptor);
        self.call(Helper::MapLookup);
    }

    /// Calls a helper with `R1` to `R5`; its answer is in `R0`.
    pub(crate) fn call(&mut self, helper: Helper) {
        self.push(CALL, R0, 0, 0, helper as i32);
    }

    /// Ends the program with what is in `R0`.
    pub(crate) fn exit(&mut self) {
        self.push(EXIT, R0, 0, 0, 0);
    }

    /// The program. All labels that are jumped to must be bound.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        for (from, label) in self.jumps {
            let to = self.labels[label.0].expect("a label that is jumped to is bound");
            let distance = to as i64 - (from as i64 + 1);
            let offset = i16::try_from(distance).expect("a program is shorter than a jump is far");
            self.words[from] |= u64::from(offset as u16) << 16;
        }
        self.words
    }

    fn operation(&mut self, opcode: u8, dst: Reg, offset: i16, operand: Operand) {
        match operand {
            Operand::Register(reg) => self.push(opcode | FROM_REGISTER, dst, reg.0, offset, 0),
            Operand::Constant(constant) => self.push(opcode, dst, 0, offset, constant),
        }
    }

    fn wide_of(&mut self, dst: Reg, source: u8, constant: u64) {
        self.push(WIDE, dst, source, 0, constant as u32 as i32);
        self.push(0, R0, 0, 0, (constant >> 32) as u32 as i32);
    }

    fn push(&mut self, opcode: u8, dst: Reg, source: u8, offset: i16, immediate: i32) {
        self.words.push(
            u64::from(opcode)
                | u64::from(dst.0) << 8
                | u64::from(source) << 12
                | u64::from(offset as u16) << 16
                | u64::from(immediate as u32) << 32,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl FnOnce(&mut Assembler), want: &[u64]) {
        let mut asm = Assembler::new();
        write(&mut asm);
        let got = asm.finish();
        assert_eq!(got, want, "{got:#018x?}");
    }

    /// Written out by the tables of RFC 9669; behind each line is what disassemblers show.
    #[test]
    #[rustfmt::skip] // a table
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        check(|asm| asm.mov(R0, 1),                          &[0x0000_0001_0000_00b7]); // r0 = 1
        check(|asm| asm.mov(R6, R1),                         &[0x0000_0000_0000_16bf]); // r6 = r1
        check(|asm| asm.alu32(Alu::Move, R5, R0),            &[0x0000_0000_0000_05bc]); // w5 = w0
        check(|asm| asm.alu(Alu::Add, R2, -16),              &[0xffff_fff0_0000_0207]); // r2 += -16
        check(|asm| asm.alu(Alu::Sub, R5, R2),               &[0x0000_0000_0000_251f]); // r5 -= r2
        check(|asm| asm.alu(Alu::Mul, R0, R5),               &[0x0000_0000_0000_502f]); // r0 *= r5
        check(|asm| asm.alu(Alu::And, R8, 7),                &[0x0000_0007_0000_0857]); // r8 &= 7
        check(|asm| asm.alu(Alu::Or, R0, 32),                &[0x0000_0020_0000_0047]); // r0 |= 32
        check(|asm| asm.alu(Alu::Xor, R0, -1),               &[0xffff_ffff_0000_00a7]); // r0 ^= -1
        check(|asm| asm.alu(Alu::ShiftRight, R5, 56),        &[0x0000_0038_0000_0577]); // r5 >>= 56
        check(|asm| asm.alu(Alu::ShiftLeft, R5, R1),         &[0x0000_0000_0000_156f]); // r5 <<= r1
        check(|asm| asm.alu(Alu::Negate, R0, 0),             &[0x0000_0000_0000_0087]); // r0 = -r0
        check(|asm| asm.alu32(Alu::Add, R0, 9),              &[0x0000_0009_0000_0004]); // w0 += 9
        check(|asm| asm.load(Size::Word, R9, R6, 16),        &[0x0000_0000_0010_6961]); // r9 = *(u32 *)(r6 + 16)
        check(|asm| asm.load(Size::Byte, R0, R4, 71),        &[0x0000_0000_0047_4071]); // r0 = *(u8 *)(r4 + 71)
        check(|asm| asm.load(Size::Double, R0, R4, 72),      &[0x0000_0000_0048_4079]); // r0 = *(u64 *)(r4 + 72)
        check(|asm| asm.store(Size::Double, R10, -8, R6),    &[0x0000_0000_fff8_6a7b]); // *(u64 *)(r10 - 8) = r6
        check(|asm| asm.store(Size::Word, R10, -4, 0),       &[0x0000_0000_fffc_0a62]); // *(u32 *)(r10 - 4) = 0
        check(|asm| asm.add_atomic(R0, 8, R1),               &[0x0000_0000_0008_10db]); // lock *(u64 *)(r0 + 8) += r1
        check(|asm| asm.call(Helper::SelectSocket),          &[0x0000_0052_0000_0085]); // call 82
        check(Assembler::exit,                               &[0x0000_0000_0000_0095]); // exit
        check(|asm| asm.wide(R1, 0x0a0a_0a0a_0b0b_0b0b),     &[0x0b0b_0b0b_0000_0118, 0x0a0a_0a0a_0000_0000]);
        check(|asm| asm.map(R2, 7),                          &[0x0000_0007_0000_1218, 0]);
    }

    #[test]
    fn jumps_count_from_the_word_behind_them() {
        check(
            |asm| {
                let (back, forth) = (asm.label(), asm.label());
                asm.bind(back);
                asm.jump_if(R0, Test::Equal, 13, forth);
                asm.wide(R1, 1);
                asm.jump_if(R8, Test::AtLeast, R9, back);
                asm.jump(back);
                asm.bind(forth);
                asm.exit();
            },
            &[
                0x0000_000d_0004_0015, // if r0 == 13 goto +4
                0x0000_0001_0000_0118,
                0,
                0x0000_0000_fffc_983d, // if r8 >= r9 goto -4
                0x0000_0000_fffb_0005, // goto -5
                0x95,
            ],
        );
        check(
            |asm| {
                let end = asm.label();
                asm.jump_if(R0, Test::Unequal, 0, end);
                asm.jump_if(R0, Test::Greater, 9, end);
                asm.jump_if(R0, Test::Less, R9, end);
                asm.jump_if(R5, Test::Common, R3, end);
                asm.bind(end);
            },
            &[
                0x0000_0000_0003_0055,
                0x0000_0009_0002_0025,
                0x0000_0000_0001_90ad,
                0x0000_0000_0000_354d,
            ],
        );
    }

    #[test]
    #[should_panic(expected = "a label that is jumped to is bound")]
    fn a_jump_needs_its_label() {
        let mut asm = Assembler::new();
        let nowhere = asm.label();
        asm.jump(nowhere);
        let _ = asm.finish();
    }
}
