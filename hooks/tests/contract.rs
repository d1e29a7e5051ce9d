//! What the contract offers beside messages: cache keys, secrets, figures, key-value stores.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hooks::{
    Caching, Event, Hook, HookError, HookSettings, Keeping, KvSettings, Material, OriginRequestOutcome,
    RequestOutcome, Storing, WasmSource,
};
use support::{engine, facts, now, offered, on_one_core, request, response, settings};

/// The guest told to do `task`, with settings adjusted.
fn told(task: &str, adjust: impl FnOnce(&mut HookSettings)) -> Hook {
    let on = [Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse];
    let mut settings = settings(WasmSource::File(offered().to_owned()), &on, &[("do", task)]);
    adjust(&mut settings);
    Hook::load(engine(), "guest", &settings).unwrap()
}

fn next(outcome: RequestOutcome) -> (http::request::Parts, Caching) {
    let RequestOutcome::Next(parts, caching) = outcome else { panic!("answered: {outcome:?}") };
    (parts, caching)
}

async fn said(hook: &Hook) -> String {
    match hook.viewer_request(request("/p", &[]), &facts()).await.unwrap() {
        RequestOutcome::Respond(answer) => String::from_utf8(answer.body().to_vec()).unwrap(),
        RequestOutcome::Next(..) => panic!("it went on"),
    }
}

fn with_secret(folder: &Path, value: &[u8]) -> impl FnOnce(&mut HookSettings) {
    let file = folder.join("secret");
    std::fs::write(&file, value).unwrap();
    move |settings| settings.secrets = BTreeMap::from([("jwt".to_owned(), Material::File(file))])
}

#[test]
fn a_hook_is_told_of_place_connection_and_grant() {
    on_one_core(async {
        for (task, expected) in [
            ("place", "KR|AS|11|Seoul|Some((37.5, 127.0))|Asia/Seoul|Some(64496)"),
            (
                "connection",
                "true|TLS_AES_128_GCM_SHA256|h2|www.example.com|cloudfront|K1|Some(1800000060)|https://www.example.com/*",
            ),
        ] {
            assert_eq!(said(&told(task, |_| {})).await, expected);
        }
    });
}

#[test]
fn viewer_request_adds_parts_to_the_key_within_limits() {
    on_one_core(async {
        let (_, caching) =
            next(told("key-parts", |_| {}).viewer_request(request("/", &[]), &facts()).await.unwrap());
        assert_eq!(caching.key_part("half"), Some("b"), "the second value is the one");
        assert_eq!((caching.key_parts.len(), caching.bypass), (16, true));
    });
}

