//! Origins that break HTTP: a part never looks like the whole.

use http_body::Body;
use origin_shield::{Failure, OriginError};

use crate::scripted::{Act, Scripted, answer, send};
use crate::{ask, get, get_text, group, read, single, text};

/// The failure of the head, of an origin that does this.
async fn head_failure(acts: &[Act]) -> Failure {
    let origin = Scripted::always(acts).await;
    get(&single(&origin.url())).await.unwrap_err().failure().unwrap()
}

/// The failure of the body, of an origin whose head is fine.
async fn body_failure(acts: &[Act]) -> Failure {
    let origin = Scripted::always(acts).await;
    let reply = get(&single(&origin.url())).await.unwrap();
    assert_eq!(reply.response.status(), 200);
    let error = read(reply.response.into_body()).await.unwrap_err();
    assert!(matches!(error, OriginError::Body { .. }), "{error}");
    assert!(error.to_string().contains("origin app did not finish its answer"), "{error}");
    error.failure().unwrap()
}

#[tokio::test]
async fn a_body_shorter_than_its_content_length_is_an_error() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    assert_eq!(body_failure(&[send(short), Act::Close]).await, Failure::ResponseIncomplete);
    assert_eq!(body_failure(&[send(short), Act::Reset]).await, Failure::ResponseIncomplete);
}

#[tokio::test]
async fn chunks_without_the_last_one_are_an_error() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for rest in ["4\r\nhalf\r\n", "4\r\nha", "4\r\nhalf\r\n0\r\n", ""] {
        let failure = body_failure(&[send(head), send(rest), Act::Close]).await;
        assert_eq!(failure, Failure::ResponseIncomplete, "{rest:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_none_are_an_error() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for rest in ["4\r\nhalf\r\nzz\r\n", "99999999999999999999\r\nx", "-4\r\nhalf\r\n0\r\n\r\n"] {
        let failure = body_failure(&[send(head), send(rest), Act::Close]).await;
        assert_eq!(failure, Failure::ResponseInvalid, "{rest:?}");
    }
}

#[tokio::test]
async fn a_reset_ends_even_a_body_without_a_length() {
    let endless = "HTTP/1.1 200 OK\r\n\r\nhalf";
    let failure = body_failure(&[send(endless), Act::Reset]).await;
    assert_eq!(failure, Failure::ResponseIncomplete);
}

#[tokio::test]
async fn silence_in_the_middle_of_a_body_is_a_timeout() {
    let stuck = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    assert_eq!(body_failure(&[send(stuck), Act::Hang]).await, Failure::ResponseTimeout);
}

#[tokio::test]
async fn what_is_not_http_is_told_from_no_answer_at_all() {
    for garbage in ["SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
        assert_eq!(head_failure(&[send(garbage), Act::Close]).await, Failure::ResponseInvalid, "{garbage:?}");
    }
    assert_eq!(head_failure(&[Act::Close]).await, Failure::ConnectionTerminated);
    assert_eq!(head_failure(&[Act::Reset]).await, Failure::ConnectionTerminated);
    assert_eq!(head_failure(&[send("HTTP/1.1 200 O"), Act::Close]).await, Failure::ConnectionTerminated);
}

#[tokio::test]
async fn framing_that_can_be_read_two_ways_is_refused() {
    for fields in [
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: +4",
        "Content-Length: 4, 5",
        "Content-Length: -1",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhalf");
        assert_eq!(head_failure(&[send(bytes), Act::Close]).await, Failure::ResponseInvalid, "{fields}");
    }
    let coded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhalf";
    assert_eq!(head_failure(&[send(coded), Act::Close]).await, Failure::ResponseCoding);
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(head_failure(&[send(old), Act::Close]).await, Failure::ResponseInvalid);
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_refused() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(head_failure(&[send(upgrade)]).await, Failure::ResponseInvalid);
}

#[tokio::test]
async fn the_head_of_an_answer_is_limited() {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(70_000));
    assert_eq!(head_failure(&[send(long), Act::Hang]).await, Failure::ResponseInvalid);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: 1\r\n".repeat(101));
    assert_eq!(head_failure(&[send(many), Act::Hang]).await, Failure::ResponseInvalid);
    let fits = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 2\r\n\r\nok", "x".repeat(60_000));
    let origin = Scripted::answering(fits).await;
    assert_eq!(get_text(&single(&origin.url())).await, "ok");
}

#[tokio::test]
async fn garbage_goes_on_to_the_next_member() {
    let garbage = Scripted::always(&[send("garbage\r\n\r\n"), Act::Close]).await;
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let reply = get(&group(&[("a", &garbage.url()), ("b", &second.url())])).await.unwrap();
    assert_eq!(reply.attempts[0].failure.token(), "http_protocol_error");
    assert_eq!(text(reply).await, "second");
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let origin = Scripted::always(&[send(early), send(answer("200 OK", "final"))]).await;
    let reply = get(&single(&origin.url())).await.unwrap();
    assert!(!reply.response.headers().contains_key("link"));
    assert_eq!(text(reply).await, "final");
}

#[tokio::test]
async fn an_old_origin_may_end_its_body_by_closing() {
    let origin = Scripted::always(&[send("HTTP/1.0 200 OK\r\n\r\nold but whole"), Act::Close]).await;
    assert_eq!(get_text(&single(&origin.url())).await, "old but whole");
}

#[tokio::test]
async fn the_length_is_known_before_the_body_where_the_origin_says_it() {
    let origin = Scripted::answering(answer("200 OK", "four")).await;
    let reply = get(&single(&origin.url())).await.unwrap();
    assert_eq!(reply.response.body().size_hint().exact(), Some(4));
    let origin =
        Scripted::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            .await;
    let reply = get(&single(&origin.url())).await.unwrap();
    assert_eq!(reply.response.body().size_hint().exact(), None);
    assert_eq!(text(reply).await, "ok");
}

#[tokio::test]
async fn answers_without_a_body_do_not_wait_for_one() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    let reply = ask(&single(&origin.url()), "HEAD").await.unwrap();
    assert_eq!(reply.response.headers()["content-length"], "1000");
    assert!(reply.response.body().is_end_stream());
    let origin = Scripted::answering("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n").await;
    assert_eq!(get_text(&single(&origin.url())).await, "");
}

#[tokio::test]
async fn one_byte_at_a_time_is_slow_but_whole() {
    let bytes: Vec<_> = answer("200 OK", "whole").iter().map(|byte| send([*byte])).collect();
    let origin = Scripted::always(&bytes).await;
    assert_eq!(get_text(&single(&origin.url())).await, "whole");
}
