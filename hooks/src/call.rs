//! One call of one event: a fresh instance, the guest's answer.

use wasmtime::component::{InstancePre, Resource};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::body_transform::BodyTransformHookPre;
use crate::bindings::origin_request::OriginRequestHookPre;
use crate::bindings::origin_request::exports::selvedge::edge::origin_request;
use crate::bindings::origin_response::OriginResponseHookPre;
use crate::bindings::origin_response::exports::selvedge::edge::origin_response;
use crate::bindings::viewer_request::ViewerRequestHookPre;
use crate::bindings::viewer_request::exports::selvedge::edge::viewer_request;
use crate::bindings::viewer_response::ViewerResponseHookPre;
use crate::event::Event;
use crate::meter::Meter;
use crate::state::{CallState, PASSING};
use crate::transform::Transformer;

/// Epoch ticks before the first look at a call, so that even the unluckiest begin has a whole tick.
const FIRST_LOOK: u64 = 2;

/// The events that a component answers, ready to be instantiated.
pub(crate) struct Exports {
    viewer_request: Option<ViewerRequestHookPre<CallState>>,
    origin_request: Option<OriginRequestHookPre<CallState>>,
    origin_response: Option<OriginResponseHookPre<CallState>>,
    /// Instead of the last, where the component rewrites bodies as they pass.
    body_transform: Option<BodyTransformHookPre<CallState>>,
    viewer_response: Option<ViewerResponseHookPre<CallState>>,
}

/// What a guest answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Next,
    RouteTo(String),
    /// Handle of the response.
    Respond(u32),
    Failed(String),
}

/// A call that came to its end, with the state it leaves.
pub(crate) struct Ended {
    pub(crate) answer: wasmtime::Result<Answer>,
    pub(crate) state: CallState,
}

impl Exports {
    /// Finds the exports for `events`; the error names the first that is missing.
    pub(crate) fn find(
        component: &InstancePre<CallState>,
        events: &[Event],
    ) -> Result<Self, (Event, wasmtime::Error)> {
        let mut exports = Self {
            viewer_request: None,
            origin_request: None,
            origin_response: None,
            body_transform: None,
            viewer_response: None,
        };
        for &event in events {
            let component = component.clone();
            match event {
                Event::ViewerRequest => {
                    ViewerRequestHookPre::new(component).map(|found| exports.viewer_request = Some(found))
                }
                Event::OriginRequest => {
                    OriginRequestHookPre::new(component).map(|found| exports.origin_request = Some(found))
                }
                Event::OriginResponse => {
                    exports.body_transform = BodyTransformHookPre::new(component.clone()).ok();
                    OriginResponseHookPre::new(component).map(|found| exports.origin_response = Some(found))
                }
                Event::ViewerResponse => {
                    ViewerResponseHookPre::new(component).map(|found| exports.viewer_response = Some(found))
                }
            }
            .map_err(|error| (event, error))?;
        }
        Ok(exports)
    }

    /// Whether the component rewrites bodies as they pass.
    pub(crate) fn transforms(&self) -> bool {
        self.body_transform.is_some()
    }

    /// Runs one call in a store of its own.
    pub(crate) async fn perform(&self, mut store: Store<CallState>) -> Ended {
        if store.data().event == Event::OriginResponse
            && let Some(export) = &self.body_transform
        {
            return body_transform(export, store).await;
        }
        let answer = match store.data().event {
            Event::ViewerRequest => self.viewer_request(&mut store).await,
            Event::OriginRequest => self.origin_request(&mut store).await,
            Event::OriginResponse => self.origin_response(&mut store).await,
            Event::ViewerResponse => self.viewer_response(&mut store).await,
        };
        Ended { answer, state: store.into_data() }
    }

    async fn viewer_request(&self, store: &mut Store<CallState>) -> wasmtime::Result<Answer> {
        use viewer_request::Outcome;
        let Some(export) = &self.viewer_request else { return Ok(Answer::Next) };
        let guest = export.instantiate_async(&mut *store).await?;
        let answer = guest
            .selvedge_edge_viewer_request()
            .call_on_viewer_request(store, Resource::new_borrow(0))
            .await?;
        Ok(match answer {
            Ok(Outcome::Next) => Answer::Next,
            Ok(Outcome::Respond(response)) => Answer::Respond(response.rep()),
            Err(message) => Answer::Failed(message),
        })
    }

