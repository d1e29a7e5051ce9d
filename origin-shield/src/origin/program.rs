//! An origin that is a program of the node's own: no address, no connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::NoAnswer;
use super::http::judge;
use crate::body::OriginBody;
use crate::expect::{self, BodyUnread};
use crate::failure::{Cause, Failure};
use crate::health::Found;
use crate::program::Program;
use crate::settings::HealthSettings;
use crate::upload::{OutgoingBody, Progress, Sending, patiently};

#[derive(Clone)]
pub(super) struct ProgramOrigin {
    pub(super) name: Arc<str>,
    pub(super) program: Arc<dyn Program>,
    pub(super) response_timeout: Duration,
}

impl ProgramOrigin {
    pub(super) async fn exchange(
        &self,
        head: &Parts,
        body: OutgoingBody,
    ) -> Result<Response<OriginBody>, NoAnswer> {
        let had_no_body = body.is_empty();
        let length = http_body::Body::size_hint(&body).exact();
        let (sending, progress) = Sending::new(body);
        let body = match had_no_body {
            true => OutgoingBody::Empty,
            false => OutgoingBody::Stream(sending.boxed_unsync()),
        };
        let mut request = Request::from_parts(head.clone(), body);
        // RFC 9112 section 6.1: how long the body is, is said by the body itself.
        for name in [TRANSFER_ENCODING, CONTENT_LENGTH, EXPECT] {
            request.headers_mut().remove(name);
        }
        if let Some(length) = length.filter(|_| !had_no_body) {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        match self.ask(request, progress.as_ref()).await {
            Ok(mut answer) => {
                // A viewer that waits to be asked for its body was not, and need not send it.
                if expect::is_expected(&head.headers) && progress.is_some_and(|it| it.is_untouched()) {
                    answer.extensions_mut().insert(BodyUnread);
                }
                Ok(answer)
            }
            Err(cause) => Err(NoAnswer { cause, body: had_no_body.then_some(OutgoingBody::Empty) }),
        }
    }

    async fn ask(
        &self,
        request: Request<OutgoingBody>,
        progress: Option<&Progress>,
    ) -> Result<Response<OriginBody>, Cause> {
        let answer = pin!(self.program.answer(request));
        match patiently(self.response_timeout, progress, answer).await {
            Some(Ok(answer)) => {
                Ok(answer.map(|body| OriginBody::of_program(self.name.clone(), body, self.response_timeout)))
            }
            Some(Err(_)) if progress.is_some_and(Progress::is_broken) => {
                Err(Cause::new(Failure::RequestInvalid, "the request's body failed while it was sent"))
            }
            Some(Err(unanswered)) => Err(Cause::new(unanswered.failure, unanswered.detail)),
            None => Err(Cause::silent(self.response_timeout)),
        }
    }

    /// One active check.
    pub(super) async fn check(&self, settings: &HealthSettings) -> Found {
        let mut request = Request::new(OutgoingBody::Empty);
        *request.uri_mut() = settings.path.parse().map_err(|error| {
            Cause::new(Failure::RequestInvalid, format!("no address for this check: {error}"))
        })?;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("selvedge-health"));
        if let Some(host) = settings.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok()) {
            request.headers_mut().insert("x-forwarded-host", host);
        }
        let checked = async {
            let answer = self.ask(request, None).await?;
            judge(settings, answer, |error| {
                Cause::new(error.failure().unwrap_or(Failure::ResponseIncomplete), error.to_string())
            })
            .await
        };
        match timeout(settings.timeout, checked).await {
            Ok(found) => found,
            Err(_) => {
                let detail = format!("nothing to judge by within {:?}", settings.timeout);
                Err(Cause::new(Failure::ResponseTimeout, detail).into())
            }
        }
    }
}
