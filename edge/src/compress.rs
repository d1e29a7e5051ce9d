//! Content codings towards the viewer, after CloudFront's rules.
//!
//! A complete entry is encoded once and the result kept beside it; while a larger entry still fills, each viewer gets its
//! own stream. Anything that the origin has encoded itself, or said not to transform, goes out as it is.

use crate::body::BodyError;
use bytes::{BufMut, Bytes, BytesMut};
use cache::control::{Directives, split_list};
use cache::{Coding, CompressSettings, Entry, Key, Reader, Store};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use std::fmt;
use std::io::Write;
use std::task::{Context, Poll};

/// Larger bodies are encoded on a thread of their own, so that other requests of the core go on.
const INLINE_MAX: usize = 32 * 1024;

/// What gzip work costs most and gains least above: zlib's usual compromise.
const LEVEL: Compression = Compression::new(6);

/// Whether a response is of the kind that gets compressed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    /// Never.
    No,
    /// Perhaps later: its length, which decides, is not known before all of it has come.
    Undecided,
    /// For viewers that accept it.
    Yes,
}

/// Whether an entry gets compressed, and so varies by `Accept-Encoding`.
#[must_use]
pub fn eligibility(entry: &Entry, settings: &CompressSettings) -> Eligibility {
    let bounds = settings.min.as_u64()..=settings.max.as_u64();
    let length = entry.length();
    let is_fit = !settings.formats.is_empty() && length.is_none_or(|length| bounds.contains(&length));
    match length {
        _ if !is_fit || !entry.compressible(is_compressible) => Eligibility::No,
        None => Eligibility::Undecided,
        Some(_) => Eligibility::Yes,
    }
}

/// What CloudFront compresses by status and type, unless the origin did it already or forbids it.
fn is_compressible(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status, StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
        && !headers.contains_key(CONTENT_ENCODING)
        && has_compressible_type(headers)
        && !Directives::of_response(headers).no_transform
}

/// The coding that this viewer gets (RFC 9110 §12.5.3): the first configured one that it accepts.
#[must_use]
pub fn negotiate(request: &HeaderMap, settings: &CompressSettings) -> Option<Coding> {
    let accepted = |coding: &Coding| weight(request, coding.token()) > 0;
    settings.formats.iter().copied().find(accepted)
}

/// The weight that a request gives a coding, in thousandths; 0 is "not acceptable".
fn weight(request: &HeaderMap, token: &str) -> u16 {
    let mut any = 0;
    for line in request.get_all(ACCEPT_ENCODING) {
        for member in line.to_str().map(split_list).into_iter().flatten() {
            let mut parts = member.split(';');
            let name = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(quality).unwrap_or(1000);
            match name {
                "*" => any = weight,
                _ if name.eq_ignore_ascii_case(token) => return weight,
                _ => {}
            }
        }
    }
    any
}

/// RFC 9110 §12.4.2: `q=0.5` as thousandths; what cannot be read is not acceptable.
fn quality(parameter: &str) -> Option<u16> {
    let value = parameter.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    let read = value.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    Some(read.map_or(0, |weight| (weight * 1000.0) as u16))
}

/// The content types that CloudFront compresses.
fn has_compressible_type(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    COMPRESSIBLE.contains(&media.as_str())
}

const COMPRESSIBLE: &[&str] = &[
    "application/dash+xml",
    "application/eot",
    "application/font",
    "application/font-sfnt",
    "application/javascript",
    "application/json",
    "application/opentype",
    "application/otf",
    "application/pdf",
    "application/pkcs7-mime",
    "application/protobuf",
    "application/rss+xml",
    "application/truetype",
    "application/ttf",
    "application/vnd.apple.mpegurl",
    "application/vnd.mapbox-vector-tile",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "application/x-font-opentype",
    "application/x-font-truetype",
    "application/x-font-ttf",
    "application/x-httpd-cgi",
    "application/x-javascript",
    "application/x-mpegurl",
    "application/x-opentype",
    "application/x-otf",
    "application/x-perl",
    "application/x-ttf",
    "font/eot",
    "font/opentype",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/js",
    "text/plain",
    "text/richtext",
    "text/tab-separated-values",
    "text/xml",
    "text/x-component",
    "text/x-java-source",
    "text/x-script",
    "vnd.apple.mpegurl",
];

