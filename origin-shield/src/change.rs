//! What an operator wants to be told when it happens: an origin is passed over, or is back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;

/// An origin's standing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name of the origin.
    pub origin: Arc<str>,
    /// What changed.
    pub event: Event,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A group passes it over for a while, because of requests.
    PassedOver {
        /// The name of the group.
        group: Arc<str>,
        /// How it failed.
        failure: Failure,
        /// For how long.
        span: Duration,
    },
    /// It answered a request of the group well again.
    Back {
        /// The name of the group.
        group: Arc<str>,
    },
    /// Active checks found it down.
    Down {
        /// What the last check found: a type of RFC 9209, `status` or `body`.
        token: &'static str,
        /// The same in words.
        detail: String,
    },
    /// Active checks found it up again.
    Up,
}

/// Whoever is told.
pub type Witness = Arc<dyn Fn(&Change) + Send + Sync>;

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        match &self.event {
            Event::PassedOver { group, failure, span } => {
                let seconds = span.as_secs_f64();
                write!(
                    formatter,
                    "origin={origin} group={group} passed-over={failure:?} seconds={seconds}",
                    failure = failure.to_string()
                )
            }
            Event::Back { group } => write!(formatter, "origin={origin} group={group} back"),
            Event::Down { token, detail } => {
                write!(formatter, "origin={origin} down reason={token} story={detail:?}")
            }
            Event::Up => write!(formatter, "origin={origin} up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_one_line() {
        let line = |event| Change { origin: "app".into(), event }.to_string();
        let group: Arc<str> = "main".into();
        let failure = Failure::Status(503);
        let span = Duration::from_secs(30);
        let passed = line(Event::PassedOver { group: group.clone(), failure, span });
        assert_eq!(passed, "origin=app group=main passed-over=\"status 503\" seconds=30");
        assert_eq!(line(Event::Back { group }), "origin=app group=main back");
        let down = line(Event::Down { token: "status", detail: "503\nis not 200".into() });
        assert_eq!(down, "origin=app down reason=status story=\"503\\nis not 200\"");
        assert_eq!(line(Event::Up), "origin=app up");
    }
}
