//! Which URLs a token is about (RFC 9246 section 2.1.15).

use crate::{Presented, Reason};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use regex::bytes::{Regex, RegexBuilder};
use std::borrow::Cow;

const MOST_PATTERN_BYTES: usize = 2048;
/// What a compiled pattern may weigh, and what it may use to match faster.
const MOST_COMPILED_BYTES: usize = 1 << 18;

#[derive(Debug)]
pub(crate) enum Container {
    Regex(Regex),
    /// SHA-256 of the URL.
    Hash([u8; 32]),
}

impl Container {
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        if let Some(pattern) = text.strip_prefix("regex:") {
            if pattern.len() > MOST_PATTERN_BYTES {
                return Err(Reason::TokenMalformed("the pattern of cdniuc is too long"));
            }
            // The whole URL must match: what is not anchored would be found in anybody's query.
            let regex = RegexBuilder::new(&format!("^(?:{pattern})$"))
                .unicode(false)
                .size_limit(MOST_COMPILED_BYTES)
                .dfa_size_limit(MOST_COMPILED_BYTES)
                .nest_limit(32)
                .build();
            return regex
                .map(Self::Regex)
                .map_err(|_| Reason::TokenMalformed("cdniuc is no pattern, or too large"));
        }
        let refused = Reason::TokenMalformed("cdniuc is neither regex: nor hash:sha-256;");
        // RFC 6920 section 5.
        let hash = text.strip_prefix("hash:sha-256;").ok_or(refused)?;
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(hash, &mut bytes) {
            Ok(32) => Ok(Self::Hash(bytes)),
            _ => Err(refused),
        }
    }

    /// Whether it takes long to make.
    pub(super) fn is_dear(&self) -> bool {
        matches!(self, Self::Regex(_))
    }

    /// Compares the URL, without the token, in its normal form as RFC 9246 section 3.1 has it: a pattern that leaves something out
    /// means it in every spelling. A hash may be that of the URL as sent too.
    pub(super) fn covers(&self, presented: &Presented<'_>, path_and_query: &str) -> bool {
        let normal = normal(presented, path_and_query);
        match self {
            Self::Regex(regex) => regex.is_match(normal.as_bytes()),
            Self::Hash(hash) => {
                let sent = [presented.scheme, "://", presented.authority, path_and_query].concat();
                let is_hash_of = |url: &str| digest(&SHA256, url.as_bytes()).as_ref() == hash;
                is_hash_of(&sent) || normal != sent && is_hash_of(&normal)
            }
        }
    }
}

/// RFC 9110 section 4.2.3 and RFC 3986 sections 6.2.2.1 and 6.2.2.2: no default port, percent-encodings in capitals, and none
/// where none is needed.
pub(super) fn normal(presented: &Presented<'_>, path_and_query: &str) -> String {
    let port = if presented.scheme == "https" { ":443" } else { ":80" };
    let authority = presented.authority.strip_suffix(port).unwrap_or(presented.authority);
    [presented.scheme, "://", authority, &decode_unreserved(path_and_query)].concat()
}

fn decode_unreserved(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let code = after.get(..2).filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normal.push(char::from(byte));
            }
            Some(byte) => normal.push_str(&format!("%{byte:02X}")),
            None => normal.push('%'),
        }
        rest = &after[if code.is_some() { 2 } else { 0 }..];
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(container: &str, url: &str) -> bool {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
        let presented = Presented::url(scheme, authority, path_and_query);
        Container::parse(container).unwrap().covers(&presented, path_and_query)
    }

    #[test]
    fn the_rfcs_pattern_opens_the_rfcs_urls() {
        let pattern = r"regex:[^:]*\:\/\/[^/]*/folder/content/quality_[^/]*/segment.{3}\.mp4(\?.*)?";
        assert!(covers(pattern, "https://cdn.test/folder/content/quality_a/segment001.mp4?x"));
        assert!(!covers(pattern, "https://cdn.test/folder/content/quality_a/b/segment001.mp4"));
    }

    #[test]
    fn a_pattern_matches_whole_urls_only() {
        assert!(covers("regex:https://cdn.test/a|https://cdn.test/b", "https://cdn.test/b"));
        for url in ["https://cdn.test/ab", "https://x.test/?https://cdn.test/a", "https://cdn.test/a?b"] {
            assert!(!covers("regex:https://cdn.test/a|https://cdn.test/b", url), "{url}");
        }
    }

    #[test]
    fn another_spelling_is_no_way_around_a_pattern() {
        let pattern = "regex:https://cdn.test/[^.]*";
        assert!(
            covers(pattern, "https://cdn.test/film") && covers(pattern, "https://cdn.test:443/%66ilm%2f")
        );
        assert!(
            !covers(pattern, "https://cdn.test/film.mp4") && !covers(pattern, "https://cdn.test/film%2Emp4")
        );
    }

    #[test]
    fn a_hash_is_that_of_the_url_as_sent_or_in_its_normal_form() {
        let hash =
            |url: &str| format!("hash:sha-256;{}", URL_SAFE_NO_PAD.encode(digest(&SHA256, url.as_bytes())));
        let good = hash("https://cdn.test/a~%2Fb");
        for url in ["https://cdn.test/a~%2Fb", "https://cdn.test/a%7e%2fb", "https://cdn.test:443/%61~%2Fb"] {
            assert!(covers(&good, url), "{url}");
        }
        for url in ["https://cdn.test/a~/b", "https://cdn.test:80/a~%2Fb", "https://cdn.test/a~%252Fb"] {
            assert!(!covers(&good, url), "{url}");
        }
        assert!(covers(&hash("https://cdn.test/a%7e"), "https://cdn.test/a%7e"));
    }

    #[test]
    fn only_what_can_be_matched_in_bounds_is_taken() {
        for text in [
            "regex:(",
            "regex:a{1000}{1000}",
            "regex:(?=a)",
            r"regex:(a)\1",
            "cdn.test/a",
            "hash:sha-256;AAAA",
            "hash:sha-1;AAAA",
            "",
        ] {
            assert!(Container::parse(text).is_err(), "{text} was taken");
        }
        assert!(Container::parse(&format!("regex:{}", "a".repeat(3000))).is_err());
    }

    #[test]
    fn odd_escapes_stay_as_they_are() {
        assert_eq!(decode_unreserved("/a%zz%4%"), "/a%zz%4%");
        assert_eq!(decode_unreserved("/%41%é%2f"), "/A%é%2F");
    }
}
