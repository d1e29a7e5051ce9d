//! `Cache-Control` and `CDN-Cache-Control`, read as RFC 9111 §5.2 and RFC 9213 want a cache to.

use http::HeaderMap;
use http::header::{AsHeaderName, CACHE_CONTROL};
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
    /// `no-cache`, with or without field names: a stored response is validated before each use.
    pub no_cache: bool,
    /// `private`, with or without field names.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate` or `proxy-revalidate`: never served stale.
    pub must_revalidate: bool,
    /// `no-transform`: the body is sent as the origin made it.
    pub no_transform: bool,
}

impl Directives {
    /// The directives of a response: `CDN-Cache-Control` where the origin sent one (RFC 9213 §2.1), else `Cache-Control`.
    #[must_use]
    pub fn of_response(headers: &HeaderMap) -> Self {
        let targeted = Self::read(headers, "cdn-cache-control");
        let general = || Self::read(headers, CACHE_CONTROL).unwrap_or_default();
        match targeted {
            // no-transform is about the body, not about storing, so it holds wherever it was said.
            Some(targeted) => {
                Self { no_transform: targeted.no_transform || general().no_transform, ..targeted }
            }
            None => general(),
        }
    }

    /// Reads every line of the named header; `None` when there is none.
    fn read(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        let mut directives = Self::default();
        for line in lines {
            let Ok(line) = line.to_str() else {
                // A value that is not text cannot be trusted to allow anything.
                directives.no_store = true;
                continue;
            };
            for directive in split_list(line) {
                directives.apply(directive);
            }
        }
        Some(directives)
    }

    fn apply(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (directive.trim(), None),
        };
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "public" => self.public = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "no-transform" => self.no_transform = true,
            "max-age" => shorten(&mut self.max_age, value),
            "s-maxage" => shorten(&mut self.s_maxage, value),
            "stale-while-revalidate" => shorten(&mut self.stale_while_revalidate, value),
            "stale-if-error" => shorten(&mut self.stale_if_error, value),
            _ => {}
        }
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
    Some(Duration::from_secs(text.parse::<u64>().unwrap_or(MOST).min(MOST)))
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
