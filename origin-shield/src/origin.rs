//! One origin, of whatever kind.

mod http;
mod shield;

use std::fmt;
use std::sync::Arc;

use ::http::Response;
use ::http::request::Parts;

use crate::body::OriginBody;
use crate::error::OriginError;
use crate::failure::Cause;
use crate::settings::{OriginSettings, Target};
use crate::upload::OutgoingBody;

/// Where a miss is fetched from: its settings, and its open connections on every core.
pub struct Origin {
    name: Arc<str>,
    settings: OriginSettings,
    kind: Kind,
}

enum Kind {
    Http(Box<http::HttpOrigin>),
    Shields(shield::Shields),
}

/// An origin that gave no answer.
pub(crate) struct NoAnswer {
    pub(crate) cause: Cause,
    /// The body, if it can still be sent to another origin.
    pub(crate) body: Option<OutgoingBody>,
}

impl Origin {
    /// Builds the origin called `name`. Reads the certificates that the settings name; opens no connection and resolves no name.
    ///
    /// # Errors
    /// Files or variables that cannot be used, or TLS settings that do not fit together.
    pub fn build(name: &str, settings: &OriginSettings) -> Result<Arc<Self>, OriginError> {
        let name = Arc::from(name);
        let kind = match settings.target() {
            Ok(Target::Url(url)) => Kind::Http(Box::new(http::HttpOrigin::build(&name, url, settings)?)),
            Ok(Target::Bucket(..)) => {
                let cause = "requests to buckets cannot be signed yet".to_owned();
                return Err(OriginError::Bucket { origin: name, cause });
            }
            Ok(Target::Shields(shields)) => Kind::Shields(shield::Shields::build(&name, shields, settings)?),
            Err(cause) => return Err(OriginError::Target { origin: name, cause }),
        };
        Ok(Arc::new(Self { name, settings: settings.clone(), kind }))
    }

    /// What the config file calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was built from.
    pub fn settings(&self) -> &OriginSettings {
        &self.settings
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Sends one request and waits for the head of its answer, on a new connection if an old one turns out to be dead.
    pub(crate) async fn exchange(
        &self,
        head: &Parts,
        body: OutgoingBody,
    ) -> Result<Response<OriginBody>, NoAnswer> {
        match &self.kind {
            Kind::Http(origin) => origin.exchange(head, body).await,
            Kind::Shields(shields) => shields.exchange(head, body).await,
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
