//! `[cache] disk`: whether there is a second tier, where and how large.

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// The smallest second tier.
pub(super) const LEAST: u64 = 1 << 20;

/// A second tier on disk, under the one in memory. It survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DiskSettings {
    /// Its folder, which nobody else uses; made if it is not there. Relative to the state folder of the node.
    pub path: PathBuf,
    /// How many bytes it may take on disk, at least 1MiB. An object may take one part in 64 of it, at most 512MiB.
    #[serde(deserialize_with = "size")]
    #[schemars(with = "String")]
    pub size: ByteSize,
    /// How many bytes may wait to be written; what comes while so many wait is not kept.
    #[serde(default = "queue")]
    #[schemars(with = "String")]
    pub queue: ByteSize,
}

impl DiskSettings {
    /// A tier of `size` bytes in a folder.
    #[must_use]
    pub fn new(path: PathBuf, size: ByteSize) -> Self {
        Self { path, size, queue: queue() }
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if size >= ByteSize(LEAST) {
        return Ok(size);
    }
    Err(serde::de::Error::custom("this must be at least 1MiB"))
}

fn queue() -> ByteSize {
    ByteSize::mib(64)
}
