//! Components that answer requests in the node itself (`wasi:http/proxy`).

use std::process::Command;

use http::Request;
use http_body_util::Full;
use tests::{Answer, Folder, LOOPBACK, Node, Origin, RawConnection, Reply, eventually};
use tokio::task::JoinSet;

use crate::{SITE, guest};

const ROUTE: &str = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";

/// The origin `app`, which is the serving guest, with these settings.
fn app(settings: &str) -> String {
    format!("[origin.app]\nwasm = \"{}\"\n{settings}\n", guest::serving().display())
}

/// A site before it, and more of a config.
fn config(settings: &str, more: &str) -> String {
    format!("{LOOPBACK}\n[site.\"www.test\"]\norigin = \"app\"\n{ROUTE}\n{}\n{more}", app(settings))
}

async fn node(settings: &str) -> Node {
    Node::start(&config(settings, "")).await
}

async fn get(node: &Node, path: &str) -> Reply {
    node.viewer().get(&format!("{SITE}{path}")).await
}

/// What a viewer hears who does not get the whole answer.
async fn broken(node: &Node, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n");
    RawConnection::exchange(node.http(), request).await
}

/// What the component has said, and why its calls failed.
async fn logs(node: &Node) -> String {
    let admin = node.admin().to_string();
    node.folder().run(&["hook", "logs", "app", "--admin", &admin]).await.stdout
}

#[tokio::test]
async fn a_component_answers_in_the_node_what_the_viewer_asked() {
    let node = node("env = { MODE = \"fast\" }").await;

    let reply = get(&node, "/hello?a=b").await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "Method::Get http://www.test/hello?a=b"));
    assert_eq!(reply.header("content-type"), "text/plain");
    assert!(reply.header("via").contains("edge1"), "{reply:?}");
    let told = [("x-a", "1"), ("x-a", "2"), ("connection", "x-gone"), ("x-gone", "1")];
    for (name, value) in [("x-a", "1, 2"), ("x-forwarded-host", "www.test"), ("x-gone", "")] {
        let reply = node.viewer().get_with(&format!("{SITE}/header?{name}"), &told).await;
        assert_eq!(reply.text(), value, "{name}");
    }
    assert_eq!(get(&node, "/env?MODE").await.text(), "fast");
    assert_eq!(get(&node, "/env?PATH").await.text(), "unset", "nothing of the node's own");
    assert_eq!(get(&node, "/status?418").await.status, 418);
    let head = node.viewer().ask("HEAD", &format!("{SITE}/hello"), &[]).await;
    assert_eq!((head.status, head.text().as_str()), (200, ""));
}

