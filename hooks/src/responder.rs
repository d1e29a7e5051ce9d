//! Components that answer requests by themselves (`wasi:http/proxy`): origins that run in the node.

mod body;
mod outward;
mod serving;
mod settings;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use wasmtime::Store;
use wasmtime::component::Resource;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

use crate::body::BodyError;
use crate::bounds::Bounds;
use crate::components::Loaded;
use crate::engine::Engine;
use crate::error::{Called, HookError};
use crate::hook::check_limits;
use crate::instance::{self, bounded};
use crate::load;
use crate::log::CallLog;
use crate::meter::{MemoryLimit, Meter};
use crate::outside::Outside;
use crate::places::Places;
use crate::registry::VersionId;
use crate::report::Reporter;
use crate::secrets::Secrets;
use crate::settings::LimitSettings;
use crate::ticker::Ticking;
use crate::watch::{CallRecord, Watch};
use crate::weight::Weight;

use outward::Way;
use serving::Fate;

pub use body::ResponderBody;
pub(crate) use serving::{Serving, linker};
pub use settings::{Granted, ResponderSettings};

/// A component that answers requests, compiled and checked. Each request has an instance of its own. Clones share it.
#[derive(Clone)]
pub struct Responder {
    inner: Arc<Inner>,
    watch: Option<Watch>,
}

struct Inner {
    name: Arc<str>,
    version: Arc<str>,
    engine: Engine,
    begins: ProxyIndices,
    component: Arc<Loaded<Serving>>,
    limits: LimitSettings,
    after_head: Duration,
    places: Places,
    /// Where its requests begin to be answered.
    weight: Weight,
    environment: Arc<[(String, String)]>,
    /// What tells this environment from others.
    surroundings: Box<str>,
    secrets: Arc<Secrets>,
    fetch: Arc<[Granted]>,
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Responder").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

/// A request for a component.
#[derive(Debug)]
pub struct Asked {
    /// The target is absolute: scheme and authority as the viewer asked.
    pub request: Request<UnsyncBoxBody<Bytes, BodyError>>,
    /// The way to the node's origins, where the settings grant any.
    pub outside: Option<Arc<dyn Outside>>,
}

/// What a component hands over: the head of its answer and the body that it will write, or its own word for why not.
type Handed = Result<Response<HyperOutgoingBody>, ErrorCode>;

impl Responder {
    /// Reads, compiles and checks a component: a second or more of work where it is new to the node.
    ///
    /// # Errors
    /// What is wrong with the file, the component or the settings, in words that name the setting or the export, and what to do.
    pub fn load(engine: &Engine, name: &str, settings: &ResponderSettings) -> Result<Self, String> {
        check_limits(&settings.limits)?;
        let bytes = load::read(&settings.wasm)?;
        let (begins, component) = load::responder(engine, &settings.wasm.to_string(), &bytes)?;
        let secrets = Secrets::read(&settings.secrets).map_err(|cause| format!("env.{cause}"))?;
        let environment = settings.environment(&secrets)?;
        Ok(Self {
            watch: None,
            inner: Arc::new(Inner {
                name: name.into(),
                version: VersionId::of(&bytes).as_str().into(),
                engine: engine.clone(),
                begins,
                component,
                places: Places::new(&settings.limits),
                weight: Weight::default(),
                limits: settings.limits.clone(),
                after_head: settings.after_head,
                surroundings: surroundings(&environment),
                environment,
                secrets: Arc::new(secrets),
                fetch: settings.fetch.clone().into(),
            }),
        })
    }

    /// The same, its requests told to `watch`.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Which component it is: the first twelve hexadecimal digits of its SHA-256.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// Which environment it runs in, without a word of what that holds: another one after a secret's file has changed.
    #[must_use]
    pub fn surroundings(&self) -> &str {
        &self.inner.surroundings
    }

    /// Whether its requests are to be given a way to the node's origins.
    #[must_use]
    pub fn reaches_out(&self) -> bool {
        !self.inner.fetch.is_empty()
    }

