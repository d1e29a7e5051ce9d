//! Settings of origin groups and hooks that are allowed but have no effect.

use super::{Loaded, Warning, wording};
use hooks::Doubt;
use origin_shield::{Condition, GroupSettings};

/// What a group says about choosing between members.
const OF_SEVERAL: [&str; 8] =
    ["weights", "attempts", "failover-on", "methods", "remember", "retry-budget", "eject", "slow-start"];

/// Every setting of an origin group that does nothing where it stands.
pub fn idle_settings(loaded: &Loaded) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |path: &[&str], message: String| {
        let Some((file, at)) = loaded.sources.place_of(path) else { return };
        warnings.push(Warning { file: file.into(), line: at.line, column: at.column, message });
    };
    for (name, group) in &loaded.config.origin_group {
        let doubt = OF_SEVERAL.into_iter().find_map(|setting| {
            let is_written = loaded.sources.sets(&["origin-group", name, setting]);
            Some((setting, is_written.then(|| doubt(setting, group))??))
        });
        if let Some((setting, reason)) = doubt {
            warn(&["origin-group", name, setting], format!("[origin-group.{name}] {setting}: {reason}"));
        }
    }
    warnings
}

/// What is odd about hooks, once their components are known, at the settings.
pub fn doubtful_hooks(loaded: &Loaded, doubts: &[(String, Doubt)]) -> Vec<Warning> {
    let warning = |(hook, doubt): &(String, Doubt)| {
        let (file, at) = loaded.sources.place_of(&["hook", hook, doubt.setting])?;
        let message = format!("[hook.{}] {doubt}", wording::key(hook));
        Some(Warning { file: file.into(), line: at.line, column: at.column, message })
    };
    doubts.iter().filter_map(warning).collect()
}

/// What is wrong with versions of hooks that were deployed, at the hooks' components.
pub fn amiss_hooks(loaded: &Loaded, amiss: &[(String, String)]) -> Vec<Warning> {
    let warning = |(hook, words): &(String, String)| {
        let (file, at) = loaded.sources.place_of(&["hook", hook, "wasm"])?;
        Some(Warning { file: file.into(), line: at.line, column: at.column, message: words.clone() })
    };
    amiss.iter().filter_map(warning).collect()
}

fn doubt(setting: &str, group: &GroupSettings) -> Option<&'static str> {
    let lists_no_status =
        !group.failover_on.iter().any(|condition| matches!(condition, Condition::Status(_)));
    match setting {
        _ if group.members.len() == 1 => {
            Some("the group has one member, so there is nobody else to ask; name another one")
        }
        "attempts" if group.attempts == 1 => {
            Some("only one member is asked for a request, so nobody stands in for it; give at least 2")
        }
        "eject" if lists_no_status => {
            Some("failover-on lists no status, and nothing else is counted; list some, as in 503")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warnings(text: &str) -> Vec<String> {
        let origins = "[origin.a]\nurl = \"http://a\"\n[origin.b]\nurl = \"http://b\"\n";
        let loaded = Loaded::parse(&format!("{origins}{text}"), "a.toml", Path::new(".")).unwrap();
        idle_settings(&loaded).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_no_effect_is_told_at_its_place() {
        for (text, place, reason) in [
            ("[origin-group.g]\nmembers = [\"a\"]\nremember = \"3s\"", "a.toml:7:", "one member"),
            ("[origin-group.g]\nmembers = [\"a\", \"b\"]\nattempts = 1", "a.toml:7:", "at least 2"),
            (
                "[origin-group.g]\nmembers = [\"a\", \"b\"]\nfailover-on = [\"connect\"]\neject = {}",
                "a.toml:8:",
                "lists no status",
            ),
        ] {
            let found = warnings(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(place) && found[0].contains(reason), "{found:?}");
        }
    }

    #[test]
    fn what_has_an_effect_is_not_doubted() {
        let group =
            "[origin-group.g]\nmembers = [\"a\", \"b\"]\nattempts = 2\nremember = \"3s\"\neject = {}\n";
        assert_eq!(warnings(group), Vec::<String>::new());
        assert_eq!(warnings("[origin-group.g]\nmembers = [\"a\"]\n"), Vec::<String>::new());
    }
}
