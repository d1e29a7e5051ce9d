//! What an operator says about how much failover a group may afford, and about members that fail more than others.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many requests may be made again elsewhere: beyond that the viewer gets the failure, so that an outage never
/// multiplies the load. A request that no origin heard of, for want of a connection, may always be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RetryBudget {
    /// Failovers as a share of the group's requests: 0 to 1.
    #[serde(deserialize_with = "super::share::deserialize")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// Failovers that are allowed beside, a second, for groups with little traffic.
    pub min_per_second: u32,
    /// The time over which both are counted.
    #[serde(with = "super::duration::timeout")]
    #[schemars(with = "String")]
    pub over: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { share: 0.2, min_per_second: 10, over: Duration::from_secs(10) }
    }
}

/// When a member that answers with listed statuses is passed over, though it answers. Counted is what another member
/// answered well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EjectSettings {
    /// After so many in a row. At least 1.
    #[serde(deserialize_with = "super::count::deserialize")]
    #[schemars(range(min = 1))]
    pub after: u32,
    /// Or when they are at least this share of its requests: 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "rate")]
    pub rate: Option<f64>,
    /// As long as it had fewer requests, their rate says nothing.
    pub min_requests: u32,
    /// The time over which `rate` and `min-requests` are counted.
    #[serde(with = "super::duration::timeout")]
    #[schemars(with = "String")]
    pub over: Duration,
    /// How much of the group may be passed over for statuses at once: 0 to 1. One member always may.
    #[serde(deserialize_with = "super::share::deserialize")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// A member is passed over for the group's `remember`, and twice as long each time until it was well for this long; never
    /// longer than this.
    #[serde(with = "super::duration::span")]
    #[schemars(with = "String")]
    pub max: Duration,
}

impl Default for EjectSettings {
    fn default() -> Self {
        Self {
            after: 5,
            rate: None,
            min_requests: 20,
            over: Duration::from_secs(10),
            share: 0.5,
            max: Duration::from_secs(300),
        }
    }
}

fn rate<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    super::share::deserialize(deserializer).map(Some)
}
