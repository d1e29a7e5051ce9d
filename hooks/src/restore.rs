//! A fresh instance for the next call, from one that has answered: its memory and globals put back as they were built.
//!
//! To make an instance of a component with a large runtime takes as long as hundreds of calls: the system maps its memory anew, page by
//! page. So before a component is compiled two functions are added to its module ([`code`]). One writes the bytes over some
//! pages that were there at first, and sets every global; the other tells the host where the memory is. Which pages were written
//! since the instance was made is for the system to say ([`pages`]).
//!
//! What else could change refuses a component this ([`outline`], [`module`]): it has instances made for every call, as one has that traps,
//! goes over a limit, grows its memory or leaves handles behind.

mod code;
mod module;
mod outline;
mod pages;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance, TypedFunc, WasmList};
use wasmtime::error::Context;

use crate::edits::{Edits, Moves, TooLong, length_before};
use code::{ADDRESS, Added, FIRST_BITS, PARAMETERS, PUT_BACK};
use module::{PAGE, Section};
use outline::Outline;
pub(crate) use pages::{NewPages, watch};

/// An instance that has written more pages than this is made anew.
const MOST_WRITTEN: usize = 1024;
/// And one that has written more than so many and [`TIMES_USUAL`] what others have: its next calls would pay for one.
const FEW: usize = 64;
const TIMES_USUAL: usize = 4;

/// Why a component has no form that can be put back, though it could be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] wasmparser::Error),
    /// A part of it is as long as it may be.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// A component whose instances can be put back.
#[derive(Debug)]
pub(crate) struct Restorable {
    pub(crate) bytes: Vec<u8>,
    /// Where its bytes were.
    pub(crate) moves: Moves,
    pub(crate) shape: Shape,
}

/// What its memory is at first.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The pages that are not zero.
    image: Range<usize>,
    /// How large it is, in bytes.
    memory: u64,
}

/// The component with what puts its instances back. None if they have more state than that could.
pub(crate) fn restorable(component: &[u8]) -> Result<Option<Restorable>, Failed> {
    let Some(outline) = Outline::of(component)? else { return Ok(None) };
    let module = &outline.module;
    let (Some(memory), Some(image), Some(types), Some(functions), Some(exports), Some(code), Some(data)) = (
        module.memory_bytes(),
        module.image(),
        &module.types,
        &module.functions,
        &module.exports,
        &module.code,
        &module.data,
    ) else {
        return Ok(None);
    };
    let mut edits = Edits::default();
    let within = edits.extent(length_before(component, module.place.start), module.place.clone(), None);
    let first = [types.count, module.imported.saturating_add(functions.count), data.count];
    let added = Added::to(&outline, first, &image);
    let mut append = |section: &Section, more| {
        let place = &section.place;
        let extent = edits.extent(length_before(component, place.start), place.clone(), Some(within));
        edits.append(component, place, extent, more)
    };
    append(types, added.types)?;
    append(functions, added.functions)?;
    append(exports, added.exports)?;
    append(code, added.code)?;
    append(data, added.data)?;
    match &module.data_count {
        Some(place) => append(&Section { place: place.clone(), count: data.count }, (1, Vec::new()))?,
        None => {
            let before = length_before(component, code.place.start).start - 1;
            edits.replace(before..before, code::data_count(data.count + 1), within);
        }
    }
    let (mut bytes, moves) = edits.apply(component)?;
    bytes.extend(code::exported(outline.instance, &outline.counts));
    Ok(Some(Restorable { bytes, moves, shape: Shape { image: image.pages(), memory } }))
}

/// Puts instances of a component back.
pub(crate) struct Restorer {
    put_back: ComponentExportIndex,
    address: ComponentExportIndex,
    shape: Shape,
    /// The fewest pages that an instance has written.
    fewest: AtomicUsize,
}

/// Two regions each, all that one call puts back.
#[rustfmt::skip]
type Regions = (u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64);

