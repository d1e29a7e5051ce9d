//! Which certificate and which protocol a viewer gets.

use crate::viewer::{Machine, connect, edge, owned};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConfig, ServerConnection};
use std::sync::Arc;

#[test]
fn each_name_gets_its_own_certificate() {
    let machine = Machine::new();
    let one = machine.certificate(&["one.test", "www.one.test"]);
    let two = machine.certificate(&["two.test"]);
    let edge = edge(vec![
        (owned(&["one.test", "www.One.Test"]), Arc::clone(&one)),
        (owned(&["TWO.test."]), Arc::clone(&two)),
    ]);
    let viewer = machine.viewer();
    for (name, expected) in
        [("one.test", &one), ("www.one.test", &one), ("WWW.ONE.TEST", &one), ("two.test", &two)]
    {
        let session = viewer.connect(&edge, name).unwrap();
        assert_eq!(session.certificate, expected.cert[0], "for {name}");
    }
}

#[test]
fn a_wildcard_stands_for_one_label_and_yields_to_an_exact_name() {
    let machine = Machine::new();
    let wild = machine.certificate(&["*.img.test"]);
    let exact = machine.certificate(&["a.img.test"]);
    let edge =
        edge(vec![(owned(&["*.IMG.test"]), Arc::clone(&wild)), (owned(&["a.img.test"]), Arc::clone(&exact))]);
    let viewer = machine.viewer();
    let served = |name| viewer.connect(&edge, name).map(|it| it.certificate);
    assert_eq!(served("b.img.test").unwrap(), wild.cert[0]);
    assert_eq!(served("a.img.test").unwrap(), exact.cert[0]);
    for name in ["img.test", "x.b.img.test", "b.img.test.evil.test"] {
        assert_no_certificate(&served(name).unwrap_err());
    }
}

#[test]
fn an_unknown_name_gets_no_certificate() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["localhost", "127.0.0.1"], &["one.test"]]);
    for name in ["other.test", "test", "localhost.one.test"] {
        assert_no_certificate(&machine.viewer().connect(&edge, name).unwrap_err());
    }
}

#[test]
fn without_a_name_the_site_of_an_address_answers() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["one.test"], &["localhost"], &["127.0.0.1", "::1"]]);
    for address in ["127.0.0.1", "::1"] {
        machine.viewer().connect(&edge, address).unwrap();
    }
}

#[test]
fn without_a_name_and_an_address_localhost_answers() {
    let machine = Machine::new();
    let local = machine.certificate(&["localhost", "127.0.0.1"]);
    let other = machine.certificate(&["one.test", "127.0.0.1"]);
    let edge = edge(vec![(owned(&["one.test"]), other), (owned(&["localhost"]), Arc::clone(&local))]);
    let session = machine.viewer().connect(&edge, "127.0.0.1").unwrap();
    assert_eq!(session.certificate, local.cert[0]);
}

#[test]
fn without_a_name_a_named_site_is_never_shown() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["one.test"], &["*.two.test"]]);
    assert_no_certificate(&machine.viewer().connect(&edge, "127.0.0.1").unwrap_err());
    let empty = machine.edge(&[]);
    assert_no_certificate(&machine.viewer().connect(&empty, "one.test").unwrap_err());
}

#[test]
fn the_first_site_keeps_a_name_that_two_claim() {
    let machine = Machine::new();
    let first = machine.certificate(&["one.test"]);
    let second = machine.certificate(&["one.test"]);
    let edge = edge(vec![(owned(&["one.test"]), Arc::clone(&first)), (owned(&["one.test"]), second)]);
    let session = machine.viewer().connect(&edge, "one.test").unwrap();
    assert_eq!(session.certificate, first.cert[0]);
}

#[test]
fn tls_1_2_and_1_3_work_and_the_newer_is_preferred() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["one.test"]]);
    for (viewer, version) in [
        (machine.viewer(), ProtocolVersion::TLSv1_3),
        (machine.viewer().speaking(&TLS13), ProtocolVersion::TLSv1_3),
        (machine.viewer().speaking(&TLS12), ProtocolVersion::TLSv1_2),
    ] {
        let session = viewer.connect(&edge, "one.test").unwrap();
        assert_eq!(session.version, version);
    }
}

#[test]
fn tls_1_1_is_refused_with_a_protocol_version_alert() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["127.0.0.1"]]);
    let (outcome, answer) = offer_old_hello(&edge, 0x02);
    assert_eq!(outcome, Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered)));
    // RFC 8446 section 6: alert record, fatal (2), protocol_version (70).
    assert_eq!(answer.first(), Some(&21));
    assert_eq!(answer.get(5..), Some(&[2, 70][..]));

    // With the version alone changed to TLS 1.2, the same hello is answered with a handshake record.
    let (outcome, answer) = offer_old_hello(&edge, 0x03);
    assert_eq!(outcome, Ok(()));
    assert_eq!(answer.first(), Some(&22));
}

#[test]
fn http_2_is_preferred_and_http_1_1_is_there() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["one.test"]]);
    let chosen = |protocols: &[&[u8]]| {
        let viewer = machine.viewer().offering(protocols);
        viewer.connect(&edge, "one.test").map(|it| it.protocol)
    };
    assert_eq!(chosen(&[b"http/1.1", b"h2"]).unwrap(), Some(b"h2".to_vec()));
    assert_eq!(chosen(&[b"http/1.1"]).unwrap(), Some(b"http/1.1".to_vec()));
    assert_eq!(chosen(&[]).unwrap(), None);
    assert_eq!(chosen(&[b"spdy/1"]).unwrap_err(), Error::NoApplicationProtocol);
}

#[test]
fn a_viewer_that_comes_back_resumes_without_early_data() {
    let machine = Machine::new();
    let edge = machine.edge(&[&["one.test"]]);
    for version in [&TLS12, &TLS13] {
        let viewer = machine.viewer().speaking(version).config();
        let first = connect(&viewer, &edge, "one.test").unwrap();
        let second = connect(&viewer, &edge, "one.test").unwrap();
        assert_ne!(first.kind, HandshakeKind::Resumed);
        assert_eq!(second.kind, HandshakeKind::Resumed, "{version:?}");
    }
}

fn assert_no_certificate(error: &Error) {
    assert!(error.to_string().contains("no server certificate"), "another error: {error}");
}

/// A ClientHello in the form before TLS 1.3, where the version stands in one field (RFC 5246 section 7.4.1.2): what the
/// edge makes of it, and its answer on the wire.
fn offer_old_hello(edge: &Arc<ServerConfig>, minor: u8) -> (Result<(), Error>, Vec<u8>) {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]); // random
    hello.push(0); // no session
    hello.extend([0, 2, 0xc0, 0x2b]); // ECDHE, ECDSA, AES-128-GCM
    hello.extend([1, 0]); // no compression
    hello.extend([0, 16]); // bytes of extensions
    hello.extend([0, 13, 0, 4, 0, 2, 4, 3]); // signature algorithms: ECDSA P-256 with SHA-256
    hello.extend([0, 10, 0, 4, 0, 2, 0, 23]); // groups: P-256
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);

    let mut edge = ServerConnection::new(Arc::clone(edge)).unwrap();
    edge.read_tls(&mut record.as_slice()).unwrap();
    let outcome = edge.process_new_packets().map(drop);
    let mut answer = Vec::new();
    edge.write_tls(&mut answer).unwrap();
    (outcome, answer)
}
