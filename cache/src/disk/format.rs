//! What the second tier writes: records, marks and indexes, each with checksums. Pure; nothing here trusts a byte that it reads.
//!
//! Everything is little-endian. An item is a header of 56 bytes and a payload:
//!
//! ```text
//!  0 magic (4)  4 kind (1)  5 strength (1)  6 number of labels (2)  8 sequence (8)  16 name (8)  24 variant (4)
//! 28 key length (4)  32 meta length (4)  36 body length (4)  40 checksum of the payload (8)  48 checksum of the header (8)
//! 56 labels (8 each)  key  meta  body
//! ```

use bytes::Bytes;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use twox_hash::XxHash3_64;

/// The length of a header in bytes.
pub const HEADER: usize = 56;

/// The length of one place in an index, in bytes.
pub(super) const PLACE: usize = 32;

/// The length of what ends a complete segment, in bytes: where its index begins.
pub(super) const TAIL: usize = 24;

const MAGIC: [u8; 4] = *b"SLV1";
const TAIL_MAGIC: [u8; 8] = *b"SLV1ENDS";

/// The name under which a text is known on disk. It is the same in every process.
#[must_use]
pub fn name_of(text: &[u8]) -> u64 {
    XxHash3_64::oneshot(text)
}

/// A stored response, opaque but for what the tier needs to find and to forget it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is stored under; all variants have the same.
    pub key: Bytes,
    /// What tells variants under one key apart.
    pub variant: u32,
    /// What it can be forgotten by, beside its key: [`name_of`] its tags, its site.
    pub labels: Vec<u64>,
    /// The head, and whatever else the reader wants beside the body.
    pub meta: Bytes,
    /// The body.
    pub body: Bytes,
}

/// What happens to the records that a mark covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// They are no longer fresh, from this moment on, in whole seconds.
    Stale(SystemTime),
    /// They are gone.
    Gone,
}

/// Which records a mark covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Those that bear this label, or whose key has this [name](name_of).
    Label(u64),
    /// Those whose key begins so. The empty prefix covers all.
    Prefix(Bytes),
}

/// A purge: what was written before it and within its reach is stale or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Which records.
    pub reach: Reach,
    /// What becomes of them.
    pub strength: Strength,
}

/// Where an item is in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The record's key by [name](name_of), or a mark's label.
    pub name: u64,
    /// In the order of writing, over all segments.
    pub sequence: u64,
    /// Among the records under one key; of a mark, since when.
    pub variant: u32,
    /// From the segment's first byte, in bytes.
    pub offset: u32,
    /// Header and payload, in bytes.
    pub length: u32,
    /// Record or mark.
    pub kind: Kind,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A [`Record`].
    Record = 1,
    /// A [`Mark`] with a label.
    Label = 2,
    /// A [`Mark`] with a prefix.
    Prefix = 3,
    /// The places of all items before it in its segment.
    Index = 4,
}

/// An item as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A stored response.
    Record(Record),
    /// A purge.
    Mark(Mark),
    /// An index.
    Index(Vec<Place>),
}

/// These bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged: a checksum, a length or a magic number is wrong")]
pub struct Damaged;

/// The fixed beginning of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    pub(super) name: u64,
    pub(super) variant: u32,
    strength: u8,
    labels: u16,
    key: u32,
    meta: u32,
    body: u32,
    checksum: u64,
    /// Header and payload, in bytes.
    pub(super) length: u32,
}

