//! Whom a request is for: the host that it names, and the forms of it that routes and keys go by.

use crate::error::Fault;
use http::header::HOST;
use http::request::Parts;

/// What may stand in an authority, by byte.
static IN_AUTHORITY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        let is_mark = matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
        table[byte as usize] = byte.is_ascii_alphanumeric() || is_mark;
        byte += 1;
    }
    table
};

/// RFC 9112 §3.2: exactly one `Host`, and an absolute target must not contradict it.
pub fn authority(request: &Parts) -> Result<String, Fault> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next().map(|value| value.to_str().map_err(|_| Fault::BadHost)).transpose()?;
    if hosts.next().is_some() {
        return Err(Fault::BadHost);
    }
    let target = request.uri.authority().map(http::uri::Authority::as_str);
    let chosen = match (target, host) {
        (Some(target), Some(host)) if !target.eq_ignore_ascii_case(host) => return Err(Fault::BadHost),
        (Some(target), _) => target,
        (None, Some(host)) => host,
        (None, None) => return Err(Fault::BadHost),
    };
    let is_valid = |byte: u8| IN_AUTHORITY[usize::from(byte)];
    if chosen.is_empty() || chosen.len() > 261 || !chosen.bytes().all(is_valid) {
        return Err(Fault::BadHost);
    }
    Ok(chosen.to_ascii_lowercase())
}

/// The host of an authority: no port, no trailing dot.
#[must_use]
pub fn host_of(authority: &str) -> &str {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => {
            authority.bytes().position(|byte| byte == b':').map_or(authority, |colon| &authority[..colon])
        }
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// The authority as the key has it: RFC 3986 §6.2.3, the default port of a scheme says no more than none.
#[must_use]
pub fn keyed_authority<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let default = match scheme {
        "https" => ":443",
        _ => ":80",
    };
    authority.strip_suffix(default).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, hosts: &[&str]) -> Parts {
        let mut builder = http::Request::builder().uri(uri);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn there_is_exactly_one_host() {
        assert_eq!(authority(&request("/a", &["WWW.Example.com:8080"])).unwrap(), "www.example.com:8080");
        assert_eq!(authority(&request("http://a.example/x", &[])).unwrap(), "a.example");
        assert_eq!(authority(&request("http://a.example/x", &["A.example"])).unwrap(), "a.example");
        for (uri, hosts) in [
            ("/a", &[][..]),
            ("/a", &["a", "a"]),
            ("/a", &[""]),
            ("/a", &["a/b"]),
            ("/a", &["user@a"]),
            ("http://a.example/x", &["b.example"]),
        ] {
            assert!(matches!(authority(&request(uri, hosts)), Err(Fault::BadHost)), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn hosts_have_no_port() {
        for (authority, host) in [
            ("a.example:80", "a.example"),
            ("a.example.", "a.example"),
            ("[::1]:80", "::1"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }

    #[test]
    fn a_default_port_is_no_port() {
        for (authority, scheme, keyed) in [
            ("a.example:80", "http", "a.example"),
            ("a.example:443", "https", "a.example"),
            ("a.example:443", "http", "a.example:443"),
            ("a.example:8080", "http", "a.example:8080"),
            ("[::80]", "http", "[::80]"),
            ("[::1]:80", "http", "[::1]"),
        ] {
            assert_eq!(keyed_authority(authority, scheme), keyed, "{authority} {scheme}");
        }
    }
}
