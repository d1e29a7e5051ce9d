//! Connections are kept, given up, and replaced without the viewer noticing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use origin_shield::{Failure, Group, Origin, OutgoingBody, PoolSettings};

use crate::scripted::{Act, Scripted, answer, eventually, send};
use crate::{ask, failures, get, get_text, request, settings, single, text};

fn single_with_pool(url: &str, pool: PoolSettings) -> Group {
    let mut settings = settings(url);
    settings.pool = pool;
    Group::single(Origin::build("app", &settings).unwrap())
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let origin = Scripted::answering(answer("200 OK", "again")).await;
    let group = single(&origin.url());
    for _ in 0..20 {
        assert_eq!(get_text(&group).await, "again");
    }
    assert_eq!((origin.requests().len(), origin.accepted()), (20, 1));
}

#[tokio::test]
async fn answers_without_a_body_and_unread_but_whole_ones_give_their_connection_back() {
    let origin = Scripted::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let group = single(&origin.url());
    for _ in 0..5 {
        drop(get(&group).await.unwrap());
    }
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn a_body_given_up_half_way_closes_its_connection() {
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let origin = Scripted::start(move |place| match place.connection {
        0 => vec![send(part), Act::Hang],
        _ => vec![send(answer("200 OK", "fresh"))],
    })
    .await;
    let group = single(&origin.url());
    drop(get(&group).await.unwrap());
    origin.ended(1).await;
    assert_eq!(get_text(&group).await, "fresh");
}

#[tokio::test]
async fn an_origin_that_closes_between_requests_is_not_an_error() {
    let origin = Scripted::always(&[send(answer("200 OK", "once")), Act::Close]).await;
    let group = single(&origin.url());
    for _ in 0..20 {
        assert_eq!(get_text(&group).await, "once");
    }
    assert_eq!(origin.requests().len(), 20);
}

/// What the origin's keep-alive timer does at the worst moment: the request is on its way when the connection ends.
async fn closing_on_reuse(act: Act) -> Scripted {
    Scripted::start(move |place| match place.request {
        0 => vec![send(answer("200 OK", "fresh"))],
        _ => vec![act.clone()],
    })
    .await
}

#[tokio::test]
async fn a_repeatable_request_on_a_dying_connection_is_sent_again_on_a_new_one() {
    for act in [Act::Close, Act::Reset] {
        let origin = closing_on_reuse(act).await;
        let group = single(&origin.url());
        for _ in 0..10 {
            let reply = get(&group).await.unwrap();
            assert!(reply.attempts.is_empty(), "this is no failure of the origin");
            assert_eq!(text(reply).await, "fresh");
        }
        assert_eq!(origin.accepted(), 10);
        assert_eq!(group.state(std::time::Instant::now()).members[0].last_failure, None);
    }
}

#[tokio::test]
async fn a_post_on_a_dying_connection_is_not_sent_twice() {
    let origin = closing_on_reuse(Act::Close).await;
    let group = single(&origin.url());
    assert_eq!(get_text(&group).await, "fresh");
    let exhausted = ask(&group, "POST").await.unwrap_err();
    assert_eq!(failures(&exhausted), [("app", Failure::ConnectionTerminated)]);
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_new_connection_that_dies_is_a_failure() {
    let origin = Scripted::always(&[Act::Close]).await;
    let exhausted = get(&single(&origin.url())).await.unwrap_err();
    assert_eq!(exhausted.failure(), Some(Failure::ConnectionTerminated));
    assert_eq!(origin.accepted(), 1, "asking again would only double the load");
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_idle_time() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let pool = PoolSettings { idle: Duration::from_millis(50), ..PoolSettings::default() };
    let group = single_with_pool(&origin.url(), pool);
    get_text(&group).await;
    origin.ended(1).await;
    get_text(&group).await;
    origin.ended(2).await;
}

#[tokio::test]
async fn warm_connections_are_there_before_anybody_asks_and_again_when_they_are_lost() {
    let origin = Scripted::start(|place| match place.connection {
        0 | 1 => vec![send(answer("200 OK", "x")), Act::Close],
        _ => vec![send(answer("200 OK", "y"))],
    })
    .await;
    let mut settings = settings(&origin.url());
    settings.pool.warm = 2;
    let built = Origin::build("app", &settings).unwrap();
    built.keep_warm();
    built.keep_warm();
    eventually(|| origin.accepted() == 2).await;
    assert_eq!(origin.requests().len(), 0);

    let group = Group::single(built);
    assert_eq!(get_text(&group).await, "x");
    // That one is closed by the origin, and another takes its place.
    eventually(|| origin.accepted() == 3).await;
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn warm_connections_are_not_closed_for_being_unused() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let pool = PoolSettings { idle: Duration::from_millis(50), warm: 1, ..PoolSettings::default() };
    let group = single_with_pool(&origin.url(), pool);
    let (a, b, c) = tokio::join!(get(&group), get(&group), get(&group));
    for reply in [a, b, c] {
        text(reply.unwrap()).await;
    }
    origin.ended(2).await;
    get_text(&group).await;
    assert_eq!(origin.accepted(), 3, "the third was still open");
}

#[tokio::test]
async fn a_connection_that_is_too_old_gets_no_further_request() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let young = single_with_pool(&origin.url(), PoolSettings::default());
    get_text(&young).await;
    get_text(&young).await;
    assert_eq!(origin.accepted(), 1);

    let pool = PoolSettings { lifetime: Duration::from_millis(50), ..PoolSettings::default() };
    let short_lived = single_with_pool(&origin.url(), pool);
    get_text(&short_lived).await;
    // Unused, it is closed when its time is over, long before it would be for being idle.
    origin.ended(1).await;
    get_text(&short_lived).await;
    assert_eq!(origin.accepted(), 3);

    let none =
        single_with_pool(&origin.url(), PoolSettings { lifetime: Duration::ZERO, ..PoolSettings::default() });
    get_text(&none).await;
    get_text(&none).await;
    assert_eq!(origin.accepted(), 5);
}

#[tokio::test]
async fn an_origin_gets_no_more_connections_than_its_limit_and_who_waits_too_long_is_told() {
    let limit =
        |queue_timeout| PoolSettings { max_connections: Some(2), queue_timeout, ..PoolSettings::default() };
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let patient = single_with_pool(&origin.url(), limit(Duration::from_secs(10)));
    let many = futures(&patient, 20);
    for outcome in many.await {
        assert_eq!(outcome, "x");
    }
    assert_eq!((origin.requests().len(), origin.accepted()), (20, 2), "those who wait get what comes back");

    let silent = Scripted::always(&[Act::Hang]).await;
    let hasty = single_with_pool(&silent.url(), limit(Duration::from_millis(50)));
    let (a, b, c) = tokio::join!(get(&hasty), get(&hasty), get(&hasty));
    let refused = [a, b, c].into_iter().filter_map(|outcome| outcome.err()?.failure());
    let refused: Vec<_> = refused.filter(|failure| *failure == Failure::ConnectionLimit).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(silent.accepted(), 2);
}

/// The bodies of so many answers, asked for at the same time.
async fn futures(group: &Group, count: usize) -> Vec<String> {
    let mut answers = Vec::new();
    let mut asking: Vec<_> = (0..count).map(|_| Box::pin(get_text(group))).collect();
    std::future::poll_fn(|context| {
        asking.retain_mut(|asking| match asking.as_mut().poll(context) {
            std::task::Poll::Ready(text) => {
                answers.push(text);
                false
            }
            std::task::Poll::Pending => true,
        });
        if asking.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test]
async fn a_core_gives_up_what_it_does_not_use_for_another_that_waits() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let pool = PoolSettings {
        max_connections: Some(1),
        queue_timeout: Duration::from_secs(10),
        ..PoolSettings::default()
    };
    let group = std::sync::Arc::new(single_with_pool(&origin.url(), pool));
    get_text(&group).await;
    let other_core = {
        let group = group.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(get_text(&group))
        }
    };
    assert_eq!(tokio::task::spawn_blocking(other_core).await.unwrap(), "x");
    assert_eq!(origin.accepted(), 2);
    origin.ended(1).await;
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let group = single_with_pool(&origin.url(), PoolSettings { max_idle: 2, ..PoolSettings::default() });
    let (a, b, c) = tokio::join!(get(&group), get(&group), get(&group));
    for reply in [a, b, c] {
        text(reply.unwrap()).await;
    }
    assert_eq!(origin.accepted(), 3);
    origin.ended(1).await;
    let (a, b) = tokio::join!(get(&group), get(&group));
    for reply in [a, b] {
        text(reply.unwrap()).await;
    }
    assert_eq!(origin.accepted(), 3, "two were kept");

    let none = single_with_pool(&origin.url(), PoolSettings { max_idle: 0, ..PoolSettings::default() });
    get_text(&none).await;
    origin.ended(2).await;
}

#[tokio::test]
async fn the_origin_sees_its_own_name_its_prefix_and_the_viewers_query() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let group = single(&format!("{}/base/", origin.url()));
    get_text(&group).await;
    let seen = &origin.requests()[0];
    assert!(seen.starts_with("GET /base/thing?x=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nhost: {}\r\n", origin.address)), "{seen}");
    assert!(seen.contains("\r\nx-test: 1\r\n"), "{seen}");
    assert!(!seen.contains("content-length") && !seen.contains("transfer-encoding"), "{seen}");
}