impl Header {
    /// Reads a header.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let bytes: &[u8; HEADER] =
            bytes.get(..HEADER).and_then(|bytes| bytes.try_into().ok()).ok_or(Damaged)?;
        let mut fields = Fields(bytes);
        let magic: [u8; 4] = fields.take()?;
        let [kind, strength] = fields.take()?;
        let labels = u16::from_le_bytes(fields.take()?);
        let (sequence, name) = (fields.u64()?, fields.u64()?);
        let (variant, key, meta, body) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
        let (checksum, own) = (fields.u64()?, fields.u64()?);
        if magic != MAGIC || XxHash3_64::oneshot(&bytes[..HEADER - 8]) != own {
            return Err(Damaged);
        }
        let length =
            HEADER as u64 + 8 * u64::from(labels) + u64::from(key) + u64::from(meta) + u64::from(body);
        let length = u32::try_from(length).map_err(|_| Damaged)?;
        let kind = Kind::decode(kind)?;
        let header =
            Self { kind, sequence, name, variant, strength, labels, key, meta, body, checksum, length };
        if header.is_plausible() { Ok(header) } else { Err(Damaged) }
    }

    /// Where the key is, from the first byte of the header.
    pub(super) fn key_range(&self) -> Range<u32> {
        let start = HEADER as u32 + 8 * u32::from(self.labels);
        start..start + self.key
    }

    /// Whether what this kind does not have is empty, as it was written.
    fn is_plausible(&self) -> bool {
        let Self { name, variant, strength, labels, key, meta, body, .. } = *self;
        match self.kind {
            Kind::Record => strength == 0,
            Kind::Label => self.length as usize == HEADER,
            Kind::Prefix => (name, labels, meta, body) == (0, 0, 0, 0),
            Kind::Index => (name, variant, labels, key, meta, strength) == (0, 0, 0, 0, 0, 0),
        }
    }
}

impl Kind {
    fn decode(byte: u8) -> Result<Self, Damaged> {
        [Self::Record, Self::Label, Self::Prefix, Self::Index]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
            .ok_or(Damaged)
    }
}

impl Strength {
    const STALE: u8 = 1;
    const GONE: u8 = 2;

    /// Which of the two, and since when, in seconds since 1970.
    fn encode(self) -> (u8, u32) {
        match self {
            Self::Stale(since) => {
                let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
                (Self::STALE, u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
            }
            Self::Gone => (Self::GONE, 0),
        }
    }

    fn decode(which: u8, since: u32) -> Result<Self, Damaged> {
        match (which, since) {
            (Self::STALE, since) => Ok(Self::Stale(UNIX_EPOCH + Duration::from_secs(since.into()))),
            (Self::GONE, 0) => Ok(Self::Gone),
            _ => Err(Damaged),
        }
    }
}

impl Record {
    /// Header and payload in bytes, as they would be written.
    #[must_use]
    pub fn length(&self) -> u64 {
        (HEADER + 8 * self.labels.len() + self.key.len() + self.meta.len() + self.body.len()) as u64
    }
}

impl Mark {
    /// Header and payload in bytes, as they would be written.
    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.reach {
            Reach::Label(_) => HEADER as u64,
            Reach::Prefix(prefix) => (HEADER + prefix.len()) as u64,
        }
    }
}

