//! Signature Version 4, as S3 wants it: "Authenticating Requests: Using the Authorization Header" in the S3 API reference.

use std::fmt::Write;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use humantime_serde::re::humantime::format_rfc3339_seconds;

use super::credentials::Credentials;
use crate::failure::{Cause, Failure};

/// What a signature says about the body.
pub(super) enum Payload<'a> {
    /// Its hash.
    Bytes(&'a [u8]),
    /// Nothing: it is not known yet.
    Unsigned,
}

/// Signs requests to one bucket.
#[derive(Debug)]
pub(super) struct Signer {
    region: String,
}

/// A request as it is signed: `target` is its path, encoded once, and its query, sorted and encoded.
pub(super) struct Signed<'a> {
    pub(super) method: &'a Method,
    pub(super) host: &'a str,
    pub(super) target: &'a str,
    pub(super) payload: Payload<'a>,
}

impl Signer {
    pub(super) fn new(region: String) -> Self {
        Self { region }
    }

    /// Signs the request, with its host and all of `headers`, at `now`; adds the fields that say so.
    pub(super) fn sign(
        &self,
        request: &Signed<'_>,
        headers: &mut HeaderMap,
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<(), Cause> {
        let time: String = format_rfc3339_seconds(now).to_string().replace(['-', ':'], "");
        let date = time.get(..8).unwrap_or_default();
        let payload = match request.payload {
            Payload::Bytes(bytes) => hash(bytes),
            Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
        };
        headers.insert("x-amz-date", value(&time)?);
        headers.insert("x-amz-content-sha256", value(&payload)?);
        if let Some(token) = &credentials.session {
            headers.insert("x-amz-security-token", secret(token)?);
        }
        let (canonical, names) = canonical(request, headers, &payload)?;
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
        let key = format!("AWS4{}", credentials.secret).into_bytes();
        let key = [date, &self.region, "s3", "aws4_request"].iter().fold(key, |key, word| keyed(&key, word));
        let signature = hexadecimal(&keyed(&key, &to_sign));
        let access = &credentials.access;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access}/{scope},SignedHeaders={names},Signature={signature}"
        );
        headers.insert(AUTHORIZATION, secret(&authorization)?);
        Ok(())
    }
}

/// The canonical request, and the names of the fields in it.
fn canonical(request: &Signed<'_>, headers: &HeaderMap, payload: &str) -> Result<(String, String), Cause> {
    let field = |name| Ok((HeaderName::as_str(name), trimmed(headers.get_all(name).iter())?));
    let mut fields = headers.keys().map(field).collect::<Result<Vec<_>, Cause>>()?;
    fields.push((HOST.as_str(), request.host.to_owned()));
    fields.sort_unstable();
    let names = fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let mut text = format!("{}\n{path}\n{query}\n", request.method);
    for (name, value) in fields {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{names}\n{payload}");
    Ok((text, names))
}

/// The values of one field: without spaces around them, with single ones inside, joined by commas.
fn trimmed<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Result<String, Cause> {
    let odd =
        |_| Cause::new(Failure::RequestInvalid, "a field that cannot be signed: it is not visible ASCII");
    let words = |value: &'a HeaderValue| {
        let text = value.to_str().map_err(odd)?;
        Ok(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    };
    Ok(values.map(words).collect::<Result<Vec<_>, Cause>>()?.join(","))
}

fn hash(bytes: &[u8]) -> String {
    hexadecimal(digest(&SHA256, bytes).as_ref())
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn secret(text: &str) -> Result<HeaderValue, Cause> {
    let mut value = value(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is not said is the text: it may be a key.
fn value(text: &str) -> Result<HeaderValue, Cause> {
    HeaderValue::from_str(text).map_err(|_| {
        Cause::new(Failure::Configuration, "the key, its token or the region cannot stand in a header field")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn credentials(session: Option<&str>) -> Credentials {
        Credentials {
            access: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session: session.map(str::to_owned),
            end: None,
        }
    }

    /// The examples of the reference are of 24 May 2013.
    fn signed(
        method: &Method,
        target: &str,
        fields: &[(&'static str, &'static str)],
        body: &[u8],
    ) -> HeaderMap {
        let now = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let mut headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let host = "examplebucket.s3.amazonaws.com";
        let request = Signed { method, host, target, payload: Payload::Bytes(body) };
        Signer::new("us-east-1".into()).sign(&request, &mut headers, &credentials(None), now).unwrap();
        headers
    }

    #[test]
    fn the_published_examples_are_signed_as_published() {
        let date = ("date", "Fri, 24 May 2013 00:00:00 GMT");
        let class = ("x-amz-storage-class", "REDUCED_REDUNDANCY");
        for (method, target, fields, body, signature) in [
            (
                Method::GET,
                "/test.txt",
                &[("range", "bytes=0-9")][..],
                &b""[..],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                Method::PUT,
                "/test%24file.text",
                &[date, class],
                b"Welcome to Amazon S3.",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                Method::GET,
                "/?lifecycle=",
                &[],
                b"",
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                Method::GET,
                "/?max-keys=2&prefix=J",
                &[],
                b"",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let headers = signed(&method, target, fields, body);
            let authorization = headers[AUTHORIZATION].to_str().unwrap();
            assert!(authorization.ends_with(signature), "{target}: {authorization}");
            assert!(headers[AUTHORIZATION].is_sensitive());
        }
    }

    #[test]
    fn a_session_token_is_sent_and_signed_and_never_printed() {
        let mut headers = HeaderMap::new();
        let request = Signed {
            method: &Method::PUT,
            host: "media.s3.example.com",
            target: "/cat.jpg",
            payload: Payload::Unsigned,
        };
        let credentials = credentials(Some("token-of-an-hour"));
        Signer::new("r".into()).sign(&request, &mut headers, &credentials, UNIX_EPOCH).unwrap();
        assert_eq!(headers["x-amz-security-token"], "token-of-an-hour");
        assert_eq!(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
        let authorization = headers[AUTHORIZATION].to_str().unwrap();
        assert!(authorization.contains("x-amz-security-token"), "{authorization}");
        let printed = format!("{headers:?} {credentials:?}");
        assert!(
            !printed.contains("token-of") && !printed.contains("Signature") && !printed.contains("wJalr")
        );
    }

    #[test]
    fn values_are_signed_without_needless_spaces() {
        let fields = [HeaderValue::from_static("  a   b "), HeaderValue::from_static("c")];
        assert_eq!(trimmed(fields.iter()).unwrap(), "a b,c");
        let odd = HeaderValue::from_bytes(b"\xe9").unwrap();
        assert_eq!(trimmed([&odd].into_iter()).unwrap_err().failure, Failure::RequestInvalid);
    }

    #[test]
    fn a_key_that_cannot_be_sent_is_not_told() {
        let cause = secret("hunter2\n").unwrap_err();
        assert!(cause.failure == Failure::Configuration && !cause.detail.contains("hunter2"), "{cause:?}");
    }
}
