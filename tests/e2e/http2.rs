//! HTTP/2 frames that no honest viewer sends, written by hand (RFC 9113).

use tests::{Answer, Folder, Gate, Node, Origin, RawConnection, Viewer, pki::Authority};

use crate::site;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A node that speaks TLS, because browsers speak HTTP/2 only over it.
struct Secure {
    origin: Origin,
    node: Node,
    root: String,
}

impl Secure {
    async fn start() -> Self {
        let (origin, authority, folder) = (Origin::start().await, Authority::new(), Folder::new());
        let identity = authority.issue(&["www.test"]);
        folder.write("site.pem", identity.certificate);
        folder.write("site.key", identity.key);
        let config = site(&origin).replace("[\"http://", "[\"https://");
        let tls = "tls = { cert = \"site.pem\", key = { file = \"site.key\" } }\n";
        let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
        let node = Node::start_in(folder, &format!("{config}{tls}{route}")).await;
        Self { origin, node, root: authority.root().to_owned() }
    }

    /// A connection after the preface.
    async fn connect(&self) -> RawConnection {
        let mut connection = RawConnection::open_http2(self.node.https(), &self.root, "www.test").await;
        connection.send([PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()).await;
        connection
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field block (RFC 7541 §6.2.2): literals without indexing, so that any bytes can be said.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [vec![u8::try_from(text.len()).unwrap()], text.as_bytes().to_vec()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The fields of a GET, and more.
fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let start = [(":method", "GET"), (":scheme", "https"), (":authority", "www.test"), (":path", path)];
    block(&[&start, more].concat())
}

/// The kind, stream and payload of each whole frame.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        frames.push((head[3], stream, payload.to_vec()));
        bytes = rest;
    }
    frames
}

/// The flags of each frame of `stream`.
fn flags_of(mut bytes: &[u8], stream: u32) -> Vec<u8> {
    let mut flags = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((_, rest)) = rest.split_at_checked(length) else { break };
        let is_ours = head[5..9] == stream.to_be_bytes();
        flags.extend(is_ours.then_some(head[4]));
        bytes = rest;
    }
    flags
}

/// Whether `stream` has been answered with a body or reset, or the whole connection given up.
fn is_over(bytes: &[u8], stream: u32) -> bool {
    let ends = |kind: u8, of: u32| kind == GOAWAY || (of == stream && matches!(kind, DATA | RST_STREAM));
    frames(bytes).iter().any(|(kind, of, _)| ends(*kind, *of))
}

fn says_goodbye(bytes: &[u8]) -> bool {
    frames(bytes).iter().any(|(kind, _, _)| *kind == GOAWAY)
}

#[tokio::test]
async fn streams_reset_as_fast_as_they_are_opened_end_the_connection() {
    let secure = Secure::start().await;
    secure.origin.on("/page", |_| Answer::ok("x").header("cache-control", "no-store"));
    let mut connection = secure.connect().await;

    for stream in (1..10_000).step_by(2) {
        let request = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(&format!("/page?{stream}"), &[]));
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        connection.send([request, reset].concat()).await;
    }

    let received = connection.read_bytes_to_end().await;
    assert!(says_goodbye(received), "{:?}", frames(received).len());
    assert!(
        secure.origin.requests().len() <= 1_200,
        "{} requests reached the origin",
        secure.origin.requests().len()
    );
    let other =
        Viewer::https(secure.node.https(), &secure.root, "www.test").get("https://www.test/page").await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_head_that_is_continued_forever_ends_the_connection() {
    let secure = Secure::start().await;
    let mut connection = secure.connect().await;
    connection.send(frame(HEADERS, END_STREAM, 1, &get("/page", &[]))).await;

    let piece = frame(CONTINUATION, 0, 1, &block(&[("x-more", "more and more")]));
    connection.send(piece.repeat(20_000)).await;

    let received = connection.read_bytes_to_end().await;
    assert!(says_goodbye(received), "{:?}", frames(received));
    assert_eq!(secure.origin.bytes_received(), 0);
}

#[tokio::test]
async fn frames_that_cost_nothing_cannot_be_sent_without_end() {
    const PRIORITY: u8 = 2;
    const PING: u8 = 6;
    let secure = Secure::start().await;
    for (kind, stream, payload) in
        [(SETTINGS, 0, &[][..]), (PING, 0, &[7; 8][..]), (PRIORITY, 3, &[0, 0, 0, 0, 16][..])]
    {
        let mut connection = secure.connect().await;
        connection.send(frame(kind, 0, stream, payload).repeat(2_000)).await;

        let received = connection.read_bytes_to_end().await;
        assert!(says_goodbye(received), "frames of kind {kind}: {:?}", frames(received).last());
    }
}