    /// Has the component answer. The answer is here with its head; the component goes on with the body as that is read, and is
    /// ended when the future or the body is dropped before its end.
    ///
    /// # Errors
    /// Everything that keeps it from answering; nothing has gone out by then.
    pub async fn respond(&self, asked: Asked) -> Result<Response<ResponderBody>, HookError> {
        let inner = &self.inner;
        let deadline = Instant::now() + inner.limits.wall;
        let Some(place) = inner.places.take(deadline).await else {
            return Err(HookError::Busy { called: inner.called(), concurrency: inner.limits.concurrency });
        };
        let is_head = asked.request.method() == Method::HEAD;
        let id = asked.request.headers().get(REQUEST_ID).cloned();
        let (hand_over, handed) = oneshot::channel();
        let (call, broken) = inner.begin(asked, hand_over, place)?;
        let called = Arc::clone(inner);
        let running = Running(Some(match self.watch.clone() {
            None => tokio::spawn(call.run(called, deadline)),
            Some(watch) => tokio::spawn(call.told(called, deadline, id, watch)),
        }));
        match handed.await {
            Ok(Ok(response)) => inner.checked(response, running, broken, is_head),
            Ok(Err(code)) => Err(inner.reporter(&CallLog::default()).failed(&format!("{code:?}"))),
            Err(_) => Err(running.outcome().await.err().unwrap_or_else(|| inner.unanswered())),
        }
    }
}

fn surroundings(environment: &[(String, String)]) -> Box<str> {
    let words =
        environment.iter().map(|(name, value)| format!("{}:{name}{}:{value}", name.len(), value.len()));
    VersionId::of(words.collect::<String>().as_bytes()).as_str().into()
}

impl Inner {
    fn called(&self) -> Called {
        Called::Origin(Arc::clone(&self.name))
    }

    fn reporter<'a>(&'a self, log: &'a CallLog) -> Reporter<'a> {
        Reporter {
            called: self.called(),
            secrets: &self.secrets,
            limits: &self.limits,
            log,
            sources: &self.component.sources,
            workers: self.engine.workers(),
        }
    }

    fn unanswered(&self) -> HookError {
        self.reporter(&CallLog::default())
            .unusable("it returned from `handle` without having set an answer (response-outparam.set)")
    }

    /// What the call will run in, and whether it broke off later.
    fn begin(
        &self,
        asked: Asked,
        hand_over: oneshot::Sender<Handed>,
        place: OwnedSemaphorePermit,
    ) -> Result<(Call, Arc<AtomicBool>), HookError> {
        let bounds = Bounds::of(&self.limits);
        let log = CallLog::without(&self.secrets, bounds.log);
        let broken = Arc::new(AtomicBool::new(false));
        let way = Way {
            log: log.clone(),
            granted: Arc::clone(&self.fetch),
            outside: asked.outside,
            fetches: self.limits.fetches,
        };
        let memory = MemoryLimit::new(
            self.limits.memory.as_u64(),
            bounds.table_elements,
            Arc::clone(self.engine.memory()),
        );
        let serving =
            Serving::new(Fate::new(&broken), Arc::clone(&self.environment), way, memory, bounds, log.clone());
        let meter = Arc::new(Meter::new(self.limits.cpu));
        let mut store = bounded(self.engine.wasmtime(), serving, &meter);
        let scheme = match asked.request.uri().scheme() {
            Some(scheme) if *scheme == http::uri::Scheme::HTTP => Scheme::Http,
            _ => Scheme::Https,
        };
        let mut view = store.data_mut().http();
        let prepared = view
            .new_incoming_request(scheme, asked.request.map(outward::incoming))
            .and_then(|request| Ok((request, view.new_response_outparam(hand_over)?)));
        let (request, answer) =
            prepared.map_err(|error| self.reporter(&log).unusable(&format!("{error:#}")))?;
        let ticking = self.engine.ticking();
        Ok((Call { store, request, answer, meter, log, place, ticking }, broken))
    }

