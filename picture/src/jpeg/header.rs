//! What stands before the coefficients (T.81 section B.2).

use super::Damaged;
use super::huffman::Table;

/// More than any camera or program writes before a scan.
const MAX_SEGMENTS: usize = 10_000;

/// A JPEG's head, up to where a scan begins: the first one, until [`Header::next_scan`] goes on.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) process: Process,
    pub(crate) components: Vec<Component>,
    /// The components of the scan in their order, with the tables of each.
    pub(crate) scan: Vec<ScanComponent>,
    pub(crate) band: Band,
    pub(crate) quantisation: [Option<[u16; 64]>; 4],
    pub(crate) dc_tables: [Option<Table>; 4],
    pub(crate) ac_tables: [Option<Table>; 4],
    /// Blocks between restart markers, 0 for none.
    pub(crate) restart_interval: u32,
    /// The transform that an Adobe segment names.
    pub(crate) adobe_transform: Option<u8>,
    /// The EXIF block, without the words before it.
    pub(crate) exif: Option<std::ops::Range<usize>>,
    /// The colour profile, if it is in one segment.
    pub(crate) profile: Option<std::ops::Range<usize>>,
    /// Where the scan's data begins.
    pub(crate) data: usize,
}

/// How the coefficients are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// As one Huffman-coded sequence, of samples of eight bits (T.81 annex F).
    Sequential,
    /// A few at a time, Huffman-coded, of samples of eight bits (T.81 annex G).
    Progressive,
    Other,
}

/// What a scan has of each block (T.81 section B.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Band {
    /// Places of its first and last coefficient.
    pub(crate) first: u8,
    pub(crate) last: u8,
    /// The bit that was known of them before, and the one that is known afterwards.
    pub(crate) high: u8,
    pub(crate) low: u8,
}

/// A component of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) id: u8,
    /// Samples across and down of a unit.
    pub(crate) across: u8,
    pub(crate) down: u8,
    pub(crate) quantisation: u8,
}

/// A component of a scan: its place in the frame, and its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanComponent {
    pub(crate) component: usize,
    pub(crate) dc_table: u8,
    pub(crate) ac_table: u8,
}

