//! An origin that speaks HTTP/1.1 or HTTP/2.

mod check;

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, response};
use hyper::body::Incoming;
use thread_local::ThreadLocal;

use super::NoAnswer;
use crate::body::OriginBody;
use crate::dial::{Dialer, Names, Tls};
use crate::error::OriginError;
use crate::expect::{self, BodyUnread, Hold};
use crate::failure::{Cause, Failure};
use crate::interim::{self, Listener};
use crate::pool::{Lease, Limit, Pool, Tunnel, Unsent};
use crate::settings::{OriginSettings, OriginUrl, PoolSettings};
use crate::upload::{OutgoingBody, Progress, Sending, patiently};

pub(super) use check::judge;

/// Another name than its own by which an origin is asked, in the extensions of the request: a shield is a site's stand-in.
#[derive(Debug, Clone)]
pub(super) struct Guise {
    pub(super) authority: Authority,
    pub(super) host_field: HeaderValue,
}

pub(super) struct HttpOrigin {
    name: Arc<str>,
    url: OriginUrl,
    response_timeout: Duration,
    continue_timeout: Duration,
    dialer: Arc<Dialer>,
    pool_settings: PoolSettings,
    /// One pool per core, so that a connection and those who use it are driven by the same thread.
    pools: ThreadLocal<Arc<Pool>>,
    limit: Option<Arc<Limit>>,
}

impl HttpOrigin {
    /// The origin at `url`; the settings say the rest.
    pub(super) fn build(
        name: &Arc<str>,
        url: &OriginUrl,
        settings: &OriginSettings,
        names: &Arc<Names>,
    ) -> Result<Self, OriginError> {
        let tls = if url.is_https() { Some(Tls::build(name, url, settings)?) } else { None };
        Ok(Self {
            name: name.clone(),
            url: url.clone(),
            response_timeout: settings.response_timeout,
            continue_timeout: settings.continue_timeout,
            dialer: Arc::new(Dialer::new(url, settings, tls, names)),
            pool_settings: settings.pool.clone(),
            pools: ThreadLocal::new(),
            limit: Limit::new(&settings.pool),
        })
    }

    /// Keeps connections open on this thread from now on, if the settings ask for any.
    pub(super) fn keep_warm(&self) {
        if self.pool_settings.warm > 0 {
            self.pools.get_or(|| self.pool()).keep_warm();
        }
    }

    fn pool(&self) -> Arc<Pool> {
        Pool::new(self.dialer.clone(), &self.pool_settings, self.limit.clone())
    }

    /// Whatever comes of it, `head` is as good for another attempt as it was.
    pub(super) async fn exchange(
        &self,
        head: &mut Parts,
        body: OutgoingBody,
    ) -> Result<Response<OriginBody>, NoAnswer> {
        let pool = self.pools.get_or(|| self.pool());
        // RFC 9110 section 7.8: what asks to change the protocol has its connection to itself, whatever is answered.
        let is_upgrade = head.headers.contains_key(UPGRADE) && self.dialer.may_upgrade();
        let leased = if is_upgrade { pool.dedicated().await } else { pool.lease().await };
        let lease = match leased {
            Ok(lease) => lease,
            Err(cause) => return Err(NoAnswer { cause, body: Some(body) }),
        };
        let had_no_body = body.is_empty();
        let may_be_stale = lease.was_used();
        let failed = match self.send(lease, head, body).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let nothing = || had_no_body.then_some(OutgoingBody::Empty);
        // A kept connection may end at any moment without the origin being down: ask again on a new one, once.
        let again = match failed.body {
            Some(unsent) if may_be_stale => unsent,
            None if may_be_stale && had_no_body && is_repeatable(&head.method, failed.cause.failure) => {
                OutgoingBody::Empty
            }
            unsent => return Err(NoAnswer { cause: failed.cause, body: unsent.or_else(nothing) }),
        };
        match Box::pin(pool.fresh()).await {
            Ok(lease) => Box::pin(self.send(lease, head, again))
                .await
                .map_err(|failed| NoAnswer { cause: failed.cause, body: failed.body.or_else(nothing) }),
            Err(cause) => Err(NoAnswer { cause, body: Some(again) }),
        }
    }

