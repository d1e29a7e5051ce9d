//! Selecting among the variants of one key (RFC 9111 §4.1).

use crate::control::split_list;
use crate::language;
use crate::packed::{Cursor, write_number, write_slice};
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName};

/// The request header values that a stored response was selected by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection(Box<[(HeaderName, Value)]>);

/// All lines of a header as one; `None` where the request has none, which is not the same as an empty one.
type Value = Option<Box<[u8]>>;

impl Selection {
    /// What `Vary` names, with the values of this request. `Accept-Encoding` never selects: the edge asks the origin
    /// for one coding and negotiates with viewers itself.
    pub(crate) fn of(request: &HeaderMap, response: &HeaderMap) -> Self {
        let mut names: Vec<HeaderName> = response
            .get_all(VARY)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(split_list)
            .filter_map(|name| name.parse().ok())
            .filter(|name| name != ACCEPT_ENCODING)
            .collect();
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self(names.into_iter().map(|name| (name.clone(), combined(request, &name))).collect())
    }

    /// Whether a request selects the same response.
    pub(crate) fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| combined(request, name) == *value)
    }

    /// Whether a request selects the same response but for the language, which is in `language` and its first choice.
    pub(crate) fn matches_in(&self, language: &str, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| match *name {
            ACCEPT_LANGUAGE => {
                language::is_first_choice(&joined(request, name).unwrap_or_default(), language)
            }
            _ => combined(request, name) == *value,
        })
    }

    /// Whether the language of a request is among what selects.
    pub(crate) fn asks_for_language(&self) -> bool {
        self.0.iter().any(|(name, _)| name == ACCEPT_LANGUAGE)
    }

    /// The same names with another request's values, as a suffix that tells fills of different variants apart.
    pub(crate) fn suffix(&self, request: &HeaderMap) -> String {
        let mut suffix = String::new();
        for (name, _) in &self.0 {
            let value = combined(request, name);
            let value = value.as_deref().map(String::from_utf8_lossy);
            suffix.push_str(&format!("\n{name}={value:?}"));
        }
        suffix
    }

    /// The same names with another request's values.
    pub(crate) fn with(&self, request: &HeaderMap) -> Self {
        Self(self.0.iter().map(|(name, _)| (name.clone(), combined(request, name))).collect())
    }

    /// Appends the stored form: a count, then each name with its value, behind a byte that says whether there is one.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        write_number(bytes, self.0.len());
        for (name, value) in &self.0 {
            write_slice(bytes, name.as_str().as_bytes());
            bytes.push(u8::from(value.is_some()));
            if let Some(value) = value {
                write_slice(bytes, value);
            }
        }
    }

    /// Reads the stored form.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let count = cursor.number()?;
        let mut members = Vec::new();
        for _ in 0..count {
            let name = HeaderName::from_bytes(cursor.slice()?).ok()?;
            let value = match cursor.byte()? {
                0 => None,
                _ => Some(cursor.slice()?.into()),
            };
            members.push((name, value));
        }
        Some(Self(members.into()))
    }
}

/// All lines of one header as one value (RFC 9110 §5.3), in a form in which equal wishes are equal (RFC 9111 §4.1): white space
/// around members does not matter, nor do order and case of languages.
fn combined(request: &HeaderMap, name: &HeaderName) -> Value {
    request.get(name)?;
    let Some(text) = joined(request, name) else { return Some(raw(request, name)) };
    if let Some(languages) = language::normalised(&text).filter(|_| name == ACCEPT_LANGUAGE) {
        return Some(languages.into_bytes().into());
    }
    Some(split_list(&text).collect::<Vec<&str>>().join(",").into_bytes().into())
}

/// All lines, where they are text.
fn joined(request: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = request.get_all(name).iter().map(|line| line.to_str().ok());
    Some(lines.collect::<Option<Vec<&str>>>()?.join(","))
}

/// All lines as they are, for values that are no text.
fn raw(request: &HeaderMap, name: &HeaderName) -> Box<[u8]> {
    let lines: Vec<&[u8]> = request.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    lines.join(&b","[..]).into()
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
    fn the_named_headers_select() {
        let vary = headers(&[("vary", "Accept-Language, X-Device")]);
        let selection = Selection::of(&headers(&[("accept-language", "de")]), &vary);
        assert!(selection.matches(&headers(&[("accept-language", " de "), ("x-other", "1")])));
        assert!(!selection.matches(&headers(&[("accept-language", "ko")])));
        assert!(!selection.matches(&headers(&[("accept-language", "de"), ("x-device", "")])));
        assert!(!selection.matches(&headers(&[])));
    }

    #[test]
    fn lines_combine_and_accept_encoding_does_not_select() {
        let vary = headers(&[("vary", "accept-encoding"), ("vary", "accept")]);
        let selection = Selection::of(&headers(&[("accept", "a, b")]), &vary);
        assert!(selection.matches(&headers(&[
            ("accept", "a"),
            ("accept", "b"),
            ("accept-encoding", "gzip")
        ])));
    }

    #[test]
    fn white_space_and_the_order_of_languages_do_not_select() {
        for (name, stored, same) in [
            ("x-foo", "1,2", " 1, 2 "),
            ("accept-language", "en, de", "De,en;q=1.0"),
            ("x-quoted", "\"a, b\"", " \"a, b\""),
        ] {
            let vary = HeaderMap::from_iter([(VARY, name.parse().unwrap())]);
            let selection = Selection::of(&headers(&[(name, stored)]), &vary);
            assert!(selection.matches(&headers(&[(name, same)])), "{name}: {same}");
        }
        let vary = headers(&[("vary", "x-quoted")]);
        let selection = Selection::of(&headers(&[("x-quoted", "\"a, b\"")]), &vary);
        assert!(!selection.matches(&headers(&[("x-quoted", "\"a,b\"")])));
    }

    #[test]
    fn the_first_choice_of_language_selects_too() {
        let vary = headers(&[("vary", "accept-language, x-device")]);
        let selection = Selection::of(&headers(&[("accept-language", "en, de"), ("x-device", "1")]), &vary);
        let wish = ("accept-language", "fr;q=0.5, de");
        assert!(selection.matches_in("de", &headers(&[wish, ("x-device", "1")])));
        assert!(!selection.matches_in("fr", &headers(&[wish, ("x-device", "1")])));
        assert!(!selection.matches_in("de", &headers(&[wish, ("x-device", "2")])));
        assert!(!selection.matches_in("de", &headers(&[("x-device", "1")])));
    }

    #[test]
    fn suffixes_tell_variants_apart() {
        let selection = Selection::of(&HeaderMap::new(), &headers(&[("vary", "accept")]));
        let suffix = |lines| selection.suffix(&headers(lines));
        assert_ne!(suffix(&[("accept", "a")]), suffix(&[("accept", "b")]));
        assert_ne!(suffix(&[("accept", "")]), suffix(&[]));
        assert_eq!(Selection::default().suffix(&HeaderMap::new()), "");
    }
}
