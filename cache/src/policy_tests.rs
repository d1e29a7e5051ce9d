//! The case table of `policy`: one row per rule.

use super::*;
use std::time::{Duration, UNIX_EPOCH};

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
        (&[date, ("expires", "Tue, 14 Nov 2023 22:14:20 GMT"), ("expires", "0"), ("etag", "\"a\"")], Some(0)),
        (&[("date", "yesterday"), ("expires", "Tue, 14 Nov 2023 22:14:20 GMT")], Some(60)),
        (&[date, ("expires", "Tuesday, 14-Nov-23 22:14:20 GMT")], Some(60)),
        (&[date, ("expires", "Tue Nov 14 22:14:20 2023")], Some(60)),
        (&[("cache-control", "public, must-revalidate")], None),
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
fn dates_have_three_forms_and_any_case() {
    let read = |text: &str| http_date(text).map(|date| date.duration_since(UNIX_EPOCH).unwrap().as_secs());
    for same in [
        "Tue, 14 Nov 2023 22:13:20 GMT",
        "TUE, 14 nov 2023 22:13:20 gMT",
        "Tuesday, 14-Nov-23 22:13:20 GMT",
        "Tue Nov 14 22:13:20 2023",
        "Fri, 14 Nov 2023 22:13:20 GMT",
    ] {
        assert_eq!(read(same), Some(NOW), "{same}");
    }
    for broken in [
        "0",
        "",
        "Tue, 14 Nov 2023 22:13:20 UTC",
        "Tue, 14 Nov 23 22:13:20 GMT",
        "Tue 14 Nov 2023 22:13:20 GMT",
        "Tue, 14-Nov-2023 22:13:20 GMT",
        "Tue, 14 Nov 2023 2:13:20 GMT",
        "Tue, 14  Nov  2023 22:13:20 GMT",
        "Tue, 14 Nov 2023 22.13.20 GMT",
        "Tue, 31 Nov 2023 22:13:20 GMT",
        "Dienstag",
        "\u{e9}\u{e9}\u{e9}",
    ] {
        assert_eq!(read(broken), None, "{broken}");
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
    ];
    for (response, skip) in rows {
        assert_eq!(get(200, response, &eager), Storing::Skip(*skip), "{response:?}");
    }
}

#[test]
fn statuses_are_kept_where_the_origin_says_for_how_long() {
    // Status, with a lifetime from the origin, without one, with one under a policy.
    for (status, explicit, silent, named) in [
        (200, true, false, true),
        (206, false, false, false),
        (299, true, false, true),
        (302, true, false, true),
        (304, false, false, false),
        (400, true, false, false),
        (401, false, false, false),
        (403, false, false, false),
        (404, true, false, true),
        (405, false, false, false),
        (410, true, false, true),
        (414, false, false, false),
        (429, false, false, false),
        (431, false, false, false),
        (499, true, false, true),
        (500, true, false, false),
        (503, true, false, false),
        (599, true, false, false),
    ] {
        let fresh = [("cache-control", "max-age=60")];
        let is_stored =
            |response: &[Line], policy: &Policy| lifetime(&get(status, response, policy)).is_some();
        assert_eq!(is_stored(&fresh, &Policy::origin()), explicit, "{status} explicit");
        assert_eq!(is_stored(&[], &Policy::origin()), silent, "{status} silent");
        let policy = Policy::named(&CachePolicySettings::default());
        assert_eq!(is_stored(&fresh, &policy), named, "{status} named");
    }
}

#[test]
fn a_400_that_the_form_of_the_request_may_have_provoked_is_not_kept() {
    let long = "a".repeat(600);
    for (request, stored) in [
        (vec![("user-agent", "curl/8")], true),
        (vec![("x-oversized", long.as_str())], false),
        (vec![("x-bytes", "caf\u{e9}")], false),
    ] {
        let response = headers(&[("cache-control", "max-age=60")]);
        let found = storing(
            &Method::GET,
            &headers(&request),
            StatusCode::BAD_REQUEST,
            &response,
            &Policy::origin(),
            now(),
        );
        assert_eq!(lifetime(&found).is_some(), stored, "{request:?}");
    }
}

