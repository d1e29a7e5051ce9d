//! Who gets a canary: arithmetic on what is known of the viewer. Nothing is drawn, so a viewer gets the same version again.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest, Sha256};

use super::settings::{RampSettings, Sticky, Terms, WHOLE};
use super::version::VersionId;

/// Of a request, what the choice of a version looks at.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The viewer's address, after trusted peers were believed.
    pub address: IpAddr,
    /// The request's fields as the viewer sent them.
    pub headers: &'a HeaderMap,
    /// The clock.
    pub now: SystemTime,
}

/// Whether this viewer gets the canary, whose trial began at `began`.
pub(crate) fn is_in(asking: &Asking<'_>, version: &VersionId, terms: &Terms, began: SystemTime) -> bool {
    if terms.header.as_ref().is_some_and(|header| header.is_in(asking.headers)) {
        return true;
    }
    let percent = percent(terms, began, asking.now);
    if percent <= 0.0 || percent >= WHOLE {
        return percent >= WHOLE;
    }
    place(asking, version, &terms.sticky) < percent / WHOLE
}

/// The share of viewers now, in percent.
pub(crate) fn percent(terms: &Terms, began: SystemTime, now: SystemTime) -> f64 {
    let Some(RampSettings { to, over }) = &terms.ramp else { return terms.percent };
    // A clock that was set back only makes the ramp wait.
    let passed = now.duration_since(began).unwrap_or_default();
    let way = (passed.as_secs_f64() / over.as_secs_f64()).min(1.0);
    terms.percent + (to - terms.percent) * way
}

/// How long the ramp still takes; `None` where there is none or it is at its end.
pub(crate) fn ramp_left(terms: &Terms, began: SystemTime, now: SystemTime) -> Option<Duration> {
    let over = terms.ramp.as_ref()?.over;
    let left = over.checked_sub(now.duration_since(began).unwrap_or_default())?;
    (!left.is_zero()).then_some(left)
}

