//! Large objects in slices: which are needed, what ties them together, and whether what came is one of them. All of it pure.
//!
//! A sliced object is a *record* — an entry with the head of the whole object and no body — and its slices, each an entry of its own.
//! The record names the slices by an id drawn when it was made: without the record, nobody finds them.

use crate::entry::Entry;
use crate::policy::Freshness;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// The field that makes an entry a record: the id of its slices, their size and the object's in bytes, and the validator that they
/// share. It never crosses the edge, in either direction.
pub const SLICES: HeaderName = HeaderName::from_static("selvedge-slices");

/// A slice is good for as long as its record says so; this is only how long it may lie around without one.
const SLICE_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a record says about its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sliced {
    id: u128,
    size: u64,
    total: u64,
    validator: HeaderValue,
}

/// One slice of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Counted from 0.
    pub index: u64,
    /// The bytes of the object that it holds.
    pub bytes: Range<u64>,
}

/// Whether an answer is the slice that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is, and of the same version of the object.
    Same,
    /// It is of another version, or the object is no longer there: the record no longer holds.
    Changed,
    /// The origin failed; this says nothing about the object.
    Failed,
}

impl Sliced {
    /// An object that may be stored in slices of `size` bytes under the name of `id`: its length is known and more than one slice,
    /// and its headers have a strong validator.
    #[must_use]
    pub fn new(id: u128, size: u64, total: u64, headers: &HeaderMap) -> Option<Self> {
        let validator = strong_validator(headers)?.clone();
        (0 < size && size < total).then_some(Self { id, size, total, validator })
    }

    /// What an entry says, if it is a record.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        Self::read(&entry.header(&SLICES)?)
    }

    /// The same for the value of the field.
    #[must_use]
    pub fn read(mark: &HeaderValue) -> Option<Self> {
        let mut words = mark.to_str().ok()?.splitn(4, ' ');
        let id = u128::from_str_radix(words.next()?, 16).ok()?;
        let (size, total) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let validator = HeaderValue::from_str(words.next()?).ok()?;
        (0 < size && size < total).then_some(Self { id, size, total, validator })
    }

    /// Makes the head of an answer that of the record: of the whole object, and marked.
    pub fn mark(&self, headers: &mut HeaderMap) {
        headers.remove(CONTENT_RANGE);
        headers.insert(CONTENT_LENGTH, self.total.into());
        let numbers = format!("{:032x} {} {} ", self.id, self.size, self.total);
        // The validator as it was: what a 304 brings later does not prove anything about slices that are stored already.
        if let Ok(mark) = HeaderValue::from_bytes(&[numbers.as_bytes(), self.validator.as_bytes()].concat()) {
            headers.insert(SLICES, mark);
        }
    }

    /// The length of the object in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many slices the object has, stored or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total.div_ceil(self.size)
    }

    /// What `If-Range` asks with (RFC 9110 §13.1.5).
    #[must_use]
    pub fn validator(&self) -> &HeaderValue {
        &self.validator
    }

    /// What a slice is stored under, below the object's own key.
    #[must_use]
    pub fn name(&self, slice: &Slice) -> String {
        format!("{:032x}/{}", self.id, slice.index)
    }

    /// The slice that holds the byte at a position; `None` beyond the end.
    #[must_use]
    pub fn slice_at(&self, position: u64) -> Option<Slice> {
        let start = position - position % self.size;
        let bytes = start..start.saturating_add(self.size).min(self.total);
        (position < self.total).then_some(Slice { index: position / self.size, bytes })
    }

    /// Whether an answer to a request for a slice is that slice. What an answer leaves out that `If-Range` has already proved is no
    /// difference (RFC 9110 §15.3.7); the entity tag is never left out.
    #[must_use]
    pub fn check(&self, slice: &Slice, status: StatusCode, headers: &HeaderMap) -> Match {
        if status.is_server_error() {
            return Match::Failed;
        }
        let is_same_version = match headers.get(ETAG).or_else(|| headers.get(LAST_MODIFIED)) {
            Some(validator) => *validator == self.validator,
            None => !self.validator.as_bytes().starts_with(b"\""),
        };
        let came = content_range(headers);
        match is_same_version && status == StatusCode::PARTIAL_CONTENT {
            true if came == Some((slice.bytes.clone(), self.total)) => Match::Same,
            _ => Match::Changed,
        }
    }
}

