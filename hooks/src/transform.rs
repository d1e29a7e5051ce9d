//! Bodies that a guest rewrites as they pass: its instance lives on after the call and gets a piece after the other.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, ETAG, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::bindings::body_transform::BodyTransformHook;
use crate::body::{BodyError, HookBody};
use crate::error::HookError;
use crate::event::Event;
use crate::hook::Hook;
use crate::instance::Instance;
use crate::log::CallLog;
use crate::state::CallState;
use crate::workers::{Lost, Workers};

/// Bytes that a guest gets at once.
const PIECE: usize = 64 << 10;

/// An instance that has answered its event and goes on with the body.
pub(crate) struct Transformer {
    instance: Instance,
    guest: BodyTransformHook,
    /// Its right to rewrite a body, held to the end of it.
    _open: OwnedSemaphorePermit,
}

impl Transformer {
    pub(crate) fn new(instance: Instance, guest: BodyTransformHook, open: OwnedSemaphorePermit) -> Self {
        instance.meter.count_everything();
        Self { instance, guest, _open: open }
    }

    fn state(&self) -> &CallState {
        self.instance.store.data()
    }

    /// Ends it. The viewer does not wait until much memory is given back.
    fn end(self: Box<Self>, workers: &Workers) {
        if self.instance.meter.is_large() {
            workers.leave(Some(self));
        }
    }

    async fn transform(
        &mut self,
        chunk: &[u8],
        is_last: bool,
        deadline: Instant,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        self.instance.store.data_mut().deadline = deadline;
        self.instance.go_on();
        let store = &mut self.instance.store;
        self.guest.selvedge_edge_body_transform().call_transform(store, chunk, is_last).await
    }
}

/// A body on its way through a guest. It pulls a piece only when the one before is gone, so that nothing gathers.
pub struct Transform<B> {
    hook: Hook,
    source: HookBody<B>,
    /// Pulled, and not yet handed to the guest.
    rest: Bytes,
    stage: Stage,
    words: Words,
    on_failure: Option<OnFailure>,
}

/// What the guest says of the body. Whoever watches is told once, however it ends.
struct Words {
    hook: Hook,
    log: CallLog,
    request_id: HeaderValue,
}

impl Words {
    fn tell(&self, error: Option<&HookError>) {
        self.hook.tell_late(Event::OriginResponse, &self.log.take(), &self.request_id, error);
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.tell(None);
    }
}

type OnFailure = Box<dyn FnOnce(&HookError) + Send>;
type Turn = Pin<Box<dyn Future<Output = Result<Turned, HookError>> + Send>>;

enum Stage {
    Waiting(Box<Transformer>),
    Running(Turn),
    Over,
}

/// What came of one piece.
struct Turned {
    made: Bytes,
    /// None after the last.
    next: Option<Box<Transformer>>,
}

impl<B> fmt::Debug for Transform<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transform").field("hook", &self.hook).finish_non_exhaustive()
    }
}

impl<B> Transform<B> {
    pub(crate) fn new(
        hook: Hook,
        transformer: Box<Transformer>,
        source: HookBody<B>,
        request_id: HeaderValue,
    ) -> Self {
        let words = Words { hook: hook.clone(), log: transformer.instance.log.clone(), request_id };
        let stage = Stage::Waiting(transformer);
        Self { hook, source, rest: Bytes::new(), stage, words, on_failure: None }
    }

    /// Has `told` called when the guest fails, in the middle of the body.
    pub fn on_failure(&mut self, told: impl FnOnce(&HookError) + Send + 'static) {
        self.on_failure = Some(Box::new(told));
    }

    fn fail(&mut self, error: HookError) -> BodyError {
        self.words.tell(Some(&error));
        if let Some(told) = self.on_failure.take() {
            told(&error);
        }
        error.into()
    }
}

impl<B> Drop for Transform<B> {
    fn drop(&mut self) {
        if let Stage::Waiting(transformer) = mem::replace(&mut self.stage, Stage::Over) {
            transformer.end(self.hook.engine().workers());
        }
    }
}

