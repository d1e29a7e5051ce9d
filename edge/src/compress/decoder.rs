//! Decoders of what origins have encoded: never more than a piece at a time, and never more in all than the bounds allow.

use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use bytes::{Buf, Bytes, BytesMut};
use cache::{Coding, CompressSettings};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, ErrorKind, Read};

/// How much is decoded at once, in bytes: what a core may do before it turns to others, and what a hostile body can make of a
/// few bytes before anybody looks.
const PIECE: usize = 64 * 1024;

/// Below this many decoded bytes no ratio is too high.
const HARMLESS: u64 = 1024 * 1024;

/// What has been decoded when a body's ratio has been judged for the first time, in bytes.
pub(super) const JUDGED: u64 = HARMLESS + PIECE as u64;

/// What the brotli decoder takes in before it decodes, in bytes: little, for the ratio to be about what it has used.
const BR_INPUT: usize = 4 * 1024;

/// RFC 9659 §3: the largest window of zstd content, as a power of two of bytes. It is memory that the sender asks for.
const ZSTD_WINDOW: u32 = 23;

/// Why an origin's encoded body cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It becomes larger than `decoded-max`, or more than `decoded-ratio` times as large.
    #[error("the origin's encoded body becomes too large when decoded")]
    Bomb,
    /// It is not what its `Content-Encoding` says, or ends early.
    #[error("the origin's encoded body is damaged")]
    Corrupt,
}

impl Unreadable {
    /// The reason token.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Bomb => "decode-bomb",
            Self::Corrupt => "decode-corrupt",
        }
    }
}

/// How much a body may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    most: u64,
    ratio: u64,
}

impl Bounds {
    /// Those of a policy.
    #[must_use]
    pub fn of(settings: &CompressSettings) -> Self {
        Self { most: settings.decoded_max.as_u64(), ratio: u64::from(settings.decoded_ratio) }
    }

    fn permit(self, taken: u64, made: u64) -> bool {
        made <= self.most && (made <= HARMLESS || made <= taken.saturating_mul(self.ratio))
    }
}

/// One body's decoder.
pub struct Decoder {
    codec: Codec,
    bounds: Bounds,
    made: u64,
    piece: BytesMut,
}

/// What a decoder has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Decoded bytes, never none.
    Made(Bytes),
    /// It needs more to go on.
    Hungry,
    /// The body is whole.
    Done,
}

enum Codec {
    Gzip(Box<MultiGzDecoder<Input>>),
    Br(Box<Decompressor<Input>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Input>>),
}

