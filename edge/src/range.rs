//! Ranges of a body (RFC 9110 §14): what a viewer asks for, and what of it it gets.
//!
//! An answer to many ranges never costs more than the whole body would: no byte of it is sent twice (CVE-2011-3192, RFC 9110 §17.15).

use crate::body::{Body, Chain};
use crate::headers;
use http::header::RANGE;
use http::{HeaderMap, HeaderValue};
use std::fmt::Write;
use std::ops::Range;

/// The ranges of a `Range` field as they were asked for, before the length of the body is known. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges(Vec<Span>);

/// One member of the field (RFC 9110 §14.1.2), in bytes. Positions beyond what a number can hold are its largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// From a first position to the end of the body.
    From(u64),
    /// From a first position to a last, which belongs to it.
    Between(u64, u64),
    /// So many at the end.
    Last(u64),
}

/// What a viewer gets of a body whose length is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// One part, never empty: a plain 206.
    Part(Range<u64>),
    /// Several parts, none of them empty and no two with a byte in common: a `multipart/byteranges`.
    Parts(Vec<Range<u64>>),
    /// Nothing that was asked for is there: 416.
    Unsatisfiable,
}

impl Ranges {
    /// What a request asks for. `None` where there is no `Range`, several fields of that name, another unit, more than `most`
    /// ranges, or anything that cannot be read: the field is then ignored (RFC 9110 §14.2).
    #[must_use]
    pub fn of(request: &HeaderMap, most: usize) -> Option<Self> {
        if !headers::has(request, &RANGE) {
            return None;
        }
        let mut fields = request.get_all(RANGE).iter();
        let only = fields.next().filter(|_| fields.next().is_none())?;
        Self::read(only.to_str().ok()?, most)
    }

    /// The same for the value of the field.
    #[must_use]
    pub fn read(field: &str, most: usize) -> Option<Self> {
        let (unit, members) = field.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        // RFC 9110 §5.6.1.2: empty members of a list do not count.
        let members = members.split(',').map(str::trim).filter(|member| !member.is_empty());
        let spans = members.map(Span::read).take(most.saturating_add(1)).collect::<Option<Vec<_>>>()?;
        (1..=most).contains(&spans.len()).then_some(Self(spans))
    }

    /// The members, in the order in which they were asked for.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// What of a body of `total` bytes is wanted, in the order asked for. Two ranges that overlap become one; where more do,
    /// nobody means well by it, and the whole goes out once (RFC 9110 §14.2).
    #[must_use]
    pub fn within(&self, total: u64) -> Wanted {
        let mut parts: Vec<Range<u64>> = Vec::with_capacity(self.0.len());
        let mut overlaps = 0;
        for part in self.0.iter().filter_map(|span| span.within(total)) {
            let is_shared = |other: &Range<u64>| other.start < part.end && part.start < other.end;
            overlaps += parts.iter().filter(|other| is_shared(other)).count();
            if overlaps > 1 {
                return Wanted::Whole;
            }
            match parts.iter_mut().find(|other| is_shared(other)) {
                Some(other) => *other = other.start.min(part.start)..other.end.max(part.end),
                None => parts.push(part),
            }
        }
        match parts.pop() {
            None => Wanted::Unsatisfiable,
            Some(only) if parts.is_empty() => Wanted::Part(only),
            Some(last) => {
                parts.push(last);
                Wanted::Parts(parts)
            }
        }
    }
}

impl Span {
    fn read(member: &str) -> Option<Self> {
        let (first, last) = member.split_once('-')?;
        match (number(first.trim_end()), number(last.trim_start())) {
            (Some(first), Some(last)) if first <= last => Some(Self::Between(first, last)),
            (Some(first), None) if last.is_empty() => Some(Self::From(first)),
            (None, Some(count)) if first.is_empty() => Some(Self::Last(count)),
            _ => None,
        }
    }

    /// The part of a body of `total` bytes; `None` where it has none of it.
    fn within(&self, total: u64) -> Option<Range<u64>> {
        let part = match *self {
            Self::From(first) => first..total,
            Self::Between(first, last) => first..last.saturating_add(1).min(total),
            Self::Last(count) => total.saturating_sub(count)..total,
        };
        (!part.is_empty()).then_some(part)
    }
}

fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // It only fails when there are too many digits.
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The value of `Content-Range` for a part of a body of `total` bytes (RFC 9110 §14.4).
#[must_use]
pub fn content_range(part: &Range<u64>, total: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("bytes {}-{}/{total}", part.start, part.end.checked_sub(1)?)).ok()
}

