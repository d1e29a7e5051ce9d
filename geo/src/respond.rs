//! From a decoded query to a whole response: what the header, EDNS and the client subnet ask for (RFC 1035, 6891, 7871).

use std::{net::IpAddr, sync::Arc};

use hickory_proto::op::{DEFAULT_MAX_PAYLOAD_LEN, Edns, LowerQuery, Metadata, OpCode, ResponseCode};

use crate::{
    DnsSettings, GeoError, Locator,
    steer::draw,
    subnet,
    zone::{Reply, Viewer, Zones},
};

/// Answers DNS queries for the steering names. Immutable: a reload makes a new one.
pub struct Answerer {
    zones: Zones,
    locator: Arc<Locator>,
}

/// A query, decoded.
pub(crate) struct Incoming<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) queries: &'a [LowerQuery],
    pub(crate) edns: Option<&'a Edns>,
    /// Whether the message has octets that belong to none of its parts.
    pub(crate) has_stray_octets: bool,
    /// The resolver.
    pub(crate) source: IpAddr,
}

/// A response, but for the question that it repeats.
pub(crate) struct Outgoing {
    pub(crate) metadata: Metadata,
    pub(crate) reply: Reply,
    pub(crate) edns: Option<Edns>,
    /// The octets that the resolver takes in one UDP datagram.
    pub(crate) datagram: u16,
}

impl Answerer {
    /// Builds the answers without listening. Errors name what is wrong in the settings.
    pub fn new(settings: &DnsSettings, locator: Arc<Locator>) -> Result<Self, GeoError> {
        Ok(Self { zones: Zones::build(settings)?, locator })
    }

    pub(crate) fn respond(&self, incoming: &Incoming<'_>) -> Outgoing {
        let mut edns = incoming.edns.map(response_edns);
        let reply = self.reply(incoming, edns.as_mut()).unwrap_or_else(Reply::bare);
        let mut metadata = Metadata::response_from_request(incoming.metadata);
        metadata.authoritative = reply.authoritative;
        metadata.response_code = reply.code;
        // RFC 1035 section 4.2.1: 512 octets without EDNS; RFC 6891 section 6.2.3: less is read as 512. More than 1232
        // may be cut into fragments on the way, which get lost and can be forged.
        let datagram =
            incoming.edns.map_or(512, |edns| edns.max_payload().clamp(512, DEFAULT_MAX_PAYLOAD_LEN));
        Outgoing { metadata, reply, edns, datagram }
    }

    fn reply(&self, incoming: &Incoming<'_>, edns: Option<&mut Edns>) -> Result<Reply, ResponseCode> {
        // RFC 6891 section 6.1.3: a version that we do not speak is answered BADVERS, whatever else it asks.
        if incoming.edns.is_some_and(|edns| edns.version() > 0) {
            return Err(ResponseCode::BADVERS);
        }
        if incoming.metadata.op_code != OpCode::Query {
            return Err(ResponseCode::NotImp);
        }
        // RFC 9619 section 4: a query has one question, no more and no fewer.
        let [query] = incoming.queries else { return Err(ResponseCode::FormErr) };
        if incoming.has_stray_octets {
            return Err(ResponseCode::FormErr);
        }
        let subnet =
            incoming.edns.map_or(Ok(None), subnet::of).map_err(|subnet::Malformed| ResponseCode::FormErr)?;
        // RFC 7871 section 7.1.2: prefix 0 asks us not to use the viewer's network; then the resolver's own has to do.
        let (address, prefix) = match subnet.filter(|subnet| subnet.source_prefix() > 0) {
            Some(subnet) => (subnet.addr(), subnet.source_prefix()),
            None => (incoming.source, u8::MAX),
        };
        let viewer = Viewer { place: self.locator.locate(address), draw: draw(address, prefix) };
        let reply = self.zones.answer(query, &viewer);
        // RFC 7871 section 7.2.1: a server that knows the option repeats it in every answer, also where it was not needed.
        if let (Some(subnet), Some(edns)) = (subnet, edns) {
            edns.options_mut().insert(subnet::mirrored(subnet, reply.depends_on_viewer));
        }
        Ok(reply)
    }
}

/// RFC 6891 section 6.1.1: a query with OPT gets one back; RFC 3225 section 3: with the query's DO bit.
fn response_edns(query: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(DEFAULT_MAX_PAYLOAD_LEN).set_dnssec_ok(query.flags().dnssec_ok);
    edns
}