impl<B> Transform<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match mem::replace(&mut self.stage, Stage::Over) {
                Stage::Over => return Poll::Ready(None),
                Stage::Waiting(transformer) => {
                    let Poll::Ready(piece) = self.poll_piece(context) else {
                        self.stage = Stage::Waiting(transformer);
                        return Poll::Pending;
                    };
                    let piece = piece?;
                    let turn = turn(self.hook.clone(), transformer, piece);
                    self.stage = Stage::Running(Box::pin(turn));
                }
                Stage::Running(mut turn) => {
                    let Poll::Ready(turned) = turn.as_mut().poll(context) else {
                        self.stage = Stage::Running(turn);
                        return Poll::Pending;
                    };
                    let Turned { made, next } = turned.map_err(|error| self.fail(error))?;
                    self.stage = next.map_or(Stage::Over, Stage::Waiting);
                    if !made.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(made))));
                    }
                    if matches!(self.stage, Stage::Waiting(_)) {
                        // A guest that swallows everything must not keep others of this core from their turn.
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// The next bytes of the source, `None` at its end. Trailers speak of a body that there is no more.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.source).poll_frame(context)).transpose()? {
                None => return Poll::Ready(Ok(None)),
                Some(frame) => self.rest = frame.into_data().unwrap_or_default(),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Ok(Some(self.rest.split_to(length))))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Gives one piece to the guest; `None` is the end.
async fn turn(
    hook: Hook,
    mut transformer: Box<Transformer>,
    piece: Option<Bytes>,
) -> Result<Turned, HookError> {
    let is_last = piece.is_none();
    let (log, meter) = (transformer.instance.log.clone(), Arc::clone(&transformer.instance.meter));
    let (deadline, output) = (Instant::now() + hook.limits().wall, hook.limits().output.as_u64());
    let (engine, places) = (hook.engine().clone(), Arc::clone(hook.places()));
    let call = Box::pin(async move {
        // A place for this piece only. Waiting for it is part of the call, which goes on though a slow viewer does not ask.
        let Some(place) = places.wait(deadline).await else { return (Err(Lost::Timeout), None) };
        let ticking = engine.ticking();
        let chunk = piece.unwrap_or_default();
        let answer = transformer.transform(&chunk, is_last, deadline).await;
        drop((ticking, place));
        (Ok((answer, transformer)), None::<()>)
    });
    let ran = hook.engine().workers().run(deadline, &meter, &hook.weights().pieces, call).await.flatten();
    let reporter = hook.reporter(Event::OriginResponse, &log);
    let (answer, transformer) = ran.map_err(|lost| reporter.lost(lost))?;
    let made = match answer {
        Ok(Ok(made)) if made.len() as u64 > output => Err(reporter
            .unusable(&format!("{} bytes for one piece of a body are over limits.output", made.len()))),
        Ok(Ok(made)) => match meter.check() {
            Ok(()) => Ok(made),
            Err(spent) => Err(reporter.stopped(&spent.into(), &transformer.state().memory).await),
        },
        Ok(Err(message)) => Err(reporter.failed(&message)),
        Err(error) => Err(reporter.stopped(&error, &transformer.state().memory).await),
    };
    if made.is_ok() && !is_last {
        return made.map(|made| Turned { made: made.into(), next: Some(transformer) });
    }
    transformer.end(hook.engine().workers());
    made.map(|made| Turned { made: made.into(), next: None })
}

/// What spoke of the origin's bytes, and does not hold for what is made of them (RFC 9110 sections 8.8.1 and 14.3, RFC 9530).
pub(crate) fn edit_head(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    for name in ["content-md5", "content-digest", "repr-digest", "digest"] {
        headers.remove(name);
    }
    let strong = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    let weak = strong.map(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()));
    match weak {
        Some(Ok(weak)) => drop(headers.insert(ETAG, weak)),
        Some(Err(_)) => drop(headers.remove(ETAG)),
        None => {}
    }
}
