//! `/hooks`: which hooks the node has.

use crate::node::Node;
use serde_json::{Map, Value, json};

/// Every hook by its name.
pub(super) fn hooks(node: &Node) -> Map<String, Value> {
    node.config.hook.iter().map(|(name, hook)| (name.clone(), json!({ "on": hook.on }))).collect()
}
