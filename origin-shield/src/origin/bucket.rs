//! An origin that is a private bucket of an S3-compatible service: every request is signed, and is about one object.
//!
//! Viewers choose an object by the path alone. Their query, credentials and `x-amz-*` fields stay behind, so that nobody makes
//! a reading of an object into another operation of the service.

mod answer;
mod credentials;
mod fields;
mod identity;
mod name;
mod place;
mod profile;
mod sign;
mod upload;
mod xml;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use answer::Withheld;

use self::credentials::{Around, Keeper, Source};
use self::fields::Asked;
use self::sign::{Payload, Signed, Signer};
use super::NoAnswer;
use super::http::HttpOrigin;
use crate::body::OriginBody;
use crate::dial::Names;
use crate::error::OriginError;
use crate::failure::{Cause, Failure};
use crate::health::{Ailment, Found};
use crate::settings::{BucketSettings, HealthSettings, OriginSettings, OriginUrl};
use crate::upload::OutgoingBody;

pub(super) struct BucketOrigin {
    service: HttpOrigin,
    /// Host and port, as they are signed.
    host: String,
    is_https: bool,
    /// What stands before an object's name in the path.
    base: String,
    settings: BucketSettings,
    signer: Signer,
    keeper: Arc<Keeper>,
    uploads: Arc<Semaphore>,
    response_timeout: Duration,
}

/// One request to the bucket, before it is signed.
struct Request<'a> {
    method: Method,
    /// Path and query, encoded.
    target: &'a str,
    headers: HeaderMap,
}

/// What goes along with a request.
enum Content {
    /// Bytes at hand: their hash is signed.
    Whole(Bytes),
    /// A body that is sent as it comes; TLS alone vouches for it.
    Stream(OutgoingBody),
}

impl BucketOrigin {
    pub(super) fn build(
        name: &Arc<str>,
        bucket: &OriginUrl,
        settings: &OriginSettings,
        names: &Arc<Names>,
    ) -> Result<Self, OriginError> {
        let wrong = |cause: String| OriginError::Bucket { origin: name.clone(), cause };
        let environment = |variable: &str| std::env::var(variable).ok().filter(|value| !value.is_empty());
        let of_bucket = settings.s3.clone().unwrap_or_default();
        let place = place::find(bucket, &of_bucket, environment).map_err(wrong)?;
        let around = Around { origin: name, settings, names, region: &place.region };
        let source = Source::find(&around, &of_bucket, environment)?;
        Ok(Self {
            service: HttpOrigin::build(name, &place.url, settings, names)?,
            host: place.url.authority().to_string(),
            is_https: place.url.is_https(),
            base: place.base,
            signer: Signer::new(place.region),
            keeper: Arc::new(Keeper::new(source)),
            uploads: Arc::new(Semaphore::new(of_bucket.uploads)),
            settings: of_bucket,
            response_timeout: settings.response_timeout,
        })
    }

    pub(super) async fn exchange(
        self: &Arc<Self>,
        head: &Parts,
        body: OutgoingBody,
    ) -> Result<Response<OriginBody>, NoAnswer> {
        let target = match name::target(&self.base, head.uri.path()) {
            Ok(target) => target,
            Err(cause) => return Err(NoAnswer { cause, body: Some(body) }),
        };
        match head.method {
            Method::GET | Method::HEAD => self.read(head, &target).await,
            Method::DELETE => {
                let headers = fields::conditions(&head.headers);
                let request = Request { method: Method::DELETE, target: &target, headers };
                self.change(request, Content::Whole(Bytes::new())).await
            }
            Method::PUT => upload::put(self, &target, fields::of_object(&head.headers), body).await,
            _ => {
                let cause = Cause::new(Failure::Denied(405), "a bucket knows GET, HEAD, PUT and DELETE");
                Err(NoAnswer { cause, body: Some(body) })
            }
        }
    }

