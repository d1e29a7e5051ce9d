//! What a WebP file is made of (RFC 9649 section 2), looked over before its decoder believes any of it.

use crate::geometry::Size;

/// Bytes of the name and the length of a chunk.
const CHUNK: usize = 8;
/// Bytes of a frame's head before its own chunks (RFC 9649 section 2.7.1.1).
const FRAME: usize = 16;

/// Chunks that are read.
const KNOWN: [[u8; 4]; 8] = [*b"VP8 ", *b"VP8L", *b"VP8X", *b"ALPH", *b"ANIM", *b"ANMF", *b"EXIF", *b"ICCP"];

/// What is wrong with the chunks of a file whose canvas has this size, if anything is: one that ends behind the file, or
/// coded pixels that are more than the canvas has. Decoders set room aside for what is said there.
pub(crate) fn fault(bytes: &[u8], canvas: Size) -> Option<&'static str> {
    in_chunks(bytes.get(12..).unwrap_or_default(), canvas)
}

fn in_chunks(mut chunks: &[u8], canvas: Size) -> Option<&'static str> {
    while let Some((head, rest)) = chunks.split_first_chunk::<CHUNK>() {
        let [a, b, c, d, length @ ..] = *head;
        let (name, length) = ([a, b, c, d], u32::from_le_bytes(length) as usize);
        let Some((chunk, rest)) = rest.split_at_checked(length) else {
            // What nobody knows nobody reads: it may be what somebody hung on behind the picture.
            return KNOWN.contains(&name).then_some("a chunk of it is cut off");
        };
        let coded = match &name {
            b"ANMF" => {
                if let Some(fault) = in_chunks(chunk.get(FRAME..).unwrap_or_default(), canvas) {
                    return Some(fault);
                }
                None
            }
            b"VP8 " => lossy(chunk),
            b"VP8L" => lossless(chunk),
            _ => None,
        };
        if coded.is_some_and(|coded| coded.width > canvas.width || coded.height > canvas.height) {
            return Some("there is more in it than its canvas holds");
        }
        // Chunks of odd length are filled up.
        chunks = rest.get(length & 1..).unwrap_or_default();
    }
    None
}

/// RFC 6386 section 9.1.
fn lossy(chunk: &[u8]) -> Option<Size> {
    let edge =
        |at: usize| Some(u32::from(u16::from_le_bytes([*chunk.get(at)?, *chunk.get(at + 1)?]) & 0x3FFF));
    Some(Size { width: edge(6)?, height: edge(8)? })
}

/// RFC 9649 section 3.4.
fn lossless(chunk: &[u8]) -> Option<Size> {
    let head = u32::from_le_bytes(*chunk.get(1..)?.first_chunk()?);
    Some(Size { width: (head & 0x3FFF) + 1, height: (head >> 14 & 0x3FFF) + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut chunk = name.to_vec();
        chunk.extend((body.len() as u32).to_le_bytes());
        chunk.extend(body);
        chunk.extend(vec![0; body.len() & 1]);
        chunk
    }

    fn coded(width: u16, height: u16) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 0x9D, 1, 0x2A];
        body.extend(width.to_le_bytes());
        body.extend(height.to_le_bytes());
        chunk(b"VP8 ", &body)
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        [b"RIFF\0\0\0\0WEBP".to_vec(), chunks.concat()].concat()
    }

    const CANVAS: Size = Size { width: 20, height: 10 };

    #[test]
    fn nothing_in_it_is_larger_than_its_canvas() {
        let frame =
            |coded: Vec<u8>| chunk(b"ANMF", &[vec![0; FRAME], chunk(b"ALPH", b"odd"), coded].concat());
        for (width, height, is_sound) in [(20, 10, true), (7, 5, true), (21, 10, false), (20, 16_383, false)]
        {
            let still = file(&[chunk(b"VP8X", &[0; 10]), coded(width, height)]);
            assert_eq!(fault(&still, CANVAS).is_none(), is_sound, "{width}x{height}");
            let moving = file(&[frame(coded(20, 10)), frame(coded(width, height))]);
            assert_eq!(fault(&moving, CANVAS).is_none(), is_sound, "{width}x{height}");
        }
        let lossless = |width: u32| chunk(b"VP8L", &[&[0x2F], &(width - 1).to_le_bytes()[..]].concat());
        assert!(fault(&file(&[lossless(20)]), CANVAS).is_none());
        assert!(fault(&file(&[lossless(21)]), CANVAS).is_some());
    }

    #[test]
    fn a_chunk_that_ends_behind_the_file_is_noticed() {
        let whole = file(&[chunk(b"VP8X", &[0; 10]), coded(20, 10), chunk(b"EXIF", b"held")]);
        assert_eq!(fault(&whole, CANVAS), None);
        assert!(fault(&whole[..whole.len() - 1], CANVAS).is_some());
        let mut long = whole.clone();
        let length = long.len() - 8..long.len() - 4;
        long[length].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(fault(&long, CANVAS).is_some());
    }
}