impl Header {
    /// Reads up to the first scan.
    ///
    /// # Errors
    /// No frame or no scan, or a segment that ends too early.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut header = Self::empty();
        if !bytes.starts_with(&[0xFF, 0xD8]) {
            return Err(Damaged("it does not begin as a JPEG does"));
        }
        if !header.segments(bytes, 2)? {
            return Err(Damaged("it has no picture"));
        }
        Ok(header)
    }

    /// Goes on to the next scan; whether there is one.
    ///
    /// # Errors
    /// Neither a scan nor the picture's end comes, or a segment that makes no sense.
    pub(crate) fn next_scan(&mut self, bytes: &[u8]) -> Result<bool, Damaged> {
        // Within the data of a scan there are only stuffed bytes and restarts (T.81 section B.1.1.5).
        let is_end = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7 | 0xFF);
        let data = bytes.get(self.data..).unwrap_or_default();
        let end = data.windows(2).position(is_end).ok_or(Damaged("it ends before the picture does"))?;
        self.segments(bytes, self.data + end)
    }

    /// Reads segments up to where a scan begins; whether one does.
    fn segments(&mut self, bytes: &[u8], mut at: usize) -> Result<bool, Damaged> {
        for _ in 0..MAX_SEGMENTS {
            let (marker, after) = next_marker(bytes, at).ok_or(Damaged("it ends before the picture does"))?;
            at = after;
            // Markers without a segment (T.81 table B.1).
            match marker {
                0x01 | 0xD0..=0xD8 => continue,
                0xD9 => return Ok(false),
                _ => {}
            }
            let segment = segment(bytes, at).ok_or(Damaged("a segment of its head is cut off"))?;
            let body = at + 2;
            at += 2 + segment.len();
            match marker {
                0xC4 => self.huffman(segment)?,
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => self.frame(marker, segment)?,
                0xDA => {
                    self.scan(segment)?;
                    self.data = at;
                    return Ok(true);
                }
                0xDB => self.quantisation(segment)?,
                0xDD => self.restart_interval = u32::from(word(segment, 0)?),
                0xE1 if segment.starts_with(b"Exif\0\0") && self.exif.is_none() => {
                    self.exif = Some(body + 6..at);
                }
                // ICC.1:2022 annex B.4: the first of one.
                0xE2 if segment.starts_with(b"ICC_PROFILE\0\x01\x01") => self.profile = Some(body + 14..at),
                0xEE if segment.starts_with(b"Adobe") => self.adobe_transform = segment.get(11).copied(),
                _ => {}
            }
        }
        Err(Damaged("its head has no end"))
    }

    /// Blocks across and down that show something of a component (T.81 section A.2.2).
    pub(crate) fn blocks(&self, component: usize) -> (usize, usize) {
        let widest = self.components.iter().map(|component| component.across).max().unwrap_or(1);
        let highest = self.components.iter().map(|component| component.down).max().unwrap_or(1);
        let blocks = |length: u32, own: u8, most: u8| {
            (length as usize * usize::from(own)).div_ceil(usize::from(most).max(1)).div_ceil(8)
        };
        let sampling = self.components.get(component).map_or((1, 1), |own| (own.across, own.down));
        (blocks(self.width, sampling.0, widest), blocks(self.height, sampling.1, highest))
    }

    fn empty() -> Self {
        Self {
            width: 0,
            height: 0,
            process: Process::Other,
            components: Vec::new(),
            scan: Vec::new(),
            band: Band { first: 0, last: 0, high: 0, low: 0 },
            quantisation: [None; 4],
            dc_tables: [const { None }; 4],
            ac_tables: [const { None }; 4],
            restart_interval: 0,
            adobe_transform: None,
            exif: None,
            profile: None,
            data: 0,
        }
    }

    /// T.81 section B.2.2.
    fn frame(&mut self, marker: u8, segment: &[u8]) -> Result<(), Damaged> {
        if !self.components.is_empty() {
            return Err(Damaged("it has two frames"));
        }
        let &[precision, _, _, _, _, count, ref components @ ..] = segment else {
            return Err(Damaged("its frame is cut off"));
        };
        (self.height, self.width) = (word(segment, 1)?.into(), word(segment, 3)?.into());
        self.process = match (marker, precision) {
            (0xC0 | 0xC1, 8) => Process::Sequential,
            (0xC2, 8) => Process::Progressive,
            _ => Process::Other,
        };
        if components.len() < usize::from(count) * 3 || count == 0 || self.width == 0 {
            return Err(Damaged("its frame has no components or no width"));
        }
        let component = |bytes: &[u8]| Component {
            id: bytes[0],
            across: bytes[1] >> 4,
            down: bytes[1] & 15,
            quantisation: bytes[2],
        };
        self.components = components.chunks_exact(3).take(count.into()).map(component).collect();
        Ok(())
    }

    /// T.81 section B.2.3.
    fn scan(&mut self, segment: &[u8]) -> Result<(), Damaged> {
        const CUT: Damaged = Damaged("its scan is cut off");
        let (&count, rest) = segment.split_first().ok_or(CUT)?;
        let (components, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(CUT)?;
        self.scan.clear();
        for pair in components.chunks_exact(2) {
            let component = self.components.iter().position(|component| component.id == pair[0]);
            let component = component.ok_or(Damaged("its scan names a component that is not there"))?;
            self.scan.push(ScanComponent { component, dc_table: pair[1] >> 4, ac_table: pair[1] & 15 });
        }
        if self.scan.is_empty() {
            return Err(Damaged("its scan is empty"));
        }
        let &[first, last, bits, ..] = rest else {
            return Err(CUT);
        };
        self.band = Band { first, last, high: bits >> 4, low: bits & 15 };
        Ok(())
    }

    /// T.81 section B.2.4.1.
    fn quantisation(&mut self, mut segment: &[u8]) -> Result<(), Damaged> {
        const CUT: Damaged = Damaged("a quantisation table is cut off");
        while let [kind, rest @ ..] = segment {
            let width = if kind >> 4 == 0 { 1 } else { 2 };
            let table = rest.get(..64 * width).ok_or(CUT)?;
            let slot = self.quantisation.get_mut(usize::from(kind & 15)).ok_or(CUT)?;
            let mut steps = [0; 64];
            for (step, bytes) in steps.iter_mut().zip(table.chunks_exact(width)) {
                *step = bytes.iter().fold(0, |step, &byte| step << 8 | u16::from(byte));
            }
            *slot = Some(steps);
            segment = &rest[64 * width..];
        }
        Ok(())
    }

    /// T.81 section B.2.4.2.
    fn huffman(&mut self, mut segment: &[u8]) -> Result<(), Damaged> {
        const CUT: Damaged = Damaged("a Huffman table is cut off or too long");
        while let [kind, rest @ ..] = segment {
            let (counts, symbols) = rest.split_first_chunk::<16>().ok_or(CUT)?;
            let table = Table::new(counts, symbols).ok_or(CUT)?;
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let tables = if kind >> 4 == 0 { &mut self.dc_tables } else { &mut self.ac_tables };
            *tables.get_mut(usize::from(kind & 15)).ok_or(CUT)? = Some(table);
            segment = &symbols[total..];
        }
        Ok(())
    }
}

/// The code of the next marker and the place behind it.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        let gap = bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        at += gap;
        while *bytes.get(at)? == 0xFF {
            at += 1;
        }
        let code = *bytes.get(at)?;
        at += 1;
        if code != 0 {
            return Some((code, at));
        }
    }
}

/// What is in a segment, behind its length.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(word(bytes, at).ok()?);
    bytes.get(at + 2..at.checked_add(length.max(2))?)
}

fn word(bytes: &[u8], at: usize) -> Result<u16, Damaged> {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>);
    word.map(|word| u16::from_be_bytes(*word)).ok_or(Damaged("a segment of its head is cut off"))
}
