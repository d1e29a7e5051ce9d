//! What becomes live when, told as operators do it.

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn after(seconds: u64) -> SystemTime {
    NOW + Duration::from_secs(seconds)
}

fn component(name: &str) -> Component {
    Component { version: VersionId::of(name.as_bytes()), bytes: name.len() as u64 }
}

fn id(name: &str) -> VersionId {
    component(name).version
}

fn terms(percent: f64) -> Terms {
    Terms { percent, ..Terms::default() }
}

fn config(base: &str, canary: Option<(&str, f64)>) -> Configured {
    let canary = canary.map(|(name, percent)| (component(name), terms(percent)));
    Configured { base: component(base), builtin: None, canary }
}

/// A node whose config names the component "base".
fn started() -> State {
    State::new(&config("base", None), NOW)
}

fn deployed(name: &str) -> State {
    let mut state = started();
    state.deploy(&component(name), None, None, NOW).unwrap();
    state
}

fn on_trial(name: &str, percent: f64) -> State {
    let mut state = started();
    state.deploy(&component(name), Some(&terms(percent)), None, NOW).unwrap();
    state
}

fn canary(state: &State) -> Option<VersionId> {
    state.canary.as_ref().map(|canary| canary.version.clone())
}

fn last(state: &State) -> (What, VersionId) {
    let change = state.history.back().unwrap();
    (change.what, change.version.clone())
}

#[test]
fn what_is_deployed_is_live_and_what_was_live_is_remembered() {
    let mut state = deployed("a");
    assert_eq!((&state.live, &state.previous), (&id("a"), &Some(id("base"))));
    state.rollback(Some("previous"), NOW).unwrap();
    assert_eq!((&state.live, &state.previous), (&id("base"), &Some(id("a"))));
    assert_eq!(last(&state), (What::Rollback, id("base")));
    let again = state.rollback(Some("previous"), NOW);
    assert_eq!(again, Err(Refusal::BackAlready(id("base"), id("a"))), "twice back is not forth");
    state.rollback(Some(id("a").as_str()), NOW).unwrap();
    assert_eq!(state.live, id("a"));
    assert_eq!(started().rollback(Some("previous"), NOW), Err(Refusal::NoPrevious));
}

#[test]
fn who_is_late_to_take_a_canary_back_leaves_the_live_version_alone() {
    let mut state = deployed("a");
    state.deploy(&component("b"), Some(&terms(5.0)), None, NOW).unwrap();
    state.drop_canary(What::AutomaticRollback, "worse".into(), NOW);
    assert_eq!(state.rollback(None, NOW), Err(Refusal::NotNamed(id("a"))));
    assert_eq!(state.live, id("a"));
}

#[test]
fn a_deployed_version_outlives_restarts_until_the_config_names_another_component() {
    let mut state = deployed("a");
    let history = state.history.clone();
    state.configured(&config("base", None), after(1));
    assert_eq!((&state.live, &state.history), (&id("a"), &history));
    state.configured(&config("next", None), after(2));
    assert_eq!((&state.live, &state.previous), (&id("next"), &Some(id("a"))));
    assert!(state.history.back().unwrap().words.contains("which was deployed"));
}

#[test]
fn what_follows_the_config_follows_it_on() {
    let mut state = started();
    assert_eq!(state.take_fresh(), []);
    state.configured(&config("next", None), after(1));
    assert_eq!(state.live, id("next"));
    assert_eq!(state.take_fresh().len(), 1);
}

#[test]
fn a_config_that_names_what_is_live_changes_nothing() {
    let mut state = deployed("a");
    state.take_fresh();
    state.configured(&config("a", None), after(1));
    assert_eq!((state.take_fresh(), &state.live), (vec![], &id("a")));
}

#[test]
fn another_release_of_the_node_is_no_change_of_the_config() {
    let with_builtin = |base| Configured { builtin: Some("thumbnail".into()), ..config(base, None) };
    let mut followed = State::new(&with_builtin("1.0"), NOW);
    let mut replaced = followed.clone();
    replaced.deploy(&component("a"), None, None, NOW).unwrap();
    for (state, live) in [(&mut followed, "1.1"), (&mut replaced, "a")] {
        state.configured(&with_builtin("1.1"), after(1));
        assert_eq!(state.live, id(live));
    }
    replaced.configured(&config("1.1-file", None), after(2));
    assert_eq!(replaced.live, id("1.1-file"), "a file instead of it is");
}

