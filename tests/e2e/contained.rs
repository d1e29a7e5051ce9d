//! Hooks that misbehave: contained within their limits, named, counted, and nobody else notices.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use http_body_util::Full;
use tests::{Answer, Node, Origin, Reply, eventually};

use crate::{SITE, guest, site};

/// What a guest does, and what the node says of it.
const DEEDS: [(&str, &str); 12] = [
    ("loop", "hook-deadline"),
    ("fill", "hook-deadline"),
    ("flood-for-ever", "hook-deadline"),
    ("grow", "hook-memory"),
    ("recurse", "hook-trap"),
    ("trap", "hook-trap"),
    ("unreachable", "hook-trap"),
    ("exit", "hook-trap"),
    ("many-responses", "hook-output"),
    ("huge-answer", "hook-output"),
    ("garbage", "hook-output"),
    ("sleep", "hook-timeout"),
];

const EVENTS: [&str; 4] = ["viewer-request", "origin-request", "origin-response", "viewer-response"];

/// An instance for each call, or one that is used again.
const KINDS: [(&str, &str); 2] = [("fresh", ""), ("reused", "reuse = {}\n")];

/// What hooks are held to. Those that sleep are away for a minute, so what they are held to may be short; the others must not run
/// into it on a busy machine.
const LIMITS: &str = "cpu = \"800ms\", memory = \"16MiB\", output = \"1MiB\"";
const WALLS: [(&str, &str); 2] = [("", "60s"), ("-brief", "1s")];

/// Hooks `fresh-fail`, `reused-pass-brief` and so on at all events, each on the paths below `/fresh-fail/`; other paths have none.
async fn node(origin: &Origin, on_error: &str) -> Node {
    let wasm = guest::misbehaving().display();
    let (mut routes, mut hooks) = (String::new(), String::new());
    for (kind, reuse) in KINDS {
        for (brief, wall) in WALLS {
            let name = format!("{kind}-{on_error}{brief}");
            let path = format!("path = \"/{name}/*\"\nhooks = [\"{name}\"]\nmethods = \"all\"");
            write!(routes, "[[site.\"www.test\".route]]\n{path}\ncache = \"kept\"\n").unwrap();
            write!(
                hooks,
                "[hook.{name}]\nwasm = \"{wasm}\"\non = {EVENTS:?}\nlimits = {{ {LIMITS}, wall = \"{wall}\" }}\n\
                 on-error = \"{on_error}\"\nconfig = {{ do = \"as-queried\" }}\n{reuse}"
            )
            .unwrap();
        }
    }
    let rest = "[[site.\"www.test\".route]]\npath = \"/*\"\ncache = \"kept\"\n[cache-policy.kept]\n";
    Node::start(&format!("{}\n{routes}{rest}{hooks}", site(origin))).await
}

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::cacheable("as ever"));
    origin
}

/// The hook of this kind for a deed.
fn hook(kind: &str, on_error: &str, deed: &str) -> String {
    format!("{kind}-{on_error}{}", if deed == "sleep" { "-brief" } else { "" })
}

/// Asks for a deed at an event: the answer, and how long it took.
async fn provoke(node: &Node, hook: &str, deed: &str, event: &str) -> (Reply, Duration) {
    let begun = Instant::now();
    let reply = node.viewer().get(&format!("{SITE}/{hook}/{deed}/{event}?do={deed}&at={event}")).await;
    (reply, begun.elapsed())
}

/// At the last event a hook makes no answer of its own: there nothing can be wrong with one.
fn token<'a>(deed: &str, event: &str, token: &'a str) -> &'a str {
    if deed == "garbage" && event == "viewer-response" { "hook-failed" } else { token }
}

/// The value of this sample at `/metrics`.
async fn sample(node: &Node, name: &str) -> Option<u64> {
    let metrics = node.ask_admin("/metrics").await.text();
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test]
async fn whatever_a_hook_does_wherever_it_ends_in_an_error_that_is_named_and_counted() {
    let origin = origin().await;
    let node = node(&origin, "fail").await;
    for (kind, _) in KINDS {
        for event in EVENTS {
            let all = DEEDS.map(|(deed, _)| {
                let (node, hook) = (&node, hook(kind, "fail", deed));
                async move { provoke(node, &hook, deed, event).await }
            });
            for ((deed, said), (reply, took)) in DEEDS.into_iter().zip(all_of(all).await) {
                let (hook, said) = (hook(kind, "fail", deed), token(deed, event, said));
                let what = format!("{deed} at {event}, {kind}: {}", reply.header("proxy-status"));
                assert_eq!(reply.status, 502, "{what}");
                assert!(reply.header("proxy-status").contains(said), "{what}");
                assert!(!reply.text().contains("as ever"), "{what}");
                // Its limits are far below; the rest is for a machine that is busy with something else.
                assert!(took < Duration::from_secs(30), "{what} took {took:?}");
                node.log_contains(&format!("{said} story=\"hook \\\"{hook}\\\" at {event} ")).await;
                let labels = format!("hook=\"{hook}\",event=\"{event}\",reason=\"{said}\"");
                let count = sample(&node, &format!("selvedge_hook_failures_total{{{labels}}}")).await;
                assert!(count >= Some(1), "{labels}");
            }
        }
    }
    let metrics = node.ask_admin("/metrics").await.text();
    let failures = metrics.lines().filter(|line| line.starts_with("selvedge_hook_failures_total{"));
    let failures = failures.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    assert_eq!(failures.sum::<usize>(), KINDS.len() * EVENTS.len() * DEEDS.len(), "each once: {metrics}");
}

