//! Who is asked when somebody does not answer.

use std::time::{Duration, Instant};

use origin_shield::{
    Condition, Exhausted, Failure, Group, GroupSettings, Halt, Origin, OutgoingBody, Reply, RetryBudget,
};

use crate::scripted::{Act, Scripted, answer, send};
use crate::{
    PATIENCE, ask, failures, get, get_text, group, group_with, origin, refusing, request, settings, single,
    text,
};

async fn get_at(group: &Group, now: Instant) -> Result<Reply, Exhausted> {
    group.send(request("GET", "/", OutgoingBody::Empty), now).await
}

#[tokio::test]
async fn a_refused_connection_goes_on_to_the_next_member() {
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let group = group(&[("a", &refusing().await), ("b", &second.url())]);
    let reply = get(&group).await.unwrap();
    assert_eq!(&*reply.origin, "b");
    assert_eq!(reply.attempts.len(), 1);
    assert_eq!((&*reply.attempts[0].origin, reply.attempts[0].failure), ("a", Failure::ConnectionRefused));
    assert_eq!(reply.attempts[0].failure.token(), "connection_refused");
    assert_eq!(text(reply).await, "second");
}

#[tokio::test]
async fn a_silent_member_is_left_after_the_response_timeout() {
    let silent = Scripted::always(&[Act::Hang]).await;
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let group = group(&[("a", &silent.url()), ("b", &second.url())]);
    let began = Instant::now();
    let reply = get(&group).await.unwrap();
    assert_eq!(reply.attempts[0].failure, Failure::ResponseTimeout);
    assert!(began.elapsed() >= PATIENCE, "the timeout was not waited for");
    assert_eq!(text(reply).await, "second");
}

#[tokio::test]
async fn a_dripping_head_does_not_outlast_the_response_timeout() {
    let dripping = Scripted::always(&[send("HTTP/1.1 200 OK\r\nX-Slow: "), Act::Hang]).await;
    let exhausted = get(&single(&dripping.url())).await.unwrap_err();
    assert_eq!(exhausted.failure(), Some(Failure::ResponseTimeout));
    assert_eq!(exhausted.status(), 504);
}

#[tokio::test]
async fn a_listed_status_goes_on_and_an_unlisted_one_is_the_answer() {
    let down = Scripted::answering(answer("503 Service Unavailable", "down")).await;
    let missing = Scripted::answering(answer("404 Not Found", "missing")).await;
    let reply = get(&group(&[("a", &down.url()), ("b", &missing.url())])).await.unwrap();
    assert_eq!((reply.response.status().as_u16(), reply.attempts[0].failure), (404, Failure::Status(503)));
    let reply = get(&group(&[("b", &missing.url()), ("a", &down.url())])).await.unwrap();
    assert_eq!(reply.response.status(), 404);
    assert!(reply.attempts.is_empty());

    let only_404 = group_with(&[("b", &missing.url()), ("a", &down.url())], |settings| {
        settings.failover_on = vec![Condition::Status(404)];
    });
    assert_eq!(get(&only_404).await.unwrap().response.status(), 503);
}

#[tokio::test]
async fn the_last_members_failing_answer_is_still_an_answer() {
    let first = Scripted::answering(answer("503 Service Unavailable", "first")).await;
    let last = Scripted::answering(answer("500 Internal Server Error", "last")).await;
    let reply = get(&group(&[("a", &first.url()), ("b", &last.url())])).await.unwrap();
    assert_eq!((reply.response.status().as_u16(), &*reply.origin), (500, "b"));
    assert_eq!(reply.attempts.len(), 1);
    assert_eq!(text(reply).await, "last");

    assert_eq!(get_text(&single(&first.url())).await, "first");
}

