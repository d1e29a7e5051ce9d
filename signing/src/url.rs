//! Signing parameters in a URL, found and taken out byte for byte.
//!
//! Nothing is decoded: a name written as `%45xpires` is not `Expires`, so it stays in the URL, and a signature then
//! has to cover it. What is taken out here is exactly what verification reads, so no byte of a request escapes both.

use crate::{Reason, SchemeName};
use std::borrow::Cow;

/// The values of these parameters of the query, as sent. Names are case-sensitive; each may occur once, for two readers could
/// otherwise choose two different ones.
pub(crate) fn find<'a, const N: usize>(
    path_and_query: &'a str,
    names: [&'static str; N],
) -> Result<[Option<&'a str>; N], Reason> {
    let mut found = [None; N];
    let Some((_, query)) = path_and_query.split_once('?') else {
        return Ok(found);
    };
    for part in query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let Some(place) = names.iter().position(|known| *known == name) else { continue };
        if found[place].replace(value).is_some() {
            return Err(Reason::ParameterDuplicate(names[place]));
        }
    }
    Ok(found)
}

/// The path and query without `Expires`, `Signature`, `Key-Pair-Id`, `Policy` and `Hash-Algorithm`: what
/// [`sign_canned`](crate::sign_canned) signed.
#[must_use]
pub fn strip(path_and_query: &str) -> Cow<'_, str> {
    strip_all(path_and_query, &[SchemeName::Cloudfront])
}

/// The path and query without what belongs to tokens of these schemes.
///
/// Every other byte stays, in its order: this is what a signature covers, what the cache key is made of and what the origin
/// is asked for. A whole URL may stand there too.
#[must_use]
pub fn strip_all<'a>(path_and_query: &'a str, schemes: &[SchemeName]) -> Cow<'a, str> {
    let is_signing = |part: &str| {
        let name = part.split_once('=').map_or(part, |pair| pair.0);
        schemes.iter().any(|scheme| scheme.parameters().contains(&name))
    };
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let bare = match schemes.contains(&SchemeName::UriSigning) {
        true => without_path_parameter(path, SchemeName::PACKAGE),
        false => Cow::Borrowed(path),
    };
    let signs = query.is_some_and(|query| query.split('&').any(is_signing));
    if !signs && matches!(bare, Cow::Borrowed(_)) {
        return Cow::Borrowed(path_and_query);
    }
    let mut kept = String::with_capacity(path_and_query.len());
    kept.push_str(&bare);
    let mut separator = '?';
    for part in query.iter().flat_map(|query| query.split('&')).filter(|part| !is_signing(part)) {
        kept.push(separator);
        kept.push_str(part);
        separator = '&';
    }
    Cow::Owned(kept)
}

/// The value of a path parameter (RFC 3986 section 3.3): from `;NAME=` to the next `;`, `/` or the path's end.
pub(crate) fn path_parameter<'a>(
    path_and_query: &'a str,
    name: &'static str,
) -> Result<Option<&'a str>, Reason> {
    let path = path_and_query.split_once('?').map_or(path_and_query, |parts| parts.0);
    let mut values = path
        .split('/')
        .flat_map(|segment| segment.split(';').skip(1))
        .filter_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Reason::ParameterDuplicate(name)),
        (value, None) => Ok(value),
    }
}

/// A path without a token that may stand in it, whatever the scheme: for logs.
#[must_use]
pub fn without_token(path: &str) -> Cow<'_, str> {
    without_path_parameter(path, SchemeName::PACKAGE)
}

fn without_path_parameter<'a>(path: &'a str, name: &str) -> Cow<'a, str> {
    let is_it = |part: &str| part.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    if !path.split('/').any(|segment| segment.split(';').skip(1).any(is_it)) {
        return Cow::Borrowed(path);
    }
    let bare = |segment: &str| {
        let mut parts = segment.split(';').enumerate();
        let kept: Vec<&str> =
            parts.by_ref().filter(|(index, part)| *index == 0 || !is_it(part)).map(|part| part.1).collect();
        kept.join(";")
    };
    Cow::Owned(path.split('/').map(bare).collect::<Vec<_>>().join("/"))
}

