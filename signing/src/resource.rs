//! Which URLs the resource of a policy is about.
//!
//! Source: Amazon CloudFront Developer Guide, "Create a signed URL using a custom policy", under `Resource`: `*` stands for any
//! number of characters and `?` for exactly one; a resource begins with `http://`, `https://` or a star; a star at its end takes
//! in the query too, as in its example `…/*game_download.zip*`, which is about `…_game_download.zip?license=yes`.
//!
//! A URL has four sections: scheme, authority, path and query. A wildcard never reaches from one section into the next, but for
//! a star at the very end, which covers all that follows. So `https://*.example.com/a` is not about `https://x/y.example.com/a`.

use crate::Presented;

/// The resource of a policy, scheme and authority in lower case, as those of a request are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    text: Box<str>,
    scheme_end: usize,
    authority_start: usize,
    authority_end: usize,
}

impl Resource {
    /// `None` when it begins in no way that CloudFront knows.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let in_scheme = |text: &str| {
            text.split_once("://").filter(|(scheme, _)| !scheme.contains('/')).map(|s| s.0.len())
        };
        let (scheme_end, authority_start) = match in_scheme(text) {
            Some(end) => (end, end + "://".len()),
            // The star is the scheme and what begins the authority.
            None if text.starts_with('*') => (1, 0),
            None => return None,
        };
        let rest = &text[authority_start..];
        let authority_end = authority_start + rest.find('/').unwrap_or(rest.len());
        let (head, tail) = text.split_at(authority_end);
        let text = [head.to_ascii_lowercase().as_str(), tail].concat().into();
        Some(Self { text, scheme_end, authority_start, authority_end })
    }

    /// Whether it can be about one URL only, and so is compared at no cost.
    pub(crate) fn is_exact(&self) -> bool {
        !self.text.contains('*') && self.text.matches('?').count() <= 1
    }

    /// Whether it is about what the viewer asked for, `path_and_query` without signing parameters.
    pub(crate) fn covers(&self, presented: &Presented<'_>, path_and_query: &str) -> bool {
        let text = &*self.text;
        if text == "*" {
            return true;
        }
        let (authority, path) =
            (&text[self.authority_start..self.authority_end], &text[self.authority_end..]);
        matches(&text[..self.scheme_end], presented.scheme)
            && matches(authority, presented.authority)
            // Without a path, only a star at the end leaves the path open.
            && if path.is_empty() { authority.ends_with('*') } else { covers_path(path, path_and_query) }
    }
}

/// In a pattern, `?` may be the query's delimiter or a wildcard, so each of them is tried as the delimiter.
fn covers_path(pattern: &str, path_and_query: &str) -> bool {
    let Some((path, query)) = path_and_query.split_once('?') else {
        return matches(pattern, path_and_query);
    };
    if pattern.ends_with('*') && matches(pattern, path) {
        return true;
    }
    pattern.match_indices('?').any(|(delimiter, _)| {
        matches(&pattern[delimiter + 1..], query) && matches(&pattern[..delimiter], path)
    })
}

/// `*`: any characters, `?`: exactly one. Bytes are compared, for a URL has no others.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and where in the text it ends so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, read));
            }
            Some(&byte) if byte == b'?' || byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match &mut star {
                Some((behind, end)) => {
                    *end += 1;
                    (at, read) = (*behind, *end);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(resource: &str, url: &str) -> bool {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
        let presented = Presented::url(scheme, authority, path_and_query);
        Resource::parse(resource).unwrap().covers(&presented, path_and_query)
    }

    #[test]
    fn the_developer_guides_examples() {
        for url in [
            "http://d111111abcdef8.cloudfront.net/game_download.zip",
            "http://d111111abcdef8.cloudfront.net/example_game_download.zip?license=yes",
            "http://d111111abcdef8.cloudfront.net/test_game_download.zip?license=temp",
        ] {
            assert!(covers("http://d111111abcdef8.cloudfront.net/*game_download.zip*", url), "{url}");
        }
        assert!(covers(
            "http*://d111111abcdef8.cloudfront.net/training/*",
            "https://d111111abcdef8.cloudfront.net/training/a/b.jpg"
        ));
        assert!(covers("*", "https://cdn.test/a?b"));
    }

    #[test]
    fn a_wildcard_stays_in_its_section() {
        for (resource, covered, not) in [
            ("https://*.cdn.test/a", "https://x.cdn.test/a", "https://x/y.cdn.test/a"),
            ("http*://cdn.test/a", "https://cdn.test/a", "https://x://cdn.test/a"),
            ("https://cdn.test/*.jpg", "https://cdn.test/a/b.jpg", "https://cdn.test/secret?x=.jpg"),
            (
                "https://cdn.test/*.jpg?w=*",
                "https://cdn.test/a.jpg?w=9&h=1",
                "https://cdn.test/a.jpg?h=1&w=9",
            ),
            ("https://cdn.test/a?b", "https://cdn.test/a?b", "https://cdn.test/a?c"),
            ("https://cdn.test/a?c", "https://cdn.test/abc", "https://cdn.test/abbc"),
            ("https://cdn.test/a*?*", "https://cdn.test/ab?c", "https://cdn.test/b?c"),
            ("https://cdn.test/a?", "https://cdn.test/a?", "https://cdn.test/a"),
            ("https://cdn.test/", "https://cdn.test/", "https://cdn.test/?"),
            ("*cdn.test/a/*", "http://cdn.test/a/b", "http://x/cdn.test/a/b"),
            ("*/a/*", "http://cdn.test/a/b", "http://cdn.test/b/a/b"),
            ("https://CDN.Test/A", "https://cdn.test/A", "https://cdn.test/a"),
        ] {
            assert!(covers(resource, covered), "{resource} is not about {covered}");
            assert!(!covers(resource, not), "{resource} is about {not}");
        }
    }

    #[test]
    fn a_star_at_the_end_covers_what_follows() {
        for (resource, url) in [
            ("https://cdn.test/*", "https://cdn.test/a?b=c"),
            ("https://cdn.test/*", "https://cdn.test/"),
            ("https://cdn.test*", "https://cdn.test/a?b"),
            ("https://*", "https://cdn.test/a"),
            ("https://cdn.test/a*", "https://cdn.test/a?b"),
            ("https://cdn.test/a?b=*", "https://cdn.test/a?b=1&c=2"),
        ] {
            assert!(covers(resource, url), "{resource} is not about {url}");
        }
        assert!(!covers("https://cdn.test", "https://cdn.test/"));
        assert!(!covers("https://cdn.test/*/x", "https://cdn.test/a?/x"));
    }

    #[test]
    fn nothing_is_decoded() {
        assert!(!covers("https://cdn.test/a b*", "https://cdn.test/a%20bc"));
        assert!(!covers("https://cdn.test/a%2Fb", "https://cdn.test/a%2fb"));
        assert!(covers("https://cdn.test/a%??b", "https://cdn.test/a%20b"));
    }

    #[test]
    fn only_what_has_no_choice_is_exact() {
        let is_exact = |text| Resource::parse(text).unwrap().is_exact();
        assert!(is_exact("https://cdn.test/a?b") && is_exact("https://cdn.test/"));
        assert!(!is_exact("https://cdn.test/*") && !is_exact("https://cdn.test/a?b?c") && !is_exact("*"));
        assert!(Resource::parse("cdn.test/a").is_none() && Resource::parse("/a").is_none());
    }
}
