//! Signing parameters in a URL, found and taken out byte for byte.
//!
//! Nothing is decoded: a name written as `%45xpires` is not `Expires`, so it stays in the URL, and a signature then
//! has to cover it. What is taken out here is exactly what verification reads, so no byte of a request escapes both.

use crate::Reason;
use std::borrow::Cow;

/// The parameters that belong to a token. Names are case-sensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Expires,
    Signature,
    KeyPairId,
    Policy,
    HashAlgorithm,
}

impl Parameter {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Parameter::Expires => "Expires",
            Parameter::Signature => "Signature",
            Parameter::KeyPairId => "Key-Pair-Id",
            Parameter::Policy => "Policy",
            Parameter::HashAlgorithm => "Hash-Algorithm",
        }
    }

    /// The parameter that `part`, the text between two `&`, gives a value to; and the value.
    fn of(part: &str) -> Option<(Self, &str)> {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let parameter = match name {
            "Expires" => Parameter::Expires,
            "Signature" => Parameter::Signature,
            "Key-Pair-Id" => Parameter::KeyPairId,
            "Policy" => Parameter::Policy,
            "Hash-Algorithm" => Parameter::HashAlgorithm,
            _ => return None,
        };
        Some((parameter, value))
    }
}

/// The values of the signing parameters of one URL, as sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parameters<'a> {
    pub(crate) expires: Option<&'a str>,
    pub(crate) signature: Option<&'a str>,
    pub(crate) key_pair_id: Option<&'a str>,
    pub(crate) policy: Option<&'a str>,
    pub(crate) hash_algorithm: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    /// Reads them; each may occur once, for two readers could otherwise choose two different ones.
    pub(crate) fn find(path_and_query: &'a str) -> Result<Self, Reason> {
        let mut found = Parameters::default();
        let Some((_, query)) = path_and_query.split_once('?') else {
            return Ok(found);
        };
        for (parameter, value) in query.split('&').filter_map(Parameter::of) {
            let place = match parameter {
                Parameter::Expires => &mut found.expires,
                Parameter::Signature => &mut found.signature,
                Parameter::KeyPairId => &mut found.key_pair_id,
                Parameter::Policy => &mut found.policy,
                Parameter::HashAlgorithm => &mut found.hash_algorithm,
            };
            if place.replace(value).is_some() {
                return Err(Reason::ParameterDuplicate(parameter.name()));
            }
        }
        Ok(found)
    }

    pub(crate) fn are_absent(&self) -> bool {
        *self == Parameters::default()
    }
}

/// The path and query without `Expires`, `Signature`, `Key-Pair-Id`, `Policy` and `Hash-Algorithm`.
///
/// Every other byte stays, in its order: this is what the signature covers, what the cache key is made of and what
/// the origin is asked for. It undoes [`sign_canned`](crate::sign_canned) exactly.
#[must_use]
pub fn strip(path_and_query: &str) -> Cow<'_, str> {
    let Some((path, query)) = path_and_query.split_once('?') else {
        return Cow::Borrowed(path_and_query);
    };
    if !query.split('&').any(|part| Parameter::of(part).is_some()) {
        return Cow::Borrowed(path_and_query);
    }
    let mut kept = String::with_capacity(path_and_query.len());
    kept.push_str(path);
    let mut separator = '?';
    for part in query.split('&') {
        if Parameter::of(part).is_none() {
            kept.push(separator);
            kept.push_str(part);
            separator = '&';
        }
    }
    Cow::Owned(kept)
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
            assert!(Parameters::find(url).unwrap().are_absent(), "in {url}");
        }
    }

    #[test]
    fn a_parameter_twice_is_refused_whatever_its_value() {
        for name in ["Expires", "Signature", "Key-Pair-Id", "Policy", "Hash-Algorithm"] {
            for url in [
                format!("/a?{name}=1&{name}=1"),
                format!("/a?{name}=1&b=2&{name}=2"),
                format!("/a?{name}&{name}="),
            ] {
                let refused = Parameters::find(&url).unwrap_err();
                assert_eq!(refused, Reason::ParameterDuplicate(name), "in {url}");
            }
        }
    }

    #[test]
    fn values_are_given_as_sent() {
        let found = Parameters::find("/a?Signature=a=b%3D&Expires=&Key-Pair-Id").unwrap();
        assert_eq!(found.signature, Some("a=b%3D"));
        assert_eq!(found.expires, Some(""));
        assert_eq!(found.key_pair_id, Some(""));
        assert_eq!(found.policy, None);
    }
}
