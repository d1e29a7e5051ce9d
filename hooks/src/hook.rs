//! A loaded hook, and how one call of it is run.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::body::OriginBody;
use crate::bounds::Bounds;
use crate::call::{Answer, Ended, Exports};
use crate::engine::{Engine, MAX_MEMORY, MAX_TRACE};
use crate::error::{Called, HookError};
use crate::event::Event;
use crate::facts::Facts;
use crate::instance::{Instance, Kept};
use crate::load;
use crate::log::CallLog;
use crate::meter::{MemoryLimit, Meter};
use crate::outside::{Allowance, Reach};
use crate::own::Own;
use crate::places::Places;
use crate::registry::VersionId;
use crate::report::Reporter;
use crate::restore;
use crate::secrets::Secrets;
use crate::settings::{HookSettings, LimitSettings, OnError};
use crate::state::{CallState, Messages, Surroundings};
use crate::ticker::TICK;
use crate::transform::Transformer;
use crate::watch::{self, CallRecord, Lineage, Watch};
use crate::weight::Weights;

/// A component that is compiled, checked and ready to be called. Clones share it.
#[derive(Clone)]
pub struct Hook {
    inner: Arc<Inner>,
    watch: Option<Watch>,
}

struct Inner {
    own: Arc<Own>,
    engine: Engine,
    exports: Exports,
    events: Vec<Event>,
    limits: LimitSettings,
    bounds: Bounds,
    on_error: OnError,
    reads_body: bool,
    /// Where its calls begin.
    weights: Weights,
    reach: Arc<Reach>,
    places: Arc<Places>,
    /// Instances that are used again, as their calls left them or put back.
    kept: Option<Kept>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hook").field("name", &self.inner.own.name).finish_non_exhaustive()
    }
}

impl Hook {
    /// Reads, compiles and checks the component that the settings name: a second or more of work.
    ///
    /// # Errors
    /// [`HookError::Load`] when the file cannot be read, and those of [`Self::from_bytes`].
    pub fn load(engine: &Engine, name: &str, settings: &HookSettings) -> Result<Self, HookError> {
        let refuse = |cause: String| HookError::Load { hook: name.to_owned(), cause };
        let bytes = load::read(&settings.wasm).map_err(refuse)?;
        Self::from_bytes(engine, name, settings, &settings.wasm.to_string(), &bytes)
    }

    /// Compiles and checks a component that is at hand; `source` stands for it in messages, and `settings.wasm` is not
    /// looked at.
    ///
    /// # Errors
    /// [`HookError::Load`] when it is no component, imports what a node does not offer, lacks the export of an event in
    /// `on`, or a limit is out of its range.
    pub fn from_bytes(
        engine: &Engine,
        name: &str,
        settings: &HookSettings,
        source: &str,
        bytes: &[u8],
    ) -> Result<Self, HookError> {
        let refuse = |cause: String| HookError::Load { hook: name.to_owned(), cause };
        check_limits(&settings.limits).map_err(refuse)?;
        let ready = load::hook(engine, source, bytes).map_err(refuse)?;
        let exports = Exports::find(ready, &settings.on).map_err(|(event, error)| {
            refuse(format!(
                "{source} does not export selvedge:edge/{event}@0.1.0 as hooks/wit has it; take {event} out of `on` or add the export: {error:#}"
            ))
        })?;
        let kept = Kept::of(settings, &exports, Arc::clone(engine.memory()));
        Ok(Self {
            watch: None,
            inner: Arc::new(Inner {
                own: Arc::new(own(engine, name, settings, bytes).map_err(refuse)?),
                engine: engine.clone(),
                exports,
                events: settings.on.clone(),
                places: Arc::new(Places::new(&settings.limits)),
                kept,
                limits: settings.limits.clone(),
                bounds: Bounds::of(&settings.limits),
                on_error: settings.on_error,
                reads_body: settings.reads_body,
                weights: Weights::default(),
                reach: Arc::new(Reach::of(settings)),
            }),
        })
    }