#[test]
fn a_canary_leaves_the_live_version_alone_until_it_is_promoted() {
    let mut state = on_trial("a", 5.0);
    assert_eq!((&state.live, canary(&state)), (&id("base"), Some(id("a"))));
    state.promote(None, NOW).unwrap();
    assert_eq!((&state.live, canary(&state), &state.previous), (&id("a"), None, &Some(id("base"))));
    assert_eq!(state.promote(None, NOW), Err(Refusal::NoCanary));
}

#[test]
fn rollback_takes_the_canary_back_and_leaves_the_live_version_only_when_told() {
    let mut state = deployed("a");
    state.deploy(&component("b"), Some(&terms(5.0)), None, NOW).unwrap();
    state.rollback(None, NOW).unwrap();
    assert_eq!((&state.live, canary(&state)), (&id("a"), None));
    assert_eq!(state.rollback(None, NOW), Err(Refusal::NotNamed(id("a"))));
    state.rollback(Some("previous"), NOW).unwrap();
    assert_eq!(state.live, id("base"));
}

#[test]
fn there_is_one_canary_and_its_terms_can_change() {
    let mut state = on_trial("a", 5.0);
    state.canary.as_mut().unwrap().spent = 3;
    state.deploy(&component("a"), Some(&terms(50.0)), None, after(9)).unwrap();
    let running = state.canary.clone().unwrap();
    assert_eq!((running.terms.percent, running.spent, running.since_ms), (50.0, 3, 0));
    assert_eq!(last(&state), (What::Terms, id("a")));
    state.deploy(&component("b"), Some(&terms(5.0)), None, NOW).unwrap();
    assert_eq!(canary(&state), Some(id("b")));
    assert_eq!(state.canary.as_ref().unwrap().spent, 0);
    state.deploy(&component("c"), None, None, NOW).unwrap();
    assert_eq!((&state.live, canary(&state)), (&id("c"), None), "what is deployed to all ends the trial");
}

#[test]
fn a_ramp_promotes_at_its_end_and_not_before() {
    let mut state = on_trial("a", 20.0);
    state.promote(Some(Duration::from_secs(100)), after(50)).unwrap();
    for (seconds, percent) in [(50, 20.0), (100, 60.0), (149, 99.2)] {
        state.end_ramp(after(seconds));
        let running = state.canary.as_ref().unwrap();
        assert!((running.percent(after(seconds)) - percent).abs() < 1e-9, "{seconds}");
    }
    state.end_ramp(after(150));
    assert_eq!((&state.live, canary(&state)), (&id("a"), None));
}

#[test]
fn a_ramp_to_less_than_all_stays_there() {
    let ramp = Some(RampSettings { to: 50.0, over: Duration::from_secs(10) });
    let mut state = started();
    state.deploy(&component("a"), Some(&Terms { ramp, ..terms(0.0) }), None, NOW).unwrap();
    state.end_ramp(after(1000));
    assert_eq!(state.canary.as_ref().unwrap().percent(after(1000)), 50.0);
}

#[test]
fn the_configs_canary_is_tried_once() {
    let mut state = State::new(&config("base", Some(("a", 5.0))), NOW);
    assert_eq!(canary(&state), Some(id("a")));
    state.drop_canary(What::AutomaticRollback, "worse".into(), NOW);
    state.configured(&config("base", Some(("a", 5.0))), after(1));
    assert_eq!(canary(&state), None, "what was taken back is not tried again");
    state.configured(&config("base", Some(("b", 5.0))), after(2));
    assert_eq!(canary(&state), Some(id("b")), "another component is");
    state.configured(&config("base", Some(("b", 10.0))), after(3));
    assert_eq!(state.canary.as_ref().unwrap().terms.percent, 10.0);
    state.configured(&config("base", None), after(4));
    assert_eq!(canary(&state), None, "it goes with its setting");
}