/// What an instance is put back with.
pub(crate) struct Restoring {
    put_back: TypedFunc<Regions, ()>,
    /// The first byte of its memory, as a list.
    memory: WasmList<u8>,
    /// The pages that its calls have written.
    calls: Vec<Regions>,
}

impl Restorer {
    /// None where the system does not tell what is written.
    pub(crate) fn of(component: &Component, shape: Shape) -> Option<Self> {
        let export = |name| component.get_export_index(None, name);
        let (put_back, address) = (export(PUT_BACK)?, export(ADDRESS)?);
        let fewest = AtomicUsize::new(MOST_WRITTEN);
        pages::can_be_told().then_some(Self { put_back, address, shape, fewest })
    }

    /// Whether it is worth while to put so many pages back.
    fn is_usual(&self, pages: usize) -> bool {
        let fewest = self.fewest.fetch_min(pages, Ordering::Relaxed).min(pages);
        pages <= MOST_WRITTEN && pages <= FEW + TIMES_USUAL * fewest
    }

    /// How large the memory of an instance is that can be put back, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.shape.memory
    }

    /// Puts an instance back to what it was when it was made; its memory must have the size that it had. False if too much was
    /// written.
    ///
    /// # Errors
    /// Where the system does not tell what was written, or time is up. The instance may be anything then.
    pub(crate) async fn put_back<T: Send + 'static>(
        &self,
        store: &mut Store<T>,
        instance: &Instance,
        restoring: &mut Option<Restoring>,
        new: NewPages,
    ) -> wasmtime::Result<bool> {
        let (mut means, new) = match restoring.take() {
            Some(means) => (means, new),
            None => {
                let address = instance.get_typed_func::<(), (WasmList<u8>,)>(&mut *store, self.address)?;
                let (memory,) = address.call_async(&mut *store, ()).await?;
                let put_back = instance.get_typed_func(&mut *store, self.put_back)?;
                (Restoring { put_back, memory, calls: Vec::new() }, NewPages::Maybe)
            }
        };
        if new == NewPages::Maybe {
            let pages = usize::try_from(self.shape.memory)? / PAGE;
            let written = pages::written(means.memory.as_le_slice(&*store), pages);
            let written = written.context("cannot tell which pages were written")?;
            // The first was, to tell where it is.
            if written.first().is_none_or(|pages| pages.start != 0) {
                return Err(wasmtime::Error::msg("the table of pages does not tell what was written"));
            }
            if !self.is_usual(written.iter().map(Range::len).sum()) {
                return Ok(false);
            }
            means.calls = calls(&written, &self.shape.image);
        }
        for regions in &means.calls {
            means.put_back.call_async(&mut *store, *regions).await?;
        }
        *restoring = Some(means);
        Ok(true)
    }
}

/// The calls that put these pages back, each region of them in the image or beside it.
fn calls(written: &[Range<usize>], image: &Range<usize>) -> Vec<Regions> {
    let parts = [0..image.start, image.clone(), image.end..usize::MAX];
    let within = |pages: &Range<usize>, part: &Range<usize>| {
        let (first, end) = (pages.start.max(part.start), pages.end.min(part.end));
        (first < end).then(|| ((end - first) as u64) << FIRST_BITS | first as u64)
    };
    let regions: Vec<u64> =
        written.iter().flat_map(|pages| parts.iter().filter_map(|part| within(pages, part))).collect();
    let pair = |two: &[u64]| two[0] | two.get(1).unwrap_or(&0) << 32;
    let pairs: Vec<u64> = regions.chunks(2).map(pair).collect();
    pairs
        .chunks(PARAMETERS as usize)
        .map(|some| {
            let at = |index: usize| some.get(index).copied().unwrap_or(0);
            #[rustfmt::skip]
            let all = (
                at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7),
                at(8), at(9), at(10), at(11), at(12), at(13), at(14), at(15),
            );
            all
        })
        .collect()
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
