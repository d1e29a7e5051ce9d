//! One writer, many readers.

use super::*;
use chunks::GATHERED;
use patience::LAGGARD_PATIENCE;
use std::future::poll_fn;
use std::time::Duration;
use tokio::time::{Instant, sleep};

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
    body.finish(body.joined().map(Bytes::from));
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
    body.finish(body.joined().map(Bytes::from));
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
    body.finish(body.joined().map(Bytes::from));
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

/// Reads what is there, and says in how many reads.
async fn drain(reader: &mut Reader, into: &mut Vec<u8>) -> usize {
    let mut reads = 0;
    while let Poll::Ready(Some(chunk)) = poll_fn(|context| Poll::Ready(reader.poll_next(context))).await {
        into.extend_from_slice(&chunk.unwrap());
        reads += 1;
    }
    reads
}

#[tokio::test]
async fn pieces_of_all_sizes_reach_keen_and_late_readers_whole() {
    let body = Arc::new(SharedBody::default());
    let (mut keen, mut lazy) = (body.read().unwrap(), body.read().unwrap());
    let (mut whole, mut keenly, mut lazily) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..2_000_usize {
        // Lengths that line up with nothing: mostly small ones, now and then one that is shared as it came, or empty.
        let length = if number % 97 == 0 { GATHERED + number } else { number * 7 % 613 };
        let piece: Vec<u8> = (0..length).map(|index| (number + index) as u8).collect();
        whole.extend_from_slice(&piece);
        body.push(Bytes::from(piece));
        drain(&mut keen, &mut keenly).await;
        assert_eq!(keenly.len(), whole.len(), "nothing is held back from who reads at once");
        if number % 41 == 0 {
            drain(&mut lazy, &mut lazily).await;
        }
    }
    let late = body.read().unwrap();
    body.finish(body.joined().map(Bytes::from));
    drain(&mut lazy, &mut lazily).await;
    assert!(keenly == whole && lazily == whole && rest(late).await.unwrap() == whole);
    assert!(body.complete().unwrap() == &whole);
    assert_eq!(rest(keen).await.unwrap(), b"");
}

#[tokio::test]
async fn tiny_pieces_are_kept_and_read_in_large_chunks() {
    const TOTAL: usize = 4 * 1024 * 1024;
    let body = Arc::new(SharedBody::default());
    let mut keen = body.read().unwrap();
    for _ in 0..TOTAL / 16 {
        body.push(Bytes::from_static(&[7; 16]));
        drain(&mut keen, &mut Vec::new()).await;
    }
    let mut read = Vec::new();
    let reads = drain(&mut body.read().unwrap(), &mut read).await;
    assert_eq!((reads, read.len()), (TOTAL / GATHERED, TOTAL));
}

/// A window as large bodies become, with a fast reader that always wants more and a slow one that has read nothing.
struct Race {
    body: Arc<SharedBody>,
    slow: Reader,
    fast: tokio::task::JoinHandle<Result<Vec<u8>, Truncated>>,
    writer: tokio::task::JoinHandle<Result<(), Truncated>>,
}

const PIECE: usize = WINDOW as usize / 16;
const PIECES: usize = 64;

fn race() -> Race {
    let body = Arc::new(SharedBody::default());
    let (fast, slow) = (body.read().unwrap(), body.read().unwrap());
    body.make_window();
    let writer = tokio::spawn(write(Arc::clone(&body)));
    Race { body, slow, fast: tokio::spawn(rest(fast)), writer }
}

async fn write(body: Arc<SharedBody>) -> Result<(), Truncated> {
    for _ in 0..PIECES {
        poll_fn(|context| body.poll_writable(context)).await?;
        body.push(Bytes::from(vec![7; PIECE]));
    }
    body.finish(body.joined().map(Bytes::from));
    Ok(())
}