#[tokio::test]
async fn fields_that_would_be_something_else_in_http1_never_reach_the_origin() {
    let secure = Secure::start().await;
    secure.origin.on("*", |_| Answer::ok("x"));
    let cases: [(&str, Vec<u8>); 10] = [
        ("line break in a value", get("/", &[("x-a", "b\r\nx-smuggled: 1")])),
        ("null in a value", get("/", &[("x-a", "b\0c")])),
        ("colon in a name", get("/", &[("x-a: b", "c")])),
        ("line break in a name", get("/", &[("x-a\r\nx-b", "c")])),
        ("upper case in a name", get("/", &[("X-A", "c")])),
        ("transfer-encoding", get("/", &[("transfer-encoding", "chunked")])),
        ("connection", get("/", &[("connection", "close")])),
        ("line break in the path", get("/ HTTP/1.1\r\nx-smuggled: 1\r\n", &[])),
        ("a space in the path", get("/ HTTP/1.1", &[])),
        ("another host", get("/", &[("host", "other.test")])),
    ];
    for (what, fields) in cases {
        let mut connection = secure.connect().await;
        let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields);
        // A second, plain request tells that the first one has been dealt with.
        let plain = frame(HEADERS, END_STREAM | END_HEADERS, 3, &get("/plain", &[]));
        connection.send([request, plain].concat()).await;
        connection.read_bytes_until("an answer to the second request", |bytes| is_over(bytes, 3)).await;

        for request in secure.origin.requests() {
            assert_eq!(request.path(), "/plain", "{what}: {request:?}");
            assert_eq!(request.header("x-smuggled"), None, "{what}");
        }
    }
    assert!(!secure.origin.requests().is_empty(), "not even the plain requests were served");
}

#[tokio::test]
async fn a_body_of_another_length_than_declared_never_reaches_the_origin_as_whole() {
    let secure = Secure::start().await;
    secure.origin.on("/upload", |_| Answer::ok("x"));
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "www.test"),
        (":path", "/upload"),
        ("content-length", "3"),
    ];
    let mut connection = secure.connect().await;
    let head = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    let body = frame(DATA, END_STREAM, 1, b"longer than three");
    connection.send([head, body].concat()).await;

    let over = |bytes: &[u8]| is_over(bytes, 1);
    let received = connection.read_bytes_until("the request to be refused", over).await;

    let reset = frames(received)
        .iter()
        .any(|(kind, stream, _)| (*kind == RST_STREAM && *stream == 1) || *kind == GOAWAY);
    assert!(reset, "{:?}", frames(received));
    assert!(
        secure.origin.requests().iter().all(|request| request.body().len() <= 3),
        "{:?}",
        secure.origin.requests()
    );
}

#[tokio::test]
async fn answers_to_head_have_no_content() {
    let secure = Secure::start().await;
    secure.origin.on("/private", |_| Answer::ok("mine").header("cache-control", "private"));
    secure.origin.on("/kept", |_| Answer::cacheable("kept"));
    secure.origin.on("/nothing", |_| Answer::new(204).header("cache-control", "max-age=3600"));
    let viewer = Viewer::https(secure.node.https(), &secure.root, "www.test").http2();
    for path in ["/kept", "/nothing"] {
        viewer.get(&format!("https://www.test{path}")).await;
    }

    for (path, status, length) in
        [("/private", 200, "4"), ("/kept", 200, "4"), ("/nothing", 204, ""), ("/%2e%2e/above", 400, "any")]
    {
        let fields = [(":method", "HEAD"), (":scheme", "https"), (":authority", "www.test"), (":path", path)];
        let mut connection = secure.connect().await;
        connection.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))).await;
        let ended = |bytes: &[u8]| flags_of(bytes, 1).iter().any(|flags| flags & END_STREAM != 0);
        let received = connection.read_bytes_until("the end of an answer", ended).await;
        let data = frames(received).into_iter().filter(|(kind, _, _)| *kind == DATA);
        assert_eq!(data.map(|(_, _, payload)| payload.len()).sum::<usize>(), 0, "{path}");

        let head = viewer.ask("HEAD", &format!("https://www.test{path}"), &[]).await;
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
        match length {
            "any" => assert!(head.header("content-length").parse::<u64>().unwrap() > 0),
            length => assert_eq!(head.header("content-length"), length, "{path}"),
        }
    }
}

#[tokio::test]
async fn one_connection_carries_many_requests_at_once() {
    let secure = Secure::start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    secure.origin.on("*", move |request| Answer::ok(request.path().to_owned()).behind(&held));
    let mut connection = secure.connect().await;
    let streams: Vec<u32> = (0..50).map(|index| 2 * index + 1).collect();

    for stream in &streams {
        let fields = get(&format!("/{stream}"), &[]);
        connection.send(frame(HEADERS, END_STREAM | END_HEADERS, *stream, &fields)).await;
    }
    secure.origin.until("fifty requests to reach the origin", |requests| requests.len() == 50).await;
    gate.open();

    let all = |bytes: &[u8]| streams.iter().all(|stream| is_over(bytes, *stream));
    let received = frames(connection.read_bytes_until("fifty answers", all).await);
    for stream in streams {
        let ours = received.iter().filter(|(kind, of, _)| *kind == DATA && *of == stream);
        let body: Vec<u8> = ours.flat_map(|(_, _, payload)| payload.clone()).collect();
        assert_eq!(String::from_utf8_lossy(&body), format!("/{stream}"));
    }
}