/// A `multipart/byteranges` body (RFC 9110 §14.6) and the content type that it is sent with. `body_of` gives the bytes of a part; they
/// are not copied.
#[must_use]
pub fn multipart(
    parts: &[Range<u64>],
    total: u64,
    content_type: Option<&HeaderValue>,
    mut body_of: impl FnMut(&Range<u64>) -> Option<Body>,
) -> Option<(HeaderValue, Body)> {
    // Random, so that no body holds it by accident or on purpose.
    let boundary = format!("{:032x}", fastrand::u128(..));
    let mut chain = Chain::default();
    let mut opening = String::new();
    for part in parts {
        let _ = write!(opening, "--{boundary}\r\n");
        if let Some(content_type) = content_type.and_then(|value| value.to_str().ok()) {
            let _ = write!(opening, "Content-Type: {content_type}\r\n");
        }
        let _ = write!(opening, "Content-Range: bytes {}-{}/{total}\r\n\r\n", part.start, part.end - 1);
        chain.push(Body::Whole(std::mem::take(&mut opening).into()));
        chain.push(body_of(part)?);
        opening.push_str("\r\n");
    }
    let _ = write!(opening, "--{boundary}--\r\n");
    chain.push(Body::Whole(opening.into()));
    let content_type = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}")).ok()?;
    Some((content_type, Body::Chain(Box::new(chain))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn wanted(field: &str, total: u64) -> Wanted {
        Ranges::read(field, 4).map_or(Wanted::Whole, |ranges| ranges.within(total))
    }

    #[test]
    fn ranges_become_parts() {
        for (field, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=2-4", Wanted::Part(2..5)),
            ("bytes=5-99999999999999999999999", Wanted::Part(5..10)),
            ("bytes=5-18446744073709551615", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("Bytes = 1-1", Wanted::Part(1..2)),
            ("bytes=,1-1,", Wanted::Part(1..2)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=,", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=1-2-3", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(field, 10), expected, "{field}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn several_ranges_become_parts_in_the_order_asked_for() {
        for (field, expected) in [
            ("bytes=0-1,4-5", Wanted::Parts(vec![0..2, 4..6])),
            ("bytes= 8- ,\t0-0 , -1", Wanted::Parts(vec![8..10, 0..1])),
            ("bytes=0-1,2-3", Wanted::Parts(vec![0..2, 2..4])),
            ("bytes=0-4,3-5", Wanted::Part(0..6)),
            ("bytes=3-5,0-4,8-8", Wanted::Parts(vec![0..6, 8..9])),
            ("bytes=0-0,20-30", Wanted::Part(0..1)),
            ("bytes=10-11,20-30", Wanted::Unsatisfiable),
            ("bytes=0-9,0-9", Wanted::Part(0..10)),
            ("bytes=0-9,0-9,0-9", Wanted::Whole),
            ("bytes=0-1,4-5,1-4", Wanted::Whole),
            ("bytes=0-1,1-2,5-6,6-7", Wanted::Whole),
            ("bytes=0-0,2-2,4-4,6-6", Wanted::Parts(vec![0..1, 2..3, 4..5, 6..7])),
            ("bytes=0-0,2-2,4-4,6-6,8-8", Wanted::Whole),
            ("bytes=0-0,x", Wanted::Whole),
        ] {
            assert_eq!(wanted(field, 10), expected, "{field}");
        }
    }

    #[test]
    fn several_fields_are_none() {
        let mut request = HeaderMap::new();
        assert_eq!(Ranges::of(&request, 16), None);
        request.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(Ranges::of(&request, 16), Some(Ranges(vec![Span::Between(0, 1)])));
        request.append(RANGE, HeaderValue::from_static("bytes=3-4"));
        assert_eq!(Ranges::of(&request, 16), None);
    }

    #[tokio::test]
    async fn a_multipart_body_is_as_long_as_it_says() {
        let letters = bytes::Bytes::from_static(b"abcdefghij");
        let kind = HeaderValue::from_static("text/plain");
        let cut =
            |part: &Range<u64>| Some(Body::Whole(letters.slice(part.start as usize..part.end as usize)));
        let (said, body) = multipart(&[2..4, 0..1], 10, Some(&kind), cut).unwrap();
        let boundary =
            said.to_str().unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
        let length = http_body::Body::size_hint(&body).exact().unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 2-3/10\r\n\r\ncd\r\n\
             --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\na\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8_lossy(&body), expected);
        assert_eq!(length, expected.len() as u64);
    }
}
