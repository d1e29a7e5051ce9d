//! The address of an origin.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The scheme of a bucket.
const BUCKET: &str = "s3";

/// `http(s)://host[:port][/prefix]`, taken apart. A default port is left out of the authority, as in a `Host` field. Or
/// `s3://bucket[/prefix]`: then the host is the bucket's name, and the settings say where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginUrl {
    scheme: Scheme,
    authority: Authority,
    host_field: HeaderValue,
    prefix: String,
}

/// Why a text is not the address of an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginUrlError {
    /// Not a URL at all.
    #[error("{text:?} is not a URL ({cause}): write http://host, https://host:port or https://host/prefix")]
    Malformed {
        /// What was written.
        text: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A scheme that is not spoken.
    #[error("{text:?} does not start with http://, https:// or s3://, the schemes that an origin can have")]
    Scheme {
        /// What was written.
        text: String,
    },
    /// A user name or password.
    #[error(
        "the URL of an origin holds no user name or password: set an Authorization header on the route instead"
    )]
    Credentials,
    /// A name that no bucket can have.
    #[error(
        "{text:?} names no bucket: write s3:// and 3 to 63 letters, digits, dots and hyphens, and perhaps a prefix"
    )]
    Bucket {
        /// What was written.
        text: String,
    },
    /// A port that does not exist.
    #[error("{text:?} has no usable port: give a number from 1 to 65535 after the host, or none")]
    Port {
        /// What was written.
        text: String,
    },
    /// A query or a fragment, which the request brings itself.
    #[error("{text:?} has a query or fragment: an origin is only host, port and path prefix")]
    Query {
        /// What was written.
        text: String,
    },
}

impl OriginUrl {
    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Whether this is a bucket, whose service the settings name.
    pub fn is_bucket(&self) -> bool {
        self.scheme.as_str() == BUCKET
    }

    /// The host name or address, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, written or implied by the scheme.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(default_port(&self.scheme))
    }

    /// What is sent as `Host` or `:authority`.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What is put before the path of every request; empty, or starting with and not ending in `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The authority as the value of a `Host` field.
    pub(crate) fn host_field(&self) -> HeaderValue {
        self.host_field.clone()
    }

    /// What is asked for at this origin, for a request's own path and query. RFC 9112 section 3.2.1, origin-form.
    pub(crate) fn target(&self, requested: Option<&PathAndQuery>) -> Result<PathAndQuery, http::Error> {
        let requested = requested.cloned().unwrap_or(PathAndQuery::from_static("/"));
        // The asterisk of OPTIONS (section 3.2.4) means the whole origin and has no path to put a prefix before.
        if self.prefix.is_empty() || requested == "*" {
            return Ok(requested);
        }
        Ok(PathAndQuery::try_from(format!("{}{requested}", self.prefix))?)
    }

    /// `target` with scheme and authority, as HTTP/2 wants it (RFC 9113 section 8.3.1).
    pub(crate) fn absolute(&self, authority: &Authority, target: PathAndQuery) -> Result<Uri, http::Error> {
        Uri::builder().scheme(self.scheme.clone()).authority(authority.clone()).path_and_query(target).build()
    }
}

impl FromStr for OriginUrl {
    type Err = OriginUrlError;

