//! The cache key: everything that may make two answers differ, and nothing else.

use crate::settings::{KeySettings, QuerySelection};
use crate::tag::Tag;
use http::header::COOKIE;
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Where a request goes, as the key sees it. Two requests that differ in any part never share an answer.
#[derive(Debug, Clone, Copy)]
pub struct KeyParts<'a> {
    /// The site's name in the config.
    pub site: &'a str,
    /// The origin or origin group that would answer.
    pub group: &'a str,
    /// `http` or `https`, as the viewer asked.
    pub scheme: &'a str,
    /// Host and port, lower case.
    pub authority: &'a str,
    /// The normalised path, and the query as [`KeySettings::select_query`] leaves it.
    pub path_and_query: &'a str,
}

/// What an answer is stored under: its text, and where that goes in the store.
///
/// The text has three parts. The *realm* is site, group, scheme and authority; with path and query it is the *primary* key, which
/// purges name; the rest are the request fields that a policy keys by, which tell variants apart as `Vary` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    text: String,
    realm_end: usize,
    primary_end: usize,
    /// Hash of the primary key: all its variants are stored in one place.
    place: u64,
    /// Hash of the whole text by another function: with `place`, 96 bits that nobody outside can compute stand for the text.
    check: u32,
    /// What all parts of one primary key bear, so that its purge finds them.
    part_of: Option<Tag>,
}

/// Site, group, scheme and authority.
const REALM_PARTS: usize = 4;

/// Keyed hash functions, drawn when the program starts: nobody outside can make keys that collide in the first, and the second
/// makes it impossible that any do by accident.
static HASHERS: LazyLock<(RandomState, foldhash::quality::RandomState)> = LazyLock::new(Default::default);

impl Key {
    /// Between the parts: none can hold one.
    pub(crate) const SEPARATOR: char = '\n';

    /// The key of a request.
    #[must_use]
    pub fn of(parts: &KeyParts<'_>, request: &HeaderMap, settings: &KeySettings) -> Self {
        let mut text = String::with_capacity(160);
        for part in [parts.site, parts.group, parts.scheme, parts.authority] {
            text.push_str(part);
            text.push(Self::SEPARATOR);
        }
        let realm_end = text.len();
        text.push_str(parts.path_and_query);
        let primary_end = text.len();
        write_keyed_fields(&mut text, request, settings);
        Self::hashed(text, realm_end, primary_end)
    }