/// Whether the path has a segment that is `.` or `..`, also where it is escaped, where an escaped slash or a backslash ends it, or
/// where parameters follow, which origins may take off. Whoever follows such a path ends elsewhere than it begins.
pub(crate) fn has_dot_segments(path_and_query: &str) -> bool {
    let path = path_and_query.split_once('?').map_or(path_and_query, |parts| parts.0);
    let plain = match path.contains('%') {
        false => Cow::Borrowed(path),
        true => {
            let path = path.to_ascii_lowercase();
            let path = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("%3b", ";");
            Cow::Owned(path)
        }
    };
    plain.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// RFC 3986 section 2 knows no others; `"` and `\` would also blur where a URL ends within a policy's JSON.
pub(crate) fn is_url_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strip_takes_out_the_signing_parameters_and_nothing_else() {
        for (signed, plain) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?b=1&c", "/a?b=1&c"),
            ("/a?Expires=1&Signature=s&Key-Pair-Id=K", "/a"),
            ("/a?Policy=p&Signature=s&Key-Pair-Id=K&Hash-Algorithm=SHA256", "/a"),
            ("/a?&Expires=1", "/a?"),
            ("/a?b=1&&Expires=1", "/a?b=1&"),
            ("/a?Expires=1&b=%20+&Signature=s&c=/?&Key-Pair-Id=K&&d", "/a?b=%20+&c=/?&&d"),
            ("/a?Expires=1&Expires=2", "/a"),
            ("/a?Expires", "/a"),
            ("/Expires=1?b", "/Expires=1?b"),
            ("?Expires=1", ""),
        ] {
            assert_eq!(strip(signed), plain, "of {signed}");
        }
    }

    #[test]
    fn strip_copies_nothing_when_there_is_nothing_to_strip() {
        for url in ["/a", "/a?b=1", "/a?b=Expires"] {
            assert!(matches!(strip(url), Cow::Borrowed(_)));
        }
    }

    const NAMES: [&str; 3] = ["Expires", "Signature", "Key-Pair-Id"];

    #[test]
    fn only_the_exact_names_count() {
        for url in [
            "/a?expires=1",
            "/a?EXPIRES=1",
            "/a?%45xpires=1",
            "/a?Expires%3D1",
            "/a?xExpires=1",
            "/a?Expiresx=1",
            "/a?b;Expires=1",
            "/a?+Expires=1",
            "/a??Expires=1",
            "/a;Expires=1",
        ] {
            assert_eq!(strip(url), url);
            assert_eq!(find(url, NAMES), Ok([None; 3]), "in {url}");
        }
    }

    #[test]
    fn a_parameter_twice_is_refused_whatever_its_value() {
        for name in NAMES {
            for url in [
                format!("/a?{name}=1&{name}=1"),
                format!("/a?{name}=1&b=2&{name}=2"),
                format!("/a?{name}&{name}="),
            ] {
                assert_eq!(find(&url, NAMES), Err(Reason::ParameterDuplicate(name)), "in {url}");
            }
        }
    }

    #[test]
    fn values_are_given_as_sent() {
        let found = find("/a?Signature=a=b%3D&Expires=", NAMES);
        assert_eq!(found, Ok([Some(""), Some("a=b%3D"), None]));
    }

    #[test]
    fn dot_segments_are_found_however_they_are_written() {
        for path in [
            "/a/../b",
            "/a/.",
            "/..",
            "/a/%2e%2E/b",
            "/a/.%2e?b",
            "/a/..%2fb",
            "/a%5C..%5cb",
            "/a\\..\\b",
            "/a/..;v=1/b",
            "/a/..;URISigningPackage=x/b",
            "/a/..%3bv/b",
        ] {
            assert!(has_dot_segments(path), "{path}");
        }
        for path in
            ["/", "/a.b/c..d/...", "/.well-known/a", "/a?b=/../c", "/a;../b", "/%252e%252e/a", "/a/.%2eb"]
        {
            assert!(!has_dot_segments(path), "{path}");
        }
    }

    #[test]
    fn a_path_parameter_is_found_and_taken_out() {
        let all = [SchemeName::UriSigning];
        for (path, value, bare) in [
            ("/a;URISigningPackage=x.y/b.ts?c", Some("x.y"), "/a/b.ts?c"),
            ("/;v=1;URISigningPackage=x;w/b", Some("x"), "/;v=1;w/b"),
            ("/a/b;URISigningPackage=x", Some("x"), "/a/b"),
            ("/a/b;URISigningPackage=x?URISigningPackage=y&d", Some("x"), "/a/b?d"),
            ("/URISigningPackage=x/b", None, "/URISigningPackage=x/b"),
            ("/a;URISigningPackagex=x/b", None, "/a;URISigningPackagex=x/b"),
            ("/a?b=/;URISigningPackage=x", None, "/a?b=/;URISigningPackage=x"),
        ] {
            assert_eq!(path_parameter(path, SchemeName::PACKAGE), Ok(value), "in {path}");
            assert_eq!(strip_all(path, &all), bare);
        }
        let twice = "/a;URISigningPackage=x/b;URISigningPackage=y";
        assert!(path_parameter(twice, SchemeName::PACKAGE).is_err());
        assert_eq!(strip_all(twice, &all), "/a/b");
        assert_eq!(strip("/a;URISigningPackage=x"), "/a;URISigningPackage=x");
    }
}
