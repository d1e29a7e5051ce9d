//! A request's work in steps, between which others have their turn.

/// Lets the core do first what has come in meanwhile; for tasks that are spawned.
///
/// A core looks at its sockets when it has nothing else to do: a fetch with hooks goes from one step to the next, on its viewer's task
/// and its own. Beside heavy work their code is cold, which makes of a fetch two turns of a third of a millisecond: a hit that comes
/// in the middle is to wait for a step of them, not for all.
pub async fn give_way() {
    tokio::task::yield_now().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[tokio::test]
    async fn what_has_come_in_meanwhile_is_done_first() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = tokio::net::UnixStream::from_std(ours).unwrap();
        let is_answered = Arc::new(AtomicBool::new(false));
        let answered = Arc::clone(&is_answered);
        let hit = tokio::spawn(async move {
            ours.readable().await.unwrap();
            answered.store(true, Relaxed);
        });
        let fetch = tokio::spawn(async move {
            give_way().await;
            assert!(!is_answered.load(Relaxed), "nothing has come yet");
            theirs.write_all(b"?").unwrap();
            give_way().await;
            is_answered.load(Relaxed)
        });
        assert!(fetch.await.unwrap(), "the step after was done before it");
        hit.await.unwrap();
    }
}
