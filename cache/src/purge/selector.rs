//! What a purge names.

use crate::key::Key;
use crate::tag::{self, Tag};
use http::HeaderMap;

/// Groups that one answer invalidates; RFC 9875 §3 wants 32 at least.
const MOST_GROUPS: usize = 128;

/// What a purge takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Everything stored under a URL, whatever headers, cookies, variants or slices tell it apart.
    Url(Key),
    /// Everything of a host whose path, query included, begins so.
    Prefix {
        /// `http` or `https`; `None` for both.
        scheme: Option<String>,
        /// Host and port, lower case, no default port.
        authority: String,
        /// The normalised beginning.
        path: String,
    },
    /// Everything that bears a tag.
    Tag(Tag),
    /// Everything of one origin (RFC 6454 §4) that bears a tag (RFC 9875 §3).
    Group {
        /// The tag.
        tag: Tag,
        /// `http` or `https`.
        scheme: String,
        /// Host and port, lower case, no default port.
        authority: String,
    },
    /// Everything of a site, by its name in the config.
    Site(String),
}

impl Selector {
    /// What an answer to an unsafe request to this origin makes invalid beside its own URL (RFC 9875 §3).
    #[must_use]
    pub fn invalidated_groups(answer: &HeaderMap, scheme: &str, authority: &str) -> Vec<Self> {
        let group = |text: String| Self::Group {
            tag: Tag::of(text.as_bytes()),
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
        };
        let lines = answer.get_all(tag::CACHE_GROUP_INVALIDATION).iter();
        tag::groups(lines).into_iter().take(MOST_GROUPS).map(group).collect()
    }

    /// Whether it takes what is stored under a key of this realm and path and bears these tags.
    pub(crate) fn takes(&self, realm: &str, path: &str, bears: impl Fn(Tag) -> bool) -> bool {
        // Site, group, scheme, authority.
        let part = |number| realm.split(Key::SEPARATOR).nth(number).unwrap_or_default();
        match self {
            Self::Url(key) => {
                let rest = path.strip_prefix(key.primary_path()).filter(|_| realm == key.realm());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(Key::SEPARATOR))
            }
            Self::Prefix { scheme, authority, path: prefix } => {
                let is_of_scheme = scheme.as_ref().is_none_or(|scheme| scheme == part(2));
                path.starts_with(prefix) && authority == part(3) && is_of_scheme
            }
            Self::Tag(tag) => bears(*tag),
            Self::Group { tag, scheme, authority } => {
                bears(*tag) && authority == part(3) && scheme == part(2)
            }
            Self::Site(name) => name == part(0),
        }
    }

    /// The bytes that it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = match self {
            Self::Url(key) => key.text().len(),
            Self::Prefix { scheme, authority, path } => {
                scheme.as_ref().map_or(0, String::len) + authority.len() + path.len()
            }
            Self::Group { scheme, authority, .. } => scheme.len() + authority.len(),
            Self::Tag(_) => 0,
            Self::Site(site) => site.len(),
        };
        size_of::<Self>() + texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyParts;
    use crate::settings::KeySettings;
    const HOST: &str = "www.example.com";

    fn key(site: &str, scheme: &str, authority: &str, path_and_query: &str) -> Key {
        let parts = KeyParts { site, group: "main", scheme, authority, path_and_query };
        let settings = KeySettings { headers: vec!["X-Device".to_owned()], ..KeySettings::default() };
        Key::of(&parts, &HeaderMap::new(), &settings)
    }

    fn prefix(scheme: Option<&str>, authority: &str, path: &str) -> Selector {
        let (scheme, authority) = (scheme.map(str::to_owned), authority.to_owned());
        Selector::Prefix { scheme, authority, path: path.to_owned() }
    }

    fn group(tag: &str, authority: &str) -> Selector {
        let (scheme, authority) = ("https".to_owned(), authority.to_owned());
        Selector::Group { tag: Tag::of(tag.as_bytes()), scheme, authority }
    }

    #[test]
    fn each_selector_takes_what_it_names() {
        let stored = key("www", "https", HOST, "/img/a?w=1");
        let tags = ["news", "front"].map(|tag| Tag::of(tag.as_bytes()));
        let tag = |tag: &str| Selector::Tag(Tag::of(tag.as_bytes()));
        for (selector, takes) in [
            (Selector::Url(key("www", "https", HOST, "/img/a?w=1")), true),
            (Selector::Url(key("www", "https", HOST, "/img/a")), false),
            (Selector::Url(key("www", "https", HOST, "/img/a?w=")), false),
            (Selector::Url(key("www", "http", HOST, "/img/a?w=1")), false),
            (Selector::Url(key("www", "https", "www.example.com:8443", "/img/a?w=1")), false),
            (Selector::Url(key("other", "https", HOST, "/img/a?w=1")), false),
            (prefix(None, HOST, "/img/"), true),
            (prefix(Some("https"), HOST, "/i"), true),
            (prefix(None, HOST, "/"), true),
            (prefix(None, HOST, "/img/a?w=1"), true),
            (prefix(Some("http"), HOST, "/img/"), false),
            (prefix(None, "example.com", "/img/"), false),
            (prefix(None, HOST, "/img/b"), false),
            (tag("front"), true),
            (tag("Front"), false),
            (group("news", HOST), true),
            (group("news", "example.com"), false),
            (group("old", HOST), false),
            (Selector::Site("www".to_owned()), true),
            (Selector::Site("w".to_owned()), false),
        ] {
            let found = selector.takes(stored.realm(), stored.path(), |tag| tags.contains(&tag));
            assert_eq!(found, takes, "{selector:?}");
        }
    }

    #[test]
    fn a_url_takes_its_variants_and_parts() {
        let url = Selector::Url(key("www", "https", HOST, "/film"));
        let whole = key("www", "https", HOST, "/film");
        let part = whole.part("7");
        let other = key("www", "https", HOST, "/films").part("7");
        for (stored, takes) in [(whole, true), (part, true), (other, false)] {
            assert_eq!(url.takes(stored.realm(), stored.path(), |_| false), takes, "{stored:?}");
        }
    }
}