    async fn origin_request(&self, store: &mut Store<CallState>) -> wasmtime::Result<Answer> {
        use origin_request::Outcome;
        let Some(export) = &self.origin_request else { return Ok(Answer::Next) };
        let guest = export.instantiate_async(&mut *store).await?;
        let answer = guest
            .selvedge_edge_origin_request()
            .call_on_origin_request(store, Resource::new_borrow(0))
            .await?;
        Ok(match answer {
            Ok(Outcome::Next) => Answer::Next,
            Ok(Outcome::RouteTo(origin)) => Answer::RouteTo(origin),
            Ok(Outcome::Respond(response)) => Answer::Respond(response.rep()),
            Err(message) => Answer::Failed(message),
        })
    }

    async fn origin_response(&self, store: &mut Store<CallState>) -> wasmtime::Result<Answer> {
        use origin_response::Outcome;
        let Some(export) = &self.origin_response else { return Ok(Answer::Next) };
        let guest = export.instantiate_async(&mut *store).await?;
        let (request, response) = (Resource::new_borrow(0), Resource::new_borrow(PASSING));
        let answer =
            guest.selvedge_edge_origin_response().call_on_origin_response(store, request, response).await?;
        Ok(match answer {
            Ok(Outcome::Next) => Answer::Next,
            Ok(Outcome::Replace(response)) => Answer::Respond(response.rep()),
            Err(message) => Answer::Failed(message),
        })
    }

    async fn viewer_response(&self, store: &mut Store<CallState>) -> wasmtime::Result<Answer> {
        let Some(export) = &self.viewer_response else { return Ok(Answer::Next) };
        let guest = export.instantiate_async(&mut *store).await?;
        let (request, response) = (Resource::new_borrow(0), Resource::new_borrow(PASSING));
        let answer =
            guest.selvedge_edge_viewer_response().call_on_viewer_response(store, request, response).await?;
        Ok(answer.map_or_else(Answer::Failed, |()| Answer::Next))
    }
}

/// The origin-response event of a guest that may go on with the body: then its store lives on in the state that it leaves.
async fn body_transform(export: &BodyTransformHookPre<CallState>, mut store: Store<CallState>) -> Ended {
    use crate::bindings::body_transform::exports::selvedge::edge::origin_response::Outcome;
    let called = async {
        let guest = export.instantiate_async(&mut store).await?;
        let (request, response) = (Resource::new_borrow(0), Resource::new_borrow(PASSING));
        let event = guest.selvedge_edge_origin_response();
        let answer = event.call_on_origin_response(&mut store, request, response).await?;
        wasmtime::Result::Ok((answer, guest))
    };
    let answer = match called.await {
        Ok((Ok(Outcome::Next), guest)) if store.data_mut().goes_on() => {
            let mut state = store.data_mut().depart();
            state.transformer = Some(Box::new(Transformer::new(store, guest)));
            return Ended { answer: Ok(Answer::Next), state };
        }
        Ok((Ok(Outcome::Next), _)) => Ok(Answer::Next),
        Ok((Ok(Outcome::Replace(response)), _)) => Ok(Answer::Respond(response.rep())),
        Ok((Err(message), _)) => Ok(Answer::Failed(message)),
        Err(error) => Err(error),
    };
    Ended { answer, state: store.into_data() }
}

/// Gives the guest its first ticks, at the begin of a call or of its next piece.
pub(crate) fn begin(store: &mut Store<CallState>) {
    store.set_epoch_deadline(FIRST_LOOK);
}

/// A store that holds the call to its limits.
pub(crate) fn store(
    engine: &wasmtime::Engine,
    state: CallState,
    meter: std::sync::Arc<Meter>,
) -> Store<CallState> {
    /// Handles that a guest may hold at once.
    const MAX_HANDLES: usize = 1024;
    /// What any one call to the host may carry beside a body: names, values, log lines.
    const SMALL_CALL_BYTES: usize = 1 << 20;

    let carried = state.output.saturating_add(SMALL_CALL_BYTES);
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(carried);
    store.set_max_component_handles(MAX_HANDLES);
    begin(&mut store);
    store.epoch_deadline_callback(move |_| {
        meter.tick()?;
        // At every tick others get their turn, and a call that nobody waits for any more ends here.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}
