//! Functions that do a memory instruction in pieces.

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::{Bulk, Memory};

/// Parameters: where to, where from or the value, how much.
const TO: u32 = 0;
const FROM: u32 = 1;
const LENGTH: u32 = 2;

/// A function instead of an instruction, which it does in pieces of so many bytes. Between them the engine can stop it, as any loop.
///
/// What goes beyond an end is left to the instruction itself, which traps before it writes anything.
pub(super) struct Pieces {
    bulk: Bulk,
    to: Memory,
    from: Source,
    piece: u32,
}

/// Where the bytes come from.
#[derive(Clone, Copy)]
enum Source {
    Value,
    Memory(Memory),
    /// A segment of the module, of so many bytes.
    Data(u32),
}

impl Pieces {
    /// Of a module with these memories and segments. One that is missing is missed by the instruction too.
    pub(super) fn new(bulk: Bulk, memories: &[Memory], data: &[u32], piece: u32) -> Self {
        let memory = |index: u32| {
            memories.get(index as usize).copied().unwrap_or(Memory { index, is_wide: false, page: 16 })
        };
        let (to, from) = match bulk {
            Bulk::Fill { memory: to } => (memory(to), Source::Value),
            Bulk::Copy { to, from } => (memory(to), Source::Memory(memory(from))),
            Bulk::Init { memory: to, segment } => {
                (memory(to), Source::Data(data.get(segment as usize).copied().unwrap_or(0)))
            }
        };
        Self { bulk, to, from, piece }
    }

    /// What the instruction takes.
    pub(super) fn parameters(&self) -> [ValType; 3] {
        let of = |is_wide| if is_wide { ValType::I64 } else { ValType::I32 };
        [of(self.to.is_wide), of(self.is_wide(FROM)), of(self.is_wide(LENGTH))]
    }

    fn is_wide(&self, parameter: u32) -> bool {
        let from = match self.from {
            Source::Memory(from) => from.is_wide,
            Source::Value | Source::Data(_) => false,
        };
        match (parameter, self.from) {
            (TO, _) | (LENGTH, Source::Value) => self.to.is_wide,
            (FROM, _) => from,
            // Of two memories the shorter number.
            _ => self.to.is_wide && from,
        }
    }

    pub(super) fn function(&self) -> Function {
        let mut function = Function::new([]);
        let code = &mut function.instructions();
        code.block(BlockType::Empty);
        self.is_long(code);
        code.i32_eqz().br_if(0);
        self.leave_beyond(code, TO);
        match self.from {
            Source::Value => self.forwards(code),
            Source::Data(_) => {
                self.leave_beyond(code, FROM);
                self.forwards(code);
            }
            Source::Memory(_) => {
                self.leave_beyond(code, FROM);
                // Where both overlap no byte may be written before it is read.
                self.wide(code, TO);
                self.wide(code, FROM);
                code.i64_le_u().if_(BlockType::Empty);
                self.forwards(code);
                code.else_();
                self.backwards(code);
                code.end();
            }
        }
        code.end();
        // All of it, or what is left.
        code.local_get(TO).local_get(FROM).local_get(LENGTH);
        self.instruction(code);
        code.end();
        function
    }

    /// Whether there is more than a piece.
    fn is_long(&self, code: &mut InstructionSink<'_>) {
        self.wide(code, LENGTH);
        code.i64_const(self.piece.into()).i64_gt_u();
    }

    /// Leaves the block where the length goes beyond the end of what `at` is in.
    fn leave_beyond(&self, code: &mut InstructionSink<'_>, at: u32) {
        self.wide(code, LENGTH);
        self.size(code, at);
        code.i64_gt_u().br_if(0);
        self.wide(code, at);
        self.size(code, at);
        self.wide(code, LENGTH);
        code.i64_sub().i64_gt_u().br_if(0);
    }

    /// Bytes of what an address is in.
    fn size(&self, code: &mut InstructionSink<'_>, at: u32) {
        let memory = match (at, self.from) {
            (FROM, Source::Data(length)) => {
                code.i64_const(length.into());
                return;
            }
            (FROM, Source::Memory(memory)) => memory,
            _ => self.to,
        };
        code.memory_size(memory.index);
        if !memory.is_wide {
            code.i64_extend_i32_u();
        }
        code.i64_const(memory.page.into()).i64_shl();
    }

    /// Pieces from the begin, until one or less is left.
    fn forwards(&self, code: &mut InstructionSink<'_>) {
        code.loop_(BlockType::Empty);
        code.local_get(TO).local_get(FROM);
        self.one_piece(code, LENGTH);
        self.instruction(code);
        self.step(code, TO);
        if !matches!(self.from, Source::Value) {
            self.step(code, FROM);
        }
        self.shorten(code);
        self.is_long(code);
        code.br_if(0).end();
    }

    /// Pieces from the end, until one or less is left at the begin.
    fn backwards(&self, code: &mut InstructionSink<'_>) {
        code.loop_(BlockType::Empty);
        self.shorten(code);
        for address in [TO, FROM] {
            code.local_get(address).local_get(LENGTH);
            match (self.is_wide(address), self.is_wide(LENGTH)) {
                (true, false) => code.i64_extend_i32_u().i64_add(),
                (true, true) => code.i64_add(),
                (false, _) => code.i32_add(),
            };
        }
        self.one_piece(code, LENGTH);
        self.instruction(code);
        self.is_long(code);
        code.br_if(0).end();
    }

    fn instruction(&self, code: &mut InstructionSink<'_>) {
        match self.bulk {
            Bulk::Fill { memory } => code.memory_fill(memory),
            Bulk::Copy { to, from } => code.memory_copy(to, from),
            Bulk::Init { memory, segment } => code.memory_init(memory, segment),
        };
    }

    /// The size of a piece as a number of a parameter's kind.
    fn one_piece(&self, code: &mut InstructionSink<'_>, like: u32) {
        match self.is_wide(like) {
            true => code.i64_const(self.piece.into()),
            false => code.i32_const(self.piece.cast_signed()),
        };
    }

    fn step(&self, code: &mut InstructionSink<'_>, address: u32) {
        code.local_get(address);
        self.one_piece(code, address);
        if self.is_wide(address) {
            code.i64_add()
        } else {
            code.i32_add()
        };
        code.local_set(address);
    }

    fn shorten(&self, code: &mut InstructionSink<'_>) {
        code.local_get(LENGTH);
        self.one_piece(code, LENGTH);
        if self.is_wide(LENGTH) {
            code.i64_sub()
        } else {
            code.i32_sub()
        };
        code.local_set(LENGTH);
    }

    /// A parameter as a number of 64 bits.
    fn wide(&self, code: &mut InstructionSink<'_>, parameter: u32) {
        code.local_get(parameter);
        if !self.is_wide(parameter) {
            code.i64_extend_i32_u();
        }
    }
}
