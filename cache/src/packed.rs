//! The head of a stored response in few bytes: what a million small objects cost is mostly their heads.
//!
//! One allocation holds what selects the response, the path it is stored under and its header fields. A field begins with one
//! byte for a well-known name and the form of its value: dates take four bytes, numbers what they need, all else is as it was
//! said.

use crate::entry::EDGE_ONLY;
use crate::tag::Tag;
use crate::vary::Selection;
use bytes::BytesMut;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Names that take one byte, beside those of [`EDGE_ONLY`]. Stored heads outlive the program that wrote them: append only.
static KNOWN: [HeaderName; 38] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::DATE,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::EXPIRES,
    header::AGE,
    header::VARY,
    header::SERVER,
    header::VIA,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LOCATION,
    header::CONTENT_SECURITY_POLICY,
    header::ACCEPT_RANGES,
    header::LOCATION,
    header::LINK,
    header::SET_COOKIE,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::STRICT_TRANSPORT_SECURITY,
    header::REFERRER_POLICY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
    header::ALT_SVC,
    header::PRAGMA,
    header::CACHE_STATUS,
    HeaderName::from_static("x-cache"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("cross-origin-resource-policy"),
];

/// The code of the first of [`KNOWN`]. Those of [`EDGE_ONLY`] have the codes before.
const FIRST_KNOWN: u8 = 16;

/// Says that the name follows. Codes of names take the lower six bits of a byte.
const OTHER: u8 = 63;

/// Forms of values, in the upper two bits.
const TEXT: u8 = 0;
const DATE: u8 = 1 << 6;
const NUMBER: u8 = 2 << 6;
const FORM: u8 = 3 << 6;

/// By how many bytes a value is longer than its stored form, dates aside: those are few, and their head has a second buffer at worst.
const LONGER: usize = 8;

/// A head in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    pub(crate) fn new(selection: &Selection, path: &str, tags: &[Tag], headers: &HeaderMap) -> Self {
        let mut bytes = Vec::with_capacity(256);
        selection.write(&mut bytes);
        write_slice(&mut bytes, path.as_bytes());
        write_tags(&mut bytes, tags);
        write_number(&mut bytes, headers.len());
        for (name, value) in headers {
            let (code, value) = (code_of(name), Value::of(value));
            bytes.push(code | value.form());
            if code == OTHER {
                write_slice(&mut bytes, name.as_str().as_bytes());
            }
            value.write(&mut bytes);
        }
        Self(bytes.into())
    }

    /// The same path and selection with other tags and fields.
    pub(crate) fn with_headers(&self, tags: &[Tag], headers: &HeaderMap) -> Self {
        Self::new(&self.selection(), self.path(), tags, headers)
    }

    /// The stored form. It outlives the program: what was written by one can be read by the next.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What [`Self::as_bytes`] gave.
    pub(crate) fn from_stored(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What the response was selected by.
    pub(crate) fn selection(&self) -> Selection {
        Selection::read(&mut Cursor(&self.0)).unwrap_or_default()
    }

    /// Whether any request with the right key selects it: most responses do not vary.
    pub(crate) fn selects_all(&self) -> bool {
        self.0.first() == Some(&0)
    }

    /// Path, query and the keyed request fields: the part of the key after the authority.
    pub(crate) fn path(&self) -> &str {
        let mut cursor = Cursor(&self.0);
        let path = Selection::read(&mut cursor).and_then(|_| cursor.slice());
        path.and_then(|path| std::str::from_utf8(path).ok()).unwrap_or_default()
    }

    /// The purge tags.
    pub(crate) fn tags(&self) -> impl ExactSizeIterator<Item = Tag> {
        let mut cursor = self.after_path();
        cursor.slice().unwrap_or_default().chunks_exact(Tag::BYTES).map(Tag::read)
    }

    /// The fields for viewers, with room for so many more.
    pub(crate) fn viewer_headers(&self, room: usize) -> HeaderMap {
        self.headers(room, |name| !is_edge_only(name))
    }

    /// The fields for the edge alone.
    pub(crate) fn edge_only(&self) -> HeaderMap {
        self.headers(0, is_edge_only)
    }

    /// All fields, as the origin said them.
    pub(crate) fn all_headers(&self) -> HeaderMap {
        self.headers(0, |_| true)
    }

    /// The first field of a name.
    pub(crate) fn header(&self, wanted: &HeaderName) -> Option<HeaderValue> {
        self.fields().1.find(|(name, _)| name.is(wanted)).and_then(|(_, value)| value.read())
    }

    fn headers(&self, room: usize, wanted: impl Fn(&Name<'_>) -> bool) -> HeaderMap {
        let (count, fields) = self.fields();
        let mut headers = HeaderMap::with_capacity(count + room);
        // Values share one buffer: they are made and copied together, and lie side by side where they are read.
        let mut text = BytesMut::with_capacity(self.len() + LONGER * count);
        for (name, value) in fields.filter(|(name, _)| wanted(name)) {
            value.write_text(&mut text);
            let value = HeaderValue::from_maybe_shared(text.split().freeze());
            if let (Some(name), Ok(value)) = (name.read(), value) {
                headers.append(name, value);
            }
        }
        headers
    }

    fn after_path(&self) -> Cursor<'_> {
        let mut cursor = Cursor(&self.0);
        if self.selects_all() {
            let _ = cursor.byte();
        } else {
            let _ = Selection::read(&mut cursor);
        }
        let _path = cursor.slice();
        cursor
    }

    fn fields(&self) -> (usize, Fields<'_>) {
        let mut cursor = self.after_path();
        let _tags = cursor.slice();
        // A field takes two bytes at least: a larger count is not true.
        let count = cursor.number().unwrap_or_default().min(cursor.0.len() / 2);
        (count, Fields(cursor))
    }
}

