//! Instances that are put back after a call: the next finds what the component was built with, and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hooks::{CallRecord, Fresh, Hook, HookError, HookSettings, Lineage, RequestOutcome, Watch};
use support::{facts, on_one_core, request, told};

/// A hook, and how its calls came by their instances.
struct Watched {
    hook: Hook,
    lineages: Arc<Mutex<Vec<Lineage>>>,
}

impl Watched {
    fn new(hook: Hook) -> Self {
        let lineages = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lineages);
        let watch = Watch::calls(move |call: &CallRecord<'_>| seen.lock().unwrap().extend(call.lineage));
        Self { hook: hook.watched(watch), lineages }
    }

    /// The guest that does what the path says.
    fn as_asked(adjust: impl FnOnce(&mut HookSettings)) -> Self {
        Self::new(told("as-asked", |settings| {
            settings.limits.cpu = Duration::from_millis(50);
            adjust(settings);
        }))
    }

    /// How many calls the instance remembers, this one included, or why there is no answer.
    async fn ask(&self, path: &str) -> Result<String, HookError> {
        match self.hook.viewer_request(request(path, &[]), &facts()).await? {
            RequestOutcome::Next(parts, _) => {
                assert_eq!(parts.uri, path, "each call has its own request");
                Ok(parts.headers["x-calls"].to_str().unwrap().to_owned())
            }
            RequestOutcome::Respond(response) => panic!("answered {response:?}"),
        }
    }

    fn lineages(&self) -> Vec<Lineage> {
        mem::take(&mut self.lineages.lock().unwrap())
    }
}

/// Until a call has an instance that was put back: one that had to wait long for a busy machine is dropped like one that worked long.
const TRIES: usize = 500;

#[test]
fn an_instance_that_has_answered_remembers_nothing_and_serves_every_event_of_its_hook() {
    let watched = Watched::as_asked(|_| {});
    on_one_core(async {
        let mut seen = [false; 2];
        for _ in 0..TRIES {
            assert_eq!(watched.ask("/").await.unwrap(), "1");
            seen[0] |= watched.lineages() == [Lineage::Restored];
            let head = http::Response::new(()).into_parts().0;
            let edited = watched.hook.viewer_response(&request("/", &[]), head, &facts()).await.unwrap();
            assert_eq!(edited.headers["x-frame-options"], "DENY");
            seen[1] |= watched.lineages() == [Lineage::Restored];
            if seen == [true; 2] {
                return;
            }
        }
        panic!("no instance was put back: {seen:?}");
    });
}

#[test]
fn who_wants_an_instance_made_for_each_call_has_it() {
    let watched = Watched::as_asked(|settings| settings.fresh = Fresh::Made);
    on_one_core(async {
        for _ in 0..3 {
            assert_eq!(watched.ask("/").await.unwrap(), "1");
        }
    });
    assert_eq!(watched.lineages(), [Lineage::Made; 3]);
}

#[test]
fn an_instance_that_became_more_than_its_memory_is_not_put_back() {
    let watched = Watched::as_asked(|_| {});
    on_one_core(async {
        // It trapped, ran into a limit, grew, or has a handle that nobody will ever drop.
        for path in ["/trap", "/loop", "/grow", "/hoard"] {
            let _ = watched.ask(path).await;
            watched.lineages();
            assert_eq!(watched.ask("/").await.unwrap(), "1", "after {path}");
            assert_eq!(watched.lineages(), [Lineage::Made], "after {path}");
        }
    });
}

#[test]
fn an_instance_whose_hook_says_no_is_put_back() {
    let watched = Watched::as_asked(|_| {});
    on_one_core(async {
        for _ in 0..TRIES {
            assert_eq!(watched.ask("/fail").await.unwrap_err().token(), "hook-failed");
            watched.lineages();
            assert_eq!(watched.ask("/").await.unwrap(), "1");
            if watched.lineages() == [Lineage::Restored] {
                return;
            }
        }
        panic!("none was put back");
    });
}

#[test]
fn whatever_came_before_the_answer_is_that_of_an_instance_made_for_the_call() {
    const PATHS: [&str; 7] = ["/", "/say", "/fail", "/trap", "/grow", "/hoard", "/take"];

    let [restored, made] =
        [Fresh::Restored, Fresh::Made].map(|fresh| Watched::as_asked(|settings| settings.fresh = fresh));
    let mut random = fastrand::Rng::with_seed(3);
    on_one_core(async {
        for _ in 0..200 {
            let path = PATHS[random.usize(..PATHS.len())];
            let answers = [&restored, &made].map(|watched| watched.ask(path));
            let [one, other] = answers;
            let (one, other) = (one.await, other.await);
            let said = |answer: Result<String, HookError>| answer.map_err(|error| error.to_string());
            assert_eq!(said(one), said(other), "{path}");
        }
    });
    assert!(restored.lineages().contains(&Lineage::Restored));
    assert!(!made.lineages().contains(&Lineage::Restored));
}

#[test]
fn calls_of_many_threads_at_the_same_time_find_nothing_of_one_another() {
    let watched = Watched::as_asked(|_| {});
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                on_one_core(async {
                    for path in ["/", "/say", "/grow", "/", "/hoard"].into_iter().cycle().take(100) {
                        assert_eq!(watched.ask(path).await.unwrap(), "1");
                    }
                });
            });
        }
    });
    assert!(watched.lineages().contains(&Lineage::Restored));
}
