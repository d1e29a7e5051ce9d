//! One active check: a request of the node's own, on a connection of its own.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::HttpOrigin;
use crate::failure::{Cause, Failure};
use crate::health::{Ailment, Found};
use crate::hop::HOP;
use crate::pool::Lease;
use crate::settings::HealthSettings;
use crate::upload::{OutgoingBody, Sending};

/// As much of a body is looked at.
const LOOKED_AT: usize = 64 * 1024;

impl HttpOrigin {
    /// Asks whether all is well, by the same way as requests go: name, connection, TLS. Always on a new connection, for an
    /// origin that takes no more connections is not up. A shield is told by `hop` who asks.
    pub(in crate::origin) async fn check(
        &self,
        settings: &HealthSettings,
        hop: Option<HeaderValue>,
    ) -> Found {
        match timeout(settings.timeout, Box::pin(self.look(settings, hop))).await {
            Ok(found) => found,
            Err(_) => {
                let detail = format!("nothing to judge by within {:?}", settings.timeout);
                Err(Cause::new(Failure::ResponseTimeout, detail).into())
            }
        }
    }

    async fn look(&self, settings: &HealthSettings, hop: Option<HeaderValue>) -> Found {
        let pool = self.pools.get_or(|| self.pool());
        let mut lease = pool.uncounted().await?;
        let mut request = self.question(settings, &lease).map_err(|error| {
            Cause::new(Failure::RequestInvalid, format!("no address for this check: {error}"))
        })?;
        hop.and_then(|hop| request.headers_mut().insert(HOP, hop));
        let answer = lease.send(request).await.map_err(|unsent| unsent.cause)?;
        judge(settings, answer, |error| Cause::of_body(&error)).await
    }

    fn question(&self, settings: &HealthSettings, lease: &Lease) -> Result<Request<Sending>, http::Error> {
        let target = self.url.target(Some(&settings.path.parse::<PathAndQuery>()?))?;
        let mut request = Request::new(Sending::new(OutgoingBody::Empty).0);
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("selvedge-health"));
        if !lease.is_http2() {
            let host = settings.host.as_deref().map(HeaderValue::from_str).transpose()?;
            headers.insert(HOST, host.unwrap_or_else(|| self.url.host_field()));
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            *request.uri_mut() = Uri::from(target);
            return Ok(request);
        }
        let mut uri = self.url.absolute(self.url.authority(), target)?.into_parts();
        if let Some(host) = &settings.host {
            uri.authority = Some(host.parse::<Authority>()?);
        }
        *request.uri_mut() = Uri::from_parts(uri)?;
        Ok(request)
    }
}

/// Whether this is what a check expects; `cause` says why its body breaks off.
pub(in crate::origin) async fn judge<B>(
    settings: &HealthSettings,
    answer: Response<B>,
    cause: impl Fn(B::Error) -> Cause,
) -> Found
where
    B: Body<Data = Bytes> + Unpin,
{
    let status = answer.status().as_u16();
    if !settings.status.contains(status) {
        let detail = format!("{status} is not in {}", settings.status);
        return Err(Ailment { token: "status", detail });
    }
    match &settings.body {
        Some(text) if !contains(answer.into_body(), text.as_bytes()).await.map_err(cause)? => {
            Err(Ailment { token: "body", detail: format!("{text:?} is not in the answer's body") })
        }
        _ => Ok(()),
    }
}

/// Whether the beginning of the body contains `text`; nothing is read beyond.
async fn contains<B: Body<Data = Bytes> + Unpin>(mut body: B, text: &[u8]) -> Result<bool, B::Error> {
    let mut read = Vec::new();
    let found = |read: &[u8]| text.is_empty() || read.windows(text.len()).any(|window| window == text);
    while !found(&read) && read.len() < LOOKED_AT {
        let Some(frame) = body.frame().await else { return Ok(false) };
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data[..data.len().min(LOOKED_AT - read.len())]);
        }
    }
    Ok(found(&read))
}
