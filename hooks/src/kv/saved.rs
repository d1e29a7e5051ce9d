//! A store's file: a line that names the format, the pairs, and the SHA-256 of all before it.
//!
//! A pair is the lengths of key and value (32 bits each) and the milliseconds since 1970 at which it ends (64 bits, 0 for never),
//! little-endian, then key and value.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use super::shelf::{Pair, Shelf};

const FORMAT: &[u8] = b"selvedge kv 1\n";
const HEAD_BYTES: usize = 16;
/// Lengths over this are damage: nothing so long is ever taken.
const MAX_BYTES: u32 = 1 << 30;

/// Puts what the file holds onto the shelf; a file that is not there holds nothing. After an error what was read until then is of
/// no use.
pub(super) fn read(file: &Path, shelf: &mut Shelf, now: SystemTime) -> io::Result<()> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let length = opened.metadata()?.len();
    read_all(BufReader::new(opened), length, shelf, now)
}

/// Keeps a damaged file under another name, for whoever wants to look into it, beside those that were kept before. Somebody
/// may have taken it away meanwhile.
pub(super) fn keep_aside(file: &Path) -> io::Result<()> {
    const MOST: u32 = 1000;
    let name = |number| match number {
        1 => beside(file, "damaged"),
        _ => beside(file, &format!("damaged-{number}")),
    };
    let free = (1..MOST).map(name).find(|aside| !aside.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
    match fs::rename(file, free) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn read_all(mut from: impl Read, length: u64, shelf: &mut Shelf, now: SystemTime) -> io::Result<()> {
    let mut sum = Context::new(&SHA256);
    let shortest = (FORMAT.len() + SHA256_OUTPUT_LEN) as u64;
    let mut left = length.checked_sub(shortest).ok_or_else(|| damaged("it is too short"))?;
    if take(&mut from, &mut sum, FORMAT.len())? != FORMAT {
        return Err(damaged("it is no store of this version"));
    }
    while left > 0 {
        let head = take(&mut from, &mut sum, HEAD_BYTES)?;
        let (key_length, value_length, ends) = lengths(&head).ok_or_else(|| damaged("a length is wrong"))?;
        let bytes = HEAD_BYTES as u64 + u64::from(key_length) + u64::from(value_length);
        left = left.checked_sub(bytes).ok_or_else(|| damaged("a pair is cut off"))?;
        let key = take(&mut from, &mut sum, key_length as usize)?;
        let value = take(&mut from, &mut sum, value_length as usize)?;
        let key = String::from_utf8(key).map_err(|_| damaged("a key is no text"))?;
        let expires = (ends > 0).then(|| UNIX_EPOCH.checked_add(Duration::from_millis(ends))).flatten();
        if expires.is_none_or(|expires| expires > now) {
            // What no longer fits the settings is left out.
            let _ = shelf.put(&key, value.into(), expires);
        }
    }
    let mut expected = [0; SHA256_OUTPUT_LEN];
    from.read_exact(&mut expected)?;
    match sum.finish().as_ref() == expected {
        true => Ok(()),
        false => Err(damaged("its checksum is wrong")),
    }
}

fn take(from: &mut impl Read, sum: &mut Context, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(damaged("it is cut off"));
    }
    sum.update(&bytes);
    Ok(bytes)
}

fn lengths(head: &[u8]) -> Option<(u32, u32, u64)> {
    let key = u32::from_le_bytes(head.get(..4)?.try_into().ok()?);
    let value = u32::from_le_bytes(head.get(4..8)?.try_into().ok()?);
    let ends = u64::from_le_bytes(head.get(8..)?.try_into().ok()?);
    (key <= MAX_BYTES && value <= MAX_BYTES).then_some((key, value, ends))
}

fn damaged(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

/// Writes the pairs that `next` gives, piece by piece after the last key, into a new file that then takes the old one's place.
/// Only its owner can read it: hooks may keep sessions there.
pub(super) fn write(file: &Path, next: impl Fn(Option<&str>) -> Vec<Pair>) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let fresh = beside(file, "new");
    let opened = File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let mut out = Summed { out: BufWriter::new(opened), sum: Context::new(&SHA256) };
    out.write(FORMAT)?;
    let mut pairs = next(None);
    while let Some(last) = pairs.last() {
        let last = last.key.clone();
        pairs.iter().try_for_each(|pair| out.pair(pair))?;
        pairs = next(Some(&last));
    }
    out.finish()?.sync_all()?;
    fs::rename(&fresh, file)?;
    // The new name is on disk once its folder is.
    File::open(folder)?.sync_all()
}

struct Summed {
    out: BufWriter<File>,
    sum: Context,
}

impl Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }

    fn pair(&mut self, pair: &Pair) -> io::Result<()> {
        let too_long = |_| io::Error::other("a pair is too long");
        let ends = pair.expires.and_then(|expires| expires.duration_since(UNIX_EPOCH).ok());
        let ends = ends.map_or(0, |ends| u64::try_from(ends.as_millis()).unwrap_or(u64::MAX));
        self.write(&u32::try_from(pair.key.len()).map_err(too_long)?.to_le_bytes())?;
        self.write(&u32::try_from(pair.value.len()).map_err(too_long)?.to_le_bytes())?;
        self.write(&ends.to_le_bytes())?;
        self.write(pair.key.as_bytes())?;
        self.write(&pair.value)
    }

    fn finish(mut self) -> io::Result<File> {
        self.out.write_all(self.sum.finish().as_ref())?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    file.with_added_extension(ending)
}