fn write_tags(bytes: &mut Vec<u8>, tags: &[Tag]) {
    write_number(bytes, tags.len() * Tag::BYTES);
    tags.iter().for_each(|tag| bytes.extend_from_slice(&tag.bytes()));
}

struct Fields<'a>(Cursor<'a>);

impl<'a> Iterator for Fields<'a> {
    type Item = (Name<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let cursor = &mut self.0;
        let first = cursor.byte()?;
        let name = match first & !FORM {
            OTHER => Name::Other(cursor.slice()?),
            code => Name::Known(code),
        };
        let value = match first & FORM {
            DATE => Value::Date(u32::from_le_bytes(cursor.take(4)?.try_into().ok()?)),
            NUMBER => Value::Number(cursor.number()?),
            _ => Value::Text(cursor.slice()?),
        };
        Some((name, value))
    }
}

fn code_of(name: &HeaderName) -> u8 {
    let index = |names: &[HeaderName]| names.iter().position(|known| known == name).map(|index| index as u8);
    index(&EDGE_ONLY).or_else(|| Some(FIRST_KNOWN + index(&KNOWN)?)).unwrap_or(OTHER)
}

enum Name<'a> {
    Known(u8),
    Other(&'a [u8]),
}

fn is_edge_only(name: &Name<'_>) -> bool {
    matches!(name, Name::Known(code) if *code < FIRST_KNOWN)
}

impl Name<'_> {
    fn is(&self, name: &HeaderName) -> bool {
        match self {
            Self::Known(_) => self.read().as_ref() == Some(name),
            Self::Other(text) => name.as_str().as_bytes() == *text,
        }
    }

    fn read(&self) -> Option<HeaderName> {
        match self {
            Self::Known(code) if *code < FIRST_KNOWN => EDGE_ONLY.get(usize::from(*code)).cloned(),
            Self::Known(code) => KNOWN.get(usize::from(code - FIRST_KNOWN)).cloned(),
            Self::Other(text) => HeaderName::from_bytes(text).ok(),
        }
    }
}

enum Value<'a> {
    Date(u32),
    Number(usize),
    Text(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The smallest form from which the very same bytes come back.
    fn of(value: &'a HeaderValue) -> Self {
        if let Some(seconds) = whole_date(value) {
            return Self::Date(seconds);
        }
        match whole_number(value) {
            Some(number) => Self::Number(number),
            None => Self::Text(value.as_bytes()),
        }
    }

    fn form(&self) -> u8 {
        match self {
            Self::Date(_) => DATE,
            Self::Number(_) => NUMBER,
            Self::Text(_) => TEXT,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Date(seconds) => bytes.extend_from_slice(&seconds.to_le_bytes()),
            Self::Number(number) => write_number(bytes, *number),
            Self::Text(text) => write_slice(bytes, text),
        }
    }

    fn write_text(&self, text: &mut BytesMut) {
        match self {
            Self::Text(said) => text.extend_from_slice(said),
            Self::Number(number) => text.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Self::Date(seconds) => text.extend_from_slice(date_text(*seconds).as_bytes()),
        }
    }

    fn read(&self) -> Option<HeaderValue> {
        let mut text = BytesMut::new();
        self.write_text(&mut text);
        HeaderValue::from_maybe_shared(text.freeze()).ok()
    }
}

