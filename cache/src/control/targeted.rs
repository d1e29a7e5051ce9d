//! `CDN-Cache-Control`, a targeted field (RFC 9213): a structured dictionary, read strictly.

use super::Directives;
use http::{HeaderMap, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use std::time::Duration;

const CDN_CACHE_CONTROL: &str = "cdn-cache-control";

/// The field's directives. `None` where it is absent, empty, no valid dictionary, or gives a directive a value of the wrong
/// type: RFC 9213 §2.1 has it ignored as if it were not there.
pub(super) fn read(headers: &HeaderMap) -> Option<Directives> {
    let mut lines = headers.get_all(CDN_CACHE_CONTROL).iter().map(|line| line.to_str().ok());
    let first = lines.next()??;
    // RFC 9651 §4.2: lines are joined before they are parsed.
    let joined = lines.try_fold(first.to_owned(), |joined, line| Some(format!("{joined}, {}", line?)))?;
    let members: Dictionary =
        Parser::new(&joined).parse().ok().filter(|read: &Dictionary| !read.is_empty())?;
    let mut directives = Directives::default();
    for (name, value) in &members {
        let ListEntry::Item(item) = value else { continue };
        apply(&mut directives, name.as_str(), &item.bare_item)?;
    }
    Some(directives)
}

/// Writes the field, in place of the one that is there. What `private` and `no-cache` name goes under the narrower of the two
/// that was said; either keeps the fields out of the store.
pub(super) fn write(directives: &Directives, headers: &mut HeaderMap) {
    let mut members = Vec::new();
    for (name, lifetime) in [
        ("max-age", directives.max_age),
        ("s-maxage", directives.s_maxage),
        ("stale-while-revalidate", directives.stale_while_revalidate),
        ("stale-if-error", directives.stale_if_error),
    ] {
        members.extend(lifetime.map(|lifetime| format!("{name}={}", lifetime.as_secs())));
    }
    for (name, is_said) in [
        ("no-store", directives.no_store),
        ("no-cache", directives.no_cache),
        ("private", directives.private),
        ("public", directives.public),
        ("must-revalidate", directives.must_revalidate),
        ("must-understand", directives.must_understand),
        ("immutable", directives.immutable),
        ("no-transform", directives.no_transform),
    ] {
        members.extend(is_said.then(|| name.to_owned()));
    }
    if !directives.own_fields.is_empty() && !directives.private {
        let names: Vec<_> = directives.own_fields.iter().map(http::HeaderName::as_str).collect();
        members.push(format!("private=\"{}\"", names.join(", ")));
    }
    // Numbers, fixed words and field names: always a valid value.
    if let Ok(value) = HeaderValue::from_str(&members.join(", ")) {
        headers.insert(CDN_CACHE_CONTROL, value);
    }
}

/// Names are case-sensitive keys; those that are not known are left out. `None`: a value of the wrong type.
fn apply(directives: &mut Directives, name: &str, value: &BareItem) -> Option<()> {
    let seconds = || match value {
        BareItem::Integer(seconds) => Some(Some(lifetime(i64::from(*seconds)))),
        _ => None,
    };
    match (name, value) {
        ("max-age", _) => directives.max_age = seconds()?,
        ("s-maxage", _) => directives.s_maxage = seconds()?,
        ("stale-while-revalidate", _) => directives.stale_while_revalidate = seconds()?,
        ("stale-if-error", _) => directives.stale_if_error = seconds()?,
        (_, BareItem::Boolean(false)) => {}
        ("no-cache" | "private", BareItem::String(names)) => directives.apply(name, Some(names.as_str())),
        ("no-cache" | "private", _) => directives.apply(name, None),
        _ => directives.set(name),
    }
    Some(())
}

/// Negative lifetimes are over already; the longest is that of [`super::delta_seconds`].
fn lifetime(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default().min(1 << 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(lines: &[&str]) -> Option<Directives> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN_CACHE_CONTROL, line.parse().unwrap());
        }
        read(&headers)
    }

    #[test]
    fn valid_dictionaries_speak_for_themselves() {
        let read = field(&["max-age=60, foobar, stale-if-error=9", "must-revalidate"]).unwrap();
        assert_eq!((read.max_age, read.stale_if_error), (seconds(60), seconds(9)));
        assert!(read.must_revalidate && !read.no_store);
        assert_eq!(field(&["max-age=99999999999"]).unwrap().max_age, seconds(1 << 31));
        assert_eq!(field(&["max-age=-1"]).unwrap().max_age, seconds(0));
        assert!(field(&["no-store"]).unwrap().no_store);
        assert!(!field(&["no-store=?0"]).unwrap().no_store);
        assert!(field(&["private;a=b"]).unwrap().private);
        assert_eq!(field(&["private=\"set-cookie\", max-age=1"]).unwrap().own_fields, ["set-cookie"]);
        assert_eq!(field(&["max-age=1, max-age=5"]).unwrap().max_age, seconds(5), "RFC 9651: the last wins");
    }

    #[test]
    fn what_is_not_one_is_ignored() {
        for line in [
            "",
            "MaX-aGe=60",
            "max-age =60",
            "max-age= 60",
            "max-age=60, &&&&&",
            "max-age=\"60\"",
            "max-age=6.5",
            "max-age",
            "max-age=60,",
            "no-store\u{e9}",
            "s-maxage=?1",
            "stale-if-error=a",
        ] {
            assert_eq!(field(&[line]), None, "{line}");
        }
        assert_eq!(field(&[]), None);
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        for line in [
            "max-age=60, stale-while-revalidate=5, stale-if-error=9, public, immutable",
            "s-maxage=1, no-store",
            "max-age=7, must-revalidate, must-understand, no-transform, no-cache",
            "private, max-age=0",
            "max-age=1, private=\"set-cookie, x-a\"",
        ] {
            let read = field(&[line]).unwrap();
            let mut headers = HeaderMap::new();
            headers.append(CDN_CACHE_CONTROL, "max-age=3".parse().unwrap());
            write(&read, &mut headers);
            assert_eq!(super::read(&headers), Some(read), "{line}");
        }
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }
}
