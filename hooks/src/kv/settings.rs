//! The `[kv.<name>]` table.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key-value store that hooks share, in this node's memory and saved to its state folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KvSettings {
    /// Memory for keys and values, beside `node.memory`; what was used longest ago makes room.
    #[schemars(with = "String")]
    pub size: ByteSize,
    /// The largest value.
    #[schemars(with = "String")]
    pub value: ByteSize,
    /// How long a value lives when its hook does not say. Default: until it has to make room.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ttl: Option<Duration>,
    /// How often what changed is saved: a crash loses no more than that.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub save: Duration,
}

impl Default for KvSettings {
    fn default() -> Self {
        Self { size: ByteSize::mib(16), value: ByteSize::kib(64), ttl: None, save: Duration::from_secs(5) }
    }
}
