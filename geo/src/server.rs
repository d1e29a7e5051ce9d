//! The DNS sockets. The only user of hickory-server.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Header, HeaderCounts, ResponseCode},
    rr::Record,
    serialize::binary::{BinDecoder, BinEncoder},
};
use hickory_server::{
    Server,
    net::{runtime::Time, xfer::Protocol},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::{MessageResponse, MessageResponseBuilder, Queries},
};
use tokio::net::{TcpListener, UdpSocket, lookup_host};

use crate::{
    Answerer, DnsSettings, GeoError, Locator,
    respond::{Incoming, Outgoing},
};

/// How long a TCP connection may take for one query, and idle between two (RFC 7766 section 6.2.3: a few seconds).
const TCP_IDLE: Duration = Duration::from_secs(5);
/// Responses that wait in one TCP connection for a resolver that does not read.
const TCP_RESPONSES: usize = 64;
/// How long the sockets still answer after the shutdown was asked for, so that every query that had arrived is answered.
const DRAIN: Duration = Duration::from_millis(200);
/// How often a port is drawn that must be free for TCP and UDP alike.
const PORT_DRAWS: usize = 16;

/// DNS sockets that are bound, and not answering yet.
pub struct Bound {
    sockets: Vec<(TcpListener, UdpSocket)>,
    addresses: Vec<SocketAddr>,
    current: CurrentAnswerer,
}

/// The answers in force, for a reload to replace. Clones stand for the same answers.
#[derive(Clone)]
pub struct CurrentAnswerer(Arc<RwLock<Answerer>>);

impl CurrentAnswerer {
    /// Answers every query from now on with `answerer`.
    pub fn replace(&self, answerer: Answerer) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = answerer;
    }

    fn respond(&self, incoming: &Incoming<'_>) -> Outgoing {
        self.0.read().unwrap_or_else(PoisonError::into_inner).respond(incoming)
    }
}

impl Answerer {
    /// Builds the answers and binds `settings.listen`, UDP and TCP on the same port. Needs a tokio runtime with network
    /// and timers. Errors name what is wrong in the settings, or why the address cannot be had.
    pub async fn bind(settings: &DnsSettings, locator: Arc<Locator>) -> Result<Bound, GeoError> {
        let current = CurrentAnswerer(Arc::new(RwLock::new(Self::new(settings, locator)?)));
        let failed = |source| GeoError::Listen { listen: settings.listen.clone(), source };
        let mut sockets = Vec::new();
        for address in lookup_host(&settings.listen).await.map_err(failed)? {
            sockets.push(bind_both(address).await.map_err(failed)?);
        }
        if sockets.is_empty() {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the host has no address")));
        }
        let addresses =
            sockets.iter().map(|(_, udp)| udp.local_addr()).collect::<io::Result<_>>().map_err(failed)?;
        Ok(Bound { sockets, addresses, current })
    }
}

async fn bind_both(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut draws = if address.port() == 0 { PORT_DRAWS } else { 1 };
    loop {
        let tcp = TcpListener::bind(address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && draws > 1 => draws -= 1,
            udp => return Ok((tcp, udp?)),
        }
    }
}

impl Bound {
    /// The addresses that are listened on, each for UDP and TCP. More than one where `listen` names a host with several,
    /// such as `localhost`.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The answers in force, for a reload to replace.
    pub fn current(&self) -> CurrentAnswerer {
        self.current.clone()
    }

    /// Answers until `shutdown` is done, then whatever had arrived by then. Errors when the sockets close by themselves.
    /// Dropping the future closes the sockets at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), GeoError> {
        let stopped = |cause: String| GeoError::Stopped(cause);
        let no_question =
            Queries::read(&mut BinDecoder::new(&[]), 0).map_err(|error| stopped(error.to_string()))?;
        let mut node = Server::new(Handler { current: self.current, no_question });
        for (tcp, udp) in self.sockets {
            node.register_listener(tcp, TCP_IDLE, TCP_RESPONSES);
            node.register_socket(udp);
        }
        tokio::select! {
            ended = node.block_until_done() => {
                return Err(stopped(ended.err().map_or("all its sockets closed".to_owned(), |error| error.to_string())));
            }
            () = shutdown => {}
        }
        tokio::time::sleep(DRAIN).await;
        node.shutdown_gracefully().await.map_err(|error| stopped(error.to_string()))
    }
}

