//! The layouts of databases that people have, and how several files are merged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use std::{collections::BTreeMap, path::PathBuf};

use geo::{GeoSettings, Locator, Place};
use maxminddb_writer::{Database, metadata::IpVersion, paths::IpAddrWithMask};
use serde::Serialize;

fn database<Record: Serialize>(version: IpVersion, networks: &[(&str, Record)]) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.ip_version = version;
    database.metadata.binary_format_major_version = 2;
    for (network, record) in networks {
        let data = database.insert_value(record).unwrap();
        database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), data);
    }
    database.write_to(Vec::new()).unwrap()
}

fn map<Value: Clone>(pairs: &[(&'static str, Value)]) -> BTreeMap<&'static str, Value> {
    pairs.iter().cloned().collect()
}

fn located(files: &[Vec<u8>], address: &str) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let database: Vec<PathBuf> =
        (0..files.len()).map(|index| folder.path().join(format!("{index}.mmdb"))).collect();
    for (path, bytes) in database.iter().zip(files) {
        std::fs::write(path, bytes).unwrap();
    }
    Locator::open(&GeoSettings { database }).unwrap().locate(address.parse().unwrap())
}

fn described(place: Place) -> (String, String, Option<u32>) {
    let country = place.country.map(|country| country.to_string()).unwrap_or_default();
    (country, place.continent.map(|continent| continent.as_str().to_owned()).unwrap_or_default(), place.asn)
}

#[test]
fn the_flat_layout_of_ip_location_db_is_read_and_its_continent_follows_from_the_country() {
    let flat = database(IpVersion::V4, &[("192.0.2.0/24", map(&[("country_code", "BR")]))]);
    assert_eq!(described(located(&[flat], "192.0.2.9")), ("BR".to_owned(), "SA".to_owned(), None));
}

#[test]
fn a_file_without_ipv6_does_not_know_an_ipv6_address() {
    let flat = database(IpVersion::V4, &[("192.0.2.0/24", map(&[("country_code", "BR")]))]);
    assert_eq!(located(std::slice::from_ref(&flat), "2001:db8::1"), Place::default());
    assert_eq!(described(located(&[flat], "::ffff:192.0.2.9")).0, "BR");
}

#[test]
fn for_each_fact_the_first_file_that_knows_it_is_believed() {
    let number =
        database(IpVersion::V4, &[("192.0.2.0/24", map(&[("autonomous_system_number", 64_500u32)]))]);
    let first = database(IpVersion::V4, &[("192.0.2.0/25", map(&[("country_code", "JP")]))]);
    let second = database(IpVersion::V4, &[("192.0.2.0/24", map(&[("country_code", "US")]))]);
    let files = [number, first, second];
    assert_eq!(described(located(&files, "192.0.2.1")), ("JP".to_owned(), "AS".to_owned(), Some(64_500)));
    assert_eq!(described(located(&files, "192.0.2.200")), ("US".to_owned(), "NA".to_owned(), Some(64_500)));
}

#[test]
fn a_field_of_another_type_or_value_is_unknown_and_the_next_file_is_asked() {
    let odd = database(
        IpVersion::V4,
        &[(
            "192.0.2.0/24",
            map(&[("country", "Brazil"), ("country_code", "br"), ("autonomous_system_number", "AS1")]),
        )],
    );
    let plain = database(IpVersion::V4, &[("192.0.2.0/24", map(&[("country_code", "BR")]))]);
    assert_eq!(located(std::slice::from_ref(&odd), "192.0.2.1"), Place::default());
    assert_eq!(described(located(&[odd, plain], "192.0.2.1")).0, "BR");
}
