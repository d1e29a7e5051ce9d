//! Which lines of source a component's code is made of, where its author left that in it (DWARF).
//!
//! To read that takes milliseconds, and a hook may be stopped at every request. So it is read beside the requests, on the workers,
//! one reader at a time, and what was found is remembered: the second time costs nothing. As much is remembered as is ever
//! read, so a component cannot have the node read for ever.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use tokio::sync::Semaphore;
use wasmparser::{Encoding, Parser, Payload};
use wasmtime::{FrameInfo, WasmBacktrace};

use crate::edits::Moves;
use crate::trace::{Function, demangled, shown, told};
use crate::workers::Workers;

/// Places in the code that are looked up for one component; of others the function is told without its line.
const MOST_PLACES: usize = 1024;

/// What of DWARF leads from code to lines.
const SECTIONS: [&str; 10] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_aranges",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
];

/// What is known of one component.
pub(crate) struct Sources {
    modules: Vec<Module>,
    /// Where the bytes of what runs are in the component.
    moves: Moves,
    /// By their offset in the component: a function, before it those that were inlined there, innermost first.
    known: Mutex<HashMap<u32, Arc<[Function]>>>,
    /// Who reads.
    reader: Arc<Semaphore>,
}

/// A core module with line tables.
#[derive(Debug, Default)]
struct Module {
    /// Where in the component its code is.
    code: Range<usize>,
    /// Where its functions begin: adapters that the engine makes between modules have offsets of their own, which lead nowhere.
    starts: Vec<usize>,
    sections: Vec<(Box<str>, Box<[u8]>)>,
}

/// A frame, and where the component says what it is.
struct Stop {
    /// In the component; none where it cannot say.
    offset: Option<u32>,
    name: Option<String>,
    index: u32,
}

impl Stop {
    /// The functions that were found there. The last is the one that was called, and tables of lines alone have only the end of its
    /// name.
    fn named(self, mut found: Vec<Function>) -> Vec<Function> {
        match (found.last_mut(), self.name) {
            (Some(called), Some(name)) => called.rename(&name),
            (Some(_), None) => {}
            (None, Some(name)) => found.push(told(&name)),
            (None, None) => found.push(told(&format!("<wasm function {}>", self.index))),
        }
        found
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sources").field("modules", &self.modules.len()).finish_non_exhaustive()
    }
}

impl Sources {
    /// Of a component that compiles, and runs with its bytes moved.
    pub(crate) fn of(component: &[u8], moves: Moves) -> Self {
        let (mut modules, mut module) = (Vec::new(), None::<Module>);
        for payload in Parser::new(0).parse_all(component) {
            match (payload, &mut module) {
                (Ok(Payload::Version { encoding: Encoding::Module, .. }), _) => {
                    module = Some(Module::default());
                }
                (Ok(Payload::End(_)), _) => modules.extend(module.take().filter(Module::has_lines)),
                (Ok(payload), Some(module)) => module.take_in(&payload),
                (Err(_), _) => break,
                _ => {}
            }
        }
        Self { modules, moves, known: Mutex::default(), reader: Arc::new(Semaphore::new(1)) }
    }

    /// Where a call was stopped: at most so many functions, innermost first, as [`shown`] has them.
    pub(crate) async fn trace(
        self: &Arc<Self>,
        error: &wasmtime::Error,
        most: usize,
        workers: &Workers,
    ) -> Vec<String> {
        let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
        let stops: Vec<Stop> = backtrace.frames().iter().filter_map(|frame| self.stop(frame)).collect();
        let mut unknown = self.unknown(&stops);
        if !unknown.is_empty()
            && let Ok(turn) = Arc::clone(&self.reader).acquire_owned().await
        {
            // Somebody else may have read it meanwhile.
            unknown.retain(|offset| !self.known().contains_key(offset));
            let (sources, asked) = (Arc::clone(self), unknown.clone());
            workers
                .beside(move || {
                    sources.read(&asked);
                    drop(turn);
                })
                .await;
            // Tables that no reader comes to the end of are not read again.
            self.remember(unknown.into_iter().map(|at| (at, Vec::new())));
        }
        let known = self.known();
        let functions = stops.into_iter().flat_map(|stop| {
            let found =
                stop.offset.and_then(|at| known.get(&at)).map(|found| found.to_vec()).unwrap_or_default();
            stop.named(found)
        });
        shown(functions, most)
    }

