use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wasm_encoder as encoder;
use wasmparser::Validator;
use wasmtime::{
    Config, Engine, Instance, Memory as Live, Module as Compiled, Store, Trap, UpdateDeadline, Val,
};

use super::*;

/// Of the tests: small, so that a page is many.
const SMALL: u32 = 16;
/// The segment of the module in which [`Bulk::Init`] is tried.
const SEGMENT: u32 = 200;

/// A module that exports the instruction as a function `run`, after some others, and its memories.
fn module(bulk: Bulk, wide: &[bool], pages: u64, functions: u32) -> Vec<u8> {
    let kind = |is_wide| if is_wide { ValType::I64 } else { ValType::I32 };
    let parameters = match bulk {
        Bulk::Fill { memory } => [kind(wide[memory as usize]), ValType::I32, kind(wide[memory as usize])],
        Bulk::Copy { to, from } => {
            let (to, from) = (wide[to as usize], wide[from as usize]);
            [kind(to), kind(from), kind(to && from)]
        }
        Bulk::Init { memory, .. } => [kind(wide[memory as usize]), ValType::I32, ValType::I32],
    };
    let (mut types, mut numbers) = (encoder::TypeSection::new(), encoder::FunctionSection::new());
    let (mut memories, mut exports) = (encoder::MemorySection::new(), encoder::ExportSection::new());
    let (mut code, mut data) = (encoder::CodeSection::new(), encoder::DataSection::new());
    types.ty().function([], []);
    types.ty().function(parameters, []);
    for _ in 0..functions {
        numbers.function(0);
        let mut function = encoder::Function::new([]);
        function.instructions().end();
        code.function(&function);
    }
    numbers.function(1);
    let mut function = encoder::Function::new([]);
    let mut body = function.instructions();
    body.local_get(0).local_get(1).local_get(2);
    match bulk {
        Bulk::Fill { memory } => body.memory_fill(memory),
        Bulk::Copy { to, from } => body.memory_copy(to, from),
        Bulk::Init { memory, segment } => body.memory_init(memory, segment),
    };
    // Behind it another function, that must stay what it is.
    body.end();
    code.function(&function);
    numbers.function(0);
    let mut last = encoder::Function::new([]);
    last.instructions().nop().end();
    code.function(&last);
    exports.export("run", encoder::ExportKind::Func, functions);
    for (index, memory64) in (0..).zip(wide.iter().copied()) {
        memories.memory(encoder::MemoryType {
            minimum: pages,
            maximum: None,
            memory64,
            shared: false,
            page_size_log2: None,
        });
        exports.export(&format!("memory{index}"), encoder::ExportKind::Memory, index);
    }
    data.passive((0..SEGMENT).map(|index| index as u8));
    let mut module = encoder::Module::new();
    module.section(&types).section(&numbers).section(&memories).section(&exports);
    module.section(&encoder::DataCountSection { count: 1 }).section(&code).section(&data);
    module.finish()
}

const KINDS: [(Bulk, &[bool]); 8] = [
    (Bulk::Fill { memory: 0 }, &[false]),
    (Bulk::Fill { memory: 1 }, &[false, true]),
    (Bulk::Copy { to: 0, from: 0 }, &[false]),
    (Bulk::Copy { to: 0, from: 0 }, &[true]),
    (Bulk::Copy { to: 0, from: 1 }, &[false, false]),
    (Bulk::Copy { to: 1, from: 0 }, &[false, true]),
    (Bulk::Init { memory: 0, segment: 0 }, &[false]),
    (Bulk::Init { memory: 0, segment: 0 }, &[true]),
];

/// A module in the engine.
struct Running {
    store: Store<()>,
    instance: Instance,
    memories: Vec<Live>,
    /// What is in them at first.
    begin: Vec<u8>,
}

impl Running {
    fn new(engine: &Engine, module: &[u8]) -> Self {
        let compiled = Compiled::new(engine, module).unwrap();
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = Instance::new(&mut store, &compiled, &[]).unwrap();
        let memories = (0..).map_while(|index| instance.get_memory(&mut store, &format!("memory{index}")));
        let memories: Vec<Live> = memories.collect();
        let begin = (0..memories[0].data_size(&store)).map(byte_at).collect();
        Self { store, instance, memories, begin }
    }

    /// What the instruction leaves in the memories, from the same each time, and how it ends.
    fn run(&mut self, numbers: [u64; 3]) -> (Option<Trap>, Vec<Vec<u8>>) {
        for memory in &self.memories {
            memory.data_mut(&mut self.store).copy_from_slice(&self.begin);
        }
        let run = self.instance.get_func(&mut self.store, "run").unwrap();
        let kind = run.ty(&self.store);
        let parameters = kind.params().zip(numbers).map(|(kind, number)| match kind {
            wasmtime::ValType::I64 => Val::I64(number.cast_signed()),
            _ => Val::I32((number as u32).cast_signed()),
        });
        let parameters: Vec<Val> = parameters.collect();
        let ended = run.call(&mut self.store, &parameters, &mut []);
        let trap = ended.err().map(|error| *error.downcast_ref::<Trap>().unwrap());
        (trap, self.memories.iter().map(|memory| memory.data(&self.store).to_vec()).collect())
    }
}

