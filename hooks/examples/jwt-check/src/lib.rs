//! Lets in who brings a JSON Web Token (RFC 7519) that is signed and in force.
//!
//! Where it is looked for: `Authorization: Bearer`, else the cookie of config `cookie`. Who has signed it: with HMAC and the
//! hook's secret `jwt`; or config `algorithm = "ES256"` (or `RS256`, `EdDSA`) and `key`, a public key as PEM or JWK. Config
//! `issuer` and `audience` must match where they are given. The origin finds the subject in `x-user` on routes without a cache
//! policy; under one it gets what the key names, and a stored answer is for all whom the hook lets in.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use selvedge_hook::prelude::*;
use serde::Deserialize;
use serde_json::Value;

hook!(viewer-request: admit);

#[derive(Deserialize)]
struct Claims {
    /// A token that never ends is not accepted.
    exp: f64,
    #[serde(default)]
    nbf: f64,
    #[serde(default)]
    iss: Value,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    sub: String,
}

fn admit(request: &Request) -> Result<Option<Response>> {
    let bearer = request
        .header("authorization")
        .and_then(|value| Some(value.strip_prefix("Bearer ")?.trim().to_owned()));
    let Some(token) = bearer.or_else(|| request.cookie(&config::get("cookie")?)) else {
        return refuse("no token");
    };
    let Some((signed, signature)) = token.rsplit_once('.') else { return refuse("not a token") };
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return refuse("not a token") };
    // The algorithm is ours to say: what the token's header says of it is not even read (RFC 8725 section 3.1).
    let is_ours = match config::get("algorithm").as_deref() {
        None | Some("HS256") => secrets::get("jwt")?.verify_hmac_sha256(signed, &signature),
        Some(algorithm) => crypto::verify(algorithm, &config::require("key")?, signed, &signature)?,
    };
    if !is_ours {
        return refuse("not signed by whom it should be");
    }
    let Some(claims) = claims(signed) else { return refuse("claims that cannot be read") };
    let now = time::since_epoch().as_secs_f64();
    if now >= claims.exp || now < claims.nbf {
        return refuse("not in force");
    }
    let is = |claim: &Value, key| config::get(key).is_none_or(|wanted| names(claim, &wanted));
    if !is(&claims.iss, "issuer") || !is(&claims.aud, "audience") {
        return refuse("for another purpose");
    }
    request.set_header("x-user", claims.sub)?;
    Ok(None)
}

fn claims(signed: &str) -> Option<Claims> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// RFC 7519 section 4.1.3: an audience is a text or a list of them.
fn names(claim: &Value, wanted: &str) -> bool {
    claim == wanted || claim.as_array().is_some_and(|list| list.iter().any(|item| item == wanted))
}

fn refuse(why: &str) -> Result<Option<Response>> {
    debug!("refused: {why}");
    let response = Response::text(401, format!("{why}\n"))?;
    response.set_header("www-authenticate", "Bearer error=\"invalid_token\"")?;
    response.set_header("cache-control", "no-store")?;
    Ok(Some(response))
}