#[tokio::test]
async fn cores_do_not_share_connections() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let group = std::sync::Arc::new(single(&origin.url()));
    get_text(&group).await;
    let other_core = {
        let group = group.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                get_text(&group).await;
                get_text(&group).await;
            });
        }
    };
    tokio::task::spawn_blocking(other_core).await.unwrap();
    get_text(&group).await;
    assert_eq!((origin.requests().len(), origin.accepted()), (4, 2));
}

/// An origin that speaks HTTP/2 without TLS: silent about `/silent`, quick about all else. How many connections it got.
async fn sharing() -> (String, std::sync::Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = accepted.clone();
    let describe = |request: http::Request<hyper::body::Incoming>| async move {
        if request.uri().path() == "/silent" {
            std::future::pending::<()>().await;
        }
        Ok::<_, std::convert::Infallible>(http::Response::new("x".to_owned()))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(builder.serve_connection(stream, hyper::service::service_fn(describe)));
        }
    });
    (url, accepted)
}

/// One connection at most, with a request under way on it for as long as the test.
async fn busy_sharing(pool: PoolSettings) -> (std::sync::Arc<Group>, std::sync::Arc<AtomicUsize>) {
    let (url, accepted) = sharing().await;
    let mut settings = settings(&url);
    settings.pool = PoolSettings { max_connections: Some(1), ..pool };
    settings.protocol = origin_shield::Protocol::Http2;
    settings.response_timeout = Duration::from_secs(30);
    let group = std::sync::Arc::new(Group::single(Origin::build("app", &settings).unwrap()));
    assert_eq!(get_text(&group).await, "x");
    let asking = group.clone();
    tokio::spawn(async move {
        drop(asking.send(request("GET", "/silent", OutgoingBody::Empty), Instant::now()).await);
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    (group, accepted)
}

#[tokio::test]
async fn a_shared_connection_with_requests_under_way_is_not_given_up_for_another_core() {
    let queue_timeout = Duration::from_millis(200);
    let (group, accepted) = busy_sharing(PoolSettings { queue_timeout, ..PoolSettings::default() }).await;
    let other_core = {
        let group = group.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(get(&group)).unwrap_err().failure()
        }
    };
    let refused = tokio::task::spawn_blocking(other_core).await.unwrap();
    assert_eq!(refused, Some(Failure::ConnectionLimit));
    assert_eq!(get_text(&group).await, "x");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_shared_connection_beyond_its_time_takes_requests_while_no_other_may_be_opened() {
    let lifetime = Duration::from_millis(10);
    let (group, accepted) = busy_sharing(PoolSettings { lifetime, ..PoolSettings::default() }).await;
    assert_eq!(get_text(&group).await, "x");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn warming_takes_what_the_limit_leaves_and_disturbs_nobody() {
    let origin = Scripted::answering(answer("200 OK", "x")).await;
    let pool = PoolSettings { warm: 3, max_connections: Some(4), ..PoolSettings::default() };
    let mut settings = settings(&origin.url());
    settings.pool = pool;
    let warm = Origin::build("app", &settings).unwrap();
    warm.keep_warm();
    let others = warm.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            others.keep_warm();
            tokio::time::sleep(Duration::from_secs(4)).await;
        });
    });
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(origin.accepted(), 4);
}
