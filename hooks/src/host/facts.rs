//! Facts, log and config for the guest.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Version;
use tokio::time::Instant;

use crate::bindings::selvedge::edge::{config, facts, log};
use crate::facts::{Locality, Place};
use crate::log::LogLevel;
use crate::state::CallState;

/// A text of the node for the guest.
fn owned(text: &str) -> wasmtime::Result<String> {
    Ok(text.to_owned())
}

impl facts::Host for CallState {
    fn viewer_address(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.viewer_address.to_string())
    }

    fn viewer_port(&mut self) -> wasmtime::Result<Option<u16>> {
        Ok(self.facts.viewer_port)
    }

    fn viewer_country(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.place().country.clone())
    }

    fn viewer_continent(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.place().continent.map(str::to_owned))
    }

    fn viewer_asn(&mut self) -> wasmtime::Result<Option<u32>> {
        Ok(self.place().asn)
    }

    fn viewer_region(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.locality().region.clone())
    }

    fn viewer_city(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.locality().city.clone())
    }

    fn viewer_location(&mut self) -> wasmtime::Result<Option<(f64, f64)>> {
        Ok(self.locality().position)
    }

    fn viewer_time_zone(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.locality().time_zone.clone())
    }

    fn tls_version(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.tls.as_ref().map(|tls| tls.version.to_owned()))
    }

    fn tls_cipher(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.tls.as_ref().and_then(|tls| tls.cipher).map(str::to_owned))
    }

    fn tls_protocol(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.tls.as_ref().and_then(|tls| tls.protocol.clone()))
    }

    fn tls_server_name(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.tls.as_ref().and_then(|tls| tls.server_name.clone()))
    }

    fn http_version(&mut self) -> wasmtime::Result<String> {
        owned(match self.facts.http_version {
            Version::HTTP_3 => "HTTP/3",
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        })
    }

    fn grant_scheme(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.grant.as_ref().map(|grant| grant.scheme.to_owned()))
    }

    fn grant_key(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.grant.as_ref().map(|grant| grant.key.as_ref().to_owned()))
    }

    fn grant_expires(&mut self) -> wasmtime::Result<Option<u64>> {
        let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(self.facts.grant.as_ref().and_then(|grant| grant.expires).map(since_1970))
    }

    fn grant_resource(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.grant.as_ref().and_then(|grant| grant.resource.as_deref()).map(str::to_owned))
    }

    fn request_id(&mut self) -> wasmtime::Result<String> {
        owned(self.facts.request_id.to_str().unwrap_or_default())
    }

    fn node(&mut self) -> wasmtime::Result<String> {
        owned(&self.facts.node)
    }

    fn site(&mut self) -> wasmtime::Result<String> {
        owned(&self.facts.site)
    }

    fn route(&mut self) -> wasmtime::Result<String> {
        owned(&self.facts.route)
    }

    fn event(&mut self) -> wasmtime::Result<String> {
        owned(self.event.as_str())
    }

    fn hook(&mut self) -> wasmtime::Result<String> {
        owned(&self.own.name)
    }

    fn hook_version(&mut self) -> wasmtime::Result<String> {
        owned(&self.own.version)
    }

    fn is_canary(&mut self) -> wasmtime::Result<bool> {
        Ok(self.facts.is_canary)
    }

    fn time_left(&mut self) -> wasmtime::Result<u32> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }
}

impl CallState {
    /// Looked up once a call, if at all.
    fn place(&mut self) -> &Place {
        let facts = &self.facts;
        self.place.get_or_insert_with(|| facts.places.place(facts.viewer_address))
    }

    fn locality(&mut self) -> &Locality {
        let facts = &self.facts;
        self.locality.get_or_insert_with(|| Box::new(facts.places.locality(facts.viewer_address)))
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
        Ok(self.own.config.get(&key).cloned())
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.own.config.keys().cloned().collect())
    }
}
