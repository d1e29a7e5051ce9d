//! Settings of a hook that do not fit what its component can do.

use std::fmt;

use crate::hook::Hook;
use crate::settings::HookSettings;

/// A setting that has no effect, or one that is missing for what the component is made for. Nothing fails by it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The setting's name in the hook's table.
    pub setting: &'static str,
    /// What is odd about it, and what to do.
    pub words: &'static str,
}

impl fmt::Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.setting, self.words)
    }
}

/// An interface that a setting opens.
struct Gate {
    interface: &'static str,
    setting: &'static str,
    is_open: fn(&HookSettings) -> bool,
    /// What to say when the component goes through and the setting is closed.
    closed: &'static str,
    /// What to say when the setting is open and the component does not go through.
    idle: &'static str,
}

const GATES: [Gate; 3] = [
    Gate {
        interface: "selvedge:edge/secrets@0.1.0",
        setting: "secrets",
        is_open: |settings| !settings.secrets.is_empty(),
        closed: "the component reads secrets, and none is there; name them, as in { jwt = { env = \"JWT_KEY\" } }",
        idle: "the component reads no secrets; leave them out",
    },
    Gate {
        interface: "selvedge:edge/kv@0.1.0",
        setting: "kv",
        is_open: |settings| !settings.kv.is_empty(),
        closed: "the component opens key-value stores, and may open none; name them, and give each a [kv.NAME]",
        idle: "the component opens no key-value stores; leave them out",
    },
    Gate {
        interface: "selvedge:edge/fetch@0.1.0",
        setting: "fetch",
        is_open: |settings| !settings.fetch.is_empty(),
        closed: "the component asks origins, and may ask none; name those that it may",
        idle: "the component asks no origins; leave them out",
    },
];

impl Hook {
    /// What is odd about these settings, for this component.
    #[must_use]
    pub fn doubts(&self, settings: &HookSettings) -> Vec<Doubt> {
        let imports = self.imports();
        let wants = |gate: &Gate| imports.iter().any(|name| name == gate.interface);
        // Some languages import the whole contract whatever a hook does with it: that tells nothing.
        let tells = !GATES.iter().all(wants);
        GATES.iter().filter_map(|gate| gate.doubt(wants(gate), tells, settings)).collect()
    }
}

impl Gate {
    fn doubt(&self, is_wanted: bool, tells: bool, settings: &HookSettings) -> Option<Doubt> {
        let words = match (is_wanted, (self.is_open)(settings)) {
            (true, false) if tells => self.closed,
            (false, true) => self.idle,
            _ => return None,
        };
        Some(Doubt { setting: self.setting, words })
    }
}
