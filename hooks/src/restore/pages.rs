//! Which pages of a memory were written: the system knows.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::OnceLock;

use super::module::PAGE;

/// Whether pages may have been written that were not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewPages {
    None,
    Maybe,
}

/// Looks whether pages may be written for the first time while the future runs: on each thread that polls it, that is a fault.
pub(crate) async fn watch<T>(future: impl Future<Output = T>) -> (T, NewPages) {
    let mut future = pin!(future);
    let mut new = NewPages::None;
    let output = poll_fn(|context| {
        let before = faults();
        let polled = future.as_mut().poll(context);
        if before.is_none() || faults() != before {
            new = NewPages::Maybe;
        }
        polled
    })
    .await;
    (output, new)
}

/// Faults of this thread so far, without and with a read from disk.
#[cfg(target_os = "linux")]
fn faults() -> Option<(i64, i64)> {
    use nix::sys::resource::{UsageWho, getrusage};

    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    Some((usage.minor_page_faults(), usage.major_page_faults()))
}

#[cfg(not(target_os = "linux"))]
fn faults() -> Option<(i64, i64)> {
    None
}

/// The pages of a memory, from its first, that are no longer the file's that a memory is made from: all that were written are
/// among them.
///
/// A memory is a private mapping of such a file, and of nothing beyond its end. A page of it that is written becomes the process's own
/// (Linux, Documentation/admin-guide/mm/pagemap.rst).
pub(super) fn written(memory: &[u8], pages: usize) -> io::Result<Vec<Range<usize>>> {
    const ENTRY: usize = size_of::<u64>();
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    /// Of a file, or shared.
    const NOT_OWN: u64 = 1 << 61;

    let address = memory.as_ptr().addr();
    let file = page_map()?;
    if !address.is_multiple_of(PAGE) {
        return Err(io::Error::other("a memory that begins within a page"));
    }
    let mut entries = vec![0; pages * ENTRY];
    file.read_exact_at(&mut entries, (address / PAGE * ENTRY) as u64)?;
    let mut written: Vec<Range<usize>> = Vec::new();
    for (page, entry) in entries.as_chunks::<ENTRY>().0.iter().enumerate() {
        let entry = u64::from_ne_bytes(*entry);
        let is_clean = entry & SWAPPED == 0 && (entry & PRESENT == 0 || entry & NOT_OWN != 0);
        match written.last_mut() {
            _ if is_clean => {}
            Some(last) if last.end == page => last.end += 1,
            _ => written.push(page..page + 1),
        }
    }
    Ok(written)
}

/// The system's table of this process's pages; an error where its pages are others than ours, or it does not tell.
fn page_map() -> io::Result<&'static File> {
    static PAGE_MAP: OnceLock<Option<File>> = OnceLock::new();

    let file = PAGE_MAP.get_or_init(|| {
        (cfg!(target_os = "linux") && rustix::param::page_size() == PAGE)
            .then(|| File::open("/proc/self/pagemap").ok())
            .flatten()
    });
    file.as_ref().ok_or_else(|| io::Error::other("no table of pages"))
}
