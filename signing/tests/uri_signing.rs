//! RFC 9246: what a token opens, for whom, and what follows it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use signing::{
    Claims, Grant, Key, KeyGroup, KeyKind, Presented, PrivateKey, Reason, Renewal, SchemeName, Secret,
    SigningKey, Verdict,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const URL: &str = "https://cdn.test/live/one/a.m3u8";
const SCHEMES: [SchemeName; 1] = [SchemeName::UriSigning];

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn secret() -> SigningKey {
    SigningKey::Secret(Secret::from_text("a secret of more than thirty-two characters").unwrap())
}

fn group(key: &SigningKey) -> KeyGroup {
    KeyGroup::new(vec![("K1".to_owned(), key.verifying().unwrap())], &SCHEMES)
}

/// A URL as a viewer at 203.0.113.9 would send it.
fn presented<'a>(url: &'a str, cookies: &'a [&'a str]) -> Presented<'a> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
    let address = Some("203.0.113.9".parse().unwrap());
    Presented { cookies, address, ..Presented::url(scheme, authority, path_and_query) }
}

fn judge(group: &KeyGroup, url: &str, cookies: &[&str], now: u64) -> Result<Grant, Reason> {
    match group.verify(&presented(url, cookies), at(now)) {
        Verdict::Granted(grant) => Ok(grant),
        Verdict::Refused(reason) => Err(reason),
    }
}

/// A JWT with these claims as they stand.
fn raw(header: &str, claims: &str) -> String {
    let key = "a secret of more than thirty-two characters";
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = aws_lc_rs::hmac::sign(
        &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes()),
        message.as_bytes(),
    );
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

const HEADER: &str = r#"{"alg":"HS256","kid":"K1"}"#;
const ALL: &str = r#""cdniuc":"regex:.*""#;

#[test]
fn every_kind_of_key_opens_what_its_token_says() {
    let pair = |kind| SigningKey::Private(Arc::new(PrivateKey::generate(kind).unwrap()));
    for key in [pair(KeyKind::Rsa), pair(KeyKind::P256), pair(KeyKind::Ed25519), secret()] {
        let group = group(&key);
        let claims = Claims::matching(r"https://cdn\.test/live/.*").unwrap().until(at(2000)).unwrap();
        let token = signing::sign_jwt(&claims, "K1", &key).unwrap();
        for url in [
            format!("{URL}?URISigningPackage={token}"),
            format!("{URL}?a=b&URISigningPackage={token}&c"),
            format!("https://cdn.test/live;URISigningPackage={token}/one/a.ts"),
        ] {
            let grant = judge(&group, &url, &[], 1999).unwrap();
            assert_eq!((grant.scheme, &*grant.key_id), (SchemeName::UriSigning, "K1"));
            assert_eq!((grant.expires, grant.renewal), (Some(at(2000)), None));
            assert_eq!(judge(&group, &url, &[], 2000), Err(Reason::SignatureExpired));
        }
        let cookie = format!("a=b; URISigningPackage={token}");
        assert!(judge(&group, URL, &[&cookie], 1999).is_ok());
        assert_eq!(judge(&group, "https://cdn.test/b", &[&cookie], 1), Err(Reason::ResourceMismatch));
        let forged = format!("{URL}?URISigningPackage={}", token.replacen('.', ".e", 1));
        assert!(judge(&group, &forged, &[], 1).is_err());
        let other = self::group(&pair(KeyKind::Ed25519));
        assert!(judge(&other, URL, &[&cookie], 1).is_err());
    }
}