/// What is in a memory at first.
fn byte_at(at: usize) -> u8 {
    (at * 7 + at / 251) as u8
}

fn engine() -> Engine {
    Engine::new(Config::new().wasm_memory64(true).wasm_multi_memory(true).epoch_interruption(true)).unwrap()
}

#[test]
fn in_pieces_it_does_what_it_does_at_once() {
    const EDGES: [u64; 11] = [0, 1, 16, 17, 33, 100, 184, 65_500, 65_520, 65_536, u32::MAX as u64];
    let engine = engine();
    for (bulk, wide) in KINDS {
        let whole = module(bulk, wide, 1, 0);
        let bounded = in_pieces(&whole, SMALL).unwrap();
        assert!(bounded.bytes.len() > whole.len(), "{bulk:?}");
        let (mut at_once, mut in_pieces) =
            (Running::new(&engine, &whole), Running::new(&engine, &bounded.bytes));
        let (mut good, mut trapped) = (0, 0);
        for to in EDGES {
            for from in EDGES {
                for length in EDGES {
                    let numbers = [to, from, length];
                    let expected = at_once.run(numbers);
                    assert_eq!(in_pieces.run(numbers), expected, "{bulk:?} {wide:?} {numbers:?}");
                    let done = if expected.0.is_none() { &mut good } else { &mut trapped };
                    *done += 1;
                }
            }
        }
        assert!(good > 100 && trapped > 100, "{bulk:?}: {good}, {trapped}");
        for numbers in [[u64::MAX, 0, 100], [0, u64::MAX - 10, 100], [0, 0, u64::MAX], [1 << 63; 3]] {
            assert_eq!(in_pieces.run(numbers), at_once.run(numbers), "{bulk:?} {wide:?} {numbers:?}");
        }
    }
}

#[test]
fn the_engine_looks_at_it_between_the_pieces_and_can_stop_it_there() {
    const BYTES: u64 = 16 << 20;
    let engine = engine();
    let looks = |module: &[u8], numbers: [u64; 3], most: u32| {
        let mut running = Running::new(&engine, module);
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        // Every look finds the deadline reached.
        running.store.set_epoch_deadline(0);
        running.store.epoch_deadline_callback(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
            looks if looks < most => Ok(UpdateDeadline::Continue(0)),
            _ => Ok(UpdateDeadline::Interrupt),
        });
        let ended = running.run(numbers);
        (count.load(Ordering::Relaxed), ended)
    };
    for (bulk, wide) in [KINDS[0], KINDS[2], KINDS[3]] {
        let whole = module(bulk, wide, 512, 0);
        let bounded = bounded(&whole).unwrap();
        for numbers in [[0, 1 << 20, BYTES], [1 << 20, 0, BYTES]] {
            let (at_once, expected) = looks(&whole, numbers, u32::MAX);
            let (in_pieces, ended) = looks(&bounded.bytes, numbers, u32::MAX);
            assert!(
                at_once < 10 && u64::from(in_pieces) > BYTES / u64::from(PIECE),
                "{at_once}, {in_pieces}"
            );
            assert!(ended == expected, "{bulk:?}");
        }
        let (_, (trap, memories)) = looks(&bounded.bytes, [0, 1 << 20, BYTES], 20);
        assert_eq!(trap, Some(Trap::Interrupt));
        let untouched = memories[0].iter().enumerate().skip(20 * PIECE as usize);
        assert!(untouched.into_iter().all(|(at, byte)| *byte == byte_at(at)), "{bulk:?}");
    }
}

/// Where the functions of a module begin, in its code and in the file.
fn starts(module: &[u8]) -> Vec<(usize, usize)> {
    let (mut section, mut starts) = (0, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::CodeSectionStart { range, .. } => section = range.start,
            Payload::CodeSectionEntry(body) => {
                starts.push((body.range().start - section, body.range().start));
            }
            _ => {}
        }
    }
    starts
}

#[test]
fn functions_stay_where_they_were_in_their_code_where_the_calls_number_is_short() {
    let whole = module(Bulk::Fill { memory: 0 }, &[false], 1, 300);
    let bounded = in_pieces(&whole, SMALL).unwrap();
    let (before, after) = (starts(&whole), starts(&bounded.bytes));
    assert_eq!(after.len(), before.len() + 1);
    for ((before, origin), (after, place)) in before.iter().zip(&after) {
        assert_eq!(before, after);
        assert_eq!(bounded.moves.origin(*place), Some(*origin));
    }
    assert_eq!(bounded.moves.origin(after.last().unwrap().1), None, "what was added comes from nowhere");
}

