//! CloudFront canned policies against URLs that the openssl command line signed (`vectors/make.sh`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use signing::{KeyGroup, Presented, PrivateKey, PublicKey, Reason, SchemeName, SigningError, Verdict};
use std::time::{Duration, SystemTime};

const SHA1: &str = include_str!("vectors/sha1.url");
const SHA256: &str = include_str!("vectors/sha256.url");
const SHA1_QUERY: &str = include_str!("vectors/sha1-query.url");
const SHA256_SCATTERED: &str = include_str!("vectors/sha256-scattered.url");
const SHA1_EXPIRED: &str = include_str!("vectors/sha1-expired.url");
const EXPIRES: u64 = 4_102_444_800;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn group() -> KeyGroup {
    let key = PublicKey::from_pem(include_str!("vectors/test-key.public.pem")).unwrap();
    KeyGroup::new(vec![("KTEST".to_owned(), key.into())], &[SchemeName::Cloudfront])
}

/// A URL as a viewer would send it.
fn presented(url: &str) -> Presented<'_> {
    let (scheme, rest) = url.trim_end().split_once("://").unwrap();
    let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
    Presented::url(scheme, authority, path_and_query)
}

fn verify(url: &str, now: SystemTime) -> Verdict {
    group().verify(&presented(url), now)
}

/// Why `url` is refused long before it expires; a grant fails the test.
fn refusal(url: &str) -> Reason {
    match verify(url, at(1_800_000_000)) {
        Verdict::Refused(reason) => reason,
        Verdict::Granted(_) => panic!("{url} was granted"),
    }
}

#[test]
fn urls_signed_by_openssl_are_granted() {
    for url in [SHA1, SHA256, SHA1_QUERY, SHA256_SCATTERED] {
        let Verdict::Granted(grant) = verify(url, at(1_800_000_000)) else {
            panic!("{url} was refused");
        };
        assert_eq!(grant.scheme, SchemeName::Cloudfront);
        assert_eq!(&*grant.key_id, "KTEST");
        assert_eq!(grant.expires, Some(at(EXPIRES)));
    }
}

#[test]
fn the_origin_is_asked_for_the_url_before_it_was_signed() {
    let stripped = |url| signing::strip(presented(url).path_and_query).into_owned();
    assert_eq!(stripped(SHA256), "/premium/film.mp4");
    let query = "/premium/a%20b,c.jpg?size=large&flag&t=1+2";
    assert_eq!(stripped(SHA1_QUERY), query);
    assert_eq!(stripped(SHA256_SCATTERED), query);
}

#[test]
fn a_url_is_good_until_its_expiry_and_not_at_it() {
    let last = at(EXPIRES) - Duration::from_nanos(1);
    assert!(matches!(verify(SHA1, last), Verdict::Granted(_)));
    let expired = Verdict::Refused(Reason::SignatureExpired);
    assert_eq!(verify(SHA1, at(EXPIRES)), expired);
    assert_eq!(verify(SHA1_EXPIRED, at(1_800_000_000)), expired);
}

#[test]
fn every_changed_byte_is_refused() {
    let group = group();
    let now = at(1_800_000_000);
    let mut tried = 0_u32;
    for url in [SHA1, SHA256, SHA1_QUERY, SHA256_SCATTERED] {
        let url = url.trim_end();
        let original = presented(url);
        let text = original.path_and_query;
        for place in 1..=text.len() {
            for changed in mutations(text, place) {
                let request = Presented { path_and_query: &changed, ..original };
                let verdict = group.verify(&request, now);
                assert!(matches!(verdict, Verdict::Refused(_)), "granted: {changed}\ninstead of {text}");
                tried += 1;
            }
        }
    }
    assert!(tried > 10_000, "only {tried} mutations were tried");
}

/// `text` with one change at `place`: each one gives another request.
fn mutations(text: &str, place: usize) -> Vec<String> {
    let (head, tail) = text.split_at(place);
    let mut changed: Vec<String> = ["0", "A", "&", "=", "_", "%", "/", "\""]
        .into_iter()
        .map(|inserted| format!("{head}{inserted}{tail}"))
        .collect();
    if let Some(byte) = tail.bytes().next() {
        let rest = &tail[1..];
        changed.push(format!("{head}{rest}"));
        changed.push(format!("{head}%{byte:02X}{rest}"));
        changed.push(format!("{head}%{byte:02x}{rest}"));
        for other in [byte ^ 0x01, byte ^ 0x20, byte.wrapping_add(1), b'A', b'-'] {
            if other != byte && other.is_ascii_graphic() {
                changed.push(format!("{head}{}{rest}", char::from(other)));
            }
        }
    }
    changed
}

#[test]
fn another_host_scheme_or_port_is_refused() {
    let original = presented(SHA1);
    for (scheme, authority) in [
        ("http", "cdn.example.test"),
        ("https", "other.example.test"),
        ("https", "cdn.example.test:443"),
        ("https", "cdn.example.test."),
        ("https", "CDN.example.test"),
        ("https", ""),
    ] {
        let request = Presented { scheme, authority, ..original };
        assert_eq!(
            group().verify(&request, at(1)),
            Verdict::Refused(Reason::SignatureMismatch),
            "of {scheme}://{authority}"
        );
    }
}