#[test]
fn later_hooks_see_the_parts_of_earlier_ones() {
    on_one_core(async {
        let mut facts = facts();
        let mut caching = Caching::default();
        caching.add_key_part("half".into(), "a".into());
        facts.caching = Some(Arc::new(caching));
        let outcome = told("halves", |_| {}).origin_request(request("/", &[]), &facts).await.unwrap();
        let OriginRequestOutcome::Next { parts, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(parts.headers["x-half"], "a");
    });
}

#[test]
fn the_method_may_change_on_the_way_to_the_origin_unless_the_answer_may_be_stored() {
    on_one_core(async {
        let hook = told("method", |_| {});
        for (storing, method) in [(Storing::Never, "PURGE"), (Storing::Perhaps, "GET")] {
            let mut facts = facts();
            facts.storing = storing;
            let outcome = hook.origin_request(request("/", &[]), &facts).await.unwrap();
            let OriginRequestOutcome::Next { parts, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(parts.method, method);
        }
    });
}

#[test]
fn origin_response_says_how_an_answer_is_kept() {
    on_one_core(async {
        let outcome = told("keep", |_| {})
            .origin_response(&request("/", &[]), response("text/plain", "x"), &facts())
            .await
            .unwrap();
        let seconds = std::time::Duration::from_secs;
        let Keeping { ttl, while_revalidate, if_error, no_store, tags } = outcome.keeping;
        assert_eq!((ttl, while_revalidate, if_error), (None, Some(seconds(30)), Some(seconds(60))));
        assert!(no_store);
        assert_eq!(tags, ["cats"], "a comma separates tags");
    });
}

#[test]
fn a_secret_signs_and_compares_and_is_revealed_to_its_hook_only() {
    let folder = tempfile::tempdir().unwrap();
    on_one_core(async {
        // RFC 4231 section 4.3.
        let hook = told("hmac", with_secret(folder.path(), b"Jefe\n"));
        assert_eq!(
            said(&hook).await,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843|true|false|false|none"
        );
        assert_eq!(said(&told("hmac", |_| {})).await, "no secret");
    });
}

#[test]
fn a_secret_that_a_hook_says_is_not_said_by_the_node() {
    let folder = tempfile::tempdir().unwrap();
    on_one_core(async {
        let hook = told("blab", with_secret(folder.path(), b"hunter2-hunter2"));
        let error = hook.viewer_request(request("/", &[]), &facts()).await.unwrap_err();
        let story = error.to_string();
        assert!(matches!(error, HookError::Failed { .. }), "{story}");
        assert!(!story.contains("hunter2"), "{story}");
        assert!(
            story.contains("failed with [secret jwt]") && story.contains("logged [secret jwt]"),
            "{story}"
        );
        assert!(story.contains("printed [secret jwt]"), "{story}");
    });
}

#[test]
fn a_secret_that_cannot_be_read_keeps_the_hook_from_loading() {
    let mut settings = HookSettings::new(WasmSource::File(offered().to_owned()), vec![Event::ViewerRequest]);
    settings.secrets.insert("jwt".into(), Material::File("/nowhere/jwt".into()));
    let error = Hook::load(engine(), "guest", &settings).unwrap_err().to_string();
    assert!(error.contains("secrets.jwt: /nowhere/jwt"), "{error}");
}

#[test]
fn tokens_are_checked_in_native_code_and_too_much_at_once_is_a_trap() {
    on_one_core(async {
        // FIPS 180-4's "abc".
        assert_eq!(
            said(&told("crypto", |_| {})).await,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad|unusable-key|unknown-algorithm"
        );
        let error = told("hash-much", |_| {}).viewer_request(request("/", &[]), &facts()).await.unwrap_err();
        assert!(error.to_string().contains("1 MiB at most"), "{error}");
    });
}

#[test]
fn figures_are_told_by_hook_and_bounded_by_their_limit() {
    on_one_core(async {
        let hook = told("figures", |settings| settings.limits.metrics = 2);
        next(hook.viewer_request(request("/", &[]), &facts()).await.unwrap());
        next(hook.viewer_request(request("/", &[]), &facts()).await.unwrap());
        let text = engine().figures_text();
        for line in [
            "selvedge_hook_counter_total{hook=\"guest\",name=\"seen\"} 6",
            "selvedge_hook_value_sum{hook=\"guest\",name=\"score\"} 1",
            "selvedge_hook_figures_dropped_total{hook=\"guest\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    });
}

#[test]
fn a_key_value_store_is_shared_by_calls_and_closed_to_hooks_that_do_not_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let stores = BTreeMap::from([("visits".to_owned(), KvSettings::default())]);
    engine().stores().open(&stores, folder.path(), now());
    on_one_core(async {
        let named = |settings: &mut HookSettings| settings.kv = vec!["visits".into()];
        assert_eq!(
            said(&told("kv", named)).await,
            "1|none|true|visits:1|not-a-number|invalid-key|too-large|denied"
        );
        assert_eq!(
            said(&told("kv", named)).await,
            "2|kept|true|visits:1|not-a-number|invalid-key|too-large|denied"
        );
        assert_eq!(said(&told("kv", |_| {})).await, "denied");
    });
    let mut settings = HookSettings::new(WasmSource::File(offered().to_owned()), vec![Event::ViewerRequest]);
    settings.kv = vec!["nowhere".into()];
    let error = Hook::load(engine(), "guest", &settings).unwrap_err().to_string();
    assert!(error.contains("[kv.nowhere]"), "{error}");
}

#[test]
fn settings_that_do_not_fit_the_component_are_doubted() {
    let plain = HookSettings::new(WasmSource::Builtin("thumbnail".into()), vec![Event::OriginResponse]);
    let hook = Hook::load(engine(), "thumb", &plain).unwrap();
    let doubted =
        |settings: &HookSettings| hook.doubts(settings).iter().map(|doubt| doubt.setting).collect::<Vec<_>>();
    assert!(doubted(&plain).is_empty());
    let mut idle = plain.clone();
    idle.kv = vec!["visits".into()];
    idle.secrets.insert("jwt".into(), Material::Env("JWT".into()));
    assert_eq!(doubted(&idle), ["secrets", "kv"]);
}
