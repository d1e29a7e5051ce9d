//! The case table of `policy`: one row per rule.

use super::*;
use std::time::UNIX_EPOCH;

type Line = (&'static str, &'static str);

const NOW: u64 = 1_700_000_000; // Tue, 14 Nov 2023 22:13:20 GMT

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn get(status: u16, response: &[(&'static str, &str)], policy: &Policy) -> Storing {
    let status = StatusCode::from_u16(status).unwrap();
    storing(&Method::GET, &HeaderMap::new(), status, &headers(response), policy, now())
}

fn lifetime(found: &Storing) -> Option<u64> {
    match found {
        Storing::Store(freshness) => Some(freshness.lifetime.as_secs()),
        Storing::Skip(_) => None,
    }
}

#[test]
fn lifetimes_come_from_the_first_that_gives_one() {
    let date = ("date", "Tue, 14 Nov 2023 22:13:20 GMT");
    let rows: &[(&[Line], Option<u64>)] = &[
        (&[("cache-control", "max-age=60")], Some(60)),
        (&[("cache-control", "max-age=60, s-maxage=5")], Some(5)),
        (&[date, ("expires", "Tue, 14 Nov 2023 22:14:20 GMT")], Some(60)),
        (&[date, ("expires", "Tue, 14 Nov 2023 22:14:20 GMT"), ("cache-control", "max-age=7")], Some(7)),
        (&[("expires", "0"), ("etag", "\"a\"")], Some(0)),
        (&[("expires", "0")], None),
        (&[("cache-control", "max-age=0"), ("etag", "\"a\"")], Some(0)),
        (&[("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")], Some(0)),
        (&[("cache-control", "public")], None),
        (&[], None),
        (&[("cdn-cache-control", "max-age=9"), ("cache-control", "no-store")], Some(9)),
    ];
    for (response, expected) in rows {
        assert_eq!(lifetime(&get(200, response, &Policy::origin())), *expected, "{response:?}");
    }
}

#[test]
fn what_is_forbidden_is_not_stored_even_with_a_policy() {
    let eager = Policy::named(&CachePolicySettings {
        ttl: TtlSettings { min: Duration::from_secs(60), ..TtlSettings::default() },
        ..CachePolicySettings::default()
    });
    let rows: &[(&[(&'static str, &str)], Skip)] = &[
        (&[("cache-control", "no-store, max-age=60")], Skip::NoStore),
        (&[("cache-control", "private, max-age=60")], Skip::Private),
        (&[("set-cookie", "a=b"), ("cache-control", "max-age=60")], Skip::SetCookie),
        (&[("vary", "accept, *"), ("cache-control", "max-age=60")], Skip::VaryAny),
        (&[("content-range", "bytes 0-1/2"), ("cache-control", "max-age=60")], Skip::Partial),
    ];
    for (response, skip) in rows {
        assert_eq!(get(200, response, &eager), Storing::Skip(*skip), "{response:?}");
    }
    for status in [206, 304, 400, 403, 405, 429, 431, 500, 502, 503, 504] {
        assert!(
            matches!(get(status, &[("cache-control", "max-age=60")], &eager), Storing::Skip(_)),
            "{status}"
        );
    }
}

#[test]
fn authorization_needs_leave_to_share() {
    let request = headers(&[("authorization", "Basic x")]);
    for (control, stored) in [
        ("max-age=60", false),
        ("max-age=60, public", true),
        ("s-maxage=60", true),
        ("max-age=60, must-revalidate", true),
    ] {
        let found = storing(
            &Method::GET,
            &request,
            StatusCode::OK,
            &headers(&[("cache-control", control)]),
            &Policy::origin(),
            now(),
        );
        assert_eq!(lifetime(&found).is_some(), stored, "{control}");
    }
}

#[test]
fn only_get_and_head_are_stored() {
    let response = headers(&[("cache-control", "max-age=60")]);
    for (method, stored) in [("GET", true), ("HEAD", true), ("POST", false), ("OPTIONS", false)] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = storing(&method, &HeaderMap::new(), StatusCode::OK, &response, &Policy::origin(), now());
        assert_eq!(lifetime(&found).is_some(), stored, "{method}");
    }
}

#[test]
fn a_policy_bounds_and_fills_in() {
    let policy = Policy::named(&CachePolicySettings {
        ttl: TtlSettings {
            min: Duration::from_secs(10),
            default: Duration::from_secs(100),
            max: Duration::from_secs(1000),
        },
        ..CachePolicySettings::default()
    });
    assert_eq!(lifetime(&get(200, &[], &policy)), Some(100));
    assert_eq!(lifetime(&get(200, &[("cache-control", "max-age=1")], &policy)), Some(10));
    assert_eq!(lifetime(&get(200, &[("cache-control", "max-age=9999")], &policy)), Some(1000));
    assert_eq!(lifetime(&get(404, &[], &policy)), Some(10));
    assert_eq!(lifetime(&get(302, &[], &policy)), None);
    assert_eq!(lifetime(&get(302, &[("cache-control", "max-age=20")], &policy)), Some(20));
}

#[test]
fn age_counts_from_the_origin() {
    let Storing::Store(freshness) = get(
        200,
        &[("cache-control", "max-age=60"), ("age", "20"), ("date", "Tue, 14 Nov 2023 22:13:10 GMT")],
        &Policy::origin(),
    ) else {
        panic!("must be stored");
    };
    assert_eq!(freshness.age(now()), Duration::from_secs(20));
    assert_eq!(freshness.remaining(now() + Duration::from_secs(39)), Some(Duration::from_secs(1)));
    assert_eq!(freshness.remaining(now() + Duration::from_secs(40)), None);
}

#[test]
fn stale_serving_follows_the_origin_then_the_policy() {
    let policy = Policy::named(&CachePolicySettings {
        stale: StaleSettings {
            while_revalidate: Duration::from_secs(30),
            if_error: Duration::from_secs(300),
        },
        ..CachePolicySettings::default()
    });
    let stale = |control: &str| match get(200, &[("cache-control", control)], &policy) {
        Storing::Store(f) => (f.while_revalidate.as_secs(), f.if_error.as_secs()),
        Storing::Skip(skip) => panic!("{skip:?}"),
    };
    assert_eq!(stale("max-age=1"), (30, 300));
    assert_eq!(stale("max-age=1, stale-while-revalidate=5"), (5, 300));
    for never in
        ["must-revalidate", "proxy-revalidate", "must-revalidate, stale-while-revalidate=9", "s-maxage=1"]
    {
        assert_eq!(stale(&format!("max-age=1, {never}")), (0, 0), "{never}");
    }
    assert_eq!(stale("s-maxage=1, stale-if-error=9"), (0, 9));
}
