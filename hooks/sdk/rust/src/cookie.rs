//! Cookies, both ways (RFC 6265).

use std::fmt::{self, Display};
use std::time::Duration;

/// A cookie for [`Response::add_cookie`](crate::Response::add_cookie), for all paths of the host that answers.
///
/// ```
/// use selvedge_hook::Cookie;
/// use std::time::Duration;
///
/// let cookie = Cookie::new("bucket", "b").max_age(Duration::from_secs(86400)).secure().http_only();
/// assert_eq!(cookie.to_string(), "bucket=b; Path=/; Max-Age=86400; SameSite=Lax; Secure; HttpOnly");
/// ```
#[derive(Debug, Clone)]
pub struct Cookie {
    name: String,
    value: String,
    path: String,
    max_age: Option<Duration>,
    same_site: SameSite,
    secure: bool,
    http_only: bool,
}

/// Whether a cookie comes along from other sites' pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed.
    #[default]
    Lax,
    /// Always; browsers demand [`Cookie::secure`] with it.
    None,
}

impl Cookie {
    /// A cookie until the browser closes. The value must have no spaces, quotes, commas, semicolons or backslashes; encode
    /// what may, with [`query::encode`](crate::query::encode).
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            path: "/".to_owned(),
            max_age: None,
            same_site: SameSite::default(),
            secure: false,
            http_only: false,
        }
    }

    /// Only for paths below this one.
    #[must_use]
    pub fn path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Kept for so long, in whole seconds; zero deletes the cookie.
    #[must_use]
    pub fn max_age(self, age: Duration) -> Self {
        Self { max_age: Some(age), ..self }
    }

    /// Whether it comes along from other sites' pages; `Lax` unless said.
    #[must_use]
    pub fn same_site(self, same_site: SameSite) -> Self {
        Self { same_site, ..self }
    }

    /// Only over HTTPS.
    #[must_use]
    pub fn secure(self) -> Self {
        Self { secure: true, ..self }
    }

    /// Not for scripts of the page.
    #[must_use]
    pub fn http_only(self) -> Self {
        Self { http_only: true, ..self }
    }
}

impl Display for Cookie {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, path, .. } = self;
        write!(formatter, "{name}={value}; Path={path}")?;
        if let Some(age) = self.max_age {
            write!(formatter, "; Max-Age={}", age.as_secs())?;
        }
        formatter.write_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        })?;
        if self.secure {
            formatter.write_str("; Secure")?;
        }
        if self.http_only {
            formatter.write_str("; HttpOnly")?;
        }
        Ok(())
    }
}

/// The value of a cookie in a `Cookie` field, without quotes around it.
pub(crate) fn find<'a>(field: &'a str, name: &str) -> Option<&'a str> {
    let value =
        field.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// A `Cookie` field without one cookie.
pub(crate) fn without(field: &str, name: &str) -> String {
    let is_other = |pair: &&str| pair.split('=').next() != Some(name);
    field.split(';').map(str::trim).filter(is_other).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        assert_eq!(find("xa=1; a=2; a=3", "a"), Some("2"));
        assert_eq!(find("a=\"quoted=1\"; b", "a"), Some("quoted=1"));
        assert_eq!(find("a", "a"), None);
        assert_eq!(find("", ""), None);
    }

    #[test]
    fn one_cookie_goes_and_the_others_stay() {
        assert_eq!(without("a=1; b=2; a=3", "a"), "b=2");
        assert_eq!(without("a=1", "a"), "");
        assert_eq!(without("ab=1;a=2", "a"), "ab=1");
    }
}