#[test]
fn where_it_is_not_what_comes_behind_is_still_found() {
    // A call of the 16,384th function takes a byte more than the instruction, and numbers of functions grow too.
    for functions in [125, 126, 127, 16_381, 16_382, 16_383, 20_000] {
        let whole = module(Bulk::Fill { memory: 0 }, &[false], 1, functions);
        let bounded = in_pieces(&whole, SMALL).unwrap();
        Validator::new().validate_all(&bounded.bytes).unwrap();
        let (before, after) = (starts(&whole), starts(&bounded.bytes));
        for ((_, origin), (_, place)) in before.iter().zip(&after) {
            assert_eq!(bounded.moves.origin(*place), Some(*origin), "{functions}");
        }
    }
    let engine = engine();
    let whole = module(Bulk::Fill { memory: 0 }, &[false], 1, 20_000);
    let bounded = in_pieces(&whole, SMALL).unwrap();
    let numbers = [100, 7, 1000];
    let ended = Running::new(&engine, &bounded.bytes).run(numbers);
    assert_eq!(ended, Running::new(&engine, &whole).run(numbers));
}

#[test]
fn what_is_small_for_sure_or_touches_no_memory_is_left_alone() {
    let with = |body: &dyn Fn(&mut encoder::InstructionSink<'_>)| {
        let mut types = encoder::TypeSection::new();
        types.ty().function([], []);
        let (mut numbers, mut memories) = (encoder::FunctionSection::new(), encoder::MemorySection::new());
        numbers.function(0);
        memories.memory(encoder::MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut code = encoder::CodeSection::new();
        let mut function = encoder::Function::new([]);
        body(&mut function.instructions());
        code.function(&function);
        let mut module = encoder::Module::new();
        module.section(&types).section(&numbers).section(&memories).section(&code);
        module.finish()
    };
    let fill = |length: i32| {
        with(&|code| {
            code.i32_const(0).i32_const(1).i32_const(length).memory_fill(0).end();
        })
    };
    let is_changed = |module: &[u8]| {
        Validator::new().validate_all(module).unwrap();
        matches!(in_pieces(module, SMALL).unwrap().bytes, Cow::Owned(_))
    };
    assert!(!is_changed(&fill(16)) && is_changed(&fill(17)) && is_changed(&fill(-1)));
    assert!(!is_changed(&with(&|code| {
        code.f32_const(1.0.into()).i32_trunc_sat_f32_s().drop().i32_const(0x0bfc).drop().end();
    })));
    // The length is not what stands before the instruction.
    assert!(is_changed(&with(&|code| {
        code.i32_const(0).i32_const(1).block(encoder::BlockType::Result(ValType::I32));
        code.i32_const(1000).i32_const(0).br_if(0).drop().i32_const(1).end().memory_fill(0).end();
    })));
}

/// A component with modules in it, and in a component in it.
fn component(modules: &[Vec<u8>]) -> Vec<u8> {
    const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
    let with_modules = || {
        let mut bytes = PREAMBLE.to_vec();
        for data in modules {
            encoder::Section::append_to(&encoder::RawSection { id: 1, data }, &mut bytes);
        }
        bytes
    };
    let mut bytes = with_modules();
    encoder::Section::append_to(&encoder::RawSection { id: 4, data: &with_modules() }, &mut bytes);
    bytes
}

#[test]
fn modules_are_found_wherever_they_are() {
    let modules: Vec<_> = KINDS.iter().map(|(bulk, wide)| module(*bulk, wide, 1, 3)).collect();
    let whole = component(&modules);
    let bounded = in_pieces(&whole, SMALL).unwrap();
    Validator::new().validate_all(&bounded.bytes).unwrap();
    assert_eq!(starts(&bounded.bytes).len(), starts(&whole).len() + 2 * KINDS.len());
    assert!(matches!(super::bounded(&component(&[])).unwrap().bytes, Cow::Borrowed(_)));
    // Nothing is left to do.
    assert!(matches!(in_pieces(&bounded.bytes, SMALL).unwrap().bytes, Cow::Owned(_)));
}

#[test]
fn what_is_broken_stays_broken_and_what_is_whole_stays_whole() {
    let modules: Vec<_> = KINDS.iter().map(|(bulk, wide)| module(*bulk, wide, 1, 1)).collect();
    let whole = component(&modules);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..5_000 {
        let mut mutated = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(8..mutated.len());
            match random.u8(0..4) {
                0 => mutated[at] = random.u8(..),
                1 => mutated[at] ^= 1 << random.u8(0..8),
                2 => mutated.truncate(at),
                _ => mutated.insert(at, random.u8(..)),
            }
            if mutated.len() <= 8 {
                break;
            }
        }
        let wrong = Validator::new().validate_all(&mutated).err();
        match (in_pieces(&mutated, SMALL), &wrong) {
            (Ok(bounded), None) => drop(Validator::new().validate_all(&bounded.bytes).unwrap()),
            (Ok(bounded), Some(wrong)) => {
                let is_broken = Validator::new().validate_all(&bounded.bytes).is_err();
                // What is added has a number that was nobody's.
                assert!(is_broken || wrong.message().starts_with("unknown "), "{wrong}");
            }
            (Err(error), wrong) => assert!(wrong.is_some(), "{error}"),
        }
        if wrong.is_none() { good += 1 } else { bad += 1 }
    }
    assert!(good > 50 && bad > 200, "{good}, {bad}");
    assert!(in_pieces(b"\0asm", SMALL).is_err() && in_pieces(b"", SMALL).is_err());
}