struct Handler {
    current: CurrentAnswerer,
    /// What is repeated to a query that has no question, or several.
    no_question: Queries,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut handle: R,
    ) -> ResponseInfo {
        let mut outgoing = self.current.respond(&Incoming {
            metadata: &request.metadata,
            queries: request.queries.queries(),
            edns: request.edns.as_ref(),
            has_stray_octets: has_stray_octets(request),
            source: request.src().ip(),
        });
        let queries = if request.queries.len() == 1 { &request.queries } else { &self.no_question };
        if request.protocol() == Protocol::Udp && !fits(queries, &outgoing) {
            // RFC 2181 section 9: a set of records that does not fit is left out whole, and TC sends the resolver to TCP.
            outgoing.metadata.truncation = true;
            outgoing.reply.answers.clear();
            outgoing.reply.authority.clear();
        }
        match handle.send_response(message(queries, &outgoing)).await {
            Ok(info) => info,
            // The resolver went away, or does not read; it asks again when it still wants to know.
            Err(_) => failed(&outgoing),
        }
    }
}

/// What hickory is told of a response that was not sent.
fn failed(outgoing: &Outgoing) -> ResponseInfo {
    let mut metadata = outgoing.metadata;
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

fn message<'q, 'a>(
    queries: &'q Queries,
    outgoing: &'a Outgoing,
) -> MessageResponse<
    'q,
    'a,
    impl Iterator<Item = &'a Record> + Send + 'a,
    impl Iterator<Item = &'a Record> + Send + 'a,
    impl Iterator<Item = &'a Record> + Send + 'a,
    impl Iterator<Item = &'a Record> + Send + 'a,
>
where
    'a: 'q,
{
    MessageResponseBuilder::new(queries, outgoing.edns.as_ref()).build(
        outgoing.metadata,
        &outgoing.reply.answers,
        &outgoing.reply.authority,
        [],
        [],
    )
}

/// Whether the response fits the resolver's datagram whole, OPT included. Left to itself, hickory leaves out OPT first,
/// which RFC 6891 section 6.1.1 does not allow, and sends up to what OPT says that *we* take.
fn fits(queries: &Queries, outgoing: &Outgoing) -> bool {
    let mut octets = Vec::with_capacity(usize::from(outgoing.datagram));
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_max_size(outgoing.datagram);
    message(queries, outgoing).destructive_emit(&mut encoder).is_ok_and(|sent| !sent.truncation)
}

/// Whether an ordinary query (a question, perhaps OPT) is longer than its parts: then an option has more octets than it
/// says, such as an ADDRESS that is too long for its prefix (RFC 7871 section 6: FORMERR), or rubbish follows. The
/// decoder passes over both. Queries with other records, such as a signature, are not measured.
fn has_stray_octets(request: &Request) -> bool {
    const HEADER: usize = 12;
    let has_others = !request.answers.is_empty()
        || !request.authorities.is_empty()
        || !request.additionals.is_empty()
        || request.signature.is_some();
    let expected =
        HEADER + request.queries.as_bytes().len() + request.edns.as_ref().map_or(0, encoded_length);
    !has_others && request.as_slice().len() != expected
}

/// The octets of an OPT record (RFC 6891 section 6.1.2).
fn encoded_length(edns: &Edns) -> usize {
    const FIXED: usize = 11;
    const OPTION_HEADER: usize = 4;
    FIXED
        + edns
            .options()
            .as_ref()
            .iter()
            .map(|(_, option)| OPTION_HEADER + usize::from(option.len()))
            .sum::<usize>()
}