#[tokio::test]
async fn bodies_flow_through_it_in_both_directions_with_their_trailers() {
    let node = node("").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer
        .send(
            "POST /echo HTTP/1.1\r\nHost: www.test\r\nTE: trailers\r\nConnection: TE, close\r\n\
             Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        )
        .await;
    // It comes back before the rest has been sent.
    viewer.read_until("5\r\nfirst\r\n").await;
    viewer.send("6\r\nsecond\r\n0\r\nX-Sum: 11\r\n\r\n").await;
    let rest = viewer.read_to_end().await;
    assert!(rest.ends_with("6\r\nsecond\r\n0\r\nx-sum: 11\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let node = node("").await;
    let large = (0..3_000_000_u32).map(|number| number as u8).collect::<Vec<_>>();
    let request = |path: &str| {
        let request = Request::post(format!("{SITE}{path}"));
        request.body(Full::from(large.clone())).unwrap()
    };
    assert_eq!(node.viewer().send(request("/count")).await.text(), "3000000");
    assert!(node.viewer().send(request("/echo")).await.body == large);
}

#[tokio::test]
async fn a_viewer_that_reads_slowly_holds_the_component_back_and_one_that_goes_ends_it() {
    let node = node("limits = { cpu = \"1h\", concurrency = 1 }").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send("GET /endless HTTP/1.1\r\nHost: www.test\r\n\r\n").await;
    viewer.read_until("xxxx").await;
    let before = node.resident_bytes();
    viewer.discard(64 << 20).await;
    assert!(node.resident_bytes() < before + (32 << 20), "it is not held in memory");
    drop(viewer);
    // Its place is free as soon as it is gone.
    assert_eq!(get(&node, "/status?200").await.status, 200);
}

#[tokio::test]
async fn its_answers_are_stored_and_found_like_any_others() {
    let node = node("").await;
    let first = get(&node, "/cached").await;
    let again = get(&node, "/cached").await;
    assert!(first.text().starts_with("made with ") && !first.is_hit());
    assert!(again.is_hit() && again.text() == first.text(), "{again:?}");
    assert_ne!(get(&node, "/cached?other").await.text(), first.text());
}

#[tokio::test]
async fn what_fails_before_it_answers_is_a_failed_attempt_with_its_reason() {
    let node = node("response-timeout = \"2s\"\nlimits = { cpu = \"100ms\", memory = \"32MiB\" }").await;
    for (path, status, error, story) in [
        ("/trap", 502, "connection_terminated", "trapped: wasm"),
        ("/trap", 502, "connection_terminated", "on purpose"),
        ("/spin", 504, "http_response_timeout", "more than 100ms of processor time"),
        ("/hog", 502, "connection_terminated", "more than 32.0 MiB of memory"),
        ("/sleep", 504, "http_response_timeout", "no head of an answer for 2s"),
        ("/nothing", 502, "http_protocol_error", "without having set an answer"),
        ("/error", 502, "connection_terminated", "no such luck"),
        ("/status?101", 502, "http_protocol_error", "status 101"),
    ] {
        let reply = get(&node, path).await;
        let proxy_status = reply.header("proxy-status");
        assert_eq!(reply.status, status, "{path}: {proxy_status}");
        assert!(proxy_status.contains(&format!("error={error}")), "{path}: {proxy_status}");
        let line = node.log_contains(story).await;
        assert!(line.contains("no answer from app"), "{line}");
    }
    assert_eq!(get(&node, "/hello").await.status, 200, "nobody else notices");
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    let node = node("limits = { cpu = \"100ms\" }").await;
    for path in ["/trap-midway", "/drop-midway", "/leak-midway", "/length-alone", "/short", "/spin-midway"] {
        let all = broken(&node, path).await;
        assert!(all.is_empty() || all.starts_with("HTTP/1.1 200"), "{path}: {all}");
        assert!(!all.ends_with("0\r\n\r\n"), "{path}: {all}");
        assert!(!all.contains("content-length: 10\r\n"), "{path}: {all}");
    }
    let told = logs(&node).await;
    assert!(told.contains("in the middle") && told.contains("100ms of processor time"), "{told}");
    assert_eq!(
        get(&node, "/spin-after").await.text(),
        "all of it",
        "what it does afterwards is its own affair"
    );
}

#[tokio::test]
async fn the_next_member_of_its_group_answers_for_it() {
    let spare = Origin::start().await;
    for path in ["/trap", "/spin", "/nothing"] {
        spare.on(path, |_| Answer::ok("spare"));
    }
    let group = format!(
        "[origin.spare]\nurl = \"{}\"\n[origin-group.main]\nmembers = [\"app\", \"spare\"]\nremember = \"0s\"\n",
        spare.url()
    );
    let config =
        config("limits = { cpu = \"100ms\" }", &group).replace("origin = \"app\"", "origin = \"main\"");
    let node = Node::start(&config).await;
    for path in ["/trap", "/spin", "/nothing"] {
        let reply = get(&node, path).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "spare"), "{path}");
    }
    assert_eq!(get(&node, "/status?203").await.status, 203, "it is asked first");
}

#[tokio::test]
async fn who_finds_no_place_waits_in_a_queue_that_is_bounded() {
    let node = node("limits = { concurrency = 1, queue = 1 }").await;
    let mut holding = RawConnection::open(node.http()).await;
    let post = "POST /echo HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    holding.send(post.to_owned() + "ab").await;
    holding.read_until("ab").await;
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        let viewer = node.viewer();
        asking.spawn(async move { viewer.get(&format!("{SITE}/hello")).await });
    }
    // Whichever comes second.
    let refused = asking.join_next().await.unwrap().unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.header("proxy-status").contains("connection_limit_reached"), "{refused:?}");
    holding.send("cd").await;
    assert!(holding.read_to_end().await.contains("cd"));
    assert_eq!(asking.join_next().await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_nobody_gets_is_written_for_as_long_as_the_settings_say() {
    let node = async |time: &str| {
        let limits = format!("limits = {{ concurrency = 1, queue = 0, after-head = \"{time}\" }}");
        let config = config(&limits, "").replace(ROUTE, &format!("{ROUTE}cache = \"off\"\n"));
        let node = Node::start(&config).await;
        let head = node.viewer().ask("HEAD", &format!("{SITE}/endless"), &[]).await;
        assert_eq!(head.status, 200);
        node
    };
    assert_eq!(get(&node("60s").await, "/hello").await.status, 503, "its place is taken");
    let node = node("1ms").await;
    eventually("the component to be ended", async || {
        (get(&node, "/hello").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_asks_origins_that_it_is_granted_by_name_or_address_and_nobody_else() {
    let (api, other) = (Origin::start().await, Origin::start().await);
    api.on("/v1/check", |asked| Answer::new(201).body([b"checked ".to_vec(), asked.body()].concat()));
    let more = format!("[origin.api]\nurl = \"{}\"\n[origin.other]\nurl = \"{}\"\n", api.url(), other.url());
    let node = Node::start(&config("fetch = [\"api\"]", &more)).await;

    for base in ["http://api".to_owned(), "https://api".to_owned(), api.url()] {
        let url = format!("{SITE}/fetch?{base}/v1/check?a=b");
        let reply = node.viewer().send(Request::post(url).body(Full::from("this")).unwrap()).await;
        assert_eq!((reply.status, reply.text().as_str()), (201, "checked this"), "{base}");
    }
    let asked = &api.requests()[0];
    assert_eq!(asked.target, "/v1/check?a=b");
    assert_eq!((asked.method.as_str(), asked.header("x-asker").as_deref()), ("POST", Some("serving")));
    assert!(asked.header("cdn-loop").is_some() && asked.header("x-request-id").is_some());
    for base in ["http://other", &other.url(), "http://169.254.169.254", "http://localhost"] {
        let reply = get(&node, &format!("/fetch?{base}/v1/check")).await;
        assert_eq!((reply.status, reply.text().as_str()), (502, "ErrorCode::HttpRequestDenied"), "{base}");
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn who_is_granted_nobody_asks_nobody_and_is_told_why() {
    let api = Origin::start().await;
    let node = Node::start(&config("", &format!("[origin.api]\nurl = \"{}\"\n", api.url()))).await;
    let reply = get(&node, "/fetch?http://api/").await;
    assert_eq!((reply.status, reply.text().as_str()), (502, "ErrorCode::HttpRequestDenied"));
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn a_component_that_asks_itself_is_found_out() {
    let node = node("fetch = [\"app\"]").await;
    let deeper = (0..8).fold("http://app/hello".to_owned(), |url, _| format!("http://app/fetch?{url}"));
    let reply = get(&node, &format!("/fetch?{deeper}")).await;
    assert!(reply.text().contains("HttpRequestDenied"), "{reply:?}");
}

#[tokio::test]
async fn what_it_says_and_why_it_fails_is_shown_to_whoever_asks() {
    let node = node("env = { KEY = { file = \"selvedge.toml\" } }").await;
    assert_eq!(get(&node, "/print?this").await.status, 200);
    assert!(get(&node, "/env?KEY").await.text().contains("[origin.app]"), "what a file holds");
    let failed = get(&node, "/trap").await;
    eventually("its words to be there", async || {
        let told = logs(&node).await;
        let is_there = told.contains("printed this") && told.contains(&failed.header("x-request-id"));
        is_there.then_some(())
    })
    .await;
}

/// The blocks of the guide in this language, in order.
fn blocks(language: &str) -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/component-origins.md");
    let page = std::fs::read_to_string(page).unwrap();
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_component_of_the_guide_builds_and_answers() {
    let folder = Folder::new();
    let manifest = blocks("toml").into_iter().find(|block| block.starts_with("# Cargo.toml")).unwrap();
    folder.write("app/Cargo.toml", format!("{manifest}\n[workspace]\n"));
    folder.write("app/src/lib.rs", &blocks("rust")[0]);
    // The versions that the project has tried, which are here already.
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    folder.write("app/Cargo.lock", std::fs::read(lock).unwrap());
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--offline", "--target", "wasm32-wasip2", "--target-dir", "target"])
        .current_dir(folder.path("app"))
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder
        .write("app.wasm", std::fs::read(folder.path("app/target/wasm32-wasip2/release/app.wasm")).unwrap());
    let config = blocks("toml").remove(0).replace("www.example.com", "www.test");
    let node = Node::start_in(folder, &format!("{LOOPBACK}\n{config}")).await;
    for is_hit in [false, true] {
        let reply = get(&node, "/a?b").await;
        assert_eq!((reply.is_hit(), reply.text().as_str()), (is_hit, "/a?b was asked for\n"));
    }
}

#[tokio::test]
async fn active_checks_ask_it() {
    let health = "health = { path = \"/status?503\", every = \"100ms\", fails = 1 }";
    let node = node(health).await;
    eventually("the check to fail", async || {
        let metrics = node.ask_admin("/metrics").await.text();
        metrics.contains("selvedge_origin_up{origin=\"app\"} 0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reload_takes_a_new_component_and_leaves_an_old_one_alone() {
    let folder = Folder::new();
    folder.write("app.wasm", std::fs::read(guest::serving()).unwrap());
    let config =
        format!("{LOOPBACK}\n[site.\"www.test\"]\norigin = \"app\"\n[origin.app]\nwasm = \"app.wasm\"\n");
    let node = Node::start_in(folder, &config).await;
    assert_eq!(get(&node, "/env?MODE").await.text(), "unset");
    node.reconfigure(&format!("{config}env = {{ MODE = \"new\" }}\n")).await;
    eventually("the new settings to hold", async || {
        (get(&node, "/env?MODE").await.text() == "new").then_some(())
    })
    .await;
    node.folder().write("app.wasm", "no component");
    node.reconfigure(&config).await;
    node.log_contains("app.wasm is no WebAssembly file").await;
    assert_eq!(get(&node, "/env?MODE").await.text(), "new", "all or nothing");
}

#[tokio::test]
async fn a_reload_takes_the_new_value_of_a_secret() {
    let folder = Folder::new();
    folder.write("token", "first-token");
    let settings = format!(
        "{LOOPBACK}\n[site.\"www.test\"]\norigin = \"app\"\n{}",
        app("env = { TOKEN = { file = \"token\" } }")
    );
    let node = Node::start_in(folder, &settings).await;
    assert_eq!(get(&node, "/env?TOKEN").await.text(), "first-token");
    node.folder().write("token", "second-token");
    node.reconfigure(&settings).await;
    eventually("the new token to hold", async || {
        (get(&node, "/env?TOKEN").await.text() == "second-token").then_some(())
    })
    .await;
}

/// What `check` says about an origin whose component is this, with more settings.
async fn checked(component: &[u8], settings: &str) -> String {
    let folder = Folder::new();
    folder.write("app.wasm", component);
    let config =
        format!("[site.localhost]\norigin = \"app\"\n[origin.app]\nwasm = \"app.wasm\"\n{settings}\n");
    folder.write("selvedge.toml", config);
    let outcome = folder.run(&["check", "selvedge.toml"]).await;
    format!("{} {}{}", outcome.code.unwrap(), outcome.stdout, outcome.stderr)
}

#[tokio::test]
async fn check_loads_the_component_and_says_what_is_wrong_with_it() {
    let serving = std::fs::read(guest::serving()).unwrap();
    let hook = std::fs::read(guest::outward()).unwrap();
    for (component, settings, code, said) in [
        (&serving[..], "", 0, "ok: 1 site, 1 origin"),
        (&hook, "", 3, "is a hook (it answers viewer-request, origin-request, origin-response)"),
        (b"not wasm", "", 3, "is no WebAssembly file"),
        (b"\0asm\x01\0\0\0", "", 3, "wasm-tools component new"),
        (b"\0asm\x0d\0\x01\0", "", 3, "does not export wasi:http/incoming-handler@0.2"),
        (&serving, "limits = { cpu = \"0s\" }", 3, "limits.cpu is 0ns"),
        (&serving, "env = { A = { env = \"SURELY_NOT_SET\" } }", 3, "env.A: $SURELY_NOT_SET"),
        (&serving, "fetch = [\"nobody\"]", 3, "there is no origin or origin group `nobody`"),
        (&serving, "url = \"http://a\"", 3, "wasm is an origin by itself"),
    ] {
        let outcome = checked(component, settings).await;
        assert!(outcome.starts_with(&format!("{code} ")) && outcome.contains(said), "{said}: {outcome}");
    }
}

#[tokio::test]
async fn a_component_that_answers_requests_is_no_hook_and_says_so() {
    let folder = Folder::new();
    let hook = format!("[hook.app]\nwasm = \"{}\"\non = \"viewer-request\"\n", guest::serving().display());
    folder.write("selvedge.toml", format!("[site.localhost]\norigin = \"http://127.0.0.1:1\"\n{hook}"));
    let outcome = folder.run(&["check", "selvedge.toml"]).await;
    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stderr.contains("it is an origin and no hook"), "{}", outcome.stderr);
}
