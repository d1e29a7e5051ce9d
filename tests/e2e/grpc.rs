//! gRPC, as one who knows only HTTP/2 sees it: both directions at once, trailers, errors in trailers alone.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tests::{Folder, LOOPBACK, Node, handshake, pki::Authority, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A service without TLS, which knows the methods `/echo`, `/status`, `/fails` and `/cut`.
async fn service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Who speaks HTTP/1.1 gets nothing at all.
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            });
        }
    });
    url
}

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// When the stream of `/cut` is to be reset: what is queued would be lost with it.
static CUT: Notify = Notify::const_new();

async fn answer(request: Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let mut response = Response::builder().status(200).header("content-type", "application/grpc");
    if head.uri.path() == "/status" {
        // Trailers-only: what would come in trailers comes in the head, and nothing else does.
        let response = response.header("grpc-status", "12").body(()).unwrap();
        respond.send_response(response, true).unwrap();
        return;
    }
    let said = head.headers.get("te").map_or("nothing", |te| te.to_str().unwrap());
    response = response.header("x-te", said);
    let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
    if head.uri.path() == "/cut" {
        stream.send_data(Bytes::from("half"), false).unwrap();
        CUT.notified().await;
        return stream.send_reset(h2::Reason::NO_ERROR);
    }
    if head.uri.path() == "/fails" {
        stream.send_data(Bytes::from("half"), false).unwrap();
        let trailers = [("grpc-status", "13"), ("grpc-message", "broken"), ("content-length", "99")];
        return stream.send_trailers(fields(&trailers)).unwrap();
    }
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).unwrap();
        stream.send_data(piece, false).unwrap();
    }
    let sent = body.trailers().await.unwrap().unwrap_or_default();
    let mut trailers = fields(&[("grpc-status", "0")]);
    trailers.extend(sent);
    stream.send_trailers(trailers).unwrap();
}

fn config(service: &str) -> String {
    format!(
        r#"{LOOPBACK}
[origin.service]
url = "{service}"
protocol = "http2"

[site."www.test"]
origin = "service"

[[site."www.test".route]]
path = "/*"
methods = ["GET", "POST"]
"#
    )
}

/// A stub of a viewer who speaks HTTP/2 without asking.
async fn stub(node: &Node) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(node.http()).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn call(stub: &SendRequest<Bytes>, path: &str) -> (Response<RecvStream>, SendStream<Bytes>) {
    let request = Request::post(format!("http://www.test{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    let mut ready = stub.clone().ready().await.unwrap();
    let (response, sending) = ready.send_request(request.body(()).unwrap(), false).unwrap();
    (within("the head of the answer", response).await.unwrap(), sending)
}

async fn next(body: &mut RecvStream) -> String {
    let piece = within("the next message", body.data()).await.unwrap().unwrap();
    body.flow_control().release_capacity(piece.len()).unwrap();
    String::from_utf8(piece.to_vec()).unwrap()
}

/// What each message is answered with before the next one is sent, and the trailers both ways.
async fn a_conversation(stub: &SendRequest<Bytes>) {
    let (response, mut sending) = call(stub, "/echo").await;
    assert_eq!(response.headers()["x-te"], "trailers", "RFC 9110 §10.1.4: said on");
    let mut body = response.into_body();
    for message in ["one", "two", "three"] {
        sending.send_data(Bytes::from(message), false).unwrap();
        assert_eq!(next(&mut body).await, message);
    }
    sending.send_trailers(fields(&[("x-sum", "6"), ("authorization", "late")])).unwrap();
    assert!(within("the end", body.data()).await.is_none());
    let trailers = within("the trailers", body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers, fields(&[("grpc-status", "0"), ("x-sum", "6")]), "RFC 9110 §6.5.1");
}

#[tokio::test]
async fn both_sides_speak_at_once_over_http2_without_tls() {
    let node = Node::start(&config(&service().await)).await;
    let stub = stub(&node).await;
    tokio::join!(a_conversation(&stub), a_conversation(&stub));
}

#[tokio::test]
async fn both_sides_speak_at_once_over_http2_with_tls() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let identity = authority.issue(&["www.test"]);
    folder.write("site.pem", identity.certificate);
    folder.write("site.key", identity.key);
    let tls = "origin = \"service\"\ntls = { cert = \"site.pem\", key = { file = \"site.key\" } }\n";
    let config = config(&service().await).replace("origin = \"service\"\n", tls);
    let node = Node::start_in(folder, &config.replace("[\"http://", "[\"https://")).await;
    let stream = Box::pin(handshake::tls(node.https(), authority.root(), "www.test", "h2")).await.unwrap();
    let (stub, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("https://www.test/echo").body(()).unwrap();
    let (response, mut sending) = stub.clone().ready().await.unwrap().send_request(request, false).unwrap();
    let response = within("the head of the answer", response).await.unwrap();
    assert_eq!(response.headers()["x-te"], "nothing", "what the viewer has not said is not said for it");
    sending.send_data(Bytes::from("one"), true).unwrap();
    assert_eq!(next(&mut response.into_body()).await, "one");
}

#[tokio::test]
async fn an_error_comes_unharmed_in_trailers_or_without_any_content() {
    let node = Node::start(&config(&service().await)).await;
    let stub = stub(&node).await;

    let (alone, _sending) = call(&stub, "/status").await;
    assert_eq!((alone.status().as_u16(), &alone.headers()["grpc-status"]), (200, &"12".parse().unwrap()));
    assert!(alone.body().is_end_stream(), "trailers-only is one frame");

    let (late, _sending) = call(&stub, "/fails").await;
    let mut body = late.into_body();
    assert_eq!(next(&mut body).await, "half");
    assert!(within("the end", body.data()).await.is_none());
    let trailers = within("the trailers", body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers, fields(&[("grpc-status", "13"), ("grpc-message", "broken")]));
}

#[tokio::test]
async fn a_call_that_is_given_up_never_ends_well_at_the_service() {
    for reason in [h2::Reason::CANCEL, h2::Reason::NO_ERROR] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Node::start(&config(&format!("http://{}", listener.local_addr().unwrap()))).await;
        let stub = stub(&node).await;
        let request = Request::post("http://www.test/echo").body(()).unwrap();
        let (_response, mut sending) = stub.ready().await.unwrap().send_request(request, false).unwrap();
        sending.send_data(Bytes::from("half"), false).unwrap();
        let (stream, _) = within("the node to call the service", listener.accept()).await.unwrap();
        let mut service = h2::server::handshake(stream).await.unwrap();
        let (request, _respond) = within("the call", service.accept()).await.unwrap().unwrap();
        tokio::spawn(async move { while service.accept().await.is_some() {} });
        let mut body = request.into_body();
        assert_eq!(next(&mut body).await, "half");

        sending.send_reset(reason);

        let ended = within("the end of the call", body.data()).await;
        assert!(matches!(ended, Some(Err(_))), "{reason:?}: half a call looks whole: {ended:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_reset_without_an_error_is_no_whole_one() {
    let node = Node::start(&config(&service().await)).await;
    let request = Request::get("http://www.test/cut").body(()).unwrap();
    let mut ready = stub(&node).await.ready().await.unwrap();
    let (response, _) = ready.send_request(request, true).unwrap();
    let mut body = within("the head of the answer", response).await.unwrap().into_body();
    assert_eq!(next(&mut body).await, "half");
    CUT.notify_one();
    let ended = within("the end of the answer", body.data()).await;
    assert!(
        matches!(ended, Some(Err(_))),
        "RFC 9113 §8.1: only a complete answer may be followed by such a reset"
    );
}