/// A value that is a decimal number of at most nine digits, without leading zeros, and nothing else.
fn whole_number(value: &HeaderValue) -> Option<usize> {
    let text = value.to_str().ok().filter(|text| (1..=9).contains(&text.len()))?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok())?
}

/// The seconds since 1970 of a value that is a date in the preferred form (RFC 9110 §5.6.7) and nothing else.
fn whole_date(value: &HeaderValue) -> Option<u32> {
    let text = value.to_str().ok().filter(|text| text.len() == 29 && text.ends_with(" GMT"))?;
    let date = httpdate::parse_http_date(text).ok()?;
    let seconds = u32::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    (date_text(seconds) == text).then_some(seconds)
}

fn date_text(seconds: u32) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into()))
}

/// Reads what the `write_` functions wrote; `None` where it ends too early.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Seven bits a byte, the lowest first (LEB128).
    pub(crate) fn number(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn slice(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }
}

pub(crate) fn write_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub(crate) fn write_slice(bytes: &mut Vec<u8>, slice: &[u8]) {
    write_number(bytes, slice.len());
    bytes.extend_from_slice(slice);
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

    fn request_in_german() -> HeaderMap {
        headers(&[("accept-language", "de")])
    }

    #[test]
    fn what_is_packed_comes_back() {
        let all = headers(&[
            ("content-type", "text/plain"),
            ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
            ("expires", "Tuesday, 14-Nov-23 22:13:20 GMT"),
            ("last-modified", "Wed, 14 Nov 2023 22:13:20 GMT"),
            ("x-own", "one"),
            ("x-own", "two"),
            ("x-empty", ""),
            ("content-length", "1024"),
            ("age", "0"),
            ("x-number", "007"),
            ("x-number", "9999999999"),
            ("x-number", "+1"),
            ("surrogate-key", "a b"),
            ("vary", "accept-language"),
        ]);
        let selection = Selection::of(&request_in_german(), &all);
        let tags = [Tag::of(b"a"), Tag::of(b"b")];
        let packed = Packed::new(&selection, "/a?b=c\n", &tags, &all);
        assert_eq!(packed.tags().collect::<Vec<_>>(), tags);
        assert_eq!(packed.path(), "/a?b=c\n");
        assert_eq!(packed.selection(), selection);
        assert!(!packed.selects_all());
        assert_eq!(packed.all_headers(), all);
        assert_eq!(packed.edge_only(), headers(&[("surrogate-key", "a b")]));
        assert_eq!(packed.viewer_headers(3).get_all("x-own").iter().count(), 2);
        assert!(!packed.viewer_headers(0).contains_key("surrogate-key"));
        assert_eq!(packed.header(&header::DATE).unwrap(), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(packed.header(&header::ETAG), None);
        let renewed = packed.with_headers(&tags[1..], &headers(&[("etag", "\"b\"")]));
        assert_eq!(renewed.tags().collect::<Vec<_>>(), tags[1..]);
        assert_eq!((renewed.path(), renewed.selection()), ("/a?b=c\n", selection));
        assert_eq!(renewed.all_headers(), headers(&[("etag", "\"b\"")]));
    }

    #[test]
    fn an_ordinary_head_is_small() {
        let all = headers(&[
            ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
            ("content-type", "text/plain"),
            ("content-length", "1024"),
            ("cache-control", "max-age=3600"),
            ("etag", "\"0000001\""),
        ]);
        let packed = Packed::new(&Selection::default(), "/objects/0000001\n", &[], &all);
        assert!(packed.selects_all());
        assert!(packed.len() <= 80, "{}", packed.len());
        assert_eq!(packed.all_headers(), all);
    }

    #[test]
    fn numbers_of_every_length_come_back() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, usize::from(u16::MAX), 1 << 30] {
            let mut bytes = Vec::new();
            write_number(&mut bytes, number);
            assert_eq!(Cursor(&bytes).number(), Some(number));
        }
        assert_eq!(Cursor(&[0x80; 9]).number(), None);
    }

    #[test]
    fn a_head_that_is_cut_off_gives_what_is_there_and_never_panics() {
        let all = headers(&[("content-type", "text/plain"), ("x-own", "one"), ("etag", "\"a\"")]);
        let whole = Packed::new(&Selection::of(&request_in_german(), &all), "/a\n", &[Tag::of(b"a")], &all);
        for length in 0..whole.len() {
            let cut = Packed(whole.0[..length].into());
            assert!(cut.all_headers().len() <= 3);
            let _ = (cut.path(), cut.selection(), cut.header(&header::ETAG), cut.tags().count());
        }
    }
}
