//! What is signed is granted, and nothing beside it: custom policies, cookies, P-256, and the scheme `hmac`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use signing::{KeyGroup, KeyKind, Policy, Presented, PrivateKey, Reach, Reason, SchemeName, Secret, Verdict};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn group(key: &PrivateKey) -> KeyGroup {
    KeyGroup::new(vec![("K1".to_owned(), key.public_key().unwrap().into())], &[SchemeName::Cloudfront])
}

/// A URL as a viewer at 203.0.113.9 would send it.
fn presented<'a>(url: &'a str, cookies: &'a [&'a str]) -> Presented<'a> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
    let address = Some("203.0.113.9".parse().unwrap());
    Presented { cookies, address, ..Presented::url(scheme, authority, path_and_query) }
}

fn reason(group: &KeyGroup, request: &Presented<'_>, now: SystemTime) -> Option<Reason> {
    match group.verify(request, now) {
        Verdict::Granted(_) => None,
        Verdict::Refused(reason) => Some(reason),
    }
}

fn field(cookies: &[(&str, String)]) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_custom_policy_opens_what_it_is_about_when_and_where_it_says() {
    for kind in [KeyKind::Rsa, KeyKind::P256] {
        let key = PrivateKey::generate(kind).unwrap();
        let group = group(&key);
        let policy = Policy::new("https://cdn.test/films/*", at(2000)).unwrap();
        let policy = policy.starting(at(1000)).unwrap().only_from("203.0.113.0/24").unwrap();
        let signed = signing::sign_policy("https://cdn.test/films/a?b=c", &policy, "K1", &key).unwrap();
        let elsewhere = Presented { address: Some("192.0.2.1".parse().unwrap()), ..presented(&signed, &[]) };
        let other = signed.replace("/films/", "/songs/");
        // Twice: the second time from memory, with the same answers.
        for _ in 0..2 {
            assert_eq!(reason(&group, &presented(&signed, &[]), at(1500)), None);
            assert_eq!(reason(&group, &presented(&signed, &[]), at(2000)), Some(Reason::SignatureExpired));
            assert_eq!(reason(&group, &presented(&signed, &[]), at(1000)), Some(Reason::SignatureEarly));
            assert_eq!(reason(&group, &elsewhere, at(1500)), Some(Reason::AddressMismatch));
            assert_eq!(reason(&group, &presented(&other, &[]), at(1500)), Some(Reason::ResourceMismatch));
        }
        let reused = signed.replace("/films/a?b=c&", "/films/b?");
        assert_eq!(reason(&group, &presented(&reused, &[]), at(1500)), None, "the policy says which URLs");
        let longer = Policy::new("https://cdn.test/films/*", at(9000)).unwrap();
        let longer = signing::cookies_policy(&longer, "K1", &key).unwrap().remove(0).1;
        let old = signed.split("Policy=").nth(1).unwrap().split('&').next().unwrap();
        let forged = signed.replace(old, &longer);
        assert_eq!(reason(&group, &presented(&forged, &[]), at(1500)), Some(Reason::SignatureMismatch));
    }
}

#[test]
fn cookies_open_the_same_doors() {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let group = group(&key);
    let policy = Policy::new("https://cdn.test/films/*", at(2000)).unwrap();
    let custom = field(&signing::cookies_policy(&policy, "K1", &key).unwrap());
    let custom = format!("session=1; {custom}");
    let url = "https://cdn.test/films/a?b=c";
    let canned = field(&signing::cookies_canned(url, at(2000), "K1", &key).unwrap());
    let parts: Vec<&str> = canned.split("; ").collect();

    assert_eq!(reason(&group, &presented("https://cdn.test/films/x.ts", &[&custom]), at(1500)), None);
    assert_eq!(reason(&group, &presented(url, &[&canned]), at(1500)), None);
    assert_eq!(
        reason(&group, &presented(url, &parts), at(1500)),
        None,
        "one field for each, as HTTP/2 allows"
    );
    for (url, cookies, refused) in [
        ("https://cdn.test/songs/x.ts", &custom, Reason::ResourceMismatch),
        ("https://cdn.test/films/a?b=d", &canned, Reason::SignatureMismatch),
        ("https://cdn.test/films/a?b=c&Expires=2000", &custom, Reason::ParameterMissing("Signature")),
        (url, &format!("{canned}; {custom}"), Reason::ParameterDuplicate("CloudFront-Signature")),
        (
            url,
            &canned.replace("CloudFront-Expires=2000", "x=y"),
            Reason::ParameterMissing("CloudFront-Expires"),
        ),
        (
            url,
            &canned.replace("CloudFront-Expires=2000", "CloudFront-Expires=3000"),
            Reason::SignatureMismatch,
        ),
        (url, &"session=1".to_owned(), Reason::SignatureMissing),
    ] {
        assert_eq!(reason(&group, &presented(url, &[cookies]), at(1500)), Some(refused), "{url} {cookies}");
    }
    let strip = |field: &str| signing::strip_cookies(field.as_bytes(), group.accepted());
    assert_eq!(strip(&custom).as_deref(), Some(&b"session=1"[..]));
    assert_eq!(strip("session=1"), None);
}

