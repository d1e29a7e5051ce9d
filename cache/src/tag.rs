//! Purge tags: what an origin calls an answer by, so that it can be purged by that name.

use crate::disk;
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, List, ListEntry, Parser};

/// RFC 9875 §2: groups that responses of one origin belong to.
pub(crate) const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
/// RFC 9875 §3: groups that an answer to an unsafe request makes invalid.
pub(crate) const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
/// Separated by spaces, as Fastly and others have it.
pub(crate) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// Separated by commas, as Cloudflare and others have it.
pub(crate) const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// A tag by the name that it has on disk too. Two tags of one hash would be purged together, which costs a fetch and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

impl Tag {
    /// The tag of these bytes; letters count as they are written.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        // Nobody gains by making two tags collide, so it need not be keyed.
        Self(disk::name_of(text))
    }

    /// The length of the stored form.
    pub(crate) const BYTES: usize = 8;

    /// The stored form.
    pub(crate) fn bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    /// Reads the stored form.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self(bytes.try_into().map(u64::from_le_bytes).unwrap_or_default())
    }

    /// One of so many places, evenly.
    pub(crate) fn spread(self, places: usize) -> usize {
        usize::try_from(self.0 % places as u64).unwrap_or(0)
    }
}

/// How many tags an object may bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagLimits {
    /// Tags of one object.
    pub count: usize,
    /// Bytes of one tag.
    pub length: usize,
}

impl Default for TagLimits {
    /// CloudFront's: 50 tags of 256 bytes.
    fn default() -> Self {
        Self { count: 50, length: 256 }
    }
}

/// The tags of one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Each once.
    tags: Vec<Tag>,
    /// How many were too many, too long or not readable.
    dropped: usize,
}

impl Tags {
    /// Reads the named header fields of an answer. What goes beyond the limits is dropped, the first ones stay.
    #[must_use]
    pub fn read(headers: &HeaderMap, names: &[HeaderName], limits: TagLimits) -> Self {
        let mut found = Found { tags: Vec::new(), dropped: 0, limits };
        for name in names {
            let lines = headers.get_all(name).iter();
            match name {
                name if name == CACHE_GROUPS => groups(lines).iter().for_each(|group| found.add(group)),
                name if name == SURROGATE_KEY => found.split(lines, |byte| byte.is_ascii_whitespace()),
                _ => found.split(lines, |byte| byte == b','),
            }
        }
        Self { tags: found.tags, dropped: found.dropped }
    }

    /// Adds tags, of visible characters but commas, to the field of these that separates by commas, or else to the first.
    pub(crate) fn write(headers: &mut HeaderMap, names: &[HeaderName], tags: &[String]) {
        let has_commas = |name: &&HeaderName| **name != CACHE_GROUPS && **name != SURROGATE_KEY;
        let Some(name) = names.iter().find(has_commas).or(names.first()) else { return };
        let line = match name {
            name if name == CACHE_GROUPS => {
                let quoted =
                    tags.iter().map(|tag| format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\"")));
                quoted.collect::<Vec<_>>().join(", ")
            }
            name if name == SURROGATE_KEY => tags.join(" "),
            _ => tags.join(","),
        };
        if let Ok(line) = HeaderValue::from_str(&line) {
            headers.append(name, line);
        }
    }

    /// Each tag once.
    pub(crate) fn as_slice(&self) -> &[Tag] {
        &self.tags
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// How many were too many, too long or not readable.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The same with one more, which no limit is about.
    pub(crate) fn with(mut self, tag: Option<Tag>) -> Self {
        self.tags.extend(tag);
        self
    }
}

struct Found {
    tags: Vec<Tag>,
    dropped: usize,
    limits: TagLimits,
}

impl Found {
    fn split<'a>(&mut self, lines: impl Iterator<Item = &'a HeaderValue>, separates: fn(u8) -> bool) {
        for line in lines {
            let members = line.as_bytes().split(|byte| separates(*byte)).map(<[u8]>::trim_ascii);
            members.filter(|member| !member.is_empty()).for_each(|member| self.add(member));
        }
    }

    fn add(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let tag = Tag::of(text);
        if self.tags.contains(&tag) {
            return;
        }
        if text.len() > self.limits.length || self.tags.len() >= self.limits.count {
            self.dropped += 1;
            return;
        }
        self.tags.push(tag);
    }
}