/// All at once: those that sleep are waited for once.
fn all_of<T, const N: usize>(futures: [impl Future<Output = T>; N]) -> impl Future<Output = Vec<T>> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    async move {
        std::future::poll_fn(|context| {
            for (future, output) in &mut futures {
                if output.is_none()
                    && let std::task::Poll::Ready(done) = future.as_mut().poll(context)
                {
                    *output = Some(done);
                }
            }
            match futures.iter().all(|(_, output)| output.is_some()) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
        futures.into_iter().filter_map(|(_, output)| output).collect()
    }
}

#[tokio::test]
async fn a_hook_that_may_be_passed_over_fails_as_if_it_were_not_there() {
    let origin = origin().await;
    let node = node(&origin, "pass").await;
    for (kind, _) in KINDS {
        for event in EVENTS {
            let all = DEEDS.map(|(deed, _)| {
                let (node, hook) = (&node, hook(kind, "pass", deed));
                async move { provoke(node, &hook, deed, event).await }
            });
            for ((deed, said), (reply, _)) in DEEDS.into_iter().zip(all_of(all).await) {
                let (hook, said) = (hook(kind, "pass", deed), token(deed, event, said));
                // What a hook held when its time was over is gone with it.
                let is_lost = deed == "sleep" && event == "origin-response";
                let expected = if is_lost { (502, false) } else { (200, true) };
                let what = format!("{deed} at {event}, {kind}: {}", reply.text());
                assert_eq!((reply.status, reply.text() == "as ever"), expected, "{what}");
                node.log_contains(&format!("{said} story=\"hook \\\"{hook}\\\" at {event} ")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_a_hook_that_fails_and_the_failure_is_told() {
    const DEEDS: [(&str, &str); 3] =
        [("trap", "hook-trap"), ("loop", "hook-deadline"), ("sleep", "hook-timeout")];
    let origin = Origin::start().await;
    origin
        .on("*", |_| Answer::ok("of yesterday").header("cache-control", "max-age=3600, stale-if-error=600"));
    let places =
        || DEEDS.iter().flat_map(|deed| ["origin-request", "origin-response"].map(|event| (deed, event)));
    let config = |is_good: bool| {
        let mut config = site(&origin);
        for ((deed, _), event) in places() {
            let told = if is_good { "nothing" } else { deed };
            write!(
                config,
                "[[site.\"www.test\".route]]\npath = \"/{deed}-{event}\"\nhooks = [\"{deed}-{event}\"]\n\
                 [hook.{deed}-{event}]\nwasm = \"{}\"\non = \"{event}\"\nlimits = {{ cpu = \"200ms\", wall = \"3s\" }}\n\
                 on-error = \"stale\"\nconfig = {{ do = \"{told}\" }}\n",
                guest::misbehaving().display()
            )
            .unwrap();
        }
        config
    };
    let node = Node::start(&config(true)).await;
    for ((deed, _), event) in places() {
        assert_eq!(node.viewer().get(&format!("{SITE}/{deed}-{event}")).await.status, 200);
    }

    node.reconfigure(&config(false)).await;
    node.log_contains("reloaded").await;
    let admin = node.admin().to_string();
    let purged = node.folder().run(&["purge", "--site", "www.test", "--admin", &admin]).await;
    assert_eq!(purged.code, Some(0), "{}", purged.stderr);

    for ((deed, said), event) in places() {
        let hook = format!("{deed}-{event}");
        let reply = node.viewer().get(&format!("{SITE}/{hook}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "of yesterday"), "{hook}");
        assert!(reply.header("cache-status").contains("stale-if-error"), "{hook}");
        let line = node.log_contains(&format!("{said} story=\"hook \\\"{hook}\\\" at {event} ")).await;
        assert!(line.ends_with("outcome=stale"), "{line}");
    }
}

#[tokio::test]
async fn requests_beside_them_are_answered_as_ever() {
    let origin = origin().await;
    let node = node(&origin, "fail").await;
    let misdeeds = async {
        for _ in 0..3 {
            let all = DEEDS.map(|(deed, _)| {
                let (node, hook) = (&node, hook("fresh", "fail", deed));
                async move { provoke(node, &hook, deed, "viewer-request").await }
            });
            all_of(all).await.iter().for_each(|(reply, _)| assert_eq!(reply.status, 502));
        }
    };
    let others = async {
        let mut answered = 0;
        loop {
            let reply = node.viewer().get(&format!("{SITE}/page")).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "as ever"));
            // Through the same hook, which does nothing wrong there.
            let reply = node.viewer().get(&format!("{SITE}/fresh-fail/page/{answered}")).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "as ever"));
            answered += 1;
            if answered == 100 {
                return;
            }
        }
    };
    tokio::join!(misdeeds, others);
}

#[tokio::test]
async fn nobody_waits_for_a_hook_that_sleeps() {
    let origin = origin().await;
    let routes = "[[site.\"www.test\".route]]\npath = \"/sleep\"\nhooks = [\"sleep\"]\n[[site.\"www.test\".route]]\npath = \"/*\"\n";
    let hook = format!(
        "[hook.sleep]\nwasm = \"{}\"\non = \"viewer-request\"\nlimits = {{ wall = \"50m\" }}\nconfig = {{ do = \"sleep\" }}\n",
        guest::misbehaving().display()
    );
    let node = Node::start(&format!("{}\n{routes}{hook}", site(&origin))).await;
    let url = format!("{SITE}/sleep");
    let viewers = [node.viewer(), node.viewer(), node.viewer(), node.viewer()];
    let sleepers = all_of(viewers.each_ref().map(|viewer| viewer.get(&url)));
    let others = async {
        for _ in 0..50 {
            assert_eq!(node.viewer().get(&format!("{SITE}/page")).await.text(), "as ever");
        }
    };

    tokio::select! {
        () = others => {}
        _ = sleepers => panic!("they sleep for a minute"),
    }
}

#[tokio::test]
async fn whoever_finds_no_place_is_told_when_to_come_back() {
    let origin = origin().await;
    let hook = format!(
        "[hook.sleep]\nwasm = \"{}\"\non = \"viewer-request\"\nlimits = {{ wall = \"50m\", concurrency = 1, queue = 0 }}\n\
         config = {{ do = \"sleep\" }}\n",
        guest::misbehaving().display()
    );
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nhooks = [\"sleep\"]\n";
    let node = Node::start(&format!("{}\n{route}{hook}", site(&origin))).await;
    let (first, second) = (node.viewer(), node.viewer());

    let refused = tokio::select! {
        reply = first.get(SITE) => reply,
        reply = second.get(SITE) => reply,
    };

    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.header("proxy-status").contains("hook-busy"), "{}", refused.header("proxy-status"));
    let name = "selvedge_hook_failures_total{hook=\"sleep\",event=\"viewer-request\",reason=\"hook-busy\"}";
    assert_eq!(sample(&node, name).await, Some(1));
}

/// What the guest says of the request before, in the same instance.
async fn tells(node: &Node, hook: &str, path: &str) -> String {
    let url = format!("{SITE}/{hook}/{path}?do=tell-on&at=viewer-request");
    node.viewer().get(&url).await.text()
}

#[tokio::test]
async fn no_request_leaves_anything_to_another() {
    let origin = origin().await;
    let node = node(&origin, "fail").await;
    for number in 0..50 {
        assert_eq!(tells(&node, "fresh-fail", &format!("secret-{number}")).await, "before: ");
    }
}

#[tokio::test]
async fn the_memory_of_an_instance_that_failed_is_never_used_again() {
    let origin = origin().await;
    let node = node(&origin, "fail").await;
    // An answer that cannot be sent says nothing against the instance that gave it.
    for (deed, _) in DEEDS.into_iter().filter(|(deed, _)| *deed != "garbage") {
        let (hook, path) = (hook("reused", "fail", deed), format!("secret-of-{deed}"));
        tells(&node, &hook, &path).await;
        // It does remember, as its settings allow, on whichever core it waits: so this test can fail.
        eventually("an instance that is used again", async || {
            (tells(&node, &hook, &path).await == format!("before: /{hook}/{path}")).then_some(())
        })
        .await;

        provoke(&node, &hook, deed, "viewer-request").await;

        assert_eq!(tells(&node, &hook, "next").await, "before: ", "{deed}");
    }
}

#[tokio::test]
async fn a_body_that_a_hook_never_reads_keeps_nobody() {
    let origin = origin().await;
    let wasm = guest::misbehaving().display();
    let hook = format!(
        "[hook.idle]\nwasm = \"{wasm}\"\non = {EVENTS:?}\nreads-body = true\nlimits = {{ body = \"1KiB\" }}\nconfig = {{ do = \"nothing\" }}\n"
    );
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\nhooks = [\"idle\"]\n";
    let node = Node::start(&format!("{}\n{route}{hook}", site(&origin))).await;
    let request = http::Request::post(format!("{SITE}/form")).body(Full::from(vec![b'x'; 1 << 20])).unwrap();

    let reply = node.viewer().send(request).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "as ever"));
    assert!(origin.bytes_received() > 1 << 20);
}