    async fn send(
        &self,
        mut lease: Lease,
        head: &mut Parts,
        body: OutgoingBody,
    ) -> Result<Response<OriginBody>, Unsent> {
        let waits = !body.is_empty() && expect::is_expected(&head.headers);
        let mut hold = None;
        let (request, progress) = match self.address(head, &lease, &body) {
            Ok(request) => {
                let (mut sending, progress) = Sending::new(body);
                if waits {
                    let (held_back, held) = sending.held_back(self.continue_timeout);
                    (sending, hold) = (held_back, Some(held));
                }
                let mut request = request.map(|()| sending);
                if !lease.is_http2() {
                    interim::attend(&mut request, head.extensions.get::<Listener>().cloned(), hold.clone());
                }
                (request, progress)
            }
            Err(error) => {
                let cause =
                    Cause::new(Failure::RequestInvalid, format!("no address for this request: {error}"));
                return Err(Unsent { cause, body: Some(body) });
            }
        };
        match self.wait(&mut lease, request, progress.as_ref()).await {
            Ok(mut answer) => {
                if let Some(refused) = hold.as_ref().and_then(Hold::refuse) {
                    answer.extensions_mut().insert(BodyUnread);
                    lease.leave_unfinished(refused);
                }
                self.accept(head, answer, lease).map_err(|cause| Unsent { cause, body: None })
            }
            Err(unsent) => {
                if unsent.cause.failure == Failure::ResponseTimeout {
                    lease.distrust();
                }
                Err(unsent)
            }
        }
    }

    async fn wait(
        &self,
        lease: &mut Lease,
        request: Request<Sending>,
        progress: Option<&Progress>,
    ) -> Result<Response<Incoming>, Unsent> {
        let answer = pin!(lease.send(request));
        match patiently(self.response_timeout, progress, answer).await {
            Some(Err(_)) if progress.is_some_and(Progress::is_broken) => {
                let cause =
                    Cause::new(Failure::RequestInvalid, "the request's body failed while it was sent");
                Err(Unsent { cause, body: None })
            }
            Some(outcome) => outcome,
            None => Err(Unsent { cause: Cause::silent(self.response_timeout), body: None }),
        }
    }

    /// The request as this origin gets it: its address, its own name as `Host`, and framing that is ours alone. It gets the fields
    /// themselves, which have room for more; a copy is left for another attempt.
    fn address(
        &self,
        head: &mut Parts,
        lease: &Lease,
        body: &OutgoingBody,
    ) -> Result<Request<()>, http::Error> {
        let target = self.url.target(head.uri.path_and_query())?;
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        let copy = head.headers.clone();
        *request.headers_mut() = mem::replace(&mut head.headers, copy);
        frame(request.headers_mut(), &head.method, body);
        let guise = head.extensions.get::<Guise>();
        if lease.is_http2() {
            // RFC 9113 section 8.3.1: the authority is said in `:authority` and nowhere else.
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(UPGRADE);
            let authority = guise.map_or(self.url.authority(), |guise| &guise.authority);
            *request.uri_mut() = self.url.absolute(authority, target)?;
        } else {
            let host = guise.map_or_else(|| self.url.host_field(), |guise| guise.host_field.clone());
            request.headers_mut().insert(HOST, host);
            nominate(request.headers_mut());
            *request.uri_mut() = Uri::from(target);
        }
        Ok(request)
    }

    /// Refuses an answer that cannot be passed on as what it says it is; dropping the lease closes its connection.
    fn accept(
        &self,
        asked: &Parts,
        answer: Response<Incoming>,
        lease: Lease,
    ) -> Result<Response<OriginBody>, Cause> {
        let (mut head, incoming) = answer.into_parts();
        // RFC 9112 section 2.3: what is forwarded says the version of who forwards it.
        head.version = Version::HTTP_11;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            switch(asked, &mut head)?;
        }
        settle_framing(&mut head.headers)?;
        let body = OriginBody::new(self.name.clone(), incoming, lease, self.response_timeout);
        Ok(Response::from_parts(head, body))
    }
}

/// RFC 9110 section 7.8: a change to the very protocol that was asked for, and to no other, makes the connection a tunnel.
fn switch(asked: &Parts, answer: &mut response::Parts) -> Result<(), Cause> {
    let (wanted, chosen) = (asked.headers.get(UPGRADE), answer.headers.get(UPGRADE));
    let is_same = wanted.zip(chosen).is_some_and(|(wanted, chosen)| {
        wanted.as_bytes().trim_ascii().eq_ignore_ascii_case(chosen.as_bytes().trim_ascii())
    });
    match Tunnel::take(&mut answer.extensions) {
        Some(tunnel) if is_same => drop(answer.extensions.insert(tunnel)),
        _ => {
            let detail = format!("101 Switching Protocols to {chosen:?}, which was not asked for");
            return Err(Cause::new(Failure::ResponseInvalid, detail));
        }
    }
    Ok(())
}

