//! Bodies that a hook rewrites as they pass, whatever it does in their middle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use hooks::{Event, Hook, HookBody, HookError, HookSettings, WasmSource};
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use support::{engine, facts, on_one_core, outward, request, settings, whole};

/// A body in pieces, each after a pause.
#[derive(Debug)]
struct Pieces {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Pieces {
    fn of(pieces: &[&'static [u8]]) -> Self {
        let pieces = pieces.iter().map(|piece| Bytes::from_static(piece)).collect();
        Self { pieces, pause: Duration::ZERO, timer: None }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let pause = self.pause;
        if !pause.is_zero() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            std::task::ready!(timer.as_mut().poll(context));
            self.timer = None;
        }
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

fn hook(task: &str, transform: &str, adjust: impl FnOnce(&mut HookSettings)) -> Hook {
    let source = WasmSource::File(outward().to_owned());
    let mut settings = settings(source, &[Event::OriginResponse], &[("do", task), ("transform", transform)]);
    adjust(&mut settings);
    Hook::load(engine(), "guest", &settings).unwrap()
}

async fn rewritten(hook: &Hook, response: Response<Pieces>) -> Response<HookBody<Pieces>> {
    hook.origin_response(&request("/", &[]), response, &facts()).await.unwrap().response
}

/// The error in the middle of a body, and what came before it.
async fn breaks_off(hook: &Hook, pieces: &[&'static [u8]]) -> (Bytes, HookError) {
    let mut body = rewritten(hook, Response::new(Pieces::of(pieces))).await.into_body();
    let mut before = Vec::new();
    loop {
        match body.frame().await.unwrap() {
            Ok(frame) => before.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => return (before.into(), *error.downcast::<HookError>().unwrap()),
        }
    }
}

#[test]
fn a_body_is_rewritten_piece_by_piece_by_one_instance() {
    on_one_core(async {
        let hook = hook("rewrite", "upper", |_| {});
        let response = rewritten(&hook, Response::new(Pieces::of(&[b"one ", b"two ", b"three"]))).await;
        let mut body = response.into_body();
        for piece in ["ONE ", "TWO ", "THREE", "!"] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
        assert!(body.frame().await.is_none() && body.is_end_stream());
        let held = hook_of("hold");
        let response = rewritten(&held, Response::new(Pieces::of(&[b"one ", b"two ", b"three"]))).await;
        assert_eq!(whole(response.into_body()).await, "3 pieces");
    });
}

fn hook_of(transform: &str) -> Hook {
    hook("rewrite", transform, |_| {})
}

#[test]
fn what_speaks_of_the_origins_bytes_goes() {
    on_one_core(async {
        let response = Response::builder()
            .header("content-length", "3")
            .header("accept-ranges", "bytes")
            .header("repr-digest", "sha-256=:abc=:")
            .header("etag", "\"v1\"")
            .header("content-type", "text/html");
        let response = response.body(Pieces::of(&[b"one"])).unwrap();
        let headers = rewritten(&hook_of("upper"), response).await.headers().clone();
        let left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(left, [("content-type", "text/html"), ("etag", "W/\"v1\"")]);
    });
}

#[test]
fn large_pieces_are_cut_up() {
    on_one_core(async {
        static LARGE: [u8; 150 << 10] = [b'x'; 150 << 10];
        let response = rewritten(&hook_of("length"), Response::new(Pieces::of(&[&LARGE, b"four"]))).await;
        assert_eq!(whole(response.into_body()).await, "65536;65536;22528;4;0;");
    });
}

#[test]
fn what_the_hook_has_read_is_rewritten_too() {
    on_one_core(async {
        let hook = hook("peek-and-rewrite", "upper", |_| {});
        let response = rewritten(&hook, Response::new(Pieces::of(&[b"one two", b" three"]))).await;
        assert_eq!(whole(response.into_body()).await, "ONE TWO THREE!");
    });
}

#[test]
fn a_guest_that_fails_in_the_middle_breaks_the_body_off_and_is_named() {
    on_one_core(async {
        for (transform, token) in [("trap", "hook-trap"), ("fail", "hook-failed"), ("loop", "hook-deadline")]
        {
            let hook = hook("rewrite", transform, |settings| {
                settings.limits.cpu = Duration::from_millis(50);
                settings.limits.concurrency = 1;
            });
            let (before, error) = breaks_off(&hook, &[b"one ", b"two ", b"three"]).await;
            assert_eq!((before.as_ref(), error.token()), (&b"ONE "[..], token), "{error}");
            assert!(error.to_string().contains("hook \"guest\" at origin-response"), "{error}");
            // Its place is free again.
            breaks_off(&hook, &[b"one ", b"two "]).await;
        }
    });
}

#[test]
fn whoever_listens_hears_of_the_failure() {
    on_one_core(async {
        let heard = Arc::new(Mutex::new(None));
        let mut body =
            rewritten(&hook_of("trap"), Response::new(Pieces::of(&[b"one ", b"two "]))).await.into_body();
        let HookBody::Transformed(transform) = &mut body else { panic!("it is not rewritten") };
        let told = Arc::clone(&heard);
        transform.on_failure(move |error| *told.lock().unwrap() = Some(error.token()));
        assert!(body.collect().await.is_err());
        assert_eq!(*heard.lock().unwrap(), Some("hook-trap"));
    });
}

#[test]
fn processor_time_counts_over_the_whole_body() {
    on_one_core(async {
        let hook = hook("rewrite", "spend", |settings| settings.limits.cpu = Duration::from_millis(20));
        let (before, error) = breaks_off(&hook, &[b"x".as_slice(); 2000]).await;
        assert_eq!(error.token(), "hook-deadline", "{error}");
        assert!(!before.is_empty(), "each piece alone is far below the limit");
    });
}

#[test]
fn waiting_for_the_origin_is_not_the_guests_time() {
    on_one_core(async {
        let hook = hook("rewrite", "upper", |settings| settings.limits.wall = Duration::from_millis(200));
        let mut pieces = Pieces::of(&[b"one ", b"two ", b"three"]);
        pieces.pause = Duration::from_millis(120);
        let response = rewritten(&hook, Response::new(pieces)).await;
        assert_eq!(whole(response.into_body()).await, "ONE TWO THREE!");
    });
}

#[test]
fn what_a_guest_makes_of_one_piece_is_bounded() {
    on_one_core(async {
        let hook = hook("rewrite", "double", |settings| settings.limits.output = ByteSize::b(7));
        let (before, error) = breaks_off(&hook, &[b"one", b"four"]).await;
        assert_eq!((before.as_ref(), error.token()), (&b"oneone"[..], "hook-output"), "{error}");
    });
}

#[test]
fn a_body_that_waits_for_its_viewer_takes_nobodys_place() {
    on_one_core(async {
        let hook = hook("rewrite", "upper", |settings| {
            (settings.limits.concurrency, settings.limits.queue) = (1, 0);
        });
        let ask = || rewritten(&hook, Response::new(Pieces::of(&[b"one "])));
        let mut slow = ask().await.into_body();
        slow.frame().await.unwrap().unwrap();
        for _ in 0..3 {
            assert_eq!(whole(ask().await.into_body()).await, "ONE !");
        }
        assert_eq!(whole(slow).await, "!");
    });
}

#[test]
fn as_many_bodies_are_rewritten_as_may_be_until_they_end_or_are_dropped() {
    on_one_core(async {
        let hook = hook("rewrite", "upper", |settings| settings.limits.transforms = 1);
        let ask = || rewritten(&hook, Response::new(Pieces::of(&[b"one"])));
        let mut body = ask().await.into_body();
        body.frame().await.unwrap().unwrap();
        let busy = hook.origin_response(&request("/", &[]), Response::new(Pieces::of(&[])), &facts()).await;
        assert_eq!(busy.unwrap_err().error.token(), "hook-busy");
        drop(body);
        let mut body = ask().await.into_body();
        while body.frame().await.is_some() {}
        ask().await;
    });
}

#[test]
fn others_of_the_core_go_on_beside_a_guest_that_computes() {
    on_one_core(async {
        let hook = hook("rewrite", "loop", |settings| settings.limits.cpu = Duration::from_millis(300));
        let mut body = rewritten(&hook, Response::new(Pieces::of(&[b"one ", b"two "]))).await.into_body();
        body.frame().await.unwrap().unwrap();
        let mut longest = Duration::ZERO;
        let others = async {
            loop {
                let begin = std::time::Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                longest = longest.max(begin.elapsed());
            }
        };
        tokio::select! { biased; () = others => {}, broken = body.frame() => assert!(broken.unwrap().is_err()) }
        assert!(longest < Duration::from_millis(150), "{longest:?}");
    });
}

#[test]
fn what_cannot_be_rewritten_is_refused_with_a_reason() {
    on_one_core(async {
        let refusal = |response: Response<Pieces>| async {
            let response = rewritten(&hook_of("upper"), response).await;
            let refused = response.headers().get("x-refused").map(|value| value.to_str().unwrap().to_owned());
            (refused, whole(response.into_body()).await)
        };
        let coded = Response::builder().header("content-encoding", "gzip").body(Pieces::of(&[b"one"]));
        assert_eq!(refusal(coded.unwrap()).await, (Some("coded".to_owned()), Bytes::from("one")));
        let part = Response::builder().status(206).body(Pieces::of(&[b"one"]));
        assert_eq!(refusal(part.unwrap()).await, (Some("partial".to_owned()), Bytes::from("one")));
        let other =
            rewritten(&hook("rewrite-another", "upper", |_| {}), Response::new(Pieces::of(&[b"one"]))).await;
        assert_eq!(other.headers()["x-refused"], "true");
        assert_eq!(whole(other.into_body()).await, "another");
    });
}

#[test]
fn an_empty_body_stays_empty() {
    on_one_core(async {
        let response = Response::new(http_body_util::Empty::<Bytes>::new());
        let outcome = hook_of("upper").origin_response(&request("/", &[]), response, &facts()).await.unwrap();
        assert_eq!(whole(outcome.response.into_body()).await, "");
    });
}

#[test]
fn nothing_is_pulled_before_somebody_wants_it() {
    on_one_core(async {
        #[derive(Debug)]
        struct Counted(Arc<Mutex<u32>>);
        impl Body for Counted {
            type Data = Bytes;
            type Error = std::io::Error;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
                *self.0.lock().unwrap() += 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
            }
        }
        let pulled = Arc::new(Mutex::new(0));
        let response = Response::new(Counted(Arc::clone(&pulled)));
        let outcome = hook_of("upper").origin_response(&request("/", &[]), response, &facts()).await.unwrap();
        let mut body = outcome.response.into_body();
        assert_eq!(*pulled.lock().unwrap(), 0);
        for count in 1..4 {
            poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
            assert_eq!(*pulled.lock().unwrap(), count);
        }
    });
}