    /// The same hook, fresh from loading, with places that it shares with its other versions: none waits for less long.
    #[must_use]
    pub(crate) fn sharing(mut self, places: &Arc<Places>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.places = Arc::clone(places);
        }
        self
    }

    /// The same hook, its calls told to `watch`.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// The name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.own.name
    }

    /// Which component it is: the first twelve hexadecimal digits of its SHA-256.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.inner.own.version
    }

    /// The interfaces that the component imports, as `package:name/interface@version`.
    pub(crate) fn imports(&self) -> Vec<String> {
        let component = self.inner.exports.component().tied.component().component_type();
        component.imports(self.inner.engine.wasmtime()).map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether the hook is to be called at this event.
    #[must_use]
    pub fn listens(&self, event: Event) -> bool {
        self.inner.events.contains(&event)
    }

    /// Whether it may read the bodies of requests.
    pub(crate) fn reads_body(&self) -> bool {
        self.inner.reads_body
    }

    /// Whether it rewrites bodies as they pass, and so needs them whole and plain.
    #[must_use]
    pub fn transforms(&self) -> bool {
        self.inner.exports.transforms()
    }

    /// Whether its calls are to be given a way to the node's origins.
    #[must_use]
    pub fn reaches_out(&self) -> bool {
        !self.inner.reach.is_empty()
    }

    /// What the node does when a call fails.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        self.inner.on_error
    }

    /// Runs one call. A failure brings the origin's body back where the call's state survived.
    pub(crate) async fn call(
        &self,
        event: Event,
        messages: Messages,
        facts: &Facts,
    ) -> Result<(Answer, CallState), Box<FailedCall>> {
        let inner = &self.inner;
        let limits = &inner.limits;
        let now = Instant::now();
        let deadline = now + limits.wall;
        let Some(place) = inner.places.take(deadline).await else {
            let error = HookError::Busy { called: inner.called(event), concurrency: limits.concurrency };
            self.tell_failure(event, facts, &error);
            return Err(Box::new(FailedCall { error, body: messages.body }));
        };
        let mut instance = inner.instance(event, messages, facts, (now, deadline));
        let (meter, log) = (Arc::clone(&instance.meter), instance.log.clone());
        let lineage = inner.kept.as_ref().map_or(Lineage::Made, |kept| kept.lineage(&instance));
        let ticking = inner.engine.ticking();
        let callee = Arc::clone(inner);
        let call = Box::pin(async move {
            let answer = callee.perform(&mut instance).await;
            // The place is free here, and not when the answer is fetched: who asked may be slow.
            let ended = callee.end(instance, answer, place);
            drop(ticking);
            ended
        });
        let running = inner.engine.workers().run(deadline, &meter, inner.weights.of(event), call);
        let (ran, cpu) = watch::running(self.watch.as_ref(), running, &meter).await;
        let memory = ran.as_ref().map_or(0, |ended| ended.memory);
        let log = ran.as_ref().map_or(log, |ended| ended.state.log.clone());
        let reporter = || inner.reporter(event, &log);
        let outcome = match ran {
            Ok(Ended { answer: Ok(Answer::Failed(message)), state, .. }) => {
                Err(Box::new(FailedCall { error: reporter().failed(&message), body: state.body }))
            }
            Ok(Ended { answer: Ok(answer), state, .. }) => Ok((answer, state)),
            Ok(Ended { answer: Err(error), state, .. }) => Err(Box::new(FailedCall {
                error: reporter().stopped(&error, &state.memory).await,
                body: state.body,
            })),
            Err(lost) => Err(Box::new(FailedCall { error: reporter().lost(lost), body: None })),
        };
        if let Some(watch) = &self.watch {
            let error = outcome.as_ref().err().map(|failed| &failed.error);
            let request_id = facts.request_id.to_str().unwrap_or_default();
            let event = Some(event);
            let lineage = Some(lineage);
            watch.tell(
                &log,
                CallRecord { event, request_id, lines: &[], dropped: 0, lineage, cpu, memory, error },
            );
        }
        outcome
    }

    /// The failure of a call that ended well for an origin that the node does not have; watchers hear of it.
    #[must_use]
    pub fn refuse_origin(&self, origin: &str, facts: &Facts) -> HookError {
        self.refuse(Event::OriginRequest, facts, |reporter| reporter.unknown_origin(origin))
    }

    /// The failure of a call that ended well with a request that the node cannot go on with; watchers hear of it.
    #[must_use]
    pub fn refuse_request(&self, event: Event, cause: &str, facts: &Facts) -> HookError {
        self.refuse(event, facts, |reporter| reporter.unusable(cause))
    }

    fn refuse(
        &self,
        event: Event,
        facts: &Facts,
        error: impl FnOnce(Reporter<'_>) -> HookError,
    ) -> HookError {
        let error =
            error(self.reporter(event, &CallLog::without(&self.inner.own.secrets, self.inner.bounds.log)));
        self.tell_failure(event, facts, &error);
        error
    }

    /// An answer that cannot be sent; watchers hear of it.
    pub(crate) fn unusable(&self, state: &CallState, cause: &str) -> HookError {
        let error = self.reporter(state.event, &state.log).unusable(cause);
        self.tell_failure(state.event, &state.facts, &error);
        error
    }

    /// Tells whoever watches of a call that failed before it began, or after what it has logged was told.
    fn tell_failure(&self, event: Event, facts: &Facts, error: &HookError) {
        let log = CallLog::without(&self.inner.own.secrets, self.inner.bounds.log);
        self.tell_late(event, &log, &facts.request_id, Some(error));
    }

    pub(crate) fn reporter<'a>(&'a self, event: Event, log: &'a CallLog) -> Reporter<'a> {
        self.inner.reporter(event, log)
    }

    /// Tells whoever watches what came of a call after it had answered: what it has logged since, or a failure.
    pub(crate) fn tell_late(
        &self,
        event: Event,
        log: &CallLog,
        request_id: &HeaderValue,
        error: Option<&HookError>,
    ) {
        let Some(watch) = &self.watch else { return };
        if error.is_some() || !log.kept().0.is_empty() {
            let (request_id, cpu) = (request_id.to_str().unwrap_or_default(), Duration::ZERO);
            let event = Some(event);
            watch.tell(
                log,
                CallRecord {
                    event,
                    request_id,
                    lines: &[],
                    dropped: 0,
                    lineage: None,
                    cpu,
                    memory: 0,
                    error,
                },
            );
        }
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.inner.weights
    }

    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.inner.places
    }

    pub(crate) fn limits(&self) -> &LimitSettings {
        &self.inner.limits
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn body_limit(&self) -> u64 {
        self.inner.limits.body.as_u64()
    }
}

