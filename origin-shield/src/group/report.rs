//! What a group says about a request, and about itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};

use super::BudgetState;
use crate::body::OriginBody;
use crate::failure::Failure;
use crate::health::HealthState;

/// An origin's answer. Its body may still fail.
#[derive(Debug)]
pub struct Reply {
    /// The answer, its body still arriving.
    pub response: Response<OriginBody>,
    /// Who gave it.
    pub origin: Arc<str>,
    /// What failed before, in order. When the answer itself was a failure that nothing was left to make up for, it is the last.
    pub attempts: Vec<Attempt>,
}

/// One member that was asked and did not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the origin.
    pub origin: Arc<str>,
    /// Why it did not help.
    pub failure: Failure,
    /// What the connection said about it, for the log; empty for a status.
    pub detail: String,
    /// Why nobody else was asked after it, where somebody could have been.
    pub halt: Option<Halt>,
}

/// What keeps a request from the members that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// The group's `retry-budget` is spent.
    Budget,
    /// As many members as `attempts` allows have been asked.
    Attempts,
}

/// Nobody answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Exhausted {
    /// The name of the group, or of the only origin.
    pub group: Arc<str>,
    /// Everyone who was asked, in order.
    pub attempts: Vec<Attempt>,
}

/// What a group thinks of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Its members, in order.
    pub members: Vec<MemberState>,
    /// How many failovers it may afford; `None` for a group of one.
    pub budget: Option<BudgetState>,
    /// Requests for which another member was asked, since the start.
    pub failovers: u64,
}

/// What a group thinks of one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// The name of the origin.
    pub origin: Arc<str>,
    /// What it is asked for.
    pub trust: Trust,
    /// What it is worth as the first to be asked; `None` where order decides.
    pub weight: Option<u32>,
    /// How it failed last, if it did not answer well since.
    pub last_failure: Option<Failure>,
    /// How long it is still passed over because of requests; zero if it is not.
    pub skipped_for: Duration,
    /// How often it was passed over because of requests, since the start.
    pub times_skipped: u64,
    /// What active checks say; `None` if there are none.
    pub health: Option<HealthState>,
}

/// What a member is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Everything.
    Well,
    /// A growing share: it has just come back.
    Warming,
    /// One request, to see whether it is back.
    Due,
    /// What nobody else answers.
    Out,
}

impl Trust {
    /// The word in status and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Warming => "warming",
            Self::Due => "due",
            Self::Out => "out",
        }
    }
}

impl Halt {
    /// The word in `Proxy-Status` and log.
    pub fn token(self) -> &'static str {
        match self {
            Self::Budget => "retry-budget",
            Self::Attempts => "attempts",
        }
    }
}

impl Exhausted {
    /// Why the last one that was asked did not answer; `None` for a group without members.
    pub fn failure(&self) -> Option<Failure> {
        self.attempts.last().map(|attempt| attempt.failure)
    }

    /// The status that RFC 9209 recommends for this: 504 if the last one was late, else 502, or 400 if the request itself broke.
    pub fn status(&self) -> StatusCode {
        self.failure().map_or(StatusCode::BAD_GATEWAY, Failure::status)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no answer from {}", self.group)?;
        for (index, attempt) in self.attempts.iter().enumerate() {
            write!(formatter, "{}{attempt}", if index == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.origin, self.failure)?;
        if !self.detail.is_empty() {
            write!(formatter, " ({})", self.detail)?;
        }
        match self.halt {
            Some(Halt::Budget) => formatter.write_str("; nobody else, for the retry budget is spent"),
            Some(Halt::Attempts) => formatter.write_str("; nobody else, for attempts allows no more"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_group_names_every_attempt() {
        let attempt = |origin: &str, failure, detail: &str| Attempt {
            origin: origin.into(),
            failure,
            detail: detail.into(),
            halt: None,
        };
        let attempts = vec![
            attempt("a", Failure::Status(503), ""),
            attempt("b", Failure::ResponseTimeout, "no head of an answer for 30s"),
        ];
        let mut exhausted = Exhausted { group: "main".into(), attempts };
        let text =
            "no answer from main: a: status 503; b: http_response_timeout (no head of an answer for 30s)";
        assert_eq!(exhausted.to_string(), text);
        assert_eq!(exhausted.status(), 504);
        exhausted.attempts[1].halt = Some(Halt::Budget);
        assert_eq!(exhausted.to_string(), format!("{text}; nobody else, for the retry budget is spent"));
        assert_eq!(Exhausted { group: "main".into(), attempts: vec![] }.status(), 502);
    }
}
