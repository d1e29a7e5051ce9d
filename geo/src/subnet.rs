//! EDNS Client Subnet (RFC 7871): for which network a resolver asks.

use std::net::IpAddr;

use hickory_proto::{
    op::Edns,
    rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption},
};

/// The query's client-subnet option breaks RFC 7871 section 6, and is answered FORMERR.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The client subnet that a query carries, if any. (Another FAMILY than IPv4 and IPv6, too few ADDRESS octets, and a
/// prefix that needs more octets than the family has, already fail where the message is decoded.)
pub(crate) fn of(edns: &Edns) -> Result<Option<ClientSubnet>, Malformed> {
    match edns.options().get_all(EdnsCode::Subnet).as_slice() {
        [] => Ok(None),
        [EdnsOption::Subnet(subnet)] if is_well_formed(subnet) => Ok(Some(*subnet)),
        _ => Err(Malformed),
    }
}

/// RFC 7871 section 6: SCOPE PREFIX-LENGTH "in queries, it MUST be set to 0"; a server that receives "non-zero ADDRESS
/// bits set beyond SOURCE PREFIX-LENGTH SHOULD return FORMERR".
fn is_well_formed(subnet: &ClientSubnet) -> bool {
    let prefix = u32::from(subnet.source_prefix());
    let is_bare = match subnet.addr() {
        IpAddr::V4(address) => prefix <= 32 && address.to_bits().checked_shl(prefix).unwrap_or(0) == 0,
        IpAddr::V6(address) => prefix <= 128 && address.to_bits().checked_shl(prefix).unwrap_or(0) == 0,
    };
    is_bare && subnet.scope_prefix() == 0
}

/// The option for the response. RFC 7871 section 7.2.1: FAMILY, SOURCE PREFIX-LENGTH and ADDRESS mirror the query's;
/// SCOPE PREFIX-LENGTH says for which network the answer holds: the one asked about, or 0 for everybody.
pub(crate) fn mirrored(subnet: ClientSubnet, depends_on_viewer: bool) -> EdnsOption {
    let scope = if depends_on_viewer { subnet.source_prefix() } else { 0 };
    EdnsOption::Subnet(ClientSubnet::new(subnet.addr(), subnet.source_prefix(), scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, u8, u8)]) -> Result<Option<ClientSubnet>, Malformed> {
        let mut edns = Edns::new();
        for (address, source, scope) in options {
            edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(
                address.parse().unwrap(),
                *source,
                *scope,
            )));
        }
        of(&edns)
    }

    #[test]
    fn a_subnet_has_no_host_bits_no_scope_and_a_prefix_of_its_family() {
        let cases = [
            ("192.0.2.0", 24, 0, true),
            ("192.0.2.1", 32, 0, true),
            ("0.0.0.0", 0, 0, true),
            ("2001:db8::", 56, 0, true),
            ("2001:db8::1", 128, 0, true),
            ("::", 0, 0, true),
            ("192.0.2.1", 24, 0, false),
            ("192.0.2.0", 22, 0, false),
            ("192.0.2.0", 33, 0, false),
            ("192.0.2.0", 24, 24, false),
            ("128.0.0.0", 0, 0, false),
            ("2001:db8::1", 56, 0, false),
            ("2001:db8::", 129, 0, false),
        ];
        for (address, source, scope, accepted) in cases {
            assert_eq!(read(&[(address, source, scope)]).is_ok(), accepted, "{address}/{source}/{scope}");
        }
    }

    #[test]
    fn no_subnet_is_fine_and_two_are_not() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("192.0.2.0", 24, 0), ("198.51.100.0", 24, 0)]), Err(Malformed));
    }
}
