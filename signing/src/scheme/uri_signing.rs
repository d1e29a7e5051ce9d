//! JSON Web Tokens as of RFC 9246, "URI Signing for Content Delivery Network Interconnection".
//!
//! The token stands in the query parameter, path parameter or cookie `URISigningPackage`. Which algorithm it may name is decided by
//! its key, never by the token: RSA means PS256, P-256 ES256, Ed25519 EdDSA, a secret HS256.

mod claims;
mod container;
mod encrypted;
mod renewal;

use claims::Address;
pub use claims::Claims;
pub(crate) use claims::mint;
pub(crate) use container::Container;
pub(crate) use encrypted::Decryption;

use crate::key::Key;
use crate::memory;
use crate::policy::contains;
use crate::strict::Object;
use crate::verify::Place;
use crate::{Grant, KeyGroup, Presented, Reason, SchemeName, cookie, url};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use jsonwebtoken::{dangerous, decode_header};
use std::sync::Arc;
use std::time::SystemTime;

const MOST_BYTES: usize = 8192;
/// Of one name in a request; what comes after them is not looked at.
const MOST_COOKIES: usize = 8;

/// A token whose signature was found good.
#[derive(Debug)]
pub(crate) struct Proved {
    key_id: Arc<str>,
    claims: Claims,
    opens: Arc<str>,
    /// Of `opens`.
    container: memory::Name,
    /// Where its viewers are, or why that cannot be read: a token with a claim that does not decrypt is asked with again and again.
    viewers: Result<Option<IpNet>, Reason>,
}

/// The token in the URL, or the first good one among the cookies: browsers send every cookie of the name whose path fits
/// (RFC 6265 section 5.4), the one that the application began with beside those that renewed it.
pub(crate) fn judge(
    group: &KeyGroup,
    presented: &Presented<'_>,
    place: Place,
    now: SystemTime,
) -> Result<Grant, Reason> {
    if place == Place::Url {
        let token = find(presented, place)?.ok_or(Reason::SignatureMissing)?;
        return judge_token(group, presented, token, now);
    }
    let mut refusal = None;
    for token in cookie::all(presented.cookies, SchemeName::PACKAGE).take(MOST_COOKIES) {
        match judge_token(group, presented, token, now) {
            Ok(grant) => return Ok(grant),
            Err(reason) => drop(refusal.get_or_insert(reason)),
        }
    }
    Err(refusal.unwrap_or(Reason::SignatureMissing))
}

/// The checks, cheapest first.
fn judge_token(
    group: &KeyGroup,
    presented: &Presented<'_>,
    token: &str,
    now: SystemTime,
) -> Result<Grant, Reason> {
    if token.len() > MOST_BYTES {
        return Err(Reason::TokenMalformed("it is too long"));
    }
    let name = memory::name(&[token.as_bytes()]);
    let proved = match group.tokens.get(&name) {
        Some(proved) => {
            proved.claims.check(group, now)?;
            proved
        }
        None => {
            let proved = Arc::new(prove(group, presented, token, now)?);
            group.tokens.insert(name, Arc::clone(&proved));
            proved
        }
    };
    check_address(proved.viewers?, presented)?;
    let resource = group.strip(presented.path_and_query);
    if !container(group, &proved.container, &proved.opens)?.covers(presented, &resource) {
        return Err(Reason::ResourceMismatch);
    }
    proved.spend(group, presented, &resource)?;
    Ok(Grant {
        scheme: SchemeName::UriSigning,
        key_id: Arc::clone(&proved.key_id),
        expires: proved.claims.expires(),
        resource: Some(Arc::clone(&proved.opens)),
        token_id: proved.claims.token_id().map(Arc::from),
        renewal: renewal::renew(group, &proved, presented, &resource, now)?,
    })
}