#[test]
fn the_key_says_the_algorithm_and_the_token_does_not() {
    let pair = Arc::new(PrivateKey::generate(KeyKind::Rsa).unwrap());
    let pem = pair.public_key().unwrap().to_pem();
    let group = KeyGroup::new(vec![("K1".to_owned(), pair.public_key().unwrap().into())], &SCHEMES);
    // The classic: the public key, which everybody has, as the secret of an HMAC.
    let confused = SigningKey::Secret(Secret::from_text(&pem).unwrap());
    let token = signing::sign_jwt(&Claims::matching(".*").unwrap(), "K1", &confused).unwrap();
    let with = |token: &str| format!("{URL}?URISigningPackage={token}");
    assert_eq!(judge(&group, &with(&token), &[], 1), Err(Reason::KeyUnsuitable));
    for header in [
        r#"{"alg":"none","kid":"K1"}"#,
        r#"{"alg":"HS512","kid":"K1"}"#,
        r#"{"kid":"K1"}"#,
        r#"{"alg":"HS256","kid":"K2"}"#,
        r#"{"alg":"HS256","kid":"K1","crit":["b64"]}"#,
        r#"{"alg":"HS256","kid":"K1","zip":"DEF"}"#,
        r#"{"alg":"HS256","alg":"HS256","kid":"K1"}"#,
        "[]",
    ] {
        let token = raw(header, &format!("{{{ALL}}}"));
        let group = self::group(&secret());
        assert!(judge(&group, &with(&token), &[], 1).is_err(), "{header}");
        assert!(judge(&group, &with(token.rsplit_once('.').unwrap().0), &[], 1).is_err());
        assert!(judge(&group, &with(&format!("{}.", token.rsplit_once('.').unwrap().0)), &[], 1).is_err());
    }
}

