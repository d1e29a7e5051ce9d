//! `fixtures/places.mmdb`: how it is made, and that it is what it should be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use maxminddb_writer::{Database, metadata::IpVersion, paths::IpAddrWithMask};
use serde::Serialize;

#[derive(Serialize)]
struct Code<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    iso_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

#[derive(Serialize)]
struct Record<'a> {
    country: Code<'a>,
    continent: Code<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    autonomous_system_number: Option<u32>,
}

/// Only networks that are reserved for documentation (RFC 5737, RFC 3849), so that the file ships freely and can never
/// be true of anybody. IPv4 lies in `::/96`, as in MaxMind's own files.
const NETWORKS: [(&str, &str, &str, Option<u32>); 5] = [
    ("::192.0.2.0/120", "KR", "AS", Some(64496)),
    ("::198.51.100.0/120", "CN", "AS", Some(64497)),
    ("::203.0.113.0/120", "DE", "EU", Some(64498)),
    ("2001:db8:c0de::/48", "CN", "AS", None),
    ("2001:db8:82::/48", "KR", "AS", None),
];

fn made() -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = "Selvedge-Demo-Places".to_owned();
    database.metadata.binary_format_major_version = 2;
    database.metadata.build_epoch = 1_767_225_600; // 2026-01-01; fixed, so that the file is the same every time
    database.metadata.languages = vec!["en".to_owned()];
    database
        .metadata
        .description
        .insert("en".to_owned(), "Documentation networks only; made by geo/tests/fixture.rs".to_owned());
    for (network, country, continent, asn) in NETWORKS {
        let record = Record {
            country: Code { iso_code: Some(country), code: None },
            continent: Code { iso_code: None, code: Some(continent) },
            autonomous_system_number: asn,
        };
        let data = database.insert_value(record).unwrap();
        database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), data);
    }
    database.write_to(Vec::new()).unwrap()
}

/// `WRITE_FIXTURES=1 cargo test -p geo --test fixture` writes the file again after a change above.
#[test]
fn the_committed_file_is_what_the_generator_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/places.mmdb");
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        std::fs::write(path, made()).unwrap();
    }
    assert!(std::fs::read(path).unwrap() == made(), "{path} differs from its generator; see WRITE_FIXTURES");
}
