//! Facts, log and config for the guest.

use http::Version;
use tokio::time::Instant;

use crate::bindings::selvedge::edge::{config, facts, log};
use crate::log::LogLevel;
use crate::state::CallState;

impl facts::Host for CallState {
    fn viewer_address(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.viewer_address.to_string())
    }

    fn viewer_country(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.country.as_deref().map(str::to_owned))
    }

    fn tls_version(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.tls_version.map(str::to_owned))
    }

    fn http_version(&mut self) -> wasmtime::Result<String> {
        let name = match self.facts.http_version {
            Version::HTTP_3 => "HTTP/3",
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        Ok(name.to_owned())
    }

    fn request_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.request_id.as_ref().to_owned())
    }

    fn node(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.node.as_ref().to_owned())
    }

    fn site(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.site.as_ref().to_owned())
    }

    fn route(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.route.as_ref().to_owned())
    }

    fn time_left(&mut self) -> wasmtime::Result<u32> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }
}

impl log::Host for CallState {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.line(level, &message);
        Ok(())
    }
}

impl config::Host for CallState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.config.get(&key).cloned())
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.config.keys().cloned().collect())
    }
}