#[test]
fn a_token_without_a_key_id_means_the_only_key_that_fits() {
    let token = raw(r#"{"alg":"HS256"}"#, &format!("{{{ALL}}}"));
    let url = format!("{URL}?URISigningPackage={token}");
    assert!(judge(&group(&secret()), &url, &[], 1).is_ok());
    let key = || secret().verifying().unwrap();
    let two: Vec<(String, Key)> = vec![("K1".to_owned(), key()), ("K2".to_owned(), key())];
    assert_eq!(judge(&KeyGroup::new(two, &SCHEMES), &url, &[], 1), Err(Reason::KeyUnknown));
}

#[test]
fn each_claim_is_kept() {
    let group = group(&secret()).between(vec!["shop".to_owned()], vec!["edge".to_owned()]);
    let malformed = |reason: &Reason| matches!(reason, Reason::TokenMalformed(_));
    let refused = |claims: &str, now| {
        let url = format!("{URL}?URISigningPackage={}", raw(HEADER, &format!("{{{claims}}}")));
        judge(&group, &url, &[], now).err()
    };
    for good in [
        ALL.to_owned(),
        format!(r#"{ALL},"iss":"shop","aud":"edge","exp":1001,"nbf":1000,"iat":5,"cdniv":1,"sub":"x""#),
        format!(r#"{ALL},"aud":["other","edge"],"exp":1000.5,"private":{{"a":1}},"cdniip":"203.0.113.0/24""#),
        format!(r#"{ALL},"cdnistt":0,"cdniets":30"#),
        format!(r#"{ALL},"cdnistd":1"#),
    ] {
        assert_eq!(refused(&good, 1000), None, "{good}");
    }
    for (claims, reason) in [
        (r#""iss":"other""#, Reason::ClaimRefused("iss")),
        (r#""aud":"other""#, Reason::ClaimRefused("aud")),
        (r#""aud":[]"#, Reason::ClaimRefused("aud")),
        (r#""exp":1000"#, Reason::SignatureExpired),
        (r#""exp":-5"#, Reason::SignatureExpired),
        (r#""nbf":1001"#, Reason::SignatureEarly),
        (r#""cdniip":"192.0.2.0/24""#, Reason::AddressMismatch),
    ] {
        assert_eq!(refused(&format!("{ALL},{claims}"), 1000), Some(reason), "{claims}");
    }
    for claims in [
        String::new(),
        format!("{ALL},{ALL}"),
        format!(r#"{ALL},"exp":9000,"exp":9001"#),
        format!(r#"{ALL},"exp":"9000""#),
        format!(r#"{ALL},"cdniv":2"#),
        format!(r#"{ALL},"cdnicrit":"private","private":1"#),
        format!(r#"{ALL},"cdnicrit":"""#),
        format!(r#"{ALL},"cdniip":"eyJhbGciOiJkaXIifQ..a.b.c""#),
        format!(r#"{ALL},"cdniets":30"#),
        format!(r#"{ALL},"cdnistt":1"#),
        format!(r#"{ALL},"cdnistt":0"#),
        format!(r#"{ALL},"cdnistt":3,"cdniets":30"#),
        format!(r#"{ALL},"cdnistt":1,"cdniets":0"#),
        format!(r#"{ALL},"cdnistt":1,"cdniets":30,"cdnistd":-1"#),
        r#""cdniuc":"regex:(""#.to_owned(),
        r#""cdniuc":"https://cdn.test/""#.to_owned(),
    ] {
        let reason = refused(&claims, 1000);
        assert!(reason.as_ref().is_some_and(malformed), "{claims}: {reason:?}");
    }
    assert_eq!(refused(&format!(r#"{ALL},"jti":"once""#), 1000), None);
}

#[test]
fn a_token_with_an_id_opens_each_url_once() {
    let group = group(&secret());
    let claims = Claims::matching("https://cdn.test/.*").unwrap().once("n1");
    let cookie = format!("URISigningPackage={}", signing::sign_jwt(&claims, "K1", &secret()).unwrap());
    let grant = judge(&group, URL, &[&cookie], 1).unwrap();
    assert_eq!(grant.token_id.as_deref(), Some("n1"));
    assert_eq!(judge(&group, URL, &[&cookie], 1), Err(Reason::TokenSpent));
    assert!(judge(&group, "https://cdn.test/b", &[&cookie], 1).is_ok());
}

fn set_cookie(grant: &Grant) -> String {
    match &grant.renewal {
        Some(Renewal::Cookie(cookie)) => cookie.clone(),
        other => panic!("no cookie but {other:?}"),
    }
}

#[test]
fn a_token_for_other_hosts_travels_in_redirections() {
    let group = group(&secret());
    let claims = Claims::matching("https://[a-z]*.test/live/.*").unwrap();
    let claims = claims.until(at(1030)).unwrap().renewed_in_redirections(Duration::from_secs(30));
    let url = format!("{URL}?URISigningPackage={}", signing::sign_jwt(&claims, "K1", &secret()).unwrap());

    let renewal = judge(&group, &url, &[], 1010).unwrap().renewal.unwrap();
    assert!(!format!("{renewal:?}").contains("ey"), "{renewal:?}");
    for (location, before, after) in [
        ("https://other.test/live/a", "https://other.test/live/a?URISigningPackage=", ""),
        ("https://other.test/live/a?b#c", "https://other.test/live/a?b&URISigningPackage=", "#c"),
        ("/live/b?URISigningPackage=old&x", "/live/b?x&URISigningPackage=", ""),
    ] {
        let there = renewal.in_location(location).unwrap();
        let token = there.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
        assert!(!token.contains(['?', '&', '#']), "{there}");
    }
    let there = renewal.in_location("https://other.test/live/a").unwrap();
    assert_eq!(judge(&group, &there, &[], 1039).unwrap().expires, Some(at(1040)));
}

#[test]
fn a_path_with_fewer_segments_than_the_cookie_is_for_gets_none() {
    let group = group(&secret());
    let claims = Claims::matching("https://cdn.test/.*").unwrap().renewed_for(Duration::from_secs(30), 3);
    let token = signing::sign_jwt(&claims, "K1", &secret()).unwrap();
    let renewal = |path: &str| {
        judge(&group, &format!("https://cdn.test{path}?URISigningPackage={token}"), &[], 1).unwrap().renewal
    };
    assert!(renewal("/live/one/a.ts").is_some() && renewal("/live/a.ts").is_none());
}

#[test]
fn another_spelling_and_another_config_are_no_other_url() {
    let claims = Claims::matching("https://cdn.test(:443)?/.*").unwrap().once("n1");
    let cookie = format!("URISigningPackage={}", signing::sign_jwt(&claims, "K1", &secret()).unwrap());
    let before = group(&secret());
    assert!(judge(&before, "https://cdn.test/film.mp4", &[&cookie], 1).is_ok());
    let after = group(&secret()).following(&before);
    for group in [&before, &after] {
        for url in
            ["https://cdn.test/%66ilm.mp4", "https://cdn.test:443/film%2Emp4", "https://cdn.test/film.mp4"]
        {
            assert_eq!(judge(group, url, &[&cookie], 1), Err(Reason::TokenSpent), "{url}");
        }
    }
    assert!(judge(&group(&secret()), "https://cdn.test/film.mp4", &[&cookie], 1).is_ok());
}

#[test]
fn a_renewed_token_holds_from_the_moment_of_renewal() {
    let group = group(&secret());
    let claims = Claims::matching("https://cdn.test/live/.*").unwrap();
    let claims = claims.until(at(1030)).unwrap().renewed_for(Duration::from_secs(30), 2);
    let first = signing::sign_jwt(&claims, "K1", &secret()).unwrap();
    let url = format!("{URL}?URISigningPackage={first}");

    // However often it is renewed in one second, it is good for thirty seconds from then.
    let mut cookie = String::new();
    for _ in 0..5 {
        let grant = judge(&group, &url, &[], 1010).unwrap();
        let set = set_cookie(&grant);
        assert!(!format!("{grant:?}").contains("URISigningPackage"), "{grant:?}");
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/live/one; Max-Age=30; HttpOnly; Secure; SameSite=None");
        cookie = pair.to_owned();
        assert_eq!(judge(&group, URL, &[&cookie], 1010).unwrap().expires, Some(at(1040)));
    }
    assert!(judge(&group, URL, &[&cookie], 1039).is_ok());
    assert_eq!(judge(&group, URL, &[&cookie], 1040), Err(Reason::SignatureExpired));
    // A player asks for its playlist with the first token for ever; the cookie is what counts then.
    assert!(judge(&group, &url, &[&cookie], 1035).is_ok());
    assert_eq!(judge(&group, &url, &[], 1035), Err(Reason::SignatureExpired));
    let elsewhere = url.replace("/live/", "/vod/");
    assert_eq!(judge(&group, &elsewhere, &[&cookie], 1035), Err(Reason::ResourceMismatch));
}

#[test]
fn a_pair_of_keys_renews_with_the_key_that_the_group_names() {
    let pair = SigningKey::Private(Arc::new(PrivateKey::generate(KeyKind::P256).unwrap()));
    let keys = || {
        vec![("K1".to_owned(), pair.verifying().unwrap()), ("N1".to_owned(), secret().verifying().unwrap())]
    };
    let claims =
        Claims::matching("https://cdn.test/live/.*").unwrap().renewed_for(Duration::from_secs(30), 0);
    let url = format!("{URL}?URISigningPackage={}", signing::sign_jwt(&claims, "K1", &pair).unwrap());

    let unable = KeyGroup::new(keys(), &SCHEMES);
    assert!(matches!(judge(&unable, &url, &[], 1), Err(Reason::TokenMalformed(_))));
    let able = KeyGroup::new(keys(), &SCHEMES).renewing_with("N1", secret());
    let grant = judge(&able, &url, &[], 1).unwrap();
    let cookie = set_cookie(&grant).split("; ").next().unwrap().to_owned();
    assert_eq!(&*judge(&able, URL, &[&cookie], 1).unwrap().key_id, "N1");
}

#[test]
fn junk_of_any_size_is_refused() {
    let group = group(&secret());
    let long = "x".repeat(1 << 16);
    for token in ["", ".", "..", "a.b.c", "....", &long, &format!("{long}.{long}.{long}"), "é.é.é", "%2e%2e"]
    {
        let url = format!("{URL}?URISigningPackage={token}");
        assert!(matches!(judge(&group, &url, &[], 1), Err(Reason::TokenMalformed(_))), "{token:.20}");
    }
    let two = "https://cdn.test/a;URISigningPackage=x?URISigningPackage=y";
    assert_eq!(judge(&group, two, &[], 1), Err(Reason::ParameterDuplicate("URISigningPackage")));
}
