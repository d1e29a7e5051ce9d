//! Request bodies: streamed, sent at most once, and nobody's fault but the viewer's when they break.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use origin_shield::{BoxError, Exhausted, Failure, Group, OutgoingBody, Reply};
use tokio::sync::mpsc;

use crate::scripted::{Act, Scripted, answer, send};
use crate::{PATIENCE, failures, get_text, group_with, refusing, request, single, text};

/// A body that the test feeds piece by piece; an error piece breaks it.
struct Fed(mpsc::Receiver<Result<Bytes, BoxError>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

fn fed() -> (mpsc::Sender<Result<Bytes, BoxError>>, OutgoingBody) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, OutgoingBody::Stream(Fed(receiver).boxed_unsync()))
}

fn known(text: &'static str) -> OutgoingBody {
    let body = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {});
    OutgoingBody::Stream(body.boxed_unsync())
}

async fn put(group: &Group, body: OutgoingBody) -> Result<Reply, Exhausted> {
    group.send(request("PUT", "/thing", body), Instant::now()).await
}

#[tokio::test]
async fn a_body_of_known_length_says_so_and_another_is_chunked() {
    let origin = Scripted::answering(answer("200 OK", "stored")).await;
    let group = single(&origin.url());
    assert_eq!(text(put(&group, known("four")).await.unwrap()).await, "stored");
    let (pieces, body) = fed();
    let feeding = async move {
        for piece in ["one", "two"] {
            pieces.send(Ok(Bytes::from(piece))).await.unwrap();
        }
    };
    let (reply, ()) = tokio::join!(put(&group, body), feeding);
    assert_eq!(text(reply.unwrap()).await, "stored");
    let seen = origin.requests();
    assert!(seen[0].contains("content-length: 4\r\n") && seen[0].ends_with("\r\n\r\nfour"), "{}", seen[0]);
    assert!(seen[1].contains("transfer-encoding: chunked\r\n"), "{}", seen[1]);
    assert!(seen[1].ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), "{}", seen[1]);
    assert_eq!(origin.accepted(), 1, "uploads give their connection back too");
}

#[tokio::test]
async fn an_untouched_body_may_go_to_the_next_member() {
    let second = Scripted::answering(answer("200 OK", "stored")).await;
    let group = group_with(&[("a", &refusing().await), ("b", &second.url())], |settings| {
        settings.methods.push("PUT".into());
    });
    assert_eq!(text(put(&group, known("whole")).await.unwrap()).await, "stored");
    assert!(second.requests()[0].ends_with("\r\n\r\nwhole"));
}

#[tokio::test]
async fn a_touched_body_is_never_sent_again() {
    let first = Scripted::always(&[Act::Close]).await;
    let second = Scripted::answering(answer("200 OK", "stored")).await;
    let group = group_with(&[("a", &first.url()), ("b", &second.url())], |settings| {
        settings.methods.push("PUT".into());
    });
    let exhausted = put(&group, known("once")).await.unwrap_err();
    assert_eq!(failures(&exhausted), [("a", Failure::ConnectionTerminated)]);
    assert!(second.requests().is_empty());

    let failing = Scripted::answering(answer("503 Service Unavailable", "down")).await;
    let group = group_with(&[("a", &failing.url()), ("b", &second.url())], |settings| {
        settings.methods.push("PUT".into());
    });
    assert_eq!(put(&group, known("once")).await.unwrap().response.status(), 503);
    assert!(second.requests().is_empty());
}

#[tokio::test]
async fn a_slow_viewer_is_not_a_late_origin() {
    let origin = Scripted::answering(answer("200 OK", "stored")).await;
    let group = single(&origin.url());
    let (pieces, body) = fed();
    let feeding = async move {
        pieces.send(Ok(Bytes::from("one"))).await.unwrap();
        tokio::time::sleep(2 * PATIENCE).await;
        pieces.send(Ok(Bytes::from("two"))).await.unwrap();
    };
    let (reply, ()) = tokio::join!(put(&group, body), feeding);
    assert_eq!(text(reply.unwrap()).await, "stored");
}

#[tokio::test]
async fn an_origin_that_is_silent_after_the_last_piece_is_late() {
    let origin = Scripted::always(&[Act::Hang]).await;
    let exhausted = put(&single(&origin.url()), known("four")).await.unwrap_err();
    assert_eq!(failures(&exhausted), [("app", Failure::ResponseTimeout)]);
}

#[tokio::test]
async fn a_broken_upload_is_not_the_origins_failure() {
    let origin = Scripted::answering(answer("200 OK", "fine")).await;
    let group = single(&origin.url());
    let (pieces, body) = fed();
    let feeding = async move {
        pieces.send(Ok(Bytes::from("one"))).await.unwrap();
        pieces.send(Err("the viewer went away".into())).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(put(&group, body), feeding);
    let exhausted = outcome.unwrap_err();
    assert_eq!(failures(&exhausted), [("app", Failure::RequestInvalid)]);
    assert_eq!(exhausted.status(), 400);
    assert_eq!(group.state(Instant::now()).members[0].last_failure, None);
    assert!(origin.requests().is_empty(), "half a request was taken for a whole one");
    assert_eq!(get_text(&group).await, "fine");
}

#[tokio::test]
async fn an_origin_may_answer_before_the_upload_ends() {
    let origin = early_answer().await;
    let (pieces, body) = fed();
    pieces.send(Ok(Bytes::from("one"))).await.unwrap();
    let reply = put(&single(&origin), body).await.unwrap();
    assert_eq!(reply.response.status(), 413);
    assert_eq!(text(reply).await, "too much");
    drop(pieces);
}

/// Answers as soon as the head is there, and reads no more.
async fn early_answer() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 1024]).await.unwrap();
        assert!(read > 0);
        let Act::Send(bytes) = send(answer("413 Content Too Large", "too much")) else { return };
        stream.write_all(&bytes).await.unwrap();
        drop(stream.read(&mut [0; 1024]).await);
    });
    url
}
