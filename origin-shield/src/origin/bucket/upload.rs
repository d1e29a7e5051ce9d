//! Bodies on their way into a bucket: as they come where their length is known and TLS vouches for them, else in parts.
//!
//! What is held of a body is one part, and only so many bodies are held at once. An upload in parts is completed or
//! abandoned: what is left unfinished costs its owner money for ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer;
use super::name::encode_value;
use super::xml;
use super::{BucketOrigin, Content, Request};
use crate::body::OriginBody;
use crate::failure::{Cause, Failure, Work};
use crate::origin::NoAnswer;
use crate::upload::OutgoingBody;

/// As many parts as S3 allows.
const MOST_PARTS: u64 = 10_000;
/// How many bytes a second a viewer must send on average, as long as its body holds a place, after a grace for each piece.
const SLOWEST: u64 = 16 * 1024;
const GRACE: Duration = Duration::from_secs(30);
/// How long the service may put a large object together. Meanwhile it sends spaces, so a silent one is found out sooner.
const COMPLETION: Duration = Duration::from_secs(600);

/// Stores `body` as the object at `target`.
pub(super) async fn put(
    bucket: &Arc<BucketOrigin>,
    target: &str,
    headers: HeaderMap,
    body: OutgoingBody,
) -> Result<Response<OriginBody>, NoAnswer> {
    let request = |headers| Request { method: Method::PUT, target, headers };
    let length = body.size_hint().exact();
    if body.is_empty() || length == Some(0) {
        return bucket.change(request(headers), Content::Whole(Bytes::new())).await;
    }
    if bucket.is_https && length.is_some_and(|length| length <= bucket.settings.single_put.as_u64()) {
        return bucket.change(request(headers), Content::Stream(body)).await;
    }
    let part_size = bucket.settings.part_size.as_u64();
    if length.is_some_and(|length| length.div_ceil(part_size) > MOST_PARTS) {
        return Err(NoAnswer { cause: too_long(part_size), body: Some(body) });
    }
    let consumed = |cause| NoAnswer { cause, body: None };
    let place = match place(&bucket.uploads, bucket.response_timeout).await {
        Ok(place) => place,
        Err(cause) => return Err(NoAnswer { cause, body: Some(body) }),
    };
    let size = usize::try_from(part_size).unwrap_or(usize::MAX);
    let mut pieces = Pieces { body, size, grace: GRACE, is_over: false };
    let first = pieces.next().await.map_err(consumed)?;
    if pieces.is_over {
        return bucket.change(request(headers), Content::Whole(first)).await;
    }
    let upload = in_parts(bucket, target, headers, first, pieces).await.map_err(consumed)?;
    // Nothing is held any more while the service puts the parts together.
    drop(place);
    to_its_end(upload.complete()).await.map_err(consumed)
}

/// A place for a body that is held in pieces, if there is one in time.
async fn place(places: &Semaphore, patience: Duration) -> Result<SemaphorePermit<'_>, Cause> {
    let place = timeout(patience, places.acquire()).await;
    place.ok().and_then(Result::ok).ok_or_else(|| {
        let detail = format!("no place for one more upload within {patience:?}");
        Cause::new(Failure::ConnectionLimit, detail)
    })
}

/// Brings all of the body there; what is left is to complete it.
async fn in_parts(
    bucket: &Arc<BucketOrigin>,
    target: &str,
    headers: HeaderMap,
    first: Bytes,
    mut pieces: Pieces,
) -> Result<Upload, Cause> {
    let begun = Upload::begin(Arc::clone(bucket), target.to_owned(), headers);
    let mut upload = to_its_end(begun).await?;
    upload.add(first).await?;
    while !pieces.is_over {
        let piece = pieces.next().await?;
        if piece.is_empty() {
            break;
        }
        if upload.tags.len() as u64 >= MOST_PARTS {
            return Err(too_long(pieces.size as u64));
        }
        upload.add(piece).await?;
    }
    Ok(upload)
}

/// Goes on with a step when the viewer leaves in the middle of it: only its outcome tells what is left to be abandoned.
async fn to_its_end<T: Send + 'static>(
    step: impl Future<Output = Result<T, Cause>> + Send + 'static,
) -> Result<T, Cause> {
    let lost = |error: tokio::task::JoinError| Cause::new(Failure::ConnectionTerminated, error.to_string());
    tokio::spawn(step).await.map_err(lost)?
}