    /// The key of a part of what is stored under this one, such as a slice. It is not a variant: it has a place of its own.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        let text = format!("{}{}{name}", self.text, Self::SEPARATOR);
        let primary_end = text.len();
        Self { part_of: Some(self.tag_of_parts()), ..Self::hashed(text, self.realm_end, primary_end) }
    }

    /// The [place](Self::place) of a primary key by its text.
    pub(crate) fn place_of(primary: &str) -> u64 {
        HASHERS.0.hash_one(primary)
    }

    /// The key of another form of what is stored under this one. It has the same place: whatever forgets one forgets the other.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        let text = format!("{}{}{name}", self.text, Self::SEPARATOR);
        Self::hashed(text, self.realm_end, self.primary_end)
    }

    /// The key of one of several answers under this one, told apart by what a program says of the request: names and values, none
    /// of which holds a control character. It has the same place: a purge of the primary key takes all of them.
    #[must_use]
    pub fn parted_by(mut self, parts: &[(String, String)]) -> Self {
        if parts.is_empty() {
            return self;
        }
        let mut parts: Vec<_> = parts.iter().collect();
        parts.sort();
        for (name, value) in parts {
            // A tab separates name and value, which hold none, and is in nothing else that a key is made of.
            self.text.push(Self::SEPARATOR);
            self.text.extend(["\t", name, "\t", value]);
        }
        Self { part_of: self.part_of, ..Self::hashed(self.text, self.realm_end, self.primary_end) }
    }

    fn hashed(text: String, realm_end: usize, primary_end: usize) -> Self {
        let (place, check) = &*HASHERS;
        let (place, check) = (place.hash_one(&text[..primary_end]), check.hash_one(&text) as u32);
        Self { text, realm_end, primary_end, place, check, part_of: None }
    }

    /// All of it. A line break separates parts: no part can hold one.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Site, group, scheme and authority, each with a line break behind it.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.text[..self.realm_end]
    }

    /// Realm and path of a key's text.
    pub(crate) fn split(text: &str) -> (&str, &str) {
        let mut ends = text.match_indices(Self::SEPARATOR).map(|(at, _)| at + Self::SEPARATOR.len_utf8());
        text.split_at(ends.nth(REALM_PARTS - 1).unwrap_or(text.len()))
    }

    /// Path and query.
    pub(crate) fn primary_path(&self) -> &str {
        &self.text[self.realm_end..self.primary_end]
    }

    /// What all parts of this primary key are tagged with. No origin can say it: a tag holds no line break.
    pub(crate) fn tag_of_parts(&self) -> Tag {
        Tag::of(&self.text.as_bytes()[..self.primary_end])
    }

    /// What this is invalidated by: its primary key, or for a part that which it is a part of.
    pub(crate) fn primary_tag(&self) -> Tag {
        self.part_of.unwrap_or_else(|| self.tag_of_parts())
    }

    /// The tag of a part.
    pub(crate) fn part_of(&self) -> Option<Tag> {
        self.part_of
    }

    /// Path and query, and the keyed fields.
    pub(crate) fn path(&self) -> &str {
        &self.text[self.realm_end..]
    }

    /// Where all variants of the primary key are stored.
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    pub(crate) fn check(&self) -> u32 {
        self.check
    }
}

fn write_keyed_fields(text: &mut String, request: &HeaderMap, settings: &KeySettings) {
    for name in &settings.headers {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        text.push(Key::SEPARATOR);
        for value in request.get_all(&header) {
            // Debug form: invisible bytes stay distinct and a value cannot look like another part.
            let _ = write!(text, "{header}:{value:?}");
        }
    }
    if !settings.cookies.is_empty() {
        text.push(Key::SEPARATOR);
        text.push_str(&settings.select_cookies(request).unwrap_or_default());
    }
}