/// The members of a list of strings (RFC 9651 §3.1), parameters ignored. A field that breaks the syntax says nothing.
pub(crate) fn groups<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> Vec<String> {
    let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    let whole = lines.join(&b", "[..]);
    let Ok(list) = Parser::new(&whole).parse::<List>() else { return Vec::new() };
    let member = |entry: ListEntry| match entry {
        ListEntry::Item(item) => match item.bare_item {
            BareItem::String(text) => Some(String::from(text)),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    list.into_iter().map(member).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::TagHeaders;

    fn read_within(limits: TagLimits, lines: &[(&'static str, &str)]) -> Tags {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Tags::read(&headers, &TagHeaders::default().0, limits)
    }

    #[test]
    fn tags_that_are_written_are_read_whatever_the_field() {
        let written = ["cats", "a\"b\\c"].map(str::to_owned);
        for (fields, used) in [
            (&TagHeaders::default().0[..], CACHE_TAG),
            (&[SURROGATE_KEY], SURROGATE_KEY),
            (&[CACHE_GROUPS, SURROGATE_KEY], CACHE_GROUPS),
            (&[SURROGATE_KEY, HeaderName::from_static("x-tags")], HeaderName::from_static("x-tags")),
        ] {
            let mut headers = HeaderMap::new();
            Tags::write(&mut headers, fields, &written);
            assert!(headers.len() == 1 && headers.contains_key(&used), "{headers:?}");
            assert_eq!(
                Tags::read(&headers, fields, TagLimits::default()),
                tags(&["cats", "a\"b\\c"]),
                "{headers:?}"
            );
        }
        let mut headers = HeaderMap::new();
        Tags::write(&mut headers, &[], &written);
        assert!(headers.is_empty(), "a policy without tags has no use for them");
    }

    fn tags(texts: &[&str]) -> Tags {
        Tags { tags: texts.iter().map(|text| Tag::of(text.as_bytes())).collect(), dropped: 0 }
    }

    #[test]
    fn each_header_separates_in_its_own_way() {
        for (name, value, expected) in [
            ("surrogate-key", "news  front-page\tde", &["news", "front-page", "de"][..]),
            ("surrogate-key", "a,b", &["a,b"]),
            ("cache-tag", "news, front page,,de ,", &["news", "front page", "de"]),
            ("cache-groups", r#""news", "front, page";p=1, "a\"b""#, &["news", "front, page", "a\"b"]),
            ("cache-groups", "", &[]),
            ("x-other", "news", &[]),
        ] {
            assert_eq!(
                read_within(TagLimits::default(), &[(name, value)]),
                tags(expected),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn groups_that_break_the_syntax_say_nothing() {
        for broken in [r#""a", b"#, "a", "1", r#"("a")"#, r#""a" "b""#, r#""a"#, r#""a","#, ":YQ==:"] {
            assert_eq!(
                read_within(TagLimits::default(), &[("cache-groups", broken)]),
                Tags::default(),
                "{broken}"
            );
        }
    }

    #[test]
    fn lines_and_headers_add_up_and_repetitions_do_not_count() {
        let lines = [
            ("cache-groups", "\"a\""),
            ("cache-groups", "\"b\""),
            ("surrogate-key", "b c"),
            ("cache-tag", "c"),
            ("cache-tag", "d"),
        ];
        assert_eq!(read_within(TagLimits::default(), &lines), tags(&["a", "b", "c", "d"]));
        assert_ne!(tags(&["a"]), tags(&["A"]));
    }

    #[test]
    fn the_first_ones_stay_and_the_surplus_is_counted() {
        let limits = TagLimits { count: 2, length: 3 };
        let read = read_within(limits, &[("cache-tag", "long, a, b, a, c, d")]);
        assert_eq!(read, Tags { dropped: 3, ..tags(&["a", "b"]) });
    }

    #[test]
    fn names_of_ones_own_separate_by_commas() {
        let mut headers = HeaderMap::new();
        headers.insert("edge-cache-tag", HeaderValue::from_bytes(b"caf\xc3\xa9, \xff").unwrap());
        let read = Tags::read(&headers, &[HeaderName::from_static("edge-cache-tag")], TagLimits::default());
        assert_eq!(read.as_slice(), [Tag::of("café".as_bytes()), Tag::of(b"\xff")]);
    }
}