#[test]
fn must_understand_lifts_no_store_for_known_statuses() {
    let control = [("cache-control", "max-age=60, no-store, must-understand")];
    assert_eq!(lifetime(&get(200, &control, &Policy::origin())), Some(60));
    assert_eq!(get(599, &control, &Policy::origin()), Storing::Skip(Skip::NoStore));
    let alone = [("cache-control", "max-age=60, must-understand")];
    assert_eq!(get(299, &alone, &Policy::origin()), Storing::Skip(Skip::NoStore));
}

#[test]
fn cookies_are_one_viewers_own_unless_the_origin_shares_them_with_strangers() {
    let answer = [("set-cookie", "a=b"), ("cache-control", "max-age=60")];
    let policy = Policy::named(&CachePolicySettings::default());
    assert_eq!(lifetime(&get(200, &answer, &Policy::origin())), Some(60));
    assert_eq!(get(200, &answer, &policy), Storing::Skip(Skip::SetCookie));
    let known = headers(&[("cookie", "session=1")]);
    let found = |answer: &[Line]| {
        storing(&Method::GET, &known, StatusCode::OK, &headers(answer), &Policy::origin(), now())
    };
    assert_eq!(found(&answer), Storing::Skip(Skip::SetCookie));
    let without = [("set-cookie", "a=b"), ("cache-control", "max-age=60, private=\"set-cookie\"")];
    assert_eq!(lifetime(&found(&without)), Some(60));
    assert_eq!(lifetime(&get(200, &[("set-cookie", "a=b")], &Policy::origin())), None);
}