impl Decoder {
    /// A decoder that has seen nothing yet.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(coding: Coding, bounds: Bounds) -> io::Result<Self> {
        let input = Input::default();
        let codec = match coding {
            Coding::Gzip => Codec::Gzip(Box::new(MultiGzDecoder::new(input))),
            Coding::Br => {
                let mut decoder = Decompressor::new(input, BR_INPUT);
                // Windows of up to 1 GiB are no part of RFC 7932.
                decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
                Codec::Br(Box::new(decoder))
            }
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Codec::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { codec, bounds, made: 0, piece: BytesMut::new() })
    }

    /// How many bytes it has made so far.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Gives it more. What it has not used of what it was given before is lost: feed it when it is [`Step::Hungry`].
    pub fn feed(&mut self, encoded: Bytes) {
        self.input().chunk = encoded;
    }

    /// Tells it that there is no more.
    pub fn end(&mut self) {
        self.input().ended = true;
    }

    /// Goes on.
    ///
    /// # Errors
    /// [`Unreadable`], after which it is of no use any more.
    pub fn step(&mut self) -> Result<Step, Unreadable> {
        let input = self.input();
        // Many an answer says that it is encoded and then is empty, as answers to HEAD are.
        if input.ended && input.taken == 0 && input.chunk.is_empty() {
            return Ok(Step::Done);
        }
        let mut piece = std::mem::take(&mut self.piece);
        if piece.len() < PIECE / 4 {
            piece = BytesMut::zeroed(PIECE);
        }
        let read = match &mut self.codec {
            Codec::Gzip(decoder) => decoder.read(&mut piece),
            Codec::Br(decoder) => decoder.read(&mut piece),
            Codec::Zstd(decoder) => decoder.read(&mut piece),
        };
        let step = match read {
            Ok(0) => self.is_at_end().map(|ended| if ended { Step::Done } else { Step::Hungry }),
            Ok(made) => self.count(made).map(|()| Step::Made(piece.split_to(made).freeze())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Step::Hungry),
            Err(_) => Err(Unreadable::Corrupt),
        };
        // What remains of it is a buffer for the next step: small pieces share one.
        self.piece = piece;
        step
    }

    /// Whether the body ends where its coding does.
    fn is_at_end(&mut self) -> Result<bool, Unreadable> {
        let input = self.input();
        if input.chunk.is_empty() { Ok(input.ended) } else { Err(Unreadable::Corrupt) }
    }

    fn count(&mut self, made: usize) -> Result<(), Unreadable> {
        self.made += made as u64;
        let taken = self.input().taken;
        if self.bounds.permit(taken, self.made) { Ok(()) } else { Err(Unreadable::Bomb) }
    }

    fn input(&mut self) -> &mut Input {
        match &mut self.codec {
            Codec::Gzip(decoder) => decoder.get_mut(),
            Codec::Br(decoder) => decoder.get_mut(),
            Codec::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

/// Encoded bytes as a decoder reads them: those at hand, then "not yet" until there are more or the end has come.
#[derive(Debug, Default)]
struct Input {
    chunk: Bytes,
    ended: bool,
    /// Bytes read so far.
    taken: u64,
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount);
        self.taken += amount as u64;
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(buffer.len());
        buffer[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compress::encoder::{Encoder, Window};

    pub(in crate::compress) fn decoder(coding: Coding) -> Decoder {
        Decoder::new(coding, Bounds::of(&CompressSettings::default())).unwrap()
    }

    pub(in crate::compress) fn decoded(coding: Coding, encoded: &[u8]) -> Result<Vec<u8>, Unreadable> {
        in_pieces(coding, encoded, encoded.len().max(1))
    }

    fn in_pieces(coding: Coding, encoded: &[u8], size: usize) -> Result<Vec<u8>, Unreadable> {
        let mut decoder = decoder(coding);
        let mut pieces = encoded.chunks(size);
        let mut plain = Vec::new();
        loop {
            match decoder.step()? {
                Step::Made(made) => plain.extend_from_slice(&made),
                Step::Hungry => match pieces.next() {
                    Some(piece) => decoder.feed(Bytes::copy_from_slice(piece)),
                    None => decoder.end(),
                },
                Step::Done => return Ok(plain),
            }
        }
    }

    fn encoded(coding: Coding, plain: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding, Window::STREAM).unwrap();
        encoder.write(plain).unwrap();
        encoder.finish().unwrap().to_vec()
    }

    #[test]
    fn pieces_of_any_size_make_the_same_whole() {
        let text: Vec<u8> =
            (0..40_000_u32).flat_map(|number| (number * 7919).to_string().into_bytes()).collect();
        for coding in Coding::ALL {
            let whole = encoded(coding, &text);
            for size in [1, 7, 4_096, whole.len()] {
                assert_eq!(in_pieces(coding, &whole, size).unwrap(), text, "{coding:?} by {size}");
            }
            assert_eq!(decoded(coding, &encoded(coding, b"")).unwrap(), b"", "{coding:?}");
            assert_eq!(decoded(coding, b"").unwrap(), b"", "{coding:?}: nothing at all");
        }
    }

    #[test]
    fn bodies_of_several_members_are_read_to_the_end() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let two = [encoded(coding, b"one "), encoded(coding, b"two")].concat();
            for size in [1, two.len()] {
                assert_eq!(in_pieces(coding, &two, size).unwrap(), b"one two", "{coding:?} by {size}");
            }
        }
    }

    #[test]
    fn what_ends_early_is_never_whole() {
        let text = "selvedge ".repeat(5_000);
        for coding in Coding::ALL {
            let whole = encoded(coding, text.as_bytes());
            for length in 1..whole.len() {
                let cut = decoded(coding, &whole[..length]);
                assert_eq!(cut, Err(Unreadable::Corrupt), "{coding:?} cut to {length}");
            }
        }
    }

    #[test]
    fn what_is_something_else_or_goes_on_after_its_end_is_corrupt() {
        for coding in Coding::ALL {
            assert_eq!(decoded(coding, b"<!doctype html>"), Err(Unreadable::Corrupt), "{coding:?}");
            let mut damaged = encoded(coding, "selvedge ".repeat(500).as_bytes());
            damaged.extend_from_slice(b"\xff garbage");
            for size in [1, damaged.len()] {
                assert_eq!(
                    in_pieces(coding, &damaged, size),
                    Err(Unreadable::Corrupt),
                    "{coding:?} by {size}"
                );
            }
        }
    }

    #[test]
    fn bombs_are_noticed_before_they_have_grown() {
        for coding in Coding::ALL {
            let bomb = encoded(coding, &vec![0; 16 * 1024 * 1024]);
            let mut decoder = decoder(coding);
            decoder.feed(bomb.into());
            let end = loop {
                match decoder.step() {
                    Ok(Step::Made(_)) => {}
                    end => break end,
                }
            };
            assert_eq!(end, Err(Unreadable::Bomb), "{coding:?}");
            assert!(decoder.made() <= JUDGED, "{coding:?}: {}", decoder.made());
        }
    }

    #[test]
    fn small_bodies_may_be_of_any_ratio_and_large_ones_not_of_any_size() {
        let bounds = Bounds { most: 10_000_000, ratio: 100 };
        assert!(bounds.permit(1, HARMLESS));
        assert!(!bounds.permit(1, HARMLESS + 1));
        assert!(bounds.permit(100_000, 10_000_000));
        assert!(!bounds.permit(10_000_000, 10_000_001));
    }
}
