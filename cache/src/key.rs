//! The cache key: everything that may make two answers differ, and nothing else.

use crate::settings::{KeySettings, QuerySelection};
use http::header::COOKIE;
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;
use std::fmt::Write;

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

/// Writes the key of a request into `key`, replacing what was there. A line break separates parts: no part can hold one.
pub fn write_key(key: &mut String, parts: &KeyParts<'_>, request: &HeaderMap, settings: &KeySettings) {
    key.clear();
    for part in [parts.site, parts.group, parts.scheme, parts.authority, parts.path_and_query] {
        key.push_str(part);
        key.push('\n');
    }
    for name in &settings.headers {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        for value in request.get_all(&header) {
            // Debug form: invisible bytes stay distinct and a value cannot look like another part.
            let _ = write!(key, "{header}:{value:?}");
        }
        key.push('\n');
    }
    if !settings.cookies.is_empty() {
        key.push_str(&settings.select_cookies(request).unwrap_or_default());
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

    fn key_of(parts: &KeyParts<'_>, headers: &[(&'static str, &str)], settings: &KeySettings) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let mut key = String::from("left over");
        write_key(&mut key, parts, &map, settings);
        key
    }

    const PARTS: KeyParts<'_> = KeyParts {
        site: "www",
        group: "main",
        scheme: "https",
        authority: "www.example.com",
        path_and_query: "/a?b=c",
    };

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