#[test]
fn fields_named_as_somebodys_own_are_taken_out() {
    let mut response =
        headers(&[("cache-control", "private=\"Set-Cookie\", no-cache=\"a, c\""), ("set-cookie", "x=y")]);
    response.append("a", "1".parse().unwrap());
    response.append("a", "2".parse().unwrap());
    response.append("b", "3".parse().unwrap());
    let own = take_own_fields(&mut response);
    assert_eq!(own, headers(&[("set-cookie", "x=y"), ("a", "1"), ("a", "2")]));
    assert!(response.contains_key("b") && response.len() == 2);
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
fn get_and_head_are_stored_and_post_where_the_origin_says_for_how_long() {
    let policy = Policy::named(&CachePolicySettings::default());
    for (method, explicit, silent) in [
        ("GET", true, true),
        ("HEAD", true, true),
        ("POST", true, false),
        ("PUT", false, false),
        ("OPTIONS", false, false),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let is_stored = |response: &[Line]| {
            let found =
                storing(&method, &HeaderMap::new(), StatusCode::OK, &headers(response), &policy, now());
            lifetime(&found).is_some()
        };
        assert_eq!(is_stored(&[("cache-control", "max-age=60")]), explicit, "{method} explicit");
        assert_eq!(is_stored(&[]), silent, "{method} silent");
    }
}

#[test]
fn a_policy_bounds_and_fills_in() {
    let policy = Policy::named(&CachePolicySettings {
        ttl: TtlSettings {
            min: Duration::from_secs(10),
            default: Duration::from_secs(100),
            max: Duration::from_secs(1000),
            not_found: Duration::from_secs(20),
            ..TtlSettings::default()
        },
        ..CachePolicySettings::default()
    });
    assert_eq!(lifetime(&get(200, &[], &policy)), Some(100));
    assert_eq!(lifetime(&get(200, &[("cache-control", "max-age=1")], &policy)), Some(10));
    assert_eq!(lifetime(&get(200, &[("cache-control", "max-age=9999")], &policy)), Some(1000));
    assert_eq!(lifetime(&get(404, &[], &policy)), Some(20));
    assert_eq!(lifetime(&get(404, &[("cache-control", "max-age=60")], &policy)), Some(60));
    assert_eq!(lifetime(&get(302, &[("cache-control", "public")], &policy)), Some(100));
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
fn age_is_the_first_number_said() {
    let age = |lines: &[&str]| {
        let mut response = headers(&[("cache-control", "max-age=9999")]);
        for line in lines {
            response.append("age", line.parse().unwrap());
        }
        match storing(&Method::GET, &HeaderMap::new(), StatusCode::OK, &response, &Policy::origin(), now()) {
            Storing::Store(freshness) => freshness.initial_age.as_secs(),
            Storing::Skip(skip) => panic!("{skip:?}"),
        }
    };
    // RFC 9111 §5.1.
    for (lines, expected) in [
        (&["7"][..], 7),
        (&["7, 0"], 7),
        (&["0, 7"], 0),
        (&["7", "0"], 7),
        (&["0", "7"], 0),
        (&["7;foo=bar"], 7),
        (&["abc"], 0),
        (&["-7"], 0),
        (&["7.0"], 0),
        (&[""], 0),
    ] {
        assert_eq!(age(lines), expected, "{lines:?}");
    }
}

#[test]
fn a_policy_may_guess_from_the_last_change() {
    let guessing = |heuristic| {
        Policy::named(&CachePolicySettings {
            ttl: TtlSettings { heuristic, ..TtlSettings::default() },
            ..CachePolicySettings::default()
        })
    };
    // 1000 seconds before.
    let changed = [("last-modified", "Tue, 14 Nov 2023 21:56:40 GMT")];
    assert_eq!(lifetime(&get(200, &changed, &guessing(0.1))), Some(100));
    assert_eq!(lifetime(&get(200, &changed, &guessing(0.0))), Some(86_400));
    assert_eq!(lifetime(&get(200, &[], &guessing(0.1))), Some(86_400));
    assert_eq!(lifetime(&get(302, &changed, &guessing(0.1))), None);
    assert_eq!(lifetime(&get(200, &changed, &Policy::origin())), None);
}

#[test]
fn viewers_ask_for_more_than_fresh_and_less() {
    let Storing::Store(freshness) = get(200, &[("cache-control", "max-age=60")], &Policy::origin()) else {
        panic!("must be stored");
    };
    let demand = |control: &str| Demand::of_request(&headers(&[("cache-control", control)]));
    let later = now() + Duration::from_secs(20);
    for (control, better, better_than_immutable) in [
        ("nothing-to-see-here", false, false),
        ("no-cache", true, true),
        ("max-age=0", true, false),
        ("max-age=10", true, false),
        ("max-age=30", false, false),
        ("max-age=abc", false, false),
        ("min-fresh=30", false, false),
        ("min-fresh=50", true, false),
        ("max-stale=50", false, false),
    ] {
        let demand = demand(control);
        assert_eq!(demand.wants_better_than(&freshness, false, later), better, "{control}");
        assert_eq!(demand.wants_better_than(&freshness, true, later), better_than_immutable, "{control}");
        assert!(!demand.harmless().wants_better_than(&freshness, false, later), "{control}");
    }
    let stale = now() + Duration::from_secs(80);
    for (control, accepts) in [
        ("max-stale", true),
        ("max-stale=30", true),
        ("max-stale=10", false),
        ("max-stale=30, max-age=70", false),
        ("max-stale=30, no-cache", false),
        ("max-age=90", false),
    ] {
        assert_eq!(demand(control).accepts_stale(&freshness, stale), accepts, "{control}");
    }
    let strict = [("cache-control", "max-age=60, must-revalidate")];
    let strict = get(200, &strict, &Policy::origin()).freshness().unwrap();
    assert!(!demand("max-stale").accepts_stale(&strict, stale));
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
