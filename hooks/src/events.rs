//! The four events as the pipeline calls them.

use bytes::Bytes;
use http::{HeaderValue, Method, request, response};
use http_body::Body;
use http_body_util::Empty;

use crate::body::{BodyError, HookBody, OriginBody};
use crate::call::Answer;
use crate::error::HookError;
use crate::event::Event;
use crate::facts::Facts;
use crate::hook::{FailedCall, Hook};
use crate::outcome::{
    Caching, Keeping, OriginRequestOutcome, OriginResponseFailure, OriginResponseOutcome, RequestFailure,
    RequestOutcome,
};
use crate::settings::OnError;
use crate::state::{CallState, Messages, PASSING, Response};
use crate::transform::{self, Transform, Transformer};

impl Hook {
    /// Calls the viewer-request event for a request without a body; a hook that does not listen goes on.
    ///
    /// # Errors
    /// Any failure of the call. For `on-error = "pass"` keep a clone of the request.
    pub async fn viewer_request(
        &self,
        request: request::Parts,
        facts: &Facts,
    ) -> Result<RequestOutcome, HookError> {
        let carried = self.viewer_request_with(request, Empty::new(), facts).await;
        carried.map(|(outcome, _)| outcome).map_err(|failure| failure.error)
    }

    /// Calls the viewer-request event; a hook that does not listen goes on. The body is pulled only as far as the guest
    /// reads, and comes back whole.
    ///
    /// # Errors
    /// Any failure of the call, with the body where that is possible. For `on-error = "pass"` keep a clone of the request.
    pub async fn viewer_request_with<B>(
        &self,
        request: request::Parts,
        body: B,
        facts: &Facts,
    ) -> Result<(RequestOutcome, HookBody<B>), RequestFailure<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        if !self.listens(Event::ViewerRequest) {
            let outcome = RequestOutcome::Next(request, Caching::default());
            return Ok((outcome, HookBody::Untouched(body)));
        }
        let mut carried = self.carry(Event::ViewerRequest, request, body, facts).await?;
        if let Answer::Respond(handle) = carried.answer {
            let response = self.made(&mut carried.state, handle);
            return carried.answered(response.map(RequestOutcome::Respond));
        }
        let Carried { state, body, .. } = self.whole(carried)?;
        Ok((RequestOutcome::Next(state.request, state.caching), body))
    }

    /// Calls the origin-request event for a request without a body; a hook that does not listen goes on.
    ///
    /// # Errors
    /// Any failure of the call. For `on-error = "pass"` keep a clone of the request.
    pub async fn origin_request(
        &self,
        request: request::Parts,
        facts: &Facts,
    ) -> Result<OriginRequestOutcome, HookError> {
        let carried = self.origin_request_with(request, Empty::new(), facts).await;
        carried.map(|(outcome, _)| outcome).map_err(|failure| failure.error)
    }

    /// Calls the origin-request event; a hook that does not listen goes on. The body is pulled only as far as the guest
    /// reads, and comes back whole, or as the guest's own ([`HookBody::Replaced`]).
    ///
    /// # Errors
    /// Any failure of the call, with the body where that is possible. For `on-error = "pass"` keep a clone of the request.
    pub async fn origin_request_with<B>(
        &self,
        request: request::Parts,
        body: B,
        facts: &Facts,
    ) -> Result<(OriginRequestOutcome, HookBody<B>), RequestFailure<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        if !self.listens(Event::OriginRequest) {
            let outcome = OriginRequestOutcome::Next { parts: request, derived: None };
            return Ok((outcome, HookBody::Untouched(body)));
        }
        let had_meaning = request.method != Method::GET;
        let mut carried = self.carry(Event::OriginRequest, request, body, facts).await?;
        if let Answer::Respond(handle) = carried.answer {
            let response = self.made(&mut carried.state, handle);
            return carried.answered(response.map(OriginRequestOutcome::Respond));
        }
        let Carried { answer, state, mut body } = self.whole(carried)?;
        if had_meaning && state.request.method == Method::GET {
            // The body was for the other method, and some read one of GET all the same (RFC 9110 section 9.3.1).
            body = HookBody::Replaced(Bytes::new());
        }
        let (parts, derived) = (state.request, state.derived);
        let outcome = match answer {
            Answer::RouteTo(origin) => OriginRequestOutcome::RouteTo { parts, origin, derived },
            _ => OriginRequestOutcome::Next { parts, derived },
        };
        Ok((outcome, body))
    }

    /// A call about a request, with its body where the guest may read it and beside it where not.
    async fn carry<B>(
        &self,
        event: Event,
        request: request::Parts,
        body: B,
        facts: &Facts,
    ) -> Result<Carried<Option<HookBody<B>>>, RequestFailure<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let (given, kept) = match self.reads_body() && !body.is_end_stream() {
            true => (Some(OriginBody::new(body, self.body_limit(), self.engine().memory())), None),
            false => (None, Some(body)),
        };
        let messages = Messages { request, response: None, body: given };
        let (answer, mut state) = match self.call(event, messages, facts).await {
            Ok(called) => called,
            Err(failed) => {
                let FailedCall { error, body } = *failed;
                let body = kept.map(HookBody::Untouched).or_else(|| body.and_then(OriginBody::whole));
                return Err(RequestFailure { error, body });
            }
        };
        let body = kept.map(HookBody::Untouched).or_else(|| state.body.take().and_then(OriginBody::whole));
        Ok(Carried { answer, state, body })
    }

    /// With a body to go on with: the guest's own, or the one that it was given, if all of it is there.
    fn whole<B>(
        &self,
        carried: Carried<Option<HookBody<B>>>,
    ) -> Result<Carried<HookBody<B>>, RequestFailure<B>> {
        let Carried { answer, mut state, body } = carried;
        match state.new_body.take().map(|made| HookBody::Replaced(made.bytes)).or(body) {
            Some(body) => Ok(Carried { answer, state, body }),
            None => Err(self.unusable(&state, "the request's body broke off while the hook read it").into()),
        }
    }

    /// Calls the origin-response event. `request` is the request as viewer-request hooks left it, the one that the
    /// cache key was made of; not the one that origin-request hooks rewrote for the origin. The body is pulled only as
    /// far as the guest reads.
    ///
    /// # Errors
    /// Any failure of the call. With `on-error = "pass"` it brings the origin's response back where that is possible.
    pub async fn origin_response<B>(
        &self,
        request: &request::Parts,
        response: http::Response<B>,
        facts: &Facts,
    ) -> Result<OriginResponseOutcome<B>, OriginResponseFailure<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let (mut parts, body) = response.into_parts();
        if !self.listens(Event::OriginResponse) {
            let response = http::Response::from_parts(parts, HookBody::Untouched(body));
            return Ok(OriginResponseOutcome { response, keeping: Keeping::default() });
        }
        let spare = (self.on_error() == OnError::Pass).then(|| parts.clone());
        let passing = Response::new(parts.status.as_u16(), std::mem::take(&mut parts.headers));
        let body = Some(OriginBody::new(body, self.body_limit(), self.engine().memory()));
        let messages = Messages { request: copy(request), response: Some(passing), body };
        let finished = match self.call(Event::OriginResponse, messages, facts).await {
            Ok((answer, state)) => self.finish(&answer, state, parts),
            Err(failed) => Err(failed),
        };
        finished.map_err(|failed| OriginResponseFailure {
            error: failed.error,
            response: restored(spare, failed.body),
        })
    }

    /// Calls the viewer-response event: header edits.
    ///
    /// # Errors
    /// Any failure of the call. For `on-error = "pass"` keep a clone of the response head.
    pub async fn viewer_response(
        &self,
        request: &request::Parts,
        mut response: response::Parts,
        facts: &Facts,
    ) -> Result<response::Parts, HookError> {
        if !self.listens(Event::ViewerResponse) {
            return Ok(response);
        }
        let passing = Response::new(response.status.as_u16(), std::mem::take(&mut response.headers));
        let messages = Messages { request: copy(request), response: Some(passing), body: None };
        let (_, mut state) = self.call(Event::ViewerResponse, messages, facts).await?;
        if let Some(passing) = state.take_response(PASSING) {
            response.headers = passing.headers;
        }
        Ok(response)
    }

    /// A response that the guest made.
    fn made(&self, state: &mut CallState, handle: u32) -> Result<http::Response<Bytes>, HookError> {
        let response = state.take_response(handle).ok_or_else(|| "the response is gone".to_owned());
        response.and_then(Response::finish).map_err(|cause| self.unusable(state, &cause))
    }

    fn finish<B>(
        &self,
        answer: &Answer,
        mut state: CallState,
        parts: response::Parts,
    ) -> Result<OriginResponseOutcome<B>, Box<FailedCall>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let handle = if let Answer::Respond(handle) = answer { *handle } else { PASSING };
        let chosen = state.take_response(handle).ok_or_else(|| "the response is gone".to_owned());
        let (mut body, transformer) = (state.body.take(), state.transformer.take());
        let done = chosen.and_then(|chosen| {
            if handle == PASSING && chosen.body.is_none() {
                let outcome = pass(chosen, parts, &mut body)?;
                let request_id = || state.facts.request_id.clone();
                Ok(match transformer {
                    Some(transformer) => self.transformed(outcome, transformer, request_id()),
                    None => outcome,
                })
            } else {
                replace(chosen, parts)
            }
        });
        // The origin's body may pass all the same.
        done.map_err(|cause| Box::new(FailedCall { error: self.unusable(&state, &cause), body }))
    }
}