impl Inner {
    fn called(&self, event: Event) -> Called {
        Called::Hook(Arc::clone(&self.own.name), event)
    }

    fn reporter<'a>(&'a self, event: Event, log: &'a CallLog) -> Reporter<'a> {
        Reporter {
            called: self.called(event),
            secrets: &self.own.secrets,
            limits: &self.limits,
            log,
            sources: &self.exports.component().sources,
            workers: self.engine.workers(),
        }
    }

    /// Runs a call, and puts its instance back for the next where that is what becomes of them.
    async fn perform(&self, instance: &mut Instance) -> wasmtime::Result<Answer> {
        let restorer = self.exports.component().restorer.as_ref();
        let Some(restorer) = restorer.filter(|_| self.kept.as_ref().is_some_and(Kept::are_restored)) else {
            return self.exports.perform(instance).await;
        };
        let (answer, new) = restore::watch(self.exports.perform(instance)).await;
        match &answer {
            Ok(Answer::Transform(_)) | Err(_) => {}
            Ok(Answer::Respond(_)) => instance.restore(restorer, new, 1).await,
            Ok(_) => instance.restore(restorer, new, 0).await,
        }
        answer
    }

    /// An instance for a call: a kept one, or what a new one will be made in.
    fn instance(
        &self,
        event: Event,
        messages: Messages,
        facts: &Facts,
        (now, deadline): (Instant, Instant),
    ) -> Instance {
        if let Some(mut kept) = self.kept.as_ref().and_then(|kept| kept.take(now)) {
            let around = self.surroundings(facts.clone(), &kept.log, deadline);
            kept.begin(CallState::new(event, messages, around));
            return kept;
        }
        let log = CallLog::without(&self.own.secrets, self.bounds.log);
        let around = self.surroundings(facts.clone(), &log, deadline);
        let state = CallState::new(event, messages, around);
        Instance::new(self.engine.wasmtime(), state, Meter::new(self.limits.cpu), now)
    }

    /// Takes the state of a call out of its instance. The instance goes on with the body, is kept, or is dropped; of a heavy call it
    /// is left, with the place that it takes.
    fn end(
        &self,
        mut instance: Instance,
        answer: wasmtime::Result<Answer>,
        place: OwnedSemaphorePermit,
    ) -> (Ended, Option<Remains>) {
        let memory = instance.store.data().memory.used();
        let answer = match answer {
            Ok(Answer::Transform(guest)) => match self.places.transform() {
                Ok(open) => {
                    let mut state = instance.store.data_mut().depart();
                    // What is said of the body from here on is told when that ends.
                    state.log = instance.log.take();
                    state.transformer = Some(Box::new(Transformer::new(instance, guest, open)));
                    return (Ended { answer: Ok(Answer::Next), state, memory }, None);
                }
                Err(none) => Err(none.into()),
            },
            other => other,
        };
        if let Some(kept) = self.kept.as_ref().filter(|kept| answer.is_ok() && kept.wants(&instance)) {
            let mut state = self.part(&mut instance);
            state.log = instance.log.take();
            kept.put(instance);
            return (Ended { answer, state, memory }, None);
        }
        if instance.meter.is_heavy() {
            let state = self.part(&mut instance);
            return (Ended { answer, state, memory }, Some((instance, place)));
        }
        (Ended { answer, state: instance.store.into_data(), memory }, None)
    }

