//! Which pages of a memory were written: the system knows.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::pin;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;

use super::module::PAGE;

/// Whether pages may have been written that were not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewPages {
    None,
    Maybe,
}

/// Looks whether pages may be written for the first time while the future runs. To write to a page for the first time is a fault on the
/// thread that does so, which is the one that polls: guests run there, and so does what the host writes into their memory. That
/// needs [`can_be_told`]: the system would map huge pages beside any thread.
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

/// The pages of a memory, from its first, that may be other than they were at first: all that were written are among them.
///
/// A memory begins as a private mapping of a file, and the rest of it is nobody's and zero. What is the file's, or not there at all, is as it
/// was. A page that is written becomes the process's own; so does one that is only read, beyond the file
/// (Linux, Documentation/admin-guide/mm/pagemap.rst).
pub(super) fn written(memory: &[u8], pages: usize) -> io::Result<Vec<Range<usize>>> {
    const ENTRY: usize = size_of::<u64>();
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    /// Of a file, or shared.
    const NOT_OWN: u64 = 1 << 61;

    let address = memory.as_ptr().addr();
    let file = table().ok_or_else(|| io::Error::other("no table of pages"))?;
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

/// Whether the system tells which pages are written. The process has no huge pages from then on: to have one the system would map pages
/// that nobody has touched, and no fault would tell of what is written there.
pub(super) fn can_be_told() -> bool {
    table().is_some()
}

/// The system's table of this process's pages.
#[cfg(target_os = "linux")]
fn table() -> Option<&'static File> {
    use nix::sys::prctl::{get_thp_disable, set_thp_disable};

    static TABLE: OnceLock<Option<File>> = OnceLock::new();

    let open = || {
        let has_our_pages = rustix::param::page_size() == PAGE;
        let has_no_huge_ones = set_thp_disable(true).is_ok() && get_thp_disable() == Ok(true);
        File::open("/proc/self/pagemap").ok().filter(|_| has_our_pages && has_no_huge_ones)
    };
    TABLE.get_or_init(open).as_ref()
}

#[cfg(not(target_os = "linux"))]
fn table() -> Option<&'static File> {
    None
}