    /// An active check: reads the object at `path` of the settings.
    pub(super) async fn check(&self, settings: &HealthSettings) -> Found {
        let looking = async {
            let target = name::target(&self.base, &settings.path)?;
            let request = Request { method: Method::GET, target: &target, headers: HeaderMap::new() };
            let response =
                self.send(request, Content::Whole(Bytes::new())).await.map_err(|failed| failed.cause)?;
            let status = response.status().as_u16();
            if !settings.status.contains(status) {
                let detail = format!("{status} is not in {}", settings.status);
                return Err(Ailment { token: "status", detail });
            }
            let Some(text) = &settings.body else { return Ok(()) };
            let (_, body) = answer::read(response, settings.timeout).await?;
            match body.windows(text.len().max(1)).any(|window| window.starts_with(text.as_bytes())) {
                true => Ok(()),
                false => Err(Ailment { token: "body", detail: format!("{text:?} is not in the object") }),
            }
        };
        timeout(settings.timeout, looking).await.unwrap_or_else(|_| {
            let detail = format!("nothing to judge by within {:?}", settings.timeout);
            Err(Cause::new(Failure::ResponseTimeout, detail).into())
        })
    }

    pub(super) fn keep_warm(&self) {
        self.service.keep_warm();
    }

    async fn read(&self, head: &Parts, target: &str) -> Result<Response<OriginBody>, NoAnswer> {
        let Asked { headers, instead } = fields::of_reading(&head.headers);
        let request = Request { method: head.method.clone(), target, headers };
        let response = self.send(request, Content::Whole(Bytes::new())).await?;
        let response = match instead {
            // The part that `If-Range` spoke of has changed: then all of the object is wanted.
            Some(headers) if response.status() == StatusCode::PRECONDITION_FAILED => {
                let request = Request { method: head.method.clone(), target, headers };
                self.send(request, Content::Whole(Bytes::new())).await?
            }
            _ => response,
        };
        let empty_handed = |cause| NoAnswer { cause, body: Some(OutgoingBody::Empty) };
        self.understood(&head.method, response).await.map_err(empty_handed)
    }

    /// Something that changes an object; the answer has no body that a viewer needs.
    async fn change(&self, request: Request<'_>, content: Content) -> Result<Response<OriginBody>, NoAnswer> {
        let method = request.method.clone();
        let response = self.send(request, content).await?;
        self.understood(&method, response).await.map_err(|cause| NoAnswer { cause, body: None })
    }

    /// An answer as a viewer may see it: no fields of the service, no words of its errors, and its refusals of this node named.
    async fn understood(
        &self,
        method: &Method,
        response: Response<OriginBody>,
    ) -> Result<Response<OriginBody>, Cause> {
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            let (mut head, body) = response.into_parts();
            fields::keep_from_viewers(&mut head.headers);
            return Ok(Response::from_parts(head, body));
        }
        let (response, words) = answer::words(response, self.response_timeout).await?;
        if answer::is_about_the_credentials(words.as_deref()) {
            self.keeper.distrust(clock());
        }
        answer::judge(response, method, words.as_deref(), &self.settings.missing)
    }

    /// Signs one request and sends it.
    async fn send(&self, request: Request<'_>, content: Content) -> Result<Response<OriginBody>, NoAnswer> {
        let credentials = match self.keeper.credentials(clock()).await {
            Ok(credentials) => credentials,
            Err(cause) => return Err(NoAnswer { cause, body: content.untouched() }),
        };
        let Request { method, target, mut headers } = request;
        let signed = {
            let payload = match &content {
                Content::Whole(bytes) => Payload::Bytes(bytes),
                Content::Stream(_) => Payload::Unsigned,
            };
            let request = Signed { method: &method, host: &self.host, target, payload };
            self.signer.sign(&request, &mut headers, &credentials, clock())
        };
        let mut head = match signed.and_then(|()| parts(method, target, headers)) {
            Ok(head) => head,
            Err(cause) => return Err(NoAnswer { cause, body: content.untouched() }),
        };
        self.service.exchange(&mut head, content.into_body()).await
    }
}

impl Content {
    fn into_body(self) -> OutgoingBody {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => OutgoingBody::Empty,
            Self::Whole(bytes) => {
                OutgoingBody::Stream(Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
            }
            Self::Stream(body) => body,
        }
    }

    fn untouched(self) -> Option<OutgoingBody> {
        Some(self.into_body())
    }
}

fn parts(method: Method, target: &str, headers: HeaderMap) -> Result<Parts, Cause> {
    let mut request = http::Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target
        .parse()
        .map_err(|error| Cause::new(Failure::RequestInvalid, format!("{target:?} is no target: {error}")))?;
    *request.headers_mut() = headers;
    Ok(request.into_parts().0)
}

/// A signature holds for some minutes from when it was made, so it needs the time at which its request leaves.
#[expect(
    clippy::disallowed_methods,
    reason = "where requests are signed is the outermost shell; what it calls takes `now`"
)]
fn clock() -> SystemTime {
    SystemTime::now()
}
