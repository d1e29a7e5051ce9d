//! Components that answer requests in the node itself: origins like any other, to groups, hooks and the cache.

use crate::config::Config;
use crate::headers::{X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::observe::Observer;
use crate::process;
use bytes::Bytes;
use hooks::{
    Asked, Engine, Granted, HookError, LimitSettings, Outside, Responder, ResponderSettings, WasmSource,
    Watch,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use origin_shield::{
    Answering, BoxError, Failure, Material, OriginSettings, OutgoingBody, Program, Target, Unanswered,
    Variable,
};
use std::path::Path;
use std::sync::Arc;

/// Who answers where a request names nobody, as an active check does.
const NOBODY: &str = "localhost";

/// What the words of components are kept under, before the origin's name: hooks have theirs.
pub const WORDS: &str = "origin.";

/// Under which name the words of a component are kept.
#[must_use]
pub fn words_of(origin: &str) -> String {
    [WORDS, origin].concat()
}

/// Among the extensions of a request: the way to the node's origins, on behalf of the viewer's request.
#[derive(Debug, Clone)]
pub struct Way(pub Arc<dyn Outside>);

/// A component that is an origin.
#[derive(Debug)]
pub struct Component {
    responder: Responder,
    version: String,
}

impl Component {
    /// Loads the component that the origin called `name` is; `None` for an origin that is none.
    ///
    /// # Errors
    /// What is wrong with the component or what is said about it.
    pub fn load(
        engine: &Engine,
        config: &Config,
        name: &str,
        settings: &OriginSettings,
        observer: &Arc<Observer>,
    ) -> Option<Result<Arc<dyn Program>, String>> {
        let Ok(Target::Program(file)) = settings.target() else { return None };
        let settings = responder_settings(config, file, settings);
        let component = Responder::load(engine, name, &settings).map(|responder| {
            let responder = listened_to(responder, name, observer);
            // Neither a secret's value nor whom it may ask by an address is in its own settings.
            let version =
                format!("{} {} {:?}", responder.version(), responder.surroundings(), settings.fetch);
            Arc::new(Self { responder, version }) as Arc<dyn Program>
        });
        Some(component)
    }
}

/// What it says goes to whoever asks for it: `hook logs`.
fn listened_to(responder: Responder, name: &str, observer: &Arc<Observer>) -> Responder {
    let (observer, name, version) = (Arc::clone(observer), words_of(name), responder.version().to_owned());
    responder.watched(Watch::words(move |call| observer.hook_said(&name, &version, call, process::now())))
}

fn responder_settings(config: &Config, file: &Path, settings: &OriginSettings) -> ResponderSettings {
    let limits = settings.limits.clone().unwrap_or_default();
    let mut said = ResponderSettings {
        wasm: WasmSource::File(file.to_owned()),
        limits: LimitSettings {
            cpu: limits.cpu,
            wall: limits.wall,
            memory: limits.memory,
            concurrency: limits.concurrency,
            queue: limits.queue,
            fetches: limits.fetches,
            handles: limits.handles,
            head: limits.head,
            log_line: limits.log_line,
            log_lines: limits.log_lines,
            table_elements: limits.table_elements,
            trace: limits.trace,
            ..LimitSettings::default()
        },
        after_head: limits.after_head,
        variables: Default::default(),
        secrets: Default::default(),
        fetch: settings.fetch.iter().map(|name| granted(config, name)).collect(),
    };
    for (name, variable) in settings.env.clone() {
        match variable {
            Variable::Open(value) => drop(said.variables.insert(name, value)),
            Variable::Secret(Material::Env(variable)) => {
                said.secrets.insert(name, hooks::Material::Env(variable));
            }
            Variable::Secret(Material::File(file)) => {
                said.secrets.insert(name, hooks::Material::File(file));
            }
        }
    }
    said
}

/// An origin at one address without a path may be named by that too: programs that were written for elsewhere do so.
fn granted(config: &Config, name: &str) -> Granted {
    let url = config.origin.get(name).and_then(|origin| match origin.target() {
        Ok(Target::Url(url)) if url.prefix().is_empty() => url.to_string().parse().ok(),
        _ => None,
    });
    Granted { name: name.into(), address: url }
}

impl Program for Component {
    fn answer(&self, request: Request<OutgoingBody>) -> Answering<'_> {
        Box::pin(answer(&self.responder, request))
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn reaches_out(&self) -> bool {
        self.responder.reaches_out()
    }
}

async fn answer(
    responder: &Responder,
    request: Request<OutgoingBody>,
) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, Unanswered> {
    let (mut head, body) = request.into_parts();
    let outside = head.extensions.remove::<Way>().map(|way| way.0);
    head.uri = target(&head).map_err(|error| Unanswered {
        failure: Failure::RequestInvalid,
        detail: format!("no URL for this request: {error}"),
    })?;
    let body = match body {
        OutgoingBody::Stream(body) => body,
        OutgoingBody::Empty => Empty::new().map_err(|never| match never {}).boxed_unsync(),
    };
    let asked = Asked { request: Request::from_parts(head, body), outside };
    let response = responder.respond(asked).await.map_err(|error| unanswered(&error))?;
    Ok(response.map(BodyExt::boxed_unsync))
}

/// The URL as the viewer asked for it.
fn target(head: &Parts) -> Result<Uri, http::Error> {
    let field = |name: HeaderName| first(&head.headers, &name);
    Uri::builder()
        .scheme(field(X_FORWARDED_PROTO).unwrap_or("http"))
        .authority(field(X_FORWARDED_HOST).unwrap_or(NOBODY))
        .path_and_query(head.uri.path_and_query().map_or("/", |target| target.as_str()))
        .build()
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a component's failure comes to for an origin, in the words of RFC 9209 section 2.3.
fn unanswered(error: &HookError) -> Unanswered {
    let failure = match error {
        HookError::Deadline { .. } | HookError::Timeout { .. } => Failure::ResponseTimeout,
        HookError::Busy { .. }
        | HookError::Instances { .. }
        | HookError::Crowded { .. }
        | HookError::Engine { .. } => Failure::ConnectionLimit,
        HookError::Output { .. } => Failure::ResponseInvalid,
        _ => Failure::ConnectionTerminated,
    };
    Unanswered { failure, detail: error.to_string() }
}