impl KeySettings {
    /// The part of a query that belongs to the key and goes to the origin: bytes as sent, named parameters sorted by name.
    #[must_use]
    pub fn select_query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        match &self.query {
            QuerySelection::All => Cow::Borrowed(query),
            QuerySelection::None => Cow::Borrowed(""),
            QuerySelection::Only(names) => {
                let name_of = |pair: &&'a str| pair.split('=').next().unwrap_or_default();
                let mut chosen: Vec<&str> =
                    query.split('&').filter(|pair| names.iter().any(|name| name == name_of(pair))).collect();
                // Stable: repeated parameters keep their order, which may mean something.
                chosen.sort_by_key(|pair| name_of(pair));
                Cow::Owned(chosen.join("&"))
            }
        }
    }

    /// The named cookies of a request as one `Cookie` value, sorted by name; `None` when there are none.
    #[must_use]
    pub fn select_cookies(&self, request: &HeaderMap) -> Option<String> {
        let mut chosen: Vec<&str> = request
            .get_all(COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .map(str::trim)
            .filter(|pair| {
                let name = pair.split('=').next().unwrap_or_default();
                self.cookies.iter().any(|wanted| wanted == name)
            })
            .collect();
        chosen.sort_by_key(|pair| pair.split('=').next());
        (!chosen.is_empty()).then(|| chosen.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(parts: &KeyParts<'_>, headers: &[(&'static str, &str)], settings: &KeySettings) -> Key {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Key::of(parts, &map, settings)
    }

    const PARTS: KeyParts<'_> = KeyParts {
        site: "www",
        group: "main",
        scheme: "https",
        authority: "www.example.com",
        path_and_query: "/a?b=c",
    };

    #[test]
    fn parts_that_hooks_add_tell_answers_apart_in_one_place() {
        let plain = key_of(&PARTS, &[], &KeySettings::default());
        let part = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let keys = [
            plain.clone(),
            plain.clone().parted_by(&[part("half", "a")]),
            plain.clone().parted_by(&[part("half", "b")]),
            plain.clone().parted_by(&[part("hal", "fa")]),
            plain.clone().parted_by(&[part("half", "a"), part("x", "")]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert_eq!((key.place(), key.primary_tag()), (plain.place(), plain.primary_tag()));
            for other in &keys[index + 1..] {
                assert_ne!((key.text(), key.check()), (other.text(), other.check()));
            }
        }
        let swapped = plain.clone().parted_by(&[part("x", ""), part("half", "a")]);
        assert_eq!(swapped, keys[4], "their order says nothing");
        assert_eq!(plain.clone().parted_by(&[]), plain);
    }

    #[test]
    fn every_part_tells_answers_apart() {
        let others = [
            KeyParts { site: "other", ..PARTS },
            KeyParts { group: "other", ..PARTS },
            KeyParts { scheme: "http", ..PARTS },
            KeyParts { authority: "www.example.com:8443", ..PARTS },
            KeyParts { path_and_query: "/a?b=d", ..PARTS },
        ];
        let settings = KeySettings::default();
        for other in &others {
            assert_ne!(key_of(&PARTS, &[], &settings), key_of(other, &[], &settings), "{other:?}");
        }
        assert_eq!(key_of(&PARTS, &[("x", "1")], &settings), key_of(&PARTS, &[], &settings));
    }

    #[test]
    fn variants_share_a_place_and_parts_have_their_own() {
        let settings = KeySettings { headers: vec!["X-Device".to_owned()], ..KeySettings::default() };
        let (phone, desk) =
            (key_of(&PARTS, &[("x-device", "phone")], &settings), key_of(&PARTS, &[], &settings));
        assert_eq!((phone.place(), phone.realm()), (desk.place(), "www\nmain\nhttps\nwww.example.com\n"));
        assert_ne!(phone.check(), desk.check());
        let part = desk.part("0");
        assert_ne!((part.place(), part.check()), (desk.place(), desk.check()));
        assert_eq!(part.realm(), desk.realm());
        assert_ne!(part, desk.part("1"));
        assert_eq!(part.part_of(), Some(phone.tag_of_parts()));
        assert_eq!((desk.part_of(), phone.primary_path()), (None, "/a?b=c"));
        assert_eq!(Key::split(part.text()), (part.realm(), part.path()));
    }

    #[test]
    fn queries_are_selected_by_name() {
        let all = KeySettings::default();
        assert_eq!(all.select_query("b=1&a=2"), "b=1&a=2");
        let none = KeySettings { query: QuerySelection::None, ..KeySettings::default() };
        assert_eq!(none.select_query("b=1&a=2"), "");
        let names = vec!["w".to_owned(), "h".to_owned()];
        let some = KeySettings { query: QuerySelection::Only(names), ..KeySettings::default() };
        assert_eq!(some.select_query("w=1&junk=2&h=3&w=0&wide=9"), "h=3&w=1&w=0");
    }

    #[test]
    fn named_headers_and_cookies_belong_to_the_key() {
        let settings = KeySettings {
            headers: vec!["X-Device".to_owned()],
            cookies: vec!["theme".to_owned()],
            ..KeySettings::default()
        };
        let plain = key_of(&PARTS, &[("cookie", "session=1")], &settings);
        assert_eq!(plain, key_of(&PARTS, &[("cookie", "session=2")], &settings));
        assert_ne!(plain, key_of(&PARTS, &[("cookie", "session=1; theme=dark")], &settings));
        assert_ne!(plain, key_of(&PARTS, &[("x-device", "phone")], &settings));
        assert_eq!(
            key_of(&PARTS, &[("cookie", "a=1; theme=dark")], &settings),
            key_of(&PARTS, &[("cookie", "theme=dark"), ("cookie", "b=2")], &settings)
        );
    }
}
