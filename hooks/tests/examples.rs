//! The example hooks, built with the SDK, against the real engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use hooks::{Event, Inspection, WasmSource};
use support::{engine, examples};

#[test]
fn a_hook_made_with_the_sdk_exports_the_events_it_declares_and_stays_small() {
    let file = WasmSource::File(examples()["security-headers"].clone());
    let found = Inspection::of(engine(), "security-headers", &file).unwrap();
    assert_eq!(found.events, [Event::ViewerResponse]);
    assert!(found.bytes < 100 << 10, "{found:?}");
}
