//! Encoders: bytes in, encoded bytes out.

use brotli::CompressorWriter;
use bytes::buf::Writer;
use bytes::{BufMut, Bytes, BytesMut};
use cache::Coding;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

// The effort of each coding. A body is encoded once and then sent often, so the last percents would be worth some time, but somebody
// waits for it. Measured on 100 KiB of HTML and of JavaScript: gzip 6 takes 1.0 and 1.7 ms, 9 twice as long for 1 % less; br 5 takes 2
// and 2.6 ms and is 5–7 % smaller than gzip 6, above it 9 takes ten times as long for another 3 %; zstd 6 takes 0.8 and 1.6 ms for 2 %
// less than gzip 6, while its usual 3 takes 0.2 and 0.5 ms but is 5–8 % larger.
const GZIP_LEVEL: Compression = Compression::new(6);
const BR_QUALITY: u32 = 5;
const ZSTD_LEVEL: i32 = 6;

/// Room for encoded bytes on their way out of the brotli encoder.
const BR_BUFFER: usize = 16 * 1024;

/// How far back an encoder looks for repetition, as a power of two of bytes. Its memory grows with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(u8);

impl Window {
    /// For an encoder of one viewer's own: 256 KiB, so that many of them do no harm.
    pub const STREAM: Self = Self(18);

    /// For a body that is encoded once for everybody, as large as is of use: at most 4 MiB.
    #[must_use]
    pub fn fitting(length: usize) -> Self {
        let bits = usize::BITS - length.leading_zeros();
        Self(u8::try_from(bits).unwrap_or(u8::MAX).clamp(Self::STREAM.0, 22))
    }
}

/// One body's encoder.
pub struct Encoder(Codec);

type Encoded = Writer<BytesMut>;

enum Codec {
    Gzip(GzEncoder<Encoded>),
    Br(Box<CompressorWriter<Encoded>>),
    Zstd(zstd::stream::write::Encoder<'static, Encoded>),
}

impl Encoder {
    /// An encoder that has seen nothing yet.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(coding: Coding, window: Window) -> io::Result<Self> {
        let encoded = BytesMut::new().writer();
        let bits = u32::from(window.0);
        Ok(Self(match coding {
            Coding::Gzip => Codec::Gzip(GzEncoder::new(encoded, GZIP_LEVEL)),
            Coding::Br => Codec::Br(Box::new(CompressorWriter::new(encoded, BR_BUFFER, BR_QUALITY, bits))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(encoded, ZSTD_LEVEL)?;
                encoder.window_log(bits)?;
                // As gzip does: what was damaged on the way is noticed.
                encoder.include_checksum(true)?;
                Codec::Zstd(encoder)
            }
        }))
    }

    /// Takes bytes in.
    ///
    /// # Errors
    /// When there is no memory to encode them.
    pub fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        self.writer().write_all(plain)
    }

    /// Makes everything that was taken in readable for who gets the bytes so far.
    ///
    /// # Errors
    /// When there is no memory to encode it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// The encoded bytes at hand, which may be none.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        let encoded = match &mut self.0 {
            Codec::Gzip(encoder) => encoder.get_mut(),
            Codec::Br(encoder) => encoder.get_mut(),
            Codec::Zstd(encoder) => encoder.get_mut(),
        };
        encoded.get_mut().split().freeze()
    }

    /// The rest.
    ///
    /// # Errors
    /// When there is no memory to encode it.
    pub fn finish(self) -> io::Result<Bytes> {
        let encoded = match self.0 {
            Codec::Gzip(encoder) => encoder.finish()?,
            Codec::Br(encoder) => encoder.into_inner(),
            Codec::Zstd(encoder) => encoder.finish()?,
        };
        Ok(encoded.into_inner().freeze())
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.0 {
            Codec::Gzip(encoder) => encoder,
            Codec::Br(encoder) => encoder,
            Codec::Zstd(encoder) => encoder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::decoder::tests::decoded;

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let text = "selvedge ".repeat(100_000);
        for coding in Coding::ALL {
            for window in [Window::STREAM, Window::fitting(text.len())] {
                let mut encoder = Encoder::new(coding, window).unwrap();
                let mut encoded = Vec::new();
                for piece in text.as_bytes().chunks(70_000) {
                    encoder.write(piece).unwrap();
                    encoded.extend_from_slice(&encoder.take());
                }
                encoded.extend_from_slice(&encoder.finish().unwrap());
                assert!(encoded.len() < text.len() / 100, "{coding:?}: {}", encoded.len());
                assert_eq!(decoded(coding, &encoded).unwrap(), text.as_bytes(), "{coding:?}");
            }
        }
    }

    #[test]
    fn what_is_flushed_can_be_read_at_once() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, Window::STREAM).unwrap();
            encoder.write(b"hello").unwrap();
            encoder.flush().unwrap();
            let mut decoder = crate::compress::decoder::tests::decoder(coding);
            decoder.feed(encoder.take());
            let made = decoder.step().unwrap();
            assert!(
                matches!(&made, crate::compress::decoder::Step::Made(bytes) if bytes == "hello"),
                "{coding:?} {made:?}"
            );
        }
    }

    #[test]
    fn windows_fit_the_body() {
        assert_eq!(Window::fitting(0), Window::STREAM);
        assert_eq!(Window::fitting(1 << 20), Window(21));
        assert_eq!(Window::fitting(usize::MAX), Window(22));
    }
}