#[test]
fn the_configs_canary_that_was_promoted_stays_live() {
    let mut state = State::new(&config("base", Some(("a", 5.0))), NOW);
    state.promote(None, NOW).unwrap();
    state.configured(&config("base", Some(("a", 5.0))), after(1));
    assert_eq!((&state.live, canary(&state)), (&id("a"), None));
    state.configured(&config("a", None), after(2));
    assert_eq!((&state.live, canary(&state)), (&id("a"), None));
}

#[test]
fn a_reload_leaves_the_ramp_of_the_configs_canary_alone() {
    let mut state = State::new(&config("base", Some(("a", 5.0))), NOW);
    state.promote(Some(Duration::from_secs(100)), NOW).unwrap();
    let ramping = state.canary.clone();
    state.configured(&config("base", Some(("a", 5.0))), after(50));
    assert_eq!(state.canary, ramping);
}

#[test]
fn the_configs_canary_is_tried_again_against_another_base() {
    let mut state = State::new(&config("base", Some(("a", 5.0))), NOW);
    state.configured(&config("next", Some(("a", 5.0))), after(1));
    assert_eq!((&state.live, canary(&state)), (&id("next"), Some(id("a"))));
    state.drop_canary(What::AutomaticRollback, "worse".into(), after(2));
    state.configured(&config("third", Some(("a", 5.0))), after(3));
    assert_eq!(canary(&state), None, "not after it was taken back");
}

#[test]
fn a_ramp_waits_while_the_node_is_down() {
    let mut state = on_trial("a", 20.0);
    state.promote(Some(Duration::from_secs(100)), NOW).unwrap();
    state.note_ramp(after(50));
    let mut woken = state.clone();
    woken.resume_ramp(after(5000));
    let share = |seconds| woken.canary.as_ref().unwrap().percent(after(seconds));
    assert_eq!((share(5000), share(5025)), (60.0, 80.0));
    woken.end_ramp(after(5000));
    assert_eq!(canary(&woken), Some(id("a")));
}

#[test]
fn a_deployed_canary_is_not_the_configs_affair() {
    let mut state = on_trial("a", 5.0);
    state.configured(&config("base", None), after(1));
    assert_eq!(canary(&state), Some(id("a")));
}

#[test]
fn a_version_is_named_by_its_first_digits() {
    let mut state = deployed("a");
    let digits = &id("base").as_str()[..6].to_owned();
    state.rollback(Some(digits), NOW).unwrap();
    assert_eq!(state.live, id("base"));
    for unknown in ["", "ba", "zzzz", "0000000000000"] {
        assert!(matches!(state.rollback(Some(unknown), NOW), Err(Refusal::Unknown(..))), "{unknown}");
    }
    state.deploy(&component("b"), None, None, NOW).unwrap();
    state.rollback(Some("config"), NOW).unwrap();
    assert_eq!(state.live, id("base"));
    assert_eq!(state.rollback(Some("config"), NOW), Err(Refusal::Live(id("base"))));
}

#[test]
fn what_is_live_cannot_be_a_canary_and_terms_are_checked() {
    let mut state = started();
    assert_eq!(
        state.deploy(&component("base"), Some(&terms(5.0)), None, NOW),
        Err(Refusal::Live(id("base")))
    );
    assert!(matches!(state.deploy(&component("a"), Some(&terms(0.0)), None, NOW), Err(Refusal::Terms(_))));
    assert_eq!(state, started());
}

#[test]
fn old_versions_go_and_those_that_serve_never_do() {
    let mut state = started();
    for number in 0..10 {
        state.deploy(&component(&number.to_string()), None, Some("note"), after(number)).unwrap();
    }
    state.deploy(&component("trial"), Some(&terms(1.0)), None, after(11)).unwrap();
    let needed = state.needed(2);
    let expected = ["base", "9", "8", "7", "6", "trial"].map(id);
    assert_eq!(needed, BTreeSet::from(expected));
    state.forget_all_but(&needed);
    assert_eq!(state.versions.len(), 6);
    assert_eq!(state.versions[1].note.as_deref(), Some("note"));
}

#[test]
fn the_history_is_bounded() {
    let mut state = started();
    for number in 0..200 {
        state.deploy(&component(&number.to_string()), None, None, NOW).unwrap();
    }
    assert_eq!((state.history.len(), last(&state).1), (HISTORY, id("199")));
}