#[tokio::test]
async fn when_nobody_answers_every_attempt_is_named() {
    let silent = Scripted::always(&[Act::Hang]).await;
    let group = group(&[("a", &refusing().await), ("b", &silent.url())]);
    let exhausted = get(&group).await.unwrap_err();
    assert_eq!(failures(&exhausted), [("a", Failure::ConnectionRefused), ("b", Failure::ResponseTimeout)]);
    let text = exhausted.to_string();
    assert!(text.starts_with("no answer from main: a: connection_refused"), "{text}");
    assert!(text.contains("; b: http_response_timeout"), "{text}");
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_is_tried_once() {
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let refusing = refusing().await;
    let exhausted = ask(&group(&[("a", &refusing), ("b", &second.url())]), "POST").await.unwrap_err();
    assert_eq!(failures(&exhausted), [("a", Failure::ConnectionRefused)]);

    let down = Scripted::answering(answer("503 Service Unavailable", "down")).await;
    let reply = ask(&group(&[("a", &down.url()), ("b", &second.url())]), "POST").await.unwrap();
    assert_eq!(reply.response.status(), 503);
    assert!(second.requests().is_empty());

    let allowed = group_with(&[("a", &refusing), ("b", &second.url())], |settings| {
        settings.methods.push("POST".into());
    });
    assert_eq!(text(ask(&allowed, "POST").await.unwrap()).await, "second");
}

#[tokio::test]
async fn a_failed_member_is_passed_over_for_the_remembered_time() {
    let first = Scripted::start(|place| match place.connection + place.request {
        0 => vec![send(answer("503 Service Unavailable", "down"))],
        _ => vec![send(answer("200 OK", "first"))],
    })
    .await;
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let group = group(&[("a", &first.url()), ("b", &second.url())]);
    let start = Instant::now();
    assert_eq!(text(get_at(&group, start).await.unwrap()).await, "second");
    assert_eq!(group.state(start).members[0].last_failure, Some(Failure::Status(503)));

    let soon = get_at(&group, start + Duration::from_secs(29)).await.unwrap();
    assert_eq!((&*soon.origin, soon.attempts.len()), ("b", 0));
    assert_eq!(first.requests().len(), 1, "the failed member was asked again too early");

    // The memory begins when the failure was seen, a little after the request began.
    let later = start + Duration::from_secs(35);
    assert_eq!(text(get_at(&group, later).await.unwrap()).await, "first");
    assert_eq!(group.state(later).members[0].last_failure, None, "success clears the memory");
}

#[tokio::test]
async fn the_memory_begins_when_the_failure_was_seen() {
    let silent = Scripted::always(&[Act::Hang]).await;
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let group = group_with(&[("a", &silent.url()), ("b", &second.url())], |settings| {
        settings.remember = PATIENCE;
    });
    let start = Instant::now();
    get_at(&group, start).await.unwrap();
    // Had it begun with the request, the response timeout alone would have used it up.
    assert!(group.state(start + PATIENCE).members[0].skipped_for > PATIENCE / 2);
}

#[tokio::test]
async fn a_member_that_failed_lately_is_the_last_resort() {
    let first = Scripted::start(|place| match place.connection + place.request {
        0 => vec![send(answer("503 Service Unavailable", "down"))],
        _ => vec![send(answer("200 OK", "first"))],
    })
    .await;
    let second = Scripted::start(|place| match (place.connection, place.request) {
        (0, 0) => vec![send(answer("200 OK", "second"))],
        _ => vec![Act::Close],
    })
    .await;
    let group = group(&[("a", &first.url()), ("b", &second.url())]);
    let now = Instant::now();
    assert_eq!(text(get_at(&group, now).await.unwrap()).await, "second");
    // Now b is gone too, on the kept connection and on a new one.
    let reply = get_at(&group, now).await.unwrap();
    assert_eq!((&*reply.origin, &*reply.attempts[0].origin), ("a", "b"));
    assert_eq!(text(reply).await, "first");
}

#[tokio::test]
async fn when_all_failed_lately_all_are_asked_in_order() {
    let first = Scripted::always(&[Act::Close]).await;
    let second = Scripted::always(&[Act::Close]).await;
    let group = group(&[("a", &first.url()), ("b", &second.url())]);
    let now = Instant::now();
    for _ in 0..2 {
        let exhausted = get_at(&group, now).await.unwrap_err();
        let terminated = Failure::ConnectionTerminated;
        assert_eq!(failures(&exhausted), [("a", terminated), ("b", terminated)]);
    }
    assert_eq!((first.requests().len(), second.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_failing_answer_is_not_traded_for_a_member_that_failed_lately() {
    let first = refusing().await;
    let second = Scripted::start(|place| match place.request {
        0 => vec![send(answer("200 OK", "good"))],
        _ => vec![send(answer("500 Internal Server Error", "bad"))],
    })
    .await;
    let group = group(&[("a", &first), ("b", &second.url())]);
    let now = Instant::now();
    assert_eq!(text(get_at(&group, now).await.unwrap()).await, "good");
    let reply = get_at(&group, now).await.unwrap();
    assert_eq!((reply.response.status().as_u16(), reply.attempts.len()), (500, 0));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_dns_failure() {
    let mut settings = settings("http://name.invalid");
    settings.connect_timeout = Duration::from_millis(500);
    let group = Group::single(Origin::build("app", &settings).unwrap());
    let exhausted = get(&group).await.unwrap_err();
    let failure = exhausted.failure().unwrap();
    assert!(matches!(failure, Failure::DnsError | Failure::DnsTimeout), "{exhausted}");
    assert!(exhausted.to_string().contains("app: dns_"), "{exhausted}");
}

#[tokio::test]
async fn localhost_works_without_dns() {
    let origin = Scripted::answering(answer("200 OK", "here")).await;
    let url = format!("http://localhost:{}", origin.address.port());
    assert_eq!(get_text(&single(&url)).await, "here");
    assert!(origin.requests()[0].contains(&format!("\r\nhost: localhost:{}\r\n", origin.address.port())));
}

#[tokio::test]
async fn several_shields_are_one_member_however_many_of_them_were_asked() {
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let mut shields = settings(&refusing().await);
    shields.shield = vec![refusing().await.parse().unwrap(), refusing().await.parse().unwrap()];
    shields.url = None;
    let mut settings = GroupSettings::new(vec!["shields".into(), "b".into()]);
    settings.attempts = 2;
    let members = vec![Origin::build("shields", &shields).unwrap(), origin("b", &second.url())];
    let group = Group::build("main", &settings, members);

    let reply = get(&group).await.unwrap();

    assert_eq!((&*reply.origin, reply.attempts.len()), ("b", 2));
    assert_eq!(text(reply).await, "second");
}

#[tokio::test]
async fn a_shield_that_is_late_is_not_down_and_no_other_does_the_same_work() {
    let pair = [Scripted::always(&[Act::Hang]).await, Scripted::always(&[Act::Hang]).await];
    let mut shields = settings(&pair[0].url());
    shields.shield = pair.iter().map(|shield| shield.url().parse().unwrap()).collect();
    shields.url = None;
    let group = Group::single(Origin::build("shields", &shields).unwrap());

    for _ in 0..2 {
        let exhausted = get(&group).await.unwrap_err();
        assert_eq!((exhausted.status().as_u16(), exhausted.attempts.len()), (504, 1), "{exhausted}");
    }

    let asked = pair.each_ref().map(|shield| shield.requests().len());
    assert!(asked == [2, 0] || asked == [0, 2], "the object stays with its own shield: {asked:?}");
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_leaves_the_trial_of_a_member_to_others() {
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let group = group(&[("a", &refusing().await), ("b", &second.url())]);
    let start = Instant::now();
    assert_eq!(text(get_at(&group, start).await.unwrap()).await, "second");

    let post_at = |seconds| {
        let now = start + Duration::from_secs(seconds);
        group.send(request("POST", "/", OutgoingBody::Empty), now)
    };
    assert_eq!(text(post_at(35).await.unwrap()).await, "second");
    // Nobody else came for so long: it has to be this one.
    let exhausted = post_at(65).await.unwrap_err();
    assert_eq!(failures(&exhausted), [("a", Failure::ConnectionRefused)]);
}

#[tokio::test]
async fn only_a_failover_from_an_origin_that_had_work_costs_something() {
    let down = Scripted::answering(answer("503 Service Unavailable", "down")).await;
    let closing = Scripted::always(&[Act::Close]).await;
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let poor = |first: &str| {
        group_with(&[("a", first), ("b", &second.url())], |settings| {
            settings.retry_budget = RetryBudget { share: 0.0, min_per_second: 0, ..RetryBudget::default() };
        })
    };

    assert_eq!(get_text(&poor(&refusing().await)).await, "second");
    let reply = get(&poor(&down.url())).await.unwrap();
    let exhausted = get(&poor(&closing.url())).await.unwrap_err();

    assert_eq!((reply.response.status().as_u16(), reply.attempts[0].halt), (503, Some(Halt::Budget)));
    assert_eq!(failures(&exhausted), [("a", Failure::ConnectionTerminated)]);
    assert_eq!(exhausted.attempts[0].halt, Some(Halt::Budget));
}