    fn from_str(text: &str) -> Result<Self, OriginUrlError> {
        let malformed = |cause: &dyn fmt::Display| OriginUrlError::Malformed {
            text: text.into(),
            cause: cause.to_string(),
        };
        if text.contains('#') {
            return Err(OriginUrlError::Query { text: text.into() });
        }
        let parts = text.parse::<Uri>().map_err(|error| malformed(&error))?.into_parts();
        let scheme = parts
            .scheme
            .filter(|scheme| ["http", "https", BUCKET].contains(&scheme.as_str()))
            .ok_or_else(|| OriginUrlError::Scheme { text: text.into() })?;
        let authority = parts.authority.ok_or_else(|| malformed(&"it has no host"))?;
        let target = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        if target.query().is_some() {
            return Err(OriginUrlError::Query { text: text.into() });
        }
        let authority = canonical(&scheme, &authority, text)?;
        Ok(Self {
            host_field: HeaderValue::from_str(authority.as_str()).map_err(|error| malformed(&error))?,
            authority,
            scheme,
            prefix: target.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// The authority without a default port, and without what an origin must not have.
fn canonical(scheme: &Scheme, authority: &Authority, text: &str) -> Result<Authority, OriginUrlError> {
    if authority.as_str().contains('@') {
        return Err(OriginUrlError::Credentials);
    }
    let host = authority.host();
    if host.is_empty() {
        return Err(OriginUrlError::Malformed { text: text.into(), cause: "it has no host".into() });
    }
    if scheme.as_str() == BUCKET && !is_bucket_name(authority.as_str()) {
        return Err(OriginUrlError::Bucket { text: text.into() });
    }
    if authority.as_str().len() == host.len() {
        return Ok(authority.clone());
    }
    match authority.port_u16() {
        None | Some(0) => Err(OriginUrlError::Port { text: text.into() }),
        Some(port) if port == default_port(scheme) => Authority::try_from(host)
            .map_err(|error| OriginUrlError::Malformed { text: text.into(), cause: error.to_string() }),
        Some(_) => Ok(authority.clone()),
    }
}

/// S3's rule for names, and capitals and underlines, which the oldest buckets may have.
fn is_bucket_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (3..=63).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn default_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

impl Serialize for OriginUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OriginUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = OriginUrl;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the URL of an origin, as in \"http://127.0.0.1:9000\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OriginUrl, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for OriginUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OriginUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(https?|s3)://[^@?#]+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> OriginUrl {
        text.parse().unwrap()
    }

    #[test]
    fn host_port_and_prefix_are_taken_apart() {
        let origin = url("https://app.internal:8443/site/");
        assert!(origin.is_https());
        assert_eq!((origin.host(), origin.port(), origin.prefix()), ("app.internal", 8443, "/site"));
        assert_eq!(origin.to_string(), "https://app.internal:8443/site");

        let plain = url("http://[::1]");
        assert_eq!((plain.host(), plain.port(), plain.prefix()), ("::1", 80, ""));
    }

    #[test]
    fn a_bucket_has_a_name_and_perhaps_a_prefix() {
        let bucket = url("s3://media/site/");
        assert!(bucket.is_bucket() && !bucket.is_https());
        assert_eq!((bucket.host(), bucket.prefix()), ("media", "/site"));
        assert_eq!(bucket.to_string(), "s3://media/site");
        assert!(!url("https://media").is_bucket());
    }

    #[test]
    fn a_default_port_is_not_part_of_the_host_field() {
        assert_eq!(url("http://a:80").authority().as_str(), "a");
        assert_eq!(url("https://a:443/x").authority().as_str(), "a");
        assert_eq!(url("https://a:80").authority().as_str(), "a:80");
        assert_eq!(url("http://[::1]:80").authority().as_str(), "[::1]");
    }

    #[test]
    fn a_request_keeps_its_path_and_query_behind_the_prefix() {
        let requested = PathAndQuery::from_static("/a%2Fb?c=d&&e");
        assert_eq!(url("http://h").target(Some(&requested)).unwrap(), "/a%2Fb?c=d&&e");
        let prefixed = url("https://h:1/p");
        let target = prefixed.target(Some(&requested)).unwrap();
        assert_eq!(target, "/p/a%2Fb?c=d&&e");
        assert_eq!(prefixed.absolute(prefixed.authority(), target).unwrap(), "https://h:1/p/a%2Fb?c=d&&e");
        assert_eq!(prefixed.target(None).unwrap(), "/p/");
        assert_eq!(prefixed.target(Some(&PathAndQuery::from_static("*"))).unwrap(), "*");
    }

    #[test]
    fn what_is_not_an_origin_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "is not a URL"),
            ("127.0.0.1:9000", "http://"),
            ("localhost", "http://"),
            ("ftp://a", "http://"),
            ("s3://", "is not a URL"),
            ("s3://me", "names no bucket"),
            ("s3://media:80", "names no bucket"),
            ("s3://key:secret@media", "user name"),
            ("s3://media?list-type=2", "query"),
            ("http://", "is not a URL"),
            ("http:///x", "is not a URL"),
            ("http://u:p@a", "user name"),
            ("http://a:0", "port"),
            ("http://a:", "port"),
            ("http://a:99999", "port"),
            ("http://a/?x=1", "query"),
            ("http://a/#x", "query"),
            ("http://a b", "is not a URL"),
            ("http://bücher.example", "is not a URL"),
        ] {
            let error = text.parse::<OriginUrl>().map(|url| url.to_string()).expect_err(text).to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
