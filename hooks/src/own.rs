//! What belongs to a hook and is the same for all of its calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::figures::HookFigures;
use crate::images::Images;
use crate::kv::Store;
use crate::secrets::Secrets;

/// Shared by the hook's calls, never copied.
pub(crate) struct Own {
    /// Name in the config.
    pub(crate) name: Arc<str>,
    /// The first twelve hexadecimal digits of the component's SHA-256.
    pub(crate) version: Arc<str>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) secrets: Arc<Secrets>,
    /// Whether what the hook makes is kept somewhere.
    pub(crate) has_store: bool,
    /// The key-value stores that it may open, by name.
    pub(crate) stores: Vec<(String, Arc<Store>)>,
    pub(crate) figures: Arc<HookFigures>,
    pub(crate) images: Arc<Images>,
}
