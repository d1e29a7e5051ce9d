//! Path patterns of routes.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word;

/// A pattern of URL paths: `"/img/*"`, `"*.jpg"`, `"/exact"`. A `*` stands for any characters, slashes too, or none;
/// everything else stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct PathPattern {
    text: String,
}

/// Why a string is no path pattern; the message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no path pattern: {cause}")]
pub struct PathError {
    text: String,
    cause: &'static str,
}

impl PathPattern {
    /// `/*`: every path.
    pub fn any() -> Self {
        PathPattern { text: "/*".into() }
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `path` (normalised, without query) is meant. Time grows with the lengths of both, never with their product
    /// for patterns of one `*`.
    pub fn matches(&self, path: &str) -> bool {
        if self.text == "/*" {
            return path.starts_with('/');
        }
        let Some((first, rest)) = self.text.split_once('*') else {
            return self.text == path;
        };
        let Some(mut left) = path.strip_prefix(first) else {
            return false;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The leftmost place of each part leaves the most room for those after it.
        for part in middle.split('*') {
            match left.find(part) {
                Some(at) => left = &left[at + part.len()..],
                None => return false,
            }
        }
        left.ends_with(last)
    }

    /// Whether every path of `other` is a path of this pattern too.
    pub fn covers(&self, other: &PathPattern) -> bool {
        // The parts between stars hold no star, so a `*` of the other can only be taken up by a `*` of this one.
        self.matches(&other.text)
    }

    /// Whether some path is meant by both.
    pub fn overlaps(&self, other: &PathPattern) -> bool {
        match (self.ends(), other.ends()) {
            (None, _) => other.matches(&self.text),
            (_, None) => self.matches(&other.text),
            // Between the longer of both starts and of both ends there is room for the middles of both.
            (Some((start, end)), Some((other_start, other_end))) => {
                (start.starts_with(other_start) || other_start.starts_with(start))
                    && (end.ends_with(other_end) || other_end.ends_with(end))
            }
        }
    }

    /// What stands before the first and behind the last `*`.
    fn ends(&self) -> Option<(&str, &str)> {
        let (start, rest) = self.text.split_once('*')?;
        Some((start, rest.rsplit_once('*').map_or(rest, |(_, end)| end)))
    }
}

impl FromStr for PathPattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let refuse = |cause| Err(PathError { text: text.into(), cause });
        if !text.starts_with(['/', '*']) {
            return refuse("it starts with `/`, or with `*` as in `*.jpg`");
        }
        if text.contains(['?', '#']) {
            return refuse("routes look at the path alone; query and fragment are no part of it");
        }
        // RFC 3986 section 2: anything else is percent-encoded in a URL.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("write spaces, control and non-ASCII characters percent-encoded, as in a URL");
        }
        if text.split('/').any(|segment| matches!(segment, "." | "..")) {
            return refuse("`.` and `..` are resolved before routes are looked at, so they never match");
        }
        Ok(PathPattern { text: text.into() })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for PathPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_any_characters_or_none() {
        for (text, path, expected) in [
            ("/img/*", "/img/", true),
            ("/img/*", "/img/a/b.jpg", true),
            ("/img/*", "/img", false),
            ("/x", "/x", true),
            ("/x", "/x/", false),
            ("*.jpg", "/a/b.jpg", true),
            ("*.jpg", "/a/b.jpg2", false),
            ("/a*a", "/a", false),
            ("/a*a", "/aa", true),
            ("/*/b/*.png", "/a/b/c.png", true),
            ("/*/b/*.png", "/b/c.png", false),
            ("/a**b", "/ab", true),
            ("/é".replace('é', "%C3%A9").as_str(), "/%C3%A9", true),
        ] {
            assert_eq!(pattern(text).matches(path), expected, "{text} {path}");
        }
    }

    #[test]
    fn covering_is_matching_everything_the_other_matches() {
        assert!(pattern("/*").covers(&pattern("/private/*")));
        assert!(pattern("/private/*").covers(&pattern("/private/*")));
        assert!(pattern("/private/*").covers(&pattern("/private/report")));
        assert!(pattern("*.jpg").covers(&pattern("/private/*.jpg")));
        assert!(!pattern("/private/*").covers(&pattern("/*")));
        assert!(!pattern("*.jpg").covers(&pattern("/private/*")));
    }

    #[test]
    fn overlapping_is_sharing_a_path() {
        assert!(pattern("*.jpg").overlaps(&pattern("/private/*")));
        assert!(pattern("/a*").overlaps(&pattern("/ab*c")));
        assert!(pattern("/a").overlaps(&pattern("/*")));
        assert!(!pattern("/a/*").overlaps(&pattern("/b/*")));
        assert!(!pattern("*.jpg").overlaps(&pattern("/a/*.png")));
        assert!(!pattern("/a").overlaps(&pattern("/b")));
    }

    #[test]
    fn what_never_matches_is_refused_with_its_remedy() {
        for (text, remedy) in [
            ("", "starts with"),
            ("img/*", "starts with"),
            ("/a?b=1", "query"),
            ("/a b", "percent-encoded"),
            ("/é", "percent-encoded"),
            ("/a/../b", "resolved"),
        ] {
            let message = text.parse::<PathPattern>().unwrap_err().to_string();
            assert!(message.contains(remedy), "{text}: {message}");
        }
    }
}