/// A body in pieces of one size; the last is shorter.
struct Pieces {
    body: OutgoingBody,
    size: usize,
    grace: Duration,
    is_over: bool,
}

impl Pieces {
    /// The next piece; a piece may be longer by what came with its last bytes. A viewer that breaks off is an error, and so is
    /// one that keeps others from the place that it has.
    async fn next(&mut self) -> Result<Bytes, Cause> {
        let (mut piece, start) = (BytesMut::new(), Instant::now());
        while piece.len() < self.size {
            let earned = Duration::from_secs(piece.len() as u64 / SLOWEST);
            let frame = timeout_at(start + self.grace + earned, self.body.frame()).await;
            match frame.map_err(|_| Cause::new(Failure::Denied(408), "the body comes too slowly"))? {
                Some(Ok(frame)) => piece.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => return Err(Cause::new(Failure::RequestInvalid, error.to_string())),
                None => {
                    self.is_over = true;
                    break;
                }
            }
        }
        Ok(piece.freeze())
    }
}

/// An upload in parts. Dropped before its completion, whatever the reason, it is abandoned at the service too.
struct Upload {
    bucket: Arc<BucketOrigin>,
    target: String,
    id: String,
    conditions: HeaderMap,
    /// The entity tags of the parts, in order.
    tags: Vec<String>,
    /// Whether there is nothing to abandon, or nobody knows.
    is_settled: bool,
}

impl Upload {
    async fn begin(bucket: Arc<BucketOrigin>, target: String, mut headers: HeaderMap) -> Result<Self, Cause> {
        // Whether the object may be written at all is for the completion to ask.
        let conditions = super::fields::conditions(&headers);
        for name in conditions.keys() {
            headers.remove(name);
        }
        let request = Request { method: Method::POST, target: &format!("{target}?uploads="), headers };
        let (_, document) = ask(&bucket, request, Bytes::new()).await?;
        let id = xml::text(&document, "UploadId").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Cause::new(Failure::ResponseInvalid, "an upload without an id"))?;
        let id = encode_value(&id);
        Ok(Self { bucket, target, id, conditions, tags: Vec::new(), is_settled: false })
    }

    /// Sends a part; once more where the service faltered, for the part is still at hand.
    async fn add(&mut self, part: Bytes) -> Result<(), Cause> {
        let number = self.tags.len() + 1;
        let target = format!("{}?partNumber={number}&uploadId={}", self.target, self.id);
        let request = || Request { method: Method::PUT, target: &target, headers: HeaderMap::new() };
        let response = match ask(&self.bucket, request(), part.clone()).await {
            Err(cause) if may_pass(cause.failure) => ask(&self.bucket, request(), part).await?,
            outcome => outcome?,
        };
        let tag = response.0.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.ok_or_else(|| Cause::new(Failure::ResponseInvalid, "a part without an entity tag"))?;
        self.tags.push(tag.to_owned());
        Ok(())
    }

    async fn complete(mut self) -> Result<Response<OriginBody>, Cause> {
        let document = completion(&self.tags);
        let target = format!("{}?uploadId={}", self.target, self.id);
        let request =
            Request { method: Method::POST, target: &target, headers: std::mem::take(&mut self.conditions) };
        // From now on the service may make the object, whatever becomes of its answer: to abandon it then would race with that.
        self.is_settled = true;
        let answered = ask_for(&self.bucket, request, Bytes::from(document), COMPLETION).await;
        let (mut response, document) = answered.inspect_err(|cause| {
            self.is_settled = !is_surely_not_done(cause);
        })?;
        // The service says 200 before it knows: what counts is what it says then.
        let root = xml::root(&document);
        if root.as_deref() != Some("CompleteMultipartUploadResult") {
            self.is_settled = root.as_deref() != Some("Error");
            let code = xml::text(&document, "Code").filter(|code| answer::is_code(code));
            let code = code.unwrap_or_else(|| "no result".into());
            return Err(Cause::new(
                Failure::ResponseInvalid,
                format!("the upload was not completed: {code}"),
            ));
        }
        let headers = response.headers_mut();
        headers.clear();
        let tag = xml::text(&document, "ETag").and_then(|tag| HeaderValue::from_str(&tag).ok());
        headers.extend(tag.map(|tag| (ETAG, tag)));
        headers.insert(CONTENT_LENGTH, 0.into());
        Ok(response)
    }
}

