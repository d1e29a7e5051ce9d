//! `[cache]`: how this node stores.

use crate::disk::DiskSettings;
use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// How this node stores, as `[cache]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CacheSettings {
    /// A second tier on disk, which survives a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskSettings>,
    /// How large objects are cut up.
    pub slice: SliceSettings,
}

/// Large objects are fetched and stored in slices, where their origin answers ranges and gives them a strong validator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SliceSettings {
    /// The size of a slice, 4KiB to 16MiB: a viewer of a large object costs the node a few of them in memory.
    #[serde(deserialize_with = "slice_size")]
    #[schemars(with = "String")]
    pub size: ByteSize,
    /// Objects over this size are stored in slices; those that are asked for by range before they are known, from one slice on.
    #[schemars(with = "String")]
    pub over: ByteSize,
}

impl Default for SliceSettings {
    /// Traffic Server's.
    fn default() -> Self {
        Self { size: ByteSize::mib(1), over: ByteSize::mib(8) }
    }
}

fn slice_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if (ByteSize::kib(4)..=ByteSize::mib(16)).contains(&size) {
        return Ok(size);
    }
    Err(serde::de::Error::custom("this must be from 4KiB to 16MiB"))
}