/// The claims as they were read, for people. What is encrypted is shown decrypted, where the group can.
pub(crate) fn read(group: &KeyGroup, presented: &Presented<'_>, place: Place) -> Option<String> {
    let token = find(presented, place).ok()??;
    let mut claims: serde_json::Value = dangerous::insecure_decode_claims(token).ok()?;
    let sealed = claims["cdniip"].as_str().filter(|address| encrypted::is_sealed(address));
    if let Some(network) = sealed.and_then(|sealed| encrypted::open(sealed, &group.decryption).ok()) {
        claims["cdniip"] = format!("{network} (encrypted)").into();
    }
    Some(claims.to_string())
}

/// The key id that a token names.
pub(crate) fn named(presented: &Presented<'_>, place: Place) -> Option<String> {
    decode_header(find(presented, place).ok()??).ok()?.kid
}

fn find<'a>(presented: &Presented<'a>, place: Place) -> Result<Option<&'a str>, Reason> {
    match place {
        Place::Cookies => Ok(cookie::all(presented.cookies, SchemeName::PACKAGE).next()),
        Place::Url => {
            let [query] = url::find(presented.path_and_query, [SchemeName::PACKAGE])?;
            let path = url::path_parameter(presented.path_and_query, SchemeName::PACKAGE)?;
            match (query, path) {
                (Some(_), Some(_)) => Err(Reason::ParameterDuplicate(SchemeName::PACKAGE)),
                (query, path) => Ok(query.or(path)),
            }
        }
    }
}

/// Key, time, publisher and address first; then the signature; and only then is an address decrypted and a pattern compiled, which
/// are the signer's to make.
fn prove(
    group: &KeyGroup,
    presented: &Presented<'_>,
    token: &str,
    now: SystemTime,
) -> Result<Proved, Reason> {
    const NO_JWT: Reason = Reason::TokenMalformed("it is no JWT");
    let (message, signature) = token.rsplit_once('.').ok_or(NO_JWT)?;
    let header = decode_header(token).map_err(|_| NO_JWT)?;
    // RFC 7515 section 4.1.11: what must be understood and is not. This node understands nothing beyond the RFC.
    if header.crit.is_some() || header.zip.is_some() || header.enc.is_some() {
        return Err(Reason::TokenMalformed("its header asks for more than a signature"));
    }
    let (key_id, key) = match &header.kid {
        Some(id) => group.key(id).ok_or(Reason::KeyUnknown)?,
        None => group.only_key(|key| key.algorithm() == header.alg).ok_or(Reason::KeyUnknown)?,
    };
    if key.algorithm() != header.alg {
        return Err(Reason::KeyUnsuitable);
    }
    let Object(claims): Object<Claims> = dangerous::insecure_decode_claims(token)
        .map_err(|_| Reason::TokenMalformed("its claims are not of RFC 9246's form"))?;
    claims.check(group, now)?;
    let address = claims.address()?;
    if let Some(Address::Open(network)) = address {
        check_address(Some(network), presented)?;
    }
    let is_dear = matches!(key, Key::Public(_));
    if is_dear && !group.suspects.may_try(presented.address, now) {
        return Err(Reason::SignatureFlood);
    }
    if !is_signed(key, message, signature) {
        if is_dear {
            group.suspects.failed(presented.address, now);
        }
        return Err(Reason::SignatureMismatch);
    }
    let opens: Arc<str> = claims.container().into();
    let name = memory::name(&[opens.as_bytes()]);
    container(group, &name, &opens)?;
    let viewers = match address {
        Some(Address::Open(network)) => Ok(Some(network)),
        Some(Address::Sealed(sealed)) => encrypted::open(sealed, &group.decryption).map(Some),
        None => Ok(None),
    };
    Ok(Proved { key_id: Arc::clone(key_id), opens, container: name, viewers, claims })
}

fn check_address(viewers: Option<IpNet>, presented: &Presented<'_>) -> Result<(), Reason> {
    match viewers {
        Some(network) if !contains(&network, presented.address) => Err(Reason::AddressMismatch),
        _ => Ok(()),
    }
}

