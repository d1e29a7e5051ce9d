//! Keys of limited life for a token: `AssumeRoleWithWebIdentity` of the security token service.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method};
use http_body_util::{BodyExt, Full};

use super::credentials::{Around, Credentials, read};
use super::name::encode_value;
use super::{answer, place, xml};
use crate::error::OriginError;
use crate::origin::http::HttpOrigin;
use crate::settings::{OriginSettings, WebIdentitySettings};
use crate::upload::OutgoingBody;

/// A role, the token that opens it, and who gives keys for it.
pub(super) struct Identity {
    service: HttpOrigin,
    role: String,
    token: PathBuf,
    session: String,
    patience: Duration,
}

impl Identity {
    pub(super) fn build(around: &Around<'_>, identity: &WebIdentitySettings) -> Result<Self, OriginError> {
        let Around { origin, settings, names, region } = *around;
        let url = match &identity.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => place::of_aws("sts", region)
                .map_err(|cause| OriginError::Bucket { origin: origin.clone(), cause })?,
        };
        // Of the bucket's own TLS only the authorities may be the service's too, where it is the operator's own.
        let mut settings = OriginSettings { s3: None, ..settings.clone() };
        settings.tls = settings.tls.filter(|_| identity.endpoint.is_some());
        if let Some(tls) = &mut settings.tls {
            (tls.sni, tls.client_cert, tls.client_key) = (None, None, None);
        }
        Ok(Self {
            service: HttpOrigin::build(&format!("{origin}/sts").into(), &url, &settings, names)?,
            role: identity.role.clone(),
            token: identity.token.clone(),
            session: identity.session.clone(),
            patience: settings.response_timeout,
        })
    }

    /// What Kubernetes and AWS's tools put into the environment.
    pub(super) fn of_environment(
        environment: impl Fn(&str) -> Option<String>,
    ) -> Option<WebIdentitySettings> {
        Some(WebIdentitySettings {
            role: environment("AWS_ROLE_ARN")?,
            token: environment("AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
            session: environment("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "selvedge".into()),
            endpoint: None,
        })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        read(&self.token).map(drop)
    }

    /// Asks for keys. The reason of a failure holds neither token nor keys.
    pub(super) async fn ask(&self) -> Result<Credentials, String> {
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.role),
            ("RoleSessionName", &self.session),
            ("WebIdentityToken", &read(&self.token)?),
        ];
        let form = form.map(|(name, value)| format!("{name}={}", encode_value(value))).join("&");
        let mut head =
            super::parts(Method::POST, "/", http::HeaderMap::new()).map_err(|cause| cause.detail)?;
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        head.headers.insert(ACCEPT, HeaderValue::from_static("application/xml"));
        let body = Full::new(Bytes::from(form)).map_err(|never| match never {}).boxed_unsync();
        let answered = self.service.exchange(&mut head, OutgoingBody::Stream(body)).await;
        let response =
            answered.map_err(|failed| told(&format!("{}: {}", failed.cause.failure, failed.cause.detail)))?;
        let status = response.status();
        let (_, document) =
            answer::read(response, self.patience).await.map_err(|cause| told(&cause.detail))?;
        if !status.is_success() {
            let code = xml::text(&document, "Code").filter(|code| answer::is_code(code));
            return Err(told(&format!("{} {}", status.as_u16(), code.unwrap_or_default())));
        }
        credentials(&document).ok_or_else(|| told("its answer has no keys"))
    }
}

fn told(what: &str) -> String {
    format!("the security token service: {what}")
}

fn credentials(document: &[u8]) -> Option<Credentials> {
    let text = |name| xml::text(document, name);
    let end = humantime_serde::re::humantime::parse_rfc3339(&text("Expiration")?).ok()?;
    Some(Credentials {
        access: text("AccessKeyId")?,
        secret: text("SecretAccessKey")?,
        session: Some(text("SessionToken")?),
        end: Some(end),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn an_answer_of_the_service_is_keys_with_an_end() {
        let answer =
            br#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
            <AssumeRoleWithWebIdentityResult><Credentials><SessionToken>token</SessionToken>
            <SecretAccessKey>hidden</SecretAccessKey><Expiration>2014-10-24T23:00:23Z</Expiration>
            <AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId></Credentials>
            </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"#;
        let found = credentials(answer).unwrap();
        assert_eq!(
            (found.access.as_str(), found.session.as_deref()),
            ("ASgeIAIOSFODNN7EXAMPLE", Some("token"))
        );
        assert_eq!(found.end, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_414_191_623)));
        assert!(!format!("{found:?}").contains("hidden"), "{found:?}");
        assert!(credentials(b"<Error><Code>ExpiredToken</Code></Error>").is_none());
    }
}
