//! Rehearsals that a config would begin, or that its author has forgotten.

use std::time::SystemTime;

use super::{Loaded, Warning};

/// Every origin that fails on purpose, or whose rehearsal is over at `now`.
pub fn rehearsals(loaded: &Loaded, now: SystemTime) -> Vec<Warning> {
    let faults =
        loaded.config.origin.iter().filter_map(|(name, origin)| Some((name, origin.fault.as_ref()?)));
    let warning = |(name, fault): (&String, &origin_shield::FaultSettings)| {
        let (file, at) = loaded.sources.place_of(&["origin", name, "fault"])?;
        let message = match fault.until.duration_since(now) {
            Ok(left) if !left.is_zero() => format!(
                "requests to [origin.{name}] fail on purpose for {} s more; remove `fault` when the rehearsal is over",
                left.as_secs()
            ),
            _ => format!(
                "the rehearsal of [origin.{name}] is over: remove `fault`, or give it another `until`"
            ),
        };
        Some(Warning { file: file.into(), line: at.line, column: at.column, message })
    };
    faults.filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rehearsal_is_warned_of_while_it_lasts_and_when_it_is_over() {
        let text = "[origin.app]\nurl = \"http://a\"\nfault = { until = \"1970-01-01T01:00:00Z\" }\n[origin.b]\nurl = \"http://b\"\n";
        let loaded = Loaded::parse(text, "a.toml", Path::new(".")).unwrap();
        for (after, words) in [(0, "fail on purpose for 3600 s more"), (3600, "is over"), (7200, "is over")] {
            let warnings = rehearsals(&loaded, SystemTime::UNIX_EPOCH + Duration::from_secs(after));
            let [warning] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(warning.message.contains(words), "{warning}");
            assert_eq!((warning.file.as_str(), warning.line), ("a.toml", 3));
        }
    }
}