#[test]
fn a_secret_opens_one_url_or_all_that_begin_like_it() {
    let text = Secret::generate().unwrap();
    let secret = Secret::from_text(&text).unwrap();
    let keys = || vec![("p.1".to_owned(), secret.clone().into())];
    let group = KeyGroup::new(keys(), &[SchemeName::Hmac]);
    let viewer: IpAddr = "203.0.113.9".parse().unwrap();
    let token = |reach, address| signing::hmac_token(reach, at(2000), address, "p.1", &secret).unwrap();
    let prefix = token(Reach::Prefix("https://cdn.test/live/"), Some(viewer));
    let whole = token(Reach::Url("https://cdn.test/a?b=%20c"), None);
    let judge = |url: &str, now| reason(&group, &presented(url, &[]), at(now));

    assert_eq!(judge(&format!("https://cdn.test/live/a/b.ts?Selvedge-Token={prefix}"), 1999), None);
    assert_eq!(judge(&format!("https://cdn.test/a?b=%20c&Selvedge-Token={whole}"), 1999), None);
    assert_eq!(judge(&format!("https://cdn.test/a?Selvedge-Token={whole}&b=%20c"), 1999), None);
    let cookie = format!("Selvedge-Token={prefix}");
    assert_eq!(reason(&group, &presented("https://cdn.test/live/c.ts", &[&cookie]), at(1)), None);
    let elsewhere = Presented { address: None, ..presented("https://cdn.test/live/c.ts", &[]) };
    let elsewhere = Presented { cookies: &[&cookie], ..elsewhere };
    assert_eq!(reason(&group, &elsewhere, at(1)), Some(Reason::AddressMismatch));

    let wrong = Some(Reason::SignatureMismatch);
    for (url, refused) in [
        (format!("https://cdn.test/live/?Selvedge-Token={}", prefix.replace("2000", "3000")), wrong),
        (format!("https://cdn.test/live/?Selvedge-Token={}", prefix.replace(".a.", ".-.")), wrong),
        (format!("https://cdn.test/live/?Selvedge-Token={}", prefix.replace(".6.", ".1.")), wrong),
        (format!("http://cdn.test/live/?Selvedge-Token={prefix}"), wrong),
        (format!("https://dn.test/live/?Selvedge-Token={prefix}"), wrong),
        (format!("https://cdn.test/lives/a?Selvedge-Token={prefix}"), Some(Reason::ResourceMismatch)),
        (format!("https://cdn.test/a?b=%20d&Selvedge-Token={whole}"), wrong),
        (
            format!("https://cdn.test/a?Selvedge-Token={}", whole.replace("p.1", "p.2")),
            Some(Reason::KeyUnknown),
        ),
        ("https://cdn.test/a?Selvedge-Token=".to_owned(), Some(Reason::ParameterMalformed("Selvedge-Token"))),
        (
            format!("https://cdn.test/a?Selvedge-Token={whole}&Selvedge-Token={whole}"),
            Some(Reason::ParameterDuplicate("Selvedge-Token")),
        ),
    ] {
        assert_eq!(judge(&url, 1999), refused, "{url}");
    }
    assert_eq!(
        judge(&format!("https://cdn.test/live/?Selvedge-Token={prefix}"), 2000),
        Some(Reason::SignatureExpired)
    );
    for url in ["https://cdn.test/live", "https://cdn.test/live/?a=/", "https://CDN.test/live/"] {
        assert!(signing::hmac_token(Reach::Prefix(url), at(2000), None, "p.1", &secret).is_err(), "{url}");
    }
}

#[test]
fn a_key_signs_only_what_its_kind_signs() {
    let secret = Secret::from_text(&"s".repeat(32)).unwrap();
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let group = KeyGroup::new(
        vec![("S".to_owned(), secret.clone().into()), ("P".to_owned(), key.public_key().unwrap().into())],
        &[SchemeName::Cloudfront, SchemeName::Hmac],
    );
    let url = signing::sign_canned("https://cdn.test/a", at(2000), "S", &key).unwrap();
    assert_eq!(reason(&group, &presented(&url, &[]), at(1)), Some(Reason::KeyUnsuitable));
    let token = signing::hmac_token(Reach::Url("https://cdn.test/a"), at(2000), None, "P", &secret).unwrap();
    let url = format!("https://cdn.test/a?Selvedge-Token={token}");
    assert_eq!(reason(&group, &presented(&url, &[]), at(1)), Some(Reason::KeyUnsuitable));
}