    /// Takes the state of a call out of an instance that lives on, if only for a moment.
    fn part(&self, instance: &mut Instance) -> CallState {
        let state = instance.store.data_mut();
        let nobody = self.surroundings(state.facts.clone().forget(), &instance.log, state.deadline);
        let refused = state.memory.refused();
        let mut state = state.exchange(CallState::new(state.event, Messages::none(), nobody));
        // What the instance holds stays counted with it; why it failed goes.
        state.memory.remember(refused);
        state
    }

    fn surroundings(&self, facts: Facts, log: &CallLog, deadline: Instant) -> Surroundings {
        let limits = &self.limits;
        Surroundings {
            facts,
            own: Arc::clone(&self.own),
            log: log.clone(),
            deadline,
            memory: MemoryLimit::new(
                limits.memory.as_u64(),
                self.bounds.table_elements,
                Arc::clone(self.engine.memory()),
            ),
            bounds: self.bounds,
            allowance: Allowance {
                reach: Arc::clone(&self.reach),
                fetches: limits.fetches,
                bytes: limits.body.as_u64(),
            },
            can_transform: self.exports.transforms(),
        }
    }
}

/// What a heavy call leaves: the place is free when the memory is.
type Remains = (Instance, OwnedSemaphorePermit);

/// A call that failed, and the origin's body if it is still there.
pub(crate) struct FailedCall {
    pub(crate) error: HookError,
    pub(crate) body: Option<OriginBody>,
}

impl From<Box<FailedCall>> for HookError {
    fn from(failed: Box<FailedCall>) -> Self {
        failed.error
    }
}

/// What the calls of the hook will share.
fn own(engine: &Engine, name: &str, settings: &HookSettings, component: &[u8]) -> Result<Own, String> {
    let store = |name: &String| match engine.stores().get(name) {
        Some(store) => Ok((name.clone(), store)),
        None => Err(format!("kv: there is no [kv.{name}]")),
    };
    Ok(Own {
        name: name.into(),
        version: VersionId::of(component).as_str().into(),
        config: settings.config.clone(),
        secrets: Arc::new(Secrets::read(&settings.secrets).map_err(|cause| format!("secrets.{cause}"))?),
        has_store: settings.store.is_some(),
        stores: settings.kv.iter().map(store).collect::<Result<_, _>>()?,
        figures: engine.figures().of(name, settings.limits.metrics as usize),
        images: Arc::clone(engine.images()),
    })
}

pub(crate) fn check_limits(limits: &LimitSettings) -> Result<(), String> {
    /// Longer is no limit any more, and clocks overflow.
    const MAX_TIME: Duration = Duration::from_secs(3600);

    // The first tick counts whole: a call that has used it must be left another.
    if !(2 * TICK..=MAX_TIME).contains(&limits.cpu) {
        return Err(format!(
            "limits.cpu is {:?}; it must be at least {:?} and at most 1h",
            limits.cpu,
            2 * TICK
        ));
    }
    if limits.wall.is_zero() || limits.wall > MAX_TIME {
        return Err(format!("limits.wall is {:?}; it must be more than 0s and at most 1h", limits.wall));
    }
    if limits.memory.as_u64() > MAX_MEMORY {
        return Err(format!("limits.memory is {}; an instance can have 4GiB at most", limits.memory));
    }
    if limits.concurrency == 0 {
        return Err("limits.concurrency is 0; at least one call must be allowed".to_owned());
    }
    for (name, count, most) in [
        ("log-lines", u64::from(limits.log_lines), 10_000),
        ("log-line", limits.log_line.as_u64(), 64 << 10),
        ("responses", limits.responses.into(), 100_000),
        ("handles", limits.handles.into(), 1_000_000),
        ("header-count", limits.header_count.into(), 10_000),
        ("head", limits.head.as_u64(), 1 << 20),
        ("table-elements", limits.table_elements.into(), 10_000_000),
        ("trace", limits.trace.into(), MAX_TRACE as u64),
    ] {
        if !(1..=most).contains(&count) {
            return Err(format!("limits.{name} is {count}; it must be from 1 to {most}"));
        }
    }
    Ok(())
}