/// The encoded form of a complete entry: made once, kept with the entry, weighed in the budget.
///
/// # Errors
/// When the encoder fails, which it only does when memory runs out; the caller sends the body as it is.
pub async fn kept(
    store: &Store,
    key: Option<&Key>,
    entry: &Entry,
    whole: &Bytes,
    coding: Coding,
) -> std::io::Result<Bytes> {
    let slot = entry.encoded(coding);
    if let Some(encoded) = slot.get() {
        return Ok(encoded.clone());
    }
    let encoded = slot.get_or_try_init(|| encode(whole.clone())).await?.clone();
    if let Some(key) = key {
        store.reweigh(key);
    }
    Ok(encoded)
}

async fn encode(whole: Bytes) -> std::io::Result<Bytes> {
    if whole.len() <= INLINE_MAX {
        return gzip(&whole);
    }
    tokio::task::spawn_blocking(move || gzip(&whole)).await.map_err(std::io::Error::other)?
}

fn gzip(whole: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(whole.len() / 3), LEVEL);
    encoder.write_all(whole)?;
    let mut encoded = encoder.finish()?;
    encoded.shrink_to_fit();
    Ok(encoded.into())
}

/// Compresses a body while it arrives. What has arrived is flushed whenever there is nothing more to read at once, so that
/// a viewer never waits for bytes that the edge already has.
pub struct Encoder {
    reader: Reader,
    gzip: Option<GzEncoder<bytes::buf::Writer<BytesMut>>>,
    unflushed: bool,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Encoder").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Compresses what the reader gives.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        let gzip = Some(GzEncoder::new(BytesMut::new().writer(), LEVEL));
        Self { reader, gzip, unflushed: false }
    }

    /// The next encoded bytes.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(gzip) = &mut self.gzip else { return Poll::Ready(None) };
            let ready = gzip.get_mut().get_mut();
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(ready.split().freeze())));
            }
            let written = match self.reader.poll_next(context) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.unflushed = true;
                    gzip.write_all(&chunk)
                }
                Poll::Ready(Some(Err(truncated))) => return Poll::Ready(Some(Err(truncated.into()))),
                Poll::Ready(None) => return Poll::Ready(self.finish()),
                Poll::Pending if self.unflushed => {
                    self.unflushed = false;
                    gzip.flush()
                }
                Poll::Pending => return Poll::Pending,
            };
            if let Err(error) = written {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
    }

    fn finish(&mut self) -> Option<Result<Bytes, BodyError>> {
        let rest = self.gzip.take()?.finish();
        Some(rest.map(|writer| writer.into_inner().freeze()).map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn accepts(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
        negotiate(&headers, &CompressSettings::default()).is_some()
    }

    #[test]
    fn weights_decide() {
        for value in ["gzip", "GZIP", "br, gzip;q=0.5", "*", "gzip; q=0.001", "identity, *;q=0.1"] {
            assert!(accepts(value), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *", "gzip;q=nan", "gzip;q=2", "identity"] {
            assert!(!accepts(value), "{value}");
        }
        assert!(negotiate(&HeaderMap::new(), &CompressSettings::default()).is_none());
    }

    #[test]
    fn types_are_compared_without_parameters_and_case() {
        for (value, expected) in [
            ("text/html; charset=utf-8", true),
            ("Text/CSS", true),
            ("image/jpeg", false),
            ("text/event-stream", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(has_compressible_type(&headers), expected, "{value}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let text = "selvedge ".repeat(10_000);
        let encoded = gzip(text.as_bytes()).unwrap();
        assert!(encoded.len() < text.len() / 10);
        let mut decoded = String::new();
        flate2::read::GzDecoder::new(&encoded[..]).read_to_string(&mut decoded).unwrap();
        assert_eq!(decoded, text);
    }
}