/// A call about a request that has ended, and the body that it was given.
struct Carried<Body> {
    answer: Answer,
    state: CallState,
    body: Body,
}

impl<B> Carried<Option<HookBody<B>>> {
    /// The guest answers, which needs no body; one whose answer cannot be sent gives it back.
    fn answered<Outcome>(
        self,
        outcome: Result<Outcome, HookError>,
    ) -> Result<(Outcome, HookBody<B>), RequestFailure<B>> {
        match outcome {
            Ok(outcome) => Ok((outcome, self.body.unwrap_or(HookBody::Replaced(Bytes::new())))),
            Err(error) => Err(RequestFailure { error, body: self.body }),
        }
    }
}

impl Hook {
    /// The same body on its way through the guest. An empty one, as that of an answer to HEAD, needs none.
    fn transformed<B>(
        &self,
        outcome: OriginResponseOutcome<B>,
        transformer: Box<Transformer>,
        request_id: HeaderValue,
    ) -> OriginResponseOutcome<B>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        let (mut head, body) = outcome.response.into_parts();
        transform::edit_head(&mut head.headers);
        let body = match body.is_end_stream() {
            true => body,
            false => {
                HookBody::Transformed(Box::new(Transform::new(self.clone(), transformer, body, request_id)))
            }
        };
        OriginResponseOutcome { response: http::Response::from_parts(head, body), keeping: outcome.keeping }
    }
}

