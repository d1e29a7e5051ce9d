//! Tunnels: how many there are, and what each has carried.

use super::{LogLevel, Observer};
use http::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters of all tunnels.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    pub(super) open: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) to_viewers: AtomicU64,
    pub(super) to_origins: AtomicU64,
}

/// Room for one tunnel, taken until it is dropped.
#[derive(Debug)]
pub struct TunnelSlot(Arc<Observer>);

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides had said all.
    Closed,
    /// Nobody said anything for `limits.tunnel-idle`.
    Idle,
    /// A side broke off.
    Broken,
}

/// What is known of a tunnel that has ended.
#[derive(Debug)]
pub struct TunnelRecord<'a> {
    /// `X-Request-Id` of the request that opened it.
    pub request: &'a HeaderValue,
    /// The site.
    pub site: &'a str,
    /// The protocol.
    pub protocol: &'a HeaderValue,
    /// Bytes.
    pub to_viewer: u64,
    /// Bytes.
    pub to_origin: u64,
    /// From the agreement on.
    pub lasted: Duration,
    /// How.
    pub end: TunnelEnd,
}

impl Observer {
    /// Room for one more tunnel, if there are fewer than `most`.
    #[must_use]
    pub fn reserve_tunnel(observer: &Arc<Self>, most: u64) -> Option<TunnelSlot> {
        let more = |open: u64| (open < most).then_some(open + 1);
        let taken = observer.figures.tunnels.open.fetch_update(Relaxed, Relaxed, more);
        taken.ok().map(|_| TunnelSlot(Arc::clone(observer)))
    }
}

impl TunnelSlot {
    /// Writes down what the tunnel was.
    pub fn ended(&self, record: &TunnelRecord<'_>) {
        let tunnels = &self.0.figures.tunnels;
        tunnels.ended.fetch_add(1, Relaxed);
        tunnels.to_viewers.fetch_add(record.to_viewer, Relaxed);
        tunnels.to_origins.fetch_add(record.to_origin, Relaxed);
        if self.0.level == LogLevel::Requests {
            self.0.log.write(record.line());
        }
    }
}

impl Drop for TunnelSlot {
    fn drop(&mut self) {
        self.0.figures.tunnels.open.fetch_sub(1, Relaxed);
    }
}

impl TunnelRecord<'_> {
    fn line(&self) -> String {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let end = match self.end {
            TunnelEnd::Closed => "closed",
            TunnelEnd::Idle => "idle",
            TunnelEnd::Broken => "broken",
        };
        format!(
            "tunnel id={} site={} protocol={} to-viewer={} to-origin={} us={} end={end}",
            text(self.request),
            self.site,
            text(self.protocol),
            self.to_viewer,
            self.to_origin,
            self.lasted.as_micros(),
        )
    }
}
