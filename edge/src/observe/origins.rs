//! Figures of origins and their groups. Names come from the config, so there are as many labels as it has members.

use crate::node::Node;
use origin_shield::{Group, GroupState, MemberState};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// The figures of these groups in Prometheus' text format.
#[must_use]
pub fn origins(groups: &HashMap<String, Arc<Group>>, now: Instant) -> String {
    let states = groups.iter().map(|(name, group)| (name.as_str(), group.state(now)));
    text(&states.collect())
}

fn text(groups: &BTreeMap<&str, GroupState>) -> String {
    let mut text = String::new();
    let budget = |of: fn(origin_shield::BudgetState) -> u64| move |state: &GroupState| state.budget.map(of);
    for (name, help, kind, of) in [
        (
            "selvedge_failovers_total",
            "Requests for which another member of the group was asked.",
            "counter",
            &(|state: &GroupState| state.budget.map(|_| state.failovers))
                as &dyn Fn(&GroupState) -> Option<u64>,
        ),
        (
            "selvedge_retry_budget_left",
            "Failovers that the group may afford now.",
            "gauge",
            &budget(|budget| budget.left),
        ),
        (
            "selvedge_retry_budget_refused_total",
            "Failovers that were not made because the group's retry budget was spent.",
            "counter",
            &budget(|budget| budget.refused),
        ),
    ] {
        let values = groups.iter().filter_map(|(group, state)| Some((label("group", group), of(state)?)));
        family(&mut text, (name, help, kind), values);
    }
    let members =
        || groups.iter().flat_map(|(group, state)| state.members.iter().map(move |member| (*group, member)));
    for (name, help, kind, of) in [
        (
            "selvedge_member_trusted",
            "Whether a group asks this member as if it had never failed.",
            "gauge",
            (|member| Some(u64::from(member.trust.word() == "well"))) as fn(&MemberState) -> Option<u64>,
        ),
        (
            "selvedge_member_skipped_total",
            "How often a group began to pass this member over because of requests.",
            "counter",
            |member| Some(member.times_skipped),
        ),
    ] {
        let values = members().filter_map(|(group, member)| {
            Some((format!("{},{}", label("group", group), label("origin", &member.origin)), of(member)?))
        });
        family(&mut text, (name, help, kind), values);
    }
    let checked: BTreeMap<_, _> = members()
        .filter_map(|(_, member)| Some((label("origin", &member.origin), member.health.clone()?)))
        .collect();
    let up = checked.iter().map(|(label, health)| (label.clone(), u64::from(health.is_up)));
    family(&mut text, ("selvedge_origin_up", "Whether active checks find the origin up.", "gauge"), up);
    let checks = checked.iter().flat_map(|(label, health)| {
        [("passed", health.passed), ("failed", health.failed)]
            .map(|(outcome, count)| (format!("{label},outcome=\"{outcome}\""), count))
    });
    family(&mut text, ("selvedge_origin_checks_total", "Active checks, by outcome.", "counter"), checks);
    text
}

/// The figures of rehearsals in Prometheus' text format; nothing where there are none.
#[must_use]
pub fn faults(node: &Node) -> String {
    let mut text = String::new();
    let states: BTreeMap<_, _> =
        node.faults().map(|fault| (label("origin", fault.origin()), fault.state())).collect();
    if states.is_empty() {
        return text;
    }
    let active = states.iter().map(|(label, state)| (label.clone(), u64::from(state.is_active)));
    family(
        &mut text,
        ("selvedge_fault_active", "Whether requests to the origin fail on purpose.", "gauge"),
        active,
    );
    let injected = states.iter().flat_map(|(label, state)| {
        [("delay", state.delayed), ("abort", state.aborted)]
            .map(|(kind, count)| (format!("{label},kind=\"{kind}\""), count))
    });
    let help = "Requests that a rehearsal delayed or made fail.";
    family(&mut text, ("selvedge_faults_injected_total", help, "counter"), injected);
    text
}

/// Names may be URLs, and TOML lets them hold anything.
pub(super) fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

pub(super) fn family(
    text: &mut String,
    (name, help, kind): (&str, &str, &str),
    values: impl IntoIterator<Item = (String, u64)>,
) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, value) in values {
        let _ = writeln!(text, "{name}{{{labels}}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use origin_shield::{BudgetState, HealthState, Trust};
    use std::time::Duration;

    #[test]
    fn groups_members_and_checks_have_figures() {
        let member = |origin: &str, trust| MemberState {
            origin: origin.into(),
            trust,
            weight: None,
            last_failure: None,
            skipped_for: Duration::ZERO,
            times_skipped: 3,
            health: Some(HealthState { is_up: false, passed: 1, failed: 2, last_failure: None }),
        };
        let budget = BudgetState { requests: 9, spent: 1, left: 5, refused: 4 };
        let group = GroupState { members: vec![member("a", Trust::Out)], budget: Some(budget), failovers: 7 };
        let alone = GroupState { members: vec![member("a", Trust::Well)], budget: None, failovers: 0 };
        let text = text(&BTreeMap::from([("ma\"in", group), ("a", alone)]));
        for line in [
            r#"selvedge_failovers_total{group="ma\"in"} 7"#,
            r#"selvedge_retry_budget_left{group="ma\"in"} 5"#,
            r#"selvedge_retry_budget_refused_total{group="ma\"in"} 4"#,
            r#"selvedge_member_trusted{group="ma\"in",origin="a"} 0"#,
            r#"selvedge_member_trusted{group="a",origin="a"} 1"#,
            r#"selvedge_member_skipped_total{group="a",origin="a"} 3"#,
            r#"selvedge_origin_up{origin="a"} 0"#,
            r#"selvedge_origin_checks_total{origin="a",outcome="failed"} 2"#,
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} in\n{text}");
        }
        assert!(!text.contains(r#"failovers_total{group="a"}"#), "a group of one has no failovers");
    }
}
