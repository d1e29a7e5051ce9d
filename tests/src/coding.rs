//! Content codings as others make and read them: by their libraries, without the edge's code.

use std::io::{Read, Write};

/// Encodes in `gzip`, `br` or `zstd`.
#[must_use]
pub fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(&mut encoded, flate2::Compression::default());
            encoder.write_all(plain).expect("memory takes everything");
            encoder.finish().expect("memory takes everything");
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(&mut encoded, 4_096, 5, 22);
            encoder.write_all(plain).expect("memory takes everything");
        }
        "zstd" => encoded = zstd::encode_all(plain, 3).expect("memory takes everything"),
        _ => panic!("no coding: {coding:?}"),
    }
    encoded
}

/// Reads what has this `Content-Encoding`, which may be none.
#[must_use]
pub fn decode(coding: &str, mut encoded: &[u8]) -> String {
    let mut text = String::new();
    let read = match coding {
        "" => encoded.read_to_string(&mut text),
        "gzip" => flate2::read::GzDecoder::new(encoded).read_to_string(&mut text),
        "br" => brotli::Decompressor::new(encoded, 4_096).read_to_string(&mut text),
        "zstd" => zstd::Decoder::new(encoded).and_then(|mut decoder| decoder.read_to_string(&mut text)),
        _ => panic!("no coding: {coding:?}"),
    };
    read.unwrap_or_else(|error| panic!("not {coding}: {error}"));
    text
}
