//! `Cache-Control` and `CDN-Cache-Control`, read as RFC 9111 §5.2 and RFC 9213 want a cache to.

mod targeted;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};
use std::time::Duration;

/// The response directives that a shared cache acts on (RFC 9111 §5.2.2, RFC 5861).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// `s-maxage`, for shared caches only.
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate`.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error`.
    pub stale_if_error: Option<Duration>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache` without field names: a stored response is validated before each use.
    pub no_cache: bool,
    /// `private` without field names.
    pub private: bool,
    /// What `no-cache="…"` and `private="…"` name: these fields are not stored, the rest of the response is.
    pub own_fields: Vec<HeaderName>,
    /// `public`.
    pub public: bool,
    /// `must-revalidate` or `proxy-revalidate`: never served stale.
    pub must_revalidate: bool,
    /// `must-understand`: `no-store` is for caches that do not know the status.
    pub must_understand: bool,
    /// `immutable` (RFC 8246): as long as it is fresh, reloading brings nothing new.
    pub immutable: bool,
    /// `no-transform`: the body is sent as the origin made it.
    pub no_transform: bool,
}

impl Directives {
    /// The directives of a response: `CDN-Cache-Control` where the origin sent a valid one (RFC 9213 §2.1), else
    /// `Cache-Control`.
    #[must_use]
    pub fn of_response(headers: &HeaderMap) -> Self {
        match targeted::read(headers) {
            // no-transform is about the body, not about storing, so it holds wherever it was said.
            Some(targeted) => {
                let no_transform = targeted.no_transform || Self::general(headers).no_transform;
                Self { no_transform, ..targeted }
            }
            None => Self::general(headers),
        }
    }

    /// Writes these directives as `CDN-Cache-Control`, which from then on alone says how shared caches keep the response
    /// (RFC 9213 §2.1). An `Expires` that gave the lifetime stays what gives it: that field cannot say it, and is not asked to.
    pub fn target(&self, headers: &mut HeaderMap) {
        targeted::write(self, headers);
    }

    /// RFC 9111 §5.2: every line of `Cache-Control`.
    fn general(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            let Ok(line) = line.to_str() else {
                // A value that is not text cannot be trusted to allow anything.
                directives.no_store = true;
                continue;
            };
            for (name, value) in split_list(line).map(split_directive) {
                directives.apply(&name.to_ascii_lowercase(), value);
            }
        }
        directives
    }

    fn apply(&mut self, name: &str, value: Option<&str>) {
        match name {
            "max-age" => shorten(&mut self.max_age, value),
            "s-maxage" => shorten(&mut self.s_maxage, value),
            "stale-while-revalidate" => shorten(&mut self.stale_while_revalidate, value),
            "stale-if-error" => shorten(&mut self.stale_if_error, value),
            "no-cache" => self.no_cache |= !self.names_fields(value),
            "private" => self.private |= !self.names_fields(value),
            _ => self.set(name),
        }
    }

    /// The directives that are there or not, whatever their value.
    fn set(&mut self, name: &str) {
        match name {
            "no-store" => self.no_store = true,
            "public" => self.public = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "must-understand" => self.must_understand = true,
            "immutable" => self.immutable = true,
            "no-transform" => self.no_transform = true,
            _ => {}
        }
    }

    /// §5.2.2.4, §5.2.2.7: whether a value names fields only, which are noted. One that cannot be read is none.
    fn names_fields(&mut self, value: Option<&str>) -> bool {
        let names = value.into_iter().flat_map(|value| value.split(',')).map(str::trim);
        let read: Option<Vec<HeaderName>> = names.map(|name| name.parse().ok()).collect();
        match read {
            Some(names) if !names.is_empty() => {
                self.own_fields.extend(names);
                true
            }
            _ => false,
        }
    }
}

/// Name and value of one directive; quotes around the value do not matter (RFC 9111 §5.2).
pub(crate) fn split_directive(directive: &str) -> (&str, Option<&str>) {
    match directive.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
        None => (directive.trim(), None),
    }
}

/// RFC 9111 §4.2.1: of conflicting values the more restrictive one, and an invalid value means already stale.
fn shorten(slot: &mut Option<Duration>, value: Option<&str>) {
    let read = value.and_then(delta_seconds).unwrap_or(Duration::ZERO);
    *slot = Some(slot.map_or(read, |earlier| earlier.min(read)));
}

/// RFC 9111 §1.2.2: digits only; what is too large to hold counts as 2^31 seconds.
pub(crate) fn delta_seconds(text: &str) -> Option<Duration> {
    const MOST: u64 = 1 << 31;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(MOST).min(MOST)))
}
/// The members of a comma-separated list (RFC 9110 §5.6.1), commas inside quoted strings left alone.
pub fn split_list(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    line.split(move |character| {
        let separates = character == ',' && !quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        separates
    })
    .map(str::trim)
    .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(lines: &[(&'static str, &str)]) -> Directives {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Directives::of_response(&headers)
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn names_are_case_insensitive_and_values_may_be_quoted() {
        let read = directives(&[("cache-control", "Public, MAX-AGE=\"60\" , s-maxage = 5")]);
        assert!(read.public);
        assert_eq!((read.max_age, read.s_maxage), (seconds(60), seconds(5)));
    }

    #[test]
    fn invalid_or_conflicting_lifetimes_are_the_restrictive_ones() {
        for value in ["max-age=-1", "max-age=1.5", "max-age=abc", "max-age=", "max-age"] {
            assert_eq!(directives(&[("cache-control", value)]).max_age, seconds(0), "{value}");
        }
        assert_eq!(directives(&[("cache-control", "max-age=60, max-age=5")]).max_age, seconds(5));
        assert_eq!(
            directives(&[("cache-control", "max-age=99999999999999999999999")]).max_age,
            seconds(1 << 31)
        );
    }

    #[test]
    fn commas_in_quotes_do_not_separate() {
        let read = directives(&[("cache-control", r#"private="a, no-store, \"b", max-age=3"#)]);
        assert!(read.private && !read.no_store);
        assert_eq!(read.max_age, seconds(3));
    }

    #[test]
    fn field_names_limit_what_no_cache_and_private_mean() {
        for (value, own, whole) in [
            (r#"no-cache="A, b", max-age=1"#, &["a", "b"][..], (false, false)),
            (r#"private="set-cookie""#, &["set-cookie"], (false, false)),
            (r#"private=a, no-cache=b"#, &["a", "b"], (false, false)),
            (r#"no-cache="a", no-cache"#, &["a"], (true, false)),
            (r#"private="""#, &[], (false, true)),
            (r#"no-cache="a b""#, &[], (true, false)),
        ] {
            let read = directives(&[("cache-control", value)]);
            assert_eq!(read.own_fields, own, "{value}");
            assert_eq!((read.no_cache, read.private), whole, "{value}");
        }
    }

    #[test]
    fn the_targeted_header_replaces_the_general_one() {
        let read =
            directives(&[("cache-control", "no-store, no-transform"), ("cdn-cache-control", "max-age=30")]);
        assert!(!read.no_store && read.no_transform);
        assert_eq!(read.max_age, seconds(30));
    }

    #[test]
    fn several_lines_count_as_one() {
        let read = directives(&[("cache-control", "max-age=30"), ("cache-control", "private")]);
        assert!(read.private);
        assert_eq!(read.max_age, seconds(30));
    }
}
