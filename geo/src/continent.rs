use crate::{Continent, Country};

/// The continent of a country, for databases that know only countries (the flat layout of ip-location-db). Borders
/// follow GeoNames, as MaxMind's files do: Russia is in Europe, Turkey and the Caucasus are in Asia.
pub(crate) fn of(country: Country) -> Option<Continent> {
    MEMBERS
        .iter()
        .find(|(_, members)| members.split_ascii_whitespace().any(|member| member == country.as_str()))
        .map(|(continent, _)| *continent)
}

const MEMBERS: [(Continent, &str); 7] = [
    (
        Continent::Asia,
        "AE AF AM AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH \
         PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
    ),
    (
        Continent::Europe,
        "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK \
         MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    ),
    (
        Continent::NorthAmerica,
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT \
         US VC VG VI",
    ),
    (
        Continent::Africa,
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA NE \
         NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    ),
    (Continent::SouthAmerica, "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
    (
        Continent::Oceania,
        "AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS",
    ),
    (Continent::Antarctica, "AQ BV GS HM TF"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_of_iso_3166_is_on_exactly_one_continent() {
        let listed: Vec<&str> =
            MEMBERS.iter().flat_map(|(_, members)| members.split_ascii_whitespace()).collect();
        let distinct: BTreeSet<&str> = listed.iter().copied().collect();
        assert_eq!(listed.len(), distinct.len(), "a country is listed twice");
        // 249 assigned codes of ISO 3166-1, and XK, which databases use for Kosovo.
        assert_eq!(distinct.len(), 250);
        assert!(listed.iter().all(|code| code.parse::<Country>().is_ok()));
    }

    #[test]
    fn well_known_countries_are_where_people_expect_them() {
        let cases = [
            ("KR", "AS"),
            ("CN", "AS"),
            ("DE", "EU"),
            ("RU", "EU"),
            ("US", "NA"),
            ("BR", "SA"),
            ("ZA", "AF"),
            ("NZ", "OC"),
            ("AQ", "AN"),
        ];
        for (country, continent) in cases {
            assert_eq!(of(country.parse().unwrap()).unwrap().as_str(), continent, "{country}");
        }
        assert_eq!(of("ZZ".parse().unwrap()), None);
    }
}
