//! One writer, many readers.

use super::*;
use std::future::poll_fn;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn rest(mut reader: Reader) -> Result<Vec<u8>, Truncated> {
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

#[tokio::test]
async fn readers_see_the_start_however_late_they_come() {
    let body = Arc::new(SharedBody::default());
    let mut early = body.read().unwrap();
    body.push(bytes("one "));
    assert_eq!(early.next().await.unwrap().unwrap(), "one ");
    let late = body.read().unwrap();
    let waiting = tokio::spawn(rest(late));
    body.push(bytes("two"));
    body.finish();
    assert_eq!(waiting.await.unwrap().unwrap(), b"one two");
    assert_eq!(rest(early).await.unwrap(), b"two");
    assert_eq!(body.complete().unwrap(), "one two");
    assert_eq!(rest(body.read().unwrap()).await.unwrap(), b"one two");
}

#[tokio::test]
async fn a_broken_body_is_never_complete() {
    let body = Arc::new(SharedBody::default());
    let reader = body.read().unwrap();
    body.push(bytes("half"));
    body.fail();
    assert!(body.complete().is_none());
    assert_eq!(rest(reader).await, Err(Truncated));
    assert_eq!(rest(body.read().unwrap()).await, Err(Truncated));
}

#[tokio::test]
async fn failing_after_the_end_changes_nothing() {
    let body = Arc::new(SharedBody::default());
    body.push(bytes("all"));
    body.finish();
    body.fail();
    assert_eq!(rest(body.read().unwrap()).await.unwrap(), b"all");
}

#[tokio::test]
async fn a_window_waits_for_its_slowest_reader_and_lets_go() {
    let chunk = Bytes::from(vec![7; WINDOW as usize / 2]);
    let body = Arc::new(SharedBody::default());
    let mut fast = body.read().unwrap();
    let mut slow = body.read().unwrap();
    body.make_window();
    body.push(chunk.clone());
    body.push(chunk.clone());
    for _ in 0..2 {
        fast.next().await.unwrap().unwrap();
    }
    let writable = poll_fn(|context| Poll::Ready(body.poll_writable(context))).await;
    assert!(writable.is_pending(), "the slow reader has read nothing");
    slow.next().await.unwrap().unwrap();
    let writable = poll_fn(|context| Poll::Ready(body.poll_writable(context))).await;
    assert_eq!(writable, Poll::Ready(Ok(())));
    assert!(body.read().is_none(), "the beginning is gone");
    body.push(chunk.clone());
    body.finish();
    assert!(body.complete().is_none());
    assert_eq!(rest(slow).await.unwrap().len(), WINDOW as usize);
    assert_eq!(rest(fast).await.unwrap().len(), WINDOW as usize / 2);
}

#[tokio::test]
async fn a_window_without_readers_tells_its_writer_to_stop() {
    let body = Arc::new(SharedBody::default());
    let reader = body.read().unwrap();
    body.make_window();
    body.push(Bytes::from(vec![7; WINDOW as usize]));
    let waiting = {
        let body = Arc::clone(&body);
        tokio::spawn(async move { poll_fn(|context| body.poll_writable(context)).await })
    };
    tokio::task::yield_now().await;
    drop(reader);
    assert_eq!(waiting.await.unwrap(), Err(Truncated));
}
