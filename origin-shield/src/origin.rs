//! One origin, of whatever kind.

mod bucket;
mod http;
mod program;
mod shield;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::http::Response;
use ::http::request::Parts;

use crate::body::OriginBody;
use crate::change::Change;
use crate::clock;
use crate::dial::Names;
use crate::error::OriginError;
use crate::failure::Cause;
use crate::fault::Fault;
use crate::group::Attempt;
use crate::health::{Health, HealthState};
use crate::program::Program;
use crate::settings::{HealthSettings, OriginSettings, Target, TargetError};
use crate::upload::OutgoingBody;

pub use bucket::Withheld;

/// Where a miss is fetched from: its settings, and its open connections on every core.
pub struct Origin {
    name: Arc<str>,
    settings: OriginSettings,
    kind: Kind,
    fault: Option<Arc<Fault>>,
    health: Arc<Health>,
}

enum Kind {
    Http(Box<http::HttpOrigin>),
    Bucket(Arc<bucket::BucketOrigin>),
    Shields(shield::Shields),
    Program(program::ProgramOrigin),
}

/// An origin that gave no answer.
pub(crate) struct NoAnswer {
    pub(crate) cause: Cause,
    /// The body, if it can still be sent to another origin.
    pub(crate) body: Option<OutgoingBody>,
}

impl Origin {
    /// Builds the origin called `name`, an origin by itself, found by the machine's name servers.
    ///
    /// # Errors
    /// Those of [`Origin::build_with`].
    pub fn build(name: &str, settings: &OriginSettings) -> Result<Arc<Self>, OriginError> {
        Self::build_with(name, settings, &Names::new(&[], Duration::ZERO))
    }

    /// Builds the origin called `name`, found by these `names`. Reads the certificates that the settings name; opens no connection
    /// and resolves no name.
    ///
    /// # Errors
    /// Files or variables that cannot be used, or TLS settings that do not fit together.
    pub fn build_with(
        name: &str,
        settings: &OriginSettings,
        names: &Arc<Names>,
    ) -> Result<Arc<Self>, OriginError> {
        let name = Arc::from(name);
        let kind = Kind::build(&name, settings, names)?;
        Ok(Self::of_kind(name, settings, kind))
    }

    /// The origin called `name` that is this program, which the settings name by `wasm`.
    pub fn running(name: &str, settings: &OriginSettings, program: Arc<dyn Program>) -> Arc<Self> {
        let name: Arc<str> = name.into();
        let response_timeout = settings.response_timeout;
        let kind = program::ProgramOrigin { name: name.clone(), program, response_timeout };
        Self::of_kind(name, settings, Kind::Program(kind))
    }

    fn of_kind(name: Arc<str>, settings: &OriginSettings, kind: Kind) -> Arc<Self> {
        let fault = settings.fault.clone().map(|fault| Arc::new(Fault::new(Arc::clone(&name), fault)));
        Arc::new(Self { name, settings: settings.clone(), kind, fault, health: Arc::default() })
    }

    /// Which program it is, if it is one.
    pub fn program(&self) -> Option<&Arc<dyn Program>> {
        match &self.kind {
            Kind::Program(origin) => Some(&origin.program),
            Kind::Http(_) | Kind::Bucket(_) | Kind::Shields(_) => None,
        }
    }

    /// The same origin, found by other `names` and so on other connections. Its rehearsal and what active checks know of it go on.
    ///
    /// # Errors
    /// Those of [`Origin::build_with`].
    pub fn found_by(&self, names: &Arc<Names>) -> Result<Arc<Self>, OriginError> {
        let Self { name, settings, kind, fault, health } = self;
        let mut built = match kind {
            Kind::Program(program) => Kind::Program(program.clone()),
            _ => Kind::build(name, settings, names)?,
        };
        if let (Kind::Shields(shields), Kind::Shields(before)) = (&mut built, kind) {
            shields.keep_health(before);
        }
        Ok(Arc::new(Self {
            name: name.clone(),
            settings: settings.clone(),
            kind: built,
            fault: fault.clone(),
            health: health.clone(),
        }))
    }

    /// What the config file calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was built from.
    pub fn settings(&self) -> &OriginSettings {
        &self.settings
    }