/// The freshness of a slice stored at `now`.
#[must_use]
pub fn slice_freshness(now: SystemTime) -> Freshness {
    Freshness {
        lifetime: SLICE_LIFETIME,
        initial_age: Duration::ZERO,
        stored_at: now,
        while_revalidate: Duration::ZERO,
        if_error: Duration::ZERO,
    }
}

/// The validator that proves two answers equal byte for byte: a strong entity tag, or where there is none a date that is strong
/// (RFC 9110 §8.8.2.2: the object was sent at least a second after it last changed).
#[must_use]
pub fn strong_validator(headers: &HeaderMap) -> Option<&HeaderValue> {
    if let Some(etag) = headers.get(ETAG) {
        return Some(etag).filter(|etag| etag.as_bytes().starts_with(b"\""));
    }
    let modified = headers.get(LAST_MODIFIED)?;
    let sent = date(headers.get(DATE)?)?;
    let since = sent.duration_since(date(modified)?).ok()?;
    (since >= Duration::from_secs(1)).then_some(modified)
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// The part and the length of the whole that `Content-Range` names (RFC 9110 §14.4); `None` where it does not name both.
#[must_use]
pub fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let mut fields = headers.get_all(CONTENT_RANGE).iter();
    let field = fields.next().filter(|_| fields.next().is_none())?.to_str().ok()?;
    let (unit, rest) = field.split_once(' ')?;
    let (part, total) = rest.trim().split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    let is_possible = unit.eq_ignore_ascii_case("bytes") && first <= last && last < total;
    is_possible.then(|| (first..last + 1, total))
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
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

    fn object(size: u64, total: u64) -> Sliced {
        Sliced::new(7, size, total, &headers(&[("etag", "\"a\"")])).unwrap()
    }

    #[test]
    fn every_byte_is_in_one_slice() {
        let object = object(10, 35);
        assert_eq!(object.count(), 4);
        for (position, index, bytes) in
            [(0, 0, 0..10), (9, 0, 0..10), (10, 1, 10..20), (29, 2, 20..30), (30, 3, 30..35), (34, 3, 30..35)]
        {
            assert_eq!(object.slice_at(position), Some(Slice { index, bytes }), "{position}");
        }
        assert_eq!(object.slice_at(35), None);
        assert_eq!(Sliced { total: u64::MAX, ..object }.slice_at(u64::MAX), None);
    }

    #[test]
    fn a_record_is_read_back_as_it_was_marked() {
        let object = object(10, 35);
        let mut lines = headers(&[("content-range", "bytes 0-9/35"), ("content-length", "10")]);
        object.mark(&mut lines);
        assert_eq!(
            (&lines[CONTENT_LENGTH], lines.get(CONTENT_RANGE)),
            (&HeaderValue::from_static("35"), None)
        );
        assert_eq!(Sliced::read(&lines[SLICES]), Some(object));
        for broken in ["", "7 10 35", "x 10 35 \"a\"", "7 0 35 \"a\"", "7 35 10 \"a\"", "7 10"] {
            assert_eq!(Sliced::read(&broken.parse().unwrap()), None, "{broken}");
        }
    }

    #[test]
    fn slices_have_names_of_their_own() {
        let (one, other) = (object(10, 35), Sliced { id: 8, ..object(10, 35) });
        let (first, second) = (one.slice_at(0).unwrap(), one.slice_at(10).unwrap());
        assert_ne!(one.name(&first), one.name(&second));
        assert_ne!(one.name(&first), other.name(&first));
    }

    #[test]
    fn what_fits_one_slice_or_has_no_strong_validator_is_not_sliced() {
        let strong = headers(&[("etag", "\"a\"")]);
        assert_eq!(Sliced::new(7, 10, 10, &strong), None);
        assert_eq!(Sliced::new(7, 0, 10, &strong), None);
        assert!(Sliced::new(7, 10, 11, &strong).is_some());
        assert_eq!(Sliced::new(7, 10, 11, &headers(&[("etag", "W/\"a\"")])), None);
    }

    #[test]
    fn dates_are_strong_when_the_object_was_sent_later() {
        let at = |second: u8| format!("Tue, 14 Nov 2023 22:13:{second} GMT");
        for (modified, sent, expected) in [(20, Some(21), true), (20, Some(20), false), (21, Some(20), false)]
        {
            let mut lines = headers(&[("last-modified", &at(modified))]);
            sent.map(|sent| lines.insert(DATE, at(sent).parse().unwrap()));
            assert_eq!(strong_validator(&lines).is_some(), expected, "{modified} {sent:?}");
        }
        assert_eq!(strong_validator(&headers(&[("last-modified", &at(20))])), None);
        let both = headers(&[("etag", "W/\"a\""), ("last-modified", &at(20)), ("date", &at(30))]);
        assert_eq!(strong_validator(&both), None, "a weak tag says that the bytes may differ");
    }

    #[test]
    fn only_the_very_slice_of_the_very_version_is_taken() {
        let object = object(10, 35);
        let slice = object.slice_at(10).unwrap();
        let tag = ("etag", "\"a\"");
        for (status, lines, expected) in [
            (206, vec![tag, ("content-range", "bytes 10-19/35")], Match::Same),
            (206, vec![tag, ("content-range", "bytes 10-18/35")], Match::Changed),
            (206, vec![tag, ("content-range", "bytes 0-9/35")], Match::Changed),
            (206, vec![tag, ("content-range", "bytes 10-19/36")], Match::Changed),
            (206, vec![tag, ("content-range", "bytes 10-19/*")], Match::Changed),
            (206, vec![("etag", "\"b\""), ("content-range", "bytes 10-19/35")], Match::Changed),
            (206, vec![("content-range", "bytes 10-19/35")], Match::Changed),
            (206, vec![tag], Match::Changed),
            (200, vec![tag, ("content-range", "bytes 10-19/35")], Match::Changed),
            (404, vec![], Match::Changed),
            (416, vec![], Match::Changed),
            (503, vec![], Match::Failed),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(object.check(&slice, status, &headers(&lines)), expected, "{status} {lines:?}");
        }
    }

    #[test]
    fn a_date_that_if_range_has_proved_may_be_left_out() {
        let date = "Tue, 14 Nov 2023 22:13:20 GMT";
        let dated = headers(&[("last-modified", date), ("date", "Tue, 14 Nov 2023 23:13:20 GMT")]);
        let object = Sliced::new(7, 10, 35, &dated).unwrap();
        let slice = object.slice_at(0).unwrap();
        let range = ("content-range", "bytes 0-9/35");
        let other = "Tue, 14 Nov 2023 22:13:21 GMT";
        for (lines, expected) in [
            (vec![range], Match::Same),
            (vec![range, ("last-modified", date)], Match::Same),
            (vec![range, ("last-modified", other)], Match::Changed),
            (vec![range, ("last-modified", date), ("etag", "\"new\"")], Match::Changed),
        ] {
            assert_eq!(
                object.check(&slice, StatusCode::PARTIAL_CONTENT, &headers(&lines)),
                expected,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_content_range_names_part_and_whole() {
        for (field, expected) in [
            ("bytes 0-9/35", Some((0..10, 35))),
            ("Bytes 34-34/35", Some((34..35, 35))),
            ("bytes 0-35/35", None),
            ("bytes 9-0/35", None),
            ("bytes */35", None),
            ("bytes 0-9/*", None),
            ("bytes 0-9", None),
            ("items 0-9/35", None),
            ("bytes +0-9/35", None),
            ("bytes 0-18446744073709551615/18446744073709551616", None),
            ("", None),
        ] {
            assert_eq!(content_range(&headers(&[("content-range", field)])), expected, "{field}");
        }
    }
}