#[test]
fn a_signature_found_good_once_is_not_good_for_anything_else() {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let group = group(&key);
    let url = signing::sign_canned("https://cdn.test/a", at(2000), "K1", &key).unwrap();
    for _ in 0..2 {
        assert_eq!(reason(&group, &presented(&url, &[]), at(1)), None);
        for changed in [
            url.replace("cdn.test/a", "cdn.test/b"),
            url.replace("Expires=2000", "Expires=2001"),
            url.replace("&Hash-Algorithm=SHA256", ""),
        ] {
            assert_eq!(reason(&group, &presented(&changed, &[]), at(1)), Some(Reason::SignatureMismatch));
        }
    }
}

#[test]
fn a_flood_of_wrong_signatures_ends_with_their_address_and_not_with_their_neighbours() {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let group = group(&key).bearing(3);
    let sign =
        |path: &str| signing::sign_canned(&format!("https://cdn.test{path}"), at(9000), "K1", &key).unwrap();
    let (known, wrong) = (sign("/known"), sign("/a").replace("test/a", "test/b"));
    assert_eq!(reason(&group, &presented(&known, &[]), at(60)), None);
    for _ in 0..3 {
        assert_eq!(reason(&group, &presented(&wrong, &[]), at(60)), Some(Reason::SignatureMismatch));
    }
    let new = sign("/new");
    assert_eq!(reason(&group, &presented(&wrong, &[]), at(60)), Some(Reason::SignatureFlood));
    assert_eq!(reason(&group, &presented(&new, &[]), at(60)), Some(Reason::SignatureFlood));
    assert_eq!(reason(&group, &presented(&known, &[]), at(60)), None, "what is remembered opens");
    let neighbour = Presented { address: Some("203.0.113.10".parse().unwrap()), ..presented(&new, &[]) };
    assert_eq!(reason(&group, &neighbour, at(60)), None);
    assert_eq!(reason(&group, &presented(&wrong, &[]), at(120)), Some(Reason::SignatureMismatch));
}

#[test]
fn the_nearest_cause_of_a_refusal_is_found() {
    use signing::{Cause, Key};
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let pair: (String, Key) = ("K1".to_owned(), key.public_key().unwrap().into());
    let group = KeyGroup::new(vec![pair.clone()], &[SchemeName::Cloudfront]);
    let plain = "https://cdn.test/a+b,c%20d?flag&x=1";
    let signed = signing::sign_canned(plain, at(2000), "K1", &key).unwrap();
    let cause = |url: &str, now| signing::nearest_cause(&group, &[], &presented(url, &[]), at(now));
    let as_signed = Some(Cause::SignedAs(plain.to_owned()));

    assert_eq!(cause(&signed, 1500), None);
    assert!(matches!(cause(&signed, 2000), Some(Cause::Clock(off)) if off < Duration::from_secs(2)));
    assert!(matches!(cause(&signed, 2030), Some(Cause::Clock(off)) if off <= Duration::from_secs(60)));
    assert_eq!(cause(&signed, 9000), None);
    for changed in [
        signed.replace("https:", "http:"),
        signed.replace("cdn.test", "cdn.test:8443"),
        signed.replace("a+b,c", "a%2Bb%2Cc"),
        signed.replace("?flag&", "?flag=&"),
        signed.replace("c%20d", "c%20d/"),
    ] {
        assert_eq!(cause(&changed, 1500), as_signed, "{changed}");
    }
    assert_eq!(cause(&signed.replace("Id=K1", "Id=K2"), 1500), Some(Cause::KeyId("K1".to_owned())));
    assert_eq!(cause(&signed.replace("&Hash-Algorithm=SHA256", ""), 1500), Some(Cause::Hash));
    assert_eq!(cause(&signed.replace("/a+b", "/z"), 1500), None);

    // Keys that the group does not have, cookies behind a URL's parameters, a format that it does not take.
    let stranger = KeyGroup::new(
        vec![("K9".to_owned(), PrivateKey::generate(KeyKind::P256).unwrap().public_key().unwrap().into())],
        &[SchemeName::Cloudfront],
    );
    let others = [pair.clone()];
    let by = |url: &str| signing::nearest_cause(&stranger, &others, &presented(url, &[]), at(1500));
    for named in [signed.clone(), signed.replace("Id=K1", "Id=K9")] {
        assert_eq!(by(&named), Some(Cause::KeyId("K1".to_owned())), "{named}");
    }
    let cookies = signing::cookies_canned(plain, at(2000), "K1", &key).unwrap();
    let fields = [&*field(&cookies)];
    let hidden = format!("{plain}&Expires=9");
    let cause = signing::nearest_cause(&group, &[], &presented(&hidden, &fields), at(1500));
    assert_eq!(cause, Some(Cause::Cookies));
    let tokens = KeyGroup::new(vec![pair.clone()], &[SchemeName::UriSigning]);
    let cause = signing::nearest_cause(&tokens, &[], &presented(&signed, &[]), at(1500));
    assert_eq!(cause, Some(Cause::Scheme(SchemeName::Cloudfront)));
    let terms = signing::read_terms(&group, &presented(&signed, &[]), &[SchemeName::Cloudfront]).unwrap();
    assert!(terms.contains(&format!("\"Resource\":\"{plain}\"")), "{terms}");
}
