use std::{collections::HashSet, fs, net::IpAddr};

use maxminddb::{
    LookupResult, MaxMindDbError, PathElement,
    PathElement::{Index, Key},
    Reader, WithinOptions,
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{Continent, GeoError, GeoSettings, Locality, Place, continent};

/// Finds the place of an address in MaxMind-format files, held in memory.
#[derive(Debug, Default)]
pub struct Locator {
    readers: Vec<Reader<Vec<u8>>>,
}

impl Locator {
    /// Reads every file of `settings` whole. Errors: a file that cannot be read, or is damaged anywhere: a damaged file
    /// is refused now rather than giving wrong places later.
    pub fn open(settings: &GeoSettings) -> Result<Self, GeoError> {
        let readers = settings.database.iter().map(|path| {
            let bytes =
                fs::read(path).map_err(|source| GeoError::Unreadable { path: path.clone(), source })?;
            reader(bytes).map_err(|source| GeoError::Damaged { database: path.display().to_string(), source })
        });
        Ok(Self { readers: readers.collect::<Result<_, _>>()? })
    }

    /// Knows no place at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads one database that is in memory already. Errors when it is damaged anywhere.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GeoError> {
        let reader =
            reader(bytes).map_err(|source| GeoError::Damaged { database: "in memory".to_owned(), source })?;
        Ok(Self { readers: vec![reader] })
    }

    /// The place of `address`; for each fact the first file that knows it is believed. An IPv4 address in IPv6 clothes
    /// (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) is the IPv4 address.
    pub fn locate(&self, address: IpAddr) -> Place {
        let address = address.to_canonical();
        let mut place = Place::default();
        // An error here is an IPv6 address in a file that has only IPv4: that file does not know it.
        for record in self.readers.iter().filter_map(|reader| reader.lookup(address).ok()) {
            place.country =
                place.country.or_else(|| field(&record, &COUNTRY, |code: &str| code.parse().ok()));
            place.continent = place.continent.or_else(|| field(&record, &CONTINENT, Continent::from_code));
            place.asn = place.asn.or_else(|| field(&record, &ASN, Some));
        }
        place.continent = place.continent.or_else(|| place.country.and_then(continent::of));
        place
    }

    /// Where `address` is within its country, as far as a file for cities knows; for each fact the first file that knows
    /// it is believed.
    pub fn locality(&self, address: IpAddr) -> Locality {
        let address = address.to_canonical();
        let mut found = Locality::default();
        for record in self.readers.iter().filter_map(|reader| reader.lookup(address).ok()) {
            let text =
                |paths: &[&[PathElement<'_>]]| field(&record, paths, |text: &str| Some(text.to_owned()));
            found.region = found.region.take().or_else(|| text(&REGION));
            found.city = found.city.take().or_else(|| text(&CITY));
            found.time_zone = found.time_zone.take().or_else(|| text(&TIME_ZONE));
            // MaxMind's numbers have 64 bits, those of the flat layout 32.
            let degrees = |paths: &[&[PathElement<'_>]]| {
                let short = || field(&record, paths, |number: f32| degrees(number.into()));
                field(&record, paths, degrees).or_else(short)
            };
            found.position = found.position.or_else(|| degrees(&LATITUDE).zip(degrees(&LONGITUDE)));
        }
        found
    }
}

fn degrees(number: f64) -> Option<f64> {
    (number.abs() <= 180.0).then_some(number)
}

/// Where each fact lies: first MaxMind's own layout (GeoLite2 Country, City and ASN), then the flat one of
/// ip-location-db.
const COUNTRY: [&[PathElement<'static>]; 2] = [&[Key("country"), Key("iso_code")], &[Key("country_code")]];
const CONTINENT: [&[PathElement<'static>]; 2] = [&[Key("continent"), Key("code")], &[Key("continent_code")]];
const ASN: [&[PathElement<'static>]; 1] = [&[Key("autonomous_system_number")]];
const REGION: [&[PathElement<'static>]; 1] = [&[Key("subdivisions"), Index(0), Key("iso_code")]];
const CITY: [&[PathElement<'static>]; 2] = [&[Key("city"), Key("names"), Key("en")], &[Key("city")]];
const TIME_ZONE: [&[PathElement<'static>]; 2] = [&[Key("location"), Key("time_zone")], &[Key("timezone")]];
const LATITUDE: [&[PathElement<'static>]; 2] = [&[Key("location"), Key("latitude")], &[Key("latitude")]];
const LONGITUDE: [&[PathElement<'static>]; 2] = [&[Key("location"), Key("longitude")], &[Key("longitude")]];

fn field<'a, Raw: Deserialize<'a>, Fact>(
    record: &LookupResult<'a, Vec<u8>>,
    paths: &[&[PathElement<'_>]],
    read: impl Fn(Raw) -> Option<Fact>,
) -> Option<Fact> {
    // A field of another type than expected belongs to a layout that we do not know: the fact is unknown.
    paths.iter().find_map(|path| read(record.decode_path(path).ok().flatten()?))
}

fn reader(bytes: Vec<u8>) -> Result<Reader<Vec<u8>>, MaxMindDbError> {
    let reader = Reader::from_source(bytes)?;
    check_every_record(&reader)?;
    Ok(reader)
}

/// Walks the whole tree once and decodes each record that it points to. (`Reader::verify` would also refuse files
/// without a description, which some writers leave out and nobody needs.)
fn check_every_record(reader: &Reader<Vec<u8>>) -> Result<(), MaxMindDbError> {
    // A tree of n nodes has n + 1 leaves, and some more where a writer shares equal branches. Nodes that point back at
    // themselves reach endlessly many. The bound is the one of `Reader::verify`.
    let most = reader.metadata().node_count as usize * 3;
    let mut decoded = HashSet::new();
    for (count, network) in
        reader.networks(WithinOptions::default().include_networks_without_data())?.enumerate()
    {
        let network = network?;
        if count > most {
            return Err(MaxMindDbError::invalid_database(
                "the search tree has more leaves than its nodes can hold",
            ));
        }
        if network.offset().is_some_and(|offset| decoded.insert(offset)) {
            network.decode::<IgnoredAny>()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEMO_DATABASE;

    fn demo() -> Locator {
        Locator::from_bytes(DEMO_DATABASE.to_vec()).unwrap()
    }

    fn described(place: Place) -> String {
        let country = place.country.map_or("-".to_owned(), |country| country.to_string());
        let continent = place.continent.map_or("-", Continent::as_str);
        format!("{country} {continent} {}", place.asn.map_or("-".to_owned(), |asn| asn.to_string()))
    }

    #[test]
    fn an_address_has_the_place_of_its_network() {
        let cases = [
            ("192.0.2.1", "KR AS 64496"),
            ("192.0.2.255", "KR AS 64496"),
            ("198.51.100.7", "CN AS 64497"),
            ("203.0.113.200", "DE EU 64498"),
            ("2001:db8:c0de::1", "CN AS -"),
            ("2001:db8:82:ffff::1", "KR AS -"),
            ("::ffff:198.51.100.7", "CN AS 64497"),
            ("192.0.3.0", "- - -"),
            ("127.0.0.1", "- - -"),
            ("::1", "- - -"),
            ("::", "- - -"),
            ("2001:db8:83::1", "- - -"),
            ("255.255.255.255", "- - -"),
        ];
        let locator = demo();
        for (address, expected) in cases {
            assert_eq!(described(locator.locate(address.parse().unwrap())), expected, "{address}");
        }
    }

    /// A file with this record for 192.0.2.0/24.
    fn with_record(record: impl serde::Serialize) -> Vec<u8> {
        let mut database = maxminddb_writer::Database::default();
        database.metadata.ip_version = maxminddb_writer::metadata::IpVersion::V6;
        database.metadata.binary_format_major_version = 2;
        let data = database.insert_value(record).unwrap();
        let network: maxminddb_writer::paths::IpAddrWithMask = "::192.0.2.0/120".parse().unwrap();
        database.insert_node(network, data);
        database.write_to(Vec::new()).unwrap()
    }

    #[derive(serde::Serialize)]
    struct Names {
        en: &'static str,
        ko: &'static str,
    }

    #[derive(serde::Serialize)]
    struct City {
        names: Names,
    }

    #[derive(serde::Serialize)]
    struct Division {
        iso_code: &'static str,
    }

    #[derive(serde::Serialize)]
    struct Location {
        latitude: f64,
        longitude: f64,
        time_zone: &'static str,
    }

    #[derive(serde::Serialize)]
    struct OfMaxmind {
        city: City,
        location: Location,
        subdivisions: [Division; 1],
    }

    #[derive(serde::Serialize)]
    struct Flat {
        city: &'static str,
        latitude: f32,
        longitude: f32,
        timezone: &'static str,
    }

    #[test]
    fn a_locality_is_read_in_both_layouts() {
        let of_maxmind = with_record(OfMaxmind {
            city: City { names: Names { en: "Seoul", ko: "서울특별시" } },
            location: Location { latitude: 37.5, longitude: 127.0, time_zone: "Asia/Seoul" },
            subdivisions: [Division { iso_code: "11" }],
        });
        let flat =
            with_record(Flat { city: "Seoul", latitude: 37.5, longitude: 127.0, timezone: "Asia/Seoul" });
        let expected = Locality {
            region: Some("11".into()),
            city: Some("Seoul".into()),
            position: Some((37.5, 127.0)),
            time_zone: Some("Asia/Seoul".into()),
        };
        let (here, elsewhere) = ("::ffff:192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
        let locator = Locator::from_bytes(of_maxmind).unwrap();
        assert_eq!(locator.locality(here), expected);
        assert_eq!(locator.locality(elsewhere), Locality::default());
        let flat = Locator::from_bytes(flat).unwrap();
        assert_eq!(flat.locality(here), Locality { region: None, ..expected });
        assert_eq!(demo().locality(here), Locality::default(), "a file for countries knows none of it");
    }

    #[test]
    fn a_position_is_on_this_planet() {
        let strange = with_record(Flat { city: "?", latitude: f32::NAN, longitude: 500.0, timezone: "?" });
        let locator = Locator::from_bytes(strange).unwrap();
        assert_eq!(locator.locality("192.0.2.1".parse().unwrap()).position, None);
    }

    #[test]
    fn an_empty_locator_knows_nothing() {
        assert_eq!(Locator::empty().locate("192.0.2.1".parse().unwrap()), Place::default());
    }

    #[test]
    fn a_missing_file_is_named() {
        let settings = GeoSettings { database: vec!["/nowhere/country.mmdb".into()] };
        let error = Locator::open(&settings).unwrap_err().to_string();
        assert!(error.contains("/nowhere/country.mmdb") && error.contains("[geo] database"), "{error}");
    }

    #[test]
    fn a_file_in_another_format_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("empty", Vec::new()),
            ("text", b"network,country\n".to_vec()),
            ("cut", DEMO_DATABASE[..900.min(DEMO_DATABASE.len() / 2)].to_vec()),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let error = Locator::open(&GeoSettings { database: vec![path] }).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("MaxMind format"), "{error}");
        }
    }

    /// Every byte of the fixture takes values that are likely to hurt (pointers, sizes, types), then many places change
    /// at once. Whatever still opens must answer; nothing may panic or hang.
    #[test]
    fn damaged_bytes_never_panic() {
        let addresses: Vec<IpAddr> = [
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.1",
            "2001:db8:c0de::1",
            "2001:db8:82::1",
            "::1",
            "8.8.8.8",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        let mut refused = 0;
        let mut attempt = |bytes: Vec<u8>| match Locator::from_bytes(bytes) {
            Ok(locator) => {
                for address in &addresses {
                    locator.locate(*address);
                    locator.locality(*address);
                }
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("damaged"));
            }
        };
        for position in 0..DEMO_DATABASE.len() {
            for value in [0x00, 0x01, 0x20, 0x3f, 0x7f, 0x80, 0xe0, 0xff] {
                let mut bytes = DEMO_DATABASE.to_vec();
                bytes[position] = value;
                attempt(bytes);
            }
            attempt(DEMO_DATABASE[..position].to_vec());
        }
        let mut seed = 7u64;
        for _ in 0..2_000 {
            let mut bytes = DEMO_DATABASE.to_vec();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let position = (seed >> 33) as usize % bytes.len();
                bytes[position] = (seed >> 24) as u8;
            }
            attempt(bytes);
        }
        assert!(refused > DEMO_DATABASE.len(), "only {refused} mutations were noticed");
    }
}