/// Where a viewer stands between 0 and 1: the same for the same version always, anywhere for another one, so that it is not
/// always the same viewers who try what is new.
fn place(asking: &Asking<'_>, version: &VersionId, sticky: &Sticky) -> f64 {
    let mut digest = Sha256::new();
    digest.update(version.as_str().as_bytes());
    let cookie = match sticky {
        Sticky::Cookie(name) => cookie(asking.headers, name),
        Sticky::Address => None,
    };
    match (cookie, asking.address) {
        (Some(value), _) => digest.update(value.as_bytes()),
        (None, IpAddr::V4(address)) => digest.update(address.octets()),
        // RFC 8981: a machine changes the rest of its address every day.
        (None, IpAddr::V6(address)) => digest.update(&address.octets()[..8]),
    }
    let digest: [u8; 32] = digest.finalize().into();
    let [a, b, c, d, ..] = digest;
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

/// RFC 6265 §5.4.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(found, value)| found.trim() == name && !value.trim().is_empty())
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::net::Ipv4Addr;

    const BEGAN: SystemTime = SystemTime::UNIX_EPOCH;

    fn terms(percent: f64) -> Terms {
        Terms { percent, ..Terms::default() }
    }

    fn viewers(terms: &Terms, now: SystemTime, version: &[u8]) -> Vec<bool> {
        let (headers, version) = (HeaderMap::new(), VersionId::of(version));
        let viewer = |number: u32| Asking { address: Ipv4Addr::from(number).into(), headers: &headers, now };
        (0..20_000).map(|number| is_in(&viewer(number), &version, terms, BEGAN)).collect()
    }

    fn share(viewers: &[bool]) -> f64 {
        viewers.iter().filter(|is_in| **is_in).count() as f64 / viewers.len() as f64
    }

    #[test]
    fn the_share_of_viewers_is_what_was_asked_for() {
        for percent in [0.0, 1.0, 5.0, 50.0, 100.0] {
            let found = share(&viewers(&terms(percent), BEGAN, b"a")) * 100.0;
            assert!((found - percent).abs() < 1.2, "{percent}: {found}");
        }
        assert_eq!(share(&viewers(&terms(0.0), BEGAN, b"a")), 0.0);
        assert_eq!(share(&viewers(&terms(100.0), BEGAN, b"a")), 1.0);
    }

    #[test]
    fn those_who_are_in_stay_in_when_it_grows() {
        let shares = [1.0, 2.0, 5.0, 30.0, 99.0].map(|percent| viewers(&terms(percent), BEGAN, b"a"));
        for pair in shares.windows(2) {
            assert!(pair[0].iter().zip(&pair[1]).all(|(before, after)| !before || *after));
        }
    }

    #[test]
    fn another_version_is_tried_by_others() {
        let (a, b) = (viewers(&terms(10.0), BEGAN, b"a"), viewers(&terms(10.0), BEGAN, b"b"));
        let both: Vec<_> = a.iter().zip(&b).map(|(a, b)| *a && *b).collect();
        assert!((share(&both) - 0.01).abs() < 0.005, "{}", share(&both));
    }

    #[test]
    fn a_ramp_grows_evenly_and_ends() {
        let terms =
            Terms { ramp: Some(RampSettings { to: 50.0, over: Duration::from_secs(100) }), ..terms(10.0) };
        let at = |seconds| BEGAN + Duration::from_secs(seconds);
        for (seconds, expected) in [(0, 10.0), (25, 20.0), (50, 30.0), (100, 50.0), (1000, 50.0)] {
            assert_eq!(percent(&terms, BEGAN, at(seconds)), expected, "after {seconds} s");
        }
        assert_eq!(percent(&terms, at(100), at(50)), 10.0, "the clock was set back");
        assert_eq!(ramp_left(&terms, BEGAN, at(40)), Some(Duration::from_secs(60)));
        assert_eq!(ramp_left(&terms, BEGAN, at(100)), None);
        let in_the_middle = share(&viewers(&terms, at(50), b"a"));
        assert!((in_the_middle - 0.3).abs() < 0.012, "{in_the_middle}");
    }

    #[test]
    fn a_cookie_stands_for_its_viewer_wherever_he_is() {
        let version = VersionId::of(b"a");
        let terms = Terms { sticky: Sticky::Cookie("id".into()), ..terms(50.0) };
        let ask = |address: u32, cookie: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(cookie) = cookie {
                headers.insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
            }
            let asking = Asking { address: Ipv4Addr::from(address).into(), headers: &headers, now: BEGAN };
            is_in(&asking, &version, &terms, BEGAN)
        };
        for id in 0..100 {
            let (alone, among) = (format!("id={id}"), format!("a=b; id={id}; c=d"));
            assert!((1..20).all(|address| ask(address, Some(&alone)) == ask(0, Some(&among))), "{id}");
        }
        let differ = (0..100).any(|id| ask(0, Some(&format!("id={id}"))) != ask(0, Some("id=0")));
        assert!(differ, "the value decides");
        assert!(
            (0..100).all(|address| ask(address, None) == ask(address, Some("id="))),
            "else the address does"
        );
    }

    #[test]
    fn a_header_is_enough() {
        let terms = Terms { header: Some("x-canary: 1".parse().unwrap()), ..terms(0.0) };
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-canary"),
            HeaderValue::from_static("1"),
        )]);
        let asking = Asking { address: Ipv4Addr::LOCALHOST.into(), headers: &headers, now: BEGAN };
        assert!(is_in(&asking, &VersionId::of(b"a"), &terms, BEGAN));
        assert!(!is_in(
            &Asking { headers: &HeaderMap::new(), ..asking },
            &VersionId::of(b"a"),
            &terms,
            BEGAN
        ));
    }

    #[test]
    fn a_network_of_ipv6_is_one_viewer() {
        let headers = HeaderMap::new();
        let ask = |address: &str, version: &VersionId| {
            let asking = Asking { address: address.parse().unwrap(), headers: &headers, now: BEGAN };
            is_in(&asking, version, &terms(50.0), BEGAN)
        };
        for number in 0..100_u32 {
            let version = VersionId::of(&number.to_be_bytes());
            assert_eq!(ask("2001:db8:1:2::1", &version), ask("2001:db8:1:2:ffff:1:2:3", &version));
        }
    }
}
