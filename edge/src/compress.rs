//! Content codings towards the viewer: what the edge encodes, after CloudFront's rules, and what it decodes.
//!
//! A complete entry is encoded once and the result kept beside it; while a larger entry still fills, each viewer gets its
//! own stream. What the origin has encoded goes out as it is to everybody who reads that coding, and decoded to the others: a piece at a
//! time and within bounds, for each of them anew, since hardly a viewer reads no gzip and their copy would be the largest of
//! all. What the origin forbids to transform, and codings that the edge does not know, go out as they are.

mod coders;
mod decoder;
mod encoder;
mod flow;
mod kinds;
mod negotiate;
mod plain;

pub use coders::{Coders, Uncoded};
pub use decoder::{Bounds, Decoder, Step, Unreadable};
pub use encoder::{Encoder, Window};
pub use flow::Flow;
pub use negotiate::{accepts, negotiate};
pub use plain::Plain;

use crate::headers;
use cache::control::Directives;
use cache::{Coding, CompressSettings, Entry};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};

/// The way from the stored body to the one that a viewer gets: decoded first, then encoded, either or neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    /// The origin's coding that is taken off.
    pub decode: Option<Coding>,
    /// The edge's coding that is put on.
    pub encode: Option<Coding>,
}

impl Form {
    /// The stored body itself.
    pub const STORED: Self = Self { decode: None, encode: None };
}

/// In which form a viewer gets an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The form.
    pub form: Form,
    /// Whether others may get, or may have got, another one.
    pub varies: bool,
}

/// Chooses the form of an entry with these header fields for a request.
#[must_use]
pub fn choose(
    request: &HeaderMap,
    entry: &Entry,
    headers: &HeaderMap,
    settings: &CompressSettings,
) -> Choice {
    if headers::has(headers, &CONTENT_ENCODING) {
        return choose_encoded(request, entry, headers, settings);
    }
    let eligibility = eligibility(entry, settings);
    let offered = match eligibility {
        Eligibility::Yes => negotiate(request, &settings.formats),
        Eligibility::No | Eligibility::Undecided => None,
    };
    let encode = offered.filter(|_| !negotiate::forbids_transforming(request));
    Choice { form: Form { decode: None, encode }, varies: eligibility != Eligibility::No }
}

/// Of what the origin has encoded. Whoever reads its coding gets it as it is, even where they would rather have another: it costs nothing,
/// and its ranges and its strong entity tag stay good.
fn choose_encoded(
    request: &HeaderMap,
    entry: &Entry,
    headers: &HeaderMap,
    settings: &CompressSettings,
) -> Choice {
    let Some(stored) = readable_coding(headers) else { return Choice { form: Form::STORED, varies: false } };
    if accepts(request, stored) || negotiate::forbids_transforming(request) {
        return Choice { form: Form::STORED, varies: true };
    }
    let is_worth = is_worth_it(entry.status(), headers) && fits(entry.length(), settings) == Eligibility::Yes;
    let encode = if is_worth { negotiate(request, &settings.formats) } else { None };
    Choice { form: Form { decode: Some(stored), encode }, varies: true }
}

/// The one coding of a body that the edge can take off and may: no list of several (RFC 9110 §8.4), no older name that archives
/// are sent under (`x-gzip`), no unknown one.
#[must_use]
pub fn readable_coding(headers: &HeaderMap) -> Option<Coding> {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter();
    let only = lines.next()?.to_str().ok()?;
    let coding = Coding::parse(only.trim()).filter(|_| lines.next().is_none())?;
    (!Directives::of_response(headers).no_transform).then_some(coding)
}

/// Whether an answer that one viewer asked for in its own codings is of use to no others: it is encoded, and in another way than
/// everybody's would be.
#[must_use]
pub fn is_for_one_viewer(headers: &HeaderMap, settings: &CompressSettings) -> bool {
    let is_everybodys = |coding| settings.from_origin.contains(&coding);
    headers.contains_key(CONTENT_ENCODING) && !readable_coding(headers).is_some_and(is_everybodys)
}

/// Whether a response is of the kind that gets compressed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eligibility {
    /// Never.
    No,
    /// Perhaps later: its length, which decides, is not known before all of it has come.
    Undecided,
    /// For viewers that accept it.
    Yes,
}

/// Whether an entry gets compressed, and so varies by `Accept-Encoding`.
fn eligibility(entry: &Entry, settings: &CompressSettings) -> Eligibility {
    match fits(entry.length(), settings) {
        fitting if fitting != Eligibility::No && entry.compressible(is_compressible) => fitting,
        _ => Eligibility::No,
    }
}

fn fits(length: Option<u64>, settings: &CompressSettings) -> Eligibility {
    let bounds = settings.min.as_u64()..=settings.max.as_u64();
    match length {
        _ if settings.formats.is_empty() => Eligibility::No,
        None => Eligibility::Undecided,
        Some(length) if bounds.contains(&length) => Eligibility::Yes,
        Some(_) => Eligibility::No,
    }
}

/// Whether an answer of this length in bytes is one whose whole body the edge may have to encode or decode.
#[must_use]
pub fn may_transform(headers: &HeaderMap, length: u64, settings: &CompressSettings) -> bool {
    let is_encoded = headers.contains_key(CONTENT_ENCODING);
    let is_fit = fits(Some(length), settings) == Eligibility::Yes;
    is_encoded || (is_fit && is_compressible(StatusCode::OK, headers))
}

/// What CloudFront compresses by status and type, unless the origin forbids it.
fn is_compressible(status: StatusCode, headers: &HeaderMap) -> bool {
    is_worth_it(status, headers) && !Directives::of_response(headers).no_transform
}

fn is_worth_it(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status, StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
        && kinds::has_compressible_type(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_known_coding_is_readable() {
        let coding = |lines| readable_coding(&headers(lines));
        assert_eq!(coding(&[("content-encoding", " GZIP ")]), Some(Coding::Gzip));
        assert_eq!(coding(&[("content-encoding", "zstd")]), Some(Coding::Zstd));
        for unreadable in [
            &[][..],
            &[("content-encoding", "gzip, br")],
            &[("content-encoding", "gzip"), ("content-encoding", "br")],
            &[("content-encoding", "x-gzip")],
            &[("content-encoding", "deflate")],
            &[("content-encoding", "")],
            &[("content-encoding", "br"), ("cache-control", "max-age=60, no-transform")],
        ] {
            assert_eq!(coding(unreadable), None, "{unreadable:?}");
        }
    }

    #[test]
    fn what_everybody_would_have_got_is_for_everybody() {
        let settings = CompressSettings { from_origin: vec![Coding::Br], ..CompressSettings::default() };
        for (coding, own) in [("br", false), ("gzip", true), ("deflate", true), ("br, br", true)] {
            assert_eq!(
                is_for_one_viewer(&headers(&[("content-encoding", coding)]), &settings),
                own,
                "{coding}"
            );
        }
        assert!(!is_for_one_viewer(&HeaderMap::new(), &settings));
    }
}
