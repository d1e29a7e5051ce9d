//! Addresses in tokens that only the node can read (RFC 9246 section 2.1.10).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use signing::{
    Claims, EncryptionKey, Grant, KeyGroup, KeyKind, Presented, PrivateKey, Reason, Renewal, SchemeName,
    Secret, SigningKey, Verdict,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const PATH: &str = "/live/one/a.m3u8";
const NARROW: &str = "4uFxxV7fhNmrtiah2d1fFg";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn secret() -> SigningKey {
    SigningKey::Secret(Secret::from_text("a secret of more than thirty-two characters").unwrap())
}

fn keys() -> [EncryptionKey; 2] {
    let wide = EncryptionKey::generate().unwrap();
    [EncryptionKey::from_text(NARROW).unwrap(), EncryptionKey::from_text(&wide).unwrap()]
}

fn group(signer: &SigningKey, keys: &[EncryptionKey]) -> KeyGroup {
    let group =
        KeyGroup::new(vec![("K1".to_owned(), signer.verifying().unwrap())], &[SchemeName::UriSigning]);
    let named = keys.iter().enumerate().map(|(index, key)| (format!("A{index}"), key.clone()));
    group.decrypting_with(named.collect())
}

fn claims() -> Claims {
    Claims::matching(r"https://cdn\.test/live/.*").unwrap().until(at(2000)).unwrap()
}

fn judge(group: &KeyGroup, token: &str, address: &str, now: u64) -> Result<Grant, Reason> {
    let cookie = format!("URISigningPackage={token}");
    let (cookies, address) = ([cookie.as_str()], Some(address.parse().unwrap()));
    let presented = Presented { cookies: &cookies, address, ..Presented::url("https", "cdn.test", PATH) };
    match group.verify(&presented, at(now)) {
        Verdict::Granted(grant) => Ok(grant),
        Verdict::Refused(reason) => Err(reason),
    }
}

#[test]
fn a_viewer_is_let_in_from_the_encrypted_network_alone() {
    for (index, key) in keys().iter().enumerate() {
        for (network, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.9", "203.0.114.9"),
            ("203.0.113.9", "::ffff:203.0.113.9", "203.0.113.10"),
            ("2001:db8::/32", "2001:db8:5::1", "2001:db9::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ] {
            let group = group(&secret(), &keys()).decrypting_with(vec![(format!("A{index}"), key.clone())]);
            let claims = claims().only_from_encrypted(network, &format!("A{index}"), key).unwrap();
            let token = signing::sign_jwt(&claims, "K1", &secret()).unwrap();
            let said = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
            assert!(!String::from_utf8(said).unwrap().contains(network.split('/').next().unwrap()));
            // The address counts with every request, also when the token is remembered.
            for _ in 0..2 {
                assert_eq!(judge(&group, &token, outside, 1), Err(Reason::AddressMismatch), "{network}");
                assert!(judge(&group, &token, inside, 1).is_ok(), "{network}");
            }
        }
    }
}

#[test]
fn the_same_address_is_never_encrypted_to_the_same_text() {
    let [key, _] = keys();
    let token = || {
        let claims = claims().only_from_encrypted("203.0.113.9", "A0", &key).unwrap();
        signing::sign_jwt(&claims, "K1", &secret()).unwrap()
    };
    assert_ne!(token(), token());
    assert!(claims().only_from_encrypted("here", "A0", &key).is_err());
    assert!(claims().only_from_encrypted("203.0.113.9", "A 0", &key).is_err());
}

#[test]
fn a_key_is_replaced_without_an_interruption_and_opens_nothing_when_it_is_gone() {
    let [old, new] = keys();
    let made = |id: &str, key| {
        let claims = claims().only_from_encrypted("203.0.113.9", id, key).unwrap();
        signing::sign_jwt(&claims, "K1", &secret()).unwrap()
    };
    let tokens = [made("A0", &old), made("A1", &new)];
    let both = group(&secret(), &[old.clone(), new.clone()]);
    assert!(tokens.iter().all(|token| judge(&both, token, "203.0.113.9", 1).is_ok()));
    let later = group(&secret(), &[]).decrypting_with(vec![("A1".to_owned(), new)]).following(&both);
    assert_eq!(judge(&later, &tokens[0], "203.0.113.9", 1), Err(Reason::DecryptionKeyUnknown));
    assert!(judge(&later, &tokens[1], "203.0.113.9", 1).is_ok());
    let confused = group(&secret(), &[]).decrypting_with(vec![("A1".to_owned(), old)]);
    assert_eq!(judge(&confused, &tokens[1], "203.0.113.9", 1), Err(Reason::DecryptionFailed));
}

#[test]
fn nothing_is_decrypted_for_a_signature_that_is_wrong() {
    let [key, _] = keys();
    let private = SigningKey::Private(Arc::new(PrivateKey::generate(KeyKind::P256).unwrap()));
    let other = SigningKey::Private(Arc::new(PrivateKey::generate(KeyKind::P256).unwrap()));
    let claims = claims().only_from_encrypted("203.0.113.9", "A9", &key).unwrap();
    let group = group(&private, &[key]);
    let [forged, signed] = [&other, &private].map(|key| signing::sign_jwt(&claims, "K1", key).unwrap());
    assert_eq!(judge(&group, &forged, "203.0.113.9", 1), Err(Reason::SignatureMismatch));
    assert_eq!(judge(&group, &signed, "203.0.113.9", 1), Err(Reason::DecryptionKeyUnknown));
}

#[test]
fn a_renewed_token_keeps_its_claims_as_they_were() {
    let [key, _] = keys();
    let claims = claims()
        .only_from_encrypted("203.0.113.0/24", "A0", &key)
        .unwrap()
        .renewed_for(Duration::from_secs(30), 1);
    let token = signing::sign_jwt(&claims, "K1", &secret()).unwrap();
    let group = group(&secret(), &[key]);
    let Some(Renewal::Cookie(cookie)) = judge(&group, &token, "203.0.113.9", 1000).unwrap().renewal else {
        panic!("no renewal")
    };
    let next = cookie.strip_prefix("URISigningPackage=").unwrap().split(';').next().unwrap();
    let said = |token: &str| -> serde_json::Value {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&claims).unwrap()
    };
    assert_eq!(said(next)["cdniip"], said(&token)["cdniip"]);
    assert!(judge(&group, next, "203.0.113.8", 1029).is_ok());
    assert_eq!(judge(&group, next, "203.0.114.8", 1029), Err(Reason::AddressMismatch));
}

#[test]
fn its_owner_is_told_what_is_encrypted() {
    let [key, other] = keys();
    let claims = claims().only_from_encrypted("203.0.113.0/24", "A0", &key).unwrap();
    let token = signing::sign_jwt(&claims, "K1", &secret()).unwrap();
    let cookie = format!("URISigningPackage={token}");
    let cookies = [cookie.as_str()];
    let presented = Presented { cookies: &cookies, ..Presented::url("https", "cdn.test", PATH) };
    let read = |key| signing::read_terms(&group(&secret(), &[key]), &presented, &SchemeName::ALL).unwrap();
    assert!(read(key).contains(r#""cdniip":"203.0.113.0/24 (encrypted)""#));
    assert!(!read(other).contains("203.0.113"));
}
