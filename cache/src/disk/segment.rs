//! One file of the log: items one after the other, and once it is complete an index of them.

use super::format::{self, Damaged, HEADER, Header, Item, Kind, PLACE, Place, TAIL};
use bytes::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How much is read at once while looking for items, in bytes.
const STRIDE: usize = 256 * 1024;

/// What the index of `count` items takes at the end of a segment, in bytes.
pub(super) fn index_length(count: usize) -> u64 {
    (HEADER + count * PLACE + TAIL) as u64
}

/// A file of the log. Readers may go on after it was deleted.
#[derive(Debug)]
pub(super) struct Segment {
    /// They are numbered in the order of writing.
    pub(super) number: u32,
    file: File,
    path: PathBuf,
    length: AtomicU64,
}

impl Segment {
    /// A new empty one.
    pub(super) fn create(folder: &Path, number: u32) -> io::Result<Self> {
        let path = path(folder, number);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { number, file, path, length: AtomicU64::new(0) })
    }

    /// One that was written before.
    pub(super) fn open(folder: &Path, number: u32) -> io::Result<Self> {
        let path = path(folder, number);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = AtomicU64::new(file.metadata()?.len());
        Ok(Self { number, file, path, length })
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length.load(Relaxed)
    }

    /// Reads what is at a place. Waits for the disk where it must.
    pub(super) fn read(&self, offset: u32, length: u32) -> io::Result<Bytes> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, u64::from(offset))?;
        Ok(bytes.into())
    }

    /// The key of the record at an offset.
    pub(super) fn key(&self, offset: u32) -> Option<Bytes> {
        let header = Header::decode(&self.read(offset, HEADER as u32).ok()?).ok()?;
        let key = header.key_range();
        self.read(offset.checked_add(key.start)?, key.end - key.start).ok()
    }

    /// What is at a place, from the page cache alone: `None` where somebody would have to wait for the disk.
    #[cfg(target_os = "linux")]
    pub(super) fn read_cached(&self, offset: u32, length: u32) -> Option<Bytes> {
        let mut bytes = vec![0; length as usize];
        let parts = &mut [io::IoSliceMut::new(&mut bytes)];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        let read = rustix::io::preadv2(&self.file, parts, u64::from(offset), flags).ok()?;
        (read == length as usize).then(|| bytes.into())
    }

    /// Elsewhere nobody can tell beforehand whether a read has to wait.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_cached(&self, _offset: u32, _length: u32) -> Option<Bytes> {
        None
    }

    /// Writes at the end.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.length.store(offset + bytes.len() as u64, Relaxed);
        Ok(())
    }

    /// Cuts off what was written in part.
    pub(super) fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.length.store(length, Relaxed);
        Ok(())
    }

    /// Waits until everything written is on the disk itself.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Completes it: nothing is written into it any more, and opening it again takes one read.
    pub(super) fn seal(&self, places: Vec<Place>) -> io::Result<()> {
        let end = self.length();
        let mut bytes = Vec::new();
        let start = u32::try_from(end).map_err(io::Error::other)?;
        format::encode(&mut bytes, 0, &Item::Index(places))
            .ok_or_else(|| io::Error::other("too many items"))?;
        bytes.extend(format::encode_tail(start));
        self.write(&bytes, end)?;
        self.sync()
    }

    /// Removes the file.
    pub(super) fn delete(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// All places, from the index at its end.
    pub(super) fn places(&self) -> io::Result<Vec<Place>> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, Damaged);
        let end = u32::try_from(self.length()).map_err(io::Error::other)?;
        let tail = end.checked_sub(TAIL as u32).ok_or_else(damaged)?;
        let start = format::decode_tail(&self.read(tail, TAIL as u32)?).map_err(io::Error::other)?;
        let length = tail.checked_sub(start).ok_or_else(damaged)?;
        let Ok((_, Item::Index(places))) = format::decode(&self.read(start, length)?) else {
            return Err(damaged());
        };
        let is_within =
            |place: &Place| place.offset.checked_add(place.length).is_some_and(|end| end <= start);
        if !places.iter().all(is_within) {
            return Err(damaged());
        }
        Ok(places)
    }

    /// All places of a segment that was never completed, by reading one header after the other. What follows the last whole
    /// item is cut off, and the segment completed.
    pub(super) fn recover(&self) -> io::Result<Sought> {
        let length = self.length();
        let (mut places, mut window, mut at) = (Vec::new(), Window::default(), 0);
        let mut is_whole = true;
        while at < length && is_whole {
            let header = Header::decode(window.read(&self.file, at, length)?).ok();
            let end = header.map(|header| at + u64::from(header.length)).filter(|end| *end <= length);
            match (header, end, u32::try_from(at)) {
                (Some(header), _, _) if header.kind == Kind::Index => break,
                (Some(Header { kind, sequence, name, variant, length, .. }), Some(end), Ok(offset)) => {
                    places.push(Place { name, sequence, variant, offset, length, kind });
                    at = end;
                }
                _ => is_whole = false,
            }
        }
        self.truncate(at)?;
        if !places.is_empty() {
            self.seal(places.clone())?;
        }
        Ok(if is_whole { Sought::Whole(places) } else { Sought::CutOff(places) })
    }
}

/// What was found in a segment.
#[derive(Debug)]
pub(super) enum Sought {
    /// All that was written.
    Whole(Vec<Place>),
    /// What comes before the first place that cannot be read.
    CutOff(Vec<Place>),
}

fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(file_name(number))
}

fn file_name(number: u32) -> String {
    format!("{number:010}.segment")
}

/// The number of a segment by the name of its file; `None` for files of other kinds.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".segment")?.parse().ok()?;
    (name == file_name(number)).then_some(number)
}

/// What was last read of a file, so that small items cost no read of their own.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The header at `at`, or less where the file ends.
    fn read(&mut self, file: &File, at: u64, length: u64) -> io::Result<&[u8]> {
        let end = length.min(at + HEADER as u64);
        let is_within = at >= self.start && end <= self.start + self.bytes.len() as u64;
        if !is_within {
            let wanted = usize::try_from(length - at).unwrap_or(usize::MAX).min(STRIDE);
            self.bytes.resize(wanted, 0);
            self.start = at;
            file.read_exact_at(&mut self.bytes, at)?;
        }
        let from = (at - self.start) as usize;
        Ok(&self.bytes[from..from + (end - at) as usize])
    }
}
