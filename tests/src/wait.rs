//! Waiting for a state: always by polling or by a signal, always with a deadline, never by hoping that a pause suffices.

use std::future::Future;
use std::time::Duration;

/// The longest that any step of a story may take. Generous: it is spent only when something is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The output of `future`, or a failed story that says what it was waiting for.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("gave up after {DEADLINE:?} waiting for {what}"),
    }
}

/// The first `Some` that `attempt` gives, asked every 20 ms until the deadline.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