    /// The answer as it may go on.
    fn checked(
        &self,
        response: Response<HyperOutgoingBody>,
        running: Running,
        broken: Arc<AtomicBool>,
        is_head: bool,
    ) -> Result<Response<ResponderBody>, HookError> {
        let (head, body) = response.into_parts();
        if !(200..=599).contains(&head.status.as_u16()) {
            let cause = format!("status {}: a final answer has 200 to 599", head.status.as_u16());
            return Err(self.reporter(&CallLog::default()).unusable(&cause));
        }
        // RFC 9110 sections 9.3.2, 15.3.5, 15.4.5: there is nothing after these heads, whatever the component writes.
        let has_none = is_head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
        let declared = if has_none { None } else { body::declared(&head.headers) };
        let body = ResponderBody::new(body, declared, running, broken);
        if has_none {
            tokio::spawn(timeout(self.after_head, discard(body)));
            return Ok(Response::from_parts(head, ResponderBody::none()));
        }
        Ok(Response::from_parts(head, body))
    }
}

/// Reads what nobody gets, so that the component comes to its end.
async fn discard(mut body: ResponderBody) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The field that tells which request it was.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One call, with all that it holds.
struct Call {
    store: Store<Serving>,
    request: Resource<HostIncomingRequest>,
    answer: Resource<HostResponseOutparam>,
    meter: Arc<Meter>,
    log: CallLog,
    place: OwnedSemaphorePermit,
    ticking: Ticking,
}

impl Call {
    /// The same as [`Self::run`], and tells how it went.
    async fn told(
        self,
        inner: Arc<Inner>,
        deadline: Instant,
        id: Option<HeaderValue>,
        watch: Watch,
    ) -> Result<(), HookError> {
        let log = self.log.clone();
        let ended = self.run(inner, deadline).await;
        let request_id = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
        let (cpu, error) = (Duration::ZERO, ended.as_ref().err());
        watch.tell(
            &log,
            CallRecord {
                event: None,
                request_id,
                lines: &[],
                dropped: 0,
                lineage: None,
                cpu,
                memory: 0,
                error,
            },
        );
        ended
    }

    /// To the end: the answer is handed over long before, and read meanwhile.
    async fn run(self, inner: Arc<Inner>, deadline: Instant) -> Result<(), HookError> {
        let Self { mut store, request, answer, meter, log, place, ticking } = self;
        let (callee, counted) = (Arc::clone(&inner), Arc::clone(&meter));
        let call = Box::pin(async move {
            let tied = &callee.component.tied;
            let made = instance::made(tied, &mut store).await;
            let handled = match made.and_then(|made| callee.begins.load(&mut store, &made)) {
                Ok(guest) => {
                    guest.wasi_http_incoming_handler().call_handle(&mut store, request, answer).await
                }
                Err(error) => Err(error),
            };
            drop(ticking);
            let ended = handled.map_err(|error| (error, store.data().refused()));
            store.data_mut().end(ended.is_ok());
            // What a heavy one leaves is dropped later, and the place is free when the memory is.
            (ended, counted.is_heavy().then_some((store, place)))
        });
        match inner.engine.workers().run(deadline, &meter, &inner.weight, call).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err((error, memory))) => Err(inner.reporter(&log).stopped(&error, &memory).await),
            Err(lost) => Err(inner.reporter(&log).lost(lost)),
        }
    }
}

/// A call under way, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Running(Option<JoinHandle<Result<(), HookError>>>);

impl Running {
    /// How it ends.
    async fn outcome(mut self) -> Result<(), HookError> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), HookError>> {
        let Some(call) = &mut self.0 else { return Poll::Ready(Ok(())) };
        // A task that is gone has been cut off with its runtime, and nobody is left to be told.
        Pin::new(call).poll(context).map(|ended| ended.unwrap_or(Ok(())))
    }

    /// It goes on to its end by itself.
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(call) = &self.0 {
            call.abort();
        }
    }
}