#[test]
fn every_refusal_says_its_reason() {
    let url = SHA256.trim_end();
    let without = |name: &str| {
        let kept: Vec<&str> = url.split('&').filter(|part| !part.contains(name)).collect();
        kept.join("&")
    };
    for (changed, token) in [
        ("https://cdn.example.test/premium/film.mp4".to_owned(), "signature-missing"),
        (without("Signature="), "parameter-missing"),
        (without("Key-Pair-Id="), "parameter-missing"),
        (without("Hash-Algorithm="), "signature-mismatch"),
        (format!("{url}&Expires=4102444800"), "parameter-duplicate"),
        (format!("{url}&Signature=x"), "parameter-duplicate"),
        (format!("{url}&Key-Pair-Id=KTEST"), "parameter-duplicate"),
        (format!("{url}&Hash-Algorithm=SHA1"), "parameter-duplicate"),
        (format!("{url}&Policy=e30_"), "policy-ambiguous"),
        (url.replace("KTEST", "KOTHER"), "key-unknown"),
        (url.replace("KTEST", "ktest"), "key-unknown"),
        (url.replace("KTEST", ""), "parameter-malformed"),
        (url.replace("SHA256", "none"), "parameter-malformed"),
        (url.replace("SHA256", "SHA1"), "signature-mismatch"),
        (url.replace("Expires=4102444800", "Expires=04102444800"), "parameter-malformed"),
        (url.replace("Expires=4102444800", "Expires=4102444801"), "signature-mismatch"),
        (url.replace("Expires=4102444800", "Expires=1000000000"), "signature-expired"),
        (url.replace("Signature=", "Signature=A"), "parameter-malformed"),
        (url.replace("film", "song"), "signature-mismatch"),
        (url.replace("film", "fi\\m"), "url-malformed"),
    ] {
        assert_eq!(refusal(&changed).token(), token, "of {changed}");
    }
}

#[test]
fn junk_of_any_size_is_refused() {
    let long = "x".repeat(1 << 20);
    for url in [
        format!("https://h/?Expires=1&Signature={long}&Key-Pair-Id=KTEST"),
        format!("https://h/?Expires={long}&Signature=x&Key-Pair-Id=KTEST"),
        format!("https://h/?Expires=9999999999&Signature=x&Key-Pair-Id={long}"),
        format!("https://h/?{}", "&".repeat(1 << 20)),
        format!("https://h/?{}", "Expires=1&".repeat(1 << 16)),
        "https://h/?Expires=999999999999&Signature=\u{0}&Key-Pair-Id=KTEST".to_owned(),
        "https://h/?Expires=\u{661}&Signature=é&Key-Pair-Id=é".to_owned(),
    ] {
        refusal(&url);
    }
}

#[test]
fn a_key_of_the_group_does_not_answer_for_another() {
    let other = PrivateKey::generate_rsa().unwrap();
    let test_key = PublicKey::from_pem(include_str!("vectors/test-key.public.pem")).unwrap();
    let group = KeyGroup::new(
        vec![
            ("KTEST".to_owned(), test_key.into()),
            ("KOTHER".to_owned(), other.public_key().unwrap().into()),
        ],
        &[SchemeName::Cloudfront],
    );
    let confused = SHA1.replace("KTEST", "KOTHER");
    assert_eq!(group.verify(&presented(&confused), at(1)), Verdict::Refused(Reason::SignatureMismatch));
}

#[test]
fn what_we_sign_is_granted_and_stripped_to_what_was_signed() {
    for pem in [include_str!("vectors/test-key.pkcs8.pem"), include_str!("vectors/test-key.pkcs1.pem")] {
        let key = PrivateKey::from_pem(pem).unwrap();
        for url in [
            "https://cdn.example.test/",
            "https://cdn.example.test/a?",
            "https://cdn.example.test/a?b=1&",
            "http://127.0.0.1:8080/a%2Fb?c=d&&e=f?g",
        ] {
            let signed = signing::sign_canned(url, at(2_000_000_000), "KTEST", &key).unwrap();
            assert!(matches!(verify(&signed, at(1_999_999_999)), Verdict::Granted(_)));
            assert_eq!(signing::strip(presented(&signed).path_and_query), presented(url).path_and_query);
        }
    }
}

#[test]
fn our_sha256_signature_is_the_one_that_openssl_makes() {
    let key = PrivateKey::from_pem(include_str!("vectors/test-key.pkcs8.pem")).unwrap();
    let url = "https://cdn.example.test/premium/film.mp4";
    let signed = signing::sign_canned(url, at(EXPIRES), "KTEST", &key).unwrap();
    assert_eq!(signed, SHA256.trim_end());
}

#[test]
fn signing_twice_is_refused() {
    let key = PrivateKey::from_pem(include_str!("vectors/test-key.pkcs8.pem")).unwrap();
    let again = signing::sign_canned(SHA256.trim_end(), at(EXPIRES), "KTEST", &key);
    assert!(matches!(again, Err(SigningError::Url { .. })));
}

#[test]
fn a_group_that_accepts_nothing_refuses_everything() {
    let key = PublicKey::from_pem(include_str!("vectors/test-key.public.pem")).unwrap();
    let group = KeyGroup::new(vec![("KTEST".to_owned(), key.into())], &[]);
    assert_eq!(group.verify(&presented(SHA1), at(1)), Verdict::Refused(Reason::SignatureMissing));
}
