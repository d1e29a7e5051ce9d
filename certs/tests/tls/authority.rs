//! The development authority.

use crate::viewer::{DAY, Machine, Viewer, edge, now, owned};
use certs::{CertsError, LocalAuthority};
use rustls::{CertificateError, Error};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[test]
fn a_viewer_that_trusts_the_root_trusts_every_site() {
    let machine = Machine::new();
    let names = ["localhost", "a.localhost", "*.img.test", "127.0.0.1", "::1"];
    let edge = machine.edge(&[&names]);
    for name in ["localhost", "a.localhost", "x.img.test", "127.0.0.1", "::1"] {
        machine.viewer().connect(&edge, name).unwrap();
    }
}

#[test]
fn a_viewer_that_trusts_another_machine_trusts_none() {
    let (machine, other) = (Machine::new(), Machine::new());
    let edge = machine.edge(&[&["localhost"]]);
    let error = other.viewer().connect(&edge, "localhost").unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
}

#[test]
fn a_certificate_holds_for_less_than_398_days() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["localhost"]]);
    let seen_at = |clock| {
        let viewer = machine.viewer().at(clock);
        viewer.connect(&edge, "localhost").map(drop)
    };
    let second = Duration::from_secs(1);
    assert_eq!(seen_at(now() - DAY), Ok(()));
    assert_eq!(seen_at(now() + 396 * DAY - second), Ok(()));
    assert!(matches!(
        seen_at(now() + 396 * DAY),
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))
    ));
    assert!(matches!(
        seen_at(now() - DAY - second),
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }))
    ));
}

#[test]
fn the_authority_survives_a_restart() {
    let machine = Machine::new();
    let key = fs::read(machine.folder().join("root.key")).unwrap();
    let again = LocalAuthority::open(machine.folder(), now() + 30 * DAY).unwrap();
    assert_eq!(again.root_pem(), machine.authority.root_pem());
    assert_eq!(again.root_path(), machine.folder().join("root.pem"));
    assert_eq!(fs::read(machine.folder().join("root.key")).unwrap(), key);
    assert_eq!(fs::read_to_string(again.root_path()).unwrap(), again.root_pem());

    let names = owned(&["localhost"]);
    let certificate = again.issue(&names, now()).unwrap();
    let edge = edge(vec![(names, Arc::new(certificate))]);
    machine.viewer().connect(&edge, "localhost").unwrap();
}

#[test]
fn processes_that_start_at_once_agree() {
    for _ in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("local");
        let roots: Vec<String> = std::thread::scope(|scope| {
            let starting: Vec<_> =
                (0..8).map(|_| scope.spawn(|| LocalAuthority::open(&path, now()).unwrap())).collect();
            starting.into_iter().map(|it| it.join().unwrap().root_pem().to_owned()).collect()
        });
        assert!(roots.iter().all(|root| *root == roots[0]));
        let mut left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["root.key", "root.pem"]);
    }
}

#[cfg(unix)]
#[test]
fn the_key_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    let mode = |name| {
        let path = machine.folder().join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("root.key"), 0o600);
    assert_eq!(mode("root.pem") & 0o022, 0);
}

#[test]
fn a_start_that_was_cut_off_after_the_key_is_taken_up() {
    let machine = Machine::new();
    let key = fs::read(machine.folder().join("root.key")).unwrap();
    fs::remove_file(machine.folder().join("root.pem")).unwrap();
    let again = LocalAuthority::open(machine.folder(), now()).unwrap();
    assert_eq!(fs::read(machine.folder().join("root.key")).unwrap(), key);

    let names = owned(&["localhost"]);
    let edge = edge(vec![(names.clone(), Arc::new(again.issue(&names, now()).unwrap()))]);
    let viewer = Viewer::trusting(again.root_pem());
    viewer.connect(&edge, "localhost").unwrap();
}

#[test]
fn a_damaged_authority_is_reported_and_left_alone() {
    let other = Machine::new();
    let other_key = fs::read_to_string(other.folder().join("root.key")).unwrap();
    for (file, text) in [
        ("root.key", None),
        ("root.key", Some("")),
        ("root.key", Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
        ("root.key", Some(other_key.as_str())),
        ("root.pem", Some("")),
        ("root.pem", Some("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")),
        ("root.pem", Some(other.authority.root_pem())),
    ] {
        let machine = Machine::new();
        let path = machine.folder().join(file);
        fs::remove_file(&path).unwrap();
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let error = LocalAuthority::open(machine.folder(), now()).unwrap_err();
        assert!(matches!(error, CertsError::Authority { .. }), "{error}");
        let words = error.to_string();
        assert!(words.contains(machine.folder().to_str().unwrap()), "{words}");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), text);
    }
}

#[test]
fn names_that_are_none_are_refused_by_name() {
    let machine = Machine::new();
    for name in ["", "a b", "*", "*.*.test", "a.*.test", "localhost:8080", "a..b", "bücher.test", "-a.test"]
    {
        let error = machine.authority.issue(&owned(&[name]), now()).unwrap_err();
        assert!(matches!(error, CertsError::Name { .. }), "{name}: {error}");
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    assert!(machine.authority.issue(&[], now()).is_err());
}

#[test]
fn a_name_longer_than_a_common_name_still_gets_its_certificate() {
    let machine = Machine::new();
    let long = format!("{}.{}.test", "a".repeat(60), "b".repeat(60));
    let edge = machine.edge(&[&[long.as_str()]]);
    machine.viewer().connect(&edge, &long).unwrap();
}

#[test]
fn a_clock_that_is_far_off_is_reported() {
    let machine = Machine::new();
    let epoch = SystemTime::UNIX_EPOCH;
    for clock in [epoch, epoch - DAY, epoch + Duration::from_secs(300_000_000_000)] {
        let error = machine.authority.issue(&owned(&["a.test"]), clock);
        assert!(matches!(error, Err(CertsError::Clock)));
    }
}