    pub(crate) fn is_shields(&self) -> bool {
        matches!(self.kind, Kind::Shields(_))
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// The rehearsal of its failure, if the settings ask for one. Active checks do not notice it.
    pub fn fault(&self) -> Option<&Arc<Fault>> {
        self.fault.as_ref()
    }

    /// Whether active checks say that it must not be asked now: none of several shields.
    pub(crate) fn is_down(&self) -> bool {
        match &self.kind {
            Kind::Shields(shields) => shields.are_down(),
            Kind::Http(_) | Kind::Bucket(_) | Kind::Program(_) => self.health.is_down(),
        }
    }

    /// When active checks saw it come up again, in microseconds; 0 if they never saw it down.
    pub(crate) fn healed(&self) -> u64 {
        match &self.kind {
            // One of them is no measure of how much all can take.
            Kind::Shields(_) => 0,
            Kind::Http(_) | Kind::Bucket(_) | Kind::Program(_) => self.health.healed(),
        }
    }

    /// What active checks say; `None` if there are none.
    pub(crate) fn health(&self) -> Option<HealthState> {
        self.settings.health.as_ref()?;
        Some(match &self.kind {
            Kind::Shields(shields) => shields.health(),
            Kind::Http(_) | Kind::Bucket(_) | Kind::Program(_) => self.health.state(),
        })
    }

    /// Makes one active check, if the settings ask for any: of each where there are several shields. What changed by it.
    pub async fn check(&self, now: SystemTime) -> Vec<Change> {
        let Some(settings) = self.settings.health.as_ref() else { return Vec::new() };
        let found = match &self.kind {
            Kind::Http(origin) => origin.check(settings, None).await,
            Kind::Bucket(bucket) => Box::pin(bucket.check(settings)).await,
            Kind::Program(program) => Box::pin(program.check(settings)).await,
            // Each has its own health: an object's next shield is asked where its own is down.
            Kind::Shields(shields) => return shields.check(settings, now).await,
        };
        let event = self.health.note(found, settings, clock::now());
        event.map(|event| Change { origin: self.shared_name(), event }).into_iter().collect()
    }

    /// Opens connections on this thread before anybody needs them and keeps them open (`pool.warm`), for as long as the origin is
    /// there. Nothing happens where the settings ask for none, or it was asked for before. Within the runtime of the thread.
    pub fn keep_warm(&self) {
        match &self.kind {
            Kind::Http(origin) => origin.keep_warm(),
            Kind::Bucket(bucket) => bucket.keep_warm(),
            Kind::Shields(shields) => shields.keep_warm(),
            Kind::Program(_) => {}
        }
    }

    /// How long to wait before the next active check; `None` if the settings ask for none.
    pub fn next_check(&self) -> Option<Duration> {
        let HealthSettings { every, jitter, .. } = self.settings.health.as_ref()?;
        Some(every.mul_f64(1.0 + jitter * (2.0 * fastrand::f64() - 1.0)))
    }

    /// Sends one request and waits for the head of its answer, on a new connection if an old one turns out to be dead. Of several
    /// shields, those that were asked in vain before are noted.
    pub(crate) async fn exchange(
        &self,
        head: &mut Parts,
        body: OutgoingBody,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Response<OriginBody>, NoAnswer> {
        if let Some(fault) = &self.fault
            && let Err(cause) = fault.meet(self.settings.response_timeout).await
        {
            return Err(NoAnswer { cause, body: Some(body) });
        }
        match &self.kind {
            Kind::Http(origin) => origin.exchange(head, body).await,
            Kind::Shields(shields) => Box::pin(shields.exchange(head, body, attempts)).await,
            Kind::Bucket(bucket) => Box::pin(bucket.exchange(head, body)).await,
            Kind::Program(program) => Box::pin(program.exchange(head, body)).await,
        }
    }
}

impl Kind {
    fn build(name: &Arc<str>, settings: &OriginSettings, names: &Arc<Names>) -> Result<Self, OriginError> {
        match settings.target() {
            Ok(Target::Url(url)) => {
                let origin = http::HttpOrigin::build(name, url, settings, names)?;
                Ok(Self::Http(Box::new(origin)))
            }
            Ok(Target::Bucket(url)) => {
                let bucket = bucket::BucketOrigin::build(name, url, settings, names)?;
                Ok(Self::Bucket(Arc::new(bucket)))
            }
            Ok(Target::Shields(shields)) => {
                Ok(Self::Shields(shield::Shields::build(name, shields, settings, names)?))
            }
            Ok(Target::Program(_)) => {
                Err(OriginError::Target { origin: name.clone(), cause: TargetError::Unloaded })
            }
            Err(cause) => Err(OriginError::Target { origin: name.clone(), cause }),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Origin")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(target: &str) -> Arc<Origin> {
        let text = format!(
            r#"{target}
            health = {{ path = "/healthz", fails = 1 }}
            fault = {{ until = "2999-01-01T00:00:00Z", abort = {{ with = 503, percent = 100 }} }}"#
        );
        Origin::build("app", &toml::from_str(&text).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn other_name_servers_end_neither_a_rehearsal_nor_what_checks_know() {
        for target in ["url = \"http://127.0.0.1:1\"", "shield = [\"http://127.0.0.1:1\"]"] {
            let before = checked(target);
            before.check(SystemTime::UNIX_EPOCH).await;
            before.fault().unwrap().stop();
            let now = before.found_by(&Names::new(&[], Duration::from_secs(60))).unwrap();
            assert!(before.is_down() && now.is_down(), "{target}");
            assert!(now.fault().unwrap().state().end.is_some(), "{target}");
        }
    }
}