/// Reads a piece after each pause.
async fn read_slowly(mut reader: Reader, pause: Duration) -> Result<usize, Truncated> {
    let mut read = 0;
    loop {
        sleep(pause).await;
        match reader.next().await {
            Some(chunk) => read += chunk?.len(),
            None => return Ok(read),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stands_still_is_cut_and_the_others_go_on() {
    let began = Instant::now();
    let Race { mut slow, fast, writer, .. } = race();
    assert_eq!(fast.await.unwrap().unwrap().len(), PIECES * PIECE);
    assert_eq!(writer.await.unwrap(), Ok(()));
    assert!(began.elapsed() >= LAGGARD_PATIENCE && began.elapsed() < 2 * LAGGARD_PATIENCE);
    assert_eq!(slow.next().await, Some(Err(Truncated)), "its end must not look like the body's");
    assert_eq!(slow.next().await, Some(Err(Truncated)));
}

#[tokio::test(start_paused = true)]
async fn a_trickle_does_not_buy_a_laggard_time() {
    let began = Instant::now();
    let Race { slow, fast, .. } = race();
    let slow = tokio::spawn(read_slowly(slow, LAGGARD_PATIENCE / 4));
    assert_eq!(fast.await.unwrap().unwrap().len(), PIECES * PIECE);
    assert!(began.elapsed() < 2 * LAGGARD_PATIENCE);
    assert_eq!(slow.await.unwrap(), Err(Truncated));
}

#[tokio::test(start_paused = true)]
async fn a_slower_reader_that_keeps_catching_up_is_not_cut() {
    let began = Instant::now();
    let Race { slow, fast, .. } = race();
    // A window holds 16 pieces, so this reader takes a whole one in 0.8 of the patience.
    let slow = tokio::spawn(read_slowly(slow, LAGGARD_PATIENCE / 20));
    assert_eq!(fast.await.unwrap().unwrap().len(), PIECES * PIECE);
    assert_eq!(slow.await.unwrap(), Ok(PIECES * PIECE));
    assert!(began.elapsed() > 2 * LAGGARD_PATIENCE, "the fast one waited more than once");
}

#[tokio::test(start_paused = true)]
async fn a_lone_slow_reader_is_never_cut() {
    let Race { slow, fast, writer, .. } = race();
    fast.abort();
    assert!(fast.await.unwrap_err().is_cancelled());
    let read = read_slowly(slow, 100 * LAGGARD_PATIENCE).await;
    assert_eq!(read, Ok(PIECES * PIECE));
    assert_eq!(writer.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn slow_readers_of_one_pace_are_not_cut_for_one_another() {
    let Race { body, slow, fast, .. } = race();
    fast.abort();
    let other = tokio::spawn(read_slowly(body.read().unwrap(), 100 * LAGGARD_PATIENCE));
    assert_eq!(read_slowly(slow, 100 * LAGGARD_PATIENCE).await, Ok(PIECES * PIECE));
    assert_eq!(other.await.unwrap(), Ok(PIECES * PIECE));
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_origin_are_not_laid_to_the_slowest_reader() {
    let body = Arc::new(SharedBody::default());
    let (mut fast, mut slow) = (body.read().unwrap(), body.read().unwrap());
    body.make_window();
    for _ in 0..WINDOW as usize / PIECE {
        body.push(Bytes::from(vec![7; PIECE]));
    }
    drain(&mut fast, &mut Vec::new()).await;
    let held = || poll_fn(|context| Poll::Ready(body.poll_writable(context).is_pending()));
    assert!(held().await);
    slow.next().await.unwrap().unwrap();
    assert!(!held().await);
    sleep(100 * LAGGARD_PATIENCE).await;
    body.push(Bytes::from(vec![7; PIECE]));
    drain(&mut fast, &mut Vec::new()).await;
    assert!(held().await, "patience has hardly begun");
    assert_eq!(drain(&mut slow, &mut Vec::new()).await, WINDOW as usize / PIECE);
}
