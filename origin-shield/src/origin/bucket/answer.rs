//! What a bucket's answer means that is no object: nothing there, trouble of its own, or something wrong on our side.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::xml;
use crate::body::OriginBody;
use crate::failure::{Cause, Failure};

/// Marks an answer whose words stay behind, since they tell of buckets, keys and requests: give it some of your own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withheld;

/// What is to be done about the service's refusals of this node, by their codes.
const REMEDIES: [(&[&str], &str); 6] = [
    (
        &["RequestTimeTooSkewed", "RequestExpired"],
        "this node's clock is wrong by minutes: set it, and keep it set by NTP",
    ),
    (
        &["SignatureDoesNotMatch"],
        "secret-key does not belong to access-key, or endpoint and style are not the bucket's",
    ),
    (&["InvalidAccessKeyId", "NotSignedUp"], "the service does not know access-key"),
    (
        &["ExpiredToken", "InvalidToken", "InvalidClientTokenId", "TokenRefreshRequired"],
        "the session token is over or not for this service: renew the credentials",
    ),
    (
        &["NoSuchBucket", "InvalidBucketName"],
        "the service has no bucket of this name: check url, endpoint and style",
    ),
    (
        &[
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "TemporaryRedirect",
            "IllegalLocationConstraintException",
        ],
        "the bucket is elsewhere: check region and endpoint",
    ),
];

/// The body of an answer that is no object, read to its end, and the code in it.
pub(super) async fn words(
    response: Response<OriginBody>,
    patience: Duration,
) -> Result<(Response<OriginBody>, Option<String>), Cause> {
    let (response, document) = read(response, patience).await?;
    Ok((response, xml::text(&document, "Code").filter(|code| is_code(code))))
}

/// Reads a short body to its end; what is left of the answer has none.
pub(super) async fn read(
    response: Response<OriginBody>,
    patience: Duration,
) -> Result<(Response<OriginBody>, Bytes), Cause> {
    let (head, mut body) = response.into_parts();
    let mut document = BytesMut::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Cause::new(error.failure().unwrap_or(Failure::ResponseIncomplete), error.to_string())
            })?;
            document.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if document.len() > xml::LONGEST {
                let detail = format!("status {} with more than {} bytes of words", head.status, xml::LONGEST);
                return Err(Cause::new(Failure::ResponseInvalid, detail));
            }
        }
        Ok(())
    };
    match timeout(patience, reading).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(Cause::new(Failure::ResponseTimeout, "no end of a short answer")),
    }
    Ok((Response::from_parts(head, body), document.freeze()))
}

/// Whether other credentials, should there be any by now, might be welcome.
pub(super) fn is_about_the_credentials(code: Option<&str>) -> bool {
    let known = [REMEDIES[1].0, REMEDIES[2].0, REMEDIES[3].0].concat();
    code.is_some_and(|code| known.contains(&code))
}

/// An answer that is no object as a viewer may see it, or why this node got none.
pub(super) fn judge(
    response: Response<OriginBody>,
    method: &Method,
    code: Option<&str>,
    missing: &[u16],
) -> Result<Response<OriginBody>, Cause> {
    let status = meaning(response.status(), method, code, missing)?;
    let (head, body) = response.into_parts();
    let mut headers = HeaderMap::new();
    for name in [RETRY_AFTER, CONTENT_RANGE] {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(CONTENT_LENGTH, 0.into());
    let mut withheld = Response::new(body);
    *withheld.status_mut() = status;
    *withheld.version_mut() = head.version;
    *withheld.headers_mut() = headers;
    withheld.extensions_mut().insert(Withheld);
    Ok(withheld)
}

fn meaning(
    status: StatusCode,
    method: &Method,
    code: Option<&str>,
    missing: &[u16],
) -> Result<StatusCode, Cause> {
    let wrong = |remedy: &str| {
        let code = code.unwrap_or("no reason given");
        Err(Cause::new(Failure::Configuration, format!("{}, {code}: {remedy}", status.as_u16())))
    };
    let remedy = REMEDIES.iter().find(|(codes, _)| code.is_some_and(|code| codes.contains(&code)));
    if let Some((_, remedy)) = remedy {
        return wrong(remedy);
    }
    if status.is_redirection() || status.is_informational() {
        return wrong("the bucket is elsewhere: check region and endpoint");
    }
    let is_reading = matches!(*method, Method::GET | Method::HEAD);
    match status {
        StatusCode::FORBIDDEN if is_reading && missing.contains(&403) => Ok(StatusCode::NOT_FOUND),
        StatusCode::UNAUTHORIZED => wrong("the service wants other credentials"),
        _ => Ok(status),
    }
}

/// Codes are words; what is none is not for a log.
pub(super) fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(status: u16, method: &Method, code: &str, missing: &[u16]) -> Result<u16, (Failure, String)> {
        let code = (!code.is_empty()).then_some(code);
        meaning(StatusCode::from_u16(status).unwrap(), method, code, missing)
            .map(|status| status.as_u16())
            .map_err(|cause| (cause.failure, cause.detail))
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_denied() {
        assert_eq!(means(404, &Method::GET, "NoSuchKey", &[404]), Ok(404));
        assert_eq!(means(404, &Method::HEAD, "", &[404]), Ok(404));
        assert_eq!(means(403, &Method::GET, "AccessDenied", &[404]), Ok(403));
        assert_eq!(means(403, &Method::GET, "AccessDenied", &[403, 404]), Ok(404));
        assert_eq!(means(403, &Method::HEAD, "", &[403]), Ok(404));
        assert_eq!(means(403, &Method::PUT, "AccessDenied", &[403]), Ok(403));
    }

    #[test]
    fn what_is_wrong_on_our_side_is_named_with_its_remedy() {
        for (status, code, remedy) in [
            (403, "RequestTimeTooSkewed", "clock"),
            (403, "SignatureDoesNotMatch", "secret-key"),
            (403, "InvalidAccessKeyId", "access-key"),
            (400, "ExpiredToken", "renew"),
            (404, "NoSuchBucket", "url, endpoint and style"),
            (400, "AuthorizationHeaderMalformed", "region"),
            (301, "PermanentRedirect", "region"),
            (307, "", "elsewhere"),
        ] {
            // A list of what counts as missing never hides a wrong key.
            let (failure, detail) = means(status, &Method::GET, code, &[403, 404]).unwrap_err();
            assert_eq!(failure, Failure::Configuration, "{code}");
            assert!(detail.contains(code) && detail.contains(remedy), "{detail}");
        }
    }

    #[test]
    fn trouble_of_the_service_keeps_its_status() {
        for status in [400, 405, 412, 416, 500, 503] {
            assert_eq!(means(status, &Method::GET, "SlowDown", &[404]), Ok(status));
        }
    }

    #[test]
    fn only_words_are_codes() {
        assert!(is_code("NoSuchKey") && is_code("Client.Gone"));
        assert!(!is_code("") && !is_code("a b") && !is_code("a\nb") && !is_code(&"a".repeat(65)));
    }
}