    /// None of a function that the component's author has not written.
    fn stop(&self, frame: &FrameInfo) -> Option<Stop> {
        let (at, into) = (frame.module_offset(), frame.func_offset());
        let start = match at.zip(into) {
            Some((at, into)) => Some(self.moves.origin(at - into)?),
            None => None,
        };
        let at = at.and_then(|at| self.moves.origin(at));
        let offset = at.zip(start).filter(|(at, start)| {
            self.modules
                .iter()
                .any(|module| module.code.contains(at) && module.starts.binary_search(start).is_ok())
        });
        let offset = offset.and_then(|(at, _)| u32::try_from(at).ok());
        Some(Stop { offset, name: frame.func_name().map(demangled), index: frame.func_index() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u32, Arc<[Function]>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of these is to be looked up, each once.
    fn unknown(&self, stops: &[Stop]) -> Vec<u32> {
        let known = self.known();
        let room = MOST_PLACES.saturating_sub(known.len());
        let mut unknown: Vec<u32> =
            stops.iter().filter_map(|stop| stop.offset).filter(|at| !known.contains_key(at)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.truncate(room);
        unknown
    }

    /// Looks places up, each in its module; a module's line tables are opened once for all.
    fn read(&self, offsets: &[u32]) {
        for module in &self.modules {
            let here: Vec<u32> =
                offsets.iter().copied().filter(|at| module.code.contains(&(*at as usize))).collect();
            if here.is_empty() {
                continue;
            }
            let found = module.functions(&here);
            self.remember(here.into_iter().zip(found));
        }
    }

    /// Keeps what was found, as long as there is room; what is known stays.
    fn remember(&self, found: impl Iterator<Item = (u32, Vec<Function>)>) {
        let mut known = self.known();
        for (at, functions) in found {
            if known.len() < MOST_PLACES
                && let Entry::Vacant(place) = known.entry(at)
            {
                place.insert(functions.into());
            }
        }
    }
}

impl Module {
    fn take_in(&mut self, payload: &Payload<'_>) {
        match payload {
            // WebAssembly's convention for DWARF: addresses are offsets in the code section's content.
            Payload::CodeSectionStart { range, .. } => self.code = range.clone(),
            Payload::CodeSectionEntry(body) => self.starts.push(body.range().start),
            Payload::CustomSection(section) if SECTIONS.contains(&section.name()) => {
                self.sections.push((section.name().into(), section.data().into()));
            }
            _ => {}
        }
    }

    fn has_lines(&self) -> bool {
        !self.sections.is_empty()
    }

    fn section(&self, name: &str) -> &[u8] {
        self.sections.iter().find(|(known, _)| **known == *name).map_or(&[], |(_, bytes)| bytes)
    }

    /// What is at each of these offsets; nothing where the tables are silent or broken.
    fn functions(&self, offsets: &[u32]) -> Vec<Vec<Function>> {
        let nothing = || vec![Vec::new(); offsets.len()];
        let section = |name: &'static str| EndianSlice::new(self.section(name), LittleEndian);
        let Ok(dwarf) = Dwarf::load(|id| Ok::<_, addr2line::gimli::Error>(section(id.name()))) else {
            return nothing();
        };
        let Ok(context) = Context::from_dwarf(dwarf) else { return nothing() };
        offsets.iter().map(|at| functions_at(&context, *at as usize - self.code.start)).collect()
    }
}

fn functions_at(context: &Context<EndianSlice<'_, LittleEndian>>, address: usize) -> Vec<Function> {
    let mut functions = Vec::new();
    let Ok(mut frames) = context.find_frames(address as u64).skip_all_loads() else { return functions };
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
        let name = name.map_or_else(|| "<inlined function>".to_owned(), |name| demangled(&name));
        let place = frame.location.and_then(|location| Some((location.file?, location.line)));
        functions.push(Function::at(&name, place));
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(offsets: Range<u32>) -> Vec<Stop> {
        offsets.map(|at| Stop { offset: Some(at), name: None, index: at }).collect()
    }

    #[test]
    fn no_more_is_looked_up_than_is_remembered() {
        let module = Module { code: 0..10_000, ..Module::default() };
        let sources = Sources { modules: vec![module], ..Sources::of(b"", Moves::default()) };
        assert_eq!(sources.unknown(&stops(0..3)), [0, 1, 2]);
        sources.read(&[1, 2]);
        assert_eq!(sources.unknown(&stops(0..3)), [0], "what says nothing is remembered too");
        assert_eq!(sources.unknown(&stops(0..10_000)).len(), MOST_PLACES - 2);
        sources.read(&(0..9_000).collect::<Vec<_>>());
        assert_eq!(sources.known().len(), MOST_PLACES);
        assert!(sources.unknown(&stops(0..10_000)).is_empty());
    }

    #[test]
    fn what_is_no_component_has_no_lines_and_broken_tables_say_nothing() {
        for component in [&b""[..], b"\0asm\x0d\0\x01\0", b"\0asm\x01\0\0\0\x0a\xff", b"nothing of the kind"]
        {
            assert!(Sources::of(component, Moves::default()).modules.is_empty());
        }
        let sections = SECTIONS.map(|name| (name.into(), vec![0xff; 100].into())).into();
        let module = Module { code: 10..1000, sections, ..Module::default() };
        assert_eq!(module.functions(&[10, 999]), [[], []]);
    }

    #[test]
    fn the_called_function_has_the_name_that_the_component_gives_it() {
        let found = || vec![told("inner"), told("short")];
        let stop = |name: Option<&str>| Stop { offset: None, name: name.map(str::to_owned), index: 7 };
        assert_eq!(stop(Some("a::short")).named(found()), [told("inner"), told("a::short")]);
        assert_eq!(stop(None).named(found()), found());
        assert_eq!(stop(None).named(Vec::new()), [told("<wasm function 7>")]);
    }
}
