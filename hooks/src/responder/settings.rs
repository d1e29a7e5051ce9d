//! What a component is run with. The operator's words for it belong to the origin; here is what comes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::secrets::{Material, Secrets};
use crate::settings::{LimitSettings, WasmSource};

/// A component and how it is run.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponderSettings {
    /// The component's file.
    pub wasm: WasmSource,
    /// What one request may use: of these `cpu`, `wall`, `memory`, `concurrency`, `queue`, `fetches`, `handles`, `head` (of one set of
    /// fields), `log-line`, `log-lines`, `table-elements` and `trace`. `wall` counts until the instance is gone, whoever it waits for.
    pub limits: LimitSettings,
    /// How long it may go on with a body that nobody gets: after HEAD, 204 and 304.
    pub after_head: Duration,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// More of them, whose values the node never prints.
    pub secrets: BTreeMap<String, Material>,
    /// Whom it may send requests to.
    pub fetch: Vec<Granted>,
}

/// An origin or origin group that a component may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Its name in the config, which may stand as the host of a URL.
    pub name: Arc<str>,
    /// Scheme, host and port by which the component may also name it; for an origin at one address without a path.
    pub address: Option<Uri>,
}

impl ResponderSettings {
    /// The variables with the values of the secret ones.
    pub(super) fn environment(&self, secrets: &Secrets) -> Result<Arc<[(String, String)]>, String> {
        let secret = |name: &String| {
            let value = secrets.find(name).and_then(|handle| secrets.get(handle));
            let text = value.and_then(|value| std::str::from_utf8(value.bytes()).ok());
            let text = text.ok_or_else(|| format!("env.{name}: a variable must be UTF-8"))?;
            Ok((name.clone(), text.to_owned()))
        };
        let open = self.variables.iter().map(|(name, value)| Ok((name.clone(), value.clone())));
        open.chain(self.secrets.keys().map(secret)).collect()
    }
}
