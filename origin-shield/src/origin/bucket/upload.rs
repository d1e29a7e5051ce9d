//! Bodies on their way into a bucket: as they come where their length is known and TLS vouches for them, else in parts.
//!
//! What is held of a body is one part, and only so many bodies are held at once. An upload in parts is completed or
//! abandoned: what is left unfinished costs its owner money for ever.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use super::answer;
use super::name::encode_value;
use super::xml;
use super::{BucketOrigin, Content, Request};
use crate::body::OriginBody;
use crate::failure::{Cause, Failure};
use crate::origin::NoAnswer;
use crate::upload::OutgoingBody;

/// As many parts as S3 allows.
const MOST_PARTS: u64 = 10_000;

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
    // The bucket lives as long as this request, and never closes the doors.
    let _place = bucket.uploads.acquire().await;
    let mut pieces = Pieces { body, size: usize::try_from(part_size).unwrap_or(usize::MAX), is_over: false };
    let first = pieces.next().await.map_err(consumed)?;
    if pieces.is_over {
        return bucket.change(request(headers), Content::Whole(first)).await;
    }
    in_parts(bucket, target, headers, first, pieces).await.map_err(consumed)
}

async fn in_parts(
    bucket: &Arc<BucketOrigin>,
    target: &str,
    headers: HeaderMap,
    first: Bytes,
    mut pieces: Pieces,
) -> Result<Response<OriginBody>, Cause> {
    let mut upload = Upload::begin(bucket, target, headers).await?;
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
    upload.complete().await
}

/// A body in pieces of one size; the last is shorter.
struct Pieces {
    body: OutgoingBody,
    size: usize,
    is_over: bool,
}

impl Pieces {
    /// The next piece; a piece may be longer by what came with its last bytes. A viewer that breaks off is an error.
    async fn next(&mut self) -> Result<Bytes, Cause> {
        let mut piece = BytesMut::new();
        while piece.len() < self.size {
            match self.body.frame().await {
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
    is_complete: bool,
}

impl Upload {
    async fn begin(bucket: &Arc<BucketOrigin>, target: &str, mut headers: HeaderMap) -> Result<Self, Cause> {
        // Whether the object may be written at all is for the completion to ask.
        let conditions = super::fields::conditions(&headers);
        for name in conditions.keys() {
            headers.remove(name);
        }
        let request = Request { method: Method::POST, target: &format!("{target}?uploads="), headers };
        let (_, document) = ask(bucket, request, Bytes::new()).await?;
        let id = xml::text(&document, "UploadId").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Cause::new(Failure::ResponseInvalid, "an upload without an id"))?;
        Ok(Self {
            bucket: Arc::clone(bucket),
            target: target.to_owned(),
            id: encode_value(&id),
            conditions,
            tags: Vec::new(),
            is_complete: false,
        })
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
        let mut document = String::from("<CompleteMultipartUpload>");
        for (index, tag) in self.tags.iter().enumerate() {
            let tag = quick_xml::escape::escape(tag.as_str());
            let part = format!("<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>", index + 1);
            document.push_str(&part);
        }
        document.push_str("</CompleteMultipartUpload>");
        let target = format!("{}?uploadId={}", self.target, self.id);
        let request =
            Request { method: Method::POST, target: &target, headers: std::mem::take(&mut self.conditions) };
        let (mut response, document) = ask(&self.bucket, request, Bytes::from(document)).await?;
        // The service says 200 before it knows: what counts is what it says then.
        if xml::root(&document).as_deref() != Some("CompleteMultipartUploadResult") {
            let code = xml::text(&document, "Code").unwrap_or_else(|| "no result".into());
            return Err(Cause::new(
                Failure::ResponseInvalid,
                format!("the upload was not completed: {code}"),
            ));
        }
        self.is_complete = true;
        let headers = response.headers_mut();
        headers.clear();
        let tag = xml::text(&document, "ETag").and_then(|tag| HeaderValue::from_str(&tag).ok());
        headers.extend(tag.map(|tag| (ETAG, tag)));
        headers.insert(CONTENT_LENGTH, 0.into());
        Ok(response)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_complete {
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
    bucket: &Arc<BucketOrigin>,
    request: Request<'_>,
    content: Bytes,
) -> Result<(Response<OriginBody>, Bytes), Cause> {
    let method = request.method.clone();
    let response = bucket.send(request, Content::Whole(content)).await.map_err(|failed| failed.cause)?;
    if response.status().is_success() {
        return answer::read(response, bucket.response_timeout).await;
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
