//! What the node thinks of its origins, for `GET /status`.

use crate::node::Node;
use origin_shield::{BudgetState, Group, GroupState, HealthState, MemberState};
use serde_json::{Map, Value, json};
use std::time::Instant;

/// Every group, and every origin as a group of one, by name.
pub(super) fn groups(node: &Node, now: Instant) -> Map<String, Value> {
    node.groups.iter().map(|(name, state)| (name.clone(), group(state.state(now)))).collect()
}

/// The members of a group as they stand, in order.
#[must_use]
pub fn members(group: &Group, now: Instant) -> Value {
    group.state(now).members.into_iter().map(member).collect()
}

fn group(state: GroupState) -> Value {
    let GroupState { members, budget, failovers } = state;
    json!({
        "members": members.into_iter().map(member).collect::<Vec<_>>(),
        "failovers": failovers,
        "retry_budget": budget.map(|BudgetState { requests, spent, left, refused }| json!({
            "requests": requests, "spent": spent, "left": left, "refused": refused,
        })),
    })
}

fn member(state: MemberState) -> Value {
    let health = |HealthState { is_up, passed, failed, last_failure }| json!({ "up": is_up, "passed": passed, "failed": failed, "last_failure": last_failure });
    json!({
        "origin": &*state.origin,
        "state": state.trust.word(),
        "weight": state.weight,
        "last_failure": state.last_failure.map(|failure| failure.to_string()),
        "skipped_for_ms": u64::try_from(state.skipped_for.as_millis()).unwrap_or(u64::MAX),
        "times_skipped": state.times_skipped,
        "health": state.health.map(health),
    })
}