/// The list of all parts that the service puts together.
fn completion(tags: &[String]) -> String {
    let part = |(index, tag): (usize, &String)| {
        let tag = quick_xml::escape::escape(tag.as_str());
        format!("<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>", index + 1)
    };
    let parts: String = tags.iter().enumerate().map(part).collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

/// Whether a failed completion made no object: the service refused it, or never heard of it.
fn is_surely_not_done(cause: &Cause) -> bool {
    let is_refused =
        matches!(cause.failure, Failure::Denied(_) | Failure::Configuration | Failure::Status(503));
    is_refused || cause.work == Work::Nothing
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let bucket = Arc::clone(&self.bucket);
        let target = format!("{}?uploadId={}", self.target, self.id);
        tokio::spawn(async move {
            let request = Request { method: Method::DELETE, target: &target, headers: HeaderMap::new() };
            drop(ask(&bucket, request, Bytes::new()).await);
        });
    }
}

/// A request of which the whole answer is needed; anything but success is a failure.
async fn ask(
    bucket: &BucketOrigin,
    request: Request<'_>,
    content: Bytes,
) -> Result<(Response<OriginBody>, Bytes), Cause> {
    ask_for(bucket, request, content, bucket.response_timeout).await
}

/// The same, where the service needs its time: the answer may take `patience` to its end, though it is never silent for long.
async fn ask_for(
    bucket: &BucketOrigin,
    request: Request<'_>,
    content: Bytes,
    patience: Duration,
) -> Result<(Response<OriginBody>, Bytes), Cause> {
    let method = request.method.clone();
    let response = bucket.send(request, Content::Whole(content)).await.map_err(|failed| failed.cause)?;
    if response.status().is_success() {
        return answer::read(response, patience).await;
    }
    let refused = bucket.understood(&method, response).await?;
    Err(refusal(refused.status()))
}

/// What a viewer gets to hear when a step of its upload is refused.
fn refusal(status: StatusCode) -> Cause {
    let failure = match status.is_client_error() {
        true => Failure::Denied(status.as_u16()),
        false => Failure::Status(status.as_u16()),
    };
    Cause::new(failure, "a step of the upload in parts was refused")
}

fn may_pass(failure: Failure) -> bool {
    failure.may_pass() || matches!(failure, Failure::Status(500..=599))
}

fn too_long(part_size: u64) -> Cause {
    let most = bytesize::ByteSize(part_size.saturating_mul(MOST_PARTS));
    Cause::new(Failure::Denied(413), format!("a body of more than {most}: raise s3.part-size"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::BoxError;
    use http_body::Frame;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    /// A byte now and then, for ever.
    struct Drip(tokio::time::Interval);

    impl Body for Drip {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            ready!(self.0.poll_tick(context));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn who_drips_keeps_no_place() {
        let body = OutgoingBody::Stream(Drip(tokio::time::interval(Duration::from_millis(2))).boxed_unsync());
        let mut pieces = Pieces { body, size: 1 << 20, grace: Duration::from_millis(50), is_over: false };
        let next = timeout(Duration::from_secs(10), pieces.next()).await.unwrap();
        assert_eq!(next.unwrap_err().failure, Failure::Denied(408));
    }

    #[tokio::test]
    async fn who_finds_no_place_is_told_so_and_the_bucket_is_not_blamed() {
        let places = Semaphore::new(1);
        let held = place(&places, Duration::from_millis(5)).await.unwrap();
        let cause = place(&places, Duration::from_millis(5)).await.unwrap_err();
        assert_eq!(cause.failure.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(held);
        assert!(place(&places, Duration::from_millis(5)).await.is_ok());
    }

    #[test]
    fn only_what_is_surely_not_done_is_abandoned() {
        for failure in [Failure::Denied(412), Failure::Configuration, Failure::ConnectionRefused] {
            assert!(is_surely_not_done(&Cause::new(failure, "")), "{failure}");
        }
        for failure in [Failure::ResponseTimeout, Failure::ConnectionTerminated, Failure::Status(500)] {
            assert!(!is_surely_not_done(&Cause::new(failure, "")), "{failure}");
        }
    }
}