/// Appends an item to `bytes`; returns where it is, counted from the start of `bytes`. `None`, and nothing is appended, when it
/// is larger than the format can say.
pub fn encode(bytes: &mut Vec<u8>, sequence: u64, item: &Item) -> Option<Place> {
    let start = bytes.len();
    let (kind, name) = match item {
        Item::Record(record) => (Kind::Record, name_of(&record.key)),
        Item::Mark(Mark { reach: Reach::Label(label), .. }) => (Kind::Label, *label),
        Item::Mark(Mark { reach: Reach::Prefix(_), .. }) => (Kind::Prefix, 0),
        Item::Index(_) => (Kind::Index, 0),
    };
    let (strength, variant) = match item {
        Item::Record(record) => (0, record.variant),
        Item::Mark(mark) => mark.strength.encode(),
        Item::Index(_) => (0, 0),
    };
    let places: Vec<u8>;
    let (labels, key, meta, body): (&[u64], &[u8], &[u8], &[u8]) = match item {
        Item::Record(record) => (&record.labels, &record.key, &record.meta, &record.body),
        Item::Mark(Mark { reach: Reach::Prefix(prefix), .. }) => (&[], prefix, &[], &[]),
        Item::Mark(_) => (&[], &[], &[], &[]),
        Item::Index(index) => {
            places = index.iter().flat_map(Place::encode).collect();
            (&[], &[], &[], &places)
        }
    };
    let length = HEADER + 8 * labels.len() + key.len() + meta.len() + body.len();
    let (count, length) = (u16::try_from(labels.len()).ok()?, u32::try_from(length).ok()?);
    let offset = u32::try_from(start).ok()?;

    bytes.reserve(length as usize);
    bytes.extend(MAGIC);
    bytes.extend([kind as u8, strength]);
    bytes.extend(count.to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(name.to_le_bytes());
    // Each is at most the whole, which fits.
    for number in [variant, key.len() as u32, meta.len() as u32, body.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([0; 16]);
    for label in labels {
        bytes.extend(label.to_le_bytes());
    }
    for part in [key, meta, body] {
        bytes.extend_from_slice(part);
    }
    let payload = XxHash3_64::oneshot(&bytes[start + HEADER..]);
    bytes[start + 40..start + 48].copy_from_slice(&payload.to_le_bytes());
    let header = XxHash3_64::oneshot(&bytes[start..start + HEADER - 8]);
    bytes[start + 48..start + 56].copy_from_slice(&header.to_le_bytes());
    Some(Place { name, sequence, variant, offset, length, kind })
}

/// Reads the item that `bytes` begin with, and its sequence.
///
/// # Errors
/// [`Damaged`] when it is not what was written, or not all of it is there.
pub fn decode(bytes: &Bytes) -> Result<(u64, Item), Damaged> {
    let header = Header::decode(bytes)?;
    let payload = bytes.get(HEADER..header.length as usize).ok_or(Damaged)?;
    if XxHash3_64::oneshot(payload) != header.checksum {
        return Err(Damaged);
    }
    let (labels, _) = payload.split_at(8 * usize::from(header.labels));
    let mut from = HEADER + labels.len();
    let mut part = |length: u32| {
        let part = bytes.slice(from..from + length as usize);
        from += length as usize;
        part
    };
    let (key, meta, body) = (part(header.key), part(header.meta), part(header.body));
    let strength = || Strength::decode(header.strength, header.variant);
    let item = match header.kind {
        Kind::Record if name_of(&key) != header.name => return Err(Damaged),
        Kind::Record => {
            let labels = labels.chunks_exact(8).map(|label| Fields(label).u64()).collect::<Result<_, _>>()?;
            Item::Record(Record { key, variant: header.variant, labels, meta, body })
        }
        Kind::Label => Item::Mark(Mark { reach: Reach::Label(header.name), strength: strength()? }),
        Kind::Prefix => Item::Mark(Mark { reach: Reach::Prefix(key), strength: strength()? }),
        Kind::Index if body.len() % PLACE != 0 => return Err(Damaged),
        Kind::Index => Item::Index(body.chunks_exact(PLACE).map(Place::decode).collect::<Result<_, _>>()?),
    };
    Ok((header.sequence, item))
}

impl Place {
    fn encode(&self) -> [u8; PLACE] {
        let mut bytes = [0; PLACE];
        bytes[..8].copy_from_slice(&self.name.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        let numbers = [self.variant, self.offset, self.length, u32::from(self.kind as u8)];
        for (field, number) in bytes[16..].chunks_exact_mut(4).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut fields = Fields(bytes);
        let (name, sequence) = (fields.u64()?, fields.u64()?);
        let (variant, offset, length) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let kind = Kind::decode(u8::try_from(fields.u32()?).map_err(|_| Damaged)?)?;
        Ok(Self { name, sequence, variant, offset, length, kind })
    }
}

/// What ends a complete segment: its index begins at `offset`.
pub(super) fn encode_tail(offset: u32) -> [u8; TAIL] {
    let mut bytes = [0; TAIL];
    bytes[..8].copy_from_slice(&TAIL_MAGIC);
    bytes[8..16].copy_from_slice(&u64::from(offset).to_le_bytes());
    let checksum = XxHash3_64::oneshot(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Where the index of a segment begins that ends so.
pub(super) fn decode_tail(bytes: &[u8]) -> Result<u32, Damaged> {
    let mut fields = Fields(bytes);
    let (magic, offset, checksum): ([u8; 8], u64, u64) = (fields.take()?, fields.u64()?, fields.u64()?);
    if magic != TAIL_MAGIC || bytes.get(..16).map(XxHash3_64::oneshot) != Some(checksum) {
        return Err(Damaged);
    }
    u32::try_from(offset).map_err(|_| Damaged)
}

/// Fields of fixed lengths, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