/// The origin's own body under the head as edited. It is taken only if it passes.
fn pass<B: 'static>(
    chosen: Response,
    mut parts: response::Parts,
    body: &mut Option<OriginBody>,
) -> Result<OriginResponseOutcome<B>, String> {
    if body.as_ref().is_some_and(OriginBody::is_broken) {
        return Err("the origin's body broke off while the hook read it, and the hook let it pass".to_owned());
    }
    // The origin's own status passes whatever it is; only an edited one is judged.
    if chosen.status != parts.status.as_u16() {
        parts.status = chosen.final_status()?;
    }
    parts.headers = chosen.headers;
    let body = body.take().ok_or("the origin's body is gone")?;
    let body = body.finish().ok_or("the origin's body changed its type")?;
    let response = http::Response::from_parts(parts, body);
    Ok(OriginResponseOutcome { response, keeping: chosen.keeping })
}

/// A body of the hook's own; version and extensions stay the origin's.
fn replace<B>(mut chosen: Response, mut parts: response::Parts) -> Result<OriginResponseOutcome<B>, String> {
    let keeping = std::mem::take(&mut chosen.keeping);
    let (made, body) = chosen.finish()?.into_parts();
    parts.status = made.status;
    parts.headers = made.headers;
    let response = http::Response::from_parts(parts, HookBody::Replaced(body));
    Ok(OriginResponseOutcome { response, keeping })
}

/// The origin's response as it was, for a node that passes over a failed hook.
fn restored<B: 'static>(
    head: Option<response::Parts>,
    body: Option<OriginBody>,
) -> Option<Box<http::Response<HookBody<B>>>> {
    let body = body?.whole()?;
    Some(Box::new(http::Response::from_parts(head?, body)))
}

/// A request for a guest that may only read it; extensions are the node's own affair.
fn copy(request: &request::Parts) -> request::Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = request.method.clone();
    parts.uri = request.uri.clone();
    parts.version = request.version;
    parts.headers = request.headers.clone();
    parts
}