/// RFC 9110 sections 7.8 and 10.1.4: these fields concern this connection, which HTTP/1.1 has to say.
fn nominate(headers: &mut HeaderMap) {
    let options = match (headers.contains_key(UPGRADE), headers.contains_key(TE)) {
        (false, false) => return,
        (true, false) => "Upgrade",
        (false, true) => "TE",
        (true, true) => "Upgrade, TE",
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
}

/// RFC 9110 section 9.2.2: an idempotent request may be sent again when its connection was lost before an answer.
fn is_repeatable(method: &Method, failure: Failure) -> bool {
    method.is_idempotent() && matches!(failure, Failure::ConnectionTerminated | Failure::ResponseInvalid)
}

/// How long the body is, is said by the body itself: whatever the viewer said about it must not reach the origin
/// (RFC 9112 section 6.1). The connection adds the true `Content-Length` or chunks.
fn frame(headers: &mut HeaderMap, method: &Method, body: &OutgoingBody) {
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONTENT_LENGTH);
    if body.is_empty() {
        // RFC 9110 section 10.1.1: nothing follows that could wait.
        headers.remove(EXPECT);
    }
    // RFC 9110 section 8.6: methods that anticipate content say so when there is none.
    if body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(method) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// RFC 9112 section 6.1: a coding other than chunked, which we never ask for, would be passed on as if it were content; and a
/// `Content-Length` beside chunks is not the length of anything. A word that names no coding has changed nothing: section 6.3
/// lets such a body end with its connection.
fn settle_framing(headers: &mut HeaderMap) -> Result<(), Cause> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let token = coding.as_bytes().trim_ascii();
    let is_word = !token.is_empty() && token.iter().all(u8::is_ascii_alphanumeric);
    let is_known = CODINGS.iter().any(|known| token.eq_ignore_ascii_case(known.as_bytes()));
    if codings.next().is_some() || is_known || !is_word {
        return Err(Cause::new(Failure::ResponseCoding, format!("Transfer-Encoding: {coding:?}")));
    }
    let is_chunked = token.eq_ignore_ascii_case(b"chunked");
    headers.remove(CONTENT_LENGTH);
    if !is_chunked {
        headers.remove(TRANSFER_ENCODING);
    }
    Ok(())
}

/// The transfer codings that change content (RFC 9112 section 7.2); their other names, with `x-`, are no word here.
const CODINGS: [&str; 3] = ["compress", "deflate", "gzip"];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_viewers_framing_never_reaches_the_origin() {
        let smuggling = [("content-length", "5"), ("transfer-encoding", "chunked"), ("x-kept", "1")];
        let mut headers = fields(&smuggling);
        frame(&mut headers, &Method::GET, &OutgoingBody::Empty);
        assert_eq!(headers, fields(&[("x-kept", "1")]));

        let mut headers = fields(&smuggling);
        frame(&mut headers, &Method::POST, &OutgoingBody::Empty);
        assert_eq!(headers, fields(&[("x-kept", "1"), ("content-length", "0")]));
    }

    #[test]
    fn an_origins_framing_is_chunked_or_refused() {
        let mut both = fields(&[("content-length", "5"), ("transfer-encoding", "Chunked")]);
        settle_framing(&mut both).unwrap();
        assert!(!both.contains_key(CONTENT_LENGTH));
        let mut unknown = fields(&[("content-length", "5"), ("transfer-encoding", "foo")]);
        settle_framing(&mut unknown).unwrap();
        assert!(unknown.is_empty(), "{unknown:?}");
        for coding in ["gzip", "Deflate", "x-gzip", "gzip, chunked", "chunked, gzip", "foo;a=b", ""] {
            let mut headers = fields(&[("transfer-encoding", coding)]);
            assert_eq!(
                settle_framing(&mut headers).unwrap_err().failure,
                Failure::ResponseCoding,
                "{coding}"
            );
        }
    }

    #[test]
    fn only_a_lost_connection_makes_an_idempotent_request_repeatable() {
        assert!(is_repeatable(&Method::GET, Failure::ConnectionTerminated));
        assert!(is_repeatable(&Method::DELETE, Failure::ResponseInvalid));
        assert!(!is_repeatable(&Method::POST, Failure::ConnectionTerminated));
        assert!(!is_repeatable(&Method::GET, Failure::ResponseTimeout));
    }
}