/// Which URLs a token is about. A compiled pattern weighs much more than its token, so tokens share those that were made last.
fn container(group: &KeyGroup, name: &memory::Name, text: &str) -> Result<Arc<Container>, Reason> {
    if let Some(known) = group.patterns.get(name) {
        return Ok(known);
    }
    let container = Arc::new(Container::parse(text)?);
    if container.is_dear() {
        group.patterns.insert(*name, Arc::clone(&container));
    }
    Ok(container)
}

fn is_signed(key: &Key, message: &str, signature: &str) -> bool {
    let signature = URL_SAFE_NO_PAD.decode(signature);
    signature.is_ok_and(|signature| key.verifies_jwt(message.as_bytes(), &signature))
}

impl Proved {
    /// RFC 9246 section 2.1.7: a token with an id opens each URL once. This node remembers what it has seen itself, as far as the
    /// memory of the group goes.
    fn spend(&self, group: &KeyGroup, presented: &Presented<'_>, resource: &str) -> Result<(), Reason> {
        let Some(id) = self.claims.token_id() else { return Ok(()) };
        match group.spent.insert_new(use_of(&self.key_id, id, presented, resource)) {
            true => Ok(()),
            false => Err(Reason::TokenSpent),
        }
    }
}

/// The name of a token's use for a URL, which counts in its normal form: another spelling is no other URL.
fn use_of(key_id: &str, id: &str, presented: &Presented<'_>, resource: &str) -> memory::Name {
    let url = container::normal(presented, resource);
    memory::name(&[key_id, id, &url].map(str::as_bytes))
}

/// Whether the token of this grant has opened the URL before. Nothing is spent by asking.
pub(crate) fn is_spent(group: &KeyGroup, grant: &Grant, presented: &Presented<'_>) -> bool {
    let resource = group.strip(presented.path_and_query);
    let id = grant.token_id.as_deref();
    id.is_some_and(|id| group.spent.has(&use_of(&grant.key_id, id, presented, &resource)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EncryptionKey, KeyKind, PrivateKey, SigningKey, Verdict};

    #[test]
    fn what_does_not_decrypt_costs_its_signature_once() {
        let signer = SigningKey::Private(Arc::new(PrivateKey::generate(KeyKind::P256).unwrap()));
        let key = EncryptionKey::from_text("4uFxxV7fhNmrtiah2d1fFg").unwrap();
        let group =
            KeyGroup::new(vec![("K1".to_owned(), signer.verifying().unwrap())], &[SchemeName::UriSigning])
                .decrypting_with(vec![("A1".to_owned(), key.clone())]);
        for (id, reason) in [("A1", Reason::AddressMismatch), ("A2", Reason::DecryptionKeyUnknown)] {
            let claims = Claims::matching(".*").unwrap().only_from_encrypted("192.0.2.1", id, &key).unwrap();
            let token = mint(&claims, "K1", &signer).unwrap();
            let target = format!("/a?{}={token}", SchemeName::PACKAGE);
            let presented = Presented::url("https", "cdn.test", &target);
            assert_eq!(group.verify(&presented, SystemTime::UNIX_EPOCH), Verdict::Refused(reason));
            assert!(group.tokens.get(&memory::name(&[token.as_bytes()])).is_some(), "{id}");
        }
    }

    #[test]
    fn tokens_of_one_pattern_share_what_is_compiled() {
        let group = KeyGroup::new(Vec::new(), &[SchemeName::UriSigning]);
        let made = |text: &str| container(&group, &memory::name(&[text.as_bytes()]), text).unwrap();
        let pattern = "regex:https://cdn.test/.*";
        assert!(Arc::ptr_eq(&made(pattern), &made(pattern)));
        // What costs nothing to make pushes no pattern out.
        let hash = "hash:sha-256;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(!Arc::ptr_eq(&made(hash), &made(hash)));
    }
}
